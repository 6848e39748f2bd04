"""Neural tangent kernels against dense Jacobians."""

from __future__ import annotations

import pytest
import torch

import ritz
from curvature_models import dense_jacobian, mlp, points
from test_gauss_newton import assert_same


@pytest.fixture
def case():
    model, (x, y), (x2, _) = mlp(), points(5), points(4, seed=9)
    J, J2 = dense_jacobian(model, x), dense_jacobian(model, x2)
    return model, x, y, x2, J, J2


def test_outputs_kept(case):
    model, x, _, x2, J, J2 = case
    K = ritz.ntk(model, None, x)
    assert K.symmetric
    assert_same(K.to_dense(), J @ J.T)
    cross = ritz.ntk(model, None, x, x2)
    assert cross.shape == (15, 12)
    assert_same(cross.to_dense(), J @ J2.T)
    assert_same(cross.T.to_dense(), J2 @ J.T)
    assert_same(
        (
            ritz.jacobian(
                lambda p: torch.func.functional_call(model, p, (x,)), dict(model.named_parameters())
            ).to_dense()
        ),
        J,
    )


def test_outputs_contracted(case):
    model, x, y, x2, J, J2 = case
    K4 = (J @ J2.T).reshape(5, 3, 4, 3)
    trace = ritz.ntk(model, None, x, x2, outputs="trace")
    assert_same(trace.to_dense(), torch.einsum("icjc->ij", K4))
    assert_same(trace.T.to_dense(), torch.einsum("icjc->ji", K4))
    s = 2.0 * torch.nn.functional.one_hot(y, 3).double() - 1.0
    own = (J @ J.T).reshape(5, 3, 5, 3)
    labelled = ritz.ntk(model, None, x, outputs=s)
    assert_same(labelled.to_dense(), torch.einsum("ic,icjd,jd->ij", s, own, s))
    pseudo = ritz.ntk(model, None, x, outputs=torch.full((3,), 3**-0.5, dtype=torch.float64))
    assert_same(pseudo.to_dense(), torch.einsum("icjd->ij", own) / 3)
    with pytest.raises(ValueError, match="weights of shape"):
        ritz.ntk(model, None, x, outputs=torch.ones(4))
    with pytest.raises(ValueError, match="outputs is 'sum'"):
        ritz.ntk(model, None, x, outputs="sum")


def test_a_solve(case):
    model, x, *_, J, _ = case
    b = torch.randn(15, dtype=torch.float64)
    u, info = ritz.cg(ritz.ntk(model, None, x) + 1e-2, b, rtol=1e-10)
    assert info == 0
    assert_same(u, torch.linalg.solve(J @ J.T + 1e-2 * torch.eye(15).double(), b), 1e-8)


def test_outputs_as_arrays_and_old_kernels(case):
    model, x, *_, J, _ = case
    K = ritz.ntk(model, None, x)
    z = model(x).detach()
    out = K @ z
    assert out.shape == z.shape
    assert_same(out.reshape(-1), J @ (J.T @ z.reshape(-1)))
    with torch.no_grad():
        model[0].weight += 1.0
    with pytest.raises(ritz.StaleError):
        K @ z
