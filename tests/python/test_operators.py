"""Operators equal the matrices they stand for, whatever they are made of."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla
from hypothesis import given
from hypothesis import strategies as st

import ritz
from problems import DTYPES, Counting, eps, symmetric, vector


def dense(m, n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((m, n))
    return a.astype(dtype)


def closures(a):
    return ritz.LinearOperator(a.shape, lambda x: a @ x, lambda u: a.conj().T @ u, dtype=a.dtype)


def assert_is(operator, a):
    """The operator equals the matrix in every product."""
    m, n = a.shape
    assert operator.shape == (m, n)
    dtype = np.result_type(operator.dtype, a.dtype)
    tol = {"rtol": 50 * eps(dtype), "atol": 50 * eps(dtype) * max(1.0, np.abs(a).max(initial=0))}
    x, u = vector(n, dtype, 3), vector(m, dtype, 4)
    X, U = dense(n, 3, dtype, 5), dense(m, 3, dtype, 6)
    np.testing.assert_allclose(operator @ x, a @ x, **tol)
    np.testing.assert_allclose(operator.H @ u, a.conj().T @ u, **tol)
    np.testing.assert_allclose(operator.T @ u, a.T @ u, **tol)
    np.testing.assert_allclose(operator.matvec(x), a @ x, **tol)
    np.testing.assert_allclose(operator.rmatvec(u), a.conj().T @ u, **tol)
    np.testing.assert_allclose(operator @ X, a @ X, **tol)
    np.testing.assert_allclose(operator @ np.asfortranarray(X), a @ X, **tol)
    np.testing.assert_allclose(operator.rmatmat(U), a.conj().T @ U, **tol)
    np.testing.assert_allclose(u @ operator, u @ a, **tol)
    np.testing.assert_allclose(operator.to_dense(), a, **tol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7, 7), (12, 5), (5, 12), (1, 1), (300, 70)])
def test_dense_closures_and_objects(dtype, shape):
    a = dense(*shape, dtype)
    assert_is(ritz.aslinearoperator(a), a)
    assert_is(ritz.aslinearoperator(np.asfortranarray(a)), a)
    assert_is(closures(a), a)
    assert_is(ritz.aslinearoperator(spla.aslinearoperator(a)), a)

    class HasMatmul:
        def __init__(self, b):
            self.b, self.shape, self.dtype = b, b.shape, b.dtype

        def __matmul__(self, x):
            return self.b @ x

        @property
        def T(self):
            return HasMatmul(self.b.T)

    assert_is(ritz.aslinearoperator(HasMatmul(a)), a)


def test_views_that_are_not_contiguous():
    a = dense(20, 30)
    assert_is(ritz.aslinearoperator(a[::2, ::3]), a[::2, ::3])


def test_dense_is_not_copied():
    a = dense(4, 4)
    A = ritz.aslinearoperator(a)
    x = np.ones(4)
    before = A @ x
    a[:] *= 2
    np.testing.assert_allclose(A @ x, 2 * before)


@pytest.mark.parametrize("dtype", [*DTYPES, np.int32, bool])
@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia", "lil"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse(dtype, layout, kind):
    rng = np.random.default_rng(7)
    made = sp.random(60, 40, 0.1, format="csr", rng=rng)
    if np.dtype(dtype).kind == "c":
        made = made + 1j * sp.random(60, 40, 0.1, format="csr", rng=rng)
    made = (made != 0) if dtype is bool else (10 * made if dtype is np.int32 else made)
    made = getattr(sp, f"{layout}_{kind}")(made.astype(dtype))
    a = made.toarray()
    wide = a if a.dtype.kind in "fc" else a.astype(float)
    assert_is(ritz.aslinearoperator(made), wide)


def test_sparse_with_long_indices_and_unsorted_duplicates():
    indptr = np.array([0, 3, 4, 4], np.int64)
    indices = np.array([2, 0, 2, 1], np.int64)
    made = sp.csr_array((np.array([1.0, 2.0, 3.0, 4.0]), indices, indptr), shape=(3, 3))
    made.indices, made.indptr = indices, indptr
    assert_is(ritz.aslinearoperator(made), np.array([[2.0, 0, 4], [0, 4, 0], [0, 0, 0]]))


def test_empty_sparse_and_dense():
    assert_is(ritz.aslinearoperator(sp.csr_array((4, 3))), np.zeros((4, 3)))
    assert (ritz.aslinearoperator(np.zeros((0, 3))) @ np.ones(3)).shape == (0,)
    assert (ritz.aslinearoperator(np.zeros((3, 0))) @ np.ones(0)).tolist() == [0, 0, 0]
    assert (ritz.identity(0) @ np.ones(0)).shape == (0,)


@pytest.mark.parametrize("dtype", DTYPES)
def test_algebra(dtype):
    a, b, c = dense(9, 6, dtype, 1), dense(9, 6, dtype, 2), dense(6, 6, dtype, 3)
    A, B, C = closures(a), ritz.aslinearoperator(b), closures(c)
    d = vector(6, dtype)
    eye = np.eye(6, dtype=dtype)
    two = dtype(2)
    assert_is(A + B, a + b)
    assert_is(A - B, a - b)
    assert_is(-A, -a)
    assert_is(2 * A, two * a)
    assert_is(A * np.float32(0.5), a / two)
    assert_is(A / 4, a / dtype(4))
    assert_is(A @ C, a @ c)
    assert_is(A.H @ B, a.conj().T @ b)
    assert_is((A + B).T @ (A - B), (a + b).T @ (a - b))
    assert_is(C.shifted(3), c + 3 * eye)
    assert_is(A.damped(0.5), np.vstack([a, eye / two]))
    assert_is(
        ritz.block([[A, None], [C, ritz.identity(6)]]),
        np.block([[a, np.zeros((9, 6), dtype)], [c, eye]]),
    )
    assert_is(ritz.diagonal(d), np.diag(d))
    assert_is(ritz.identity(6, dtype), eye)
    assert_is(sum([A, B, A]), a + b + a)
    assert_is(A + b, a + b)
    assert_is(b - A, b - a)
    assert_is(A @ sp.csr_array(c), a @ c)
    if np.dtype(dtype).kind == "c":
        assert_is(2j * A, 2j * a)
        assert_is(C.shifted(1j), c + 1j * eye)


def test_complex_coefficient_makes_a_real_operator_complex():
    a = dense(5, 5)
    assert_is(2j * ritz.aslinearoperator(a), 2j * a)
    with pytest.raises(TypeError, match="declared to work in float64"):
        (2j * closures(a)) @ np.ones(5)


def test_double_transposes_are_the_operator_itself():
    A = closures(dense(4, 3, np.complex128))
    assert A.T.T is A
    assert A.H.H is A
    s = symmetric([1.0, 2.0, 3.0])
    S = ritz.LinearOperator((3, 3), lambda x: s @ x, symmetric=True)
    assert S.H is S
    assert_is(S, s)


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(1, 4),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32 - 1),
)
def test_adjoint_identity_of_compositions(m, n, k, dtype, seed):
    a, b = dense(m, n, dtype, seed), dense(n, k, dtype, seed + 1)
    A, B = closures(a), ritz.aslinearoperator(b)
    C = (2 * A - A.shifted(1) if m == n else 2 * A) @ B
    x, u = vector(k, dtype, seed), vector(m, dtype, seed + 2)
    left, right = np.vdot(u, C @ x), np.vdot(C.H @ u, x)
    scale = np.linalg.norm(u) * np.linalg.norm(a) * np.linalg.norm(b) * np.linalg.norm(x)
    assert abs(left - right) <= 50 * eps(dtype) * 4 * scale * np.sqrt(m + n + k)


def test_out_closures_fill():
    a = dense(6, 6)
    seen = []

    def matvec(x, out):
        seen.append((x.flags.writeable, out.flags.writeable))
        np.matmul(a, x, out=out)

    A = ritz.LinearOperator(
        (6, 6), matvec, lambda u, out: np.matmul(a.T, u, out=out), dtype=np.float64, out=True
    )
    assert_is(A, a)
    assert set(seen) == {(False, True)}


def test_matmat_is_used_for_blocks_and_serves_vectors():
    a = dense(6, 4)
    calls = []

    def matmat(X):
        calls.append(X.shape)
        return a @ X

    A = ritz.LinearOperator((6, 4), matmat=matmat, rmatmat=lambda U: a.T @ U)
    assert_is(A, a)
    assert (4, 3) in calls
    assert (4, 1) in calls


def test_counts():
    c = Counting(dense(5, 5))
    A = ritz.LinearOperator((5, 5), c.matvec, c.rmatvec)
    assert A.counts == (0, 0, 0)
    x = np.ones(5)
    A @ x
    A.H @ x
    A @ np.ones((5, 3))
    B = A @ A + A
    B @ x
    # Within a composition the operator is asked three times more.
    assert A.counts == (4, 1, 3)
    assert (c.matvecs, c.rmatvecs) == (7, 1)
    assert B.counts == (1, 0, 0)
    assert A.counts.total == 8


def test_counts_survive_exceptions_and_are_live():
    a = np.eye(3)
    seen = []

    def matvec(x):
        seen.append(A.counts.matvec)
        if len(seen) == 3:
            raise RuntimeError("enough")
        return a @ x * np.arange(1, 4)

    A = ritz.LinearOperator((3, 3), matvec)
    with pytest.raises(RuntimeError, match="enough"):
        ritz.cg(A, np.ones(3), rtol=0)
    assert seen == [1, 2, 3]
    assert A.counts.matvec == 3


def test_jacobian_and_gauss_newton():
    j, h = dense(8, 5), symmetric(np.arange(1.0, 9.0))
    v = vector(5)
    J = ritz.Jacobian((8, 5), jvp=lambda v: j @ v, vjp=lambda u: j.T @ u)
    assert_is(J, j)
    np.testing.assert_allclose(J.jvp(v), j @ v)
    G = ritz.GaussNewton(
        lambda v: j @ v, lambda u: j.T @ u, lambda u: h @ u, damping=0.25, shape=(8, 5)
    )
    assert_is(G, j.T @ h @ j + 0.25 * np.eye(5))
    assert_is(ritz.GaussNewton(J), j.T @ j)
    assert_is(ritz.GaussNewton(J, loss_hessian=ritz.aslinearoperator(h)), j.T @ h @ j)
    before = G.jacobian.counts
    G @ v
    after = G.jacobian.counts
    assert (after.matvec - before.matvec, after.rmatvec - before.rmatvec) == (1, 1)
    assert G.symmetric
    with pytest.raises(ValueError, match="loss_hessian has shape"):
        ritz.GaussNewton(J, loss_hessian=ritz.identity(5))
    with pytest.raises(TypeError, match="shape is missing"):
        ritz.GaussNewton(lambda v: v, lambda u: u)


def test_an_undeclared_dtype_follows_the_vectors():
    seen = []

    def matvec(x):
        seen.append(x.dtype)
        return 2 * x

    A = ritz.LinearOperator((3, 3), matvec)
    for dtype in DTYPES:
        assert (A @ np.ones(3, dtype)).dtype == dtype
    assert seen == DTYPES
    assert A.dtype == np.float64
    assert (A @ np.ones(3, np.int16)).dtype == np.float64
    assert (A @ [1, 2, 3]).tolist() == [2, 4, 6]


def test_native_matrices_promote():
    a = dense(3, 3, np.float32)
    assert (ritz.aslinearoperator(a) @ np.ones(3)).dtype == np.float64
    assert (ritz.aslinearoperator(a) @ np.ones(3, np.complex64)).dtype == np.complex64
    assert (ritz.aslinearoperator(dense(3, 3)) @ np.ones(3, np.float32)).dtype == np.float64


def test_scipy_takes_ritz_operators():
    a = symmetric([1.0, 2.0, 3.0])
    A = ritz.aslinearoperator(a)
    S = spla.aslinearoperator(A)
    np.testing.assert_allclose(S.matvec(np.ones(3)), a @ np.ones(3))
    x, info = spla.cg(A, np.ones(3))
    assert info == 0
    np.testing.assert_allclose(a @ x, np.ones(3), rtol=1e-4)


def test_results_of_products_are_aligned():
    y = ritz.identity(1000) @ np.ones(1000)
    assert y.ctypes.data % 64 == 0


def test_repr_shows_the_expression():
    A = closures(dense(4, 3))
    text = repr(2 * A + A @ ritz.identity(3))
    assert "4×3" in text
    assert "2·closures(matvec, rmatvec) + closures(matvec, rmatvec)·I" in text
    assert "any dtype" in repr(ritz.identity(2))


def test_products_with_arrays_and_sparse_matrices_from_the_left():
    a = dense(4, 3)
    A = ritz.aslinearoperator(a)
    np.testing.assert_allclose(np.ones((2, 4)) @ A, np.ones((2, 4)) @ a)
    np.testing.assert_allclose([1.0, 2, 3, 4] @ A, [1.0, 2, 3, 4] @ a)
    assert_is(sp.csr_array(np.diag([1.0, 2, 3, 4])) @ A, np.diag([1.0, 2, 3, 4]) @ a)
    assert_is(sp.csr_array(a) + A, 2 * a)
    assert_is(np.array(2.0) * A, 2 * a)


# --------------------------------------------------------------------- shifts, powers, selections


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_number_added_is_a_multiple_of_the_identity(dtype):
    c = dense(6, 6, dtype)
    C, eye = closures(c), np.eye(6, dtype=dtype)
    for made, a in (
        (C + 0.5, c + 0.5 * eye),
        (0.5 + C, c + 0.5 * eye),
        (C - 2, c - 2 * eye),
        (2 - C, 2 * eye - c),
        (np.float64(0.5) + C, c + 0.5 * eye),
        (C - np.array(2.0), c - 2 * eye),
    ):
        assert_is(made, a.astype(dtype))
    S = ritz.LinearOperator((6, 6), lambda x: x, symmetric=True)
    assert (S + 1).symmetric
    assert (1 - S).symmetric
    assert (S + 1j).symmetric is None
    assert sum([C, C]).shape == (6, 6)
    with pytest.raises(ValueError, match="square"):
        closures(dense(3, 2)) + 1
    assert sum([closures(dense(3, 2))]).shape == (3, 2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [0, 1, 2, 3, 6])
def test_powers(dtype, k):
    c = dense(5, 5, dtype) / dtype(3)
    assert_is(closures(c) ** k, np.linalg.matrix_power(c, k))
    counting = Counting(c)
    A = ritz.LinearOperator((5, 5), counting.matvec, counting.rmatvec, dtype=dtype)
    A ** np.int64(k) @ vector(5, dtype)
    assert counting.matvecs == k


def test_powers_of_a_symmetric_operator_are_symmetric():
    s = symmetric([1.0, 2.0, 3.0])
    S = ritz.LinearOperator((3, 3), lambda x: s @ x, symmetric=True)
    for k in range(4):
        assert (S**k).symmetric
    assert ritz.cg(S**2, np.ones(3), rtol=1e-12).converged
    assert (closures(s) ** 2).symmetric is None


SELECTIONS = [
    slice(None),
    slice(2, 5),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(5, 1, -2),
    slice(4, 4),
    [3, 0, -1],
    [1, 1, 4, 1],
    [],
    range(2),
    np.array([2], np.uint8),
]


@pytest.mark.parametrize("rows", [*SELECTIONS, np.arange(8) % 3 == 0, np.zeros(8, bool)])
@pytest.mark.parametrize("cols", [*SELECTIONS, np.arange(6) > 3, [False] * 5 + [True]])
def test_selections_equal_those_of_the_matrix(rows, cols):
    a = dense(8, 6)
    A = closures(a)
    index = [
        np.asarray(k, None if len(k) else int) if isinstance(k, list | range) else k
        for k in (rows, cols)
    ]
    assert_is(A[rows, cols], a[index[0]][:, index[1]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_selections_with_ints_and_one_index(dtype):
    a = dense(8, 6, dtype)
    A = closures(a)
    assert_is(A[2, :], a[2:3])
    assert_is(A[:, -1], a[:, -1:])
    assert_is(A[np.int64(2), 3], a[2:3, 3:4])
    assert_is(A[[0, 1]], a[:2])
    assert_is(A[..., 1:], a[:, 1:])
    assert_is(A[1:][[0, 0], ::2], a[1:][[0, 0]][:, ::2])
    assert A[:] is A
    assert A[:, :] is A
    before = A.counts.matvec
    A[1:, [2, 2]] @ vector(2, dtype)
    assert A.counts.matvec == before + 1


@given(st.data())
def test_selections_have_adjoints(data):
    m, n = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 7))
    rows = data.draw(st.lists(st.integers(-m, m - 1), max_size=9))
    cols = data.draw(st.lists(st.integers(-n, n - 1), max_size=9))
    a = dense(m, n, np.complex128)
    A = closures(a)[rows, cols]
    x, u = vector(len(cols), np.complex128, 1), vector(len(rows), np.complex128, 2)
    np.testing.assert_allclose(np.vdot(u, A @ x), np.vdot(A.H @ u, x), rtol=1e-12, atol=1e-12)


def test_principal_selections_of_a_symmetric_operator_are_symmetric():
    s = symmetric(np.arange(1.0, 7.0))
    S = ritz.LinearOperator((6, 6), lambda x: s @ x, symmetric=True)
    keep = [0, 2, 5]
    assert S[keep, keep].symmetric
    assert S[1:4, 1:4].symmetric
    assert S[keep, [5, 2, 0]].symmetric is None
    assert S[keep].symmetric is None
    w, _ = ritz.eigsh(S[keep, keep], 2)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(s[np.ix_(keep, keep)])[-2:], rtol=1e-12)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (8, "rows 8 is out of range; there are 8"),
        ((slice(None), [-7]), "columns -7 is out of range"),
        (np.ones(7, bool), r"mask of rows has shape \(7,\); it needs \(8,\)"),
        (np.ix_([0], [1]), "1-d array of ints"),
        ([0.5], "array of float64"),
        (1.5, "rows are 1.5; pass an int"),
        ("name", "rows are 'name'"),
        (None, "rows are None"),
        ((0, 0, 0), "3 indices came"),
    ],
)
def test_bad_selections(key, words):
    with pytest.raises(IndexError, match=words):
        closures(dense(8, 6))[key]


@pytest.mark.parametrize("dtype", DTYPES)
def test_to_scipy(dtype):
    a = dense(7, 4, dtype)
    A = closures(a)
    S = A.to_scipy()
    assert isinstance(S, spla.LinearOperator)
    assert S.dtype == dtype
    x, u, X, U = vector(4, dtype), vector(7, dtype), dense(4, 3, dtype), dense(7, 2, dtype)
    tol = {"rtol": 50 * eps(dtype), "atol": 50 * eps(dtype)}
    np.testing.assert_allclose(S.matvec(x), a @ x, **tol)
    np.testing.assert_allclose(S.matvec(x[:, None]), (a @ x)[:, None], **tol)
    np.testing.assert_allclose(S.rmatvec(u), a.conj().T @ u, **tol)
    np.testing.assert_allclose(S.matmat(X), a @ X, **tol)
    np.testing.assert_allclose(S.rmatmat(U), a.conj().T @ U, **tol)
    assert A.counts == (2, 1, 5)
    found = spla.lsqr(S, a @ x, atol=1e-14, btol=1e-14)[0]
    np.testing.assert_allclose(found, x, rtol=1e4 * eps(dtype))
