"""Tests of derivatives and operators by what must hold for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, framework_of_operator

__all__ = ["Report", "Row", "check"]

Array = npt.NDArray[Any]
Function = Callable[..., Any]


@dataclass(frozen=True)
class Row:
    """One test: what was measured, against what, and whether it passed."""

    name: str
    value: float
    tolerance: str
    passed: bool
    note: str = ""


@dataclass
class Report:
    """The rows of a check; `print(report)` shows them as a table."""

    rows: list[Row] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether every row passed."""
        return all(row.passed for row in self.rows)

    def __getitem__(self, name: str) -> Row:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def __str__(self) -> str:
        width = max((len(row.name) for row in self.rows), default=0)
        limits = max((len(row.tolerance) for row in self.rows), default=0)
        lines = []
        for row in self.rows:
            value = "" if np.isnan(row.value) and row.note else f"{row.value:.3g}"
            note = f"  {row.note}" if row.note else ""
            verdict = "ok" if row.passed else "FAILED"
            cells = (f"{row.name:<{width}}", f"{value:>9}", f"{row.tolerance:<{limits}}", verdict)
            lines.append("  ".join(cells) + note)
        return "\n".join(lines)

    __repr__ = __str__

    def add(self, name: str, value: float, limit: float) -> None:
        """Add a test that passes if `value` is at most `limit`."""
        self.rows.append(Row(name, value, f"≤ {limit:.1e}", bool(value <= limit)))

    def note(self, name: str, passed: bool, note: str) -> None:
        """Add a test that measures nothing."""
        self.rows.append(Row(name, float("nan"), "", passed, note))


def check(
    fun: Function | LinearOperator | None,
    x: Any = None,
    *,
    jvp: Function | None = None,
    vjp: Function | None = None,
    hessian_product: Function | None = None,
    seed: int = 0,
) -> Report:
    """Test derivatives at a point by identities that hold for the true ones.

    Parameters
    ----------
    fun : callable, LinearOperator or None
        x (n,) ↦ f(x) (m,), or a number. An operator is tested itself, and then nothing else is
        given. None leaves out what needs values.
    x : array (n,)
        The point, of the kind of array that the functions take; a generic one, not zero.
    jvp, vjp : callable, optional
        (x, v) ↦ J v and (x, u) ↦ Jᵀ u.
    hessian_product : callable, optional
        (x, v) ↦ H v, symmetric. If f(x) has the shape of x it is taken for the gradient, if it is a
        number for the function, and H is tested against it; else only symmetry and linearity are.
    seed : int
        Of the random directions.

    Returns
    -------
    Report
        Printable; `.passed`, and rows: "… echo" (kind, dtype and shape of results), "… linearity"
        (relative error), "adjoint identity" (⟨u, Jv⟩ − ⟨Jᵀu, v⟩ relative to the norms involved),
        "… Taylor slope" (the order of ‖f(x + hv) − f(x) − h Jv‖ in h: 2 for a true derivative,
        1 for a wrong one), "… symmetry". Nothing is raised for a failed test.

    Notes
    -----
    Tolerances of identities are 10 √(m + n) eps for their dtype, relative to the norms involved,
    since that is how rounding in sums of random signs grows. About 25 evaluations of f and ten
    products.

    References
    ----------
    Griewank, Walther: Evaluating derivatives. SIAM, 2008.
    """
    report = Report()
    rng = np.random.default_rng(_arrays.seed_of(seed))
    if isinstance(fun, LinearOperator):
        if x is not None or jvp is not None or vjp is not None or hessian_product is not None:
            raise TypeError("an operator is checked by itself; leave out x and the products")
        _check_operator(report, fun, rng)
        return report
    if x is None:
        raise TypeError("x is missing; pass the point at which to test the derivatives")
    point, framework = _arrays.vector(x, "x", None, "the function")
    if point.dtype.kind == "c":
        raise TypeError("x is complex; the tests are those of real derivatives")
    probe = _Probe(report, point, framework, rng)
    z = None
    if fun is not None:
        z = probe.value(fun)
    m = None if z is None else z.size
    if jvp is not None:
        m = probe.products("jvp", jvp, point.size, m)
    if vjp is not None:
        if m is None:
            raise TypeError(
                "vjp is given alone; pass fun or jvp too, to tell the size of its input"
            )
        probe.products("vjp", vjp, m, point.size)
    if jvp is not None and vjp is not None and m is not None:
        probe.adjoint(jvp, vjp, m)
    if jvp is not None and fun is not None and z is not None:
        probe.taylor("jvp", fun, jvp, z)
    if hessian_product is not None:
        probe.products("hessian", hessian_product, point.size, point.size)
        probe.symmetry(hessian_product)
        if fun is not None and z is not None and jvp is None and z.shape == point.shape:
            probe.taylor("hessian", fun, hessian_product, z)
        elif fun is not None and z is not None and z.ndim == 0:
            probe.taylor_of_scalar(fun, hessian_product)
    return report


def _tolerance(dtype: np.dtype[Any], m: int, n: int) -> float:
    return float(10.0 * np.finfo(dtype).eps * np.sqrt(max(m + n, 1)))


def _norm(a: Array) -> float:
    return float(np.linalg.norm(a.ravel().astype(np.complex128)))


def _dot(a: Array, b: Array) -> complex:
    return complex(np.vdot(a.astype(np.complex128), b.astype(np.complex128)))


def _relative(error: float, scale: float) -> float:
    return error / scale if scale > 0.0 else error


class _Probe:
    """Functions of one point, called with arrays of the framework and answering NumPy."""

    def __init__(
        self, report: Report, x: Array, framework: Framework, rng: np.random.Generator
    ) -> None:
        self.report, self.x, self.framework, self.rng = report, x, framework, rng
        self.eps = float(np.finfo(x.dtype).eps)

    def direction(self, n: int) -> Array:
        """Return a random vector of norm about √n."""
        v: Array = self.rng.standard_normal(n).astype(self.x.dtype)
        return v

    def give(self, a: Array) -> Any:
        return self.framework.from_numpy(np.array(a, order="C"))

    def take(self, result: Any) -> Array:
        """Return a result as NumPy's, of any dtype."""
        if isinstance(result, self.framework.type):
            return self.framework.to_numpy(result, "the result")
        return np.asarray(result)

    def echo(self, name: str, result: Any, size: int | None) -> bool:
        """Note whether a result has the kind, dtype and size that solvers need."""
        kind = self.framework
        title = f"{name} echo"
        if not isinstance(result, kind.type):
            number = size is None and np.ndim(result) == 0 and result is not None
            self.report.note(title, number, f"returned {kind.describe(result)}")
            return number
        try:
            a = kind.to_numpy(result, f"the result of {name}")
        except TypeError as error:
            self.report.note(title, False, str(error))
            return False
        good = a.dtype == self.x.dtype and (size is None or a.shape == (size,))
        wanted = f"{self.x.dtype}" if size is None else f"{self.x.dtype} of shape ({size},)"
        self.report.note(
            title, good, f"{kind.describe(result)}{'' if good else f'; needs {wanted}'}"
        )
        return good or a.size == size

    def value(self, fun: Function) -> Array | None:
        result = fun(self.give(self.x))
        return self.take(result) if self.echo("fun", result, None) else None

    def products(self, name: str, product: Function, columns: int, rows: int | None) -> int | None:
        """Test the kind of a product's result, and that the product is linear."""
        x = self.give(self.x)
        v, w = self.direction(columns), self.direction(columns)
        result = product(x, self.give(v))
        if not self.echo(name, result, rows):
            return rows
        a, b = 2.0, -3.0  # exact in every dtype
        Av, Aw = self.take(result), self.take(product(x, self.give(w)))
        together = self.take(product(x, self.give((a * v + b * w).astype(v.dtype))))
        if not Av.shape == Aw.shape == together.shape:
            self.report.note(f"{name} linearity", False, "the results differ in shape")
            return Av.size
        error = _norm(together.astype(float) - a * Av.astype(float) - b * Aw.astype(float))
        scale = abs(a) * _norm(Av) + abs(b) * _norm(Aw)
        self.report.add(
            f"{name} linearity",
            _relative(error, scale),
            _tolerance(self.x.dtype, Av.size, columns),
        )
        return Av.size

    def adjoint(self, jvp: Function, vjp: Function, m: int) -> None:
        """⟨u, Jv⟩ = ⟨Jᵀu, v⟩, relative to ‖u‖‖Jv‖ + ‖Jᵀu‖‖v‖."""
        x = self.give(self.x)
        v, u = self.direction(self.x.size), self.direction(m)
        Jv, Jtu = self.take(jvp(x, self.give(v))), self.take(vjp(x, self.give(u)))
        if Jv.shape != u.shape or Jtu.shape != v.shape:
            self.report.note("adjoint identity", False, "the products do not fit together")
            return
        scale = _norm(u) * _norm(Jv) + _norm(Jtu) * _norm(v)
        self.report.add(
            "adjoint identity",
            _relative(abs(_dot(u, Jv) - _dot(Jtu, v)), scale),
            _tolerance(self.x.dtype, m, self.x.size),
        )

    def symmetry(self, product: Function) -> None:
        """⟨w, Hv⟩ = ⟨Hw, v⟩."""
        x = self.give(self.x)
        v, w = self.direction(self.x.size), self.direction(self.x.size)
        Hv, Hw = self.take(product(x, self.give(v))), self.take(product(x, self.give(w)))
        if Hv.shape != v.shape or Hw.shape != v.shape:
            return  # the echo has failed already
        scale = _norm(w) * _norm(Hv) + _norm(Hw) * _norm(v)
        self.report.add(
            "hessian symmetry",
            _relative(abs(_dot(w, Hv) - _dot(Hw, v)), scale),
            _tolerance(self.x.dtype, v.size, v.size),
        )

    def steps(self) -> tuple[Array, list[float]]:
        """Return a direction as long as x, and step sizes down to where rounding takes over."""
        v = self.direction(self.x.size)
        length = max(_norm(self.x), 1.0) / max(_norm(v), 1e-300)
        return (v * length).astype(v.dtype), [2.0**-k for k in range(1, 24)]

    def taylor(self, name: str, fun: Function, jvp: Function, z: Array) -> None:
        v, steps = self.steps()
        slope = self.take(jvp(self.give(self.x), self.give(v))).astype(float)
        if slope.shape != z.shape:
            self.report.note(f"{name} Taylor slope", False, "product and value differ in shape")
            return
        remainders, noise = [], []
        for h in steps:
            moved = (self.x + v.dtype.type(h) * v).astype(v.dtype)
            with np.errstate(all="ignore"):
                value = self.take(fun(self.give(moved))).astype(float)
                remainders.append(float(np.linalg.norm(value - z - h * slope)))
            # Rounding of f itself, and of the moved point.
            noise.append(self.eps * (_norm(z) + _norm(value) + _norm(slope)))
        self.order(f"{name} Taylor slope", steps, remainders, noise, 2.0)

    def taylor_of_scalar(self, fun: Function, product: Function) -> None:
        """f(x + hv) − 2 f(x) + f(x − hv) − h² vᵀHv is of order 4."""
        v, steps = self.steps()
        curvature = _dot(v, self.take(product(self.give(self.x), self.give(v)))).real
        at_x = float(self.take(fun(self.give(self.x))))
        remainders, noise = [], []
        for h in steps:
            t = v.dtype.type(h)
            with np.errstate(all="ignore"):
                plus = float(self.take(fun(self.give(self.x + t * v))))
                minus = float(self.take(fun(self.give(self.x - t * v))))
            remainders.append(abs(plus - 2.0 * at_x + minus - h * h * curvature))
            noise.append(self.eps * (abs(plus) + 2.0 * abs(at_x) + abs(minus)))
        self.order("hessian Taylor slope", steps, remainders, noise, 4.0)

    def order(
        self,
        name: str,
        steps: list[float],
        remainders: list[float],
        noise: list[float],
        expected: float,
    ) -> None:
        """Fit the order of the remainder over the smallest steps that rounding leaves alone."""
        # A remainder of 1000 roundings still shows its order to a few per cent.
        clean = [
            (np.log2(h), np.log2(r))
            for h, r, e in zip(steps, remainders, noise, strict=True)
            if np.isfinite(r) and r > 1000.0 * e
        ]
        limit = f"≥ {0.95 * expected:.2g}"
        if len(clean) < 3:
            finite = [(r, e) for r, e in zip(remainders, noise, strict=True) if np.isfinite(r)]
            exact = bool(finite) and all(r <= 1000.0 * e for r, e in finite)
            note = "no remainder beyond rounding" if exact else "too few steps above rounding"
            passed = exact or (bool(clean) and len(finite) >= 3)
            self.report.rows.append(Row(name, float("nan"), limit, passed, note))
            return
        h, r = np.array(clean[-4:]).T
        slope = float(np.polyfit(h, r, 1)[0])
        self.report.rows.append(
            Row(name, slope, limit, slope >= 0.95 * expected, f"expected {expected:.1f}")
        )


def _check_operator(report: Report, A: LinearOperator, rng: np.random.Generator) -> None:
    framework = framework_of_operator(A) or NUMPY
    dtype = A.dtype
    m, n = A.shape

    def random(size: int) -> Array:
        a = rng.standard_normal(size) + (1j * rng.standard_normal(size) if dtype.kind == "c" else 0)
        result: Array = a.astype(dtype)
        return result

    def product(a: Array, adjoint: bool) -> Array:
        x = framework.from_numpy(np.array(a))
        return framework.to_numpy(A.rmatvec(x) if adjoint else A.matvec(x), "the product")

    tolerance = _tolerance(dtype, m, n)
    v, w, u = random(n), random(n), random(m)
    Av, Aw = product(v, False), product(w, False)
    together = product((2.0 * v - 3.0 * w).astype(dtype), False)
    wide = np.complex128
    error = _norm(together.astype(wide) - 2.0 * Av.astype(wide) + 3.0 * Aw.astype(wide))
    report.add("linearity", _relative(error, 2.0 * _norm(Av) + 3.0 * _norm(Aw)), tolerance)
    try:
        Ahu = product(u, True)
    except ValueError:
        report.note("adjoint identity", True, "not tested: the operator has no adjoint")
    else:
        scale = _norm(u) * _norm(Av) + _norm(Ahu) * _norm(v)
        error = abs(_dot(u, Av) - np.conj(_dot(v, Ahu)))
        report.add("adjoint identity", _relative(error, scale), tolerance)
    if A.symmetric:
        scale = _norm(w) * _norm(Av) + _norm(Aw) * _norm(v)
        error = abs(_dot(w, Av) - np.conj(_dot(v, Aw)))
        report.add("symmetry", _relative(error, scale), tolerance)
