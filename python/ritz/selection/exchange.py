"""Rows of nearly maximal volume, found by exchange."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._run import Callbacks, Watch
from ritz.results import Result, Status
from ritz.selection._inputs import account, ending, matrix

__all__ = ["MaxvolResult", "maxvol", "maxvol_rectangular"]


class MaxvolResult(Result):
    """The result (rows, B) of `maxvol` and `maxvol_rectangular`: A = B A[rows].

    Attributes
    ----------
    swaps : int
        Exchanges of rows made.
    largest : float
        max |Bᵢⱼ|, or the largest norm of a row of B; evaluated, as `residual` is.
    method : str
        "maxvol" or "maxvol_rectangular".
    """

    swaps: int
    largest: float
    method: str

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The rows chosen, in the order of the columns of B."""
        return np.asarray(self[0])

    @property
    def coefficients(self) -> Any:
        """The matrix B = A A[rows]⁺ of shape (m, len(rows)), of the kind of A."""
        return self[1]


def maxvol(
    A: Any,
    tol: float = 1.05,
    maxiter: int | None = None,
    *,
    callback: Callbacks = None,
    timeout: float | None = None,
) -> MaxvolResult:
    """Find n rows I of A with max |(A A_I⁻¹)ᵢⱼ| ≤ tol, by exchanging one row at a time.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix of full column rank, of NumPy, torch or JAX.
    tol : float
        At least 1.
    maxiter : int, optional
        Exchanges at most, by default max(100, 10 n).
    callback : callable or sequence of callables, optional
        Called with a `ritz.Iteration` after each exchange, `residual` the largest |Bᵢⱼ|; returning
        True stops the run.
    timeout : float, optional
        Seconds, looked at after each exchange.

    Returns
    -------
    MaxvolResult
        The tuple (rows, B), B = A A_I⁻¹ with the identity in the rows I. A run that was stopped has
        the rows of its last exchange, for which B is computed anew like for any other.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, for an A of dependent columns, and for elements of A that
        are not finite.

    Notes
    -----
    |det A_I| is then at least (tol √n)⁻ⁿ times that of any n rows, n^(−n/2) for tol = 1, and
    ‖A_I⁻¹‖ ≤ √(1 + n (m − n) tol²) / σ_min(A). Starts from the pivots of an LU factorisation; while
    an element of B is too large, its row takes the place of the row of its column, which multiplies
    the volume by it. An exchange is one pass over B, 2 m n flops; B is computed anew every n
    exchanges, and before convergence is claimed. Memory for 3 m n numbers in double precision.

    References
    ----------
    Goreinov, Oseledets, Savostyanov, Tyrtyshnikov, Zamarashkin: How to find a good submatrix. In:
    Matrix methods: theory, algorithms and applications, 2010.
    """
    begin = time.perf_counter()
    a, framework = _tall(A, "maxvol")
    tol, most = _limits(tol, maxiter)
    watch = Watch("maxvol", framework, callback, False, timeout, None)
    with watch.running() as end:
        rows, B, outcome = _arrays.core(a.dtype).maxvol(a, tol, most, 0.0, watch.monitor)
        status, largest = Status(outcome["status"]), outcome["residual"]
        swaps = outcome["iterations"]
        text = f"largest coefficient {largest:.6g} after {swaps} swaps, tol {tol:.6g}"
        text += ending(status, "raise maxiter or tol")
        end.result = result = MaxvolResult(
            (rows, framework.from_numpy(B)),
            swaps=swaps,
            largest=largest,
            method="maxvol",
            **account(status, text, swaps, begin, largest, tol),
        )
    return result


def maxvol_rectangular(
    A: Any,
    size: int | None = None,
    *,
    tol: float = 1.1,
    max_size: int | None = None,
    square_tol: float = 1.05,
    maxiter: int | None = None,
    callback: Callbacks = None,
    timeout: float | None = None,
) -> MaxvolResult:
    """Find rows I of A, n or more, with ‖aᵢ A_I⁺‖ ≤ tol for every row aᵢ.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix of full column rank, of NumPy, torch or JAX.
    size : int, optional
        Take exactly this many rows; by default as few as the tolerance needs.
    tol : float
        At least 1.
    max_size : int, optional
        Rows at most, by default m.
    square_tol, maxiter
        `tol` and `maxiter` of `maxvol`, which finds the first n rows.
    callback : callable or sequence of callables, optional
        Called with a `ritz.Iteration` after each exchange of `maxvol`, and after each row added,
        `residual` then the largest ‖aᵢ A_I⁺‖; returning True stops the run.
    timeout : float, optional
        Seconds, looked at as often.

    Returns
    -------
    MaxvolResult
        The tuple (rows, B), B = A A_I⁺. The status tells whether the tolerance is met, with a given
        size as well. A run that was stopped has the rows found so far, at least n, with their B.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, for an A of dependent columns, and for elements of A that
        are not finite.

    Notes
    -----
    Adds the row of the longest coefficients again and again, which makes det(A_Iᴴ A_I) grow most.
    2 m n flops a row after those of `maxvol`, and 2 m n len(rows) for B.

    References
    ----------
    Mikhalev, Oseledets: Rectangular maximum-volume submatrices and their applications. Linear
    Algebra Appl. 538, 2018.
    """
    begin = time.perf_counter()
    a, framework = _tall(A, "maxvol_rectangular")
    m, n = a.shape
    square_tol, most = _limits(square_tol, maxiter, "square_tol")
    tol, _ = _limits(tol, None)
    wanted = 0 if size is None else _arrays.integer(size, "size", n)
    limit = m if max_size is None else _arrays.integer(max_size, "max_size", n)
    if wanted > m:
        raise ValueError(f"size is {wanted}, but A has {m} rows; pass at most as many")
    watch = Watch("maxvol_rectangular", framework, callback, False, timeout, None)
    with watch.running() as end:
        rows, B, outcome = _arrays.core(a.dtype).maxvol_rectangular(
            a, tol, wanted, limit, square_tol, most, 0.0, watch.monitor
        )
        status, largest = Status(outcome["status"]), outcome["residual"]
        text = f"largest norm of coefficients {largest:.6g} in {len(rows)} rows, tol {tol:.6g}"
        text += ending(status, "take more rows, or raise tol")
        end.result = result = MaxvolResult(
            (rows, framework.from_numpy(B)),
            swaps=outcome["iterations"],
            largest=largest,
            method="maxvol_rectangular",
            **account(status, text, outcome["iterations"], begin, largest, tol),
        )
    return result


def _tall(A: Any, method: str) -> tuple[npt.NDArray[Any], Any]:
    a, framework = matrix(A)
    if a.shape[0] < a.shape[1]:
        raise ValueError(
            f"A has shape {a.shape}; {method} chooses rows of a matrix with at least as many rows "
            "as columns: pass A.T to choose columns"
        )
    return a, framework


def _limits(tol: Any, maxiter: Any, name: str = "tol") -> tuple[float, int]:
    tol = _arrays.number(tol, name)
    if tol < 1.0:
        raise ValueError(f"{name} is {tol!r}; pass a number of at least 1")
    return tol, _arrays.limit(maxiter, "maxiter")
