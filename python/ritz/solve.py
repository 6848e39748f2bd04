"""A solver chosen from what is known, and solvers step by step."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from ritz import _arrays, _nodes
from ritz._linear import compiled_options, preconditioner, result_of, solver
from ritz._nodes import Binding
from ritz._run import LinearProblem, Watch
from ritz.general import gmres
from ritz.leastsquares import lsmr
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import LinearResult
from ritz.symmetric import cg, minres

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["Iterate", "iterate", "solve"]


@solver
def solve(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    symmetric: bool | None = None,
    positive_definite: bool | None = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b, or minimise ‖b − A x‖ if A is not square, by the method that fits A.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes.
    b : array (m,) or (m, k)
        The right-hand side, or several.
    x0 : array like x, optional
        A first guess.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol) for a square A; otherwise rtol stands for
        the `atol` and `btol` of `lsmr`.
    maxiter : int, optional
        By default that of the method.
    M : operator (n, n), optional
        An approximation of A⁻¹; positive definite for a symmetric A.
    symmetric, positive_definite : bool, optional
        What you know of A. Without, a declaration of the operator counts (`symmetric=`), and an
        array or a sparse matrix is compared with its adjoint, at the cost of about one product.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        With `method`, and in `reason` why it was chosen.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Not square: `lsmr`. Symmetric (Hermitian): `cg` if positive definite, else `minres`, which takes
    both. Anything else: `gmres`. No product is spent on finding out.
    """
    if common.get("batched"):
        known = symmetric
        op = None
        m = n = 0
    else:
        known = symmetric if symmetric is not None else _is_hermitian(A)
        op = aslinearoperator(A)
        A = op
        m, n = op.shape
        known = op.symmetric if known is None else known
    options: dict[str, Any] = {"maxiter": maxiter, **common}
    if m != n:
        if M is not None:
            options["M"] = M
        result: LinearResult = lsmr(A, b, x0=x0, atol=rtol, btol=rtol, **options)
        reason = f"A has shape {(m, n)}: least squares by bidiagonalisation"
    elif known and (positive_definite or (op is not None and _is_positive(op))):
        result = cg(A, b, x0, rtol=rtol, atol=atol, M=M, **options)
        reason = "A is symmetric and positive definite"
    elif known:
        result = minres(A, b, x0, rtol=rtol, atol=atol, M=M, **options)
        reason = "A is symmetric, and not known to be positive definite"
    else:
        result = gmres(A, b, x0, rtol=rtol, atol=atol, M=M, **options)
        reason = "A is not symmetric" if known is False else "A is not known to be symmetric"
    result.reason = reason
    return result


def _is_hermitian(A: Any) -> bool | None:
    """Whether an array or a sparse matrix equals its adjoint; None for anything else."""
    shape = tuple(getattr(A, "shape", ()))
    if isinstance(A, LinearOperator) or len(shape) != 2 or shape[0] != shape[-1]:
        return None
    if hasattr(A, "tocsr"):
        return bool((A != A.conj().T).nnz == 0)
    sparse = getattr(A, "is_sparse", False) or getattr(A, "is_sparse_csr", False)
    if sparse or hasattr(A, "matvec") or not hasattr(A, "dtype"):
        return None
    a, _ = _arrays.array(A, "A")
    return bool(np.array_equal(a, a.conj().T))


def _is_positive(A: LinearOperator) -> bool:
    """Whether A is positive definite by its construction."""
    return isinstance(A._node, _nodes.Diagonal) and all(
        d.dtype.kind == "f" and bool(np.all(d > 0)) for d in A._node.memory()
    )


class Iterate(Iterator["Iterate"]):
    """A linear solve that is stepped from outside: iterating makes one iteration each time.

    Attributes
    ----------
    result : LinearResult or None
        The account, once the run has ended.

    Notes
    -----
    Leaving the loop early keeps everything: another `for` goes on where the last one stopped.
    """

    def __init__(self, method: str, problem: LinearProblem, A: Any, M: Any, options: Any) -> None:
        self._problem = problem
        self._method = method
        self._binding = Binding(problem.dtype, problem.framework).__enter__()
        # At the end of the run, or of this: the products of one abandoned count as well.
        self._close = weakref.finalize(self, self._binding.__exit__, None, None, None)
        self._watch = Watch(method, problem.framework, None, False, None, None)
        self._run: Any = problem.core.LinearSolve(
            method,
            self._binding(A),
            None if M is None else self._binding(M),
            problem.b,
            problem.x0,
            options,
            self._watch.monitor,
            None,
        )
        self.result: LinearResult | None = None

    def __next__(self) -> Iterate:
        if self.result is not None:
            raise StopIteration
        if not self._run.next():
            self._finish()
            raise StopIteration
        return self

    def stop(self) -> None:
        """End the run at this iteration, with the status `stopped`."""
        self._run.stop()

    @property
    def iteration(self) -> int:
        """Iterations finished."""
        return int(self._run.iterations)

    @property
    def residual(self) -> float:
        """The quantity that the method drives to its target."""
        return float(self._run.residual)

    @property
    def x(self) -> Any:
        """The iterate, of the same kind as b, in NumPy a view: copy it to keep it.

        For methods that form x only at the end of a cycle, the last one formed.
        """
        return self._problem.vector(self._run.x)

    def __enter__(self) -> Iterate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def _finish(self) -> None:
        outcome, vector = self._run.outcome(), self._problem.vector
        self.result = result_of(LinearResult, self.x, self._method, outcome, vector, None)
        self._close()


def iterate(
    method: str, A: Any, b: Any, x0: Any = None, *, M: Any = None, **options: Any
) -> Iterate:
    """Begin to solve A x = b by a method, to be stepped in a `for` loop.

    Parameters
    ----------
    method : str
        The name of a linear solver: "cg", "minres", "lsmr", …
    A : operator (m, n)
        Anything that `aslinearoperator` takes.
    b : array (m,)
        The right-hand side.
    x0 : array (n,), optional
        A first guess.
    M : operator (n, n), optional
        A preconditioner.
    **options
        Of the method: `rtol`, `maxiter`, …

    Returns
    -------
    Iterate
        An iterator over itself, after each iteration.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The same loop as the method's own, paused after each iteration; the products and the memory are
    the same.
    """
    A = aslinearoperator(A)
    if M is not None:
        M = preconditioner(M, A, method, False)
    compiled = compiled_options(method, options)
    if x0 is not None:
        compiled["warm_start"] = True
    return Iterate(method, LinearProblem(A, b, x0, [M]), A, M, compiled)
