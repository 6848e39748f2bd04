"""The network of `mlp_numpy`, differentiated by torch.

Products come from graphs kept at the point: with w ↦ Jᵀw recorded once, J v is one backward pass
through it, and Jᵀ u one through the network; nothing is recorded again for a product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ritz.demo.mlp_numpy import CLASSES, CUT, HIDDEN, PIXELS

__all__ = ["Network", "SoftmaxCrossEntropy"]

Tensor = Any  # torch's own annotations are not checked here


class Network:
    """The logits of all images as a function of x, and the products with its Jacobian.

    Parameters
    ----------
    images : array (N, 64)
    """

    def __init__(self, images: npt.NDArray[np.float64]) -> None:
        self._images = torch.tensor(images)

    def _logits(self, x: Tensor) -> Tensor:
        W1 = x[:CUT].reshape(PIXELS + 1, HIDDEN)
        W2 = x[CUT:].reshape(HIDDEN + 1, CLASSES)
        hidden = torch.tanh(torch.addmm(W1[-1], self._images, W1[:-1]))
        return torch.addmm(W2[-1], hidden, W2[:-1]).reshape(-1)

    def model(self, x: Tensor) -> Tensor:
        """Return the logits, shape (10 N,)."""
        with torch.no_grad():
            return self._logits(x)

    def linearize(
        self, x: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        """Return the logits at x, v ↦ J v and u ↦ Jᵀ u, which share their graphs."""
        point = x.detach().clone().requires_grad_()
        logits = self._logits(point)
        dummy = torch.zeros_like(logits, requires_grad=True)
        (pulled,) = torch.autograd.grad(logits, point, dummy, create_graph=True)

        def jvp(v: Tensor) -> Tensor:
            return torch.autograd.grad(pulled, dummy, v, retain_graph=True)[0]

        def vjp(u: Tensor) -> Tensor:
            return torch.autograd.grad(logits, point, u, retain_graph=True)[0]

        return logits.detach(), jvp, vjp

    def jvp(self, x: Tensor, v: Tensor) -> Tensor:
        """Return J(x) v, shape (10 N,)."""
        return self.linearize(x)[1](v)

    def vjp(self, x: Tensor, u: Tensor) -> Tensor:
        """Return J(x)ᵀ u, shape (2410,)."""
        return self.linearize(x)[2](u)


class SoftmaxCrossEntropy:
    """ℓ(z) = −(1/N) Σᵢ log softmax(zᵢ)[yᵢ]: gradient (p − e_y)/N, Hessian (diag p − p pᵀ)/N.

    Parameters
    ----------
    labels : array of integers (N,)
    """

    def __init__(self, labels: npt.NDArray[np.int64]) -> None:
        self._labels = torch.tensor(labels)
        self._target = torch.nn.functional.one_hot(self._labels, CLASSES).to(torch.float64)

    def value(self, z: Tensor) -> float:
        """Return ℓ(z)."""
        return float(torch.nn.functional.cross_entropy(z.reshape(-1, CLASSES), self._labels))

    def gradient(self, z: Tensor) -> Tensor:
        """Return ∇ℓ(z), shape (10 N,)."""
        p = torch.softmax(z.reshape(-1, CLASSES), dim=1)
        return ((p - self._target) / len(self._labels)).reshape(-1)

    def hessian_product(self, z: Tensor, u: Tensor) -> Tensor:
        """Return ∇²ℓ(z) u, shape (10 N,)."""
        p = torch.softmax(z.reshape(-1, CLASSES), dim=1)
        U = u.reshape(-1, CLASSES)
        return (p * (U - (p * U).sum(dim=1, keepdim=True)) / len(self._labels)).reshape(-1)
