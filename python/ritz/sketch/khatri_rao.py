"""Sketches of tensor products."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ritz import _arrays
from ritz.operators import working_dtype
from ritz.sketch.operators import SketchOperator

__all__ = ["KhatriRao"]

_KINDS = ("signs", "normal")


class KhatriRao(SketchOperator):
    """Rows aᵢ ⊗ bᵢ ⊗ … / √d, the tensor products of the rows of random factors.

    Parameters
    ----------
    d : int
        Rows.
    sizes : sequence of int
        (m₁, m₂, …), the columns of the factors. S has m = m₁ m₂ ⋯ columns, the last index running
        fastest, as in `x.reshape(m1, m2, …)`.
    seed : int
        What all elements are made from.
    dtype : dtype, optional
        Element type; by default that of what S is applied to.
    kind : {"signs", "normal"}
        What the elements of the factors are: random signs, or normal numbers.

    Raises
    ------
    ValueError
        For arguments that make no shape.

    Notes
    -----
    `apply_factors` costs d (m₁ + m₂ + ⋯) multiplications, `S @ x` about 2 d m with one factor
    contracted after the other; rows of length m are not formed.

    E Sᴴ S = I, but the d that is needed grows exponentially with the number of factors p: for
    x = x₁ ⊗ x₂ ⊗ ⋯ real and of norm 1, Var ‖S x‖² = (3^p − 1)/d with normal numbers, and
    (∏ (3 − 2 Σ x_k⁴) − 1)/d with signs. Take it for two or three factors.

    References
    ----------
    Rudelson: Row products of random matrices. Adv. Math. 231, 2012. Ahle, Kapralov, Knudsen, Pagh,
    Velingkar, Woodruff, Zandieh: Oblivious sketching of high-degree polynomial kernels. SODA 2020.
    """

    def __init__(
        self,
        d: int,
        sizes: Sequence[int],
        *,
        seed: int = 0,
        dtype: Any = None,
        kind: str = "signs",
    ) -> None:
        try:
            self.sizes = tuple(_arrays.integer(size, "a size") for size in sizes)
        except TypeError:
            raise TypeError(f"sizes is {sizes!r}; pass a sequence of integers") from None
        if kind not in _KINDS:
            raise ValueError(f'kind is {kind!r}; pass "signs" or "normal"')
        self.kind = kind
        m = math.prod(self.sizes)
        self._set_sketch("KhatriRao", d, m, seed, dtype, self.sizes, kind == "normal")
        self._factors: dict[np.dtype[Any], list[Any]] = {}

    def apply_factors(self, *x: Any) -> Any:
        """Return S (x₁ ⊗ x₂ ⊗ ⋯) of shape (d,) from vectors of m₁, m₂, … numbers."""
        if len(x) != len(self.sizes):
            raise ValueError(f"{len(x)} vectors came; S has {len(self.sizes)} factors")
        names = [f"x{k + 1}" for k in range(len(x))]
        pairs = [
            _arrays.vector(v, name, size, "the factor")
            for v, name, size in zip(x, names, self.sizes, strict=True)
        ]
        dtype = working_dtype([self], [a.dtype for a, _ in pairs])
        product = np.full(self.shape[0], self.shape[0] ** (0.5 * (len(x) - 1)), dtype)
        for (a, _), name, factor in zip(pairs, names, self._compiled_factors(dtype), strict=True):
            product *= factor.apply(_arrays.cast(a, dtype, name)[:, None])[:, 0]
        return pairs[0][1].from_numpy(product)

    def _compiled_factors(self, dtype: np.dtype[Any]) -> list[Any]:
        if dtype not in self._factors:
            make, d, normal = (
                _arrays.core(dtype).KhatriRaoFactor,
                self.shape[0],
                self.kind != "signs",
            )
            self._factors[dtype] = [
                make(d, size, self.seed, k, normal) for k, size in enumerate(self.sizes)
            ]
        return self._factors[dtype]
