"""What every method returns: a tuple to unpack, and an account of the run beside it."""

from __future__ import annotations

import enum
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ritz import _core
from ritz.frameworks import Framework
from ritz.trees import Structure

__all__ = [
    "Counts",
    "EigshResult",
    "Estimate",
    "EstimatePath",
    "Iteration",
    "LeastSquaresResult",
    "LeastSquaresSolution",
    "LinearResult",
    "Result",
    "Status",
    "VectorEstimate",
]


class Status(enum.IntEnum):
    """How a run ended; `converged` is a promise, everything else an honest other ending."""

    converged = 0
    max_iterations = 1
    max_products = 2
    timeout = 3
    stopped = 4
    precision_limit = 5
    stagnation = 6
    condition_limit = 7
    negative_curvature = 8
    indefinite_preconditioner = 9
    breakdown = 10
    nonfinite = 11
    evaluation_failed = 12
    boundary = 13
    least_squares_solution = 14

    @property
    def advice(self) -> str:
        """What happened, and what to try next."""
        return _core.advice(int(self))


class Counts(NamedTuple):
    """Operator products: A v, Aᴴ u, and columns that went through block products."""

    matvec: int = 0
    rmatvec: int = 0
    columns: int = 0

    @property
    def total(self) -> int:
        """All products, a block product counting once a column."""
        return self.matvec + self.rmatvec + self.columns


class Iteration:
    """What a callback sees after each iteration; quantities that a method does not have are NaN.

    Attributes
    ----------
    iteration : int
        Iterations finished.
    residual : float
        The quantity that the method drives to its target.
    column : int
        Which of several right-hand sides this is.
    objective : float
        The value being minimised; `cost` is the same number.
    change, gradient_norm, step_norm, gain_ratio, damping, inner_iterations, accepted
        The trial step of a nonlinear method: cost before minus after, ‖g‖, ‖d‖, actual over
        predicted decrease, λ, iterations of the inner solver, and whether the step was taken.
    """

    __slots__ = ("_framework", "_state", "_tree", "column")

    def __init__(
        self,
        state: _core.Iteration,
        framework: Framework,
        column: int = 0,
        tree: Structure | None = None,
    ) -> None:
        self._state = state
        self._framework = framework
        self._tree = tree
        self.column = column

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._state, name)

    @property
    def x(self) -> Any:
        """The iterate, of the same kind as the inputs; copy it to keep it."""
        x = self._state.x
        if x is None:
            return None
        if self._tree is not None:
            return self._tree.unflatten(x.copy())
        if self._framework.name == "numpy":
            return x
        return self._framework.from_numpy(x.copy())

    @property
    def cost(self) -> float:
        """The value being minimised."""
        return self._state.objective

    @property
    def products(self) -> Counts:
        """Operator products of this run so far."""
        return Counts(*self._state.products)

    def __repr__(self) -> str:
        return f"Iteration({self.iteration}, residual={self.residual:.3e})"


class Result(tuple[Any, ...]):
    """A tuple to unpack as in SciPy that also carries the account of the run.

    Attributes
    ----------
    status : Status
        How the run ended. `converged` only if the inequality asked for was evaluated on the true
        residual and holds, unless the method was told `verify=False`; then `verified` is False.
    message : str
        The status, the iteration, the numbers, and what to try next.
    iterations : int
        Iterations made.
    products : Counts
        Products with the operator during the run, verification included.
    preconditioner_products : int
        Products with the preconditioner.
    residual, target : float
        The measured quantity and what it was asked to come down to.
    verified : bool
        Whether `residual` was evaluated from its definition rather than by a recurrence.
    history : numpy.ndarray or None
        The residual after each iteration, if `history=True` asked for it.
    seconds : float
        Time of the run.
    """

    status: Status
    message: str
    iterations: int
    products: Counts
    preconditioner_products: int
    residual: float
    target: float
    verified: bool
    history: npt.NDArray[np.float64] | None
    seconds: float

    def __new__(cls, values: Any, **account: Any) -> Result:  # noqa: D102
        self = super().__new__(cls, values)
        self.__dict__.update(account)
        return self

    @property
    def converged(self) -> bool:
        """Whether the status is `converged`."""
        return self.status is Status.converged

    @property
    def x(self) -> Any:
        """The solution."""
        return self[0]

    @property
    def info(self) -> int:
        """0 for success, iterations made if a limit came first, below 0 for a breakdown."""
        return info_of(self.status, self.iterations)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {self.message}"]
        hidden = {"message", "path", "status"}
        hidden |= {name for name in ("columns", "reason") if not self.__dict__.get(name)}
        names = [
            n
            for n, v in self.__dict__.items()
            if n not in hidden and v is not None and not (isinstance(v, float) and math.isnan(v))
        ]
        width = max((len(n) for n in names), default=0)
        for name in names:
            value = self.__dict__[name]
            if isinstance(value, np.ndarray) and value.size > 4:
                text = f"array of shape {value.shape}"
            elif isinstance(value, float):
                text = f"{value:.6g}"
            elif name == "columns":
                text = f"{len(value)} results"
            else:
                text = str(value)
            lines.append(f"  {name:<{width}}  {text}")
        return "\n".join(lines)


class LinearResult(Result):
    """The result (x, info) of a linear solver.

    Attributes
    ----------
    method : str
        The solver.
    reason : str
        Why `ritz.solve` chose it; empty otherwise.
    columns : tuple of LinearResult
        The results of the right-hand sides, if b had several; the account above is then that of the
        first that failed, or of the slowest.
    direction : array (n,) or None
        A direction d with dᴴ A d ≤ 0, if the method met one.
    curvature : float
        dᴴ A d / dᴴ d of that direction; NaN without one.
    """

    method: str
    reason: str = ""
    columns: tuple[LinearResult, ...] = ()
    direction: Any = None
    curvature: float = math.nan

    def plot(self, ax: Any = None) -> Any:
        """Draw the residual of each iteration, on a logarithmic scale, with its target.

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
            If the run kept no history: pass `history=True` to the solver.
        """
        ax = axes(ax)
        shown = self.columns or (self,)
        for j, result in enumerate(shown):
            if result.history is None:
                raise ValueError("the run kept no history; pass history=True to the solver")
            label = f"column {j}" if self.columns else self.method
            steps = np.arange(1, len(result.history) + 1)
            (line,) = ax.semilogy(steps, result.history, label=label)
            ax.axhline(result.target, color=line.get_color(), linestyle=":", linewidth=1)
        ax.set(xlabel="iteration", ylabel="residual", title=f"{self.method}: {self.status.name}")
        ax.legend()
        return ax


class LeastSquaresSolution(LinearResult):
    """The result (x, info) of a linear least-squares solver.

    Attributes
    ----------
    normal_residual : float
        ‖Aᴴ(b − Ax) − damp² (x − x₀)‖.
    norm_a, cond_a, norm_x : float
        A lower bound of ‖A‖, the largest ‖A v‖ or ‖Aᴴ u‖ seen; an estimate of cond(A) over the
        Krylov space; and ‖x‖.
    variance : array (n,) or None
        The diagonal of (AᴴA + damp² I)⁻¹, estimated, if `lsqr` was asked for it.
    """

    normal_residual: float
    norm_a: float
    cond_a: float
    norm_x: float
    variance: Any = None


class EigshResult(Result):
    """The result (w, V) of `ritz.eigsh`.

    Attributes
    ----------
    residuals : numpy.ndarray
        ‖A vᵢ − wᵢ M vᵢ‖ for each pair, evaluated.
    bounds : numpy.ndarray
        An eigenvalue lies within bounds[i] of w[i]: the residual norm, in the norm of M⁻¹ with M
        (Weyl), and 8 eps ‖A‖ for rounding, that inside the products of A not counted. With M and
        OPinv it is taken from the residual of the inverse and holds if the solves are exact.
    multiplicities : numpy.ndarray
        How many of the returned values coincide with w[i] within the bounds.
    restarts : int
        Restarts of the Lanczos process.
    locked : int
        Pairs that had been taken out of the process before it ended.
    norm_a : float
        A lower bound of ‖A‖, of ‖M⁻¹A‖ with M: the largest seen.
    """

    residuals: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]
    multiplicities: npt.NDArray[np.int64]
    restarts: int
    locked: int
    norm_a: float

    def plot(self, ax: Any = None) -> Any:
        """Draw the eigenvalues with their bounds, and beside them the residuals.

        Parameters
        ----------
        ax : sequence of two matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        sequence of matplotlib.axes.Axes
            The axes drawn on: eigenvalues, residuals.
        """
        ax = axes(ax, 2, figsize=(9, 3.5))
        values, residuals = ax
        place = np.arange(1, len(self.residuals) + 1)
        w = np.asarray(self.w, dtype=np.float64)
        found = np.isfinite(w)
        values.errorbar(place[found], w[found], yerr=self.bounds[found], fmt=".", capsize=3)
        values.set(xlabel="number", ylabel="eigenvalue", title="eigenvalues and bounds")
        # A residual of exactly zero has no place on a logarithmic scale.
        shown = found & (self.residuals > 0.0)
        residuals.semilogy(place[shown], self.residuals[shown], ".", label="residual")
        if self.target > 0.0:
            residuals.axhline(self.target, linestyle=":", linewidth=1, label="target")
        residuals.set(xlabel="number", ylabel="residual norm", title=f"eigsh: {self.status.name}")
        residuals.legend()
        return ax

    @property
    def w(self) -> Any:
        """The eigenvalues, ascending."""
        return self[0]

    @property
    def V(self) -> Any:
        """The eigenvectors, one a column, or None."""
        return self[1]


class EstimatePath(NamedTuple):
    """How an estimate came about: after so many products, this value with this standard error.

    `value` is None for vectors, and `stderr` then the norm of their standard errors.
    """

    products: npt.NDArray[np.int64]
    value: npt.NDArray[Any] | None
    stderr: npt.NDArray[np.float64]


class Estimate(Result):
    """An estimated number: the tuple (value, stderr).

    Attributes
    ----------
    method : str
        "exact", or the name of the estimator.
    path : EstimatePath or None
        The estimates on the way, if `history=True` asked for them.
    """

    method: str
    path: EstimatePath | None = None

    @property
    def value(self) -> Any:
        """The estimate."""
        return self[0]

    @property
    def stderr(self) -> float:
        """Its standard error; 0 if the value is exact."""
        return float(self[1])

    def __float__(self) -> float:
        return float(self[0])

    def plot(self, ax: Any = None) -> Any:
        """Draw the estimate with a band of three standard errors against the products made.

        Parameters
        ----------
        ax : sequence of two matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        sequence of matplotlib.axes.Axes
            The axes drawn on: estimates, and standard errors on a logarithmic scale.

        Raises
        ------
        ValueError
            If the run kept no history: pass `history=True`.
        """
        path = _path_of(self)
        ax = axes(ax, 2, figsize=(9, 4))
        value = np.real(np.asarray(path.value))
        band = 3.0 * np.where(np.isfinite(path.stderr), path.stderr, np.nan)
        (line,) = ax[0].plot(path.products, value, marker=".", label=self.method)
        ax[0].fill_between(
            path.products,
            value - band,
            value + band,
            color=line.get_color(),
            alpha=0.2,
            label="three standard errors",
        )
        ax[0].set(xlabel="products", ylabel="estimate", title=f"{self.method}: {self.status.name}")
        ax[0].legend()
        _draw_errors(ax[1], path, self.target, "standard error")
        return ax


class VectorEstimate(Result):
    """An estimated vector: the tuple (value, stderr), both of shape (n,).

    Attributes
    ----------
    method : str
        "exact", or the name of the estimator.
    path : EstimatePath or None
        The norms of the standard errors on the way, if `history=True` asked for them.
    """

    method: str
    path: EstimatePath | None = None

    @property
    def value(self) -> Any:
        """The estimate, of the operator's framework."""
        return self[0]

    @property
    def stderr(self) -> Any:
        """Its standard error by element; zero where the value is exact."""
        return self[1]

    def plot(self, ax: Any = None) -> Any:
        """Draw the norm of the standard errors against the products made, on a logarithmic scale.

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
        path = _path_of(self)
        ax = axes(ax)
        _draw_errors(ax, path, self.target, "norm of the standard errors")
        ax.set(title=f"{self.method}: {self.status.name}")
        return ax


def _path_of(result: Estimate | VectorEstimate) -> EstimatePath:
    if result.path is None:
        raise ValueError("the run kept no history; pass history=True")
    return result.path


def _draw_errors(ax: Any, path: EstimatePath, target: float, what: str) -> None:
    shown = np.where(np.isfinite(path.stderr) & (path.stderr > 0.0), path.stderr, np.nan)
    (line,) = ax.semilogy(path.products, shown, marker=".", label=what)
    if target > 0.0:
        ax.axhline(target, color=line.get_color(), linestyle=":", linewidth=1, label="target")
    ax.set(xlabel="products", ylabel=what)
    ax.legend()


class LeastSquaresResult(Result):
    """The result (x, info) of `ritz.least_squares` and `ritz.minimize`.

    Attributes
    ----------
    cost, gradient_norm : float
        The objective and the norm of its gradient at x.
    reason : str
        The test that was met: "gradient", "cost", "step", or "none".
    evaluations, linearizations, inner_iterations, accepted : int
        Model evaluations, linearisations, iterations of the inner solver, and steps taken.
    """

    cost: float
    gradient_norm: float
    reason: str
    evaluations: int
    linearizations: int
    inner_iterations: int
    accepted: int


def axes(ax: Any, columns: int = 1, figsize: tuple[float, float] | None = None) -> Any:
    """Return the axes to draw on: those given, or one or several in a row of a new figure."""
    if ax is None:
        from matplotlib import pyplot as plt

        ax = plt.subplots(1, columns, figsize=figsize, layout="constrained")[1]
    return ax


def info_of(status: Status, iterations: int) -> int:
    """Return SciPy's success code for a status."""
    if status is Status.converged:
        return 0
    if Status.negative_curvature <= status < Status.boundary:
        return -int(status)
    return max(iterations, 1)


def account_of(outcome: dict[str, Any], history: npt.NDArray[np.float64] | None) -> dict[str, Any]:
    """Return the attributes of a result that every method has."""
    return {
        "status": Status(outcome["status"]),
        "message": outcome["message"],
        "iterations": outcome["iterations"],
        "products": Counts(*outcome["products"]),
        "preconditioner_products": outcome["preconditioner"],
        "residual": outcome["residual"],
        "target": outcome["target"],
        "verified": outcome["verified"],
        "history": history,
        "seconds": outcome["seconds"],
    }


def without_tolerance(account: dict[str, Any]) -> dict[str, Any]:
    """Let an account of samples whose error nothing was asked of say so."""
    asked = account["target"] > 0.0 or account["residual"] == 0.0
    if account["status"] is Status.converged and not asked:
        account["message"] = (
            f"converged at iteration {account['iterations']}: all samples asked for were taken"
        )
    return account
