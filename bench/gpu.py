"""Iterations on a GPU against the bytes they move, and against CuPy, JAX and plain torch.

    python bench/gpu.py [--quick] [--json bench/results/gpu.json] [--tests build/editable/tests/cpp]

Needs a GPU and torch; CuPy and JAX are compared where they are installed. First the C++ tests of
the device run on it (and under compute-sanitizer, if that is found), then the times are taken. A
time is the difference of two runs of different length, so that starts and ends cancel; the floor is
what an iteration must move at the bandwidth of a copy, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from machine import describe

import ritz

# Vectors that an iteration reads and writes, with the three of a diagonal operator.
VECTORS = {"cg": 10 + 3, "minres": 11 + 3, "lsmr": 12 + 2 * 3, "gmres": 51.5 + 3}
# A Lanczos step with full reorthogonalisation sweeps the basis three times: it has BASIS vectors at
# most and half as many after a restart, which then reads and writes them once.
BASIS = 20
VECTORS["eigsh"] = 3 * 0.75 * BASIS + 6 + 3 + 1.5
ROUNDS = 7
Solve = Callable[[int], object]


def seconds(run: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - begin


def per_iteration(solve: Solve, short: int, long: int) -> float:
    """Seconds of one iteration: the median over rounds of a difference."""
    solve(short), solve(long)
    return statistics.median(
        (seconds(lambda: solve(long)) - seconds(lambda: solve(short))) / (long - short)
        for _ in range(ROUNDS)
    )


def copy_bandwidth(n: int, dtype: torch.dtype) -> float:
    """Bytes a second of y = x, read and written."""
    x, y = torch.ones(n, dtype=dtype, device="cuda"), torch.empty(n, dtype=dtype, device="cuda")
    repeats = max(10, 10**9 // n)

    def run() -> None:
        for _ in range(repeats):
            y.copy_(x)

    run()
    best = min(seconds(run) for _ in range(ROUNDS)) / repeats
    return 2 * n * x.element_size() / best


def torch_cg(d: torch.Tensor, b: torch.Tensor) -> Solve:
    """Conjugate gradients as one writes them in torch, without looking at the residual."""

    def solve(iterations: int) -> torch.Tensor:
        x, r = torch.zeros_like(b), b.clone()
        p, rr = r.clone(), torch.dot(r, r)
        for _ in range(iterations):
            q = d * p
            alpha = rr / torch.dot(p, q)
            x += alpha * p
            r -= alpha * q
            rr, before = torch.dot(r, r), rr
            p = r + (rr / before) * p
        return x

    return solve


def cupy_solvers(d: torch.Tensor, b: torch.Tensor) -> dict[str, Solve]:
    try:
        import cupy
        import cupyx.scipy.sparse.linalg as cla
    except ImportError:
        return {}
    diagonal, right = cupy.asarray(d), cupy.asarray(b)
    n = right.size
    A = cla.LinearOperator(
        (n, n), matvec=lambda v: diagonal * v, rmatvec=lambda v: diagonal * v, dtype=right.dtype
    )
    return {
        "cg": lambda k: cla.cg(A, right, tol=0.0, atol=0.0, maxiter=k),
        "minres": lambda k: cla.minres(A, right, tol=0.0, maxiter=k),
        "lsmr": lambda k: cla.lsmr(A, right, atol=0.0, btol=0.0, conlim=0.0, maxiter=k),
        "gmres": lambda k: cla.gmres(A, right, tol=0.0, atol=0.0, restart=30, maxiter=k),
        # Restarts of half a basis each, as it counts them.
        "eigsh": lambda k: cla.eigsh(A, 2, ncv=BASIS, maxiter=k, tol=1e-300),
    }


def jax_solvers(d: torch.Tensor, b: torch.Tensor) -> dict[str, Solve]:
    try:
        import jax
    except ImportError:
        return {}
    if jax.default_backend() != "gpu":
        return {}
    jax.config.update("jax_enable_x64", True)
    import jax.scipy.sparse.linalg as jla

    diagonal, right = jax.dlpack.from_dlpack(d), jax.dlpack.from_dlpack(b)

    def cg(k: int) -> object:
        solve = jax.jit(lambda v: jla.cg(lambda x: diagonal * x, v, tol=0.0, maxiter=k)[0])
        return jax.block_until_ready(solve(right))

    return {"cg": cg}


def iterations(n: int, dtype: torch.dtype, bandwidth: float) -> list[dict[str, Any]]:
    """One row for each method: microseconds, ratio to the floor, ratios of the peers to ritz."""
    # Far from solved after as many iterations as are timed.
    d = torch.logspace(-6.0, 0.0, n, dtype=dtype, device="cuda")
    b = torch.ones(n, dtype=dtype, device="cuda")
    A = ritz.diagonal(d.cpu())
    never = {"rtol": 0.0, "verify": False}
    ours: dict[str, Solve] = {
        "cg": lambda k: ritz.cg(A, b, maxiter=k, **never),
        "minres": lambda k: ritz.minres(A, b, maxiter=k, **never),
        "lsmr": lambda k: ritz.lsmr(A, b, atol=0.0, btol=0.0, conlim=0.0, maxiter=k, verify=False),
        "gmres": lambda k: ritz.gmres(A, b, restart=30, maxiter=k, **never),
        "eigsh": lambda k: ritz.eigsh(
            A, 2, like=b, ncv=BASIS, tol=1e-300, max_products=k, verify=False
        ),
    }
    peers = {"cupy": cupy_solvers(d, b), "jax": jax_solvers(d, b), "torch": {"cg": torch_cg(d, b)}}
    # Long enough that a graph replays, short enough for CuPy's many launches.
    short, long = (60, 360) if n <= 10**6 else (30, 90)
    rows = []
    for method, solve in ours.items():
        took = per_iteration(solve, short, long)
        floor = VECTORS[method] * n * b.element_size() / bandwidth
        row: dict[str, Any] = {
            "method": method,
            "n": n,
            "dtype": str(dtype).removeprefix("torch."),
            "microseconds": 1e6 * took,
            "floor_microseconds": 1e6 * floor,
            "over_floor": took / floor,
        }
        for name, solvers in peers.items():
            if method in solvers:
                row[f"{name}_over_ritz"] = per_iteration(solvers[method], short, long) / took
        rows.append(row)
        print("  ".join(f"{k}={v:.3g}" if isinstance(v, float) else f"{v}" for k, v in row.items()))
    return rows


def closure_share() -> dict[str, float]:
    """How much of a solve with a network's Hessian products is ritz's own."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(256, 1024), torch.nn.Tanh(), torch.nn.Linear(1024, 1024), torch.nn.Tanh(),
        torch.nn.Linear(1024, 10),
    ).cuda()  # fmt: skip
    x, y = torch.randn(512, 256, device="cuda"), torch.randn(512, 10, device="cuda")
    parameters = [p.detach() for p in net.parameters()]
    names = [name for name, _ in net.named_parameters()]
    sizes = [p.numel() for p in parameters]

    def loss(*p: torch.Tensor) -> torch.Tensor:
        out = torch.func.functional_call(net, dict(zip(names, p, strict=True)), (x,))
        return ((out - y) ** 2).mean()

    gradient = torch.func.grad(loss, tuple(range(len(parameters))))

    def hvp(v: torch.Tensor) -> torch.Tensor:
        parts = [s.view_as(p) for s, p in zip(v.split(sizes), parameters, strict=True)]
        product = torch.func.jvp(gradient, tuple(parameters), tuple(parts))[1]
        return torch.cat([g.reshape(-1) for g in product]) + 1e-2 * v

    n = sum(sizes)
    b = torch.randn(n, device="cuda")
    alone = statistics.median(seconds(lambda: hvp(b)) for _ in range(20))
    called, captured = (
        per_iteration(lambda k, A=A: ritz.minres(A, b, rtol=0.0, verify=False, maxiter=k), 10, 40)
        for A in (
            ritz.LinearOperator((n, n), matvec=hvp, dtype=torch.float32, capturable=capturable)
            for capturable in (False, True)
        )
    )
    return {
        "parameters": n,
        "product_microseconds": 1e6 * alone,
        "iteration_microseconds": 1e6 * called,
        "captured_iteration_microseconds": 1e6 * captured,
        "share_of_ritz": 1.0 - alone / called,
    }


def batches(dtype: torch.dtype) -> list[dict[str, Any]]:
    """Many small systems of condition 100 to a relative residual of 1e-5."""
    rows = []
    for n in (16, 64, 256):
        count = 2**26 // n**2
        q = torch.linalg.qr(torch.randn(count, n, n, dtype=dtype, device="cuda"))[0]
        A = (q * torch.logspace(0.0, 2.0, n, dtype=dtype, device="cuda")) @ q.mT
        B = torch.randn(count, n, dtype=dtype, device="cuda")
        result = ritz.cg_batch(A, B)
        took = statistics.median(
            seconds(lambda A=A, B=B: ritz.cg_batch(A, B)) for _ in range(ROUNDS)
        )
        torch.linalg.solve(A, B)
        solve = statistics.median(
            seconds(lambda A=A, B=B: torch.linalg.solve(A, B)) for _ in range(ROUNDS)
        )
        rows.append(
            {
                "systems": count,
                "n": n,
                "dtype": str(dtype).removeprefix("torch."),
                "converged": int(result.converged.sum()),
                "most_iterations": int(result.iterations.max()),
                "milliseconds": 1e3 * took,
                "torch_linalg_solve_over_ritz": solve / took,
            }
        )
        print(rows[-1])
    return rows


def tests(folder: str) -> dict[str, Any]:
    """Run the C++ tests of the device on the GPU; the last line of each."""
    results: dict[str, Any] = {}
    plugin = Path(ritz.__file__).parent / "libritz_cuda.so"
    environment = {**os.environ}
    if plugin.exists():
        environment["RITZ_CUDA_LIBRARY"] = str(plugin)
    sanitizer = shutil.which("compute-sanitizer")
    for part in ("cuda", "cuda_methods", "cuda_blocks", "cuda_estimates", "cg_batch"):
        name = f"{part}_test"
        program = Path(folder) / name
        commands = {"": [str(program)]}
        if sanitizer is not None:
            for tool in ("memcheck", "racecheck"):
                commands[tool] = [sanitizer, "--tool", tool, "--error-exitcode", "9", str(program)]
        for tool, command in commands.items():
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            lines = (done.stdout + done.stderr).strip().splitlines()
            results[f"{name} {tool}".strip()] = {"rc": done.returncode, "end": lines[-3:]}
            print(f"{name} {tool}: exit status {done.returncode}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sizes, one dtype")
    parser.add_argument("--json", metavar="FILE", help="write the numbers there")
    parser.add_argument("--tests", metavar="FOLDER", help="where the C++ tests were built")
    options = parser.parse_args()
    answer = ritz.cuda.info()
    if not answer["available"]:
        raise SystemExit(f"no device: {answer['reason']}")
    print(answer["devices"])
    report: dict[str, Any] = {"machine": describe(), "devices": answer["devices"]}
    if options.tests:
        report["tests"] = tests(options.tests)
    report["iterations"], report["bandwidth"] = [], {}
    sizes = [10**4, 10**6] if options.quick else [10**4, 10**5, 10**6, 10**7, 10**8]
    for dtype in [torch.float32] if options.quick else [torch.float32, torch.float64]:
        bandwidth = copy_bandwidth(10**8 if not options.quick else 10**7, dtype)
        report["bandwidth"][str(dtype)] = bandwidth
        print(f"{dtype}: a copy moves {bandwidth / 1e9:.0f} GB/s")
        for n in sizes:
            report["iterations"] += iterations(n, dtype, bandwidth)
            if options.json:
                Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    report["batches"] = batches(torch.float32) + batches(torch.float64)
    report["closure"] = closure_share()
    print(report["closure"])
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
