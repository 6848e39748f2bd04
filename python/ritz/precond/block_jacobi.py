"""Inverses of small dense blocks on the diagonal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator

__all__ = ["block_jacobi"]

Array = npt.NDArray[Any]


def block_jacobi(
    blocks: Any, sizes: Sequence[int] | None = None, *, hermitian: bool = True
) -> LinearOperator:
    """Return diag(B_0, B_1, …)⁻¹ for small dense blocks B_i on the diagonal of A.

    Parameters
    ----------
    blocks : array (m, k, k), sequence of arrays (k_i, k_i), or callable
        The blocks from first to last row of A; a function i ↦ B_i is called once for each i.
    sizes : sequence of int, optional
        k_0, k_1, …: needed with a function.
    hermitian : bool
        The blocks are Hermitian positive definite, and so is the result. False takes regular ones.

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. ValueError names the block that is not finite, not
        square, not Hermitian, not positive definite (or singular, with hermitian=False), or so
        ill-conditioned that its inverse is not positive definite in the blocks' precision.

    Notes
    -----
    Inverted once, in double precision: about 2 Σ k_i³ operations; then Σ k_i² elements are kept and
    read by a product, by all threads, once for all columns of a block product.

    References
    ----------
    Saad: Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM, 2003, section 10.2.
    """
    k, groups, framework = _blocks_by_size(blocks, sizes)
    dtype = np.result_type(*(stack.dtype for _, stack in groups))
    starts = np.concatenate([[0], np.cumsum(k * k)])
    values = np.empty(starts[-1], dtype)
    for where, stack in groups:
        inverse = _inverses(stack, where, dtype, hermitian)
        by_columns = inverse.swapaxes(1, 2).reshape(len(where), -1)
        values[starts[where][:, None] + np.arange(by_columns.shape[1])] = by_columns
    n = int(k.sum())
    own = None if framework is NUMPY else framework
    return LinearOperator._of(_nodes.BlockDiagonal(k, values, own), (n, n), bool(hermitian))


Group = tuple[npt.NDArray[np.int64], Array]


def _blocks_by_size(
    blocks: Any, sizes: Sequence[int] | None
) -> tuple[npt.NDArray[np.int64], list[Group], Framework]:
    """Return the sizes, stacks of equal blocks with their places, and the blocks' framework."""
    wanted = None if sizes is None else [_arrays.integer(s, "a size", 1) for s in sizes]
    if callable(blocks):
        if wanted is None:
            raise TypeError("sizes is missing; a function of i needs it: block_jacobi(f, sizes)")
        blocks = [blocks(i) for i in range(len(wanted))]
    if getattr(blocks, "ndim", 0) == 3:
        stack, framework = _arrays.array(blocks, "blocks")
        m, rows, columns = stack.shape
        if rows != columns:
            raise ValueError(f"blocks has shape {stack.shape}; pass (m, k, k)")
        k = np.full(m, rows, np.int64)
        groups = [(np.arange(m), stack)]
    else:
        pairs = [_arrays.array(block, f"block {i}") for i, block in enumerate(blocks)]
        parts = [a for a, _ in pairs]
        framework = pairs[0][1] if pairs else NUMPY
        for i, a in enumerate(parts):
            if a.ndim != 2 or a.shape[0] != a.shape[1]:
                raise ValueError(f"block {i} has shape {a.shape}; a block is square")
        k = np.array([a.shape[0] for a in parts], np.int64)
        groups = []
        for size in np.unique(k):
            where = np.flatnonzero(k == size)
            groups.append((where, np.stack([parts[i] for i in where])))
    if not k.size:
        raise ValueError("blocks is empty; pass at least one block")
    if wanted is not None:
        if len(wanted) != k.size:
            raise ValueError(f"sizes has {len(wanted)} entries, but there are {k.size} blocks")
        different = np.flatnonzero(k != np.array(wanted))
        if different.size:
            i = different[0]
            raise ValueError(f"block {i} has size {k[i]}; sizes says {wanted[i]}")
    return k, groups, framework


def _inverses(
    stack: Array, where: npt.NDArray[np.int64], dtype: np.dtype[Any], hermitian: bool
) -> Array:
    """Return the inverses of a stack of blocks, whose places `where` messages name."""
    eps = np.finfo(stack.dtype).eps
    B = stack.astype(np.result_type(stack.dtype, np.float64))
    _require(np.isfinite(B).all(axis=(1, 2)), where, "has an element that is not finite")
    if not hermitian:
        inverse = _each(np.linalg.inv, B, where, lambda _: "is singular")
    else:
        adjoint = B.conj().swapaxes(1, 2)
        # Rounding in forming a block leaves a few eps, a mistake more than half of the digits.
        asymmetry = np.linalg.norm(B - adjoint, axis=(1, 2))
        good = asymmetry <= np.sqrt(eps) * np.linalg.norm(B, axis=(1, 2))
        _require(good, where, "is not Hermitian; pass hermitian=False if it need not be")
        L = _each(
            np.linalg.cholesky,
            (B + adjoint) / 2.0,
            where,
            lambda b: f"is not positive definite: an eigenvalue is {np.linalg.eigvalsh(b)[0]:.2g}",
        )
        X = np.linalg.inv(L)
        inverse = X.conj().swapaxes(1, 2) @ X
        inverse = (inverse + inverse.conj().swapaxes(1, 2)) / 2.0
    with np.errstate(over="ignore"):
        rounded = inverse.astype(dtype)
    _require(np.isfinite(rounded).all(axis=(1, 2)), where, f"has no inverse in {dtype}")
    if hermitian:
        # A condition beyond 1/eps shows here: the rounded inverse is what is promised definite.
        _each(
            np.linalg.cholesky,
            rounded.astype(B.dtype),
            where,
            lambda _: f"is too ill-conditioned for {dtype}; add a multiple of the identity",
        )
    return rounded


def _require(good: npt.NDArray[np.bool_], where: npt.NDArray[np.int64], complaint: str) -> None:
    if not good.all():
        raise ValueError(f"block {where[np.flatnonzero(~good)[0]]} {complaint}")


def _each(
    f: Callable[[Array], Array],
    stack: Array,
    where: npt.NDArray[np.int64],
    complaint: Callable[[Array], str],
) -> Array:
    """Return f of all blocks at once; where that fails, say of which block."""
    try:
        return f(stack)
    except np.linalg.LinAlgError:
        pass  # NumPy does not say which

    def one(i: int, block: Array) -> Array:
        try:
            return f(block)
        except np.linalg.LinAlgError:
            raise ValueError(f"block {i} {complaint(block)}") from None

    return np.stack([one(i, block) for i, block in zip(where, stack, strict=True)])
