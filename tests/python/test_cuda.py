"""Solvers on vectors in device memory; without a GPU, on a device that the host emulates."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

import ritz
from ritz import _core
from ritz.frameworks.cuda import CudaArrays, on_device

pytestmark = pytest.mark.skipif(
    not ritz.cuda.info()["available"], reason=f"no device: {ritz.cuda.info()['reason']}"
)

RNG = np.random.default_rng(11)
N = 60
SPD = (lambda q: q @ np.diag(np.linspace(1.0, 30.0, N)) @ q.T)(
    np.linalg.qr(RNG.standard_normal((N, N)))[0]
)
GENERAL = SPD + 3.0 * np.triu(RNG.standard_normal((N, N)), 1) / np.sqrt(N)
TALL = RNG.standard_normal((90, N))


def on(values):
    return ritz.cuda.asarray(values)


def host(array):
    return array.copy_to_host()


def closure(a, dtype=np.float64):
    """An operator whose functions see arrays of the device alone."""
    a = np.asarray(a, dtype)

    def product(matrix):
        def f(x):
            assert isinstance(x, ritz.cuda.DeviceArray)
            return on(matrix @ host(x))

        return f

    return ritz.LinearOperator(a.shape, matvec=product(a), rmatvec=product(a.conj().T), dtype=dtype)


class Foreign:
    """An array of a framework that ritz has never heard of."""

    def __init__(self, values, **changes):
        self._array = on(values)
        self._changes = changes

    @property
    def __cuda_array_interface__(self):
        return {**self._array.__cuda_array_interface__, **self._changes}


class ByDlpack:
    def __init__(self, values, versioned=True):
        self._array, self._versioned = on(values), versioned
        self.__cuda_array_interface__ = None  # what on_device looks for
        del self.__cuda_array_interface__

    def __dlpack__(self, **options):
        if not self._versioned:
            if "max_version" in options:
                raise TypeError("an old producer knows no max_version")
            return self._array.__dlpack__(stream=options["stream"])
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


SYMMETRIC = ("cg", "minres", "minres_qlp", "symmlq", "cr", "fcg")
SQUARE = ("gmres", "fgmres", "bicgstab", "bicgstabl", "idrs", "gcrodr")
LEAST_SQUARES = ("lsmr", "lsqr", "cgls")


@pytest.mark.parametrize("method", [*SYMMETRIC, *SQUARE, *LEAST_SQUARES, "craig"])
def test_every_solver_solves_where_the_vectors_are(method):
    a = GENERAL if method in SQUARE else TALL if method in LEAST_SQUARES else SPD
    b = RNG.standard_normal(a.shape[0])
    tight = {"atol": 1e-10} if method in LEAST_SQUARES else {"rtol": 1e-10}
    solve = getattr(ritz, method)
    x, info = result = solve(closure(a), on(b), **tight)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    assert isinstance(x, ritz.cuda.DeviceArray)
    assert info == 0
    assert result.verified
    np.testing.assert_allclose(host(x), expected, atol=1e-7 * np.linalg.norm(expected))
    on_host = solve(ritz.aslinearoperator(a), b, **tight)
    assert abs(result.iterations - on_host.iterations) <= 2
    assert result.products.total <= on_host.products.total + 4


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_every_element_type(dtype):
    a = SPD.astype(dtype)
    if a.dtype.kind == "c":
        a = a + 1j * np.triu(GENERAL, 1) - 1j * np.triu(GENERAL, 1).T
        a = a.astype(dtype)
    b = (RNG.standard_normal(N) + (1j if a.dtype.kind == "c" else 0)).astype(dtype)
    x, info = ritz.minres(closure(a, dtype), on(b), rtol=1e-4)
    assert info == 0
    assert host(x).dtype == dtype
    assert np.linalg.norm(a @ host(x) - b) <= 1.01e-4 * np.linalg.norm(b)


def test_sparse_matrices_and_compositions_stay_on_the_device():
    laplacian = scipy.sparse.diags_array(
        [-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(N, N)
    ).tocsr()
    A = 2.0 * ritz.aslinearoperator(laplacian) + ritz.identity(N)
    A = (A.H @ A).shifted(0.5)
    M = ritz.diagonal(1.0 / np.diag((2.0 * laplacian.toarray() + np.eye(N)) ** 2 + 0.5))
    b = RNG.standard_normal(N)
    x, info = result = ritz.cg(A, on(b), M=M, rtol=1e-10)
    dense = 2.0 * laplacian.toarray() + np.eye(N)
    assert info == 0
    np.testing.assert_allclose((dense.T @ dense + 0.5 * np.eye(N)) @ host(x), b, atol=1e-8)
    assert A.counts.total == result.products.total


def test_kernels_run_ahead_of_the_host():
    laplacian = scipy.sparse.diags_array(
        [-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(N, N)
    ).tocsr()
    A, b = ritz.aslinearoperator(laplacian), on(np.ones(N))
    core = _core.cuda.f8(0, 0)
    before = core.waits
    result = ritz.cg(A, b, rtol=1e-10)
    assert result.converged
    # One wait for every ten iterations, and a few at the start and at the end.
    assert result.iterations // 10 <= core.waits - before <= result.iterations // 10 + 6
    assert result.iterations % 10 in (0, 2)  # looked at two iterations late


class Tridiagonal:
    """A product that only queues kernels, and counts how often Python is asked for it."""

    def __init__(self, core):
        self.core, self.calls = core, 0
        a = scipy.sparse.diags_array([-1.0, 2.5, -1.0], offsets=[-1, 0, 1], shape=(N, N)).tocsr()
        self.node = core.csr_int32(N, N, a.indptr, a.indices, a.data)

    def __call__(self, x):
        self.calls += 1
        between = self.core.apply(self.node, x)
        return self.core.apply(self.node, between)


@pytest.mark.parametrize("method", ["cg", "minres", "gmres", "bicgstab", "lsqr"])
def test_capturable_closures_are_called_twice_and_then_replayed(method):
    core = _core.cuda.f8(0, 0)
    eager, recorded = Tridiagonal(core), Tridiagonal(core)
    b = on(RNG.standard_normal(N))
    made = {"rmatvec": eager}, {"rmatvec": recorded, "capturable": True}
    solve = getattr(ritz, method)
    tight = {"atol": 1e-9} if method == "lsqr" else {"rtol": 1e-9}
    plain, fast = (
        solve(ritz.LinearOperator((N, N), matvec=f, dtype=np.float64, **options), b, **tight)
        for f, options in zip((eager, recorded), made, strict=True)
    )
    assert plain.converged
    assert fast.converged
    np.testing.assert_allclose(host(fast.x), host(plain.x), rtol=0, atol=1e-12)
    assert eager.calls == plain.products.total
    assert fast.products.total >= plain.products.total
    if method in ("cg", "minres"):  # two pairs of vectors: one of them comes once
        assert recorded.calls <= 6
    assert recorded.calls <= fast.products.total


def test_captured_closures_raise_their_own_exceptions_and_must_not_wait():
    core = _core.cuda.f8(0, 0)
    product, b = Tridiagonal(core), on(np.ones(N))

    def failing(x):
        if product.calls == 1:
            raise ZeroDivisionError("mine")
        return product(x)

    def reading(x):
        host(x)
        return product(x)

    def solve(f):
        return ritz.cg(ritz.LinearOperator((N, N), matvec=f, dtype=np.float64, capturable=True), b)

    with pytest.raises(ZeroDivisionError, match="mine"):
        solve(failing)
    with pytest.raises(ritz.cuda.DeviceError, match="cannot be recorded"):
        solve(reading)
    assert solve(product).converged
    assert ritz.cg(
        ritz.LinearOperator((N, N), matvec=lambda x: 2.0 * x, dtype=np.float64, capturable=True),
        np.ones(N),
    ).converged


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_eigenpairs_of_device_operators(dtype):
    a = SPD.astype(dtype)
    if a.dtype.kind == "c":
        a = (a + 1j * np.triu(GENERAL, 1) - 1j * np.triu(GENERAL, 1).T).astype(dtype)
    start = RNG.standard_normal(N).astype(dtype)
    expected = np.linalg.eigvalsh(a)
    eps = np.finfo(dtype).eps
    for options in ({"v0": on(start)}, {"like": on(start), "which": "SA"}, {"like": on(start)}):
        w, V = result = ritz.eigsh(closure(a, dtype), 4, **options)
        assert result.converged
        assert isinstance(V, ritz.cuda.DeviceArray)
        wanted = expected[:4] if options.get("which") == "SA" else expected[-4:]
        np.testing.assert_allclose(w, wanted, atol=100 * eps * expected[-1])
        vectors = host(V)
        assert vectors.shape == (N, 4)
        assert vectors.dtype == dtype
        errors = np.linalg.norm(a @ vectors - vectors * w, axis=0)
        assert np.all(errors <= 1.1 * result.residuals + 20 * eps * expected[-1])
        np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(4), atol=200 * eps)


def test_eigenpairs_with_a_mass_a_solve_and_known_vectors_on_a_device():
    d = np.linspace(1.0, 2.0, N)
    expected = np.linalg.eigvalsh(SPD / np.sqrt(np.outer(d, d)))
    M, Minv = ritz.diagonal(d), ritz.diagonal(1.0 / d)
    w, V = result = ritz.eigsh(closure(SPD), 3, M=M, Minv=Minv, like=on(d))
    assert result.converged
    np.testing.assert_allclose(w, expected[-3:], rtol=1e-10)
    np.testing.assert_allclose(host(V).T @ (d[:, None] * host(V)), np.eye(3), atol=1e-10)
    w = ritz.eigsh(closure(SPD), 3, M=M, like=on(d))[0]  # M solved by conjugate gradients
    np.testing.assert_allclose(w, expected[-3:], rtol=1e-9)
    sigma = 10.2
    inverse = closure(np.linalg.inv(SPD - sigma * np.diag(d)))
    w = ritz.eigsh(closure(SPD), 3, M=M, sigma=sigma, OPinv=inverse, like=on(d))[0]
    nearest = expected[np.argsort(abs(expected - sigma))[:3]]
    np.testing.assert_allclose(w, np.sort(nearest), rtol=1e-9)
    values, vectors = np.linalg.eigh(SPD)
    w = ritz.eigsh(closure(SPD), 2, like=on(d), deflate=on(vectors[:, -1]))[0]
    np.testing.assert_allclose(w, values[-3:-1], rtol=1e-10)
    known = on(np.asfortranarray(vectors[:, -3:]))
    w = ritz.eigsh(closure(SPD), 2, like=on(d), deflate=known)[0]
    np.testing.assert_allclose(w, values[-5:-3], rtol=1e-10)


def test_what_eigsh_refuses_on_a_device():
    A, b = closure(SPD), on(np.ones(N))
    with pytest.raises(ValueError, match="workspace was made for another memory"):
        ritz.eigsh(A, 2, like=b, workspace=ritz.Workspace("eigsh", N))
    with pytest.raises(TypeError, match="deflate is in host memory"):
        ritz.eigsh(A, 2, like=b, deflate=np.ones(N))
    with pytest.raises(ValueError, match="v0 has shape"):
        ritz.eigsh(A, 2, v0=on(np.ones(N + 1)))
    with pytest.raises(TypeError, match="like has dtype float32"):
        ritz.eigsh(A, 2, like=on(np.ones(N, np.float32)))
    seen = []

    def failing(x):
        seen.append(x)
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        ritz.eigsh(ritz.LinearOperator((N, N), matvec=failing, dtype=np.float64), 2, like=b)
    stopped = ritz.eigsh(A, 2, like=b, max_products=5)
    assert stopped.status.name == "max_products"


def matrix(shape, dtype, seed=5):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal(shape)
    return a.astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("shape", [(70, 40), (40, 70)])
def test_singular_triplets_of_device_operators(dtype, shape):
    a = matrix(shape, dtype)
    exact = np.linalg.svd(a, compute_uv=False)
    tol = 200 * np.finfo(dtype).eps * exact[0]
    like = on(np.ones(3, dtype))
    memory = ritz.Workspace("svds", *shape, like=like)
    for options in ({"like": like}, {"v0": on(matrix(40, dtype, 6))}, {"workspace": memory}):
        u, s, vt = result = ritz.svds(closure(a, dtype), 4, **{"like": like, **options})
        assert result.converged
        np.testing.assert_allclose(s, exact[:4], atol=tol)
        U, Vt = host(u), host(vt)
        assert U.shape == (shape[0], 4)
        assert Vt.shape == (4, shape[1])
        assert U.dtype == Vt.dtype == dtype
        np.testing.assert_allclose(a @ Vt.conj().T, U * s, atol=tol)
        np.testing.assert_allclose(U.conj().T @ U, np.eye(4), atol=tol)
    s = ritz.svds(closure(a, dtype), 2, which="SM", like=like)[1]
    np.testing.assert_allclose(s, exact[-2:], atol=tol)


def test_products_with_device_arrays():
    A = closure(TALL)
    x, X = RNG.standard_normal(N), RNG.standard_normal((N, 3))
    y, Y = RNG.standard_normal(90), RNG.standard_normal((90, 3))
    before = A.counts.total
    np.testing.assert_allclose(host(A @ on(x)), TALL @ x)
    np.testing.assert_allclose(host(A.T @ on(y)), TALL.T @ y)
    np.testing.assert_allclose(host(A @ on(np.asfortranarray(X))), TALL @ X)
    np.testing.assert_allclose(host(A.T @ on(np.asfortranarray(Y))), TALL.T @ Y)
    assert A.counts.total == before + 8
    with pytest.raises(ValueError, match="x has shape"):
        A @ on(y)


def test_lobpcg_on_a_device():
    d, X = np.linspace(1.0, 2.0, N), RNG.standard_normal((N, 3))
    blocks = ritz.LinearOperator(
        (N, N),
        matmat=lambda X: on(np.asfortranarray(SPD @ host(X))),
        symmetric=True,
        dtype=np.float64,
    )
    M = ritz.diagonal(1.0 / np.diag(SPD))
    start = on(np.asfortranarray(X))
    w, V = result = ritz.lobpcg(blocks, start, M=M, largest=False, tol=1e-11, maxiter=200)
    assert result.converged
    values, vectors = np.linalg.eigh(SPD)
    np.testing.assert_allclose(w, values[:3], rtol=1e-9)
    np.testing.assert_allclose(SPD @ host(V), host(V) * w, atol=1e-9)
    np.testing.assert_array_equal(host(start), X)
    known = on(np.asfortranarray(vectors[:, -2:]))
    w, V = ritz.lobpcg(closure(SPD), start, ritz.diagonal(d), Y=known, maxiter=200)
    exact = host(V).T @ (d[:, None] * host(V))
    np.testing.assert_allclose(exact, np.eye(3), atol=1e-10)
    np.testing.assert_allclose(host(V).T @ (d[:, None] * vectors[:, -2:]), 0.0, atol=1e-9)
    with pytest.raises(TypeError, match="Y is in host memory"):
        ritz.lobpcg(closure(SPD), start, Y=vectors[:, -2:])


def test_norms_and_low_rank_approximations_of_device_operators():
    U, V = np.linalg.qr(matrix((80, 30), "float64"))[0], np.linalg.qr(matrix((50, 30), "f8", 7))[0]
    values = 2.0 ** -np.arange(30.0)
    a = (U * values) @ V.T
    A, like = closure(a), on(np.ones(3))
    value, lower, upper = ritz.norm(A, 2, like=like)
    assert lower <= 1.0 <= upper
    assert ritz.cond(closure(SPD), like=like).value == pytest.approx(30.0)
    assert ritz.numerical_rank(A, rtol=1e-6, like=like).rank == 20
    value, stderr = ritz.norm(A, "fro", like=like, samples=40)
    assert abs(value - np.linalg.norm(a)) <= 6 * stderr + 1e-12
    for method in ("block_krylov", "subspace"):
        u, s, vt = ritz.svd_lowrank(A, 6, method=method, like=like)
        assert isinstance(u, ritz.cuda.DeviceArray)
        np.testing.assert_allclose(s, values[:6], rtol=1e-6)
        error = np.linalg.norm(a - host(u) * s @ host(vt), 2)
        assert error <= 1.5 * values[6]
        largest = np.argmax(abs(host(u)), axis=0)
        assert np.all(host(u)[largest, range(6)] > 0)
    (Q,) = ritz.rangefinder(A, 12, like=like)
    Q = host(Q)
    assert Q.shape == (80, 22)
    np.testing.assert_allclose(Q.T @ Q, np.eye(22), atol=1e-12)
    assert np.linalg.norm(a - Q @ (Q.T @ a), 2) <= 2.0 * values[12]


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_nystrom_approximations_and_preconditioners_on_a_device(dtype):
    q = np.linalg.qr(matrix((N, N), dtype))[0]
    values = 1000.0 * 0.7 ** np.arange(N)
    a = (q * values) @ q.conj().T
    A, b = closure(a, dtype), on(matrix(N, dtype, 8))
    U, lam = result = ritz.nystrom(A, 20, like=b)
    assert isinstance(U, ritz.cuda.DeviceArray)
    U = host(U)
    assert U.shape == (N, 20)
    np.testing.assert_allclose(U.conj().T @ U, np.eye(20), atol=1e-12)
    assert np.linalg.norm(a - U * lam @ U.conj().T) <= 3.0 * result.error_estimate
    x = matrix(N, dtype, 9)
    # U diag(lam) Uᴴ as an operator: CG on it plus the identity, against the dense solve.
    y = ritz.cg(result.operator + ritz.identity(N), on(x), rtol=1e-12).x
    dense = (U * lam) @ U.conj().T + np.eye(N)
    np.testing.assert_allclose(host(y), np.linalg.solve(dense, x), atol=1e-9)
    mu = 0.1
    P = ritz.precond.nystrom(A, mu, rank=24, like=b)
    shifted = A + mu * ritz.identity(N)
    plain, helped = ritz.cg(shifted, b, rtol=1e-10), ritz.cg(shifted, b, M=P, rtol=1e-10)
    assert helped.converged
    assert helped.iterations < plain.iterations / 2
    np.testing.assert_allclose(
        host(helped.x), np.linalg.solve(a + mu * np.eye(N), host(b)), rtol=1e-6, atol=1e-8
    )
    with pytest.raises(TypeError, match="was made on a device"):
        ritz.cg(a + mu * np.eye(N), host(b), M=P)
    here = ritz.precond.nystrom(a, mu, rank=24)
    assert abs(ritz.cg(shifted, b, M=here, rtol=1e-10).iterations - helped.iterations) <= 2
    u, s, vh = ritz.nystrom_generalized(A, 12, like=b)
    error = np.linalg.norm(a - host(u) * s @ host(vh))
    assert error <= 10.0 * np.linalg.norm(values[12:])


def test_estimates_of_device_operators_are_the_hosts():
    A, like = closure(SPD), on(np.ones(3))
    here = ritz.aslinearoperator(SPD)
    for method in ("hutchinson", "hutch++", "xtrace", "xnystrace", "exact"):
        there, host_ = (
            ritz.trace(a, method=method, max_products=48, like=v)
            for a, v in ((A, like), (here, None))
        )
        np.testing.assert_allclose(there.value, host_.value, rtol=1e-10)
        np.testing.assert_allclose(there.stderr, host_.stderr, rtol=1e-6, atol=1e-10)
        assert there.products.total == host_.products.total
    for estimate in (ritz.diagonal, ritz.row_norms):
        there, host_ = (estimate(a, max_products=40, like=v) for a, v in ((A, like), (here, None)))
        assert isinstance(there.value, ritz.cuda.DeviceArray)
        np.testing.assert_allclose(host(there.value), host_.value, rtol=1e-9)
        np.testing.assert_allclose(host(there.stderr), host_.stderr, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_functions_of_device_operators(dtype):
    w, V = np.linalg.eigh(SPD)
    A = closure(SPD, dtype)
    b = matrix((N, 3), dtype)
    exact = V @ (np.exp(-0.3 * w)[:, None] * (V.T @ b))
    known = {"symmetric": True, "interval": (0.9, 31.0)}
    for options in (
        {"method": "lanczos", **known},
        {"method": "chebyshev", **known},
        {"method": "arnoldi"},
    ):
        y, info = result = ritz.funm_multiply(A, on(b[:, 0]), "exp", t=-0.3, rtol=1e-8, **options)
        assert info == 0
        assert isinstance(y, ritz.cuda.DeviceArray)
        np.testing.assert_allclose(host(y), exact[:, 0], atol=1e-7 * np.linalg.norm(exact))
    y, info = ritz.funm_multiply(A, on(b[:, 0]), "invsqrt", method="rational", rtol=1e-8, **known)
    assert info == 0
    np.testing.assert_allclose(
        host(y), V @ (w**-0.5 * (V.T @ b[:, 0])), atol=1e-7 * np.linalg.norm(b)
    )
    both, info = result = ritz.funm_multiply(
        A, on(np.asfortranarray(b)), [np.sqrt, np.log], rtol=1e-7, symmetric=True
    )
    assert info == 0
    assert len(result.columns) == 3
    for y, f in zip(both, (np.sqrt, np.log), strict=True):
        expected = V @ (f(w)[:, None] * (V.T @ b))
        np.testing.assert_allclose(host(y), expected, atol=1e-6 * np.linalg.norm(expected))


@pytest.mark.parametrize("method", ["cg", "minres", "gmres", "lsmr", "bicgstab"])
def test_many_right_hand_sides_on_a_device(method):
    a = GENERAL if method in SQUARE else TALL if method == "lsmr" else SPD
    B = RNG.standard_normal((a.shape[0], 4))
    widths = []

    def products(X):
        assert isinstance(X, ritz.cuda.DeviceArray)
        assert X.ndim == 2
        widths.append(X.shape[1])
        return on(np.asfortranarray(a @ host(X)))

    def adjoints(X):
        return on(np.asfortranarray(a.T @ host(X)))

    together = ritz.LinearOperator(a.shape, matmat=products, rmatmat=adjoints, dtype=np.float64)
    solve, tight = getattr(ritz, method), {"atol": 1e-10} if method == "lsmr" else {"rtol": 1e-10}
    expected = np.linalg.lstsq(a, B, rcond=None)[0]
    start = on(np.asfortranarray(expected + 1e-3))
    for A, options in (
        (closure(a), {}),
        (together, {}),
        (together, {"x0": start}),
        *([(together, {"block": True})] if method in ("cg", "minres", "gmres") else []),
    ):
        x, info = result = solve(A, on(np.asfortranarray(B)), **options, **tight)
        assert info == 0
        assert x.shape == (a.shape[1], 4)
        np.testing.assert_allclose(host(x), expected, atol=1e-7 * np.linalg.norm(expected))
        assert len(result.columns) == 4
        np.testing.assert_array_equal(host(result.columns[2].x), host(x)[:, 2])
    assert max(widths) == 4
    one = solve(closure(a), on(B[:, 1].copy()), **tight)
    assert abs(one.iterations - result.columns[1].iterations) <= 60


def test_columns_that_cannot_be_taken_are_named():
    A, B = closure(SPD), RNG.standard_normal((N, 3))
    with pytest.raises(ValueError, match="b has its rows one after the other"):
        ritz.cg(A, on(B))  # and nobody to copy them
    with pytest.raises(ValueError, match="b has shape"):
        ritz.cg(A, on(np.asfortranarray(B[1:])))
    with pytest.raises(ValueError, match="x0 has shape"):
        ritz.cg(A, on(np.asfortranarray(B)), on(np.asfortranarray(B[:, 1:])))
    plain = Foreign(B)
    plain.shape = B.shape
    with pytest.raises(TypeError, match="without a transpose"):
        ritz.cg(A, plain)
    wrong = ritz.LinearOperator(
        (N, N), matmat=lambda X: on(np.asfortranarray(host(X).T)), dtype=np.float64
    )
    with pytest.raises(ValueError, match="another shape"):
        ritz.cg(wrong, on(np.asfortranarray(B)))


def test_workspaces_on_a_device_are_used_again():
    A, b = closure(SPD), on(RNG.standard_normal(N))
    core = _core.cuda.f8(0, 0)
    plain = ritz.gmres(A, b, rtol=1e-10, restart=20)
    memory = ritz.Workspace("gmres", N, like=b, restart=20)
    assert memory.bytes >= 20 * N * 8
    assert memory.dtype == np.float64
    for _ in range(2):
        result = ritz.gmres(A, b, rtol=1e-10, restart=20, workspace=memory)
        np.testing.assert_array_equal(host(result.x), host(plain.x))
    del result
    gc.collect()
    before, size = core.bytes_in_use, memory.bytes
    out = on(np.zeros(N))
    ritz.gmres(A, b, rtol=1e-10, restart=20, workspace=memory, out=out)
    assert memory.bytes == size
    gc.collect()
    assert core.bytes_in_use == before + 8 * N
    w = ritz.eigsh(A, 3, like=b)[0]
    again = ritz.Workspace("eigsh", N, like=b, k=3)
    np.testing.assert_array_equal(ritz.eigsh(A, 3, like=b, workspace=again)[0], w)
    other = ritz.cuda.asarray(np.ones(N), stream=64)
    with pytest.raises(ValueError, match="another stream"):
        ritz.gmres(A, other, workspace=memory)
    with pytest.raises(TypeError, match="workspace holds float64"):
        ritz.gmres(closure(SPD, "f4"), on(np.ones(N, "f4")), workspace=memory)


@pytest.mark.parametrize("method", ["eigsh", "svds", "trace"])
def test_checkpoints_of_device_runs_go_on_to_the_same_bits(method, tmp_path):
    like, path = on(np.ones(3)), tmp_path / "state"
    a = np.diag(np.linspace(1.0, 2.0, 400))
    options = {"k": 4, "ncv": 12}
    if method == "trace":
        options = {"method": "xtrace", "max_products": 96}

    def run(limit=None, **more):
        calls = 0

        def product(x):
            nonlocal calls
            calls += 1
            if calls == limit:
                raise KeyboardInterrupt
            return on(a @ host(x))

        A = ritz.LinearOperator(a.shape, matvec=product, rmatvec=product, dtype=np.float64)
        return getattr(ritz, method)(A, like=like, **options, **more), calls

    whole, products = run()
    saved = {"checkpoint": path, "checkpoint_every": 0.0}
    with pytest.raises(KeyboardInterrupt):
        run(limit=60, **saved)
    assert path.exists()
    resumed, rest = run(**saved)
    assert rest < products
    assert resumed.products.total == whole.products.total
    for x, y in zip(resumed, whole, strict=True):
        x, y = (host(v) if isinstance(v, ritz.cuda.DeviceArray) else v for v in (x, y))
        np.testing.assert_array_equal(x, y)
    assert not path.exists() or method == "trace"


def test_nothing_to_do_on_a_device():
    none = ritz.LinearOperator((5, 0), matvec=lambda x: x, rmatvec=lambda x: x, dtype=np.float64)
    u, s, vt = ritz.svds(none, 1, like=on(np.ones(1)))
    assert (u.shape, s.shape, vt.shape) == ((5, 0), (0,), (0, 0))
    x, info = ritz.cg(closure(SPD), on(np.ones((N, 0))))
    assert info == 0
    assert x.shape == (N, 0)
    with pytest.raises(TypeError, match="least_squares works in host memory"):
        ritz.Workspace("least_squares", N, like=on(np.ones(1)))


def test_threads_may_let_go_of_arrays_and_solve_on_one_stream():
    laplacian = scipy.sparse.diags_array(
        [-1.0, 2.1, -1.0], offsets=[-1, 0, 1], shape=(N, N)
    ).tocsr()
    A = ritz.aslinearoperator(laplacian) + 0.1 * ritz.identity(N)  # with vectors of its own
    b = on(np.ones(N))
    expected = host(ritz.cg(A, b, rtol=1e-10).x)
    results, ended = [], []

    def solve():
        for _ in range(15):
            results.append(ritz.cg(A, b, rtol=1e-10).x)
        ended.append(True)

    threads = [threading.Thread(target=solve) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(ended) < 2:
        on(np.zeros(7))  # taken and let go of at once
        ritz.Workspace("fcg", N, like=b)
        if results:
            np.testing.assert_array_equal(host(results.pop()), expected)
    for thread in threads:
        thread.join()
    for x in results:
        np.testing.assert_array_equal(host(x), expected)


def test_transposed_arrays_and_rows():
    a = np.arange(6.0).reshape(2, 3)
    array = on(a)
    np.testing.assert_array_equal(host(array.T), a.T)
    assert array.T.shape == (3, 2)
    np.testing.assert_array_equal(host(array.T.T), a)
    np.testing.assert_array_equal(host(array.row(1)), a[1])
    by_columns = on(np.asfortranarray(a))
    np.testing.assert_array_equal(host(by_columns), a)
    assert by_columns.__cuda_array_interface__["strides"] == (8, 16)
    assert array.__cuda_array_interface__["strides"] is None
    np.testing.assert_array_equal(host(on(np.arange(3.0)).T), np.arange(3.0))
    with pytest.raises(IndexError, match="no row 2"):
        array.row(2)
    with pytest.raises(ValueError, match="transposed"):
        array.T.reshape((6,))


def test_operators_of_another_framework_are_refused():
    A = ritz.LinearOperator((N, N), matvec=lambda x: x, dtype=np.float64, framework="numpy")
    with pytest.raises(TypeError, match="arrays of numpy, but the vectors of this run"):
        ritz.cg(A, on(np.ones(N)))


def test_a_start_an_output_a_history_and_limits():
    b, start = RNG.standard_normal(N), RNG.standard_normal(N)
    out, seen = on(np.zeros(N)), []
    x, info = result = ritz.cg(
        closure(SPD), on(b), on(start), rtol=1e-9, out=out, history=True, callback=seen.append
    )
    assert x is out
    assert info == 0
    assert len(result.history) == len(seen) == result.iterations
    assert seen[0].x is None
    np.testing.assert_allclose(SPD @ host(out), b, atol=1e-7)
    assert ritz.cg(closure(SPD), on(b), rtol=1e-14, max_products=4).status.name == "max_products"
    assert ritz.cg(closure(SPD), on(b), rtol=1e-14, maxiter=3).info == 3


def test_closures_may_fill_their_output():
    def product(x, y):
        y.copy_from_host(SPD @ host(x))

    A = ritz.LinearOperator((N, N), matvec=product, dtype=np.float64, out=True)
    b = RNG.standard_normal(N)
    x, info = ritz.cg(A, on(b), rtol=1e-10)
    assert info == 0
    np.testing.assert_allclose(SPD @ host(x), b, atol=1e-8)


def test_arrays_of_other_frameworks():
    b = RNG.standard_normal(N)
    x, info = ritz.cg(closure(SPD), Foreign(b), Foreign(np.zeros(N)), rtol=1e-10)
    assert info == 0
    np.testing.assert_allclose(SPD @ host(x), b, atol=1e-8)
    assert on_device(Foreign(b))
    assert not on_device(b)

    for versioned in (True, False):
        A = ritz.LinearOperator(
            (N, N), matvec=lambda v, k=versioned: ByDlpack(SPD @ host(v), k), dtype=np.float64
        )
        x, info = ritz.cg(A, on(b), rtol=1e-10)
        assert info == 0
        np.testing.assert_allclose(SPD @ host(x), b, atol=1e-8)


def test_dlpack_capsules_are_taken_once_and_freed():
    core = _core.cuda.f8(0, 0)
    gc.collect()
    array = on(np.arange(5.0))
    before = core.bytes_in_use
    for version in (None, (1, 0)):
        capsule = array.__dlpack__(stream=-1, max_version=version)
        assert array.__dlpack_device__() == (2, 0)
        del capsule
    del array
    gc.collect()
    assert core.bytes_in_use == before - 40


def test_what_is_wrong_is_named():
    b = RNG.standard_normal(N)
    A = closure(SPD)
    with pytest.raises(TypeError, match="x0 is in host memory, but b is on a device"):
        ritz.cg(A, on(b), b)
    with pytest.raises(TypeError, match="out is in host memory"):
        ritz.cg(A, on(b), out=np.zeros(N))
    with pytest.raises(ValueError, match="b has shape"):
        ritz.cg(A, on(b[:-1]))
    with pytest.raises(TypeError, match="b has dtype float32"):
        ritz.cg(A, on(b.astype(np.float32)))
    with pytest.raises(TypeError, match="gaps"):
        ritz.cg(A, Foreign(b, strides=(16,)))
    array = Foreign(b)
    start, _ = array.__cuda_array_interface__["data"]
    with pytest.raises(TypeError, match="does not start at a multiple"):
        ritz.cg(A, Foreign(b, data=(start + 4, False)))
    address = b.__array_interface__["data"][0]
    with pytest.raises(TypeError, match="its address is the host's"):
        ritz.cg(A, Foreign(b, data=(address, False)))
    with pytest.raises(TypeError, match="dense"):
        ritz.cg(SPD, on(b))
    with pytest.raises(ValueError, match="workspace was made for another memory"):
        ritz.cg(A, on(b), workspace=ritz.Workspace("cg", N))
    with pytest.raises(ValueError, match="workspace was made for another memory"):
        ritz.cg(SPD, b, workspace=ritz.Workspace("cg", N, like=on(b)))
    with pytest.raises(TypeError, match="device memory"):
        ritz.eigs(A, 2, v0=on(b))


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (lambda x: host(x), "not in device memory"),
        (lambda x: None, "returned None"),
        (lambda x: on(host(x)[:-1]), "must have"),
        (lambda x: on(host(x).astype(np.float32)), "float32"),
    ],
)
def test_results_that_cannot_be_used(result, error):
    A = ritz.LinearOperator((N, N), matvec=result, dtype=np.float64)
    with pytest.raises((TypeError, ValueError), match=error):
        ritz.cg(A, on(np.ones(N)))


def test_a_closures_exception_arrives_and_memory_does_not_leak():
    class Mine(Exception):
        pass

    calls = 0

    def product(x):
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Mine("the fifth")
        return on(SPD @ host(x))

    b = on(np.ones(N))
    core = _core.cuda.f8(0, 0)
    gc.collect()
    before = core.bytes_in_use
    with pytest.raises(Mine, match="the fifth") as caught:
        ritz.gmres(ritz.LinearOperator((N, N), matvec=product, dtype=np.float64), b)
    del caught
    gc.collect()
    assert core.bytes_in_use == before
    result = ritz.cg(closure(SPD), b)
    assert result.converged
    del result
    gc.collect()
    assert core.bytes_in_use == before


def test_no_room_is_a_typed_error():
    n = 200_000
    A = ritz.diagonal(np.linspace(1.0, 2.0, n))
    with pytest.raises(ritz.cuda.DeviceOutOfMemory, match="no room") as caught:
        ritz.gmres(A, on(np.ones(n)), restart=100_000)
    assert isinstance(caught.value, MemoryError)
    assert caught.value.bytes > 100_000 * n * 8
    assert caught.value.held > 0
    assert ritz.cg(A, on(np.ones(n))).converged


def test_memory_comes_from_the_framework(monkeypatch):
    other, held, given = 64, {}, []  # a stream of its own, whose memory the framework hands out

    def allocate(size):
        if size > 10_000_000:
            raise RuntimeError("the framework's own words")
        array = _core.empty_array(np.dtype(np.float64), (size + 7) // 8, 0, other)
        address = array.__cuda_array_interface__["data"][0]
        held[address] = array
        given.append(size)
        return address

    monkeypatch.setattr(CudaArrays, "allocator", lambda *_: (allocate, held.__delitem__))
    b = RNG.standard_normal(N)
    stream = 128
    right = ritz.cuda.asarray(b, stream=stream)
    x, info = result = ritz.cg(closure(SPD), right, rtol=1e-10)
    assert info == 0
    np.testing.assert_allclose(SPD @ host(x), b, atol=1e-8)
    assert given
    assert held
    n = 200_000
    large = ritz.cuda.asarray(np.ones(n), stream=stream)
    with pytest.raises(ritz.cuda.DeviceOutOfMemory):
        ritz.gmres(ritz.diagonal(np.ones(n)), large)
    del x, result, large
    gc.collect()
    assert not held


def test_the_real_plugin_says_what_is_missing(tmp_path):
    """Without a device: in a process of its own, since the first answer stays."""
    code = "import ritz, json; print(json.dumps(ritz.cuda.info()))"
    environment = {k: v for k, v in os.environ.items() if k != "RITZ_CUDA_LIBRARY"}

    def info(**more):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **more},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "does not exist" in info(RITZ_CUDA_LIBRARY=str(tmp_path / "none.so"))
    answer = info()
    if (Path(_core.__file__).parent / "libritz_cuda.so").exists():
        assert "nvcc" not in answer
    assert '"available": true' in answer or any(
        reason in answer
        for reason in ("nvcc", "no NVIDIA driver", "no CUDA device", "cudaErrorInsufficientDriver")
    )
    import ctypes.util

    other = ctypes.util.find_library("m")
    path = next(
        (
            os.path.join(d, other)
            for d in ("/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64")
            if os.path.exists(os.path.join(d, other))
        ),
        None,
    )
    if path is not None:
        assert "is not a CUDA plugin of ritz" in info(RITZ_CUDA_LIBRARY=path)
