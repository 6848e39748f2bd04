"""Importing ritz is quick and brings no framework."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ritz
from ritz import _core


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_no_framework_is_imported():
    code = (
        "import sys, ritz\n"
        "ritz.check, ritz.losses, ritz.monitors\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    imported = set(run(code).split())
    assert not imported & {
        *("torch", "jax", "jaxlib", "scipy", "cupy", "sklearn", "matplotlib", "optree")
    }


def test_a_solve_imports_no_framework():
    code = (
        "import sys, ritz, numpy as np\n"
        "x, info = ritz.cg(np.eye(3), np.ones(3))\n"
        "assert info == 0\n"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    assert not set(run(code).split()) & {"torch", "jax", "jaxlib", "scipy", "optree"}


@pytest.mark.timed
def test_import_is_quick():
    code = (
        "import numpy, time\nt = time.perf_counter()\nimport ritz\nprint(time.perf_counter() - t)"
    )
    assert min(float(run(code)) for _ in range(3)) < 0.5


def test_every_public_name_is_there():
    for name in ritz.__all__:
        assert getattr(ritz, name) is not None
    assert set(ritz.__all__) <= set(dir(ritz))
    assert ritz.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no_such_name"):
        ritz.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", [n for n in ritz.__all__ if callable(getattr(ritz, n))])
def test_every_public_name_is_described(name):
    assert getattr(ritz, name).__doc__


def test_the_stub_of_the_core_is_complete():
    stub = ast.parse(Path(ritz.__file__).with_name("_core.pyi").read_text())
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}

    def members(name):
        return {
            node.name if isinstance(node, ast.FunctionDef) else node.target.id
            for node in classes[name].body
            if isinstance(node, ast.FunctionDef | ast.AnnAssign)
        } - {"__init__"}

    def public(value):
        return {name for name in dir(value) if not name.startswith("_")}

    named = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    named |= {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    named |= {name for name in classes if not name.startswith("_")}
    assert named == public(_core)
    for name in ("Monitor", "Iteration", "Workspace"):
        assert members(name) == public(getattr(_core, name))
    assert members("_Methods") == public(_core.f8)
    assert members("_Operator") == public(_core.f8.Operator)
