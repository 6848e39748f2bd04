"""Ctrl-C and exceptions leave a run at once, unchanged, and with everything usable."""

from __future__ import annotations

import signal
import threading
import time
import traceback

import numpy as np
import pytest

import ritz
from problems import rectangular, spd, symmetric, vector

N = 60
HARD = spd(N, 1e14)
B = vector(N)


@pytest.fixture(autouse=True)
def _heed_interrupts():
    """A suite that was started in the background has SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt_after(seconds):
    timer = threading.Timer(seconds, signal.raise_signal, [signal.SIGINT])
    timer.start()
    return timer


def sleepy(a):
    def matvec(x):
        time.sleep(0.002)
        return a @ x

    return matvec


RUNS = {
    "closure": lambda ws: ritz.cg(
        ritz.LinearOperator((N, N), sleepy(HARD)), B, rtol=0, maxiter=10**9, workspace=ws
    ),
    "native": lambda ws: ritz.cg(NATIVE, NATIVE_B, rtol=0, maxiter=10**9, workspace=ws),
    "native with callback": lambda ws: ritz.cg(
        NATIVE, NATIVE_B, rtol=0, maxiter=10**9, workspace=ws, callback=lambda s: None
    ),
}
# Diagonal, so ill-conditioned that the run would go on for minutes.
NATIVE = ritz.diagonal(np.logspace(-150, 0, 20000))
NATIVE_B = vector(20000)


@pytest.mark.timed
@pytest.mark.parametrize("name", RUNS)
def test_ctrl_c(name):
    ws = ritz.Workspace("cg", N)
    timer = interrupt_after(0.3)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        RUNS[name](ws)
    elapsed = time.perf_counter() - start
    timer.join()
    assert elapsed < 0.3 + 0.5
    assert ritz.cg(spd(N, 10), B, workspace=ws).converged


def other_methods():
    A = ritz.LinearOperator((N, N), sleepy(HARD), sleepy(HARD), dtype=np.float64)
    large = ritz.block([[A, None], [None, ritz.identity(10**5)]])
    middle = symmetric(np.linspace(0, 1, N))
    tall = rectangular(400, 300, 1e8)

    def jvp(x, v):
        time.sleep(0.002)
        return np.concatenate([np.cos(x) * v, middle @ v])

    return {
        "lsmr": lambda: ritz.lsmr(A, B, atol=0, btol=0, conlim=0, maxiter=10**9),
        "trace": lambda: ritz.trace(large, samples=10**4),
        "eigsh": lambda: ritz.eigsh(large, 3, which="SA", maxiter=10**9),
        "least_squares": lambda: ritz.least_squares(
            lambda x: np.concatenate([np.sin(x), middle @ x - 1]),
            np.ones(N),
            jvp=jvp,
            vjp=lambda x, u: np.cos(x) * u[:N] + middle @ u[N:],
            ftol=0,
            xtol=0,
            gtol=0,
            forcing=0,
            max_iterations=10**9,
        ),
        # Products of a matrix run no Python code in which a signal could be noticed.
        "compiled": lambda: ritz.least_squares(
            lambda x: tall @ x - 1.0,
            np.zeros(300),
            lambda x: tall,
            ftol=0,
            xtol=0,
            gtol=0,
            forcing=0,
            max_inner=10**9,
        ),
    }


@pytest.mark.timed
@pytest.mark.parametrize("method", ["lsmr", "trace", "eigsh", "least_squares", "compiled"])
def test_ctrl_c_in_the_other_methods(method):
    run = other_methods()[method]
    timer = interrupt_after(0.1)
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run()
    elapsed = time.perf_counter() - start
    timer.join()
    assert elapsed < 0.1 + 0.5


class Mine(Exception):
    pass


@pytest.mark.parametrize("method", ["cg", "lsmr", "eigsh", "trace", "least_squares"])
def test_exceptions_arrive_unchanged(method):
    error = Mine("with", {"its": "arguments"})
    a = spd(N, 1e3)
    calls = []

    def raise_mine():
        raise error

    def matvec(x):
        calls.append(1)
        if len(calls) == 5:
            raise_mine()
        return a @ x

    A = ritz.LinearOperator((N, N), matvec, matvec, dtype=np.float64)
    dims = (2 * N, N) if method == "least_squares" else (N, N)
    ws = ritz.Workspace(method, *dims)
    run = {
        "cg": lambda op: ritz.cg(op, B, workspace=ws),
        "lsmr": lambda op: ritz.lsmr(op, B, workspace=ws),
        "eigsh": lambda op: ritz.eigsh(op, 3, workspace=ws),
        "trace": lambda op: ritz.trace(op, workspace=ws),
        "least_squares": lambda op: ritz.least_squares(
            lambda x: a @ x - B,
            np.zeros(N),
            jvp=lambda x, v: op @ v,
            vjp=lambda x, u: op @ u,
            workspace=ws,
        ),
    }[method]
    with pytest.raises(Mine) as caught:
        run(A)
    assert caught.value is error
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[-2:] == ["matvec", "raise_mine"]
    assert len(calls) == 5
    # Everything is usable again.
    assert run(A).status.name in ("converged", "max_iterations")


def test_base_exceptions_too():
    def matvec(x):
        raise SystemExit(7)

    with pytest.raises(SystemExit) as caught:
        ritz.cg(ritz.LinearOperator((N, N), matvec), B)
    assert caught.value.code == 7


def test_counts_after_an_interrupt():
    A = ritz.LinearOperator((N, N), sleepy(HARD))
    timer = interrupt_after(0.1)
    with pytest.raises(KeyboardInterrupt):
        ritz.cg(A, B, rtol=0, maxiter=10**9)
    timer.join()
    assert A.counts.matvec > 3
