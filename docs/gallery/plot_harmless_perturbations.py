"""Harmless perturbations: how far an image can move along a null space before a network notices.

A first layer with fewer outputs than there are pixels has a null space. Moving an image along it
changes nothing behind, however far one goes. The layer here is a strided convolution, whose matrix
is never formed: v − J⁺J v takes the part of a random direction v that lies in the null space, and
LSQR finds J⁺J v from products with J and Jᵀ.

Behind a nonlinear layer a null space holds at one point only. That of the whole network's Jacobian,
54 of 64 dimensions for ten logits, is harmless to first order: with tanh the logits change with
the square of the step, with ReLU not at all up to the first kink, and in the end both fade into
what any random direction does.

Chen and others: Contrasting adversarial perturbations: the space of harmless perturbations.
arXiv 2402.02095, 2024.
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
from torch import nn

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
SAMPLES, EPOCHS = (8, 10) if QUICK else (40, 30)
CHANNELS, PIXELS = 3, 64
SIZES = np.geomspace(1e-5, 1e3, 33)

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
inputs = torch.tensor(images[order] / 16).reshape(-1, 1, 8, 8)
targets = torch.tensor(labels[order])


def trained(activation: type[nn.Module]) -> nn.Sequential:
    """Return a network whose first layer takes 64 pixels to 48 numbers, trained on digits."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, CHANNELS, 3, stride=2, padding=1),
        activation(),
        nn.Flatten(),
        nn.Linear(16 * CHANNELS, 32),
        activation(),
        nn.Linear(32, 10),
    ).double()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(EPOCHS):
        for batch in torch.randperm(1500).split(100):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[batch]), targets[batch]).backward()
            optimizer.step()
    return model.requires_grad_(False)


def harmless(J: ritz.LinearOperator, v: torch.Tensor) -> torch.Tensor:
    """Return the part of v in the null space of J, with unit length."""
    row_space = ritz.lsqr(J, J @ v, atol=1e-14, btol=1e-14, conlim=0.0)
    assert row_space.info == 0
    n = v - row_space.x
    return n / torch.linalg.norm(n)


networks = {"tanh": trained(nn.Tanh), "ReLU": trained(nn.ReLU)}
held_out, held_out_targets = inputs[1500:], targets[1500:]
for name, model in networks.items():
    accuracy = float((model(held_out).argmax(1) == held_out_targets).double().mean())
    print(f"{name}: {accuracy:.3f} of unseen digits are recognised")
    assert accuracy > (0.8 if QUICK else 0.93)

# ---- the null space of the first layer ----------------------------------------------------------

image = held_out[:1]
first = networks["tanh"][0]
J = ritz.jacobian(first, image)
torch.manual_seed(1)
missing = J.shape[1] - J.shape[0]
null = torch.stack([harmless(J, torch.randn_like(image)).ravel() for _ in range(missing)], dim=1)
# The oracle: the layer's matrix and its singular vectors. As many directions of one's own as the
# null space has dimensions span all of it.
matrix = torch.func.jacrev(first)(image).reshape(J.shape)
rank = int(torch.linalg.matrix_rank(matrix))
exact = torch.linalg.svd(matrix)[2][rank:].T
basis = torch.linalg.qr(null)[0]
angle = float(torch.linalg.matrix_norm(exact - basis @ (basis.T @ exact), 2))
print(f"first layer: {J.shape[0]} outputs of {J.shape[1]} pixels, null space of {missing}")
products = J.linearization.counts.total
print(f"found from {products} products; sine of its angle to the exact one {angle:.1e}")
assert rank == J.shape[0]
assert angle < 1e-9

# ---- how far one can go -------------------------------------------------------------------------

kinds = ["first layer's null space", "network's null space", "random direction"]
changes = {name: {kind: np.empty((SAMPLES, len(SIZES))) for kind in kinds} for name in networks}
flipped = {name: {kind: np.empty((SAMPLES, len(SIZES))) for kind in kinds} for name in networks}
for name, model in networks.items():
    torch.manual_seed(2)
    for i in range(SAMPLES):
        x = held_out[i : i + 1]
        v = torch.randn_like(x)
        directions = [
            harmless(ritz.jacobian(model[0], x), v),
            harmless(ritz.jacobian(model, x), v),
            v / torch.linalg.norm(v),
        ]
        before = model(x)
        for kind, direction in zip(kinds, directions, strict=True):
            after = model(x + torch.tensor(SIZES).reshape(-1, 1, 1, 1) * direction)
            changes[name][kind][i] = (after - before).abs().amax(1)
            flipped[name][kind][i] = after.argmax(1) != before.argmax(1)

median = {
    name: {kind: np.median(change, axis=0) for kind, change in each.items()}
    for name, each in changes.items()
}


def slope(values: np.ndarray, low: float, high: float) -> float:
    """Exponent of a power law fitted to the medians at steps between low and high."""
    part = (low <= SIZES) & (high >= SIZES)
    return float(np.polyfit(np.log(SIZES[part]), np.log(values[part]), 1)[0])


largest = {name: each[kinds[0]].max() for name, each in changes.items()}
print(f"steps up to {SIZES[-1]:.0f}, an image has a norm of {float(torch.linalg.norm(image)):.1f}")
for name in networks:
    print(f"{name}: in the first layer's null space logits change by at most {largest[name]:.1e}")
    assert largest[name] < 1e-6
    assert not flipped[name][kinds[0]].any()
quadratic = slope(median["tanh"][kinds[1]], 1e-4, 1e-2)
linear = slope(median["tanh"][kinds[2]], 1e-4, 1e-2)
print(f"tanh: change with step^{quadratic:.2f} in the network's null space, step^{linear:.2f} else")
assert abs(quadratic - 2) < 0.1
assert abs(linear - 1) < 0.1
kink = changes["ReLU"][kinds[1]] > 1e-9
reach = np.array([SIZES[row.argmax()] for row in kink])
print(f"ReLU: no change in the network's null space up to a step of {np.median(reach):.2g}, median")
assert np.median(reach) > 1e-3

figure = plt.figure(figsize=(12, 4.6), layout="constrained")
left, centre, right = figure.subfigures(1, 3, width_ratios=(4, 4, 3.2))
axes = left.subplots(), centre.subplots()
colours = dict(zip(kinds, ("tab:blue", "tab:orange", "0.6"), strict=True))
for name, style in [("tanh", "-"), ("ReLU", "--")]:
    for kind in kinds:
        look = {"color": colours[kind], "linestyle": style, "label": f"{kind}, {name}"}
        axes[0].loglog(SIZES, np.maximum(median[name][kind], 1e-17), **look)
        axes[1].semilogx(SIZES, flipped[name][kind].mean(axis=0), **look)
axes[0].axhline(1e-6, color="black", linewidth=0.8, linestyle=":")
axes[0].set_xlabel("length of the step")
axes[0].set_ylabel("largest change of a logit, median")
axes[0].set_title("What the network notices")
axes[0].legend(fontsize="x-small")
axes[1].set_xlabel("length of the step")
axes[1].set_ylabel("share of predictions changed")
axes[1].set_title("And when it changes its mind")

model = networks["tanh"]
torch.manual_seed(3)
v = torch.randn_like(image)
shown = [
    ("a digit", image),
    ("null space, 10", image + 10 * harmless(J, v)),
    ("null space, 100", image + 100 * harmless(J, v)),
    ("random, 10", image + 10 * v / torch.linalg.norm(v)),
]
for ax, (title, picture) in zip(right.subplots(2, 2).flat, shown, strict=True):
    ax.imshow(picture[0, 0], cmap="gray_r")
    ax.set_axis_off()
    chances = torch.softmax(model(picture)[0], dim=0)
    digit = int(chances.argmax())
    ax.set_title(f"{title}:\n{digit} with {float(chances[digit]):.4f}", fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_harmless_perturbations.png", dpi=120)
