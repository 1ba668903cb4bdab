"""How an episode is drawn as an animated picture."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from callbacks.episode_film import FloatArray, Played
from callbacks.pictures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, STYLE, WIDTH

COLOURS = (GREEN, RED, SKY, ORANGE, PURPLE, BLUE)
_ENTRIES = 6  # of an observation that are drawn
_LAST = 10  # steps that are all shown
_DPI = 80


def save(played: Played, path: Path, frames: int, fps: int) -> None:
    """Write the film.

    Args:
        played: the episode.
        path: of the ``.gif``.
        frames: pictures at most, and the last ten steps.
        fps: pictures a second.
    """
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        writer = PillowWriter(fps=fps)
        with writer.saving(figure, str(path), _DPI):
            for step in moments(len(played.reward), frames):
                draw(figure, played, step)
                writer.grab_frame()
            for _ in range(fps):  # the end stands for a second
                writer.grab_frame()


def moments(length: int, frames: int) -> list[int]:
    """The steps that are shown: evenly spread ones, and the last."""
    early = np.linspace(0, length - 1, min(frames, length)).astype(int)
    return sorted({*early.tolist(), *range(max(0, length - _LAST), length)})


def draw(figure: Figure, played: Played, step: int) -> None:
    """The episode as it stands at a step: what was seen until then, what is expected now, what is done."""
    figure.clear()
    panels = figure.subplots(3 if played.belief is not None else 2, 1, sharex=True)
    length = len(played.reward)
    many = played.observation.shape[1]
    _curves(
        panels[0], played.observation[:, :_ENTRIES], step, "observation", [f"entry {n}" for n in range(min(many, 6))]
    )
    names = [f"action {n}" for n in range(played.probability.shape[1])]
    if played.belief is not None:
        _curves(panels[1], played.belief, step, "belief: outcome\nof each action", names)
    _curves(panels[-1], played.probability, step, "policy", names)
    panels[-1].set_ylim(-0.05, 1.05)
    panels[-1].set_xlabel("step")
    panels[-1].set_xlim(0, max(length - 1, 1))
    taken, paid = int(played.action[step]), float(played.reward[: step + 1].sum())
    panels[0].set_title(f"step {step} of {length}, action {taken}, return so far {paid:g}", loc="left")


def _curves(axes: Axes, values: FloatArray, step: int, label: str, names: list[str]) -> None:
    for number, (column, name) in enumerate(zip(values.T, names, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(np.arange(step + 1), column[: step + 1], color=colour, label=name, linewidth=1.2)
        axes.plot(step, column[step], "o", color=colour, markersize=4, clip_on=False)
    low, high = float(values.min()), float(values.max())
    room = 0.08 * (high - low or 1)
    axes.set_ylim(low - room, high + room)
    axes.axvline(step, color=GREY, linewidth=0.6, linestyle=":")
    axes.set_ylabel(label)
    axes.legend(loc="upper left", ncols=len(names))
