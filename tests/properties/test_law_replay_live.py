"""Law: journal → same ledger, byte for byte; and whatever stands in a journal comes back as it was."""

from __future__ import annotations

import math
import tempfile
from decimal import Decimal
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.live.scripted import LIMITS, restored_broker, trade
from tests.unit.trading.makes import BTC, COSTS, ETH, MARKETS, candle

from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.events import (
    CandleClosed,
    ForecastMade,
    KillSwitched,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
)
from heliograph.live import codec
from heliograph.live.journal import SqliteJournal, read
from heliograph.live.reconcile import recover
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine

texts = st.text(max_size=20)
ints = st.integers(-(2**62), 2**62)
floats = st.floats(allow_nan=False)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
sides = st.sampled_from(["buy", "sell"])
rows = st.lists(floats, max_size=3).map(tuple)
entries = st.one_of(
    st.builds(CandleClosed, texts, texts, texts, ints, ints, *[floats] * 5),
    st.builds(
        ForecastMade, texts, texts, texts, ints, floats, st.lists(ints, max_size=3).map(tuple), rows,
        st.lists(rows, max_size=2).map(tuple), st.lists(rows, max_size=2).map(tuple), rows, texts,
    ),
    st.builds(OrderAccepted, texts, ints),
    st.builds(OrderRejected, texts, ints, texts),
    st.builds(OrderCancelled, texts, ints),
    st.builds(OrderFilled, texts, texts, texts, texts, sides, decimals, decimals, decimals, ints),
    st.builds(KillSwitched, ints, texts),
    st.builds(SubmitOrder, texts, texts, texts, sides, decimals, decimals, st.booleans(), ints),
    st.builds(CancelOrder, texts, texts, texts, ints),
    st.builds(Halt, texts, ints),
)  # fmt: skip
walks = st.lists(st.tuples(st.floats(-0.08, 0.08), st.floats(-0.08, 0.08), st.integers(0, 9)), min_size=5, max_size=25)


@given(entries)
@settings(max_examples=150)
def test_every_entry_comes_back_as_it_was(entry):
    back = codec.decode(codec.encode(entry))
    assert back == entry
    assert repr(back) == repr(entry)
    assert codec.encode(back) == codec.encode(entry)


@given(st.lists(entries, max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
@settings(max_examples=25)
def test_journal_gives_back_what_was_appended_in_order(written, durable):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j.sqlite"
        with SqliteJournal(path, account="a") as journal:
            numbers = [journal.append(e, durable=d) for e, d in zip(written, durable, strict=False)]
            assert list(journal.replay()) == written
        assert numbers == list(range(1, len(written) + 1))
        assert list(read(path)) == written


@given(walks)
@settings(max_examples=25)
def test_any_run_comes_back_from_its_journal_byte_for_byte(walk):
    """Two markets walk at random, with holes; the journal on disk alone gives the state and the venue back."""
    prices, candles = [100.0, 200.0], []
    for bar, (btc, eth, hole) in enumerate(walk):
        prices = [p * math.exp(r) for p, r in zip(prices, (btc, eth), strict=True)]
        candles += [
            candle(bar, round(p, 2), k) for n, (p, k) in enumerate(zip(prices, (BTC, ETH), strict=True)) if hole != n
        ]
    with tempfile.TemporaryDirectory() as folder, SqliteJournal(Path(folder) / "j.sqlite", account="a") as journal:
        broker = SimBroker(COSTS, MARKETS)
        end, desk = trade(journal, broker, candles, kill_file=Path(folder) / "none")
        initial = engine.initial(LIMITS, MARKETS, costs=COSTS)
        state = recover(journal.replay(), initial, limits=LIMITS).state
        assert repr(state.ledger) == repr(desk.state.ledger)
        assert state == desk.state
        assert restored_broker(journal).client_ids == broker.client_ids
        assert end.is_balanced
        assert all(isinstance(e.qty_base, Decimal) for e in journal.replay() if isinstance(e, OrderFilled))
