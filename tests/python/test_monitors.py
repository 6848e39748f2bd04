"""Who watches a run: callbacks, their right to stop it, and the ready-made monitors."""

from __future__ import annotations

import io
import logging
import sys

import numpy as np
import pytest

import ritz
from problems import spd, vector
from ritz import Status, monitors

A, B = spd(60, 1e4), vector(60)


def test_callback_sees_every_iteration():
    states = []

    def callback(state):
        assert isinstance(state, ritz.Iteration)
        assert not state.x.flags.writeable
        states.append((state.iteration, state.residual, state.products, state.x.copy()))

    res = ritz.cg(A, B, callback=callback)
    assert [s[0] for s in states] == list(range(1, res.iterations + 1))
    np.testing.assert_array_equal(states[-1][3], res.x)
    for k, residual, products, x in states:
        assert products.matvec >= k
        np.testing.assert_allclose(residual, np.linalg.norm(B - A @ x), rtol=1e-6)


@pytest.mark.parametrize("stop", ["True", "numpy", "StopIteration"])
def test_callbacks_may_stop(stop):
    def callback(state):
        if state.iteration < 4:
            return None
        if stop == "StopIteration":
            raise StopIteration
        return True if stop == "True" else np.bool_(True)

    res = ritz.cg(A, B, rtol=1e-10, callback=callback)
    assert res.status is Status.stopped
    assert res.iterations == 4
    assert res.info == 4


def test_other_return_values_do_not_stop():
    assert ritz.cg(A, B, callback=lambda state: state.iteration).converged
    assert ritz.cg(A, B, callback=lambda state: np.ones(3)).converged


def test_several_callbacks():
    history = monitors.History()
    res = ritz.cg(A, B, rtol=1e-10, callback=[history, lambda s: s.iteration == 5])
    assert res.status is Status.stopped
    assert len(history) == 5


def test_callback_errors_arrive_unchanged():
    error = RuntimeError("mine")

    def callback(state):
        raise error

    with pytest.raises(RuntimeError) as caught:
        ritz.cg(A, B, callback=callback)
    assert caught.value is error


def test_history():
    history = monitors.History()
    res = ritz.cg(A, B, callback=history, history=True)
    np.testing.assert_array_equal(history.residual, res.history)
    np.testing.assert_array_equal(history.iteration, np.arange(1, res.iterations + 1))
    assert np.all(np.diff(history.seconds) >= 0)
    assert np.all(np.diff(history.products) >= 1)
    history.clear()
    assert len(history) == 0
    with pytest.raises(AttributeError):
        history.nothing  # noqa: B018


def test_lines():
    file = io.StringIO()
    res = ritz.cg(A, B, callback=monitors.Lines(file, every=10))
    lines = file.getvalue().splitlines()
    assert lines[0].split() == ["iteration", "residual", "products", "seconds"]
    assert len(lines) == 1 + res.iterations // 10
    assert len({len(line) for line in lines}) == 1
    file = io.StringIO()
    ritz.least_squares(
        lambda x: x**2 - 2, np.ones(3), lambda x: np.diag(2 * x), callback=monitors.Lines(file)
    )
    assert "damping" in file.getvalue().splitlines()[0]
    assert len({len(line) for line in file.getvalue().splitlines()}) == 1


def test_logging(caplog):
    logger = logging.getLogger("test.ritz")
    with caplog.at_level(logging.INFO, "test.ritz"):
        res = ritz.cg(A, B, callback=monitors.Logging(logger))
    assert len(caplog.messages) == res.iterations + 1
    assert caplog.messages[0].startswith("cg: iteration 1, residual")
    assert caplog.messages[-1] == f"cg: {res.message}"


def test_the_library_is_silent(capfd):
    ritz.cg(A, B)
    ritz.eigsh(A, 3)
    ritz.trace(A)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


@pytest.mark.parametrize("package", ["rich", "tqdm"])
def test_progress(package, monkeypatch, capsys):
    if package == "tqdm":
        monkeypatch.setitem(sys.modules, "rich", None)
    pytest.importorskip(package)
    res = ritz.cg(A, B, callback=monitors.Progress())
    captured = capsys.readouterr()
    assert str(res.iterations) in captured.out + captured.err
    assert "converged" in captured.out + captured.err


def test_progress_ends_with_an_exception(capsys):
    def callback(state):
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"mine"):
        ritz.cg(A, B, callback=[monitors.Progress(), callback])
    assert "exception" in capsys.readouterr().out


def test_progress_needs_a_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(ImportError, match=r"pip install rich"):
        monitors.Progress()
