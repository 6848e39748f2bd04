"""Kaczmarz and sketch-and-project against closed forms and dense linear algebra."""

import math
import signal
import threading

import numpy as np
import pytest
import scipy.sparse

import ritz
from ritz.results import Status
from ritz.sketch import CountSketch, Gaussian, SparseStack

DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


def normal(*shape, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def consistent(m, n, seed=0, dtype=np.float64):
    A, x = normal(m, n, seed=seed, dtype=dtype), normal(n, seed=seed + 1, dtype=dtype)
    return A, A @ x, x


def error(x, exact):
    return np.linalg.norm(x - exact) / np.linalg.norm(exact)


def exactly(A, b, steps, **options):
    """Return x after so many steps."""
    result = ritz.kaczmarz(
        A, b, rtol=0.0, maxiter=steps, check_every=steps, method="plain", **options
    )
    assert result.iterations == steps
    return result.x


def philox(seed, stream, i):
    """The 128 bits of element i of a stream, written down once more from the paper."""
    c = [i & 0xFFFFFFFF, i >> 32, stream & 0xFFFFFFFF, stream >> 32]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def seed_of_step(seed, step):
    low, high, _, _ = philox(seed, 0x26 << 56 | 2 << 48, step)
    return high << 32 | low


# ------------------------------------------------------------------------------- rate of Kaczmarz


@pytest.mark.parametrize("omega", [1.0, 0.5, 1.6])
def test_the_mean_error_falls_as_theory_says(omega):
    # Orthogonal columns of one norm make E‖x − x*‖² = (1 − ω(2 − ω)/n)ᵏ exactly, whatever the
    # norms of the rows are.
    n, runs = 8, 400
    weights = np.logspace(0, -2, 60)[:, None]
    A = np.linalg.qr(weights * normal(60, n, seed=3))[0]
    x = normal(n, seed=4)
    x /= np.linalg.norm(x)
    for steps in (1, 8, 24):
        errors = [
            np.sum((exactly(A, A @ x, steps, seed=seed, relaxation=omega) - x) ** 2)
            for seed in range(runs)
        ]
        expected = (1.0 - omega * (2.0 - omega) / n) ** steps
        spread = np.std(errors) / math.sqrt(runs)
        assert abs(np.mean(errors) - expected) <= 5.0 * spread + 1e-15


def test_the_mean_error_stays_below_its_bound():
    A, b, x = consistent(40, 6, seed=1)
    A = A * np.logspace(0, -0.5, 6)
    b = A @ x
    s = np.linalg.svd(A, compute_uv=False)
    rate = 1.0 - s[-1] ** 2 / np.sum(s**2)
    for steps in (20, 60):
        errors = [np.sum((exactly(A, b, steps, seed=k) - x) ** 2) for k in range(200)]
        assert np.mean(errors) <= 1.05 * rate**steps * np.sum(x**2)


def test_defect_rows_drawn_uniformly():
    # 10 rows are the system, 490 small ones all but repeat one of them.
    A = np.zeros((500, 10))
    A[:10] = 1000.0 * np.eye(10) + 300.0 * np.roll(np.eye(10), 1, axis=1)
    A[10:, 0], A[10:, 1] = 1e-3, 1e-4
    x = normal(10, seed=1)
    b = A @ x
    result = ritz.kaczmarz(A, b)
    assert result.converged
    assert result.row_uses <= 1200
    assert error(result.x, x) <= 1e-5
    rng = np.random.default_rng(0)
    y = np.zeros(10)
    for i in rng.integers(0, 500, result.row_uses):
        y += A[i] * (b[i] - A[i] @ y) / (A[i] @ A[i])
    assert error(y, x) > 1e-2


# --------------------------------------------------------------------------------------- solutions


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("block", [1, 5])
def test_solves_consistent_systems(dtype, order, block):
    A, b, x = consistent(200, 15, dtype=dtype)
    A = np.asarray(A, order=order)
    rtol = 1e-5 if np.finfo(dtype).eps > 1e-10 else 1e-10
    result = ritz.kaczmarz(A, b, rtol=rtol, block=block)
    assert result.status is Status.converged
    assert result.info == 0
    assert result.verified
    assert result.method == "plain"
    assert result.x.dtype == dtype
    assert result.residual <= result.target == pytest.approx(rtol * np.linalg.norm(b), rel=1e-5)
    assert result.residual == pytest.approx(np.linalg.norm(b - A @ result.x), rel=0.05)
    assert error(result.x, x) <= 10 * rtol


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["auto", "extended"])
@pytest.mark.parametrize("block", [1, 4])
def test_minimises_the_residual_of_others(dtype, method, block):
    A, b = normal(150, 10, dtype=dtype), normal(150, seed=2, dtype=dtype)
    rtol = 1e-5 if np.finfo(dtype).eps > 1e-10 else 1e-10
    result = ritz.kaczmarz(A, b, rtol=rtol, method=method, block=block)
    exact = np.linalg.lstsq(A, b, rcond=None)[0]
    assert result.status is Status.converged
    assert result.method == "extended"
    assert error(result.x, exact) <= 100 * rtol
    size = np.linalg.norm(A) * np.linalg.norm(b - A @ result.x)
    assert result.normal_residual <= result.normal_target == pytest.approx(rtol * size, rel=1e-4)
    assert np.linalg.norm(A.conj().T @ (b - A @ result.x)) <= 3 * rtol * size


def test_the_plain_method_says_when_there_is_no_solution():
    A, b = normal(100, 5), normal(100, seed=2)
    result = ritz.kaczmarz(A, b, method="plain")
    assert result.status is Status.stagnation
    assert result.info != 0
    assert "no solution" in result.message
    assert result.column_uses == 0


def test_a_consistent_system_costs_no_columns():
    # Slow, but not inconsistent: 50 rows of 40 unknowns.
    A, b, x = consistent(50, 40, seed=3)
    result = ritz.kaczmarz(A, b, rtol=1e-4, maxiter=10**7)
    assert result.converged
    assert result.column_uses == 0
    assert np.linalg.norm(A @ (result.x - x)) <= 1.01e-4 * np.linalg.norm(b)


@pytest.mark.parametrize("method", ["auto", "extended"])
def test_the_solution_nearest_the_start(method):
    A = normal(12, 40)
    b = normal(12, seed=1)
    options = {"method": method, "rtol": 1e-12}
    nearest = np.linalg.pinv(A)
    np.testing.assert_allclose(ritz.kaczmarz(A, b, **options).x, nearest @ b, rtol=1e-9, atol=1e-11)
    x0 = normal(40, seed=2)
    x = ritz.kaczmarz(A, b, x0, **options).x
    np.testing.assert_allclose(x, x0 + nearest @ (b - A @ x0), rtol=1e-9, atol=1e-10)


def test_of_a_deficient_rank_the_least_norm():
    A = normal(80, 4) @ normal(4, 9, seed=1)
    b = normal(80, seed=2)
    result = ritz.kaczmarz(A, b, rtol=1e-10)
    assert result.converged
    assert error(result.x, np.linalg.pinv(A) @ b) <= 1e-7


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize("wide", [False, True])
def test_sparse_matrices(layout, wide):
    A = scipy.sparse.random(300, 30, 0.3, layout, np.float64, rng=np.random.default_rng(0))
    if wide:
        A.indptr, A.indices = A.indptr.astype(np.int64), A.indices.astype(np.int64)
    for b in (A @ normal(30), normal(300, seed=1)):
        sparse, dense = ritz.kaczmarz(A, b, seed=3), ritz.kaczmarz(A.toarray(), b, seed=3)
        assert sparse.converged
        assert sparse.iterations == dense.iterations
        np.testing.assert_allclose(sparse.x, dense.x, rtol=1e-10)
        assert sparse.products == dense.products


def test_several_right_hand_sides_are_several_runs():
    A = normal(90, 8)
    B = np.stack([A @ normal(8), normal(90, seed=1), np.zeros(90)], axis=1)
    X0 = normal(8, 3, seed=5)
    result = ritz.kaczmarz(A, B, X0, seed=2)
    assert result.converged
    assert result.x.shape == (8, 3)
    assert [c.method for c in result.columns] == ["plain", "extended", "plain"]
    for j, column in enumerate(result.columns):
        one = ritz.kaczmarz(A, B[:, j], X0[:, j], seed=2)
        assert (one.x == column.x).all()
        assert one.products == column.products
    assert result.row_uses == sum(c.row_uses for c in result.columns)
    assert ritz.kaczmarz(A, B[:, :1]).x.shape == (8,)


def test_frameworks():
    torch = pytest.importorskip("torch")
    A, b, x = consistent(60, 6)
    result = ritz.kaczmarz(torch.tensor(A), torch.tensor(b))
    assert isinstance(result.x, torch.Tensor)
    assert error(result.x.numpy(), x) <= 1e-5
    result = ritz.sketch_and_project(torch.tensor(A), torch.tensor(b))
    assert isinstance(result.x, torch.Tensor)
    jnp = pytest.importorskip("jax.numpy")
    result = ritz.kaczmarz(jnp.asarray(A, jnp.float32), jnp.asarray(b, jnp.float32), rtol=1e-4)
    assert type(result.x).__module__.startswith("jax")
    assert error(np.asarray(result.x), x) <= 1e-3


# ------------------------------------------------------------------------------ endings, accounts


@pytest.mark.parametrize("scale", [1e-25, 1e25])
@pytest.mark.parametrize("method", ["auto", "plain", "extended"])
def test_units_change_nothing(scale, method):
    A, b, _ = consistent(80, 7)
    for right in (b, normal(80, seed=5)):
        one = ritz.kaczmarz(A, right, method=method)
        for a, c in ((A * scale, right), (A, right * scale)):
            other = ritz.kaczmarz(a, c, method=method)
            assert other.status is one.status
            assert other.iterations == one.iterations
    f = np.float32
    one = ritz.kaczmarz(A.astype(f), b.astype(f), rtol=1e-4)
    other = ritz.kaczmarz((A * 1e8).astype(f), (b * 1e-8).astype(f), rtol=1e-4)
    assert one.status is other.status is Status.converged
    assert abs(one.iterations - other.iterations) <= 7


def test_an_unattainable_tolerance_is_a_precision_limit():
    A, b, x = consistent(80, 7)
    for right, exact in ((b, x), (b + 1.0, None)):
        result = ritz.kaczmarz(A, right, rtol=0.0)
        assert result.status is Status.precision_limit
        assert result.verified
        exact = np.linalg.lstsq(A, right, rcond=None)[0] if exact is None else exact
        assert error(result.x, exact) <= 1e-14


@pytest.mark.parametrize("check_every", [None, 1])
def test_an_equation_drawn_twice_is_no_solution(check_every):
    # Its residual is zero the second time, whatever that of the other equation is.
    A = np.array([[1.0, 0.0], [math.cos(0.3), math.sin(0.3)]])
    options = {"method": "plain", "check_every": check_every, "maxiter": 20000}
    for seed in range(30):
        result = ritz.kaczmarz(A, np.array([1.0, -2.0]), seed=seed, **options)
        assert result.converged
        assert result.checks <= 8


def test_zeros_and_numbers_that_are_none():
    A, b, _ = consistent(30, 4)
    assert ritz.kaczmarz(np.zeros((30, 4)), b).converged
    assert ritz.kaczmarz(np.zeros((30, 4)), b, method="plain").status is Status.stagnation
    assert not ritz.kaczmarz(A, 0 * b, np.ones(4)).x.any()
    A[5, 1] = np.nan
    assert ritz.kaczmarz(A, b).status is Status.nonfinite
    A[5] = 0.0
    assert ritz.kaczmarz(A, b).converged  # a row of zeros whose b is not
    b[3] = np.inf
    assert ritz.kaczmarz(A, b).status is Status.nonfinite


def test_one_row_one_column_and_none():
    row, column = normal(1, 5), normal(5, 1)
    x, info = ritz.kaczmarz(row, [3.0], rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(x, np.linalg.pinv(row)[:, 0] * 3.0)
    x = ritz.kaczmarz(column, np.arange(5.0), rtol=1e-10).x
    np.testing.assert_allclose(x, np.linalg.pinv(column) @ np.arange(5.0), rtol=1e-8)
    assert ritz.kaczmarz(np.array([[2.0]]), [4.0], rtol=1e-14).x == pytest.approx([2.0])
    assert ritz.kaczmarz(np.ones((4, 0)), np.ones(4)).x.shape == (0,)
    assert ritz.kaczmarz(np.ones((4, 2)), np.ones((4, 0))).x.shape == (2, 0)
    assert ritz.sketch_and_project(np.ones((0, 3)), np.ones(0)).x.shape == (3,)


def test_the_same_seed_the_same_bits():
    A, b = normal(50, 6), normal(50, seed=1)
    one, other = (ritz.kaczmarz(A, b, seed=7, block=2) for _ in range(2))
    assert (one.x == other.x).all()
    assert one.seed == 7
    assert (one.x != ritz.kaczmarz(A, b, seed=8, block=2).x).any()
    first, second = (ritz.sketch_and_project(A, A @ np.ones(6), seed=7) for _ in range(2))
    assert (first.x == second.x).all()
    assert (first.x != ritz.sketch_and_project(A, A @ np.ones(6), seed=8).x).any()


@pytest.mark.parametrize("right", ["consistent", "any"])
def test_the_account_is_honest(right):
    m, n, block = 100, 6, 3
    A, b, _ = consistent(m, n)
    if right == "any":
        b = normal(m, seed=4)
    operator = ritz.aslinearoperator(A)
    result = ritz.kaczmarz(operator, b, block=block)
    used = result.row_uses / m + result.column_uses / n
    assert result.row_uses == block * result.iterations
    assert result.products.matvec == result.products.rmatvec == math.ceil(used) + result.checks
    assert operator.counts == result.products
    # The norms of the rows; those of the columns and the residual that the change needs.
    extra = 1 + (2 if right == "any" else 0)
    assert result.passes == pytest.approx(used + result.checks + extra)
    limited = ritz.kaczmarz(A, b, rtol=1e-13, max_products=4)
    assert limited.status is Status.max_products
    late = ritz.kaczmarz(A, b, rtol=1e-13, maxiter=11)
    assert late.status is Status.max_iterations
    assert late.iterations == 11
    assert ritz.kaczmarz(A, b, rtol=0.0, timeout=0.0).status is Status.timeout


def test_the_estimate_is_the_residual_in_the_mean():
    # One look at the very start: the mean of |t|²/‖a‖² over one step.
    A, b = normal(40, 5) * np.logspace(0, 1, 40)[:, None], normal(40, seed=1)
    runs = [ritz.kaczmarz(A, b, seed=s, maxiter=1, check_every=1, history=True) for s in range(600)]
    squares = np.array([r.history[0] ** 2 for r in runs])
    spread = squares.std() / math.sqrt(len(runs))
    assert abs(squares.mean() - np.sum(b**2)) <= 5 * spread


def test_callbacks_and_history():
    A, b, _ = consistent(100, 10)
    seen = []
    result = ritz.kaczmarz(A, b, callback=seen_by(seen), history=True, check_every=5)
    steps = [step for step, _, _ in seen]
    assert steps == list(range(5, result.iterations + 1, 5))
    assert len(result.history) == len(seen)
    np.testing.assert_array_equal(result.history, [r for _, r, _ in seen])
    # What is handed over is the iterate, and the estimate is about its residual.
    ratios = [r / np.linalg.norm(b - A @ x) for _, r, x in seen]
    assert 0.5 < np.median(ratios) < 5.0
    stop = {"callback": lambda it: it.iteration >= 15, "check_every": 10}
    stopped = ritz.kaczmarz(A, b, rtol=0.0, **stop)
    assert stopped.status is Status.stopped
    assert stopped.iterations == 20

    def fail(it):
        raise KeyError("mine")

    for solve in (ritz.kaczmarz, ritz.sketch_and_project):
        with pytest.raises(KeyError, match="mine"):
            solve(A, b, callback=fail)


def seen_by(seen):
    return lambda it: seen.append((it.iteration, it.residual, it.x.copy())) and None


@pytest.mark.parametrize("name", ["kaczmarz", "sketch_and_project"])
def test_an_interrupt_ends_it(name):
    A, b = normal(300, 100), normal(300, seed=1)
    options = {"method": "plain"} if name == "kaczmarz" else {}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            getattr(ritz, name)(A, b, maxiter=10**12, **options)
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)


def test_misuse():
    A, b, _ = consistent(20, 4)
    for arguments, words in [
        ({"method": "fast"}, "method is 'fast'; pass one of"),
        ({"relaxation": 2.0}, "relaxation is 2.0"),
        ({"relaxation": 0.0}, "relaxation is 0"),
        ({"block": 0}, "block is 0"),
        ({"rtol": -1.0}, "rtol is -1"),
        ({"maxiter": 0}, "maxiter is 0"),
        ({"check_every": 0}, "check_every is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"x0": np.ones(5)}, r"x0 has shape \(5,\)"),
    ]:
        with pytest.raises(ValueError, match=words):
            ritz.kaczmarz(A, b, **arguments)
    with pytest.raises(ValueError, match=r"b has shape \(19,\)"):
        ritz.kaczmarz(A, b[1:])
    with pytest.raises(TypeError, match="sketch_and_project takes"):
        ritz.kaczmarz(2.0 * ritz.aslinearoperator(A), b)
    with pytest.raises(TypeError, match="x0 is complex"):
        ritz.kaczmarz(A, b, np.ones(4, complex))
    with pytest.raises(ValueError, match="so small that its norm underflows"):
        ritz.kaczmarz(A * 1e-200, b)
    square = A[:4] @ A[:4].T
    for arguments, words in [
        ({"sketch": "mine"}, "sketch is 'mine'; pass one of"),
        ({"method": "mine"}, "method is 'mine'; pass one of"),
        ({"d": 0}, "d is 0"),
        ({"method": "spd", "M": np.eye(4)}, "M cannot be combined"),
        ({"M": np.eye(3)}, r"M has shape \(3, 3\)"),
        ({"relaxation": 2.5}, "relaxation is 2.5"),
    ]:
        with pytest.raises(ValueError, match=words):
            ritz.sketch_and_project(square, b[:4], **arguments)
    with pytest.raises(ValueError, match="needs a square operator"):
        ritz.sketch_and_project(A, b, method="spd")
    with pytest.raises(ValueError, match="no adjoint"):
        ritz.sketch_and_project(ritz.LinearOperator((20, 4), lambda x: A @ x), b)


# ------------------------------------------------------------------------------ sketch-and-project


def operators(A):
    """Return A in every form that is sketched in its own way."""
    return {
        "array": A,
        "columns": np.asfortranarray(A),
        "csr": scipy.sparse.csr_array(A),
        "csc": scipy.sparse.csc_array(A),
        "operator": ritz.LinearOperator(
            A.shape, lambda x: A @ x, lambda y: A.conj().T @ y, dtype=A.dtype
        ),
    }


def sketches(kind, d, m, dtype):
    if kind == "gaussian":
        return lambda seed: Gaussian(d, m, seed=seed, dtype=dtype).to_dense()
    if kind == "count_sketch":
        return lambda seed: CountSketch(d, m, seed=seed, dtype=dtype).to_dense()
    return lambda seed: SparseStack(d, m, seed=seed, dtype=dtype, nnz=3).to_dense()


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("kind", ["gaussian", "sparse_stack", "count_sketch"])
@pytest.mark.parametrize("form", ["array", "columns", "csr", "csc", "operator"])
@pytest.mark.parametrize("with_m", [False, True])
def test_steps_are_those_of_the_formula(dtype, kind, form, with_m):
    m, n, d, steps, omega = 14, 9, 4, 5, 0.8
    A, b = normal(m, n, dtype=dtype), normal(m, seed=1, dtype=dtype)
    H = normal(n, n, seed=2, dtype=dtype)
    M = H @ H.conj().T + np.eye(n) if with_m else None
    options = {"sketch": kind, "d": d, "nnz": 3, "relaxation": omega, "seed": 11, "rtol": 0.0}
    x0 = normal(n, seed=3, dtype=dtype)
    result = ritz.sketch_and_project(operators(A)[form], b, x0, M=M, maxiter=steps, **options)
    x, inverse = x0.copy(), np.eye(n) if M is None else M
    make = sketches(kind, d, m, dtype)
    for k in range(steps):
        Sh = make(seed_of_step(11, k))  # Sᴴ
        W = A.conj().T @ Sh.conj().T
        G = W.conj().T @ inverse @ W
        x = x - omega * inverse @ W @ np.linalg.pinv(G) @ (Sh @ (A @ x - b))
    assert result.iterations == steps
    np.testing.assert_allclose(result.x, x, rtol=1e-9, atol=1e-11)
    assert result.preconditioner_products == (d * steps if with_m else 0)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("form", ["array", "csr", "csc", "operator"])
def test_newton_steps_are_those_of_the_formula(dtype, form):
    n, d, steps = 11, 3, 6
    H = normal(n, n, dtype=dtype)
    A, b = H @ H.conj().T + np.eye(n), normal(n, seed=1, dtype=dtype)
    options = {"d": d, "seed": 5, "rtol": 0.0, "maxiter": steps, "method": "spd"}
    result = ritz.sketch_and_project(operators(A)[form], b, **options)
    x = np.zeros(n, dtype)
    for k in range(steps):
        S = Gaussian(d, n, seed=seed_of_step(5, k), dtype=dtype).to_dense().conj().T
        x = x - S @ np.linalg.pinv(S.conj().T @ A @ S) @ (S.conj().T @ (A @ x - b))
    np.testing.assert_allclose(result.x, x, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("form", ["array", "columns", "csr", "csc"])
@pytest.mark.parametrize("d", [1, 3])
def test_rows_are_those_of_kaczmarz(dtype, form, d):
    A = normal(30, 8, dtype=dtype) * np.logspace(0, 1, 30)[:, None]
    b = A @ normal(8, seed=1, dtype=dtype)
    options = {"seed": 3, "rtol": 0.0, "maxiter": 30}
    x = ritz.kaczmarz(A, b, method="plain", block=d, **options).x
    y = ritz.sketch_and_project(operators(A)[form], b, sketch="rows", d=d, **options).x
    np.testing.assert_allclose(y, x, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("form", ["array", "csr", "operator"])
def test_a_step_on_coordinates_changes_no_others(form):
    n, d = 12, 4
    A, b = normal(n, n) @ normal(n, n).T + 20 * np.eye(n), normal(n, seed=1)
    A = A + A.T
    options = {"sketch": "rows", "method": "spd", "d": d, "rtol": 0.0, "maxiter": 1}
    x = ritz.sketch_and_project(operators(A)[form], b, **options).x
    changed = np.flatnonzero(x)
    assert changed.size == d
    np.testing.assert_allclose((A @ x)[changed], b[changed], rtol=1e-10)


@pytest.mark.parametrize("kind", ["gaussian", "sparse_stack", "count_sketch", "rows"])
@pytest.mark.parametrize("form", ["array", "csr", "operator"])
def test_consistent_systems_are_solved(kind, form):
    A, b, x = consistent(70, 20)
    operator = ritz.aslinearoperator(operators(A)[form])
    result = ritz.sketch_and_project(operator, b, sketch=kind, d=5, rtol=1e-8)
    assert result.status is Status.converged
    assert result.verified
    assert result.residual == pytest.approx(np.linalg.norm(b - A @ result.x), rel=1e-3)
    assert error(result.x, x) <= 1e-6
    assert result.norm_a == pytest.approx(np.linalg.norm(A), rel=0.2)
    # Sketches of arrays are no products; those of an operator are, and it counts them itself.
    asked = 5 * result.iterations if form == "operator" else 0
    assert result.products == (result.checks, 0, asked)
    assert operator.counts == result.products


def test_projections_find_the_nearest_solution_in_their_metric():
    A, x0 = normal(8, 25), normal(25, seed=1)
    b = normal(8, seed=2)
    M = np.diag(np.logspace(0, 1, 25))
    x = ritz.sketch_and_project(A, b, x0, M=M, d=4, rtol=1e-12).x
    nearest = x0 + M @ A.T @ np.linalg.solve(A @ M @ A.T, b - A @ x0)
    np.testing.assert_allclose(x, nearest, rtol=1e-8, atol=1e-9)


def test_a_metric_is_a_preconditioner():
    # (AᵀA)⁻¹ makes all directions alike.
    A = normal(60, 16) * np.logspace(0, -3, 16)
    b = A @ np.ones(16)
    M = np.linalg.inv(A.T @ A)
    plain = ritz.sketch_and_project(A, b, d=4, maxiter=400)
    better = ritz.sketch_and_project(A, b, d=4, M=M, maxiter=400)
    assert better.converged
    assert not plain.converged
    assert ritz.sketch_and_project(A, b, d=4, M=-M).status is Status.indefinite_preconditioner


def test_projections_end_honestly():
    A, b, _ = consistent(40, 6)
    off = normal(40, seed=9)
    assert ritz.sketch_and_project(A, off, d=3).status is Status.stagnation
    assert ritz.sketch_and_project(A, b, d=3, rtol=0.0).status is Status.precision_limit
    assert ritz.sketch_and_project(A, b, d=3, maxiter=2).status is Status.max_iterations
    operator = operators(A)["operator"]
    limited = ritz.sketch_and_project(operator, b, d=3, max_products=7)
    assert limited.status is Status.max_products
    assert ritz.sketch_and_project(A, b, timeout=0.0).status is Status.timeout
    for kind in ("gaussian", "rows"):
        nothing = ritz.sketch_and_project(np.zeros((9, 4)), np.ones(9), sketch=kind)
        assert nothing.status is Status.stagnation
    negative = -np.eye(5)
    assert ritz.sketch_and_project(negative, np.ones(5), method="spd").status is (
        Status.negative_curvature
    )
    A[3, 3] = np.nan
    assert ritz.sketch_and_project(A, b).status is Status.nonfinite


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_units_change_nothing_for_projections(scale):
    A, b, _ = consistent(30, 6)
    H = A.T @ A
    for matrix, right, method in ((A, b, "project"), (H, H @ np.ones(6), "spd")):
        one = ritz.sketch_and_project(matrix, right, d=2, method=method)
        other = ritz.sketch_and_project(matrix * scale, right / scale, d=2, method=method)
        assert one.converged
        assert other.converged
        assert abs(other.iterations - one.iterations) <= 1


def test_the_inner_solver_of_a_kkt_system():
    # Γ z = −∇L, indefinite, by a row or a Gaussian vector a step.
    n, p = 12, 3
    B, G = normal(n, n), normal(p, n, seed=1)
    B = 0.1 * B @ B.T + 2 * np.eye(n)
    K = np.block([[B, G.T], [G, np.zeros((p, p))]])
    g = normal(n + p, seed=2)
    for kind in ("rows", "gaussian"):
        z = ritz.sketch_and_project(K, -g, sketch=kind, d=6, rtol=1e-2)
        assert z.converged
        assert np.linalg.norm(K @ z.x + g) <= 1.01e-2 * np.linalg.norm(g)
