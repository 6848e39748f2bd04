"""NumPy arrays: closures see the library's memory itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz.frameworks import Framework

__all__ = ["NUMPY"]


class NumPy(Framework):
    """Views go in, arrays come back; anything that NumPy can convert is accepted as input."""

    name = "numpy"
    noun = "numpy.ndarray"
    type = np.ndarray

    def to_numpy(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return `array` as an ndarray, without a copy where it is one."""
        if type(array).__name__ == "MaskedArray":
            raise TypeError(f"{name} is a masked array; fill its gaps first: {name}.filled(0)")
        if hasattr(array, "tocsr"):
            raise TypeError(f"{name} is a sparse matrix; pass a dense array: {name}.toarray()")
        if isinstance(array, dict):
            raise TypeError(
                f"{name} is a dict; a tree of arrays is for operators that know their parameters: "
                "ritz.LinearOperator(..., domain=tree, codomain=tree)"
            )
        try:
            return np.asarray(array)
        except ValueError as error:
            raise TypeError(f"{name} is not an array of numbers: {error}") from None

    def from_numpy(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the array itself."""
        return array

    def copied(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a copy of a view."""
        return array.copy()

    def writable(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return `array`, which must be an ndarray already."""
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{name} is {self.describe(array)}; pass a NumPy array to write the result into"
            )
        return array


NUMPY = NumPy()
