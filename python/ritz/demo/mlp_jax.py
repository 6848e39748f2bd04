"""The network of `mlp_numpy`, differentiated and compiled by JAX.

`jax.linearize` runs inside a compiled function, which returns the linear map as data: the product
functions take it as an argument and are compiled once, for all points.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ritz.demo.mlp_numpy import CLASSES, CUT, HIDDEN, PARAMETERS, PIXELS

__all__ = ["Network", "SoftmaxCrossEntropy"]

Array = Any  # JAX's own annotations are not checked here


def _logits(images: Array, x: Array) -> Array:
    W1 = x[:CUT].reshape(PIXELS + 1, HIDDEN)
    W2 = x[CUT:].reshape(HIDDEN + 1, CLASSES)
    hidden = jnp.tanh(images @ W1[:-1] + W1[-1])
    return (hidden @ W2[:-1] + W2[-1]).reshape(-1)


def _linearized(images: Array, x: Array) -> tuple[Array, Array]:
    return jax.linearize(lambda y: _logits(images, y), x)  # type: ignore[no-any-return]


def _pushed(linear: Array, v: Array) -> Array:
    return linear(v)


def _pulled(linear: Array, u: Array) -> Array:
    example = jax.ShapeDtypeStruct((PARAMETERS,), u.dtype)
    return jax.linear_transpose(linear, example)(u)[0]


class Network:
    """The logits of all images as a function of x, and the products with its Jacobian.

    Parameters
    ----------
    images : array (N, 64)
    """

    def __init__(self, images: npt.NDArray[np.float64]) -> None:
        self._images = jnp.asarray(images)
        self._value = jax.jit(_logits)
        self._linearized = jax.jit(_linearized)
        self._pushed = jax.jit(_pushed)
        self._pulled = jax.jit(_pulled)

    def model(self, x: Array) -> Array:
        """Return the logits, shape (10 N,)."""
        return self._value(self._images, x)

    def linearize(
        self, x: Array
    ) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
        """Return the logits at x, v ↦ J v and u ↦ Jᵀ u, which share one forward pass."""
        value, linear = self._linearized(self._images, x)
        return value, lambda v: self._pushed(linear, v), lambda u: self._pulled(linear, u)

    def jvp(self, x: Array, v: Array) -> Array:
        """Return J(x) v, shape (10 N,)."""
        return self.linearize(x)[1](v)

    def vjp(self, x: Array, u: Array) -> Array:
        """Return J(x)ᵀ u, shape (2410,)."""
        return self.linearize(x)[2](u)


class SoftmaxCrossEntropy:
    """ℓ(z) = −(1/N) Σᵢ log softmax(zᵢ)[yᵢ]: gradient (p − e_y)/N, Hessian (diag p − p pᵀ)/N.

    Parameters
    ----------
    labels : array of integers (N,)
    """

    def __init__(self, labels: npt.NDArray[np.int64]) -> None:
        target = jax.nn.one_hot(jnp.asarray(labels), CLASSES, dtype=jnp.float64)
        count = labels.size

        def value(z: Array) -> Array:
            return -jnp.sum(target * jax.nn.log_softmax(z.reshape(-1, CLASSES))) / count

        def gradient(z: Array) -> Array:
            return ((jax.nn.softmax(z.reshape(-1, CLASSES)) - target) / count).reshape(-1)

        def hessian_product(z: Array, u: Array) -> Array:
            p = jax.nn.softmax(z.reshape(-1, CLASSES))
            U = u.reshape(-1, CLASSES)
            return (p * (U - jnp.sum(p * U, axis=1, keepdims=True)) / count).reshape(-1)

        self._value = jax.jit(value)
        self.gradient = jax.jit(gradient)
        self.hessian_product = jax.jit(hessian_product)

    def value(self, z: Array) -> float:
        """Return ℓ(z)."""
        return float(self._value(z))
