"""How torch forms products with Jacobians and Hessians at a fixed point.

Three ways, all exact. "graph": w ↦ Jᵀ w is recorded once, and J v is one backward pass through that
record. "trace": what forward mode computes with tangents is recorded once and replayed, which is
faster for convolutions, whose second backward pass is slow. "recompute": nothing is kept. In all of
them Jᵀ u is one backward pass through the function itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.utils.checkpoint import CheckpointError

from ritz.frameworks.torch_products import Products, Way, recording, tangent_of, with_tangents
from ritz.frameworks.torch_record import Pullback, fingerprint
from ritz.frameworks.torch_tape import Tape, Untraceable

__all__ = [
    "Linearized",
    "LinearizedGradient",
    "Untraceable",
    "fingerprint",
    "linearize",
    "linearize_gradient",
]

Tensor = Any  # torch's own annotations are not checked here
Middle = Callable[[Any, Tensor], Tensor]

# What torch raises for an operation that forward mode does not know.
_UNKNOWN = (RuntimeError, NotImplementedError)


class Linearized(Products):
    """z = f(leaves) at a fixed point, and products with its Jacobian J (m, n).

    Parameters
    ----------
    function : callable
        (leaves, *args) ↦ z, one tensor of any shape.
    structure : Structure
        Of the leaves.
    leaves : sequence of tensors
        Where; they stay the user's and must not be written into.
    args : sequence
        What else the function takes.
    how : {"auto", "graph", "trace", "recompute"}
        "auto": the graph, until a trace has proved faster.
    budget : int, optional
        Bytes: a way that keeps more is not used.
    memory : dict, optional
        Keeps what was measured from point to point and from batch to batch.

    Attributes
    ----------
    value : tensor
        z.
    how : str
        "graph", "trace" or "recompute".
    bytes : int
        Memory kept between products, without the leaves and the data.
    """

    kind = "jvp"

    def _evaluate(self) -> None:
        with recording(), torch.no_grad():
            self.value = self._call([p.detach() for p in self._point])

    def _recorded(self) -> Way | None:
        with recording():
            z = self._call(self._point)
            backward = Pullback([z], self._point)
            if self._bytes(backward.saved()) > self._budget:
                return None
            w = torch.zeros_like(z, requires_grad=True)
            pulled: Sequence[Tensor | None] = [None]
            if z.requires_grad:
                pulled = torch.autograd.grad(
                    z, self._point, w, create_graph=True, allow_unused=True
                )
        return Way("graph", z.detach(), Pullback(pulled, [w]), backward)

    def _traced(self) -> Way:
        with with_tangents(self._point) as duals:
            tape = Tape([tangent_of(d) for d in duals])
            with tape:
                z, tangent = forward_ad.unpack_dual(self._call(duals))
            replay = tape.replay([tangent])
        backward = Pullback([z], self._point)
        try:
            deque(backward.saved(), 0)
        except CheckpointError:  # what a checkpoint evaluates again has no tangents
            with recording():
                backward = Pullback([self._call(self._point)], self._point)
        return Way("trace", z.detach(), replay, backward)

    def _image(self, w: Tensor | None) -> Tensor:
        return self.value.new_zeros(self.value.shape) if w is None else w

    def jvp(self, v: Tensor) -> Tensor:
        """Return J v (*z.shape) for v (n,)."""
        if self._way is not None:
            return self._image(self._forward(self._way, v)[0])
        try:
            leaves = [p.detach() for p in self._point]  # nothing is recorded
            with with_tangents(leaves, self._structure.split(v)) as duals:
                return self._image(tangent_of(self._call(duals))).detach()
        except _UNKNOWN:
            return self._with_graph().jvp(v)

    def vjp(self, u: Tensor) -> Tensor:
        """Return Jᵀ u (n,) for u (*z.shape)."""
        if self._way is None:
            with recording():
                return self._join(Pullback([self._call(self._point)], self._point)([u]))
        assert self._way.backward is not None
        return self._join(self._way.backward([u]))

    def _both(self, v: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """Return J v and u ↦ Jᵀ u of one evaluation."""
        try:
            with with_tangents(self._point, self._structure.split(v)) as duals:
                z, tangent = forward_ad.unpack_dual(self._call(duals))
        except _UNKNOWN:
            lin = self._with_graph()
            return lin.jvp(v), lin.vjp
        backward = Pullback([z], self._point)

        def pull(u: Tensor) -> Tensor:
            try:
                return self._join(backward([u]))
            except CheckpointError:  # as in `_traced`
                return self.vjp(u)

        return self._image(tangent).detach(), pull

    def through(self, middle: Middle, state: Any) -> Callable[[Tensor], Tensor]:
        """Return v (n,) ↦ Jᵀ middle(state, J v)."""

        def product(v: Tensor) -> Tensor:
            if self._way is not None:
                return self.vjp(middle(state, self.jvp(v)))
            w, pull = self._both(v)
            return pull(middle(state, w))

        return product

    def jvp_block(self, V: Tensor) -> Tensor:
        """Return J V (k, *z.shape) for V (n, k)."""
        lin = self._for_block()

        def product(rows: Tensor, batched: bool) -> Tensor:
            if not batched:
                return lin.jvp(rows)
            (w,) = lin._way.forward(lin._pieces(rows), batched=True)
            return self.value.new_zeros((len(rows), *self.value.shape)) if w is None else w

        return lin._rows("jvp", product, V.T.contiguous())

    def vjp_block(self, U: Tensor) -> Tensor:
        """Return Jᵀ U (n, k) for U (k, *z.shape)."""
        lin = self._for_block()

        def product(rows: Tensor, batched: bool) -> Tensor:
            if not batched:
                return lin.vjp(rows)
            return lin._join_rows(lin._way.backward([rows], batched=True), len(rows))

        return lin._rows("vjp", product, U.contiguous()).T

    def through_block(self, middle: Middle, state: Any) -> Callable[[Tensor], Tensor]:
        """Return V (n, k) ↦ Jᵀ middle(state, J V), column by column for the middle."""

        def product(V: Tensor) -> Tensor:
            lin = self._for_block()
            images = lin.jvp_block(V)
            return lin.vjp_block(torch.stack([middle(state, w) for w in images]))

        return product


class LinearizedGradient(Products):
    """ℓ(leaves) and ∇ℓ at a fixed point, and products with the Hessian H (n, n).

    The parameters and attributes are those of `Linearized`, for a function that returns a scalar;
    and

    Attributes
    ----------
    gradient : tensor (n,)
        ∇ℓ.
    """

    kind = "hvp"

    @property
    def gradient(self) -> Tensor:
        """∇ℓ (n,)."""
        return self._gradient

    def _call(self, leaves: Sequence[Tensor]) -> Tensor:
        value = super()._call(leaves)
        if value.numel() != 1:
            raise ValueError(
                f"the function returned a tensor of shape {tuple(value.shape)}; return a scalar: "
                "sum it, or take its mean"
            )
        return value.reshape(())

    def _evaluate(self) -> None:
        with recording():
            value = self._call(self._point)
            self._gradient = self._join(self._slope(value, self._point))
        self.value = value.detach()

    @staticmethod
    def _slope(
        value: Tensor, inputs: Sequence[Tensor], create_graph: bool = False
    ) -> Sequence[Tensor | None]:
        if not value.requires_grad:
            return [None] * len(inputs)
        slope: Sequence[Tensor | None] = torch.autograd.grad(
            value, inputs, create_graph=create_graph, allow_unused=True
        )
        return slope

    def _recorded(self) -> Way | None:
        with recording():
            value = self._call(self._point)
            if self._bytes(Pullback([value], self._point).saved()) > self._budget:
                return None
            slope = self._slope(value, self._point, create_graph=True)
        gradient = self._join(slope).detach()
        return Way("graph", value.detach(), Pullback(slope, self._point), None, gradient)

    def _traced(self) -> Way:
        with with_tangents(self._point) as duals:
            tape = Tape([tangent_of(d) for d in duals])
            with tape:
                value = self._call(duals)
                slope = self._slope(value, duals)
                tangents = [tangent_of(g) for g in slope]
            replay = tape.replay(tangents)
            gradient = self._join(slope).detach()
            value = forward_ad.unpack_dual(value).primal.detach()
        return Way("trace", value, replay, None, gradient)

    def hvp(self, v: Tensor) -> Tensor:
        """Return H v (n,) for v (n,)."""
        if self._way is None:
            return self._with_graph().hvp(v)
        return self._join(self._forward(self._way, v))

    def hvp_block(self, V: Tensor) -> Tensor:
        """Return H V (n, k) for V (n, k)."""
        lin = self._for_block()

        def product(rows: Tensor, batched: bool) -> Tensor:
            if not batched:
                return lin.hvp(rows)
            return lin._join_rows(lin._way.forward(lin._pieces(rows), batched=True), len(rows))

        return lin._rows("hvp", product, V.T.contiguous()).T


linearize = Linearized
linearize_gradient = LinearizedGradient
