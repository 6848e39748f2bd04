"""Exact Gauss-Newton steps of a classifier, from a system as large as its outputs.

A damped Gauss-Newton step solves (JᵀQJ/b + λI) d = −Jᵀr/b with the Jacobian J of b·C outputs with
respect to all parameters, Q the Hessian of the loss at the outputs and r its gradient there. There
may be millions of parameters. The identity of Duncan and Guttman turns the system over,

    d = −Jᵀ (Q J Jᵀ + bλI)⁻¹ r,

to the side of the outputs, where J Jᵀ is the neural tangent kernel of the batch. For cross-entropy
this matrix is not symmetric. With Q = S Sᵀ, S = diag(√p) − p √pᵀ for each sample, and r = S s,
s = r/√p, it becomes so, and conjugate gradients apply:

    d = −JᵀS (SᵀJJᵀS + bλI)⁻¹ s.

All forms are the same step to ten digits, which is shown on a batch of handwritten digits. Then a
network is trained by such steps, beside SGD with momentum and Adam at the best of four learning
rates each. Step by step Gauss-Newton is ahead, most at the beginning. Counted in gradients it is
not: this network is so easily trained that first-order steps, much cheaper each, win.

Korbit, Adeoye, Bemporad, Zanon: Exact Gauss-Newton optimization for training deep neural networks.
arXiv 2405.14402, 2024.
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
HIDDEN, CHECKED, EPOCHS = (8, 12, 2) if QUICK else (32, 32, 6)
BATCH, CLASSES, DAMPING = 64, 10, 0.1
RATES = {"SGD": (0.03, 0.1, 0.3, 1.0), "Adam": (0.003, 0.01, 0.03, 0.1)}

images, labels = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(labels))
inputs, targets = torch.tensor(images[order] / 16), torch.tensor(labels[order])
unseen, inputs = inputs[:360], inputs[360:]
unseen_targets, targets = targets[:360], targets[360:]


def network() -> torch.nn.Module:
    """Return the same untrained network every time."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(64, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, CLASSES)
    return torch.nn.Sequential(*layers).double()


def root(p: torch.Tensor) -> ritz.LinearOperator:
    """Return S of a batch with the predictions p, (bC, bC), as an operator."""

    def product(u: torch.Tensor) -> torch.Tensor:
        u = u.reshape(p.shape)
        return (p.sqrt() * u - p * (p.sqrt() * u).sum(1, keepdim=True)).reshape(-1)

    def adjoint(u: torch.Tensor) -> torch.Tensor:
        u = u.reshape(p.shape)
        return (p.sqrt() * (u - (p * u).sum(1, keepdim=True))).reshape(-1)

    return ritz.LinearOperator((p.numel(), p.numel()), product, adjoint, dtype=p.dtype)


def gauss_newton_step(
    model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, damping: float, rtol: float
) -> tuple[torch.Tensor, int]:
    """Return the step of the symmetric form, a flat vector, and the iterations that it took."""
    J = ritz.jacobian(lambda m: m(x), model)
    p = torch.softmax(J.linearization.value, dim=1)
    s = (p - torch.eye(CLASSES, dtype=p.dtype)[y]) / p.sqrt()
    M = J.T @ root(p)
    inner = ritz.cg(M.T @ M + len(y) * damping, s.reshape(-1), rtol=rtol)
    assert inner.info == 0
    return -(M @ inner.x), inner.iterations


# ---- one step, four ways ------------------------------------------------------------------------

model = network()
x, y = inputs[:CHECKED], targets[:CHECKED]
shift = CHECKED * DAMPING
p = torch.softmax(model(x), dim=1).detach()
r = p - torch.eye(CLASSES, dtype=p.dtype)[y]

# The oracle: everything dense, without ritz.
dense = torch.func.jacrev(lambda q: torch.func.functional_call(model, q, (x,)))(
    {name: q.detach() for name, q in model.named_parameters()}
)
Jacobian = torch.cat([part.reshape(CHECKED * CLASSES, -1) for part in dense.values()], dim=1)
Q = torch.block_diag(*(torch.diag_embed(p) - p[:, :, None] * p[:, None, :]))
n = Jacobian.shape[1]
matrix = Jacobian.T @ Q @ Jacobian / CHECKED + DAMPING * torch.eye(n, dtype=p.dtype)
oracle = torch.linalg.solve(matrix, -Jacobian.T @ r.reshape(-1) / CHECKED)

# On the outputs' side, not symmetric, by LU.
J = ritz.jacobian(lambda m: m(x), model)
kernel = ritz.ntk(model, None, x).to_dense()
system = Q @ kernel + shift * torch.eye(len(kernel), dtype=p.dtype)
by_kernel = -(J.T @ torch.linalg.solve(system, r.reshape(-1)))
# On the outputs' side, symmetric, by conjugate gradients: the kernel is not formed.
by_outputs, output_iterations = gauss_newton_step(model, x, y, DAMPING, 1e-13)
# On the parameters' side, by conjugate gradients with the Gauss-Newton matrix.
G = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
solution = ritz.cg(G + DAMPING, G.gradient(), rtol=1e-13)
by_parameters = -parameters_to_vector(solution.x.values())

print(f"{n} parameters, {CHECKED} samples with {CLASSES} outputs each")
for title, size, found, iterations in [
    ("kernel, LU", len(kernel), by_kernel, None),
    ("outputs, CG", len(kernel), by_outputs, output_iterations),
    ("parameters, CG", n, by_parameters, solution.iterations),
]:
    error = float(torch.linalg.norm(found - oracle) / torch.linalg.norm(oracle))
    how = "direct" if iterations is None else f"{iterations} iterations"
    print(f"{title:15} {size:5d} unknowns, {how:14}: differs from the dense step by {error:.1e}")
    assert error < 1e-10

# ---- training -----------------------------------------------------------------------------------

#: A product with J and one with its transpose, in gradients, where networks are not this tiny.
PRODUCT = 1.3


def evaluate(model: torch.nn.Module) -> tuple[float, float]:
    """Return the loss on all training data, and the accuracy on unseen data."""
    with torch.no_grad():
        right = model(unseen).argmax(1) == unseen_targets
        return float(cross_entropy(model(inputs), targets)), float(right.double().mean())


def batches(epochs: int) -> list[torch.Tensor]:
    """Return the indices of the same shuffled batches every time."""
    generator = torch.Generator().manual_seed(1)
    count = len(targets) // BATCH * BATCH
    every = [torch.randperm(len(targets), generator=generator)[:count] for _ in range(epochs)]
    return [batch for one in every for batch in one.split(BATCH)]


per_epoch = len(targets) // BATCH
each = per_epoch // 2


def by_gauss_newton(epochs: int) -> np.ndarray:
    """Train; return rows of steps, gradients, loss and accuracy."""
    model, gradients = network(), 0.0
    rows = [(0, 0.0, *evaluate(model))]
    for k, batch in enumerate(batches(epochs), start=1):
        step, iterations = gauss_newton_step(model, inputs[batch], targets[batch], DAMPING, 1e-2)
        with torch.no_grad():
            moved = parameters_to_vector(model.parameters()) + step
            vector_to_parameters(moved, model.parameters())
        # The linearisation, every iteration, the two products that verify it and map it back.
        gradients += 1 + PRODUCT * (iterations + 1.5)
        if k % each == 0:
            rows.append((k, gradients, *evaluate(model)))
    return np.array(rows)


def by_gradients(method: str, rate: float, epochs: int) -> np.ndarray:
    """Train; return rows of steps, gradients, loss and accuracy."""
    model = network()
    if method == "SGD":
        optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(model.parameters(), rate)
    rows = [(0, 0.0, *evaluate(model))]
    for k, batch in enumerate(batches(epochs), start=1):
        optimizer.zero_grad()
        cross_entropy(model(inputs[batch]), targets[batch]).backward()
        optimizer.step()
        if k % each == 0:
            rows.append((k, float(k), *evaluate(model)))
    return np.array(rows)


newton = by_gauss_newton(EPOCHS)
budget = int(np.ceil(newton[-1, 1] / per_epoch))
# For each method the learning rate that is best after as many steps, and the one that is best
# after as many gradients, run on.
runs = {m: {rate: by_gradients(m, rate, budget) for rate in RATES[m]} for m in RATES}
last = int(newton[-1, 0])
same_steps = {
    m: min(float(run[run[:, 0] <= last][-1, 2]) for run in each_rate.values())
    for m, each_rate in runs.items()
}
best = {m: min(runs[m], key=lambda rate: float(runs[m][rate][-1, 2])) for m in runs}

print(f"{last} steps of {BATCH} samples: {newton[-1, 1]:.0f} gradients of work for Gauss-Newton")
print(f"Gauss-Newton: loss {newton[-1, 2]:.4f}, accuracy {newton[-1, 3]:.3f}")
for m, rate in best.items():
    run = runs[m][rate]
    print(
        f"{m:12}: loss {same_steps[m]:.4f} after as many steps at its best rate; after as many "
        f"gradients {run[-1, 2]:.4f}, accuracy {run[-1, 3]:.3f}, at rate {rate}"
    )
assert newton[-1, 2] < 0.9 * min(same_steps.values())
assert newton[-1, 3] > (0.85 if QUICK else 0.95)

figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
curves = [("Gauss-Newton (ritz)", newton, "tab:blue")]
for (m, rate), colour in zip(best.items(), ("0.6", "tab:orange"), strict=True):
    curves.append((f"{m}, rate {rate}", runs[m][rate], colour))
for title, run, colour in curves:
    short = run[run[:, 0] <= last]
    axes[0].semilogy(short[:, 0], short[:, 2], color=colour, label=title)
    axes[1].loglog(run[1:, 1], run[1:, 2], color=colour)
    axes[2].semilogx(run[1:, 1], 1 - run[1:, 3], color=colour)
axes[0].set_xlabel("steps")
axes[0].set_ylabel("cross-entropy, training data")
axes[0].set_title("The same number of steps")
axes[0].legend(fontsize="small")
axes[1].set_xlabel("work in gradients of a batch")
axes[1].set_ylabel("cross-entropy, training data")
axes[1].set_title("The same work")
axes[2].set_ylim(0, 0.15)
axes[2].set_xlabel("work in gradients of a batch")
axes[2].set_ylabel("share of errors, unseen data")
axes[2].set_title("Unseen digits")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_exact_gauss_newton.png", dpi=120)
