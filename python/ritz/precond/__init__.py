"""Preconditioners: operators M ≈ A⁻¹ for the `M=` of the solvers.

Each function returns a `LinearOperator`, and that is all a solver asks for: a randomized
preconditioner, a factorisation of another library or a learned one is passed to `M=` in the same
way, as anything that `aslinearoperator` takes or through `closure`. `cg` and its relatives need M
to be Hermitian positive definite and the same linear map at every call.
"""

from __future__ import annotations

from ritz.precond.block_jacobi import block_jacobi
from ritz.precond.chebyshev import chebyshev
from ritz.precond.closure import closure
from ritz.precond.jacobi import jacobi
from ritz.precond.nystrom import NystromPreconditioner, nystrom
from ritz.precond.symmetric_polynomial import symmetric_polynomial

__all__ = [
    "NystromPreconditioner",
    "block_jacobi",
    "chebyshev",
    "closure",
    "jacobi",
    "nystrom",
    "symmetric_polynomial",
]
