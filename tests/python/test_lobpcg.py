"""LOBPCG against dense eigenvalues, closed forms and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, eps, symmetric
from ritz import Status


def guesses(n, k, dtype=np.float64, seed=7):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k))
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal((n, k))
    return x.astype(dtype)


def laplacian(p):
    t = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(p, p))
    one = sp.eye_array(p)
    return (sp.kron(one, t) + sp.kron(t, one)).tocsc()


def exact(p):
    line = 2 - 2 * np.cos(np.pi * np.arange(1, p + 1) / (p + 1))
    return np.sort((line[:, None] + line[None, :]).ravel())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize(("n", "k"), [(80, 1), (80, 4), (80, 30), (6, 6)])
def test_eigenpairs(dtype, largest, n, k):
    spectrum = np.linspace(-1, 2, n) ** 3
    a = symmetric(spectrum, dtype)
    X = guesses(n, k, dtype)
    kept = X.copy()
    res = ritz.lobpcg(a, X, largest=largest)
    w, V = res
    np.testing.assert_array_equal(X, kept)
    assert res.converged
    assert res.verified
    assert w.dtype == np.dtype(dtype).char.lower()
    assert V.dtype == dtype
    truth = np.sort(spectrum)[::-1][:k] if largest else np.sort(spectrum)[:k]
    tol = np.sqrt(eps(dtype)) * 8
    np.testing.assert_allclose(w, truth, atol=tol)
    np.testing.assert_allclose(V.conj().T @ V, np.eye(k), atol=100 * eps(dtype))
    measured = np.linalg.norm(a @ V - V * w, axis=0)
    np.testing.assert_allclose(measured, res.residuals, atol=200 * eps(dtype))
    assert np.all(res.residuals <= res.target)
    tight = ritz.lobpcg(a, X, largest=largest, tol=0)
    assert tight.converged
    np.testing.assert_allclose(tight.w, truth, atol=2e3 * eps(dtype))


def test_preconditioned_laplacian():
    a = laplacian(30)
    X = guesses(900, 5)
    lu = spla.splu(a)
    plain = ritz.lobpcg(a, X, largest=False, tol=1e-8)
    res = ritz.lobpcg(a, X, M=lu.solve, largest=False, tol=1e-8)
    assert plain.converged
    assert res.converged
    np.testing.assert_allclose(res.w, exact(30)[:5], rtol=1e-10)
    assert res.products.total < 0.3 * plain.products.total
    assert res.preconditioner_products > 0
    theirs = spla.lobpcg(a, X, M=spla.LinearOperator(a.shape, lu.solve), largest=False, tol=1e-8)[0]
    np.testing.assert_allclose(res.w, theirs, rtol=1e-9)


@pytest.mark.parametrize("factor", [1e-25, 1e-12, 1.0, 1e25])
def test_scale_changes_nothing(factor):
    # SciPy 1.17 returns its starting vectors for 1e-12.
    a = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(100, 100), format="csr")
    X = guesses(100, 3)
    base = ritz.lobpcg(a, X)
    res = ritz.lobpcg(a * factor, X)
    assert res.status is base.status is Status.converged
    assert abs(res.iterations - base.iterations) <= 2
    truth = 2 - 2 * np.cos(np.pi * np.arange(100, 97, -1) / 101)
    np.testing.assert_allclose(res.w / factor, truth, rtol=1e-10)


@pytest.mark.parametrize("kind", ["matrix", "function"])
def test_generalized(kind):
    n = 60
    rng = np.random.default_rng(3)
    a = symmetric(np.linspace(1, 50, n), seed=1)
    root = rng.standard_normal((n, n)) / np.sqrt(n)
    b = root @ root.T + 0.5 * np.eye(n)
    truth = la.eigvalsh(a, b)
    B = b if kind == "matrix" else lambda X: b @ X
    for largest, wanted in ((True, truth[::-1][:3]), (False, truth[:3])):
        res = ritz.lobpcg(a, guesses(n, 3), B, largest=largest, tol=1e-11)
        assert res.converged
        np.testing.assert_allclose(res.w, wanted, rtol=1e-9)
        np.testing.assert_allclose(res.V.T @ b @ res.V, np.eye(3), atol=1e-11)
        measured = np.linalg.norm(a @ res.V - b @ res.V * res.w, axis=0)
        measured /= np.linalg.norm(res.V, axis=0)
        np.testing.assert_allclose(measured, res.residuals, atol=1e-12 * 50)
        assert res.mass_products > 0
    assert ritz.lobpcg(a, guesses(n, 3), -b).status is Status.breakdown


def test_constraints():
    a = laplacian(12)
    first = ritz.lobpcg(a, guesses(144, 3), largest=False, tol=1e-13)
    res = ritz.lobpcg(a, guesses(144, 3, seed=8), Y=first.V, largest=False, tol=1e-12)
    assert res.converged
    np.testing.assert_allclose(res.w, exact(12)[3:6], rtol=1e-9)
    np.testing.assert_allclose(first.V.T @ res.V, 0.0, atol=1e-13)
    one = ritz.lobpcg(a, guesses(144, 1), Y=first.V[:, 0], largest=False)
    np.testing.assert_allclose(one.w, exact(12)[1:2], rtol=1e-9)


def test_functions_torch_and_jax():
    a = laplacian(8).toarray()
    calls = []

    def block(X):
        calls.append(X.shape[1])
        return a @ X

    res = ritz.lobpcg(block, guesses(64, 3))
    np.testing.assert_allclose(res.w, exact(8)[::-1][:3])
    assert res.products.total == sum(calls)
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(a)
    d = 1.0 / t.diagonal()[:, None]
    res = ritz.lobpcg(t, torch.from_numpy(guesses(64, 2)), M=lambda R: d * R, largest=False)
    assert isinstance(res.V, torch.Tensor)
    np.testing.assert_allclose(res.w.numpy(), exact(8)[:2], rtol=1e-6)
    jnp = pytest.importorskip("jax.numpy")
    j = jnp.asarray(a, dtype=jnp.float32)
    res = ritz.lobpcg(lambda X: j @ X, jnp.asarray(guesses(64, 2), dtype=jnp.float32))
    assert res.converged
    assert res.V.dtype == jnp.float32
    np.testing.assert_allclose(np.asarray(res.w), exact(8)[::-1][:2], rtol=1e-4)


def test_dependent_guesses_and_one_vector():
    a = laplacian(10)
    X = guesses(100, 4)
    X[:, 2] = X[:, 1]
    X[:, 3] = 0.0
    res = ritz.lobpcg(a, X)
    assert res.converged
    np.testing.assert_allclose(res.w, exact(10)[::-1][:4])
    one = ritz.lobpcg(a, X[:, 0], largest=False)
    assert one.V.shape == (100, 1)
    np.testing.assert_allclose(one.w, exact(10)[:1], rtol=1e-8)


def test_unattainable_and_limits():
    a = symmetric(np.logspace(-6, 0, 120))
    X = guesses(120, 3)
    res = ritz.lobpcg(a, X, maxiter=4, largest=False)
    assert res.status is Status.max_iterations
    assert res.iterations == 4
    assert res.residual > res.target
    measured = np.linalg.norm(a @ res.V - res.V * res.w, axis=0)
    np.testing.assert_allclose(measured, res.residuals, rtol=1e-6)
    res = ritz.lobpcg(a, X, callback=lambda it: it.iteration == 2, largest=False)
    assert res.status is Status.stopped
    res = ritz.lobpcg(a, X, max_products=10, verify=False, largest=False)
    assert res.status is Status.max_products
    assert not res.verified


def test_nonfinite_and_exceptions():
    a = laplacian(8)
    calls = []

    def block(X):
        calls.append(1)
        if len(calls) == 6:
            raise KeyError("mine")
        return a @ X * (np.nan if len(calls) == 3 else 1.0)

    assert ritz.lobpcg(block, guesses(64, 2)).status is Status.nonfinite
    calls[:] = [1] * 3
    with pytest.raises(KeyError, match="mine"):
        ritz.lobpcg(block, guesses(64, 2))


def test_seeds_and_plot():
    a = laplacian(10)
    X = guesses(100, 3)
    res = ritz.lobpcg(a, X, history=True)
    np.testing.assert_array_equal(res.V, ritz.lobpcg(a, X).V)
    assert len(res.history) == res.iterations
    pytest.importorskip("matplotlib").use("Agg")
    ax = res.plot()
    assert ax.get_xlabel() == "iteration"
    assert ax.get_yscale() == "log"
    with pytest.raises(ValueError, match="history=True"):
        ritz.lobpcg(a, X).plot()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones((5, 2))}, "X has 5 rows"),
        ({"X": np.ones((16, 0))}, "X has shape"),
        ({"X": np.ones((16, 17))}, "A has only n = 16"),
        ({"M": np.eye(4)}, "M has shape"),
        ({"B": np.eye(4)}, "B has shape"),
        ({"Y": np.ones((4, 1))}, "Y has shape"),
        ({"Y": np.eye(16)[:, :15]}, "beside 15 constraints"),
        ({"tol": -1}, "tol is -1"),
        ({"maxiter": 0}, "maxiter is 0"),
    ],
)
def test_misuse(arguments, message):
    given = {"X": guesses(16, 2), **arguments}
    with pytest.raises(ValueError, match=message):
        ritz.lobpcg(laplacian(4), given.pop("X"), **given)
