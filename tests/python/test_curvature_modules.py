"""What happens to a torch module around products: modes, steps, compilation, threads, memory."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

import ritz
from curvature_models import dense_gauss_newton, mlp, points
from test_gauss_newton import WAYS, assert_same, tokens_loss


def vector(n, *columns):
    return torch.randn(n, *columns, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def normed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double().eval()


def last(model):
    return f"{len(model) - 1}.*"


@pytest.mark.parametrize("way", WAYS)
def test_a_step_of_what_was_not_chosen_makes_stale(way):
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(
        model, ritz.select(model, last(model)), data, "cross_entropy", linearize=way
    )
    v = vector(G.shape[0])
    G @ v
    with torch.no_grad():
        model[0].weight.add_(1.0)
    with pytest.raises(ritz.StaleError):
        G @ v
    G.update()
    again = ritz.gauss_newton(model, ritz.select(model, last(model)), data, "cross_entropy")
    assert_same(G @ v, again @ v)


def test_running_statistics_make_stale():
    model = normed()
    x = vector(6, 4)
    G = ritz.gauss_newton(model, None, (x, vector(6, 3)))
    model.train()(2.0 * x + 1.0)
    model.eval()
    with pytest.raises(ritz.StaleError):
        G @ vector(G.shape[0])
    G.update()
    again = ritz.gauss_newton(model, None, (x, vector(6, 3)))
    assert_same(G.to_dense(), again.to_dense())


@pytest.mark.parametrize("loader", [False, True])
def test_training_mode_after_the_operator_was_made(loader):
    model, (x, y) = normed(), (vector(6, 4), vector(6, 3))
    data = DataLoader(TensorDataset(x, y), batch_size=4) if loader else (x, y)
    G = ritz.gauss_newton(model, None, data)
    K, J = ritz.ntk(model, None, x), ritz.jacobian(lambda m: m(x), model)
    v, before = vector(G.shape[0]), model[1].running_mean.clone()
    expected = G @ v
    model.train()
    for product in (lambda: G @ v, lambda: K @ vector(18), lambda: J @ v, G.diagonal):
        with pytest.raises(ValueError, match="BatchNorm1d in training mode"):
            product()
    assert torch.equal(model[1].running_mean, before)
    model.eval()
    assert_same(G @ v, expected)


def test_random_modules_have_no_jacobian_or_kernel():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)).double()
    x = vector(6, 4)
    with pytest.raises(ValueError, match=r"Dropout with dropout in training mode.*eval\(\)$"):
        ritz.ntk(model, None, x)
    with pytest.raises(ValueError, match="Dropout with dropout in training mode"):
        ritz.linearize(lambda m: m(x), model)


def test_the_diagonal_of_moved_parameters():
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    with torch.no_grad():
        model[0].weight.add_(1.0)
    with pytest.raises(ritz.StaleError):
        G.diagonal()


def test_empty_batches():
    model, (x, y) = mlp(), points(6)
    data = [(x[:0], y[:0]), (x, y)]
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    dense = dense_gauss_newton(model, tokens_loss, x, y)
    assert_same(G.to_dense(), dense)
    assert_same(G.domain.flatten(G.diagonal()), dense.diagonal())
    whole = ritz.kfac(model, None, (x, y), "cross_entropy")
    assert_same(ritz.kfac(model, None, data, "cross_entropy").to_dense(), whole.to_dense())


def test_blocks_are_where_the_operator_moved_to():
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    G.update(0.3 * vector(G.shape[0]))
    dense = torch.as_tensor(G.to_dense())
    first = 0
    for block in G.blocks().values():
        here = slice(first, first + block.shape[0])
        assert_same(block.to_dense(), dense[here, here])
        first = here.stop
    assert first == G.shape[0]


def test_a_point_of_another_dtype_or_none():
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy")
    with pytest.raises(TypeError, match="None"):
        ritz.function_space_distance(model, None, None, data, "cross_entropy")
    model.float()
    with pytest.raises(ValueError, match=r"float32.*float64.*make a new operator"):
        G.update()


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
        self.saves = True

    def forward(self, x):
        def hidden(t):
            return self.a(t).tanh()

        return self.b(checkpoint(hidden, x, use_reentrant=False) if self.saves else hidden(x))


@pytest.mark.parametrize("way", WAYS)
def test_checkpoints(way):
    model, x, y = Checkpointed(), vector(6, 4), torch.arange(6) % 3
    G = ritz.gauss_newton(model, None, (x, y), "cross_entropy", linearize=way)
    plain = Checkpointed()
    plain.saves = False
    expected = dense_gauss_newton(plain, tokens_loss, x, y)
    v = vector(G.shape[0])
    for _ in range(12):
        assert_same(G @ v, expected @ v)
    assert_same(G.to_dense(), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode, way):
    model, (x, y) = mlp(), points(6)
    expected = ritz.gauss_newton(model, None, (x, y), "cross_entropy")
    v = vector(expected.shape[0])
    with mode():
        data = (x.clone(), y)  # in inference mode autograd refuses the copy
        G = ritz.gauss_newton(model, None, data, "cross_entropy", linearize=way)
        assert_same(G @ v, expected @ v)
        assert_same(G.domain.flatten(G.diagonal()), expected.domain.flatten(expected.diagonal()))
        H = ritz.hessian(model, None, data, "cross_entropy", linearize=way)
        inside = H @ v
    assert_same(inside, ritz.hessian(model, None, (x, y), "cross_entropy") @ v)


def test_compiled_modules_run_as_written():
    model, (x, y) = mlp(), points(6)
    expected = ritz.gauss_newton(model, None, (x, y), "cross_entropy").to_dense()
    # This backend has no second derivatives.
    whole = torch.compile(model, backend="aot_eager")
    G = ritz.gauss_newton(whole, None, (x, y), "cross_entropy")
    assert G.parameters.names == tuple(dict(model.named_parameters()))
    assert_same(G.to_dense(), expected)
    part = nn.Sequential(torch.compile(model[0], backend="aot_eager"), *model[1:])
    assert_same(ritz.gauss_newton(part, None, (x, y), "cross_entropy").to_dense(), expected)


@pytest.mark.parametrize("way", ["auto", "trace", "recompute"])
def test_threads_share_an_operator(way):
    model, data = mlp(), points(6)
    G = ritz.gauss_newton(model, None, data, "cross_entropy", linearize=way)
    H = ritz.hessian(model, None, data, "cross_entropy", linearize="recompute")
    v = vector(G.shape[0])
    expected = [A @ v for A in (G, H)]
    failures = []

    def work():
        try:
            for _ in range(25):
                for A, w in zip((G, H), expected, strict=True):
                    assert_same(A @ v, w, 1e-11)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.parametrize(
    "make",
    [
        lambda m, d: ritz.gauss_newton(m, None, d, "cross_entropy"),
        lambda m, d: ritz.hessian(m, None, d, "cross_entropy"),
        lambda m, d: ritz.hessian(lambda mm, b: F.cross_entropy(mm(b[0]), b[1]), m, d),
        lambda m, d: ritz.gauss_newton(m, None, d, "cross_entropy").block_diagonal(),
        lambda m, d: ritz.gauss_newton(m, None, d, "cross_entropy").gram(),
        lambda m, d: ritz.ntk(m, None, d[0]),
        lambda m, d: ritz.jacobian(lambda mm: mm(d[0]), m),
        lambda m, d: ritz.kfac(m, None, d, "cross_entropy"),
    ],
)
def test_nothing_outlives_an_operator(make):
    model, data = mlp(), points(6)
    A = make(model, data)  # what is loaded on first use may leave cycles
    A @ vector(A.shape[1])
    model = mlp()
    gc.collect()
    gc.disable()
    try:
        A = make(model, data)
        for _ in range(4):
            A @ vector(A.shape[1])
        alive = weakref.ref(model)
        del A, model
        assert alive() is None
    finally:
        gc.enable()


def test_activations_move_with_the_module():
    model, (x, y) = mlp(), points(6)

    def loss(module, batch):
        return F.cross_entropy(module(batch[0]), batch[1])

    H = ritz.hessian(loss, ritz.activation(model, "1", x), (x, y))
    v = vector(H.shape[0])
    (block,) = H.blocks().values()
    assert_same(block @ v, H @ v)
    with torch.no_grad():
        model[0].weight.mul_(2.0)
    with pytest.raises(ritz.StaleError):
        H @ v
    H.update()
    there = ritz.activation(model, "1", x)
    assert_same(H @ v, ritz.hessian(loss, there, (x, y)) @ v)
    H.update(2.0 * there.leaves[0])
    with torch.no_grad():
        model[0].weight.mul_(2.0)  # not what comes after the activation: it stays where it was put
    H @ v
    with pytest.raises(TypeError, match="function"):
        ritz.activation(loss, "1", x)


def test_misuse_is_named():
    model, (x, y) = mlp(), points(6)
    named = nn.Module()
    named.layer, named.forward = model, lambda x: {"logits": model(x)}
    with pytest.raises(TypeError, match=r"returned dict; .* take it out"):
        ritz.gauss_newton(named, None, (x, y), "cross_entropy").value()
    with pytest.raises(TypeError, match=r"gauss_newton has no argument 'redcution'.*reduction"):
        ritz.gauss_newton(model, None, (x, y), redcution="sum")
    with pytest.raises(TypeError, match="complex128; derivatives are with respect to real"):
        ritz.hessian(lambda p: (p.abs() ** 2).sum(), torch.ones(3, dtype=torch.complex128))


class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.out = nn.Embedding(7, 4, padding_idx=2).double(), nn.Linear(4, 3).double()
        with torch.no_grad():
            self.words.weight[2] = 1.0  # the row counts, though it has no gradient

    def forward(self, tokens):
        return self.out(self.words(tokens).tanh().mean(1))


@pytest.mark.parametrize("way", WAYS)
def test_padding_has_no_tangent(way):
    model, tokens, y = Padded(), torch.arange(18).reshape(6, 3) % 5, torch.arange(6) % 3
    z = model(tokens).reshape(-1)
    rows = [torch.autograd.grad(e, list(model.parameters()), retain_graph=True) for e in z]
    J = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
    assert not J[:, 8:12].any()
    C = torch.autograd.functional.hessian(lambda z: tokens_loss(z.reshape(6, 3), y), z.detach())
    G = ritz.gauss_newton(model, None, (tokens, y), "cross_entropy", linearize=way)
    v = vector(43)
    for _ in range(12):
        assert_same(G @ v, J.T @ C @ J @ v)
    assert_same(G.to_dense(), J.T @ C @ J)
    H = ritz.hessian(model, None, (tokens, y), "cross_entropy", linearize=way)
    dense = torch.as_tensor(H.to_dense())
    assert_same(dense, dense.T)
    assert not (H @ v)[8:12].any()


def test_auto_keeps_the_graph_where_a_hook_changes_gradients():
    class Hooked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.outer = nn.Linear(5, 6).double(), nn.Linear(6, 3).double()

        def forward(self, x):
            h = torch.tanh(self.inner(x))
            if h.requires_grad:
                h.register_hook(lambda g: -2 * g)
            return self.outer(h)

    torch.manual_seed(0)
    G = ritz.gauss_newton(Hooked(), None, points(6), "cross_entropy")
    for _ in range(40):
        G @ torch.ones(G.shape[0], dtype=torch.float64)
    assert G.formation.how == ("graph",)
    dense = torch.as_tensor(G.to_dense())
    assert_same(dense, dense.T)
