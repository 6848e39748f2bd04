"""The Walsh–Hadamard transform, SRHT, Fastfood and Khatri–Rao sketches."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

from ritz.sketch import SRHT, Fastfood, KhatriRao, fwht

DTYPES = (np.float32, np.float64, np.complex64, np.complex128)


def numbers(rng: np.random.Generator, shape: Any, dtype: Any) -> Any:
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


# ------------------------------------------------------------------------------------- transform


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 31, 32, 33, 100, 1000])
def test_fwht_is_the_product_with_the_hadamard_matrix(dtype: Any, n: int) -> None:
    rng = np.random.default_rng(n)
    x = numbers(rng, (3, n, 2), dtype)
    N = 1 << (n - 1).bit_length()
    H = scipy.linalg.hadamard(N)[:, :n].astype(np.float64)
    y = fwht(x, axis=1)
    assert y.dtype == dtype
    assert y.shape == (3, N, 2)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(
        y, np.einsum("ij,ajb->aib", H, x), atol=100 * eps * np.sqrt(N), rtol=0
    )
    np.testing.assert_allclose(fwht(x, 1, "ortho"), y / np.sqrt(N), rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [0, 5, 12, 16, 20])
def test_twice_is_n_times(dtype: Any, p: int) -> None:
    N = 1 << p
    x = np.random.default_rng(p).integers(-8, 9, N).astype(dtype)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * x[::-1]
    if np.finfo(dtype).eps < 1e-10:  # integers below 2^53: exact
        np.testing.assert_array_equal(fwht(fwht(x)), N * x)
    np.testing.assert_allclose(fwht(fwht(x, norm="ortho"), norm="ortho"), x, atol=1e-4)


@pytest.mark.parametrize("shape", [(64,), (5, 24), (24, 5), (3, 9, 4), (2, 3, 4, 6)])
def test_axes_and_strides_give_the_same_bits(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    for axis in range(-x.ndim, x.ndim):
        expected = fwht(np.ascontiguousarray(np.moveaxis(x, axis, -1)))
        strided = np.zeros([2 * s for s in shape])[tuple(slice(None, None, 2) for _ in shape)]
        strided[...] = x
        for layout in (x, np.asfortranarray(x), strided, x[..., ::-1][..., ::-1]):
            np.testing.assert_array_equal(np.moveaxis(fwht(layout, axis), axis, -1), expected)


def test_a_column_of_many_has_the_bits_of_one_alone() -> None:
    x = np.random.default_rng(1).standard_normal((2048, 37))
    Y = fwht(x, axis=0)
    for j in (0, 1, 36):
        np.testing.assert_array_equal(Y[:, j], fwht(x[:, j]))


def test_fwht_leaves_its_argument_unless_lent() -> None:
    x = np.arange(8.0)
    y = fwht(x)
    np.testing.assert_array_equal(x, np.arange(8.0))
    z = fwht(x, overwrite_x=True)
    assert np.shares_memory(x, z)
    np.testing.assert_array_equal(z, y)
    back = fwht(z, norm="ortho", overwrite_x=True)
    assert np.shares_memory(x, back)
    np.testing.assert_allclose(back, np.sqrt(8) * np.arange(8.0), atol=1e-13)
    short = np.arange(5.0)
    assert not np.shares_memory(fwht(short, overwrite_x=True), short)


def test_fwht_of_integers_nothing_and_errors() -> None:
    np.testing.assert_array_equal(fwht([1, 2, 3]), [6.0, 2.0, 0.0, -4.0])
    np.testing.assert_array_equal(fwht([1, 1]), [2.0, 0.0])
    assert fwht(np.zeros((0, 4))).shape == (0, 4)
    assert fwht(np.zeros((4, 0)), axis=0).shape == (4, 0)
    np.testing.assert_array_equal(fwht(np.zeros((3, 0))), np.zeros((3, 1)))
    assert np.isnan(fwht([1.0, np.nan])).all()
    record = np.zeros(4, dtype=[("a", "f8"), ("b", "i1")])
    record["a"] = [1.0, 2.0, 3.0, 4.0]
    np.testing.assert_array_equal(fwht(record["a"]), fwht([1.0, 2.0, 3.0, 4.0]))
    with pytest.raises(ValueError, match="axis is 2"):
        fwht(np.ones((2, 2)), axis=2)
    with pytest.raises(TypeError, match="axis is"):
        fwht(np.ones(2), axis=0.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="norm is"):
        fwht(np.ones(2), norm="unitary")
    with pytest.raises(ValueError, match="number"):
        fwht(1.0)


def test_fwht_of_torch_and_jax() -> None:
    x = np.random.default_rng(2).standard_normal((3, 6)).astype(np.float32)
    torch = pytest.importorskip("torch")
    y = fwht(torch.tensor(x), axis=0)
    assert isinstance(y, torch.Tensor)
    np.testing.assert_array_equal(y.numpy(), fwht(x, axis=0))
    jnp = pytest.importorskip("jax.numpy")
    y = fwht(jnp.asarray(x))
    assert type(y).__module__.startswith("jax")
    np.testing.assert_array_equal(np.asarray(y), fwht(x))


# ------------------------------------------------------------------------------- common to sketches

KINDS: dict[str, Any] = {
    "srht": lambda d, seed=0, dtype=None: SRHT(d, 24, seed=seed, dtype=dtype),
    "srht2": lambda d, seed=0, dtype=None: SRHT(d, 24, seed=seed, dtype=dtype, rounds=2),
    "fastfood": lambda d, seed=0, dtype=None: Fastfood(d, 24, seed=seed, dtype=dtype),
    "signs": lambda d, seed=0, dtype=None: KhatriRao(d, (4, 6), seed=seed, dtype=dtype),
    "normal": lambda d, seed=0, dtype=None: KhatriRao(
        d, (4, 6), seed=seed, dtype=dtype, kind="normal"
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_the_gram_matrix_is_the_identity(kind: str) -> None:
    seeds, d = 600, 20
    G = np.array([S.T @ S for S in (KINDS[kind](d, s).to_dense() for s in range(seeds))])
    # Row 1 of SRHT samples is constant in sign on the diagonal: its deviation there may be zero.
    deviation = G.std(axis=0, ddof=1) / math.sqrt(seeds)
    z = (G.mean(axis=0) - np.eye(24)) / np.maximum(deviation, 1e-12)
    # 300 different entries: beyond 5 in one of 6,000 suites, and the seeds are fixed.
    assert np.abs(z).max() < 5.0
    assert abs(np.trace(G.mean(axis=0)) / 24 - 1) < 0.05


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_adjoint_and_layouts(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(3)
    S = KINDS[kind](13, 5, dtype)
    D = S.to_dense()
    assert D.shape == (13, 24)
    assert D.dtype == dtype
    tol = 60 * np.finfo(dtype).eps
    A, B = numbers(rng, (24, 19), dtype), numbers(rng, (13, 3), dtype)
    np.testing.assert_allclose(S @ A, D @ A, atol=tol, rtol=tol)
    np.testing.assert_array_equal(S @ np.asfortranarray(A), S @ A)
    np.testing.assert_array_equal(S @ np.repeat(A, 2, axis=1)[:, ::2], S @ A)
    np.testing.assert_allclose(S.H @ B, D.conj().T @ B, atol=tol, rtol=tol)
    np.testing.assert_allclose(S.T @ B, D.T @ B, atol=tol, rtol=tol)
    np.testing.assert_allclose(S @ A[:, 0], D @ A[:, 0], atol=tol, rtol=tol)
    x, y = A[:, 0], B[:, 0]
    assert abs(np.vdot(y, S @ x) - np.vdot(S.H @ y, x)) < 20 * tol


@pytest.mark.parametrize("S", [SRHT(50, 20000), SRHT(50, 20000, rounds=2), Fastfood(50, 20000)])
def test_long_columns_have_the_same_bits_in_all_layouts_and_alone(S: Any) -> None:
    A = np.random.default_rng(0).standard_normal((20000, 19))
    Y = S @ A
    np.testing.assert_array_equal(S @ np.asfortranarray(A), Y)
    np.testing.assert_array_equal(S @ A[:, 17], Y[:, 17])
    Z = S.T @ Y
    np.testing.assert_array_equal(S.T @ np.asfortranarray(Y), Z)
    np.testing.assert_array_equal(S.T @ Y[:, 3], Z[:, 3])
    np.testing.assert_allclose(np.sum(Y * Y, axis=0), np.sum(A * Z, axis=0), rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_sparse_matrices(kind: str, layout: str) -> None:
    A = scipy.sparse.random_array(
        (24, 40), density=0.2, rng=np.random.default_rng(0), format=layout
    )
    S = KINDS[kind](7, 1)
    np.testing.assert_allclose(S @ A, S @ A.toarray(), atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_slices_and_equal_seeds_equal_bits(kind: str) -> None:
    S = KINDS[kind](15, 2)
    D = S.to_dense()
    for rows, cols in (
        (slice(0, 1), slice(0, 24)),
        (slice(3, 15), slice(5, 6)),
        (slice(4, 9), slice(2, 20)),
    ):
        np.testing.assert_array_equal(S.submatrix(rows, cols), D[rows, cols])
    np.testing.assert_array_equal(KINDS[kind](15, 2).to_dense(), D)
    assert not np.array_equal(KINDS[kind](15, 3).to_dense(), D)


@pytest.mark.parametrize("kind", ["srht", "fastfood"])
def test_scales_zero_and_nan(kind: str) -> None:
    S = KINDS[kind](9)
    x = np.random.default_rng(0).standard_normal(24)
    for c in (2.0**80, 2.0**-80):
        np.testing.assert_array_equal(S @ (c * x), c * (S @ x))
    np.testing.assert_array_equal(S @ np.zeros(24), np.zeros(9))
    assert np.isnan(S @ np.full(24, np.nan)).all()


# --------------------------------------------------------------------------------------------- SRHT


def bases(m: int, n: int) -> dict[str, Any]:
    """Return orthonormal bases from incoherent to aligned with the coordinates or with H."""
    rng = np.random.default_rng(0)
    aligned = np.eye(m, n)
    half = np.zeros((m, n))
    half[: n // 2, : n // 2] = np.eye(n // 2)
    half[n // 2 :, n // 2 :] = np.linalg.qr(rng.standard_normal((m - n // 2, n - n // 2)))[0]
    hadamard = fwht(np.eye(m, n), axis=0, norm="ortho")
    points = np.cos(np.pi * (np.arange(m) + 0.5) / m)
    vandermonde = np.linalg.qr(np.polynomial.chebyshev.chebvander(points, n - 1))[0]
    return {
        "haar": np.linalg.qr(rng.standard_normal((m, n)))[0],
        "aligned": aligned,
        "half": half,
        "hadamard": hadamard,
        "vandermonde": vandermonde,
    }


def test_defect_srht_without_permutation_loses_rank() -> None:
    m, n, d = 2**14, 200, 400
    U = np.eye(m, n)
    bound = 0.85 * (1 - math.sqrt(n / d))
    for seed in range(20):
        assert np.linalg.svd(SRHT(d, m, seed=seed) @ U, compute_uv=False)[-1] >= bound
    # The textbook: signs, transform, sample.
    for seed in range(3):
        rng = np.random.default_rng(seed)
        signs = rng.choice([-1.0, 1.0], m)
        rows = rng.choice(m, d, replace=False)
        SU = math.sqrt(m / d) * fwht(signs[:, None] * U, axis=0, norm="ortho")[rows]
        assert np.linalg.svd(SU, compute_uv=False)[-1] < 1e-10


def test_srht_distortion_on_five_bases() -> None:
    m, n = 2**12, 50
    d = 4 * n
    for name, U in bases(m, n).items():
        for seed in range(20):
            s = np.linalg.svd(SRHT(d, m, seed=seed) @ U, compute_uv=False)
            assert s[-1] >= 0.85 * (1 - math.sqrt(n / d)), (name, seed)
            assert s[0] <= 1.1 * (1 + math.sqrt(n / d)), (name, seed)


@pytest.mark.parametrize("rounds", [1, 2])
def test_srht_of_all_rows_is_orthogonal(rounds: int) -> None:
    D = SRHT(64, 64, seed=4, rounds=rounds).to_dense()
    np.testing.assert_allclose(D @ D.T, np.eye(64), atol=1e-14)
    D = SRHT(24, 40, rounds=rounds).to_dense()
    if rounds == 1:
        np.testing.assert_allclose(np.abs(D), 1 / math.sqrt(24), rtol=1e-14)


def test_srht_variance() -> None:
    m, d, seeds = 24, 10, 4000
    x = np.random.default_rng(5).standard_normal(m)
    x /= np.linalg.norm(x)
    norms2 = np.array([np.sum((SRHT(d, m, seed=s) @ x) ** 2) for s in range(seeds)])
    variance = 2 / d * (32 - d) / 31 * (1 - np.sum(x**4))
    spread = norms2.var(ddof=1)
    fourth = np.mean((norms2 - norms2.mean()) ** 4)
    assert abs(norms2.mean() - 1) < 5 * math.sqrt(variance / seeds)
    assert abs(spread - variance) < 5 * math.sqrt((fourth - spread**2) / seeds)


def test_srht_refuses_more_rows_than_places() -> None:
    assert SRHT(32, 24).shape == (32, 24)
    with pytest.raises(ValueError, match="at most 32"):
        SRHT(33, 24)
    with pytest.raises(ValueError, match="rounds"):
        SRHT(3, 24, rounds=0)


# ----------------------------------------------------------------------------------------- Fastfood


def test_fastfood_rows_are_as_long_as_gaussian_ones() -> None:
    # Squared lengths times d are χ² of 64 degrees of freedom: mean 64, variance 128.
    lengths = np.concatenate(
        [100 * np.sum(Fastfood(100, 64, seed=s).to_dense() ** 2, axis=1) for s in range(40)]
    )
    count = lengths.size
    assert abs(lengths.mean() - 64) < 5 * math.sqrt(128 / count)
    assert abs(lengths.var() - 128) < 5 * 128 * math.sqrt((2 + 12 / 64) / count)


def test_fastfood_features_approximate_the_gaussian_kernel() -> None:
    # E cos(w·(x − y)) over w ~ N(0, I) is exp(−‖x − y‖²/2); rows times √d stand for w.
    d, m = 4096, 20
    delta = np.random.default_rng(0).standard_normal(m) * 0.2
    W = math.sqrt(d) * (Fastfood(d, m, seed=1) @ delta)
    assert abs(np.mean(np.cos(W)) - math.exp(-0.5 * np.sum(delta**2))) < 5 / math.sqrt(2 * d)


@pytest.mark.parametrize("d", [1, 7, 32, 33, 100])
def test_fastfood_of_any_number_of_rows(d: int) -> None:
    seeds = 400
    x = np.random.default_rng(7).standard_normal(24)
    norms2 = [np.sum((Fastfood(d, 24, seed=s) @ x) ** 2) for s in range(seeds)]
    error = np.std(norms2, ddof=1) / math.sqrt(seeds)
    assert abs(np.mean(norms2) - x @ x) < 5 * error
    assert Fastfood(d, 1).to_dense().shape == (d, 1)


# --------------------------------------------------------------------------------------- Khatri–Rao


@pytest.mark.parametrize("kind", ["signs", "normal"])
@pytest.mark.parametrize("sizes", [(5,), (4, 6), (3, 1, 7), (2, 3, 4, 5), (1, 1)])
def test_factors_without_their_product(kind: str, sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    S = KhatriRao(11, sizes, seed=3, kind=kind)
    x = [rng.standard_normal(size) for size in sizes]
    full = x[0]
    for v in x[1:]:
        full = np.kron(full, v)
    np.testing.assert_allclose(S.apply_factors(*x), S @ full, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(S.apply_factors(*x), S.to_dense() @ full, rtol=1e-12, atol=1e-13)
    if kind == "signs":
        np.testing.assert_allclose(np.abs(S.to_dense()), 1 / math.sqrt(11), rtol=1e-14)


def test_khatri_rao_variance_grows_with_the_order() -> None:
    rng = np.random.default_rng(1)
    x, y = (v / np.linalg.norm(v) for v in (rng.standard_normal(5), rng.standard_normal(7)))
    d = 60000  # rows are independent: their spread tells the variance
    signs = d * KhatriRao(d, (5, 7)).apply_factors(x, y) ** 2
    expected = (3 - 2 * np.sum(x**4)) * (3 - 2 * np.sum(y**4)) - 1
    normal = d * KhatriRao(d, (5, 7), kind="normal").apply_factors(x, y) ** 2
    for squares, variance in ((signs, expected), (normal, 8.0)):
        fourth = np.mean((squares - 1) ** 4)
        assert abs(squares.mean() - 1) < 5 * math.sqrt(variance / d)
        assert abs(squares.var() - variance) < 5 * math.sqrt(fourth / d)


def test_khatri_rao_large_products_and_errors() -> None:
    rng = np.random.default_rng(2)
    S = KhatriRao(37, (40, 50, 30), seed=1)
    x = rng.standard_normal(60000)
    np.testing.assert_allclose(S @ x, S.to_dense() @ x, atol=1e-10)
    u = rng.standard_normal(37)
    np.testing.assert_allclose(S.T @ u, S.to_dense().T @ u, atol=1e-10)
    with pytest.raises(ValueError, match="2 vectors came"):
        S.apply_factors(x, x)
    with pytest.raises(ValueError, match="x2 has shape"):
        S.apply_factors(np.ones(40), np.ones(3), np.ones(30))
    with pytest.raises(ValueError, match="kind"):
        KhatriRao(3, (2, 2), kind="uniform")
    with pytest.raises(TypeError, match="sizes"):
        KhatriRao(3, 4)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="factors"):
        KhatriRao(3, ())
    with pytest.raises(ValueError, match="overflow"):
        KhatriRao(3, (2**40, 2**40))
