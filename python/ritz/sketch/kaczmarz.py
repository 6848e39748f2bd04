"""Linear systems from single rows of A, or from a few random combinations of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._linear import preconditioner, require_self_adjoint, worst_of
from ritz._nodes import Binding
from ritz._run import Callbacks, LinearProblem, Watch, tree_of_solution
from ritz.operators import LinearOperator, aslinearoperator, working_dtype
from ritz.results import Counts, LinearResult, Status, account_of, info_of

__all__ = ["KaczmarzSolution", "ProjectionSolution", "kaczmarz", "sketch_and_project"]

_METHODS = ("auto", "plain", "extended")
_SKETCHES = ("gaussian", "sparse_stack", "rows", "count_sketch")
_PROJECTIONS = ("project", "spd")


class KaczmarzSolution(LinearResult):
    """The result (x, info) of `ritz.kaczmarz`.

    Attributes
    ----------
    method : str
        "plain" or "extended", whichever ended the run.
    iterations : int
        Steps made, each with `block` rows.
    products : Counts
        Products with A and Aᴴ: those that evaluated residuals, and the rows and columns used as
        parts of such, a row 1/m and a column 1/n, rounded up.
    residual, target : float
        ‖b − A x‖ and max(rtol ‖b‖, atol).
    normal_residual, normal_target : float
        ‖Aᴴ(b − A x)‖ and rtol ‖A‖_F ‖b − A x‖, where they were evaluated last.
    norm_a, norm_x : float
        ‖A‖_F and ‖x‖.
    row_uses, column_uses : int
        Rows of A used, and columns.
    checks : int
        Evaluations of the true residual.
    passes : float
        Readings of A: row_uses/m + column_uses/n, and those for residuals, norms and the change to
        the extended method.
    seed : int
        Of the rows drawn.
    """

    normal_residual: float
    normal_target: float
    norm_a: float
    norm_x: float
    row_uses: int
    column_uses: int
    checks: int
    passes: float
    seed: int


class ProjectionSolution(LinearResult):
    """The result (x, info) of `ritz.sketch_and_project`.

    Attributes
    ----------
    residual, target : float
        ‖b − A x‖ and max(rtol ‖b‖, atol); an estimate from the sketches unless `verified`.
    norm_a, norm_x : float
        ‖A‖_F, estimated from the sketches, and ‖x‖.
    checks : int
        Evaluations of the true residual.
    d : int
        Columns of the sketch.
    seed : int
        Of the sketches.
    """

    norm_a: float
    norm_x: float
    checks: int
    d: int
    seed: int


def kaczmarz(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    method: str = "auto",
    block: int = 1,
    relaxation: float = 1.0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    check_every: int | None = None,
    seed: int = 0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> KaczmarzSolution:
    """Solve A x = b, or minimise ‖b − A x‖, by steps x + ω aᵢᴴ (bᵢ − aᵢ x)/‖aᵢ‖² along rows of A.

    Parameters
    ----------
    A : array or sparse matrix (m, n), of any shape
        Rows are drawn with probability ‖aᵢ‖²/‖A‖_F²; rows of zeros are skipped.
    b : array (m,) or (m, k)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    x0 : array (n,) or (n, k), optional
        Where to start: of all solutions the one nearest to it is found, so without it the one of
        least norm.
    method : {"auto", "plain", "extended"}
        "plain": for consistent systems. "extended": projections of b on the complements of single
        columns, in turn with those on rows, take off the part of b that A x cannot reach, and x
        becomes the least-squares solution. "auto": plain, and extended from where the residual is
        seen not to fall any more; a consistent system so costs no columns, which are long where A
        is tall.
    block : int
        Rows, and columns, that are projected on together; they are drawn one after another, and
        each once.
    relaxation : float
        ω, between 0 and 2: how much of a projection is made.
    rtol, atol : float
        Converged means ‖r‖ ≤ max(rtol ‖b‖, atol) or, unless "plain", ‖Aᴴr‖ ≤ rtol ‖A‖_F ‖r‖, with
        r = b − A x evaluated.
    maxiter : int, optional
        Steps; by default as many as use max(m, n) rows a thousand times.
    check_every : int, optional
        Steps from one look to the next; by default as many as use min(m, n) rows. A look costs
        nothing: it compares an estimate of the residual, and the true one is evaluated when that
        meets the target or stops falling. The callback, the history and the limits see the looks.
    seed : int
        The rows drawn are a function of it: the same seed gives the same bits.
    callback, timeout, max_products, history
        As for `cg`; the residual of a look is the estimate.

    Returns
    -------
    KaczmarzSolution
        The tuple (x, info) with an account of the run. For several right-hand sides, solved one
        after another, that of the first that failed, or of the slowest, and `columns` of all.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used, above all an operator whose rows are not in memory:
        `sketch_and_project` takes those.

    Notes
    -----
    E‖x − x*‖² falls by 1 − ω(2 − ω)/κ² a step, κ = ‖A‖_F ‖A⁺‖ ≥ √n: a matter of n steps for a
    digit or two where A is well-conditioned, however many rows there are, and hopeless where it is
    not. `stagnation`: while the steps doubled, the residual has fallen by less than 3 %, and an
    eighth of `maxiter` is over.

    A step costs 4 n for a row, 4 n c + n c² for a block of c of them, for the extended method the
    same with m for n in addition; the norms of the rows take one reading of A, a true residual one
    (two of a sparse A). Memory: O(m + n), and a copy of A where rows, or for the extended method
    columns, do not lie together in memory.

    References
    ----------
    Strohmer, Vershynin: A randomized Kaczmarz algorithm with exponential convergence. J. Fourier
    Anal. Appl. 15, 2009. Zouzias, Freris: Randomized extended Kaczmarz for solving least squares.
    SIAM J. Matrix Anal. Appl. 34, 2013. Needell, Tropp: Paved with good intentions: analysis of a
    randomized block Kaczmarz method. Linear Algebra Appl. 441, 2014.
    """
    _one_of("method", method, _METHODS)
    A = aslinearoperator(A)
    node = A._node
    if not isinstance(node, _nodes.Dense | _nodes.Sparse):
        raise TypeError(
            f"A is {A!r}, whose rows are not in memory; kaczmarz needs an array or a sparse "
            "matrix: sketch_and_project takes any operator with an adjoint"
        )
    m, n = A.shape
    options = _common(rtol, atol, relaxation, maxiter, seed)
    options["block"] = _arrays.integer(block, "block")
    if check_every is not None:
        options["check_every"] = _arrays.integer(check_every, "check_every")
    tree = tree_of_solution(A, b, x0)
    B, framework = _arrays.array(b if A.codomain is None else A.codomain.flat(b), "b")
    if B.ndim not in (1, 2) or B.shape[0] != m:
        raise ValueError(
            f"b has shape {B.shape}; A of shape {A.shape} needs shape ({m},) or ({m}, k)"
        )
    single = B.ndim == 1 or B.shape[1] == 1
    dtype = working_dtype([A], [B.dtype])
    B = np.asfortranarray(_arrays.cast(B, dtype, "b").reshape(m, -1))
    k = B.shape[1]
    start = None
    if x0 is not None:
        X0, _ = _arrays.array(x0 if A.domain is None else A.domain.flat(x0), "x0")
        if X0.size != n * k or X0.shape[0] != n:
            wanted = f"({n},)" if single else f"({n}, {k})"
            raise ValueError(f"x0 has shape {X0.shape}; the solution has {wanted}")
        start = np.asfortranarray(_arrays.cast(X0, dtype, "x0").reshape(n, k))
    watch = Watch("kaczmarz", framework, callback, history, timeout, max_products, tree)
    if min(m, n, k) == 0:
        empty = np.zeros(n if single else (n, k), dtype)
        return KaczmarzSolution(
            (framework.from_numpy(empty), 0), **_nothing("plain", seed), **_NO_ROWS
        )
    monitors = [watch.monitor, *(watch.column(j) for j in range(1, k))]
    rest = (B, start, options, _METHODS.index(method), monitors)
    with Binding(dtype, framework) as run, watch.running() as ending:
        X, outcomes = _rows_of(A, run, rest)
        x = framework.from_numpy(X[:, 0] if single else X)
        if tree is not None:
            x = tree.unflatten(x)
        columns = tuple(
            _kaczmarz_column(
                x if single else x[:, j],
                outcome,
                monitor.history if history else None,
                options["seed"],
            )
            for j, (outcome, monitor) in enumerate(zip(outcomes, monitors, strict=True))
        )
        ending.result = result = columns[0] if single else _together(x, columns)
    return result


def sketch_and_project(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    sketch: str = "gaussian",
    d: int | None = None,
    nnz: int = 8,
    M: Any = None,
    method: str = "project",
    relaxation: float = 1.0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    maxiter: int | None = None,
    seed: int = 0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> ProjectionSolution:
    """Solve A x = b by projections on the solutions of Sᴴ A x = Sᴴ b, with a new random S each.

    Parameters
    ----------
    A : operator (m, n), of any shape
        Anything that `aslinearoperator` takes, with its adjoint unless `method="spd"`. The system
        must be consistent.
    b : array (m,)
        Of NumPy, torch or JAX, on the CPU; the solution is of the same kind.
    x0 : array (n,), optional
        Where to start: of all solutions the one nearest to it in the norm of M⁻¹ is found.
    sketch : {"gaussian", "sparse_stack", "count_sketch", "rows"}
        Sᴴ: a `ritz.sketch` operator of d rows, or d rows of the identity drawn with probability
        ‖aᵢ‖²/‖A‖_F² (aᵢᵢ/trace A for "spd"), uniform where A is an operator. With one row it is
        Kaczmarz's method.
    d : int, optional
        Columns of S; by default 32, or min(m, n) if that is less.
    nnz : int
        Nonzeros in a column of a "sparse_stack".
    M : operator (n, n), optional
        B⁻¹, positive definite: projections are orthogonal in the norm of B. As good a
        preconditioner as it approximates (Aᴴ A)⁻¹.
    method : {"project", "spd"}
        "spd": for a positive definite A, B = A, so that steps are x − S (Sᴴ A S)⁺ Sᴴ(A x − b); with
        rows of the identity, Newton's method on blocks of coordinates.
    relaxation : float
        ω, between 0 and 2: how much of a projection is made.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual.
    maxiter : int, optional
        By default 1000 max(m, n)/d.
    seed : int
        Of the sketches: the same seed gives the same bits.
    callback, timeout, max_products, history
        As for `cg`; the residual of an iteration is an estimate from the sketches, ‖Sᴴ(A x − b)‖.

    Returns
    -------
    ProjectionSolution
        The tuple (x, info) with an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    x⁺ = x − ω B⁻¹ Aᴴ S (Sᴴ A B⁻¹ Aᴴ S)⁺ Sᴴ(A x − b). An iteration on an operator costs d adjoint
    products in a block ("spd": d products); on an array what Sᴴ A costs, d n for rows; d products
    with M. One product evaluates a residual, when the estimate meets the target. Memory: 2 d n
    numbers, and d m for an operator.

    As a method for all systems, Krylov's is better (`lsqr`, `minres`, `cg`): it uses all products
    so far, this one only the last. It is for problems of which a product with all of A is dear
    and a few rows are cheap.

    References
    ----------
    Gower, Richtárik: Randomized iterative methods for linear systems. SIAM J. Matrix Anal. Appl.
    36, 2015.
    """
    _one_of("method", method, _PROJECTIONS)
    _one_of("sketch", sketch, _SKETCHES)
    A = aslinearoperator(A)
    m, n = A.shape
    spd = method == "spd"
    if spd:
        require_self_adjoint(A, "A", 'sketch_and_project with method="spd"')
        if M is not None:
            raise ValueError('M cannot be combined with method="spd", in which A is the metric')
    if M is not None:
        M = preconditioner(M, A, "sketch_and_project", True)
    options = _common(rtol, atol, relaxation, maxiter, seed)
    options["spd"] = spd
    options["d"] = max(min(32, m, n), 1) if d is None else _arrays.integer(d, "d")
    nnz = 1 if sketch == "count_sketch" else _arrays.integer(nnz, "nnz")
    kind = 1 if sketch == "count_sketch" else _SKETCHES.index(sketch)
    problem = LinearProblem(A, b, x0, [M])
    watch = Watch(
        "sketch_and_project",
        problem.framework,
        callback,
        history,
        timeout,
        max_products,
        problem.tree,
    )
    if min(m, n) == 0:
        x = problem.vector(np.zeros(n, problem.dtype))
        more = {"norm_a": 0.0, "norm_x": 0.0, "checks": 0, "d": options["d"]}
        return ProjectionSolution((x, 0), **_nothing(sketch, seed), **more)
    with Binding(problem.dtype, problem.framework) as run, watch.running() as ending:
        metric = None if M is None else run(M)
        rest = (problem.b, problem.x0, metric, kind, nnz, options, watch.monitor)
        X, outcome = _sketches_of(A, run, rest)
        account = account_of(outcome, watch.history)
        more = {name: outcome[name] for name in ("norm_a", "norm_x", "checks")}
        more |= {"d": options["d"], "seed": options["seed"], "method": sketch}
        info = info_of(account["status"], account["iterations"])
        ending.result = result = ProjectionSolution(
            (problem.vector(X[:, 0]), info), **account, **more
        )
    return result


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        names = ", ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{name} is {value!r}; pass one of {names}")


def _common(
    rtol: float, atol: float, relaxation: float, maxiter: int | None, seed: int
) -> dict[str, Any]:
    """Return the options that both methods have, checked."""
    omega = _arrays.positive(relaxation, "relaxation")
    if omega >= 2.0:
        raise ValueError(f"relaxation is {relaxation!r}; pass a number between 0 and 2")
    options = {
        "rtol": _arrays.nonnegative(rtol, "rtol"),
        "atol": _arrays.nonnegative(atol, "atol"),
        "relaxation": omega,
        "seed": _arrays.seed_of(seed),
    }
    if maxiter is not None:
        options["max_iterations"] = _arrays.integer(maxiter, "maxiter")
    return options


def _arrays_of(node: _nodes.Sparse, run: Binding) -> tuple[Any, ...]:
    values = node.converted(run, "the matrix")
    return node.layout == "csc", node.indptr, node.indices, values


def _rows_of(A: LinearOperator, run: Binding, rest: tuple[Any, ...]) -> Any:
    """Return what the compiled Kaczmarz gives, its products counted."""
    node = A._node
    if isinstance(node, _nodes.Sparse):
        solve = getattr(run.core, f"kaczmarz_sparse_{node.index}")
        X, outcomes = solve(run(A), *_arrays_of(node, run), *rest)
        counted = [o["checks"] for o in outcomes]  # by the operator
    else:
        assert isinstance(node, _nodes.Dense)
        X, outcomes = run.core.kaczmarz(node.converted(run, "the matrix"), *rest)
        counted = [0] * len(outcomes)
    for outcome, checks in zip(outcomes, counted, strict=True):
        matvec, rmatvec, columns = outcome["products"]
        A._counter.count(matvec - checks, rmatvec - checks, columns)
    return X, outcomes


def _sketches_of(A: LinearOperator, run: Binding, rest: tuple[Any, ...]) -> Any:
    """Return what the compiled sketch-and-project for this kind of A gives."""
    node = A._node
    if isinstance(node, _nodes.Dense):
        values = node.converted(run, "the matrix")
        return run.core.sketch_and_project_dense(run(A), values, *rest)
    if isinstance(node, _nodes.Sparse):
        solve = getattr(run.core, f"sketch_and_project_sparse_{node.index}")
        return solve(run(A), *_arrays_of(node, run), *rest)
    return run.core.sketch_and_project(run(A), *rest)


_OF_ROWS = (
    "normal_residual",
    "normal_target",
    "norm_a",
    "norm_x",
    "row_uses",
    "column_uses",
    "checks",
    "passes",
)
_NO_ROWS: dict[str, Any] = dict.fromkeys(_OF_ROWS, 0)


def _kaczmarz_column(
    x: Any, outcome: dict[str, Any], history: npt.NDArray[np.float64] | None, seed: int
) -> KaczmarzSolution:
    account = account_of(outcome, history)
    more = {name: outcome[name] for name in _OF_ROWS}
    more |= {"method": _METHODS[outcome["method"]], "seed": seed}
    info = info_of(account["status"], account["iterations"])
    return KaczmarzSolution((x, info), **account, **more)


def _together(x: Any, columns: tuple[KaczmarzSolution, ...]) -> KaczmarzSolution:
    """Return the result of many right-hand sides: the account of the worst, and all of them."""
    worst, text = worst_of(columns, "columns", "column {}")
    account = {
        **worst.__dict__,
        "message": text,
        "products": Counts(*np.sum([c.products for c in columns], axis=0).tolist()),
        "verified": all(c.verified for c in columns),
        "history": None,
        "seconds": sum(c.seconds for c in columns),
        "columns": columns,
    }
    for name in ("iterations", "row_uses", "column_uses", "checks", "passes"):
        account[name] = sum(getattr(c, name) for c in columns)
    return KaczmarzSolution((x, info_of(worst.status, worst.iterations)), **account)


def _nothing(method: str, seed: int) -> dict[str, Any]:
    """Return the account of a run that had nothing to solve for."""
    return {
        "status": Status.converged,
        "message": "converged: there is nothing to solve for",
        "iterations": 0,
        "products": Counts(),
        "preconditioner_products": 0,
        "residual": 0.0,
        "target": 0.0,
        "verified": True,
        "history": None,
        "seconds": 0.0,
        "method": method,
        "seed": _arrays.seed_of(seed),
    }
