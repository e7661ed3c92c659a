"""GARCH(1,1) with Student-t tails, its parameters by maximum likelihood (package ``arch``).

Source: T. Bollerslev, A Conditionally Heteroskedastic Time Series Model for Speculative Prices and Rates of Return,
Review of Economics and Statistics 69(3), 1987.

Shapes: N training origins, M rows, H horizons.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import DataError
from heliograph.model.ewma import FilterForecaster, Moves, Recursion, require_moves
from heliograph.model.spec import Spec

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_FITTED_BARS = 17_520  # two years of hours: parameters of older times no longer hold, and the fit costs by the bar
_PER_CENT = 100.0  # the optimiser wants returns near one
_REACH = 30.0  # σ
_STEPS = 1_000
_PERSISTENT = 0.99999  # alpha + beta; above it the variance of a year ahead is without bound


class GarchForecaster(FilterForecaster):
    """GARCH(1,1)-t of one symbol: the window is filtered, the variances of the bars ahead are summed."""

    kind: ClassVar[str] = "garch_t"

    @classmethod
    def fit(
        cls, spec: Spec, moves: Moves, *, rows: IntArray, log_return_NH: FloatArray, setup_NH: IntArray
    ) -> GarchForecaster:
        """Measure parameters on the returns up to the last training origin, and tails on the origins.

        Args:
            rows: of ``moves``, ascending; each has a whole window. All rows are of one symbol.
            log_return_NH, setup_NH: labels of these rows.

        Raises:
            ConfigError: the last return is not among the features.
            DataError: there are too few origins, the price stood still, or the likelihood has no maximum that can be
                found.
        """
        require_moves(moves, rows, log_return_NH)
        return_M, sigma_M = (a[: rows[-1] + 1] for a in (moves.return_M, moves.sigma_M))
        return_M = np.clip(return_M, -_REACH * sigma_M, _REACH * sigma_M)
        omega, alpha, beta = estimate(return_M[np.isfinite(return_M)][-_FITTED_BARS:])
        recursion = Recursion(*(np.full(len(spec.horizons_bars), number) for number in (omega, alpha, beta)))
        return cls.around(spec, recursion, moves, rows=rows, log_return_NH=log_return_NH, setup_NH=setup_NH)


def estimate(return_M: FloatArray) -> tuple[float, float, float]:
    """omega (log-return²), alpha and beta of the highest Student-t likelihood, for returns around zero.

    Raises:
        DataError: the optimiser found none.
    """
    from arch import arch_model  # noqa: PLC0415 - it takes seconds, and who only forecasts needs it not

    model = arch_model(_PER_CENT * return_M, mean="Zero", vol="GARCH", p=1, q=1, dist="t", rescale=False)
    found = model.fit(disp="off", show_warning=False, options={"maxiter": _STEPS})
    omega, alpha, beta = (float(found.params[name]) for name in ("omega", "alpha[1]", "beta[1]"))
    if found.convergence_flag or not np.isfinite([omega, alpha, beta]).all():
        raise DataError(
            f"GARCH did not converge on {return_M.size} returns (optimiser: {found.optimization_result.message}): use "
            "ewma_t for this symbol, or fetch a longer history"
        )
    excess = max((alpha + beta) / _PERSISTENT, 1.0)
    return omega / _PER_CENT**2, alpha / excess, beta / excess
