"""Methods for general square systems: right answers, honest endings, the same at every scale."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given
from hypothesis import strategies as st

import ritz
from problems import DTYPES, Counting, eps, rectangular, vector
from ritz import Status

SOLVERS = {
    "gmres": ritz.gmres,
    "fgmres": ritz.fgmres,
    "bicgstab": ritz.bicgstab,
    "bicgstabl": ritz.bicgstabl,
    "idrs": ritz.idrs,
    "gcrodr": ritz.gcrodr,
    "sgmres": ritz.sgmres,
}
SHORT = ["bicgstab", "bicgstabl", "idrs"]
PER_ITERATION = {
    "gmres": 1,
    "fgmres": 1,
    "bicgstab": 2,
    "bicgstabl": 4,
    "idrs": 1,
    "gcrodr": 1,
    "sgmres": 1,
}

every = pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS.keys())


def near_identity(n, dtype=np.float64, seed=0, radius=0.5):
    """I + a random matrix with eigenvalues of modulus up to about `radius`."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    if np.dtype(dtype).kind == "c":
        a = (a + 1j * rng.standard_normal((n, n))) / np.sqrt(2)
    return (np.eye(n) + radius / np.sqrt(n) * a).astype(dtype)


def jordan(n, dtype=np.float64):
    return (2 * np.eye(n) + np.eye(n, k=1)).astype(dtype)


def transport(p, wind, phase=0.0, jump=0.0):
    """−∇·(a ∇u) + wind · ∇u on p × p points, a waving with `phase`."""
    h = 1 / (p + 1)
    t = np.arange(1, p + 1) * h

    def a(x, y):
        return 1 + 0.5 * np.sin(3 * x + phase) * np.cos(2 * y - phase) + jump * (x > 0.5)

    x, y = (v.ravel() for v in np.meshgrid(t, t))
    w, e = a(x - h / 2, y), a(x + h / 2, y)
    s, n = a(x, y - h / 2), a(x, y + h / 2)
    left, right = np.tile(t > h * 1.5, p), np.tile(t < 1 - h * 1.5, p)
    c = wind * h / 2
    return sp.diags_array(
        [
            (w + e + s + n),
            np.where(left, -w - c, 0)[1:],
            np.where(right, -e + c, 0)[:-1],
            (-s - c)[p:],
            (-n + c)[:-p],
        ],
        offsets=[0, -1, 1, -p, p],
    ).tocsr()


PROBLEMS = {
    "near identity": lambda dtype: near_identity(50, dtype),
    "jordan": lambda dtype: jordan(30, dtype),
    "convection": lambda dtype: transport(8, 20.0).toarray().astype(dtype),
    "complex spectrum": lambda dtype: (
        np.kron(np.eye(15), [[1, -0.8], [0.8, 1]]) @ np.diag(np.linspace(0.5, 1, 30))
    ).astype(dtype),
    "negative": lambda dtype: -near_identity(40, dtype, seed=3),
}


def relative_residual(a, b, x):
    a, b, x = (np.asarray(v, np.complex128) for v in (a, b, x))
    return np.linalg.norm(b - a @ x) / np.linalg.norm(b)


@every
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_solves(solver, dtype, problem):
    a = PROBLEMS[problem](dtype)
    b = vector(len(a), dtype)
    res = solver(a, b, rtol=1e-4)
    assert res.info == 0
    assert res.verified
    assert res.x.dtype == dtype
    assert relative_residual(a, b, res.x) <= 1.01e-4
    exact = np.linalg.solve(a.astype(np.complex128), b.astype(np.complex128))
    cond = np.linalg.cond(a.astype(np.complex128))
    assert np.linalg.norm(res.x - exact) <= 1.1e-4 * cond * np.linalg.norm(exact)
    np.testing.assert_allclose(
        res.residual / np.linalg.norm(b), relative_residual(a, b, res.x), rtol=2e-2
    )


@every
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cond", [1e2, 1e6, 1e10])
@pytest.mark.parametrize("rtol", [1e-3, 1e-12])
def test_success_is_never_false(solver, dtype, cond, rtol):
    a, b = rectangular(40, 40, cond, dtype), vector(40, dtype)
    res = solver(a, b, rtol=rtol, maxiter=1000)
    if res.info == 0:
        assert res.verified
        true = relative_residual(a, b, res.x)
        rounding = 20 * eps(dtype) * np.linalg.norm(res.x) / np.linalg.norm(b)
        assert true <= rtol * (1 + 1e-3) + rounding
    else:
        assert res.status in (
            Status.precision_limit,
            Status.max_iterations,
            Status.breakdown,
            Status.stagnation,
            Status.nonfinite,
        )


@every
@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.float32, 1e8), (np.float64, 1e20), (np.complex128, 1e20)]
)
def test_scale_changes_nothing(solver, dtype, factor):
    a, b = near_identity(40, dtype, radius=0.3), vector(40, dtype)
    base = solver(a, b)
    assert base.converged
    for scale_a in (1 / factor, 1, factor):
        for scale_b in (1 / factor, 1, factor):
            res = solver((a * scale_a).astype(dtype), (b * scale_b).astype(dtype))
            assert res.status is base.status
            assert abs(res.iterations - base.iterations) <= 1


@every
def test_scale_decides_no_failure_either(solver):
    # Inconsistent: no x has a smaller residual than |b[0]|.
    a = np.diag(np.r_[0.0, np.linspace(1, 2, 19)])
    b = vector(20)
    base = solver(a, b, maxiter=60)
    assert not base.converged
    for scale in (2.0**-66, 2.0**66):
        for scale_b in (2.0**-66, 2.0**66):
            res = solver(a * scale, b * scale_b, maxiter=60)
            assert res.status is base.status
            assert abs(res.iterations - base.iterations) <= 1


@every
@given(n=st.integers(1, 40), radius=st.floats(0, 0.6), seed=st.integers(0, 2**32 - 1))
def test_residual_reported_is_the_true_one(solver, n, radius, seed):
    a, b = near_identity(n, seed=seed, radius=radius), vector(n, seed=seed)
    if np.linalg.cond(a) > 1e6:
        return
    res = solver(a, b, rtol=1e-7, maxiter=100 * n)
    if res.converged:
        assert relative_residual(a, b, res.x) <= 1e-7 * (1 + 1e-6)
    elif res.status is not Status.nonfinite:
        np.testing.assert_allclose(
            res.residual / np.linalg.norm(b), relative_residual(a, b, res.x), rtol=1e-2
        )


@every
def test_counts_are_the_closures_own(solver):
    c, m = Counting(near_identity(40)), Counting(np.diag(np.linspace(1, 2, 40)))
    A = ritz.LinearOperator((40, 40), c.matvec)
    res = solver(A, vector(40))
    assert res.products == (c.matvecs, 0, 0)
    per = PER_ITERATION[solver.__name__]
    # One product to verify; the last iteration may end half-way.
    assert per * (res.iterations - 1) + 1 < c.matvecs <= per * res.iterations + 1
    again = solver(A, vector(40), verify=False)
    assert not again.verified
    assert again.products.matvec == res.products.matvec - 1
    c.matvecs = 0
    res = solver(A, vector(40), M=ritz.LinearOperator((40, 40), m.matvec))
    assert res.converged
    assert res.products.matvec == c.matvecs
    assert res.preconditioner_products == m.matvecs


@every
def test_preconditioner_tests_the_residual_of_the_system(solver):
    d = np.logspace(0, 6, 100)
    a, b = np.diag(d) @ near_identity(100), vector(100)
    res = solver(a, b, rtol=1e-8, M=np.diag(1 / d))
    assert res.converged
    assert relative_residual(a, b, res.x) <= 1.01e-8
    exact = solver(a, b, rtol=1e-8, M=np.linalg.inv(a))
    assert exact.converged
    assert exact.iterations <= 2


@every
def test_warm_start(solver):
    a, b = near_identity(50), vector(50)
    exact = np.linalg.solve(a, b)
    res = solver(a, b, exact)
    assert (res.iterations, res.converged) == (0, True)
    assert solver(a, b, exact * (1 + 1e-4)).iterations < solver(a, b).iterations
    x0 = exact.copy()
    solver(a, b, x0, rtol=1e-12)
    np.testing.assert_array_equal(x0, exact)


@every
@pytest.mark.parametrize("dtype", DTYPES)
def test_right_hand_side_in_an_eigenspace(solver, dtype):
    d = np.linspace(1, 3, 30)
    d[:5] = -0.7
    b = np.zeros(30, dtype)
    b[:5] = vector(5, dtype)
    res = solver(np.diag(d).astype(dtype), b)
    assert (res.iterations, res.converged) == (1, True)


@every
def test_smallest_problems(solver):
    assert solver(np.zeros((0, 0)), np.zeros(0)).converged
    np.testing.assert_allclose(solver(np.array([[4.0]]), [2.0]).x, [0.5])
    np.testing.assert_allclose(
        solver(np.array([[1.0, 1.0], [0.0, 1.0]]), [3.0, 2.0], rtol=1e-12).x, [1, 2]
    )
    res = solver(near_identity(5), np.zeros(5))
    assert (res.iterations, res.x.tolist()) == (0, [0] * 5)


@every
def test_endings(solver):
    a, b = rectangular(60, 60, 1e4), vector(60)
    limited = solver(a, b, rtol=1e-10, maxiter=3)
    assert (limited.status, limited.iterations, limited.info) == (Status.max_iterations, 3, 3)
    np.testing.assert_allclose(limited.residual, np.linalg.norm(b - a @ limited.x), rtol=1e-6)
    budget = solver(a, b, rtol=1e-10, max_products=8)
    assert budget.status is Status.max_products
    assert budget.products.total >= 8
    stopped = solver(a, b, rtol=1e-10, callback=lambda it: it.iteration == 2)
    assert (stopped.status, stopped.iterations) == (Status.stopped, 2)
    np.testing.assert_allclose(stopped.residual, np.linalg.norm(b - a @ stopped.x), rtol=1e-6)


@every
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [1, 2, 4])
def test_nonfinite_products_end_the_run(solver, bad, at):
    a = near_identity(40)
    calls = []

    def matvec(x):
        calls.append(1)
        y = a @ x
        if len(calls) == at:
            y[7] = bad
        return y

    res = solver(ritz.LinearOperator((40, 40), matvec), vector(40), rtol=1e-12)
    assert res.status is Status.nonfinite
    assert len(calls) <= at + PER_ITERATION[solver.__name__]
    assert np.all(np.isfinite(res.x))


@every
def test_columns_batches_and_steps_are_the_same_run(solver):
    a, B = near_identity(30), np.column_stack([vector(30, seed=s) for s in range(3)])
    single = [solver(a, B[:, j]) for j in range(3)]
    together = solver(a, B)
    for j in range(3):
        assert together.columns[j].iterations == single[j].iterations
        np.testing.assert_allclose(together.x[:, j], single[j].x, rtol=1e-9, atol=1e-12)
    stack = np.stack([near_identity(30, seed=s) for s in range(3)])
    batch = solver(stack, B.T, batched=True)
    for j in range(3):
        alone = solver(stack[j], B[:, j])
        assert batch.columns[j].iterations == alone.iterations
    steps = [s.iteration for s in ritz.iterate(solver.__name__, a, B[:, 0])]
    assert len(steps) == single[0].iterations


@every
def test_workspace_is_reused(solver):
    a, b = near_identity(50), vector(50)
    ws = ritz.Workspace(solver.__name__, 50)
    first = solver(a, b, workspace=ws)
    held = ws.bytes
    second = solver(a, b, workspace=ws)
    np.testing.assert_array_equal(first.x, second.x)
    np.testing.assert_array_equal(first.x, solver(a, b).x)
    assert solver(near_identity(9), vector(9), workspace=ws).converged
    assert ws.bytes == held
    assert solver(near_identity(90), vector(90), workspace=ws).converged


@every
def test_single_precision_vectors_with_a_double_solution(solver):
    a = near_identity(60)
    A = ritz.LinearOperator((60, 60), lambda v: a.astype(v.dtype) @ v)
    b = vector(60, np.float32)
    narrow = solver(A, b, rtol=1e-9)
    assert narrow.status is Status.precision_limit
    wide = solver(A, b, rtol=1e-9, x_dtype=np.float64)
    assert wide.converged
    assert wide.x.dtype == np.float64
    assert relative_residual(a, b, wide.x) <= 1.01e-9


@every
def test_not_square_is_refused(solver):
    with pytest.raises(ValueError, match="square"):
        solver(np.ones((3, 2)), np.ones(3))


# ---- one by one -----------------------------------------------------------------------------


def test_options_are_checked():
    a, b = near_identity(5), vector(5)
    for solver, option in [
        (ritz.gmres, "restart"),
        (ritz.fgmres, "restart"),
        (ritz.gcrodr, "restart"),
        (ritz.gcrodr, "k"),
        (ritz.bicgstabl, "ell"),
        (ritz.idrs, "s"),
    ]:
        with pytest.raises(ValueError, match=f"{option} is 0"):
            solver(a, b, **{option: 0})
        with pytest.raises(TypeError, match=option):
            solver(a, b, **{option: 2.5})


@pytest.mark.parametrize("restart", [5, 20, 60])
def test_gmres_takes_the_iterations_of_scipy(restart):
    a, b = near_identity(60, radius=0.8), vector(60)
    history = []
    x, info = spla.gmres(
        a, b, rtol=1e-8, restart=restart, callback=history.append, callback_type="pr_norm"
    )
    res = ritz.gmres(a, b, rtol=1e-8, restart=restart, history=True)
    assert info == 0
    assert abs(res.iterations - len(history)) <= 1
    count = min(res.iterations, len(history))
    np.testing.assert_allclose(res.history[:count] / np.linalg.norm(b), history[:count], rtol=1e-5)
    np.testing.assert_allclose(res.x, x, rtol=1e-5, atol=1e-6)


def test_bicgstab_takes_the_iterations_of_scipy():
    a, b = near_identity(60, radius=0.4), vector(60)
    steps = []
    _, info = spla.bicgstab(a, b, rtol=1e-8, callback=lambda x: steps.append(1))
    res = ritz.bicgstab(a, b, rtol=1e-8)
    assert info == res.info == 0
    assert abs(res.iterations - len(steps)) <= 1


@pytest.mark.parametrize("solver", [ritz.gmres, ritz.fgmres])
@pytest.mark.parametrize("cond", [1e8, 1e10])
def test_d5_no_stagnation_at_full_length(solver, cond):
    """One pass of classical Gram-Schmidt ends at 6.8e-9 (cond 1e8) and 2.9e-7 (1e10)."""
    n = 100
    a, b = rectangular(n, n, cond, seed=5), vector(n)
    res = solver(a, b, rtol=1e-15, restart=n, maxiter=n)
    attainable = eps(np.float64) * np.linalg.norm(res.x) / np.linalg.norm(b)
    assert relative_residual(a, b, res.x) <= 10 * attainable
    consistent = a @ np.ones(n)  # of a solution that is not large
    res = solver(a, consistent, rtol=1e-14, restart=n)
    assert relative_residual(a, consistent, res.x) <= 1e-13


@every
@pytest.mark.parametrize("size", [1e-12, 1e-20, 1e-100])
def test_d7_small_right_hand_sides_are_no_breakdown(solver, size):
    """SciPy's bicgstab: info = −10 for entries of b about 1e-12, x = 0 for 1e-20."""
    a, b = near_identity(50, seed=2), vector(50)
    res, base = solver(a, b * size, rtol=1e-10), solver(a, b, rtol=1e-10)
    assert res.info == 0
    assert abs(res.iterations - base.iterations) <= 1
    assert relative_residual(a, b, res.x / size) <= 1.01e-10


@every
def test_d7_in_single_precision(solver):
    a, b = near_identity(50, np.float32, seed=2), vector(50, np.float32)
    res = solver(a, b * np.float32(1e-12), rtol=1e-5)
    assert res.info == 0
    assert relative_residual(a, b, res.x.astype(np.float64) * 1e12) <= 1.1e-5


@every
def test_d9_a_norm_of_1e_minus_19_is_as_good_as_any(solver):
    """JAX's and lineax's gmres return x = 0 for ‖b‖ about 1e-19."""
    a, b = near_identity(50), vector(50)
    b *= 1e-19 / np.linalg.norm(b)
    res = solver(a, b)
    assert res.converged
    assert relative_residual(a, b, res.x) <= 1.01e-5


@pytest.mark.parametrize("dtype", DTYPES)
def test_gmres_on_singular_systems(dtype):
    d = np.linspace(1, 2, 20).astype(dtype)
    d[:2] = 0
    b = vector(20, dtype)
    b[:2] = 0
    res = ritz.gmres(np.diag(d), b, rtol=100 * eps(dtype))
    assert res.converged
    assert not np.any(res.x[:2])
    b[:2] = 3, 4
    res = ritz.gmres(np.diag(d), b, rtol=100 * eps(dtype))
    assert res.status is Status.stagnation
    # The cycle ends when the rounding of A x could reach a tenth of the residual.
    np.testing.assert_allclose(res.residual, 5, rtol=0.02)
    np.testing.assert_allclose(np.linalg.norm(b - d * res.x), res.residual, rtol=1e-3)


@pytest.mark.parametrize("solver", [ritz.gmres, ritz.fgmres, ritz.gcrodr])
def test_stagnation_of_restarts_is_told(solver):
    a = np.roll(np.eye(30), 1, axis=0)
    b = np.eye(30)[0]
    assert solver(a, b, restart=30, **({"k": 5} if solver is ritz.gcrodr else {})).converged
    if solver is not ritz.gcrodr:
        res = solver(a, b, restart=10)
        assert (res.status, res.iterations) == (Status.stagnation, 10)
        assert "progress" in res.message


def test_a_defective_operator_at_full_length():
    n = 24
    a, b = jordan(n), vector(n)
    for solver in SOLVERS.values():
        res = solver(a, b, rtol=1e-12)
        assert res.converged
        assert relative_residual(a, b, res.x) <= 1.01e-12


def test_fgmres_with_a_solver_inside():
    a = transport(16, 10.0)
    b = vector(256)
    inner = []

    def approximate(v):
        inner.append(1)
        return ritz.gmres(a, v, rtol=0.1, maxiter=5 + len(inner) % 3).x

    M = ritz.LinearOperator((256, 256), approximate)
    res = ritz.fgmres(a, b, rtol=1e-8, M=M)
    assert res.converged
    assert relative_residual(a.toarray(), b, res.x) <= 1.01e-8
    assert res.preconditioner_products == len(inner) == res.iterations
    assert res.iterations < ritz.gmres(a, b, rtol=1e-8).iterations / 3


@pytest.mark.parametrize("name", ["bicgstabl", "idrs"])
def test_spectra_on_the_imaginary_axis(name):
    rng = np.random.default_rng(0)
    s = rng.standard_normal((40, 40))
    a = s - s.T + 0.1 * np.eye(40)
    b = vector(40)
    res = SOLVERS[name](a, b, rtol=1e-6)
    assert res.converged
    assert relative_residual(a, b, res.x) <= 1.01e-6


@pytest.mark.parametrize("name", SHORT)
def test_short_recurrences_survive_an_exact_breakdown(name):
    # bᵀ A b = 0: the first division of BiCG is by zero.
    a = np.diag([1.0, -1, 2, -2, 3, -3])
    res = SOLVERS[name](a, np.ones(6), rtol=1e-8)
    assert res.converged
    np.testing.assert_allclose(res.x, 1 / np.diag(a), rtol=1e-6)


def test_idrs_is_the_same_every_time():
    a, b = near_identity(80), vector(80)
    np.testing.assert_array_equal(ritz.idrs(a, b).x, ritz.idrs(a, b).x)
    assert ritz.idrs(a, b, s=1).converged
    assert ritz.idrs(a, b, s=500).iterations <= 81


# ---- recycling ------------------------------------------------------------------------------


def test_recycling_the_same_system_takes_half_the_products():
    a, b = transport(40, 5.0), vector(1600)
    recycle = ritz.Recycle()
    first = ritz.gcrodr(a, b, rtol=1e-6, recycle=recycle)
    second = ritz.gcrodr(a, b, rtol=1e-6, recycle=recycle)
    assert first.converged
    assert second.converged
    assert (first.recycled, second.recycled) == (0, 20)
    assert 2 * second.products.total <= first.products.total
    assert relative_residual(a.toarray(), b, second.x) <= 1.01e-6


@pytest.mark.parametrize("wind", [0.0, 5.0, 20.0])
def test_recycling_over_a_slowly_varying_sequence(wind):
    recycle = ritz.Recycle()
    ours = theirs = 0
    for i in range(10):
        a, b = transport(40, wind, 0.02 * i), vector(1600, seed=i)
        res = ritz.gcrodr(a, b, rtol=1e-8, recycle=recycle)
        assert res.converged
        assert relative_residual(a.toarray(), b, res.x) <= 1.01e-8
        ours += res.products.total
        theirs += ritz.gmres(a, b, rtol=1e-8, restart=40).products.total
    assert ours <= 0.6 * theirs


@pytest.mark.parametrize("dtype", DTYPES)
def test_recycling_in_every_type(dtype):
    recycle = ritz.Recycle()
    for i in range(4):
        a = transport(20, 5.0, 0.01 * i).astype(dtype)
        if np.dtype(dtype).kind == "c":
            a = a + 0.01j * sp.eye_array(400)
        b = vector(400, dtype, seed=i)
        res = ritz.gcrodr(a, b, rtol=1e-4, restart=20, k=8, recycle=recycle)
        assert res.converged
        assert relative_residual(a.toarray(), b, res.x) <= 1.01e-4
        assert (res.recycled > 0) == (i > 0)


def test_recycling_notices_a_changed_operator():
    b = vector(400)
    for told in (None, True, False):
        recycle = ritz.Recycle(told)
        ritz.gcrodr(transport(20, 5.0), b, rtol=1e-6, recycle=recycle)
        other = transport(20, 5.0, phase=2.0)
        res = ritz.gcrodr(other, b, rtol=1e-6, recycle=recycle)
        assert res.converged
        assert relative_residual(other.toarray(), b, res.x) <= 1.01e-6


def test_recycling_knows_the_same_operator():
    a, b = transport(20, 5.0), vector(400)
    counts = {}
    for told in (None, True, False):
        recycle = ritz.Recycle(told)
        ritz.gcrodr(a, b, rtol=1e-6, recycle=recycle)
        counts[told] = ritz.gcrodr(a, b, rtol=1e-6, recycle=recycle).products.total
    assert counts[None] == counts[True] + 1
    assert counts[False] > counts[None]


def test_recycling_is_dropped_where_it_does_not_pay():
    recycle = ritz.Recycle()
    carried = []
    for i in range(5):
        a, b = near_identity(80, seed=i), vector(80, seed=i)
        res = ritz.gcrodr(a, b, recycle=recycle)
        assert res.converged
        carried.append(res.recycled > 0)
    assert carried == [False, True, True, True, False]


def test_recycling_does_not_outlive_a_failure():
    a, b = transport(20, 5.0), vector(400)
    recycle = ritz.Recycle()
    ritz.gcrodr(a, b, recycle=recycle)
    calls = []

    def failing(x):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("from the closure")
        return a @ x

    with pytest.raises(RuntimeError, match="from the closure"):
        ritz.gcrodr(ritz.LinearOperator((400, 400), failing), b, recycle=recycle)
    res = ritz.gcrodr(a, b, recycle=recycle)
    assert res.converged
    assert relative_residual(a.toarray(), b, res.x) <= 1.01e-5


def test_recycle_is_checked():
    a, b = near_identity(10), vector(10)
    with pytest.raises(TypeError, match="recycle"):
        ritz.gcrodr(a, b, recycle=True)
    with pytest.raises(ValueError, match="one right-hand side"):
        ritz.gcrodr(a, np.ones((10, 2)), recycle=ritz.Recycle())
    with pytest.raises(ValueError, match="workspace"):
        ritz.gcrodr(a, b, recycle=ritz.Recycle(), workspace=ritz.Workspace("gcrodr", 10))
    recycle = ritz.Recycle()
    assert recycle.bytes == 0
    assert ritz.gcrodr(a, b, recycle=recycle).converged
    assert recycle.bytes > 0
    # Another element type, another size: it begins anew.
    assert ritz.gcrodr(a.astype("f4"), b.astype("f4"), recycle=recycle).recycled == 0
    assert ritz.gcrodr(near_identity(12), vector(12), recycle=recycle).recycled == 0
