"""Linear solves that JAX differentiates: with respect to b and to what the operator closes over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ritz import _traced
from ritz._implicit import Account, SolveFailed, settings
from ritz._implicit_jax import NOTHING, Constants, JaxProblem, is_function
from ritz._traced import Outcome
from ritz.frameworks.jax import _trace_state_clean as trace_state_clean
from ritz.operators import aslinearoperator

__all__ = ["Account", "Outcome", "SolveFailed", "solve"]

Array: TypeAlias = jax.Array


def solve(
    matvec: Any,
    b: Array,
    *,
    method: str = "cg",
    rmatvec: Callable[..., Array] | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    adjoint_rtol: float | None = None,
    maxiter: int | None = None,
    x0: Array | None = None,
    M: Any = None,
    check: bool = True,
    account: Account | None = None,
    return_outcome: bool = False,
    **options: Any,
) -> Any:
    """Solve A x = b such that JAX can differentiate x with respect to b and all that A closes over.

    Parameters
    ----------
    matvec : callable, array (n, n) or operator
        x (n,) ↦ A x (n,), a JAX function and best a compiled one; what it closes over, tracers
        included, is found. Or a JAX array; or an operator of compiled code, SciPy or NumPy
        (`ritz.native_operator`, `ritz.LinearOperator(..., framework="numpy")`), which is a constant
        to derivatives.
    b : array (n,)
        float32, float64, complex64 or complex128.
    method : str
        A method of ritz for square systems: "cg", and "minres", "gmres" and others as there are.
        JAX functions under `jit`, `vmap` and in forward mode: "cg" or "bicgstab".
    rmatvec : callable, optional
        u (n,) ↦ Aᴴ u (n,), for methods that do not need A = Aᴴ. None: derived by JAX.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol).
    adjoint_rtol : float, optional
        The same for the solves with Aᴴ, without `atol`; `rtol` by default. Tangents under `jit`
        are solved to `rtol`.
    maxiter : int, optional
        The method's own default if None.
    x0 : array (n,), optional
        A first guess; outside of `jit` and `vmap` only.
    M : callable or operator (n, n), optional
        The method's preconditioner, a constant to derivatives; a JAX function under `jit`.
    check : bool
        False returns what a solve that does not converge reached, and its wrong gradients.
    account : Account, optional
        Receives a `ritz.Result` of each forward and adjoint solve, or an `Outcome` of those under
        `jit`, once they have run.
    return_outcome : bool
        Return (x, Outcome): status, iterations, residual and target as arrays.
    **options
        Passed to the method, except for those that change the system; outside of `jit` and `vmap`
        only.

    Returns
    -------
    array (n,), or (array, Outcome)

    Raises
    ------
    SolveFailed
        A forward or adjoint solve did not converge; it carries the result. Where values are traced
        and nothing can be raised, the solution is NaN instead.
    ValueError
        The adjoint is none, where ⟨λ, b⟩ = ⟨g, x⟩ shows it (outside of `jit`); or the arguments ask
        for what tracing cannot do.

    Notes
    -----
    Outside of `jit` and `vmap` the compiled methods run, with a `custom_vjp` around them: reverse
    mode, of any order. A JAX function under `jit`, `vmap` or `jvp` is solved by `lax.while_loop`s
    within `lax.custom_linear_solve`: both modes, of any order. An operator under `jit` is solved by
    the compiled methods through `jax.pure_callback`, one column after the other under `vmap`:
    reverse mode. Cotangents are scaled to magnitude one before they are solved for, and zero ones
    cost no solve. A must be regular.
    """
    given = settings(method, rtol, atol, adjoint_rtol, maxiter, options)
    b = jnp.asarray(b)
    if not jnp.issubdtype(b.dtype, jnp.inexact):
        raise TypeError(f"b has dtype {b.dtype}; pass real or complex numbers: b.astype(float)")
    if b.ndim != 1:
        raise ValueError(f"b has shape {b.shape}; pass (n,), and use jax.vmap for more")
    if isinstance(matvec, jax.Array):
        matvec = partial(jnp.matmul, matvec)
    native = not is_function(matvec)
    if native and rmatvec is not None:
        raise TypeError("rmatvec is given beside an operator, which brings its own; leave it out")
    problem = JaxProblem(
        operator=aslinearoperator(matvec, "matvec") if native else None,
        matvec=None if native else matvec,
        rmatvec=rmatvec,
        M=M if M is None or is_function(M) else aslinearoperator(M, "M"),
        x0=None if x0 is None else lax.stop_gradient(x0),
        check=check,
        account=account,
        **given,
    )
    if trace_state_clean():
        x, outcome = problem.on_host(b, NOTHING)
    else:
        converted, constants = problem.closed(b)
        if native or _only_reverse(method):
            x, outcome = _solve(converted, b, constants)
        else:
            x, outcome = converted.traced(b, constants)
    return (x, outcome) if return_outcome else x


def _only_reverse(method: str) -> bool:
    """Whether values are known here, in spite of a transformation: it can only be reverse mode."""
    passed = ["LinearizeTrace"]
    if method not in _traced.METHODS:  # forward mode is out of the question
        passed.append("JVPTrace")
    trace = getattr(getattr(sys.modules.get("jax._src.core"), "trace_ctx", None), "trace", None)
    while type(trace).__name__ in passed:
        trace = getattr(trace, "parent_trace", None)
    return type(trace).__name__ == "EvalTrace"


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _solve(problem: JaxProblem, b: Array, constants: Constants) -> tuple[Array, Outcome]:
    if trace_state_clean():
        return problem.on_host(b, constants)
    return problem.traced(b, constants) if problem.operator is None else problem.in_callback(b)


def _forward(problem: JaxProblem, b: Array, constants: Constants) -> Any:
    x, outcome = _solve(problem, b, constants)
    return (x, outcome), (x, b, constants)


def _backward(problem: JaxProblem, kept: Any, cotangents: Any) -> tuple[Array, Any]:
    x, b, constants = kept
    g = cotangents[0].conj()
    multiplier, _ = _solve(problem.for_derivative(not problem.transposed), g, constants)
    if trace_state_clean():
        problem.check_pair(*map(np.asarray, (x, b, multiplier, g)))
    multiplier = multiplier.conj()
    if problem.operator is not None:
        return multiplier, jax.tree.map(jnp.zeros_like, constants)
    pull = jax.vjp(lambda c: problem.product(x, c)(x), constants)[1]
    return multiplier, pull(-multiplier)[0]


_solve.defvjp(_forward, _backward)
