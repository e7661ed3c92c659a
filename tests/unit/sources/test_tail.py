"""Whatever a stream does, the tail gives every final bar once and in order."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.sources.tail import Gap, Row, Tail

M = parse("1m")


def bar(n: int, volume: float) -> Row:
    return (n * MINUTE_MS, 1.0, 1.0, 1.0, 1.0, volume)


def final(n: int) -> Row:
    return bar(n, 100.0 + n)


def test_bar_comes_out_when_the_next_one_is_heard() -> None:
    tail = Tail(M, 0)
    tail.update([bar(0, 1)])
    assert tail.take() == []
    tail.update([final(0), bar(1, 1)])
    assert tail.take() == [final(0)]
    assert tail.take() == []


def test_last_word_before_the_next_bar_counts() -> None:
    tail = Tail(M, 0)
    tail.update([bar(0, 1)])
    tail.update([bar(0, 2)])
    tail.update([bar(1, 1)])
    assert tail.take() == [bar(0, 2)]


def test_half_a_bar_from_a_broken_connection_is_fetched_again() -> None:
    tail = Tail(M, 0)
    tail.update([bar(0, 1)])
    tail.lose()
    tail.update([bar(1, 1)])
    assert tail.take() == []
    assert tail.gap() == Gap(0, MINUTE_MS)
    assert tail.gap() is None, "told once"
    assert tail.fill(Gap(0, MINUTE_MS), [final(0)]) == [final(0)]


def test_silent_bar_is_fetched_once_the_clock_proves_it_closed() -> None:
    tail = Tail(M, 0)
    tail.update([bar(0, 1)])
    tail.prove(MINUTE_MS - 1)
    assert tail.gap() is None
    tail.prove(MINUTE_MS)
    assert tail.gap() == Gap(0, MINUTE_MS)


def test_bar_that_the_history_does_not_have_is_skipped() -> None:
    tail = Tail(M, 0)
    tail.update([bar(2, 1)])
    assert tail.gap() == Gap(0, 2 * MINUTE_MS)
    assert tail.fill(Gap(0, 2 * MINUTE_MS), [final(1)]) == [final(1)]
    tail.update([final(2), bar(3, 1)])
    assert tail.take() == [final(2)]


def test_bars_before_the_start_are_ignored() -> None:
    tail = Tail(M, 5 * MINUTE_MS)
    tail.update([final(3), final(4), final(5), bar(6, 1)])
    assert tail.take() == [final(5)]


def test_bar_that_was_begun_unheard_closes_those_before_and_is_fetched() -> None:
    """The first trade of a connection comes in the middle of a bar: the bar exists, but was not heard in full."""
    tail = Tail(M, 0)
    tail.update([], begun_ms=MINUTE_MS)
    assert tail.gap() == Gap(0, MINUTE_MS)
    assert tail.fill(Gap(0, MINUTE_MS), [final(0)]) == [final(0)]
    tail.update([bar(2, 1)])
    assert tail.take() == []
    assert tail.gap() == Gap(MINUTE_MS, 2 * MINUTE_MS)


def test_gap_is_quiet_only_where_the_stream_was_heard_before_and_told_nothing() -> None:
    tail = Tail(M, 0)
    tail.update([final(0), bar(1, 1)])
    assert tail.take() == [final(0)]
    tail.update([final(1), bar(4, 1)])
    assert tail.take() == [final(1)]
    assert tail.gap() == Gap(2 * MINUTE_MS, 4 * MINUTE_MS, is_quiet=True)
    assert tail.fill(Gap(2 * MINUTE_MS, 4 * MINUTE_MS), []) == []
    tail.prove(5 * MINUTE_MS)
    assert tail.gap() == Gap(4 * MINUTE_MS, 5 * MINUTE_MS, is_quiet=False), "an update of it was heard"
    tail.fill(Gap(4 * MINUTE_MS, 5 * MINUTE_MS), [final(4)])
    tail.lose()
    tail.prove(6 * MINUTE_MS)
    assert tail.gap() == Gap(5 * MINUTE_MS, 6 * MINUTE_MS, is_quiet=False), "nobody listened"


class Venue:
    """The model: bars follow each other, the stream tells some updates, connections break, fills answer late."""

    def __init__(self, since: int) -> None:
        self.tail = Tail(M, since * MINUTE_MS)
        self.now = 0  # the bar that is open
        self.out: list[Row] = []
        self.asked: list[Gap] = []
        self.volume = 0.0

    def part(self) -> Row:
        self.volume += 0.01
        return bar(self.now, self.volume)

    def tick(self) -> None:
        self.tail.update([self.part()])

    def close(self) -> None:
        self.tail.update([final(self.now)])
        self.now += 1
        self.tick()

    def silently_close(self) -> None:
        """Updates are lost only where a connection broke."""
        self.now += 1
        self.tail.lose()

    def lose(self) -> None:
        self.tail.lose()

    def read_clock(self) -> None:
        self.tail.prove(self.now * MINUTE_MS + 1)

    def snapshot(self) -> None:
        self.tail.update([*(final(n) for n in range(max(self.now - 3, 0), self.now)), self.part()])

    def be_half_heard(self) -> None:
        self.tail.update([], begun_ms=self.now * MINUTE_MS)

    def answer(self) -> None:
        if self.asked:
            gap = self.asked.pop()
            bars = range(gap.start_ms // MINUTE_MS, gap.end_ms // MINUTE_MS)
            self.out += self.tail.fill(gap, [final(n) for n in bars])

    def settle(self) -> None:
        self.out += self.tail.take()
        if gap := self.tail.gap():
            assert gap.start_ms < gap.end_ms <= self.now * MINUTE_MS
            assert not gap.is_quiet, "every bar of this venue exists"
            self.asked.append(gap)
        assert len(self.asked) <= 1


STEPS = (
    Venue.tick,
    Venue.close,
    Venue.silently_close,
    Venue.lose,
    Venue.read_clock,
    Venue.snapshot,
    Venue.be_half_heard,
    Venue.answer,
)


@given(since=st.integers(0, 3), steps=st.lists(st.sampled_from(STEPS), max_size=80))
def test_any_story_gives_each_final_bar_once_in_order(since: int, steps: list[Callable[[Venue], None]]) -> None:
    venue = Venue(since)
    for step in steps:
        step(venue)
        venue.settle()
    venue.read_clock()
    while venue.tail.due_ms < venue.now * MINUTE_MS:
        venue.settle()
        venue.answer()
    assert venue.out == [final(n) for n in range(since, venue.now)]
