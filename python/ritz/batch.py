"""Many small linear systems, solved at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _core
from ritz._device import device_setting
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.frameworks import Framework
from ritz.frameworks.cuda import on_device
from ritz.operators import LinearOperator
from ritz.results import Result, Status, info_of

__all__ = ["CgBatchResult", "cg_batch"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class CgBatchResult:
    """How each system of a batch ended.

    Attributes
    ----------
    x : array (batch, n)
        The solutions, of the kind that B is.
    status : list of Status
        How each system ended.
    iterations : numpy.ndarray (batch,)
        Iterations of each.
    residual_norms, targets : numpy.ndarray (batch,)
        ‖b − A x‖ of each, and what it was asked to come down to.
    verified : numpy.ndarray (batch,)
        Whether the residual norm was evaluated rather than taken from the recurrence.
    products : int
        Products of the batch, each with all systems at once.
    seconds : float
        Time of the run.
    """

    x: Any
    status: list[Status]
    iterations: npt.NDArray[np.int64]
    residual_norms: npt.NDArray[np.float64]
    targets: npt.NDArray[np.float64]
    verified: npt.NDArray[np.bool_]
    products: int
    seconds: float

    @property
    def converged(self) -> npt.NDArray[np.bool_]:
        """Whether the status of each system is `converged`."""
        return np.array([s is Status.converged for s in self.status], dtype=np.bool_)

    @property
    def message(self) -> str:
        """How many systems converged, and how the first that did not has ended."""
        converged = self.converged
        text = f"{np.count_nonzero(converged)} of {len(converged)} systems converged"
        if converged.all():
            return text
        k = int(np.argmin(converged))
        return (
            f"{text}; system {k} ended with {self.status[k].name} at iteration "
            f"{self.iterations[k]}: residual {self.residual_norms[k]:.3e}, target "
            f"{self.targets[k]:.3e}; {self.status[k].advice}"
        )

    def __repr__(self) -> str:
        return f"CgBatchResult: {self.message}"


def cg_batch(
    A: Any,
    B: Any,
    X0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
) -> CgBatchResult:
    """Solve A_k x_k = b_k for a batch of Hermitian positive definite A_k by conjugate gradients.

    Parameters
    ----------
    A : array (batch, n, n) or callable
        The matrices, or a function of an array X (batch, n) that returns the products A_k x_k as an
        array (batch, n); both of the kind that B is.
    B : array (batch, n)
        The right-hand sides, one a row: of NumPy, torch or JAX in host memory, or an array in
        device memory, where A, X0 and M must be then.
    X0 : array (batch, n), optional
        First guesses.
    rtol, atol : float
        Converged means ‖b_k − A_k x_k‖ ≤ max(rtol ‖b_k‖, atol), evaluated on the true residual.
    maxiter : int, optional
        Of each system; by default 10 n.
    M : array (batch, n), optional
        Positive diagonals of approximations of the inverses, such as 1 / diag(A_k).
    verify : bool
        False claims convergence on the recurrence's residuals and saves one product.
    callback : callable or sequence of callables, optional
        Called with a `ritz.Iteration` after each iteration of the batch (each tenth on a device,
        where A is an array); its residual is the largest of all systems', and its x has the shape
        of B. Return True or raise StopIteration to stop.
    timeout : float, optional
        Seconds.

    Returns
    -------
    CgBatchResult
        `x` of the kind that B is, and `status`, `iterations` and `residual_norms` of each system.
        A system that has ended changes nothing any more: each has the iterates, and the number of
        iterations, of `ritz.cg` on it alone.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    An iteration is one product of all systems and one operation on their vectors: on a device two
    kernels, or one and the function. One product to start from X0, one to verify. An array A is not
    multiplied for systems that have ended, a function is called with all rows; on a device up to
    nine products, of no system, may follow the last iteration.

    Memory: 3 batch n numbers beside x. Traffic: 10 n an iteration and system, 15 n with M.

    References
    ----------
    Hestenes, Stiefel: Methods of conjugate gradients for solving linear systems. J. Res. NBS 49,
    1952. Aggarwal, Kashi, Nayak, Balos, Woodward, Anzt: Batched sparse iterative solvers for
    computational chemistry simulations on GPUs. ScalA 2021.
    """
    options: dict[str, Any] = {
        "rtol": _arrays.nonnegative(rtol, "rtol"),
        "atol": _arrays.nonnegative(atol, "atol"),
        "max_iterations": _arrays.limit(maxiter, "maxiter"),
        "warm_start": X0 is not None,
        "verify": bool(verify),
        "look_every": 16 if callback is None else 1,
    }
    if isinstance(A, LinearOperator):
        raise TypeError(
            "A is a LinearOperator, which has no batch: pass an array (batch, n, n) or a function "
            "of an array (batch, n)"
        )
    problem = (_OnDevice if on_device(B) else _OnHost)(A, B, X0, M)
    watch = Watch(
        "cg_batch", problem.framework, callback, False, timeout, None, cast(Any, _Rows(problem))
    )
    with Binding(problem.dtype, problem.framework, problem.core) as bound, watch.running() as end:
        x, account = problem.solve(bound, options, watch.monitor)
        statuses = {int(s): s for s in Status}
        result = CgBatchResult(
            x=x,
            status=[statuses[s] for s in account["status"].tolist()],
            iterations=account["iterations"],
            residual_norms=account["residuals"],
            targets=account["targets"],
            verified=account["verified"],
            products=account["products"],
            seconds=account["seconds"],
        )
        end.result = _summary(result)
    return result


def _summary(result: CgBatchResult) -> Result:
    """Return what monitors are told at the end."""
    failed = [s for s in result.status if s is not Status.converged]
    status = failed[0] if failed else Status.converged
    iterations = int(result.iterations.max(initial=0))
    return Result(
        (result.x, info_of(status, iterations)),
        status=status,
        message=result.message,
        iterations=iterations,
    )


class _Batch:
    """A batch in one element type: what is alike in host memory and on a device."""

    framework: Any
    dtype: np.dtype[Any]
    core: Any
    shape: tuple[int, int]

    def shape_of(self, shape: tuple[int, ...], name: str, wanted: tuple[int, ...]) -> None:
        """Raise ValueError for an array that does not fit to B."""
        if tuple(shape) != wanted:
            raise ValueError(
                f"{name} has shape {tuple(shape)}; B of shape {self.shape} needs shape {wanted}"
            )

    def batch_shape(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return (batch, n), or raise ValueError."""
        if len(shape) != 2:
            raise ValueError(
                f"B has shape {tuple(shape)}; pass (batch, n), one right-hand side a row"
            )
        return int(shape[0]), int(shape[1])

    def product(self, function: Callable[[Any], Any]) -> LinearOperator:
        """Return the function as an operator on all rows, one after the other."""
        shape = self.shape

        def flat(x: Any) -> Any:
            result = function(x.reshape(shape))
            came = getattr(result, "shape", None)
            if result is None:
                raise TypeError(f"A returned None; return the products as an array of {shape}")
            if came is not None and tuple(came) != shape:
                raise ValueError(f"A returned an array of shape {tuple(came)}; it must be {shape}")
            return result

        size = shape[0] * shape[1]
        return LinearOperator((size, size), matvec=flat, dtype=self.dtype)


class _OnHost(_Batch):
    framework: Framework
    core = None

    def __init__(self, A: Any, B: Any, X0: Any, M: Any) -> None:
        b, self.framework = _arrays.array(B, "B")
        self.shape = batch, n = self.batch_shape(b.shape)
        self.dtype = b.dtype
        self._A: Any = A
        matrices = None
        if not callable(A):
            matrices, _ = _arrays.array(A, "A")
            self.shape_of(matrices.shape, "A", (batch, n, n))
            self.dtype = np.result_type(b.dtype, matrices.dtype)
            self._A = self._taken(matrices, "A")
        self._b = self._taken(b, "B")
        self._x0, self._m = self._rows(X0, "X0"), self._rows(M, "M")

    def _taken(self, a: Array, name: str) -> Array:
        return np.ascontiguousarray(_arrays.cast(a, self.dtype, name))

    def _rows(self, value: Any, name: str) -> Array | None:
        if value is None:
            return None
        a, _ = _arrays.array(value, name)
        self.shape_of(a.shape, name, self.shape)
        return self._taken(a, name)

    def solve(
        self, bound: Binding, options: dict[str, Any], monitor: _core.Monitor
    ) -> tuple[Any, dict[str, Any]]:
        A = bound(self.product(self._A)) if callable(self._A) else self._A
        x, account = bound.core.cg_batch(A, self._b, self._x0, self._m, options, monitor)
        return self.framework.from_numpy(x), account


class _OnDevice(_Batch):
    def __init__(self, A: Any, B: Any, X0: Any, M: Any) -> None:
        self.framework, self.core, self.dtype, shape = device_setting(B, "B", [])
        self.shape = batch, n = self.batch_shape(shape)
        self._b = self.core.take(B, "B")
        self._A: Any = A if callable(A) else self._there(A, "A", (batch, n, n))
        self._x0, self._m = self._there(X0, "X0", self.shape), self._there(M, "M", self.shape)

    def _there(self, value: Any, name: str, wanted: tuple[int, ...]) -> Any:
        if value is None and name != "A":
            return None
        if not on_device(value):
            raise TypeError(f"{name} is in host memory, but B is on a device: move it there")
        self.shape_of(tuple(_core.describe_array(value, name)[2]), name, wanted)
        return self.core.take(value, name)

    def solve(
        self, bound: Binding, options: dict[str, Any], monitor: _core.Monitor
    ) -> tuple[Any, dict[str, Any]]:
        A = bound(self.product(self._A)) if callable(self._A) else self._A
        x, account = _arrays.core(self.dtype).cg_batch_on_device(
            A, self._b, self.shape[0], self._x0, self._m, options, monitor
        )
        return self.framework.from_run(x), account


class _Rows:
    """Gives callbacks the iterate in the shape of B."""

    def __init__(self, problem: _Batch) -> None:
        self._problem = problem

    def unflatten(self, x: Array) -> Any:
        """Return the iterates of all systems as an array like B."""
        return self._problem.framework.from_numpy(x.reshape(self._problem.shape))
