"""The linear problem whose vectors are in device memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ritz import _core
from ritz.frameworks.cuda import framework_on_device, on_device
from ritz.operators import LinearOperator, working_dtype

__all__ = ["DeviceProblem", "on_device"]

_CORES = {"float32": "f4", "float64": "f8", "complex64": "c8", "complex128": "c16"}


class DeviceProblem:
    """A x = b or min ‖b − A x‖ where b is on a device: everything else must be there as well."""

    tree = None

    def __init__(
        self,
        A: LinearOperator,
        b: Any,
        x0: Any,
        others: Sequence[LinearOperator | None] = (),
        out: Any = None,
    ) -> None:
        m, n = A.shape
        self.framework = framework_on_device(b)
        device, kind, shape = _core.describe_array(b, "b")
        if device < 0:
            raise TypeError("b says that it is in device memory, but its address is the host's")
        if tuple(shape) not in ((m,), (m, 1)):
            raise ValueError(f"b has shape {tuple(shape)}; A of shape {A.shape} needs shape ({m},)")
        given = np.dtype(kind)
        self.dtype = working_dtype([A, *others], [given])
        if given != self.dtype or given.name not in _CORES:
            raise TypeError(
                f"b has dtype {given}, but this run works in {self.dtype}: cast it on the device"
            )
        make = getattr(_core.cuda, _CORES[given.name])
        stream = self.framework.stream(b, device)
        self.core = make(device, stream)
        if (allocator := self.framework.allocator(device, stream)) is not None:
            self.core.use_allocator(*allocator)
        self.b = self.core.take(b, "b")
        self.x0 = None if x0 is None else self._vector(x0, "x0", n)
        self._out = out
        self.out = None if out is None else self._vector(out, "out", n)

    def _vector(self, value: Any, name: str, size: int) -> Any:
        if not on_device(value):
            raise TypeError(f"{name} is in host memory, but b is on a device: move it there")
        array = self.core.take(value, name)
        if array.size != size:
            raise ValueError(f"{name} has {array.size} elements; the solution has {size}")
        return array

    def vector(self, x: Any) -> Any:
        """Return a vector like x as the kind of array that b is."""
        return self.framework.from_device(x)

    def solution(self, x: Any) -> Any:
        """Return x as the kind of array that b is, or `out`."""
        return self.vector(x) if self._out is None else self._out
