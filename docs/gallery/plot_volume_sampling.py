"""How few points does a polynomial need? Volume sampling against independent points.

A function is to be approximated by a polynomial with n coefficients from its values at s points, as
few as possible, which may be chosen among many. What can be had is the best approximation, least
squares over all of the points; what is lost to choosing is the factor by which the error grows.

Points drawn uniformly need many more than n. Drawn by their leverage scores, and weighted, about
n log n will do, but no fewer: sooner or later the matrix of the chosen rows is nearly singular.
Volume sampling prefers sets of rows with a large determinant, whose points keep away from each
other, and does well from s = n on, where least squares has become interpolation. Beyond n its rows
are drawn in two ways: all different ("reverse"), or n by the determinant and the others
independently by leverage; or else the n are drawn again and again (a determinantal point process,
repeated), which is what did best here.

Volume sampling is unbiased besides: solutions from s = n + 5 points, averaged, are the best one to
within their standard errors. That is tested, and so is the law of the first n points.

Cohen, Migliorati: Optimal weighted least-squares methods. SMAI J. Comput. Math. 3, 2017.
Dereziński, Warmuth: Reverse iterative volume sampling for linear regression. JMLR 19, 2018.
"""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np

from ritz import selection

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
POINTS, COEFFICIENTS, SEEDS = (1000, 16, 20) if QUICK else (4000, 25, 60)
TIMES = (1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 8.0)  # s over n
RUNGE = 25.0

x = np.linspace(-1, 1, POINTS)
A = np.polynomial.legendre.legvander(x, COEFFICIENTS - 1)
f = 1 / (1 + RUNGE * x**2)
everything = selection.weighted_lstsq(A, f)
best = np.linalg.norm(A @ everything.x - f)
scores = selection.leverage_scores(A)
share = scores / scores.sum()


def drawn(kind: str, s: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and weights of a sample of s points."""
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        return rng.integers(POINTS, size=s), np.ones(s)
    if kind == "by leverage":
        rows = rng.choice(POINTS, size=s, p=share)
        return rows, 1 / (s * share[rows])
    if kind == "repeated DPP":
        return tuple(selection.projection_dpp(A, repeats=s // COEFFICIENTS, seed=seed))
    method = {"volume, reverse": "reverse", "volume, leverage": "leverage"}[kind]
    return tuple(selection.volume_sampling(A, s, method=method, seed=seed))


KINDS = {
    "uniform": "tab:gray",
    "by leverage": "tab:orange",
    "volume, leverage": "tab:green",
    "volume, reverse": "tab:blue",
    "repeated DPP": "tab:red",
}
# Factors over the best error: by kind, a row for each size of (s, median, nine out of ten).
growth: dict[str, np.ndarray] = {}
for kind in KINDS:
    rows_of_table = []
    for times in TIMES:
        s = round(times * COEFFICIENTS)
        if kind == "repeated DPP" and s % COEFFICIENTS:
            continue
        factors = []
        for seed in range(SEEDS):
            rows, weights = drawn(kind, s, seed)
            p = A @ selection.weighted_lstsq(A, f, rows, weights).x
            factors.append(np.linalg.norm(p - f) / best)
        rows_of_table.append((s, np.median(factors), np.quantile(factors, 0.9)))
    growth[kind] = np.array(rows_of_table)

print(f"{COEFFICIENTS} coefficients, {POINTS} points to choose from, {SEEDS} samples of each size")
print("growth of the error: median, and what nine of ten samples stay below")
print("points   " + "".join(f"{kind:>22}" for kind in KINDS))
for times in TIMES:
    s = round(times * COEFFICIENTS)
    line = f"{s:6d}   "
    for kind in KINDS:
        found = growth[kind][growth[kind][:, 0] == s]
        line += f"{found[0, 1]:13.4g}{found[0, 2]:9.3g}" if len(found) else f"{'-':>13}{'-':>9}"
    print(line)

median = {kind: dict(table[:, :2]) for kind, table in growth.items()}
most = {kind: dict(table[:, [0, 2]]) for kind, table in growth.items()}
n = COEFFICIENTS
# As many points as coefficients: interpolation, which volume sampling makes safe.
assert median["volume, reverse"][n] < 5
assert median["by leverage"][n] > 5 * median["volume, reverse"][n]
assert median["uniform"][n] > 100 * median["volume, reverse"][n]
# Twice as many: nearly the best, while independent points are not yet there.
for kind in ("volume, reverse", "volume, leverage", "repeated DPP"):
    assert median[kind][2 * n] < 2
    assert most[kind][2 * n] < 0.8 * most["by leverage"][2 * n]
assert median["repeated DPP"][2 * n] < median["by leverage"][2 * n]
assert most["repeated DPP"][2 * n] < 2
# With many points all but the uniform ones agree.
for kind in ("by leverage", "volume, reverse", "volume, leverage", "repeated DPP"):
    assert median[kind][8 * n] < 1.2
assert most["uniform"][2 * n] > 10

# Unbiased: the mean over samples is the best solution, to within five standard errors.
size, repeats = n + 5, 10 * SEEDS
solutions = np.array(
    [
        selection.weighted_lstsq(A, f, *selection.volume_sampling(A, size, seed=1000 + seed)).x
        for seed in range(repeats)
    ]
)
error = solutions.std(axis=0, ddof=1) / np.sqrt(repeats)
z = (solutions.mean(axis=0) - everything.x) / error
print(f"\nmean of {repeats} solutions from {size} points: largest deviation {abs(z).max():.1f}")
print("standard errors of the mean")
assert abs(z).max() < 5

# The law of the first n points: each is taken with probability ℓᵢ, and they repel one another.
dpp = selection.projection_dpp(A, repeats=repeats, seed=7)
samples = np.sort(dpp.rows.reshape(repeats, n), axis=1)
tenths = np.add.reduceat(
    np.bincount(dpp.rows, minlength=POINTS), np.arange(0, POINTS, POINTS // 10)
)
expected = repeats * np.add.reduceat(scores, np.arange(0, POINTS, POINTS // 10))
assert (abs(tenths - expected) < 5 * np.sqrt(expected)).all()
independent = np.sort(np.random.default_rng(0).choice(POINTS, size=(repeats, n), p=share), axis=1)


def closest(rows: np.ndarray) -> float:
    """Median of the least distance of two points of a sample, in mean distances."""
    angle = np.sort(np.arccos(x[rows]), axis=1)
    return float(np.median(np.diff(angle, axis=1).min(axis=1)) * n / np.pi)


print(f"closest two of {n} points, in mean distances of their angles:")
print(f"  determinantal {closest(samples):.3f}, independent {closest(independent):.3f}")
assert closest(samples) > 5 * closest(independent)

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
for kind, colour in KINDS.items():
    table = growth[kind]
    left.loglog(table[:, 0], table[:, 1], "o-", color=colour, label=kind)
    left.fill_between(table[:, 0], table[:, 1], table[:, 2], color=colour, alpha=0.12, linewidth=0)
left.axhline(1, color="black", linewidth=0.8)
left.set_ylim(0.8, 1e4)
ticks = [round(times * n) for times in TIMES]
left.set_xticks(ticks, [str(s) for s in ticks])
left.minorticks_off()
left.set_xlabel(f"points for {n} coefficients")
left.set_ylabel("error over that of the best approximation")
left.set_title("Median, and nine of ten samples")
left.legend(fontsize="small")
for k in range(8):
    right.plot(x[samples[k]], np.full(n, k + 9), "|", color="tab:blue", markersize=9)
    right.plot(x[independent[k]], np.full(n, k), "|", color="tab:orange", markersize=9)
right.axhline(8, color="black", linewidth=0.8)
right.set_yticks([3.5, 12.5], ["independent,\nby leverage", "determinantal"])
right.set_xlabel("x")
right.set_title(f"Eight samples of {n} points of either kind")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_volume_sampling.png", dpi=120)
