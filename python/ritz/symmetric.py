"""Linear systems with a symmetric (Hermitian) operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ritz._families import shifted
from ritz._linear import run, solver
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import LinearResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["SymmetricResult", "cg", "cr", "fcg", "minres", "minres_qlp", "symmlq"]


class SymmetricResult(LinearResult):
    """The result (x, info) of `minres`, `minres_qlp`, `symmlq` and `cr`.

    Attributes
    ----------
    normal_residual : float
        ‖(A − shift I) r‖ of the iterate before the last, by a recurrence; evaluated if x is a
        least-squares solution. With M it is ‖(A − shift I) M r‖ in the norm of M. NaN where the
        method has none.
    norm_a, cond_a : float
        A lower bound of ‖A − shift I‖, and an estimate of its condition number over the Krylov
        space (NaN for `cr`); with M, of M½ (A − shift I) M½.
    """

    normal_residual: float
    norm_a: float
    cond_a: float


@solver
def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    radius: float | None = None,
    shifts: Any = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b for Hermitian positive definite A by conjugate gradients.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    b : array (n,) or (n, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind. Each of k columns ends
        by itself, and their products are made as block products. With a tree of `A.codomain`, the
        solution is a tree of `A.domain`.
    x0 : array or tree like b, optional
        A first guess.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual.
    maxiter : int, optional
        By default 10 n.
    M : operator (n, n), optional
        A positive definite approximation of A⁻¹.
    radius : float, optional
        Keep ‖x‖ ≤ radius, in the norm of M⁻¹ if there is an M: a run that would leave the ball ends
        on its surface with `boundary`, or with `negative_curvature` if it met dᴴ A d ≤ 0.
    shifts : sequence of float, optional
        Solve (A + σ I) x = b for all of these σ from one Krylov space, at one product an iteration:
        x has shape (n, len(shifts)), and `columns` of the result tell of each. Every A + σ I must
        be positive definite. One right-hand side, x0 = 0, no M.
    callback : callable or sequence of callables, optional
        Called with a `ritz.Iteration` after each iteration; return True or raise StopIteration to
        stop. See `ritz.monitors`.
    verify : bool
        False claims convergence on the recurrence's residual and saves one product.
    timeout : float, optional
        Seconds.
    max_products : int, optional
        Products with A.
    history : bool
        Keep the residual norms in `result.history`.
    out : array (n,), optional
        Written with the solution, which then is `out` itself.
    workspace : Workspace, optional
        Memory to reuse.
    x_dtype : dtype, optional
        float64 (complex128) keeps x, and takes true residuals, in double precision under
        single-precision vectors.
    batched : bool
        b of shape (k, n) holds the right-hand sides of k systems of their own, and A is an array
        (k, n, n) or a function of an array (k, n).

    Returns
    -------
    LinearResult
        The tuple (x, info) with an account of the run; info is 0 for success. `direction` is a
        direction of negative curvature if one was met.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify (each shift). Memory: three
    vectors, four with M, beside x; with shifts two and one for each. Traffic: 10 n an iteration,
    12 n with M, 6 n and 4 n for each shift that has not converged.

    References
    ----------
    Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
    1952. Steihaug: The conjugate gradient method and trust regions in large scale optimization.
    SIAM J. Numer. Anal. 20, 1983.
    Jegerlehner: Krylov space solvers for shifted linear systems. arXiv:hep-lat/9612014, 1996.
    """
    if shifts is not None:
        options = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
        return shifted(A, b, shifts, options, {"x0": x0, "M": M, "radius": radius}, common)
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "radius": radius}
    return run("cg", A, b, x0, M, options, LinearResult, "self-adjoint", **common)


@solver
def minres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    npc: bool = False,
    **common: Unpack[Common],
) -> SymmetricResult:
    """Solve (A − shift I) x = b for Hermitian A, indefinite or singular too, by MINRES.

    Minimises ‖b − (A − shift I) x‖ over the Krylov space (in the norm of M with a preconditioner).

    Parameters
    ----------
    A, b, x0, maxiter
        As for `cg`, but A may be indefinite or singular.
    rtol, atol : float
        Converged means ‖b − (A − shift I) x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual,
        with or without M. SciPy's `minres` tests ‖r‖ / (‖A‖ ‖x‖) instead.
    shift : float
        A multiple of the identity to subtract from A.
    M : operator (n, n), optional
        A positive definite approximation of the inverse of A − shift I, with its negative
        eigenvalues turned positive.
    npc : bool
        End with `negative_curvature` at the first residual r with rᴴ (A − shift I) r ≤ 0, which is
        `direction` then (M r with a preconditioner).
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`; x_dtype cannot be combined with a shift.

    Returns
    -------
    SymmetricResult
        The tuple (x, info) with an account of the run; info is 0 if the residual met its target.
        Status `least_squares_solution` says that nothing can meet it: ‖A r‖ was evaluated and is
        zero as far as the working precision tells, so that x minimises ‖r‖ (in the norm of M);
        `minres_qlp` returns the shortest such x.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify, two for a least-squares solution.
    Memory: five vectors, seven with M, beside x. Traffic: 12 n an iteration, 17 n with M.

    For ‖A r‖ ≪ ‖A‖ ‖r‖ there is an eigenvalue near zero, and only further iterations could tell
    whether it is zero. A run ends if ‖A r‖ ≤ 2 √eps ‖A‖ ‖r‖ and the residual has stopped falling.
    A system with eigenvalues below about 0.1 √eps ‖A‖ and none between them and the others may
    therefore end as if they were zero.

    References
    ----------
    Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J. Numer. Anal.
    12, 1975. Liu, Roosta: MINRES: from negative curvature detection to monotonicity properties.
    SIAM J. Optim. 32, 2022.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "shift": shift, "npc": npc}
    return run("minres", A, b, x0, M, options, SymmetricResult, "self-adjoint", **common)


@solver
def minres_qlp(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> SymmetricResult:
    """Find the x of least norm that minimises ‖b − (A − shift I) x‖ for Hermitian A.

    Parameters
    ----------
    A, b, x0, rtol, atol, shift, maxiter, M
        As for `minres`. From an x0, least is the norm of x − x0.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`; callbacks do not see x, which is formed at the end; x_dtype cannot be combined
        with a shift, and leaves out the step to the least norm of an inconsistent system.

    Returns
    -------
    SymmetricResult
        The tuple (x, info) with an account of the run; info is 0 if the residual met its target.
        For a system without a solution the status is `least_squares_solution` and x = A⁺ b, found
        to a relative accuracy of about √eps times what there was to remove; `residual` and
        `normal_residual` were evaluated.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify, three for a least-squares
    solution. Memory: five vectors, seven with M, beside x. Traffic: 17 n an iteration, 22 n with M.
    With M, least is the norm of x in M⁻¹.

    References
    ----------
    Choi, Paige, Saunders: MINRES-QLP: a Krylov subspace method for indefinite or singular symmetric
    systems. SIAM J. Sci. Comput. 33, 2011. Liu, Milzarek, Roosta: Obtaining pseudo-inverse
    solutions with MINRES. arXiv 2309.17096, 2023.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "shift": shift}
    return run("minres_qlp", A, b, x0, M, options, SymmetricResult, "self-adjoint", **common)


@solver
def symmlq(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> SymmetricResult:
    """Solve (A − shift I) x = b for Hermitian A, if it has a solution, by SYMMLQ.

    Its iterates minimise the error over (A − shift I) times the Krylov space; the last step goes to
    the Galerkin (CG) point if that has the smaller residual.

    Parameters
    ----------
    A, b, x0, rtol, atol, shift, maxiter, M
        As for `minres`.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`; callbacks do not see x; x_dtype cannot be combined with a shift.

    Returns
    -------
    SymmetricResult
        The tuple (x, info) with an account of the run; info is 0 for success. A system without a
        solution ends with `stagnation` and an x of no use: `minres` or `minres_qlp` then.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify. Memory: four vectors, five with
    M, beside x. Traffic: 13 n an iteration, 15 n with M.

    References
    ----------
    Paige, Saunders: Solution of sparse indefinite systems of linear equations. SIAM J. Numer. Anal.
    12, 1975.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "shift": shift}
    return run("symmlq", A, b, x0, M, options, SymmetricResult, "self-adjoint", **common)


@solver
def cr(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    shift: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> SymmetricResult:
    """Solve (A − shift I) x = b for positive (semi)definite A − shift I by conjugate residuals.

    Minimises the residual as `minres` does, and ends at the first sign that the operator is
    indefinite.

    Parameters
    ----------
    A, b, x0, rtol, atol, shift, maxiter, M
        As for `minres`.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`; x_dtype cannot be combined with a shift.

    Returns
    -------
    SymmetricResult
        The tuple (x, info) with an account of the run; info is 0 for success. At the status
        `negative_curvature`, `direction` is the residual r (M r with a preconditioner), with
        rᴴ (A − shift I) r < 0; `least_squares_solution` is that of `minres`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify. Memory: four vectors, six with M,
    beside x. Traffic: 14 n an iteration, 20 n with M.

    References
    ----------
    Stiefel: Relaxationsmethoden bester Strategie zur Lösung linearer Gleichungssysteme. Comment.
    Math. Helv. 29, 1955. Dahito, Orban: The conjugate residual method in linesearch and
    trust-region methods. SIAM J. Optim. 29, 2019.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "shift": shift}
    return run("cr", A, b, x0, M, options, SymmetricResult, "self-adjoint", **common)


@solver
def fcg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    memory: int | None = None,
    directions: Callable[[Any], Any] | None = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b for Hermitian positive definite A by flexible conjugate gradients.

    The preconditioner may change from call to call: each direction is made A-orthogonal to the
    last few explicitly.

    Parameters
    ----------
    A, b, x0, rtol, atol, maxiter
        As for `cg`.
    M : operator (n, n), optional
        An approximation of A⁻¹ with Re rᴴ M(r) > 0; it may change, and need not be linear.
    memory : int, optional
        Directions to be orthogonal to: one is enough for most, and the default with M; a few help
        if M changes much.
    directions : callable, optional
        r (n,) ↦ a search direction (n,), in the place of M: any function, a trained network, say.
        Its sign and length do not matter. What it proposes is made A-orthogonal to the last two
        directions, unless `memory` says otherwise.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched
        As for `cg`.

    Returns
    -------
    LinearResult
        The tuple (x, info) with an account of the run; info is 0 for success. `direction` is a
        direction of negative curvature if one was met.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify. Memory: 1 + 2 memory vectors, one
    more with M, beside x. Traffic: (10 + 5 memory) n an iteration.

    References
    ----------
    Golub, Ye: Inexact preconditioned conjugate gradient method with inner-outer iteration. SIAM J.
    Sci. Comput. 21, 1999. Notay: Flexible conjugate gradients. SIAM J. Sci. Comput. 22, 2000.
    """
    if directions is not None:
        if M is not None:
            raise ValueError("directions and M cannot both be given")
        A = aslinearoperator(A)
        M = LinearOperator(A.shape, _uphill(directions), symmetric=True)
        memory = 2 if memory is None else memory
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "memory": memory}
    return run("fcg", A, b, x0, M, options, LinearResult, "self-adjoint", **common)


def _uphill(directions: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Turn directions round that point away from the residual."""

    def propose(r: Any) -> Any:
        d = directions(r)
        return d if ((r.conj() * d).sum().real >= 0) else -d

    return propose
