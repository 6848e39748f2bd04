"""Tensors that say they are on a CUDA device: theirs is the one that the host emulates.

Torch computes in host memory, and the emulated device works on the same memory under addresses of
its own. What torch does waits for the device first, as the order of a stream would have it.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import ClassVar

import torch

import ritz
from ritz.frameworks import cuda
from ritz.frameworks.torch import TORCH

# What the emulated device marks its addresses with.
_DEVICE = 1 << 62
_TYPES = {
    torch.float32: "<f4",
    torch.float64: "<f8",
    torch.complex64: "<c8",
    torch.complex128: "<c16",
}
_NAMED = {name: dtype for dtype, name in _TYPES.items()}


class CudaTensor(torch.Tensor):
    """A tensor in host memory that is taken for one on a device."""

    #: Those that the device may still read after torch has let go of them.
    kept: ClassVar[list[torch.Tensor]] = []
    #: Where results were asked for: none of them should have been.
    to_host = 0

    is_cuda = property(lambda self: True)
    device = property(lambda self: torch.device("cuda", 0))

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        _synchronize()
        result = super().__torch_function__(function, types, args, kwargs or {})
        if isinstance(result, CudaTensor):
            cls.kept.append(result)
        return result

    @property
    def __cuda_array_interface__(self):
        size = self.element_size()
        return {
            "shape": tuple(self.shape),
            "typestr": _TYPES[self.dtype],
            "data": (self.data_ptr() | _DEVICE, False),
            "strides": None if self.is_contiguous() else tuple(size * s for s in self.stride()),
            "version": 3,
        }

    def cpu(self):
        CudaTensor.to_host += 1
        return plain(self)

    def to(self, device):
        assert torch.device(device).type == "cuda", "a vector left the device"
        return self


def _synchronize():
    ritz.cuda.asarray([0.0]).copy_to_host()


def plain(tensor):
    """Return what a tensor on the device holds, as one of the host."""
    _synchronize()
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.as_subclass(torch.Tensor).clone()


def on_device(values):
    """Return the values as a tensor on the device."""
    tensor = torch.as_tensor(values).clone().as_subclass(CudaTensor)
    CudaTensor.kept.append(tensor)
    return tensor


class EmulatedTorch(cuda.TorchOnCuda):
    """What ritz knows of torch on CUDA, but for what only a GPU has."""

    def _tensor(self, array):
        interface = array.__cuda_array_interface__
        dtype = _NAMED[interface["typestr"]]
        memory = (ctypes.c_char * (array.size * dtype.itemsize)).from_address(
            interface["data"][0] & ~_DEVICE
        )
        tensor = torch.frombuffer(memory, dtype=dtype).reshape(interface["shape"])
        tensor = tensor.as_subclass(CudaTensor)
        CudaTensor.kept.append(array)
        return tensor

    def stream(self, array, device):
        return 0

    def allocator(self, device, stream):
        return None


@contextlib.contextmanager
def emulated_torch(monkeypatch):
    """Let torch's tensors on a device be these."""
    monkeypatch.setitem(cuda._LOADED, "torch", EmulatedTorch())
    monkeypatch.setattr(
        type(TORCH),
        "example",
        lambda self, device, dtype: on_device(torch.zeros(1, dtype=getattr(torch, dtype.name))),
    )
    CudaTensor.to_host = 0
    try:
        yield
    finally:
        _synchronize()
        CudaTensor.kept.clear()
