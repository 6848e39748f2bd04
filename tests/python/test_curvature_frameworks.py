"""The same network in torch, JAX and NumPy gives the same operators; JAX compiles once."""

from __future__ import annotations

import gc
import itertools
import weakref

import numpy as np
import pytest

import ritz

jax = pytest.importorskip("jax")
torch = pytest.importorskip("torch")
jnp = jax.numpy

SIZES = (5, 6, 3)


@pytest.fixture(autouse=True)
def _wide():
    with jax.enable_x64(True):
        yield


def problem(seed=0):
    rng = np.random.default_rng(seed)
    params = {}
    for k, (a, b) in enumerate(itertools.pairwise(SIZES)):
        params[f"W{k}"] = rng.standard_normal((a, b))
        params[f"b{k}"] = rng.standard_normal(b)
    x, y = rng.standard_normal((8, SIZES[0])), rng.integers(0, SIZES[-1], 8)
    return params, x, y


def network(xp):
    def model(p, x):
        return xp.tanh(x @ p["W0"] + p["b0"]) @ p["W1"] + p["b1"]

    return model


def closures():
    model = network(np)

    def jvp(p, v, x):
        h = np.tanh(x @ p["W0"] + p["b0"])
        dh = (1 - h**2) * (x @ v["W0"] + v["b0"])
        return dh @ p["W1"] + h @ v["W1"] + v["b1"]

    def vjp(p, u, x):
        h = np.tanh(x @ p["W0"] + p["b0"])
        dh = (u @ p["W1"].T) * (1 - h**2)
        return {"W0": x.T @ dh, "b0": dh.sum(0), "W1": h.T @ u, "b1": u.sum(0)}

    return ritz.Closures(model, jvp, vjp)


CASES = {
    "torch": (network(torch), torch.tensor),
    "jax": (network(jnp), jnp.asarray),
    "numpy": (closures(), np.asarray),
}


def operators(name, data=lambda x, y: (x, y), dtype=np.float64):
    model, array = CASES[name]
    params, x, y = problem()
    params, x = {k: v.astype(dtype) for k, v in params.items()}, x.astype(dtype)
    params = {k: array(v) for k, v in params.items()}
    batches = data(array(x), array(y))
    common = (model, params, batches, "cross_entropy")
    yield "gauss_newton", ritz.gauss_newton(*common)
    for kind in ("mc", "empirical"):
        yield kind, ritz.fisher(*common, kind=kind, seed=7)
    yield "covariance", ritz.gradient_covariance(*common)
    yield "ntk", ritz.ntk(model, params, array(x))
    if name != "numpy":
        yield "hessian", ritz.hessian(*common)


def dense(name, *args):
    """By name; parameters in torch's order, which is that of the dict, as NumPy's is."""
    result = {}
    for key, op in operators(name, *args):
        a = np.asarray(op.to_dense())
        if name == "jax" and key != "ntk":  # JAX sorts the keys of dicts: W0 W1 b0 b1
            sizes = {
                n: int(np.prod(s)) for n, s in zip(op.domain.names, op.domain.shapes, strict=True)
            }
            starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
            order = np.concatenate(
                [np.arange(starts[n], starts[n] + sizes[n]) for n in ("W0", "b0", "W1", "b1")]
            )
            a = a[np.ix_(order, order)]
        result[key] = a
    return result


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-11), (np.float32, 1e-6)])
def test_frameworks_agree(dtype, bound):
    reference = dense("torch", lambda x, y: (x, y), dtype)
    for name in ("jax", "numpy"):
        for key, a in dense(name, lambda x, y: (x, y), dtype).items():
            error = np.linalg.norm(a - reference[key]) / np.linalg.norm(reference[key])
            assert a.dtype == dtype
            assert error < bound, (name, key, error)


@pytest.mark.parametrize("name", CASES)
def test_batches_change_nothing(name):
    whole = dense(name)
    for key, a in dense(name, lambda x, y: [(x[:3], y[:3]), (x[3:], y[3:])]).items():
        assert np.linalg.norm(a - whole[key]) <= 1e-12 * np.linalg.norm(whole[key]), key


@pytest.mark.parametrize("name", CASES)
def test_trees_and_solves(name):
    _, G = next(operators(name))
    grad = G.gradient()
    step, info = ritz.cg(G + 1e-2, grad, rtol=1e-10)
    assert info == 0
    assert type(step) is type(grad)
    assert sorted(step) == ["W0", "W1", "b0", "b1"]
    A = np.asarray(G.to_dense()) + 1e-2 * np.eye(G.shape[0])
    flat = G.domain.flatten(grad)
    np.testing.assert_allclose(G.domain.flatten(step), np.linalg.solve(A, flat), rtol=1e-6)


def test_one_compilation_for_all_points():
    traces = []
    base = network(jnp)

    def model(p, x):
        traces.append(1)
        return base(p, x)

    _, x, y = problem()
    data = (jnp.asarray(x), jnp.asarray(y))
    G = None
    for seed in range(6):
        params = {k: jnp.asarray(v) for k, v in problem(seed)[0].items()}
        for op in (
            ritz.gauss_newton(model, params, data, "cross_entropy"),
            ritz.hessian(model, params, data, "cross_entropy"),
        ):
            op @ np.ones(op.shape[0])
        if seed == 0:
            first = len(traces)
            G = ritz.gauss_newton(model, params, data, "cross_entropy")
        else:
            G.update(params)
            G @ np.ones(G.shape[0])
            if seed == 1:
                first = len(traces)
    assert len(traces) == first


def test_nothing_outlives_its_model():
    def model(p, x):
        return jnp.tanh(x @ p)

    x = jnp.ones((4, 3))
    G = ritz.gauss_newton(model, jnp.ones((3, 2)), (x, jnp.zeros((4, 2))), "mse")
    G @ np.ones(6)
    watched = weakref.ref(model)
    del G, model
    gc.collect()
    assert watched() is None


def test_numpy_points_that_moved():
    params, x, y = problem()
    G = ritz.gauss_newton(closures(), params, (x, y), "cross_entropy")
    v = np.ones(G.shape[0])
    before = G @ v
    params["W0"][0, 0] += 1.0
    with pytest.raises(ritz.StaleError):
        G @ v
    G.update()
    assert not np.array_equal(G @ v, before)


def test_replaced_entries_of_a_tree():
    params, x, y = problem()
    params = {k: jnp.asarray(v) for k, v in params.items()}
    G = ritz.gauss_newton(network(jnp), params, (jnp.asarray(x), jnp.asarray(y)), "cross_entropy")
    params["b0"] = params["b0"] + 1.0
    with pytest.raises(ritz.StaleError):
        G @ np.ones(G.shape[0])
