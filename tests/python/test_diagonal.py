"""Diagonals from products: against dense matrices, with an error for each element."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, symmetric
from ritz import Status

FAST = 0.7 ** np.arange(1, 201)
POWER = np.arange(1, 201) ** -2.0
FLAT = np.linspace(1.0, 2.0, 200)
METHODS = ("hutchinson", "xdiag", "xnysdiag")


def test_two_faces():
    d = np.arange(1.0, 6.0)
    for vector in (d, list(d), np.arange(1, 6)):
        D = ritz.diagonal(vector)
        assert isinstance(D, ritz.LinearOperator)
        np.testing.assert_array_equal(D @ np.ones(5), d)
    for matrix in (np.diag(d), ritz.diagonal(d)):
        value, stderr = est = ritz.diagonal(matrix)
        np.testing.assert_array_equal(value, d)
        assert not stderr.any()
        assert est.method == "exact"
    with pytest.raises(TypeError, match="method"):
        ritz.diagonal(d, method="xdiag")
    with pytest.raises(ValueError, match="shape"):
        ritz.diagonal(1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_for_enough_products(dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 30))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((30, 30))
    a = a.astype(dtype)
    est = ritz.diagonal(a)
    assert est.method == "exact"
    assert est.value.dtype == dtype
    np.testing.assert_array_equal(est.value, np.diagonal(a))
    assert not est.stderr.any()
    assert est.products.total == 30


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_number(dtype, method):
    rng = np.random.default_rng(1)
    b = rng.standard_normal((150, 6))
    if np.dtype(dtype).kind == "c":
        b = b + 1j * rng.standard_normal((150, 6))
    a = (b @ b.conj().T).astype(dtype)
    est = ritz.diagonal(a, method=method, max_products=60)
    assert est.method == method
    assert est.value.dtype == dtype
    assert est.stderr.dtype == np.finfo(dtype).dtype
    error = np.abs(est.value - np.diagonal(a))
    if method == "hutchinson":
        assert np.mean(error <= 3 * est.stderr) > 0.97
    else:  # six directions are all there is
        assert error.max() <= 1000 * eps(dtype) * np.abs(a).max()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [FAST, POWER, FLAT], ids=["fast", "power", "flat"])
def test_errors_are_those_stated(method, values):
    a = symmetric(values, seed=1)
    runs = [ritz.diagonal(a, method=method, max_products=40, seed=s) for s in range(40)]
    errors = np.array([run.value for run in runs]) - np.diagonal(a)
    stderr = np.array([run.stderr for run in runs])
    assert all(run.converged and run.products.total == 40 for run in runs)
    assert np.mean(np.abs(errors) <= 3 * stderr) > 0.97
    ratio = np.sqrt(np.mean(stderr**2) / np.mean(errors**2))
    assert 0.8 < ratio < 2.5
    spread = errors.std(0, ddof=1)
    assert np.mean(np.abs(errors.mean(0)) < 3.5 * spread / np.sqrt(40)) > 0.98


def test_a_low_rank_part_helps():
    a = symmetric(POWER, seed=1)
    error = {
        m: np.linalg.norm(ritz.diagonal(a, method=m, max_products=60).value - np.diagonal(a))
        for m in METHODS
    }
    assert error["xdiag"] < 0.1 * error["hutchinson"]
    assert error["xnysdiag"] < 0.7 * error["xdiag"]


def test_methods_by_what_they_gain():
    for values, positive, method in (
        (POWER, False, "xdiag"),
        (POWER, True, "xnysdiag"),
        (FLAT, False, "hutchinson"),
    ):
        a = symmetric(values, seed=1)
        assert ritz.diagonal(a, max_products=60, positive=positive).method == method
    a = symmetric(POWER, seed=1)
    forward_only = ritz.LinearOperator(a.shape, lambda v: a @ v)
    assert ritz.diagonal(forward_only, max_products=60).method == "hutchinson"
    with pytest.raises(ValueError, match="adjoint"):
        ritz.diagonal(forward_only, method="xdiag", max_products=60)


def test_symmetric_operators_need_no_adjoint():
    c = Counting(symmetric(POWER, seed=1))
    A = ritz.LinearOperator((200, 200), c.matvec, symmetric=True)
    est = ritz.diagonal(A, method="xdiag", max_products=41)
    assert est.products.total == c.matvecs == 40
    assert est.products.rmatvec == 0


def test_tolerance():
    a = symmetric(0.9 ** np.arange(400), seed=1)
    est = ritz.diagonal(a, rtol=0.02)
    assert est.converged
    assert est.products.total < 250
    assert est.residual == pytest.approx(np.linalg.norm(est.stderr))
    assert est.residual <= est.target == pytest.approx(0.02 * np.linalg.norm(est.value))
    assert np.linalg.norm(est.value - np.diagonal(a)) <= 2 * est.target
    poor = ritz.diagonal(a, rtol=1e-9, max_products=60)
    assert poor.status is Status.max_products
    exact = ritz.diagonal(symmetric(FLAT), rtol=1e-9)
    assert exact.method == "exact"
    assert exact.converged


def test_frameworks_and_trees():
    torch = pytest.importorskip("torch")
    jax = pytest.importorskip("jax")
    a = symmetric(POWER)
    for array, kind in (
        (torch.from_numpy(a), torch.Tensor),
        (jax.numpy.asarray(a, "f4"), jax.Array),
    ):
        name = "torch" if kind is torch.Tensor else "jax"
        A = ritz.LinearOperator(
            a.shape, lambda v, array=array: array @ v, symmetric=True, framework=name,
            dtype=array.dtype,
        )  # fmt: skip
        est = ritz.diagonal(A, max_products=60)
        assert isinstance(est.value, kind)
        assert isinstance(est.stderr, kind)
        assert est.value.dtype == array.dtype
        assert (
            np.mean(np.abs(np.asarray(est.value) - np.diag(a)) <= 3 * np.asarray(est.stderr)) > 0.9
        )
    w = {"a": np.arange(1.0, 61.0), "b": np.arange(61.0, 121.0).reshape(6, 10)}
    flat = np.concatenate([w["a"], w["b"].ravel()])
    A = ritz.LinearOperator((120, 120), lambda v: flat * v, symmetric=True, domain=w)
    est = ritz.diagonal(A, method="hutchinson", max_products=20)
    tree = A.domain.unflatten(est.value)
    np.testing.assert_allclose(tree["b"], w["b"], rtol=1e-12)


def test_history_and_plot():
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    a = symmetric(POWER)
    seen = []
    est = ritz.diagonal(a, method="xdiag", max_products=96, history=True, callback=seen.append)
    assert est.path.products.tolist() == [16, 32, 64, 96]
    assert est.path.stderr[-1] == est.residual
    assert len(seen) == len(est.history) == 4
    ax = est.plot()
    assert ax.get_xlabel() == "products"
    assert ax.get_yscale() == "log"
    plt.close("all")
    with pytest.raises(ValueError, match="history=True"):
        ritz.diagonal(a).plot()


def test_endings_and_bad_input():
    assert ritz.diagonal(np.full((200, 200), np.nan)).status is Status.nonfinite
    a = symmetric(np.linspace(-1, 1, 200))
    assert ritz.diagonal(a, method="xnysdiag").status is Status.negative_curvature
    assert ritz.diagonal(a, seed=1).value.tolist() == ritz.diagonal(a, seed=1).value.tolist()

    def stop(now):
        return now.products.total >= 16

    assert ritz.diagonal(a, callback=stop).status is Status.stopped
    with pytest.raises(ValueError, match="method"):
        ritz.diagonal(a, method="xtrace")
    with pytest.raises(ValueError, match="square"):
        ritz.diagonal(np.ones((3, 4)))
    with pytest.raises(ValueError, match="samples"):
        ritz.diagonal(a, samples=1)
