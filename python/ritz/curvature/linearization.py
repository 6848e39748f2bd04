"""One point of a function: its value there, and products with its Jacobian, as many as wanted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ritz.curvature.closures import Closures
from ritz.curvature.operator import Options, forming, refuse_random
from ritz.curvature.parameters import Parameters, StaleError
from ritz.operators import LinearOperator
from ritz.results import Counts
from ritz.trees import Structure

__all__ = ["Linearization", "jacobian", "linearize"]

# What was measured at earlier points of a function, for its later ones.
_measured: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()


class Linearization:
    """z = f(x) at a fixed point x, and products with its Jacobian J (m, n).

    Made by `ritz.linearize`. n is the number of elements of x, m that of z.

    Attributes
    ----------
    value : array
        z, of the framework of x, without gradients.
    structure : Structure
        Of x.
    how : str
        How products are formed now: "graph", "trace" or "recompute" in torch, "compiled" in JAX,
        "closures" where they are given.
    bytes : int
        Memory kept between products, without x itself.
    counts : Counts
        Products made so far: J v, Jᵀ u, and columns in blocks.
    jacobian : LinearOperator
        J as an operator on flat vectors and on trees like x.

    Notes
    -----
    Every product looks whether x has been written into since, and raises `StaleError` if it has;
    that reads x once. Vectors are of the framework of x, or of NumPy, and of the dtype of x.
    """

    def __init__(self, parameters: Parameters, products: Any) -> None:
        self._parameters = parameters
        self._products = products
        self._mark = parameters.fingerprint()
        self._matvec = self._rmatvec = self._columns = 0
        self.structure = parameters.structure
        self.value = products.value
        self._outputs = Structure.of(products.value)

    def __repr__(self) -> str:
        m, n = self._outputs.size, self.structure.size
        return f"<Linearization of {n} → {m} elements, by {self.how}, {self.bytes} bytes kept>"

    @property
    def how(self) -> str:
        """How products are formed now."""
        how: str = self._products.how
        return how

    @property
    def bytes(self) -> int:
        """Memory kept between products."""
        kept: int = self._products.bytes
        return kept

    @property
    def counts(self) -> Counts:
        """Products made so far."""
        return Counts(self._matvec, self._rmatvec, self._columns)

    def jvp(self, v: Any) -> Any:
        """Return J v, of the shape of z.

        Parameters
        ----------
        v : tree like x, or array (n,)

        Raises
        ------
        StaleError
            If x was written into since.
        TypeError, ValueError
            If v does not fit x, by the name of the leaf that does not.
        """
        return self._jvp(self._vector(v, self.structure, "v"))

    def vjp(self, u: Any) -> Any:
        """Return Jᵀ u, a tree like x.

        Parameters
        ----------
        u : array of the shape of z, or (m,)

        Raises
        ------
        StaleError, TypeError, ValueError
            As for `jvp`.
        """
        structure = self.structure
        return structure.tree(structure.split(self._vjp(self._vector(u, self._outputs, "u"))))

    def jvp_block(self, V: Any) -> Any:
        """Return J V, of shape `(k, *z.shape)`, for V (n, k)."""
        V = self._block(V, (self.structure.size, -1), "V")
        self._columns += V.shape[1]
        return self._products.jvp_block(V)

    def vjp_block(self, U: Any) -> Any:
        """Return Jᵀ U (n, k) for U of shape `(k, *z.shape)`."""
        U = self._block(U, (-1, *self._outputs.shapes[0]), "U")
        self._columns += U.shape[0]
        return self._products.vjp_block(U)

    def _jvp(self, v: Any) -> Any:
        self._require_fresh()
        self._matvec += 1
        return self._products.jvp(v)

    def _vjp(self, u: Any) -> Any:
        self._require_fresh()
        self._rmatvec += 1
        return self._products.vjp(u.reshape(self._outputs.shapes[0]))

    def _require_fresh(self) -> None:
        if self._parameters.is_module:
            refuse_random(self._parameters.source, "")
        if self._parameters.fingerprint() != self._mark:
            raise StaleError(
                "x has moved since f was linearized there; call ritz.linearize again at the new x"
            )

    def _vector(self, v: Any, structure: Structure, name: str) -> Any:
        """Return a tree or a flat vector as a flat one of the framework."""
        framework = structure.framework
        if structure.holds(v):
            return self._of_dtype(
                structure.join([framework.detached(leaf) for leaf in structure.leaves(v)]), name
            )
        if not hasattr(v, "shape"):
            raise TypeError(f"{name} is {v!r}; pass {self._wanted(structure)}")
        return self._of_dtype(framework.detached(structure.native(v)), name)

    def _wanted(self, structure: Structure) -> str:
        return f"an array ({structure.size},), or one with the structure of {structure!r}"

    def _of_dtype(self, v: Any, name: str) -> Any:
        came = str(v.dtype).removeprefix("torch.")
        if came != str(self.structure.dtype):
            raise TypeError(f"{name} has dtype {came}; x has {self.structure.dtype}: cast {name}")
        return v

    def _block(self, block: Any, wanted: tuple[int, ...], name: str) -> Any:
        self._require_fresh()
        shape = tuple(getattr(block, "shape", ()))
        if len(shape) != len(wanted) or any(
            w not in (-1, s) for w, s in zip(wanted, shape, strict=True)
        ):
            text = ", ".join("k" if w == -1 else str(w) for w in wanted)
            raise ValueError(f"{name} has shape {shape}; pass an array of shape ({text})")
        framework = self.structure.framework
        if not isinstance(block, framework.type):
            block = framework.over(block)
        return self._of_dtype(
            framework.moved(framework.detached(block), self.structure.device), name
        )

    @property
    def jacobian(self) -> LinearOperator:
        """J as an operator (m, n); products through it are counted by both."""
        return _Jacobian(self)


class _Jacobian(LinearOperator):
    def __init__(self, linearization: Linearization) -> None:
        lin, structure = linearization, linearization.structure
        m, n = lin._outputs.size, structure.size

        def back(y: Any, v: Any) -> Any:
            """Return the product of v where the core gave v."""
            return y if structure.device is None else y.to(v.device)

        def columns(Z: Any, V: Any) -> Any:
            return back(Z.reshape(len(Z), m).T, V)

        def unflattened(U: Any) -> Any:
            return U.T.reshape(U.shape[1], *lin._outputs.shapes[0])

        super().__init__(
            (m, n),
            lambda v: back(lin._jvp(structure.native(v)).reshape(m), v),
            lambda u: back(lin._vjp(lin._outputs.native(u)), u),
            lambda V: columns(lin.jvp_block(V), V),
            structure.dtype,
            lambda U: back(lin.vjp_block(unflattened(U)), U),
            framework=structure.framework,
            domain=structure,
            codomain=lin._outputs,
        )
        self.linearization = lin


def linearize(
    f: Callable[..., Any] | Closures,
    x: Any,
    *,
    jvp: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    linearize: str = "auto",
    memory_budget: int | None = None,
) -> Linearization:
    """Linearise f at x: f(x + v) ≈ z + J v, once, for many products.

    Parameters
    ----------
    f : callable or Closures
        x ↦ z, one array of any shape. Pure, and without random numbers.
    x : tree of arrays, array or torch.nn.Module
        float32 or float64, of torch, JAX or NumPy. A module stands for its trainable parameters,
        and f is called with a module.
    jvp, vjp : callable, optional
        (x, v) ↦ J v and (x, u) ↦ Jᵀ u, v like x and u like z: instead of automatic
        differentiation, and needed for NumPy.
    linearize : {"auto", "graph", "trace", "recompute"}
        How torch forms products. "graph" keeps the record of Jᵀ as a function of its argument;
        "trace" keeps a list of the operations of forward mode; "recompute" keeps nothing. "auto"
        begins with the graph, tries a trace when products have cost as much as it does, and keeps
        the faster.
    memory_budget : int, optional
        Bytes that may be kept between products; over it, nothing is. A quarter of the free memory
        by default.

    Returns
    -------
    Linearization
        With `value`, `jvp`, `vjp`, blocks of them, and `jacobian`.

    Raises
    ------
    TypeError, ValueError
        If x is no tree of arrays of one framework and dtype, if f does not return one array, if
        NumPy arrays come without `jvp` and `vjp`, or if a module has layers that are random or
        depend on the batch.

    Notes
    -----
    Cost: torch evaluates f and its gradient once ("graph"), f with one tangent ("trace"), or f
    alone. A product with J then costs about half a gradient, and one with Jᵀ as much again.
    """
    if jvp is not None or vjp is not None:
        if isinstance(f, Closures):
            raise TypeError("jvp and vjp are given beside Closures, which have their own")
        f = Closures(f, jvp, vjp)
    if not isinstance(f, Closures) and not callable(f):
        raise TypeError(f"f is {f!r}; pass a function of x, or ritz.Closures")
    options = Options(linearize=linearize, memory_budget=memory_budget)
    parameters = Parameters(x)
    if parameters.is_module:
        refuse_random(x, "")
    function, args = (
        (f, ()) if isinstance(f, Closures) else (parameters.bind(f), (parameters.constants,))
    )
    products = forming(parameters.structure, f).linearize(
        function,
        parameters.structure,
        parameters.leaves,
        args,
        how=options.linearize,
        budget=options.budget,
        memory=_memory_of(f),
    )
    return Linearization(parameters, products)


def jacobian(
    f: Callable[..., Any] | Closures,
    x: Any,
    *,
    jvp: Callable[..., Any] | None = None,
    vjp: Callable[..., Any] | None = None,
    linearize: str = "auto",
    memory_budget: int | None = None,
) -> LinearOperator:
    """Return the Jacobian J of f at x as an operator (m, n).

    The parameters are those of `ritz.linearize`. `.linearization` of the result is where its
    products come from. `J @ v` takes a flat vector or a tree like x, `J.T @ u` a flat vector or an
    array like f(x), and what comes out is flat where what went in is.
    """
    return _linearize(
        f, x, jvp=jvp, vjp=vjp, linearize=linearize, memory_budget=memory_budget
    ).jacobian


_linearize = linearize  # the parameter has its name


def _memory_of(f: Any) -> dict[Any, Any]:
    try:
        return _measured.setdefault(f, {})
    except TypeError:  # cannot be hashed, or has no weak references
        return {}
