"""What stops an order before the engine is even asked: a kill-switch file, and data that came too late."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from heliograph.core.events import CandleClosed, KillSwitched
from heliograph.core.ports import Clock
from heliograph.core.timeframe import parse


@dataclass(frozen=True, slots=True)
class Guard:
    """Looks at the world that the engine can't see.

    Attributes:
        kill_file: while it exists, trading stops for good; its first line is the reason.
        stale_after_bars: a candle that is this many bars old when it arrives is not traded on.
    """

    clock: Clock
    kill_file: Path
    stale_after_bars: int

    def stop(self) -> KillSwitched | None:
        """The kill switch, if somebody has thrown it."""
        try:
            reason = self.kill_file.read_text(errors="replace").strip().partition("\n")[0]
        except FileNotFoundError:
            return None
        return KillSwitched(self.clock.now_ms(), reason or f"{self.kill_file.name} exists")

    def is_stale(self, candle: CandleClosed) -> bool:
        """Whether the candle became known more than ``stale_after_bars`` bars ago."""
        age_ms = self.clock.now_ms() - candle.known_ts_ms
        return age_ms > self.stale_after_bars * parse(candle.timeframe).ms
