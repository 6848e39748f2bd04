"""Linear systems with a square operator of any kind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from ritz import _arrays
from ritz._linear import run, solver
from ritz.operators import aslinearoperator, working_dtype
from ritz.results import LinearResult
from ritz.workspace import Workspace

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Unpack

    from ritz._linear import Common

__all__ = ["Recycle", "bicgstab", "bicgstabl", "fgmres", "gcrodr", "gmres", "idrs", "sgmres"]


@solver
def gmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b, minimising ‖b − A x‖ over Krylov spaces of dimension `restart` in turn.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    b : array (n,) or (n, k)
        As for `cg`.
    x0 : array like b, optional
        A first guess.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol), evaluated on the true residual.
    restart : int, optional
        Iterations in a cycle, at most n; by default 20. It sets the memory.
    maxiter : int, optional
        Iterations, of one product each, over all cycles; by default 10 n. (SciPy's counts cycles.)
    M : operator (n, n), optional
        An approximation of A⁻¹, the same in every product. It stands on the right, so that the
        residual that is minimised and tested is that of A x = b.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        `stagnation` if a whole cycle gained nothing, or if the Krylov space has ended without a
        solution (A is singular): x has the least residual there.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    One product an iteration, one to start from x0, one to verify; M once more a cycle. Memory:
    restart + 1 vectors, with M two more. Traffic: (2 j + 6) n in the j-th step of a cycle, half as
    much again where one orthogonalisation is not enough.

    References
    ----------
    Saad, Schultz: GMRES: a generalized minimal residual algorithm for solving nonsymmetric linear
    systems. SIAM J. Sci. Stat. Comput. 7, 1986.
    """
    options = {"rtol": rtol, "atol": atol, "restart": restart, "maxiter": maxiter}
    return run("gmres", A, b, x0, M, options, LinearResult, "square", **common)


@solver
def fgmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by GMRES with a preconditioner that may change from product to product.

    Parameters
    ----------
    A, b, x0, rtol, atol, restart, maxiter
        As for `gmres`.
    M : operator (n, n), optional
        An approximation of A⁻¹; it may be nonlinear, such as some steps of another solver.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        As of `gmres`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    As `gmres`, but M is asked once an iteration and never again, and what it gave is kept: with M,
    2 restart + 1 vectors.

    References
    ----------
    Saad: A flexible inner-outer preconditioned GMRES algorithm. SIAM J. Sci. Comput. 14, 1993.
    """
    options = {"rtol": rtol, "atol": atol, "restart": restart, "maxiter": maxiter}
    return run("fgmres", A, b, x0, M, options, LinearResult, "square", **common)


@solver
def bicgstab(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by short recurrences: BiCG's polynomial times minimising ones of degree 1.

    Parameters
    ----------
    A, b, x0, rtol, atol
        As for `gmres`.
    maxiter : int, optional
        Iterations, of two products each; by default 10 n.
    M : operator (n, n), optional
        An approximation of A⁻¹, on the right: the residual tested is that of A x = b.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        `breakdown` if an inner product that the recurrence divides by has vanished a second time
        before the residual was halved; the first time another shadow residual is drawn.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Memory: five vectors, seven with M, beside x. Traffic: 20 n an iteration. The residual is not
    monotonic; spectra near the imaginary axis need `bicgstabl`.

    References
    ----------
    Van der Vorst: Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
    nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 13, 1992.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter}
    return run("bicgstab", A, b, x0, M, options, LinearResult, "square", **common)


@solver
def bicgstabl(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    ell: int = 2,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by short recurrences: BiCG's polynomial times minimising ones of degree ℓ.

    Parameters
    ----------
    A, b, x0, rtol, atol, M
        As for `bicgstab`.
    maxiter : int, optional
        Iterations, of 2 ℓ products each; by default 10 n.
    ell : int
        The degree ℓ; 2 takes in pairs of nonreal eigenvalues.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        As of `bicgstab`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Memory: 2 ℓ + 3 vectors, two more with M, beside x. Traffic: (4 ℓ² + 18 ℓ + 5) n an iteration.

    References
    ----------
    Sleijpen, Fokkema: BiCGstab(ℓ) for linear equations involving unsymmetric matrices with complex
    spectrum. ETNA 1, 1993.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "ell": ell}
    return run("bicgstabl", A, b, x0, M, options, LinearResult, "square", **common)


@solver
def idrs(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    maxiter: int | None = None,
    M: Any = None,
    s: int = 4,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by short recurrences, forcing the residual into ever smaller spaces.

    Parameters
    ----------
    A, b, x0, rtol, atol, M
        As for `bicgstab`.
    maxiter : int, optional
        Iterations, of one product each; by default 10 n.
    s : int
        Dimension of the shadow space, at most n: more of it comes closer to GMRES without restarts,
        in more memory.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        As of `bicgstab`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Memory: 3 s + 3 vectors, one more with M, beside x. The shadow space is random with a fixed
    seed: a solve has the same bits every time.

    References
    ----------
    Van Gijzen, Sonneveld: Algorithm 913: An elegant IDR(s) variant that efficiently exploits
    biorthogonality properties. ACM Trans. Math. Softw. 38, 2011.
    """
    options = {"rtol": rtol, "atol": atol, "maxiter": maxiter, "s": s}
    return run("idrs", A, b, x0, M, options, LinearResult, "square", **common)


class Recycle:
    """What `gcrodr` learns of an operator, carried from one system to the next.

    Parameters
    ----------
    same_operator : bool, optional
        Whether A M is the same operator from now on. By default each run finds out, by one product;
        setting the space up for another operator takes k.

    Notes
    -----
    One run at a time. A space whose set-up has not paid over three systems is dropped and built
    anew. Changing n, k, restart or the element type begins anew as well. Memory: that of the
    solver's workspace, kept.
    """

    def __init__(self, same_operator: bool | None = None) -> None:
        self.same_operator = same_operator
        self._workspace: Workspace | None = None
        self._creating = threading.Lock()

    def _lend(self, n: int, dtype: np.dtype[Any], restart: int) -> Workspace:
        with self._creating:
            if self._workspace is None or self._workspace.dtype != dtype:
                self._workspace = Workspace("gcrodr", n, dtype=dtype, restart=restart)
            return self._workspace

    @property
    def bytes(self) -> int:
        """Memory held."""
        return 0 if self._workspace is None else self._workspace.bytes

    def __repr__(self) -> str:
        return f"<Recycle: {self.bytes} bytes>"


@solver
def gcrodr(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int = 40,
    recycle: Recycle | None = None,
    k: int = 20,
    maxiter: int | None = None,
    M: Any = None,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by GMRES that keeps approximate eigenvectors between cycles and systems.

    Parameters
    ----------
    A, b, x0, rtol, atol, maxiter, M
        As for `gmres`.
    restart : int
        Dimension of a cycle's space, kept vectors included; at most n.
    recycle : Recycle, optional
        Carried from system to system; the space that it holds is used and renewed.
    k : int
        Vectors kept, fewer than `restart`: those of the eigenvalues nearest 0.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`; a run with `recycle` works in the memory of that.

    Returns
    -------
    LinearResult
        With `recycled`, the number of vectors that the run started from.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    One product an iteration, and with `recycle` one to look whether A has changed, k if it has.
    Memory: restart + k + 2 vectors, one more with M. How much recycling saves depends on the
    operators; where eigenvalues near 0 slow restarts down and A changes little, most of the work.

    References
    ----------
    Parks, de Sturler, Mackey, Johnson, Maiti: Recycling Krylov subspaces for sequences of linear
    systems. SIAM J. Sci. Comput. 28, 2006.
    """
    options = {"rtol": rtol, "atol": atol, "restart": restart, "k": k, "maxiter": maxiter}
    if recycle is not None:
        if not isinstance(recycle, Recycle):
            raise TypeError(f"recycle is {recycle!r}; pass a ritz.Recycle()")
        if common.get("workspace") is not None:
            raise ValueError("workspace cannot be combined with recycle, which holds one")
        A = aslinearoperator(A)
        right, _ = _arrays.array(b if A.codomain is None else A.codomain.flat(b), "b")
        if common.get("batched") or (right.ndim == 2 and right.shape[1] != 1):
            raise ValueError(f"recycle is for one right-hand side; b has shape {right.shape}")
        M = None if M is None else aslinearoperator(M, "M")
        dtype = working_dtype([A, M], [right.dtype])
        common["workspace"] = recycle._lend(A.shape[1], dtype, _arrays.integer(restart, "restart"))
        options["recycle"] = True
        if recycle.same_operator is not None:
            options["same_operator"] = bool(recycle.same_operator)
    return run("gcrodr", A, b, x0, M, options, LinearResult, "square", **common)


@solver
def sgmres(
    A: Any,
    b: Any,
    x0: Any = None,
    *,
    rtol: float = 1e-5,
    atol: float = 0.0,
    restart: int | None = None,
    maxiter: int | None = None,
    M: Any = None,
    truncation: int = 4,
    seed: int = 0,
    **common: Unpack[Common],
) -> LinearResult:
    """Solve A x = b by GMRES whose basis is orthogonal to its neighbours only, by a random sketch.

    Parameters
    ----------
    A, b, x0, rtol, atol, M
        As for `gmres`.
    restart : int, optional
        Iterations in a cycle, at most n; by default 100. It sets the memory.
    maxiter : int, optional
        Iterations, of one product each, over all cycles; by default 10 n.
    truncation : int
        Basis vectors that a new one is made orthogonal to. Doubled from cycle to cycle where the
        basis becomes too ill-conditioned; from `restart` on, the method is GMRES.
    seed : int
        Of the sketches: the same seed gives the same bits.
    callback, verify, timeout, max_products, history, out, workspace, x_dtype, batched, block
        As for `cg`.

    Returns
    -------
    LinearResult
        As of `gmres`. The residuals of `history`, and that of a run with `verify=False`, are
        estimates that exceed the true ones, by 15 to 40 % mostly, in all but one of some thousand
        iterations.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used. Numerical trouble is a status.

    Notes
    -----
    With a sketch S of 4 (restart + 1) rows, drawn anew for each cycle, ‖S (b − A x)‖ is minimised
    over the Krylov space: the residual is 1.02 to 1.2 times that of GMRES, in about as many
    iterations. A cycle ends early where the rounding of an ill-conditioned basis would spoil it;
    one that gains little is followed by cycles of GMRES.

    One product an iteration, and one a cycle for the true residual; M once more a cycle. Memory:
    restart + 2 vectors, with M one more. Traffic: (2 truncation + 5) n and a sketch, however long
    the cycle; GMRES takes (restart + 6) n on average, and half as much again.

    References
    ----------
    Nakatsukasa, Tropp: Fast and accurate randomized algorithms for linear systems and eigenvalue
    problems. SIAM J. Matrix Anal. Appl. 45, 2024. Burke, Carson, Ma: On the numerical stability of
    sketched GMRES. arXiv 2503.19086, 2025.
    """
    options = {
        "rtol": rtol,
        "atol": atol,
        "restart": restart,
        "maxiter": maxiter,
        "truncation": truncation,
        "seed": seed,
    }
    return run("sgmres", A, b, x0, M, options, LinearResult, "square", **common)
