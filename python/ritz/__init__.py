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
from ritz.elementary import block, diagonal, identity
from ritz.general import Recycle, bicgstab, bicgstabl, fgmres, gcrodr, gmres, idrs, sgmres
from ritz.jacobians import GaussNewton, Jacobian
from ritz.leastsquares import cgls, craig, lsmr, lsqr
from ritz.native import native_operator
from ritz.operators import LinearOperator, aslinearoperator
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
    from ritz import checks, cuda, curvature, losses, monitors, precond, selection, sketch
    from ritz.batch import CgBatchResult, cg_batch
    from ritz.checks import Report, check
    from ritz.curvature.closures import Closures
    from ritz.curvature.distance import function_space_distance
    from ritz.curvature.gauss_newton import fisher, gauss_newton, gradient_covariance
    from ritz.curvature.hessian import hessian
    from ritz.curvature.kfac import Kfac, kfac
    from ritz.curvature.linearization import Linearization, jacobian, linearize
    from ritz.curvature.ntk import ntk
    from ritz.curvature.operator import Curvature
    from ritz.curvature.output_loss import OutputLoss
    from ritz.curvature.parameters import Parameters, StaleError, activation, select
    from ritz.eigen.eigs import eigs
    from ritz.eigen.eigsh import eigsh
    from ritz.eigen.lobpcg import lobpcg
    from ritz.eigen.norms import cond, norm, nullspace, numerical_rank
    from ritz.eigen.svds import svds
    from ritz.functions.density import SpectralDensity, spectral_density
    from ritz.functions.determinants import logdet, schatten_norm
    from ritz.functions.funm import funm_multiply
    from ritz.functions.quadrature import bilinear_form, quadratic_form
    from ritz.functions.row_norms import row_norms
    from ritz.functions.trace import trace
    from ritz.lowrank.cqrrpt import cqrrpt
    from ritz.lowrank.cur import cur
    from ritz.lowrank.interpolative import interpolative
    from ritz.lowrank.nystrom import nystrom
    from ritz.lowrank.nystrom_generalized import nystrom_generalized
    from ritz.lowrank.rangefinder import rangefinder
    from ritz.lowrank.svd_lowrank import svd_lowrank
    from ritz.sketch.kaczmarz import kaczmarz, sketch_and_project
    from ritz.sketch.lstsq import lstsq
    from ritz.sketch.subspace import subspace

__version__: str = _core.version

__all__ = [
    "CallbackFailed",
    "CgBatchResult",
    "Closures",
    "Counts",
    "Curvature",
    "EigshResult",
    "Estimate",
    "EvaluationFailed",
    "GaussNewton",
    "Iterate",
    "Iteration",
    "Jacobian",
    "Kfac",
    "LeastSquaresResult",
    "LeastSquaresSolution",
    "LinearOperator",
    "LinearResult",
    "Linearization",
    "OutputLoss",
    "Parameters",
    "Recycle",
    "Report",
    "Result",
    "SpectralDensity",
    "StaleError",
    "Status",
    "SymmetricResult",
    "Workspace",
    "__version__",
    "activation",
    "aslinearoperator",
    "bicgstab",
    "bicgstabl",
    "bilinear_form",
    "block",
    "cg",
    "cg_batch",
    "cgls",
    "check",
    "checks",
    "cond",
    "cqrrpt",
    "cr",
    "craig",
    "cuda",
    "cur",
    "curvature",
    "diagonal",
    "eigs",
    "eigsh",
    "fcg",
    "fgmres",
    "fisher",
    "function_space_distance",
    "funm_multiply",
    "gauss_newton",
    "gcrodr",
    "gmres",
    "gradient_covariance",
    "hessian",
    "identity",
    "idrs",
    "interpolative",
    "iterate",
    "jacobian",
    "kaczmarz",
    "kfac",
    "least_squares",
    "linearize",
    "lobpcg",
    "logdet",
    "losses",
    "lsmr",
    "lsqr",
    "lstsq",
    "minimize",
    "minres",
    "minres_qlp",
    "monitors",
    "native_operator",
    "norm",
    "ntk",
    "nullspace",
    "num_threads",
    "numerical_rank",
    "nystrom",
    "nystrom_generalized",
    "precond",
    "quadratic_form",
    "rangefinder",
    "row_norms",
    "schatten_norm",
    "select",
    "selection",
    "set_num_threads",
    "sgmres",
    "sketch",
    "sketch_and_project",
    "solve",
    "spectral_density",
    "subspace",
    "svd_lowrank",
    "svds",
    "symmlq",
    "trace",
]

# Imported when first asked for.
_LAZY = {
    "CgBatchResult": "ritz.batch",
    "cg_batch": "ritz.batch",
    "eigsh": "ritz.eigen.eigsh",
    "eigs": "ritz.eigen.eigs",
    "lobpcg": "ritz.eigen.lobpcg",
    "svds": "ritz.eigen.svds",
    "norm": "ritz.eigen.norms",
    "cond": "ritz.eigen.norms",
    "numerical_rank": "ritz.eigen.norms",
    "nullspace": "ritz.eigen.norms",
    "funm_multiply": "ritz.functions.funm",
    "bilinear_form": "ritz.functions.quadrature",
    "quadratic_form": "ritz.functions.quadrature",
    "spectral_density": "ritz.functions.density",
    "SpectralDensity": "ritz.functions.density",
    "logdet": "ritz.functions.determinants",
    "schatten_norm": "ritz.functions.determinants",
    "trace": "ritz.functions.trace",
    "row_norms": "ritz.functions.row_norms",
    "rangefinder": "ritz.lowrank.rangefinder",
    "svd_lowrank": "ritz.lowrank.svd_lowrank",
    "nystrom": "ritz.lowrank.nystrom",
    "nystrom_generalized": "ritz.lowrank.nystrom_generalized",
    "cqrrpt": "ritz.lowrank.cqrrpt",
    "interpolative": "ritz.lowrank.interpolative",
    "cur": "ritz.lowrank.cur",
    "kaczmarz": "ritz.sketch.kaczmarz",
    "sketch_and_project": "ritz.sketch.kaczmarz",
    "lstsq": "ritz.sketch.lstsq",
    "subspace": "ritz.sketch.subspace",
    "sketch": "",
    "selection": "",
    "curvature": "",
    "Closures": "ritz.curvature",
    "Curvature": "ritz.curvature",
    "Kfac": "ritz.curvature",
    "Linearization": "ritz.curvature",
    "OutputLoss": "ritz.curvature",
    "Parameters": "ritz.curvature",
    "StaleError": "ritz.curvature",
    "activation": "ritz.curvature",
    "fisher": "ritz.curvature",
    "function_space_distance": "ritz.curvature",
    "gauss_newton": "ritz.curvature",
    "gradient_covariance": "ritz.curvature",
    "hessian": "ritz.curvature",
    "jacobian": "ritz.curvature",
    "kfac": "ritz.curvature",
    "linearize": "ritz.curvature",
    "ntk": "ritz.curvature",
    "select": "ritz.curvature",
    "jax": "",
    "precond": "",
    "cuda": "",
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
