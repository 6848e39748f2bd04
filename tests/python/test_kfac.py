"""K-FAC, EKFAC and KFOC against dense blocks of independently formed Gauss-Newton matrices."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

import ritz
from ritz.curvature.kfac import kfac

torch = pytest.importorskip("torch")
nn, functional = torch.nn, torch.nn.functional

APPROXIMATIONS = ["kfac", "ekfac", "kfoc"]
IGNORED = -100


def seeded(make):
    torch.manual_seed(0)
    return make().double().eval()


def normal(*shape, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def labels(classes, *shape, seed=2):
    return torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(seed))


def squared(z, y):
    return functional.mse_loss(z, y, reduction="sum")


def entropy(z, y):
    return functional.cross_entropy(
        z.reshape(-1, z.shape[-1]), y.reshape(-1), reduction="sum", ignore_index=IGNORED
    )


def summed_loss(loss_sum, shape, y, v):
    return loss_sum(v.reshape(shape), y)


def dense_ggn(model, batches, loss_sum, terms):
    """Return Σ Jᵀ (∇² of the summed loss) J / terms, all dense."""
    named = {k: p.detach() for k, p in model.named_parameters()}
    total = 0.0
    for x, y in batches:
        z = torch.func.functional_call(model, named, (x,))
        J = torch.func.jacrev(lambda p, x=x: torch.func.functional_call(model, p, (x,)))(named)
        J = torch.cat([J[k].reshape(z.numel(), -1) for k in named], 1)
        summed = partial(summed_loss, loss_sum, z.shape, y)
        H = torch.func.jacrev(torch.func.jacrev(summed))(z.reshape(-1))
        total = total + J.T @ H @ J
    return total / terms


def layer_places(model, separate_bias=False):
    """Return the places of each block's parameters in the flat vector."""
    places, start = {}, 0
    for name, p in model.named_parameters():
        key = name if separate_bias else name.rpartition(".")[0]
        places.setdefault(key, []).extend(range(start, start + p.numel()))
        start += p.numel()
    return places


def block_diagonal(G, model, separate_bias=False):
    result = torch.zeros_like(G)
    for where in layer_places(model, separate_bias).values():
        index = torch.tensor(where)
        result[index[:, None], index] = G[index[:, None], index]
    return result


def linear_chain(*widths, bias=True):
    return nn.Sequential(*[nn.Linear(i, o, bias=bias) for i, o in pairwise(widths)])


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


class MeanOverPositions(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x).mean(1)


def close(a, b, rtol=1e-11):
    torch.testing.assert_close(a, b, rtol=rtol, atol=rtol * float(b.abs().max()))


# ------------------------------------------------------------------------------ where it is exact


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
@pytest.mark.parametrize("separate_bias", [False, True])
def test_exact_for_deep_linear_networks(approximation, separate_bias):
    model = seeded(lambda: linear_chain(4, 3, 5, 2))
    batches = [(normal(7, 4), normal(7, 2)), (normal(2, 4, seed=5), normal(2, 2))]
    K = kfac(
        model,
        None,
        batches,
        "mse",
        approximation=approximation,
        separate_bias=separate_bias,
    )
    G = dense_ggn(model, batches, squared, 18)
    close(K.to_dense(), block_diagonal(G, model, separate_bias), 1e-10)


@pytest.mark.parametrize("approximation", ["kfac", "kfoc"])
def test_expand_is_exact_where_outputs_have_positions_of_their_own(approximation):
    model = seeded(lambda: linear_chain(4, 3, 2))
    batches = [(normal(3, 6, 4), normal(3, 6, 2)), (normal(1, 6, 4, seed=3), normal(1, 6, 2))]
    G = block_diagonal(dense_ggn(model, batches, squared, 48), model)
    K = kfac(model, None, batches, "mse", sharing="expand")
    close(K.to_dense(), G)
    reduced = kfac(model, None, batches, "mse", sharing="reduce").to_dense()
    assert (reduced - G).norm() > 0.1 * G.norm()


def test_reduce_is_exact_where_outputs_are_of_the_mean_position():
    model = seeded(lambda: MeanOverPositions(linear_chain(4, 3, 2)))
    batches = [(normal(3, 6, 4), normal(3, 2)), (normal(1, 6, 4, seed=3), normal(1, 2))]
    G = block_diagonal(dense_ggn(model, batches, squared, 8), model)
    K = kfac(model, None, batches, "mse", sharing="reduce")
    close(K.to_dense(), G)
    expanded = kfac(model, None, batches, "mse", sharing="expand").to_dense()
    assert (expanded - G).norm() > 0.1 * G.norm()


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "bce_with_logits"])
def test_exact_for_one_datum(approximation, loss):
    model = seeded(mlp)
    x = normal(1, 4)
    y, summed, terms = {
        "mse": (normal(1, 3), squared, 3),
        "cross_entropy": (labels(3, 1), entropy, 1),
        "bce_with_logits": (
            labels(2, 1, 3).double(),
            lambda z, y: functional.binary_cross_entropy_with_logits(z, y, reduction="sum"),
            3,
        ),
    }[loss]
    K = kfac(model, None, (x, y), loss, approximation=approximation)
    G = dense_ggn(model, [(x, y)], summed, terms)
    close(K.to_dense(), block_diagonal(G, model), 1e-9)


CONVOLUTIONS = {
    "1d": (lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 7)),
    "2d": (lambda: nn.Conv2d(2, 3, (3, 2), dilation=(1, 2), padding=(2, 1)), (2, 4, 5)),
    "same": (lambda: nn.Conv2d(2, 3, (2, 3), padding="same", bias=False), (2, 4, 3)),
    "circular": (lambda: nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), (2, 3, 4)),
    "reflect": (lambda: nn.Conv1d(2, 2, 3, padding=2, padding_mode="reflect"), (2, 5)),
    "3d": (lambda: nn.Conv3d(1, 2, 2, stride=(1, 2, 1)), (1, 3, 4, 2)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_with_outputs_at_its_own_positions(name):
    make, shape = CONVOLUTIONS[name]
    model = seeded(lambda: nn.Sequential(make()))
    x = normal(3, *shape)
    y = torch.zeros_like(model(x).detach())
    G = dense_ggn(model, [(x, y)], squared, y.numel())
    close(kfac(model, None, (x, y), "mse").to_dense(), G)
    # The true gradient, summed over positions, is not the sum of squares: EKFAC has its trace.
    E = kfac(model, None, (x, y), "mse", approximation="ekfac")
    assert E.trace() == pytest.approx(float(G.trace()), rel=1e-11)


def test_convolution_before_the_outputs():
    # One position at each layer: exact for one datum.
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3, 2)
        )
    )
    x, y = normal(1, 2, 4, 4), labels(2, 1)
    G = dense_ggn(model, [(x, y)], entropy, 1)
    close(kfac(model, None, (x, y)).to_dense(), block_diagonal(G, model))


# ------------------------------------------------------------------------- the better of several


def small_cases():
    conv = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3), nn.Tanh(), nn.Linear(3, 3)
        )
    )
    return {
        "mlp": (seeded(mlp), (normal(9, 4), labels(3, 9))),
        "conv": (conv, (normal(6, 1, 3, 3), labels(3, 6))),
    }


@pytest.mark.parametrize("name", ["mlp", "conv"])
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_ekfac_and_kfoc_are_better_than_kfac(name, sharing):
    model, batch = small_cases()[name]
    G = dense_ggn(model, [batch], entropy, len(batch[0]))
    made = {a: kfac(model, None, batch, approximation=a, sharing=sharing) for a in APPROXIMATIONS}
    dense = {a: K.to_dense() for a, K in made.items()}
    for layer, where in layer_places(model).items():
        index = torch.tensor(where)
        block = G[index[:, None], index]
        error = {a: float((D[index[:, None], index] - block).norm()) for a, D in dense.items()}
        assert error["ekfac"] < error["kfac"]
        assert error["kfoc"] < error["kfac"]

        # EKFAC: the diagonal in the basis of the factors' eigenvectors is the block's own.
        E = made["ekfac"].blocks[layer]
        (_, U_A), (_, U_B) = E.bases
        basis = basis_of(U_A, U_B, model.get_submodule(layer))
        close(torch.diagonal(basis.T @ block @ basis), E.eigenvalues.reshape(-1), 1e-10)

        # KFOC: the leading singular pair of the rearranged block.
        o, i = E.shape
        order = torch.tensor(matrix_order(o, i, model.get_submodule(layer)))
        F = block[order[:, None], order].reshape(o, i, o, i).permute(0, 2, 1, 3)
        U, s, Vh = np.linalg.svd(F.reshape(o * o, i * i).numpy())
        A, B = made["kfoc"].factors[layer]
        best = s[0] * np.outer(U[:, 0], Vh[0])
        np.testing.assert_allclose(
            np.outer(B.numpy().ravel(), A.numpy().ravel()), best, atol=1e-5 * s[0]
        )
        assert np.linalg.eigvalsh(A.numpy())[0] > -1e-12
    assert made["ekfac"].trace() == pytest.approx(float(G.trace()), rel=1e-11)


def matrix_order(o, i, layer):
    """Return where the entries of the matrix (weight | bias) are among weight and bias."""
    width = i - (layer.bias is not None)
    weight = np.arange(o * width).reshape(o, width)
    if width == i:
        return weight.ravel()
    return np.concatenate([weight, o * width + np.arange(o)[:, None]], 1).ravel()


def basis_of(U_A, U_B, layer):
    """Return U_B ⊗ U_A with its rows in the order of the flat vector."""
    result = torch.kron(U_B, U_A)
    order = torch.tensor(matrix_order(len(U_B), len(U_A), layer))
    back = torch.empty_like(result)
    back[order] = result
    return back


def test_exact_columns_are_exact_with_attention():
    # Outputs that depend on several positions: EKFAC's trace is that of the matrix itself.
    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 3)

        def forward(self, x):
            h = torch.tanh(self.first(x))
            return self.last(torch.softmax(h @ h.mT, -1) @ h)

    model = seeded(Mixer)
    x, y = normal(2, 4, 3), labels(3, 2, 4)
    y[0, 2] = IGNORED
    G = dense_ggn(model, [(x, y)], entropy, 7)
    E = kfac(model, None, (x, y), "cross_entropy", approximation="ekfac")
    assert E.trace() == pytest.approx(float(G.trace()), rel=1e-11)


# ---------------------------------------------------------------------------------- the estimators


def test_drawn_factors_converge_to_the_exact_ones():
    model = seeded(mlp)
    batch = normal(5, 4), labels(3, 5)
    exact = kfac(model, None, batch).factors
    runs = [kfac(model, None, batch, kind="mc", samples=2, seed=s).factors for s in range(150)]
    for layer, (A, B) in exact.items():
        drawn = torch.stack([run[layer].B for run in runs])
        torch.testing.assert_close(runs[0][layer].A, A)
        stderr = drawn.std(0) / math.sqrt(len(runs))
        assert ((drawn.mean(0) - B).abs() <= 4 * stderr + 1e-14).all()
        assert float((drawn[0] - drawn[1]).norm()) > 0.01 * float(B.norm())
    big = kfac(model, None, batch, kind="mc", samples=2000).factors
    for layer, (_, B) in exact.items():
        assert (big[layer].B - B).norm() < 0.1 * B.norm()
    same = kfac(model, None, batch, kind="mc", samples=2, seed=0).factors
    assert torch.equal(same["0"].B, runs[0]["0"].B)


def test_empirical_is_of_the_gradients_of_terms():
    model = seeded(lambda: nn.Linear(3, 2))
    x, y = normal(4, 5, 3), labels(2, 4, 5)
    p = torch.softmax(model(x).detach(), -1) - functional.one_hot(y, 2)
    B = torch.einsum("nto,ntp->op", p, p) / 20
    A = torch.einsum("nti,ntj->ij", x, x) / 20
    K = kfac(model, ["weight"], (x, y), kind="empirical")
    close(K.factors[""].B, B)
    close(K.factors[""].A, A)


# ------------------------------------------------------------------------------ data and its parts


def split(x, y, sizes):
    return list(zip(x.split(sizes), y.split(sizes), strict=True))


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_batches_change_nothing(approximation, sharing):
    model = seeded(lambda: linear_chain(4, 3, 3))
    x, y = normal(9, 5, 4), labels(3, 9, 5)
    y[0, :3] = y[3] = y[7, 1] = IGNORED
    options = {"approximation": approximation, "sharing": sharing}
    whole = kfac(model, None, (x, y), "cross_entropy", **options).to_dense()
    for sizes in ([1, 8], [4, 3, 2]):
        cut = kfac(model, None, split(x, y, sizes), "cross_entropy", **options).to_dense()
        close(cut, whole, 1e-12)


class Ranks:
    """Two threads as the ranks of a communicator."""

    def __init__(self):
        self.values = [None, None]
        self.barrier = threading.Barrier(2, timeout=20)

    def of(self, rank):
        def allreduce(value):
            self.values[rank] = value
            self.barrier.wait()
            total = self.values[0] + self.values[1]
            self.barrier.wait()
            return total

        return SimpleNamespace(allreduce=allreduce, Get_rank=lambda: rank, Get_size=lambda: 2)


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
def test_two_ranks_are_one(approximation):
    x, y = normal(9, 5, 4), labels(3, 9, 5)
    y[0, :3] = y[3] = IGNORED
    shards = [(x[:2], y[:2]), (x[2:], y[2:])]
    ranks = Ranks()
    # Made one after the other: the seed is the process's.
    models = [seeded(lambda: linear_chain(4, 3, 3)) for _ in range(2)]

    def made(rank):
        return kfac(
            models[rank], None, shards[rank], approximation=approximation, comm=ranks.of(rank)
        ).to_dense()

    whole = kfac(
        seeded(lambda: linear_chain(4, 3, 3)), None, (x, y), approximation=approximation
    ).to_dense()
    with ThreadPoolExecutor(2) as pool:
        for part in pool.map(made, range(2)):
            close(part, whole, 1e-12)


def test_loaders():
    model, (x, y) = small_cases()["mlp"]
    data = torch.utils.data.TensorDataset(x, y)
    options = {"approximation": "ekfac"}
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    whole = kfac(model, None, (x, y), **options).to_dense()
    close(kfac(model, None, loader, **options).to_dense(), whole, 1e-12)
    shuffled = torch.utils.data.DataLoader(data, batch_size=4, shuffle=True)
    with pytest.raises(ValueError, match="shuffle"):
        kfac(model, None, shuffled, **options)


def test_padding_changes_nothing():
    model = seeded(lambda: linear_chain(4, 3, 3))
    x, y = normal(3, 5, 4), labels(3, 3, 5)
    longer_x = torch.cat([x, normal(3, 2, 4, seed=9)], 1)
    longer_y = torch.cat([y, torch.full((3, 2), IGNORED)], 1)
    close(
        kfac(model, None, (longer_x, longer_y), "cross_entropy").to_dense(),
        kfac(model, None, (x, y), "cross_entropy").to_dense(),
        1e-12,
    )
    without = kfac(model, None, (x[1:], y[1:]), "cross_entropy").to_dense()
    y[0] = IGNORED
    close(kfac(model, None, (x, y), "cross_entropy").to_dense(), without, 1e-12)


@pytest.mark.parametrize("sharing", ["expand", "reduce"])
def test_samples_without_a_valid_term_count_nowhere(sharing):
    model, (x, y) = small_cases()["conv"]
    y = y.clone()
    y[2] = IGNORED
    rest = torch.tensor([0, 1, 3, 4, 5])
    close(
        kfac(model, None, (x, y), sharing=sharing).to_dense(),
        kfac(model, None, (x[rest], y[rest]), sharing=sharing).to_dense(),
        1e-12,
    )


def test_classes_on_the_second_axis():
    model = seeded(lambda: nn.Conv1d(3, 4, 1))
    x, y = normal(3, 3, 5), labels(4, 3, 5)
    y[:, -1] = IGNORED
    loss = nn.CrossEntropyLoss(ignore_index=IGNORED)
    close(
        kfac(model, None, (x, y), loss).to_dense(),
        kfac(model, None, (x[..., :-1], y[:, :-1]), loss).to_dense(),
        1e-12,
    )
    rows = x.movedim(1, -1)
    same = seeded(lambda: nn.Linear(3, 4))
    with torch.no_grad():
        same.weight.copy_(model.weight[..., 0])
        same.bias.copy_(model.bias)
    close(
        kfac(model, None, (x, y), loss, kind="empirical").to_dense(),
        kfac(same, None, (rows, y), "cross_entropy", kind="empirical").to_dense(),
        1e-12,
    )


def test_reductions():
    model = seeded(mlp)
    batch = normal(5, 4), labels(3, 5)
    mean = kfac(model, None, batch).to_dense()
    close(kfac(model, None, batch, reduction="sum").to_dense(), 5 * mean)
    close(kfac(model, None, batch, nn.CrossEntropyLoss(reduction="sum")).to_dense(), 5 * mean)


def test_flattened_positions_belong_to_their_samples():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = linear_chain(4, 3, 3)

        def forward(self, x):
            return self.inner(x.reshape(-1, 4)).reshape(*x.shape[:2], 3)

    model = seeded(Flat)
    x, y = normal(3, 5, 4), normal(3, 5, 3)
    G = block_diagonal(dense_ggn(model, [(x, y)], squared, 45), model)
    close(kfac(model, None, (x, y), "mse").to_dense(), G)


# --------------------------------------------------------------------- what the operator offers


@pytest.mark.parametrize("approximation", APPROXIMATIONS)
def test_inverse_and_spectrum(approximation):
    model, batch = small_cases()["conv"]
    K = kfac(model, None, batch, approximation=approximation)
    D = K.to_dense()
    n = K.shape[0]
    close(D, D.T, 1e-14)
    values = torch.linalg.eigvalsh(D).numpy()
    np.testing.assert_allclose(K.eigenvalues(), values, atol=1e-13 * values[-1])
    assert K.trace() == pytest.approx(float(D.trace()), rel=1e-12)
    assert K.frobenius_norm() == pytest.approx(float(D.norm()), rel=1e-12)
    eye = torch.eye(n, dtype=torch.float64)
    logdet = float(torch.linalg.slogdet(D + 1e-3 * eye)[1])
    assert K.logdet(1e-3) == pytest.approx(logdet, rel=1e-10)
    M = K.inverse(1e-3)
    close(M.to_dense() @ (D + 1e-3 * eye), eye, 1e-10)
    assert M.symmetric
    with pytest.raises(ValueError, match="singular"):
        K.inverse()


def test_heuristic_damping():
    model, batch = small_cases()["conv"]
    K = kfac(model, None, batch)
    M = K.inverse(0.01, method="heuristic").to_dense()
    for layer, where in layer_places(model).items():
        A, B = K.factors[layer]
        pi = math.sqrt(float(A.trace()) / len(A) / (float(B.trace()) / len(B)))
        A = A + pi * 0.1 * torch.eye(len(A), dtype=A.dtype)
        B = B + 0.1 / pi * torch.eye(len(B), dtype=A.dtype)
        order = torch.tensor(where)[matrix_order(len(B), len(A), model.get_submodule(layer))]
        close(M[order[:, None], order], torch.linalg.inv(torch.kron(B, A)), 1e-10)
    assert K.logdet(0.01, method="heuristic") == pytest.approx(
        -float(torch.linalg.slogdet(M)[1]), rel=1e-10
    )
    with pytest.raises(ValueError, match="EKFAC"):
        kfac(model, None, batch, approximation="ekfac").inverse(0.1, method="heuristic")


def test_preconditions_cg():
    torch.manual_seed(0)
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)))
    x, y = normal(60, 6) * torch.logspace(-2, 1, 6, dtype=torch.float64), labels(4, 60)
    G = dense_ggn(model, [(x, y)], entropy, 60).numpy()
    n = len(G)
    A = ritz.aslinearoperator(G).shifted(1e-4)
    b = np.random.default_rng(0).standard_normal(n)
    plain = ritz.cg(A, b, rtol=1e-8, maxiter=2000)
    with_K = ritz.cg(A, b, M=kfac(model, None, (x, y)).inverse(1e-4), rtol=1e-8, maxiter=2000)
    assert with_K.converged
    assert with_K.iterations < 0.7 * plain.iterations


def test_trees_blocks_and_float32():
    torch.manual_seed(0)
    model = mlp()
    x, y = torch.randn(6, 4), torch.randint(0, 3, (6,))
    K = kfac(model, ["2.*"], (x, y))
    tree = {"2.weight": torch.randn(3, 5), "2.bias": torch.randn(3)}
    result = K @ tree
    assert list(result) == ["2.weight", "2.bias"]
    A, B = K.factors["2"]
    V = torch.cat([tree["2.weight"], tree["2.bias"][:, None]], 1)
    out = B.float() @ V @ A.float()
    torch.testing.assert_close(result["2.weight"], out[:, :-1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(result["2.bias"], out[:, -1], rtol=1e-5, atol=1e-6)
    assert K.dtype == np.float32
    X = torch.randn(18, 4)
    torch.testing.assert_close(
        K @ X, torch.stack([K @ c for c in X.T.contiguous()], 1), rtol=1e-5, atol=1e-6
    )
    back = K.inverse(0.1) @ (K.shifted(0.1) @ tree)
    torch.testing.assert_close(back, tree, rtol=1e-4, atol=1e-5)


def test_it_stays_where_it_was_made():
    model = seeded(mlp)
    batch = normal(5, 4), labels(3, 5)
    K = kfac(model, None, batch)
    before = K.to_dense()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2.0)
    assert torch.equal(K.to_dense(), before)
    assert all(p.grad is None for p in model.parameters())


def test_one_layer_called_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x):
            return self.inner(torch.tanh(self.inner(x)))

    model = seeded(Twice)
    batch = normal(4, 3), labels(3, 4)
    G = dense_ggn(model, [batch], entropy, 4)
    E = kfac(model, None, batch, approximation="ekfac")
    assert E.trace() == pytest.approx(float(G.trace()), rel=1e-11)


# --------------------------------------------------------------------------------------- misuse


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3, bias=False)

    def forward(self, x):
        return functional.linear(torch.tanh(self.inner(x)), self.inner.weight)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.used(x)


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, x):
        return self.inner(x[:, None].expand(-1, 4, -1).transpose(0, 1)).mean(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Tied, "used outside"),
        (Shared, "'first.weight' is not of an nn.Linear"),
        (Unused, "'idle' was not called"),
        (TimeFirst, "first axis"),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3)), "'1.weight' is not of"),
    ],
)
def test_layers_that_it_is_not_for(make, message):
    with pytest.raises(ValueError, match=message):
        kfac(make(), None, (torch.randn(4, 3), torch.randint(0, 3, (4,))))


def test_groups_are_refused_by_name_and_can_be_left_out():
    model = nn.Sequential(nn.Conv1d(2, 2, 2, groups=2), nn.Flatten(), nn.Linear(4, 2))
    batch = torch.randn(4, 2, 3), torch.randint(0, 2, (4,))
    with pytest.raises(ValueError, match=r"'0\.weight'.*groups.*patterns"):
        kfac(model, None, batch)
    assert kfac(model, ["2.*"], batch).shape == (10, 10)


def test_other_models_are_refused():
    batch = torch.randn(4, 3), torch.randint(0, 3, (4,))
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        kfac(lambda w, x: x @ w, torch.zeros(3, 3), batch)
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        kfac(lambda w, x: x @ w, None, batch)


def test_wrong_options():
    model, batch = small_cases()["mlp"]
    with pytest.raises(ValueError, match="approximation is 'kfra'"):
        kfac(model, None, batch, approximation="kfra")
    with pytest.raises(ValueError, match="sharing is"):
        kfac(model, None, batch, sharing="both")
    with pytest.raises(ValueError, match="kind is"):
        kfac(model, None, batch, kind="type-2")
    K = kfac(model, None, batch)
    with pytest.raises(ValueError, match="damping"):
        K.inverse(-1.0)
    with pytest.raises(ValueError, match="method is"):
        K.inverse(1.0, method="pi")
    ignored = batch[0], torch.full((9,), IGNORED)
    with pytest.raises(ValueError, match="no valid terms"):
        kfac(model, None, ignored, "cross_entropy")


def test_random_layers_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    with pytest.raises(ValueError, match="Dropout"):
        kfac(model, None, (torch.randn(4, 3), torch.randint(0, 3, (4,))))
