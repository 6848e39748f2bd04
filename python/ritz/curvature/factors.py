"""Kronecker factors of layers, from the rows that passes over the data record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ritz.curvature.gauss_newton import OutputSum
from ritz.curvature.kronecker import KroneckerBlock, nearest_kronecker
from ritz.curvature.layerwise import Pass, normalisation, passes

if TYPE_CHECKING:
    from ritz.frameworks.torch_layers import Affine

__all__ = ["APPROXIMATIONS", "SHARINGS", "factored"]

APPROXIMATIONS = ("kfac", "ekfac", "kfoc")
SHARINGS = ("expand", "reduce")

# Elements of the products between positions that KFOC forms at once.
_CHUNK = 1 << 22


@dataclass
class _Part:
    """Parameters of a layer that share one block, and what was summed up for them."""

    layer: Affine
    roles: tuple[str, ...]
    name: str
    A: Any = 0.0
    B: Any = 0.0
    positions: float = 0.0
    eigenvalues: Any = 0.0
    #: Rows (a, g) of each column of each batch, for KFOC.
    rows: list[tuple[Any, Any]] = field(default_factory=list)

    @property
    def leaves(self) -> tuple[int, ...]:
        return tuple(self.layer.leaves[role] for role in self.roles)

    def inputs(self, a: Any) -> Any:
        """Return a with the constant input of the bias, as far as they are of this block."""
        from torch.nn.functional import pad

        if "weight" not in self.roles:
            return a.new_ones(*a.shape[:-1], 1)
        return pad(a, (0, 1), value=1.0) if "bias" in self.roles else a


def factored(
    total: OutputSum, approximation: str, reduce: bool, separate_bias: bool
) -> list[KroneckerBlock]:
    """Return the blocks of the layers that own the parameters of `total`."""
    parts = _parts(total, separate_bias)
    scale = _sum_factors(total, parts, reduce, approximation == "kfoc")
    for part in parts:
        positions = float(total.data.total(part.positions))
        part.A = total.data.total(part.A) / max(positions, 1.0)
        part.B = total.data.total(part.B) * scale
    dtype = total.leaves[0].dtype
    if approximation == "kfoc":
        rtol = max(1e-12, float(np.finfo(total.structure.dtype).eps))
        for part in parts:
            contract = _contraction(total, part, scale)
            part.A, part.B = nearest_kronecker(part.A, part.B, contract, rtol)
            part.rows.clear()
    blocks = [KroneckerBlock(p.name, p.leaves, p.A, p.B, dtype) for p in parts]
    if approximation != "ekfac":
        return blocks
    _sum_eigenvalues(total, parts, blocks)
    return [
        KroneckerBlock(p.name, p.leaves, p.A, p.B, dtype, total.data.total(p.eigenvalues) * scale)
        for p in parts
    ]


def _parts(total: OutputSum, separate_bias: bool) -> list[_Part]:
    """Return the parts of all layers; refuse parameters that K-FAC has nothing for."""
    from ritz.frameworks.torch_layers import Affine, layers_of

    names = total.parameters.names
    found, rest = layers_of(total.parameters.source, names, [Affine])
    layers = [layer for layer in found if isinstance(layer, Affine)]
    grouped = {i for layer in layers if layer.groups > 1 for i in layer.leaves.values()}
    if rest or grouped:
        first = names[min([*rest, *grouped])]
        raise ValueError(
            f"params: {first!r} is not of an nn.Linear or nn.Conv1d, 2d, 3d without groups, or is "
            "shared between layers; K-FAC is for these: choose the others by patterns of names, "
            'e.g. params=["layers.*.weight"]'
        )
    parts = []
    for layer in layers:
        roles = tuple(role for role in ("weight", "bias") if role in layer.leaves)
        if not separate_bias or len(roles) == 1:
            parts.append(_Part(layer, roles, layer.name))
        else:
            parts += [_Part(layer, (r,), f"{layer.name}.{r}".lstrip(".")) for r in roles]
    return parts


def _sum_factors(total: OutputSum, parts: Sequence[_Part], reduce: bool, keep: bool) -> float:
    """Sum up A and B in one pass over the data, and return the factor of B."""
    terms = samples = 0.0
    for each, here in _recorded(total, parts):
        terms, samples = terms + each.terms, samples + each.samples
        live = each.live_terms()
        inputs = [part.inputs(each.recording.inputs(part.layer)) for part in here]
        for part, a in zip(here, inputs, strict=True):
            weight = _position_weights(live, a.shape[1])
            if reduce:
                a, weight = a.mean(1, keepdim=True), weight.any(1, keepdim=True)
            part.positions += float(weight.sum())
            part.A = part.A + _gram(a if weight.all() else a * weight[..., None])
        for u in each.columns(joint=True):
            g = each.recording.backward(u)
            for part, a in zip(here, inputs, strict=True):
                rows = g[part.layer]
                if keep:
                    part.rows.append(_shortened(a, rows))
                part.B = part.B + _gram(rows.sum(1, keepdim=True) if reduce else rows)
    return normalisation(total, terms, samples)


def _sum_eigenvalues(
    total: OutputSum, parts: Sequence[_Part], blocks: Sequence[KroneckerBlock]
) -> None:
    """Sum up the squares of the gradients' components along the eigenvectors, in a second pass."""
    from ritz.frameworks.torch_layers import squares

    bases = {block.name: tuple(U.to(block.dtype) for _, U in block.bases) for block in blocks}
    for each, here in _recorded(total, parts):
        inputs = [
            part.inputs(each.recording.inputs(part.layer)) @ bases[part.name][0] for part in here
        ]
        for u in each.columns(joint=True):
            g = each.recording.backward(u)
            for part, a in zip(here, inputs, strict=True):
                along = squares(a, g[part.layer] @ bases[part.name][1])
                part.eigenvalues = part.eigenvalues + along


def _recorded(total: OutputSum, parts: Sequence[_Part]) -> Iterator[tuple[Pass, list[_Part]]]:
    """Yield the passes over batches, and the parts whose layers ran; the first one is checked."""
    layers = list(dict.fromkeys(part.layer for part in parts))
    for each in passes(total, layers):
        recording = each.recording
        if each.first:
            if missing := [layer for layer in layers if layer not in recording.reached]:
                raise ValueError(
                    f"layer {missing[0].name!r} was not called by the model, so that K-FAC has "
                    "nothing for its parameters: leave them out by patterns of names in params"
                )
            if faults := recording.faults(each.leaves):
                layer, fault = faults[0]
                raise ValueError(f"layer {layer.name!r}: {fault}; leave its parameters out")
        yield each, [part for part in parts if part.layer in recording.reached]


def _position_weights(live: Any, positions: int) -> Any:
    """Return which positions (n, R) of a layer count: all of samples with a term that does.

    Where terms have positions of their own and the layer the same ones, each counts by itself.
    """
    if live.shape[1] == positions:
        return live
    return live.any(1, keepdim=True).expand(-1, positions)


def _gram(rows: Any) -> Any:
    """Return Σ r rᵀ over all rows, as float64."""
    rows = rows.reshape(-1, rows.shape[-1])
    return (rows.mT @ rows).double()


def _shortened(a: Any, g: Any) -> tuple[Any, Any]:
    """Return rows (n, R, i) and (n, R, o) with the same gᵀ a, and R at most o and i."""
    rows, o, i = a.shape[1], g.shape[2], a.shape[2]
    if rows <= min(o, i):
        return a, g
    axis = g if o <= i else a
    eye = axis.new_ones(axis.shape[2]).diag().expand(len(axis), -1, -1)
    return (g.mT @ a, eye) if o <= i else (eye, a.mT @ g)


def _contraction(total: OutputSum, part: _Part, scale: float) -> Callable[[Any, bool], Any]:
    """Return the contractions of the block (scale) Σ vec(G) vec(G)ᵀ, G = gᵀ a, with B or A."""

    def contract(M: Any, with_B: bool) -> Any:
        result = 0.0
        M = M.to(total.leaves[0].dtype)
        for a, g in part.rows:
            outer, inner = (a, g) if with_B else (g, a)
            step = max(1, _CHUNK // a.shape[1] ** 2)
            for first in range(0, a.shape[0], step):
                p, q = outer[first : first + step], inner[first : first + step]
                between = (q @ M) @ q.mT @ p  # (R, R) between positions, times the rows
                result = result + (p.flatten(0, 1).mT @ between.flatten(0, 1)).double()
        summed = total.data.total(result) * scale
        return (summed + summed.mT) / 2.0

    return contract
