"""Preconditioners: operators M ≈ A⁻¹ for the `M=` of the solvers.

Each function returns a `LinearOperator`, and that is all a solver asks for: a randomized
preconditioner, a factorisation of another library or a learned one is passed to `M=` in the same
way, as anything that `aslinearoperator` takes or through `closure`. `cg` and its relatives need M
to be Hermitian positive definite and the same linear map at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes, checks
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, setting
from ritz.eigen.eigsh import eigsh
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.lowrank.nystrom import NystromResult, rank_of, sketched
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Counts, Status

__all__ = [
    "NystromPreconditioner",
    "block_jacobi",
    "chebyshev",
    "closure",
    "jacobi",
    "nystrom",
    "symmetric_polynomial",
]

Array = npt.NDArray[Any]

# Columns of a block product: compiled products read a matrix once for up to eight vectors.
_GROUP = 8


def jacobi(
    A: Any,
    *,
    diagonal: Any = None,
    probes: int | None = None,
    seed: int = 0,
    like: Any = None,
) -> LinearOperator:
    """Return diag(A)⁻¹ for a Hermitian positive definite A.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes. The diagonal is read off arrays, sparse matrices and
        sums, shifts and multiples of them, and from whatever has a method `diagonal`.
    diagonal : array (n,), optional
        The diagonal of A, where you know it.
    probes : int, optional
        Estimate the diagonal by this many products, at least 2; n or more measure it exactly.
    seed : int
        Of the random signs.
    like : array, optional
        For `probes`: an example of the kind of array and element type that A's closures take, where
        A does not tell.

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError
        If A does not show its diagonal and neither `diagonal` nor `probes` is given.
    ValueError
        If a diagonal that is known exactly has an entry that is negative, not real or not finite,
        or nothing but zeros: then A is not positive definite.

    Notes
    -----
    The estimate is the mean of v ⊙ A v over sign vectors v: unbiased, with variance
    Σ_{j≠i} abs(a_ij)² / probes in entry i, so that it tells the diagonal only where that stands out
    from the rest of its row. An entry below its own standard error is raised to that. A zero entry
    is replaced by the largest entry, which gives its row the least weight that any row has.

    References
    ----------
    Bekas, Kokiopoulou, Saad: An estimator for the diagonal of a matrix. Appl. Numer. Math. 57,
    2007.
    """
    a = aslinearoperator(A)
    a.require_square("jacobi")
    n = a.shape[0]
    seed = _arrays.seed_of(seed)
    if diagonal is not None and probes is not None:
        raise TypeError("diagonal and probes are both given; pass one of them")
    if probes is not None:
        count = _arrays.integer(probes, "probes", 2)
        framework, dtype = setting(a, like)
        d, exact = _probed_diagonal(a, count, seed, framework, dtype), count >= n
    else:
        shown = diagonal if diagonal is not None else _diagonal_of(a)
        if shown is None and callable(getattr(A, "diagonal", None)):
            shown = A.diagonal()
        if shown is None:
            raise TypeError(
                "A does not show its diagonal; pass diagonal=, or probes=30 to estimate it by 30 "
                "products"
            )
        d, framework = _arrays.vector(shown, "diagonal", n, f"A of shape {a.shape}")
        dtype, exact = a.dtype if a.has_dtype else d.dtype, True
    if exact:
        d = _positive_diagonal(d)
    own = None if framework is NUMPY else framework
    inverse = _reciprocals(d, np.dtype(dtype.char.lower()))  # real
    return LinearOperator._of(_nodes.Diagonal(inverse, own), (n, n), True)


def _diagonal_of(a: LinearOperator) -> Array | None:
    """Return the diagonal as far as A's own arrays tell it."""
    node = a._node
    if isinstance(node, _nodes.Dense):
        return node.values.diagonal()
    if isinstance(node, _nodes.Diagonal):
        return node.values
    if isinstance(node, _nodes.Identity):
        return np.ones(node.n, a.dtype)
    if isinstance(node, _nodes.Sparse):
        major = np.repeat(np.arange(a.shape[0]), np.diff(node.indptr))
        on = np.flatnonzero(major == node.indices[: major.size])
        d = np.zeros(a.shape[0], node.values.dtype)
        np.add.at(d, major[on], node.values[on])
        return d
    if isinstance(node, _nodes.Scaled | _nodes.Shifted | _nodes.Sum):
        parts = [_diagonal_of(operand) for operand in node.operands]
        first, last = parts[0], parts[-1]
        if first is None or last is None:
            return None
        if isinstance(node, _nodes.Sum):
            return first + node.c * last
        c = node.c if isinstance(node, _nodes.Scaled) else node.mu
        number = c.real if c.imag == 0.0 else c
        return number * first if isinstance(node, _nodes.Scaled) else first + number
    return None


def _probed_diagonal(
    a: LinearOperator, probes: int, seed: int, framework: Framework, dtype: np.dtype[Any]
) -> Array:
    """Return the diagonal from products with unit vectors, or estimated by random signs."""
    n = a.shape[0]
    exact = probes >= n
    count = n if exact else probes
    rng = np.random.default_rng(seed)
    total, squares = np.zeros(n), np.zeros(n)
    d = np.empty(n, np.result_type(dtype, np.float64))
    for start in range(0, count, _GROUP):
        columns = min(_GROUP, count - start)
        if exact:
            V = np.eye(n, columns, -start, dtype)
        else:
            V = (2 * rng.integers(0, 2, (n, columns)) - 1).astype(dtype)
        AV = framework.to_numpy(a.matmat(framework.from_numpy(V.copy())), "A @ V")
        if exact:
            d[start : start + columns] = AV.diagonal(-start)
        else:
            samples = (V * AV).real.astype(np.float64)
            total += samples.sum(axis=1)
            squares += (samples**2).sum(axis=1)
    if exact:
        return d
    if not np.isfinite(total).all():
        raise ValueError(f"A @ v is not finite at {np.flatnonzero(~np.isfinite(total))[0]}")
    mean = total / probes
    variance = np.maximum(squares / probes - mean**2, 0.0) / (probes - 1)
    # Nothing below the standard error is known but that the entry is positive.
    return np.maximum(mean, np.sqrt(variance))


def _positive_diagonal(d: Array) -> Array:
    """Return an exactly known diagonal as real numbers, none of them negative."""
    advice = "A is not Hermitian positive definite"
    if not np.isfinite(d).all():
        i = np.flatnonzero(~np.isfinite(d))[0]
        raise ValueError(f"the diagonal of A is {d[i]} at {i}")
    # Rounding in forming A leaves an imaginary part of a few eps, an error a larger one.
    crooked = np.flatnonzero(np.abs(d.imag) > np.sqrt(np.finfo(d.dtype).eps) * np.abs(d))
    if crooked.size:
        raise ValueError(f"the diagonal of A is {d[crooked[0]]} at {crooked[0]}: {advice}")
    negative = np.flatnonzero(d.real < 0.0)
    if negative.size:
        i = negative[0]
        raise ValueError(
            f"the diagonal of A is {d.real[i]} at {i}: {advice}; for a method that does not need "
            "that pass M=ritz.diagonal(1 / d)"
        )
    return d.real


def _reciprocals(d: Array, dtype: np.dtype[Any]) -> Array:
    """Return 1/d, with the reciprocal of the largest entry where there is none."""
    wide = d.astype(np.float64)
    largest = wide.max(initial=0.0)
    if wide.size and not largest > 0.0:
        raise ValueError("the diagonal of A is zero; A is not positive definite")
    with np.errstate(divide="ignore", over="ignore"):
        inverse = (1.0 / wide).astype(dtype)
        inverse[~np.isfinite(inverse)] = dtype.type(1.0 / largest) if wide.size else 0.0
    return inverse


def closure(
    f: Callable[..., Any],
    n: int,
    *,
    dtype: Any = None,
    symmetric: bool = True,
    check: bool = False,
    seed: int = 0,
    framework: str | Framework | None = None,
) -> LinearOperator:
    """Return the operator M r = f(r) of size n × n of your own function.

    Parameters
    ----------
    f : callable
        r (n,) ↦ M r (n,), called with arrays of the kind of the solver's vectors: a solve with a
        factorisation, a cycle of multigrid, a learned map.
    n : int
        The size.
    dtype : dtype, optional
        The only element type that f works in; None takes that of the vectors.
    symmetric : bool
        f is Hermitian positive definite, as `cg` and `minres` need; False for other methods.
    check : bool
        Test f on random vectors now: that it is linear and, with `symmetric`, that
        ⟨u, M v⟩ = ⟨M u, v⟩ and ⟨u, M u⟩ > 0. Seven products.
    seed : int
        Of the random vectors.
    framework : {"numpy", "torch", "jax"}, optional
        The kind of array that f takes, whatever vectors come.

    Returns
    -------
    LinearOperator

    Raises
    ------
    ValueError
        If a test fails; the message has the measured asymmetry.

    Notes
    -----
    The tests can show that f is wrong, not that it is right. A map that is not linear, as most
    learned ones are not, belongs into a flexible method.
    """
    if not callable(f):
        raise TypeError(f"f is {f!r}; pass a function of one vector")
    n = _arrays.integer(n, "n", 0)
    M = LinearOperator((n, n), f, dtype=dtype, symmetric=bool(symmetric), framework=framework)
    if check:
        _check_closure(M, _arrays.seed_of(seed))
    return M


def _check_closure(M: LinearOperator, seed: int) -> None:
    failed = [row for row in checks.check(M, seed=seed).rows if not row.passed]
    if failed:
        row = failed[0]  # linearity comes first: without it the others mean nothing
        if row.name == "linearity":
            what, advice = "linear: ‖M(2v − 3w) − 2Mv + 3Mw‖", "use it in a flexible method only"
        else:
            what = "Hermitian: |⟨u, Mv⟩ − ⟨Mu, v⟩|"
            advice = "pass symmetric=False for a method that allows it"
        raise ValueError(
            f"f is not {what} is {row.value:.1e} of the norms involved, where rounding leaves "
            f"{row.tolerance}; {advice}"
        )
    if not M.symmetric:
        return
    framework, dtype = setting(M, None)
    rng = np.random.default_rng(seed)
    for _ in range(3):  # a few: no number of them proves it
        v = rng.standard_normal(M.shape[0])
        if dtype.kind == "c":
            v = v + 1j * rng.standard_normal(M.shape[0])
        v = v.astype(dtype)
        Mv = framework.to_numpy(M.matvec(framework.from_numpy(v.copy())), "f(v)")
        form = np.vdot(v.astype(np.complex128), Mv.astype(np.complex128)).real
        size = np.linalg.norm(v) * np.linalg.norm(Mv)
        if M.shape[0] and not form > 0.0:
            raise ValueError(
                f"f is not positive definite: ⟨v, Mv⟩ is {form / size if size else 0.0:.1e} of "
                "‖v‖‖Mv‖ for a random v"
            )


def block_jacobi(
    blocks: Any, sizes: Sequence[int] | None = None, *, hermitian: bool = True
) -> LinearOperator:
    """Return diag(B_0, B_1, …)⁻¹ for small dense blocks B_i on the diagonal of A.

    Parameters
    ----------
    blocks : array (m, k, k), sequence of arrays (k_i, k_i), or callable
        The blocks from first to last row of A; a function i ↦ B_i is called once for each i.
    sizes : sequence of int, optional
        k_0, k_1, …: needed with a function.
    hermitian : bool
        The blocks are Hermitian positive definite, and so is the result. False takes regular ones.

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. ValueError names the block that is not finite, not
        square, not Hermitian, not positive definite (or singular, with hermitian=False), or so
        ill-conditioned that its inverse is not positive definite in the blocks' precision.

    Notes
    -----
    Inverted once, in double precision: about 2 Σ k_i³ operations; then Σ k_i² elements are kept and
    read by a product, by all threads, once for all columns of a block product.

    References
    ----------
    Saad: Iterative Methods for Sparse Linear Systems, 2nd ed., SIAM, 2003, section 10.2.
    """
    k, groups, framework = _blocks_by_size(blocks, sizes)
    dtype = np.result_type(*(stack.dtype for _, stack in groups))
    starts = np.concatenate([[0], np.cumsum(k * k)])
    values = np.empty(starts[-1], dtype)
    for where, stack in groups:
        inverse = _inverses(stack, where, dtype, hermitian)
        by_columns = inverse.swapaxes(1, 2).reshape(len(where), -1)
        values[starts[where][:, None] + np.arange(by_columns.shape[1])] = by_columns
    n = int(k.sum())
    own = None if framework is NUMPY else framework
    return LinearOperator._of(_nodes.BlockDiagonal(k, values, own), (n, n), bool(hermitian))


Group = tuple[npt.NDArray[np.int64], Array]


def _blocks_by_size(
    blocks: Any, sizes: Sequence[int] | None
) -> tuple[npt.NDArray[np.int64], list[Group], Framework]:
    """Return the sizes, stacks of equal blocks with their places, and the blocks' framework."""
    wanted = None if sizes is None else [_arrays.integer(s, "a size", 1) for s in sizes]
    if callable(blocks):
        if wanted is None:
            raise TypeError("sizes is missing; a function of i needs it: block_jacobi(f, sizes)")
        blocks = [blocks(i) for i in range(len(wanted))]
    if getattr(blocks, "ndim", 0) == 3:
        stack, framework = _arrays.array(blocks, "blocks")
        m, rows, columns = stack.shape
        if rows != columns:
            raise ValueError(f"blocks has shape {stack.shape}; pass (m, k, k)")
        k = np.full(m, rows, np.int64)
        groups = [(np.arange(m), stack)]
    else:
        pairs = [_arrays.array(block, f"block {i}") for i, block in enumerate(blocks)]
        parts = [a for a, _ in pairs]
        framework = pairs[0][1] if pairs else NUMPY
        for i, a in enumerate(parts):
            if a.ndim != 2 or a.shape[0] != a.shape[1]:
                raise ValueError(f"block {i} has shape {a.shape}; a block is square")
        k = np.array([a.shape[0] for a in parts], np.int64)
        groups = []
        for size in np.unique(k):
            where = np.flatnonzero(k == size)
            groups.append((where, np.stack([parts[i] for i in where])))
    if not k.size:
        raise ValueError("blocks is empty; pass at least one block")
    if wanted is not None:
        if len(wanted) != k.size:
            raise ValueError(f"sizes has {len(wanted)} entries, but there are {k.size} blocks")
        different = np.flatnonzero(k != np.array(wanted))
        if different.size:
            i = different[0]
            raise ValueError(f"block {i} has size {k[i]}; sizes says {wanted[i]}")
    return k, groups, framework


def _inverses(
    stack: Array, where: npt.NDArray[np.int64], dtype: np.dtype[Any], hermitian: bool
) -> Array:
    """Return the inverses of a stack of blocks, whose places `where` messages name."""
    eps = np.finfo(stack.dtype).eps
    B = stack.astype(np.result_type(stack.dtype, np.float64))
    _require(np.isfinite(B).all(axis=(1, 2)), where, "has an element that is not finite")
    if not hermitian:
        inverse = _each(np.linalg.inv, B, where, lambda _: "is singular")
    else:
        adjoint = B.conj().swapaxes(1, 2)
        # Rounding in forming a block leaves a few eps, a mistake more than half of the digits.
        asymmetry = np.linalg.norm(B - adjoint, axis=(1, 2))
        good = asymmetry <= np.sqrt(eps) * np.linalg.norm(B, axis=(1, 2))
        _require(good, where, "is not Hermitian; pass hermitian=False if it need not be")
        L = _each(
            np.linalg.cholesky,
            (B + adjoint) / 2.0,
            where,
            lambda b: f"is not positive definite: an eigenvalue is {np.linalg.eigvalsh(b)[0]:.2g}",
        )
        X = np.linalg.inv(L)
        inverse = X.conj().swapaxes(1, 2) @ X
        inverse = (inverse + inverse.conj().swapaxes(1, 2)) / 2.0
    with np.errstate(over="ignore"):
        rounded = inverse.astype(dtype)
    _require(np.isfinite(rounded).all(axis=(1, 2)), where, f"has no inverse in {dtype}")
    if hermitian:
        # A condition beyond 1/eps shows here: the rounded inverse is what is promised definite.
        _each(
            np.linalg.cholesky,
            rounded.astype(B.dtype),
            where,
            lambda _: f"is too ill-conditioned for {dtype}; add a multiple of the identity",
        )
    return rounded


def _require(good: npt.NDArray[np.bool_], where: npt.NDArray[np.int64], complaint: str) -> None:
    if not good.all():
        raise ValueError(f"block {where[np.flatnonzero(~good)[0]]} {complaint}")


def _each(
    f: Callable[[Array], Array],
    stack: Array,
    where: npt.NDArray[np.int64],
    complaint: Callable[[Array], str],
) -> Array:
    """Return f of all blocks at once; where that fails, say of which block."""
    try:
        return f(stack)
    except np.linalg.LinAlgError:
        pass  # NumPy does not say which

    def one(i: int, block: Array) -> Array:
        try:
            return f(block)
        except np.linalg.LinAlgError:
            raise ValueError(f"block {i} {complaint(block)}") from None

    return np.stack([one(i, block) for i, block in zip(where, stack, strict=True)])


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
        high = 1.1 * _largest_eigenvalue(a, seed, like)
        low = high / ratio
    else:
        low, high = (_arrays.number(bound, "bounds") for bound in bounds)
        if not 0.0 < low < high < np.inf:
            raise ValueError(f"bounds is {bounds}; pass 0 < lower < upper")
    return LinearOperator._of(_nodes.Chebyshev(a, degree, low, high), a.shape, True)


def _largest_eigenvalue(a: LinearOperator, seed: int, like: Any) -> float:
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


# ----------------------------------------------------------------------------------------- nystrom


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
            U, lam = U[:, kept], lam[kept]
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


class _NystromNode(_nodes.Node):
    def __init__(self, U: Array, lam: Array, mu: float, framework: Framework) -> None:
        self.U, self.lam, self.mu = U, lam, mu
        self.dtype = U.dtype
        self.framework = None if framework is NUMPY else framework

    def bind(self, run: Binding) -> Any:
        U = np.asfortranarray(_arrays.cast(self.U, run.dtype, "U"))
        return run.core.nystrom_preconditioner(U, self.lam, self.mu)

    def text(self) -> str:
        return f"nystrom(rank {self.lam.size}, mu {self.mu:.3g})"

    def memory(self) -> Iterator[Array]:
        yield self.U


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
        itemsize = setting(a, like)[1].itemsize
        by_memory = _SKETCH_BYTES // (4 * max(n, 1) * itemsize)
        most = max(1, min(n // 4, by_memory)) if max_rank is None else max_rank
        options |= {"level": _LEVEL * mu, "max_rank": rank_of(most, "max_rank", n)}
    sketch = sketched(
        a, options, seed, like, (callback, timeout, max_products, False), user="precond.nystrom"
    )
    if sketch.status in (Status.negative_curvature, Status.nonfinite):
        raise ValueError(f"A has no Nyström preconditioner: {sketch.message}")
    return NystromPreconditioner(sketch, mu)


# ---------------------------------------------------------------------------- symmetric polynomial


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
        _require_positive(node, _largest_eigenvalue(a, seed, like) / 1.1)
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
        for start in range(0, n, _GROUP):
            total += forms(np.eye(n, min(_GROUP, n - start), -start, wide))
        return tuple(float(t) for t in total)
    rng = np.random.default_rng(seed)
    third = probes // 3
    Q = np.linalg.qr(times(rng.standard_normal((n, third)).astype(wide)))[0]
    Z = (2 * rng.integers(0, 2, (n, third)) - 1).astype(wide)
    rest = Z - Q @ (Q.conj().T @ Z)
    total = forms(Q) + forms(rest) / third
    return tuple(float(t) for t in total)
