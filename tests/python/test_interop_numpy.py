"""What NumPy closures see, and that nothing is copied that need not be."""

from __future__ import annotations

import numpy as np

import ritz
from problems import spd, vector


def test_closures_see_the_workspace():
    n = 64
    a, seen = spd(n, 100), []

    def matvec(x):
        seen.append(x.ctypes.data)
        assert type(x) is np.ndarray
        assert x.flags.c_contiguous
        assert not x.flags.writeable
        return a @ x

    res = ritz.cg(ritz.LinearOperator((n, n), matvec), vector(n))
    # The same memory again and again: p, and x for the verification.
    assert len(set(seen)) == 2
    assert len(seen) == res.products.matvec
    assert all(address % 64 == 0 for address in seen)


def test_results_are_plain_arrays():
    x = ritz.cg(spd(5, 10), vector(5)).x
    assert type(x) is np.ndarray
    assert x.flags.writeable
    assert x.flags.c_contiguous
    assert x.ctypes.data % 64 == 0


def test_views_outlive_the_run():
    kept = []

    def matvec(x):
        kept.append(x)
        return 2 * x

    ritz.cg(ritz.LinearOperator((500, 500), matvec), vector(500))
    # The memory is still there, whatever it holds by now.
    assert all(np.isfinite(x).all() for x in kept)


def test_results_that_are_views_of_the_argument():
    b = vector(30)
    np.testing.assert_allclose(ritz.cg(ritz.LinearOperator((30, 30), lambda x: x), b).x, b)
    d = np.ones(60)
    stride = ritz.LinearOperator((30, 30), lambda x: (np.repeat(x, 2) * d)[::2])
    np.testing.assert_allclose(ritz.cg(stride, b).x, b)


def test_column_results_as_scipy():
    a, b = spd(8, 10), vector(8)
    res = ritz.cg(ritz.LinearOperator((8, 8), lambda x: (a @ x)[:, None]), b)
    np.testing.assert_allclose(res.x, np.linalg.solve(a, b), rtol=1e-4)


def test_subclasses():
    class Tagged(np.ndarray):
        pass

    a, b = spd(8, 10), vector(8).view(Tagged)
    res = ritz.cg(ritz.LinearOperator((8, 8), lambda x: (a @ x).view(Tagged)), b)
    np.testing.assert_allclose(res.x, np.linalg.solve(a, np.asarray(b)), rtol=1e-4)
    assert ritz.cg(a.view(Tagged), b).converged


def test_array_likes():
    res = ritz.cg(2 * np.eye(3), (2, 4, 6))
    np.testing.assert_allclose(res.x, [1, 2, 3])
    np.testing.assert_allclose(ritz.cg(2 * np.eye(3), memoryview(np.ones(3))).x, np.full(3, 0.5))


def test_many_vectors_at_once_through_closures():
    a = spd(40, 10)
    A = ritz.LinearOperator((40, 40), lambda x: a @ x)
    w, V = ritz.eigsh(A, 12, ncv=30)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(a)[-12:])
    np.testing.assert_allclose(a @ V, V * w, atol=1e-12)
