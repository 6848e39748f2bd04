"""Least squares that do not depend on the units of A: the condition estimate of LSMR under scaling.

Multiplying A by a constant changes neither its condition number nor the work of solving a
least-squares problem with it. The published recurrences of LSMR start from a constant one that
enters the condition estimate, so that implementations which follow them report a condition number
that grows like 1/scale and give up early on a harmless matrix. ritz leaves that constant out. (The
estimate itself is a rough one, from the diagonal of a triangular factor: it tells the order of
magnitude.)
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scipy.sparse.linalg as spla

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
M, N = (90, 30) if QUICK else (300, 100)
SCALES = 10.0 ** np.arange(-14, 15, 4 if QUICK else 1)
TIGHT = {"atol": 1e-10, "btol": 1e-10}

rng = np.random.default_rng(0)
A = rng.standard_normal((M, N))
b = rng.standard_normal(M)
condition = float(np.linalg.cond(A))
solution = np.linalg.lstsq(A, b, rcond=None)[0]

ours = [ritz.lsmr(scale * A, b, **TIGHT) for scale in SCALES]
theirs = [spla.lsmr(scale * A, b, **TIGHT) for scale in SCALES]

print(f"condition number of A: {condition:.3f}")
print("   scale  ritz: status, iterations, cond   SciPy: istop, iterations, cond")
for scale, r, s in zip(SCALES, ours, theirs, strict=True):
    print(
        f"{scale:8.0e}  {r.status.name:>14} {r.iterations:11d} {r.cond_a:6.2f} "
        f"{s[1]:16d} {s[2]:10d} {s[6]:8.2g}"
    )

reference = ours[int(np.flatnonzero(SCALES == 1e-2)[0])]
for scale, r in zip(SCALES, ours, strict=True):
    # The same status, the same iterations (±1), the same estimate, the same solution.
    assert r.status == reference.status == ritz.Status.converged
    assert abs(r.iterations - reference.iterations) <= 1
    assert abs(r.cond_a / reference.cond_a - 1) < 1e-6
    assert condition / 10 < r.cond_a < condition * 1.1
    assert np.linalg.norm(scale * r.x - solution) <= 1e-8 * np.linalg.norm(solution)
# The estimate that keeps the constant is off by orders of magnitude for small A.
assert theirs[0][6] > 1e3 * condition

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.loglog(SCALES, [s[6] for s in theirs], "s", color="tab:red", label="SciPy's lsmr")
axes.loglog(SCALES, [r.cond_a for r in ours], "o", color="tab:blue", label="ritz.lsmr")
axes.axhline(condition, color="black", linewidth=0.8, linestyle="--", label="true condition number")
axes.set_xlabel("scale of A")
axes.set_ylabel("estimated condition number")
axes.set_title(f"A Gaussian {M} × {N} matrix, multiplied by a constant")
axes.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_lsmr_scale.png", dpi=120)
