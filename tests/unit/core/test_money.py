"""Ticks give back the very doubles that a venue's decimals became."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import SchemaMismatch
from heliograph.core.money import floor_to_step, from_ticks, to_ticks


@given(
    st.integers(0, 8).flatmap(
        lambda s: st.lists(st.integers(0, 10**14).map(lambda n: float(Decimal(n).scaleb(-s))), max_size=30)
    )
)
def test_decimal_prices_survive_as_ticks_bit_for_bit(values: list[float]):
    doubles = np.asarray(values)
    ticks, scale = to_ticks(doubles)
    assert from_ticks(ticks, scale).tobytes() == doubles.tobytes()


def test_scale_is_the_smallest_that_fits():
    ticks, scale = to_ticks(np.asarray([1.5, 0.25, 100.0]))
    assert (ticks.tolist(), scale) == ([150, 25, 10_000], 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.1 + 0.2])
def test_what_is_no_decimal_price_is_refused(value: float):
    with pytest.raises(SchemaMismatch):
        to_ticks(np.asarray([value]))


@given(st.decimals("-1e9", "1e9", places=8), st.sampled_from(["1", "0.1", "0.00001", "0.5"]).map(Decimal))
def test_floor_to_step_never_grows_and_lies_on_the_step(qty: Decimal, step: Decimal):
    floored = floor_to_step(qty, step)
    assert abs(floored) <= abs(qty)
    assert abs(qty - floored) < step
    assert floored % step == 0
