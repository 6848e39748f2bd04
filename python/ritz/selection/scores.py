"""Leverage scores, Lewis weights and sensitivities of the rows of a matrix."""

from __future__ import annotations

import time
from typing import Any

from ritz import _arrays
from ritz._run import Callbacks, Watch
from ritz.results import Result, Status
from ritz.selection._inputs import account, ending, matrix, numbers, positive_power

__all__ = ["LewisWeights", "leverage_scores", "lewis_weights", "sensitivities"]

# Rows of the sketch for each column of A.
_OVERSAMPLING = 8


class LewisWeights(Result):
    """The result (weights, residual) of `lewis_weights`.

    Attributes
    ----------
    p : float
        Of the norm.
    rank : int
        The numerical rank of A, which the weights sum to.
    """

    p: float
    rank: int

    @property
    def weights(self) -> Any:
        """One weight a row, of the kind of A."""
        return self[0]


def leverage_scores(
    A: Any,
    *,
    method: str = "exact",
    sketch_rows: int | None = None,
    probes: int | None = None,
    seed: int = 0,
) -> Any:
    """Compute or estimate the leverage scores ℓᵢ = aᵢᴴ (AᴴA)⁺ aᵢ of the rows of A.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix, of NumPy, torch or JAX.
    method : {"exact", "sketched"}
        "exact" factors all of A. "sketched" factors S A instead, S a `SparseStack`.
    sketch_rows : int, optional
        Rows of S, by default 8 n; as many as A has or more make the scores exact.
    probes : int, optional
        Look at A R⁻¹ through this many random combinations of its columns; by default at all of it.
    seed : int
        Of S and the probes: the same seed gives the same bits.

    Returns
    -------
    array (m,)
        Of the kind of A. Exact scores lie in [0, 1] and sum to the rank.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and for elements of A that are not finite.

    Notes
    -----
    The scores are the squared row norms of an orthonormal basis of the range of A, found in double
    precision by Householder QR of panels of rows. Columns are scaled first, so that units do not
    matter; the rank counts the diagonal elements of a pivoted R above max(m, n) eps times the
    largest.

    Sketched scores are ‖aᵢ R⁻¹ G‖², R from S A. With S keeping norms in the range of A to 1 ± ε,
    ε ≈ √(n / sketch_rows), they are within [1/(1 + ε)², 1/(1 − ε)²] of ℓᵢ for G = I; k probes add a
    relative standard deviation of √(2/k), √(1/k) for a complex A.

    6 m n² flops and memory for m n numbers; sketched 2 m n k flops for k probes, m n² without,
    beside a QR factorisation of S A, and no copy of A.

    References
    ----------
    Drineas, Magdon-Ismail, Mahoney, Woodruff: Fast approximation of matrix coherence and
    statistical leverage. J. Mach. Learn. Res. 13, 2012.
    """
    a, framework = matrix(A)
    if method not in ("exact", "sketched"):
        raise ValueError(f'method is {method!r}; pass "exact" or "sketched"')
    rows = (
        _OVERSAMPLING * a.shape[1]
        if sketch_rows is None
        else _arrays.integer(sketch_rows, "sketch_rows", a.shape[1])
    )
    count = 0 if probes is None else _arrays.integer(probes, "probes")
    seed = _arrays.seed_of(seed)
    if method == "exact" and (sketch_rows is not None or probes is not None):
        raise ValueError('sketch_rows and probes are for method="sketched"')
    if method == "exact" or rows >= a.shape[0]:
        rows = count = 0
    scores, _ = _arrays.core(a.dtype).leverage_scores(a, rows, count, 0.0, seed)
    return numbers(scores, a, framework)


def lewis_weights(
    A: Any,
    p: float,
    *,
    tol: float = 1e-8,
    maxiter: int = 500,
    callback: Callbacks = None,
    timeout: float | None = None,
) -> LewisWeights:
    """Compute the ℓp Lewis weights: wᵢ is the leverage score of row i of W^(1/2 − 1/p) A.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix, of NumPy, torch or JAX.
    p : float
        Greater than 0; at p = 2 the weights are the leverage scores.
    tol : float
        Converged means max |τᵢ / wᵢ − 1| ≤ tol, evaluated, with τ the leverage scores of
        W^(1/2 − 1/p) A.
    maxiter : int
        Iterations at most.
    callback : callable or sequence of callables, optional
        Called with a `ritz.Iteration` after each iteration, `x` the weights in double precision;
        returning True stops the run.
    timeout : float, optional
        Seconds, looked at after each iteration.

    Returns
    -------
    LewisWeights
        The tuple (weights, residual), the weights of the kind of A, with an account of the run. One
        that was stopped has the weights of its last iteration, and their residual.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and for elements of A that are not finite.

    Notes
    -----
    wᵢ ← (aᵢᴴ (Aᴴ W^(1 − 2/p) A)⁻¹ aᵢ)^(p/2), which contracts the logarithms by |1 − p/2| < 1 for
    p < 4. From p = 4 on a damped step is taken that contracts by (p − 2)/(p + 2) next to the
    solution; no proof is known from afar, and the residual tells. 6 m n² flops an iteration, memory
    for 2 m n numbers in double precision.

    Rows drawn with probabilities in proportion to w, and weighted by them, keep ‖A x‖_p for all x.

    References
    ----------
    Cohen, Peng: ℓp row sampling by Lewis weights. STOC, 2015.
    """
    begin = time.perf_counter()
    a, framework = matrix(A)
    p = positive_power(p)
    tol = _arrays.nonnegative(tol, "tol")
    most = _arrays.integer(maxiter, "maxiter")
    watch = Watch("lewis_weights", framework, callback, False, timeout, None)
    with watch.running() as end:
        weights, outcome = _arrays.core(a.dtype).lewis_weights(a, p, tol, most, 0.0, watch.monitor)
        status, residual = Status(outcome["status"]), outcome["residual"]
        text = f"relative residual of the fixed point {residual:.3e}, tolerance {tol:.3e}"
        text += ending(status, "raise maxiter or tol")
        end.result = result = LewisWeights(
            (numbers(weights, a, framework), residual),
            p=p,
            rank=outcome["rank"],
            **account(status, text, outcome["iterations"], begin, residual, tol),
        )
    return result


def sensitivities(A: Any, p: float, *, tol: float = 1e-3, maxiter: int = 100) -> Any:
    """Bound the ℓp sensitivities sᵢ = maxₓ |aᵢ x|^p / ‖A x‖_p^p of the rows from above.

    Parameters
    ----------
    A : array (m, n)
        A dense matrix, of NumPy, torch or JAX.
    p : float
        Greater than 0.
    tol, maxiter
        How far the Lewis weights are computed, as for `lewis_weights`.

    Returns
    -------
    array (m,)
        Upper bounds, of the kind of A: exact for p = 2, where they are the leverage scores.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and for elements of A that are not finite.

    Notes
    -----
    The bound is the least of three. One is 1. One comes from the leverage scores ℓ:
    ℓᵢ^(p/2), times m^(p/2 − 1) for p > 2. And one from weights w next to the Lewis weights, where
    ρᵢ is the leverage score of row i of W^(1/2 − 1/p) A over wᵢ: wᵢ maxⱼ ρⱼ for p < 2, and
    wᵢ ρᵢ^(p/2) (Σ w)^(p/2 − 1) for p > 2. It holds for any w: not even the convergence of the
    weights is taken on trust. The bounds sum to at most n for p < 2, n^(p/2) for p > 2, but for
    tol.

    For sampling, Woodruff and Yasuda take probabilities in proportion to s^(2 − 2/p) for p > 2, and
    Munteanu and Omlor to s + ℓ for 1 ≤ p ≤ 2.

    References
    ----------
    Woodruff, Yasuda: Sharper bounds for ℓp sensitivity sampling. ICML, 2023.
    Munteanu, Omlor: Optimal bounds for ℓp sensitivity sampling via ℓ2 augmentation. ICML, 2024.
    """
    a, framework = matrix(A)
    p = positive_power(p)
    tol = _arrays.nonnegative(tol, "tol")
    most = _arrays.integer(maxiter, "maxiter")
    bounds, _ = _arrays.core(a.dtype).sensitivities(a, p, tol, most, 0.0)
    return numbers(bounds, a, framework)
