"""Memory of a method, allocated once and used for many runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ritz import _arrays, _core
from ritz._device import device_setting, on_device

__all__ = ["Workspace"]

# Methods that are no linear solvers, and how many basis vectors those that have a basis take for k
# results if nothing is said.
_METHODS = ("eigsh", "eigs", "svds", "trace", "least_squares", "minimize")
_ON_DEVICE = ("eigsh", "svds", "trace")
_BASIS: dict[str, Callable[[int], int]] = {
    "eigsh": lambda k: max(2 * k + 10, 20),
    "eigs": lambda k: max(2 * k + 1, 20),
    "svds": lambda k: max(3 * k, 20),
}


class Workspace:
    """The vectors of one method: pass it as `workspace=` to run again without allocating.

    Parameters
    ----------
    method : str
        The function that it is for: a linear solver, "eigsh", "eigs", "svds", "trace",
        "least_squares" or "minimize".
    *shape : int or (int, int)
        The operator's (rows, columns) or a single n; for the nonlinear methods the model's
        (outputs, parameters). A larger problem makes it grow, a smaller one uses a part of it.
    dtype : dtype
        The element type of the runs.
    like : array, optional
        An example of their vectors: in device memory, the workspace is there as well, for runs on
        the same stream, and its dtype is the array's.
    k, ncv : int, optional
        Of `eigsh`, `eigs` and `svds`: results (by default 6) and basis vectors (by default as many
        as they take); k also of `gcrodr`: vectors kept (by default 20).
    **options
        Of a linear solver, those that decide how many vectors it needs: `restart`, …

    Notes
    -----
    One run at a time. It may be used again after any ending, an exception included.
    """

    def __init__(
        self,
        method: str,
        *shape: Any,
        dtype: Any = np.float64,
        like: Any = None,
        k: int | None = None,
        ncv: int | None = None,
        **options: Any,
    ) -> None:
        linear = set(_core.linear_methods())
        if method not in linear | set(_METHODS):
            raise ValueError(
                f"method is {method!r}; pass one of {', '.join(sorted(linear))}, "
                f"{', '.join(_METHODS)}"
            )
        if len(shape) == 1 and np.ndim(shape[0]) == 0:
            shape = (shape[0], shape[0])
        elif len(shape) == 1:
            shape = tuple(shape[0])
        m, n = _arrays.shape_pair(shape)
        self.method = method
        self.shape = (m, n)
        core: Any
        if like is not None and on_device(like):
            _, core, self.dtype, _ = device_setting(like, "like", [])
        else:
            given = dtype if like is None else _arrays.array(like, "like")[0].dtype
            self.dtype = _arrays.element_type(given, "dtype")
            core = _arrays.core(self.dtype)
        self._place = _place(core)
        pairs = 6 if k is None else _arrays.integer(k, "k")
        by_default = _BASIS[method](pairs) if method in _BASIS else 0
        basis = by_default if ncv is None else _arrays.integer(ncv, "ncv")
        if method in linear:
            from ritz._linear import compiled_options

            self._core = core.linear_workspace(
                method, m, n, compiled_options(method, {**options, "k": k})
            )
        elif options:
            raise TypeError(f"{method} has no option {min(options)!r}")
        elif self._place[0] is not None and method not in _ON_DEVICE:
            raise TypeError(f"{method} works in host memory; leave out like, or pass a host array")
        else:
            self._core = getattr(core, f"{_core_name(method)}_workspace")(m, n, min(n, basis))
        self._busy = threading.Lock()

    @property
    def bytes(self) -> int:
        """Memory held."""
        return int(self._core.bytes)

    def __repr__(self) -> str:
        return f"<Workspace for {self.method}, {self.dtype}: {self.bytes} bytes>"


def _core_name(method: str) -> str:
    return "levenberg_marquardt" if method in ("least_squares", "minimize") else method


def _place(core: Any) -> Any:
    """Return the device and the stream that compiled methods work on; None is the host."""
    return getattr(core, "key", (None,) * 3)[1:]


@contextmanager
def lent(
    workspace: Workspace | None, method: str, dtype: np.dtype[Any], core: Any = None
) -> Iterator[Any]:
    """Hand the compiled workspace to one run; None gives the run one of its own."""
    if workspace is None:
        yield None
        return
    if not isinstance(workspace, Workspace):
        raise TypeError(f"workspace is {workspace!r}; pass ritz.Workspace({method!r}, ...)")
    if _core_name(workspace.method) != _core_name(method):
        raise ValueError(
            f"workspace was made for {workspace.method}; make one for {method}: "
            f"ritz.Workspace({method!r}, ...)"
        )
    if workspace.dtype != dtype:
        raise TypeError(
            f"workspace holds {workspace.dtype}, but this run works in {dtype}; make one with "
            f"dtype=numpy.{dtype}"
        )
    if workspace._place != _place(core):
        raise ValueError(
            "workspace was made for another memory or another stream than this run's; make one "
            f"with ritz.Workspace({method!r}, ..., like=) of an array of this run"
        )
    if not workspace._busy.acquire(blocking=False):
        raise ValueError("workspace is in use by another run; make one for each run at a time")
    try:
        yield workspace._core
    finally:
        workspace._busy.release()
