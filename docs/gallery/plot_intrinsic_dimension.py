"""How many dimensions does a network need? Training in random subspaces.

A network of n = 2,410 parameters that reads handwritten digits is trained in d random directions
from where it starts, x = x₀ + P θ, with only the d numbers θ free. With few directions there is no
good network among them; from some d on there is one nearly as good as in all n dimensions. The
least d at 90 % of the full accuracy is the intrinsic dimension of the problem for this network:
what the data ask for, not how many parameters there are.

The maps P come in three kinds: dense random numbers, eight nonzeros in a row, and products of
Hadamard transforms, of which the last two need O(n) memory. They tell the same dimension.

Li, Farkhoor, Liu, Yosinski: Measuring the intrinsic dimension of objective landscapes. ICLR 2018.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz
from ritz.demo import digits, mlp_numpy

try:
    from scipy.optimize import minimize

    data = digits.load()
except ImportError as missing:
    print(f"{missing.name or 'scikit-learn'} is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
KINDS = ("dense", "sparse", "fastfood")
FEW, ALL = (25, 50, 100, 200, 400, 800), (10, 20, 40, 60, 90, 130, 200, 300, 450, 800)
DIMENSIONS = FEW if QUICK else ALL
SEEDS = 1 if QUICK else 3
STEPS, L2 = 100, 2e-4
n = mlp_numpy.PARAMETERS

network = mlp_numpy.Network(data.train_images)
loss = mlp_numpy.SoftmaxCrossEntropy(data.train_labels)
testing = mlp_numpy.Network(data.test_images)


def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the regularised loss of the network at x, and its gradient."""
    logits, _, vjp = network.linearize(x)
    return loss.value(logits) + 0.5 * L2 * x @ x, vjp(loss.gradient(logits)) + L2 * x


def accuracy(x: np.ndarray) -> float:
    """Share of the test images that the network at x reads right."""
    logits = testing.model(x).reshape(-1, mlp_numpy.CLASSES)
    return float(np.mean(logits.argmax(axis=1) == data.test_labels))


def train(P: ritz.LinearOperator | None, x0: np.ndarray) -> np.ndarray:
    """Minimise over x₀ + P θ, or over all x, by as many steps of L-BFGS."""

    def along(theta: np.ndarray) -> tuple[float, np.ndarray]:
        if P is None:
            return value_and_gradient(x0 + theta)
        value, gradient = value_and_gradient(x0 + P @ theta)
        return value, P.T @ gradient

    start = np.zeros(n if P is None else P.shape[1])
    theta = minimize(along, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    return x0 + (theta if P is None else P @ theta)


starts = [mlp_numpy.start(seed) for seed in range(SEEDS)]
full = float(np.mean([accuracy(train(None, x0)) for x0 in starts]))
curves = {
    kind: np.array(
        [
            [
                accuracy(train(ritz.subspace(n, d, kind=kind, seed=100 * d + seed), x0))
                for seed, x0 in enumerate(starts)
            ]
            for d in DIMENSIONS
        ]
    ).mean(axis=1)
    for kind in KINDS
}


def crossing(curve: np.ndarray, level: float) -> float:
    """Return the d where a curve first reaches a level, between two d by interpolation in log d."""
    k = int(np.argmax(curve >= level))
    assert curve[k] >= level
    if k == 0:
        return float(DIMENSIONS[0])
    share = (level - curve[k - 1]) / (curve[k] - curve[k - 1])
    low, high = np.log(DIMENSIONS[k - 1 : k + 1])
    return float(np.exp(low + share * (high - low)))


print(f"{n} parameters, all of them trained: {full:.1%} of the test images read right")
print("   d     " + "  ".join(f"{kind:>8s}" for kind in KINDS))
for k, d in enumerate(DIMENSIONS):
    print(f"{d:5d}    " + "  ".join(f"{curves[kind][k]:8.1%}" for kind in KINDS))
intrinsic = {kind: crossing(curves[kind], 0.9 * full) for kind in KINDS}
print("90 % at  " + "  ".join(f"{intrinsic[kind]:8.0f}" for kind in KINDS))

assert full > 0.94
for kind in KINDS:
    # What 90 % takes is a small part of the parameters, and more than ten for each class.
    assert 100 < intrinsic[kind] < 350
    assert curves[kind][-1] > 0.96 * full
middle = np.median(list(intrinsic.values()))
assert max(intrinsic.values()) < 1.6 * middle
assert min(intrinsic.values()) > middle / 1.6
# From the intrinsic dimension on the kinds agree within the noise of a few hundred images.
late = np.array(DIMENSIONS) >= 1.5 * middle
spread = np.ptp([curves[kind][late] for kind in KINDS], axis=0)
assert spread.max() < (0.06 if QUICK else 0.04)

figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
for kind, colour in zip(KINDS, ("#1f77b4", "#2ca02c", "#d62728"), strict=True):
    axes.semilogx(DIMENSIONS, curves[kind], "o-", color=colour, markersize=4, label=kind)
axes.axhline(full, color="black", linewidth=1)
axes.text(DIMENSIONS[0], full, "all parameters", fontsize="small", va="bottom")
axes.axhline(0.9 * full, color="grey", linewidth=1, linestyle="--")
axes.text(DIMENSIONS[0], 0.9 * full, "90 % of it", fontsize="small", va="bottom")
axes.axvline(middle, color="grey", linewidth=1, linestyle=":")
axes.set_xlabel(f"dimension d of the random subspace, of n = {n:,}")
axes.set_ylabel("accuracy on test images")
axes.set_title(f"Intrinsic dimension about {middle:.0f}")
axes.legend(title="P", loc="lower right")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_intrinsic_dimension.png", dpi=120)
