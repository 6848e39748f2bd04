"""Eigenvalues with a bound on each: the low modes of a drum, checked against the formula.

The second differences on a rectangle have the eigenvalues 4 sin²(πi/2(p+1)) + 4 sin²(πj/2(q+1)),
so every error can be computed. ritz returns the residual norm of each pair beside it; by Weyl's
inequality an eigenvalue lies within that distance, and the picture shows that it does, by a wide
margin where the gaps are large.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
P, Q = (23, 16) if QUICK else (61, 44)
K = 12


def laplacian(u: np.ndarray) -> np.ndarray:
    """Apply the negated five-point Laplacian of a P × Q grid with zero boundary values."""
    grid = u.reshape(P, Q)
    result = 4 * grid
    result[1:] -= grid[:-1]
    result[:-1] -= grid[1:]
    result[:, 1:] -= grid[:, :-1]
    result[:, :-1] -= grid[:, 1:]
    return result.ravel()


A = ritz.LinearOperator((P * Q, P * Q), matvec=laplacian, dtype=np.float64)
loose = ritz.eigsh(A, k=K, which="SA", tol=1e-5, seed=1)
tight = ritz.eigsh(A, k=K, which="SA", seed=1)

rows = 4 * np.sin(np.pi * np.arange(1, P + 1) / (2 * (P + 1))) ** 2
columns = 4 * np.sin(np.pi * np.arange(1, Q + 1) / (2 * (Q + 1))) ** 2
exact = np.sort((rows[:, None] + columns[None, :]).ravel())[:K]

print("tolerance  products  largest error  largest bound")
for name, result in [("1e-5", loose), ("default", tight)]:
    errors = np.abs(result.w - exact)
    print(
        f"{name:9}  {result.products.matvec:8d}  {errors.max():13.1e}  {result.bounds.max():13.1e}"
    )
    assert result.converged
    # The bound holds for every eigenvalue, and the residuals are those of the pairs returned.
    assert np.all(errors <= result.bounds)
    residuals = [
        np.linalg.norm(laplacian(result.V[:, i]) - result.w[i] * result.V[:, i]) for i in range(K)
    ]
    np.testing.assert_allclose(residuals, result.residuals, rtol=1e-3, atol=1e-14)
    np.testing.assert_allclose(result.V.T @ result.V, np.eye(K), atol=1e-12)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
index = np.arange(1, K + 1)
left.semilogy(index, loose.bounds, "_", markersize=14, color="tab:blue", label="bound, tol=1e-5")
left.semilogy(index, np.abs(loose.w - exact), "o", color="tab:blue", label="error, tol=1e-5")
left.semilogy(index, tight.bounds, "_", markersize=14, color="tab:green", label="bound, default")
tiny = np.finfo(float).eps / 10  # an error of exactly zero is drawn at the bottom
left.semilogy(
    index, np.maximum(np.abs(tight.w - exact), tiny), "o", color="tab:green", label="error, default"
)
left.set_xlabel("eigenvalue, from the smallest")
left.set_ylabel("distance to the exact eigenvalue")
left.set_title("Every error is below its bound")
left.legend()
mode = tight.V[:, 5].reshape(P, Q)
right.imshow(mode.T, cmap="RdBu", vmin=-abs(mode).max(), vmax=abs(mode).max(), origin="lower")
right.set_title(f"The sixth mode, eigenvalue {tight.w[5]:.6f}")
right.set_xlabel("row of the grid")
right.set_ylabel("column of the grid")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_eigsh_laplacian.png", dpi=120)
