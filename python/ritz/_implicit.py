"""What the differentiable solves of torch and JAX share: problems, accounts, failures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

import ritz
from ritz import _arrays
from ritz.results import Result

if TYPE_CHECKING:
    from ritz.operators import LinearOperator

__all__ = ["Account", "SolveFailed"]

P = TypeVar("P", bound="Problem")

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
    "sgmres": False,
}

# Options of methods whose solution, or place of it, is another than that of A x = b.
_OTHER_SYSTEMS = {"batched", "damp", "out", "radius", "shift", "shifts", "x_dtype"}


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
    forward : list
        The `ritz.Result` of each solve for values.
    adjoint : list
        That of each solve for derivatives. Right-hand sides are scaled to magnitude one first;
        `x`, `residual` and `target` are those of the scaled system.
    """

    forward: list[Any] = field(default_factory=list)
    adjoint: list[Any] = field(default_factory=list)


def needs_self_adjoint(method: str) -> bool:
    """Return whether a method needs A = Aᴴ; ValueError if it solves no square systems."""
    available = [name for name in _METHODS if hasattr(ritz, name)]
    if method not in available:
        raise ValueError(f"method is {method!r}; pass one of {', '.join(map(repr, available))}")
    return _METHODS[method]


def settings(
    method: str,
    rtol: float,
    atol: float,
    adjoint_rtol: float | None,
    maxiter: int | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the arguments of a `Problem` that need a check."""
    if other := _OTHER_SYSTEMS & options.keys():
        raise TypeError(
            f"{min(other)} changes what is solved for, which derivatives would not know: leave it "
            "out, and put shifts and damping into matvec"
        )
    rtol = _arrays.nonnegative(rtol, "rtol")
    return {
        "method": method,
        "self_adjoint": needs_self_adjoint(method),
        "rtol": rtol,
        "atol": _arrays.nonnegative(atol, "atol"),
        "adjoint_rtol": (
            rtol if adjoint_rtol is None else _arrays.nonnegative(adjoint_rtol, "adjoint_rtol")
        ),
        "maxiter": None if maxiter is None else _arrays.integer(maxiter, "maxiter"),
        "options": options,
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """A x = b, or with `transposed` Aᴴ λ = g, and how to solve it: all that is no array."""

    method: str
    self_adjoint: bool
    rtol: float
    atol: float
    adjoint_rtol: float
    maxiter: int | None
    options: Mapping[str, Any]
    M: Any
    check: bool
    account: Account | None
    transposed: bool = False
    derivative: bool = False

    def for_derivative(self: P, transposed: bool) -> P:
        """Return the system that derivatives solve, with A or with Aᴴ."""
        return replace(
            self, transposed=transposed, derivative=True, rtol=self.adjoint_rtol, atol=0.0
        )

    @property
    def uses_adjoint(self) -> bool:
        """Whether Aᴴ is another operator than A, and is needed."""
        return self.transposed and not self.self_adjoint

    @property
    def what(self) -> str:
        """What the solve is for."""
        return "adjoint" if self.derivative else "forward"

    @property
    def runs(self) -> list[Any] | None:
        """Where the account keeps this solve."""
        return None if self.account is None else getattr(self.account, self.what)

    def run(self, A: LinearOperator, b: Any, x0: Any, M: Any) -> Result:
        """Solve by the compiled method."""
        given = {"maxiter": self.maxiter, "x0": x0, "M": M}
        given = {name: value for name, value in given.items() if value is not None}
        solver = getattr(ritz, self.method)
        result: Result = solver(A, b, rtol=self.rtol, atol=self.atol, **given, **self.options)
        if self.runs is not None:
            self.runs.append(result)
        if self.check and not result.converged:
            raise SolveFailed(
                f"the {self.what} solve by {self.method} has not converged: {result.message} "
                "(check=False returns what it reached)",
                result,
            )
        return result

    def check_pair(self, x: Any, b: Any, multiplier: Any, g: Any) -> None:
        """Raise ValueError where solutions of A x = b and Aᴴ λ = g show that Aᴴ is none."""
        if self.check and self.options.get("verify", True):
            tolerances = self.rtol, self.atol, self.adjoint_rtol
            if not adjoints_agree((x, b, multiplier, g), *tolerances):
                wrong = (
                    f"matvec is not self-adjoint, which {self.method} needs"
                    if self.self_adjoint
                    else "rmatvec is not the adjoint of matvec"
                )
                raise ValueError(
                    f"{wrong}: for A x = b and Aᴴ λ = g, ⟨λ, b⟩ and ⟨g, x⟩ differ by more than the "
                    "tolerances explain, and gradients would be wrong"
                )


def adjoints_agree(
    vectors: tuple[Any, Any, Any, Any], rtol: float, atol: float, adjoint_rtol: float
) -> bool:
    """Return whether ⟨λ, b⟩ = ⟨g, x⟩, as it must be for A x = b and Aᴴ λ = g; it costs no product.

    With residuals r and s, ⟨λ, b⟩ − ⟨g, x⟩ = ⟨λ, r⟩ − ⟨s, x⟩, which the tolerances bound.
    """
    # How far apart operators may be that round, or that compute in half the digits.
    slack = math.sqrt(float(np.finfo(vectors[0].dtype).eps))
    wide = [np.asarray(v, np.result_type(v.dtype, np.float64)) for v in vectors]
    scales = [float(np.max(np.abs(v), initial=0.0)) for v in wide]
    if not all(s > 0.0 and math.isfinite(s) for s in scales):
        return True
    # Vectors of magnitude one, so that no square leaves the range of numbers; `left` and `right`
    # are what that took from ⟨λ, b⟩ and from ⟨g, x⟩, over the larger of the two.
    x, b, multiplier, g = (v / s for v, s in zip(wide, scales, strict=True))
    logs = [math.log(s) for s in scales]
    ratio = (logs[2] + logs[1]) - (logs[3] + logs[0])
    left, right = math.exp(min(ratio, 0.0)), math.exp(min(-ratio, 0.0))
    of_x, of_b, of_multiplier, of_g = (float(np.linalg.norm(v)) for v in (x, b, multiplier, g))
    apart = abs(left * np.vdot(multiplier, b) - right * np.vdot(g, x))
    bound = left * of_multiplier * max(rtol * of_b, atol / scales[1])
    bound += right * adjoint_rtol * of_g * of_x
    rounding = slack * (left * of_multiplier * of_b + right * of_g * of_x)
    # Twice: a residual is measured by products that round.
    return bool(apart <= 2.0 * bound + rounding)
