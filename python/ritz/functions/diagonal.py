"""Diagonals of operators, estimated from their products."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import place
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.frameworks import Framework
from ritz.functions.trace import BLOCK, budget, chosen
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import EstimatePath, VectorEstimate, account_of, without_tolerance

__all__ = ["diagonal"]

_METHODS = ("auto", "hutchinson", "xdiag", "xnysdiag", "exact")


def diagonal(
    A: Any,
    *,
    method: str = "auto",
    rtol: float = 0.0,
    max_products: int | None = None,
    samples: int | None = None,
    positive: bool = False,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    history: bool = False,
) -> VectorEstimate:
    """Estimate diag(A), each element with a standard error, from products with random signs.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    method : {"auto", "hutchinson", "xdiag", "xnysdiag", "exact"}
        "hutchinson": the mean of z ⊙ A z over random signs z. "xdiag" forms the diagonal of a part
        of low rank exactly and samples the rest; half of its products are with Aᴴ, which is A if it
        is declared symmetric. "xnysdiag" does so for a positive semidefinite A, at half of the
        products. "exact": column by column. "auto" begins with XDiag where A has an adjoint, or
        with XNysDiag if A is `positive`, and goes over to random signs once those promise to need
        fewer products.
    rtol : float
        Stop when the norm of the standard errors is at most rtol times that of the estimate; 0
        makes all products that are allowed.
    max_products : int, optional
        At most this many products; n or more without rtol give the diagonal itself. By default 100,
        or with rtol as many as it takes.
    samples : int, optional
        The same, and at least 2; unlike max_products it is no limit that the run ends by.
    positive : bool
        A is positive semidefinite.
    seed : int
        Of the signs: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, history
        As for `cg`. With history=True the result also has a `path`, and can be drawn.

    Returns
    -------
    VectorEstimate
        The tuple (value, stderr), both (n,) and of A's kind of array, with `method` and an account
        of the run; `A.domain.unflatten(value)` is the diagonal as a tree.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Unbiased. An element's variance is Σ_{j≠i} |a_ij|² a sample with signs alone. With Ω of k signs,
    Y = AΩ, and Q_i an orthonormal basis of the columns of Y without the i-th, XDiag is the mean
    over i of diag(Q_i Q_iᴴ A) + ω_i ⊙ (A − Q_i Q_iᴴ A) ω_i, exact if A has rank below k. Its k
    samples share their probes: their spread is taken 1.25-fold, 1.5-fold for XNysDiag.

    Products a probe: 1 for signs and XNysDiag, 2 for XDiag, in blocks of up to 32. Beside them
    about 2 k² n of memory traffic for an estimate from k probes. Memory: 16 vectors for signs, 2 a
    probe for XDiag, 3 for XNysDiag.

    References
    ----------
    Bekas, Kokiopoulou, Saad: An estimator for the diagonal of a matrix. Appl. Numer. Math. 57,
    2007.
    Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
    SIAM J. Matrix Anal. Appl. 45, 2024, section 2.4.
    """
    A = aslinearoperator(A)
    A.require_square("diagonal")
    n = A.shape[0]
    rtol = _arrays.nonnegative(rtol, "rtol")
    number = chosen(method, _METHODS)
    positive = bool(positive) or method == "xnysdiag"
    if positive:
        require_self_adjoint(A, "A", "positive=True" if method != "xnysdiag" else method)
    options = {
        "samples": budget(samples, max_products, rtol, n, method),
        "rtol": rtol,
        "symmetric": A.symmetric is True,
        "positive": positive,
        "block": BLOCK,
        "keep_path": bool(history),
    }
    run = place(A, like)
    watch = Watch("diagonal", run[0], callback, history, timeout, max_products)
    return estimate(
        "estimate_diagonal", A, options, number, _METHODS, _arrays.seed_of(seed), run, watch
    )


def estimate(
    name: str,
    A: LinearOperator,
    options: dict[str, Any],
    number: int,
    methods: tuple[str, ...],
    seed: int,
    where: tuple[Framework, Any, np.dtype[Any]],
    watch: Watch,
    squared: bool = True,
) -> VectorEstimate:
    """Run an estimator of vectors; its squares become norms unless they are wanted `squared`."""
    framework, core, dtype = where
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        value, variance, outcome = getattr(core, name)(
            run(A), options, number, seed, watch.monitor, None
        )
        value, variance = (framework.brought(x) for x in (value, variance))
        stderr = np.sqrt(np.maximum(variance.real, 0.0))
        if not squared:
            value, stderr = _roots(value.real, stderr)
        elif name != "estimate_diagonal":
            value = value.real
        account = without_tolerance(account_of(outcome, watch.history))
        account["method"] = methods[outcome["method"]]
        if options["keep_path"]:
            errors = outcome["path_stderr"]
            account["path"] = EstimatePath(outcome["path_products"], None, errors)
        both = (framework.taken_back(np.ascontiguousarray(x), core) for x in (value, stderr))
        ending.result = result = VectorEstimate(tuple(both), **account)
    return result


def _roots(
    squares: npt.NDArray[Any], stderr: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return roots with their errors, to first order where the squares are large enough for it."""
    roots = np.sqrt(np.maximum(squares, 0.0))
    scale = np.maximum(2.0 * roots, np.sqrt(stderr))
    return roots, np.divide(stderr, scale, out=np.zeros_like(stderr), where=scale > 0.0)
