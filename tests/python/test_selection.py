"""Row and column selection: definitions, laws by enumeration, moments over seeds, endings."""

from __future__ import annotations

import functools
import itertools
import math
import signal
import threading
import time

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import ritz
from problems import DTYPES, eps, rectangular
from ritz import Status, selection

# A test with this level fails by chance once in a million correct programs, and seeds are fixed.
LEVEL = 1e-6


def gaussian(m, n, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((m, n))
    if np.dtype(dtype).kind == "c":
        a = a + 1j * rng.standard_normal((m, n))
    return a.astype(dtype)


def projector(a):
    q = np.linalg.qr(a.astype(np.result_type(a, np.float64)))[0]
    return q @ q.conj().T


def leverage(a):
    return np.diag(projector(a)).real


def gram_det(a):
    return np.linalg.det(a.conj().T @ a).real


def subsets(m, k):
    return [list(s) for s in itertools.combinations(range(m), k)]


def check_law(samples, law):
    """Compare frequencies with probabilities by χ², what is expected rarely put together."""
    count = dict.fromkeys(law, 0)
    for sample in samples:
        count[sample] += 1  # an impossible sample is a KeyError
    seen = np.array([count[s] for s in law], float)
    expected = np.array([law[s] for s in law]) * len(samples)
    np.testing.assert_allclose(expected.sum(), len(samples), rtol=1e-10)
    often = expected >= 5
    seen = np.append(seen[often], seen[~often].sum())
    expected = np.append(expected[often], expected[~often].sum())
    keep = expected > 0.5
    chi2 = np.sum((seen - expected)[keep] ** 2 / expected[keep])
    assert chi2 < scipy.stats.chi2.isf(LEVEL, keep.sum() - 1)


def check_mean(values, expected):
    """Compare a mean over seeds with its closed form: z < 5 in every element."""
    values = np.asarray(values)
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    z = np.abs(values.mean(axis=0) - expected) / error
    assert z.max() < 5, z


# ---- leverage scores ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_leverage_scores(dtype):
    a = gaussian(90, 7, dtype)
    scores = selection.leverage_scores(a)
    assert scores.dtype == np.zeros(0, dtype).real.dtype
    np.testing.assert_allclose(scores, leverage(a), rtol=50 * eps(dtype))
    np.testing.assert_allclose(scores.sum(), 7, rtol=50 * eps(dtype))
    assert ((scores >= 0) & (scores <= 1)).all()


def test_leverage_of_any_layout():
    a = gaussian(300, 6)
    expected = selection.leverage_scores(a)
    spread = np.zeros((600, 18))
    spread[::2, ::3] = a
    record = np.zeros((300, 6), [("x", "f8"), ("flag", "i1")])
    record["x"] = a
    for other in (np.asfortranarray(a), a[::-1][::-1], spread[::2, ::3], record["x"]):
        np.testing.assert_array_equal(selection.leverage_scores(other), expected)
    np.testing.assert_allclose(selection.leverage_scores(a[::-1])[::-1], expected, rtol=1e-12)
    np.testing.assert_array_equal(
        selection.leverage_scores(np.round(a * 9).astype(int)),
        selection.leverage_scores(np.round(a * 9)),
    )


def test_leverage_does_not_depend_on_units():
    a = gaussian(200, 5, seed=3)
    scores = selection.leverage_scores(a)
    for units in (1e-25, 1e25, np.array([1e-200, 1e-10, 1, 1e30, 1e250])):
        np.testing.assert_allclose(selection.leverage_scores(a * units), scores, rtol=1e-11)
    f = a.astype(np.float32)
    for units in (1e-8, 1e8):
        np.testing.assert_allclose(
            selection.leverage_scores(f * np.float32(units)), scores, rtol=1e-4
        )


def test_leverage_of_deficient_matrices():
    a = gaussian(80, 4)
    expected = leverage(a)
    twice = np.hstack([a, a @ gaussian(4, 3)])
    np.testing.assert_allclose(selection.leverage_scores(twice), expected, rtol=1e-10)
    sketched = selection.leverage_scores(twice, method="sketched", sketch_rows=60)
    assert 3 < sketched.sum() < 6  # 7 columns, rank 4
    np.testing.assert_array_equal(selection.leverage_scores(np.zeros((5, 2))), 0)
    np.testing.assert_allclose(selection.leverage_scores(np.ones((5, 3))), 0.2)
    np.testing.assert_allclose(selection.leverage_scores(gaussian(3, 8)), 1)
    np.testing.assert_allclose(selection.leverage_scores(np.array([[2.0]])), 1)


def test_leverage_of_an_ill_conditioned_matrix():
    """Backward stable: the scores are those of a matrix next to A, whatever its condition."""
    x = np.linspace(-1, 1, 400)
    a = np.vander(x, 14)  # condition 1e5
    exact = leverage(np.polynomial.legendre.legvander(x, 13))
    np.testing.assert_allclose(selection.leverage_scores(a), exact, rtol=1e-9)


def test_leverage_in_panels_and_threads():
    a = gaussian(20000, 8)
    a[3] *= 1000
    threads = ritz.num_threads()
    scores = selection.leverage_scores(a)
    np.testing.assert_allclose(scores, leverage_by_r(a), rtol=1e-11)
    sketched = selection.leverage_scores(a, method="sketched", probes=5)
    try:
        ritz.set_num_threads(3)
        np.testing.assert_array_equal(selection.leverage_scores(a), scores)
        again = selection.leverage_scores(a, method="sketched", probes=5)
        np.testing.assert_array_equal(again, sketched)
    finally:
        ritz.set_num_threads(threads)


def leverage_by_r(a):
    return (np.linalg.qr(a)[0] ** 2).sum(axis=1)


@pytest.mark.parametrize("dtype", [np.float64, np.complex64])
def test_sketched_leverage_is_within_the_bounds(dtype):
    m, n = 4000, 20
    coherent = gaussian(m, n, dtype)
    coherent[:n] += 1000 * np.eye(n, dtype=dtype)
    e = math.sqrt(1 / 8)
    for a in (gaussian(m, n, dtype, 1), coherent):
        exact = leverage_by_r(a) if dtype is np.float64 else leverage(a)
        for seed in range(5):
            ratio = selection.leverage_scores(a, method="sketched", seed=seed) / exact
            assert ratio.min() > 1 / (1 + e) ** 2
            assert ratio.max() < 1 / (1 - e) ** 2
            assert ratio.std() > 0.02  # it is an estimate


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_probes_have_their_law(dtype):
    """‖a R⁻¹G‖² / ‖a R⁻¹‖² is χ²/k with k degrees of freedom, 2k for a complex A."""
    a = gaussian(200, 5, dtype)
    k = 16
    ratios = []
    for seed in range(400):
        whole = selection.leverage_scores(a, method="sketched", seed=seed)
        probed = selection.leverage_scores(a, method="sketched", seed=seed, probes=k)
        ratios.append((probed / whole)[7])
    freedom = k if dtype is np.float64 else 2 * k
    law = scipy.stats.chi2(freedom, scale=1 / freedom)
    assert scipy.stats.kstest(ratios, law.cdf).pvalue > LEVEL
    assert abs(np.std(ratios) / math.sqrt(2 / freedom) - 1) < 5 / math.sqrt(2 * 400) * 1.3


def test_sketches_as_tall_as_the_matrix_are_exact():
    a = gaussian(30, 5)
    np.testing.assert_array_equal(
        selection.leverage_scores(a, method="sketched"), selection.leverage_scores(a)
    )


# ---- Lewis weights and sensitivities ------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1.0, 1.5, 2.0, 3.0, 3.9, 4.0, 8.0])
def test_lewis_weights_are_the_fixed_point(p):
    a = gaussian(300, 6, seed=2)
    a[:4] *= 50
    a[5] = 0
    result = selection.lewis_weights(a, p)
    w, residual = result
    assert result.converged
    assert result.residual == residual <= 1e-8
    assert w[5] == 0
    kept = w > 0
    tau = leverage(a[kept] * w[kept, None] ** (0.5 - 1 / p))
    np.testing.assert_allclose(tau, w[kept], rtol=2e-8)
    np.testing.assert_allclose(w.sum(), 6, rtol=1e-7)
    # A change of basis and of units changes nothing.
    other = selection.lewis_weights(1e25 * a @ gaussian(6, 6, seed=9), p).weights
    np.testing.assert_allclose(other, w, rtol=1e-6)


def test_lewis_weights_end_honestly():
    a = gaussian(100, 4)
    result = selection.lewis_weights(a, 1.0, maxiter=2)
    assert result.status is Status.max_iterations
    assert not result.converged
    assert result.residual > 1e-8
    assert "maxiter" in result.message
    assert selection.lewis_weights(a, 2.0).iterations == 0
    zero = selection.lewis_weights(np.zeros((4, 2)), 1.0)
    assert zero.converged
    assert zero.rank == 0


def exact_sensitivity_1(a, i):
    """1 / min ‖A x‖₁ subject to a_i x = 1, by linear programming."""
    m, n = a.shape
    cost = np.concatenate([np.zeros(n), np.ones(m)])
    above = np.block([[a, -np.eye(m)], [-a, -np.eye(m)]])
    found = scipy.optimize.linprog(
        cost,
        A_ub=above,
        b_ub=np.zeros(2 * m),
        A_eq=np.concatenate([a[i], np.zeros(m)])[None],
        b_eq=[1.0],
        bounds=[(None, None)] * n + [(0, None)] * m,
    )
    return 1 / found.fun


def sensitivity_from_below(a, i, p):
    """A large |a_i x|^p / ‖A x‖_p^p, by minimising ‖A x‖_p^p on a_i x = 1 from several starts."""
    z = np.linalg.svd(a[i][None])[2][1:].T
    x0 = a[i] / (a[i] @ a[i])
    start = np.linalg.lstsq(a @ z, -a @ x0, rcond=None)[0]
    best = scipy.optimize.minimize(
        lambda t: np.sum(np.abs(a @ (x0 + z @ t)) ** p), start, method="BFGS"
    ).fun
    return 1 / best


def test_sensitivities():
    a = gaussian(40, 3, seed=4)
    a[0] *= 20
    np.testing.assert_allclose(selection.sensitivities(a, 2.0), leverage(a), rtol=1e-12)
    one = np.array([exact_sensitivity_1(a, i) for i in range(12)])
    bounds = selection.sensitivities(a, 1.0)
    assert (bounds[:12] >= one * (1 - 1e-9)).all()
    assert bounds.sum() <= 3 * 1.01
    assert np.median(bounds[:12] / one) < 3
    for p in (1.5, 3.0, 6.0):
        bounds = selection.sensitivities(a, p)
        below = np.array([sensitivity_from_below(a, i, p) for i in range(12)])
        assert (bounds[:12] >= below * (1 - 1e-6)).all()
        assert bounds.max() <= 1
        assert bounds.sum() <= 3 ** max(1, p / 2) * 1.02
    # The bounds hold without convergence of the weights, if they are then larger.
    rough = selection.sensitivities(a, 1.0, maxiter=1)
    assert (rough[:12] >= one * (1 - 1e-9)).all()
    column = np.arange(1.0, 20.0)[:, None]  # s_i = |a_i| / Σ |a|; weights below it after one step
    rough = selection.sensitivities(column, 1.0, maxiter=1)
    assert (rough >= column[:, 0] / column.sum() * (1 - 1e-12)).all()


# ---- maxvol -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_maxvol(dtype):
    a = gaussian(800, 10, dtype)
    rows, b = result = selection.maxvol(a, 1.01)
    assert result.converged
    assert len(set(rows.tolist())) == 10
    assert b.dtype == dtype
    assert np.abs(b).max() <= 1.01 + 10 * eps(dtype)
    assert result.largest <= 1.01
    np.testing.assert_allclose(b @ a[rows], a, atol=300 * eps(dtype))
    np.testing.assert_allclose(b[rows], np.eye(10), atol=100 * eps(dtype))


def test_maxvol_of_the_size_in_the_books():
    """5000 × 50 Gaussian rows: about 21 exchanges after the pivots of LU."""
    swaps = []
    for seed in range(3):
        a = gaussian(5000, 50, seed=seed)
        result = selection.maxvol(a, 1.01)
        assert result.converged
        np.testing.assert_allclose(
            result.coefficients, np.linalg.solve(a[result.rows].T, a.T).T, atol=1e-11
        )
        assert np.abs(result.coefficients).max() <= 1.01
        swaps.append(result.swaps)
        # ‖A_I⁻¹‖ ≤ √(1 + n (m − n) tol²) / σ_min(A)
        least = np.linalg.svd(a[result.rows], compute_uv=False)[-1]
        bound = math.sqrt(1 + 50 * 4950 * 1.01**2) / np.linalg.svd(a, compute_uv=False)[-1]
        assert 1 / least <= bound
    assert 8 <= np.mean(swaps) <= 45


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_maxvol_is_dominant(dtype):
    for seed in range(6):
        a = gaussian(9, 3, dtype, seed)
        volumes = {tuple(s): abs(np.linalg.det(a[s])) for s in subsets(9, 3)}
        for tol in (1.0, 1.3, math.e):
            result = selection.maxvol(a, tol)
            volume = volumes[tuple(sorted(result.rows.tolist()))]
            assert result.converged
            assert volume >= max(volumes.values()) / (tol * math.sqrt(3)) ** 3
            for i, j in itertools.product(range(9), range(3)):
                other = result.rows.copy()
                other[j] = i
                assert abs(np.linalg.det(a[other])) <= volume * tol * (1 + 1e-10)


def test_maxvol_of_hard_matrices():
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    assert selection.maxvol(signs, 1.0).converged  # every choice ties
    x = np.linspace(-1, 1, 500)
    powers = np.vander(x, 16)  # condition 1e6
    result = selection.maxvol(powers, 1.0)
    assert result.converged
    polynomials = np.polynomial.chebyshev.chebvander(x, 15)  # the same range, condition 2
    b = np.linalg.solve(polynomials[result.rows].T, polynomials.T).T
    assert np.abs(b).max() <= 1 + 1e-9
    np.testing.assert_allclose(result.coefficients, b, atol=1e-9)
    a = gaussian(100, 5)
    rows = set(selection.maxvol(a).rows)
    for scale in (1e-25, 1e25, np.array([1e-100, 1, 1e100, 1e-9, 5])):
        assert set(selection.maxvol(a * scale).rows) == rows
    assert selection.maxvol(gaussian(6, 6)).converged
    assert selection.maxvol(np.array([[0.0], [-2.0], [1.0]])).rows.tolist() == [1]
    mostly = np.zeros((50, 3))
    mostly[[4, 17, 33]] = gaussian(3, 3)
    assert sorted(selection.maxvol(mostly).rows) == [4, 17, 33]


def test_maxvol_ends_honestly():
    a = gaussian(3000, 30)
    result = selection.maxvol(a, 1.0, maxiter=2)
    assert result.status is Status.max_iterations
    assert result.swaps == 2
    exact = np.abs(np.linalg.solve(a[result.rows].T, a.T)).max()
    np.testing.assert_allclose(result.largest, exact, rtol=1e-10)
    assert exact > 1


def test_maxvol_rectangular():
    a = gaussian(600, 8)
    result = selection.maxvol_rectangular(a)
    rows, b = result
    assert result.converged
    np.testing.assert_allclose(b, a @ np.linalg.pinv(a[rows]), atol=1e-12)
    norms = np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(norms.max(), result.largest, rtol=1e-12)
    assert norms.max() <= 1.1
    assert 8 < len(rows) < 40
    # Every row added was the one with the longest coefficients.
    for k in range(8, len(rows)):
        before = a @ np.linalg.pinv(a[rows[:k]])
        assert np.argmax(np.linalg.norm(before, axis=1)) == rows[k]
    assert np.linalg.norm(before, axis=1).max() > 1.1
    exactly = selection.maxvol_rectangular(a, 20)
    assert len(exactly.rows) == 20
    few = selection.maxvol_rectangular(a, max_size=len(rows) - 1)
    assert few.status is Status.max_iterations
    np.testing.assert_array_equal(few.rows, rows[:-1])
    np.testing.assert_allclose(few.largest, np.linalg.norm(before, axis=1).max(), rtol=1e-10)
    assert len(selection.maxvol_rectangular(a[:12], 12).rows) == 12


# ---- projection DPP -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_projection_dpp_has_its_law(dtype):
    a = gaussian(7, 3, dtype)
    a[2] = a[4]  # never both
    law = {tuple(s): abs(np.linalg.det(a[s])) ** 2 / gram_det(a) for s in subsets(7, 3)}
    result = selection.projection_dpp(a, repeats=5000)
    samples = [tuple(sorted(s)) for s in result.rows.reshape(-1, 3).tolist()]
    check_law(samples, law)
    np.testing.assert_allclose(np.exp(result.log_probability), [law[s] for s in samples], rtol=1e-8)


def test_projection_dpp_over_seeds():
    """The order of the chain rule and the streams of the seeds: all pairs, in order."""
    v = np.linalg.qr(gaussian(5, 2))[0]
    law = {}
    for s in subsets(5, 2):
        p = np.linalg.det(v[s]) ** 2
        law[tuple(s)] = law[tuple(s[::-1])] = p / 2
    samples = [tuple(selection.projection_dpp(v, seed=seed).rows.tolist()) for seed in range(2000)]
    check_law(samples, law)


def test_projection_dpp_marginals_and_weights():
    m, n, repeats = 1500, 12, 400  # several pieces of rows
    a = gaussian(m, n)
    a[:3] *= 40
    result = selection.projection_dpp(a, repeats=repeats, seed=5)
    scores = leverage(a)
    np.testing.assert_allclose(result.scores, scores, rtol=1e-10)
    count = np.bincount(result.rows, minlength=m)
    z = (count - repeats * scores) / np.sqrt(repeats * scores * (1 - scores) + 1e-9)
    assert np.abs(z[:3]).max() < 6
    halves = np.add.reduceat(count, np.arange(0, m, 150))
    expected = np.add.reduceat(repeats * scores, np.arange(0, m, 150))
    assert (np.abs(halves - expected) < 5 * np.sqrt(expected)).all()  # repulsion: at most Poisson's
    np.testing.assert_allclose(result.weights, 1 / (repeats * scores[result.rows]), rtol=1e-9)
    for sample in result.rows.reshape(repeats, n):
        assert len(set(sample.tolist())) == n
    q = np.linalg.qr(a)[0]
    g = (q[result.rows].T * result.weights) @ q[result.rows]
    np.testing.assert_allclose(result.least_eigenvalue, np.linalg.eigvalsh(g)[0], rtol=1e-9)
    assert abs(np.trace(g) - n) < 1e-9  # of these weights, for any sample
    assert np.abs(g - np.eye(n)).max() < 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_defect_dppy_probabilities_do_not_sum_to_one(dtype):
    """DPPy #61 and #70: columns orthonormal to single precision only stop the sampler."""
    rng = np.random.default_rng(0)
    for seed in range(20):
        v = np.linalg.qr(rng.standard_normal((2000, 150)))[0].astype(np.float32).astype(dtype)
        rows = selection.projection_dpp(v, seed=seed).rows
        assert len(set(rows.tolist())) == 150
    # Far from orthonormal, and full of rows that differ by rounding only.
    v = np.repeat(rng.standard_normal((40, 20)), 5, axis=0) * (1 + 1e-15)
    rows = selection.projection_dpp(v.astype(dtype)).rows
    assert len(set((rows // 5).tolist())) == 20


def test_projection_dpp_of_a_deficient_matrix():
    a = gaussian(50, 4)
    result = selection.projection_dpp(np.hstack([a, a]))
    assert result.rank == 4
    assert len(result.rows) == 4
    np.testing.assert_array_equal(result.rows, selection.projection_dpp(1e25 * a).rows)
    empty = selection.projection_dpp(np.zeros((4, 2)))
    assert len(empty.rows) == 0
    assert empty.rows.dtype == np.int64


# ---- volume sampling ----------------------------------------------------------------------------


def test_identities_of_volume_sampling_by_enumeration():
    """The identities that the sampler is used for, exactly, over the law that it has."""
    m, n = 8, 3
    a, b = gaussian(m, n, seed=1), gaussian(m, 1, seed=2)[:, 0]
    best = np.linalg.lstsq(a, b, rcond=None)[0]
    loss = np.sum((a @ best - b) ** 2)
    inverse = np.linalg.inv(a.T @ a)
    for s in (3, 5):
        law = [gram_det(a[S]) for S in subsets(m, s)]
        np.testing.assert_allclose(sum(law), math.comb(m - n, s - n) * gram_det(a))
        law = np.array(law) / sum(law)
        solutions = [np.linalg.lstsq(a[S], b[S], rcond=None)[0] for S in subsets(m, s)]
        np.testing.assert_allclose(law @ np.array(solutions), best, rtol=1e-10)
        inverses = np.array([np.linalg.inv(a[S].T @ a[S]) for S in subsets(m, s)])
        np.testing.assert_allclose(
            np.tensordot(law, inverses, 1), (m - n + 1) / (s - n + 1) * inverse, rtol=1e-9
        )
        if s == n:
            losses = [np.sum((a @ x - b) ** 2) for x in solutions]
            np.testing.assert_allclose(law @ losses, (n + 1) * loss, rtol=1e-9)


@pytest.mark.parametrize(
    ("m", "n", "s"), [(6, 2, 2), (7, 2, 4), (10, 2, 3), (8, 3, 7), (5, 1, 2), (6, 3, 4)]
)
def test_volume_sampling_has_its_law(m, n, s):
    a = gaussian(m, n, seed=m)
    law = {tuple(S): gram_det(a[S]) for S in subsets(m, s)}
    total = sum(law.values())
    law = {S: p / total for S, p in law.items()}
    samples = [tuple(selection.volume_sampling(a, s, seed=k).rows.tolist()) for k in range(3000)]
    check_law(samples, law)


def test_volume_sampling_of_complex_rows_has_its_law():
    a = gaussian(7, 2, np.complex128)
    law = {tuple(S): gram_det(a[S]) for S in subsets(7, 4)}
    total = sum(law.values())
    samples = [tuple(selection.volume_sampling(a, 4, seed=k).rows.tolist()) for k in range(3000)]
    check_law(samples, {S: p / total for S, p in law.items()})


def leveraged_law(a, s):
    """Of sorted samples: the DPP's subset, and then s − n independent rows."""
    m, n = a.shape
    scores = leverage(a)
    law = {}
    for S in subsets(m, n):
        p = abs(np.linalg.det(a[S])) ** 2 / gram_det(a)
        for more in itertools.product(range(m), repeat=s - n):
            key = tuple(sorted(S + list(more)))
            law[key] = law.get(key, 0) + p * np.prod(scores[list(more)] / n)
    return law


def test_leveraged_volume_sampling_has_its_law_and_is_unbiased():
    a, b = gaussian(5, 2, seed=6), gaussian(5, 1, seed=7)[:, 0]
    a[0] *= 5
    law = leveraged_law(a, 4)
    scores = leverage(a)
    mean, plain = np.zeros(2), np.zeros(2)
    for S, p in law.items():
        rows = list(S)
        w = np.sqrt(2 / (4 * scores[rows]))
        mean += p * np.linalg.lstsq(a[rows] * w[:, None], b[rows] * w, rcond=None)[0]
        plain += p * np.linalg.lstsq(a[rows], b[rows], rcond=None)[0]
    best = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(mean, best, rtol=1e-10)
    assert np.abs(plain - best).max() > 1e-2  # without the weights it is another estimator
    results = [selection.volume_sampling(a, 4, method="leverage", seed=k) for k in range(3000)]
    check_law([tuple(sorted(r.rows.tolist())) for r in results], law)
    np.testing.assert_allclose(results[0].weights, 2 / (4 * scores[results[0].rows]))


def test_volume_sampling_is_unbiased_over_seeds():
    m, n = 60, 4
    a, b = gaussian(m, n, seed=3), gaussian(m, 1, seed=4)[:, 0] ** 3
    a[:2] *= 8
    best = np.linalg.lstsq(a, b, rcond=None)[0]
    loss = np.sum((a @ best - b) ** 2)
    for s, method in [(n, "reverse"), (n + 3, "reverse"), (n + 6, "leverage")]:
        solutions, inverses = [], []
        for seed in range(1500):
            rows, weights = selection.volume_sampling(a, s, method=method, seed=seed)
            solutions.append(selection.weighted_lstsq(a, b, rows, weights).x)
            inverses.append(np.linalg.inv(a[rows].T @ a[rows]))
        check_mean(solutions, best)
        if s == n:
            check_mean([np.sum((a @ x - b) ** 2) for x in solutions], (n + 1) * loss)
        elif method == "reverse":
            expected = (m - n + 1) / (s - n + 1) * np.linalg.inv(a.T @ a)
            check_mean(np.array(inverses).reshape(1500, -1), expected.ravel())


def test_volume_sampling_of_many_rows():
    m, n, s, draws = 3000, 10, 200, 60
    a = gaussian(m, n)
    a[:5] *= 30
    scores = leverage(a)
    inclusion = (s - n) / (m - n) + (m - s) / (m - n) * scores
    np.testing.assert_allclose(inclusion.sum(), s)
    count = np.zeros(m)
    q = np.linalg.qr(a)[0]
    for seed in range(draws):
        result = selection.volume_sampling(a, s, seed=seed)
        assert result.rows.tolist() == sorted(set(result.rows.tolist()))
        assert len(result.rows) == s
        count[result.rows] += 1
        np.testing.assert_array_equal(result.weights, 1)
    g = (q[result.rows].T / inclusion[result.rows]) @ q[result.rows]
    np.testing.assert_allclose(result.least_eigenvalue, np.linalg.eigvalsh(g)[0], rtol=1e-9)
    np.testing.assert_allclose(result.scores, scores, rtol=1e-9)
    deviation = np.sqrt(draws * inclusion * (1 - inclusion))
    assert (np.abs(count - draws * inclusion)[:5] < 5 * deviation[:5]).all()
    blocks = count[5:].reshape(-1, 599).sum(axis=1)
    expected = draws * inclusion[5:].reshape(-1, 599).sum(axis=1)
    assert (np.abs(blocks - expected) < 5 * np.sqrt(expected)).all()


def test_conditioned_volume_sampling():
    a = gaussian(500, 6)
    least = [
        selection.volume_sampling(a, 30, method="leverage", seed=k).least_eigenvalue
        for k in range(30)
    ]
    assert min(least) < 0.35 < max(least)
    for seed in range(10):
        result = selection.volume_sampling(
            a, 30, method="leverage", least_eigenvalue=0.35, seed=seed
        )
        assert result.converged
        assert result.least_eigenvalue >= 0.35
        q = np.linalg.qr(a)[0][result.rows]
        g = (q.T * result.weights) @ q
        np.testing.assert_allclose(np.linalg.eigvalsh(g)[0], result.least_eigenvalue, rtol=1e-9)
        if least[seed] >= 0.35:
            assert result.iterations == 1
    never = selection.volume_sampling(a, 7, least_eigenvalue=0.99, max_draws=5)
    assert never.status is Status.max_iterations
    assert never.iterations == 5
    assert len(never.rows) == 7
    assert "size" in never.message


# ---- columns ------------------------------------------------------------------------------------


def columns_error(a, columns):
    c = np.linalg.qr(a[:, columns])[0]
    return np.linalg.norm(a - c @ (c.conj().T @ a))


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("m", [4, 30])
def test_column_subset_has_the_law_of_volume_sampling(dtype, m):
    a = gaussian(m, 7, dtype)
    a *= np.array([1, 2, 3, 1, 1, 1, 0.1])
    law = {tuple(S): max(gram_det(a[:, S]), 0.0) for S in subsets(7, 3)}
    total = sum(law.values())
    law = {S: p / total for S, p in law.items()}
    results = [selection.column_subset(a, 3, seed=k) for k in range(2500)]
    check_law([tuple(r.columns.tolist()) for r in results], law)
    best = np.sqrt(np.sum(np.linalg.svd(a, compute_uv=False)[3:] ** 2))
    mean2 = sum(p * columns_error(a, list(S)) ** 2 for S, p in law.items())
    assert mean2 <= 4 * best**2
    np.testing.assert_allclose(results[0].best, best)
    np.testing.assert_allclose(results[0].bound, 2 * best)
    check_mean([r.error_estimate**2 for r in results], mean2)


@pytest.mark.parametrize("method", ["volume", "leverage", "pivoted_qr"])
@pytest.mark.parametrize("shape", [(200, 40), (25, 60)])
def test_column_subset(method, shape):
    a = rectangular(*shape, 1e6, seed=2)
    columns, error = result = selection.column_subset(a, 8, method=method)
    assert len(set(columns.tolist())) == 8
    np.testing.assert_allclose(error, columns_error(a, columns), rtol=1e-9)
    s = np.linalg.svd(a, compute_uv=False)
    np.testing.assert_allclose(result.best, np.linalg.norm(s[8:]), rtol=1e-9)
    np.testing.assert_allclose(result.norm, np.linalg.norm(s), rtol=1e-12)
    np.testing.assert_allclose(result.scores.sum(), 8)
    assert result.best <= error <= 8 * result.best
    for scale in (1e-25, 1e25):
        other = selection.column_subset(a * scale, 8, method=method)
        np.testing.assert_array_equal(other.columns, columns)
        np.testing.assert_allclose(other.error_estimate, error * scale, rtol=1e-9)


def test_defect_dppy_symmetric_polynomials_leave_the_range_of_doubles():
    """DPPy #80: E_k of hundreds of eigenvalues overflows, or underflows, unless in logarithms."""
    for cond in (1.0, 1e10):
        a = rectangular(500, 400, cond, seed=1)
        result = selection.column_subset(a, 300, seed=3)
        assert len(set(result.columns.tolist())) == 300
        assert np.isfinite(result.error_estimate)


def test_column_subset_of_deficient_matrices():
    a = gaussian(30, 4) @ gaussian(4, 12)
    for method in ("volume", "leverage", "pivoted_qr"):
        assert selection.column_subset(a, 4, method=method).error_estimate < 1e-12 * np.abs(a).sum()
    with pytest.raises(ValueError, match="A has numerical rank 4"):
        selection.column_subset(a, 5)
    with pytest.raises(ValueError, match="rank 0"):
        selection.column_subset(np.zeros((3, 3)), 1)


# ---- weighted least squares ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_weighted_lstsq(dtype):
    a, b = gaussian(50, 4, dtype), gaussian(50, 3, dtype, seed=1)
    rows = np.array([3, 1, 1, 40, 22, 9, 13])
    w = np.array([1, 2, 3, 0, 1, 0.5, 1])
    x, condition = result = selection.weighted_lstsq(a, b, rows, w)
    root = np.sqrt(w)[:, None].astype(dtype)
    exact = np.linalg.lstsq(root * a[rows], root * b[rows], rcond=None)[0]
    assert x.dtype == dtype
    np.testing.assert_allclose(x, exact, atol=300 * eps(dtype))
    assert result.converged
    assert result.rank == 4
    assert 1 < condition < 1e4
    np.testing.assert_allclose(
        result.residual, np.linalg.norm(root * (a[rows] @ exact - b[rows])), rtol=1e4 * eps(dtype)
    )
    one = selection.weighted_lstsq(a, b[:, 0], rows, w).x
    assert one.shape == (4,)
    np.testing.assert_allclose(one, x[:, 0], rtol=1e-6 if dtype in DTYPES[::2] else 1e-14)
    for scale in (1e-8, 1e8):
        units = np.asarray(scale, dtype)
        scaled = selection.weighted_lstsq(a * units, b, rows, w / scale).x
        np.testing.assert_allclose(scaled * units, x, rtol=1e-3, atol=300 * eps(dtype))


def test_weighted_lstsq_of_everything_is_least_squares():
    a, b = gaussian(30, 4), gaussian(30, 1)[:, 0]
    exact = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(selection.weighted_lstsq(a, b).x, exact, rtol=1e-12)
    mixed = selection.weighted_lstsq(a, b + 1j * b)
    np.testing.assert_allclose(mixed.x, exact + 1j * exact, rtol=1e-12)
    # Only the selected rows are read.
    b[5:] = np.nan
    assert np.isfinite(selection.weighted_lstsq(a, b, np.arange(5)).x).all()


def test_weighted_lstsq_says_when_rows_do_not_suffice():
    a, b = gaussian(30, 4), gaussian(30, 1)[:, 0]
    result = selection.weighted_lstsq(a, b, [3, 3, 8, 9])
    assert result.rank == 3
    assert result.status is Status.condition_limit
    assert math.isinf(result.condition)
    np.testing.assert_allclose(a[[3, 8, 9]] @ result.x, b[[3, 8, 9]], atol=1e-12)
    assert selection.weighted_lstsq(a, b, [3, 4, 8, 9], np.zeros(4)).rank == 0


# ---- all of them --------------------------------------------------------------------------------

FUNCTIONS = {
    "leverage_scores": selection.leverage_scores,
    "sketched": lambda a: selection.leverage_scores(a, method="sketched", sketch_rows=12),
    "lewis_weights": lambda a: selection.lewis_weights(a, 1.0),
    "sensitivities": lambda a: selection.sensitivities(a, 3.0),
    "projection_dpp": selection.projection_dpp,
    "volume_sampling": lambda a: selection.volume_sampling(a, 8),
    "leveraged": lambda a: selection.volume_sampling(a, 8, method="leverage"),
    "maxvol": selection.maxvol,
    "maxvol_rectangular": selection.maxvol_rectangular,
    "column_subset": lambda a: selection.column_subset(a, 2),
    "weighted_lstsq": lambda a: selection.weighted_lstsq(
        a, np.arange(a.shape[0], dtype=np.float32)
    ),
}


def parts_of(result):
    return list(result) if isinstance(result, ritz.Result) else [result]


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_same_kind_out(function, framework):
    module = pytest.importorskip(framework)
    a = gaussian(40, 3, np.float32)
    if framework == "torch":
        kind, given = module.Tensor, module.from_numpy(a)
    else:
        kind, given = module.Array, module.numpy.asarray(a)
    for got, expected in zip(parts_of(function(given)), parts_of(function(a)), strict=True):
        if isinstance(expected, np.ndarray) and expected.dtype == np.int64:
            assert type(got) is np.ndarray  # indices are NumPy's
        elif isinstance(expected, np.ndarray):
            assert isinstance(got, kind)
        np.testing.assert_array_equal(np.asarray(got), expected)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_same_bits_for_any_number_of_threads(function):
    a = gaussian(30000, 3)
    threads = ritz.num_threads()
    try:
        ritz.set_num_threads(1)
        expected = parts_of(function(a))
        ritz.set_num_threads(3)
        for got, one in zip(parts_of(function(a)), expected, strict=True):
            np.testing.assert_array_equal(got, one)
    finally:
        ritz.set_num_threads(threads)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_bad_matrices(function):
    a = gaussian(20, 3)
    name = "V" if function is selection.projection_dpp else "A"
    for bad in (np.nan, np.inf):
        broken = a.copy()
        broken[7, 1] = bad
        with pytest.raises(ValueError, match=f"{name} holds a NaN or an infinity in column 1"):
            function(broken)
    with pytest.raises(ValueError, match=rf"{name} has shape \(20,\)"):
        function(a[:, 0])
    with pytest.raises(TypeError, match="toarray"):
        function(scipy.sparse.csr_array(a))


@pytest.mark.parametrize("name", ["maxvol", "maxvol_rectangular", "volume_sampling"])
def test_dependent_columns_are_named(name):
    a = gaussian(20, 3)
    with pytest.raises(ValueError, match="A has numerical rank 3 with 4 columns"):
        getattr(selection, name)(np.hstack([a, a[:, :1]]))
    with pytest.raises(ValueError, match=r"A has shape \(2, 3\)"):
        getattr(selection, name)(a[:2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: selection.leverage_scores(a, method="best"), "method is 'best'"),
        (lambda a: selection.leverage_scores(a, probes=3), "sketch_rows and probes"),
        (
            lambda a: selection.leverage_scores(a, method="sketched", sketch_rows=2),
            "sketch_rows is 2",
        ),
        (lambda a: selection.leverage_scores(a, method="sketched", probes=0), "probes is 0"),
        (lambda a: selection.lewis_weights(a, 0), "p is 0"),
        (lambda a: selection.sensitivities(a, math.inf), "p is infinite"),
        (lambda a: selection.maxvol(a, 0.9), "tol is 0.9"),
        (lambda a: selection.maxvol(a, maxiter=0), "maxiter is 0"),
        (lambda a: selection.maxvol_rectangular(a, 21), "size is 21"),
        (lambda a: selection.maxvol_rectangular(a, 2), "size is 2"),
        (lambda a: selection.projection_dpp(a, repeats=0), "repeats is 0"),
        (lambda a: selection.projection_dpp(a, seed=-1), "seed is -1"),
        (lambda a: selection.volume_sampling(a, 2), "size is 2"),
        (lambda a: selection.volume_sampling(a, 21), "size is 21"),
        (lambda a: selection.volume_sampling(a, method="fast"), "method is 'fast'"),
        (lambda a: selection.column_subset(a, 4), "k is 4"),
        (lambda a: selection.column_subset(a, 1, method="svd"), "method is 'svd'"),
        (lambda a: selection.weighted_lstsq(a, a[:5, 0]), r"b has shape \(5,\)"),
        (lambda a: selection.weighted_lstsq(a, a[:, 0], [20]), "rows has indices outside"),
        (lambda a: selection.weighted_lstsq(a, a[:, 0], [1, 2], [1, -1]), "weights has negative"),
        (lambda a: selection.weighted_lstsq(a, a[:, 0], [1, 2], [1.0]), "weights has shape"),
        (lambda a: selection.weighted_lstsq(a, a[:, 0] * np.nan), "b holds a NaN"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call(gaussian(20, 3))


def test_rows_must_be_integers():
    a = gaussian(20, 3)
    with pytest.raises(TypeError, match="rows has dtype float64"):
        selection.weighted_lstsq(a, a[:, 0], [1.0, 2.0])


def test_results_tell_what_happened():
    a = gaussian(50, 3)
    for result in (
        selection.projection_dpp(a, seed=4),
        selection.volume_sampling(a, 9, seed=4),
        selection.column_subset(a, 2, seed=4),
    ):
        assert result.seed == 4
        assert result.converged
        assert result.message.startswith("converged: ")
        assert "seed" in repr(result)
    assert selection.projection_dpp(a, seed=4).rows.tolist() != list(
        selection.projection_dpp(a, seed=5).rows
    )


# ---- who watches, and who interrupts ------------------------------------------------------------

WATCHED = {
    "lewis_weights": lambda a, **kw: selection.lewis_weights(a, 3.0, **kw),
    "maxvol": lambda a, **kw: selection.maxvol(a, 1.0, **kw),
    "maxvol_rectangular": lambda a, **kw: selection.maxvol_rectangular(a, 60, **kw),
}


@pytest.mark.parametrize("name", WATCHED)
def test_callbacks_see_every_iteration_and_change_nothing(name):
    class Recorder:
        def begin(self, method):
            self.method = method

        def __call__(self, now):
            seen.append((now.iteration, now.residual, now.seconds))

        def finish(self, result):
            self.result = result

    seen = []
    a, recorder = gaussian(2000, 30), Recorder()
    expected = WATCHED[name](a)
    result = WATCHED[name](a, callback=recorder, timeout=1e9)
    for got, want in zip(parts_of(result), parts_of(expected), strict=True):
        np.testing.assert_array_equal(got, want)
    added = 30 if name == "maxvol_rectangular" else 0
    assert [s[0] for s in seen] == list(range(1, result.iterations + added + 1))
    assert (np.diff([s[2] for s in seen]) >= 0).all()
    np.testing.assert_allclose(seen[-1][1], result.residual, rtol=1e-10)
    assert recorder.method == name
    assert recorder.result is result


def test_callbacks_of_lewis_weights_see_them():
    a, seen = gaussian(500, 5, np.float32), []
    ended = selection.lewis_weights(a, 3.0, callback=lambda now: seen.append(now.x.copy()))
    for k in (1, 4, ended.iterations):
        limited = selection.lewis_weights(a, 3.0, maxiter=k)
        np.testing.assert_array_equal(seen[k - 1].astype(np.float32), limited.weights)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        (Status.stopped, {"callback": lambda now: now.iteration == 3}),
        (Status.timeout, {"timeout": 0.0}),
    ],
)
def test_runs_ended_early_tell_the_truth(ending, options):
    a = gaussian(3000, 20)
    last = 3 if ending is Status.stopped else 1
    word = "callback" if ending is Status.stopped else "time limit"
    lewis = selection.lewis_weights(a, 3.0, **options)
    assert lewis.iterations == last
    tau = leverage(a * lewis.weights[:, None] ** (0.5 - 1 / 3))
    np.testing.assert_allclose(np.abs(tau / lewis.weights - 1).max(), lewis.residual, rtol=1e-8)
    square = selection.maxvol(a, 1.0, **options)
    assert square.swaps == last
    exact = np.linalg.solve(a[square.rows].T, a.T).T
    np.testing.assert_allclose(square.coefficients, exact, atol=1e-11)
    np.testing.assert_allclose(np.abs(exact).max(), square.largest, rtol=1e-10)
    assert square.largest > 1
    # Here the rows of maxvol alone meet the tolerance, but not the size.
    more = selection.maxvol_rectangular(a, 40, tol=1e3, **options)
    np.testing.assert_allclose(more.coefficients, a @ np.linalg.pinv(a[more.rows]), atol=1e-11)
    norms = np.linalg.norm(more.coefficients, axis=1)
    np.testing.assert_allclose(norms.max(), more.largest, rtol=1e-10)
    assert 20 <= len(more.rows) < 40
    for result in (lewis, square, more):
        assert result.status is ending
        assert not result.converged
        assert word in result.message


def test_a_stop_among_the_added_rows():
    a = gaussian(600, 8)
    whole = selection.maxvol_rectangular(a, 30)
    last = whole.swaps + 5
    result = selection.maxvol_rectangular(a, 30, callback=lambda now: now.iteration == last)
    assert result.status is Status.stopped
    np.testing.assert_array_equal(result.rows, whole.rows[:13])
    np.testing.assert_allclose(result.coefficients, a @ np.linalg.pinv(a[result.rows]), atol=1e-12)


class Mine(Exception):
    pass


@pytest.mark.parametrize("name", WATCHED)
def test_exceptions_of_callbacks_arrive_unchanged(name):
    error = Mine("with", {"its": "arguments"})

    def callback(now):
        raise error

    with pytest.raises(Mine) as caught:
        WATCHED[name](gaussian(2000, 30), callback=callback)
    assert caught.value is error
    with pytest.raises(TypeError, match="callback"):
        WATCHED[name](gaussian(99, 3), callback=3)
    with pytest.raises(ValueError, match="timeout"):
        WATCHED[name](gaussian(99, 3), timeout=-1)


@functools.cache
def large():
    return gaussian(200000, 100)


# Each of seconds, on one core.
SLOW = {
    "leverage_scores": lambda: selection.leverage_scores(large()),
    "lewis_weights": lambda: selection.lewis_weights(large()[:20000], 3.9, tol=0),
    "lewis_weights with callback": lambda: selection.lewis_weights(
        large()[:20000], 3.9, tol=0, callback=lambda now: None
    ),
    "sensitivities": lambda: selection.sensitivities(large()[:20000], 3.9, tol=0, maxiter=300),
    "volume_sampling": lambda: selection.volume_sampling(
        large()[:20000], 200, least_eigenvalue=1.0
    ),
    "leveraged volume_sampling": lambda: selection.volume_sampling(
        large()[:20000], 200, method="leverage", least_eigenvalue=1.0
    ),
    "projection_dpp": lambda: selection.projection_dpp(large()[:50000], repeats=20),
    "small projection_dpp": lambda: selection.projection_dpp(large()[:30, :3], repeats=10**6),
    "maxvol": lambda: selection.maxvol(CHEBYSHEV, 1.0),
    "maxvol_rectangular": lambda: selection.maxvol_rectangular(large()[:50000], 500),
    "column_subset": lambda: selection.column_subset(large(), 5),
}
CHEBYSHEV = np.cos(np.arccos(np.linspace(-1, 1, 20000))[:, None] * np.arange(150))


@pytest.mark.timed
@pytest.mark.parametrize("name", SLOW)
def test_ctrl_c(name):
    large()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threads = ritz.num_threads()
    ritz.set_num_threads(1)
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    timer.start()
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            SLOW[name]()
        elapsed = time.perf_counter() - start
    finally:
        timer.join()
        ritz.set_num_threads(threads)
        signal.signal(signal.SIGINT, before)
    assert elapsed < 0.2 + 0.5
    assert selection.maxvol(large()[:100, :3]).converged
