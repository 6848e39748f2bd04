"""Numbers that depend on a whole operator, estimated from its products."""

from __future__ import annotations

from typing import Any

from ritz import _arrays
from ritz._nodes import Binding
from ritz._run import Callbacks, Watch, setting
from ritz.operators import aslinearoperator
from ritz.results import Estimate, account_of
from ritz.workspace import Workspace, lent

__all__ = ["trace"]

# Samples without a word from the caller: a standard error of a tenth of one sample's.
_SAMPLES = 100


def trace(
    A: Any,
    *,
    samples: int | None = None,
    rtol: float = 0.0,
    seed: int = 0,
    like: Any = None,
    max_products: int | None = None,
    callback: Callbacks = None,
    timeout: float | None = None,
    history: bool = False,
    workspace: Workspace | None = None,
) -> Estimate:
    """Estimate tr(A) as the mean of zᴴA z over random sign vectors z.

    Parameters
    ----------
    A : operator (n, n)
        Anything that `aslinearoperator` takes.
    samples : int, optional
        At most this many products, at least 2; n or more sum the diagonal exactly. By default 100,
        or with `rtol` as many as it takes, up to n − 1.
    rtol : float
        Stop when the standard error is at most rtol times the estimate; 0 takes all samples.
    seed : int
        Of the sign vectors: the same seed gives the same bits.
    like : array, optional
        An example of the kind of array that A's closures take, where A itself does not tell.
    max_products, callback, timeout, history, workspace
        As for `cg`.

    Returns
    -------
    Estimate
        The tuple (value, stderr) with `method`, "exact" or "hutchinson", and an account of the run.

    Raises
    ------
    TypeError, ValueError
        For arguments that cannot be used.

    Notes
    -----
    Unbiased, with variance 2 ‖A − diag(A)‖²_F a sample for a real symmetric A. One product a
    sample. Memory: two vectors.

    References
    ----------
    Hutchinson: A stochastic estimator of the trace of the influence matrix. Commun. Stat. 19, 1990.
    """
    A = aslinearoperator(A)
    A.require_square("trace")
    n = A.shape[0]
    rtol = _arrays.nonnegative(rtol, "rtol")
    if samples is None:
        samples = _SAMPLES if rtol == 0.0 or n <= _SAMPLES else n - 1
    samples = _arrays.integer(samples, "samples", 2)
    seed = _arrays.seed_of(seed)
    framework, dtype = setting(A, like)
    core = _arrays.core(dtype)
    watch = Watch("trace", framework, callback, history, timeout, max_products)
    with (
        lent(workspace, "trace", dtype) as memory,
        Binding(dtype, framework) as run,
        watch.running() as ending,
    ):
        value, stderr, outcome = core.trace(run(A), samples, rtol, seed, watch.monitor, memory)
        account = account_of(outcome, watch.history)
        account["method"] = "exact" if samples >= n else "hutchinson"
        ending.result = result = Estimate((value, stderr), **account)
    return result
