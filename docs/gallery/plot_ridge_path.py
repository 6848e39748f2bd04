"""Ridge regression with fifty dampings, for the price of one solve.

How much to damp a regression is found by trying: solve for many dampings, keep the one that
predicts held-out data best. All of these problems share their Krylov space: the Golub-Kahan process
of LSQR does not know the damping, which enters a bidiagonal problem on the side. So `damps=` solves
for all of them with the products that the least damped one needs, and one more vector for each.
What comes on top is the proof: two products for each damping, which evaluate its residual before
anything is claimed of it.

The price is that of the hardest problem. One after another, the easier ones would not cost as much
as that, and fifty solves at once save less than a factor of fifty: here about nine. And where the
matrix is at hand and as small as here, a dense decomposition gives the path too, and faster;
that is the oracle of this script, and no longer an option when the matrix is known by its products.

The data are noisy samples of a function of four variables; the columns are random Fourier features.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
SAMPLES, FEATURES = (400, 200) if QUICK else (800, 400)
DAMPS = np.sqrt(SAMPLES) * np.geomspace(1e-2, 10, 50)
ATOL = 1e-8
NOISE = 0.5

rng = np.random.default_rng(0)
frequencies = rng.standard_normal((4, FEATURES)) * np.array([[1.5], [1.0], [0.7], [0.3]])
phases = rng.uniform(0, 2 * np.pi, FEATURES)


def features(points: np.ndarray) -> np.ndarray:
    """Cosines of random frequencies: the columns of the regression."""
    return np.cos(points @ frequencies + phases)


def sample(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points in a cube, and noisy values of the function there."""
    points = rng.uniform(-2, 2, (count, 4))
    values = np.sin(3 * points[:, 0]) * np.cos(points[:, 1]) + 0.5 * points[:, 2] * points[:, 3]
    return features(points), values + NOISE * rng.standard_normal(count)


matrix, b = sample(SAMPLES)
unseen, unseen_values = sample(SAMPLES)


def timed(solve, *arguments, **options):  # type: ignore[no-untyped-def]
    """Return what the solver returns, and the seconds that it took."""
    begin = time.perf_counter()
    result = solve(*arguments, **options)
    return result, time.perf_counter() - begin


A = ritz.LinearOperator(
    matrix.shape, matvec=lambda v: matrix @ v, rmatvec=lambda u: matrix.T @ u, dtype=np.float64
)
tight = {"atol": ATOL, "btol": 0.0, "conlim": 0.0}
path, seconds = timed(ritz.cgls, A, b, damps=DAMPS, **tight)
hardest, hardest_seconds = timed(ritz.lsqr, A, b, damp=DAMPS[0], **tight)
alone, alone_seconds = timed(lambda: [ritz.lsqr(A, b, damp=d, **tight) for d in DAMPS])

print(f"{SAMPLES} samples, {FEATURES} features, {len(DAMPS)} dampings")
print("                    iterations  products  seconds")
for title, iterations, products, elapsed in [
    ("the path at once", path.iterations, path.products.total, seconds),
    ("the least damped", hardest.iterations, hardest.products.total, hardest_seconds),
    (
        "one after another",
        sum(r.iterations for r in alone),
        sum(r.products.total for r in alone),
        alone_seconds,
    ),
]:
    print(f"{title:18} {iterations:11d} {products:9d} {elapsed:8.2f}")

# The oracle: all solutions from one eigenvalue decomposition. The damping keeps squares harmless.
(squares, V), dense_seconds = timed(lambda: np.linalg.eigh(matrix.T @ matrix))
exact = V @ ((V.T @ (matrix.T @ b))[:, None] / (squares[:, None] + DAMPS**2))
errors = np.linalg.norm(path.x - exact, axis=0) / np.linalg.norm(exact, axis=0)


def deviation(rows: np.ndarray, values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Root mean square of the deviation from the values, for each damping."""
    return np.sqrt(np.mean((rows @ x - values[:, None]) ** 2, axis=0))


training = deviation(matrix, b, path.x)
held_out = deviation(unseen, unseen_values, path.x)
best = int(np.argmin(held_out))
print(f"dense, by eigh of A'A{dense_seconds:28.2f}")
print(f"largest relative error of a solution: {errors.max():.1e}")
print(f"deviation on held-out data, noise {NOISE}:")
for j in (0, best, len(DAMPS) - 1):
    print(f"  damping {DAMPS[j]:6.2f}: {held_out[j]:.3f}, on the samples {training[j]:.3f}")

assert path.info == 0
assert all(r.info == 0 for r in alone)
# The whole path takes the iterations of its hardest member, and two more products each to verify.
assert abs(path.iterations / hardest.iterations - 1) < 0.02
assert path.products.total <= hardest.products.total + 2 * len(DAMPS)
assert A.counts.total == path.products.total + sum(
    r.products.total for r in [hardest, *alone]
)  # what the results say is what the closures saw
assert sum(r.products.total for r in alone) > 4 * path.products.total
# Every solution is right, and the choice of the damping is the one that exact solutions suggest.
assert errors.max() < 1e-3
assert best == int(np.argmin(deviation(unseen, unseen_values, exact)))
assert held_out[best] < 0.97 * held_out[0]
assert held_out[best] < 0.7 * held_out[-1]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.semilogx(DAMPS, held_out, color="tab:blue", label="held-out data")
left.semilogx(DAMPS, training, color="0.6", label="the samples")
left.plot(DAMPS[best], held_out[best], "o", color="tab:blue")
left.axhline(NOISE, color="black", linewidth=0.8, linestyle="--", label="noise")
left.set_xlabel("damping")
left.set_ylabel("root mean square of the deviation")
left.set_title("The path, and the damping to choose")
left.legend()
backwards = DAMPS[::-1]
each = np.array([r.products.total for r in alone])[::-1]
together = 2 * np.array([c.iterations for c in path.columns])[::-1]
checks = 2 * np.arange(1, len(DAMPS) + 1)
right.loglog(backwards, np.cumsum(each), color="tab:red", label="one after another")
right.loglog(backwards, together + checks, color="tab:blue", label="at once")
right.invert_xaxis()
right.set_xlabel("damping, from the strongest on")
right.set_ylabel("products so far")
right.set_title(f"{len(DAMPS)} solves and one Krylov space")
right.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_ridge_path.png", dpi=120)
