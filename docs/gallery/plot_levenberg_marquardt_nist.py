"""Fitting a curve by closures: NIST's Misra1a from both of its starting points.

The model b1 (1 - exp(-b2 x)) has two parameters that differ by six orders of magnitude. The
Jacobian is never formed: one closure multiplies it by a vector, another its transpose. ritz
measures the length of its columns to scale the damping, so that the disparate units do no harm.
The certified values are those of the National Institute of Standards and Technology, Statistical
Reference Datasets, Misra1a (data by D. Misra, 1978; in the public domain).
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

# Pressure and volume, one pair a line.
DATA = """
    77.6 10.07
    114.9 14.73
    141.1 17.94
    190.8 23.93
    239.9 29.61
    289.0 35.18
    332.8 40.02
    378.4 44.82
    434.8 50.76
    477.3 55.05
    536.8 61.01
    593.1 66.40
    689.1 75.47
    760.0 81.78
"""
X, Y = np.array(DATA.split(), dtype=float).reshape(-1, 2).T
STARTS = [np.array([500.0, 1e-4]), np.array([250.0, 5e-4])]
CERTIFIED = np.array([2.3894212918e02, 5.5015643181e-04])
CERTIFIED_RSS = 1.2455138894e-01


def residual(b: np.ndarray) -> np.ndarray:
    """Fitted minus observed volumes."""
    return -b[0] * np.expm1(-b[1] * X) - Y


def jvp(b: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Directional derivative of the residual."""
    return -np.expm1(-b[1] * X) * v[0] + b[0] * X * np.exp(-b[1] * X) * v[1]


def vjp(b: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Transposed Jacobian times u."""
    return np.array([-np.expm1(-b[1] * X) @ u, (b[0] * X * np.exp(-b[1] * X)) @ u])


report = ritz.check(residual, STARTS[1], jvp=jvp, vjp=vjp)
assert report.passed, str(report)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for number, start in enumerate(STARTS, 1):
    costs: list[float] = []
    result = ritz.least_squares(
        residual, start, jvp=jvp, vjp=vjp, callback=lambda s, costs=costs: costs.append(s.cost)
    )
    digits = -np.log10(np.abs(result.x / CERTIFIED - 1).max())
    print(
        f"start {number}: {result.status.name}, {result.iterations} iterations, "
        f"{result.products.total} products, b = {result.x[0]:.8f} {result.x[1]:.6e}, "
        f"{digits:.1f} digits"
    )
    assert result.converged
    assert digits >= 4
    assert abs(2 * result.cost / CERTIFIED_RSS - 1) < 1e-8
    right.semilogy(
        range(1, len(costs) + 1), 2 * np.array(costs), "o-", markersize=4, label=f"start {number}"
    )

x = np.linspace(0, 800, 200)
left.plot(x, -result.x[0] * np.expm1(-result.x[1] * x), color="tab:blue", label="fitted")
left.plot(X, Y, "o", color="black", markersize=4, label="observed")
left.set_xlabel("pressure")
left.set_ylabel("volume")
left.set_title("Misra1a")
left.legend()
right.axhline(CERTIFIED_RSS, color="black", linewidth=0.8, linestyle="--", label="certified")
right.set_xlabel("trial step")
right.set_ylabel("residual sum of squares")
right.set_title("Both starts reach the certified value")
right.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_levenberg_marquardt_nist.png", dpi=120)
