"""Misuse is a typed error that names the argument, what came, and what to do."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import ritz
from problems import spd, vector

A, B = spd(6, 10), vector(6)
WRITTEN = A.copy()


def operator(f, **options):
    return ritz.LinearOperator((6, 6), f, **options)


# ---------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize(
    ("b", "error", "words"),
    [
        (np.ones(5), ValueError, r"b has shape \(5,\).*\(6,\)"),
        (np.ones((5, 2)), ValueError, r"b has shape \(5, 2\)"),
        (np.ones((1, 6)), ValueError, r"b has shape \(1, 6\)"),
        (3.0, ValueError, r"b has shape \(\)"),
        (np.ones(6, object), TypeError, "b has dtype object.*convert"),
        (np.array(["1"] * 6), TypeError, "b has dtype <U1"),
        (["a"] * 6, TypeError, "b has dtype <U1"),
        (np.ones(6, "M8[s]"), TypeError, "b has dtype datetime64"),
        (np.ones(6, np.float16), TypeError, "b has dtype float16.*float32"),
        (np.ones(6, np.longdouble), TypeError, "b has dtype.*float64"),
        (np.ones(6, np.clongdouble), TypeError, "b has dtype.*complex128"),
        ([[1.0], [2.0, 3.0]], TypeError, "b is not an array of numbers"),
        (np.ma.masked_array(B, B > 0), TypeError, "b is a masked array.*filled"),
        (sp.csr_array(np.ones((6, 1))), TypeError, "b is a sparse matrix.*toarray"),
        (None, TypeError, "b has dtype object"),
        ({"b": 1}, TypeError, "b is a dict; a tree .* domain"),
    ],
)
def test_right_hand_sides(b, error, words):
    with pytest.raises(error, match=words):
        ritz.cg(A, b)
    with pytest.raises(error, match=words):
        ritz.lsmr(A, b)


def test_starts():
    with pytest.raises(ValueError, match=r"x0 has shape \(5,\)"):
        ritz.cg(A, B, np.ones(5))
    with pytest.raises(TypeError, match=r"x0 is complex128.*real part"):
        ritz.cg(A, B, np.ones(6, complex))
    with pytest.raises(ValueError, match=r"v0 has shape \(7,\)"):
        ritz.eigsh(A, 1, v0=np.ones(7))
    with pytest.raises(TypeError, match=r"x0 is complex"):
        ritz.least_squares(lambda x: x, np.ones(2, complex), lambda x: np.eye(2))
    with pytest.raises(ValueError, match=r"x0 has shape \(2, 2\)"):
        ritz.least_squares(lambda x: x, np.ones((2, 2)), lambda x: np.eye(2))


def test_byte_order_is_no_obstacle():
    np.testing.assert_array_equal(ritz.cg(A.astype(">f8"), B.astype(">f8")).x, ritz.cg(A, B).x)


# -------------------------------------------------------------------------------------- operators


@pytest.mark.parametrize(
    ("a", "error", "words"),
    [
        (np.ones(6), ValueError, r"A has shape \(6,\).*2-d"),
        (np.ones((2, 2, 2)), ValueError, r"A has shape \(2, 2, 2\)"),
        (np.ones((6, 6), object), TypeError, "A has dtype object"),
        (np.ones((6, 6), np.float16), TypeError, "A has dtype float16"),
        (sp.csr_array(np.ones((6, 6), np.longdouble)), TypeError, "A has dtype.*float64"),
        (lambda x: x, TypeError, r"A is a function.*LinearOperator\(\(m, n\)"),
        ([[1.0, 2.0]], TypeError, "A is list"),
        ("A", TypeError, "A is str"),
        (None, TypeError, "A is None"),
        (np.ones((5, 6)), ValueError, r"A has shape \(5, 6\).*square"),
    ],
)
def test_what_is_no_operator(a, error, words):
    with pytest.raises(error, match=words):
        ritz.cg(a, B)


def test_objects_without_products():
    class Empty:
        shape = (6, 6)

    with pytest.raises(TypeError, match=r"neither matvec nor @"):
        ritz.cg(Empty(), B)

    class Odd:
        shape = (6, 6, 6)

        def matvec(self, x):
            return x

    with pytest.raises(ValueError, match=r"A.shape is"):
        ritz.cg(Odd(), B)


def test_constructor():
    with pytest.raises(TypeError, match=r"matvec is missing"):
        ritz.LinearOperator((2, 2))
    with pytest.raises(TypeError, match=r"matvec is 3; pass a function"):
        ritz.LinearOperator((2, 2), 3)
    with pytest.raises(TypeError, match=r"rmatvec is"):
        ritz.LinearOperator((2, 2), lambda x: x, "no")
    for shape in (2, (2,), (2, 2, 2), (2.5, 2), (-1, 2), "ab", None):
        with pytest.raises(ValueError, match=r"shape is"):
            ritz.LinearOperator(shape, lambda x: x)
    with pytest.raises(TypeError, match=r"dtype has dtype float16"):
        operator(lambda x: x, dtype=np.float16)
    with pytest.raises(TypeError, match=r"no element type"):
        operator(lambda x: x, dtype="number")
    with pytest.raises(ValueError, match=r"symmetric is True"):
        ritz.LinearOperator((2, 3), lambda x: x, symmetric=True)
    with pytest.raises(ValueError, match=r"framework is 'tf'"):
        operator(lambda x: x, framework="tf")


def test_declared_dtypes_are_kept():
    f4 = operator(lambda x: A.astype(np.float32) @ x, dtype=np.float32)
    assert ritz.cg(f4, B.astype(np.float32)).x.dtype == np.float32
    with pytest.raises(TypeError, match=r"declared to work in float32.*float64"):
        ritz.cg(f4, B)
    f8 = operator(lambda x: A @ x, dtype=np.float64)
    assert ritz.cg(f8, B.astype(np.float32)).x.dtype == np.float64
    with pytest.raises(TypeError, match=r"declared to work in float64.*complex128"):
        ritz.cg(f8, B.astype(complex))


def test_declared_asymmetry_is_believed():
    skew = operator(lambda x: A @ x, symmetric=False)
    with pytest.raises(ValueError, match=r"symmetric=False.*self-adjoint"):
        ritz.cg(skew, B)
    with pytest.raises(ValueError, match=r"symmetric=False"):
        ritz.eigsh(skew, 1)


def test_algebra_of_what_does_not_fit():
    P, Q = ritz.aslinearoperator(np.ones((2, 3))), ritz.aslinearoperator(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 4\) cannot be added"):
        P + Q
    with pytest.raises(ValueError, match=r"left one has 3 columns, the right one 2 rows"):
        P @ Q
    with pytest.raises(ValueError, match=r"square"):
        P.shifted(1)
    for add in (lambda: P + 1, lambda: 2.0 + P, lambda: P - 1, lambda: 1 - P):
        with pytest.raises(ValueError, match=r"\(2, 3\); adding .* needs a square operator"):
            add()
    with pytest.raises(ValueError, match=r"a power needs a square operator"):
        P**2
    for k in (-1, 0.5, "2"):
        with pytest.raises(ValueError, match=r"the power is .*; pass an integer of at least 0"):
            ritz.identity(2) ** k
    with pytest.raises(TypeError, match=r"multiplied by scalars"):
        P * np.ones(3)
    with pytest.raises(TypeError, match=r"mu is 'one'"):
        ritz.identity(2).shifted("one")
    with pytest.raises(ValueError, match=r"grid\[0\]\[1\] has shape"):
        ritz.block([[P, np.ones((3, 3))]])
    with pytest.raises(ValueError, match=r"column 1 of grid"):
        ritz.block([[P, None]])
    with pytest.raises(ValueError, match=r"rows of one length"):
        ritz.block([[P, P], [P]])
    with pytest.raises(ValueError, match=r"x has shape \(4,\)"):
        P @ np.ones(4)
    with pytest.raises(ValueError, match=r"x has shape \(3,\).*transposed"):
        P.rmatvec(np.ones(3))
    with pytest.raises(ValueError, match=r"no adjoint"):
        ritz.LinearOperator((2, 3), lambda x: np.ones(2)).T @ np.ones(2)
    with pytest.raises(ValueError, match=r"d has shape"):
        ritz.diagonal(np.ones((2, 2, 2)))


# -------------------------------------------------------------------------------------- closures


@pytest.mark.parametrize(
    ("f", "error", "words"),
    [
        (lambda x: None, TypeError, "matvec returned None.*out=True"),
        (lambda x: x[:5], ValueError, r"matvec returned .*shape \(5,\).*6 elements"),
        (lambda x: np.outer(x, x), ValueError, r"shape \(6, 6\).*6 elements"),
        (lambda x: x.astype(np.float32), TypeError, "dtype float32.*works in float64"),
        (lambda x: x.astype(complex), TypeError, "dtype complex128.*works in float64"),
        (lambda x: np.arange(6), TypeError, "dtype int64.*works in float64"),
        (list, TypeError, "matvec returned list.*numpy.ndarray"),
        (lambda x: float(x[0]), TypeError, "matvec returned float.*numpy.ndarray"),
        (lambda x: x.astype(object), TypeError, "dtype object"),
    ],
)
def test_closures_that_return_what_cannot_be_used(f, error, words):
    ws = ritz.Workspace("cg", 6)
    with pytest.raises(error, match=words):
        ritz.cg(operator(f), B, workspace=ws)
    assert ritz.cg(A, B, workspace=ws).converged
    with pytest.raises(error, match=words.replace("matvec", "rmatvec")):
        ritz.lsmr(operator(lambda x: A @ x, rmatvec=f), B)


def test_closures_cannot_write_their_argument():
    def matvec(x):
        x *= 2
        return x

    with pytest.raises(ValueError, match=r"read-only"):
        ritz.cg(operator(matvec), B)


def test_closures_with_the_wrong_signature():
    with pytest.raises(TypeError, match=r"positional argument"):
        ritz.cg(operator(lambda: None), B)


def test_models_that_return_what_cannot_be_used():
    def run(fun=lambda x: x, jvp=lambda x, v: v, vjp=lambda x, u: u, **options):
        return ritz.least_squares(fun, np.ones(2), jvp=jvp, vjp=vjp, **options)

    assert run().converged
    with pytest.raises(TypeError, match=r"fun returned None"):
        run(lambda x: None)
    with pytest.raises(TypeError, match=r"fun returned list"):
        run(list)
    with pytest.raises(TypeError, match=r"fun returned .*float32"):
        run(lambda x: x.astype(np.float32))
    with pytest.raises(ValueError, match=r"fun returned shape \(1, 2\)"):
        run(lambda x: x[None])
    with pytest.raises(TypeError, match=r"jvp returned None"):
        run(jvp=lambda x, v: None)
    with pytest.raises(ValueError, match=r"vjp returned .*2 elements"):
        run(vjp=lambda x, u: u[:1])
    with pytest.raises(ValueError, match=r"jac\(x\) has shape \(3, 2\)"):
        ritz.least_squares(lambda x: x, np.ones(2), lambda x: np.ones((3, 2)))
    with pytest.raises(TypeError, match=r"exactly one"):
        ritz.least_squares(lambda x: x, np.ones(2))
    with pytest.raises(TypeError, match=r"exactly one"):
        ritz.least_squares(lambda x: x, np.ones(2), jvp=lambda x, v: v)
    with pytest.raises(TypeError, match=r"exactly one"):
        run(jac=lambda x: np.eye(2))
    with pytest.raises(TypeError, match=r"fun is missing"):
        ritz.least_squares(None, np.ones(2), lambda x: np.eye(2))
    with pytest.raises(TypeError, match=r"jac is array"):
        ritz.least_squares(lambda x: x, np.ones(2), np.eye(2))
    with pytest.raises(TypeError, match=r"linearize returned .*ndarray"):
        ritz.least_squares(None, np.ones(2), linearize=lambda x: x)
    with pytest.raises(TypeError, match=r"preconditioner returned None"):
        run(preconditioner=lambda x, d: None)
    changing = iter([np.ones(2), np.ones(3)])
    with pytest.raises(ValueError, match=r"2 elements"):
        run(lambda x: next(changing))


def test_losses():
    def run(loss):
        return ritz.minimize(
            lambda x: x, np.ones(2), loss=loss, jvp=lambda x, v: v, vjp=lambda x, u: u
        )

    with pytest.raises(TypeError, match=r"loss is .*without a method value"):
        run(3)
    with pytest.raises(ValueError, match=r"target has 3 elements, the model's output 2"):
        run(ritz.losses.SquaredError(np.ones(3)))
    with pytest.raises(ValueError, match=r"labels has dtype float64"):
        ritz.losses.CrossEntropy([0.5])
    with pytest.raises(ValueError, match=r"counted from 0"):
        ritz.losses.CrossEntropy([0, -1])
    with pytest.raises(ValueError, match=r"rows of more than 3 logits"):
        run(ritz.losses.CrossEntropy([3]))


# ------------------------------------------------------------------------------------------- out


def test_out():
    with pytest.raises(TypeError, match=r"out has dtype float32; this run writes float64"):
        ritz.cg(A, B, out=np.empty(6, np.float32))
    with pytest.raises(ValueError, match=r"out has shape \(5,\)"):
        ritz.cg(A, B, out=np.empty(5))
    read_only = np.empty(6)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match=r"out is read-only"):
        ritz.cg(A, B, out=read_only)
    with pytest.raises(ValueError, match=r"out is not contiguous"):
        ritz.cg(A, B, out=np.empty(12)[::2])
    with pytest.raises(ValueError, match=r"out overlaps b"):
        ritz.cg(A, B, out=B)
    both = np.ones(9)
    with pytest.raises(ValueError, match=r"out overlaps b"):
        ritz.cg(A, both[:6], out=both[3:])
    with pytest.raises(ValueError, match=r"out overlaps the operator"):
        ritz.cg(WRITTEN, B, out=WRITTEN[2])
    with pytest.raises(TypeError, match=r"out is list"):
        ritz.cg(A, B, out=[0.0] * 6)


# ---------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("name", ["rtol", "atol", "timeout"])
@pytest.mark.parametrize("value", [-1e-3, np.nan, -np.inf])
def test_tolerances(name, value):
    with pytest.raises(ValueError, match=rf"{name} is"):
        ritz.cg(A, B, **{name: value})


@pytest.mark.parametrize("name", ["damp", "atol", "btol", "conlim"])
def test_tolerances_of_lsmr(name):
    for value in (-1.0, np.nan):
        with pytest.raises(ValueError, match=rf"{name} is"):
            ritz.lsmr(A, B, **{name: value})
    with pytest.raises(TypeError, match=rf"{name} is 'small'"):
        ritz.lsmr(A, B, **{name: "small"})


@pytest.mark.parametrize("name", ["maxiter", "max_products"])
def test_limits(name):
    for value in (0, -5):
        with pytest.raises(ValueError, match=rf"{name} is {value}"):
            ritz.cg(A, B, **{name: value})
    for value in (2.5, "ten"):
        with pytest.raises(TypeError, match=rf"{name} is"):
            ritz.cg(A, B, **{name: value})


def test_numbers_of_the_other_methods():
    with pytest.raises(ValueError, match=r"k is 0"):
        ritz.eigsh(A, 0)
    with pytest.raises(ValueError, match=r"k is 7.*n = 6"):
        ritz.eigsh(A, 7)
    with pytest.raises(ValueError, match=r"ncv is 2"):
        ritz.eigsh(A, 3, ncv=2)
    with pytest.raises(ValueError, match=r"which is .SM.; pass sigma=0"):
        ritz.eigsh(A, 2, which="SM")
    with pytest.raises(ValueError, match=r"tol is"):
        ritz.eigsh(A, 2, tol=-1)
    with pytest.raises(ValueError, match=r"seed is -1"):
        ritz.eigsh(A, 2, seed=-1)
    with pytest.raises(ValueError, match=r"samples is 1"):
        ritz.trace(A, samples=1)
    with pytest.raises(ValueError, match=r"rtol is"):
        ritz.trace(A, rtol=np.nan)
    with pytest.raises(ValueError, match=r"square"):
        ritz.trace(np.ones((2, 3)))

    def run(**options):
        ritz.least_squares(lambda x: x, np.ones(2), lambda x: np.eye(2), **options)

    for name in ("ftol", "xtol", "gtol", "l2", "forcing"):
        with pytest.raises(ValueError, match=rf"{name} is -1"):
            run(**{name: -1})
    for name in ("max_iterations", "max_inner", "probes"):
        with pytest.raises(ValueError, match=rf"{name} is 0"):
            run(**{name: 0})
    with pytest.raises(ValueError, match=r"initial_radius is 0"):
        run(initial_radius=0)


def test_right_hand_sides_below_the_range_of_norms():
    with pytest.raises(ValueError, match=r"scale b up"):
        ritz.cg(A, B * 1e-250)


def test_preconditioners():
    with pytest.raises(ValueError, match=r"M has shape \(5, 5\)"):
        ritz.cg(A, B, M=np.eye(5))
    with pytest.raises(TypeError, match=r"M is a function"):
        ritz.cg(A, B, M=lambda x: x)


def test_callbacks():
    with pytest.raises(TypeError, match=r"callback is 3"):
        ritz.cg(A, B, callback=3)


def test_workspaces():
    with pytest.raises(ValueError, match=r"method is 'qmr'"):
        ritz.Workspace("qmr", 5)
    with pytest.raises(ValueError, match=r"made for cg; make one for lsmr"):
        ritz.lsmr(A, B, workspace=ritz.Workspace("cg", 6))
    with pytest.raises(TypeError, match=r"workspace holds float32"):
        ritz.cg(A, B, workspace=ritz.Workspace("cg", 6, dtype=np.float32))
    with pytest.raises(TypeError, match=r"workspace is array"):
        ritz.cg(A, B, workspace=np.empty(3))
    ws = ritz.Workspace("cg", 6)
    nested = operator(lambda x: ritz.cg(A, x, workspace=ws).x)
    with pytest.raises(ValueError, match=r"in use by another run"):
        ritz.cg(nested, B, workspace=ws)
    assert ritz.cg(A, B, workspace=ws).converged


def test_device_arrays():
    class ndarray:
        """Looks like an array of CuPy."""

        __module__ = "cupy"
        shape, ndim, dtype = (6,), 1, np.dtype(float)

    with pytest.raises(TypeError, match=r"b is a cupy.ndarray in device memory.*asnumpy"):
        ritz.cg(A, ndarray())
    with pytest.raises(TypeError, match=r"A is a cupy.ndarray"):
        ritz.cg(ndarray(), B)
