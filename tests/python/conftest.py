"""Settings of the test run."""

from __future__ import annotations

import importlib.util
import os

# The tests share few cores with whatever else runs: one thread for each framework is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis

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
