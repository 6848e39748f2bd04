"""Sketches with few nonzeros in every column."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz.sketch.operators import SketchOperator

__all__ = ["CountSketch", "SparseSign", "SparseStack"]


class SparseStack(SketchOperator):
    """CountSketches one below the other: a ±1/√nnz in each of nnz blocks of every column.

    Parameters
    ----------
    d : int
        Rows; 2n to 4n for a subspace of dimension n.
    m : int
        Columns, the coordinates that are mixed.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.
    nnz : int
        Nonzeros in a column, ζ; d if it is more. The rows are cut into nnz blocks, of which the
        first d mod nnz have one row more.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The default choice. With nnz = 8 and d = 4n its singular values on any subspace of dimension n
    lie about where those of a Gaussian do, within 1 ± √(n/d); with nnz ≤ 2 not on subspaces that
    contain unit vectors. E ‖Sx‖⁴ − ‖x‖⁴ = (2/nnz²) Σ_t (‖x‖⁴ − Σ_j x_j⁴)/d_t for real x, d_t the
    heights of the blocks.

    S is not stored. S A takes 2 nnz m n operations and reads A once; the nnz m positions are made
    anew for each product, 0.5 ns each. Memory: d n doubles beside the result. All sums are taken in
    double precision, over the rows of A in their order: the result has the same bits for every
    layout, number of threads and instruction set, and for a sparse A with sorted indices the same
    as for a dense one.

    Column j is a function of (seed, d, nnz, j) alone: S of fewer columns is the beginning of S of
    more.

    References
    ----------
    Kane, Nelson: Sparser Johnson-Lindenstrauss transforms. J. ACM 61, 2014.
    Chenakkod, Dereziński, Dong, Rudelson: Optimal embedding dimension for sparse subspace
    embeddings. STOC, 2024.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None, nnz: int = 8) -> None:
        self.nnz = min(_arrays.integer(nnz, "nnz"), _arrays.integer(d, "d"))
        self._set_sketch("SparseStack", d, m, seed, dtype, self.nnz)


class SparseSign(SketchOperator):
    """±1/√nnz in nnz distinct rows of every column, all choices of rows alike.

    Parameters
    ----------
    d : int
        Rows; 2n to 4n for a subspace of dimension n.
    m : int
        Columns, the coordinates that are mixed.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.
    nnz : int
        Nonzeros in a column; d if it is more. At most 512.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    E ‖Sx‖⁴ − ‖x‖⁴ = (2/d) (‖x‖⁴ − Σ_j x_j⁴) for real x. It mixes as `SparseStack` does, with costs
    and properties as there, but that nnz²/2 comparisons make a column and that a product with few
    columns uses one thread.

    References
    ----------
    Nelson, Nguyễn: OSNAP: faster numerical linear algebra algorithms via sparser subspace
    embeddings. FOCS, 2013.
    Tropp, Yurtsever, Udell, Cevher: Streaming low-rank matrix approximation with an application to
    scientific simulation. SIAM J. Sci. Comput. 41, 2019.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None, nnz: int = 8) -> None:
        self.nnz = min(_arrays.integer(nnz, "nnz"), _arrays.integer(d, "d"))
        self._set_sketch("SparseSign", d, m, seed, dtype, self.nnz)


class CountSketch(SketchOperator):
    """One ±1 in every column, in a random row: `SparseStack` with nnz = 1.

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

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    The cheapest sketch, 2 m n operations, and a safe one only for d ≫ n²: two unit vectors that
    fall into one row become dependent, which happens to some pair of n with d = 2n rows almost
    surely, so that S U loses rank. Its use is as the first stage of two, or on data that no few
    coordinates dominate. E ‖Sx‖⁴ − ‖x‖⁴ = (2/d) (‖x‖⁴ − Σ_j x_j⁴) for real x.

    References
    ----------
    Charikar, Chen, Farach-Colton: Finding frequent items in data streams. ICALP, 2002.
    Clarkson, Woodruff: Low-rank approximation and regression in input sparsity time. J. ACM 63,
    2017.
    """

    def __init__(self, d: int, m: int, *, seed: int = 0, dtype: Any = None) -> None:
        self.nnz = 1
        self._set_sketch("SparseStack", d, m, seed, dtype, 1)
