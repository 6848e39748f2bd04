"""A success that is none: conjugate gradients in float32, with and without verification.

Conjugate gradients update the residual by a recurrence. In exact arithmetic that recurrence is
b - A x; in float32 the two part company, and the recurrence goes on falling after the truth has
stopped. Without verification the run below reports success at a relative residual of 1e-6 although
the true one is thousands of times larger. With verification (the default) ritz evaluates b - A x
before it claims anything, restarts from it, and says that the precision is at its limit. In
float64 the same request is met.
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
SIDE = 120 if QUICK else 300
RTOL = 1e-6


def poisson(u: np.ndarray) -> np.ndarray:
    """Apply the five-point Laplacian of a square grid with zero boundary values."""
    grid = u.reshape(SIDE, SIDE)
    result = 4 * grid
    result[1:] -= grid[:-1]
    result[:-1] -= grid[1:]
    result[:, 1:] -= grid[:, :-1]
    result[:, :-1] -= grid[:, 1:]
    return result.ravel()


def true_residual(x: np.ndarray, b: np.ndarray) -> float:
    """Relative residual of x, evaluated in float64 whatever the precision of x."""
    b = b.astype(np.float64)
    return float(np.linalg.norm(b - poisson(x.astype(np.float64))) / np.linalg.norm(b))


n = SIDE * SIDE
single = ritz.LinearOperator((n, n), matvec=poisson, dtype=np.float32)
double = ritz.LinearOperator((n, n), matvec=poisson, dtype=np.float64)
b = np.ones(n, dtype=np.float32)
norm_b = float(np.linalg.norm(b.astype(np.float64)))

claimed: list[float] = []
actual: list[float] = []


def record(state: ritz.Iteration) -> None:
    """Keep what the recurrence says, and what is true."""
    claimed.append(state.residual / norm_b)
    actual.append(true_residual(state.x, b))


unverified = ritz.cg(single, b, rtol=RTOL, verify=False, callback=record)
verified = ritz.cg(single, b, rtol=RTOL)
exact = ritz.cg(double, b.astype(np.float64), rtol=RTOL)

for title, result in [
    ("float32, unverified", unverified),
    ("float32, verified", verified),
    ("float64, verified", exact),
]:
    print(
        f"{title:20}  {result.status.name:16} {result.iterations:5d} iterations, "
        f"true relative residual {true_residual(result.x, b):.1e}"
    )

# The unverified run believes that it succeeded, and says in the result that it did not look.
assert unverified.info == 0
assert not unverified.verified
assert true_residual(unverified.x, b) > 50 * RTOL
# The verified run makes no false claim, and what it reports is true to the rounding of float32.
assert verified.status == ritz.Status.precision_limit
assert verified.info != 0
assert 0.5 < verified.residual / norm_b / true_residual(verified.x, b) < 2
# In float64 the promise is kept.
assert exact.info == 0
assert exact.verified
assert true_residual(exact.x, b) <= RTOL

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.semilogy(actual, color="tab:red", label="true residual, evaluated in float64")
axes.semilogy(claimed, color="tab:blue", label="residual by the recurrence, in float32")
axes.axhline(RTOL, color="black", linewidth=0.8, linestyle="--", label="requested")
axes.set_xlabel("iteration of conjugate gradients")
axes.set_ylabel(r"$\|b - Ax\| \,/\, \|b\|$")
axes.set_title(f"Poisson on a {SIDE} × {SIDE} grid in float32: the recurrence leaves the truth")
axes.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_cg_verified.png", dpi=120)
