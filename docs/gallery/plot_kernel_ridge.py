"""Kernel ridge regression on 20,000 points, without the kernel matrix.

The system (K + μI) a = y has a kernel matrix K of 400 million entries. Here they are computed in
tiles whenever a product with K needs them and forgotten at once: a product is expensive, a product
with many columns little more, for each entry serves all of them. That is what a Nyström sketch asks
for: a few hundred columns at once. The preconditioner that it makes leaves conjugate gradients a
handful of iterations, where a hundred without it have hardly begun; and from the same sketch comes
that of every other μ.

Frangella, Tropp, Udell: Randomized Nyström preconditioning. SIAM J. Matrix Anal. Appl. 44, 2023.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

try:
    import matplotlib as mpl
except ImportError as missing:
    print(f"{missing.name} is not installed: nothing to show")
    sys.exit(0)
import numpy as np

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
N, PLAIN = (1500, 60) if QUICK else (20_000, 100)
WIDTH, NOISE, TILE = 0.6, 0.1, 500
MU = 1e-6 * N

rng = np.random.default_rng(0)


def truth(x: np.ndarray) -> np.ndarray:
    """Return what is to be learned from noisy values at random points of a cube."""
    return np.sin(4 * x[:, 0]) * x[:, 1] + np.exp(-4 * x[:, 2] ** 2)


points = rng.uniform(-1, 1, (N, 3))
y = truth(points) + NOISE * rng.standard_normal(N)
scaled = points / WIDTH
half = 0.5 * np.square(scaled).sum(axis=1)


def tile(rows: slice, columns: slice) -> np.ndarray:
    """Return exp(−‖x_i − x_j‖² / 2w²) for some i and j, from a product of small matrices."""
    exponent = scaled[rows] @ scaled[columns].T
    exponent -= half[rows, None]
    exponent -= half[columns]
    return np.exp(exponent, out=exponent)


def kernel_times(X: np.ndarray) -> np.ndarray:
    """Return K X for the columns of X, each tile of the symmetric K computed once."""
    Y = np.zeros(X.shape)
    for i in range(0, N, TILE):
        rows = slice(i, i + TILE)
        for j in range(i, N, TILE):
            columns = slice(j, j + TILE)
            entries = tile(rows, columns)
            Y[rows] += entries @ X[columns]
            if j > i:
                Y[columns] += entries.T @ X[rows]
    return Y


K = ritz.LinearOperator((N, N), kernel_times, matmat=kernel_times, dtype=np.float64, symmetric=True)

start = time.perf_counter()
P = ritz.precond.nystrom(K, MU, block=64)
sketching = time.perf_counter() - start
print(f"{N} points, mu = {MU:g}: sketch of rank {P.rank}, {P.sketch_products.columns} columns")
print(f"  {sketching:.1f} s, estimated bound of the condition number {P.condition_bound:.1f}")

runs = {}
for title, M, limit in [("none", None, PLAIN), ("Nyström", P, None)]:
    runs[title] = run = ritz.cg(K + MU, y, rtol=1e-5, M=M, maxiter=limit, history=True)
    print(
        f"  {title:8} {run.iterations:3d} iterations, {run.seconds:5.1f} s: residual "
        f"{run.residual / np.linalg.norm(y):.1e}, {run.status.name}"
    )
plain, nystrom = runs["none"], runs["Nyström"]
assert nystrom.converged
assert nystrom.iterations <= 25
assert not plain.converged
assert plain.residual > 20 * nystrom.residual

# The same sketch for other μ: the error at new points tells which is best.
fresh = rng.uniform(-1, 1, (500, 3))
distances2 = np.stack([np.square(points - x).sum(axis=1) for x in fresh])
cross = np.exp(-0.5 * distances2 / WIDTH**2)
factors = [1, 100, 10_000]
errors = []
for factor in factors:
    mu = factor * MU
    run = nystrom if factor == 1 else ritz.cg(K + mu, y, rtol=1e-5, M=P.at(mu))
    assert run.converged
    errors.append(np.sqrt(np.mean((cross @ run.x - truth(fresh)) ** 2)))
    print(f"  mu = {mu:7.3g}: {run.iterations:3d} iterations, error at new points {errors[-1]:.4f}")
assert min(errors) < 0.5 * NOISE

if QUICK:  # the oracle: the matrix itself
    everything = slice(0, N)
    dense = tile(everything, everything) + MU * np.eye(N)
    exact = np.linalg.solve(dense, y)
    assert np.linalg.norm(dense @ nystrom.x - y) <= 2e-5 * np.linalg.norm(y)
    assert np.abs(cross @ (exact - nystrom.x)).max() < 0.01

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
for title, run, colour in [
    ("no preconditioner", plain, "0.5"),
    (f"Nyström, rank {P.rank}", nystrom, "tab:blue"),
]:
    steps = np.arange(1, len(run.history) + 1)
    left.semilogy(steps, run.history / np.linalg.norm(y), color=colour, label=title)
left.axhline(1e-5, color="black", linestyle=":", label="tolerance")
left.set_xlabel("iteration of conjugate gradients")
left.set_ylabel("relative residual")
left.set_title(f"Kernel system of {N:,} points")
left.legend(fontsize="small")
right.loglog([f * MU for f in factors], errors, "o-", color="tab:blue", label="kernel ridge")
right.axhline(NOISE, color="black", linestyle=":", label="noise of the data")
right.set_xlabel("μ")
right.set_ylabel("root mean square error at new points")
right.set_title("Three μ from one sketch")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_kernel_ridge.png", dpi=120)
