"""Arrays in device memory: whose they are, on which stream they are used, how results go back."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ritz._core import DeviceArray, empty_array
from ritz.frameworks import Framework

__all__ = ["CudaArrays", "framework_on_device", "on_device"]

_DLPACK_CUDA = 2
# What the interface calls the stream that CUDA itself calls 0.
_DEFAULT_STREAM = 1


class CudaArrays(Framework):
    """Anything with ``__cuda_array_interface__``; closures see `ritz.cuda.DeviceArray`."""

    name = "cuda"
    noun = "array with __cuda_array_interface__"
    type = object

    def stream(self, array: Any, device: int) -> int:
        """Return the stream that the caller works on."""
        interface = getattr(array, "__cuda_array_interface__", None) or {}
        stream = int(interface.get("stream") or 0)
        return 0 if stream == _DEFAULT_STREAM else stream

    def allocator(
        self, device: int, stream: int
    ) -> tuple[Callable[[int], int], Callable[[int], None]] | None:
        """Return what gives memory of so many bytes and takes an address back, if there is any."""
        return None

    def recording(self, device: int, stream: int) -> AbstractContextManager[Any]:
        """Return what makes closures queue their work on a stream, and keep the memory they use."""
        return nullcontext()

    def record(
        self, function: Callable[..., Any], arrays: Sequence[Any], device: int, stream: int
    ) -> Any:
        """Call a closure whose work is being recorded on a stream."""
        with self.recording(device, stream):
            return function(*arrays)

    def from_run(self, array: DeviceArray) -> Any:
        """Return an array of this framework over memory in a device, without a copy."""
        wrap: Callable[[Any], Any] | None = self.wrap
        return array if wrap is None else wrap(array)

    def brought(self, array: DeviceArray) -> npt.NDArray[Any]:
        """Return a copy on the host."""
        return array.copy_to_host()

    def taken_back(self, array: npt.NDArray[Any], core: Any) -> Any:
        """Return a copy on the device, in the order of the run's stream."""
        return self.from_run(self.sent(array, core))

    @staticmethod
    def sent(array: npt.NDArray[Any], core: Any) -> DeviceArray:
        """Return a copy on the device of an array in C order."""
        _, device, stream = core.key
        copy = empty_array(array.dtype, array.size, device, stream)
        copy.copy_from_host(array)
        return copy if array.ndim == 1 else copy.reshape(array.shape)

    def no_columns(self, n: int, dtype: np.dtype[Any], core: Any) -> Any:
        """Return a block (n, 0): its columns would be rows."""
        return core.empty(0).reshape((0, n))

    def no_rows(self, n: int, dtype: np.dtype[Any], core: Any) -> Any:
        """Return an array (0, n)."""
        return core.empty(0).reshape((0, n))

    def from_columns(self, array: DeviceArray) -> Any:
        """Return the transpose, since the core has a block's columns as rows."""
        return self.from_run(array).T

    def settled(self, array: Any) -> Any:
        """Return an array whose memory holds what it says."""
        return array

    def rows(self, array: Any, name: str) -> Any:
        """Return an array (n, k) as the core takes it: (k, n), without gaps."""
        if getattr(array, "ndim", None) == 1:
            return self.settled(array)
        transposed = getattr(array, "T", None)
        if transposed is None:
            raise TypeError(
                f"{name} is a {type(array).__name__} without a transpose: pass an array of torch, "
                "CuPy, JAX or ritz.cuda"
            )
        return self.compact(self.settled(transposed))

    def compact(self, array: Any) -> Any:
        """Return an array in C order; what has no copies of its own must be in it already."""
        return array

    def check_result(self, result: Any, what: str) -> None:
        """Refuse what is not in the memory of a device."""
        if result is None or on_device(result):
            return
        place = getattr(result, "__dlpack_device__", lambda: (0, 0))
        if place()[0] != _DLPACK_CUDA:
            raise TypeError(
                f"{what} returned {self.describe(result)}, which is not in device memory; it is "
                "called with an array on the device and must return one there"
            )

    def to_numpy(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Refuse: vectors of a device are not brought to the host unasked."""
        raise TypeError(
            f"{name} is in device memory, and this run is in host memory: pass a host array"
        )

    def from_numpy(self, array: npt.NDArray[Any]) -> Any:
        """Return an array of the host as it is."""
        return array

    def copied(self, array: Any) -> Any:
        """Return the array: a run hands out none of its own vectors on a device."""
        return array


class TorchOnCuda(CudaArrays):
    """CUDA tensors, on torch's current stream of their device."""

    name = "torch"
    noun = "CUDA torch.Tensor"

    def __init__(self) -> None:
        import torch

        self._torch = torch
        self._pools: dict[tuple[int, int], Any] = {}
        self.type = torch.Tensor
        self.wrap: Callable[[Any], Any] = self._tensor

    def _tensor(self, array: DeviceArray) -> Any:
        return self._torch.as_tensor(array, device=f"cuda:{array.device}")

    def compact(self, array: Any) -> Any:
        """Return a tensor in C order, a copy if it is not in it."""
        return array.contiguous()

    def settled(self, array: Any) -> Any:
        """Return a tensor without conjugations and signs that torch has only noted."""
        if not isinstance(array, self._torch.Tensor) or not (array.is_conj() or array.is_neg()):
            return array
        return array.resolve_conj().resolve_neg()

    def closure(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with settled results."""
        return lambda *arrays: self.settled(function(*arrays))

    def stream(self, array: Any, device: int) -> int:
        """Return torch's current stream."""
        return int(self._torch.cuda.current_stream(device).cuda_stream)

    def allocator(
        self, device: int, stream: int
    ) -> tuple[Callable[[int], int], Callable[[int], None]]:
        """Return torch's caching allocator."""
        cuda = self._torch.cuda
        return (
            lambda size: int(cuda.caching_allocator_alloc(size, device, stream)),
            cuda.caching_allocator_delete,
        )

    @contextmanager
    def recording(self, device: int, stream: int) -> Iterator[None]:
        """Take memory from a pool of recordings, in the threads of backward passes as well."""
        torch = self._torch
        pool = self._pools.get((device, stream))
        if pool is None:
            pool = self._pools[device, stream] = torch.cuda.MemPool()
        with (
            torch.cuda.stream(torch.cuda.ExternalStream(stream, device)),
            torch.cuda.use_mem_pool(pool, device),
            torch.autograd.set_multithreading_enabled(False),
        ):
            yield

    def check_result(self, result: Any, what: str) -> None:
        """Refuse tensors of the host, sparse ones, and ones that require grad."""
        super().check_result(result, what)
        if result.layout != self._torch.strided:
            raise TypeError(
                f"{what} returned a tensor of layout {result.layout}; return a dense one"
            )
        if result.requires_grad:
            raise TypeError(
                f"{what} returned a tensor that requires grad; use tensor.detach(), or compute it "
                "under torch.no_grad()"
            )


class CupyOnCuda(CudaArrays):
    """CuPy arrays, on CuPy's current stream."""

    name = "cupy"
    noun = "cupy.ndarray"

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._pools: dict[tuple[int, int], Any] = {}
        self.type = cupy.ndarray
        self.wrap: Callable[[Any], Any] = cupy.asarray

    def compact(self, array: Any) -> Any:
        """Return an array in C order, a copy if it is not in it."""
        return self._cupy.ascontiguousarray(array)

    def stream(self, array: Any, device: int) -> int:
        """Return CuPy's current stream."""
        return int(self._cupy.cuda.get_current_stream().ptr)

    def allocator(
        self, device: int, stream: int
    ) -> tuple[Callable[[int], int], Callable[[int], None]]:
        """Return CuPy's memory pool."""
        held: dict[int, Any] = {}

        def allocate(size: int) -> int:
            memory = self._cupy.cuda.alloc(size)
            held[memory.ptr] = memory
            return int(memory.ptr)

        return allocate, held.__delitem__

    @contextmanager
    def recording(self, device: int, stream: int) -> Iterator[None]:
        """Take memory from a pool of recordings."""
        cuda = self._cupy.cuda
        pool = self._pools.get((device, stream))
        if pool is None:
            pool = self._pools[device, stream] = cuda.MemoryPool()
        with cuda.ExternalStream(stream, device), cuda.using_allocator(pool.malloc):
            yield


class JaxOnCuda(CudaArrays):
    """JAX arrays, whose streams are JAX's own: values are finished before they change hands."""

    name = "jax"
    noun = "jax.Array on a GPU"
    # Each wrapped view is ordered after what was queued when it was made.
    cache_wrapped = False

    def __init__(self) -> None:
        import jax

        self._jax = jax
        self.type = jax.Array
        self.wrap: Callable[[Any], Any] = jax.dlpack.from_dlpack

    def stream(self, array: Any, device: int) -> int:
        """Return the default stream, after the array is finished."""
        array.block_until_ready()
        return 0

    def recording(self, device: int, stream: int) -> NoReturn:
        """Refuse: JAX queues its work where nobody else can record it."""
        raise TypeError(
            "capturable is for closures of torch, CuPy and plain device arrays: JAX runs on "
            "streams of its own, where nothing can be recorded; leave it out"
        )

    def settled(self, array: Any) -> Any:
        """Return the array when JAX has finished it."""
        return self._jax.block_until_ready(array)

    def closure(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with finished results."""
        return lambda *arrays: self._jax.block_until_ready(function(*arrays))


_LOADED: dict[str, CudaArrays] = {}
_KINDS: dict[str, type[CudaArrays]] = {
    "torch": TorchOnCuda,
    "cupy": CupyOnCuda,
    "jax": JaxOnCuda,
    "jaxlib": JaxOnCuda,
}


def _package(value: Any) -> str:
    for base in type(value).__mro__:
        package = base.__module__.partition(".")[0]
        if package in _KINDS:
            return package
    return ""


def on_device(value: Any) -> bool:
    """Tell whether an array is in the memory of a CUDA device."""
    package = _package(value)
    if package == "torch":
        return bool(getattr(value, "is_cuda", False))
    if package in ("jax", "jaxlib"):
        jax = sys.modules["jax"]
        if not isinstance(value, jax.Array) or isinstance(value, jax.core.Tracer):
            return False
        return any(d.platform in ("gpu", "cuda") for d in value.devices())
    return hasattr(value, "__cuda_array_interface__")


def framework_on_device(value: Any) -> CudaArrays:
    """Return the framework of an array in device memory."""
    package = _package(value)
    if package not in _LOADED:
        _LOADED[package] = _KINDS.get(package, CudaArrays)()
    return _LOADED[package]
