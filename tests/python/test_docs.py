"""The Python examples of the README and of the guide run as they stand."""

from __future__ import annotations

import inspect
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
PROBLEM = {"A", "X", "b", "u", "v", "x0", "fun", "model", "jac", "jvp", "vjp", "linearize"}
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
METHODS = [*SPECTRA, "least_squares", "minimize"]
SOLVERS = ["solve", *ritz._core.linear_methods()]


def options_in(section: str) -> set[str]:
    """The names in the first column of a table of options."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"\w+", row)}


def sections(name: str) -> tuple[str, dict[str, str]]:
    page = (ROOT / "docs" / "guide" / name).read_text(encoding="utf-8")
    head, *rest = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    return head, dict(zip(rest[::2], rest[1::2], strict=True))


def parameters_of(method: str) -> set[str]:
    return set(inspect.signature(getattr(ritz, method)).parameters) - PROBLEM


@pytest.mark.parametrize("method", METHODS)
def test_every_option_is_in_the_guide(method: str) -> None:
    head, told = sections("methods.md")
    own = options_in(told[method]) - PROBLEM
    shared = options_in(head)
    if method == "minimize":
        shared |= options_in(told["least_squares"])
    if method == "funm_multiply":
        shared.add("f")  # told in the text
    assert parameters_of(method) - own - shared == set()
    assert own - parameters_of(method) == set()


@pytest.mark.parametrize("method", SOLVERS)
def test_every_option_of_a_solver_is_in_the_guide(method: str) -> None:
    _, told = sections("solvers.md")
    shared = options_in(told["Options that all of them have"]) - PROBLEM
    own = options_in(told[method]) - PROBLEM
    if method in ("lsqr", "cgls"):
        shared |= options_in(told["lsmr"])
    if method in ("minres_qlp", "symmlq", "cr"):
        shared |= options_in(told["minres"])
    if method == "fgmres":
        own |= options_in(told["gmres"])
    assert parameters_of(method) - own - shared == set()
    assert own - parameters_of(method) == set()


def test_every_solver_has_its_costs_in_the_guide() -> None:
    _, told = sections("solvers.md")
    for method in ritz._core.linear_methods():
        assert f"| `{method}` |" in told["What it costs"]
