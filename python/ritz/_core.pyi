"""Compiled methods of ritz; use the functions of ritz itself."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

version: str

class CallbackFailed(RuntimeError): ...

class Monitor:
    def __init__(
        self,
        callback: Callable[[Iteration], Any] | None,
        history: bool,
        timeout: float,
        max_products: int,
    ) -> None: ...
    @property
    def history(self) -> npt.NDArray[np.float64]: ...

class Iteration:
    @property
    def iteration(self) -> int: ...
    @property
    def residual(self) -> float: ...
    @property
    def objective(self) -> float: ...
    @property
    def products(self) -> tuple[int, int, int]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def x(self) -> npt.NDArray[Any] | None: ...
    @property
    def change(self) -> float: ...
    @property
    def gradient_norm(self) -> float: ...
    @property
    def step_norm(self) -> float: ...
    @property
    def gain_ratio(self) -> float: ...
    @property
    def damping(self) -> float: ...
    @property
    def inner_iterations(self) -> int: ...
    @property
    def accepted(self) -> bool: ...

class Workspace:
    @property
    def method(self) -> str: ...
    @property
    def bytes(self) -> int: ...

class DeviceError(RuntimeError): ...
class DeviceUnavailable(RuntimeError): ...

class DeviceOutOfMemory(MemoryError):
    bytes: int
    held: int

class DeviceArray:
    @property
    def size(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def device(self) -> int: ...
    @property
    def T(self) -> DeviceArray: ...
    @property
    def is_by_rows(self) -> bool: ...
    @property
    def __cuda_array_interface__(self) -> dict[str, Any]: ...
    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def row(self, j: int) -> DeviceArray: ...
    def first(self, rows: int) -> DeviceArray: ...
    def reshape(self, shape: tuple[int, ...]) -> DeviceArray: ...
    def copy_to_host(self) -> npt.NDArray[Any]: ...
    def copy_from_host(self, host: npt.NDArray[Any]) -> None: ...

def devices() -> list[dict[str, Any]]: ...
def describe_array(array: Any, name: str) -> tuple[int, str, list[int]]: ...
def empty_array(dtype: np.dtype[Any], n: int, device: int, stream: int) -> DeviceArray: ...
def status_name(status: int) -> str: ...
def advice(status: int) -> str: ...
def isa() -> str: ...
def set_num_threads(n: int) -> None: ...
def num_threads() -> int: ...
def linear_methods() -> list[str]: ...

class _Operator(Protocol):
    """The class Operator of an element type's submodule."""

    @staticmethod
    def closure(
        rows: int,
        cols: int,
        matvec: Callable[..., Any] | None,
        rmatvec: Callable[..., Any] | None,
        matmat: Callable[..., Any] | None,
        rmatmat: Callable[..., Any] | None,
        out: bool,
        adapter: Any,
        name: str,
    ) -> _Operator: ...
    @staticmethod
    def dense(a: npt.NDArray[Any]) -> _Operator: ...
    @staticmethod
    def identity(n: int) -> _Operator: ...
    @staticmethod
    def diagonal(d: npt.NDArray[Any]) -> _Operator: ...
    @staticmethod
    def block_diagonal(sizes: npt.NDArray[np.int64], elements: npt.NDArray[Any]) -> _Operator: ...
    @staticmethod
    def native(
        rows: int, cols: int, apply: int, adjoint: int, context: int, keepalive: object
    ) -> _Operator: ...
    @staticmethod
    def capsule(capsule: object) -> _Operator: ...
    @staticmethod
    def block(
        heights: Sequence[int],
        widths: Sequence[int],
        parts: Sequence[tuple[int, int, _Operator]],
    ) -> _Operator: ...
    def scaled(self, c: complex) -> _Operator: ...
    def plus(self, other: _Operator, c: complex) -> _Operator: ...
    def shifted(self, mu: complex) -> _Operator: ...
    def times(self, other: _Operator) -> _Operator: ...
    def adjoint(self) -> _Operator: ...
    def recounted(self) -> _Operator: ...
    def conjugate(self) -> _Operator: ...
    def gauss_newton(self, hessian: _Operator | None, damping: float) -> _Operator: ...
    def chebyshev(self, degree: int, low: float, high: float) -> _Operator: ...
    def apply(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def apply_adjoint(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def apply_block(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def apply_adjoint_block(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    @property
    def rows(self) -> int: ...
    @property
    def cols(self) -> int: ...
    @property
    def has_adjoint(self) -> bool: ...
    @property
    def calls_python(self) -> bool: ...
    def counts(self) -> tuple[int, int, int]: ...

class _LinearSolve(Protocol):
    """The class LinearSolve of an element type's submodule: a solve that can be stepped."""

    def __init__(
        self,
        method: str,
        a: _Operator,
        m: _Operator | None,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> None: ...
    def next(self) -> bool: ...
    def stop(self) -> None: ...
    @property
    def x(self) -> npt.NDArray[Any]: ...
    @property
    def iterations(self) -> int: ...
    @property
    def residual(self) -> float: ...
    def outcome(self) -> dict[str, Any]: ...

class _Sketch(Protocol):
    """The class Sketch of an element type's submodule."""

    def operator(self) -> _Operator: ...
    def apply(self, a: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def apply_adjoint(self, a: npt.NDArray[Any]) -> npt.NDArray[Any]: ...
    def submatrix(
        self, i: int, j: int, rows: int, cols: int, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]: ...
    def apply_csr_int32(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int32],
        indices: npt.NDArray[np.int32],
        values: npt.NDArray[Any],
    ) -> npt.NDArray[Any]: ...
    def apply_csr_int64(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
    ) -> npt.NDArray[Any]: ...
    def apply_csc_int32(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int32],
        indices: npt.NDArray[np.int32],
        values: npt.NDArray[Any],
    ) -> npt.NDArray[Any]: ...
    def apply_csc_int64(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int64],
        values: npt.NDArray[Any],
    ) -> npt.NDArray[Any]: ...

class _Methods(Protocol):
    """The submodule of one element type; levenberg_marquardt is that of real ones only."""

    Operator: type[_Operator]
    Sketch: type[_Sketch]

    def Gaussian(self, d: int, m: int, seed: int) -> _Sketch: ...
    def Rademacher(self, d: int, m: int, seed: int) -> _Sketch: ...
    def Orthogonal(self, d: int, m: int, seed: int) -> _Sketch: ...
    def SparseStack(self, d: int, m: int, seed: int, nnz: int) -> _Sketch: ...
    def SparseSign(self, d: int, m: int, seed: int, nnz: int) -> _Sketch: ...
    def SRHT(self, d: int, m: int, seed: int, rounds: int) -> _Sketch: ...
    def Fastfood(self, d: int, m: int, seed: int) -> _Sketch: ...
    def KhatriRao(
        self, d: int, m: int, seed: int, sizes: Sequence[int], normal: bool
    ) -> _Sketch: ...
    def KhatriRaoFactor(self, d: int, m: int, seed: int, k: int, normal: bool) -> _Sketch: ...
    def fwht(self, a: npt.NDArray[Any], length: int, c: float, lent: bool) -> npt.NDArray[Any]: ...
    def csr_int32(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int32],
        indices: npt.NDArray[np.int32],
        data: npt.NDArray[Any],
    ) -> _Operator: ...
    def csc_int32(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int32],
        indices: npt.NDArray[np.int32],
        data: npt.NDArray[Any],
    ) -> _Operator: ...
    def csr_int64(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int64],
        data: npt.NDArray[Any],
    ) -> _Operator: ...
    def csc_int64(
        self,
        rows: int,
        cols: int,
        indptr: npt.NDArray[np.int64],
        indices: npt.NDArray[np.int64],
        data: npt.NDArray[Any],
    ) -> _Operator: ...
    def eigsh_workspace(self, rows: int, cols: int, ncv: int) -> Workspace: ...
    def svds_workspace(self, rows: int, cols: int, ncv: int) -> Workspace: ...
    def trace_workspace(self, rows: int, cols: int, ncv: int) -> Workspace: ...
    def levenberg_marquardt_workspace(self, rows: int, cols: int, ncv: int) -> Workspace: ...
    LinearSolve: type[_LinearSolve]

    def solve(
        self,
        method: str,
        a: _Operator,
        m: _Operator | None,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitor: Monitor,
        workspace: Workspace | None,
        out: npt.NDArray[Any] | None,
        wide: tuple[_Operator, npt.NDArray[Any]] | None,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def solve_columns(
        self,
        method: str,
        a: _Operator,
        m: _Operator | None,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitors: Sequence[Monitor],
        batched: bool,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]: ...
    def solve_block(
        self,
        method: str,
        a: _Operator,
        m: _Operator | None,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]: ...
    def cg_shifts(
        self,
        a: _Operator,
        b: npt.NDArray[Any],
        shifts: npt.NDArray[np.float64],
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def lsqr_damps(
        self,
        a: _Operator,
        b: npt.NDArray[Any],
        damps: npt.NDArray[np.float64],
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def linear_workspace(
        self, method: str, rows: int, cols: int, options: dict[str, Any]
    ) -> Workspace: ...
    def multiplicities(
        self, values: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.int64]: ...
    def eigsh(
        self,
        a: _Operator,
        mass: _Operator | None,
        mass_inverse: _Operator | None,
        solve: _Operator | None,
        sigma: float,
        options: dict[str, Any],
        which: int,
        seed: int,
        v0: npt.NDArray[Any],
        deflate: npt.NDArray[Any],
        checkpoint: str,
        checkpoint_every: float,
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[
        npt.NDArray[np.float64],
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        dict[str, Any],
    ]: ...
    def eigs_workspace(self, rows: int, cols: int, ncv: int) -> Workspace: ...
    def eigs(
        self,
        a: _Operator,
        mass: _Operator | None,
        solve: _Operator | None,
        which: int,
        options: dict[str, Any],
        v0: npt.NDArray[Any] | None,
        monitor: Monitor,
        workspace: Workspace | None,
        checkpoint: str,
        checkpoint_every: float,
    ) -> tuple[
        npt.NDArray[np.complex128],
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        npt.NDArray[np.float64],
        dict[str, Any],
    ]: ...
    def cg_batch(
        self,
        a: Any,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        m: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def cg_batch_on_device(
        self,
        a: Any,
        b: DeviceArray,
        count: int,
        x0: DeviceArray | None,
        m: DeviceArray | None,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[DeviceArray, dict[str, Any]]: ...
    def lobpcg(
        self,
        a: _Operator,
        x: npt.NDArray[Any],
        b: _Operator | None,
        m: _Operator | None,
        y: npt.NDArray[Any] | None,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[
        npt.NDArray[np.float64], npt.NDArray[Any], npt.NDArray[np.float64], dict[str, Any]
    ]: ...
    def nystrom(
        self, a: _Operator, options: dict[str, Any], monitor: Monitor
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], dict[str, Any]]: ...
    def nystrom_generalized(
        self, a: _Operator, options: dict[str, Any], monitor: Monitor
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[Any], dict[str, Any]]: ...
    def eigenfactors(self, u: npt.NDArray[Any], d: npt.NDArray[np.float64]) -> _Operator: ...
    def nystrom_preconditioner(
        self, u: npt.NDArray[Any], lam: npt.NDArray[np.float64], mu: float
    ) -> _Operator: ...
    def symmetric_coefficients(self, traces: Sequence[float]) -> list[float]: ...
    def symmetric_polynomial(self, a: _Operator, traces: Sequence[float]) -> _Operator: ...
    def trace(
        self,
        a: _Operator,
        options: dict[str, Any],
        method: int,
        seed: int,
        checkpoint: str,
        checkpoint_every: float,
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[Any, float, dict[str, Any]]: ...
    def estimate_diagonal(
        self,
        a: _Operator,
        options: dict[str, Any],
        method: int,
        seed: int,
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]: ...
    def row_norms2(
        self,
        a: _Operator,
        options: dict[str, Any],
        method: int,
        seed: int,
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]: ...
    def funm(
        self,
        method: str,
        a: _Operator,
        b: npt.NDArray[Any],
        names: list[tuple[int, complex, float, int, complex]],
        f: Callable[[Any], Any] | None,
        count: int,
        of_matrix: bool,
        poles: tuple[list[float], list[float], float] | None,
        options: dict[str, Any],
        seed: int,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def bilinear_form(
        self,
        a: _Operator,
        u: npt.NDArray[Any],
        v: npt.NDArray[Any] | None,
        f: tuple[int, float, float, float] | Callable[[Any], Any],
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[Any, Any, Any, dict[str, Any]]: ...
    def spectral_sum(
        self,
        a: _Operator,
        f: tuple[int, float, float, float] | Callable[[Any], Any],
        seed: int,
        options: dict[str, Any],
        checkpoint: str,
        checkpoint_every: float,
        monitor: Monitor,
    ) -> tuple[float, float, dict[str, Any]]: ...
    def spectral_measures(
        self,
        a: _Operator,
        seed: int,
        options: dict[str, Any],
        checkpoint: str,
        checkpoint_every: float,
        monitor: Monitor,
    ) -> tuple[
        list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], bool]], dict[str, Any]
    ]: ...
    def chebyshev_moments(
        self,
        a: _Operator,
        low: float,
        high: float,
        seed: int,
        options: dict[str, Any],
        checkpoint: str,
        checkpoint_every: float,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[np.float64], dict[str, Any]]: ...
    def gauss_rule(
        self, diagonal: npt.NDArray[np.float64], off: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]: ...
    def kaczmarz(
        self,
        a: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        method: int,
        monitors: list[Monitor],
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]: ...
    def kaczmarz_sparse_int32(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        method: int,
        monitors: list[Monitor],
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]: ...
    def kaczmarz_sparse_int64(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        options: dict[str, Any],
        method: int,
        monitors: list[Monitor],
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]]]: ...
    def sketch_and_project(
        self,
        a: _Operator,
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        mass: _Operator | None,
        sketch: int,
        nnz: int,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def sketch_and_project_dense(
        self,
        a: _Operator,
        elements: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        mass: _Operator | None,
        sketch: int,
        nnz: int,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def sketch_and_project_sparse_int32(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        mass: _Operator | None,
        sketch: int,
        nnz: int,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def sketch_and_project_sparse_int64(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        x0: npt.NDArray[Any] | None,
        mass: _Operator | None,
        sketch: int,
        nnz: int,
        options: dict[str, Any],
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def lstsq(
        self,
        a: npt.NDArray[Any],
        b: npt.NDArray[Any],
        options: dict[str, Any],
        method: int,
        seed: int,
        nnz: int,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def lstsq_operator(
        self,
        a: _Operator,
        b: npt.NDArray[Any],
        options: dict[str, Any],
        method: int,
        seed: int,
        nnz: int,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def lstsq_sparse_int32(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        options: dict[str, Any],
        method: int,
        seed: int,
        nnz: int,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def lstsq_sparse_int64(
        self,
        a: _Operator,
        by_columns: bool,
        indptr: npt.NDArray[Any],
        indices: npt.NDArray[Any],
        values: npt.NDArray[Any],
        b: npt.NDArray[Any],
        options: dict[str, Any],
        method: int,
        seed: int,
        nnz: int,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[Any], list[dict[str, Any]], dict[str, Any]]: ...
    def svds(
        self,
        a: _Operator,
        options: dict[str, Any],
        v0: npt.NDArray[Any] | None,
        deflate: npt.NDArray[Any] | None,
        checkpoint: tuple[str, float] | None,
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        dict[str, Any],
    ]: ...
    def leverage_scores(
        self, a: npt.NDArray[Any], sketch_rows: int, probes: int, rtol: float, seed: int
    ) -> tuple[npt.NDArray[np.float64], int]: ...
    def lewis_weights(
        self,
        a: npt.NDArray[Any],
        p: float,
        tol: float,
        maxiter: int,
        rtol: float,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[np.float64], dict[str, Any]]: ...
    def sensitivities(
        self, a: npt.NDArray[Any], p: float, tol: float, maxiter: int, rtol: float
    ) -> tuple[npt.NDArray[np.float64], dict[str, Any]]: ...
    def projection_dpp(
        self, v: npt.NDArray[Any], repeats: int, rtol: float, seed: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], dict[str, Any]]: ...
    def volume_sampling(
        self,
        a: npt.NDArray[Any],
        size: int,
        method: int,
        least_eigenvalue: float,
        max_draws: int,
        rtol: float,
        seed: int,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], dict[str, Any]]: ...
    def maxvol(
        self, a: npt.NDArray[Any], tol: float, max_swaps: int, rtol: float, monitor: Monitor
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], dict[str, Any]]: ...
    def maxvol_rectangular(
        self,
        a: npt.NDArray[Any],
        tol: float,
        size: int,
        max_size: int,
        square_tol: float,
        max_swaps: int,
        rtol: float,
        monitor: Monitor,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any], dict[str, Any]]: ...
    def column_subset(
        self, a: npt.NDArray[Any], k: int, method: int, seed: int
    ) -> tuple[npt.NDArray[np.int64], float, dict[str, Any]]: ...
    def weighted_lstsq(
        self,
        a: npt.NDArray[Any],
        b: npt.NDArray[Any],
        weights: npt.NDArray[np.float64],
        rtol: float,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def interpolative(
        self,
        a: _Operator,
        memory: Any,
        options: dict[str, Any],
        seed: int,
        with_columns: bool,
        monitor: Monitor,
    ) -> tuple[
        npt.NDArray[np.int64], npt.NDArray[Any], npt.NDArray[Any] | None, dict[str, Any]
    ]: ...
    def cur(
        self,
        a: _Operator,
        memory: Any,
        options: dict[str, Any],
        core: int,
        seed: int,
        monitor: Monitor,
    ) -> tuple[
        npt.NDArray[Any],
        npt.NDArray[Any],
        npt.NDArray[Any],
        npt.NDArray[np.int64],
        npt.NDArray[np.int64],
        dict[str, Any],
    ]: ...
    def cqrrpt(
        self, a: npt.NDArray[Any], options: dict[str, Any], seed: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.int64], dict[str, Any]]: ...
    def svd_lowrank(
        self, a: _Operator, options: dict[str, Any], monitor: Monitor
    ) -> tuple[
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        npt.NDArray[Any],
        npt.NDArray[np.float64],
        dict[str, Any],
    ]: ...
    def rangefinder(
        self, a: _Operator, options: dict[str, Any], monitor: Monitor
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...
    def norm2(self, a: _Operator, options: dict[str, Any], monitor: Monitor) -> dict[str, Any]: ...
    def frobenius_norm(
        self, a: _Operator, options: dict[str, Any], monitor: Monitor
    ) -> dict[str, Any]: ...
    def levenberg_marquardt(
        self,
        model: Any,
        loss: Any,
        x0: npt.NDArray[Any],
        options: dict[str, Any],
        monitor: Monitor,
        workspace: Workspace | None,
    ) -> tuple[npt.NDArray[Any], dict[str, Any]]: ...

f4: _Methods
f8: _Methods
c8: _Methods
c16: _Methods

class _DeviceCores(Protocol):
    """The methods of each element type on vectors in device memory, given (device, stream)."""

    f4: Any
    f8: Any
    c8: Any
    c16: Any

cuda: _DeviceCores
