"""What all methods share in one run: who watches it, its limits, and the vectors of its problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _core
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, framework_of_operator, memory_of, working_dtype
from ritz.results import Iteration, Result
from ritz.trees import Structure

Callback: TypeAlias = Callable[[Iteration], Any]
Callbacks: TypeAlias = Callback | Sequence[Callback] | None


class Watch:
    """The monitor of one run: its callbacks, its history, its limits."""

    def __init__(
        self,
        method: str,
        framework: Framework,
        callback: Callbacks,
        history: bool,
        timeout: float | None,
        max_products: int | None,
        tree: Structure | None = None,
    ) -> None:
        self._method = method
        if callback is None:
            self._callbacks: list[Callback] = []
        elif isinstance(callback, Sequence):
            self._callbacks = list(callback)
        else:
            self._callbacks = [callback]
        for f in self._callbacks:
            if not callable(f):
                raise TypeError(f"callback is {f!r}; pass a function of one ritz.Iteration")
        self._framework = framework
        self._tree = tree
        self._history = bool(history)
        self._timeout = math.inf if timeout is None else _arrays.nonnegative(timeout, "timeout")
        self._max_products = (
            _arrays.INT64_MAX
            if max_products is None
            else _arrays.integer(max_products, "max_products")
        )
        self._stopped = False
        self.monitor = self.column(0)

    def column(self, j: int) -> _core.Monitor:
        """Return a monitor for the run of one of several right-hand sides."""
        return _core.Monitor(
            (lambda state: self._call(state, j)) if self._callbacks else None,
            self._history,
            self._timeout,
            self._max_products,
        )

    def _call(self, state: _core.Iteration, column: int) -> bool:
        now = Iteration(state, self._framework, column, self._tree)
        for f in self._callbacks:
            answer = f(now)
            self._stopped |= isinstance(answer, bool | np.bool_) and bool(answer)
        return self._stopped

    @property
    def history(self) -> npt.NDArray[np.float64] | None:
        """The residual after each iteration, if it was asked for."""
        return self.monitor.history if self._history else None

    @contextmanager
    def running(self) -> Iterator[Ending]:
        """Tell monitors that have `begin` and `finish` when the run does."""
        ending = Ending()
        for f in self._callbacks:
            if hasattr(f, "begin"):
                f.begin(self._method)
        try:
            yield ending
        finally:
            for f in self._callbacks:
                if hasattr(f, "finish"):
                    f.finish(ending.result)


class Ending:
    """The result of a run, once there is one."""

    result: Result | None = None


def setting(A: LinearOperator, like: Any) -> tuple[Framework, np.dtype[Any]]:
    """Return the framework and element type of a run that no vector sets."""
    if like is None and A.domain is not None:
        dtype = A.dtype if A.has_dtype else A.domain.dtype
        return framework_of_operator(A) or A.domain.framework, dtype
    if like is None:
        return framework_of_operator(A) or NUMPY, working_dtype([A], [])
    framework = _arrays.framework_of(like, "like")
    element = _arrays.element_type(framework.to_numpy(like, "like").dtype, "like")
    return framework, A.dtype if A.has_dtype else element


def tree_of_solution(A: LinearOperator, b: Any, x0: Any) -> Structure | None:
    """Return the structure that x has as a tree, if b or x0 came as one."""
    if A.domain is None:
        return None
    given = ((A.codomain, b), (A.domain, x0))
    came = any(s is not None and v is not None and s.holds(v) for s, v in given)
    return A.domain if came else None


class LinearProblem:
    """A x = b or min ‖b − A x‖: the vectors in one element type, and the kind of the result."""

    def __init__(
        self,
        A: LinearOperator,
        b: Any,
        x0: Any,
        others: Sequence[LinearOperator | None] = (),
        out: Any = None,
    ) -> None:
        m, n = A.shape
        whom = f"A of shape {A.shape}"
        #: What x is as a tree, if b or x0 came as one.
        self.tree = tree_of_solution(A, b, x0)
        if self.tree is not None and out is not None:
            raise ValueError("out cannot be combined with a tree; take x from the result")
        if A.codomain is not None:
            b = A.codomain.flat(b)
        if A.domain is not None and x0 is not None:
            x0 = A.domain.flat(x0)
        b_, self.framework = _arrays.vector(b, "b", m, whom)
        self.dtype = working_dtype([A, *others], [b_.dtype])
        self.b = _arrays.cast(b_, self.dtype, "b")
        self.x0: npt.NDArray[Any] | None = None
        if x0 is not None:
            start, _ = _arrays.vector(x0, "x0", n, whom)
            self.x0 = _arrays.cast(start, self.dtype, "x0")
        self._out = out
        self.out: npt.NDArray[Any] | None = None
        if out is not None:
            inputs = [("b", self.b)]
            inputs += [("the operator", a) for a in memory_of(A)]
            inputs += [("M", a) for other in others if other for a in memory_of(other)]
            self.out = _arrays.destination(out, "out", n, self.dtype, inputs)
            if self.x0 is not None and np.may_share_memory(self.out, self.x0):
                self.x0 = self.x0.copy()

    @property
    def core(self) -> Any:
        """The compiled methods for this element type."""
        return _arrays.core(self.dtype)

    @staticmethod
    def column(X: npt.NDArray[Any], j: int) -> npt.NDArray[Any]:
        """Return a vector of a block that the compiled core made."""
        return np.ascontiguousarray(X[:, j])

    def vector(self, x: npt.NDArray[Any]) -> Any:
        """Return a vector like x as the kind of array or tree that b is."""
        return self.framework.from_numpy(x) if self.tree is None else self.tree.unflatten(x)

    def solution(self, x: npt.NDArray[Any]) -> Any:
        """Return x as the kind of array or tree that b is, or `out`."""
        return self.vector(x) if self._out is None else self._out
