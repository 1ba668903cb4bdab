"""Style of all pictures: colours, sizes, and how a figure is written. No pyplot, so no global state.

Colours are those of Okabe & Ito, which colour-blind readers can distinguish. Sizes fit the width of two columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#666666"
METHODS = {"MemUP": BLUE, "TBPTT": ORANGE, "BPTT": RED}
"""Colours of the training methods, and of agents with a memory that was trained so; the same in every picture."""
TARGET, CHUNK = PURPLE, SKY
POINT: dict[str, Any] = {"marker": "o", "markersize": 4, "clip_on": False}
"""A measured point of a curve. All have one size."""
OPEN_POINT: dict[str, Any] = {"marker": "o", "markersize": 8, "fillstyle": "none", "clip_on": False, "zorder": 3}
"""A point of a curve that may coincide with another one: a ring around it, so that both are seen. Its line is dashed."""
WIDTH = 7.0  # inches
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "savefig.dpi": 200,
}
TIGHT: dict[str, Any] = {"columnspacing": 1.2, "handlelength": 1.6, "handletextpad": 0.6}


def plot_style() -> AbstractContextManager[None]:
    """Return a context in which figures have this style."""
    return mpl.rc_context(STYLE)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, in a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with plot_style():
        figure.savefig(path)


def draw_seeds(axes: Axes, curves: Sequence[Sequence[tuple[float, float]]], colour: str, label: str) -> None:
    """Draw the median of the runs with several seeds, and the band between the lowest and the highest.

    Args:
        axes: where to draw.
        curves: points ``(x, y)`` of each run; one that ended before the others, since it had learned, keeps its last y.
        colour: of line and band.
        label: of the legend.
    """
    x = np.unique([point[0] for curve in curves for point in curve])
    x = x[x >= max(curve[0][0] for curve in curves)]
    y = np.stack([np.interp(x, [point[0] for point in curve], [point[1] for point in curve]) for curve in curves])
    axes.plot(x, np.median(y, axis=0), color=colour, label=label)
    axes.fill_between(x, y.min(0), y.max(0), color=colour, alpha=0.2, linewidth=0)


def whole_numbers(axis: Axis, ticks: int) -> None:
    """Let an axis have at most so many ticks, at whole numbers."""
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))


def readable_bytes(size: float) -> str:
    """Format a number of bytes in powers of ten, such as ``2.1 MB`` for 2,100,000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
