"""Quadratic and bilinear forms of functions of a Hermitian operator, with brackets."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ritz import _arrays
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Result, account_of

__all__ = ["FormResult", "bilinear_form", "quadratic_form"]

# What the compiled code calls the functions that are known by name.
_NAMES = {"exp": 0, "log": 1, "sqrt": 2, "invsqrt": 3, "inv": 4, "power": 5}
_NAMED = ", ".join(f'"{name}"' for name in _NAMES if name != "power")


class FormResult(Result):
    """The result (value, lower, upper) of `quadratic_form` and `bilinear_form`.

    Attributes
    ----------
    rigorous : bool
        lower ≤ value of the form ≤ upper holds by theory, for the operator whose bounds were given
        and products that are exact to rounding. False: an estimate.
    residual, target : float
        Half of the bracket, and what it was asked to come down to.
    """

    rigorous: bool

    @property
    def value(self) -> Any:
        """The middle of the bracket."""
        return self[0]

    @property
    def lower(self) -> Any:
        """The lower bound; of a complex value those of its real and its imaginary part."""
        return self[1]

    @property
    def upper(self) -> Any:
        """The upper bound, likewise."""
        return self[2]

    def __float__(self) -> float:
        return float(self[0])


def integrand(f: Any) -> tuple[int, float, float, float] | Callable[[Any], Any]:
    """Return f as the compiled code takes it: (kind, t, p, z), or a function of an array."""
    if isinstance(f, str) and f in _NAMES and f != "power":
        return _NAMES[f], 1.0, 1.0, 0.0
    if isinstance(f, tuple) and len(f) == 2 and f[0] == "power":
        return _NAMES["power"], 1.0, _arrays.number(f[1], "the power"), 0.0
    if callable(f):

        def values(x: Any) -> Any:
            y = np.asarray(f(x))
            if y.dtype.kind == "c":
                raise TypeError("f returned complex numbers; pass a function with real values")
            return y.astype(np.float64, copy=False)

        return values
    raise ValueError(
        f'f is {f!r}; pass one of {_NAMED}, ("power", p), or a function of an array of eigenvalues'
    )


def spectrum_bounds(bounds: Any) -> tuple[float, float]:
    """Return (low, high) of the spectrum; None stands for no bound."""
    if bounds is None:
        return -math.inf, math.inf
    try:
        low, high = bounds
    except (TypeError, ValueError):
        raise ValueError(
            f"bounds is {bounds!r}; pass (low, high), either of them None where it is not known"
        ) from None
    low = -math.inf if low is None else _arrays.number(low, "bounds[0]")
    high = math.inf if high is None else _arrays.number(high, "bounds[1]")
    if low > high:
        raise ValueError(f"bounds is {bounds!r}; pass the smaller one first")
    return low, high


def keep_basis(reorthogonalize: str) -> bool:
    """Return whether the Lanczos basis is stored."""
    if reorthogonalize not in ("full", "none"):
        raise ValueError(f'reorthogonalize is {reorthogonalize!r}; pass "full" or "none"')
    return reorthogonalize == "full"


def quadratic_form(
    A: Any,
    u: Any,
    f: Any = "inv",
    *,
    bounds: tuple[float | None, float | None] | None = None,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int | None = None,
    reorthogonalize: str = "full",
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> FormResult:
    """Compute uᴴ f(A) u of a Hermitian A between a lower and an upper bound.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    u : array (n,) or tree
        The vector.
    f : {"inv", "log", "sqrt", "invsqrt", "exp"}, ("power", p), or callable
        By name, or a real function of an array of eigenvalues, elementwise. "log", "invsqrt" and
        powers that are no integers are for positive definite A, "sqrt" for semidefinite ones too.
    bounds : (low, high), optional
        Numbers that all eigenvalues of A lie between; either may be None. With the ones that f
        needs, the bracket of an f by name is rigorous: for "inv", "log" and "invsqrt" that is
        low > 0, for "exp" it is high, for "sqrt" and powers from 0 to 1 none. Without them the
        extreme Ritz values, widened, stand in.
    rtol, atol : float
        Converged means that half of the bracket is at most rtol |value| + atol; by default rtol is
        1e-6, in single precision 1e-4.
    maxiter : int, optional
        Lanczos steps, by default the smaller of n and 200.
    reorthogonalize : {"full", "none"}
        "none" keeps three vectors instead of one a step; eigenvalues then enter more than once, and
        it takes more steps.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    FormResult
        The tuple (value, lower, upper) with `rigorous` and an account of the run. The status is
        `precision_limit` if rounding alone makes the bracket wider than the tolerance, and
        `negative_curvature` if A turns out to have eigenvalues where f is not defined.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, among them bounds that a Ritz value contradicts.

    Notes
    -----
    The k-step Gauss rule errs by the (2k)-th derivative of f, Gauss-Radau rules with a node at an
    end of the spectrum by the (2k + 1)-th: where these have a constant sign the rules are bounds.
    For any other f the bracket is four times the change over the last quarter of the steps. The
    bracket leaves room for rounding, of a few eps ‖A‖ in each product. A run that has seen all of
    its Krylov space, after g steps for g distinct eigenvalues, is exact. One product a step.
    Memory: a vector a step.

    References
    ----------
    Golub, Meurant: Matrices, Moments and Quadrature with Applications. Princeton, 2010.
    """
    return _form(
        "quadratic_form",
        A,
        u,
        None,
        f,
        bounds,
        rtol,
        atol,
        maxiter,
        reorthogonalize,
        (callback, history, timeout, max_products),
    )


def bilinear_form(
    A: Any,
    u: Any,
    v: Any,
    f: Any = "inv",
    *,
    bounds: tuple[float | None, float | None] | None = None,
    rtol: float | None = None,
    atol: float = 0.0,
    maxiter: int | None = None,
    reorthogonalize: str = "full",
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> FormResult:
    """Compute uᴴ f(A) v of a Hermitian A between a lower and an upper bound.

    Parameters
    ----------
    A, f, bounds, maxiter, reorthogonalize
        As for `quadratic_form`.
    u, v : array (n,) or tree
        The vectors.
    rtol, atol : float
        Converged means that half of the bracket is at most rtol |value| + atol. A value much
        smaller than ‖u‖ ‖f(A) v‖ needs an atol.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    FormResult
        The tuple (value, lower, upper); of a complex value lower and upper bound the real and the
        imaginary part.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    By polarisation, ¼ Σ i^{-k} (u + iᵏ v)ᴴ f(A) (u + iᵏ v) of the vectors scaled to length one: two
    products a step for real vectors and four for complex ones, as one block product where A has
    one. Memory: as many vectors a step.

    References
    ----------
    Golub, Meurant: Matrices, Moments and Quadrature with Applications. Princeton, 2010.
    """
    return _form(
        "bilinear_form",
        A,
        u,
        v,
        f,
        bounds,
        rtol,
        atol,
        maxiter,
        reorthogonalize,
        (callback, history, timeout, max_products),
    )


def _form(
    method: str,
    A: Any,
    u: Any,
    v: Any,
    f: Any,
    bounds: Any,
    rtol: float | None,
    atol: float,
    maxiter: int | None,
    reorthogonalize: str,
    watched: tuple[Callbacks, bool, float | None, int | None],
) -> FormResult:
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", method)
    low, high = spectrum_bounds(bounds)
    given = integrand(f)
    left, framework = _vector(A, u, "u")
    right = None if v is None else _vector(A, v, "v")[0]
    dtype = working_dtype([A], [left.dtype] + ([] if right is None else [right.dtype]))
    if rtol is None:
        rtol = 1e-6 if np.finfo(dtype).eps < 1e-10 else 1e-4
    options = {
        "rtol": _arrays.nonnegative(rtol, "rtol"),
        "atol": _arrays.nonnegative(atol, "atol"),
        "max_steps": _arrays.limit(maxiter, "maxiter"),
        "keep_basis": keep_basis(reorthogonalize),
        "low": low,
        "high": high,
    }
    watch = Watch(method, framework, *watched)
    with Binding(dtype, framework) as run, watch.running() as ending:
        value, lower, upper, outcome = run.core.bilinear_form(
            run(A),
            _arrays.cast(left, dtype, "u"),
            None if right is None else _arrays.cast(right, dtype, "v"),
            given,
            options,
            watch.monitor,
        )
        if v is None:  # real whatever the field is
            value, lower, upper = (x.real for x in (value, lower, upper))
        account = account_of(outcome, watch.history)
        account["rigorous"] = outcome["rigorous"]
        ending.result = result = FormResult((value, lower, upper), **account)
    return result


def _vector(A: LinearOperator, u: Any, name: str) -> tuple[Any, Any]:
    u = u if A.domain is None else A.domain.flat(u)
    return _arrays.vector(u, name, A.shape[1], f"A of shape {A.shape}")
