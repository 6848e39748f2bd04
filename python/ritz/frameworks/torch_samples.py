"""Gradients of each sample of a batch with respect to any parameters, by vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ritz.frameworks.torch import TORCH

__all__ = ["SampleGradients", "agree"]

# Elements of gradients that are formed at once: 32 MB in float64.
_CHUNK = 1 << 22


class SampleGradients:
    """Jᵢᵀ uᵢ of the samples i of a model z = f(leaves, constants, x), for some of the leaves.

    Parameters
    ----------
    function : callable
        (leaves, constants, x) ↦ z with the samples along the first axes of x and z.
    leaves, constants : lists of tensors
    chosen : sequence of int
        The leaves that are differentiated by.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        leaves: Sequence[Any],
        constants: Sequence[Any],
        chosen: Sequence[int],
    ) -> None:
        self._function, self._leaves, self._constants = function, leaves, constants
        self.chosen = list(chosen)

    def parts(self, x: Any, u: Any, n: int) -> Any:
        """Yield for a few samples after another the gradients (k, *shape) by each leaf."""
        _, arrays, spec = TORCH.tree_flatten(x)
        by_sample = [isinstance(a, torch.Tensor) and a.ndim and a.shape[0] == n for a in arrays]
        arrays = [a.unsqueeze(1) if b else a for a, b in zip(arrays, by_sample, strict=True)]
        u = u.reshape(n, u.shape[0] // n, *u.shape[1:])
        own = [self._leaves[i] for i in self.chosen]

        def gradient(varying: list[Any], seed: Any) -> Any:
            given = iter(varying)
            mixed = [next(given) if b else a for a, b in zip(arrays, by_sample, strict=True)]
            inputs = TORCH.tree_unflatten(spec, mixed)

            def output(chosen: list[Any]) -> Any:
                every = list(self._leaves)
                for i, leaf in zip(self.chosen, chosen, strict=True):
                    every[i] = leaf
                return self._function(every, self._constants, inputs)

            return torch.func.vjp(output, own)[1](seed)[0]

        varying = [a for a, b in zip(arrays, by_sample, strict=True) if b]
        step = max(1, _CHUNK // max(1, sum(leaf.numel() for leaf in own)))
        # The fused kernels of attention have no rule for vmap.
        with sdpa_kernel(SDPBackend.MATH):
            for first in range(0, n, step):
                some = slice(first, first + step)
                yield torch.func.vmap(gradient)([a[some] for a in varying], u[some])

    def squares(self, x: Any, u: Any, n: int) -> dict[int, Any]:
        """Return by leaf the squares of the gradients, summed over samples, as float64."""
        sums: dict[int, Any] = {}
        if not self.chosen:
            return sums
        for gradients in self.parts(x, u, n):
            for i, g in zip(self.chosen, gradients, strict=True):
                sums[i] = sums.get(i, 0.0) + g.square().sum(0, dtype=torch.float64)
        return sums

    def check(self, x: Any, z: Any, leaves: Sequence[Any], n: int) -> None:
        """Raise ValueError unless the samples' gradients add up to that of the batch output z."""
        if not self.chosen:
            return
        generator = torch.Generator().manual_seed(0)
        u = torch.randn(z.shape, generator=generator, dtype=z.dtype).to(z.device)
        own = [leaves[i] for i in self.chosen]
        true = torch.autograd.grad(z, own, u, retain_graph=True, materialize_grads=True)
        sums = [torch.zeros_like(leaf) for leaf in own]
        for gradients in self.parts(x, u, n):
            sums = [s + g.sum(0) for s, g in zip(sums, gradients, strict=True)]
        for s, t in zip(sums, true, strict=True):
            if not agree(s, t):
                raise ValueError(
                    "the gradients of single samples do not add up to that of the batch: the "
                    "model mixes samples, or they are not along the first axis of its inputs; the "
                    "exact diagonal needs independent samples: use ritz.diagonal"
                )


def agree(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two ways to the same gradient agree to half of the digits or so.

    That leaves room for convolutions in TensorFloat-32, but for no missing term.
    """
    tolerance = torch.finfo(a.dtype).eps ** 0.4
    return bool((a - b).norm() <= tolerance * (a.norm() + b.norm()))
