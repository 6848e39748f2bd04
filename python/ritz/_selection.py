"""Rows and columns of an operator: A[rows, cols] is a restriction, A, and a prolongation."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._nodes import Binding, Node
from ritz.frameworks.numpy import NUMPY

Index = slice | npt.NDArray[np.int64]


def pair(key: Any) -> tuple[Any, Any]:
    """Return what selects the rows and what the columns."""
    rows, cols = (*key, slice(None))[:2] if isinstance(key, tuple) else (key, slice(None))
    if isinstance(key, tuple) and len(key) not in (1, 2):
        raise IndexError(f"an operator has rows and columns; {len(key)} indices came")
    return rows, cols


def index_of(key: Any, size: int, axis: str) -> Index | None:
    """Return what is selected of `size` rows or columns, or None for all in their order.

    An int selects one and keeps the axis; a boolean mask selects where it is True.
    """
    if key is Ellipsis:
        return None
    if isinstance(key, slice):
        start, stop, step = key.indices(size)
        if len(range(start, stop, step)) == size and step == 1:
            return None
        # A negative stop would count from the end again.
        return slice(start, None if stop < 0 else stop, step)
    if isinstance(key, list | tuple | range):
        index = np.asarray(key, np.int64 if len(key) == 0 else None)
    elif hasattr(key, "dtype") and getattr(key, "ndim", 0) > 0:
        index = np.asarray(_arrays.framework_of(key, axis).host(key))
    else:
        try:
            index = np.array([operator.index(key)])
        except TypeError:
            raise IndexError(
                f"{axis} are {key!r}; pass an int, a slice, an array of ints or a boolean mask"
            ) from None
    if index.dtype == bool:
        if index.shape != (size,):
            raise IndexError(f"the mask of {axis} has shape {index.shape}; it needs ({size},)")
        return np.flatnonzero(index)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise IndexError(
            f"the index of {axis} is an array of {index.dtype} of shape {index.shape}; it takes a "
            "1-d array of ints: rows and columns are selected each by their own"
        )
    outside = (index < -size) | (index >= size)
    if outside.any():
        raise IndexError(f"{axis} {index[outside][0]} is out of range; there are {size}")
    return np.where(index < 0, index + size, index).astype(np.int64)


def length(index: Index, size: int) -> int:
    """Return how many of `size` are selected."""
    return len(range(*index.indices(size))) if isinstance(index, slice) else index.size


def same(a: Index | None, b: Index | None) -> bool:
    """Whether the same rows and columns are selected, in the same order."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and not isinstance(a, np.ndarray) and a == b


class Restriction(Node):
    """x ↦ x[index]; the adjoint puts the entries back, and adds those selected more than once.

    It works in the memory of the run, whatever framework the vectors are of.
    """

    def __init__(self, index: Index, size: int) -> None:
        self.index, self.size = index, size
        self.shape = (length(index, size), size)
        # The index if it selects an entry twice: then the adjoint adds.
        self._repeated: npt.NDArray[np.int64] | None = None
        if isinstance(index, np.ndarray) and np.unique(index).size < index.size:
            self._repeated = index

    def bind(self, run: Binding) -> Any:
        index = self.index

        def restricted(x: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
            out[...] = x[index]

        def prolonged(u: npt.NDArray[Any], out: npt.NDArray[Any]) -> None:
            out[...] = 0
            if self._repeated is not None:
                np.add.at(out, self._repeated, u)
            else:
                out[index] = u

        def prolonged_block(U: npt.NDArray[Any]) -> npt.NDArray[Any]:
            out = np.empty((self.size, U.shape[1]), U.dtype)
            prolonged(U, out)
            return out

        return run.core.Operator.closure(
            *self.shape,
            restricted,
            prolonged,
            lambda X: X[index],
            prolonged_block,
            True,
            NUMPY,
            "restriction.",
        )

    def text(self) -> str:
        rows, size = self.shape
        return f"restriction({rows} of {size})"
