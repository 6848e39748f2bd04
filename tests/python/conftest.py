"""Settings of the test run."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

# The tests share few cores with whatever else runs: one thread for each framework is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis

# Without a GPU, vectors "in device memory" are on one that a thread of the host emulates: it runs
# the CUDA kernels themselves.
_emulated = Path(__file__).parents[2] / "build/editable/tests/cpp/libritz_emulated.so"
if _emulated.exists():
    os.environ.setdefault("RITZ_CUDA_LIBRARY", str(_emulated))
    os.environ.setdefault("RITZ_EMULATED_KERNELS", "cuda")

# The curvature operators' tests are of torch modules throughout.
if importlib.util.find_spec("torch") is None:
    collect_ignore = [
        "test_curvature_modules.py",
        "test_gauss_newton.py",
        "test_hessian.py",
        "test_ntk.py",
    ]

hypothesis.settings.register_profile("ritz", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("ritz")
