"""Defects found in well-known libraries, each with the problem that shows it: none occurs here.

Most are absolute thresholds, or a success that was never checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import spd, vector
from ritz import Status


def relative_residual(A: Any, x: Any, b: Any) -> float:
    A = A.astype(np.float64)
    x, b = np.asarray(x, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(b - A @ x) / np.linalg.norm(b))


def poisson(n: int, dtype: str) -> Any:
    """The five-point Laplacian on n × n points."""
    line = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n))
    eye = sp.eye_array(n)
    return sp.csr_array(sp.kron(line, eye) + sp.kron(eye, line)).astype(dtype)


@pytest.mark.parametrize("rtol", [1e-5, 1e-8])
@pytest.mark.parametrize("method", ["minres", "minres_qlp", "symmlq"])
def test_minres_claims_no_backward_error_as_residual(method: str, rtol: float) -> None:
    """SciPy's minres: info 0 with a true relative residual of 0.75 at condition 1e10."""
    A, b = np.diag(np.geomspace(1e-10, 1.0, 100)), np.ones(100)
    result = getattr(ritz, method)(A, b, rtol=rtol)
    assert result.converged == (relative_residual(A, result.x, b) <= rtol)
    assert (result.info == 0) == result.converged


@pytest.mark.parametrize("method", ["minres", "minres_qlp", "symmlq"])
def test_minres_claims_nothing_for_an_inconsistent_system(method: str) -> None:
    """SciPy's minres: info 0 for a singular system without a solution."""
    d = np.linspace(0.0, 1.0, 50)
    result = getattr(ritz, method)(np.diag(d), np.ones(50), rtol=1e-8)
    assert not result.converged
    assert result.info != 0


@pytest.mark.parametrize("method", ["cg", "minres", "minres_qlp", "gmres", "bicgstab"])
def test_a_tiny_operator_is_solved(method: str) -> None:
    """SciPy's minres: info 0 and x = 0 for 1e-20 A; lineax's CG: NaN; JAX's gmres: x = 0."""
    A, b = spd(40, 30.0), vector(40)
    for scale in (1e-20, 1e20):
        for units in (1e-20, 1e20):
            result = getattr(ritz, method)(A * scale, b * units, rtol=1e-8)
            assert result.converged
            assert relative_residual(A * scale, result.x, b * units) <= 1.01e-8


def test_single_precision_is_not_claimed_beyond_itself() -> None:
    """SciPy's, JAX's and CuPy's cg: success at 1e-6 with a true residual of 7e-3."""
    A = poisson(300, "f4")
    b = np.ones(A.shape[0], "f4")
    result = ritz.cg(A, b, rtol=1e-6, maxiter=3000)
    assert not result.converged
    assert result.status is Status.precision_limit
    assert relative_residual(A, result.x, b) > 1e-6
    # With x in double precision the request is met, at nearly the iterations of the recurrence.
    wide = ritz.cg(A, b, rtol=1e-6, maxiter=3000, x_dtype="f8")
    assert wide.converged
    assert wide.x.dtype == np.float64
    assert relative_residual(A, wide.x, b) <= 1.01e-6
    assert wide.iterations <= 600


def test_indefinite_systems_are_reported_by_cg() -> None:
    """JAX's cg: a relative residual of 0.85 and no status."""
    d = np.linspace(-1.0, 3.0, 60)
    result = ritz.cg(np.diag(d), np.ones(60))
    assert result.status is Status.negative_curvature
    assert result.info < 0
    assert result.direction @ (d * result.direction) <= 0


def test_cg_survives_large_systems_in_single_precision() -> None:
    """lineax's CG: NaN at the first step for a Laplacian with 1e4 unknowns in float32."""
    A = poisson(100, "f4")
    b = np.random.default_rng(0).standard_normal(A.shape[0]).astype("f4")
    result = ritz.cg(A, b, rtol=1e-4)
    assert result.converged
    assert relative_residual(A, result.x, b) <= 1.01e-4


@pytest.mark.parametrize("condition", [1e8, 1e10])
def test_gmres_does_not_stagnate(condition: float) -> None:
    """lineax's GMRES: one pass of Gram-Schmidt ends at 7e-9 and 3e-7."""
    n = 100
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    P = np.linalg.qr(rng.standard_normal((n, n)))[0]
    A = (Q * np.geomspace(1.0, 1.0 / condition, n)) @ P
    b = A @ rng.standard_normal(n)
    result = ritz.gmres(A, b, rtol=1e-13, restart=n)
    assert relative_residual(A, result.x, b) <= 1e-13
    assert result.converged


def test_lanczos_vectors_stay_orthonormal() -> None:
    """matfree's hessenberg swaps two flags: the basis loses its orthogonality altogether."""
    n = 300
    A = np.diag(np.r_[np.linspace(0, 1, n - 1), 100.0])
    w, V = ritz.eigsh(A, 5, which="LA", ncv=60, tol=1e-12)
    assert np.abs(V.T @ V - np.eye(5)).max() <= 10 * np.finfo(float).eps * np.sqrt(60)
    np.testing.assert_allclose(w, np.sort(np.diag(A))[-5:], atol=1e-10)


@pytest.mark.parametrize("method", ["bicgstab", "bicgstabl", "idrs", "gmres"])
@pytest.mark.parametrize(
    ("dtype", "size"), [("f8", 1e-12), ("f8", 1e-20), ("f4", 1e-6), ("f4", 1e-8), ("f4", 1e-10)]
)
def test_small_right_hand_sides_are_no_breakdown(method: str, dtype: str, size: float) -> None:
    """SciPy's bicg family: "breakdown" or x = 0 when the entries of b are small."""
    rng = np.random.default_rng(0)
    A = (np.eye(80) * 4 + rng.standard_normal((80, 80)) / 8).astype(dtype)
    b = (rng.standard_normal(80) * size).astype(dtype)
    rtol = 1e-8 if dtype == "f8" else 1e-4
    result = getattr(ritz, method)(A, b, rtol=rtol)
    assert result.converged
    assert relative_residual(A, result.x, b) <= 1.01 * rtol
    reference = getattr(ritz, method)(A, (b / b.dtype.type(size)), rtol=rtol)
    assert abs(result.iterations - reference.iterations) <= 1


@pytest.mark.parametrize("method", ["lsmr", "lsqr", "cgls"])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-10, 1e-14, 1e14])
def test_condition_estimates_have_no_units(method: str, scale: float) -> None:
    """Every LSMR after the reference code: cond 7e7 for a matrix of cond 4, and a stop at once."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((300, 100))
    b = rng.standard_normal(300)
    result = getattr(ritz, method)(A * scale, b, atol=1e-10, btol=1e-10)
    reference = getattr(ritz, method)(A, b, atol=1e-10, btol=1e-10)
    assert result.converged
    assert abs(result.iterations - reference.iterations) <= 1
    assert 1.0 <= result.cond_a <= 10 * np.linalg.cond(A)


@pytest.mark.parametrize("method", ["gmres", "fgmres", "gcrodr"])
def test_gmres_solves_for_a_tiny_right_hand_side(method: str) -> None:
    """JAX's and lineax's gmres in float64: x = 0 for ‖b‖ near 1e-19."""
    A = np.eye(30) * 2 + np.eye(30, k=1)
    b = np.full(30, 1e-20)
    result = getattr(ritz, method)(A, b, rtol=1e-10)
    assert result.converged
    assert relative_residual(A, result.x, b) <= 1.01e-10


def test_eigenvalues_have_no_units() -> None:
    """SciPy's lobpcg returns its random start for 1e-12 A; its svds errs by 2 % at 1e-20 A."""
    n = 200
    A = sp.diags_array([-1.0, 2.0, -1.0], offsets=[-1, 0, 1], shape=(n, n)).tocsr()
    exact = 2 - 2 * np.cos(np.pi * np.arange(n - 2, n + 1) / (n + 1))
    for scale in (1e-12, 1e-20, 1e20):
        w, _ = ritz.eigsh(A * scale, 3, which="LA")
        np.testing.assert_allclose(w / scale, exact, rtol=1e-9)


def test_no_curvature_is_zero_for_being_small() -> None:
    """Krylov.jl's cg: pᵀAp ≤ eps ‖p‖² counts as zero curvature, so that a small A is singular."""
    A = ritz.diagonal(np.linspace(1.0, 2.0, 50).astype("f4") * np.float32(1e-8))
    result = ritz.cg(A, np.ones(50, "f4"), rtol=1e-5)
    assert result.converged
    for step in (1e-20, 1e20):
        assert ritz.minres(spd(30, 20.0) * step, vector(30), rtol=1e-9).converged


def test_no_right_hand_side_is_zero_for_being_small() -> None:
    """AMGCL: ‖b‖ < eps gives x = 0 and success."""
    A, b = spd(30, 20.0), vector(30) * 1e-18
    for method in ("cg", "minres", "gmres", "bicgstab", "lsqr", "lsmr"):
        x, info = getattr(ritz, method)(A, b)
        assert info == 0
        assert np.linalg.norm(x) > 0
        reference = spla.spsolve(sp.csc_array(A), b)
        assert np.linalg.norm(x - reference) <= 1e-3 * np.linalg.norm(reference)
