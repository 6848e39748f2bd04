"""JAX arrays in host memory, and functions that JAX compiled.

A compiled function takes a NumPy view of the library's memory as it is, which is three times faster
than making a jax.Array of it first; any other function gets a jax.Array.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ritz.frameworks import Framework, warn_of_device

__all__ = ["JAX"]

_COMPILED = type(jax.jit(lambda x: x))
_ADVICE = (
    "call ritz outside of jit, grad, vmap and callbacks, on concrete arrays: JAX would wait for "
    "the call, and the call for JAX"
)


def _trace_state_clean() -> bool:
    core = sys.modules.get("jax._src.core")
    check = getattr(core, "trace_state_clean", None)
    return True if check is None else bool(check())


def _inside_callback() -> bool:
    """Whether this thread runs a function that JAX calls from a compiled computation."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == "jax._src.callback":
            return True
        frame = frame.f_back
    return False


class Jax(Framework):
    """Closures are called with NumPy views or jax.Arrays and return jax.Arrays."""

    name = "jax"
    noun = "jax.Array"
    type = jax.Array
    unwrap = "buffer"  # six times faster than __array__

    def to_numpy(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return the memory of a concrete array on the CPU."""
        if isinstance(array, jax.core.Tracer):
            raise TypeError(f"{name} is a JAX tracer; {_ADVICE}")
        if not isinstance(array, jax.Array):
            raise TypeError(f"{name} is {self.describe(array)}; pass a jax.Array")
        device = next(iter(array.devices()))
        if device.platform != "cpu":
            raise TypeError(
                f"{name} is an array on {device}, and this run is in host memory: pass "
                f"jax.device_put({name}, jax.devices('cpu')[0])"
            )
        return np.asarray(array)

    def from_numpy(self, array: npt.NDArray[Any]) -> jax.Array:
        """Return an array over the same memory where JAX can take it, else a copy."""
        if jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
            raise TypeError(
                f"the result is {array.dtype}, which JAX does not hold by default: call "
                'jax.config.update("jax_enable_x64", True), or pass operators and vectors of '
                "32 bits"
            )
        if array.flags.c_contiguous and array.size > 0:
            return cast(jax.Array, jax.dlpack.from_dlpack(array))
        return jnp.asarray(array)

    def copied(self, array: Any) -> jax.Array:
        """Return a new jax.Array of a view's values."""
        return jnp.array(array)

    def writable(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Refuse: JAX arrays cannot be written."""
        raise TypeError(
            f"{name} is a JAX array, which cannot be written: leave {name} out, or pass a NumPy "
            "array"
        )

    def closure(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a compiled function as it is; give any other one jax.Arrays.

        A Python function that has `takes_views` set passes its arrays to compiled ones only.
        """
        if isinstance(function, _COMPILED) or getattr(function, "takes_views", False):
            return function

        def with_arrays(*views: npt.NDArray[Any]) -> Any:
            return function(*(v if isinstance(v, jax.Array) else jnp.array(v) for v in views))

        return with_arrays

    def filling(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Refuse: JAX functions return their results."""
        raise TypeError(f"{name} fills an out argument, which JAX arrays do not allow: return it")

    def claims(self, function: Callable[..., Any]) -> bool:
        """Tell whether `function` was compiled by jax.jit."""
        return isinstance(function, _COMPILED)

    def check_callable_now(self) -> None:
        """Refuse to run inside a JAX transformation or callback, where JAX would deadlock."""
        if not _trace_state_clean():
            raise TypeError(f"a JAX transformation is being traced here; {_ADVICE}")
        if _inside_callback():
            raise TypeError(f"this is a callback of a compiled JAX computation; {_ADVICE}")

    def check_result(self, result: Any, what: str) -> None:
        """Refuse tracers and arrays on devices."""
        self.to_numpy(result, f"the result of {what}")

    def tree_flatten(self, tree: Any) -> tuple[list[str], list[Any], Any]:
        """Return the dotted paths of a tree's leaves, the leaves, and what rebuilds the tree."""
        found, spec = jax.tree_util.tree_flatten_with_path(tree)
        names = [".".join(_entry(key) for key in path) for path, _ in found]
        return names, [leaf for _, leaf in found], spec

    def concatenated(self, vectors: Sequence[Any]) -> jax.Array:
        """Return vectors one after the other; they may be traced."""
        return jnp.concatenate(vectors)

    def pieces(self, flat: Any, sizes: list[int], offsets: list[int]) -> Sequence[Any]:
        """Return consecutive pieces of a vector, which may be traced."""
        return jnp.split(flat, offsets)

    def host(self, array: Any) -> npt.NDArray[Any]:
        """Return a concrete array's values in host memory."""
        if not isinstance(array, jax.core.Tracer):
            device = next(iter(array.devices()))
            if device.platform != "cpu":
                warn_of_device(device)
                return np.asarray(array)
        return self.to_numpy(array, "the array")

    def over(self, array: npt.NDArray[Any]) -> jax.Array:
        """Return an array with a copy of the values: arrays of JAX never change."""
        return self.from_numpy(array.copy())

    def dtype_advice(self, result: Any, dtype: str) -> str:
        """Return what to do about a dtype, which in JAX depends on a global setting."""
        if dtype in ("float64", "complex128") and not jax.config.jax_enable_x64:
            return (
                f"this run works in {dtype}, which JAX does not by default: call "
                'jax.config.update("jax_enable_x64", True), or pass vectors of 32 bits'
            )
        return super().dtype_advice(result, dtype)


def _entry(key: Any) -> str:
    for name in ("key", "idx", "name"):
        if hasattr(key, name):
            return str(getattr(key, name))
    return str(key).strip("[].")


JAX = Jax()
