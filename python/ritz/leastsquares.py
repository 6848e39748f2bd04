"""Linear least squares, and systems with a rectangular operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ritz._linear import run, solver
from ritz.results import LeastSquaresSolution

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["lsmr"]


def _showing(show: bool, common: Common) -> Common:
    """Add SciPy's `show` to the callbacks: a line an iteration."""
    if not show:
        return common
    from ritz.monitors import Lines

    given = common.get("callback")
    callbacks = [] if given is None else [given] if callable(given) else list(given)
    return {**common, "callback": [Lines(), *callbacks]}


@solver
def lsmr(
    A: Any,
    b: Any,
    damp: float = 0.0,
    atol: float = 1e-6,
    btol: float = 1e-6,
    conlim: float = 1e8,
    maxiter: int | None = None,
    show: bool = False,
    x0: Any = None,
    **common: Unpack[Common],
) -> LeastSquaresSolution:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖² for any A by LSMR.

    Parameters
    ----------
    A : operator (m, n) with an adjoint
        Anything that `aslinearoperator` takes.
    b : array (m,) or (m, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    damp : float
        The Tikhonov parameter.
    atol, btol : float
        Converged means ‖Aᴴr‖ ≤ atol ‖A‖ ‖r‖ or ‖r‖ ≤ btol ‖b‖ + atol ‖A‖ ‖x‖, with r evaluated.
    conlim : float
        End with `condition_limit` when cond(A) is estimated beyond this; 0 for no limit.
    maxiter : int, optional
        By default 10 min(m, n).
    show : bool
        Print one line an iteration.
    x0 : array (n,) or (n, k), optional
        A first guess; the damping then pulls towards it.
    callback, verify, timeout, max_products, history, out, workspace, batched
        As for `cg`; batched needs an adjoint too: an array (k, m, n), or a pair of functions.

    Returns
    -------
    LeastSquaresSolution
        The tuple (x, info) with an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, above all an operator without an adjoint.

    Notes
    -----
    One product with A and one with Aᴴ an iteration, one of each to verify. Memory: two vectors of
    length m and four of length n, beside x.

    References
    ----------
    Fong, Saunders: LSMR: an iterative algorithm for sparse least-squares problems. SIAM J. Sci.
    Comput. 33, 2011.
    """
    options = {"damp": damp, "atol": atol, "btol": btol, "conlim": conlim, "maxiter": maxiter}
    common = _showing(show, common)
    return run("lsmr", A, b, x0, None, options, LeastSquaresSolution, **common)
