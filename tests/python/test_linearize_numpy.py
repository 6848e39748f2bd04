"""Products by closures of the user's, against the same model differentiated by JAX and by torch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ritz
from ritz.curvature.closures import Closures
from ritz.demo import mlp_numpy
from ritz.frameworks.numpy_linear import linearize, linearize_gradient
from ritz.trees import Structure

TIGHT = {"rtol": 1e-11, "atol": 1e-12}


def network(seed=0):
    """Return the demonstration's network, its flat parameters, and its images."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((4, mlp_numpy.PIXELS))
    return mlp_numpy.Network(images), mlp_numpy.start(seed), images


def on_images(method):
    """Return a closure that takes the images as the batch."""
    return lambda *args: getattr(mlp_numpy.Network(args[-1]), method)(*args[:-1])


SEPARATE = Closures(on_images("model"), on_images("jvp"), on_images("vjp"))
SHARED = Closures(linearize=on_images("linearize"))


def quadratic():
    """Return ℓ(x) = Σ (A W)³ / 6 + bᵀ c of a tree {"W", "b"} by closures, and its pieces."""
    rng = np.random.default_rng(3)
    A, c = rng.standard_normal((3, 2)), rng.standard_normal(4)

    def value(x, scale):
        return scale * (((A @ x["W"]) ** 3).sum() / 6 + x["b"] @ c)

    def vjp(x, u, scale):
        return {"W": u * scale * A.T @ ((A @ x["W"]) ** 2) / 2, "b": u * scale * c}

    def hvp(x, v, scale):
        return {"W": scale * A.T @ ((A @ x["W"]) * (A @ v["W"])), "b": np.zeros(4)}

    x = {"W": rng.standard_normal((2, 3)), "b": rng.standard_normal(4)}
    return Closures(value, vjp=vjp, hvp=hvp), x, (A, c)


def middle(state, u):
    return state * u


@pytest.mark.parametrize("closures", [SEPARATE, SHARED], ids=["separate", "shared"])
def test_closures_give_the_products_of_the_model_in_jax(closures):
    jax = pytest.importorskip("jax")
    _, x, images = network()
    structure = Structure.of(x)
    lin = linearize(closures, structure, [x], (images,))
    with jax.enable_x64(True):
        from ritz.demo.mlp_jax import _logits

        J = np.asarray(jax.jit(jax.jacobian(_logits, argnums=1))(images, x))
        z = np.asarray(_logits(images, x))
    rng = np.random.default_rng(1)
    V, U, s = rng.standard_normal((x.size, 3)), rng.standard_normal((3, z.size)), z**2
    assert (lin.how, lin.bytes) == ("closures", 0)
    np.testing.assert_allclose(lin.value, z, **TIGHT)
    np.testing.assert_allclose(lin.jvp(V[:, 0]), J @ V[:, 0], **TIGHT)
    np.testing.assert_allclose(lin.vjp(U[0]), J.T @ U[0], **TIGHT)
    np.testing.assert_allclose(lin.jvp_block(V), (J @ V).T, **TIGHT)
    np.testing.assert_allclose(lin.vjp_block(U), J.T @ U.T, **TIGHT)
    G = J.T @ (s[:, None] * J)
    np.testing.assert_allclose(lin.through(middle, s)(V[:, 1]), G @ V[:, 1], **TIGHT)
    np.testing.assert_allclose(lin.through_block(middle, s)(V), G @ V, **TIGHT)
    adjoint = np.vdot(lin.jvp(V[:, 0]), U[0]) - np.vdot(V[:, 0], lin.vjp(U[0]))
    assert abs(adjoint) < 1e-11


def test_closures_agree_with_the_model_in_torch():
    torch = pytest.importorskip("torch")
    _, x, images = network(seed=5)
    lin = linearize(SHARED, Structure.of(x), [x], (images,))
    X = torch.from_numpy(images)

    def logits(p):
        W1 = p[: mlp_numpy.CUT].reshape(mlp_numpy.PIXELS + 1, mlp_numpy.HIDDEN)
        W2 = p[mlp_numpy.CUT :].reshape(mlp_numpy.HIDDEN + 1, mlp_numpy.CLASSES)
        return (torch.tanh(X @ W1[:-1] + W1[-1]) @ W2[:-1] + W2[-1]).reshape(-1)

    J = torch.func.jacrev(logits)(torch.from_numpy(x)).numpy()
    V = np.random.default_rng(2).standard_normal((x.size, 2))
    np.testing.assert_allclose(lin.jvp_block(V), (J @ V).T, **TIGHT)
    np.testing.assert_allclose(lin.vjp_block(lin.value[None])[:, 0], J.T @ lin.value, **TIGHT)


def test_hessian_products_of_a_tree_of_parameters():
    closures, x, (A, c) = quadratic()
    structure = Structure.of(x)
    g = linearize_gradient(closures, structure, structure.leaves(x), (2.0,))
    np.testing.assert_allclose(g.value, closures.value(x, 2.0), rtol=1e-15)
    assert (g.value.shape, g.how, g.bytes) == ((), "closures", 0)
    B = A @ x["W"]
    expected = np.concatenate([(A.T @ B**2).ravel(), 2 * c])
    np.testing.assert_allclose(g.gradient, expected, **TIGHT)
    # ∂²ℓ/∂W² has A.T diag(B[:, j]) A for column j of W, and b enters linearly.
    H = np.zeros((10, 10))
    for j in range(3):
        rows = np.arange(2) * 3 + j
        H[np.ix_(rows, rows)] = 2 * A.T @ np.diag(B[:, j]) @ A
    V = np.random.default_rng(0).standard_normal((10, 4))
    np.testing.assert_allclose(g.hvp(V[:, 0]), H @ V[:, 0], **TIGHT)
    np.testing.assert_allclose(g.hvp_block(V), H @ V, **TIGHT)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_closures_work_in_every_framework(framework):
    xp = pytest.importorskip("torch" if framework == "torch" else "jax.numpy")
    rng = np.random.default_rng(0)
    W, A = rng.standard_normal((3, 2)), rng.standard_normal((4, 3))
    made = (lambda a: xp.as_tensor(a).float()) if framework == "torch" else xp.float32
    W_, A_ = made(W), made(A)
    closures = Closures(
        lambda p, batch: batch @ p["W"],
        lambda p, v, batch: batch @ v["W"],
        lambda p, u, batch: {"W": batch.T @ u},
        hvp=lambda p, v, batch: {"W": batch.T @ (batch @ v["W"])},
    )
    structure = Structure.of({"W": W_})
    assert structure.framework.name == framework
    lin = linearize(closures, structure, [W_], (A_,))
    J = np.kron(A, np.eye(2))
    V = rng.standard_normal((6, 3))
    result = lin.through_block(lambda state, u: 2 * u, None)(made(V))
    assert isinstance(result, structure.framework.type)
    assert result.dtype == W_.dtype
    np.testing.assert_allclose(np.asarray(result), 2 * J.T @ J @ V, rtol=1e-4, atol=1e-4)
    assert lin.jvp_block(made(V)).shape == (3, 4, 2)
    assert tuple(lin.jvp_block(made(V[:, :0])).shape) == (0, 4, 2)

    loss = Closures(
        lambda p, batch: ((batch @ p["W"]) ** 2).sum() / 2,
        vjp=lambda p, u, batch: {"W": u * (batch.T @ (batch @ p["W"]))},
        hvp=closures.hvp,
    )
    g = linearize_gradient(loss, structure, [W_], (A_,))
    np.testing.assert_allclose(np.asarray(g.gradient), J.T @ J @ W.ravel(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.asarray(g.hvp_block(made(V))), J.T @ J @ V, rtol=1e-4, atol=1e-4)


def test_block_closures_are_used_and_their_shapes_checked():
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((4, 3)), rng.standard_normal(3)
    calls = []

    def jvp_block(x, V):
        calls.append("jvp")
        return (A @ V).T

    def vjp_block(x, U):
        calls.append("vjp")
        return A.T @ U.T

    plain = Closures(lambda x: A @ x, lambda x, v: A @ v, lambda x, u: A.T @ u)
    closures = dataclasses.replace(plain, jvp_block=jvp_block, vjp_block=vjp_block)
    lin = linearize(closures, Structure.of(x), [x], ())
    V = rng.standard_normal((3, 5))
    np.testing.assert_allclose(lin.jvp_block(V), (A @ V).T, **TIGHT)
    product = lin.through_block(middle, 3.0)(V)
    np.testing.assert_allclose(product, 3 * A.T @ A @ V, **TIGHT)
    assert calls == ["jvp", "jvp", "vjp"]
    wrong = dataclasses.replace(plain, jvp_block=lambda x, V: A @ V, vjp_block=lambda x, U: U)
    lin = linearize(wrong, Structure.of(x), [x], ())
    with pytest.raises(ValueError, match=r"jvp_block returned has shape \(4, 5\); .* \(5, 4\)"):
        lin.jvp_block(V)
    with pytest.raises(ValueError, match=r"vjp_block returned has shape \(5, 4\); .* \(3, 5\)"):
        lin.vjp_block(np.zeros((5, 4)))


def test_a_gauss_newton_solve_with_shared_closures_linearises_once():
    _, x, images = network()
    linearizations = []

    def shared(x, images):
        linearizations.append(x.shape)
        return mlp_numpy.Network(images).linearize(x)

    lin = linearize(Closures(linearize=shared), Structure.of(x), [x], (images,))
    G = ritz.LinearOperator(
        (x.size, x.size), lin.through(middle, 1.0), dtype=float, symmetric=True
    ).shifted(0.1)
    b = lin.vjp(lin.value)
    d = ritz.cg(G, b, rtol=1e-12).x
    J = lin.jvp_block(np.eye(x.size)).T
    np.testing.assert_allclose((J.T @ J) @ d + 0.1 * d, b, rtol=1e-8, atol=1e-9)
    assert linearizations == [x.shape]


def test_misuse_is_named():
    with pytest.raises(TypeError, match="vjp is missing"):
        Closures(abs, abs)
    with pytest.raises(TypeError, match="value is missing"):
        Closures(vjp=abs)
    with pytest.raises(TypeError, match="value is given beside linearize"):
        Closures(abs, linearize=abs)
    with pytest.raises(TypeError, match="jvp is 3; pass a function"):
        Closures(abs, 3, abs)

    x = np.ones(3)
    structure = Structure.of(x)

    def at(*functions, **named):
        return linearize(Closures(*functions, **named), structure, [x], ())

    with pytest.raises(TypeError, match=r"pass ritz\.Closures"):
        linearize(abs, structure, [x], ())
    with pytest.raises(TypeError, match=r"the value is None; it must be a numpy\.ndarray"):
        at(lambda x: None, vjp=lambda x, u: u)
    with pytest.raises(TypeError, match=r"linearize returned numpy\.ndarray .* it must"):
        at(linearize=lambda x: x)
    lin = at(lambda x: x, lambda x, v: v[:2], lambda x, u: u[:2])
    with pytest.raises(ValueError, match=r"J v has shape \(2,\); it must have \(3,\)"):
        lin.jvp(x)
    with pytest.raises(ValueError, match=r"what vjp returned is not like .* shape \(2,\)"):
        lin.vjp(x)
    lin = at(lambda x: x, vjp=lambda x, u: u)
    with pytest.raises(TypeError, match=r"jvp is missing; pass it to ritz\.Closures"):
        lin.jvp(x)
    with pytest.raises(ValueError, match=r"the loss has shape \(3,\); it must be a scalar"):
        linearize_gradient(Closures(lambda x: x, vjp=lambda x, u: u), structure, [x], ())
    g = linearize_gradient(Closures(lambda x: 1.0, vjp=lambda x, u: u * x), structure, [x], ())
    with pytest.raises(TypeError, match="hvp is missing"):
        g.hvp(x)
