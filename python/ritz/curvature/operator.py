"""Curvature matrices as sums over a data set: what the batches give, added up and normalised."""

from __future__ import annotations

import importlib
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, Protocol, TypeVar

import numpy as np

from ritz import _arrays
from ritz.curvature.closures import Closures
from ritz.curvature.data import Data
from ritz.curvature.parameters import Parameters, StaleError
from ritz.operators import LinearOperator
from ritz.trees import Structure

__all__ = ["Curvature", "Formation", "Options"]

F = TypeVar("F", bound=Callable[..., Any])

_WAYS = ("auto", "graph", "trace", "recompute")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What all curvature operators are told of their data and of how products are formed.

    Parameters
    ----------
    reduction : {"mean", "sum"}, optional
        Whether the loss is the mean over all valid terms of the data set, or their sum. None: what
        the loss says of itself, "mean" for a name.
    batch_size : callable, optional
        batch ↦ number of samples, for batches whose first array does not tell.
    target : str, optional
        The key of a dict batch that holds the targets; "labels" by default.
    linearize : {"auto", "graph", "trace", "recompute"}
        How products are formed. "auto" measures the first ones.
    memory_budget : int, optional
        Bytes that may be kept between products; a quarter of the free memory by default.
    deterministic : bool
        False skips the checks for dropout, batch statistics and shuffled data.
    progress : bool
        Show a bar over the batches of each product.
    comm : optional
        An mpi4py communicator or a torch.distributed group: the other ranks hold other shards of
        the data, and all of them make the same calls.
    """

    reduction: str | None = None
    batch_size: Callable[[Any], int] | None = None
    target: str | None = None
    linearize: str = "auto"
    memory_budget: int | None = None
    deterministic: bool = True
    progress: bool = False
    comm: Any = None

    def __post_init__(self) -> None:
        if self.linearize not in _WAYS:
            raise ValueError(f"linearize is {self.linearize!r}; pass one of {', '.join(_WAYS)}")
        if self.reduction not in (None, "mean", "sum"):
            raise ValueError(f'reduction is {self.reduction!r}; pass "mean" or "sum"')
        if self.memory_budget is not None:
            _arrays.integer(self.memory_budget, "memory_budget", 0)

    def read(self, data: Any) -> Data:
        """Return the data set that these options describe."""
        return Data(
            data,
            batch_size=self.batch_size,
            target=self.target,
            progress=self.progress,
            deterministic=self.deterministic,
            comm=self.comm,
        )

    @property
    def budget(self) -> int:
        """Bytes that may be kept between products."""
        if self.memory_budget is not None:
            return self.memory_budget
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 4


def takes_options(function: F) -> F:
    """Show the fields of `Options` in the signature of a function that takes them as keywords."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    names = {p.name for p in own}
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default)
        for f in fields(Options)
        if f.name not in names
    ]

    @wraps(function)
    def checked(*args: Any, **keywords: Any) -> Any:
        if unknown := sorted(keywords.keys() - names - {p.name for p in shared}):
            raise TypeError(
                f"{function.__name__} has no argument {unknown[0]!r}; beside its own it takes "
                + ", ".join(p.name for p in shared)
            )
        return function(*args, **keywords)

    checked.__signature__ = signature.replace(parameters=own + shared)  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


@dataclass(frozen=True)
class Formation:
    """How the products of an operator are formed, and what that keeps.

    Attributes
    ----------
    how : tuple of str
        For each kept batch "graph", "trace", "recompute", "compiled" or "closures".
    batches : int
        In one pass over the data; 0 before the first product.
    bytes : int
        Kept between products, the parameters and the data not counted.
    linearizations : int
        Made so far.
    """

    how: tuple[str, ...]
    batches: int
    bytes: int
    linearizations: int


class Contribution(Protocol):
    """What one batch gives, at one point: sums over its terms, not divided by anything."""

    #: The number of valid terms, which a mean divides by.
    terms: float
    samples: int

    @property
    def how(self) -> str:
        """How products are formed."""

    @property
    def bytes(self) -> int:
        """Kept between products."""

    def normalise(self, factor: float) -> None:
        """Multiply products, and nothing else, by this from now on."""

    def product(self, v: Any) -> Any:
        """Return the batch's matrix times v, (n,)."""

    def block(self, V: Any) -> Any:
        """Return the batch's matrix times V, (n, k)."""

    def value(self) -> Any:
        """Return the batch's loss."""

    def gradient(self) -> Any:
        """Return the gradient of the batch's loss, (n,)."""


class Sum(ABC):
    """Σ of the contributions of batches, at the parameters' present point."""

    #: The reduction where options leave it open.
    reduction = "mean"
    #: Whether contributions depend on the numbers of their samples.
    draws = False

    def __init__(self, parameters: Parameters, data: Any, options: Options) -> None:
        self.parameters = parameters
        self.options = options
        self.data = options.read(data)
        self.structure = parameters.structure
        self._memory: dict[Any, Any] = {}
        self._first: int | None = None
        # JAX functions cannot be random.
        self._tested = not options.deterministic or self.structure.framework.name == "jax"
        self.moved_to(parameters)
        self.require_fresh()

    @abstractmethod
    def contribution(self, batch: Any, first: int, how: str, budget: int) -> Contribution:
        """Return what one batch gives at the present point; `first` is its first sample's number.

        Samples are numbered over all ranks if the sum draws random numbers for them.
        """

    def normalisation(self, terms: float, samples: float) -> float:
        """Return the factor of the sum, from the number of terms and samples of all ranks."""
        return 1.0 / terms if (self.options.reduction or self.reduction) == "mean" else 1.0

    def moved_to(self, parameters: Parameters) -> None:
        """Forget everything kept, and take new parameters."""
        self.parameters = parameters
        self.leaves, self.constants = parameters.leaves, parameters.constants
        self._mark = parameters.fingerprint()
        self._kept: list[Contribution] = []
        self._counted: tuple[float, float] | None = None
        self._linearizations = 0

    def formation(self) -> Formation:
        kept = self._kept
        return Formation(
            tuple(dict.fromkeys(c.how for c in kept)),
            len(kept),
            sum(c.bytes for c in kept),
            self._linearizations,
        )

    # ---------------------------------------------------------------------------------- one pass

    def require_fresh(self) -> None:
        """Raise unless the parameters are where they were, and the model is in a fixed mode."""
        if self.options.deterministic and self.parameters.is_module:
            refuse_random(self.parameters.source)
        if self.parameters.fingerprint() != self._mark:
            raise StaleError(
                "the parameters have moved since this operator was made: call update(), or make a "
                "new one"
            )

    def contributions(self, columns: int = 1) -> Iterator[Contribution]:
        """Yield what each batch gives, kept ones first if the data stays."""
        self.require_fresh()
        if self.data.static:
            if not self._kept:
                self._keep()
            yield from self._kept
            return
        first = self._first_sample()
        # Nothing of a loader is kept. For one column, recording and one product is the least.
        way = "recompute" if columns == 1 else "graph"
        for batch in self.data:
            made = self._made(batch, first, way, self.options.budget)
            first += made.samples
            yield made

    def _keep(self) -> None:
        """Make the contributions of all batches, with the factor of the sum in their products.

        There it costs a pass over outputs, or none, where one over the parameters would come after.
        """
        batches, kept = list(self.data), []
        share = self.options.budget // len(batches)
        first = self._first_sample()
        for batch in batches:
            kept.append(self._made(batch, first, self.options.linearize, share))
            first += kept[-1].samples
        factor = self._factor(sum(c.terms for c in kept), sum(c.samples for c in kept))
        for c in kept:
            c.normalise(factor)
        self._kept = kept

    def _factor(self, terms: float, samples: float) -> float:
        """Return the factor of the sum, from what this rank's first pass counted."""
        if self._counted is None:
            counted = float(self.data.total(terms)), float(self.data.total(float(samples)))
            if not counted[0] > 0.0:
                raise ValueError("data has no valid terms: all targets are ignored or weigh zero")
            self._counted = counted
        return self.normalisation(*self._counted)

    def _first_sample(self) -> int:
        if not self.draws or self.options.comm is None:
            return 0
        if self._first is None:
            own = sum(self.data.size(batch) for batch in self.data)
            self._first = self.data.first_sample(own)
        return self._first

    def _made(self, batch: Any, first: int, how: str, budget: int) -> Contribution:
        self._linearizations += 1
        made = self.contribution(batch, first, how, budget)
        if not self._tested:
            again = self.contribution(batch, first, "recompute", 0)
            one, two = float(made.value()), float(again.value())
            size = abs(one) + abs(two)
            if not abs(one - two) <= 1e-4 * size and np.isfinite(size):
                raise ValueError(
                    f"the model is not deterministic: the loss of one batch was {one!r} and then "
                    f"{two!r}; fix its random numbers, or pass deterministic=False"
                )
            self._tested = True
        return made

    def _sum(self, part: Callable[[Contribution], Any], columns: int) -> tuple[Any, float, int]:
        """Return the sum of a part of what batches give, and how many terms and samples it has."""
        result: Any = None
        terms, samples = 0.0, 0
        for c in self.contributions(columns):
            term = part(c)
            result = term if result is None else result + term
            terms += c.terms
            samples += c.samples
        return self.data.total(result), terms, samples

    def total(self, part: Callable[[Contribution], Any], columns: int = 1) -> Any:
        """Return the normalised sum over all batches and ranks of a part of what they give."""
        result, terms, samples = self._sum(part, columns)
        return result * self._factor(terms, samples)

    def product(self, part: Callable[[Contribution], Any], columns: int = 1) -> Any:
        """Return the same for products."""
        return self._sum(part, columns)[0] if self.data.static else self.total(part, columns)

    # ---------------------------------------------------------------------- what the core calls

    def matvec(self, v: Any) -> Any:
        own = self.own(v)
        return self.back(self.product(lambda c: c.product(own)), v)

    def matmat(self, V: Any) -> Any:
        own = self.own(V)
        return self.back(self.product(lambda c: c.block(own), int(V.shape[1])), V)

    # Vectors go to compiled functions only, which copy what they keep.
    matvec.takes_views = matmat.takes_views = True  # type: ignore[attr-defined]

    def own(self, v: Any) -> Any:
        """Return a vector on the parameters' device."""
        return v if self.structure.device is None else v.to(self.structure.device)

    def back(self, y: Any, v: Any) -> Any:
        """Return the product of v where the core gave v."""
        return y if self.structure.device is None else y.to(v.device)


def forming(structure: Structure, model: Any) -> Any:
    """Return the module of `frameworks` that forms products of this model."""
    name = "numpy" if isinstance(model, Closures) else structure.framework.name
    if name == "numpy" and not isinstance(model, Closures):
        raise TypeError(
            "the parameters are NumPy arrays, which cannot be differentiated: pass the model as "
            "ritz.Closures(value, jvp, vjp), or parameters of torch or JAX"
        )
    return importlib.import_module(f"ritz.frameworks.{name}_linear")


def refuse_random(module: Any, way_out: str = ", or pass deterministic=False") -> None:
    """Raise ValueError if a module has layers that depend on chance or on the batch."""
    from ritz.frameworks.torch_modules import random_layers

    if found := random_layers(module):
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ValueError(
            f"the model is not deterministic: {found[0]}{more}; call model.eval(){way_out}"
        )


class Curvature(LinearOperator):
    """A symmetric curvature matrix of a loss over a data set, as an operator on parameters.

    Made by `hessian`, `gauss_newton`, `fisher` and `gradient_covariance`. Vectors are trees like
    the parameters, or flat arrays of their framework; both come back as they came.

    Attributes
    ----------
    parameters : Parameters
        What it is differentiated with respect to; `.domain` is their structure.
    formation : Formation
        How products are formed, and how much memory that keeps.
    """

    def __init__(self, total: Sum, remake: Callable[[Parameters], Curvature]) -> None:
        structure = total.structure
        n = structure.size
        super().__init__(
            (n, n),
            total.matvec,
            None,
            total.matmat,
            structure.dtype,
            symmetric=True,
            framework=structure.framework,
            domain=structure,
            codomain=structure,
        )
        self._sum = total
        self._remake = remake

    def _apply(self, x: Any, adjoint: bool, what: str = "x") -> Any:
        """Make a single product where the model lives: nothing passes through host memory."""
        total, structure = self._sum, self._sum.structure
        framework = structure.framework
        tree = structure.holds(x)
        v = x
        if tree:
            v = structure.join([framework.detached(leaf) for leaf in structure.leaves(x)])
        if (
            framework.name == "numpy"
            or not isinstance(v, framework.type)
            or tuple(v.shape) != (structure.size,)
            or str(v.dtype).removeprefix("torch.") != structure.dtype.name
            or getattr(v, "requires_grad", False)
        ):
            return super()._apply(x, adjoint, what)
        framework.check_callable_now()
        v = total.own(v)
        y = total.product(lambda c: c.product(v))
        if _address(y) == _address(v):  # the identity hands on what it was given
            y = framework.copied(y)
        self._counter.count(1)
        return structure.unflatten(y) if tree else y

    @property
    def parameters(self) -> Parameters:
        """What the loss is differentiated with respect to."""
        return self._sum.parameters

    @property
    def formation(self) -> Formation:
        """How products are formed, and what is kept between them."""
        return self._sum.formation()

    def value(self) -> float:
        """Return the loss over the data, by one pass or from what products keep."""
        return float(self._sum.total(lambda c: c.value()))

    def gradient(self) -> Any:
        """Return the gradient of the loss over the data, as a tree like the parameters."""
        return self._sum.structure.unflatten(self._sum.total(lambda c: c.gradient()))

    def update(self, params: Any = None) -> None:
        """Move to where the parameters are now, or to others of the same structure.

        Parameters
        ----------
        params : module, tree, flat vector or Parameters, optional
            None: what the parameters are now.

        Raises
        ------
        ValueError, TypeError
            If the structure differs.
        """
        here = self._sum.parameters
        self._sum.moved_to(here.at(here.source if params is None else params))

    def diagonal(self, method: str = "auto", *, products: int = 100, seed: int = 0) -> Any:
        """Return the diagonal of the matrix as a tree like the parameters.

        Parameters
        ----------
        method : {"auto", "exact", "xdiag"}
            "exact": layer by layer, for Gauss-Newton and Fisher matrices of a torch module.
            "xdiag": estimated from products with random vectors. "auto": exact where it can be.
        products : int
            Of the estimate; n or more give the diagonal itself.
        seed : int
            Of the estimate.
        """
        from ritz.curvature import diagonal
        from ritz.functions.diagonal import diagonal as estimated

        if method not in ("auto", "exact", "xdiag"):
            raise ValueError(f'method is {method!r}; pass "auto", "exact" or "xdiag"')
        exact = diagonal.has_exact(self._sum)
        if method == "exact" and not exact:
            raise TypeError(
                "the exact diagonal needs the layers of a torch.nn.Module under a Gauss-Newton or "
                'Fisher matrix; pass method="xdiag"'
            )
        if exact and method != "xdiag":
            flat = diagonal.exact_diagonal(self._sum)  # type: ignore[arg-type]
        else:
            flat = estimated(self, method="xdiag", max_products=products, seed=seed).value
        return self._sum.structure.unflatten(flat)

    # ----------------------------------------------------------------------------------- blocks

    def blocks(self, by: str | Sequence[str] = "layer") -> dict[str, Curvature]:
        """Return the diagonal blocks of groups of parameters, each an operator of its own.

        Parameters
        ----------
        by : {"layer", "parameter"} or sequence of str
            Parameters of one layer have all but the last part of their names in common. Or
            patterns of names, which must not overlap; what none matches is left out.
        """
        return {
            key: self._remake(self.parameters.narrowed(names))
            for key, names in groups(self.parameters.names, by).items()
        }

    def block_diagonal(self, by: str | Sequence[str] = "layer") -> LinearOperator:
        """Return the block diagonal part by `layer`, "parameter" or patterns, as an operator.

        A product costs one of each block; what no pattern matches is zero.
        """
        structure = self._sum.structure
        place = {name: i for i, name in enumerate(self.parameters.names)}
        parts = [
            ([place[name] for name in block.parameters.names], block._sum)
            for block in self.blocks(by).values()
        ]

        def matvec(v: Any) -> Any:
            leaves = structure.split(v)
            out = [leaf * 0.0 for leaf in leaves]
            for chosen, part in parts:
                own = part.structure
                y = part.matvec(own.join([leaves[i] for i in chosen]))
                for i, leaf in zip(chosen, own.split(y), strict=True):
                    out[i] = leaf
            return structure.join(out)

        return LinearOperator(
            self.shape,
            matvec,
            dtype=structure.dtype,
            symmetric=True,
            framework=structure.framework,
            domain=structure,
            codomain=structure,
        )


def _address(array: Any) -> int:
    return array.data_ptr() if hasattr(array, "data_ptr") else id(array)


def groups(names: Sequence[str], by: str | Sequence[str]) -> dict[str, list[str]]:
    """Return names of parameters in groups: by layer, one by one, or by patterns."""
    result: dict[str, list[str]] = {}
    if by == "parameter":
        return {name: [name] for name in names}
    if by == "layer":
        for name in names:
            result.setdefault(name.rpartition(".")[0] or name, []).append(name)
        return result
    taken: set[str] = set()
    for pattern in [by] if isinstance(by, str) else by:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise ValueError(f"by: no parameter is called {pattern!r}")
        if both := taken.intersection(found):
            raise ValueError(f"by: {min(both)!r} is in two groups")
        taken.update(found)
        result[pattern] = found
    return result
