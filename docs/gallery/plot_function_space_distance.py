"""How far two networks are apart as functions: by the Gauss-Newton matrix, and as measured.

Moving the parameters by δ changes the predictions by a mean Kullback-Leibler divergence
D = E KL(p ‖ p′), about ½ δᵀGδ with the Gauss-Newton matrix G of the loss. How long may δ be for
that to hold? From a network trained on the breast cancer data of scikit-learn, steps are taken
along a random direction, along the top eigenvector of G, and along a direction of the null space of
the Jacobian, which exists since there are more parameters than samples. Along the first two the
distance grows with the square of the step, by the factor that G says, until the network bends. In
the null space G says nothing at all, and the true distance grows with the fourth power.
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
    from sklearn.datasets import load_breast_cancer
except ImportError as missing:
    print(f"{missing.name} is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN, SAMPLES = (8, 100) if QUICK else (32, 400)
SIZES = np.geomspace(1e-3, 10, 17 if QUICK else 33)

table, malignant = load_breast_cancer(return_X_y=True)
order = np.random.default_rng(0).permutation(len(malignant))[:SAMPLES]
columns = (table - table.mean(axis=0)) / table.std(axis=0)
x = torch.tensor(columns[order])
y = torch.tensor(malignant[order], dtype=torch.float64)[:, None]

Parameters = dict[str, torch.Tensor]


def model(params: Parameters, x: torch.Tensor) -> torch.Tensor:
    """Logits (samples, 1) of a network with one hidden layer."""
    return torch.tanh(x @ params["W"] + params["c"]) @ params["v"] + params["d"]


torch.manual_seed(0)
params = {
    "W": torch.randn(30, HIDDEN, dtype=torch.float64) / 30**0.5,
    "c": torch.zeros(HIDDEN, dtype=torch.float64),
    "v": torch.randn(HIDDEN, 1, dtype=torch.float64) / HIDDEN**0.5,
    "d": torch.zeros(1, dtype=torch.float64),
}
optimizer = torch.optim.Adam([p.requires_grad_() for p in params.values()], 0.01)
for _ in range(100):
    optimizer.zero_grad()
    binary_cross_entropy_with_logits(model(params, x), y).backward()
    optimizer.step()
params = {name: p.detach() for name, p in params.items()}

# ---- three directions ---------------------------------------------------------------------------

G = ritz.gauss_newton(model, params, (x, y), "bce_with_logits")
J = ritz.jacobian(lambda p: model(p, x), params)
n = G.shape[0]
v = torch.randn(n, dtype=torch.float64)
top = ritz.eigsh(G, k=1, tol=1e-10)
# v without what J sees of it: J⁺J v is the shortest solution of J u = J v.
seen = ritz.lsqr(J, J @ v, atol=1e-15, btol=1e-15, conlim=0.0, maxiter=20 * n)
directions = {
    "random": v,
    "top eigenvector of G": top.V[:, 0],
    "null space of J": v - seen.x,
}
directions = {name: d / torch.linalg.norm(d) for name, d in directions.items()}


def kullback_leibler(other: Parameters) -> float:
    """Return E KL(p ‖ p′) from the predictions of both networks: the oracle."""
    z, moved = model(params, x), model(other, x)
    p = torch.sigmoid(z)
    part = p * (logsigmoid(z) - logsigmoid(moved))
    return float((part + (1 - p) * (logsigmoid(-z) - logsigmoid(-moved))).mean())


start = G.domain.flatten(params)
quadratic = {name: np.empty(len(SIZES)) for name in directions}
measured = {name: np.empty(len(SIZES)) for name in directions}
for name, direction in directions.items():
    for k, size in enumerate(SIZES):
        other = G.domain.unflatten(start + size * direction.numpy())
        distance = ritz.function_space_distance(model, params, other, (x, y), "bce_with_logits")
        quadratic[name][k], measured[name][k] = distance
        assert abs(distance.measured - kullback_leibler(other)) < 1e-14 + 1e-9 * distance.measured

# The oracle of G: the Jacobian by torch.func, the curvature p (1 − p) of each sample.
dense = torch.func.jacrev(lambda p: model(p, x))(params)
jacobian = torch.cat([part.reshape(SAMPLES, -1) for part in dense.values()], dim=1)
p = torch.sigmoid(model(params, x))
exact = jacobian.T @ (p * (1 - p) / SAMPLES * jacobian)
for name in ("random", "top eigenvector of G"):
    d = directions[name]
    np.testing.assert_allclose(quadratic[name], 0.5 * SIZES**2 * float(d @ exact @ d), rtol=1e-10)
assert abs(float(top.w[0]) - float(torch.linalg.eigvalsh(exact)[-1])) < 1e-9 * float(top.w[0])

# ---- agreement, and departure -------------------------------------------------------------------


def slope(values: np.ndarray, part: np.ndarray) -> float:
    """Exponent of a power law fitted to a part of the values."""
    return float(np.polyfit(np.log(SIZES[part]), np.log(values[part]), 1)[0])


print(f"{n} parameters, {SAMPLES} samples; top eigenvalue of G {float(top.w[0]):.3f}")
for name in ("random", "top eigenvector of G"):
    ratio = measured[name] / quadratic[name]
    near = SIZES <= 1e-2
    departs = SIZES[np.abs(ratio - 1) > 0.1]
    where = f"from {departs[0]:.2g} on by more than a tenth" if len(departs) else "nowhere"
    print(
        f"{name:21}: slope {slope(measured[name], near):.3f}, measured / quadratic "
        f"{ratio[0]:.5f} at step {SIZES[0]:.0e}, departs {where}"
    )
    assert abs(ratio[0] - 1) < 1e-2
    assert abs(slope(measured[name], near) - 2) < 0.02
    assert len(departs) > 0
name = "null space of J"
power = slope(measured[name], (SIZES >= 0.05) & (SIZES <= 0.5))
print(f"{name:21}: slope {power:.3f}, quadratic {quadratic[name][-1]:.1e} at step {SIZES[-1]:.0f}")
assert quadratic[name][-1] < 1e-12
assert abs(power - 4) < 0.3
# As functions, the null direction moves least of all, and G tells which moves most.
at = int(np.argmin(np.abs(SIZES - 0.1)))
assert measured[name][at] < 1e-2 * measured["random"][at] < 1e-2 * measured[list(directions)[1]][at]

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
for name, colour in zip(directions, ("0.5", "tab:red", "tab:blue"), strict=True):
    left.loglog(SIZES, measured[name], "o", color=colour, markersize=4, label=name)
    if name != "null space of J":
        left.loglog(SIZES, quadratic[name], color=colour, linewidth=1)
        right.semilogx(SIZES, measured[name] / quadratic[name], "o-", color=colour, label=name)
left.plot([], [], color="black", linewidth=1, label="½ δᵀGδ")
left.set_ylim(1e-17, 1e2)
left.set_xlabel("length of δ")
left.set_ylabel("distance, mean KL(p ‖ p′)")
left.set_title("Measured (dots) and by the Gauss-Newton matrix")
left.legend(fontsize="small")
right.axhline(1, color="black", linewidth=0.8)
right.set_xlabel("length of δ")
right.set_ylabel("measured / quadratic")
right.set_title("Where the quadratic form holds")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_function_space_distance.png", dpi=120)
