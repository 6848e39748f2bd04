"""Runs in several threads, and the same bits from any number of workers."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import DTYPES, spd, symmetric, vector


@pytest.fixture(autouse=True)
def _restore_threads():
    before = ritz.num_threads()
    yield
    ritz.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_number_of_threads_changes_no_bit(dtype):
    n = 200_000
    rng = np.random.default_rng(0)
    off = rng.uniform(0.1, 1, n - 1)
    a = sp.diags_array(
        [-off, 2 + rng.uniform(0, 1, n), -off], offsets=[-1, 0, 1], shape=(n, n), format="csr"
    ).astype(dtype)
    b = vector(n, dtype)
    results = []
    for threads in (1, 2, 7):
        ritz.set_num_threads(threads)
        assert ritz.num_threads() == threads
        results.append((ritz.cg(a, b), ritz.lsmr(a, b, maxiter=10), ritz.trace(a, samples=3)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one[0], two[0])
            assert one.residual == two.residual or np.isnan(one.residual)


def run_in_threads(jobs):
    results, errors = [None] * len(jobs), []

    def work(k):
        try:
            results[k] = jobs[k]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(jobs))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert not any(t.is_alive() for t in threads)
    assert not errors
    return results


@pytest.mark.parametrize("n", [100, 40_000])
@pytest.mark.parametrize("kind", ["closures", "native"])
def test_two_solves_at_once(n, kind):
    d = np.linspace(1, 100, n)
    shared = (
        ritz.LinearOperator((n, n), lambda x: d * x) if kind == "closures" else ritz.diagonal(d)
    )
    bs = [vector(n, seed=s) for s in range(2)]
    alone = [ritz.cg(shared, b, rtol=1e-10) for b in bs]
    before = shared.counts.matvec
    together = run_in_threads([lambda b=b: ritz.cg(shared, b, rtol=1e-10) for b in bs])
    for one, two in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.x, two.x)
        assert one.iterations == two.iterations
    assert shared.counts.matvec - before == sum(r.products.matvec for r in together)


def test_different_methods_at_once():
    a, b = spd(200, 100), vector(200)
    s = symmetric(np.linspace(0, 1, 200))
    A = ritz.LinearOperator((200, 200), lambda x: a @ x, lambda x: a.T @ x)
    S = ritz.LinearOperator((200, 200), lambda x: s @ x)
    jobs = [
        lambda: ritz.cg(A, b).x,
        lambda: ritz.lsmr(A, b).x,
        lambda: ritz.eigsh(S, 4).V,
        lambda: ritz.trace(S, samples=50).value,
    ]
    alone = [job() for job in jobs]
    for one, two in zip(alone, run_in_threads(jobs), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_solve_inside_a_solve():
    inner, b = spd(50, 10), vector(50)
    outer = ritz.LinearOperator((50, 50), lambda x: ritz.cg(inner, x, rtol=1e-12).x)
    np.testing.assert_allclose(ritz.cg(outer, b, rtol=1e-10).x, inner @ b, rtol=1e-8)


def test_thread_counts_are_checked():
    with pytest.raises(ValueError, match="thread"):
        ritz.set_num_threads(0)
