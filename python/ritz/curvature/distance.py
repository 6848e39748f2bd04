"""How far two networks are apart as functions: by a quadratic form, and as measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from ritz.curvature import losses
from ritz.curvature.gauss_newton import Exact, OutputSum
from ritz.curvature.losses import OutputLoss
from ritz.curvature.operator import Options, takes_options
from ritz.curvature.parameters import as_parameters

__all__ = ["FunctionSpaceDistance", "function_space_distance"]


class FunctionSpaceDistance(NamedTuple):
    """A distance between functions.

    Attributes
    ----------
    quadratic : float
        ½ δᵀ G δ with the Gauss-Newton matrix at the first parameters and δ the difference.
    measured : float
        The mean of ℓ(z′) − ℓ(z) − ⟨∇ℓ(z), z′ − z⟩ over terms, from the outputs of both.
    """

    quadratic: float
    measured: float


@takes_options
def function_space_distance(
    model: Any, params: Any, other: Any, data: Any, loss: Any = "mse", **options: Any
) -> FunctionSpaceDistance:
    """Return the distance D = E[ℓ(z′) − ℓ(z) − ⟨∇ℓ(z), z′ − z⟩] of a model at two parameters.

    For cross-entropy D is the mean Kullback-Leibler divergence KL(p ‖ p′) of the predictions, for
    squared errors the mean squared difference of the outputs.

    Parameters
    ----------
    model, params, data, loss, **options
        As for `gauss_newton`; z are the outputs at `params`.
    other : module, tree, flat vector or Parameters
        The second parameters, which give z′.

    Returns
    -------
    FunctionSpaceDistance
        D as measured, and its quadratic part ½ δᵀ G δ: for small δ the two agree.

    Raises
    ------
    TypeError, ValueError
        As for `gauss_newton`, or if `other` has another structure.

    Notes
    -----
    An evaluation of the model over the data at each parameters, and one product with G.
    """
    given = Options(**options)
    if given.linearize == "auto":  # one product does not pay for anything that could be kept
        given = replace(given, linearize="recompute")
    middle = Exact(losses.resolve(loss, given.reduction))
    parameters = as_parameters(params, model)
    here = OutputSum(model, parameters, data, given, middle)
    there = OutputSum(model, parameters, data, replace(given, deterministic=False), middle)
    there.moved_to(parameters.at(other))
    join = here.structure.join
    delta = join(there.leaves) - join(here.leaves)
    others = there.contributions()

    quadratic = 0.5 * float((delta * here.product(lambda c: c.product(delta))).sum())
    measured = here.total(lambda c: _divergence(here.loss, c, next(others)))
    return FunctionSpaceDistance(quadratic, float(measured))


def _divergence(loss: OutputLoss, here: Any, there: Any) -> Any:
    z, other, y = here.linearized.value, there.linearized.value, here.targets
    return loss.value(other, y) - loss.value(z, y) - (loss.gradient(z, y) * (other - z)).sum()
