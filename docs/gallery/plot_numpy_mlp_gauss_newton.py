"""A small network fitted to high accuracy by damped Gauss-Newton, from NumPy closures only.

A network 1-16-16-1 with tanh learns a smooth function. `linearize` evaluates it once at a point
and returns the closures of its Jacobian; ritz does the rest. Smooth regression is badly
conditioned, which is where second-order steps pay, and inner solves more exact than the default
(`forcing`). Gradient descent with Nesterov's momentum gets the same number of passes over the
network at each of three step lengths (at a fourth, three times as large, it diverges).
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
POINTS = 100
STEPS = 150 if QUICK else 300
WIDTHS = (1, 16, 16, 1)

inputs = np.linspace(-1, 1, POINTS)[:, None]
targets = np.sin(8 * inputs[:, 0]) * np.exp(-inputs[:, 0])
loss = ritz.losses.SquaredError(targets)

SHAPES = list(pairwise(WIDTHS))
SIZE = sum(rows * columns + columns for rows, columns in SHAPES)


def layers(x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut a parameter vector into weights and biases; views, no copies."""
    parts, at = [], 0
    for rows, columns in SHAPES:
        W = x[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        parts.append((W, x[at : at + columns]))
        at += columns
    return parts


def forward(x: np.ndarray) -> list[np.ndarray]:
    """Activations of all layers, the inputs first and the output last."""
    activations = [inputs]
    for k, (W, c) in enumerate(layers(x)):
        z = activations[-1] @ W + c
        activations.append(z if k == len(SHAPES) - 1 else np.tanh(z))
    return activations


def model(x: np.ndarray) -> np.ndarray:
    """Output of the network at all points."""
    return forward(x)[-1].ravel()


def linearize(x: np.ndarray):  # type: ignore[no-untyped-def]
    """Return the output at x and the closures of their Jacobian, which share one forward pass."""
    activations = forward(x)
    parameters = layers(x)

    def jvp(v: np.ndarray) -> np.ndarray:
        tangent = np.zeros_like(inputs)
        for k, ((W, _), (dW, dc)) in enumerate(zip(parameters, layers(v), strict=True)):
            tangent = activations[k] @ dW + dc + tangent @ W
            if k < len(SHAPES) - 1:
                tangent *= 1 - activations[k + 1] ** 2
        return tangent.ravel()

    def vjp(u: np.ndarray) -> np.ndarray:
        cotangent = u.reshape(POINTS, WIDTHS[-1])
        pieces = []
        for k in reversed(range(len(SHAPES))):
            if k < len(SHAPES) - 1:
                cotangent = cotangent * (1 - activations[k + 1] ** 2)
            pieces.append(cotangent.sum(axis=0))
            pieces.append((activations[k].T @ cotangent).ravel())
            cotangent = cotangent @ parameters[k][0].T
        return np.concatenate(pieces[::-1])

    return activations[-1].ravel(), jvp, vjp


def start() -> np.ndarray:
    """Random weights of the usual size, biases of zero."""
    generator = np.random.default_rng(1)
    return np.concatenate(
        [
            np.concatenate([(generator.standard_normal(s) / np.sqrt(s[0])).ravel(), np.zeros(s[1])])
            for s in SHAPES
        ]
    )


x0 = start()
report = ritz.check(
    model,
    x0,
    jvp=lambda x, v: linearize(x)[1](v),
    vjp=lambda x, u: linearize(x)[2](u),
)
assert report.passed, str(report)

work: list[int] = []
costs: list[float] = []


def record(state: ritz.Iteration) -> None:
    """Keep the cost and the passes that it took: products, and a forward pass a trial step."""
    work.append(state.products.total + state.iteration)
    costs.append(state.cost)


result = ritz.minimize(
    model, x0, loss=loss, linearize=linearize, callback=record, max_iterations=STEPS, forcing=1e-3
)

# Gradient descent with Nesterov's momentum: a forward and a backward pass a step.
descents: dict[float, list[float]] = {}
for rate in (0.003, 0.01, 0.03):
    x, velocity = x0.copy(), np.zeros(SIZE)
    descents[rate] = []
    for _ in range(work[-1] // 2):
        value, _, vjp = linearize(x + 0.95 * velocity)
        velocity = 0.95 * velocity - rate * vjp(loss.gradient(value))
        x = x + velocity
        descents[rate].append(float(loss.value(value)))

print(f"{SIZE} parameters, {result.iterations} trial steps, {result.products.total} products")
print(f"Gauss-Newton:                    mean squared error {result.cost:.2e}")
for rate, trace in descents.items():
    print(f"gradient descent, step {rate:<6}:   mean squared error {trace[-1]:.2e}")

# The cost never rises, what is reported is true, and descent is far behind at every step length.
assert all(later <= earlier for earlier, later in pairwise(costs))
value, _, vjp = linearize(result.x)
np.testing.assert_allclose(result.cost, np.mean((value - targets) ** 2), rtol=1e-12)
np.testing.assert_allclose(
    result.gradient_norm, np.linalg.norm(vjp(2 / POINTS * (value - targets))), rtol=1e-6
)
assert result.cost < 0.1 * min(trace[-1] for trace in descents.values())

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for shade, (rate, trace) in zip((0.75, 0.55, 0.35), descents.items(), strict=True):
    passes = 2 * np.arange(1, len(trace) + 1)
    left.semilogy(passes, trace, color=str(shade), label=f"gradient descent, step {rate}")
left.semilogy(work, costs, color="tab:blue", label="Gauss-Newton (ritz)")
left.set_xlabel("passes over the network")
left.set_ylabel("mean squared error")
left.set_title("The same work, counted in passes")
left.legend(fontsize="small")
right.plot(inputs[:, 0], targets, color="0.7", linewidth=4, label="target")
right.plot(inputs[:, 0], model(result.x), color="tab:blue", label="network")
right.set_xlabel("input")
right.set_ylabel("output")
right.set_title("The fit")
right.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_numpy_mlp_gauss_newton.png", dpi=120)
