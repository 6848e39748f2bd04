"""Models, data and dense oracles of the curvature tests."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel


class Attention(nn.Module):
    """A transformer block over tokens, whose output layer shares the embedding's weights."""

    def __init__(self, vocabulary=7, d=4):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, d)
        self.qkv = nn.Linear(d, 3 * d)
        self.norm = nn.LayerNorm(d)
        self.mlp = nn.Sequential(nn.Linear(d, 6), nn.GELU(), nn.Linear(6, d))
        self.head = nn.Linear(d, vocabulary, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        h = self.embed(tokens)
        q, k, v = self.qkv(h).chunk(3, -1)
        h = h + nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        h = h + self.mlp(self.norm(h))
        return self.head(h)


def mlp(sizes=(5, 6, 3), seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.Tanh()]
    return nn.Sequential(*layers[:-1]).double()


def conv(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(12, 3),
    ).double()


def attention(seed=0):
    torch.manual_seed(seed)
    return Attention().double()


def images(n, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 4, 4, generator=g, dtype=torch.float64)
    return x, torch.randint(0, 3, (n,), generator=g)


def points(n, width=5, classes=3, seed=1):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, width, generator=g, dtype=torch.float64)
    return x, torch.randint(0, classes, (n,), generator=g)


def sentences(n, length=5, vocabulary=7, seed=1):
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randint(0, vocabulary, (n, length), generator=g),
        torch.randint(0, vocabulary, (n, length), generator=g),
    )


def flat(module, names=None):
    """The parameters as one vector, and the module as a function of it."""
    named = {k: p.detach() for k, p in module.named_parameters() if names is None or k in names}
    sizes = [p.numel() for p in named.values()]

    def call(theta, *args):
        pieces = theta.split(sizes)
        given = {k: t.view_as(p) for (k, p), t in zip(named.items(), pieces, strict=True)}
        return functional_call(module, given, args)

    return torch.cat([p.reshape(-1) for p in named.values()]), call


def dense_hessian(module, loss, x, y):
    theta, call = flat(module)
    # Backward over backward: in torch 2.13 the forward derivative of LayerNorm's gradient is wrong
    # for its weight, and fused attention has no second derivative at all.
    with sdpa_kernel(SDPBackend.MATH):
        return jacrev(grad(lambda t: loss(call(t, x), y)))(theta)


def dense_jacobian(module, x, names=None):
    """The Jacobian of all outputs, flattened."""
    theta, call = flat(module, names)
    return jacrev(lambda t: call(t, x).reshape(-1))(theta)


def dense_gauss_newton(module, loss, x, y, names=None):
    J = dense_jacobian(module, x, names)
    with torch.no_grad():
        z = module(x)
    H = hessian(lambda u: loss(u.reshape(z.shape), y))(z.reshape(-1))
    return J.T @ H @ J
