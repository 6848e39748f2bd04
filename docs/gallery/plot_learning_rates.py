"""Learning rates from the spectrum, by stochastic Lanczos quadrature.

What gradient descent does to a quadratic is known once its eigenvalues are: after t steps the
component along an eigenvector of λ is multiplied by a polynomial p_t(λ), (1 − ηλ)^t for a fixed
step. A few Lanczos runs from random vectors give nodes and weights that stand for all eigenvalues.
From these follow, without a single step of descent,

    the limit of stability           η < 2/λ₁,
    the best fixed step in the end   η = 2/(λ₁ + λₙ),
    heavy ball                       η = 4/(√λ₁ + √λₙ)²,  β = ((√λ₁ − √λₙ)/(√λ₁ + √λₙ))²,
    the Chebyshev iteration          steps that vary, for eigenvalues between λₙ and λ₁,

and also the whole curve of the loss, n/2 Σ wᵢ λᵢ p_t(λᵢ)² for a random start, so that the step that
is best after t steps can be looked up. All of it is verified by descent: on the quadratic model of
a logistic regression of handwritten digits, whose curves are the predicted ones, and on the real
loss, which near its minimum behaves like its model.

Granziol, Zohren, Roberts: Learning rates as a function of batch size: a random matrix theory
approach to neural network training. JMLR 23, 2022. Polyak: Some methods of speeding up the
convergence of iteration methods. USSR Comput. Math. Math. Phys. 4, 1964.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

try:
    import torch
    from sklearn.datasets import load_digits
except ImportError as missing:
    print(f"{missing.name} is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt
from torch.nn.functional import cross_entropy

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
SAMPLES, STEPS, PROBES, LANCZOS = (300, 150, 4, 40) if QUICK else (1000, 250, 16, 40)
CLASSES, RIDGE, SMALL = 10, 1e-3, 0.005

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))[:SAMPLES]
x, y = torch.tensor(images[order] / 16), torch.tensor(labels[order])


def loss(W: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the logits x W, and a ridge."""
    return cross_entropy(x @ W, y) + 0.5 * RIDGE * W.square().sum()


# The minimum, by Newton's method with the exact Hessian: 20 steps of conjugate gradients each.
minimum = torch.zeros(64, CLASSES, dtype=torch.float64)
H = ritz.hessian(loss, minimum)
for _ in range(12):
    minimum = minimum - ritz.cg(H, H.gradient(), rtol=1e-3).x
    H.update(minimum)
n = H.shape[0]
lowest = H.value()
assert float(torch.linalg.norm(H.gradient())) < 1e-8

# ---- the spectrum -------------------------------------------------------------------------------

density = ritz.spectral_density(H, probes=PROBES, steps=LANCZOS, scale="log", seed=1)
nodes, weights = np.concatenate(density.nodes), np.concatenate(density.weights) / PROBES
high, low = float(nodes.max()), float(nodes.min())
dense = H.to_dense()  # the oracle
exact = np.linalg.eigvalsh(dense.numpy())
print(f"{n} parameters, {density.products.total} products: {low:.6f} ≤ λ ≤ {high:.6f}")
print(f"dense Hessian:                     {exact[0]:.6f} ≤ λ ≤ {exact[-1]:.6f}")
assert abs(high / exact[-1] - 1) < 1e-6
assert abs(low / exact[0] - 1) < 1e-2

# ---- methods, by their steps --------------------------------------------------------------------

Rule = Callable[[], Iterator[tuple[float, float]]]


def fixed(rate: float, momentum: float = 0.0) -> Rule:
    """x ← x − η g + β (x − last x), always with the same η and β."""

    def rule() -> Iterator[tuple[float, float]]:
        while True:
            yield rate, momentum

    return rule


def chebyshev(low: float, high: float) -> Rule:
    """The same with the η and β of each step that the Chebyshev polynomials for [λₙ, λ₁] give."""

    def rule() -> Iterator[tuple[float, float]]:
        middle, half = (high + low) / 2, (high - low) / 2
        rate = 1 / middle
        yield rate, 0.0
        rate = 1 / (middle - half**2 / (2 * middle))
        yield rate, rate * middle - 1
        while True:
            rate = 1 / (middle - half**2 * rate / 4)
            yield rate, rate * middle - 1

    return rule


root_high, root_low = high**0.5, low**0.5
ball = 4 / (root_high + root_low) ** 2, ((root_high - root_low) / (root_high + root_low)) ** 2
methods = {
    "fixed, 1/λ₁": fixed(1 / high),
    "fixed, 2/(λ₁+λₙ)": fixed(2 / (high + low)),
    "heavy ball": fixed(*ball),
    "Chebyshev": chebyshev(low, high),
}


def predicted(rule: Rule, steps: int) -> np.ndarray:
    """Return the mean excess loss of random starts after each step: n/2 Σ w λ p_t(λ)²."""
    curve, p, last = [], np.ones_like(nodes), np.ones_like(nodes)
    for (rate, momentum), _ in zip(rule(), range(steps + 1), strict=False):
        curve.append(0.5 * n * float(np.sum(weights * nodes * p**2)))
        p, last = p - rate * nodes * p + momentum * (p - last), p
    return np.array(curve)


def descend(
    rule: Rule, gradient: Callable, value: Callable, start: torch.Tensor, steps: int
) -> np.ndarray:
    """Return the excess loss of descent from a start, after each step."""
    curve, at, last = [], start, start
    for (rate, momentum), _ in zip(rule(), range(steps + 1), strict=False):
        curve.append(np.asarray(value(at)))
        at, last = at - rate * gradient(at) + momentum * (at - last), at
    return np.array(curve)


# ---- the quadratic model ------------------------------------------------------------------------

torch.manual_seed(1)
offsets = torch.randn(n, 32, dtype=torch.float64)


def model_value(D: torch.Tensor) -> torch.Tensor:
    """Excess of the quadratic model at offsets from the minimum, the columns of D."""
    return 0.5 * (D * (dense @ D)).sum(dim=0)


forecast = {name: predicted(rule, STEPS) for name, rule in methods.items()}
starts = {
    name: descend(rule, lambda D: dense @ D, model_value, offsets, STEPS)
    for name, rule in methods.items()
}
measured = {name: curves.mean(axis=1) for name, curves in starts.items()}
kappa = high / low
factors = {
    "fixed, 1/λ₁": 1 - 1 / kappa,
    "fixed, 2/(λ₁+λₙ)": (kappa - 1) / (kappa + 1),
    "heavy ball": (kappa**0.5 - 1) / (kappa**0.5 + 1),
    "Chebyshev": (kappa**0.5 - 1) / (kappa**0.5 + 1),
}
print(f"\ncondition number {kappa:.0f}; excess loss after {STEPS} steps, from 1 at the start")
print("method             predicted  quadratic   factor a step, in the worst case")
for name, curve in measured.items():
    seen = forecast[name] > 1e-24 * forecast[name][0]  # below that, rounding
    ratio = curve[seen] / forecast[name][seen]
    ends = forecast[name][-1] / forecast[name][0], curve[-1] / curve[0]
    print(f"{name:17}  {ends[0]:9.2e}  {ends[1]:9.2e}   {factors[name]:.4f}")
    # A few modes remain in the end; of one alone, the weights know no more than √(2/probes).
    assert 1 / 3 < ratio.min() <= ratio.max() < 3
best = min(measured, key=lambda name: measured[name][-1])
assert best in ("heavy ball", "Chebyshev")
assert measured[best][-1] < 0.1 * measured["fixed, 1/λ₁"][-1]

# Just below the limit of stability, and just above.
for share, stable in [(1.98, True), (2.02, False)]:
    curve = descend(fixed(share / high), lambda D: dense @ D, model_value, offsets, STEPS)[:, 0]
    print(f"step {share}/λ₁: excess loss after {STEPS} steps {curve[-1]:.1e}")
    assert (curve[-1] < curve[0]) == stable

# The step that is best after so many steps depends on how many; the nodes know.
shares = np.linspace(0.5, 1.99, 150)
print("\nsteps   best η λ₁ predicted  on the quadratic")
for steps in (10, 50, STEPS):
    guess = [predicted(fixed(s / high), steps)[-1] for s in shares]
    # p_t at every eigenvalue: what a descent for each of the steps would end at.
    every = [float(np.sum(exact * (1 - s / high * exact) ** (2 * steps))) for s in shares]
    guessed, true = float(shares[np.argmin(guess)]), float(shares[np.argmin(every)])
    print(f"{steps:5d}  {guessed:19.2f}  {true:16.2f}")
    assert every[np.argmin(guess)] < 1.1 * min(every)

# ---- the real loss ------------------------------------------------------------------------------


def gradient(W: torch.Tensor) -> torch.Tensor:
    """Gradient of the real loss."""
    return torch.func.grad(loss)(W)


def excess(W: torch.Tensor) -> float:
    """Excess of the real loss over its minimum."""
    return float(loss(W)) - lowest


near = minimum + SMALL * offsets[:, 0].reshape(64, CLASSES)
real = {name: descend(rule, gradient, excess, near, STEPS) for name, rule in methods.items()}
print(f"\nthe real loss, from {SMALL} of the offset: steps to a part of the excess at the start")
print("method             part     quadratic  real")
for name, curve in real.items():
    expected = SMALL**2 * starts[name][:, 0]
    part = max(1e-6, 2 * expected[-1] / expected[0])
    steps = [int(np.argmax(c <= part * expected[0])) for c in (expected, curve)]
    print(f"{name:17}  {part:7.1e}  {steps[0]:9d}  {steps[1]:4d}")
    assert steps[1] > 0
    assert abs(steps[1] - steps[0]) < 0.25 * steps[0]

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
grid = np.geomspace(low / 3, 3 * high, 600)
left.semilogx(grid, density.density(grid), color="tab:blue", label="by quadrature")
left.plot(exact, np.full(n, -0.05), "|", color="0.4", label="dense Hessian")
for value, name in [(low, "λₙ"), (high, "λ₁")]:
    left.axvline(value, color="tab:red", linestyle=":", linewidth=0.8)
    left.text(0.9 * value, 1.8, name, color="tab:red", ha="right")
left.set_xlabel("eigenvalue of the Hessian")
left.set_ylabel("density per decade")
left.set_title("Spectrum at the minimum")
left.legend(fontsize="small")
colours = ("0.5", "tab:orange", "tab:blue", "tab:green")
dots = np.unique(np.geomspace(1, STEPS, 25).astype(int))
for (name, curve), colour in zip(forecast.items(), colours, strict=True):
    middle.semilogy(curve, color=colour, linewidth=1, label=name)
    middle.semilogy(dots, measured[name][dots], "o", color=colour, markersize=3)
    right.semilogy(SMALL**2 * starts[name][:, 0], color=colour, linewidth=1)
    right.semilogy(dots, real[name][dots], "o", color=colour, markersize=3)
middle.set_xlabel("step")
middle.set_ylabel("excess loss")
middle.set_title("Quadratic: predicted, 32 runs (dots)")
middle.legend(fontsize="small")
right.set_xlabel("step")
right.set_ylabel("excess loss")
right.set_ylim(1e-15, None)
right.set_title("One start: model, real loss (dots)")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_learning_rates.png", dpi=120)
