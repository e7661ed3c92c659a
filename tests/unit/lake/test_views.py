"""Views: filled bars are marked, derived bars are exact and whole, and SQL users get the same doubles."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config.settings import LakeSettings
from heliograph.core import calendars
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, parse
from heliograph.lake import read, views
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.ticks import sum_runs
from heliograph.lake.write import manifest, write_part
from heliograph.testing import lakes
from heliograph.testing.strategies import candles as any_candles

MINUTE = parse("1m")


@pytest.fixture
def lake(tmp_path: Path) -> LakeSettings:
    return LakeSettings(uri=str(tmp_path / "lake"))


def _commit(lake: LakeSettings, *rows: lakes.Row) -> None:
    with Committer(lake, open_store(lake), "t") as committer:
        committer.commit(rows)


def _minutes(lake: LakeSettings, start_ms: int, candles: Candles, end_ms: int, *, venue: str = "fake") -> lakes.Row:
    row = lakes.shard(start_ms, end_ms, timeframe="1m", venue=venue)
    page = Page(candles, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=0)
    return write_part(open_store(lake), row, [page], candles)


class TestFilled:
    @given(any_candles(MINUTE, min_size=1))
    def test_raw_bars_stay_and_the_rest_is_flat_and_marked(self, raw: Candles) -> None:
        whole, is_filled = views.filled(raw, MINUTE, [(0, 60 * MINUTE_MS)])
        kept = whole.take(~is_filled)
        for name in ("open_ts_ms", "open", "high", "low", "close", "volume"):
            np.testing.assert_array_equal(getattr(kept, name), getattr(raw, name))
        assert np.all(np.diff(whole.open_ts_ms) == MINUTE_MS)
        assert (int(whole.open_ts_ms[0]), int(whole.open_ts_ms[-1])) == (int(raw.open_ts_ms[0]), 59 * MINUTE_MS)
        place = np.flatnonzero(is_filled)
        for name in ("open", "high", "low", "close"):
            np.testing.assert_array_equal(getattr(whole, name)[place], whole.close[place - 1])
        assert not whole.volume[place].any()

    def test_nothing_is_filled_outside_what_is_covered(self) -> None:
        raw = Candles.of([[i * MINUTE_MS, 1, 1, 1, i, 1] for i in (0, 2, 10, 12)])
        have = [(0, 4 * MINUTE_MS), (9 * MINUTE_MS, 13 * MINUTE_MS)]
        whole, is_filled = views.filled(raw, MINUTE, have)
        assert (whole.open_ts_ms // MINUTE_MS).tolist() == [0, 1, 2, 3, 10, 11, 12]
        assert is_filled.tolist() == [False, True, False, True, False, True, False]
        assert whole.close.tolist() == [0, 0, 2, 2, 10, 10, 12]

    def test_no_candles_give_no_bars(self) -> None:
        whole, is_filled = views.filled(Candles.empty(), MINUTE, [(0, HOUR_MS)])
        assert (len(whole), is_filled.size) == (0, 0)


class TestDerived:
    def test_bar_is_what_its_minutes_say(self, lake: LakeSettings) -> None:
        minutes = lakes.candles(0, 3 * HOUR_MS, "1m")
        _commit(lake, _minutes(lake, 0, minutes, 3 * HOUR_MS))
        made = views.derived(lake, "fake", "BTC/USDT", "1h", start_ms=1, end_ms=3 * HOUR_MS)
        assert (made.base, made.timeframe.name) == ("1m", "1h")
        assert (made.candles.open_ts_ms // HOUR_MS).tolist() == [1, 2]
        inside = minutes.between(HOUR_MS, 2 * HOUR_MS)
        first = made.candles.take(slice(0, 1))
        assert first.open[0] == inside.open[0]
        assert first.close[0] == inside.close[-1]
        assert first.high[0] == inside.high.max()
        assert first.low[0] == inside.low.min()
        assert first.volume[0] == float(sum(Decimal(str(v)) for v in inside.volume.tolist()))

    def test_bar_counts_only_where_its_whole_span_is_known(self, lake: LakeSettings) -> None:
        """Hours 0 to 6 of minutes; within the third hour a fetch failed, the fifth had no trades in its second half."""
        minutes = lakes.candles(0, 7 * HOUR_MS, "1m")
        half = HOUR_MS // 2
        cuts = [(0, 2 * HOUR_MS + half), (3 * HOUR_MS, 4 * HOUR_MS + half), (5 * HOUR_MS, 7 * HOUR_MS - MINUTE_MS)]
        rows = [_minutes(lake, start, minutes.between(start, end), end) for start, end in cuts]
        lost = manifest(lakes.shard(2 * HOUR_MS + half, 3 * HOUR_MS, timeframe="1m"), "fetch_failed")
        quiet = manifest(lakes.shard(4 * HOUR_MS + half, 5 * HOUR_MS, timeframe="1m"), "no_trades")
        _commit(lake, *rows, lost, quiet)
        made = views.derived(lake, "fake", "BTC/USDT", "1h").candles
        assert (made.open_ts_ms // HOUR_MS).tolist() == [0, 1, 3, 4, 5]

    def test_week_is_the_venues_own(self, lake: LakeSettings) -> None:
        """gate's week opens on a Thursday."""
        days = lakes.candles(0, 28 * DAY_MS, "1d")
        for venue in ("gate", "binance"):
            row = lakes.shard(0, 28 * DAY_MS, timeframe="1d", venue=venue)
            page = Page(days, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=0)
            _commit(lake, write_part(open_store(lake), row, [page], days))
        for venue, first_day in (("gate", 0), ("binance", 4)):
            made = views.derived(lake, venue, "BTC/USDT", "1w", base="1d")
            assert made.timeframe == calendars.grid(venue, "1w")
            assert int(made.candles.open_ts_ms[0]) == first_day * DAY_MS

    def test_older_version_sees_its_own_coverage(self, lake: LakeSettings) -> None:
        minutes = lakes.candles(0, 2 * HOUR_MS, "1m")
        half = HOUR_MS + HOUR_MS // 2
        _commit(lake, _minutes(lake, 0, minutes.between(0, half), half))
        _commit(lake, _minutes(lake, half, minutes.between(half, 2 * HOUR_MS), 2 * HOUR_MS))
        assert len(views.derived(lake, "fake", "BTC/USDT", "1h", as_of=1).candles) == 1
        assert len(views.derived(lake, "fake", "BTC/USDT", "1h", as_of=2).candles) == 2

    def test_market_without_candles_has_no_bars(self, lake: LakeSettings) -> None:
        _commit(lake, lakes.written(open_store(lake), lakes.shard(0, DAY_MS)))
        assert len(views.derived(lake, "fake", "XRP/USDT", "1h").candles) == 0

    def test_base_must_be_shorter(self, lake: LakeSettings) -> None:
        with pytest.raises(ConfigError, match="give a shorter base"):
            views.derived(lake, "fake", "BTC/USDT", "1h", base="1d")


PRINTED = st.integers(0, 10**14).map(lambda n: n / 1e8)
NOISE = st.floats(1e-3, 1e6)
"""What venues that sum floats print: up to 17 digits."""


@given(st.lists(st.one_of(PRINTED, NOISE), min_size=1, max_size=30))
def test_sums_are_the_doubles_nearest_to_the_exact_ones(values: list[float]) -> None:
    first = np.arange(0, len(values), 7)
    sums = sum_runs(np.asarray(values), first)
    for start, total in zip(first.tolist(), sums.tolist(), strict=True):
        assert total == float(sum(Decimal(repr(v)) for v in values[start : start + 7]))


class TestDoublesForSql:
    def _lake(self, lake: LakeSettings) -> pl.DataFrame:
        store = open_store(lake)
        shards = [lakes.shard(0, DAY_MS, symbol=s) for s in ("BTC/USDT", "ETH/USDT")]
        _commit(lake, *(lakes.written(store, shard) for shard in shards))
        frame = read.scan(lake).sort("symbol", "open_ts_ms").collect()
        return frame.with_columns(pl.col("symbol").str.replace("/", "-", literal=True))

    def test_polars_sql_gives_the_same_doubles_as_the_api(self, lake: LakeSettings) -> None:
        expected = self._lake(lake)
        context = pl.SQLContext(raw=pl.scan_delta(f"{lake.uri}/candles"))
        found = context.execute(f"{views.doubles_sql('raw')} ORDER BY symbol, open_ts_ms").collect()
        assert found.equals(expected)

    @pytest.mark.skipif(importlib.util.find_spec("duckdb") is None, reason="duckdb is not installed")
    def test_duckdb_gives_the_same_doubles_as_the_api(self, lake: LakeSettings) -> None:
        import duckdb

        expected = self._lake(lake)
        files = f"read_parquet('{lake.uri}/candles/**/*.parquet', hive_partitioning = true)"
        found = duckdb.sql(f"{views.doubles_sql(files)} ORDER BY symbol, open_ts_ms").pl()
        assert found.equals(expected)

    def test_three_lines_open_the_lake(self, lake: LakeSettings) -> None:
        self._lake(lake)
        uri = lake.uri
        lines = (
            "from heliograph.config.settings import LakeSettings",
            "from heliograph.lake import read",
            'hours = read.scan(LakeSettings(uri=uri), timeframe="1h", symbols=("BTC/USDT",)).collect()',
        )
        assert views.__doc__ is not None
        told = [line.strip() for line in views.__doc__.splitlines() if line.startswith("    ")]
        assert tuple(told) == tuple(line.replace("uri=uri", 'uri="var/lake"') for line in lines)
        scope = {"uri": uri}
        exec("\n".join(lines), scope)
        hours = scope["hours"]
        assert isinstance(hours, pl.DataFrame)
        assert hours.height == 24
