"""The diagonal of an operator, read off or estimated, and its reciprocal."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._run import setting
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, aslinearoperator

__all__ = ["jacobi"]

Array = npt.NDArray[Any]

# Columns of a block product: one reading of a sparse matrix, a quarter of what a dense one is read
# once for. Each is a vector of memory, and of several more beside it.
GROUP = 8


def jacobi(
    A: Any,
    *,
    diagonal: Any = None,
    probes: int | None = None,
    seed: int = 0,
    like: Any = None,
) -> LinearOperator:
    """Return diag(A)⁻¹ for a Hermitian positive definite A.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes. The diagonal is read off arrays, sparse matrices and
        sums, shifts and multiples of them, and from whatever has a method `diagonal`.
    diagonal : array (n,), optional
        The diagonal of A, where you know it.
    probes : int, optional
        Estimate the diagonal by this many products, at least 2; n or more measure it exactly.
    seed : int
        Of the random signs.
    like : array, optional
        For `probes`: an example of the kind of array and element type that A's closures take, where
        A does not tell.

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError
        If A does not show its diagonal and neither `diagonal` nor `probes` is given.
    ValueError
        If a diagonal that is known exactly has an entry that is negative, not real or not finite,
        or nothing but zeros: then A is not positive definite.

    Notes
    -----
    The estimate is the mean of v ⊙ A v over sign vectors v: unbiased, with variance
    Σ_{j≠i} abs(a_ij)² / probes in entry i, so that it tells the diagonal only where that stands out
    from the rest of its row. An entry below its own standard error is raised to that. A zero entry
    is replaced by the largest entry, which gives its row the least weight that any row has.

    References
    ----------
    Bekas, Kokiopoulou, Saad: An estimator for the diagonal of a matrix. Appl. Numer. Math. 57,
    2007.
    """
    a = aslinearoperator(A)
    a.require_square("jacobi")
    n = a.shape[0]
    seed = _arrays.seed_of(seed)
    if diagonal is not None and probes is not None:
        raise TypeError("diagonal and probes are both given; pass one of them")
    if probes is not None:
        count = _arrays.integer(probes, "probes", 2)
        framework, dtype = setting(a, like)
        d, exact = _probed_diagonal(a, count, seed, framework, dtype), count >= n
    else:
        shown = diagonal if diagonal is not None else _diagonal_of(a)
        if shown is None and callable(getattr(A, "diagonal", None)):
            shown = A.diagonal()
        if shown is None:
            raise TypeError(
                "A does not show its diagonal; pass diagonal=, or probes=30 to estimate it by 30 "
                "products"
            )
        d, framework = _arrays.vector(shown, "diagonal", n, f"A of shape {a.shape}")
        dtype, exact = a.dtype if a.has_dtype else d.dtype, True
    if exact:
        d = _positive_diagonal(d)
    own = None if framework is NUMPY else framework
    inverse = _reciprocals(d, np.dtype(dtype.char.lower()))  # real
    return LinearOperator._of(_nodes.Diagonal(inverse, own), (n, n), True)


def _diagonal_of(a: LinearOperator) -> Array | None:
    """Return the diagonal as far as A's own arrays tell it."""
    node = a._node
    if isinstance(node, _nodes.Dense):
        return node.values.diagonal()
    if isinstance(node, _nodes.Diagonal):
        return node.values
    if isinstance(node, _nodes.Identity):
        return np.ones(node.n, a.dtype)
    if isinstance(node, _nodes.Sparse):
        major = np.repeat(np.arange(a.shape[0]), np.diff(node.indptr))
        on = np.flatnonzero(major == node.indices[: major.size])
        d = np.zeros(a.shape[0], node.values.dtype)
        np.add.at(d, major[on], node.values[on])
        return d
    if isinstance(node, _nodes.Scaled | _nodes.Shifted | _nodes.Sum):
        parts = [_diagonal_of(operand) for operand in node.operands]
        first, last = parts[0], parts[-1]
        if first is None or last is None:
            return None
        if isinstance(node, _nodes.Sum):
            return first + node.c * last
        c = node.c if isinstance(node, _nodes.Scaled) else node.mu
        number = c.real if c.imag == 0.0 else c
        return number * first if isinstance(node, _nodes.Scaled) else first + number
    return None


def _probed_diagonal(
    a: LinearOperator, probes: int, seed: int, framework: Framework, dtype: np.dtype[Any]
) -> Array:
    """Return the diagonal from products with unit vectors, or estimated by random signs."""
    n = a.shape[0]
    exact = probes >= n
    count = n if exact else probes
    rng = np.random.default_rng(seed)
    total, squares = np.zeros(n), np.zeros(n)
    d = np.empty(n, np.result_type(dtype, np.float64))
    for start in range(0, count, GROUP):
        columns = min(GROUP, count - start)
        if exact:
            V = np.eye(n, columns, -start, dtype)
        else:
            V = (2 * rng.integers(0, 2, (n, columns)) - 1).astype(dtype)
        AV = framework.to_numpy(a.matmat(framework.from_numpy(V.copy())), "A @ V")
        if exact:
            d[start : start + columns] = AV.diagonal(-start)
        else:
            samples = (V * AV).real.astype(np.float64)
            total += samples.sum(axis=1)
            squares += (samples**2).sum(axis=1)
    if exact:
        return d
    if not np.isfinite(total).all():
        raise ValueError(f"A @ v is not finite at {np.flatnonzero(~np.isfinite(total))[0]}")
    mean = total / probes
    variance = np.maximum(squares / probes - mean**2, 0.0) / (probes - 1)
    # Nothing below the standard error is known but that the entry is positive.
    return np.maximum(mean, np.sqrt(variance))


def _positive_diagonal(d: Array) -> Array:
    """Return an exactly known diagonal as real numbers, none of them negative."""
    advice = "A is not Hermitian positive definite"
    if not np.isfinite(d).all():
        i = np.flatnonzero(~np.isfinite(d))[0]
        raise ValueError(f"the diagonal of A is {d[i]} at {i}")
    # Rounding in forming A leaves an imaginary part of a few eps, an error a larger one.
    crooked = np.flatnonzero(np.abs(d.imag) > np.sqrt(np.finfo(d.dtype).eps) * np.abs(d))
    if crooked.size:
        raise ValueError(f"the diagonal of A is {d[crooked[0]]} at {crooked[0]}: {advice}")
    negative = np.flatnonzero(d.real < 0.0)
    if negative.size:
        i = negative[0]
        raise ValueError(
            f"the diagonal of A is {d.real[i]} at {i}: {advice}; for a method that does not need "
            "that pass M=ritz.diagonal(1 / d)"
        )
    return d.real


def _reciprocals(d: Array, dtype: np.dtype[Any]) -> Array:
    """Return 1/d, with the reciprocal of the largest entry where there is none."""
    wide = d.astype(np.float64)
    largest = wide.max(initial=0.0)
    if wide.size and not largest > 0.0:
        raise ValueError("the diagonal of A is zero; A is not positive definite")
    with np.errstate(divide="ignore", over="ignore"):
        inverse = (1.0 / wide).astype(dtype)
        inverse[~np.isfinite(inverse)] = dtype.type(1.0 / largest) if wide.size else 0.0
    return inverse
