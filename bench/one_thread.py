"""What the benchmarks on one thread share: the thread, the clock, the peers, the command line.

Import this module before NumPy and the frameworks: they read the number of threads when they start.
"""

from __future__ import annotations

import os

os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ.update(
    OMP_NUM_THREADS="1",
    OPENBLAS_NUM_THREADS="1",
    RITZ_NUM_THREADS="1",
    XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
)

import argparse  # noqa: E402
import importlib  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterable  # noqa: E402
from importlib.metadata import PackageNotFoundError, version  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from machine import describe  # noqa: E402

SKIPPED: dict[str, str] = {}  # what was left out, and why

Runs = dict[str, Callable[[], Any]]
Report = dict[str, Any]
Parts = dict[str, Callable[[bool], list[dict[str, Any]]]]  # a part's rows, `quick` or in full


def available(module: str) -> Any:
    """Return a peer's module; if it cannot be imported, None, and it is noted."""
    if module in SKIPPED:
        return None
    try:
        return importlib.import_module(module)
    except ImportError as error:
        SKIPPED[module] = str(error)
        return None


def shortest(runs: Runs, rounds: int) -> dict[str, float]:
    """Return the CPU seconds of each callable at its best, the callables taking turns."""
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            seconds[name] = min(seconds[name], time.process_time() - begin)
    return seconds


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def main(
    description: str | None,
    parts: Parts,
    markdown: Callable[[Report], str],
    goals: dict[str, float],
    peers: Iterable[str],
) -> None:
    """Print the numbers of the parts asked for, and write them where asked.

    The file of numbers is written after each part, so that what was measured is kept, and the
    numbers of parts that are left out by `--only` stay in it.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file")
    parser.add_argument(
        "--only", nargs="+", choices=[*parts], help="leave the other parts as they are"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    arguments = parser.parse_args()
    report: Report = {}
    if arguments.only and arguments.json and arguments.json.exists():
        report = json.loads(arguments.json.read_text())
    report |= {"machine": describe() | versions(peers), "goals": goals}
    for part in arguments.only or parts:
        report[part] = parts[part](arguments.quick)
        report["skipped"] = SKIPPED
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    tables = markdown(report)
    if arguments.markdown:
        arguments.markdown.write_text(tables)
    print(tables)
    for name, reason in SKIPPED.items():
        print(f"left out: {name} ({reason})")
