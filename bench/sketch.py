"""Sketching against SciPy, NumPy, scikit-learn, torch and skerch, and against the floors in bytes.

    python bench/sketch.py [--json FILE] [--markdown FILE] [--only PART ...] [--quick]

One thread. Seconds are CPU seconds of the process, minima over interleaved rounds; read the ratios.
What is not installed is left out, and said.
"""

from __future__ import annotations

import time
from typing import Any

import one_thread  # before NumPy
from one_thread import available, shortest

# isort: split
import numpy as np
import scipy.linalg
import scipy.sparse
from sketch_problems import KernelRidge, backward_error, decaying

import ritz
import ritz.sketch

GOALS = {
    "normals": 5.0,
    "sparse_scipy": 1.5,
    "sparse_gflops": 20.0,
    "fwht_copy": 0.5,
    "svd": 3.0,
    "lstsq": 1.8,
    "backward_error": 5e-16,
}
PEERS = ("scikit-learn", "skerch", "torch")

Row = dict[str, Any]


def normals(quick: bool) -> list[Row]:
    """Time the elements of a Gaussian sketch against NumPy's generator, in the same memory."""
    d, m = (64, 1 << 12) if quick else (256, 1 << 16)
    rows = []
    for dtype in ("float32", "float64"):
        S = ritz.sketch.Gaussian(d, m, seed=1, dtype=dtype)
        rng = np.random.default_rng(1)
        out, every = np.zeros((d, m), dtype), slice(None)
        run: one_thread.Runs = {
            "ritz Gaussian": lambda S=S, out=out: S.submatrix(every, every, out=out),
            "NumPy standard_normal": lambda rng=rng, t=dtype, out=out: rng.standard_normal(
                dtype=t, out=out
            ),
        }
        if torch := available("torch"):
            torch.set_num_threads(1)
            run["torch normal_"] = torch.from_numpy(out).normal_
        for name, time_ in shortest(run, 3 if quick else 15).items():
            rows.append(
                {
                    "what": f"normals, {dtype}",
                    "solver": name,
                    "seconds": time_,
                    "per_second": d * m / time_,
                }
            )
    return rows


def sparse(quick: bool) -> list[Row]:
    """Time Y = S A for a tall A by rows, S of eight entries a column."""
    m, n, d, nnz = (20_000, 64, 256, 8) if quick else (1_000_000, 64, 256, 8)
    A = np.random.default_rng(2).standard_normal((m, n))
    S = ritz.sketch.SparseStack(d, m, seed=1, nnz=nnz, dtype="float64")
    rng = np.random.default_rng(3)
    entries = np.sort(rng.integers(0, d // nnz, (m, nnz)) + np.arange(nnz) * (d // nnz), axis=1)
    csc = scipy.sparse.csc_matrix(
        (
            rng.choice([-1.0, 1.0], m * nnz) / np.sqrt(nnz),
            entries.ravel(),
            np.arange(0, m * nnz + 1, nnz),
        ),
        shape=(d, m),
    )
    run = {
        "ritz SparseStack @ A": lambda: S @ A,
        "SciPy csc_matrix @ A": lambda: csc @ A,
        "A read and written once (copy)": A.copy,
    }
    flops, floor = 2 * nnz * m * n, 8 * m * n + 4 * nnz * m
    return [
        {
            "what": f"{d} × {m} times {m} × {n}, {nnz} entries a column",
            "solver": name,
            "seconds": time_,
            "gflops": flops / time_ / 1e9,
            "bytes_per_second": floor / time_,
        }
        for name, time_ in shortest(run, 3 if quick else 7).items()
    ]


def hadamard(quick: bool) -> list[Row]:
    """Time the Walsh-Hadamard transform against a copy of the same vector."""
    rows = []
    for p in (14,) if quick else (16, 20, 22, 24, 26):
        for dtype in ("float32", "float64"):
            x = np.random.default_rng(4).standard_normal(1 << p).astype(dtype)
            y = np.zeros_like(x)
            run = {
                "ritz fwht": lambda x=x: ritz.sketch.fwht(x),
                "ritz fwht, in place": lambda y=y: ritz.sketch.fwht(y, overwrite_x=True),
                "copy": lambda x=x, y=y: np.copyto(y, x),
            }
            times = shortest(run, 5 if p > 22 else 15)
            for name, time_ in times.items():
                rows.append(
                    {
                        "what": f"length 2^{p}, {dtype}",
                        "solver": name,
                        "seconds": time_,
                        "of_copy": times["copy"] / time_,
                    }
                )
    return rows


def svd(quick: bool) -> list[Row]:
    """Time 20 singular triplets of a dense matrix with σ_j = 1/j."""
    m, n, k = (1000, 300, 20) if quick else (8000, 2000, 20)
    A, s = decaying(m, n, 1.0)
    run: one_thread.Runs = {
        "ritz svd_lowrank": lambda: tuple(ritz.svd_lowrank(A, k, seed=1)),
        "ritz svds": lambda: tuple(ritz.svds(A, k, tol=1e-8, seed=1)),
        "SciPy svds (ARPACK)": lambda: scipy.sparse.linalg.svds(A, k, random_state=1),
    }
    if sklearn := available("sklearn.utils.extmath"):
        run["scikit-learn randomized_svd"] = lambda: sklearn.randomized_svd(A, k, random_state=1)
    if torch := available("torch"):
        torch.set_num_threads(1)
        T = torch.from_numpy(A)
        run["torch svd_lowrank"] = lambda: _torch_svd(torch, T, k)
    if skerch := available("skerch.algorithms"):
        run["skerch ssvd"] = lambda: _skerch(skerch, A, k)
    rows = []
    times = shortest(run, 1 if quick else 3)
    best = float(np.sqrt(np.sum(s[k:] ** 2)))
    for name, f in run.items():
        U, values, Vh = (np.asarray(part) for part in f())
        order = np.argsort(-values)
        U, values, Vh = U[:, order][:, :k], values[order][:k], Vh[order][:k]
        # ‖A − U Σ Vᴴ‖_F² = ‖A‖_F² − 2 Re tr(…) + ‖Σ‖²: A is known by its singular values.
        error = np.linalg.norm(A - (U * values) @ Vh)
        rows.append(
            {
                "what": f"{k} triplets of {m} × {n}, σ_j = 1/j",
                "solver": name,
                "seconds": times[name],
                "error_over_best": float(error / best - 1.0),
                "values": float(np.max(np.abs(values - s[:k]) / s[:k])),
            }
        )
    return rows


def _torch_svd(torch: Any, T: Any, k: int) -> tuple[Any, Any, Any]:
    torch.manual_seed(1)
    U, s, V = torch.svd_lowrank(T, k + 10, niter=2)
    return U[:, :k], s[:k], V[:, :k].T


def _skerch(skerch: Any, A: Any, k: int) -> tuple[Any, Any, Any]:
    import torch

    U, s, Vh = skerch.ssvd(torch.from_numpy(A), "cpu", torch.float64, k + 10, seed=12345)
    return U[:, :k], s[:k], Vh[:k]


def lstsq(quick: bool) -> list[Row]:
    """Time an overdetermined system of condition 1e6 against LAPACK."""
    m, n = (4000, 50) if quick else (131_072, 256)
    rng = np.random.default_rng(5)
    A = rng.standard_normal((m, n)) * np.logspace(0, -6, n)
    A = A @ scipy.linalg.qr(rng.standard_normal((n, n)))[0]
    b = A @ rng.standard_normal(n) + 1e-6 * rng.standard_normal(m)
    run = {
        "ritz lstsq": lambda: ritz.lstsq(A, b, seed=1)[0],
        "SciPy lstsq (gelsd)": lambda: scipy.linalg.lstsq(A, b, lapack_driver="gelsd")[0],
        "SciPy lstsq (gelsy)": lambda: scipy.linalg.lstsq(A, b, lapack_driver="gelsy")[0],
        "normal equations": lambda: scipy.linalg.solve(A.T @ A, A.T @ b, assume_a="pos"),
    }
    times = shortest(run, 1 if quick else 3)
    return [
        {
            "what": f"{m} × {n}, condition 1e6",
            "solver": name,
            "seconds": times[name],
            "backward_error": backward_error(A, b, f()),
        }
        for name, f in run.items()
    ]


def ridge(quick: bool) -> list[Row]:
    """Time kernel ridge regression of effective dimension 280: sketch and solve against CG."""
    problem = KernelRidge(400 if quick else 4000, 60 if quick else 280)
    rows = []
    for name, f in {
        "CG": lambda: ritz.cg(problem.A + problem.mu, problem.b, rtol=1e-8, maxiter=20_000),
        "CG with ritz.precond.nystrom, rank found": problem.preconditioned,
        "CG with ritz.precond.nystrom, rank given": lambda: problem.preconditioned(
            round(problem.dimension)
        ),
    }.items():
        begin = time.process_time()
        result = f()
        rows.append(
            {
                "what": f"n = {problem.n}, effective dimension {problem.dimension:.0f}",
                "solver": name,
                "seconds": time.process_time() - begin,
                "iterations": int(result.iterations),
                "status": result.status.name,
            }
        )
    return rows


PARTS: one_thread.Parts = {
    "normals": normals,
    "sparse": sparse,
    "hadamard": hadamard,
    "svd": svd,
    "lstsq": lstsq,
    "ridge": ridge,
}


def verdicts(report: Row) -> list[str]:
    """Return the ratios that the goals are about."""

    def time_of(part: str, what: str, solver: str) -> float:
        for row in report.get(part, []):
            if row["what"].startswith(what) and row["solver"].startswith(solver):
                return float(row["seconds"])
        return float("nan")

    lines = []
    for dtype in ("float32", "float64"):
        ratio = time_of("normals", f"normals, {dtype}", "NumPy") / time_of(
            "normals", f"normals, {dtype}", "ritz"
        )
        lines.append(f"normals, {dtype}: {ratio:.1f} × NumPy's rate (goal {GOALS['normals']})")
    ratio = time_of("sparse", "", "SciPy") / time_of("sparse", "", "ritz")
    gflops = next((r["gflops"] for r in report.get("sparse", []) if "ritz" in r["solver"]), 0.0)
    lines.append(
        f"SparseStack: {ratio:.1f} × SciPy (goal {GOALS['sparse_scipy']}), {gflops:.1f} GF/s "
        f"(goal {GOALS['sparse_gflops']})"
    )
    for row in report.get("hadamard", []):
        if "in place" in row["solver"]:
            lines.append(
                f"fwht in place, {row['what']}: {row['of_copy']:.2f} of a copy (goal "
                f"{GOALS['fwht_copy']} beyond the second-level cache)"
            )
    ratio = time_of("svd", "", "scikit") / time_of("svd", "", "ritz svd_lowrank")
    lines.append(f"svd_lowrank: {ratio:.1f} × scikit-learn (goal {GOALS['svd']})")
    ratio = time_of("lstsq", "", "SciPy lstsq (gelsd)") / time_of("lstsq", "", "ritz")
    lines.append(f"lstsq: {ratio:.1f} × gelsd (goal {GOALS['lstsq']})")
    for how in ("rank found", "rank given"):
        ratio = time_of("ridge", "", "CG") / time_of(
            "ridge", "", f"CG with ritz.precond.nystrom, {how}"
        )
        lines.append(f"kernel ridge, {how}: plain CG takes {ratio:.1f} × the time")
    return lines


def markdown(report: Row) -> str:
    lines = ["| problem | solver | seconds | |", "|---|---|---|---|"]
    for part in PARTS:
        before = None
        for row in report.get(part, []):
            extra = ", ".join(
                str(value) if isinstance(value, str) else f"{name.replace('_', ' ')} {value:.3g}"
                for name, value in row.items()
                if name not in ("what", "solver", "seconds")
            )
            what = "" if row["what"] == before else row["what"]
            before = row["what"]
            lines.append(f"| {what} | {row['solver']} | {row['seconds']:.3g} | {extra} |")
    return "\n".join([*lines, "", *(f"- {line}." for line in verdicts(report)), ""])


if __name__ == "__main__":
    one_thread.main(__doc__, PARTS, markdown, GOALS, PEERS)
