"""Models by their own derivative closures, in any array framework or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["Closures"]

Function = Callable[..., Any]


@dataclass(frozen=True)
class Closures:
    """A function z = f(x, args) and products with its derivatives, written by the user.

    x, v and Jᵀ u are trees like the parameters: for one array of parameters they are arrays of its
    shape. z, J v and u are arrays of the shape of z. `args` is what the operator passes of a batch.

    Parameters
    ----------
    value : callable, optional
        `(x, *args)` ↦ z, an array of any shape; () for a loss.
    jvp : callable, optional
        `(x, v, *args)` ↦ J v.
    vjp : callable, optional
        `(x, u, *args)` ↦ Jᵀ u. For a loss, u = 1 gives the gradient.
    hvp : callable, optional
        `(x, v, *args)` ↦ H v, like the parameters, for a scalar function with Hessian H.
    linearize : callable, optional
        `(x, *args)` ↦ (z, v ↦ J v, u ↦ Jᵀ u), which may share work, instead of `value`, `jvp` and
        `vjp`. Called once a point, and it must not depend on later writes to x.
    jvp_block : callable, optional
        `(x, V, *args)` ↦ the products with the columns of V (n, k), of shape `(k, *z.shape)`. A
        column is flat: the leaves of the tree one after the other.
    vjp_block : callable, optional
        `(x, U, *args)` ↦ (n, k) for U `(k, *z.shape)`.

    Raises
    ------
    TypeError
        If something is not callable, or neither `linearize` nor `value` and `vjp` are given.

    Notes
    -----
    Arrays that a closure receives may be memory of the solver: valid during the call, not to be
    written to. Results are new arrays of the parameters' framework and dtype. `ritz.check` tells
    whether `value`, `jvp` and `vjp` agree.
    """

    value: Function | None = None
    jvp: Function | None = None
    vjp: Function | None = None
    hvp: Function | None = None
    linearize: Function | None = None
    jvp_block: Function | None = None
    vjp_block: Function | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            f = getattr(self, field.name)
            if f is not None and not callable(f):
                raise TypeError(f"{field.name} is {f!r}; pass a function")
        given = [n for n in ("value", "jvp", "vjp") if getattr(self, n) is not None]
        if self.linearize is not None and given:
            raise TypeError(f"{given[0]} is given beside linearize, which returns it; leave it out")
        if self.linearize is None and not {"value", "vjp"} <= set(given):
            missing = next(n for n in ("value", "vjp") if n not in given)
            raise TypeError(f"{missing} is missing; pass value, jvp and vjp, or linearize")
