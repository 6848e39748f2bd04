"""`ritz.scipy`: SciPy's signatures, defaults, callbacks and return values; honest success."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse.linalg as spla

import ritz
import ritz.scipy as drop_in
from problems import rectangular, spd, symmetric, vector

SHARED = ["cg", "bicgstab", "gmres", "lgmres", "minres", "lsqr", "lsmr"]


@pytest.mark.parametrize("name", SHARED)
def test_signatures_and_defaults_are_scipys(name: str) -> None:
    def told(f: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(f).parameters.values()]

    assert told(getattr(drop_in, name)) == told(getattr(spla, name))


def system(name: str, n: int = 60) -> tuple[Any, Any]:
    if name in ("cg", "minres"):
        return spd(n, 50.0), vector(n)
    return np.eye(n) * 3 + rectangular(n, n, 10.0, seed=4), vector(n)


@pytest.mark.parametrize("name", ["cg", "bicgstab", "gmres", "lgmres", "minres"])
def test_square_solvers_return_what_scipys_do(name: str) -> None:
    A, b = system(name)
    ours = getattr(drop_in, name)(A, b, rtol=1e-9)
    theirs = getattr(spla, name)(A, b, rtol=1e-9)
    assert type(ours) is tuple
    assert [type(v) for v in ours] == [type(v) for v in theirs]
    x, info = ours
    assert info == theirs[1] == 0
    assert np.linalg.norm(b - A @ x) <= 1e-9 * np.linalg.norm(b)
    np.testing.assert_allclose(x, theirs[0], atol=1e-5)
    for given in (spla.aslinearoperator(A), ritz.aslinearoperator(A)):
        again, info = getattr(drop_in, name)(given, b, rtol=1e-9)
        assert info == 0
        np.testing.assert_allclose(again, x, atol=1e-7)


@pytest.mark.parametrize("name", ["cg", "bicgstab", "minres"])
def test_callbacks_receive_the_iterate_and_stop_nothing(name: str) -> None:
    A, b = system(name)
    seen: list[Any] = []

    def callback(x: Any) -> bool:
        seen.append(x.copy())
        return True  # SciPy ignores what a callback returns

    x, info = getattr(drop_in, name)(A, b, rtol=1e-9, callback=callback)
    assert info == 0
    assert len(seen) > 3
    np.testing.assert_array_equal(seen[-1], x)


def test_limits_are_reported_as_scipys() -> None:
    A, b = spd(60, 1e4), vector(60)
    assert (
        drop_in.cg(A, b, rtol=1e-12, maxiter=3)[1] == 3 == spla.cg(A, b, rtol=1e-12, maxiter=3)[1]
    )
    assert drop_in.minres(A, b, rtol=1e-12, maxiter=4)[1] > 0
    arguments: Any = {"rtol": 1e-12, "restart": 3, "maxiter": 2}
    assert drop_in.gmres(A, b, **arguments)[1] == 2 == spla.gmres(A, b, **arguments)[1]


@pytest.mark.parametrize("kind", ["x", "pr_norm", "legacy", None])
def test_gmres_callbacks(kind: str | None) -> None:
    A, b = system("gmres")
    got: dict[str, list[Any]] = {"ours": [], "theirs": []}
    for key, f in (("ours", drop_in.gmres), ("theirs", spla.gmres)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            f(
                A,
                b,
                rtol=1e-30,
                restart=5,
                maxiter=2,
                callback_type=kind,
                callback=lambda v, key=key: got[key].append(np.copy(v)),
            )
    # x: each of 2 cycles; pr_norm: each of 10 inner iterations; legacy: maxiter of those.
    expected = {"x": 2, "pr_norm": 10, "legacy": 2, None: 2}[kind]
    assert len(got["ours"]) == len(got["theirs"]) == expected
    for ours, theirs in zip(got["ours"], got["theirs"], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    with pytest.raises(ValueError, match="callback_type"):
        drop_in.gmres(A, b, callback_type="y")


def test_gmres_counts_cycles_without_a_callback() -> None:
    A, b = system("gmres")
    products = []
    op = ritz.LinearOperator(A.shape, lambda v: products.append(1) or A @ v, dtype="f8")
    drop_in.gmres(op, b, rtol=1e-30, restart=5, maxiter=3)
    assert 15 <= len(products) <= 15 + 3


def test_minres_shift_check_and_show(capsys: Any) -> None:
    A, b = symmetric(np.linspace(-3, 4, 40)), vector(40)
    x, info = drop_in.minres(A, b, shift=0.7, rtol=1e-10, check=True, show=True)
    assert info == 0
    np.testing.assert_allclose((A - 0.7 * np.eye(40)) @ x, b, atol=1e-8)
    captured = capsys.readouterr()
    assert captured.out or captured.err
    with pytest.raises(ValueError, match="non-symmetric matrix"):
        drop_in.minres(rectangular(40, 40, 10.0), b, check=True)


def test_lgmres_carries_its_space_in_outer_v() -> None:
    n = 400
    A = np.diag(np.r_[np.geomspace(1e-4, 1e-2, 6), np.linspace(1, 2, n - 6)])
    A += np.diag(np.full(n - 1, 0.01), 1)
    outer_v: list[Any] = []
    products = []
    op = ritz.LinearOperator((n, n), lambda v: products.append(1) or A @ v, dtype="f8")
    arguments: Any = {"rtol": 1e-8, "inner_m": 20, "outer_k": 8, "outer_v": outer_v}
    assert drop_in.lgmres(op, vector(n), **arguments)[1] == 0
    first = len(products)
    assert drop_in.lgmres(op, vector(n), **arguments)[1] == 0
    assert len(products) - first <= first / 2
    seen: list[Any] = []
    x, info = drop_in.lgmres(A, vector(n), rtol=1e-8, callback=lambda x: seen.append(x.copy()))
    assert info == 0
    np.testing.assert_array_equal(seen[-1], x)


@pytest.mark.parametrize("name", ["lsqr", "lsmr"])
@pytest.mark.parametrize("damp", [0.0, 0.3])
def test_least_squares_return_what_scipys_do(name: str, damp: float) -> None:
    A, b, x0 = rectangular(70, 30, 3.0), vector(70), vector(30, seed=5)
    tight: Any = {"damp": damp, "atol": 1e-10, "btol": 1e-10, "x0": x0}
    ours = getattr(drop_in, name)(A, b, **tight)
    theirs = getattr(spla, name)(A, b, **tight)
    assert type(ours) is tuple
    assert len(ours) == len(theirs) == {"lsqr": 10, "lsmr": 8}[name]
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    assert ours[1] == theirs[1] == 2
    # r1norm and r2norm, or normr; and the norm of x, which SciPy's lsqr takes of x - x0.
    for i in {"lsqr": (3, 4), "lsmr": (3, 7)}[name]:
        assert ours[i] == pytest.approx(theirs[i], rel=1e-4), i
    consistent = getattr(drop_in, name)(A, A @ vector(30), atol=1e-10, btol=1e-10)
    assert consistent[1] == 1
    zero = getattr(drop_in, name)(A, np.zeros(70))
    assert zero[1] == 0
    short: Any = {"iter_lim": 2} if name == "lsqr" else {"maxiter": 2}
    assert getattr(drop_in, name)(A, b, atol=1e-14, btol=1e-14, **short)[1] == 7
    bad = rectangular(60, 20, 1e7)
    assert getattr(drop_in, name)(bad, vector(60), atol=0, btol=0, conlim=1e3)[1] == 3


def test_lsqr_estimates_variances() -> None:
    A, b = rectangular(80, 12, 10.0), vector(80)
    ours, theirs = (
        f(A, b, atol=1e-8, btol=1e-8, calc_var=True)[9] for f in (drop_in.lsqr, spla.lsqr)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    np.testing.assert_allclose(ours, np.diag(np.linalg.inv(A.T @ A)), rtol=5e-2)
    assert np.all(drop_in.lsqr(A, b)[9] == 0)


def test_minres_claims_what_its_documentation_says() -> None:
    # SciPy's own returns info 0 with a relative residual of 0.75 here: it tests a backward error.
    A, b = np.diag(np.geomspace(1e-10, 1.0, 100)), np.ones(100)
    for rtol in (1e-5, 1e-8):
        x, info = drop_in.minres(A, b, rtol=rtol)
        residual = np.linalg.norm(b - A @ x) / np.linalg.norm(b)
        assert (info == 0) == (residual <= rtol)
    assert np.linalg.norm(b - A @ spla.minres(A, b, rtol=1e-5)[0]) > 0.1


@pytest.mark.parametrize("name", ["cgs", "qmr"])
def test_methods_that_are_not_there_name_another(name: str) -> None:
    with pytest.raises(NotImplementedError, match=r"use .*gmres"):
        getattr(drop_in, name)(np.eye(3), np.ones(3))
