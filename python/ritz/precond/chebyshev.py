"""Chebyshev polynomials of an operator, best on an interval of eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np

from ritz import _arrays, _nodes
from ritz._linear import require_self_adjoint
from ritz.eigen.eigsh import eigsh
from ritz.operators import LinearOperator, aslinearoperator

__all__ = ["chebyshev"]


def chebyshev(
    A: Any,
    degree: int = 8,
    *,
    bounds: tuple[float, float] | None = None,
    ratio: float = 30.0,
    seed: int = 0,
    like: Any = None,
) -> LinearOperator:
    """Return p(A) ≈ A⁻¹, the Chebyshev polynomial that is best on an interval of eigenvalues.

    Parameters
    ----------
    A : operator (n, n)
        Hermitian positive definite; anything that `aslinearoperator` takes.
    degree : int
        Of p: the products with A that a product with p(A) makes.
    bounds : (float, float), optional
        The interval. Without it the upper end is estimated by Lanczos steps.
    ratio : float
        Upper over lower end where `bounds` is not given. 30: what a low degree can even out, and
        the eigenvalues below, which are few in most problems, are left to the solver.
    seed : int
        Of the Lanczos start.
    like : array, optional
        For the estimate: an example of the kind of array that A's closures take, where A does not
        tell.

    Returns
    -------
    LinearOperator
        Products inside are counted by `A.counts`.

    Raises
    ------
    ValueError
        For an interval that is not 0 < lower < upper, or if the Lanczos steps find no positive
        eigenvalue or values that are not finite.

    Notes
    -----
    1 − λ p(λ) = T_{d+1}((θ − λ)/δ) / T_{d+1}(θ/δ) with θ, δ the middle and half the length of the
    interval [a, b]. For even degrees p is positive at every λ > 0, so that p(A) is positive
    definite whatever the bounds; for odd ones up to a + b only. The estimated b is 1.1 times the
    Ritz value of Lanczos steps that go on, ten at a time, until its residual is 0.05 of it: an
    eigenvalue lies that near, and as much again is left for one that the random start saw little
    of. Too large a b costs little: p is a little less sharp.

    No product is made for given bounds. A product with p(A): `degree` products with A, traffic of 6
    vectors for each. Memory: two vectors.

    References
    ----------
    Saad: Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM, 2003, algorithm 12.1. Adams,
    Brezina, Hu, Tuminaro: Parallel multigrid smoothing: polynomial versus Gauss-Seidel. J. Comput.
    Phys. 188, 2003 (ratio and safety factor).
    """
    a = aslinearoperator(A)
    require_self_adjoint(a, "A", "chebyshev")
    degree = _arrays.integer(degree, "degree")
    if bounds is None:
        ratio = _arrays.number(ratio, "ratio")
        if not 1.0 < ratio < np.inf:
            raise ValueError(f"ratio is {ratio}; pass a number greater than 1")
        high = 1.1 * largest_eigenvalue(a, seed, like)
        low = high / ratio
    else:
        low, high = (_arrays.number(bound, "bounds") for bound in bounds)
        if not 0.0 < low < high < np.inf:
            raise ValueError(f"bounds is {bounds}; pass 0 < lower < upper")
    return LinearOperator._of(_nodes.Chebyshev(a, degree, low, high), a.shape, True)


def largest_eigenvalue(a: LinearOperator, seed: int, like: Any) -> float:
    """Return the largest eigenvalue of A, to 5 %, or raise ValueError if it is not positive."""
    if a.shape[0] == 0:
        return 1.0
    result = eigsh(
        a,
        1,
        which="LA",
        ncv=min(10, a.shape[0]),
        tol=0.05,
        verify=False,
        return_eigenvectors=False,
        seed=seed,
        like=like,
    )
    if not result.converged:
        raise ValueError(f"the largest eigenvalue of A was not found: {result.message}")
    value = float(result[0][0])
    if not value > 0.0:
        raise ValueError(f"the largest eigenvalue of A is {value:.2g}; A is not positive definite")
    return value
