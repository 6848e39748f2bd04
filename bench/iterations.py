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
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse.linalg as spla
from machine import describe

import ritz

ROUNDS = 15


def medians(runs: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each callable, the callables taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for round_ in range(ROUNDS + 1):
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


def main() -> None:
    """Print the numbers, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    arguments = parser.parse_args()
    report = {"machine": describe(), "callbacks": callbacks(), "cg": iterations()}
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
