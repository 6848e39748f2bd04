"""Gauss-Newton and Fisher matrices and the covariance of gradients, against dense ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import ritz
from curvature_models import (
    attention,
    conv,
    dense_gauss_newton,
    dense_jacobian,
    images,
    mlp,
    points,
    sentences,
)

CASES = {
    "mlp": (mlp, points),
    "conv": (conv, images),
    "attention": (attention, sentences),
}
WAYS = ("auto", "graph", "trace", "recompute")


def tokens_loss(z, y, **options):
    """Cross-entropy over the last axis of z, however many axes there are."""
    return F.cross_entropy(z.reshape(-1, z.shape[-1]), y.reshape(-1), **options)


def assert_same(a, b, tol=1e-12):
    a, b = (torch.as_tensor(m, dtype=torch.float64).detach() for m in (a, b))
    assert torch.linalg.norm(a - b) <= tol * torch.linalg.norm(b)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_dense(case, way):
    make, data = CASES[case]
    model, (x, y) = make(), data(6)
    G = ritz.gauss_newton(model, None, (x, y), "cross_entropy", linearize=way)
    expected = dense_gauss_newton(model, tokens_loss, x, y)
    assert_same(G.to_dense(), expected)
    assert G.symmetric
    assert G.shape == expected.shape
    assert all(p.grad is None for p in model.parameters())
    if way != "auto":
        assert G.formation.how == (way,)
    assert (G.formation.bytes > 0) == (way != "recompute")


@pytest.mark.parametrize("case", CASES)
def test_batches_change_nothing(case):
    make, data = CASES[case]
    model, (x, y) = make(), data(9)
    whole = ritz.gauss_newton(model, None, (x, y), "cross_entropy").to_dense()
    for cut in (1, 4):
        parts = [(x[:cut], y[:cut]), (x[cut:], y[cut:])]
        assert_same(ritz.gauss_newton(model, None, parts, "cross_entropy").to_dense(), whole)
        for kind in ("exact", "empirical"):
            one, two = (
                ritz.fisher(model, None, d, "cross_entropy", kind=kind).to_dense()
                for d in ((x, y), parts)
            )
            assert_same(two, one)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=4)
    assert_same(ritz.gauss_newton(model, None, loader, "cross_entropy").to_dense(), whole)


MODULES = {
    "mse": (nn.MSELoss, {}, "real"),
    "cross_entropy": (nn.CrossEntropyLoss, {}, "class"),
    "ignored": (nn.CrossEntropyLoss, {"ignore_index": 2}, "class"),
    "weighted": (
        nn.CrossEntropyLoss,
        {"weight": torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)},
        "class",
    ),
    "smooth": (nn.CrossEntropyLoss, {"label_smoothing": 0.1}, "class"),
    "soft": (nn.CrossEntropyLoss, {}, "soft"),
    "bce": (nn.BCEWithLogitsLoss, {}, "bit"),
    "poisson": (nn.PoissonNLLLoss, {"log_input": True}, "count"),
}


def targets(kind, n):
    g = torch.Generator().manual_seed(3)
    if kind == "class":
        return torch.randint(0, 3, (n,), generator=g)
    y = torch.rand(n, 3, generator=g, dtype=torch.float64)
    return {"real": y, "soft": y / y.sum(1, keepdim=True), "bit": y.round(), "count": 5 * y}[kind]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", MODULES)
def test_losses(name, reduction):
    kind, options, target = MODULES[name]
    model, (x, _) = mlp(), points(8)
    y = targets(target, 8)
    loss = kind(reduction=reduction, **options)
    parts = [(x[:3], y[:3]), (x[3:], y[3:])]
    expected = dense_gauss_newton(model, loss, x, y)
    assert_same(ritz.gauss_newton(model, None, parts, loss).to_dense(), expected)
    H = ritz.hessian(model, None, parts, loss)
    G = ritz.gauss_newton(model, None, parts, loss)
    assert_same(H.value(), loss(model(x), y).detach())
    assert_same(G.value(), loss(model(x), y).detach())
    grads = torch.autograd.grad(loss(model(x), y), list(model.parameters()))
    for tree in (G.gradient(), H.gradient()):
        for (name_, g), p, (n2, _) in zip(
            tree.items(), grads, model.named_parameters(), strict=True
        ):
            assert name_ == n2
            assert_same(g, p, 1e-11)


def test_closed_forms():
    x, _ = points(12)
    linear = nn.Linear(5, 1, bias=False).double()
    y = torch.rand(12, 1, dtype=torch.float64)
    G = ritz.gauss_newton(linear, None, (x, y), "mse")
    assert_same(G.to_dense(), 2 * x.T @ x / 12)
    assert_same(ritz.hessian(linear, None, (x, y), "mse").to_dense(), 2 * x.T @ x / 12)
    p = torch.sigmoid(linear(x)).detach()
    logistic = x.T @ (p * (1 - p) * x) / 12
    bits = y.round()
    for make in (ritz.gauss_newton, ritz.hessian):
        assert_same(make(linear, None, (x, bits), "bce_with_logits").to_dense(), logistic)
    squares = x.T @ ((p - bits) ** 2 * x) / 12
    empirical = ritz.fisher(linear, None, (x, bits), "bce_with_logits", kind="empirical")
    assert_same(empirical.to_dense(), squares)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", CASES)
def test_single_precision(case, way):
    make, data = CASES[case]
    model, (x, y) = make().float(), data(6)
    x = x.float() if x.is_floating_point() else x
    for op in (
        ritz.gauss_newton(model, None, (x, y), "cross_entropy", linearize=way),
        ritz.hessian(model, None, (x, y), "cross_entropy", linearize=way),
    ):
        u, v = torch.randn(2, op.shape[0], generator=torch.Generator().manual_seed(0))
        scale = (op @ u).norm() * v.norm() + (op @ v).norm() * u.norm()
        assert abs((op @ u) @ v - (op @ v) @ u) <= 1e-6 * scale
        assert (op @ u).dtype == torch.float32
    J = ritz.ntk(model, None, x, linearize=way)
    a, b = torch.randn(2, J.shape[0], generator=torch.Generator().manual_seed(1))
    assert abs((J @ a) @ b - (J @ b) @ a) <= 1e-6 * (J @ a).norm() * b.norm() * 10


@pytest.mark.parametrize("samples", [2, 60])  # the Jacobian is wide, then tall
def test_norms_of_wide_and_tall_jacobians(samples):
    model, (x, _) = mlp(), points(samples)
    params = dict(model.named_parameters())
    J = ritz.jacobian(lambda p: torch.func.functional_call(model, p, (x,)), params)
    expected = torch.linalg.norm(dense_jacobian(model, x)) ** 2
    for gram in (J.T @ J, J @ J.T):
        exact, stderr = ritz.trace(gram, samples=gram.shape[0])
        assert exact == pytest.approx(float(expected), rel=1e-10)
        assert stderr == 0.0
    top, _ = ritz.eigsh(J.T @ J, k=1)
    norm = torch.linalg.matrix_norm(dense_jacobian(model, x), 2)
    assert float(top[0]) == pytest.approx(float(norm) ** 2, rel=1e-8)


def test_reduction_none_must_be_said():
    model, (x, y) = mlp(), points(5)
    loss = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match="reduction"):
        ritz.gauss_newton(model, None, (x, y), loss)
    G = ritz.gauss_newton(model, None, (x, y), loss, reduction="sum")
    expected = dense_gauss_newton(model, nn.CrossEntropyLoss(reduction="sum"), x, y)
    assert_same(G.to_dense(), expected)


def test_a_convex_loss_of_ones_own():
    model, (x, _) = mlp(), points(7)
    y = targets("real", 7)

    def loss(z, y):
        return torch.cosh(z - y).sum()

    G = ritz.gauss_newton(model, None, [(x[:3], y[:3]), (x[3:], y[3:])], loss, reduction="sum")
    assert_same(G.to_dense(), dense_gauss_newton(model, loss, x, y), 1e-11)


def test_empirical_fisher_and_covariance():
    model, (x, y) = attention(), sentences(4)
    z = model(x)
    J = dense_jacobian(model, x).reshape(*z.shape, -1)
    p = torch.softmax(z.detach(), -1)
    g = p - F.one_hot(y, p.shape[-1])
    terms = torch.einsum("ntc,ntcd->ntd", g, J)
    flat = terms.reshape(-1, terms.shape[-1])
    F_ = ritz.fisher(model, None, (x, y), "cross_entropy", kind="empirical")
    assert_same(F_.to_dense(), flat.T @ flat / len(flat))
    samples = terms.sum(1) / x.shape[1]  # the gradient of each sample's mean loss
    C = ritz.gradient_covariance(model, None, [(x[:1], y[:1]), (x[1:], y[1:])], "cross_entropy")
    assert_same(C.to_dense(), samples.T @ samples / len(samples))


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "bce_with_logits", "poisson"])
def test_monte_carlo_fisher_converges(loss):
    model, (x, y) = mlp(), points(6)
    target = {"cross_entropy": "class", "mse": "real", "bce_with_logits": "bit"}.get(loss, "count")
    y = targets(target, 6)
    G = ritz.gauss_newton(model, None, (x, y), loss).to_dense()
    seeds = [
        ritz.fisher(model, None, (x, y), loss, kind="mc", samples=20, seed=s).to_dense()
        for s in range(30)
    ]
    seeds = torch.stack([torch.as_tensor(m) for m in seeds])
    stderr = seeds.std(0) / len(seeds) ** 0.5
    error = (seeds.mean(0) - torch.as_tensor(G)).abs()
    # Of 57² entries a few lie beyond 4 standard errors of so few seeds; a wrong factor moves all.
    assert (error > 4 * stderr + 1e-14).double().mean() < 0.005
    assert torch.linalg.norm(error) < 0.1 * torch.linalg.norm(torch.as_tensor(G))
    again = ritz.fisher(model, None, (x, y), loss, kind="mc", samples=20, seed=0).to_dense()
    assert torch.equal(torch.as_tensor(again), seeds[0])


def test_trees_and_solvers():
    model, (x, y) = mlp(), points(20)
    G = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
    grad = G.gradient()
    before = G.counts.total
    step, info = result = ritz.cg(G + 1e-3, grad, rtol=1e-10)
    assert info == 0
    assert G.counts.total - before == result.products.total
    assert list(step) == [name for name, _ in model.named_parameters()]
    dense = torch.as_tensor(G.to_dense()) + 1e-3 * torch.eye(G.shape[0], dtype=torch.float64)
    flat = torch.cat([g.reshape(-1) for g in grad.values()])
    assert_same(
        torch.cat([s.reshape(-1) for s in step.values()]), torch.linalg.solve(dense, flat), 1e-8
    )
    direct, _ = ritz.cg(G + 1e-3, flat, rtol=1e-10)
    assert isinstance(direct, torch.Tensor)
    w, V = ritz.eigsh(G, k=3)
    assert_same(w, torch.linalg.eigvalsh(torch.as_tensor(G.to_dense()))[-3:], 1e-9)
    top = G.domain.unflatten(V[:, -1])
    assert_same(torch.cat([t.reshape(-1) for t in (G @ top).values()]), w[-1] * V[:, -1], 1e-6)


def test_old_linearisations_are_not_used():
    model, (x, y) = mlp(), points(6)
    G = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
    v = torch.ones(G.shape[0], dtype=torch.float64)
    first = G @ v
    moves = [
        lambda p: p.add_(0.1),
        lambda p: p.data.add_(0.1),
        lambda p: setattr(p, "data", p.data + 0.1),
    ]
    for move in moves:
        with torch.no_grad():
            move(model[0].weight)
        with pytest.raises(ritz.StaleError, match="update"):
            G @ v
        G.update()
        second = G @ v
        assert not torch.equal(first, second)
        assert_same(second, ritz.gauss_newton(model, None, (x, y), "cross_entropy") @ v)
        first = second


def test_update_to_another_module():
    model, other, (x, y) = mlp(), mlp(seed=5), points(6)
    G = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
    G.update(other)
    assert_same(G.to_dense(), ritz.gauss_newton(other, None, (x, y), "cross_entropy").to_dense())
    with pytest.raises(ValueError, match="names or shapes"):
        G.update(mlp((5, 4, 3)))


@pytest.mark.parametrize(
    ("layer", "named"), [(nn.Dropout(0.5), "Dropout"), (nn.BatchNorm1d(6), "BatchNorm1d")]
)
def test_random_models_are_named(layer, named):
    model = mlp()
    model.insert(1, layer.double())
    data = points(6)
    with pytest.raises(ValueError, match=rf"1 \({named}.*training mode.*eval"):
        ritz.gauss_newton(model, None, data, "cross_entropy")
    model.eval()
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    assert_same(G.to_dense(), dense_gauss_newton(model, tokens_loss, *data))


def test_a_random_function_is_found():
    model, (x, y) = mlp(), points(6)
    params = dict(model.named_parameters())

    def noisy(params, x):
        z = torch.func.functional_call(model, params, (x,))
        return z + torch.randn(z.shape, dtype=torch.float64)

    G = ritz.gauss_newton(noisy, params, (x, y), "cross_entropy")
    with pytest.raises(ValueError, match="not deterministic"):
        G @ torch.ones(G.shape[0], dtype=torch.float64)


def test_a_shuffled_loader_is_found():
    model, (x, y) = mlp(), points(12)
    data = torch.utils.data.TensorDataset(x, y)
    loader = torch.utils.data.DataLoader(data, batch_size=5, shuffle=True)
    G = ritz.gauss_newton(model, None, loader, "cross_entropy")
    v = torch.ones(G.shape[0], dtype=torch.float64)
    G @ v
    with pytest.raises(ValueError, match="shuffle"):
        G @ v


def test_a_loader_is_read_once_a_product():
    model, (x, y) = mlp(), points(12)
    passes = []

    class Loader:
        def __iter__(self):
            passes.append(1)
            yield x[:5], y[:5]
            yield x[5:], y[5:]

    G = ritz.gauss_newton(model, None, Loader(), "cross_entropy")
    v = torch.randn(G.shape[0], 3, dtype=torch.float64)
    read = len(passes)
    block = G @ v
    assert len(passes) == read + 1
    G @ v[:, 0]
    assert len(passes) == read + 2
    whole = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
    assert_same(block, whole @ v)
    assert G.formation.bytes == 0


def test_selection_and_blocks():
    model, data = mlp(), points(8)
    whole = torch.as_tensor(ritz.gauss_newton(model, None, data, "cross_entropy").to_dense())
    first = slice(0, 36)
    for params in ("0.*", ["0.*"], ritz.select(model, "0.weight", "0.bias")):
        G = ritz.gauss_newton(model, params, data, "cross_entropy")
        assert G.parameters.names == ("0.weight", "0.bias")
        assert_same(G.to_dense(), whole[first, first])
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    blocks = G.blocks()
    assert list(blocks) == ["0", "2"]
    assert_same(blocks["2"].to_dense(), whole[36:, 36:])
    assert list(G.blocks("parameter")) == list(G.parameters.names)
    B = G.block_diagonal()
    expected = torch.block_diag(whole[first, first], whole[36:, 36:])
    assert_same(B.to_dense(), expected)
    rows = np.array([3, 40, 5])
    assert_same(G[rows, 30:40].to_dense(), whole[rows, 30:40])
    only = G.block_diagonal(["2.*"]).to_dense()
    assert_same(only, torch.block_diag(torch.zeros(36, 36), whole[36:, 36:]))
    with pytest.raises(ValueError, match="two groups"):
        G.blocks(["0.*", "0.weight"])


def test_choices_that_are_none():
    model, data = mlp(), points(4)
    with pytest.raises(ValueError, match="no parameter is called 'blocks"):
        ritz.gauss_newton(model, "blocks.*", data, "cross_entropy")
    model[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match=r"0\.weight.*frozen"):
        ritz.gauss_newton(model, "0.*", data, "cross_entropy")
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    assert "0.weight" not in G.parameters.names
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="frozen"):
        ritz.gauss_newton(model, None, data, "cross_entropy")
    with pytest.raises(TypeError, match="params is missing"):
        ritz.gauss_newton(lambda p, x: x, None, data, "cross_entropy")
    model.requires_grad_(True)
    x, y = data
    G = ritz.gauss_newton(model, None, (x, torch.full_like(y, -100)), nn.CrossEntropyLoss())
    with pytest.raises(ValueError, match="valid terms"):
        G @ torch.ones(G.shape[0], dtype=torch.float64)


def test_dict_batches():
    model, (x, y) = mlp(), points(9)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, batch):
            return self.inner(batch["x"])

    parts = [{"x": x[:4], "labels": y[:4]}, {"x": x[4:], "labels": y[4:]}]
    G = ritz.gauss_newton(Wrapped(), None, parts, "cross_entropy")
    assert_same(G.to_dense(), dense_gauss_newton(model, tokens_loss, x, y))


def test_memory_budget():
    model, data = conv(), images(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy", memory_budget=0)
    v = torch.ones(G.shape[0], dtype=torch.float64)
    assert_same(G @ v, ritz.gauss_newton(model, None, data, "cross_entropy") @ v)
    assert G.formation.how == ("recompute",)
    assert G.formation.bytes == 0


def test_function_space_distance():
    model, data = mlp(), points(10)
    other = mlp()
    with torch.no_grad():
        for p, q in zip(other.parameters(), model.parameters(), strict=True):
            p.copy_(q + 1e-3 * torch.randn(q.shape, dtype=torch.float64))
    D = ritz.function_space_distance(model, None, other, data, "cross_entropy")
    p, q = (torch.softmax(m(data[0]).detach(), -1) for m in (model, other))
    assert D.measured == pytest.approx(float((p * (p / q).log()).sum(-1).mean()), rel=1e-6)
    assert D.quadratic == pytest.approx(D.measured, rel=2e-2)
    S = ritz.function_space_distance(model, None, other, (data[0], targets("real", 10)), "mse")
    z = (model(data[0]) - other(data[0])).detach()
    assert S.measured == pytest.approx(float((z**2).mean()), rel=1e-9)


def test_drawn_targets_do_not_depend_on_batches():
    model, (x, y) = attention(), sentences(7)
    one, two = (
        ritz.fisher(model, None, d, "cross_entropy", kind="mc", seed=3).to_dense()
        for d in ((x, y), [(x[:2], y[:2]), (x[2:], y[2:])])
    )
    assert_same(two, one)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_function_space(loss):
    model, (x, y) = mlp(), points(4)
    y = y if loss == "cross_entropy" else targets("real", 4)
    G = ritz.gauss_newton(model, None, [(x[:1], y[:1]), (x[1:], y[1:])], loss)
    K = G.gram()
    assert K.shape == (12, 12)
    K = torch.as_tensor(K.to_dense())
    assert_same(K, K.T)
    small, large = torch.linalg.eigvalsh(K), torch.linalg.eigvalsh(torch.as_tensor(G.to_dense()))
    assert torch.allclose(small, large[-12:], atol=1e-12)
    with pytest.raises(TypeError, match="gram is for"):
        ritz.fisher(model, None, (x, y), loss, kind="empirical").gram()


def test_diagonal():
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    dense = torch.as_tensor(G.to_dense()).diagonal()
    exact = torch.cat([d.reshape(-1) for d in G.diagonal().values()])
    assert_same(exact, dense)
    estimate = torch.cat([d.reshape(-1) for d in G.diagonal("xdiag", products=50).values()])
    assert_same(estimate, dense, 1e-6)  # of rank at most 12
    H = ritz.hessian(model, None, data, "cross_entropy")
    full = torch.cat([d.reshape(-1) for d in H.diagonal(products=57).values()])
    assert_same(full, torch.as_tensor(H.to_dense()).diagonal())
    with pytest.raises(TypeError, match="layers of a torch"):
        H.diagonal("exact")


def test_update_to_a_tree_or_a_vector():
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    other = mlp(seed=4)
    expected = ritz.gauss_newton(other, None, data, "cross_entropy").to_dense()
    tree = {name: p.detach() for name, p in other.named_parameters()}
    for point in (tree, torch.cat([p.reshape(-1) for p in tree.values()])):
        G.update(point)
        assert_same(G.to_dense(), expected)
    G.update()
    assert_same(G.to_dense(), ritz.gauss_newton(model, None, data, "cross_entropy").to_dense())


def test_data_in_place_of_parameters():
    model, data = mlp(), points(6)
    with pytest.raises(TypeError, match=r"params is a tuple.*params=None"):
        ritz.gauss_newton(model, data, "cross_entropy")


def test_bad_options():
    model, data = mlp(), points(4)
    with pytest.raises(ValueError, match="linearize is 'fast'"):
        ritz.gauss_newton(model, None, data, "cross_entropy", linearize="fast")
    with pytest.raises(ValueError, match="kind is"):
        ritz.fisher(model, None, data, "cross_entropy", kind="true")
    with pytest.raises(TypeError, match="colour"):
        ritz.gauss_newton(model, None, data, "cross_entropy", colour=1)
    with pytest.raises(TypeError, match=r"data is a builtins\.NoneType"):
        ritz.gauss_newton(model)
    with pytest.raises(TypeError, match="NumPy arrays"):
        ritz.gauss_newton(lambda p, x: x @ p, np.ones(3), (np.ones((2, 3)), np.ones(2)))
