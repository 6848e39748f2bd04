"""A linear map of JAX as data: the least number of arrays that it must keep.

What it needs of the parameters and of the batch is passed from where it lies, where a compiled
function would return copies; and constants, as the zeros of a rectifier, are made anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.interpreters.partial_eval import dce_jaxpr

__all__ = ["Kept", "reduced"]

Array = Any  # JAX's own annotations are not checked here
Equations = Any

# A constant of more operations than this is computed once and kept: a broadcast is one or two.
_DEPTH = 4


class _Recipe:
    """Where each array of a linear map comes from; one object a compilation, told by identity.

    `sources` has, for each, its place among the arrays at hand, or the equations of a constant.
    `inputs` are the places of those among the function's arguments that follow the kept ones.
    """

    def __init__(self, tree: Any, sources: list[int | ClosedJaxpr], inputs: list[int]) -> None:
        self.tree = tree
        self.sources = sources
        self.inputs = inputs


@jax.tree_util.register_pytree_node_class
class Kept:
    """A linear map: arrays, and how it is made of them. Goes in and out of compiled functions."""

    def __init__(self, arrays: Sequence[Array], recipe: _Recipe) -> None:
        self._arrays = arrays
        self._recipe = recipe

    def tree_flatten(self) -> tuple[Sequence[Array], _Recipe]:
        """Return arrays, and what compiled code depends on."""
        return self._arrays, self._recipe

    @classmethod
    def tree_unflatten(cls, recipe: _Recipe, arrays: Sequence[Array]) -> Kept:
        """Return the map of other arrays."""
        return cls(arrays, recipe)

    @property
    def bytes(self) -> int:
        """The memory of its arrays."""
        return sum(math.prod(a.shape) * a.dtype.itemsize for a in self._arrays)

    def with_inputs(self, inputs: Sequence[Array]) -> Kept:
        """Return the map together with what it needs of the function's arguments."""
        return Kept((*self._arrays, *(inputs[i] for i in self._recipe.inputs)), self._recipe)

    def linear(self) -> Callable[[Any], Any]:
        """Return the linear map as a function."""
        parts = [
            self._arrays[s] if isinstance(s, int) else jaxpr_as_fun(s)()[0]
            for s in self._recipe.sources
        ]
        map_: Callable[[Any], Any] = jax.tree.unflatten(self._recipe.tree, parts)
        return map_


def reduced(
    linearized: Callable[..., tuple[Any, Any]], arguments: tuple[Any, ...]
) -> tuple[Any, Kept]:
    """Return the value that `linearized` returns, and the linear map reduced to what it must keep.

    Parameters
    ----------
    linearized : callable
        arguments ↦ (value, linear map), as `jax.linearize` gives it.
    arguments : tuple of trees of arrays

    Notes
    -----
    To be called in a compiled function. `linearized` is traced once.
    """
    closed, (value, linear) = jax.make_jaxpr(linearized, return_shape=True)(*arguments)
    jaxpr = closed.jaxpr
    values = len(jax.tree.leaves(value))
    needed = [j < values for j in range(len(jaxpr.outvars))]
    places = {v: i for i, v in enumerate(jaxpr.invars)}
    definitions = _Definitions(jaxpr)
    kept: dict[Any, int] = {}
    inputs: dict[int, int] = {}
    sources: list[Any] = []
    for j, v in enumerate(jaxpr.outvars[values:], values):
        if definitions.constant(v):
            sources.append(_equations(jaxpr, j))
        elif v in places:
            sources.append(("input", inputs.setdefault(places[v], len(inputs))))
        else:
            needed[j] = v not in kept
            sources.append(kept.setdefault(v, len(kept)))
    sources = [len(kept) + s[1] if isinstance(s, tuple) else s for s in sources]
    recipe = _Recipe(jax.tree.structure(linear), sources, list(inputs))
    less, _ = dce_jaxpr(jaxpr, needed, instantiate=True)
    arrays = jaxpr_as_fun(ClosedJaxpr(less, closed.consts))(*jax.tree.leaves(arguments))
    result = jax.tree.unflatten(jax.tree.structure(value), arrays[:values])
    return result, Kept(tuple(arrays[values:]), recipe)


class _Definitions:
    """Which equation makes a variable."""

    def __init__(self, jaxpr: Equations) -> None:
        self._of = {v: (e, i) for e in jaxpr.eqns for i, v in enumerate(e.outvars)}

    def constant(self, v: Any, depth: int = _DEPTH) -> bool:
        """Tell whether a variable depends on no input, by few equations."""
        if isinstance(v, Literal):
            return True
        if v not in self._of or depth == 0:
            return False
        equation, place = self._of[v]
        if equation.effects:
            return False
        if equation.primitive.name in ("jit", "pjit"):
            inner = equation.params["jaxpr"].jaxpr
            return _Definitions(inner).constant(inner.outvars[place], depth - 1)
        return all(self.constant(w, depth - 1) for w in equation.invars)


def _equations(jaxpr: Equations, j: int) -> ClosedJaxpr:
    """Return the equations of output j, which depends on nothing."""
    less, _ = dce_jaxpr(jaxpr, [i == j for i in range(len(jaxpr.outvars))])
    return ClosedJaxpr(less.replace(constvars=[]), [])
