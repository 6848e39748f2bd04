"""Solvers of `scipy.sparse.linalg` under their own signatures: change one import.

    import ritz.scipy as spla   # instead of: import scipy.sparse.linalg as spla

Arguments, defaults, callbacks and return values are SciPy's. What differs is what success means:
info 0 (or istop 1, 2) is returned, and eigenpairs and singular triplets without an exception, only
if the residual that SciPy's documentation speaks of was evaluated and meets its bound.
"""

from ritz.scipy._linear import bicgstab, cg, cgs, gmres, lgmres, lsmr, lsqr, minres, qmr
from ritz.scipy._spectra import eigs, eigsh, expm_multiply, lobpcg, svds

__all__ = [
    "bicgstab",
    "cg",
    "cgs",
    "eigs",
    "eigsh",
    "expm_multiply",
    "gmres",
    "lgmres",
    "lobpcg",
    "lsmr",
    "lsqr",
    "minres",
    "qmr",
    "svds",
]
