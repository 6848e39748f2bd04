"""Preconditioners against their dense formulas, and what they save."""

from __future__ import annotations

import re

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp

import ritz
from problems import DTYPES, Counting, eps, rectangular, spd, symmetric, vector
from ritz import precond

SINGLE = [np.float32, np.complex64]


def poisson(m):
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
    return (sp.kron(line, sp.eye_array(m)) + sp.kron(sp.eye_array(m), line)).tocsr()


def badly_scaled(n, dtype=np.float64, spread=4):
    """A positive definite matrix whose rows differ in scale by ten to the spread."""
    s = np.logspace(0, spread / 2, n)
    return (s[:, None] * spd(n, 10, dtype) * s).astype(dtype)


def blocks_of(sizes, dtype=np.float64):
    return [spd(k, 50, dtype, seed=i) * dtype(4.0**i) for i, k in enumerate(sizes)]


def require_spd(M, dtype):
    dense = M.to_dense() if M.has_dtype else M @ np.eye(M.shape[0], dtype=dtype)
    dense = dense.astype(np.complex128)
    assert M.symmetric
    rounding = 100 * eps(dtype) * np.linalg.norm(dense)
    assert np.linalg.norm(dense - dense.conj().T) <= rounding
    assert np.linalg.eigvalsh((dense + dense.conj().T) / 2)[0] > 0
    return dense


# ------------------------------------------------------------------------------------------ jacobi


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, sp.csc_array, sp.coo_array])
def test_jacobi_reads_the_diagonal(dtype, form):
    a = badly_scaled(20, dtype)
    M = precond.jacobi(form(a))
    assert M.dtype == np.dtype(dtype).char.lower()
    expected = np.diag(1 / np.diag(a).real)
    np.testing.assert_allclose(require_spd(M, dtype), expected, rtol=4 * eps(dtype))


def test_jacobi_reads_through_the_algebra():
    a, s = spd(12, 10), poisson(4)[:12, :12]
    A = 2.0 * (ritz.aslinearoperator(a) - ritz.diagonal(np.full(12, 0.01))) + s
    A = A.shifted(0.5) + ritz.identity(12)
    M = precond.jacobi(A)
    np.testing.assert_allclose(1 / np.diag(M.to_dense()), np.diag(A.to_dense()), rtol=1e-14)
    duplicates = sp.csr_array((np.ones(4), np.zeros(4, int), [0, 4]), shape=(1, 1))
    assert precond.jacobi(duplicates).to_dense() == 0.25


def test_jacobi_asks_objects_for_their_diagonal():
    class Custom:
        shape, dtype = (3, 3), np.dtype(np.float64)

        def matvec(self, x):
            raise AssertionError("no product is needed")

        def diagonal(self):
            return [1.0, 2.0, 4.0]

    assert np.diag(precond.jacobi(Custom()).to_dense()).tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize("dtype", DTYPES)
def test_jacobi_from_enough_probes_is_exact(dtype):
    c = Counting(badly_scaled(21, dtype))
    A = ritz.LinearOperator((21, 21), c.matvec, dtype=dtype)
    M = precond.jacobi(A, probes=21)
    assert c.matvecs == 21
    np.testing.assert_allclose(1 / np.diag(M.to_dense()), np.diag(c.a).real, rtol=8 * eps(dtype))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_jacobi_estimates_with_the_stated_variance(dtype):
    a = symmetric(np.linspace(0.5, 1.5, 60), dtype)
    probes, runs = 16, 200
    estimates = np.array(
        [
            1 / np.diag(precond.jacobi(a, probes=probes, seed=seed).to_dense())
            for seed in range(runs)
        ]
    )
    off = a - np.diag(np.diag(a))
    stderr = np.sqrt((off.real**2).sum(axis=1) / probes)
    deviations = (estimates - np.diag(a).real) / stderr
    # The mean of 200 runs, of 60 entries that are nearly independent.
    assert np.abs(deviations.mean()) <= 4 / np.sqrt(runs * 30)
    np.testing.assert_allclose(deviations.std(), 1.0, rtol=0.05)


def test_jacobi_estimates_a_diagonal_matrix_exactly_and_counts_its_products():
    d = np.logspace(-20, 20, 50)
    A = ritz.diagonal(d)
    M = precond.jacobi(A, probes=2)
    np.testing.assert_allclose(np.diag(M.to_dense()), 1 / d, rtol=1e-15)
    assert A.counts.total == 2


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_jacobi_is_positive_where_the_estimate_is_noise(scale):
    # Off-diagonal elements that drown most of the diagonal: many estimates are negative.
    s = np.logspace(0, 3, 80)
    a = scale * (np.outer(s, s) + np.diag(s))
    a[5] = a[:, 5] = 0.0
    sample = [np.diag(precond.jacobi(a, probes=4, seed=seed).to_dense()) for seed in range(20)]
    for m in sample:
        assert (m > 0).all()
        assert np.isfinite(m).all()
        assert m[5] == m.min()  # the empty row gets the least weight
    exact = np.diag(precond.jacobi(a).to_dense())
    assert exact[5] == exact.min() == 1 / a.max()


def test_jacobi_does_not_change_with_the_scale():
    a = badly_scaled(40)
    m = precond.jacobi(a, probes=6).to_dense()
    np.testing.assert_array_equal(precond.jacobi(a * 2.0**66, probes=6).to_dense() * 2.0**66, m)


def test_jacobi_refuses_what_is_not_positive_definite():
    a = np.diag([1.0, -2.0, 3.0])
    with pytest.raises(ValueError, match=r"diagonal of A is -2\.0 at 1: .*positive definite"):
        precond.jacobi(a)
    with pytest.raises(ValueError, match="at 1"):
        precond.jacobi(ritz.LinearOperator((3, 3), lambda x: a @ x), probes=3)
    with pytest.raises(ValueError, match="at 2"):
        precond.jacobi(np.eye(3), diagonal=[1.0, 2.0, np.nan])
    with pytest.raises(ValueError, match=r"1\+1j.* at 0"):
        precond.jacobi(np.diag([1 + 1j, 2, 3]))
    with pytest.raises(ValueError, match="zero"):
        precond.jacobi(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"\(2, 3\)"):
        precond.jacobi(np.ones((2, 3)))
    with pytest.raises(ValueError, match="not finite at 1"):
        precond.jacobi(ritz.diagonal([1.0, np.inf, 1.0]), probes=2)
    closure = ritz.LinearOperator((3, 3), lambda x: x)
    with pytest.raises(TypeError, match="probes=30"):
        precond.jacobi(closure)
    with pytest.raises(TypeError, match="one of them"):
        precond.jacobi(closure, diagonal=np.ones(3), probes=2)
    with pytest.raises(ValueError, match="at least 2"):
        precond.jacobi(closure, probes=1)


@pytest.mark.parametrize("how", ["read", "given", "probed"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_jacobi_saves_iterations(dtype, how):
    a, b = badly_scaled(80, dtype), vector(80, dtype)
    more = {"read": {}, "given": {"diagonal": np.diag(a)}, "probed": {"probes": 30}}[how]
    M = precond.jacobi(a, **more)
    plain, better = ritz.cg(a, b, rtol=1e-4), ritz.cg(a, b, rtol=1e-4, M=M)
    assert better.converged
    assert better.x.dtype == dtype
    assert better.iterations < plain.iterations / 3


# ----------------------------------------------------------------------------------------- closure


@pytest.mark.parametrize("dtype", DTYPES)
def test_closure_passes_its_check(dtype):
    a = spd(30, 100, dtype)
    factor = la.cho_factor(a)
    M = precond.closure(lambda r: la.cho_solve(factor, r), 30, dtype=dtype, check=True)
    assert M.symmetric
    assert M.counts.total == 7
    res = ritz.cg(a, vector(30, dtype), M=M, rtol=1e-3)
    assert res.converged
    assert res.iterations <= 2


def test_closure_is_not_called_without_a_check():
    def fail(r):
        raise AssertionError

    assert precond.closure(fail, 5).shape == (5, 5)
    assert precond.closure(fail, 5, symmetric=False).symmetric is False


def test_closure_check_measures_the_asymmetry():
    skew = np.triu(np.ones((40, 40)), 1)
    a = np.eye(40) + 1e-3 * skew
    with pytest.raises(ValueError, match="not Hermitian") as caught:
        precond.closure(lambda r: a @ r, 40, check=True)
    measured = float(re.search(r"is (\d\.\de[-+]\d+) of", str(caught.value)).group(1))
    # |uᴴ(A − Aᵀ)v| is about 1e-3 ‖skew − skewᵀ‖_F, relative to ‖u‖‖v‖ ≈ 40 twice.
    assert 1e-6 < measured < 1e-2
    precond.closure(lambda r: a @ r, 40, symmetric=False, check=True)
    with pytest.raises(ValueError, match="not linear"):
        precond.closure(lambda r: r + r**3, 40, symmetric=False, check=True)
    with pytest.raises(ValueError, match="not positive definite"):
        precond.closure(lambda r: -r, 40, check=True)
    with pytest.raises(ValueError, match="not positive definite"):
        precond.closure(lambda r: 0 * r, 40, check=True)
    with pytest.raises(TypeError, match="function of one vector"):
        precond.closure(a, 40)


# ------------------------------------------------------------------------------------ block Jacobi

SIZES = [3, 1, 9, 3, 2, 17, 3]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["list", "function", "batch"])
def test_block_jacobi_inverts(dtype, form):
    blocks = blocks_of([3] * 5 if form == "batch" else SIZES, dtype)
    sizes = [len(b) for b in blocks]
    given = {"list": list, "function": lambda b: b.__getitem__, "batch": np.array}[form](blocks)
    M = precond.block_jacobi(given, sizes if form == "function" else None)
    assert M.dtype == dtype
    expected = la.block_diag(*(np.linalg.inv(b.astype(np.complex128)) for b in blocks))
    dense = require_spd(M, dtype)
    assert np.linalg.norm(dense - expected) <= 100 * eps(dtype) * np.linalg.norm(expected)
    X = np.stack([vector(sum(sizes), dtype, seed) for seed in range(3)], axis=1)
    np.testing.assert_array_equal((M @ X)[:, 1], M @ X[:, 1].copy())
    assert M.counts.columns >= 3


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_jacobi_of_regular_blocks(dtype):
    rng = np.random.default_rng(0)
    blocks = [
        (rectangular(k, k, 10, seed=i) * np.exp(1j * rng.standard_normal()))
        if np.dtype(dtype).kind == "c"
        else rectangular(k, k, 10, seed=i)
        for i, k in enumerate(SIZES)
    ]
    blocks = [b.astype(dtype) for b in blocks]
    M = precond.block_jacobi(blocks, hermitian=False)
    assert M.symmetric is False
    inverse = la.block_diag(*(np.linalg.inv(b) for b in blocks))
    bound = 100 * eps(dtype) * np.linalg.norm(inverse)
    assert np.linalg.norm(M.to_dense() - inverse) <= bound
    assert np.linalg.norm(M.H.to_dense() - inverse.conj().T) <= bound


@pytest.mark.parametrize("dtype", [*SINGLE, np.float64])
def test_block_jacobi_takes_vectors_of_higher_precision(dtype):
    blocks = blocks_of([2, 3], dtype)
    M = precond.block_jacobi(blocks)
    for other in DTYPES:
        x = vector(5, other)
        y = M @ x
        assert y.dtype == np.result_type(dtype, other)
        np.testing.assert_allclose(y, M.to_dense() @ x, rtol=1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_block_jacobi_saves_iterations(dtype):
    # Stiff blocks of ten, weakly coupled: diagonal scaling cannot see them.
    stiff = [spd(10, 1e3, dtype, seed=i) for i in range(20)]
    weak = spd(200, 10, dtype, seed=99) * dtype(1e-3)
    a, b = la.block_diag(*stiff) + weak, vector(200, dtype)
    diagonal = ritz.cg(a, b, M=precond.jacobi(a), rtol=1e-4)
    blocks = ritz.cg(a, b, M=precond.block_jacobi(stiff), rtol=1e-4)
    assert blocks.converged
    assert blocks.iterations < diagonal.iterations / 3


def test_block_jacobi_names_the_block():
    good = spd(3, 10)
    bad = symmetric([1.0, 2.0, -0.5])
    for blocks in (np.array([good, good, bad]), [np.eye(2), good, bad]):
        with pytest.raises(ValueError, match=r"block 2 .* definite: an eigenvalue is -0\.5"):
            precond.block_jacobi(blocks)
        precond.block_jacobi(blocks, hermitian=False)
    with pytest.raises(ValueError, match="block 1 is not Hermitian"):
        precond.block_jacobi([good, np.triu(good)])
    with pytest.raises(ValueError, match="block 1 has an element that is not finite"):
        precond.block_jacobi([good, good * np.nan])
    with pytest.raises(ValueError, match="block 1 is singular"):
        precond.block_jacobi([good, np.ones((2, 2))], hermitian=False)
    with pytest.raises(ValueError, match=r"block 1 has shape \(2, 3\)"):
        precond.block_jacobi([good, np.ones((2, 3))])
    with pytest.raises(ValueError, match="block 1 has size 3; sizes says 2"):
        precond.block_jacobi([good, good], [3, 2])
    with pytest.raises(ValueError, match="2 blocks"):
        precond.block_jacobi([good, good], [3])
    with pytest.raises(ValueError, match="empty"):
        precond.block_jacobi([])
    with pytest.raises(TypeError, match="sizes is missing"):
        precond.block_jacobi(lambda i: good)


def test_block_jacobi_is_definite_or_says_so():
    # Exact in single precision, with determinant s²b > 0; but the rounded elements of its inverse,
    # (b + 1)/(s²b), −1/s and 1, have a negative one.
    s, b = 181.0, 2.0**23
    block = np.array([[s * s * b, s * b], [s * b, b + 1]])
    require_spd(precond.block_jacobi([block]), np.float64)
    with pytest.raises(ValueError, match="block 0 is too ill-conditioned for float32"):
        precond.block_jacobi([block.astype(np.float32)])
    # One that has lost its definiteness before it came.
    lost = symmetric(np.logspace(-9, 0, 6), np.float32)
    with pytest.raises(ValueError, match="block 0 is not positive definite"):
        precond.block_jacobi([lost])


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_block_jacobi_does_not_change_with_the_scale(scale):
    blocks = blocks_of([3, 4])
    M = precond.block_jacobi(blocks).to_dense()
    scaled = precond.block_jacobi([b * scale for b in blocks]).to_dense() * scale
    np.testing.assert_allclose(scaled, M, rtol=1e-12, atol=1e-14)


# --------------------------------------------------------------------------------------- chebyshev


def polynomial(lam, degree, low, high):
    """(1 − T_{d+1}((θ − λ)/δ) / T_{d+1}(θ/δ)) / λ"""
    theta, delta = (low + high) / 2, (high - low) / 2
    T = np.polynomial.chebyshev.Chebyshev.basis(degree + 1)
    return (1 - T((theta - lam) / delta) / T(theta / delta)) / lam


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("degree", [1, 2, 5, 8])
def test_chebyshev_is_the_polynomial(dtype, degree):
    spectrum = np.linspace(0.05, 1.95, 40)  # beyond both ends of the interval
    a = symmetric(spectrum, dtype)
    M = precond.chebyshev(a, degree, bounds=(0.1, 1.9))
    dense = require_spd(M, dtype)
    lam, V = np.linalg.eigh(a.astype(np.complex128))
    expected = (V * polynomial(lam, degree, 0.1, 1.9)) @ V.conj().T
    tolerance = 1e-12 if np.dtype(dtype).char in "dD" else 1e-12 / eps(np.float64) * eps(dtype)
    assert np.abs(dense - expected).max() <= tolerance


@pytest.mark.parametrize("degree", [1, 4, 8])
def test_chebyshev_counts_on_the_operator(degree):
    c = Counting(spd(30, 100))
    A = ritz.LinearOperator((30, 30), c.matvec, symmetric=True)
    M = precond.chebyshev(A, degree, bounds=(0.05, 1.0))
    assert c.matvecs == A.counts.total == 0
    M @ vector(30)
    assert c.matvecs == A.counts.total == degree
    M @ np.ones((30, 3))
    assert A.counts.total == 4 * degree
    before = A.counts.total
    res = ritz.cg(A, vector(30), M=M)
    assert res.converged
    # The run's own products, and those of the preconditioner.
    assert A.counts.total - before == res.products.total + degree * res.preconditioner_products


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cond", [1.5, 1e2, 1e6])
@pytest.mark.parametrize("degree", [1, 2, 3, 8, 9])
def test_chebyshev_with_estimated_bounds_is_positive_definite(dtype, cond, degree):
    spectrum = np.geomspace(1 / cond, 1.0, 40)
    spectrum[-1] = 1.2  # alone at the end, where a random start sees little of it
    M = precond.chebyshev(symmetric(spectrum), degree)
    low, high = M._node.low, M._node.high
    assert 1.2 <= high <= 1.33
    assert high / low == pytest.approx(30.0)
    # By the formula, far below rounding, at and a little above the end.
    assert (polynomial(np.geomspace(1e-3, 1.02 * high, 2000), degree, low, high) > 0).all()
    if cond < 1e6:
        require_spd(precond.chebyshev(symmetric(spectrum, dtype), degree), dtype)


@pytest.mark.parametrize("degree", [2, 8])
def test_chebyshev_of_even_degree_is_positive_beyond_its_bounds(degree):
    a = symmetric(np.geomspace(1e-3, 4.0, 30))
    require_spd(precond.chebyshev(a, degree, bounds=(0.1, 1.0)), np.float64)
    odd = precond.chebyshev(a, degree + 1, bounds=(0.1, 1.0)).to_dense()
    assert np.linalg.eigvalsh((odd + odd.T) / 2)[0] < 0


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_chebyshev_does_not_change_with_the_scale(factor):
    a, b = spd(60, 1e3), vector(60)
    M = precond.chebyshev(a).to_dense()
    scaled = precond.chebyshev(a * factor)
    np.testing.assert_allclose(scaled.to_dense() * factor, M, rtol=1e-9, atol=1e-12)
    base = ritz.cg(a, b, M=precond.chebyshev(a))
    res = ritz.cg(a * factor, b, M=scaled)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_chebyshev_saves_iterations(dtype):
    a = poisson(30).astype(dtype)
    b = vector(900, dtype)
    plain = ritz.cg(a, b, rtol=1e-4)
    better = ritz.cg(a, b, rtol=1e-4, M=precond.chebyshev(a))
    assert better.converged
    assert better.x.dtype == dtype
    assert better.iterations < plain.iterations / 4


def test_chebyshev_of_a_scaled_operator():
    # With D = diag(A): D^-1/2 p(D^-1/2 A D^-1/2) D^-1/2, by the algebra of operators.
    a, b = badly_scaled(80, spread=8), vector(80)
    S = ritz.diagonal(1 / np.sqrt(np.diag(a)))
    M = S @ precond.chebyshev(S @ a @ S, 4) @ S
    res = ritz.cg(a, b, M=M, rtol=1e-8)
    jacobi = ritz.cg(a, b, M=precond.jacobi(a), rtol=1e-8)
    assert res.converged
    assert res.iterations < jacobi.iterations / 2


def test_chebyshev_of_small_operators():
    assert precond.chebyshev(np.array([[4.0]])).to_dense() == pytest.approx(0.25, rel=0.1)
    assert precond.chebyshev(np.zeros((0, 0))).to_dense().shape == (0, 0)


def test_chebyshev_refuses_what_it_cannot_use():
    a = spd(10, 10)
    for bounds in ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, np.inf)):
        with pytest.raises(ValueError, match="0 < lower < upper"):
            precond.chebyshev(a, bounds=bounds)
    with pytest.raises(ValueError, match="ratio"):
        precond.chebyshev(a, ratio=1.0)
    with pytest.raises(ValueError, match="degree"):
        precond.chebyshev(a, 0)
    with pytest.raises(ValueError, match="not positive definite"):
        precond.chebyshev(-a)
    with pytest.raises(ValueError, match="was not found"):
        precond.chebyshev(ritz.diagonal([1.0, np.nan, 2.0]))
    with pytest.raises(ValueError, match="square"):
        precond.chebyshev(np.ones((3, 2)))
    skew = ritz.LinearOperator((3, 3), lambda x: x, symmetric=False)
    with pytest.raises(ValueError, match="symmetric=False"):
        precond.chebyshev(skew)


# --------------------------------------------------------------------- vectors of every framework


def arrays_of(framework):
    if framework == "numpy":
        return np.asarray
    if framework == "torch":
        torch = pytest.importorskip("torch")
        return torch.from_numpy
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    return jax.numpy.asarray


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_every_framework(framework):
    give = arrays_of(framework)
    n = 60
    a = la.block_diag(*(spd(6, 100, seed=i) * 2.0**i for i in range(10))) + 1e-2 * np.eye(n)
    matrix, b = give(a), give(vector(n))
    A = ritz.LinearOperator((n, n), lambda x: matrix @ x, symmetric=True)  # tells no framework
    blocks = [give(a[i : i + 6, i : i + 6].copy()) for i in range(0, n, 6)]
    inverse = give(np.linalg.inv(a))
    plain = ritz.cg(A, b)
    exact = np.linalg.solve(a, vector(n))
    for M in (
        precond.jacobi(matrix),
        precond.jacobi(A, diagonal=np.diag(a)),
        precond.jacobi(A, probes=40, like=b),
        precond.block_jacobi(blocks),
        precond.block_jacobi(lambda i: blocks[i], [6] * 10),
        precond.chebyshev(A, like=b),
        precond.chebyshev(matrix, bounds=(5.0, 520.0)),
        precond.closure(lambda r: inverse @ r, n, framework=framework, check=True),
    ):
        res = ritz.cg(A, b, M=M, rtol=1e-10)
        assert type(res.x) is type(b)
        assert res.converged
        assert res.iterations < plain.iterations
        np.testing.assert_allclose(np.asarray(res.x), exact, rtol=1e-4)


@pytest.mark.parametrize("framework", ["numpy", "torch", "jax"])
def test_columns(framework):
    give = arrays_of(framework)
    a = poisson(12).toarray()
    B = np.stack([vector(144, seed=s) for s in range(3)], axis=1)
    for M in (precond.chebyshev(a), precond.block_jacobi([a[:72, :72], a[72:, 72:]])):
        res = ritz.cg(give(a), give(B), M=M, rtol=1e-8)
        assert res.converged
        np.testing.assert_allclose(np.asarray(res.x), np.linalg.solve(a, B), rtol=1e-5, atol=1e-6)


def test_repr():
    assert "block diagonal(2 blocks)" in repr(precond.block_jacobi(blocks_of([2, 3])))
    M = precond.chebyshev(spd(4, 2), 3, bounds=(0.5, 1.0))
    assert "chebyshev(dense, degree 3 on [0.5, 1])" in repr(M)
