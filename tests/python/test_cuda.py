"""Solvers on vectors in device memory; without a GPU, on a device that the host emulates."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
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
        rows = host(V)
        assert rows.shape == (4, N)
        assert rows.dtype == dtype
        errors = np.linalg.norm(a @ rows.T - rows.T * w, axis=0)
        assert np.all(errors <= 1.1 * result.residuals + 20 * eps * expected[-1])
        np.testing.assert_allclose(rows.conj() @ rows.T, np.eye(4), atol=200 * eps)


def test_eigenpairs_with_a_mass_a_solve_and_known_vectors_on_a_device():
    d = np.linspace(1.0, 2.0, N)
    expected = np.linalg.eigvalsh(SPD / np.sqrt(np.outer(d, d)))
    M, Minv = ritz.diagonal(d), ritz.diagonal(1.0 / d)
    w, V = result = ritz.eigsh(closure(SPD), 3, M=M, Minv=Minv, like=on(d))
    assert result.converged
    np.testing.assert_allclose(w, expected[-3:], rtol=1e-10)
    np.testing.assert_allclose(host(V) @ (d[:, None] * host(V).T), np.eye(3), atol=1e-10)
    sigma = 10.2
    inverse = closure(np.linalg.inv(SPD - sigma * np.diag(d)))
    w = ritz.eigsh(closure(SPD), 3, M=M, sigma=sigma, OPinv=inverse, like=on(d))[0]
    nearest = expected[np.argsort(abs(expected - sigma))[:3]]
    np.testing.assert_allclose(w, np.sort(nearest), rtol=1e-9)
    values, vectors = np.linalg.eigh(SPD)
    w = ritz.eigsh(closure(SPD), 2, like=on(d), deflate=on(vectors[:, -1]))[0]
    np.testing.assert_allclose(w, values[-3:-1], rtol=1e-10)


def test_what_eigsh_refuses_on_a_device(tmp_path):
    A, b = closure(SPD), on(np.ones(N))
    with pytest.raises(ValueError, match="checkpoint is for runs in host memory"):
        ritz.eigsh(A, 2, like=b, checkpoint=tmp_path / "state")
    with pytest.raises(ValueError, match="workspace is for runs in host memory"):
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


def test_operators_of_another_framework_are_refused():
    A = ritz.LinearOperator((N, N), matvec=lambda x: x, dtype=np.float64, framework="numpy")
    with pytest.raises(TypeError, match="arrays of numpy, but b is a"):
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
    with pytest.raises(TypeError, match="workspace is for vectors in host memory"):
        ritz.cg(A, on(b), workspace=ritz.Workspace("cg", N))
    with pytest.raises(TypeError, match="device memory"):
        ritz.svds(A, 2, v0=on(b))


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
