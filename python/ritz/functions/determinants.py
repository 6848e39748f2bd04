"""Sums over a spectrum by stochastic Lanczos quadrature: log-determinants and Schatten norms."""

from __future__ import annotations

import math
import os
from typing import Any

from ritz import _arrays
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.functions.quadrature import integrand, keep_basis, spectrum_bounds
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Estimate, Status, account_of, without_tolerance

__all__ = ["SpectralEstimate", "logdet", "schatten_norm"]

# Dense decompositions up to this size where the products allow it.
_DENSE = 400
_STEPS = 200
_METHODS = ("auto", "slq", "exact")


class SpectralEstimate(Estimate):
    """An estimate (value, stderr) of a sum over the spectrum.

    Attributes
    ----------
    method : str
        "exact" or "slq".
    quadrature_error : float
        What the finite number of Lanczos steps adds to the sampling error `stderr`: half of the
        bracket between rules that lie below and above, or an estimate of it where no such rule is
        known; 0 if the value is exact.
    rigorous : bool
        The brackets hold by theory.
    samples, steps : int
        Random vectors, and the most products that one of them took.
    """

    quadrature_error: float
    rigorous: bool
    samples: int
    steps: int


def logdet(
    A: Any,
    *,
    method: str = "auto",
    probes: int = 16,
    steps: int | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    bounds: tuple[float | None, float | None] | None = None,
    distribution: str = "sphere",
    reorthogonalize: str = "full",
    block: int | None = None,
    seed: int = 0,
    like: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> SpectralEstimate:
    """Estimate log det A = tr log A of a positive definite A.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    method : {"auto", "slq", "exact"}
        "exact" takes n products with unit vectors and the eigenvalues of the matrix that they make,
        "slq" random vectors. "auto" is exact for n ≤ 400 that the products allow.
    probes : int
        Random vectors, at least 2.
    steps : int, optional
        Products for each, at most; by default the smaller of n and 200. A vector takes as many as
        bring the quadrature error to a fifth of the standard error, or of the tolerance.
    rtol, atol : float
        Stop when stderr + quadrature_error ≤ rtol |value| + atol; 0 for both takes all probes. An
        error of atol in log det A is one of a factor exp(atol) in det A, whatever the scale of A.
    bounds : (low, high), optional
        Numbers that all eigenvalues of A lie between; either may be None. With low > 0 the
        quadrature error is rigorous.
    distribution : {"sphere", "signs"}
        Of the random vectors: uniform on the sphere, or random signs, which see nothing of a
        diagonal A but its trace.
    reorthogonalize : {"full", "none"}
        "none" keeps three vectors instead of one a step; it takes more steps.
    block : int, optional
        Random vectors whose products go through A together; by default at most 8, fewer where their
        bases need more than 512 MiB.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    checkpoint : path, optional
        A file that the state is saved to after each block of random vectors, at most every
        `checkpoint_every` seconds. A run that finds it goes on from there to the same bits; a run
        that finishes removes it.
    checkpoint_every : float
        Seconds between two saves.
    callback, timeout, max_products, history
        As for `cg`; the history is that of the two errors together.

    Returns
    -------
    SpectralEstimate
        The tuple (value, stderr) with `quadrature_error` and an account of the run. The status is
        `negative_curvature`, and the value NaN, if A is seen not to be positive definite, and
        `precision_limit` if an eigenvalue cannot be told from zero.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Memory: a vector a step and random vector of a block.

    References
    ----------
    Ubaru, Chen, Saad: Fast estimation of tr(f(A)) via stochastic Lanczos quadrature. SIAM J. Matrix
    Anal. Appl. 38, 2017.
    """
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", "logdet")
    low, high = spectrum_bounds(bounds)
    options = {"low": low, "high": high, "rtol": _arrays.nonnegative(rtol, "rtol")}
    return _spectral_sum(
        "logdet",
        A,
        integrand("log"),
        method,
        probes,
        steps,
        atol,
        distribution,
        reorthogonalize,
        block,
        seed,
        like,
        checkpoint,
        checkpoint_every,
        (callback, history, timeout, max_products),
        options,
    )


def schatten_norm(
    A: Any,
    p: float = 1.0,
    *,
    method: str = "auto",
    probes: int = 16,
    steps: int | None = None,
    rtol: float = 0.0,
    distribution: str = "sphere",
    reorthogonalize: str = "full",
    block: int | None = None,
    seed: int = 0,
    like: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> SpectralEstimate:
    """Estimate the Schatten norm (Σ σᵢᵖ)^(1/p) of the singular values σᵢ of any A.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with adjoint products unless it is self-adjoint.
    p : float
        At least 1: 1 is the nuclear norm, 2 the Frobenius norm. For p = inf, the spectral norm, see
        `ritz.norm`.
    method, probes, steps, distribution, reorthogonalize, block, seed, like
        As for `logdet`; a step is one product with A or Aᴴ, and "exact" takes the smaller of m and
        n products.
    rtol : float
        Stop when stderr + quadrature_error ≤ rtol times the value; 0 takes all probes.
    checkpoint, checkpoint_every, callback, timeout, max_products, history
        As for `logdet`.

    Returns
    -------
    SpectralEstimate
        The tuple (value, stderr) with `quadrature_error` and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The Golub-Kahan process from random vectors of the smaller side: rules for AᴴA without squaring
    A, a Gauss rule and a Radau rule with a node at 0, between which Σ σᵖ lies. The errors are those
    of Σ σᵖ carried over to its root. Memory: a vector a step and random vector of a block.

    References
    ----------
    Ubaru, Chen, Saad: Fast estimation of tr(f(A)) via stochastic Lanczos quadrature. SIAM J. Matrix
    Anal. Appl. 38, 2017. Golub, Kahan: Calculating the singular values and pseudo-inverse of a
    matrix. SIAM J. Numer. Anal. 2, 1965.
    """
    A = aslinearoperator(A)
    p = _arrays.number(p, "p")
    if math.isinf(p) and p > 0:
        raise ValueError("p is inf, the spectral norm: call ritz.norm(A, 2)")
    if p < 1:
        raise ValueError(f"p is {p}; pass a number of at least 1")
    # The tolerance is of the root.
    options = {"power": p, "rtol": p * _arrays.nonnegative(rtol, "rtol")}
    return _spectral_sum(
        "schatten_norm",
        A,
        integrand("exp"),
        method,
        probes,
        steps,
        0.0,
        distribution,
        reorthogonalize,
        block,
        seed,
        like,
        checkpoint,
        checkpoint_every,
        (callback, history, timeout, max_products),
        options,
        p,
    )


def _spectral_sum(
    method: str,
    A: LinearOperator,
    f: Any,
    how: str,
    probes: int,
    steps: int | None,
    atol: float,
    distribution: str,
    reorthogonalize: str,
    block: int | None,
    seed: int,
    like: Any,
    checkpoint: str | os.PathLike[str] | None,
    checkpoint_every: float,
    watched: tuple[Callbacks, bool, float | None, int | None],
    options: dict[str, Any],
    p: float = 0.0,
) -> SpectralEstimate:
    if how not in _METHODS:
        raise ValueError(f'method is {how!r}; pass "auto", "slq" or "exact"')
    probes = _arrays.integer(probes, "probes", 2)
    limit = _arrays.limit(steps, "steps")
    n = min(A.shape)
    most = watched[3]
    if how == "auto":
        budget = probes * min(limit or _STEPS, n) if most is None else most
        how = "exact" if n <= min(budget, _DENSE) else "slq"
    options |= {
        "probes": probes,
        "max_steps": limit,
        "atol": _arrays.nonnegative(atol, "atol"),
        "signs": signs(distribution),
        "keep_basis": keep_basis(reorthogonalize),
        "exact": how == "exact",
        "block": _arrays.limit(block, "block"),
    }
    seed = _arrays.seed_of(seed)
    path = "" if checkpoint is None else os.fspath(checkpoint)
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    framework, dtype = setting(A, like)
    watch = Watch(method, framework, *watched)
    with Binding(dtype, framework) as run, watch.running() as ending:
        value, stderr, outcome = run.core.spectral_sum(
            run(A), f, seed, options, path, every, watch.monitor
        )
        account = without_tolerance(account_of(outcome, watch.history))
        error = outcome["quadrature_error"]
        if account["status"] is Status.negative_curvature:
            value = stderr = error = math.nan
        if p:
            value, stderr, error = _root(value, stderr, error, p)
            account["residual"] = stderr + error
            account["target"] = value * options["rtol"] / p
        account |= {
            "method": how,
            "quadrature_error": error,
            "rigorous": outcome["rigorous"],
            "samples": outcome["samples"],
            "steps": outcome["steps"],
        }
        ending.result = result = SpectralEstimate((value, stderr), **account)
    return result


def _root(value: float, stderr: float, error: float, p: float) -> tuple[float, float, float]:
    """Return the p-th root of a value, and its errors to first order."""
    if not value > 0.0:
        return value, stderr, error
    root = value ** (1.0 / p)
    return root, stderr / value * root / p, error / value * root / p


def signs(distribution: str) -> bool:
    """Return whether the random vectors are of signs."""
    if distribution not in ("sphere", "signs"):
        raise ValueError(f'distribution is {distribution!r}; pass "sphere" or "signs"')
    return distribution == "signs"
