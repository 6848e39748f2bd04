"""Exact diagonals of Gauss-Newton matrices, layer by layer."""

from __future__ import annotations

from typing import Any

from ritz.curvature.gauss_newton import OutputSum
from ritz.curvature.layerwise import module_sum, normalisation, passes
from ritz.curvature.operator import Sum, takes_options

__all__ = ["exact_diagonal", "ggn_diagonal", "has_exact"]


@takes_options
def ggn_diagonal(
    model: Any,
    params: Any = None,
    data: Any = None,
    loss: Any = "mse",
    *,
    kind: str = "exact",
    samples: int = 1,
    seed: int = 0,
    **options: Any,
) -> Any:
    """Return the exact diagonal of `ritz.fisher` with the same arguments, of a torch module.

    Parameters
    ----------
    model : torch.nn.Module
        Or a function (module, x) ↦ z, with the module or a choice from it as `params`.
    params, data, loss, kind, samples, seed, **options
        As for `ritz.fisher`. kind="exact" is the Gauss-Newton matrix.

    Returns
    -------
    tree
        Like the parameters: the diagonal of each leaf.

    Raises
    ------
    TypeError, ValueError
        As `ritz.fisher` does; if the model is not a torch module; if the samples of a batch do not
        pass it independently.

    Notes
    -----
    diag = (1/n) Σ (Jᵢᵀ u)² over samples i and the columns u of the curvature at their outputs: as
    many backward passes a batch as one sample has outputs for "exact", and as it has terms, for
    each draw, for the other kinds. They stop at the layers' outputs: the gradients of nn.Linear,
    nn.Conv1d, 2d, 3d, nn.Embedding, layer, group, RMS and batch norm (in evaluation mode) follow
    from what entered the layers. Parameters of other layers, and those used in several places,
    take one vmapped backward pass through the whole model a column. Memory: the graph of one batch.

    References
    ----------
    Dangel, Kunstner, Hennig: BackPACK: packing more into backprop. ICLR, 2020.
    """
    total = module_sum(
        "ggn_diagonal", model, params, data, loss, kind=kind, samples=samples, seed=seed, **options
    )
    return total.structure.unflatten(exact_diagonal(total))


def has_exact(total: Sum) -> bool:
    """Tell whether `exact_diagonal` is for this sum: one of outputs of a torch module."""
    return isinstance(total, OutputSum) and total.parameters.is_module


def exact_diagonal(total: OutputSum) -> Any:
    """Return the diagonal (n,) of Σ Jᵀ C J over batches of a torch module; see `ggn_diagonal`."""
    from ritz.frameworks.torch_layers import layers_of
    from ritz.frameworks.torch_samples import SampleGradients

    layers, rest = layers_of(total.parameters.source, total.parameters.names)
    function: Any = total.function
    others = SampleGradients(function, total.leaves, total.constants, rest)
    sums = [0.0 * leaf.double() for leaf in total.leaves]
    terms = samples = 0.0
    for each in passes(total, layers):
        recording = each.recording
        terms, samples = terms + each.terms, samples + each.samples
        if each.first:
            # What does not behave as a layer of its own is left to the general way.
            faulty = {layer for layer, _ in recording.faults(each.leaves)}
            faulty |= set(layers).difference(recording.reached)
            layers[:] = [layer for layer in layers if layer not in faulty]
            others.chosen += [i for layer in faulty for i in layer.leaves.values()]
            others.check(each.inputs, recording.z, each.leaves, each.samples)
        here = [layer for layer in layers if layer in recording.reached]
        inputs = {layer: recording.inputs(layer) for layer in here}
        for u in each.columns():
            rows = recording.backward(u)
            for layer in here:
                for role, square in layer.squares(inputs[layer], rows[layer]).items():
                    sums[layer.leaves[role]] += square
            for i, square in others.squares(each.inputs, u, each.samples).items():
                sums[i] += square
    scale = normalisation(total, terms, samples)
    return total.structure.join(
        [
            (total.data.total(square) * scale).to(leaf.dtype)
            for square, leaf in zip(sums, total.leaves, strict=True)
        ]
    )
