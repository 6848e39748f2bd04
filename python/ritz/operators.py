"""Linear operators: what they are, their products and their algebra.

An operator here is a description. A solver binds it for the element type and the array framework of
its run, which makes compiled nodes out of it; products are counted by those nodes.
"""

from __future__ import annotations

import numbers
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _conversion, _nodes, _selection
from ritz._nodes import Binding, Closure
from ritz.frameworks import Framework
from ritz.frameworks.cuda import on_device
from ritz.frameworks.numpy import NUMPY
from ritz.results import Counts
from ritz.trees import Structure

__all__ = ["LinearOperator", "aslinearoperator"]


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
        The kind of array that the closures take, whatever vectors come. None: that of `domain` if
        it is of torch or JAX, else that of the vectors.
    domain, codomain : Structure or tree of arrays, optional
        What x and A x are as trees, for example a model's parameters; see `ritz.trees.Structure`.
        The closures take flat vectors all the same. For a symmetric A one stands for both.
    capturable : bool
        On a device, the closures queue the same kernels on the current stream every time during a
        solve: for each pair of vectors they are called twice, recorded by the second call, and
        replayed with the method's own kernels from then on, without Python. What they decide on
        the host is decided for good; they must not wait for the device. Without effect on the host.

    Notes
    -----
    `A @ x` and `A.T @ u` take vectors and 2-d blocks of NumPy, torch and JAX and return the same
    kind; with a `domain` and a `codomain` they take such trees as well and return trees, and so do
    the solvers. Operators combine by `+`, `-`, `*` with scalars, `@`, `**`, `.T`, `.H`,
    `A + mu` (μ I added), `.damped(lam)`, `A[rows, cols]` and `ritz.block`. `.counts` are the
    products made so far.

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
    domain: Structure | None
    codomain: Structure | None

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
        domain: Any = None,
        codomain: Any = None,
        capturable: bool = False,
    ) -> None:
        m, n = _arrays.shape_pair(shape)
        functions = (matvec, rmatvec, matmat, rmatmat)
        _conversion.check_closures(_conversion.METHODS, functions)
        if matvec is None and matmat is None:
            raise TypeError("matvec is missing; pass a function x -> A x, or matmat")
        if symmetric and m != n:
            raise ValueError(f"symmetric is True, but the shape is {(m, n)}; only a square one can")
        if symmetric and rmatvec is None and rmatmat is None:
            functions = (matvec, matvec, matmat, matmat)
        self._set_closures(
            (m, n), functions, dtype, framework, out, "", domain, codomain, symmetric, capturable
        )

    def _set_closures(
        self,
        shape: tuple[int, int],
        functions: _conversion.Functions,
        dtype: Any,
        framework: str | Framework | None,
        out: bool,
        name: str,
        domain: Any,
        codomain: Any,
        symmetric: bool | None = None,
        capturable: bool = False,
    ) -> None:
        domain = _structure(domain, "domain", shape[1])
        codomain = _structure(codomain, "codomain", shape[0])
        if symmetric:
            domain, codomain = domain or codomain, codomain or domain
        if framework is None and domain is not None and domain.framework is not NUMPY:
            framework = domain.framework
        node = _conversion.node_of_closures(
            shape, functions, dtype, framework, bool(out), name, bool(capturable)
        )
        self._set(node, shape, symmetric, domain, codomain)

    def _set(
        self,
        node: _nodes.Node,
        shape: tuple[int, int],
        symmetric: bool | None = None,
        domain: Structure | None = None,
        codomain: Structure | None = None,
    ) -> None:
        self._node = node
        self._counter = _nodes.Counter()
        self.shape = shape
        self.symmetric = symmetric
        self.domain = domain
        self.codomain = codomain

    @staticmethod
    def _of(
        node: _nodes.Node,
        shape: tuple[int, int],
        symmetric: bool | None = None,
        domain: Structure | None = None,
        codomain: Structure | None = None,
    ) -> LinearOperator:
        self = LinearOperator.__new__(LinearOperator)
        self._set(node, shape, symmetric, domain, codomain)
        return self

    def _like(self, node: _nodes.Node, symmetric: bool | None) -> LinearOperator:
        return LinearOperator._of(node, self.shape, symmetric, self.domain, self.codomain)

    def _swapped(self, node: _nodes.Node, symmetric: bool | None = None) -> LinearOperator:
        m, n = self.shape
        return LinearOperator._of(node, (n, m), symmetric, self.codomain, self.domain)

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
        from ritz._device import flat_on_device, product_on_device

        into, outof = (self.domain, self.codomain) if adjoint else (self.codomain, self.domain)
        tree = outof is not None and outof.holds(x)
        x = flat_on_device(outof, x)
        if on_device(x):
            y = product_on_device(self, x, adjoint, what)
            return into.unflatten(y) if tree and into is not None else y
        if outof is not None:
            x = outof.flat(x)
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
        return into.unflatten(y) if tree and into is not None else framework.from_numpy(y)

    def _times(self, right: LinearOperator) -> LinearOperator:
        return LinearOperator._of(
            _nodes.Product(self, right),
            (self.shape[0], right.shape[1]),
            domain=right.domain,
            codomain=self.codomain,
        )

    def __matmul__(self, other: Any) -> Any:
        if isinstance(other, LinearOperator) or _conversion.is_operator(other):
            return self._times(aslinearoperator(other, "the right operand"))
        return self._apply(other, False)

    def __rmatmul__(self, other: Any) -> Any:
        if _conversion.is_operator(other):
            return aslinearoperator(other, "the left operand")._times(self)
        if self.codomain is not None and self.codomain.holds(other):
            return self.T._apply(other, False)
        if not hasattr(other, "ndim"):
            other = np.asarray(other)
        x = other if other.ndim == 1 else other.T
        y = self.T._apply(x, False)
        return y if y.ndim == 1 else y.T

    dot = __matmul__

    def matvec(self, x: Any) -> Any:
        """Return A x for x of shape (n,) or (n, 1), or a tree of the domain."""
        return self._apply(x, False)

    def rmatvec(self, x: Any) -> Any:
        """Return Aᴴ x for x of shape (m,) or (m, 1), or a tree of the codomain."""
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

    def to_scipy(self) -> Any:
        """Return A as a `scipy.sparse.linalg.LinearOperator`, for NumPy vectors.

        Its products are those of A and counted there; closures that take torch or JAX arrays and
        say so get them. SciPy asks for one dtype: float64 where any will do.
        """
        from scipy.sparse.linalg import LinearOperator as ScipyOperator

        return ScipyOperator(
            self.shape,
            matvec=self.matvec,
            rmatvec=self.rmatvec,
            matmat=self.matmat,
            rmatmat=self.rmatmat,
            dtype=self.dtype,
        )

    # ---------------------------------------------------------------------------------- algebra

    @property
    def H(self) -> LinearOperator:
        """The adjoint Aᴴ."""
        if self.symmetric:
            return self
        if type(self._node) is _nodes.Adjoint:
            return self._node.operands[0]
        return self._swapped(_nodes.Adjoint(self))

    @property
    def T(self) -> LinearOperator:
        """The transpose Aᵀ."""
        if type(self._node) is _nodes.Transpose:
            return self._node.operands[0]
        return self._swapped(_nodes.Transpose(self), self.symmetric)

    def adjoint(self) -> LinearOperator:
        """Return Aᴴ."""
        return self.H

    def transpose(self) -> LinearOperator:
        """Return Aᵀ."""
        return self.T

    def shifted(self, mu: complex) -> LinearOperator:
        """Return A + μ I."""
        c = _scalar(mu, "mu")
        return self._like(_nodes.Shifted(self, c), self.symmetric if c.imag == 0.0 else None)

    def damped(self, lam: complex) -> LinearOperator:
        """Return [A; λ I], of shape (m + n, n), the operator of min ‖A x − b‖² + λ² ‖x‖²."""
        m, n = self.shape
        one = LinearOperator._of(_nodes.Identity(n, None), (n, n), True)
        parts = [(0, 0, self), (1, 0, _scalar(lam, "lam") * one)]
        node = _nodes.Block([m, n], [n], parts)
        return LinearOperator._of(node, (m + n, n), domain=self.domain)

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
            self.require_square(f"adding {other!r} times the identity")
            return self.shifted(sign * complex(other))
        b = aslinearoperator(other, "the other operand")
        return LinearOperator._of(
            _nodes.Sum(self, b, sign),
            self.shape,
            (self.symmetric and b.symmetric) or None,
            self.domain or b.domain,
            self.codomain or b.codomain,
        )

    def __mul__(self, other: Any) -> LinearOperator:
        if not _is_scalar(other):
            raise TypeError(
                "operators are multiplied by scalars with *, by operators and arrays with @"
            )
        c = complex(other)
        return self._like(_nodes.Scaled(self, c), self.symmetric if c.imag == 0.0 else None)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> LinearOperator:
        return self * (1.0 / _scalar(other, "the divisor"))

    def __neg__(self) -> LinearOperator:
        return self * -1.0

    def __pow__(self, k: Any) -> LinearOperator:
        if not hasattr(k, "__index__") or k < 0:
            raise ValueError(f"the power is {k!r}; pass an integer of at least 0")
        self.require_square("a power")
        k = operator.index(k)
        if k == 0:
            one = _nodes.Identity(self.shape[0], self._node.dtype)
            return self._like(one, True)
        power = self
        for bit in f"{k:b}"[1:]:
            power = power._times(power)
            if bit == "1":
                power = power._times(self)
        if k > 1:
            power.symmetric = self.symmetric or None
        return power

    def __getitem__(self, key: Any) -> LinearOperator:
        """Return A[rows, cols], the operator of those rows and columns.

        Rows and columns are selected each by their own, by a slice, an array of ints, a boolean
        mask, or an int, which keeps its axis: A[2, :] has shape (1, n). One product of A each, and
        a vector of length m and one of n.
        """
        m, n = self.shape
        rows_, cols_ = _selection.pair(key)
        rows = _selection.index_of(rows_, m, "rows")
        cols = _selection.index_of(cols_, n, "columns")
        selected = self
        if cols is not None:
            selected = selected._times(_restriction(cols, n).T)
        if rows is not None:
            selected = _restriction(rows, m)._times(selected)
        if selected is not self and _selection.same(rows, cols):
            selected.symmetric = self.symmetric or None
        return selected


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


def _structure(value: Any, name: str, size: int) -> Structure | None:
    if value is None:
        return None
    structure = value if isinstance(value, Structure) else Structure.of(value)
    if structure.size != size:
        raise ValueError(f"{name} is {structure!r}; this shape needs one of {size} elements")
    return structure


def _restriction(index: _selection.Index, size: int) -> LinearOperator:
    node = _selection.Restriction(index, size)
    return LinearOperator._of(node, node.shape)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, numbers.Number) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "biufc"
    )


def _scalar(value: Any, name: str) -> complex:
    if not _is_scalar(value):
        raise TypeError(f"{name} is {value!r}; pass a number")
    return complex(value)


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
    return LinearOperator._of(*_conversion.node_of(obj, name))
