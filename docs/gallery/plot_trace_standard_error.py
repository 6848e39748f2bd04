"""Does the standard error of a trace estimate tell the truth?

`ritz.trace` averages z'Az over random sign vectors z and reports a standard error. If that error is
honest, the deviation from the exact trace in units of it is nearly standard normal: about 68 % of
the runs lie within one standard error, about 95 % within two. Here the matrix is small enough that
the exact trace is known, and the estimator is run under many seeds.
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
N = 200
SAMPLES = 100
RUNS = 300 if QUICK else 2000

rng = np.random.default_rng(0)
basis = np.linalg.qr(rng.standard_normal((N, N)))[0]
matrix = basis * np.geomspace(1.0, 1e-3, N) @ basis.T
A = ritz.aslinearoperator(matrix)
exact = float(np.trace(matrix))

estimates = [ritz.trace(A, samples=SAMPLES, seed=seed) for seed in range(RUNS)]
values = np.array([e.value for e in estimates])
errors = np.array([e.stderr for e in estimates])
deviation = (values - exact) / errors
within = [float(np.mean(np.abs(deviation) <= k)) for k in (1, 2, 3)]
# The variance of one sample is 2 ‖A - diag(A)‖²_F: a formula, not an estimate.
predicted = float(np.sqrt(2 * (np.sum(matrix**2) - np.sum(np.diag(matrix) ** 2)) / SAMPLES))

print(f"exact trace {exact:.4f}, first estimate {values[0]:.4f} ± {errors[0]:.4f}")
print(f"standard error: mean reported {errors.mean():.4f}, by the formula {predicted:.4f}")
print(f"observed spread of the estimates {values.std():.4f}")
print("within 1, 2, 3 standard errors: " + ", ".join(f"{100 * w:.1f} %" for w in within))

assert abs(errors.mean() / predicted - 1) < 0.05
assert abs(values.std() / predicted - 1) < 0.15
assert abs(within[0] - 0.68) < 0.08
assert abs(within[1] - 0.95) < 0.04
# With as many samples as rows the diagonal is summed instead, and the error is zero.
whole = ritz.trace(A, samples=N)
assert whole.method == "exact"
assert whole.stderr == 0
assert abs(whole.value - exact) < 1e-12 * exact

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
shown = slice(0, 40)
left.errorbar(
    np.arange(40), values[shown], yerr=errors[shown], fmt="o", color="tab:blue", markersize=3
)
left.axhline(exact, color="black", linewidth=0.8, linestyle="--", label="exact trace")
left.set_xlabel("seed")
left.set_ylabel("estimate ± standard error")
left.set_title(f"{SAMPLES} products each")
left.legend()
grid = np.linspace(-4, 4, 200)
right.hist(deviation, bins=30, range=(-4, 4), density=True, color="tab:blue", alpha=0.5)
right.plot(
    grid, np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi), color="black", label="standard normal"
)
right.set_xlabel("(estimate − trace) / standard error")
right.set_ylabel("density")
right.set_title(f"{RUNS} seeds")
right.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_trace_standard_error.png", dpi=120)
