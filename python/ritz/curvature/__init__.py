"""Curvature matrices of models: Jacobians, Hessians, Gauss-Newton and Fisher matrices, kernels.

One linearisation at a point, many products. See the guide "Curvature of models".
"""

from __future__ import annotations

from ritz.curvature.closures import Closures
from ritz.curvature.distance import FunctionSpaceDistance, function_space_distance
from ritz.curvature.gauss_newton import fisher, gauss_newton, gradient_covariance
from ritz.curvature.hessian import hessian
from ritz.curvature.kfac import Kfac, kfac
from ritz.curvature.linearization import Linearization, jacobian, linearize
from ritz.curvature.losses import OutputLoss, register, resolve
from ritz.curvature.ntk import ntk
from ritz.curvature.operator import Curvature, Formation, Options
from ritz.curvature.parameters import Parameters, StaleError, activation, select

__all__ = [
    "Closures",
    "Curvature",
    "Formation",
    "FunctionSpaceDistance",
    "Kfac",
    "Linearization",
    "Options",
    "OutputLoss",
    "Parameters",
    "StaleError",
    "activation",
    "fisher",
    "function_space_distance",
    "gauss_newton",
    "gradient_covariance",
    "hessian",
    "jacobian",
    "kfac",
    "linearize",
    "ntk",
    "register",
    "resolve",
    "select",
]
