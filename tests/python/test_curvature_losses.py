"""Losses of a model's output: derivatives, square roots, draws and normalisation against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ritz.curvature import losses
from ritz.curvature.losses import BCEWithLogits, ConvexLoss, CrossEntropy, OutputLoss, resolve

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

DOUBLE = torch.float64
EXACT = {"rtol": 1e-12, "atol": 1e-13}


def normal(*shape, seed=0, scale=1.0):
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=rng, dtype=DOUBLE)


def unit(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def labels(*shape, classes=4, seed=2):
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


def ignoring(y, value, *places):
    y = y.clone()
    for place in places:
        y[place] = value
    return y


def soft(*shape, axis, seed=3):
    return torch.softmax(normal(*shape, seed=seed), axis)


W = torch.tensor([0.5, 1.0, 2.5, 0.1], dtype=DOUBLE)
Z, Y = normal(5, 4), labels(5)
ZI = normal(2, 4, 3, 2)

# name -> (torch module, z, y)
CASES = {
    "mse": (nn.MSELoss(), normal(3, 4), normal(3, 4, seed=9)),
    "mse vector": (nn.MSELoss(), normal(5), normal(5, seed=9)),
    "mse sum": (nn.MSELoss(reduction="sum"), normal(3, 2, 2), normal(3, 2, 2, seed=9)),
    "ce": (nn.CrossEntropyLoss(), Z, Y),
    "ce sum": (nn.CrossEntropyLoss(reduction="sum"), Z, Y),
    "ce ignore": (nn.CrossEntropyLoss(), Z, ignoring(Y, -100, 1, 3)),
    "ce ignore a class": (nn.CrossEntropyLoss(ignore_index=int(Y[0])), Z, Y),
    "ce weight": (nn.CrossEntropyLoss(weight=W), Z, Y),
    "ce weight sum": (nn.CrossEntropyLoss(weight=W, reduction="sum"), Z, Y),
    "ce weight ignore": (nn.CrossEntropyLoss(weight=W), Z, ignoring(Y, -100, 0)),
    "ce smooth": (nn.CrossEntropyLoss(label_smoothing=0.2), Z, Y),
    "ce smooth weight ignore": (
        nn.CrossEntropyLoss(label_smoothing=0.2, weight=W, ignore_index=7),
        Z,
        ignoring(Y, 7, 2),
    ),
    "ce soft": (nn.CrossEntropyLoss(), Z, soft(5, 4, axis=1)),
    "ce soft weight smooth": (
        nn.CrossEntropyLoss(label_smoothing=0.1, weight=W),
        Z,
        soft(5, 4, axis=1),
    ),
    "ce image": (nn.CrossEntropyLoss(), ZI, labels(2, 3, 2)),
    "ce image weight ignore": (
        nn.CrossEntropyLoss(weight=W),
        ZI,
        ignoring(labels(2, 3, 2), -100, (0, 1, 1), (1, 2, 0)),
    ),
    "ce image soft weight": (nn.CrossEntropyLoss(weight=W), ZI, soft(2, 4, 3, 2, axis=1)),
    "ce one sample": (nn.CrossEntropyLoss(weight=W), normal(4), torch.tensor(2)),
    "bce": (nn.BCEWithLogitsLoss(), normal(6), labels(6, classes=2).to(DOUBLE)),
    "bce sum": (nn.BCEWithLogitsLoss(reduction="sum"), normal(3, 2), unit(3, 2)),
    "bce pos_weight": (nn.BCEWithLogitsLoss(pos_weight=W), Z, unit(5, 4)),
    "bce weight pos_weight": (
        nn.BCEWithLogitsLoss(weight=unit(5, 1, seed=4), pos_weight=W),
        Z,
        labels(5, 4, classes=2).to(DOUBLE),
    ),
    "poisson": (nn.PoissonNLLLoss(), normal(3, 2), labels(3, 2).to(DOUBLE)),
    "poisson full": (nn.PoissonNLLLoss(full=True), normal(3, 2), labels(3, 2).to(DOUBLE)),
    "poisson rate": (
        nn.PoissonNLLLoss(log_input=False, eps=1e-3, reduction="sum"),
        0.1 + unit(3, 2),
        labels(3, 2).to(DOUBLE),
    ),
    "huber": (nn.HuberLoss(delta=0.7), normal(4, 2), normal(4, 2, seed=9)),
}
MODULES = list(CASES)
NATURAL = [name for name in MODULES if name != "huber"]


def divisor(loss, z, y):
    return loss.terms(y, tuple(z.shape)) if loss.reduction == "mean" else 1.0


def dense(product, z):
    """Return the matrix of a linear map of arrays of the shape of z."""
    columns = [product(e.reshape(z.shape)).reshape(-1) for e in torch.eye(z.numel(), dtype=DOUBLE)]
    return torch.stack(columns, 1)


def hessian_of(function, z):
    return torch.func.hessian(function)(z).reshape(z.numel(), z.numel())


@pytest.mark.parametrize("name", MODULES)
def test_value_and_gradient_are_torchs(name):
    module, z, y = CASES[name]
    loss = resolve(module)
    assert loss.reduction == module.reduction
    n = divisor(loss, z, y)
    torch.testing.assert_close(loss.value(z, y) / n, module(z, y), **EXACT)
    wanted = torch.func.grad(lambda z: module(z, y))(z)
    torch.testing.assert_close(loss.gradient(z, y) / n, wanted, **EXACT)


@pytest.mark.parametrize("name", NATURAL)
def test_hessian_is_torchs_and_the_square_of_its_root(name):
    module, z, y = CASES[name]
    loss = resolve(module)
    wanted = divisor(loss, z, y) * hessian_of(lambda z: module(z, y), z)
    state = loss.curvature(z, y)
    torch.testing.assert_close(dense(lambda u: loss.hessian_product(state, u), z), wanted, **EXACT)
    S = dense(lambda w: loss.factor_product(state, w), z)
    torch.testing.assert_close(S @ S.T, wanted, **EXACT)
    torch.testing.assert_close(dense(lambda u: loss.factor_transposed(state, u), z), S.T, **EXACT)


@pytest.mark.parametrize("name", [n for n in NATURAL if n != "poisson rate"])
def test_value_can_be_differentiated_twice_at_zero(name):
    """Zero is where a formula with |z| in it loses its second derivative, and heads start."""
    module, z, y = CASES[name]
    z = torch.zeros_like(z).requires_grad_()
    loss = resolve(module)
    state = loss.curvature(z.detach(), y)
    u = normal(*z.shape, seed=8)
    (g,) = torch.autograd.grad(loss.value(z, y), z, create_graph=True)
    torch.testing.assert_close(g, loss.gradient(z, y), **EXACT)
    (Hu,) = torch.autograd.grad(g, z, u)
    torch.testing.assert_close(Hu, loss.hessian_product(state, u), **EXACT)


@pytest.mark.parametrize("name", MODULES)
def test_drawn_gradients_have_the_hessian_as_second_moment(name):
    module, z, y = CASES[name]
    loss = resolve(module)
    # Mild logits: rare classes make the means of products far from normal.
    state = loss.curvature(z if "rate" in name else 0.3 * z, y)
    H = dense(lambda u: loss.hessian_product(state, u), z)
    draws = 1000
    g = torch.stack([loss.sample(state, 5, k).reshape(-1) for k in range(draws)])
    deviation = H.diagonal().sqrt()
    assert bool((g.mean(0).abs() <= 4 * deviation / math.sqrt(draws) + 1e-12).all())
    products = g[:, :, None] * g[:, None, :]
    # Exact for independent elements; those of one term may scatter more.
    scatter = torch.maximum(products.std(0), deviation[:, None] * deviation)
    error = (products.mean(0) - H).abs()
    assert bool((error <= 4 * scatter / math.sqrt(draws) + 1e-12).all())


def test_drawn_gradients_are_those_of_drawn_targets():
    for name in ("ce weight", "ce image weight ignore"):
        module, z, y = CASES[name]
        loss = resolve(module)
        state = loss.curvature(z, y)
        p, w = state
        drawn = p - loss.sample(state, 0, 0) / w.sqrt().where(w > 0, torch.ones_like(w))
        drawn = drawn.where(w > 0, torch.zeros_like(w))
        assert set(drawn.round(decimals=12).unique().tolist()) <= {0.0, 1.0}
        torch.testing.assert_close(drawn.sum(1, keepdim=True), (w > 0).to(DOUBLE), **EXACT)


def test_draws_belong_to_their_rows():
    loss = resolve("cross_entropy")
    z, y = normal(8, 3, 4), labels(8, 3)
    whole = loss.sample(loss.curvature(z, y), 3, 2)
    parts = [
        loss.sample(loss.curvature(z[a:b], y[a:b]), 3, 2, a) for a, b in ((0, 1), (1, 6), (6, 8))
    ]
    assert torch.equal(torch.cat(parts), whole)
    state = loss.curvature(z, y)
    for other in ((4, 2), (3, 3)):
        assert not torch.equal(loss.sample(state, *other), whole)


def test_draws_are_those_of_the_paper():
    """The last vectors of the known-answer test of Random123 for philox4x32-10."""
    from ritz.curvature import draws

    one, two = draws._philox(0, 0, 0, (1,))
    assert (int(one[0]), int(two[0])) == (0xE169C58D6627E8D5, 0x9B00DBD8BC57AC4C)
    x = draws.normal(1, 0, 0, (200, 500))
    assert abs(x.mean()) < 4 / math.sqrt(x.size)
    assert abs((x**2).mean() - 1) < 4 * math.sqrt(2 / x.size)
    u = draws.uniform(1, 0, 0, (200, 500))
    assert u.min() >= 0
    assert np.float32(u.max()) < 1
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / u.size)


def test_half_squared():
    loss = resolve("half_squared")
    z, y = normal(3, 4), normal(3, 4, seed=9)
    assert loss.terms(y, (3, 4)) == 3
    torch.testing.assert_close(loss.value(z, y), 0.5 * functional.mse_loss(z, y, reduction="sum"))
    torch.testing.assert_close(loss.gradient(z, y), z - y)
    state = loss.curvature(z, y)
    torch.testing.assert_close(loss.hessian_product(state, z), z)
    torch.testing.assert_close(loss.factor_product(state, z), z)


def test_huber_lies_below_its_gauss_newton_model():
    loss = resolve("huber")
    z, y = normal(50, scale=3.0), normal(50, seed=9)
    (h,) = loss.curvature(z, y)
    r = (z - y).abs()
    torch.testing.assert_close(h, torch.where(r <= 1, torch.ones_like(r), 1 / r))
    g = loss.gradient(z, y)
    for seed in range(5):
        d = normal(50, seed=seed, scale=2.0)
        above = 0.5 * h * d**2 + g * d
        change = torch.stack(
            [loss.value(a + b, c) - loss.value(a, c) for a, b, c in zip(z, d, y, strict=True)]
        )
        assert bool((change <= above + 1e-12).all())
    # The model touches at the point mirrored in the target, so no smaller h would do.
    d = -2 * (z - y)
    torch.testing.assert_close(
        (0.5 * h * d**2 + g * d).sum(), torch.zeros((), dtype=DOUBLE), rtol=0, atol=1e-11
    )


def test_classes_on_the_last_axis():
    z, y = normal(3, 5, 4), ignoring(labels(3, 5), -100, (0, 4), (2, 1))
    last = CrossEntropy(weight=W, label_smoothing=0.1)
    module = nn.CrossEntropyLoss(weight=W, label_smoothing=0.1)
    wanted = module(z.reshape(-1, 4), y.reshape(-1))
    torch.testing.assert_close(last.value(z, y) / last.terms(y, (3, 5, 4)), wanted, **EXACT)
    u = normal(3, 5, 4, seed=6)
    other = resolve(module)
    there = other.hessian_product(other.curvature(z.mT, y), u.mT)
    torch.testing.assert_close(last.hessian_product(last.curvature(z, y), u), there.mT, **EXACT)
    assert last.axis == -1
    assert other.axis == 1


@pytest.mark.parametrize("name", [n for n in MODULES if n != "ce one sample"])
def test_unequal_parts_add_up(name):
    module, z, y = CASES[name]
    if "weight pos_weight" in name:
        module = nn.BCEWithLogitsLoss(weight=W, pos_weight=W)
    loss = resolve(module)
    u = normal(*z.shape, seed=6)

    def of(a, b):
        z_, y_, u_ = z[a:b], y[a:b], u[a:b]
        state = loss.curvature(z_, y_)
        return loss.value(z_, y_), loss.hessian_product(state, u_), loss.terms(y_, z_.shape)

    n = len(z)
    (v, Hu, t), (v1, H1, t1), (v2, H2, t2) = of(0, n), of(0, 1), of(1, n)
    torch.testing.assert_close(v1 + v2, v, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(torch.cat([H1, H2]), Hu, rtol=1e-14, atol=1e-15)
    assert t1 + t2 == pytest.approx(t, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["cross_entropy", "bce_with_logits", "huber", "mse"])
def test_extreme_logits(kind, dtype):
    z = torch.tensor([[1e4, -1e4, 0.0], [-1e4, -1e4, 1e4]], dtype=dtype, requires_grad=True)
    y = torch.tensor([1, 2]) if kind == "cross_entropy" else torch.eye(3, dtype=dtype)[[1, 2]]
    loss = resolve(kind)
    module = {
        "cross_entropy": functional.cross_entropy,
        "bce_with_logits": functional.binary_cross_entropy_with_logits,
        "huber": functional.huber_loss,
        "mse": functional.mse_loss,
    }[kind]
    torch.testing.assert_close(loss.value(z, y), module(z, y, reduction="sum"))
    (g,) = torch.autograd.grad(loss.value(z, y), z, create_graph=True)
    torch.testing.assert_close(g, loss.gradient(z, y))
    if g.requires_grad:
        (Hu,) = torch.autograd.grad(g.sum(), z)
        assert bool(torch.isfinite(Hu).all())
    z = z.detach()
    state = loss.curvature(z, y)
    for a in (
        *state,
        loss.hessian_product(state, z),
        loss.factor_product(state, z),
        loss.factor_transposed(state, z),
        loss.sample(state, 0, 0),
    ):
        assert a.dtype == dtype
        assert bool(torch.isfinite(a).all())


def test_a_forbidden_class():
    z = normal(5, 4)
    z[:, 3] = -torch.inf
    y = labels(5, classes=3)
    loss = resolve("cross_entropy")
    torch.testing.assert_close(loss.value(z, y), functional.cross_entropy(z, y, reduction="sum"))
    state = loss.curvature(z, y)
    g = torch.stack([loss.sample(state, 0, k) for k in range(50)])
    assert bool(torch.isfinite(g).all())
    assert bool((g[..., 3] == 0).all())


@pytest.mark.parametrize("options", [{}, {"weight": W}, {"label_smoothing": 0.3}])
def test_all_labels_ignored(options):
    loss = CrossEntropy(**options)
    y = torch.full((5,), -100)
    assert loss.terms(y, (5, 4)) == 0
    state = loss.curvature(Z, y)
    zero = torch.zeros_like(Z)
    assert float(loss.value(Z, y)) == 0
    for a in (loss.gradient(Z, y), loss.hessian_product(state, Z), loss.sample(state, 0, 0)):
        assert torch.equal(a.abs(), zero)


# ------------------------------------------------------------------------------------- frameworks


def everything(loss, z, y, u):
    """Return all that a loss computes from arrays of one framework."""
    state = loss.curvature(z, y)
    return (
        loss.value(z, y),
        loss.gradient(z, y),
        loss.hessian_product(state, u),
        loss.factor_product(state, u),
        loss.factor_transposed(state, u),
        loss.sample(state, 11, 3),
    )


@pytest.fixture
def x64():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        yield jax


@pytest.mark.parametrize("name", MODULES)
def test_frameworks_agree(name, x64):
    module, z, y = CASES[name]
    loss = resolve(module)
    u = normal(*z.shape, seed=6)
    wanted = everything(loss, z, y, u)
    arrays = [a.numpy() for a in (z, y, u)]
    in_numpy = everything(loss, *arrays)
    in_jax = x64.jit(lambda *a: everything(loss, *a))(*map(x64.numpy.asarray, arrays))
    for a, b, c in zip(wanted, in_numpy, in_jax, strict=True):
        assert isinstance(c, x64.Array)
        for other in (b, c):
            assert np.asarray(other).dtype == np.float64
            np.testing.assert_allclose(np.asarray(other), a.numpy(), rtol=1e-14, atol=3e-14)
    assert loss.terms(arrays[1], z.shape) == loss.terms(y, z.shape)


@pytest.mark.parametrize(
    "name", ["mse", "ce smooth weight ignore", "ce image", "bce weight pos_weight", "poisson"]
)
def test_jax_differentiates_the_value(name, x64):
    module, z, y = CASES[name]
    loss = resolve(module)
    for point in (z, torch.zeros_like(z)):
        p, t = x64.numpy.asarray(point.numpy()), x64.numpy.asarray(y.numpy())
        H = x64.jit(x64.hessian(loss.value))(p, t).reshape(z.numel(), -1)
        state = loss.curvature(point, y)
        found = dense(lambda u, s=state: loss.hessian_product(s, u), z)
        np.testing.assert_allclose(found.numpy(), H, rtol=1e-12, atol=1e-13)


def test_jax_in_single_precision_without_a_warning():
    jnp = pytest.importorskip("jax.numpy")
    z = jnp.asarray(Z.numpy(), dtype=jnp.float32)
    loss = CrossEntropy(weight=W, label_smoothing=0.1)
    for y in (Y.numpy(), jnp.asarray(Y.numpy().astype(np.uint8)), Y.tolist()):
        for a in everything(loss, z, y, z):
            assert a.dtype == jnp.float32
        np.testing.assert_allclose(loss.value(z, y), loss.value(Z, Y), rtol=1e-6)


@pytest.mark.parametrize("name", ["ce smooth weight ignore", "bce weight pos_weight", "mse"])
def test_products_are_vectorised(name):
    module, z, y = CASES[name]
    loss = resolve(module)
    state = loss.curvature(z, y)
    U = normal(3, *z.shape, seed=6)
    for product in (loss.hessian_product, loss.factor_product, loss.factor_transposed):
        found = torch.func.vmap(lambda u, p=product: p(state, u))(U)
        torch.testing.assert_close(found, torch.stack([product(state, u) for u in U]), **EXACT)


# ----------------------------------------------------------------------------- losses of one's own


def log_cosh(z, y):
    return torch.log(torch.cosh(z - y)).sum(-1).mean()


@pytest.mark.parametrize("scale", ["mean", "sum"])
def test_convex_function_in_torch(scale):
    z, y = normal(3, 2), normal(3, 2, seed=9)
    n = 3 if scale == "mean" else 1
    loss = resolve(log_cosh, scale)
    assert loss.terms(y, (3, 2)) == loss.terms(y) == 3
    torch.testing.assert_close(loss.value(z, y), n * log_cosh(z, y))
    torch.testing.assert_close(loss.gradient(z, y), n * torch.tanh(z - y) / 3, **EXACT)
    state = loss.curvature(z, y)
    H = dense(lambda u: loss.hessian_product(state, u), z)
    torch.testing.assert_close(H, n * hessian_of(lambda z: log_cosh(z, y), z), **EXACT)
    U = normal(4, 3, 2, seed=6)
    found = torch.func.vmap(lambda u: loss.hessian_product(state, u))(U)
    torch.testing.assert_close(found.reshape(4, -1), U.reshape(4, -1) @ H, **EXACT)
    with pytest.raises(TypeError, match=r"ConvexLoss has no square root .* factor_product"):
        loss.factor_product(state, z)
    with pytest.raises(TypeError, match=r"ConvexLoss has no model of its targets"):
        loss.sample(state, 0, 0)


def test_convex_function_in_jax(x64):
    jnp = x64.numpy
    z, y = (jnp.asarray(normal(3, 2, seed=s).numpy()) for s in (0, 9))

    def function(z, y):
        return jnp.log(jnp.cosh(z - y)).sum(-1).mean()

    loss = resolve(function, "mean")
    u = jnp.ones((3, 2))
    product = x64.jit(loss.hessian_product)(loss.curvature(z, y), u)
    np.testing.assert_allclose(product, 1 / np.cosh(z - y) ** 2, rtol=1e-12)


def test_other_modules_of_torch_are_convex_functions():
    module = nn.SmoothL1Loss(beta=0.3)
    loss = resolve(module)
    assert isinstance(loss, ConvexLoss)
    z, y = normal(4, 2), normal(4, 2, seed=9)
    torch.testing.assert_close(loss.value(z, y) / loss.terms(y), module(z, y))

    class Doubled(nn.CrossEntropyLoss):
        def forward(self, z, y):
            return 2 * super().forward(z, y)

    assert isinstance(resolve(Doubled()), ConvexLoss)


def test_functions_of_torch_are_known():
    for function, module in (
        (functional.cross_entropy, nn.CrossEntropyLoss()),
        (functional.mse_loss, nn.MSELoss()),
        (functional.binary_cross_entropy_with_logits, nn.BCEWithLogitsLoss()),
        (functional.poisson_nll_loss, nn.PoissonNLLLoss()),
        (functional.huber_loss, nn.HuberLoss()),
    ):
        assert resolve(function) == resolve(module)


class SmoothAbsolute(OutputLoss):
    def terms(self, y, z_shape=None):
        return float(len(y))

    def value(self, z, y):
        return ((1 + (z - y) ** 2) ** 0.5).sum()

    def gradient(self, z, y):
        return (z - y) / (1 + (z - y) ** 2) ** 0.5

    def curvature(self, z, y):
        return ((1 + (z - y) ** 2) ** -1.5,)

    def hessian_product(self, state, u):
        return state[0] * u


def test_register(monkeypatch):
    monkeypatch.setattr(losses, "_registered", dict(losses._registered))
    losses.register("smooth_absolute", SmoothAbsolute)
    loss = resolve("smooth_absolute", "sum")
    assert type(loss) is SmoothAbsolute
    assert loss.reduction == "sum"
    assert resolve(loss) is loss
    with pytest.raises(ValueError, match=r"'smooth_absolute' is registered already"):
        losses.register("smooth_absolute", SmoothAbsolute)
    with pytest.raises(TypeError, match=r"register takes a name and a callable"):
        losses.register("other", 3)


# ------------------------------------------------------------------------------- equality, misuse


def test_equal_options_make_equal_losses():
    a, b = (CrossEntropy(weight=w) for w in (W, W.numpy().tolist()))
    assert a == b
    assert hash(a) == hash(b)
    different = [
        CrossEntropy(),
        CrossEntropy(weight=2 * W),
        CrossEntropy(weight=W, reduction="sum"),
        CrossEntropy(weight=W, axis=1),
        BCEWithLogits(weight=W),
        SmoothAbsolute(),
    ]
    assert all(a != other for other in different)
    assert resolve("huber") != resolve(nn.HuberLoss(delta=2.0))
    assert resolve(log_cosh, "mean") == resolve(log_cosh, "mean")
    assert resolve(log_cosh, "mean") != resolve(log_cosh, "sum")


def test_reduction_must_be_known():
    none = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match=r"has reduction='none'.*pass reduction="):
        resolve(none)
    assert resolve(none, "sum").reduction == "sum"
    with pytest.raises(ValueError, match=r"the loss does not say.*pass reduction="):
        resolve(log_cosh)
    with pytest.raises(ValueError, match=r"reduction is 'sum', but the loss itself has .*'mean'"):
        resolve(nn.MSELoss(), "sum")
    with pytest.raises(ValueError, match=r"reduction is 'mean', but the loss itself has .*'sum'"):
        resolve(CrossEntropy(reduction="sum"), "mean")
    with pytest.raises(ValueError, match=r"reduction='batchmean'; make it"):
        resolve(nn.KLDivLoss(reduction="batchmean"))
    with pytest.raises(ValueError, match=r"reduction is 'none'; pass"):
        resolve("mse", "none")
    with pytest.raises(ValueError, match=r"reduction is 'average'; pass"):
        CrossEntropy(reduction="average")


def test_misuse():
    with pytest.raises(ValueError, match=r"loss is 'l2'; the names are bce_with_logits, cross"):
        resolve("l2")
    with pytest.raises(TypeError, match=r"loss is 3; pass a name"):
        resolve(3)
    with pytest.raises(TypeError, match=r"pass CrossEntropyLoss\(...\), an object"):
        resolve(nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=r"NLLLoss, which is linear.*CrossEntropyLoss"):
        resolve(nn.NLLLoss())
    with pytest.raises(TypeError, match=r"NumPy does not differentiate"):
        resolve(lambda z, y: ((z - y) ** 4).sum(), "sum").curvature(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match=r"returned an array of shape \(5, 4\); return a scalar"):
        resolve(lambda z, y: z**2, "sum").value(Z, Y)


@pytest.mark.parametrize("method", ["value", "gradient", "curvature"])
def test_shapes_that_do_not_fit(method):
    def run(loss, z, y):
        return getattr(resolve(loss), method)(z, y)

    with pytest.raises(ValueError, match=r"targets have shape \(5,\), the model's output \(5, 1\)"):
        run("mse", normal(5, 1), normal(5))
    with pytest.raises(ValueError, match=r"labels need shape \(5, 3\)"):
        run("cross_entropy", normal(5, 3, 4), labels(5, 4))
    with pytest.raises(ValueError, match=r"labels need shape \(5, 4\)"):
        run(nn.CrossEntropyLoss(), normal(5, 3, 4), labels(5, 3))
    with pytest.raises(ValueError, match=r"probabilities .* need shape \(5, 4\)"):
        run("cross_entropy", Z, Y.to(DOUBLE))
    with pytest.raises(ValueError, match=r"weight has 4 elements for 3 classes"):
        run(CrossEntropy(weight=W), normal(5, 3), labels(5, classes=3))


def test_targets_that_do_not_fit():
    loss = resolve("cross_entropy")
    with pytest.raises(ValueError, match=r"the label 4; classes are counted from 0 to 3"):
        loss.terms(ignoring(Y, 4, 0), (5, 4))
    with pytest.raises(ValueError, match=r"the label -1; classes .* ignore_index is -100"):
        loss.terms(ignoring(Y, -1, 0))
    with pytest.raises(ValueError, match=r"the label 4; classes"):
        CrossEntropy(weight=W).terms(ignoring(Y, 4, 0))
    with pytest.raises(TypeError, match=r"targets have dtype bool"):
        loss.terms(Y == 0)
    with pytest.raises(ValueError, match=r"Poisson counts are at least 0"):
        resolve("poisson").terms(-torch.ones(3))
    with pytest.raises(ValueError, match=r"label_smoothing is 1.5; pass a number of \[0, 1\]"):
        CrossEntropy(label_smoothing=1.5)
    with pytest.raises(ValueError, match=r"weight has shape \(2, 2\); pass one weight a class"):
        CrossEntropy(weight=np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"delta is 0"):
        losses.Huber(delta=0)
