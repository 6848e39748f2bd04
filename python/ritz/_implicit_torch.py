"""Closures over tensors as linear systems, and what they depend on in torch's graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch._C import _functorch as functorch
from torch.autograd.forward_ad import unpack_dual

from ritz._implicit import Problem
from ritz.operators import LinearOperator, aslinearoperator

Tensors: TypeAlias = Sequence[torch.Tensor]


def transforming() -> bool:
    return functorch.peek_interpreter_stack() is not None


class Closure:
    """A closure x ↦ A x, or (x, *params) ↦ A x if it requires as many arguments."""

    def __init__(self, function: Callable[..., torch.Tensor], count: int, name: str) -> None:
        if not callable(function):
            raise TypeError(f"{name} is {function!r}; pass a function of one vector")
        self.function, self.name = function, name
        try:
            arguments = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # a builtin
            arguments = []
        places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = sum(a.kind in places and a.default is a.empty for a in arguments)
        more = any(a.kind is a.VAR_POSITIONAL for a in arguments)
        self.takes_params = count > 0 and (required == 1 + count or (required == 1 and more))

    def __call__(self, x: torch.Tensor, params: Tensors) -> torch.Tensor:
        return self.function(x, *params) if self.takes_params else self.function(x)


@dataclass(frozen=True, eq=False, kw_only=True)
class TorchProblem(Problem):
    """A problem of closures over tensors."""

    matvec: Closure
    rmatvec: Closure | None

    @property
    def derives_adjoint(self) -> bool:
        """Whether Aᴴ has to come from torch."""
        return self.uses_adjoint and self.rmatvec is None

    @property
    def closure(self) -> Closure:
        """The user's function that products call."""
        return self.rmatvec if self.uses_adjoint and self.rmatvec is not None else self.matvec

    def product(self, x: torch.Tensor, params: Tensors) -> torch.Tensor:
        """Return A x, or Aᴴ x of the transposed problem, with its graph."""
        if self.derives_adjoint:
            return self.pullback(x, params, create_graph=True)(x)
        return self.closure(x, params)

    def pullback(
        self, like: torch.Tensor, params: Tensors, create_graph: bool = False
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return u ↦ Aᴴ u, the vector-Jacobian product of `matvec`."""
        if transforming():
            vjp = torch.func.vjp(lambda v: self.matvec(v, params), torch.zeros_like(like))[1]
            return lambda u: cast(torch.Tensor, vjp(u)[0])
        with torch.enable_grad():
            v = torch.zeros_like(like, requires_grad=True)
            y = self.matvec(v, params)
        if not y.requires_grad:
            raise ValueError("torch records nothing of matvec to derive Aᴴ from; pass rmatvec")

        def adjoint(u: torch.Tensor) -> torch.Tensor:
            return torch.autograd.grad(y, v, u, retain_graph=True, create_graph=create_graph)[0]

        return adjoint

    def solution(self, b: torch.Tensor, x0: torch.Tensor | None, params: Tensors) -> torch.Tensor:
        """Return A⁻¹ b, as numbers."""
        b, params = b.detach(), [p.detach() for p in params]
        n = b.numel()
        scale = b.abs().amax() if self.derivative and n > 0 else None
        if n == 0 or (scale is not None and scale == 0):
            return b.clone()
        symmetric = self.self_adjoint or None
        derived = self.pullback(b, params) if self.derives_adjoint else None

        def matvec(x: torch.Tensor) -> torch.Tensor:
            return (self.product(x, params) if derived is None else derived(x)).detach()

        A = LinearOperator((n, n), matvec, symmetric=symmetric, framework="torch")
        M = self.M
        if callable(M) and not hasattr(M, "shape"):
            M = LinearOperator((n, n), M, symmetric=symmetric, framework="torch")
        elif M is not None:
            M = aslinearoperator(M.detach() if isinstance(M, torch.Tensor) else M, "M")
        if M is not None and self.uses_adjoint:
            M = M.H
        start = None if x0 is None else x0.detach()
        result = self.run(A, b if scale is None else b / scale, start, M)
        x: torch.Tensor = result.x
        return x if scale is None else x * scale


def _plain(t: torch.Tensor) -> torch.Tensor:
    """Return the numbers of a tensor, of one sample under vmap."""
    while functorch.is_functorch_wrapped_tensor(t):
        batched = functorch.is_batchedtensor(t)
        axis = functorch.maybe_get_bdim(t) if batched else 0
        t = functorch.get_unwrapped(t)
        t = t.select(axis, 0) if batched else t
    return unpack_dual(t).primal.detach()


def look_for_missing(closure: Closure, b: torch.Tensor, params: Tensors) -> None:
    """Raise ValueError if A depends on tensors whose derivatives would be lost."""
    plain = _plain(b), [_plain(p) for p in params]
    with torch.enable_grad():
        y = closure(*plain)
    transformed = unpack_dual(y).tangent is not None
    while functorch.is_functorch_wrapped_tensor(y):
        transformed |= y.requires_grad or functorch.is_batchedtensor(y)
        y = functorch.get_unwrapped(y)
        transformed |= unpack_dual(y).tangent is not None
    if transformed:
        raise ValueError(
            f"{closure.name} closes over a tensor that a torch.func transform or forward mode "
            "works on: write it as (x, *params) -> A x, and pass all such tensors in params"
        )
    edges = {}
    if not closure.takes_params:
        edges = {_edge(p): i for i, p in enumerate(params) if p.requires_grad}
        for edge, i in edges.items():
            for other in _reached(edge[0].next_functions, edges):
                if other in edges:
                    raise ValueError(
                        f"params[{i}] is computed from params[{edges[other]}]; pass one of them, "
                        f"or write {closure.name} as (x, *params) -> A x"
                    )
    missing = _leaves(y, edges)
    if missing:  # unless the closure made them itself: what it makes is another tensor each time
        with torch.enable_grad():
            missing &= _leaves(closure(*plain), edges)
    if missing:
        shapes = ", ".join(str(tuple(edge[0].variable.shape)) for edge in missing)
        raise ValueError(
            f"{closure.name} uses a tensor that requires grad and is not in params, or one "
            f"computed from it: of shape {shapes}; pass it in params, or detach it"
        )


Edge: TypeAlias = tuple[Any, int]


def _edge(t: torch.Tensor) -> Edge:
    edge = torch.autograd.graph.get_gradient_edge(t)
    return edge.node, edge.output_nr


def _reached(start: Iterable[Edge], end: Container[Edge]) -> set[Edge]:
    """Return the edges of a graph from `start` down to those in `end`."""
    seen = set()
    stack = [edge for edge in start if edge[0] is not None]
    while stack:
        edge = stack.pop()
        if edge not in seen:
            seen.add(edge)
            if edge not in end:
                stack += [e for e in edge[0].next_functions if e[0] is not None]
    return seen


def _leaves(y: torch.Tensor, end: Container[Edge]) -> set[Edge]:
    """Return the leaf tensors that y depends on beside those in `end`."""
    if not y.requires_grad:
        return set()
    return {e for e in _reached([_edge(y)], end) if e not in end and hasattr(e[0], "variable")}
