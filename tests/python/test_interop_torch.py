"""PyTorch: tensors in, tensors to closures, tensors out, without copies."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES, spd, symmetric, vector

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

DTYPES_OF = {
    np.float32: torch.float32,
    np.float64: torch.float64,
    np.complex64: torch.complex64,
    np.complex128: torch.complex128,
}


def problem(n=30, dtype=np.float64):
    return torch.from_numpy(spd(n, 50, dtype)), torch.from_numpy(vector(n, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_same_kind_out(dtype):
    a, b = problem(dtype=dtype)

    def matvec(x):
        assert type(x) is torch.Tensor
        assert x.dtype == DTYPES_OF[dtype]
        return a @ x

    A = ritz.LinearOperator((30, 30), matvec, lambda u: a.mH @ u)
    for operator in (A, a):
        res = ritz.cg(operator, b)
        assert type(res.x) is torch.Tensor
        assert res.x.dtype == DTYPES_OF[dtype]
        assert torch.linalg.norm(a @ res.x - b) <= 2e-5 * torch.linalg.norm(b)
    y = A @ b
    assert type(y) is torch.Tensor
    torch.testing.assert_close(y, a @ b)
    X = torch.stack([b, 2 * b], dim=1)
    torch.testing.assert_close(A @ X, a @ X)
    torch.testing.assert_close(A.H @ X, a.mH @ X)


def test_the_numbers_are_numpys():
    a, b = problem()
    np.testing.assert_array_equal(ritz.cg(a, b).x.numpy(), ritz.cg(a.numpy(), b.numpy()).x)


def test_all_methods():
    a, b = problem()
    A = ritz.LinearOperator((30, 30), lambda x: a @ x, symmetric=True)
    assert type(ritz.lsmr(A, b).x) is torch.Tensor
    w, V = ritz.eigsh(A, 3, like=b)
    assert type(w) is type(V) is torch.Tensor
    torch.testing.assert_close(a @ V, V * w, atol=1e-10, rtol=0)
    w2, _ = ritz.eigsh(A, 3, v0=b)
    torch.testing.assert_close(w, w2)
    est = ritz.trace(A, like=b)
    assert abs(est.value - torch.trace(a).item()) < 1e-10
    declared = ritz.LinearOperator((30, 30), lambda x: a @ x, dtype=torch.float64)
    assert type(ritz.eigsh(declared, 3).V) is torch.Tensor
    assert ritz.LinearOperator((30, 30), lambda x: a @ x, framework="torch").to_dense().shape == (
        30,
        30,
    )


def test_nonlinear_methods():
    t = torch.linspace(0, 3, 40, dtype=torch.float64)
    y = 2.0 * torch.exp(-1.5 * t)

    def fun(x):
        assert type(x) is torch.Tensor
        return x[0] * torch.exp(-x[1] * t) - y

    def linearize(x):
        z, vjp = torch.func.vjp(fun, x)
        return z.detach(), (lambda v: torch.func.jvp(fun, (x,), (v,))[1]), (lambda u: vjp(u)[0])

    x0 = torch.tensor([1.0, 1.0], dtype=torch.float64)
    res = ritz.least_squares(fun, x0, linearize=linearize)
    assert res.converged
    assert type(res.x) is torch.Tensor
    torch.testing.assert_close(res.x, torch.tensor([2.0, 1.5], dtype=torch.float64))
    by_matrix = ritz.least_squares(fun, x0, lambda x: torch.autograd.functional.jacobian(fun, x))
    torch.testing.assert_close(by_matrix.x, res.x)
    loss = ritz.losses.SquaredError(np.zeros(40))
    assert ritz.minimize(fun, x0, loss=loss, linearize=linearize).converged
    z = torch.ones(40, dtype=torch.float64)
    assert type(loss.gradient(z)) is torch.Tensor
    report = ritz.check(
        fun,
        x0,
        jvp=lambda x, v: torch.func.jvp(fun, (x,), (v,))[1],
        vjp=lambda x, u: torch.func.vjp(fun, x)[1](u)[0],
    )
    assert report.passed, report


def test_out_closures_and_destinations():
    a, b = problem()
    A = ritz.LinearOperator((30, 30), lambda x, out: torch.mv(a, x, out=out), out=True)
    out = torch.empty(30, dtype=torch.float64)
    pointer = out.data_ptr()
    res = ritz.cg(A, b, rtol=1e-10, out=out)
    assert res.x is out
    assert out.data_ptr() == pointer
    torch.testing.assert_close(out, ritz.cg(a, b, rtol=1e-10).x)


def test_closures_see_the_workspace():
    a, b = problem()
    pointers = []

    def matvec(x):
        pointers.append(x.data_ptr())
        return a @ x

    ritz.cg(ritz.LinearOperator((30, 30), matvec), b)
    assert len(set(pointers)) == 2
    assert all(p % 64 == 0 for p in pointers)


def test_dense_tensors_are_not_copied():
    a = torch.eye(4, dtype=torch.float64)
    A = ritz.aslinearoperator(a)
    a *= 3
    assert (A @ np.ones(4)).tolist() == [3, 3, 3, 3]


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
def test_sparse_tensors():
    a, b = problem()
    S = a.to_sparse_csr()
    torch.testing.assert_close(ritz.aslinearoperator(S) @ b, a @ b)
    with pytest.raises(TypeError, match=r"layout"):
        ritz.cg(a.to_sparse_coo(), b)


def test_lazy_conjugates():
    a, b = problem(dtype=np.complex128)
    torch.testing.assert_close(ritz.aslinearoperator(a) @ b.conj(), a @ b.conj())
    torch.testing.assert_close(ritz.aslinearoperator(a.mH) @ b, a.mH @ b)


def test_kinds_may_be_mixed_where_it_is_safe():
    a, b = problem()
    # Matrices go with vectors of any kind.
    assert type(ritz.cg(a.numpy(), b).x) is torch.Tensor
    assert type(ritz.cg(a, b.numpy()).x) is np.ndarray
    # Closures that say what they are, too.
    A = ritz.LinearOperator((30, 30), lambda x: torch.mv(a, x), framework="torch")
    assert type(ritz.cg(A, b.numpy()).x) is np.ndarray
    mixed = A + ritz.LinearOperator((30, 30), lambda x: np.multiply(x, 2.0), framework="numpy")
    torch.testing.assert_close(mixed @ b, a @ b + 2 * b)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: x.numpy(), "numpy.ndarray.*called with a torch.Tensor"),
        (lambda x: None, "returned None"),
        (lambda x: x.float(), "float32.*works in float64"),
        (
            lambda x: x * torch.ones(30, dtype=torch.float64, requires_grad=True),
            "requires grad.*detach",
        ),
        (lambda x: torch.empty(30, dtype=torch.float64, device="meta"), "on meta"),
        (lambda x: x.to_sparse(), "layout"),
    ],
)
def test_results_that_cannot_be_used(f, words):
    _, b = problem()
    with pytest.raises(TypeError, match=words):
        ritz.cg(ritz.LinearOperator((30, 30), f), b)


def test_wrong_sizes():
    _, b = problem()
    with pytest.raises(ValueError, match=r"30 elements"):
        ritz.cg(ritz.LinearOperator((30, 30), lambda x: x[:3]), b)


def test_arguments_that_cannot_be_used():
    a, b = problem()
    with pytest.raises(TypeError, match=r"b is a tensor that requires grad.*detach"):
        ritz.cg(a, b.clone().requires_grad_())
    with pytest.raises(TypeError, match=r"A is a tensor that requires grad"):
        ritz.cg(a.clone().requires_grad_(), b)
    with pytest.raises(TypeError, match=r"b is a tensor on meta"):
        ritz.cg(a, b.to("meta"))
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(TypeError, match=rf"b has dtype {dtype}"):
            ritz.cg(a, b.to(dtype))
    with pytest.raises(TypeError, match=r"torch.Tensor"):
        ritz.cg(ritz.LinearOperator((30, 30), lambda x: torch.ones(30)), b.numpy())
    assert ritz.cg(a, torch.ones(30, dtype=torch.int64)).x.dtype == torch.float64


def test_callback_sees_tensors():
    a, b = problem()
    kept = []
    res = ritz.cg(a, b, callback=lambda s: kept.append(s.x))
    assert type(kept[0]) is torch.Tensor
    torch.testing.assert_close(kept[-1], res.x)


def test_eigsh_of_a_tensor():
    a = torch.from_numpy(symmetric(np.linspace(0, 1, 40)))
    res = ritz.eigsh(a, 2)
    assert type(res.w) is torch.Tensor
    torch.testing.assert_close(res.w, torch.linalg.eigvalsh(a)[-2:])


def test_products_from_the_left():
    a = torch.arange(12, dtype=torch.float64).reshape(4, 3)
    A = ritz.aslinearoperator(a)
    u = torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(u @ A, u @ a)
    torch.testing.assert_close(torch.stack([u, 2 * u]) @ A, torch.stack([u, 2 * u]) @ a)


def test_transforms_are_refused():
    _, b = problem()
    with pytest.raises(TypeError, match=r"outside of torch.func transforms"):
        torch.vmap(lambda v: ritz.cg(np.eye(30), v).x)(torch.stack([b, b]))
    with pytest.raises(TypeError, match=r"requires grad"):
        torch.func.grad(lambda v: ritz.cg(np.eye(30), v).x.sum())(b)
