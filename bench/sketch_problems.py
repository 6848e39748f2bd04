"""The problems of sketch.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.optimize

import ritz
import ritz.precond

Array = npt.NDArray[np.float64]


def decaying(m: int, n: int, power: float) -> tuple[Array, Array]:
    """Return an m × n matrix with singular values j^(−power), and these."""
    rng = np.random.default_rng(7)
    s = np.arange(1, n + 1) ** -power
    U = np.linalg.qr(rng.standard_normal((m, n)))[0]
    V = np.linalg.qr(rng.standard_normal((n, n)))[0]
    return (U * s) @ V.T, s


def backward_error(A: Array, b: Array, x: Array) -> float:
    """Return Karlson and Waldén's estimate of the backward error of x, over ‖A‖_F.

    Within a factor √2 of the least ‖[ΔA, θ Δb]‖_F that makes x exact, θ = ‖A‖_F / ‖b‖.
    """
    r = b - A @ x
    norm_a = np.linalg.norm(A)
    theta = norm_a / np.linalg.norm(b)
    size = theta**2 * (r @ r) / (1.0 + theta**2 * (x @ x))
    s, Vt = np.linalg.svd(np.linalg.qr(A, mode="r"))[1:]
    g = Vt @ (A.T @ r)
    error = theta / np.sqrt(1.0 + theta**2 * (x @ x)) * np.linalg.norm(g / np.sqrt(s**2 + size))
    return float(error / norm_a)


class KernelRidge:
    """(K + μ) x = b for a Gaussian kernel between n points of a cube, d_eff(μ) = `dimension`."""

    def __init__(self, n: int, dimension: float) -> None:
        rng = np.random.default_rng(8)
        self.n = n
        points = rng.uniform(size=(n, 3))
        squares = np.sum(points**2, axis=1)
        distances = np.maximum(squares[:, None] + squares - 2.0 * points @ points.T, 0.0)
        K = np.exp(-distances / (2.0 * 0.2**2))
        self.A = ritz.aslinearoperator(K)
        self.A.symmetric = True
        values = np.maximum(np.linalg.eigvalsh(K), 0.0)

        def effective(log_mu: float) -> float:
            return float(np.sum(values / (values + 10.0**log_mu)))

        log_mu: Any = scipy.optimize.brentq(lambda t: effective(t) - dimension, -12.0, 6.0)
        self.mu = 10.0**log_mu
        self.dimension = effective(log_mu)
        self.b = np.sin(5.0 * points.sum(axis=1)) + 0.1 * rng.standard_normal(n)

    def preconditioned(self, rank: int | None = None) -> Any:
        """Solve with a preconditioner that is made here, so that its cost counts."""
        M = ritz.precond.nystrom(self.A, self.mu, rank=rank, seed=1)
        return ritz.cg(self.A + self.mu, self.b, M=M, rtol=1e-8, maxiter=20_000)
