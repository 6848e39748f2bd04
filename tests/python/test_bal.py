"""Bundle adjustment in the large through closures: three tiny pieces, and Dubrovnik-16."""

from __future__ import annotations

import numpy as np
import pytest

import bal
import nist
import ritz

FOLDER = nist.data_folder() / "bal"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no BAL data in {FOLDER}: set RITZ_DATA to the folder above it"
)

# Start as other software reports it, with a standard deviation of two pixels. All three pieces have
# more unknowns than residuals, so their optimum is zero.
PIECES = {"1-1-pre": None, "3-7-pre": 691.0550, "3-7-18-pre": 688.2935}
DUBROVNIK = 18033.90


@pytest.fixture(scope="module")
def dubrovnik() -> bal.BundleAdjustment:
    return bal.read(FOLDER / "problem-16-22106-pre.txt.xz")


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-6, 9.99e-3, 1.001e-2, 1.0, 3.0])
def test_rotation_derivative_at_any_angle(angle: float) -> None:
    problem = bal.read(FOLDER / "gtsam_dubrovnik-1-1-pre.txt")
    x = problem.x0.copy()
    x[:3] = angle * np.array([0.36, 0.48, 0.8])
    for axis in range(3):
        step = np.zeros_like(x)
        step[axis] = 1e-6
        difference = (problem.residual(x + step) - problem.residual(x - step)) / 2e-6
        scale = np.linalg.norm(problem.jvp(x, np.eye(x.size)[0]))
        np.testing.assert_allclose(
            problem.jvp(x, step * 1e6), difference, rtol=1e-7, atol=1e-7 * scale
        )


@pytest.mark.parametrize("name", PIECES)
def test_the_derivatives_are_right(name: str) -> None:
    problem = bal.read(FOLDER / f"gtsam_dubrovnik-{name}.txt")
    unit = np.maximum(np.abs(problem.x0), 1e-12)
    report = ritz.check(
        lambda t: problem.residual(unit * t),
        problem.x0 / unit,
        jvp=lambda t, v: problem.jvp(unit * t, unit * v),
        vjp=lambda t, u: unit * problem.vjp(unit * t, u),
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize("blocks", [False, True])
def test_tiny_pieces(name: str, blocks: bool) -> None:
    problem = bal.read(FOLDER / f"gtsam_dubrovnik-{name}.txt")
    start = problem.cost(problem.x0)
    if PIECES[name] is not None:
        assert start / 2.0**2 == pytest.approx(PIECES[name], rel=1e-6)
    fit = ritz.least_squares(
        problem.residual,
        problem.x0,
        jvp=problem.jvp,
        vjp=problem.vjp,
        preconditioner=problem.preconditioner if blocks else None,
        forcing=1e-6,
        max_iterations=300,
        **dict.fromkeys(("ftol", "xtol", "gtol"), 1e-12),
    )
    assert fit.converged, fit.message
    assert problem.cost(fit.x) <= 1e-15 * start


def test_dubrovnik(dubrovnik: bal.BundleAdjustment) -> None:
    """The known optimum in at most 14 outer and 450 inner iterations, and no product too many."""
    problem = dubrovnik
    fit = ritz.least_squares(
        None,
        problem.x0,
        linearize=problem.linearize,
        preconditioner=problem.preconditioner,
        ftol=1e-6,
    )
    assert fit.converged, fit.message
    assert problem.cost(fit.x) == pytest.approx(DUBROVNIK, abs=0.01)
    assert fit.cost == pytest.approx(problem.cost(fit.x), rel=1e-12)
    assert fit.iterations <= 14
    assert fit.inner_iterations <= 450
    # A pair of products an inner iteration; 16 probes and a gradient at the start, then 2 probes
    # and a gradient at every accepted step.
    assert fit.products.matvec == fit.inner_iterations
    assert fit.products.rmatvec == fit.inner_iterations + 17 + 3 * fit.accepted


def test_dubrovnik_without_blocks_descends(dubrovnik: bal.BundleAdjustment) -> None:
    """Column scaling by probes alone reaches in 3 steps what unscaled methods miss after 30."""
    problem = dubrovnik
    fit = ritz.least_squares(None, problem.x0, linearize=problem.linearize, max_iterations=3)
    assert fit.status == ritz.Status.max_iterations
    assert problem.cost(fit.x) < 154209.0
