"""The demo's picture: the training curve, and the eigenvalues with their bounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ritz.demo.job import Outcome

__all__ = ["draw"]

_BLUE, _RED, _GREY = "#1f5f99", "#c0392b", "#8a8f98"


def draw(outcome: Outcome, path: Path) -> None:
    """Draw to a file, in the format that its name ends in.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "the demo draws with matplotlib: pip install ritz[demo], or leave out the picture"
        ) from error

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)

    work = np.asarray(outcome.training["products"])
    left.plot(work, outcome.training["cost"], "o-", color=_BLUE, markersize=3.5, label="cost")
    left.plot(
        work,
        outcome.training["gradient_norm"],
        "s-",
        color=_RED,
        markersize=3,
        linewidth=1,
        label="gradient norm",
    )
    left.set_yscale("log")
    left.set_xlabel("products with the Jacobian and its transpose")
    left.set_title(
        f"Gauss-Newton: {100 * outcome.test_accuracy:.1f} % of unseen digits read right",
        fontsize=11,
    )
    left.legend(frameon=False)

    index = np.arange(1, len(outcome.eigenvalues) + 1)
    right.vlines(index, 0, outcome.eigenvalues, color=_GREY, linewidth=1)
    right.errorbar(
        index,
        outcome.eigenvalues,
        yerr=outcome.residual_bounds,
        fmt="o",
        color=_BLUE,
        capsize=5,
    )
    right.set_ylim(0, 1.1 * outcome.eigenvalues[0])
    right.set_xticks(index)
    right.set_xlabel("rank")
    right.set_title("Largest eigenvalues of the Gauss-Newton matrix", fontsize=11)
    right.text(
        0.97,
        0.93,
        f"bounds ≤ {max(outcome.residual_bounds):.0e}\n"
        f"trace {outcome.trace:.3f} ± {outcome.trace_stderr:.3f}",
        transform=right.transAxes,
        ha="right",
        va="top",
    )
    for axes in (left, right):
        axes.grid(visible=True, alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
