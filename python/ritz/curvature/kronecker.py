"""Kronecker-factored blocks of curvature matrices: products, spectra, inverses."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

from array_api_compat import array_namespace

__all__ = ["KroneckerBlock", "nearest_kronecker"]


class KroneckerBlock:
    """B ⊗ A on matrices V (o, i), V ↦ B V Aᵀ; or U_B (Λ ⊙ (U_Bᵀ V U_A)) U_Aᵀ in their eigenbases.

    Parameters
    ----------
    name : str
        Of the layer.
    leaves : tuple of int
        The leaves that it acts on, side by side: the weight (o, …), the bias (o,).
    A, B : arrays (i, i) and (o, o), float64
        Symmetric positive semidefinite.
    dtype
        Of the matrices that it is applied to.
    eigenvalues : array (o, i), float64, optional
        Λ where it is not the outer product of the factors' own eigenvalues.

    Notes
    -----
    A product costs 2 o i (o + i) operations with the factors, twice as many in the eigenbases.
    """

    def __init__(
        self,
        name: str,
        leaves: tuple[int, ...],
        A: Any,
        B: Any,
        dtype: Any,
        eigenvalues: Any = None,
    ) -> None:
        self.name, self.leaves, self.A, self.B, self.dtype = name, leaves, A, B, dtype
        self._corrected = eigenvalues

    @property
    def shape(self) -> tuple[int, int]:
        """(o, i)."""
        return int(self.B.shape[0]), int(self.A.shape[0])

    @cached_property
    def bases(self) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
        """Eigenvalues and eigenvectors of A, and of B."""
        xp = array_namespace(self.A)
        pairs = []
        for factor in (self.A, self.B):
            values, vectors = xp.linalg.eigh(factor)
            # Rounding alone makes an eigenvalue of a sum of squares negative.
            pairs.append((xp.where(values < 0, xp.zeros_like(values), values), vectors))
        return pairs[0], pairs[1]

    @cached_property
    def eigenvalues(self) -> Any:
        """Λ (o, i)."""
        if self._corrected is not None:
            return self._corrected
        (a, _), (b, _) = self.bases
        return b[:, None] * a[None, :]

    def damped_eigenvalues(self, damping: float, method: str) -> Any:
        """Return Λ + δ, or (β + √δ/π)(α + π√δ) with π² = (tr A / i) / (tr B / o)."""
        if method == "exact":
            return self.eigenvalues + damping
        (a, _), (b, _) = self.bases
        mean_a, mean_b = float(a.mean()), float(b.mean())
        pi = math.sqrt(mean_a / mean_b) if mean_a > 0.0 and mean_b > 0.0 else 1.0
        root = math.sqrt(damping)
        return (b + root / pi)[:, None] * (a + root * pi)[None, :]

    def trace(self) -> float:
        """Return the block's trace."""
        if self._corrected is not None:
            return float(self._corrected.sum())
        return float(self.A.trace()) * float(self.B.trace())

    def squared_norm(self) -> float:
        """Return the square of the block's Frobenius norm."""
        if self._corrected is not None:
            return float((self._corrected**2).sum())
        return float((self.A**2).sum()) * float((self.B**2).sum())

    def product(self) -> Callable[[Any], Any]:
        """Return V (k, o, i) ↦ the block times each of them."""
        if self._corrected is not None:
            return self.function(self._corrected)
        xp = array_namespace(self.A)
        A, B = (xp.astype(x, self.dtype) for x in (self.A, self.B))
        return lambda V: B @ V @ A

    def function(self, values: Any) -> Callable[[Any], Any]:
        """Return V (k, o, i) ↦ U_B (values ⊙ (U_Bᵀ V U_A)) U_Aᵀ."""
        xp = array_namespace(self.A)
        (_, a), (_, b) = self.bases
        U_A, U_B, values = (xp.astype(x, self.dtype) for x in (a, b, values))
        return lambda V: U_B @ (values * (U_B.mT @ V @ U_A)) @ U_A.mT


def nearest_kronecker(
    A: Any, B: Any, contract: Callable[[Any, bool], Any], rtol: float, limit: int = 100
) -> tuple[Any, Any]:
    """Return A, B that minimise ‖F − B ⊗ A‖_F for a positive semidefinite F, by power iteration.

    Parameters
    ----------
    A, B : arrays (i, i) and (o, o)
        The start: positive semidefinite.
    contract : callable
        (B, True) ↦ Σ_jl B_jl F_jl over the blocks F_jl (i, i) of F, and (A, False) ↦ the (o, o)
        matrix of the inner products ⟨F_jl, A⟩.
    rtol : float
        Stop when σ, the approximation's norm, rises by less than this part.
    limit : int
        Steps at most; each contracts twice.

    Notes
    -----
    Each half step is the best factor for the other one, so that the error falls at each: it is at
    most that of the start after the first. ‖F − B ⊗ A‖² = ‖F‖² − σ².

    References
    ----------
    Van Loan, Pitsianis: Approximation with Kronecker products, 1993. Koroko et al.: Efficient
    approximations of the Fisher matrix in neural networks using Kronecker product singular value
    decomposition, 2022.
    """
    sigma = 0.0
    for _ in range(limit):
        norm = float((B * B).sum()) ** 0.5
        if norm == 0.0:
            return A, B
        A = contract(B / norm, True)
        norm = float((A * A).sum()) ** 0.5
        if norm == 0.0:
            return A, 0.0 * B
        A = A / norm
        B = contract(A, False)
        before, sigma = sigma, float((B * B).sum()) ** 0.5
        if sigma - before <= rtol * sigma:
            break
    return A, B
