"""Arrays of any framework as the compiled core takes them, and numbers checked before it."""

from __future__ import annotations

import importlib
import math
import operator
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _core
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY

# The package that an array's class comes from -> the module that knows its arrays.
_FRAMEWORKS = {
    "torch": ("ritz.frameworks.torch", "TORCH"),
    "jax": ("ritz.frameworks.jax", "JAX"),
    "jaxlib": ("ritz.frameworks.jax", "JAX"),
}
_DEVICE_ONLY = {"cupy", "cupyx"}
_cache: dict[type[Any], Framework] = {np.ndarray: NUMPY, list: NUMPY, tuple: NUMPY}

# The element types, and the compiled methods for each.
_CORES: dict[np.dtype[Any], Any] = {
    np.dtype(np.float32): _core.f4,
    np.dtype(np.float64): _core.f8,
    np.dtype(np.complex64): _core.c8,
    np.dtype(np.complex128): _core.c16,
}
NATIVE = {dtype.name: dtype for dtype in _CORES}
INT64_MAX = 2**63 - 1


def load(package: str) -> Framework:
    """Return the framework of a package that is known to be imported."""
    module, name = _FRAMEWORKS[package]
    framework: Framework = getattr(importlib.import_module(module), name)
    return framework


def framework_named(name: Any) -> Framework:
    """Return the framework called "numpy", "torch" or "jax"."""
    if isinstance(name, Framework):
        return name
    if name == "numpy":
        return NUMPY
    if name in ("torch", "jax"):
        return load(name)
    raise ValueError(f'framework is {name!r}; pass "numpy", "torch" or "jax"')


def framework_of(value: Any, name: str = "the array") -> Framework:
    """Return the framework of an array; whatever NumPy can convert counts as NumPy's."""
    kind = type(value)
    known = _cache.get(kind)
    if known is not None:
        return known
    packages = [base.__module__.partition(".")[0] for base in kind.__mro__]
    own = next((package for package in packages if package in _FRAMEWORKS), None)
    if own is None and (
        not _DEVICE_ONLY.isdisjoint(packages) or hasattr(value, "__cuda_array_interface__")
    ):
        raise TypeError(
            f"{name} is a {kind.__module__}.{kind.__name__} in device memory, and this run is in "
            f"host memory: pass a host array, e.g. cupy.asnumpy({name})"
        )
    framework = NUMPY if own is None else load(own)
    _cache[kind] = framework
    return framework


def framework_of_dtype(dtype: Any) -> Framework | None:
    """Return the framework that a dtype object belongs to, or None for NumPy's own."""
    package = type(dtype).__module__.partition(".")[0]
    return load(package) if package in _FRAMEWORKS else None


def framework_of_function(function: Any) -> Framework | None:
    """Return the framework that alone can have made a function, or None."""
    if "jax" in sys.modules and function is not None:
        jax = load("jax")
        if jax.claims(function):
            return jax
    return None


def element_type(dtype: Any, name: str) -> np.dtype[Any]:
    """Return the element type to work in: integers and booleans become float64, as in SciPy."""
    if isinstance(dtype, np.dtype) and dtype in _CORES:
        return dtype
    if type(dtype).__module__ == "torch":
        dtype = str(dtype).removeprefix("torch.")
    try:
        d = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{name} has dtype {dtype!r}, which is no element type") from None
    if d.kind in "biu":
        return np.dtype(np.float64)
    if d.name in NATIVE:
        return NATIVE[d.name]
    advice = {
        "float16": "cast it to float32",
        "bfloat16": "cast it to float32",
        "longdouble": "cast it to float64",
        "float128": "cast it to float64",
        "complex256": "cast it to complex128",
    }.get(d.name, "convert it to numbers first, e.g. numpy.asarray(values, dtype=float)")
    raise TypeError(
        f"{name} has dtype {d}; ritz works in float32, float64, complex64 and complex128: {advice}"
    )


def core(dtype: np.dtype[Any]) -> Any:
    """Return the compiled methods for an element type."""
    return _CORES[dtype]


def array(value: Any, name: str) -> tuple[npt.NDArray[Any], Framework]:
    """Return a value as a NumPy array of an element type of the core, and its framework."""
    framework = framework_of(value, name)
    a = framework.to_numpy(value, name)
    dtype = element_type(a.dtype, name)
    return (a if a.dtype == dtype else a.astype(dtype)), framework


def vector(value: Any, name: str, size: int | None, of: str) -> tuple[npt.NDArray[Any], Framework]:
    """Return a contiguous vector and its framework; (n, 1) counts as a vector, as in SciPy."""
    a, framework = array(value, name)
    if a.ndim == 2 and a.shape[1] == 1 and size is not None:
        a = a[:, 0]
    if a.ndim != 1 or (size is not None and a.shape[0] != size):
        wanted = "(n,)" if size is None else f"({size},)"
        raise ValueError(f"{name} has shape {a.shape}; {of} needs shape {wanted}")
    return np.ascontiguousarray(a), framework


def cast(a: npt.NDArray[Any], dtype: np.dtype[Any], name: str) -> npt.NDArray[Any]:
    """Return `a` in the dtype of the run; complex numbers are not cut down to real ones."""
    if a.dtype == dtype:
        return a
    if a.dtype.kind == "c" and dtype.kind != "c":
        raise TypeError(
            f"{name} is {a.dtype}, but the run works in {dtype}: pass its real part, or make the "
            "operator or the right-hand side complex"
        )
    return a.astype(dtype)


def destination(
    value: Any,
    name: str,
    size: int,
    dtype: np.dtype[Any],
    inputs: Iterable[tuple[str, npt.NDArray[Any]]],
) -> npt.NDArray[Any]:
    """Return the memory of an `out` argument after checking that it can be written safely."""
    a = framework_of(value, name).writable(value, name)
    if a.dtype != dtype:
        raise TypeError(f"{name} has dtype {a.dtype}; this run writes {dtype}")
    if a.shape != (size,):
        raise ValueError(f"{name} has shape {a.shape}; the result has shape ({size},)")
    if not a.flags.writeable:
        raise ValueError(f"{name} is read-only; pass an array that may be written")
    if not a.flags.c_contiguous or not a.flags.aligned:
        raise ValueError(f"{name} is not contiguous; pass numpy.empty({size}, {str(dtype)!r})")
    for other, memory in inputs:
        if np.may_share_memory(a, memory):
            raise ValueError(f"{name} overlaps {other}; pass memory of its own")
    return a


def shape_pair(shape: Any, name: str = "shape") -> tuple[int, int]:
    """Return (rows, columns) as integers of at least zero."""
    try:
        rows, columns = (operator.index(s) for s in shape)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {shape!r}; pass (rows, columns), two integers") from None
    if rows < 0 or columns < 0:
        raise ValueError(f"{name} is {shape!r}; sizes are at least 0")
    return rows, columns


def number(value: Any, name: str) -> float:
    """Return a real number."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {value!r}; pass a real number") from None
    if math.isnan(result):
        raise ValueError(f"{name} is NaN; pass a number")
    return result


def nonnegative(value: Any, name: str) -> float:
    """Return a tolerance: a real number of at least zero."""
    result = number(value, name)
    if result < 0:
        raise ValueError(f"{name} is {value!r}; pass a number of at least 0")
    return result


def positive(value: Any, name: str) -> float:
    """Return a real number greater than zero."""
    result = number(value, name)
    if result <= 0:
        raise ValueError(f"{name} is {value!r}; pass a number greater than 0")
    return result


def integer(value: Any, name: str, least: int = 1) -> int:
    """Return an integer of at least `least`."""
    try:
        result = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; pass an integer of at least {least}") from None
    if result < least:
        raise ValueError(f"{name} is {result}; pass an integer of at least {least}")
    return min(result, INT64_MAX)


def limit(value: Any, name: str) -> int:
    """Return an iteration limit; 0 stands for the method's own default."""
    return 0 if value is None else integer(value, name)


def seed_of(value: Any, name: str = "seed") -> int:
    """Return a seed: an integer from 0 to 2⁶⁴ − 1."""
    try:
        result = operator.index(value)
    except TypeError:
        result = -1
    if not 0 <= result < 2**64:
        raise ValueError(f"{name} is {value!r}; pass an integer from 0 to 2**64 - 1")
    return result
