"""Passes over data by layer: what enters the layers, and columns of curvature that come back."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ritz.curvature.gauss_newton import Exact, Middle, OutputSum, PerSample, Sampled, fisher
from ritz.curvature.losses import OutputLoss
from ritz.curvature.parameters import as_parameters, is_module

if TYPE_CHECKING:
    from ritz.frameworks.torch_layers import Layer
    from ritz.frameworks.torch_recording import Recording

__all__ = ["Pass", "columns", "live_terms", "module_sum", "normalisation", "passes"]


@dataclass(frozen=True)
class Pass:
    """One batch: its recording, and the columns of the curvature at its outputs.

    Attributes
    ----------
    recording : Recording
    leaves : list of tensors
        The parameters that the recording depends on.
    inputs, targets
        Of the batch.
    samples : int
        Their number.
    terms : float
        The number of valid terms of the loss.
    first : bool
        Whether it is the first one, or the first of several samples: only there mixed ones show.
    """

    total: OutputSum
    first_sample: int
    recording: Recording
    leaves: list[Any]
    inputs: Any
    targets: Any
    samples: int
    terms: float
    first: bool

    def columns(self, joint: bool = False) -> Iterator[Any]:
        """Yield tensors u of the shape of the output; see `columns`."""
        z = self.recording.z.detach()
        middle = self.total.middle
        state = middle.state(z, self.targets, self.first_sample)
        return columns(middle, state, z, self.samples, joint)

    def live_terms(self) -> Any:
        """Return which terms of each sample count."""
        return live_terms(self.total.loss, self.recording.z.detach(), self.targets, self.samples)


def module_sum(user: str, model: Any, params: Any, *args: Any, **options: Any) -> OutputSum:
    """Return the sum over batches that `ritz.fisher` is; TypeError but for a torch module."""
    parameters = as_parameters(params, model) if params is not None or is_module(model) else None
    if parameters is None or not parameters.is_module:
        raise TypeError(
            f"{user} needs the layers of a torch.nn.Module; model is {model!r:.60}, and params is "
            "not of a module: pass the module, and params=None or patterns of its parameter names"
        )
    total = fisher(model, parameters, *args, **options)._sum
    assert isinstance(total, OutputSum)
    return total


def passes(total: OutputSum, layers: Sequence[Layer]) -> Iterator[Pass]:
    """Yield for each batch its recorded forward pass."""
    from ritz.frameworks.torch_products import recordable
    from ritz.frameworks.torch_recording import Recording

    most = 0
    total.require_fresh()
    first = total._first_sample()
    for batch in total.data:
        leaves = [leaf.detach().requires_grad_() for leaf in total.leaves]
        x, y, n = total.data.inputs(batch), total.data.targets(batch), total.data.size(batch)
        if n == 0:
            continue
        x = recordable(x)
        recording = Recording(layers, _forward(total, leaves, x), n)
        shape = tuple(recording.z.shape)
        if not shape or shape[0] % n:
            raise ValueError(
                f"the model returned shape {shape} for a batch of {n} samples; the samples must be "
                "along its first axis: pass batch_size if they are counted wrongly"
            )
        terms = float(total.loss.terms(y, shape))
        yield Pass(total, first, recording, leaves, x, y, n, terms, most < min(n, 2))
        first += n
        most = max(most, min(n, 2))


def _forward(total: OutputSum, leaves: list[Any], x: Any) -> Any:
    function: Any = total.function
    return lambda: function(leaves, total.constants, x)


def normalisation(total: OutputSum, terms: float, samples: float) -> float:
    """Return the factor of the sum over all batches and ranks."""
    terms, samples = float(total.data.total(terms)), float(total.data.total(samples))
    if not terms > 0.0:
        raise ValueError("data has no valid terms: all targets are ignored or weigh zero")
    return total.normalisation(terms, samples)


def columns(middle: Middle, state: Any, z: Any, n: int, joint: bool = False) -> Iterator[Any]:
    """Yield tensors u of the shape of z with Σ u_i u_iᵀ = C_i for the block C_i of each sample i.

    Parameters
    ----------
    middle : Middle
        The curvature C, block diagonal over samples.
    state : tuple of arrays
        Its state at z.
    z : tensor
        The outputs; the first axis is that of the samples, or of samples times positions.
    n : int
        The number of samples.
    joint : bool
        Take drawn gradients of all terms of a sample together: one column a draw, which gives C in
        expectation only.

    Notes
    -----
    As many columns as a sample has outputs for the exact curvature; as a sample has terms, for
    each draw, for one of gradients. A loss without a square root costs as many Hessian products,
    and an eigendecomposition, a sample.
    """
    loss = middle.loss
    if isinstance(middle, Exact):
        if type(loss).factor_product is OutputLoss.factor_product:
            yield from _decomposed(loss, state, z, n)
            return
        for unit in _units(z, z.shape, n):
            yield loss.factor_product(state, unit)
        return
    scale = math.sqrt(getattr(middle, "weight", 1.0))
    whole = isinstance(middle, PerSample) or (joint and isinstance(middle, Sampled))
    for g in state:
        if whole:
            yield scale * g
            continue
        for unit in _units(z, _terms_shape(loss, z), n):
            yield scale * unit * g


def _decomposed(loss: OutputLoss, state: Any, z: Any, n: int) -> Iterator[Any]:
    """Yield the columns for a loss without a square root, from each sample's dense Hessian."""
    from array_api_compat import array_namespace

    rows = [loss.hessian_product(state, unit).reshape(n, -1) for unit in _units(z, z.shape, n)]
    xp = array_namespace(z)
    H = xp.stack(rows, axis=1)
    values, vectors = xp.linalg.eigh((H + H.mT) / 2)
    # Convex: what is below zero is rounding.
    S = vectors * values.clip(min=0).sqrt()[:, None, :]
    for j in range(S.shape[-1]):
        yield S[:, :, j].reshape(z.shape)


def _units(z: Any, shape: tuple[int, ...], n: int) -> Iterator[Any]:
    """Yield tensors of this shape that are one at one place of each sample and zero elsewhere."""
    unit = z.new_zeros(shape).reshape(n, -1)
    for j in range(unit.shape[1]):
        unit[:, j] = 1.0
        yield unit.reshape(shape)
        unit[:, j] = 0.0


def _terms_shape(loss: OutputLoss, z: Any) -> tuple[int, ...]:
    """Return the shape of z with length 1 along the axis that one term spans."""
    shape = list(z.shape)
    if loss.axis is not None and len(shape) > 1:
        shape[loss.axis] = 1
    return tuple(shape)


def live_terms(loss: OutputLoss, z: Any, y: Any, n: int) -> Any:
    """Return which terms of each sample count, as a boolean tensor (n, terms).

    Those that do not are ignored or weigh nothing: their curvature is zero even at z = 0, where
    that of no usual loss degenerates.
    """
    zero = z.new_zeros(z.shape)
    shape = _terms_shape(loss, z)
    # Different entries: a softmax does not see a constant.
    probe = zero + 1.0
    if shape != tuple(z.shape):
        probe = probe.cumsum(loss.axis)
    live = loss.hessian_product(loss.curvature(zero, y), probe) != 0
    if shape != tuple(z.shape):
        live = live.any(loss.axis, keepdim=True)
    return live.reshape(n, -1)
