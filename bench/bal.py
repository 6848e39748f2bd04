"""Bundle adjustment of Dubrovnik-16: ritz through closures beside SciPy's least_squares.

    python bench/bal.py build/release/bench/bal [--json bench/results/bal.json]

Four runs from the same file, each in a process of its own, on one thread, to a relative change of
the cost of 1e-6: ritz with closures in C++ and in NumPy, both with a block-diagonal preconditioner;
SciPy with an exact sparse Jacobian and x_scale="jac"; and SciPy with an unscaled operator, which
is what it takes when there are only products (stopped after 30 evaluations). The sets are found by
RITZ_DATA, by default ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from machine import describe  # noqa: E402

import bal  # noqa: E402
import nist  # noqa: E402

FTOL = 1e-6
ROUNDS = 3  # of the compiled program, which is too short to be timed once
PROBLEM = nist.data_folder() / "bal" / "problem-16-22106-pre.txt.xz"


def usage(run: Any, **more: Any) -> dict[str, Any]:
    """Time one run in this process; the peak includes Python and the problem."""
    start = time.process_time()
    answer = run()
    return {
        "cpu_seconds": round(time.process_time() - start, 3),
        "peak_megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        **answer,
        **more,
    }


def ritz_numpy() -> dict[str, Any]:
    """Products and preconditioner by NumPy."""
    import ritz

    problem = bal.read(PROBLEM)

    def run() -> dict[str, Any]:
        fit = ritz.least_squares(
            None,
            problem.x0,
            linearize=problem.linearize,
            preconditioner=problem.preconditioner,
            ftol=FTOL,
        )
        return {
            "status": fit.status.name,
            "cost": fit.cost,
            "outer_iterations": fit.iterations,
            "inner_iterations": fit.inner_iterations,
            "jvp": fit.products.matvec,
            "vjp": fit.products.rmatvec,
            "evaluations": fit.evaluations,
        }

    return usage(run)


def scipy_sparse() -> dict[str, Any]:
    """SciPy's trust region with LSMR, the Jacobian as a sparse matrix."""
    import scipy.sparse as sp
    from scipy.optimize import least_squares

    problem = bal.read(PROBLEM)
    m, n = problem.shape
    columns = np.hstack(
        [
            bal.CAMERA * problem.camera_index[:, None] + np.arange(bal.CAMERA),
            bal.CAMERA * problem.cameras
            + bal.POINT * problem.point_index[:, None]
            + np.arange(bal.POINT),
        ]
    )
    indices = np.repeat(columns, 2, axis=0).ravel()
    indptr = np.arange(m + 1) * columns.shape[1]

    def jacobian(x: np.ndarray) -> Any:
        _, camera, point = problem.blocks(x)
        return sp.csr_matrix(
            (np.concatenate([camera, point], axis=2).ravel(), indices, indptr), shape=(m, n)
        )

    def run() -> dict[str, Any]:
        fit = least_squares(
            problem.residual, problem.x0, jac=jacobian, x_scale="jac", ftol=FTOL, tr_solver="lsmr"
        )
        return {"cost": float(fit.cost), "evaluations": fit.nfev, "jacobians": fit.njev}

    return usage(run)


def scipy_operator() -> dict[str, Any]:
    """SciPy's trust region with LSMR, the Jacobian as products; it cannot scale these."""
    from scipy.optimize import least_squares
    from scipy.sparse.linalg import LinearOperator

    problem = bal.read(PROBLEM)

    def jacobian(x: np.ndarray) -> Any:
        _, jvp, vjp = problem.linearize(x)
        return LinearOperator(problem.shape, matvec=jvp, rmatvec=vjp, dtype=np.float64)

    def run() -> dict[str, Any]:
        fit = least_squares(
            problem.residual, problem.x0, jac=jacobian, ftol=FTOL, tr_solver="lsmr", max_nfev=30
        )
        return {"cost": float(fit.cost), "evaluations": fit.nfev, "jacobians": fit.njev}

    return usage(run)


RUNS = {
    "ritz, NumPy closures": ritz_numpy,
    "scipy, sparse Jacobian, x_scale='jac'": scipy_sparse,
    "scipy, unscaled operator, 30 evaluations": scipy_operator,
}


def in_child(command: list[str]) -> dict[str, Any]:
    """Run a command that prints JSON, on one thread."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RITZ_NUM_THREADS"), "1")
    done = subprocess.run(
        command, env={**os.environ, **one_thread}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout)


def main() -> None:
    """Print the numbers, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", type=Path, help="the compiled benchmark")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--only", choices=RUNS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(RUNS[arguments.only]()))
        return
    if arguments.program is None:
        parser.error("name the compiled benchmark: build/release/bench/bal")
    if not PROBLEM.is_file():
        print(f"no {PROBLEM}: set RITZ_DATA to the folder that holds bal/; nothing measured")
        return

    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "problem.txt"
        with lzma.open(PROBLEM) as file:
            plain.write_bytes(file.read())
        command = [str(arguments.program), str(plain), str(FTOL)]
        rounds = [in_child(command) for _ in range(ROUNDS)]
    runs["ritz, C++ closures"] = min(rounds, key=lambda run: run["cpu_seconds"])
    for name in RUNS:
        runs[name] = in_child([sys.executable, __file__, "--only", name])

    report = {
        "problem": "BAL Dubrovnik-16: 66,462 parameters, 167,436 residuals; optimum 18,033.90",
        "machine": describe(threads=1),
        "ftol": FTOL,
        "runs": runs,
    }
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
