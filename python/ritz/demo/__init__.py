"""The main job: handwritten digits, a small network by closures, Gauss-Newton, its curvature."""

from __future__ import annotations

from ritz.demo.job import FRAMEWORKS, Outcome, run

__all__ = ["FRAMEWORKS", "Outcome", "run"]
