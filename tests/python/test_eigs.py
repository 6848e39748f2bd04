"""Eigenvalues of general operators against dense ones, closed forms and SciPy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.linalg as la
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz
from problems import DTYPES, Counting, eps, vector
from ritz import Status

KEYS = {
    "LM": lambda w, _: -np.abs(w),
    "LR": lambda w, _: -w.real,
    "SR": lambda w, _: w.real,
    "LI": lambda w, real: -np.abs(w.imag) if real else -w.imag,
}


def random(n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((n, n))
    return a.astype(dtype)


def distance(values, truth):
    """Return the largest distance from a value to the nearest one of the truth not yet taken."""
    left = list(truth)
    worst = 0.0
    for x in values:
        i = int(np.argmin(np.abs(np.asarray(left) - x)))
        worst = max(worst, abs(left.pop(i) - x))
    return worst


def convection(p, c):
    """Return convection and diffusion on a p × p grid: real, not symmetric, real eigenvalues."""
    t = sp.diags_array([-(1 + c), 0.0, -(1 - c)], offsets=[-1, 0, 1], shape=(p, p))
    one = sp.eye_array(p)
    return (4 * sp.eye_array(p * p) + sp.kron(one, t) + sp.kron(t, one)).tocsr()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", list(KEYS))
@pytest.mark.parametrize(("n", "k"), [(100, 5), (100, 6), (20, 20), (12, 1)])
def test_eigenpairs(dtype, which, n, k):
    a = random(n, dtype)
    res = ritz.eigs(a, k, which=which, ncv=min(n, 30))
    w, V = res
    assert res.converged
    assert res.verified
    assert w.dtype == V.dtype == np.result_type(dtype, np.complex64)
    assert V.shape == (n, k)
    wide = a.astype(complex)
    norm = np.linalg.norm(wide, 2)
    measured = np.linalg.norm(wide @ V - V * w, axis=0)
    np.testing.assert_allclose(np.linalg.norm(V, axis=0), 1.0, rtol=1e-4)
    assert np.all(measured <= res.residuals + 50 * eps(dtype) * norm)
    assert np.all(res.residuals <= res.target)
    assert 0.1 * norm <= res.norm_a <= norm * (1 + 1e-5)
    truth = np.linalg.eigvals(wide)
    assert distance(w, truth) <= 5e3 * eps(dtype) * norm
    real = np.dtype(dtype).kind != "c"
    key = KEYS[which]
    best = np.sort(key(truth, real))[:k]
    np.testing.assert_allclose(key(w.astype(complex), real), best, atol=5e3 * eps(dtype) * norm)


@pytest.mark.parametrize("which", ["LM", "LR", "SR"])
def test_scipy_agrees(which):
    a = convection(15, 0.2)
    ours = ritz.eigs(a, 4, which=which)
    theirs = spla.eigs(a, 4, which=which, v0=vector(225), return_eigenvectors=False)
    assert ours.converged
    assert distance(ours.w, theirs) < 1e-10
    assert ours.preconditioner_products == 0


def test_conjugate_pairs_stay_together():
    a = la.block_diag(*[np.array([[0.0, j], [-j, 0.0]]) for j in range(1, 16)])
    res = ritz.eigs(a, 5)
    assert res.converged
    np.testing.assert_allclose(res.w.imag, [15, -15, 14, -14, 13], atol=1e-12)
    assert res.w[0] == np.conj(res.w[1])
    np.testing.assert_array_equal(res.V[:, 0], np.conj(res.V[:, 1]))
    np.testing.assert_allclose(res.condition, 1.0)
    # One real product a step; three pairs of real ones to verify.
    assert res.products.total == res.iterations + 6


def test_condition_tells_of_sensitivity():
    a = np.diag(np.arange(1.0, 31.0))
    assert ritz.eigs(a, 3).condition.max() < 1.001
    a[28, 29] = 1e4
    res = ritz.eigs(a, 2)
    left, right = la.eig(a, left=True, right=True)[1:]
    exact = 1 / np.abs(np.sum(left.conj() * right, axis=0))[[29, 28]]
    np.testing.assert_allclose(res.condition, exact, rtol=1e-6)
    np.testing.assert_allclose(res.errors, res.condition * res.residuals)


def test_defective():
    n = 30
    a = 0.5 * np.eye(n) + np.diag(np.ones(n - 1), 1)
    res = ritz.eigs(a, 3)
    assert res.converged
    assert np.linalg.norm(a @ res.V - res.V * res.w, axis=0).max() <= 1e-13
    assert res.condition.min() > 1e6  # the values themselves are off by eps^(1/30)


@pytest.mark.parametrize("name", ["zero", "identity", "rank one"])
def test_degenerate(name):
    u = vector(40)
    a = {"zero": np.zeros((40, 40)), "identity": np.eye(40), "rank one": np.outer(u, u[::-1])}[name]
    res = ritz.eigs(a, 3)
    assert res.converged
    truth = {"zero": [0, 0, 0], "identity": [1, 1, 1], "rank one": [u @ u[::-1], 0, 0]}[name]
    np.testing.assert_allclose(res.w, truth, atol=1e-12)


@pytest.mark.parametrize("factor", [1e-25, 1e25])
def test_scale_changes_nothing(factor):
    a = random(80)
    base = ritz.eigs(a, 4)
    res = ritz.eigs(a * factor, 4)
    assert res.status is base.status
    assert abs(res.iterations - base.iterations) <= 10
    np.testing.assert_allclose(res.w / factor, base.w, rtol=1e-11)


@pytest.mark.parametrize("sigma", [0, 1.5, 0.5 + 1j])
def test_nearest_a_target(sigma):
    n = 60
    a = random(n, seed=4)
    lu = la.lu_factor(a - sigma * np.eye(n))
    solve = ritz.LinearOperator((n, n), lambda x: la.lu_solve(lu, x))
    res = ritz.eigs(a, 4, sigma=sigma, OPinv=solve)
    truth = np.linalg.eigvals(a)
    nearest = truth[np.argsort(np.abs(truth - sigma))]
    assert res.converged
    assert distance(res.w, nearest[:5]) < 1e-11  # a pair may be cut
    assert np.linalg.norm(a @ res.V - res.V * res.w, axis=0).max() <= res.target
    assert res.preconditioner_products == res.iterations
    assert solve.counts.total == res.iterations
    # The norm of A is estimated by four products, then each pair is verified.
    assert res.products.total in (8, 9)


def test_generalized():
    n = 50
    a, root = random(n, seed=1), random(n, seed=2)
    m = root @ root.T / n + np.eye(n)
    truth = la.eigvals(a, m)
    factor = la.cho_factor(m)
    minv = ritz.LinearOperator((n, n), lambda x: la.cho_solve(factor, x))
    res = ritz.eigs(a, 4, M=m, Minv=minv)
    assert res.converged
    assert distance(res.w, truth) < 1e-9
    np.testing.assert_allclose(np.abs(res.w), np.sort(np.abs(truth))[::-1][:4], rtol=1e-9)
    residual = np.linalg.norm(a @ res.V - m @ res.V * res.w, axis=0)
    np.testing.assert_allclose(residual, res.residuals, atol=1e-13)
    lu = la.lu_factor(a - 0.3 * m)
    near = ritz.eigs(
        a, 3, M=m, sigma=0.3, OPinv=ritz.LinearOperator((n, n), lambda x: la.lu_solve(lu, x))
    )
    assert near.converged
    assert distance(near.w, truth[np.argsort(np.abs(truth - 0.3))][:4]) < 1e-9
    assert near.mass_products > near.iterations


def test_torch_jax_and_trees():
    a = random(30)
    exact = ritz.eigs(a, 3).w
    torch = pytest.importorskip("torch")
    t = torch.from_numpy(a)
    res = ritz.eigs(t, 3)
    assert isinstance(res.w, torch.Tensor)
    assert res.V.dtype == torch.complex128
    np.testing.assert_allclose(res.w.numpy(), exact, atol=1e-11)
    tree = {"x": torch.zeros(10, dtype=torch.float64), "y": torch.zeros(4, 5, dtype=torch.float64)}
    A = ritz.LinearOperator((30, 30), lambda x: t @ x, domain=tree, codomain=tree)
    start = {"x": torch.ones(10, dtype=torch.float64), "y": torch.ones(4, 5, dtype=torch.float64)}
    res = ritz.eigs(A, 3, v0=start)
    assert isinstance(res.V, torch.Tensor)
    np.testing.assert_allclose(np.sort(np.abs(res.w.numpy())), np.sort(np.abs(exact)))


def test_jax():
    jnp = pytest.importorskip("jax.numpy")
    a = random(30, np.float32)
    res = ritz.eigs(jnp.asarray(a), 2)
    assert res.converged
    assert type(res.V).__module__.startswith("jax")
    truth = np.linalg.eigvals(a.astype(float))
    assert distance(np.asarray(res.w), truth) < 1e-3


def test_seeds_and_starts():
    a = random(50)
    np.testing.assert_array_equal(ritz.eigs(a, 3).V, ritz.eigs(a, 3).V)
    assert not np.array_equal(ritz.eigs(a, 3).V, ritz.eigs(a, 3, seed=1).V)
    v0 = vector(50)
    kept = v0.copy()
    ritz.eigs(a, 3, v0=v0)
    np.testing.assert_array_equal(v0, kept)
    assert ritz.eigs(a, 3, return_eigenvectors=False).V is None


def test_counts_are_the_closures_own():
    c = Counting(random(60))
    A = ritz.LinearOperator((60, 60), c.matvec)
    res = ritz.eigs(A, 3)
    assert res.products.total == c.matvecs
    assert A.counts == res.products
    assert res.iterations < c.matvecs <= res.iterations + 4


def test_stopped_runs_say_so():
    a = convection(20, 0.1)
    res = ritz.eigs(a, 4, max_products=10, verify=False)
    assert res.status is Status.max_products
    assert res.products.total == 10
    res = ritz.eigs(a, 4, maxiter=1, ncv=8)
    assert res.status is Status.max_iterations
    assert res.residual > res.target
    res = ritz.eigs(a, 4, callback=lambda it: it.iteration == 7)
    assert res.status is Status.stopped
    assert res.iterations == 7
    assert np.isfinite(res.w).all()


def test_nonfinite_and_exceptions():
    a = random(40)
    calls = []

    def matvec(x):
        calls.append(1)
        if len(calls) == 9:
            raise KeyError("mine")
        return a @ x * (np.nan if len(calls) == 5 else 1.0)

    res = ritz.eigs(ritz.LinearOperator((40, 40), matvec), 3)
    assert res.status is Status.nonfinite
    calls[:] = [1] * 6
    with pytest.raises(KeyError, match="mine"):
        ritz.eigs(ritz.LinearOperator((40, 40), matvec), 3)


def test_memory_can_be_capped():
    a = convection(12, 0.1)
    res = ritz.eigs(a, 3, max_basis=8, which="LR")
    assert res.converged
    assert res.restarts > ritz.eigs(a, 3, which="LR").restarts


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    path = tmp_path / "run"
    a = convection(20, 0.1)
    ritz.eigs(a, 4, maxiter=3, checkpoint=path, checkpoint_every=0)
    assert path.exists()
    with pytest.raises(ValueError, match="belongs to another run"):
        ritz.eigs(a, 5, maxiter=3, checkpoint=path)


def test_killed_runs_resume_to_the_same_bits(tmp_path):
    path = tmp_path / "run"
    script = textwrap.dedent(
        """
        import os, signal, sys
        import numpy as np
        import ritz
        a = np.random.default_rng(5).standard_normal((300, 300))
        def watch(now):
            if now.iteration == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
        res = ritz.eigs(a, 4, checkpoint=sys.argv[1], checkpoint_every=0, callback=watch)
        sys.stdout.buffer.write(res.V.tobytes() + res.w.tobytes() + b"%d" % res.products.total)
        """
    )

    def run(file, kill):
        command = [sys.executable, "-c", script, str(file), str(kill)]
        return subprocess.run(command, capture_output=True, check=False, env=os.environ.copy())

    whole = run(tmp_path / "other", -1)
    assert whole.returncode == 0, whole.stderr.decode()
    for kill in (60, 150):
        killed = run(path, kill)
        assert killed.returncode == -signal.SIGKILL
        assert path.exists()
    resumed = run(path, -1)
    assert resumed.returncode == 0, resumed.stderr.decode()
    assert resumed.stdout == whole.stdout
    assert not path.exists()


def test_plot():
    pytest.importorskip("matplotlib").use("Agg")
    ax = ritz.eigs(random(30), 4).plot()
    assert ax.get_xlabel() == "real part"
    assert ax.get_ylabel() == "imaginary part"
    assert len(ax.patches) == 8
    assert ritz.eigs(random(30), 4, max_products=2).plot(ax) is ax


def test_empty_and_tiny():
    res = ritz.eigs(np.zeros((0, 0)), 1)
    assert res.converged
    assert res.V.shape == (0, 0)
    np.testing.assert_array_equal(ritz.eigs(np.array([[3.0]]), 1).w, [3.0])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"k": 31}, ValueError, "k is 31; A has only n = 30"),
        ({"which": "SM"}, ValueError, "pass sigma=0 with OPinv"),
        ({"which": "LA"}, ValueError, 'pass "LM", "LR"'),
        ({"sigma": 1.0}, ValueError, "without OPinv"),
        ({"OPinv": np.eye(30)}, ValueError, "without sigma"),
        ({"M": np.eye(30)}, ValueError, "without Minv"),
        ({"Minv": np.eye(30)}, ValueError, "without M"),
        ({"M": np.eye(4)}, ValueError, r"M has shape \(4, 4\)"),
        ({"OPpart": "r"}, ValueError, "OPpart is 'r'"),
        ({"ncv": 7}, ValueError, "ncv is 7; pass an integer of at least 8"),
        ({"tol": -1}, ValueError, "tol is -1"),
        ({"sigma": "near"}, TypeError, "sigma is 'near'"),
        ({"v0": np.zeros(4)}, ValueError, "v0 has shape"),
        ({"v0": np.ones(30, complex)}, None, ""),
    ],
)
def test_misuse(arguments, error, message):
    a = random(30)
    if error is None:
        assert ritz.eigs(a, **arguments).converged
        return
    with pytest.raises(error, match=message):
        ritz.eigs(a, **arguments)
    with pytest.raises(ValueError, match="square"):
        ritz.eigs(a[:4])
