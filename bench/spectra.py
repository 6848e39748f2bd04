"""Products and seconds to the same accuracy: eigenvalues, singular values and traces.

    python bench/spectra.py [--json FILE] [--markdown FILE] [--only PART ...] [--quick]

One thread. Every library is given the same matrix and the same random starts, and its own
tolerance: the loosest of a ladder with which all wanted values are found and the true residuals,
evaluated here by one formula, meet the bound. Products are medians over the starts, counted by the
matrix. Times are CPU seconds of the process, minima over interleaved rounds; read the ratios. What
is not installed is left out, and said.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import one_thread  # before NumPy
from one_thread import SKIPPED, available, shortest

# isort: split
import numpy as np
import scipy.sparse.linalg as spla
from spectra_problems import (
    Array,
    Counted,
    Network,
    PowerLaw,
    Problem,
    gallery,
    laplacian,
    rectangle,
)

import ritz

GOALS = {"products": 1.1, "seconds": 0.7, "over_floor": 1.3, "trace": 0.5}
PEERS = ("primme", "matfree", "pyhessian", "hessian-eigenthings", "torch", "jax")
LADDER = 10.0 ** -np.arange(0.0, 5.1, 0.5)  # what a tolerance is multiplied with, one after another
VERBOSE = sys.stderr


def has(name: str) -> bool:
    """Whether this ritz has the function."""
    try:
        getattr(ritz, name)
    except (ImportError, AttributeError):
        SKIPPED[f"ritz.{name}"] = "not in this version"
        return False
    return True


# ---- a contest -------------------------------------------------------------------------------


@dataclass
class Solver:
    """`run(A, tol, start)` gives (values, vectors) or (values, right, left)."""

    name: str
    run: Callable[[Any, float, Array], tuple[Array, ...]]
    tol: float  # where the ladder begins
    told: bool = False  # it is told its number of steps, the fewest that suffice


def contest(problem: Problem, solvers: list[Solver], starts: int, rounds: int) -> dict[str, Any]:
    """Let each solver meet the same bound; count, then time in turns."""
    rng = np.random.default_rng(1)
    length = min(problem.A.shape)
    guesses = [rng.standard_normal(length) for _ in range(starts)]
    rows: list[dict[str, Any]] = []
    ready: one_thread.Runs = {}
    for solver in solvers:
        row = attempt(problem, solver, guesses) | {"told": solver.told}
        rows.append(row)
        print(json.dumps(row), file=VERBOSE, flush=True)
        if row["reached"]:
            run, tol = solver.run, row["tol"]
            ready[solver.name] = lambda run=run, tol=tol: run(problem.A, tol, guesses[0])
    if rounds > 0:
        seconds = shortest(ready, rounds)
        for row in rows:
            row |= {"seconds": seconds[row["solver"]]} if row["reached"] else {}
    return {
        "problem": problem.name,
        "n": problem.A.shape[0],
        "k": problem.k,
        "rtol": problem.rtol,
        "rows": rows,
        **ratios(rows),
    }


def attempt(problem: Problem, solver: Solver, guesses: list[Array]) -> dict[str, Any]:
    """Go down the ladder of tolerances until the answers are right for all starts."""
    row: dict[str, Any] = {"solver": solver.name, "reached": False}
    for factor in LADDER:
        tol = solver.tol * float(factor)
        products, seconds, residuals, missed = [], [], [], []
        for guess in guesses:
            A = Counted(problem.A)
            begin = time.process_time()
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    values, *vectors = solver.run(A, tol, guess)
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:200]
                return row
            seconds.append(time.process_time() - begin)
            products.append(A.products)
            order = np.argsort(values)
            residuals.append(problem.residual(values[order], *(V[:, order] for V in vectors)))
            missed.append(problem.missed(values))
        row |= {
            "tol": tol,
            "products": statistics.median(products),
            "seconds": min(seconds),
            "residual": max(residuals),
            "missed": max(missed),
        }
        if max(residuals) <= problem.rtol and not any(missed):
            return row | {"reached": True}
    return row


def ratios(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Our first row beside the others that find their own end, those that are told it, SciPy."""
    reached = [row for row in rows if row["reached"]]
    ours = [row for row in reached if row["solver"].startswith("ritz")]
    others = [row for row in reached if not row["solver"].startswith("ritz")]
    result: dict[str, Any] = {}
    for name, quantity, chosen in (
        ("products", "products", [row for row in others if not row["told"]]),
        ("products_told", "products", [row for row in others if row["told"]]),
        ("seconds", "seconds", [row for row in others if row["solver"].startswith("SciPy")]),
    ):
        if ours and chosen:
            result[name] = ours[0][quantity] / min(row[quantity] for row in chosen)
    return result


# ---- eigenvalues of matrices -----------------------------------------------------------------


def eigenvalue_solvers(problem: Problem, small: bool) -> list[Solver]:
    """Everyone with the default sizes of basis, and each with its own rule of convergence."""
    k, which, rtol, norm = problem.k, problem.which, problem.rtol, problem.norm
    largest = which == "LA"
    # ARPACK's tolerance is relative to each eigenvalue, that of SciPy's LOBPCG absolute, the others
    # are relative to ‖A‖.
    relative = rtol * norm / abs(problem.wanted).max()

    def ours(**more: Any) -> Callable[[Any, float, Array], tuple[Array, ...]]:
        def run(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
            w, V = ritz.eigsh(A, k, which=which, tol=tol, v0=v, **more)
            return w, V

        return run

    def arpack(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        return spla.eigsh(A, k, which=which, tol=tol, v0=v)

    def lobpcg(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        return spla.lobpcg(A, block(v, k), largest=largest, tol=tol, maxiter=5000)

    def own_lobpcg(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        w, V = ritz.lobpcg(A, block(v, k), largest=largest, tol=tol, maxiter=5000)
        return w, V

    solvers = [Solver("ritz eigsh", ours(), rtol)]
    if has("lobpcg") and problem.A.shape[0] < 100_000:
        solvers.append(Solver("ritz lobpcg", own_lobpcg, rtol))
    solvers += [
        Solver("SciPy eigsh (ARPACK)", arpack, relative),
        Solver("SciPy lobpcg", lobpcg, rtol * norm),
    ]
    if available("primme"):
        solvers += [
            Solver("PRIMME", primme(k, which, None), rtol),
            Solver("PRIMME, least products", primme(k, which, "PRIMME_DEFAULT_MIN_MATVECS"), rtol),
        ]
    if small and available("matfree"):
        solvers.append(Solver("matfree eigh_partial", Unrestarted(problem), 1.0, told=True))
    return solvers


def block(v: Array, k: int) -> Array:
    """A starting block whose first column is v."""
    rest = np.random.default_rng(2).standard_normal((len(v), k - 1))
    return np.column_stack([v, rest])


def primme(k: int, which: str, method: str | None) -> Callable[..., tuple[Array, ...]]:
    import primme

    def run(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        return primme.eigsh(A, k, which=which, tol=tol, v0=v[:, None].copy(), method=method)

    return run


class Unrestarted:
    """matfree's Lanczos with full reorthogonalisation, of the fewest steps that are enough.

    The search for that number is not counted, nor compilation: each run is compiled before.
    """

    def __init__(self, problem: Problem) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        self.problem, self.steps, self.compiled, self.tol = problem, 0, None, 1.0
        A = problem.A
        self.dense = jax.numpy.asarray(A.toarray() if hasattr(A, "toarray") else A)

    def compile(self, steps: int) -> Any:
        import jax
        from matfree import decomp, eig

        eigh = eig.eigh_partial(decomp.tridiag_sym(steps, reortho="full"))
        return jax.jit(lambda A, v: eigh(lambda x: A @ x, v))

    def __call__(self, A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        problem = self.problem
        if self.compiled is None:
            self.steps = 2 * problem.k
            while self.steps < problem.A.shape[0]:
                self.compiled = self.compile(self.steps)
                values, vectors = self.pairs(v)
                if problem.residual(values, vectors) <= problem.rtol:
                    break
                self.steps += 5
        if tol < self.tol:  # not enough for another start
            self.tol, self.steps = tol, self.steps + 5
            self.compiled = self.compile(self.steps)
        if isinstance(A, Counted):
            A.products += self.steps
        return self.pairs(v)

    def pairs(self, v: Array) -> tuple[Array, Array]:
        w, V = self.compiled(self.dense, v)
        w, V = np.asarray(w), np.asarray(V).T
        order = np.argsort(w)[-self.problem.k :]
        return w[order], V[:, order]


def largest(quick: bool) -> list[dict[str, Any]]:
    reports = []
    for name in ("unit_cube", "airfoil"):
        problem = gallery(name, 10)
        solvers = eigenvalue_solvers(problem, small=True)
        reports.append(contest(problem, solvers, 3 if quick else 9, 3 if quick else 25))
    return reports


def smallest(quick: bool) -> list[dict[str, Any]]:
    """A cube, whose eigenvalues come three at a time, and a box of a million points."""
    boxes = [(20, 20, 20), (36, 30, 25)] if quick else [(40, 40, 40), (125, 100, 80)]
    reports = []
    for sides in boxes:
        problem = laplacian(sides, 10, 1e-5)
        reports.append(contest(problem, eigenvalue_solvers(problem, small=False), 1, 0))
    return reports


# ---- singular values -------------------------------------------------------------------------


def singular(quick: bool) -> list[dict[str, Any]]:
    problem = rectangle(2000, 500, 20) if quick else rectangle(20_000, 5_000, 20)
    k, rtol = problem.k, problem.rtol

    def ours(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        u, s, vt = ritz.svds(A, k, tol=tol, v0=v)
        return s, vt.T, u

    def theirs(solver: str) -> Callable[[Any, float, Array], tuple[Array, ...]]:
        def run(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
            # PROPACK begins on the other side than ARPACK.
            v = v if solver == "arpack" else np.random.default_rng(3).standard_normal(A.shape[0])
            # PROPACK is limited to 10 k steps by default, which are not enough.
            u, s, vt = spla.svds(A, k, tol=tol, solver=solver, v0=v, maxiter=1000)
            return s, vt.T, u

        return run

    def by_primme(A: Any, tol: float, v: Array) -> tuple[Array, ...]:
        import primme

        u, s, vt = primme.svds(A, k, tol=tol)  # it fails when given a start
        return s, vt.T, u

    solvers = [Solver("ritz svds", ours, rtol)] if has("svds") else []
    solvers += [
        # SciPy gives ARPACK the square of tol; PROPACK's is for the values, of second order.
        Solver("SciPy svds (ARPACK)", theirs("arpack"), rtol**0.5),
        Solver("SciPy svds (PROPACK)", theirs("propack"), rtol**0.5),
    ]
    if available("primme"):
        solvers.append(Solver("PRIMME svds", by_primme, rtol))
    return [contest(problem, solvers, 1 if quick else 3, 2 if quick else 5)]


# ---- the Hessian of a network ----------------------------------------------------------------


def network(quick: bool) -> list[dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    net = Network()
    problem = net.problem(5, 1e-5)
    rows = []
    for name, runs in network_solvers(net, problem).items():
        told = name in ("hessian-eigenthings", "matfree eigh_partial")
        row: dict[str, Any] = {"solver": name, "reached": False, "told": told}
        for run in runs:
            begin = time.process_time()
            try:
                values, vectors, products, setting = run()
            except Exception as error:
                row["error"] = f"{type(error).__name__}: {error}"[:200]
                break
            row |= {
                "setting": setting,
                "products": products,
                "seconds": time.process_time() - begin,
                "residual": problem.residual(values, vectors),
                "missed": problem.missed(values),
                "worst_value": float(
                    np.max(np.abs(np.sort(values) - problem.wanted) / problem.wanted)
                ),
            }
            if "its defaults" in name:
                break
            if row["residual"] <= problem.rtol and not row["missed"]:
                for _ in range(1 if quick else 5):
                    begin = time.process_time()
                    run()
                    row["seconds"] = min(row["seconds"], time.process_time() - begin)
                row["reached"] = True
                break
        rows.append(row)
        print(json.dumps(row), file=VERBOSE, flush=True)
    report = {
        "problem": problem.name,
        "n": net.n,
        "k": problem.k,
        "rtol": problem.rtol,
        "rows": rows,
        **ratios(rows),
    }
    return [report]


Run = Callable[[], tuple[Array, Array, int, str]]


def network_solvers(net: Network, problem: Problem) -> dict[str, Iterator[Run]]:
    """For each solver its settings, the cheapest first."""
    k, rtol = problem.k, problem.rtol

    def hessian() -> Any:
        return ritz.hessian(
            net.module, data=(net.X, net.y), loss="cross_entropy", linearize="graph"
        )

    def ours() -> Iterator[Run]:
        def run() -> tuple[Array, Array, int, str]:
            result = ritz.eigsh(hessian(), k, which="LA", tol=rtol)
            return result.w.numpy(), result.V.numpy(), result.products.total, f"tol={rtol:.0e}"

        yield run

    def arpack() -> Iterator[Run]:
        for factor in LADDER:
            tol = rtol * float(factor)

            def run(tol: float = tol) -> tuple[Array, Array, int, str]:
                H = hessian()
                v0 = np.random.default_rng(0).standard_normal(net.n)
                w, V = spla.eigsh(H.to_scipy(), k, which="LA", tol=tol, v0=v0)
                return w, V, H.counts.total, f"tol={tol:.0e}"

            yield run

    solvers = {"ritz eigsh": ours(), "SciPy eigsh (ARPACK) on ritz.hessian": arpack()}
    if available("pyhessian"):
        solvers["PyHessian, its defaults"] = power_iteration(net, k)
        solvers["PyHessian"] = power_iteration(net, k)
    if available("hessian_eigenthings"):
        solvers["hessian-eigenthings, its defaults"] = eigenthings(net, k, default=True)
        solvers["hessian-eigenthings"] = eigenthings(net, k, default=False)
    if available("matfree"):
        solvers["matfree eigh_partial"] = in_jax(net, problem)
    return solvers


def power_iteration(net: Network, k: int) -> Iterator[Run]:
    """PyHessian: power iteration with deflation, which stops when an eigenvalue changes little."""
    import torch

    peer = importlib.import_module("pyhessian.hessian")
    plain = peer.hessian_vector_product
    calls = [0]

    def counting(*arguments: Any) -> Any:
        calls[0] += 1
        return plain(*arguments)

    peer.hessian_vector_product = counting
    for tol, limit in [(1e-3, 100), *((10.0**-p, 3000) for p in range(4, 15, 2))]:

        def run(tol: float = tol, limit: int = limit) -> tuple[Array, Array, int, str]:
            calls[0] = 0
            torch.manual_seed(0)
            torch.set_default_dtype(torch.float64)
            try:
                H = peer.hessian(net.module, net.loss, data=(net.X, net.y), cuda=False)
                w, V = H.eigenvalues(maxIter=limit, tol=tol, top_n=k)
            finally:
                torch.set_default_dtype(torch.float32)
                net.module.zero_grad()
            vectors = [torch.cat([p.reshape(-1) for p in v]).detach().numpy() for v in V]
            return np.array(w), np.stack(vectors, 1), calls[0], f"tol={tol:.0e}, maxIter={limit}"

        yield run


def eigenthings(net: Network, k: int, default: bool) -> Iterator[Run]:
    """hessian-eigenthings: Lanczos of a given number of steps."""
    import hessian_eigenthings as he

    settings: list[dict[str, Any]] = [{}]
    if not default:
        settings = [{"max_iter": m, "reorthogonalize": True} for m in range(10, 300)]
    for setting in settings:

        def run(setting: dict[str, Any] = setting) -> tuple[Array, Array, int, str]:
            H = he.HessianOperator(
                net.module, [(net.X, net.y)], he.supervised_loss(net.loss), full_dataset=True
            )
            result = he.lanczos(H, k=k, which="LA", seed=0, **setting)
            text = ", ".join(f"{key}={value}" for key, value in setting.items())
            w, V = result.eigenvalues.numpy(), result.eigenvectors.numpy().T
            return w, V, result.iterations, text

        yield run


def in_jax(net: Network, problem: Problem) -> Iterator[Run]:
    """matfree: the same network in JAX, and Lanczos of the fewest steps that are enough."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree
    from matfree import decomp, eig

    jax.config.update("jax_enable_x64", True)
    X, y = jnp.asarray(net.X.numpy()), jnp.asarray(net.y.numpy())
    flat, tree = ravel_pytree([jnp.asarray(p.detach().numpy()) for p in net.parameters])

    def loss(p: Any) -> Any:
        W, c, V, d = tree(p)
        z = jnp.tanh(X @ W.T + c) @ V.T + d
        return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1).mean()

    def product(v: Any) -> Any:
        return jax.jvp(jax.grad(loss), (flat,), (v,))[1]

    start = np.random.default_rng(0).standard_normal(net.n)
    for steps in range(10, 300):
        eigh = jax.jit(
            eig.eigh_partial(decomp.tridiag_sym(steps, reortho="full")), static_argnums=0
        )

        def run(eigh: Any = eigh, steps: int = steps) -> tuple[Array, Array, int, str]:
            w, V = map(np.asarray, eigh(product, start))
            order = np.argsort(w)[-problem.k :]
            return w[order], V[order].T, steps, f"num_matvecs={steps}"

        yield run


# ---- traces ----------------------------------------------------------------------------------


def traces(quick: bool) -> list[dict[str, Any]]:
    """Products that a standard error of one per cent takes, and the errors that were made."""
    rows = []
    n, seeds, rtol = (2000, 3, 0.01) if quick else (20_000, 10, 0.01)
    for p in (1.0, 1.5, 2.0):
        A = PowerLaw(n, p)
        row: dict[str, Any] = {"p": p, "n": n, "rtol": rtol, "seeds": seeds}
        for name, options in (
            ("auto", {"method": "auto"}),
            ("positive", {"method": "auto", "positive": True}),
            ("hutchinson", {"method": "hutchinson"}),
        ):
            runs = [
                ritz.trace(A, rtol=rtol, seed=s, max_products=n - 1, **options)
                for s in range(seeds)
            ]
            row[name] = {
                "products": statistics.median(r.products.total for r in runs),
                "error": rms([(r.value - A.trace) / A.trace for r in runs]),
                "stderr": rms([r.stderr / A.trace for r in runs]),
                "method": sorted({r.method for r in runs}),
            }
        row["auto_over_hutchinson"] = row["auto"]["products"] / row["hutchinson"]["products"]
        row["positive_over_hutchinson"] = (
            row["positive"]["products"] / row["hutchinson"]["products"]
        )
        row["goal"] = GOALS["trace"]
        if available("matfree"):
            row["matfree"] = matfree_traces(A, int(row["auto"]["products"]), seeds)
        rows.append(row)
        print(json.dumps(row), file=VERBOSE, flush=True)
    return rows


def rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def matfree_traces(A: PowerLaw, products: int, seeds: int) -> dict[str, float]:
    """The errors of matfree's estimators with as many products."""
    import jax
    import jax.numpy as jnp
    from matfree import stochtrace

    jax.config.update("jax_enable_x64", True)
    signs, values = jnp.asarray(A.signs), jnp.asarray(A.values)

    def product(x: Any) -> Any:
        return signs * jax.scipy.fft.idct(
            values * jax.scipy.fft.dct(signs * x, norm="ortho"), norm="ortho"
        )

    like = jnp.zeros(A.shape[0])
    estimators = {
        "hutchinson": stochtrace.estimator_monte_carlo(
            stochtrace.monte_carlo_trace(), stochtrace.sampler_signs(like, num=products)
        ),
        "xtrace": stochtrace.estimator_leave_one_out(
            stochtrace.leave_one_out_xtrace(), stochtrace.sampler_signs(like, num=products // 2)
        ),
    }
    errors = {}
    for name, estimate in estimators.items():
        found = [float(estimate(product, jax.random.key(s))) for s in range(seeds)]
        errors[name] = rms([(t - A.trace) / A.trace for t in found])
    return errors


# ---- vector work -----------------------------------------------------------------------------


class Stream:
    """Bytes a second of c = a + b out of cache, as CPU seconds tell it."""

    def __init__(self, n: int) -> None:
        self.a, self.b, self.c = np.ones(n), np.ones(n), np.zeros(n)

    def __call__(self) -> float:
        runs: one_thread.Runs = {"add": lambda: np.add(self.a, self.b, out=self.c)}
        return 3.0 * self.a.nbytes / shortest(runs, 3)["add"]


def vector_work(quick: bool) -> list[dict[str, Any]]:
    """Time beside the least memory traffic, with an operator that costs next to nothing.

    The floor of a Lanczos step with j vectors in the basis is 6 + 2 j vectors, for one projection,
    or 6 + 3 j for two with fused passes, and ncv + k vectors a restart; a step of Golub-Kahan has 3
    in place of 6, on either side. A product with a diagonal moves three.
    """
    n = 200_000 if quick else 500_000
    d = np.geomspace(1e-6, 1.0, n)
    stream = Stream(2_000_000 if quick else 20_000_000)
    rows = []
    for k, ncv, restarts in ((10, 21, 12), (20, 60, 4)):
        for name in ("eigsh", "svds"):
            if not has(name):
                continue
            A = ritz.diagonal(d)

            def run(
                A: Any = A, k: int = k, ncv: int = ncv, most: int = restarts, name: str = name
            ) -> Any:
                # No tolerance is met in so few restarts.
                return getattr(ritz, name)(A, k, ncv=ncv, tol=1e-15, maxiter=most, verify=False)

            result = run()
            made = result.restarts
            sides = 2 if name == "svds" else 1
            steps = result.products.total // sides
            kept = ncv - (steps - ncv) / max(made, 1)
            fixed = 6 if name == "eigsh" else 3
            basis = [*range(1, ncv + 1)]
            for _ in range(made):
                basis += range(round(kept) + 1, ncv + 1)
            vectors = sides * (sum(fixed + 2 * j + 3 for j in basis) + made * (ncv + kept))
            vectors += sides * (ncv + k)
            again = vectors + sides * sum(basis)  # projected twice, with the passes fused
            moved = []
            for _ in range(3 if quick else 5):
                begin = time.process_time()
                run()
                seconds = time.process_time() - begin
                moved.append(seconds * stream() / (8 * n))
            row = {
                "method": name,
                "n": n,
                "k": k,
                "ncv": ncv,
                "steps": steps,
                "restarts": made,
                "floor_vectors": vectors,
                "vectors_moved": statistics.median(moved),
                "over_floor": statistics.median(moved) / vectors,
                "floor_projected_twice": again,
                "goal": GOALS["over_floor"],
            }
            rows.append(row)
            print(json.dumps(row), file=VERBOSE, flush=True)
    return rows


# ---- tables ----------------------------------------------------------------------------------

PARTS: one_thread.Parts = {
    "largest": largest,
    "smallest": smallest,
    "singular": singular,
    "network": network,
    "traces": traces,
    "vector_work": vector_work,
}
WANTED = {"largest": "largest", "smallest": "smallest", "singular": "largest", "network": "largest"}


def markdown(report: dict[str, Any]) -> str:
    """The numbers as the guide shows them."""
    lines = [
        "| problem | solver | products | seconds | true residual |",
        "|---|---|---|---|---|",
    ]
    notes = []
    for part, which in WANTED.items():
        for contest_ in report.get(part, []):
            title = f"{contest_['problem']}: {contest_['k']} {which}"
            for row in contest_["rows"]:
                solver = row["solver"] + ("\\*" if row["told"] else "")
                lines.append(f"| {title} | {solver} | " + " | ".join(cells(row)) + " |")
                title = ""
            notes += [verdict(contest_)] if "products" in contest_ else []
    text = "\n".join(lines) + "\n" if len(lines) > 2 else ""
    if notes:
        text += "\n" + "\n".join(notes) + "\n"
    if rows := report.get("traces"):
        text += "\n" + "\n".join(trace_table(rows)) + "\n"
    if rows := report.get("vector_work"):
        text += "\n" + "\n".join(work_table(rows)) + "\n"
    return text


def cells(row: dict[str, Any]) -> list[str]:
    if "products" not in row:
        return [row.get("error", "").partition(":")[0], "", ""]
    missed = f", {row['missed']} missed" if row["missed"] else ""
    short = "" if row["reached"] else "; not reached"
    seconds = row["seconds"]
    time_ = f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.2g}"
    return [f"{row['products']:.0f}", time_, f"{row['residual']:.1e}{missed}{short}"]


def verdict(contest_: dict[str, Any]) -> str:
    parts = {
        "products": "products of the best of the others",
        "products_told": "of the best that is told its number of steps",
        "seconds": "SciPy's seconds",
    }
    told = [
        f"{contest_[key]:.2f} × {text}" + (f" (goal: {GOALS[key]})" if key in GOALS else "")
        for key, text in parts.items()
        if key in contest_
    ]
    return f"- {contest_['problem']}: {', '.join(told)}."


def trace_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| trace to 1 %, eigenvalues | method | products | ratio (goal) | error | stderr |",
        "|---|---|---|---|---|---|",
    ]
    names = {"auto": "`auto`", "positive": "`auto, positive=True`", "hutchinson": "`hutchinson`"}
    for row in rows:
        title = f"$j^{{-{row['p']:g}}}$, $n$ = {row['n']}"
        for key, name in names.items():
            result = row[key]
            ratio = ""
            if key != "hutchinson":
                ratio = f"{row[f'{key}_over_hutchinson']:.2f} ({GOALS['trace']})"
            lines.append(
                f"| {title} | {name}: {', '.join(result['method'])} | {result['products']:.0f} "
                f"| {ratio} | {result['error']:.1e} | {result['stderr']:.1e} |"
            )
            title = ""
        for name, error in row.get("matfree", {}).items():
            lines.append(
                f"| | matfree {name} | {row['auto']['products']:.0f}, as `auto` | | {error:.1e} | |"
            )
    return lines


def work_table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| vector work | $k$, ncv | vectors moved | floor, projected once | ratio (goal) "
        "| floor, twice | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        twice = row["floor_projected_twice"]
        lines.append(
            f"| `{row['method']}`, $n$ = {row['n']} | {row['k']}, {row['ncv']} "
            f"| {row['vectors_moved']:.0f} | {row['floor_vectors']:.0f} "
            f"| {row['over_floor']:.2f} ({row['goal']}) "
            f"| {twice:.0f} | {row['vectors_moved'] / twice:.2f} |"
        )
    return lines


if __name__ == "__main__":
    one_thread.main(__doc__, PARTS, markdown, GOALS, PEERS)
