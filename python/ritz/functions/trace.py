"""Traces of operators, estimated from their products."""

from __future__ import annotations

import os
from typing import Any

from ritz import _arrays
from ritz._device import place
from ritz._linear import require_self_adjoint
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch
from ritz.operators import aslinearoperator
from ritz.results import Estimate, EstimatePath, account_of, without_tolerance
from ritz.workspace import Workspace, lent

__all__ = ["trace"]

_METHODS = ("auto", "hutchinson", "hutch++", "xtrace", "xnystrace", "exact")
# Products without a word from the caller: of random signs, a tenth of one sample's error.
_PRODUCTS = 100
# Columns of one block product with sign or unit vectors.
BLOCK = 8


def trace(
    A: Any,
    *,
    method: str = "auto",
    rtol: float = 0.0,
    max_products: int | None = None,
    samples: int | None = None,
    positive: bool = False,
    seed: int = 0,
    like: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 60.0,
    callback: Callbacks = None,
    timeout: float | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> Estimate:
    """Estimate tr(A), with a standard error, from products of A with random vectors.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    method : {"auto", "hutchinson", "hutch++", "xtrace", "xnystrace", "exact"}
        "hutchinson": the mean of zᴴA z over random signs z. "hutch++" and "xtrace" sum a part of
        low rank exactly and sample the rest; so does "xnystrace" for a positive semidefinite A, at
        half of the products. "exact": the diagonal is summed. "auto" begins with XTrace, or
        XNysTrace if A is `positive`, and goes over to random signs once those promise to need fewer
        products: on spectra without decay.
    rtol : float
        Stop when the standard error is at most rtol times the estimate; 0 makes all products that
        are allowed.
    max_products : int, optional
        At most this many products; n or more without rtol sum the diagonal. By default 100, or with
        rtol as many as it takes, the exact trace where nothing less does.
    samples : int, optional
        At most this many products, at least 2, by random signs unless `method` names another.
    positive : bool
        A is positive semidefinite.
    seed : int
        Of the random vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    checkpoint : path, optional
        A file that the state is saved to between block products, at most every `checkpoint_every`
        seconds. A run with the same arguments that finds the file goes on from it, to the same
        bits; convergence removes it.
    checkpoint_every : float
        Seconds.
    callback, timeout, history, workspace
        As for `cg`. With history=True the result also has a `path`, and can be drawn.

    Returns
    -------
    Estimate
        The tuple (value, stderr) with `method`, the one that gave the value, and an account of the
        run. An A that was called positive and is not ends it with `negative_curvature`.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    All are unbiased. Hutchinson's variance is 2 ‖A − diag(A)‖²_F a sample for a real symmetric A;
    the other methods leave what a random sketch does not capture: with k probes the error falls as
    the norm of A less its k largest parts, over √k.

    The samples of XTrace and XNysTrace share their probes, so that their spread understates the
    error of their mean. `stderr` makes up for that: it is the spread's 1.3-fold for XTrace, and for
    XNysTrace √(1 + k c²)-fold, c the coefficient of variation of what the samples leave to
    chance (which came to 0.8 to 2.6 times the true error over spectra of all decays), and
    (k − 1)/(k − 3)-fold for few probes. Three of them held the truth in 95 of 100 runs or more.

    Products a probe: 1 for signs and XNysTrace, 2 for XTrace, 3 for Hutch++, in blocks of up to 32.
    Beside them about 10 k n of memory traffic for the k-th probe. Memory: 16 vectors for signs, 2 a
    probe for XTrace, 3 for the others. A rank that the probes exhaust ends the run, exact to
    rounding.

    References
    ----------
    Hutchinson: A stochastic estimator of the trace of the influence matrix. Commun. Stat. 19, 1990.
    Meyer, Musco, Musco, Woodruff: Hutch++: optimal stochastic trace estimation. SOSA, 2021.
    Epperly, Tropp, Webber: XTrace: making the most of every sample in stochastic trace estimation.
    SIAM J. Matrix Anal. Appl. 45, 2024.
    """
    A = aslinearoperator(A)
    A.require_square("trace")
    n = A.shape[0]
    rtol = _arrays.nonnegative(rtol, "rtol")
    number = chosen(method, _METHODS)
    if samples is not None and method == "auto":
        number = _METHODS.index("hutchinson")
    positive = bool(positive) or method == "xnystrace"
    if positive:
        require_self_adjoint(A, "A", "positive=True" if method != "xnystrace" else method)
    samples = budget(samples, max_products, rtol, n, _METHODS[number])
    seed = _arrays.seed_of(seed)
    path = "" if checkpoint is None else os.fspath(checkpoint)
    every = _arrays.nonnegative(checkpoint_every, "checkpoint_every")
    framework, core, dtype = place(A, like)
    watch = Watch("trace", framework, callback, history, timeout, max_products)
    options = {
        "samples": samples,
        "rtol": rtol,
        "positive": positive,
        "block": BLOCK,
        "keep_path": bool(history),
    }
    with (
        lent(workspace, "trace", dtype, core) as memory,
        Binding(dtype, framework, core) as run,
        watch.running() as ending,
    ):
        value, stderr, outcome = core.trace(
            run(A), options, number, seed, path, every, watch.monitor, memory
        )
        account = without_tolerance(account_of(outcome, watch.history))
        account["method"] = _METHODS[outcome["method"]]
        if history:
            account["path"] = EstimatePath(
                outcome["path_products"], outcome["path_value"], outcome["path_stderr"]
            )
        ending.result = result = Estimate((value, stderr), **account)
    return result


def chosen(method: Any, methods: tuple[str, ...]) -> int:
    """Return the number of a method in the compiled core."""
    if method not in methods:
        names = ", ".join(f'"{m}"' for m in methods)
        raise ValueError(f"method is {method!r}; pass one of {names}")
    return methods.index(method)


def budget(
    samples: int | None, max_products: int | None, rtol: float, enough: int, method: str
) -> int:
    """Return the number of products that a run may make; `enough` make it exact."""
    if method == "exact":
        return max(enough, 2)
    if samples is not None:
        return _arrays.integer(samples, "samples", 2)
    limit = None if max_products is None else _arrays.integer(max_products, "max_products")
    if rtol == 0.0:
        wanted = _PRODUCTS if limit is None else limit
    else:
        # What is known before it turns out that only the exact value will do is not lost on the
        # others: their first stages cost little of it.
        most = max(enough - 1, _PRODUCTS) if method == "hutchinson" else 3 * enough
        wanted = most if limit is None else min(limit, most)
    return max(wanted, 2)
