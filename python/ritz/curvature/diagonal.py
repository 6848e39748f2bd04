"""Diagonals of operators: exact ones of Gauss-Newton matrices layer by layer, and estimates."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz._run import setting
from ritz.curvature.gauss_newton import OutputSum
from ritz.curvature.layerwise import module_sum, normalisation, passes
from ritz.curvature.operator import Sum, takes_options
from ritz.operators import LinearOperator, aslinearoperator
from ritz.results import Counts, Result, Status

__all__ = ["DiagonalEstimate", "exact_diagonal", "ggn_diagonal", "has_exact", "xdiag"]

Array = npt.NDArray[Any]


class DiagonalEstimate(Result):
    """An estimated diagonal: the tuple (value, stderr), both of shape (n,).

    Attributes
    ----------
    method : str
        "exact" or "xdiag".
    """

    method: str

    @property
    def value(self) -> Any:
        """The estimate, of the operator's framework."""
        return self[0]

    @property
    def stderr(self) -> Any:
        """Its standard error by element; zero where the value is exact."""
        return self[1]


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


def xdiag(A: Any, products: int = 64, *, seed: int = 0, like: Any = None) -> DiagonalEstimate:
    """Estimate diag(A) by XDiag: a low-rank part exactly, the rest by random signs.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes, with products by Aᴴ.
    products : int
        At least 4; half of them are with A, half with Aᴴ. n or more: n give it exactly.
    seed : int
        Of the signs: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.

    Returns
    -------
    DiagonalEstimate
        (value, stderr), both (n,), with `method`, "exact" or "xdiag", and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used; if a product is not finite.

    Notes
    -----
    With s = products / 2 sign vectors ω_i, Y = AΩ, and Q_i an orthonormal basis of the columns of Y
    without the i-th, the value is the mean over i of

        diag(Q_i Q_iᴴ A) + ω_i ⊙ (A − Q_i Q_iᴴ A) ω_i.

    Each is unbiased, since Q_i does not depend on ω_i, and exact if A has rank below s. All are
    formed from Y and AᴴQ together. stderr is that of the mean of the s values as if they were
    independent; they are nearly so where Q takes little of A.

    Two block products. Memory: four blocks (n, s). 4 n s² operations beside the products.

    References
    ----------
    Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
    SIAM J. Matrix Anal. Appl. 45, 2024, section 2.4.
    """
    A = aslinearoperator(A)
    A.require_square("xdiag")
    n = A.shape[0]
    products = _arrays.integer(products, "products", 4)
    seed = _arrays.seed_of(seed)
    framework, dtype = setting(A, like)
    start, before = time.perf_counter(), A.counts

    def times(operator: LinearOperator, X: Array, what: str) -> Array:
        Y = framework.to_numpy(operator.matmat(framework.from_numpy(X.astype(dtype))), what)
        if not np.isfinite(Y).all():
            raise ValueError(f"the product {what} has an element that is not finite")
        # The estimate is a small difference of large terms: formed in double precision.
        return Y.astype(np.result_type(dtype, np.float64))

    if products >= n:
        value, stderr, method = np.diagonal(times(A, np.eye(n), "A I")).copy(), np.zeros(n), "exact"
    else:
        signs = np.random.default_rng(seed).integers(0, 2, (n, products // 2)) * 2.0 - 1.0
        value, stderr = _xdiag(signs, times(A, signs, "A Ω"), lambda Q: times(A.H, Q, "Aᴴ Q"))
        method = "xdiag"
    seconds = time.perf_counter() - start
    real = np.finfo(dtype).dtype
    made = Counts(*(b - a for a, b in zip(before, A.counts, strict=True)))
    return DiagonalEstimate(
        tuple(framework.from_numpy(x) for x in (value.astype(dtype), stderr.astype(real))),
        status=Status.converged,
        message=f"{made.total} products gave the diagonal, method {method}",
        iterations=made.total,
        products=made,
        preconditioner_products=0,
        residual=float(np.linalg.norm(stderr)),
        target=float("nan"),
        verified=True,
        history=None,
        seconds=seconds,
        method=method,
    )


def _xdiag(signs: Array, Y: Array, adjoint: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return the mean of the s estimates and its standard error."""
    s = signs.shape[1]
    Q, R = np.linalg.qr(Y)
    U, sigma, Vh = np.linalg.svd(R)
    keep = sigma > sigma[0] * max(Y.shape) * np.finfo(Y.dtype).eps
    Q, V = Q @ U[:, keep], Vh[keep].conj().T  # Y = Q Σ Vᴴ
    Z = adjoint(Q)
    T = Z.conj().T @ signs  # Qᴴ A Ω
    # Without column i the range of Y loses the direction Q q_i, q_i ∝ Σ⁻¹ v_i, if row i of V has
    # norm one, and nothing otherwise: then y_i is a combination of the other columns.
    rows = V.conj() / sigma[keep]
    needed = np.linalg.norm(V, axis=1) > 1.0 - 1e-8
    lengths = np.linalg.norm(rows, axis=1)
    q = np.where(needed, rows.T / np.where(lengths > 0.0, lengths, 1.0), 0.0)
    Qq, Zq = Q @ q, Z @ q
    whole = np.sum(Q * Z.conj(), axis=1)
    rest = signs * (Y - Q @ T + Qq * np.sum(q.conj() * T, axis=0))
    each = whole[:, None] - Qq * Zq.conj() + rest
    return each.mean(axis=1), np.asarray(np.std(each, axis=1, ddof=1)) / np.sqrt(s)
