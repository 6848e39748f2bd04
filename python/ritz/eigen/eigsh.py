"""Eigenvalues of self-adjoint operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from ritz import _arrays
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.operators import aslinearoperator, working_dtype
from ritz.results import EigshResult, account_of
from ritz.workspace import Workspace, lent

__all__ = ["eigsh"]

_WHICH = {"LA": 0, "SA": 1, "LM": 2}


def eigsh(
    A: Any,
    k: int = 6,
    *,
    which: str = "LA",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0.0,
    return_eigenvectors: bool = True,
    seed: int = 0,
    like: Any = None,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> EigshResult:
    """Find k extreme eigenpairs A v = w v of a Hermitian A by thick-restart Lanczos.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    k : int
        Eigenpairs wanted, at most n.
    which : {"LA", "SA", "LM"}
        The largest, the smallest, or those of largest magnitude.
    v0 : array (n,) or tree, optional
        The starting vector; by default random, from `seed`.
    ncv : int, optional
        Basis vectors, by default max(2k + 1, 20).
    maxiter : int, optional
        Restarts, by default 10 n.
    tol : float
        Converged means ‖A v − w v‖ ≤ tol ‖A‖ for every pair, evaluated; 0 means what the precision
        allows.
    return_eigenvectors : bool
        False leaves V out: it is None.
    seed : int
        Of the starting vector: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, and that V is returned as; needed
        where neither A nor v0 tells that it is not NumPy's.
    verify : bool
        False takes the residuals from the recurrence and saves k products.
    callback, timeout, max_products, history, workspace
        As for `cg`.

    Returns
    -------
    EigshResult
        The tuple (w, V), w ascending of shape (k,), V of shape (n, k), with `residuals`, `bounds`
        and an account of the run. Pairs that a stopped run did not reach are NaN. V is one array
        also for trees: `A.domain.unflatten(V[:, j])` is a column as a tree.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    One product a Lanczos step, k to verify. Memory: ncv + 1 vectors, beside V.

    References
    ----------
    Wu, Simon: Thick-restart Lanczos method for large symmetric eigenvalue problems. SIAM J. Matrix
    Anal. Appl. 22, 2000.
    """
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", "eigsh")
    n = A.shape[0]
    k = _arrays.integer(k, "k")
    if n > 0 and k > n:
        raise ValueError(f"k is {k}; A has only n = {n} eigenvalues: pass 1 to {n}")
    if which not in _WHICH:
        raise ValueError(f'which is {which!r}; pass "LA", "SA" or "LM"')
    basis = 0 if ncv is None else _arrays.integer(ncv, "ncv", min(k + 1, n))
    tol = _arrays.nonnegative(tol, "tol")
    restarts = _arrays.limit(maxiter, "maxiter")
    seed = _arrays.seed_of(seed)
    start = None
    framework, dtype = setting(A, like)
    if v0 is not None:
        v0 = v0 if A.domain is None else A.domain.flat(v0)
        start, framework = _arrays.vector(v0, "v0", n, f"A of shape {A.shape}")
        dtype = working_dtype([A], [start.dtype])
        start = _arrays.cast(start, dtype, "v0")
    core = _arrays.core(dtype)
    watch = Watch("eigsh", framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "eigsh", dtype) as memory,
        Binding(dtype, framework) as run,
        watch.running() as ending,
    ):
        if n == 0:
            w, V, residuals = np.empty(0), np.empty((0, 0), dtype), np.empty(0)
            outcome = _nothing_to_find()
        else:
            w, V, residuals, outcome = core.eigsh(
                run(A),
                k,
                _WHICH[which],
                basis,
                restarts,
                tol,
                start,
                bool(verify),
                seed,
                watch.monitor,
                memory,
            )
        real = np.dtype(dtype.char.lower())
        account = account_of(outcome, watch.history)
        account |= {
            "residuals": residuals,
            # Rounding in w, in the vectors and in the residual's own evaluation: a few eps ‖A‖.
            "bounds": residuals + 8.0 * np.finfo(real).eps * outcome["norm_a"],
            "restarts": outcome["restarts"],
            "norm_a": outcome["norm_a"],
        }
        values = framework.from_numpy(w.astype(real))
        vectors = framework.from_numpy(V) if return_eigenvectors else None
        ending.result = result = EigshResult((values, vectors), **account)
    return result


def _nothing_to_find() -> dict[str, Any]:
    return {
        "status": 0,
        "message": "converged at iteration 0: an operator of size 0 has no eigenvalues",
        "iterations": 0,
        "products": (0, 0, 0),
        "preconditioner": 0,
        "residual": 0.0,
        "target": 0.0,
        "verified": True,
        "seconds": 0.0,
        "restarts": 0,
        "norm_a": 0.0,
    }
