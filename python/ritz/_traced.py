"""Solvers in pure `lax` control flow, for operators that JAX is tracing.

The recurrences, endings and status codes are those of the compiled methods. Each runs in cycles: a
recurrence from the true residual until it claims to be done, then the true residual again. b and
A b are scaled to magnitude one first, so that squares stay in range whatever the units: for one
product more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from ritz.results import Status

__all__ = ["METHODS", "Outcome"]

Array: TypeAlias = jax.Array
Operator: TypeAlias = Callable[[Array], Array]

_RUNNING = -1


class Outcome(NamedTuple):
    """How a solve ended, in arrays: a `ritz.Status`, iterations, ‖b − A x‖ and its target."""

    status: Array
    iterations: Array
    residual: Array
    target: Array


def _dot(x: Array, y: Array) -> Array:
    return jnp.vdot(x, y).real


def _norm(x: Array) -> Array:
    return jnp.sqrt(_dot(x, x))


def _size(x: Array) -> Array:
    """Return the magnitude of a vector, or 1 where that cannot scale it."""
    s = jnp.max(jnp.abs(x), initial=0.0)
    # XLA takes subnormal numbers for zero.
    return jnp.where((s >= jnp.finfo(s.dtype).tiny) & jnp.isfinite(s), s, 1)


def _first(*cases: tuple[Any, int]) -> Array:
    """Return the status of the first case that holds; that the run goes on, if none does."""
    status = jnp.asarray(_RUNNING, jnp.int32)
    for holds, ending in reversed(cases):
        status = jnp.where(holds, jnp.int32(ending), status)
    return status


def _in_cycles(
    cycle: Callable[..., tuple[Array, Array, Array]],
    A_: Operator,
    b: Array,
    rtol: float,
    atol: float,
    maxiter: int | None,
    M_: Operator | None,
) -> tuple[Array, Outcome]:
    """Repeat cycles (A, M, x, r, target, k, limit) ↦ (x, k, status) until one keeps its claim."""
    limit = 10 * b.size if maxiter is None else maxiter
    scale = _size(b)
    b = b / scale
    unit = _size(A_(b))
    unit_m = 1.0 if M_ is None else _size(M_(b))
    norm = _norm(b)
    target = jnp.maximum(rtol * norm, atol / scale).astype(norm.dtype)

    def A(x: Array) -> Array:
        return A_(x) / unit

    def M(r: Array) -> Array:
        return r if M_ is None else M_(r) / unit_m

    def body(state: Any) -> Any:
        x, r, residual, checked, k, _ = state
        x, k, status = cycle(A, M, x, r, target, k, limit)
        r = b - A(x)
        residual = _norm(r)
        # As in the compiled methods: a restart that does not halve the residual was the last.
        judged = _first(
            (~jnp.isfinite(residual), Status.nonfinite),
            (residual <= target, Status.converged),
            (status != _RUNNING, status),
            (residual > 0.5 * checked, Status.precision_limit),
        )
        return x, r, residual, residual, k, judged

    start = _first((~jnp.isfinite(norm), Status.nonfinite), (norm <= target, Status.converged))
    state = (jnp.zeros_like(b), b, norm, jnp.full_like(norm, jnp.inf), jnp.int32(0), start)
    x, _, residual, _, k, status = lax.while_loop(lambda s: s[-1] == _RUNNING, body, state)
    return x / unit * scale, Outcome(status, k, residual * scale, target * scale)


def cg(
    A: Operator, b: Array, rtol: float, atol: float, maxiter: int | None, M: Operator | None
) -> tuple[Array, Outcome]:
    """Solve A x = b for Hermitian positive definite A by conjugate gradients."""

    def cycle(
        A: Operator, M: Operator, x: Array, r: Array, target: Array, k: Array, limit: int
    ) -> tuple[Array, Array, Array]:
        def body(state: Any) -> Any:
            x, r, p, rz, k, _ = state
            q = A(p)
            pq = _dot(p, q)
            alpha = jnp.where(pq > 0, rz / pq, 0)
            x, r = x + alpha * p, r - alpha * q
            z = M(r)
            rz_next = _dot(r, z)
            p = z + rz_next / rz * p
            status = _first(
                (~jnp.isfinite(pq), Status.nonfinite),
                (pq <= 0, Status.negative_curvature),
                (~jnp.isfinite(rz_next), Status.nonfinite),
                ((rz_next <= 0) & (_norm(r) > 0), Status.indefinite_preconditioner),
            )
            return x, r, p, rz_next, k + (status != Status.negative_curvature), status

        z = M(r)
        rz = _dot(r, z)
        status = _first(
            (~jnp.isfinite(rz), Status.nonfinite), (rz <= 0, Status.indefinite_preconditioner)
        )
        x, r, _, _, k, status = lax.while_loop(
            lambda s: (s[-1] == _RUNNING) & (_norm(s[1]) > target) & (s[-2] < limit),
            body,
            (x, r, z, rz, k, status),
        )
        out = (status == _RUNNING) & (_norm(r) > target)
        return x, k, jnp.where(out, jnp.int32(Status.max_iterations), status)

    return _in_cycles(cycle, A, b, rtol, atol, maxiter, M)


def bicgstab(
    A: Operator, b: Array, rtol: float, atol: float, maxiter: int | None, M: Operator | None
) -> tuple[Array, Outcome]:
    """Solve A x = b for regular A by BiCGSTAB, preconditioned from the right.

    van der Vorst: Bi-CGSTAB: a fast and smoothly converging variant of Bi-CG for the solution of
    nonsymmetric linear systems. SIAM J. Sci. Stat. Comput. 13, 1992.
    """

    def cycle(
        A: Operator, M: Operator, x: Array, r: Array, target: Array, k: Array, limit: int
    ) -> tuple[Array, Array, Array]:
        shadow = r
        # An inner product below this is rounding; the next cycle has another shadow residual.
        lost = jnp.finfo(r.dtype).eps * _norm(shadow)

        def body(state: Any) -> Any:
            x, r, p, rho, k, _ = state
            y = M(p)
            v = A(y)
            sigma = jnp.vdot(shadow, v)
            alpha = jnp.where(jnp.abs(sigma) > lost * _norm(v), rho / sigma, 0)
            s = r - alpha * v
            z = M(s)
            t = A(z)
            tt = _dot(t, t)
            omega = jnp.where((alpha != 0) & (tt > 0), jnp.vdot(t, s) / tt, 0)
            x = x + alpha * y + omega * z
            r = s - omega * t
            rho_next = jnp.vdot(shadow, r)
            going = (omega != 0) & (jnp.abs(rho_next) > lost * _norm(r))
            p = r + (rho_next / rho) * (alpha / omega) * (p - omega * v)
            return x, r, p, rho_next, k + 1, going

        state = (x, r, r, jnp.vdot(shadow, r), k, jnp.asarray(True))
        x, r, _, _, k, _ = lax.while_loop(
            lambda s: s[-1] & (_norm(s[1]) > target) & (s[-2] < limit), body, state
        )
        return x, k, _first(((_norm(r) > target) & (k >= limit), Status.max_iterations))

    return _in_cycles(cycle, A, b, rtol, atol, maxiter, M)


METHODS = {"cg": cg, "bicgstab": bicgstab}
