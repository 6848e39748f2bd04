"""Nonlinear least squares and other losses on problems with known answers."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import rectangular, vector
from ritz import Status
from ritz.losses import CrossEntropy, HalfSquared, SquaredError


def rosenbrock(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def rosenbrock_jac(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def curve(t, y):
    """Fit y = a exp(−b t) + c."""

    def fun(x):
        return x[0] * np.exp(-x[1] * t) + x[2] - y

    def jac(x):
        e = np.exp(-x[1] * t)
        return np.stack([e, -x[0] * t * e, np.ones_like(t)], axis=1)

    return fun, jac


T = np.linspace(0, 4, 50)
TRUE = np.array([2.5, 1.3, 0.5])
FUN, JAC = curve(T, curve(T, 0.0)[0](TRUE))
START = np.array([1.0, 0.5, 0.0])


def products(jac):
    return {"jvp": lambda x, v: jac(x) @ v, "vjp": lambda x, u: jac(x).T @ u}


def test_rosenbrock():
    res = ritz.least_squares(rosenbrock, [-1.2, 1.0], **products(rosenbrock_jac))
    assert res.converged
    assert res.info == 0
    np.testing.assert_allclose(res.x, [1, 1], atol=1e-6)
    assert res.cost < 1e-12
    assert res.reason in ("gradient", "cost", "step")


def test_the_four_ways_to_give_derivatives_agree():
    def linearize(x):
        j = JAC(x)
        return FUN(x), (lambda v: j @ v), (lambda u: j.T @ u)

    by_products = ritz.least_squares(FUN, START, **products(JAC))
    by_matrix = ritz.least_squares(FUN, START, JAC)
    by_linearization = ritz.least_squares(None, START, linearize=linearize)
    by_both = ritz.least_squares(FUN, START, linearize=linearize)
    for res in (by_products, by_matrix, by_linearization, by_both):
        assert res.converged
        np.testing.assert_allclose(res.x, TRUE, atol=1e-6)
        assert res.iterations == by_products.iterations


def test_linearizations_are_made_once_a_point():
    points = []

    def linearize(x):
        points.append(x.copy())
        j = JAC(x)
        return FUN(x), (lambda v: j @ v), (lambda u: j.T @ u)

    res = ritz.least_squares(None, START, linearize=linearize)
    assert res.converged
    assert len(points) == len({p.tobytes() for p in points})
    assert len(points) == res.evaluations


def test_counts_are_the_closures_own():
    calls = {"fun": 0, "jvp": 0, "vjp": 0}

    def counted(name, f):
        def g(*args):
            calls[name] += 1
            return f(*args)

        return g

    p = products(JAC)
    res = ritz.least_squares(
        counted("fun", FUN), START, jvp=counted("jvp", p["jvp"]), vjp=counted("vjp", p["vjp"])
    )
    assert res.evaluations == calls["fun"]
    assert res.products == (calls["jvp"], calls["vjp"], 0)


def test_linear_problems_and_l2():
    a, b = rectangular(30, 10, 10), vector(30)
    res = ritz.least_squares(
        lambda x: a @ x - b, np.zeros(10), lambda x: a, l2=0.3, gtol=1e-12, ftol=1e-15, xtol=1e-12
    )
    exact = np.linalg.solve(a.T @ a + 0.3 * np.eye(10), a.T @ b)
    np.testing.assert_allclose(res.x, exact, atol=1e-6)
    r = a @ res.x - b
    np.testing.assert_allclose(res.cost, r @ r / 2 + 0.15 * res.x @ res.x, rtol=1e-10)
    np.testing.assert_allclose(res.gradient_norm, np.linalg.norm(a.T @ r + 0.3 * res.x), atol=1e-8)


def test_float32():
    res = ritz.least_squares(
        lambda x: FUN(x).astype(np.float32),
        START.astype(np.float32),
        lambda x: JAC(x).astype(np.float32),
        ftol=1e-6,
        xtol=1e-6,
        gtol=1e-5,
    )
    assert res.x.dtype == np.float32
    assert res.converged
    np.testing.assert_allclose(res.x, TRUE, atol=1e-3)


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_scale_of_the_residual_changes_nothing(factor):
    base = ritz.least_squares(FUN, START, JAC)
    res = ritz.least_squares(lambda x: FUN(x) * factor, START, lambda x: JAC(x) * factor)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 1
    np.testing.assert_allclose(res.x, base.x, rtol=1e-6)


def test_a_failed_trial_counts_as_infinite_cost():
    def fun(x):
        if x[0] <= 0:
            raise ritz.EvaluationFailed("log of a negative number")
        return np.array([np.log(x[0]), np.log(x[0])])

    res = ritz.least_squares(fun, [np.exp(2.0) * 2], lambda x: np.array([[1 / x[0]], [1 / x[0]]]))
    assert res.converged
    np.testing.assert_allclose(res.x, [1.0], atol=1e-6)
    assert res.evaluations > res.accepted + 1  # some trial was refused


def test_a_model_undefined_at_the_start():
    def fun(x):
        raise ritz.EvaluationFailed

    res = ritz.least_squares(fun, [1.0], lambda x: np.eye(1))
    assert res.status is Status.evaluation_failed
    assert res.info < 0
    res = ritz.least_squares(lambda x: x * np.nan, [1.0], lambda x: np.eye(1))
    assert res.status is Status.evaluation_failed


def test_other_exceptions_pass_unchanged():
    def fun(x):
        if x[0] != 1.0:
            raise KeyError("mine")
        return np.array([x[0]])

    with pytest.raises(KeyError, match="mine"):
        ritz.least_squares(fun, [1.0], lambda x: np.eye(1))


def test_points_may_be_kept():
    kept = []

    def fun(x):
        kept.append(x)
        return FUN(x)

    ritz.least_squares(fun, START, JAC)
    np.testing.assert_array_equal(kept[0], START)
    assert len({p.tobytes() for p in kept}) == len(kept)


def test_preconditioner_is_used():
    made = []

    def preconditioner(x, damping):
        m = JAC(x).T @ JAC(x) + np.diag(damping)
        made.append(1)
        return lambda r: np.linalg.solve(m, r)

    res = ritz.least_squares(FUN, START, **products(JAC), preconditioner=preconditioner)
    assert res.converged
    np.testing.assert_allclose(res.x, TRUE, atol=1e-6)
    assert made
    # The preconditioner is the inverse: one inner iteration or two a step.
    assert res.inner_iterations <= 2 * res.iterations


def test_limits_and_workspace():
    res = ritz.least_squares(FUN, START, JAC, max_iterations=1)
    assert res.status is Status.max_iterations
    assert res.info == 1
    ws = ritz.Workspace("least_squares", 50, 3)
    first = ritz.least_squares(FUN, START, JAC, workspace=ws)
    second = ritz.least_squares(FUN, START, JAC, workspace=ws)
    np.testing.assert_array_equal(first.x, second.x)


def test_callback_sees_the_trial_steps():
    rows = []
    res = ritz.least_squares(
        FUN,
        START,
        JAC,
        callback=lambda s: rows.append(
            (s.iteration, s.cost, s.change, s.gain_ratio, s.inner_iterations, s.x.copy())
        ),
    )
    assert len(rows) == res.iterations
    assert rows[-1][0] == res.iterations
    np.testing.assert_allclose(rows[-1][1], res.cost)
    np.testing.assert_array_equal(rows[-1][5], res.x)


# ------------------------------------------------------------------------------------------ losses


def softmax_problem(n=40, features=5, classes=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, features))
    y = rng.integers(0, classes, n)

    def model(w):
        return (X @ w.reshape(features, classes)).ravel()

    jvp = lambda w, v: model(v)  # noqa: E731
    vjp = lambda w, u: (X.T @ u.reshape(n, classes)).ravel()  # noqa: E731
    return model, jvp, vjp, y, features * classes


def test_cross_entropy_reaches_the_optimum():
    model, jvp, vjp, y, n = softmax_problem()
    loss = CrossEntropy(y)
    res = ritz.minimize(model, np.zeros(n), loss=loss, jvp=jvp, vjp=vjp, l2=0.1)
    assert res.converged
    gradient = vjp(res.x, loss.gradient(model(res.x))) + 0.1 * res.x
    assert np.linalg.norm(gradient) < 1e-5
    np.testing.assert_allclose(
        res.cost, loss.value(model(res.x)) + 0.05 * res.x @ res.x, rtol=1e-12
    )


@pytest.mark.parametrize(
    "loss",
    [HalfSquared(), HalfSquared(vector(12)), SquaredError(vector(12)), CrossEntropy([0, 2, 1, 1])],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_closed_forms_are_derivatives(loss, dtype):
    z = vector(12, dtype, 5)
    report = ritz.check(loss.gradient, z, hessian_product=loss.hessian_product)
    assert report.passed, report
    assert loss.gradient(z).dtype == dtype
    if dtype is np.float64:
        u = vector(12, seed=6)
        h = 1e-6
        slope = (loss.value(z + h * u) - loss.value(z - h * u)) / (2 * h)
        np.testing.assert_allclose(slope, loss.gradient(z) @ u, rtol=1e-7)


def test_cross_entropy_values():
    loss = CrossEntropy([1, 0])
    np.testing.assert_allclose(loss.value(np.zeros(4)), np.log(2))
    # No overflow where the exponentials would.
    assert loss.value(np.array([0.0, 1e4, 1e4, 0.0])) == 0.0
    np.testing.assert_allclose(loss.value(np.array([1e4, 0.0, 0.0, 0.0])), (1e4 + np.log(2)) / 2)
    # A new point is not answered from the last one's softmax.
    z = np.zeros(4)
    loss.gradient(z)
    z[0] = 3.0
    np.testing.assert_allclose(loss.gradient(z), CrossEntropy([1, 0]).gradient(z))


def test_minimize_with_half_squared_is_least_squares():
    a = ritz.least_squares(FUN, START, **products(JAC))
    b = ritz.minimize(FUN, START, loss=HalfSquared(), **products(JAC))
    np.testing.assert_array_equal(a.x, b.x)
    t = np.ones(50)
    c = ritz.minimize(lambda x: FUN(x) + t, START, loss=HalfSquared(t), **products(JAC))
    np.testing.assert_allclose(c.x, a.x, rtol=1e-6)


def test_a_loss_of_ones_own():
    class Huberish:
        """Σ √(1 + z²) − 1"""

        def value(self, z):
            return float(np.sum(np.sqrt(1 + z**2) - 1))

        def gradient(self, z):
            return z / np.sqrt(1 + z**2)

        def hessian_product(self, z, u):
            return u / (1 + z**2) ** 1.5

    a, b = rectangular(40, 4, 5), 10 * vector(40)
    res = ritz.minimize(
        lambda x: a @ x - b,
        np.zeros(4),
        loss=Huberish(),
        jvp=lambda x, v: a @ v,
        vjp=lambda x, u: a.T @ u,
    )
    assert res.converged
    assert np.linalg.norm(a.T @ Huberish().gradient(a @ res.x - b)) < 1e-4


@pytest.mark.parametrize("which", ["jvp", "vjp"])
@pytest.mark.parametrize("at", [4, 12])
def test_nonfinite_products_end_the_run_and_name_the_iteration(which, at):
    calls = []

    def spoiled(f):
        def g(x, v):
            calls.append(1)
            return f(x, v) * (np.nan if len(calls) == at else 1.0)

        return g

    p = products(JAC)
    p[which] = spoiled(p[which])
    res = ritz.least_squares(FUN, START, **p)
    assert res.status is Status.nonfinite
    assert res.info < 0
    assert f"at iteration {res.iterations}:" in res.message
    assert np.isfinite(res.x).all()
