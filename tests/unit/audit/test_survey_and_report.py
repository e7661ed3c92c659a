"""A small lake with a hole of every kind, surveyed and drawn."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.unit.audit.makes import DAY, HOUR, changed, path, quoted

from heliograph.audit import derived, heatmap, report, survey
from heliograph.audit.survey import STATES, Audit, Scope, Sheet
from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.lake.write import Row, manifest, write_part
from heliograph.telemetry.progress import Quiet

HOURS = 1_800
START = quoted(path(1), 1, frame=HOUR).open_ts_ms[0]
END = int(START) + HOURS * HOUR.ms


def row(symbol: str, start: int, end: int, *, venue: str = "filling", timeframe: str = "1h") -> Row:
    key = {"venue": venue, "timeframe": timeframe, "symbol": symbol}
    return {**key, "start_ms": int(START) + start * HOUR.ms, "end_ms": int(START) + end * HOUR.ms, "pages": 1}


def candles(seed: int) -> Candles:
    return quoted(path(HOURS, spread=3e-3), seed, frame=HOUR, noise=1e-4)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> LakeSettings:
    """Four markets of one venue and a peer; an outage, a cut page, a failed shard, a late and a dead market, a bad tick."""
    settings = LakeSettings(uri=str(tmp_path_factory.mktemp("lake")))
    store = open_store(settings)
    rows: list[Row] = []

    def put(told: Row, held: Candles) -> None:
        inside = held.between(told["start_ms"], told["end_ms"])
        page = Page(inside, endpoint="https://fake.example", query="", sha256="0" * 64, fetched_ts_ms=0)
        rows.append(write_part(store, told, [page], inside))

    up = np.ones(HOURS, dtype=np.bool_)
    up[700:730] = False
    cut = up.copy()
    cut[1_000:1_040] = False
    bad = changed(candles(3), 400, close=candles(3).close[400] * 1.4, high=candles(3).close[400] * 1.4)
    put(row("BTC/USDT", 0, HOURS), bad.take(up))
    put(row("CUT/USDT", 0, HOURS), candles(4).take(cut))
    put(row("NEW/USDT", 500, 1_500), candles(5).take(up))
    rows.append(manifest(row("NEW/USDT", 0, 500), "not_listed"))
    rows.append(manifest(row("NEW/USDT", 1_500, HOURS), "fetch_failed", requests=5, detail="VenueTimeout: no answer"))
    put(row("OLD/USDT", 600, 1_200), candles(6).take(up))
    rows.append(manifest(row("OLD/USDT", 0, 600), "beyond_history"))
    rows.append(manifest(row("OLD/USDT", 1_200, HOURS), "delisted"))
    put(row("BTC/USDT", 0, HOURS, venue="peer"), candles(7))
    days = derived.summed(candles(7), DAY)
    put(row("BTC/USDT", 0, HOURS, venue="peer", timeframe="1d"), changed(days, 11, volume=days.volume[11] + 1.0))
    with Committer(settings, store, "t") as committer:
        committer.commit(rows)
    return settings


@pytest.fixture(scope="module")
def audit(lake: LakeSettings) -> Audit:
    return survey.audit(lake, {("filling", "spot"): True}, Quiet())


def totals(sheet: Sheet, symbol: str) -> dict[str, int]:
    bars = sheet.bars[sheet.symbols.index(symbol)].sum(axis=0)
    return {state: int(n) for state, n in zip(STATES, bars, strict=True) if n}


def test_every_bar_of_every_market_is_counted_once_with_its_reason(audit: Audit):
    sheet = audit.sheets[0]
    assert (sheet.venue, sheet.timeframe) == ("filling", "1h")
    assert totals(sheet, "BTC/USDT") == {"have": 1_770, "venue_outage": 30}
    assert totals(sheet, "CUT/USDT") == {"have": 1_730, "venue_outage": 30, "unexplained": 40}
    assert totals(sheet, "NEW/USDT") == {"not_listed": 500, "have": 970, "venue_outage": 30, "fetch_failed": 300}
    assert totals(sheet, "OLD/USDT") == {"beyond_history": 600, "have": 570, "venue_outage": 30, "delisted": 600}


def test_months_are_those_in_which_anything_is_known(audit: Audit):
    sheet = audit.sheets[0]
    assert [f"{np.datetime64(int(ms), 'ms'):s}"[:7] for ms in sheet.months_ms] == [
        "2025-01",
        "2025-02",
        "2025-03",
        "2025-04",
    ]
    assert sheet.bars[0].sum(axis=1).tolist() == [744, 672, 384]


def test_a_reason_that_reaches_back_to_1970_does_not_stretch_the_months(lake: LakeSettings, tmp_path: Path):
    settings = LakeSettings(uri=str(tmp_path))
    store = open_store(settings)
    shard = row("BTC/USDT", 0, 48)
    page = Page(candles(1).take(slice(0, 48)), endpoint="", query="", sha256="0" * 64, fetched_ts_ms=0)
    early = {**shard, "start_ms": 0, "end_ms": int(START)}
    with Committer(settings, store, "t") as committer:
        committer.commit([write_part(store, shard, [page], page.candles), manifest(early, "not_listed")])
    (sheet,) = survey.audit(settings, {}, Quiet()).sheets
    assert sheet.months_ms.size == 2
    assert totals(sheet, "BTC/USDT") == {"have": 48}


def test_the_bad_tick_is_found_on_its_venue_and_nothing_else(audit: Audit):
    """The bar after it opens far from where it closed."""
    tick_ms = int(START) + 400 * HOUR.ms
    assert {(f.venue, f.symbol) for f in audit.findings} == {("filling", "BTC/USDT")}
    assert {f.start_ms - tick_ms for f in audit.findings} <= {0, HOUR.ms}
    assert {f.kind for f in audit.findings} >= {"off_peers"}


def test_native_days_that_differ_from_their_hours_are_listed(audit: Audit):
    (pair,) = audit.mismatches
    assert (pair.venue, pair.timeframe, pair.finer, pair.compared) == ("peer", "1d", "1h", 75)
    assert [d.fields for d in pair.differences] == [("volume",)]


def test_reasons_can_be_written_to_the_coverage_table(audit: Audit):
    assert audit.reasons.num_rows == 4
    assert set(audit.reasons.column("status").to_pylist()) == {"venue_outage"}


def test_a_quick_audit_asks_not_whether_candles_are_true(lake: LakeSettings):
    quick = survey.audit(lake, {}, Quiet(), is_quick=True)
    assert (quick.findings, quick.bars_checked) == ((), 0)
    assert "not asked for" in report.render(quick, "here")


def test_scope_is_globs_on_venue_symbol_and_timeframe(lake: LakeSettings):
    few = survey.audit(lake, {}, Quiet(), scope=Scope(venues=("fill*",), symbols=("*W/*", "CUT/*")), is_quick=True)
    assert [sheet.symbols for sheet in few.sheets] == [("CUT/USDT", "NEW/USDT")]
    assert survey.audit(lake, {}, Quiet(), scope=Scope(timeframes=("5m",))).sheets == ()


def test_an_empty_lake_is_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="helio fetch"):
        survey.audit(LakeSettings(uri=str(tmp_path)), {}, Quiet())


class Reader(HTMLParser):
    """Tags, what they refer to, and titles."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.titles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.links += [str(told[name]) for name in ("href", "src") if name in told]
        self.ids += [str(told["id"])] if "id" in told else []
        if tag not in {"meta", "link", "br", "rect", "path", "circle"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["title"]:
            self.titles.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_the_page_is_whole_and_needs_nothing_from_outside(audit: Audit):
    page = report.render(audit, "s3://somewhere/lake")
    reader = read(page)
    assert set(reader.links) == {f"#{s.venue}-{s.timeframe}" for s in audit.sheets}
    assert sorted(reader.ids) == sorted(link[1:] for link in set(reader.links))
    assert "http" not in page.replace("http-equiv", "")
    assert "s3://somewhere/lake" in page


def test_cells_tell_their_counts(audit: Audit):
    titles = read(report.render(audit, "here")).titles
    (cell,) = [t for t in titles if t.startswith("CUT/USDT 1h, 2025-02")]
    assert cell.splitlines()[1:] == ["632 of 672 bars (94.05\u202f%)", "40 unexplained"]
    assert [t.splitlines()[0] for t in titles if "finding" in t] == ["BTC/USDT 1h, 2025-01"]


def test_the_same_audit_gives_the_same_bytes(audit: Audit, tmp_path: Path):
    first = report.write(tmp_path / "a" / "audit.html", audit, "here").read_bytes()
    assert report.write(tmp_path / "b.html", audit, "here").read_bytes() == first


def test_findings_and_differences_stand_in_full_beside_the_page(audit: Audit, tmp_path: Path):
    report.write(tmp_path / "audit.html", audit, "here")
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert sum(line["what"] == "finding" for line in lines) == len(audit.findings)
    assert [line["fields"] for line in lines if line["what"] == "difference"] == [["volume"]]


def sheet_of(bars: list[list[int]]) -> Sheet:
    """One symbol; a row of counts by state for each month."""
    table = np.asarray([bars], dtype=np.int64)
    months = survey.parse("1M").opens(0, 400 * 86_400_000)[: len(bars) + 1]
    return Sheet("v", "1h", ("A<B/USD",), months, table)


def counts(**states: int) -> list[int]:
    return [states.get(state, 0) for state in STATES]


def test_months_that_look_alike_are_one_cell_and_unknown_months_none():
    whole, quiet = counts(have=720), counts(have=700, no_trades=20)
    drawn = heatmap.draw(sheet_of([whole, whole, whole, quiet, counts(), whole]), {})
    assert drawn.count("<g>") == 3
    assert "A&lt;B/USD 1h, 1970-01 to 1970-03" in drawn


def test_one_lost_bar_of_a_month_is_seen():
    heights = [
        int(h)
        for h in re.findall(
            r'height="(\d+)" class="unexplained"', heatmap.draw(sheet_of([counts(have=10**6, unexplained=1)]), {})
        )
    ]
    assert heights == [3]


def test_a_loud_reason_is_shown_before_a_frequent_one():
    drawn = heatmap.draw(sheet_of([counts(have=500, no_trades=200, fetch_failed=1)]), {})
    assert 'class="fetch_failed"' in drawn
    assert 'class="no_trades"' not in drawn


def test_a_share_is_never_rounded_to_all_or_nothing():
    assert heatmap.percent(999_999, 1_000_000) == "99.99\u202f%"
    assert heatmap.percent(1, 1_000_000) == "0.01\u202f%"
    assert heatmap.percent(5, 5) == "100\u202f%"
