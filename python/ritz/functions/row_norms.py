"""Norms of the rows of operators, estimated from their products."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz._device import place
from ritz._run import Callbacks, Watch
from ritz.functions.diagonal import estimate
from ritz.functions.trace import BLOCK, budget, chosen
from ritz.operators import aslinearoperator
from ritz.results import VectorEstimate

__all__ = ["row_norms"]

_METHODS = ("auto", "hutchinson", "xrownorm", "exact")
# Their numbers in the compiled core; row norms have no Nyström estimator.
_NUMBERED = ("auto", "hutchinson", "xrownorm", "", "exact")


def row_norms(
    A: Any,
    *,
    squared: bool = False,
    method: str = "auto",
    rtol: float = 0.0,
    max_products: int | None = None,
    samples: int | None = None,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    history: bool = False,
) -> VectorEstimate:
    """Estimate the norm ‖A_i:‖ of every row of A, each with a standard error.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, of any shape. `row_norms(A.H)` are the norms of the
        columns of A.
    squared : bool
        Return the squares ‖A_i:‖², the diagonal of A Aᴴ: these are unbiased, their roots not quite.
    method : {"auto", "hutchinson", "xrownorm", "exact"}
        "hutchinson": the mean of |A z|² over random signs z. "xrownorm" forms the norms of a part
        of low rank exactly and samples the rest; it needs Aᴴ. "exact": from all rows or columns.
        "auto" begins with XRowNorm where A has an adjoint, and goes over to random signs once
        those promise to need fewer products.
    rtol : float
        Stop when the norm of the standard errors of the squares is at most rtol times the norm of
        the squares; 0 makes all products that are allowed.
    max_products : int, optional
        At most this many products; n or more without rtol give the norms themselves, or m where
        those are fewer and A has an adjoint. By default 100, or with rtol as many as it takes.
    samples : int, optional
        The same, and at least 2; unlike max_products it is no limit that the run ends by.
    seed : int
        Of the signs: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, history
        As for `cg`. With history=True the result also has a `path`, and can be drawn.

    Returns
    -------
    VectorEstimate
        The tuple (value, stderr), both real, (m,) and of A's kind of array, with `method` and an
        account of the run, whose `residual` and `target` are those of the squares.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    With signs alone the square of a row a has the variance 2 (‖a‖⁴ − Σ |a_j|⁴) a sample if it is
    real: 14 % of a norm after 25 products. With V_i an orthonormal basis of the columns of AᴴAΩ
    without the i-th, XRowNorm is the mean over i of ‖rows of A V_i‖² + |A (I − V_i V_iᴴ) ω_i|².
    Its samples share their probes: their spread is taken 1.25-fold.

    Products a probe: 1 for signs, 3 for XRowNorm, one of them with Aᴴ, in blocks of up to 32.
    Memory: 8 vectors of each size for signs, 3 a probe for XRowNorm.

    References
    ----------
    Epperly: Make the most of what you have: resource-efficient randomized algorithms for matrix
    computations. PhD thesis, California Institute of Technology, 2025.
    """
    A = aslinearoperator(A)
    rtol = _arrays.nonnegative(rtol, "rtol")
    number = _NUMBERED.index(_METHODS[chosen(method, _METHODS)])
    options = {
        "samples": budget(samples, max_products, rtol, max(A.shape), method),
        "rtol": rtol,
        "block": BLOCK,
        "keep_path": bool(history),
    }
    run = place(A, like)
    watch = Watch("row_norms", run[0], callback, history, timeout, max_products)
    return estimate(
        "row_norms2",
        A,
        options,
        number,
        _NUMBERED,
        _arrays.seed_of(seed),
        run,
        watch,
        bool(squared),
    )
