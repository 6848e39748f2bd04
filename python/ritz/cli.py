"""The command `ritz`: `ritz demo` does the main job, `ritz info` tells what is installed."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from typing import Any

import ritz
from ritz import _core

__all__ = ["main"]

_FRAMEWORKS = ("numpy", "torch", "jax")
_OTHERS = ("scipy", "scikit-learn", "matplotlib", "rich", "tqdm", "numba")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ritz", description=__doc__)
    parser.add_argument("--version", action="version", version=f"ritz {ritz.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo", help="train a network on handwritten digits by Gauss-Newton, show its curvature"
    )
    demo.add_argument("--framework", choices=_FRAMEWORKS, default="numpy", help="whose closures")
    demo.add_argument("--json", metavar="FILE", help="write the numbers there")
    demo.add_argument(
        "--picture", metavar="FILE", default="ritz-demo.png", help="default: %(default)s"
    )
    demo.add_argument("--no-picture", action="store_true", help="draw nothing")
    demo.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    commands.add_parser("info", help="version, instruction set, threads, frameworks found")
    return parser


def _found(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _device(description: dict[str, Any]) -> str:
    major, minor = description["capability"]
    runtime, driver = (
        f"{v // 1000}.{v % 1000 // 10}" for v in (description["runtime"], description["driver"])
    )
    return (
        f"{description['name']}, {description['memory'] / 2**30:.0f} GiB, capability "
        f"{major}.{minor}, runtime {runtime}, driver {driver}"
    )


def _info() -> None:
    rows = [
        ("ritz", ritz.__version__),
        ("Python", platform.python_version()),
        ("machine", f"{platform.system()} {platform.machine()}"),
        ("instruction set", str(_core.isa())),
        ("threads", str(ritz.num_threads())),
    ]
    answer = ritz.cuda.info()
    rows += [(f"CUDA device {k}", _device(d)) for k, d in enumerate(answer["devices"])]
    if not answer["available"]:
        rows.append(("CUDA", answer["reason"]))
    rows += [(package, _found(package)) for package in (*_FRAMEWORKS, *_OTHERS)]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    options = _parser().parse_args(arguments)
    if options.command == "info":
        _info()
        return 0
    try:
        from ritz import demo

        demo.run(
            options.framework,
            seed=options.seed,
            json_file=options.json,
            picture=None if options.no_picture else options.picture,
        )
    except (ImportError, OSError, RuntimeError) as error:
        print(f"ritz demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
