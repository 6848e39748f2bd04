"""Singular values and vectors of any operator that has an adjoint."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._device import columns_on_device, flat_on_device, place
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.frameworks import Framework
from ritz.frameworks.cuda import CudaArrays, on_device
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Result, account_of, axes
from ritz.workspace import Workspace, lent

__all__ = ["SvdsResult", "svds"]

_WHICH = {"LM": False, "SM": True}


class SvdsResult(Result):
    """The result (u, s, vt) of `ritz.svds`.

    Attributes
    ----------
    residuals : numpy.ndarray
        max(‖A vᵢ − sᵢ uᵢ‖, ‖Aᴴ uᵢ − sᵢ vᵢ‖) for each triplet, evaluated.
    bounds : numpy.ndarray
        A singular value of A lies within bounds[i] of s[i] (Weyl): the residual and 8 eps ‖A‖ for
        rounding, that inside the products of A not counted.
    restarts : int
        Restarts of the bidiagonalisation.
    found : int
        Triplets returned: k, or fewer if the run was stopped before it had as many.
    norm_a : float
        The largest singular value seen: a lower bound of ‖A‖.
    """

    residuals: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]
    restarts: int
    found: int
    norm_a: float

    @property
    def u(self) -> Any:
        """The left singular vectors, one a column, or None."""
        return self[0]

    @property
    def s(self) -> Any:
        """The singular values, descending."""
        return self[1]

    @property
    def vt(self) -> Any:
        """The right singular vectors, conjugated, one a row, or None."""
        return self[2]

    def plot(self, ax: Any = None) -> Any:
        """Draw the singular values with their bounds, on a logarithmic scale.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        ax = axes(ax)
        s = np.asarray(self.s, dtype=np.float64)
        place = np.arange(1, len(s) + 1)
        # What is not above its bound may be zero, which has no place on a logarithmic scale.
        sure = s > self.bounds
        error = np.minimum(self.bounds, 0.999 * s)
        ax.errorbar(place[sure], s[sure], yerr=error[sure], fmt=".", capsize=3, label="value")
        below = np.isfinite(s) & ~sure & (s + self.bounds > 0.0)
        if below.any():
            ax.plot(place[below], (s + self.bounds)[below], "v", label="at most")
        ax.set(yscale="log", xlabel="number", ylabel="singular value")
        ax.set(title=f"svds: {self.status.name}")
        if len(s) > 0:
            ax.legend()
        return ax


def svds(
    A: Any,
    k: int = 6,
    ncv: int | None = None,
    tol: float = 0.0,
    which: str = "LM",
    v0: Any = None,
    maxiter: int | None = None,
    return_singular_vectors: bool | str = True,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    max_basis: int | None = None,
    probe: bool = True,
    seed: int = 0,
    like: Any = None,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> SvdsResult:
    """Find k singular triplets A v = s u, Aᴴ u = s v by thick-restart bidiagonalisation.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    k : int
        Triplets wanted, at most min(m, n).
    ncv : int, optional
        Basis vectors of each side, by default max(3k, 20), for "SM" max(3k, 80).
    tol : float
        Converged means ‖A v − s u‖ and ‖Aᴴ u − s v‖ ≤ tol ‖A‖ for every triplet, evaluated; 0 means
        what the precision allows.
    which : {"LM", "SM"}
        The largest or the smallest.
    v0 : array (min(m, n),) or tree, optional
        The starting vector, a left one if m < n, else a right one; by default random, from `seed`.
    maxiter : int, optional
        Restarts, by default 10 min(m, n).
    return_singular_vectors : {True, False, "u", "vh"}
        What is left out is None.
    checkpoint : path, optional
        A file that the state is saved to at restarts, at most every `checkpoint_every` seconds. A
        run of the same problem that finds it goes on there, to the same bits; it is removed when
        the run has converged.
    checkpoint_every : float
        Seconds.
    max_basis : int, optional
        At most this many basis vectors, whatever ncv and k make of it.
    probe : bool
        Whether to search the complement of what was found for further copies of its values.
    seed : int
        Of the starting vector: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, and that u and vt are returned as;
        needed where neither A nor v0 tells that it is not NumPy's.
    verify : bool
        False takes the residuals from the recurrence and saves 2k products.
    callback, timeout, max_products, history, workspace
        As for `cg`.

    Returns
    -------
    SvdsResult
        The tuple (u, s, vt), s descending of shape (k,), u of shape (m, k), vt of shape (k, n),
        with `residuals`, `bounds` and an account of the run. Triplets that a stopped run did not
        reach are NaN. u and vt are arrays also for trees: `A.codomain.unflatten(u[:, j])` and
        `A.domain.unflatten(vt[j].conj())` are vectors as trees.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Two products a step, 2k to verify. Memory: ncv + 1 vectors of each side, k of the shorter one,
    beside u and vt. A itself is bidiagonalised, never AᴴA, so that small values come to within
    eps ‖A‖; where they crowd, as at the low end of ill-conditioned operators, "SM" is slow without
    a large ncv.

    A Krylov space from one vector holds one vector of each multiple value; the others come in by
    rounding and by the search in the complement, 4 to 12 steps from a random direction. Left
    partners of null vectors are not in the range of A: they are found by `lsmr`.

    References
    ----------
    Baglama, Reichel: Augmented implicitly restarted Lanczos bidiagonalization methods. SIAM J. Sci.
    Comput. 27, 2005.

    Stoll: A Krylov-Schur approach to the truncated SVD. Linear Algebra Appl. 436, 2012.
    """
    if which not in _WHICH:
        raise ValueError(f'which is {which!r}; pass "LM" or "SM"')
    if return_singular_vectors not in (True, False, "u", "vh"):
        raise ValueError(
            f'return_singular_vectors is {return_singular_vectors!r}; pass True, False, "u" or "vh"'
        )
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    A = aslinearoperator(A)
    shorter = min(A.shape)
    k = _arrays.integer(k, "k")
    basis = 0 if ncv is None else _arrays.integer(ncv, "ncv", min(k + 1, max(shorter, 1)))
    if max_basis is not None:
        most = _arrays.integer(max_basis, "max_basis", min(k + 1, max(shorter, 1)))
        basis = min(basis or max(3 * k, 80 if _WHICH[which] else 20), most)
    options = {
        "k": k,
        "smallest": _WHICH[which],
        "ncv": basis,
        "tol": _arrays.nonnegative(tol, "tol"),
        "max_restarts": _arrays.limit(maxiter, "maxiter"),
        "probe": bool(probe),
        "seed": _arrays.seed_of(seed),
        "verify": bool(verify),
    }
    return triplets(
        A,
        options,
        v0=v0,
        vectors=return_singular_vectors,
        checkpoint=None if checkpoint is None else (os.fspath(checkpoint), every),
        like=like,
        callback=callback,
        timeout=timeout,
        max_products=max_products,
        history=history,
        workspace=workspace,
    )


def triplets(
    A: LinearOperator,
    options: dict[str, Any],
    *,
    v0: Any = None,
    vectors: bool | str = True,
    deflate: npt.NDArray[Any] | None = None,
    checkpoint: tuple[str, float] | None = None,
    like: Any = None,
    where: tuple[Framework, Any, np.dtype[Any]] | None = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> SvdsResult:
    """Run the compiled method; `deflate` are right vectors to stay orthogonal to.

    `where`: framework, compiled methods and element type, if not those that v0 and like tell.
    """
    m, n = A.shape
    k = options["k"]
    if min(m, n) > 0 and k > min(m, n):
        raise ValueError(f"k is {k}; A of shape {A.shape} has only {min(m, n)} singular values")
    v0 = flat_on_device(A.codomain if m < n else A.domain, v0, A)
    if where is not None:
        framework, core, dtype = where
    elif v0 is not None and not on_device(v0):
        framework, dtype = setting(A, like)
        core = _arrays.core(dtype)
    else:
        example, name = (v0, "v0") if v0 is not None else (like, "like")
        framework, core, dtype = place(A, example, name=name)
    start: Any = None
    if v0 is not None and isinstance(framework, CudaArrays):
        start = columns_on_device(framework, core, v0, "v0", min(m, n))
        if start.size != min(m, n):
            raise ValueError(f"v0 has shape {tuple(v0.shape)}; A of shape {A.shape} needs one")
    elif v0 is not None:
        side = A.codomain if m < n else A.domain
        v0 = v0 if side is None else side.flat(v0)
        start, framework = _arrays.vector(v0, "v0", min(m, n), f"A of shape {A.shape}")
        dtype = working_dtype([A], [start.dtype])
        start = _arrays.cast(start, dtype, "v0")
        core = _arrays.core(dtype)
    watch = Watch("svds", framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "svds", dtype, core) as memory,
        Binding(dtype, framework, core) as run,
        watch.running() as ending,
    ):
        if min(m, n) == 0:
            u, vh = framework.no_columns(m, dtype, core), framework.no_rows(n, dtype, core)
            s = np.empty(0)
            residuals, outcome = np.empty(0), _nothing_to_find()
        else:
            u, s, vh, residuals, outcome = core.svds(
                run(A), options, start, deflate, checkpoint, watch.monitor, memory
            )
        real = np.dtype(dtype.char.lower())
        account = account_of(outcome, watch.history)
        account |= {
            "residuals": residuals,
            # Rounding in s, in the vectors and in the residual's own evaluation: a few eps ‖A‖.
            "bounds": residuals + 8.0 * np.finfo(real).eps * outcome["norm_a"],
            "restarts": outcome["restarts"],
            "found": outcome["found"],
            "norm_a": outcome["norm_a"],
        }
        left = framework.from_columns(u) if vectors in (True, "u") else None
        right = framework.from_run(vh) if vectors in (True, "vh") else None
        values = framework.from_numpy(s.astype(real))
        ending.result = result = SvdsResult((left, values, right), **account)
    return result


def _nothing_to_find() -> dict[str, Any]:
    return {
        "status": 0,
        "message": "converged at iteration 0: an operator of size 0 has no singular values",
        "iterations": 0,
        "products": (0, 0, 0),
        "preconditioner": 0,
        "residual": 0.0,
        "target": 0.0,
        "verified": True,
        "seconds": 0.0,
        "restarts": 0,
        "found": 0,
        "norm_a": 0.0,
    }
