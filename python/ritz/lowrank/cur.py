"""Columns and rows of an operator that make all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.lowrank.interpolative import memory, sizes, skeleton_account
from ritz.operators import aslinearoperator
from ritz.results import Result

__all__ = ["CurResult", "cur"]

_CORES = ("projection", "cross")


class CurResult(Result):
    """The result (C, U, R) of `ritz.cur`.

    Attributes
    ----------
    rows, cols : numpy.ndarray of int
        C = A[:, cols] and R = A[rows], in the order in which they were chosen.
    rank : int
        Their number.
    error_estimate : float
        Estimate of ‖A − C U R‖_F from the sketch that chose the columns; exact if that was A
        itself.
    norm_estimate : float
        Estimate of ‖A‖_F from the same sketch.
    sketch_rows : int
        Rows of the sketch.
    seed : int
        What the sketch was made from.
    method : str
        The core: "projection" or "cross".
    """

    rows: npt.NDArray[np.int64]
    cols: npt.NDArray[np.int64]
    rank: int
    error_estimate: float
    norm_estimate: float
    sketch_rows: int
    seed: int
    method: str

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """The numbers of the columns, `cols`."""
        return self.cols

    @property
    def C(self) -> Any:
        """The columns A[:, columns]."""
        return self[0]

    @property
    def U(self) -> Any:
        """The core."""
        return self[1]

    @property
    def R(self) -> Any:
        """The rows A[rows]."""
        return self[2]


def cur(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    core: str = "projection",
    seed: int = 0,
    oversampling: int | None = None,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> CurResult:
    """Find columns C and rows R of A and a core U with A ≈ C U R.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes; an operator with its adjoint product.
    rank : int, optional
        Columns and rows to choose, fewer where those are all that are independent in the working
        precision. With tol at most this many.
    tol : float, optional
        Choose as many as make the estimate of ‖A − C U R‖_F at most tol ‖A‖_F.
    core : {"projection", "cross"}
        "projection": U = C⁺ A R⁺, which makes the error least for these columns and rows. "cross":
        U = A[rows, columns]⁻¹, without products for U; C U R meets A in those rows and columns.
    seed : int
        Of the sketch: the same seed gives the same bits.
    oversampling : int, optional
        Rows of the sketch beyond the columns, at least 2; by default as for `interpolative`.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    CurResult
        The tuple (C, U, R) of shapes (m, k), (k, k), (k, n) and of A's kind of array, with `rows`,
        `columns`, `error_estimate` and an account of the run. A run that was stopped before it had
        all three has rank 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The columns are those of `interpolative`; the rows are chosen from C by a QR factorisation of Cᴴ
    with pivoting. C⁺ and R⁺ are applied by QR factors. In rounding C U R is as exact as
    eps ‖A‖ ‖A‖/σ_k: a rank at which σ_k has fallen below √eps ‖A‖ gains nothing.

    The error is estimated from the sketch Y that chose the columns, by
    ‖Y − Y[:, columns] U R‖_F/√d, d the number of its rows: U and R do not depend on them.

    Products of an operator: d = rank + oversampling adjoint ones for the sketch, k for C, k adjoint
    ones for R, and k for the core "projection", all in blocks of up to 32. An array or sparse
    matrix is sketched by reading it once. Beside them 12 m k² + 6 n k² + 4 d n k work, and memory
    of 3 (m + n) k + 4 d n numbers.

    References
    ----------
    Voronin, Martinsson: Efficient algorithms for CUR and interpolative matrix decompositions. Adv.
    Comput. Math. 43, 2017.

    Park, Nakatsukasa: Accuracy and stability of CUR decompositions with oversampling. SIAM J.
    Matrix Anal. Appl. 46, 2025.
    """
    A = aslinearoperator(A)
    options = sizes(rank, tol, oversampling, A)
    if core not in _CORES:
        raise ValueError(f'core is {core!r}; pass "projection" or "cross"')
    seed = _arrays.seed_of(seed)
    framework, dtype = setting(A, like)
    watch = Watch("cur", framework, callback, history, timeout, max_products)
    with Binding(dtype, framework) as run, watch.running() as ending:
        C, U, R, rows, columns, outcome = _arrays.core(dtype).cur(
            run(A), memory(A, run), options, _CORES.index(core), seed, watch.monitor
        )
        account = skeleton_account(outcome, watch, seed)
        account |= {"rows": rows, "cols": columns, "method": core}
        factors = tuple(framework.from_numpy(a) for a in (C, U, R))
        ending.result = result = CurResult(factors, **account)
    return result
