"""The softmax cross-entropy, with all options of torch's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ritz import _arrays
from ritz.curvature import draws
from ritz.curvature.output_loss import OutputLoss, State, beside, constant, host, namespace

__all__ = ["CrossEntropy"]


class CrossEntropy(OutputLoss):
    """Softmax cross-entropy: −Σᵢ Σ_c W_c q_ic log softmax(zᵢ)_c.

    Parameters
    ----------
    weight : array (C,), optional
        W, a weight for each class.
    ignore_index : int
        Labels of this value are no terms.
    label_smoothing : float
        ε: q becomes (1 − ε) q + ε/C.
    axis : int
        The axis of z that the classes lie on: the last, or 1 as in `torch.nn.CrossEntropyLoss`.
        The targets are integers, of the shape of z without this axis (q is one at the label), or
        probabilities q of the shape of z.
    reduction : {"mean", "sum"}
        "mean" divides as torch does: by Σ W_y over the valid labels y, or by the number of rows
        where the targets are probabilities.

    Notes
    -----
    With p the softmax of a row and w = Σ_c W_c q_c: gradient w p − W ⊙ q, H = w (diag p − p pᵀ),
    S = √w (diag √p − p √pᵀ), g = √w (p − e) with e drawn from p.
    """

    axis: int

    def __init__(
        self,
        *,
        weight: Any = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.weight = constant(weight)
        if self.weight is not None and self.weight.ndim != 1:
            raise ValueError(f"weight has shape {self.weight.shape}; pass one weight a class")
        self.ignore_index = int(ignore_index)
        self.label_smoothing = _arrays.nonnegative(label_smoothing, "label_smoothing")
        if self.label_smoothing > 1:
            raise ValueError(f"label_smoothing is {label_smoothing!r}; pass a number of [0, 1]")
        self.axis = int(axis)

    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return Σ W_y over valid labels, or the number of rows of probabilities."""
        a = host(y)
        if z_shape is not None:
            self._check(a.dtype.kind == "f", a.shape, tuple(z_shape))
        if a.dtype.kind == "f":
            return float(a.size // a.shape[self._axis(a.ndim)]) if a.size else 0.0
        if a.dtype.kind not in "iu":
            raise TypeError(
                f"the targets have dtype {a.dtype}; pass labels, integers, or probabilities of the "
                "shape of the model's output"
            )
        valid = a[a != self.ignore_index]
        if valid.size == 0:
            return 0.0
        classes = self.weight.size if self.weight is not None else None
        if z_shape is not None:
            classes = z_shape[self._axis(len(z_shape))]
        low, high = int(valid.min()), int(valid.max())
        if low < 0 or (classes is not None and high >= classes):
            bad = low if low < 0 else high
            raise ValueError(
                f"the targets hold the label {bad}; classes are counted from 0"
                + (f" to {classes - 1}" if classes is not None else "")
                + f", and ignore_index is {self.ignore_index}"
            )
        return float(valid.size if self.weight is None else self.weight[valid].sum())

    def _axis(self, axes: int) -> int:
        return self.axis % axes if axes > 1 else 0

    def _check(self, soft: bool, y: tuple[int, ...], z: tuple[int, ...]) -> None:
        axis = self._axis(len(z)) if z else 0
        wanted = z if soft else z[:axis] + z[axis + 1 :]
        if not z or y != wanted:
            kind = "probabilities (they are no integers)" if soft else "labels"
            raise ValueError(
                f"the targets have shape {y}, the model's output {z} with the classes on axis "
                f"{axis}: {kind} need shape {wanted}; pass "
                "ritz.curvature.losses.CrossEntropy(axis=...) if the classes lie elsewhere"
            )
        if self.weight is not None and self.weight.size != z[axis]:
            raise ValueError(f"weight has {self.weight.size} elements for {z[axis]} classes")

    def _read(self, z: Any, y: Any) -> Any:
        """Return the targets beside z, after checking their shape."""
        y = beside(z, y)
        self._check(_is_soft(y), tuple(y.shape), tuple(z.shape))
        return y

    def _class_weights(self, z: Any) -> Any:
        axis = self._axis(z.ndim)
        W = np.ones(z.shape[axis]) if self.weight is None else self.weight
        shape = tuple(-1 if k == axis else 1 for k in range(z.ndim))
        return namespace(z).reshape(beside(z, W, z.dtype), shape)

    def _labels(self, z: Any, y: Any) -> tuple[Any, Any, Any]:
        """Return labels y, 0 where ignored, which of them count, and W_y, 0 where ignored."""
        xp = namespace(z)
        label = xp.expand_dims(beside(z, y, int), axis=self._axis(z.ndim))
        valid = label != self.ignore_index
        label = xp.where(valid, label, xp.zeros_like(label))
        weight = xp.reshape(self._class_weights(z), (-1,))[label]
        return label, valid, xp.where(valid, weight, xp.zeros_like(weight))

    def _weighted_targets(self, z: Any, y: Any) -> Any:
        """Return W ⊙ q, of the shape of z."""
        xp, eps = namespace(z), self.label_smoothing
        W, even = self._class_weights(z), eps / z.shape[self._axis(z.ndim)]
        if _is_soft(y):
            return W * ((1 - eps) * xp.astype(y, z.dtype) + even)
        label, valid, weight = self._labels(z, y)
        Q = xp.where(self._classes(z, label) == label, weight, xp.zeros_like(z))
        return (1 - eps) * Q + even * W * xp.astype(valid, z.dtype) if eps else Q

    def _row_weights(self, z: Any, y: Any) -> Any:
        """Return w = Σ_c W_c q_c with an axis of length one."""
        xp, axis, eps = namespace(z), self._axis(z.ndim), self.label_smoothing
        if _is_soft(y):
            return xp.sum(self._weighted_targets(z, y), axis=axis, keepdims=True)
        _, valid, weight = self._labels(z, y)
        if not eps:
            return weight
        mean = xp.mean(self._class_weights(z))
        return (1 - eps) * weight + eps * mean * xp.astype(valid, z.dtype)

    def value(self, z: Any, y: Any) -> Any:
        """Return the sum, without overflow."""
        xp, axis = namespace(z), self._axis(z.ndim)
        y = self._read(z, y)
        shifted = z - xp.max(z, axis=axis, keepdims=True)
        surprise = xp.log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True)) - shifted
        if _is_soft(y) or self.label_smoothing:
            return xp.sum(self._weighted_targets(z, y) * surprise)
        # A class that is no label may have the logit -inf, which counts for nothing.
        label, _, weight = self._labels(z, y)
        return xp.sum(weight * xp.take_along_axis(surprise, label, axis=axis))

    def gradient(self, z: Any, y: Any) -> Any:
        """Return w p − W ⊙ q."""
        y = self._read(z, y)
        return self._row_weights(z, y) * self._softmax(z) - self._weighted_targets(z, y)

    def curvature(self, z: Any, y: Any) -> State:
        """Return p and w."""
        y = self._read(z, y)
        return self._softmax(z), self._row_weights(z, y)

    def _softmax(self, z: Any) -> Any:
        xp, axis = namespace(z), self._axis(z.ndim)
        e = xp.exp(z - xp.max(z, axis=axis, keepdims=True))
        return e / xp.sum(e, axis=axis, keepdims=True)

    def _inner(self, a: Any, b: Any) -> Any:
        return namespace(a).sum(a * b, axis=self._axis(a.ndim), keepdims=True)

    def hessian_product(self, state: State, u: Any) -> Any:
        """Return w (p ⊙ u − p ⟨p, u⟩)."""
        p, w = state
        return w * p * (u - self._inner(p, u))

    def factor_product(self, state: State, w: Any) -> Any:
        """Return √w (√p ⊙ w − p ⟨√p, w⟩)."""
        p, weight = state
        xp = namespace(p)
        root = xp.sqrt(p)
        return xp.sqrt(weight) * (root * w - p * self._inner(root, w))

    def factor_transposed(self, state: State, u: Any) -> Any:
        """Return √w √p ⊙ (u − ⟨p, u⟩)."""
        p, weight = state
        return namespace(p).sqrt(weight * p) * (u - self._inner(p, u))

    def sample(self, state: State, seed: int, index: int, first: int = 0) -> Any:
        """Return √w (p − e) with e the unit vector of a class drawn from p."""
        p, weight = state
        xp, axis = namespace(p), self._axis(p.ndim)
        u = draws.uniform(_arrays.seed_of(seed), index, first, tuple(weight.shape))
        below = xp.cumulative_sum(p, axis=axis)
        whole = xp.max(below, axis=axis, keepdims=True)  # one, but for rounding
        above = xp.astype(below > beside(p, u, p.dtype) * whole, p.dtype)
        drawn = xp.argmax(above, axis=axis, keepdims=True)
        return xp.sqrt(weight) * (p - xp.astype(self._classes(p, drawn) == drawn, p.dtype))

    def _classes(self, z: Any, like: Any) -> Any:
        """Return 0 … C − 1 along the axis of classes, of the integer type of `like`."""
        axis = self._axis(z.ndim)
        each = beside(z, np.arange(z.shape[axis]), like.dtype)
        return namespace(z).reshape(each, tuple(-1 if k == axis else 1 for k in range(z.ndim)))


def _is_soft(y: Any) -> bool:
    # Not isdtype: it does not know a tracer's dtype in all frameworks.
    return "float" in str(y.dtype)
