"""Columns that nearly span a matrix."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.results import Result, Status
from ritz.selection._inputs import account, matrix, numbers

__all__ = ["ColumnSubset", "column_subset"]

_METHODS = ("volume", "leverage", "pivoted_qr")


class ColumnSubset(Result):
    """The result (columns, error) of `column_subset`: the error is ‖A − P_C A‖_F, evaluated.

    Attributes
    ----------
    best : float
        ‖A − A_k‖_F, the error of the best approximation of rank k.
    bound : float
        √(k + 1) `best`, for "volume": the root of the mean square of `error` is at most that.
        Infinite for the other methods.
    norm : float
        ‖A‖_F.
    scores : array (n,)
        The leverage scores of the columns in the first k right singular vectors.
    method : str
        What chose them.
    seed : int
        What they were made from.
    """

    best: float
    bound: float
    norm: float
    scores: Any
    method: str
    seed: int

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """The columns chosen."""
        return np.asarray(self[0])

    @property
    def error_estimate(self) -> float:
        """‖A − P_C A‖_F, evaluated."""
        return float(self[1])


def column_subset(A: Any, k: int, *, method: str = "volume", seed: int = 0) -> ColumnSubset:
    """Choose k columns C of A with ‖A − P_C A‖_F next to the best error of rank k.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix, of NumPy, torch or JAX.
    k : int
        Columns wanted, at most the numerical rank of A.
    method : {"volume", "leverage", "pivoted_qr"}
        "volume": at random with P(C) in proportion to det(A_Cᴴ A_C). "leverage": by the projection
        DPP of the first k right singular vectors. "pivoted_qr": the first pivots of QR with column
        pivoting, nothing random.
    seed : int
        The same seed gives the same columns.

    Returns
    -------
    ColumnSubset
        The tuple (columns, error), pivots in their order and others in increasing order.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, for a k above the rank, and for elements of A that are
        not finite.

    Notes
    -----
    E ‖A − P_C A‖_F² ≤ (k + 1) ‖A − A_k‖_F² for "volume", which is the best factor that k columns
    can give in general. Pivots come with a bound exponential in k only, and are seldom bad. The
    sampler is a k-DPP: k right singular vectors are chosen with the elementary symmetric
    polynomials of the squared singular values, in logarithms, and then k columns by their
    projection DPP.

    A factorisation of A, O(m n min(m, n)) flops, and an SVD of min(m, n) × n numbers, for whose end
    Ctrl-C waits.

    References
    ----------
    Deshpande, Rademacher, Vempala, Wang: Matrix approximation and projective clustering via volume
    sampling. Theory Comput. 2, 2006.
    Kulesza, Taskar: k-DPPs: fixed-size determinantal point processes. ICML, 2011.
    """
    begin = time.perf_counter()
    a, framework = matrix(A)
    k = _arrays.integer(k, "k")
    if method not in _METHODS:
        names = ", ".join(f'"{name}"' for name in _METHODS)
        raise ValueError(f"method is {method!r}; pass one of {names}")
    seed = _arrays.seed_of(seed)
    columns, error, outcome = _arrays.core(a.dtype).column_subset(
        a, k, _METHODS.index(method), seed
    )
    best, norm = outcome["best"], outcome["norm"]
    text = f"error {error:.3e} with {k} columns, {best:.3e} for rank {k}, norm {norm:.3e}"
    return ColumnSubset(
        (columns, error),
        best=best,
        bound=math.sqrt(k + 1) * best if method == "volume" else math.inf,
        norm=norm,
        scores=numbers(outcome["scores"], a, framework),
        method=method,
        seed=seed,
        **account(Status.converged, text, 1, begin, error),
    )
