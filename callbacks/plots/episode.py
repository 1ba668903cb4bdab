"""Pictures of one episode: uncertainty, targets, predictions from the memory over time, frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from memup_lightning.callbacks.plots.style import (
    CHUNK,
    GREEN,
    GREY,
    METHODS,
    RED,
    STYLE,
    TARGET,
    TIGHT,
    WIDTH,
    plot_style,
    whole_numbers,
)
from memup_lightning.callbacks.plots.timeline import Timeline

PREDICTION_COLOURS = (METHODS["MemUP"], GREEN, RED)
ZOOM = 30
"""Steps of a long episode that are shown enlarged."""
MAX_POINTS = 4000
"""A longer curve is drawn as the band between the least and the greatest value of every piece."""


def uncertainty(
    timeline: Timeline, baselines: Mapping[str, npt.NDArray[np.float64]] | None = None, cue: int | None = None
) -> Figure:
    """Draw one episode: uncertainty without memory, selected targets, and predictions from the memory over time.

    A long episode is shown whole, then its first steps and those around the most uncertain target.

    Args:
        timeline: of the episode.
        baselines: method -> its predictions of the first predicted step, for every state, ``[steps]``.
        cue: step at which the task shows what must be remembered; None: unknown. Then nothing is shown enlarged.
    """
    windows = _windows(timeline) if cue is None else [_Window(0, timeline.steps)]
    with plot_style():
        rows = 2 if timeline.predictions else 1
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
            if timeline.predictions:
                _prediction_panel(column[1], timeline, window)
                for method, values in (baselines or {}).items():
                    _line(column[1], values, window, color=METHODS[method])
            for panel in column if cue is not None else ():
                panel.axvline(cue, color=GREEN, linestyle="--", linewidth=1.2)
            margin = (0.08 if window.enlarged else 0.02) * (window.stop - window.start)
            column[-1].set_xlim(window.start - margin, window.stop - 1 + margin)
            whole_numbers(column[-1].xaxis, _ticks(window))
        for row in panels:
            row[0].margins(y=0.12)
        panels[0, 0].set_ylabel(timeline.score)
        if timeline.predictions:
            panels[1, 0].set_ylabel(timeline.quantity)
        figure.supxlabel("step of the episode", fontsize=STYLE["axes.labelsize"])
        handles = _uncertainty_legend(timeline)
        handles += [Line2D([], [], color=METHODS[x], label=f"memory trained by {x}") for x in baselines or {}]
        if cue is not None:
            handles.append(Line2D([], [], color=GREEN, linestyle="--", linewidth=1.2, label="cue"))
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), **TIGHT)
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


def _ticks(window: _Window) -> int:
    """Return how many ticks have room: the longer the numbers of a narrow column, the fewer."""
    if not window.enlarged:
        return 6
    return 4 if window.stop < 1000 else 2


def _uncertainty_panel(axes: Axes, timeline: Timeline, window: _Window) -> None:
    values = timeline.uncertainty
    _chunk(axes, timeline)
    _line(axes, values, window, color=GREY)
    marks: list[tuple[Any, dict[str, Any]]] = [
        (timeline.eval_mask, {"color": "black", "markersize": 9, "fillstyle": "none", "zorder": 4}),
        (timeline.targets, {"color": TARGET, "markersize": 5, "zorder": 3}),
    ]
    for steps, style in marks:
        steps = steps[(steps >= window.start) & (steps < window.stop)]
        if len(steps):  # an empty line that is not clipped upsets the layout
            # Not clipped: most are at the end of an episode, and half of such a mark would be cut.
            axes.plot(steps, values[steps], linestyle="", marker="o", clip_on=False, **style)


def _prediction_panel(axes: Axes, timeline: Timeline, window: _Window) -> None:
    _chunk(axes, timeline)
    for colour, prediction in zip(PREDICTION_COLOURS, timeline.predictions, strict=False):
        _line(axes, prediction.with_memory, window, color=colour)
        axes.axhline(prediction.without_memory, color=_without(timeline, colour), linestyle="--", linewidth=1.2)
        if prediction.spread is not None and len(timeline.predictions) == 1:
            low, high = prediction.without_memory - prediction.spread, prediction.without_memory + prediction.spread
            axes.axhspan(low, high, color=GREY, alpha=0.15, linewidth=0)
        if prediction.truth is not None and window.start <= prediction.step < window.stop:
            axes.plot(
                prediction.step, prediction.truth, marker="D", markersize=5, color="black", zorder=4, clip_on=False
            )


def _chunk(axes: Axes, timeline: Timeline) -> None:
    axes.axvspan(-0.5, min(timeline.chunk_length, timeline.steps) - 0.5, color=CHUNK, alpha=0.4, linewidth=0)


def _without(timeline: Timeline, colour: str) -> str:
    return GREY if len(timeline.predictions) == 1 else colour


def _uncertainty_legend(timeline: Timeline) -> list[Artist]:
    def point(colour: str, label: str, **style: Any) -> Line2D:
        return Line2D([], [], color=colour, linestyle="", label=label, **style)

    handles: list[Artist] = [Line2D([], [], color=GREY, label=timeline.score.split()[0])]
    if count := len(timeline.targets):
        handles.append(point(TARGET, "selected target" if count == 1 else f"{count} selected targets", marker="o"))
    if count := len(timeline.eval_mask):
        label = "evaluated step" if count == 1 else f"{count} evaluated steps"
        handles.append(point("black", label, marker="o", markersize=9, fillstyle="none"))
    handles.append(Patch(color=CHUNK, alpha=0.4, linewidth=0, label=f"one chunk: r = {timeline.chunk_length} steps"))
    for colour, prediction in zip(PREDICTION_COLOURS, timeline.predictions, strict=False):
        handles.append(Line2D([], [], color=colour, label=f"step {prediction.step:,}, from memory $m_t$"))
    if timeline.predictions:
        handles.append(Line2D([], [], color=GREY, linestyle="--", linewidth=1.2, label="without memory"))
        if len(timeline.predictions) == 1 and timeline.predictions[0].spread is not None:
            handles.append(Patch(color=GREY, alpha=0.15, linewidth=0, label="± 1 standard deviation"))
    if any(prediction.truth is not None for prediction in timeline.predictions):
        handles.append(point("black", "true outcome", marker="D", markersize=5))
    return handles


def frames(timeline: Timeline) -> Figure:
    """Draw frames of an episode where it is uncertain; those of selected targets have a border.

    Args:
        timeline: with at least one frame.
    """
    columns = min(5, len(timeline.frames))
    rows = -(-len(timeline.frames) // columns)
    height, width = timeline.frames[0].image.shape[:2]
    with plot_style():
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
                    visible=True, color=TARGET if frame.selected else GREY, linewidth=3 if frame.selected else 0.8
                )
        handles = [
            Patch(facecolor="none", edgecolor=TARGET, linewidth=3, label="selected target"),
            Patch(facecolor="none", edgecolor=GREY, label="not selected"),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=2, **TIGHT)
        figure.text(0.99, 0.99, timeline.score.replace("\n", " "), ha="right", va="top", fontsize=8, color=GREY)
    return figure


def _line(axes: Axes, values: npt.NDArray[np.float64], window: _Window, **style: Any) -> None:
    """Draw a curve over the window's steps; where there are too many, the band that it fills."""
    values = values[window.start : window.stop]
    piece = -(-len(values) // MAX_POINTS)
    if piece == 1:
        axes.plot(np.arange(window.start, window.stop), values, **style)
        return
    padded = np.concatenate([values, np.full(-len(values) % piece, np.nan)]).reshape(-1, piece)
    padded = padded[~np.isnan(padded).all(1)]
    at = np.repeat(np.arange(len(padded)) * piece, 2)
    axes.plot(at, np.stack([np.nanmin(padded, 1), np.nanmax(padded, 1)], 1).ravel(), **style)
