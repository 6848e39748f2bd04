"""Sketching operators: random matrices S of shape (d, m) with E SᴴS = I, made from a seed.

All are built as `SparseStack(d, m, *, seed=0, dtype=None, …)`: d rows over m coordinates.
"""

from __future__ import annotations

from ritz.sketch.operators import SketchOperator

__all__ = ["SketchOperator"]
