"""Modules of torch as pure functions of their parameters, and what makes them random."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

__all__ = ["Activation", "random_layers", "running_statistics", "stateless", "versions"]

Function = Callable[..., Any]


class _Caller(nn.Module):  # type: ignore[misc]
    """Calls a function of a module, so that `functional_call` can exchange its parameters."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, function: Function, *args: Any) -> Any:
        return function(self.module, *args)


def stateless(
    function: Function, module: nn.Module, names: Sequence[str], constants: Sequence[str]
) -> Function:
    """Return (leaves, constants, *args) ↦ function(module, *args) with these parameters.

    What was not chosen is passed as well, without its history: a graph would keep it otherwise.
    """
    caller = _Caller(module)
    compiled = any(
        hasattr(m, "_orig_mod") or getattr(m, "_compiled_call_impl", None) for m in module.modules()
    )
    chosen = [f"module.{name}" for name in names]
    others = [f"module.{name}" for name in constants]

    def call(leaves: Sequence[Any], rest: Sequence[Any], *args: Any) -> Any:
        given = dict(zip(chosen, leaves, strict=True)) | dict(zip(others, rest, strict=True))
        with _eagerly() if compiled else nullcontext():
            return functional_call(caller, given, (function, *args))

    return call


def _eagerly() -> AbstractContextManager[Any]:
    """Run compiled parts as they were written: compiled ones have no second derivatives."""
    stance = getattr(torch.compiler, "set_stance", None)  # since torch 2.6
    return nullcontext() if stance is None else stance("force_eager")


def versions(tensors: Sequence[Any]) -> list[tuple[int, int]]:
    """Return addresses and numbers of writes, without reading the tensors."""
    return [
        (t.data_ptr(), -1 if t.is_inference() else t._version) for t in tensors if t is not None
    ]


def running_statistics(module: nn.Module) -> list[Any]:
    """Return the buffers of batch and instance norm: in evaluation they are constants.

    Batch norm writes its means and variances unseen, but counts batches by a write that is seen.
    """
    norms = (m for m in module.modules() if isinstance(m, nn.modules.batchnorm._NormBase))
    return [buffer for m in norms for buffer in m.buffers(recurse=False)]


class Activation:
    """The output of a layer, and the module with that output replaced."""

    def __init__(self, module: nn.Module, name: str, inputs: tuple[Any, ...]) -> None:
        layers = dict(module.named_modules())
        if name not in layers or not name:
            known = ", ".join(list(layers)[1:7])
            raise ValueError(f"name is {name!r}; the module's layers are {known}, …")
        self.name = name
        self._module, self._layer, self._inputs = module, layers[name], inputs
        seen: list[Any] = []
        handle = self._layer.register_forward_hook(lambda _layer, _args, out: seen.append(out))
        try:
            with torch.no_grad():
                module(*inputs)
        finally:
            handle.remove()
        if len(seen) != 1 or not isinstance(seen[0], torch.Tensor):
            raise ValueError(
                f"layer {name!r} ran {len(seen)} times with these inputs and must run once, giving "
                "one tensor"
            )
        self.value = seen[0].detach()

    def again(self) -> Activation:
        """Return it at the module's present parameters."""
        return Activation(self._module, self.name, self._inputs)

    def versions(self) -> list[tuple[int, int]]:
        """Return what changes when the module's parameters are written to."""
        return versions(list(self._module.parameters()))

    def bind(self, function: Function) -> Function:
        """Return (leaves, constants, *args) ↦ function(module, *args) with the output replaced."""

        def call(leaves: Sequence[Any], _constants: Sequence[Any], *args: Any) -> Any:
            (value,) = leaves
            handle = self._layer.register_forward_hook(lambda _layer, _args, _out: value)
            try:
                return function(self._module, *args)
            finally:
                handle.remove()

        return call


def random_layers(module: nn.Module) -> list[str]:
    """Return the layers whose output in their present mode depends on chance or on the batch."""
    found: list[str] = []
    if not any(layer.training for layer in module.modules()):
        return found
    for name, layer in module.named_modules():
        if not layer.training:
            continue
        kind = type(layer).__name__
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            found.append(f"{name or 'the module'} ({kind} in training mode)")
        elif (isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0) or (
            isinstance(layer, nn.RNNBase | nn.MultiheadAttention | nn.TransformerEncoderLayer)
            and getattr(layer, "dropout", 0)
            and not isinstance(getattr(layer, "dropout", 0), nn.Module)
        ):
            found.append(f"{name or 'the module'} ({kind} with dropout in training mode)")
    return found
