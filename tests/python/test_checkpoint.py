"""Runs that are killed and go on: the same bits as a run that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

import ritz

# Products that take a while, so that a kill falls between two of them.
PROGRAM = """
import sys, time
import numpy as np
import ritz

n, pause, path, result = 400, float(sys.argv[1]), sys.argv[2], sys.argv[3]
diagonal = np.arange(1.0, n + 1) ** 0.5

def matvec(x):
    time.sleep(pause)
    return diagonal * x - 0.1 * np.roll(x, 1) - 0.1 * np.roll(x, -1)

A = ritz.LinearOperator((n, n), matvec)
res = ritz.eigsh(
    A, 3, which="SA", ncv=12, block_size=int(sys.argv[4]), seed=3,
    checkpoint=path, checkpoint_every=0.0,
)
assert res.converged, res.message
np.savez(result, w=res.w, V=res.V, residuals=res.residuals, products=res.products.total)
"""


def start(*arguments):
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, arguments)])


def arrays(path):
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("block_size", [1, 2])
def test_killed_runs_go_on_to_the_same_bits(tmp_path, block_size):
    state = tmp_path / "state"
    assert start(0, tmp_path / "other", tmp_path / "whole.npz", block_size).wait() == 0
    moments = random.Random(block_size)
    result = tmp_path / "resumed.npz"
    for _ in range(3):
        process = start(2e-3, state, result, block_size)
        while not state.exists() and process.poll() is None:
            pass
        try:
            process.wait(moments.uniform(0.0, 0.2))
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        if result.exists():
            break
        assert state.exists()
    if not result.exists():
        assert start(0, state, result, block_size).wait() == 0
    whole, resumed = arrays(tmp_path / "whole.npz"), arrays(result)
    for name, expected in whole.items():
        np.testing.assert_array_equal(resumed[name], expected)
    assert not state.exists()


def stopped_run(path, **options):
    a = np.diag(np.arange(1.0, 201.0) ** 0.5)
    seen = []

    def stop(now):
        seen.append(now.iteration)
        return now.iteration == options.pop("last", 60)

    return ritz.eigsh(a, 3, which="SA", ncv=10, checkpoint=path, checkpoint_every=0, callback=stop)


def test_a_stopped_run_goes_on(tmp_path):
    path = tmp_path / "state"
    a = np.diag(np.arange(1.0, 201.0) ** 0.5)
    whole = ritz.eigsh(a, 3, which="SA", ncv=10)
    assert not stopped_run(path).converged
    rest = ritz.eigsh(a, 3, which="SA", ncv=10, checkpoint=path)
    np.testing.assert_array_equal(rest.V, whole.V)
    assert rest.iterations == whole.iterations
    assert rest.products.total == whole.products.total
    assert not path.exists()


@pytest.mark.parametrize("change", [{"k": 4}, {"seed": 1}, {"tol": 1e-3}, {"which": "LA"}])
def test_another_run_does_not_take_the_file(tmp_path, change):
    path = tmp_path / "state"
    stopped_run(path)
    options = {"k": 3, "which": "SA", "ncv": 10, **change}
    with pytest.raises(ValueError, match="another run"):
        ritz.eigsh(np.diag(np.arange(1.0, 201.0) ** 0.5), **options, checkpoint=path)


def test_damaged_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "state"
    stopped_run(path)
    a = np.diag(np.arange(1.0, 201.0) ** 0.5)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        ritz.eigsh(a, 3, which="SA", ncv=10, checkpoint=path)
    path.write_text("notes")
    with pytest.raises(ValueError, match="not a checkpoint"):
        ritz.eigsh(a, 3, which="SA", ncv=10, checkpoint=path)
    assert path.read_text() == "notes"


def test_a_path_that_cannot_be_written(tmp_path):
    with pytest.raises(OSError, match="cannot write"):
        stopped_run(tmp_path / "no" / "folder")
