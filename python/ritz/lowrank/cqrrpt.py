"""QR factorisation with column pivoting of tall matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.results import Result, Status, account_of

__all__ = ["CqrrptResult", "cqrrpt"]


class CqrrptResult(Result):
    """The result (Q, R, piv) of `ritz.cqrrpt`.

    Attributes
    ----------
    rank : int
        The numerical rank k: columns of Q and rows of R.
    error_estimate : float
        An estimate of ‖QᴴQ − I‖_F from four random vectors.
    condition : float
        The condition number of the matrix that Cholesky QR was applied to, by power iteration, from
        below; 1 if it was not.
    sketch_rows : int
        Rows of the sketch; 0 without one.
    passes : int
        Passes of Cholesky QR; 0 if A was factored by reflections.
    seed : int
        What the sketch was made from.
    method : str
        "cholesky", or "householder" for an A that is not tall or whose sketches failed.
    """

    rank: int
    error_estimate: float
    condition: float
    sketch_rows: int
    passes: int
    seed: int
    method: str

    @property
    def Q(self) -> Any:
        """The orthonormal factor."""
        return self[0]

    @property
    def R(self) -> Any:
        """The triangular factor."""
        return self[1]

    @property
    def piv(self) -> npt.NDArray[np.int64]:
        """Column j of Q R is column piv[j] of A."""
        pivots: npt.NDArray[np.int64] = self[2]
        return pivots


def cqrrpt(
    A: Any,
    *,
    seed: int = 0,
    gamma: float = 2.0,
    nnz: int = 4,
    rank_tol: float | None = None,
) -> CqrrptResult:
    """Factor A[:, piv] = Q R for a tall A, with column pivoting, at the speed of matrix products.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix of NumPy, torch or JAX, at any strides.
    seed : int
        Of the sketch: the same seed gives the same bits.
    gamma : float
        Rows of the sketch over columns of A, at least 1.
    nnz : int
        Nonzeros in each column of the sketch.
    rank_tol : float, optional
        Columns whose R_ii is at most rank_tol |R_11| are dropped; by default 2 u^0.95, u the unit
        roundoff.

    Returns
    -------
    CqrrptResult
        The tuple (Q, R, piv): Q of shape (m, k) with orthonormal columns, R upper trapezoidal of
        shape (k, n), both of A's kind of array, and piv, a NumPy array (n,), with an account of the
        run. k is the numerical rank, min(m, n) for an A of full rank, as
        `scipy.linalg.qr(A, mode="economic", pivoting=True)` returns it. An A that is not finite
        ends it with `nonfinite` and rank 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    A sketch of gamma n rows is factored by QR with column pivoting. Its triangular factor makes of
    the pivoted columns a matrix whose condition number is about (1 + √(1/gamma))/(1 − √(1/gamma)),
    5.83 by default, whatever that of A; that one is factored by Cholesky QR, which needs matrix
    products alone. The pivots are those of the sketch: |R_ii| falls but for its distortion.

    A second pass follows where Q is not orthonormal to 10 eps √n, and a taller sketch, at last
    Householder reflections, where the first one missed something of A: no failure of the Cholesky
    factorisation reaches the caller. A of at most gamma n rows is factored by reflections at once.

    Work: 3 m n², and 2 nnz m n for the sketch. A is read twice. Memory: Q, the sketch, and
    up to a fourth of Q for sums.

    References
    ----------
    Melnichenko, Balabanov, Murray, Demmel, Mahoney, Luszczek: CholeskyQR with randomization and
    pivoting for tall matrices (CQRRPT). SIAM J. Matrix Anal. Appl. 46, 2025.
    """
    a, framework = _arrays.array(A, "A")
    if a.ndim != 2:
        raise ValueError(f"A has shape {a.shape}; a 2-d array is needed")
    gamma = _arrays.number(gamma, "gamma")
    if gamma < 1.0:
        raise ValueError(f"gamma is {gamma}; pass a number of at least 1")
    options: dict[str, Any] = {"gamma": gamma, "nnz": _arrays.integer(nnz, "nnz")}
    if rank_tol is not None:
        options["rank_tol"] = _arrays.positive(rank_tol, "rank_tol")
    seed = _arrays.seed_of(seed)
    if not a.flags.aligned or any(step % a.itemsize for step in a.strides):
        a = np.ascontiguousarray(a)  # a field of records
    q, r, piv, outcome = _arrays.core(a.dtype).cqrrpt(a, options, seed)
    k = outcome["rank"]
    account = account_of(outcome, None)
    account |= {
        "rank": k,
        "error_estimate": outcome["residual"],
        "condition": outcome["condition"],
        "sketch_rows": outcome["sketch"],
        "passes": outcome["iterations"],
        "seed": seed,
        "method": "cholesky" if outcome["iterations"] > 0 else "householder",
    }
    if account["status"] is Status.converged:
        account["message"] = (
            f"converged: rank {k}, ‖QᴴQ − I‖_F {outcome['residual']:.1e} by its estimate"
        )
    return CqrrptResult(
        (framework.from_numpy(q[:, :k]), framework.from_numpy(r[:k]), piv), **account
    )
