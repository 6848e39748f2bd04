"""Products that JAX forms at a point, against its own dense Jacobians and Hessians."""

from __future__ import annotations

import gc
import weakref
from functools import cached_property

import numpy as np
import pytest

import ritz
from ritz.trees import Structure

jax = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax
jax_linear = pytest.importorskip("ritz.frameworks.jax_linear")
linearize, linearize_gradient = jax_linear.linearize, jax_linear.linearize_gradient


@pytest.fixture(autouse=True)
def _x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def mlp(p, x):
    hidden = jax.nn.relu(x @ p["W1"] + p["b1"])
    return jnp.tanh(hidden @ p["W2"]) @ p["W3"]


def conv(p, x):
    h = lax.conv_general_dilated(
        x, p["K"], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.relu(h + p["b"]).mean((1, 2)) @ p["W"]


def attention(p, x):
    h = p["E"][x]
    scores = (h @ p["Q"]) @ jnp.swapaxes(h @ p["K"], 1, 2)
    causal = jnp.tril(jnp.ones(scores.shape[1:], bool))
    h = h + jax.nn.softmax(jnp.where(causal, scores, -jnp.inf)) @ (h @ p["V"])
    return jax.nn.gelu(h) @ p["E"].T  # tied


def case(name, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)

    def a(*shape):
        return jnp.asarray(rng.standard_normal(shape) / 2, dtype)

    if name == "one layer":
        return lambda p, x: jnp.tanh(x @ p), a(5, 3), a(6, 5)
    if name == "mlp":
        p = {"W1": a(5, 4), "b1": a(4), "W2": a(4, 4), "W3": a(4, 3)}
        return mlp, p, a(6, 5)
    if name == "conv":
        return conv, {"K": a(3, 3, 2, 3), "b": a(3), "W": a(3, 4)}, a(3, 6, 6, 2)
    p = {"E": a(7, 4), "Q": a(4, 4), "K": a(4, 4), "V": a(4, 4)}
    return attention, p, jnp.asarray(rng.integers(0, 7, (2, 5)))


class Problem:
    """A model at a point, and its dense derivatives by JAX of the model itself."""

    def __init__(self, name, dtype=np.float64):
        self.model, self.params, self.x = case(name, dtype)
        self.structure = Structure.of(self.params)
        self.leaves = self.structure.leaves(self.params)
        self.dtype = np.dtype(dtype)
        self.tolerance = (
            {"rtol": 1e-11, "atol": 1e-12} if dtype == np.float64 else {"rtol": 2e-5, "atol": 2e-5}
        )

    def function(self, leaves, x):
        return self.model(self.structure.tree(leaves), x)

    def loss(self, leaves, x):
        z = self.function(leaves, x)
        return (jax.nn.logsumexp(z, axis=-1) - z[..., 0]).mean()

    @cached_property
    def jacobian(self):
        return self.dense(self.function)

    @cached_property
    def hessian(self):
        return self.dense(lambda *at: self.structure.join(jax.grad(self.loss)(*at)))

    def dense(self, f):
        """Return ∂f/∂θ as a matrix, with the leaves' columns one after the other."""
        parts = jax.jit(jax.jacobian(f))(self.leaves, self.x)
        n = [p.size for p in self.leaves]
        return np.hstack([np.asarray(p).reshape(-1, m) for p, m in zip(parts, n, strict=True)])

    def random(self, *shape, seed=1):
        return np.random.default_rng(seed).standard_normal(shape).astype(self.dtype)


CASES = [("mlp", np.float64), ("conv", np.float64), ("attention", np.float64)]
CASES += [("mlp", np.float32)]
HOWS = ["compiled", "recompute"]


@pytest.fixture(scope="module", params=CASES, ids=lambda c: f"{c[0]}-{np.dtype(c[1])}")
def problem(request):
    with jax.enable_x64(True):
        return Problem(*request.param)


def curvature(state, u):
    """Return the Hessian of softmax cross-entropy, times u."""
    (p,) = state
    return p * (u - (p * u).sum(-1, keepdims=True))


@pytest.mark.parametrize("how", HOWS)
def test_products_equal_those_of_the_dense_jacobian(problem, how):
    lin = linearize(problem.function, problem.structure, problem.leaves, (problem.x,), how=how)
    J = problem.jacobian
    z = problem.function(problem.leaves, problem.x)
    np.testing.assert_allclose(lin.value, z, **problem.tolerance)
    v, u = problem.random(J.shape[1]), problem.random(*z.shape, seed=2)
    Jv, Ju = lin.jvp(v), lin.vjp(u)
    assert Jv.shape == z.shape
    assert Jv.dtype == Ju.dtype == problem.dtype
    np.testing.assert_allclose(Jv.ravel(), J @ v, **problem.tolerance)
    np.testing.assert_allclose(Ju, J.T @ u.ravel(), **problem.tolerance)
    np.testing.assert_allclose(np.vdot(Jv, u), np.vdot(v, Ju), **problem.tolerance)

    p = np.asarray(jax.nn.softmax(z))
    c = p.shape[-1]
    p = p.reshape(-1, c)
    H = np.zeros((p.size, p.size))
    for i, q in enumerate(p):
        H[i * c : (i + 1) * c, i * c : (i + 1) * c] = np.diag(q) - np.outer(q, q)
    state = (jax.nn.softmax(z),)
    G = J.T @ H @ J
    np.testing.assert_allclose(lin.through(curvature, state)(v), G @ v, **problem.tolerance)
    V = problem.random(J.shape[1], 3)
    np.testing.assert_allclose(lin.through_block(curvature, state)(V), G @ V, **problem.tolerance)
    assert lin.how == how
    assert (lin.bytes == 0) == (how == "recompute")


@pytest.mark.parametrize("how", HOWS)
def test_hessian_products_equal_those_of_the_dense_hessian(problem, how):
    g = linearize_gradient(problem.loss, problem.structure, problem.leaves, (problem.x,), how=how)
    H = problem.hessian
    V = problem.random(H.shape[0], 3)
    np.testing.assert_allclose(
        g.value, problem.loss(problem.leaves, problem.x), **problem.tolerance
    )
    gradient = problem.dense(problem.loss)[0]
    np.testing.assert_allclose(g.gradient, gradient, **problem.tolerance)
    np.testing.assert_allclose(g.hvp(V[:, 0]), H @ V[:, 0], **problem.tolerance)
    np.testing.assert_allclose(g.hvp_block(V), H @ V, **problem.tolerance)
    a, b = V[:, 0], V[:, 1]
    np.testing.assert_allclose(a @ g.hvp(b), b @ g.hvp(a), **problem.tolerance)


def test_blocks_by_every_chunk_have_the_products_of_the_columns():
    problem = Problem("one layer")
    J, H = problem.jacobian, problem.hessian
    m, n = J.shape
    here = (problem.structure, problem.leaves, (problem.x,))
    for seconds in ({1: 1.0, 4: 9.0}, {1: 1.0, 4: 0.1, 16: 9.0}, {1: 1.0, 4: 3.0, 16: 1, 64: 9.0}):
        names = ("jvp", "vjp", "hvp")
        memory = {("seconds of a chunk", "compiled", name): dict(seconds) for name in names}
        lin = linearize(problem.function, *here, memory=memory)
        grad = linearize_gradient(problem.loss, *here, memory=memory)
        for k in (0, 7, 18):
            V, U = problem.random(n, k), problem.random(k, *lin.value.shape)
            JV, JU, HV = lin.jvp_block(V), lin.vjp_block(U), grad.hvp_block(jnp.asarray(V))
            assert JV.shape == (k, *lin.value.shape)
            assert JU.shape == HV.shape == (n, k)
            np.testing.assert_allclose(JV.reshape(k, m), (J @ V).T, **problem.tolerance)
            np.testing.assert_allclose(JU, J.T @ U.reshape(k, m).T, **problem.tolerance)
            np.testing.assert_allclose(HV, H @ V, **problem.tolerance)


def test_the_size_of_chunks_is_measured_once_and_the_fastest_is_used(monkeypatch):
    problem = Problem("one layer")
    times = {1: 1.0, 4: 2.0, 16: 9.0, 64: 1.0}
    asked = []

    def time_of(call):
        asked.append(call.args[0])
        return times[call.args[0]]

    monkeypatch.setattr(jax_linear, "_time", time_of)
    memory = {}
    n = problem.structure.size
    here = (problem.function, problem.structure, problem.leaves, (problem.x,))
    linearize(*here, memory=memory).jvp_block(problem.random(n, 3))
    assert asked == [1]
    linearize(*here, memory=memory).jvp_block(problem.random(n, 70))
    assert asked == [1, 4, 16]  # 16 columns were slower than four times four
    lin = linearize(*here, memory=memory)
    product = lin._products.jvp
    used = []
    call = type(product)._call
    monkeypatch.setattr(
        type(product), "_call", lambda self, c, *rest: used.append(c) or call(self, c, *rest)
    )
    lin.jvp_block(problem.random(n, 9))
    assert (asked, used) == ([1, 4, 16], [4, 4, 1])


@pytest.fixture
def compilations():
    """Count the compilations of XLA."""
    seen = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def test_one_compilation_serves_all_points_and_batches_of_a_shape(compilations):
    problem = Problem("mlp")
    traces = {"value": 0, "loss": 0, "middle": 0}

    def function(leaves, x):
        traces["value"] += 1
        return problem.function(leaves, x)

    def loss(leaves, x):
        traces["loss"] += 1
        return problem.loss(leaves, x)

    def middle(state, u):
        traces["middle"] += 1
        return curvature(state, u)

    n = problem.structure.size
    v = problem.random(n)

    def point(i):
        leaves = [leaf * (1 + i / 10) for leaf in problem.leaves]
        x = problem.x + i
        lin = linearize(function, problem.structure, leaves, (x,), budget=10**9)
        lin.jvp(v)
        lin.vjp(lin.value)
        Gv = lin.through(middle, (jax.nn.softmax(lin.value),))(v)
        return Gv, linearize_gradient(loss, problem.structure, leaves, (x,)).hvp(v)

    first = point(0)
    before = len(compilations)
    assert before > 0
    for i in range(1, 10):
        Gv, Hv = point(i)
    assert len(compilations) == before
    assert traces == {"value": 1, "loss": 1, "middle": 1}
    assert not np.allclose(Gv, first[0])
    problem.leaves, problem.x = [leaf * 1.9 for leaf in problem.leaves], problem.x + 9
    np.testing.assert_allclose(Hv, problem.hessian @ v, **problem.tolerance)

    linearize(function, problem.structure, problem.leaves, (problem.x[:4],)).jvp(v)
    assert traces["value"] == 2


def test_equal_functions_of_one_anchor_share_their_code():
    problem = Problem("one layer")
    traces = []

    def model(leaves, x):
        traces.append(len(leaves))
        return problem.function(leaves, x)

    class Bound:
        def __init__(self, form):
            self.anchor, self.form = model, form

        def __call__(self, leaves, x):
            return self.anchor(leaves, x) * (2.0 if self.form == "twice" else 1.0)

    def value(form):
        lin = linearize(Bound(form), problem.structure, problem.leaves, (problem.x,))
        return np.asarray(lin.jvp(problem.random(problem.structure.size)))

    once = value("once")
    gc.collect()
    np.testing.assert_array_equal(value("once"), once)
    assert len(traces) == 1
    np.testing.assert_allclose(value("twice"), 2 * once, rtol=1e-14)
    assert len(traces) == 2


def test_equal_middles_share_their_code_and_methods_count_as_equal():
    problem = Problem("one layer")
    traces = []

    class Loss:
        def __init__(self, scale):
            self.scale = scale

        def __eq__(self, other):
            return isinstance(other, Loss) and self.scale == other.scale

        def __hash__(self):
            return hash(self.scale)

        def product(self, state, u):
            traces.append(self.scale)
            return self.scale * u

    lin = linearize(problem.function, problem.structure, problem.leaves, (problem.x,))
    v = problem.random(problem.structure.size)
    one = lin.through(Loss(1.0).product, ())(v)
    lin.through(Loss(1.0).product, ())(v)
    np.testing.assert_allclose(lin.through(Loss(3.0).product, ())(v), 3 * one, rtol=1e-13)
    assert traces == [1.0, 3.0]
    for i in range(40):  # code of middles that are not used again does not pile up
        lin.through(Loss(float(i)), ())
    assert len(lin._products._middles) <= 16


@pytest.mark.parametrize("how", HOWS)
def test_a_dropped_function_and_what_it_holds_are_freed(how):
    problem = Problem("one layer")
    model, structure = problem.model, problem.structure

    class Data:
        scale = jnp.ones(3)

    class Function:
        def __init__(self):
            self.data = Data()

        def __call__(self, leaves, x):
            return model(structure.tree(leaves), x) * self.data.scale

    function = Function()
    gc.collect()
    before = len(jax_linear._PRODUCTS)
    lin = linearize(function, structure, problem.leaves, (problem.x,), how=how)
    lin.through(curvature, (lin.value,))(problem.random(structure.size))
    lin.jvp_block(problem.random(structure.size, 5))
    assert len(jax_linear._PRODUCTS) == before + 1
    alive = [weakref.ref(function), weakref.ref(function.data), weakref.ref(lin._products)]
    del function
    gc.collect()
    lin.vjp(lin.value)  # the linearisation needs what it was made of, and no more
    del lin
    gc.collect()
    assert [r() for r in alive] == [None, None, None]
    assert len(jax_linear._PRODUCTS) == before


def test_methods_keep_their_code_while_their_object_lives():
    class Model:
        def __init__(self, structure):
            self.structure, self.traces = structure, 0

        def apply(self, leaves, x):
            self.traces += 1
            return jnp.tanh(x @ self.structure.tree(leaves))

    problem = Problem("one layer")
    model = Model(problem.structure)
    for _ in range(3):
        linearize(model.apply, problem.structure, problem.leaves, (problem.x,))
        gc.collect()
    assert model.traces == 1
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_only_what_is_neither_input_nor_constant_is_kept():
    problem = Problem("mlp")
    lin = linearize(problem.function, problem.structure, problem.leaves, (problem.x,))
    # Of a batch of 6: a mask (6, 4) of booleans, the rectified values, tanh and its slope (6, 4);
    # no weights, no data, no zeros of the rectifier.
    assert lin.bytes <= 6 * 4 * (1 + 3 * 8)
    linear = jax.jit(lambda p: jax.linearize(lambda q: problem.function(q, problem.x), p)[1])
    assert lin.bytes < sum(a.nbytes for a in jax.tree.leaves(linear(problem.leaves))) / 2


def test_what_does_not_fit_the_budget_is_recomputed():
    problem = Problem("one layer")
    here = (problem.function, problem.structure, problem.leaves, (problem.x,))
    kept = linearize(*here)
    assert linearize(*here, budget=kept.bytes).how == "compiled"
    less = linearize(*here, budget=kept.bytes - 1)
    assert (less.how, less.bytes) == ("recompute", 0)
    v = problem.random(problem.structure.size)
    np.testing.assert_allclose(less.jvp(v), kept.jvp(v), **problem.tolerance)


def test_numpy_data_written_to_afterwards_does_not_move_the_point():
    problem = Problem("one layer")
    x = np.array(problem.x)
    for how in HOWS:
        lin = linearize(problem.function, problem.structure, problem.leaves, (x,), how=how)
        v = problem.random(problem.structure.size)
        before = np.array(lin.jvp(v))
        saved = x.copy()
        x[:] = 0.0
        np.testing.assert_array_equal(lin.jvp(v), before)
        x[:] = saved


def test_trees_of_data_and_plain_numbers_are_arguments():
    problem = Problem("one layer")

    def function(leaves, batch, weight, nothing):
        assert nothing is None
        return weight * problem.function(leaves, batch["x"])

    here = (problem.structure, problem.leaves)
    lin = linearize(function, *here, ({"x": problem.x}, 2.5, None))
    v = problem.random(problem.structure.size)
    J = problem.jacobian
    np.testing.assert_allclose(lin.jvp(v).ravel(), 2.5 * (J @ v), **problem.tolerance)


def test_a_captured_array_that_is_no_argument_stays_a_constant():
    problem = Problem("mlp")
    scale = jnp.arange(1.0, 4.0)
    lin = linearize(
        lambda leaves, x: problem.function(leaves, x) * scale,
        problem.structure,
        problem.leaves,
        (problem.x,),
    )
    J = problem.jacobian
    v = problem.random(problem.structure.size)
    expected = (J @ v).reshape(6, 3) * np.arange(1.0, 4.0)
    np.testing.assert_allclose(lin.jvp(v), expected, **problem.tolerance)


def test_control_flow_and_compiled_models_are_linearised():
    problem = Problem("one layer")

    @jax.jit
    def function(leaves, x):
        z = problem.function(leaves, x)
        return lax.fori_loop(0, 3, lambda _, c: jnp.sin(c) + z * c, z)

    lin = linearize(function, problem.structure, problem.leaves, (problem.x,))
    J = problem.dense(function)
    v = problem.random(J.shape[1])
    np.testing.assert_allclose(lin.jvp(v).ravel(), J @ v, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(lin.vjp(lin.value), J.T @ lin.value.ravel(), rtol=1e-10, atol=1e-9)


def test_a_map_without_dependence_is_zero():
    problem = Problem("one layer")
    lin = linearize(lambda leaves, x: x * 2.0, problem.structure, problem.leaves, (problem.x,))
    assert not np.any(lin.jvp(problem.random(problem.structure.size)))
    assert not np.any(lin.vjp(lin.value))


def test_misuse_is_named():
    problem = Problem("one layer")
    here = (problem.structure, problem.leaves, (problem.x,))
    with pytest.raises(ValueError, match="how is 'fast'; pass one of 'auto', 'compiled'"):
        linearize(problem.function, *here, how="fast")
    with pytest.raises(TypeError, match="the model returned tuple; it must return one"):
        linearize(lambda leaves, x: (x, x), *here)
    with pytest.raises(TypeError, match="array of int64, which has no derivatives"):
        linearize(lambda leaves, x: x.argmax(1), *here)
    with pytest.raises(ValueError, match=r"the loss returned an array of shape \(6, 3\)"):
        linearize_gradient(problem.function, *here)


def test_the_core_hands_views_to_functions_that_take_them():
    problem = Problem("one layer")
    lin = linearize(problem.function, problem.structure, problem.leaves, (problem.x,))
    product = lin.through(curvature, (jax.nn.softmax(lin.value),))
    came = []

    def matvec(v):
        came.append(type(v))
        return product(v)

    n = problem.structure.size
    A = ritz.LinearOperator((n, n), matvec, dtype=np.float64, framework="jax")
    v = jnp.asarray(problem.random(n))
    plain = A @ v
    matvec.takes_views = True
    np.testing.assert_array_equal(A @ v, plain)
    assert issubclass(came[0], jax.Array)
    assert came[1] is np.ndarray
    b = jnp.asarray(problem.random(n, seed=3))
    x = ritz.cg(A.shifted(1.0), b, rtol=1e-10).x
    dense = np.asarray(A.to_dense()) + np.eye(n)
    np.testing.assert_allclose(x, np.linalg.solve(dense, b), rtol=1e-8, atol=1e-9)
