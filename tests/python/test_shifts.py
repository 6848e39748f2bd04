"""Conjugate gradients for many shifts at once, against dense solutions and single runs."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, spd, symmetric, vector
from ritz import Status

SHIFTS = [0.0, 1e-3, 0.5, -5e-3, 100.0, 1e6]


def shifted(a, sigma):
    wide = a.astype(np.result_type(a.dtype, np.float64))
    return wide + sigma * np.eye(len(a))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 10, 200])
def test_every_shift_as_if_alone(dtype, n):
    c = Counting(spd(n, 100, dtype))
    A = ritz.LinearOperator((n, n), c.matvec, dtype=dtype)
    b, rtol = vector(n, dtype), 100 * eps(dtype)
    res = ritz.cg(A, b, shifts=SHIFTS, rtol=rtol)
    assert res.x.shape == (n, len(SHIFTS))
    assert res.x.dtype == dtype
    assert res.products.total == c.matvecs
    for j, sigma in enumerate(SHIFTS):
        column = res.columns[j]
        moved = shifted(c.a, sigma).astype(complex)
        r = np.linalg.norm(b - moved @ column.x)
        norm_b = np.linalg.norm(b)
        # Of a product in the working precision.
        rounding = 4 * eps(dtype) * (norm_b + np.linalg.norm(moved, 2) * np.linalg.norm(column.x))
        # The smallest shifts are hard in single precision: an honest ending is enough there.
        if r <= rtol * norm_b - rounding:
            assert column.converged
        if column.converged:
            assert r <= rtol * norm_b + rounding
        else:
            assert column.status is Status.precision_limit
        np.testing.assert_allclose(column.residual, r, rtol=0.05, atol=rounding)
    assert res.columns[-1].converged
    assert res.columns[-1].iterations <= 3


def test_one_space_for_all():
    a, b = spd(300, 1e3), vector(300)
    c = Counting(a)
    A = ritz.LinearOperator((300, 300), c.matvec)
    shifts = np.logspace(-4, 2, 20)
    res = ritz.cg(A, b, shifts=shifts, rtol=1e-9)
    assert res.converged
    slowest = ritz.cg(a + shifts[0] * np.eye(300), b, rtol=1e-9)
    assert abs(res.iterations - slowest.iterations) <= 2 + slowest.iterations // 20
    assert c.matvecs == res.iterations + len(shifts)
    falling = [column.iterations for column in res.columns]
    assert falling == sorted(falling, reverse=True)
    for sigma, column in zip(shifts, res.columns, strict=True):
        exact = np.linalg.solve(a + sigma * np.eye(300), b)
        np.testing.assert_allclose(column.x, exact, atol=1e-5 * np.linalg.norm(exact))


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20)])
def test_scale_changes_nothing(dtype, factor):
    a, b, shifts = spd(80, 50, dtype), vector(80, dtype), np.array([0.0, 0.1, 3.0, 1e4])
    base = ritz.cg(a, b, shifts=shifts, rtol=1e-4)
    assert base.converged
    for of_a in (1 / factor, 1, factor):
        for of_b in (1 / factor, 1, factor):
            res = ritz.cg(
                (a * of_a).astype(dtype), (b * of_b).astype(dtype), shifts=shifts * of_a, rtol=1e-4
            )
            assert res.status is base.status
            for one, other in zip(res.columns, base.columns, strict=True):
                assert abs(one.iterations - other.iterations) <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_success_is_never_false(dtype):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 60))
        a = spd(n, 10 ** rng.uniform(0, 10), dtype, seed)
        b = vector(n, dtype, seed)
        shifts = np.where(rng.random(4) < 0.3, 0.0, 10 ** rng.uniform(-8, 4, 4))
        rtol = 10 ** rng.uniform(-15, -2)
        res = ritz.cg(a, b, shifts=shifts, rtol=rtol, maxiter=int(rng.integers(1, 300)))
        for sigma, column in zip(shifts, res.columns, strict=True):
            r = b - shifted(a, sigma) @ column.x
            slack = 20 * eps(dtype) * (np.linalg.norm(b) + (1 + sigma) * np.linalg.norm(column.x))
            if column.converged:
                assert column.verified
                assert np.linalg.norm(r) <= rtol * np.linalg.norm(b) + slack


def test_an_indefinite_shift_does_not_stop_the_others():
    a, b = symmetric(np.linspace(1, 2, 30)), vector(30)
    res = ritz.cg(a, b, shifts=[0.0, -1.5, 1.0], rtol=1e-10)
    assert res.status is Status.negative_curvature
    assert res.info < 0
    assert "shifts[1]" in res.message
    for j, sigma in ((0, 0.0), (2, 1.0)):
        assert res.columns[j].converged
        np.testing.assert_allclose(
            res.columns[j].x, np.linalg.solve(a + sigma * np.eye(30), b), atol=1e-8
        )


def test_limits_callbacks_history():
    a, b = spd(100, 1e4), vector(100)
    res = ritz.cg(a, b, shifts=[0.0, 10.0], maxiter=10, history=True)
    assert [c.status for c in res.columns] == [Status.max_iterations, Status.converged]
    assert len(res.history) == 10
    assert res.info == 10
    seen = []

    def stop(it):
        seen.append(it.residual)
        return it.iteration == 4

    res = ritz.cg(a, b, shifts=[0.0, 1e-4], callback=stop)
    assert res.status is Status.stopped
    assert len(seen) == 4
    assert ritz.cg(a, b, shifts=[0.0, 1e-4], max_products=3).status is Status.max_products
    claimed = ritz.cg(a, b, shifts=[1.0, 2.0], verify=False)
    assert claimed.converged
    assert not claimed.verified
    assert claimed.products.total == claimed.iterations


def test_misuse_names_the_argument():
    a, b = spd(10, 10), vector(10)
    for refused in ({"x0": b}, {"M": np.eye(10)}, {"radius": 1.0}, {"out": b.copy()}):
        with pytest.raises(ValueError, match="cannot be combined with shifts"):
            ritz.cg(a, b, shifts=[1.0], **refused)
    for bad in ([], [np.inf], [[1.0]], 2.0, ["a"]):
        with pytest.raises((ValueError, TypeError), match="shifts"):
            ritz.cg(a, b, shifts=bad)
    with pytest.raises(ValueError, match="b has shape"):
        ritz.cg(a, np.ones((10, 2)), shifts=[1.0])
    assert ritz.cg(a, np.zeros(10), shifts=[1.0, 2.0]).x.tolist() == [[0.0, 0.0]] * 10
    nan = ritz.cg(ritz.LinearOperator((10, 10), lambda x: x * np.nan), b, shifts=[0.0, 1.0])
    assert nan.status is Status.nonfinite


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks(framework):
    module = pytest.importorskip(framework)
    convert = module.from_numpy if framework == "torch" else module.numpy.asarray
    a, b = convert(spd(20, 10, np.float32)), convert(vector(20, np.float32))
    res = ritz.cg(a, b, shifts=[0.0, 1.0])
    assert type(res.x) is type(b)
    assert tuple(res.x.shape) == (20, 2)
    assert res.converged
