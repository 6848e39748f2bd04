"""Random numbers that are functions of (seed, stream, row, column), as in the compiled core.

A row gets the same numbers whichever batch it comes in, on any framework and number of ranks.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["normal", "uniform"]

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def _philox(
    seed: int, stream: int, first: int, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return two words of 64 random bits for each element, by Philox4x32-10.

    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3. SC 2011.
    """
    rows = shape[0] if shape else 1
    columns = math.prod(shape[1:])
    row = np.uint64(first) + np.arange(rows, dtype=np.uint64)[:, None]
    column = np.arange(columns, dtype=np.uint64)[None, :]
    c0, c1, c2, c3 = np.broadcast_arrays(
        column & _LOW, row & _LOW, row >> _HALF, np.uint64(stream & 0xFFFFFFFF)
    )
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = b >> _HALF ^ c1 ^ np.uint64(k0), b & _LOW
        c2, c3 = a >> _HALF ^ c3 ^ np.uint64(k1), a & _LOW
        k0, k1 = k0 + 0x9E3779B9 & 0xFFFFFFFF, k1 + 0xBB67AE85 & 0xFFFFFFFF
    return (c1 << _HALF | c0).reshape(shape), (c3 << _HALF | c2).reshape(shape)


def uniform(seed: int, stream: int, first: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return numbers of [0, 1) on a grid that float32 holds too, so that none is rounded to 1."""
    word, _ = _philox(seed, stream, first, shape)
    return (word >> np.uint64(40)).astype(np.float64) * 2.0**-24


def normal(seed: int, stream: int, first: int, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Return standard normal numbers, by Box and Muller."""
    one, two = (
        (word >> np.uint64(12)).astype(np.float64) * 2.0**-52
        for word in _philox(seed, stream, first, shape)
    )
    return np.sqrt(-2.0 * np.log1p(-one)) * np.cos(2.0 * np.pi * two)
