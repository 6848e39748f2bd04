"""The spectral methods of `ritz.scipy`: SciPy's signatures, return values and exceptions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz.scipy as drop_in
from problems import rectangular, symmetric

SHARED = ["eigsh", "eigs", "svds", "lobpcg", "expm_multiply"]


@pytest.mark.parametrize("name", SHARED)
def test_signatures_and_defaults_are_scipys(name: str) -> None:
    def told(f: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]

    ours, theirs = told(getattr(drop_in, name)), told(getattr(spla, name))
    known = {name for name, _, _ in theirs}
    # rng came with SciPy 1.17.
    assert [p for p in ours if p[0] in known or p[0] not in ("rng", "random_state")] == theirs


def hermitian(n: int = 60) -> Any:
    return sp.csr_array(
        sp.diags_array([-np.ones(n - 1), 2 + np.arange(n) / 7, -np.ones(n - 1)], offsets=[-1, 0, 1])
    )


@pytest.mark.parametrize("form", ["sparse", "dense", "operator"])
@pytest.mark.parametrize(
    "options",
    [
        {"k": 4},
        {"k": 3, "which": "SA"},
        {"k": 4, "which": "BE"},
        {"k": 2, "sigma": 5.3},
        {"k": 3, "which": "SM"},
    ],
)
def test_eigsh_returns_what_scipys_does(form: str, options: dict[str, Any]) -> None:
    A = hermitian()
    given = {"sparse": A, "dense": A.toarray(), "operator": spla.aslinearoperator(A)}[form]
    w, V = drop_in.eigsh(given, **options)
    expected = np.sort(spla.eigsh(A, v0=np.ones(60), **options)[0])
    np.testing.assert_allclose(w, expected, rtol=1e-10)
    assert np.all(np.diff(w) >= 0)
    assert np.linalg.norm(A @ V - V * w) <= 1e-10 * np.abs(w).max()
    np.testing.assert_array_equal(w, drop_in.eigsh(given, return_eigenvectors=False, **options))


def test_eigsh_generalised_factorises_as_scipys() -> None:
    A, M = hermitian(), sp.csr_array(sp.diags_array(np.linspace(1.0, 2.0, 60)))
    for options in ({"k": 3}, {"k": 3, "sigma": 4.1}):
        w, V = drop_in.eigsh(A, M=M, **options)
        np.testing.assert_allclose(
            w, np.sort(spla.eigsh(A, M=M, v0=np.ones(60), **options)[0]), rtol=1e-9
        )
        np.testing.assert_allclose(V.T @ (M @ V), np.eye(3), atol=1e-9)


def test_no_convergence_is_scipys_exception() -> None:
    A = spla.aslinearoperator(hermitian(200))
    with pytest.raises(spla.ArpackNoConvergence) as told:
        drop_in.eigsh(A, k=4, which="SA", maxiter=1, ncv=6)
    assert len(told.value.eigenvalues) == told.value.eigenvectors.shape[1] < 4
    with pytest.raises(NotImplementedError, match="normal"):
        drop_in.eigsh(A, mode="buckling", sigma=1.0)


@pytest.mark.parametrize(
    ("options", "badness"),
    [
        ({"k": 5}, lambda z: -abs(z)),
        ({"k": 3, "which": "SR"}, lambda z: z.real),
        ({"k": 4, "sigma": 3.2}, lambda z: abs(z - 3.2)),
        ({"k": 4, "which": "LI"}, lambda z: -abs(z.imag)),
    ],
)
def test_eigs_returns_what_scipys_should(
    options: dict[str, Any], badness: Callable[[Any], Any]
) -> None:
    """From some of its random starts ARPACK misses wanted values, so the oracle is dense."""
    A = sp.csr_array(
        symmetric(np.linspace(-1.0, 1.0, 40), seed=1) + 0.3 * rectangular(40, 40, 5.0, seed=2)
    )
    w, V = drop_in.eigs(A, **options)
    values = np.linalg.eigvals(A.toarray())
    wanted = values[np.argsort(badness(values))][: options["k"]]
    key = lambda z: (np.round(z.real, 8), np.round(z.imag, 8))  # noqa: E731
    np.testing.assert_allclose(sorted(w, key=key), sorted(wanted, key=key), rtol=1e-8, atol=1e-8)
    assert np.linalg.norm(A @ V - V * w) <= 1e-8 * np.abs(w).max()
    assert w.dtype == V.dtype == np.complex128


@pytest.mark.parametrize("solver", ["arpack", "propack", "lobpcg"])
def test_svds_returns_what_scipys_does(solver: str) -> None:
    A = sp.csr_array(rectangular(50, 30, 100.0, seed=3))
    u, s, vh = drop_in.svds(A, k=5, solver=solver)
    expected = np.linalg.svd(A.toarray(), compute_uv=False)
    np.testing.assert_allclose(s, expected[:5][::-1], rtol=1e-11)
    np.testing.assert_allclose((u * s) @ vh, (u @ u.T) @ A.toarray(), atol=1e-9)
    assert u.shape == (50, 5)
    assert vh.shape == (5, 30)
    np.testing.assert_allclose(
        drop_in.svds(A, k=3, which="SM", return_singular_vectors=False),
        expected[-3:][::-1],
        rtol=1e-9,
    )
    left = drop_in.svds(A, k=2, return_singular_vectors="u")
    assert left[0].shape == (50, 2)
    assert left[2] is None
    with pytest.raises(ValueError, match="solver"):
        drop_in.svds(A, solver="lapack")


@pytest.mark.parametrize("largest", [True, False])
def test_lobpcg_returns_what_scipys_does(largest: bool) -> None:
    A = hermitian(100)
    X = np.random.default_rng(0).standard_normal((100, 4))
    w, V = drop_in.lobpcg(A, X, tol=1e-9, maxiter=300, largest=largest)
    truth = np.linalg.eigvalsh(A.toarray())
    np.testing.assert_allclose(w, truth[::-1][:4] if largest else truth[:4], rtol=1e-9)
    np.testing.assert_allclose(A @ V, V * w, atol=1e-7)
    with pytest.warns(UserWarning, match="lobpcg"):
        drop_in.lobpcg(A, X, tol=1e-12, maxiter=1, largest=largest)
    with pytest.raises(NotImplementedError, match="histor"):
        drop_in.lobpcg(A, X, retLambdaHistory=True)


@pytest.mark.parametrize("columns", [None, 3])
def test_expm_multiply_returns_what_scipys_does(columns: int | None) -> None:
    rng = np.random.default_rng(1)
    A = sp.csr_array(rectangular(40, 40, 10.0, seed=5) - 2 * np.eye(40))
    B = rng.standard_normal(40 if columns is None else (40, columns))
    np.testing.assert_allclose(drop_in.expm_multiply(A, B), spla.expm_multiply(A, B), atol=1e-10)
    ours = drop_in.expm_multiply(A, B, start=0.0, stop=1.5, num=4, endpoint=False)
    theirs = spla.expm_multiply(A, B, start=0.0, stop=1.5, num=4, endpoint=False)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
