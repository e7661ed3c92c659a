"""Law: killed at any row of the journal and started again, a run ends where an undisturbed one ends.

Killed before a row, the fact was not remembered; killed after it, what follows from it was not done. Both happen here at
every row, with a venue that outlived the process and with one that is rebuilt from the journal.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest
from tests.unit.live.scripted import LIMITS, Killed, ListJournal, restored_broker, tape, trade
from tests.unit.trading.makes import COSTS, HOUR_MS, MARKETS

from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.events import CandleClosed, OrderAccepted, OrderFilled
from heliograph.live.journal import SqliteJournal, read
from heliograph.live.reconcile import recover
from heliograph.sim.broker import SimBroker
from heliograph.trading import engine


@dataclass(frozen=True)
class Story:
    """What happens on the tape."""

    candles: list[CandleClosed]
    kill_from: int = 10**9


STORIES = {
    "trading": Story(tape()),
    "drawdown": Story(tape(crash_at=7)),
    "kill_switch": Story(tape(), kill_from=23),
}
ACCOUNT = "paper 100000.0 USDT"


def initial():
    return engine.initial(LIMITS, MARKETS, costs=COSTS)


def undisturbed(story, tmp_path):
    journal, broker = ListJournal(), SimBroker(COSTS, MARKETS)
    end, desk = trade(journal, broker, story.candles, kill_file=tmp_path / "undisturbed", kill_from=story.kill_from)
    return journal, broker, end, desk.state


@pytest.mark.parametrize("name", STORIES)
def test_story_is_worth_killing(name, tmp_path):
    journal, broker, end, _ = undisturbed(STORIES[name], tmp_path)
    kinds = {type(row) for row in journal.rows}
    assert kinds >= {CandleClosed, SubmitOrder, OrderAccepted, OrderFilled}
    assert (end.halted != "") == (name != "trading") == (Halt in kinds)
    assert (CancelOrder in kinds) == (name == "kill_switch")
    assert end.fills >= 8
    assert end.is_balanced
    assert len(set(broker.client_ids)) == end.orders


@pytest.mark.parametrize("venue", ["outlives", "rebuilt"])
@pytest.mark.parametrize("dies_after", [False, True], ids=["before_row", "after_row"])
@pytest.mark.parametrize("name", STORIES)
def test_killed_at_every_row_ends_the_same(name, dies_after, venue, tmp_path):
    story = STORIES[name]
    whole, whole_broker, _, whole_state = undisturbed(story, tmp_path)
    for row in range(len(whole.rows)):
        kill_file = tmp_path / f"kill{row}"
        journal, broker = ListJournal(dies_at=row, dies_after=dies_after), SimBroker(COSTS, MARKETS)
        with pytest.raises(Killed):
            trade(journal, broker, story.candles, kill_file=kill_file, kill_from=story.kill_from)
        if venue == "rebuilt":
            broker = restored_broker(journal)
        _, desk = trade(journal, broker, story.candles, kill_file=kill_file, kill_from=story.kill_from)
        assert repr(desk.state.ledger) == repr(whole_state.ledger), f"killed at row {row}"
        assert desk.state == whole_state, f"killed at row {row}"
        assert sorted(broker.client_ids) == sorted(whole_broker.client_ids), f"killed at row {row}"
        assert [r for r in journal.rows if isinstance(r, SubmitOrder)] == [
            r for r in whole.rows if isinstance(r, SubmitOrder)
        ]
        assert recover(journal.replay(), initial(), limits=LIMITS).state == whole_state


@pytest.mark.parametrize("dies_after", [False, True], ids=["before_row", "after_row"])
def test_killed_twice_in_a_row_ends_the_same(dies_after, tmp_path):
    story = STORIES["trading"]
    whole, _, _, whole_state = undisturbed(story, tmp_path)
    for row in range(0, len(whole.rows) - 8, 3):
        journal = ListJournal(dies_at=row, dies_after=dies_after)
        for again in (None, 0, 1, 5):
            journal.dies_at = row if again is None else again
            with pytest.raises(Killed):
                trade(journal, restored_broker(journal), story.candles, kill_file=tmp_path / "none")
        journal.dies_at = None
        _, desk = trade(journal, restored_broker(journal), story.candles, kill_file=tmp_path / "none")
        assert desk.state == whole_state, f"killed at row {row}"


def test_history_that_lags_behind_the_journal_changes_nothing(tmp_path):
    """The lake ends two bars before the journal does; the stream brings them again, and they only warm the desk up."""
    story = STORIES["trading"]
    whole, _, _, whole_state = undisturbed(story, tmp_path)
    for row in range(0, len(whole.rows), 2):
        journal = ListJournal(dies_at=row)
        with pytest.raises(Killed):
            trade(journal, restored_broker(journal), story.candles, kill_file=tmp_path / "none")
        broker = restored_broker(journal)
        _, desk = trade(journal, broker, story.candles, kill_file=tmp_path / "none", lag_ms=2 * HOUR_MS)
        assert desk.state == whole_state, f"killed at row {row}"


class Deadly:
    """A journal on disk whose process is killed with SIGKILL at its n-th row."""

    def __init__(self, journal, dies_at, dies_after):
        self.journal, self.left, self.dies_after = journal, dies_at, dies_after
        self.replay = journal.replay

    def append(self, entry, *, durable):
        self.left -= 1
        if self.left < 0 and not self.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        seq = self.journal.append(entry, durable=durable)
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return seq


def run_in_child(path, story, dies_after):
    """Never returns: a forked child must not go on running the tests."""
    try:
        with SqliteJournal(path, account=ACCOUNT) as journal:
            deadly = Deadly(journal, 7, dies_after)
            trade(deadly, restored_broker(journal), story.candles, kill_file=path.with_name("none"))
        os._exit(0)
    finally:
        os._exit(1)


@pytest.mark.parametrize("dies_after", [False, True], ids=["before_row", "after_row"])
def test_process_killed_for_real_loses_nothing(dies_after, tmp_path):
    """SIGKILL at every seventh row of the journal on disk; each start gets seven rows further."""
    story = STORIES["drawdown"]
    _, _, _, whole_state = undisturbed(story, tmp_path)
    path, kills = tmp_path / "journal.sqlite", 0
    while True:
        child = os.fork()
        if child == 0:
            run_in_child(path, story, dies_after)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        kills += 1
    assert kills >= 6
    state = recover(read(path), initial(), limits=LIMITS).state
    assert state == whole_state
    assert repr(state.ledger) == repr(whole_state.ledger)
