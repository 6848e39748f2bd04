"""Columns of an operator that span the rest of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Result, Status, account_of

__all__ = ["InterpolativeResult", "interpolative"]


class InterpolativeResult(Result):
    """The result (columns, X) of `ritz.interpolative`.

    Attributes
    ----------
    rank : int
        Columns chosen.
    error_estimate : float
        Leave-one-out estimate of ‖A − A[:, columns] X‖_F; exact if the sketch was A itself.
    norm_estimate : float
        Estimate of ‖A‖_F from the same sketch.
    sketch_rows : int
        Rows of the sketch.
    seed : int
        What the sketch was made from.
    method : str
        "pivoted QR".
    C : array (m, k) or None
        The columns themselves, A[:, columns], if return_columns=True asked for them.
    """

    rank: int
    error_estimate: float
    norm_estimate: float
    sketch_rows: int
    seed: int
    method: str
    C: Any = None

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """The numbers of the columns, in the order in which they were chosen."""
        chosen: npt.NDArray[np.int64] = self[0]
        return chosen

    @property
    def X(self) -> Any:
        """The coefficients of all columns in those chosen."""
        return self[1]


def interpolative(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    seed: int = 0,
    oversampling: int | None = None,
    return_columns: bool = False,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> InterpolativeResult:
    """Find columns of A and coefficients X with A ≈ A[:, columns] X and X[:, columns] = I.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes; an operator with its adjoint product.
    rank : int, optional
        Columns to choose, fewer where those are all that are independent in the working precision.
        With tol at most this many.
    tol : float, optional
        Choose as few columns as make the estimate of ‖A − A[:, columns] X‖_F at most tol ‖A‖_F.
    seed : int
        Of the sketch: the same seed gives the same bits.
    oversampling : int, optional
        Rows of the sketch beyond the columns, at least 2. By default 10 or a tenth of the columns
        for an operator, 10 or as many as columns for an array, of which rows cost little.
    return_columns : bool
        Also return C = A[:, columns], by `rank` products of an operator.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    InterpolativeResult
        The tuple (columns, X): the numbers of the columns, a NumPy array (k,) in the order in which
        they were chosen, and X of shape (k, n), of A's kind of array, with `error_estimate` and an
        account of the run. A run that was stopped before its sketch was complete has rank 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    A sketch Y = S A of d = rank + oversampling rows is factored by QR with column pivoting, and X
    is found from Y alone. So ‖A − A[:, columns] X‖_F is about √(1 + k/(d − k − 1)) times the
    distance of A from the range of its columns, and that a small multiple of the best error of
    rank k for the columns of pivoted QR. (The best columns attain √(1 + k (n − k)) σ_{k+1} in the
    spectral norm.) More oversampling makes X better. The elements of X are of order 1.

    The error is estimated without another product: row i of Y − Y[:, columns] X, divided by 1 − h_i
    with h_i the leverage of row i in Y[:, columns], is what that row shows of an error which it had
    no part in making. For given columns the mean of their squares is unbiased for the squared error
    of a sketch with one row less. That the same rows chose the columns makes the estimate 0.9 to
    1.3 times the root mean square error over spectra of all decays.

    Products: d with the adjoint of an operator, in blocks of up to 32, and up to twice those that
    were needed to find a rank for tol. An array or sparse matrix is read once, by a SparseStack. A
    with at most d rows is its own sketch. Beside them 2 d² n work; memory: 5 d n numbers of
    double precision, and X.

    References
    ----------
    Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms for
    constructing approximate matrix decompositions. SIAM Review 53, 2011.

    Cheng, Gimbutas, Martinsson, Rokhlin: On the compression of low rank matrices. SIAM J. Sci.
    Comput. 26, 2005.
    """
    A = aslinearoperator(A)
    options = sizes(rank, tol, oversampling, A)
    seed = _arrays.seed_of(seed)
    framework, dtype = setting(A, like)
    watch = Watch("interpolative", framework, callback, history, timeout, max_products)
    with Binding(dtype, framework) as run, watch.running() as ending:
        columns, X, C, outcome = _arrays.core(dtype).interpolative(
            run(A), memory(A, run), options, seed, bool(return_columns), watch.monitor
        )
        account = skeleton_account(outcome, watch, seed)
        account["method"] = "pivoted QR"
        if C is not None:
            account["C"] = framework.from_numpy(C)
        ending.result = result = InterpolativeResult((columns, framework.from_numpy(X)), **account)
    return result


def sizes(rank: Any, tol: Any, oversampling: Any, A: LinearOperator) -> dict[str, Any]:
    """Return the options that choose the rank and the rows of the sketch."""
    if rank is None and tol is None:
        raise ValueError("neither rank nor tol was given; pass the number of columns, or tol=1e-3")
    options: dict[str, Any] = {}
    if oversampling is None:
        options["share"] = 1.0 if isinstance(A._node, _nodes.Dense | _nodes.Sparse) else 0.1
    else:
        options["oversampling"] = _arrays.integer(oversampling, "oversampling", 2)
    if rank is not None:
        options["rank"] = _arrays.integer(rank, "rank")
    if tol is not None:
        options["tol"] = _arrays.positive(tol, "tol")
    return options


def memory(A: LinearOperator, run: Binding) -> Any:
    """Return the arrays of a matrix that a sketch can read; None for an operator."""
    node = A._node
    if isinstance(node, _nodes.Dense):
        return node.converted(run, "the matrix")
    if isinstance(node, _nodes.Sparse):
        return (node.layout, node.indptr, node.indices, node.converted(run, "the matrix"))
    return None


def skeleton_account(outcome: dict[str, Any], watch: Watch, seed: int) -> dict[str, Any]:
    """Return the attributes of a skeleton decomposition."""
    account = account_of(outcome, watch.history)
    account |= {
        "rank": outcome["rank"],
        "error_estimate": outcome["residual"],
        "norm_estimate": outcome["norm"],
        "sketch_rows": outcome["sketch"],
        "seed": seed,
    }
    if account["status"] is Status.converged and account["target"] == 0.0:
        account["message"] = (
            f"converged: rank {outcome['rank']} from {outcome['sketch']} rows of a sketch, error "
            f"{outcome['residual']:.3e} by its estimate"
        )
    return account
