"""Sketches without zeros: random numbers, random signs, and orthogonal rows."""

from __future__ import annotations

from typing import Any

from ritz.sketch.operators import SketchOperator

__all__ = ["Gaussian", "Orthogonal", "Rademacher"]


class Gaussian(SketchOperator):
    """Independent normal elements of mean 0 and E |s|² = 1/d.

    Parameters
    ----------
    d : int
        Rows.
    m : int
        Columns, the coordinates that are mixed.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.

    Notes
    -----
    The best understood sketch: for any subspace of dimension n the singular values of S on it lie
    within 1 ± √(n/d) but for fluctuations of 1/√d, and E ‖Sx‖⁴ − ‖x‖⁴ = 2 ‖x‖⁴ / d for real x.

    S is not stored: a product with m × k numbers makes it in tiles, d m elements for every 512
    columns, and takes 2 d m k operations in 2.3 MB of memory a thread. To make the elements takes
    about as long as to multiply them with 60 columns; for fewer columns `Rademacher` is up to six
    times faster, and `SparseStack` faster by far.

    Element (i, j) is a function of seed, i and j alone: more columns continue the rows, and more
    rows, but for the factor 1/√d, follow those of a smaller S. In double precision all digits are
    random and |√d s| ≤ 8.7; in single precision |√d s| ≤ 6.7.

    References
    ----------
    Halko, Martinsson, Tropp: Finding structure with randomness. SIAM Review 53, 2011.
    Box, Muller: A note on the generation of random normal deviates. Ann. Math. Stat. 29, 1958.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None) -> None:
        self._set_sketch("Gaussian", d, m, seed, dtype)


class Rademacher(SketchOperator):
    """Independent elements ±1/√d.

    Parameters
    ----------
    d : int
        Rows.
    m : int
        Columns, the coordinates that are mixed.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.

    Notes
    -----
    As `Gaussian` in all, with bits for numbers: one block of Philox makes 128 elements. The signs
    are real for complex types too. E ‖Sx‖⁴ − ‖x‖⁴ = (2/d) (‖x‖⁴ − Σ x_i⁴) for real x: never more
    than the Gaussian's, and nothing for a unit vector.

    References
    ----------
    Achlioptas: Database-friendly random projections. J. Comput. Syst. Sci. 66, 2003.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None) -> None:
        self._set_sketch("Rademacher", d, m, seed, dtype)


class Orthogonal(SketchOperator):
    """d rows of a uniformly distributed orthogonal (unitary) matrix of order m, times √(m/d).

    Parameters
    ----------
    d : int
        Rows, at most m.
    m : int
        Columns, the coordinates that are mixed.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.

    Raises
    ------
    ValueError
        If d > m.

    Notes
    -----
    S Sᴴ = (m/d) I exactly, and d = m keeps all norms. For d near m its distortion is smaller than
    that of independent elements: E ‖Sx‖⁴ − ‖x‖⁴ = 2 (m − d) / (d (m + 2)) ‖x‖⁴ for real x.

    Made when built for an element type, in double precision: 4 m d² operations and 2 m d numbers
    of memory, of which S keeps m d in its own type. For large m d take another sketch.

    References
    ----------
    Mezzadri: How to generate random matrices from the classical compact groups. Notices AMS 54,
    2007.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None) -> None:
        self._set_sketch("Orthogonal", d, m, seed, dtype)
