"""What torch computes with tangents, recorded once and replayed without autograd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Replay", "Tape", "Untraceable"]

Tensor = Any  # torch's own annotations are not checked here

_aten = torch.ops.aten
# What forward mode asks of a tangent before it stores it: nothing about its values.
_METADATA = {_aten.is_same_size.default, _aten._has_same_storage_numel.default}
# Of each product, what adds it to a tensor: to a new one, and in place.
_ADDED = {
    _aten.mm.default: (_aten.addmm.default, _aten.addmm_.default),
    _aten.bmm.default: (_aten.baddbmm.default, _aten.baddbmm_.default),
}


class Untraceable(RuntimeError):
    """The function does with tangents what a replay cannot repeat."""


class _Step(NamedTuple):
    function: Callable[..., Any]
    arguments: list[Any]  # of each tensor with a tangent, None
    places: list[tuple[int, int]]  # (where, slot) of those
    spec: Any  # how `arguments` become args and kwargs; None: they are the args
    results: list[int]
    single: bool
    shares: bool  # memory: the results with the arguments
    writes: bool
    last: Sequence[int]  # slots that nothing uses after this step


class Tape(TorchDispatchMode):  # type: ignore[misc]
    """While it is entered, records every operation on the tangents and on what came of them.

    Everything else just runs: what recorded operations use of it are constants of the replay.

    Parameters
    ----------
    tangents : sequence of tensors
        The inputs of the linear map.
    """

    def __init__(self, tangents: Sequence[Tensor]) -> None:
        super().__init__()
        # By slot. Tensors are known by their id, and kept alive so that no other can have it.
        self._alive: list[Tensor] = list(tangents)
        self._slots = {id(t): i for i, t in enumerate(tangents)}
        self._inputs = len(tangents)
        self._constants: dict[int, tuple[Tensor, int]] = {}
        self._steps: list[_Step] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and record it if a tangent is among its arguments."""
        kwargs = kwargs or {}
        flat, spec = pytree.tree_flatten((args, kwargs))
        places = [
            (i, self._slots[id(a)])
            for i, a in enumerate(flat)
            if isinstance(a, torch.Tensor) and id(a) in self._slots
        ]
        if not places or func in _METADATA:
            return func(*args, **kwargs)
        writes = func._schema.is_mutable
        if writes:
            self._check_written(func, args, kwargs)
        result = func(*args, **kwargs)
        single = isinstance(result, torch.Tensor)
        if not single and not isinstance(result, (list, tuple)):
            raise Untraceable(f"{func} takes a number out of a tangent")
        flat = [None if id(a) in self._slots else self._constant(a) for a in flat]
        top = [(i, self._slots[id(a)]) for i, a in enumerate(args) if id(a) in self._slots]
        function = func
        if len(top) == len(places):  # none in a list or a keyword
            flat, places, spec = [None if id(a) in self._slots else a for a in args], top, None
            function = partial(func, **kwargs) if kwargs else func
        slots = [self._slot(r) for r in ([result] if single else result)]
        shares = any(r.alias_info is not None for r in func._schema.returns)
        step = _Step(function, flat, places, spec, slots, single, shares, writes, ())
        self._steps.append(self._simplified(step, result))
        return result

    def _check_written(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        for i, declared in enumerate(func._schema.arguments):
            if declared.alias_info is None or not declared.alias_info.is_write:
                continue
            target = args[i] if i < len(args) else kwargs.get(declared.name)
            if self._slots.get(id(target), -1) < self._inputs:
                raise Untraceable(f"{func} writes into a tensor that a replay does not make")

    def _constant(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in self._constants:
            self._constants[id(value)] = (value, _version(value))
        return value

    def _slot(self, tensor: Any) -> int:
        slot = self._slots.get(id(tensor))
        if slot is None:
            slot = len(self._alive)
            self._alive.append(tensor)
            if tensor is not None:
                self._slots[id(tensor)] = slot
        return slot

    def _simplified(self, step: _Step, result: Any) -> _Step:
        """Return t ↦ t for what does not change t.

        Forward mode leaves t + 0 where the data has no tangent, and casts to the same dtype.
        """
        if len(step.places) != 1 or step.spec is not None:
            return step
        ((where, slot),) = step.places
        before = self._alive[slot]
        if step.function is _aten.add.Tensor:
            constant = step.arguments[1 - where]
            zero = isinstance(constant, torch.Tensor) and (
                constant._is_zerotensor() or not bool(constant.any())
            )
            changes = not zero
        else:
            changes = getattr(step.function, "func", None) is not _aten._to_copy.default
        if changes or _layout(result) != _layout(before):
            return step
        return step._replace(function=_identity, arguments=[None], places=[(0, slot)], shares=True)

    def replay(self, outputs: Sequence[Tensor | None]) -> Replay:
        """Return the map from the tangents to these tensors; None stands for zero.

        Raises
        ------
        Untraceable
            If a constant was overwritten after it had been used.
        """
        slots = [None if t is None else self._slots.get(id(t)) for t in outputs]
        for tensor, version in self._constants.values():
            if _version(tensor) != version:
                raise Untraceable("the function overwrites a tensor that its derivative needs")
        steps, slots = _without_identities(self._live(slots), slots)
        return Replay(
            _with_last(steps, slots),
            _with_last(self._fused(steps, slots), slots),
            slots,
            len(self._alive),
        )

    def _live(self, outputs: Sequence[int | None]) -> list[_Step]:
        """Return the steps that the outputs need, with constants cut from their histories."""
        # Slots that may share memory form a group: what is written into one changes the others.
        group = list(range(len(self._alive)))

        def of(slot: int) -> int:
            while group[slot] != slot:
                slot = group[slot]
            return slot

        for step in self._steps:
            if step.shares:
                for slot in [*step.results, *(slot for _, slot in step.places)]:
                    group[of(slot)] = of(step.results[0])
        written = {of(step.results[0]) for step in self._steps if step.writes}
        needed = {s for s in outputs if s is not None}
        changed = {of(slot) for slot in needed}
        live = []
        with torch.no_grad():
            constants = {i: tensor.detach() for i, (tensor, _) in self._constants.items()}
        for step in reversed(self._steps):
            if step.writes and of(step.results[0]) not in changed:
                continue
            if not step.writes and needed.isdisjoint(step.results):
                continue
            if step.function is _identity and of(step.results[0]) in written:
                step = step._replace(function=torch.clone)
            touched = {s for _, s in step.places} | set(step.results)
            changed |= {of(slot) for slot in touched}
            arguments = [constants.get(id(a), a) for a in step.arguments]
            live.append(step._replace(arguments=arguments))
            needed |= touched
        return live[::-1]

    def _fused(self, steps: Sequence[_Step], outputs: Sequence[int | None]) -> list[_Step]:
        """Return the steps with each product made together with the sum that alone uses it.

        That saves a temporary, and a pass over each term.
        """
        uses = Counter([*outputs, *(slot for step in steps for _, slot in step.places)])
        fused: list[_Step | None] = []
        waiting: dict[int, int] = {}  # products that can be made later: slot ↦ index in `fused`
        fresh: set[int] = set()  # slots that share no memory, and are used once
        for step in steps:
            if step.writes:
                waiting.clear()  # it may change the factors
            slot = step.results[0]
            if step.spec is None and step.function in _ADDED and uses[slot] == 1:
                waiting[slot] = len(fused)
                fresh.add(slot)
            terms = [term for _, term in step.places]
            ready = [i for term in terms if (i := waiting.get(term)) is not None]
            if step.function is _aten.add.Tensor and len(terms) == 2 and ready:
                index = max(ready)
                product = fused[index]
                assert product is not None
                (made,) = product.results
                (base,) = (term for term in terms if term != made)
                # No broadcast of the product; of the other term, but no promotion.
                of_made, of_base, wanted = (_layout(self._alive[i]) for i in (made, base, slot))
                if of_made == wanted and of_base[2:] == wanted[2:]:
                    in_place = base in fresh and of_base == wanted
                    fused[index] = None
                    step = product._replace(
                        function=_ADDED[product.function][in_place],
                        arguments=[None, *product.arguments],
                        places=[(0, base), *((i + 1, factor) for i, factor in product.places)],
                        results=[slot],
                    )
                    if uses[slot] == 1:
                        fresh.add(slot)
            fused.append(step)
        return [step for step in fused if step is not None]


def _without_identities(
    steps: Sequence[_Step], outputs: Sequence[int | None]
) -> tuple[list[_Step], list[int | None]]:
    same: dict[int | None, int] = {}
    result = []
    for step in steps:
        places = [(i, same.get(slot, slot)) for i, slot in step.places]
        if step.function is _identity:
            same[step.results[0]] = places[0][1]
        else:
            result.append(step._replace(places=places))
    return result, [same.get(slot, slot) for slot in outputs]


def _with_last(steps: Sequence[_Step], outputs: Sequence[int | None]) -> list[_Step]:
    """Say of each step which slots nothing uses after it."""
    needed, result = set(outputs), []
    for step in reversed(steps):
        touched = {slot for _, slot in step.places} | set(step.results)
        result.append(step._replace(last=sorted(touched - needed)))
        needed |= touched
    return result[::-1]


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _layout(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


def _version(tensor: Tensor) -> int:
    return -1 if tensor.is_inference() else int(tensor._version)


class Replay:
    """A linear map of tensors, as the list of its operations."""

    def __init__(
        self, plain: list[_Step], steps: list[_Step], outputs: list[int | None], size: int
    ) -> None:
        self._plain, self._steps, self._outputs, self._size = plain, steps, outputs, size

    def __call__(self, tangents: Sequence[Tensor], batched: bool = False) -> list[Tensor | None]:
        """Return the outputs; None is zero. Batched: all have one more axis in front."""
        with torch.no_grad():
            if not batched:
                return self._run(self._steps, tangents)

            def run(*tangents: Tensor) -> tuple[Tensor, ...]:  # vmap takes no None
                return tuple(r for r in self._run(self._plain, tangents) if r is not None)

            found = iter(torch.func.vmap(run)(*tangents))
            return [None if s is None else next(found) for s in self._outputs]

    def _run(self, steps: Sequence[_Step], tangents: Sequence[Tensor]) -> list[Tensor | None]:
        values = [*tangents, *[None] * (self._size - len(tangents))]
        for function, arguments, places, spec, results, single, _, _, last in steps:
            given = arguments.copy()
            for i, slot in places:
                given[i] = values[slot]
            if spec is None:
                result = function(*given)
            else:
                args, kwargs = pytree.tree_unflatten(given, spec)
                result = function(*args, **kwargs)
            if single:
                values[results[0]] = result
            else:
                for slot, r in zip(results, result, strict=True):
                    values[slot] = r
            for slot in last:
                values[slot] = None
        return [None if s is None else values[s] for s in self._outputs]

    @property
    def convolves(self) -> bool:
        """Whether a convolution is among the operations."""
        return any("convolution" in str(step.function) for step in self._steps)

    def saved(self) -> Iterator[Tensor]:
        """Yield the constants."""
        for step in self._steps:
            for a in step.arguments:
                if isinstance(a, torch.Tensor):
                    yield a
