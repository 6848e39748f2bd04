"""`ritz.jax.solve` against the derivatives of jnp.linalg.solve."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import ritz
from problems import spd, vector

jax = pytest.importorskip("jax")
jnp = jax.numpy

import ritz.jax  # noqa: E402
from ritz import _traced  # noqa: E402

check_grads = pytest.importorskip("jax.test_util").check_grads

N = 6
GENERAL = [m for m in ("gmres", "bicgstab") if hasattr(ritz, m)]
# Each starts to run when the method arrives.
general = pytest.mark.parametrize(
    "method", GENERAL or [pytest.param("", marks=pytest.mark.skip("no general method"))]
)


@pytest.fixture(autouse=True)
def _x64():
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", True)


def problem(dtype=np.float64):
    """S and b, θ: the operator is S + diag(θ)."""
    real = np.empty(0, dtype).real.dtype
    theta = np.random.default_rng(0).random(N).astype(real) + real.type(0.5)
    return jnp.asarray(spd(N, 20, dtype)), jnp.asarray(vector(N, dtype)), jnp.asarray(theta)


def skewed(s):
    """A nonsymmetric matrix, S plus a skew one."""
    k = vector(N * N, np.float64, seed=3).reshape(N, N)
    return s + 0.1 * (k - k.T)


def dense(s, b, theta):
    return jnp.linalg.solve(s + jnp.diag(theta), b)


def solve(s, b, theta, **options):
    return ritz.jax.solve(lambda x: s @ x + theta * x, b, **{"rtol": 1e-13, **options})


def loss(f, s):
    def value(b, theta):
        x = f(s, b, theta)
        return jnp.sin(x.real).sum() + jnp.cos(2 * x.imag).sum()

    return value


def close(a, b, rtol=1e-9):
    a, b = jax.tree.leaves(a), jax.tree.leaves(b)
    for x, y in zip(a, b, strict=True):
        assert isinstance(x, jax.Array)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol * float(jnp.abs(y).max()))


def pair(b):
    return jnp.stack([b, 2 * b])


TRANSFORMS = {
    "none": lambda f, b, t: f(b, t),
    "jit": lambda f, b, t: jax.jit(f)(b, t),
    "grad": lambda f, b, t: jax.grad(f, (0, 1))(b, t),
    "jit of grad": lambda f, b, t: jax.jit(jax.grad(f, (0, 1)))(b, t),
    "grad of jit": lambda f, b, t: jax.grad(jax.jit(f), (0, 1))(b, t),
    "vmap": lambda f, b, t: jax.vmap(f, (0, None))(pair(b), t),
    "vmap over parameters": lambda f, b, t: jax.vmap(f, (None, 0))(b, pair(t)),
    "vmap of grad": lambda f, b, t: jax.vmap(jax.grad(f, (0, 1)), (0, None))(pair(b), t),
    "grad of vmap": lambda f, b, t: jax.grad(
        lambda bs, t: jax.vmap(f, (0, None))(bs, t).sum(), (0, 1)
    )(pair(b), t),
    "jit of constants": lambda f, b, t: jax.jit(lambda c: c * f(b, t))(2.0),
}
REAL_TRANSFORMS = {
    "jvp": lambda f, b, t: jax.jvp(f, (b, t), (t, b)),
    "jit of jvp": lambda f, b, t: jax.jit(lambda b, t: jax.jvp(f, (b, t), (t, b)))(b, t),
    "jvp of grad": lambda f, b, t: jax.jvp(jax.grad(f, (0, 1)), (b, t), (t, b)),
    "grad of grad": lambda f, b, t: jax.grad(lambda t: (jax.grad(f, 1)(b, t) ** 2).sum())(t),
    "jacrev of grad": lambda f, b, t: jax.jacrev(jax.grad(f, 1), 0)(b, t),
    "hessian in jit": lambda f, b, t: jax.jit(jax.hessian(f, 1))(b, t),
}


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name, dtype):
    s, b, theta = problem(dtype)
    transform = TRANSFORMS[name]
    close(transform(loss(solve, s), b, theta), transform(loss(dense, s), b, theta))


@pytest.mark.parametrize("name", REAL_TRANSFORMS)
def test_higher_order_and_forward_mode(name):
    s, b, theta = problem()
    transform = REAL_TRANSFORMS[name]
    close(transform(loss(solve, s), b, theta), transform(loss(dense, s), b, theta))


def test_differences():
    s, b, theta = problem()
    check_grads(jax.jit(lambda b, t: solve(s, b, t)), (b, theta), order=2)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_single_precision(compile_):
    jax.config.update("jax_enable_x64", False)
    s, b, theta = problem(np.float32)
    f = compile_(loss(lambda s, b, t: solve(s, b, t, rtol=1e-5), s))
    close(jax.grad(f, (0, 1))(b, theta), jax.grad(loss(dense, s), (0, 1))(b, theta), rtol=1e-3)


def test_compiled_closures_and_matrices():
    s, b, theta = problem()
    product = jax.jit(lambda t, x: s @ x + t * x)

    def of_function(s, b, t):
        return ritz.jax.solve(lambda x: product(t, x), b, rtol=1e-13)

    def of_matrix(s, b, t):
        return ritz.jax.solve(s + jnp.diag(t), b, rtol=1e-13)

    for f in (of_function, of_matrix):
        for compile_ in (lambda f: f, jax.jit):
            close(
                jax.grad(compile_(loss(f, s)), (0, 1))(b, theta),
                jax.grad(loss(dense, s), (0, 1))(b, theta),
            )


def test_closures_that_change_between_calls():
    s, b, theta = problem()

    class Model:
        def product(self, x):
            return s @ x + self.theta * x

    model = Model()
    for scale in (1.0, 2.0):
        model.theta = scale * theta
        got = jax.grad(lambda b: jnp.sin(ritz.jax.solve(model.product, b, rtol=1e-13)).sum())(b)
        want = jax.grad(lambda b: jnp.sin(dense(s, b, scale * theta)).sum())(b)  # noqa: B023
        close(got, want)


def test_products_with_hessians():
    s, b, theta = problem()
    w = jnp.zeros(N)

    def by_hessian(s, b, t):
        def energy(w):
            return (w @ s @ w) / 2 + (t * jnp.cosh(w)).sum()

        return ritz.jax.solve(lambda v: jax.jvp(jax.grad(energy), (w,), (v,))[1], b, rtol=1e-13)

    want = jax.grad(loss(dense, s), (0, 1))(b, theta)
    close(jax.grad(loss(by_hessian, s), (0, 1))(b, theta), want)
    close(jax.jit(jax.grad(loss(by_hessian, s), (0, 1)))(b, theta), want)


@general
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_general_operators(method, given, dtype):
    s, b, theta = problem(dtype)
    a = skewed(s)

    def solve(a, b, t):
        rmatvec = (lambda u: a.conj().T @ u + t * u) if given else None
        return ritz.jax.solve(
            lambda x: a @ x + t * x, b, method=method, rmatvec=rmatvec, rtol=1e-12
        )

    got, want = (jax.grad(loss(f, a), (0, 1)) for f in (solve, dense))
    close(got(b, theta), want(b, theta))
    if method not in _traced.METHODS:
        with pytest.raises(ValueError, match=r"under jit or vmap is solved by 'cg' or 'bicgstab'"):
            jax.jit(got)(b, theta)
        return
    close(jax.jit(got)(b, theta), want(b, theta))
    if dtype is np.float64:
        transform = REAL_TRANSFORMS["hessian in jit"]
        close(transform(loss(solve, a), b, theta), transform(loss(dense, a), b, theta))


@general
def test_an_adjoint_that_is_none(method):
    s, b, _ = problem()
    a = skewed(s)

    def f(b):
        x = ritz.jax.solve(lambda x: a @ x, b, method=method, rmatvec=lambda u: a @ u)
        return jnp.sin(x).sum()

    with pytest.raises(ValueError, match="rmatvec is not the adjoint"):
        jax.grad(f)(b)


def test_a_matvec_that_is_not_self_adjoint():
    s, b, _ = problem()
    a = s + 1e-3 * (skewed(s) - s)  # little enough for cg to converge
    with pytest.raises(ValueError, match="not self-adjoint, which cg needs"):
        jax.grad(lambda b: jnp.sin(ritz.jax.solve(lambda x: a @ x, b, rtol=1e-7)).sum())(b)


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cotangents_of_any_size(dtype, size, compile_):
    s, b, theta = problem(dtype)
    g = jnp.asarray(vector(N, dtype, seed=5))
    grads = []
    for scale in (1.0, size):
        _, pull = jax.vjp(compile_(lambda b, t: solve(s, b, t, rtol=1e-4)), b, theta)
        grads.append([np.asarray(v) / np.asarray(scale, dtype) for v in pull(g * scale)])
    for one, other in zip(*grads, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5)
        assert np.all(one != 0)


def test_no_solve_for_no_cotangent():
    s, b, theta = problem()
    account = ritz.jax.Account()
    got = jax.grad(lambda b, t: 0 * solve(s, b, t, account=account).sum(), (0, 1))(b, theta)
    close(got, (jnp.zeros(N), jnp.zeros(N)))
    assert len(account.forward) == 1
    assert account.adjoint == []


@pytest.mark.parametrize("compile_", [lambda f: f, jax.jit])
def test_accounts_and_outcomes(compile_):
    s, b, theta = problem()
    account = ritz.jax.Account()

    def f(b):
        x, outcome = solve(
            s, b, theta, rtol=1e-5, adjoint_rtol=1e-3, account=account, return_outcome=True
        )
        return jnp.sin(x).sum(), (x, outcome)

    g, (x, outcome) = compile_(jax.grad(f, has_aux=True))(b)
    jax.block_until_ready(g)
    jax.effects_barrier()
    (forward,), (adjoint,) = account.forward, account.adjoint
    for end in (forward, adjoint, outcome):
        assert int(end.status) == ritz.Status.converged
        assert end.residual <= end.target
    assert outcome.target == pytest.approx(1e-5 * float(jnp.linalg.norm(b)))
    residual = float(jnp.linalg.norm(b - s @ x - theta * x))
    assert outcome.residual == pytest.approx(residual, rel=1e-6, abs=1e-15)
    c = jnp.cos(x)
    targets = [1e-3 * float(jnp.linalg.norm(c)), 1e-3 * float(jnp.linalg.norm(c / abs(c).max()))]
    assert any(adjoint.target == pytest.approx(t) for t in targets)


# --------------------------------------------------------------------------------- failures


def test_failures_are_raised():
    s, b, _ = problem()
    with pytest.raises(ritz.jax.SolveFailed, match=r"forward solve by cg.*negative_curv") as e:
        ritz.jax.solve(lambda x: -(s @ x), b)
    assert e.value.result.status is ritz.Status.negative_curvature
    with pytest.raises(ritz.jax.SolveFailed, match=r"adjoint solve by cg.*nonfinite"):
        jax.grad(lambda b: (jnp.nan * ritz.jax.solve(lambda x: s @ x, b)).sum())(b)
    x, outcome = ritz.jax.solve(lambda x: s @ x, b, check=False, maxiter=1, return_outcome=True)
    assert outcome.status == ritz.Status.max_iterations
    np.testing.assert_allclose(x, ritz.cg(s, b, maxiter=1).x)


ENDINGS = {
    # b = e₁ + e₂, and what diag(d) or a preconditioner does with it.
    "converged": ({}, ritz.Status.converged),
    "max_iterations": ({"maxiter": 1}, ritz.Status.max_iterations),
    "negative_curvature": ({"sign": -1.0}, ritz.Status.negative_curvature),
    "indefinite_preconditioner": (
        {"M": lambda r: -r},
        ritz.Status.indefinite_preconditioner,
    ),
    "nonfinite": ({"sign": jnp.nan}, ritz.Status.nonfinite),
    "precision_limit": ({"rtol": 1e-19}, ritz.Status.precision_limit),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_traced_endings_are_those_of_the_compiled_method(name):
    options, status = ENDINGS[name]
    s, b, _ = problem()
    options = {**options}
    s = options.pop("sign", 1.0) * s

    def f(check):
        return lambda b: ritz.jax.solve(
            lambda x: s @ x, b, check=check, return_outcome=True, **options
        )

    _, host = f(False)(b)
    x, traced = jax.jit(f(False))(b)
    assert int(traced.status) == int(host.status) == status
    if status != ritz.Status.precision_limit:  # rounding decides when that is found
        assert abs(int(traced.iterations) - int(host.iterations)) <= 1
    checked, _ = jax.jit(f(True))(b)
    if status == ritz.Status.converged:
        close(checked, x)
    else:
        assert np.all(np.isnan(checked))
    grad = jax.jit(jax.grad(lambda b: f(True)(b)[0].sum()))(b)
    assert np.all(np.isnan(grad)) == (status != ritz.Status.converged)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", ["cg", "bicgstab"])
def test_traced_solvers_know_no_units(method, dtype):
    s, b, _ = problem(dtype)

    @jax.jit
    def run(a, b):
        return _traced.METHODS[method](lambda x: a @ x, b, 1e-5, 0.0, None, None)

    x, end = run(s, b)
    assert int(end.status) == ritz.Status.converged
    np.testing.assert_allclose(x, jnp.linalg.solve(s, b), rtol=1e-3)
    for of_a in (1e-20, 1.0, 1e20):
        for of_b in (1e-20, 1.0, 1e20):
            _, scaled = run(s * dtype(of_a), b * dtype(of_b))
            assert int(scaled.status) == ritz.Status.converged
            assert abs(int(end.iterations) - int(scaled.iterations)) <= 1


@pytest.mark.parametrize("method", ["cg", "bicgstab"])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_traced_solvers_on_larger_systems(method, dtype):
    n = 60
    s, b = jnp.asarray(spd(n, 1e3, dtype)), jnp.asarray(vector(n, dtype))
    if method == "bicgstab":
        k = vector(n * n, np.float64, seed=3).reshape(n, n)
        s = s + 0.01 * (k - k.T)
    d = jnp.diag(s).real

    def run(s, b, M=None):
        return _traced.METHODS[method](lambda x: s @ x, b, 1e-10, 0.0, None, M)

    for x, end in (jax.jit(run)(s, b), run(s, b, lambda r: r / d)):
        residual = jnp.linalg.norm(b - s @ x)
        assert int(end.status) == ritz.Status.converged
        assert residual <= 1.001e-10 * jnp.linalg.norm(b)
        np.testing.assert_allclose(end.residual, residual, rtol=0.1)
    scaled = b * jnp.asarray([1.0, 1e-3, 0.0])[:, None]
    xs, ends = jax.vmap(run, (None, 0))(s, scaled)
    assert jnp.all(ends.status == ritz.Status.converged)
    assert int(ends.iterations[2]) == 0
    np.testing.assert_allclose(xs[1], 1e-3 * xs[0], rtol=1e-6, atol=1e-12)


def test_traced_preconditioners_are_constants():
    s, b, theta = problem()

    def f(s, b, t):
        inverse = jnp.linalg.inv(s + jnp.diag(t))
        return ritz.jax.solve(lambda x: s @ x + t * x, b, M=lambda r: inverse @ r, rtol=1e-12)

    want = jax.grad(loss(dense, s), (0, 1))(b, theta)
    close(jax.grad(loss(f, s), (0, 1))(b, theta), want)
    close(jax.jit(jax.grad(loss(f, s), (0, 1)))(b, theta), want)


def test_guesses_and_preconditioners_outside_of_jit():
    s, b, theta = problem()
    exact = dense(s, b, theta)
    account = ritz.jax.Account()

    def f(b, x0):
        x = solve(s, b, theta, x0=x0, rtol=1e-9, account=account)
        return jnp.sin(x).sum()

    got, of_guess = jax.grad(f, (0, 1))(b, exact)
    close(got, jax.grad(loss(dense, s))(b, theta), rtol=1e-7)
    assert not of_guess.any()
    assert account.forward[0].iterations == 0
    assert account.adjoint[0].iterations > 0
    account = ritz.jax.Account()
    inverse = np.linalg.inv(np.asarray(s + jnp.diag(theta)))
    close(solve(s, b, theta, M=inverse, rtol=1e-9, account=account), exact, rtol=1e-8)
    assert account.forward[0].iterations <= 2


# ------------------------------------------------------------------------------------ operators


CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)


@CALLBACK
def twice(context, x, ldx, y, ldy, columns, stream):
    for j in range(columns):
        source = (ctypes.c_double * N).from_address(x + 8 * j * ldx)
        target = (ctypes.c_double * N).from_address(y + 8 * j * ldy)
        for i in range(N):
            target[i] = 2.0 * source[i]
    return 0


def operators(s):
    n = np.asarray(s)
    sparse = pytest.importorskip("scipy.sparse").csr_array(n)
    return {
        "array": (n, n),
        "sparse": (sparse, n),
        "native": (ritz.native_operator(twice, (N, N), symmetric=True), 2 * np.eye(N)),
        "closures": (ritz.LinearOperator((N, N), lambda x: n @ x, framework="numpy"), n),
    }


OPERATOR_TRANSFORMS = {
    **{k: v for k, v in TRANSFORMS.items() if "parameters" not in k},
    "grad of grad": lambda f, b, t: jax.grad(lambda b: (jax.grad(f)(b, t) ** 2).sum())(b),
}


@pytest.mark.parametrize("kind", ["array", "sparse", "native", "closures"])
@pytest.mark.parametrize("name", OPERATOR_TRANSFORMS)
def test_operators_under_transforms(name, kind):
    s, b, theta = problem()
    operator, matrix = operators(s)[kind]

    def by_ritz(b, t):
        return jnp.sin(t * ritz.jax.solve(operator, b, rtol=1e-13)).sum()

    def by_lapack(b, t):
        return jnp.sin(t * jnp.linalg.solve(jnp.asarray(matrix), b)).sum()

    transform = OPERATOR_TRANSFORMS[name]
    close(transform(by_ritz, b, theta), transform(by_lapack, b, theta))


@general
def test_general_native_operators(method):
    s, b, _ = problem()
    a = skewed(s)
    f = lambda b: jnp.sin(ritz.jax.solve(np.asarray(a), b, method=method, rtol=1e-12)).sum()  # noqa: E731
    want = jax.grad(lambda b: jnp.sin(jnp.linalg.solve(a, b)).sum())(b)
    close(jax.grad(f)(b), want)
    close(jax.jit(jax.grad(f))(b), want)


def test_failures_of_operators():
    s, b, _ = problem()
    f = lambda b: ritz.jax.solve(-np.asarray(s), b, return_outcome=True)  # noqa: E731
    with pytest.raises(ritz.jax.SolveFailed):
        f(b)
    x, outcome = jax.jit(f)(b)
    assert int(outcome.status) == ritz.Status.negative_curvature
    assert np.all(np.isnan(x))


def test_closures_of_jax_are_not_called_back():
    s, b, _ = problem()
    A = ritz.LinearOperator((N, N), lambda x: s @ x)
    close(ritz.jax.solve(A, b, rtol=1e-12), jnp.linalg.solve(s, b))
    with pytest.raises(ValueError, match='declare framework="numpy"'):
        jax.jit(lambda b: ritz.jax.solve(A, b))(b)


# ------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "lsmr"}, ValueError, r"'lsmr'; pass one of 'cg'"),
        ({"b": np.ones((2, 2))}, ValueError, r"shape \(2, 2\)"),
        ({"b": np.ones(2, int)}, TypeError, "b has dtype int64"),
        ({"rtol": -1.0}, ValueError, "rtol is -1.0"),
        ({"maxiter": 0}, ValueError, "maxiter is 0"),
        ({"matvec": np.eye(2), "rmatvec": lambda x: x}, TypeError, "rmatvec is given beside"),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"shifts": [1.0]}, TypeError, "shifts changes what is solved for"),
    ],
)
def test_arguments_that_cannot_be_used(change, error, words):
    given = {"matvec": lambda x: x, "b": np.ones(2), **change}
    matvec, b = given.pop("matvec"), given.pop("b")
    with pytest.raises(error, match=words):
        ritz.jax.solve(matvec, b, **given)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"x0": np.ones(N)}, "x0 is not available under jit"),
        ({"timeout": 1.0}, "timeout is not available under jit"),
        ({"M": np.eye(N)}, "M is no JAX function"),
    ],
)
def test_what_tracing_cannot_do(options, words):
    s, b, theta = problem()
    with pytest.raises(ValueError, match=words):
        jax.jit(lambda b: solve(s, b, theta, **options))(b)
    with pytest.raises(ValueError, match="x0 is traced"):
        jax.jit(lambda b: ritz.jax.solve(np.asarray(s), b, x0=b))(b)


def test_empty_systems():
    b = jnp.zeros(0)
    for compile_ in (lambda f: f, jax.jit):
        assert compile_(lambda b: ritz.jax.solve(lambda x: x, b))(b).shape == (0,)
