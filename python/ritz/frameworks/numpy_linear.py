"""How products at a fixed point are formed from closures of the user's, in any framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ritz.curvature.closures import Closures
from ritz.trees import Structure

__all__ = ["Linearized", "LinearizedGradient", "linearize", "linearize_gradient"]

Array = Any  # of any framework
Function = Callable[..., Any]


class _Point:
    """Closures at fixed parameters and data.

    Attributes
    ----------
    value : array
        z, or ℓ.
    how : str
        "closures".
    bytes : int
        0: what closures keep is not known here.
    """

    how = "closures"
    bytes = 0

    def __init__(
        self, closures: Closures, structure: Structure, leaves: Sequence[Array], args: Sequence[Any]
    ) -> None:
        if not isinstance(closures, Closures):
            raise TypeError(f"the function is {closures!r}; pass ritz.Closures")
        self._closures, self._structure, self._args = closures, structure, tuple(args)
        self._x = structure.tree(leaves)
        if closures.linearize is None:
            self._jvp = self._at_point(closures.jvp)
            self._vjp = self._at_point(closures.vjp)
            value = closures.value(self._x, *args)  # type: ignore[misc]  # given, by __post_init__
        else:
            made = closures.linearize(self._x, *args)
            if not isinstance(made, tuple) or len(made) != 3:
                raise TypeError(
                    f"linearize returned {structure.framework.describe(made)}; it must return the "
                    "tuple (z, v -> J v, u -> Jᵀ u)"
                )
            value, self._jvp, self._vjp = made
        self.value = self._array(value, "the value", None)

    def _at_point(self, function: Function | None) -> Function | None:
        if function is None:
            return None
        return lambda w: function(self._x, w, *self._args)

    def _pushed(self, function: Function | None, name: str, v: Array) -> Any:
        """Call a closure with the tree of a flat vector."""
        if function is None:
            raise TypeError(f"{name} is missing; pass it to ritz.Closures for these products")
        return function(self._structure.tree(self._structure.split(v)))

    def _flat(self, tree: Any, name: str) -> Array:
        """Return what a closure returned as a flat vector."""
        try:
            return self._structure.join(self._structure.leaves(tree))
        except (TypeError, ValueError) as error:
            raise type(error)(f"what {name} returned is not like the parameters: {error}") from None

    def _pulled(self, u: Array) -> Array:
        assert self._vjp is not None
        return self._flat(self._vjp(u), "vjp")

    def _array(self, array: Any, what: str, shape: tuple[int, ...] | None) -> Array:
        framework, dtype = self._structure.framework, self._structure.dtype
        if isinstance(array, float | complex | np.generic):  # NumPy's sums are no arrays
            array = framework.over(np.array(array, dtype))
        if not isinstance(array, framework.type):
            raise TypeError(
                f"{what} is {framework.describe(array)}; it must be a {framework.noun}, as the "
                "parameters are"
            )
        if shape is not None and tuple(array.shape) != shape:
            raise ValueError(f"{what} has shape {tuple(array.shape)}; it must have {shape}")
        return array

    def _stacked(self, rows: Sequence[Array], shape: tuple[int, ...]) -> Array:
        """Return arrays of one shape as one, along a new first axis."""
        if not rows:
            framework = self._structure.framework
            empty = framework.over(np.zeros((0, *shape), self._structure.dtype))
            return framework.moved(empty, self._structure.device)
        flat = [row.reshape(-1) for row in rows]
        return self._structure.framework.concatenated(flat).reshape(len(rows), *shape)

    def _columns(self, product: Function, V: Array) -> Array:
        """Return the block (n, k) of a product of flat vectors with flat vectors."""
        rows = [product(V[:, j]) for j in range(V.shape[1])]
        return self._stacked(rows, (self._structure.size,)).T


class Linearized(_Point):
    """z = f(x) and products with J = ∂f/∂x by closures; made by `linearize`."""

    def jvp(self, v: Array) -> Array:
        """Return J v, of the shape of z, for v (n,)."""
        return self._array(self._pushed(self._jvp, "jvp", v), "J v", tuple(self.value.shape))

    def vjp(self, u: Array) -> Array:
        """Return Jᵀ u (n,), for u of the shape of z."""
        return self._pulled(u)

    def jvp_block(self, V: Array) -> Array:
        """Return J V, (k, *z.shape), for V (n, k)."""
        shape, k = tuple(self.value.shape), V.shape[1]
        if self._closures.jvp_block is not None:
            made = self._closures.jvp_block(self._x, V, *self._args)
            return self._array(made, "what jvp_block returned", (k, *shape))
        return self._stacked([self.jvp(V[:, j]) for j in range(k)], shape)

    def vjp_block(self, U: Array) -> Array:
        """Return Jᵀ U, (n, k), for U (k, *z.shape)."""
        n, k = self._structure.size, U.shape[0]
        if self._closures.vjp_block is not None:
            made = self._closures.vjp_block(self._x, U, *self._args)
            return self._array(made, "what vjp_block returned", (n, k))
        return self._stacked([self.vjp(U[j]) for j in range(k)], (n,)).T

    def through(self, middle: Function, state: Any) -> Callable[[Array], Array]:
        """Return v (n,) ↦ Jᵀ middle(state, J v)."""
        return lambda v: self.vjp(middle(state, self.jvp(v)))

    def through_block(self, middle: Function, state: Any) -> Callable[[Array], Array]:
        """Return V (n, k) ↦ Jᵀ middle(state, J V) of each column."""
        if self._closures.jvp_block is None and self._closures.vjp_block is None:
            product = self.through(middle, state)
            return lambda V: self._columns(product, V)

        def block(V: Array) -> Array:
            pushed = [middle(state, u) for u in self.jvp_block(V)]
            return self.vjp_block(self._stacked(pushed, tuple(self.value.shape)))

        return block


class LinearizedGradient(_Point):
    """ℓ(x), its gradient, and products with its Hessian by closures; by `linearize_gradient`."""

    def __init__(
        self, closures: Closures, structure: Structure, leaves: Sequence[Array], args: Sequence[Any]
    ) -> None:
        super().__init__(closures, structure, leaves, args)
        if tuple(self.value.shape) != ():
            raise ValueError(f"the loss has shape {tuple(self.value.shape)}; it must be a scalar")
        self._hvp = self._at_point(closures.hvp)

    @cached_property
    def gradient(self) -> Array:
        """∇ℓ(x) = Jᵀ 1, (n,)."""
        framework = self._structure.framework
        one = framework.over(np.ones((), self._structure.dtype))
        return self._pulled(framework.moved(one, self._structure.device))

    def hvp(self, v: Array) -> Array:
        """Return H v, (n,), for v (n,)."""
        return self._flat(self._pushed(self._hvp, "hvp", v), "hvp")

    def hvp_block(self, V: Array) -> Array:
        """Return H V, (n, k), for V (n, k)."""
        return self._columns(self.hvp, V)


def linearize(
    function: Closures,
    structure: Structure,
    leaves: Sequence[Array],
    args: Sequence[Any],
    **_: Any,
) -> Linearized:
    """Return the products of closures at leaves, with the interface of the frameworks' own.

    Parameters
    ----------
    function : Closures
    structure : Structure
        Of the leaves; vectors (n,) are theirs.
    leaves : sequence of arrays
    args : sequence
        What the closures take after x and the vector.
    **_
        Which way, under which budget: there is one way here.

    Raises
    ------
    TypeError, ValueError
        If a closure is missing, or returns something that is not an array of the framework and of
        the right shape.
    """
    return Linearized(function, structure, leaves, args)


def linearize_gradient(
    function: Closures,
    structure: Structure,
    leaves: Sequence[Array],
    args: Sequence[Any],
    **_: Any,
) -> LinearizedGradient:
    """Return the Hessian products of the closures of a scalar; arguments as for `linearize`."""
    return LinearizedGradient(function, structure, leaves, args)
