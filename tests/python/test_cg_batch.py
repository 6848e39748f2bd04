"""Batches of systems against dense solves, and against `ritz.cg` on each system alone."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

import ritz

RNG = np.random.default_rng(5)
BATCH, N = 17, 30
DTYPES = ["float32", "float64", "complex64", "complex128"]
needs_device = pytest.mark.skipif(
    not ritz.cuda.info()["available"], reason=f"no device: {ritz.cuda.info()['reason']}"
)


def tight(dtype):
    return 1e-4 if np.dtype(dtype).name in ("float32", "complex64") else 1e-10


def systems(dtype="float64", batch=BATCH, n=N):
    """Positive definite matrices of different condition, and right-hand sides."""
    kind = np.dtype(dtype)

    def normal(*shape):
        values = RNG.standard_normal(shape)
        return values + 1j * RNG.standard_normal(shape) if kind.kind == "c" else values

    A = np.empty((batch, n, n), dtype)
    for k in range(batch):
        q = np.linalg.qr(normal(n, n))[0]
        a = (q * np.geomspace(1.0, 2.0 + k % 5, n)) @ q.conj().T
        A[k] = (a + a.conj().T) / 2
    return A, normal(batch, n).astype(dtype)


def solutions(A, B):
    wide = np.result_type(A.dtype, np.float64)
    return np.linalg.solve(A.astype(wide), B.astype(wide)[..., None])[..., 0]


def products(A, X):
    return (A @ X[..., None])[..., 0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["array", "function"])
def test_every_system_is_solved(dtype, how):
    A, B = systems(dtype)
    given = A if how == "array" else lambda X: products(A, X)
    result = ritz.cg_batch(given, B, rtol=tight(dtype))
    assert result.x.dtype == dtype
    assert result.x.shape == B.shape
    assert result.converged.all()
    assert result.verified.all()
    assert result.status == [ritz.Status.converged] * BATCH
    norms = np.linalg.norm(B, axis=1)
    np.testing.assert_allclose(result.targets, tight(dtype) * norms, rtol=1e-5)
    assert (result.residual_norms <= result.targets).all()
    true = np.linalg.norm(products(A, result.x) - B, axis=1)
    np.testing.assert_allclose(result.residual_norms, true, atol=0.05 * result.targets.max())
    error = np.linalg.norm(result.x - solutions(A, B), axis=1)
    assert (error <= 1.1 * result.targets).all()  # no eigenvalue is below 1
    assert result.products == result.iterations.max() + 1
    assert len(set(result.iterations)) > 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("more", ["plain", "start", "M", "limit", "no verification"])
def test_a_batch_is_a_loop(dtype, more):
    A, B = systems(dtype)
    A[3] = -A[3]
    B[4] = 0
    X0 = RNG.standard_normal(B.shape).astype(dtype) if more == "start" else None
    M = 1.0 / np.einsum("kii->ki", A).real if more == "M" else None
    if M is not None:
        M[3] = 1.0
    options = {"rtol": tight(dtype), "maxiter": 4 if more == "limit" else None}
    options["verify"] = more != "no verification"
    result = ritz.cg_batch(A, B, X0, M=M, **options)
    for k in range(BATCH):
        start = None if X0 is None else X0[k]
        m = None if M is None else ritz.diagonal(M[k].astype(dtype))
        x, _ = alone = ritz.cg(A[k], B[k], start, M=m, **options)
        assert result.status[k] is alone.status
        assert result.iterations[k] == alone.iterations
        assert result.residual_norms[k] == alone.residual
        assert result.targets[k] == alone.target
        assert result.verified[k] == alone.verified
        np.testing.assert_array_equal(result.x[k], x)
    assert result.status[3] is ritz.Status.negative_curvature
    assert result.iterations[4] == 0


def test_breakdowns_stay_where_they_are():
    A, B = systems()
    clean = ritz.cg_batch(A, B)
    A[2, 5, 5] = np.nan
    A[7] = 0.0
    B[9, 0] = np.inf
    result = ritz.cg_batch(A, B)
    failed = [2, 7, 9]
    names = [result.status[k].name for k in failed]
    assert names == ["nonfinite", "negative_curvature", "nonfinite"]
    rest = np.setdiff1d(np.arange(BATCH), failed)
    np.testing.assert_array_equal(result.x[rest], clean.x[rest])
    np.testing.assert_array_equal(result.iterations[rest], clean.iterations[rest])
    assert np.isfinite(result.x[[2, 7]]).all()
    assert not result.converged[failed].any()
    assert "14 of 17 systems converged; system 2 ended with nonfinite" in result.message
    assert result.message in repr(result)
    M = np.ones_like(B)
    M[1] = -1.0
    assert ritz.cg_batch(clean_matrices(A), B, M=M).status[1].name == "indefinite_preconditioner"


def clean_matrices(A):
    A = A.copy()
    A[[2, 7]] = np.eye(N)
    return A


def test_scale_does_not_matter():
    A, B = systems()
    base = ritz.cg_batch(A, B, rtol=1e-9)
    for scale in (1e-25, 1e25):
        scaled = ritz.cg_batch(A * scale, B * scale, rtol=1e-9)
        assert scaled.status == base.status
        np.testing.assert_array_equal(scaled.iterations, base.iterations)


@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (3, 1), (1, 40), (4, 0)])
def test_small_and_empty_batches(shape):
    batch, n = shape
    A, B = systems(batch=batch, n=n)
    result = ritz.cg_batch(A, B, rtol=1e-10)
    assert result.x.shape == shape
    assert result.converged.all()
    assert len(result.status) == batch
    np.testing.assert_allclose(products(A, result.x), B, atol=1e-8)
    assert ritz.cg_batch(lambda X: products(A, X), B).x.shape == shape


def test_strides_kinds_and_integers():
    A, B = systems()
    expected = ritz.cg_batch(A, B, rtol=1e-10).x
    by_columns = np.asfortranarray(A)
    result = ritz.cg_batch(by_columns[:, :, :], np.asfortranarray(B), rtol=1e-10)
    np.testing.assert_array_equal(result.x, expected)
    ones = ritz.cg_batch(2 * np.broadcast_to(np.eye(3, dtype=int), (2, 3, 3)), [[1, 2, 3]] * 2)
    np.testing.assert_allclose(ones.x, [[0.5, 1.0, 1.5]] * 2)
    assert ritz.cg_batch(A, B.astype(np.float32)).x.dtype == np.float64
    assert ritz.cg_batch(A + 0j, B).x.dtype == np.complex128


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_torch_in_torch_out():
    import torch

    A, B = systems("float32")
    a, b = torch.from_numpy(A), torch.from_numpy(B)
    seen = []

    def function(X):
        seen.append(type(X))
        assert X.shape == (BATCH, N)
        return (a @ X[..., None])[..., 0]

    for given in (a, function):
        result = ritz.cg_batch(given, b, torch.zeros_like(b), M=torch.ones_like(b))
        assert isinstance(result.x, torch.Tensor)
        assert result.x.dtype == torch.float32
        assert result.converged.all()
        assert torch.linalg.norm(function(result.x) - b) <= 1.1e-5 * torch.linalg.norm(b)
    assert set(seen) == {torch.Tensor}


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs jax")
def test_jax_in_jax_out():
    import jax
    import jax.numpy as jnp

    A, B = systems("float32")
    a = jnp.asarray(A)
    result = ritz.cg_batch(jax.jit(lambda X: jnp.einsum("kij,kj->ki", a, X)), jnp.asarray(B))
    assert isinstance(result.x, jax.Array)
    assert result.converged.all()


def test_callbacks_see_the_batch_and_may_stop_it():
    A, B = systems()
    A[0] = np.eye(N)
    seen = []

    def watch(it):
        assert it.x.shape == B.shape
        seen.append((it.iteration, it.residual))
        return it.iteration == 3

    result = ritz.cg_batch(A, B, rtol=1e-12, callback=watch)
    assert [i for i, _ in seen] == [1, 2, 3]
    assert seen[0][1] > seen[2][1]
    assert result.status[0] is ritz.Status.converged
    assert result.status[4] is ritz.Status.stopped
    assert result.iterations[4] == 3
    assert not result.verified[4]

    ended = []

    class Monitor:
        def begin(self, method):
            ended.append(method)

        def __call__(self, it):
            return False

        def finish(self, result):
            ended.append((result.status.name, result.message))

    ritz.cg_batch(A, B, callback=Monitor())
    assert ended == ["cg_batch", ("converged", "17 of 17 systems converged")]
    assert ritz.cg_batch(A, B, rtol=1e-14, timeout=0.0).status[4] is ritz.Status.timeout


class Mine(Exception):
    pass


def test_exceptions_arrive_unchanged():
    A, B = systems()

    def fail(_):
        raise Mine("from below")

    with pytest.raises(Mine, match="from below"):
        ritz.cg_batch(A, B, callback=fail)
    with pytest.raises(Mine, match="from below"):
        ritz.cg_batch(fail, B)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (lambda A, B: (A[:, :, 1:], B), ValueError, "A has shape"),
        (lambda A, B: (A[0], B), ValueError, "A has shape"),
        (lambda A, B: (A, B[0]), ValueError, r"B has shape \(30,\); pass \(batch, n\)"),
        (lambda A, B: (A, B, B[1:]), ValueError, "X0 has shape"),
        (lambda A, B: (A, B + 0j, B[:, 1:]), ValueError, "X0 has shape"),
        (lambda A, B: (A, B, B + 0j), TypeError, "X0 is complex128"),
        (lambda A, B: (A.astype(str), B), TypeError, "A has dtype"),
        (lambda A, B: (lambda X: X[:, 1:], B), ValueError, "A returned an array of shape"),
        (lambda A, B: (lambda X: X.T, B), ValueError, "A returned an array of shape"),
        (lambda A, B: (lambda X: None, B), TypeError, "A returned None"),
        (lambda A, B: (lambda X: X.astype(np.float32), B), TypeError, "float32"),
        (lambda A, B: (ritz.identity(3), B), TypeError, "A is a LinearOperator"),
        (lambda A, B: (A, B * [[1e-300]]), ValueError, "system 0: b is so small"),
    ],
)
def test_what_is_wrong_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ritz.cg_batch(*arguments(*systems()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1.0}, "rtol is"),
        ({"atol": np.nan}, "atol is"),
        ({"maxiter": 0}, "maxiter is"),
        ({"timeout": -1.0}, "timeout is"),
        ({"M": np.ones(3)}, "M has shape"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ritz.cg_batch(*systems(), **options)


def test_the_result_is_frozen():
    result = ritz.cg_batch(*systems())
    assert isinstance(result, ritz.CgBatchResult)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.x = None


# ---- where the vectors are ----


def on(values):
    return ritz.cuda.asarray(values)


@needs_device
@pytest.mark.parametrize("dtype", DTYPES)
def test_on_a_device(dtype):
    A, B = systems(dtype)
    expected = ritz.cg_batch(A, B, rtol=tight(dtype))
    seen = []

    def function(X):
        assert isinstance(X, ritz.cuda.DeviceArray)
        seen.append(X.shape)
        return on(products(A, X.copy_to_host()))

    for given in (on(A), function):
        result = ritz.cg_batch(given, on(B), rtol=tight(dtype))
        assert isinstance(result.x, ritz.cuda.DeviceArray)
        x = result.x.copy_to_host()
        assert x.shape == B.shape
        assert x.dtype == dtype
        assert result.converged.all()
        assert result.verified.all()
        assert (np.abs(result.iterations - expected.iterations) <= 1).all()
        true = np.linalg.norm(products(A, x) - B, axis=1)
        assert (true <= 1.05 * result.targets).all()
    assert set(seen) == {B.shape}


@needs_device
def test_starts_preconditioners_and_endings_on_a_device():
    A, B = systems()
    A[3] = -A[3]
    B[4] = 0.0
    X0, M = RNG.standard_normal(B.shape), np.abs(1.0 / np.einsum("kii->ki", A))
    seen = []
    result = ritz.cg_batch(
        on(A), on(B), on(X0), M=on(M), rtol=1e-9, callback=lambda it: seen.append(it.iteration)
    )
    alone = ritz.cg_batch(A, B, X0, M=M, rtol=1e-9)
    assert result.status == alone.status
    np.testing.assert_allclose(result.x.copy_to_host(), alone.x, atol=1e-7)
    assert result.status[3] is ritz.Status.negative_curvature
    assert result.iterations[4] == 0
    assert seen == [10 * (k + 1) for k in range(len(seen))]
    limited = ritz.cg_batch(on(A), on(B), rtol=1e-14, maxiter=3)
    assert limited.iterations.max() == 3
    assert limited.products == 3
    with pytest.raises(Mine):
        ritz.cg_batch(on(A), on(B), callback=raising)


def raising(_):
    raise Mine


@needs_device
def test_what_is_wrong_on_a_device_is_named():
    A, B = systems()
    with pytest.raises(TypeError, match="A is in host memory, but B is on a device"):
        ritz.cg_batch(A, on(B))
    with pytest.raises(TypeError, match="M is in host memory, but B is on a device"):
        ritz.cg_batch(on(A), on(B), M=np.ones_like(B))
    with pytest.raises(ValueError, match="X0 has shape"):
        ritz.cg_batch(on(A), on(B), on(B[1:]))
    with pytest.raises(TypeError, match="A has dtype <f4"):
        ritz.cg_batch(on(A.astype(np.float32)), on(B))
    with pytest.raises(ValueError, match=r"B has shape \(510,\)"):
        ritz.cg_batch(on(A), on(B.ravel()))
    with pytest.raises(ValueError, match="A returned an array of shape"):
        ritz.cg_batch(lambda X: on(X.copy_to_host().T), on(B))
    with pytest.raises(TypeError, match="in device memory"):
        ritz.cg_batch(on(A), B)


@needs_device
def test_device_arrays_have_shapes():
    values = RNG.standard_normal((2, 3, 4))
    array = on(values)
    assert array.shape == (2, 3, 4)
    assert array.ndim == 3
    assert array.size == 24
    np.testing.assert_array_equal(array.copy_to_host(), values)
    assert array.__cuda_array_interface__["shape"] == (2, 3, 4)
    np.testing.assert_array_equal(array.reshape((6, 4)).copy_to_host(), values.reshape(6, 4))
    with pytest.raises(ValueError, match="another size"):
        array.reshape((5, 5))
