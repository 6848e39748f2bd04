"""Row norms from products: against dense matrices, with an error for each row."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES
from ritz import Status


def matrix(m, n, values, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    k = len(values)
    u, v = (np.linalg.qr(rng.standard_normal((size, k)))[0] for size in (m, n))
    if np.dtype(dtype).kind == "c":
        u = u * np.exp(2j * np.pi * rng.random(m))[:, None]
    return (u * values @ v.T).astype(dtype)


POWER = np.arange(1, 121) ** -1.5
FLAT = np.linspace(1, 2, 120)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_exact_for_enough_products(dtype, shape):
    a = matrix(*shape, np.linspace(1, 2, 20), dtype)
    est = ritz.row_norms(a)
    assert est.method == "exact"
    assert est.products.total == 20
    np.testing.assert_allclose(est.value, np.linalg.norm(a, axis=1), rtol=1e-5)
    assert not est.stderr.any()
    assert est.value.dtype == np.finfo(dtype).dtype
    columns = ritz.row_norms(ritz.aslinearoperator(a).H)
    np.testing.assert_allclose(columns.value, np.linalg.norm(a, axis=0), rtol=1e-5)


@pytest.mark.parametrize("method", ["hutchinson", "xrownorm"])
@pytest.mark.parametrize("values", [POWER, FLAT], ids=["power", "flat"])
@pytest.mark.parametrize("shape", [(200, 150), (150, 200)])
def test_errors_are_those_stated(method, values, shape):
    a = matrix(*shape, values)
    exact = np.sum(a**2, axis=1)
    runs = [
        ritz.row_norms(a, squared=True, method=method, max_products=45, seed=s) for s in range(30)
    ]
    errors = np.array([run.value for run in runs]) - exact
    stderr = np.array([run.stderr for run in runs])
    assert all(run.converged and run.products.total == 45 for run in runs)
    assert np.mean(np.abs(errors) <= 3 * stderr) > 0.945
    assert 0.8 < np.sqrt(np.mean(stderr**2) / np.mean(errors**2)) < 2.0
    assert np.mean(np.abs(errors.mean(0)) <= 4 * errors.std(0) / np.sqrt(30)) > 0.98


def test_norms_are_roots_of_the_squares():
    a = matrix(200, 150, POWER)
    plain = ritz.row_norms(a, max_products=60)
    squares = ritz.row_norms(a, max_products=60, squared=True)
    assert plain.method == squares.method == "xrownorm"
    np.testing.assert_allclose(plain.value**2, squares.value, rtol=1e-12)
    np.testing.assert_allclose(2 * plain.value * plain.stderr, squares.stderr, rtol=1e-6)
    exact = np.linalg.norm(a, axis=1)
    assert np.mean(np.abs(plain.value - exact) <= 3 * plain.stderr) > 0.95
    # The rows of what XRowNorm takes out leave far less than signs alone.
    signs = ritz.row_norms(a, max_products=60, method="hutchinson")
    assert np.linalg.norm(plain.value - exact) < 0.05 * np.linalg.norm(signs.value - exact)


def test_methods_and_tolerance():
    assert ritz.row_norms(matrix(200, 150, FLAT), max_products=60).method == "hutchinson"
    a = matrix(200, 150, POWER)
    est = ritz.row_norms(a, rtol=1e-3)
    assert est.converged
    assert est.method == "xrownorm"
    assert est.products.total < 150
    exact = np.sum(a**2, axis=1)
    assert np.linalg.norm(est.value**2 - exact) <= 3e-3 * np.linalg.norm(exact)
    forward_only = ritz.LinearOperator(a.shape, lambda v: a @ v)
    assert ritz.row_norms(forward_only, max_products=60).method == "hutchinson"
    with pytest.raises(ValueError, match="adjoint"):
        ritz.row_norms(forward_only, method="xrownorm", max_products=60)


def test_low_rank_zero_and_torch():
    torch = pytest.importorskip("torch")
    a = matrix(200, 150, np.array([3.0, 2.0, 1.0]))
    est = ritz.row_norms(a, method="xrownorm", max_products=60)
    np.testing.assert_allclose(est.value, np.linalg.norm(a, axis=1), atol=1e-8)
    zero = ritz.row_norms(np.zeros((200, 150)))
    assert not zero.value.any()
    assert not zero.stderr.any()
    t = torch.from_numpy(a)
    A = ritz.LinearOperator(
        t.shape, lambda v: t @ v, lambda u: t.T @ u, dtype=torch.float64, framework="torch"
    )
    est = ritz.row_norms(A, max_products=60)
    assert isinstance(est.value, torch.Tensor)
    np.testing.assert_allclose(est.value.numpy(), np.linalg.norm(a, axis=1), atol=1e-8)


def test_endings_and_bad_input():
    assert ritz.row_norms(np.full((200, 150), np.nan)).status is Status.nonfinite
    a = matrix(200, 150, POWER)
    est = ritz.row_norms(a, max_products=60, history=True)
    assert est.path.products[-1] <= 60
    for bad in ("xdiag", "", "xnysdiag"):
        with pytest.raises(ValueError, match="method"):
            ritz.row_norms(a, method=bad)
    with pytest.raises(ValueError, match="samples"):
        ritz.row_norms(a, samples=1)
