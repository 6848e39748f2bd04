"""K-FAC, EKFAC and KFOC: Kronecker-factored Gauss-Newton and Fisher matrices of torch modules."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ritz import _arrays
from ritz.curvature.factors import APPROXIMATIONS, SHARINGS, factored
from ritz.curvature.kronecker import KroneckerBlock
from ritz.curvature.layerwise import module_sum
from ritz.curvature.operator import takes_options
from ritz.operators import LinearOperator
from ritz.trees import Structure

__all__ = ["Factors", "Kfac", "kfac"]

_DAMPINGS = ("exact", "heuristic")


class Factors(NamedTuple):
    """The factors of one block B ⊗ A on matrices V (o, i), V ↦ B V A.

    Attributes
    ----------
    A : tensor (i, i), float64
        Of the layer's inputs; the last row and column are those of the bias, if it is in the block.
    B : tensor (o, o), float64
        Of the gradients at its outputs, normalised as the loss is.
    """

    A: Any
    B: Any


class Kfac(LinearOperator):
    """A block diagonal matrix of Kronecker products, one block a layer. `ritz.kfac` makes it.

    It is that of the parameters when it was made, and does not follow them.

    Attributes
    ----------
    approximation : str
        "kfac", "ekfac" or "kfoc".
    blocks : dict of str to KroneckerBlock
        By the layers' names. With `separate_bias` by the parameters' names.
    """

    def __init__(
        self, structure: Structure, blocks: Sequence[KroneckerBlock], approximation: str
    ) -> None:
        self._structure = structure
        self.approximation = approximation
        self.blocks = {block.name: block for block in blocks}
        apply = _block_diagonal(structure, blocks, [block.product() for block in blocks])
        super().__init__(**_operator(structure, apply))

    @property
    def factors(self) -> dict[str, Factors]:
        """A and B of each block; for EKFAC those whose eigenvectors it has."""
        return {name: Factors(block.A, block.B) for name, block in self.blocks.items()}

    def eigenvalues(self) -> npt.NDArray[np.float64]:
        """Return all n eigenvalues in ascending order.

        The factors are decomposed at the first call, by 9 (o³ + i³) operations a block or so.
        """
        parts = [self._host(block.eigenvalues) for block in self.blocks.values()]
        return np.sort(np.concatenate(parts))

    def trace(self) -> float:
        """Return the trace: for EKFAC and expand sharing that of the matrix itself."""
        return math.fsum(block.trace() for block in self.blocks.values())

    def frobenius_norm(self) -> float:
        """Return the Frobenius norm."""
        return math.sqrt(math.fsum(block.squared_norm() for block in self.blocks.values()))

    def logdet(self, damping: float = 0.0, *, method: str = "exact") -> float:
        """Return log det of the matrix that `inverse` inverts; -inf if it is singular."""
        damping, method = self._damping(damping, method)
        with np.errstate(divide="ignore"):
            return math.fsum(
                float(np.log(self._host(block.damped_eigenvalues(damping, method))).sum())
                for block in self.blocks.values()
            )

    def inverse(self, damping: float = 0.0, *, method: str = "exact") -> LinearOperator:
        """Return the inverse with damping, to be used as `M` of `ritz.cg` among others.

        Parameters
        ----------
        damping : float
            δ, at least 0.
        method : {"exact", "heuristic"}
            "exact": (B ⊗ A + δ I)⁻¹ from the eigenvectors of the factors. "heuristic", not for
            EKFAC: (B + √δ/π I)⁻¹ ⊗ (A + π √δ I)⁻¹ with π² the ratio of the mean eigenvalues of A
            and B.

        Returns
        -------
        LinearOperator
            Symmetric positive definite.

        Raises
        ------
        ValueError
            If a block is singular to working precision and δ is 0.

        Notes
        -----
        The factors are decomposed at the first call, by 9 (o³ + i³) operations a block or so. A
        product costs 4 o i (o + i).

        References
        ----------
        Martens, Grosse: Optimizing neural networks with Kronecker-factored approximate curvature.
        ICML, 2015, section 6.3 (heuristic). George et al.: Fast approximate natural gradient
        descent in a Kronecker-factored eigenbasis. NeurIPS, 2018 (exact).
        """
        damping, method = self._damping(damping, method)
        eps = np.finfo(self._structure.dtype).eps
        functions = []
        for name, block in self.blocks.items():
            values = block.damped_eigenvalues(damping, method)
            low, high = float(values.min()), float(values.max())
            if not low > (0.0 if damping else eps * high):
                raise ValueError(
                    f"block {name!r} is singular: its eigenvalues are from {low:.2g} to "
                    f"{high:.2g}; pass a damping greater than 0"
                )
            functions.append(block.function(1.0 / values))
        apply = _block_diagonal(self._structure, list(self.blocks.values()), functions)
        return LinearOperator(**_operator(self._structure, apply))

    def _damping(self, damping: Any, method: str) -> tuple[float, str]:
        if method not in _DAMPINGS:
            raise ValueError(f'method is {method!r}; pass "exact" or "heuristic"')
        if method == "heuristic" and self.approximation == "ekfac":
            raise ValueError(
                "method is 'heuristic', which damps the factors; the eigenvalues of EKFAC are not "
                "products of theirs: pass method='exact'"
            )
        return _arrays.nonnegative(damping, "damping"), method

    @staticmethod
    def _host(values: Any) -> npt.NDArray[np.float64]:
        result: npt.NDArray[np.float64] = np.asarray(values.cpu()).ravel()
        return result


def _operator(structure: Structure, apply: Callable[[Any], Any]) -> dict[str, Any]:
    n = structure.size
    return {
        "shape": (n, n),
        "matvec": lambda v: apply(v[:, None])[:, 0],
        "matmat": apply,
        "dtype": structure.dtype,
        "symmetric": True,
        "framework": structure.framework,
        "domain": structure,
        "codomain": structure,
    }


def _block_diagonal(
    structure: Structure,
    blocks: Sequence[KroneckerBlock],
    functions: Sequence[Callable[[Any], Any]],
) -> Callable[[Any], Any]:
    """Return X (n, k) ↦ the blocks times X, each a function of matrices (k, o, i)."""
    sizes = [math.prod(shape) for shape in structure.shapes]

    def apply(X: Any) -> Any:
        k = X.shape[1]
        pieces = list(structure.framework.moved(X, structure.device).split(sizes))
        for block, function in zip(blocks, functions, strict=True):
            rows = block.shape[0]
            parts = [pieces[i].reshape(rows, -1, k) for i in block.leaves]
            widths = [part.shape[1] for part in parts]
            V = structure.framework.concatenated([p.movedim(1, 0) for p in parts])
            Y = function(V.permute(2, 1, 0)).permute(1, 2, 0)
            for i, y in zip(block.leaves, Y.split(widths, 1), strict=True):
                pieces[i] = y.reshape(-1, k)
        return structure.framework.concatenated(pieces).to(X.device)

    return apply


@takes_options
def kfac(
    model: Any,
    params: Any = None,
    data: Any = None,
    loss: Any = "cross_entropy",
    *,
    kind: str = "exact",
    approximation: str = "kfac",
    sharing: str = "expand",
    samples: int = 1,
    seed: int = 0,
    separate_bias: bool = False,
    **options: Any,
) -> Kfac:
    """Approximate each layer's block of a Fisher matrix by a Kronecker product B ⊗ A.

    For a layer s = W a and the gradients g of the outputs' curvature with respect to s, the block
    (1/n) Σ g gᵀ ⊗ a aᵀ becomes ((1/n) Σ g gᵀ) ⊗ (mean of a aᵀ).

    Parameters
    ----------
    model : torch.nn.Module
        Or a function (module, x) ↦ z, with the module or a choice from it as `params`.
    params : optional
        `ritz.select(...)` or patterns of the module's parameter names, all of them of layers
        nn.Linear and nn.Conv1d, 2d, 3d (without groups). None: all trainable parameters.
    data, loss
        As for `ritz.fisher`.
    kind : {"exact", "mc", "empirical"}
        As for `ritz.fisher`. "exact" is the Gauss-Newton matrix. For "mc" a sample's terms are
        drawn together.
    approximation : {"kfac", "ekfac", "kfoc"}
        "kfac" as above; "ekfac" has the factors' eigenvectors, and with them the best eigenvalues
        in the Frobenius norm, by a second pass over the data; "kfoc" has the factors that are best
        in the Frobenius norm.
    sharing : {"expand", "reduce"}
        What of the positions r at which a sample passes a layer (tokens, pixels): "expand" counts
        them as samples of their own; "reduce" takes mean(a_r) and Σ g_r. EKFAC's eigenvalues and
        KFOC are of the true gradients Σ g_r a_rᵀ.
    samples, seed
        As for `ritz.fisher`.
    separate_bias : bool
        Give the bias a block of its own. Otherwise a has a last entry of one for it.
    **options
        As for `ritz.fisher`.

    Returns
    -------
    Kfac
        Symmetric positive semidefinite, (n, n); blocks between layers are zero.

    Raises
    ------
    TypeError
        If the model is not a torch module.
    ValueError
        For parameters of other layers, ones used outside of their layer, layers that mix samples,
        and all that `ritz.fisher` raises.

    Notes
    -----
    Exact for one sample at one position; for deep linear networks with squared errors, with
    "expand" if each output depends on one position, with "reduce" if the outputs are those of the
    mean over positions. Ignored terms count nowhere: samples without a valid term, and for outputs
    at the layer's own positions also those positions, are left out of A.

    One pass over the data (two for EKFAC) with, a batch, as many backward passes as one sample has
    outputs for "exact", terms for "empirical", `samples` for "mc". The first batch takes one more,
    which checks that the layers' gradients are what autograd says. Memory: the graph of one batch,
    o² + i² elements a layer. KFOC keeps a and g of all data, or Σ g_r a_rᵀ where that is less, and
    contracts them in each of its iterations.

    References
    ----------
    Martens, Grosse: Optimizing neural networks with Kronecker-factored approximate curvature.
    ICML, 2015. Grosse, Martens: A Kronecker-factored approximate Fisher matrix for convolution
    layers. ICML, 2016. George et al.: Fast approximate natural gradient descent in a
    Kronecker-factored eigenbasis. NeurIPS, 2018. Eschenhagen et al.: Kronecker-factored approximate
    curvature for modern neural network architectures. NeurIPS, 2023. Koroko et al.: Efficient
    approximations of the Fisher matrix in neural networks using Kronecker product singular value
    decomposition. 2022.
    """
    for name, value, known in (
        ("approximation", approximation, APPROXIMATIONS),
        ("sharing", sharing, SHARINGS),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}; pass one of {', '.join(map(repr, known))}")
    total = module_sum(
        "K-FAC", model, params, data, loss, kind=kind, samples=samples, seed=seed, **options
    )
    blocks = factored(total, approximation, sharing == "reduce", bool(separate_bias))
    return Kfac(total.structure, blocks, approximation)
