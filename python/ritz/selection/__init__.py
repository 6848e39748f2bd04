"""Rows and columns of a dense matrix: how much they matter, which to take, and with what weights.

Indices come as NumPy arrays; scores, weights and coefficients as arrays of the input's kind.
"""

from __future__ import annotations

from ritz.selection.columns import ColumnSubset, column_subset
from ritz.selection.exchange import MaxvolResult, maxvol, maxvol_rectangular
from ritz.selection.sampling import Selection, projection_dpp, volume_sampling
from ritz.selection.scores import LewisWeights, leverage_scores, lewis_weights, sensitivities
from ritz.selection.weighted import WeightedSolution, weighted_lstsq

__all__ = [
    "ColumnSubset",
    "LewisWeights",
    "MaxvolResult",
    "Selection",
    "WeightedSolution",
    "column_subset",
    "leverage_scores",
    "lewis_weights",
    "maxvol",
    "maxvol_rectangular",
    "projection_dpp",
    "sensitivities",
    "volume_sampling",
    "weighted_lstsq",
]
