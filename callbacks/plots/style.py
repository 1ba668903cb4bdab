"""Style of all pictures: colours, sizes, and how a figure is written. No pyplot, so no global state.

Colours are those of Okabe & Ito, which colour-blind readers can distinguish. Sizes fit the width of two columns.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#666666"
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
    return mpl.rc_context(STYLE)


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, in a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with plot_style():
        figure.savefig(path)


def whole_numbers(axis: Axis, ticks: int) -> None:
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))


def readable_bytes(size: float) -> str:
    """Format a number of bytes in powers of ten, such as ``2.1 MB`` for 2,100,000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
