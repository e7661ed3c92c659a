"""What the benches share: CPU seconds of a call, and one JSON line a check. Runs nothing by itself."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable


def cpu_s(work: Callable[[], object], times: int = 3) -> float:
    """Least CPU seconds of one call, out of several."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def report(check: str, **figures: float) -> None:
    """One JSON line."""
    rounded = {name: float(f"{value:.4g}") for name, value in figures.items()}
    sys.stdout.write(json.dumps({"check": check, **rounded}) + "\n")
    sys.stdout.flush()
