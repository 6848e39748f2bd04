"""What the differentiable solves of torch and JAX share: methods, accounts, failures, a test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import ritz
from ritz.results import Result

__all__ = ["Account", "SolveFailed"]

# Methods for square systems -> whether they need A to equal its adjoint.
_METHODS = {
    "cg": True,
    "cr": True,
    "minres": True,
    "minres_qlp": True,
    "symmlq": True,
    "bicgstab": False,
    "fgmres": False,
    "gmres": False,
}


class SolveFailed(RuntimeError):
    """A solve ended without convergence, so that its value or gradient would be wrong.

    Attributes
    ----------
    result : Result
        The run, with what it reached in `x`.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result


@dataclass
class Account:
    """The runs of a differentiable solve, in order.

    Attributes
    ----------
    forward : list of Result
        The solves for values.
    adjoint : list of Result
        The solves for derivatives. The right-hand side is scaled to magnitude one first, and
        `residual` and `target` are those of the scaled system.
    """

    forward: list[Result] = field(default_factory=list)
    adjoint: list[Result] = field(default_factory=list)


def needs_self_adjoint(method: str) -> bool:
    """Return whether a method needs A = Aᴴ; ValueError if it solves no square systems."""
    available = [name for name in _METHODS if hasattr(ritz, name)]
    if method not in available:
        raise ValueError(f"method is {method!r}; pass one of {', '.join(map(repr, available))}")
    return _METHODS[method]


def run(
    method: str,
    A: Any,
    b: Any,
    options: Mapping[str, Any],
    runs: list[Result] | None,
    what: str | None,
) -> Result:
    """Solve A x = b by a method of ritz; `what` is the solve that must not fail, if any."""
    given = {name: value for name, value in options.items() if value is not None}
    result: Result = getattr(ritz, method)(A, b, **given)
    if runs is not None:
        runs.append(result)
    if what is not None and not result.converged:
        raise SolveFailed(
            f"the {what} solve by {method} has not converged: {result.message} "
            "(check=False returns what it reached)",
            result,
        )
    return result


def check_adjoint(
    x: Any,
    b: Any,
    adjoint: Any,
    g: Any,
    tolerances: tuple[float, float, float],
    culprit: str,
) -> None:
    """Raise ValueError unless ⟨λ, b⟩ = ⟨g, x⟩, which holds for A x = b and Aᴴ λ = g.

    It costs no product. With residuals r and s, ⟨λ, b⟩ − ⟨g, x⟩ = ⟨λ, r⟩ − ⟨s, x⟩, which the
    tolerances (rtol, atol, adjoint_rtol) bound.
    """
    rtol, atol, adjoint_rtol = tolerances
    # What operators that round, or compute in half the digits, may be apart.
    slack = math.sqrt(float(np.finfo(x.dtype).eps))
    wide = np.result_type(x.dtype, np.float64)
    vectors = [np.asarray(v, wide) for v in (x, b, adjoint, g)]
    scales = [float(np.max(np.abs(v), initial=0.0)) for v in vectors]
    if not all(s > 0.0 and math.isfinite(s) for s in scales):
        return
    # Of magnitude one each, so that no square leaves the range of numbers: A and Aᴴ are then
    # scaled differently, which the two products are brought back from.
    x, b, adjoint, g = (v / s for v, s in zip(vectors, scales, strict=True))
    back = math.log(scales[2]) + math.log(scales[1]) - math.log(scales[3]) - math.log(scales[0])
    left, right = (1.0, math.exp(-back)) if back >= 0.0 else (math.exp(back), 1.0)
    norms = [float(np.linalg.norm(v)) for v in (x, b, adjoint, g)]
    apart = abs(left * np.vdot(adjoint, b) - right * np.vdot(g, x))
    bound = left * norms[2] * max(rtol * norms[1], atol / scales[1])
    bound += right * adjoint_rtol * norms[3] * norms[0]
    rounding = slack * (left * norms[2] * norms[1] + right * norms[3] * norms[0])
    # Twice, since a residual is measured with products that round themselves.
    if apart > 2.0 * bound + rounding:
        raise ValueError(
            f"{culprit}: ⟨λ, b⟩ and ⟨g, x⟩ differ by {apart / (bound + rounding):.2g} times what "
            "the tolerances explain, so gradients would be wrong"
        )
