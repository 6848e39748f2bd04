"""Random rows: projection determinantal point processes and volume sampling."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.results import Result, Status
from ritz.selection._inputs import account, ending, matrix, numbers

__all__ = ["Selection", "projection_dpp", "volume_sampling"]

_METHODS = ("reverse", "leverage")


class Selection(Result):
    """Random rows of a matrix: the tuple (rows, weights).

    Attributes
    ----------
    method : str
        What they were drawn by.
    seed : int
        What they were made from.
    scores : array (m,)
        The leverage scores of all rows.
    rank : int
        Columns of the orthonormal basis Q that was drawn from.
    least_eigenvalue : float
        λ_min of G = Σ wᵢ qᵢᴴ qᵢ over the sample, with w such that E G = I: then
        ‖A x‖² ≤ Σ wᵢ |aᵢ x|² / λ_min for all x.
    log_probability : numpy.ndarray or None
        The logarithm of the probability of each sample of a projection DPP, as a set.
    """

    method: str
    seed: int
    scores: Any
    rank: int
    least_eigenvalue: float
    log_probability: npt.NDArray[np.float64] | None = None

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """The rows drawn."""
        return np.asarray(self[0])

    @property
    def weights(self) -> Any:
        """Their weights in least squares."""
        return self[1]


def projection_dpp(V: Any, *, repeats: int = 1, seed: int = 0) -> Selection:
    """Draw rows S from the projection DPP of the range of V: P(S) = |det V_S|², V orthonormal.

    Parameters
    ----------
    V : array (m, n)
        Of NumPy, torch or JAX. The law depends on its range only: columns that are not orthonormal
        are made so first.
    repeats : int
        Independent samples to draw, one after another.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    Selection
        The tuple (rows, weights): `repeats` samples of r rows in the order drawn, r the rank of V,
        and the weights 1 / (repeats ℓᵢ), with which Σ wᵢ vᵢᴴ vᵢ is I in the mean.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and for elements of V that are not finite.

    Notes
    -----
    Rows of a sample differ, and row i is in it with probability ℓᵢ, its leverage score. The chain
    rule takes the next row with probability in proportion to what of ‖vᵢ‖² lies outside of the span
    of the rows taken, over the sum of what is there: rounding, and columns that are orthonormal to
    single precision only, cannot make the probabilities sum to anything but 1.

    2 m n² flops to look at V, 6 m n² more for a basis unless its columns are orthonormal to 1.5e-8,
    and 2 m r² a sample, in r passes. Memory for m n numbers in double precision.

    References
    ----------
    Hough, Krishnapur, Peres, Virág: Determinantal processes and independence. Probab. Surv. 3,
    2006. Gautier, Polito, Bardenet, Valko: DPPy: DPP sampling with Python. J. Mach. Learn. Res. 20,
    2019.
    """
    begin = time.perf_counter()
    v, framework = matrix(V, "V")
    count = _arrays.integer(repeats, "repeats")
    seed = _arrays.seed_of(seed)
    rows, weights, outcome = _arrays.core(v.dtype).projection_dpp(v, count, 0.0, seed)
    samples = "sample" if count == 1 else "samples"
    return Selection(
        (rows, numbers(weights, v, framework)),
        method="projection_dpp",
        seed=seed,
        scores=numbers(outcome["scores"], v, framework),
        rank=outcome["rank"],
        least_eigenvalue=outcome["least_eigenvalue"],
        log_probability=outcome["log_probability"],
        **account(Status.converged, f"{count} {samples} of {outcome['rank']} rows", count, begin),
    )


def volume_sampling(
    A: Any,
    size: int | None = None,
    *,
    method: str = "reverse",
    least_eigenvalue: float = 0.0,
    max_draws: int = 100,
    seed: int = 0,
) -> Selection:
    """Draw s ≥ n rows S of A with P(S) in proportion to det(A_Sᴴ A_S).

    Parameters
    ----------
    A : array (m, n)
        A dense matrix of full column rank, of NumPy, torch or JAX.
    size : int, optional
        How many rows s, by default n.
    method : {"reverse", "leverage"}
        "reverse": s different rows, whose unweighted least squares are unbiased. "leverage": n rows
        by a projection DPP and s − n independent ones by their leverage scores, which may repeat:
        volume sampling with weights n / (s ℓᵢ), safe against rows that unweighted least squares
        depend on too much.
    least_eigenvalue : float
        Draw again until the smallest eigenvalue of the weighted Gram matrix (see `Selection`) is at
        least this, ½ for instance. Least squares over the sample are then no longer exactly
        unbiased.
    max_draws : int
        Draws at most.
    seed : int
        The same seed gives the same rows.

    Returns
    -------
    Selection
        The tuple (rows, weights) for `weighted_lstsq`. If no draw has reached `least_eigenvalue`
        the status is `max_iterations`, and the rows are those of the best one.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, for an A of dependent columns, and for elements of A that
        are not finite.

    Notes
    -----
    With x* the least-squares solution for any b, and x_S that over the rows S with their weights,
    E x_S = x* for both methods. For s = n, and A in general position, the expected loss
    E ‖A x_S − b‖² is (n + 1) ‖A x* − b‖². For "reverse" E (A_Sᴴ A_S)⁻¹ =
    (m − n + 1)/(s − n + 1) (AᴴA)⁻¹, and row i is in S with probability
    (s − n)/(m − n) + (m − s)/(m − n) ℓᵢ; its weights in the Gram matrix are one over that.

    n rows are drawn by the projection DPP that this law is. For more, "reverse" takes rows out of
    the m until s are left. O(m n²) flops; memory for m n numbers in double precision. Ctrl-C may
    wait for a QR factorisation of half of the rows, made when so many are left.

    References
    ----------
    Dereziński, Warmuth: Reverse iterative volume sampling for linear regression. J. Mach. Learn.
    Res. 19, 2018. Dereziński, Warmuth, Hsu: Leveraged volume sampling for linear regression.
    NeurIPS, 2018. Nouy, Michel: Weighted least-squares approximation with determinantal point
    processes and generalized volume sampling. SMAI J. Comput. Math. 11, 2025.
    """
    begin = time.perf_counter()
    a, framework = matrix(A)
    m, n = a.shape
    if method not in _METHODS:
        raise ValueError(f'method is {method!r}; pass "reverse" or "leverage"')
    if m < n:
        raise ValueError(f"A has shape {a.shape}; volume sampling needs at least as many rows")
    s = n if size is None else _arrays.integer(size, "size", n)
    if method == "reverse" and s > m:
        raise ValueError(f'size is {s}, but A has {m} rows: pass fewer, or method="leverage"')
    least = _arrays.nonnegative(least_eigenvalue, "least_eigenvalue")
    most = _arrays.integer(max_draws, "max_draws")
    seed = _arrays.seed_of(seed)
    rows, weights, outcome = _arrays.core(a.dtype).volume_sampling(
        a, s, _METHODS.index(method), least, most, 0.0, seed
    )
    status, reached = Status(outcome["status"]), outcome["least_eigenvalue"]
    text = f"{s} rows at draw {outcome['iterations']}, smallest eigenvalue {reached:.3e}"
    if least > 0.0:
        text += f", wanted {least:.3e}"
    text += ending(status, "raise size or max_draws, or ask for less")
    return Selection(
        (rows, numbers(weights, a, framework)),
        method=method,
        seed=seed,
        scores=numbers(outcome["scores"], a, framework),
        rank=n,
        least_eigenvalue=reached,
        **account(status, text, outcome["iterations"], begin, reached, least),
    )
