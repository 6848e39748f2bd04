"""Bases of ranges against the bounds of theory and the laws of their estimates."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ritz
from problems import DTYPES, eps
from ritz import Status
from test_svd_lowrank import with_values


def error_of(Q, a):
    Q = np.asarray(Q)
    return np.linalg.norm(a - Q @ (Q.conj().T @ a))


def check(result, a):
    Q = np.asarray(result.Q)
    assert Q.dtype == a.dtype
    assert Q.shape == (a.shape[0], result.rank)
    gram = Q.conj().T @ Q - np.eye(result.rank)
    assert np.abs(gram).max(initial=0) <= 30 * eps(a.dtype) * math.sqrt(max(result.rank, 1))


def test_mean_error_is_within_the_bound():
    # Halko, Martinsson, Tropp, theorem 10.5, over 400 seeds; the mean itself is near 0.1617.
    k, p = 10, 5
    values = 0.8 ** np.arange(60)
    a = with_values(80, 60, values)
    errors = [
        error_of(ritz.rangefinder(a, k, oversampling=p, seed=seed).Q, a) for seed in range(400)
    ]
    bound = math.sqrt(1 + k / (p - 1)) * np.linalg.norm(values[k:])
    mean = np.mean(errors)
    assert bound == pytest.approx(0.3348, abs=1e-4)
    assert mean == pytest.approx(0.1617, abs=0.008)
    assert mean <= bound


@pytest.mark.parametrize(("power", "tall"), [(0, True), (0, False), (1, True)])
def test_estimate_is_unbiased(power, tall):
    # The mean square for s columns is the mean squared error of s − 1.
    values = 0.8 ** np.arange(40)
    a = with_values(70, 40, values)
    a = a if tall else a.T
    count = 400
    estimates, errors = np.empty(count), np.empty(count)
    for seed in range(count):
        result = ritz.rangefinder(a, 15, oversampling=0, power=power, seed=seed)
        estimates[seed] = result.error_estimate**2
        less = ritz.rangefinder(a, 14, oversampling=0, power=power, seed=10_000 + seed)
        errors[seed] = error_of(less.Q, a) ** 2
    spread = math.hypot(*(x.std() / math.sqrt(count) / x.mean() for x in (estimates, errors)))
    assert spread < 0.03
    assert abs(estimates.mean() / errors.mean() - 1) <= min(5 * spread, 0.1)


def test_estimate_of_a_later_block_is_unbiased():
    # With a tolerance, the estimate is of the last block's columns, for the whole basis.
    values = 1 / np.arange(1, 41)
    a = with_values(50, 40, values)
    ratios = []
    for seed in range(300):
        result = ritz.rangefinder(a, 18, tol=1e-12, block=6, seed=seed)
        assert result.status is Status.max_iterations
        assert result.rank == 18
        ratios.append((result.error_estimate / error_of(result.Q, a)) ** 2)
    assert abs(np.mean(ratios) - 1.1) <= 0.12  # one column less has about a tenth more


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("power", [0, 1, 3])
def test_exact_when_the_rank_suffices(dtype, power):
    a = with_values(40, 30, np.linspace(2, 1, 5), dtype)
    result = ritz.rangefinder(a, 5, power=power)
    check(result, a)
    assert result.converged
    assert result.rank == 5
    assert result.error_estimate == 0.0
    assert error_of(result.Q, a) <= 50 * eps(dtype)


@pytest.mark.parametrize("power", [0, 1])
@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-5])
def test_tolerance(tol, power):
    values = 0.8 ** np.arange(60)
    a = with_values(90, 60, values)
    norm = np.linalg.norm(a)
    result = ritz.rangefinder(a, tol=tol, block=5, power=power, seed=2)
    check(result, a)
    assert result.converged
    assert result.error_estimate <= tol * norm
    assert error_of(result.Q, a) <= 1.5 * tol * norm
    tails = np.sqrt(np.cumsum(values[::-1] ** 2)[::-1])
    best = int(np.argmax(tails <= tol * norm))
    assert result.rank <= best + 12
    assert result.products.total == (2 * power + 1) * result.rank


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("power", [0, 2])
def test_scale_changes_nothing(dtype, power):
    a = with_values(60, 50, 0.7 ** np.arange(50), dtype)
    big = 1e8 if dtype == np.float32 else 1e25
    one = ritz.rangefinder(a, tol=1e-2, block=4, power=power)
    for scale in (big, 1 / big):
        other = ritz.rangefinder((a * scale).astype(dtype), tol=1e-2, block=4, power=power)
        assert (other.rank, other.products, other.status) == (one.rank, one.products, one.status)
        assert other.error_estimate == pytest.approx(one.error_estimate * scale, rel=1e-2)


def test_powers_find_more():
    a = with_values(200, 150, 1 / np.arange(1, 151))
    errors = [error_of(ritz.rangefinder(a, 15, power=q).Q, a) for q in (0, 1, 3)]
    assert errors[0] > 1.05 * errors[1] > 1.05 * errors[2]


def test_defect_powers_without_normalisation_overflow():
    a = with_values(60, 40, 0.9 ** np.arange(40))
    plain = ritz.rangefinder(a, 5, power=7)
    for scale in (1e150, 1e-150):
        result = ritz.rangefinder(a * scale, 5, power=7)
        check(result, a)
        assert result.error_estimate == pytest.approx(plain.error_estimate * scale, rel=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (7, 1), (1, 7)])
def test_smallest(shape):
    a = np.arange(1.0, 8).reshape(shape) if 7 in shape else np.array([[3.0]])
    result = ritz.rangefinder(a, 1)
    check(result, a)
    assert result.rank == 1
    assert error_of(result.Q, a) <= 1e-15 * np.linalg.norm(a)
    assert result.error_estimate == 0.0


def test_zero():
    result = ritz.rangefinder(np.zeros((8, 6)), 3)
    assert result.converged
    assert result.Q.shape == (8, 0)
    assert result.error_estimate == 0.0


def test_endings():
    a = with_values(60, 50, 1 / np.arange(1, 51))
    stopped = ritz.rangefinder(a, tol=1e-9, block=5, callback=lambda it: it.iteration >= 3)
    assert stopped.status is Status.stopped
    assert stopped.rank == 15
    check(stopped, a)
    few = ritz.rangefinder(a, tol=1e-9, block=5, max_products=20)
    assert few.status is Status.max_products
    assert few.products.total == 20
    a[0, 0] = np.nan
    assert ritz.rangefinder(a, 5).status is Status.nonfinite
    error = RuntimeError("mine")

    def fail(x):
        raise error

    with pytest.raises(RuntimeError) as caught:
        ritz.rangefinder(ritz.LinearOperator((9, 9), fail), 3)
    assert caught.value is error


def test_no_adjoint_is_needed_without_power():
    a = with_values(30, 20, 0.5 ** np.arange(20))
    op = ritz.LinearOperator(a.shape, lambda x: a @ x)
    assert error_of(ritz.rangefinder(op, 6).Q, a) <= 1e-3
    with pytest.raises(ValueError, match="rmatvec"):
        ritz.rangefinder(op, 6, power=1)


def test_kinds_of_arrays_and_bits():
    a = with_values(30, 20, 0.5 ** np.arange(20))
    one = ritz.rangefinder(a, 4)
    assert np.array_equal(one.Q, ritz.rangefinder(a, 4).Q)
    assert not np.array_equal(one.Q, ritz.rangefinder(a, 4, seed=1).Q)
    torch = pytest.importorskip("torch")
    assert isinstance(ritz.rangefinder(torch.from_numpy(a), 4).Q, torch.Tensor)
    jax = pytest.importorskip("jax")
    b = jax.numpy.asarray(a, dtype="float32")
    assert isinstance(ritz.rangefinder(b, 4).Q, jax.Array)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "neither rank nor tol"),
        ({"rank": 21}, "rank 20 at most"),
        ({"tol": -1}, "tol is -1"),
        ({"rank": 3, "power": -1}, "power is -1"),
        ({"rank": 3, "max_products": 2}, "max_products is 2"),
    ],
)
def test_arguments_are_checked(arguments, words):
    with pytest.raises(ValueError, match=words):
        ritz.rangefinder(np.ones((30, 20)), **arguments)
