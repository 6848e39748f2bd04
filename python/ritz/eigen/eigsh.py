"""Eigenvalues of self-adjoint operators."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import (
    columns_on_device,
    device_setting,
    example_of,
    flat_on_device,
    on_device,
)
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.frameworks import Framework
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import EigshResult, Status, account_of
from ritz.workspace import Workspace, lent

__all__ = ["eigsh"]

_WHICH = {"LA": 0, "SA": 1, "LM": 2, "BE": 3}


def eigsh(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: float | None = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0.0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    mode: str = "normal",
    *,
    block_size: int = 1,
    deflate: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    max_basis: int | None = None,
    seed: int = 0,
    like: Any = None,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> EigshResult:
    """Find k eigenpairs A v = w M v of a Hermitian A by thick-restart Lanczos.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    k : int
        Eigenpairs wanted, at most n.
    M : operator (n, n), optional
        Hermitian and positive definite; the identity without it.
    sigma : float, optional
        Find the eigenvalues nearest to it: through `OPinv` if that is given, otherwise as harmonic
        Ritz values, which needs no solves but many products.
    which : {"LM", "LA", "SA", "BE"}
        Those of largest magnitude, the largest, the smallest, or half from each end, one more from
        the high end if k is odd. With `OPinv` it speaks of 1/(w − sigma), as in SciPy: "LM" are the
        nearest to sigma.
    v0 : array (n,), array (n, p) or tree, optional
        The Krylov space starts from these vectors; by default random, from `seed`. Several make a
        block of p.
    ncv : int, optional
        Basis vectors, by default max(2k + 10, 20), for blocks 3 (block_size − 1) more.
    maxiter : int, optional
        Restarts, by default 10 n.
    tol : float
        Converged means ‖A v − w v‖ ≤ tol ‖A‖ for every pair, evaluated; 0 means what the precision
        allows. With M the norm is that of M⁻¹ and ‖A‖ becomes ‖M⁻¹A‖; with OPinv it is
        ‖A v − w M v‖ ≤ tol (‖A‖ + |w| ‖M‖) ‖v‖.
    return_eigenvectors : bool
        False leaves V out: it is None.
    Minv : operator (n, n), optional
        Products with M⁻¹. Without it, and without OPinv, M x = b is solved by conjugate gradients.
    OPinv : operator (n, n), optional
        Products with (A − sigma M)⁻¹, such as solves with a factorisation.
    mode : {"normal"}
        SciPy's other modes are not offered.
    block_size : int
        Vectors that go through A together. Eigenvalues of multiplicity up to block_size are found
        with all their copies.
    deflate : array (n, p) or (n,), optional
        Known vectors: the pairs are sought orthogonal to them, those of A between projectors onto
        their complement.
    checkpoint : path, optional
        A file that the state is saved to at restarts, at most every `checkpoint_every` seconds. A
        run of the same problem that finds it goes on there, to the same bits; it is removed when
        the run has converged.
    checkpoint_every : float
        Seconds.
    max_basis : int, optional
        At most this many basis vectors, whatever ncv and k make of it.
    seed : int
        Of the starting vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, and that V is returned as; needed
        where neither A nor v0 tells that it is not NumPy's. One in device memory, as v0 there,
        says that the run is on the device; w and the errors are NumPy's then.
    verify : bool
        False takes the residuals from the recurrence and saves k products.
    callback, timeout, max_products, history, workspace
        As for `cg`.

    Returns
    -------
    EigshResult
        The tuple (w, V), w ascending of shape (k,), V of shape (n, k) with Vᴴ M V = I, with
        `residuals`, `bounds`, `multiplicities` and an account of the run. Pairs that a stopped run
        did not reach are NaN. V is one array also for trees: `A.domain.unflatten(V[:, j])` is a
        column as a tree.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    One product a Lanczos step, k to verify; with M one product with it a step, with OPinv one
    solve. `products` are those with A, `preconditioner_products` those with M, Minv and OPinv.
    Memory: ncv + block_size vectors beside V, and as many again with M.

    A Krylov space from one vector holds one vector of each eigenspace; copies come in by rounding
    (under a loose tolerance by small random vectors that stand for it). Before convergence is
    claimed, the complement of what was found is searched from a random direction until its best
    value is seen to be worse, with at most a quarter more products. Copies can still be missed,
    rarely; up to block_size they are not.

    References
    ----------
    Wu, Simon: Thick-restart Lanczos method for large symmetric eigenvalue problems. SIAM J. Matrix
    Anal. Appl. 22, 2000.

    Ericsson, Ruhe: The spectral transformation Lanczos method. Math. Comp. 35, 1980.

    Morgan, Zeng: A harmonic restarted Arnoldi algorithm. Linear Algebra Appl. 415, 2006.
    """
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", "eigsh")
    n = A.shape[0]
    k = _arrays.integer(k, "k")
    if n > 0 and k > n:
        raise ValueError(f"k is {k}; A has only n = {n} eigenvalues: pass 1 to {n}")
    mass, mass_inverse, solve = (
        None if given is None else _operand(given, name, A)
        for given, name in ((M, "M"), (Minv, "Minv"), (OPinv, "OPinv"))
    )
    shift, interior = _target(sigma, which, mode, solve)
    if mass is None and mass_inverse is not None:
        raise ValueError("Minv is given without M; pass M as well")
    if mass is not None and solve is None and mass_inverse is None:
        mass_inverse = _inverse_by_cg(mass)
    options = {
        "k": k,
        "ncv": 0 if ncv is None else _arrays.integer(ncv, "ncv", min(k + 1, n)),
        "max_basis": _arrays.limit(max_basis, "max_basis"),
        "block_size": _arrays.integer(block_size, "block_size"),
        "max_restarts": _arrays.limit(maxiter, "maxiter"),
        "tol": _arrays.nonnegative(tol, "tol"),
        "interior": interior,
        "verify": bool(verify),
    }
    seed = _arrays.seed_of(seed)
    path = "" if checkpoint is None else os.fspath(checkpoint)
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    others = [a for a in (mass, mass_inverse, solve) if a is not None]
    operators = [A, *others]
    known_there = flat_on_device(A.domain, deflate, *operators)
    if deflate is None or on_device(known_there):
        v0, deflate = flat_on_device(A.domain, v0, *operators), known_there
    example = example_of(A, [v0, like, deflate], others)
    framework: Framework
    blocks: tuple[Any, ...]
    if example is not None:
        device, core, dtype, _ = device_setting(
            example, "v0" if example is v0 else "like", [A, *others]
        )
        framework = device
        blocks = tuple(
            None if given is None else columns_on_device(device, core, given, name, n)
            for given, name in ((v0, "v0"), (deflate, "deflate"))
        )
    else:
        framework, dtype = setting(A, like)
        known, _ = _columns(deflate, "deflate", A)
        start, given_framework = _columns(v0, "v0", A)
        framework = given_framework or framework
        types = [a.dtype for a, came in ((start, v0), (known, deflate)) if came is not None]
        dtype = working_dtype([A, *others], types or [dtype])
        blocks = tuple(
            np.asfortranarray(_arrays.cast(block, dtype, name))
            for block, name in ((start, "v0"), (known, "deflate"))
        )
        core = _arrays.core(dtype)
    watch = Watch("eigsh", framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "eigsh", dtype, core) as memory,
        Binding(dtype, framework, core) as run,
        watch.running() as ending,
    ):
        if n == 0:
            w, V, residuals, bounds, outcome = _nothing_to_find(
                framework.no_columns(0, dtype, core)
            )
        else:
            w, V, residuals, bounds, outcome = run.core.eigsh(
                run(A),
                *(None if a is None else run(a) for a in (mass, mass_inverse, solve)),
                shift,
                options,
                _WHICH[which],
                seed,
                *blocks,
                path,
                every,
                watch.monitor,
                memory,
            )
        real = np.dtype(dtype.char.lower())
        # Rounding in w, in the vectors and in the residual's own evaluation: a few eps ‖A‖.
        bounds = bounds + 8.0 * np.finfo(real).eps * outcome["norm_a"]
        account = account_of(outcome, watch.history)
        account |= {
            "residuals": residuals,
            "bounds": bounds,
            "multiplicities": _arrays.core(dtype).multiplicities(w, bounds),
            "restarts": outcome["restarts"],
            "locked": outcome["locked"],
            "norm_a": outcome["norm_a"],
        }
        values = framework.from_numpy(w.astype(real))
        vectors = framework.from_columns(V) if return_eigenvectors else None
        ending.result = result = EigshResult((values, vectors), **account)
    return result


def _target(
    sigma: float | None, which: str, mode: str, solve: LinearOperator | None
) -> tuple[float, bool]:
    """Return σ, and whether the eigenvalues near it are sought without a solve."""
    if which == "SM":
        raise ValueError(
            "which is 'SM'; pass sigma=0, with OPinv for the inverse of A if there is a solve, or "
            "which='SA' if A is positive definite"
        )
    if which not in _WHICH:
        raise ValueError(f'which is {which!r}; pass "LM", "LA", "SA" or "BE"')
    if mode != "normal":
        raise ValueError(f"mode is {mode!r}; pass 'normal', with the OPinv of that mode")
    if sigma is None:
        if solve is not None:
            raise ValueError("OPinv is given without sigma; pass the sigma that it solves for")
        return 0.0, False
    if isinstance(sigma, complex) and sigma.imag == 0.0:
        sigma = sigma.real
    if solve is None and which != "LM":
        raise ValueError(f"which is {which!r}; sigma without OPinv finds the nearest: pass 'LM'")
    return _arrays.number(sigma, "sigma"), solve is None


def _operand(given: Any, name: str, A: LinearOperator) -> LinearOperator:
    a: LinearOperator = aslinearoperator(given, name)
    require_self_adjoint(a, name, "eigsh")
    if a.shape != A.shape:
        raise ValueError(f"{name} has shape {a.shape}; A has shape {A.shape}")
    return a


def _inverse_by_cg(M: LinearOperator) -> LinearOperator:
    """Return M⁻¹ as far as conjugate gradients attain it."""
    from ritz.symmetric import cg

    def solve(b: Any) -> Any:
        eps = np.finfo(_arrays.element_type(b.dtype, "b")).eps
        result = cg(M, b, rtol=8.0 * float(eps))
        if result.status not in (Status.converged, Status.precision_limit):
            raise ValueError(
                f"M x = b could not be solved by conjugate gradients ({result.message}); pass Minv"
            )
        return result.x

    return LinearOperator(M.shape, solve, dtype=M.dtype if M.has_dtype else None)


def _columns(given: Any, name: str, A: LinearOperator) -> tuple[npt.NDArray[Any], Framework | None]:
    """Return given vectors as columns (n, p), and the framework of what was given."""
    n = A.shape[0]
    if given is None:
        return np.empty((n, 0)), None
    if A.domain is not None and A.domain.holds(given):
        given = A.domain.flat(given)
    a, framework = _arrays.array(given, name)
    if a.ndim == 1:
        a = a[:, None]
    if a.ndim != 2 or a.shape[0] != n:
        raise ValueError(
            f"{name} has shape {a.shape if a.ndim != 2 or a.shape[1] != 1 else a.shape[:1]}; "
            f"A of shape {A.shape} needs shape ({n},), or ({n}, p) for several vectors"
        )
    return a, framework


def _nothing_to_find(V: Any) -> tuple[Any, ...]:
    outcome = {
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
        "locked": 0,
        "norm_a": 0.0,
    }
    return np.empty(0), V, np.empty(0), np.empty(0), outcome
