"""The spectral density of a Hermitian operator, with what it is not sure of."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.functions.determinants import signs
from ritz.functions.quadrature import keep_basis, spectrum_bounds
from ritz.operators import aslinearoperator
from ritz.results import Result, account_of, axes, without_tolerance

__all__ = ["SpectralDensity", "Spike", "spectral_density"]

Floats = npt.NDArray[np.float64]


class Spike(NamedTuple):
    """An eigenvalue that stands apart from the others, with its estimated multiplicity.

    The standard error is that of the weights over the random vectors; in theory it is
    √(2 m (n − m)/(n + 2)/probes) for a multiplicity m of a real A.
    """

    value: float
    multiplicity: float
    stderr: float


class _Measure(NamedTuple):
    """The Gauss rules of one random vector: of all its steps, and of two thirds of them."""

    nodes: Floats
    weights: Floats
    residuals: Floats
    fewer_nodes: Floats
    fewer_weights: Floats


class SpectralDensity(Result):
    """The result (grid, density) of `spectral_density`.

    Attributes
    ----------
    method, scale : str
        "slq" or "kpm", and "linear" or "log".
    n : int
        The size of A.
    nodes, weights : tuple of numpy.ndarray
        The Gauss rule of each random vector, as it is; empty for "kpm".
    chebyshev : numpy.ndarray
        Chebyshev moments, one row a random vector, of the spectrum scaled to [−1, 1] from `bounds`;
        empty for "slq".
    width : float
        Standard deviation of the Gaussian that a node is drawn as, in decades for "log"; for "kpm"
        the resolution of the series in the middle of the spectrum.
    bounds : (float, float)
        The interval that the nodes take up, or that the series is over.
    spikes : tuple of Spike
        Eigenvalues that stand apart from the others by a width, and to which all random
        vectors have converged; for "slq" on the linear scale.
    """

    method: str
    scale: str
    n: int
    nodes: tuple[Floats, ...]
    weights: tuple[Floats, ...]
    chebyshev: Floats
    width: float
    bounds: tuple[float, float]
    spikes: tuple[Spike, ...]
    _measures: tuple[_Measure, ...]
    _floor: float

    @property
    def grid(self) -> Floats:
        """The points, ascending: eigenvalues, or their magnitudes on the logarithmic scale."""
        return _floats(self[0])

    def density(self, x: Any = None, *, spikes: bool = True) -> Floats:
        """Return the density at x, by default at `grid`.

        Its integral is 1, over log₁₀ x on the logarithmic scale. `spikes=False` leaves them out.
        """
        return _floats(self._by_probe(x, spikes).mean(axis=0))

    def sampling_error(self, x: Any = None) -> Floats:
        """Return the standard error of the density at x, over the random vectors."""
        rows = self._by_probe(x, True)
        if len(rows) < 2:
            return np.full(rows.shape[1], math.inf)
        return _floats(rows.std(axis=0, ddof=1) / math.sqrt(len(rows)))

    def quadrature_error(self, x: Any = None) -> Floats:
        """Return what the density at x owes to the number of steps.

        That is its difference to the density of two thirds of the steps.
        """
        fewer = self._by_probe(x, True, fewer=True).mean(axis=0)
        return _floats(np.abs(self.density(x) - fewer))

    def cdf(self, x: Any) -> Floats:
        """Return the share of eigenvalues of at most x; of magnitudes on the logarithmic scale.

        For "slq" it is the step function of nodes and weights, for "kpm" the integral of the
        series.
        """
        x = np.asarray(x, float)
        if self.method == "kpm":
            if self.scale == "log":
                return self._series_cdf(x) - self._series_cdf(-x)
            return self._series_cdf(x)
        nodes = np.concatenate(
            [np.abs(m.nodes) if self.scale == "log" else m.nodes for m in self._measures]
        )
        weights = np.concatenate([m.weights for m in self._measures]) / len(self._measures)
        order = np.argsort(nodes, kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(weights[order])])
        return _floats(sums[np.searchsorted(nodes[order], x, side="right")])

    def moments(self, order: int = 4) -> Floats:
        """Return tr(Aʲ)/n for j = 0 … order, as the random vectors see it.

        The quadrature adds no error for order < 2 steps.
        """
        order = _arrays.integer(order, "order", 0)
        powers = range(order + 1)
        if self.method == "slq":
            rows = [[np.sum(m.weights * m.nodes**j) for j in powers] for m in self._measures]
            return _floats(np.mean(rows, axis=0))
        if order >= self.chebyshev.shape[1]:
            raise ValueError(f"order is {order}; {self.chebyshev.shape[1] - 1} moments are known")
        low, high = self.bounds
        mean = self.chebyshev.mean(axis=0)
        factor = np.polynomial.Chebyshev([(low + high) / 2, (high - low) / 2])
        return np.array([np.dot((factor**j).coef, mean[: j + 1]) for j in powers])

    def plot(self, ax: Any = None, *, scale: str | None = None) -> Any:
        """Draw the density on a logarithmic axis, its standard error, and the spikes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure without it.
        scale : {"linear", "log"}, optional
            Of the eigenvalues, if it is not to be that of the density.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.
        """
        ax = axes(ax)
        if scale is not None and scale != self.scale:
            return self.rescaled(scale).plot(ax)
        x, rho = self.grid, self.density(spikes=False)
        error = self.sampling_error()
        # Less than a hundredth of one eigenvalue a width is nothing that was seen.
        floor = 1e-2 / (max(self.n, 1) * self.width)
        (line,) = ax.semilogy(x, np.maximum(rho, floor), label=self.method)
        band = np.where(rho > floor, error, 0.0)
        ax.fill_between(
            x,
            np.maximum(rho - band, floor),
            np.maximum(rho + band, floor),
            color=line.get_color(),
            alpha=0.25,
            linewidth=0,
            label="standard error",
        )
        if self.spikes:
            heights = [
                s.multiplicity / self.n / (self.width * math.sqrt(2 * math.pi)) for s in self.spikes
            ]
            places = [s.value for s in self.spikes]
            ax.vlines(places, floor, heights, color="C3", linewidth=1)
            ax.plot(places, heights, "v", color="C3", label=f"spikes ({len(self.spikes)})")
        if self.scale == "log":
            ax.set_xscale("log")
            ax.set(xlabel="magnitude of the eigenvalue |λ|", ylabel="density per decade")
        else:
            ax.set(xlabel="eigenvalue λ", ylabel="density")
        ax.set_ylim(bottom=floor)
        ax.set_title(f"spectral density: n = {self.n}, {self._probes()} random vectors")
        ax.legend()
        return ax

    def rescaled(self, scale: str, width: float | None = None) -> SpectralDensity:
        """Return the same nodes or moments as a density of another scale or width."""
        account = {k: v for k, v in self.__dict__.items() if k not in _DERIVED}
        return _drawn(account, _scale_of(scale), width)

    # ------------------------------------------------------------------------------ how it is drawn

    def _probes(self) -> int:
        return len(self._measures if self.method == "slq" else self.chebyshev)

    def _by_probe(self, x: Any, spikes: bool, fewer: bool = False) -> Floats:
        """Return the density of each random vector, one a row."""
        x = self.grid if x is None else np.atleast_1d(np.asarray(x, float))
        if self.method == "kpm":
            return self._series(x, fewer)
        y = _log(x, self._floor) if self.scale == "log" else x
        rows = np.zeros((len(self._measures), len(x)))
        for row, m in zip(rows, self._measures, strict=True):
            nodes, weights = (m.fewer_nodes, m.fewer_weights) if fewer else (m.nodes, m.weights)
            if not spikes and self.spikes:
                kept = ~_within(nodes, [s.value for s in self.spikes], self.width)
                nodes, weights = nodes[kept], weights[kept]
            if self.scale == "log":
                nodes = _log(np.abs(nodes), self._floor)
            z = (y[:, None] - nodes) / self.width
            row[:] = np.exp(-0.5 * z * z) @ weights / (self.width * math.sqrt(2 * math.pi))
        if self.scale == "log":
            rows[:, x <= 0.0] = 0.0
        return rows

    def _series(self, x: Floats, fewer: bool) -> Floats:
        if self.scale == "log":
            one, other = (self._linear_series(s * x, fewer) for s in (1.0, -1.0))
            return (one + other) * np.maximum(x, 0.0) * math.log(10.0)
        return self._linear_series(x, fewer)

    def _coefficients(self, fewer: bool = False) -> Floats:
        """Return the moments damped by the Jackson kernel, doubled but for the first."""
        moments = self.chebyshev
        if fewer:
            moments = moments[:, : max(2, 2 * moments.shape[1] // 3)]
        c = moments * _jackson(moments.shape[1])
        c[:, 1:] *= 2.0
        return c

    def _linear_series(self, x: Floats, fewer: bool) -> Floats:
        low, high = self.bounds
        t = (2.0 * x - (low + high)) / (high - low)
        inside = np.abs(t) < 1.0
        rows = np.zeros((len(self.chebyshev), len(x)))
        values = np.polynomial.chebyshev.chebval(t[inside], self._coefficients(fewer).T)
        rows[:, inside] = values / (math.pi * np.sqrt(1.0 - t[inside] ** 2)) * 2.0 / (high - low)
        return rows

    def _series_cdf(self, x: Floats) -> Floats:
        low, high = self.bounds
        phi = np.arccos(np.clip((2.0 * x - (low + high)) / (high - low), -1.0, 1.0))
        c = self._coefficients().mean(axis=0)
        m = np.arange(1, len(c))
        tail = np.sin(phi[..., None] * m) @ (c[1:] / m)
        return _floats(1.0 - (c[0] * phi + tail) / math.pi)


# Attributes that follow from the others and the scale.
_DERIVED = {"scale", "width", "spikes", "_floor"}


def spectral_density(
    A: Any,
    *,
    method: str = "slq",
    probes: int = 16,
    steps: int = 100,
    scale: str = "linear",
    width: float | None = None,
    bounds: tuple[float | None, float | None] | None = None,
    distribution: str = "sphere",
    reorthogonalize: str = "full",
    block: int | None = None,
    seed: int = 0,
    like: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    callback: Callbacks = None,
    timeout: float | None = None,
    max_products: int | None = None,
    history: bool = False,
) -> SpectralDensity:
    """Estimate the density (1/n) Σ δ(λ − λᵢ) of the eigenvalues of a Hermitian A.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    method : {"slq", "kpm"}
        Stochastic Lanczos quadrature: nodes and weights, each drawn as a Gaussian. Or the kernel
        polynomial method: a Chebyshev series with the Jackson kernel, which keeps three vectors.
    probes : int
        Random vectors.
    steps : int
        Products for each.
    scale : {"linear", "log"}
        The density of λ, or of log₁₀ |λ|; magnitudes that rounding cannot tell from zero are drawn
        where it can.
    width : float, optional
        Standard deviation of the Gaussians, in decades for "log"; by default three quarters
        of the mean distance of the nodes where they lie dense, or on the logarithmic scale a tenth
        of a decade or more. It has no meaning for "kpm".
    bounds : (low, high), optional
        Of "kpm": numbers that all eigenvalues lie between; either may be None. By default by 30
        Lanczos steps, and a margin.
    distribution : {"sphere", "signs"}
        Of the random vectors: uniform on the sphere, or random signs, which see nothing of a
        diagonal A but its trace.
    reorthogonalize : {"full", "none"}
        "none" keeps three vectors instead of one a step.
    block : int, optional
        Random vectors whose products go through A together; by default at most 8, fewer where their
        bases need more than 512 MiB.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    checkpoint : path, optional
        A file that the state is saved to after each block of random vectors, at most every
        `checkpoint_every` seconds. A run that finds it goes on from there to the same bits; a run
        that finishes removes it.
    checkpoint_every : float
        Seconds between two saves.
    callback, timeout, max_products, history
        As for `cg`.

    Returns
    -------
    SpectralDensity
        The tuple (grid, density) with nodes, weights, spikes, errors and an account of the run. The
        status is `breakdown` if an eigenvalue lies outside the bounds of "kpm".

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The distance of the two distribution functions, ∫ |difference|, is about 12/steps of the width
    of the spectrum, and falls with √(n probes) by sampling. A random vector sees g distinct
    eigenvalues exactly after g steps; their weights times n are their multiplicities m, with
    variance 2 m (n − m)/(n + 2). Memory: a vector a step and random vector of a block.

    References
    ----------
    Lin, Saad, Yang: Approximating spectral densities of large matrices. SIAM Review 58, 2016. Chen,
    Trogdon, Ubaru: Analysis of stochastic Lanczos quadrature for spectrum approximation. ICML,
    2021. Weiße, Wellein, Alvermann, Fehske: The kernel polynomial method. Rev. Mod. Phys. 78, 2006.
    """
    A = aslinearoperator(A)
    require_self_adjoint(A, "A", "spectral_density")
    if method not in ("slq", "kpm"):
        raise ValueError(f'method is {method!r}; pass "slq" or "kpm"')
    scale = _scale_of(scale)
    if width is not None:
        width = _arrays.positive(width, "width")
    low, high = spectrum_bounds(bounds)
    n = A.shape[0]
    if n == 0:
        raise ValueError("A has shape (0, 0); it has no spectrum")
    options = {
        "probes": _arrays.integer(probes, "probes"),
        "steps": _arrays.integer(steps, "steps"),
        "signs": signs(distribution),
        "keep_basis": keep_basis(reorthogonalize),
        "block": _arrays.limit(block, "block"),
    }
    seed = _arrays.seed_of(seed)
    path = "" if checkpoint is None else os.fspath(checkpoint)
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    framework, dtype = setting(A, like)
    watch = Watch("spectral_density", framework, callback, history, timeout, max_products)
    eps = float(np.finfo(dtype).eps)
    with Binding(dtype, framework) as run, watch.running() as ending:
        operator = run(A)
        if method == "slq":
            matrices, outcome = run.core.spectral_measures(
                operator, seed, options, path, every, watch.monitor
            )
            measures = tuple(_measure(run.core, *matrix) for matrix in matrices)
            moments = np.empty((0, 0))
        else:
            measures = ()
            more = (0, 0, 0)
            if math.isinf(low) or math.isinf(high):
                found, more = _interval(run.core, operator, seed, watch.monitor)
                low, high = (
                    b if math.isinf(a) else a for a, b in zip((low, high), found, strict=True)
                )
            moments, outcome = run.core.chebyshev_moments(
                operator, low, high, seed, options, path, every, watch.monitor
            )
            products = zip(outcome["products"], more, strict=True)
            outcome["products"] = tuple(a + b for a, b in products)
        account = without_tolerance(account_of(outcome, watch.history))
        account |= {
            "method": method,
            "n": n,
            "nodes": tuple(m.nodes for m in measures),
            "weights": tuple(m.weights for m in measures),
            "chebyshev": moments,
            "bounds": (low, high) if method == "kpm" else _range(measures),
            "_measures": measures,
            "_eps": eps,
        }
        ending.result = result = _drawn(account, scale, width)
    return result


def _scale_of(scale: str) -> str:
    if scale not in ("linear", "log"):
        raise ValueError(f'scale is {scale!r}; pass "linear" or "log"')
    return scale


def _measure(core: Any, diagonal: Floats, off: Floats, exact: bool) -> _Measure:
    nodes, weights, last = core.gauss_rule(diagonal, off)
    residuals = np.zeros_like(last) if exact else last * off[-1]
    fewer = nodes, weights
    if not exact and len(diagonal) > 2:
        k = 2 * len(diagonal) // 3
        fewer = core.gauss_rule(diagonal[:k], off[:k])[:2]
    return _Measure(nodes, weights, residuals, *fewer)


def _range(measures: Sequence[_Measure]) -> tuple[float, float]:
    if not measures:
        return math.nan, math.nan
    return min(m.nodes[0] for m in measures), max(m.nodes[-1] for m in measures)


def _interval(
    core: Any, operator: Any, seed: int, monitor: Any
) -> tuple[tuple[float, float], tuple[int, int, int]]:
    """Return an interval that should hold the spectrum, and the products it cost."""
    # A stream far from those of the random vectors of the run.
    options = {"probes": 1, "steps": 30}
    matrices, outcome = core.spectral_measures(operator, seed ^ 1 << 63, options, "", 0.0, monitor)
    if not matrices:
        return (-1.0, 1.0), outcome["products"]
    m = _measure(core, *matrices[0])
    low, high = m.nodes[0] - m.residuals[0], m.nodes[-1] + m.residuals[-1]
    margin = 0.02 * (high - low) or 0.01 * max(abs(low), abs(high)) or 1.0
    return (float(low - margin), float(high + margin)), outcome["products"]


def _drawn(account: dict[str, Any], scale: str, width: float | None) -> SpectralDensity:
    """Return the density of nodes or moments, drawn on a scale."""
    measures, (low, high) = account["_measures"], account["bounds"]
    largest = max(abs(low), abs(high))
    floor = 8.0 * account["_eps"] * largest or np.finfo(float).tiny
    more = {"scale": scale, "_floor": floor, "spikes": ()}
    empty = not measures and not len(account["chebyshev"])
    if empty or not math.isfinite(largest):
        grid = np.empty(0)
        more["width"] = math.nan if width is None else width
        return SpectralDensity((grid, grid), **account, **more)
    if account["method"] == "kpm":
        count = account["chebyshev"].shape[1]
        more["width"] = math.pi * (high - low) / (2.0 * count)
        points = np.cos(np.linspace(math.pi, 0.0, 8 * count + 1)[1:-1])
        grid = (low + high) / 2.0 + points * (high - low) / 2.0
        if scale == "log":
            grid = np.logspace(math.log10(1e-6 * largest), math.log10(largest), 1001)[:-1]
    elif scale == "log":
        nodes = np.unique(np.concatenate([_log(np.abs(m.nodes), floor) for m in measures]))
        steps = max(len(m.nodes) for m in measures)
        sigma = max(0.1, 2.0 * (nodes[-1] - nodes[0]) / steps) if width is None else width
        more["width"] = sigma
        grid = 10.0 ** _cover(nodes, sigma)
    else:
        sigma, spikes = _width_and_spikes(measures, low, high, account["n"], width)
        more |= {"width": sigma, "spikes": spikes}
        grid = _cover(np.unique(np.concatenate([m.nodes for m in measures])), sigma)
    result = SpectralDensity((grid, grid), **account, **more)
    return SpectralDensity((grid, result.density()), **account, **more)


def _cover(nodes: Floats, sigma: float) -> Floats:
    """Return points a quarter of sigma apart wherever a node is within six of them."""
    cells = np.unique(np.floor(nodes / sigma))
    around = np.unique(cells[:, None] + np.arange(-6, 7))
    points = (around[:, None] + np.arange(4) / 4.0).ravel() * sigma
    return np.unique(points)


def _width_and_spikes(
    measures: Sequence[_Measure], low: float, high: float, n: int, width: float | None
) -> tuple[float, tuple[Spike, ...]]:
    """Return the distance of nodes where they lie dense, and those that stand apart."""
    # Rounding brings in copies of eigenvalues, of next to no weight.
    kept = [m.weights * n > 1e-6 for m in measures]
    measures = [
        m._replace(nodes=m.nodes[k], weights=m.weights[k], residuals=m.residuals[k])
        for m, k in zip(measures, kept, strict=True)
    ]
    if high == low:
        sigma = width or 0.01 * abs(low) or 1.0
        return sigma, _spikes(measures, sigma, n)
    # Few eigenvalues that are known exactly need no more than to be told apart.
    exact = all(not m.residuals.any() for m in measures)
    count = max(100 if exact else 1, *(len(m.nodes) for m in measures))
    sigma = width or 0.75 * (high - low) / count
    spikes = _spikes(measures, sigma, n)
    for _ in range(8 if width is None else 0):
        values = [s.value for s in spikes]
        dense = [m.nodes[~_within(m.nodes, values, sigma)] for m in measures]
        spans = [0.75 * (x[-1] - x[0]) / (len(x) - 1) for x in dense if len(x) > 2]
        if not spans or np.mean(spans) >= sigma:
            break
        sigma = float(np.mean(spans))
        spikes = _spikes(measures, sigma, n)
    return sigma, spikes


def _spikes(measures: Sequence[_Measure], sigma: float, n: int) -> tuple[Spike, ...]:
    """Return the eigenvalues to which all vectors have converged, sigma from all others."""
    nodes = np.concatenate([m.nodes for m in measures])
    weights = np.concatenate([m.weights for m in measures])
    residuals = np.concatenate([m.residuals for m in measures])
    probes = np.repeat(np.arange(len(measures)), [len(m.nodes) for m in measures])
    order = np.argsort(nodes, kind="stable")
    nodes, weights, residuals, probes = (x[order] for x in (nodes, weights, residuals, probes))
    spikes = []
    for group in np.split(np.arange(len(nodes)), np.flatnonzero(np.diff(nodes) > sigma) + 1):
        tight = nodes[group[-1]] - nodes[group[0]] <= 1e-3 * sigma
        if not tight or residuals[group].max() > 1e-3 * sigma:
            continue
        share = np.bincount(probes[group], weights[group], len(measures))
        if np.count_nonzero(share) < len(measures):
            continue
        error = math.inf
        if len(measures) > 1:
            error = n * share.std(ddof=1) / math.sqrt(len(measures))
        value = float(np.average(nodes[group], weights=weights[group]))
        spikes.append(Spike(value, float(n * share.mean()), float(error)))
    return tuple(spikes)


def _within(nodes: Floats, values: Sequence[float], sigma: float) -> npt.NDArray[np.bool_]:
    """Whether a node is one of the spikes."""
    if not values:
        return np.zeros(len(nodes), bool)
    near: npt.NDArray[np.bool_] = (np.abs(nodes[:, None] - np.asarray(values)) <= 0.5 * sigma).any(
        axis=1
    )
    return near


def _floats(x: Any) -> Floats:
    a: Floats = np.asarray(x, np.float64)
    return a


def _log(x: Floats, floor: float) -> Floats:
    return np.log10(np.maximum(x, floor))


def _jackson(count: int) -> Floats:
    """Return the factors that keep a Chebyshev series of `count` terms positive."""
    m, angle = np.arange(count), math.pi / (count + 1)
    rest = count - m + 1
    return _floats((rest * np.cos(m * angle) + np.sin(m * angle) / math.tan(angle)) / (count + 1))
