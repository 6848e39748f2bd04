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

# Columns that go through an operator at once.
_BLOCK = 32


class _Sketch(_nodes.Node):
    """A compiled sketch, made once for each element type."""

    def __init__(self, kind: str, arguments: tuple[Any, ...], dtype: Any) -> None:
        self.kind, self.arguments, self.dtype = kind, arguments, dtype
        self.name = kind
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
        return f"{self.name}(seed={self.arguments[2]})"


def _count(a: LinearOperator, columns: int, adjoint: bool = False) -> None:
    if columns != 1:
        a._counter.count(columns=columns)
    elif adjoint:
        a._counter.count(rmatvec=1)
    else:
        a._counter.count(matvec=1)


def _is_sparse(A: Any) -> bool:
    """Whether A is a sparse matrix of SciPy, or of torch by rows."""
    return _conversion.is_sparse(A) or str(getattr(A, "layout", "")) == "torch.sparse_csr"


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
        node.name = type(self).__name__
        node.compiled(known or np.dtype(np.float64))  # its errors come now
        self._set(node, (d, m))

    def __repr__(self) -> str:
        d, m = self.shape
        dtype = "any dtype" if self._node.dtype is None else str(self._node.dtype)
        return f"<{d}×{m} {type(self).__name__}, {dtype}: seed {self.seed}>"

    def _core(self, dtype: np.dtype[Any]) -> Any:
        assert isinstance(self._node, _Sketch)
        return self._node.compiled(dtype)

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        if self.domain is not None or self.codomain is not None:
            return super()._apply(x, adjoint, what)
        return self._multiply(x, adjoint, False, what)

    def _multiply(self, x: Any, adjoint: bool, conjugate: bool, what: str) -> Any:
        """Return S x or Sᴴ x, with the conjugate of S if wanted, at whatever strides x has."""
        a, framework = _arrays.array(x, what)
        size = self.shape[0 if adjoint else 1]
        if a.ndim not in (1, 2) or a.shape[0] != size:
            form = "adjoint of a sketch" if adjoint else "sketch"
            raise ValueError(
                f"{what} has shape {a.shape}; the {form} of shape {self.shape} needs shape "
                f"({size},) or ({size}, k)"
            )
        dtype = working_dtype([self], [a.dtype])
        a = _arrays.cast(a, dtype, what)
        if any(stride % a.itemsize for stride in a.strides):
            a = a.copy()  # a field of records
        conjugate = conjugate and dtype.kind == "c"
        columns = a if a.ndim == 2 else a[:, None]
        core = self._core(dtype)
        columns = columns.conj() if conjugate else columns
        y = core.apply_adjoint(columns) if adjoint else core.apply(columns)
        _count(self, columns.shape[1], adjoint)
        y = y.conj() if conjugate else y
        return framework.from_numpy(y if a.ndim == 2 else y[:, 0])

    @property
    def H(self) -> LinearOperator:
        """The adjoint Sᴴ."""
        return _Turned(self, _nodes.Adjoint(self))

    @property
    def T(self) -> LinearOperator:
        """The transpose Sᵀ."""
        return _Turned(self, _nodes.Transpose(self))

    def __matmul__(self, other: Any) -> Any:
        if _is_sparse(other):
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
            Of the kind of A; NumPy's where A does not tell.

        Raises
        ------
        TypeError, ValueError
            For an A that is none of these or has another number of rows.

        Notes
        -----
        An array or a sparse matrix is read once. An operator is asked for products in blocks of 32
        columns: for n with A or, if these are fewer and it has an adjoint, for d as (Aᴴ Sᴴ)ᴴ.
        """
        if not (_conversion.is_operator(A) or _is_sparse(A)):
            return self._apply(A, False, "A")
        a = aslinearoperator(A)
        d, m = self.shape
        n = a.shape[1]
        if a.shape[0] != m:
            raise ValueError(
                f"A has shape {a.shape}; a sketch of shape {self.shape} needs {m} rows"
            )
        if isinstance(a._node, _nodes.Sparse):
            return self._sketch_sparse(a, a._node)
        framework = a._node.framework or NUMPY
        dtype = working_dtype([self, a], [])
        core = self._core(dtype)
        out = np.empty((d, n), dtype)
        with Binding(dtype, framework) as run:
            op = run(a)
            if n <= d or not op.has_adjoint:
                for j in range(0, n, _BLOCK):
                    units = np.eye(n, min(_BLOCK, n - j), -j, dtype)
                    out[:, j : j + _BLOCK] = core.apply(op.apply_block(units))
                _count(self, n)
            else:
                for i in range(0, d, _BLOCK):
                    rows = core.submatrix(i, 0, min(_BLOCK, d - i), m)
                    out[i : i + _BLOCK] = op.apply_adjoint_block(rows.conj().T).conj().T
        return framework.from_numpy(out)

    def _sketch_sparse(self, a: LinearOperator, node: _nodes.Sparse) -> Any:
        dtype = working_dtype([self, a], [])
        apply = getattr(self._core(dtype), f"apply_{node.layout}_{node.index}")
        shape = a.shape if node.layout == "csr" else a.shape[::-1]
        values = _arrays.cast(node.values, dtype, "A")
        _count(self, a.shape[1])
        y = apply(*shape, node.indptr, node.indices, values)
        return y if node.framework is None else node.framework.from_numpy(y)

    def submatrix(
        self, rows: slice, cols: slice, *, out: npt.NDArray[Any] | None = None
    ) -> npt.NDArray[Any]:
        """Return S[rows, cols] as a NumPy array, made without the rest of S.

        Parameters
        ----------
        rows, cols : slice
            With step 1.
        out : ndarray, optional
            Written and returned instead of a new array: of the part's shape and the sketch's dtype.
        """
        parts = []
        for part, size, name in ((rows, self.shape[0], "rows"), (cols, self.shape[1], "cols")):
            if not isinstance(part, slice) or part.step not in (None, 1):
                raise ValueError(f"{name} is {part!r}; pass a slice with step 1")
            start, stop, _ = part.indices(size)
            parts.append((start, max(stop - start, 0)))
        (i, height), (j, width) = parts
        if out is not None:
            if not isinstance(out, np.ndarray) or out.dtype != self.dtype:
                raise TypeError(f"out is {out!r:.60}; pass a NumPy array of dtype {self.dtype}")
            if out.shape != (height, width) or not out.flags.writeable:
                raise ValueError(
                    f"out has shape {out.shape}; pass a writeable array of shape {(height, width)}"
                )
        part_of_s: npt.NDArray[Any] = self._core(self.dtype).submatrix(i, j, height, width, out)
        return part_of_s

    def to_dense(self) -> Any:
        """Return S as a NumPy array of d m elements."""
        return self.submatrix(slice(None), slice(None))


class _Turned(LinearOperator):
    """The adjoint or the transpose of a sketch."""

    def __init__(self, of: SketchOperator, node: _nodes.Adjoint) -> None:
        d, m = of.shape
        self._of_sketch = of
        self._conjugate = isinstance(node, _nodes.Transpose)
        self._set(node, (m, d))

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        y = self._of_sketch._multiply(x, not adjoint, self._conjugate, what)
        _count(self, 1 if y.ndim == 1 else y.shape[1], adjoint)
        return y

    def to_dense(self) -> Any:
        """Return it as a NumPy array."""
        dense = self._of_sketch.to_dense().T
        return dense if self._conjugate else dense.conj()
