"""The linear problem whose vectors are in device memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from ritz import _arrays, _core
from ritz._core import DeviceArray
from ritz._nodes import Binding
from ritz._run import setting
from ritz.frameworks import Framework
from ritz.frameworks.cuda import CudaArrays, framework_on_device, on_device
from ritz.operators import LinearOperator, working_dtype
from ritz.trees import Structure

__all__ = [
    "DeviceProblem",
    "columns_on_device",
    "device_setting",
    "example_of",
    "flat_on_device",
    "on_device",
    "place",
    "product_on_device",
]

_CORES = {"float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16"}


def device_setting(
    example: Any, name: str, operators: Sequence[LinearOperator | None]
) -> tuple[CudaArrays, Any, np.dtype[Any], tuple[int, ...]]:
    """Return whose array `example` is, the compiled methods for it, its dtype and its shape."""
    framework = framework_on_device(example)
    device, kind, shape = _core.describe_array(example, name)
    if device < 0:
        raise TypeError(f"{name} says that it is in device memory, but its address is the host's")
    given = np.dtype(kind)
    if given.name not in _CORES:
        raise TypeError(
            f"{name} has dtype {given}; ritz works in {', '.join(_CORES)}: cast it on the device"
        )
    dtype = working_dtype(operators, [given])
    if given != dtype:
        raise TypeError(
            f"{name} has dtype {given}, but this run works in {dtype}: cast it on the device"
        )
    stream = framework.stream(example, device)
    core = getattr(_core.cuda, _CORES[given.name])(device, stream)
    if (allocator := framework.allocator(device, stream)) is not None:
        core.use_allocator(*allocator)
    return framework, core, given, tuple(shape)


def flat_on_device(
    structure: Structure | None, value: Any, *operators: LinearOperator | None
) -> Any:
    """Return a tree of arrays on a device as one vector there, and anything else as it is.

    So is a tree for which the operators have no product there: it is copied to host memory.
    """
    if structure is None or value is None or not structure.holds(value):
        return value
    if not _work_on_device(operators):
        return value
    leaves = structure.leaves(value)
    if not all(on_device(leaf) for leaf in leaves) or not _available():
        return value
    return structure.join([structure.framework.detached(leaf) for leaf in leaves])


@cache
def _available() -> bool:
    """Whether there are devices; without them trees are copied to host memory, as their vectors."""
    try:
        return bool(_core.devices())
    except _core.DeviceUnavailable:
        return False


def _work_on_device(operators: Sequence[LinearOperator | None]) -> bool:
    return all(a is None or a._node.works_on_device() for a in operators)


def example_of(
    A: LinearOperator, given: Sequence[Any], others: Sequence[LinearOperator | None] = ()
) -> Any:
    """Return the first array on a device among those given, or one where A's trees are, or None."""
    for array in given:
        if array is not None and on_device(array):
            return array
    trees = A.domain
    if trees is None or trees.device is None or any(a is not None for a in given):
        return None
    if not _work_on_device([A, *others]):
        return None
    example = trees.framework.example(trees.device, trees.dtype)
    return example if on_device(example) and _available() else None


def place(A: LinearOperator, like: Any, name: str = "like") -> tuple[Framework, Any, np.dtype[Any]]:
    """Return the framework, the compiled methods and the element type of a run like an example.

    Without one, it is where the trees are that A works on.
    """
    example = example_of(A, [like])
    if example is not None:
        framework, core, dtype, _ = device_setting(example, name, [A])
        return framework, core, dtype
    host, dtype = setting(A, like)
    return host, _arrays.core(dtype), dtype


def rows_of(framework: CudaArrays, core: Any, given: Any, name: str) -> DeviceArray:
    """Return an array (n, k) as the core takes it: (k, n)."""
    rows = framework.rows(given, name)
    if isinstance(rows, DeviceArray) and not rows.is_by_rows:
        raise ValueError(
            f"{name} has its rows one after the other; on a device columns must be: pass Fortran "
            f"order, ritz.cuda.asarray(numpy.asfortranarray(values))"
        )
    taken: DeviceArray = core.take(rows, name)
    return taken


def columns_on_device(
    framework: CudaArrays, core: Any, given: Any, name: str, n: int
) -> DeviceArray:
    """Return vectors (n,) or (n, k) on a device as the core takes them, as rows."""
    if not on_device(given):
        raise TypeError(f"{name} is in host memory, but the run is on a device: move it there")
    rows = rows_of(framework, core, given, name)
    if rows.ndim not in (1, 2) or rows.shape[-1] != n:
        raise ValueError(f"{name} has shape {tuple(given.shape)}; it needs ({n},) or ({n}, k)")
    return rows


def product_on_device(A: LinearOperator, x: Any, adjoint: bool, what: str) -> Any:
    """Return A x or Aᴴ x for vectors (n,) or (n, k) on a device."""
    framework, core, dtype, shape = device_setting(x, what, [A])
    size = A.shape[0] if adjoint else A.shape[1]
    if len(shape) not in (1, 2) or shape[0] != size:
        raise ValueError(
            f"{what} has shape {shape}; an operator of shape {A.shape} "
            f"{'transposed ' if adjoint else ''}needs ({size},) or ({size}, k)"
        )
    with Binding(dtype, framework, core) as run:
        op = run(A)
        given = rows_of(framework, core, x, what)
        if len(shape) == 1:
            return framework.from_run((core.apply_adjoint if adjoint else core.apply)(op, given))
        block = core.apply_adjoint_block if adjoint else core.apply_block
        return framework.from_columns(block(op, given))


class DeviceProblem:
    """A x = b or min ‖b − A x‖ where b is on a device: everything else must be there as well."""

    def __init__(
        self,
        A: LinearOperator,
        b: Any,
        x0: Any,
        others: Sequence[LinearOperator | None] = (),
        out: Any = None,
        tree: Structure | None = None,
    ) -> None:
        m, n = A.shape
        #: What x is as a tree, if b or x0 came as one.
        self.tree = tree
        if tree is not None and out is not None:
            raise ValueError("out cannot be combined with a tree; take x from the result")
        self.framework, self.core, self.dtype, shape = device_setting(b, "b", [A, *others])
        if shape not in ((m,), (m, 1)):
            raise ValueError(f"b has shape {shape}; A of shape {A.shape} needs shape ({m},)")
        self.b = self.core.take(self.framework.settled(b), "b")
        self.x0 = None if x0 is None else self._vector(x0, "x0", n)
        self._out = out
        self.out = None if out is None else self._vector(out, "out", n)

    def _vector(self, value: Any, name: str, size: int) -> Any:
        if not on_device(value):
            raise TypeError(f"{name} is in host memory, but b is on a device: move it there")
        settled = self.framework.settled(value)
        if name == "out" and settled is not value:
            raise ValueError("out is a conjugate or negative view; pass a tensor of its own")
        array = self.core.take(settled, name)
        if array.size != size:
            raise ValueError(f"{name} has {array.size} elements; the solution has {size}")
        return array

    @staticmethod
    def column(X: DeviceArray, j: int) -> DeviceArray:
        """Return a vector of a block that the compiled core made."""
        return X.row(j)

    def vector(self, x: Any) -> Any:
        """Return a vector like x as the kind of array or tree that b is."""
        own = self.framework.from_run(x)
        return own if self.tree is None else self.tree.unflatten(own)

    def solution(self, x: Any) -> Any:
        """Return x as the kind of array or tree that b is, or `out`."""
        return self.vector(x) if self._out is None else self._out
