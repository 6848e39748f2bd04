"""The Hessian of an over-parametrised network: a bulk near zero, and as many outliers as classes.

A network with ten times as many parameters as training samples classifies handwritten digits. The
density of its Hessian's eigenvalues is estimated by stochastic Lanczos quadrature, and the largest
and smallest eigenvalues are computed, each with a bound. Before training the spectrum is one piece
about zero, with as much below as above: the loss curves downwards in many directions. After
training almost all of it lies next to zero, and a few eigenvalues stand apart. They are
nine: the ten classes, less the one direction in which all logits of a softmax rise together.

The outliers are those of the Gauss-Newton matrix, the part of the Hessian that sees the network as
linear in its parameters. What curves downwards is all in the other part. The picture is that of 60
steps, when nearly all digits are recognised. As the loss goes on to zero all eigenvalues shrink
and the gap narrows.

Sagun, Evci, Güney, Dauphin, Bottou: Empirical analysis of the Hessian of over-parametrized neural
networks. arXiv 1706.04454, 2017. Papyan: Traces of class/cross-class structure pervade deep
learning spectra. JMLR 21, 2020.
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

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN, SAMPLES, PROBES = (20, 300, 4) if QUICK else (64, 500, 8)
CLASSES, STEPS, TOP = 10, 60, 14

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))[:SAMPLES]
x, y = torch.tensor(images[order] / 16), torch.tensor(labels[order])

torch.manual_seed(0)
layers = torch.nn.Linear(64, HIDDEN), torch.nn.GELU(), torch.nn.Linear(HIDDEN, CLASSES)
model = torch.nn.Sequential(*layers).double()
H = ritz.hessian(model, None, (x, y), "cross_entropy")
n = H.shape[0]


def spectrum() -> tuple[ritz.SpectralDensity, ritz.EigshResult, ritz.EigshResult]:
    """Return the density, the largest and the smallest eigenvalues of H where the model is."""
    H.update()
    density = ritz.spectral_density(H, probes=PROBES, steps=80, seed=1)
    largest = ritz.eigsh(H, k=TOP, which="LA", tol=1e-6)
    smallest = ritz.eigsh(H, k=3, which="SA", tol=1e-4)
    # Residuals are what they are said to be.
    for result in (largest, smallest):
        assert result.converged
        residuals = torch.linalg.norm(H @ result.V - result.V * torch.as_tensor(result.w), dim=0)
        np.testing.assert_allclose(residuals, result.residuals, rtol=1e-2, atol=1e-12)
    return density, largest, smallest


def outliers(w: np.ndarray) -> tuple[int, float]:
    """Return after how many of the largest the widest gap is, and the ratio across it."""
    ratio = w[:-1] / w[1:]
    return int(ratio.argmax()) + 1, float(ratio.max())


print(f"{n} parameters, {SAMPLES} digits of {CLASSES} classes")
print("          loss  accuracy   smallest  largest  widest gap       |λ| < λ₁/50  products")
found = {}
optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
for state in ("before", "after"):
    density, largest, smallest = spectrum()
    w = np.asarray(largest.w)[::-1]
    count, gap = outliers(w)
    near = float(density.cdf(w[0] / 50) - density.cdf(-w[0] / 50))
    accuracy = float((model(x).argmax(1) == y).double().mean())
    products = [result.products.total for result in (density, largest, smallest)]
    print(
        f"{state:7} {H.value():6.3f}  {accuracy:8.2f}  {float(smallest.w[0]):9.3f} {w[0]:8.3f}  "
        f"{gap:4.2f} after {count:2d}  {near:14.2f}  {' + '.join(map(str, products))}"
    )
    found[state] = density, w, np.asarray(smallest.w), count, gap, near
    if state == "before":
        for _ in range(STEPS):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()

# Before: no gap, and a spectrum of both signs. After: one outlier less than classes.
_, w, low, _, gap, near_before = found["before"]
assert gap < 1.5
assert low[0] < -0.4 * w[0]
density, w, low, count, gap, near = found["after"]
assert count == CLASSES - 1
assert gap > 2
assert low[0] > -0.05 * w[0]
assert near > 0.95 > near_before
# The quadrature, which has seen random vectors only, counts as many beyond the gap: the variance of
# a count of m is about 2m/probes.
counted = n * (1 - float(density.cdf(np.sqrt(w[count - 1] * w[count]))))
error = np.sqrt(2 * count / PROBES)
print(f"eigenvalues beyond the gap, by quadrature: {counted:.1f} ± {error:.1f}")
assert abs(counted - count) < 3 * error

# They are those of the Gauss-Newton matrix, which has no negative ones.
G = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
of_G = ritz.eigsh(G, k=TOP, which="LA", tol=1e-6)
same = np.asarray(of_G.w)[::-1]
deviation = float(np.abs(same[:count] / w[:count] - 1).max())
print(f"largest difference to those of the Gauss-Newton matrix: {deviation:.1%}")
assert deviation < 0.2
assert outliers(same)[0] == count

if QUICK:  # the oracle: every eigenvalue, from the dense matrix
    exact = np.linalg.eigvalsh(H.to_dense().numpy())
    assert np.all(np.abs(exact[::-1][:TOP] - w) <= largest.bounds[::-1])
    assert np.all(np.abs(exact[:, None] - low).min(axis=0) <= smallest.bounds)
    places = np.linspace(exact[0], exact[-1], 50)
    shares = np.searchsorted(exact, places, side="right") / n
    assert np.mean(np.abs(density.cdf(places) - shares)) < 0.02

figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", sharey=True)
for ax, (state, (density, w, low, count, gap, _)) in zip(axes, found.items(), strict=True):
    span = w[0] - low[0]
    grid = np.linspace(low[0] - 0.05 * span, w[0] + 0.05 * span, 800)
    rho = density.rescaled("linear", width=span / 100).density(grid)
    ax.semilogy(grid, rho, color="tab:blue", label="density, by quadrature")
    apart = count if gap > 2 else 0
    ax.plot(w[:apart], np.full(apart, 4e-4), "v", color="tab:red", label=f"{apart} outliers")
    rest = np.concatenate([w[apart:], low])
    ax.plot(rest, np.full(len(rest), 4e-4), "|", color="0.4", label="other extreme eigenvalues")
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_ylim(2e-4, 1e3)
    ax.set_xlabel("eigenvalue λ of the Hessian")
    ax.set_title(f"{state.capitalize()} training")
    ax.legend(fontsize="small")
axes[0].set_ylabel("density")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_hessian_spectrum.png", dpi=120)
