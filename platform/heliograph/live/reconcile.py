"""What a start does before it trades: the journal gives the state back, and every open order is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from heliograph.config.settings import RiskSettings
from heliograph.core.commands import Command
from heliograph.core.events import CandleClosed, Event
from heliograph.core.ports import Broker
from heliograph.desk.step import Decides, Record, settle
from heliograph.trading import engine

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where the journal ends.

    Attributes:
        state: of the engine.
        opens_ms: open of the newest candle of each market that the journal holds.
        last: the journal's newest candle; None for a first start.
        is_undecided: the journal ends with that candle, so the process may have died before its decision was made. It
            is then made again, from the same state. Any later row proves that the decision stands, even one for nothing.
    """

    state: engine.State
    opens_ms: Mapping[Key, int]
    last: CandleClosed | None
    is_undecided: bool

    @property
    def since_ms(self) -> int | None:
        """Where the candles have to begin again, for every market; None for a first start."""
        return None if self.last is None else self.last.open_ts_ms

    def is_done(self, candle: CandleClosed) -> bool:
        """Whether the journal has the candle."""
        return candle.open_ts_ms <= self.opens_ms.get((candle.venue, candle.symbol), -1)

    def is_last(self, candle: CandleClosed) -> bool:
        """Whether it is the journal's newest candle."""
        return self.last is not None and _name(candle) == _name(self.last)


def recover(entries: Iterable[Event | Command], initial: engine.State, *, limits: RiskSettings) -> Recovery:
    """Replay a journal.

    Args:
        entries: of the journal, in order; none for a first start.
        initial: the state that the journal began with.

    Raises:
        InvariantBroken: the entries contradict each other or their hashes.
    """
    state, last, entry = initial, None, None
    opens_ms: dict[Key, int] = {}
    for entry in entries:
        state = engine.replay(state, entry, limits=limits)
        if isinstance(entry, CandleClosed):
            last = entry
            opens_ms[(entry.venue, entry.symbol)] = entry.open_ts_ms
    return Recovery(state, opens_ms, last, is_undecided=last is not None and entry is last)


def resolve(state: engine.State, desk: Decides, broker: Broker, record: Record, *, resend: bool) -> None:
    """Ask the broker about every order that the journal leaves open.

    An intent without an answer was perhaps never sent, and a fill was perhaps told to a process that died of it. Each
    open order is sent again under its own client id: where the venue has it, that is harmless and tells what became of
    it. Where ``resend`` is false, or trading has halted, it is cancelled instead; a venue that filled it tells so.
    """
    intents = [state.book.orders[client_id].intent for _, client_id in sorted(state.book.open_ids.items())]
    if resend and not state.halted:
        for intent in intents:
            for event in broker.submit(intent):
                settle(desk, event, broker, record)
        return
    for cancel in engine.cancels(state):
        record(cancel, True)
        for event in broker.cancel(cancel):
            settle(desk, event, broker, record)


def _name(candle: CandleClosed) -> tuple[str, str, int]:
    return candle.venue, candle.symbol, candle.open_ts_ms
