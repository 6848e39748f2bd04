"""Trees of arrays go in where vectors do, and come back as trees."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import ritz
from problems import symmetric
from ritz.trees import Structure

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

Pair = namedtuple("Pair", "w b")


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


MAKE = {
    "numpy": lambda a: np.array(a),
    "torch": lambda a: torch.from_numpy(np.array(a)),
    "jax": lambda a: jnp.array(a),
}


def nested(framework, seed=0, dtype=np.float64):
    """A tree of 11 elements, with containers of all kinds; keys are not sorted."""
    rng = np.random.default_rng(seed)

    def leaf(*shape):
        return MAKE[framework](rng.standard_normal(shape).astype(dtype))

    return {"w": [leaf(2, 3), None, (leaf(1),)], "b": Pair(leaf(3), leaf())}


def flat_of(framework, tree):
    """The elements in the order of the framework's trees, written down by hand."""
    first, second = [tree["w"][0], tree["w"][2][0]], list(tree["b"])
    leaves = second + first if framework == "jax" else first + second
    return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in leaves])


def assert_same_tree(tree, other):
    assert type(tree) is type(other)
    if isinstance(tree, dict):
        assert list(tree) == list(other) or set(tree) == set(other)
        for key in tree:
            assert_same_tree(tree[key], other[key])
    elif isinstance(tree, list | tuple):
        assert len(tree) == len(other)
        for a, b in zip(tree, other, strict=True):
            assert_same_tree(a, b)
    elif tree is not None:
        assert tree.dtype == other.dtype
        np.testing.assert_allclose(np.asarray(tree), np.asarray(other), rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------- structures


@pytest.mark.parametrize("framework", MAKE)
def test_a_structure_and_its_flat_vectors(framework):
    tree = nested(framework)
    s = Structure.of(tree)
    names = ("w.0", "w.2.0", "b.w", "b.b")
    assert s.names == (names[2:] + names[:2] if framework == "jax" else names)
    assert s.size == 11
    assert s.dtype == np.float64
    assert s.framework.name == framework
    assert (s.device is None) == (framework != "torch")
    flat = s.flatten(tree)
    assert type(flat) is np.ndarray
    np.testing.assert_array_equal(flat, flat_of(framework, tree))
    assert_same_tree(s.unflatten(flat), tree)
    for other in MAKE:
        assert_same_tree(s.unflatten(MAKE[other](flat)), tree)
    native = s.join(s.leaves(tree))
    assert isinstance(native, s.framework.type)
    assert native.shape == (11,)
    assert_same_tree(s.tree(s.split(native)), tree)
    assert s == Structure.of(nested(framework, 5))
    assert hash(s) == hash(Structure.of(nested(framework, 5)))
    assert s != Structure.of(nested(framework, dtype=np.float32))
    assert f"4 leaves of {framework}, n = 11, float64" in repr(s)


def test_parameters_of_a_module_have_torchs_order():
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    tree = dict(module.named_parameters())
    s = Structure.of(tree)
    vector = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    np.testing.assert_array_equal(s.flatten(tree), vector)
    assert s.names == ("0.weight", "0.bias", "2.weight", "2.bias")
    # A state dict is an OrderedDict; the order of the keys does not matter.
    np.testing.assert_array_equal(s.flatten(module.state_dict()), vector)
    np.testing.assert_array_equal(s.flatten(dict(reversed(tree.items()))), vector)


def test_a_list_stands_for_a_tuple_at_the_root():
    s = Structure.of([torch.ones(2, 3), torch.zeros(2)])
    gradients = (torch.ones(2, 3), torch.zeros(2))
    np.testing.assert_array_equal(s.flatten(gradients), [1, 1, 1, 1, 1, 1, 0, 0])
    assert type(s.unflatten(np.ones(8))) is list


def test_what_is_copied():
    a = np.arange(6.0).reshape(2, 3)
    s = Structure.of(a)
    assert s.is_array
    assert s.names == ("",)
    assert np.shares_memory(s.flatten(a), a)
    assert np.shares_memory(s.unflatten(a.ravel()), a)
    t = torch.zeros(2, 3)
    assert np.shares_memory(Structure.of([t]).flatten([t]), t.numpy())
    flat = torch.arange(8.0)
    tree = Structure.of({"a": torch.zeros(2, 3), "b": torch.zeros(2)}).unflatten(flat)
    flat[7] = 70
    assert tree["b"][1] == 70
    j = Structure.of(jnp.zeros(3))
    host = np.ones(3)
    array = j.unflatten(host)
    host[0] = 7
    assert array[0] == 1
    read_only = np.broadcast_to(np.ones(1), 3)
    np.testing.assert_array_equal(Structure.of(torch.zeros(3).double()).unflatten(read_only), 1)
    np.testing.assert_array_equal(
        Structure.of(torch.zeros(3)).unflatten(np.arange(3)[::-1]), [2, 1, 0]
    )


def test_joining_records_gradients_and_is_traced():
    s = Structure.of([torch.ones(2, 2), torch.ones(3)])
    leaves = [torch.ones(2, 2, requires_grad=True), torch.ones(3, requires_grad=True)]
    (s.join(leaves) * torch.arange(7.0)).sum().backward()
    np.testing.assert_array_equal(leaves[0].grad, [[0, 1], [2, 3]])
    assert s.flatten(leaves).tolist() == [1] * 7
    j = Structure.of([jnp.ones((2, 2)), jnp.ones(3)])
    flat = jnp.arange(7.0)
    np.testing.assert_array_equal(jax.jit(lambda v: j.join(j.split(v)))(flat), flat)
    square = jax.grad(lambda v: sum((leaf**2).sum() for leaf in j.split(v)))
    np.testing.assert_array_equal(square(flat), 2 * flat)


def test_the_element_type_of_a_flat_vector_is_kept():
    s = Structure.of({"a": torch.zeros(2)})
    assert s.unflatten(np.ones(2))["a"].dtype == torch.float64
    assert s.flatten({"a": torch.ones(2, dtype=torch.float64)}).dtype == np.float64


@pytest.mark.parametrize(
    ("tree", "error", "words"),
    [
        (dict, ValueError, "no leaves"),
        (lambda: [None, ()], ValueError, "no leaves"),
        (lambda: {"a": 1.5}, TypeError, "leaf 'a' is float"),
        (lambda: {"a": np.ones(2), "b": "x"}, TypeError, "leaf 'b' is str"),
        (lambda: [torch.ones(2), np.ones(2)], TypeError, "leaf '1' is numpy.ndarray.*of torch"),
        (lambda: {"j": jnp.ones(2), "n": 0.5}, TypeError, "leaf 'n' is float; .* of jax"),
        (lambda: torch.nn.Linear(2, 2), TypeError, "a module; .*named_parameters"),
        (
            lambda: {"a": {"b": torch.ones(2)}, "c": torch.ones(2).double()},
            TypeError,
            "leaf 'c' is float64, but leaf 'a.b' is float32",
        ),
        (lambda: {"steps": torch.tensor(3)}, TypeError, "leaf 'steps' has dtype torch.int64"),
        (lambda: [torch.ones(2, dtype=torch.bfloat16)], TypeError, "leaf '0' has dtype .*bfloat16"),
        (lambda: [np.ones(2, np.float16)], TypeError, "leaf '0' has dtype float16"),
    ],
)
def test_what_is_no_tree_of_vectors(tree, error, words):
    with pytest.raises(error, match=words):
        Structure.of(tree())


def test_trees_of_another_structure():
    s = Structure.of({"w": Pair(np.ones((2, 2)), np.ones(2)), "v": [np.ones(1)]})
    good = {"w": Pair(np.ones((2, 2)), np.ones(2)), "v": [np.ones(1)]}
    for change, error, words in (
        ({"v": [np.ones(2)]}, ValueError, r"leaf 'v.0' has shape \(2,\); it must be \(1,\)"),
        ({"v": [3.0]}, TypeError, "leaf 'v.0' is float"),
        ({"v": [torch.ones(1)]}, TypeError, "leaf 'v.0' is torch.Tensor"),
        ({"v": [np.ones(1), np.ones(1)]}, ValueError, "it has in excess 'v.1'"),
        ({"v": (np.ones(1),)}, ValueError, "list"),
        ({"u": np.ones(1)}, ValueError, "it has in excess 'u'"),
    ):
        with pytest.raises(error, match=words):
            s.leaves({**good, **change})
    with pytest.raises(ValueError, match=r"it lacks 'v\.0'"):
        s.leaves({"w": good["w"]})
    with pytest.raises(ValueError, match=r"flat has shape \(6,\); .* needs \(7,\)"):
        s.unflatten(np.ones(6))
    with pytest.raises(ValueError, match="2 leaves came"):
        s.tree([1, 2])


def test_which_values_are_trees():
    of_two, of_image = Structure.of([np.ones(2), np.ones(2)]), Structure.of(np.ones((2, 3)))
    for tree in ([np.ones(2), np.ones(2)], (np.ones(2),), {}):
        assert of_two.holds(tree)
    for vector in (np.ones(4), torch.ones(4), [1.0, 2.0], [[1, 2], [3, 4]], [], 3.0, None):
        assert not of_two.holds(vector)
    assert of_image.holds(np.ones((2, 3)))
    assert not of_image.holds(np.ones(6))
    assert not of_image.holds(np.ones((6, 2)))


def test_threads_flatten_in_one_order():
    trees = [{"b": np.ones(1), "a": np.zeros(1)} for _ in range(20)]
    seen = []

    def work():
        seen.extend(Structure.of(t).names for t in trees)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(seen) == {("b", "a")}


def test_copies_from_a_device_are_told_once(monkeypatch):
    from ritz import frameworks

    monkeypatch.setattr(frameworks, "_warned_of_devices", False)
    with pytest.warns(UserWarning, match="vectors on cuda:0 are copied to host memory"):
        frameworks.warn_of_device("cuda:0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frameworks.warn_of_device("cuda:0")


# -------------------------------------------------------------------------------------- operators

S = symmetric(np.linspace(1.0, 3.0, 11))
J = np.random.default_rng(3).standard_normal((6, 11))


def operators(framework):
    """A symmetric operator on the tree, and one from it to an array (2, 3)."""
    tree, s, j = nested(framework), MAKE[framework](S), MAKE[framework](J)
    image = MAKE[framework](np.zeros((2, 3)))
    A = ritz.LinearOperator((11, 11), lambda x: s @ x, symmetric=True, domain=tree)
    B = ritz.LinearOperator(
        (6, 11), lambda x: j @ x, lambda u: j.T @ u, domain=tree, codomain=image
    )
    return A, B, tree


@pytest.mark.parametrize("framework", MAKE)
def test_products(framework):
    A, B, tree = operators(framework)
    flat = flat_of(framework, tree)
    assert A.codomain == A.domain == Structure.of(tree)
    assert_same_tree(A @ tree, A.domain.unflatten(S @ flat))
    assert_same_tree(A.matvec(tree), A.domain.unflatten(S @ flat))
    y = B @ tree
    assert tuple(y.shape) == (2, 3)
    np.testing.assert_allclose(y, (J @ flat).reshape(2, 3))
    assert_same_tree(B.T @ y, A.domain.unflatten(J.T @ J @ flat))
    assert_same_tree(B.rmatvec(y), A.domain.unflatten(J.T @ J @ flat))
    assert_same_tree(tree @ A, A @ tree)
    # Flat vectors and blocks stay what they are.
    x = MAKE[framework](flat)
    assert tuple((B @ x).shape) == (6,)
    assert tuple((B @ MAKE[framework](np.ones((11, 2)))).shape) == (6, 2)
    assert isinstance(B @ np.ones(11), np.ndarray)


@pytest.mark.parametrize("framework", MAKE)
def test_the_algebra_carries_the_trees(framework):
    A, B, tree = operators(framework)
    D, C = A.domain, B.codomain
    plain = ritz.identity(11)
    for made, domain, codomain in (
        (A + plain, D, D),
        (plain - A, D, D),
        (A + 1e-3, D, D),
        (2 * A, D, D),
        (A**3, D, D),
        (A**0, D, D),
        (B @ A, D, C),
        (B.T, C, D),
        (B.H, C, D),
        (B.T @ B, D, D),
        (B @ plain, None, C),
        (B.damped(0.1), D, None),
        (ritz.block([[A], [B]]), D, None),
        (ritz.GaussNewton(B), D, D),
        (ritz.GaussNewton(B) + 0.5, D, D),
        (B[1:], D, None),
        (B[:, 1:], None, C),
        (A[1:, 1:], None, None),
    ):
        assert made.domain == domain
        assert made.codomain == codomain
    flat = flat_of(framework, tree)
    damped = (ritz.GaussNewton(B) + 0.5) @ tree
    assert_same_tree(damped, D.unflatten(J.T @ J @ flat + 0.5 * flat))
    # With no codomain the product is flat.
    assert tuple((B[1:] @ tree).shape) == (5,)


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_selections_of_closures_of_a_framework(framework):
    A, _, _ = operators(framework)
    seen = []

    def matvec(x):
        seen.append(type(x))
        return A @ x

    B = ritz.LinearOperator((11, 11), matvec, symmetric=True)[[0, 0, 5], 3:]
    x = MAKE[framework](np.arange(8.0))
    y = B @ x
    assert type(y) is type(x)
    np.testing.assert_allclose(y, S[[0, 0, 5], 3:] @ np.arange(8.0))
    np.testing.assert_allclose(B.T @ y, S[3:, [0, 0, 5]] @ np.asarray(y))
    assert set(seen) == {type(x)}
    mask = MAKE[framework](np.arange(11) % 2 == 0)
    np.testing.assert_allclose((A[mask, mask]).to_dense(), S[::2, ::2])


def test_the_domain_tells_the_framework():
    seen = []

    def matvec(x):
        seen.append((type(x), x.dtype))
        return 2 * x

    tree = {"a": torch.ones(2, 2), "b": torch.ones(3)}
    A = ritz.LinearOperator((7, 7), matvec, symmetric=True, domain=tree)
    w, V = ritz.eigsh(A, 1)
    assert isinstance(V, torch.Tensor)
    assert V.dtype == torch.float32
    np.testing.assert_allclose(w, [2], rtol=1e-5)
    assert isinstance(A @ np.ones(7, np.float32), np.ndarray)
    assert set(seen) == {(torch.Tensor, torch.float32)}


def test_a_domain_that_does_not_fit():
    with pytest.raises(ValueError, match=r"domain is <Structure .*; this shape needs one of 3"):
        ritz.LinearOperator((3, 3), lambda x: x, domain=[np.ones(2)])
    with pytest.raises(ValueError, match="codomain is"):
        ritz.Jacobian((3, 2), lambda x: x, domain=np.ones(2), codomain=np.ones(2))
    with pytest.raises(TypeError, match="leave out vjp, shape and domain"):
        ritz.GaussNewton(ritz.identity(2), domain=np.ones(2))


@pytest.mark.parametrize("apply", [lambda A, t: A @ t, ritz.cg, ritz.minres, ritz.lsmr, ritz.gmres])
def test_without_a_domain_trees_are_refused(apply):
    for tree in ({"a": np.ones(2)}, [torch.ones(2), torch.ones(1)]):
        with pytest.raises(TypeError, match=r"(x|b) is (a dict|not an array)"):
            apply(ritz.identity(3), tree)


# ---------------------------------------------------------------------------------------- solvers


@pytest.mark.parametrize("framework", MAKE)
@pytest.mark.parametrize(
    "solver",
    [
        *(ritz.cg, ritz.cr, ritz.fcg, ritz.minres, ritz.minres_qlp, ritz.symmlq),
        *(ritz.gmres, ritz.fgmres, ritz.bicgstab, ritz.bicgstabl, ritz.idrs, ritz.gcrodr),
        ritz.sgmres,
        *(ritz.cgls, ritz.lsqr, ritz.lsmr, ritz.craig, ritz.solve),
    ],
)
def test_solvers(framework, solver):
    A, _, _ = operators(framework)
    b = nested(framework, 8)
    exact = A.domain.unflatten(np.linalg.solve(S, flat_of(framework, b)))
    normal = solver in (ritz.cgls, ritz.lsqr, ritz.lsmr)
    tight = {"atol": 1e-13, "btol": 1e-13} if normal else {"rtol": 1e-13}
    x, info = solver(A, b, **tight)
    assert info == 0
    assert_same_tree(x, exact)
    if solver is not ritz.craig:
        again = solver(A, b, x0=x, **dict.fromkeys(tight, 1e-9))
        assert_same_tree(again.x, exact)
        assert again.iterations == 0


@pytest.mark.parametrize("framework", MAKE)
def test_least_squares_and_preconditioners(framework):
    A, B, tree = operators(framework)
    y = MAKE[framework](np.arange(6.0).reshape(2, 3))
    least = A.domain.unflatten(np.linalg.lstsq(J, np.arange(6.0), rcond=None)[0])
    for solver in (ritz.lsmr, ritz.lsqr):
        x, _ = solver(B, y, atol=1e-13, btol=1e-13)
        assert_same_tree(x, least)
        M = ritz.diagonal(np.ones(11))
        x, _ = solver(B, y, M=M, atol=1e-13, btol=1e-13)
        assert_same_tree(x, least)
        x, _ = solver(B, y, x0=tree, M=M, atol=1e-13, btol=1e-13)
        np.testing.assert_allclose(B @ x, y, rtol=1e-10, atol=1e-10)
    # x0 alone tells as well.
    flat = MAKE[framework](np.arange(6.0))
    assert_same_tree(
        ritz.lsmr(B, flat, x0=A.domain.unflatten(np.zeros(11)), atol=1e-13, btol=1e-13).x, least
    )
    x, _ = ritz.cg(A, tree, M=ritz.diagonal(1 / np.diag(S)), rtol=1e-13)
    assert_same_tree(A @ x, tree)


@pytest.mark.parametrize("framework", MAKE)
def test_callbacks_steps_and_families(framework):
    A, _, tree = operators(framework)
    seen = []
    result = ritz.cg(A, tree, rtol=1e-13, callback=lambda it: seen.append(it.x))
    assert_same_tree(seen[-1], result.x)
    steps = ritz.iterate("cg", A, tree, rtol=1e-13)
    for step in steps:
        last = step.x
    assert type(last) is dict
    assert_same_tree(steps.result.x, result.x)
    shifts = [0.0, 0.5]
    many = ritz.cg(A, tree, shifts=shifts, rtol=1e-13)
    assert tuple(many.x.shape) == (11, 2)
    flat = flat_of(framework, tree)
    for shift, one in zip(shifts, many.columns, strict=True):
        exact = np.linalg.solve(S + shift * np.eye(11), flat)
        assert_same_tree(one.x, A.domain.unflatten(exact))
    columns = ritz.cg(A, MAKE[framework](np.stack([flat, flat], 1)), rtol=1e-13)
    assert tuple(columns.x.shape) == (11, 2)
    indefinite = ritz.cg(A - 2, tree)
    assert type(indefinite.direction) is dict


@pytest.mark.parametrize("framework", MAKE)
def test_eigenvectors(framework):
    A, _, tree = operators(framework)
    w, V = ritz.eigsh(A, 2, v0=tree)
    np.testing.assert_allclose(w, np.linalg.eigvalsh(S)[-2:], rtol=1e-12)
    assert isinstance(V, A.domain.framework.type)
    assert tuple(V.shape) == (11, 2)
    v = A.domain.unflatten(V[:, 1])
    assert_same_tree(A @ v, A.domain.unflatten(float(w[1]) * A.domain.flatten(v)))


def test_keeping_x_in_double_precision():
    tree = {"a": torch.ones(2, 2), "b": torch.ones(3)}
    d = torch.linspace(1, 2, 7)
    A = ritz.LinearOperator((7, 7), lambda x: d.to(x.dtype) * x, symmetric=True, domain=tree)
    x, _ = ritz.cg(A, tree, x_dtype=np.float64, rtol=1e-12)
    assert x["a"].dtype == torch.float64
    exact = 1 / d.double().numpy()
    np.testing.assert_allclose(A.domain.flatten(x), exact, rtol=1e-10)


def test_out_and_trees_are_refused_together():
    A, B, tree = operators("numpy")
    with pytest.raises(ValueError, match="out cannot be combined with a tree"):
        ritz.cg(A, tree, out=np.empty(11))
    with pytest.raises(ValueError, match="out cannot be combined with a tree"):
        ritz.lsmr(B, np.ones((2, 3)), M=ritz.identity(11), out=np.empty(11))


def test_a_wrong_tree_is_named_in_a_solver():
    A, _, tree = operators("numpy")
    with pytest.raises(ValueError, match="it has in excess 'c'"):
        ritz.cg(A, {**tree, "c": np.ones(1)})
    with pytest.raises(ValueError, match=r"leaf 'w.0' has shape \(3, 2\); it must be \(2, 3\)"):
        ritz.cg(A, tree, x0={**tree, "w": [np.ones((3, 2)), None, (np.ones(1),)]})


def test_ordered_dicts_come_back_as_they_are():
    tree = OrderedDict(z=np.ones(2), a=np.zeros(1))
    A = ritz.LinearOperator((3, 3), lambda x: 2 * x, symmetric=True, domain=tree)
    assert_same_tree(A @ tree, OrderedDict(z=2 * np.ones(2), a=np.zeros(1)))
