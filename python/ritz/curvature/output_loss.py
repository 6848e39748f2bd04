"""What operators ask of a loss of a model's output, on arrays of NumPy, torch and JAX alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["OutputLoss"]

State = tuple[Any, ...]


class OutputLoss(ABC):
    """A convex function ℓ(z, y) = Σ ℓ_t of a model's output z, summed over its valid terms t.

    A loss of one's own defines the five abstract methods; `factor_product`, `factor_transposed` and
    `sample` are for Fisher matrices by drawn targets and Kronecker factors only. z and all that
    comes out are arrays of one framework; all but `terms` may be traced. Equal options make equal
    losses, so that compiled products are found again.

    Parameters
    ----------
    reduction : {"mean", "sum"}
        Whether operators divide by the number of terms of the whole data set.

    Attributes
    ----------
    axis : int or None
        The axis of z that one vector g of `sample` spans, for z of two axes or more. None: each
        element is by itself.
    """

    axis: int | None = -1

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "sum"):
            raise ValueError(f'reduction is {reduction!r}; pass "mean" or "sum"')
        self.reduction = reduction

    @abstractmethod
    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return the weighted number of valid terms of a batch, and check its targets."""

    @abstractmethod
    def value(self, z: Any, y: Any) -> Any:
        """Return ℓ(z, y), an array without axes."""

    @abstractmethod
    def gradient(self, z: Any, y: Any) -> Any:
        """Return ∇ℓ with respect to z, of its shape."""

    @abstractmethod
    def curvature(self, z: Any, y: Any) -> State:
        """Return the arrays that the products below need, made once a point."""

    @abstractmethod
    def hessian_product(self, state: State, u: Any) -> Any:
        """Return H u with H = ∇²ℓ, of the shape of z."""

    def factor_product(self, state: State, w: Any) -> Any:
        """Return S w for a square root of H = S Sᵀ; w and the result are of the shape of z."""
        raise TypeError(self._without("square root of the Hessian", "factor_product"))

    def factor_transposed(self, state: State, u: Any) -> Any:
        """Return Sᵀ u."""
        raise TypeError(self._without("square root of the Hessian", "factor_transposed"))

    def sample(self, state: State, seed: int, index: int, first: int = 0) -> Any:
        """Return a random g of the shape of z with E[g gᵀ] = H.

        Where the loss is a negative log-likelihood, g is its gradient at a drawn target. The draws
        are a function of `seed`, of `index`, a number from 0 to 2³² − 1, and of each row's number,
        the first of which is `first`.
        """
        raise TypeError(self._without("model of its targets", "sample"))

    def _without(self, what: str, method: str) -> str:
        return (
            f"the loss {type(self).__name__} has no {what}; use a loss with a closed form, such as "
            f'"cross_entropy", or define {method} in a subclass of ritz.curvature.OutputLoss'
        )

    def _key(self) -> tuple[Any, ...]:
        return type(self), *(
            (k, v.shape, v.tobytes()) if isinstance(v, np.ndarray) else (k, v)
            for k, v in sorted(vars(self).items())
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OutputLoss) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


def namespace(z: Any) -> Any:
    """Return the functions of the framework of an array."""
    from array_api_compat import array_namespace

    return array_namespace(z)


def shape_of(y: Any) -> tuple[int, ...]:
    """Return the shape of an array or a nested list."""
    return tuple(y.shape) if hasattr(y, "shape") else np.shape(y)


def host(a: Any) -> npt.NDArray[Any]:
    """Return an array in host memory."""
    return np.asarray(a.detach().cpu() if hasattr(a, "detach") else a)


def beside(z: Any, a: Any, dtype: Any = None) -> Any:
    """Return `a` as an array of the framework and device of z; dtype `int` is its usual integer."""
    from array_api_compat import is_torch_array

    xp = namespace(z)
    if is_torch_array(z):
        dtype = xp.int64 if dtype is int else dtype
        return (a if is_torch_array(a) else xp.asarray(np.array(a))).to(z.device, dtype)
    return xp.asarray(host(a) if is_torch_array(a) else a, dtype=dtype)


def constant(a: Any) -> npt.NDArray[Any] | None:
    """Return an option that is an array in host memory and double precision."""
    return None if a is None else host(a).astype(np.float64)
