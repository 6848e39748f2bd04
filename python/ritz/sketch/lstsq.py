"""Linear least squares for tall matrices, by a sketch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._linear import worst_of
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, tree_of_solution
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Counts, LinearResult, Status, account_of, info_of

__all__ = ["LstsqSolution", "lstsq"]

_METHODS = ("auto", "spir", "momentum", "qr")


class LstsqSolution(LinearResult):
    """The result (x, info) of `ritz.lstsq`.

    Attributes
    ----------
    residual : float
        ‖[b − A x; damp x]‖.
    backward_error : float
        An estimate of the least ‖[δA D, δb ‖A D‖_F/‖b‖]‖_F / ‖A D‖_F with which x is the minimiser
        for A + δA and b + δb, D the scaling of the columns of A to norm 1: right within a factor of
        √2 (Karlson and Waldén) and the distortion of the sketch, 1 ± √(n/d). It was evaluated on
        the true residual if `verified`.
    target : float
        What `backward_error` was asked to come down to.
    normal_residual : float
        ‖Aᴴ(b − A x) − damp² x‖.
    norm_x : float
        ‖x‖.
    condition : float
        An estimate of cond(A D) from the sketch; with `damp` of the augmented matrix.
    rank : int
        The numerical rank of A D.
    d : int
        Rows of the sketch; m where A itself was factored.
    seed : int
        Of the sketch.
    refinements : int
        Times that the residual was solved for.
    passes : int
        Readings of A, all columns of b together; two a product with Aᴴ A if A is not an array.
    """

    backward_error: float
    normal_residual: float
    norm_x: float
    condition: float
    rank: int
    d: int
    seed: int
    refinements: int
    passes: int


def lstsq(
    A: Any,
    b: Any,
    *,
    damp: float = 0.0,
    method: str = "auto",
    d: int | None = None,
    nnz: int = 8,
    rtol: float | None = None,
    maxiter: int | None = None,
    seed: int = 0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> LstsqSolution:
    """Minimise ‖b − A x‖² + damp² ‖x‖² for a tall A, as accurately as Householder QR does.

    Parameters
    ----------
    A : operator (m, n) with m ≥ n
        Anything that `aslinearoperator` takes, with its adjoint; arrays and sparse matrices are
        sketched in one reading.
    b : array (m,) or (m, k), or tree
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    damp : float
        The Tikhonov parameter.
    method : {"auto", "spir", "momentum", "qr"}
        "spir": the triangle of a sketch of A preconditions conjugate gradients on the normal
        equations, and the residual is solved for again. "momentum": the same with a heavy ball
        instead of conjugate gradients, which take over where the sketch is too poor for it. "qr":
        the triangle of A itself, refined likewise. "auto": "qr" where a model of the work prefers
        it, that is for few columns or m not much above n; "spir" elsewhere.
    d : int, optional
        Rows of the sketch, more than n; an iteration gains a factor of √(n/d). By default from 4 n
        to 32 n, by the model. With m or more no sketch is made, as for "qr".
    nnz : int
        Nonzeros in a column of the sketch, a `SparseStack`.
    rtol : float, optional
        Converged means backward_error ≤ rtol, evaluated on the true residual. By default eps of
        the element type, as of LAPACK's solvers.
    maxiter : int, optional
        By default 1000; 20 to 30 are common.
    seed : int
        Of the sketch: the same seed gives the same bits.
    callback, timeout, max_products, history
        As for `cg`; the residual of an iteration is the backward error that it would leave in exact
        arithmetic, the largest of the columns.

    Returns
    -------
    LstsqSolution
        The tuple (x, info) with `backward_error`, `condition`, `rank` and an account of the run;
        for several right-hand sides that of the first that failed, or of the slowest, and `columns`
        of all.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, above all an A with fewer rows than columns: `lsqr`,
        `lsmr` and `craig` take those.

    Notes
    -----
    If A is singular to working precision, x has the least norm, as SciPy's has; columns are scaled
    to norm 1 before, so that badly scaled ones are no loss of rank. Two solves for the residual
    suffice for the backward error of QR at any condition; the first alone leaves what the normal
    equations lose. `precision_limit`: the error wanted is below what rounding allows.

    An array is read once for the sketch, once an iteration and once a refinement, for up to eight
    columns of b together. Work: 16 m n for the sketch, 2 d n² for its triangle, 4 m n an iteration.
    Memory: d n numbers for the sketch and n² for the triangle and for each of up to eight columns
    of b; "qr" needs no more for an array, but m n numbers to form any other A. An operator is asked
    for n products with the columns of the identity, in blocks of 32, and for one product each with
    A and Aᴴ an iteration: `lsqr` needs less unless A is ill-conditioned or b has many columns.

    References
    ----------
    Epperly, Meier, Nakatsukasa: Fast randomized least-squares solvers can be just as accurate and
    stable as classical direct solvers. arXiv:2406.03468, 2024. Rokhlin, Tygert: A fast randomized
    algorithm for overdetermined linear least-squares regression. PNAS 105, 2008.
    """
    if method not in _METHODS:
        names = ", ".join(f'"{name}"' for name in _METHODS)
        raise ValueError(f"method is {method!r}; pass one of {names}")
    A = aslinearoperator(A)
    m, n = A.shape
    if m < n:
        raise ValueError(
            f"A has shape {A.shape}; lstsq needs at least as many rows as columns: lsqr, lsmr and "
            "craig take any shape"
        )
    options = {"damp": _arrays.nonnegative(damp, "damp")}
    if d is not None:
        options["d"] = _arrays.integer(d, "d", n + 1)
    if rtol is not None:
        options["rtol"] = _arrays.nonnegative(rtol, "rtol")
    if maxiter is not None:
        options["max_iterations"] = _arrays.integer(maxiter, "maxiter")
    nnz = _arrays.integer(nnz, "nnz")
    seed = _arrays.seed_of(seed)
    tree = tree_of_solution(A, b, None)
    B, framework = _arrays.array(b if A.codomain is None else A.codomain.flat(b), "b")
    if B.ndim not in (1, 2) or B.shape[0] != m:
        raise ValueError(
            f"b has shape {B.shape}; A of shape {A.shape} needs shape ({m},) or ({m}, k)"
        )
    single = B.ndim == 1 or B.shape[1] == 1
    dtype = working_dtype([A], [B.dtype])
    B = np.asfortranarray(_arrays.cast(B, dtype, "b").reshape(m, -1))
    watch = Watch("lstsq", framework, callback, history, timeout, max_products, tree)
    if min(n, B.shape[1]) == 0:
        empty = np.zeros(n if single else (n, B.shape[1]), dtype)
        return _nothing(framework.from_numpy(empty), seed)
    with Binding(dtype, framework) as run, watch.running() as ending:
        rest = (B, options, _METHODS.index(method), seed, nnz, watch.monitor)
        X, outcomes, shared = _solve(A, run, rest)
        x = framework.from_numpy(X[:, 0] if single else X)
        if tree is not None:
            x = tree.unflatten(x)
        more = {name: shared[name] for name in ("d", "rank", "condition", "passes")}
        more |= {"seed": seed, "method": _METHODS[shared["method"]]}
        columns = tuple(
            _column(x if single else x[:, j], outcome, watch.history, more)
            for j, outcome in enumerate(outcomes)
        )
        ending.result = result = columns[0] if single else _together(x, columns, shared)
    return result


def _solve(A: LinearOperator, run: Binding, rest: tuple[Any, ...]) -> Any:
    """Return what the compiled method for this kind of A gives."""
    node = A._node
    if isinstance(node, _nodes.Dense):
        found = run.core.lstsq(node.converted(run, "the matrix"), *rest)
        A._counter.count(*found[2]["products"])
        return found
    if isinstance(node, _nodes.Sparse):
        solve = getattr(run.core, f"lstsq_sparse_{node.index}")
        values = node.converted(run, "the matrix")
        by_columns = node.layout == "csc"
        return solve(run(A), by_columns, node.indptr, node.indices, values, *rest)
    return run.core.lstsq_operator(run(A), *rest)


def _column(
    x: Any,
    outcome: dict[str, Any],
    history: npt.NDArray[np.float64] | None,
    more: dict[str, Any],
) -> LstsqSolution:
    account = account_of(outcome, history)
    names = ("backward_error", "normal_residual", "norm_x", "refinements")
    own = {name: outcome[name] for name in names}
    info = info_of(account["status"], account["iterations"])
    return LstsqSolution((x, info), **account, **own, **more)


def _together(x: Any, columns: tuple[LstsqSolution, ...], shared: dict[str, Any]) -> LstsqSolution:
    worst, text = worst_of(columns, "columns", "column {}")
    account = {
        **worst.__dict__,
        "message": text,
        "iterations": shared["iterations"],
        "products": Counts(*shared["products"]),
        "verified": all(c.verified for c in columns),
        "seconds": shared["seconds"],
        "columns": columns,
    }
    return LstsqSolution((x, info_of(worst.status, worst.iterations)), **account)


def _nothing(x: Any, seed: int) -> LstsqSolution:
    return LstsqSolution(
        (x, 0),
        status=Status.converged,
        message="converged: there is nothing to solve for",
        iterations=0,
        products=Counts(),
        preconditioner_products=0,
        residual=0.0,
        target=0.0,
        verified=True,
        history=None,
        seconds=0.0,
        method="qr",
        backward_error=0.0,
        normal_residual=0.0,
        norm_x=0.0,
        condition=1.0,
        rank=0,
        d=0,
        seed=seed,
        refinements=0,
        passes=0,
    )
