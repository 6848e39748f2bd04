"""Products of torch's linearisations against dense Jacobians and Hessians."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from ritz.trees import Structure

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

from torch import nn  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.func import functional_call  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import ritz.curvature as rc  # noqa: E402
from ritz.frameworks import torch_linear, torch_products  # noqa: E402
from ritz.frameworks.torch_linear import linearize, linearize_gradient  # noqa: E402
from ritz.frameworks.torch_record import in_chunks  # noqa: E402

WAYS = ("graph", "trace", "recompute")


class Transformer(nn.Module):
    """One block of fused attention; the head shares the embedding, and one parameter is unused."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 8)
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)
        self.out = nn.Linear(8, 8)
        self.feed = nn.Linear(8, 8)
        self.unused = nn.Parameter(torch.ones(3))

    def forward(self, x):
        h = self.embed(x)
        parts = self.qkv(self.norm(h)).chunk(3, -1)
        q, k, v = (t.view(*t.shape[:2], 2, 4).transpose(1, 2) for t in parts)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.out(a.transpose(1, 2).flatten(2))
        h = h + self.feed(F.gelu(h))
        return h @ self.embed.weight.T


def mlp():
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), torch.randn(4, 5)


def conv():
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 3, 3),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(12, 3),
    )
    return net, torch.randn(4, 1, 8, 8)


def transformer():
    return Transformer(), torch.randint(0, 7, (2, 4))


def problem_of(build, dtype=torch.float64):
    torch.manual_seed(3)
    net, x = build()
    net = net.to(dtype)
    x = x.to(dtype) if x.is_floating_point() else x
    params = dict(net.named_parameters())
    structure = Structure.of(params)

    def f(leaves, x):
        return functional_call(net, dict(zip(params, leaves, strict=True)), (x,))

    def loss(leaves, x):
        return f(leaves, x).square().mean().sin()

    return SimpleNamespace(
        net=net, x=x, params=params, structure=structure, leaves=structure.leaves(params), f=f,
        loss=loss, n=structure.size,
    )  # fmt: skip


@pytest.fixture(scope="module", params=[mlp, conv, transformer], ids=lambda b: b.__name__)
def case(request):
    """A network with its dense Jacobian (m, n) and Hessian, by plain double backward."""
    p = problem_of(request.param)
    flat = p.structure.join([leaf.detach() for leaf in p.leaves])
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        J = torch.func.jacrev(lambda w: p.f(p.structure.split(w), p.x))(flat)
        p.H = torch.autograd.functional.hessian(lambda w: p.loss(p.structure.split(w), p.x), flat)
    p.shape = J.shape[:-1]
    p.J = J.reshape(-1, p.n)
    return p


def close(a, b, tolerance=1e-12):
    assert a.shape == b.shape
    assert not a.requires_grad
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * float(1 + b.abs().max()))


@pytest.mark.parametrize("how", WAYS)
def test_products_equal_the_dense_jacobian(case, how):
    lin = linearize(case.f, case.structure, case.leaves, (case.x,), how=how)
    assert lin.how == how
    close(lin.value, case.net(case.x).detach())
    v, u = torch.randn(case.n, dtype=torch.float64), torch.randn(case.shape, dtype=torch.float64)
    for _ in range(2):  # nothing is used up
        close(lin.jvp(v).reshape(-1), case.J @ v)
        close(lin.vjp(u), case.J.T @ u.reshape(-1))
    assert float(lin.jvp(v).ravel() @ u.ravel()) == pytest.approx(float(v @ lin.vjp(u)), rel=1e-12)
    scaled = lin.through(lambda state, w: state * w, 3.0)
    close(scaled(v), 3.0 * case.J.T @ (case.J @ v))


@pytest.mark.parametrize("how", WAYS)
def test_blocks_equal_their_columns(case, how):
    lin = linearize(case.f, case.structure, case.leaves, (case.x,), how=how)
    V = torch.randn(case.n, 23, dtype=torch.float64)
    U = torch.randn(23, *case.shape, dtype=torch.float64)
    for _ in range(2):
        close(lin.jvp_block(V).reshape(23, -1).T, case.J @ V)
        close(lin.vjp_block(U), case.J.T @ U.reshape(23, -1).T)
    close(lin.through_block(lambda s, w: s * w, 2.0)(V), 2.0 * case.J.T @ (case.J @ V))


@pytest.mark.parametrize("how", WAYS)
def test_hessian_products(case, how):
    lin = linearize_gradient(case.loss, case.structure, case.leaves, (case.x,), how=how)
    assert lin.how == how
    value = case.loss(case.leaves, case.x)
    gradient = torch.autograd.grad(value, case.leaves, materialize_grads=True)
    close(lin.value, value.detach())
    close(lin.gradient, case.structure.join(gradient))
    V = torch.randn(case.n, 23, dtype=torch.float64)
    close(lin.hvp(V[:, 0]), case.H @ V[:, 0], 1e-11)
    close(lin.hvp_block(V), case.H @ V, 1e-11)
    for leaf in case.leaves:
        assert leaf.grad is None


@pytest.mark.parametrize("how", WAYS)
def test_float32(how):
    single, double = problem_of(conv, torch.float32), problem_of(conv)
    v = torch.randn(single.n)
    w, exact = (
        linearize(p.f, p.structure, p.leaves, (p.x,), how=h).through(lambda _, w: w, None)(
            v.to(p.leaves[0].dtype)
        )
        for p, h in ((single, how), (double, "graph"))
    )
    assert w.dtype == torch.float32
    assert float((w - exact).norm() / exact.norm()) < 2e-6


class Clock:
    """Stands in for time: a product by each way takes what it is told."""

    def __init__(self, monkeypatch, **seconds):
        self.now, self.seconds, self.made = 0.0, seconds, []
        monkeypatch.setattr(torch_products.Products, "_clock", lambda _: self.now)
        for kind, way in (("Pullback", "graph"), ("Replay", "trace")):
            self._spy(monkeypatch, getattr(torch_products, kind), way)
        self._slow(monkeypatch, "_traced", seconds["setup"])
        self._slow(monkeypatch, "_recorded", seconds.get("record", 0.0))

    def _slow(self, monkeypatch, name, seconds):
        method = getattr(torch_linear.Linearized, name)

        def slow(lin):
            self.now += seconds
            return method(lin)

        monkeypatch.setattr(torch_linear.Linearized, name, slow)

    def _spy(self, monkeypatch, kind, way):
        call = kind.__call__

        def timed(this, *args, **kwargs):
            self.now += self.seconds[way]
            self.made.append(way)
            return call(this, *args, **kwargs)

        monkeypatch.setattr(kind, "__call__", timed)


@pytest.mark.parametrize("trace", [1.0, 3.0])
def test_auto_keeps_the_faster_way(monkeypatch, trace):
    p = problem_of(mlp)
    clock = Clock(monkeypatch, graph=2.0, trace=trace, setup=7.0)
    memory, v = {}, torch.randn(p.n, dtype=torch.float64)
    lin = linearize(p.f, p.structure, p.leaves, (p.x,), memory=memory)
    first = lin.jvp(v)
    for _ in range(9):
        close(lin.jvp(v), first)
    faster = "trace" if trace < 2.0 else "graph"
    check = ["trace"]  # it must give the graph's product
    assert clock.made == ["graph"] * 3 + check + ["trace", "graph"] * 3 + [faster]
    assert lin.how == faster
    # Another point: it is known that a trace, with its check, pays after eight products, or never.
    clock.made.clear()
    lin = linearize(p.f, p.structure, p.leaves, (p.x,), memory=memory)
    for _ in range(12):
        lin.jvp(v)
    assert clock.made == (["graph"] * 8 + check + ["trace"] * 4 if trace < 2.0 else ["graph"] * 12)


def test_auto_tries_the_trace_after_a_slow_first_record(monkeypatch):
    """The first record of a process takes a hundred times as long as the next ones."""
    p = problem_of(mlp)
    clock = Clock(monkeypatch, graph=2.0, trace=1.0, setup=7.0, record=200.0)
    lin = linearize(p.f, p.structure, p.leaves, (p.x,))
    for _ in range(12):
        lin.jvp(torch.randn(p.n, dtype=torch.float64))
    assert clock.made[:5] == ["graph"] * 4 + ["trace"]
    assert lin.how == "trace"


def test_auto_is_not_misled_by_other_processes(monkeypatch):
    """Time in which this thread does not run is no cost of the way it happens to hit."""
    call = torch_products.Replay.__call__

    def interrupted(this, *args, **kwargs):
        time.sleep(0.01)
        return call(this, *args, **kwargs)

    def expensive(this, *args, **kwargs):
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        return pull(this, *args, **kwargs)

    pull = torch_products.Pullback.__call__
    monkeypatch.setattr(torch_products.Replay, "__call__", interrupted)
    monkeypatch.setattr(torch_products.Pullback, "__call__", expensive)
    p = problem_of(mlp)
    lin = linearize(p.f, p.structure, p.leaves, (p.x,))
    for _ in range(20):
        lin.jvp(torch.randn(p.n, dtype=torch.float64))
    assert lin.how == "trace"


def test_auto_stays_with_the_graph_where_forward_mode_fails(monkeypatch):
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    x = torch.randn(6, dtype=torch.float64)
    structure = Structure.of(x)
    v = torch.randn(6, dtype=torch.float64)

    def cube(leaves):
        return Cube.apply(leaves[0])

    Clock(monkeypatch, graph=2.0, trace=1.0, setup=0.0)
    lin = linearize(cube, structure, [x], ())
    for _ in range(6):
        close(lin.jvp(v), 3 * x**2 * v)
    assert lin.how == "graph"
    close(linearize(cube, structure, [x], (), how="recompute").jvp(v), 3 * x**2 * v)
    with pytest.raises(RuntimeError, match=r"forward mode AD|jvp"):
        linearize(cube, structure, [x], (), how="trace")


def test_chunks_are_chosen_by_their_times():
    now, sizes = [0.0], []

    def product(rows, batched):
        sizes.append(len(rows) if batched else 1)
        now[0] += 1.0 if not batched else {4: 0.08, 16: 0.09, 64: 60.0}[len(rows)]
        return 2.0 * rows

    times, rows = {}, torch.randn(300, 3, dtype=torch.float64)
    close(in_chunks(product, rows, times, lambda: now[0], 1e9), 2.0 * rows)
    assert sizes[:7] == [1, 1, 4, 4, 16, 16, 64]
    assert set(sizes[8:-4]) == {16}
    sizes.clear()
    in_chunks(product, rows[:32], times, lambda: now[0], 1e9)
    assert sizes == [16, 16]
    sizes.clear()
    in_chunks(product, rows[:8], times, lambda: now[0], 1.0)
    assert sizes == [1] * 8


def test_convolutions_are_looped_on_the_cpu():
    p = problem_of(conv)
    memory = {}
    lin = linearize(p.f, p.structure, p.leaves, (p.x,), how="trace", memory=memory)
    lin.jvp_block(torch.randn(p.n, 40, dtype=torch.float64))
    assert set(memory["jvp", "jvp", "trace"]) == {1}


@pytest.mark.parametrize("build", [mlp, conv, transformer])
@pytest.mark.parametrize("how", ["graph", "trace"])
def test_bytes_are_what_is_kept(build, how):
    """Against the storages that autograd saves: of the double record, or of the forward one."""
    p = problem_of(build)
    lin = linearize(p.f, p.structure, p.leaves, (p.x,), how=how)
    kept = {}

    def pack(t):
        kept[t.untyped_storage().data_ptr()] = t  # alive, so that no other has its address
        return t

    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):
        z = p.f(p.leaves, p.x)
        if how == "graph":
            w = torch.zeros_like(z, requires_grad=True)
            torch.autograd.grad(z, p.leaves, w, create_graph=True, allow_unused=True)
    for t in [*p.leaves, p.x]:
        kept.pop(t.untyped_storage().data_ptr(), None)
    total = sum(t.untyped_storage().nbytes() for t in kept.values())
    assert 0.5 * total <= lin.bytes <= 2.0 * total
    assert linearize(p.f, p.structure, p.leaves, (p.x,), how="recompute").bytes == 0


def test_over_the_budget_nothing_is_kept():
    p = problem_of(mlp)
    v = torch.randn(p.n, dtype=torch.float64)
    full = linearize(p.f, p.structure, p.leaves, (p.x,), how="graph")
    for budget in (0, full.bytes - 1):
        for make, f in ((linearize, p.f), (linearize_gradient, p.loss)):
            lin = make(f, p.structure, p.leaves, (p.x,), budget=budget)
            assert (lin.how, lin.bytes) == ("recompute", 0)
    lin = linearize(p.f, p.structure, p.leaves, (p.x,), budget=0)
    close(lin.jvp(v), full.jvp(v))
    V, U = torch.randn(p.n, 5, dtype=torch.float64), torch.randn(5, 4, 3, dtype=torch.float64)
    close(lin.jvp_block(V), full.jvp_block(V))
    close(lin.vjp_block(U), full.vjp_block(U))
    assert lin.bytes == 0
    memory = {}
    for budget, how in ((full.bytes - 1, "recompute"), (full.bytes, "graph"), (0, "recompute")):
        lin = linearize(p.f, p.structure, p.leaves, (p.x,), budget=budget, memory=memory)
        assert lin.how == how
    assert linearize(p.f, p.structure, p.leaves, (p.x,), budget=full.bytes).how == "graph"


def test_modes_of_the_caller_and_other_threads():
    p = problem_of(transformer)
    v = torch.randn(p.n, dtype=torch.float64)
    expected = linearize(p.f, p.structure, p.leaves, (p.x,)).jvp(v)
    for mode in (torch.no_grad, torch.inference_mode):
        for how in WAYS:
            with mode():
                lin = linearize(p.f, p.structure, p.leaves, (p.x,), how=how)
                inside = lin.jvp(v)
            with ThreadPoolExecutor(4) as pool:
                results = list(pool.map(lin.jvp, [v] * 8))
            for w in (inside, *results):
                assert float((w - expected).abs().max()) < 1e-12
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("how", WAYS)
def test_functions_that_do_not_depend_on_everything(how):
    a, b = torch.randn(3, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    structure = Structure.of([a, b])
    v, u = torch.randn(7, dtype=torch.float64), torch.randn(3, dtype=torch.float64)
    lin = linearize(lambda leaves: leaves[0] ** 2, structure, [a, b], (), how=how)
    close(lin.jvp(v), 2 * a * v[:3])
    close(lin.vjp(u), torch.cat([2 * a * u, torch.zeros(4, dtype=torch.float64)]))
    constant = linearize(lambda leaves: torch.ones(3).double(), structure, [a, b], (), how=how)
    assert not constant.jvp(v).any()
    assert not constant.vjp(u).any()
    assert constant.jvp_block(torch.ones(7, 5).double()).shape == (5, 3)
    linear = linearize_gradient(lambda leaves: leaves[0].sum(), structure, [a, b], (), how=how)
    assert not linear.hvp(v).any()


@pytest.mark.parametrize("how", WAYS)
def test_in_place_writes_and_strided_leaves(how):
    base = torch.randn(4, 6, dtype=torch.float64)
    leaf = base.T[1:5]  # neither contiguous nor at the start of its memory
    structure = Structure.of(leaf)

    def f(leaves):
        h = leaves[0] * 2.0
        h[1:] *= 3.0
        h[0] = h[1] - h[2]
        h += 1.0
        out = h.new_zeros(5, 4)
        out[:4] = h
        return out.tanh()

    flat = leaf.reshape(-1).clone()
    J = torch.autograd.functional.jacobian(lambda w: f([w.view(4, 4)]), flat).reshape(20, 16)
    lin = linearize(f, structure, [leaf], (), how=how)
    v = torch.randn(16, dtype=torch.float64)
    close(lin.jvp(v).reshape(-1), J @ v)
    close(lin.jvp_block(torch.eye(16, dtype=torch.float64)).reshape(16, 20).T, J)
    close(lin.vjp(torch.ones(5, 4, dtype=torch.float64)), J.T @ torch.ones(20).double())


class Operations(TorchDispatchMode):
    """Lists what torch is asked for."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


C, D = (torch.linspace(-1, 1, 16, dtype=torch.float64).view(4, 4).pow(k).sin() for k in (1, 3))


def two_products(a, b):
    return a @ b  # da b + a db


def batched_products(a, b):
    return torch.stack([a, b]) @ torch.stack([b, a])


def affine(a, b):
    return F.linear(a, b, a[0])  # da[0] + da bT + a dbT


def used_twice(a, b):
    h = a @ C
    return (h + b @ D) * h.tanh()


def used_by_a_view(a, b):
    h = a @ C
    return torch.cat([h + b @ D, h.T[1:]])


def in_the_output(a, b):
    h = a @ C
    k = b @ D
    return torch.stack([h + k, k])


def both_terms_the_same(a, b):
    h = a @ C
    return h + h + b


def broadcast(a, b):
    return (a[:1] @ C + b @ D) + b[:1] @ C


def scaled(a, b):
    return torch.add(a @ C, b @ D, alpha=3.0)


def factor_overwritten(a, b):
    x = a * 2.0
    p = x @ C
    x *= b
    return p + x


def sum_overwritten(a, b):
    s = a @ C + b @ D
    k = s @ D
    s += k
    return s * k


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (two_products, ["addmm_"]),
        (batched_products, ["baddbmm_"]),
        (affine, ["addmm", "addmm_"]),
        (used_twice, ["addmm"]),
        (used_by_a_view, ["addmm"]),
        (in_the_output, ["addmm"]),
        (both_terms_the_same, []),
        (broadcast, ["addmm"]),
        (scaled, ["addmm"]),
        (factor_overwritten, []),
        (sum_overwritten, ["addmm_"]),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_sums_of_products(f, expected):
    """A trace makes a product with its sum, in place only where nothing else needs the memory."""
    leaves = list(torch.randn(2, 4, 4, dtype=torch.float64))
    flat = torch.stack(leaves).view(-1)
    J = torch.autograd.functional.jacobian(lambda w: f(*w.view(2, 4, 4)).reshape(-1), flat)
    memory = {}
    lin = linearize(
        lambda leaves: f(*leaves), Structure.of(leaves), leaves, (), how="trace", memory=memory
    )
    v = torch.randn(32, dtype=torch.float64)
    before = v.clone()
    for _ in range(2):
        with Operations() as made:
            w = lin.jvp(v)
        close(w.reshape(-1), J @ v, 1e-14)
        assert [name for name in made.names if "add" in name and "mm" in name] == expected
    assert torch.equal(v, before)
    close(lin.jvp_block(torch.eye(32, dtype=torch.float64)).reshape(32, -1).T, J, 1e-14)
    assert max(memory["jvp", "jvp", "trace"][4]) < np.inf  # vectorised, without a warning


def test_a_replay_refuses_what_it_cannot_repeat():
    x = torch.randn(3, dtype=torch.float64)
    buffer = torch.zeros(3, dtype=torch.float64)

    def overwrites(leaves):
        weights = buffer + 2.0
        z = leaves[0] * weights
        weights.detach().mul_(3.0)
        return z

    with pytest.raises((torch_linear.Untraceable, RuntimeError)):
        linearize(overwrites, Structure.of(x), [x], (), how="trace").jvp(x)


def test_wrong_functions_are_named():
    x = torch.randn(3, dtype=torch.float64)
    s = Structure.of(x)
    with pytest.raises(
        TypeError, match=r"returned tuple; it must return one tensor.*module\(x\)\[0\]"
    ):
        linearize(lambda leaves: (leaves[0],), s, [x], ())
    with pytest.raises(TypeError, match=r"torch\.int64"):
        linearize(lambda leaves: leaves[0].long(), s, [x], (), how="recompute")
    with pytest.raises(ValueError, match="return a scalar"):
        linearize_gradient(lambda leaves: leaves[0] ** 2, s, [x], ())
    with pytest.raises(ValueError, match="linearize is 'fast'"):
        linearize(lambda leaves: leaves[0], s, [x], (), how="fast")


# ------------------------------------------------------------------------ ritz.linearize, jacobian


def test_linearization_takes_trees_and_flat_vectors():
    p = problem_of(mlp)
    lin = rc.linearize(lambda q: functional_call(p.net, q, (p.x,)), p.params)
    v = {name: torch.randn_like(t) for name, t in p.params.items()}
    flat = p.structure.join(list(v.values()))
    w = lin.jvp(v)
    assert w.shape == (4, 3)
    close(lin.jvp(flat), w)
    close(lin.jvp(flat.numpy()), w)
    pulled = lin.vjp(w)
    assert list(pulled) == list(p.params)
    assert float((w * w).sum()) == pytest.approx(
        sum(float((v[k] * pulled[k]).sum()) for k in v), rel=1e-12
    )
    V = torch.randn(p.n, 3, dtype=torch.float64)
    close(lin.jvp_block(V)[1], lin.jvp(V[:, 1]))
    assert lin.counts == (4, 1, 3)
    with pytest.raises(ValueError, match=r"0\.bias"):
        lin.jvp({**v, "0.bias": torch.zeros(2, dtype=torch.float64)})
    with pytest.raises(TypeError, match="float32"):
        lin.jvp(flat.float())
    with pytest.raises(ValueError, match=r"\(k, 4, 3\)"):
        lin.vjp_block(torch.randn(2, 3, 4))


def test_jacobian_is_an_operator():
    p = problem_of(mlp)
    J = rc.jacobian(lambda net: net(p.x), p.net)
    dense = J.to_dense()
    assert J.shape == (12, p.n)
    v = torch.randn(p.n, dtype=torch.float64)
    tree = p.structure.unflatten(v)
    close(J @ v, dense @ v)
    close(J @ tree, (dense @ v).reshape(4, 3))
    close((J.T @ (J @ tree))["0.weight"].reshape(-1), (dense.T @ (dense @ v))[:30])
    U = torch.randn(12, 5, dtype=torch.float64)
    close(J.T @ U, dense.T @ U)
    np.testing.assert_allclose((J @ J.T).to_dense().numpy(), (dense @ dense.T).numpy(), rtol=1e-11)
    assert J.linearization.counts.total > 0


def moves():
    def data_write(p):
        p["0.weight"].data.add_(1e-9)

    def in_place(p):
        with torch.no_grad():
            p["2.bias"].mul_(1.5)

    def one_bit(p):
        p["0.bias"].data.view(torch.int64)[2] ^= 1

    return [data_write, in_place, one_bit]


@pytest.mark.parametrize("move", moves(), ids=lambda m: m.__name__)
@pytest.mark.parametrize("how", WAYS)
def test_a_point_that_moved_is_refused(move, how):
    p = problem_of(mlp)
    lin = rc.linearize(lambda q: functional_call(p.net, q, (p.x,)), p.params, linearize=how)
    v, w = torch.randn(p.n, dtype=torch.float64), torch.randn(4, 3, dtype=torch.float64)
    J = lin.jacobian
    lin.jvp(v)
    move(p.params)
    for product in (
        lambda: lin.jvp(v),
        lambda: lin.vjp(w),
        lambda: lin.jvp_block(v[:, None]),
        lambda: lin.vjp_block(w[None]),
        lambda: J @ v,
    ):
        with pytest.raises(rc.StaleError, match=r"call ritz\.linearize again"):
            product()


def test_nothing_is_left_behind():
    p = problem_of(conv)
    versions = [q._version for q in p.net.parameters()]
    lin = rc.linearize(lambda net: net(p.x), p.net)
    for _ in range(6):
        lin.vjp(lin.jvp(torch.randn(p.n, dtype=torch.float64)))
    assert all(q.grad is None and q.requires_grad for q in p.net.parameters())
    assert [q._version for q in p.net.parameters()] == versions
    assert forward_ad._current_level == -1
