"""What a start does before it trades: the journal gives the state back, and every open order is asked about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from heliograph.config.settings import RiskSettings
from heliograph.core.commands import CancelOrder, Command, SubmitOrder
from heliograph.core.events import CandleClosed, Event
from heliograph.core.ports import Broker
from heliograph.desk.step import Decides, Record, settle
from heliograph.trading import engine
from heliograph.trading.orders import Phase

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where the journal ends.

    Attributes:
        state: of the engine.
        opens_ms: open of the newest candle of each market that the journal holds.
        last: the journal's newest candle; the process may have died before its decision was made, so it is taken
            again, which changes nothing where the decision stands.
    """

    state: engine.State
    opens_ms: Mapping[Key, int]
    last: CandleClosed | None

    @property
    def since_ms(self) -> int | None:
        """Where the candles have to begin again, for every market; None for a first start."""
        return None if self.last is None else self.last.open_ts_ms

    def is_done(self, candle: CandleClosed) -> bool:
        """Whether the candle was traded on before the restart and must not be given to the desk again."""
        if self.last is not None and _name(candle) == _name(self.last):
            return False
        return candle.open_ts_ms <= self.opens_ms.get((candle.venue, candle.symbol), -1)


def recover(entries: Iterable[Event | Command], initial: engine.State, *, limits: RiskSettings) -> Recovery:
    """Replay a journal.

    Args:
        entries: of the journal, in order; none for a first start.
        initial: the state that the journal began with.

    Raises:
        InvariantBroken: the entries contradict each other or their hashes.
    """
    state, last = initial, None
    opens_ms: dict[Key, int] = {}
    for entry in entries:
        state = engine.replay(state, entry, limits=limits)
        if isinstance(entry, CandleClosed):
            last = entry
            opens_ms[(entry.venue, entry.symbol)] = entry.open_ts_ms
    return Recovery(state, opens_ms, last)


def resolve(state: engine.State, desk: Decides, broker: Broker, record: Record) -> None:
    """Ask the broker about every order that the journal leaves open.

    An intent without an answer was perhaps never sent. It is sent again under its own client id, which is harmless
    where the venue has it. Once trading has halted nothing is sent, and whatever is open is cancelled.
    """
    unanswered = [
        o.intent for o in map(state.book.orders.__getitem__, state.book.open_ids.values()) if o.phase is Phase.SUBMITTED
    ]
    commands: Sequence[CancelOrder | SubmitOrder] = engine.cancels(state) if state.halted else unanswered
    for command in commands:
        if isinstance(command, CancelOrder):
            record(command, True)
        answers = broker.cancel(command) if isinstance(command, CancelOrder) else broker.submit(command)
        for event in answers:
            settle(desk, event, broker, record)


def _name(candle: CandleClosed) -> tuple[str, str, int]:
    return candle.venue, candle.symbol, candle.open_ts_ms
