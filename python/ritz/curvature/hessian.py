"""Hessians of a loss over a data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ritz.curvature import losses
from ritz.curvature.closures import Closures
from ritz.curvature.gauss_newton import Called
from ritz.curvature.operator import Contribution, Curvature, Options, Sum, forming, takes_options
from ritz.curvature.output_loss import OutputLoss
from ritz.curvature.parameters import Parameters, as_parameters, is_module
from ritz.trees import Structure

__all__ = ["hessian"]


class ScalarSum(Sum):
    """Σ w_b ∇² loss(params, batch) over batches; w_b undoes the batch's own mean."""

    def __init__(
        self,
        loss: Callable[..., Any] | Closures,
        parameters: Parameters,
        data: Any,
        options: Options,
        terms: Callable[[Any], float] | None,
    ) -> None:
        self._forming = forming(parameters.structure, loss)
        self._raw = isinstance(loss, Closures)
        self._function = loss if isinstance(loss, Closures) else parameters.bind(_Weighted(loss))
        self._terms = terms
        if data is None:
            data, options = [{}], replace(options, batch_size=lambda _: 1)
        super().__init__(parameters, data, options)

    def weight(self, batch: Any) -> tuple[float, float]:
        """Return the number of valid terms of a batch, and what its loss counts for in the sum."""
        terms = float(self.data.size(batch) if self._terms is None else self._terms(batch))
        mean = (self.options.reduction or self.reduction) == "mean"
        return terms, terms if mean else 1.0

    def contribution(self, batch: Any, first: int, how: str, budget: int) -> Contribution:
        terms, weight = self.weight(batch)
        if weight == 0.0:  # the mean over no term is not a number
            return _Nothing(self.structure, self.data.size(batch))
        args = (batch,) if self._raw else (self.constants, batch, weight)
        gradient = self._forming.linearize_gradient(
            self._function,
            self.structure,
            self.leaves,
            args,
            how=how,
            budget=budget,
            memory=self._memory,
        )
        scale = weight if self._raw else 1.0
        return ScalarContribution(gradient, terms, self.data.size(batch), scale)


class ModelSum(Sum):
    """Σ ∇² of a loss of a model's outputs, whose own number of terms is known."""

    def __init__(
        self, model: Any, parameters: Parameters, data: Any, options: Options, loss: OutputLoss
    ) -> None:
        self._forming = forming(parameters.structure, None)
        self._loss = loss
        self.reduction = loss.reduction
        self._function = parameters.bind(_OutputLoss(model, loss))
        super().__init__(parameters, data, options)

    def contribution(self, batch: Any, first: int, how: str, budget: int) -> ScalarContribution:
        y = self.data.targets(batch)
        gradient = self._forming.linearize_gradient(
            self._function,
            self.structure,
            self.leaves,
            (self.constants, self.data.inputs(batch), y),
            how=how,
            budget=budget,
            memory=self._memory,
        )
        return ScalarContribution(
            gradient, float(self._loss.terms(y, None)), self.data.size(batch), 1.0
        )


class ScalarContribution:
    """What one batch gives: the linearised gradient of its loss."""

    def __init__(self, gradient: Any, terms: float, samples: int, scale: float) -> None:
        self._gradient = gradient
        self.terms, self.samples, self._scale = terms, samples, scale
        self._factor = scale

    def normalise(self, factor: float) -> None:
        """Multiply products by this from now on."""
        self._factor = self._scale * factor

    @property
    def how(self) -> str:
        """How products are formed."""
        how: str = self._gradient.how
        return how

    @property
    def bytes(self) -> int:
        """Kept between products."""
        kept: int = self._gradient.bytes
        return kept

    def product(self, v: Any) -> Any:
        """Return ∇² loss v."""
        return _scaled(self._gradient.hvp(v), self._factor)

    def block(self, V: Any) -> Any:
        """Return ∇² loss V."""
        return _scaled(self._gradient.hvp_block(V), self._factor)

    def value(self) -> Any:
        """Return the loss."""
        return _scaled(self._gradient.value, self._scale)

    def gradient(self) -> Any:
        """Return ∇ loss."""
        return _scaled(self._gradient.gradient, self._scale)


def _scaled(a: Any, factor: float) -> Any:
    return a if factor == 1.0 else factor * a


class _Nothing:
    """What a batch without valid terms gives."""

    how, bytes = "recompute", 0
    terms = 0.0

    def __init__(self, structure: Structure, samples: int) -> None:
        self._structure, self.samples = structure, samples

    def normalise(self, factor: float) -> None:
        """Zero stays zero."""

    def product(self, v: Any) -> Any:
        """Return 0 v."""
        return 0.0 * v

    def block(self, V: Any) -> Any:
        """Return 0 V."""
        return 0.0 * V

    def value(self) -> Any:
        """Return 0."""
        return 0.0

    def gradient(self) -> Any:
        """Return the zero vector."""
        return self._structure.native(np.zeros(self._structure.size, self._structure.dtype))


class _Weighted:
    """(params, batch, weight) ↦ weight · loss."""

    form = "weighted"

    def __init__(self, loss: Callable[..., Any]) -> None:
        self.anchor = self._loss = loss

    def __call__(self, source: Any, batch: Any, weight: float) -> Any:
        loss = (
            self._loss(source)
            if isinstance(batch, dict) and not batch
            else self._loss(source, batch)
        )
        if getattr(loss, "ndim", 0) != 0:
            raise ValueError(
                f"the loss returned an array of shape {tuple(loss.shape)}; it must be a scalar: "
                "the mean or the sum over its terms"
            )
        return weight * loss


class _OutputLoss:
    """(params, x, y) ↦ the loss of the model's output."""

    def __init__(self, model: Any, loss: OutputLoss) -> None:
        self._model, self._loss = Called(model), loss
        self.anchor, self.form = model, loss

    def __call__(self, source: Any, x: Any, y: Any) -> Any:
        return self._loss.value(self._model(source, x), y)


@takes_options
def hessian(
    function: Any,
    params: Any = None,
    data: Any = None,
    loss: Any = None,
    *,
    terms: Callable[[Any], float] | None = None,
    **options: Any,
) -> Curvature:
    """Return the Hessian H = ∇² ℓ of a loss over a data set.

    Parameters
    ----------
    function : callable, torch.nn.Module or Closures
        (params, batch) ↦ scalar, the mean or sum over the batch's terms as `reduction` says; it
        gets a module where `params` is one. With `loss`, a model as for `gauss_newton` instead.
    params : optional
        A tree of arrays, an array, a module, or `ritz.select(...)`: also the inputs of a network,
        or `ritz.activation(...)`, may be what is differentiated by.
    data : batch, list of batches, or loader
        What `function` gets, whole. None: it is called with the parameters alone.
    loss : optional
        As for `gauss_newton`: counts the valid terms itself.
    terms : callable, optional
        batch ↦ the number of terms that the batch's mean divides by; its number of samples by
        default. Where targets are ignored or weighted, it makes the mean that of the whole data.
    **options
        As for `gauss_newton`; `reduction` is "mean" by default.

    Returns
    -------
    Curvature
        Symmetric, (n, n), on trees like the parameters or flat vectors.

    Raises
    ------
    TypeError, ValueError, StaleError
        As for `gauss_newton`.

    Notes
    -----
    A product costs one backward pass through the recorded gradient, 1.4 to 3 gradients. The record
    is made once a batch and point if it fits the memory budget.

    References
    ----------
    Pearlmutter: Fast exact multiplication by the Hessian. Neural Computation 6, 1994.
    """
    given = Options(**options)
    if loss is not None:
        if terms is not None:
            raise TypeError("terms is for losses of one's own; `loss` counts them itself")
        output_loss = losses.resolve(loss, given.reduction)
        return _of_model(function, data, given, output_loss, as_parameters(params, function))
    if is_module(function):
        raise TypeError(
            "function is a module, which gives outputs and no loss: pass loss=, or a function "
            "(module, batch) -> scalar with the module as params"
        )
    return _of_scalar(function, data, given, terms, as_parameters(params))


def _of_model(
    model: Any, data: Any, options: Options, loss: OutputLoss, parameters: Parameters
) -> Curvature:
    total = ModelSum(model, parameters, data, options, loss)
    return Curvature(total, partial(_of_model, model, data, options, loss))


def _of_scalar(
    loss: Any,
    data: Any,
    options: Options,
    terms: Callable[[Any], float] | None,
    parameters: Parameters,
) -> Curvature:
    total = ScalarSum(loss, parameters, data, options, terms)
    return Curvature(total, partial(_of_scalar, loss, data, options, terms))
