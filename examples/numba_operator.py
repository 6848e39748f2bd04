"""A compiled operator from Numba: products run without Python, and without the GIL.

The callback has the signature of `ritz_apply_fn` in ritz.h.
"""

import numpy as np
from numba import carray, cfunc, types

import ritz

SIGNATURE = types.int32(
    types.voidptr,  # context
    types.CPointer(types.float64),  # x
    types.int64,  # elements between two columns of x
    types.CPointer(types.float64),  # y
    types.int64,  # elements between two columns of y
    types.int64,  # columns
    types.voidptr,  # stream
)

N = 100_000


@cfunc(SIGNATURE)
def shifted_laplacian(context, x, ldx, y, ldy, columns, stream):  # type: ignore[no-untyped-def]
    u = carray(x, (columns, ldx))
    v = carray(y, (columns, ldy))
    for j in range(columns):
        for i in range(N):
            left = u[j, i - 1] if i > 0 else 0.0
            right = u[j, i + 1] if i + 1 < N else 0.0
            v[j, i] = 2.5 * u[j, i] - left - right
    return 0


A = ritz.native_operator(shifted_laplacian, (N, N), dtype=np.float64)
b = np.sin(0.001 * np.arange(N))
result = ritz.cg(A, b, rtol=1e-10)
print(result.message)
print(
    "products:", result.products.matvec, "relative residual:", result.residual / np.linalg.norm(b)
)
assert result.info == 0
