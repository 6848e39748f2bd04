"""A point where torch forms products: the choice of a way by measurement, and blocks of columns."""

from __future__ import annotations

import math
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from ritz.frameworks.torch_record import Pullback, in_chunks, shortest
from ritz.frameworks.torch_tape import Replay
from ritz.trees import Structure

__all__ = ["Products", "Way", "recordable", "recording", "tangent_of", "with_tangents"]

Tensor = Any  # torch's own annotations are not checked here
Function = Callable[..., Tensor]

_WAYS = ("auto", "graph", "trace", "recompute")
# Times of each way before one is chosen.
_SAMPLES = 3
# Products that a trace is taken to cost at most, until one has been timed. It costs 2 to 8; the
# first record of a process costs far more, because autograd starts up.
_PRICE = 4.0
# For all threads there is one level of forward mode, and one set of parameters in a module.
_recording = threading.RLock()


@contextmanager
def recording() -> Iterator[None]:
    """Record a function whatever the caller's mode; fused attention has no second derivative."""
    with (
        _recording,
        torch.inference_mode(False),
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
    ):
        yield


def recordable(tree: Any) -> Any:
    """Return a tree with copies of what was made in inference mode, which autograd refuses."""
    with torch.inference_mode(False):
        return pytree.tree_map_only(
            torch.Tensor, lambda t: t.clone() if t.is_inference() else t, tree
        )


@cache
def _load_forward_mode() -> None:
    """Load what torch loads on first use, without a warning about torch itself."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))


# Where functions of embeddings take indices, weight and padding_idx.
_EMBEDDINGS = {
    torch.embedding: ("weight", "indices", "padding_idx"),
    torch.nn.functional.embedding: ("input", "weight", "padding_idx"),
}


class _Padding(TorchFunctionMode):  # type: ignore[misc]
    """Takes the tangent from the padding row of embeddings: it has no gradient either.

    Torch's own forward mode leaves it there, and then is not the adjoint of the backward one.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call a function."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func not in _EMBEDDINGS:
            return result
        given = dict(zip(_EMBEDDINGS[func], args, strict=False)) | kwargs
        padding = given.get("padding_idx")
        # Of torch.embedding, -1 is none; of the other, the last row.
        if padding is None or (func is torch.embedding and padding < 0):
            return result
        indices = given["indices" if func is torch.embedding else "input"]
        padded = (indices == padding % len(given["weight"]))[..., None]
        return torch.where(padded, result.detach(), result)


@contextmanager
def with_tangents(
    point: Sequence[Tensor], tangents: Sequence[Tensor] | None = None
) -> Iterator[list[Tensor]]:
    """Give the point with tangents; zero ones, to trace, by default."""
    with recording():
        _load_forward_mode()
        with forward_ad.dual_level(), _Padding():
            given = [torch.zeros_like(p) for p in point] if tangents is None else tangents
            yield [
                forward_ad.make_dual(p, t.clone() if t.is_inference() else t)
                for p, t in zip(point, given, strict=True)
            ]


def tangent_of(dual: Tensor | None) -> Tensor | None:
    """Return the tangent of a tensor of forward mode; None is zero."""
    return None if dual is None else forward_ad.unpack_dual(dual).tangent


def _real(result: Any) -> Tensor:
    if isinstance(result, torch.Tensor) and result.is_floating_point():
        return result
    kind = type(result)
    came = f"a tensor of {result.dtype}" if isinstance(result, torch.Tensor) else kind.__name__
    hint = ""
    if isinstance(result, Mapping):
        hint = ": take it out of the output, as in lambda module, x: module(x)[name]"
    elif isinstance(result, tuple | list):
        hint = ": take it out of the output, as in lambda module, x: module(x)[0]"
    raise TypeError(
        f"the function returned {came}; it must return one tensor of real numbers{hint}"
    )


@dataclass
class Way:
    """One way of forming products at the point, with what it keeps."""

    how: str
    value: Tensor
    #: Tangents of the leaves ↦ [J v], or the leaves of H v.
    forward: Pullback | Replay
    #: [u] ↦ the leaves of Jᵀ u.
    backward: Pullback | None
    #: ∇ℓ, of a scalar function.
    gradient: Tensor = None

    def saved(self) -> Iterator[Tensor]:
        """Yield the tensors that are kept."""
        yield from self.forward.saved()
        if self.backward is not None:
            yield from self.backward.saved()

    @property
    def convolves(self) -> bool:
        """Whether a convolution takes part."""
        return self.forward.convolves or (self.backward is not None and self.backward.convolves)


class Products(ABC):
    """What both kinds of linearisation share: the point, the choice by measurement, blocks.

    A subclass says what the ways are: `_recorded` and `_traced`.
    """

    #: The name of the measured times in `memory`.
    kind = ""

    def __init__(
        self,
        function: Function,
        structure: Structure,
        leaves: Sequence[Tensor],
        args: Sequence[Any],
        how: str = "auto",
        budget: float | None = None,
        memory: dict[Any, Any] | None = None,
    ) -> None:
        if how not in _WAYS:
            raise ValueError(f"linearize is {how!r}; pass one of {', '.join(map(repr, _WAYS))}")
        self._function, self._structure = function, structure
        self._args = recordable(tuple(args))
        self._sizes = [math.prod(shape) for shape in structure.shapes]
        self._budget = math.inf if budget is None else budget
        self._memory = {} if memory is None else memory
        self._times: dict[Any, list[float]] = self._memory.setdefault(self.kind, {})
        with torch.inference_mode(False):
            self._point = [
                (t.clone() if t.is_inference() else t.detach().contiguous()).requires_grad_()
                for t in leaves
            ]
        self._device = self._point[0].device
        self._way: Way | None = None
        self._other: Way | None = None
        self._undecided = how == "auto"
        self._again_for_blocks = how == "recompute"
        self._spent = 0.0
        known = (self.kind, "bytes")
        start = self._clock()
        if how == "trace":
            self._way = self._traced()
        elif how == "graph" or (how == "auto" and self._memory.get(known, 0) <= self._budget):
            self._way = self._recorded()
        self._recording_seconds = self._clock() - start
        if self._way is not None:
            self._memory[known] = self.bytes
            if self._memory[known] > self._budget:
                self._way = None
        if self._way is not None:
            self.value, self._gradient = self._way.value, self._way.gradient
        else:
            self._evaluate()

    @abstractmethod
    def _recorded(self) -> Way | None:
        """Return the way by autograd's record, or None if that is over the budget."""

    @abstractmethod
    def _traced(self) -> Way:
        """Return the way by forward mode, recorded."""

    @abstractmethod
    def _evaluate(self) -> None:
        """Set the value and keep nothing else."""

    @property
    def how(self) -> str:
        """How products are formed now."""
        return "recompute" if self._way is None else self._way.how

    @property
    def bytes(self) -> int:
        """Memory kept between products, without the leaves and the data."""
        kept = [way for way in (self._way, self._other) if way is not None]
        return self._bytes(t for way in kept for t in way.saved())

    def _bytes(self, tensors: Iterable[Tensor]) -> int:
        given = [*self._point, *pytree.tree_leaves(self._args)]
        known = {t.untyped_storage().data_ptr() for t in given if isinstance(t, torch.Tensor)}
        total = 0
        for t in tensors:
            storage = t.untyped_storage()
            if storage.data_ptr() not in known:
                known.add(storage.data_ptr())
                total += storage.nbytes()
        return total

    def _call(self, leaves: Sequence[Tensor]) -> Tensor:
        return _real(self._function(leaves, *self._args))

    def _with_graph(self, budget: float | None = None) -> Any:
        return type(self)(self._function, self._structure, self._point, self._args, "graph", budget)

    def _for_block(self) -> Any:
        """Return the same linearisation with its graph where none is kept and one has room."""
        return self._with_graph(self._budget) if self._again_for_blocks else self

    # --------------------------------------------------------------------------- choice of a way

    def _clock(self) -> float:
        """Return the time, once the device has done what it was told.

        Of this thread where it does all the work: other processes do not count then.
        """
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        alone = self._device.type == "cpu" and torch.get_num_threads() == 1
        return time.thread_time() if alone else time.perf_counter()

    def _forward(self, way: Way, v: Tensor) -> list[Tensor | None]:
        """Return the image of a tangent, and learn from its time while the way is undecided."""
        if not self._undecided:
            return way.forward(self._structure.split(v))
        start = self._clock()
        result = way.forward(self._structure.split(v))
        seconds = self._clock() - start
        with _recording:
            if self._undecided:
                self._spent += seconds
                shortest(self._times, way.how, seconds)
                self._choose(v, result)
        return result

    def _choose(self, v: Tensor, product: list[Tensor | None]) -> None:
        """Trace once the products have cost as much as that will, and keep the faster way."""
        times, other = self._times, self._other
        graph, trace = times.get("graph", []), times.get("trace", [])
        compared = min(len(graph), len(trace)) >= _SAMPLES
        if other is not None:
            if not compared:  # in turns, so that a busy moment costs both
                self._way, self._other = other, self._way
                return
            chosen = "trace" if min(trace) < min(graph) else "graph"
            if other.how == chosen:
                self._way = other
        elif len(graph) < _SAMPLES:
            return
        elif not compared:
            price = min(self._recording_seconds, _PRICE * min(graph))
            if self._spent < min(times.get("setup", [price])):
                return
            if self._try_trace(v, product):
                times["graph"] = []  # as many samples of each
                return
        elif min(trace) < min(graph):
            # Renting until the rent has reached the price costs at most twice the best.
            if self._spent * (1.0 - min(trace) / min(graph)) < min(times["setup"]):
                return
            self._try_trace(v, product)
        self._undecided, self._other = False, None

    def _try_trace(self, v: Tensor, product: list[Tensor | None]) -> bool:
        """Trace, and use that beside the graph; False where it cannot be done or kept.

        A trace that gives another product than the graph is not used: gradients changed by hooks,
        or a forward derivative of torch that is wrong.
        """
        start = self._clock()
        way: Way | None
        try:
            way = self._traced()
        except Exception:  # the user's function, where forward mode does not know an operation
            way = None
        if (
            way is None
            or self._bytes(way.saved()) > self._budget
            or not _agree(way.forward(self._structure.split(v)), product)
        ):
            self._times["setup"] = [math.inf]
            return False
        shortest(self._times, "setup", self._clock() - start)
        self._way, self._other = way, self._way
        return True

    # --------------------------------------------------------------------- flat vectors and blocks

    def _pieces(self, rows: Tensor) -> list[Tensor]:
        """Return the tangents (c, *shape) of the leaves of c vectors (c, n)."""
        parts = zip(rows.split(self._sizes, 1), self._structure.shapes, strict=True)
        return [part.reshape(len(rows), *shape) for part, shape in parts]

    def _join(self, leaves: Sequence[Tensor | None]) -> Tensor:
        full = [
            p.new_zeros(p.shape) if g is None else g
            for g, p in zip(leaves, self._point, strict=True)
        ]
        return self._structure.join(full)

    def _join_rows(self, leaves: Sequence[Tensor | None], count: int) -> Tensor:
        parts = [
            p.new_zeros((count, p.numel())) if g is None else g.reshape(count, -1)
            for g, p in zip(leaves, self._point, strict=True)
        ]
        return torch.cat(parts, 1)

    def _rows(self, name: str, product: Callable[[Tensor, bool], Tensor], rows: Tensor) -> Tensor:
        """Return the products of rows, looped or vectorised as was measured under this name."""
        way = self._way
        if way is None or (self._device.type == "cpu" and way.convolves):
            most = 1.0
        else:
            most = max(1.0, self._budget / max(1, self.bytes))
        times = self._memory.setdefault((self.kind, name, self.how), {})
        return in_chunks(product, rows, times, self._clock, most)


def _agree(a: list[Tensor | None], b: list[Tensor | None]) -> bool:
    """Whether two products are the same, as far as rounding allows; None is zero."""
    difference = size = 0.0
    for x, y in zip(a, b, strict=True):
        if y is not None:
            size += float(y.norm() ** 2)
        apart: Tensor = y if x is None else x if y is None else x - y
        if apart is not None:
            difference += float(apart.norm() ** 2)
    return difference <= 1e-6 * size
