"""What ritz knows of each array framework; a framework is imported when its first array comes."""

from __future__ import annotations

import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

__all__ = ["Framework"]

# optree keeps the order of dicts in a setting of its namespace, which is not safe from threads.
_NAMESPACE = "ritz"
_flattening = threading.Lock()
_warned_of_devices = False


def warn_of_device(device: Any) -> None:
    """Say once a process that vectors of a device are copied to host memory and back."""
    global _warned_of_devices
    if not _warned_of_devices:
        _warned_of_devices = True
        warnings.warn(
            f"vectors on {device} are copied to host memory and back: this run is in host memory",
            UserWarning,
            stacklevel=2,
        )


class Framework(ABC):
    """The arrays of one framework: how they come in, go into closures, and go out.

    The compiled core reads `type`, `wrap`, `cache_wrapped` and `unwrap` when it calls a closure,
    and calls `reject` for a result that it cannot use.
    """

    name: str
    #: What an array is called in messages.
    noun: str
    #: The class that a closure's results must have.
    type: type[Any]
    #: Makes the framework's array over a NumPy view, without a copy; None passes the view itself.
    wrap: Callable[[npt.NDArray[Any]], Any] | None = None
    #: Whether a wrapped view may be used for several calls.
    cache_wrapped: bool = True
    #: The method of a result that gives its memory as a NumPy array; None if it is one.
    unwrap: str | None = None

    @abstractmethod
    def to_numpy(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return the array's memory; `name` is the argument that messages speak of."""

    @abstractmethod
    def from_numpy(self, array: npt.NDArray[Any]) -> Any:
        """Return an array of this framework over fresh memory that nobody else will write."""

    def from_run(self, array: Any) -> Any:
        """Return a vector that the compiled core made, as an array of this framework."""
        return self.from_numpy(array)

    def brought(self, array: Any) -> npt.NDArray[Any]:
        """Return a vector that the compiled core made as one of the host."""
        return np.asarray(array)

    def taken_back(self, array: npt.NDArray[Any], core: Any) -> Any:
        """Return what the host made of it as an array of this framework, where the run was."""
        return self.from_numpy(array)

    def no_columns(self, n: int, dtype: np.dtype[Any], core: Any) -> Any:
        """Return a block (n, 0) as the compiled core would."""
        return np.empty((n, 0), dtype)

    def no_rows(self, n: int, dtype: np.dtype[Any], core: Any) -> Any:
        """Return an array (0, n) as the compiled core would."""
        return np.empty((0, n), dtype)

    def from_columns(self, array: Any) -> Any:
        """Return a block of vectors that the compiled core made, one a column."""
        return self.from_numpy(array)

    @abstractmethod
    def copied(self, array: Any) -> Any:
        """Return a private copy of what a closure receives."""

    def writable(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return the memory of an array that a result is to be written into."""
        return self.to_numpy(array, name)

    def closure(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function that the core calls with what `wrap` makes."""
        return function

    def filling(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return the function f(x, out) that the core calls to fill `out`."""
        return function

    def claims(self, function: Callable[..., Any]) -> bool:
        """Tell whether a function can only be one of this framework."""
        return False

    def check_callable_now(self) -> None:  # noqa: B027 - most frameworks need no check
        """Raise if calling this framework's functions from here cannot work."""

    # Trees of arrays, and the flat vector of their leaves.

    def tree_flatten(self, tree: Any) -> tuple[list[str], list[Any], Any]:
        """Return the dotted paths of a tree's leaves, the leaves, and what rebuilds the tree."""
        import optree

        with _flattening, optree.dict_insertion_ordered(True, namespace=_NAMESPACE):
            accessors, leaves, spec = optree.tree_flatten_with_accessor(tree, namespace=_NAMESPACE)
        names = [".".join(str(getattr(e, "field", e.entry)) for e in path) for path in accessors]
        return names, leaves, spec

    def tree_unflatten(self, spec: Any, leaves: list[Any]) -> Any:
        """Return the tree of `tree_flatten` with other leaves."""
        return spec.unflatten(leaves)

    def device_of(self, array: Any) -> Any:
        """Return the device of an array where a vector must be moved to it, else None."""
        return None

    def example(self, device: Any, dtype: np.dtype[Any]) -> Any:
        """Return an array on a device that `device_of` has told."""
        return np.empty(1, dtype)

    def detached(self, array: Any) -> Any:
        """Return the array without the record that gradients need."""
        return array

    def concatenated(self, vectors: Sequence[Any]) -> Any:
        """Return vectors one after the other, as a new one where they live."""
        return np.concatenate(vectors)

    def pieces(self, flat: Any, sizes: list[int], offsets: list[int]) -> Sequence[Any]:
        """Return consecutive views of a vector; `offsets` are the ends of all but the last."""
        return np.split(flat, offsets)

    def host(self, array: Any) -> npt.NDArray[Any]:
        """Return an array as NumPy's, from whatever device."""
        return self.to_numpy(array, "the array")

    def over(self, array: npt.NDArray[Any]) -> Any:
        """Return an array of this framework with the values of one that others may write."""
        return array

    def moved(self, array: Any, device: Any) -> Any:
        """Return an array of this framework on a device."""
        return array

    def describe(self, value: Any) -> str:
        """Return a value's kind, dtype and shape in words."""
        if value is None:
            return "None"
        kind = type(value)
        module = kind.__module__.partition(".")[0]
        text = kind.__name__ if module == "builtins" else f"{module}.{kind.__name__}"
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return f"{text} of dtype {value.dtype} and shape {tuple(value.shape)}"
        return text

    def check_result(self, result: Any, what: str) -> None:  # noqa: B027 - likewise
        """Raise where a result of the right class has a reason of its own to be refused."""

    def reject(self, result: Any, what: str, size: int, dtype: str) -> NoReturn:
        """Say why a closure's result cannot be used, and what to return instead."""
        if result is None:
            raise TypeError(
                f"{what} returned None; return the product as a new array, or declare out=True "
                "and fill the second argument"
            )
        came = self.describe(result)
        if not isinstance(result, self.type):
            raise TypeError(
                f"{what} returned {came}; it is called with a {self.noun} and must return a "
                f"{self.noun} of dtype {dtype} with {size} elements"
            )
        self.check_result(result, what)
        if str(np.dtype(dtype)) != str(result.dtype).removeprefix("torch."):
            raise TypeError(f"{what} returned {came}; {self.dtype_advice(result, dtype)}")
        raise ValueError(f"{what} returned {came}; it must have {size} elements")

    def dtype_advice(self, result: Any, dtype: str) -> str:
        """Return what to do about a result of another dtype."""
        return (
            f"this run works in {dtype}: cast the result, or declare the operator's dtype as "
            f"what it returns and pass vectors of that dtype"
        )
