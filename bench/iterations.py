"""What a callback and an iteration cost, beside SciPy in the same run.

    python bench/iterations.py [--json bench/results/iterations.json]

Times are medians over interleaved rounds; read the ratios, not the absolute numbers.
"""

from __future__ import annotations

import argparse
import json
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


def stream() -> float:
    """Bytes a second of c = a + b, out of cache, on as many threads as ritz uses."""
    n, parts = 20_000_000, ritz.num_threads()
    a, b, c = np.ones(n), np.ones(n), np.empty(n)
    pieces = np.array_split(np.arange(n), parts)
    slices = [slice(int(p[0]), int(p[-1]) + 1) for p in pieces]
    best = np.inf
    with ThreadPoolExecutor(parts) as pool:
        for _ in range(10):
            start = time.perf_counter()
            list(pool.map(lambda s: np.add(a[s], b[s], out=c[s]), slices))
            best = min(best, time.perf_counter() - start)
    return 3 * 8 * n / best


def ours(method: str, A: Any, b: Any, count: int) -> Callable[[], object]:
    """`count` iterations: no tolerance is met."""
    name = method.partition("(")[0]
    f = getattr(ritz, name)
    if name in ("lsqr", "lsmr", "cgls"):
        return lambda: f(A, b, atol=0.0, btol=0.0, conlim=0.0, maxiter=count)
    options = {"restart": 30} if name == "gmres" else {}
    return lambda: f(A, b, rtol=0.0, maxiter=count, **options)


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
    if name == "minres":
        return lambda: f(A, b, rtol=0.0, maxiter=count)
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
    """Each solver with A = diag(d): compiled, and as a NumPy closure beside the other libraries."""
    rows = []
    bandwidth = stream()
    for n, count in [
        (100, 900),
        (1_000, 900),
        (10_000, 300),
        (100_000, 90),
        (1_000_000, 30),
        (10_000_000, 30),
    ]:
        d = np.linspace(1.0, 3.0, n) ** 4
        b = np.random.default_rng(0).standard_normal(n)
        closure = lambda v, d=d: d * v  # noqa: E731
        A = ritz.LinearOperator((n, n), closure, closure, dtype=np.float64, symmetric=True)
        peer = spla.LinearOperator((n, n), closure, closure, dtype=np.float64)
        native = ritz.diagonal(d)
        for method, floor in FLOORS.items():
            if n > 1_000_000 and method not in GOALS:
                continue
            runs = {"native": ours(method, native, b, count), "closure": ours(method, A, b, count)}
            others = {
                "scipy": theirs(method, peer, b, count),
                "jax": jaxs(method, d, b, count),
                "pylops": pylops(method, d, b, count),
            }
            if n <= 1_000_000:
                runs |= {name: run for name, run in others.items() if run is not None}
            seconds = {k: v / count for k, v in medians(runs, 5 if n >= 100_000 else 9).items()}
            vectors = floor + DIAGONAL * PRODUCTS.get(method, 1)
            row: dict[str, Any] = {
                "method": method,
                "n": n,
                "us_per_iteration": {name: value * 1e6 for name, value in seconds.items()},
                "floor_vectors": floor,
            }
            if n >= 1_000_000:
                moved = seconds["native"] * bandwidth / (8 * n)
                row |= {"vectors_moved": moved, "over_floor": moved / vectors}
                row["goal_over_floor"] = GOALS.get(method)
            for name in others:
                if name in seconds:
                    row[f"{name}_over_closure"] = seconds[name] / seconds["closure"]
                    row[f"{name}_over_native"] = seconds[name] / seconds["native"]
            if method in PEER_GOALS and n in (100, 1_000_000):
                row["goal_scipy_over_closure"] = PEER_GOALS[method][n > 100]
            rows.append(row)
            print(json.dumps(row))
    return [{"stream_gb_per_s": bandwidth / 1e9}, *rows]


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
