"""Second-order answers from first-order closures: matrix-free linear algebra in C++.

Operators come from functions, arrays, sparse matrices or compiled code (`LinearOperator`,
`aslinearoperator`, `native_operator`, `Jacobian`, `GaussNewton`); methods take them (`cg`, `lsmr`,
`eigsh`, `trace`, `least_squares`, `minimize`) with vectors of NumPy, torch or JAX and return the
same kind, in results that say how the run ended and what it cost.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ritz import _core
from ritz._core import CallbackFailed, num_threads, set_num_threads
from ritz.eigen import eigsh
from ritz.functions import trace
from ritz.general import Recycle, bicgstab, bicgstabl, fgmres, gcrodr, gmres, idrs
from ritz.leastsquares import cgls, craig, lsmr, lsqr
from ritz.native import native_operator
from ritz.operators import (
    GaussNewton,
    Jacobian,
    LinearOperator,
    aslinearoperator,
    block,
    diagonal,
    identity,
)
from ritz.optimize import EvaluationFailed, least_squares, minimize
from ritz.results import (
    Counts,
    EigshResult,
    Estimate,
    Iteration,
    LeastSquaresResult,
    LeastSquaresSolution,
    LinearResult,
    Result,
    Status,
)
from ritz.solve import Iterate, iterate, solve
from ritz.symmetric import SymmetricResult, cg, cr, fcg, minres, minres_qlp, symmlq
from ritz.workspace import Workspace

if TYPE_CHECKING:
    from ritz import checks, losses, monitors, precond
    from ritz.checks import Report, check

__version__: str = _core.version

__all__ = [
    "CallbackFailed",
    "Counts",
    "EigshResult",
    "Estimate",
    "EvaluationFailed",
    "GaussNewton",
    "Iterate",
    "Iteration",
    "Jacobian",
    "LeastSquaresResult",
    "LeastSquaresSolution",
    "LinearOperator",
    "LinearResult",
    "Recycle",
    "Report",
    "Result",
    "Status",
    "SymmetricResult",
    "Workspace",
    "__version__",
    "aslinearoperator",
    "bicgstab",
    "bicgstabl",
    "block",
    "cg",
    "cgls",
    "check",
    "checks",
    "cr",
    "craig",
    "diagonal",
    "eigsh",
    "fcg",
    "fgmres",
    "gcrodr",
    "gmres",
    "identity",
    "idrs",
    "iterate",
    "least_squares",
    "losses",
    "lsmr",
    "lsqr",
    "minimize",
    "minres",
    "minres_qlp",
    "monitors",
    "native_operator",
    "num_threads",
    "precond",
    "set_num_threads",
    "solve",
    "symmlq",
    "trace",
]

# Imported when first asked for.
_LAZY = {
    "jax": "",
    "precond": "",
    "scipy": "",
    "torch": "",
    "Report": "ritz.checks",
    "check": "ritz.checks",
    "checks": "",
    "losses": "",
    "monitors": "",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'ritz' has no attribute {name!r}")
    if module := _LAZY[name]:
        return getattr(importlib.import_module(module), name)
    return importlib.import_module(f"ritz.{name}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
