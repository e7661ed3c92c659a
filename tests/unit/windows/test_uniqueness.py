"""Uniqueness against the book's figures and against a slow reading of its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError, DataError
from heliograph.windows.intervals import Intervals
from heliograph.windows.uniqueness import (
    Spans,
    average_uniqueness,
    concurrency,
    draw_chances,
    sequential_bootstrap,
    spans,
    time_decay,
    weights,
)

BOOK = Spans(np.array([0, 2, 4]), np.array([2, 3, 5]), 6)
"""López de Prado 2018, ch. 4.5.3: labels over bars 0 to 2, 2 to 3 and 4 to 5."""


@st.composite
def layouts(draw: st.DrawFn) -> Spans:
    num_bars = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    first = np.sort(rng.integers(0, num_bars, draw(st.integers(1, 40))))
    return Spans(first, np.minimum(first + rng.integers(0, 12, first.size), num_bars - 1), num_bars)


def holds(labels: Spans) -> np.ndarray:
    """Which bars (rows) each label (columns) holds: the book's indicator matrix."""
    bar = np.arange(labels.num_bars)[:, None]
    return (bar >= labels.first_N) & (bar <= labels.last_N)


def slow_uniqueness(held: np.ndarray) -> np.ndarray:
    share = held / np.maximum(held.sum(axis=1, keepdims=True), 1)
    return share.sum(axis=0) / held.sum(axis=0)


def slow_chances(labels: Spans, drawn: np.ndarray) -> np.ndarray:
    """Snippet 4.5: each label joins the drawn ones, and the mean uniqueness of the newcomer counts."""
    held = holds(labels)
    unique = np.array([slow_uniqueness(held[:, [*drawn, i]])[-1] for i in range(held.shape[1])])
    return unique / unique.sum()


def test_book_uniqueness() -> None:
    np.testing.assert_allclose(average_uniqueness(BOOK), [5 / 6, 3 / 4, 1.0], rtol=1e-15)
    assert concurrency(BOOK).tolist() == [1, 1, 2, 1, 1, 1]


def test_book_chances_after_the_second_label_was_drawn() -> None:
    np.testing.assert_allclose(draw_chances(BOOK, np.array([1])), [5 / 14, 3 / 14, 6 / 14], rtol=1e-15)
    np.testing.assert_allclose(draw_chances(BOOK, np.array([], dtype=np.int64)), np.full(3, 1 / 3), rtol=1e-15)


@given(layouts())
def test_uniqueness_follows_its_definition(labels: Spans) -> None:
    held = holds(labels)
    np.testing.assert_array_equal(concurrency(labels), held.sum(axis=1))
    np.testing.assert_allclose(average_uniqueness(labels), slow_uniqueness(held), rtol=1e-14)


@given(layouts(), st.data())
def test_chances_follow_their_definition(labels: Spans, data: st.DataObject) -> None:
    drawn = np.array(data.draw(st.lists(st.integers(0, labels.first_N.size - 1), max_size=8)), dtype=np.int64)
    np.testing.assert_allclose(draw_chances(labels, drawn), slow_chances(labels, drawn), rtol=1e-12)


@settings(max_examples=30)
@given(layouts(), st.integers(0, 2**32 - 1))
def test_every_draw_is_the_slow_references(labels: Spans, seed: int) -> None:
    drawn = sequential_bootstrap(labels, 10, np.random.default_rng(seed))
    chance = np.random.default_rng(seed).random(10)
    for s in range(10):
        edges = np.cumsum(slow_chances(labels, drawn[:s]))
        assert (edges[drawn[s] - 1] if drawn[s] else 0.0) - 1e-9 <= chance[s] <= edges[drawn[s]] + 1e-9


def test_uniqueness_keeps_its_digits_over_two_million_bars() -> None:
    n, h = 2_000_000, 24
    first = np.arange(n - h)
    unique = average_uniqueness(Spans(first, first + h - 1, n))
    assert np.abs(unique[h:-h] * h - 1.0).max() < 1e-14


def test_sequential_bootstrap_draws_more_unique_samples_than_chance() -> None:
    """The book's experiment, snippets 4.7 and 4.8: ten labels over a hundred bars, uniqueness about 0.6 and 0.7."""
    rng = np.random.default_rng(7)
    ours, chance = [], []
    for _ in range(300):
        first = np.sort(rng.integers(0, 100, 10))
        labels = Spans(first, first + rng.integers(1, 5, 10), 104)
        held = holds(labels)
        ours.append(slow_uniqueness(held[:, sequential_bootstrap(labels, 10, rng)]).mean())
        chance.append(slow_uniqueness(held[:, rng.integers(0, 10, 10)]).mean())
    assert np.mean(chance) == pytest.approx(0.6, abs=0.05)
    assert np.mean(ours) == pytest.approx(0.7, abs=0.05)
    assert np.mean(ours) > np.mean(chance) + 0.05


def test_spans_go_by_time_across_a_gap() -> None:
    known = np.array([10, 20, 30, 80, 90])
    labels = spans(known, Intervals(np.array([10, 30, 30]), np.array([30, 80, 85])))
    assert (labels.first_N.tolist(), labels.last_N.tolist()) == ([1, 3, 3], [2, 3, 3])


def test_labels_that_follow_each_other_share_nothing() -> None:
    """The label up to 20 holds the return that ends at 20; the one from 20 on begins with the next."""
    labels = spans(np.arange(0, 60, 10), Intervals(np.array([0, 20]), np.array([20, 40])))
    assert average_uniqueness(labels).tolist() == [1.0, 1.0]


def test_span_without_bars_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="label 1 spans bars"):
        spans(np.array([0, 10, 20]), Intervals(np.array([0, 20]), np.array([10, 29])))
    with pytest.raises(DataError, match="label 1 spans bars 0 to 1 of 4: sort"):
        Spans(np.array([2, 0]), np.array([3, 1]), 4)


def test_decay_reaches_from_the_oldest_factor_to_one() -> None:
    unique = np.full(1_000, 0.01)
    for oldest in (1.0, 0.5, 0.0):
        decay = time_decay(unique, oldest=oldest)
        assert decay[-1] == 1.0
        assert decay[0] == pytest.approx(oldest, abs=2e-3)
        assert (np.diff(decay) >= 0).all()
    assert (time_decay(unique, oldest=-0.25) == 0).mean() == pytest.approx(0.25, abs=2e-3)
    for oldest in (-1.0, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="oldest is"):
            time_decay(unique, oldest=oldest)


@given(layouts(), st.floats(-0.9, 1.0))
def test_weights_have_mean_one(labels: Spans, oldest: float) -> None:
    made = weights(labels, oldest=oldest)
    assert made.mean() == pytest.approx(1.0)
    assert (made >= 0).all()


def test_nothing_to_draw_from_says_so() -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(ConfigError, match=r"labels\.horizons_bars"):
        sequential_bootstrap(Spans(none, none, 5), 3, np.random.default_rng(1))
    assert weights(Spans(none, none, 5)).size == 0
