"""Singular triplets against dense decompositions and closed forms, with bounds that hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps
from ritz import Status


def matrix(m, n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((m, n))
    return a.astype(dtype)


def with_values(m, n, values, dtype=np.float64, seed=0):
    k = min(m, n)
    u = np.linalg.qr(matrix(m, k, dtype, seed).astype(complex))[0]
    v = np.linalg.qr(matrix(n, k, dtype, seed + 1).astype(complex))[0]
    a = (u * np.asarray(values)) @ v.conj().T
    return (a if np.dtype(dtype).kind == "c" else a.real).astype(dtype)


def check(res, a, which, tol=0.0):
    """Everything that a converged result promises."""
    u, s, vt = (np.asarray(x) for x in res)
    dtype = a.dtype
    exact = np.linalg.svd(a.astype(np.result_type(dtype, np.float64)), compute_uv=False)
    k = len(s)
    truth = exact[:k] if which == "LM" else exact[len(exact) - k :]
    top = exact[0]
    assert res.converged
    assert res.verified
    assert u.dtype == vt.dtype == dtype
    assert s.dtype == np.dtype(dtype.char.lower())
    assert (u.shape, vt.shape) == ((a.shape[0], k), (k, a.shape[1]))
    assert np.all(np.diff(s) <= 0)
    assert np.all(np.abs(s - truth) <= res.bounds + 20 * eps(dtype) * top)
    v = vt.conj().T
    left = np.linalg.norm(a @ v - u * s, axis=0)
    right = np.linalg.norm(a.conj().T @ u - v * s, axis=0)
    assert np.all(np.maximum(left, right) <= res.residuals + 30 * eps(dtype) * top)
    assert np.all(res.residuals <= max(tol, 64 * eps(dtype)) * top * (1 + 1e-6))
    limit = 10 * eps(dtype) * np.sqrt(k)
    # The products that measure it round as well.
    slack = 2 * eps(dtype) * np.sqrt(max(a.shape)) / 4
    assert np.abs(u.conj().T @ u - np.eye(k)).max() <= limit + slack
    assert np.abs(v.conj().T @ v - np.eye(k)).max() <= limit + slack


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["LM", "SM"])
@pytest.mark.parametrize(("m", "n", "k"), [(120, 50, 5), (40, 90, 4), (30, 30, 30), (12, 1, 1)])
def test_triplets(dtype, which, m, n, k):
    a = matrix(m, n, dtype)
    check(ritz.svds(a, k, which=which), a, which)


def test_scipys_largest_with_no_more_products():
    a = sp.random_array((2000, 600), density=0.02, rng=np.random.default_rng(1), format="csr")
    counts = Counting(a)
    op = spla.LinearOperator(a.shape, counts.matvec, rmatvec=lambda x: counting(counts, a, x))
    expected = spla.svds(op, 20, rng=0)[1]
    scipys = counts.matvecs + counts.rmatvecs
    res = ritz.svds(a, 20)
    np.testing.assert_allclose(res.s, np.sort(expected)[::-1], rtol=1e-12)
    assert res.products.total <= 1.1 * scipys


def counting(counts, a, x):
    counts.rmatvecs += 1
    return a.T @ x


def test_incidence_closed_form():
    n = 300
    a = sp.diags_array([np.ones(n), -np.ones(n)], offsets=[0, -1], shape=(n + 1, n), format="csr")
    exact = 2 * np.sin(np.pi * np.arange(n, 0, -1) / (2 * (n + 1)))
    for which, truth in (("LM", exact[:5]), ("SM", exact[-5:])):
        res = ritz.svds(a, 5, which=which, tol=1e-9)
        assert res.converged
        assert np.all(np.abs(res.s - truth) <= res.bounds)


def test_mikota_pair():
    """Masses 1/i on springs n + 1 − i: K = D Dᵀ, eigenfrequencies 1, 2, …, n."""
    n = 30
    i = np.arange(1, n + 1)
    springs = np.sqrt(n + 1.0 - i)
    difference = np.diag(np.ones(n)) - np.diag(np.ones(n - 1), -1)
    a = springs[:, None] * difference * np.sqrt(i)
    res = ritz.svds(a, n)
    np.testing.assert_allclose(res.s, np.arange(n, 0, -1), atol=64 * eps(np.float64) * n)
    np.testing.assert_allclose(
        ritz.svds(a, 4, which="SM").s, [4, 3, 2, 1], atol=64 * eps(np.float64) * n
    )


@pytest.mark.parametrize("which", ["LM", "SM"])
def test_graded(which):
    values = np.logspace(0, -12, 100)
    a = with_values(130, 100, values)
    res = ritz.svds(a, 8, which=which, ncv=100)
    truth = values[:8] if which == "LM" else values[-8:]
    assert res.converged
    np.testing.assert_allclose(res.s, truth, atol=64 * eps(np.float64))


@pytest.mark.parametrize("factor", [1e-25, 1e-10, 1e25])
@pytest.mark.parametrize("which", ["LM", "SM"])
def test_scale_changes_nothing(factor, which):
    a = matrix(300, 100)
    base = ritz.svds(a, 4, which=which)
    res = ritz.svds(a * factor, 4, which=which)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 2
    np.testing.assert_allclose(res.s / factor, base.s, rtol=1e-12)


def test_single_precision_stays_single():
    a = matrix(60, 40, np.float32)
    seen = []

    def matvec(x):
        seen.append(x.dtype)
        return a @ x

    def rmatvec(x):
        seen.append(x.dtype)
        return a.T @ x

    op = ritz.LinearOperator(a.shape, matvec, rmatvec, dtype=np.float32)
    res = ritz.svds(op, 3)
    assert set(seen) == {np.dtype(np.float32)}
    assert res.u.dtype == res.s.dtype == res.vt.dtype == np.float32


def test_clusters_are_found_whole():
    values = np.r_[np.full(20, 3.0), np.linspace(2, 1, 80)]
    a = with_values(150, 100, values)
    check(ritz.svds(a, 22), a, "LM")
    values = np.r_[np.linspace(2, 1, 80), np.full(20, 0.25)]
    a = with_values(150, 100, values)
    check(ritz.svds(a, 22, which="SM"), a, "SM")


def test_null_vectors_have_partners():
    a = with_values(150, 150, np.r_[np.linspace(2, 1, 147), np.zeros(3)])
    for k in (2, 3, 6):
        res = ritz.svds(a, k, which="SM", ncv=20)
        assert res.restarts > 0
        check(res, a, "SM")


@pytest.mark.parametrize("which", ["LM", "SM"])
def test_zero_and_rank_one(which):
    a = np.zeros((30, 20))
    check(ritz.svds(a, 4, which=which), a, which)
    a[3, 4] = 2.0
    check(ritz.svds(a, 4, which=which), a, which)
    check(ritz.svds(a.T.copy(), 20, which=which), a.T, which)


def test_counts_are_the_closures_own():
    c = Counting(matrix(60, 40))
    A = ritz.LinearOperator((60, 40), c.matvec, lambda x: counting(c, c.a, x))
    res = ritz.svds(A, 3)
    assert res.products.total == c.matvecs + c.rmatvecs
    assert A.counts.total == res.products.total
    bare = ritz.svds(A, 3, verify=False)
    assert not bare.verified
    assert bare.products.total == res.products.total - 6


def test_seeds_and_starts():
    a = matrix(80, 50)
    np.testing.assert_array_equal(ritz.svds(a, 3).u, ritz.svds(a, 3).u)
    assert not np.array_equal(ritz.svds(a, 3).u, ritz.svds(a, 3, seed=1).u)
    for b, side in ((a, lambda r: r.vt[0]), (a.T.copy(), lambda r: r.u[:, 0])):
        cold = ritz.svds(b, 1, tol=1e-8)
        kept = np.array(side(cold))
        warm = ritz.svds(b, 1, tol=1e-8, v0=kept)
        assert warm.products.total < cold.products.total / 2
        np.testing.assert_array_equal(kept, side(cold))


def test_only_what_is_asked_for():
    a = matrix(40, 30)
    full = ritz.svds(a, 3)
    for asked, there in ((False, (0, 0)), ("u", (1, 0)), ("vh", (0, 1)), (True, (1, 1))):
        u, s, vt = ritz.svds(a, 3, return_singular_vectors=asked)
        np.testing.assert_array_equal(s, full.s)
        assert (u is not None, vt is not None) == tuple(map(bool, there))


def test_stopped_runs_say_so():
    a = matrix(200, 150)
    res = ritz.svds(a, 4, max_products=10, verify=False)
    assert res.status is Status.max_products
    assert res.products.total == 10
    assert ritz.svds(a, 4, maxiter=1, ncv=6).status is Status.max_iterations
    assert ritz.svds(a, 4, callback=lambda state: state.iteration == 3).status is Status.stopped
    res = ritz.svds(a, 4, callback=lambda state: state.iteration == 3)
    assert res.found == 3
    assert np.isnan(res.s[3])
    assert np.isnan(res.u[:, 3]).all()


def test_an_exception_passes_unchanged():
    class Own(Exception):
        pass

    def fail(state):
        raise Own

    with pytest.raises(Own):
        ritz.svds(matrix(30, 20), 2, callback=fail)


def test_nonfinite_products_end_the_run():
    a = matrix(50, 40)
    a[3, 4] = np.nan
    res = ritz.svds(a, 2)
    assert res.status is Status.nonfinite
    assert res.found == 0
    assert np.isnan(res.s).all()


def test_history_and_basis_limit():
    a = matrix(300, 200)
    res = ritz.svds(a, 4, history=True, max_basis=8)
    assert res.converged
    assert len(res.history) == res.iterations
    assert ritz.svds(a, 4, ncv=8).restarts == res.restarts


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"k": 0}, ValueError, "k is 0"),
        ({"k": 31}, ValueError, "only 30"),
        ({"which": "LA"}, ValueError, "which"),
        ({"ncv": 2}, ValueError, "ncv"),
        ({"max_basis": 2}, ValueError, "max_basis"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"v0": np.ones(40)}, ValueError, "v0"),
        ({"return_singular_vectors": "v"}, ValueError, "return_singular_vectors"),
        ({"seed": -1}, ValueError, "seed"),
    ],
)
def test_bad_input(options, error, text):
    with pytest.raises(error, match=text):
        ritz.svds(matrix(40, 30), **{"k": 3, **options})


def test_an_adjoint_is_needed():
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.svds(ritz.LinearOperator((4, 3), lambda x: np.zeros(4)), 1)


def test_empty():
    for shape in ((0, 0), (5, 0), (0, 5)):
        res = ritz.svds(np.zeros(shape))
        assert res.converged
        assert res.s.shape == (0,)
        assert (res.u.shape, res.vt.shape) == ((shape[0], 0), (0, shape[1]))


def test_torch_and_jax():
    torch = pytest.importorskip("torch")
    a = matrix(40, 25)
    t = torch.from_numpy(a)
    res = ritz.svds(t, 3)
    assert all(isinstance(x, torch.Tensor) for x in res)
    torch.testing.assert_close(t @ res.vt.T, res.u * res.s)
    jnp = pytest.importorskip("jax.numpy")
    import jax

    j = jnp.asarray(a.astype(np.float32))
    res = ritz.svds(j, 3)
    assert all(isinstance(x, jax.Array) for x in res)
    np.testing.assert_allclose(j @ res.vt.T, res.u * res.s, atol=1e-4)


def test_trees():
    torch = pytest.importorskip("torch")
    a, b = torch.from_numpy(matrix(30, 8)), torch.from_numpy(matrix(30, 4, seed=3))
    domain = {"p": torch.zeros(8, dtype=torch.float64), "q": torch.zeros(4, dtype=torch.float64)}
    codomain = [torch.zeros(30, dtype=torch.float64)]
    c = torch.cat([a, b], dim=1)
    A = ritz.LinearOperator(
        (30, 12), lambda x: c @ x, lambda y: c.T @ y, domain=domain, codomain=codomain
    )
    res = ritz.svds(A, 3, v0={"p": torch.ones(8).double(), "q": torch.ones(4).double()})
    exact = np.linalg.svd(np.hstack([a, b]), compute_uv=False)
    np.testing.assert_allclose(res.s, exact[:3], rtol=1e-12)
    v = A.domain.unflatten(res.vt[0])
    assert v["p"].shape == (8,)
    assert A.codomain.unflatten(res.u[:, 0])[0].shape == (30,)


def test_plot():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    a = with_values(40, 30, np.r_[np.logspace(0, -6, 27), np.zeros(3)])
    ax = ritz.svds(a, 30).plot()
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    assert ax.get_title()


def test_killed_run_goes_on_to_the_same_bits(tmp_path):
    path = tmp_path / "state"
    script = textwrap.dedent(
        f"""
        import sys, time
        import numpy as np, ritz
        slow = sys.argv[1] == "slow"
        a = np.random.default_rng(5).standard_normal((120, 90))
        def wait(state):
            if slow:
                time.sleep(0.002)
        r = ritz.svds(a, 3, which="SM", ncv=8, checkpoint={str(path)!r}, checkpoint_every=0.0,
                      callback=wait)
        np.savez({str(tmp_path / "result.npz")!r}, u=r.u, s=r.s, n=r.products.total)
        """
    )
    command = [sys.executable, "-c", script]
    child = subprocess.Popen([*command, "slow"])
    while not path.exists():
        assert child.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert path.exists()
    subprocess.run([*command, "fast"], check=True)
    assert not path.exists()
    resumed = np.load(tmp_path / "result.npz")
    a = np.random.default_rng(5).standard_normal((120, 90))
    whole = ritz.svds(a, 3, which="SM", ncv=8)
    np.testing.assert_array_equal(resumed["s"], whole.s)
    np.testing.assert_array_equal(resumed["u"], whole.u)
    assert resumed["n"] == whole.products.total
