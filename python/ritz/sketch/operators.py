"""What all sketching operators have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _conversion, _nodes
from ritz._nodes import Binding
from ritz.frameworks.numpy import NUMPY
from ritz.operators import LinearOperator, aslinearoperator, working_dtype

__all__ = ["SketchOperator"]

# Columns of Sᴴ that go through an operator at once.
_BLOCK = 32


class _Sketch(_nodes.Node):
    """A compiled sketch, made once for each element type."""

    def __init__(self, kind: str, arguments: tuple[Any, ...], dtype: Any) -> None:
        self.kind, self.arguments, self.dtype = kind, arguments, dtype
        self._compiled: dict[np.dtype[Any], Any] = {}

    def compiled(self, dtype: np.dtype[Any]) -> Any:
        kept = self._compiled.get(dtype)
        if kept is None:
            make = getattr(_arrays.core(dtype), self.kind)
            kept = self._compiled[dtype] = make(*self.arguments)
        return kept

    def bind(self, run: Binding) -> Any:
        return self.compiled(run.dtype).operator()

    def text(self) -> str:
        return self.kind


class SketchOperator(LinearOperator):
    """A random matrix S of shape (d, m) with E SᴴS = I, determined by its seed.

    `S @ A` for an array or a matrix of `scipy.sparse` A of shape (m, n) is the array S A, whatever
    the layout of A; for an operator A it is the operator, and `S.sketch(A)` the array. `S.T @ Y`
    and `A @ S.T` work likewise. Equal arguments make equal sketches, on any number of threads.

    Attributes
    ----------
    seed : int
        What all elements are made from.
    """

    seed: int

    def _set_sketch(self, kind: str, d: Any, m: Any, seed: Any, dtype: Any, *options: Any) -> None:
        """Set what the constructor of `kind` in the compiled core takes: (d, m, seed, *options)."""
        d = _arrays.integer(d, "d")
        m = _arrays.integer(m, "m")
        self.seed = _arrays.seed_of(seed)
        known = None if dtype is None else _arrays.element_type(dtype, "dtype")
        node = _Sketch(kind, (d, m, self.seed, *options), known)
        node.compiled(known or np.dtype(np.float64))  # its errors come now
        self._set(node, (d, m))

    def _core(self, dtype: np.dtype[Any]) -> Any:
        assert isinstance(self._node, _Sketch)
        return self._node.compiled(dtype)

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        a, framework = _arrays.array(x, what)
        if a.ndim != 2 or a.shape[0] != self.shape[0 if adjoint else 1]:
            return super()._apply(x, adjoint, what)
        dtype = working_dtype([self], [a.dtype])
        a = _arrays.cast(a, dtype, what)
        core = self._core(dtype)
        y = core.apply_adjoint(a) if adjoint else core.apply(a)
        self._counter.count(a.shape[1])
        return framework.from_numpy(y)

    def __matmul__(self, other: Any) -> Any:
        if _conversion.is_sparse(other):
            return self.sketch(other)
        return super().__matmul__(other)

    def sketch(self, A: Any) -> Any:
        """Return the array S A of shape (d, n).

        Parameters
        ----------
        A : array, sparse matrix or operator (m, n)
            Anything that `aslinearoperator` takes.

        Returns
        -------
        array (d, n)

        Notes
        -----
        An array or a sparse matrix is read once. An operator is asked for d products with its
        adjoint, (Aᴴ Sᴴ)ᴴ, in blocks of 32; without an adjoint for n products with A.
        """
        if _conversion.is_sparse(A):
            return self._sketch_sparse(aslinearoperator(A))
        if not isinstance(A, LinearOperator) and not hasattr(A, "matvec"):
            return self._apply(A, False, "A")
        a = aslinearoperator(A)
        if isinstance(a._node, _nodes.Sparse):
            return self._sketch_sparse(a)
        d, m = self.shape
        if a.shape[0] != m:
            raise ValueError(
                f"A has shape {a.shape}; a sketch of shape {self.shape} needs {m} rows"
            )
        framework = a._node.framework or NUMPY
        dtype = working_dtype([self, a], [])
        core = self._core(dtype)
        out = np.empty((d, a.shape[1]), dtype)
        for i in range(0, d, _BLOCK):
            rows = core.submatrix(i, 0, min(_BLOCK, d - i), m)
            V = a.rmatmat(framework.from_numpy(np.ascontiguousarray(rows.conj().T)))
            out[i : i + rows.shape[0]] = framework.to_numpy(V, "A.H @ V").conj().T
        return framework.from_numpy(out)

    def _sketch_sparse(self, a: LinearOperator) -> Any:
        node = a._node
        assert isinstance(node, _nodes.Sparse)
        if a.shape[0] != self.shape[1]:
            raise ValueError(
                f"A has shape {a.shape}; a sketch of shape {self.shape} needs {self.shape[1]} rows"
            )
        dtype = working_dtype([self, a], [])
        apply = getattr(self._core(dtype), f"apply_{node.layout}_{node.index}")
        shape = a.shape if node.layout == "csr" else a.shape[::-1]
        values = _arrays.cast(node.values, dtype, "A")
        self._counter.count(a.shape[1])
        y = apply(*shape, node.indptr, node.indices, values)
        return y if node.framework is None else node.framework.from_numpy(y)

    def submatrix(self, rows: slice, cols: slice) -> npt.NDArray[Any]:
        """Return S[rows, cols] as a NumPy array, made without the rest of S; steps must be 1."""
        parts = []
        for part, size, name in ((rows, self.shape[0], "rows"), (cols, self.shape[1], "cols")):
            start, stop, step = part.indices(size)
            if step != 1:
                raise ValueError(f"{name} is {part}; pass a slice with step 1")
            parts.append((start, max(stop - start, 0)))
        (i, height), (j, width) = parts
        part_of_s: npt.NDArray[Any] = self._core(self.dtype).submatrix(i, j, height, width)
        return part_of_s

    def to_dense(self) -> Any:
        """Return S as a NumPy array of d m elements."""
        return self.submatrix(slice(None), slice(None))
