"""Gradient descent happens in a tiny subspace. Does it?

The Hessian of a classifier has about as many large eigenvalues as there are classes. Once training
is under way, most of the gradient lies in the span of their eigenvectors: ten directions of
thousands, nearly the same ones from then on. Both are shown for stochastic gradient descent on
handwritten digits, with the eigenvectors computed again and again from the last ones.

Two more runs tell what this does not mean. Full-batch gradient descent, with steps short enough to
be stable, has next to nothing of its gradient there: it has settled in the steep directions, where
the noise of the batches keeps throwing stochastic descent off. And steps with only the ten
components, or with all but them, from the same point: it is the others that learn.

Gur-Ari, Roberts, Dyer: Gradient descent happens in a tiny subspace. arXiv 1812.04754, 2018. Song,
Ahn, Yun: Does SGD really happen in tiny subspaces? ICLR 2025.
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
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector, vector_to_parameters

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN, SAMPLES = (16, 400) if QUICK else (64, 1000)
CLASSES, BATCH, RATE = 10, 64, 0.3
CHECKPOINTS = (0, 10, 20, 40, 80, 160, 320) if QUICK else (0, 5, 10, 20, 40, 80, 160, 320, 640)
# Where the split runs begin, how long they are, and after how many steps eigenvectors are renewed.
SPLIT, LENGTH, EVERY = (160, 100, 20) if QUICK else (160, 300, 10)

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))[:SAMPLES]
x, y = torch.tensor(images[order] / 16), torch.tensor(labels[order])


def network() -> torch.nn.Module:
    """Return the same untrained network every time."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(64, HIDDEN), torch.nn.GELU(), torch.nn.Linear(HIDDEN, CLASSES)
    return torch.nn.Sequential(*layers).double()


class TopSpace:
    """The top eigenvectors V (n, classes) of the Hessian where a model is, found from the last."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.H = ritz.hessian(model, None, (x, y), "cross_entropy")
        self.products: list[int] = []
        self.V: torch.Tensor | None = None

    def renew(self) -> torch.Tensor:
        """Move to where the model is now; return V."""
        self.H.update()
        v0 = None if self.V is None else self.V.sum(dim=1)
        found = ritz.eigsh(self.H, k=CLASSES, which="LA", v0=v0, tol=1e-4)
        assert found.converged
        self.products.append(found.products.total)
        self.V = found.V
        return self.V

    def share(self, V: torch.Tensor) -> float:
        """Share of the squared norm of the whole gradient that lies in the span of V."""
        g = parameters_to_vector(self.H.gradient().values())
        return float((V.T @ g).square().sum() / g.square().sum())


def train(batch: int, steps: int) -> tuple[np.ndarray, TopSpace, torch.Tensor]:
    """Train; return rows of step, loss, share and overlap, the last space, and where SPLIT was."""
    model = network()
    space, last, rows = TopSpace(model), None, []
    split = torch.empty(0)
    batches = torch.Generator().manual_seed(1)
    for step in range(steps + 1):
        if step in CHECKPOINTS:
            V = space.renew()
            overlap = np.nan if last is None else float((last.T @ V).square().sum() / CLASSES)
            rows.append((step, space.H.value(), space.share(V), overlap))
            last = V
        if step == SPLIT:
            split = parameters_to_vector(model.parameters()).detach().clone()
        if step == steps:
            break
        chosen = torch.randperm(SAMPLES, generator=batches)[:batch]
        model.zero_grad()
        cross_entropy(model(x[chosen]), y[chosen]).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= RATE * p.grad
    return np.array(rows), space, split


stochastic, space, split = train(BATCH, CHECKPOINTS[-1])
smooth, smooth_space, _ = train(SAMPLES, CHECKPOINTS[-1])
n = space.H.shape[0]

print(f"{n} parameters; {CLASSES} directions are {CLASSES / n:.2%} of the space")
print(f"          batches of {BATCH}                        all {SAMPLES} at once")
print("step     loss  share  overlap  products       loss  share  overlap  products")
for row, other, a, b in zip(stochastic, smooth, space.products, smooth_space.products, strict=True):
    print(
        f"{row[0]:4.0f}  {row[1]:7.4f}  {row[2]:5.3f}  {row[3]:7.2f}  {a:8d}    "
        f"{other[1]:7.4f}  {other[2]:5.3f}  {other[3]:7.2f}  {b:8d}"
    )
late = stochastic[:, 0] >= SPLIT
assert stochastic[late, 2].min() > 0.7
assert stochastic[late, 3].min() > 0.8
assert smooth[late, 2].max() < 0.05
assert smooth[late, 3].min() > 0.8
# The last eigenvectors are far cheaper to start from than a random vector.
assert max(space.products[-2:]) < 0.8 * space.products[0]

# ---- the ten directions alone, and all others ---------------------------------------------------


def train_split(part: str, steps: int) -> np.ndarray:
    """Go on from the split with a part of each step; return the loss after each."""
    model = network()
    vector_to_parameters(split.clone(), model.parameters())
    space = TopSpace(model)
    batches = torch.Generator().manual_seed(2)
    losses = []
    for step in range(steps):
        if step % EVERY == 0 and part != "all":
            V = space.renew()
        chosen = torch.randperm(SAMPLES, generator=batches)[:BATCH]
        model.zero_grad()
        cross_entropy(model(x[chosen]), y[chosen]).backward()
        g = parameters_to_vector(p.grad for p in model.parameters())
        if part != "all":
            top = V @ (V.T @ g)
            g = top if part == "top" else g - top
        with torch.no_grad():
            moved = parameters_to_vector(model.parameters()) - RATE * g
            vector_to_parameters(moved, model.parameters())
            losses.append(float(cross_entropy(model(x), y)))
    return np.array(losses)


parts = {part: train_split(part, LENGTH) for part in ("all", "top", "rest")}
with torch.no_grad():
    model = network()
    vector_to_parameters(split.clone(), model.parameters())
    start = float(cross_entropy(model(x), y))
gain = {part: start - float(losses[-10:].mean()) for part, losses in parts.items()}
print(f"\nfrom step {SPLIT} on, loss {start:.4f}; mean loss of the last ten of {LENGTH} steps:")
for part, title in [("all", "whole steps"), ("top", "top ten"), ("rest", "all others")]:
    print(f"  {title:12} {start - gain[part]:.4f}, {gain[part] / gain['all']:4.0%} of the progress")
assert gain["rest"] > 0.7 * gain["all"]
assert gain["top"] < 0.4 * gain["all"]

if QUICK:  # the oracle: the dense Hessian at the end of training
    dense = np.linalg.eigh(space.H.to_dense().numpy())[1][:, -CLASSES:]
    exact = space.share(torch.tensor(dense.copy()))
    assert abs(exact - stochastic[-1, 2]) < 1e-3

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
for title, run, colour in [
    (f"batches of {BATCH}", stochastic, "tab:blue"),
    (f"all {SAMPLES} at once", smooth, "tab:orange"),
]:
    left.plot(run[:, 0], run[:, 2], "o-", color=colour, label=title)
    middle.plot(run[1:, 0], run[1:, 3], "o-", color=colour, label=title)
left.axhline(CLASSES / n, color="black", linestyle=":", label="of a random vector")
for ax in (left, middle):
    ax.set_xscale("symlog", linthresh=10)
    ax.set_xlim(-1, 1.3 * CHECKPOINTS[-1])
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("step")
    ax.legend(fontsize="small")
left.set_ylabel("share of ‖gradient‖² in the top ten")
left.set_title("The gradient in the top eigenspace")
middle.set_ylabel("overlap with the checkpoint before")
middle.set_title("The eigenspace settles")
steps = SPLIT + 1 + np.arange(LENGTH)
for part, title, colour in [
    ("top", "top ten only", "tab:red"),
    ("all", "whole steps", "0.6"),
    ("rest", "all but the top ten", "tab:green"),
]:
    right.semilogy(steps, parts[part], color=colour, linewidth=1, label=title)
right.set_xlabel("step")
right.set_ylabel("loss on all training data")
right.set_title("Steps with a part of the gradient")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_gradient_subspace.png", dpi=120)
