"""What products with curvature matrices cost, as multiples of one gradient of the same model.

    python bench/curvature.py [--json FILE] [--markdown FILE] [--only torch|jax]

One thread. Times are CPU seconds of the process, minima over interleaved rounds, divided by those
of one gradient in the same rounds; read the ratios. curvlinops is measured beside ritz.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from one_thread import Runs, shortest  # before NumPy

# isort: split
import numpy as np
from machine import describe

import ritz
from curvature_models import NAMES, in_jax, in_torch

WAYS = ("graph", "trace", "recompute", "auto")
GOALS = {
    "gauss_newton": {"mlp": 1.3, "conv": 1.3, "transformer": 1.7},
    "hessian": {"mlp": 1.5, "conv": 2.2, "transformer": 2.1},
    "gauss_newton, 8 columns": {"mlp": 1.2, "conv": 1.3, "transformer": 1.6},
    "jax": 1.1,
    "cg": 20.0,
}
COLUMNS = 8
ROUNDS = 25
SETTLING = 25  # products after which "auto" has chosen


def error(product: Any, oracle: Any) -> float:
    product, oracle = np.asarray(product), np.asarray(oracle)
    return float(np.linalg.norm(product - oracle) / np.linalg.norm(oracle))


def require(product: Any, oracle: Any, what: str) -> None:
    """Refuse to time products of another matrix."""
    if not error(product, oracle) < 1e-5:
        raise AssertionError(f"{what}: wrong by {error(product, oracle):.1e}")


# ---- torch -----------------------------------------------------------------------------------


def torch_products(name: str) -> list[dict[str, Any]]:
    """Gauss-Newton and Hessian of one model: each way, and curvlinops."""
    import curvlinops
    import torch

    torch.set_num_threads(1)
    module, x, y = in_torch(name)
    parameters = list(module.parameters())
    n = sum(p.numel() for p in parameters)
    cross_entropy = torch.nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    v = torch.from_numpy(rng.standard_normal(n).astype(np.float32))
    V = torch.from_numpy(rng.standard_normal((n, COLUMNS)).astype(np.float32))

    def gradient() -> object:
        return torch.autograd.grad(cross_entropy(module(x), y), parameters)

    def hessian(way: str) -> Any:
        return ritz.hessian(module, None, (x, y), "cross_entropy", linearize=way)

    def gauss_newton(way: str) -> Any:
        return ritz.gauss_newton(module, None, (x, y), "cross_entropy", linearize=way)

    rows = []
    matrices = {
        "gauss_newton": (gauss_newton, curvlinops.GGNLinearOperator),
        "hessian": (hessian, curvlinops.HessianLinearOperator),
    }
    oracles = torch_oracles(module, cross_entropy, x, y, parameters, v)
    for matrix, (ours, theirs) in matrices.items():
        oracle = oracles[matrix]
        peer = theirs(module, cross_entropy, parameters, [(x, y)], check_deterministic=False)
        operators = {way: ours(way) for way in WAYS}
        runs: Runs = {"gradient": gradient, "curvlinops": lambda: peer @ v}
        blocks: Runs = {"gradient": gradient, "curvlinops": lambda: peer @ V}
        setups: Runs = {
            "gradient": gradient,
            "curvlinops": lambda: theirs(module, cross_entropy, parameters, [(x, y)]),
        }
        for way, A in operators.items():
            require(A @ v, oracle, f"{matrix} {name} {way}")
            require((A @ V)[:, 0], A @ V[:, 0], f"{matrix} {name} {way}, {COLUMNS} columns")
            for _ in range(SETTLING):
                A @ v
                if way == "auto":
                    A @ V
            runs[way] = lambda A=A: A @ v
            blocks[way] = lambda A=A: A @ V
            if way == "auto":
                setups[way] = lambda ours=ours: several(ours("auto"), v, SETTLING)
            else:
                setups[way] = lambda ours=ours, way=way: ours(way) @ v
        one = shortest(runs, ROUNDS)
        eight = shortest(blocks, 7)
        ready = shortest(setups, 5)
        unit = min(times["gradient"] for times in (one, eight, ready))
        for way in ("curvlinops", *WAYS):
            row = {
                "model": name,
                "parameters": n,
                "gradient_ms": unit * 1e3,
                "matrix": matrix,
                "way": way,
                "product": one[way] / unit,
                "columns_per_vector": eight[way] / COLUMNS / unit,
            }
            if way == "curvlinops":
                row["setup"] = ready[way] / unit
                row["error"] = error(peer @ v, oracle)
            else:
                formation = operators[way].formation
                made = SETTLING if way == "auto" else 1
                row["setup"] = (ready[way] - made * one[way]) / unit
                row["error"] = error(operators[way] @ v, oracle)
                row["how"] = formation.how[0]
                row["kept_megabytes"] = formation.bytes / 1e6
            if way == "auto":
                row["goal"] = GOALS[matrix][name]
                row["goal_columns"] = GOALS.get(f"{matrix}, {COLUMNS} columns", {}).get(name)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def torch_oracles(
    module: Any, loss: Any, x: Any, y: Any, parameters: list[Any], v: Any
) -> dict[str, Any]:
    """G v and H v by autograd's double backward, nothing shared with either library."""
    import torch

    def flat(tensors: Any) -> Any:
        return torch.cat([t.reshape(-1) for t in tensors])

    slope = flat(torch.autograd.grad(loss(module(x), y), parameters, create_graph=True))
    hessian = flat(torch.autograd.grad(slope, parameters, v))
    z = module(x)
    w = torch.zeros_like(z, requires_grad=True)
    pulled = flat(torch.autograd.grad(z, parameters, w, create_graph=True))
    (u,) = torch.autograd.grad(pulled, w, v)
    logits = z.detach().requires_grad_()
    (g,) = torch.autograd.grad(loss(logits, y), logits, create_graph=True)
    (u,) = torch.autograd.grad(g, logits, u)
    return {"hessian": hessian, "gauss_newton": flat(torch.autograd.grad(z, parameters, u))}


def several(A: Any, v: Any, count: int) -> None:
    """Make some products."""
    for _ in range(count):
        A @ v


# ---- JAX -------------------------------------------------------------------------------------


class Compilations:
    """Counts what XLA compiles."""

    def __init__(self) -> None:
        import jax

        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self.heard)

    def heard(self, event: str, duration: float, **more: Any) -> None:
        self.count += event == "/jax/core/compile/backend_compile_duration"


def jax_products(name: str, compilations: Compilations) -> dict[str, Any]:
    """Gauss-Newton at several points of one model."""
    import jax

    model, params, x, y = in_jax(name)
    gradient, flat = jax_gradient(model, x, y)
    v = jax.numpy.asarray(np.random.default_rng(0).standard_normal(flat(params).size), "float32")
    points = [jax.tree.map(lambda p, s=s: (1.0 + 0.01 * s) * p, params) for s in range(10)]

    def at(point: Any) -> Any:
        return ritz.gauss_newton(model, point, (x, y), "cross_entropy")

    H = ritz.hessian(model, params, (x, y), "cross_entropy")
    jax.block_until_ready([gradient(params), H @ v])
    before = compilations.count
    G = at(params)
    require(G @ v, reference(model, params, x, y, v), f"jax {name}")
    first = compilations.count - before
    for point in points:
        jax.block_until_ready(at(point) @ v)
    again = compilations.count - before - first
    G = at(points[0])
    times = shortest(
        {
            "gradient": lambda: jax.block_until_ready(gradient(params)),
            "product": lambda: jax.block_until_ready(G @ v),
            "hessian": lambda: jax.block_until_ready(H @ v),
            "setup": lambda: jax.block_until_ready(at(points[1]) @ v),
        },
        ROUNDS,
    )
    unit = times["gradient"]
    row = {
        "model": name,
        "gradient_ms": unit * 1e3,
        "product": times["product"] / unit,
        "goal": GOALS["jax"],
        "hessian": times["hessian"] / unit,
        "setup": (times["setup"] - times["product"]) / unit,
        "points": len(points),
        "compilations_first_point": first,
        "compilations_other_points": again,
        "kept_megabytes": G.formation.bytes / 1e6,
    }
    print(json.dumps(row), flush=True)
    return row


def cross_entropy(z: Any, y: Any) -> Any:
    import jax

    return -jax.numpy.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()


def jax_gradient(model: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """The jitted gradient, as a tree, and the function that flattens trees."""
    import jax
    from jax.flatten_util import ravel_pytree

    gradient = jax.jit(jax.grad(lambda p, x, y: cross_entropy(model(p, x), y)))
    return lambda p: gradient(p, x, y), lambda tree: ravel_pytree(tree)[0]


def product_at(model: Any, params: Any, x: Any, y: Any) -> Callable[[Any], Any]:
    """Return v ↦ G v by JAX alone, linearised once, to be used inside of jit."""
    import jax
    from jax.flatten_util import ravel_pytree

    flat, tree = ravel_pytree(params)
    z, jvp = jax.linearize(lambda p: model(tree(p), x), flat)
    vjp = jax.linear_transpose(jvp, flat)

    def product(v: Any) -> Any:
        u = jax.jvp(jax.grad(lambda z: cross_entropy(z, y)), (z,), (jvp(v),))[1]
        return vjp(u)[0]

    return product


def reference(model: Any, params: Any, x: Any, y: Any, v: Any) -> Any:
    import jax

    return jax.jit(lambda p, v: product_at(model, p, x, y)(v))(params, v)


def conjugate_gradients() -> dict[str, Any]:
    """Ten steps for (G + I) s = g on the conv net, beside JAX's own solver under jit."""
    import jax

    model, params, x, y = in_jax("conv")
    gradient, flat = jax_gradient(model, x, y)
    g = flat(gradient(params))
    A = ritz.gauss_newton(model, params, (x, y), "cross_entropy") + 1.0

    @jax.jit
    def solve(params: Any, g: Any) -> Any:
        product = product_at(model, params, x, y)
        return jax.scipy.sparse.linalg.cg(lambda v: product(v) + v, g, tol=0.0, maxiter=10)[0]

    def ours() -> Any:
        return ritz.cg(A, g, rtol=0.0, maxiter=10)[0]

    require(ours(), solve(params, g), "cg")
    times = shortest(
        {
            "gradient": lambda: jax.block_until_ready(gradient(params)),
            "ritz": lambda: jax.block_until_ready(ours()),
            "jax": lambda: jax.block_until_ready(solve(params, g)),
        },
        5,
    )
    row = {
        "iterations": 10,
        "ritz_ms": times["ritz"] * 1e3,
        "jax_ms": times["jax"] * 1e3,
        "ritz_gradients": times["ritz"] / times["gradient"],
        "jax_over_ritz": times["jax"] / times["ritz"],
        "goal": GOALS["cg"],
    }
    print(json.dumps(row), flush=True)
    return row


# ---- tables ----------------------------------------------------------------------------------

TITLES = {"mlp": "MLP", "conv": "conv net", "transformer": "transformer"}
MATRICES = {"gauss_newton": "$G v$", "hessian": "$H v$"}


def markdown(report: dict[str, Any]) -> str:
    """The numbers as the guide shows them."""
    lines = [
        "| product | model | curvlinops | recompute | graph | trace | auto | goal |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for what, quantity, goal in (
        ("", "product", "goal"),
        (", 8 columns, per vector", "columns_per_vector", "goal_columns"),
    ):
        for matrix, title in MATRICES.items():
            for name in NAMES:
                rows = {
                    r["way"]: r
                    for r in report["torch"]
                    if (r["matrix"], r["model"]) == (matrix, name)
                }
                cells = [
                    f"{rows[way][quantity]:.2f}"
                    for way in ("curvlinops", "recompute", "graph", "trace", "auto")
                ]
                cells[-1] = f"**{cells[-1]}** ({rows['auto']['how']})"
                limit = rows["auto"][goal]
                cells.append("" if limit is None else f"{limit}")
                lines.append(f"| {title}{what} | {TITLES[name]} | {' | '.join(cells)} |")
    lines += [
        "",
        "| set-up, once a point | model | recompute | graph | trace | MB kept, graph | trace |",
        "|---|---|---|---|---|---|---|",
    ]
    for matrix, title in MATRICES.items():
        for name in NAMES:
            rows = {
                r["way"]: r for r in report["torch"] if (r["matrix"], r["model"]) == (matrix, name)
            }
            cells = [f"{rows[way]['setup']:.1f}" for way in ("recompute", "graph", "trace")]
            cells += [f"{rows[way]['kept_megabytes']:.1f}" for way in ("graph", "trace")]
            lines.append(f"| {title} | {TITLES[name]} | {' | '.join(cells)} |")
    lines += [
        "",
        "| JAX | $G v$ | goal | $H v$ | set-up | MB kept | compiled, 1st point | 10 others |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in report["jax"]:
        cells = [f"{r['product']:.2f}", f"{r['goal']}"]
        cells += [f"{r['hessian']:.2f}", f"{r['setup']:.1f}", f"{r['kept_megabytes']:.1f}"]
        cells += [str(r["compilations_first_point"]), str(r["compilations_other_points"])]
        lines.append(f"| {TITLES[r['model']]} | {' | '.join(cells)} |")
    cg = report["cg"]
    lines += [
        "",
        f"Ten steps of `ritz.cg` for $(G + I)\\,s = g$ on the conv net in JAX take "
        f"{cg['ritz_ms']:.0f} ms, {cg['ritz_gradients']:.1f} gradients. Those of "
        f"`jax.scipy.sparse.linalg.cg` under `jit` take {cg['jax_over_ritz']:.0f} times as long "
        f"(goal: {cg['goal']:.0f}).",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the numbers, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    parser.add_argument("--only", choices=["torch", "jax"], help="leave the other framework out")
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": describe()}
    if arguments.only != "jax":
        import torch

        report["machine"]["torch"] = torch.__version__
        report["torch"] = [row for name in NAMES for row in torch_products(name)]
    if arguments.only != "torch":
        import jax

        report["machine"]["jax"] = jax.__version__
        compilations = Compilations()
        report["jax"] = [jax_products(name, compilations) for name in NAMES]
        report["cg"] = conjugate_gradients()
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")
    if arguments.markdown:
        if arguments.only:
            parser.error("--markdown needs both frameworks; leave --only out")
        arguments.markdown.write_text(markdown(report))


if __name__ == "__main__":
    main()
