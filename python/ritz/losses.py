"""Losses of a model's output in closed form: value, gradient, and Hessian product.

A loss is any object with the methods of `Loss`. Those here compute in NumPy and take and return
arrays of NumPy, torch and JAX alike; a loss of one's own gets arrays of the kind of the parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ritz import _arrays

__all__ = ["CrossEntropy", "HalfSquared", "Loss", "SquaredError"]

Array = npt.NDArray[Any]


class Loss(Protocol):
    """A convex function ℓ of a model's output z of shape (m,)."""

    def value(self, z: Any) -> Any:
        """Return ℓ(z), a number."""

    def gradient(self, z: Any) -> Any:
        """Return ∇ℓ(z) of shape (m,)."""

    def hessian_product(self, z: Any, u: Any) -> Any:
        """Return ∇²ℓ(z) u of shape (m,); ∇²ℓ is positive semidefinite."""


class _ClosedForm(ABC):
    """Takes and returns arrays of any framework; the mathematics is NumPy's."""

    def value(self, z: Any) -> float:
        """Return ℓ(z)."""
        a, _ = _arrays.array(z, "z")
        return float(self._value(a))

    def gradient(self, z: Any) -> Any:
        """Return ∇ℓ(z), of the shape of z."""
        a, framework = _arrays.array(z, "z")
        return framework.from_numpy(self._gradient(a).reshape(a.shape))

    def hessian_product(self, z: Any, u: Any) -> Any:
        """Return ∇²ℓ(z) u, of the shape of u."""
        a, _ = _arrays.array(z, "z")
        b, framework = _arrays.array(u, "u")
        return framework.from_numpy(self._hessian_product(a, b).reshape(b.shape))

    @abstractmethod
    def _value(self, z: Array) -> float:
        """Return ℓ(z)."""

    @abstractmethod
    def _gradient(self, z: Array) -> Array:
        """Return ∇ℓ(z)."""

    @abstractmethod
    def _hessian_product(self, z: Array, u: Array) -> Array:
        """Return ∇²ℓ(z) u."""


class _Quadratic(_ClosedForm):
    """(scale / 2) ‖z − target‖²."""

    def __init__(self, target: Any) -> None:
        self._target: Array | None = None
        if target is not None:
            self._target = np.ascontiguousarray(_arrays.array(target, "target")[0]).ravel()

    @abstractmethod
    def _scale(self, m: int) -> float:
        """Return the weight of the m terms."""

    def _residual(self, z: Array) -> Array:
        z = z.ravel()
        if self._target is None:
            return z
        if self._target.size != z.size:
            raise ValueError(
                f"target has {self._target.size} elements, the model's output {z.size}; pass one "
                "target for each output"
            )
        difference: Array = z - self._target.astype(z.dtype, copy=False)
        return difference

    def _value(self, z: Array) -> float:
        r = self._residual(z)
        return self._scale(z.size) / 2.0 * float(np.sum(np.square(r), dtype=np.float64))

    def _gradient(self, z: Array) -> Array:
        result: Array = self._residual(z) * z.dtype.type(self._scale(z.size))
        return result

    def _hessian_product(self, z: Array, u: Array) -> Array:
        result: Array = u * u.dtype.type(self._scale(z.size))
        return result


class HalfSquared(_Quadratic):
    """Half the sum of squares: ℓ(z) = ½ ‖z − target‖².

    Parameters
    ----------
    target : array (m,), optional
        By default zero.
    """

    def __init__(self, target: Any = None) -> None:
        super().__init__(target)

    @property
    def is_plain(self) -> bool:
        """Whether there is no target: ℓ(z) = ½ ‖z‖²."""
        return self._target is None

    def _scale(self, m: int) -> float:
        return 1.0


class SquaredError(_Quadratic):
    """The mean squared error: ℓ(z) = ‖z − target‖² / m.

    Parameters
    ----------
    target : array (m,) or of any shape with m elements
    """

    def __init__(self, target: Any) -> None:
        super().__init__(target)

    def _scale(self, m: int) -> float:
        return 2.0 / m if m else 0.0


class CrossEntropy(_ClosedForm):
    """The mean softmax cross-entropy over n samples: ℓ(z) = −(1/n) Σᵢ log softmax(zᵢ)[yᵢ].

    Parameters
    ----------
    labels : array of integers (n,)
        The classes yᵢ, from 0. The output z holds n rows of as many logits as there are classes.

    Notes
    -----
    With p the softmax of a row: gradient (p − e_y)/n, Hessian product (p⊙u − p⟨p, u⟩)/n, which does
    not depend on the labels. The softmax of the last z is kept, so that further products at the
    same z cost no exponentials.
    """

    def __init__(self, labels: Any) -> None:
        y = _arrays.framework_of(labels, "labels").to_numpy(labels, "labels")
        if y.ndim != 1 or y.dtype.kind not in "iu" or y.size == 0:
            raise ValueError(
                f"labels has dtype {y.dtype} and shape {y.shape}; pass a vector of integers, one "
                "class a sample"
            )
        if int(y.min()) < 0:
            raise ValueError(f"labels holds {int(y.min())}; classes are counted from 0")
        self._labels = y.astype(np.intp)
        self._last: tuple[Array, Array, float] | None = None

    def _softmax(self, z: Array) -> tuple[Array, float]:
        """Return the softmax p of shape (n, classes) and ℓ(z)."""
        last = self._last
        if last is not None and last[0].dtype == z.dtype and np.array_equal(last[0], z.ravel()):
            return last[1], last[2]
        n = self._labels.size
        classes, rest = divmod(z.size, n)
        if rest or int(self._labels.max()) >= classes:
            raise ValueError(
                f"the model's output has {z.size} elements, which is not {n} rows of more than "
                f"{int(self._labels.max())} logits"
            )
        logits = z.reshape(n, classes)
        top = logits.max(axis=1, keepdims=True)
        # Infinite logits make the value NaN, which is the answer.
        with np.errstate(invalid="ignore"):
            shifted = logits - top
        p = np.exp(shifted)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        chosen = np.take_along_axis(shifted, self._labels[:, None], axis=1)
        value = float(np.mean(np.log(total) - chosen, dtype=np.float64))
        self._last = (z.ravel().copy(), p, value)
        return p, value

    def _value(self, z: Array) -> float:
        return self._softmax(z)[1]

    def _gradient(self, z: Array) -> Array:
        p, _ = self._softmax(z)
        n = self._labels.size
        g: Array = p / p.dtype.type(n)
        g[np.arange(n), self._labels] -= p.dtype.type(1.0 / n)
        return g

    def _hessian_product(self, z: Array, u: Array) -> Array:
        p, _ = self._softmax(z)
        n = self._labels.size
        v = u.reshape(p.shape)
        inner = np.einsum("ij,ij->i", p, v)[:, None]
        result: Array = p * (v - inner)
        result /= p.dtype.type(n)
        return result
