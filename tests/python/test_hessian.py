"""Hessians of losses over data, against dense ones."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import ritz
from curvature_models import attention, conv, dense_hessian, images, mlp, points, sentences
from test_gauss_newton import assert_same, tokens_loss

CASES = {"mlp": (mlp, points), "conv": (conv, images), "attention": (attention, sentences)}


@pytest.mark.parametrize("way", ["auto", "graph", "trace", "recompute"])
@pytest.mark.parametrize("case", CASES)
def test_dense(case, way):
    make, data = CASES[case]
    model, (x, y) = make(), data(6)
    expected = dense_hessian(model, tokens_loss, x, y)

    def loss(module, batch):
        x, y = batch
        return tokens_loss(module(x), y)

    parts = [(x[:2], y[:2]), (x[2:], y[2:])]
    for H in (
        ritz.hessian(loss, model, parts, linearize=way),
        ritz.hessian(model, None, parts, "cross_entropy", linearize=way),
    ):
        dense = H.to_dense()
        assert_same(dense, expected)
        assert_same(dense, torch.as_tensor(dense).T)
    v = torch.randn(H.shape[0], 3, dtype=torch.float64)
    assert_same(H @ v, expected @ v)


def test_sum():
    model, (x, y) = mlp(), points(6)

    def loss(module, batch):
        return F.cross_entropy(module(batch[0]), batch[1], reduction="sum")

    H = ritz.hessian(loss, model, [(x[:2], y[:2]), (x[2:], y[2:])], reduction="sum")
    expected = dense_hessian(model, lambda z, y: F.cross_entropy(z, y, reduction="sum"), x, y)
    assert_same(H.to_dense(), expected)


def test_terms_make_the_mean_that_of_all_data():
    model, (x, y) = mlp(), points(9)
    y[:3] = -100
    parts = [(x[:4], y[:4]), (x[4:], y[4:])]

    def loss(module, batch):
        return F.cross_entropy(module(batch[0]), batch[1])

    expected = dense_hessian(model, F.cross_entropy, x, y)
    H = ritz.hessian(loss, model, parts, terms=lambda batch: int((batch[1] != -100).sum()))
    assert_same(H.to_dense(), expected)
    assert_same(ritz.hessian(model, None, parts, "cross_entropy").to_dense(), expected)


def test_with_respect_to_inputs_and_activations():
    model, (x, y) = mlp((5, 6, 4, 3)), points(4)

    def loss(x, y):
        return F.cross_entropy(model(x), y, reduction="sum")

    expected = torch.func.hessian(loss)(x, y).reshape(20, 20)
    H = ritz.hessian(loss, x, y, reduction="sum", batch_size=len)
    assert_same(H.to_dense(), expected)

    A = ritz.activation(model, "1", x)
    H = ritz.hessian(model, A, (x, y), "cross_entropy", reduction="sum")
    h = model[1](model[0](x)).detach()
    rest = model[2:]
    expected = torch.func.hessian(lambda h: F.cross_entropy(rest(h), y, reduction="sum"))(h)
    assert_same(H.to_dense(), expected.reshape(24, 24))
    with pytest.raises(ValueError, match="layers are"):
        ritz.activation(model, "layer9", x)


def test_without_data():
    def rosenbrock(p):
        return 100.0 * (p[1] - p[0] ** 2) ** 2 + (1.0 - p[0]) ** 2

    p = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    H = ritz.hessian(rosenbrock, p)
    assert_same(H.to_dense(), torch.tensor([[1330.0, 480.0], [480.0, 200.0]]).double())
    with pytest.raises(ValueError, match="scalar"):
        ritz.hessian(lambda p: p**2, p) @ p


def test_a_tree_of_parameters():
    params = {"a": torch.randn(3, dtype=torch.float64), "b": [torch.randn(2, 2).double()]}

    def loss(p, batch):
        return (p["a"].prod() * batch @ p["b"][0] @ batch).exp()

    batch = torch.ones(2, dtype=torch.float64) / 2
    H = ritz.hessian(loss, params, batch, reduction="sum", batch_size=len)
    flat = torch.cat([params["a"], params["b"][0].reshape(-1)])
    expected = torch.func.hessian(lambda t: loss({"a": t[:3], "b": [t[3:].reshape(2, 2)]}, batch))(
        flat
    )
    assert_same(H.to_dense(), expected)
    out = H @ params
    assert list(out) == ["a", "b"]
    assert_same(torch.cat([out["a"], out["b"][0].reshape(-1)]), expected @ flat)
    part = ritz.hessian(loss, ritz.select(params, "b.*"), batch, reduction="sum", batch_size=len)
    assert_same(part.to_dense(), expected[3:, 3:])


def test_a_product_has_memory_of_its_own():
    p = torch.ones(4, dtype=torch.float64)
    H = ritz.hessian(lambda p: 0.5 * (p * p).sum(), p)
    v = torch.arange(4, dtype=torch.float64)
    w = H @ v
    assert torch.equal(w, v)
    w += 1.0
    assert v[0] == 0.0
    assert H.counts.matvec == 1
    with pytest.raises(TypeError, match="requires grad"):
        H @ v.requires_grad_()
