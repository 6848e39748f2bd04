"""The Python examples of the README and of the guide run as they stand."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ritz

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs/guide").glob("*.md")),
]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PACKAGES = {"jax": "import jax", "torch": "import torch", "sklearn": "from sklearn"}


def code_of(page: Path) -> str:
    return "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))


EXAMPLES = [page for page in PAGES if code_of(page)]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples(page: Path, tmp_path: Path) -> None:
    code = code_of(page)
    for package, line in PACKAGES.items():
        if line in code:
            pytest.importorskip(package)
    script = tmp_path / "page.py"
    script.write_text(code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    assert run.stdout


# What a method is given, rather than how it is to work; told in the text.
PROBLEM = {
    *("A", "V", "X", "b", "u", "v", "x", "x0", "blocks"),
    *("fun", "model", "jac", "jvp", "vjp", "linearize"),
}
SPECTRA = [
    "eigsh",
    "eigs",
    "lobpcg",
    "svds",
    "norm",
    "cond",
    "numerical_rank",
    "nullspace",
    "funm_multiply",
    "quadratic_form",
    "spectral_density",
    "logdet",
    "schatten_norm",
    "trace",
    "row_norms",
]
SKETCHES = [
    "svd_lowrank",
    "rangefinder",
    "nystrom",
    "nystrom_generalized",
    "interpolative",
    "cur",
    "cqrrpt",
    "lstsq",
    "kaczmarz",
    "sketch_and_project",
    "subspace",
    *(f"sketch.{name}" for name in ritz.sketch.__all__ if name != "SketchOperator"),
    *(f"selection.{name}" for name in ritz.selection.__all__ if name.islower()),
]
TOLD = [
    *(("methods.md", name) for name in [*SPECTRA, "least_squares", "minimize"]),
    *(("solvers.md", name) for name in ["solve", "cg_batch", *ritz._core.linear_methods()]),
    *(("sketch-options.md", name) for name in SKETCHES),
    *(("preconditioners.md", f"precond.{name}") for name in ritz.precond.__all__ if name.islower()),
]
# Methods whose tables others refer to.
SAME_AS = {
    "minimize": "least_squares",
    "lsqr": "lsmr",
    "cgls": "lsmr",
    "minres_qlp": "minres",
    "symmlq": "minres",
    "cr": "minres",
    "fgmres": "gmres",
}
IN_THE_TEXT = {"cg_batch": {"B", "X0"}, "funm_multiply": {"f"}, "precond.closure": {"f", "n"}}
Table = dict[str, tuple[str, str]]


def table_of(section: str) -> Table:
    """The default and the reason of each option in the tables of a section."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|([^|]*)\| (.*) \|$", section, re.MULTILINE)
    return {
        name: (default.strip(), why)
        for names, default, why in rows
        for name in re.findall(r"\w+", names)
    }


def sections(name: str) -> tuple[str, dict[str, str]]:
    page = (ROOT / "docs" / "guide" / name).read_text(encoding="utf-8")
    head, *rest = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return head, {name: text for names, text in pairs for name in names.split(", ")}


def tables(page: str, method: str) -> tuple[Table, Table]:
    """The options in the method's own table, and those told of several methods."""
    head, told = sections(page)
    common = told["Options that all of them have"] if page == "solvers.md" else head
    shared = table_of(common) | table_of(told.get(SAME_AS.get(method, ""), ""))
    return table_of(told[method.removeprefix("precond.")]), shared


def parameters_of(method: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(operator.attrgetter(method)(ritz)).parameters)


@pytest.mark.parametrize(("page", "method"), TOLD)
def test_every_option_is_in_the_guide(page: str, method: str) -> None:
    own, shared = tables(page, method)
    options = set(parameters_of(method)) - IN_THE_TEXT.get(method, set())
    assert options - own.keys() - shared.keys() - PROBLEM == set()
    assert own.keys() - options == set()


def default_told(cell: str) -> object:
    """The value of a cell of defaults; a formula stands for None."""
    number = re.sub(r"^\$10\^\{(-\d+)\}\$$", r"1e\1", cell)
    try:
        return ast.literal_eval(number.strip("`"))
    except (ValueError, SyntaxError):
        return None


@pytest.mark.parametrize(("page", "method"), TOLD)
def test_the_defaults_in_the_guide_are_those_of_the_signature(page: str, method: str) -> None:
    own, shared = tables(page, method)
    parameters = parameters_of(method)
    for name, (cell, why) in (shared | own).items():
        if name not in parameters or cell == "see below":
            continue
        default = parameters[name].default
        other = re.match(r"as for `([\w.]+)`", why)
        if cell:
            told = default_told(cell)
        elif other:
            told = parameters_of(other[1])[name].default
        else:
            told = inspect.Parameter.empty  # for the caller to give
        assert (name, type(told) is bool, told) == (name, type(default) is bool, default)


def test_defaults_are_read_from_the_guide() -> None:
    cells = ["8", "`True`", "$10^{-6}$", '`"auto"`', "`None`", "$8n$"]
    assert [default_told(cell) for cell in cells] == [8, True, 1e-6, "auto", None, None]


def test_every_solver_has_its_costs_in_the_guide() -> None:
    _, told = sections("solvers.md")
    for method in ritz._core.linear_methods():
        assert f"| `{method}` |" in told["What it costs"]
