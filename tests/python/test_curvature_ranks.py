"""Two ranks with a shard each give the operators of one rank with all the data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

RANK = """
import os
import sys
import torch
import torch.distributed as dist
import ritz
from curvature_models import mlp, points

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
model, (x, y) = mlp(), points(9)
y[1] = -100
shard = (x[:3], y[:3]) if rank == 0 else [(x[3:4], y[3:4]), (x[4:], y[4:])]
v = torch.linspace(-1, 1, 57, dtype=torch.float64)
loss = torch.nn.CrossEntropyLoss()
for make, options in (
    (ritz.gauss_newton, {}),
    (ritz.hessian, {}),
    (ritz.fisher, {"kind": "mc", "seed": 5}),
    (ritz.gradient_covariance, {}),
):
    whole = make(model, None, (x, y), loss, **options)
    parts = make(model, None, shard, loss, comm=dist.group.WORLD, **options)
    a, b = whole @ v, parts @ v
    assert torch.linalg.norm(a - b) <= 1e-12 * torch.linalg.norm(a), (make, a - b)
    assert abs(whole.value() - parts.value()) <= 1e-12
step, info = ritz.cg(ritz.gauss_newton(model, None, shard, loss, comm=dist.group.WORLD) + 1e-2, v)
assert info == 0
dist.destroy_process_group()
# A thread of torch's gloo may still drop the last tensors, which an ending interpreter cannot bear.
os._exit(0)
"""


def test_two_ranks(tmp_path):
    here = Path(__file__).parent
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "meeting")],
            cwd=here,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=120)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
