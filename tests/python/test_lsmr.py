"""LSMR against dense least squares and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps, rectangular, vector
from ritz import Status


def tight(dtype):
    return {"atol": 100 * eps(dtype), "btol": 100 * eps(dtype), "maxiter": 500}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 40), (60, 20), (20, 60)])
def test_solves_like_lstsq(dtype, shape):
    rng = np.random.default_rng(3)
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    if shape[0] == shape[1]:
        a += 10 * np.eye(shape[0])
    a, b = a.astype(dtype), vector(shape[0], dtype)
    res = ritz.lsmr(a, b, **tight(dtype))
    assert res.info == 0
    assert res.x.dtype == dtype
    exact = np.linalg.lstsq(a.astype(complex), b.astype(complex), rcond=None)[0]
    np.testing.assert_allclose(res.x, exact, atol=2e4 * eps(dtype))
    r = b - a @ res.x
    np.testing.assert_allclose(res.residual, np.linalg.norm(r), rtol=1e-2, atol=2e3 * eps(dtype))


@pytest.mark.parametrize("damp", [0.1, 3.0])
def test_damping_equals_the_stacked_problem(damp):
    a, b = rectangular(50, 20, 1e3), vector(50)
    res = ritz.lsmr(a, b, damp, atol=1e-12, btol=1e-12, maxiter=300)
    assert res.converged
    stacked = np.vstack([a, damp * np.eye(20)])
    exact = np.linalg.lstsq(stacked, np.concatenate([b, np.zeros(20)]), rcond=None)[0]
    np.testing.assert_allclose(res.x, exact, rtol=1e-7, atol=1e-8)
    operator = ritz.aslinearoperator(a).damped(damp)
    by_operator = ritz.lsmr(
        operator, np.concatenate([b, np.zeros(20)]), atol=1e-12, btol=1e-12, maxiter=300
    )
    np.testing.assert_allclose(by_operator.x, exact, rtol=1e-7, atol=1e-8)
    normal = a.T @ (b - a @ res.x) - damp**2 * res.x
    assert np.linalg.norm(normal) <= 1e-10 * np.linalg.norm(a.T @ b)
    # From x0 the damping pulls towards x0.
    x0 = vector(20, seed=9)
    moved = ritz.lsmr(a, b, damp, x0=x0, atol=1e-12, btol=1e-12, maxiter=300)
    exact = np.linalg.lstsq(stacked, np.concatenate([b, damp * x0]), rcond=None)[0]
    np.testing.assert_allclose(moved.x, exact, rtol=1e-6, atol=1e-8)


def test_agrees_with_scipy():
    a = sp.random(200, 80, 0.1, format="csr", rng=np.random.default_rng(5))
    a += sp.vstack([sp.eye_array(80), sp.csr_array((120, 80))])
    b = vector(200)
    theirs = spla.lsmr(a, b, atol=1e-9, btol=1e-9)
    ours = ritz.lsmr(a, b, atol=1e-9, btol=1e-9)
    assert ours.converged
    np.testing.assert_allclose(ours.x, theirs[0], atol=1e-7)
    assert abs(ours.iterations - theirs[2]) <= 3
    np.testing.assert_allclose(ours.residual, theirs[3], rtol=1e-6)
    np.testing.assert_allclose(ours.norm_x, theirs[7], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cond", [1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("tol", [1e-4, 1e-8])
def test_success_is_never_false(dtype, cond, tol):
    a, b = rectangular(60, 40, cond, dtype), vector(60, dtype)
    res = ritz.lsmr(a, b, atol=tol, btol=tol, conlim=0, maxiter=2000)
    a_, b_, x = a.astype(float), b.astype(float), res.x.astype(float)
    r = b_ - a_ @ x
    if res.info == 0:
        norm_a = np.linalg.norm(a_)
        consistent = np.linalg.norm(r) / (
            tol * np.linalg.norm(b_) + tol * norm_a * np.linalg.norm(x)
        )
        optimal = np.linalg.norm(a_.T @ r) / (tol * norm_a * np.linalg.norm(r))
        rounding = 20 * eps(dtype) * (1 + norm_a * np.linalg.norm(x) / np.linalg.norm(r)) / tol
        assert min(consistent, optimal) <= 1.05 + rounding
    else:
        assert res.status in (Status.precision_limit, Status.max_iterations)


@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20)])
def test_scale_changes_nothing(dtype, factor):
    # Converges in well under n iterations: past n it is rounding, which powers of ten change, that
    # decides when a run ends.
    a, b = rectangular(120, 80, 10, dtype), vector(120, dtype)
    options = {"atol": 1e-4, "btol": 1e-4}
    base = ritz.lsmr(a, b, **options)
    assert base.converged
    assert base.iterations < 80
    for scale_a in (1 / factor, 1, factor):
        for scale_b in (1 / factor, 1, factor):
            res = ritz.lsmr((a * scale_a).astype(dtype), (b * scale_b).astype(dtype), **options)
            assert res.status is base.status
            assert abs(res.iterations - base.iterations) <= 1
            np.testing.assert_allclose(res.cond_a, base.cond_a, rtol=0.5)


def test_condition_limit():
    a, b = rectangular(60, 40, 1e9), vector(60)
    res = ritz.lsmr(a, b, atol=0, btol=0, conlim=1e3, maxiter=5000)
    assert res.status is Status.condition_limit
    assert res.cond_a >= 1e3
    assert res.info > 0


def test_counts_are_the_closures_own():
    c = Counting(rectangular(40, 20, 100))
    A = ritz.LinearOperator((40, 20), c.matvec, c.rmatvec)
    res = ritz.lsmr(A, vector(40))
    assert res.products == (c.matvecs, c.rmatvecs, 0)
    assert A.counts == res.products


def test_needs_an_adjoint():
    A = ritz.LinearOperator((4, 3), lambda x: np.zeros(4))
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.lsmr(A, np.ones(4))


def test_nonfinite_products_end_the_run():
    a = rectangular(30, 20, 1e3)
    calls = []

    def rmatvec(u):
        calls.append(1)
        return a.T @ u * (np.nan if len(calls) == 4 else 1.0)

    A = ritz.LinearOperator((30, 20), lambda x: a @ x, rmatvec)
    res = ritz.lsmr(A, vector(30), atol=1e-12, btol=1e-12)
    assert res.status is Status.nonfinite
    assert "at iteration 3:" in res.message


def test_zero_and_empty():
    assert ritz.lsmr(rectangular(5, 3, 2), np.zeros(5)).x.tolist() == [0, 0, 0]
    for m, n in ((0, 0), (0, 3), (3, 0)):
        res = ritz.lsmr(np.zeros((m, n)), np.ones(m))
        assert res.converged
        assert res.x.tolist() == [0] * n


def test_show_prints_and_only_show(capsys):
    a, b = rectangular(30, 10, 10), vector(30)
    ritz.lsmr(a, b)
    assert capsys.readouterr().out == ""
    res = ritz.lsmr(a, b, show=True)
    printed = capsys.readouterr().out
    assert "residual" in printed
    assert len(printed.splitlines()) >= res.iterations


def test_workspace_is_reused():
    a, b = rectangular(50, 20, 10), vector(50)
    ws = ritz.Workspace("lsmr", 50, 20)
    first = ritz.lsmr(a, b, workspace=ws)
    second = ritz.lsmr(a, b, workspace=ws)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.x, ritz.lsmr(a, b).x)
