"""Ready-made callbacks: keep a history, show progress, print or log a line an iteration.

Any function of one `ritz.Iteration` is a callback. An object may also have `begin(method)` and
`finish(result)`, which are called around the run; `result` is None if it ended by an exception.
"""

from __future__ import annotations

import logging
import math
import sys
from abc import ABC, abstractmethod
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from ritz.results import Iteration, Result

__all__ = ["History", "Lines", "Logging", "Progress", "header", "line"]

# Column: attribute, width, format. Linear methods have the first ones only.
_LINEAR = (
    ("iteration", "iteration", 9, "d"),
    ("residual", "residual", 11, ".3e"),
    ("products", "products", 9, "d"),
    ("seconds", "seconds", 9, ".3f"),
)
_NONLINEAR = (
    ("iteration", "iteration", 9, "d"),
    ("cost", "cost", 14, ".7e"),
    ("change", "change", 11, ".2e"),
    ("gradient_norm", "gradient", 10, ".2e"),
    ("step_norm", "step", 10, ".2e"),
    ("gain_ratio", "gain", 10, ".2e"),
    ("damping", "damping", 10, ".2e"),
    ("inner_iterations", "inner", 6, "d"),
    ("products", "products", 9, "d"),
    ("seconds", "seconds", 9, ".3f"),
)


def _columns(state: Iteration) -> tuple[tuple[str, str, int, str], ...]:
    return _LINEAR if math.isnan(state.step_norm) else _NONLINEAR


def header(state: Iteration) -> str:
    """Return the titles of the columns of `line`."""
    return " ".join(f"{title:>{width}}" for _, title, width, _ in _columns(state))


def line(state: Iteration) -> str:
    """Return one iteration as a line of aligned columns."""
    cells = []
    for name, _, width, form in _columns(state):
        value = state.products.total if name == "products" else getattr(state, name)
        cells.append(f"{value:>{width}{form}}")
    return " ".join(cells)


class History:
    """Keep what every iteration reported, as arrays.

    Attributes
    ----------
    iteration, residual, objective, cost, products, seconds, change, gradient_norm, step_norm, \
gain_ratio, damping, inner_iterations, accepted : numpy.ndarray
        One entry an iteration; `products` counts all kinds.
    """

    _NAMES = (
        "iteration",
        "residual",
        "objective",
        "products",
        "seconds",
        "change",
        "gradient_norm",
        "step_norm",
        "gain_ratio",
        "damping",
        "inner_iterations",
        "accepted",
    )

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def __call__(self, state: Iteration) -> None:
        """Keep one iteration."""
        self._rows.append(
            tuple(
                state.products.total if name == "products" else getattr(state, name)
                for name in self._NAMES
            )
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        column = "objective" if name == "cost" else name
        if column not in self._NAMES:
            raise AttributeError(name)
        k = self._NAMES.index(column)
        return np.array([row[k] for row in self._rows])

    def clear(self) -> None:
        """Forget everything."""
        self._rows.clear()


class Lines:
    """Write a header and one line an iteration to a text stream, by default standard output.

    Parameters
    ----------
    file : text stream, optional
    every : int
        Iterations from line to line.
    """

    def __init__(self, file: TextIO | None = None, every: int = 1) -> None:
        self._file = file
        self._every = every
        self._begun = False

    def begin(self, method: str) -> None:
        """Write the header again for the next run."""
        self._begun = False

    def __call__(self, state: Iteration) -> None:
        """Write one iteration."""
        file = self._file or sys.stdout
        if not self._begun:
            file.write(header(state) + "\n")
            self._begun = True
        if state.iteration % self._every == 0:
            file.write(line(state) + "\n")


class Logging:
    """Log one line an iteration, and the result's message at the end.

    Parameters
    ----------
    logger : logging.Logger, optional
        By default the logger "ritz".
    level : int
        Of the lines.
    every : int
        Iterations from line to line.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        level: int = logging.INFO,
        every: int = 1,
    ) -> None:
        self._logger = logger or logging.getLogger("ritz")
        self._level = level
        self._every = every
        self._method = ""

    def begin(self, method: str) -> None:
        """Note which method runs."""
        self._method = method

    def __call__(self, state: Iteration) -> None:
        """Log one iteration."""
        if state.iteration % self._every == 0 and self._logger.isEnabledFor(self._level):
            cells = []
            for name, title, _, form in _columns(state):
                value = state.products.total if name == "products" else getattr(state, name)
                cells.append(f"{title} {value:{form}}")
            self._logger.log(self._level, "%s: %s", self._method, ", ".join(cells))

    def finish(self, result: Result | None) -> None:
        """Log how the run ended."""
        if result is not None:
            self._logger.log(self._level, "%s: %s", self._method, result.message)


class Progress:
    """Show the iteration, the residual and the time on a line that renews itself.

    Uses rich, or tqdm if rich is not installed.

    Parameters
    ----------
    total : int, optional
        Iterations expected; without it the line shows no share.

    Raises
    ------
    ImportError
        If neither is installed.
    """

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._bar: _Bar | None = None
        self._make = _bar_maker()

    def begin(self, method: str) -> None:
        """Show the line."""
        self._bar = self._make(method, self._total)

    def __call__(self, state: Iteration) -> None:
        """Show one iteration."""
        if self._bar is None:
            self.begin("ritz")
        assert self._bar is not None
        if math.isnan(state.step_norm):
            self._bar.update(state.iteration, f"residual {state.residual:.3e}")
        else:
            self._bar.update(
                state.iteration, f"cost {state.cost:.6e}, gradient {state.gradient_norm:.2e}"
            )

    def finish(self, result: Result | None) -> None:
        """Leave the last line standing."""
        if self._bar is not None:
            self._bar.close("ended by an exception" if result is None else result.status.name)
            self._bar = None


class _Bar(ABC):
    @abstractmethod
    def update(self, iteration: int, text: str) -> None:
        """Show an iteration."""

    @abstractmethod
    def close(self, text: str) -> None:
        """Show the ending and let go of the terminal."""


class _RichBar(_Bar):
    def __init__(self, method: str, total: int | None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed} iterations, {task.fields[text]}"),
            TimeElapsedColumn(),
        )
        self._task = self._progress.add_task(method, total=total, text="")
        self._progress.start()

    def update(self, iteration: int, text: str) -> None:
        self._progress.update(self._task, completed=iteration, text=text)

    def close(self, text: str) -> None:
        self._progress.update(self._task, text=text)
        self._progress.stop()


class _TqdmBar(_Bar):
    def __init__(self, method: str, total: int | None) -> None:
        from tqdm import tqdm

        self._tqdm = tqdm(desc=method, total=total, unit="it")

    def update(self, iteration: int, text: str) -> None:
        self._tqdm.set_postfix_str(text, refresh=False)
        self._tqdm.update(iteration - self._tqdm.n)

    def close(self, text: str) -> None:
        self._tqdm.set_postfix_str(text)
        self._tqdm.close()


def _bar_maker() -> type[Any]:
    for package, bar in (("rich", _RichBar), ("tqdm", _TqdmBar)):
        try:
            __import__(package)
        except ImportError:
            continue
        return bar
    raise ImportError(
        "ritz.monitors.Progress draws with rich or tqdm: pip install rich, or use "
        "ritz.monitors.Lines()"
    )
