"""The page of a search: one file that needs nothing else, and says of every candidate what became of it."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from heliograph.train import selection, sweep_report
from heliograph.train.selection import Rules
from heliograph.train.space import Axis
from heliograph.train.sweep_report import Page

AXES = (
    Axis("features.names", "choice", choices=(["core"], ["core", "har_*"], ["core", "har_*", "rsi_*"])),
    Axis("model.dropout", "float", 0.0, 0.3),
    Axis("model.lstm_layers", "int", 1, 3),
    Axis("model.width", "choice", choices=(16, 32)),
    Axis("train.learning_rate", "float", 5e-4, 5e-3, is_log=True),
)
RULES = Rules(candidates=24, folds=3, abreast=4, reduction=2, grace=4)


def made(candidates: int = 24) -> Page:
    rng = np.random.default_rng(7)
    points = []
    outcomes: dict[tuple[int, int], float | None] = {}
    for n in range(candidates):
        rate = float(np.exp(rng.uniform(np.log(5e-4), np.log(5e-3))))
        point = {
            "features.names": AXES[0].choices[rng.integers(3)],
            "model.dropout": float(rng.uniform(0, 0.3)),
            "model.lstm_layers": int(rng.integers(1, 4)),
            "model.width": (16, 32)[rng.integers(2)],
            "train.learning_rate": rate,
        }
        points.append(point)
        for fold in range(3):
            outcomes[n, fold] = 0.8 - abs(np.log(rate / 1.5e-3)) + 0.1 * float(rng.normal()) - 0.1 * fold
    if candidates > 5:
        outcomes[5, 1] = None
    standings = selection.standings(outcomes, candidates, RULES)
    return Page(
        name="0123456789ab-v42",
        objective="skill",
        origin="A generated market.",
        axes=AXES,
        points=tuple(points),
        standings=standings,
        importance={"train.learning_rate": 0.71, "model.dropout": 0.15, "model.width": 0.1, "features.names": 0.04},
        errors={5: "the train slice of fold 1 has 12 usable windows, fewer than train.batch_size 128"},
        took_s=3_700.0,
        tried=31,
    )


@pytest.fixture(scope="module")
def page() -> str:
    return sweep_report.render(made())


def test_page_needs_nothing_else_and_is_the_same_every_time(page: str):
    assert page.startswith("<!doctype html>")
    assert not re.search(r"https?://|<script|<link|url\((?!#)", page)
    assert page == sweep_report.render(made())


def test_every_candidate_stands_in_the_table_with_what_became_of_it(page: str):
    standings = made().standings
    rows = re.findall(r"<tr class=\"(\w*)\"><td>(\d+)<small>([^<]+)</small>", page)
    assert sorted(int(number) for _, number, _ in rows) == list(range(24))
    for told, state in (("all folds", "done"), ("stopped early", "stopped"), ("failed", "failed")):
        assert sum(r[2] == told for r in rows) == sum(s.state == state for s in standings) > 0
    best = selection.best(standings)
    assert [int(number) for kind, number, _ in rows if kind == "best"] == [best.number]


def test_stopped_candidates_and_failures_say_why(page: str):
    for s in made().standings:
        if s.state == "stopped":
            assert f"Candidate {s.number} after " in page
    assert "fewer than train.batch_size 128" in page


def test_charts_have_a_shape_for_wide_and_one_for_narrow_pages(page: str):
    names = re.findall(r'data-figure="([\w-]+)"', page)
    assert sorted(names) == [
        "coordinates-narrow", "coordinates-wide", "course-narrow", "course-wide", "folds", "importance",
    ]  # fmt: skip
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_page_stands_without_a_best_candidate_and_without_importance():
    told = sweep_report.render(replace(made(1), standings=selection.standings({(0, 0): None}, 1, RULES), importance={}))
    assert "No candidate ran through all folds." in told
    assert "raise sweep.candidates" in told


def test_standing_settings_are_named_as_such():
    told = sweep_report.render(made())
    assert "the settings as they stood" in told or made().standings[0].state != "done"


def test_words_of_users_are_escaped():
    assert "&lt;b&gt;" in sweep_report.render(replace(made(), origin="<b>bold</b>"))
