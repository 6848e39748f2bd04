"""PyTorch tensors in host memory, shared with the library in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ritz.frameworks import Framework, warn_of_device

__all__ = ["TORCH"]


class Torch(Framework):
    """Closures see tensors over the library's memory and return dense CPU tensors."""

    name = "torch"
    noun = "torch.Tensor"
    type = torch.Tensor
    wrap = staticmethod(torch.from_numpy)
    unwrap = "numpy"

    def to_numpy(self, array: Any, name: str) -> npt.NDArray[Any]:
        """Return the memory of a dense CPU tensor that does not require grad."""
        if not isinstance(array, torch.Tensor):
            raise TypeError(f"{name} is {self.describe(array)}; pass a torch.Tensor")
        self._check(array, f"{name} is")
        if array.dtype not in _ELEMENTS:
            raise TypeError(
                f"{name} has dtype {array.dtype}; ritz works in float32, float64, complex64 and "
                f"complex128: cast it, e.g. {name}.float()"
            )
        try:
            result: npt.NDArray[Any] = array.resolve_conj().resolve_neg().numpy()
        except RuntimeError as error:
            raise TypeError(
                f"{name} is a tensor without memory of its own ({error}); call ritz outside of "
                "torch.func transforms, on plain tensors"
            ) from None
        return result

    def from_numpy(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """Return a tensor over the array."""
        return torch.from_numpy(array)

    def copied(self, array: torch.Tensor) -> torch.Tensor:
        """Return a copy of a tensor over the library's memory."""
        return array.clone()

    def check_result(self, result: torch.Tensor, what: str) -> None:
        """Refuse tensors on devices, sparse ones, and ones that require grad."""
        self._check(result, f"{what} returned")

    def device_of(self, array: torch.Tensor) -> torch.device:
        """Return the tensor's device."""
        return array.device

    def example(self, device: torch.device, dtype: np.dtype[Any]) -> torch.Tensor:
        """Return a tensor on a device."""
        return torch.empty(1, dtype=getattr(torch, dtype.name), device=device)

    def detached(self, array: torch.Tensor) -> torch.Tensor:
        """Return the tensor without its autograd history."""
        return array.detach()

    def concatenated(self, vectors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return vectors one after the other, differentiably."""
        return torch.cat(list(vectors))

    def pieces(
        self, flat: torch.Tensor, sizes: list[int], offsets: list[int]
    ) -> Sequence[torch.Tensor]:
        """Return consecutive views of a vector."""
        views: Sequence[torch.Tensor] = flat.split(sizes)
        return views

    def host(self, array: torch.Tensor) -> npt.NDArray[Any]:
        """Return a tensor's values in host memory, without a copy where it is there."""
        if array.device.type != "cpu":
            warn_of_device(array.device)
        return self.to_numpy(array.cpu(), "the tensor")

    def over(self, array: npt.NDArray[Any]) -> torch.Tensor:
        """Return a tensor over the array, or over a copy where torch cannot take it."""
        usable = array.flags.writeable and all(s >= 0 for s in array.strides)
        return torch.from_numpy(array if usable else array.copy())

    def moved(self, array: torch.Tensor, device: Any) -> torch.Tensor:
        """Return a tensor on a device."""
        if array.device == device:
            return array
        warn_of_device(device if array.device.type == "cpu" else array.device)
        return array.to(device)

    @staticmethod
    def _check(tensor: torch.Tensor, subject: str) -> None:
        if tensor.device.type != "cpu":
            raise TypeError(
                f"{subject} a tensor on {tensor.device}, and this run is in host memory: pass "
                "tensors on the CPU, e.g. tensor.cpu()"
            )
        if tensor.layout != torch.strided:
            raise TypeError(
                f"{subject} a tensor of layout {tensor.layout}; pass a dense one: tensor.to_dense()"
            )
        if tensor.requires_grad:
            raise TypeError(
                f"{subject} a tensor that requires grad; ritz does not record gradients: use "
                "tensor.detach(), or compute it under torch.no_grad()"
            )


# Integers and booleans are promoted to float64 by the caller.
_ELEMENTS = {
    torch.float32,
    torch.float64,
    torch.complex64,
    torch.complex128,
    torch.bool,
    torch.uint8,
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
}

TORCH = Torch()


def csr_parts(tensor: torch.Tensor, name: str) -> tuple[npt.NDArray[Any], ...] | None:
    """Return (indptr, indices, data) of a sparse CSR tensor, or None for a dense one."""
    if tensor.layout != torch.sparse_csr:
        return None
    return (
        np.asarray(tensor.crow_indices()),
        np.asarray(tensor.col_indices()),
        TORCH.to_numpy(tensor.values(), name),
    )
