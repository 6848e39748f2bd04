"""Functions of operators times vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import DeviceProblem, columns_on_device, device_setting, flat_on_device, on_device
from ritz._linear import require_self_adjoint, require_square
from ritz._nodes import Binding
from ritz._run import Callbacks, LinearProblem, Watch, tree_of_solution
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Counts, Result, Status, account_of, axes, info_of

__all__ = ["FunmResult", "funm_multiply"]

_METHODS = ("auto", "lanczos", "arnoldi", "chebyshev", "rational")
# The numbers of ritz::Function.
_KINDS = {
    "exp": 0,
    "log": 1,
    "sqrt": 2,
    "invsqrt": 3,
    "inv": 4,
    "power": 5,
    "sign": 6,
    "phi": 7,
    "resolvent": 8,
}
# Memory that the basis may take where nobody says otherwise, and the vectors it keeps at any rate.
_BASIS_BYTES = 2**30
_BASIS_LEAST, _BASIS_MOST = 50, 1000
# Arnoldi works on dense matrices of this size, in O(m³).
_ARNOLDI_MOST = {"exp": 60, "other": 300}


class FunmResult(Result):
    """The result (y, info) of `ritz.funm_multiply`.

    Attributes
    ----------
    error : float
        ‖y − f(tA) b‖, bounded or estimated; of the function that is furthest from its target. Also
        called `residual`.
    errors, norms : numpy.ndarray
        The error and ‖y‖ of every function.
    bound : bool
        Whether `error` is an upper bound, rounding apart: for a Hermitian A with `interval` given
        and functions by name, "sign" excepted. Otherwise it is an estimate.
    method : str
        "lanczos", "arnoldi", "chebyshev" or "rational".
    basis_size : int
        Vectors kept.
    repeated : int
        Products made a second time, by a second pass.
    poles : int
        Poles of a rational approximation.
    columns : tuple of FunmResult
        The results of the columns, if b had several; the account above is then that of the first
        that failed, or of the slowest.
    """

    errors: npt.NDArray[np.float64]
    norms: npt.NDArray[np.float64]
    bound: bool
    method: str
    basis_size: int
    repeated: int
    poles: int
    columns: tuple[FunmResult, ...] = ()

    @property
    def y(self) -> Any:
        """f(tA) b, a list of them if f was one."""
        return self[0]

    @property
    def error(self) -> float:
        """‖y − f(tA) b‖, bounded or estimated."""
        return self.residual

    def plot(self, ax: Any = None) -> Any:
        """Draw the error after each product, on a logarithmic scale, with its target.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        ValueError
            If the run kept no history: pass `history=True`.
        """
        shown = self.columns or (self,)
        if any(result.history is None for result in shown):
            raise ValueError("the run kept no history; pass history=True to funm_multiply")
        ax = axes(ax)
        for j, result in enumerate(shown):
            assert result.history is not None
            label = f"column {j}" if self.columns else self.method
            steps = np.arange(1, len(result.history) + 1)
            (line,) = ax.semilogy(steps, result.history, label=label)
            ax.axhline(result.target, color=line.get_color(), linestyle=":", linewidth=1)
        ax.set(xlabel="step", ylabel="error of y", title=f"f(A) b: {self.status.name}")
        ax.legend()
        return ax


@dataclass
class _Functions:
    """What f is, as the compiled methods take it."""

    names: list[tuple[int, complex, float, int, complex]]
    calls: list[Callable[[Any], Any]]
    several: bool

    @property
    def count(self) -> int:
        return len(self.names) or len(self.calls)


def funm_multiply(
    A: Any,
    b: Any,
    f: Any,
    *,
    t: complex = 1.0,
    method: str = "auto",
    rtol: float = 1e-6,
    atol: float = 0.0,
    max_basis: int | None = None,
    maxiter: int | None = None,
    interval: tuple[float, float] | None = None,
    poles: tuple[Any, Any, float] | None = None,
    symmetric: bool | None = None,
    matrix_function: bool = False,
    seed: int = 0,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> FunmResult:
    """Compute y = f(tA) b from products with A, with an error bound or estimate.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    b : array (n,) or (n, k), or tree
        One vector, or k of them, each in a Krylov space of its own.
    f : str, tuple, callable, or a list of these
        "exp", "log", "sqrt", "invsqrt" (x^−½), "inv", "sign", "phi1", "phi2", … (φ_k(x) =
        Σ xⁱ/(i + k)!), ("power", p), ("resolvent", z) for 1/(x − z), ("exp", s) for exp(s x) and
        so for φ_k, or a vectorised function of eigenvalues: real ones for a Hermitian A, complex
        ones otherwise. A list, all by name or all callable, is computed from one basis.
    t : number
        Complex for exp, φ_k, inverse and resolvent; b is then taken as complex.
    method : {"auto", "lanczos", "arnoldi", "chebyshev", "rational"}
        "auto" takes Lanczos for a Hermitian A and Arnoldi otherwise. "chebyshev" and "rational" are
        for a Hermitian A: the first keeps no basis and makes no inner products, the second solves
        shifted systems for a positive definite A, all in one run of conjugate gradients.
    rtol, atol : float
        Converged means an error of at most max(rtol ‖y‖, atol), for every function.
    max_basis : int, optional
        Vectors kept, by default as many as 1 GiB holds, between 50 and 1000; for Arnoldi at most
        60 for exp and 300 for others. Lanczos goes on without them, for one more product a step;
        Arnoldi cuts exp into shorter times, and ends at this many steps for other functions.
    maxiter : int, optional
        Steps, by default 10 n.
    interval : (float, float), optional
        Numbers between which all eigenvalues of a Hermitian A lie. Makes the error a bound;
        "chebyshev" needs it for functions with a singularity, "rational" always.
    poles : (poles, residues, constant), optional
        For "rational": f(x) ≈ constant + Σ residues / (x − poles), real poles below the spectrum of
        tA. Its own error is not known and not counted.
    symmetric : bool, optional
        Whether A is Hermitian, where A itself does not tell: arrays are looked at, an operator
        answers by its attribute `symmetric`, and anything else counts as general.
    matrix_function : bool
        A callable f takes a small complex array (k, k) and returns f of it, as `scipy.linalg.expm`
        does. For a general A.
    seed : int
        Of the vector from which "chebyshev" looks for an interval.
    verify : bool
        False leaves out the residuals of inverses and resolvents, one product each.
    callback, timeout, max_products, history
        As for `cg`; callbacks do not see y, and their `residual` is the error as last estimated.

    Returns
    -------
    FunmResult
        The tuple (y, info), info 0 for success, with `error`, `bound`, and an account of the run. y
        is of the kind and shape of b, for a list f a list of such. With `breakdown` y is NaN: f is
        not finite at a Ritz value, which the message names.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    With T = Vᴴ A V after m Lanczos steps the error is ‖b‖ β ‖g(A) v‖ for a known function g, built
    from the Ritz values. `error` is ‖b‖ β max |g|, over `interval` if it is given: then a bound,
    as |g| is largest at an end of it for real exp and φ_k, log, inverse and fractional powers.
    Otherwise the maximum is taken over the Ritz values' interval, widened by their residuals: an
    estimate, blind for eigenvalues that the Krylov space has not found yet. An estimate of what
    rounding leaves is added to it. For a general A the error is always an estimate.

    Inverses and resolvents of a Hermitian A are `verified` by their residuals; for other functions
    there is no residual to evaluate. A non-Hermitian A that is nearly defective gives a callable f
    `precision_limit`, by the condition of its small eigenvectors: pass a name, or a function of a
    matrix.

    One product a step. Memory: the basis, and 16 m² bytes for m steps of Lanczos; Chebyshev three
    vectors; rational two for each pole. Traffic: Lanczos and Arnoldi (3j + 6) n in step j,
    Chebyshev 5 n.

    References
    ----------
    Druskin, Knizhnerman: Two polynomial methods of calculating functions of symmetric matrices.
    USSR Comput. Math. Math. Phys. 29, 1989. Saad: Analysis of some Krylov subspace approximations
    to the matrix exponential operator. SIAM J. Numer. Anal. 29, 1992. Hale, Higham, Trefethen:
    Computing A^α, log(A), and related matrix functions by contour integrals. SIAM J. Numer. Anal.
    46, 2008. Chen, Greenbaum, Musco, Musco: Error bounds for Lanczos-based matrix function
    approximation. SIAM J. Matrix Anal. Appl. 43, 2022.
    """
    hermitian = _is_hermitian(A, symmetric)
    A = aslinearoperator(A)
    require_square(A, "A", "funm_multiply")
    if method not in _METHODS:
        raise ValueError(f"method is {method!r}; pass one of {', '.join(_METHODS)}")
    if method == "auto":
        method = "lanczos" if hermitian else "arnoldi"
    if method != "arnoldi":
        require_self_adjoint(A, "A", f"method={method!r}")
    real_t, phase = _time(t)
    functions = _functions(f, phase, matrix_function, method)
    _check_rational(method, functions, interval, poles, real_t)
    options: dict[str, Any] = {
        "rtol": _arrays.nonnegative(rtol, "rtol"),
        "atol": _arrays.nonnegative(atol, "atol"),
        "t": real_t,
        "max_iterations": _arrays.limit(maxiter, "maxiter"),
        "verify": bool(verify),
    }
    if interval is not None:
        low, high = (_arrays.number(x, "interval") for x in interval)
        if not low <= high:
            raise ValueError(f"interval is {interval!r}; pass (low, high) with low <= high")
        options |= {"low": low, "high": high}
    if max_basis is not None:
        max_basis = _arrays.integer(max_basis, "max_basis", 2)
    seed = _arrays.seed_of(seed)
    fractions = None if poles is None else _fractions(poles)
    signs = any(kind == _KINDS["sign"] for kind, *_ in functions.names)
    steps = [kind for kind, *_ in functions.names] == [_KINDS["exp"]]
    most = _ARNOLDI_MOST["exp" if steps else "other"] if method == "arnoldi" else _BASIS_MOST
    bounded = not (functions.calls or signs or poles is not None or method == "arnoldi")
    complex_wanted = any(
        complex(s).imag != 0.0 or z.imag != 0.0 for _, s, _, _, z in functions.names
    )

    def run_one(v: Any, column: int, watch_of: Callable[[Any, Any], Watch]) -> FunmResult:
        problem: Any
        flat = flat_on_device(A.codomain, v)
        if on_device(flat):
            problem = DeviceProblem(A, flat, None, tree=tree_of_solution(A, v, None))
            if complex_wanted and problem.dtype.kind != "c":
                raise TypeError("t or z is complex: pass b as a complex vector on the device")
        else:
            problem = LinearProblem(A, _complex(A, v) if complex_wanted else v, None)
        watch = watch_of(problem.framework, problem.tree)
        monitor = watch.column(column)
        room = _BASIS_BYTES // max(1, problem.b.size * problem.dtype.itemsize)
        options["max_basis"] = max_basis or min(max(room, _BASIS_LEAST), most)
        call = _caller(functions, problem.dtype, method, matrix_function)
        with (
            Binding(problem.dtype, problem.framework, problem.core) as bound,
            watch.running() as ending,
        ):
            Y, outcome = problem.core.funm(
                method,
                bound(A),
                problem.b,
                functions.names,
                call,
                functions.count,
                matrix_function,
                fractions,
                options,
                seed,
                monitor,
            )
            ys = [problem.vector(problem.column(Y, j)) for j in range(functions.count)]
            y = ys if functions.several else ys[0]
            outcome["bound"] &= bounded
            ending.result = result = _result(
                y, method, outcome, monitor.history if history else None
            )
        return result

    def watch(framework: Any, tree: Any) -> Watch:
        return Watch("funm_multiply", framework, callback, history, timeout, max_products, tree)

    if _several(A, b):
        return _columns(A, b, functions, run_one, watch)
    return run_one(b, 0, watch)


def _is_hermitian(A: Any, symmetric: bool | None) -> bool:
    """Whether A is known to be Hermitian: told so, declared so, or an array that is."""
    if symmetric is not None:
        return bool(symmetric)
    declared = getattr(A, "symmetric", None)
    if declared is not None:
        return bool(declared)
    try:
        if hasattr(A, "tocsr") and hasattr(A, "conj"):  # a sparse matrix
            return A.shape[0] == A.shape[1] and not (A != A.conj().T).nnz
        if hasattr(A, "__array__") or type(A).__module__.partition(".")[0] in ("torch", "jaxlib"):
            a, _ = _arrays.array(A, "A")
            return a.ndim == 2 and a.shape[0] == a.shape[1] and np.array_equal(a, a.conj().T)
    except (TypeError, ValueError):
        return False  # aslinearoperator knows better what to say about it
    return False


def _time(t: Any) -> tuple[float, complex]:
    """Return t as a real number times a phase, 1 for a real t."""
    try:
        value = complex(t)
    except (TypeError, ValueError):
        raise TypeError(f"t is {t!r}; pass a number") from None
    if not (math.isfinite(value.real) and math.isfinite(value.imag)):
        raise ValueError(f"t is {t!r}; pass a finite number")
    if value.imag == 0.0:
        return value.real, 1.0
    return abs(value), value / abs(value)


def _functions(f: Any, phase: complex, matrix_function: bool, method: str) -> _Functions:
    """Return f as names or as callables."""
    several = isinstance(f, list)
    given = f if several else [f]
    if not given:
        raise ValueError("f is an empty list; pass at least one function")
    calls = [g for g in given if callable(g)]
    if calls and len(calls) < len(given):
        raise TypeError("f mixes names and callables; pass all of one kind")
    if calls:
        if phase != 1.0:
            raise ValueError("t is complex; put it into f: f=lambda x: g(t * x)")
        if matrix_function and method != "arnoldi":
            raise ValueError(f'matrix_function=True is for method="arnoldi", not {method!r}')
        return _Functions([], calls, several)
    if matrix_function:
        raise TypeError("matrix_function=True needs a callable f")
    return _Functions([_named(g, phase) for g in given], [], several)


def _named(f: Any, phase: complex) -> tuple[int, complex, float, int, complex]:
    name, *arguments = f if isinstance(f, tuple) and f else (f,)
    known = f"pass {', '.join(map(repr, _KINDS))}, a power, a resolvent, or a callable"
    if not isinstance(name, str):
        raise TypeError(f"f is {f!r}; {known}")
    p, k, z = 1.0, 1, 0j
    if name.startswith("phi") and name[3:].isdigit():
        name, k = "phi", int(name[3:])
        if k > 20:
            raise ValueError(f"f is {f!r}; φ_k is offered up to k = 20")
    counts = {"power": (1,), "resolvent": (1,), "exp": (0, 1), "phi": (0, 1)}
    if name not in _KINDS or len(arguments) not in counts.get(name, (0,)):
        raise ValueError(f"f is {f!r}; {known}: ('power', p), ('resolvent', z), ('exp', s)")
    if name == "power":
        p = _arrays.number(arguments[0], "p")
    elif name == "resolvent":
        z = complex(arguments[0])
    elif arguments:
        phase *= complex(arguments[0])
    if phase != 1.0 and name not in ("exp", "phi", "inv", "resolvent"):
        raise ValueError(f"t is complex; {name} needs a real one")
    return _KINDS[name], phase, p, k, z


def _check_rational(
    method: str, functions: _Functions, interval: Any, poles: Any, t: float
) -> None:
    if poles is not None and method != "rational":
        raise ValueError(f'poles are for method="rational", not {method!r}')
    if method != "rational":
        return
    if functions.count != 1:
        raise ValueError('method="rational" takes one function at a time')
    if functions.calls and poles is None:
        raise ValueError('method="rational" needs poles for a callable f')
    if interval is None:
        raise ValueError(
            'interval is missing: method="rational" needs the interval of the eigenvalues, as '
            "ritz.eigsh finds it"
        )
    if t <= 0.0:
        raise ValueError('method="rational" needs t > 0')


def _fractions(poles: Any) -> tuple[list[float], list[float], float]:
    """Return shifts, weights and constant of Σ weights / (x + shifts)."""
    try:
        where, residues, constant = poles
        points = np.asarray(where, dtype=float).ravel()
        weights = np.asarray(residues, dtype=float).ravel()
    except (TypeError, ValueError):
        raise TypeError("poles must be (poles, residues, constant) with real numbers") from None
    if points.size != weights.size or points.size == 0:
        raise ValueError(f"poles holds {points.size} poles and {weights.size} residues")
    return list(-points), list(weights), _arrays.number(constant, "constant")


def _complex(A: LinearOperator, v: Any) -> Any:
    """Return v in the complex type of its precision."""
    if A.codomain is not None and A.codomain.holds(v):
        raise TypeError("t or z is complex: pass b as a complex vector, not as a tree")
    a, framework = _arrays.array(v, "b")
    element = np.result_type(working_dtype([A], [a.dtype]), np.complex64)
    return framework.from_numpy(a.astype(element))


def _caller(
    functions: _Functions, dtype: np.dtype[Any], method: str, matrix_function: bool
) -> Callable[[Any], Any] | None:
    """Return what the compiled method calls for the values of callables."""
    if not functions.calls:
        return None
    count = functions.count
    if matrix_function:

        def of_matrix(H: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
            columns = np.empty((len(H), count), complex, order="F")
            for j, g in enumerate(functions.calls):
                value = np.asarray(g(H))
                if value.shape != H.shape:
                    raise ValueError(f"f returned shape {value.shape} for a matrix of {H.shape}")
                columns[:, j] = value[:, 0]
            finite = bool(np.isfinite(columns).all())
            return columns, float(np.finfo(float).eps) if finite else math.nan

        return of_matrix
    kind = np.dtype(complex if method == "arnoldi" or dtype.kind == "c" else float)

    def on_points(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        values = np.empty((len(x), count), kind, order="F")
        with np.errstate(all="ignore"):  # trouble is seen in the values
            for j, g in enumerate(functions.calls):
                value = np.asarray(g(x))
                if value.shape not in ((), x.shape):
                    raise ValueError(
                        f"f returned shape {value.shape} for eigenvalues of shape {x.shape}: it "
                        "must work elementwise"
                    )
                if value.dtype.kind == "c" and kind.kind != "c":
                    raise TypeError("f returned complex numbers: pass a complex b")
                values[:, j] = value
        return values

    return on_points


def _result(
    y: Any, method: str, outcome: dict[str, Any], history: npt.NDArray[np.float64] | None
) -> FunmResult:
    account = account_of(outcome, history)
    status = account["status"]
    account["message"] = _message(account, method, outcome)
    account |= {
        "errors": np.array(outcome["errors"]),
        "norms": np.array(outcome["norms"]),
        "bound": outcome["bound"],
        "method": method,
        "basis_size": outcome["basis"],
        "repeated": outcome["repeated"],
        "poles": outcome["poles"],
    }
    return FunmResult((y, info_of(status, account["iterations"])), **account)


def _message(account: dict[str, Any], method: str, outcome: dict[str, Any]) -> str:
    """Say how a run ended, with what certainty, and what to do."""
    status: Status = account["status"]
    certainty = "at most" if outcome["bound"] else "estimated as"
    numbers = (
        f"{status.name} at step {account['iterations']}: error {certainty} "
        f"{account['residual']:.3e}, target {account['target']:.3e}"
    )
    if status is Status.converged:
        return numbers + ("; checked on the residual" if account["verified"] else "")
    advice = status.advice
    if status is Status.breakdown:
        where = "a point of the interval" if method == "chebyshev" else "a Ritz value of tA"
        if not math.isnan(outcome["offending"]):
            advice = f"f is not finite at {outcome['offending']:.6g}, {where}"
        elif method == "chebyshev":
            advice = "an eigenvalue lies outside the interval: widen it"
        else:
            advice = (
                "f is not defined on the projected matrix, or its value is complex: try a complex "
                "b; a callable f of a defective A is better given by name or as matrix_function"
            )
    elif status is Status.precision_limit:
        advice = "the working precision cannot meet the tolerance: loosen it, or use float64"
        if method == "arnoldi":
            advice += "; a callable f of a nearly defective A is better given by name"
        elif method == "chebyshev":
            advice += "; or f is too steep for a series: give a tight interval, or take Lanczos"
    elif status is Status.max_iterations and method == "arnoldi":
        advice = "the limit of steps or of the basis came first: raise max_basis or maxiter"
    return f"{numbers}; {advice}"


def _several(A: LinearOperator, b: Any) -> bool:
    """Whether b holds several vectors; (n, 1) counts as one."""
    if A.codomain is not None and A.codomain.holds(b):
        return False
    shape = tuple(getattr(b, "shape", ()))
    return len(shape) == 2 and shape[-1] != 1


def _host_columns(A: LinearOperator, b: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Return the columns of b, and what makes a block of the results."""
    B, framework = _arrays.array(b, "b")
    if B.shape[0] != A.shape[0]:
        raise ValueError(f"b has shape {B.shape}; A has shape {A.shape}")

    def block(values: Sequence[Any]) -> Any:
        arrays = [framework.to_numpy(v, "y") for v in values]
        return framework.from_numpy(np.stack(arrays, axis=1))

    count = B.shape[1]
    return [framework.from_numpy(np.ascontiguousarray(B[:, j])) for j in range(count)], block


def _device_columns(A: LinearOperator, b: Any) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    framework, core, _, shape = device_setting(b, "b", [A])
    rows = columns_on_device(framework, core, b, "b", A.shape[0])

    def block(values: Sequence[Any]) -> Any:
        return framework.from_columns(core.stack([core.take(v, "y") for v in values]))

    return [framework.from_run(rows.row(j)) for j in range(shape[1])], block


def _columns(
    A: LinearOperator,
    b: Any,
    functions: _Functions,
    run_one: Callable[..., FunmResult],
    watch: Callable[[Any, Any], Watch],
) -> FunmResult:
    apart, together = (_device_columns if on_device(b) else _host_columns)(A, b)
    if not apart:
        raise ValueError("b has no columns; pass at least one")
    columns = tuple(run_one(v, j, watch) for j, v in enumerate(apart))

    if functions.several:
        y: Any = [together([c.y[i] for c in columns]) for i in range(functions.count)]
    else:
        y = together([c.y for c in columns])
    failed = [j for j, c in enumerate(columns) if not c.converged]
    worst = columns[failed[0]] if failed else max(columns, key=lambda c: c.iterations)
    text = worst.message
    if failed:
        text = f"{len(failed)} of {len(columns)} columns failed; column {failed[0]}: {text}"
    products = [c.products for c in columns]
    account = {
        **worst.__dict__,
        "message": text,
        "iterations": max(c.iterations for c in columns),
        "products": Counts(*(sum(p) for p in zip(*products, strict=True))),
        "verified": all(c.verified for c in columns),
        "bound": all(c.bound for c in columns),
        "history": None,
        "seconds": sum(c.seconds for c in columns),
        "columns": columns,
    }
    return FunmResult((y, info_of(worst.status, worst.iterations)), **account)
