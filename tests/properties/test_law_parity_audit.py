"""Parity of native and derived: every bar that differs is listed, with its columns, and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.audit.makes import MINUTE, START_MS, path, quoted

from heliograph.audit import derived
from heliograph.core.timeframe import parse

COLUMNS = ("open", "high", "low", "close", "volume")
MINUTES = quoted(path(2_880), 3)

changes = st.dictionaries(st.integers(0, 47), st.sets(st.sampled_from(COLUMNS), min_size=1), max_size=8)


@settings(max_examples=60)
@given(st.sampled_from(["5m", "15m", "1h", "4h"]), changes)
def test_what_differs_is_listed_and_nothing_else(name: str, wanted: dict[int, set[str]]) -> None:
    frame = parse(name)
    true = derived.summed(MINUTES, frame)
    wanted = {bar: columns for bar, columns in wanted.items() if bar < len(true)}
    columns = {c: getattr(true, c).copy() for c in COLUMNS}
    for bar, names in wanted.items():
        for c in names:
            columns[c][bar] += 0.1
    found = derived.compare(replace(true, **columns), MINUTES, frame, MINUTE).differences()
    assert {(d.open_ts_ms - START_MS) // frame.ms: set(d.fields) for d in found} == wanted


@settings(max_examples=60)
@given(st.sets(st.integers(0, 2_879), max_size=20))
def test_bars_with_a_minute_that_is_not_there_are_not_compared(lost: set[int]) -> None:
    frame = parse("1h")
    keep = np.ones(len(MINUTES), dtype=np.bool_)
    keep[list(lost)] = False
    compared = derived.compare(derived.summed(MINUTES, frame), MINUTES.take(keep), frame, MINUTE)
    broken = {START_MS + minute // 60 * frame.ms for minute in lost}
    assert not broken & set(compared.open_ts_ms.tolist())
    assert compared.open_ts_ms.size == 48 - len(broken)
    assert compared.differences() == []
