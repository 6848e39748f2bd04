"""Linear systems and linear least squares."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz._nodes import Binding
from ritz._run import Callbacks, LinearProblem, Watch
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import CgResult, LsmrResult, account_of, info_of
from ritz.workspace import Workspace, lent

__all__ = ["cg", "lsmr"]


def require_self_adjoint(a: LinearOperator, name: str, user: str) -> None:
    """Raise ValueError for an operator that is not square or declared not to be self-adjoint."""
    m, n = a.shape
    if m != n:
        raise ValueError(f"{name} has shape {(m, n)}; {user} needs a square operator")
    if a.symmetric is False:
        raise ValueError(
            f"{name} is declared symmetric=False; {user} needs a self-adjoint operator"
        )


def cg(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    callback: Callbacks = None,
    verify: bool = True,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    out: Any = None,
    workspace: Workspace | None = None,
) -> CgResult:
    """Solve A x = b for Hermitian positive definite A by conjugate gradients.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    b : array (n,)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    x0 : array (n,), optional
        A first guess.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual.
    maxiter : int, optional
        By default 10 n.
    M : operator (n, n), optional
        A positive definite approximation of A⁻¹.
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

    Returns
    -------
    CgResult
        The tuple (x, info) with an account of the run; info is 0 for success.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify. Memory: three vectors, four with
    M, beside x.

    References
    ----------
    Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
    1952.
    """
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", "cg")
    if M is not None:
        M = aslinearoperator(M, "M")
        require_self_adjoint(M, "M", "cg")
        if M.shape != A.shape:
            raise ValueError(f"M has shape {M.shape}; A has shape {A.shape}")
    rtol = _arrays.nonnegative(rtol, "rtol")
    atol = _arrays.nonnegative(atol, "atol")
    iterations = _arrays.limit(maxiter, "maxiter")
    problem = LinearProblem(A, b, x0, [M], out)
    watch = Watch("cg", problem.framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "cg", problem.dtype) as memory,
        Binding(problem.dtype, problem.framework) as run,
        watch.running() as ending,
    ):
        x, outcome = problem.core.cg(
            run(A),
            problem.b,
            problem.x0,
            None if M is None else run(M),
            rtol,
            atol,
            iterations,
            bool(verify),
            watch.monitor,
            memory,
            problem.out,
        )
        account = account_of(outcome, watch.history)
        info = info_of(account["status"], account["iterations"])
        ending.result = result = CgResult((problem.solution(x), info), **account)
    return result


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
    callback: Callbacks = None,
    verify: bool = True,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    out: Any = None,
    workspace: Workspace | None = None,
) -> LsmrResult:
    """Minimise ‖b − A x‖² + damp² ‖x − x₀‖² for any A by LSMR.

    Parameters
    ----------
    A : operator (m, n) with an adjoint
        Anything that `aslinearoperator` takes.
    b : array (m,)
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
    x0 : array (n,), optional
        A first guess; the damping then pulls towards it.
    callback, verify, timeout, max_products, history, out, workspace
        As for `cg`.

    Returns
    -------
    LsmrResult
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
    A = aslinearoperator(A)
    damp = _arrays.nonnegative(damp, "damp")
    atol = _arrays.nonnegative(atol, "atol")
    btol = _arrays.nonnegative(btol, "btol")
    conlim = _arrays.nonnegative(conlim, "conlim")
    iterations = _arrays.limit(maxiter, "maxiter")
    problem = LinearProblem(A, b, x0, out=out)
    if show:
        from ritz.monitors import Lines

        given = [] if callback is None else [callback] if callable(callback) else list(callback)
        callback = [Lines(), *given]
    watch = Watch("lsmr", problem.framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "lsmr", problem.dtype) as memory,
        Binding(problem.dtype, problem.framework) as run,
        watch.running() as ending,
    ):
        x, outcome = problem.core.lsmr(
            run(A),
            problem.b,
            problem.x0,
            damp,
            atol,
            btol,
            conlim,
            iterations,
            bool(verify),
            watch.monitor,
            memory,
            problem.out,
        )
        account = account_of(outcome, watch.history)
        for name in ("normal_residual", "norm_a", "cond_a", "norm_x"):
            account[name] = outcome[name]
        info = info_of(account["status"], account["iterations"])
        ending.result = result = LsmrResult((problem.solution(x), info), **account)
    return result
