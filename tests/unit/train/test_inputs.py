"""What features read beside their own candles, out of a lake: the other markets, funding, open interest and basis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heliograph.config.learning import LabelSettings, TrainSettings
from heliograph.config.settings import FeatureSettings, LakeSettings, Settings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.core.schema import TICK
from heliograph.core.timeframe import DAY_MS, HOUR_MS, parse
from heliograph.features import catalog, known, panel, tiles
from heliograph.features.featurizer import Featurizer
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import write_part
from heliograph.testing import lakes
from heliograph.testing.fakes import ManualClock
from heliograph.train import columns, dataset, inputs, origin

HOUR = parse("1h")
SPOTS = {"BTC/USDT": 1, "ETH/USDT": 2, "XRP/USDT": 3}
LISTED_MS = {"XRP/USDT": 40 * DAY_MS}
END_MS = 60 * DAY_MS
PERPETUAL = "BTC/USDT:USDT"
NAMES = ("cross_rank_momentum_24", "cross_beta_72", "cross_breadth_rising", "funding_rate", "funding_paid_24", "basis")


def walk(symbol: str, start_ms: int, end_ms: int) -> Candles:
    """The same bar is the same candle whatever the interval."""
    opens = HOUR.opens(0, end_ms)
    close = np.round(100 * np.exp(np.cumsum(np.random.default_rng(SPOTS[symbol]).normal(0, 0.01, opens.size))), 4)
    return Candles(opens, close, close + 0.01, close - 0.01, close, close * 0 + 5).between(start_ms, end_ms)


def settings_of(folder: Path, *names: str) -> Settings:
    return Settings(
        lake=LakeSettings(uri=str(folder / "lake")),
        features=FeatureSettings(timeframe="1h", context_timeframes=("4h",), names=names),
        labels=LabelSettings(horizons_bars=(1, 24)),
        train=TrainSettings(venue="binance", symbols=("*/USDT",)),
    )


def write(lake: LakeSettings, start_ms: int, end_ms: int, *, with_perpetual: bool = True) -> None:
    store = open_store(lake)
    if with_perpetual:
        funding = lakes.shard(start_ms, end_ms, timeframe=TICK, symbol=PERPETUAL, venue="binanceusdm")
        with Committer(lake, store, "f", table="funding") as writer:
            writer.commit([lakes.written_series(store, funding, "funding")])
    with Committer(lake, store, "t", clock=ManualClock(60_000 * DAY_MS)) as writer:
        rows = [lakes.shard(max(start_ms, LISTED_MS.get(s, 0)), end_ms, symbol=s, venue="binance") for s in SPOTS]
        if with_perpetual:
            rows.append(lakes.shard(start_ms, end_ms, symbol=PERPETUAL, venue="binanceusdm"))
        made = []
        for row in rows:
            candles = walk(row["symbol"].partition(":")[0], row["start_ms"], row["end_ms"])
            page = Page(candles, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=0)
            made.append(write_part(store, row, [page], candles))
        writer.commit(made)


def by_hand(lake: LakeSettings, symbol: str, features: FeatureSettings) -> np.ndarray:
    """Panel, points and features put together without any cache, stretch or tile."""
    held = {s: read.candles(lake, "binance", s, "1h") for s in SPOTS}
    found = panel.Panel([*held], HOUR).advance(panel.times(held), held)
    rows = np.searchsorted(panel.times(held), held[symbol].open_ts_ms)
    closes = held[symbol].open_ts_ms + HOUR_MS
    perpetual = read.candles(lake, "binanceusdm", PERPETUAL, "1h")
    points = {
        "funding_rate": read.points(lake, "funding", "binanceusdm", PERPETUAL),
        "basis": known.log_basis(
            perpetual.close, perpetual.open_ts_ms + HOUR_MS, held[symbol].close, held[symbol].open_ts_ms + HOUR_MS
        ),
    }
    others = panel.others(found, [*held].index(symbol), rows) | known.joined(points, closes)
    return Featurizer(catalog.chosen(features), HOUR, market=("binance", symbol)).advance(held[symbol], others)


def test_training_reads_what_panel_and_joints_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_PANEL_BARS", 100)
    monkeypatch.setattr(tiles, "TILE_BARS", 256)
    settings = settings_of(tmp_path, *NAMES, "cross_beta_72_4h")
    write(settings.lake, 0, END_MS)
    (data,) = dataset.read_symbols(settings, ["BTC/USDT"])
    expected = by_hand(settings.lake, "BTC/USDT", settings.features)
    np.testing.assert_array_equal(data.x_NF, expected.astype(np.float32))
    assert np.isfinite(expected[-1]).all()


def test_later_bars_change_no_earlier_row_and_only_their_own_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "TILE_BARS", 256)
    settings = settings_of(tmp_path, *NAMES)

    def work() -> columns.Work:
        found = inputs.gathered(settings, ["BTC/USDT"])["BTC/USDT"]
        past = columns.history(settings.lake, "binance", "BTC/USDT", "1h", others=found)
        return columns.fill(open_store(settings.lake), past, catalog.chosen(settings.features))

    write(settings.lake, 0, END_MS)
    (before,) = dataset.read_symbols(settings, ["BTC/USDT"])
    width = before.x_NF.shape[1]
    assert work().computed == 0
    write(settings.lake, END_MS, END_MS + DAY_MS)
    assert work().computed == width
    (after,) = dataset.read_symbols(settings, ["BTC/USDT"])
    np.testing.assert_array_equal(after.x_NF[: len(before.x_NF)], before.x_NF)


def test_run_reads_the_versions_of_its_first_start_whatever_the_lake_gets_since(tmp_path: Path) -> None:
    """A later commit replaces the funding of the last days: a run that goes on, and its release, still know the old one."""
    settings = settings_of(tmp_path, "funding_rate", "funding_paid_24", "basis").model_copy(update={"var": tmp_path})
    write(settings.lake, 0, END_MS)
    run, version = settings.models_folder / "run", read.version(settings.lake)
    as_of = origin.pinned(settings, run, version)
    (before,) = dataset.read_symbols(settings, ["BTC/USDT"], as_of=as_of)
    write(settings.lake, END_MS, END_MS + DAY_MS)
    assert origin.pinned(settings, run, version) == as_of
    assert origin.data_of(settings, version, run).versions == as_of
    assert origin.data_of(settings, version).versions["funding"] == as_of["funding"] + 1
    (after,) = dataset.read_symbols(settings, ["BTC/USDT"], as_of=as_of)
    np.testing.assert_array_equal(after.x_NF, before.x_NF)
    (newest,) = dataset.read_symbols(settings, ["BTC/USDT"])
    assert len(newest.x_NF) > len(before.x_NF)
    newer = {**as_of, "candles": version + 1}
    assert origin.pinned(settings, run, version + 1)["funding"] == as_of["funding"] + 1
    assert len(dataset.read_symbols(settings, ["BTC/USDT"], as_of=newer)[0].x_NF) == len(newest.x_NF)


def test_a_market_that_is_listed_later_changes_the_others_from_then_on_only(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "cross_*")
    write(settings.lake, 0, END_MS, with_perpetual=False)
    whole = inputs.gathered(settings, ["BTC/USDT"])["BTC/USDT"]
    fewer = settings.model_copy(
        update={"features": settings.features.model_copy(update={"universe": ("BTC/*", "ETH/*")})}
    )
    two = inputs.gathered(fewer, ["BTC/USDT"])["BTC/USDT"]
    bars = walk("BTC/USDT", 0, END_MS)
    is_before = bars.open_ts_ms < LISTED_MS["XRP/USDT"]
    ours, theirs = whole(bars)["market_return"], two(bars)["market_return"]
    np.testing.assert_array_equal(ours[is_before], theirs[is_before])
    assert (ours[~is_before] != theirs[~is_before]).mean() > 0.9


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("news_score",), "news_score, which no table"),
        (("open_interest_age",), "no open_interest"),
        (("basis",), "no candles of BTC/USDT:USDT on binanceusdm"),
    ],
)
def test_what_the_lake_lacks_is_said(tmp_path: Path, names: tuple[str, ...], words: str) -> None:
    settings = settings_of(tmp_path, *names)
    write(settings.lake, 0, END_MS, with_perpetual=False)
    with pytest.raises(ConfigError, match=words):
        inputs.gathered(settings, ["BTC/USDT"])


def test_a_market_outside_its_universe_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "cross_*")
    settings = settings.model_copy(update={"features": settings.features.model_copy(update={"universe": ("ETH/*",)})})
    write(settings.lake, 0, END_MS, with_perpetual=False)
    with pytest.raises(ConfigError, match=r"BTC/USDT is trained on, but features\.universe"):
        inputs.gathered(settings, ["BTC/USDT"])
