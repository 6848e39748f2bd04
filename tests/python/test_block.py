"""Block methods: all right-hand sides from one Krylov space."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES, eps, spd, symmetric
from ritz import Status

N, K = 120, 5
METHODS = ["cg", "minres", "gmres"]


def system(method, dtype):
    rng = np.random.default_rng(0)
    if method == "cg":
        A = spd(N, 1e3, dtype)
    elif method == "minres":
        values = np.r_[-np.geomspace(0.1, 3, N // 2), np.geomspace(0.1, 5, N // 2)]
        A = symmetric(values, dtype)
    else:
        A = (np.eye(N) * 3 + rng.standard_normal((N, N)) / N**0.5).astype(dtype)
    B = rng.standard_normal((N, K)).astype(dtype)
    B[:, 3] = 2 * B[:, 0] - B[:, 1]  # dependent
    return A, B


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_column_meets_its_target(method, dtype):
    A, B = system(method, dtype)
    rtol = 1e3 * eps(dtype)
    result = getattr(ritz, method)(A, B, rtol=rtol, block=True)
    assert result.converged, result
    assert result.info == 0
    assert result.x.dtype == np.dtype(dtype)
    wide = np.result_type(dtype, np.float64)
    R = B.astype(wide) - A.astype(wide) @ result.x.astype(wide)
    relative = np.linalg.norm(R, axis=0) / np.linalg.norm(B, axis=0)
    assert relative.max() <= 1.05 * rtol + 20 * eps(dtype) * (1 if method == "gmres" else 50)
    apart = getattr(ritz, method)(A, B, rtol=rtol)
    assert result.iterations < apart.iterations
    assert len(result.columns) == K
    assert all(c.verified for c in result.columns)


@pytest.mark.parametrize("method", METHODS)
def test_products_are_counted_and_dependent_columns_cost_nothing(method):
    A, B = system(method, np.float64)
    columns = []

    def matmat(V):
        columns.append(V.shape[1] if V.ndim == 2 else 1)
        return A @ V

    op = ritz.LinearOperator((N, N), matmat=matmat, dtype=np.float64)
    result = getattr(ritz, method)(op, B, rtol=1e-6, block=True)
    assert result.converged
    assert result.products.columns == sum(columns)
    # Of the five columns four are independent; only verifications take all.
    assert sum(c > K - 1 for c in columns) <= 2


@pytest.mark.parametrize("method", METHODS)
def test_warm_start_limits_and_callbacks(method):
    A, B = system(method, np.float64)
    f = getattr(ritz, method)
    X = np.linalg.solve(A, B)
    assert f(A, B, X, rtol=1e-10, block=True).iterations == 0
    short = f(A, B, rtol=1e-12, maxiter=2, block=True)
    assert short.status is Status.max_iterations
    assert short.iterations == 2
    seen = []
    stopped = f(
        A,
        B,
        rtol=1e-12,
        callback=lambda it: seen.append(it.iteration) or it.iteration == 3,
        block=True,
    )
    assert stopped.status is Status.stopped
    assert seen == [1, 2, 3]
    zeros = f(A, np.zeros((N, 2)), block=True)
    assert zeros.converged
    assert not zeros.x.any()


def test_shift_and_preconditioner():
    A, B = system("minres", np.float64)
    shifted = ritz.minres(A, B, shift=0.05, rtol=1e-9, block=True)
    np.testing.assert_allclose((A - 0.05 * np.eye(N)) @ shifted.x, B, atol=1e-7)
    d = np.geomspace(1.0, 1e6, N)
    for method in ("cg", "gmres"):
        result = getattr(ritz, method)(
            ritz.diagonal(d), B, M=ritz.diagonal(1 / d), rtol=1e-10, block=True
        )
        assert result.converged
        assert result.iterations <= 2
        assert result.preconditioner_products > 0


def test_misuse():
    A, B = system("cg", np.float64)
    with pytest.raises(ValueError, match="radius"):
        ritz.cg(A, B, radius=1.0, block=True)
    with pytest.raises(ValueError, match="block MINRES takes no preconditioner"):
        ritz.minres(A, B, M=A, block=True)
    with pytest.raises(ValueError, match="block=True"):
        ritz.cg(A, B[:, 0], block=True)
    with pytest.raises(ValueError, match="block=True"):
        ritz.bicgstab(A, B, block=True)
    indefinite = ritz.cg(-A, B, block=True)
    assert {c.status for c in indefinite.columns} == {Status.negative_curvature}
