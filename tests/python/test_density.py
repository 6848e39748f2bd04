"""Spectral densities against closed forms: they integrate to one, and say how far off they are."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import symmetric
from ritz import Status


def wishart(n, m, seed=1):
    x = np.random.default_rng(seed).standard_normal((m, n))
    return x.T @ x / m


def marchenko_pastur(x, c):
    low, high = (1 - np.sqrt(c)) ** 2, (1 + np.sqrt(c)) ** 2
    rho = np.zeros_like(x)
    i = (x > low) & (x < high)
    rho[i] = np.sqrt((high - x[i]) * (x[i] - low)) / (2 * np.pi * c * x[i])
    return rho


def l1(f, g, x):
    return np.trapezoid(np.abs(f - g), x)


@pytest.mark.parametrize("method", ["slq", "kpm"])
def test_marchenko_pastur(method):
    res = ritz.spectral_density(wishart(1400, 2800), method=method, probes=64, steps=60)
    assert res.converged
    low, high = res.bounds
    x = np.linspace(-0.5, 4, 8000) if method == "slq" else np.linspace(low, high, 8002)[1:-1]
    assert l1(res.density(x), marchenko_pastur(x, 0.5), x) < 5e-2


def test_marchenko_pastur_with_mass_at_zero():
    n, c = 1400, 2.0
    res = ritz.spectral_density(wishart(n, 700), probes=64, steps=60)
    x = np.linspace(-1, 8, 10000)
    assert l1(res.density(x, spikes=False), marchenko_pastur(x, c), x) < 5e-2
    zero = res.spikes[0]
    assert abs(zero.value) < 1e-10
    assert abs(zero.multiplicity - 700) <= 4 * np.sqrt(2 * 700 * 700 / (n + 2) / 64)
    kpm = ritz.spectral_density(wishart(n, 700), method="kpm", probes=64, steps=60)
    x = np.linspace(0.12, kpm.bounds[1], 8001)[:-1]
    assert l1(kpm.density(x), marchenko_pastur(x, c), x) < 5e-2
    assert abs(kpm.cdf(0.1) - 0.5) < 0.05


def test_semicircle():
    rng = np.random.default_rng(0)
    g = rng.standard_normal((1200, 1200))
    res = ritz.spectral_density((g + g.T) / np.sqrt(2 * 1200), probes=48, steps=50)
    x = np.linspace(-3, 3, 6000)
    exact = np.sqrt(np.maximum(4 - x**2, 0)) / (2 * np.pi)
    assert l1(res.density(x), exact, x) < 5e-2
    np.testing.assert_allclose(res.moments(4), [1, 0, 1, 0, 2], atol=0.1)
    assert abs(res.cdf(0.0) - 0.5) < 0.02


@pytest.mark.parametrize("method", ["slq", "kpm"])
@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize("factor", [1.0, 1e-25, 1e25])
def test_integrates_to_one(method, scale, factor):
    a = symmetric(np.concatenate([np.linspace(0.01, 1, 180), [5.0, 30.0]])) * factor
    res = ritz.spectral_density(a, method=method, scale=scale, probes=8, steps=60)
    x, rho = res
    measure = np.log10(x) if scale == "log" else x
    # The series of positive eigenvalues goes on below the grid of magnitudes.
    np.testing.assert_allclose(
        np.trapezoid(rho, measure), 1.0, atol=0.02 if method == "kpm" else 1e-6
    )
    assert np.all(rho >= 0)
    assert res.cdf(2 * res.bounds[1]) == pytest.approx(1.0)
    assert np.all(res.sampling_error() >= 0)
    assert np.all(res.quadrature_error() >= 0)


def test_known_multiplicities():
    d = np.repeat([1.0, 2.0, 5.0, 10.0], [700, 200, 80, 20])
    res = ritz.spectral_density(ritz.diagonal(d), probes=100)
    assert {len(x) for x in res.nodes} == {4}
    assert res.products.total == 400
    assert len(res.spikes) == 4
    for spike, value, m in zip(res.spikes, (1, 2, 5, 10), (700, 200, 80, 20), strict=True):
        deviation = np.sqrt(2 * m * (1000 - m) / 1002 / 100)
        assert spike.value == pytest.approx(value)
        assert abs(spike.multiplicity - m) <= 4 * deviation
        assert 0.7 <= spike.stderr / deviation <= 1.4
    assert np.all(res.quadrature_error() == 0)
    np.testing.assert_allclose(res.cdf([0.5, 1.5, 3, 7, 20]), [0, 0.7, 0.9, 0.98, 1], atol=0.02)


def test_outliers_and_a_bulk_on_the_logarithmic_scale():
    # As of the Hessian of a network: most eigenvalues near zero, a few far away.
    rng = np.random.default_rng(0)
    bulk = 10.0 ** rng.normal(-6, 0.5, 790)
    outliers = np.linspace(1, 10, 10)
    res = ritz.spectral_density(symmetric(np.concatenate([bulk, outliers])), probes=64, steps=80)
    found = {round(s.value, 6) for s in res.spikes}
    assert {round(v, 6) for v in outliers} <= found
    assert sum(s.multiplicity for s in res.spikes if s.value > 0.5) == pytest.approx(10, abs=3)
    log = res.rescaled("log")
    assert log.nodes is res.nodes
    assert 1 - log.cdf(0.5) == pytest.approx(10 / 800, abs=0.004)
    assert np.trapezoid(log.density(), np.log10(log.grid)) == pytest.approx(1.0, abs=1e-6)
    top = log.grid[np.argmax(log.density())]
    assert 1e-7 < top < 1e-5


def test_errors_are_those_of_sampling_and_of_steps():
    a = wishart(400, 800)
    x = np.linspace(0.2, 2.8, 50)
    exact = ritz.spectral_density(a, probes=400, steps=40, width=0.1, seed=99).density(x)
    few = ritz.spectral_density(a, probes=10, steps=40, width=0.1)
    ratio = np.abs(few.density(x) - exact) / few.sampling_error(x)
    assert 0.3 < np.sqrt(np.mean(ratio**2)) < 3.0
    rough = ritz.spectral_density(a, probes=10, steps=9, width=0.1)
    assert rough.quadrature_error(x).mean() > 3 * few.quadrature_error(x).mean()


def test_moments_are_exact_for_a_diagonal_and_signs():
    d = np.linspace(-1, 2, 300)
    for method in ("slq", "kpm"):
        res = ritz.spectral_density(
            ritz.diagonal(d), method=method, distribution="signs", probes=2, steps=20
        )
        expected = [np.mean(d**j) for j in range(7)]
        np.testing.assert_allclose(res.moments(6), expected, rtol=1e-9)


def test_trivial_operators():
    one = ritz.spectral_density(3.0 * ritz.identity(50))
    assert {len(x) for x in one.nodes} == {1}
    assert np.trapezoid(one.density(), one.grid) == pytest.approx(1.0)
    zero = ritz.spectral_density(np.zeros((20, 20)), scale="log")
    assert np.isfinite(zero.density()).all()
    assert ritz.spectral_density(np.zeros((20, 20)), method="kpm").converged
    assert ritz.spectral_density(np.array([[2.0]])).nodes[0][0] == 2.0
    nan = ritz.spectral_density(np.full((9, 9), np.nan))
    assert nan.status is Status.nonfinite
    assert len(nan.grid) == 0


def test_limits_and_callbacks():
    a = wishart(200, 400)
    res = ritz.spectral_density(a, max_products=100, block=2, steps=20)
    assert res.status is Status.max_products
    assert res.products.total == 100
    assert len(res.nodes) == 4
    outside = ritz.spectral_density(a, method="kpm", bounds=(0.0, 1.0))
    assert outside.status is Status.breakdown
    same = ritz.spectral_density(a, probes=4, steps=20)
    np.testing.assert_array_equal(
        same.density(), ritz.spectral_density(a, probes=4, steps=20).density()
    )
    free = ritz.spectral_density(a, probes=4, steps=20, reorthogonalize="none")
    np.testing.assert_allclose(free.density(same.grid), same.density(), atol=1e-3)


def test_checkpoint(tmp_path):
    a, path = wishart(200, 400), tmp_path / "run"

    def kill(now):
        if now.iteration == 50:
            raise KeyboardInterrupt

    for method in ("slq", "kpm"):
        options = {"method": method, "probes": 6, "steps": 20, "block": 2}
        whole = ritz.spectral_density(a, **options)
        options |= {"checkpoint": path, "checkpoint_every": 0}
        with pytest.raises(KeyboardInterrupt):
            ritz.spectral_density(a, **options, callback=kill)
        assert path.exists()
        np.testing.assert_array_equal(
            ritz.spectral_density(a, **options).density(), whole.density()
        )


def test_plot():
    pytest.importorskip("matplotlib").use("agg")
    a = symmetric(np.concatenate([np.linspace(0, 1, 190), [5.0, 8.0]]))
    res = ritz.spectral_density(a, steps=60)
    ax = res.plot()
    assert ax.get_yscale() == "log"
    assert "eigenvalue" in ax.get_xlabel()
    assert ax.get_ylabel() == "density"
    assert any("spikes" in t.get_text() for t in ax.get_legend().get_texts())
    log = res.plot(scale="log")
    assert log.get_xscale() == "log"
    assert "decade" in log.get_ylabel()
    ritz.spectral_density(a, method="kpm").plot()
    from matplotlib import pyplot as plt

    plt.close("all")


def test_misuse():
    a = np.eye(3)
    with pytest.raises(ValueError, match="method is"):
        ritz.spectral_density(a, method="fft")
    with pytest.raises(ValueError, match="scale is"):
        ritz.spectral_density(a, scale="semilog")
    with pytest.raises(ValueError, match="width"):
        ritz.spectral_density(a, width=0.0)
    with pytest.raises(ValueError, match="square"):
        ritz.spectral_density(np.ones((3, 4)))


def test_torch():
    torch = pytest.importorskip("torch")
    a = wishart(100, 200)
    t = torch.from_numpy(a)
    A = ritz.LinearOperator((100, 100), lambda x: t @ x, framework="torch", symmetric=True)
    res = ritz.spectral_density(A, probes=3, steps=10)
    expected = ritz.spectral_density(a, probes=3, steps=10)
    np.testing.assert_allclose(res.density(), expected.density(), rtol=1e-8)
