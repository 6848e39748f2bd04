"""The NIST StRD nonlinear regression sets as least-squares problems with hand-written derivatives.

Every set gives data (predictors x, response y), a model f(b; x), two starting points, and certified
parameters b* of min 1/2 ||f(b; x) - y||^2 good to eleven digits.

Reference: National Institute of Standards and Technology, Statistical Reference Datasets,
"Nonlinear Regression", https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Linearization = tuple[Array, Callable[[Array], Array], Callable[[Array], Array]]
Model = Callable[[Array, Array], tuple[Array, list[Array]]]


def data_folder() -> Path:
    """Folder with the shared test data: RITZ_DATA, or ../shared/data beside the repository."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("RITZ_DATA", root.parent / "shared" / "data"))


# Each model maps (b, x) to the fitted values and the columns of the Jacobian d f / d b_j.


def misra1a(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 (1 - exp(-b2 x))."""
    decay = np.exp(-b[1] * x[0])
    return -b[0] * np.expm1(-b[1] * x[0]), [1.0 - decay, b[0] * x[0] * decay]


def misra1b(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 (1 - (1 + b2 x / 2)^-2)."""
    base = 1.0 + b[1] * x[0] / 2.0
    rise = 1.0 - base**-2
    return b[0] * rise, [rise, b[0] * x[0] * base**-3]


def chwirut2(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = exp(-b1 x) / (b2 + b3 x)."""
    denominator = b[1] + b[2] * x[0]
    y = np.exp(-b[0] * x[0]) / denominator
    slope = -y / denominator
    return y, [-x[0] * y, slope, x[0] * slope]


def danwood(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 x^b2."""
    power = x[0] ** b[1]
    return b[0] * power, [power, b[0] * power * np.log(x[0])]


def enso(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """An annual cycle and two cycles of unknown periods b4 and b7."""
    year = 2.0 * np.pi * x[0] / 12.0
    y = b[0] + b[1] * np.cos(year) + b[2] * np.sin(year)
    columns = [np.ones_like(year), np.cos(year), np.sin(year)]
    for period, c, s in ((b[3], b[4], b[5]), (b[6], b[7], b[8])):
        phase = 2.0 * np.pi * x[0] / period
        cosine, sine = np.cos(phase), np.sin(phase)
        y = y + c * cosine + s * sine
        columns += [(c * sine - s * cosine) * phase / period, cosine, sine]
    return y, columns


def gauss(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """Two Gaussians on a decaying exponential baseline."""
    baseline = np.exp(-b[1] * x[0])
    y = b[0] * baseline
    columns = [baseline, -b[0] * x[0] * baseline]
    for height, centre, width in (b[2:5], b[5:8]):
        offset = (x[0] - centre) / width
        bell = np.exp(-(offset**2))
        y = y + height * bell
        slope = 2.0 * height * bell * offset / width
        columns += [bell, slope, slope * offset]
    return y, columns


def _rational(b: Array, x: Array, degree: int) -> tuple[Array, list[Array]]:
    powers = [x[0] ** k for k in range(degree + 1)]
    numerator = sum(c * p for c, p in zip(b[: degree + 1], powers, strict=True))
    denominator = 1.0 + sum(c * p for c, p in zip(b[degree + 1 :], powers[1:], strict=True))
    y = numerator / denominator
    columns = [p / denominator for p in powers]
    columns += [-y * p / denominator for p in powers[1:]]
    return y, columns


def cubic_over_cubic(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = (b1 + b2 x + b3 x^2 + b4 x^3) / (1 + b5 x + b6 x^2 + b7 x^3)."""
    return _rational(b, x, 3)


def quadratic_over_quadratic(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = (b1 + b2 x + b3 x^2) / (1 + b4 x + b5 x^2)."""
    return _rational(b, x, 2)


def lanczos(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 exp(-b2 x) + b3 exp(-b4 x) + b5 exp(-b6 x)."""
    y = np.zeros_like(x[0])
    columns = []
    for amplitude, rate in (b[0:2], b[2:4], b[4:6]):
        decay = np.exp(-rate * x[0])
        y = y + amplitude * decay
        columns += [decay, -amplitude * x[0] * decay]
    return y, columns


def mgh17(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 + b2 exp(-b4 x) + b3 exp(-b5 x)."""
    first, second = np.exp(-b[3] * x[0]), np.exp(-b[4] * x[0])
    columns = [np.ones_like(first), first, second, -b[1] * x[0] * first, -b[2] * x[0] * second]
    return b[0] + b[1] * first + b[2] * second, columns


def nelson(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """log y = b1 - b2 x1 exp(-b3 x2)."""
    decay = x[0] * np.exp(-b[2] * x[1])
    return b[0] - b[1] * decay, [np.ones_like(decay), -decay, b[1] * x[1] * decay]


def rat42(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 / (1 + exp(b2 - b3 x))."""
    growth = np.exp(b[1] - b[2] * x[0])
    y = 1.0 / (1.0 + growth)
    slope = b[0] * growth * y**2
    return b[0] * y, [y, -slope, slope * x[0]]


def roszman1(b: Array, x: Array) -> tuple[Array, list[Array]]:
    """y = b1 - b2 x - arctan(b3 / (x - b4)) / pi."""
    gap = x[0] - b[3]
    square = np.pi * (gap**2 + b[2] ** 2)
    y = b[0] - b[1] * x[0] - np.arctan(b[2] / gap) / np.pi
    return y, [np.ones_like(gap), -x[0], -gap / square, -b[2] / square]


MODELS: dict[str, Model] = {
    "Misra1a": misra1a,
    "Misra1b": misra1b,
    "Chwirut2": chwirut2,
    "DanWood": danwood,
    "ENSO": enso,
    "Gauss1": gauss,
    "Hahn1": cubic_over_cubic,
    "Kirby2": quadratic_over_quadratic,
    "Lanczos3": lanczos,
    "MGH17": mgh17,
    "Nelson": nelson,
    "Rat42": rat42,
    "Roszman1": roszman1,
    "Thurber": cubic_over_cubic,
}

# Some copies of Roszman1.dat print b1 as 1.20196866396E-0, where the residual sum of squares is
# 5e4 times the certified one; this value gives the certified sum to ten digits.
MISPRINTS: dict[str, tuple[int, float]] = {"Roszman1": (0, 2.0196866396e-01)}


@dataclass(frozen=True)
class NistProblem:
    """min 1/2 ||f(b; x) - y||^2 of one NIST set, by closures."""

    name: str
    model: Model
    x: Array  # predictors, one row each
    y: Array  # response (its logarithm for Nelson)
    starts: Array  # (2, n)
    certified: Array  # (n,)
    certified_rss: float

    def residual(self, b: Array) -> Array:
        """f(b; x) - y, shape (m,)."""
        with np.errstate(all="ignore"):  # a trial point may overflow: the solver sees Inf or NaN
            return self.model(b, self.x)[0] - self.y

    def linearize(self, b: Array) -> Linearization:
        """Residual and both products with its Jacobian at b, the columns computed once."""
        with np.errstate(all="ignore"):
            fitted, columns = self.model(b, self.x)
        jacobian = np.column_stack(columns)
        return fitted - self.y, lambda v: jacobian @ v, lambda u: jacobian.T @ u

    def jvp(self, b: Array, v: Array) -> Array:
        """J(b) v, shape (m,)."""
        return self.linearize(b)[1](v)

    def vjp(self, b: Array, u: Array) -> Array:
        """J(b)^T u, shape (n,)."""
        return self.linearize(b)[2](u)

    def digits(self, b: Array) -> float:
        """Log relative error: correct significant digits of the worst parameter, at most 11."""
        error = np.max(np.abs(b - self.certified) / np.abs(self.certified))
        return float(min(11.0, -np.log10(max(error, 1e-300)))) if np.isfinite(error) else 0.0


def load(name: str) -> NistProblem:
    """Read one set from its .dat file as NIST distributes it."""
    path = data_folder() / "nist" / f"{name}.dat"
    lines = path.read_text(encoding="ascii").splitlines()
    row = re.compile(r"^\s*b\d+\s*=\s*(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*$")
    parameters = np.array([m.groups()[:3] for m in map(row.match, lines) if m], dtype=np.float64)
    rss = next(float(line.split()[-1]) for line in lines if "Residual Sum of Squares" in line)
    header = max(i for i, line in enumerate(lines) if line.startswith("Data:"))
    data = np.array(
        [line.split() for line in lines[header + 1 :] if line.strip()], dtype=np.float64
    )
    if name in MISPRINTS:
        index, value = MISPRINTS[name]
        parameters[index, 2] = value
    y = np.log(data[:, 0]) if name == "Nelson" else data[:, 0]
    return NistProblem(
        name=name,
        model=MODELS[name],
        x=np.ascontiguousarray(data[:, 1:].T),
        y=y.copy(),
        starts=np.ascontiguousarray(parameters[:, :2].T),
        certified=parameters[:, 2].copy(),
        certified_rss=rss,
    )
