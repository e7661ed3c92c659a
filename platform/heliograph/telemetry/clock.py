"""The machine's clock behind the `Clock` port."""

from __future__ import annotations

import time


class SystemClock:
    """Wall-clock time; anything that decides takes the port instead, so that tests own the time."""

    def now_ms(self) -> int:
        """UTC epoch milliseconds."""
        return time.time_ns() // 1_000_000
