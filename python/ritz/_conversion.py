"""What arrays, sparse matrices, closures and foreign operators become: nodes of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ritz import _arrays, _nodes
from ritz._nodes import Closure
from ritz.frameworks import Framework
from ritz.frameworks.numpy import NUMPY

METHODS = ("matvec", "rmatvec", "matmat", "rmatmat")

Shape = tuple[int, int]
Functions = tuple[Closure | None, Closure | None, Closure | None, Closure | None]


def check_closures(names: Sequence[str], functions: Sequence[Any]) -> None:
    """Raise TypeError for anything but functions and None."""
    for name, f in zip(names, functions, strict=True):
        if f is not None and not callable(f):
            raise TypeError(f"{name} is {f!r}; pass a function of one vector")


def is_sparse(obj: Any) -> bool:
    """Whether `obj` is a matrix or array of scipy.sparse."""
    return hasattr(obj, "tocsr") and hasattr(obj, "nnz")


def is_operator(obj: Any) -> bool:
    """Whether an operand of @ is an operator rather than an array of vectors."""
    return is_sparse(obj) or callable(getattr(obj, "matvec", None))


def node_of_closures(
    shape: Shape,
    functions: Functions,
    dtype: Any,
    framework: str | Framework | None,
    out: bool = False,
    name: str = "",
    capturable: bool = False,
) -> _nodes.Closures:
    """Return the node of closures; a dtype or a function can tell whose arrays they take."""
    kind = None if framework is None else _arrays.framework_named(framework)
    if kind is None and dtype is not None:
        kind = _arrays.framework_of_dtype(dtype)
    if kind is None:
        kind = next((k for f in functions if (k := _arrays.framework_of_function(f))), None)
    element = None if dtype is None else _arrays.element_type(dtype, "dtype")
    return _nodes.Closures(shape, functions, element, kind, out, name, capturable)


def node_of(obj: Any, name: str) -> tuple[_nodes.Node, Shape]:
    """Return the node and the shape of anything that `aslinearoperator` takes."""
    if is_sparse(obj):
        return _of_sparse(obj, name)
    framework = _arrays.framework_of(obj, name)
    if isinstance(obj, framework.type):
        return _of_array(obj, framework, name)
    if hasattr(obj, "shape") and not isinstance(obj, type):
        return _of_object(obj, framework, name)
    if callable(obj):
        raise TypeError(
            f"{name} is a function; say what shape it has: "
            f"ritz.LinearOperator((m, n), matvec={getattr(obj, '__name__', 'f')})"
        )
    raise TypeError(
        f"{name} is {framework.describe(obj)}; pass a 2-d array, a sparse matrix, a "
        "ritz.LinearOperator, or an object with shape and matvec"
    )


def _of_sparse(obj: Any, name: str) -> tuple[_nodes.Node, Shape]:
    shape = _arrays.shape_pair(obj.shape, f"{name}.shape")
    if getattr(obj, "format", None) not in ("csr", "csc"):
        obj = obj.tocsr()
    dtype = _arrays.element_type(obj.dtype, name)
    values = obj.data if obj.data.dtype == dtype else obj.data.astype(dtype)
    return _nodes.Sparse(obj.format, shape, obj.indptr, obj.indices, values), shape


def _of_array(obj: Any, framework: Framework, name: str) -> tuple[_nodes.Node, Shape]:
    # NumPy matrices go with the vectors of any framework.
    own = None if framework is NUMPY else framework
    if framework.name == "torch":
        from ritz.frameworks.torch import csr_parts

        parts = csr_parts(obj, name)
        if parts is not None:
            indptr, indices, values = parts
            values = values.astype(_arrays.element_type(values.dtype, name), copy=False)
            shape = _arrays.shape_pair(obj.shape)
            return _nodes.Sparse("csr", shape, indptr, indices, values, own), shape
    a, _ = _arrays.array(obj, name)
    if a.ndim != 2:
        raise ValueError(
            f"{name} has shape {a.shape}; an operator needs a 2-d array "
            "(ritz.diagonal makes one of a vector)"
        )
    return _nodes.Dense(a, own), (a.shape[0], a.shape[1])


def _of_object(obj: Any, framework: Framework, name: str) -> tuple[_nodes.Node, Shape]:
    shape = _arrays.shape_pair(obj.shape, f"{name}.shape")
    functions: dict[str, Closure | None] = {}
    for method in METHODS:
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
    given = (functions["matvec"], functions["rmatvec"], functions["matmat"], functions["rmatmat"])
    node = node_of_closures(
        shape,
        given,
        None if dtype is None else _arrays.element_type(dtype, name),
        None if framework is NUMPY else framework,
    )
    return node, shape
