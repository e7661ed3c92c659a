"""Charts keep the curve's shape, their text and their size."""

from __future__ import annotations

import numpy as np
from tests.unit.backtest.tapes import HOUR, START_MS

from heliograph.backtest import figures


def _curve(num: int) -> tuple[np.ndarray, np.ndarray]:
    values = 100_000 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.002, num)))
    return START_MS + np.arange(num) * HOUR.ms, values


def test_thinning_keeps_both_ends_and_the_extremes() -> None:
    _, values = _curve(50_000)
    rows = figures._thin(values)
    assert rows.size <= 1_202
    assert {0, 49_999, int(values.argmin()), int(values.argmax())} <= set(rows.tolist())
    assert figures._thin(values[:500]).tolist() == list(range(500))


def test_long_history_stays_a_small_picture_whose_text_is_text() -> None:
    ts, values = _curve(50_000)
    svg = figures.equity(ts, [(values, figures.STRATEGY, "-")], [START_MS], name="equity", size=figures.WIDE)
    assert len(svg) < 80_000
    assert ">fold 1</text>" in svg
    assert "font-family" not in svg
    assert svg.startswith('<svg role="img" aria-label="Account value over time"')


def test_a_wide_spread_is_drawn_on_a_logarithmic_axis() -> None:
    ts, _ = _curve(100)
    steep = np.geomspace(1_000, 100_000, 100)
    svg = figures.equity(ts, [(steep, figures.STRATEGY, "-")], [], name="equity", size=figures.WIDE)
    assert all(f">{label}</text>" in svg for label in ("1\u202f000", "10\u202f000", "100\u202f000"))


def test_same_chart_under_two_names_shares_no_id() -> None:
    ts, values = _curve(100)
    one, two = (figures.underwater(ts, values, values, [], name=n, size=figures.NARROW) for n in "ab")
    ids = [{part.split('"')[0] for part in svg.split(' id="')[1:]} for svg in (one, two)]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_regime_without_an_origin_is_left_out_of_its_chart() -> None:
    share = np.array([[0.8, np.nan, 0.7], [0.81, np.nan, 0.75]])
    svg = figures.regimes(["1\u00a0h", "24\u00a0h"], share, share + 0.15, name="regimes")
    assert "nan" not in svg.lower().replace("nano", "")
