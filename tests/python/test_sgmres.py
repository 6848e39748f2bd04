"""Sketched GMRES: as near to GMRES as a sketch allows, and honest where it is not."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import DTYPES, Counting, eps, vector
from ritz import Status

# What the theory allows a sketched residual to exceed the least by, at a distortion of 1/√2.
FACTOR = (1 + 0.5**0.5) / (1 - 0.5**0.5)


def convection(p, wind=0.3, dtype=np.float64):
    """−Δu + wind · ∇u on p × p points, scaled by the square of their distance."""
    one, line = sp.eye_array(p), np.ones(p - 1)

    def along(c):
        return sp.diags_array(
            [-(1 + c) * line, 2.0 * np.ones(p), -(1 - c) * line], offsets=[-1, 0, 1]
        )

    a = sp.kron(along(wind), one) + sp.kron(one, along(wind / 2))
    return a.tocsr().astype(dtype)


def graded(n, condition=30.0, above=0.05, dtype=np.float64):
    """Eigenvalues from 1 to `condition`, in a matrix that is not normal."""
    rng = np.random.default_rng(7)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    t = np.diag(np.geomspace(1, condition, n)) + above * np.triu(rng.standard_normal((n, n)), 1)
    return (q @ t @ q.T).astype(dtype)


MATRICES = {"convection": lambda: convection(30), "graded": lambda: graded(300)}
each = pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())


def residual(a, x, b):
    return np.linalg.norm(b - a @ x)


# ---- beside GMRES -------------------------------------------------------------------------------


@each
def test_residual_is_near_the_least(matrix):
    a = matrix()
    b = vector(a.shape[0])
    least = ritz.gmres(a, b, rtol=1e-9, restart=200, history=True).history
    run = ritz.sgmres(a, b, rtol=1e-9, restart=200, history=True)
    assert run.converged
    for j in range(10, len(least) - 2, 7):
        x = ritz.sgmres(a, b, rtol=0, restart=200, maxiter=j).x
        true = residual(a, x, b)
        assert true <= 1.3 * least[j - 1]
        assert true <= run.history[j - 1] <= 1.8 * true < FACTOR * true


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_iterations_are_those_of_gmres(matrix, dtype):
    a = matrix().astype(dtype)
    b = vector(a.shape[0], dtype)
    rtol = 300 * eps(dtype)
    full = ritz.gmres(a, b, rtol=rtol, restart=300)
    run = ritz.sgmres(a, b, rtol=rtol, restart=300)
    assert full.converged
    assert run.converged
    assert run.iterations <= 1.1 * full.iterations + 2
    assert residual(a, run.x, b) <= (1 + 1e-3) * rtol * np.linalg.norm(b) + 10 * eps(dtype)
    exact = np.linalg.solve(a.toarray() if sp.issparse(a) else a, b)
    assert np.linalg.norm(run.x - exact) <= 1e3 * rtol * np.linalg.norm(exact)


@pytest.mark.parametrize("restart", [8, 20, 50])
def test_restarts_are_monotone(restart):
    a = convection(40, 0.05)
    b = vector(a.shape[0])
    before = np.linalg.norm(b)
    for cycles in range(1, 9):
        limit = cycles * restart + 1  # one more begins the next cycle, and so takes stock of this
        run = ritz.sgmres(a, b, rtol=1e-12, restart=restart, truncation=2, maxiter=limit)
        now = residual(a, run.x, b)
        assert now <= before * (1 + 1e-12)
        before = now


def test_a_small_restart_is_no_worse_than_gmres_by_much():
    a = convection(40, 0.02)
    b = vector(a.shape[0])
    for restart in (5, 10, 40):
        plain = ritz.gmres(a, b, restart=restart, rtol=1e-8)
        run = ritz.sgmres(a, b, restart=restart, rtol=1e-8)
        assert run.converged
        assert run.products.total <= 1.5 * plain.products.total


@pytest.mark.parametrize("truncation", [1, 2, 4, 8, 1000])
def test_every_truncation(truncation):
    a = convection(30)
    b = vector(900)
    run = ritz.sgmres(a, b, rtol=1e-10, restart=150, truncation=truncation)
    assert run.converged
    assert residual(a, run.x, b) <= 1.001e-10 * np.linalg.norm(b)
    if truncation == 1000:
        assert run.iterations <= ritz.gmres(a, b, rtol=1e-10, restart=150).iterations + 2


def test_one_cycle_takes_one_product_an_iteration_and_one_to_verify():
    a = Counting(convection(30))
    operator = ritz.LinearOperator((900, 900), matvec=a.matvec)
    run = ritz.sgmres(operator, vector(900), rtol=1e-8, restart=200)
    assert run.converged
    assert run.products.total == a.matvecs == run.iterations + 1


# ---- bases that degenerate ----------------------------------------------------------------------


@pytest.mark.parametrize("truncation", [2, 4])
def test_an_ill_conditioned_basis_is_cut_short(truncation):
    # cond(V) passes 1e16 at the 60th vector; a cycle of all 300 would end at 1e-3.
    a = graded(300, 1e4, 1e-2)
    b = vector(300)
    run = ritz.sgmres(a, b, rtol=1e-10, restart=300, truncation=truncation, maxiter=6000)
    assert run.converged
    assert residual(a, run.x, b) <= 1.001e-10 * np.linalg.norm(b)
    assert run.products.total > run.iterations + 2
    assert run.iterations < 1500


@pytest.mark.parametrize("condition", [1e2, 1e6, 1e10])
def test_no_false_success(condition):
    a = graded(100, condition, 0.0)
    b = vector(100)
    run = ritz.sgmres(a, b, rtol=1e-17)
    assert not run.converged
    assert residual(a, run.x, b) <= 100 * eps("f8") * (
        np.linalg.norm(b) + condition * np.linalg.norm(run.x)
    )


def test_an_unverified_success_is_one():
    a = convection(30)
    for seed in range(20):
        b = vector(900)
        run = ritz.sgmres(a, b, rtol=1e-6, seed=seed, verify=False)
        assert run.converged
        assert residual(a, run.x, b) <= 1e-6 * np.linalg.norm(b)


def test_defect_a_shift_that_gains_nothing_is_told():
    n = 40
    a = np.roll(np.eye(n), 1, axis=0)
    b = np.eye(n)[0]
    run = ritz.sgmres(a, b, restart=20)
    assert run.status is Status.stagnation
    assert np.linalg.norm(b - a @ run.x) <= 1 + 1e-12
    assert ritz.sgmres(a, b, restart=40).converged


# ---- the habits of all solvers ------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2.0**-80, 2.0**80])
def test_scale(factor):
    a, b = convection(20), vector(400)
    run = ritz.sgmres(a, b, rtol=1e-9)
    of_b = ritz.sgmres(a, factor * b, rtol=1e-9)
    of_a = ritz.sgmres(factor * a, b, rtol=1e-9)
    assert run.converged
    np.testing.assert_array_equal(of_b.x, factor * run.x)
    np.testing.assert_array_equal(factor * of_a.x, run.x)


def test_small_and_zero():
    assert ritz.sgmres(np.array([[4.0]]), np.array([2.0])).x == 0.5
    run = ritz.sgmres(convection(10), np.zeros(100))
    assert run.converged
    assert run.products.total == 0
    assert not run.x.any()
    for n in range(2, 12):
        a = graded(n)
        assert ritz.sgmres(a, vector(n), rtol=1e-12, truncation=1).converged


def test_nan():
    a = convection(20)
    calls = 0

    def product(v):
        nonlocal calls
        calls += 1
        return a @ v * (np.nan if calls == 30 else 1.0)

    b = vector(400)
    run = ritz.sgmres(ritz.LinearOperator(a.shape, matvec=product), b, rtol=1e-12)
    assert run.status is Status.nonfinite
    assert np.isfinite(run.x).all()
    assert residual(a, run.x, b) < np.linalg.norm(b)


def test_the_residual_told_at_a_limit_is_that_of_x():
    a, b = convection(30), vector(900)
    for options in (
        {"maxiter": 25},
        {"max_products": 130, "restart": 50},
        {"callback": lambda now: now.iteration == 33},
    ):
        run = ritz.sgmres(a, b, rtol=1e-14, **options)
        assert not run.converged
        assert run.residual == pytest.approx(residual(a, run.x, b), rel=1e-6)


def test_first_guess_preconditioner_columns_and_float64_x():
    a, b = convection(30), vector(900)
    exact = sp.linalg.spsolve(a.tocsc(), b)
    warm = ritz.sgmres(a, b, exact + 1e-6 * vector(900), rtol=1e-10, truncation=3)
    assert warm.converged
    ilu = sp.linalg.spilu(a.tocsc(), drop_tol=1e-2)
    m = ritz.LinearOperator(a.shape, matvec=ilu.solve)
    run = ritz.sgmres(a, b, M=m, rtol=1e-10)
    assert run.converged
    assert run.iterations < 40
    assert run.preconditioner_products == run.iterations + 1
    both = np.stack([b, np.ones(900)], axis=1)
    many = ritz.sgmres(a, both, rtol=1e-10)
    assert many.converged
    assert np.linalg.norm(both - a @ many.x, axis=0).max() <= 1.001e-10 * np.linalg.norm(both)
    single = ritz.sgmres(a.astype("f4"), b.astype("f4"), rtol=1e-12, x_dtype="f8")
    assert single.converged
    b4 = b.astype("f4").astype("f8")
    assert residual(a.astype("f4").astype("f8"), single.x, b4) <= 1.001e-12 * np.linalg.norm(b4)


def test_seed_and_workspace():
    a, b = convection(30), vector(900)
    run = ritz.sgmres(a, b, rtol=1e-8)
    np.testing.assert_array_equal(run.x, ritz.sgmres(a, b, rtol=1e-8).x)
    assert (run.x != ritz.sgmres(a, b, rtol=1e-8, seed=1).x).any()
    workspace = ritz.Workspace("sgmres", 900, restart=100)
    assert workspace.bytes >= 102 * 900 * 8
    for _ in range(2):
        np.testing.assert_array_equal(run.x, ritz.sgmres(a, b, rtol=1e-8, workspace=workspace).x)


def test_options_are_checked():
    a, b = graded(5), vector(5)
    for option in ("restart", "truncation"):
        with pytest.raises(ValueError, match=f"{option} is 0"):
            ritz.sgmres(a, b, **{option: 0})
        with pytest.raises(TypeError, match=option):
            ritz.sgmres(a, b, **{option: 2.5})
    with pytest.raises((TypeError, ValueError), match="seed"):
        ritz.sgmres(a, b, seed=-1)
    with pytest.raises(ValueError, match="square"):
        ritz.sgmres(np.ones((3, 2)), np.ones(3))
