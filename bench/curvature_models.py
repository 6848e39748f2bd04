"""The three models of bench/curvature.py, in torch and in JAX: same layers, same sizes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

NAMES = ("mlp", "conv", "transformer")
MLP = (784, 256, 256, 10)
CHANNELS = (3, 32, 32, 64)
VOCABULARY, TOKENS, WIDTH, LAYERS, HEADS = 256, 32, 64, 2, 4
BATCH = {"mlp": 256, "conv": 64, "transformer": 16}


def in_torch(name: str) -> tuple[Any, Any, Any]:
    """Return a module, a batch of inputs, and class indices, one a row of the module's output."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    n = BATCH[name]
    if name == "mlp":
        layers = [nn.Linear(MLP[0], MLP[1]), nn.ReLU(), nn.Linear(MLP[1], MLP[2]), nn.ReLU()]
        module = nn.Sequential(*layers, nn.Linear(MLP[2], MLP[3]))
        return module, torch.randn(n, MLP[0]), torch.randint(0, MLP[3], (n,))
    if name == "conv":
        layers = []
        for a, b in itertools.pairwise(CHANNELS):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), nn.ReLU()]
        layers += [nn.AvgPool2d(4), nn.Flatten()]
        module = nn.Sequential(*layers, nn.Linear(CHANNELS[-1], 10))
        return module, torch.randn(n, 3, 32, 32), torch.randint(0, 10, (n,))

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

        def forward(self, h: Any) -> Any:
            def heads(a: Any) -> Any:
                return a.unflatten(-1, (HEADS, -1)).transpose(1, 2)

            q, k, v = map(heads, self.qkv(self.norm1(h)).chunk(3, -1))
            scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
            later = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
            attention = scores.masked_fill(later, -torch.inf).softmax(-1) @ v
            h = h + self.out(attention.transpose(1, 2).flatten(-2))
            return h + self.down(nn.functional.gelu(self.up(self.norm2(h))))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(VOCABULARY, WIDTH)
            self.positions = nn.Parameter(0.1 * torch.randn(TOKENS, WIDTH))
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
            self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

        def forward(self, x: Any) -> Any:
            h = self.blocks(self.tokens(x) + self.positions)
            return self.head(self.norm(h)).flatten(0, 1)

    return (
        Transformer(),
        torch.randint(0, VOCABULARY, (n, TOKENS)),
        torch.randint(0, VOCABULARY, (n * TOKENS,)),
    )


def in_jax(name: str) -> tuple[Any, Any, Any, Any]:
    """Return a function (params, x) ↦ z, its parameters, a batch of inputs, and class indices."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    n = BATCH[name]

    def normal(*shape: int, scale: float = 1.0) -> Any:
        return jnp.asarray(scale * rng.standard_normal(shape), jnp.float32)

    def linear(a: int, b: int) -> dict[str, Any]:
        return {"w": normal(a, b, scale=a**-0.5), "b": jnp.zeros(b)}

    def times(p: Any, x: Any) -> Any:
        return x @ p["w"] + p["b"]

    def integers(below: int, *shape: int) -> Any:
        return jnp.asarray(rng.integers(0, below, shape))

    if name == "mlp":
        params: Any = [linear(a, b) for a, b in itertools.pairwise(MLP)]

        def mlp(params: Any, x: Any) -> Any:
            for p in params[:-1]:
                x = jax.nn.relu(times(p, x))
            return times(params[-1], x)

        return mlp, params, normal(n, MLP[0]), integers(MLP[-1], n)
    if name == "conv":
        params = [
            {"w": normal(3, 3, a, b, scale=(9 * a) ** -0.5), "b": jnp.zeros(b)}
            for a, b in itertools.pairwise(CHANNELS)
        ]
        params.append(linear(CHANNELS[-1], 10))

        def conv(params: Any, x: Any) -> Any:
            for p in params[:-1]:
                x = jax.lax.conv_general_dilated(
                    x, p["w"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                x = jax.nn.relu(x + p["b"])
            return times(params[-1], x.mean((1, 2)))

        return conv, params, normal(n, 32, 32, 3), integers(10, n)

    def block() -> dict[str, Any]:
        return {
            "norm1": {"w": jnp.ones(WIDTH), "b": jnp.zeros(WIDTH)},
            "qkv": linear(WIDTH, 3 * WIDTH),
            "out": linear(WIDTH, WIDTH),
            "norm2": {"w": jnp.ones(WIDTH), "b": jnp.zeros(WIDTH)},
            "up": linear(WIDTH, 4 * WIDTH),
            "down": linear(4 * WIDTH, WIDTH),
        }

    def norm(p: Any, x: Any) -> Any:
        centred = x - x.mean(-1, keepdims=True)
        scale = jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred * scale * p["w"] + p["b"]

    def transformer(params: Any, x: Any) -> Any:
        h = params["tokens"][x] + params["positions"]
        later = ~jnp.tril(jnp.ones((TOKENS, TOKENS), bool))
        for p in params["blocks"]:
            qkv = times(p["qkv"], norm(p["norm1"], h))
            q, k, v = qkv.reshape(n, TOKENS, 3, HEADS, -1).transpose(2, 0, 3, 1, 4)
            scores = q @ k.transpose(0, 1, 3, 2) / (WIDTH // HEADS) ** 0.5
            attention = jax.nn.softmax(jnp.where(later, -jnp.inf, scores)) @ v
            h = h + times(p["out"], attention.transpose(0, 2, 1, 3).reshape(h.shape))
            up = times(p["up"], norm(p["norm2"], h))
            h = h + times(p["down"], jax.nn.gelu(up, approximate=False))
        return times(params["head"], norm(params["norm"], h)).reshape(-1, VOCABULARY)

    params = {
        "tokens": normal(VOCABULARY, WIDTH),
        "positions": normal(TOKENS, WIDTH, scale=0.1),
        "blocks": [block() for _ in range(LAYERS)],
        "norm": {"w": jnp.ones(WIDTH), "b": jnp.zeros(WIDTH)},
        "head": linear(WIDTH, VOCABULARY),
    }
    return (
        transformer,
        params,
        integers(VOCABULARY, n, TOKENS),
        integers(VOCABULARY, n * TOKENS),
    )
