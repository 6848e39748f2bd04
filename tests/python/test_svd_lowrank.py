"""Low-rank singular value decompositions against dense ones, and the laws of their errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import DTYPES, eps
from ritz import Status

METHODS = ["block_krylov", "subspace"]


def with_values(m, n, values, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    complex_ = np.dtype(dtype).kind == "c"

    def orthonormal(size):
        x = rng.standard_normal((size, len(values)))
        if complex_:
            x = x + 1j * rng.standard_normal(x.shape)
        return np.linalg.qr(x)[0]

    return ((orthonormal(m) * np.asarray(values)) @ orthonormal(n).conj().T).astype(dtype)


def check(result, a, rtol=None):
    """Everything that any result promises."""
    U, s, Vh = (np.asarray(x) for x in result)
    k = s.size
    u = eps(a.dtype)
    top = np.linalg.norm(a, 2)
    assert U.dtype == Vh.dtype == a.dtype
    assert s.dtype == np.dtype(a.dtype.char.lower())
    assert U.shape == (a.shape[0], k)
    assert Vh.shape == (k, a.shape[1])
    assert np.all(np.diff(s) <= 0)
    limit = 30 * u * max(math.sqrt(k), 1)
    assert np.abs(U.conj().T @ U - np.eye(k)).max(initial=0) <= limit
    assert np.abs(Vh @ Vh.conj().T - np.eye(k)).max(initial=0) <= limit
    right = np.linalg.norm(a.conj().T @ U - Vh.conj().T * s, axis=0)
    assert right.max(initial=0) <= 100 * u * top
    left = np.linalg.norm(a @ Vh.conj().T - U * s, axis=0)
    known = ~np.isnan(result.residuals)
    assert np.all(np.abs(left - result.residuals)[known] <= 100 * u * top)
    exact = np.linalg.svd(a.astype(np.result_type(a.dtype, np.float64)), compute_uv=False)[:k]
    assert np.all(s <= exact + 30 * u * top)
    if rtol is not None:
        assert np.all(np.abs(s - exact) <= rtol * top)
    for j in range(k):
        largest = U[np.argmax(np.abs(U[:, j])), j]
        assert largest.real > 0
        assert abs(largest.imag) <= 4 * u
    assert result.products.total >= result.passes


def error_of(result, a):
    U, s, Vh = (np.asarray(x) for x in result)
    return np.linalg.norm(a - (U * s) @ Vh)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("m", "n", "k"), [(90, 40, 5), (40, 90, 5), (30, 30, 30), (20, 1, 1), (1, 7, 1)]
)
def test_triplets(dtype, method, m, n, k):
    a = with_values(m, n, 0.6 ** np.arange(min(m, n)), dtype)
    result = ritz.svd_lowrank(a, k, method=method)
    assert result.converged
    assert result.method == method
    check(result, a, rtol=100 * eps(dtype) if k < 30 else 200 * eps(dtype))
    assert error_of(result, a) == pytest.approx(result.error_estimate, rel=0.1, abs=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rank_is_recovered_exactly(dtype):
    a = with_values(60, 45, np.linspace(2, 1, 6), dtype)
    for method in METHODS:
        result = ritz.svd_lowrank(a, 6, method=method)
        assert error_of(result, a) <= 60 * eps(dtype)
        assert result.error_estimate <= 100 * eps(dtype) * np.linalg.norm(a)
        padded = ritz.svd_lowrank(a, 11, method=method)
        check(padded, a)
        assert np.all(np.asarray(padded.s)[6:] <= 40 * eps(dtype))
        assert error_of(padded, a) <= 60 * eps(dtype)


@pytest.mark.parametrize("method", METHODS)
def test_zero_and_rank_one(method):
    a = np.zeros((12, 9))
    result = ritz.svd_lowrank(a, 3, method=method)
    assert result.converged
    check(result, a)
    assert not result.s.any()
    assert result.error_estimate == 0.0
    b = np.outer(np.arange(1.0, 13), np.arange(2.0, 11))
    result = ritz.svd_lowrank(b, 3, method=method)
    check(result, b, rtol=1e-14)


def test_blocks_of_one_column():
    a = with_values(30, 20, 0.5 ** np.arange(20))
    op = ritz.LinearOperator(a.shape, lambda x: a @ x, lambda y: a.T @ y)
    result = ritz.svd_lowrank(op, 2, block=1, n_iter=6)
    check(result, a, rtol=1e-8)
    assert result.error_stderr == math.inf


def test_values_of_higher_multiplicity_than_the_block():
    a = np.diag(np.r_[np.full(20, 3.0), np.ones(20)])
    result = ritz.svd_lowrank(a, 15, block=4, n_iter=9)
    check(result, a, rtol=1e-13)
    result = ritz.svd_lowrank(np.eye(30), 30, block=8)
    check(result, np.eye(30), rtol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", METHODS)
def test_scale_changes_nothing(dtype, method):
    a = with_values(80, 60, 1 / np.arange(1, 61) ** 2, dtype)
    one = ritz.svd_lowrank(a, 8, method=method)
    big = 1e8 if dtype == np.float32 else 1e25
    for scale in (big, 1 / big):
        scaled = ritz.svd_lowrank((a * scale).astype(dtype), 8, method=method)
        assert scaled.status == one.status
        assert scaled.products == one.products
        assert scaled.basis == one.basis
        np.testing.assert_allclose(scaled.s, one.s * scale, rtol=200 * eps(dtype))
        assert scaled.error_estimate == pytest.approx(one.error_estimate * scale, rel=1e-3)
    for tol in (1e-2, 1e-4):
        counts = {
            ritz.svd_lowrank((a * s).astype(dtype), tol=tol, block=4).products
            for s in (1.0, big, 1 / big)
        }
        assert len(counts) == 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-5])
def test_a_tolerance_takes_few_triplets(tol, known):
    values = 0.7 ** np.arange(70)
    a = with_values(100, 70, values)
    op = a if known else ritz.LinearOperator(a.shape, lambda x: a @ x, lambda y: a.T @ y)
    norm = np.linalg.norm(a)
    tails = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
    best = int(np.argmax(np.r_[tails, 0.0] <= tol * norm))
    result = ritz.svd_lowrank(op, tol=tol, block=5, seed=3)
    assert result.converged
    assert result.error_kind == ("norm" if known else "held-out")
    assert error_of(result, a) <= tol * norm
    assert best <= result.rank <= best + 2
    assert result.error_estimate <= tol * norm
    assert result.norm == pytest.approx(norm, rel=0.02)
    assert result.products.total <= 2 * (result.rank + 15) + 10
    check(result, a)


def test_a_tolerance_on_the_triplets():
    a = with_values(200, 150, 1 / np.arange(1, 151))
    for tol in (1e-2, 1e-6, 1e-10):
        result = ritz.svd_lowrank(a, 6, tol=tol)
        assert result.converged
        assert result.residuals.max() <= tol * result.s[0]
        assert result.residual == result.residuals.max()
        check(result, a, rtol=tol)
    limited = ritz.svd_lowrank(a, 6, tol=1e-10, n_iter=2)
    assert limited.status is Status.max_iterations
    assert limited.iterations == 2
    impossible = ritz.svd_lowrank(a, 6, tol=1e-18)
    assert impossible.status is Status.precision_limit
    assert impossible.products.total < 400
    check(impossible, a, rtol=1e-14)


def test_a_rank_limit_is_kept():
    a = with_values(80, 60, 1 / np.arange(1, 61))
    result = ritz.svd_lowrank(a, tol=1e-2, max_rank=7)
    assert result.status is Status.max_iterations
    assert result.rank == 7
    assert result.s.shape == (7,)
    check(result, a)


def test_error_estimates_have_the_mean_of_the_errors():
    # ‖A‖²_F by leave-one-out is unbiased, and so is the square of the estimate: 5 standard errors.
    a = with_values(60, 50, 1 / np.arange(1, 51))
    op = ritz.LinearOperator(a.shape, lambda x: a @ x, lambda y: a.T @ y)
    norm2 = np.linalg.norm(a) ** 2
    norms, held = [], []
    for seed in range(150):
        norms.append(ritz.svd_lowrank(op, 3, block=8, n_iter=1, seed=seed, verify=False).norm ** 2)
        result = ritz.svd_lowrank(op, tol=0.4, block=3, seed=seed)
        held.append((result.error_estimate / error_of(result, a)) ** 2)
    assert abs(np.mean(norms) - norm2) <= 5 * np.std(norms) / math.sqrt(150)
    assert np.std(norms) / math.sqrt(150) <= 0.005 * norm2
    assert abs(np.mean(held) - 1) <= 0.1


def test_subspace_error_is_unbiased():
    values = 0.8 ** np.arange(40)
    a = with_values(50, 40, values)
    op = ritz.LinearOperator(a.shape, lambda x: a @ x, lambda y: a.T @ y)
    estimates, errors = [], []
    for seed in range(200):
        result = ritz.svd_lowrank(op, 10, method="subspace", oversampling=0, n_iter=1, seed=seed)
        assert result.error_kind == "leave-one-out"
        estimates.append(result.error_estimate**2)
        less = ritz.svd_lowrank(
            op, 9, method="subspace", oversampling=0, n_iter=1, seed=1000 + seed
        )
        errors.append(error_of(less, a) ** 2)
    ratio = math.sqrt(np.mean(estimates) / np.mean(errors))
    assert abs(ratio - 1) <= 0.05


def test_better_than_subspace_iteration_from_as_many_products():
    a = with_values(300, 200, 1 / np.arange(1, 201))
    best = np.linalg.norm(1 / np.arange(21, 201))
    krylov = ritz.svd_lowrank(a, 20, block=8, n_iter=8, verify=False)
    subspace = ritz.svd_lowrank(a, 20, method="subspace", n_iter=2, verify=False)
    assert krylov.products.total <= subspace.products.total
    assert error_of(krylov, a) / best - 1 <= 1e-6
    assert error_of(subspace, a) / best - 1 >= 1e-5


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("n_iter", "block", "verify"), [(0, 12, False), (3, 12, True), (2, 15, False)]
)
def test_products_are_counted(method, n_iter, block, verify):
    a = with_values(80, 60, 1 / np.arange(1, 61))
    columns = []

    def times(b):
        def matmat(X):
            columns.append(X.shape[1])
            return b @ X

        return matmat

    op = ritz.LinearOperator(
        a.shape, lambda x: a @ x, lambda y: a.T @ y, matmat=times(a), rmatmat=times(a.T)
    )
    result = ritz.svd_lowrank(op, 10, method=method, n_iter=n_iter, block=block, verify=verify)
    assert sum(columns) == result.products.total == block * (2 * n_iter + 2 + verify)
    assert len(columns) == result.passes == 2 * n_iter + 2 + verify
    assert set(columns) == {block}
    assert np.isnan(result.residuals).any() != verify
    check(result, a)


def test_budget_and_stops():
    a = with_values(200, 150, 1 / np.arange(1, 151))
    for limit in (40, 57, 100):
        result = ritz.svd_lowrank(a, 10, tol=1e-12, block=10, max_products=limit)
        assert result.status is Status.max_products
        assert result.products.total <= limit
        check(result, a)
    op = ritz.LinearOperator(a.shape, lambda x: a @ x, lambda y: a.T @ y)
    for limit in (42, 75):
        result = ritz.svd_lowrank(op, tol=1e-3, max_products=limit)
        assert result.status is Status.max_products
        assert result.products.total <= limit
        check(result, a)
    result = ritz.svd_lowrank(a, 5, method="subspace", n_iter=1, oversampling=0, max_products=20)
    assert result.converged
    assert result.products.total == 20
    result = ritz.svd_lowrank(a, 10, tol=1e-12, block=10, callback=lambda it: it.iteration >= 2)
    assert result.status is Status.stopped
    assert result.iterations == 2
    check(result, a)
    result = ritz.svd_lowrank(a, 10, tol=1e-12, block=10, timeout=0.0)
    assert result.status is Status.timeout
    result = ritz.svd_lowrank(a, 10, tol=1e-8, block=10, history=True)
    assert len(result.history) == result.iterations + 1


def test_same_seed_same_bits():
    a = with_values(1200, 900, 1 / np.arange(1, 901))
    threads = ritz.num_threads()
    try:
        for method in METHODS:
            results = []
            for count in (1, 2, 1):
                ritz.set_num_threads(count)
                results.append(ritz.svd_lowrank(a, 6, method=method, seed=4))
            for other in results[1:]:
                assert all(np.array_equal(x, y) for x, y in zip(results[0], other, strict=True))
            other = ritz.svd_lowrank(a, 6, method=method, seed=5, n_iter=1)
            assert not np.array_equal(results[0].U, other.U)
    finally:
        ritz.set_num_threads(threads)


@pytest.mark.parametrize("layout", ["C", "F", "csr", "csc"])
def test_layouts_agree(layout):
    a = with_values(200, 150, 1 / np.arange(1, 151))
    b = np.array(a, order=layout) if layout in "CF" else sp.coo_array(a).asformat(layout)
    result = ritz.svd_lowrank(b, 5)
    check(result, a)
    assert result.error_kind == "norm"
    np.testing.assert_allclose(result.s, ritz.svd_lowrank(a, 5).s, rtol=1e-12)


def test_sparse_with_elements_in_two_parts():
    values = np.arange(1.0, 61)
    whole = sp.csr_array(np.diag(values))
    parts = sp.csr_array(
        (np.repeat(values / 2, 2), np.repeat(np.arange(60), 2), np.arange(0, 121, 2)),
        shape=(60, 60),
    )
    one, two = (ritz.svd_lowrank(x, 3, n_iter=3, block=8) for x in (whole, parts))
    np.testing.assert_allclose(one.s, two.s, rtol=1e-10)
    assert one.error_kind == "norm"
    assert two.error_kind != "norm"


def test_nan_and_infinity():
    a = with_values(30, 20, 1 / np.arange(1, 21))
    a[3, 4] = np.nan
    for method in METHODS:
        result = ritz.svd_lowrank(a, 4, method=method)
        assert result.status is Status.nonfinite
        assert result.rank == 0
    calls = []

    def late(x):
        calls.append(1)
        return np.full(30, np.inf) if len(calls) > 20 else np.nan_to_num(a) @ x

    op = ritz.LinearOperator((30, 20), late, lambda y: np.nan_to_num(a).T @ y)
    assert ritz.svd_lowrank(op, 4).status is Status.nonfinite


@pytest.mark.parametrize("which", [0, 1])
def test_exceptions_arrive_unchanged(which):
    class Mine(Exception):
        pass

    error = Mine("here")

    def fail(x):
        raise error

    a = np.eye(9)
    f = [lambda x: a @ x, lambda y: a @ y]
    f[which] = fail
    with pytest.raises(Mine) as caught:
        ritz.svd_lowrank(ritz.LinearOperator(a.shape, *f), 2)
    assert caught.value is error


def test_kinds_of_arrays():
    a = with_values(40, 30, 1 / np.arange(1, 31), np.float32)
    expected = ritz.svd_lowrank(a, 4)
    torch = pytest.importorskip("torch")
    result = ritz.svd_lowrank(torch.from_numpy(a), 4)
    assert all(isinstance(x, torch.Tensor) and x.dtype == torch.float32 for x in result)
    np.testing.assert_array_equal(result.U.numpy(), expected.U)
    jax = pytest.importorskip("jax")
    result = ritz.svd_lowrank(jax.numpy.asarray(a), 4)
    assert all(isinstance(x, jax.Array) for x in result)
    np.testing.assert_array_equal(np.asarray(result.Vh), expected.Vh)
    t = torch.from_numpy(a)
    op = ritz.LinearOperator(a.shape, lambda x: t @ x, lambda y: t.T @ y)
    result = ritz.svd_lowrank(op, 4, like=t)
    assert isinstance(result.s, torch.Tensor)
    np.testing.assert_allclose(result.s.numpy(), expected.s, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "neither k nor tol"),
        ({"k": 0}, "k is 0"),
        ({"k": 31}, "rank 30 at most"),
        ({"k": 3, "method": "qr"}, "method is 'qr'"),
        ({"k": 3, "tol": 0.0}, "tol is 0.0"),
        ({"tol": 0.1, "method": "subspace"}, "takes k"),
        ({"k": 3, "max_rank": 4}, "max_rank"),
        ({"k": 20, "block": 2, "n_iter": 3}, "raise n_iter or block"),
        ({"k": 3, "max_products": 3}, "max_products is 3"),
        ({"k": 3, "method": "subspace", "max_products": 99}, "at least 130"),
        ({"k": 3, "seed": -1}, "seed is -1"),
        ({"k": 3, "block": 2, "method": "subspace"}, "at least k"),
    ],
)
def test_arguments_are_checked(arguments, words):
    with pytest.raises(ValueError, match=words):
        ritz.svd_lowrank(np.ones((40, 30)), **arguments)


def test_an_adjoint_is_needed():
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.svd_lowrank(ritz.LinearOperator((5, 4), lambda x: np.ones(5)), 2)


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    ax = ritz.svd_lowrank(with_values(30, 20, 1 / np.arange(1, 21)), 5).plot()
    assert ax.get_title() == "svd_lowrank: converged"


# ------------------------------------------------------------------- defects of other libraries


def test_defect_only_square_matrices():
    # CoLA's randomized_svd takes square operators only, and no oversampling.
    for shape in ((50, 20), (20, 50)):
        a = with_values(*shape, 0.5 ** np.arange(20))
        check(ritz.svd_lowrank(a, 4, oversampling=3), a, rtol=1e-6)


def test_defect_iterations_are_changed_in_silence():
    # scikit-learn used to raise n_iter where it found it too small.
    a = with_values(60, 50, 1 / np.arange(1, 51))
    for method in METHODS:
        for n_iter in (0, 1, 2, 9):
            result = ritz.svd_lowrank(a, 3, method=method, n_iter=n_iter, block=6, verify=False)
            if method == "block_krylov" and 6 * (n_iter + 1) >= 50:
                continue
            assert result.iterations == n_iter
            assert result.products.total == 6 * (2 * n_iter + 2)


def test_defect_powers_without_normalisation_overflow():
    values = 0.9 ** np.arange(40)
    a = with_values(60, 40, values)
    for scale in (1e150, 1e-150):
        for method in METHODS:
            result = ritz.svd_lowrank(a * scale, 5, method=method, n_iter=7)
            assert result.converged
            np.testing.assert_allclose(result.s / scale, values[:5], rtol=1e-6)
            assert result.error_estimate / scale == pytest.approx(
                error_of(result, a * scale) / scale
            )


def test_defect_absolute_thresholds():
    # RandLAPACK's ABRIK stops at diagonals below √eps, and matfree tests ranks against eps.
    values = 1 / np.arange(1, 41)
    a = with_values(60, 40, values, np.float32)
    plain = ritz.svd_lowrank(a, 8, tol=1e-4)
    small = ritz.svd_lowrank((a * 1e-9).astype(np.float32), 8, tol=1e-4)
    assert small.products == plain.products
    np.testing.assert_allclose(small.s * 1e9, plain.s, rtol=1e-5)
    b = with_values(60, 40, values)
    assert (
        ritz.svd_lowrank(b * 1e-12, 8, tol=1e-9).products
        == ritz.svd_lowrank(b, 8, tol=1e-9).products
    )
