"""Pictures of a run: learning curve, context clusters, memory of a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from memup_lightning.callbacks.metrics import accuracy_name
from memup_lightning.callbacks.plots.style import (
    GREY,
    METHODS,
    OPEN_POINT,
    POINT,
    TARGET,
    WIDTH,
    plot_style,
    readable_bytes,
    whole_numbers,
)

MAX_CLUSTERS, MIN_SHARE = 16, 0.005
"""Context clusters that are shown, at most, and the share of the targets below which one is not."""
_UNITS = {"val/mse": "mean squared error", "val/memory_gain": "memory gain (bits)", "val/return": "return"}


def learning_curve(history: Sequence[Mapping[str, float]], selected: int | None = None) -> Figure:
    """Draw accuracy (of numbers the share within the tolerance), squared error and memory gain on validation episodes
    against updates; of an agent success and return.

    Args:
        history: one row an evaluation: ``updates`` and the metrics ``val/...``; at least one row.
        selected: update at which the first targets were selected; None: unknown, or none were.
    """
    ours = METHODS["MemUP"]
    below = [name for name in _UNITS if any(name in row for row in history)]
    with plot_style():
        figure = Figure(figsize=(WIDTH, 2.2 + 1.4 * len(below)), layout="constrained")
        panels = figure.subplots(1 + len(below), 1, sharex=True, squeeze=False)[:, 0]
        recall = "target recall: share of the evaluated steps that are targets"
        _curve(panels[0], history, "val/target_recall", TARGET, OPEN_POINT, label=recall, linestyle="--")
        _curve(panels[0], history, "val/accuracy", ours, label=accuracy_name({name for row in history for name in row}))
        _curve(panels[0], history, "val/success", ours, label="success: share of the episodes")
        for panel in panels if selected is not None else ():
            label = f"first targets selected, at update {selected:,}" if panel is panels[0] else None
            panel.axvline(float(selected or 0), color=TARGET, linewidth=1, linestyle=":", label=label)
        panels[0].set_ylim(-0.04, 1.08)
        panels[0].set_ylabel("share")
        if panels[0].lines:
            panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, reverse=True)
        for panel, name in zip(panels[1:], below, strict=True):
            _curve(panel, history, name, ours, label="with memory" if name == "val/mse" else None)
            panel.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
            if name == "val/mse":
                _curve(panel, history, "val/local_mse", GREY, OPEN_POINT, linestyle="--", label="without memory")
                panel.legend(loc="best")
            panel.set_ylabel(_UNITS[name])
        panels[-1].set_xlabel("updates")
        panels[-1].set_xlim(0, max(row["updates"] for row in history) * 1.03 or 1)
        whole_numbers(panels[-1].xaxis, 7)
        figure.align_ylabels()
    return figure


def _curve(
    axes: Axes,
    history: Sequence[Mapping[str, float]],
    name: str,
    colour: str,
    point: Mapping[str, Any] = POINT,
    **style: Any,
) -> None:
    points = [(row["updates"], row[name]) for row in history if name in row]
    if points:
        updates, values = zip(*points, strict=True)
        shown = dict(point)
        if len(points) > 40:
            shown["marker"] = ""
        axes.plot(updates, values, color=colour, **shown, **style)


def clusters(rows: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    """Draw the context clusters: uncertainty, memory gain and share of the targets of each.

    Args:
        rows: those of :meth:`~memup_lightning.models.context_clusters.ContextClusters.summary`; clusters that were
        seldom chosen
        are left out.
        unit: of the uncertainty.
    """
    rows = [row for row in rows if row["share"] >= MIN_SHARE][:MAX_CLUSTERS][::-1]
    place, names = np.arange(len(rows)), [row["example"] for row in rows]
    with plot_style():
        figure = Figure(figsize=(WIDTH, 0.22 * len(rows) + 0.9), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        gain, error = ([row[key] or 0 for row in rows] for key in ("gain", "error"))
        panels[0].barh(place, [row["uncertainty"] for row in rows], color=GREY)
        panels[0].set_xlabel(f"uncertainty without\nmemory ({unit})")
        panels[1].barh(place, gain, xerr=error, color=METHODS["MemUP"], ecolor=GREY)
        panels[1].axvline(0, color=GREY, linewidth=0.8)
        panels[1].set_xlabel("explained by the\nmemory (bits)")
        panels[2].barh(place, [row["share"] for row in rows], color=TARGET)
        panels[2].set_xlabel("share of\nthe targets")
        panels[0].set_yticks(place, [name if len(name) <= 40 else name[:37] + "..." for name in names], fontsize=7)
    return figure


def memory(
    saved: int,
    chunk_length: int,
    lanes: int,
    measured: Mapping[int, int],
    line: Callable[[float], float],
    length: float,
) -> Figure:
    """Draw the bytes stored for the backward pass of a training step against episode length.

    Args:
        saved: bytes that the run's training step saved.
        chunk_length: r; no shorter episode is drawn.
        lanes: B.
        measured: bytes that full BPTT saved, by number of steps.
        line: bytes of full BPTT at any length, on the line through what was measured.
        length: mean length of this run's episodes.
    """
    with plot_style():
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        longest = max(measured)
        right = 10 ** np.ceil(np.log10(max(length, longest) * 3))
        low = max(1, min(min(measured), chunk_length, length))
        beyond = np.geomspace(longest, right, 50)
        full = METHODS["BPTT"]
        axes.plot(*zip(*measured.items(), strict=True), color=full, label="full BPTT", zorder=3, **POINT)
        axes.plot(beyond, [line(x) for x in beyond], color=full, linestyle="--", label="extrapolated")
        if chunk_length in measured:
            truncated = measured[chunk_length]
            axes.plot([low, right], [truncated, truncated], color=METHODS["TBPTT"], label="truncated BPTT")
        label = f"this run (chunks of {chunk_length} steps)"
        axes.plot([low, right], [saved, saved], color=METHODS["MemUP"], label=label)
        axes.plot(length, saved, color=METHODS["MemUP"], **POINT)
        axes.axvline(length, color=GREY, linestyle=":", linewidth=1)
        axes.set(xscale="log", yscale="log", xlim=(low, right))
        axes.set_xlabel("episode length (steps)")
        axes.set_ylabel(f"saved for the backward pass\nof a step of {lanes} lanes (bytes)")
        for axis, form in ((axes.xaxis, "{:,.0f}".format), (axes.yaxis, readable_bytes)):
            axis.set_major_formatter(FuncFormatter(lambda x, _, form=form: form(x)))
        ratio = line(length) / saved
        if ratio >= 2:
            arrow = {"arrowstyle": "<->", "color": GREY, "shrinkA": 4}
            axes.annotate("", (length, line(length)), (length, saved), arrowprops=arrow)
            text = f" {ratio:,.{0 if ratio >= 10 else 1}f} times less\n at {length:,.0f} steps"
            axes.annotate(text, (length, float(np.sqrt(line(length) * saved))), va="center")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4)
    return figure
