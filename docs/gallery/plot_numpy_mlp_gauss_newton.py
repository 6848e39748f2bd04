"""A small network trained by damped Gauss-Newton, with nothing but NumPy closures.

Two interleaved spirals, a network 2-16-16-2 with tanh, softmax cross-entropy and a small L2 term.
`linearize` evaluates the network once at a point and returns the closures of its Jacobian; ritz
does the rest. Gradient descent with momentum, at the best of four step lengths, gets the same
amount of work, counted in passes over the network, and ends higher.
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
POINTS = 100 if QUICK else 300
L2 = 1e-4
WIDTHS = (2, 16, 16, 2)

rng = np.random.default_rng(0)
angle = np.sqrt(rng.uniform(0.05, 1, POINTS)) * 2.5 * np.pi
arm = np.repeat([0, 1], POINTS // 2)
turn = angle + np.pi * arm
inputs = (angle / 8)[:, None] * np.column_stack([np.cos(turn), np.sin(turn)])
inputs += 0.015 * rng.standard_normal(inputs.shape)
loss = ritz.losses.CrossEntropy(arm)

SHAPES = list(pairwise(WIDTHS))
SIZE = sum(rows * columns + columns for rows, columns in SHAPES)
OUTPUTS = POINTS * WIDTHS[-1]


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
    """Activations of all layers, the inputs first and the logits last."""
    activations = [inputs]
    for k, (W, c) in enumerate(layers(x)):
        z = activations[-1] @ W + c
        activations.append(z if k == len(SHAPES) - 1 else np.tanh(z))
    return activations


def model(x: np.ndarray) -> np.ndarray:
    """Logits of all points, flattened."""
    return forward(x)[-1].ravel()


def linearize(x: np.ndarray):  # type: ignore[no-untyped-def]
    """Return the logits at x and the closures of their Jacobian, which share one forward pass."""
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
    model, x0, loss=loss, linearize=linearize, l2=L2, callback=record, max_iterations=150
)
accuracy = float(np.mean(model(result.x).reshape(POINTS, 2).argmax(axis=1) == arm))

# Gradient descent with Nesterov's momentum: a forward and a backward pass a step; the best of four
# step lengths.
best: list[float] = []
for rate in (0.03, 0.1, 0.3, 1.0):
    x, velocity, trace = x0.copy(), np.zeros(SIZE), []
    for _ in range(work[-1] // 2):
        value, _, vjp = linearize(x + 0.95 * velocity)
        gradient = vjp(loss.gradient(value)) + L2 * (x + 0.95 * velocity)
        velocity = 0.95 * velocity - rate * gradient
        x = x + velocity
        trace.append(float(loss.value(value)) + L2 / 2 * float(x @ x))
    if np.isfinite(trace[-1]) and (not best or trace[-1] < best[-1]):
        best = trace

print(f"{SIZE} parameters, {result.iterations} trial steps, {result.products.total} products")
print(f"Gauss-Newton: cost {result.cost:.5f}, accuracy {100 * accuracy:.1f} %")
print(f"gradient descent after as many passes: cost {best[-1]:.5f}")

assert accuracy == 1
assert all(later <= earlier for earlier, later in pairwise(costs))
assert result.cost < best[-1]
value, _, vjp = linearize(result.x)
gradient = vjp(loss.gradient(value)) + L2 * result.x
np.testing.assert_allclose(np.linalg.norm(gradient), result.gradient_norm, rtol=1e-6)

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.semilogy(work, costs, color="tab:blue", label="Gauss-Newton (ritz)")
left.semilogy(2 * np.arange(1, len(best) + 1), best, color="tab:red", label="gradient descent")
left.set_xlabel("passes over the network")
left.set_ylabel("cost")
left.set_title("The same work, counted in passes")
left.legend()
side = np.linspace(-1.2, 1.2, 120)
grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
hidden = grid
for k, (W, c) in enumerate(layers(result.x)):
    hidden = hidden @ W + c if k == len(SHAPES) - 1 else np.tanh(hidden @ W + c)
score = (hidden[:, 1] - hidden[:, 0]).reshape(120, 120)
right.contourf(side, side, score, levels=[-1e9, 0, 1e9], colors=["#cfe0f0", "#f5d6c8"])
right.scatter(*inputs.T, c=arm, cmap="coolwarm", s=8)
right.set_xlabel("first input")
right.set_ylabel("second input")
right.set_title("The two classes")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_numpy_mlp_gauss_newton.png", dpi=120)
