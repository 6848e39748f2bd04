"""The linear solvers of `scipy.sparse.linalg` under their own signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

import ritz
from ritz import _arrays
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import LeastSquaresSolution, LinearResult, Status

__all__ = ["bicgstab", "cg", "cgs", "gmres", "lgmres", "lsmr", "lsqr", "minres", "qmr"]

_Solution = tuple[Any, int]


def _info(result: LinearResult, limit: int | None = None) -> int:
    """Return SciPy's code: 0, iterations made (or `limit`) without convergence, or below 0."""
    if result.converged:
        return 0
    if result.status in (Status.breakdown, Status.nonfinite, Status.indefinite_preconditioner):
        return -int(result.status)
    return limit if limit is not None else max(result.iterations, 1)


def _each_x(callback: Callable[[Any], Any] | None) -> Callable[[ritz.Iteration], None] | None:
    """Return a ritz callback that calls SciPy's with the iterate and ignores what it returns."""
    if callback is None:
        return None

    def call(now: ritz.Iteration) -> None:
        callback(now.x)

    return call


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
) -> _Solution:
    """Solve A x = b for Hermitian positive definite A; see `ritz.cg`. Returns (x, info)."""
    common: Any = {"callback": _each_x(callback)}
    result = ritz.cg(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, M=M, **common)
    return result.x, _info(result)


def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
) -> _Solution:
    """Solve A x = b for square A; see `ritz.bicgstab`. Returns (x, info)."""
    common: Any = {"callback": _each_x(callback)}
    result = ritz.bicgstab(A, b, x0, rtol=rtol, atol=atol, maxiter=maxiter, M=M, **common)
    return result.x, _info(result)


def minres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
    show: bool = False,
    check: bool = False,
) -> _Solution:
    """Solve (A − shift I) x = b for Hermitian A; see `ritz.minres`. Returns (x, info).

    Unlike SciPy's, info 0 means what its documentation says: ‖b − (A − shift I) x‖ ≤ rtol ‖b‖.
    """
    A = aslinearoperator(A)
    if check:
        _check_symmetric(A, b, "matrix")
        if M is not None:
            M = aslinearoperator(M, "M")
            _check_symmetric(M, b, "preconditioner")
    callbacks = [f for f in (_lines(show), _each_x(callback)) if f is not None]
    limit = 5 * A.shape[1] if maxiter is None else maxiter
    common: Any = {"callback": callbacks or None}
    result = ritz.minres(A, b, x0, rtol=rtol, shift=shift, maxiter=limit or None, M=M, **common)
    return result.x, _info(result)


def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
    callback_type: str | None = None,
) -> _Solution:
    """Solve A x = b for square A; see `ritz.gmres`. Returns (x, info).

    `maxiter` counts restart cycles, or inner iterations with `callback_type="legacy"`, which is
    the default where there is a callback. M is applied from the right, so that the norms that the
    callback receives are those of the true residual over ‖b‖.
    """
    if callback_type not in (None, "x", "pr_norm", "legacy"):
        raise ValueError(f"Unknown callback_type: {callback_type!r}")
    kind = None if callback is None else callback_type or "legacy"
    A = aslinearoperator(A)
    n = A.shape[1]
    restart = max(min(20 if restart is None else restart, n), 1)
    cycles = max(10 * n, 1) if maxiter is None else maxiter
    options: Any = {"rtol": rtol, "atol": atol, "restart": restart, "M": M}
    if kind == "x":

        def cycle(x: Any) -> LinearResult:
            return ritz.gmres(A, b, x, maxiter=restart, **options)

        return _by_cycles(cycle, x0, cycles, callback)
    limit = cycles if kind == "legacy" else cycles * restart
    norm_b = 0.0 if callback is None else float(np.linalg.norm(_arrays.array(b, "b")[0]))

    def report(now: ritz.Iteration) -> None:
        if callback is not None:
            callback(now.residual / norm_b)

    options["callback"] = None if callback is None else report
    result = ritz.gmres(A, b, x0, maxiter=limit, **options)
    return result.x, _info(result, cycles)


def lgmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int = 1000,
    M: Any = None,
    callback: Callable[[Any], Any] | None = None,
    inner_m: int = 30,
    outer_k: int = 3,
    outer_v: list[Any] | None = None,
    store_outer_Av: bool = True,  # noqa: ARG001
    prepend_outer_v: bool = False,  # noqa: ARG001
) -> _Solution:
    """Solve A x = b for square A by `ritz.gcrodr`, which serves the same end. Returns (x, info).

    What is carried from one cycle to the next, and in the list `outer_v` from one call to the next,
    are harmonic Ritz vectors instead of LGMRES's error approximations: `outer_v` then holds one
    `ritz.Recycle`. The last two options concern LGMRES's vectors and change nothing here.
    """
    kept = [v for v in outer_v or [] if isinstance(v, ritz.Recycle)]
    recycle = kept[0] if kept else ritz.Recycle()
    options: Any = {
        "rtol": rtol,
        "atol": atol,
        "restart": inner_m + outer_k,
        "M": M,
        "recycle": recycle,
        "k": outer_k,
    }
    if outer_v is not None:
        outer_v[:] = [recycle]
    if callback is None:
        result = ritz.gcrodr(A, b, x0, maxiter=maxiter * inner_m, **options)
        return result.x, _info(result)

    def cycle(x: Any) -> LinearResult:
        return ritz.gcrodr(A, b, x, maxiter=inner_m, **options)

    return _by_cycles(cycle, x0, maxiter, callback)


def lsqr(
    A: Any,
    b: Any,
    damp: float = 0.0,
    atol: float = 1e-6,
    btol: float = 1e-6,
    conlim: float = 1e8,
    iter_lim: int | None = None,
    show: bool = False,
    calc_var: bool = False,
    x0: Any = None,
) -> tuple[Any, int, int, float, float, float, float, float, float, Any]:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖²; see `ritz.lsqr`.

    Returns (x, istop, itn, r1norm, r2norm, anorm, acond, arnorm, xnorm, var). `anorm` is a lower
    bound of ‖A‖ instead of an estimate of the Frobenius norm.
    """
    A = aslinearoperator(A)
    limit = 2 * A.shape[1] if iter_lim is None else iter_lim
    result = ritz.lsqr(A, b, damp, atol, btol, conlim, max(limit, 1), show, x0, variance=calc_var)
    x = result.x
    r1norm = result.residual
    if damp > 0.0:
        change = x if x0 is None else x - x0
        pull = damp * float(np.linalg.norm(_arrays.array(change, "x")[0]))
        r1norm = float(np.sqrt(max(result.residual**2 - pull**2, 0.0)))
    var = result.variance if calc_var else np.zeros(A.shape[1])
    return (
        x,
        _istop(result, b, atol, btol),
        result.iterations,
        r1norm,
        result.residual,
        result.norm_a,
        result.cond_a,
        result.normal_residual,
        result.norm_x,
        var,
    )


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
) -> tuple[Any, int, int, float, float, float, float, float]:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖²; see `ritz.lsmr`.

    Returns (x, istop, itn, normr, normar, norma, conda, normx). `norma` is a lower bound of ‖A‖
    instead of an estimate of the Frobenius norm, and `conda` does not depend on the scale of A.
    """
    A = aslinearoperator(A)
    limit = min(A.shape) if maxiter is None else maxiter
    result = ritz.lsmr(A, b, damp, atol, btol, conlim, max(limit, 1), show, x0)
    return (
        result.x,
        _istop(result, b, atol, btol),
        result.iterations,
        result.residual,
        result.normal_residual,
        result.norm_a,
        result.cond_a,
        result.norm_x,
    )


def cgs(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError: CGS squares the residual polynomial and its rounding errors."""
    raise NotImplementedError(
        "ritz has no cgs: use bicgstab, which needs the same products and loses fewer digits, or "
        "gmres"
    )


def qmr(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise NotImplementedError: QMR needs products with the adjoint and minimises no norm of r."""
    raise NotImplementedError(
        "ritz has no qmr: use gmres, or bicgstab where its memory is too much; minres if A is "
        "symmetric; lsmr if products with the adjoint are at hand"
    )


def _by_cycles(
    cycle: Callable[[Any], LinearResult], x0: Any, cycles: int, callback: Any
) -> _Solution:
    """Run a restarted method one cycle at a time, with SciPy's callback after each."""
    x = x0
    for _ in range(cycles):
        result = cycle(x)
        x = result.x
        if result.iterations:
            callback(x)
        if result.status is not Status.max_iterations:
            return x, _info(result, cycles)
    return x, cycles


def _istop(result: LeastSquaresSolution, b: Any, atol: float, btol: float) -> int:
    """Return the code of SciPy's lsqr and lsmr for an ending."""
    if result.iterations == 0 and result.norm_x == 0.0:
        return 0
    norm_b = float(np.linalg.norm(_arrays.array(b, "b")[0]))
    bound = btol * norm_b + atol * result.norm_a * result.norm_x
    consistent = result.residual <= bound
    if result.converged:
        return 1 if consistent else 2
    if result.status is Status.condition_limit:
        return 3
    if result.status is Status.precision_limit:
        eps = float(np.finfo(np.float64).eps)
        return 4 if result.residual <= np.sqrt(eps) * norm_b else 5
    return 7


def _lines(show: bool) -> Any:
    if not show:
        return None
    from ritz.monitors import Lines

    return Lines()


def _check_symmetric(A: LinearOperator, b: Any, what: str) -> None:
    """Raise ValueError if ⟨A y, A y⟩ and ⟨y, A A y⟩ differ by more than rounding, for y = A b."""
    y = _arrays.array(A @ b, "b")[0]
    w = _arrays.array(A @ y, "b")[0]
    s = float(np.vdot(w, w).real)
    t = complex(np.vdot(y, _arrays.array(A @ w, "b")[0]))
    if abs(s - t) > np.finfo(y.dtype).eps ** (1 / 3) * s:
        raise ValueError(f"non-symmetric {what}")
