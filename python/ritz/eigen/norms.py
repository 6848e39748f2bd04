"""Norms, condition numbers, ranks and null spaces, each with what is known of its error."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import place
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.eigen.svds import SvdsResult, triplets
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Counts, Estimate, Result, Status, account_of

__all__ = [
    "Bracket",
    "NullspaceResult",
    "RankResult",
    "cond",
    "norm",
    "nullspace",
    "numerical_rank",
]

# With at most this many singular values all of them are computed, in one unrestarted run.
_COMPLETE = 200


class Bracket(Result):
    """A number between two others: the tuple (value, lower, upper).

    Attributes
    ----------
    method : str
        What it is.
    probability : float
        With which `upper` holds; 1 where no chance is involved.
    """

    method: str
    probability: float

    @property
    def value(self) -> float:
        """The best value known."""
        return float(self[0])

    @property
    def lower(self) -> float:
        """The number is at least this."""
        return float(self[1])

    @property
    def upper(self) -> float:
        """The number is at most this."""
        return float(self[2])

    def __float__(self) -> float:
        return self.value


class RankResult(Result):
    """The result (rank, s) of `ritz.numerical_rank`: the rank and the singular values computed.

    Attributes
    ----------
    threshold : float
        Singular values above it count.
    above, below : (float, float) or None
        The last value above the threshold and the first below, each with its bound; None where
        none was seen.
    gap : float
        above over below; NaN unless both were seen.
    certain : bool
        The threshold was crossed, or A has no further values, and no bound reaches across it. If
        not, the rank is what the values seen say; one that stopped at a limit is a lower bound.
    """

    threshold: float
    above: tuple[float, float] | None
    below: tuple[float, float] | None
    gap: float
    certain: bool

    @property
    def rank(self) -> int:
        """The number of singular values above the threshold."""
        return int(self[0])

    @property
    def s(self) -> npt.NDArray[np.float64]:
        """The singular values computed, descending."""
        return np.asarray(self[1])

    def __index__(self) -> int:
        return self.rank


class NullspaceResult(Result):
    """The result (Z, norms) of `ritz.nullspace`: a basis or projector, and ‖A z‖ for its columns.

    Attributes
    ----------
    dimension : int
        Of the space found.
    threshold : float
        Singular values up to it belong to the space.
    above, below : (float, float) or None
        The smallest singular value outside of the space and the largest inside, each with its
        bound; None where none was seen.
    gap : float
        above over below; infinite if below is 0, NaN unless both were seen.
    complete : bool
        A further null vector was looked for, from a random direction orthogonal to the space, and
        not found.
    """

    dimension: int
    threshold: float
    above: tuple[float, float] | None
    below: tuple[float, float] | None
    gap: float
    complete: bool

    @property
    def Z(self) -> Any:
        """The basis (n, p), or the projector."""
        return self[0]


def norm(
    A: Any,
    ord: int | str = 2,
    *,
    rtol: float | None = None,
    failure: float = 1e-6,
    samples: int = 100,
    max_basis: int = 200,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> Bracket | Estimate:
    """Find a norm of A: σ_max, (Σ σ²)^½ or Σ σ, with a bracket or a standard error.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes; 2 and "nuc" need its adjoint product.
    ord : {2, "fro", "nuc"}
        The spectral, Frobenius or nuclear norm.
    rtol : float, optional
        For 2, stop when upper − lower ≤ rtol · value, by default 0.01; else when the standard error
        is at most rtol · value, by default never.
    failure : float
        The probability with which `upper` of the spectral norm may be wrong.
    samples : int
        Products with random vectors for "fro", at most; n or more make it exact.
    max_basis : int
        Steps for 2, at most.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    Bracket or Estimate
        For 2 a `Bracket`: the value, which is as a rule much better than rtol, between a lower
        bound and an upper one of probability 1 − failure. Else an `Estimate` (value, stderr).

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The upper bound of the spectral norm needs no gap in the spectrum: after N products it is at
    most θ cosh(arcosh(√(2d/π) / failure) / N), θ the value and d = min(m, n), whatever A, and
    usually far better: the bidiagonal matrix tells how much a larger singular value could have been
    overlooked. Memory: a vector of each side for every step.

    References
    ----------
    Kuczyński, Woźniakowski: Estimating the largest eigenvalue by the power and Lanczos algorithms
    with a random start. SIAM J. Matrix Anal. Appl. 13, 1992.

    Hochstenbach: Probabilistic upper bounds for the matrix two-norm. J. Sci. Comput. 57, 2013.
    """
    if ord not in (2, "fro", "nuc"):
        raise ValueError(f'ord is {ord!r}; pass 2, "fro" or "nuc"')
    A = aslinearoperator(A)
    if rtol is not None:
        rtol = _arrays.nonnegative(rtol, "rtol")
    if ord == "nuc":
        from ritz.functions.determinants import schatten_norm

        return schatten_norm(
            A,
            1.0,
            rtol=rtol or 0.0,
            seed=seed,
            like=like,
            callback=callback,
            timeout=timeout,
            max_products=max_products,
            history=history,
        )
    failure = _arrays.positive(failure, "failure")
    if failure >= 1.0:
        raise ValueError(f"failure is {failure!r}; pass a probability below 1")
    options: dict[str, Any] = {"seed": _arrays.seed_of(seed)}
    if ord == 2:
        options |= {
            "rtol": 1e-2 if rtol is None else rtol,
            "failure": failure,
            "max_basis": _arrays.integer(max_basis, "max_basis"),
        }
    else:
        options |= {"rtol": rtol or 0.0, "samples": _arrays.integer(samples, "samples", 2)}
    framework, core, dtype = place(A, like)
    watch = Watch("norm", framework, callback, history, timeout, max_products)
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        result: Bracket | Estimate
        if min(A.shape) == 0:
            outcome = _nothing("has norm 0") | {"value": 0.0, "lower": 0.0, "upper": 0.0}
            outcome["stderr"] = 0.0
        else:
            method = run.core.norm2 if ord == 2 else run.core.frobenius_norm
            outcome = method(run(A), options, watch.monitor)
        account = account_of(outcome, watch.history)
        if ord == 2:
            result = Bracket(
                (outcome["value"], outcome["lower"], outcome["upper"]),
                method="spectral norm",
                probability=1.0 - failure,
                **account,
            )
        else:
            exact = outcome["stderr"] == 0.0
            result = Estimate(
                (outcome["value"], outcome["stderr"]),
                method="exact" if exact else "hutchinson",
                **account,
            )
        ending.result = result
    return result


def cond(
    A: Any,
    *,
    tol: float = 0.0,
    ncv: int | None = None,
    maxiter: int | None = None,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
) -> Bracket:
    """Find the condition number σ_max/σ_min of A from both ends of its singular values.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    tol : float
        Of the two singular triplets, relative to ‖A‖; 0 means what the precision allows.
    ncv, maxiter
        As for `svds`.
    seed : int
        Of the starting vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take.
    callback, timeout, max_products
        As for `cg`; they count both runs together.

    Returns
    -------
    Bracket
        The tuple (value, lower, upper). If σ_min is not known to be above 0, value and upper are
        infinite and the status is `condition_limit`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The bounds are those of `svds`: a singular value lies within the residual of each, and that it
    is the outermost is what a converged Krylov process says. The smallest is the costly one.

    References
    ----------
    Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
    Comput. 27, 2005.
    """
    A = aslinearoperator(A)
    if min(A.shape) == 0:
        raise ValueError(f"A has shape {A.shape}; an empty operator has no condition number")
    runs = _Runs(A, like, callback, timeout, max_products)
    common = {
        "tol": _arrays.nonnegative(tol, "tol"),
        "ncv": 0 if ncv is None else _arrays.integer(ncv, "ncv", min(2, min(A.shape))),
        "max_restarts": _arrays.limit(maxiter, "maxiter"),
        "seed": _arrays.seed_of(seed),
        "k": 1,
        "probe": False,
    }
    top = runs.svds(common | {"smallest": False})
    low = runs.svds(common | {"smallest": True})
    (largest, b1), (least, b2) = _value(top, 0), _value(low, 0)
    account = runs.account()
    high = math.inf
    value = math.inf
    if least > b2:
        value, high = largest / least, (largest + b1) / (least - b2)
    elif runs.status is Status.converged:
        account["status"] = Status.condition_limit
        account["message"] = (
            f"condition_limit: the smallest singular value is {least:.3g} within {b2:.3g}: A is "
            "singular as far as the precision tells"
        )
    small = max(largest - b1, 0.0) / (least + b2) if least + b2 > 0.0 else math.inf
    if not math.isfinite(largest) or not math.isfinite(least):
        value, small, high = math.nan, 1.0, math.inf
    return Bracket(
        (value, max(small, 1.0), high), method="condition number", probability=1.0, **account
    )


def numerical_rank(
    A: Any,
    rtol: float | None = None,
    *,
    k: int = 16,
    max_rank: int | None = None,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
) -> RankResult:
    """Count the singular values of A above rtol · ‖A‖, and report the gap there.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    rtol : float, optional
        By default max(m, n, 64) eps.
    k : int
        Singular values to begin with; they are doubled until the threshold is crossed.
    max_rank : int, optional
        At most this many singular values are computed; by default all.
    seed : int
        Of the starting vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take.
    callback, timeout, max_products
        As for `cg`; they count all runs together.

    Returns
    -------
    RankResult
        The tuple (rank, s), with `above`, `below`, `gap` and `certain`. A run that stopped at a
        limit says so in its status.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The cost is that of `svds` for the largest values down to the threshold: for a full rank
    2 min(m, n) products, and as many vectors of each side.

    References
    ----------
    Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
    Comput. 27, 2005.
    """
    A = aslinearoperator(A)
    runs = _Runs(A, like, callback, timeout, max_products)
    share = _threshold(A, rtol, runs.dtype)
    shorter = min(A.shape)
    most = shorter if max_rank is None else min(shorter, _arrays.integer(max_rank, "max_rank"))
    wanted = min(_arrays.integer(k, "k"), most)
    seed = _arrays.seed_of(seed)
    s, bounds, threshold = np.empty(0), np.empty(0), 0.0
    crossed = shorter == 0
    while not crossed and most > 0:
        if shorter <= _COMPLETE or 2 * wanted > shorter:
            wanted = most
        options = {"k": wanted, "tol": share / 4.0, "seed": seed}
        if wanted == shorter:
            options["ncv"] = wanted
        run = runs.svds(options, vectors=False)
        found = run.found
        s, bounds = np.asarray(run.s, np.float64)[:found], run.bounds[:found]
        threshold = share * run.norm_a
        crossed = found == shorter or (found > 0 and bool(s[-1] + bounds[-1] <= threshold))
        if crossed or wanted == most or runs.status is not Status.converged:
            break
        wanted = min(2 * wanted, most)
    counts = s > threshold
    rank = int(np.count_nonzero(counts))
    above = (float(s[rank - 1]), float(bounds[rank - 1])) if rank > 0 else None
    below = (float(s[rank]), float(bounds[rank])) if rank < len(s) else None
    account = runs.account()
    if not crossed and runs.status is Status.converged:
        account["status"] = Status.max_iterations
        account["message"] = (
            f"max_iterations: all {len(s)} singular values that max_rank allows are above the "
            "threshold or not clearly below it: the rank may be higher"
        )
    return RankResult(
        (rank, s),
        threshold=threshold,
        above=above,
        below=below,
        gap=_gap(above, below),
        certain=crossed and bool(np.all(np.abs(s - threshold) >= bounds)),
        **account,
    )


def nullspace(
    A: Any,
    *,
    rtol: float | None = None,
    k: int | None = None,
    projector: bool = False,
    ncv: int | None = None,
    maxiter: int | None = None,
    seed: int = 0,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
) -> NullspaceResult:
    """Find an orthonormal basis of the vectors z with A z = 0, to rtol · ‖A‖.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    rtol : float, optional
        The right singular vectors of values up to rtol ‖A‖ belong to the space; by default
        max(m, n, 64) eps.
    k : int, optional
        At most this many vectors.
    projector : bool
        Return the orthogonal projector onto the space as an operator, instead of a basis.
    ncv, maxiter
        As for `svds`.
    seed : int
        Of the starting vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, and that Z is returned as.
    callback, timeout, max_products
        As for `cg`; they count all runs together.

    Returns
    -------
    NullspaceResult
        The tuple (Z, norms): Z of shape (n, p), or a `LinearOperator` (n, n); ‖A z‖ for the
        columns, evaluated. With `above`, `below`, `gap` and `complete`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    If A has fewer rows than columns, or few of either, all singular triplets are computed: 2 m
    products. The projector is then I − V Vᴴ over the row space, and no basis of the null space is
    ever stored. Otherwise the smallest triplets are found, those of null vectors set aside, and the
    search begins anew, random and orthogonal to them, until the smallest value left is above the
    threshold.

    References
    ----------
    Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
    Comput. 27, 2005.
    """
    A = aslinearoperator(A)
    m, n = A.shape
    most = n if k is None else min(n, _arrays.integer(k, "k"))
    runs = _Runs(A, like, callback, timeout, max_products, on_host=True)
    search = _Null(_threshold(A, rtol, runs.dtype), np.empty((n, 0), runs.dtype))
    seed = _arrays.seed_of(seed)
    options = {
        "ncv": 0 if ncv is None else _arrays.integer(ncv, "ncv", min(2, max(n, 1))),
        "max_restarts": _arrays.limit(maxiter, "maxiter"),
    }
    if min(m, n) == 0:
        search.complete = True
    elif m < n or n <= _COMPLETE:
        search.all_triplets(runs, min(m, n), seed)
    else:
        search.smallest_triplets(runs, options, most, seed)
    Z = search.basis
    dimension = n - search.row_space.shape[1] if Z is None else Z.shape[1]
    if Z is None and not projector:
        Z = _complement(search.row_space, min(most, dimension), seed)
    if Z is not None and Z.shape[1] > most:
        Z = Z[:, :most]
    if Z is not None:
        search.complete &= Z.shape[1] == dimension
        dimension = Z.shape[1]
    norms = runs.norms(Z) if Z is not None else np.empty(0)
    account = runs.account()
    if norms.size > 0:
        account["residual"] = float(norms.max())
    account["target"] = search.threshold
    if account["status"] is Status.converged and np.any(norms > 2.0 * search.threshold):
        account["status"] = Status.precision_limit
        account["message"] = f"precision_limit: ‖A z‖ is {norms.max():.3g} for one of the vectors"
    framework = runs.framework
    answer: Any = None
    if projector:
        kept = search.row_space if Z is None else Z
        answer = _projector(framework.from_numpy(kept), n, Z is None, runs)
    elif Z is not None:
        answer = framework.from_numpy(Z)
    return NullspaceResult(
        (answer, norms),
        dimension=dimension,
        threshold=search.threshold,
        above=search.above,
        below=search.below,
        gap=_gap(search.above, search.below),
        complete=search.complete,
        **account,
    )


class _Null:
    """The search for null vectors: `basis` of the space, or `row_space` of its complement."""

    def __init__(self, share: float, empty: npt.NDArray[Any]) -> None:
        self.share = share
        self.threshold = 0.0
        self.basis: npt.NDArray[Any] | None = None
        self.row_space = empty
        self.above: tuple[float, float] | None = None
        self.below: tuple[float, float] | None = None
        self.complete = False

    def all_triplets(self, runs: _Runs, count: int, seed: int) -> None:
        run = runs.svds({"k": count, "ncv": count, "seed": seed}, raw=True)
        s = np.asarray(run.s)
        self.threshold = self.share * run.norm_a
        if not run.converged:
            self.basis = self.row_space
            return
        rank = int(np.count_nonzero(s > self.threshold))
        self.above = _value(run, rank - 1) if rank > 0 else None
        self.below = _value(run, rank) if rank < len(s) else None
        V = run.vt.conj().T
        self.row_space = V[:, :rank]
        if V.shape[0] == count:
            self.basis = V[:, rank:]
        self.complete = True

    def smallest_triplets(self, runs: _Runs, options: dict[str, Any], most: int, seed: int) -> None:
        n = runs.A.shape[1]
        Z = np.empty((n, 0), runs.dtype)
        wanted = min(6, most)
        while Z.shape[1] < min(most, n):
            wanted = min(wanted, n - Z.shape[1])
            ncv = options["ncv"]
            choice = options | {
                "k": wanted,
                "ncv": max(ncv, wanted + 1) if ncv else 0,
                "smallest": True,
                "right_only": True,
                "seed": (seed + Z.shape[1]) % 2**64,
            }
            run = runs.svds(choice, deflate=Z if Z.size else None, raw=True)
            self.threshold = max(self.threshold, self.share * run.norm_a)
            if runs.status is not Status.converged:
                break
            s = np.asarray(run.s)
            null = s <= self.threshold
            count = int(np.count_nonzero(null))
            if count < len(s):
                above = _value(run, len(s) - count - 1)
                self.above = above if self.above is None else min(self.above, above)
            if count == 0:
                self.complete = True
                break
            below = _value(run, len(s) - count)
            self.below = below if self.below is None else max(self.below, below)
            Z = np.hstack([Z, run.vt.conj().T[:, null]])
            # If all were null vectors there may be many more; else one look is enough.
            wanted = 2 * wanted if count == len(s) else 1
        self.complete |= Z.shape[1] == n
        self.basis = np.linalg.qr(Z)[0] if Z.size else Z


class _Runs:
    """Several runs of the compiled methods with one operator, under common limits."""

    def __init__(
        self,
        A: LinearOperator,
        like: Any,
        callback: Callbacks,
        timeout: float | None,
        max_products: int | None,
        on_host: bool = False,
    ) -> None:
        self.A = A
        self.callback = callback
        self.timeout = timeout
        self.max_products = max_products
        self.where = place(A, like)
        if on_host:
            framework, dtype = setting(A, like)
            self.where = framework, _arrays.core(dtype), dtype
        self.framework, _, self.dtype = self.where
        self.start = time.perf_counter()
        self.results: list[SvdsResult] = []
        self.status = Status.converged
        self.extra = 0

    def svds(
        self,
        options: dict[str, Any],
        vectors: bool = True,
        deflate: npt.NDArray[Any] | None = None,
        raw: bool = False,
    ) -> SvdsResult:
        """Return the triplets; with `raw` as NumPy arrays."""
        timeout, products = self.timeout, self.max_products
        if timeout is not None:
            timeout = max(timeout - (time.perf_counter() - self.start), 0.0)
        if products is not None:
            products = max(products - self.products, 1)
        run = triplets(
            self.A,
            options,
            vectors=vectors,
            deflate=deflate,
            where=self.where,
            callback=self.callback,
            timeout=timeout,
            max_products=products,
        )
        self.results.append(run)
        if self.status is Status.converged:
            self.status = run.status
        if raw:
            to_numpy = self.framework.to_numpy
            u, s, vt = (to_numpy(x, "the result") for x in run)
            run = SvdsResult((u, s, vt), **run.__dict__)
        return run

    def norms(self, Z: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return ‖A z‖ for the columns."""
        if Z.size == 0 or self.A.shape[0] == 0:
            return np.zeros(Z.shape[1])
        with Binding(self.dtype, self.framework) as run:
            Y = run(self.A).apply_block(np.asfortranarray(Z))
        self.extra += Z.shape[1]
        return np.asarray(np.linalg.norm(Y, axis=0), np.float64)

    @property
    def products(self) -> int:
        return sum(r.products.total for r in self.results) + self.extra

    def account(self) -> dict[str, Any]:
        """Return the account of all runs: that of the first that failed, with all products."""
        failed = [r for r in self.results if not r.converged]
        shown = (failed or self.results)[-1:]
        account = account_of(_nothing("has no singular values"), None)
        if shown:
            account |= {name: shown[0].__dict__[name] for name in account}
        counts = [sum(column) for column in zip(*(r.products for r in self.results), strict=True)]
        a, b, c = counts or (0, 0, 0)
        account["products"] = Counts(a, b, c + self.extra)
        account["iterations"] = sum(r.iterations for r in self.results)
        account["seconds"] = time.perf_counter() - self.start
        return account


def _threshold(A: LinearOperator, rtol: float | None, dtype: np.dtype[Any]) -> float:
    if rtol is None:
        return max(*A.shape, 64) * float(np.finfo(dtype).eps)
    return _arrays.nonnegative(rtol, "rtol")


def _value(run: SvdsResult, i: int) -> tuple[float, float]:
    return float(run.s[i]), float(run.bounds[i])


def _gap(above: tuple[float, float] | None, below: tuple[float, float] | None) -> float:
    if above is None or below is None:
        return math.nan
    return above[0] / below[0] if below[0] > 0.0 else math.inf


def _complement(V: npt.NDArray[Any], count: int, seed: int) -> npt.NDArray[Any]:
    """Return `count` orthonormal vectors orthogonal to the orthonormal columns of V."""
    n, rank = V.shape
    if 2 * count > n - rank:
        return np.linalg.qr(V, mode="complete")[0][:, rank : rank + count]
    rng = np.random.Generator(np.random.Philox(seed))
    G = rng.standard_normal((n, count)).astype(V.dtype)
    if V.dtype.kind == "c":
        G = G + 1j * rng.standard_normal((n, count)).astype(V.dtype)
    for _ in range(2):
        G = np.linalg.qr(G - V @ (V.conj().T @ G))[0]
    return G


def _projector(V: Any, n: int, complement: bool, runs: _Runs) -> LinearOperator:
    """Return V Vᴴ, or I − V Vᴴ."""
    adjoint = V.conj().T

    def apply(x: Any) -> Any:
        y = V @ (adjoint @ x)
        return x - y if complement else y

    return _operator((n, n), apply, runs.dtype)


def _operator(
    shape: tuple[int, int], apply: Callable[[Any], Any], dtype: np.dtype[Any]
) -> LinearOperator:
    return LinearOperator(shape, apply, matmat=apply, symmetric=True, dtype=dtype)


def _nothing(what: str) -> dict[str, Any]:
    return {
        "status": 0,
        "message": f"converged at iteration 0: an operator of size 0 {what}",
        "iterations": 0,
        "products": (0, 0, 0),
        "preconditioner": 0,
        "residual": 0.0,
        "target": 0.0,
        "verified": True,
        "seconds": 0.0,
    }
