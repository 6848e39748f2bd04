"""Families of problems, one for each shift or damping, solved from one Krylov space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ritz import _arrays
from ritz._linear import (
    compiled_options,
    require_self_adjoint,
    result_of,
    watch_of,
    with_defaults,
    worst_of,
)
from ritz._nodes import Binding
from ritz._run import LinearProblem
from ritz.operators import aslinearoperator
from ritz.results import Counts, LinearResult, account_of, info_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from ritz._linear import Common

R = TypeVar("R", bound=LinearResult)


def _values(given: Any, name: str, check: Callable[[Any, str], float]) -> npt.NDArray[np.float64]:
    """Return shifts or dampings as a 1-d array."""
    if np.ndim(given) != 1 or len(given) == 0:
        raise ValueError(f"{name} is {given!r}; pass a sequence of one number or more")
    return np.array([check(value, f"{name}[{i}]") for i, value in enumerate(given)])


def _run(
    core_name: str,
    method: str,
    A: Any,
    b: Any,
    name: str,
    values: npt.NDArray[np.float64],
    options: dict[str, Any],
    kind: type[R],
    refused: dict[str, Any],
    common: Common,
) -> R:
    """Solve for all values with the compiled method; x has a column for each."""
    given = with_defaults(method, common)
    alone = ("out", "workspace", "x_dtype", "batched", "block")
    for other, value in {**refused, **{o: given.get(o) for o in alone}}.items():
        if value is not None and value is not False:
            raise ValueError(f"{other} cannot be combined with {name}")
    A = aslinearoperator(A)
    if method == "cg":
        require_self_adjoint(A, "A", method)
    compiled = compiled_options(method, {**options, "verify": given["verify"]})
    problem = LinearProblem(A, b, None)
    watch = watch_of(method, problem.framework, given, problem.tree)
    with (
        Binding(problem.dtype, problem.framework) as bound,
        watch.running() as ending,
    ):
        solve = getattr(problem.core, core_name)
        X, outcomes, outcome = solve(bound(A), problem.b, values, compiled, watch.monitor)
        x = problem.framework.from_numpy(X)
        columns = tuple(
            result_of(kind, problem.vector(X[:, j]), method, one, problem.vector, None)
            for j, one in enumerate(outcomes)
        )
        worst, text = worst_of(columns, name, name + "[{}]")
        account = {
            **worst.__dict__,
            **account_of(outcome, watch.history),
            "message": text,
            "products": Counts(*outcome["products"]),
            "residual": worst.residual,
            "target": worst.target,
            "columns": columns,
        }
        info = info_of(account["status"], account["iterations"])
        ending.result = result = kind((x, info), **account)
    return result


def shifted(
    A: Any, b: Any, shifts: Any, options: dict[str, Any], refused: dict[str, Any], common: Common
) -> LinearResult:
    """Solve (A + σ I) x = b for every σ in `shifts`."""
    values = _values(shifts, "shifts", _arrays.number)
    return _run("cg_shifts", "cg", A, b, "shifts", values, options, LinearResult, refused, common)


def damped(
    method: str,
    A: Any,
    b: Any,
    damps: Any,
    options: dict[str, Any],
    kind: type[R],
    refused: dict[str, Any],
    common: Common,
) -> R:
    """Minimise ‖b − A x‖² + d² ‖x‖² for every d in `damps`."""
    values = _values(damps, "damps", _arrays.nonnegative)
    return _run("lsqr_damps", method, A, b, "damps", values, options, kind, refused, common)
