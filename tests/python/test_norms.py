"""Norms, condition numbers, ranks and null spaces against dense decompositions."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import DTYPES, Counting, eps
from ritz import Status


def with_values(m, n, values, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    k = min(m, n)
    u = np.linalg.qr(rng.standard_normal((m, k)))[0]
    v = np.linalg.qr(rng.standard_normal((n, k)))[0]
    return ((u * np.asarray(values)) @ v.T).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("m", "n"), [(80, 50), (50, 80), (1, 30), (30, 1)])
def test_spectral_norm(dtype, m, n):
    a = with_values(m, n, np.linspace(1, 3, min(m, n))).astype(dtype)
    if np.dtype(dtype).kind == "c":
        a = a * np.exp(0.3j)
        a = a.astype(dtype)
    exact = np.linalg.norm(a.astype(complex), 2)
    res = ritz.norm(a)
    assert res.converged
    assert res.lower <= exact * (1 + 4 * eps(dtype))
    assert exact <= res.upper * (1 + 4 * eps(dtype))
    assert res.upper - res.lower <= 0.01 * res.value
    assert float(res) == res.value == res[0]
    assert res.probability == 1 - 1e-6


def test_the_bound_costs_what_the_notes_say():
    n = 5000
    d = 1.0 - np.arange(n) / n  # no gap at the top
    res = ritz.norm(sp.diags_array(d, format="csr"))
    bound = np.arccosh(np.sqrt(2 * n / np.pi) / 1e-6) / np.arccosh(1.01)
    assert res.converged
    assert res.products.total <= bound + 20
    assert res.lower <= 1.0 <= res.upper
    tight = ritz.norm(sp.diags_array(d, format="csr"), rtol=1e-9, max_basis=30)
    assert tight.status is Status.max_iterations
    assert tight.lower <= 1.0 <= tight.upper


def test_frobenius_norm():
    a = with_values(70, 400, np.linspace(1, 2, 70))
    exact = np.linalg.norm(a)
    full = ritz.norm(a, "fro", samples=400)
    assert full.method == "exact"
    assert full.stderr == 0.0
    assert float(full) == pytest.approx(exact, rel=1e-13)
    res = ritz.norm(a, "fro", samples=60)
    assert res.products.total == 60
    assert abs(res.value - exact) <= 4 * res.stderr
    assert res.stderr < 0.05 * exact
    rough = ritz.norm(a, "fro", rtol=0.05)
    assert rough.converged
    assert rough.stderr <= 0.05 * rough.value
    assert rough.products.total < 100


def test_nuclear_norm():
    a = with_values(40, 30, np.linspace(1, 2, 30))
    assert float(ritz.norm(a, "nuc")) == pytest.approx(45.0, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_scale_changes_nothing(factor):
    a = with_values(60, 50, np.linspace(1, 2, 50))
    base, res = ritz.norm(a), ritz.norm(a * factor)
    assert base.status is res.status
    assert base.products == res.products
    assert res.upper / factor == pytest.approx(base.upper, rel=1e-12)
    assert ritz.cond(a * factor).value == pytest.approx(2.0)
    low = with_values(60, 50, np.r_[np.linspace(1, 2, 44), np.zeros(6)]) * factor
    assert ritz.numerical_rank(low).rank == 44
    assert ritz.nullspace(low).dimension == 6


def test_norm_of_nothing_and_of_zero():
    assert ritz.norm(np.zeros((0, 4))).value == 0.0
    assert ritz.norm(np.zeros((3, 4))).upper == 0.0
    assert ritz.norm(np.zeros((3, 4)), "fro").value == 0.0
    assert ritz.norm(np.full((3, 4), np.nan)).status is Status.nonfinite


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ord": 1}, "ord"),
        ({"ord": "F"}, "ord"),
        ({"rtol": -1.0}, "rtol"),
        ({"failure": 0.0}, "failure"),
        ({"failure": 1.0}, "failure"),
        ({"ord": "fro", "samples": 1}, "samples"),
        ({"max_basis": 0}, "max_basis"),
    ],
)
def test_bad_norms(options, text):
    with pytest.raises(ValueError, match=text):
        ritz.norm(np.eye(4), **options)


@pytest.mark.parametrize(("m", "n"), [(90, 60), (60, 90), (60, 60)])
def test_cond(m, n):
    a = with_values(m, n, np.logspace(0, -4, 60))
    res = ritz.cond(a, ncv=60)
    assert res.converged
    assert res.lower <= 1e4 * (1 + 1e-9)
    assert res.upper >= 1e4 * (1 - 1e-9)
    assert res.value == pytest.approx(1e4, rel=1e-9)


def test_cond_of_a_singular_operator():
    res = ritz.cond(np.diag([3.0, 2.0, 1.0, 0.0]))
    assert res.value == np.inf
    assert res.upper == np.inf
    assert res.lower > 1e13
    assert res.status is Status.condition_limit
    with pytest.raises(ValueError, match="empty"):
        ritz.cond(np.zeros((0, 3)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rank", [0, 1, 30, 100])
def test_rank(dtype, rank):
    values = np.r_[np.linspace(2, 1, rank), np.zeros(300 - rank)]
    a = with_values(300, 320, values, dtype)
    res = ritz.numerical_rank(a)
    assert res.rank == rank
    assert res.converged
    assert res.certain
    s, _ = res.s, res.rank
    assert np.all(np.diff(s) <= 0)
    if rank > 0:
        assert res.above[0] == pytest.approx(1.0 if rank > 1 else 2.0, rel=1e-4)
    assert res.below[0] <= res.threshold
    assert range(200)[res] == rank


def test_rank_with_a_threshold_and_a_limit():
    a = with_values(400, 300, np.logspace(0, -15, 300))
    res = ritz.numerical_rank(a, rtol=1e-3)
    assert res.rank == int(np.sum(np.logspace(0, -15, 300) > 1e-3))
    assert 1.0 < res.gap < 1.3
    limited = ritz.numerical_rank(a, rtol=1e-3, max_rank=20)
    assert limited.rank == 20
    assert not limited.certain
    assert limited.below is None
    assert limited.status is Status.max_iterations
    assert ritz.numerical_rank(a, max_products=10).status is Status.max_products
    assert ritz.numerical_rank(np.zeros((4, 0))).rank == 0


@pytest.mark.parametrize(
    ("m", "n", "nullity"), [(60, 40, 5), (40, 60, 23), (40, 40, 0), (30, 20, 20)]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_nullspace(m, n, nullity, dtype):
    rank = n - nullity
    a = with_values(m, n, np.r_[np.linspace(2, 1, rank), np.zeros(min(m, n) - rank)]).astype(dtype)
    res = ritz.nullspace(a)
    Z, norms = res
    assert res.converged
    assert res.complete
    assert res.dimension == nullity
    assert Z.shape == (n, nullity)
    assert Z.dtype == dtype
    np.testing.assert_allclose(Z.conj().T @ Z, np.eye(nullity), atol=50 * eps(dtype))
    assert np.all(np.linalg.norm(a @ Z, axis=0) <= 2 * res.threshold)
    assert np.all(norms <= 2 * res.threshold)
    P = ritz.nullspace(a, projector=True).Z
    x = np.random.default_rng(3).standard_normal(n).astype(dtype)
    np.testing.assert_allclose(P @ x, Z @ (Z.conj().T @ x), atol=100 * eps(dtype))
    assert P.symmetric


def test_nullspace_of_a_large_operator():
    """The Laplacian of a graph of five rings, through its incidence: one null vector a ring."""
    rings, length = 5, 80
    n = rings * length
    ring = sp.eye_array(length) - sp.csr_array(np.roll(np.eye(length), 1, axis=1))
    a = sp.block_diag([ring] * rings, format="csr")
    res = ritz.nullspace(a)
    assert res.converged
    assert res.complete
    assert res.dimension == rings
    assert res.above[0] == pytest.approx(2 * np.sin(np.pi / length), abs=res.above[1])
    assert res.gap > 1e9
    assert np.linalg.norm(a @ res.Z) < 1e-12
    indicators = np.kron(np.eye(rings), np.ones((length, 1))) / np.sqrt(length)
    overlap = np.linalg.svd(indicators.T @ res.Z, compute_uv=False)
    np.testing.assert_allclose(overlap, 1.0, atol=1e-12)
    few = ritz.nullspace(a, k=2)
    assert few.dimension == 2
    assert not few.complete
    assert few.Z.shape == (n, 2)


def test_nullspace_says_when_it_was_stopped():
    a = sp.diags_array(np.r_[0.0, np.linspace(1, 2, 299)], format="csr")
    res = ritz.nullspace(a, max_products=10)
    assert res.status is Status.max_products
    assert not res.complete
    assert res.Z.shape[0] == 300
    assert ritz.nullspace(np.zeros((0, 3))).dimension == 3


def test_wide_with_a_limit():
    a = with_values(10, 400, np.linspace(1, 2, 10))
    res = ritz.nullspace(a, k=3)
    assert res.Z.shape == (400, 3)
    assert not res.complete
    assert np.linalg.norm(a @ res.Z) < 1e-12


def test_counts_are_the_closures_own():
    c = Counting(with_values(60, 40, np.linspace(1, 2, 40)))

    def rmatvec(x):
        c.rmatvecs += 1
        return c.a.T @ x

    A = ritz.LinearOperator((60, 40), c.matvec, rmatvec)
    for method in (ritz.norm, ritz.cond, ritz.numerical_rank, ritz.nullspace):
        c.matvecs = c.rmatvecs = 0
        res = method(A)
        assert res.products.total == c.matvecs + c.rmatvecs


def test_torch():
    torch = pytest.importorskip("torch")
    a = torch.from_numpy(with_values(30, 40, np.linspace(1, 2, 30)))
    assert ritz.norm(a).value == pytest.approx(2.0)
    Z = ritz.nullspace(a).Z
    assert isinstance(Z, torch.Tensor)
    assert Z.shape == (40, 10)
    P = ritz.nullspace(a, projector=True).Z
    y = P @ torch.ones(40, dtype=torch.float64)
    assert isinstance(y, torch.Tensor)
    torch.testing.assert_close(y, Z @ (Z.T @ torch.ones(40, dtype=torch.float64)))
