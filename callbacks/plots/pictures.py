"""The pictures of a run: matplotlib figures, without pyplot and its global state.

Colours are those of Okabe & Ito, which colour-blind readers can tell apart. Sizes fit the width of two columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from memup_lightning.callbacks.plots.timeline import Timeline

BLUE, SKY, GREEN, ORANGE, RED, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#E69F00", "#D55E00", "#CC79A7"
GREY = "#666666"
WIDTH = 7.0  # inches
STYLE: dict[str, Any] = {
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
BELIEF_COLOURS = (GREEN, RED, SKY)
ZOOM = 30
"""Steps of a long episode that are shown enlarged."""
MAX_KINDS, SELDOM = 16, 0.005
"""Kinds of context that are shown, at most, and the share of the targets below which one is not."""
MAX_POINTS = 4000
"""A longer curve is drawn as the band between the least and the greatest value of every piece."""


def style() -> AbstractContextManager[None]:
    return mpl.rc_context(STYLE)  # type: ignore[arg-type]


def save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, in a folder that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with style():
        figure.savefig(path)


_UNITS = {"val/memory_gain": "memory gain (bits)", "val/return": "return"}


def learning_curve(history: Sequence[Mapping[str, float]]) -> Figure:
    """Accuracy and memory gain on validation episodes against updates; of an agent success and return.

    Args:
        history: one row an evaluation: ``updates`` and the metrics ``val/...``; at least one row.
    """
    below = [name for name in _UNITS if any(name in row for row in history)]
    with style():
        figure = Figure(figsize=(WIDTH, 2.2 + 1.4 * len(below)), layout="constrained")
        panels = figure.subplots(1 + len(below), 1, sharex=True, squeeze=False)[:, 0]
        recall = "target recall: share of the true steps that were selected"
        _curve(panels[0], history, "val/target_recall", ORANGE, "s", label=recall, linestyle="--")
        _curve(panels[0], history, "val/accuracy", BLUE, "o", label="accuracy")
        _curve(panels[0], history, "val/success", BLUE, "o", label="success: share of the episodes")
        panels[0].set_ylim(-0.04, 1.08)
        panels[0].set_ylabel("share")
        if panels[0].lines:
            panels[0].legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, reverse=True)
        for panel, name in zip(panels[1:], below, strict=True):
            _curve(panel, history, name, GREEN, "o")
            panel.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
            panel.set_ylabel(_UNITS[name])
        panels[-1].set_xlabel("updates")
        panels[-1].set_xlim(0, max(row["updates"] for row in history) * 1.03 or 1)
        _whole_numbers(panels[-1].xaxis, 7)
        figure.align_ylabels()
    return figure


def _curve(
    axes: Axes, history: Sequence[Mapping[str, float]], name: str, colour: str, marker: str, **style: Any
) -> None:
    points = [(row["updates"], row[name]) for row in history if name in row]
    if points:
        size = 4 if len(points) <= 40 else 0
        updates, values = zip(*points, strict=True)
        axes.plot(updates, values, color=colour, marker=marker, markersize=size, clip_on=False, **style)


def _whole_numbers(axis: Axis, ticks: int) -> None:
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], integer=True))


def uncertainty(timeline: Timeline) -> Figure:
    """One episode: uncertainty without memory, the targets it selects, what the memory knows of them over time.

    A long episode is shown whole, and beside that its first steps and those around the most uncertain target.
    """
    windows = _windows(timeline)
    with style():
        rows = 2 if timeline.beliefs else 1
        figure = Figure(figsize=(WIDTH, 2.1 * rows + 0.5), layout="constrained")
        panels = figure.subplots(
            rows,
            len(windows),
            sharey="row",
            sharex="col",
            squeeze=False,
            width_ratios=[1.0 if window.enlarged else 2.6 for window in windows],
        )
        for window, column in zip(windows, panels.T, strict=True):
            column[0].set_title(window.title, color=GREY)
            _uncertainty_panel(column[0], timeline, window)
            if timeline.beliefs:
                _belief_panel(column[1], timeline, window)
            margin = (0.08 if window.enlarged else 0.02) * (window.stop - window.start)
            column[-1].set_xlim(window.start - margin, window.stop - 1 + margin)
            _whole_numbers(column[-1].xaxis, 6 if not window.enlarged else 4 if window.stop < 10_000 else 2)
        for row in panels:
            row[0].margins(y=0.12)
        panels[0, 0].set_ylabel(timeline.score)
        if timeline.beliefs:
            panels[1, 0].set_ylabel(timeline.quantity)
        figure.supxlabel("step of the episode", fontsize=STYLE["axes.labelsize"])
        handles = _uncertainty_legend(timeline)
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), **TIGHT)
    return figure


def clusters(rows: Sequence[Mapping[str, Any]], unit: str) -> Figure:
    """Kinds of context: how uncertain each is, what the memory explains of it, how often it was chosen.

    Args:
        rows: those of :meth:`~memup_lightning.models.context_clusters.ContextClusters.summary`; clusters that were
        seldom chosen
        are left out.
        unit: of the uncertainty.
    """
    rows = [row for row in rows if row["share"] >= SELDOM][:MAX_KINDS][::-1]
    place, names = np.arange(len(rows)), [row["example"] for row in rows]
    with style():
        figure = Figure(figsize=(WIDTH, 0.22 * len(rows) + 0.9), layout="constrained")
        panels = figure.subplots(1, 3, sharey=True)
        gain, error = ([row[key] or 0 for row in rows] for key in ("gain", "error"))
        panels[0].barh(place, [row["uncertainty"] for row in rows], color=BLUE)
        panels[0].set_xlabel(f"uncertainty without\nmemory ({unit})")
        panels[1].barh(place, gain, xerr=error, color=GREEN, ecolor=GREY)
        panels[1].axvline(0, color=GREY, linewidth=0.8)
        panels[1].set_xlabel("explained by the\nmemory (bits)")
        panels[2].barh(place, [row["share"] for row in rows], color=ORANGE)
        panels[2].set_xlabel("share of\nthe targets")
        panels[0].set_yticks(place, [name if len(name) <= 40 else name[:37] + "..." for name in names], fontsize=7)
    return figure


class _Window(NamedTuple):
    """Steps that a column shows."""

    start: int
    stop: int
    title: str = ""
    enlarged: bool = False


def _windows(timeline: Timeline) -> list[_Window]:
    steps, marked = timeline.steps, timeline.targets if len(timeline.targets) else timeline.eval_mask
    if steps < 4 * ZOOM:
        return [_Window(0, steps)]
    windows = [_Window(0, ZOOM, f"first {ZOOM} steps", True), _Window(0, steps, f"the whole episode: {steps:,} steps")]
    if len(marked):
        centre = int(marked[np.nan_to_num(timeline.uncertainty[marked], nan=-np.inf).argmax()])
        start = min(centre - ZOOM * 2 // 3, steps - ZOOM)
        title = f"last {ZOOM} steps" if start == steps - ZOOM else f"around step {centre:,}"
        if start > 0:
            windows.append(_Window(start, start + ZOOM, title, True))
    return windows


def _uncertainty_panel(axes: Axes, timeline: Timeline, window: _Window) -> None:
    values = timeline.uncertainty
    _chunk(axes, timeline)
    _line(axes, values, window, color=BLUE)
    eval_mask, targets = (
        at[(at >= window.start) & (at < window.stop)] for at in (timeline.eval_mask, timeline.targets)
    )
    axes.plot(eval_mask, values[eval_mask], "o", color=RED, markersize=9, fillstyle="none", zorder=4)
    axes.plot(targets, values[targets], "o", color=ORANGE, markersize=5, zorder=3)


def _belief_panel(axes: Axes, timeline: Timeline, window: _Window) -> None:
    _chunk(axes, timeline)
    for colour, belief in zip(BELIEF_COLOURS, timeline.beliefs, strict=False):
        _line(axes, belief.with_memory, window, color=colour)
        axes.axhline(belief.without_memory, color=colour, linestyle="--", linewidth=1.2)
        if belief.spread is not None and len(timeline.beliefs) == 1:
            low, high = belief.without_memory - belief.spread, belief.without_memory + belief.spread
            axes.axhspan(low, high, color=GREY, alpha=0.15, linewidth=0)
        if belief.truth is not None and window.start <= belief.step < window.stop:
            axes.plot(belief.step, belief.truth, marker="D", markersize=5, color="black", zorder=4)


def _chunk(axes: Axes, timeline: Timeline) -> None:
    axes.axvspan(-0.5, min(timeline.chunk_length, timeline.steps) - 0.5, color=PURPLE, alpha=0.4, linewidth=0)


def _uncertainty_legend(timeline: Timeline) -> list[Artist]:
    def point(colour: str, label: str, **style: Any) -> Line2D:
        return Line2D([], [], color=colour, linestyle="", label=label, **style)

    handles: list[Artist] = [Line2D([], [], color=BLUE, label=timeline.score.split()[0])]
    if count := len(timeline.targets):
        handles.append(point(ORANGE, "selected target" if count == 1 else f"{count} selected targets", marker="o"))
    if count := len(timeline.eval_mask):
        label = "true step (evaluated)" if count == 1 else f"{count} true steps (evaluated)"
        handles.append(point(RED, label, marker="o", markersize=9, fillstyle="none"))
    handles.append(Patch(color=PURPLE, alpha=0.4, linewidth=0, label=f"one chunk: r = {timeline.chunk_length} steps"))
    for colour, belief in zip(BELIEF_COLOURS, timeline.beliefs, strict=False):
        handles.append(Line2D([], [], color=colour, label=f"step {belief.step:,}, with memory $m_t$"))
    if timeline.beliefs:
        alone = BELIEF_COLOURS[0] if len(timeline.beliefs) == 1 else GREY
        handles.append(Line2D([], [], color=alone, linestyle="--", linewidth=1.2, label="without memory"))
        if len(timeline.beliefs) == 1 and timeline.beliefs[0].spread is not None:
            handles.append(Patch(color=GREY, alpha=0.15, linewidth=0, label="its standard deviation"))
    if any(belief.truth is not None for belief in timeline.beliefs):
        handles.append(point("black", "true outcome", marker="D", markersize=5))
    return handles


def frames(timeline: Timeline) -> Figure:
    """What an episode looks like where it is uncertain: its frames, those of selected targets with a frame of their own.

    Args:
        timeline: with at least one frame.
    """
    columns = min(5, len(timeline.frames))
    rows = -(-len(timeline.frames) // columns)
    height, width = timeline.frames[0].image.shape[:2]
    with style():
        figure = Figure(figsize=(WIDTH, rows * (WIDTH / columns * height / width + 0.35) + 0.4), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels[len(timeline.frames) :]:
            axes.set_axis_off()
        for axes, frame in zip(panels, timeline.frames, strict=False):
            axes.imshow(frame.image, cmap="gray", interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"step {frame.step:,}: {timeline.uncertainty[frame.step]:.2f}", fontsize=8)
            for spine in axes.spines.values():
                spine.set(
                    visible=True, color=ORANGE if frame.selected else GREY, linewidth=3 if frame.selected else 0.8
                )
        handles = [
            Patch(facecolor="none", edgecolor=ORANGE, linewidth=3, label="selected target"),
            Patch(facecolor="none", edgecolor=GREY, label="not selected"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2, **TIGHT)
        figure.text(0.99, 0.99, timeline.score.replace("\n", " "), ha="right", va="top", fontsize=8, color=GREY)
    return figure


def _line(axes: Axes, values: npt.NDArray[np.float64], window: _Window, **style: Any) -> None:
    """A curve over the window's steps; where there are too many, the band that it fills."""
    values = values[window.start : window.stop]
    piece = -(-len(values) // MAX_POINTS)
    if piece == 1:
        axes.plot(np.arange(window.start, window.stop), values, **style)
        return
    padded = np.concatenate([values, np.full(-len(values) % piece, np.nan)]).reshape(-1, piece)
    padded = padded[~np.isnan(padded).all(1)]
    at = np.repeat(np.arange(len(padded)) * piece, 2)
    axes.plot(at, np.stack([np.nanmin(padded, 1), np.nanmax(padded, 1)], 1).ravel(), **style)


def memory(
    saved: int,
    chunk_length: int,
    lanes: int,
    measured: Mapping[int, int],
    line: Callable[[float], float],
    length: float,
) -> Figure:
    """Bytes stored for the backward pass of one training step against episode length.

    Args:
        saved: bytes that the run's training step saved.
        chunk_length: r; no shorter episode is drawn.
        lanes: B.
        measured: bytes that full BPTT saved, by number of steps.
        line: bytes of full BPTT at any length, on the line through what was measured.
        length: mean length of this run's episodes.
    """
    with style():
        figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
        axes = figure.subplots()
        longest = max(measured)
        right = 10 ** np.ceil(np.log10(max(length, longest) * 3))
        low = max(1, min(min(measured), chunk_length, length))
        beyond = np.geomspace(longest, right, 50)
        points: dict[str, Any] = {"marker": "o", "markersize": 5, "clip_on": False, "zorder": 3}
        axes.plot(*zip(*measured.items(), strict=True), color=RED, label="full BPTT, measured", **points)
        axes.plot(beyond, [line(x) for x in beyond], color=RED, linestyle="--", label="full BPTT, extrapolated")
        ours = f"this run, measured (chunks of {chunk_length} steps)"
        axes.plot([low, right], [saved, saved], color=BLUE, label=ours)
        axes.plot(length, saved, color=BLUE, marker="o", markersize=6)
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
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    return figure


def readable_bytes(size: float) -> str:
    """``2.1 MB`` for 2,100,000; powers of ten."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}"
