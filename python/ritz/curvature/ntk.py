"""Neural tangent kernels: the outputs' side of the Jacobian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ritz.curvature.closures import Closures
from ritz.curvature.gauss_newton import Called
from ritz.curvature.operator import Options, forming, refuse_random
from ritz.curvature.parameters import StaleError, as_parameters
from ritz.operators import LinearOperator
from ritz.trees import Structure

__all__ = ["ntk"]


def ntk(
    model: Any,
    params: Any = None,
    inputs: Any = None,
    inputs2: Any = None,
    *,
    outputs: Any = "keep",
    linearize: str = "auto",
    memory_budget: int | None = None,
) -> LinearOperator:
    """Return the empirical neural tangent kernel K = J(x₁) J(x₂)ᵀ of a model at its parameters.

    Parameters
    ----------
    model, params
        As for `gauss_newton`; z = model(params, x) has the samples along its first axis.
    inputs, inputs2 : array
        x₁ of N₁ samples and, for a cross kernel, x₂ of N₂.
    outputs : {"keep", "trace"} or array
        "keep": every output is a row, K is (N₁ C, N₂ C), samples first. "trace": (N₁, N₂), the sum
        over outputs Σ_c K_ic,jc. An array of weights, (C,) or one a sample as a pair of (N₁, C) and
        (N₂, C): (N₁, N₂) with Σ_cd w_ic K_ic,jd w_jd; 1/√C is the pseudo-kernel, label signs make
        the labelled one.
    linearize, memory_budget
        As for `gauss_newton`.

    Returns
    -------
    LinearOperator
        Symmetric positive semidefinite where `inputs2` is left out. With "keep" it takes and
        returns arrays of the outputs' shape as well as flat ones. A product costs one Jᵀ u and one
        J v; with "trace" C of each.

    Raises
    ------
    TypeError, ValueError, StaleError
        As for `gauss_newton`.

    References
    ----------
    Jacot, Gabriel, Hongler: Neural tangent kernel. NeurIPS 2018. Mohamadi, Bae, Sutherland: A fast,
    well-founded approximation to the empirical neural tangent kernel. ICML 2023. Guo and others:
    lpNTK. ICLR 2024.
    """
    if inputs is None:
        raise TypeError("inputs is missing; pass the samples whose kernel is wanted")
    parameters = as_parameters(params, model)
    structure = parameters.structure
    way = forming(structure, model)
    function = model if isinstance(model, Closures) else parameters.bind(Called(model))

    def linearized(x: Any) -> Any:
        return way.linearize(
            function,
            structure,
            parameters.leaves,
            (x,) if isinstance(model, Closures) else (parameters.constants, x),
            how=linearize,
            budget=Options(memory_budget=memory_budget).budget,
            memory=memory,
        )

    memory: dict[Any, Any] = {}
    if parameters.is_module:
        refuse_random(parameters.source, "")
    left = linearized(inputs)
    right = left if inputs2 is None else linearized(inputs2)
    domain = codomain = None
    if isinstance(outputs, str) and outputs == "keep":
        shape, product, adjoint = _kept(left, right)
        codomain, domain = Structure.of(left.value), Structure.of(right.value)
    else:
        pairs = _weights(outputs, left.value, right.value)
        shape, product, adjoint = _contracted(left, right, pairs)
    mark = parameters.fingerprint()

    def fresh(product: Product) -> Product:
        def checked(v: Any) -> Any:
            if parameters.is_module:
                refuse_random(parameters.source, "")
            if parameters.fingerprint() != mark:
                raise StaleError(
                    "the parameters have moved since this kernel was made: make a new one"
                )
            return product(v)

        return checked

    return LinearOperator(
        shape,
        fresh(product),
        fresh(adjoint),
        dtype=structure.dtype,
        symmetric=True if right is left else None,
        framework=structure.framework,
        domain=domain,
        codomain=codomain,
    )


Product = Callable[[Any], Any]


def _kept(left: Any, right: Any) -> tuple[tuple[int, int], Product, Product]:
    """Return the shape, K and Kᵀ with a row for every output."""

    def product(a: Any, b: Any) -> Product:
        return lambda u: a.jvp(b.vjp(u.reshape(b.value.shape))).reshape(-1)

    m, n = (math.prod(side.value.shape) for side in (left, right))
    return (m, n), product(left, right), product(right, left)


def _contracted(
    left: Any, right: Any, pairs: list[tuple[Any, Any]]
) -> tuple[tuple[int, int], Product, Product]:
    """Return the shape, K and Kᵀ with a row for every sample: Σ wᵀ J Jᵀ w over pairs of weights."""

    def product(a: Any, b: Any, which: int) -> Product:
        def matvec(v: Any) -> Any:
            lifted = v.reshape((-1,) + (1,) * (b.value.ndim - 1))
            total: Any = 0.0
            for pair in pairs:
                z = a.jvp(b.vjp(pair[1 - which] * lifted)) * pair[which]
                total = total + z.reshape(z.shape[0], -1).sum(1)
            return total

        return matvec

    shape = left.value.shape[0], right.value.shape[0]
    return shape, product(left, right, 0), product(right, left, 1)


def _weights(outputs: Any, z1: Any, z2: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of weights of outputs that "trace", or weights of one's own, stand for."""
    from array_api_compat import array_namespace, device

    xp = array_namespace(z1)
    if isinstance(outputs, str):
        if outputs != "trace":
            raise ValueError(f'outputs is {outputs!r}; pass "keep", "trace" or weights')
        axes = tuple(z1.shape[1:])
        size = math.prod(axes)
        units = xp.eye(size, dtype=z1.dtype, device=device(z1))
        return [(e, e) for e in (units[c].reshape((1, *axes)) for c in range(size))]
    pair = outputs if isinstance(outputs, tuple) else (outputs, outputs)
    made = []
    for w, z, name in zip(pair, (z1, z2), ("inputs", "inputs2"), strict=True):
        a = xp.asarray(w, dtype=z.dtype, device=device(z))
        try:
            np.broadcast_shapes(tuple(a.shape), tuple(z.shape))
        except ValueError:
            raise ValueError(
                f"outputs has weights of shape {tuple(a.shape)}, but the outputs of {name} have "
                f"shape {tuple(z.shape)}; pass one weight an output, or one a sample and output"
            ) from None
        made.append(a)
    return [(made[0], made[1])]
