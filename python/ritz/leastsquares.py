"""Linear least squares, and systems with a rectangular operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ritz import _arrays, _families
from ritz._linear import preconditioner, run, solver
from ritz._run import tree_of_solution
from ritz.operators import aslinearoperator, working_dtype
from ritz.results import Counts, LeastSquaresSolution, LinearResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["cgls", "craig", "lsmr", "lsqr"]


def _showing(show: bool, common: Common) -> Common:
    """Add SciPy's `show` to the callbacks: a line an iteration."""
    if not show:
        return common
    from ritz.monitors import Lines

    given = common.get("callback")
    callbacks = [] if given is None else [given] if callable(given) else list(given)
    return {**common, "callback": [Lines(), *callbacks]}


def _right_preconditioned(
    method: str, A: Any, b: Any, x0: Any, M: Any, options: dict[str, Any], common: Common
) -> LeastSquaresSolution:
    """Minimise over y, x = x₀ + M y, with the operator [A; damp I] M and no damping."""
    for name, value in {"radius": options.get("radius"), **common}.items():
        if name in ("radius", "batched", "block", "x_dtype") and value:
            raise ValueError(f"{name} cannot be combined with M")
    A = aslinearoperator(A)
    N = preconditioner(M, A, method, False)
    damp = _arrays.nonnegative(options["damp"], "damp")
    n = A.shape[1]
    tree = tree_of_solution(A, b, x0)
    if tree is not None and common.get("out") is not None:
        raise ValueError("out cannot be combined with a tree; take x from the result")
    B, framework = _arrays.array(b if A.codomain is None else A.codomain.flat(b), "b")
    dtype = working_dtype([A, N], [B.dtype])
    B = _arrays.cast(B, dtype, "b")
    if B.ndim == 2 and B.shape[1] == 1:  # a vector, as in SciPy
        B = B[:, 0]
    r = B
    start = np.zeros((n, *B.shape[1:]), dtype)
    if x0 is not None:
        x0 = x0 if A.domain is None else A.domain.flat(x0)
        given = _arrays.cast(_arrays.array(x0, "x0")[0], dtype, "x0")
        if given.size != start.size or given.shape[0] != n:
            raise ValueError(f"x0 has shape {given.shape}; the solution has {start.shape}")
        start = np.array(given.reshape(start.shape), order="C")
        r = B - framework.to_numpy(A @ framework.from_numpy(start), "A x0")
    # btol speaks of ‖b‖, which the inner problem does not see; of columns the strictest counts.
    sizes, remaining = np.linalg.norm(B, axis=0), np.linalg.norm(r, axis=0)
    shares = [float(s / t) for s, t in zip(np.ravel(sizes), np.ravel(remaining), strict=True) if t]
    inner = {**options, "damp": 0.0}
    inner["btol"] = _arrays.nonnegative(options["btol"], "btol") * min(shares, default=1.0)
    stacked = A
    if damp > 0.0:
        stacked = A.damped(damp)
        r = np.concatenate([r, np.zeros_like(start)])
    inside: Common = {**common, "out": None}
    right = framework.from_numpy(np.array(r, order="C"))
    found = run(method, stacked @ N, right, None, None, inner, LeastSquaresSolution, **inside)
    x = start + framework.to_numpy(N @ found.x, "M y")
    solution = framework.from_numpy(x) if tree is None else tree.unflatten(x)
    if (out := common.get("out")) is not None:
        _arrays.destination(out, "out", n, dtype, [("b", B), ("x0", start)])[...] = x
        solution = out

    def account(result: LinearResult, z: Any, products: Counts, count: int) -> dict[str, Any]:
        more = {"norm_x": float(np.linalg.norm(z)), "products": products}
        return {**result.__dict__, **more, "preconditioner_products": count}

    columns = tuple(
        LeastSquaresSolution(
            (solution[:, j], c.info), **account(c, x[:, j], c.products, c.products.total + 1)
        )
        for j, c in enumerate(found.columns)
    )
    k = max(len(columns), 1)
    products = found.products
    if x0 is not None:
        name = "columns" if columns else "matvec"
        products = products._replace(**{name: getattr(products, name) + k})
    whole = account(found, x, products, found.products.total + k)
    return LeastSquaresSolution((solution, found.info), **{**whole, "columns": columns})


def _solve(
    method: str,
    A: Any,
    b: Any,
    x0: Any,
    M: Any,
    damps: Any,
    options: dict[str, Any],
    common: Common,
) -> LeastSquaresSolution:
    if damps is not None:
        refused = {"x0": x0, "M": M, "radius": options.pop("radius")}
        if options.pop("damp"):
            raise ValueError("damp and damps cannot both be given")
        kind = LeastSquaresSolution
        return _families.damped(method, A, b, damps, options, kind, refused, common)
    if M is not None and method != "cgls":
        return _right_preconditioned(method, A, b, x0, M, options, common)
    return run(method, A, b, x0, M, options, LeastSquaresSolution, **common)


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
    *,
    M: Any = None,
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
    M : operator (n, n) with an adjoint, optional
        A right preconditioner: the method minimises over y with x = x₀ + M y, so that [A; damp I] M
        should be well conditioned, as with M = R⁻¹ of a QR factorisation of a sketch of A. The
        minimiser is the same where [A; damp I] has full rank. The tests above, `normal_residual`,
        `norm_a` and `cond_a` are then those of A M, and a callback's x is y.
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
    return _solve("lsmr", A, b, x0, M, None, options, _showing(show, common))


@solver
def lsqr(
    A: Any,
    b: Any,
    damp: float = 0.0,
    atol: float = 1e-6,
    btol: float = 1e-6,
    conlim: float = 1e8,
    maxiter: int | None = None,
    show: bool = False,
    x0: Any = None,
    *,
    M: Any = None,
    radius: float | None = None,
    damps: Any = None,
    variance: bool = False,
    **common: Unpack[Common],
) -> LeastSquaresSolution:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖² for any A by LSQR.

    Parameters
    ----------
    A : operator (m, n) with an adjoint
        Anything that `aslinearoperator` takes.
    b : array (m,) or (m, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    damp, atol, btol, conlim, maxiter, show, x0, M
        As for `lsmr`. (SciPy calls `maxiter` here `iter_lim`.)
    radius : float, optional
        Keep ‖x‖ ≤ radius: a run that would leave the ball ends on its surface with `boundary`.
    damps : sequence of float, optional
        Solve for all these dampings from one Krylov space, at two products an iteration: x has
        shape (n, len(damps)), and `columns` of the result tell of each. One right-hand side, no x0,
        no M, no radius.
    variance : bool
        Estimate the diagonal of (Aᴴ A + damp² I)⁻¹ over the Krylov space, as `variance` of the
        result or of each of `columns`: times the variance of b's errors, it is that of x. SciPy's
        `calc_var`.
    callback, verify, timeout, max_products, history, out, workspace, batched
        As for `lsmr`.

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
    One product with A and one with Aᴴ an iteration, one of each to verify (each damping). Memory:
    two vectors of length m and three of length n, beside x; with `damps` one of length n more for
    each. The residual falls monotonically, where LSMR's ‖Aᴴr‖ does: LSQR ends first if the system
    is consistent, LSMR otherwise.

    References
    ----------
    Paige, Saunders: LSQR: an algorithm for sparse linear equations and sparse least squares. ACM
    TOMS 8, 1982. Frommer, Maass: Fast CG-based methods for Tikhonov-Phillips regularization. SIAM
    J. Sci. Comput. 20, 1999.
    """
    options = {
        "damp": damp,
        "atol": atol,
        "btol": btol,
        "conlim": conlim,
        "maxiter": maxiter,
        "radius": radius,
    }
    if not variance:
        return _solve("lsqr", A, b, x0, M, damps, options, _showing(show, common))
    if M is not None or damps is not None:
        raise ValueError("variance cannot be combined with M or damps")
    options["variance"] = True
    result = _solve("lsqr", A, b, x0, None, None, options, _showing(show, common))
    for one in (result, *result.columns):
        # The compiled run hands it over as its one further vector.
        found = one.__dict__.pop("direction", None)
        one.__dict__["variance"] = None if found is None or one.columns else found.real
    return result


@solver
def cgls(
    A: Any,
    b: Any,
    damp: float = 0.0,
    atol: float = 1e-6,
    btol: float = 1e-6,
    conlim: float = 1e8,
    maxiter: int | None = None,
    show: bool = False,
    x0: Any = None,
    *,
    M: Any = None,
    radius: float | None = None,
    damps: Any = None,
    **common: Unpack[Common],
) -> LeastSquaresSolution:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖² for any A by CGLS.

    Parameters
    ----------
    A : operator (m, n) with an adjoint
        Anything that `aslinearoperator` takes.
    b : array (m,) or (m, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    damp, atol, btol, conlim, maxiter, show, x0
        As for `lsmr`.
    M : operator (n, n), optional
        A positive definite approximation of (Aᴴ A + damp² I)⁻¹.
    radius : float, optional
        Keep ‖x‖ ≤ radius, in the norm of M⁻¹ if there is an M: a run that would leave the ball ends
        on its surface with `boundary`.
    damps : sequence of float, optional
        As for `lsqr`, by whose process the family is solved.
    callback, verify, timeout, max_products, history, out, workspace, batched
        As for `lsmr`.

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
    Conjugate gradients on the normal equations, with r = b − A x and s = Aᴴ r kept apart. One
    product with A and one with Aᴴ an iteration, one of each to verify. Memory: two vectors of
    length m and two of length n, three with M, beside x.

    References
    ----------
    Björck, Elfving, Strakoš: Stability of conjugate gradient and Lanczos methods for linear least
    squares problems. SIAM J. Matrix Anal. Appl. 19, 1998. Steihaug: The conjugate gradient method
    and trust regions in large scale optimization. SIAM J. Numer. Anal. 20, 1983.
    """
    options = {
        "damp": damp,
        "atol": atol,
        "btol": btol,
        "conlim": conlim,
        "maxiter": maxiter,
        "radius": radius,
    }
    return _solve("cgls", A, b, x0, M, damps, options, _showing(show, common))


@solver
def craig(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Minimise ‖x − x₀‖ subject to A x = b by CRAIG, for any A and a b in its range.

    Parameters
    ----------
    A : operator (m, n) with an adjoint
        Anything that `aslinearoperator` takes.
    b : array (m,) or (m, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    x0 : array (n,) or (n, k), optional
        The point to stay near.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual.
    maxiter : int, optional
        By default 10 min(m, n).
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`; batched needs an adjoint too: an array (k, m, n), or a pair of functions.

    Returns
    -------
    LinearResult
        The tuple (x, info) with an account of the run. A system without a solution ends with
        `breakdown` or a limit, and its x is of no use: `lsqr` and `lsmr` are for those.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, above all an operator without an adjoint.

    Notes
    -----
    The error ‖x − x*‖ falls monotonically, the residual need not. One product with A and one with
    Aᴴ an iteration, one with A to verify. Memory: two vectors of length m and two of length n,
    beside x.

    References
    ----------
    Craig: The N-step iteration procedures. J. Math. Phys. 34, 1955. Saunders: Solution of sparse
    rectangular systems using LSQR and CRAIG. BIT 35, 1995.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
    return run("craig", A, b, x0, None, options, LinearResult, **common)
