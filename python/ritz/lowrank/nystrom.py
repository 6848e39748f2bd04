"""The Nyström approximation of a positive semidefinite operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._core import DeviceArray
from ritz._device import place
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.frameworks import Framework
from ritz.frameworks.cuda import CudaArrays
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Result, Status, account_of

__all__ = ["NystromResult", "nystrom"]

Array = npt.NDArray[Any]
# (n, r) in host memory, or on a device its transpose.
Columns: TypeAlias = Array | DeviceArray


class NystromResult(Result):
    """The result (U, lam) of `ritz.nystrom`.

    Attributes
    ----------
    rank : int
        Columns of U: those asked for, or fewer of a run that was stopped, or where the products
        are so inexact that the others are noise.
    error_estimate : float
        An estimate of ‖A − Â‖_F, leave-one-out: the root mean square, over the random vectors, of
        what the approximation without one of them leaves of its product. Unbiased for the square of
        the error of one column less; not below the rounding of the products.
    shift : float
        What was added to A, and taken off lam again, to keep the factorisation stable.
    method : str
        "nystrom".
    seed : int
        Of the random vectors.
    """

    rank: int
    error_estimate: float
    shift: float
    method: str
    seed: int
    _setting: tuple[Columns, Array, Framework, LinearOperator]

    @property
    def U(self) -> Any:
        """The orthonormal eigenvectors of Â, one a column."""
        return self[0]

    @property
    def lam(self) -> Any:
        """Its eigenvalues, descending, none negative."""
        return self[1]

    @property
    def operator(self) -> LinearOperator:
        """Â = U diag(lam) Uᴴ, symmetric, on the same vectors and trees as A."""
        U, lam, framework, A = self._setting
        node = Eigenfactors(U, lam, framework)
        return LinearOperator._of(node, A.shape, True, A.domain, A.codomain)

    def __repr__(self) -> str:
        return super().__repr__().replace("\n  _setting", "\0").split("\0")[0]


class Factors(_nodes.Node):
    """What is made of the columns U and numbers `lam`, one for each."""

    on_device = True

    def __init__(self, U: Columns, lam: Array, framework: Framework | None) -> None:
        self.U, self.lam = U, lam
        self.dtype = U.dtype
        here = framework is NUMPY or isinstance(framework, CudaArrays)
        self.framework = None if here else framework

    def columns(self, run: Binding) -> Columns:
        """Return U where the run is: columns in Fortran order, or rows on a device."""
        if isinstance(self.U, DeviceArray):
            if not isinstance(run.framework, CudaArrays):
                raise TypeError(
                    f"the Nyström approximation ({self.text()}) was made on a device, but the run "
                    "is in host memory: make one there"
                )
            if self.U.dtype != run.dtype:
                raise TypeError(
                    f"the Nyström approximation ({self.text()}) holds {self.U.dtype}, but this run "
                    f"works in {run.dtype}: make one with like= of that dtype"
                )
            rows: DeviceArray = run.core.take(self.U, "U")
            return rows
        U = np.asfortranarray(_arrays.cast(self.U, run.dtype, "U"))
        return run.framework.sent(U.T, run.core) if isinstance(run.framework, CudaArrays) else U

    def memory(self) -> Iterator[Array]:
        """Yield the arrays that products read."""
        if not isinstance(self.U, DeviceArray):
            yield self.U


class Eigenfactors(Factors):
    """U diag(lam) Uᴴ."""

    def bind(self, run: Binding) -> Any:
        return run.core.eigenfactors(self.columns(run), self.lam)

    def text(self) -> str:
        return f"rank {self.lam.size}"


def nystrom(
    A: Any,
    rank: int | None = None,
    *,
    tol: float | None = None,
    max_rank: int | None = None,
    seed: int = 0,
    like: Any = None,
    block: int = 32,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> NystromResult:
    """Approximate a Hermitian positive semidefinite A by U diag(lam) Uᴴ from random products.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    rank : int, optional
        Columns of U, at most n. With `tol` those to begin with, by default 16.
    tol : float, optional
        Double the rank until the estimate of ‖A − Â‖_F is at most tol ‖Â‖_F.
    max_rank : int, optional
        With `tol`: at most this rank; by default n.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    block : int
        Columns of one product with A.
    callback, timeout, max_products, history
        As for `cg`; an iteration is a column, and callbacks come once for each block.

    Returns
    -------
    NystromResult
        The tuple (U, lam), U of shape (n, rank), with `operator`, `error_estimate` and an account
        of the run. `converged`: the tolerance was met, or without one all products were made. A run
        that was stopped returns the approximation by the products it had made. An A that is found
        not to be Hermitian positive semidefinite ends the run with `negative_curvature` and rank 0.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Â = AΩ (ΩᴴAΩ)⁻¹ (AΩ)ᴴ for orthonormalised normal vectors Ω: the best approximation from below,
    0 ⪯ Â ⪯ A, that agrees with A on Ω. With p more columns than k,

        E ‖A − Â‖₂ ≤ (1 + 2k/(p − 1)) λ_{k+1} + 2e²(k + p)/(p² − 1) Σ_{j>k} λ_j.

    All is computed of A + νI, ν = √n eps ‖AΩ‖_F, and ν taken off again. If noise of the products
    leaves the core indefinite all the same, ν grows; in the end eigenvalues of ΩᴴAΩ that noise can
    explain are dropped.

    `rank` products with A, in blocks; a rank that is doubled keeps its columns. Beside them about
    20 n rank² operations, a third more where the rank was doubled. Memory: 3 rank vectors, beside
    U.

    References
    ----------
    Tropp, Yurtsever, Udell, Cevher: Fixed-rank approximation of a positive-semidefinite matrix from
    streaming data. NIPS 2017.

    Frangella, Tropp, Udell: Randomized Nyström preconditioning. SIAM J. Matrix Anal. Appl. 44,
    2023 (the bound).

    Epperly, Tropp: Efficient error and variance estimation for randomized matrix computations. SIAM
    J. Sci. Comput. 46, 2024.
    """
    a = aslinearoperator(A)
    require_self_adjoint(a, "A", "nystrom")
    if rank is None and tol is None:
        raise TypeError("neither rank nor tol is given; pass one of them")
    if max_rank is not None and tol is None:
        raise TypeError("max_rank is for a rank that grows; pass tol too, or rank alone")
    options: dict[str, Any] = {"block": _arrays.integer(block, "block")}
    options["rank"] = 16 if rank is None else rank_of(rank, "rank", a.shape[0])
    if tol is not None:
        options["tol"] = _arrays.positive(tol, "tol")
        if max_rank is not None:
            options["max_rank"] = rank_of(max_rank, "max_rank", a.shape[0])
    return sketched(
        a, options, seed, like, (callback, timeout, max_products, history), user="nystrom"
    )


def rank_of(value: Any, name: str, most: int) -> int:
    """Return a rank that an operator can have."""
    rank = _arrays.integer(value, name)
    if rank > max(most, 1):
        raise ValueError(f"{name} is {rank}; A has rank {most} at most")
    return rank


def sketched(
    a: LinearOperator,
    options: dict[str, Any],
    seed: int,
    like: Any,
    watching: tuple[Callbacks, float | None, int | None, bool],
    user: str,
) -> NystromResult:
    """Run the compiled method."""
    options["seed"] = seed = _arrays.seed_of(seed)
    framework, core, dtype = place(a, like)
    callback, timeout, max_products, history = watching
    watch = Watch(user, framework, callback, history, timeout, max_products)
    with Binding(dtype, framework, core) as run, watch.running() as ending:
        U, lam, outcome = core.nystrom(run(a), options, watch.monitor)
        account = account_of(outcome, watch.history)
        account["message"] = _message(account)
        account |= {
            "rank": int(lam.size),
            "error_estimate": outcome["error_frobenius"],
            "shift": outcome["shift"],
            "method": "nystrom",
            "seed": seed,
        }
        real = np.dtype(dtype.char.lower())
        values = framework.from_columns(U), framework.from_numpy(lam.astype(real))
        ending.result = result = NystromResult(values, **account)
        result.__dict__["_setting"] = (U, lam, framework, a)
        result.__dict__["_error_spectral"] = outcome["error_spectral"]
    return result


def _message(account: dict[str, Any]) -> str:
    message: str = account["message"]
    columns = account["iterations"]
    if account["status"] is Status.converged and account["target"] == 0.0:
        return f"converged: all {columns} columns asked for were computed"
    if account["status"] is Status.negative_curvature:
        return (
            f"negative_curvature after {columns} columns: A is not Hermitian positive semidefinite;"
            " add a shift, A + mu, or use svd_lowrank"
        )
    if account["status"] is Status.max_iterations:
        return (
            f"max_iterations at rank {columns}: estimate {account['residual']:.3e}, target "
            f"{account['target']:.3e}; raise max_rank, or loosen the tolerance"
        )
    return message
