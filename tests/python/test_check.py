"""ritz.check passes true derivatives and catches wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import spd, symmetric, vector

M = np.random.default_rng(0).standard_normal((7, 4))


def fun(x):
    return np.tanh(M @ x) ** 2


def jac(x):
    t = np.tanh(M @ x)
    return (2 * t * (1 - t**2))[:, None] * M


def jvp(x, v):
    return jac(x) @ v


def vjp(x, u):
    return jac(x).T @ u


X = vector(4, seed=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_true_derivatives_pass(dtype):
    m = M.astype(dtype)

    def f(x):
        return np.tanh(m @ x) ** 2

    def j(x):
        t = np.tanh(m @ x)
        return (2 * t * (1 - t**2))[:, None] * m

    report = ritz.check(f, X.astype(dtype), jvp=lambda x, v: j(x) @ v, vjp=lambda x, u: j(x).T @ u)
    assert report.passed, report
    names = [row.name for row in report.rows]
    assert names == [
        "fun echo",
        "jvp echo",
        "jvp linearity",
        "vjp echo",
        "vjp linearity",
        "adjoint identity",
        "jvp Taylor slope",
    ]
    # In float32 rounding leaves few small steps to tell the order by.
    slope = report["jvp Taylor slope"].value
    assert abs(slope - 2.0) < (0.4 if dtype is np.float32 else 0.05)


@pytest.mark.parametrize("seed", range(20))
def test_true_derivatives_pass_for_any_direction(seed):
    assert ritz.check(fun, X, jvp=jvp, vjp=vjp, seed=seed).passed


@pytest.mark.parametrize(
    ("wrong", "row"),
    [
        ({"jvp": lambda x, v: 1.001 * jvp(x, v)}, "jvp Taylor slope"),
        ({"jvp": lambda x, v: jvp(x, v) + 1e-4}, "jvp linearity"),
        ({"vjp": lambda x, u: 1.001 * vjp(x, u)}, "adjoint identity"),
        ({"vjp": lambda x, u: np.abs(vjp(x, u))}, "vjp linearity"),
        ({"vjp": lambda x, u: vjp(x, u).astype(np.float32)}, "vjp echo"),
        ({"jvp": lambda x, v: jvp(x, v)[:-1]}, "jvp echo"),
        ({"jvp": lambda x, v: None}, "jvp echo"),
        ({"vjp": lambda x, u: list(vjp(x, u))}, "vjp echo"),
        ({"fun": lambda x: fun(x).astype(np.float32)}, "fun echo"),
    ],
)
def test_wrong_derivatives_fail_where_they_are_wrong(wrong, row):
    given = {"fun": fun, "jvp": jvp, "vjp": vjp, **wrong}
    f = given.pop("fun")
    report = ritz.check(f, X, **given)
    assert not report.passed
    assert not report[row].passed


def test_hessian_products():
    s = symmetric([1.0, 2.0, 3.0, 4.0])

    def gradient(x):
        return s @ x + x**3

    def product(x, v):
        return s @ v + 3 * x**2 * v

    def value(x):
        return float(x @ s @ x / 2 + np.sum(x**4) / 4)

    for f in (gradient, value, fun, None):
        report = ritz.check(f, X, hessian_product=product)
        assert report.passed, report
        assert report["hessian symmetry"].passed
        assert any("Taylor" in r.name for r in report.rows) == (f in (gradient, value))
    skew = s + np.triu(np.ones((4, 4)), 1)
    report = ritz.check(None, X, hessian_product=lambda x, v: skew @ v)
    assert not report["hessian symmetry"].passed
    for f in (gradient, value):
        report = ritz.check(f, X, hessian_product=lambda x, v: 1.01 * product(x, v))
        assert not report["hessian Taylor slope"].passed


def test_linear_functions_have_no_remainder():
    report = ritz.check(lambda x: M @ x, X, jvp=lambda x, v: M @ v, vjp=lambda x, u: M.T @ u)
    assert report.passed
    assert "rounding" in report["jvp Taylor slope"].note


def test_operators():
    a = spd(6, 10)
    A = ritz.LinearOperator((6, 6), lambda x: a @ x, lambda u: a.T @ u)
    report = ritz.check(A)
    assert report.passed
    assert [r.name for r in report.rows] == ["linearity", "adjoint identity"]
    wrong = ritz.LinearOperator((6, 6), lambda x: a @ x, lambda u: 2 * a.T @ u)
    assert not ritz.check(wrong)["adjoint identity"].passed
    skew = ritz.LinearOperator((6, 6), lambda x: np.triu(a) @ x, symmetric=True)
    assert not ritz.check(skew)["symmetry"].passed
    c = a.astype(complex) + 1j * np.triu(a)
    assert ritz.check(ritz.aslinearoperator(c)).passed
    assert ritz.check(ritz.LinearOperator((6, 6), lambda x: a @ x)).passed


def test_report_is_an_aligned_table():
    report = ritz.check(fun, X, jvp=jvp, vjp=lambda x, u: 2 * vjp(x, u))
    lines = str(report).splitlines()
    assert len(lines) == len(report.rows)
    column = {line.find(" ok") if " ok" in line else line.find(" FAILED") for line in lines}
    assert len(column) == 1
    with pytest.raises(KeyError):
        report["no such row"]


def test_misuse():
    with pytest.raises(TypeError, match="x is missing"):
        ritz.check(fun)
    with pytest.raises(TypeError, match="vjp is given alone"):
        ritz.check(None, X, vjp=vjp)
    with pytest.raises(TypeError, match="complex"):
        ritz.check(fun, X.astype(complex))
    with pytest.raises(TypeError, match="checked by itself"):
        ritz.check(ritz.identity(3), X)
