"""What the clock says at the open of a bar, and which bars are missing.

Sources of the effects: bitcoin's hours and weekdays in D. Baur, D. Cahill, K. Godfrey, Z. Liu, Bitcoin Time-of-Day,
Day-of-Week and Month-of-Year Effects, Finance Research Letters 31, 2019.
"""

from __future__ import annotations

from heliograph.features.declare import Feature
from heliograph.features.graph import Series
from heliograph.features.ops import clock

_OWN = "own definition"
_GAPS = "own definition: the mask of the gaps"
_CYCLE = "cyclical encoding of time"
_TURN = "J. Lakonishok, S. Smidt, Are Seasonal Anomalies Real?, Review of Financial Studies 1(4), 1988"
_FUNDING = "funding at 0:00, 8:00 and 16:00 UTC: Binance, Bybit and OKX contract specifications"
_EXPIRY = "expiry at 8:00 UTC: Deribit, OKX and Binance contract specifications"

_CYCLES = clock.cycles()
_CALENDAR = clock.calendar()
_SESSIONS = clock.sessions()
_WEEKEND, _TURN_OF_MONTH = clock.days()
_EXPIRIES = clock.expiries()
_EXCHANGES = (
    ("asia", "Tokyo", "Tokyo Stock Exchange: 9:00–15:30 JST, the lunch hour counted"),
    ("europe", "London", "London Stock Exchange: 8:00–16:30 local time"),
    ("america", "New York", "New York Stock Exchange: 9:30–16:00 local time"),
)


def _feature(name: str, unit: str, source: str, of: Series, low: float, high: float) -> Feature:
    return Feature(name=name, family="season", unit=unit, source=source, of=of, low=low, high=high)


FEATURES: tuple[Feature, ...] = (
    _feature(
        "bars_missing",
        "log(1 + bars missing between the bar before and this one)",
        _GAPS,
        clock.bars_missing(),
        0.0,
        8.0,
    ),
    *(
        _feature(
            f"missing_share_{bars}",
            f"share of the bars missing in the time of the last {bars} rows",
            _GAPS,
            clock.missing_share(bars),
            0.0,
            1.0,
        )
        for bars in (24, 168)
    ),
    *(
        _feature(
            f"{cycle}_{part}",
            f"{'sine' if part == 'sin' else 'cosine'} of the bar's open in the UTC {period}",
            _CYCLE,
            of,
            -1.0,
            1.0,
        )
        for (cycle, period, part), of in zip(
            (
                (cycle, period, part)
                for cycle, period in (
                    ("hour", "day"),
                    ("weekday", "week"),
                    ("month_day", "month"),
                    ("year_day", "year"),
                )
                for part in ("sin", "cos")
            ),
            (*_CYCLES, *_CALENDAR[:4]),
            strict=True,
        )
    ),
    _feature("month_gone", "share of the UTC month that is gone", _OWN, _CALENDAR[4], 0.0, 1.0),
    _feature("quarter_gone", "share of the UTC quarter that is gone: its end near 1", _OWN, _CALENDAR[5], 0.0, 1.0),
    _feature("year_gone", "share of the UTC year that is gone", _OWN, _CALENDAR[6], 0.0, 1.0),
    _feature("weekend", "1 on Saturday and Sunday UTC, else 0", _OWN, _WEEKEND, 0.0, 1.0),
    _feature(
        "turn_of_month",
        "1 on the last and the first three days of a UTC month, else 0",
        _TURN,
        _TURN_OF_MONTH,
        0.0,
        1.0,
    ),
    *(
        _feature(
            f"session_{name}",
            f"1 while {city} trades shares on a weekday, else 0; holidays not known",
            source,
            _SESSIONS[k],
            0.0,
            1.0,
        )
        for k, (name, city, source) in enumerate(_EXCHANGES)
    ),
    *(
        _feature(
            f"session_{name}_gone",
            f"share of {city}'s session that is gone; 0 outside",
            source,
            _SESSIONS[3 + k],
            0.0,
            1.0,
        )
        for k, (name, city, source) in enumerate(_EXCHANGES)
    ),
    _feature(
        "sessions_open",
        "share of the three sessions that are open",
        _OWN,
        (_SESSIONS[0] + _SESSIONS[1] + _SESSIONS[2]) / 3.0,
        0.0,
        1.0,
    ),
    _feature("funding_wait", "time to the next funding / 8 hours", _FUNDING, _EXPIRIES[0], 0.0, 1.0),
    _feature("weekly_expiry_wait", "time to the next Friday's expiry / 7 days", _EXPIRY, _EXPIRIES[1], 0.0, 1.0),
    _feature(
        "monthly_expiry_wait", "time to the next last Friday of a month / 35 days", _EXPIRY, _EXPIRIES[2], 0.0, 1.0
    ),
    _feature(
        "quarterly_expiry_wait", "time to the next last Friday of a quarter / 98 days", _EXPIRY, _EXPIRIES[3], 0.0, 1.0
    ),
)
