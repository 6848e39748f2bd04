"""Functions of operators times vectors against dense functions and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as sla
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector
from ritz import Status

FUNCTIONS = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "invsqrt": lambda x: x**-0.5,
    "inv": lambda x: 1 / x,
    "sign": np.sign,
    "phi1": lambda x: np.expm1(x) / x,
    "phi2": lambda x: (np.expm1(x) - x) / x**2,
}


def dense(a, g, b):
    """f(A) b by the eigendecomposition, in double precision."""
    w, V = np.linalg.eigh(np.asarray(a, complex if np.iscomplexobj(a) else float))
    return V @ (g(w)[:, None] * (V.conj().T @ b.reshape(len(b), -1))).astype(V.dtype)


def laplacian(n):
    return sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")


def grcar(n):
    a = -np.eye(n, k=-1)
    for k in range(4):
        a += np.eye(n, k=k)
    return a


def check(res, exact, slack=10.0):
    """Assert that the stated error covers the true one, and a claim of convergence."""
    truth = np.linalg.norm(np.asarray(res.y).ravel() - exact.ravel())
    assert truth <= slack * res.error
    if res.converged:
        assert res.error <= res.target
        assert res.info == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_by_name(dtype, name):
    a = symmetric(np.logspace(-1, 1, 60), dtype)
    b = vector(60, dtype)
    tol = max(1e-8, 1000 * eps(dtype))
    res = ritz.funm_multiply(a, b, name, rtol=tol)
    y, info = res
    assert res.converged
    assert info == 0
    assert res.method == "lanczos"
    assert y.dtype == dtype
    assert y.shape == (60,)
    exact = dense(a, FUNCTIONS[name], b)[:, 0]
    assert np.linalg.norm(y - exact) <= 2 * tol * np.linalg.norm(exact)
    check(res, exact)
    assert res.products.total == res.iterations + (name == "inv")
    assert res.verified == (name == "inv")


def test_named_with_parameters():
    a = symmetric(np.linspace(1, 9, 50))
    b = vector(50)
    cases = {
        ("power", -0.3): lambda x: x**-0.3,
        ("power", 2): lambda x: x**2,
        ("resolvent", -1.0): lambda x: 1 / (x + 1),
        ("resolvent", 1 + 2j): lambda x: 1 / (x - 1 - 2j),
    }
    for f, g in cases.items():
        res = ritz.funm_multiply(a, b, f, rtol=1e-9)
        assert res.converged
        check(res, dense(a.astype(complex), g, b))
        assert np.iscomplexobj(res.y) == (f == ("resolvent", 1 + 2j))


def test_laplacian_closed_form():
    n, k, t = 300, 3, 40.0
    x = np.sin(np.pi * k * np.arange(1, n + 1) / (n + 1))
    value = 2 - 2 * np.cos(np.pi * k / (n + 1))
    for f, g in {"exp": np.exp(-t * value), "phi1": np.expm1(-t * value) / (-t * value)}.items():
        res = ritz.funm_multiply(laplacian(n), x, f, t=-t)
        assert res.iterations == 1
        np.testing.assert_allclose(res.y, g * x, atol=1e-11)
    # A step of heat from a point, against scipy.
    b = np.zeros(n)
    b[n // 2] = 1.0
    res = ritz.funm_multiply(laplacian(n), b, "exp", t=-t, rtol=1e-10, interval=(0, 4))
    assert res.converged
    assert res.bound
    exact = spla.expm_multiply(-t * laplacian(n), b)
    np.testing.assert_allclose(res.y, exact, atol=1e-10)
    check(res, exact, slack=2.0)


@pytest.mark.parametrize("method", ["lanczos", "chebyshev", "rational"])
@pytest.mark.parametrize("f", ["sqrt", "invsqrt", "log", "inv", ("power", 0.3), "exp", "phi1"])
def test_methods_with_an_interval(method, f):
    if method == "rational" and f in ("exp", "phi1"):
        pytest.skip("no poles on the negative axis")
    spectrum = np.linspace(0.1, 5, 80) ** 2
    a = symmetric(spectrum)
    b = vector(80)
    g = FUNCTIONS[f] if isinstance(f, str) else lambda x: x ** f[1]
    interval = (0.0099, 25.01)
    res = ritz.funm_multiply(
        a, b, f, method=method, interval=interval, rtol=1e-7, maxiter=5000, t=0.5
    )
    assert res.converged
    assert res.bound
    assert res.method == method
    assert (res.poles > 0) == (method == "rational")
    check(res, dense(0.5 * a, g, b), slack=1.5)


def test_callables_and_lists():
    a = symmetric(np.linspace(0.5, 4, 70))
    b = vector(70)
    many = ritz.funm_multiply(a, b, ["exp", "sqrt", ("power", -1)], t=-1.0 + 2.0)
    assert isinstance(many.y, list)
    assert many.errors.shape == (3,)
    for y, g in zip(many.y, [np.exp, np.sqrt, lambda x: 1 / x], strict=True):
        np.testing.assert_allclose(y, dense(a, g, b)[:, 0], rtol=0, atol=1e-5 * np.linalg.norm(y))
    for method in ("lanczos", "arnoldi", "chebyshev"):
        res = ritz.funm_multiply(a, b, [np.cos, lambda x: x**3], method=method, rtol=1e-8)
        assert res.converged
        assert not res.bound
        np.testing.assert_allclose(res.y[0], dense(a, np.cos, b)[:, 0], atol=1e-6)
        np.testing.assert_allclose(res.y[1], a @ (a @ (a @ b)), atol=1e-4)
    constant = ritz.funm_multiply(a, b, lambda x: 2.0)
    np.testing.assert_allclose(constant.y, 2 * b)


def test_decay_beyond_underflow_is_no_convergence():
    a, b = laplacian(200), vector(200)
    w, V = np.linalg.eigh(a.toarray())
    exact = V @ (np.exp(-2000 * w) * (V.T @ b))
    for method in ("lanczos", "arnoldi", "chebyshev"):
        interval = (0, 4) if method == "chebyshev" else None
        res = ritz.funm_multiply(
            a, b, "exp", t=-2000.0, method=method, rtol=1e-8, interval=interval
        )
        assert res.converged
        check(res, exact)
    # An interval that is only estimated reaches where exp(tA) would be huge: no false success.
    assert not ritz.funm_multiply(a, b, "exp", t=-2000.0, method="chebyshev").converged


def test_many_times_from_one_basis():
    a, b = laplacian(120), vector(120)
    times = [0.0, -1.0, -5.0, -20.0, 2j]
    for method in ("lanczos", "arnoldi", "chebyshev"):
        res = ritz.funm_multiply(a, b, [("exp", s) for s in times], method=method, rtol=1e-8)
        assert res.converged
        for y, s in zip(res.y, times, strict=True):
            exact = sla.expm(s * a.toarray()) @ b
            np.testing.assert_allclose(y, exact, atol=1e-7 * np.linalg.norm(exact))


def test_columns_equal_single_runs():
    a = symmetric(np.linspace(1, 4, 40))
    B = vector(120).reshape(40, 3)
    res = ritz.funm_multiply(a, B, "sqrt")
    assert res.y.shape == (40, 3)
    assert len(res.columns) == 3
    for j in range(3):
        np.testing.assert_array_equal(res.y[:, j], ritz.funm_multiply(a, B[:, j], "sqrt").y)
    assert res.products.total == sum(c.products.total for c in res.columns)
    both = ritz.funm_multiply(a, B, ["sqrt", "exp"])
    assert [y.shape for y in both.y] == [(40, 3), (40, 3)]
    np.testing.assert_allclose(both.y[0], res.y, rtol=1e-5, atol=1e-5)
    kept = ritz.funm_multiply(a, B, "sqrt", history=True)
    assert [len(c.history) for c in kept.columns] == [c.iterations - 1 for c in kept.columns]
    assert kept.plot() is not None
    one = ritz.funm_multiply(a, B[:, :1], "sqrt")
    assert one.y.shape == (40,)


def test_second_pass():
    c = Counting(laplacian(400))
    A = ritz.LinearOperator((400, 400), c.matvec, symmetric=True)
    b = vector(400)
    whole = ritz.funm_multiply(A, b, "exp", t=-100.0)
    before = c.matvecs
    res = ritz.funm_multiply(A, b, "exp", t=-100.0, max_basis=10)
    assert res.converged
    assert res.basis_size == 10
    assert res.repeated == res.iterations - 11
    assert res.products == (c.matvecs - before, 0, 0)
    np.testing.assert_allclose(res.y, whole.y, atol=2e-6 * np.linalg.norm(whole.y))


def test_general_matrices_against_scipy():
    n = 100
    b = vector(n)
    rng = np.random.default_rng(0)
    shifted = 2 * np.eye(n) + 0.08 * rng.standard_normal((n, n))
    jordan = 1.5 * np.eye(n) + np.eye(n, k=1)
    cases = [
        (grcar(n), "exp", sla.expm),
        (jordan, "exp", sla.expm),
        (jordan, "log", sla.logm),
        (shifted, "sqrt", sla.sqrtm),
        (shifted, "log", sla.logm),
        (shifted, "sign", sla.signm),
        (shifted, ("power", 0.4), lambda a: sla.fractional_matrix_power(a, 0.4)),
        (shifted, np.exp, sla.expm),
    ]
    for a, f, oracle in cases:
        res = ritz.funm_multiply(a, b, f, rtol=1e-8)
        assert res.method == "arnoldi"
        assert res.converged
        check(res, np.real(oracle(a)) @ b)
    res = ritz.funm_multiply(jordan, b, sla.expm, matrix_function=True, rtol=1e-9)
    assert res.converged
    check(res, sla.expm(jordan) @ b)
    long = ritz.funm_multiply(grcar(n), b, "exp", t=10.0, max_basis=25)
    assert long.converged
    assert long.basis_size == 25
    assert long.iterations > 25
    check(long, sla.expm(10 * grcar(n)) @ b)


def test_nearly_defective_callable_is_refused():
    n = 40
    jordan = np.eye(n) + np.eye(n, k=1)
    b = np.zeros(n)
    b[-1] = 1.0
    res = ritz.funm_multiply(jordan, b, lambda x: 1 / (x + 0.01), rtol=1e-8)
    assert res.status in (Status.precision_limit, Status.breakdown)
    named = ritz.funm_multiply(jordan, b, ("resolvent", -1.5), rtol=1e-8)
    assert named.converged
    check(named, np.linalg.solve(jordan + 1.5 * np.eye(n), b))


def test_sign_with_both_signs_and_complex_time():
    d = np.concatenate([-np.linspace(0.5, 3, 30), np.linspace(0.4, 2, 40)])
    b = vector(70)
    res = ritz.funm_multiply(np.diag(d), b, "sign")
    assert res.converged
    check(res, np.sign(d) * b)
    res = ritz.funm_multiply(np.diag(d), b, "exp", t=-20j)
    assert res.converged
    assert res.y.dtype == np.complex128
    check(res, np.exp(-20j * d) * b)
    single = ritz.funm_multiply(np.diag(d).astype("f4"), b.astype("f4"), "exp", t=1j, rtol=1e-4)
    assert single.y.dtype == np.complex64


def test_breakdown_names_the_value():
    d = np.linspace(-1, 4, 30)
    res = ritz.funm_multiply(np.diag(d), vector(30), "log")
    assert res.status is Status.breakdown
    assert res.info < 0
    assert "not finite at -" in res.message
    assert np.isnan(res.y).all()
    res = ritz.funm_multiply(np.diag(d), vector(30), np.log)
    assert res.status is Status.breakdown
    upper = np.triu(np.ones((20, 20)), 1) - np.diag(np.arange(1.0, 21))
    negative = ritz.funm_multiply(upper, vector(20), "log")
    assert negative.status is Status.breakdown
    assert "complex b" in negative.message
    exact = sla.logm(upper.T + 1j * np.eye(20)) @ vector(20)  # away from the branch cut
    check(ritz.funm_multiply(upper.T + 1j * np.eye(20), vector(20), "log", rtol=1e-5), exact)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
@pytest.mark.parametrize("f", ["sqrt", "inv", ("power", -0.4)])
def test_scale_changes_nothing(factor, f):
    a = symmetric(np.logspace(-2, 0, 80))
    b = vector(80)
    base = ritz.funm_multiply(a, b, f)
    res = ritz.funm_multiply(a * factor, b, f)
    p = {"sqrt": 0.5, "inv": -1.0}.get(f, -0.4)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 1
    np.testing.assert_allclose(res.y / factor**p, base.y, atol=1e-5 * np.linalg.norm(base.y))


def test_zero_operator_identity_and_no_vector():
    b = vector(20)
    zero = ritz.funm_multiply(np.zeros((20, 20)), b, "exp")
    assert zero.iterations == 1
    np.testing.assert_allclose(zero.y, b, rtol=1e-15)
    unit = ritz.funm_multiply(np.eye(20), b, "exp")
    assert unit.iterations == 1
    np.testing.assert_allclose(unit.y, np.e * b, rtol=1e-14)
    nothing = ritz.funm_multiply(np.eye(20), 0 * b, "log")
    assert nothing.converged
    assert nothing.products.total == 0
    np.testing.assert_array_equal(nothing.y, 0 * b)


def test_torch_jax_and_trees():
    torch = pytest.importorskip("torch")
    a = symmetric(np.linspace(1, 3, 12))
    b = vector(12)
    exact = dense(a, np.sqrt, b)[:, 0]
    y = ritz.funm_multiply(torch.tensor(a), torch.tensor(b), "sqrt", rtol=1e-10).y
    assert isinstance(y, torch.Tensor)
    np.testing.assert_allclose(y.numpy(), exact, atol=1e-8)
    tree = {"w": b[:8].reshape(2, 4), "b": b[8:]}
    A = ritz.LinearOperator((12, 12), lambda x: a @ x, symmetric=True, domain=tree)
    out = ritz.funm_multiply(A, tree, "sqrt", rtol=1e-10).y
    assert out["w"].shape == (2, 4)
    np.testing.assert_allclose(out["w"].ravel(), exact[:8], atol=1e-8)
    both = ritz.funm_multiply(A, tree, ["sqrt", "exp"], rtol=1e-10).y
    np.testing.assert_allclose(both[0]["b"], exact[8:], atol=1e-8)
    jnp = pytest.importorskip("jax.numpy")
    single = ritz.funm_multiply(
        jnp.asarray(a, "float32"), jnp.asarray(b, "float32"), "sqrt", rtol=1e-4, symmetric=True
    ).y
    assert type(single).__module__.startswith("jax")
    np.testing.assert_allclose(np.asarray(single), exact, rtol=1e-3, atol=1e-3)


def test_limits_callbacks_and_exceptions():
    a, b = laplacian(300), vector(300)
    seen = []
    res = ritz.funm_multiply(a, b, "exp", t=-200.0, callback=seen.append, history=True)
    assert len(seen) == res.iterations - 1
    assert len(res.history) == len(seen)
    assert res.plot() is not None
    with pytest.raises(ValueError, match="history=True"):
        ritz.funm_multiply(a, b, "exp").plot()
    stopped = ritz.funm_multiply(a, b, "exp", t=-200.0, callback=lambda it: it.iteration == 5)
    assert stopped.status is Status.stopped
    assert stopped.products.total == 5
    assert np.isfinite(stopped.y).all()
    for basis in (None, 8):
        few = ritz.funm_multiply(a, b, "exp", t=-200.0, max_products=20, max_basis=basis)
        assert few.status is Status.max_products
        assert few.products.total <= 20
        assert few.error > few.target
    late = ritz.funm_multiply(a, b, "exp", t=-200.0, timeout=0.0)
    assert late.status is Status.timeout
    short = ritz.funm_multiply(a, b, "exp", t=-200.0, maxiter=4)
    assert short.status is Status.max_iterations

    class Mine(Exception):
        pass

    def fail(*_):
        raise Mine

    with pytest.raises(Mine):
        ritz.funm_multiply(a, b, "exp", t=-200.0, callback=fail)
    with pytest.raises(Mine):
        ritz.funm_multiply(a, b, fail)
    with pytest.raises(Mine):
        ritz.funm_multiply(grcar(30), vector(30), fail)
    with pytest.raises(Mine):
        ritz.funm_multiply(grcar(30), vector(30), fail, matrix_function=True)
    A = ritz.LinearOperator((30, 30), fail, symmetric=True)
    with pytest.raises(Mine):
        ritz.funm_multiply(A, vector(30), "exp")
    poison = ritz.LinearOperator((30, 30), lambda x: x * np.nan, symmetric=True)
    assert ritz.funm_multiply(poison, vector(30), "exp").status is Status.nonfinite
    tight = ritz.funm_multiply(a, b, "exp", t=-200.0, rtol=1e-17)
    assert tight.status is Status.precision_limit
    assert tight.error <= 1e-10


def test_own_poles():
    a = symmetric(np.linspace(1, 5, 40))
    b = vector(40)
    res = ritz.funm_multiply(
        a,
        b,
        lambda x: 3 + 2 / (x + 1) - 1 / (x + 4),
        method="rational",
        poles=([-1, -4], [2, -1], 3),
        interval=(1, 5),
    )
    assert res.converged
    assert not res.bound
    check(res, dense(a, lambda x: 3 + 2 / (x + 1) - 1 / (x + 4), b))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"f": "cosine"}, ValueError, "cosine"),
        ({"f": 3}, TypeError, "f is 3"),
        ({"f": []}, ValueError, "empty"),
        ({"f": ["exp", np.exp]}, TypeError, "mixes"),
        ({"f": ("power",)}, ValueError, "power"),
        ({"f": "phi99"}, ValueError, "phi99"),
        ({"f": lambda x: x[:2]}, ValueError, "elementwise"),
        ({"f": lambda x: x + 1j}, TypeError, "complex"),
        ({"t": np.nan}, ValueError, "t is"),
        ({"t": 1j, "f": "sqrt"}, ValueError, "complex"),
        ({"rtol": -1}, ValueError, "rtol"),
        ({"method": "magic"}, ValueError, "magic"),
        ({"interval": (2, 1)}, ValueError, "interval"),
        ({"method": "rational", "f": "sqrt"}, ValueError, "interval"),
        ({"method": "chebyshev", "f": "log"}, ValueError, "interval"),
        ({"method": "rational", "interval": (1, 2), "f": "exp"}, ValueError, "poles"),
        ({"poles": ([1], [1], 0)}, ValueError, "rational"),
        ({"matrix_function": True}, TypeError, "callable"),
        ({"max_basis": 1}, ValueError, "max_basis"),
        ({"b": np.ones(3)}, ValueError, "b has shape"),
        ({"A": np.ones((3, 4))}, ValueError, "square"),
    ],
)
def test_bad_arguments(change, error, match):
    given = {"A": np.diag(np.arange(1.0, 11)), "b": np.ones(10), "f": "exp", **change}
    with pytest.raises(error, match=match):
        ritz.funm_multiply(**given)
