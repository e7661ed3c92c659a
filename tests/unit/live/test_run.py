"""The driver and what a start does before it."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.live.scripted import LIMITS, ListJournal, ScriptedDesk, StillClock, feed, restored_broker, tape, trade
from tests.unit.trading.makes import BTC, COSTS, ETH, HOUR_MS, MARKETS, accepted, candle, order

from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.events import CandleClosed, ForecastMade, OrderCancelled
from heliograph.live.guard import Guard
from heliograph.live.reconcile import Recovery, recover, resolve
from heliograph.live.run import closing, run
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine
from heliograph.trading.orders import Phase


def first():
    return engine.initial(LIMITS, MARKETS, costs=COSTS)


def go(candles, tmp_path, *, journal=None, clock=None, max_candles=None, on_bar=None):
    journal = ListJournal() if journal is None else journal
    recovery = recover(journal.replay(), first(), limits=LIMITS)
    desk, broker = ScriptedDesk(recovery.state), SimBroker(COSTS, MARKETS)
    guard = Guard(clock or StillClock(), tmp_path / "KILL", 2)
    end = asyncio.run(
        run(
            feed(candles, None, None, 0), desk, broker, journal,
            recovery=recovery, guard=guard, max_candles=max_candles, on_bar=on_bar,
        )
    )  # fmt: skip
    return end, desk, broker, journal


def test_run_trades_and_tells_the_account(tmp_path):
    end, desk, broker, _ = go(tape(), tmp_path)
    assert end.candles == len(tape())
    assert end.orders == len(broker.client_ids) > 10
    assert end.fills > 10
    assert end.is_balanced
    assert end.equity_quote == desk.state.equity_quote
    assert end.fees_quote > 0
    assert set(end.positions_base) == {BTC, ETH}
    assert end.halted == ""


def test_it_stops_after_as_many_candles_as_it_was_told(tmp_path):
    told = []
    end, *_ = go(tape(), tmp_path, max_candles=5, on_bar=lambda c, f, s: told.append((c, f, s)))
    assert end.candles == len(told) == 5
    assert [c for c, _, _ in told] == tape()[:5]


def test_on_bar_is_told_the_forecast_and_the_state_after_the_bar(tmp_path):
    told = []
    _, desk, *_ = go(tape(), tmp_path, on_bar=lambda _, f, s: told.append((f, s)))
    assert isinstance(told[-1][0], ForecastMade)
    assert told[-1][1] == desk.state
    assert told[0][0] is None


def test_journal_holds_what_a_replay_needs_and_commands_are_durable(tmp_path):
    durable = {}

    class Noting(ListJournal):
        def append(self, entry, *, durable: bool):
            flags.setdefault(type(entry), set()).add(durable)
            return super().append(entry, durable=durable)

    flags = durable
    go(tape(), tmp_path, journal=Noting())
    assert ForecastMade not in durable
    assert durable[SubmitOrder] == {True}
    assert durable[CandleClosed] == {False}


def test_stale_candles_mark_but_do_not_trade(tmp_path):
    end, desk, *_ = go(tape(), tmp_path, clock=StillClock(10_000 * HOUR_MS))
    assert end.orders == 0
    assert desk.state.marks[BTC].open_ts_ms == tape()[-2].open_ts_ms


def test_kill_file_cancels_halts_and_lets_nothing_out(tmp_path):
    journal, broker = ListJournal(), SimBroker(COSTS, MARKETS)
    end, _ = trade(journal, broker, tape(), kill_file=tmp_path / "KILL", kill_from=20)
    halted = next(n for n, row in enumerate(journal.rows) if isinstance(row, Halt))
    assert end.halted == "kill switch: by hand"
    assert not any(isinstance(row, SubmitOrder) for row in journal.rows[halted:])
    assert any(isinstance(row, CancelOrder) for row in journal.rows)


def test_a_halt_outlives_a_restart(tmp_path):
    journal, broker = ListJournal(), SimBroker(COSTS, MARKETS)
    trade(journal, broker, tape()[:20], kill_file=tmp_path / "KILL", kill_from=10)
    before = len(broker.client_ids)
    (tmp_path / "KILL").unlink()
    end, _ = trade(journal, broker, tape(), kill_file=tmp_path / "KILL")
    assert end.halted
    assert len(broker.client_ids) == before


def test_cancellation_between_bars_leaves_a_whole_journal(tmp_path):
    """SIGTERM cancels the task; the account then stands as the journal tells it."""
    journal, desk, broker = ListJournal(), ScriptedDesk(first()), SimBroker(COSTS, MARKETS)
    recovery, guard = recover((), first(), limits=LIMITS), Guard(StillClock(), tmp_path / "KILL", 2)

    async def story():
        task = None

        def stop_at_twelve(bar, *_):
            if bar == tape()[12]:
                task.cancel()

        task = asyncio.ensure_future(
            run(
                feed(tape(), None, None, 0), desk, broker, journal,
                recovery=recovery, guard=guard, max_candles=None, on_bar=stop_at_twelve,
            )
        )  # fmt: skip
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(story())
    assert sum(isinstance(r, CandleClosed) for r in journal.rows) == 13
    assert recover(journal.replay(), first(), limits=LIMITS).state == desk.state
    assert closing(desk.state, 13).is_balanced


def test_broker_is_asked_before_a_new_bar_even_if_the_last_one_never_comes_again(tmp_path):
    journal = ListJournal([candle(0, 100.0), order(), candle(0, 200.0, ETH)])
    _, desk, broker, _ = go([candle(1, 101.0)], tmp_path, journal=journal)
    assert broker.client_ids == (order().client_id,)
    assert desk.state.ledger.fills == 1


def test_first_start_has_nothing_to_recover():
    recovery = recover((), first(), limits=LIMITS)
    assert recovery == Recovery(first(), {}, None, False)
    assert recovery.since_ms is None
    assert not recovery.is_done(candle(0, 1.0))


def test_recovery_tells_where_candles_begin_again_and_which_are_done():
    rows = [candle(0, 100.0), candle(0, 200.0, ETH), candle(1, 101.0)]
    recovery = recover(rows, first(), limits=LIMITS)
    assert recovery.since_ms == HOUR_MS
    assert recovery.is_done(candle(1, 101.0))
    assert not recovery.is_done(candle(1, 201.0, ETH))
    assert recovery.is_undecided
    assert not recover([*rows, order(bar=1)], first(), limits=LIMITS).is_undecided


def resolved(rows, *, broker=None, resend=True):
    journal = ListJournal()
    desk = ScriptedDesk(recover(rows, first(), limits=LIMITS).state)
    broker = broker or restored_broker(ListJournal(rows))
    resolve(desk.state, desk, broker, lambda e, d: journal.append(e, durable=d), resend=resend)
    return desk.state, broker, journal.rows


def test_intent_that_was_never_sent_is_sent_under_its_own_id():
    intent = order()
    state, broker, rows = resolved([candle(0, 100.0), intent])
    assert broker.client_ids == (intent.client_id,)
    assert rows == [accepted(intent)]
    assert state.book.open_order(BTC).phase is Phase.ACCEPTED


def test_fill_that_the_dead_process_never_wrote_is_told_by_the_venue():
    intent, broker = order(), SimBroker(COSTS, MARKETS)
    broker.submit(intent)
    (filled,) = broker.on_candle(candle(1, 100.0))
    state, _, rows = resolved([candle(0, 100.0), intent, accepted(intent)], broker=broker)
    assert rows == [filled]
    assert state.ledger.fills == 1


@pytest.mark.parametrize(("rows", "resend"), [((), False), ((Halt("why", 1),), True)], ids=["stale", "halted"])
def test_stale_or_halted_intents_are_cancelled_not_sent(rows, resend):
    intent = order()
    state, broker, journal = resolved([candle(0, 100.0), intent, *rows], resend=resend)
    assert [type(r) for r in journal] == [CancelOrder, OrderCancelled]
    assert state.book.open_ids == {}
    assert broker.on_candle(candle(1, 100.0)) == []
