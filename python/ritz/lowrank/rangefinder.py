"""Orthonormal bases of ranges, from products with random vectors."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz._device import place
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.lowrank.svd_lowrank import _message, _rank, known_norm
from ritz.operators import aslinearoperator
from ritz.results import Result, account_of

__all__ = ["RangefinderResult", "rangefinder"]


class RangefinderResult(Result):
    """The result (Q,) of `ritz.rangefinder`.

    Attributes
    ----------
    error_estimate : float
        An estimate of ‖A − QQᴴA‖_F, leave-one-out: the root mean square, over the columns ωᵢ of the
        last block, of ‖(I − QᵢQᵢᴴ) A ωᵢ‖, Qᵢ the basis without the column that ωᵢ gave. Its square
        is unbiased for the expected squared error with one column less. 0 where Q has all of the
        range.
    error_stderr : float
        Its standard error.
    rank : int
        Columns of Q.
    norm : float
        ‖A‖_F, known or estimated.
    method : str
        "rangefinder".
    seed : int
        Of the random vectors.
    """

    error_estimate: float
    error_stderr: float
    rank: int
    norm: float
    method: str
    seed: int

    @property
    def Q(self) -> Any:
        """The orthonormal basis, one vector a column."""
        return self[0]


def rangefinder(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    oversampling: int | None = None,
    power: int = 0,
    block: int = 16,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> RangefinderResult:
    """Find an orthonormal Q with ‖A − QQᴴA‖_F small: a basis of (AAᴴ)^q A Ω, Ω normal.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product if `power` > 0.
    rank : int, optional
        The rank that Q is made for: it has `oversampling` columns more. With `tol` at most so many.
    tol : float, optional
        Add blocks until `error_estimate` ≤ tol ‖A‖_F.
    oversampling : int, optional
        By default max(10, rank / 10), and 0 with `tol`.
    power : int
        q: rounds of products with Aᴴ and A that every block goes through.
    block : int
        Columns of a block, with `tol`.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, max_products, history
        As for `cg`; an iteration is a block.

    Returns
    -------
    RangefinderResult
        The tuple (Q,), Q of shape (m, columns), with `error_estimate` and an account of the run. Q
        has fewer columns where A has a lower rank.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    2q + 1 products a column of Q, orthonormalised after each. Without power and with p more columns
    than k, E ‖A − QQᴴA‖_F ≤ √(1 + k/(p − 1)) (Σ_{j>k} s_j²)^½. Memory: Q, and a block of each
    side.

    References
    ----------
    Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms for
    constructing approximate matrix decompositions. SIAM Review 53, 2011.

    Epperly, Tropp: Efficient error and variance estimation for randomized matrix computations. SIAM
    J. Sci. Comput. 46, 2024.
    """
    if rank is None and tol is None:
        raise ValueError("neither rank nor tol was given; pass one of them, or both")
    A = aslinearoperator(A)
    least = min(A.shape)
    columns = least if rank is None else _rank(rank, "rank", A)
    more = 0 if tol is not None else max(10, columns // 10)
    if oversampling is not None:
        more = _arrays.integer(oversampling, "oversampling", 0)
    columns = min(columns + more, least)
    tol = 0.0 if tol is None else _arrays.positive(tol, "tol")
    power = _arrays.integer(power, "power", 0)
    block = _arrays.integer(block, "block")
    if max_products is not None:
        first = (2 * power + 1) * min(block if tol > 0.0 else columns, columns)
        if _arrays.integer(max_products, "max_products") < first:
            raise ValueError(
                f"max_products is {max_products}, fewer than the first {first}: raise it, or pass "
                "fewer columns"
            )
    seed = _arrays.seed_of(seed)
    framework, core, dtype = place(A, like)
    watch = Watch("rangefinder", framework, callback, history, timeout, max_products)
    options = {
        "columns": columns,
        "tol": tol,
        "block": block,
        "power": power,
        "norm": known_norm(A) if tol > 0.0 else 0.0,
        "seed": seed,
    }
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        Q, outcome = core.rangefinder(run(A), options, watch.monitor)
        account = account_of(outcome, watch.history)
        account["message"] = _message(account, tol)
        account |= {
            "error_estimate": outcome["error"],
            "error_stderr": outcome["stderr"],
            "rank": outcome["rank"],
            "norm": outcome["norm"],
            "method": "rangefinder",
            "seed": seed,
        }
        ending.result = result = RangefinderResult((framework.from_columns(Q),), **account)
    return result
