"""The generalised Nyström approximation: any operator, one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from ritz import _arrays
from ritz._device import place
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.lowrank.nystrom import rank_of
from ritz.operators import aslinearoperator
from ritz.results import Result, Status, account_of

__all__ = ["GeneralizedNystromResult", "nystrom_generalized"]


class GeneralizedNystromResult(Result):
    """The result (U, s, Vh) of `ritz.nystrom_generalized`.

    Attributes
    ----------
    rank : int
        Columns of U: those asked for, or the rank of A to rounding if that is less.
    error_estimate : float
        An estimate of ‖A − Â‖_F, leave-one-out: the root mean square, over the columns of X, of
        what the approximation without one of them leaves of its product. Unbiased for the square of
        the error of one column less; not below the rounding of the products.
    method : str
        "nystrom_generalized".
    seed : int
        Of the random vectors.
    """

    rank: int
    error_estimate: float
    method: str
    seed: int

    @property
    def U(self) -> Any:
        """The left singular vectors of Â, one a column."""
        return self[0]

    @property
    def s(self) -> Any:
        """Its singular values, descending."""
        return self[1]

    @property
    def Vh(self) -> Any:
        """The right singular vectors, conjugated, one a row."""
        return self[2]


def nystrom_generalized(
    A: Any,
    rank: int,
    *,
    oversampling: int | None = None,
    seed: int = 0,
    like: Any = None,
    block: int = 32,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
) -> GeneralizedNystromResult:
    """Approximate any A by U diag(s) Vᴴ from AX and AᴴY with random X and Y, in one pass.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    rank : int
        r, the columns of X, of U and of V; at most min(m, n).
    oversampling : int, optional
        ℓ, the columns of Y beyond r, by default r // 2. With 0 the approximation can be arbitrarily
        bad.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    block : int
        Columns of one product with A.
    callback, timeout, max_products
        As for `cg`; an iteration is a column, and callbacks come once for each block.

    Returns
    -------
    GeneralizedNystromResult
        The tuple (U, s, Vh), U of shape (m, rank) and Vh of shape (rank, n), with `error_estimate`
        and an account of the run. A run that was stopped before all its products has rank 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Â = AX (YᴴAX)⁺ YᴴA, of which AX = QR is orthonormalised first: then Â = Q (YᴴQ)⁺ YᴴA, with a
    well-conditioned least-squares problem in the middle whatever A is. In the mean

        E ‖A − Â‖_F ≤ √(1 + r/(ℓ − 1)) √(1 + k/(r − k − 1)) (Σ_{j>k} σ_j²)^½   for all k < r − 1.

    Neither product needs the other: where A can be read only once, both are made as it passes. If
    it can be read twice, `svd_lowrank` is the more accurate by the first factor.

    r + (r + ℓ) products, in blocks. Memory: 2r + ℓ vectors of each side, beside U and Vh.

    References
    ----------
    Nakatsukasa: Fast and stable randomized low-rank matrix approximation. arXiv 2009.11392, 2020.

    Tropp, Yurtsever, Udell, Cevher: Practical sketching algorithms for low-rank matrix
    approximation. SIAM J. Matrix Anal. Appl. 38, 2017.
    """
    a = aslinearoperator(A)
    options: dict[str, Any] = {
        "rank": rank_of(rank, "rank", min(a.shape)),
        "block": _arrays.integer(block, "block"),
        "seed": _arrays.seed_of(seed),
    }
    if oversampling is not None:
        options["oversampling"] = _arrays.integer(oversampling, "oversampling", 0)
    framework, core, dtype = place(a, like)
    watch = Watch("nystrom_generalized", framework, callback, False, timeout, max_products)
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        U, s, Vh, outcome = core.nystrom_generalized(run(a), options, watch.monitor)
        account = account_of(outcome, None)
        if account["status"] is Status.converged:
            account["message"] = f"converged: all {account['iterations']} products were made"
        account |= {
            "rank": int(s.size),
            "error_estimate": outcome["error"],
            "method": "nystrom_generalized",
            "seed": options["seed"],
        }
        real = np.dtype(dtype.char.lower())
        values = framework.from_numpy(s.astype(real))
        ending.result = result = GeneralizedNystromResult(
            (framework.from_columns(U), values, framework.from_run(Vh)), **account
        )
    return result
