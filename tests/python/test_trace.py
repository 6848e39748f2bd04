"""Traces: exact where it costs no more, else unbiased with an honest standard error."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import DTYPES, Counting, eps, symmetric
from ritz import Status


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_for_enough_samples(dtype):
    rng = np.random.default_rng(0)
    a = rng.standard_normal((30, 30))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((30, 30))
    a = a.astype(dtype)
    est = ritz.trace(a)
    assert est.method == "exact"
    assert est.stderr == 0.0
    assert est.converged
    np.testing.assert_allclose(est.value, np.trace(a), rtol=100 * eps(dtype))
    assert est.products.matvec == 30
    value, stderr = est
    assert (value, stderr) == (est.value, est.stderr)
    if np.dtype(dtype).kind == "f":
        assert float(est) == est.value


def test_estimates_are_unbiased_with_the_stated_error():
    a = symmetric(np.linspace(0, 1, 150), seed=3)
    off = a - np.diag(np.diag(a))
    one = np.sqrt(2) * np.linalg.norm(off)
    deviations = []
    for seed in range(60):
        est = ritz.trace(a, samples=40, seed=seed)
        assert est.method == "hutchinson"
        # The estimate of the error is itself good to about 1 / sqrt(2 · 40).
        assert 0.5 < est.stderr / (one / np.sqrt(40)) < 1.7
        deviations.append((est.value - np.trace(a)) / est.stderr)
    assert abs(np.mean(deviations)) < 4 / np.sqrt(60)
    assert 0.7 < np.std(deviations) < 1.4


def test_tolerance_stops_the_sampling():
    a = symmetric(np.linspace(1, 2, 300))
    est = ritz.trace(a, rtol=0.01)
    assert est.converged
    assert est.stderr <= 0.01 * est.value
    assert est.iterations < 299
    poor = ritz.trace(a, rtol=1e-9, samples=20)
    assert poor.status is Status.max_iterations
    assert poor.info == 20


def test_counts_and_budget():
    c = Counting(symmetric(np.linspace(0, 1, 200)))
    A = ritz.LinearOperator((200, 200), c.matvec)
    est = ritz.trace(A, samples=30, max_products=12)
    assert est.status is Status.max_products
    assert est.products == (c.matvecs, 0, 0)
    assert c.matvecs == 12


def test_seeds():
    a = symmetric(np.linspace(0, 1, 200))
    assert ritz.trace(a).value == ritz.trace(a).value
    assert ritz.trace(a).value != ritz.trace(a, seed=1).value


def test_nonfinite_and_empty():
    assert ritz.trace(np.full((200, 200), np.nan)).status is Status.nonfinite
    empty = ritz.trace(np.zeros((0, 0)))
    assert empty.converged
    assert empty.value == 0.0
