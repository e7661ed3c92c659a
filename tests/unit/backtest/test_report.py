"""The page: self-contained, whole in every corner case, the same bytes for the same input."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests.unit.backtest.scores import score
from tests.unit.backtest.tapes import BTC, ETH, FREE_HAND, HOUR, feed, market, walk

from heliograph.backtest import report, run
from heliograph.backtest.result import BacktestResult
from heliograph.config.settings import CostSettings

PROVENANCE = report.Provenance(
    data_origin="A generated market, seed 1; no venue ever printed these prices.",
    settings_fingerprint="0123456789ab",
    model="scripted <net>",
    data_version="lake version 3",
    code_version="0.1.0",
    trials=12,
    quote="USDT",
)
VOID = {"meta", "br", "circle", "path", "use", "rect", "line"}


def _result(num: int = 2_000, *, trades: bool = True) -> BacktestResult:
    limits = FREE_HAND.model_copy(update={"max_symbol_weight": 0.5, "no_trade_band": 0.05})
    return run.run(
        feed(
            {BTC: walk(num, 1), ETH: walk(num, 2)}, lambda _, i: (0.02 if (i // 50) % 2 else -0.02) if trades else None
        ),
        timeframe=HOUR,
        markets={key: market(key) for key in (BTC, ETH)},
        limits=limits,
        costs=CostSettings.model_validate({}),
    )


@pytest.fixture(scope="module")
def page() -> str:
    return report.render(_result(), [score(0), score(1)], PROVENANCE)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        self.links += [v for k, v in attrs if k in ("href", "src", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [v for k, v in attrs if k == "id"]
        self.links += [v for k, v in attrs if k in ("href", "src")]

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_page_fetches_nothing(page: str) -> None:
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page
    assert "<script" not in page
    tags = _Tags()
    tags.feed(page)
    assert all(link.startswith("#") for link in tags.links)
    assert {x.strip("'\"") for x in re.findall(r"url\((.*?)\)", page)} <= {f"#{i}" for i in tags.ids}


def test_page_is_well_formed_and_no_id_stands_twice(page: str) -> None:
    tags = _Tags()
    tags.feed(page)
    assert tags.faults == []
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert {link[1:] for link in tags.links} <= set(tags.ids)


def test_page_says_where_it_comes_from_and_escapes_it(page: str) -> None:
    for text in (
        PROVENANCE.data_origin,
        "0123456789ab",
        "scripted &lt;net&gt;",
        "lake version 3",
        "BTC/USDT",
        "2024-01-01",
    ):
        assert text in page
    assert "<net>" not in page


def test_page_holds_every_part(page: str) -> None:
    parts = (
        "Account value", "Drawdown", "Forecast skill", "Interval coverage", "Hit rate by confidence", "Calibration",
        "Costs", "Checks", "Monthly returns", "Exposure", "Markets", "What this does not show", "Deflated Sharpe",
    )  # fmt: skip
    assert [p for p in parts if f">{p}" not in page] == []


@pytest.mark.parametrize(
    ("num", "trades", "scores"),
    [
        (200, False, []),
        (200, True, [score(0)]),
        (1, True, []),
        (2, False, [score(0)]),
        (300, True, [score(0, t=float("nan")), score(1)]),
    ],
    ids=["no trade, no fold", "one fold", "one bar", "two bars", "a fold without t"],
)
def test_corner_cases_render_whole_and_without_nan(num: int, trades: bool, scores: list) -> None:
    page = report.render(_result(num, trades=trades), scores, PROVENANCE)
    assert not re.search(r"\b(nan|NaN|inf|None)\b", page)
    tags = _Tags()
    tags.feed(page)
    assert (tags.faults, tags.open) == ([], [])


def test_same_backtest_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (report.write(tmp_path / name / "report.html", _result(300), [score(0)], PROVENANCE) for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_no_skill_is_said_in_the_headline() -> None:
    page = report.render(_result(300), [score(0, loss=(10.1, 10.2), t=-2.0)], PROVENANCE)
    assert "show no skill over" in page[page.index("<h1>") : page.index("</h1>")]


def test_page_shows_whether_what_was_stated_came_true(page: str) -> None:
    for name in ("calibration", "reliability", "regimes", "abstention"):
        assert f'data-figure="{name}"' in page
    assert "Expected calibration error of the direction at 24\u00a0h: 0.6\u202f%" in page


def test_scores_of_older_versions_make_a_page_without_what_they_lack() -> None:
    old = [{k: v for k, v in score(i).items() if k != "calibration"} for i in range(2)]
    page = report.render(_result(), old, PROVENANCE)
    assert 'data-figure="calibration"' in page
    assert 'data-figure="reliability"' not in page
    assert "Expected calibration error" not in page
