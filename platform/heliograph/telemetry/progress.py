"""Progress bars with a finish time; in a log file, a line now and then."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

CONSOLE = Console(highlight=False, markup=False, soft_wrap=True)


class Bar(Protocol):
    """One stage's progress."""

    def reach(self, fraction: float, note: str = "") -> None:
        """So much is done, from 0 to 1."""

    def lane(self, label: str, expected_s: float | None = None) -> Bar:
        """A bar of its own for a part of the stage that goes on beside the others; the slowest ends the stage."""

    def tell(self, line: str) -> None:
        """Say something that stays."""


class Quiet:
    """A bar that nobody sees."""

    def reach(self, fraction: float, note: str = "") -> None:
        """Nothing is shown."""

    def lane(self, label: str, expected_s: float | None = None) -> Bar:  # noqa: ARG002 - it has no bar to label
        """As quiet."""
        return self

    def tell(self, line: str) -> None:
        """Nothing is said."""


class Forecast:
    """When work will be done, from how fast its newer half went.

    The beginning of a run is like nothing that follows (connections are opened, the burst of a limit is spent), so
    only the stretch since half of what is done counts, and a pause counts as long as it is in that stretch.

    Args:
        clock: seconds that never run backwards.
        expected_s: how long all of it should take; counts for less and less until a tenth is done, for what comes
            first comes in lumps: pieces that began together end together.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, expected_s: float | None = None) -> None:
        self._clock = clock
        self._expected_s = expected_s
        self._marks: deque[tuple[float, float]] = deque([(clock(), 0.0)])

    def reach(self, fraction: float) -> None:
        """So much is done."""
        self._marks.append((self._clock(), fraction))
        while len(self._marks) > 2 and self._marks[1][1] <= fraction / 2:
            self._marks.popleft()

    def left_s(self) -> float | None:
        """Seconds until the end; None where nothing is done or expected yet.

        >>> now_s = iter([0.0, 10.0, 12.0, 12.0])
        >>> forecast = Forecast(lambda: next(now_s))
        >>> forecast.reach(0.1); forecast.reach(0.2); forecast.left_s()
        16.0
        """
        (since_s, before), (_, done) = self._marks[0], self._marks[-1]
        passed_s = self._clock() - since_s
        if done <= before:
            return None if self._expected_s is None else max(self._expected_s - passed_s, 0.0)
        left_s = passed_s * (1 - done) / (done - before)
        trust = 1.0 if self._expected_s is None else min(10 * done, 1.0) ** 2
        return trust * left_s + (1 - trust) * (1 - done) * (self._expected_s or 0.0)


class _Shown:
    """A bar on the console; lanes stand below it."""

    def __init__(self, progress: Progress, label: str, expected_s: float | None = None) -> None:
        self._progress = progress
        self._label = label
        self._task = progress.add_task(label, total=1.0, note="", left="")
        self._told_tenths = 0
        self._forecast = Forecast(expected_s=expected_s)
        self._lanes: list[_Shown] = []

    def reach(self, fraction: float, note: str = "") -> None:
        """See `Bar`."""
        self._forecast.reach(fraction)
        left_s = self.left_s()
        left = "" if left_s is None else duration(left_s)
        self._progress.update(self._task, completed=fraction, note=note, left=left)
        tenths = int(10 * fraction)
        if not CONSOLE.is_terminal and tenths > self._told_tenths:
            self._told_tenths = tenths
            CONSOLE.print(f"   {self._label}: {tenths * 10} %, {left} left  {note}".rstrip())

    def lane(self, label: str, expected_s: float | None = None) -> Bar:
        """See `Bar`."""
        self._lanes.append(_Shown(self._progress, label, expected_s))
        return self._lanes[-1]

    def tell(self, line: str) -> None:
        """See `Bar`."""
        self._progress.console.print(f"   {line}")

    def left_s(self) -> float | None:
        """Seconds until the end of the slowest lane, or of this bar where it has none."""
        lefts = [lane.left_s() for lane in self._lanes] or [self._forecast.left_s()]
        return max((left_s for left_s in lefts if left_s is not None), default=None)


def duration(seconds: float) -> str:
    """A time to read.

    >>> duration(42.4), duration(125), duration(7_260)
    ('42 s', '2 m 05 s', '2 h 01 m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60} m {whole % 60:02} s"
    return f"{whole // 3_600} h {whole % 3_600 // 60:02} m"


@contextmanager
def bar(label: str) -> Iterator[Bar]:
    """Show the progress of ``label`` while the block runs."""
    columns = (
        TextColumn("  {task.description:<18}"),
        BarColumn(bar_width=32),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left {task.fields[left]:<9}"),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=CONSOLE, transient=True, disable=not CONSOLE.is_terminal) as progress:
        yield _Shown(progress, label)
