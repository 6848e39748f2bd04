"""Operators that are compiled functions: products without Python, and without the GIL."""

from __future__ import annotations

import ctypes
import numbers
from typing import Any

import numpy as np

from ritz import _arrays, _nodes
from ritz.operators import LinearOperator

__all__ = ["native_operator"]


def native_operator(
    fn: Any,
    shape: Any = None,
    dtype: Any = np.float64,
    *,
    adjoint: Any = None,
    context: Any = 0,
    symmetric: bool | None = None,
) -> LinearOperator:
    """Return the operator of a compiled function, which is called without the GIL.

    Parameters
    ----------
    fn : ctypes function, int, object with `address`, or PyCapsule
        `int fn(void *ctx, const void *x, int64_t ldx, void *y, int64_t ldy, int64_t columns,
        void *stream)`: sets Y = A X for column-major blocks and returns 0, or anything else to fail
        the run. A function of ctypes, its address, a numba `cfunc`, or a capsule named
        "ritz_operator_v1" that holds a `ritz_operator` and tells shape and adjoint itself.
    shape : (int, int)
        (m, n); not needed for a capsule.
    dtype : dtype
        What x and y point to.
    adjoint : like `fn`, optional
        Y = Aᴴ X.
    context : int or ctypes pointer or array
        Passed as `ctx`; kept alive by the operator, if it is an object.
    symmetric : bool, optional
        True: `fn` is its own adjoint.

    Raises
    ------
    TypeError, ValueError
        If `fn` is no compiled function, or the shape is missing.
    """
    element = _arrays.element_type(dtype, "dtype")
    if type(fn).__name__ == "PyCapsule":
        if adjoint is not None:
            raise TypeError("adjoint is given, but a capsule brings its own; leave it out")
        op = _arrays.core(element).Operator.capsule(fn)
        came = (op.rows, op.cols)
        if shape is not None and _arrays.shape_pair(shape) != came:
            raise ValueError(f"shape is {shape}, but the capsule holds an operator of shape {came}")
        return LinearOperator._of(_nodes.Native(came, element, (0, 0, 0), fn, fn), came, symmetric)
    if shape is None:
        raise TypeError("shape is missing; pass (rows, columns)")
    pair = _arrays.shape_pair(shape)
    if symmetric and adjoint is None:
        adjoint = fn
    addresses = (
        _address(fn, "fn"),
        0 if adjoint is None else _address(adjoint, "adjoint"),
        _context_address(context),
    )
    node = _nodes.Native(pair, element, addresses, None, (fn, adjoint, context))
    return LinearOperator._of(node, pair, symmetric)


def _address(fn: Any, name: str) -> int:
    address: Any = getattr(fn, "address", fn)  # numba's cfunc
    if isinstance(address, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        address = ctypes.cast(address, ctypes.c_void_p).value
    if isinstance(address, bool) or not isinstance(address, numbers.Integral):
        advice = (
            "for a Python function use ritz.LinearOperator"
            if callable(fn)
            else "pass a ctypes function, an address, a numba cfunc or a capsule"
        )
        raise TypeError(f"{name} is {fn!r}, which is no compiled function; {advice}")
    if address <= 0:
        raise ValueError(f"{name} is the null pointer; pass the address of a function")
    return int(address)


def _context_address(context: Any) -> int:
    if context is None:
        return 0
    if isinstance(context, numbers.Integral):
        return int(context)
    if isinstance(context, np.ndarray):
        return int(context.ctypes.data)
    if isinstance(context, ctypes.c_void_p):
        return context.value or 0
    if isinstance(context, ctypes._Pointer):
        return ctypes.cast(context, ctypes.c_void_p).value or 0
    try:
        return ctypes.addressof(context)
    except TypeError:
        raise TypeError(
            f"context is {context!r}; pass an address, a ctypes object or a NumPy array"
        ) from None
