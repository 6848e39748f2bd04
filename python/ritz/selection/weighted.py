"""Least squares over selected rows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.results import Result, Status
from ritz.selection._inputs import account, matrix

__all__ = ["WeightedSolution", "weighted_lstsq"]


class WeightedSolution(Result):
    """The result (x, condition) of `weighted_lstsq`.

    Attributes
    ----------
    condition : float
        Of the Gram matrix A_Sᴴ W A_S, columns scaled to about norm one; infinite below full rank.
    rank : int
        Of W^½ A_S.
    residual : float
        √(Σ wᵢ |aᵢ x − bᵢ|²) over the rows, and over all right-hand sides.
    """

    condition: float
    rank: int


def weighted_lstsq(A: Any, b: Any, rows: Any = None, weights: Any = None) -> WeightedSolution:
    """Minimise Σ wᵢ |aᵢ x − bᵢ|² over selected rows i of A and b.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix, of NumPy, torch or JAX.
    b : array (m,) or (m, k)
        Only the selected rows are read.
    rows : array of int (s,), optional
        The rows selected, which may repeat; by default all.
    weights : array (s,), optional
        At least 0; by default 1.

    Returns
    -------
    WeightedSolution
        The tuple (x, condition), x of shape (n,) or (n, k) and of the kind of A.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and for elements of the selected rows that are not
        finite.

    Notes
    -----
    By a QR factorisation of W^½ A_S in double precision, and an SVD of its R. Below full rank x has
    the least norm in the units that scale columns to about norm one. O(s n²) flops; Ctrl-C waits
    for the end of either factorisation.
    """
    begin = time.perf_counter()
    a, framework = matrix(A)
    values, _ = _arrays.array(b, "b")
    m, n = a.shape
    if values.ndim not in (1, 2) or values.shape[0] != m:
        raise ValueError(
            f"b has shape {values.shape}; A of shape {a.shape} needs ({m},) or ({m}, k)"
        )
    chosen = _rows(rows, m)
    w = _weights(weights, len(chosen))
    dtype = np.result_type(a.dtype, values.dtype)
    part = a[chosen].astype(dtype, copy=False)
    right = values[chosen].reshape(len(chosen), -1).astype(dtype, copy=False)
    if not np.isfinite(right).all():
        raise ValueError("b holds a NaN or an infinity in a selected row; pass finite numbers")
    x, outcome = _arrays.core(np.dtype(dtype)).weighted_lstsq(part, right, w, 0.0)
    rank, condition = outcome["rank"], outcome["condition"]
    text = f"{len(chosen)} rows, rank {rank} of {n}, condition of the Gram matrix {condition:.3e}"
    status = Status.converged if rank == n else Status.condition_limit
    if rank < n:
        text += "; the rows do not determine x, which is the one of least norm: take more rows"
    return WeightedSolution(
        (framework.from_numpy(x[:, 0] if values.ndim == 1 else x), condition),
        condition=condition,
        rank=rank,
        **account(status, text, 1, begin, outcome["residual"]),
    )


def _rows(rows: Any, m: int) -> npt.NDArray[np.int64]:
    if rows is None:
        return np.arange(m)
    chosen = np.asarray(_arrays.framework_of(rows, "rows").to_numpy(rows, "rows"))
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or len(chosen) == 0:
        raise TypeError(
            f"rows has dtype {chosen.dtype} and shape {chosen.shape}; pass indices, a vector of "
            "integers"
        )
    if chosen.min() < 0 or chosen.max() >= m:
        raise ValueError(f"rows has indices outside of 0 to {m - 1}")
    return chosen.astype(np.int64, copy=False)


def _weights(weights: Any, count: int) -> npt.NDArray[np.float64]:
    if weights is None:
        return np.ones(count)
    w, _ = _arrays.vector(weights, "weights", count, f"a selection of {count} rows")
    if w.dtype.kind == "c" or not (np.isfinite(w).all() and (w >= 0).all()):
        raise ValueError("weights has negative, complex or infinite elements; pass numbers >= 0")
    return w.astype(np.float64, copy=False)
