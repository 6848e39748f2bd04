"""A network 64-32-10 with tanh and softmax cross-entropy, its derivatives written out in NumPy.

With a column of ones for the biases, and W₁ (65, 32), W₂ (33, 10) one after the other in x (2410,):

    H = tanh([X 1] W₁),   Z = [H 1] W₂,   ℓ(Z) = −(1/N) Σᵢ log softmax(Zᵢ)[yᵢ].

Along V = (V₁, V₂), and backwards from U of the shape of Z:

    J V  = ((1 − H²) ⊙ [X 1] V₁) W₂' + [H 1] V₂,
    Jᵀ U = ([X 1]ᵀ ((1 − H²) ⊙ U W₂'ᵀ), [H 1]ᵀ U),     W₂' = W₂ without its biases.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

__all__ = ["CLASSES", "HIDDEN", "PARAMETERS", "PIXELS", "Network", "SoftmaxCrossEntropy", "start"]

Array = npt.NDArray[np.float64]

PIXELS, HIDDEN, CLASSES = 64, 32, 10
CUT = (PIXELS + 1) * HIDDEN  # where W₂ begins in x
PARAMETERS = CUT + (HIDDEN + 1) * CLASSES


def start(seed: int = 0) -> Array:
    """Return random weights of variance 1 / (inputs of the layer), and biases of zero."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((PIXELS + 1, HIDDEN)) / np.sqrt(PIXELS)
    second = rng.standard_normal((HIDDEN + 1, CLASSES)) / np.sqrt(HIDDEN)
    first[-1], second[-1] = 0.0, 0.0
    return np.concatenate([first.ravel(), second.ravel()])


def weights(x: Array) -> tuple[Array, Array]:
    """Cut x into W₁ and W₂: views, no copies."""
    return x[:CUT].reshape(PIXELS + 1, HIDDEN), x[CUT:].reshape(HIDDEN + 1, CLASSES)


def with_ones(images: Array) -> Array:
    """Append the column of ones that the biases multiply."""
    return np.column_stack([images, np.ones(len(images))])


class Network:
    """The logits of all images as a function of x, and the products with its Jacobian.

    Parameters
    ----------
    images : array (N, 64)
    """

    def __init__(self, images: Array) -> None:
        self._images = with_ones(images)

    def model(self, x: Array) -> Array:
        """Return the logits, shape (10 N,)."""
        W1, W2 = weights(x)
        hidden = np.tanh(self._images @ W1)
        logits = hidden @ W2[:-1]
        logits += W2[-1]
        return logits.ravel()

    def linearize(
        self, x: Array
    ) -> tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]:
        """Return the logits at x, v ↦ J v and u ↦ Jᵀ u, which share one forward pass."""
        W1, W2 = (W.copy() for W in weights(x))
        hidden = np.tanh(self._images @ W1)
        slope = 1.0 - hidden**2
        hidden_ones = with_ones(hidden)
        backward = np.ascontiguousarray(W2[:-1].T)
        scratch = np.empty_like(hidden)  # of both products: they run one after the other

        def jvp(v: Array) -> Array:
            V1, V2 = weights(v)
            np.matmul(self._images, V1, out=scratch)
            np.multiply(scratch, slope, out=scratch)
            logits = hidden_ones @ V2
            logits += scratch @ W2[:-1]
            return logits.ravel()

        def vjp(u: Array) -> Array:
            U = u.reshape(-1, CLASSES)
            np.matmul(U, backward, out=scratch)
            np.multiply(scratch, slope, out=scratch)
            result = np.empty(PARAMETERS)
            R1, R2 = weights(result)
            np.matmul(self._images.T, scratch, out=R1)
            np.matmul(hidden_ones.T, U, out=R2)
            return result

        return (hidden_ones @ W2).ravel(), jvp, vjp

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
        self._rows = np.arange(labels.size)
        self._labels = labels
        self._at: Array | None = None
        self._softmax: Array = np.empty((labels.size, CLASSES))

    def _log_softmax(self, z: Array) -> Array:
        logits = z.reshape(-1, CLASSES)
        shifted: Array = logits - logits.max(axis=1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return shifted

    def _probabilities(self, z: Array) -> Array:
        # Many Hessian products follow at one z: its exponentials are taken once.
        if self._at is None or not np.array_equal(self._at, z):
            self._softmax = np.exp(self._log_softmax(z))
            self._at = z.copy()
        return self._softmax

    def value(self, z: Array) -> float:
        """Return ℓ(z)."""
        return -float(np.mean(self._log_softmax(z)[self._rows, self._labels]))

    def gradient(self, z: Array) -> Array:
        """Return ∇ℓ(z), shape (10 N,)."""
        difference = self._probabilities(z).copy()
        difference[self._rows, self._labels] -= 1.0
        difference /= self._labels.size
        return difference.ravel()

    def hessian_product(self, z: Array, u: Array) -> Array:
        """Return ∇²ℓ(z) u, shape (10 N,)."""
        p = self._probabilities(z)
        U = u.reshape(-1, CLASSES)
        product: Array = U - np.einsum("ij,ij->i", p, U)[:, None]
        product *= p
        product /= self._labels.size
        return product.ravel()
