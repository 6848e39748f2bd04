"""What a model is differentiated with respect to: parameters of a module, a tree, an activation."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ritz.trees import Structure

__all__ = ["Parameters", "StaleError", "activation", "select"]

Function = Callable[..., Any]


class StaleError(RuntimeError):
    """Products were asked of an operator whose parameters have moved since it was made."""


class Parameters:
    """Leaves θ of a module or a tree, chosen by name, as one vector of `structure`.

    Made by `select`, or from a module, tree or array given as `params`.

    Parameters
    ----------
    source : torch.nn.Module or tree of arrays
        A module stands for its trainable parameters.
    patterns : sequence of str, optional
        Shell-style patterns of dotted names: "blocks.*.attn.*".

    Attributes
    ----------
    structure : Structure
        Of the chosen leaves; a module's are a dict of its names.
    names : tuple of str
        The dotted name of each leaf.

    Raises
    ------
    TypeError, ValueError
        If nothing is chosen, if a pattern matches nothing, or if it matches a frozen parameter.
    """

    structure: Structure
    names: tuple[str, ...]

    def __init__(self, source: Any, patterns: Sequence[str] | None = None) -> None:
        self.source = source
        self.is_module = is_module(source)
        if self.is_module:
            named = dict(source.named_parameters())
            frozen = {name for name, p in named.items() if not p.requires_grad}
            every = list(named)
        else:
            self._whole = Structure.of(source)
            named = dict(zip(self._whole.names, self._whole.leaves(source), strict=True))
            frozen, every = set(), list(self._whole.names)
        self.names = tuple(
            [name for name in every if name not in frozen]
            if patterns is None
            else _matching(patterns, every, frozen)
        )
        if not self.names:
            what = "parameters" if every else "parameters at all"
            reason = "all of them are frozen (requires_grad is False)" if frozen else "it is empty"
            raise ValueError(f"params has no trainable {what}: {reason}")
        chosen = {name: named[name] for name in self.names}
        whole_tree = not self.is_module and len(self.names) == len(every)
        self.structure = self._whole if whole_tree else Structure.of(chosen)
        self.leaves = _detached(chosen.values())
        self._constants = {n: p for n, p in named.items() if n not in chosen}

    @property
    def constants(self) -> list[Any]:
        """The leaves that were not chosen, which stay as they are."""
        return _detached(self._constants.values())

    def narrowed(self, names: Sequence[str]) -> Parameters:
        """Return those of `names` alone."""
        return Parameters(self.source, [_literal(name) for name in names])

    def at(self, source: Any) -> Parameters:
        """Return the same choice from another module or tree."""
        return Parameters(source, [_literal(name) for name in self.names])

    def bind(self, function: Function) -> Function:
        """Return (leaves, constants, *args) ↦ function(source with these leaves, *args)."""
        if self.is_module:
            return _of_module(function, self.source, self.names, tuple(self._constants))
        return _Bound(function, self._whole, self.names)

    def fingerprint(self) -> object:
        """Return what is equal as long as no leaf moves."""
        name = self.structure.framework.name
        if name == "jax":
            return None  # immutable
        if name == "numpy":
            return [leaf.tobytes() for leaf in self.leaves]
        from ritz.frameworks.torch_linear import fingerprint

        if self.is_module:
            named = dict(self.source.named_parameters())
            return fingerprint([named[name] for name in self.names if name in named])
        return fingerprint(self.leaves)


class _Bound:
    """A function of a tree as one of its chosen leaves; equal if it does the same.

    Equality lets compiled code for it be found again from another point.
    """

    def __init__(self, function: Function, whole: Structure, names: tuple[str, ...]) -> None:
        self._function, self._whole, self._names = function, whole, names
        self._key = (function, names, whole.names, whole.shapes)

    def __call__(self, leaves: Sequence[Any], constants: Sequence[Any], *args: Any) -> Any:
        own, rest = iter(leaves), iter(constants)
        chosen = set(self._names)
        every = [next(own) if name in chosen else next(rest) for name in self._whole.names]
        return self._function(self._whole.tree(every), *args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bound) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


def is_module(obj: Any) -> bool:
    """Tell whether an object is a torch.nn.Module, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


def _of_module(
    function: Function, module: Any, names: tuple[str, ...], constants: tuple[str, ...]
) -> Function:
    from ritz.frameworks.torch_modules import stateless

    return stateless(function, module, names, constants)


def _detached(leaves: Any) -> list[Any]:
    return [leaf.detach() if hasattr(leaf, "detach") else leaf for leaf in leaves]


def _literal(name: str) -> str:
    """Return a pattern that matches this name alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _matching(patterns: Sequence[str], every: Sequence[str], frozen: set[str]) -> list[str]:
    chosen: set[str] = set()
    for pattern in patterns:
        found = {name for name in every if fnmatchcase(name, pattern)}
        if not found:
            known = ", ".join(every[:6]) + (", …" if len(every) > 6 else "")
            raise ValueError(f"params: no parameter is called {pattern!r}; there are {known}")
        if stuck := sorted(found & frozen):
            raise ValueError(
                f"params: {stuck[0]!r} is frozen (requires_grad is False); leave it out, or call "
                f"requires_grad_() on it"
            )
        chosen |= found
    return [name for name in every if name in chosen]


def select(source: Any, *patterns: str) -> Parameters:
    """Choose parameters of a module or tree by their dotted names.

    Parameters
    ----------
    source : torch.nn.Module or tree of arrays
    *patterns : str
        Shell-style: "blocks.*.attn.*", "*.weight".

    Returns
    -------
    chosen : Parameters
        To be passed as `params`; the others are constants.

    Raises
    ------
    ValueError
        If a pattern matches nothing, or a frozen parameter.
    """
    if not patterns:
        raise TypeError('select needs a pattern of names, e.g. "*.weight"')
    return Parameters(source, patterns)


def activation(module: Any, name: str, *inputs: Any) -> Parameters:
    """Take the output of one layer, for these inputs, as what a module is differentiated by.

    Parameters
    ----------
    module : torch.nn.Module
    name : str
        The layer's dotted name; its output must be one tensor.
    *inputs
        What the module is called with.

    Returns
    -------
    chosen : Parameters
        One leaf of the activation's shape, to be passed as `params` with the same single batch.

    Raises
    ------
    TypeError, ValueError
        If there is no such layer, or it is not reached exactly once.
    """
    from ritz.frameworks.torch_modules import Activation

    return ActivationParameters(Activation(module, name, inputs))


class ActivationParameters(Parameters):
    """The output of one layer."""

    def __init__(self, source: Any) -> None:
        super().__init__({source.name: source.value})
        self._activation = source

    def bind(self, function: Function) -> Function:
        """Return (leaves, constants, *args) ↦ function(module with this activation, *args)."""
        bound: Function = self._activation.bind(function)
        return bound


def as_parameters(params: Any, model: Any = None) -> Parameters:
    """Return `params` as an argument of an operator's constructor means it.

    None is the trainable parameters of the module `model`; patterns choose among them.
    """
    if isinstance(params, Parameters):
        return params
    if params is None or _is_patterns(params):
        if not is_module(model):
            raise TypeError(
                "params is missing: only a torch.nn.Module has parameters of its own; pass the "
                "tree of arrays that the function takes"
            )
        return Parameters(model, None if params is None else _list(params))
    return Parameters(params)


def _is_patterns(params: Any) -> bool:
    return isinstance(params, str) or (
        isinstance(params, list | tuple)
        and len(params) > 0
        and all(isinstance(p, str) for p in params)
    )


def _list(params: Any) -> list[str]:
    return [params] if isinstance(params, str) else list(params)
