"""Sketching operators: random matrices S of shape (d, m) with E SᴴS = I, made from a seed.

All are built as `SparseStack(d, m, *, seed=0, dtype=None, …)`: d rows over m coordinates.
"""

from __future__ import annotations

from ritz.sketch.dense import Gaussian, Orthogonal, Rademacher
from ritz.sketch.hadamard import SRHT, Fastfood, fwht
from ritz.sketch.khatri_rao import KhatriRao
from ritz.sketch.operators import SketchOperator
from ritz.sketch.sparse import CountSketch, SparseSign, SparseStack

__all__ = [
    "SRHT",
    "CountSketch",
    "Fastfood",
    "Gaussian",
    "KhatriRao",
    "Orthogonal",
    "Rademacher",
    "SketchOperator",
    "SparseSign",
    "SparseStack",
    "fwht",
]
