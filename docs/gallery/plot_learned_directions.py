"""Learned search directions: a small network proposes, flexible conjugate gradients check.

A network maps the residual to a direction; `ritz.fcg(directions=…)` makes it A-orthogonal to the
last two directions and takes the best step along it (Kaneda et al.: A deep conjugate direction
method for iteratively solving linear systems. ICML, 2023). Whatever the network says, nothing is
claimed that the true residual does not show. One network, trained on a 31 × 31 grid, serves a
family of Poisson problems on grids up to 255 × 255, where CG needs eight times the iterations.

The network sees 3 × 3 patches of the residual, summed to coarser and coarser grids, with the same
weights on all of them: in two dimensions the Laplacian looks alike at every scale. It is written
with NumPy, and trained within a second by `ritz.minimize` to undo A in the energy norm.

What is true: iterations and products fall by a factor of 5 to 30 and hardly depend on the grid. But
that is the merit of the coarse grids. A quarter of each summed residual, which nobody has to learn
(the preconditioner of Bramble, Pasciak and Xu), takes a tenth more iterations, and three trained
weights, a linear map and good for plain CG, do as well as the network. Nor are products seconds: an
evaluation of the network takes as long as dozens of products with a five-point stencil, and CG is
much faster on the small grids; only on the largest it is not. Learned directions are for operators
that cost more. (The Jacobi preconditioner is not shown: the diagonal is constant, so it is CG.)
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import scipy.sparse as sp
from scipy.fft import idstn

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
TRAINED = 31  # points on a side; 2^j - 1, so that every other one is a coarser grid
SIDES = (31, 63) if QUICK else (31, 63, 127, 255)
SAMPLES = 8 if QUICK else 16
UNITS = 4
STEPS = 15
RTOL = 1e-8

Level = tuple[np.ndarray, np.ndarray]  # patches of the residual, in units of its size there
rng = np.random.default_rng(0)


def poisson(side: int) -> ritz.LinearOperator:
    """The five-point Laplacian on a square with zero boundary values."""
    second = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(side, side))
    return ritz.aslinearoperator(sp.kronsum(second, second, format="csr"))


def restrict(u: np.ndarray) -> np.ndarray:
    """Sum to the coarser grid with weights 1/2, 1, 1/2 along both axes: Pᵀ."""
    for _ in range(2):
        u = u[..., 1::2] + 0.5 * (u[..., 0:-2:2] + u[..., 2::2])
        u = np.swapaxes(u, -1, -2)
    return u


def prolong(u: np.ndarray) -> np.ndarray:
    """Interpolate to the finer grid, linearly along both axes: P."""
    for _ in range(2):
        fine = np.zeros((*u.shape[:-1], 2 * u.shape[-1] + 1))
        fine[..., 1::2] = u
        fine[..., 0:-2:2] += 0.5 * u
        fine[..., 2::2] += 0.5 * u
        u = np.swapaxes(fine, -1, -2)
    return u


def padded(u: np.ndarray) -> np.ndarray:
    """Add the boundary values of zero."""
    return np.pad(u, [(0, 0)] * (u.ndim - 2) + [(1, 1), (1, 1)])


def analyse(r: np.ndarray) -> list[Level]:
    """Patches of the residuals r (samples, side, side) on all grids, finest first."""
    levels = []
    while True:
        side, p = r.shape[-1], padded(r)
        size = np.sqrt(np.mean(r**2, axis=(-2, -1), keepdims=True))[..., None]
        size[size == 0] = 1
        shifted = [p[..., i : i + side, j : j + side] for i in range(3) for j in range(3)]
        levels.append((np.stack(shifted, axis=-1) / size, size[..., 0]))
        if side == 1:
            return levels
        r = restrict(r)


def synthesise(parts: list[np.ndarray]) -> np.ndarray:
    """Sum what all grids say, on the finest."""
    d = parts[-1]
    for part in parts[-2::-1]:
        d = part + prolong(d)
    return d


# Weights: of the centre, the neighbours and the corners of a patch, then those of the tanh units.
STENCIL = np.zeros((9, 3))
STENCIL[4, 0] = STENCIL[[1, 3, 5, 7], 1] = STENCIL[[0, 2, 6, 8], 2] = 1


def cut(w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Views of the weights by layer."""
    units = (w.size - 3) // 10
    return w[:3], w[3 : 3 + 9 * units].reshape(9, units), w[3 + 9 * units :]


def network(w: np.ndarray, levels: list[Level]) -> np.ndarray:
    """Directions; f(t r) = t f(r) for every number t."""
    a, W, c = cut(w)
    linear = STENCIL @ a
    return synthesise([size * (p @ linear + np.tanh(p @ W) @ c) for p, size in levels])


def gradient(u: np.ndarray) -> np.ndarray:
    """Differences G u along both axes; A = Gᵀ G, so that ‖G u‖ is the energy norm."""
    p = padded(u)
    flat = [np.diff(p, axis=-1)[..., 1:-1, :], np.diff(p, axis=-2)[..., :, 1:-1]]
    return np.concatenate([f.reshape(len(u), -1) for f in flat], axis=1)


def gradient_adjoint(g: np.ndarray, side: int) -> np.ndarray:
    """Apply Gᵀ."""
    x, y = np.split(g, 2, axis=1)
    x, y = x.reshape(-1, side, side + 1), y.reshape(-1, side + 1, side)
    return x[..., :-1] - x[..., 1:] + y[:, :-1] - y[:, 1:]


# Residuals r and errors A⁻¹ r for training, by sines: of all frequencies, more or less smooth.
frequencies = 2 - 2 * np.cos(np.pi * np.arange(1, TRAINED + 1) / (TRAINED + 1))
eigenvalues = frequencies[:, None] + frequencies
roughness = rng.uniform(0, 0.5, (SAMPLES, 1, 1))
noise = rng.standard_normal((SAMPLES, TRAINED, TRAINED))
errors = idstn(eigenvalues ** (roughness - 1) * noise, type=1, axes=(1, 2))
energy = np.linalg.norm(gradient(errors), axis=1)[:, None, None]
levels = analyse(idstn(eigenvalues**roughness * noise, type=1, axes=(1, 2)) / energy)
targets = gradient(errors / energy).ravel()


def model(w: np.ndarray) -> np.ndarray:
    """The directions proposed for all samples, as gradients."""
    return gradient(network(w, levels)).ravel()


def linearize(w: np.ndarray):  # type: ignore[no-untyped-def]
    """Return the output at w and the closures of its Jacobian."""
    _, W, c = cut(w)
    hidden = [np.tanh(p @ W) for p, _ in levels]

    def jvp(v: np.ndarray) -> np.ndarray:
        da, dW, dc = cut(v)
        parts = [
            size * (p @ (STENCIL @ da) + ((1 - h**2) * (p @ dW)) @ c + h @ dc)
            for (p, size), h in zip(levels, hidden, strict=True)
        ]
        return gradient(synthesise(parts)).ravel()

    def vjp(u: np.ndarray) -> np.ndarray:
        g = gradient_adjoint(u.reshape(SAMPLES, -1), TRAINED)
        linear, inner, outer = np.zeros(9), np.zeros_like(W), np.zeros_like(c)
        for (p, size), h in zip(levels, hidden, strict=True):
            q, rows = (g * size).ravel(), p.reshape(-1, 9)
            units = h.reshape(len(rows), len(c))
            linear += rows.T @ q
            inner += rows.T @ ((1 - units**2) * np.outer(q, c))
            outer += units.T @ q
            g = restrict(g) if g.shape[-1] > 1 else g
        return np.concatenate([STENCIL.T @ linear, inner.ravel(), outer])

    return gradient(network(w, levels)).ravel(), jvp, vjp


def train(w: np.ndarray) -> np.ndarray:
    """Minimise the energy norm of what is left of the errors."""
    begin = time.perf_counter()
    loss = ritz.losses.SquaredError(targets)
    result = ritz.minimize(model, w, loss=loss, linearize=linearize, max_iterations=STEPS)
    before, after = (x * targets.size / SAMPLES for x in (loss.value(model(w)), result.cost))
    print(
        f"{w.size:3d} weights, trained in {time.perf_counter() - begin:.1f} s: "
        f"they leave {after:.3f} of the energy of the errors, {before:.3f} before"
    )
    assert after < before
    return np.asarray(result.x)


untrained = np.array([0.25, 0, 0])
inner, outer = 0.3 * rng.standard_normal(9 * UNITS), 0.05 * rng.standard_normal(UNITS)
start = np.concatenate([untrained, inner, outer])
report = ritz.check(
    model,
    start,
    jvp=lambda x, v: linearize(x)[1](v),
    vjp=lambda x, u: linearize(x)[2](u),
)
assert report.passed, str(report)
three = train(untrained)
weights = train(start)


def proposing(w: np.ndarray, side: int) -> Callable[[np.ndarray], np.ndarray]:
    """The network as a function of a residual vector."""
    return lambda r: network(w, analyse(r.reshape(1, side, side))).ravel()


def right_hand_sides(side: int) -> list[np.ndarray]:
    """A constant, a point source, and noise."""
    point = np.zeros((side, side))
    point[side // 3, side // 4] = 1
    return [np.ones(side * side), point.ravel(), rng.standard_normal(side * side)]


print("  mean iterations and products, milliseconds a solve, of three right-hand sides")
means: dict[str, list[float]] = {}
products: dict[str, list[float]] = {}
histories: dict[str, np.ndarray] = {}
for side in SIDES:
    n = side * side
    A = poisson(side)
    # The eigenvalues are below 8; the polynomial evens out the upper 29/30 of the interval.
    polynomial = ritz.precond.chebyshev(A, 8, bounds=(8 / 30, 8))
    learned = proposing(weights, side)
    methods: dict[str, Callable[[np.ndarray], ritz.LinearResult]] = {
        "CG": lambda b, A=A: ritz.cg(A, b, rtol=RTOL, history=True),
        "CG, Chebyshev": lambda b, A=A, M=polynomial: ritz.cg(A, b, rtol=RTOL, M=M, history=True),
        "network": lambda b, A=A, f=learned: ritz.fcg(A, b, rtol=RTOL, directions=f, history=True),
    }
    for title, w in [("three weights", three), ("untrained", untrained)]:
        M = ritz.precond.closure(proposing(w, side), n)
        methods[title] = lambda b, A=A, M=M: ritz.cg(A, b, rtol=RTOL, M=M)
    given = right_hand_sides(side)
    for name, solve in methods.items():
        before = A.counts.total  # the polynomial's products are products with A
        begin = time.perf_counter()
        results = [solve(b) for b in given]
        seconds = (time.perf_counter() - begin) / len(given)
        spent = (A.counts.total - before) / len(given)
        for b, result in zip(given, results, strict=True):
            assert result.info == 0, result.message
            assert np.linalg.norm(b - A @ result.x) <= 1.01 * RTOL * np.linalg.norm(b)
        mean = float(np.mean([r.iterations for r in results]))
        means.setdefault(name, []).append(mean)
        products.setdefault(name, []).append(spent)
        if results[-1].history is not None:
            histories[name] = np.asarray(results[-1].history) / np.linalg.norm(given[-1])
        print(f"{side:4d} × {side:<4d} {name:15} {mean:7.1f} {spent:8.1f} {1e3 * seconds:9.2f}")

for i in range(len(SIDES)):
    # Far fewer iterations and products than CG, also than a polynomial preconditioner's.
    assert 3 * means["network"][i] < means["CG"][i]
    assert 3 * products["network"][i] < min(products["CG"][i], products["CG, Chebyshev"][i])
    # Training pays, and three weights are enough for that.
    assert means["network"][i] < means["untrained"][i]
    assert abs(means["three weights"][i] - means["network"][i]) <= 3
# CG follows the grid; the network, trained on the coarsest of these, hardly does.
assert means["CG"][-1] > 0.8 * SIDES[-1] / SIDES[0] * means["CG"][0]
assert means["network"][-1] < 1.4 * means["network"][0]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
colours = {
    "CG": "black",
    "CG, Chebyshev": "0.6",
    "untrained": "tab:orange",
    "network": "tab:blue",
}
for name, history in histories.items():
    left.loglog(np.arange(1, len(history) + 1), history, color=colours[name], label=name)
left.set_xlabel("iteration")
left.set_ylabel(r"$\|b - Ax\| \,/\, \|b\|$")
left.set_title(f"Poisson on {SIDES[-1]} × {SIDES[-1]} points")
left.legend(fontsize="small")
for name, colour in colours.items():
    right.loglog(SIDES, products[name], "o-", color=colour, label=name)
right.set_xticks(SIDES, [str(side) for side in SIDES])
right.minorticks_off()
right.set_xlabel("points on a side")
right.set_ylabel("products with A")
right.set_title(f"Trained on {TRAINED} × {TRAINED} points")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_learned_directions.png", dpi=120)
