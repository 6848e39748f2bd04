"""The spectral methods of `scipy.sparse.linalg` under their own signatures."""

from __future__ import annotations

from typing import Any

import numpy as np

import ritz
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Result

__all__ = ["eigs", "eigsh", "expm_multiply", "lobpcg", "svds"]


def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: float | None = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: str = "normal",
    rng: Any = None,
) -> Any:
    """Find k eigenpairs of a Hermitian A; see `ritz.eigsh`. Returns w or (w, V).

    Like SciPy's, it factorises A − sigma M and M where they are arrays or sparse matrices and no
    closure solves with them. Without a factorisation, sigma and which="SM" look for interior
    eigenvalues by harmonic Ritz values. Raises SciPy's ArpackNoConvergence, with the pairs that did
    converge.
    """
    if mode != "normal":
        raise NotImplementedError(
            f'ritz has no mode {mode!r}: use mode="normal", with a shifted operator as A if need be'
        )
    if which == "SM" and sigma is None:
        sigma, which = 0.0, "LM"
    if sigma is not None and OPinv is None:
        OPinv = _factorised(A, M, sigma)
    if M is not None and sigma is None and Minv is None:
        Minv = _factorised(M, None, 0.0)
    result = ritz.eigsh(
        A,
        k,
        M,
        sigma,
        which,
        v0,
        ncv,
        maxiter,
        tol,
        Minv=Minv,
        OPinv=OPinv,
        seed=_seed(rng),
    )
    return _pairs(result, return_eigenvectors)


def eigs(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: complex | None = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    OPpart: str | None = None,
    rng: Any = None,
) -> Any:
    """Find k eigenpairs of a square A; see `ritz.eigs`. Returns w or (w, V).

    Factorisations and failures as `eigsh` here.
    """
    if OPpart is not None and OPinv is not None:
        raise NotImplementedError(
            "OPinv must be (A - sigma M)⁻¹ itself, not a part of it: leave OPpart out"
        )
    if which == "SM" and sigma is None:
        sigma, which = 0.0, "LM"
    if sigma is not None and OPinv is None:
        OPinv = _factorised(A, M, sigma)
    if M is not None and sigma is None and Minv is None:
        Minv = _factorised(M, None, 0.0)
    result = ritz.eigs(
        A,
        k,
        M,
        sigma,
        which,
        v0,
        ncv,
        maxiter,
        tol,
        Minv=Minv,
        OPinv=OPinv,
        seed=_seed(rng),
    )
    return _pairs(result, return_eigenvectors)


def svds(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    return_singular_vectors: bool | str = True,
    solver: str = "arpack",
    rng: Any = None,
    options: dict[str, Any] | None = None,
    *,
    random_state: Any = None,
) -> Any:
    """Find k singular triplets of A; see `ritz.svds`. Returns s or (u, s, vh), s ascending.

    Every `solver` is the same Golub-Kahan process on A, never on AᴴA; `options` of SciPy's LOBPCG
    change nothing.
    """
    if solver not in ("arpack", "lobpcg", "propack"):
        raise ValueError(f"solver must be one of {{'arpack', 'lobpcg', 'propack'}}, not {solver!r}")
    if options is not None and not isinstance(options, dict):
        raise TypeError(f"options is {options!r}; pass a dict")
    seed = _seed(rng if random_state is None else random_state)
    result = ritz.svds(A, k, ncv, tol, which, v0, maxiter, seed=seed)
    if not result.converged:
        raise _no_convergence(result, result.s[::-1], None)
    u, s, vh = result.u[:, ::-1], result.s[::-1], result.vt[::-1]
    if return_singular_vectors is False:
        return s
    return (
        None if return_singular_vectors == "vh" else u,
        s,
        None if return_singular_vectors == "u" else vh,
    )


def lobpcg(
    A: Any,
    X: Any,
    B: Any = None,
    M: Any = None,
    Y: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    largest: bool = True,
    verbosityLevel: int = 0,
    retLambdaHistory: bool = False,
    retResidualNormsHistory: bool = False,
    restartControl: int = 20,  # noqa: ARG001
) -> Any:
    """Find extreme eigenpairs of A v = w B v; see `ritz.lobpcg`. Returns (w, V).

    Unlike SciPy's, `tol` bounds ‖A v − w B v‖ relative to ‖A‖, and a run that does not meet it
    warns and says how far it came. Histories are not kept: take them from `ritz.lobpcg`.
    """
    if retLambdaHistory or retResidualNormsHistory:
        raise NotImplementedError(
            "ritz.scipy.lobpcg keeps no histories; pass a callback, or history=True, to ritz.lobpcg"
        )
    limit = 20 if maxiter is None else maxiter
    callback = None
    if verbosityLevel > 0:
        from ritz.monitors import Lines

        callback = Lines()
    result = ritz.lobpcg(A, X, B, M, Y, tol, limit, largest, callback=callback)
    if not result.converged:
        import warnings

        warnings.warn(f"lobpcg: {result.message}", UserWarning, stacklevel=2)
    order = slice(None, None, -1) if largest else slice(None)
    w, V = np.asarray(result[0]), np.asarray(result[1])
    sorted_ = np.argsort(w)[order]
    return w[sorted_], V[:, sorted_]


def expm_multiply(
    A: Any,
    B: Any,
    start: float | None = None,
    stop: float | None = None,
    num: int | None = None,
    endpoint: bool | None = None,
    traceA: Any = None,  # noqa: ARG001
) -> Any:
    """Compute exp(A) B, or exp(t A) B at equally spaced times t; see `ritz.funm_multiply`.

    A that is not declared symmetric is taken to be general. `traceA` is not needed.
    """
    A = aslinearoperator(A)
    B = np.asarray(B)
    if start is None and stop is None and num is None and endpoint is None:
        return _exp(A, B, 1.0)
    if start is None or stop is None:
        raise ValueError("pass start and stop together, or neither")
    times, step = np.linspace(
        start,
        stop,
        50 if num is None else num,
        endpoint=True if endpoint is None else endpoint,
        retstep=True,
    )
    now = _exp(A, B, times[0]) if times[0] != 0.0 else B.astype(np.result_type(B, A.dtype, 1.0))
    found = [now]
    for _ in times[1:]:
        now = _exp(A, now, float(step))
        found.append(now)
    return np.stack(found)


def _exp(A: LinearOperator, B: Any, t: float) -> Any:
    result = ritz.funm_multiply(A, B, "exp", t=t, rtol=2.0**-50)
    return result[0]


def _seed(rng: Any) -> int:
    """Return a seed from what SciPy takes as rng."""
    if rng is None:
        return 0
    if isinstance(rng, int | np.integer):
        return int(rng)
    return int(np.random.default_rng(rng).integers(2**63))


def _factorised(A: Any, M: Any, sigma: complex) -> LinearOperator | None:
    """Return (A − sigma M)⁻¹ for matrices, by SciPy's LU; None for anything else."""
    matrices = [a for a in (A, M) if a is not None]
    if not all(hasattr(a, "tocsc") or isinstance(a, np.ndarray) for a in matrices):
        return None
    from scipy.linalg import lu_factor, lu_solve
    from scipy.sparse import csc_array, eye_array, issparse
    from scipy.sparse.linalg import splu

    if any(issparse(a) for a in matrices):
        shift = eye_array(A.shape[0]) if M is None else csc_array(M)
        lu = splu(csc_array(csc_array(A) - sigma * shift if sigma else csc_array(A)))

        def solve(x: Any) -> Any:
            return lu.solve(np.ascontiguousarray(x))
    else:
        factors = lu_factor(A - sigma * (np.eye(len(A)) if M is None else M))

        def solve(x: Any) -> Any:
            return lu_solve(factors, x)

    return LinearOperator(A.shape, matvec=solve, dtype=np.result_type(*matrices, sigma, 1.0))


def _pairs(result: Any, vectors: bool) -> Any:
    if not result.converged:
        raise _no_convergence(result, result.w, result.V)
    return (result.w, result.V) if vectors else result.w


def _no_convergence(result: Result, values: Any, vectors: Any) -> RuntimeError:
    """Return SciPy's exception, with what did converge."""
    from scipy.sparse.linalg import ArpackNoConvergence

    good = np.asarray(result.residuals) <= result.target  # type: ignore[attr-defined]
    kept = None if vectors is None else vectors[:, good]
    error: RuntimeError = ArpackNoConvergence(result.message, values[good], kept)
    return error
