"""The trading engine: bars a CPU second with a forecast at every bar, and how that grows with the symbols."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.measure import cpu_s, report
from tests.unit.desk.scripted import EAGER, walk
from tests.unit.trading.makes import LEVELS, market

from heliograph.backtest.run import run
from heliograph.config.settings import CostSettings
from heliograph.core.events import CandleClosed, ForecastMade
from heliograph.core.timeframe import parse

BARS = 4_000
HOUR = parse("1h")


def feed(symbols: int) -> Iterator[tuple[CandleClosed, ForecastMade]]:
    """Random walks side by side, each bar with a forecast of thirteen quantiles at four horizons."""
    frames = [walk(BARS, seed) for seed in range(symbols)]
    quantile = tuple(tuple(0.01 * h * (q - 0.48) for q in LEVELS) for h in (1, 2, 3, 4))
    for i in range(BARS):
        for s, f in enumerate(frames):
            key = ("binance", f"S{s}/USDT")
            ts = int(f.open_ts_ms[i])
            prices = (float(f.open[i]), float(f.high[i]), float(f.low[i]), float(f.close[i]), float(f.volume[i]))
            candle = CandleClosed(*key, "1h", ts, HOUR.close_ms(ts), *prices)
            sign = 1 if (i // 24 + s) % 2 else -1
            rows = tuple(tuple(sorted(sign * v for v in row)) for row in quantile)
            made = ForecastMade(
                *key,
                "1h",
                candle.known_ts_ms,
                prices[3],
                (1, 4, 12, 24),
                LEVELS,
                rows,
                ((0.3, 0.4, 0.3),) * 4,
                (0.6,) * 4,
                "b",
            )
            yield candle, made


def main() -> None:
    """Print bars a CPU second at 1, 4 and 16 symbols."""
    rates = {}
    for symbols in (1, 4, 16):
        bars = list(feed(symbols))
        markets = {("binance", f"S{s}/USDT"): market(("binance", f"S{s}/USDT")) for s in range(symbols)}
        spent_s = cpu_s(
            lambda bars=bars, markets=markets: run(
                bars, timeframe=HOUR, markets=markets, limits=EAGER, costs=CostSettings()
            ),
            times=1,
        )
        rates[f"kbars_per_cpu_s_{symbols}_symbols"] = len(bars) / spent_s / 1e3
    report("backtest", **rates, ratio_16_to_1=rates["kbars_per_cpu_s_16_symbols"] / rates["kbars_per_cpu_s_1_symbols"])


if __name__ == "__main__":
    main()
