"""LSQR, CGLS and CRAIG against dense least squares and SciPy; preconditioners, radius, dampings."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps, rectangular, vector
from ritz import Status

SOLVERS = [ritz.lsqr, ritz.cgls, ritz.lsmr]


def tight(dtype):
    return {"atol": 50 * eps(dtype), "btol": 50 * eps(dtype), "maxiter": 4000, "conlim": 0}


def matrix(m, n, cond, dtype, seed=0):
    a = rectangular(m, n, cond, seed=seed)
    if np.dtype(dtype).kind == "c":
        u, s, vt = np.linalg.svd(a + 1j * rectangular(m, n, cond, seed=seed + 1), False)
        a = (u * np.logspace(-np.log10(cond), 0, len(s))) @ vt
    return a.astype(dtype)


def wide(a):
    return a.astype(np.result_type(a.dtype, np.float64))


def keeps_promise(a, b, x, tol, dtype):
    """Evaluate the tests of convergence again in double precision, with room for rounding."""
    a, b, x = wide(a), wide(b), wide(x)
    r = b - a @ x
    norm_a, slack = np.linalg.norm(a), 20 * eps(dtype)
    consistent = np.linalg.norm(r) <= (tol + slack) * (
        np.linalg.norm(b) + norm_a * np.linalg.norm(x)
    )
    optimal = np.linalg.norm(a.conj().T @ r) <= norm_a * (
        (tol + slack) * np.linalg.norm(r) + slack * norm_a * np.linalg.norm(x)
    )
    return consistent or optimal


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 1), (1, 2), (2, 2), (10, 10), (60, 20), (20, 60), (500, 100), (100, 500)]
)
def test_the_solution_of_least_norm(solver, dtype, shape):
    a, b = matrix(*shape, 8, dtype), vector(shape[0], dtype)
    res = solver(a, b, **tight(dtype))
    assert res.converged
    assert res.x.dtype == dtype
    exact = np.linalg.lstsq(wide(a), wide(b), rcond=None)[0]
    scale = np.linalg.norm(exact) + np.linalg.norm(b)
    assert np.linalg.norm(res.x - exact) <= 2e3 * eps(dtype) * scale
    r = wide(b) - wide(a) @ wide(res.x)
    np.testing.assert_allclose(res.residual, np.linalg.norm(r), rtol=1e-2, atol=1e2 * eps(dtype))
    np.testing.assert_allclose(res.norm_x, np.linalg.norm(res.x), rtol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 30), (30, 40)])
def test_deficient_rank_gives_the_pseudoinverse(solver, dtype, shape):
    a = matrix(*shape, 5, np.result_type(dtype, np.float64))
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    s[[3, 7, 20]] = 0
    a, b = (u * s) @ vt, vector(shape[0], dtype)
    exact = np.linalg.pinv(a, rcond=1e-10) @ b
    tol = 30 * eps(dtype)
    res = solver(a.astype(dtype), b, atol=tol, btol=tol, conlim=0)
    assert res.converged
    # The null space of the rounded matrix is off by its rounding.
    assert np.linalg.norm(res.x - exact) <= 5e3 * eps(dtype) * np.linalg.norm(exact)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_damping_pulls_towards_the_start(solver, start, shape):
    a, b, damp = rectangular(*shape, 1e2), vector(shape[0]), 0.05
    x0 = vector(shape[1], seed=9) if start else np.zeros(shape[1])
    stacked = np.vstack([a, damp * np.eye(shape[1])])
    exact = np.linalg.lstsq(stacked, np.concatenate([b, damp * x0]), rcond=None)[0]
    res = solver(a, b, damp, x0=x0 if start else None, atol=1e-12, btol=1e-12)
    assert res.converged
    np.testing.assert_allclose(res.x, exact, rtol=1e-7, atol=1e-8)
    full = np.concatenate([b - a @ res.x, damp * (res.x - x0)])
    np.testing.assert_allclose(res.residual, np.linalg.norm(full), rtol=1e-8)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_success_is_never_false(solver, dtype):
    for seed in range(30):
        rng = np.random.default_rng(seed)
        m, n = rng.integers(1, 40, 2)
        a = matrix(m, n, 10 ** rng.uniform(0, 12), dtype, seed)
        b = vector(m, dtype, seed) if seed % 2 else a @ vector(n, dtype, seed)
        tol = 10 ** rng.uniform(-14, -2)
        res = solver(a, b, atol=tol, btol=tol, conlim=0, maxiter=int(rng.integers(1, 500)))
        if res.converged:
            assert res.verified
            assert keeps_promise(a, b, res.x, tol, dtype)
        else:
            assert res.status in (Status.precision_limit, Status.max_iterations)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20)])
@pytest.mark.parametrize("damp", [0.0, 0.1])
def test_scale_changes_nothing(solver, dtype, factor, damp):
    # Tolerances that are met before rounding, which powers of ten change, has a say.
    a, b = rectangular(120, 80, 10, dtype), vector(120, dtype)
    base = solver(a, b, damp, atol=1e-2, btol=1e-2)
    assert base.converged
    for of_a in (1 / factor, 1, factor):
        for of_b in (1 / factor, 1, factor):
            scaled = (a * of_a).astype(dtype), (b * of_b).astype(dtype)
            res = solver(*scaled, damp * of_a, atol=1e-2, btol=1e-2)
            assert res.status is base.status
            assert abs(res.iterations - base.iterations) <= 1
            np.testing.assert_allclose(res.cond_a, base.cond_a, rtol=0.5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_condition_estimate_of_a_small_operator(solver):
    a, b = np.random.default_rng(0).standard_normal((300, 100)), vector(300)
    cond = np.linalg.cond(a)
    for s in (1, 1e-9, 1e-10, 1e-20, 1e20):
        res = solver(a * s, b)
        assert res.converged
        assert 0.3 * cond <= res.cond_a <= 1.05 * cond


def test_lsqr_and_cgls_make_the_same_iterates():
    a, b = rectangular(60, 30, 20), vector(60)
    for k in (1, 3, 8):
        one, two = (f(a, b, 0.1, maxiter=k, atol=0, btol=0) for f in (ritz.lsqr, ritz.cgls))
        np.testing.assert_allclose(one.x, two.x, rtol=1e-9)
        assert one.iterations == two.iterations == k
    theirs = spla.lsqr(a, b, 0.1, atol=0, btol=0, iter_lim=8)
    np.testing.assert_allclose(one.x, theirs[0], rtol=1e-9)
    np.testing.assert_allclose(one.residual, theirs[4], rtol=1e-9)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_exact_start_is_kept(solver):
    a, x = rectangular(40, 20, 10), vector(20)
    res = solver(a, a @ x, x0=x)
    assert res.converged
    assert res.iterations == 0
    np.testing.assert_array_equal(res.x, x)


@pytest.mark.parametrize("solver", SOLVERS)
def test_counts_columns_and_batches(solver):
    c = Counting(rectangular(40, 20, 100))
    A = ritz.LinearOperator((40, 20), c.matvec, c.rmatvec)
    res = solver(A, vector(40), 0.1)
    assert res.products == (c.matvecs, c.rmatvecs, 0)
    a = rectangular(40, 20, 10)
    B = np.column_stack([vector(40, seed=j) for j in range(3)])
    together = solver(a, B, atol=1e-10, btol=1e-10)
    assert together.converged
    np.testing.assert_allclose(together.x, np.linalg.lstsq(a, B, rcond=None)[0], atol=1e-8)
    stack = np.stack([rectangular(15, 10, 5, seed=j) for j in range(4)])
    rhs = np.stack([vector(15, seed=j) for j in range(4)])
    batch = solver(stack, rhs, batched=True, atol=1e-10, btol=1e-10)
    for j in range(4):
        exact = np.linalg.lstsq(stack[j], rhs[j], rcond=None)[0]
        np.testing.assert_allclose(batch.x[j], exact, atol=1e-8)


@pytest.mark.parametrize("name", ["lsqr", "cgls", "craig"])
def test_stepping_and_workspaces(name):
    a = rectangular(20, 50, 10)
    b = vector(20)
    solver = getattr(ritz, name)
    whole = solver(a, b)
    steps = ritz.iterate(name, a, b)
    count = sum(1 for _ in steps)
    assert count in (whole.iterations, whole.iterations - 1)
    np.testing.assert_array_equal(steps.result.x, whole.x)
    ws = ritz.Workspace(name, 20, 50)
    first, second = (solver(a, b, workspace=ws).x.copy() for _ in range(2))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, whole.x)


@pytest.mark.parametrize("solver", [ritz.lsqr, ritz.cgls])
def test_radius(solver):
    a, b = rectangular(50, 20, 30), vector(50)
    free = solver(a, b, atol=1e-12, btol=1e-12)
    for share in (1e-3, 0.4, 0.95):
        res = solver(a, b, radius=share * np.linalg.norm(free.x))
        assert res.status is Status.boundary
        assert res.info > 0
        np.testing.assert_allclose(np.linalg.norm(res.x), share * np.linalg.norm(free.x))
        np.testing.assert_allclose(res.residual, np.linalg.norm(b - a @ res.x))
        np.testing.assert_allclose(
            res.normal_residual, np.linalg.norm(a.T @ (b - a @ res.x)), rtol=1e-6
        )
    assert solver(a, b, radius=2 * np.linalg.norm(free.x)).converged
    with pytest.raises(ValueError, match="radius"):
        solver(a, b, radius=0)


def hard(damp=0.0, dtype=np.float64):
    """A matrix of condition 1e6, and R⁻¹ of a sketch of [A; damp I]."""
    m, n = 80, 30
    a = rectangular(m, n, 1e6)
    sketch = np.random.default_rng(4).standard_normal((3 * n, m)) / np.sqrt(3 * n)
    R = np.linalg.qr(np.vstack([sketch @ a, damp * np.eye(n)]), "r")
    return a.astype(dtype), np.linalg.inv(R).astype(dtype)


@pytest.mark.parametrize("solver", [ritz.lsqr, ritz.lsmr])
@pytest.mark.parametrize("damp", [0.0, 1e-3])
@pytest.mark.parametrize("start", [False, True])
def test_right_preconditioner(solver, damp, start):
    a, R_inv = hard(damp)
    m, n = a.shape
    b = vector(m)
    x0 = vector(n, seed=9) if start else None
    res = solver(a, b, damp, x0=x0, M=R_inv, atol=1e-8, btol=1e-8)
    assert res.converged
    assert res.iterations <= n
    plain = solver(a, b, damp, x0=x0, atol=1e-8, btol=1e-8, conlim=0, maxiter=2000)
    assert res.iterations < plain.iterations
    stacked = np.vstack([a, damp * np.eye(n)])
    rhs = np.concatenate([b, damp * (x0 if start else np.zeros(n))])
    exact = np.linalg.lstsq(stacked, rhs, rcond=None)[0]
    assert np.linalg.norm(res.x - exact) <= 1e-6 * np.linalg.norm(exact)
    # Without M, the same tolerance leaves far larger an error.
    assert np.linalg.norm(res.x - exact) < np.linalg.norm(plain.x - exact)
    np.testing.assert_allclose(res.norm_x, np.linalg.norm(res.x))
    full = rhs - stacked @ res.x
    np.testing.assert_allclose(res.residual, np.linalg.norm(full), rtol=1e-6)


def test_right_preconditioner_counts_columns_and_out():
    a, R_inv = hard()
    b = vector(80)
    c, d = Counting(a), Counting(R_inv)
    A = ritz.LinearOperator(a.shape, c.matvec, c.rmatvec)
    N = ritz.LinearOperator(R_inv.shape, d.matvec, d.rmatvec)
    x0, out = vector(30, seed=3), np.empty(30)
    res = ritz.lsqr(A, b, M=N, x0=x0, out=out)
    assert res.products == (c.matvecs, c.rmatvecs, 0)
    assert res.preconditioner_products == d.matvecs + d.rmatvecs
    assert res.x is out
    B = np.column_stack([b, vector(80, seed=5)])
    together = ritz.lsqr(a, B, M=R_inv, atol=1e-8, btol=1e-8)
    exact = np.linalg.lstsq(a, B, rcond=None)[0]
    assert together.x.shape == (30, 2)
    for j in range(2):
        np.testing.assert_array_equal(together.columns[j].x, together.x[:, j])
        error = np.linalg.norm(together.x[:, j] - exact[:, j])
        assert error <= 1e-6 * np.linalg.norm(exact[:, j])
    # A start that is good enough costs nothing more than its residual.
    x = vector(30)
    done = ritz.lsqr(a, a @ x, M=R_inv, x0=x)
    assert done.converged
    assert done.iterations == 0
    for bad in ({"radius": 1.0}, {"batched": True}):
        with pytest.raises(ValueError, match="cannot be combined with M"):
            ritz.lsqr(a, b, M=R_inv, **bad)


def test_cgls_preconditioner():
    rng = np.random.default_rng(3)
    a = rng.standard_normal((80, 40)) * np.logspace(0, 3, 40)
    b = vector(80)
    M = ritz.diagonal(1 / (a**2).sum(axis=0))
    plain = ritz.cgls(a, b, atol=1e-10, btol=1e-10)
    res = ritz.cgls(a, b, M=M, atol=1e-10, btol=1e-10)
    assert res.converged
    assert res.iterations < plain.iterations / 2
    exact = np.linalg.lstsq(a, b, rcond=None)[0]
    assert np.linalg.norm((res.x - exact) * np.logspace(0, 3, 40)) <= 1e-7
    assert ritz.cgls(a, b, M=ritz.diagonal(-np.ones(40))).status is Status.indefinite_preconditioner


@pytest.mark.parametrize("damp", [0.0, 0.3])
def test_variance(damp):
    a, b = rectangular(50, 20, 10), vector(50)
    exact = np.diag(np.linalg.inv(a.T @ a + damp**2 * np.eye(20)))
    for k in (1, 5, 10):
        res = ritz.lsqr(a, b, damp, atol=0, btol=0, maxiter=k, variance=True)
        theirs = spla.lsqr(a, b, damp, atol=0, btol=0, calc_var=True, iter_lim=k)
        np.testing.assert_allclose(res.variance, theirs[9], rtol=1e-9)
        assert np.all(res.variance <= exact)
        np.testing.assert_array_equal(res.x, ritz.lsqr(a, b, damp, atol=0, btol=0, maxiter=k).x)
    full = ritz.lsqr(a, b, damp, atol=1e-13, btol=1e-13, variance=True)
    # Directions that rounding has let in again count twice.
    np.testing.assert_allclose(full.variance, exact, rtol=0.25)
    with pytest.raises(ValueError, match="variance"):
        ritz.lsqr(a, b, damps=[1.0], variance=True)


@pytest.mark.parametrize("solver", [ritz.lsqr, ritz.cgls])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
def test_dampings_from_one_space(solver, dtype, shape):
    c = Counting(matrix(*shape, 20, dtype))
    A = ritz.LinearOperator(shape, c.matvec, c.rmatvec, dtype=dtype)
    b, damps = vector(shape[0], dtype), [0.0, 1e-1, 1.0, 10.0]
    tol = 50 * eps(dtype)
    res = solver(A, b, damps=damps, atol=tol, btol=tol, conlim=0, history=True)
    assert res.converged
    assert res.x.shape == (shape[1], 4)
    assert res.x.dtype == dtype
    assert res.products == (c.matvecs, c.rmatvecs, 0)
    assert c.matvecs <= res.iterations + 2 * len(damps)
    assert len(res.history) == res.iterations
    for j, damp in enumerate(damps):
        stacked = np.vstack([c.a, damp * np.eye(shape[1])])
        rhs = np.concatenate([b, np.zeros(shape[1])])
        exact = np.linalg.lstsq(wide(stacked), rhs, rcond=None)[0]
        column = res.columns[j]
        np.testing.assert_array_equal(column.x, res.x[:, j])
        assert column.converged
        assert column.verified
        scale = np.linalg.norm(exact) + np.linalg.norm(b)
        assert np.linalg.norm(column.x - exact) <= 2e3 * eps(dtype) * scale
        assert abs(column.iterations - ritz.lsqr(c.a, b, damp, **tight(dtype)).iterations) <= 2
    assert res.columns[3].iterations < res.columns[0].iterations


def test_a_failing_damping_is_named():
    a, b = rectangular(60, 40, 1e8), vector(60)
    res = ritz.lsqr(a, b, damps=[1.0, 0.0], conlim=1e3, atol=1e-14, btol=1e-14)
    assert not res.converged
    assert res.columns[0].converged
    assert res.columns[1].status is Status.condition_limit
    assert "damps[1]" in res.message
    for refused in ({"x0": np.zeros(40)}, {"M": np.eye(40)}, {"damp": 1.0}, {"radius": 1.0}):
        with pytest.raises(ValueError, match="damps"):
            ritz.lsqr(a, b, damps=[1.0], **refused)
    for bad in ([], [-1.0], [np.nan], 1.0, ["a"]):
        with pytest.raises((ValueError, TypeError), match="damps"):
            ritz.lsqr(a, b, damps=bad)
    with pytest.raises(TypeError, match="no option"):
        ritz.cgls(a, b, damps=[1.0], wrong=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (20, 60), (40, 40), (60, 20), (100, 500)])
def test_craig(dtype, shape):
    a = matrix(*shape, 8, dtype)
    x = wide(a).conj().T @ vector(shape[0], seed=3)
    b = (wide(a) @ x).astype(dtype)
    c = Counting(a)
    A = ritz.LinearOperator(shape, c.matvec, c.rmatvec, dtype=dtype)
    rtol = 1e3 * eps(dtype)
    res = ritz.craig(A, b, rtol=rtol)
    assert res.converged
    assert res.products == (c.matvecs, c.rmatvecs, 0)
    r = wide(b) - wide(a) @ wide(res.x)
    assert np.linalg.norm(r) <= 1.05 * rtol * np.linalg.norm(b)
    assert np.linalg.norm(res.x - x) <= 20 * rtol * np.linalg.norm(x)


def test_craig_is_honest_about_systems_without_solution():
    for seed in range(20):
        a, b = rectangular(30, 20, 10 ** (seed / 4), seed=seed), vector(30, seed=seed)
        res = ritz.craig(a, b)
        assert res.status in (Status.breakdown, Status.max_iterations)
        assert res.info != 0
    # Deficient, but consistent.
    a = rectangular(40, 10, 5) @ rectangular(10, 40, 5, seed=7)
    b = a @ vector(40)
    res = ritz.craig(a, b, rtol=1e-10)
    assert res.converged
    np.testing.assert_allclose(res.x, np.linalg.pinv(a, rcond=1e-10) @ b, atol=1e-7)


def test_craig_stays_near_its_start():
    a, x0 = rectangular(20, 50, 10), vector(50, seed=8)
    b = vector(20)
    res = ritz.craig(a, b, x0, rtol=1e-12)
    np.testing.assert_allclose(res.x, x0 + np.linalg.pinv(a) @ (b - a @ x0), atol=1e-9)
    again = ritz.craig(a, b, res.x, rtol=1e-10)
    assert again.iterations == 0
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.craig(ritz.LinearOperator((4, 3), lambda x: np.zeros(4)), np.ones(4))


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_frameworks(framework):
    module = pytest.importorskip(framework)
    a, R_inv = hard(dtype=np.float32)
    b = vector(80, np.float32)
    convert = module.from_numpy if framework == "torch" else module.numpy.asarray
    a_, b_, M_ = convert(a), convert(b), convert(R_inv)
    for res in (
        ritz.lsqr(a_, b_, M=M_, x0=b_[:30]),
        ritz.lsmr(a_, b_, 0.1, M=M_),
        ritz.cgls(a_, b_, damps=[0.1, 1.0]),
        ritz.craig(a_.T, b_[:30], maxiter=5),
    ):
        assert type(res.x) is type(b_)
