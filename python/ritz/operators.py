"""Linear operators: from closures, arrays, sparse matrices and compiled functions, and algebra.

An operator here is a description. A solver binds it for the element type and the array framework of
its run, which makes compiled nodes out of it; products are counted by those nodes.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _nodes
from ritz._nodes import Binding, Closure
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY
from ritz.results import Counts

__all__ = [
    "GaussNewton",
    "Jacobian",
    "LinearOperator",
    "aslinearoperator",
    "block",
    "diagonal",
    "identity",
]


class LinearOperator:
    """A linear map x ↦ A x of shape (m, n), given by closures.

    Parameters
    ----------
    shape : (int, int)
        (m, n).
    matvec : callable, optional
        x (n,) ↦ A x (m,). It is called with arrays of the same kind as the vectors that the
        operator is applied to, and returns a new array of that kind and dtype. The array that it
        receives is memory of the solver: valid during the call, read-only in NumPy.
    rmatvec : callable, optional
        u (m,) ↦ Aᴴ u (n,), the vector-Jacobian product if A is a Jacobian.
    matmat, rmatmat : callable, optional
        The same for blocks, X (n, k) ↦ A X (m, k); used for products with 2-d arrays, and for
        single vectors where the vector form is missing.
    dtype : dtype, optional
        float32, float64, complex64 or complex128: the only one the closures work in. None: the
        dtype of the vectors that come, and float64 where nothing tells. A dtype of torch or JAX
        says that the closures are of that framework.
    out : bool
        The closures of vectors are called as f(x, out) and fill `out`: saves a copy.
    symmetric : bool, optional
        True: A equals its adjoint, so that `rmatvec` is `matvec`. False: it does not, and methods
        that need it to refuse. None: not known.
    framework : {"numpy", "torch", "jax"}, optional
        The kind of array that the closures take, whatever vectors come. None: that of the vectors.

    Notes
    -----
    `A @ x` and `A.T @ u` take vectors and 2-d blocks of NumPy, torch and JAX and return the same
    kind. Operators combine by `+`, `-`, `*` with scalars, `@`, `.T`, `.H`, `.shifted(mu)`,
    `.damped(lam)` and `ritz.block`. `.counts` are the products made so far.

    Raises
    ------
    TypeError, ValueError
        At once for arguments that cannot be used; when it is applied, if a closure returns None or
        an array of another kind, dtype or size.

    References
    ----------
    Constructor and names are those of `scipy.sparse.linalg.LinearOperator`.
    """

    # Arrays leave the operators + - * @ to this class.
    __array_ufunc__ = None
    ndim = 2

    _node: _nodes.Node
    _counter: _nodes.Counter
    shape: tuple[int, int]
    symmetric: bool | None

    def __init__(
        self,
        shape: Any,
        matvec: Closure | None = None,
        rmatvec: Closure | None = None,
        matmat: Closure | None = None,
        dtype: Any = None,
        rmatmat: Closure | None = None,
        *,
        out: bool = False,
        symmetric: bool | None = None,
        framework: str | Framework | None = None,
    ) -> None:
        m, n = _arrays.shape_pair(shape)
        functions = (matvec, rmatvec, matmat, rmatmat)
        names = ("matvec", "rmatvec", "matmat", "rmatmat")
        _check_closures(names, functions)
        if matvec is None and matmat is None:
            raise TypeError("matvec is missing; pass a function x -> A x, or matmat")
        if symmetric and m != n:
            raise ValueError(f"symmetric is True, but the shape is {(m, n)}; only a square one can")
        if symmetric and rmatvec is None and rmatmat is None:
            functions = (matvec, matvec, matmat, matmat)
        self._set_closures((m, n), functions, dtype, framework, out, "", symmetric)

    def _set_closures(
        self,
        shape: tuple[int, int],
        functions: tuple[Closure | None, Closure | None, Closure | None, Closure | None],
        dtype: Any,
        framework: str | Framework | None,
        out: bool,
        name: str,
        symmetric: bool | None = None,
    ) -> None:
        kind = None if framework is None else _arrays.framework_named(framework)
        if kind is None and dtype is not None:
            kind = _arrays.framework_of_dtype(dtype)
        if kind is None:
            kind = next((k for f in functions if (k := _arrays.framework_of_function(f))), None)
        element = None if dtype is None else _arrays.element_type(dtype, "dtype")
        self._set(
            _nodes.Closures(shape, functions, element, kind, bool(out), name), shape, symmetric
        )

    def _set(
        self, node: _nodes.Node, shape: tuple[int, int], symmetric: bool | None = None
    ) -> None:
        self._node = node
        self._counter = _nodes.Counter()
        self.shape = shape
        self.symmetric = symmetric

    @staticmethod
    def _of(
        node: _nodes.Node, shape: tuple[int, int], symmetric: bool | None = None
    ) -> LinearOperator:
        self = LinearOperator.__new__(LinearOperator)
        self._set(node, shape, symmetric)
        return self

    # ------------------------------------------------------------------------------- what it is

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type; float64 where any will do."""
        return self._node.dtype or np.dtype(np.float64)

    @property
    def has_dtype(self) -> bool:
        """Whether A has an element type of its own."""
        return self._node.dtype is not None

    @property
    def counts(self) -> Counts:
        """Products made so far: A v, Aᴴ u, and columns in blocks."""
        return self._counter.counts()

    def __repr__(self) -> str:
        m, n = self.shape
        dtype = "any dtype" if self._node.dtype is None else str(self._node.dtype)
        return f"<{m}×{n} {type(self).__name__}, {dtype}: {self._node.text()}>"

    def require_square(self, user: str) -> None:
        """Raise ValueError unless A is square; `user` is who needs it."""
        m, n = self.shape
        if m != n:
            raise ValueError(f"A has shape {(m, n)}; {user} needs a square operator")

    # --------------------------------------------------------------------------------- products

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        a, framework = _arrays.array(x, what)
        size = self.shape[0] if adjoint else self.shape[1]
        if a.ndim not in (1, 2) or a.shape[0] != size:
            wanted = f"({size},) or ({size}, k)"
            raise ValueError(
                f"{what} has shape {a.shape}; an operator of shape {self.shape} "
                f"{'transposed ' if adjoint else ''}needs {wanted}"
            )
        dtype = working_dtype([self], [a.dtype])
        a = _arrays.cast(a, dtype, what)
        with Binding(dtype, framework) as run:
            op = run(self)
            if a.ndim == 2:
                y = op.apply_adjoint_block(a) if adjoint else op.apply_block(a)
            else:
                a = np.ascontiguousarray(a)
                y = op.apply_adjoint(a) if adjoint else op.apply(a)
        return framework.from_numpy(y)

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, LinearOperator) or _is_operator(other):
            right = aslinearoperator(other, "the right operand")
            return LinearOperator._of(_nodes.Product(self, right), (self.shape[0], right.shape[1]))
        return self._apply(other, False)

    def __rmatmul__(self, other: Any) -> Any:
        if _is_operator(other):
            left = aslinearoperator(other, "the left operand")
            return LinearOperator._of(_nodes.Product(left, self), (left.shape[0], self.shape[1]))
        if not hasattr(other, "ndim"):
            other = np.asarray(other)
        x = other if other.ndim == 1 else other.T
        y = self.T._apply(x, False)
        return y if y.ndim == 1 else y.T

    dot = __matmul__

    def matvec(self, x: Any) -> Any:
        """Return A x for x of shape (n,) or (n, 1)."""
        return self._apply(x, False)

    def rmatvec(self, x: Any) -> Any:
        """Return Aᴴ x for x of shape (m,) or (m, 1)."""
        return self._apply(x, True)

    def matmat(self, X: Any) -> Any:
        """Return A X for X of shape (n, k)."""
        return self._apply(X, False, "X")

    def rmatmat(self, X: Any) -> Any:
        """Return Aᴴ X for X of shape (m, k)."""
        return self._apply(X, True, "X")

    def to_dense(self) -> Any:
        """Return A as a 2-d array, by n products; NumPy's unless A is of another framework."""
        kind = self._node.framework or NUMPY
        return self._apply(kind.from_numpy(np.eye(self.shape[1], dtype=self.dtype)), False)

    # ---------------------------------------------------------------------------------- algebra

    @property
    def H(self) -> LinearOperator:
        """The adjoint Aᴴ."""
        if self.symmetric:
            return self
        if type(self._node) is _nodes.Adjoint:
            return self._node.operands[0]
        return LinearOperator._of(_nodes.Adjoint(self), (self.shape[1], self.shape[0]))

    @property
    def T(self) -> LinearOperator:
        """The transpose Aᵀ."""
        if type(self._node) is _nodes.Transpose:
            return self._node.operands[0]
        return LinearOperator._of(
            _nodes.Transpose(self), (self.shape[1], self.shape[0]), self.symmetric
        )

    def adjoint(self) -> LinearOperator:
        """Return Aᴴ."""
        return self.H

    def transpose(self) -> LinearOperator:
        """Return Aᵀ."""
        return self.T

    def shifted(self, mu: complex) -> LinearOperator:
        """Return A + μ I."""
        c = _scalar(mu, "mu")
        return LinearOperator._of(
            _nodes.Shifted(self, c), self.shape, self.symmetric if c.imag == 0.0 else None
        )

    def damped(self, lam: complex) -> LinearOperator:
        """Return [A; λ I], of shape (m + n, n), the operator of min ‖A x − b‖² + λ² ‖x‖²."""
        return block([[self], [_scalar(lam, "lam") * identity(self.shape[1])]])

    def __add__(self, other: Any) -> LinearOperator:
        return self._plus(other, 1.0)

    def __radd__(self, other: Any) -> LinearOperator:
        if _is_scalar(other) and complex(other) == 0.0:  # sum() starts with it
            return self
        return self._plus(other, 1.0)

    def __sub__(self, other: Any) -> LinearOperator:
        return self._plus(other, -1.0)

    def __rsub__(self, other: Any) -> LinearOperator:
        return (-self)._plus(other, 1.0)

    def _plus(self, other: Any, sign: float) -> LinearOperator:
        if _is_scalar(other):
            raise TypeError(
                f"{other!r} cannot be added to an operator; for A + μ I call A.shifted(μ)"
            )
        b = aslinearoperator(other, "the other operand")
        return LinearOperator._of(
            _nodes.Sum(self, b, sign), self.shape, (self.symmetric and b.symmetric) or None
        )

    def __mul__(self, other: Any) -> LinearOperator:
        if not _is_scalar(other):
            raise TypeError(
                "operators are multiplied by scalars with *, by operators and arrays with @"
            )
        c = complex(other)
        return LinearOperator._of(
            _nodes.Scaled(self, c), self.shape, self.symmetric if c.imag == 0.0 else None
        )

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> LinearOperator:
        return self * (1.0 / _scalar(other, "the divisor"))

    def __neg__(self) -> LinearOperator:
        return self * -1.0


def working_dtype(
    operators: Sequence[LinearOperator | None], vectors: Sequence[np.dtype[Any]]
) -> np.dtype[Any]:
    """Return the element type of a run with these operators and vectors."""
    known = [a._node.dtype for a in operators if a is not None and a._node.dtype is not None]
    different = {*known, *vectors} or {np.dtype(np.float64)}
    return different.pop() if len(different) == 1 else np.result_type(*different)


def memory_of(a: LinearOperator) -> Iterator[npt.NDArray[Any]]:
    """Yield the arrays that products with `a` read."""
    return a._node.memory()


def framework_of_operator(a: LinearOperator) -> Framework | None:
    """Return the framework that the operator's own arrays and closures belong to, if any."""
    return a._node.framework


def _check_closures(names: Sequence[str], functions: Sequence[Any]) -> None:
    for name, f in zip(names, functions, strict=True):
        if f is not None and not callable(f):
            raise TypeError(f"{name} is {f!r}; pass a function of one vector")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, numbers.Number) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "biufc"
    )


def _scalar(value: Any, name: str) -> complex:
    if not _is_scalar(value):
        raise TypeError(f"{name} is {value!r}; pass a number")
    return complex(value)


def _is_sparse(obj: Any) -> bool:
    return hasattr(obj, "tocsr") and hasattr(obj, "nnz")


def _is_operator(obj: Any) -> bool:
    """Whether an operand of @ is an operator rather than an array of vectors."""
    return _is_sparse(obj) or callable(getattr(obj, "matvec", None))


class Jacobian(LinearOperator):
    """The Jacobian J of a function at a point, given by its products.

    Parameters
    ----------
    shape : (int, int)
        (m, n): outputs, parameters.
    jvp : callable
        v (n,) ↦ J v (m,).
    vjp : callable, optional
        u (m,) ↦ Jᵀ u (n,).
    dtype, out, framework
        As for `LinearOperator`.
    """

    def __init__(
        self,
        shape: Any,
        jvp: Closure | None = None,
        vjp: Closure | None = None,
        dtype: Any = None,
        *,
        out: bool = False,
        framework: str | Framework | None = None,
    ) -> None:
        _check_closures(("jvp", "vjp"), (jvp, vjp))
        if jvp is None:
            raise TypeError("jvp is missing; pass a function v -> J v")
        self._set_closures(
            _arrays.shape_pair(shape), (jvp, vjp, None, None), dtype, framework, out, "Jacobian."
        )

    def jvp(self, v: Any) -> Any:
        """Return J v."""
        return self.matvec(v)

    def vjp(self, u: Any) -> Any:
        """Return Jᵀ u."""
        return self.rmatvec(u)


class GaussNewton(LinearOperator):
    """The Gauss-Newton matrix G v = Jᵀ(H(J v)) + λ v of a loss of a model's output.

    Parameters
    ----------
    jvp : callable or LinearOperator
        v (n,) ↦ J v (m,), or the Jacobian itself; then `vjp` and `shape` are left out.
    vjp : callable
        u (m,) ↦ Jᵀ u (n,).
    loss_hessian : callable or LinearOperator, optional
        u (m,) ↦ H u (m,), the Hessian of the loss with respect to the model's output; None for
        half the sum of squares, H = I.
    damping : float
        λ.
    shape : (int, int)
        (m, n), the Jacobian's shape; G is n × n.
    dtype, out, framework
        As for `LinearOperator`.

    Notes
    -----
    One JVP, one loss product and one VJP a product, composed in compiled code; two vectors of
    length m. `.jacobian` and `.loss_hessian` are operators with counts of their own.

    References
    ----------
    Schraudolph: Fast curvature matrix-vector products for second-order gradient descent. Neural
    Computation 14, 2002.
    """

    jacobian: LinearOperator
    loss_hessian: LinearOperator | None

    def __init__(
        self,
        jvp: Closure | LinearOperator,
        vjp: Closure | None = None,
        loss_hessian: Closure | LinearOperator | None = None,
        damping: float = 0.0,
        shape: Any = None,
        dtype: Any = None,
        *,
        out: bool = False,
        framework: str | Framework | None = None,
    ) -> None:
        if isinstance(jvp, LinearOperator):
            if vjp is not None or shape is not None:
                raise TypeError("the Jacobian is given as an operator; leave out vjp and shape")
            self.jacobian = jvp
        else:
            if shape is None:
                raise TypeError("shape is missing; pass the Jacobian's (outputs, parameters)")
            if vjp is None:
                raise TypeError("vjp is missing; pass a function u -> Jᵀ u")
            self.jacobian = Jacobian(shape, jvp, vjp, dtype, out=out, framework=framework)
        m, n = self.jacobian.shape
        if loss_hessian is None or isinstance(loss_hessian, LinearOperator):
            self.loss_hessian = loss_hessian
        else:
            self.loss_hessian = LinearOperator(
                (m, m),
                loss_hessian,
                dtype=dtype,
                out=out,
                symmetric=True,
                framework=framework or self.jacobian._node.framework,
            )
        if self.loss_hessian is not None and self.loss_hessian.shape != (m, m):
            raise ValueError(
                f"loss_hessian has shape {self.loss_hessian.shape}; a model with {m} outputs needs "
                f"({m}, {m})"
            )
        node = _nodes.GaussNewton(
            self.jacobian, self.loss_hessian, _arrays.nonnegative(damping, "damping")
        )
        self._set(node, (n, n), True)


def aslinearoperator(obj: Any, name: str = "A") -> LinearOperator:
    """Return `obj` as an operator A: x ↦ A x.

    Parameters
    ----------
    obj : object
        A LinearOperator; a 2-d array of NumPy, torch (CPU; dense or sparse CSR) or JAX (CPU), whose
        memory is used as it is; a matrix or array of `scipy.sparse`, which gets a compiled product
        (CSR and CSC as they are, other formats by their `tocsr`); or anything with `shape` and
        `matvec` (`rmatvec`, `matmat`, `rmatmat`) or `@`.
    name : str
        What messages call it.

    Returns
    -------
    LinearOperator

    Raises
    ------
    TypeError, ValueError
        For anything else, for object and string arrays, and for arrays that are not 2-d.
    """
    if isinstance(obj, LinearOperator):
        return obj
    if _is_sparse(obj):
        return _from_sparse(obj, name)
    framework = _arrays.framework_of(obj, name)
    if isinstance(obj, framework.type):
        return _from_array(obj, framework, name)
    if hasattr(obj, "shape") and not isinstance(obj, type):
        return _from_object(obj, framework, name)
    if callable(obj):
        raise TypeError(
            f"{name} is a function; say what shape it has: "
            f"ritz.LinearOperator((m, n), matvec={getattr(obj, '__name__', 'f')})"
        )
    raise TypeError(
        f"{name} is {framework.describe(obj)}; pass a 2-d array, a sparse matrix, a "
        "ritz.LinearOperator, or an object with shape and matvec"
    )


def _from_sparse(obj: Any, name: str) -> LinearOperator:
    shape = _arrays.shape_pair(obj.shape, f"{name}.shape")
    if getattr(obj, "format", None) not in ("csr", "csc"):
        obj = obj.tocsr()
    dtype = _arrays.element_type(obj.dtype, name)
    values = obj.data if obj.data.dtype == dtype else obj.data.astype(dtype)
    return LinearOperator._of(
        _nodes.Sparse(obj.format, shape, obj.indptr, obj.indices, values), shape
    )


def _from_array(obj: Any, framework: Framework, name: str) -> LinearOperator:
    # NumPy matrices go with the vectors of any framework.
    own = None if framework is NUMPY else framework
    if framework.name == "torch":
        from ritz.frameworks.torch import csr_parts

        parts = csr_parts(obj, name)
        if parts is not None:
            indptr, indices, values = parts
            values = values.astype(_arrays.element_type(values.dtype, name), copy=False)
            shape = _arrays.shape_pair(obj.shape)
            return LinearOperator._of(
                _nodes.Sparse("csr", shape, indptr, indices, values, own), shape
            )
    a, _ = _arrays.array(obj, name)
    if a.ndim != 2:
        raise ValueError(
            f"{name} has shape {a.shape}; an operator needs a 2-d array "
            "(ritz.diagonal makes one of a vector)"
        )
    return LinearOperator._of(_nodes.Dense(a, own), (a.shape[0], a.shape[1]))


def _from_object(obj: Any, framework: Framework, name: str) -> LinearOperator:
    shape = _arrays.shape_pair(obj.shape, f"{name}.shape")
    functions: dict[str, Closure | None] = {}
    for method in ("matvec", "rmatvec", "matmat", "rmatmat"):
        f = getattr(obj, method, None)
        functions[method] = f if callable(f) else None
    if functions["matvec"] is None and functions["matmat"] is None:
        if not hasattr(type(obj), "__matmul__"):
            raise TypeError(
                f"{name} has a shape but neither matvec nor @; give it one, or pass "
                "ritz.LinearOperator((m, n), matvec=...)"
            )
        functions["matvec"] = lambda x: obj @ x
        if hasattr(obj, "H"):
            functions["rmatvec"] = lambda x: obj.H @ x
        elif hasattr(obj, "T"):
            functions["rmatvec"] = lambda x: (obj.T @ x.conj()).conj()
    dtype = getattr(obj, "dtype", None)
    return LinearOperator(
        shape,
        dtype=None if dtype is None else _arrays.element_type(dtype, name),
        framework=None if framework is NUMPY else framework,
        matvec=functions["matvec"],
        rmatvec=functions["rmatvec"],
        matmat=functions["matmat"],
        rmatmat=functions["rmatmat"],
    )


def identity(n: int, dtype: Any = None) -> LinearOperator:
    """Return the identity x ↦ x of size n; without a dtype it takes that of the vectors."""
    n = _arrays.integer(n, "n", 0)
    element = None if dtype is None else _arrays.element_type(dtype, "dtype")
    return LinearOperator._of(_nodes.Identity(n, element), (n, n), True)


def diagonal(d: Any) -> LinearOperator:
    """Return the operator x ↦ d ⊙ x for d of shape (n,).

    Raises
    ------
    TypeError, ValueError
        If d is not a vector of numbers.
    """
    a, framework = _arrays.vector(d, "d", None, "a diagonal")
    n = a.shape[0]
    own = None if framework is NUMPY else framework
    symmetric = True if a.dtype.kind == "f" else None
    return LinearOperator._of(_nodes.Diagonal(a, own), (n, n), symmetric)


def block(grid: Sequence[Sequence[Any]]) -> LinearOperator:
    """Return the operator [[A, B], [C, D]] of a grid of operators.

    Parameters
    ----------
    grid : sequence of sequences
        Rows of operators, or of anything `aslinearoperator` takes; None stands for zero. Every row
        and every column needs one entry that is not None.

    Raises
    ------
    ValueError
        If the rows differ in length, an entry does not fit, or a row or column has no entry.
    """
    rows = [list(row) for row in grid]
    if not rows or not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("grid needs rows of one length, of at least one operator each")
    heights: list[int | None] = [None] * len(rows)
    widths: list[int | None] = [None] * len(rows[0])
    parts: list[tuple[int, int, LinearOperator]] = []
    for i, row in enumerate(rows):
        for j, entry in enumerate(row):
            if entry is None:
                continue
            a = aslinearoperator(entry, f"grid[{i}][{j}]")
            for sizes, k, size, side in (
                (heights, i, a.shape[0], "row"),
                (widths, j, a.shape[1], "column"),
            ):
                known = sizes[k]
                if known is not None and known != size:
                    raise ValueError(
                        f"grid[{i}][{j}] has shape {a.shape}, but the others of its {side} have "
                        f"{known} {side}s"
                    )
                sizes[k] = size
            parts.append((i, j, a))
    for sizes, side in ((heights, "row"), (widths, "column")):
        if None in sizes:
            raise ValueError(f"{side} {sizes.index(None)} of grid has no operator to tell its size")
    h = [s for s in heights if s is not None]
    w = [s for s in widths if s is not None]
    return LinearOperator._of(_nodes.Block(h, w, parts), (sum(h), sum(w)))
