"""Matrices as the compiled selection takes them, and the accounts of its results."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _conversion
from ritz.frameworks import Framework
from ritz.results import Counts, Status


def matrix(A: Any, name: str = "A") -> tuple[npt.NDArray[Any], Framework]:
    """Return a dense matrix with at least one row and column, at its own strides."""
    if _conversion.is_sparse(A) or _conversion.is_operator(A):
        raise TypeError(
            f"{name} is {type(A).__name__}; selection looks at all elements of a dense array: pass "
            f"one, e.g. {name}.toarray() or {name}.to_dense()"
        )
    a, framework = _arrays.array(A, name)
    if a.ndim != 2 or 0 in a.shape:
        raise ValueError(f"{name} has shape {a.shape}; pass a 2-d array with rows and columns")
    # The core counts strides in elements.
    if any(stride % a.itemsize for stride in a.strides):
        a = np.ascontiguousarray(a)
    return a, framework


def numbers(values: npt.NDArray[np.float64], like: npt.NDArray[Any], framework: Framework) -> Any:
    """Return real numbers in the precision of a matrix, as an array of its framework."""
    real = np.dtype(np.float32) if like.dtype.name in ("float32", "complex64") else values.dtype
    return framework.from_numpy(values.astype(real, copy=False))


def positive_power(p: Any) -> float:
    """Return the p of an ℓp norm."""
    power = _arrays.positive(p, "p")
    if math.isinf(power):
        raise ValueError("p is infinite; pass a finite p, for the maximum norm a large one")
    return power


def ending(status: Status, otherwise: str) -> str:
    """Return what a message ends with: why a run has ended early, or else what to do."""
    if status is Status.converged:
        return ""
    early = {
        Status.stopped: "the callback asked for the stop",
        Status.timeout: "the time limit came first",
    }
    return f"; {early.get(status, otherwise)}"


def account(
    status: Status,
    message: str,
    iterations: int,
    begin: float,
    residual: float = math.nan,
    target: float = 0.0,
) -> dict[str, Any]:
    """Return the attributes that every result has; what is claimed here was always evaluated."""
    return {
        "status": status,
        "message": f"{status.name}: {message}",
        "iterations": iterations,
        "products": Counts(),
        "preconditioner_products": 0,
        "residual": residual,
        "target": target,
        "verified": True,
        "history": None,
        "seconds": time.perf_counter() - begin,
    }
