"""Every gallery script runs, finds its claims true, and draws its picture."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

GALLERY = Path(__file__).resolve().parents[2] / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("plot_*.py"))
# What a script needs beyond the test requirements; without it the script says so and ends well.
NEEDS = {
    "plot_intrinsic_dimension": "sklearn",
    "plot_maxvol_batch": "sklearn",
    "plot_gradient_subspace": "torch",
    "plot_hessian_spectrum": "torch",
    "plot_learning_rates": "torch",
    "plot_sharpness": "torch",
    "plot_training_jacobian": "jax",
    "plot_empirical_ntk": "jax",
    "plot_exact_gauss_newton": "torch",
    "plot_function_space_distance": "torch",
    "plot_harmless_perturbations": "torch",
    "plot_native_operator": "numba",
    "plot_torch_hvp": "torch",
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_the_gallery_is_there() -> None:
    assert len(SCRIPTS) >= 6


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_gallery(script: Path, tmp_path: Path) -> None:
    if script.stem in NEEDS:
        pytest.importorskip(NEEDS[script.stem])
    run = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)],
        cwd=tmp_path,
        env={**os.environ, "RITZ_GALLERY_QUICK": "1", "RITZ_GALLERY_OUT": str(tmp_path / "out")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
    picture = tmp_path / "out" / f"{script.stem}.png"
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    assert picture.stat().st_size > 5000


def test_every_script_is_listed() -> None:
    page = (GALLERY.parent / "guide" / "gallery.md").read_text(encoding="utf-8")
    for script in SCRIPTS:
        assert script.stem in page
