"""The empirical neural tangent kernel: training a linearised network is kernel regression.

The kernel K = J Jᵀ of a network is as large as its outputs on the data. Gradient descent on the
network's linearisation, which moves thousands of parameters, does to the outputs what the kernel
says: after t steps of length η on the squared error, the outputs on new data are

    z* + K* K⁻¹ (I − (I − ηK)ᵗ) (y − z),

K* being the kernel between new data and training data. In the limit that is kernel regression. Both
are shown on handwritten digits, at every step, on training and unseen data. The real network,
trained by the same steps, stays close at first.

Then the kernel itself: which directions are learned fast, how much of the labels lies there, and
whether two digits of a class have more in common than others. Collapsed by the signs of the labels,
+1 for the right output and −1 for all others, it becomes the labelled pseudo-kernel: how much a
step on one sample helps another. Much of its contrast is the labels' own: were the outputs
independent and all samples alike, its cosines would be 1 within a class and 0.6 between two of ten.

Jacot, Gabriel, Hongler: Neural tangent kernel. NeurIPS 2018. Lee and others: Wide neural networks
of any depth evolve as linear models under gradient descent. NeurIPS 2019. Guo and others: lpNTK.
ICLR 2024.
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
    from sklearn.datasets import load_digits
except ImportError as missing:
    print(f"{missing.name} is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt

jax.config.update("jax_enable_x64", True)
QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
WIDTH, EACH, STEPS = (64, 4, 100) if QUICK else (256, 10, 500)
CLASSES, UNSEEN = 10, 200

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
# The same number of digits of each class, sorted by class: blocks of the kernel are classes.
chosen = np.concatenate([order[labels[order] == c][:EACH] for c in range(CLASSES)])
rest = np.setdiff1d(order, chosen, assume_unique=True)[:UNSEEN]
x, x_unseen = jnp.asarray(images[chosen] / 16), jnp.asarray(images[rest] / 16)
y = np.eye(CLASSES)[labels[chosen]]
N = len(x)


def model(params: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Outputs (samples, classes) of a network with one hidden layer, in NTK scaling."""
    hidden = jnp.tanh(x @ params["W"] / 4 + params["c"])
    return hidden @ params["V"] / np.sqrt(WIDTH)


rng = np.random.default_rng(1)
params = {
    "W": jnp.asarray(rng.standard_normal((64, WIDTH))),
    "c": jnp.asarray(rng.standard_normal(WIDTH)),
    "V": jnp.asarray(rng.standard_normal((WIDTH, CLASSES))),
}

# ---- training is kernel regression --------------------------------------------------------------

K = ritz.ntk(model, params, x)
K_unseen = ritz.ntk(model, params, x_unseen, x)
J = ritz.jacobian(lambda p: model(p, x), params)
J_unseen = ritz.jacobian(lambda p: model(p, x_unseen), params)
z, z_unseen = (np.asarray(j.linearization.value).ravel() for j in (J, J_unseen))
gap = y.ravel() - z

top = ritz.eigsh(K, k=2 * CLASSES, tol=1e-10)
rate = 0.9 / float(top.w[-1])

dense = np.asarray(K.to_dense())
w, V = np.linalg.eigh(dense)
np.testing.assert_allclose(np.asarray(top.w), w[-len(top.w) :], rtol=1e-9)


def kernel_coefficients(steps: int) -> np.ndarray:
    """Return K⁻¹ (I − (I − ηK)ᵗ) (y − z)."""
    return V @ (-np.expm1(steps * np.log1p(-rate * w)) / w * (V.T @ gap))


@jax.jit
def gradient(params: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Gradient of half the squared error of the real network."""
    return jax.grad(lambda p: 0.5 * jnp.sum((model(p, x) - y) ** 2))(params)


change = np.zeros(J.shape[1])
real = params
errors = {"linearised": [], "kernel": [], "real": []}
worst = 0.0
for step in range(1, STEPS + 1):
    change -= rate * (J.T @ (J @ change - gap))
    real = jax.tree.map(lambda p, g: p - rate * g, real, gradient(real))
    if step <= 10 or step % 20 == 0:
        coefficients = kernel_coefficients(step)
        fit = J @ change
        worst = max(worst, np.abs(fit - dense @ coefficients).max())
        worst = max(worst, np.abs(J_unseen @ change - K_unseen @ coefficients).max())
        errors["linearised"].append((step, 0.5 * np.sum((fit - gap) ** 2)))
        errors["kernel"].append((step, 0.5 * np.sum((dense @ coefficients - gap) ** 2)))
        errors["real"].append((step, 0.5 * float(jnp.sum((model(real, x) - y) ** 2))))

# The limit: the least change of parameters that fits the data, and the kernel's interpolation.
least = ritz.lsmr(J, gap, atol=1e-12, btol=1e-12, conlim=0.0)
weights = ritz.cg(K, gap, rtol=1e-11, maxiter=20 * len(gap))
assert least.info == 0
assert weights.info == 0
limit, regression = np.asarray(J_unseen @ least.x), np.asarray(K_unseen @ weights.x)
limit_error = np.abs(limit - regression).max()


def accuracy(outputs: np.ndarray) -> float:
    """Share of unseen digits that are recognised."""
    return float(np.mean(outputs.reshape(-1, CLASSES).argmax(1) == labels[rest]))


print(f"{J.shape[1]} parameters, {N} digits: a kernel with {len(gap)} rows")
print(f"{STEPS} steps of the linearised network and of the kernel differ by at most {worst:.1e}")
print(f"at the end of training, least squares and kernel regression differ by {limit_error:.1e}")
print(f"  on unseen data, after {least.iterations} and {weights.iterations} iterations")
print(
    f"unseen digits recognised: linearised {accuracy(z_unseen + J_unseen @ change):.3f}, "
    f"real network {accuracy(np.asarray(model(real, x_unseen))):.3f}, "
    f"kernel regression {accuracy(z_unseen + regression):.3f}"
)
assert worst < 1e-6
assert limit_error < 1e-6

# ---- what the kernel looks like -----------------------------------------------------------------

blocks = dense.reshape(N, CLASSES, N, CLASSES)
signs = 2 * y - 1
traced = np.asarray(ritz.ntk(model, params, x, outputs="trace").to_dense())
pseudo = np.asarray(ritz.ntk(model, params, x, outputs=np.full(CLASSES, CLASSES**-0.5)).to_dense())
labelled = np.asarray(ritz.ntk(model, params, x, outputs=signs).to_dense())
for name, found, collapsed in [
    ("traced", traced, np.einsum("icjc->ij", blocks)),
    ("pseudo", pseudo, np.einsum("icjd->ij", blocks) / CLASSES),
    ("labelled", labelled, np.einsum("ic,icjd,jd->ij", signs, blocks, signs)),
]:
    error = np.abs(found - collapsed).max() / np.abs(collapsed).max()
    print(f"{name:9} kernel and the collapsed dense one differ by {error:.1e}")
    assert error < 1e-12


def cosines(kernel: np.ndarray) -> np.ndarray:
    """Return the kernel with unit diagonal."""
    size = np.sqrt(np.diag(kernel))
    return kernel / size[:, None] / size


same = labels[chosen][:, None] == labels[chosen]
other = ~np.eye(N, dtype=bool) & same
for name, kernel in [("traced", traced), ("labelled", labelled)]:
    inside, outside = cosines(kernel)[other].mean(), cosines(kernel)[~same].mean()
    print(f"{name:9} mean cosine within a class {inside:.3f}, between classes {outside:.3f}")
    assert inside > outside
# Of the labels, what lies in the directions learned first.
share = np.cumsum((V.T @ gap)[::-1] ** 2) / (gap @ gap)
tenth = len(gap) // 10
print(f"the largest tenth of the eigenvalues holds {share[tenth - 1]:.2f} of the squared error")
assert share[tenth - 1] > 0.5

figure, axes = plt.subplots(2, 2, figsize=(9.5, 8), layout="constrained")
(training, spectrum), (map_traced, map_labelled) = axes
steps, values = np.array(errors["real"]).T
training.loglog(steps, values, color="0.6", label="real network")
steps, values = np.array(errors["linearised"]).T
training.loglog(steps, values, color="tab:blue", label="linearised network")
steps, values = np.array(errors["kernel"]).T
training.loglog(steps, values, "o", color="tab:red", markersize=4, label="kernel", mfc="none")
training.set_xlabel("step of gradient descent")
training.set_ylabel("half the squared error")
training.set_title("Training is kernel regression")
training.legend()
rank = np.arange(1, len(w) + 1)
spectrum.loglog(rank, w[::-1], color="0.6", label="eigenvalues")
spectrum.loglog(rank[: len(top.w)], np.asarray(top.w)[::-1], ".", label="by ritz.eigsh")
spectrum.set_xlabel("rank")
spectrum.set_ylabel("eigenvalue of K")
spectrum.set_title("Spectrum, and the error within reach")
right = spectrum.twinx()
right.semilogx(rank, share, color="tab:green", label="share of the squared error")
right.set_ylim(0, 1.05)
right.set_ylabel("share of the squared error, cumulative", color="tab:green")
spectrum.legend(loc="lower left")
ticks = EACH * np.arange(CLASSES) + (EACH - 1) / 2
for ax, kernel, title in [
    (map_traced, traced, "Traced kernel, cosines"),
    (map_labelled, labelled, "Labelled pseudo-kernel, cosines"),
]:
    image = ax.imshow(cosines(kernel))
    ax.set_xticks(ticks, range(CLASSES))
    ax.set_yticks(ticks, range(CLASSES))
    ax.set_xlabel("digit")
    ax.set_ylabel("digit")
    ax.set_title(title)
    figure.colorbar(image, ax=ax, shrink=0.85)

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_empirical_ntk.png", dpi=120)
