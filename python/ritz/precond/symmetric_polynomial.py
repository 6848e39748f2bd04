"""Polynomials of an operator whose coefficients are symmetric polynomials of its spectrum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import setting
from ritz.frameworks import Framework
from ritz.operators import LinearOperator, aslinearoperator
from ritz.precond.chebyshev import largest_eigenvalue
from ritz.precond.jacobi import GROUP

__all__ = ["symmetric_polynomial"]

Array = npt.NDArray[Any]


def symmetric_polynomial(
    A: Any,
    degree: int = 2,
    *,
    traces: Sequence[float] | None = None,
    probes: int = 30,
    seed: int = 0,
    like: Any = None,
) -> LinearOperator:
    """Return P(A) = Σᵢ (−1)ⁱ σ_{τ−i} Aⁱ / σ_τ, σ_k the elementary symmetric polynomials of spec(A).

    Parameters
    ----------
    A : operator (n, n)
        Hermitian positive definite; anything that `aslinearoperator` takes.
    degree : int
        τ, at most 4 and less than n.
    traces : sequence of float, optional
        tr(A), …, tr(A^τ), where you know them. They are estimated otherwise.
    probes : int
        Random vectors for the estimate; n or more make it exact.
    seed : int
        Of the probes.
    like : array, optional
        For the estimate: an example of the kind of array and element type that A's closures take,
        where A does not tell.

    Returns
    -------
    LinearOperator
        Products inside are counted by `A.counts`.

    Raises
    ------
    ValueError
        For a degree above 4, for traces that are those of no positive definite operator, or if
        estimates are too inexact for P(A) to be positive definite.

    Notes
    -----
    The eigenvalue of P beside λ_j is σ_τ of all other eigenvalues: τ large ones are evened out
    whatever their size, and cond(A P(A)) → λ_{τ+1}/λ_n as the gaps below them grow. For τ = n − 1
    P would be a multiple of A⁻¹. The σ come from the traces by Newton's identities; rounding takes
    13 of their 16 digits by τ = 7, which is why τ ≤ 4.

    The estimate is that of Hutch++: a third of the probes finds a space that holds the large
    eigenvalues, whose part of the traces is computed, and sign vectors sample the rest. All powers
    share their products: probes (1 + 2⌈τ/2⌉)/3, and some Lanczos steps that check P. A product with
    P(A): τ products with A, traffic of 3 vectors for each. Memory: one vector.

    References
    ----------
    Doikov, Rodomanov: Polynomial preconditioning for gradient methods. ICML 2023.

    Meyer, Musco, Musco, Woodruff: Hutch++: optimal stochastic trace estimation. SOSA, 2021.
    """
    a = aslinearoperator(A)
    require_self_adjoint(a, "A", "symmetric_polynomial")
    n = a.shape[0]
    degree = _arrays.integer(degree, "degree", 0)
    if degree > 4:
        raise ValueError(
            f"degree is {degree}; pass 4 at most: beyond it rounding takes the digits of the "
            "coefficients"
        )
    if degree >= max(n, 1):
        raise ValueError(f"degree is {degree}; A has {n} eigenvalues, so pass {n - 1} at most")
    seed = _arrays.seed_of(seed)
    if traces is not None:
        given = tuple(_arrays.number(t, "traces") for t in traces)
        if len(given) != degree:
            raise ValueError(f"traces has {len(given)} numbers; degree {degree} needs {degree}")
    else:
        count = _arrays.integer(probes, "probes", 3)
        given = _power_traces(a, degree, count, seed, *setting(a, like))
    node = _SymmetricPolynomial(a, given)
    if traces is None and degree > 0 and count < n:
        _require_positive(node, largest_eigenvalue(a, seed, like) / 1.1)
    return LinearOperator._of(node, a.shape, True, a.domain, a.codomain)


class _SymmetricPolynomial(_nodes.Node):
    def __init__(self, a: LinearOperator, traces: tuple[float, ...]) -> None:
        self.adopt(a)
        self.traces = traces
        self.coefficients = _arrays.core(np.dtype(np.float64)).symmetric_coefficients(traces)

    def bind(self, run: Binding) -> Any:
        return run.core.symmetric_polynomial(run(self.operands[0]), self.traces)

    def text(self) -> str:
        return f"symmetric polynomial({self.operands[0]._node.text()}, degree {len(self.traces)})"


def _require_positive(node: _SymmetricPolynomial, largest: float) -> None:
    """Raise ValueError if P is not positive up to the largest eigenvalue that was seen."""
    grid = np.linspace(0.0, largest, 1001)
    if np.polynomial.polynomial.polyval(grid, node.coefficients).min() <= 0.0:
        raise ValueError(
            "the estimated traces give a polynomial that is not positive on the spectrum; pass "
            "more probes, a lower degree, or traces"
        )


def _power_traces(
    a: LinearOperator,
    degree: int,
    probes: int,
    seed: int,
    framework: Framework,
    dtype: np.dtype[Any],
) -> tuple[float, ...]:
    """Return tr(A), …, tr(A^degree), from unit vectors or estimated as in Hutch++."""
    n = a.shape[0]
    wide = np.result_type(dtype, np.float64)

    def times(V: Array) -> Array:
        columns = framework.from_numpy(np.asfortranarray(V.astype(dtype)))
        return framework.to_numpy(a.matmat(columns), "A @ V").astype(wide)

    def forms(V: Array) -> Array:
        """Return Σ vᴴAⁱv over the columns for i = 1 … degree."""
        powers = [V]
        for _ in range((degree + 1) // 2):
            powers.append(times(powers[-1]))
        pairs = [(powers[i // 2], powers[i - i // 2]) for i in range(1, degree + 1)]
        return np.array([(x.conj() * y).sum().real for x, y in pairs])

    if degree == 0:
        return ()
    if probes >= n:
        total = np.zeros(degree)
        for start in range(0, n, GROUP):
            total += forms(np.eye(n, min(GROUP, n - start), -start, wide))
        return tuple(float(t) for t in total)
    rng = np.random.default_rng(seed)
    third = probes // 3
    Q = np.linalg.qr(times(rng.standard_normal((n, third)).astype(wide)))[0]
    Z = (2 * rng.integers(0, 2, (n, third)) - 1).astype(wide)
    rest = Z - Q @ (Q.conj().T @ Z)
    total = forms(Q) + forms(rest) / third
    return tuple(float(t) for t in total)
