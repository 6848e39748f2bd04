"""Losses that are sums over the elements of a model's output: their Hessians are diagonal."""

from __future__ import annotations

import math
from typing import Any

from ritz import _arrays
from ritz.curvature import draws
from ritz.curvature.output_loss import (
    OutputLoss,
    State,
    beside,
    constant,
    host,
    namespace,
    shape_of,
)

__all__ = ["BCEWithLogits", "HalfSquared", "Huber", "Poisson", "Squared"]


class _Elementwise(OutputLoss):
    """A sum over elements: H = diag h, and `state` starts with h."""

    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return the number of elements."""
        shape = shape_of(y)
        if z_shape is not None and shape != tuple(z_shape):
            raise ValueError(
                f"the targets have shape {shape}, the model's output {tuple(z_shape)}; reshape one "
                "to the other"
            )
        return float(math.prod(shape))

    def _targets(self, z: Any, y: Any) -> Any:
        _Elementwise.terms(self, y, tuple(z.shape))
        return beside(z, y, z.dtype)

    def hessian_product(self, state: State, u: Any) -> Any:
        """Return h ⊙ u."""
        return state[0] * u

    def factor_product(self, state: State, w: Any) -> Any:
        """Return √h ⊙ w."""
        return namespace(w).sqrt(state[0]) * w

    def factor_transposed(self, state: State, u: Any) -> Any:
        """Return √h ⊙ u."""
        return self.factor_product(state, u)

    def sample(self, state: State, seed: int, index: int, first: int = 0) -> Any:
        """Return a normal g of variance h."""
        h = state[0]
        xi = draws.normal(_arrays.seed_of(seed), index, first, tuple(h.shape))
        return self.factor_product(state, beside(h, xi, h.dtype))


class _Quadratic(_Elementwise):
    """(scale / 2) Σ (z − y)²."""

    _scale: float

    def value(self, z: Any, y: Any) -> Any:
        """Return the scaled sum of squares."""
        r = z - self._targets(z, y)
        return self._scale / 2 * namespace(z).sum(r * r)

    def gradient(self, z: Any, y: Any) -> Any:
        """Return scale (z − y)."""
        return self._scale * (z - self._targets(z, y))

    def curvature(self, z: Any, y: Any) -> State:
        """Return h = scale, as an array that takes no memory where the framework has views."""
        self._targets(z, y)
        xp = namespace(z)
        return (xp.broadcast_to(beside(z, self._scale, z.dtype), tuple(z.shape)),)


class Squared(_Quadratic):
    """The squared error Σ (zₑ − yₑ)² over elements e; "mean" divides by all elements, as torch."""

    _scale = 2.0


class HalfSquared(_Quadratic):
    """Half the squared error ½ Σᵢ ‖zᵢ − yᵢ‖²; "mean" divides by the samples i, the first axis.

    The negative log-likelihood of normal targets of variance one, without its constant.
    """

    _scale = 1.0

    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return the number of samples."""
        super().terms(y, z_shape)
        return float((*shape_of(y), 1)[0])


class BCEWithLogits(_Elementwise):
    """Binary cross-entropy: Σ w [p y log(1 + e⁻ᶻ) + (1 − y) log(1 + eᶻ)], y of [0, 1].

    Parameters
    ----------
    weight : array, optional
        w, broadcast to the shape of z. As in torch, "mean" divides by the number of elements.
    pos_weight : array, optional
        p, the weight of positive targets, broadcast to the shape of z.
    reduction : {"mean", "sum"}

    Notes
    -----
    H = diag(w (1 + (p − 1) y) σ(z) σ(−z)).
    """

    def __init__(
        self, *, weight: Any = None, pos_weight: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.weight, self.pos_weight = constant(weight), constant(pos_weight)

    def _parts(self, z: Any, y: Any) -> tuple[Any, Any]:
        """Return w p y and w (1 − y), the weights of log(1 + e⁻ᶻ) and of log(1 + eᶻ)."""
        y = self._targets(z, y)
        one = namespace(z).ones_like(z) if self.weight is None else beside(z, self.weight, z.dtype)
        positive = one * y
        if self.pos_weight is not None:
            positive = positive * beside(z, self.pos_weight, z.dtype)
        return positive, one * (1 - y)

    def value(self, z: Any, y: Any) -> Any:
        """Return the sum, without overflow."""
        xp = namespace(z)
        positive, negative = self._parts(z, y)
        # Written so that the second derivative, too, exists at zero and does not overflow.
        zero = xp.zeros_like(z)
        rest = xp.log1p(xp.exp(-_magnitude(z)))
        above, below = xp.where(z >= 0, z, zero), xp.where(z >= 0, zero, -z)
        return xp.sum(positive * (below + rest) + negative * (above + rest))

    def gradient(self, z: Any, y: Any) -> Any:
        """Return (1 − y) w σ(z) − w p y σ(−z)."""
        positive, negative = self._parts(z, y)
        return negative * _sigmoid(z) - positive * _sigmoid(-z)

    def curvature(self, z: Any, y: Any) -> State:
        """Return h, σ(z), and the weight of each element."""
        positive, negative = self._parts(z, y)
        sigma, weight = _sigmoid(z), positive + negative
        return weight * sigma * _sigmoid(-z), sigma, weight

    def sample(self, state: State, seed: int, index: int, first: int = 0) -> Any:
        """Return √w (σ − ỹ) with ỹ drawn from σ."""
        _, sigma, weight = state
        xp = namespace(sigma)
        u = draws.uniform(_arrays.seed_of(seed), index, first, tuple(sigma.shape))
        drawn = xp.astype(beside(sigma, u, sigma.dtype) < sigma, sigma.dtype)
        return xp.sqrt(weight) * (sigma - drawn)


def _magnitude(z: Any) -> Any:
    return namespace(z).where(z >= 0, z, -z)


def _sigmoid(z: Any) -> Any:
    # Of two equal forms the one whose exponential does not overflow.
    xp = namespace(z)
    e = xp.exp(-_magnitude(z))
    return xp.where(z >= 0, xp.ones_like(z), e) / (1 + e)


class Poisson(_Elementwise):
    """Poisson negative log-likelihood: Σ eᶻ − y z, or Σ z − y log(z + ε) for z the rate itself.

    Parameters
    ----------
    log_input : bool
        Whether z is the logarithm of the rate.
    full : bool
        Add Stirling's approximation of log y!, which changes the value only.
    eps : float
        ε, for `log_input=False`.
    reduction : {"mean", "sum"}

    Notes
    -----
    H = diag(eᶻ), or diag(y / (z + ε)²), which depends on the targets and is not the Fisher
    information. `sample` draws a normal g: that of Poisson targets has the same second moment, and
    at small rates far more scatter.
    """

    def __init__(
        self,
        *,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full = bool(log_input), bool(full)
        self.eps = _arrays.nonnegative(eps, "eps")

    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return the number of elements; counts are not negative."""
        result = super().terms(y, z_shape)
        if result and not float(least := host(y).min()) >= 0:
            raise ValueError(f"the targets hold {least}; Poisson counts are at least 0")
        return result

    def value(self, z: Any, y: Any) -> Any:
        """Return the sum."""
        xp = namespace(z)
        y = self._targets(z, y)
        each = xp.exp(z) - y * z if self.log_input else z - y * xp.log(z + self.eps)
        if self.full:
            large = xp.where(y > 1, y, xp.ones_like(y))
            stirling = large * xp.log(large) - large + 0.5 * xp.log(2 * math.pi * large)
            each = each + xp.where(y > 1, stirling, xp.zeros_like(y))
        return xp.sum(each)

    def gradient(self, z: Any, y: Any) -> Any:
        """Return eᶻ − y, or 1 − y / (z + ε)."""
        y = self._targets(z, y)
        return namespace(z).exp(z) - y if self.log_input else 1 - y / (z + self.eps)

    def curvature(self, z: Any, y: Any) -> State:
        """Return h."""
        y = self._targets(z, y)
        return (namespace(z).exp(z) if self.log_input else y / (z + self.eps) ** 2,)


class Huber(_Elementwise):
    """Huber's loss: Σ ½ r² where |r| ≤ δ, else δ (|r| − δ/2), with r = z − y.

    Parameters
    ----------
    delta : float
        δ.
    reduction : {"mean", "sum"}

    Notes
    -----
    The curvature is that of Gauss-Newton, or of iteratively reweighted least squares:
    h = min(1, δ/|r|), with which ℓ + ∇ℓ·d + ½ h d² lies above the loss everywhere. The second
    derivative itself vanishes for |r| > δ.
    """

    def __init__(self, *, delta: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.delta = _arrays.positive(delta, "delta")

    def value(self, z: Any, y: Any) -> Any:
        """Return the sum."""
        xp = namespace(z)
        r = z - self._targets(z, y)
        size, d = xp.abs(r), self.delta
        return xp.sum(xp.where(size <= d, 0.5 * r * r, d * (size - 0.5 * d)))

    def gradient(self, z: Any, y: Any) -> Any:
        """Return r cut to [−δ, δ]."""
        return namespace(z).clip(z - self._targets(z, y), -self.delta, self.delta)

    def curvature(self, z: Any, y: Any) -> State:
        """Return h."""
        xp = namespace(z)
        size = xp.abs(z - self._targets(z, y))
        return (self.delta / xp.clip(size, self.delta, None),)
