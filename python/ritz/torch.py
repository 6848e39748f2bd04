"""Linear solves that torch differentiates: with respect to b and to the operator's parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch._C import _functorch as functorch

from ritz import _arrays
from ritz._implicit import Account, SolveFailed, settings
from ritz._implicit_torch import Closure, Tensors, TorchProblem, look_for_missing, transforming

__all__ = ["Account", "SolveFailed", "solve"]


def solve(
    matvec: Callable[..., torch.Tensor],
    b: torch.Tensor,
    *,
    params: Tensors = (),
    method: str = "cg",
    rmatvec: Callable[..., torch.Tensor] | None = None,
    rtol: float = 1e-5,
    atol: float = 0.0,
    adjoint_rtol: float | None = None,
    maxiter: int | None = None,
    x0: torch.Tensor | None = None,
    M: Any = None,
    check: bool = True,
    account: Account | None = None,
    **options: Any,
) -> torch.Tensor:
    """Solve A(θ) x = b such that torch can differentiate x with respect to b and θ.

    Parameters
    ----------
    matvec : callable
        x (n,) ↦ A x (n,), a closure over `params`; or `matvec(x, *params)`, if it has as many
        required arguments. The second form works inside `torch.func` transforms too.
    b : tensor (n,)
        float32, float64, complex64 or complex128, on the CPU.
    params : sequence of tensors
        θ, all tensors with gradients that A depends on.
    method : str
        A method of ritz for square systems: "cg", and "minres", "gmres" and others as there are.
    rmatvec : callable, optional
        u (n,) ↦ Aᴴ u (n,), in either form, for methods that do not need A = Aᴴ. None: torch's own
        vector-Jacobian product of `matvec`.
    rtol, atol : float
        Converged means ‖b − A x‖ ≤ max(rtol ‖b‖, atol).
    adjoint_rtol : float, optional
        The same for the solves with Aᴴ, without `atol`; `rtol` by default.
    maxiter : int, optional
        The method's own default if None.
    x0 : tensor (n,), optional
        A first guess, for x only.
    M : operator (n, n) or callable, optional
        The method's preconditioner, a constant to derivatives; one with an adjoint if the method is
        a general one.
    check : bool
        False returns what a solve that does not converge reached, and its wrong gradients.
    account : Account, optional
        Receives the results of the forward and the adjoint solves.
    **options
        Passed to the method, except for those that change the system.

    Returns
    -------
    tensor (n,)
        A⁻¹ b, with derivatives of any order; in forward mode and inside `torch.func` for the second
        form of `matvec`, or one whose `params` take no part.

    Raises
    ------
    SolveFailed
        A forward or adjoint solve did not converge; it carries the result.
    ValueError
        `matvec` uses a tensor that requires grad and is not in `params`; or the adjoint is none,
        where ⟨λ, b⟩ = ⟨g, x⟩ shows it.

    Notes
    -----
    Backward solves Aᴴ λ = g with g scaled to magnitude one, so that tiny cotangents do not
    underflow; b gets λ, and θ the vector-Jacobian product of −A(θ) x at λ, one more product.
    Recording gradients costs one product of its own, which looks for missing `params`; what
    `matvec` cuts from torch's graph, as by `detach` or by a gradient without `create_graph`, is a
    constant. A must be regular: the formula does not hold for least-squares or least-norm
    solutions. `torch.func.vmap` solves one system after the other.
    """
    given = settings(method, rtol, atol, adjoint_rtol, maxiter, options)
    if not isinstance(b, torch.Tensor) or not (b.is_floating_point() or b.is_complex()):
        raise TypeError("b is no tensor of real or complex numbers; pass one, e.g. b.double()")
    if b.ndim != 1:
        shape = tuple(b.shape)
        raise ValueError(f"b has shape {shape}; pass (n,), and use torch.func.vmap for more")
    params = tuple(params)
    for i, p in enumerate(params):
        if not isinstance(p, torch.Tensor):
            raise TypeError(f"params[{i}] is {type(p).__name__}; pass the tensors that matvec uses")
    problem = TorchProblem(
        matvec=Closure(matvec, len(params), "matvec"),
        rmatvec=None if rmatvec is None else Closure(rmatvec, len(params), "rmatvec"),
        M=M,
        check=check,
        account=account,
        **given,
    )
    if torch.is_grad_enabled() or transforming():
        for closure in (problem.matvec, None if problem.self_adjoint else problem.rmatvec):
            if closure is not None:
                look_for_missing(closure, b, params)
    return cast(torch.Tensor, _Solve.apply(problem, b, x0, *params))


class _Solve(torch.autograd.Function):  # type: ignore[misc]
    """(problem, b, x0, *params) ↦ A⁻¹ b."""

    generate_vmap_rule = False

    @staticmethod
    def forward(
        problem: TorchProblem, b: torch.Tensor, x0: torch.Tensor | None, *params: torch.Tensor
    ) -> torch.Tensor:
        with torch.no_grad():
            return problem.solution(b, x0, params)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        problem, b, _, *params = inputs
        ctx.problem = problem
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output, b, *params)
        ctx.save_for_forward(output, b, *params)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        x, b, *params = ctx.saved_tensors
        problem: TorchProblem = ctx.problem
        wanted = list(ctx.needs_input_grad[3:])
        if g is None:
            return (None,) * (3 + len(params))
        adjoint = problem.for_derivative(not problem.transposed)
        multiplier = cast(torch.Tensor, _Solve.apply(adjoint, g, None, *params))
        pair = (x, b, multiplier, g)
        if not any(map(functorch.is_functorch_wrapped_tensor, pair)):
            problem.check_pair(*(_arrays.array(t.detach(), "a vector")[0] for t in pair))
        return None, multiplier, None, *_pull(problem, x, -multiplier, params, wanted)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> torch.Tensor:
        _, b_dot, _, *params_dot = tangents
        x, b, *params = ctx.saved_tensors
        problem: TorchProblem = ctx.problem
        right = torch.zeros_like(b) if b_dot is None else b_dot
        moving = [i for i, t in enumerate(params_dot) if t is not None]
        if moving:
            # Ȧ x is the adjoint of u ↦ the vector-Jacobian product at u, which is linear.
            image, given = _image(problem, x, params, moving)
            pull = torch.func.vjp(image, *given)[1]
            push = torch.func.vjp(pull, torch.zeros_like(b))[1]
            right = right - push(tuple(params_dot[i] for i in moving))[0]
        tangent = problem.for_derivative(problem.transposed)
        return cast(torch.Tensor, _Solve.apply(tangent, right, None, *params))

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], problem: TorchProblem, *tensors: Any) -> Any:
        rows = []
        for i in range(info.batch_size):
            row = (
                t if d is None else t.select(d, i)
                for t, d in zip(tensors, in_dims[1:], strict=True)
            )
            rows.append(_Solve.apply(problem, *row))
        return torch.stack(rows), 0


class _Gate(torch.autograd.Function):  # type: ignore[misc]
    """The identity, whose backward passes nothing while `gate` is empty.

    It keeps a derivative at fixed x apart from the dependence of x on the parameters, which higher
    derivatives follow once the gate is open.
    """

    @staticmethod
    def forward(x: torch.Tensor, _: list[bool]) -> torch.Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:  # noqa: ARG004
        ctx.gate = inputs[1]

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, None]:
        return (g if ctx.gate else None), None


def _image(
    problem: TorchProblem, x: torch.Tensor, params: Tensors, chosen: Sequence[int]
) -> tuple[Callable[..., torch.Tensor], list[torch.Tensor]]:
    """Return θ ↦ A(θ) x as a function of the chosen parameters, and those."""

    def image(*values: torch.Tensor) -> torch.Tensor:
        places = dict(zip(chosen, values, strict=True))
        return problem.product(x, [places.get(i, p) for i, p in enumerate(params)])

    return image, [params[i] for i in chosen]


def _pull(
    problem: TorchProblem, x: torch.Tensor, u: torch.Tensor, params: Tensors, wanted: Sequence[bool]
) -> list[torch.Tensor | None]:
    """Return the vector-Jacobian products of θ ↦ A(θ) x at u, with x fixed; None if unwanted."""
    grads: list[torch.Tensor | None] = [None] * len(params)
    chosen = [i for i, w in enumerate(wanted) if w]
    if not chosen:
        return grads
    if transforming():
        image, given = _image(problem, x, params, chosen)
        pulled = torch.func.vjp(image, *given)[1](u)
    else:
        create = torch.is_grad_enabled()
        gate: list[bool] = []
        with torch.enable_grad():
            fixed = cast(torch.Tensor, _Gate.apply(x, gate)) if create else x.detach()
            image, given = _image(problem, fixed, params, chosen)
            if problem.closure.takes_params:  # so that one of them may depend on another
                given = [p.view_as(p) for p in given]
            y = image(*given)
        if not y.requires_grad:
            raise ValueError(
                f"torch sees no dependence of {problem.closure.name} on params; use those very "
                "tensors in it, or leave params out"
            )
        pulled = torch.autograd.grad(
            y, given, u, create_graph=create, retain_graph=True, allow_unused=True
        )
        gate.append(True)
    for i, g in zip(chosen, pulled, strict=True):
        grads[i] = g
    return grads
