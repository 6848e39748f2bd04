"""Twenty images whose gradients span most of what those of all do.

Every training image has a gradient of its own, and these lie close to few directions: a dozen of
2410 hold half of their energy. A batch is representative, in one sense, if the gradients of its
images span that space. The singular vectors of all gradients span it best, but they are no images.
Maxvol chooses images: rows of the matrix of left singular vectors, in which all others have
coefficients of at most about one.

Measured is how much of the energy of all gradients lies in the span of a batch, next to the best
that any space of that dimension could hold; for random batches, for images drawn by the squares of
their gradients' norms, and for maxvol. It also works on the gradients of the last layer alone,
which come with a forward pass.

A batch that spans is not one whose mean is the mean gradient; and early in training the mean
gradient of all images is no nearer to its span than to that of a random batch. So this distance is
shown as well.

Goreinov et al.: How to find a good submatrix. 2010. Jha et al.: GRAFT: gradient-aware fast MaxVol
technique for dynamic data sampling. arXiv 2508.13653, 2025.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

from ritz import selection
from ritz.demo import digits, mlp_numpy

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
IMAGES = 500 if QUICK else 1437
STAGES = (50, 300) if QUICK else (100, 1000)  # steps of training after which to look
SIZES = (10, 20, 40) if QUICK else (5, 10, 20, 40, 80)
BATCH, RATE, DRAWS = 64, 0.2, 10
SHOWN = 20

try:
    data = digits.load()
except ImportError as missing:
    print(f"{missing}: nothing to show")
    sys.exit(0)
pixels, labels = data.train_images[:IMAGES], data.train_labels[:IMAGES]
N = len(pixels)


def gradients(parameters: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of the losses of single images, one a row: all, and the last layer's."""
    first, second = mlp_numpy.weights(parameters)
    images = mlp_numpy.with_ones(pixels[rows])
    hidden = np.tanh(images @ first)
    logits = mlp_numpy.with_ones(hidden) @ second
    errors = np.exp(logits - logits.max(axis=1, keepdims=True))
    errors /= errors.sum(axis=1, keepdims=True)
    errors[np.arange(len(rows)), labels[rows]] -= 1
    inner = (errors @ second[:-1].T) * (1 - hidden**2)
    last = (mlp_numpy.with_ones(hidden)[:, :, None] * errors[:, None, :]).reshape(len(rows), -1)
    whole = (images[:, :, None] * inner[:, None, :]).reshape(len(rows), -1)
    return np.hstack([whole, last]), last


def span(G: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span the gradients of a batch."""
    return np.linalg.qr(G[rows].T)[0]


def captured(G: np.ndarray, rows: np.ndarray) -> float:
    """Share of the energy of all gradients in the span of those of a batch."""
    return float(np.sum((G @ span(G, rows)) ** 2) / np.sum(G**2))


def distance(G: np.ndarray, rows: np.ndarray) -> float:
    """Distance of the mean gradient from the span, relative to its length."""
    g, Q = G.mean(axis=0), span(G, rows)
    return float(np.linalg.norm(g - Q @ (Q.T @ g)) / np.linalg.norm(g))


KINDS = {
    "maxvol": "tab:blue",
    "maxvol, last layer": "tab:cyan",
    "by norm": "tab:orange",
    "random": "tab:gray",
}
rng = np.random.default_rng(0)
parameters, steps = mlp_numpy.start(), 0
stages = {}
for stop in STAGES:
    while steps < stop:
        steps += 1
        batch = rng.choice(N, BATCH, replace=False)
        parameters = parameters - RATE * gradients(parameters, batch)[0].mean(axis=0)
    G, last = gradients(parameters, np.arange(N))
    if stop == STAGES[0]:  # the rows are right: their mean is the gradient of the mean loss
        network, loss = mlp_numpy.Network(pixels), mlp_numpy.SoftmaxCrossEntropy(labels)
        whole = network.vjp(parameters, loss.gradient(network.model(parameters)))
        assert np.linalg.norm(G.mean(axis=0) - whole) < 1e-12 * np.linalg.norm(whole)
    U, s, _ = np.linalg.svd(G, full_matrices=False)
    last_U = np.linalg.svd(last, full_matrices=False)[0]
    norms2 = np.sum(G**2, axis=1)
    table, gaps, chosen = [], [], None
    for r in SIZES:
        found = selection.maxvol(U[:, :r])
        assert found.converged
        assert np.abs(found.coefficients).max() < 1.05 + 1e-12
        # No subspace of this dimension holds more than the singular vectors' does.
        best = float(np.sum(s[:r] ** 2) / np.sum(s**2))
        batches = {
            "maxvol": [found.rows],
            "maxvol, last layer": [selection.maxvol(last_U[:, :r]).rows],
            "by norm": [
                rng.choice(N, r, replace=False, p=norms2 / norms2.sum()) for _ in range(DRAWS)
            ],
            "random": [rng.choice(N, r, replace=False) for _ in range(DRAWS)],
        }
        energy = {kind: [captured(G, rows) for rows in of] for kind, of in batches.items()}
        table.append([best, *(np.mean(energy[kind]) for kind in KINDS)])
        gaps.append([np.mean([distance(G, rows) for rows in batches[kind]]) for kind in KINDS])
        assert best > max(max(values) for values in energy.values())
        assert energy["maxvol"][0] > max(energy["random"])
        assert energy["maxvol, last layer"][0] > max(energy["random"])
        if r >= 10:
            assert energy["maxvol"][0] > 1.1 * np.mean(energy["random"])
            assert energy["maxvol"][0] > np.mean(energy["by norm"])
        if r == SHOWN:
            chosen = found.rows
    stages[stop] = np.array(table), np.array(gaps), chosen
    print(f"after {stop} steps, {N} images: share of the gradients' energy in the span of a batch")
    print("images     best" + "".join(f"{kind:>20}" for kind in KINDS))
    for r, shares in zip(SIZES, table, strict=True):
        print(f"{r:6d}  {shares[0]:7.3f}" + "".join(f"{share:20.3f}" for share in shares[1:]))
    print("distance of the mean gradient from the span")
    for r, row in zip(SIZES, gaps, strict=True):
        print(f"{r:6d}         " + "".join(f"{gap:20.3f}" for gap in row))
    print()

late, _, chosen = stages[STAGES[-1]]
at = SIZES.index(SHOWN)
# Later in training few images still have large gradients, and choosing matters more.
assert late[at, 1] > 1.5 * late[at, 4]
assert late[at, 1] > 0.85 * late[at, 0]
early = stages[STAGES[0]]
assert abs(early[1][at, 0] / early[1][at, 3] - 1) < 0.15  # the mean gradient is another matter
assert chosen is not None
print(f"the {SHOWN} images chosen show the digits {sorted({int(d) for d in labels[chosen]})}")

figure = plt.figure(figsize=(13, 3.9), layout="constrained")
left, middle, right = figure.subfigures(1, 3, width_ratios=[1, 1, 0.8])
ax, gap_ax = left.subplots(), middle.subplots()
for stop, style in zip(STAGES, ("--", "-"), strict=True):
    shares, distances, _ = stages[stop]
    ax.plot(SIZES, shares[:, 0], style, color="black", label=f"best space, {stop} steps")
    for k, (kind, colour) in enumerate(KINDS.items()):
        name = kind if style == "-" else None
        ax.plot(SIZES, shares[:, k + 1], style, marker="o", color=colour, label=name)
        gap_ax.plot(SIZES, distances[:, k], style, marker="o", color=colour, label=name)
for axes in (ax, gap_ax):
    axes.set_xscale("log")
    axes.set_xticks(SIZES, [str(r) for r in SIZES])
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.set_xlabel("images in the batch")
ax.set_ylabel("share of the energy of all gradients")
ax.set_title("In the span of the batch")
ax.legend(fontsize="x-small")
gap_ax.set_ylabel("relative distance from the span")
gap_ax.set_title("The mean gradient")
for axes, i in zip(right.subplots(4, 5).ravel(), chosen, strict=True):
    axes.imshow(pixels[i].reshape(8, 8), cmap="gray_r")
    axes.set_axis_off()
right.suptitle(f"{SHOWN} images by maxvol")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_maxvol_batch.png", dpi=120)
