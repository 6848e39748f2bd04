"""MINRES, MINRES-QLP, SYMMLQ, CR, flexible CG: right answers and honest endings at every scale."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector
from ritz import Status

INDEFINITE = [ritz.minres, ritz.minres_qlp, ritz.symmlq]
METHODS = [*INDEFINITE, ritz.cr, ritz.fcg]
LEAST_SQUARES = [ritz.minres, ritz.minres_qlp, ritz.cr]
PROBLEMS = ["spd", "indefinite", "singular", "inconsistent"]
SIZES = [0, 1, 2, 10, 500]


def needs_definite(method):
    return method in (ritz.cr, ritz.fcg)


def spectrum(kind, n, definite):
    values = np.geomspace(1.0, 0.05, n)
    if kind != "spd" and not definite:
        values[1::3] *= -1
    if kind in ("singular", "inconsistent"):
        values[:: max(n // 3, 2)] = 0.0
    return values


def problem(kind, n, dtype, definite, seed=0):
    values = spectrum(kind, n, definite)
    a = symmetric(values, dtype, seed) if n else np.zeros((0, 0), dtype)
    b = vector(n, dtype, seed + 1)
    if kind == "singular":
        b = (a @ b).astype(dtype)
    return a, b, values


def wide(*arrays):
    return [np.asarray(v, np.complex128) for v in arrays]


def residual(a, b, x):
    a, b, x = wide(a, b, x)
    return np.linalg.norm(b - a @ x)


def normal_residual(a, b, x):
    """‖A r‖ / (‖A‖ ‖r‖)."""
    a, b, x = wide(a, b, x)
    r = b - a @ x
    return np.linalg.norm(a @ r) / (np.linalg.norm(a, 2) * np.linalg.norm(r))


def pseudo_inverse_solution(a, b):
    a, b = wide(a, b)
    return np.linalg.pinv(a, rcond=1e-3, hermitian=True) @ b


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_endings_are_true(method, dtype, kind, n):
    definite = needs_definite(method)
    if kind == "indefinite" and definite:
        pytest.skip("needs a definite operator")
    a, b, _ = problem(kind, n, dtype, definite)
    rtol = 1e-4
    res = method(a, b, rtol=rtol)
    x, info = res
    assert x.dtype == dtype
    assert np.isfinite(x).all()
    rounding = 20 * eps(dtype) * np.linalg.norm(x)
    true = residual(a, b, x)
    if kind != "inconsistent" or not n:
        assert res.status is Status.converged
        assert info == 0
        assert res.verified
        assert true <= rtol * np.linalg.norm(b) * (1 + 1e-3) + rounding
        exact = pseudo_inverse_solution(a, b)
        assert np.linalg.norm(x - exact) <= 40 * (rtol * np.linalg.norm(b) + rounding)
        return
    assert info != 0
    if method in LEAST_SQUARES:
        assert res.status is Status.least_squares_solution
        assert info == max(res.iterations, 1)
        assert res.verified
        np.testing.assert_allclose(res.residual, true, rtol=1e-2)
        if n > 1:
            assert normal_residual(a, b, x) <= 200 * np.sqrt(eps(dtype))
    elif method is ritz.symmlq:
        assert res.status is Status.stagnation
    else:
        assert res.status in (Status.negative_curvature, Status.max_iterations)


@pytest.mark.parametrize("n", [10, 60, 500])
@pytest.mark.parametrize("dtype", DTYPES)
def test_minres_qlp_finds_the_least_norm(dtype, n):
    for seed in range(3):
        a, b, _ = problem("inconsistent", n, dtype, definite=seed == 2, seed=seed)
        res = ritz.minres_qlp(a, b)
        assert res.status is Status.least_squares_solution
        exact = pseudo_inverse_solution(a, b)
        # What the Krylov space adds of the null space is removed to about √eps.
        assert np.linalg.norm(res.x - exact) <= 50 * np.sqrt(eps(dtype)) * np.linalg.norm(exact)
        r = np.asarray(b - a @ res.x)
        np.testing.assert_allclose(res.normal_residual, np.linalg.norm(a @ r), rtol=0.3)
        # MINRES ends at another minimiser of the same residual.
        plain = ritz.minres(a, b)
        np.testing.assert_allclose(plain.residual, res.residual, rtol=1e-3)
        assert np.linalg.norm(plain.x) >= 0.99 * np.linalg.norm(res.x)


def test_the_error_of_minres_qlp_grows_with_the_condition_only():
    # That of MINRES grows with its square: Sleijpen, van der Vorst, Modersitzki, SIMAX 22, 2000.
    d = np.geomspace(1, 1e-6, 40) * np.where(np.arange(40) % 2, 1, -1)
    a = symmetric(d)
    b = vector(40)
    gaps = {}
    for method in (ritz.minres, ritz.minres_qlp):
        res = method(a, b, rtol=1e-8, maxiter=4000, verify=False)
        assert not res.verified
        gaps[method] = abs(residual(a, b, res.x) - res.residual) / np.linalg.norm(b)
    assert gaps[ritz.minres_qlp] <= 1e-9
    assert gaps[ritz.minres_qlp] < 0.1 * gaps[ritz.minres]


def random_inconsistent(method, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 80))
    dtype = DTYPES[seed % 4]
    cond = 10 ** rng.uniform(0, 2.5 if eps(dtype) < 1e-10 else 1.3)
    values = np.geomspace(1, 1 / cond, n)
    if method is not ritz.cr:
        values[::2] *= -1
    values[: int(rng.integers(1, n // 3 + 2))] = 0.0
    a, b = symmetric(values, dtype, seed), vector(n, dtype, seed)
    res = method(a, b, maxiter=40 * n)
    if res.status is Status.least_squares_solution:
        assert residual(a, b, res.x) <= 1.001 * residual(a, b, pseudo_inverse_solution(a, b))
    return res.status


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("method", [m for m in LEAST_SQUARES if m is not ritz.cr])
def test_random_inconsistent_systems_end_as_least_squares(method, seed):
    assert random_inconsistent(method, seed) is Status.least_squares_solution


def test_random_inconsistent_systems_end_as_least_squares_in_cr():
    """Its Rayleigh quotients may miss the null space by rounding; then it says so."""
    statuses = [random_inconsistent(ritz.cr, seed) for seed in range(40)]
    missed = [s for s in statuses if s is not Status.least_squares_solution]
    assert len(missed) <= 2
    assert set(missed) <= {Status.precision_limit}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cond", [1e2, 1e4, 1e6, 1e8, 1e10, 1e12])
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-12])
@pytest.mark.parametrize("method", METHODS)
def test_success_is_never_false(method, dtype, cond, rtol):
    values = np.geomspace(1, 1 / cond, 60)
    if not needs_definite(method):
        values[::2] *= -1
    a, b = symmetric(values, dtype), vector(60, dtype)
    res = method(a, b, rtol=rtol, maxiter=2000)
    true = residual(a, b, res.x) / np.linalg.norm(b)
    if res.info == 0:
        rounding = eps(dtype) * np.linalg.norm(res.x.astype(float)) / np.linalg.norm(b) * 20
        assert true <= rtol + rounding
    else:
        assert res.status in (
            Status.precision_limit,
            Status.max_iterations,
            Status.negative_curvature,
            Status.least_squares_solution,
            Status.stagnation,
        )
    # A condition that this precision can tell from a singular operator.
    if res.status in (Status.least_squares_solution, Status.stagnation):
        assert cond * np.sqrt(eps(dtype)) > 0.1
    if cond <= 1e2 and rtol == 1e-3:
        assert res.info == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_smooth_right_hand_side_is_not_taken_for_a_null_vector(method):
    # ‖A r‖ / (‖A‖ ‖r‖) is 1e-7 from the start here, in float32.
    n = 2000
    a = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    x = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    for dtype in (np.float32, np.float64):
        b = (a @ x).astype(dtype)
        res = method(a.astype(dtype), b, rtol=1e-2)
        if dtype is np.float64:
            assert res.converged
        else:
            assert res.status in (Status.converged, Status.precision_limit)


def test_minres_d1_scipy_calls_a_relative_residual_of_three_quarters_a_success():
    d = np.geomspace(1e-10, 1, 500)
    b = vector(500)
    theirs, info = spla.minres(sp.diags_array(d), b, rtol=1e-5)
    assert info == 0
    assert np.linalg.norm(b - d * theirs) > 0.5 * np.linalg.norm(b)
    for method in [*LEAST_SQUARES, ritz.symmlq]:
        res = method(ritz.diagonal(d), b, rtol=1e-5)
        assert res.info != 0
        assert not res.converged
        np.testing.assert_allclose(res.residual, np.linalg.norm(b - d * res.x), rtol=1e-3)
    # The same with A scaled down, which SciPy calls a success at x = 0.
    _, info = spla.minres(sp.diags_array(np.full(5, 1e-20)), np.ones(5))
    assert info == 0
    res = ritz.minres(ritz.diagonal(np.full(5, 1e-20)), np.ones(5))
    assert res.converged
    np.testing.assert_allclose(res.x, 1e20, rtol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20), (np.complex128, 1e20)]
)
@pytest.mark.parametrize("kind", ["spd", "indefinite", "inconsistent"])
@pytest.mark.parametrize("method", METHODS)
def test_d11_no_threshold_has_units(method, kind, dtype, factor):
    definite = needs_definite(method)
    if definite and kind == "indefinite":
        pytest.skip("needs a definite operator")
    if method is ritz.fcg and kind == "inconsistent":
        pytest.skip("ends by rounding, wherever that may be")
    a, b, _ = problem(kind, 40, dtype, definite)
    base = method(a, b, rtol=1e-4)
    for scale_a in (1 / factor, 1, factor):
        for scale_b in (1 / factor, 1, factor):
            res = method((a * scale_a).astype(dtype), (b * scale_b).astype(dtype), rtol=1e-4)
            assert res.status is base.status
            # Factors that are no powers of two perturb the entries by rounding errors, which an
            # indefinite operator may turn into a few iterations.
            slack = 1 if kind == "spd" else 0.2 * base.iterations
            assert abs(res.iterations - base.iterations) <= slack


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", METHODS)
def test_counts_are_the_closures_own(method, dtype):
    a, b, _ = problem("spd", 40, dtype, definite=True)
    c = Counting(a)
    A = ritz.LinearOperator((40, 40), c.matvec, dtype=dtype)
    res = method(A, b, rtol=1e-3)
    assert res.products == (c.matvecs, 0, 0)
    assert res.products.matvec == res.iterations + 1
    x0 = np.linalg.solve(a, b)
    warm = method(a, b, x0, rtol=1e-3)
    assert warm.iterations == 0
    assert warm.products.matvec == 1
    one = method(a, a[:, :0].sum(axis=1) + np.linalg.eigh(a)[1][:, 7].astype(dtype), rtol=1e-3)
    assert one.iterations == 1
    history = method(a, b, rtol=1e-3, history=True).history
    assert len(history) == res.iterations


@pytest.mark.parametrize("method", INDEFINITE)
def test_shift(method):
    a, b, values = problem("indefinite", 60, np.complex128, definite=False)
    shift = 0.5 * (values[30] + values[33])
    moved = a - shift * np.eye(60)
    for M in (None, ritz.diagonal(np.linspace(1, 3, 60))):
        res = method(a, b, rtol=1e-8, shift=shift, M=M)
        assert res.converged
        assert residual(moved, b, res.x) <= 1.001e-8 * np.linalg.norm(b)
        assert abs(method(moved, b, rtol=1e-8, M=M).iterations - res.iterations) <= 5


def test_shift_with_columns_and_batches():
    a, _, _ = problem("indefinite", 30, np.float64, definite=False)
    B = np.stack([vector(30, seed=s) for s in range(3)], axis=1)
    res = ritz.minres(a, B, rtol=1e-8, shift=0.3)
    np.testing.assert_allclose(a @ res.x - 0.3 * res.x, B, atol=1e-6)
    stack = np.stack([a, 2 * a])
    res = ritz.minres_qlp(stack, B.T[:2], rtol=1e-8, shift=0.3, batched=True)
    for j in range(2):
        np.testing.assert_allclose(stack[j] @ res.x[j] - 0.3 * res.x[j], B[:, j], atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_residual_is_in_the_two_norm_with_a_preconditioner(method):
    # M of condition 1e8: a test in the norm of M would be off by up to 1e4 either way.
    n = 200
    d = np.geomspace(1e-4, 1e4, n)
    sign = np.where(np.arange(n) % 3 == 1, -1, 1) if not needs_definite(method) else 1
    a = np.diag(d * sign) + 1e-5 * symmetric(np.linspace(-1, 1, n))
    b = vector(n)
    res = method(a, b, rtol=1e-6, M=ritz.diagonal(1 / d))
    assert res.converged
    assert residual(a, b, res.x) <= 1.001e-6 * np.linalg.norm(b)
    # The recurrence knew: one verification was enough.
    assert res.products.matvec == res.iterations + 1
    assert res.preconditioner_products <= res.iterations + 2


@pytest.mark.parametrize("method", METHODS)
def test_an_indefinite_preconditioner_is_found_out(method):
    a, b, _ = problem("spd", 30, np.float64, definite=True)
    m = np.linspace(1, 2, 30)
    m[4] = -50
    assert method(a, b, M=ritz.diagonal(m)).status is Status.indefinite_preconditioner


def test_minres_negative_curvature():
    values = np.geomspace(1, 0.1, 50)
    values[25] = -0.3
    a, b = symmetric(values, np.complex128), vector(50, np.complex128)
    assert ritz.minres(a, b).converged
    res = ritz.minres(a, b, npc=True)
    assert res.status is Status.negative_curvature
    d = res.direction
    curvature = np.vdot(d, a @ d).real / np.vdot(d, d).real
    assert curvature <= 0
    np.testing.assert_allclose(res.curvature, curvature, rtol=1e-6)
    np.testing.assert_allclose(d, b - a @ res.x, atol=1e-12)
    res = ritz.cr(a, b)
    assert res.status is Status.negative_curvature
    assert np.vdot(res.direction, a @ res.direction).real < 0


def test_agrees_with_scipy():
    n = 30
    laplace = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n), format="csr")
    a = sp.kron(laplace, sp.eye_array(n)) + sp.kron(sp.eye_array(n), laplace)
    b = vector(n * n)
    theirs, info = spla.minres(a, b, rtol=1e-10, shift=0.7)
    ours = ritz.minres(a, b, rtol=1e-8, shift=0.7)
    assert info == ours.info == 0
    np.testing.assert_allclose(ours.x, theirs, rtol=1e-5, atol=1e-5)


def test_estimates_of_norm_and_condition():
    values = np.geomspace(1, 0.02, 100) * 3e-12
    values[::2] *= -1
    a, b = symmetric(values), vector(100)
    for method in INDEFINITE:
        res = method(a, b, rtol=1e-10)
        assert 0.5 * 3e-12 < res.norm_a <= 3e-12 * (1 + 1e-12)
        assert 5 < res.cond_a < 500


@pytest.mark.parametrize("memory", [1, 3])
def test_fcg_with_an_iteration_inside(memory):
    # The preconditioner is a few steps of CG, a nonlinear function of the residual.
    values = np.geomspace(1, 1e-6, 400)
    a, b = symmetric(values), vector(400)
    M = ritz.LinearOperator((400, 400), lambda r: ritz.cg(a, r, rtol=0.1, maxiter=30).x)
    res = ritz.fcg(a, b, rtol=1e-6, M=M, memory=memory)
    assert res.converged
    assert residual(a, b, res.x) <= 1.001e-6 * np.linalg.norm(b)
    assert res.iterations < ritz.cg(a, b, rtol=1e-6).iterations / 5


@pytest.mark.parametrize("method", METHODS)
def test_stepping_is_the_same_run(method):
    a, b, _ = problem("spd", 40, np.float64, definite=True)
    whole = method(a, b, rtol=1e-8)
    steps = ritz.iterate(method.__name__, a, b, rtol=1e-8)
    count = sum(1 for _ in steps)
    assert count == whole.iterations
    np.testing.assert_array_equal(steps.result.x, whole.x)


@pytest.mark.parametrize("method", [ritz.minres, ritz.minres_qlp, ritz.symmlq, ritz.cr])
def test_x_in_double_precision(method):
    a, b, _ = problem("spd", 60, np.float32, definite=True)
    res = method(a, b, rtol=1e-9, x_dtype=np.float64)
    assert res.x.dtype == np.float64
    assert res.converged
    assert residual(a, b, res.x) <= 1.001e-9 * np.linalg.norm(b)
    with pytest.raises(ValueError, match="shift"):
        method(a, b, shift=-0.1, x_dtype=np.float64)


def test_bad_options():
    a, b, _ = problem("spd", 5, np.float64, definite=True)
    with pytest.raises(ValueError, match="shift"):
        ritz.minres(a, b, shift=np.nan)
    with pytest.raises(ValueError, match="memory"):
        ritz.fcg(a, b, memory=0)
    with pytest.raises(ValueError, match="self-adjoint"):
        ritz.minres(ritz.LinearOperator((5, 5), lambda v: v, symmetric=False), b)


def test_fcg_takes_directions_of_any_sign_and_length():
    n = 300
    d = np.geomspace(1e-3, 1.0, n)
    A, b = ritz.diagonal(d), np.ones(n)
    scale = iter(np.random.default_rng(0).standard_normal(10_000))
    result = ritz.fcg(A, b, rtol=1e-8, directions=lambda r: next(scale) * r / np.sqrt(d))
    reference = ritz.fcg(A, b, rtol=1e-8, M=ritz.diagonal(1 / np.sqrt(d)), memory=2)
    assert result.converged
    assert abs(result.iterations - reference.iterations) <= 2
    assert np.linalg.norm(d * result.x - b) <= 1.01e-8 * np.linalg.norm(b)
    with pytest.raises(ValueError, match="directions and M"):
        ritz.fcg(A, b, M=A, directions=lambda r: r)
