"""Settings of the test run."""

from __future__ import annotations

import os

# The tests share few cores with whatever else runs: one thread for each framework is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import hypothesis

hypothesis.settings.register_profile("ritz", deadline=None, derandomize=True, max_examples=25)
hypothesis.settings.load_profile("ritz")
