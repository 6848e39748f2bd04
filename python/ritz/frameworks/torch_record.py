"""Autograd's record of a function: pulled back through many times, measured, and looked into."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

__all__ = ["Pullback", "fingerprint", "in_chunks", "shortest"]

Tensor = Any  # torch's own annotations are not checked here

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Columns in one vectorised product; each is timed only if the one before it paid.
_CHUNKS = (1, 4, 16, 64)
# Under which names each kind of node gives what it saved.
_saved_names: dict[type, list[str]] = {}


def fingerprint(leaves: Sequence[Tensor]) -> tuple[tuple[int, int, int], ...]:
    """Return numbers that change with the tensors' values: address, version, and sum of their bits.

    The version alone does not tell: `p.data.add_(1)` leaves it as it is.
    """
    return tuple(
        (t.data_ptr(), -1 if t.is_inference() else t._version, _sum_of_bits(t)) for t in leaves
    )


def _sum_of_bits(tensor: Tensor) -> int:
    t = tensor.detach()
    t = torch.view_as_real(t) if t.is_complex() else t
    return int(t.contiguous().view(_INTEGERS[t.element_size()]).sum(dtype=torch.int64))


class Pullback:
    """The adjoint of a recorded function: cotangents of its outputs ↦ cotangents of its inputs.

    Parameters
    ----------
    outputs : sequence of tensors or None
        None, and what does not depend on the inputs, takes part as zero.
    inputs : sequence of tensors
    """

    def __init__(self, outputs: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> None:
        self._kept = [i for i, t in enumerate(outputs) if t is not None and t.requires_grad]
        self._outputs: tuple[Tensor, ...] = tuple(outputs[i] for i in self._kept)
        self._inputs = tuple(inputs)

    def __call__(self, cotangents: Sequence[Tensor], batched: bool = False) -> list[Tensor | None]:
        """Return one tensor an input; None is zero. Batched: all have one more axis in front."""
        if not self._kept:
            return [None] * len(self._inputs)
        return list(
            torch.autograd.grad(
                self._outputs,
                self._inputs,
                tuple(cotangents[i] for i in self._kept),
                retain_graph=True,
                allow_unused=True,
                is_grads_batched=batched,
            )
        )

    def _nodes(self) -> Iterator[Any]:
        stack = [t.grad_fn for t in self._outputs if t.grad_fn is not None]
        seen = set(stack)
        while stack:
            node = stack.pop()
            yield node
            for child, _ in node.next_functions:
                if child is not None and child not in seen:
                    seen.add(child)
                    stack.append(child)

    @cached_property
    def convolves(self) -> bool:
        """Whether a convolution is among the operations."""
        return any("onvolution" in node.name() for node in self._nodes())

    def saved(self) -> Iterator[Tensor]:
        """Yield the tensors that the record keeps."""
        for node in self._nodes():
            kind = type(node)
            if kind not in _saved_names:
                _saved_names[kind] = [
                    n for n in dir(node) if n.startswith("_saved_") or n == "saved_tensors"
                ]
            for name in _saved_names[kind]:
                found = getattr(node, name)
                for t in found if isinstance(found, (tuple, list)) else (found,):
                    if isinstance(t, torch.Tensor):
                        yield t


def shortest(times: dict[Any, list[float]], key: Any, seconds: float) -> None:
    """Keep the three shortest times of a way."""
    times[key] = sorted([*times.get(key, []), seconds])[:3]


def in_chunks(
    product: Callable[[Tensor, bool], Tensor],
    rows: Tensor,
    times: dict[Any, list[float]],
    clock: Callable[[], float],
    most: float,
) -> Tensor:
    """Return the products of all rows, in chunks of a size that measured times choose.

    Parameters
    ----------
    product : callable
        (rows (c, ...), True) ↦ (c, ...) by one vectorised product, or (row, False) ↦ its product.
    rows : tensor (k, ...)
    times : dict
        Seconds a column by size of chunk, kept from block to block.
    most : float
        The largest chunk allowed; 1 is a loop.
    """
    results, done = [], 0
    while done < len(rows):
        left = len(rows) - done
        size = _chunk(times, min(left, most))
        start = clock()
        if size == 1:
            results.append(product(rows[done], False)[None])
        else:
            try:
                with warnings.catch_warnings():
                    if len(times.get(size, [])) < 2:  # torch warns where it falls back to a loop
                        warnings.simplefilter("error")
                    results.append(product(rows[done : done + size], True))
            except Exception:  # some operation cannot be vectorised
                times[size] = [math.inf, math.inf]
                continue
        if len(times.get(size, [])) < 2:
            seconds = clock() - start
            shortest(times, size, seconds / size)
            if size > 1 and seconds > max(0.1, 4 * size * min(times[1])):
                times[size] = [math.inf, math.inf]  # not worth a second look
        done += size
    return results[0] if len(results) == 1 else torch.cat(results)


def _chunk(times: dict[Any, list[float]], most: float) -> int:
    best = 1
    for size in _CHUNKS:
        if size > most:
            break
        if len(times.get(size, [])) < 2:
            return size
        if size > 1 and min(times[size]) >= min(times[best]):
            break
        best = size
    return best
