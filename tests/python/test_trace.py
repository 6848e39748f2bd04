"""Traces: exact where it costs no more, else unbiased with an honest standard error."""

from __future__ import annotations

import subprocess
import sys
import time

import matplotlib as mpl
import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, symmetric
from ritz import Status

FAST = 0.7 ** np.arange(1, 301)
POWER = np.arange(1, 301) ** -2.0
FLAT = np.linspace(1.0, 2.0, 300)
METHODS = ("hutch++", "xtrace", "xnystrace")


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_for_enough_samples(dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 30))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((30, 30))
    a = a.astype(dtype)
    est = ritz.trace(a)
    assert est.method == "exact"
    assert est.stderr == 0.0
    assert est.converged
    np.testing.assert_allclose(est.value, np.trace(a), rtol=100 * eps(dtype))
    assert est.products.total == 30
    value, stderr = est
    assert (value, stderr) == (est.value, est.stderr)
    if np.dtype(dtype).kind == "f":
        assert float(est) == est.value


def test_exact_by_name():
    a = symmetric(FLAT, seed=3)
    est = ritz.trace(a, method="exact")
    assert est.products.total == 300
    np.testing.assert_allclose(est.value, np.trace(a), rtol=1e-13)


def test_estimates_are_unbiased_with_the_stated_error():
    a = symmetric(np.linspace(0, 1, 150), seed=3)
    off = a - np.diag(np.diag(a))
    one = np.sqrt(2) * np.linalg.norm(off)
    deviations = []
    for seed in range(60):
        est = ritz.trace(a, samples=40, seed=seed)
        assert est.method == "hutchinson"
        # The estimate of the error is itself good to about 1 / sqrt(2 · 40).
        assert 0.5 < est.stderr / (one / np.sqrt(40)) < 1.7
        deviations.append((est.value - np.trace(a)) / est.stderr)
    assert abs(np.mean(deviations)) < 4 / np.sqrt(60)
    assert 0.7 < np.std(deviations) < 1.4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [FAST, POWER, FLAT], ids=["fast", "power", "flat"])
def test_methods_hold_the_truth(method, values):
    a = symmetric(values, seed=1)
    held = 0
    errors = []
    for seed in range(40):
        est = ritz.trace(a, method=method, max_products=48, seed=seed)
        assert est.converged
        assert est.method == method
        assert est.products.total == 48
        errors.append(est.value - values.sum())
        held += abs(errors[-1]) <= 3 * est.stderr
    assert held >= 38
    # A quarter of what random signs would leave, and far less where the spectrum decays fast.
    signs = np.sqrt(2 / 48) * np.linalg.norm(a - np.diag(np.diag(a)))
    if values is not FLAT:
        assert np.sqrt(np.mean(np.square(errors))) < (1e-2 if values is FAST else 0.25) * signs


def test_methods_by_what_they_gain():
    for values, method, positive in (
        (FAST, "xtrace", False),
        (POWER, "xtrace", False),
        (POWER, "xnystrace", True),
        (FLAT, "hutchinson", False),
    ):
        a = symmetric(values, seed=2)
        est = ritz.trace(a, max_products=60, positive=positive)
        assert est.method == method
        assert abs(est.value - values.sum()) <= 4 * est.stderr


def test_half_of_the_products_of_random_signs():
    a = symmetric(np.arange(1, 1001) ** -1.5, seed=2)
    signs = ritz.trace(a, method="hutchinson", rtol=0.03)
    for positive in (False, True):
        est = ritz.trace(a, rtol=0.03, positive=positive)
        assert est.converged
        assert est.stderr <= 0.03 * est.value
        assert abs(est.value - np.trace(a)) <= 3 * est.stderr
        assert est.products.total <= 0.5 * signs.products.total


def test_tolerance_stops_the_sampling():
    a = symmetric(np.linspace(1, 2, 300))
    est = ritz.trace(a, rtol=0.01)
    assert est.converged
    assert est.stderr <= 0.01 * est.value
    assert est.iterations < 299
    poor = ritz.trace(a, rtol=1e-9, samples=20)
    assert poor.status is Status.max_iterations
    assert poor.info == 20
    # What only the exact trace can meet is met by it.
    exact = ritz.trace(a, rtol=1e-9)
    assert exact.converged
    assert exact.method == "exact"
    assert exact.stderr == 0.0


def test_rank_and_zero():
    rng = np.random.default_rng(0)
    b = rng.standard_normal((200, 4))
    for method in METHODS:
        est = ritz.trace(b @ b.T, method=method, max_products=60)
        np.testing.assert_allclose(est.value, np.sum(b**2), rtol=1e-12)
        assert est.stderr <= 1e-12 * est.value
        assert ritz.trace(np.zeros((200, 200)), method=method).value == 0.0


def test_counts_and_budget():
    c = Counting(symmetric(np.linspace(0, 1, 200)))
    A = ritz.LinearOperator((200, 200), c.matvec)
    est = ritz.trace(A, samples=30, max_products=12)
    assert est.status is Status.max_products
    assert est.products.total == c.matvecs == 12
    for method in ("auto", *METHODS):
        c.matvecs = 0
        est = ritz.trace(A, method=method, max_products=41)
        assert est.converged
        assert 39 <= est.products.total == c.matvecs <= 41


def test_block_products():
    a = symmetric(POWER)
    widths = []

    def matmat(X):
        widths.append(X.shape[1])
        return a @ X

    A = ritz.LinearOperator(a.shape, matmat=matmat)
    est = ritz.trace(A, method="xtrace", max_products=48)
    assert widths == [8, 8, 8, 8, 8, 8]
    assert est.products == (0, 0, 48)


def test_seeds():
    a = symmetric(np.linspace(0, 1, 200))
    assert ritz.trace(a).value == ritz.trace(a).value
    assert ritz.trace(a).value != ritz.trace(a, seed=1).value
    for method in METHODS:
        assert ritz.trace(a, method=method).value == ritz.trace(a, method=method).value
        assert ritz.trace(a, method=method).value != ritz.trace(a, method=method, seed=1).value


def test_nonfinite_and_empty():
    assert ritz.trace(np.full((200, 200), np.nan)).status is Status.nonfinite
    empty = ritz.trace(np.zeros((0, 0)))
    assert empty.converged
    assert empty.value == 0.0


def test_not_positive():
    a = symmetric(np.linspace(-1, 1, 200))
    assert ritz.trace(a, method="xnystrace").status is Status.negative_curvature


def test_framework_operators():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    a = symmetric(POWER)
    for array, dtype in ((torch.from_numpy(a), torch.float64), (jax.numpy.asarray(a, "f4"), "f4")):
        kind = type(array)

        def matvec(v, array=array, kind=kind):
            assert isinstance(v, kind)
            return array @ v

        framework = "torch" if kind is torch.Tensor else "jax"
        A = ritz.LinearOperator(a.shape, matvec, dtype=dtype, framework=framework)
        for method in ("hutchinson", *METHODS):
            est = ritz.trace(A, method=method, max_products=48)
            assert abs(est.value - POWER.sum()) <= 4 * est.stderr


def test_tree_operators():
    w = {"a": np.arange(1.0, 61.0), "b": np.arange(1.0, 61.0).reshape(6, 10)}
    A = ritz.LinearOperator((120, 120), lambda v: 2 * v, symmetric=True, domain=w)
    est = ritz.trace(A, max_products=20)
    np.testing.assert_allclose(est.value, 240, rtol=1e-12)


def test_callback_and_timeout():
    a = symmetric(POWER)
    seen = []
    est = ritz.trace(a, method="xtrace", max_products=96, callback=seen.append)
    assert [now.products.total for now in seen] == [16, 32, 64, 96]
    assert seen[-1].residual == est.stderr
    assert seen[-1].objective == est.value

    def stop(now):
        return now.products.total >= 32

    est = ritz.trace(a, method="xtrace", max_products=96, callback=stop)
    assert est.status is Status.stopped
    assert est.products.total == 32
    assert ritz.trace(a, max_products=96, timeout=0.0).status is Status.timeout


def test_path_and_plot():
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    a = symmetric(POWER)
    for method, count in (("xtrace", 3), ("hutchinson", 8)):
        est = ritz.trace(a, method=method, max_products=64, history=True)
        products, values, errors = est.path
        assert len(products) == len(values) == len(errors) == count
        assert products[-1] == 64
        assert values[-1] == est.value
        assert errors[-1] == est.stderr
        left, right = est.plot()
        assert left.get_xlabel() == right.get_xlabel() == "products"
        assert right.get_yscale() == "log"
        plt.close("all")
    with pytest.raises(ValueError, match="history=True"):
        ritz.trace(a).plot()
    assert "path" not in repr(est)


def test_checkpoint(tmp_path):
    c = Counting(symmetric(POWER))
    A = ritz.LinearOperator((300, 300), c.matvec)
    path = tmp_path / "trace.checkpoint"

    def die(now):
        if now.products.total >= 100:
            raise KeyboardInterrupt

    for method in ("hutchinson", *METHODS):
        options = {"method": method, "max_products": 200}
        saved = {**options, "checkpoint": path, "checkpoint_every": 0.0}
        whole = ritz.trace(A, **options)
        with pytest.raises(KeyboardInterrupt):
            ritz.trace(A, callback=die, **saved)
        assert path.exists()
        c.matvecs = 0
        est = ritz.trace(A, **saved)
        assert (est.value, est.stderr) == (whole.value, whole.stderr)
        assert est.products.total == whole.products.total
        assert c.matvecs <= 152
        assert not path.exists()


RUN = """
import sys, time
import numpy as np
import ritz

d = np.arange(1.0, 401.0) ** -1.0

def matvec(v):
    time.sleep(float(sys.argv[2]))
    return np.roll(d * v, 1) + d * v

A = ritz.LinearOperator((400, 400), matvec)
est = ritz.trace(
    A, method="xtrace", max_products=300, checkpoint=sys.argv[1] or None, checkpoint_every=0.0
)
print(repr(est.value), repr(est.stderr))
"""


def test_killed_and_resumed(tmp_path):
    path = tmp_path / "trace.checkpoint"
    command = [sys.executable, "-c", RUN]
    whole = subprocess.run([*command, "", "0"], capture_output=True, text=True, check=True)
    victim = subprocess.Popen([*command, str(path), "0.005"])
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    victim.kill()
    victim.wait()
    assert path.exists()
    resumed = subprocess.run([*command, str(path), "0"], capture_output=True, text=True, check=True)
    assert resumed.stdout == whole.stdout
    assert not path.exists()


def test_workspace():
    a = symmetric(POWER)
    memory = ritz.Workspace("trace", 300)
    first = ritz.trace(a, workspace=memory, max_products=60)
    size = memory.bytes
    assert ritz.trace(a, workspace=memory, max_products=60).value == first.value
    assert memory.bytes == size


def test_bad_input():
    a = np.eye(50)
    with pytest.raises(ValueError, match="method"):
        ritz.trace(a, method="hutch")
    with pytest.raises(ValueError, match="samples"):
        ritz.trace(a, samples=1)
    with pytest.raises(ValueError, match="rtol"):
        ritz.trace(a, rtol=-1.0)
    with pytest.raises(ValueError, match="square"):
        ritz.trace(np.ones((3, 4)))
    with pytest.raises(ValueError, match="max_products"):
        ritz.trace(a, max_products=0)
    with pytest.raises(ValueError, match="samples is 6"):
        ritz.trace(a, method="xtrace", samples=6)
    A = ritz.LinearOperator((50, 50), lambda v: v, symmetric=False)
    with pytest.raises(ValueError, match="self-adjoint"):
        ritz.trace(A, positive=True)
