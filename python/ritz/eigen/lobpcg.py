"""Extreme eigenvalues of self-adjoint operators with a preconditioner."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import columns_on_device, device_setting, on_device
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.frameworks import Framework
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Result, account_of, axes

__all__ = ["LobpcgResult", "lobpcg"]


class LobpcgResult(Result):
    """The result (w, V) of `ritz.lobpcg`.

    Attributes
    ----------
    residuals : numpy.ndarray
        ‖A vᵢ − wᵢ B vᵢ‖ / ‖vᵢ‖ for each pair; with constraints, of its part that they allow.
    norm_a, norm_b : float
        Lower bounds of ‖A‖ and ‖B‖: the largest ‖A v‖ and ‖B v‖ seen.
    mass_products : int
        Products with B, a block counting once a column.
    """

    residuals: npt.NDArray[np.float64]
    norm_a: float
    norm_b: float
    mass_products: int

    @property
    def w(self) -> Any:
        """The eigenvalues, best first."""
        return self[0]

    @property
    def V(self) -> Any:
        """The eigenvectors, one a column, with Vᴴ B V = I."""
        return self[1]

    def plot(self, ax: Any = None) -> Any:
        """Draw the largest residual of each iteration, on a logarithmic scale, with its target.

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
        if self.history is None:
            raise ValueError("the run kept no history; pass history=True to lobpcg")
        ax = axes(ax)
        shown = np.where(self.history > 0.0, self.history, np.nan)
        (line,) = ax.semilogy(np.arange(1, len(shown) + 1), shown, label="largest residual")
        if self.target > 0.0:
            ax.axhline(
                self.target, color=line.get_color(), linestyle=":", linewidth=1, label="target"
            )
        ax.set(xlabel="iteration", ylabel="residual norm", title=f"lobpcg: {self.status.name}")
        ax.legend()
        return ax


def lobpcg(
    A: Any,
    X: Any,
    B: Any = None,
    M: Any = None,
    Y: Any = None,
    tol: float | None = None,
    maxiter: int | None = None,
    largest: bool = True,
    *,
    seed: int = 0,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> LobpcgResult:
    """Find the extreme eigenpairs A v = w B v of a Hermitian A with a preconditioner, by LOBPCG.

    Parameters
    ----------
    A : operator (n, n) or callable
        Anything that `aslinearoperator` takes, or a function (n, j) ↦ (n, j) of blocks.
    X : array (n, k) or (n,)
        First guesses, one for each eigenvector wanted. Dependent columns are replaced by random
        ones.
    B : operator (n, n) or callable, optional
        Hermitian and positive definite; the identity without it.
    M : operator (n, n) or callable, optional
        The preconditioner, near the inverse of A (for the smallest eigenvalues) and positive
        definite. One that is not costs iterations, never a false success.
    Y : array (n, p) or (n,), optional
        Constraints: the eigenvectors are sought orthogonal to them in the inner product of B, and
        are those of the problem restricted to that complement.
    tol : float, optional
        Converged means ‖A v − w v‖ ≤ tol ‖A‖ ‖v‖ for every pair, evaluated, where ‖A‖ is the lower
        bound `norm_a`; with B, ‖A v − w B v‖ ≤ tol (‖A‖ + |w| ‖B‖) ‖v‖. None is √eps of the
        precision: w is then right to about eps ‖A‖² / gap. The least is 64 eps.
    maxiter : int, optional
        Iterations, by default 10 n.
    largest : bool
        The largest eigenvalues, or the smallest.
    seed : int
        Of the random vectors in place of dependent ones: the same seed gives the same bits.
    verify : bool
        False believes the recurrence for A V and saves k products for each claim.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    LobpcgResult
        The tuple (w, V), w of shape (k,) with the best first, V of shape (n, k), of the kind of X,
        with `residuals` and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    An iteration makes one block product with A, and one with M and B, of as many columns as have
    not converged. k + 1 products before the first one, k to verify. The basis [X P W] is kept
    B-orthonormal, and directions that depend on others are left out, so that any k ≤ n will do.
    Memory: 6k + p vectors, with B 9k + 2p.

    `tol` is relative, unlike SciPy's, where 1e-12 A returns the starting vectors.

    References
    ----------
    Knyazev: Toward the optimal preconditioned eigensolver: locally optimal block preconditioned
    conjugate gradient method. SIAM J. Sci. Comput. 23, 2001.

    Hetmaniuk, Lehoucq: Basis selection in LOBPCG. J. Comput. Phys. 218, 2006.
    """
    shape = tuple(X.shape) if on_device(X) else np.shape(X)
    n, k = shape if len(shape) == 2 else (*shape, 1) if len(shape) == 1 else (0, 0)
    if k == 0:
        raise ValueError(f"X has shape {shape}; pass (n, k), a guess for each eigenvector")
    a = _operator(A, "A", n)
    b = None if B is None else _operator(B, "B", n)
    m = None if M is None else _operator(M, "M", n)
    options = {
        "largest": bool(largest),
        "tol": 0.0 if tol is None else _arrays.nonnegative(tol, "tol"),
        "max_iterations": _arrays.limit(maxiter, "maxiter"),
        "verify": bool(verify),
        "seed": _arrays.seed_of(seed),
    }
    if k > n:
        raise ValueError(f"X has shape {shape}; A has only n = {n} eigenvectors")
    framework: Framework
    start: Any
    known: Any = None
    if on_device(X):
        device, core, dtype, _ = device_setting(X, "X", [a, b, m])
        framework = device
        start = columns_on_device(device, core, X, "X", n)
        if Y is not None:
            known = columns_on_device(device, core, Y, "Y", n)
    else:
        start, framework = _arrays.array(X, "X")
        known = None if Y is None else _constraints(Y, n)
        dtype = working_dtype([a, b, m], [v.dtype for v in (start, known) if v is not None])
        start = np.asfortranarray(_arrays.cast(start.reshape(n, k), dtype, "X"))
        known = None if known is None else np.asfortranarray(_arrays.cast(known, dtype, "Y"))
        core = _arrays.core(dtype)
    if tol is not None and options["tol"] == 0.0:  # 0 asks for what the precision allows
        options["tol"] = float(np.finfo(dtype).eps)
    watch = Watch("lobpcg", framework, callback, history, timeout, max_products)
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        w, V, residuals, outcome = core.lobpcg(
            run(a),
            start,
            *(None if p is None else run(p) for p in (b, m)),
            known,
            options,
            watch.monitor,
        )
        account = account_of(outcome, watch.history)
        account |= {
            "residuals": residuals,
            "norm_a": outcome["norm_a"],
            "norm_b": outcome["norm_b"],
            "mass_products": outcome["mass"],
        }
        real = np.dtype(dtype.char.lower())
        values = framework.from_numpy(w.astype(real))
        ending.result = result = LobpcgResult((values, framework.from_columns(V)), **account)
    return result


def _operator(given: Any, name: str, n: int) -> LinearOperator:
    """Return an operator; a function of blocks becomes one."""
    if callable(given) and not hasattr(given, "shape"):
        return LinearOperator((n, n), matmat=given, symmetric=True)
    a: LinearOperator = aslinearoperator(given, name)
    require_self_adjoint(a, name, "lobpcg")
    if a.shape != (n, n):
        raise ValueError(f"{name} has shape {a.shape}; X has {n} rows, so it must have {(n, n)}")
    return a


def _constraints(Y: Any, n: int) -> npt.NDArray[Any]:
    a, _ = _arrays.array(Y, "Y")
    if a.ndim == 1:
        a = a[:, None]
    if a.ndim != 2 or a.shape[0] != n:
        raise ValueError(f"Y has shape {np.shape(Y)}; X has {n} rows, so it must have ({n}, p)")
    return a
