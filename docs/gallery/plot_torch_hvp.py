"""The Hessian of a PyTorch loss: its extreme eigenvalues from Hessian-vector products alone.

A closure that differentiates the gradient along v is all that ritz needs; tensors go in and tensors
come out. The network is small enough to form the whole Hessian, which serves as the oracle: the
eigenvalues agree with it within the bounds that ritz reports.
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
except ImportError:
    print("PyTorch is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
HIDDEN = 8 if QUICK else 24
K = 8

torch.manual_seed(0)
inputs = torch.randn(200, 5, dtype=torch.float64)
targets = torch.sin(inputs.sum(dim=1, keepdim=True))
n = 5 * HIDDEN + HIDDEN + HIDDEN + 1


def loss(x: torch.Tensor) -> torch.Tensor:
    """Mean squared error of a network with one hidden layer, as a function of its parameters."""
    W, c, w, bias = torch.split(x, [5 * HIDDEN, HIDDEN, HIDDEN, 1])
    hidden = torch.tanh(inputs @ W.reshape(5, HIDDEN) + c)
    return torch.mean((hidden @ w[:, None] + bias - targets) ** 2)


x = 0.3 * torch.randn(n, dtype=torch.float64)
gradient = torch.func.grad(loss)


def hvp(v: torch.Tensor) -> torch.Tensor:
    """Hessian of the loss at x times v: forward over reverse mode."""
    return torch.func.jvp(gradient, (x,), (v,))[1]


H = ritz.LinearOperator((n, n), matvec=hvp, dtype=torch.float64)
largest = ritz.eigsh(H, k=K, which="LA", tol=1e-8)
smallest = ritz.eigsh(H, k=K, which="SA", tol=1e-8)

dense = torch.func.hessian(loss)(x).numpy()
exact = np.linalg.eigvalsh(dense)
for name, result, reference in [
    ("largest", largest, exact[-K:]),
    ("smallest", smallest, exact[:K]),
]:
    error = np.abs(np.asarray(result.w) - reference)
    print(
        f"{name:8} {result.products.matvec:4d} products, largest error {error.max():.1e}, "
        f"largest bound {result.bounds.max():.1e}"
    )
    assert result.converged
    assert np.all(error <= result.bounds + 1e-13)
    assert isinstance(result.V, torch.Tensor)

# A damped Newton step: the shift makes the Hessian positive definite; the step is a tensor again.
shift = 0.1 - min(0.0, float(smallest.w[0]))
step = ritz.cg(H.shifted(shift), -gradient(x), rtol=1e-10)
assert step.info == 0
assert isinstance(step.x, torch.Tensor)
reference = np.linalg.solve(dense + shift * np.eye(n), -gradient(x).numpy())
np.testing.assert_allclose(step.x.numpy(), reference, atol=1e-6 * np.abs(reference).max())
assert loss(x + step.x) < loss(x)
before, after = float(loss(x)), float(loss(x + step.x))
print(f"damped Newton step: {step.iterations} iterations, loss {before:.4f} -> {after:.4f}")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.plot(np.arange(1, n + 1), exact, ".", color="0.6", label="all, from the dense Hessian")
axes.plot(np.arange(1, K + 1), smallest.w, "v", color="tab:red", label="smallest, by ritz.eigsh")
axes.plot(
    np.arange(n - K + 1, n + 1), largest.w, "^", color="tab:blue", label="largest, by ritz.eigsh"
)
axes.set_yscale("symlog", linthresh=1e-4)
axes.set_xlabel("eigenvalue, from the smallest")
axes.set_ylabel("value")
axes.set_title(f"Hessian of a PyTorch loss, {n} parameters")
axes.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_torch_hvp.png", dpi=120)
