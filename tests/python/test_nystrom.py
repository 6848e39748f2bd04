"""Nyström approximations against dense linear algebra, theory and the laws of their errors."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

import ritz
from problems import DTYPES, eps, rectangular, symmetric, vector
from ritz import Status

# What is random in a comparison of two means over seeds may be five standard errors.
SIGMAS = 5.0


def dense_of(result):
    U, lam = (np.asarray(x) for x in result)
    return (U * lam) @ U.conj().T


def low_rank(n, rank, dtype=np.float64, seed=0):
    return symmetric(np.concatenate([np.logspace(0, -1, rank), np.zeros(n - rank)]), dtype, seed)


def noisy(a, size, seed):
    """Products whose error is `size` of their norm, another one for each product."""
    rng = np.random.default_rng(seed)

    def product(X):
        Y = a @ X
        spread = size * np.linalg.norm(Y, axis=0) / np.sqrt(len(Y))
        return (Y + spread * rng.standard_normal(Y.shape)).astype(Y.dtype)

    return ritz.LinearOperator(a.shape, product, matmat=product, dtype=a.dtype, symmetric=True)


def means_agree(x, y):
    """Whether the means of two samples agree; both must be known to a few hundredths."""
    x, y = np.asarray(x), np.asarray(y)
    error = np.hypot(x.std(ddof=1) / np.sqrt(x.size), y.std(ddof=1) / np.sqrt(y.size))
    assert error < 0.035 * y.mean()
    return abs(x.mean() - y.mean()) <= min(SIGMAS * error, 0.1 * y.mean())


# ----------------------------------------------------------------------------------------- nystrom


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "rank", "k"), [(30, 5, 9), (30, 30, 30), (1, 1, 1), (50, 1, 4)])
def test_exact_when_the_rank_suffices(dtype, n, rank, k):
    a = low_rank(n, rank, dtype)
    result = ritz.nystrom(a, k)
    U, lam = result
    assert U.shape == (n, k)
    assert lam.shape == (k,)
    assert U.dtype == dtype
    assert lam.dtype == np.dtype(dtype).char.lower()
    assert result.converged
    assert (result.rank, result.products.total, result.iterations) == (k, k, k)
    np.testing.assert_allclose(dense_of(result), a, atol=500 * eps(dtype))
    np.testing.assert_allclose(U.conj().T @ U, np.eye(k), atol=100 * eps(dtype))
    assert np.all(np.diff(lam) <= 0)
    assert result.error_estimate <= 1e3 * eps(dtype) * np.linalg.norm(a)
    assert np.all(lam[rank:] <= 0.5 * result.shift)  # the shift is not left in


@pytest.mark.parametrize("dtype", DTYPES)
def test_from_below(dtype):
    a = symmetric(np.logspace(0, -6, 80), dtype)
    for seed in range(10):
        result = ritz.nystrom(a, 20, seed=seed)
        rest = (a - dense_of(result)).astype(np.complex128)
        w = np.linalg.eigvalsh((rest + rest.conj().T) / 2)
        assert result.lam[-1] >= 0
        assert w[0] >= -2 * result.shift - 20 * eps(dtype)
        assert result.shift <= 100 * np.sqrt(80) * eps(dtype)


def test_error_within_theory_in_the_mean():
    n, k = 120, 20
    spectrum = 0.85 ** np.arange(n)
    a = symmetric(spectrum)
    errors = [np.linalg.norm(a - dense_of(ritz.nystrom(a, k, seed=s)), 2) for s in range(60)]
    bounds = []
    for p in range(4, k - 1):
        tail = spectrum[k - p :]
        bounds.append(
            (1 + 2 * (k - p) / (p - 1)) * tail[0] + 2 * np.e**2 * k / (p**2 - 1) * tail.sum()
        )
    assert spectrum[k] <= np.mean(errors) <= min(bounds)
    # The bound has large constants: the same law as that of the formula.
    rng = np.random.default_rng(0)
    others = []
    for _ in range(60):
        y = a @ (g := rng.standard_normal((n, k)))
        others.append(np.linalg.norm(a - y @ np.linalg.solve(g.T @ y, y.T), 2))
    error = np.hypot(np.std(errors), np.std(others)) / np.sqrt(60)
    assert error < 0.05 * np.mean(others)
    assert abs(np.mean(errors) - np.mean(others)) <= SIGMAS * error


@pytest.mark.parametrize("decay", ["geometric", "algebraic"])
def test_error_estimate_is_unbiased(decay):
    n, k = 60, 12
    j = np.arange(n)
    a = symmetric(0.8**j if decay == "geometric" else (1.0 + j) ** -1.5)
    estimates = [ritz.nystrom(a, k, seed=s).error_estimate ** 2 for s in range(900)]
    errors = [
        np.linalg.norm(a - dense_of(ritz.nystrom(a, k - 1, seed=s))) ** 2
        for s in range(10_000, 10_900)
    ]
    assert means_agree(estimates, errors)


def test_defect_noise_of_float32_products_fails_the_cholesky_factorisation():
    a = low_rank(300, 20, np.float32)
    for seed in range(60):
        result = ritz.nystrom(noisy(a, 3e-6, seed), 60, seed=seed)
        assert result.converged
        assert result.products.total == 60
        assert np.linalg.norm(a - dense_of(result)) <= 1e-4
        assert 1e-6 <= result.error_estimate <= 1e-4


def test_noise_beyond_the_ladder_is_dropped_by_eigenvalues():
    a = low_rank(300, 20, np.float64)
    for seed in range(20):
        result = ritz.nystrom(noisy(a, 1e-7, seed), 60, seed=seed)
        error = np.linalg.norm(a - dense_of(result))
        assert result.converged
        assert error <= 3e-6
        assert 0.1 * error <= result.error_estimate <= 30 * error


def test_a_matrix_that_is_indefinite_by_noise_alone():
    n = 200
    a = low_rank(n, 20)
    noise = symmetric(np.random.default_rng(1).uniform(-1e-8, 1e-8, n), seed=5)
    for seed in range(10):
        result = ritz.nystrom(a + noise, 40, seed=seed)
        assert result.converged
        assert 20 <= result.rank < 40
        assert result.products.total == 40
        assert result.shift == 0.0
        error = np.linalg.norm(a + noise - dense_of(result))
        assert error <= 10 * np.linalg.norm(noise)
        assert 0.3 * error <= result.error_estimate <= 3 * error


def test_defect_doubling_keeps_the_old_products():
    a = symmetric(np.logspace(0, -8, 100))
    A = ritz.aslinearoperator(a)
    result = ritz.nystrom(A, tol=1e-3)
    assert result.converged
    assert result.rank in (32, 64)
    assert result.products.total == A.counts.total == result.rank
    assert result.residual == result.error_estimate <= result.target
    assert np.linalg.norm(a - dense_of(result)) <= result.target
    same = ritz.nystrom(A, result.rank)
    np.testing.assert_allclose(dense_of(same), dense_of(result), atol=1e-12)


def test_max_rank_and_precision_are_told():
    a = symmetric(np.logspace(0, -8, 100))
    short = ritz.nystrom(a, tol=1e-6, max_rank=20)
    assert short.status is Status.max_iterations
    assert short.rank == 20
    assert "max_rank" in short.message
    beyond = ritz.nystrom(a.astype(np.float32), tol=1e-12)
    assert beyond.status is Status.precision_limit
    everything = ritz.nystrom(symmetric(np.ones(20)), tol=1e-6)
    assert everything.converged
    assert everything.rank == 20


@pytest.mark.parametrize(
    ("dtype", "scale"),
    [(np.float32, 1e8), (np.float32, 1e-8), (np.float64, 1e25), (np.float64, 1e-25)],
)
def test_defect_thresholds_are_relative(dtype, scale):
    a = symmetric(np.logspace(0, -4, 60), dtype)
    base = ritz.nystrom(a, tol=0.02)
    scaled = ritz.nystrom((a * dtype(scale)).astype(dtype), tol=0.02)
    assert scaled.status is base.status
    assert scaled.rank == base.rank
    np.testing.assert_allclose(
        np.asarray(scaled.lam, dtype=np.float64)[:10] / scale, base.lam[:10], rtol=1e-4
    )
    assert scaled.error_estimate / scale == pytest.approx(base.error_estimate, rel=0.01)


def test_zero_and_empty():
    result = ritz.nystrom(np.zeros((10, 10)), 3)
    assert result.converged
    assert result.error_estimate == 0.0
    np.testing.assert_array_equal(result.lam, 0.0)
    np.testing.assert_allclose(result.U.T @ result.U, np.eye(3), atol=1e-14)
    assert ritz.nystrom(np.zeros((10, 10)), tol=0.1).converged
    assert ritz.nystrom(np.zeros((0, 0)), 1).U.shape == (0, 0)


def test_what_is_not_positive_semidefinite():
    indefinite = symmetric(np.linspace(-1, 1, 40))
    result = ritz.nystrom(indefinite, 10)
    assert result.status is Status.negative_curvature
    assert result.rank == 0
    assert "positive semidefinite" in result.message
    assert "shift" in result.message
    assert ritz.nystrom(-np.eye(5), 2).status is Status.negative_curvature
    skewed = rectangular(30, 30, 10)
    assert ritz.nystrom(skewed, 10).status is Status.negative_curvature
    bad = np.eye(10)
    bad[3, 3] = np.nan
    assert ritz.nystrom(bad, 3).status is Status.nonfinite


def test_operator():
    a = symmetric(np.logspace(0, -4, 30), np.complex128)
    result = ritz.nystrom(a, 8)
    A = result.operator
    assert A.symmetric
    X = np.column_stack([vector(30, np.complex128, seed=s) for s in range(3)])
    np.testing.assert_allclose(A @ X, dense_of(result) @ X, atol=1e-14)
    np.testing.assert_allclose(A @ X[:, 0], dense_of(result) @ X[:, 0], atol=1e-14)
    solved = ritz.cg(A + 0.1, X[:, 0])
    np.testing.assert_allclose((dense_of(result) + 0.1 * np.eye(30)) @ solved.x, X[:, 0], atol=1e-4)


def test_runs_that_are_stopped():
    a = symmetric(np.logspace(0, -4, 60))
    seen = []
    result = ritz.nystrom(a, 40, block=8, callback=lambda now: seen.append(now.iteration))
    assert result.converged
    assert seen == [8, 16, 24, 32, 40]
    cut = ritz.nystrom(a, 40, block=8, max_products=13)
    assert cut.status is Status.max_products
    assert (cut.rank, cut.products.total) == (13, 13)
    np.testing.assert_array_equal(cut.lam, ritz.nystrom(a, 13, block=8).lam)
    late = ritz.nystrom(a, 40, block=8, timeout=0.0)
    assert late.status is Status.timeout
    assert late.rank == 8
    stopped = ritz.nystrom(a, 40, block=8, callback=lambda now: now.iteration >= 16)
    assert stopped.status is Status.stopped
    assert stopped.rank == 16

    def angry(now):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ritz.nystrom(a, 40, callback=angry)
    assert len(ritz.nystrom(a, 40, block=8, history=True).history) == 5
    assert "_setting" not in repr(cut)


def test_same_seed_same_bits():
    a = symmetric(np.logspace(0, -4, 60))
    first, again, other = (ritz.nystrom(a, 10, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.U, again.U)
    assert np.abs(first.U - other.U).max() > 0.01
    assert first.seed == 3


def test_same_bits_for_any_number_of_threads():
    A = ritz.diagonal(np.exp(-0.1 * np.arange(40_000)))
    before = ritz.num_threads()
    try:
        results = []
        for count in (1, 3):
            ritz.set_num_threads(count)
            results.append(ritz.nystrom(A, 20))
    finally:
        ritz.set_num_threads(before)
    np.testing.assert_array_equal(results[0].U, results[1].U)
    np.testing.assert_array_equal(results[0].lam, results[1].lam)
    assert results[0].error_estimate == results[1].error_estimate


@pytest.mark.parametrize("kind", ["torch", "jax"])
def test_other_arrays(kind):
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")
    a = symmetric(np.logspace(0, -4, 20), np.float32)
    if kind == "torch":
        import torch

        given, type_ = torch.tensor(a), torch.Tensor
    else:
        import jax

        given, type_ = jax.numpy.asarray(a), jax.Array
    U, lam = ritz.nystrom(given, 6)
    assert isinstance(U, type_)
    assert isinstance(lam, type_)
    np.testing.assert_array_equal(np.asarray(U), ritz.nystrom(a, 6).U)
    closure = ritz.LinearOperator((20, 20), lambda x: given @ x, symmetric=True)
    assert isinstance(ritz.nystrom(closure, 6, like=given[0]).U, type_)
    parts = ritz.nystrom_generalized(given, 6)
    assert all(isinstance(x, type_) for x in parts)


def test_bad_arguments():
    a = np.eye(5)
    with pytest.raises(TypeError, match="neither rank nor tol"):
        ritz.nystrom(a)
    with pytest.raises(TypeError, match="max_rank"):
        ritz.nystrom(a, 2, max_rank=3)
    with pytest.raises(ValueError, match="rank is 6; A has rank 5 at most"):
        ritz.nystrom(a, 6)
    with pytest.raises(ValueError, match="rank is 0"):
        ritz.nystrom(a, 0)
    with pytest.raises(ValueError, match="tol is 0"):
        ritz.nystrom(a, tol=0.0)
    with pytest.raises(ValueError, match="square"):
        ritz.nystrom(np.ones((3, 4)), 2)
    with pytest.raises(ValueError, match="symmetric=False"):
        ritz.nystrom(ritz.LinearOperator((3, 3), lambda x: x, symmetric=False), 2)
    with pytest.raises(ValueError, match="seed"):
        ritz.nystrom(a, 2, seed=-1)
    with pytest.raises(ValueError, match="rank is 9"):
        ritz.nystrom_generalized(np.ones((9, 8)), 9)
    with pytest.raises(ValueError, match="oversampling is -1"):
        ritz.nystrom_generalized(a, 2, oversampling=-1)


# ------------------------------------------------------------------------------------- generalised


def product_of(result):
    U, s, Vh = (np.asarray(x) for x in result)
    return (U * s) @ Vh


def with_decay(m, n, sigma, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    k = len(sigma)
    u = np.linalg.qr(rng.standard_normal((m, k)))[0]
    v = np.linalg.qr(rng.standard_normal((n, k)))[0]
    return ((u * sigma) @ v.T).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(60, 40), (40, 60), (40, 40)])
def test_generalized_is_exact_for_low_rank(dtype, m, n):
    a = with_decay(m, n, np.logspace(0, -2, 6), dtype)
    if np.dtype(dtype).kind == "c":
        a = a * np.exp(1j * np.arange(n)).astype(dtype)
    result = ritz.nystrom_generalized(a, 10)
    U, s, Vh = result
    assert result.converged
    assert result.products.total == 10 + 15
    assert U.shape == (m, result.rank)
    assert Vh.shape == (result.rank, n)
    assert 6 <= result.rank <= 10
    np.testing.assert_allclose(product_of(result), a, atol=300 * eps(dtype))
    np.testing.assert_allclose(U.conj().T @ U, np.eye(result.rank), atol=100 * eps(dtype))
    np.testing.assert_allclose(Vh @ Vh.conj().T, np.eye(result.rank), atol=100 * eps(dtype))
    np.testing.assert_allclose(s[:6], np.logspace(0, -2, 6), rtol=300 * eps(dtype) * 100)
    assert result.error_estimate <= 300 * eps(dtype)


@pytest.mark.parametrize(("m", "n", "r"), [(20, 20, 20), (30, 10, 10), (10, 30, 10), (1, 1, 1)])
def test_generalized_of_full_rank(m, n, r):
    a = rectangular(m, n, 100)
    result = ritz.nystrom_generalized(a, r)
    np.testing.assert_allclose(product_of(result), a, atol=1e-11)
    np.testing.assert_allclose(result.s, np.linalg.svd(a)[1], atol=1e-11)


def test_generalized_error_and_its_bound_in_the_mean():
    sigma = 0.8 ** np.arange(100)
    a = with_decay(100, 100, sigma)
    r, extra = 15, 7
    errors, estimates = [], []
    for seed in range(700):
        result = ritz.nystrom_generalized(a, r, oversampling=extra, seed=seed)
        errors.append(np.linalg.norm(a - product_of(result)))
        estimates.append(result.error_estimate**2)
    tails = np.sqrt(np.cumsum(sigma[::-1] ** 2)[::-1])
    sketch = min(np.sqrt(1 + k / (r - k - 1)) * tails[k] for k in range(1, r - 1))
    bound = np.sqrt(1 + r / (extra - 1)) * sketch
    assert np.mean(errors) <= bound
    assert tails[r] <= np.mean(errors)
    # 7 rows more than columns: half as large an error as the bound.
    assert np.mean(errors) <= 0.6 * bound
    square = [
        np.linalg.norm(a - product_of(ritz.nystrom_generalized(a, r, oversampling=0, seed=s)))
        for s in range(60)
    ]
    assert np.median(square) > 1.5 * np.mean(errors)
    # Without one column r is one less, and the rows beyond it one more.
    one_less = [
        np.linalg.norm(
            a - product_of(ritz.nystrom_generalized(a, r - 1, oversampling=extra + 1, seed=s))
        )
        ** 2
        for s in range(10_000, 10_700)
    ]
    assert means_agree(estimates, one_less)


def test_generalized_is_exact_about_scale_and_rank():
    a = with_decay(50, 30, np.logspace(0, -3, 20))
    base = ritz.nystrom_generalized(a, 12)
    for scale in (1e25, 1e-25):
        scaled = ritz.nystrom_generalized(a * scale, 12)
        assert scaled.rank == base.rank
        np.testing.assert_allclose(scaled.s / scale, base.s, rtol=1e-9)
        assert scaled.error_estimate / scale == pytest.approx(base.error_estimate, rel=1e-6)
    zero = ritz.nystrom_generalized(np.zeros((7, 5)), 3)
    assert zero.converged
    assert zero.rank == 0
    assert zero.error_estimate == 0.0
    assert zero.U.shape == (7, 0)
    assert zero.Vh.shape == (0, 5)


def test_generalized_runs_that_end_early():
    a = rectangular(30, 20, 10)
    cut = ritz.nystrom_generalized(a, 8, max_products=10, block=4)
    assert cut.status is Status.max_products
    assert cut.products.total == 10
    assert cut.rank == 0
    assert ritz.nystrom_generalized(a, 8, max_products=20).converged
    with pytest.raises(ZeroDivisionError):
        ritz.nystrom_generalized(a, 8, callback=lambda now: 1 / 0)
    bad = a.copy()
    bad[0, 0] = np.inf
    assert ritz.nystrom_generalized(bad, 4).status is Status.nonfinite
    one_way = ritz.LinearOperator((30, 20), lambda x: a @ x)
    with pytest.raises(ValueError, match="adjoint"):
        ritz.nystrom_generalized(one_way, 4)
