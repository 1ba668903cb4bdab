"""How an episode is drawn as an animated picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from memup_lightning.callbacks.episode_film import FloatArray, Played
from memup_lightning.callbacks.plots.pictures import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, WIDTH, style

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
    with style():
        figure = Figure(figsize=(WIDTH, 4.6), dpi=_DPI, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        stage = Stage(figure, played)
        pictures = []
        for step in moments(len(played.reward), frames):
            stage.show(step)
            canvas.draw()  # type: ignore[no-untyped-call]
            figure.set_layout_engine("none")  # laid out once: every picture of the film has the same panels
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("P"))  # type: ignore[no-untyped-call]
    durations = [1000 // fps] * (len(pictures) - 1) + [1000]  # the end stands for a second
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def moments(length: int, frames: int) -> list[int]:
    """The steps that are shown: evenly spread ones, and the last."""
    early = np.linspace(0, length - 1, min(frames, length)).astype(int)
    return sorted({*early.tolist(), *range(max(0, length - _LAST), length)})


class Stage:
    """The panels of the film: what was seen until a step, what is expected then, what is done.

    Args:
        figure: an empty one.
        played: the episode.
    """

    def __init__(self, figure: Figure, played: Played) -> None:
        self.played = played
        self._moving: list[tuple[FloatArray, Line2D, Line2D]] = []
        self._now: list[Line2D] = []
        panels = figure.subplots(3 if played.belief is not None else 2, 1, sharex=True)
        seen = played.observation[:, :_ENTRIES]
        self._curves(panels[0], seen, "observation", [f"entry {n}" for n in range(seen.shape[1])])
        names = [f"action {n}" for n in range(played.probability.shape[1])]
        if played.belief is not None:
            self._curves(panels[1], played.belief, "belief: outcome\nof each action", names)
        self._curves(panels[-1], played.probability, "policy", names)
        panels[-1].set_ylim(-0.05, 1.05)
        panels[-1].set_xlabel("step")
        panels[-1].set_xlim(0, max(len(played.reward) - 1, 1))
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
        """The episode as it stands at a step."""
        for column, line, head in self._moving:
            line.set_data(np.arange(step + 1), column[: step + 1])
            head.set_data([step], [column[step]])
        for line in self._now:
            line.set_xdata([step, step])
        action, paid = int(self.played.action[step]), float(self.played.reward[: step + 1].sum())
        length = len(self.played.reward)
        self._title.set_text(f"step {step} of {length}, action {action}, return so far {paid:g}")
