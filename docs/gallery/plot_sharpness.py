"""Sharpness along training: full-batch gradient descent at the edge of stability.

On a quadratic, gradient descent with steps η diverges where an eigenvalue of the Hessian exceeds
2/η. A network does not: the largest eigenvalue λ₁, the sharpness, first grows by itself, reaches
2/η and stays about there, or falls to it at once where it began above. The loss is no longer
monotone, and still goes down. With steps so short that 2/η stays out of reach, nothing of this
happens. All three are shown for a network that learns handwritten digits by squared errors.

λ₁ is computed every few steps, and the eigenvector of the last time is where the next search
starts. Far from the edge that takes a third of the products of a random start or less. At the edge
the eigenvector is what the iteration throws about, several eigenvalues crowd together and cross,
and less is saved; for a while the search may stay with an eigenvalue that another has just
overtaken. How much λ₁ is off by then is printed, too.

Cohen, Kaur, Li, Kolter, Talwalkar: Gradient descent on neural networks typically occurs at the edge
of stability. ICLR 2021.
"""

from __future__ import annotations

import os
import sys
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

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN, SAMPLES, STEPS, EVERY = (16, 200, 500, 10) if QUICK else (32, 500, 2000, 5)
RATES = (0.4, 0.2, 0.02)

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))[:SAMPLES]
x = torch.tensor(images[order] / 16)
y = torch.nn.functional.one_hot(torch.tensor(labels[order]), 10).double()

Batch = tuple[torch.Tensor, torch.Tensor]


def loss(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    """Half the squared error of a digit, in the mean."""
    inputs, targets = batch
    return 0.5 * (model(inputs) - targets).square().sum(dim=1).mean()


def network() -> torch.nn.Module:
    """Return the same untrained network every time."""
    torch.manual_seed(0)
    layers = (
        torch.nn.Linear(64, HIDDEN),
        torch.nn.Tanh(),
        torch.nn.Linear(HIDDEN, HIDDEN),
        torch.nn.Tanh(),
        torch.nn.Linear(HIDDEN, 10),
    )
    return torch.nn.Sequential(*layers).double()


def descend(rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train; return the losses of all steps, rows of step and λ₁ found both ways, and products."""
    model = network()
    H = ritz.hessian(loss, model, (x, y))
    losses, rows, products = [], [], []
    v = None
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            H.update()
            warm = ritz.eigsh(H, k=1, which="LA", tol=1e-2, v0=v, ncv=6)
            cold = ritz.eigsh(H, k=1, which="LA", tol=1e-2, ncv=6, seed=step)
            assert warm.converged
            assert cold.converged
            v = warm.V[:, 0]
            rows.append((step, float(warm.w[0]), float(cold.w[0])))
            products.append((warm.products.total, cold.products.total))
        model.zero_grad()
        value = loss(model, (x, y))
        value.backward()
        losses.append(float(value.detach()))
        with torch.no_grad():
            for p in model.parameters():
                p -= rate * p.grad
    return np.array(losses), np.array(rows), np.array(products)


runs = {rate: descend(rate) for rate in RATES}
n = sum(p.numel() for p in network().parameters())
print(f"{n} parameters, {SAMPLES} digits, {STEPS} steps, λ₁ every {EVERY}")
print("                       λ₁                      loss           products        λ₁")
print("  rate    2/η    first  highest   late  ·η/2   at end  rises   warm   cold   off by")
for rate, (losses, rows, products) in runs.items():
    sharpness = rows[:, 1]
    late = sharpness[2 * len(sharpness) // 3 :]
    rises = float(np.mean(np.diff(losses) > 0))
    warm, cold = products[1:].mean(axis=0)
    off = np.abs(sharpness / rows[:, 1:].max(axis=1) - 1)
    print(
        f"{rate:6.2f}  {2 / rate:5.1f}  {sharpness[0]:7.2f}  {sharpness.max():7.2f}  "
        f"{late.mean():5.2f}  {late.mean() * rate / 2:4.2f}  {losses[-1]:7.4f}  {rises:5.0%}  "
        f"{warm:5.1f}  {cold:5.1f}   {off.max():6.1%}"
    )
    assert off.max() < 0.1
    assert np.mean(off > 0.01) < 0.1
    assert losses[-1] < 0.5 * losses[0]
    if rate == min(RATES):  # far below the edge: plain descent
        assert sharpness.max() < 0.5 * 2 / rate
        assert rises == 0
    else:  # at the edge, and no quadratic would have stayed there
        assert 0.95 < late.mean() * rate / 2 < 1.2
        assert np.mean(late > 2 / rate) > 0.5
        assert rises > 0.1
total = np.concatenate([products[1:] for _, _, products in runs.values()]).sum(axis=0)
print(f"products in all: {total[0]} from the last eigenvector, {total[1]} from random vectors")
assert total[0] < 0.6 * total[1]

if QUICK:  # the oracle: a dense Hessian, before training
    H = ritz.hessian(loss, network(), (x, y))
    exact = np.linalg.eigvalsh(H.to_dense().numpy())[-1]
    assert abs(runs[RATES[0]][1][0, 1] / exact - 1) < 1e-2

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for rate, colour in zip(RATES, ("tab:red", "tab:blue", "0.5"), strict=True):
    losses, rows, _ = runs[rate]
    left.plot(
        rows[:, 0],
        rows[:, 1],
        color=colour,
        linewidth=1,
        label=f"λ₁ for η = {rate}, 2/η = {2 / rate:g}",
    )
    if rate != min(RATES):
        left.axhline(2 / rate, color=colour, linestyle="--", linewidth=0.8)
        left.text(STEPS, 2 / rate - 0.1, f"2/η = {2 / rate:g}", color=colour, ha="right", va="top")
    right.semilogy(losses, color=colour, linewidth=0.8, label=f"η = {rate}")
left.set_ylim(0, None)
left.set_xlabel("step of full-batch gradient descent")
left.set_ylabel("largest eigenvalue of the Hessian")
left.set_title("Sharpness and the edge of stability")
left.legend(fontsize="small")
right.set_xlabel("step of full-batch gradient descent")
right.set_ylabel("half the squared error")
right.set_title("The loss goes down, not monotonically")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_sharpness.png", dpi=120)
