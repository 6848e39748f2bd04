"""A preconditioner that is one's own function, and tests of what a solver needs of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ritz import _arrays, checks
from ritz._run import setting
from ritz.frameworks import Framework
from ritz.operators import LinearOperator

__all__ = ["closure"]


def closure(
    f: Callable[..., Any],
    n: int,
    *,
    dtype: Any = None,
    symmetric: bool = True,
    check: bool = False,
    seed: int = 0,
    framework: str | Framework | None = None,
) -> LinearOperator:
    """Return the operator M r = f(r) of size n × n of your own function.

    Parameters
    ----------
    f : callable
        r (n,) ↦ M r (n,), called with arrays of the kind of the solver's vectors: a solve with a
        factorisation, a cycle of multigrid, a learned map.
    n : int
        The size.
    dtype : dtype, optional
        The only element type that f works in; None takes that of the vectors.
    symmetric : bool
        f is Hermitian positive definite, as `cg` and `minres` need; False for other methods.
    check : bool
        Test f on random vectors now: that it is linear and, with `symmetric`, that
        ⟨u, M v⟩ = ⟨M u, v⟩ and ⟨u, M u⟩ > 0. Seven products.
    seed : int
        Of the random vectors.
    framework : {"numpy", "torch", "jax"}, optional
        The kind of array that f takes, whatever vectors come.

    Returns
    -------
    LinearOperator

    Raises
    ------
    ValueError
        If a test fails; the message has the measured asymmetry.

    Notes
    -----
    The tests can show that f is wrong, not that it is right. A map that is not linear, as most
    learned ones are not, belongs into a flexible method.
    """
    if not callable(f):
        raise TypeError(f"f is {f!r}; pass a function of one vector")
    n = _arrays.integer(n, "n", 0)
    M = LinearOperator((n, n), f, dtype=dtype, symmetric=bool(symmetric), framework=framework)
    if check:
        _check_closure(M, _arrays.seed_of(seed))
    return M


def _check_closure(M: LinearOperator, seed: int) -> None:
    failed = [row for row in checks.check(M, seed=seed).rows if not row.passed]
    if failed:
        row = failed[0]  # linearity comes first: without it the others mean nothing
        if row.name == "linearity":
            what, advice = "linear: ‖M(2v − 3w) − 2Mv + 3Mw‖", "use it in a flexible method only"
        else:
            what = "Hermitian: |⟨u, Mv⟩ − ⟨Mu, v⟩|"
            advice = "pass symmetric=False for a method that allows it"
        raise ValueError(
            f"f is not {what} is {row.value:.1e} of the norms involved, where rounding leaves "
            f"{row.tolerance}; {advice}"
        )
    if not M.symmetric:
        return
    framework, dtype = setting(M, None)
    rng = np.random.default_rng(seed)
    for _ in range(3):  # a few: no number of them proves it
        v = rng.standard_normal(M.shape[0])
        if dtype.kind == "c":
            v = v + 1j * rng.standard_normal(M.shape[0])
        v = v.astype(dtype)
        Mv = framework.to_numpy(M.matvec(framework.from_numpy(v.copy())), "f(v)")
        form = np.vdot(v.astype(np.complex128), Mv.astype(np.complex128)).real
        size = np.linalg.norm(v) * np.linalg.norm(Mv)
        if M.shape[0] and not form > 0.0:
            raise ValueError(
                f"f is not positive definite: ⟨v, Mv⟩ is {form / size if size else 0.0:.1e} of "
                "‖v‖‖Mv‖ for a random v"
            )
