"""`ritz.solve`: which method it takes, why, and that it passes everything on."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import rectangular, spd, symmetric, vector

N = 40
GENERAL = np.eye(N) * 4 + rectangular(N, N, 10.0)
INDEFINITE = symmetric(np.r_[np.linspace(-3, -1, 20), np.linspace(1, 4, 20)])


@pytest.mark.parametrize(
    ("A", "known", "method", "words"),
    [
        (spd(N, 50.0), {"positive_definite": True}, "cg", "positive definite"),
        (ritz.diagonal(np.linspace(1, 2, N)), {}, "cg", "positive definite"),
        (ritz.diagonal(np.linspace(-1.01, 2, N)), {}, "minres", "not known to be positive"),
        (spd(N, 50.0), {}, "minres", "not known to be positive"),
        (sp.csr_array(spd(N, 50.0)), {}, "minres", "symmetric"),
        (INDEFINITE, {}, "minres", "symmetric"),
        (symmetric(np.linspace(1, 4, N), np.complex128), {}, "minres", "symmetric"),
        (GENERAL, {}, "gmres", "A is not symmetric"),
        (sp.csr_array(GENERAL), {}, "gmres", "A is not symmetric"),
        (ritz.aslinearoperator(GENERAL), {}, "gmres", "not known to be symmetric"),
        (ritz.aslinearoperator(INDEFINITE), {"symmetric": True}, "minres", "symmetric"),
        (
            ritz.LinearOperator((N, N), lambda v: INDEFINITE @ v, symmetric=True),
            {},
            "minres",
            "symmetric",
        ),
        (rectangular(60, N, 10.0), {}, "lsmr", "shape"),
        (rectangular(20, N, 10.0), {}, "lsmr", "shape"),
    ],
)
def test_choice(A, known, method, words):
    b = vector(A.shape[0])
    result = ritz.solve(A, b, rtol=1e-9, **known)
    assert result.method == method
    assert words in result.reason
    assert result.converged
    assert "reason" in repr(result)
    dense = A.toarray() if sp.issparse(A) else A.to_dense() if hasattr(A, "to_dense") else A
    exact = np.linalg.lstsq(dense, b, rcond=None)[0]
    assert np.linalg.norm(result.x - exact) <= 1e-5 * np.linalg.norm(exact)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_arrays_of_torch_are_looked_at():
    torch = pytest.importorskip("torch")
    b = torch.ones(N, dtype=torch.float64)
    assert ritz.solve(torch.tensor(INDEFINITE), b).method == "minres"
    assert ritz.solve(torch.tensor(GENERAL), b).method == "gmres"
    assert ritz.solve(torch.tensor(GENERAL).to_sparse_csr(), b).method == "gmres"


def test_options_and_columns_pass_through():
    B = np.random.default_rng(0).standard_normal((N, 3))
    together = ritz.solve(GENERAL, B, rtol=1e-9, maxiter=500, history=True)
    assert together.method == "gmres"
    assert len(together.columns) == 3
    assert together.columns[1].history is not None
    block = ritz.solve(INDEFINITE, B, rtol=1e-9, block=True)
    assert block.converged
    np.testing.assert_allclose(INDEFINITE @ block.x, B, atol=1e-7)
    assert ritz.solve(GENERAL, B[:, 0], maxiter=2).status is ritz.Status.max_iterations
    batch = ritz.solve(np.stack([GENERAL, INDEFINITE]), B[:, :2].T, rtol=1e-9, batched=True)
    assert batch.method == "gmres"
    assert batch.converged
    with pytest.raises(TypeError, match="no option"):
        ritz.solve(GENERAL, B[:, 0], restarts=3)


def test_a_wrong_word_is_found_out():
    result = ritz.solve(INDEFINITE, vector(N), positive_definite=True)
    assert result.method == "cg"
    assert result.status is ritz.Status.negative_curvature
