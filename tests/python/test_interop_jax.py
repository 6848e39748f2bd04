"""JAX: compiled closures get the memory itself, and nothing runs where it would deadlock."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import spd, symmetric, vector

jax = pytest.importorskip("jax")
jnp = jax.numpy


@pytest.fixture(autouse=True)
def _x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", True)


def problem(n=30, dtype=np.float64):
    return jnp.asarray(spd(n, 50, dtype)), jnp.asarray(vector(n, dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_same_kind_out(dtype):
    a, b = problem(dtype=dtype)
    for matvec in (jax.jit(lambda x: a @ x), lambda x: a @ x):
        A = ritz.LinearOperator((30, 30), matvec)
        res = ritz.cg(A, b)
        assert isinstance(res.x, jax.Array)
        assert res.x.dtype == dtype
        assert jnp.linalg.norm(a @ res.x - b) <= 2e-5 * jnp.linalg.norm(b)
        y = A @ b
        assert isinstance(y, jax.Array)
        np.testing.assert_allclose(y, a @ b, rtol=1e-4)
        X = jnp.stack([b, 2 * b], axis=1)
        np.testing.assert_allclose(A @ X, a @ X, rtol=1e-4)
    assert isinstance(ritz.cg(a, b).x, jax.Array)
    np.testing.assert_array_equal(ritz.cg(a, b).x, ritz.cg(np.asarray(a), np.asarray(b)).x)


def test_what_closures_get():
    a, b = problem()
    seen = []

    def matvec(x):
        seen.append(type(x))
        return a @ x

    ritz.cg(ritz.LinearOperator((30, 30), matvec), b)
    assert all(issubclass(t, jax.Array) for t in seen)
    traced = []

    @jax.jit
    def compiled(x):
        traced.append(1)
        return a @ x

    ritz.cg(ritz.LinearOperator((30, 30), compiled), b)
    assert len(traced) == 1  # one shape and dtype, one compilation


def test_compiled_closures_tell_their_kind():
    a, b = problem()
    A = ritz.LinearOperator((30, 30), jax.jit(lambda x: a @ x))
    assert isinstance(ritz.eigsh(A, 2).V, jax.Array)
    assert isinstance(ritz.cg(A, np.asarray(b)).x, np.ndarray)
    assert abs(ritz.trace(A).value - jnp.trace(a)) < 1e-10
    plain = ritz.LinearOperator((30, 30), lambda x: a @ x)
    assert isinstance(ritz.eigsh(plain, 2, like=b).V, jax.Array)
    assert isinstance(ritz.eigsh(plain, 2, v0=b).V, jax.Array)
    declared = ritz.LinearOperator((30, 30), lambda x: a @ x, dtype=jnp.float64)
    assert isinstance(ritz.eigsh(declared, 2).V, jax.Array)


def test_the_result_outlives_the_run_and_is_aligned():
    a, b = problem(n=512)
    x = ritz.cg(a, b).x
    kept = np.asarray(x).copy()
    for seed in range(5):
        ritz.cg(a, jnp.asarray(vector(512, seed=seed)))
    np.testing.assert_array_equal(x, kept)
    assert np.asarray(x).ctypes.data % 64 == 0


def test_nonlinear_methods():
    t = jnp.linspace(0, 3, 40)
    y = 2.0 * jnp.exp(-1.5 * t)

    @jax.jit
    def fun(x):
        return x[0] * jnp.exp(-x[1] * t) - y

    jvp = jax.jit(lambda x, v: jax.jvp(fun, (x,), (v,))[1])
    vjp = jax.jit(lambda x, u: jax.vjp(fun, x)[1](u)[0])
    x0 = jnp.ones(2)
    res = ritz.least_squares(fun, x0, jvp=jvp, vjp=vjp)
    assert res.converged
    assert isinstance(res.x, jax.Array)
    np.testing.assert_allclose(res.x, [2.0, 1.5], rtol=1e-6)

    def linearize(x):
        z, forward = jax.linearize(fun, x)
        back = jax.linear_transpose(forward, x)
        return z, forward, lambda u: back(u)[0]

    np.testing.assert_allclose(
        ritz.least_squares(None, x0, linearize=linearize).x, [2.0, 1.5], rtol=1e-6
    )
    np.testing.assert_allclose(
        ritz.least_squares(fun, x0, jax.jit(jax.jacobian(fun))).x, [2.0, 1.5], rtol=1e-6
    )
    loss = ritz.losses.HalfSquared(np.zeros(40))
    assert ritz.minimize(fun, x0, loss=loss, jvp=jvp, vjp=vjp).converged
    report = ritz.check(fun, x0, jvp=jvp, vjp=vjp)
    assert report.passed, report


def test_64_bits_switched_off():
    jax.config.update("jax_enable_x64", False)
    a, b = problem(dtype=np.float32)
    A = ritz.LinearOperator((30, 30), jax.jit(lambda x: a @ x))
    assert ritz.cg(A, b).x.dtype == jnp.float32
    with pytest.raises(TypeError, match=r"jax_enable_x64"):
        ritz.cg(A, np.ones(30))
    with pytest.raises(TypeError, match=r"jax_enable_x64"):
        ritz.cg(np.eye(30), b)


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (jax.jit(lambda x: x.astype(jnp.float32)), TypeError, "float32.*works in float64"),
        (jax.jit(lambda x: x[:3]), ValueError, "30 elements"),
        (lambda x: np.asarray(x), TypeError, "numpy.ndarray.*called with a jax.Array"),
        (lambda x: None, TypeError, "returned None"),
    ],
)
def test_results_that_cannot_be_used(f, error, words):
    _, b = problem()
    with pytest.raises(error, match=words):
        ritz.cg(ritz.LinearOperator((30, 30), f), b)


def test_jax_arrays_cannot_be_filled():
    a, b = problem()
    with pytest.raises(TypeError, match=r"JAX arrays do not allow"):
        ritz.cg(ritz.LinearOperator((30, 30), lambda x, out: None, out=True), b)
    with pytest.raises(TypeError, match=r"out is a JAX array"):
        ritz.cg(a, b, out=b)


def test_tracers_are_refused():
    a, b = problem()
    for transform in (jax.jit, jax.grad, jax.vmap):

        def f(x):
            return ritz.cg(a, x).x.sum()

        with pytest.raises(TypeError, match=r"b is a JAX tracer.*outside of jit"):
            transform(f)(b if transform is not jax.vmap else jnp.stack([b, b]))


def test_runs_under_a_trace_are_refused():
    a, b = problem()
    matvec = jax.jit(lambda x: a @ x)

    def f(s):
        ritz.cg(ritz.LinearOperator((30, 30), matvec), np.asarray(b))
        return s**2

    for transform in (jax.jit, jax.grad):
        with pytest.raises(TypeError, match=r"being traced"):
            transform(f)(1.0)


def test_runs_inside_callbacks_are_refused():
    a, b = problem()
    matvec = jax.jit(lambda x: a @ x)
    errors = []

    def host(x):
        try:
            ritz.cg(ritz.LinearOperator((30, 30), matvec), np.asarray(x))
        except TypeError as error:
            errors.append(str(error))
        return np.asarray(x)

    shape = jax.ShapeDtypeStruct((30,), jnp.float64)
    jax.block_until_ready(jax.jit(lambda x: jax.pure_callback(host, shape, x))(b))
    assert len(errors) == 1
    assert "callback" in errors[0]


def test_numpy_operators_may_run_inside_callbacks():
    a, b = spd(30, 50), problem()[1]

    def host(x):
        return ritz.cg(a, np.asarray(x)).x

    shape = jax.ShapeDtypeStruct((30,), jnp.float64)
    x = jax.jit(lambda x: jax.pure_callback(host, shape, x))(b)
    np.testing.assert_allclose(a @ np.asarray(x), b, atol=1e-4)


def test_callback_sees_arrays():
    a, b = problem()
    kept = []
    res = ritz.cg(a, b, callback=lambda s: kept.append(s.x))
    assert isinstance(kept[0], jax.Array)
    np.testing.assert_array_equal(kept[-1], res.x)


def test_eigsh_of_an_array():
    a = jnp.asarray(symmetric(np.linspace(0, 1, 40)))
    res = ritz.eigsh(a, 2)
    assert isinstance(res.V, jax.Array)
    np.testing.assert_allclose(res.w, np.linspace(0, 1, 40)[-2:], atol=1e-12)


def test_products_from_the_left():
    a = jnp.arange(12.0).reshape(4, 3)
    A = ritz.aslinearoperator(a)
    np.testing.assert_allclose(jnp.ones(4) @ A, jnp.ones(4) @ a)
    np.testing.assert_allclose(jnp.ones((2, 4)) @ A, jnp.ones((2, 4)) @ a)
