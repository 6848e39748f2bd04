"""Conjugate gradients: right answers, honest endings, the same ones at every scale."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given
from hypothesis import strategies as st

import ritz
from problems import DTYPES, Counting, eps, spd, symmetric, vector
from ritz import Status


def relative_residual(a, b, x):
    a, b, x = (np.asarray(v, np.complex128) for v in (a, b, x))
    return np.linalg.norm(b - a @ x) / np.linalg.norm(b)


@pytest.mark.parametrize("dtype", DTYPES)
def test_solves(dtype):
    a, b = spd(50, 100, dtype), vector(50, dtype)
    res = ritz.cg(a, b, rtol=1e-4)
    x, info = res
    assert info == 0
    assert res.converged
    assert res.status is Status.converged
    assert res.verified
    assert x.dtype == dtype
    assert x is res.x
    assert relative_residual(a, b, x) <= 1.01e-4
    np.testing.assert_allclose(
        res.residual / np.linalg.norm(b), relative_residual(a, b, x), rtol=1e-2
    )


def test_agrees_with_scipy():
    n = 30
    laplace = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    a = sp.kron(laplace, sp.eye_array(n)) + sp.kron(sp.eye_array(n), laplace)
    b = vector(n * n)
    steps = []
    theirs, info = spla.cg(a, b, rtol=1e-8, callback=lambda x: steps.append(1))
    ours = ritz.cg(a, b, rtol=1e-8)
    assert info == ours.info == 0
    assert abs(ours.iterations - len(steps)) <= 1
    np.testing.assert_allclose(ours.x, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cond", [1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-12])
def test_success_is_never_false(dtype, cond, rtol):
    a, b = spd(60, cond, dtype), vector(60, dtype)
    res = ritz.cg(a, b, rtol=rtol, maxiter=2000)
    true = relative_residual(a, b, res.x)
    if res.info == 0:
        # The residual is evaluated in the working precision.
        rounding = eps(dtype) * np.linalg.norm(res.x.astype(float)) / np.linalg.norm(b) * 20
        assert true <= rtol + rounding
    else:
        assert res.status in (
            Status.precision_limit,
            Status.max_iterations,
            Status.negative_curvature,
        )
        assert res.info != 0
    if cond <= 1e4 and rtol == 1e-3:
        assert res.info == 0


def test_the_impossible_ends_at_the_precision_limit():
    a, b = spd(60, 1e4, np.float32), vector(60, np.float32)
    res = ritz.cg(a, b, rtol=1e-7)
    assert res.status is Status.precision_limit
    assert "float64" in res.message
    assert res.info > 0


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20), (np.complex128, 1e20)]
)
def test_scale_changes_nothing(dtype, factor):
    # Mild enough that the rounding of the scaled entries cannot change the course of the run.
    a, b = spd(40, 30, dtype), vector(40, dtype)
    base = ritz.cg(a, b, rtol=1e-5)
    assert base.converged
    for scale_a in (1 / factor, 1, factor):
        for scale_b in (1 / factor, 1, factor):
            res = ritz.cg((a * scale_a).astype(dtype), (b * scale_b).astype(dtype), rtol=1e-5)
            assert res.status is base.status
            assert abs(res.iterations - base.iterations) <= 1


@pytest.mark.parametrize(("dtype", "power"), [(np.float32, 26), (np.float64, 66)])
@pytest.mark.parametrize("rtol", [1e-3, 1e-9, 1e-15])
def test_scale_by_powers_of_two_changes_no_bit(dtype, power, rtol):
    a, b = spd(40, 1e6, dtype), vector(40, dtype)
    base = ritz.cg(a, b, rtol=rtol)
    for scale_a in (2.0**-power, 2.0**power):
        for scale_b in (2.0**-power, 2.0**power):
            res = ritz.cg((a * scale_a).astype(dtype), (b * scale_b).astype(dtype), rtol=rtol)
            assert res.status is base.status
            assert res.iterations == base.iterations
            np.testing.assert_array_equal(res.x * dtype(scale_a / scale_b), base.x)


@given(st.integers(1, 40), st.floats(0, 4), st.integers(0, 2**32 - 1))
def test_residual_reported_is_the_true_one(n, log_cond, seed):
    a, b = spd(n, 10**log_cond, seed=seed), vector(n, seed=seed)
    res = ritz.cg(a, b, rtol=1e-6)
    assert res.converged
    assert relative_residual(a, b, res.x) <= 1e-6 * (1 + 1e-6)


def test_counts_are_the_closures_own():
    c = Counting(spd(40, 1e3))
    A = ritz.LinearOperator((40, 40), c.matvec)
    res = ritz.cg(A, vector(40))
    assert res.products == (c.matvecs, 0, 0)
    assert A.counts == res.products
    # One an iteration, one to verify.
    assert c.matvecs == res.iterations + 1
    res = ritz.cg(A, vector(40), verify=False)
    assert res.converged
    assert not res.verified
    assert res.products.matvec == res.iterations


def test_preconditioner():
    d = np.logspace(0, 6, 200)
    a = np.diag(d) + 0.1 * spd(200, 10)
    b = vector(200)
    plain = ritz.cg(a, b, rtol=1e-8)
    m = Counting(np.diag(1 / np.diag(a)))
    M = ritz.LinearOperator((200, 200), m.matvec)
    fast = ritz.cg(a, b, rtol=1e-8, M=M)
    assert fast.converged
    assert fast.iterations < plain.iterations / 3
    assert fast.preconditioner_products == m.matvecs
    again = ritz.cg(a, b, rtol=1e-8, M=ritz.diagonal(1 / np.diag(a)))
    assert again.iterations == fast.iterations


def test_warm_start():
    a, b = spd(50, 100), vector(50)
    exact = np.linalg.solve(a, b)
    res = ritz.cg(a, b, exact)
    assert res.iterations == 0
    assert res.converged
    near = ritz.cg(a, b, exact * (1 + 1e-4))
    assert near.iterations < ritz.cg(a, b).iterations
    x0 = exact.copy()
    ritz.cg(a, b, x0, rtol=1e-12)
    np.testing.assert_array_equal(x0, exact)


def test_endings():
    a, b = spd(60, 1e4), vector(60)
    limited = ritz.cg(a, b, rtol=1e-10, maxiter=3)
    assert (limited.status, limited.iterations, limited.info) == (Status.max_iterations, 3, 3)
    budget = ritz.cg(a, b, rtol=1e-10, max_products=7)
    assert budget.status is Status.max_products
    assert budget.products.total == 7
    indefinite = ritz.cg(symmetric(np.linspace(-1, 1, 60)), b)
    assert indefinite.status is Status.negative_curvature
    assert indefinite.info < 0
    assert "positive definite" in indefinite.message
    bad_m = ritz.cg(a, b, rtol=1e-10, M=-ritz.identity(60))
    assert bad_m.status is Status.indefinite_preconditioner


def test_timeout():
    a = spd(60, 1e6)

    def slow(x):
        t = __import__("time").perf_counter()
        while __import__("time").perf_counter() < t + 0.01:
            pass
        return a @ x

    res = ritz.cg(ritz.LinearOperator((60, 60), slow), vector(60), rtol=1e-14, timeout=0.05)
    assert res.status is Status.timeout
    assert res.seconds < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [1, 4])
def test_nonfinite_products_end_the_run_and_name_the_iteration(bad, at):
    a = spd(40, 1e4)
    calls = []

    def matvec(x):
        calls.append(1)
        y = a @ x
        if len(calls) == at:
            y[7] = bad
        return y

    res = ritz.cg(ritz.LinearOperator((40, 40), matvec), vector(40), rtol=1e-10)
    assert res.status is Status.nonfinite
    assert res.info < 0
    assert f"at iteration {at}:" in res.message


def test_nonfinite_right_hand_side_is_a_status():
    b = vector(10)
    b[3] = np.nan
    res = ritz.cg(spd(10, 10), b)
    assert res.status is Status.nonfinite
    assert "iteration 0" in res.message


def test_zero_and_empty():
    res = ritz.cg(spd(5, 10), np.zeros(5))
    assert res.converged
    assert res.x.tolist() == [0] * 5
    res = ritz.cg(np.zeros((0, 0)), np.zeros(0))
    assert res.converged
    assert res.x.shape == (0,)
    res = ritz.cg(ritz.LinearOperator((0, 0), lambda x: x), np.zeros(0))
    assert res.converged


def test_column_right_hand_side_as_scipy():
    a, b = spd(8, 10), vector(8)
    np.testing.assert_array_equal(ritz.cg(a, b[:, None]).x, ritz.cg(a, b).x)


def test_out():
    a, b = spd(20, 10), vector(20)
    out = np.full(20, np.nan)
    res = ritz.cg(a, b, out=out)
    assert res.x is out
    np.testing.assert_array_equal(out, ritz.cg(a, b).x)
    # A start in the same memory is a start all the same.
    again = ritz.cg(a, b, out, out=out)
    assert again.iterations == 0


def test_workspace_is_reused():
    a, b = spd(50, 100), vector(50)
    ws = ritz.Workspace("cg", 50)
    assert ws.bytes >= 3 * 50 * 8
    first = ritz.cg(a, b, workspace=ws)
    held = ws.bytes
    second = ritz.cg(a, b, workspace=ws)
    np.testing.assert_array_equal(first.x, second.x)
    assert ws.bytes == held
    np.testing.assert_array_equal(first.x, ritz.cg(a, b).x)
    # A larger problem makes it grow, a smaller one uses a part of it.
    assert ritz.cg(spd(90, 10), vector(90), workspace=ws).converged
    assert ritz.cg(spd(9, 10), vector(9), workspace=ws).converged


def test_same_bits_every_time():
    a, b = spd(100, 1e3), vector(100)
    np.testing.assert_array_equal(ritz.cg(a, b).x, ritz.cg(a, b).x)


def test_inputs_are_untouched():
    a, b, x0 = spd(20, 10), vector(20), np.ones(20)
    kept = a.copy(), b.copy(), x0.copy()
    ritz.cg(a, b, x0)
    for now, before in zip((a, b, x0), kept, strict=True):
        np.testing.assert_array_equal(now, before)


def test_integers_are_promoted():
    res = ritz.cg(2 * np.eye(3, dtype=int), [2, 4, 6])
    np.testing.assert_allclose(res.x, [1, 2, 3])
    assert res.x.dtype == np.float64


@pytest.mark.parametrize("start", [None, 0.05])
@pytest.mark.parametrize("preconditioned", [False, True])
def test_radius(start, preconditioned):
    n, radius = 80, 0.75
    d = np.geomspace(1e-2, 1.0, n)
    b = np.sin(np.arange(1.0, n + 1))
    if preconditioned and start is not None:
        with pytest.raises(ValueError, match="x0"):
            ritz.cg(ritz.diagonal(d), b, np.full(n, start), radius=radius, M=ritz.diagonal(1 / d))
        return
    M = 1 / (d + 0.1) if preconditioned else np.ones(n)
    x0 = None if start is None else np.full(n, start)
    result = ritz.cg(
        ritz.diagonal(d), b, x0, radius=radius, M=ritz.diagonal(M) if preconditioned else None
    )
    assert result.status is ritz.Status.boundary
    assert abs(np.sqrt((result.x**2 / M).sum()) - radius) <= 1e-6 * radius
    # The model falls at every step, so it is lower on the boundary than at the start.
    model = lambda x: (d * x**2).sum() / 2 - b @ x  # noqa: E731
    first = np.zeros(n) if x0 is None else x0
    assert model(first) - model(result.x) == pytest.approx(result.model_decrease, rel=1e-8)
    inside = ritz.cg(ritz.diagonal(d), b, x0, radius=1e6, rtol=1e-8)
    assert inside.converged
    with pytest.raises(ValueError, match="radius"):
        ritz.cg(ritz.diagonal(d), b, np.ones(n), radius=radius)


def test_radius_with_negative_curvature():
    d = np.linspace(-1.0, 2.0, 50)
    result = ritz.cg(ritz.diagonal(d), np.ones(50), radius=1e4)
    assert result.status is ritz.Status.negative_curvature
    assert abs(np.linalg.norm(result.x) - 1e4) <= 1e-2
    assert result.direction @ (d * result.direction) <= 0
    assert result.curvature < 0


@pytest.mark.parametrize("x_dtype", [np.float32, np.float64])
def test_a_radius_and_x_of_another_precision_are_refused_together(x_dtype):
    a, b = np.eye(4, dtype=np.float32), np.ones(4, np.float32)
    with pytest.raises(ValueError, match="radius cannot be combined with x_dtype"):
        ritz.cg(a, b, radius=1.0, x_dtype=x_dtype)
    assert ritz.cg(a, b, radius=10.0).converged
