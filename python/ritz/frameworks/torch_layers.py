"""Layers of a torch module: what goes into them, what comes back, and their gradients by sample.

The gradient of a sample with respect to a layer's parameters is a sum over the positions r at which
the sample passes the layer, of (gradient of the output at r) times (input at r). Both are recorded
here as rows: inputs a of shape (N, R, ·), output gradients g of shape (N, R, ·).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Affine", "Embedding", "Layer", "Norm", "layers_of", "squares"]

# Elements of per-sample gradients that are formed at once: 32 MB in float64.
_CHUNK = 1 << 22


class Layer:
    """A module, and the places of its chosen parameters among the leaves.

    Attributes
    ----------
    name : str
        Its dotted name.
    leaves : dict of str to int
        The leaf of "weight" and of "bias", as far as chosen.
    """

    #: The modules that a class stands for.
    kinds: tuple[type[nn.Module], ...]

    def __init__(self, name: str, module: nn.Module, leaves: dict[str, int]) -> None:
        self.name, self.module, self.leaves = name, module, leaves

    def inputs(self, x: Any, n: int) -> Any:
        """Return what entered the layer in one call as rows (n, R, ·)."""
        raise NotImplementedError

    def outputs(self, g: Any, n: int) -> Any:
        """Return the gradient of what left it as rows (n, R, ·)."""
        return g.reshape(n, -1, g.shape[-1])

    def gradients(self, a: Any, g: Any) -> dict[str, Any]:
        """Return each sample's gradient of each chosen parameter, (n, *shape)."""
        result = {}
        for role in self.leaves:
            gradient = self._weight(a, g) if role == "weight" else g.sum(1)
            result[role] = gradient.reshape(-1, *getattr(self.module, role).shape)
        return result

    def _weight(self, a: Any, g: Any) -> Any:
        raise NotImplementedError

    def squares(self, a: Any, g: Any) -> dict[str, Any]:
        """Return the squares of `gradients`, summed over the samples, as float64."""
        result = {}
        if "weight" in self.leaves:
            result["weight"] = self._weight_squares(a, g)
        if "bias" in self.leaves:
            bias = g.sum(1).square().sum(0, dtype=torch.float64)
            result["bias"] = bias.reshape(self.module.bias.shape)
        return result

    def _weight_squares(self, a: Any, g: Any) -> Any:
        weight = self._weight(a, g).square().sum(0, dtype=torch.float64)
        return weight.reshape(self.module.weight.shape)


class Affine(Layer):
    """W a + b: nn.Linear, and nn.Conv1d, 2d, 3d with the patches of each output position as a."""

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

    @property
    def groups(self) -> int:
        """Groups of channels that do not mix; 1 for a linear layer."""
        return int(getattr(self.module, "groups", 1))

    def inputs(self, x: Any, n: int) -> Any:
        """Return the rows (n, R, groups · d), d entries a group."""
        if isinstance(self.module, nn.Linear):
            return x.reshape(n, -1, x.shape[-1])
        module: Any = self.module
        kernel, spatial = module.kernel_size, len(module.kernel_size)
        x = functional.pad(x, _padding(module), _padding_mode(module))
        for i, (k, stride, dilation) in enumerate(
            zip(kernel, module.stride, module.dilation, strict=True)
        ):
            x = x.unfold(2 + i, (k - 1) * dilation + 1, stride)[..., ::dilation]
        # (N, C, o1, …, k1, …): positions forward, then the entries of a patch in a weight's order.
        x = x.permute(0, *range(2, 2 + spatial), 1, *range(2 + spatial, 2 + 2 * spatial))
        return x.reshape(n, -1, module.in_channels * _product(kernel))

    def outputs(self, g: Any, n: int) -> Any:
        """Return the rows (n, R, outputs)."""
        if not isinstance(self.module, nn.Linear):
            g = g.movedim(1, -1)
        return super().outputs(g, n)

    def _weight(self, a: Any, g: Any) -> Any:
        n, rows, _ = a.shape
        a = a.reshape(n, rows, self.groups, -1)
        g = g.reshape(n, rows, self.groups, -1)
        return torch.einsum("nrgo,nrgi->ngoi", g, a)

    def _weight_squares(self, a: Any, g: Any) -> Any:
        n, rows, _ = a.shape
        a = a.reshape(n, rows, self.groups, -1).unbind(2)
        g = g.reshape(n, rows, self.groups, -1).unbind(2)
        weight = torch.cat([squares(b, h) for b, h in zip(a, g, strict=True)])
        return weight.reshape(self.module.weight.shape)


class Norm(Layer):
    """w ⊙ x̂ + b with x̂ the normalised input: layer, group, RMS norm, batch norm in evaluation."""

    kinds = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)

    def inputs(self, x: Any, n: int) -> Any:
        """Return x̂ as rows (n, R, ·)."""
        m: Any = self.module
        if isinstance(m, nn.LayerNorm):
            x = functional.layer_norm(x, m.normalized_shape, eps=m.eps)
        elif isinstance(m, nn.RMSNorm):
            x = functional.rms_norm(x, m.normalized_shape, eps=m.eps)
        elif isinstance(m, nn.GroupNorm):
            x = functional.group_norm(x, m.num_groups, eps=m.eps)
        else:
            x = functional.batch_norm(x, m.running_mean, m.running_var, eps=m.eps)
        return self.outputs(x, n)

    def outputs(self, g: Any, n: int) -> Any:
        """Return the rows (n, R, ·)."""
        if not isinstance(self.module, nn.LayerNorm | nn.RMSNorm):
            g = g.movedim(1, -1)
        return g.reshape(n, -1, self.module.weight.numel())

    def _weight(self, a: Any, g: Any) -> Any:
        return (a * g).sum(1)


class Embedding(Layer):
    """Rows of a table, by their indices."""

    kinds = (nn.Embedding,)

    def inputs(self, x: Any, n: int) -> Any:
        """Return the indices (n, R)."""
        return x.reshape(n, -1)

    def _weight(self, a: Any, g: Any) -> Any:
        n, rows = a.shape
        table: Any = self.module
        weight = g.new_zeros(n * table.num_embeddings, g.shape[-1])
        weight.index_add_(0, self._places(a), self._live(a, g).reshape(n * rows, -1))
        return weight

    def _weight_squares(self, a: Any, g: Any) -> Any:
        # Each sample has few of the rows: only those that it has are summed, then squared.
        table: Any = self.module
        present, where = torch.unique(self._places(a), return_inverse=True)
        sums = g.new_zeros(len(present), g.shape[-1])
        sums.index_add_(0, where, self._live(a, g).reshape(where.numel(), -1))
        result = g.new_zeros(table.weight.shape, dtype=torch.float64)
        return result.index_add_(0, present % table.num_embeddings, sums.double().square())

    def _places(self, a: Any) -> Any:
        table: Any = self.module
        first = torch.arange(a.shape[0], device=a.device) * table.num_embeddings
        return (first[:, None] + a).reshape(-1)

    def _live(self, a: Any, g: Any) -> Any:
        padding = self.module.padding_idx
        return g if padding is None else g * (a != padding)[..., None]


def _product(sizes: Sequence[int]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _padding(module: Any) -> list[int]:
    """Return the padding of a convolution as `torch.nn.functional.pad` takes it."""
    pairs = []
    for i, (k, dilation) in enumerate(zip(module.kernel_size, module.dilation, strict=True)):
        if isinstance(module.padding, str):
            total = dilation * (k - 1) if module.padding == "same" else 0
            pairs.append((total // 2, total - total // 2))
        else:
            pairs.append((module.padding[i], module.padding[i]))
    return [p for pair in reversed(pairs) for p in pair]


def _padding_mode(module: Any) -> str:
    mode: str = module.padding_mode
    return "constant" if mode == "zeros" else mode


def squares(a: Any, g: Any) -> Any:
    """Return Σ_n (Σ_r g_nr a_nrᵀ)², squared by element, as float64.

    Parameters
    ----------
    a, g : tensors (N, R, i) and (N, R, o)

    Returns
    -------
    tensor (o, i)
    """
    n, rows, i = a.shape
    o = g.shape[-1]
    if rows == 1:
        return (g[:, 0].square().mT @ a[:, 0].square()).double()
    total = g.new_zeros((o, i), dtype=torch.float64)
    step = max(1, _CHUNK // (o * i))
    for first in range(0, n, step):
        gradients = g[first : first + step].mT @ a[first : first + step]
        total += gradients.square().sum(0, dtype=torch.float64)
    return total


_KINDS: tuple[type[Layer], ...] = (Affine, Norm, Embedding)


def layers_of(
    module: nn.Module, names: Sequence[str], kinds: Sequence[type[Layer]] = _KINDS
) -> tuple[list[Layer], list[int]]:
    """Return the layers that own the parameters of these names, and the leaves of no such layer.

    A parameter that several layers share belongs to none.
    """
    leaf_of = {name: i for i, name in enumerate(names)}
    named = dict(module.named_parameters())
    leaf = {id(named[name]): leaf_of[name] for name in names}
    owned: dict[int, int] = {}
    found = []
    for name, layer in module.named_modules():
        leaves = {
            role: leaf[id(p)]
            for role, p in layer.named_parameters(recurse=False, remove_duplicate=False)
            if id(p) in leaf
        }
        for i in leaves.values():
            owned[i] = owned.get(i, 0) + 1
        kind = next((k for k in kinds if isinstance(layer, k.kinds)), None)
        # What parametrizes a layer has parameters of its own, elsewhere.
        if kind is not None and leaves:
            found.append(kind(name, layer, leaves))
    layers = [la for la in found if all(owned[i] == 1 for i in la.leaves.values())]
    taken = {i for layer in layers for i in layer.leaves.values()}
    return layers, [i for i in range(len(names)) if i not in taken]
