"""Random subspaces of parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import ritz
from ritz.sketch.subspace import Subspace

KINDS = ("sparse", "dense", "fastfood")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(40, 7), (64, 16), (30, 3), (5, 5), (9, 1)])
def test_the_gram_matrix_is_the_identity_in_the_mean(kind: str, n: int, d: int) -> None:
    seeds = 500
    P = [ritz.subspace(n, d, kind=kind, seed=s).to_dense() for s in range(seeds)]
    G = np.array([p.T @ p for p in P])
    deviation = np.maximum(G.std(axis=0, ddof=1) / math.sqrt(seeds), 1e-12)
    assert np.abs((G.mean(axis=0) - np.eye(d)) / deviation).max() < 5.0


def test_steps_keep_their_lengths() -> None:
    n, d = 20000, 50
    for kind in KINDS:
        P = ritz.subspace(n, d, kind=kind, seed=3)
        theta = np.random.default_rng(0).standard_normal((d, 20))
        ratio = np.linalg.norm(P @ theta, axis=0) / np.linalg.norm(theta, axis=0)
        # √(2/n) / 2 is half a per cent.
        assert np.abs(ratio - 1).max() < 5 * math.sqrt(2 / n) / 2 + 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_products_and_adjoint(kind: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    P = ritz.subspace(37, 6, kind=kind, seed=2)
    D = ritz.subspace(37, 6, kind=kind, seed=2, like=np.zeros(1, dtype)).to_dense()
    assert D.dtype == dtype
    theta, g = rng.standard_normal(6).astype(dtype), rng.standard_normal((37, 3)).astype(dtype)
    tol = 50 * np.finfo(dtype).eps
    assert (P @ theta).dtype == dtype
    np.testing.assert_allclose(P @ theta, D @ theta, atol=tol)
    np.testing.assert_allclose(P.T @ g, D.T @ g, atol=tol)
    np.testing.assert_allclose(P.H @ g, D.conj().T @ g, atol=tol)
    np.testing.assert_array_equal(ritz.subspace(37, 6, kind=kind, seed=2) @ theta, P @ theta)
    assert not np.array_equal(ritz.subspace(37, 6, kind=kind, seed=3) @ theta, P @ theta)


def test_sparse_rows_have_nnz_elements() -> None:
    for nnz, d in ((8, 32), (3, 7), (1, 5), (8, 4)):
        D = ritz.subspace(50, d, nnz=nnz).to_dense()
        np.testing.assert_array_equal(np.count_nonzero(D, axis=1), min(nnz, d))


@pytest.mark.parametrize("kind", KINDS)
def test_trees_in_and_out(kind: str) -> None:
    tree = {"W": np.zeros((4, 5)), "b": np.zeros(4)}
    P = ritz.subspace(24, 3, kind=kind, domain=tree)
    flat = ritz.subspace(24, 3, kind=kind)
    theta = np.arange(1.0, 4.0)
    step = P @ theta
    np.testing.assert_array_equal(step["W"].ravel(), (flat @ theta)[:20])
    np.testing.assert_array_equal(step["b"], (flat @ theta)[20:])
    gradient = {"W": np.ones((4, 5)), "b": 2 * np.ones(4)}
    expected = flat.T @ np.concatenate([np.ones(20), 2 * np.ones(4)])
    np.testing.assert_allclose(P.T @ gradient, expected)
    np.testing.assert_allclose(P.T @ np.concatenate([np.ones(20), 2 * np.ones(4)]), expected)
    with pytest.raises(ValueError, match="domain"):
        ritz.subspace(25, 3, kind=kind, domain=tree)


def test_torch_and_jax_parameters() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.Linear(5, 4)
    P = ritz.subspace(24, 3, domain=dict(module.named_parameters()))
    theta = torch.arange(3.0)
    step = P @ theta
    assert set(step) == {"weight", "bias"}
    assert step["weight"].dtype == torch.float32
    flat = ritz.subspace(24, 3) @ theta.numpy()
    np.testing.assert_array_equal(step["weight"].numpy().ravel(), flat[:20])
    back = P.T @ step
    assert isinstance(back, torch.Tensor)
    np.testing.assert_allclose(back.numpy(), ritz.subspace(24, 3).T @ flat, rtol=1e-5)
    jnp = pytest.importorskip("jax.numpy")
    tree = (jnp.zeros((2, 3)), jnp.zeros(2))
    step = ritz.subspace(8, 3, domain=tree) @ jnp.arange(3.0)
    assert [leaf.shape for leaf in step] == [(2, 3), (2,)]


@pytest.mark.parametrize("kind", KINDS)
def test_it_composes_with_operators(kind: str) -> None:
    rng = np.random.default_rng(0)
    H = rng.standard_normal((24, 24))
    H = H @ H.T
    P = ritz.subspace(24, 5, kind=kind)
    reduced = P.T @ ritz.aslinearoperator(H) @ P
    D = P.to_dense()
    np.testing.assert_allclose(reduced.to_dense(), D.T @ H @ D, rtol=1e-11, atol=1e-11)
    b = rng.standard_normal(5)
    theta = ritz.cg(reduced, b, rtol=1e-12)[0]
    np.testing.assert_allclose(D.T @ H @ D @ theta, b, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_ten_constraints_are_met_from_ten_dimensions_on(kind: str) -> None:
    # Li et al., section 2: 1000 parameters that must sum to 1, …, 10 in groups of 100.
    A = np.kron(np.eye(10), np.ones(100)) / 10
    b = np.arange(1.0, 11.0)
    for d, solvable in ((9, False), (10, True), (15, True)):
        AP = A @ ritz.subspace(1000, d, kind=kind, seed=1).to_dense()
        theta = np.linalg.lstsq(AP, b, rcond=None)[0]
        assert (np.linalg.norm(AP @ theta - b) < 1e-8) == solvable


def test_like_sets_the_element_type_and_bad_arguments() -> None:
    P = ritz.subspace(20, 4, like=np.zeros(1, np.float32))
    assert isinstance(P, Subspace)
    assert P.dtype == np.float32
    assert (P.kind, P.seed, P.shape) == ("sparse", 0, (20, 4))
    assert "Subspace" in repr(P)
    with pytest.raises(ValueError, match="kind"):
        ritz.subspace(20, 4, kind="gaussian")
    with pytest.raises(ValueError, match="d is 0"):
        ritz.subspace(20, 0)
    with pytest.raises(ValueError, match="nnz"):
        ritz.subspace(20, 4, nnz=0)
    with pytest.raises(TypeError, match="n is"):
        ritz.subspace(2.5, 4)  # type: ignore[arg-type]
