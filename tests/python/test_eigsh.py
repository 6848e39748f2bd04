"""Extreme eigenpairs against dense eigenvalues, with bounds that hold."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector
from ritz import Status


def wanted(values, k, which):
    order = {"LA": -values, "SA": values, "LM": -np.abs(values)}[which]
    return np.sort(values[np.argsort(order)[:k]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize(("n", "k"), [(120, 5), (30, 30), (12, 1)])
def test_eigenpairs(dtype, which, n, k):
    spectrum = np.linspace(-1, 2, n) ** 3
    a = symmetric(spectrum, dtype)
    res = ritz.eigsh(a, k, which=which)
    w, V = res
    exact = wanted(spectrum, k, which)
    assert res.converged
    assert w.dtype == np.dtype(dtype).char.lower()
    assert V.dtype == dtype
    assert V.shape == (n, k)
    assert np.all(np.diff(w) >= 0)
    np.testing.assert_allclose(w, exact, atol=100 * eps(dtype) * 8)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(k), atol=100 * eps(dtype))
    measured = np.linalg.norm(a @ V - V * w, axis=0)
    assert np.all(measured <= res.residuals + 50 * eps(dtype) * res.norm_a)
    # An eigenvalue of the matrix as it was stored lies within each bound.
    stored = np.linalg.eigvalsh(a.astype(complex))
    distance = np.abs(stored[None, :] - np.asarray(w, float)[:, None]).min(axis=1)
    assert np.all(distance <= res.bounds + 20 * eps(dtype) * res.norm_a)


def test_multiple_eigenvalues_are_all_found():
    a = symmetric([1.0] * 30 + [5.0] * 4)
    res = ritz.eigsh(a, 6)
    np.testing.assert_allclose(res.w, [1, 1, 5, 5, 5, 5], atol=1e-12)


def test_large_sparse():
    n = 400
    a = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    res = ritz.eigsh(a, 4, ncv=40, tol=1e-9)
    assert res.converged
    np.testing.assert_allclose(res.w, exact[-4:], rtol=1e-9)
    assert res.restarts > 0


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_scale_changes_nothing(factor):
    a = symmetric(np.logspace(-3, 0, 80))
    base = ritz.eigsh(a, 4)
    res = ritz.eigsh(a * factor, 4)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 1
    np.testing.assert_allclose(res.w / factor, base.w, rtol=1e-12)


def test_counts_are_the_closures_own():
    c = Counting(symmetric(np.arange(60.0)))
    A = ritz.LinearOperator((60, 60), c.matvec)
    res = ritz.eigsh(A, 3)
    assert res.products == (c.matvecs, 0, 0)
    assert c.matvecs == res.iterations + 3
    assert A.counts.matvec == c.matvecs


def test_seeds_and_starts():
    a = symmetric(np.linspace(0, 1, 50))
    np.testing.assert_array_equal(ritz.eigsh(a, 3).V, ritz.eigsh(a, 3).V)
    assert not np.array_equal(ritz.eigsh(a, 3).V, ritz.eigsh(a, 3, seed=1).V)
    top = ritz.eigsh(a, 1).V[:, 0]
    assert ritz.eigsh(a, 1, v0=top).iterations <= ritz.eigsh(a, 1).iterations


def test_only_values():
    a = symmetric(np.linspace(0, 1, 50))
    w, V = ritz.eigsh(a, 3, return_eigenvectors=False)
    assert V is None
    np.testing.assert_allclose(w, np.linspace(0, 1, 50)[-3:])


def test_stopped_runs_say_so():
    a = symmetric(np.linspace(0, 1, 200))
    res = ritz.eigsh(a, 4, max_products=10, verify=False)
    assert res.status is Status.max_products
    assert res.products.total == 10
    assert ritz.eigsh(a, 4, maxiter=1, ncv=6).status is Status.max_iterations


def test_empty():
    res = ritz.eigsh(np.zeros((0, 0)))
    assert res.converged
    assert res.w.shape == (0,)
    assert res.V.shape == (0, 0)


def test_nonfinite_products_end_the_run():
    calls = []

    def matvec(x):
        calls.append(1)
        return np.arange(1, 51) * x * (np.inf if len(calls) == 5 else 1.0)

    res = ritz.eigsh(ritz.LinearOperator((50, 50), matvec), 2)
    assert res.status is Status.nonfinite
    assert "at iteration 5:" in res.message


def test_workspace_is_reused():
    a = symmetric(np.linspace(0, 1, 50))
    ws = ritz.Workspace("eigsh", 50, k=3)
    first = ritz.eigsh(a, 3, workspace=ws)
    second = ritz.eigsh(a, 3, workspace=ws)
    np.testing.assert_array_equal(first.V, second.V)


def test_start_is_untouched():
    v0 = vector(20)
    kept = v0.copy()
    ritz.eigsh(symmetric(np.arange(20.0)), 2, v0=v0)
    np.testing.assert_array_equal(v0, kept)
