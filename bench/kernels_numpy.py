"""The kernels beside STREAM, and the vector work of one CG iteration beside NumPy.

    python bench/kernels_numpy.py build/release/bench/kernels [--json bench/results/kernels.json]

NumPy does the work as ``scipy.sparse.linalg.cg`` writes it, and takes turns with ritz.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe

ROUNDS = 11
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)

GOALS = {"ratio_to_triad": 0.9, "ratio_to_numpy": 2.4}

# What is known of operations below the goal on vectors that exceed every cache.
NOTES = {
    "statistic": "median over the rounds of the fastest of three runs in a row; ratio_to_triad is "
    "the median of the rounds' ratios",
    "dots": "counts three vectors; y is read by two sums, and its second reading, from cache, "
    "takes time that no counted byte stands for",
    "project, subtract_project, dots in f32": "every element is converted to double precision "
    "first, which does not overlap altogether with waiting for memory",
    "subtract_project": "works on the columns twice, the second time in cache, and counts them "
    "once; the second pass does not overlap with memory",
    "combine": "is a matrix product, 512 operations for 256 counted bytes a row: arithmetic is "
    "its limit as much as memory",
    "load": "where machine.load exceeds the threads in use, other programs took processors and "
    "bandwidth: read the ratios, and expect no gain from a second thread",
}


def numpy_update(n: int) -> float:
    """Microseconds of one iteration's vector work, without the operator."""
    rng = np.random.default_rng(0)
    x, r, p, q = (rng.uniform(-1.0, 1.0, n) for _ in range(4))
    repeats = max(1, 500_000 // n)
    seconds = []
    for _ in range(4):  # the fastest is one that no other program interrupted
        start = time.perf_counter()
        for _ in range(repeats):
            np.linalg.norm(r)
            rr = np.dot(r, r)
            p *= 0.5 + 1e-9 / (1.0 + rr)
            p += r
            alpha = 1e-9 / (1.0 + abs(np.dot(p, q)))
            x += alpha * p
            r -= alpha * q
        seconds.append(time.perf_counter() - start)
    return min(seconds) / repeats * 1e6


def cg_updates(kernels: Path) -> list[dict[str, Any]]:
    rows = []
    for n in SIZES:
        seconds: dict[str, list[float]] = {"numpy": [], "1": [], "2": []}
        with subprocess.Popen(
            [kernels, "--cg-update", str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            for _ in range(ROUNDS):
                seconds["numpy"].append(numpy_update(n))
                for threads in ("1", "2"):
                    print(threads, file=server.stdin, flush=True)
                    seconds[threads].append(float(server.stdout.readline()))
            server.stdin.close()
        numpy = statistics.median(seconds["numpy"])
        for threads in ("1", "2"):
            ritz = statistics.median(seconds[threads])
            rows.append(
                {
                    "n": n,
                    "threads": int(threads),
                    "ritz_us": round(ritz, 2),
                    "numpy_us": round(numpy, 2),
                    "ratio_to_numpy": round(numpy / ritz, 2),
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernels", type=Path, help="the built benchmark bench/kernels.cpp")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    run = subprocess.run([options.kernels], stdout=subprocess.PIPE, text=True, check=True)
    result = json.loads(run.stdout)
    result["machine"] = describe(threads=2)
    result["goals"] = GOALS
    result["cg_update"] = cg_updates(options.kernels)
    result["notes"] = NOTES
    # One row a line, so that two results can be compared by eye and by diff.
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in result.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    for key in ("rows", "cg_update"):
        text = text.replace(
            json.dumps(result[key]),
            "[\n    " + ",\n    ".join(json.dumps(row) for row in result[key]) + "\n  ]",
        )
    if options.json:
        options.json.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
