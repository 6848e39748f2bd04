"""Interpolative and CUR decompositions, and pivoted Cholesky QR, against dense factorisations."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.linalg.interpolative as sli
import scipy.sparse
import scipy.sparse.linalg

import ritz
from problems import DTYPES, Counting, eps, rectangular
from ritz import Status

EXP = 0.8 ** np.arange(120)
POLY = (1.0 + np.arange(120)) ** -1.0
FLAT = np.r_[np.ones(10), 0.1 * np.ones(110)]


def with_values(m, values, dtype=np.float64, seed=0):
    """A matrix of m rows with the given singular values."""
    rng = np.random.default_rng(seed)
    n = len(values)
    u, v = rng.standard_normal((m, n)), rng.standard_normal((n, n))
    if np.dtype(dtype).kind == "c":
        u, v = u + 1j * rng.standard_normal((m, n)), v + 1j * rng.standard_normal((n, n))
    q = np.linalg.qr(u)[0] * values
    return (q @ np.linalg.qr(v)[0].conj().T).astype(dtype)


def operator(a):
    return ritz.LinearOperator(
        a.shape,
        matvec=lambda x: a @ x,
        rmatvec=lambda u: a.conj().T @ u,
        matmat=lambda x: a @ x,
        rmatmat=lambda u: a.conj().T @ u,
        dtype=a.dtype,
    )


def error(a, result):
    columns, x = result
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    return np.linalg.norm(a.astype(wide) - a[:, columns].astype(wide) @ x)


# ----------------------------------------------------------------------------------- interpolative


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrap", [np.asarray, operator, scipy.sparse.csr_array])
def test_interpolative_of_a_low_rank(dtype, wrap):
    a = with_values(80, [3.0, 2.0, 1.0, 0.5, 0.1], dtype)
    a = np.ascontiguousarray(np.repeat(a, 10, axis=1)) * np.linspace(
        0.5, 1.5, 50, dtype=a.real.dtype
    )
    r = ritz.interpolative(wrap(a), 5)
    assert r.converged
    assert r.rank == 5
    assert r.X.shape == (5, 50)
    assert r.X.dtype == dtype
    assert "rank" in repr(r)
    np.testing.assert_array_equal(r.X[:, r.columns], np.eye(5))
    assert error(a, r) <= 200 * eps(dtype) * np.linalg.norm(a)
    assert ritz.interpolative(wrap(a), 20).rank == 5
    assert r.products.total == (15 if wrap is operator else 0)


@pytest.mark.parametrize("wrap", [np.asarray, operator])
@pytest.mark.parametrize("values", [EXP, POLY, FLAT])
def test_error_against_the_best_and_against_scipy(wrap, values):
    a = with_values(150, values)
    k = 20
    best = np.linalg.norm(values[k:])
    ours, theirs = [], []
    for seed in range(10):
        r = ritz.interpolative(wrap(a), k, seed=seed)
        ours.append(error(a, r))
        idx, proj = sli.interp_decomp(scipy.sparse.linalg.aslinearoperator(a), k, rng=seed)
        x = np.zeros((k, a.shape[1]))
        x[:, idx] = np.hstack([np.eye(k), proj])
        theirs.append(np.linalg.norm(a - a[:, idx[:k]] @ x))
        # The bound of pivoted QR in the spectral norm, times the sketch's factor.
        two = np.linalg.norm(a - a[:, r.columns] @ r.X, 2)
        assert two <= np.sqrt(1 + k * (120 - k)) * values[k]
    assert best <= min(ours)
    assert np.mean(ours) <= 1.1 * np.mean(theirs)
    assert np.mean(ours) <= 5 * best
    # Of an array SciPy makes the QR factorisation itself.
    idx, proj = sli.interp_decomp(a, k, rand=False)
    full = np.linalg.norm(a[:, idx[k:]] - a[:, idx[:k]] @ proj)
    taller = [error(a, ritz.interpolative(wrap(a), k, oversampling=k, seed=s)) for s in range(10)]
    assert np.mean(taller) <= 1.7 * full


def test_the_leave_one_out_estimate_is_unbiased_for_given_columns():
    # Eight columns so large that every sketch chooses them; the others are left over.
    rng = np.random.default_rng(0)
    k, p, n = 8, 10, 60
    a = rng.standard_normal((100, n))
    q, _ = np.linalg.qr(a[:, :k])
    b = a[:, k:] - q @ (q.T @ a[:, k:])
    a[:, :k] = 1e4 * q
    a[:, k:] = q @ rng.standard_normal((k, n - k)) + b
    left = np.linalg.norm(b) ** 2
    d = k + p
    for wrap, seeds in ((operator, 1200), (np.asarray, 600)):
        op = wrap(a)
        errors, estimates = [], []
        for seed in range(seeds):
            r = ritz.interpolative(op, k, seed=seed, oversampling=p)
            assert set(r.columns) == set(range(k))
            errors.append(error(a, r) ** 2)
            estimates.append(r.error_estimate**2)
        for samples, rows in ((errors, d), (estimates, d - 1)):
            # E ‖(SQ)⁺ S B‖² = ‖B‖² k / (rows − k − 1) for a normal S.
            expected = left * (1 + k / (rows - k - 1))
            spread = np.std(samples) / np.sqrt(seeds)
            # The rows of a SparseStack are not quite independent.
            most = 5 * spread if wrap is operator else 0.04 * expected
            assert abs(np.mean(samples) - expected) <= most <= 0.05 * expected


@pytest.mark.parametrize("wrap", [np.asarray, operator])
@pytest.mark.parametrize("values", [EXP, POLY, FLAT])
def test_the_estimate_with_columns_of_its_own_choice(wrap, values):
    a = wrap(with_values(150, values))
    dense = with_values(150, values)
    for k, p in ((10, 10), (30, 15)):
        squares = np.array(
            [
                (r.error_estimate**2, error(dense, r) ** 2)
                for r in (ritz.interpolative(a, k, seed=s, oversampling=p) for s in range(60))
            ]
        )
        estimate, true = np.sqrt(squares.mean(axis=0))
        assert 0.9 <= estimate / true <= 1.3
        norm = ritz.interpolative(a, k, oversampling=p).norm_estimate
        assert abs(norm - np.linalg.norm(values)) <= 0.5 * np.linalg.norm(values)


@pytest.mark.parametrize("wrap", [np.asarray, operator])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-6])
def test_tolerance(wrap, tol):
    a = with_values(150, EXP)
    r = ritz.interpolative(wrap(a), tol=tol)
    assert r.converged
    assert r.error_estimate <= r.target == tol * r.norm_estimate
    assert error(a, r) <= 2.5 * tol * np.linalg.norm(a)
    best = next(k for k in range(120) if np.linalg.norm(EXP[k:]) <= tol * np.linalg.norm(EXP))
    assert best <= r.rank <= 2 * best + 10
    limited = ritz.interpolative(wrap(a), rank=3, tol=tol / 1e3)
    assert limited.status is Status.max_iterations
    assert limited.rank == 3


def test_interpolative_of_an_operator_counts_and_returns_columns():
    a = with_values(90, EXP[:60])
    meter = Counting(a)
    op = ritz.LinearOperator(a.shape, matvec=meter.matvec, rmatvec=meter.rmatvec)
    r = ritz.interpolative(op, 12, return_columns=True)
    assert (meter.rmatvecs, meter.matvecs) == (22, 12)
    assert r.products.total == 34 == op.counts.total
    assert r.sketch_rows == 22
    np.testing.assert_allclose(r.C, a[:, r.columns], atol=1e-15)
    assert ritz.interpolative(op, 12).C is None
    # Beyond the columns: 10 rows or a tenth of an operator's, as many as columns of an array.
    assert ritz.interpolative(op, 30).sketch_rows == 40
    wide = with_values(400, np.ones(300))
    assert ritz.interpolative(operator(wide), 200).sketch_rows == 220
    assert ritz.interpolative(wide, 150).sketch_rows == 300
    assert ritz.interpolative(wide, 150, oversampling=20).sketch_rows == 170
    no_adjoint = ritz.LinearOperator(a.shape, matvec=lambda x: a @ x)
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.interpolative(no_adjoint, 5)


def test_sparse_layouts_and_the_array_agree():
    a = scipy.sparse.random_array((300, 80), density=0.1, rng=np.random.default_rng(0))
    dense = ritz.interpolative(a.toarray(), 30)
    for layout in ("csr", "csc", "coo"):
        r = ritz.interpolative(a.asformat(layout), 30)
        np.testing.assert_array_equal(r.columns, dense.columns)
        np.testing.assert_allclose(r.X, dense.X, atol=1e-10)
    strided = np.zeros((600, 160))
    strided[::2, ::2] = a.toarray()
    np.testing.assert_array_equal(ritz.interpolative(strided[::2, ::2], 30).columns, dense.columns)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_frameworks(name):
    a = with_values(60, EXP[:40], np.float32)
    if name == "torch":
        torch = pytest.importorskip("torch")
        kind, given = torch.Tensor, torch.from_numpy(a)
    else:
        jax = pytest.importorskip("jax")
        kind, given = jax.Array, jax.numpy.asarray(a)
    r = ritz.interpolative(given, 6, return_columns=True)
    assert isinstance(r.X, kind)
    assert isinstance(r.C, kind)
    np.testing.assert_array_equal(r.columns, ritz.interpolative(a, 6).columns)
    np.testing.assert_array_equal(np.asarray(given[:, r.columns]), a[:, r.columns])
    assert all(isinstance(x, kind) for x in ritz.cur(given, 6))
    q, triangle, _ = ritz.cqrrpt(given)
    assert isinstance(q, kind)
    assert isinstance(triangle, kind)


def test_stopped_runs_and_exceptions():
    a = with_values(200, EXP)
    op = operator(a)
    r = ritz.interpolative(op, 80, max_products=40)
    assert r.status is Status.max_products
    assert r.rank == 0
    assert r.X.shape == (0, 120)
    seen = []
    r = ritz.cur(op, 60, callback=lambda it: seen.append(it.products.total) or len(seen) == 3)
    assert r.status is Status.stopped
    assert seen == [32, 64, 70]
    assert [x.shape for x in r] == [(200, 0), (0, 0), (0, 120)]

    class Failure(Exception):
        pass

    def fail(u):
        raise Failure("here")

    with pytest.raises(Failure, match="here"):
        ritz.interpolative(ritz.LinearOperator((50, 40), matvec=lambda x: x, rmatvec=fail), 3)


# --------------------------------------------------------------------------------------------- cur


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("core", ["projection", "cross"])
@pytest.mark.parametrize("wrap", [np.asarray, operator])
def test_cur(dtype, core, wrap):
    values = 0.5 ** np.arange(60)
    a = with_values(90, values, dtype)
    k = 8
    r = ritz.cur(wrap(a), k, core=core)
    assert r.converged
    assert r.method == core
    assert "error_estimate" in repr(r)
    np.testing.assert_allclose(r.C, a[:, r.columns], atol=eps(dtype))
    np.testing.assert_allclose(r.R, a[r.rows], atol=eps(dtype))
    best = np.linalg.norm(values[k:])
    left = a - r.C @ r.U @ r.R
    true = np.linalg.norm(left)
    assert best * 0.99 <= true <= 6 * best
    assert 0.5 <= r.error_estimate / true <= 2
    if core == "cross":
        scale = eps(dtype) / values[k]
        assert np.abs(left[r.rows]).max() <= 100 * scale
        assert np.abs(left[:, r.columns]).max() <= 100 * scale
    else:  # the least error for these columns and rows
        u = np.linalg.pinv(r.C) @ a @ np.linalg.pinv(r.R)
        assert true <= np.linalg.norm(a - r.C @ u @ r.R) * (1 + 1e-3)
    if wrap is operator:
        assert r.products.total == k + 10 + 2 * k + (k if core == "projection" else 0)


@pytest.mark.parametrize("core", ["projection", "cross"])
@pytest.mark.parametrize("values", [EXP, POLY, FLAT])
def test_the_estimate_of_cur_is_unbiased(core, values):
    a = with_values(150, values)
    op = operator(a)
    squares = []
    for seed in range(100):
        r = ritz.cur(op, 12, seed=seed, core=core)
        squares.append((r.error_estimate**2, np.linalg.norm(a - r.C @ r.U @ r.R) ** 2))
    estimate, true = np.sqrt(np.mean(squares, axis=0))
    assert abs(estimate / true - 1) <= 0.1


@pytest.mark.parametrize("core", ["projection", "cross"])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-5])
def test_cur_to_a_tolerance(core, tol):
    a = with_values(150, EXP)
    r = ritz.cur(a, tol=tol, core=core)
    assert r.converged
    assert r.error_estimate <= tol * r.norm_estimate
    assert np.linalg.norm(a - r.C @ r.U @ r.R) <= 2.5 * tol * np.linalg.norm(a)


# ------------------------------------------------------------------------------------------ cqrrpt


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cond", [1.0, 1e4, 1e8, 1e12, 1e15])
def test_cqrrpt_against_householder(dtype, cond):
    a = rectangular(1500, 100, cond, np.float64)
    if np.dtype(dtype).kind == "c":
        a = a * np.exp(1j * np.arange(100)) * np.exp(2j * np.arange(1500))[:, None]
    a = a.astype(dtype)
    q, r, piv = result = ritz.cqrrpt(a)
    u = eps(dtype)
    assert result.converged
    assert result.method == "cholesky"
    assert q.dtype == r.dtype == dtype
    k = result.rank
    wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
    q, r = q.astype(wide), r.astype(wide)
    off = np.linalg.norm(q.conj().T @ q - np.eye(k))
    assert off <= 10 * u * np.sqrt(100)
    assert 0.6 <= result.error_estimate / off <= 1.6
    assert np.linalg.norm(a[:, piv] - q @ r) <= 20 * u * np.linalg.norm(a) * np.sqrt(100)
    np.testing.assert_array_equal(np.sort(piv), np.arange(100))
    np.testing.assert_array_equal(np.tril(r, -1), 0)
    assert result.condition <= 5.83 * 1.2
    if cond * u < 1e-2:
        assert k == 100
        theirs = np.abs(np.diag(scipy.linalg.qr(a, mode="r", pivoting=True)[0]))
        ratio = np.abs(np.diag(r)) / theirs[:k]
        assert ratio.min() >= 0.2
        assert ratio.max() <= 5


def test_cqrrpt_condition_is_that_of_the_preconditioned_matrix():
    a = rectangular(2000, 150, 1e10)
    found = [ritz.cqrrpt(a, seed=seed).condition for seed in range(5)]
    # (1 + √½)/(1 − √½) = 5.83 for a sketch of twice as many rows as columns.
    assert 4.8 <= np.mean(found) <= 6.1
    assert np.mean([ritz.cqrrpt(a, gamma=4.0, seed=s).condition for s in range(5)]) <= 3.1


def test_cqrrpt_of_coherent_and_deficient_matrices():
    for a in (
        np.vstack([np.diag(np.logspace(0, -12, 80)), np.zeros((1000, 80))]),
        np.vander(np.linspace(0, 1, 900), 40),
        np.repeat(rectangular(900, 20, 1e3), 3, axis=1),
        np.zeros((500, 20)),
        np.ones((500, 20)),
    ):
        q, r, piv = result = ritz.cqrrpt(a)
        assert result.converged
        k = result.rank
        assert abs(k - np.linalg.matrix_rank(a, tol=1e-15 * max(np.linalg.norm(a), 1.0))) <= 3
        assert np.linalg.norm(q.T @ q - np.eye(k)) <= 1e-13
        assert np.linalg.norm(a[:, piv] - q @ r) <= 1e-13 * np.linalg.norm(a)
    assert ritz.cqrrpt(np.zeros((500, 20))).rank == 0
    assert ritz.cqrrpt(np.ones((500, 20))).rank == 1


@pytest.mark.parametrize(
    "shape", [(50, 50), (30, 50), (100, 50), (101, 50), (1, 1), (9, 1), (7, 0)]
)
def test_cqrrpt_of_any_shape(shape):
    a = np.random.default_rng(0).standard_normal(shape)
    q, r, piv = result = ritz.cqrrpt(a)
    theirs = scipy.linalg.qr(a, mode="economic", pivoting=True) if a.size else (a, a[:0], piv)
    assert q.shape == theirs[0].shape
    assert r.shape == theirs[1].shape
    assert np.linalg.norm(a[:, piv] - q @ r) <= 1e-13 * max(np.linalg.norm(a), 1.0)
    assert result.method == (
        "householder" if shape[0] <= 2 * shape[1] or not a.size else "cholesky"
    )


def test_cqrrpt_at_any_strides():
    a = rectangular(600, 40, 1e9)
    q, r, piv = ritz.cqrrpt(a)
    records = np.zeros((600, 40), dtype=[("count", np.int8), ("value", np.float64)])
    records["value"] = a
    wide = np.zeros((1200, 80))
    wide[::2, 1::2] = a
    for view in (np.asfortranarray(a), a[::-1][::-1], records["value"], wide[::2, 1::2]):
        again = ritz.cqrrpt(view)
        np.testing.assert_array_equal(again.piv, piv)
        np.testing.assert_allclose(again.R, r, atol=1e-14)
        np.testing.assert_allclose(again.Q, q, atol=1e-6)  # as far as cond(A) leaves them alike
    flipped = ritz.cqrrpt(a[::-1])
    assert np.linalg.norm(a[::-1][:, flipped.piv] - flipped.Q @ flipped.R) <= 1e-14 * 40


def test_cqrrpt_at_any_scale_and_of_nan():
    a = rectangular(600, 40, 1e9)
    ranks = {ritz.cqrrpt(a * scale).rank for scale in (1e-25, 1.0, 1e25)}
    assert ranks == {40}
    a[3, 4] = np.nan
    result = ritz.cqrrpt(a)
    assert result.status is Status.nonfinite
    assert result.rank == 0


# -------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: ritz.interpolative(a), "neither rank nor tol"),
        (lambda a: ritz.interpolative(a, 0), "rank is 0"),
        (lambda a: ritz.interpolative(a, 2, tol=-1.0), "tol is -1"),
        (lambda a: ritz.interpolative(a, 2, oversampling=1), "oversampling is 1"),
        (lambda a: ritz.interpolative(a, 2, seed=-1), "seed is -1"),
        (lambda a: ritz.cur(a, 2, core="best"), "core is 'best'"),
        (lambda a: ritz.cqrrpt(a, gamma=0.5), "gamma is 0.5"),
        (lambda a: ritz.cqrrpt(a, nnz=0), "nnz is 0"),
        (lambda a: ritz.cqrrpt(a[0]), r"A has shape \(20,\)"),
        (lambda a: ritz.cqrrpt(a, rank_tol=0.0), "rank_tol is 0.0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.ones((30, 20)))


# ----------------------------------------------------------------------------------------- defects


def test_defect_generator_state_discarded():
    # A library's overload drops the advanced state of its generator, so that a second call repeats
    # the first one's numbers or not, as the overload has it. Here all is a function of the seed.
    a = with_values(150, POLY)
    for call in (
        lambda s: ritz.interpolative(operator(a), 9, seed=s)[1],
        lambda s: ritz.interpolative(a, 9, seed=s)[1],
        lambda s: ritz.cur(a, 9, seed=s)[1],
        lambda s: ritz.cqrrpt(a[:, :40], seed=s)[1],
    ):
        first, again, other = call(3), call(3), call(4)
        np.testing.assert_array_equal(first, again)
        assert first.shape != other.shape or not np.array_equal(first, other)


def test_defect_debug_output(capfd):
    a = with_values(150, POLY)
    ritz.interpolative(a, 9)
    ritz.cur(a, 9)
    ritz.cqrrpt(a[:, :40])
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of ru_maxrss")
def test_defect_memory_kept_after_an_early_end():
    m, n = 20_000, 100
    row = np.ones(n)
    op = ritz.LinearOperator((m, n), matvec=lambda x: np.ones(m), rmatvec=lambda u: row)
    bad = np.full((m, 40), np.nan)

    def end_early(times):
        for _ in range(times):
            assert ritz.interpolative(op, 60, max_products=5).rank == 0
            assert ritz.cqrrpt(bad).rank == 0

    end_early(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end_early(40)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before <= 100_000  # kB; each run takes 10 MB


def test_defect_absolute_threshold():
    # A rank test that is not relative takes a small operator for a deficient one.
    a = with_values(150, POLY)
    for scale in (1e-25, 1e25):
        for wrap in (np.asarray, operator):
            r = ritz.interpolative(wrap(a * scale), 20)
            assert r.rank == 20
            np.testing.assert_array_equal(r.columns, ritz.interpolative(wrap(a), 20).columns)
            assert ritz.cur(wrap(a * scale), 20).rank == 20
