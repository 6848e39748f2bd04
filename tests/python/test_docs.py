"""The Python examples of the README and of the guide run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "docs" / "index.md",
    *sorted((ROOT / "docs/guide").glob("*.md")),
]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PACKAGES = {"torch": "import torch", "sklearn": "from sklearn"}


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
