"""SparseStack, SparseSign and CountSketch against their definitions and their distributions."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp

import ritz
from ritz.sketch import CountSketch, SparseSign, SparseStack

KINDS = [SparseStack, SparseSign, CountSketch]
DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def heights(d, nnz):
    return np.array([d // nnz + (t < d % nnz) for t in range(nnz)])


def pair_variance(S):
    """E ⟨s_i, s_j⟩² for two columns."""
    d = S.shape[0]
    if isinstance(S, SparseSign):
        return 1 / d
    return np.sum(1 / heights(d, S.nnz)) / S.nnz**2


def random(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    return (a + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else a).astype(dtype)


def bits(a):
    return np.ascontiguousarray(a).tobytes()


# ---- distributions ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [64, 45])  # 45: blocks of 6 and of 5 rows
def test_mean_is_the_identity(kind, d):
    """All entries of the mean of SᵀS − I have the exact variance, columns norm 1."""
    m, seeds = 40, 400
    total = np.zeros((m, m))
    for seed in range(seeds):
        D = kind(d, m, seed=seed).to_dense()
        total += D.T @ D
    assert np.abs(np.diag(total) / seeds - 1).max() < 1e-14
    z = (total / seeds)[np.triu_indices(m, 1)] / np.sqrt(pair_variance(kind(d, m)) / seeds)
    assert np.abs(z).max() < 5.2
    # Products of different pairs of columns are uncorrelated, and so nearly are their squares.
    assert abs(np.mean(z**2) - 1) < 5 * np.sqrt(2 / z.size)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [64, 45])
@pytest.mark.parametrize("spread", ["all", "two", "decay"])
def test_variance_of_the_norm(kind, d, spread):
    """‖Sx‖² over 400 seeds has mean ‖x‖² and the exact variance, both within 4 σ."""
    m, seeds = 100, 400
    x = np.zeros(m)
    if spread == "all":
        x[:] = np.random.default_rng(1).standard_normal(m)
    elif spread == "two":
        x[[3, 77]] = 1.0, -2.0
    else:
        x = 0.9 ** np.arange(m)
    x /= np.linalg.norm(x)
    q = np.array([np.sum((kind(d, m, seed=s) @ x) ** 2) for s in range(1000, 1000 + seeds)])
    variance = 2 * pair_variance(kind(d, m)) * (1 - np.sum(x**4))
    assert abs(q.mean() - 1) < 4 * np.sqrt(variance / seeds)
    of_variance = np.sqrt(np.mean((q - 1) ** 4) / seeds)  # an upper bound of its standard error
    assert abs(np.mean((q - 1) ** 2) - variance) < 4 * of_variance


def test_rows_and_signs_are_uniform_and_independent():
    d, m = 8 * 13, 60_000
    D = sp.csc_array(SparseStack(d, m, seed=4).submatrix(slice(None), slice(None)))
    D.sort_indices()
    rows = D.indices.reshape(m, 8) - 13 * np.arange(8)
    negative = (D.data.reshape(m, 8) < 0).astype(int)
    assert rows.min() == 0
    assert rows.max() == 12

    def z_of_counts(cells, number):
        counts = np.bincount(cells, minlength=number)
        chi2 = np.sum((counts - cells.size / number) ** 2) / (cells.size / number)
        return (chi2 - (number - 1)) / np.sqrt(2 * (number - 1))

    for t in range(8):
        assert abs(z_of_counts(rows[:, t] * 2 + negative[:, t], 26)) < 5  # the sign not by row
        u = (t + 1) % 8
        assert abs(z_of_counts(rows[:, t] * 13 + rows[:, u], 169)) < 5  # nor one row by another
        assert abs(z_of_counts(negative[:, t] * 2 + negative[:, u], 4)) < 5
    for lag in (1, 31, 32, 64, 128):  # columns of one counter, and of the next
        assert abs(z_of_counts(rows[lag:, 0] * 13 + rows[:-lag, 0], 169)) < 5
        assert abs(z_of_counts(negative[lag:, 0] * 2 + negative[:-lag, 0], 4)) < 5


def test_choices_of_distinct_rows_are_uniform():
    """All 10 pairs out of 5 rows, by χ²."""
    m = 50_000
    D = SparseSign(5, m, seed=2, nnz=2).to_dense() != 0
    assert (D.sum(axis=0) == 2).all()
    counts = np.unique(np.array([1, 2, 4, 8, 16]) @ D, return_counts=True)[1]
    assert counts.size == 10
    chi2 = np.sum((counts - m / 10) ** 2) / (m / 10)
    assert abs(chi2 - 9) < 5 * np.sqrt(18)


# ---- distortion ---------------------------------------------------------------------------------


@functools.cache
def bases(m, n):
    rng = np.random.default_rng(0)
    haar = np.linalg.qr(rng.standard_normal((m, n)))[0]
    half = np.zeros((m, n))
    half[: n // 2, : n // 2] = np.eye(n // 2)
    half[n // 2 :, n // 2 :] = np.linalg.qr(rng.standard_normal((m - n // 2, n - n // 2)))[0]
    # An orthonormal basis of the polynomials on equal steps: large at the ends.
    vandermonde = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, m), n - 1))[0]
    found = {"Haar": haar, "identity": np.eye(m, n), "half": half, "Vandermonde": vandermonde}
    if m <= 4096:
        found["Hadamard"] = scipy.linalg.hadamard(m)[:, :n] / np.sqrt(m)
    return found


@pytest.mark.parametrize("kind", [SparseStack, SparseSign])
@pytest.mark.parametrize(("m", "n"), [(4096, 64), (8192, 100)])
def test_distortion(kind, m, n):
    d = 4 * n
    low, high = 0.85 * (1 - np.sqrt(n / d)), 1.1 * (1 + np.sqrt(n / d))
    for name, U in bases(m, n).items():
        for seed in range(20):
            SU = kind(d, m, seed=seed) @ U
            s = np.sqrt(np.linalg.eigvalsh(SU.T @ SU)[[0, -1]])
            assert low <= s[0] <= s[1] <= high, (name, seed, s)


def test_countsketch_loses_rank():
    """Two unit vectors meet in one row: what its documentation warns of, and eight blocks avoid."""
    n, m = 64, 4096
    for seed in range(20):
        assert np.linalg.matrix_rank(CountSketch(2 * n, m, seed=seed) @ np.eye(m, n)) < n
        assert np.linalg.matrix_rank(SparseStack(2 * n, m, seed=seed) @ np.eye(m, n)) == n


# ---- what a sketch is a function of -------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_slices(kind):
    S = kind(45, 700, seed=11)
    D = S.to_dense()
    assert D.shape == S.shape
    assert D.dtype == np.float64
    for rows, cols in [
        (slice(0, 45), slice(0, 700)),
        (slice(7, 8), slice(31, 33)),
        (slice(3, 40), slice(127, 513)),
        (slice(-5, None), slice(-200, -1)),
        (slice(9, 9), slice(0, 4)),
    ]:
        assert bits(S.submatrix(rows, cols)) == bits(D[rows, cols])
    for columns in (1, 127, 128, 129, 650):  # more columns continue: [S(m₁) S'] = S(m₁ + m₂)
        assert bits(kind(45, columns, seed=11).to_dense()) == bits(D[:, :columns])
    assert bits(kind(45, 700, seed=11).to_dense()) == bits(D)
    assert (kind(45, 700, seed=12).to_dense() != D).any()
    assert (kind(45, 700, seed=11 + 2**32).to_dense() != D).any()


def test_nonzeros():
    for d in (1, 3, 8, 21):
        for nnz in (1, 2, 8, 30):
            most = min(nnz, d)
            for S in (SparseStack(d, 300, nnz=nnz), SparseSign(d, 300, nnz=nnz)):
                assert S.nnz == most
                D = S.to_dense()
                assert ((D != 0).sum(axis=0) == most).all()
                assert set(np.abs(D[D != 0])) == {1 / np.sqrt(most)}
            blocks = np.split(
                SparseStack(d, 300, nnz=nnz).to_dense() != 0, np.cumsum(heights(d, most))[:-1]
            )
            assert all((block.sum(axis=0) == 1).all() for block in blocks)
    assert bits(CountSketch(9, 300, seed=3).to_dense()) == bits(
        SparseStack(9, 300, seed=3, nnz=1).to_dense()
    )


# ---- products -----------------------------------------------------------------------------------


def layouts(a):
    rows, cols = a.shape
    yield a
    yield np.asfortranarray(a)
    wide = np.zeros((2 * rows, 3 * cols), a.dtype)
    wide[::2, ::3] = a
    yield wide[::2, ::3]
    yield wide.copy(order="F")[::2, ::3]
    yield a[::-1, ::-1].copy()[::-1, ::-1]
    records = np.zeros(a.shape, np.dtype([("flag", "i1"), ("x", a.dtype)]))
    records["x"] = a
    yield records["x"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_the_dense_matrix(kind, dtype):
    S = kind(21, 300, seed=1, dtype=dtype)
    D = S.to_dense()
    assert D.dtype == dtype
    u = np.finfo(dtype).eps
    for k in (1, 5, 64, 65, 150):
        A, U = random((300, k), dtype), random((21, k), dtype)
        for got, wanted, terms in [
            (S @ A, D @ A, np.abs(D) @ np.abs(A)),
            (S.T @ U, D.T @ U, np.abs(D.T) @ np.abs(U)),
            (S.H @ U, D.conj().T @ U, np.abs(D.T) @ np.abs(U)),
            (U.T @ S, U.T @ D, np.abs(U.T) @ np.abs(D)),
            (A.T @ S.T, A.T @ D.T, np.abs(A.T) @ np.abs(D.T)),
        ]:
            assert got.dtype == dtype
            assert (np.abs(got - wanted) <= 20 * u * terms).all()
    x, v = random(300, dtype, 1), random(21, dtype, 2)
    assert (S @ x).shape == (21,)
    assert (S.H @ v).shape == (300,)
    one, other = np.vdot(v, S @ x), np.vdot(S.H @ v, x)
    assert abs(one - other) <= 50 * u * np.linalg.norm(v) * np.linalg.norm(x)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_same_bits_for_layouts_threads_and_blocks(kind, dtype):
    S = kind(45, 2000, seed=1)
    before = ritz.num_threads()
    for k in (1, 3, 70):
        A, U = random((2000, k), dtype), random((45, k), dtype)
        Y, Z = S @ A, S.H @ U
        try:
            for threads in (1, 2, 3):
                ritz.set_num_threads(threads)
                for a, u in zip(layouts(A), layouts(U), strict=True):
                    assert bits(S @ a) == bits(Y)
                    assert bits(S.H @ u) == bits(Z)
        finally:
            ritz.set_num_threads(before)
        for j in range(0, k, 13):
            assert bits(S @ A[:, j : j + 13]) == bits(Y[:, j : j + 13])
            assert bits(S.H @ U[:, j]) == bits(Z[:, j])


def test_single_precision_sums_in_double():
    """A million terms a row, and the error is that of rounding the result."""
    m = 1 << 20
    a = np.random.default_rng(0).random((m, 1), np.float32)
    S = CountSketch(2, m, seed=1)
    exact = S @ a.astype(np.float64)
    assert (np.abs((S @ a) - exact) <= 2**-24 * np.abs(exact)).all()
    S = SparseStack(16, m, seed=1)
    exact = S @ a.astype(np.float64)
    assert (np.abs((S @ a) - exact) <= 2**-23 * np.abs(exact)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_sparse_matrices(kind, dtype, layout, index):
    S = kind(21, 600, seed=1)
    before = ritz.num_threads()
    for k, density in [(1, 0.3), (40, 0.1), (40, 0.001), (3, 0.0)]:  # 0.001: fewer than rows/16
        A = sp.random_array((600, k), density=density, rng=np.random.default_rng(3), format="csr")
        A = A.astype(dtype)
        if np.dtype(dtype).kind == "c":
            A = A * (1 + 2j)
        A = A.asformat(layout).astype(dtype)
        A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
        try:
            for threads in (1, 2, 3):
                ritz.set_num_threads(threads)
                for Y in (S @ A, S.sketch(A), S.sketch(ritz.aslinearoperator(A))):
                    assert Y.dtype == dtype
                    assert (S @ A.toarray() == Y).all()
        finally:
            ritz.set_num_threads(before)


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_sparse_matrices_with_entries_in_any_order(layout):
    rng = np.random.default_rng(0)
    i, j = rng.integers(0, 300, 5000), rng.integers(0, 7, 5000)
    A = sp.coo_array((rng.standard_normal(5000), (i, j)), (300, 7))
    S = SparseStack(24, 300, seed=1)
    messy = A.asformat(layout)
    for start, end in zip(messy.indptr[:-1], messy.indptr[1:], strict=True):
        shuffled = start + rng.permutation(end - start)
        messy.indices[start:end] = messy.indices[shuffled]
        messy.data[start:end] = messy.data[shuffled]
    np.testing.assert_allclose(S @ messy, S.to_dense() @ A.toarray(), atol=1e-13)


def test_extremes_of_the_data():
    S = SparseStack(24, 300, seed=1)
    A = random((300, 5), np.float64)
    for scale in (2.0**-1000, 2.0**1000):
        assert bits((S @ (scale * A)) / scale) == bits(S @ A)
    A[17, 2] = np.nan
    assert (np.isnan(S @ A) == (S.to_dense()[:, 17:18] != 0) @ np.eye(5)[2:3].astype(bool)).all()
    assert (S @ np.zeros((300, 4)) == 0).all()
    assert (S @ np.zeros((300, 0))).shape == (24, 0)


# ---- misuse and defects -------------------------------------------------------------------------


def test_misuse_names_the_argument():
    for make, name in [
        (lambda: SparseStack(0, 5), "d is 0"),
        (lambda: SparseStack(5, 0), "m is 0"),
        (lambda: SparseStack(5, 5, nnz=0), "nnz is 0"),
        (lambda: SparseSign(1000, 5, nnz=600), "nnz is 600"),
        (lambda: SparseStack(5, 5, seed=-1), "seed is -1"),
        (lambda: SparseStack(2**62 + 1, 5), "d is 4611686018427387905"),
    ]:
        with pytest.raises(ValueError, match=name):
            make()
    for make, name in [
        (lambda: SparseStack(5.5, 5), "d is 5.5"),
        (lambda: SparseSign(5, "5"), "m is '5'"),
        (lambda: SparseSign(5, 5, nnz=None), "nnz is None"),
        (lambda: CountSketch(5, 5, dtype=np.float16), "dtype"),
    ]:
        with pytest.raises(TypeError, match=name):
            make()


@pytest.mark.parametrize("kind", KINDS)
def test_defect_index_out_of_range(kind):
    """A uniform number that rounds to 1 gives the row after the last, from 2²⁴ rows on."""
    d = 2**31 + 11
    S = kind(d, 4, seed=1)
    last = S.submatrix(slice(d - 5, d), slice(0, 4))
    assert last.shape == (5, 4)
    assert set(np.abs(last).ravel()) <= {0.0, 1 / np.sqrt(S.nnz)}
    # All rows of a smaller one are inside: each column has all its elements.
    S = kind(2**24 + 1, 4, seed=1)
    found = sum(
        (S.submatrix(slice(i, i + 2**21), slice(0, 4)) != 0).sum()
        for i in range(0, S.shape[0], 2**21)
    )
    assert found == 4 * S.nnz


def test_defect_few_distinct_indices():
    """24 random bits reach no odd row of 2⁴⁰, nor most of 2²⁵."""
    d, m = 2**25, 64
    rows = np.abs(CountSketch(d, m, seed=1).T @ np.arange(d, dtype=float))
    assert 16 < np.count_nonzero(rows % 2) < 48
    assert np.unique(rows % 256).size > 40


def test_defect_modulo_bias():
    """Words modulo d favour the lower rows; here for two thirds of 2¹⁶ they would not be seen, so
    the rows of 3·2⁶⁰ are tested in C++, and here that no part of few rows is favoured."""
    d, m = 3 * 2**14, 400_000
    S = CountSketch(d, m, seed=5)
    count = np.bincount((S.T @ np.repeat([0.0, 1.0, 2.0], 2**14)).astype(int) + 2, minlength=5)
    thirds = np.array([count[2], count[1] + count[3], count[0] + count[4]])
    assert np.abs(thirds - m / 3).max() < 5 * np.sqrt(m * 2 / 9)


@pytest.mark.parametrize("kind", KINDS)
def test_defect_operator_depends_on_block_size(kind):
    """Whatever columns are asked for together, the elements are the same."""
    S = kind(24, 400, seed=3)
    D = S.to_dense()
    for width in (1, 7, 100, 129):
        parts = [S.submatrix(slice(0, 24), slice(j, j + width)) for j in range(0, 400, width)]
        assert bits(np.hstack(parts)) == bits(D)


def test_defect_overlapping_seeds():
    """Neighbouring seeds share no columns."""
    columns = np.hstack([SparseStack(64, 50, seed=s).to_dense() for s in range(40)])
    assert np.unique(columns, axis=1).shape[1] == 2000
