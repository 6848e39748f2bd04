"""Vectors in the memory of NVIDIA devices: what is there, and arrays for those without a framework.

Solvers take vectors of torch, CuPy, JAX or anything with ``__cuda_array_interface__`` where they
are: pass them as ``b`` and they stay on the device.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ritz import _arrays, _core
from ritz._core import DeviceArray, DeviceError, DeviceOutOfMemory, DeviceUnavailable

__all__ = [
    "DeviceArray",
    "DeviceError",
    "DeviceOutOfMemory",
    "DeviceUnavailable",
    "asarray",
    "info",
]


def info() -> dict[str, Any]:
    """Return whether vectors may live on a device, on which, and if not, why not.

    Returns
    -------
    dict
        `available` (bool); `reason` (str, empty if available); `devices`, a list of dicts with
        `name`, `capability` (major, minor), `processors`, `memory` in bytes, and the versions of
        the CUDA `runtime` inside ritz and of the `driver`, as NVIDIA numbers them (13000 is 13.0).

    Notes
    -----
    Cost: the first call opens the CUDA plugin; nothing is allocated on a device. `ritz info` prints
    the same.
    """
    try:
        devices = _core.devices()
    except DeviceUnavailable as error:
        return {"available": False, "reason": str(error), "devices": []}
    return {"available": True, "reason": "", "devices": devices}


def asarray(values: npt.ArrayLike, *, device: int = 0, stream: int = 0) -> DeviceArray:
    """Return an array copied to a device.

    Parameters
    ----------
    values : array_like
        A vector, or an array of more dimensions; a matrix in Fortran order stays in it, as several
        right-hand sides should be. Of float32, float64, complex64 or complex128; integers become
        float64.
    device : int
        The number of the device.
    stream : int
        The address of a CUDA stream on which the array is used; 0 is the default stream.

    Returns
    -------
    DeviceArray
        Any framework takes it by ``__cuda_array_interface__`` or DLPack without a copy;
        `copy_to_host()` returns it as a NumPy array.

    Raises
    ------
    DeviceUnavailable
        If there is no device; the message says why.
    DeviceOutOfMemory
        If it has no room.
    """
    host = np.asarray(values)
    if host.ndim == 2 and host.flags.f_contiguous and not host.flags.c_contiguous:
        return asarray(host.T, device=device, stream=stream).T
    host = np.ascontiguousarray(host, _arrays.element_type(host.dtype, "values"))
    if host.ndim == 0:
        raise ValueError(f"values is a number, {host}; pass an array")
    array = _core.empty_array(host.dtype, host.size, device, stream)
    array.copy_from_host(host)
    return array if host.ndim == 1 else array.reshape(host.shape)
