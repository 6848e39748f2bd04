"""Solvers step by step."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

from ritz._linear import compiled_options, preconditioner
from ritz._nodes import Binding
from ritz._run import LinearProblem, Watch
from ritz.operators import aslinearoperator
from ritz.results import LinearResult, account_of, info_of

__all__ = ["Iterate", "iterate"]


class Iterate(Iterator["Iterate"]):
    """A linear solve that is stepped from outside: iterating makes one iteration each time.

    Attributes
    ----------
    iteration : int
        Iterations finished.
    residual : float
        The quantity that the method drives to its target.
    x : array (n,)
        The iterate, of the same kind as b; for methods that form x only at the end of a cycle, the
        last one formed. A view in NumPy: copy it to keep it.
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
        """The iterate."""
        return self._problem.framework.from_numpy(self._run.x)

    def __enter__(self) -> Iterate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._binding.__exit__(kind, error, traceback)

    def _finish(self) -> None:
        outcome = self._run.outcome()
        account = account_of(outcome, None)
        info = info_of(account["status"], account["iterations"])
        self.result = LinearResult((self.x, info), **account, method=self._method)
        self._binding.__exit__(None, None, None)


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
