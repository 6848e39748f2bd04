"""Randomized least squares against dense linear algebra and the Karlson-Waldén formula."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse

import ritz
from ritz import _core
from ritz.results import Status

EPS = np.finfo(np.float64).eps


def problem(m, n, condition, residual, seed=0, dtype=np.float64):
    """Return A with singular values from 1 to 1/condition and b with ‖b − A x*‖ = residual."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        x = rng.standard_normal(shape)
        return x + 1j * rng.standard_normal(shape) if np.dtype(dtype).kind == "c" else x

    Q = np.linalg.qr(normal(m, n))[0]
    V = np.linalg.qr(normal(n, n))[0]
    A = (Q * np.logspace(0, -math.log10(condition), n)) @ V.conj().T
    x, r = normal(n), normal(m)
    for _ in range(2):
        r -= Q @ (Q.conj().T @ r)
    b = A @ (x / np.linalg.norm(x)) + r * (residual / np.linalg.norm(r))
    return A.astype(dtype), b.astype(dtype)


def backward_error(A, b, x):
    """Karlson's and Waldén's estimate over ‖A‖_F, within √2 of the optimal backward error."""
    wide = np.clongdouble if np.iscomplexobj(A) else np.longdouble
    r = b.astype(wide) - A.astype(wide) @ x.astype(wide)
    g = (A.astype(wide).conj().T @ r).astype(np.result_type(A, np.float64))
    norm_r = float(np.sqrt(np.sum(np.abs(r) ** 2)))
    size, norm_x = np.linalg.norm(A.astype(g.dtype)), np.linalg.norm(x.astype(g.dtype))
    theta = size / np.linalg.norm(b.astype(g.dtype))
    share = theta / np.hypot(1.0, theta * norm_x)
    _, s, Vh = np.linalg.svd(A.astype(g.dtype), full_matrices=False)
    omega = share * norm_r
    weights = np.hypot(s, omega)
    components = Vh @ g
    return share * np.linalg.norm(components[weights > 0] / weights[weights > 0]) / size


# ------------------------------------------------------------------------------------- accuracy


@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
@pytest.mark.parametrize("condition", [1.0, 1e4, 1e8, 1e12, 1e15])
def test_the_backward_error_is_that_of_qr(method, condition):
    for residual in (1e-12, 1e-6, 1e-3, 1.0):
        A, b = problem(4000, 50, condition, residual)
        x, info = result = ritz.lstsq(A, b, method=method)
        assert result.status is Status.converged
        assert info == 0
        assert result.verified
        assert result.backward_error <= result.target == EPS
        assert backward_error(A, b, x) <= 5e-16
        assert result.method in (method, "spir")
        assert result.iterations <= 50


def test_defect_one_preconditioned_solve_is_not_backward_stable():
    # What Blendenpik, LSRN and iterative sketching stop at.
    A, b = problem(4000, 50, 1e12, 1e-6)
    options = {"d": 600, "refinements": 1}
    monitor = _core.Monitor(None, False, math.inf, 2**62)
    X, (outcome,), _ = _core.f8.lstsq(A, b[:, None], options, 1, 0, 8, monitor)
    assert backward_error(A, b, X[:, 0]) > 5e-16
    assert Status(outcome["status"]) is Status.precision_limit
    assert outcome["backward_error"] > EPS


@pytest.mark.parametrize("method", ["spir", "momentum"])
def test_coherent_rows(method):
    # All of A but noise is in n of the rows, which a sample of rows would miss.
    rng = np.random.default_rng(1)
    m, n = 5000, 40
    A = 1e-8 * rng.standard_normal((m, n))
    A[rng.choice(m, n, replace=False)] += np.diag(np.logspace(0, -6, n))
    b = rng.standard_normal(m)
    result = ritz.lstsq(A, b, method=method)
    assert result.converged
    assert backward_error(A, b, result.x) <= 5e-16
    assert result.iterations <= 40


def test_rows_of_the_identity_and_zeros():
    A = np.eye(3000, 30)
    b = np.random.default_rng(0).standard_normal(3000)
    result = ritz.lstsq(A, b, method="spir")
    np.testing.assert_allclose(result.x, b[:30], rtol=1e-13, atol=1e-15)


def test_the_certificate_holds_between_its_bounds():
    for condition in (1e2, 1e8):
        for rtol in (1e-4, 1e-8, 1e-11):
            A, b = problem(4000, 50, condition, 1.0)
            A *= 1.0 / np.linalg.norm(A, axis=0)
            result = ritz.lstsq(A, b, method="spir", rtol=rtol, d=600)
            assert result.converged
            assert result.backward_error <= rtol
            # Distortion 1 ± √(1/12) and nothing else lies between the two formulas.
            assert 0.65 < result.backward_error / backward_error(A, b, result.x) < 1.5


def test_a_looser_tolerance_costs_less():
    A, b = problem(4000, 50, 1e4, 1.0)
    runs = [ritz.lstsq(A, b, method="spir", rtol=rtol) for rtol in (1e-4, 1e-8, None)]
    counts = [r.iterations for r in runs]
    assert counts[0] < counts[1] < counts[2]
    assert all(r.converged for r in runs)


def test_an_unattainable_tolerance_is_a_precision_limit():
    A, b = problem(2000, 20, 1e4, 1.0)
    result = ritz.lstsq(A, b, method="spir", rtol=1e-25)
    assert result.status is Status.precision_limit
    assert result.info != 0
    assert result.verified
    assert result.backward_error < EPS
    assert "loosen the tolerance" in result.message


# ------------------------------------------------------------------------------------ iterations


@pytest.mark.parametrize("ratio", [4, 12, 30])
def test_momentum_gains_the_root_of_n_over_d(ratio):
    n = 60
    A, b = problem(8000, n, 2.0, 1.0)
    result = ritz.lstsq(A, b, method="momentum", d=ratio * n, history=True)
    assert result.converged
    errors = result.history
    k = next(i for i, e in enumerate(errors) if e <= 1e-7 * errors[0])
    rate = (errors[k] / errors[0]) ** (1.0 / k)
    # β = √(n/d) instead of n/d makes it (n/d)^(1/4): .71, .54, .43 instead of .5, .29, .18.
    assert rate == pytest.approx(math.sqrt(1.0 / ratio), rel=0.35)


@pytest.mark.parametrize("ratio", [2, 4, 12])
def test_conjugate_gradients_are_no_slower(ratio):
    # At d = 2 n iterative sketching without momentum, which needs d > 11.7 n, would diverge.
    n = 60
    A, b = problem(8000, n, 2.0, 1.0)
    result = ritz.lstsq(A, b, method="spir", d=ratio * n, history=True)
    assert result.converged
    assert result.d == ratio * n
    errors = result.history
    k = next(i for i, e in enumerate(errors) if e <= 1e-7 * errors[0])
    assert (errors[k] / errors[0]) ** (1.0 / k) <= 1.1 * math.sqrt(1.0 / ratio)


def test_momentum_gives_way_to_conjugate_gradients():
    # Few columns and few rows of the sketch: it distorts by more than √(n/d).
    A, b = problem(100, 3, 1e2, 1.0)
    results = [ritz.lstsq(A, b, method="momentum", d=11, seed=seed) for seed in range(40)]
    assert all(r.converged for r in results)
    assert {r.method for r in results} == {"momentum", "spir"}


def test_defect_zero_start():
    # Of a consistent system it gives the solution; from zero it would be 30 iterations.
    A, b = problem(4000, 50, 1e6, 0.0)
    assert ritz.lstsq(A, b, method="spir", d=600).iterations <= 7


# ------------------------------------------------------------------------------- special problems


def test_a_right_hand_side_of_zeros():
    A, _ = problem(2000, 20, 10.0, 1.0)
    for method in ("spir", "momentum", "qr"):
        result = ritz.lstsq(A, np.zeros(2000), method=method)
        assert result.converged
        assert not result.x.any()
        assert result.residual == result.backward_error == 0.0
        assert result.products.total == 0


@pytest.mark.parametrize("method", ["auto", "spir", "qr"])
def test_a_matrix_of_zeros(method):
    b = np.ones(400)
    result = ritz.lstsq(np.zeros((400, 5)), b, method=method)
    assert result.converged
    assert not result.x.any()
    assert result.residual == pytest.approx(20.0)
    assert result.rank == 0


@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_one_row_more_than_columns(n):
    A, b = problem(n + 1, n, 1e3 if n > 1 else 1.0, 0.5)
    x, info = ritz.lstsq(A, b)
    assert info == 0
    assert backward_error(A, b, x) <= 5e-16


def test_square_and_empty():
    A = np.random.default_rng(0).standard_normal((9, 9))
    b = np.arange(9.0)
    np.testing.assert_allclose(ritz.lstsq(A, b).x, np.linalg.solve(A, b), rtol=1e-10)
    assert ritz.lstsq(np.zeros((4, 0)), np.ones(4)).x.shape == (0,)
    assert ritz.lstsq(np.ones((4, 2)), np.ones((4, 0))).x.shape == (2, 0)


@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
def test_of_a_deficient_rank_the_least_norm(method):
    rng = np.random.default_rng(2)
    A = rng.standard_normal((3000, 12)) @ rng.standard_normal((12, 20))
    b = rng.standard_normal(3000)
    result = ritz.lstsq(A, b, method=method)
    x = scipy.linalg.lstsq(A, b, cond=1e-12)[0]
    assert result.rank == 12
    np.testing.assert_allclose(result.x, x, rtol=1e-10, atol=1e-12)
    assert result.converged


def test_columns_of_zeros_and_twin_columns():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((2000, 10))
    A[:, 3] = 0.0
    A[:, 7] = A[:, 2]
    b = rng.standard_normal(2000)
    for method in ("spir", "qr"):
        result = ritz.lstsq(A, b, method=method)
        assert result.rank == 8
        assert result.x[3] == 0.0
        np.testing.assert_allclose(
            result.x, scipy.linalg.lstsq(A, b, cond=1e-12)[0], rtol=1e-11, atol=1e-14
        )


def test_badly_scaled_columns_are_no_loss_of_rank():
    A, b = problem(2000, 20, 10.0, 1.0)
    scale = np.logspace(-20, 20, 20)
    plain = ritz.lstsq(A, b, method="spir")
    result = ritz.lstsq(A * scale, b, method="spir")
    assert result.rank == 20
    np.testing.assert_allclose(result.x * scale, plain.x, rtol=1e-11)


@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
@pytest.mark.parametrize(("a", "c"), [(1e25, 1.0), (1e-25, 1.0), (1.0, 1e25), (1e-25, 1e-25)])
def test_units_change_nothing(method, a, c):
    A, b = problem(3000, 30, 1e6, 1e-2)
    a, c = 2.0 ** round(math.log2(a)), 2.0 ** round(math.log2(c))
    plain = ritz.lstsq(A, b, method=method)
    result = ritz.lstsq(a * A, c * b, method=method)
    assert (result.status, result.iterations) == (plain.status, plain.iterations)
    np.testing.assert_allclose(result.x * (a / c), plain.x, rtol=1e-12)
    assert result.backward_error == pytest.approx(plain.backward_error, rel=1e-9)


@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
@pytest.mark.parametrize("damp", [1e-6, 1e-2, 1.0, 100.0])
def test_damping(method, damp):
    A, b = problem(3000, 25, 1e8, 1.0)
    result = ritz.lstsq(A, b, damp=damp, method=method)
    stacked, c = np.vstack([A, damp * np.eye(25)]), np.concatenate([b, np.zeros(25)])
    x = scipy.linalg.lstsq(stacked, c)[0]
    assert result.converged
    np.testing.assert_allclose(result.x, x, atol=1e-13 + 1e-17 / damp**2)
    assert backward_error(stacked, c, result.x) <= 5e-16
    assert result.residual == pytest.approx(np.linalg.norm(c - stacked @ x))
    gradient = A.T @ (b - A @ result.x) - damp**2 * result.x
    assert result.normal_residual == pytest.approx(np.linalg.norm(gradient), abs=1e-14)


def test_damping_of_a_deficient_rank():
    A = np.ones((1000, 3))
    b = np.arange(1000.0)
    result = ritz.lstsq(A, b, damp=0.5, method="spir")
    expected = np.linalg.solve(A.T @ A + 0.25 * np.eye(3), A.T @ b)
    np.testing.assert_allclose(result.x, expected, rtol=1e-12)
    assert result.rank == 3


@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
def test_many_right_hand_sides(method):
    A, b = problem(3000, 30, 1e10, 1e-3)
    rng = np.random.default_rng(5)
    B = np.column_stack([b, np.zeros(3000), A @ np.ones(30), *rng.standard_normal((9, 3000))])
    result = ritz.lstsq(A, B, method=method)
    assert result.x.shape == (30, 12)
    assert len(result.columns) == 12
    assert result.converged
    for j, column in enumerate(result.columns):
        assert column.converged
        np.testing.assert_array_equal(column.x, result.x[:, j])
        if j != 1:
            assert backward_error(A, B[:, j], result.x[:, j]) <= 5e-16
    # The sketch and its triangle are shared, and a reading of A serves eight columns.
    alone = sum(ritz.lstsq(A, B[:, j], method=method).passes for j in range(12))
    assert result.passes <= 0.4 * alone


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.complex128])
@pytest.mark.parametrize("method", ["spir", "momentum", "qr"])
def test_element_types(dtype, method):
    eps = np.finfo(dtype).eps
    for condition in (10.0, 0.01 / eps):
        A, b = problem(3000, 30, condition, 1e-2, dtype=dtype)
        result = ritz.lstsq(A, b, method=method)
        assert result.x.dtype == dtype
        assert result.converged
        assert result.target == eps
        assert backward_error(A, b, result.x) <= 2.3 * eps


def test_layouts_give_the_same_minimiser():
    A, b = problem(3000, 40, 1e3, 1.0)
    expected = ritz.lstsq(A, b, method="spir").x
    for other in (np.asfortranarray(A), np.repeat(A, 2, axis=1)[:, ::2]):
        result = ritz.lstsq(other, b, method="spir")
        np.testing.assert_allclose(result.x, expected, atol=1e-11)


# --------------------------------------------------------------------------- sparse and operators


@pytest.mark.parametrize("kind", ["csr", "csc", "coo"])
@pytest.mark.parametrize("method", ["auto", "spir", "momentum", "qr"])
def test_sparse_matrices(kind, method):
    S = scipy.sparse.random(6000, 40, 0.05, format=kind, random_state=0)
    b = np.random.default_rng(1).standard_normal(6000)
    result = ritz.lstsq(S, b, method=method)
    A = S.toarray()
    assert result.converged
    assert backward_error(A, b, result.x) <= 5e-16
    np.testing.assert_allclose(result.x, scipy.linalg.lstsq(A, b)[0], rtol=1e-10, atol=1e-13)


def test_wide_indices():
    S = scipy.sparse.random(3000, 20, 0.1, format="csr", random_state=0)
    wide = S.copy()
    wide.indptr, wide.indices = wide.indptr.astype(np.int64), wide.indices.astype(np.int64)
    b = np.ones(3000)
    x = ritz.lstsq(S, b, method="spir").x
    np.testing.assert_array_equal(ritz.lstsq(wide, b, method="spir").x, x)


@pytest.mark.parametrize("method", ["auto", "spir", "momentum", "qr"])
def test_operators(method):
    M, b = problem(3000, 40, 1e8, 1e-2)
    calls = {"forward": 0, "adjoint": 0}

    def matmat(X):
        calls["forward"] += X.shape[1]
        return M @ X

    def rmatmat(Y):
        calls["adjoint"] += Y.shape[1]
        return M.T @ Y

    A = ritz.LinearOperator((3000, 40), matmat=matmat, rmatmat=rmatmat)
    result = ritz.lstsq(A, b, method=method)
    assert result.converged
    assert backward_error(M, b, result.x) <= 5e-16
    assert result.products.total == sum(calls.values()) == A.counts.total
    pairs = result.iterations + result.refinements + 1
    assert calls == {"forward": 40 + pairs, "adjoint": pairs}


def test_operators_without_an_adjoint():
    A = ritz.LinearOperator((30, 4), matvec=lambda x: np.ones(30))
    with pytest.raises(ValueError, match="adjoint"):
        ritz.lstsq(A, np.ones(30))


def test_products_and_passes_are_counted():
    A, b = problem(4000, 50, 1e4, 1.0)
    operator = ritz.aslinearoperator(A)
    result = ritz.lstsq(operator, b, method="spir")
    pairs = result.iterations + result.refinements + 1
    assert result.products == (pairs, pairs, 0)
    assert result.passes == pairs + 1
    assert operator.counts.total == 2 * pairs
    direct = ritz.lstsq(A, b, method="qr")
    assert (direct.iterations, direct.passes, direct.d) == (0, 2, 4000)


# ------------------------------------------------------------------------------------- frameworks


@pytest.mark.parametrize("name", ["torch", "jax.numpy"])
def test_frameworks(name):
    kind = pytest.importorskip(name)
    A, b = problem(1000, 10, 10.0, 1.0, dtype=np.float32)
    asarray = kind.from_numpy if name == "torch" else kind.asarray
    x = ritz.lstsq(asarray(A), asarray(b), method="spir").x
    assert type(x) is type(asarray(b))
    np.testing.assert_array_equal(np.asarray(x), ritz.lstsq(A, b, method="spir").x)


def test_trees():
    M, b = problem(60, 6, 10.0, 1.0)
    A = ritz.LinearOperator(
        (60, 6),
        matvec=lambda x: M @ x,
        rmatvec=lambda y: M.T @ y,
        domain={"w": np.zeros((2, 2)), "b": np.zeros(2)},
        codomain={"r": np.zeros((6, 10))},
    )
    x = ritz.lstsq(A, {"r": b.reshape(6, 10)}).x
    flat = A.domain.flat(x)
    np.testing.assert_allclose(flat, scipy.linalg.lstsq(M, b)[0], rtol=1e-12)


# ---------------------------------------------------------------------------- how runs are watched


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads():
    A, b = problem(20000, 40, 1e6, 1.0)
    before = ritz.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            ritz.set_num_threads(threads)
            found = [
                ritz.lstsq(M, b, method=method).x
                for M in (A, np.asfortranarray(A))
                for method in ("spir", "qr")
            ]
            results.append(found)
    finally:
        ritz.set_num_threads(before)
    for found in results[1:]:
        for x, y in zip(found, results[0], strict=True):
            np.testing.assert_array_equal(x, y)
    other = ritz.lstsq(A, b, method="spir", seed=1)
    assert other.seed == 1
    assert (other.x != results[0][0]).any()


def test_the_callback_sees_every_iteration_and_may_stop():
    A, b = problem(3000, 30, 1e4, 1.0)
    seen = []
    result = ritz.lstsq(A, b, method="spir", callback=seen.append, history=True)
    assert [s.iteration for s in seen] == list(range(1, result.iterations + 1))
    assert [s.residual for s in seen] == list(result.history)
    stopped = ritz.lstsq(A, b, method="spir", callback=lambda s: s.iteration == 6)
    assert stopped.status is Status.stopped
    assert stopped.iterations == 6
    assert not stopped.verified
    # What had been done is not lost.
    start = backward_error(A, b, ritz.lstsq(A, b, method="spir", rtol=1.0).x)
    assert backward_error(A, b, stopped.x) < 0.1 * start


def test_a_stop_ends_all_columns():
    A, _ = problem(3000, 30, 1e4, 1.0)
    B = np.random.default_rng(0).standard_normal((3000, 20))
    result = ritz.lstsq(A, B, method="spir", callback=lambda s: s.iteration == 3)
    assert result.iterations == 3
    assert {column.status for column in result.columns} == {Status.stopped}
    # Those that it never came to have what the sketch gave them.
    assert np.all(np.linalg.norm(B - A @ result.x, axis=0) < 1.1 * np.linalg.norm(B, axis=0))


def test_an_exception_arrives_unchanged():
    A, b = problem(3000, 30, 1e4, 1.0)

    class Oops(Exception):
        pass

    def fail(_):
        raise Oops

    with pytest.raises(Oops):
        ritz.lstsq(A, b, method="spir", callback=fail)

    def product(X):
        raise Oops

    with pytest.raises(Oops):
        ritz.lstsq(ritz.LinearOperator((30, 4), matvec=product, rmatvec=product), np.ones(30))


def test_limits():
    A, b = problem(3000, 30, 1e4, 1.0)
    result = ritz.lstsq(A, b, method="spir", maxiter=4)
    assert result.status is Status.max_iterations
    assert result.iterations == 4
    assert result.verified
    assert result.backward_error > EPS
    result = ritz.lstsq(A, b, method="spir", max_products=10)
    assert result.status is Status.max_products
    assert result.products.total == 10
    result = ritz.lstsq(A, b, method="spir", timeout=0.0)
    assert result.status is Status.timeout
    assert result.iterations == 1
    few = ritz.lstsq(
        ritz.LinearOperator((300, 30), matvec=lambda x: 0 / 0, rmatvec=lambda x: 0 / 0),
        np.ones(300),
        max_products=20,
    )
    assert few.status is Status.max_products
    assert few.products.total == 0


def test_nan_ends_the_run():
    A, b = problem(1000, 10, 10.0, 1.0)
    for value in (np.nan, np.inf):
        for method in ("spir", "momentum", "qr"):
            bad = A.copy()
            bad[17, 3] = value
            assert ritz.lstsq(bad, b, method=method).status is Status.nonfinite
            c = b.copy()
            c[5] = value
            assert ritz.lstsq(A, c, method=method).status is Status.nonfinite
            both = ritz.lstsq(A, np.column_stack([b, c]), method=method)
            assert [column.status.name for column in both.columns] == ["converged", "nonfinite"]
            assert both.status is Status.nonfinite


def test_condition_and_warning():
    for condition in (1.0, 1e5, 1e10):
        A, b = problem(4000, 30, condition, 1.0)
        A /= np.linalg.norm(A, axis=0)
        result = ritz.lstsq(A, b, method="spir")
        assert 0.3 < result.condition / np.linalg.cond(A) < 3.0
        assert "rank-deficient" not in result.message
    A, b = problem(4000, 30, 1e15, 1.0)
    assert "rank-deficient" in ritz.lstsq(A, b, method="spir").message
    A, b = problem(4000, 30, 1e15, 1e-12)
    assert "rank-deficient" not in ritz.lstsq(A, b, method="spir").message


def test_automatic_choices():
    few, b = problem(3000, 5, 10.0, 1.0)
    assert ritz.lstsq(few, b).method == "qr"
    square = np.random.default_rng(0).standard_normal((200, 100))
    assert ritz.lstsq(square, np.ones(200)).method == "qr"
    wide = np.random.default_rng(0).standard_normal((20000, 300))
    result = ritz.lstsq(wide, np.ones(20000))
    assert result.method == "spir"
    assert 4 * 300 <= result.d <= 10000
    assert result.converged
    assert "backward_error" in repr(result)


def test_bad_arguments():
    A, b = problem(100, 10, 10.0, 1.0)
    with pytest.raises(ValueError, match=r"A has shape \(10, 100\).*lsqr, lsmr and craig"):
        ritz.lstsq(A.T, np.ones(10))
    with pytest.raises(ValueError, match=r"b has shape \(7,\)"):
        ritz.lstsq(A, np.ones(7))
    with pytest.raises(ValueError, match="method is 'cg'"):
        ritz.lstsq(A, b, method="cg")
    with pytest.raises(ValueError, match="d is 10; pass an integer of at least 11"):
        ritz.lstsq(A, b, d=10)
    with pytest.raises(ValueError, match="damp is -1"):
        ritz.lstsq(A, b, damp=-1)
    with pytest.raises(ValueError, match="nnz is 0"):
        ritz.lstsq(A, b, nnz=0)
    with pytest.raises(TypeError, match="complex"):
        ritz.lstsq(
            ritz.LinearOperator((5, 2), matvec=abs, rmatvec=abs, dtype=np.float64), 1j * b[:5]
        )
