"""Animated pictures of episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from memup_lightning.callbacks.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, plot_style
from memup_lightning.rl.collectors.recorder import EpisodeRecord
from memup_lightning.typing import FloatArray

COLOURS = (GREEN, RED, SKY, ORANGE, PURPLE, BLUE)
_MAX_ENTRIES = 6  # of an observation that are drawn
_NUM_LAST = 10  # last steps, which are all shown
_DPI, _FPS = 80, 12


def save(record: EpisodeRecord, path: Path, frames: int) -> None:
    """Write the film.

    Args:
        record: the episode.
        path: of the ``.gif``.
        frames: pictures at most, and the last ten steps.
    """
    with plot_style():
        figure = Figure(figsize=(WIDTH, 4.6), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        panels = EpisodePanels(figure, record)
        pictures = []
        for step in shown_steps(len(record.reward), frames):
            panels.show(step)
            canvas.draw()
            figure.set_layout_engine("none")  # laid out once, so that all pictures have the same panels
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P"))
    durations = [1000 // _FPS] * (len(pictures) - 1) + [1000]  # the last picture is shown for a second
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def shown_steps(length: int, frames: int) -> list[int]:
    """Return the steps of the pictures: evenly spread ones, and the last ten."""
    early = np.linspace(0, length - 1, min(frames, length)).astype(int)
    return sorted({*early.tolist(), *range(max(0, length - _NUM_LAST), length)})


class EpisodePanels:
    """Panels of the film: observations up to a step, predicted outcomes of each action, the policy.

    Args:
        figure: an empty one.
        record: the episode.
    """

    def __init__(self, figure: Figure, record: EpisodeRecord) -> None:
        self.record = record
        self._moving: list[tuple[FloatArray, Line2D, Line2D]] = []
        self._now: list[Line2D] = []
        panels = figure.subplots(3 if record.predicted_outcome is not None else 2, 1, sharex=True)
        observation = record.observation[:, :_MAX_ENTRIES]
        self._curves(panels[0], observation, "observation", [f"entry {n}" for n in range(observation.shape[1])])
        names = [f"action {n}" for n in range(record.probability.shape[1])]
        if record.predicted_outcome is not None:
            self._curves(panels[1], record.predicted_outcome, "predicted outcome\nof each action", names)
        self._curves(panels[-1], record.probability, "policy", names)
        panels[-1].set_ylim(-0.05, 1.05)
        panels[-1].set_xlabel("step")
        panels[-1].set_xlim(0, max(len(record.reward) - 1, 1))
        self._title = panels[0].set_title(" ", loc="left")

    def _curves(self, axes: Axes, values: FloatArray, label: str, names: list[str]) -> None:
        for number, (column, name) in enumerate(zip(values.T, names, strict=True)):
            colour = COLOURS[number % len(COLOURS)]
            (line,) = axes.plot([], [], color=colour, label=name, linewidth=1.2)
            (head,) = axes.plot([], [], "o", color=colour, markersize=4, clip_on=False)
            self._moving.append((column, line, head))
        low, high = float(values.min()), float(values.max())
        room = 0.08 * (high - low or 1)
        axes.set_ylim(low - room, high + room)
        self._now.append(axes.axvline(0, color=GREY, linewidth=0.6, linestyle=":"))
        axes.set_ylabel(label)
        axes.legend(loc="upper left", ncols=len(names))

    def show(self, step: int) -> None:
        """Draw the episode up to a step."""
        for column, line, head in self._moving:
            line.set_data(np.arange(step + 1), column[: step + 1])
            head.set_data([step], [column[step]])
        for line in self._now:
            line.set_xdata([step, step])
        action, total = int(self.record.action[step]), float(self.record.reward[: step + 1].sum())
        length = len(self.record.reward)
        self._title.set_text(f"step {step} of {length}, action {action}, return so far {total:g}")
