"""The fast Walsh–Hadamard transform, and the sketches that stand on it."""

from __future__ import annotations

import math
import operator
from typing import Any

from ritz import _arrays
from ritz.sketch.operators import SketchOperator

__all__ = ["SRHT", "Fastfood", "fwht"]


def fwht(x: Any, axis: int = -1, norm: str | None = None, *, overwrite_x: bool = False) -> Any:
    """Return the Walsh–Hadamard transform H x along an axis, in natural order.

    Parameters
    ----------
    x : array
        Of any shape and layout. Along the axis it is padded by zeros to the next power of two, N.
    axis : int
        The axis along which to transform.
    norm : {None, "ortho"}
        "ortho": the result is divided by √N, so that the transform keeps norms and is its own
        inverse; by default H (H x) = N x.
    overwrite_x : bool
        Whether `x` may be used for the result, which saves its allocation: possible for a
        C-contiguous array of an element type of the library whose length is a power of two.

    Returns
    -------
    array
        Of the shape of x, but N along the axis. An axis of length 0 is padded to N = 1.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    H₁ = 1 and H₂ₙ = [Hₙ Hₙ; Hₙ −Hₙ]: element (i, j) is (−1) to the number of bits that i and j have
    in common, as `scipy.linalg.hadamard` has it.

    N log₂ N additions, and no multiplications. Each number is the sum of the same terms in the same
    order whatever the layout, the other axes and the number of threads: the same bits.

    References
    ----------
    Fino, Algazi: Unified matrix treatment of the fast Walsh–Hadamard transform. IEEE Trans. Comput.
    C-25, 1976.
    """
    a, framework = _arrays.array(x, "x")
    if a.ndim == 0:
        raise ValueError("x is a number; pass an array of at least one axis")
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis is {axis!r}; pass an integer") from None
    if not -a.ndim <= index < a.ndim:
        raise ValueError(f"axis is {index}, but x has {a.ndim} axes")
    index %= a.ndim
    if norm not in (None, "ortho"):
        raise ValueError(f'norm is {norm!r}; pass None or "ortho"')
    n = a.shape[index]
    N = 1 << max(n - 1, 0).bit_length()
    before, after = a.shape[:index], a.shape[index + 1 :]
    shape = (math.prod(before), n, math.prod(after))
    if any(stride % a.itemsize for stride in a.strides):  # a field of a record
        a = a.copy()
    lent = bool(overwrite_x) and n == N and a.flags.c_contiguous and a.flags.writeable
    c = 1.0 if norm is None else 1.0 / N**0.5
    y = _arrays.core(a.dtype).fwht(a.reshape(shape), N, c, lent)
    return framework.from_numpy(y.reshape(*before, N, *after))


class SRHT(SketchOperator):
    """The subsampled randomized Hadamard transform S = √(N/d) R H/√N D Π.

    Π permutes N places at random, N the least power of two that is at least m; D are random signs,
    H is the Walsh–Hadamard matrix, and R takes d of its N rows without replacement.

    Parameters
    ----------
    d : int
        Rows, at most N.
    m : int
        Columns, the coordinates that are mixed; at most 2³¹.
    seed : int
        What S is made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.
    rounds : int
        How many times Π, D and H are applied, each time anew.

    Raises
    ------
    ValueError
        If d > N, or for arguments that make no shape.

    Notes
    -----
    The permutation matters. Without it an SRHT loses rank on vectors that live on the first n of m
    places, as those of a triangular or of a padded matrix do, since the rows of H are periodic
    there. With it σ_min ≈ 1 − √(n/d) on all bases, as for a Gaussian sketch.

    E Sᵀ S = I exactly, S Sᵀ = (N/d) I, and over the random signs of one round
    Var ‖S x‖² = (2/d) (N − d)/(N − 1) (‖x‖⁴ − Σ xᵢ⁴) for real x.

    A product with k columns takes k N log₂ N additions a round, in panels of 128 bytes a row: about
    four passes over memory, where `SparseStack` needs one. Sparse matrices are written out panel by
    panel and cost as much as dense ones. Beside a panel of N rows (two of them with more rounds)
    8 N bytes a round say what S is; they are made at the first product, at about 10 ns an element.

    References
    ----------
    Ailon, Chazelle: The fast Johnson–Lindenstrauss transform and approximate nearest neighbors.
    SIAM J. Comput. 39, 2009. Tropp: Improved analysis of the subsampled randomized Hadamard
    transform. Adv. Adapt. Data Anal. 3, 2011.
    """

    def __init__(
        self, d: int, m: int, *, seed: int = 0, dtype: Any = None, rounds: int = 1
    ) -> None:
        self.rounds = _arrays.integer(rounds, "rounds")
        self._set_sketch("SRHT", d, m, seed, dtype, self.rounds)


class Fastfood(SketchOperator):
    """Products of Hadamard transforms and diagonals that stand for a Gaussian matrix.

    Blocks of N rows √(N/d) C H G Π H B / N one below the other, the last one cut off after d rows
    in all: B random signs, Π a random permutation, G = diag(g) normal numbers, C = diag(cᵢ/‖g‖) for
    rows as long as those of a Gaussian matrix; N is the least power of two that is at least m.

    Parameters
    ----------
    d : int
        Rows; more than m are allowed, as they are for random features and subspaces.
    m : int
        Columns, the coordinates that are mixed; at most 2³¹.
    seed : int
        What S is made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.

    Raises
    ------
    ValueError
        For arguments that make no shape.

    Notes
    -----
    E Sᵀ S = I exactly, over all that is random. A product with a vector takes 2 N log₂ N additions
    for each of the ⌈d/N⌉ blocks, O(d log m) in all for d ≥ m; S is O(d + m) numbers, made at the
    first product.

    References
    ----------
    Le, Sarlós, Smola: Fastfood: approximating kernel expansions in loglinear time. ICML 2013.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None) -> None:
        self._set_sketch("Fastfood", d, m, seed, dtype)
