"""Iterations and seconds on the eight matrices of the pyamg package, beside SciPy.

    python bench/matrices.py [--json FILE] [--markdown FILE]

Every solver that applies is asked for ‖b − A x‖ ≤ 1e-8 ‖b‖, with the compiled sparse product
of each library. `true` is the residual that was really reached.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from machine import describe
from pyamg.gallery import load_example

import ritz

NAMES = [
    "airfoil",
    "bar",
    "helmholtz_2D",
    "knot",
    "local_disc_galerkin_diffusion",
    "recirc_flow",
    "unit_cube",
    "unit_square",
]
RTOL = 1e-8
RESTART = 30
ROUNDS = 5


def solvers(A: Any, b: npt.NDArray[Any], n: int) -> dict[str, tuple[Any, Any]]:
    """The solvers that apply to A: ours, and SciPy's with a counter of products."""
    limit = 20 * n
    ours: dict[str, Callable[[], Any]] = {}
    theirs: dict[str, Callable[[Any], Any]] = {}
    symmetric = abs(A - A.conj().T).max() <= 1e-12 * abs(A).max()
    definite = symmetric and spla.eigsh(A, 1, which="SA", return_eigenvectors=False, tol=1e-2) > 0
    if definite:
        ours["cg"] = lambda: ritz.cg(A, b, rtol=RTOL, maxiter=limit)
        theirs["cg"] = lambda op: spla.cg(op, b, rtol=RTOL, maxiter=limit)
        ours["cr"] = lambda: ritz.cr(A, b, rtol=RTOL, maxiter=limit)
    if symmetric:
        ours["minres"] = lambda: ritz.minres(A, b, rtol=RTOL, maxiter=limit)
        theirs["minres"] = lambda op: spla.minres(op, b, rtol=RTOL, maxiter=limit)
        ours["minres_qlp"] = lambda: ritz.minres_qlp(A, b, rtol=RTOL, maxiter=limit)
    ours["gmres(30)"] = lambda: ritz.gmres(A, b, rtol=RTOL, restart=RESTART, maxiter=limit)
    theirs["gmres(30)"] = lambda op: spla.gmres(
        op, b, rtol=RTOL, restart=RESTART, maxiter=limit // RESTART
    )
    ours["gcrodr(30)"] = lambda: ritz.gcrodr(A, b, rtol=RTOL, restart=RESTART, k=10, maxiter=limit)
    theirs["gcrodr(30)"] = lambda op: spla.gcrotmk(
        op, b, rtol=RTOL, m=RESTART - 10, k=10, maxiter=limit // RESTART
    )
    ours["bicgstab"] = lambda: ritz.bicgstab(A, b, rtol=RTOL, maxiter=limit)
    theirs["bicgstab"] = lambda op: spla.bicgstab(op, b, rtol=RTOL, maxiter=limit)
    ours["bicgstabl"] = lambda: ritz.bicgstabl(A, b, rtol=RTOL, maxiter=limit)
    ours["idrs"] = lambda: ritz.idrs(A, b, rtol=RTOL, maxiter=limit)
    least = {"atol": 0.0, "btol": RTOL, "conlim": 0.0}
    ours["lsmr"] = lambda: ritz.lsmr(A, b, **least, maxiter=limit)
    theirs["lsmr"] = lambda op: spla.lsmr(op, b, **least, maxiter=limit)
    ours["lsqr"] = lambda: ritz.lsqr(A, b, **least, maxiter=limit)
    theirs["lsqr"] = lambda op: spla.lsqr(op, b, **least, iter_lim=limit)
    return {name: (run, theirs.get(name)) for name, run in ours.items()}


def counted(A: Any) -> tuple[spla.LinearOperator, list[int]]:
    """A as SciPy's operator, and how many products it has made."""
    count = [0]
    adjoint = A.conj().T.tocsr()

    def matvec(v: Any) -> Any:
        count[0] += 1
        return A @ v

    def rmatvec(v: Any) -> Any:
        count[0] += 1
        return adjoint @ v

    return spla.LinearOperator(A.shape, matvec, rmatvec, dtype=A.dtype), count


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """The answer, and the median of some timings."""
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        answer = run()
        seconds.append(time.perf_counter() - start)
        if seconds[0] > 1.0:
            break
    return answer, statistics.median(seconds)


def rows(name: str) -> list[dict[str, Any]]:
    """All solvers on one matrix."""
    A = sp.csr_array(load_example(name)["A"])
    n = A.shape[0]
    b = A @ np.random.default_rng(0).standard_normal(n)
    norm_b = np.linalg.norm(b)
    found = []
    for method, (run, peer) in solvers(A, b, n).items():
        result, seconds = timed(run)
        row = {
            "matrix": name,
            "method": method,
            "status": result.status.name,
            "products": result.products.total,
            "seconds": seconds,
            "true": float(np.linalg.norm(b - A @ result.x) / norm_b),
        }
        if peer is not None:
            op, count = counted(A)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = peer(op)
                products = count[0]
                _, their_seconds = timed(lambda peer=peer: peer(A))
            row |= {
                "scipy_products": products,
                "scipy_seconds": their_seconds,
                "scipy_true": float(np.linalg.norm(b - A @ answer[0]) / norm_b),
                "scipy_over_ritz": their_seconds / seconds,
            }
        found.append(row)
        print(row)
    return found


def markdown(report: list[dict[str, Any]]) -> str:
    """The table of the documentation."""
    lines = [
        "| matrix | solver | ending | products | true residual | SciPy: products | true residual "
        "| time of SciPy / ritz |",
        "|---|---|---|---|---|---|---|---|",
    ]
    last = ""
    for row in report:
        matrix = "" if row["matrix"] == last else row["matrix"]
        last = row["matrix"]
        cells = [matrix, f"`{row['method']}`", row["status"], str(row["products"])]
        cells.append(f"{row['true']:.1e}")
        if "scipy_products" in row:
            cells += [str(row["scipy_products"]), f"{row['scipy_true']:.1e}"]
            cells.append(f"{row['scipy_over_ritz']:.1f}")
        else:
            cells += ["", "", ""]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the numbers, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--markdown", type=Path, help="write the documentation's table here")
    arguments = parser.parse_args()
    report = [row for name in NAMES for row in rows(name)]
    if arguments.json:
        text = json.dumps({"machine": describe(), "rtol": RTOL, "rows": report}, indent=2)
        arguments.json.write_text(text + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(markdown(report))


if __name__ == "__main__":
    main()
