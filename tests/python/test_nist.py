"""Levenberg-Marquardt reaches NIST's certified parameters from both of NIST's starting points."""

from __future__ import annotations

import numpy as np
import pytest

import nist
import ritz

FOLDER = nist.data_folder() / "nist"
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no NIST data in {FOLDER}: set RITZ_DATA to the folder above it"
)

# To the last digits that the cost can tell apart. MGH17 needs them from its first start: its cost
# falls by seven digits, then all but stands still for hundreds of steps along a flat valley.
TIGHT = {"ftol": 1e-14, "xtol": 1e-10, "gtol": 1e-12, "max_iterations": 2000}


@pytest.fixture(scope="module")
def fits() -> dict[tuple[str, int], ritz.LeastSquaresResult]:
    results = {}
    for name in nist.MODELS:
        problem = nist.load(name)
        for start in (0, 1):
            results[name, start] = ritz.least_squares(
                None, problem.starts[start], linearize=problem.linearize, **TIGHT
            )
    return results


@pytest.mark.parametrize("name", nist.MODELS)
def test_the_data_are_read_right(name: str) -> None:
    problem = nist.load(name)
    r = problem.residual(problem.certified)
    assert float(r @ r) == pytest.approx(problem.certified_rss, rel=1e-9)


@pytest.mark.parametrize("name", nist.MODELS)
def test_the_derivatives_are_right(name: str) -> None:
    problem = nist.load(name)
    # In units of the parameters themselves, which are up to nine powers of ten apart.
    unit = problem.certified
    report = ritz.check(
        lambda t: problem.residual(unit * t),
        1.0 + 1e-2 * np.cos(np.arange(unit.size)),
        jvp=lambda t, v: problem.jvp(unit * t, unit * v),
        vjp=lambda t, u: unit * problem.vjp(unit * t, u),
    )
    assert report.passed, str(report)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", nist.MODELS)
def test_certified_parameters(
    fits: dict[tuple[str, int], ritz.LeastSquaresResult], name: str, start: int
) -> None:
    problem, fit = nist.load(name), fits[name, start]
    # The residuals of Lanczos' problems are 1e-5 of the data, so that rounding hides changes of the
    # cost below 1e-12, more than ftol asks for: where no step falls below that, it is told so.
    ends = [ritz.Status.converged] + [ritz.Status.stagnation] * name.startswith("Lanczos")
    assert fit.status in ends, fit.message
    assert problem.digits(fit.x) >= 4.0
    assert 2.0 * fit.cost == pytest.approx(problem.certified_rss, rel=1e-6)


def test_mean_digits(fits: dict[tuple[str, int], ritz.LeastSquaresResult]) -> None:
    """The mean log relative error over the 28 runs; Ceres reaches 9.2 on NIST's full list."""
    digits = [nist.load(name).digits(fit.x) for (name, _), fit in fits.items()]
    assert len(digits) == 28
    assert np.mean(digits) >= 8.0
