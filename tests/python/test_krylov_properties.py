"""Properties that every linear solver keeps, whatever its method."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from ritz import Status

DTYPES = ["f4", "f8", "c8", "c16"]


@dataclass(frozen=True)
class Method:
    """A solver: what it asks of A, and how its tolerance is spelt."""

    name: str
    needs: str  # "definite", "symmetric", "square", "consistent" (least norm) or "any"

    def __call__(
        self, A: Any, b: Any, x0: Any = None, *, rtol: float = 1e-6, **options: Any
    ) -> Any:
        f: Callable[..., Any] = getattr(ritz, self.name)
        if self.needs == "any":
            return f(A, b, atol=rtol, btol=rtol, conlim=0.0, x0=x0, **options)
        return f(A, b, x0, rtol=rtol, **options)

    def __str__(self) -> str:
        return self.name


METHODS = [
    Method("cg", "definite"),
    Method("fcg", "definite"),
    Method("cr", "definite"),
    Method("minres", "symmetric"),
    Method("minres_qlp", "symmetric"),
    Method("symmlq", "symmetric"),
    Method("gmres", "square"),
    Method("fgmres", "square"),
    Method("gcrodr", "square"),
    Method("bicgstab", "square"),
    Method("bicgstabl", "square"),
    Method("idrs", "square"),
    Method("sgmres", "square"),
    Method("lsqr", "any"),
    Method("lsmr", "any"),
    Method("cgls", "any"),
    Method("craig", "consistent"),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def eps(dtype: Any) -> float:
    return float(np.finfo(dtype).eps)


def product(A: Any, x: Any) -> Any:
    """A x in double precision, rounded once."""
    return (A.astype(np.result_type(A.dtype, "f8")) @ x).astype(x.dtype)


def gaussian(rng: Any, shape: Any, dtype: Any) -> Any:
    x = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


def unitary(rng: Any, n: int, dtype: Any) -> Any:
    return np.linalg.qr(gaussian(rng, (n, n), np.result_type(dtype, "f8")))[0]


def matrix(needs: str, n: int, dtype: Any, seed: int = 0, condition: float = 30.0) -> Any:
    """A well-conditioned matrix of the kind that a method asks for."""
    rng = np.random.default_rng(seed)
    values = np.geomspace(1.0, 1.0 / condition, n) if n else np.zeros(0)
    Q = unitary(rng, n, dtype)
    if needs == "symmetric":
        values = values * np.where(np.arange(n) % 3 == 1, -1.0, 1.0)
    P = Q if needs in ("definite", "symmetric") else unitary(rng, n, dtype)
    if needs == "square":
        # A moderate departure from a multiple of the identity: restarts and products of short
        # recurrences have no guarantee on random matrices.
        A = np.eye(n) + 0.4 * (Q * values) @ P.conj().T
    else:
        A = (Q * values) @ P.conj().T
    if needs in ("definite", "symmetric"):
        A = (A + A.conj().T) / 2
    return A.astype(dtype)


def wide(A: Any) -> Any:
    return np.asarray(A).astype(np.result_type(A.dtype, np.longdouble))


def true_residual(A: Any, x: Any, b: Any) -> float:
    r = wide(b) - wide(A) @ wide(x)
    return float(np.sqrt((abs(r) ** 2).sum()))


def norm(x: Any) -> float:
    return float(np.sqrt((abs(wide(x)) ** 2).sum()))


def rounding(A: Any, x: Any) -> float:
    """What a product with A in the working precision may be wrong by."""
    n = max(A.shape)
    return 2 * eps(A.dtype) * (n**0.5 + 4) * float(np.linalg.norm(A.astype("c16"))) * norm(x)


def check_claim(method: Method, A: Any, b: Any, result: Any, rtol: float) -> None:
    """Assert the inequality that `converged` promises, in extended precision."""
    x = result.x
    residual = true_residual(A, x, b)
    slack = rounding(A, x)
    if method.needs != "any":
        assert residual <= rtol * norm(b) * 1.01 + slack
        return
    norm_a = float(np.linalg.norm(A.astype("c16"), 2))
    if residual <= (rtol * norm(b) + rtol * norm_a * norm(x)) * 1.01 + slack:
        return
    g = wide(A).conj().T @ (wide(b) - wide(A) @ wide(x))
    normal = float(np.sqrt((abs(g) ** 2).sum()))
    assert normal <= rtol * norm_a * residual * 1.01 + norm_a * slack


@every_method
@every_dtype
@pytest.mark.parametrize("n", [0, 1, 2, 10, 500])
def test_the_answer_is_that_of_dense_algebra(method: Method, dtype: str, n: int) -> None:
    A = matrix(method.needs, n, dtype)
    x = gaussian(np.random.default_rng(1), n, dtype)
    b = product(A, x)
    rtol = 100 * eps(dtype)
    result = method(A, b, rtol=rtol)
    assert result.status is Status.converged, result
    assert result.info == 0
    assert result.x.dtype == np.dtype(dtype)
    check_claim(method, A, b, result, rtol)
    if n:
        error = norm(result.x - x) / norm(x)
        assert error <= 40 * 30 * rtol * (30 if method.needs == "any" else 1)
        assert result.residual == pytest.approx(
            true_residual(A, result.x, b), rel=1e-2, abs=rounding(A, x)
        )


@every_method
def test_large_systems(method: Method) -> None:
    n = 4096
    d = np.linspace(1.0, 3.0, n)
    if method.needs == "symmetric":
        d[::5] *= -1
    A = sp.diags_array(d).tocsr()
    if method.needs == "square":
        A = sp.csr_array(A + sp.eye_array(n, k=1) * 0.5)
    b = np.random.default_rng(0).standard_normal(n)
    result = method(A, b, rtol=1e-9)
    assert result.converged, result
    r = np.linalg.norm(b - A @ result.x) / np.linalg.norm(b)
    assert r <= 1e-9 * (1.01 if method.needs != "any" else 10)


@every_method
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_units_do_not_matter(method: Method, dtype: str) -> None:
    n = 40
    A = matrix(method.needs, n, dtype)
    b = gaussian(np.random.default_rng(2), n, dtype)
    rtol = 3000 * eps(dtype)
    reference = method(A, b, rtol=rtol)
    assert reference.converged
    # Powers of two, so that the data and every rounding stay the same: 1e±8, 1e±20 nearly.
    large = 2.0**26 if dtype == "f4" else 2.0**66
    for s, c in itertools.product([1 / large, 1.0, large], repeat=2):
        scaled = method((A * s).astype(dtype), (b * c).astype(dtype), rtol=rtol)
        assert scaled.status is reference.status, (s, c, scaled)
        assert abs(scaled.iterations - reference.iterations) <= 1, (s, c)
        assert scaled.residual / c == pytest.approx(reference.residual, rel=0.5), (s, c)


@every_method
@every_dtype
def test_a_start_at_the_solution_takes_no_iteration(method: Method, dtype: str) -> None:
    n = 30
    A = matrix(method.needs, n, dtype)
    x = gaussian(np.random.default_rng(3), n, dtype)
    b = product(A, x)
    result = method(A, b, x, rtol=50 * eps(dtype))
    assert result.converged
    assert result.iterations == 0
    near = method(A, b, (x * (1 + 1e-2)).astype(dtype), rtol=1e3 * eps(dtype))
    assert near.converged
    assert near.iterations <= method(A, b, rtol=1e3 * eps(dtype)).iterations


@every_method
@every_dtype
def test_a_right_hand_side_in_an_eigenspace_takes_one_iteration(method: Method, dtype: str) -> None:
    n = 50
    d = np.linspace(1.0, 2.0, n).astype(dtype)
    b = np.zeros(n, dtype)
    b[7] = 3.0
    result = method(ritz.diagonal(d), b, rtol=1e-5)
    assert result.converged
    assert result.iterations == 1
    assert abs(result.x[7] * d[7] - 3.0) <= 100 * eps(dtype)


@every_method
def test_products_are_counted(method: Method) -> None:
    n = 60
    A = matrix(method.needs, n, "f8")
    count = [0, 0]

    def matvec(v: Any) -> Any:
        count[0] += 1
        return A @ v

    def rmatvec(v: Any) -> Any:
        count[1] += 1
        return A.T @ v

    op = ritz.LinearOperator((n, n), matvec, rmatvec, dtype="f8")
    b = np.ones(n)
    for options in ({}, {"x0": np.full(n, 0.1)}, {"verify": False}, {"maxiter": 2}):
        count[:] = [0, 0]
        result = method(op, b, rtol=1e-9, **options)
        assert [result.products.matvec, result.products.rmatvec] == count
        assert result.products.columns == 0
        if options == {"verify": False}:
            assert result.converged
            assert not result.verified


@pytest.mark.parametrize("name", ["cg", "minres", "gmres", "bicgstab"])
def test_products_in_double_precision_are_counted(name: str) -> None:
    A = matrix("definite", 60, "f4")
    count = {"f4": 0, "f8": 0}

    def matvec(v: Any) -> Any:
        count[v.dtype.str[1:]] += 1
        return A.astype(v.dtype) @ v

    op = ritz.LinearOperator((60, 60), matvec, symmetric=True)
    result = getattr(ritz, name)(op, np.ones(60, "f4"), rtol=1e-10, x_dtype="f8")
    assert result.converged
    assert result.x.dtype == np.float64
    assert true_residual(A, result.x, np.ones(60)) <= 1.01e-10 * 60**0.5
    assert count["f8"] > 0
    assert result.products.matvec == count["f4"] + count["f8"]


@every_method
def test_columns_end_as_they_would_alone(method: Method) -> None:
    n, k = 50, 4
    A = matrix(method.needs, n, "c16", condition=4.0)
    rng = np.random.default_rng(5)
    B = gaussian(rng, (n, k), "c16")
    B[:, 2] = 0.0
    blocks = []

    def matmat(X: Any) -> Any:
        blocks.append(X.shape[1] if X.ndim == 2 else 1)
        return A @ X

    op = ritz.LinearOperator((n, n), matmat=matmat, rmatmat=lambda X: A.conj().T @ X, dtype="c16")
    together = method(op, B, rtol=1e-8)
    assert together.converged
    assert max(blocks) == k - 1  # the zero column never asks for a product
    assert len(blocks) < together.products.columns
    for j in range(k):
        alone = method(A, B[:, j].copy(), rtol=1e-8)
        column = together.columns[j]
        assert column.status is alone.status
        assert abs(column.iterations - alone.iterations) <= 1
        np.testing.assert_allclose(together.x[:, j], alone.x, rtol=1e-5, atol=1e-6)


@every_method
def test_batches_are_many_systems(method: Method) -> None:
    n, k = 12, 5
    A = np.stack([matrix(method.needs, n, "f8", seed=j) for j in range(k)])
    b = np.random.default_rng(6).standard_normal((k, n))
    b[3] = 0.0
    result = method(A, b, rtol=1e-10, batched=True)
    assert result.converged, result
    assert result.x.shape == (k, n)
    for j in range(k):
        check_claim(method, A[j], b[j], result.columns[j], 1e-10)


@every_method
def test_stepping_is_the_same_run(method: Method) -> None:
    A = matrix(method.needs, 40, "f8")
    b = np.random.default_rng(7).standard_normal(40)
    options: dict[str, Any] = {"rtol": 1e-9}
    if method.needs == "any":
        options = {"atol": 1e-9, "btol": 1e-9, "conlim": 0.0}
    whole = method(A, b, rtol=1e-9, history=True)
    steps = ritz.iterate(method.name, A, b, **options)
    residuals = []
    for step in steps:
        residuals.append(step.residual)
        if step.iteration == 3:
            break
    residuals += [step.residual for step in steps]  # goes on where it was left
    assert steps.result is not None
    assert steps.result.status is whole.status
    assert steps.result.iterations == whole.iterations
    np.testing.assert_array_equal(steps.result.x, whole.x)
    np.testing.assert_array_equal(residuals, whole.history)

    with pytest.raises(TypeError, match="no option"):
        ritz.iterate(method.name, A, b, memory=3, ell=2)

    stopped = ritz.iterate(method.name, A, b, **options)
    for step in stopped:
        if step.iteration == 2:
            step.stop()
    assert stopped.result is not None
    assert stopped.result.status is Status.stopped
    assert stopped.result.iterations == 2


def test_an_abandoned_run_is_counted() -> None:
    A = ritz.aslinearoperator(matrix("definite", 40, "f8"))
    steps = ritz.iterate("cg", A, np.ones(40), rtol=1e-9)
    for step in steps:
        if step.iteration == 3:
            break
    made = A.counts.matvec
    assert made >= 3
    del steps, step
    gc.collect()
    assert A.counts.matvec == made
    assert not A._counter._running


@every_method
@pytest.mark.parametrize("dtype", ["f4", "c16"])
def test_a_workspace_changes_no_bit(method: Method, dtype: str) -> None:
    A = matrix(method.needs, 40, dtype)
    b = gaussian(np.random.default_rng(8), 40, dtype)
    first = method(A, b, rtol=1e-5)
    workspace = ritz.Workspace(method.name, 40, dtype=dtype)
    assert workspace.bytes > 0
    for _ in range(2):
        again = method(A, b, rtol=1e-5, workspace=workspace)
        np.testing.assert_array_equal(again.x, first.x)


@every_method
def test_limits_callbacks_and_exceptions(method: Method) -> None:
    A = matrix(method.needs, 60, "f8", condition=1e3)
    b = np.random.default_rng(9).standard_normal(60)
    assert method(A, b, rtol=1e-14, maxiter=3).status is Status.max_iterations
    assert method(A, b, rtol=1e-14, maxiter=3).iterations == 3
    assert method(A, b, rtol=1e-14, max_products=4).status is Status.max_products
    assert method(A, b, rtol=1e-14, timeout=0.0).status is Status.timeout
    seen = []

    def stop_at_two(now: Any) -> bool:
        seen.append(now.iteration)
        return bool(now.iteration == 2)

    assert method(A, b, rtol=1e-14, callback=stop_at_two).status is Status.stopped
    assert seen == [1, 2]

    class Mine(Exception):
        pass

    def fails(v: Any) -> Any:
        raise Mine("from the closure")

    with pytest.raises(Mine, match="from the closure"):
        method(ritz.LinearOperator((60, 60), fails, fails, dtype="f8"), b, rtol=1e-5)
    for poison in (np.nan, np.inf):
        op = ritz.LinearOperator((60, 60), lambda v, p=poison: A @ v * p, lambda v: v, dtype="f8")
        assert method(op, b, rtol=1e-5).status is Status.nonfinite
        assert method(A, np.full(60, poison), rtol=1e-5).status is Status.nonfinite


def random_system(rng: Any, needs: str, dtype: str) -> tuple[Any, Any]:
    """A small system, as bad as may be: singular, graded, defective, inconsistent."""
    n = int(rng.integers(1, 10))
    condition = 10 ** rng.uniform(0, 12)
    values = np.geomspace(1.0, 1.0 / condition, n)
    values[rng.random(n) < 0.1] = 0.0
    Q = unitary(rng, n, dtype)
    P = unitary(rng, n, dtype)
    style = rng.integers(4)
    if needs == "definite":
        A = (Q * values) @ Q.conj().T
    elif needs == "symmetric":
        A = (Q * (values * rng.choice([-1.0, 1.0], n))) @ Q.conj().T
    elif style == 0:
        A = (Q * values) @ P.conj().T
    elif style == 1:  # defective
        A = Q @ (np.diag(values) + np.eye(n, k=1)) @ Q.conj().T
    elif style == 2:  # nilpotent
        A = Q @ np.eye(n, k=1) @ Q.conj().T
    else:
        A = gaussian(rng, (n, n), dtype)
    if needs in ("any", "consistent") and style == 3:
        m = int(rng.integers(1, 10))
        A = gaussian(rng, (m, n), dtype)
        if rng.random() < 0.3:
            A[:, : n // 2] = A[:, :1]
    if needs in ("definite", "symmetric"):
        A = (A + A.conj().T) / 2
    scale = 10 ** rng.uniform(-6, 6)
    A = (A * scale).astype(dtype)
    m, n = A.shape
    b = gaussian(rng, m, dtype)
    if rng.random() < 0.5:
        b = product(A, gaussian(rng, n, dtype))
    return A, (b * 10 ** rng.uniform(-6, 6)).astype(dtype)


@every_method
def test_no_false_success(method: Method) -> None:
    rng = np.random.default_rng(10)
    endings: dict[Status, int] = {}
    for i in range(800):
        dtype = DTYPES[i % 4]
        A, b = random_system(rng, method.needs, dtype)
        rtol = 10 ** rng.uniform(np.log10(20 * eps(dtype)), -1)
        result = method(A, b, rtol=rtol, maxiter=200)
        endings[result.status] = endings.get(result.status, 0) + 1
        if result.converged:
            assert np.all(np.isfinite(result.x))
            check_claim(method, A, b, result, rtol)
    assert endings[Status.converged] >= 200, endings
