"""Log-determinants and Schatten norms: exact where it costs no more, else with both errors."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, rectangular, symmetric
from ritz import Status

SPECTRA = {
    "fast": 0.8 ** np.arange(50),
    "slow": 1.0 / np.arange(1, 51),
    "flat": np.linspace(1.0, 3.0, 50),
}


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_for_small_operators(dtype):
    a = symmetric(np.linspace(0.5, 2, 60), dtype)
    res = ritz.logdet(a)
    assert (res.method, res.stderr, res.quadrature_error) == ("exact", 0.0, 0.0)
    np.testing.assert_allclose(res.value, np.linalg.slogdet(a)[1], rtol=1e3 * eps(dtype))
    assert res.products.total == 60
    for p in (1, 2, 3.5):
        for shape in ((60, 60), (80, 50), (50, 80)):
            b = symmetric(np.linspace(-1, 2, 80), dtype)[: shape[0], : shape[1]]
            s = np.linalg.svd(b, compute_uv=False)
            res = ritz.schatten_norm(b, p)
            np.testing.assert_allclose(res.value, np.sum(s**p) ** (1 / p), rtol=1e3 * eps(dtype))
            assert res.products.total == min(shape)


@pytest.mark.parametrize("name", SPECTRA)
def test_standard_errors_hold_the_truth(name):
    d = SPECTRA[name]
    A = ritz.diagonal(d)
    for f, truth in (
        (lambda **k: ritz.logdet(A, method="slq", **k), np.sum(np.log(d))),
        (lambda **k: ritz.schatten_norm(A, 1, method="slq", **k), np.sum(d)),
    ):
        held = 0
        for seed in range(200):
            res = f(seed=seed)
            assert res.converged
            assert res.quadrature_error <= 0.25 * res.stderr
            held += abs(res.value - truth) <= 3 * res.stderr
        assert held >= 190


def test_scale():
    a = symmetric(np.linspace(0.5, 2, 200))
    base = ritz.logdet(a, method="slq")
    for factor in (1e-25, 1e25):
        res = ritz.logdet(a * factor, method="slq")
        assert (res.status, res.products) == (base.status, base.products)
        np.testing.assert_allclose(res.value, base.value + 200 * np.log(factor), rtol=1e-12)
        norm = ritz.schatten_norm(a * factor, 1, method="slq")
        expected = ritz.schatten_norm(a, 1, method="slq")
        np.testing.assert_allclose(norm.value, expected.value * factor, rtol=1e-12)


def test_identity_zero_and_rank_one():
    one = ritz.logdet(ritz.identity(1000))
    assert (one.value, one.stderr, one.method, one.steps) == (0.0, 0.0, "slq", 1)
    assert ritz.schatten_norm(ritz.diagonal(np.zeros(1000))).value == 0.0
    assert ritz.logdet(np.zeros((5, 5))).value == -np.inf
    u = np.random.default_rng(0).standard_normal(600)
    res = ritz.schatten_norm(np.outer(u, u), 1, method="slq", probes=60)
    assert abs(res.value - u @ u) <= 3 * res.stderr
    assert res.steps <= 3
    assert ritz.logdet(np.zeros((0, 0))).value == 0.0


def test_tolerance_and_budget():
    a = symmetric(np.linspace(0.5, 2, 500))
    truth = np.linalg.slogdet(a)[1]
    res = ritz.logdet(a, atol=5.0, probes=1000)
    assert res.converged
    assert res.stderr + res.quadrature_error <= 5.0
    assert abs(res.value - truth) <= 15.0
    assert res.samples < 1000
    c = Counting(a)
    A = ritz.LinearOperator((500, 500), c.matvec, symmetric=True)
    stopped = ritz.logdet(A, max_products=45, block=1)
    assert stopped.status is Status.max_products
    assert stopped.products.total == c.matvecs == 45
    assert np.isfinite(stopped.value)
    poor = ritz.logdet(a, atol=1e-6, probes=4)
    assert poor.status is Status.max_iterations


def test_bounds_make_the_quadrature_error_rigorous():
    a = symmetric(np.linspace(0.5, 2, 500))
    assert not ritz.logdet(a).rigorous
    assert ritz.logdet(a, bounds=(0.49, None)).rigorous
    assert ritz.schatten_norm(a, 1, method="slq").rigorous


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_quadrature_error_holds_what_sampling_does_not_explain(dtype):
    # Random signs see the trace of f of a diagonal operator without any sampling error.
    for cond in (3.0, 1e3, 1e5):
        d = np.logspace(-np.log10(cond), 0, 100).astype(dtype)
        exact = d.astype(float)
        A = ritz.diagonal(d)
        for steps in (1, 2, 3, 6, 15, 40, 100):
            options = {"distribution": "signs", "probes": 2, "method": "slq", "steps": steps}
            res = ritz.logdet(A, bounds=(float(d[0]), None), **options)
            assert abs(res.value - np.sum(np.log(exact))) <= res.quadrature_error
            for p in (1, 1.5, 2, 3):
                res = ritz.schatten_norm(A, p, **options)
                # To first order, as the root is taken.
                truth = np.sum(exact**p) ** (1 / p)
                assert abs(res.value**p - truth**p) <= res.quadrature_error * p * res.value ** (
                    p - 1
                ) * (1 + 1e-9)


def test_not_positive_definite():
    for method in ("exact", "slq"):
        res = ritz.logdet(symmetric(np.linspace(-0.2, 1, 100)), method=method)
        assert res.status is Status.negative_curvature
        assert np.isnan(res.value)


def test_rectangular_and_norms():
    b = rectangular(300, 700, 10.0)
    s = np.linalg.svd(b, compute_uv=False)
    for p in (1, 1.5, 2, 4):
        for x in (b, b.T):
            res = ritz.schatten_norm(x, p, method="slq", probes=40)
            truth = np.sum(s**p) ** (1 / p)
            assert abs(res.value - truth) <= 4 * res.stderr + res.quadrature_error
            assert res.stderr <= 0.05 * truth
    rel = ritz.schatten_norm(b, 1, method="slq", rtol=0.05)
    assert rel.stderr + rel.quadrature_error <= 0.05 * rel.value


def test_seeds_blocks_and_no_basis():
    a = symmetric(np.linspace(0.5, 2, 200))
    one = ritz.logdet(a, method="slq")
    assert one == ritz.logdet(a, method="slq")
    assert one.value != ritz.logdet(a, method="slq", seed=1).value
    for options in ({"block": 1}, {"block": 16}, {"reorthogonalize": "none"}):
        other = ritz.logdet(a, method="slq", **options)
        assert abs(other.value - one.value) <= 2 * (other.quadrature_error + one.quadrature_error)
    signs = ritz.logdet(ritz.diagonal(np.linspace(0.5, 2, 500)), distribution="signs", steps=60)
    assert signs.stderr <= 1e-9


def test_checkpoint(tmp_path):
    a, path = symmetric(np.linspace(0.5, 2, 200)), tmp_path / "run"
    whole = ritz.logdet(a, method="slq", block=2)

    class Killed(Exception):
        pass

    def kill(now):
        if now.iteration == 20:
            raise Killed

    with pytest.raises(Killed):
        ritz.logdet(a, method="slq", block=2, checkpoint=path, checkpoint_every=0, callback=kill)
    assert path.exists()
    calls = []
    resumed = ritz.logdet(
        a, method="slq", block=2, checkpoint=path, checkpoint_every=0, callback=calls.append
    )
    assert resumed == whole
    assert resumed.products == whole.products
    assert len(calls) < whole.iterations
    assert not path.exists()


def test_misuse():
    a = symmetric(np.linspace(0.5, 2, 20))
    with pytest.raises(ValueError, match=r"ritz\.norm"):
        ritz.schatten_norm(a, np.inf)
    with pytest.raises(ValueError, match="at least 1"):
        ritz.schatten_norm(a, 0.5)
    with pytest.raises(ValueError, match="method is 'lanczos'"):
        ritz.logdet(a, method="lanczos")
    with pytest.raises(ValueError, match="distribution is 'normal'"):
        ritz.logdet(a, distribution="normal")
    with pytest.raises(ValueError, match="square"):
        ritz.logdet(np.ones((3, 4)))
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.schatten_norm(ritz.LinearOperator((9, 9), lambda x: x))


def test_torch_and_jax():
    a = symmetric(np.linspace(0.5, 2, 50))
    torch = pytest.importorskip("torch")
    truth = np.linalg.slogdet(a)[1]
    np.testing.assert_allclose(ritz.logdet(torch.from_numpy(a)).value, truth, rtol=1e-10)
    jnp = pytest.importorskip("jax.numpy")
    j = jnp.asarray(a, jnp.float32)
    A = ritz.LinearOperator((50, 50), lambda x: j @ x, symmetric=True)
    res = ritz.logdet(A, like=jnp.zeros(1, jnp.float32))
    np.testing.assert_allclose(res.value, truth, rtol=1e-4)
