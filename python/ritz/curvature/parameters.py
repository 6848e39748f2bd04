"""What a model is differentiated with respect to: parameters of a module, a tree, an activation."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

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
        Shell-style patterns of dotted names: `"blocks.*.attn.*"`.

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
    #: Whether the leaves are those of a source that may change.
    _moves = True

    def __init__(self, source: Any, patterns: Sequence[str] | None = None) -> None:
        # A compiled module has its parameters' names with a prefix, and no second derivatives.
        self.source = source = getattr(source, "_orig_mod", source) if is_module(source) else source
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
        if self.structure.dtype.kind == "c" and self.structure.framework.name != "numpy":
            raise TypeError(
                f"leaf {self.names[0]!r} has dtype {self.structure.dtype}; derivatives are with "
                "respect to real parameters: pass real and imaginary parts as arrays of their own"
            )
        self.leaves = _detached(chosen.values())
        self._constants = {n: p for n, p in named.items() if n not in chosen}

    @property
    def constants(self) -> list[Any]:
        """The leaves that were not chosen, which stay as they are."""
        return _detached(self._constants.values())

    def narrowed(self, names: Sequence[str]) -> Parameters:
        """Return those of `names` alone, at the same point; the others are constants."""
        there = Parameters(self.source, [_literal(name) for name in names])
        if not self._moves:
            here = dict(zip(self.names, self.leaves, strict=True))
            there.leaves = [here[name] for name in there.names]
            there._constants |= {n: here[n] for n in there._constants if n in here}
            there._moves = False
        return there

    def at(self, point: Any) -> Parameters:
        """Return the same choice at another point: a module, a tree, or a flat vector.

        A tree may be like the whole source, or like the choice alone.
        """
        if point is None:
            raise TypeError(
                "the point is None; pass a module, a tree like these parameters, or a flat vector"
            )
        if isinstance(point, Parameters):
            there = point
        elif self._like_source(point):
            there = Parameters(point, [_literal(name) for name in self.names])
        else:
            there = copy.copy(self)
            structure = self.structure
            # A copy, which nobody writes into.
            flat = structure.framework.copied(structure.native(structure.flat(point)))
            there.leaves, there._moves = list(structure.split(flat)), False
        if (there.names, there.structure.shapes) != (self.names, self.structure.shapes):
            raise ValueError("the point has other names or shapes than these parameters")
        if (came := there.structure).dtype != self.structure.dtype or (
            came.device != self.structure.device
        ):
            raise ValueError(
                f"the point is {came!r}, but these parameters are {self.structure!r}: make a new "
                "operator"
            )
        return there

    def _like_source(self, point: Any) -> bool:
        if self.is_module or is_module(point):
            return is_module(point)
        if hasattr(point, "shape"):
            return self._whole.is_array and tuple(point.shape) == self._whole.shapes[0]
        try:
            self._whole.leaves(point)
        except (TypeError, ValueError):
            return False
        return True

    def bind(self, function: Function) -> Function:
        """Return the function of (leaves, constants, ...) that calls it with these leaves."""
        if self.is_module:
            from ritz.frameworks.torch_modules import stateless

            return stateless(function, self.source, self.names, tuple(self._constants))
        return Bound(function, self._whole, self.names)

    def fingerprint(self) -> object:
        """Return what is equal as long as no leaf moves, and nothing else of the source.

        What was not chosen, and may be large, is not read: of torch's tensors the versions tell,
        which do not see writes through `.data`.
        """
        if not self._moves:
            return None
        framework = self.structure.framework.name
        if self.is_module:
            named = dict(self.source.named_parameters())
        else:
            named = dict(zip(self._whole.names, self._whole.leaves(self.source), strict=True))
        present = [named.get(name) for name in self.names]
        others = [named.get(name) for name in self._constants]
        if framework == "jax":  # arrays cannot change, but a tree's entries can
            return [id(leaf) for leaf in (*present, *others)]
        if framework == "numpy":
            return [np.asarray(leaf).tobytes() for leaf in (*present, *others)]
        from ritz.frameworks.torch_linear import fingerprint
        from ritz.frameworks.torch_modules import running_statistics, versions

        if self.is_module:
            others += running_statistics(self.source)
        return fingerprint([leaf for leaf in present if leaf is not None]), versions(others)


class Bound:
    """A function of a tree as one of its chosen leaves.

    `anchor` is the user's own callable, and `form` tells this function from others of it, so that
    what was compiled for it is found again from another point.
    """

    def __init__(self, function: Function, whole: Structure, names: tuple[str, ...]) -> None:
        self._function, self._whole = function, whole
        self._chosen = set(names)
        self.anchor = getattr(function, "anchor", function)
        self.form = (getattr(function, "form", None), names, whole)

    def __call__(self, leaves: Sequence[Any], constants: Sequence[Any], *args: Any) -> Any:
        own, rest = iter(leaves), iter(constants)
        every = [next(own) if n in self._chosen else next(rest) for n in self._whole.names]
        return self._function(self._whole.tree(every), *args)


def is_module(obj: Any) -> bool:
    """Tell whether an object is a torch.nn.Module, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(obj, torch.nn.Module)


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
        Shell-style: `"blocks.*.attn.*"`, `"*.weight"`.

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
    if not is_module(module):
        raise TypeError(f"module is a {type(module).__name__}; pass a torch.nn.Module")
    from ritz.frameworks.torch_modules import Activation

    return ActivationParameters(Activation(module, name, inputs))


class ActivationParameters(Parameters):
    """The output of one layer."""

    def __init__(self, source: Any) -> None:
        super().__init__({source.name: source.value})
        self._activation = source

    def narrowed(self, names: Sequence[str]) -> Parameters:
        """Return the same: it has one leaf."""
        return self

    def at(self, point: Any) -> Parameters:
        """Return the layer's present output if `point` is the source, or another activation."""
        if point is self.source:
            return ActivationParameters(self._activation.again())
        if tuple(getattr(point, "shape", ())) == self.structure.shapes[0]:
            point = {self.names[0]: point}
        there = copy.copy(self)
        structure = self.structure
        there.leaves = list(structure.split(structure.native(structure.flat(point))))
        there._moves = False
        return there

    def fingerprint(self) -> object:
        """Return what is equal as long as the module's parameters stay."""
        return self._activation.versions() if self._moves else None

    def bind(self, function: Function) -> Function:
        """Return the function of (leaves, constants, ...) that calls it with this activation."""
        bound: Function = self._activation.bind(function)
        return bound


def as_parameters(params: Any, model: Any = None) -> Parameters:
    """Return `params` as an argument of an operator's constructor means it.

    None is the trainable parameters of the module `model`; patterns choose among them.
    """
    if isinstance(params, Parameters):
        return params
    if is_module(model) and not (params is None or _is_patterns(params) or is_module(params)):
        raise TypeError(
            f"params is a {type(params).__name__}, but the model is a module, which has parameters "
            "of its own: pass params=None for all of them, patterns of their names, or "
            "ritz.select(module, ...); the data comes after params"
        )
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
