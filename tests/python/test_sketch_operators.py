"""What all sketches share: products with arrays and operators of every kind, and their counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from ritz.sketch import CountSketch, SparseSign, SparseStack

D_ROWS, M = 12, 90
torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy


@pytest.fixture
def A():
    return np.random.default_rng(0).standard_normal((M, 7))


S = SparseStack(D_ROWS, M, seed=5)
DENSE = S.to_dense()


def close(x, y, terms=20.0):
    np.testing.assert_allclose(np.asarray(x), np.asarray(y), rtol=0, atol=terms * 2.0**-50)


def test_arrays_of_torch(A):
    a = torch.tensor(A)
    for Y in (S @ a, S.sketch(a), (a.T.contiguous() @ S.T).T, S @ a.T.contiguous().T):
        assert isinstance(Y, torch.Tensor)
        assert Y.dtype == torch.float64
        assert np.array_equal(Y.numpy(), S @ A)
    Z = S.T @ (S @ a)
    assert isinstance(Z, torch.Tensor)
    assert np.array_equal(Z.numpy(), S.T @ (S @ A))
    x = S @ a[:, 0]
    assert isinstance(x, torch.Tensor)
    assert tuple(x.shape) == (D_ROWS,)
    y = S @ a.to(torch.float32)
    assert y.dtype == torch.float32


def test_arrays_of_jax(A):
    a = jnp.asarray(A, jnp.float32)
    for Y in (S @ a, S.sketch(a), (a.T @ S.T).T):
        assert isinstance(Y, jax.Array)
        assert Y.dtype == jnp.float32
        assert np.array_equal(np.asarray(Y), S @ A.astype(np.float32))
    Z = S.T @ (S @ a)
    assert isinstance(Z, jax.Array)
    assert Z.shape == (M, 7)
    assert (S @ a[:, 0]).shape == (D_ROWS,)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_sparse_tensor_of_torch(A):
    A[A < 0.5] = 0.0
    a = torch.tensor(A).to_sparse_csr()
    for Y in (S @ a, S.sketch(a)):
        assert isinstance(Y, torch.Tensor)
        assert np.array_equal(Y.numpy(), S @ A)


def test_lists_and_integers():
    B = np.arange(2 * M).reshape(M, 2)
    assert np.array_equal(S @ B, S @ B.astype(float))
    assert np.array_equal(S @ B.tolist(), S @ B.astype(float))


def test_element_types(A):
    assert (S @ A.astype(np.float32)).dtype == np.float32
    assert (S @ A).dtype == np.float64
    assert (S @ (A + 1j)).dtype == np.complex128
    single = SparseStack(D_ROWS, M, seed=5, dtype=np.float32)
    assert single.dtype == np.float32
    assert single.to_dense().dtype == np.float32
    assert (single @ A.astype(np.float32)).dtype == np.float32
    assert (single @ A).dtype == np.float64
    double = SparseStack(D_ROWS, M, seed=5, dtype=np.float64)
    assert (double @ A.astype(np.float32)).dtype == np.float64
    assert np.array_equal(double @ A, S @ A)
    assert SparseStack(D_ROWS, M, seed=5, dtype=torch.float32).dtype == np.float32


def test_transposes():
    Y = np.random.default_rng(1).standard_normal((D_ROWS, 5)) * (1 + 1j)
    close(S.T @ Y, DENSE.T @ Y)
    close(S.H @ Y, DENSE.T @ Y)
    close(S.T @ Y[:, 0], DENSE.T @ Y[:, 0])
    close(Y.T @ S, Y.T @ DENSE)
    assert S.T.T is S
    assert S.H.H is S
    assert S.T.shape == (M, D_ROWS)
    assert np.array_equal(S.T.to_dense(), DENSE.T)
    close(S.T.rmatmat(np.ones((M, 2))), DENSE @ np.ones((M, 2)))
    close(S.T.rmatvec(np.ones(M)), DENSE @ np.ones(M))
    assert S.matvec(np.ones(M)).shape == (D_ROWS,)
    close((S @ S.T).to_dense(), DENSE @ DENSE.T)
    close((2 * S + S) @ np.ones(M), 3 * DENSE @ np.ones(M))


def test_composes_with_operators(A):
    a = ritz.LinearOperator((M, 7), matvec=lambda x: A @ x, rmatvec=lambda u: A.T @ u)
    SA = S @ a
    assert isinstance(SA, ritz.LinearOperator)
    assert SA.shape == (D_ROWS, 7)
    close(SA.to_dense(), DENSE @ A)
    close(SA.H @ np.ones(D_ROWS), A.T @ DENSE.T @ np.ones(D_ROWS))
    x = ritz.lsqr(SA, np.ones(D_ROWS)).x
    close(x, np.linalg.lstsq(DENSE @ A, np.ones(D_ROWS), rcond=None)[0], 1e6)


def counting(A, adjoint=True):
    return ritz.LinearOperator(
        A.shape,
        matmat=lambda X: A @ X,
        matvec=lambda x: A @ x,
        rmatvec=(lambda u: A.conj().T @ u) if adjoint else None,
        rmatmat=(lambda U: A.conj().T @ U) if adjoint else None,
        dtype=A.dtype,
    )


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("d", [1, 12, 32, 70])
def test_sketch_of_an_operator(d, dtype):
    rng = np.random.default_rng(2)
    for n in (1, 7, 40, 71):
        B = (
            (rng.standard_normal((M, n)) + 1j * rng.standard_normal((M, n))).astype(dtype)
            if dtype == np.complex128
            else rng.standard_normal((M, n))
        )
        T = SparseStack(d, M, seed=1)
        for adjoint in (True, False):
            a = counting(B, adjoint)
            Y = T.sketch(a)
            assert Y.shape == (d, n)
            assert Y.dtype == dtype
            np.testing.assert_allclose(Y, T.to_dense() @ B, atol=1e-12)
            # The fewer of n products with A and d with its adjoint; n without one.
            assert a.counts.total == (min(n, d) if adjoint else n)


def test_sketch_of_an_operator_of_torch(A):
    matrix = torch.tensor(A)
    seen = []

    def product(X):
        seen.append(type(X))
        return matrix @ X

    a = ritz.LinearOperator((M, 7), matvec=product, matmat=product, framework="torch")
    Y = S.sketch(a)
    assert isinstance(Y, torch.Tensor)
    assert set(seen) == {torch.Tensor}
    close(Y, DENSE @ A)


def test_sketch_of_a_dense_operator_and_of_foreign_ones(A):
    close(S.sketch(ritz.aslinearoperator(A)), DENSE @ A)
    from scipy.sparse.linalg import aslinearoperator

    close(S.sketch(aslinearoperator(A)), DENSE @ A)
    close(S.sketch(sp.coo_matrix(A)), DENSE @ A)
    other = CountSketch(M, 200, seed=2)
    close(S.sketch(other), DENSE @ other.to_dense())


def test_a_callback_exception_arrives_unchanged():
    class Odd(Exception):
        pass

    def fail(x):
        raise Odd("mine")

    with pytest.raises(Odd, match="mine"):
        S.sketch(ritz.LinearOperator((M, 3), matvec=fail, dtype=np.float64))


def test_counts(A):
    T = SparseSign(D_ROWS, M)
    assert T.counts.total == 0
    T @ A
    assert T.counts == (0, 0, 7)
    T @ A[:, 0]
    assert T.counts == (1, 0, 7)
    T.H @ np.ones((D_ROWS, 3))
    assert T.counts == (1, 0, 10)
    T.rmatvec(np.ones(D_ROWS))
    assert T.counts == (1, 1, 10)
    T @ sp.csr_matrix(A)
    assert T.counts == (1, 1, 17)


@pytest.mark.parametrize("kind", [SparseStack, SparseSign, CountSketch])
def test_repr(kind):
    T = kind(12, 90, seed=3, dtype=np.float32)
    assert repr(T) == f"<12×90 {kind.__name__}, float32: seed 3>"
    assert "any dtype" in repr(kind(12, 90))
    assert f"{kind.__name__}(seed=3)" in repr(T.T @ T)


def test_misuse_names_the_argument(A):
    for wrong, shape in [
        (A[:-1], "(89, 7)"),
        (np.ones((7, 90)), "(7, 90)"),
        (np.ones(12), "(12,)"),
    ]:
        for use in (lambda: S @ wrong, lambda: S.sketch(wrong)):  # noqa: B023
            with pytest.raises(ValueError, match=r"(x|A) has shape") as error:
                use()
            assert shape in str(error.value)
            assert "(12, 90)" in str(error.value)
    with pytest.raises(ValueError, match="x has shape"):
        S @ np.ones((90, 2, 2))
    with pytest.raises(ValueError, match=r"A has shape \(89, 7\)"):
        S.sketch(sp.csr_matrix(A[:-1]))
    with pytest.raises(ValueError, match=r"A has shape \(7, 90\)"):
        S.sketch(ritz.aslinearoperator(A.T.copy()[:, :90]))
    with pytest.raises(TypeError, match="A"):
        S.sketch(lambda x: x)
    with pytest.raises(ValueError, match=r"rows is slice\(0, 4, 2\)"):
        S.submatrix(slice(0, 4, 2), slice(0, 1))
    with pytest.raises(ValueError, match="cols is 3"):
        S.submatrix(slice(0, 4), 3)
    out = np.zeros((4, 5), S.dtype)
    assert S.submatrix(slice(1, 5), slice(2, 7), out=out) is out
    np.testing.assert_array_equal(out, S.submatrix(slice(1, 5), slice(2, 7)))
    by_columns = np.zeros((9, 4), S.dtype)[::2].T[:, :5]
    S.submatrix(slice(1, 5), slice(2, 7), out=by_columns)
    np.testing.assert_array_equal(by_columns, out)
    with pytest.raises(ValueError, match="out has shape"):
        S.submatrix(slice(0, 4), slice(0, 4), out=out)
    with pytest.raises(TypeError, match="of dtype"):
        S.submatrix(slice(1, 5), slice(2, 7), out=out.astype(np.int64))
    with pytest.raises(TypeError, match="float16"):
        S @ A.astype(np.float16)


def test_the_same_for_all_frameworks(A):
    """One seed, one matrix: the bits of NumPy's product in every framework."""
    a = A.astype(np.float32)
    Y = S @ a
    assert np.array_equal((S @ torch.tensor(a)).numpy(), Y)
    assert np.array_equal(np.asarray(S @ jnp.asarray(a)), Y)
