"""A compiled operator: the same solve with a NumPy closure and with a function pointer from Numba.

A Numba `cfunc` with the signature of `ritz_apply_fn` (see ritz.h) is called without Python and
without the GIL. The answer is the same; what changes is the cost of an iteration, above all for
small vectors, where calling Python is most of the work.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

import ritz

try:
    from numba import carray, cfunc, types
except ImportError:
    print("Numba is not installed: nothing to show")
    sys.exit(0)

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
SIZES = [100, 10_000] if QUICK else [100, 1_000, 10_000, 100_000]
ITERATIONS = 200
ROUNDS = 5 if QUICK else 15

SIGNATURE = types.int32(
    types.CPointer(types.int64),  # context: the address of the number of unknowns
    types.CPointer(types.float64),  # x
    types.int64,  # elements between two columns of x
    types.CPointer(types.float64),  # y
    types.int64,  # elements between two columns of y
    types.int64,  # columns
    types.voidptr,  # stream
)


@cfunc(SIGNATURE)
def native(context, x, ldx, y, ldy, columns, _stream):  # type: ignore[no-untyped-def]
    """Apply the tridiagonal matrix [-1, 2, -1]."""
    n = carray(context, 1)[0]
    for j in range(columns):
        u = carray(x, (columns, ldx))[j]
        v = carray(y, (columns, ldy))[j]
        v[0] = 2.0 * u[0] - u[1]
        v[n - 1] = 2.0 * u[n - 1] - u[n - 2]
        for i in range(1, n - 1):
            v[i] = 2.0 * u[i] - u[i - 1] - u[i + 1]
    return 0


def closure(u: np.ndarray) -> np.ndarray:
    """The same matrix, as NumPy writes it."""
    v = 2.0 * u
    v[1:] -= u[:-1]
    v[:-1] -= u[1:]
    return v


microseconds: dict[str, list[float]] = {"NumPy closure": [], "compiled": []}
print("      n   NumPy closure     compiled   (microseconds an iteration, medians)")
for n in SIZES:
    operators = {
        "NumPy closure": ritz.LinearOperator((n, n), matvec=closure, dtype=np.float64),
        "compiled": ritz.native_operator(native, (n, n), dtype=np.float64, context=np.array([n])),
    }
    b = np.sin(np.arange(1.0, n + 1))

    # The same answer after the same number of products.
    results = {name: ritz.cg(A, b, rtol=1e-8) for name, A in operators.items()}
    one, two = results.values()
    assert one.info == 0
    assert two.info == 0
    assert abs(one.iterations - two.iterations) <= 1
    np.testing.assert_allclose(one.x, two.x, atol=1e-5 * np.abs(one.x).max())
    assert results["compiled"].products == operators["compiled"].counts

    times: dict[str, list[float]] = {name: [] for name in operators}
    for _ in range(ROUNDS):
        for name, A in operators.items():
            begin = time.perf_counter()
            # No tolerance of zero is met: both run exactly this many iterations, or to exhaustion.
            run = ritz.cg(A, b, rtol=0.0, maxiter=min(ITERATIONS, n // 2 - 5), verify=False)
            times[name].append((time.perf_counter() - begin) / max(run.iterations, 1) * 1e6)
    for name in operators:
        microseconds[name].append(statistics.median(times[name]))
    print(f"{n:7d} " + "".join(f"{microseconds[name][-1]:15.2f}" for name in operators))

# Where calling Python dominates, the compiled operator is clearly faster.
assert microseconds["compiled"][0] < microseconds["NumPy closure"][0] / 2

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for name, values in microseconds.items():
    axes.loglog(SIZES, values, "o-", label=name)
axes.set_xlabel("unknowns")
axes.set_ylabel("microseconds an iteration")
axes.set_title("Conjugate gradients with one and the same tridiagonal matrix")
axes.legend()

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_native_operator.png", dpi=120)
