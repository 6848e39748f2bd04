"""Operators of a model's first derivatives: the Jacobian and the Gauss-Newton matrix."""

from __future__ import annotations

from typing import Any

from ritz import _arrays, _conversion, _nodes
from ritz._nodes import Closure
from ritz.frameworks import Framework
from ritz.operators import LinearOperator

__all__ = ["GaussNewton", "Jacobian"]


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
    dtype, out, framework, domain, codomain
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
        domain: Any = None,
        codomain: Any = None,
    ) -> None:
        _conversion.check_closures(("jvp", "vjp"), (jvp, vjp))
        if jvp is None:
            raise TypeError("jvp is missing; pass a function v -> J v")
        self._set_closures(
            _arrays.shape_pair(shape),
            (jvp, vjp, None, None),
            dtype,
            framework,
            out,
            "Jacobian.",
            domain,
            codomain,
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
    dtype, out, framework, domain
        As for `LinearOperator`; `domain` is that of the Jacobian.

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
        domain: Any = None,
    ) -> None:
        if isinstance(jvp, LinearOperator):
            if vjp is not None or shape is not None or domain is not None:
                raise TypeError(
                    "the Jacobian is given as an operator; leave out vjp, shape and domain"
                )
            self.jacobian = jvp
        else:
            if shape is None:
                raise TypeError("shape is missing; pass the Jacobian's (outputs, parameters)")
            if vjp is None:
                raise TypeError("vjp is missing; pass a function u -> Jᵀ u")
            self.jacobian = Jacobian(
                shape, jvp, vjp, dtype, out=out, framework=framework, domain=domain
            )
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
        self._set(node, (n, n), True, self.jacobian.domain, self.jacobian.domain)
