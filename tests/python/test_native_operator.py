"""Compiled functions as operators: ctypes, addresses, numba, capsules."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest

import ritz
from problems import spd, vector

APPLY = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
)

SOURCE = r"""
#include <stdint.h>
#include <time.h>
struct diagonal { int64_t n; const double* d; };
int diagonal(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t k, void* s) {
  const struct diagonal* a = ctx;
  for (int64_t j = 0; j < k; ++j)
    for (int64_t i = 0; i < a->n; ++i)
      ((double*)y)[i + j * ldy] = a->d[i] * ((const double*)x)[i + j * ldx];
  return 0;
}
int failing(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t k, void* s) {
  return 3;
}
int slow(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t k, void* s) {
  const struct timespec t = {0, 2000000};
  nanosleep(&t, 0);
  return diagonal(ctx, x, ldx, y, ldy, k, s);
}
/* shape (3, 2): y = (x0, x1, x0 + x1), and its adjoint */
int tall(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t k, void* s) {
  for (int64_t j = 0; j < k; ++j) {
    const double* a = (const double*)x + j * ldx;
    double* b = (double*)y + j * ldy;
    b[0] = a[0]; b[1] = a[1]; b[2] = a[0] + a[1];
  }
  return 0;
}
int wide(void* ctx, const void* x, int64_t ldx, void* y, int64_t ldy, int64_t k, void* s) {
  for (int64_t j = 0; j < k; ++j) {
    const double* a = (const double*)x + j * ldx;
    double* b = (double*)y + j * ldy;
    b[0] = a[0] + a[2]; b[1] = a[1] + a[2];
  }
  return 0;
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("native")
    (folder / "native.c").write_text(SOURCE)
    subprocess.run(
        [compiler, "-O2", "-shared", "-fPIC", "native.c", "-o", "native.so"], cwd=folder, check=True
    )
    return ctypes.CDLL(str(folder / "native.so"))


class Context(ctypes.Structure):
    _fields_ = (("n", ctypes.c_int64), ("d", ctypes.POINTER(ctypes.c_double)))


def diagonal_context(d):
    context = Context(len(d), d.ctypes.data_as(ctypes.POINTER(ctypes.c_double)))
    context.keep = d
    return context


D = np.linspace(1.0, 5.0, 40)


def test_ctypes(library):
    A = ritz.native_operator(library.diagonal, (40, 40), context=diagonal_context(D))
    x = vector(40)
    np.testing.assert_array_equal(A @ x, D * x)
    X = np.stack([x, 2 * x], axis=1)
    np.testing.assert_array_equal(A @ X, D[:, None] * X)
    res = ritz.cg(A, x, rtol=1e-10)
    assert res.converged
    np.testing.assert_allclose(res.x, x / D, rtol=1e-9)
    assert A.counts.matvec == res.products.matvec + 1
    assert ritz.eigsh(A, 1).w[0] == pytest.approx(5.0)


def test_addresses_and_pointers(library):
    address = ctypes.cast(library.diagonal, ctypes.c_void_p).value
    context = diagonal_context(D)
    x = vector(40)
    for given in (
        ctypes.addressof(context),
        ctypes.pointer(context),
        context,
        ctypes.c_void_p(ctypes.addressof(context)),
    ):
        A = ritz.native_operator(address, (40, 40), np.float64, context=given)
        np.testing.assert_array_equal(A @ x, D * x)


def test_adjoint(library):
    A = ritz.native_operator(library.tall, (3, 2), adjoint=library.wide)
    a = np.array([[1.0, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(A.to_dense(), a)
    np.testing.assert_array_equal(A.H.to_dense(), a.T)
    assert ritz.check(A).passed
    b = np.array([1.0, 2, 4])
    np.testing.assert_allclose(ritz.lsmr(A, b).x, np.linalg.lstsq(a, b, rcond=None)[0], rtol=1e-6)
    without = ritz.native_operator(library.tall, (3, 2))
    with pytest.raises(ValueError, match=r"adjoint"):
        ritz.lsmr(without, b)
    same = ritz.native_operator(
        library.diagonal, (40, 40), context=diagonal_context(D), symmetric=True
    )
    np.testing.assert_array_equal(same.H @ D, D * D)


def test_the_context_is_kept_alive(library):
    A = ritz.native_operator(library.diagonal, (40, 40), context=diagonal_context(D.copy()))
    np.testing.assert_array_equal(A @ np.ones(40), D)


def test_failure(library):
    A = ritz.native_operator(library.failing, (4, 4))
    ws = ritz.Workspace("cg", 4)
    with pytest.raises(ritz.CallbackFailed):
        ritz.cg(A, np.ones(4), workspace=ws)
    assert ritz.cg(np.eye(4), np.ones(4), workspace=ws).converged


@pytest.mark.timed
def test_the_gil_is_free_meanwhile(library):
    A = ritz.native_operator(library.slow, (40, 40), context=diagonal_context(D))
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        res = ritz.cg(A, vector(40), rtol=1e-10)
    finally:
        stop.set()
        thread.join()
    assert res.converged
    # The other thread went on during the products.
    assert len(ticks) > res.products.matvec / 2


def test_python_functions_of_ctypes():
    a = spd(6, 10)

    @APPLY
    def apply(ctx, x, ldx, y, ldy, columns, stream):
        X = np.ctypeslib.as_array(ctypes.cast(x, ctypes.POINTER(ctypes.c_double)), (6,))
        Y = np.ctypeslib.as_array(ctypes.cast(y, ctypes.POINTER(ctypes.c_double)), (6,))
        Y[:] = a @ X
        return 0

    res = ritz.cg(ritz.native_operator(apply, (6, 6)), vector(6), rtol=1e-10)
    np.testing.assert_allclose(a @ res.x, vector(6), rtol=1e-8)


def test_numba():
    numba = pytest.importorskip("numba")
    from numba import carray, cfunc, types

    signature = types.int32(
        types.voidptr,
        types.CPointer(types.float32),
        types.int64,
        types.CPointer(types.float32),
        types.int64,
        types.int64,
        types.voidptr,
    )

    @cfunc(signature)
    def laplace(ctx, x, ldx, y, ldy, columns, stream):
        n = 50
        for j in range(columns):
            a = carray(x, (ldx * columns,))[j * ldx : j * ldx + n]
            b = carray(y, (ldy * columns,))[j * ldy : j * ldy + n]
            for i in range(n):
                b[i] = 2 * a[i] - (a[i - 1] if i else 0) - (a[i + 1] if i < n - 1 else 0)
        return 0

    assert numba is not None
    A = ritz.native_operator(laplace, (50, 50), np.float32, symmetric=True)
    dense = (2 * np.eye(50) - np.eye(50, k=1) - np.eye(50, k=-1)).astype(np.float32)
    np.testing.assert_array_equal(A.to_dense(), dense)
    res = ritz.cg(A, np.ones(50, np.float32), rtol=1e-4)
    assert res.converged
    with pytest.raises(TypeError, match=r"works in float32, but this run works in float64"):
        ritz.cg(A, np.ones(50))


class RitzOperator(ctypes.Structure):
    """The struct ritz_operator of ritz.h."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("dtype", ctypes.c_int32),
        ("rows", ctypes.c_int64),
        ("cols", ctypes.c_int64),
        ("ctx", ctypes.c_void_p),
        ("apply", ctypes.c_void_p),
        ("apply_adjoint", ctypes.c_void_p),
    )


def capsule_of(struct, name=b"ritz_operator_v1"):
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    return new(ctypes.addressof(struct), name, None)


def test_capsules(library):
    struct = RitzOperator(
        ctypes.sizeof(RitzOperator),
        1,
        3,
        2,
        None,
        ctypes.cast(library.tall, ctypes.c_void_p).value,
        ctypes.cast(library.wide, ctypes.c_void_p).value,
    )
    name = b"ritz_operator_v1"
    A = ritz.native_operator(capsule_of(struct, name))
    assert A.shape == (3, 2)
    np.testing.assert_array_equal(A.to_dense(), [[1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(A.T @ np.ones(3), [2, 2])
    with pytest.raises(ValueError, match=r"capsule holds an operator of shape \(3, 2\)"):
        ritz.native_operator(capsule_of(struct, name), (2, 3))
    with pytest.raises(TypeError, match=r"capsule brings its own"):
        ritz.native_operator(capsule_of(struct, name), adjoint=library.wide)
    other = b"other"
    with pytest.raises(ValueError, match=r"name"):
        ritz.native_operator(capsule_of(struct, other))


def test_misuse(library):
    with pytest.raises(TypeError, match=r"use ritz.LinearOperator"):
        ritz.native_operator(lambda x: x, (2, 2))
    with pytest.raises(TypeError, match=r"no compiled function"):
        ritz.native_operator("diagonal", (2, 2))
    with pytest.raises(ValueError, match=r"null pointer"):
        ritz.native_operator(0, (2, 2))
    with pytest.raises(TypeError, match=r"shape is missing"):
        ritz.native_operator(library.diagonal)
    with pytest.raises(TypeError, match=r"context is"):
        ritz.native_operator(library.diagonal, (2, 2), context="here")
