"""Gauss-Newton and Fisher matrices: Σ Jᵀ C J with C a curvature of the loss at the outputs."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from functools import partial
from typing import Any

from ritz import _arrays
from ritz.curvature import losses
from ritz.curvature.closures import Closures
from ritz.curvature.losses import OutputLoss
from ritz.curvature.operator import Curvature, Options, Sum, forming, takes_options
from ritz.curvature.parameters import Parameters, as_parameters, is_module
from ritz.operators import LinearOperator

__all__ = ["fisher", "gauss_newton", "gradient_covariance"]


class Middle(ABC):
    """C of one batch: a function of `state`, made once a point, and of the outputs' tangents.

    Equal ones compute the same, so that compiled products are found again.
    """

    def __init__(self, loss: OutputLoss) -> None:
        self.loss = loss

    @abstractmethod
    def state(self, z: Any, y: Any, first: int) -> Any:
        """Return the arrays that products need; `first` is the number of the first sample."""

    @abstractmethod
    def __call__(self, state: Any, u: Any) -> Any:
        """Return C u, of the shape of u."""

    def _key(self) -> tuple[Any, ...]:
        return type(self), self.loss

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Middle) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Exact(Middle):
    """The Hessian of the loss with respect to the outputs."""

    def state(self, z: Any, y: Any, first: int) -> Any:
        return self.loss.curvature(z, y)

    def __call__(self, state: Any, u: Any) -> Any:
        return self.loss.hessian_product(state, u)


class _Outer(Middle):
    """Σ g gᵀ over the vectors g that `state` holds, each spanning the last `span` axes."""

    def __init__(self, loss: OutputLoss, weight: float = 1.0) -> None:
        super().__init__(loss)
        self.weight = weight

    def _key(self) -> tuple[Any, ...]:
        return type(self), self.loss, self.weight

    def __call__(self, state: Any, u: Any) -> Any:
        return self.weight * sum(g * self._inner(g, u) for g in state)

    def _inner(self, g: Any, u: Any) -> Any:
        axis = self.loss.axis if g.ndim > 1 else None
        return g * u if axis is None else (g * u).sum(axis, keepdims=True)


class Empirical(_Outer):
    """g = ∇ℓ of each term at its own target."""

    def state(self, z: Any, y: Any, first: int) -> Any:
        return (self.loss.gradient(z, y),)


class Sampled(_Outer):
    """g = ∇ℓ of each term at a target drawn from the model's own distribution."""

    def __init__(self, loss: OutputLoss, samples: int, seed: int) -> None:
        super().__init__(loss, 1.0 / samples)
        self.samples, self.seed = samples, seed

    def state(self, z: Any, y: Any, first: int) -> Any:
        state = self.loss.curvature(z, y)
        return tuple(self.loss.sample(state, self.seed, k, first) for k in range(self.samples))


class PerSample(Empirical):
    """g = ∇ℓ of each sample: all terms of an entry of the first axis together."""

    def _inner(self, g: Any, u: Any) -> Any:
        axes = tuple(range(1, g.ndim))
        return (g * u).sum(axes, keepdims=True) if axes else g * u


class _Normalised(Middle):
    """Another middle, times the factor that its state begins with."""

    def __init__(self, middle: Middle) -> None:
        super().__init__(middle.loss)
        self._middle = middle

    def _key(self) -> tuple[Any, ...]:
        return type(self), self._middle

    def state(self, z: Any, y: Any, first: int) -> Any:
        return 1.0, self._middle.state(z, y, first)

    def __call__(self, state: Any, u: Any) -> Any:
        return state[0] * self._middle(state[1], u)


class OutputSum(Sum):
    """Σ Jᵀ C J over batches of a model and a loss of its outputs."""

    def __init__(
        self,
        model: Any,
        parameters: Parameters,
        data: Any,
        options: Options,
        middle: Middle,
    ) -> None:
        self.middle, self.loss = middle, middle.loss
        self.draws = isinstance(middle, Sampled)
        self.reduction = self.loss.reduction
        self.model = model
        self.forming = forming(parameters.structure, model)
        self.function = model if isinstance(model, Closures) else parameters.bind(Called(model))
        super().__init__(parameters, data, options)

    def contribution(self, batch: Any, first: int, how: str, budget: int) -> OutputContribution:
        return OutputContribution(self, batch, first, how, budget)

    def linearized(self, batch: Any, how: str, budget: int) -> Any:
        """Return the model's linearisation at one batch."""
        x = self.data.inputs(batch)
        args = (x,) if isinstance(self.model, Closures) else (self.constants, x)
        return self.forming.linearize(
            self.function,
            self.structure,
            self.leaves,
            args,
            how=how,
            budget=budget,
            memory=self._memory,
        )


class PerSampleSum(OutputSum):
    def normalisation(self, terms: float, samples: float) -> float:
        mean = (self.options.reduction or self.reduction) == "mean"
        return samples / terms**2 if mean else 1.0


class OutputContribution:
    """What one batch gives: its linearisation and the state of its loss."""

    def __init__(self, total: OutputSum, batch: Any, first: int, how: str, budget: int) -> None:
        self._linearized = lin = total.linearized(batch, how, budget)
        self._loss, self.targets = total.loss, total.data.targets(batch)
        self.terms = float(total.loss.terms(self.targets, lin.value.shape))
        self.samples = total.data.size(batch)
        self._middle = _Normalised(total.middle)
        self._state = self._middle.state(lin.value, self.targets, first)
        self.product = lin.through(self._middle, self._state)

    def normalise(self, factor: float) -> None:
        """Multiply products by this from now on."""
        self._state = (factor, self._state[1])
        self.product = self._linearized.through(self._middle, self._state)

    @property
    def how(self) -> str:
        """How products are formed."""
        how: str = self._linearized.how
        return how

    @property
    def bytes(self) -> int:
        """Kept between products."""
        kept: int = self._linearized.bytes
        return kept

    @property
    def linearized(self) -> Any:
        """The model's linearisation."""
        return self._linearized

    def pulled(self, u: Any) -> Any:
        """Return Jᵀ S u for flat u."""
        w = u.reshape(self._linearized.value.shape)
        return self._linearized.vjp(self._loss.factor_product(self._state[1], w))

    def pushed(self, v: Any) -> Any:
        """Return Sᵀ J v."""
        return self._loss.factor_transposed(self._state[1], self._linearized.jvp(v))

    def block(self, V: Any) -> Any:
        """Return Jᵀ C J V."""
        return self._linearized.through_block(self._middle, self._state)(V)

    def value(self) -> Any:
        """Return the sum of the loss over terms."""
        return self._loss.value(self._linearized.value, self.targets)

    def gradient(self) -> Any:
        """Return Jᵀ ∇ℓ."""
        return self._linearized.vjp(self._loss.gradient(self._linearized.value, self.targets))


class OutputCurvature(Curvature):
    """A curvature matrix Jᵀ C J that goes through a model's outputs."""

    _sum: OutputSum

    def gram(self) -> LinearOperator:
        """Return G in function space, (1/n) Sᵀ J Jᵀ S with H = S Sᵀ, on the outputs of all data.

        It is m × m for m outputs, batch after batch, and shares its eigenvalues other than zero
        with G = (1/n) Jᵀ S Sᵀ J: for few samples and many parameters the smaller side.

        Raises
        ------
        TypeError
            For data of a loader, which are not kept, and for Fisher matrices other than the exact
            one.

        Notes
        -----
        A product costs as much as one with G.
        """
        total = self._sum
        if not isinstance(total.middle, Exact):
            raise TypeError("gram is for the Gauss-Newton matrix and the exact Fisher matrix")
        if not total.data.static or total.options.comm is not None:
            raise TypeError("gram needs all outputs in one place: pass a list of batches")

        def parts() -> list[OutputContribution]:
            return list(total.contributions())  # type: ignore[arg-type]

        sizes = [math.prod(c.linearized.value.shape) for c in parts()]
        offsets = [0, *itertools.accumulate(sizes)]

        def matvec(u: Any) -> Any:
            kept, y = parts(), None
            for c, first, last in zip(kept, offsets[:-1], offsets[1:], strict=True):
                g = c.pulled(u[first:last])
                y = g if y is None else y + g
            out = [c.pushed(y).reshape(-1) for c in kept]
            factor = total.normalisation(sum(c.terms for c in kept), sum(c.samples for c in kept))
            return total.structure.framework.concatenated(out) * factor

        return LinearOperator(
            (offsets[-1], offsets[-1]),
            lambda u: total.back(matvec(total.own(u)), u),
            dtype=total.structure.dtype,
            symmetric=True,
            framework=total.structure.framework,
        )


class Called:
    """A model as a function of its parameters and one batch's inputs."""

    def __init__(self, model: Any) -> None:
        self.anchor = model
        self.form = "model"
        self._module = is_module(model)

    def __call__(self, source: Any, x: Any) -> Any:
        return source(x) if self._module else self.anchor(source, x)


def _operator(
    kind: type[OutputSum],
    model: Any,
    data: Any,
    middle: Middle,
    options: Options,
    params: Any,
) -> OutputCurvature:
    total = kind(model, as_parameters(params, model), data, options, middle)
    # Not a closure that knows itself: such a cycle would hold the model and the data.
    return OutputCurvature(total, partial(_operator, kind, model, data, middle, options))


@takes_options
def gauss_newton(
    model: Any, params: Any = None, data: Any = None, loss: Any = "mse", **options: Any
) -> OutputCurvature:
    """Return the generalised Gauss-Newton matrix G = (1/n) Σᵢ Jᵢᵀ Hᵢ Jᵢ of a model and its loss.

    Jᵢ is the Jacobian of the model's output zᵢ with respect to the parameters, Hᵢ = ∇²ℓᵢ(zᵢ), and n
    the number of valid terms of the whole data set: how it is cut into batches changes nothing.

    Parameters
    ----------
    model : torch.nn.Module, callable or Closures
        x ↦ z, or (params, x) ↦ z, or raw closures. z is one array. Of a dict batch, x is the dict
        without the targets: models that take keywords and return more than z are passed as
        `lambda module, x: module(**x).logits` with the module as `params`.
    params : optional
        A tree of arrays of the model's framework; a module; `ritz.select(...)`; or patterns of a
        module's parameter names. None: all trainable parameters of the module.
    data : batch, list of batches, or loader
        A batch is (inputs, targets), or a dict. A loader is read once a product.
    loss : str, torch loss module, OutputLoss or callable
        "mse", "half_squared", "cross_entropy", "bce_with_logits", "poisson", "huber"; a torch loss
        with its options; or a convex function (z, y) ↦ scalar, differentiated twice.
    **options
        `reduction`, `batch_size`, `target`, `linearize`, `memory_budget`, `deterministic`,
        `progress`, `comm`: see `ritz.curvature.Options`.

    Returns
    -------
    OutputCurvature
        Positive semidefinite, (n, n), on trees like the parameters or flat vectors.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used; for an empty choice of parameters, frozen ones, a model
        that is not deterministic, and data without valid terms.
    StaleError
        In products after the parameters moved; `update()` moves the operator.

    Notes
    -----
    A product costs one Jᵀ u and one J v a batch, about one gradient where the linearisation is kept
    and three where it is not.

    References
    ----------
    Schraudolph: Fast curvature matrix-vector products for second-order gradient descent. Neural
    Computation 14, 2002.
    """
    given = Options(**options)
    middle = Exact(losses.resolve(loss, given.reduction))
    return _operator(OutputSum, model, data, middle, given, params)


@takes_options
def fisher(
    model: Any,
    params: Any = None,
    data: Any = None,
    loss: Any = "mse",
    *,
    kind: str = "exact",
    samples: int = 1,
    seed: int = 0,
    **options: Any,
) -> OutputCurvature:
    """Return the Fisher information matrix F = (1/n) Σᵢ E[gᵢ gᵢᵀ] of a model and its loss.

    gᵢ is the gradient of the i-th term with respect to the parameters.

    Parameters
    ----------
    model, params, data, loss
        As for `gauss_newton`; the loss is a negative log-likelihood.
    kind : {"exact", "mc", "empirical"}
        The expectation over targets of the model's own distribution, which for losses of an
        exponential family equals the Gauss-Newton matrix; its mean over `samples` drawn targets;
        or gᵢ at the data's targets, which is not the Fisher matrix but often passes for it.
    samples : int
        Targets drawn for each term, for "mc".
    seed : int
        Of the drawn targets: the same seed gives the same operator.
    **options
        As for `gauss_newton`.

    Returns
    -------
    OutputCurvature

    Raises
    ------
    TypeError, ValueError, StaleError
        As for `gauss_newton`.

    Notes
    -----
    A vector gᵢ spans the outputs of one term: the classes of one prediction, the last axis of a
    regression. Products cost as those of `gauss_newton`.

    References
    ----------
    Kunstner, Balles, Hennig: Limitations of the empirical Fisher approximation for natural gradient
    descent. NeurIPS 2019.
    """
    given = Options(**options)
    output_loss = losses.resolve(loss, given.reduction)
    if kind == "exact":
        middle: Middle = Exact(output_loss)
    elif kind == "empirical":
        middle = Empirical(output_loss)
    elif kind == "mc":
        count = _arrays.integer(samples, "samples")
        middle = Sampled(output_loss, count, _arrays.seed_of(seed))
    else:
        raise ValueError(f'kind is {kind!r}; pass "exact", "mc" or "empirical"')
    return _operator(OutputSum, model, data, middle, given, params)


@takes_options
def gradient_covariance(
    model: Any, params: Any = None, data: Any = None, loss: Any = "mse", **options: Any
) -> OutputCurvature:
    """Return the uncentred covariance C = (1/N) Σᵢ gᵢ gᵢᵀ of the gradients of N samples.

    gᵢ is the gradient of the i-th sample's whole loss, scaled so that the mean of all gᵢ is the
    gradient of the loss; for a sum, C = Σᵢ gᵢ gᵢᵀ. A sample is an entry of the first axis: unlike
    in `fisher`, the tokens of one sequence belong together.

    Parameters
    ----------
    model, params, data, loss, **options
        As for `gauss_newton`.

    Returns
    -------
    OutputCurvature

    Raises
    ------
    TypeError, ValueError, StaleError
        As for `gauss_newton`.
    """
    given = Options(**options)
    middle = PerSample(losses.resolve(loss, given.reduction))
    return _operator(PerSampleSum, model, data, middle, given, params)
