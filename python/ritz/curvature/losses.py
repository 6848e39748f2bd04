"""Losses by name, from torch's loss modules, and from convex functions of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ritz.curvature.cross_entropy import CrossEntropy
from ritz.curvature.elementwise_losses import BCEWithLogits, HalfSquared, Huber, Poisson, Squared
from ritz.curvature.output_loss import OutputLoss, State, shape_of

__all__ = [
    "BCEWithLogits",
    "ConvexLoss",
    "CrossEntropy",
    "HalfSquared",
    "Huber",
    "OutputLoss",
    "Poisson",
    "Squared",
    "register",
    "resolve",
]


class ConvexLoss(OutputLoss):
    """A convex function loss(z, y) of torch or JAX arrays, differentiated twice.

    Parameters
    ----------
    loss : callable
        (z, y) ↦ scalar: the mean over the samples of the batch, or the sum, as `reduction` says.
    reduction : {"mean", "sum"}
        Means of batches are put together by their numbers of samples, the lengths of their first
        axes: each sample must have the same number of terms.

    Notes
    -----
    A product with H records and differentiates the loss anew. H must be block diagonal over
    samples and positive semidefinite, which is not checked. There is no square root.
    """

    def __init__(self, loss: Callable[[Any, Any], Any], *, reduction: str) -> None:
        super().__init__(reduction)
        self.loss = loss

    def terms(self, y: Any, z_shape: tuple[int, ...] | None = None) -> float:
        """Return the number of samples."""
        return float((*(shape_of(y) if z_shape is None else z_shape), 1)[0])

    def value(self, z: Any, y: Any) -> Any:
        """Return the sum over samples."""
        result = self.loss(z, y)
        if shape_of(result):
            raise ValueError(
                f"the loss returned an array of shape {shape_of(result)}; return a scalar, the "
                "mean or the sum over samples"
            )
        return result * (*z.shape, 1)[0] if self.reduction == "mean" else result

    def gradient(self, z: Any, y: Any) -> Any:
        """Return ∇ℓ."""
        return _gradient(z)(self.value)(z, y)

    def curvature(self, z: Any, y: Any) -> State:
        """Return z and y."""
        _gradient(z)
        return z, y

    def hessian_product(self, state: State, u: Any) -> Any:
        """Return H u: by two backward passes in torch, by a forward one over a backward in JAX."""
        from array_api_compat import is_torch_array

        z, y = state
        slope = _gradient(z)(self.value)
        if is_torch_array(z):
            import torch

            return torch.func.vjp(lambda x: slope(x, y), z)[1](u)[0]
        import jax

        return jax.jvp(lambda x: slope(x, y), (z,), (u,))[1]


def _gradient(z: Any) -> Callable[..., Any]:
    """Return the transformation of z's framework that differentiates with respect to it."""
    from array_api_compat import is_jax_array, is_torch_array

    if is_torch_array(z):
        from torch.func import grad

        return grad  # type: ignore[no-any-return]
    if is_jax_array(z):
        import jax

        return jax.grad  # type: ignore[no-any-return]
    raise TypeError(
        "NumPy does not differentiate functions: pass loss as a name, or as an object of a "
        "subclass of ritz.curvature.OutputLoss with its derivatives"
    )


# ---------------------------------------------------------------------------------------- by name

_registered: dict[str, Callable[..., OutputLoss]] = {
    "mse": Squared,
    "half_squared": HalfSquared,
    "cross_entropy": CrossEntropy,
    "bce_with_logits": BCEWithLogits,
    "poisson": Poisson,
    "huber": Huber,
}

# torch's modules and functions: what they are here, and the options that they share.
_TORCH: dict[str, tuple[Callable[..., OutputLoss], dict[str, Any], tuple[str, ...]]] = {
    "MSELoss": (Squared, {}, ()),
    "CrossEntropyLoss": (
        CrossEntropy,
        {"axis": 1},
        ("weight", "ignore_index", "label_smoothing"),
    ),
    "BCEWithLogitsLoss": (BCEWithLogits, {}, ("weight", "pos_weight")),
    "PoissonNLLLoss": (Poisson, {}, ("log_input", "full", "eps")),
    "HuberLoss": (Huber, {}, ("delta",)),
}
_TORCH |= {
    "mse_loss": _TORCH["MSELoss"],
    "cross_entropy": _TORCH["CrossEntropyLoss"],
    "binary_cross_entropy_with_logits": _TORCH["BCEWithLogitsLoss"],
    "poisson_nll_loss": _TORCH["PoissonNLLLoss"],
    "huber_loss": _TORCH["HuberLoss"],
}
# Linear in the model's output, or in pieces: their Gauss-Newton matrix is zero, which nobody wants.
_LINEAR = ("NLLLoss", "nll_loss", "L1Loss", "l1_loss")


def register(name: str, factory: Callable[..., OutputLoss]) -> None:
    """Make a loss known by a name.

    Parameters
    ----------
    name : str
        Not taken yet.
    factory : callable
        A subclass of `OutputLoss`, or a function: called with the keyword `reduction`.

    Raises
    ------
    ValueError
        If the name is taken.

    Examples
    --------
    The smooth absolute error Σ √(1 + (z − y)²):

    >>> import ritz
    >>> class SmoothAbsolute(ritz.curvature.OutputLoss):
    ...     def terms(self, y, z_shape=None):
    ...         return float(len(y))
    ...
    ...     def value(self, z, y):
    ...         return ((1 + (z - y) ** 2) ** 0.5).sum()
    ...
    ...     def gradient(self, z, y):
    ...         return (z - y) / (1 + (z - y) ** 2) ** 0.5
    ...
    ...     def curvature(self, z, y):
    ...         return ((1 + (z - y) ** 2) ** -1.5,)
    ...
    ...     def hessian_product(self, state, u):
    ...         return state[0] * u
    >>> ritz.curvature.register("smooth_absolute", SmoothAbsolute)
    """
    if not isinstance(name, str) or not callable(factory):
        raise TypeError(f"register takes a name and a callable, not {name!r} and {factory!r}")
    if name in _registered:
        raise ValueError(f"the loss {name!r} is registered already; choose another name")
    _registered[name] = factory


def resolve(loss: Any, reduction: str | None = None) -> OutputLoss:
    """Return the loss that an argument `loss` stands for.

    Parameters
    ----------
    loss : str, OutputLoss, torch loss module or callable
        A registered name; an object; one of torch's losses, as a module with its options or a
        function of `torch.nn.functional` (then the classes of a cross-entropy lie on axis 1, as in
        torch); or a convex function (z, y) ↦ scalar.
    reduction : {"mean", "sum"}, optional
        Necessary for functions of one's own, and for torch's modules with `reduction="none"`.
        Otherwise what the loss says of itself, "mean" for a name.

    Returns
    -------
    OutputLoss

    Raises
    ------
    TypeError, ValueError
        If `loss` is none of these, or `reduction` is missing or contradicts it.
    """
    if reduction not in (None, "mean", "sum"):
        raise ValueError(f'reduction is {reduction!r}; pass "mean" or "sum"')
    if isinstance(loss, str):
        if loss not in _registered:
            raise ValueError(f"loss is {loss!r}; the names are {', '.join(sorted(_registered))}")
        return _registered[loss](reduction=reduction or "mean")
    if isinstance(loss, OutputLoss):
        _own(loss, reduction)
        return loss
    if not callable(loss) or isinstance(loss, type):
        hint = f": pass {loss.__name__}(...), an object" if isinstance(loss, type) else ""
        raise TypeError(
            f"loss is {loss!r}; pass a name, a torch loss module, an OutputLoss or a callable{hint}"
        )
    name, known = _torch_name(loss)
    if known and name in _LINEAR:
        raise ValueError(
            f"loss is torch's {name}, which is linear in its input: its Gauss-Newton matrix is "
            "zero. Return logits and pass torch.nn.CrossEntropyLoss(), or pass torch.nn.HuberLoss()"
        )
    if known and name in _TORCH:
        kind, fixed, options = _TORCH[name]
        given = {k: getattr(loss, k) for k in options if hasattr(loss, k)}
        return kind(**fixed, **given, reduction=_own(loss, reduction, "mean"))
    return ConvexLoss(loss, reduction=_own(loss, reduction))


def _torch_name(loss: Any) -> tuple[str, bool]:
    """Return a name, and whether it is that of a loss of torch itself."""
    if getattr(loss, "__module__", None) == "torch.nn.functional":
        return str(getattr(loss, "__name__", "")), True
    kind = type(loss)
    return kind.__name__, kind.__module__ == "torch.nn.modules.loss"


def _own(loss: Any, reduction: str | None, default: str | None = None) -> str:
    """Return the reduction that a loss and its user agree on."""
    said = getattr(loss, "reduction", default)
    if said in ("mean", "sum"):
        if reduction not in (None, said):
            raise ValueError(
                f"reduction is {reduction!r}, but the loss itself has reduction={said!r}; make "
                "them equal, or leave out the argument"
            )
        return str(said)
    if said not in (None, "none"):
        raise ValueError(f'the loss has reduction={said!r}; make it "mean" or "sum"')
    if reduction is None:
        has = "does not say" if said is None else f"has reduction={said!r}, which does not say"
        raise ValueError(
            f'the loss {has} whether it is a mean or a sum: pass reduction="mean" (over the valid '
            'terms of all data) or reduction="sum"'
        )
    return reduction
