"""What operators are made of: an expression tree, bound to compiled operators for each run.

A node describes; a `Binding` makes the compiled operators of one run from it, for one element type
and one framework's vectors. Those count their products.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.frameworks import Framework
from ritz.frameworks.cuda import CudaArrays
from ritz.results import Counts

if TYPE_CHECKING:
    from ritz.operators import LinearOperator

Closure = Callable[..., Any]


class Binding:
    """The compiled operators of one run, for one element type and one framework's vectors.

    As a context manager: on leaving, also by an exception, the products made are added to the
    operators' counts.
    """

    def __init__(self, dtype: np.dtype[Any], framework: Framework, core: Any = None) -> None:
        self.dtype = dtype
        self.framework = framework
        #: The compiled methods: of the element type, or of a device that the vectors are on.
        self.core: Any = _arrays.core(dtype) if core is None else core
        #: What compiled operators are kept by.
        self.key: Any = dtype if core is None else getattr(core, "key", dtype)
        self._bound: dict[int, tuple[LinearOperator, Any]] = {}

    def __call__(self, a: LinearOperator) -> Any:
        """Return the compiled operator of `a`; the same one each time."""
        known = self._bound.get(id(a))
        if known is not None:
            return known[1]
        op = a._node.bind(self)
        self._bound[id(a)] = (a, op)
        a._counter.watch(op)
        return op

    def __enter__(self) -> Binding:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for a, op in self._bound.values():
            a._counter.retire(op)

    def scalar(self, c: complex, what: str) -> complex | float:
        """Return a coefficient as the run's element type takes it."""
        if self.dtype.kind == "c":
            return c
        if c.imag != 0.0:
            raise TypeError(
                f"{what} is {c}, but the run works in {self.dtype}: declare the operator complex, "
                "dtype=numpy.complex128"
            )
        return c.real


class Counter:
    """Products of one operator: of runs that ended, and of those that go on."""

    def __init__(self) -> None:
        self._ended = (0, 0, 0)
        self._running: dict[int, Any] = {}
        self._lock = threading.Lock()

    def watch(self, op: Any) -> None:
        with self._lock:
            self._running[id(op)] = op

    def retire(self, op: Any) -> None:
        with self._lock:
            if self._running.pop(id(op), None) is not None:
                a, b, c = op.counts()
                self._ended = (self._ended[0] + a, self._ended[1] + b, self._ended[2] + c)

    def count(self, matvec: int = 0, rmatvec: int = 0, columns: int = 0) -> None:
        """Count products that were made without a compiled operator."""
        with self._lock:
            a, b, c = self._ended
            self._ended = (a + matvec, b + rmatvec, c + columns)

    def counts(self) -> Counts:
        with self._lock:
            rows = [self._ended, *(op.counts() for op in self._running.values())]
        return Counts(*(sum(column) for column in zip(*rows, strict=True)))


class Node(ABC):
    """What an operator is made of; `dtype` is None where any element type will do."""

    dtype: np.dtype[Any] | None = None
    framework: Framework | None = None
    operands: tuple[LinearOperator, ...] = ()

    #: Whether there are products in device memory, if those of the operands are.
    on_device = False

    def works_on_device(self) -> bool:
        """Tell whether products can be made in device memory."""
        return self.on_device and all(a._node.works_on_device() for a in self.operands)

    @abstractmethod
    def bind(self, run: Binding) -> Any:
        """Return the compiled operator of one run."""

    @abstractmethod
    def text(self) -> str:
        """Return what repr shows."""

    def memory(self) -> Iterator[npt.NDArray[Any]]:
        """Yield the arrays that products read."""
        for a in self.operands:
            yield from a._node.memory()

    def adopt(self, *operands: LinearOperator) -> None:
        """Take operands, and what they say about element types and frameworks."""
        self.operands = operands
        self.dtype = _common_dtype([a._node.dtype for a in operands])
        for a in operands:
            self.framework = self.framework or a._node.framework


def _common_dtype(dtypes: Sequence[np.dtype[Any] | None]) -> np.dtype[Any] | None:
    known = [d for d in dtypes if d is not None]
    return np.result_type(*known) if known else None


def _text(a: LinearOperator) -> str:
    return f"({a._node.text()})" if isinstance(a._node, Sum) else a._node.text()


class Closures(Node):
    on_device = True

    def __init__(
        self,
        shape: tuple[int, int],
        functions: tuple[Closure | None, Closure | None, Closure | None, Closure | None],
        dtype: np.dtype[Any] | None,
        framework: Framework | None,
        out: bool,
        name: str,
        capturable: bool = False,
    ) -> None:
        self.shape, self.functions, self.dtype = shape, functions, dtype
        self.framework, self.out, self.name = framework, out, name
        self.capturable = capturable

    def bind(self, run: Binding) -> Any:
        on_device = isinstance(run.framework, CudaArrays)
        framework = run.framework if on_device else self.framework or run.framework
        if self.framework is not None and on_device and self.framework.name != framework.name:
            raise TypeError(
                f"{self.name or 'an operator'} is declared to take arrays of "
                f"{self.framework.name}, but the vectors of this run are of the kind "
                f"{framework.noun}: give both of one kind"
            )
        if self.dtype is not None and self.dtype != run.dtype:
            raise TypeError(
                f"{self.name or 'an operator'} is declared to work in {self.dtype}, but this run "
                f"works in {run.dtype}: pass vectors of {self.dtype}, or declare the operator with "
                f"dtype=numpy.{run.dtype}"
            )
        framework.check_callable_now()
        adapt = framework.closure
        if self.out:
            for name, f in zip(("matvec", "rmatvec"), self.functions[:2], strict=True):
                if f is not None:
                    framework.filling(f, self.name + name)
        functions = [f if f is None else adapt(f) for f in self.functions]
        op = run.core.Operator.closure(*self.shape, *functions, self.out, framework, self.name)
        return run.core.recorded(op) if self.capturable and on_device else op

    def text(self) -> str:
        names = ("matvec", "rmatvec", "matmat", "rmatmat")
        given = [n for n, f in zip(names, self.functions, strict=True) if f is not None]
        return f"closures({', '.join(given)})"


class Arrays(Node):
    """Operators over arrays, which are converted once for each element type."""

    def __init__(self, values: npt.NDArray[Any], framework: Framework | None) -> None:
        self.values = values
        self.dtype = values.dtype
        self.framework = framework
        self._converted = {values.dtype: values}

    def converted(self, run: Binding, what: str) -> npt.NDArray[Any]:
        values = self._converted.get(run.dtype)
        if values is None:
            values = self._converted[run.dtype] = _arrays.cast(self.values, run.dtype, what)
        return values

    def memory(self) -> Iterator[npt.NDArray[Any]]:
        yield self.values


class Dense(Arrays):
    def __init__(self, values: npt.NDArray[Any], framework: Framework | None) -> None:
        if not (values.flags.c_contiguous or values.flags.f_contiguous):
            values = np.ascontiguousarray(values)
        super().__init__(values, framework)

    def bind(self, run: Binding) -> Any:
        return run.core.Operator.dense(self.converted(run, "the matrix"))

    def text(self) -> str:
        return "dense"


class Sparse(Arrays):
    def __init__(
        self,
        layout: str,
        shape: tuple[int, int],
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        framework: Framework | None = None,
    ) -> None:
        super().__init__(np.ascontiguousarray(values), framework)
        wide = indptr.dtype != np.int32 or indices.dtype != np.int32
        self.index = np.dtype(np.int64 if wide else np.int32)
        self.layout, self.shape = layout, shape
        self.on_device = layout == "csr"
        self.indptr = np.ascontiguousarray(indptr, self.index)
        self.indices = np.ascontiguousarray(indices, self.index)
        self._compiled: dict[Any, Any] = {}

    def bind(self, run: Binding) -> Any:
        # Kept from run to run: it makes a transposed copy for the products that need one.
        kept = self._compiled.get(run.key)
        if kept is None:
            make = getattr(run.core, f"{self.layout}_{self.index}")
            values = self.converted(run, "the matrix")
            kept = self._compiled[run.key] = make(*self.shape, self.indptr, self.indices, values)
        return kept.recounted()

    def text(self) -> str:
        return f"{self.layout}({self.values.size} entries)"

    def memory(self) -> Iterator[npt.NDArray[Any]]:
        yield from (self.values, self.indptr, self.indices)


class Native(Node):
    def __init__(
        self,
        shape: tuple[int, int],
        dtype: np.dtype[Any],
        addresses: tuple[int, int, int],
        capsule: Any,
        kept: Any,
    ) -> None:
        self.shape, self.dtype, self.addresses = shape, dtype, addresses
        self.capsule, self.kept = capsule, kept

    def bind(self, run: Binding) -> Any:
        if self.dtype != run.dtype:
            raise TypeError(
                f"the native operator works in {self.dtype}, but this run works in {run.dtype}: "
                f"pass vectors of {self.dtype}"
            )
        if self.capsule is not None:
            return run.core.Operator.capsule(self.capsule)
        return run.core.Operator.native(*self.shape, *self.addresses, self.kept)

    def text(self) -> str:
        return "native"


class Identity(Node):
    on_device = True

    def __init__(self, n: int, dtype: np.dtype[Any] | None) -> None:
        self.n, self.dtype = n, dtype

    def bind(self, run: Binding) -> Any:
        return run.core.Operator.identity(self.n)

    def text(self) -> str:
        return "I"


class Diagonal(Arrays):
    on_device = True

    def bind(self, run: Binding) -> Any:
        return run.core.Operator.diagonal(self.converted(run, "the diagonal"))

    def text(self) -> str:
        return "diagonal"


class BlockDiagonal(Arrays):
    """Square blocks of the given sizes; `values` are theirs one after the other, by columns."""

    def __init__(
        self,
        sizes: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
        framework: Framework | None,
    ) -> None:
        super().__init__(values, framework)
        self.sizes = sizes
        self._compiled: dict[Any, Any] = {}

    def bind(self, run: Binding) -> Any:
        # Kept from run to run: it has cut the blocks into work for threads.
        kept = self._compiled.get(run.key)
        if kept is None:
            values = self.converted(run, "the blocks")
            kept = self._compiled[run.key] = run.core.Operator.block_diagonal(self.sizes, values)
        return kept.recounted()

    def text(self) -> str:
        return f"block diagonal({self.sizes.size} blocks)"


class Scaled(Node):
    on_device = True

    def __init__(self, a: LinearOperator, c: complex) -> None:
        self.adopt(a)
        self.c = c
        if c.imag != 0.0 and self.dtype is not None:
            self.dtype = np.result_type(self.dtype, np.complex64)

    def bind(self, run: Binding) -> Any:
        return run(self.operands[0]).scaled(run.scalar(self.c, "a coefficient"))

    def text(self) -> str:
        return f"{_coefficient(self.c)}·{_text(self.operands[0])}"


class Sum(Node):
    on_device = True

    def __init__(self, a: LinearOperator, b: LinearOperator, c: float) -> None:
        if a.shape != b.shape:
            raise ValueError(f"operators of shapes {a.shape} and {b.shape} cannot be added")
        self.adopt(a, b)
        self.c = c

    def bind(self, run: Binding) -> Any:
        a, b = self.operands
        return run(a).plus(run(b), self.c)

    def text(self) -> str:
        a, b = self.operands
        return f"{a._node.text()} {'+' if self.c > 0 else '−'} {_text(b)}"


class Shifted(Node):
    on_device = True

    def __init__(self, a: LinearOperator, mu: complex) -> None:
        a.require_square("shifted")
        self.adopt(a)
        self.mu = mu
        if mu.imag != 0.0 and self.dtype is not None:
            self.dtype = np.result_type(self.dtype, np.complex64)

    def bind(self, run: Binding) -> Any:
        return run(self.operands[0]).shifted(run.scalar(self.mu, "the shift"))

    def text(self) -> str:
        return f"({self.operands[0]._node.text()} + {_coefficient(self.mu)}·I)"


class Product(Node):
    on_device = True

    def __init__(self, a: LinearOperator, b: LinearOperator) -> None:
        if a.shape[1] != b.shape[0]:
            raise ValueError(
                f"operators of shapes {a.shape} and {b.shape} cannot be multiplied: the left one "
                f"has {a.shape[1]} columns, the right one {b.shape[0]} rows"
            )
        self.adopt(a, b)

    def bind(self, run: Binding) -> Any:
        a, b = self.operands
        return run(a).times(run(b))

    def text(self) -> str:
        a, b = self.operands
        return f"{_text(a)}·{_text(b)}"


class Adjoint(Node):
    on_device = True

    def __init__(self, a: LinearOperator) -> None:
        self.adopt(a)

    def bind(self, run: Binding) -> Any:
        return run(self.operands[0]).adjoint()

    def text(self) -> str:
        return f"({self.operands[0]._node.text()})ᴴ"


class Transpose(Adjoint):
    def bind(self, run: Binding) -> Any:
        op = run(self.operands[0]).adjoint()
        return op.conjugate() if run.dtype.kind == "c" else op

    def text(self) -> str:
        return f"({self.operands[0]._node.text()})ᵀ"


class Block(Node):
    on_device = True

    def __init__(
        self,
        heights: list[int],
        widths: list[int],
        parts: list[tuple[int, int, LinearOperator]],
    ) -> None:
        self.adopt(*(a for _, _, a in parts))
        self.heights, self.widths = heights, widths
        self.places = [(i, j) for i, j, _ in parts]

    def bind(self, run: Binding) -> Any:
        parts = [(i, j, run(a)) for (i, j), a in zip(self.places, self.operands, strict=True)]
        return run.core.Operator.block(self.heights, self.widths, parts)

    def text(self) -> str:
        grid = [["0"] * len(self.widths) for _ in self.heights]
        for (i, j), a in zip(self.places, self.operands, strict=True):
            grid[i][j] = a._node.text()
        return "[" + "; ".join(", ".join(row) for row in grid) + "]"


class GaussNewton(Node):
    on_device = True

    def __init__(
        self, jacobian: LinearOperator, loss_hessian: LinearOperator | None, damping: float
    ) -> None:
        self.adopt(jacobian, *([] if loss_hessian is None else [loss_hessian]))
        self.damping = damping

    def bind(self, run: Binding) -> Any:
        jacobian, *hessian = (run(a) for a in self.operands)
        return jacobian.gauss_newton(hessian[0] if hessian else None, self.damping)

    def text(self) -> str:
        middle = "H·" if len(self.operands) == 2 else ""
        damping = f" + {self.damping:g}·I" if self.damping else ""
        return f"Jᵀ·{middle}J{damping}"


class Chebyshev(Node):
    on_device = True

    def __init__(self, a: LinearOperator, degree: int, low: float, high: float) -> None:
        self.adopt(a)
        self.degree, self.low, self.high = degree, low, high

    def bind(self, run: Binding) -> Any:
        return run(self.operands[0]).chebyshev(self.degree, self.low, self.high)

    def text(self) -> str:
        bounds = f"[{self.low:.3g}, {self.high:.3g}]"
        return f"chebyshev({self.operands[0]._node.text()}, degree {self.degree} on {bounds})"


def _coefficient(c: complex) -> str:
    return f"{c.real:g}" if c.imag == 0.0 else f"{c:g}"
