"""How JAX forms J v, Jᵀ u and H v at a fixed point.

A compiled set-up linearises the function and returns what the linear map keeps as data, and the
compiled products take it as an argument: one compilation serves all points and all batches of equal
shapes. Jᵀ is the transpose of the same map, which keeps nothing of its own.
"""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from types import MethodType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ritz.frameworks.jax_kept import Kept, reduced
from ritz.trees import Structure

__all__ = ["Linearized", "LinearizedGradient", "linearize", "linearize_gradient"]

Array = Any  # JAX's own annotations are not checked here
Function = Callable[..., Array]
Seconds = dict[int, float]

# "graph" and "trace" are what torch calls its ways of keeping the linear map; JAX has one.
_HOWS = ("auto", "compiled", "graph", "trace", "recompute")
# Columns in one vectorised product. A size is compiled and timed only if the one before paid.
_CHUNKS = (1, 4, 16, 64)
# A vectorised product holds, while it runs, about what a point keeps for each of its columns.
_ROOM = 2**30
# Middles of one function that compiled products are held for; each may hold data of its own.
_MIDDLES = 16


class _Called:
    """The function that is linearised, held weakly: compiled code must not keep it alive."""

    def __init__(self) -> None:
        self._function: Callable[[], Function | None] = lambda: None

    def hold(self, function: Function) -> None:
        """Trace `function`, which is equal to the one before, from now on."""
        if self._function() is not function:
            self._function = weakref.ref(function)

    def __call__(self, leaves: Sequence[Array], *args: Any) -> Array:
        function = self._function()
        assert function is not None
        return function(leaves, *args)


class _Products:
    """The compiled set-up and products of one function of leaves of one structure.

    A point is `Kept`, or (leaves, args) where the function is linearised anew in each product.
    """

    def __init__(self, structure: Structure, gradient: bool) -> None:
        self.called = called = _Called()
        split, join = structure.split, structure.join

        def slope(leaves: Sequence[Array], args: Any) -> tuple[Any, Any]:
            value, g = jax.value_and_grad(lambda p: _scalar(called(p, *args)))(leaves)
            return g, value

        def linearized(leaves: Sequence[Array], args: Any) -> Any:
            if gradient:
                g, linear, value = jax.linearize(lambda p: slope(p, args), leaves, has_aux=True)
                return (value, join(g)), linear
            return jax.linearize(lambda p: _one_array(called(p, *args)), leaves)

        def value(leaves: Sequence[Array], args: Any) -> Any:
            if gradient:
                g, ell = slope(leaves, args)
                return ell, join(g)
            return _one_array(called(leaves, *args))

        def linear(point: Any) -> Callable[[Any], Any]:
            if isinstance(point, Kept):
                return point.linear()
            return linearized(*point)[1]  # type: ignore[no-any-return]

        def jvp(point: Any, v: Array) -> Any:
            return linear(point)(split(v))

        def vjp(point: Any, u: Array) -> Array:
            example = [jax.ShapeDtypeStruct(s, structure.dtype) for s in structure.shapes]
            return join(jax.linear_transpose(linear(point), example)(u)[0])

        def hvp(point: Any, v: Array) -> Array:
            return join(jvp(point, v))

        def through(middle: Function, point: Any, state: Any, v: Array) -> Array:
            kept = linear(point)
            push = split(v)
            return join(jax.linear_transpose(kept, push)(middle(state, kept(push)))[0])

        self.set_up = jax.jit(lambda leaves, args: reduced(linearized, (leaves, args)))
        self.value = jax.jit(value)
        self.jvp, self.vjp, self.hvp = _Product(jvp), _Product(vjp), _Product(hvp)
        self._through = through
        self._middles: dict[Any, _Product] = {}

    def through(self, middle: Function) -> _Product:
        """Return the product (point, state, v) ↦ Jᵀ middle(state, J v), compiled once a middle."""
        # Equal objects have equal methods, which Python tells apart.
        key: Any = middle
        if isinstance(middle, MethodType):
            key = (middle.__func__, middle.__self__)
        if key not in self._middles:
            if len(self._middles) == _MIDDLES:
                del self._middles[next(iter(self._middles))]
            self._middles[key] = _Product(partial(self._through, middle))
        return self._middles[key]


def _one_array(z: Any) -> Array:
    if not isinstance(z, jax.Array):
        raise TypeError(f"the model returned {type(z).__name__}; it must return one jax.Array")
    if not jnp.issubdtype(z.dtype, jnp.inexact):
        raise TypeError(f"the model returned an array of {z.dtype}, which has no derivatives")
    return z


def _scalar(value: Any) -> Array:
    if _one_array(value).shape != ():
        raise ValueError(f"the loss returned an array of shape {value.shape}; return a scalar")
    return value


class _Product:
    """A compiled product of one vector, and of chunks of the rows of a block."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.one = jax.jit(function)
        self._many: dict[int, Function] = {1: self.one}

    def _call(self, size: int, operands: tuple[Any, ...], X: Array, start: int) -> Array:
        if size not in self._many:
            fixed = (None,) * len(operands)
            self._many[size] = jax.jit(jax.vmap(self._function, (*fixed, 0)))
        return self._many[size](*operands, _taken(X, np.int32(start), size))

    def rows(self, operands: tuple[Any, ...], X: Array, seconds: Seconds, room: int) -> Array:
        """Return the product of each row of X, by chunks of the sizes that are fastest.

        `seconds` has the time of one call for each size tried; sizes up to `room` are.
        """
        k = X.shape[0]
        row = jax.ShapeDtypeStruct(X.shape[1:], X.dtype)
        product = jax.eval_shape(self.one, *operands, row)
        result = jnp.zeros((k, *product.shape), product.dtype)
        if k > 1:
            self._measure(operands, X, seconds, min(k, room))
        sizes = [c for c in seconds if c <= min(k, room)] or [1]
        done = 0
        while done < k:
            left = k - done
            size = min(sizes, key=lambda c: seconds.get(c, 0.0) / min(c, left))
            # The last chunk reaches back, over rows that are done.
            start = min(done, k - size)
            result = _put(result, self._call(size, operands, X, start), np.int32(start))
            done = start + size
        return result

    def _measure(self, operands: tuple[Any, ...], X: Array, seconds: Seconds, largest: int) -> None:
        for smaller, size in zip((0, *_CHUNKS), _CHUNKS, strict=False):
            if size > largest:
                return
            if size not in seconds:
                seconds[size] = _time(partial(self._call, size, operands, X, 0))
            if smaller and seconds[size] / size > seconds[smaller] / smaller:
                return


@partial(jax.jit, static_argnums=2)
def _taken(X: Array, start: Array, size: int) -> Array:
    part = lax.dynamic_slice_in_dim(X, start, size)
    return part[0] if size == 1 else part


@partial(jax.jit, donate_argnums=0)
def _put(result: Array, part: Array, start: Array) -> Array:
    part = part.reshape(-1, *result.shape[1:])
    return lax.dynamic_update_slice_in_dim(result, part, start, 0)


def _time(call: Callable[[], Array]) -> float:
    """Return the least time of a call that has been compiled: of three, or of as many as 0.1 s."""
    jax.block_until_ready(call())
    least = total = math.inf
    for i in range(3):
        start = time.perf_counter()
        jax.block_until_ready(call())
        taken = time.perf_counter() - start
        least, total = min(least, taken), taken + (total if i else 0.0)
        if total > 0.1:
            break
    return least


_PRODUCTS: dict[int, dict[Any, _Products]] = {}


def _products(function: Function, structure: Structure, gradient: bool) -> _Products:
    """Return the compiled code of a function, which lives as long as the function.

    A function may have an `anchor`, the user's own callable whose life counts instead, and then a
    `form` that tells it from others of that anchor and does not refer to it.
    """
    anchor = getattr(function, "anchor", function)
    form = getattr(function, "form", None)
    if isinstance(anchor, MethodType):
        form, anchor = (form, anchor.__func__), anchor.__self__
    try:
        weakref.ref(anchor)
    except TypeError:  # it cannot be watched: its code lives with the linearisation
        return _Products(structure, gradient)
    if id(anchor) not in _PRODUCTS:
        _PRODUCTS[id(anchor)] = {}
        weakref.finalize(anchor, _PRODUCTS.pop, id(anchor), None).atexit = False
    key = (form, structure, gradient)
    return _PRODUCTS[id(anchor)].setdefault(key, _Products(structure, gradient))


class _Point:
    """A function at fixed leaves and data: the compiled products, and what they are called with.

    Attributes
    ----------
    how : {"compiled", "recompute"}
    bytes : int
        Kept between products, leaves and data not counted.
    """

    def __init__(
        self,
        function: Function,
        structure: Structure,
        leaves: Sequence[Array],
        args: Any,
        gradient: bool,
        how: str,
        budget: int | None,
        memory: dict[Any, Any] | None,
    ) -> None:
        if how not in _HOWS:
            raise ValueError(f"how is {how!r}; pass one of {', '.join(map(repr, _HOWS))}")
        self._function = function
        self._memory = {} if memory is None else memory
        self._products = _products(function, structure, gradient)
        self._products.called.hold(function)
        # NumPy arrays may be written to later.
        inputs = jax.tree.map(
            lambda a: jnp.array(a) if isinstance(a, np.ndarray) else a, (list(leaves), tuple(args))
        )
        self._value: Any
        self._point: Any = inputs
        self.how, self.bytes = "recompute", 0
        if how != "recompute":
            shapes: Any = jax.eval_shape(self._products.set_up, *inputs)[1]
            if budget is None or shapes.bytes <= budget:
                self._value, kept = self._products.set_up(*inputs)
                self.how, self.bytes = "compiled", kept.bytes
                self._point = kept.with_inputs(jax.tree.leaves(inputs))
        if self.how == "recompute":
            self._value = self._products.value(*inputs)
        each = max(self.bytes, sum(a.nbytes for a in jax.tree.leaves(self._value)), 1)
        # What is recomputed did not fit once.
        most = (_ROOM if budget is None else min(budget, _ROOM)) // each
        self._room = max(1, most) if self.how == "compiled" or budget is None else 1

    def _one(self, product: _Product, *operands: Any) -> Array:
        self._products.called.hold(self._function)
        return product.one(self._point, *operands)

    def _rows(self, name: Any, product: _Product, X: Array, *state: Any) -> Array:
        self._products.called.hold(self._function)
        X = X if isinstance(X, jax.Array) else jnp.array(X)
        seconds = self._memory.setdefault(("seconds of a chunk", self.how, name), {})
        return product.rows((self._point, *state), X, seconds, self._room)


class Linearized(_Point):
    """z = f(θ) and products with J = ∂f/∂θ at one point; made by `linearize`.

    Attributes
    ----------
    value : array
        z, of any shape.
    """

    @property
    def value(self) -> Array:
        """The outputs z = f(θ)."""
        return self._value

    def jvp(self, v: Array) -> Array:
        """Return J v, of the shape of z, for v (n,)."""
        return self._one(self._products.jvp, v)

    def vjp(self, u: Array) -> Array:
        """Return Jᵀ u (n,), for u of the shape of z."""
        return self._one(self._products.vjp, u)

    def jvp_block(self, V: Array) -> Array:
        """Return J V, (k, *z.shape), for V (n, k)."""
        return self._rows("jvp", self._products.jvp, V.T)

    def vjp_block(self, U: Array) -> Array:
        """Return Jᵀ U, (n, k), for U (k, *z.shape)."""
        return self._rows("vjp", self._products.vjp, U).T

    def through(self, middle: Function, state: Any) -> Callable[[Array], Array]:
        """Return v (n,) ↦ Jᵀ middle(state, J v), one compiled function for all points.

        Parameters
        ----------
        middle : callable
            (state, u) ↦ an array of the shape of u; a pure function. Equal ones share their
            compilation.
        state : tree of arrays
        """
        product = self._products.through(middle)
        return lambda v: self._one(product, state, v)

    def through_block(self, middle: Function, state: Any) -> Callable[[Array], Array]:
        """Return V (n, k) ↦ Jᵀ middle(state, J V) of each column."""
        product = self._products.through(middle)
        return lambda V: self._rows("through", product, V.T, state).T


class LinearizedGradient(_Point):
    """ℓ(θ), its gradient, and products with its Hessian at one point; by `linearize_gradient`.

    Attributes
    ----------
    value : array ()
    gradient : array (n,)
    """

    @property
    def value(self) -> Array:
        """ℓ(θ)."""
        return self._value[0]

    @property
    def gradient(self) -> Array:
        """∇ℓ(θ), (n,)."""
        return self._value[1]

    def hvp(self, v: Array) -> Array:
        """Return H v, (n,), for v (n,)."""
        return self._one(self._products.hvp, v)

    def hvp_block(self, V: Array) -> Array:
        """Return H V, (n, k), for V (n, k)."""
        return self._rows("hvp", self._products.hvp, V.T).T


def linearize(
    function: Function,
    structure: Structure,
    leaves: Sequence[Array],
    args: Sequence[Any],
    *,
    how: str = "auto",
    budget: int | None = None,
    memory: dict[Any, Any] | None = None,
) -> Linearized:
    """Linearise z = f(θ, *args) at θ.

    Parameters
    ----------
    function : callable
        (leaves, *args) ↦ one array, traceable. Its compiled code lives as long as the function.
    structure : Structure
        Of the leaves; vectors (n,) are theirs.
    leaves : sequence of arrays
    args : sequence of trees of arrays
        The data, passed to compiled code as arguments.
    how : {"auto", "compiled", "graph", "trace", "recompute"}
        "recompute" keeps nothing; all others keep the linear map.
    budget : int, optional
        Bytes that may be kept; "recompute" where the linear map needs more.
    memory : dict, optional
        Kept by the caller from call to call: what was measured on blocks.

    Returns
    -------
    Linearized

    Raises
    ------
    TypeError
        If the function does not return one array of real or complex numbers.

    Notes
    -----
    The set-up costs about one evaluation, J v and Jᵀ u about one each; a product by "recompute"
    evaluates the function besides.
    """
    return Linearized(function, structure, leaves, args, False, how, budget, memory)


def linearize_gradient(
    function: Function,
    structure: Structure,
    leaves: Sequence[Array],
    args: Sequence[Any],
    *,
    how: str = "auto",
    budget: int | None = None,
    memory: dict[Any, Any] | None = None,
) -> LinearizedGradient:
    """Linearise the gradient of a scalar ℓ(θ, *args) at θ; arguments as for `linearize`.

    Raises
    ------
    TypeError, ValueError
        If the function does not return a scalar array.
    """
    return LinearizedGradient(function, structure, leaves, args, True, how, budget, memory)
