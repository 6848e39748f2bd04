"""Linear systems of JAX functions and of other operators: solved now, traced, or called back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ritz import _nodes, _traced
from ritz._implicit import Problem, SolveFailed
from ritz._traced import Outcome
from ritz.frameworks import Framework
from ritz.operators import LinearOperator
from ritz.results import Result, Status

Array: TypeAlias = jax.Array
Function: TypeAlias = Callable[..., Array]
# What matvec, rmatvec and M close over.
Constants: TypeAlias = tuple[list[Array], list[Array], list[Array]]
NOTHING: Constants = ([], [], [])


def is_function(f: Any) -> bool:
    """Return whether `f` is a function rather than an operator that can be called."""
    return callable(f) and not hasattr(f, "shape")


@dataclass(frozen=True, eq=False, kw_only=True)
class JaxProblem(Problem):
    """A problem of JAX functions, or of an operator of another kind."""

    operator: LinearOperator | None
    matvec: Any
    rmatvec: Any
    x0: Array | None

    def closed(self, b: Array) -> tuple[JaxProblem, Constants]:
        """Return the problem with functions (x, *constants), and what they closed over."""
        functions, constants = [], []
        for f in (self.matvec, self.rmatvec, self.M):
            hoisted: list[Array] = []
            if is_function(f):
                # A new function each time: JAX keeps conversions, and what closures hold changes.
                f, hoisted = jax.closure_convert(lambda x, f=f: f(x), b)
            functions.append(f)
            constants.append(hoisted)
        matvec, rmatvec, M = functions
        return replace(self, matvec=matvec, rmatvec=rmatvec, M=M), tuple(constants)  # type: ignore[return-value]

    def product(self, like: Array, constants: Constants) -> Function:
        """Return x ↦ A x, or u ↦ Aᴴ u of the transposed problem."""
        matvec = _bind(self.matvec, constants[0])
        if not self.uses_adjoint:
            return matvec
        return _adjoint(matvec, like) if self.rmatvec is None else _bind(self.rmatvec, constants[1])

    def preconditioner(self, like: Array, constants: Constants) -> Any:
        """Return M or Mᴴ, as a function if it was one."""
        if not is_function(self.M):
            return self.M.H if self.M is not None and self.uses_adjoint else self.M
        M = _bind(self.M, constants[2])
        return _adjoint(M, like) if self.uses_adjoint else M

    def compiled(self, b: Any, constants: Constants, kind: Callable[[Any], Any]) -> Any:
        """Solve by the compiled method; `kind` makes the arrays that operators see, of NumPy's."""
        # Scaled in NumPy: XLA would flush subnormal numbers to zero.
        numbers = np.asarray(b)
        n = numbers.size
        real = np.finfo(numbers.dtype).dtype.type
        scale = real(np.max(np.abs(numbers), initial=0.0)) if self.derivative else real(1)
        if scale == 0 or n == 0:
            return numbers, Outcome(np.int32(0), np.int32(0), real(0), real(0))
        symmetric = self.self_adjoint or None
        M = self.preconditioner(b, constants)
        if is_function(M):
            M = LinearOperator((n, n), M, symmetric=symmetric, framework="jax")
        if self.operator is not None:
            A = self.operator.H if self.uses_adjoint else self.operator
        else:
            product = self.product(b, constants)
            A = LinearOperator((n, n), product, symmetric=symmetric, framework="jax")
        x0 = None if self.derivative else self.x0
        result = self.run(A, kind(numbers / scale), x0, M)
        return np.asarray(result.x) * scale, _outcome(result, scale)

    def on_host(self, b: Array, constants: Constants) -> tuple[Array, Outcome]:
        """Solve by the compiled method, for concrete arrays."""
        x, outcome = self.compiled(b, constants, jnp.asarray)
        return jnp.asarray(x), Outcome(*map(jnp.asarray, outcome))

    def in_callback(self, b: Array) -> tuple[Array, Outcome]:
        """Solve an operator of compiled code by the compiled method, when JAX has got b."""
        if any(k is None or k.name == "jax" for k in _frameworks(self.operator, self.M)):
            raise ValueError(
                "an operator of Python closures, which may be JAX functions, meets jit or vmap, "
                'where JAX would wait for itself: declare framework="numpy" if they take NumPy '
                "arrays, or pass the function itself"
            )
        if isinstance(self.x0, jax.core.Tracer):
            raise ValueError("x0 is traced; leave it out under jit and vmap")
        real = np.finfo(b.dtype).dtype.type
        numbers = [jax.ShapeDtypeStruct((), d) for d in (jnp.int32, jnp.int32, real, real)]
        like = (jax.ShapeDtypeStruct(b.shape, b.dtype), Outcome(*numbers))

        def host(b: Any) -> Any:
            try:
                return self.compiled(b, NOTHING, np.asarray)
            except SolveFailed as failure:
                return np.full(b.shape, np.nan, b.dtype), _outcome(failure.result, real(1))

        return jax.pure_callback(host, like, b, vmap_method="sequential")  # type: ignore[no-any-return]

    def traced(self, b: Array, constants: Constants) -> tuple[Array, Outcome]:
        """Solve by `lax.while_loop`s."""
        if self.method not in _traced.METHODS:
            raise ValueError(
                f"method is {self.method!r}; a JAX function under jit or vmap is solved by "
                f"{' or '.join(map(repr, _traced.METHODS))}"
            )
        given = [k for k, v in {"x0": self.x0, **self.options}.items() if v is not None]
        if given:
            raise ValueError(f"{given[0]} is not available under jit and vmap; leave it out")
        if self.M is not None and not is_function(self.M):
            raise ValueError("M is no JAX function; pass one under jit and vmap")

        def solve(problem: JaxProblem, b: Array) -> tuple[Array, Outcome]:
            x, outcome = _traced.METHODS[self.method](
                problem.product(b, constants),
                b,
                problem.rtol,
                problem.atol,
                self.maxiter,
                problem.preconditioner(b, constants),
            )
            if problem.runs is not None:
                jax.debug.callback(problem.runs.append, outcome)
            if self.check:
                x = x * jnp.where(outcome.status == Status.converged, 1, jnp.nan)
            return x, outcome

        def transpose_solve(_: Function, g: Array) -> tuple[Array, Outcome]:
            x, outcome = solve(self.for_derivative(not self.transposed), g.conj())
            return x.conj(), outcome

        return lax.custom_linear_solve(  # type: ignore[no-any-return]
            self.product(b, constants),
            b,
            lambda _, b: solve(self, b),
            transpose_solve,
            symmetric=self.self_adjoint and not jnp.iscomplexobj(b),
            has_aux=True,
        )


def _outcome(r: Result, scale: Any) -> Outcome:
    real = type(scale)
    numbers = real(r.residual * scale), real(r.target * scale)
    return Outcome(np.int32(r.status), np.int32(r.iterations), *numbers)


def _bind(f: Function, constants: list[Array]) -> Function:
    return (lambda x: f(x, *constants)) if constants else f


def _adjoint(f: Function, like: Array) -> Function:
    transpose = jax.linear_transpose(f, like)
    return lambda u: transpose(u.conj())[0].conj()


def _frameworks(*operators: Any) -> Iterator[Framework | None]:
    """Yield the framework of each Python closure in operators."""
    for a in operators:
        if isinstance(a, LinearOperator):
            if isinstance(a._node, _nodes.Closures):
                yield a._node.framework
            yield from _frameworks(*a._node.operands)
        elif a is not None:
            yield None
