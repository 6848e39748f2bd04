"""The training Jacobian: what training makes of a change of the initial parameters.

Training with a fixed order of batches is a function T from the initial parameters of a network to
the final ones. Its Jacobian J is as large as the square of their number, but a product with J is
one pass of training with tangents, and a product with Jᵀ one backward pass through all of training:
`ritz.jacobian(train, start)`. Singular values above 1 belong to changes that training amplifies,
those below 1 to changes that it forgets. Many are close to 1: in these directions training does
nothing at all, so that left and right singular vectors are the same.

The largest singular values come from Golub-Kahan bidiagonalisation, how many there are of each size
from stochastic Lanczos quadrature of JᵀJ. The smallest crowd at zero, as those of the bulk do at 1,
and single singular vectors mean little there; filters f(JᵀJ) of a random vector, three from one
Lanczos basis, give a typical vector of each region. Then training is run from parameters moved
along them, over five decades: the factors hold while the change is small.

Belrose, Scherlis: Understanding gradient descent through the training Jacobian. arXiv 2412.07003,
2024.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

try:
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    from sklearn.datasets import load_digits
except ImportError as missing:
    print(f"{missing.name} is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt

jax.config.update("jax_enable_x64", True)
QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN, SAMPLES, STEPS = (8, 400, 60) if QUICK else (64, 1600, 300)
CLASSES, BATCH, RATE, MOMENTUM = 10, 64, 0.1, 0.9
PROBES, LANCZOS, TOP = (4, 60, 6) if QUICK else (2, 150, 10)

images, labels = load_digits(return_X_y=True)
if QUICK:  # 4 × 4 pixels
    images = images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
rng = np.random.default_rng(0)
order = rng.permutation(len(labels))[:SAMPLES]
x, y = jnp.asarray(images[order] / 16), jnp.asarray(np.eye(CLASSES)[labels[order]])
batches = jnp.asarray(np.stack([rng.permutation(SAMPLES)[:BATCH] for _ in range(STEPS)]))
rates = jnp.asarray(RATE * 0.5 * (1 + np.cos(np.pi * np.arange(STEPS) / STEPS)))

pixels = x.shape[1]
start, tree = ravel_pytree(
    {
        "W": jnp.asarray(rng.standard_normal((pixels, HIDDEN)) / pixels**0.5),
        "c": jnp.zeros(HIDDEN),
        "V": jnp.asarray(rng.standard_normal((HIDDEN, CLASSES)) / HIDDEN**0.5),
        "d": jnp.zeros(CLASSES),
    }
)
n = len(start)


def loss(flat: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Mean cross-entropy of a network with one hidden layer."""
    p = tree(flat)
    logits = jax.nn.gelu(x @ p["W"] + p["c"]) @ p["V"] + p["d"]
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(logits), axis=1))


def train(flat: jax.Array) -> jax.Array:
    """All of training: gradient descent with momentum, from initial to final parameters."""

    def step(state: tuple[jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]):
        (flat, velocity), (rate, batch) = state, now
        velocity = MOMENTUM * velocity + jax.grad(loss)(flat, x[batch], y[batch])
        return (flat - rate * velocity, velocity), None

    (flat, _), _ = jax.lax.scan(step, (flat, jnp.zeros(n)), (rates, batches))
    return flat


J = ritz.jacobian(train, start)
end = np.asarray(J.linearization.value)
final, first = float(loss(end, x, y)), float(loss(start, x, y))
print(f"{n} parameters, {STEPS} steps: loss {first:.3f} -> {final:.3f}")
print(f"kept for products with J: {J.linearization.bytes / 2**20:.0f} MiB")
assert final < (0.9 if QUICK else 0.2) * first

# The adjoint belongs to J, and J to training itself.
u, v = rng.standard_normal((2, n))
assert abs(u @ (J @ v) - (J.T @ u) @ v) < 1e-10 * np.linalg.norm(u) * np.linalg.norm(J @ v)
run = jax.jit(train)
h = 1e-6
difference = (np.asarray(run(start + h * v)) - np.asarray(run(start - h * v))) / (2 * h)
assert np.linalg.norm(J @ v - difference) < 1e-4 * np.linalg.norm(difference)

# ---- how many of each size, and the largest -----------------------------------------------------


def squared(V: np.ndarray) -> np.ndarray:
    """JᵀJ, a vector or a block at a time."""
    return J.T @ (J @ V)


JTJ = ritz.LinearOperator((n, n), squared, matmat=squared, dtype=np.float64, symmetric=True)
density = ritz.spectral_density(JTJ, probes=PROBES, steps=LANCZOS, scale="log", seed=1)
largest = ritz.svds(J, k=TOP, tol=1e-6)
assert largest.converged
below, up_to = density.cdf(np.array([0.9, 1.1]) ** 2)
shares = {"stable, σ < 0.9": below, "bulk": up_to - below, "chaotic, σ > 1.1": 1 - up_to}
print(", ".join(f"{name}: {share:.0%}" for name, share in shares.items()))
print(f"by quadrature, {density.products.total} products with JᵀJ")
assert shares["bulk"] > (0.2 if QUICK else 0.5)
assert min(shares.values()) > 0.05
total = density.moments(1)[1] * n
print(f"Σσ² ≈ {total:.0f}, of which the {TOP} largest {np.sum(largest.s**2) / total:.0%}")

# ---- a vector of each region --------------------------------------------------------------------

EDGES = {"stable": (-1.0, 0.25), "bulk": (0.8, 1.2), "chaotic": (2.0, 1e9)}


def smooth_window(low: float, high: float):
    """Return a function of the squared singular value, 1 between low and high and 0 beyond."""
    return lambda t: 0.25 * (1 + np.tanh((t - low) / 0.15)) * (1 - np.tanh((t - high) / 0.15))


windows = [smooth_window(low, high) for low, high in EDGES.values()]
filtered = ritz.funm_multiply(JTJ, v, windows, rtol=0.05, maxiter=250)
assert filtered.converged
vectors = {"random": v} | dict(zip(EDGES, filtered.y, strict=True))
vectors["largest"] = largest.vt[0]
vectors = {name: d / np.linalg.norm(d) for name, d in vectors.items()}


def growth_and_cosine(d: np.ndarray) -> tuple[float, float]:
    """Return ‖Jd‖ for a unit vector d, and the cosine between d and Jd."""
    image = J @ d
    return float(np.linalg.norm(image)), float(d @ image / np.linalg.norm(image))


print(f"filters of one Lanczos basis, {filtered.products.total} products with JᵀJ")
print("direction   ‖Jv‖   cos(Jv, v)")
found = {name: growth_and_cosine(d) for name, d in vectors.items()}
for name, (growth, cosine) in found.items():
    print(f"{name:9} {growth:6.2f}  {cosine:10.3f}")
assert abs(found["largest"][0] / largest.s[0] - 1) < 1e-6
assert abs(found["bulk"][0] - 1) < 0.05
assert found["bulk"][1] > 0.97
assert found["stable"][0] < 0.6
assert found["chaotic"][0] > 1.5
assert max(found[name][1] for name in ("random", "stable", "chaotic")) < 0.95

# ---- training from elsewhere --------------------------------------------------------------------

SIZES = np.geomspace(1e-4, 10, 11 if QUICK else 16)
moved = {
    name: [np.linalg.norm(np.asarray(run(start + size * d)) - end) / size for size in SIZES]
    for name, d in vectors.items()
}
for name, factors in moved.items():
    assert abs(factors[0] / found[name][0] - 1) < 0.02

if QUICK:  # the oracle: all singular values, of the dense Jacobian
    U, s, Vt = np.linalg.svd(np.asarray(J.to_dense()))
    smallest = ritz.svds(J, k=3, which="SM", tol=1e-6)
    np.testing.assert_allclose(largest.s, s[:TOP], rtol=1e-5)
    assert np.all(np.abs(smallest.s - s[-3:]) <= 1e-5 * s[0])
    for share, inside in zip(
        shares.values(), (s < 0.9, (s >= 0.9) & (s <= 1.1), s > 1.1), strict=True
    ):
        assert abs(share - inside.mean()) < 0.05
    aligned = np.abs(np.sum(U * Vt.T, axis=0))
    cosine = float(aligned[np.abs(s - 1) < 0.01].mean())
    print(f"dense Jacobian: mean cos(u, v) where |σ − 1| < 0.01 is {cosine:.3f}")
    assert cosine > 0.97

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12.5, 3.9), layout="constrained")
sigma = np.geomspace(0.03, 1.3 * largest.s[0], 500)
left.semilogy(n * (1 - density.cdf(sigma**2)), sigma, color="tab:blue", label="by quadrature")
left.semilogy(np.arange(1, TOP + 1), largest.s, "r.", label=f"the {TOP} largest, by svds")
if QUICK:
    left.semilogy(np.arange(1, n + 1), np.maximum(s, 0.03), "k:", label="dense")
left.axhline(1, color="black", linewidth=0.6)
left.set_ylim(0.03, None)
left.set_xlabel("rank")
left.set_ylabel("singular value of the training Jacobian")
left.set_title("Amplified, untouched, forgotten")
left.legend(fontsize="small")
cosines = np.abs(np.sum(largest.u * largest.vt.T, axis=0))
middle.semilogx(largest.s, cosines, "r.", label="largest, by svds")
colours = {"random": "0.5", "stable": "tab:green", "bulk": "tab:blue", "chaotic": "tab:orange"}
colours["largest"] = "tab:red"
for name in EDGES:
    middle.semilogx(*found[name], "o", color=colours[name], label=f"{name}, filtered")
middle.semilogx(*found["random"], "x", color="0.5", label="a random vector")
middle.axvline(1, color="black", linewidth=0.6)
middle.set_ylim(-0.05, 1.05)
middle.set_xlabel("‖Jv‖ of the unit vector v")
middle.set_ylabel("cosine between v and Jv")
middle.set_title("In the bulk nothing is turned")
middle.legend(fontsize="small")
for name, factors in moved.items():
    right.loglog(SIZES, factors, ".-", color=colours[name], label=name)
    right.axhline(found[name][0], color=colours[name], linestyle=":", linewidth=0.8)
right.plot([], [], color="black", linestyle=":", linewidth=0.8, label="‖Jv‖")
right.set_xlabel("length of the change before training")
right.set_ylabel("change after / change before")
right.set_title("Training from moved parameters")
right.set_ylim(0.06, None)
right.legend(fontsize="small", loc="lower left", ncols=2)

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_training_jacobian.png", dpi=120)
