"""The inverse of a shifted Nyström approximation."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz._core import DeviceArray
from ritz._device import place
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks
from ritz.frameworks import Framework
from ritz.lowrank.nystrom import Array, Columns, Factors, NystromResult, rank_of, sketched
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Counts, Status

__all__ = ["NystromPreconditioner", "nystrom"]

# A rank without a word from the caller: a quarter of n, and vectors of no more than this.
_SKETCH_BYTES = 2**31
# λ_r and ‖A − Â‖ that a rank is doubled for, in units of mu: a condition number of 21.
_LEVEL = 10.0


class NystromPreconditioner(LinearOperator):
    """(A + μI)⁻¹ on the range of a Nyström approximation of A, and a multiple of I beside it.

    Made by `ritz.precond.nystrom`.

    Attributes
    ----------
    mu : float
        μ.
    rank : int
        Columns of the approximation.
    error_estimate : float
        The leave-one-out estimate of ‖A − Â‖_F.
    sketch_products : Counts
        Products with A that the approximation took; `at` takes none.
    status : Status
        How the search for the rank ended: `converged`, or `max_iterations` at `max_rank`.
    message : str
        The same in words.
    seed : int
        Of the random vectors.
    """

    mu: float
    rank: int
    error_estimate: float
    sketch_products: Counts
    status: Status
    message: str
    seed: int

    def __init__(self, sketch: NystromResult, mu: float) -> None:
        U, lam, framework, a = sketch._setting
        self._sketch = sketch
        self.mu = mu
        if mu == 0.0:  # an eigenvalue that may be zero cannot be divided by
            kept = lam > sketch.shift
            lam = lam[kept]
            U = U.first(lam.size) if isinstance(U, DeviceArray) else U[:, : lam.size]
        self._least = float(lam[-1]) if lam.size else 0.0
        self.rank = int(lam.size)
        self.error_estimate = sketch.error_estimate
        self.sketch_products = sketch.products
        self.status, self.message = sketch.status, sketch.message
        self.seed = sketch.seed
        self._set(_NystromNode(U, lam, mu, framework), a.shape, True, a.domain, a.codomain)

    @property
    def condition_bound(self) -> float:
        """The bound (λ_r + μ + e)/μ of the condition number, e being `error_estimate` ≥ ‖A − Â‖₂.

        An estimate takes the place of the norm, so that the bound holds as far as that does; for a
        flat spectrum it is too large, by √n at most. Infinite for μ = 0.
        """
        if self.mu == 0.0:
            return float("inf")
        return (self._least + self.mu + self.error_estimate) / self.mu

    def at(self, mu: float) -> NystromPreconditioner:
        """Return the preconditioner for A + mu from the same approximation, without a product."""
        return NystromPreconditioner(self._sketch, _arrays.nonnegative(mu, "mu"))


class _NystromNode(Factors):
    def __init__(self, U: Columns, lam: Array, mu: float, framework: Framework) -> None:
        super().__init__(U, lam, framework)
        self.mu = mu

    def bind(self, run: Binding) -> Any:
        return run.core.nystrom_preconditioner(self.columns(run), self.lam, self.mu)

    def text(self) -> str:
        return f"nystrom(rank {self.lam.size}, mu {self.mu:.3g})"


def nystrom(
    A: Any,
    mu: float = 0.0,
    *,
    rank: int | None = None,
    max_rank: int | None = None,
    seed: int = 0,
    like: Any = None,
    block: int = 32,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
) -> NystromPreconditioner:
    """Return P⁻¹ ≈ (A + μI)⁻¹ from a Nyström approximation of the positive semidefinite A.

    Parameters
    ----------
    A : operator (n, n)
        Hermitian positive semidefinite, without μ; anything that `aslinearoperator` takes.
    mu : float
        μ ≥ 0 of the systems (A + μI) x = b.
    rank : int, optional
        Of the approximation. Without it the rank is doubled, from 16, until λ_r and the estimate of
        ‖A − Â‖₂ are at most 10 μ.
    max_rank : int, optional
        At most this rank; by default n / 4, or as many vectors as 2 GiB hold.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    block : int
        Columns of one product with A.
    callback, timeout, max_products
        Of the sketch, as for `nystrom`. If they stop it, what it has becomes the preconditioner.

    Returns
    -------
    NystromPreconditioner
        An operator, to be passed as `M=` with A + mu, whose `at(mu)` is the same for another μ.

    Raises
    ------
    TypeError
        If μ = 0 and no rank is given: there is no level to stop at.
    ValueError
        If A turns out not to be Hermitian positive semidefinite, or not finite.

    Notes
    -----
    P⁻¹ = (λ_r + μ) U (Λ + μ)⁻¹ Uᴴ + (I − U Uᴴ). The condition number of the preconditioned system
    is at most (λ_r + μ + ‖A − Â‖)/μ, and below 28 in the mean for a rank of 2⌈1.5 d⌉ + 1, d = Σ_j
    λ_j/(λ_j + μ) the effective dimension.

    ‖A − Â‖₂ ≤ ‖A − Â‖_F is taken to be 4 tr(E²)/tr(E) if that is less, E = A − Â: a mean of the
    eigenvalues that are left out, and a quarter of the largest where they decay as j^−1.5. Both
    traces are leave-one-out estimates, without a product.

    `rank` products with A. A product with P⁻¹: 4 rank n flops, two sweeps over U. Memory: 4 rank
    vectors while it is made, 1 after.

    References
    ----------
    Frangella, Tropp, Udell: Randomized Nyström preconditioning. SIAM J. Matrix Anal. Appl. 44,
    2023.
    """
    a = aslinearoperator(A)
    require_self_adjoint(a, "A", "precond.nystrom")
    n = a.shape[0]
    mu = _arrays.nonnegative(mu, "mu")
    options: dict[str, Any] = {"block": _arrays.integer(block, "block")}
    if rank is not None:
        if max_rank is not None:
            raise TypeError("rank and max_rank are both given; pass one of them")
        options["rank"] = rank_of(rank, "rank", n)
    elif mu == 0.0:
        raise TypeError("mu is 0, which gives no level to stop at; pass rank")
    else:
        itemsize = place(a, like)[2].itemsize
        by_memory = _SKETCH_BYTES // (4 * max(n, 1) * itemsize)
        most = max(1, min(n // 4, by_memory)) if max_rank is None else max_rank
        options |= {"level": _LEVEL * mu, "max_rank": rank_of(most, "max_rank", n)}
    sketch = sketched(
        a, options, seed, like, (callback, timeout, max_products, False), user="precond.nystrom"
    )
    if sketch.status in (Status.negative_curvature, Status.nonfinite):
        raise ValueError(f"A has no Nyström preconditioner: {sketch.message}")
    return NystromPreconditioner(sketch, mu)
