"""Forms uᴴ f(A) v between bounds: the brackets hold the value, whatever the operator."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector
from ritz import Status

FUNCTIONS = {
    "inv": lambda x: 1 / x,
    "log": np.log,
    "sqrt": np.sqrt,
    "invsqrt": lambda x: 1 / np.sqrt(x),
    "exp": np.exp,
    ("power", 0.4): lambda x: x**0.4,
    ("power", 1.5): lambda x: x**1.5,
    ("power", 3): lambda x: x**3,
    ("power", -2): lambda x: x**-2.0,
}


def holds(res, truth):
    lower, upper = np.asarray(res.lower), np.asarray(res.upper)
    truth = np.asarray(truth)
    inside = lower.real <= truth.real <= upper.real and lower.imag <= truth.imag <= upper.imag
    return inside and lower.real <= np.real(res.value) <= upper.real


@pytest.mark.parametrize("f", FUNCTIONS, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_brackets_hold_at_every_depth(f, dtype):
    single = eps(dtype) > 1e-10
    for cond in (5.0, 1e4 if single else 1e12):
        # Diagonal, so that the oracle has no rounding of its own to speak of.
        d = np.logspace(-math.log10(cond), 0, 90).astype(np.dtype(dtype).char.lower())
        u = vector(90, dtype)
        truth = np.sum(np.abs(u.astype(complex)) ** 2 * FUNCTIONS[f](d.astype(float)))
        for steps in (1, 2, 4, 10, 30, 90):
            A = ritz.diagonal(d.astype(dtype))
            res = ritz.quadratic_form(
                A, u, f, bounds=(float(d[0]), float(d[-1])), rtol=0.0, maxiter=steps
            )
            assert holds(res, truth), (cond, steps)
            assert res.rigorous
            assert isinstance(res.value, float)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_scale_changes_nothing(factor):
    a, u = symmetric(np.linspace(0.2, 1, 70)), vector(70)
    base = ritz.quadratic_form(a, u, "inv", bounds=(0.1999, 1.001))
    res = ritz.quadratic_form(a * factor, u, "inv", bounds=(0.1999 * factor, 1.001 * factor))
    assert (res.status, res.iterations) == (base.status, base.iterations)
    assert holds(res, u @ np.linalg.solve(a, u) / factor)
    np.testing.assert_allclose(res.value * factor, base.value, rtol=1e-10)


def test_bounds_that_f_needs():
    a, u = symmetric(np.linspace(0.1, 1, 60)), vector(60)
    for f, bounds in (
        ("inv", (0.0999, None)),
        ("log", (0.0999, None)),
        ("exp", (None, 1.001)),
        ("sqrt", None),
        (("power", 0.5), None),
    ):
        res = ritz.quadratic_form(a, u, f, bounds=bounds)
        assert res.rigorous, f
        assert res.converged
    w, V = np.linalg.eigh(a)
    for f in ("inv", "log", "exp"):
        res = ritz.quadratic_form(a, u, f)
        assert not res.rigorous
        assert res.converged
        exact = np.sum((V.T @ u) ** 2 * FUNCTIONS[f](w))
        np.testing.assert_allclose(res.value, exact, rtol=1e-6)


def test_any_function():
    a, u = symmetric(np.linspace(-1, 1, 150)), vector(150)
    w, V = np.linalg.eigh(a)
    seen = []

    def f(x):
        seen.append(x)
        return 1 / (1 + 25 * x**2)

    res = ritz.quadratic_form(a, u, f, rtol=1e-8)
    assert res.converged
    assert not res.rigorous
    exact = np.sum((V.T @ u) ** 2 * f(w))
    np.testing.assert_allclose(res.value, exact, rtol=1e-8)
    assert holds(res, exact)
    assert all(x.dtype == np.float64 for x in seen)


def test_few_distinct_eigenvalues_are_exact():
    a, u = symmetric([1.0] * 30 + [2.0] * 20 + [5.0] * 7), vector(57)
    res = ritz.quadratic_form(a, u, lambda x: np.cos(3 * x), rtol=1e-12)
    assert res.iterations == 3
    w, V = np.linalg.eigh(a)
    np.testing.assert_allclose(res.value, np.sum((V.T @ u) ** 2 * np.cos(3 * w)), rtol=1e-11)
    one = ritz.quadratic_form(ritz.identity(40), np.ones(40), "log")
    assert (one.value, one.iterations) == (0.0, 1)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128, np.float32])
def test_bilinear(dtype):
    a = symmetric(np.linspace(0.2, 1, 80), dtype)
    u, v = vector(80, dtype, 1), vector(80, dtype, 2)
    w, V = np.linalg.eigh(a.astype(np.result_type(dtype, np.float64)))
    for f in ("inv", "log", "exp"):
        exact = (V.conj().T @ u).conj() @ (FUNCTIONS[f](w) * (V.conj().T @ v))
        res = ritz.bilinear_form(a, u, v, f, bounds=(0.1999, 1.001), rtol=1e-3)
        assert res.converged
        assert res.rigorous
        assert holds(res, exact)
        assert abs(res.value - exact) <= 1.5e-3 * abs(exact)
    same = ritz.bilinear_form(a, u, u, "inv", bounds=(0.1999, 1.001), rtol=1e-4)
    once = ritz.quadratic_form(a, u, "inv", bounds=(0.1999, 1.001), rtol=1e-4)
    np.testing.assert_allclose(same.value, once.value, rtol=3e-4)


def test_orthogonal_vectors_need_an_absolute_tolerance():
    d = np.linspace(1, 2, 50)
    u, v = np.zeros(50), np.zeros(50)
    u[:25], v[25:] = 1, 1
    res = ritz.bilinear_form(ritz.diagonal(d), u, v, "inv", bounds=(1, 2), atol=1e-8)
    assert res.converged
    assert abs(res.value) <= 1e-8
    assert holds(res, 0.0)


def test_rounding_is_told():
    d = np.logspace(-12, 0, 60)
    res = ritz.quadratic_form(ritz.diagonal(d), np.ones(60), "inv", bounds=(1e-12, 1), rtol=1e-12)
    assert res.status is Status.precision_limit
    assert holds(res, np.sum(1 / d))


def test_endings():
    a, u = symmetric(np.linspace(0.1, 1, 60)), vector(60)
    indefinite = symmetric(np.linspace(-0.5, 1, 60))
    assert ritz.quadratic_form(indefinite, u, "log").status is Status.negative_curvature
    assert ritz.quadratic_form(a * np.nan, u).status is Status.nonfinite
    assert ritz.quadratic_form(a, u, maxiter=2).status is Status.max_iterations
    assert ritz.quadratic_form(a, u, max_products=3, rtol=0.0).status is Status.max_products
    stopped = ritz.quadratic_form(a, u, rtol=0.0, callback=lambda now: now.iteration == 4)
    assert stopped.status is Status.stopped
    assert ritz.quadratic_form(a, 0 * u) == (0.0, 0.0, 0.0)
    c = Counting(a)
    res = ritz.quadratic_form(ritz.LinearOperator((60, 60), c.matvec), u, history=True)
    assert res.products.total == c.matvecs == res.iterations == len(res.history)


def test_misuse():
    a, u = symmetric(np.linspace(0.1, 1, 20)), vector(20)
    with pytest.raises(ValueError, match="f is 'logarithm'"):
        ritz.quadratic_form(a, u, "logarithm")
    with pytest.raises(ValueError, match="the smaller one first"):
        ritz.quadratic_form(a, u, bounds=(1, 0))
    with pytest.raises(ValueError, match="pass bounds that hold the spectrum"):
        ritz.quadratic_form(a, u, bounds=(0.8, 1), rtol=0.0)
    with pytest.raises(ValueError, match="u has shape"):
        ritz.quadratic_form(a, u[1:])
    with pytest.raises(ValueError, match="square"):
        ritz.quadratic_form(np.ones((3, 4)), u)
    with pytest.raises(ValueError, match="elementwise"):
        ritz.quadratic_form(a, u, lambda x: x[:1])
    with pytest.raises(TypeError, match="real values"):
        ritz.quadratic_form(a, u, lambda x: x * 1j)
    with pytest.raises(ZeroDivisionError):
        ritz.quadratic_form(a, u, lambda x: 1 // 0)
    with pytest.raises(ValueError, match='pass "full" or "none"'):
        ritz.quadratic_form(a, u, reorthogonalize="some")


def test_torch_and_jax_and_trees():
    a, u = symmetric(np.linspace(0.2, 1, 30)), vector(30)
    base = ritz.quadratic_form(a, u)
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(a)
    A = ritz.LinearOperator((30, 30), lambda x: t @ x)
    np.testing.assert_allclose(
        ritz.quadratic_form(A, torch.from_numpy(u)).value, base.value, rtol=1e-12
    )
    tree = {"w": torch.from_numpy(u[:18].reshape(3, 6)), "b": torch.from_numpy(u[18:])}
    A = ritz.LinearOperator((30, 30), lambda x: t @ x, symmetric=True, domain=tree)
    flat = A.domain.flat(tree).numpy()
    np.testing.assert_allclose(
        ritz.quadratic_form(A, tree).value, ritz.quadratic_form(a, flat).value, rtol=1e-12
    )
    np.testing.assert_allclose(
        ritz.bilinear_form(A, tree, tree).value, ritz.quadratic_form(a, flat).value, rtol=4e-6
    )
    jnp = pytest.importorskip("jax.numpy")
    j = jnp.asarray(a, jnp.float32)
    A = ritz.LinearOperator((30, 30), lambda x: j @ x)
    res = ritz.quadratic_form(A, jnp.asarray(u, jnp.float32), rtol=1e-3)
    np.testing.assert_allclose(res.value, base.value, rtol=2e-3)


def test_a_pole_at_an_eigenvalue_is_a_breakdown() -> None:
    for f in ("inv", "log"):
        result = ritz.quadratic_form(np.zeros((5, 5)), np.ones(5), f)
        assert result.status is ritz.Status.breakdown
        assert not result.converged
