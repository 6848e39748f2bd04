"""Data sets as operators read them: batches and their parts, repeated passes, ranks."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections import UserDict

import numpy as np
import pytest

from ritz.curvature.data import Data

X, Y = np.arange(12.0).reshape(6, 2), np.arange(6)


def loader(shuffle=False, n=10, **options):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    x = torch.arange(2.0 * n).reshape(n, 2)
    dataset = torch.utils.data.TensorDataset(x, torch.arange(n))
    return torch.utils.data.DataLoader(dataset, batch_size=4, shuffle=shuffle, **options)


def host(array):
    return np.asarray(array.detach() if hasattr(array, "detach") else array)


class Passes:
    """A loader that gives what `passes` say, one after the other."""

    def __init__(self, *passes):
        self.passes = list(passes)

    def __iter__(self):
        return iter(self.passes.pop(0))


# ----------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("batch", [(X, Y), [X, Y], (X, Y.tolist()), ({"a": X}, Y)])
def test_one_batch(batch):
    data = Data(batch)
    assert data.static
    for _ in range(2):
        (found,) = data
        assert found is batch
    assert data.inputs(found) is batch[0]
    assert data.targets(found) is batch[1]
    assert data.size(found) == 6


@pytest.mark.parametrize("kind", [list, tuple])
def test_batches(kind):
    data = Data(kind([(X, Y), [X[:2], Y[:2]]]))
    assert data.static
    assert [data.size(b) for b in data] == [6, 2]
    assert data.targets(list(data)[1]).tolist() == [0, 1]


def test_several_inputs():
    data = Data((X, 2 * X, Y))
    (batch,) = data
    first, second = data.inputs(batch)
    assert first is X
    assert second[0, 1] == 2
    assert data.targets(batch) is Y


def test_inputs_alone():
    data = Data(X)
    (batch,) = data
    assert batch is X
    assert data.size(batch) == 6
    with pytest.raises(TypeError, match=r"a batch is a ndarray; .* batches \(inputs, targets\)"):
        data.inputs(batch)
    with pytest.raises(TypeError, match=r"a batch is a tuple"):
        data.targets((X,))


def test_loader():
    data = Data(loader())
    assert not data.static
    for _ in range(3):
        batches = list(data)
        assert [data.size(b) for b in batches] == [4, 4, 2]
        assert np.concatenate([data.targets(b) for b in batches]).tolist() == list(range(10))


@pytest.mark.parametrize("kind", [dict, UserDict])
def test_dicts(kind):
    tokens = np.zeros((3, 7), dtype=int)
    batch = kind(scores=np.zeros(99), input_ids=tokens, labels=tokens + 1)
    data = Data(batch)
    (found,) = data
    assert found is batch
    assert set(data.inputs(found)) == {"scores", "input_ids"}
    assert data.targets(found)[0, 0] == 1
    assert data.size(found) == 3
    named = Data([batch, batch], target="scores", batch_size=lambda b: b["input_ids"].size)
    assert set(named.inputs(batch)) == {"labels", "input_ids"}
    assert named.targets(batch).shape == (99,)
    assert [named.size(b) for b in named] == [21, 21]


def test_size_of_dicts():
    data = Data({"scale": np.float64(2.0), "nested": [{"image": X}], "labels": Y})
    (batch,) = data
    assert data.size(batch) == 6
    with pytest.raises(ValueError, match=r"holds no array whose length .* pass batch_size="):
        data.size({"scale": np.float64(2.0), "name": "x"})
    with pytest.raises(ValueError, match=r"has no 'labels', but 'a', 'b'; pass target="):
        data.targets({"a": X, "b": Y})
    with pytest.raises(ValueError, match=r"has no 'label', but 'labels'; pass target="):
        Data({"labels": Y}, target="label").targets({"labels": Y})
    with pytest.raises(ValueError, match=r"target is 'y', but a batch is a tuple"):
        Data((X, Y), target="y").targets((X, Y))
    with pytest.raises(TypeError, match=r"batch_size is 32; pass a function"):
        Data((X, Y), batch_size=32)
    with pytest.raises(TypeError, match=r"batch_size\(batch\) is 2.5"):
        Data((X, Y), batch_size=lambda b: 2.5).size((X, Y))


def test_data_that_cannot_be_read_again():
    for once in (((X, Y) for _ in range(2)), iter([(X, Y)]), zip([X], [Y], strict=True)):
        with pytest.raises(TypeError, match=r"can be read only once.* pass list\(data\)"):
            Data(once)


def test_data_that_are_no_batches():
    for wrong in (3, "digits", None):
        with pytest.raises(TypeError, match=r"pass a batch such as \(inputs, targets\)"):
            Data(wrong)
    with pytest.raises(TypeError, match=r"TensorDataset; .* in batches: .*DataLoader\(data, batch"):
        Data(loader().dataset)

    class IterableDataset:
        def __iter__(self):
            return iter([])

    IterableDataset.__name__ = "Dataset"
    with pytest.raises(TypeError, match=r"samples one by one; pass a loader"):
        Data(IterableDataset())
    with pytest.raises(ValueError, match=r"data is empty"):
        Data([])
    with pytest.raises(ValueError, match=r"data gave no batch in this pass"):
        list(Data(Passes([])))


# --------------------------------------------------------------------------------- repeated passes


def test_shuffled_loader():
    data = Data(loader(shuffle=True))
    list(data)
    with pytest.raises(ValueError, match=r"batch number 1 .*shuffles.*shuffle=False"):
        list(data)
    data = Data(loader(shuffle=True), deterministic=False)
    assert len(list(data)) == len(list(data)) == 3


CHANGES = {
    "order": [(X[2:], Y[2:]), (X[:2], Y[:2])],
    "one bit": [(X[:2], Y[:2]), (np.nextafter(X[2:], 99), Y[2:])],
    "targets": [(X[:2], Y[:2]), (X[2:], Y[2:] + 1)],
    "dtype": [(X[:2], Y[:2]), (X[2:].view(np.int64), Y[2:])],
    "shape": [(X[:2], Y[:2]), (X[2:].reshape(2, 4), Y[2:])],
    "less": [(X[:2], Y[:2])],
    "more": [(X[:2], Y[:2]), (X[2:], Y[2:]), (X[2:], Y[2:])],
    "nested": [(X[:2], Y[:2]), ({"a": [X[2:] + 1]}, Y[2:])],
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pass(change):
    batches = [(X[:2], Y[:2]), (X[2:], Y[2:])]
    if change == "nested":
        batches[1] = ({"a": [X[2:]]}, Y[2:])
    data = Data(Passes(batches, CHANGES[change]))
    list(data)
    with pytest.raises(ValueError, match=r"in this pass than in the first: the loader shuffles"):
        list(data)


def test_equal_passes_are_compared_once():
    batches = [(X[:2], Y[:2]), (X[2:], Y[2:])]
    changed = CHANGES["order"]
    data = Data(Passes(batches, batches, changed))
    for _ in range(3):
        assert len(list(data)) == 2


def test_an_unfinished_pass_is_no_pass():
    batches = [(X[:2], Y[:2]), (X[2:], Y[2:])]
    data = Data(Passes(batches, batches, CHANGES["targets"]))
    next(iter(data))
    list(data)
    with pytest.raises(ValueError, match=r"batch number 2"):
        list(data)


def test_fingerprints_of_other_arrays():
    torch = pytest.importorskip("torch")
    jnp = pytest.importorskip("jax.numpy")
    for make in (
        lambda a: torch.tensor(a, dtype=torch.bfloat16, requires_grad=True),
        lambda a: torch.tensor(a).T,
        lambda a: jnp.asarray(a, dtype=jnp.bfloat16),
        lambda a: jnp.asarray(a[0][0]),
        lambda a: np.array(a)[:0],
    ):
        same, other = [(make([[1.0, 2.0]]), 1)], [(make([[3.0, 2.0]]), 1)]
        data = Data(Passes(same, same))
        assert len(list(data)) == len(list(data)) == 1
        data = Data(Passes(same, other))
        list(data)
        if same[0][0].shape != (0, 2):
            with pytest.raises(ValueError, match=r"shuffles"):
                list(data)


def test_progress(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    data = Data(loader(), progress=True)
    assert len(list(data)) == 3
    assert "batches" in capsys.readouterr().err
    list(Data(loader()))
    assert capsys.readouterr().err == ""
    find = builtins.__import__

    def without(name, *arguments, **options):
        if name.startswith("tqdm"):
            raise ImportError(name)
        return find(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"progress=True needs tqdm: pip install tqdm"):
        list(data)


# ------------------------------------------------------------------------------------------- ranks


class Communicator:
    """Rank 1 of three, where the others hold 10 times and 100 times what this one does."""

    def Get_rank(self):
        return 1

    def Get_size(self):
        return 3

    def allreduce(self, value):
        return 111 * value


class Buffered(Communicator):
    """One that adds buffers too, as mpi4py does."""

    def Allreduce(self, value, result):
        assert value.flags.c_contiguous
        result[...] = 111 * value

    def allreduce(self, value):
        assert not hasattr(value, "shape")
        return 111 * value


@pytest.mark.parametrize("comm", [Communicator(), Buffered()])
def test_total_over_a_communicator(comm):
    torch = pytest.importorskip("torch")
    jnp = pytest.importorskip("jax.numpy")
    data = Data((X, Y), comm=comm)
    assert data.total(2.0) == 222.0
    for array in (
        X.T,
        np.float32([1, 2]),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor(3.0, dtype=torch.float64),
        jnp.asarray([1.0, 2.0]),
        jnp.asarray(2.0),
    ):
        before = host(array).copy()
        total = data.total(array)
        assert type(total) is type(array)
        assert (total.dtype, total.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(np.asarray(total), 111 * before)
        np.testing.assert_array_equal(host(array), before)


def test_one_rank():
    data = Data((X, Y))
    assert data.total(X) is X
    assert data.first_sample(7) == 0
    with pytest.raises(TypeError, match=r"comm is a int; pass an mpi4py communicator"):
        Data((X, Y), comm=3)


RANK = """
import os
import sys
import numpy as np
import torch
import torch.distributed as distributed
from ritz.curvature.data import Data

rank, store = int(sys.argv[1]), sys.argv[2]
distributed.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
data = Data(np.ones(3), comm=distributed.group.WORLD)
mine = np.linspace(0.1, 1.0, 5) * (1 + rank)
total = np.linspace(0.1, 1.0, 5) * 3
assert data.total(1.5 + rank) == 4.0
for given in (mine, torch.tensor(mine, requires_grad=True), torch.tensor(mine)[0]):
    found = data.total(given)
    assert type(found) is type(given) and found.dtype == given.dtype
    np.testing.assert_allclose(found, total[: found.size if found.ndim else 1][0] if found.ndim == 0
                               else total, rtol=1e-15)
np.testing.assert_array_equal(torch.tensor(mine), mine)
assert data.first_sample(7 + rank) == (0, 7)[rank]
if len(sys.argv) > 3:
    import jax.numpy as jnp

    np.testing.assert_array_equal(data.total(jnp.float32(1 + rank)), 3.0)
distributed.destroy_process_group()
print("summed", flush=True)
# A thread of torch's gloo may still drop the last tensors, which an ending interpreter cannot bear.
os._exit(0)
"""


def test_total_over_torch_processes(tmp_path):
    pytest.importorskip("torch")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "store"), "jax"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for process in processes:
            out, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
            assert out == "summed\n"
    finally:
        for process in processes:
            process.kill()
