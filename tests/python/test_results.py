"""Results: tuples to unpack that account for the run."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ritz
from problems import spd, vector
from ritz import Counts, Status, _core


def test_statuses_are_those_of_the_core():
    for status in Status:
        assert _core.status_name(int(status)) == status.name
        assert status.advice == _core.advice(int(status))
        assert status.advice
    assert _core.status_name(len(Status)) == "unknown"


def test_tuple_and_attributes():
    res = ritz.cg(spd(10, 10), vector(10))
    x, info = res
    assert isinstance(res, tuple)
    assert len(res) == 2
    assert x is res[0] is res.x
    assert info == res[1] == res.info == 0
    assert isinstance(res.products, Counts)
    assert res.products.total == sum(res.products)
    assert res.seconds > 0
    assert res.residual <= res.target
    assert res.history is None
    assert res.message.startswith("converged at iteration")


def test_history_on_request():
    res = ritz.cg(spd(30, 100), vector(30), history=True)
    assert res.history.dtype == np.float64
    assert len(res.history) == res.iterations
    assert res.history[-1] <= res.target * 1.01


@pytest.mark.parametrize(
    "through", [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_copies(through):
    res = ritz.cg(spd(10, 10), vector(10))
    again = through(res)
    assert type(again) is type(res)
    np.testing.assert_array_equal(again.x, res.x)
    assert again.status is res.status
    assert again.products == res.products


def test_repr_tells_the_story():
    text = repr(ritz.cg(spd(10, 10), vector(10)))
    assert text.startswith("LinearResult: converged at iteration")
    assert "products" in text
    assert "Counts(matvec=" in text


def test_info_codes():
    a, b = spd(40, 1e6), vector(40)
    assert ritz.cg(a, b, rtol=1e-10, maxiter=5).info == 5
    assert ritz.cg(-a, b).info == -int(Status.negative_curvature)
    assert ritz.cg(a, b, rtol=1e-10, timeout=0).info >= 1


def test_plot_draws_the_history_and_the_target():
    pytest.importorskip("matplotlib").use("Agg")
    A = ritz.diagonal(np.linspace(1.0, 50.0, 40))
    result = ritz.cg(A, np.ones(40), rtol=1e-8, history=True)
    ax = result.plot()
    residuals, target = ax.get_lines()
    np.testing.assert_array_equal(residuals.get_ydata(), result.history)
    assert set(target.get_ydata()) == {result.target}
    assert ax.get_yscale() == "log"
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    columns = ritz.cg(A, np.random.default_rng(0).standard_normal((40, 3)), history=True)
    assert columns.plot(ax) is ax
    assert len(ax.get_lines()) == 2 + 6
    with pytest.raises(ValueError, match="history=True"):
        ritz.cg(A, np.ones(40)).plot()
