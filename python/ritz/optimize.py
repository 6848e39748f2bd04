"""Nonlinear least squares, and other losses of a model's output, by damped Gauss-Newton."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.frameworks import Framework
from ritz.losses import HalfSquared, Loss
from ritz.operators import aslinearoperator
from ritz.results import LeastSquaresResult, Status, account_of, info_of
from ritz.workspace import Workspace, lent

__all__ = ["EvaluationFailed", "least_squares", "minimize"]

Function: TypeAlias = Callable[..., Any]
_REASONS = ("none", "gradient", "cost", "step")


class EvaluationFailed(Exception):
    """Raised by a model where it is not defined; at a trial point that counts as infinite cost."""


class _Model:
    """z = f(x) as the compiled method calls it, with products linearised once a point."""

    parameters: int
    outputs: int

    def __init__(
        self,
        name: str,
        fun: Function | None,
        jac: Function | None,
        jvp: Function | None,
        vjp: Function | None,
        linearize: Function | None,
        preconditioner: Function | None,
        x0: npt.NDArray[Any],
        framework: Framework,
    ) -> None:
        self._framework = framework
        self._name = name
        self._dtype = x0.dtype
        self._fun, self._jac, self._linearize = fun, jac, linearize
        self._products = (jvp, vjp)
        for argument, f in (
            (name, fun),
            ("jac", jac),
            ("jvp", jvp),
            ("vjp", vjp),
            ("linearize", linearize),
            ("preconditioner", preconditioner),
        ):
            if f is not None and not callable(f):
                raise TypeError(f"{argument} is {f!r}; pass a function")
        given = (jac is not None) + (linearize is not None) + (jvp is not None or vjp is not None)
        if given != 1 or (jvp is None) != (vjp is None):
            raise TypeError(
                "the derivatives are given by jvp(x, v) and vjp(x, u) together, or by "
                f"linearize(x) -> (value, jvp, vjp){', or by jac(x)' if name == 'fun' else ''}; "
                "pass exactly one of these"
            )
        if fun is None and linearize is None:
            raise TypeError(f"{name} is missing; pass a function x -> z, or linearize")
        framework.check_callable_now()
        self.parameters = x0.size
        if preconditioner is not None:
            # The core looks for this attribute.
            self.prepare = self._prepare
        self._preconditioner = preconditioner
        self._linearized_at: Any = None
        self._linearized: tuple[npt.NDArray[Any], tuple[Any, Any, Any]] | None = None
        # The value at the start tells the number of outputs, and is what is asked for first.
        self._first = self._value(x0 if framework.wrap is None else framework.wrap(x0.copy()))
        z = self._checked_first(self._first)
        self.outputs = z.size

    def _checked_first(self, z: Any) -> npt.NDArray[Any]:
        kind = self._framework
        if not isinstance(z, kind.type):
            kind.reject(z, self._name, -1, self._dtype.name)
        a = kind.to_numpy(z, f"the result of {self._name}")
        if a.dtype != self._dtype:
            kind.reject(z, self._name, a.size, self._dtype.name)
        if a.ndim != 1:
            raise ValueError(
                f"{self._name} returned shape {a.shape}; return a vector: z.reshape(-1)"
            )
        return a

    def _point(self, view: Any) -> tuple[Any, Any, Any]:
        """Return the user's linearisation at x, made once a point."""
        assert self._linearize is not None
        x = view if isinstance(view, np.ndarray) else self._framework.to_numpy(view, "x")
        if self._linearized is None or not np.array_equal(self._linearized[0], x):
            made = self._linearize(self._framework.copied(view))
            if not isinstance(made, tuple | list) or len(made) != 3:
                raise TypeError(
                    f"linearize returned {self._framework.describe(made)}; return (value, jvp, vjp)"
                )
            self._linearized = (x.copy(), (made[0], made[1], made[2]))
        return self._linearized[1]

    def _value(self, view: Any) -> Any:
        fun = self._fun
        z = self._point(view)[0] if fun is None else fun(self._framework.copied(view))
        if z is None:
            raise TypeError(
                f"{self._name} returned None; return the vector z, or raise ritz.EvaluationFailed "
                "where it is not defined"
            )
        return z

    def evaluate(self, view: Any) -> Any:
        """Return z, or None where the model is not defined."""
        if self._first is not None:
            z, self._first = self._first, None
            return z
        try:
            return self._value(view)
        except EvaluationFailed:
            return None

    def linearize(self, view: Any) -> tuple[Function, Function]:
        """Return v ↦ J v and u ↦ Jᵀ u at x."""
        adapt = self._framework.closure
        if self._preconditioner is not None:
            self._linearized_at = self._framework.copied(view)
        if self._linearize is not None:
            _, jvp, vjp = self._point(view)
            return adapt(jvp), adapt(vjp)
        x = self._framework.copied(view)
        if self._jac is not None:
            return self._matrix_products(x)
        jvp_at, vjp_at = (adapt(f) for f in self._products if f is not None)
        return (lambda v: jvp_at(x, v)), (lambda u: vjp_at(x, u))

    def _prepare(self, damping: Any) -> Function:
        """Return r ↦ z for the point of the last linearisation."""
        assert self._preconditioner is not None
        solve = self._preconditioner(self._linearized_at, self._framework.copied(damping))
        if not callable(solve):
            raise TypeError(
                f"preconditioner returned {self._framework.describe(solve)}; return a function "
                "r -> z"
            )
        return self._framework.closure(solve)

    def _matrix_products(self, x: Any) -> tuple[Function, Function]:
        assert self._jac is not None
        J = aslinearoperator(self._jac(x), "jac(x)")
        shape = (self.outputs, self.parameters)
        if J.shape != shape:
            raise ValueError(f"jac(x) has shape {J.shape}; this model needs {shape}")
        if self._framework.name == "numpy":
            run = Binding(self._dtype, self._framework)
            op = run(J)
            return op.apply, op.apply_adjoint
        adapt = self._framework.closure
        return adapt(J.matvec), adapt(J.rmatvec)


class _AdaptedLoss:
    """A loss as the compiled method calls it: with the arrays that closures get."""

    def __init__(self, loss: Loss, framework: Framework) -> None:
        for method in ("value", "gradient", "hessian_product"):
            if not callable(getattr(loss, method, None)):
                raise TypeError(
                    f"loss is {framework.describe(loss)} without a method {method}; pass an object "
                    "with value(z), gradient(z) and hessian_product(z, u), as in ritz.losses"
                )
        adapt = framework.closure
        self.value = adapt(loss.value)
        self.gradient = adapt(loss.gradient)
        self.hessian_product = adapt(loss.hessian_product)


def least_squares(
    fun: Function | None,
    x0: Any,
    jac: Function | None = None,
    *,
    jvp: Function | None = None,
    vjp: Function | None = None,
    linearize: Function | None = None,
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    max_iterations: int = 100,
    l2: float = 0.0,
    initial_radius: float = 1e4,
    forcing: float = 1e-2,
    max_inner: int = 500,
    probes: int = 16,
    refresh: int = 2,
    seed: int = 0,
    preconditioner: Function | None = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> LeastSquaresResult:
    """Minimise ½ ‖f(x)‖² + (l2/2) ‖x‖² by Levenberg-Marquardt with conjugate gradients inside.

    Parameters
    ----------
    fun : callable
        x (n,) ↦ f(x) (m,); raises `EvaluationFailed` where it is not defined, which rejects a trial
        step. None if `linearize` gives the values.
    x0 : array (n,)
        The start, real, of NumPy, torch or JAX; closures get and the result is the same kind.
    jac : callable, optional
        x ↦ J, anything that `aslinearoperator` takes.
    jvp, vjp : callable, optional
        (x, v) ↦ J(x) v of shape (m,) and (x, u) ↦ J(x)ᵀ u of shape (n,).
    linearize : callable, optional
        x ↦ (f(x), v ↦ J v, u ↦ Jᵀ u), called once a point: the place to keep what the products
        share. Exactly one of `jac`, `jvp` with `vjp`, and `linearize` is needed.
    ftol, xtol, gtol : float
        Converged means that an accepted step changed the cost, and was predicted to, by at most
        ftol · cost; or had scaled length at most xtol ‖x‖; or that the scaled gradient norm is at
        most gtol ‖f(x)‖.
    max_iterations : int
        Trial steps.
    l2 : float
        Weight of ½ ‖x‖².
    initial_radius : float
        1/λ at the start; the default hardly damps.
    forcing : float
        Relative accuracy of the quadratic model at which the inner solver stops.
    max_inner : int
        Inner iterations a step.
    probes, refresh : int
        Random VJPs that estimate the column scaling at the start and after each step; with
        probes ≥ n the columns are measured exactly.
    seed : int
        Of the probes.
    preconditioner : callable, optional
        (x, damping) ↦ (r ↦ z), z an approximation of (JᵀJ + diag(damping))⁻¹ r at x; damping has
        shape (n,). Made once a trial step. By default the column scaling alone.
    callback, timeout, max_products, history, workspace
        As for `cg`; JVPs and VJPs are the products.

    Returns
    -------
    LeastSquaresResult
        The tuple (x, info) with `cost`, `gradient_norm`, `reason` and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and closures that return what cannot be.

    Notes
    -----
    A trial step costs one evaluation and one JVP and VJP for each inner iteration; an accepted one
    adds 1 + refresh VJPs. Memory: four vectors of length m and eleven of length n.

    References
    ----------
    Levenberg 1944; Marquardt 1963; Nielsen: Damping parameter in Marquardt's method.
    IMM-REP-1999-05, 1999; Nash, Sofer: Assessing a search direction within a truncated-Newton
    method. Oper. Res. Lett. 9, 1990.
    """
    return _levenberg_marquardt(
        "least_squares",
        "fun",
        fun,
        x0,
        jac,
        jvp,
        vjp,
        linearize,
        preconditioner,
        None,
        {
            "ftol": ftol,
            "xtol": xtol,
            "gtol": gtol,
            "max_iterations": max_iterations,
            "l2": l2,
            "initial_radius": initial_radius,
            "forcing": forcing,
            "max_inner": max_inner,
            "probes": probes,
            "refresh": refresh,
            "seed": seed,
        },
        (callback, history, timeout, max_products),
        workspace,
    )


def minimize(
    model: Function | None,
    x0: Any,
    *,
    loss: Loss,
    jvp: Function | None = None,
    vjp: Function | None = None,
    linearize: Function | None = None,
    l2: float = 0.0,
    ftol: float = 1e-8,
    xtol: float = 1e-8,
    gtol: float = 1e-8,
    max_iterations: int = 100,
    initial_radius: float = 1e4,
    forcing: float = 1e-2,
    max_inner: int = 500,
    probes: int = 16,
    refresh: int = 2,
    seed: int = 0,
    preconditioner: Function | None = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> LeastSquaresResult:
    """Minimise loss(model(x)) + (l2/2) ‖x‖² by damped Gauss-Newton with conjugate gradients inside.

    Parameters
    ----------
    model : callable
        x (n,) ↦ z (m,), the model's output; as `fun` of `least_squares`.
    x0 : array (n,)
        The start.
    loss : Loss
        An object with value(z), gradient(z) and hessian_product(z, u), such as those of
        `ritz.losses`; its Hessian must be positive semidefinite.
    jvp, vjp, linearize
        Products with the model's Jacobian, as for `least_squares`.
    l2 : float
        Weight of ½ ‖x‖².
    ftol, xtol, gtol, max_iterations, initial_radius, forcing, max_inner, probes, refresh, seed
        As for `least_squares`; gtol is relative to the scaled gradient norm at the start.
    preconditioner : callable, optional
        As for `least_squares`, for Jᵀ ∇²ℓ J.
    callback, timeout, max_products, history, workspace
        As for `cg`; JVPs and VJPs are the products.

    Returns
    -------
    LeastSquaresResult
        The tuple (x, info) with `cost`, `gradient_norm`, `reason` and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, and closures that return what cannot be.

    Notes
    -----
    The curvature is that of the Gauss-Newton matrix Jᵀ ∇²ℓ J, whatever the model's own. Cost and
    memory as for `least_squares`, and one loss product an inner iteration.

    References
    ----------
    Schraudolph: Fast curvature matrix-vector products for second-order gradient descent. Neural
    Computation 14, 2002; and those of `least_squares`.
    """
    return _levenberg_marquardt(
        "minimize",
        "model",
        model,
        x0,
        None,
        jvp,
        vjp,
        linearize,
        preconditioner,
        loss,
        {
            "ftol": ftol,
            "xtol": xtol,
            "gtol": gtol,
            "max_iterations": max_iterations,
            "l2": l2,
            "initial_radius": initial_radius,
            "forcing": forcing,
            "max_inner": max_inner,
            "probes": probes,
            "refresh": refresh,
            "seed": seed,
        },
        (callback, history, timeout, max_products),
        workspace,
    )


def _levenberg_marquardt(
    method: str,
    name: str,
    fun: Function | None,
    x0: Any,
    jac: Function | None,
    jvp: Function | None,
    vjp: Function | None,
    linearize: Function | None,
    preconditioner: Function | None,
    loss: Loss | None,
    options: dict[str, Any],
    watched: tuple[Callbacks, bool, float | None, int | None],
    workspace: Workspace | None,
) -> LeastSquaresResult:
    for key in ("ftol", "xtol", "gtol", "l2", "forcing"):
        options[key] = _arrays.nonnegative(options[key], key)
    options["initial_radius"] = _arrays.positive(options["initial_radius"], "initial_radius")
    for key, least in (("max_iterations", 1), ("max_inner", 1), ("probes", 1), ("refresh", 0)):
        options[key] = _arrays.integer(options[key], key, least)
    options["seed"] = _arrays.seed_of(options["seed"])
    start, framework = _arrays.vector(x0, "x0", None, "the model")
    if start.dtype.kind == "c":
        raise TypeError(
            f"x0 is {start.dtype}; {method} works on real parameters: pass real and imaginary "
            "parts as separate ones"
        )
    adapted = None
    if loss is not None and not (isinstance(loss, HalfSquared) and loss.is_plain):
        adapted = _AdaptedLoss(loss, framework)
    watch = Watch(method, framework, *watched)
    options["adapter"] = framework
    core = _arrays.core(start.dtype)
    with lent(workspace, method, start.dtype) as memory, watch.running() as ending:
        try:
            model = _Model(name, fun, jac, jvp, vjp, linearize, preconditioner, start, framework)
        except EvaluationFailed:
            x, outcome = start.copy(), _no_start()
        else:
            x, outcome = core.levenberg_marquardt(
                model, adapted, start, options, watch.monitor, memory
            )
        account = account_of(outcome, watch.history)
        account |= {
            "cost": outcome["cost"],
            "gradient_norm": outcome["gradient_norm"],
            "reason": _REASONS[outcome["reason"]],
            "evaluations": outcome["evaluations"],
            "linearizations": outcome["linearizations"],
            "inner_iterations": outcome["inner_iterations"],
            "accepted": outcome["accepted"],
        }
        info = info_of(account["status"], account["iterations"])
        ending.result = result = LeastSquaresResult((framework.from_numpy(x), info), **account)
    return result


def _no_start() -> dict[str, Any]:
    """Return the outcome of a run whose model is not defined at its start."""
    status = Status.evaluation_failed
    return {
        "status": int(status),
        "message": f"{status.name} at iteration 0: {status.advice}",
        "iterations": 0,
        "products": (0, 0, 0),
        "preconditioner": 0,
        "residual": np.nan,
        "target": 0.0,
        "verified": False,
        "seconds": 0.0,
        "reason": 0,
        "cost": np.inf,
        "gradient_norm": np.inf,
        "evaluations": 1,
        "linearizations": 0,
        "inner_iterations": 0,
        "accepted": 0,
    }
