"""Trees of arrays as flat vectors: parameters as a model holds them, and as solvers see them."""

from __future__ import annotations

import itertools
import math
import numbers
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY

__all__ = ["Structure"]


class Structure:
    """The leaves of a tree of arrays as consecutive pieces of one flat vector.

    `Structure.of(tree)` makes one. A tree is an array, or dicts, lists, tuples and registered
    classes of them, nested. The order of the leaves is that of optree with dicts in insertion
    order, so that of `module.named_parameters()`; trees of JAX arrays have JAX's order.

    Attributes
    ----------
    framework : Framework
        Whose arrays the leaves are.
    shapes : tuple of tuples of int
        The leaves' shapes.
    names : tuple of str
        The leaves' dotted paths: "layers.0.weight", "1.b"; "" for an array that is the whole tree.
    size : int
        n, the number of elements.
    dtype : numpy.dtype
        The element type that all leaves share.
    device : torch.device or None
        Where the leaves of torch live.

    Notes
    -----
    It keeps no array. The solvers work in host memory: `flatten` and `unflatten` copy what lives
    on a device, and say so once a process with a UserWarning.
    """

    framework: Framework
    shapes: tuple[tuple[int, ...], ...]
    names: tuple[str, ...]
    size: int
    dtype: np.dtype[Any]
    device: Any

    def __init__(
        self,
        framework: Framework,
        names: Sequence[str],
        leaves: Sequence[Any],
        spec: Any,
        sequence: type[Any] | None,
    ) -> None:
        self.framework = framework
        self.names = tuple(names)
        self.shapes = tuple(tuple(leaf.shape) for leaf in leaves)
        self._sizes = [math.prod(shape) for shape in self.shapes]
        self.size = sum(self._sizes)
        self._offsets = list(itertools.accumulate(self._sizes))[:-1]
        self._spec = spec
        self._sequence = sequence
        self.dtype = _same(
            [_element(leaf, n) for leaf, n in zip(leaves, names, strict=True)], names
        )
        self.device = _same([framework.device_of(leaf) for leaf in leaves], names)
        #: Whether the tree is one array, without containers around it.
        self.is_array = self.names == ("",)

    @classmethod
    def of(cls, tree: Any) -> Structure:
        """Return the structure of a tree of arrays of one framework, dtype and device.

        Raises
        ------
        TypeError
            For a leaf that is not an array, or differs in framework, dtype or device.
        ValueError
            For a tree without leaves.
        """
        framework = _framework_of_tree(tree)
        names, leaves, spec = framework.tree_flatten(tree)
        if not leaves:
            raise ValueError("the tree has no leaves; pass a tree with at least one array")
        for name, leaf in zip(names, leaves, strict=True):
            _check_leaf(leaf, name, framework)
        sequence = type(tree) if type(tree) in (list, tuple) else None
        return cls(framework, names, leaves, spec, sequence)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and all(
            getattr(self, name) == getattr(other, name)
            for name in ("framework", "names", "shapes", "dtype", "device", "_spec")
        )

    def __hash__(self) -> int:
        return hash((self.names, self.shapes, self.dtype))

    def __repr__(self) -> str:
        where = "" if self.device is None else f" on {self.device}"
        leaves = f"{len(self.shapes)} {'leaf' if len(self.shapes) == 1 else 'leaves'}"
        what = f"{leaves} of {self.framework.name}, n = {self.size}, {self.dtype}{where}"
        return f"<Structure of {what}>"

    # -------------------------------------------------------------------------- trees and leaves

    def holds(self, value: Any) -> bool:
        """Whether `value` is meant as a tree rather than as a flat vector or a block of them.

        An array is, only where the structure is that of one array of this shape, and not flat.
        """
        if hasattr(value, "shape") or hasattr(value, "__array__"):
            shape = tuple(getattr(value, "shape", ()))
            return self.is_array and len(shape) != 1 and shape == self.shapes[0]
        while isinstance(value, list | tuple) and value:
            value = value[0]
        return not isinstance(value, numbers.Number | list | tuple | str | None)

    def leaves(self, tree: Any) -> list[Any]:
        """Return the leaves of a tree of this structure, in the order of the flat vector.

        The values of dicts may stand in another order, and a list for a tuple at the root.

        Raises
        ------
        ValueError, TypeError
            Where the tree differs, by the name of the leaf.
        """
        if self._sequence is not None and type(tree) in (list, tuple):
            tree = self._sequence(tree)
        try:
            leaves: list[Any] = self._spec.flatten_up_to(tree)
        except ValueError as error:
            raise ValueError(
                f"the tree differs from {self!r}: {self._difference(tree, error)}"
            ) from None
        for name, leaf, shape in zip(self.names, leaves, self.shapes, strict=True):
            _check_leaf(leaf, name, self.framework)
            if tuple(leaf.shape) != shape:
                raise ValueError(
                    f"{_called(name)} has shape {tuple(leaf.shape)}; it must be {shape}"
                )
        return leaves

    def _difference(self, tree: Any, error: ValueError) -> str:
        try:
            names = self.framework.tree_flatten(tree)[0]
        except (TypeError, ValueError):
            names = []
        words = []
        for verb, more, fewer in (
            ("lacks", self.names, names),
            ("has in excess", names, self.names),
        ):
            if different := [n for n in more if n not in set(fewer)]:
                rest = f" and {len(different) - 3} more" if len(different) > 3 else ""
                words.append(f"it {verb} {', '.join(map(repr, different[:3]))}{rest}")
        return "; ".join(words) if names and words else str(error).split(";")[0]

    def tree(self, leaves: Sequence[Any]) -> Any:
        """Return the tree that has these leaves; nothing but their number is checked."""
        if len(leaves) != len(self.shapes):
            raise ValueError(f"{len(leaves)} leaves came; {self!r} has {len(self.shapes)}")
        return self.framework.tree_unflatten(self._spec, list(leaves))

    # -------------------------------------------------------------------------------- flat vectors

    def flatten(self, tree: Any) -> npt.NDArray[Any]:
        """Return a tree of this structure as a NumPy vector (n,) in host memory.

        Leaves that require grad are detached. A tree of one contiguous host array is not copied;
        any other once.
        """
        leaves = [self.framework.detached(leaf) for leaf in self.leaves(tree)]
        return self.framework.host(self.join(leaves))

    def flat(self, value: Any) -> Any:
        """Return a tree as a host vector (n,) of this framework, and anything else as it is."""
        return self.framework.over(self.flatten(value)) if self.holds(value) else value

    def unflatten(self, flat: Any) -> Any:
        """Return a vector (n,) as a tree of arrays of this framework, on this device.

        `flat` is of any framework. It keeps its element type. The leaves are views of it where it
        is torch's or NumPy's and need not move; JAX arrays are copies.

        Raises
        ------
        ValueError
            If `flat` does not have shape (n,).
        """
        return self.tree(self.split(self.native(flat)))

    def native(self, flat: Any) -> Any:
        """Return a vector (n,) of any framework as one of this framework, on this device."""
        shape = tuple(np.shape(flat)) if isinstance(flat, list) else tuple(flat.shape)
        if shape != (self.size,):
            raise ValueError(f"flat has shape {shape}; {self!r} needs ({self.size},)")
        other = _arrays.framework_of(flat, "flat")
        if other is self.framework and isinstance(flat, other.type):
            return self.framework.moved(flat, self.device)
        host = flat if isinstance(flat, np.ndarray) else other.host(other.detached(flat))
        return self.framework.moved(self.framework.over(host), self.device)

    def split(self, flat: Any) -> list[Any]:
        """Return the leaf-shaped views of a vector (n,) of this framework; JAX's may be traced."""
        pieces = self.framework.pieces(flat, self._sizes, self._offsets)
        return [p.reshape(shape) for p, shape in zip(pieces, self.shapes, strict=True)]

    def join(self, leaves: Sequence[Any]) -> Any:
        """Return leaf-shaped arrays as one vector (n,) of this framework, where they live."""
        flat = [leaf.reshape(-1) for leaf in leaves]
        return flat[0] if len(flat) == 1 else self.framework.concatenated(flat)


def _called(name: str) -> str:
    return f"leaf {name!r}" if name else "the array"


def _framework_of_tree(tree: Any) -> Framework:
    """Return whose tree this is: JAX's if one leaf is, else that of the first array among them."""
    if "jax" in sys.modules:
        jax = _arrays.load("jax")
        if any(isinstance(leaf, jax.type) for leaf in jax.tree_flatten(tree)[1]):
            return jax
    for leaf in NUMPY.tree_flatten(tree)[1]:
        framework = _arrays.framework_of(leaf, "a leaf")
        if isinstance(leaf, framework.type):
            return framework
    return NUMPY


def _check_leaf(leaf: Any, name: str, framework: Framework) -> None:
    if isinstance(leaf, framework.type):
        return
    came = framework.describe(leaf)
    if hasattr(leaf, "named_parameters"):
        raise TypeError(
            f"{_called(name)} is {came}, a module; pass its parameters: "
            "dict(module.named_parameters())"
        )
    raise TypeError(
        f"{_called(name)} is {came}; this is a tree of {framework.name}: every leaf must be a "
        f"{framework.noun}"
    )


def _element(leaf: Any, name: str) -> np.dtype[Any]:
    dtype = _arrays.NATIVE.get(str(leaf.dtype).removeprefix("torch."))
    if dtype is None:
        raise TypeError(
            f"{_called(name)} has dtype {leaf.dtype}; leaves are float32, float64, complex64 or "
            "complex128: cast it, or leave it out"
        )
    return dtype


def _same(values: Sequence[Any], names: Sequence[str]) -> Any:
    for value, name in zip(values, names, strict=True):
        if value != values[0]:
            raise TypeError(
                f"{_called(name)} is {value}, but {_called(names[0])} is {values[0]}; one vector "
                "takes one dtype and device: cast or move the leaves, or leave some out"
            )
    return values[0]
