"""How every linear solver runs: one right-hand side, many of them, or step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._core import DeviceArray
from ritz._device import DeviceProblem, columns_on_device, device_setting, flat_on_device, on_device
from ritz._nodes import Binding
from ritz._run import Callbacks, LinearProblem, Watch, tree_of_solution
from ritz.frameworks import Framework
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Counts, LinearResult, Status, account_of, info_of
from ritz.trees import Structure
from ritz.workspace import Workspace, lent

if TYPE_CHECKING:
    from typing_extensions import Unpack

R = TypeVar("R", bound=LinearResult)
F = TypeVar("F", bound=Callable[..., Any])

# How an option is checked, and what the compiled method calls it if not by the same name.
_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "rtol": _arrays.nonnegative,
    "atol": _arrays.nonnegative,
    "btol": _arrays.nonnegative,
    "conlim": _arrays.nonnegative,
    "damp": _arrays.nonnegative,
    "radius": _arrays.positive,
    "shift": _arrays.number,
    "maxiter": _arrays.limit,
    "restart": _arrays.integer,
    "k": _arrays.integer,
    "s": _arrays.integer,
    "ell": _arrays.integer,
    "memory": _arrays.integer,
    "truncation": _arrays.integer,
    "seed": _arrays.seed_of,
    "npc": lambda value, _: bool(value),
    "recycle": lambda value, _: bool(value),
    "same_operator": lambda value, _: int(value),
    "verify": lambda value, _: bool(value),
    "variance": lambda value, _: bool(value),
    "replace_residual": lambda value, _: bool(value),
}
# Methods that can look for all columns of b in one Krylov space.
_BLOCK_METHODS = ("cg", "minres", "gmres")
_BLOCK_OPTIONS = ("rtol", "atol", "max_iterations", "warm_start", "verify", "restart")
# Methods whose preconditioner may be any function.
_FLEXIBLE = ("fcg", "fgmres")
_COMPILED_NAMES = {"maxiter": "max_iterations"}


class Common(TypedDict, total=False):
    """Options that every linear solver has, besides its own."""

    callback: Callbacks
    verify: bool
    timeout: float | None
    max_products: int | None
    history: bool
    out: Any
    workspace: Workspace | None
    x_dtype: Any
    batched: bool
    block: bool


_COMMON_DEFAULTS: Common = {
    "callback": None,
    "verify": True,
    "timeout": None,
    "max_products": None,
    "history": False,
    "out": None,
    "workspace": None,
    "x_dtype": None,
    "batched": False,
    "block": False,
}


def solver(function: F) -> F:
    """Show the common options in the signature of a solver that takes them as `**common`."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value)
        for name, value in _COMMON_DEFAULTS.items()
    ]
    function.__signature__ = signature.replace(parameters=own + shared)  # type: ignore[attr-defined]
    return function


def require_self_adjoint(a: LinearOperator, name: str, user: str) -> None:
    """Raise ValueError for an operator that is not square or declared not to be self-adjoint."""
    require_square(a, name, user)
    if a.symmetric is False:
        raise ValueError(
            f"{name} is declared symmetric=False; {user} needs a self-adjoint operator"
        )


def require_square(a: LinearOperator, name: str, user: str) -> None:
    """Raise ValueError for an operator that is not square."""
    if a.shape[0] != a.shape[1]:
        raise ValueError(f"{name} has shape {a.shape}; {user} needs a square operator")


def preconditioner(M: Any, A: LinearOperator, user: str, self_adjoint: bool) -> LinearOperator:
    """Return M as an operator on vectors of A's domain."""
    m: LinearOperator = aslinearoperator(M, "M")
    n = A.shape[1]
    if m.shape != (n, n):
        raise ValueError(f"M has shape {m.shape}; A has shape {A.shape}, so M must have {(n, n)}")
    if self_adjoint:
        require_self_adjoint(m, "M", user)
    return m


def with_defaults(method: str, common: Common) -> Common:
    """Return the common options with the defaults of those not given."""
    if unknown := common.keys() - _COMMON_DEFAULTS.keys():
        raise TypeError(f"{method} has no option {min(unknown)!r}")
    return {**_COMMON_DEFAULTS, **common}


def compiled_options(method: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return checked options as the compiled method takes them; None leaves its default."""
    compiled = {}
    for name, value in options.items():
        if value is None:
            continue
        if name not in _CHECKS:
            raise TypeError(f"{method} has no option {name!r}")
        compiled[_COMPILED_NAMES.get(name, name)] = _CHECKS[name](value, name)
    return compiled


def run(
    method: str,
    A: Any,
    b: Any,
    x0: Any,
    M: Any,
    options: dict[str, Any],
    kind: type[R],
    needs: str = "",
    **common: Unpack[Common],
) -> R:
    """Solve with the compiled method of that name, for one right-hand side or for many.

    `needs` is what the method asks of A: "self-adjoint", "square", or "" for nothing.
    """
    given = with_defaults(method, common)
    if given["batched"]:
        shape = np.shape(b)
        if len(shape) != 2:
            raise ValueError(
                f"b has shape {shape}; batched=True needs (k, n), one right-hand side a row"
            )
        A = batch_operator(A, "A", *shape)
        M = None if M is None else batch_operator(M, "M", shape[0], A.shape[1])
    A = aslinearoperator(A)
    if needs == "self-adjoint":
        require_self_adjoint(A, "A", method)
    elif needs == "square":
        require_square(A, "A", method)
    if M is not None:
        M = preconditioner(M, A, method, needs == "self-adjoint" and method not in _FLEXIBLE)
    if given["x_dtype"] is not None and options.get("radius") is not None:
        raise ValueError(
            "radius cannot be combined with x_dtype: the norm of an x that is kept in another "
            "precision is not followed; leave one of them out"
        )
    compiled = compiled_options(method, {**options, "verify": given["verify"]})
    if x0 is not None:
        compiled["warm_start"] = True
    columns = _has_columns(A, b)
    if given["block"] and (method not in _BLOCK_METHODS or given["batched"] or not columns):
        raise ValueError(
            f"block=True is for b of shape (n, k) and {', '.join(_BLOCK_METHODS)}; {method} "
            f"was given b of shape {np.shape(b)}"
        )
    if given["block"]:
        A, compiled = _for_blocks(A, compiled)
    tree = tree_of_solution(A, b, x0)
    if tree is not None and given["x_dtype"] is None:
        start = flat_on_device(A.domain, x0, A, M)
        if x0 is None or on_device(start):
            b, x0 = flat_on_device(A.codomain, b, A, M), start
    if on_device(b):
        _require_host(given)
    if given["batched"] or columns:
        return _run_columns(method, A, b, x0, M, compiled, kind, given)
    problem: LinearProblem | DeviceProblem
    if on_device(b):
        problem = DeviceProblem(A, b, x0, [M], given["out"], tree)
    else:
        problem = LinearProblem(A, b, x0, [M], given["out"])
    watch = watch_of(method, problem.framework, given, problem.tree)
    with (
        lent(given["workspace"], method, problem.dtype, problem.core) as memory,
        Binding(problem.dtype, problem.framework, problem.core) as bound,
        _wide_problem(A, problem, given["x_dtype"], given["out"]) as wide,
        watch.running() as ending,
    ):
        x, outcome = problem.core.solve(
            method,
            bound(A),
            None if M is None else bound(M),
            problem.b,
            problem.x0,
            compiled,
            watch.monitor,
            memory,
            problem.out,
            wide,
        )
        solution = problem.vector(x) if wide else problem.solution(x)
        ending.result = result = result_of(
            kind, solution, method, outcome, problem.vector, watch.history
        )
    return result


def _require_host(given: Common) -> None:
    """Raise TypeError for what is not done on a device."""
    if given["batched"]:
        raise TypeError("batched=True is for host memory: cg_batch solves batches on a device")
    if given["x_dtype"] is not None:
        raise TypeError("x_dtype is for vectors in host memory, but b is on a device")


def _for_blocks(
    A: LinearOperator, compiled: dict[str, Any]
) -> tuple[LinearOperator, dict[str, Any]]:
    """Return A and the options as the block methods take them: a shift belongs to the operator."""
    options = {name: value for name, value in compiled.items() if name in _BLOCK_OPTIONS}
    rest = {name: v for name, v in compiled.items() if name not in _BLOCK_OPTIONS and v}
    if shift := rest.pop("shift", 0.0):
        A = A.shifted(-shift)
    if rest:
        raise ValueError(f"{min(rest)} cannot be combined with block=True")
    return A, options


def _has_columns(A: LinearOperator, b: Any) -> bool:
    """Whether b holds several right-hand sides; (n, 1) counts as a vector, as in SciPy."""
    if A.codomain is not None and A.codomain.holds(b):
        return False
    shape = tuple(getattr(b, "shape", ()))
    return len(shape) == 2 and shape[-1] != 1


def watch_of(
    method: str, framework: Framework, given: Common, tree: Structure | None = None
) -> Watch:
    return Watch(
        method,
        framework,
        given["callback"],
        given["history"],
        given["timeout"],
        given["max_products"],
        tree,
    )


def result_of(
    kind: type[R],
    x: Any,
    method: str,
    outcome: dict[str, Any],
    vector: Callable[[npt.NDArray[Any]], Any],
    history: npt.NDArray[np.float64] | None,
) -> R:
    account = account_of(outcome, history)
    more = {name: value for name, value in outcome.items() if name not in _ACCOUNT}
    if "direction" in more:
        more["direction"] = vector(more["direction"])
    info = info_of(account["status"], account["iterations"])
    return kind((x, info), **account, method=method, **more)


# What `account_of` reads from an outcome.
_ACCOUNT = {
    "status",
    "message",
    "iterations",
    "products",
    "preconditioner",
    "residual",
    "target",
    "verified",
    "seconds",
}


@contextmanager
def _wide_problem(
    A: LinearOperator, problem: LinearProblem | DeviceProblem, x_dtype: Any, out: Any
) -> Iterator[tuple[Any, npt.NDArray[Any]] | None]:
    """Yield A and b in double precision if x is to be kept in it under single-precision vectors."""
    if x_dtype is None:
        yield None
        return
    wanted = _arrays.element_type(x_dtype, "x_dtype")
    double = np.result_type(problem.dtype, np.float64)
    if wanted not in (problem.dtype, double):
        raise TypeError(f"x_dtype is {wanted}; a run in {problem.dtype} can keep x in {double}")
    if wanted == problem.dtype:
        yield None
        return
    if out is not None:
        raise ValueError("out cannot be combined with x_dtype; take x from the result")
    with Binding(double, problem.framework) as bound:
        yield bound(A), problem.b.astype(double)


def batch_operator(A: Any, name: str, k: int, m: int) -> LinearOperator:
    """Return A₁ … A_k as one operator whose block products apply A_j to column j.

    A is an array (k, m, n), a function (k, n) ↦ (k, m) of square A_j, or a pair of them: the second
    is the adjoint.
    """
    if callable(A) or (isinstance(A, tuple) and len(A) == 2):
        forward, adjoint = A if isinstance(A, tuple) else (A, None)
        n = m
    elif np.ndim(A) == 3 and np.shape(A)[:2] == (k, m):
        n = np.shape(A)[2]

        def forward(X: Any) -> Any:
            return (A @ X[..., None])[..., 0]

        def adjoint(X: Any) -> Any:
            return (A.swapaxes(1, 2).conj() @ X[..., None])[..., 0]
    else:
        raise ValueError(
            f"{name} must be an array of shape ({k}, {m}, n) or a function of an array ({k}, n)"
        )

    def by_rows(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda X: f(X.T).T

    return LinearOperator(
        (m, n),
        matmat=by_rows(forward),
        rmatmat=None if adjoint is None else by_rows(adjoint),
        dtype=getattr(A, "dtype", None),
    )


def _run_columns(
    method: str,
    A: LinearOperator,
    b: Any,
    x0: Any,
    M: LinearOperator | None,
    compiled: dict[str, Any],
    kind: type[R],
    given: Common,
) -> R:
    for name in ("out", "workspace", "x_dtype"):
        if given[name] is not None:
            raise ValueError(f"{name} is for one right-hand side; b has shape {np.shape(b)}")
    batched = given["batched"]
    problem = (_DeviceColumns if on_device(b) else _HostColumns)(A, b, x0, M, batched)
    k = problem.count
    framework = problem.framework
    watch = watch_of(method, framework, given)
    monitors = [watch.column(j) for j in range(k)]
    with (
        Binding(problem.dtype, framework, problem.core) as bound,
        watch.running() as ending,
    ):
        asked = (
            method,
            bound(A),
            None if M is None else bound(M),
            problem.b,
            problem.x0,
            compiled,
        )
        if given["block"]:
            X, outcomes = problem.core.solve_block(*asked, watch.monitor)
            monitors = [watch.monitor] * k
        else:
            X, outcomes = problem.core.solve_columns(*asked, monitors, batched)
        x, each = problem.solution(X)
        columns = tuple(
            result_of(
                kind,
                each(j),
                method,
                outcome,
                framework.from_run,
                monitor.history if given["history"] else None,
            )
            for j, (outcome, monitor) in enumerate(zip(outcomes, monitors, strict=True))
        )
        ending.result = result = _together(kind, x, method, columns, given["block"])
    return result


class _HostColumns:
    """Several right-hand sides in host memory: those of a block, or of a batch, which are rows."""

    def __init__(
        self, A: LinearOperator, b: Any, x0: Any, M: LinearOperator | None, batched: bool
    ) -> None:
        m, n = A.shape
        B, self.framework = _arrays.array(b, "b")
        B = B.T if batched else B
        if B.shape[0] != m:
            raise ValueError(f"b has shape {np.shape(b)}; A has shape {A.shape}")
        self.dtype = working_dtype([A, M], [B.dtype])
        self.core = _arrays.core(self.dtype)
        self.count = B.shape[1]
        self.b = np.asfortranarray(_arrays.cast(B, self.dtype, "b"))
        self.x0 = None
        if x0 is not None:
            X0, _ = _arrays.array(x0, "x0")
            X0 = X0.T if batched else X0
            if X0.shape != (n, self.count):
                raise ValueError(f"x0 has shape {np.shape(x0)}; the solution has {(n, self.count)}")
            self.x0 = np.asfortranarray(_arrays.cast(X0, self.dtype, "x0"))
        self._batched = batched

    def solution(self, X: npt.NDArray[Any]) -> tuple[Any, Callable[[int], Any]]:
        """Return X as b came, and what returns one of its vectors."""
        if self._batched:
            rows = self.framework.from_numpy(np.ascontiguousarray(X.T))
            return rows, lambda j: rows[j]
        x = self.framework.from_numpy(X)
        return x, lambda j: x[:, j]


class _DeviceColumns:
    """Several right-hand sides on a device."""

    def __init__(
        self, A: LinearOperator, b: Any, x0: Any, M: LinearOperator | None, batched: bool
    ) -> None:
        m, n = A.shape
        self.framework, self.core, self.dtype, shape = device_setting(b, "b", [A, M])
        if shape[0] != m:
            raise ValueError(f"b has shape {shape}; A has shape {A.shape}")
        self.count = shape[1]
        self.b = columns_on_device(self.framework, self.core, b, "b", m)
        self.x0 = None
        if x0 is not None:
            self.x0 = columns_on_device(self.framework, self.core, x0, "x0", n)
            if self.x0.shape != (self.count, n):
                raise ValueError(
                    f"x0 has shape {tuple(x0.shape)}; the solution has {(n, self.count)}"
                )

    def solution(self, X: DeviceArray) -> tuple[Any, Callable[[int], Any]]:
        """Return X as columns, and what returns one of them."""
        return self.framework.from_columns(X), lambda j: self.framework.from_run(X.row(j))


def worst_of(columns: tuple[R, ...], what: str, one: str) -> tuple[R, str]:
    """Return the first that failed, or the slowest, and the message of all."""
    failed = [j for j, c in enumerate(columns) if not c.converged]
    if not failed:
        slowest = max(columns, key=lambda c: c.iterations)
        return slowest, slowest.message
    worst = columns[failed[0]]
    where = one.format(failed[0])
    return worst, f"{len(failed)} of {len(columns)} {what} failed; {where}: {worst.message}"


def _together(kind: type[R], x: Any, method: str, columns: tuple[R, ...], shared: bool) -> R:
    """Return the result of many right-hand sides: the account of the worst, and all of them."""
    if not columns:
        return kind(
            (x, 0),
            status=Status.converged,
            message="converged: there is no right-hand side",
            iterations=0,
            products=Counts(),
            preconditioner_products=0,
            residual=0.0,
            target=0.0,
            verified=True,
            history=None,
            seconds=0.0,
            method=method,
            columns=columns,
        )
    worst, text = worst_of(columns, "columns", "column {}")
    products = [c.products.total for c in columns]
    preconditioned = [c.preconditioner_products for c in columns]
    account = {
        **worst.__dict__,
        "message": text,
        "iterations": max(c.iterations for c in columns),
        "products": worst.products if shared else Counts(0, 0, sum(products)),
        "preconditioner_products": preconditioned[0] if shared else sum(preconditioned),
        "verified": all(c.verified for c in columns),
        "history": None,
        "seconds": max(c.seconds for c in columns),
        "columns": columns,
    }
    return kind((x, info_of(worst.status, worst.iterations)), **account)
