"""`ritz.torch.solve` against the derivatives of torch.linalg.solve."""

from __future__ import annotations

import numpy as np
import pytest

import ritz
from problems import spd, vector

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

import ritz.torch  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning"),
]

N = 6
GENERAL = [m for m in ("gmres", "bicgstab") if hasattr(ritz, m)]
# Adjoints differ from the operator for these only; each starts to run when the method arrives.
general = pytest.mark.parametrize(
    "method", GENERAL or [pytest.param("", marks=pytest.mark.skip("no general method"))]
)


def problem(dtype=np.float64, grad=True):
    """S and b, θ: the operator is S + diag(θ)."""
    s = torch.from_numpy(spd(N, 20, dtype))
    b = torch.from_numpy(vector(N, dtype)).requires_grad_(grad)
    theta = torch.rand(N, generator=torch.Generator().manual_seed(0), dtype=b.dtype.to_real())
    return s, b, (theta + 0.5).requires_grad_(grad)


def skewed(s):
    """A nonsymmetric matrix, S plus a skew one."""
    k = torch.from_numpy(vector(N * N, np.float64, seed=3).reshape(N, N)).to(s.dtype)
    return s + 0.1 * (k - k.T)


def dense(s, b, theta):
    return torch.linalg.solve(s + torch.diag(theta).to(s.dtype), b)


def closing(s, b, theta, **options):
    return ritz.torch.solve(lambda x: s @ x + theta * x, b, params=(theta,), rtol=1e-13, **options)


def explicit(s, b, theta, **options):
    return ritz.torch.solve(lambda x, t: s @ x + t * x, b, params=(theta,), rtol=1e-13, **options)


FORMS = pytest.mark.parametrize("form", [closing, explicit])


def loss(solve, s):
    return lambda b, theta: torch.sin(torch.view_as_real(solve(s, b, theta) + 0j)).sum()


def close(a, b, rtol=1e-9):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x, y, rtol=rtol, atol=rtol * float(y.detach().abs().max()))


@FORMS
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_gradients(form, dtype):
    s, b, theta = problem(dtype)
    x = form(s, b, theta)
    assert type(x) is torch.Tensor
    assert x.dtype == b.dtype
    close([x], [dense(s, b, theta)])
    close(
        torch.autograd.grad(loss(form, s)(b, theta), (b, theta)),
        torch.autograd.grad(loss(dense, s)(b, theta), (b, theta)),
    )


@FORMS
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_first_and_second_differences(form, dtype):
    s, b, theta = problem(dtype)
    assert torch.autograd.gradcheck(lambda b, t: form(s, b, t), (b, theta))
    assert torch.autograd.gradgradcheck(lambda b, t: form(s, b, t), (b, theta))


def test_forward_mode():
    s, b, theta = problem()
    assert torch.autograd.gradcheck(
        lambda b, t: explicit(s, b, t), (b, theta), check_forward_ad=True
    )


@FORMS
def test_single_precision(form):
    s, b, theta = problem(np.float32)
    x = ritz.torch.solve(lambda x: s @ x + theta * x, b, params=(theta,), rtol=1e-5)
    got = torch.autograd.grad(torch.sin(x).sum(), (b, theta))
    assert all(g.dtype == torch.float32 for g in got)
    close(got, torch.autograd.grad(torch.sin(dense(s, b, theta)).sum(), (b, theta)), rtol=1e-3)


@FORMS
def test_parameters_that_are_computed(form):
    """The closure's tensors have histories of their own, shared with the loss."""
    s, b, theta = problem()
    results = []
    for solve in (form, dense):
        rate = torch.exp(theta)
        x = solve(s, rate * b, rate)
        results.append(torch.autograd.grad((x * rate).sin().sum(), (b, theta)))
    close(*results)


def test_closures_may_use_views_and_functions_of_params():
    s, b, theta = problem()
    half, square = theta[:3], theta**2
    x = ritz.torch.solve(
        lambda x: s @ x + square * x + torch.cat([half, half]) * x, b, params=(theta,), rtol=1e-13
    )
    diagonal = torch.cat([theta[:3], theta[:3]]) + theta**2
    close(
        torch.autograd.grad(x.sin().sum(), (b, theta)),
        torch.autograd.grad(dense(s, b, diagonal).sin().sum(), (b, theta)),
    )


def test_parameters_that_depend_on_each_other():
    s, b, theta = problem()
    square = theta**2
    with pytest.raises(ValueError, match=r"params\[1\] is computed from params\[0\]"):
        ritz.torch.solve(lambda x: s @ x + (theta + square) * x, b, params=(theta, square))
    x = ritz.torch.solve(lambda x, t, q: s @ x + (t + q) * x, b, params=(theta, square), rtol=1e-13)
    close(
        torch.autograd.grad(x.sin().sum(), theta),
        torch.autograd.grad(dense(s, b, theta + theta**2).sin().sum(), theta),
    )


def test_products_with_hessians():
    """The matvec differentiates by itself."""
    s, b, theta = problem()
    w = torch.zeros(N, dtype=torch.float64)

    def energy(w, t):
        return (w @ s @ w) / 2 + (t * torch.cosh(w)).sum()

    def by_func(x, t):
        return torch.func.jvp(torch.func.grad(lambda w: energy(w, t)), (w,), (x,))[1]

    def by_autograd(x, t):
        with torch.enable_grad():
            v = w.clone().requires_grad_()
            (g,) = torch.autograd.grad(energy(v, t), v, create_graph=True)
            return torch.autograd.grad(g, v, x, create_graph=True)[0]

    want = torch.autograd.grad(loss(dense, s)(b, theta), (b, theta))
    for matvec in (by_func, by_autograd):
        for f in (matvec, lambda x, f=matvec: f(x, theta)):
            x = ritz.torch.solve(f, b, params=(theta,), rtol=1e-13)
            close(torch.autograd.grad(torch.sin(x).sum(), (b, theta)), want)


def transforms():
    def per_sample(f, b, t):
        return torch.func.vmap(torch.func.grad(f, (0, 1)), (0, None))(torch.stack([b, 2 * b]), t)

    def of_batch(f, b, t):
        total = lambda bs, t: torch.func.vmap(f, (0, None))(bs, t).sum()  # noqa: E731
        return torch.func.grad(total, (0, 1))(torch.stack([b, 2 * b]), t)

    return {
        "grad": lambda f, b, t: torch.func.grad(f, (0, 1))(b, t),
        "vmap": lambda f, b, t: [torch.func.vmap(f, (None, 0))(b, torch.stack([t, 3 * t]))],
        "per_sample": per_sample,
        "of_batch": of_batch,
        "jvp": lambda f, b, t: torch.func.jvp(f, (b, t), (t, b)),
        "jacrev": lambda f, b, t: [torch.func.jacrev(torch.func.grad(f, 1), 0)(b, t)],
        "hessian": lambda f, b, t: [torch.func.hessian(f, 1)(b, t)],
    }


@pytest.mark.parametrize("name", transforms())
def test_functional_transforms(name):
    s, b, theta = problem(grad=False)
    transform = transforms()[name]
    close(transform(loss(explicit, s), b, theta), transform(loss(dense, s), b, theta))


def test_functional_transforms_of_b_alone_take_closures():
    s, b, theta = problem(grad=False)
    got = torch.func.grad(lambda b: loss(closing, s)(b, theta))(b)
    close([got], [torch.func.grad(lambda b: loss(dense, s)(b, theta))(b)])


@general
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_general_operators(method, given, dtype):
    s, b, theta = problem(dtype)
    a = skewed(s)

    def solve(a, b, t):
        rmatvec = (lambda u, t: a.mH @ u + t.conj() * u) if given else None
        return ritz.torch.solve(
            lambda x, t: a @ x + t * x,
            b,
            params=(t,),
            method=method,
            rmatvec=rmatvec,
            rtol=1e-12,
        )

    close(
        torch.autograd.grad(loss(solve, a)(b, theta), (b, theta)),
        torch.autograd.grad(loss(dense, a)(b, theta), (b, theta)),
    )
    assert torch.autograd.gradgradcheck(lambda b, t: solve(a, b, t), (b, theta))
    if dtype is np.float64:
        b, theta = b.detach(), theta.detach()
        close(
            [torch.func.jacrev(torch.func.grad(loss(solve, a), 1), 0)(b, theta)],
            [torch.func.jacrev(torch.func.grad(loss(dense, a), 1), 0)(b, theta)],
        )


@general
def test_an_adjoint_that_is_none(method):
    s, b, _ = problem()
    a = skewed(s)
    x = ritz.torch.solve(lambda x: a @ x, b, method=method, rmatvec=lambda u: a @ u)
    with pytest.raises(ValueError, match="rmatvec is not the adjoint"):
        torch.sin(x).sum().backward()


@general
def test_an_adjoint_that_torch_cannot_derive(method):
    s, b, _ = problem()
    a = skewed(s).numpy()
    x = ritz.torch.solve(lambda x: torch.from_numpy(a @ x.detach().numpy()), b, method=method)
    with pytest.raises(ValueError, match="pass rmatvec"):
        x.sum().backward()


def test_a_matvec_that_is_not_self_adjoint():
    s, b, _ = problem()
    a = s + 1e-3 * (skewed(s) - s)  # little enough for cg to converge
    x = ritz.torch.solve(lambda x: a @ x, b, rtol=1e-7, maxiter=1000)
    with pytest.raises(ValueError, match="not self-adjoint, which cg needs"):
        torch.sin(x).sum().backward()


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cotangents_of_any_size(dtype, size):
    s, b, theta = problem(dtype)
    g = torch.from_numpy(vector(N, dtype, seed=5))
    account = ritz.torch.Account()
    grads, iterations = [], []
    for scale in (1.0, size):
        x = ritz.torch.solve(
            lambda x: s @ x + theta * x, b, params=(theta,), rtol=1e-4, account=account
        )
        grads.append([v / scale for v in torch.autograd.grad(x, (b, theta), g * scale)])
        iterations.append(account.adjoint[-1].iterations)
    close(grads[1], grads[0], rtol=1e-5)
    assert iterations[0] == iterations[1] > 0


def test_no_solve_for_no_cotangent():
    s, b, theta = problem()
    account = ritz.torch.Account()
    x = closing(s, b, theta, account=account)
    assert len(account.forward) == 1
    for g in torch.autograd.grad((0 * x).sum(), (b, theta)):
        assert torch.equal(g, torch.zeros(N, dtype=torch.float64))
    assert account.adjoint == []


def test_accounts():
    s, b, theta = problem()
    account = ritz.torch.Account()
    x = ritz.torch.solve(
        lambda x: s @ x + theta * x, b, params=(theta,), adjoint_rtol=1e-3, account=account
    )
    torch.sin(x).sum().backward()
    (forward,), (adjoint,) = account.forward, account.adjoint
    assert forward.status is adjoint.status is ritz.Status.converged
    torch.testing.assert_close(forward.x, x.detach())
    assert forward.target == pytest.approx(1e-5 * float(b.detach().norm()))
    assert adjoint.residual <= adjoint.target
    g = torch.cos(x.detach())
    assert adjoint.target == pytest.approx(1e-3 * float((g / g.abs().max()).norm()))


def test_missing_parameters():
    s, b, theta = problem()
    other = torch.ones(1, N, dtype=torch.float64, requires_grad=True)
    missing = r"not in params.*of shape \(1, 6\)"
    with pytest.raises(ValueError, match=missing):
        ritz.torch.solve(lambda x: s @ x + theta * x + other[0] * x, b, params=(theta,))
    with pytest.raises(ValueError, match=missing):
        ritz.torch.solve(lambda x, t: s @ x + t * x + other.exp()[0] * x, b, params=(theta,))
    with pytest.raises(ValueError, match=r"of shape \(6,\)"):
        ritz.torch.solve(lambda x, t: s @ x + theta * x, b, params=(theta,))
    pieces = torch.ones(2, N, dtype=torch.float64, requires_grad=True).unbind()
    with pytest.raises(ValueError, match=r"of shape \(2, 6\)"):
        ritz.torch.solve(lambda x: s @ x + pieces[0] * x + pieces[1] * x, b, params=pieces[:1])
    with torch.no_grad():
        ritz.torch.solve(lambda x: s @ x + theta * x, b)
    ritz.torch.solve(lambda x: s @ x + theta.detach() * x, b)


def test_missing_parameters_of_transforms():
    s, b, theta = problem(grad=False)
    matvecs = [
        (lambda t: lambda x: s @ x + t * x, lambda t: ()),
        (lambda t: lambda x: s @ x + t * x, lambda t: (t,)),
        (lambda t: lambda x, _: s @ x + t * x, lambda t: (theta,)),
    ]
    for matvec, params in matvecs:

        def f(t, matvec=matvec, params=params):
            return ritz.torch.solve(matvec(t), b, params=params(t)).sum()

        transforms = [
            lambda: torch.func.grad(f)(theta),
            lambda: torch.func.vmap(f)(torch.stack([theta, theta])),
            lambda: torch.func.jvp(f, (theta,), (theta,)),
            lambda: torch.func.grad(  # of the outer of two levels
                lambda t: torch.func.grad(lambda c: c.sum() * f(t))(b).sum()
            )(theta),
        ]
        for transform in transforms:
            with pytest.raises(ValueError, match=r"write it as \(x, \*params\)"):
                transform()


def test_parameters_without_effect():
    s, b, theta = problem()
    x = ritz.torch.solve(lambda x: s @ x + theta.detach() * x, b, params=(theta,))
    with pytest.raises(ValueError, match="sees no dependence of matvec on params"):
        x.sum().backward()


def test_failures_are_raised():
    s, b, theta = problem()
    with pytest.raises(ritz.torch.SolveFailed, match=r"forward solve by cg.*negative_curv") as e:
        ritz.torch.solve(lambda x: -(s @ x), b)
    assert e.value.result.status is ritz.Status.negative_curvature
    x = ritz.torch.solve(lambda x: s @ x, b, check=False, maxiter=1)
    torch.testing.assert_close(x, ritz.cg(s, b.detach(), maxiter=1).x)
    x.sum().backward()  # what the same limit reaches for the adjoint
    x = closing(s, b, theta)
    with pytest.raises(ritz.torch.SolveFailed, match=r"adjoint solve by cg.*nonfinite"):
        (x * torch.nan).sum().backward()


def test_errors_of_closures_arrive_unchanged():
    _, b, _ = problem()

    def matvec(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        ritz.torch.solve(matvec, b)


def test_guesses_preconditioners_and_limits():
    s, b, theta = problem()
    exact = dense(s, b, theta).detach()
    account = ritz.torch.Account()
    x = closing(s, b, theta, x0=exact, atol=1e-9, account=account)
    assert account.forward[0].iterations == 0
    torch.autograd.grad(x.sum(), theta)
    assert account.adjoint[0].iterations > 0
    inverse = torch.linalg.inv(s + torch.diag(theta))
    for M in (inverse, inverse.detach().numpy(), lambda r: inverse @ r):
        account = ritz.torch.Account()
        x = ritz.torch.solve(
            lambda x: s @ x + theta * x, b, params=(theta,), M=M, rtol=1e-9, account=account
        )
        want = torch.autograd.grad(dense(s, b, theta).sin().sum(), theta)
        close(torch.autograd.grad(x.sin().sum(), theta), want, rtol=1e-7)
        assert account.forward[0].iterations <= 2
        assert account.adjoint[0].iterations <= 2
    with pytest.raises(ritz.torch.SolveFailed, match="max_iterations"):
        closing(s, b, theta, maxiter=1)


def test_a_solve_within_a_solve():
    """The Schur complement of a block, whose product solves."""
    s, b, theta = problem()

    def inner(x, t):
        return ritz.torch.solve(lambda v, t: s @ v + t * v, x, params=(t,), rtol=1e-13)

    def outer(b, t):
        return ritz.torch.solve(lambda x, t: 3 * x - 0.1 * inner(x, t), b, params=(t,), rtol=1e-12)

    def full(b, t):
        inverse = torch.linalg.inv(s + torch.diag(t))
        return torch.linalg.solve(3 * torch.eye(N, dtype=torch.float64) - 0.1 * inverse, b)

    close(
        torch.autograd.grad(outer(b, theta).sin().sum(), (b, theta)),
        torch.autograd.grad(full(b, theta).sin().sum(), (b, theta)),
    )


def test_empty_systems():
    b = torch.zeros(0, requires_grad=True)
    x = ritz.torch.solve(lambda x: x, b)
    x.sum().backward()
    assert x.shape == b.grad.shape == (0,)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"method": "lsmr"}, ValueError, r"'lsmr'; pass one of 'cg'"),
        ({"b": torch.ones(2, 2)}, ValueError, r"shape \(2, 2\)"),
        ({"b": torch.ones(2, dtype=torch.int64)}, TypeError, "b is no tensor of real"),
        ({"b": [1.0, 2.0]}, TypeError, "b is no tensor"),
        ({"params": (2.0,)}, TypeError, r"params\[0\] is float"),
        ({"rtol": -1.0}, ValueError, "rtol is -1.0"),
        ({"adjoint_rtol": -1.0}, ValueError, "adjoint_rtol is -1.0"),
        ({"matvec": torch.eye(2)}, TypeError, "pass a function of one vector"),
        ({"nonsense": 1}, TypeError, "nonsense"),
        ({"shifts": [1.0]}, TypeError, "shifts changes what is solved for"),
    ],
)
def test_arguments_that_cannot_be_used(change, error, words):
    given = {"matvec": lambda x: x, "b": torch.ones(2), **change}
    matvec, b = given.pop("matvec"), given.pop("b")
    with pytest.raises(error, match=words):
        ritz.torch.solve(matvec, b, **given)
