"""Linear systems with a symmetric (Hermitian) operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ritz._linear import run, solver
from ritz.results import LinearResult

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["cg"]


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
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b for Hermitian positive definite A by conjugate gradients.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    b : array (n,) or (n, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind. Each of k columns ends
        by itself, and their products are made as block products.
    x0 : array like b, optional
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
    One product an iteration, one to start from x0, one to verify. Memory: three vectors, four with
    M, beside x. Traffic: 10 n an iteration, 12 n with M.

    References
    ----------
    Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
    1952. Steihaug: The conjugate gradient method and trust regions in large scale optimization.
    SIAM J. Numer. Anal. 20, 1983.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "radius": radius}
    return run("cg", A, b, x0, M, options, LinearResult, "self-adjoint", **common)
