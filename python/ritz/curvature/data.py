"""Data sets as operators read them: batches, their parts and sizes, one pass a product, ranks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ritz import _arrays

__all__ = ["Data"]


class Data:
    """The batches of a data set.

    Parameters
    ----------
    data : batch, list of batches, or loader
        A batch is an array, a tuple or list with at least one array in it, such as
        (inputs, targets), or a dict. A list or tuple of batches may be kept by operators. Anything
        else that can be iterated more than once, such as a torch DataLoader, is read once a pass.
    batch_size : callable, optional
        batch ↦ number of samples. Default: the length of "input_ids" in a dict that has it, else of
        the first array.
    target : str, optional
        The key of the targets in dict batches. Default: "labels".
    progress : bool
        Show a tqdm bar for each pass.
    deterministic : bool
        Compare the second pass of a loader with the first, to the bit and in order. Equal passes
        are not compared again: the comparison reads all data on the host.
    comm : optional
        An mpi4py communicator, or a torch.distributed group, whose ranks hold other data.

    Attributes
    ----------
    static : bool
        Whether all batches are in memory: one batch, or a list of them.

    Raises
    ------
    TypeError, ValueError
        For data that can be read only once or is no batches, and for empty data.
    """

    def __init__(
        self,
        data: Any,
        *,
        batch_size: Callable[[Any], int] | None = None,
        target: str | None = None,
        progress: bool = False,
        deterministic: bool = True,
        comm: Any = None,
    ) -> None:
        if batch_size is not None and not callable(batch_size):
            raise TypeError(
                f"batch_size is {batch_size!r}; pass a function batch -> number of samples"
            )
        if comm is not None and not (_is_torch(comm) or hasattr(comm, "allreduce")):
            raise TypeError(
                f"comm is a {type(comm).__name__}; pass an mpi4py communicator or a "
                "torch.distributed group"
            )
        if _is_batch(data):
            data = [data]
        self.static = isinstance(data, (list, tuple))
        if self.static and not data:
            raise ValueError("data is empty; pass at least one batch")
        _check_iterable(data)
        self._batches: Iterable[Any] = data
        self._batch_size, self._target = batch_size, target
        self._progress, self._comm = bool(progress), comm
        self._compare = bool(deterministic) and not self.static
        self._first_pass: list[bytes] | None = None

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches of one pass."""
        seen: list[bytes] = []
        count = 0
        for batch in self._bar():
            count += 1
            if self._compare:
                seen.append(_fingerprint(batch))
                self.check_pass(seen, complete=False)
            yield batch
        if count == 0:
            raise ValueError("data gave no batch in this pass; pass at least one")
        if self._compare:
            self.check_pass(seen, complete=True)

    def _bar(self) -> Iterable[Any]:
        if not self._progress:
            return self._batches
        try:
            from tqdm.auto import tqdm
        except ImportError as error:
            raise ImportError("progress=True needs tqdm: pip install tqdm") from error
        bar: Iterable[Any] = tqdm(self._batches, desc="batches", leave=False)
        return bar

    def check_pass(self, seen: list[bytes], *, complete: bool) -> None:
        """Compare the fingerprints of a pass so far with the first complete pass.

        Raises
        ------
        ValueError
            If the data differ.
        """
        first = self._first_pass
        if first is None:
            if complete:
                self._first_pass = seen
            return
        if complete and len(seen) == len(first):
            self._compare = False
        elif complete or len(seen) > len(first) or seen[-1] != first[len(seen) - 1]:
            raise ValueError(
                f"data gave another batch number {len(seen)} in this pass than in the first: the "
                "loader shuffles or draws at random. Pass a loader with shuffle=False and without "
                "random augmentation, a list of batches, or deterministic=False"
            )

    # ------------------------------------------------------------------------- parts of a batch

    def inputs(self, batch: Any) -> Any:
        """Return what the model is called with: for dicts, all but the targets.

        Of a tuple of more than two parts, all but the last, as a tuple.
        """
        if isinstance(batch, Mapping):
            key = self._key(batch)
            return {k: v for k, v in batch.items() if k != key}
        self._check_pair(batch)
        return batch[0] if len(batch) == 2 else tuple(batch[:-1])

    def targets(self, batch: Any) -> Any:
        """Return what the loss compares the model's output with."""
        if isinstance(batch, Mapping):
            return batch[self._key(batch)]
        self._check_pair(batch)
        return batch[-1]

    def _key(self, batch: Mapping[Any, Any]) -> str:
        key = "labels" if self._target is None else self._target
        if key not in batch:
            raise ValueError(
                f"a batch has no {key!r}, but {', '.join(map(repr, batch))}; pass target=, the key "
                "of its targets"
            )
        return key

    def _check_pair(self, batch: Any) -> None:
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise TypeError(
                f"a batch is a {type(batch).__name__}; a loss of the model's output needs batches "
                "(inputs, targets), or dicts"
            )
        if self._target is not None:
            raise ValueError(
                f"target is {self._target!r}, but a batch is a {type(batch).__name__}; target "
                "names the key of a dict batch"
            )

    def size(self, batch: Any) -> int:
        """Return the number of samples of a batch."""
        if self._batch_size is not None:
            return _arrays.integer(self._batch_size(batch), "batch_size(batch)", 0)
        if isinstance(batch, Mapping) and "input_ids" in batch:
            batch = batch["input_ids"]
        first = next((a for a in _arrays_in(batch) if len(a.shape)), None)
        if first is None:
            raise ValueError(
                f"a batch, a {type(batch).__name__}, holds no array whose length is the number of "
                "samples; pass batch_size=, a function batch -> number of samples"
            )
        return int(first.shape[0])

    # ------------------------------------------------------------------------------------ ranks

    def total(self, value: Any) -> Any:
        """Return the sum of a number or array over all ranks, of its kind; all ranks must call."""
        comm = self._comm
        if comm is None:
            return value
        number = not hasattr(value, "shape")
        framework = None if number else _arrays.framework_of(value, "value")
        if _is_torch(comm):
            return _torch_total(value, comm, framework)
        if framework is None:
            return comm.allreduce(value)
        if framework.name == "torch":
            summed = _mpi_total(value.detach().cpu().numpy(), comm)
            return framework.from_numpy(summed).to(value.device)
        return framework.from_numpy(_mpi_total(np.asarray(value), comm))

    def first_sample(self, samples: int) -> int:
        """Return how many samples the ranks before this one hold, from this one's number."""
        if self._comm is None:
            return 0
        if _is_torch(self._comm):
            import torch.distributed as distributed

            rank = distributed.get_rank(self._comm)
            ranks = distributed.get_world_size(self._comm)
        else:
            rank, ranks = self._comm.Get_rank(), self._comm.Get_size()
        counts = np.zeros(ranks)
        counts[rank] = samples
        return int(self.total(counts)[:rank].sum())


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_batch(data: Any) -> bool:
    if isinstance(data, (list, tuple)):
        return any(map(_is_array, data))
    return _is_array(data) or isinstance(data, Mapping)


def _check_iterable(data: Any) -> None:
    kind = type(data)
    if isinstance(data, (str, bytes)) or not hasattr(data, "__iter__"):
        hint = ""
        if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            hint = "; a data set is read in batches: torch.utils.data.DataLoader(data, batch_size)"
        raise TypeError(
            f"data is a {kind.__module__}.{kind.__name__}; pass a batch such as (inputs, targets), "
            f"a list of batches, or a loader{hint}"
        )
    if any(base.__name__ == "Dataset" for base in kind.__mro__):
        raise TypeError(
            f"data is a {kind.__name__}, which gives samples one by one; pass a loader of batches: "
            "torch.utils.data.DataLoader(data, batch_size=...)"
        )
    if hasattr(data, "__next__"):
        raise TypeError(
            f"data is a {kind.__name__}, which can be read only once, and each product reads it; "
            "pass list(data), or an object that makes a new iterator each time"
        )


def _arrays_in(value: Any) -> Iterator[Any]:
    """Yield the arrays of nested dicts, tuples and lists, in order."""
    if _is_array(value):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _arrays_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _arrays_in(part)


def _fingerprint(batch: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for a in _arrays_in(batch):
        # bfloat16 is not known to NumPy; float32 holds its values.
        low = "bfloat16" in str(a.dtype) and hasattr(a, "float")
        host = a.detach().cpu() if hasattr(a, "detach") else a
        memory = np.asarray(host.float() if low else host, order="C")
        digest.update(f"{a.dtype} {memory.shape}".encode())
        digest.update(memory.reshape(-1).view(np.uint8).data)
    return digest.digest()


# ------------------------------------------------------------------------------------------- ranks


def _is_torch(comm: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "torch" for base in type(comm).__mro__)


def _torch_total(value: Any, group: Any, framework: Any) -> Any:
    import torch
    import torch.distributed as distributed

    if framework is None:
        tensor = torch.tensor(float(value), dtype=torch.float64)
    elif framework.name == "torch":
        tensor = value.detach().clone()
    else:
        tensor = torch.from_numpy(np.array(value))
    # NCCL adds on devices only.
    moved = tensor.cuda() if distributed.get_backend(group) == "nccl" else tensor
    distributed.all_reduce(moved, group=group)
    if framework is None:
        return float(moved)
    if framework.name == "torch":
        return moved.to(value.device)
    return framework.from_numpy(moved.cpu().numpy())


def _mpi_total(value: Any, comm: Any) -> Any:
    if not hasattr(comm, "Allreduce"):
        return np.asarray(comm.allreduce(value))
    # Without pickling.
    value = np.asarray(value, order="C")
    result = np.empty_like(value)
    comm.Allreduce(value, result)
    return result
