"""Elementary operators: the identity, a diagonal, and operators side by side in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ritz import _arrays, _nodes
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, aslinearoperator

__all__ = ["block", "diagonal", "identity"]


def identity(n: int, dtype: Any = None) -> LinearOperator:
    """Return the identity x ↦ x of size n; without a dtype it takes that of the vectors."""
    n = _arrays.integer(n, "n", 0)
    element = None if dtype is None else _arrays.element_type(dtype, "dtype")
    return LinearOperator._of(_nodes.Identity(n, element), (n, n), True)


def diagonal(d: Any) -> LinearOperator:
    """Return the operator x ↦ d ⊙ x for d of shape (n,).

    Raises
    ------
    TypeError, ValueError
        If d is not a vector of numbers.
    """
    a, framework = _arrays.vector(d, "d", None, "a diagonal")
    n = a.shape[0]
    own = None if framework is NUMPY else framework
    symmetric = True if a.dtype.kind == "f" else None
    return LinearOperator._of(_nodes.Diagonal(a, own), (n, n), symmetric)


def block(grid: Sequence[Sequence[Any]]) -> LinearOperator:
    """Return the operator [[A, B], [C, D]] of a grid of operators.

    Parameters
    ----------
    grid : sequence of sequences
        Rows of operators, or of anything `aslinearoperator` takes; None stands for zero. Every row
        and every column needs one entry that is not None.

    Raises
    ------
    ValueError
        If the rows differ in length, an entry does not fit, or a row or column has no entry.
    """
    rows = [list(row) for row in grid]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("grid needs rows of one length, of at least one operator each")
    heights: list[int | None] = [None] * len(rows)
    widths: list[int | None] = [None] * len(rows[0])
    parts: list[tuple[int, int, LinearOperator]] = []
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            if entry is None:
                continue
            a = aslinearoperator(entry, f"grid[{i}][{j}]")
            for sizes, k, size, side in (
                (heights, i, a.shape[0], "row"),
                (widths, j, a.shape[1], "column"),
            ):
                known = sizes[k]
                if known is not None and known != size:
                    raise ValueError(
                        f"grid[{i}][{j}] has shape {a.shape}, but the others of its {side} have "
                        f"{known} {side}s"
                    )
                sizes[k] = size
            parts.append((i, j, a))
    for sizes, side in ((heights, "row"), (widths, "column")):
        if None in sizes:
            raise ValueError(f"{side} {sizes.index(None)} of grid has no operator to tell its size")
    h = [s for s in heights if s is not None]
    w = [s for s in widths if s is not None]
    domains = [a.domain for _, _, a in parts if a.domain] if len(w) == 1 else []
    codomains = [a.codomain for _, _, a in parts if a.codomain] if len(h) == 1 else []
    return LinearOperator._of(
        _nodes.Block(h, w, parts),
        (sum(h), sum(w)),
        domain=domains[0] if domains else None,
        codomain=codomains[0] if codomains else None,
    )
