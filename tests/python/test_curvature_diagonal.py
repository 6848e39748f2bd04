"""Exact diagonals of torch modules against dense matrices."""

from __future__ import annotations

from functools import partial

import pytest

import ritz
from ritz.curvature.diagonal import exact_diagonal, ggn_diagonal

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

SEQUENCE, VOCABULARY, IGNORED = 4, 7, -100


def seeded(make):
    torch.manual_seed(0)
    return make().double().eval()


def flat(tree):
    return torch.cat([leaf.reshape(-1) for leaf in tree.values()])


def jacobian(model, x):
    """Return dz/dθ, (outputs, n), by another route than the library's."""
    named = {k: p.detach() for k, p in model.named_parameters()}
    z = torch.func.functional_call(model, named, (x,))
    with torch.nn.attention.sdpa_kernel(
        torch.nn.attention.SDPBackend.MATH
    ):  # the fused kernels have no rule for vmap
        parts = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(named)
    return z, torch.cat([parts[k].reshape(z.numel(), -1) for k in named], 1)


def summed_loss(loss_sum, shape, y, v):
    return loss_sum(v.reshape(shape), y)


def dense_ggn(model, batches, loss_sum, terms):
    """Return Σ Jᵀ (∇² of the summed loss) J / terms, all dense."""
    total = 0.0
    for x, y in batches:
        z, J = jacobian(model, x)
        summed = partial(summed_loss, loss_sum, z.shape, y)
        H = torch.func.jacrev(torch.func.jacrev(summed))(z.reshape(-1))
        total = total + J.T @ H @ J
    return total / terms


class Attention(nn.Module):
    """A causal transformer with tied embeddings, positions, padding, and a layer used twice."""

    def __init__(self, tied=True):
        super().__init__()
        self.token = nn.Embedding(VOCABULARY, 6, padding_idx=0)
        self.position = nn.Embedding(SEQUENCE, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm = nn.LayerNorm(6)
        self.twice = nn.Linear(6, 6)
        self.scale = nn.Parameter(torch.ones(6))
        self.head = None if tied else nn.Linear(6, VOCABULARY)

    def forward(self, x):
        h = self.token(x) + self.position(torch.arange(x.shape[1]))
        mask = torch.full((x.shape[1], x.shape[1]), -torch.inf, dtype=h.dtype).triu(1)
        h = h + self.attention(h, h, h, attn_mask=mask, need_weights=False)[0]
        h = self.twice(torch.tanh(self.twice(self.norm(h)))) * self.scale
        if self.head is None:
            return functional.linear(h, self.token.weight)
        return self.head(h)


def conv_net():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 4, (2, 1), groups=2, padding="same", padding_mode="circular"),
        nn.GroupNorm(2, 4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


def tokens(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randint(0, VOCABULARY, (n, SEQUENCE), generator=rng)
    y = torch.randint(0, VOCABULARY, (n, SEQUENCE), generator=rng)
    y[:, -1] = IGNORED
    y[0, 1] = IGNORED
    return x, y


def images(n, seed=0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 5, 5, generator=rng, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=rng)


def token_loss(z, y):
    return functional.cross_entropy(
        z.reshape(-1, VOCABULARY), y.reshape(-1), reduction="sum", ignore_index=IGNORED
    )


def image_loss(z, y):
    return functional.cross_entropy(z, y, reduction="sum")


def token_case(tied):
    model = seeded(lambda: Attention(tied))
    # Unequal batches, one of a single sample first.
    batches = [tokens(1, 1), tokens(3, 2), tokens(2, 3)]
    terms = sum(int((y != IGNORED).sum()) for _, y in batches)
    return model, batches, token_loss, terms


def image_case():
    model = seeded(conv_net)
    model[1].running_mean.uniform_(-1, 1)
    model[1].running_var.uniform_(0.5, 2)
    return model, [images(3, 1), images(1, 2)], image_loss, 4


CASES = {
    "tied transformer": lambda: token_case(True),
    "transformer": lambda: token_case(False),
    "conv net": image_case,
}


@pytest.mark.parametrize("case", CASES)
def test_exact_diagonal(case):
    model, batches, loss_sum, terms = CASES[case]()
    wanted = torch.diagonal(dense_ggn(model, batches, loss_sum, terms))
    found = ggn_diagonal(model, None, batches, "cross_entropy")
    assert list(found) == [name for name, _ in model.named_parameters()]
    torch.testing.assert_close(flat(found), wanted, rtol=1e-10, atol=1e-14)


def test_known_layers_need_no_general_way(monkeypatch):
    from ritz.frameworks.torch_samples import SampleGradients

    model, batches, _, _ = image_case()
    text = seeded(
        lambda: nn.Sequential(
            nn.Embedding(VOCABULARY, 4, padding_idx=2), nn.LayerNorm(4), nn.Linear(4, VOCABULARY)
        )
    )
    x, y = tokens(3)
    x[0, :2] = 2
    monkeypatch.setattr(SampleGradients, "parts", None)
    ggn_diagonal(model, None, batches, "cross_entropy")
    wanted = torch.diagonal(dense_ggn(text, [(x, y)], token_loss, int((y != IGNORED).sum())))
    found = ggn_diagonal(text, None, (x, y), "cross_entropy")
    torch.testing.assert_close(flat(found), wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("case", ["transformer", "conv net"])
def test_empirical_diagonal_is_of_terms(case):
    model, batches, loss_sum, terms = CASES[case]()
    wanted = 0.0
    for x, y in batches:
        z, J = jacobian(model, x)
        g = torch.func.grad(lambda v, y=y: loss_sum(v, y))(z)
        by_term = (g.reshape(-1, 1) * J).reshape(-1, z.shape[-1], J.shape[1]).sum(1)
        wanted = wanted + (by_term**2).sum(0) / terms
    found = ggn_diagonal(model, None, batches, "cross_entropy", kind="empirical")
    torch.testing.assert_close(flat(found), wanted, rtol=1e-10, atol=1e-14)


def test_sampled_diagonal_is_that_of_the_operator():
    model, batches, _, _ = token_case(False)
    options = {"kind": "mc", "samples": 2, "seed": 3}
    F = ritz.fisher(model, None, batches, "cross_entropy", **options)
    found = ggn_diagonal(model, None, batches, "cross_entropy", **options)
    torch.testing.assert_close(flat(found), torch.diagonal(F.to_dense()), rtol=1e-10, atol=1e-14)


def test_diagonal_of_the_gradient_covariance():
    model, batches, loss_sum, terms = image_case()
    wanted = 0.0
    for x, y in batches:
        z, J = jacobian(model, x)
        g = torch.func.grad(lambda v, y=y: loss_sum(v, y))(z)
        wanted = wanted + ((g.reshape(-1, 1) * J).reshape(len(x), 3, -1).sum(1) ** 2).sum(0)
    C = ritz.gradient_covariance(model, None, batches, "cross_entropy")
    torch.testing.assert_close(exact_diagonal(C._sum), wanted / terms, rtol=1e-10, atol=1e-14)


def test_squared_errors_and_selection():
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    x = torch.randn(5, 3, dtype=torch.float64)
    y = torch.randn(5, 2, dtype=torch.float64)
    G = dense_ggn(model, [(x, y)], lambda z, y: functional.mse_loss(z, y, reduction="sum"), 10)
    found = ggn_diagonal(model, ["2.*"], (x, y), "mse")
    assert list(found) == ["2.weight", "2.bias"]
    torch.testing.assert_close(flat(found), torch.diagonal(G)[-10:], rtol=1e-12, atol=0)
    total = ggn_diagonal(model, ["2.*"], (x, y), "mse", reduction="sum")
    torch.testing.assert_close(flat(total), 10 * torch.diagonal(G)[-10:], rtol=1e-12, atol=0)


def test_convex_loss_of_ones_own():
    model, batches, _, _ = image_case()

    def loss(z, y):
        return (torch.logsumexp(3 * z, -1) + (z**4).sum(-1) + 0 * y).sum()

    wanted = torch.diagonal(dense_ggn(model, batches, loss, 1))
    found = ggn_diagonal(model, None, batches, loss, reduction="sum")
    torch.testing.assert_close(flat(found), wanted, rtol=1e-9, atol=1e-14)


def test_samples_that_mix_are_refused():
    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            h = self.inner(x)
            return h - h.mean(0)

    x, y = torch.randn(4, 3), torch.randint(0, 3, (4,))
    with pytest.raises(ValueError, match="mixes samples"):
        ggn_diagonal(Centred(), None, (x, y), "cross_entropy")


def test_functions_of_trees_are_refused():
    x, y = torch.randn(4, 3), torch.randint(0, 3, (4,))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        ggn_diagonal(lambda w, x: x @ w, torch.zeros(3, 3), (x, y), "cross_entropy")


def test_estimates_of_operators():
    model, batches, _, _ = image_case()
    G = ritz.gauss_newton(model, None, batches, "cross_entropy")
    wanted, found = flat(G.diagonal("exact")), flat(G.diagonal("xdiag", products=80))
    assert torch.linalg.norm(found - wanted) < 0.3 * torch.linalg.norm(wanted)
    value, stderr = ritz.diagonal(G, positive=True, max_products=80)
    assert ((value - wanted).abs() <= 3 * stderr + 1e-12).double().mean() > 0.95
    assert list(G.domain.unflatten(value)) == list(G.diagonal("exact"))
