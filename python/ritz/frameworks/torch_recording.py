"""One forward pass of a batch, recorded for the gradients of its layers by sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ritz.frameworks.torch_layers import Layer
from ritz.frameworks.torch_products import recording
from ritz.frameworks.torch_samples import agree

__all__ = ["Recording"]


class Recording:
    """One forward pass of a batch: the output, and what the layers need for their gradients.

    Parameters
    ----------
    layers : sequence of Layer
    forward : callable
        Runs the model; called once.
    n : int
        The number of samples.

    Attributes
    ----------
    z : tensor
        The output, with its graph.
    reached : list of Layer
        The layers that ran, and whose output has gradients.
    """

    def __init__(self, layers: Sequence[Layer], forward: Callable[[], Any], n: int) -> None:
        self.n = n
        calls: dict[Layer, list[tuple[Any, Any, Any]]] = {layer: [] for layer in layers}
        handles = [
            layer.module.register_forward_hook(_recorder(calls[layer]), with_kwargs=True)
            for layer in layers
        ]
        try:
            with recording():
                self.z = forward()
        finally:
            for handle in handles:
                handle.remove()
        self.reached = [layer for layer in layers if calls[layer]]
        self._calls = calls
        self._edges = [edge for layer in self.reached for _, edge, _ in calls[layer]]

    def fits(self, layer: Layer) -> bool:
        """Whether the leading axes of a layer's inputs and outputs can be those of the samples."""
        return all(
            x.ndim and shape and x.shape[0] % self.n == 0 and shape[0] % self.n == 0
            for x, _, shape in self._calls[layer]
        )

    def inputs(self, layer: Layer, samples: int | None = None) -> Any:
        """Return the rows that entered a layer, of all calls; only the first `samples` if given."""
        n = self.n if samples is None else samples
        with torch.no_grad():
            parts = [x[: n * (len(x) // self.n)] for x, _, _ in self._calls[layer]]
            return torch.cat([layer.inputs(x, n) for x in parts], dim=1)

    def backward(self, u: Any) -> dict[Layer, Any]:
        """Return by layer the rows of the gradient of ⟨u, z⟩ at its outputs, where it fits."""
        if not self.reached:
            return {}
        found = iter(
            torch.autograd.grad(self.z, self._edges, u, retain_graph=True, allow_unused=True)
        )
        result = {}
        for layer in self.reached:
            gradients = [(next(found), shape) for _, _, shape in self._calls[layer]]
            if self.fits(layer):
                rows = [
                    layer.outputs(u.new_zeros(shape) if g is None else g, self.n)
                    for g, shape in gradients
                ]
                result[layer] = torch.cat(rows, dim=1)
        return result

    def faults(self, leaves: Sequence[Any]) -> list[tuple[Layer, str]]:
        """Return the layers whose rows do not give their parameters' gradients, and why.

        The gradient of a random combination of the first sample's outputs is compared with that
        of autograd, and the other samples' rows must not take part in it.
        """
        if not self.reached:
            return []
        u = torch.zeros_like(self.z).reshape(self.n, -1)
        generator = torch.Generator().manual_seed(0)
        u[0] = torch.randn(u.shape[1], generator=generator, dtype=u.dtype).to(u.device)
        u = u.reshape(self.z.shape)
        places = [(layer, role) for layer in self.reached for role in layer.leaves]
        wanted = [leaves[layer.leaves[role]] for layer, role in places]
        found = torch.autograd.grad(self.z, wanted, u, retain_graph=True, allow_unused=True)
        true = dict(zip(places, found, strict=True))
        rows = self.backward(u)
        result = []
        for layer in self.reached:
            if layer not in rows or rows[layer][1:].any():
                result.append((layer, _MIXES))
                continue
            own = layer.gradients(self.inputs(layer, 1), rows[layer][:1])
            if any(_differ(own[role][0], true[layer, role]) for role in layer.leaves):
                result.append((layer, _ELSEWHERE))
        return result


_MIXES = (
    "the samples of a batch meet there, or are not along the first axis of what goes in and comes "
    "out"
)
_ELSEWHERE = "its parameters are also used outside of the layer's own call"


def _differ(mine: torch.Tensor, true: torch.Tensor | None) -> bool:
    if true is None:
        return bool(mine.any())
    return not agree(mine, true)


def _recorder(calls: list[tuple[Any, Any, Any]]) -> Callable[..., None]:
    def record(_module: Any, args: Any, kwargs: Any, output: Any) -> None:
        x = args[0] if args else next(iter(kwargs.values()))
        if output.requires_grad:
            # The edge, not the tensor: what is done to the output in place comes after it.
            edge = torch.autograd.graph.get_gradient_edge(output)
            calls.append((x.detach(), edge, tuple(output.shape)))

    return record
