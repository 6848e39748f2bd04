"""Torch's tensors on a device, which the host emulates here: results are where vectors were."""

from __future__ import annotations

import numpy as np
import pytest

import ritz

torch = pytest.importorskip("torch")
emulated = pytest.importorskip("torch_on_emulated_device")
CudaTensor, on_device, plain = emulated.CudaTensor, emulated.on_device, emulated.plain

pytestmark = pytest.mark.skipif(
    not ritz.cuda.info()["available"], reason=f"no device: {ritz.cuda.info()['reason']}"
)

N = 40
RNG = np.random.default_rng(3)
Q = np.linalg.qr(RNG.standard_normal((N, N)))[0]
VALUES = np.linspace(1.0, 20.0, N)
SPD = (Q * VALUES) @ Q.T


@pytest.fixture(autouse=True)
def _torch(monkeypatch):
    with emulated.emulated_torch(monkeypatch):
        yield
        assert CudaTensor.to_host == 0


def values(tensor):
    """Return what a tensor on the device holds."""
    assert isinstance(tensor, CudaTensor)
    return plain(tensor).numpy()


def operator(a=SPD, **options):
    matrix = on_device(a)
    made = {"matvec": lambda x: matrix @ x, "rmatvec": lambda u: matrix.T @ u, **options}
    return ritz.LinearOperator(a.shape, dtype=torch.float64, framework="torch", **made)


def test_solvers_and_spectra_return_tensors_where_they_were():
    b = RNG.standard_normal(N)
    expected = np.linalg.solve(SPD, b)
    for method in ("cg", "minres", "gmres", "lsmr"):
        tight = {"atol": 1e-12} if method == "lsmr" else {"rtol": 1e-12}
        x, info = getattr(ritz, method)(operator(), on_device(b), **tight)
        assert info == 0
        np.testing.assert_allclose(values(x), expected, atol=1e-8)
    like = on_device(np.ones(1))
    w, V = ritz.eigsh(operator(), 3, like=like)
    np.testing.assert_allclose(w, VALUES[-3:], rtol=1e-10)
    np.testing.assert_allclose(SPD @ values(V), values(V) * w, atol=1e-7)
    u, s, vt = ritz.svds(operator(), 3, v0=on_device(b))
    np.testing.assert_allclose(s, VALUES[::-1][:3], rtol=1e-10)
    np.testing.assert_allclose(SPD @ values(vt).T, values(u) * s, atol=1e-7)
    assert abs(ritz.trace(operator(), method="exact", like=like).value - VALUES.sum()) < 1e-9
    np.testing.assert_allclose(
        values(ritz.diagonal(operator(), method="exact", like=like).value), np.diag(SPD), rtol=1e-12
    )
    y, _ = ritz.funm_multiply(operator(), on_device(b), "sqrt", rtol=1e-9, symmetric=True)
    np.testing.assert_allclose(values(y), Q @ (np.sqrt(VALUES) * (Q.T @ b)), atol=1e-7)


@pytest.mark.parametrize("together", [False, True])
def test_columns_in_any_order(together):
    B = RNG.standard_normal((N, 3))
    matrix = on_device(SPD)
    A = operator(matmat=lambda X: matrix @ X) if together else operator()
    expected = np.linalg.solve(SPD, B)
    for b in (on_device(B), on_device(np.ascontiguousarray(B.T)).T):
        x, info = result = ritz.cg(A, b, rtol=1e-12)
        assert info == 0
        np.testing.assert_allclose(values(x), expected, atol=1e-9)
        np.testing.assert_array_equal(values(result.columns[1].x), values(x)[:, 1])


def test_trees_stay_on_the_device():
    tree = {"w": on_device(np.zeros((6, 6))), "b": on_device(np.zeros(4))}
    A = operator(symmetric=True, rmatvec=None, domain=tree)
    b = RNG.standard_normal(N)
    right = {"w": on_device(b[:36].reshape(6, 6)), "b": on_device(b[36:])}
    expected = np.linalg.solve(SPD, b)
    x, info = ritz.cg(A, right, rtol=1e-12)
    assert info == 0
    assert x.keys() == right.keys()
    np.testing.assert_allclose(values(x["w"]).ravel(), expected[:36], atol=1e-9)
    np.testing.assert_allclose(values(x["b"]), expected[36:], atol=1e-9)
    warm = ritz.cg(A, right, x, rtol=1e-9)
    assert warm.iterations <= 1
    # Without an example the run is where the trees are.
    w, V = ritz.eigsh(A, 2)
    np.testing.assert_allclose(w, VALUES[-2:], rtol=1e-10)
    assert isinstance(V, CudaTensor)
    assert abs(ritz.trace(A, method="exact").value - VALUES.sum()) < 1e-9
    with pytest.raises(ValueError, match="out cannot be combined"):
        ritz.cg(A, right, out=on_device(np.zeros(N)))


def test_conjugations_that_torch_has_only_noted():
    c = RNG.standard_normal((N, N)) + 1j * RNG.standard_normal((N, N))
    b = RNG.standard_normal(N) + 1j * RNG.standard_normal(N)
    matrix = on_device(c)
    A = ritz.LinearOperator(
        c.shape,
        matvec=lambda x: matrix @ x,
        rmatvec=lambda y: (matrix.T @ y.conj()).conj(),
        dtype=torch.complex128,
        framework="torch",
    )
    right = on_device(b).conj()
    assert right.is_conj()
    x, info = ritz.gmres(A, right, rtol=1e-12, restart=N)
    assert info == 0
    np.testing.assert_allclose(c @ values(x), b.conj(), atol=1e-8)
    s = ritz.svds(A, 2, like=right)[1]
    np.testing.assert_allclose(s, np.linalg.svd(c, compute_uv=False)[:2], rtol=1e-10)
    with pytest.raises(ValueError, match="out is a conjugate"):
        ritz.gmres(A, right, out=on_device(b).conj())


def test_what_has_no_product_on_a_device_is_copied_with_its_trees(monkeypatch):
    monkeypatch.setattr(ritz.frameworks, "_warned_of_devices", False)
    monkeypatch.setattr(type(emulated.TORCH), "moved", lambda self, x, device: on_device(x))
    tree = {"w": on_device(np.zeros(N))}
    A = ritz.LinearOperator(
        (N, N), lambda x: torch.from_numpy(SPD) @ x, symmetric=True, domain=tree
    )
    b = RNG.standard_normal(N)
    with pytest.warns(UserWarning, match="copied to host memory"):
        x, info = ritz.cg(A + ritz.aslinearoperator(np.eye(N)), {"w": on_device(b)}, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(values(x["w"]), np.linalg.solve(SPD + np.eye(N), b), atol=1e-9)
    CudaTensor.to_host = 0


def test_curvature_gives_products_back_where_it_was_asked():
    from ritz.curvature.operator import Sum

    class Asked:
        """What `Sum` knows of where its parameters are, without a model."""

        structure = type("", (), {"device": torch.device("cuda", 0)})
        product = staticmethod(lambda part, columns=1: part(contribution))
        own, back = Sum.own, Sum.back

    contribution = type("", (), {"product": staticmethod(lambda v: 2.0 * v)})
    there = Sum.matvec(Asked(), on_device(np.ones(3)))
    np.testing.assert_array_equal(values(there), 2.0 * np.ones(3))
