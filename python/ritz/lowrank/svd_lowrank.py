"""Singular triplets of any operator that has an adjoint, from products with random blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._device import place
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Result, Status, account_of, axes

__all__ = ["SvdLowrankResult", "svd_lowrank"]

_METHODS = ("block_krylov", "subspace")
# Held-out vectors.
_PROBES = 10
_KINDS = ("leave-one-out", "norm", "held-out", "exact")


class SvdLowrankResult(Result):
    """The result (U, s, Vh) of `ritz.svd_lowrank`.

    Attributes
    ----------
    error_estimate : float
        ‖A − U diag(s) Vh‖_F, as `error_kind` tells.
    error_kind : {"norm", "leave-one-out", "held-out", "exact"}
        What `error_estimate` is taken from. "norm": ‖A‖²_F − ‖s‖², with the norm of the array A.
        "leave-one-out": the same with an unbiased estimate of ‖A‖²_F, the mean over the columns ωᵢ
        of the first sketch of ‖QᴴA‖²_F + ‖(I − QQᴴ) A ωᵢ‖², Q the basis of the other columns; by
        "subspace" ‖(I − QQᴴ) A ωᵢ‖² itself, for the last basis, and what of it U leaves out.
        "held-out": ‖(I − QQᴴ) A g‖² of ten further vectors g. "exact": the basis has all of the
        range, and the rest of its singular values is the error.
    error_stderr : float
        Standard error of `error_estimate`; 0 unless it is sampled.
    residuals : numpy.ndarray
        ‖A vᵢ − sᵢ uᵢ‖ for each triplet; NaN where they were not measured. Aᴴ uᵢ = sᵢ vᵢ holds to
        rounding, so that a singular value of A lies within residuals[i] of s[i], and s[i] is below
        the i-th.
    rank : int
        Triplets returned.
    basis : int
        Columns of the basis that they were taken from.
    norm : float
        ‖A‖_F, known or estimated.
    passes : int
        Products of A or Aᴴ with a block.
    method : str
        The method.
    seed : int
        Of the random vectors.
    """

    error_estimate: float
    error_kind: str
    error_stderr: float
    residuals: npt.NDArray[np.float64]
    rank: int
    basis: int
    norm: float
    passes: int
    method: str
    seed: int

    @property
    def U(self) -> Any:
        """The left singular vectors, one a column."""
        return self[0]

    @property
    def s(self) -> Any:
        """The singular values, descending."""
        return self[1]

    @property
    def Vh(self) -> Any:
        """The right singular vectors, conjugated, one a row."""
        return self[2]

    def plot(self, ax: Any = None) -> Any:
        """Draw the singular values with their residuals, on a logarithmic scale.

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
        ax.plot(place[s > 0.0], s[s > 0.0], ".", label="value")
        measured = self.residuals > 0.0
        ax.plot(place[measured], self.residuals[measured], "v", label="residual")
        ax.set(yscale="log", xlabel="number", ylabel="singular value")
        ax.set(title=f"svd_lowrank: {self.status.name}")
        if len(s) > 0:
            ax.legend()
        return ax


def svd_lowrank(
    A: Any,
    k: int | None = None,
    *,
    tol: float | None = None,
    method: str = "block_krylov",
    oversampling: int | None = None,
    n_iter: int | None = None,
    block: int | None = None,
    max_rank: int | None = None,
    seed: int = 0,
    verify: bool = True,
    like: Any = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> SvdLowrankResult:
    """Approximate A by U diag(s) Vh, its largest singular triplets, from random blocks of products.

    Parameters
    ----------
    A : operator (m, n)
        Anything that `aslinearoperator` takes, with its adjoint product.
    k : int, optional
        Triplets wanted, at most min(m, n); without it as many as `tol` takes.
    tol : float, optional
        With k: go on until ‖A v − s u‖ ≤ tol s₁ for every triplet. Without k: until
        ‖A − U diag(s) Vh‖_F ≤ tol ‖A‖_F, by `error_estimate`, and return the fewest triplets of
        which that is true.
    method : {"block_krylov", "subspace"}
        The space that the triplets are taken from: of all products made, or of the last block.
    oversampling : int, optional
        Columns beyond k that the space is made for, by default max(10, k / 10).
    n_iter : int, optional
        Rounds of products with Aᴴ and A after the first, none changed or added: by default
        2 (k + oversampling) / block and at least 5, or with "subspace" 4; with `tol` at most so
        many, by default as many as it takes.
    block : int, optional
        Columns of one product: by default (k + oversampling) / 4, a multiple of 8, or of 16 for
        a dense array, which is read in full each time; for "subspace" k + oversampling, without k
        16. Smaller blocks need fewer products, larger ones make each
        cheaper.
    max_rank : int, optional
        Without k: at most so many triplets.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    verify : bool
        Measure the residuals, by one product of A with a block more. Not done without k.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    callback, timeout, max_products, history
        As for `cg`; an iteration is a round.

    Returns
    -------
    SvdLowrankResult
        The tuple (U, s, Vh), U of shape (m, k), s descending, Vh of shape (k, n), with
        `error_estimate`, `residuals` and an account of the run. The element of largest modulus of
        each column of U is real and positive. Where A has a lower rank than k, s ends with zeros.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    With b = `block` and q = `n_iter`, (2q + 2) b products, and b to measure the residuals. Block
    Krylov keeps (q + 1) b vectors of each side, orthogonalised twice: 8 (q + 1)² b² (m + n)
    operations; what A is between them comes from the recurrence, without another product. Its space
    has all that subspace iteration with as many products could find, and its error falls as a
    Chebyshev polynomial of the gap rather than a power. Every product is orthonormalised before
    the next, so that no power overflows. Directions are dropped that are rounding beside ‖A‖.

    A space from one sketch holds b copies of a multiple value; when it ends before k triplets are
    found, another sketch is added.

    References
    ----------
    Musco, Musco: Randomized block Krylov methods for stronger and faster approximate singular value
    decomposition. NIPS 2015.

    Halko, Martinsson, Tropp: Finding structure with randomness: probabilistic algorithms for
    constructing approximate matrix decompositions. SIAM Review 53, 2011.

    Epperly, Tropp: Efficient error and variance estimation for randomized matrix computations. SIAM
    J. Sci. Comput. 46, 2024.
    """
    if method not in _METHODS:
        raise ValueError(f'method is {method!r}; pass "block_krylov" or "subspace"')
    if k is None and tol is None:
        raise ValueError("neither k nor tol was given; pass one of them, or both")
    subspace = method == "subspace"
    if subspace and (k is None or tol is not None):
        raise ValueError('method="subspace" takes k and no tol; pass method="block_krylov"')
    A = aslinearoperator(A)
    least = min(A.shape)
    tol = 0.0 if tol is None else _arrays.positive(tol, "tol")
    wanted = 0 if k is None else _rank(k, "k", A)
    if max_rank is not None and k is not None:
        raise ValueError("max_rank goes with tol alone; with k, leave it out")
    most = least if max_rank is None else _rank(max_rank, "max_rank", A)
    more = max(10, wanted // 10)
    if oversampling is not None:
        more = _arrays.integer(oversampling, "oversampling", 0)
    columns = min(wanted + more, least)
    # Eight columns fill the registers; twice as many pay for reading a matrix as well.
    step = 16 if isinstance(A._node, _nodes.Dense) else 8
    width = columns if subspace else 16 if k is None else -(-columns // (4 * step)) * step
    if block is not None:
        width = _arrays.integer(block, "block")
        if subspace and width < wanted:
            raise ValueError(f'block is {width}; method="subspace" needs at least k = {wanted}')
    width = max(min(width, least), 1)
    rounds = 4 if subspace else max(-(-2 * columns // width), 5) if tol == 0.0 else least
    if n_iter is not None:
        rounds = _arrays.integer(n_iter, "n_iter", 0)
    if (rounds + 1) * width < wanted and not subspace:
        raise ValueError(
            f"n_iter = {rounds} rounds of blocks of {width} make {(rounds + 1) * width} vectors, "
            f"fewer than k = {wanted}: raise n_iter or block"
        )
    norm = known_norm(A)
    if max_products is not None:
        # The first that a result can be made of.
        first = (2 * rounds + 2 if subspace else 2) * width
        first += _PROBES if k is None and norm == 0.0 else 0
        if _arrays.integer(max_products, "max_products") < first:
            raise ValueError(
                f"max_products is {max_products}; pass at least {first}, or a smaller block"
            )
    seed = _arrays.seed_of(seed)
    framework, core, dtype = place(A, like)
    watch = Watch("svd_lowrank", framework, callback, history, timeout, max_products)
    options = {
        "k": wanted,
        "tol": tol,
        "block": width,
        "n_iter": rounds,
        "max_rank": most,
        "method": _METHODS.index(method),
        "norm": norm,
        "probes": _PROBES,
        "verify": bool(verify),
        "seed": seed,
    }
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        U, s, Vh, residuals, outcome = core.svd_lowrank(run(A), options, watch.monitor)
        account = account_of(outcome, watch.history)
        account["message"] = _message(account, tol)
        account |= {
            "error_estimate": outcome["error"],
            "error_kind": _KINDS[outcome["kind"]],
            "error_stderr": outcome["stderr"],
            "residuals": residuals,
            "rank": outcome["rank"],
            "basis": outcome["basis"],
            "norm": outcome["norm"],
            "passes": outcome["passes"],
            "method": method,
            "seed": seed,
        }
        values = s.astype(np.dtype(dtype.char.lower()))
        ending.result = result = SvdLowrankResult(
            (
                framework.from_columns(U),
                framework.from_numpy(values),
                framework.from_run(Vh),
            ),
            **account,
        )
    return result


def _message(account: dict[str, Any], tol: float) -> str:
    if tol == 0.0 and account["status"] is Status.converged:
        return f"converged at iteration {account['iterations']}: all rounds asked for were made"
    return str(account["message"])


def _rank(value: Any, name: str, A: LinearOperator) -> int:
    """Return a number of columns that A has room for."""
    rank = _arrays.integer(value, name)
    if rank > min(A.shape):
        raise ValueError(
            f"{name} is {rank}; A of shape {A.shape} has rank {min(A.shape)} at most: pass no more"
        )
    return rank


def known_norm(A: LinearOperator) -> float:
    """Return ‖A‖_F of an array in memory, and 0 where its elements are not known or not finite."""
    node = A._node
    if isinstance(node, _nodes.Sparse):
        if not _distinct(node.indptr, node.indices):
            return 0.0
    elif not isinstance(node, _nodes.Dense):
        return 0.0
    values = node.values.ravel(order="K")
    if values.dtype.kind == "c":
        values = values.view(values.real.dtype)
    norm = _norm(values, 1.0)
    if 1e-140 < norm < 1e140:
        return norm
    # Squares have overflowed, or elements been lost.
    top = float(np.abs(values).max(initial=0.0))
    return top * _norm(values, 1.0 / top) if 0.0 < top < math.inf and 1.0 / top < math.inf else 0.0


def _norm(values: npt.NDArray[Any], scale: float) -> float:
    """Return ‖scale · values‖, in double precision, a piece at a time."""
    squares = 0.0
    size = 1 << 18
    for start in range(0, values.size, size):
        piece = values[start : start + size].astype(np.float64, copy=False)
        if scale != 1.0:
            piece = piece * scale
        with np.errstate(over="ignore", invalid="ignore"):
            squares += float(np.dot(piece, piece))
    return math.sqrt(squares)


def _distinct(indptr: npt.NDArray[Any], indices: npt.NDArray[Any]) -> bool:
    """Return whether the order of a compressed matrix tells that no element comes in two parts."""
    if indices.size < 2:
        return True
    rises = np.diff(indices) > 0
    starts = indptr[1:-1]
    rises[starts[(starts > 0) & (starts < indices.size)] - 1] = True
    return bool(rises.all())
