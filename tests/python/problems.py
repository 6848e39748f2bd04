"""Problems with known answers, shared by the tests."""

from __future__ import annotations

import numpy as np


def symmetric(spectrum, dtype=np.float64, seed=0):
    """A Hermitian matrix with the given eigenvalues."""
    rng = np.random.default_rng(seed)
    n = len(spectrum)
    wide = np.complex128 if np.dtype(dtype).kind == "c" else np.float64
    a = rng.standard_normal((n, n)).astype(wide)
    if wide is np.complex128:
        a += 1j * rng.standard_normal((n, n))
    q, _ = np.linalg.qr(a)
    s = (q * np.asarray(spectrum)) @ q.conj().T
    return ((s + s.conj().T) / 2).astype(dtype)


def spd(n, cond, dtype=np.float64, seed=0):
    """A positive definite matrix with eigenvalues from 1/cond to 1, spread evenly in logarithm."""
    return symmetric(np.logspace(-np.log10(cond), 0, n), dtype, seed)


def rectangular(m, n, cond, dtype=np.float64, seed=0):
    """A matrix with singular values from 1/cond to 1."""
    rng = np.random.default_rng(seed)
    k = min(m, n)
    u, _ = np.linalg.qr(rng.standard_normal((m, k)))
    v, _ = np.linalg.qr(rng.standard_normal((n, k)))
    return ((u * np.logspace(-np.log10(cond), 0, k)) @ v.T).astype(dtype)


def vector(n, dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    v = rng.standard_normal(n)
    if np.dtype(dtype).kind == "c":
        v = v + 1j * rng.standard_normal(n)
    return v.astype(dtype)


def eps(dtype):
    return float(np.finfo(dtype).eps)


DTYPES = [np.float32, np.float64, np.complex64, np.complex128]


class Counting:
    """A matrix by closures that count their calls."""

    def __init__(self, a):
        self.a = a
        self.matvecs = self.rmatvecs = 0

    def matvec(self, x):
        self.matvecs += 1
        return self.a @ x

    def rmatvec(self, x):
        self.rmatvecs += 1
        return self.a.conj().T @ x
