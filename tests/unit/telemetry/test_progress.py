"""The finish time that is shown is the one that comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.telemetry.progress import Forecast, Quiet, bar, duration


class Hand:
    """A clock that is moved by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@settings(max_examples=60)
@given(
    startup_share=st.floats(0, 0.03),
    shards=st.integers(1_000, 4_000),
    unevenness=st.floats(0, 1),
    burst=st.floats(0, 0.03),
    seed=st.integers(0, 2**32 - 1),
)
def test_after_a_tenth_of_the_work_the_finish_is_known_within_a_fifth(
    startup_share, shards, unevenness, burst, seed
) -> None:
    """A run that starts late, spends a burst at once, and whose shards take between nothing and twice the mean.

    Of fewer shards a tenth is too few to tell, and what the limit allows counts with them.
    """
    rng = np.random.default_rng(seed)
    took_s = rng.uniform(1 - unevenness, 1 + unevenness, shards)
    took_s[: int(burst * shards)] = 0.0
    ends_s = startup_share * shards + np.cumsum(took_s)
    clock = Hand()
    forecast = Forecast(clock)
    for done, end_s in enumerate(ends_s, start=1):
        clock.now_s = float(end_s)
        forecast.reach(done / shards)
        if done >= shards / 10:
            break
    left_s = forecast.left_s()
    assert left_s is not None
    assert clock.now_s + left_s == pytest.approx(ends_s[-1], rel=0.2)


def test_a_venue_that_slows_down_is_forecast_by_its_new_pace() -> None:
    clock = Hand()
    forecast = Forecast(clock)
    for fraction, now_s in ((0.1, 10), (0.2, 20), (0.3, 120), (0.4, 220), (0.6, 420)):
        clock.now_s = now_s
        forecast.reach(fraction)
    assert forecast.left_s() == pytest.approx(400)


def test_what_is_expected_counts_until_a_tenth_is_done() -> None:
    clock = Hand()
    forecast = Forecast(clock, expected_s=100.0)
    clock.now_s = 10.0
    assert forecast.left_s() == 90.0
    forecast.reach(0.05)
    assert forecast.left_s() == pytest.approx(0.25 * 190 + 0.75 * 95)
    clock.now_s = 30.0
    forecast.reach(0.1)
    assert forecast.left_s() == pytest.approx(20 / 0.05 * 0.9)


def test_nothing_is_forecast_before_anything_is_done() -> None:
    assert Forecast(Hand()).left_s() is None


def test_bars_take_lanes_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("fetch") as shown:
        shown.tell("binance spot 3 requests")
        lane = shown.lane("binance spot")
        lane.reach(0.5, "1,000 candles")
        shown.reach(1.0)
    said = capsys.readouterr().out
    assert "binance spot 3 requests" in said
    assert "binance spot: 50 %" in said
    Quiet().lane("x").reach(1.0)
    Quiet().tell("x")


def test_durations_are_read_at_a_glance() -> None:
    assert [duration(s) for s in (0, 59.4, 60, 3_599, 3_600, 90_000)] == [
        "0 s",
        "59 s",
        "1 m 00 s",
        "59 m 59 s",
        "1 h 00 m",
        "25 h 00 m",
    ]
