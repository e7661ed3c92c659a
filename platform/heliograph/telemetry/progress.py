"""Progress bars with a finish time; in a log file, a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

CONSOLE = Console(highlight=False, markup=False, soft_wrap=True)


class Bar(Protocol):
    """One stage's progress."""

    def reach(self, fraction: float, note: str = "") -> None:
        """So much is done, from 0 to 1."""


class Quiet:
    """A bar that nobody sees."""

    def reach(self, fraction: float, note: str = "") -> None:
        """Nothing is shown."""


class _Shown:
    def __init__(self, progress: Progress, label: str) -> None:
        self._progress = progress
        self._label = label
        self._task = progress.add_task(label, total=1.0, note="")
        self._told_tenths = 0
        self._started_s = time.monotonic()

    def reach(self, fraction: float, note: str = "") -> None:
        self._progress.update(self._task, completed=fraction, note=note)
        tenths = int(10 * fraction)
        if not CONSOLE.is_terminal and tenths > self._told_tenths:
            self._told_tenths = tenths
            left_s = (time.monotonic() - self._started_s) * (1 - fraction) / fraction
            CONSOLE.print(f"   {self._label}: {tenths * 10} %, {left_s:.0f} s left  {note}".rstrip())


@contextmanager
def bar(label: str) -> Iterator[Bar]:
    """Show the progress of ``label`` while the block runs."""
    columns = (
        TextColumn("  {task.description:<10}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as progress:
        yield _Shown(progress, label)
