"""Elementary operators: the identity, a diagonal, and operators side by side in a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

from ritz import _arrays, _nodes
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, aslinearoperator

if TYPE_CHECKING:
    from ritz._run import Callbacks
    from ritz.results import VectorEstimate

__all__ = ["block", "diagonal", "identity"]


def identity(n: int, dtype: Any = None) -> LinearOperator:
    """Return the identity x ↦ x of size n; without a dtype it takes that of the vectors."""
    n = _arrays.integer(n, "n", 0)
    element = None if dtype is None else _arrays.element_type(dtype, "dtype")
    return LinearOperator._of(_nodes.Identity(n, element), (n, n), True)


@overload
def diagonal(
    d: LinearOperator,
    *,
    method: str = "auto",
    rtol: float = 0.0,
    max_products: int | None = None,
    samples: int | None = None,
    positive: bool = False,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    history: bool = False,
) -> VectorEstimate: ...
@overload
def diagonal(d: Any) -> LinearOperator: ...
def diagonal(d: Any, **options: Any) -> Any:
    """Return the operator x ↦ d ⊙ x for d of shape (n,), or the estimated diagonal of an operator.

    Parameters
    ----------
    d : array (n,), or operator (n, n)
        As for `numpy.diag`: a vector becomes an operator, and of an operator, or anything of two
        dimensions that `aslinearoperator` takes, the diagonal is estimated.
    **options
        Of the estimate: `method`, `rtol`, `max_products`, `samples`, `positive`, `seed`, `like`,
        `callback`, `timeout` and `history`, as `ritz.functions.diagonal.diagonal` tells.

    Returns
    -------
    LinearOperator or VectorEstimate
        The operator; or the tuple (value, stderr), both (n,), with an account of the run.

    Raises
    ------
    TypeError, ValueError
        If d is neither a vector of numbers nor an operator; for options that cannot be used.
    """
    if _is_operator(d):
        from ritz.functions.diagonal import diagonal as estimated

        return estimated(d, **options)
    if options:
        raise TypeError(f"{min(options)} is for the diagonal of an operator; d is a vector")
    a, framework = _arrays.vector(d, "d", None, "a diagonal")
    n = a.shape[0]
    own = None if framework is NUMPY else framework
    symmetric = True if a.dtype.kind == "f" else None
    return LinearOperator._of(_nodes.Diagonal(a, own), (n, n), symmetric)


def _is_operator(d: Any) -> bool:
    if isinstance(d, LinearOperator):
        return True
    shape = getattr(d, "shape", ())
    return isinstance(shape, tuple) and len(shape) == 2


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
