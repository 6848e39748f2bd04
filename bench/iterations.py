"""What a callback and an iteration cost, beside SciPy in the same run.

    python bench/iterations.py [--json bench/results/iterations.json]

Times are medians over interleaved rounds, ratios medians of the rounds' ratios; read the ratios.
"""

from __future__ import annotations

import argparse
import itertools
import json
import operator
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from machine import describe

import ritz

ROUNDS = 15


def medians(runs: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each callable, the callables taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if round_ > 0:  # the first round only warms up
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def callbacks() -> list[dict[str, Any]]:
    """Microseconds that one call of a closure that does nothing adds to a product.

    A trace estimate with fewer samples than dimensions is one product and little else a sample; the
    native identity has the same everything but the closure.
    """
    n, samples = 2048, 2000
    closures: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "numpy": (lambda v: v, np.zeros(n)),
    }
    try:
        import torch

        closures["torch"] = (lambda v: v, torch.zeros(n, dtype=torch.float64))
    except ImportError:
        pass
    try:
        import jax

        jax.config.update("jax_enable_x64", True)
        closures["jax"] = (jax.jit(lambda v: v * 1.0), jax.numpy.zeros(n))
    except ImportError:
        pass
    native = ritz.identity(n)
    runs: dict[str, Callable[[], object]] = {
        "native": lambda: ritz.trace(native, samples=samples),
    }
    for name, (f, like) in closures.items():
        A = ritz.LinearOperator((n, n), matvec=f, dtype=np.float64)
        runs[name] = lambda A=A, like=like: ritz.trace(A, samples=samples, like=like)
    seconds = medians(runs)
    goals = {"numpy": 0.3, "torch": 1.2, "jax": 8.0}
    return [
        {
            "framework": name,
            "us_per_callback": (seconds[name] - seconds["native"]) / samples * 1e6,
            "goal": goals[name],
        }
        for name in closures
    ]


def iterations() -> list[dict[str, Any]]:
    """Microseconds of a CG iteration with A = diag(d), with the same NumPy closure for both."""
    rows = []
    for n, count, goal in [(100, 5000, 8.0), (10_000, 300, 2.0), (1_000_000, 20, 1.5)]:
        d = np.geomspace(1e-6, 1.0, n)
        b = np.ones(n)
        closure = lambda v, d=d: d * v  # noqa: E731
        A = ritz.LinearOperator((n, n), matvec=closure, dtype=np.float64)
        filling = ritz.LinearOperator(
            (n, n),
            matvec=lambda v, out, d=d: np.multiply(d, v, out=out),
            dtype=np.float64,
            out=True,
        )
        native = ritz.diagonal(d)
        theirs = spla.LinearOperator((n, n), matvec=closure, dtype=np.float64)
        # No tolerance is met, so each runs exactly `count` iterations.
        ours = {"rtol": 0.0, "maxiter": count}
        seconds = medians(
            {
                "scipy": lambda: spla.cg(theirs, b, rtol=0.0, maxiter=count),
                "closure": lambda: ritz.cg(A, b, **ours),
                "closure_out": lambda: ritz.cg(filling, b, **ours),
                "native": lambda: ritz.cg(native, b, **ours),
            }
        )
        us = {name: value / count * 1e6 for name, value in seconds.items()}
        rows.append(
            {
                "n": n,
                "us_per_iteration": us,
                "scipy_over_closure": us["scipy"] / us["closure"],
                "scipy_over_closure_out": us["scipy"] / us["closure_out"],
                "scipy_over_native": us["scipy"] / us["native"],
                "goal_closure": goal,
                "goal_native": 50.0 if n == 100 else None,
            }
        )
    return rows


# Vectors read and written by an iteration, without the products: specification of the method's
# loop with every operation fused that the recurrence allows; GMRES averaged over a cycle of 30.
FLOORS = {
    "cg": 10,
    "cr": 12,
    "minres": 12,
    "minres_qlp": 13,
    "gmres(30)": 51.5,
    "bicgstab": 20,
    "lsqr": 11,
    "lsmr": 13,
    "cgls": 10,
}
PRODUCTS = {"bicgstab": 2, "lsqr": 2, "lsmr": 2, "cgls": 2}
DIAGONAL = 3  # vectors moved by a product with a diagonal: d, x, y
GOALS = {"cg": 1.3, "minres": 1.3, "lsmr": 1.3, "gmres(30)": 1.3}
# SciPy's time over ours with the same closure, at n = 100 and at n = 1e6.
PEER_GOALS = {"cg": (8, 1.5), "minres": (8, 3.0), "lsmr": (8, 2.2), "gmres(30)": (8, 2.0)}


class Stream:
    """Bytes a second of c = a + b, out of cache, on as many threads as ritz uses."""

    def __init__(self, n: int = 20_000_000) -> None:
        self.bytes = 3 * 8 * n
        self.a, self.b, self.c = np.ones(n), np.ones(n), np.zeros(n)
        parts = ritz.num_threads()
        bounds = np.linspace(0, n, parts + 1).astype(int)
        self.pieces = [slice(i, j) for i, j in itertools.pairwise(bounds)]
        self.pool = ThreadPoolExecutor(parts)

    def add(self, s: slice) -> None:
        np.add(self.a[s], self.b[s], out=self.c[s])

    def __call__(self) -> float:
        """The best of three."""
        seconds = []
        for _ in range(3):
            start = time.perf_counter()
            list(self.pool.map(self.add, self.pieces))
            seconds.append(time.perf_counter() - start)
        return self.bytes / min(seconds)


def ours(method: str, A: Any, b: Any, count: int, **more: Any) -> Callable[[], Any]:
    """`count` iterations: no tolerance is met."""
    name = method.partition("(")[0]
    f = getattr(ritz, name)
    if name in ("lsqr", "lsmr", "cgls"):
        return lambda: f(A, b, atol=0.0, btol=0.0, conlim=0.0, maxiter=count, **more)
    options = {"restart": 30} if name == "gmres" else {}
    return lambda: f(A, b, rtol=0.0, maxiter=count, **options, **more)


def theirs(method: str, A: Any, b: Any, count: int) -> Callable[[], object] | None:
    """The same in SciPy, if it has the method."""
    name = method.partition("(")[0]
    f = getattr(spla, name, None)
    if f is None:
        return None
    if name == "lsqr":
        return lambda: f(A, b, atol=0.0, btol=0.0, conlim=0.0, iter_lim=count)
    if name == "lsmr":
        return lambda: f(A, b, atol=0.0, btol=0.0, conlim=0.0, maxiter=count)
    if name == "gmres":
        return lambda: f(A, b, rtol=0.0, restart=30, maxiter=count // 30)
    return lambda: f(A, b, rtol=0.0, maxiter=count)


def jaxs(method: str, d: Any, b: Any, count: int) -> Callable[[], object] | None:
    """The same in jax.scipy, compiled, if JAX is installed and has the method."""
    name = method.partition("(")[0]
    if name not in ("cg", "bicgstab", "gmres"):
        return None
    try:
        import jax
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    f = getattr(jax.scipy.sparse.linalg, name)
    more = {"restart": 30} if name == "gmres" else {}
    rounds = count // 30 if name == "gmres" else count
    run = jax.jit(lambda d, b: f(lambda v: d * v, b, tol=0.0, maxiter=rounds, **more)[0])
    d_, b_ = jax.numpy.asarray(d), jax.numpy.asarray(b)
    return lambda: run(d_, b_).block_until_ready()


def pylops(method: str, d: Any, b: Any, count: int) -> Callable[[], object] | None:
    """The same in PyLops, if it is installed and has the method."""
    try:
        import pylops as pl
    except ImportError:
        return None
    op = pl.Diagonal(d)
    solvers = {"cg": pl.optimization.basic.cg, "cgls": pl.optimization.basic.cgls}
    if method not in solvers:
        return None
    return lambda: solvers[method](op, b, x0=np.zeros_like(b), niter=count, tol=0.0)


def solvers() -> list[dict[str, Any]]:
    """Each solver with A = diag(d): compiled, and as a NumPy closure beside the other libraries.

    The compiled one runs in a workspace of its own. Times are divided by the iterations that each
    library really made, as its products tell; only JAX's and PyLops' counts are believed.
    """
    rows = []
    stream = Stream()
    sizes = [
        (100, 900),
        (1_000, 300),
        (10_000, 90),
        (100_000, 60),
        (1_000_000, 30),
        (10_000_000, 30),
    ]
    for n, count in sizes:
        d = np.geomspace(1e-6, 1.0, n)
        b = np.random.default_rng(0).standard_normal(n)
        calls = [0]

        def closure(v: Any, d: Any = d, calls: list[int] = calls) -> Any:
            calls[0] += 1
            return d * v

        A = ritz.LinearOperator((n, n), closure, closure, dtype=np.float64, symmetric=True)
        peer = spla.LinearOperator((n, n), closure, closure, dtype=np.float64)
        native = ritz.diagonal(d)
        for method, floor in FLOORS.items():
            if n > 1_000_000 and method not in GOALS:
                continue
            name = method.partition("(")[0]
            options: Any = {"restart": 30} if name == "gmres" else {}
            held: Any = {"workspace": ritz.Workspace(name, n, **options), "out": np.zeros(n)}
            runs: dict[str, Callable[[], Any] | None] = {
                "native": ours(method, native, b, count, **held),
                "closure": ours(method, A, b, count),
            }
            if n <= 1_000_000:
                runs["scipy"] = theirs(method, peer, b, count)
                runs["jax"] = jaxs(method, d, b, count)
                runs["pylops"] = pylops(method, d, b, count)
            made = {}
            for library, run in runs.items():
                if run is None:
                    continue
                calls[0] = 0
                result = run()
                made[library] = count
                if library in ("native", "closure"):
                    made[library] = result.iterations
                elif library == "scipy":
                    made[library] = round(calls[0] / PRODUCTS.get(method, 1))
            repeat = max(1, 500 // n)
            seconds: dict[str, list[float]] = {library: [] for library in made}
            moved = []
            for _ in range(7 if n >= 100_000 else 15):
                for library in made:
                    run = runs[library]
                    assert run is not None
                    start = time.perf_counter()
                    for _ in range(repeat):
                        run()
                    took = (time.perf_counter() - start) / repeat / made[library]
                    seconds[library].append(took)
                if n >= 1_000_000:
                    moved.append(seconds["native"][-1] * stream() / (8 * n))
            us = {library: statistics.median(times) * 1e6 for library, times in seconds.items()}
            row: dict[str, Any] = {"method": method, "n": n, "us_per_iteration": us}
            if moved:
                row["vectors_moved"] = statistics.median(moved)
                row["floor_vectors"] = floor + DIAGONAL * PRODUCTS.get(method, 1)
                row["over_floor"] = row["vectors_moved"] / row["floor_vectors"]
                row["goal_over_floor"] = GOALS.get(method)
            for library in ("scipy", "jax", "pylops"):
                for kind in ("closure", "native"):
                    if library in us:
                        ratios = map(operator.truediv, seconds[library], seconds[kind])
                        row[f"{library}_over_{kind}"] = statistics.median(ratios)
            if method in PEER_GOALS and n in (100, 1_000_000):
                row["goal_scipy_over_closure"] = PEER_GOALS[method][n > 100]
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    """Print the numbers, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    arguments = parser.parse_args()
    report = {
        "machine": describe(),
        "callbacks": callbacks(),
        "cg": iterations(),
        "solvers": solvers(),
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
