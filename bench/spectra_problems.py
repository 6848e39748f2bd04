"""What bench/spectra.py asks for: matrices with known spectra, a network, residuals of answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.sparse as sp
import scipy.sparse.linalg as spla

Array = npt.NDArray[Any]


class Counted(spla.LinearOperator):
    """A, with the number of columns that it and its adjoint have multiplied."""

    def __init__(self, A: Any) -> None:
        super().__init__(np.dtype(A.dtype), A.shape)
        self.A, self.AT, self.products = A, A.T.conj().tocsr(), 0

    def _matvec(self, x: Array) -> Any:
        self.products += 1
        return self.A @ x

    def _rmatvec(self, x: Array) -> Any:
        self.products += 1
        return self.AT @ x

    def _matmat(self, X: Array) -> Any:
        self.products += X.shape[1]
        return self.A @ X

    def _rmatmat(self, X: Array) -> Any:
        self.products += X.shape[1]
        return self.AT @ X


@dataclass
class Problem:
    """Eigenpairs or singular triplets that are wanted of A, and what is known of them."""

    name: str
    A: Any
    wanted: Array  # ascending
    norm: float  # ‖A‖
    rtol: float  # of the residuals, relative to ‖A‖
    which: str  # "LA", "SA" or "singular"

    @property
    def k(self) -> int:
        return len(self.wanted)

    def missed(self, values: Array) -> int:
        """How many of the wanted values are not there, copies counted."""
        found, slack, missed = list(values), 2.0 * self.rtol * self.norm, 0
        for value in self.wanted:
            near = [w for w in found if abs(w - value) <= slack]
            if near:
                found.remove(near[0])
            else:
                missed += 1
        return missed

    def residual(self, values: Array, vectors: Array, left: Array | None = None) -> float:
        """The largest ‖A v − λ v‖ / ‖A‖ of unit v, or of both singular equations together."""
        V = vectors / np.linalg.norm(vectors, axis=0)
        if left is None:
            R = np.linalg.norm(self.A @ V - V * values, axis=0)
        else:
            U = left / np.linalg.norm(left, axis=0)
            R = np.hypot(
                np.linalg.norm(self.A @ V - U * values, axis=0),
                np.linalg.norm(self.A.T @ U - V * values, axis=0),
            )
        return float(np.max(R) / self.norm)


def gallery(name: str, k: int) -> Problem:
    """The k largest eigenvalues of a matrix that comes with pyamg."""
    from pyamg.gallery import load_example

    A = sp.csr_array(load_example(name)["A"])
    if abs(A - A.T).max() > 0:
        raise ValueError(f"{name} is not symmetric")
    w = np.linalg.eigvalsh(A.toarray())
    return Problem(name, A, w[-k:], abs(w).max(), 1e-8, "LA")


def laplacian(sides: tuple[int, ...], k: int, rtol: float) -> Problem:
    """The k smallest eigenvalues of the finite-difference Laplacian of a box, Dirichlet."""
    A: Any = sp.csr_array((1, 1))
    for side in sides:
        line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(side, side))
        A = sp.kronsum(line, A) if A.shape != (1, 1) else line
    w = np.zeros(1)
    for side in sides:
        line = 4.0 * np.sin(np.pi * np.arange(1, side + 1) / (2 * side + 2)) ** 2
        w = np.sort(np.add.outer(w, line[: k + 1]).ravel())[: 10 * k]
    A = sp.csr_array(A)
    A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
    norm = sum(4.0 * np.sin(np.pi * s / (2 * s + 2)) ** 2 for s in sides)
    return Problem("×".join(map(str, sides)) + " Laplacian", A, w[:k], norm, rtol, "SA")


def rectangle(m: int, n: int, k: int) -> Problem:
    """The k largest singular values of a sparse matrix of random normal entries, 10 a row."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(m), 10)
    columns = rng.integers(0, n, rows.size)
    A = sp.csr_array((rng.standard_normal(rows.size), (rows, columns)), shape=(m, n))
    s = np.sort(spla.svds(A, k, tol=0, return_singular_vectors=False, random_state=0))
    return Problem(f"random sparse {m}×{n}", A, s, s[-1], 1e-8, "singular")


class PowerLaw(spla.LinearOperator):
    """Eigenvalues j^−p, j = 1 … n, with eigenvectors that look like noise to any sampler."""

    def __init__(self, n: int, p: float) -> None:
        super().__init__(np.dtype(float), (n, n))
        rng = np.random.default_rng(0)
        self.signs = rng.choice([-1.0, 1.0], n)
        self.values = rng.permutation(np.arange(1.0, n + 1.0) ** -p)
        self.trace = float(self.values.sum())

    def _matmat(self, X: Array) -> Any:
        Y = scipy.fft.dct(self.signs[:, None] * X, axis=0, norm="ortho")
        Y = scipy.fft.idct(self.values[:, None] * Y, axis=0, norm="ortho")
        return self.signs[:, None] * Y

    def _matvec(self, x: Array) -> Any:
        return self._matmat(x.reshape(-1, 1))[:, 0]

    _rmatvec, _rmatmat = _matvec, _matmat


class Network:
    """A trained MLP 64-32-10 on scikit-learn's digits, in float64, and the products of its Hessian.

    The products by double backward are shared with no library, and decide about residuals.
    """

    def __init__(self) -> None:
        import torch
        from sklearn.datasets import load_digits

        torch.manual_seed(0)
        images, labels = load_digits(return_X_y=True)
        self.X, self.y = torch.tensor(images / 16.0), torch.tensor(labels)
        self.module = torch.nn.Sequential(
            torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10)
        ).double()
        self.loss = torch.nn.CrossEntropyLoss()
        optimizer = torch.optim.Adam(self.module.parameters(), 1e-2)
        for _ in range(100):
            optimizer.zero_grad()
            self.loss(self.module(self.X), self.y).backward()
            optimizer.step()
        optimizer.zero_grad()
        self.parameters = list(self.module.parameters())
        self.n = sum(p.numel() for p in self.parameters)
        grads = torch.autograd.grad(
            self.loss(self.module(self.X), self.y), self.parameters, create_graph=True
        )
        self.gradient = torch.cat([g.reshape(-1) for g in grads])

    def product(self, v: Array) -> Array:
        import torch

        with torch.enable_grad():
            H = torch.autograd.grad(
                self.gradient, self.parameters, torch.tensor(v), retain_graph=True
            )
        return np.concatenate([h.numpy().ravel() for h in H])

    def problem(self, k: int, rtol: float) -> Problem:
        A = np.stack([self.product(e) for e in np.eye(self.n)])
        w = np.linalg.eigvalsh((A + A.T) / 2.0)
        if -w[0] > w[-k]:
            raise ValueError("the largest magnitudes are not the largest values")
        return Problem(f"Hessian of an MLP, n = {self.n}", A, w[-k:], w[-1], rtol, "LA")
