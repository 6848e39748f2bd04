"""Sixty related systems: what recycling a Krylov space saves, over what, and why.

Flow through a porous medium obeys -div(a grad u) = f. Sixty permeabilities a are drawn and sorted
into a chain of neighbours. GCRO-DR(40, 20) solves the systems in this order and carries 20 vectors
from each to the next: approximate eigenvectors of the eigenvalues nearest 0, the slow ones. For
such sequences up to 13.9 times over GMRES(40) has been published (Wang et al.: Accelerating data
generation for neural operators via Krylov subspace recycling. ICLR, 2024).

Most of such a factor is the price of restarts. GMRES(40) forgets the slow eigenvectors every 40
steps, at a loss that grows with the condition number and so with the grid; a factor over it says
little without the grid. Keeping them from cycle to cycle, within one system, restores the pace of a
method without restarts, which is that of CG. Carrying them over to the next system then saves about
two fifths of the products, those counted that fit the 20 vectors to the new operator; sorting saves
a few per cent, if anything. In seconds less is left, because an iteration moves more memory: the
images of the 20 vectors are in the basis from the first step on, and every cycle chooses the next.

A symmetric positive definite operator has a fairer rival in CG, which never restarts and whose
iterations move little memory. Recycling needs fewer products than CG and several times its seconds:
where a product is as cheap as that of a five-point stencil, CG is the method to use. The script
prints how expensive a product has to be to turn this around. With wind, -div(a grad u) + w·grad u =
f, there is no CG (BiCGSTAB takes its place, with two products an iteration); the operator is not
normal, and little is left of what recycling gains over keeping the vectors within a system.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spla

import ritz

mpl.use("Agg")
import matplotlib.pyplot as plt

QUICK = os.environ.get("RITZ_GALLERY_QUICK") == "1"
SYSTEMS = 15 if QUICK else 60
SIDE = 32 if QUICK else 48
SIDES = (8, 16, 32) if QUICK else (16, 32, 64, 96)
FEW = 4  # systems on each of these grids
WIND = 20.0
MODES = 4
RTOL = 1e-8
RESTART, KEPT = 40, 20

rng = np.random.default_rng(0)
coefficients = rng.standard_normal((SYSTEMS, MODES, MODES))


def log_permeability(c: np.ndarray, side: int) -> np.ndarray:
    """A smooth field on the vertices of the unit square: a cosine series with decaying terms."""
    k = np.arange(MODES)
    waves = np.cos(np.pi * np.outer(np.linspace(0, 1, side + 2), k))
    return waves @ (c / (1 + k[:, None] ** 2 + k**2)) @ waves.T


def darcy(c: np.ndarray, side: int, wind: float = 0.0) -> sp.csr_matrix:
    """The five-point scheme on side × side interior points, with upwind differences."""
    a = np.exp(log_permeability(c, side))
    west = (a[1:-1, 1:-1] + a[:-2, 1:-1]) / 2
    east = (a[1:-1, 1:-1] + a[2:, 1:-1]) / 2
    south = (a[1:-1, 1:-1] + a[1:-1, :-2]) / 2
    north = (a[1:-1, 1:-1] + a[1:-1, 2:]) / 2
    upwind = wind / (side + 1)
    west, south = west + upwind, south + upwind
    centre = west + east + south + north
    west[0], east[-1], south[:, 0], north[:, -1] = 0, 0, 0, 0  # boundary values of zero
    n = side * side
    return sp.diags(
        [
            centre.ravel(),
            -west.ravel()[side:],
            -east.ravel()[:-side],
            -south.ravel()[1:],
            -north.ravel()[:-1],
        ],
        [0, -side, side, -1, 1],
        shape=(n, n),
        format="csr",
    )


def chain(points: np.ndarray) -> list[int]:
    """Order the points: from each to the nearest that is left."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    order, left = [0], set(range(1, len(points)))
    while left:
        order.append(min(left, key=lambda j: distances[order[-1], j]))
        left.remove(order[-1])
    return order


drawn = list(range(SYSTEMS))
order = chain(np.array([log_permeability(c, SIDE).ravel() for c in coefficients]))


class Runs(NamedTuple):
    """Iterations and products of each system, seconds of all, and the last solution."""

    iterations: np.ndarray
    products: np.ndarray
    seconds: float
    x: np.ndarray


def solve_all(solver, matrices, jacobi=False, **options) -> Runs:  # type: ignore[no-untyped-def]
    """Solve the systems in turn, and look at the residuals."""
    b = np.ones(matrices[0].shape[0])
    problems = [
        (ritz.aslinearoperator(A), ritz.diagonal(1 / A.diagonal()) if jacobi else None)
        for A in matrices
    ]
    begin = time.perf_counter()
    results = [solver(A, b, rtol=RTOL, M=M, **options) for A, M in problems]
    seconds = time.perf_counter() - begin
    for A, result in zip(matrices, results, strict=True):
        assert result.info == 0, result.message
        assert np.linalg.norm(b - A @ result.x) <= 1.01 * RTOL * np.linalg.norm(b)
    return Runs(
        np.array([r.iterations for r in results]),
        np.array([r.products.total for r in results]),
        seconds,
        results[-1].x,
    )


def recycled(matrices, jacobi=False) -> Runs:  # type: ignore[no-untyped-def]
    """GCRO-DR with one space for all, which is fitted to each new operator."""
    space = ritz.Recycle(same_operator=False)
    return solve_all(ritz.gcrodr, matrices, jacobi, restart=RESTART, k=KEPT, recycle=space)


products: dict[str, dict[str, np.ndarray]] = {}
for problem, jacobi, wind in [
    ("Darcy", False, 0.0),
    ("Darcy, scaled by its diagonal", True, 0.0),
    ("Darcy with wind", False, WIND),
]:
    matrices = [darcy(c, SIDE, wind) for c in coefficients]
    chained = [matrices[j] for j in order]
    rival = ("BiCGSTAB", ritz.bicgstab) if wind else ("CG", ritz.cg)
    runs = {
        "GMRES(40)": solve_all(ritz.gmres, chained, jacobi, restart=RESTART),
        "kept within a system": solve_all(ritz.gcrodr, chained, jacobi, restart=RESTART, k=KEPT),
        "recycled, as drawn": recycled(matrices, jacobi),
        "recycled, sorted": recycled(chained, jacobi),
        rival[0]: solve_all(rival[1], chained, jacobi),
    }
    products[problem] = {name: run.products for name, run in runs.items()}
    mean = {name: float(run.products.mean()) for name, run in runs.items()}

    print(f"{problem}: {SYSTEMS} systems with {SIDE * SIDE} unknowns, {RTOL:.0e}")
    print("                          iterations   products    seconds")
    for name, run in runs.items():
        print(
            f"  {name:22} {run.iterations.mean():11.1f} {mean[name]:10.1f} "
            f"{run.seconds / SYSTEMS:10.4f}"
        )
    gain = mean["GMRES(40)"] / mean["recycled, sorted"]
    faster = runs["GMRES(40)"].seconds / runs["recycled, sorted"].seconds
    print(f"  over GMRES(40): {gain:.1f} in products, {faster:.1f} in seconds")
    fewer = mean[rival[0]] - mean["recycled, sorted"]
    longer = (runs["recycled, sorted"].seconds - runs[rival[0]].seconds) / SYSTEMS
    if fewer > 0 and longer > 0:
        print(f"  faster than {rival[0]} where a product costs {1e6 * longer / fewer:.0f} µs more")

    # The published factor is not reached here, ...
    assert 1.2 < gain < 13.9
    assert abs(mean["recycled, sorted"] / mean["recycled, as drawn"] - 1) < 0.2
    if wind:
        # ... what recycling gains has to be looked at: a space that does not pay is dropped, ...
        assert mean["recycled, sorted"] < 1.2 * mean["kept within a system"]
    else:
        # ... and the pace of CG is what is left when the restarts no longer hurt.
        assert mean["kept within a system"] < 1.25 * mean["CG"]
        assert mean["recycled, sorted"] < 0.85 * mean["kept within a system"]
        assert mean["recycled, sorted"] < 0.85 * mean["CG"]

# One solution by elimination: the methods agree because they are right.
A = chained[-1]
exact = spla.spsolve(A.tocsc(), np.ones(A.shape[0]))
found = runs["recycled, sorted"].x
assert np.linalg.norm(found - exact) <= 1e-4 * np.linalg.norm(exact)

# The factor over the grid, for a few systems.
factors: dict[str, list[float]] = {"GMRES(40)": [], "CG": []}
for side in SIDES:
    matrices = [darcy(coefficients[j], side) for j in order[:FEW]]
    base = recycled(matrices).products.sum()
    restarted = solve_all(ritz.gmres, matrices, restart=RESTART)
    factors["GMRES(40)"].append(restarted.products.sum() / base)
    factors["CG"].append(solve_all(ritz.cg, matrices).products.sum() / base)
print(f"products of GMRES(40) over those of recycling, {FEW} systems:")
print(
    "  "
    + ", ".join(f"{s} × {s}: {f:.1f}" for s, f in zip(SIDES, factors["GMRES(40)"], strict=True))
)
assert factors["GMRES(40)"][-1] > 1.4 * factors["GMRES(40)"][0]
assert max(factors["CG"]) < 2

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
colours = {
    "GMRES(40)": "tab:red",
    "kept within a system": "0.6",
    "CG": "black",
    "recycled, sorted": "tab:blue",
}
for name, colour in colours.items():
    left.semilogy(products["Darcy"][name], color=colour, label=name)
left.set_xlabel("system, in the order of the chain")
left.set_ylabel("products")
left.set_title(f"Darcy on a {SIDE} × {SIDE} grid")
left.set_ylim(top=5 * products["Darcy"]["GMRES(40)"].max())  # room for the legend
left.legend(fontsize="small", ncols=2)
for name, values in factors.items():
    right.plot(SIDES, values, "o-", color=colours[name], label=f"{name} over recycling")
right.axhline(1, color="black", linewidth=0.8, linestyle="--")
right.set_xlabel("points on a side of the grid")
right.set_ylabel("factor in products")
right.set_title(f"A factor of the grid ({FEW} systems)")
right.legend(fontsize="small")

folder = Path(os.environ.get("RITZ_GALLERY_OUT", "gallery-out"))
folder.mkdir(parents=True, exist_ok=True)
figure.savefig(folder / "plot_recycling_darcy.png", dpi=120)
