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


METHODS = ["cg", "lsmr", "eigsh", "trace", "least_squares", "minimize"]
# What a method is given, rather than how it is to work; told in the text.
PROBLEM = {"A", "b", "fun", "model", "jac", "jvp", "vjp", "linearize"}


def options_in(section: str) -> set[str]:
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


@pytest.mark.parametrize("method", METHODS)
def test_every_option_is_in_the_guide(method: str) -> None:
    page = (ROOT / "docs" / "guide" / "methods.md").read_text(encoding="utf-8")
    head, *sections = re.split(r"^## (\w+)$", page, flags=re.MULTILINE)
    told = dict(zip(sections[::2], sections[1::2], strict=True))
    documented = options_in(head) | options_in(told[method])
    if method == "minimize":
        documented |= options_in(told["least_squares"])
    parameters = set(inspect.signature(getattr(ritz, method)).parameters) - PROBLEM - {"x0"}
    documented -= {"x0"}
    assert parameters - documented == set()
    assert documented - parameters == set()
