"""Extreme eigenpairs against dense eigenvalues, with bounds that hold."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as sla

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector
from ritz import Status


def wanted(values, k, which):
    order = {"LA": -values, "SA": values, "LM": -np.abs(values)}[which]
    return np.sort(values[np.argsort(order)[:k]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LA", "SA", "LM"])
@pytest.mark.parametrize(("n", "k"), [(120, 5), (30, 30), (12, 1)])
def test_eigenpairs(dtype, which, n, k):
    spectrum = np.linspace(-1, 2, n) ** 3
    a = symmetric(spectrum, dtype)
    res = ritz.eigsh(a, k, which=which)
    w, V = res
    exact = wanted(spectrum, k, which)
    assert res.converged
    assert w.dtype == np.dtype(dtype).char.lower()
    assert V.dtype == dtype
    assert V.shape == (n, k)
    assert np.all(np.diff(w) >= 0)
    np.testing.assert_allclose(w, exact, atol=100 * eps(dtype) * 8)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(k), atol=100 * eps(dtype))
    measured = np.linalg.norm(a @ V - V * w, axis=0)
    assert np.all(measured <= res.residuals + 50 * eps(dtype) * res.norm_a)
    # An eigenvalue of the matrix as it was stored lies within each bound.
    stored = np.linalg.eigvalsh(a.astype(complex))
    distance = np.abs(stored[None, :] - np.asarray(w, float)[:, None]).min(axis=1)
    assert np.all(distance <= res.bounds + 20 * eps(dtype) * res.norm_a)


def test_multiple_eigenvalues_are_all_found():
    a = symmetric([1.0] * 30 + [5.0] * 4)
    res = ritz.eigsh(a, 6)
    np.testing.assert_allclose(res.w, [1, 1, 5, 5, 5, 5], atol=1e-12)
    np.testing.assert_array_equal(res.multiplicities, [2, 2, 4, 4, 4, 4])


def test_large_sparse():
    n = 400
    a = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    res = ritz.eigsh(a, 4, ncv=40, tol=1e-9)
    assert res.converged
    np.testing.assert_allclose(res.w, exact[-4:], rtol=1e-9)
    assert res.restarts > 0


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_scale_changes_nothing(factor):
    a = symmetric(np.logspace(-3, 0, 80))
    base = ritz.eigsh(a, 4)
    res = ritz.eigsh(a * factor, 4)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 1
    np.testing.assert_allclose(res.w / factor, base.w, rtol=1e-12)


def test_counts_are_the_closures_own():
    c = Counting(symmetric(np.arange(60.0)))
    A = ritz.LinearOperator((60, 60), c.matvec)
    res = ritz.eigsh(A, 3)
    assert res.products == A.counts
    assert res.products.total == c.matvecs == res.iterations + 3


def test_seeds_and_starts():
    a = symmetric(np.linspace(0, 1, 50))
    np.testing.assert_array_equal(ritz.eigsh(a, 3).V, ritz.eigsh(a, 3).V)
    assert not np.array_equal(ritz.eigsh(a, 3).V, ritz.eigsh(a, 3, seed=1).V)
    top = ritz.eigsh(a, 1).V[:, 0]
    assert ritz.eigsh(a, 1, v0=top).iterations <= ritz.eigsh(a, 1).iterations


def test_only_values():
    a = symmetric(np.linspace(0, 1, 50))
    w, V = ritz.eigsh(a, 3, return_eigenvectors=False)
    assert V is None
    np.testing.assert_allclose(w, np.linspace(0, 1, 50)[-3:])


def test_stopped_runs_say_so():
    a = symmetric(np.linspace(0, 1, 200))
    res = ritz.eigsh(a, 4, max_products=10, verify=False)
    assert res.status is Status.max_products
    assert res.products.total == 10
    assert ritz.eigsh(a, 4, maxiter=1, ncv=6).status is Status.max_iterations


def test_empty():
    res = ritz.eigsh(np.zeros((0, 0)))
    assert res.converged
    assert res.w.shape == (0,)
    assert res.V.shape == (0, 0)


def test_nonfinite_products_end_the_run():
    calls = []

    def matvec(x):
        calls.append(1)
        return np.arange(1, 51) * x * (np.inf if len(calls) == 5 else 1.0)

    res = ritz.eigsh(ritz.LinearOperator((50, 50), matvec), 2)
    assert res.status is Status.nonfinite
    assert "at iteration 5:" in res.message


def test_workspace_is_reused():
    a = symmetric(np.linspace(0, 1, 50))
    ws = ritz.Workspace("eigsh", 50, k=3)
    first = ritz.eigsh(a, 3, workspace=ws)
    second = ritz.eigsh(a, 3, workspace=ws)
    np.testing.assert_array_equal(first.V, second.V)


def test_start_is_untouched():
    v0 = vector(20)
    kept = v0.copy()
    ritz.eigsh(symmetric(np.arange(20.0)), 2, v0=v0)
    np.testing.assert_array_equal(v0, kept)


def laplacian(*shape):
    """The second difference on a grid, and its eigenvalues."""
    values = np.zeros(1)
    a = sp.csr_array((1, 1))
    for m in shape:
        line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(m, m))
        a = sp.kron(a, sp.eye_array(m)) + sp.kron(sp.eye_array(a.shape[0]), line)
        along = 2 - 2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1))
        values = (values[:, None] + along).ravel()
    return a.tocsr(), np.sort(values)


@pytest.mark.parametrize("which", ["LA", "SA", "LM", "BE"])
@pytest.mark.parametrize("block_size", [1, 3])
def test_cube_with_its_multiplicities(which, block_size):
    a, exact = laplacian(9, 9, 9)
    res = ritz.eigsh(a, 7, which=which, block_size=block_size)
    truth = {"SA": exact[:7], "BE": np.r_[exact[:3], exact[-4:]]}.get(which, exact[-7:])
    assert res.converged
    np.testing.assert_allclose(res.w, truth, atol=1e-12)
    expected = [int(np.sum(np.abs(truth - x) < 1e-9)) for x in truth]
    np.testing.assert_array_equal(res.multiplicities, expected)


def test_loose_tolerances_keep_the_multiplicities():
    a, exact = laplacian(30, 30)
    res = ritz.eigsh(a, 6, tol=1e-7)
    assert np.all(np.abs(res.w - exact[-6:]) <= res.bounds)


def test_a_cluster_of_twenty():
    spectrum = np.r_[np.ones(20), np.linspace(0, 0.9, 180)]
    res = ritz.eigsh(symmetric(spectrum), 21, block_size=20)
    np.testing.assert_allclose(res.w, np.r_[0.9, np.ones(20)], atol=1e-12)
    assert res.multiplicities.tolist() == [1] + [20] * 20


def test_no_ghosts():
    spectrum = np.r_[np.linspace(0, 1, 490), np.linspace(50, 100, 10)]
    res = ritz.eigsh(sp.diags_array(spectrum), 20, which="LA", ncv=150)
    np.testing.assert_allclose(res.w, spectrum[-20:], atol=1e-10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("block_size", [1, 2])
def test_solves_find_the_nearest(dtype, block_size):
    spectrum = np.linspace(-1, 2, 90)
    a = symmetric(spectrum, dtype)
    sigma = 0.513
    solve = np.linalg.inv(a - sigma * np.eye(90)).astype(dtype)
    res = ritz.eigsh(a, 4, sigma=sigma, OPinv=solve, block_size=block_size)
    near = np.sort(spectrum[np.argsort(np.abs(spectrum - sigma))[:4]])
    assert res.converged
    np.testing.assert_allclose(res.w, near, atol=200 * eps(dtype))
    assert res.products.total == 5
    assert res.preconditioner_products == res.iterations * block_size


def test_interior_values_without_solves():
    a, exact = laplacian(60)
    res = ritz.eigsh(a, 3, sigma=1.234, ncv=30)
    near = np.sort(exact[np.argsort(np.abs(exact - 1.234))[:3]])
    assert res.converged
    assert np.all(np.abs(res.w - near) <= res.bounds)
    limited = ritz.eigsh(a, 3, sigma=1.234, maxiter=1)
    assert limited.status is Status.max_iterations


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
@pytest.mark.parametrize("given", ["Minv", "cg", "OPinv"])
def test_generalised_problem(dtype, given):
    a = symmetric(np.linspace(-1, 3, 60), dtype)
    m = symmetric(np.linspace(1, 4, 60), dtype, seed=5)
    chol = np.linalg.inv(np.linalg.cholesky(m))
    exact = np.linalg.eigvalsh(chol @ a @ chol.conj().T)
    options = {
        "Minv": {"Minv": np.linalg.inv(m), "which": "LA"},
        "cg": {"which": "LA"},
        "OPinv": {"OPinv": np.linalg.inv(a - 0.3 * m), "sigma": 0.3},
    }[given]
    res = ritz.eigsh(a, 3, m, tol=1e-4 if dtype is np.float32 else 0, **options)
    wanted = exact[-3:]
    if given == "OPinv":
        wanted = np.sort(exact[np.argsort(np.abs(exact - 0.3))[:3]])
    w, V = res
    assert res.converged
    assert np.all(np.abs(w - wanted) <= res.bounds + 100 * eps(dtype))
    np.testing.assert_allclose(V.conj().T @ m @ V, np.eye(3), atol=1e3 * eps(dtype))
    measured = np.linalg.norm(a @ V - m @ V * w, axis=0)
    np.testing.assert_allclose(measured, res.residuals, atol=200 * eps(dtype))


def test_scipy_agrees_on_a_generalised_problem():
    a, _ = laplacian(12, 13)
    n = a.shape[0]
    m = sp.diags_array(np.linspace(1, 2, n)).tocsc()
    lu = sla.splu((a - 0.7 * m).tocsc())
    solve = sla.LinearOperator((n, n), lu.solve, dtype=float)
    theirs, _ = sla.eigsh(a, 5, m, sigma=0.7, OPinv=solve)
    res = ritz.eigsh(a, 5, m, 0.7, OPinv=solve)
    np.testing.assert_allclose(res.w, np.sort(theirs), rtol=1e-10)


def test_indefinite_m_is_found_out():
    m = np.diag(np.r_[np.ones(10), -np.ones(10)])
    res = ritz.eigsh(symmetric(np.arange(20.0)), 2, m, Minv=m)
    assert not res.converged


def test_known_vectors_are_left_out():
    a = symmetric(np.linspace(0, 1, 60))
    first = ritz.eigsh(a, 3)
    rest = ritz.eigsh(a, 3, deflate=first.V)
    np.testing.assert_allclose(rest.w, np.linspace(0, 1, 60)[-6:-3], atol=1e-12)
    np.testing.assert_allclose(first.V.T @ rest.V, 0, atol=1e-13)
    one = ritz.eigsh(a, 1, deflate=first.V[:, 2])
    np.testing.assert_allclose(one.w, first.w[1], atol=1e-12)


def test_warm_start_from_several_vectors():
    a, _ = laplacian(20, 21)
    cold = ritz.eigsh(a, 5)
    warm = ritz.eigsh(a, 5, v0=cold.V)
    np.testing.assert_allclose(warm.w, cold.w, atol=1e-12)
    assert warm.products.total <= 20
    assert cold.products.total > 100


def test_the_basis_can_be_capped():
    a, exact = laplacian(150)
    res = ritz.eigsh(a, 4, which="SA", max_basis=8)
    assert res.converged
    np.testing.assert_allclose(res.w, exact[:4], atol=1e-12)
    with pytest.raises(ValueError, match="ncv is 4"):
        ritz.eigsh(a, 4, max_basis=4)


def test_the_rank_one_and_the_zero_operator():
    x = vector(30)
    res = ritz.eigsh(np.outer(x, x), 3)
    np.testing.assert_allclose(res.w, [0, 0, x @ x], atol=1e-12)
    for n in (1, 2, 40):
        zero = ritz.eigsh(np.zeros((n, n)), 1)
        assert zero.converged
        assert zero.w == 0
    one = ritz.eigsh(np.eye(50), 1)
    assert one.iterations == 1


def test_elastic_rod():
    # A free rod of n elements with consistent mass: ω² = 6 (1 − c) / (2 + c), c = cos(π j / n).
    n = 80
    stiff = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n + 1, n + 1)).tolil()
    mass = sp.diags_array([1 / 6, 4 / 6, 1 / 6], offsets=[-1, 0, 1], shape=(n + 1, n + 1)).tolil()
    for end in (0, n):
        stiff[end, end] = 1.0
        mass[end, end] = 2 / 6
    stiff, mass = stiff.tocsc(), mass.tocsc()
    c = np.cos(np.pi * np.arange(6) / n)
    exact = 6 * (1 - c) / (2 + c)
    lu = sla.splu(stiff + 1e-3 * mass)
    solve = ritz.LinearOperator(stiff.shape, lu.solve)
    res = ritz.eigsh(stiff, 6, mass, sigma=-1e-3, OPinv=solve)
    assert res.converged
    np.testing.assert_allclose(res.w, exact, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"which": "SM"}, "sigma=0"),
        ({"which": "XX"}, '"LM", "LA"'),
        ({"mode": "buckling"}, "mode is 'buckling'"),
        ({"OPinv": np.eye(6)}, "without sigma"),
        ({"Minv": np.eye(6)}, "without M"),
        ({"sigma": 1.0, "which": "LA"}, "nearest"),
        ({"M": np.eye(5)}, "M has shape"),
        ({"deflate": np.ones(5)}, "deflate has shape"),
        ({"v0": np.ones((5, 2))}, "v0 has shape"),
        ({"block_size": 0}, "block_size"),
        ({"max_basis": 0}, "max_basis"),
        ({"checkpoint_every": -1.0}, "checkpoint_every"),
        ({"deflate": np.eye(6)}, "besides the deflated"),
    ],
)
def test_misuse_names_the_argument(options, match):
    with pytest.raises(ValueError, match=match):
        ritz.eigsh(np.eye(6), 2, **options)


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    res = ritz.eigsh(symmetric(np.linspace(0, 1, 50)), 3)
    values, residuals = res.plot()
    assert values.get_xlabel()
    assert residuals.get_yscale() == "log"
