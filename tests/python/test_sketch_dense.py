"""Sketches without zeros: their elements, their distribution, their products."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import scipy.stats

import ritz
from problems import DTYPES
from ritz.sketch import Gaussian, Orthogonal, Rademacher

KINDS = [Gaussian, Rademacher, Orthogonal]
INDEPENDENT = [Gaussian, Rademacher]
# Kolmogorov's statistic times √N at a level of 1e-6.
KOLMOGOROV = np.sqrt(-0.5 * np.log(0.5e-6))


def random(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def layouts(a):
    """The same matrix by rows, by columns, and as every other element of a larger one."""
    strided = np.full((2 * a.shape[0], 3 * a.shape[1]), np.nan, a.dtype)[::2, ::3]
    strided[...] = a
    reversed_rows = np.ascontiguousarray(a[::-1])[::-1]
    return [np.ascontiguousarray(a), np.asfortranarray(a), strided, reversed_rows]


def variance(kind, x, d):
    """Var ‖Sx‖² from the fourth moments of the elements.

    Rows are independent but for Orthogonal, where d ‖Sx‖² / (m ‖x‖²) is Beta(d/2, (m − d)/2).
    """
    n2, m = np.vdot(x, x).real, x.size
    fourth = np.sum(np.abs(x) ** 4)
    square = np.abs(np.sum(x * x)) ** 2
    is_complex = np.iscomplexobj(x)
    if kind is Gaussian:
        return (1 if is_complex else 2) * n2**2 / d
    if kind is Rademacher:  # E |Σ s_j x_j|⁴ = 2 n2² + |xᵀx|² − 2 Σ |x_j|⁴
        return (n2**2 + square - 2 * fourth) / d
    factor = 1 if is_complex else 2
    return factor * (m - d) / (d * (m + factor)) * n2**2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_products_are_those_of_the_elements(kind, dtype):
    eps = np.finfo(dtype).eps
    for d, m in [(1, 1), (7, 40), (130, 300)]:
        s = kind(d, m, seed=3, dtype=dtype)
        dense = s.to_dense()
        assert dense.shape == s.shape == (d, m)
        assert dense.dtype == dtype
        a, b = random((m, 19), dtype), random((d, 19), dtype)
        size = np.linalg.norm(dense, 2)
        for x in layouts(a):
            y = s @ x
            assert y.dtype == dtype
            np.testing.assert_allclose(y, dense @ a, atol=40 * eps * size * np.linalg.norm(a, 2))
        for x in layouts(b):
            np.testing.assert_allclose(
                s.H @ x, dense.conj().T @ b, atol=40 * eps * size * np.linalg.norm(b, 2)
            )
        np.testing.assert_allclose(s @ a[:, 0], dense @ a[:, 0], atol=1000 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_adjoint_identity(kind, dtype):
    s = kind(50, 700, seed=1, dtype=dtype)
    x, y = random(700, dtype, 1), random(50, dtype, 2)
    left, right = np.vdot(y, s @ x), np.vdot(s.H @ y, x)
    assert abs(left - right) <= 100 * np.finfo(dtype).eps * np.linalg.norm(x) * np.linalg.norm(y)


@pytest.mark.parametrize("kind", KINDS)
def test_sparse_matrices_and_operators(kind):
    s = kind(20, 90, seed=4)
    a = sp.random_array((90, 35), density=0.1, rng=np.random.default_rng(1), format="csr")
    expected = s.to_dense() @ a.toarray()
    for form in (a, a.tocsc()):
        np.testing.assert_allclose(s @ form, expected, atol=1e-13)
    np.testing.assert_allclose(s.sketch(ritz.aslinearoperator(a.toarray())), expected, atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_submatrix_is_the_slice(kind, dtype):
    s = kind(33, 500, seed=9, dtype=dtype)
    dense = s.to_dense()
    for i, j in [((0, 33), (0, 500)), ((3, 4), (1, 2)), ((7, 20), (129, 388)), ((32, 33), (3, 3))]:
        part = s.submatrix(slice(*i), slice(*j))
        np.testing.assert_array_equal(part, dense[slice(*i), slice(*j)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", INDEPENDENT)
def test_concatenation_law(kind, dtype):
    d1, d2, m = 4, 12, 77  # √d a power of two, which rounds nothing
    first = kind(d1, m, seed=5, dtype=dtype).to_dense()
    both = 2 * kind(d1 + d2, m, seed=5, dtype=dtype).to_dense()
    np.testing.assert_array_equal(both[:d1], first)
    wider = kind(d1, 10 * m, seed=5, dtype=dtype).to_dense()
    np.testing.assert_array_equal(wider[:, :m], first)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_no_bit(kind, dtype):
    before = ritz.num_threads()
    results = []
    try:
        for threads in (1, 2):
            ritz.set_num_threads(threads)
            s = kind(60, 3000, seed=2, dtype=dtype)
            y = s @ random((3000, 3), dtype)
            results.append((y, s.H @ y, s.to_dense()))
    finally:
        ritz.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("kind", KINDS)
def test_norms_are_kept_in_the_mean_with_the_exact_variance(kind, dtype):
    d, m, seeds = 6, 24, 400
    for x in (random(m, dtype, 3), np.arange(m) + dtype(1), np.eye(m, dtype=dtype)[5]):
        n2 = np.vdot(x, x).real
        var = variance(kind, x, d)
        values = np.array([np.linalg.norm(kind(d, m, seed=seed) @ x) ** 2 for seed in range(seeds)])
        assert abs(values.mean() - n2) <= 4 * np.sqrt(var / seeds) + 1e-13 * n2
        # The kurtosis of ‖Sx‖² is at most that of χ² with d degrees of freedom.
        spread = np.sqrt((2 + 12 / d) / seeds)
        assert abs(values.var() - var) <= 5 * spread * var + 1e-13 * n2**2


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
@pytest.mark.parametrize("kind", INDEPENDENT)
def test_rows_are_independent_sketches(kind, dtype):
    # 20,000 sketches of four rows each, cut from one.
    d, m, count = 4, 9, 20_000
    x = (np.arange(m) + 1).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x *= np.exp(0.5j * np.arange(m))
    y = (kind(count * d, m, seed=8) @ x).astype(np.result_type(dtype, float)) * np.sqrt(count)
    values = np.sum(np.abs(y.reshape(count, d)) ** 2, axis=1)
    n2, var = np.vdot(x, x).real, variance(kind, x, d)
    assert abs(values.mean() - n2) <= 5 * np.sqrt(var / count)
    assert abs(values.var() - var) <= 5 * np.sqrt((2 + 12 / d) / count) * var


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_the_gram_matrix_is_the_identity(kind):
    d, m, seeds = 4, 7, 400
    for dtype in (np.float32, np.complex128):
        mean = sum(
            (s := kind(d, m, seed=seed, dtype=dtype).to_dense()).conj().T @ s
            for seed in range(seeds)
        )
        # Var of an element is at most 2/d.
        assert np.abs(mean / seeds - np.eye(m)).max() <= 5 * np.sqrt(2 / d / seeds)


def bases(m, n):
    rng = np.random.default_rng(0)
    haar = np.linalg.qr(rng.standard_normal((m, n)))[0]
    aligned = np.eye(m, n)
    half = np.zeros((m, n))
    half[: n // 2, : n // 2] = np.eye(n // 2)
    half[n // 2 :, n // 2 :] = np.linalg.qr(rng.standard_normal((m - n // 2, n - n // 2)))[0]
    hadamard = scipy.linalg.hadamard(m)[:, :n] / np.sqrt(m)
    t = np.linspace(-1, 1, m)
    vandermonde = np.linalg.qr(np.polynomial.legendre.legvander(t, n - 1))[0]
    return {
        "haar": haar,
        "aligned": aligned,
        "half": half,
        "hadamard": hadamard,
        "vandermonde": vandermonde,
    }


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_distortion_of_subspaces(kind):
    m, n = 2**11, 64
    d = 4 * n
    together = np.hstack(list(bases(m, n).values()))
    for seed in range(20):
        images = kind(d, m, seed=seed) @ together
        for image in np.split(images, together.shape[1] // n, axis=1):
            sigma = np.linalg.svd(image, compute_uv=False)
            assert sigma[-1] >= 0.85 * (1 - np.sqrt(n / d))
            assert sigma[0] <= 1.1 * (1 + np.sqrt(n / d))


def test_distortion_of_an_orthogonal_sketch():
    m, n = 2**9, 32
    d = 4 * n
    for seed in range(20):
        s = Orthogonal(d, m, seed=seed)
        for basis in bases(m, n).values():
            sigma = np.linalg.svd(s @ basis, compute_uv=False)
            assert sigma[-1] >= 0.85 * (1 - np.sqrt(n / d))
            assert sigma[0] <= 1.1 * (1 + np.sqrt(n / d))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gaussian_elements_are_normal(dtype):
    for count in (1_000, 10_000, 100_000):
        for seed in (0, 1):
            z = Gaussian(1, count, seed=seed, dtype=dtype).to_dense()[0]
            parts = [z] if z.dtype.kind == "f" else [z.real * np.sqrt(2), z.imag * np.sqrt(2)]
            for x in parts:
                assert np.sqrt(count) * scipy.stats.kstest(x, "norm").statistic < KOLMOGOROV
            if len(parts) == 2:
                assert abs(np.mean(parts[0] * parts[1])) < 5 / np.sqrt(count)
    # Down the columns, where counters and not lanes change.
    z = Gaussian(20_000, 3, seed=1, dtype=dtype).to_dense()[:, 1].real * np.sqrt(20_000)
    z *= np.sqrt(2 if np.dtype(dtype).kind == "c" else 1)
    assert np.sqrt(z.size) * scipy.stats.kstest(z, "norm").statistic < KOLMOGOROV


def test_gaussian_tails():
    count = 4_000_000
    for dtype, bound in ((np.float32, 6.7), (np.float64, 8.7)):
        z = np.abs(Gaussian(1, count, seed=0, dtype=dtype).to_dense()[0])
        assert z.max() <= bound
        for level in (3, 4, 4.5):
            p = 2 * scipy.stats.norm.sf(level)
            assert abs(np.sum(z > level) - count * p) <= 5 * np.sqrt(count * p)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rademacher_signs_are_balanced(dtype):
    d, m = 16, 50_000
    s = Rademacher(d, m, seed=0, dtype=dtype).to_dense() * 4
    assert np.all(np.abs(s) == 1)
    assert np.all(s.imag == 0)
    s = s.real.astype(float)
    bound = 5 * np.sqrt(m)
    assert np.all(np.abs(s.sum(1)) < bound)
    gram = s @ s.T
    assert np.abs(gram - m * np.eye(d)).max() < bound
    assert np.abs(s[:, 1:] * s[:, :-1]).max() == 1
    assert np.all(np.abs(np.sum(s[:, 1:] * s[:, :-1], axis=1)) < bound)
    assert np.all(np.abs(s.sum(0)) <= d)
    assert abs(np.mean(s.sum(0) ** 2) - d) < 5 * np.sqrt(2 * d * d / m)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_orthogonal_is_uniform(dtype):
    m, seeds = 5, 1000
    q = np.array([Orthogonal(m, m, seed=seed, dtype=dtype).to_dense() for seed in range(seeds)])
    np.testing.assert_allclose(
        q @ q.conj().swapaxes(1, 2), np.broadcast_to(np.eye(m), q.shape), atol=1e-14
    )
    # No element has a preferred sign, as it has without the phases of R; |tr Q|² is 1 in the mean.
    assert np.abs(q.mean(0)).max() <= 5 / np.sqrt(m * seeds)
    traces = np.trace(q, axis1=1, axis2=2)
    assert abs(np.mean(np.abs(traces) ** 2) - 1) <= 5 * np.sqrt(2 / seeds)
    shape = (0.5, (m - 1) / 2) if dtype == np.float64 else (1, m - 1)
    for i, j in ((0, 0), (m - 1, 0), (m - 1, m - 1)):
        x = np.abs(q[:, i, j]) ** 2
        assert (
            np.sqrt(seeds) * scipy.stats.kstest(x, scipy.stats.beta(*shape).cdf).statistic
            < KOLMOGOROV
        )


def test_orthogonal_keeps_norms_where_it_is_square():
    x = random(40, np.float64)
    assert np.linalg.norm(Orthogonal(40, 40, seed=0) @ x) == pytest.approx(
        np.linalg.norm(x), rel=1e-14
    )


def test_arguments_that_cannot_be_used():
    with pytest.raises(ValueError, match=r"d is 5 and m is 4; orthogonal rows need d ≤ m"):
        Orthogonal(5, 4)
    for kind in KINDS:
        with pytest.raises(ValueError, match="d is 0; pass an integer of at least 1"):
            kind(0, 4)
        with pytest.raises(TypeError, match=r"m is 4\.5; pass an integer"):
            kind(2, 4.5)
        with pytest.raises(ValueError, match="seed is 'x'; pass an integer"):
            kind(2, 4, seed="x")
        with pytest.raises((TypeError, ValueError), match="dtype"):
            kind(2, 4, dtype=str)
        with pytest.raises(ValueError, match=r"x has shape \(3, 2\)"):
            kind(2, 4) @ np.ones((3, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_scale(kind):
    s = kind(5, 300, seed=0)
    a = random((300, 2), np.float64)
    for scale in (2.0**-500, 2.0**500):
        np.testing.assert_array_equal(s @ (scale * a), scale * (s @ a))
    assert np.all(s @ np.zeros((300, 2)) == 0)
    a[250, 1] = np.nan
    assert np.isnan((s @ a)[:, 1]).all()
    assert np.isfinite((s @ a)[:, 0]).all()


def test_the_kind_of_array_stays():
    torch = pytest.importorskip("torch")
    a = random((30, 4), np.float32)
    for kind in KINDS:
        s = kind(6, 30, seed=0)
        y = s @ torch.from_numpy(a)
        assert isinstance(y, torch.Tensor)
        assert y.dtype == torch.float32
        np.testing.assert_array_equal(y.numpy(), s @ a)


def test_defect_gaussian_of_float_resolution():
    # Doubles made from floats: every one of them equals its float.
    z = Gaussian(1, 100_000, seed=0, dtype=np.float64).to_dense()[0]
    assert np.count_nonzero(z.astype(np.float32) == z) <= 1
    assert np.unique(z).size == z.size


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_defect_elements_depend_on_the_size_of_blocks(kind):
    s = kind(8, 600, seed=3)
    dense = s.to_dense()
    for block in (1, 7, 64, 599):
        parts = [
            s.submatrix(slice(None), slice(j, min(j + block, 600))) for j in range(0, 600, block)
        ]
        np.testing.assert_array_equal(np.hstack(parts), dense)


@pytest.mark.parametrize("kind", KINDS)
def test_defect_neighbouring_seeds_share_rows(kind):
    m = 64
    rows = np.vstack([kind(8, m, seed=seed).to_dense() * np.sqrt(8) for seed in range(32)])
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    gram = np.abs(unit @ unit.T)
    np.fill_diagonal(gram, 0)
    assert gram.max() < 0.9  # of 256 rows, no two are alike
    kinds = [k(1, 1000, seed=1).to_dense()[0] for k in INDEPENDENT]
    assert abs(np.dot(*kinds)) < 5 * np.sqrt(1000)
