"""Picture of the memory gain against the distance between the state and its outcome."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from memup_lightning.callbacks.plots.style import GREY, METHODS, OPEN_POINT, POINT, SKY, WIDTH, plot_style
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.exceptions import counted


def gain_curve(run: Measurements) -> Figure:
    """Draw the gain in bits against the distance, for validation and training episodes, with its interval.

    Args:
        run: its measurements; at least one split was measured.
    """
    with plot_style():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        axes = figure.subplots()
        longest = 1
        for split, label, colour, line, point in (
            (run.val, "validation", METHODS["MemUP"], "-", POINT),
            (run.train, "training", SKY, "--", OPEN_POINT),
        ):
            if split is None:
                continue
            x = np.array([_place(x.distance) for x in split.curve])
            mean, low, high = np.array([x.gain for x in split.curve]).T
            axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
            name = f"{label} ({counted(split.episodes, 'episode')})" if split.episodes else label
            axes.plot(x, mean, color=colour, linestyle=line, label=name, **point)
            longest = max(longest, split.curve[-1].distance)
        if run.data.outcome == "class" and run.val is not None:
            axes.axhline(run.val.surprise, color=GREY, linewidth=0.8, linestyle=":", label="all that is uncertain")
        axes.axhline(0, color=GREY, linewidth=0.8)
        if run.chunk_length < longest:
            label = f"chunk length: {counted(run.chunk_length, 'step')}"
            axes.axvline(_place(run.chunk_length), color=GREY, linewidth=0.8, linestyle="--", label=label)
        powers = [0, *(1 << n for n in range(longest.bit_length()))]
        shown = powers if len(powers) <= 11 else [0, *powers[1::2]]
        axes.xaxis.set_major_locator(FixedLocator([_place(x) for x in shown]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{2 ** (x - 1) if x else 0:,.0f}"))
        axes.set_xlabel("steps between the state of the memory and the outcome")
        axes.set_ylabel("memory gain (bits)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure


def _place(distance: float) -> float:
    """Return where a distance is drawn: 0 at 0, 1 at 1, and so on by powers of two."""
    return float(np.log2(distance) + 1) if distance else 0.0
