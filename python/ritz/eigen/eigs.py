"""Eigenvalues of general operators."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._linear import require_square
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Result, account_of, axes
from ritz.workspace import Workspace, lent

__all__ = ["EigsResult", "eigs"]

_WHICH = {"LM": 0, "LR": 1, "SR": 2, "LI": 3, "SI": 4}


class EigsResult(Result):
    """The result (w, V) of `ritz.eigs`.

    Attributes
    ----------
    residuals : numpy.ndarray
        ‖A vᵢ − wᵢ M vᵢ‖ for each pair, evaluated. It is a backward error: (wᵢ, vᵢ) is an exact
        eigenpair of A + E with ‖E‖ = residuals[i], and for an A that is not normal wᵢ may be much
        further than that from an eigenvalue of A.
    condition : numpy.ndarray
        The condition number 1/|yᴴx| of each eigenvalue, y and x being its left and right unit
        eigenvectors, in the projection of A on the basis: 1 for a normal A, infinite for a
        defective one. What the basis does not hold of the left vector it cannot tell.
    restarts : int
        Restarts of the Krylov-Schur process.
    locked : int
        Leading Schur vectors that are exact to rounding.
    norm_a, norm_m : float
        Lower bounds of ‖A‖ and ‖M‖: the largest ‖A v‖ and ‖M v‖ seen.
    mass_products : int
        Products with M.
    """

    residuals: npt.NDArray[np.float64]
    condition: npt.NDArray[np.float64]
    restarts: int
    locked: int
    norm_a: float
    norm_m: float
    mass_products: int

    @property
    def w(self) -> Any:
        """The eigenvalues, best first; of a conjugate pair the one in the upper half plane."""
        return self[0]

    @property
    def V(self) -> Any:
        """The eigenvectors, of unit length, one a column, or None."""
        return self[1]

    @property
    def errors(self) -> npt.NDArray[np.float64]:
        """First-order estimates of |wᵢ − λᵢ|, condition × residual: no bounds."""
        return np.asarray(self.condition * self.residuals)

    def plot(self, ax: Any = None) -> Any:
        """Draw the eigenvalues in the complex plane, in circles of the residuals and of `errors`.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        from matplotlib.patches import Circle

        ax = axes(ax)
        w = np.asarray(self.w)
        found = np.isfinite(w)
        ax.plot(w[found].real, w[found].imag, "o", markersize=4, label="eigenvalues")
        circles = (
            ("residual", "solid", self.residuals),
            ("condition × residual", ":", self.errors),
        )
        for name, line, radii in circles:
            for i in np.flatnonzero(found & np.isfinite(radii)):
                label = name if i == np.flatnonzero(found)[0] else None
                centre = (w[i].real, w[i].imag)
                ax.add_patch(Circle(centre, radii[i], fill=False, linestyle=line, label=label))
        ax.set(xlabel="real part", ylabel="imaginary part", title=f"eigs: {self.status.name}")
        ax.set_aspect("equal", "datalim")
        ax.legend()
        return ax


def eigs(
    A: Any,
    k: int = 6,
    M: Any = None,
    sigma: complex | None = None,
    which: str = "LM",
    v0: Any = None,
    ncv: int | None = None,
    maxiter: int | None = None,
    tol: float = 0.0,
    return_eigenvectors: bool = True,
    Minv: Any = None,
    OPinv: Any = None,
    OPpart: None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    max_basis: int | None = None,
    seed: int = 0,
    like: Any = None,
    verify: bool = True,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> EigsResult:
    """Find k eigenpairs A v = w M v of a square A by the Krylov-Schur method.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    k : int
        Eigenpairs wanted, at most n. If it parts a conjugate pair of a real A, the member in the
        upper half plane is returned.
    M : operator (n, n), optional
        Hermitian and positive definite; the identity without it. It needs `Minv`, or `OPinv`.
    sigma : complex, optional
        Find the eigenvalues nearest to it, through `OPinv`. A complex one makes the run complex.
    which : {"LM", "LR", "SR", "LI", "SI"}
        Those of largest magnitude, of largest or smallest real part, of largest or smallest
        imaginary part (its magnitude if A is real). With sigma it speaks of 1/(w − sigma), as in
        SciPy: "LM" are the nearest to sigma. Parts inside the spectrum ("SI" above all) are found
        slowly or not at all without sigma.
    v0 : array (n,) or tree, optional
        The starting vector; by default random, from `seed`.
    ncv : int, optional
        Basis vectors, by default max(2k + 1, 20); at least k + 2, or n.
    maxiter : int, optional
        Restarts, by default 10 n.
    tol : float
        Converged means ‖A v − w v‖ ≤ tol ‖A‖ for every pair, evaluated; 0 means what the precision
        allows. With M it is ‖A v − w M v‖ ≤ tol (‖A‖ + |w| ‖M‖).
    return_eigenvectors : bool
        False leaves V out: it is None.
    Minv : operator (n, n), optional
        Products with M⁻¹: needed with M unless sigma is given.
    OPinv : operator (n, n), optional
        Products with (A − sigma M)⁻¹, such as solves with a factorisation: needed with sigma.
    OPpart : None
        Accepted for SciPy's sake: a complex sigma needs no part of OPinv.
    checkpoint : path, optional
        A file that the state is saved to at restarts, at most every `checkpoint_every` seconds. A
        run of the same problem that finds it goes on there, to the same bits; it is removed when
        the run has converged.
    checkpoint_every : float
        Seconds.
    max_basis : int, optional
        At most this many basis vectors, whatever ncv and k make of it.
    seed : int
        Of the starting vector: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, and that V is returned as; needed
        where neither A nor v0 tells that it is not NumPy's.
    verify : bool
        False takes the residuals from the recurrence and saves k products.
    callback, timeout, max_products, history, workspace
        As for `cg`. With sigma, max_products counts the solves as well.

    Returns
    -------
    EigsResult
        The tuple (w, V), both complex, w of shape (k,) with the best first, V of shape (n, k), with
        `residuals`, `condition` and an account of the run. Pairs that a stopped run did not reach
        are NaN. V is one array also for trees: `A.domain.unflatten(V[:, j])` is a column as a tree.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    One product an Arnoldi step, with M one of M and one of Minv or OPinv besides; k to verify, in
    one block. A real A is worked on in real arithmetic: the vectors of a conjugate pair cost two
    real products. `products` are those with A, `preconditioner_products` those with Minv or OPinv.
    Memory: ncv + 1 vectors beside V, two more with M or sigma.

    A Krylov space holds one vector of each eigenspace; copies come in by rounding, and, unless the
    eigenvalues found are ill-conditioned, before convergence is claimed the complement of what was
    found is searched from a random direction, by at most ncv − k products. That finds copies which
    the spectrum sets apart; under a loose tol others may be missed.

    References
    ----------
    Stewart: A Krylov-Schur algorithm for large eigenproblems. SIAM J. Matrix Anal. Appl. 23, 2001.

    Bai, Demmel: On swapping diagonal blocks in real Schur form. Linear Algebra Appl. 186, 1993.
    """
    A = aslinearoperator(A)
    require_square(A, "A", "eigs")
    n = A.shape[0]
    k = _arrays.integer(k, "k")
    if n > 0 and k > n:
        raise ValueError(f"k is {k}; A has only n = {n} eigenvalues: pass 1 to {n}")
    _check_which(which, OPpart)
    mass, minv, opinv = (
        None if given is None else _operand(given, name, A)
        for given, name in ((M, "M"), (Minv, "Minv"), (OPinv, "OPinv"))
    )
    shift, solve = _transformation(sigma, mass, minv, opinv)
    options = {
        "k": k,
        "ncv": _basis(k, n, ncv, max_basis),
        "max_restarts": _arrays.limit(maxiter, "maxiter"),
        "tol": _arrays.nonnegative(tol, "tol"),
        "verify": bool(verify),
        "seed": _arrays.seed_of(seed),
        "invert": sigma is not None,
        "sigma": shift,
    }
    path = "" if checkpoint is None else os.fspath(checkpoint)
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    start = None
    framework, dtype = setting(A, like)
    if v0 is not None:
        v0 = v0 if A.domain is None else A.domain.flat(v0)
        start, framework = _arrays.vector(v0, "v0", n, f"A of shape {A.shape}")
        dtype = start.dtype
    dtype = working_dtype([A, mass, solve], [dtype])
    if shift.imag != 0.0:
        dtype = np.result_type(dtype, np.complex64)
    if start is not None:
        start = _arrays.cast(start, dtype, "v0")
    core = _arrays.core(dtype)
    watch = Watch("eigs", framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "eigs", dtype) as memory,
        Binding(dtype, framework) as run,
        watch.running() as ending,
    ):
        if n == 0:
            w, V, residuals, condition, outcome = _nothing_to_find(dtype)
        else:
            w, V, residuals, condition, outcome = core.eigs(
                *(None if a is None else run(a) for a in (A, mass, solve)),
                _WHICH[which],
                options,
                start,
                watch.monitor,
                memory,
                path,
                every,
            )
        account = account_of(outcome, watch.history)
        account |= {
            "residuals": residuals,
            "condition": condition,
            "restarts": outcome["restarts"],
            "locked": outcome["locked"],
            "norm_a": outcome["norm_a"],
            "norm_m": outcome["norm_m"],
            "mass_products": outcome["mass"],
        }
        values = framework.from_numpy(w.astype(V.dtype))
        vectors = framework.from_numpy(V) if return_eigenvectors else None
        ending.result = result = EigsResult((values, vectors), **account)
    return result


def _check_which(which: str, part: Any) -> None:
    if which == "SM":
        raise ValueError(
            "which is 'SM'; pass sigma=0 with OPinv, products with the inverse of A: a Krylov "
            "space of A finds the outer eigenvalues first"
        )
    if which not in _WHICH:
        raise ValueError(f'which is {which!r}; pass "LM", "LR", "SR", "LI" or "SI"')
    if part is not None:
        raise ValueError(
            f"OPpart is {part!r}; leave it out: with a complex sigma the run is complex, and OPinv "
            "is (A - sigma M)⁻¹ itself"
        )


def _operand(given: Any, name: str, A: LinearOperator) -> LinearOperator:
    a: LinearOperator = aslinearoperator(given, name)
    if a.shape != A.shape:
        raise ValueError(f"{name} has shape {a.shape}; A has shape {A.shape}")
    return a


def _transformation(
    sigma: complex | None,
    mass: LinearOperator | None,
    minv: LinearOperator | None,
    opinv: LinearOperator | None,
) -> tuple[complex, LinearOperator | None]:
    """Return σ and the solve that each step makes."""
    if sigma is not None:
        try:
            shift = complex(sigma)
        except (TypeError, ValueError):
            raise TypeError(f"sigma is {sigma!r}; pass a number") from None
        if opinv is None:
            raise ValueError(
                f"sigma is {sigma!r} without OPinv; pass products with (A - sigma M)⁻¹, for a "
                "sparse A those of scipy.sparse.linalg.splu(A - sigma * I).solve"
            )
        return shift, opinv
    if opinv is not None:
        raise ValueError("OPinv is given without sigma; pass the sigma that it solves for")
    if mass is None and minv is not None:
        raise ValueError("Minv is given without M; pass M as well")
    if mass is not None and minv is None:
        raise ValueError("M is given without Minv; pass products with M⁻¹, or sigma and OPinv")
    return 0j, minv


def _basis(k: int, n: int, ncv: int | None, max_basis: int | None) -> int:
    """Return the number of basis vectors."""
    least = min(k + 2, n)
    basis = max(2 * k + 1, 20) if ncv is None else _arrays.integer(ncv, "ncv", least)
    if max_basis is not None:
        basis = min(basis, _arrays.integer(max_basis, "max_basis", least))
    return basis


def _nothing_to_find(dtype: np.dtype[Any]) -> tuple[Any, ...]:
    outcome = {
        "status": 0,
        "message": "converged at iteration 0: an operator of size 0 has no eigenvalues",
        "iterations": 0,
        "products": (0, 0, 0),
        "preconditioner": 0,
        "residual": 0.0,
        "target": 0.0,
        "verified": True,
        "seconds": 0.0,
        "restarts": 0,
        "locked": 0,
        "norm_a": 0.0,
        "norm_m": 0.0,
        "mass": 0,
    }
    kind = np.result_type(dtype, np.complex64)
    return np.empty(0, kind), np.empty((0, 0), kind), np.empty(0), np.empty(0), outcome
