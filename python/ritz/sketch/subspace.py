"""Random subspaces of a space of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ritz import _arrays
from ritz._nodes import Diagonal
from ritz.operators import LinearOperator, _structure
from ritz.sketch.dense import Gaussian
from ritz.sketch.hadamard import Fastfood
from ritz.sketch.sparse import SparseStack
from ritz.trees import Structure

__all__ = ["Subspace", "subspace"]

_KINDS = ("sparse", "dense", "fastfood")


class Subspace(LinearOperator):
    """A random map P of shape (n, d) with E PᵀP = I; see `subspace`.

    Attributes
    ----------
    kind : str
        "sparse", "dense" or "fastfood".
    seed : int
        What P is made from.
    """

    kind: str
    seed: int

    def __init__(self, P: LinearOperator, kind: str, seed: int, codomain: Structure | None) -> None:
        self._set(P._node, P.shape, codomain=codomain)
        self.kind, self.seed = kind, seed

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        y = super()._apply(x, adjoint, what)
        if adjoint or self.codomain is None or y.ndim != 1:
            return y
        return self.codomain.unflatten(y)


def subspace(
    n: int,
    d: int,
    *,
    kind: str = "sparse",
    seed: int = 0,
    domain: Any = None,
    like: Any = None,
    nnz: int = 8,
) -> Subspace:
    """Return a random linear map P of shape (n, d) with E PᵀP = I, to train d of n parameters.

    Parameters
    ----------
    n : int
        Parameters of the model.
    d : int
        Coordinates θ that are trained: the model runs at x₀ + P θ.
    kind : {"sparse", "dense", "fastfood"}
        "sparse": `nnz` nonzeros ±1/√ in every row, a `SparseStack` transposed. "dense": independent
        normal numbers. "fastfood": products of Hadamard transforms and diagonals, for a dense P at
        n log d operations.
    seed : int
        What P is made from: the same seed gives the same P on any number of threads.
    domain : Structure or tree of arrays, optional
        The parameters as a tree of n numbers in all. P @ θ then is such a tree, and P.T @ g takes
        gradients as trees as well as flat.
    like : array, optional
        An array whose element type P is to have; by default that of what P is applied to.
    nnz : int
        Nonzeros in a row where P is sparse, at most d.

    Returns
    -------
    Subspace
        A `LinearOperator`: P @ θ is a step of the parameters, P.T @ g the gradient with respect to
        θ, and P.T @ H @ P the Hessian.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Columns have norm 1 in the mean, so that ‖P θ‖ ≈ ‖θ‖ and step lengths keep their meaning: for
    each of the kinds to within about √(2/n) if d ≪ n. A sketch S of d rows with E SᵀS = I has the
    other normalisation, P = √(d/n) Sᵀ.

    Cost of a product, and what is kept: sparse 2 nnz n operations and O(d) memory; fastfood
    2 n log₂ d additions and about 24 n bytes, made at the first product; dense 2 n d operations
    beside the n d normal numbers, which are made again for every product, and O(d) memory.

    The least d that trains a model to 90 % of its full accuracy is a measure of how hard the
    problem is for it, its intrinsic dimension.

    References
    ----------
    Li, Farkhoor, Liu, Yosinski: Measuring the intrinsic dimension of objective landscapes. ICLR
    2018. Le, Sarlós, Smola: Fastfood: approximating kernel expansions in loglinear time. ICML 2013.
    """
    n, d = _arrays.integer(n, "n"), _arrays.integer(d, "d")
    seed = _arrays.seed_of(seed)
    nnz = min(_arrays.integer(nnz, "nnz"), d)
    codomain = _structure(domain, "domain", n)
    dtype = None if like is None else _arrays.array(like, "like")[0].dtype
    if kind == "dense":
        return Subspace(Gaussian(n, d, seed=seed, dtype=dtype), kind, seed, codomain)
    if kind == "fastfood":
        return Subspace(Fastfood(n, d, seed=seed, dtype=dtype), kind, seed, codomain)
    if kind != "sparse":
        raise ValueError(f'kind is {kind!r}; pass "sparse", "dense" or "fastfood"')
    S = SparseStack(d, n, seed=seed, dtype=dtype, nnz=nnz)
    return Subspace(S.H @ _columns_to_one(n, d, nnz), kind, seed, codomain)


def _columns_to_one(n: int, d: int, nnz: int) -> LinearOperator:
    """Return the diagonal matrix by which the columns of Sᵀ have norm 1 in the mean.

    Stack t of S has d/nnz rows, or one more where d mod nnz > t; h rows of it share n elements
    1/√nnz.
    """
    heights = [d // nnz + (t < d % nnz) for t in range(nnz)]
    scale = np.repeat(np.sqrt(np.array(heights) * nnz / n), heights)
    node = Diagonal(scale, None)
    node.dtype = None  # that of the run
    return LinearOperator._of(node, (d, d), True)
