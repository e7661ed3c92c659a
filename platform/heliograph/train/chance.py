"""How far a calibration figure lies from the truth by chance alone: blocks of time drawn anew, all symbols of a block together.

Labels overlap and markets move as one, so that two years of ten markets hold few outcomes that are independent. The
block bootstrap keeps both (H. Künsch, The Jackknife and the Bootstrap for General Stationary Observations, 1989).

Shapes: N origins, B blocks, K classes, D draws.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DRAWS = 500

_WEEK_MS = 7 * 86_400_000
_LABELS = 4  # in a block at least, so that most labels lie within one


def blocks(known_ts_ms: IntArray, horizon_ms: int) -> IntArray:
    """Block of each origin, int64[N]: a week, or four horizons where they are longer."""
    return np.asarray(known_ts_ms // max(_WEEK_MS, _LABELS * horizon_ms), dtype=np.int64)


def calibration_error(stated_N: FloatArray, came_N: BoolArray, class_N: IntArray, block_N: IntArray) -> float:
    """Expected calibration error that a perfectly calibrated statement would show on such origins.

    Args:
        class_N: of the statement, as the error itself was taken.
        block_N: of `blocks`.

    Returns:
        The mean over draws of the error that comes of drawing alone; NaN without an origin.
    """
    if not stated_N.size:
        return float("nan")
    miss_BK = _summed(came_N - stated_N, class_N, block_N)
    drawn_DK = _drawn(miss_BK.shape[0]) @ miss_BK - miss_BK.sum(axis=0)
    return float(np.abs(drawn_DK).sum(axis=1).mean() / stated_N.size)


def standard_error(values_N: FloatArray, block_N: IntArray) -> float:
    """Standard error of the mean of these values; NaN without any."""
    if not values_N.size:
        return float("nan")
    one = np.zeros(values_N.size, dtype=np.int64)
    draws_DB = _drawn(np.unique(block_N).size)
    sum_D, count_D = ((draws_DB @ _summed(v, one, block_N))[:, 0] for v in (values_N, np.ones(values_N.size)))
    return float((sum_D / count_D).std())


def _drawn(num_blocks: int) -> FloatArray:
    """How often each block comes in each draw, float64[D, B]; the same draws for the same number of blocks."""
    rng = np.random.default_rng(num_blocks)
    counts_DB = rng.multinomial(num_blocks, np.full(num_blocks, 1.0 / num_blocks), size=DRAWS)
    return np.asarray(counts_DB, dtype=np.float64)


def _summed(values_N: FloatArray, class_N: IntArray, block_N: IntArray) -> FloatArray:
    _, place_N = np.unique(block_N, return_inverse=True)
    num_classes = int(class_N.max()) + 1
    cells = num_classes * (int(place_N.max()) + 1)
    flat = np.bincount(place_N * num_classes + class_N, weights=values_N, minlength=cells)
    return np.asarray(flat.reshape(-1, num_classes), dtype=np.float64)
