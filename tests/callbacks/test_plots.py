"""What pictures show: the moment of the first targets, baselines in the colours of their methods, bands of seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from memup_lightning.callbacks.plots import style
from memup_lightning.callbacks.plots.episode import uncertainty
from memup_lightning.callbacks.plots.pictures import learning_curve, memory
from memup_lightning.callbacks.plots.timeline import Predictions, Timeline
from memup_lightning.callbacks.verdict.measuring.gain_curve import gain_curve
from tests.callbacks.made_runs import run, split


def colours(figure: Figure, panel: int) -> set[str]:
    return {to_hex(line.get_color()) for line in figure.axes[panel].lines}


def test_the_learning_curve_marks_the_first_targets_in_every_panel() -> None:
    history = [{"updates": float(n), "val/accuracy": 0.5, "val/mse": 1.0, "val/memory_gain": 0.1} for n in (100, 200)]
    figure = learning_curve(history, selected=150)
    assert len(figure.axes) == 3
    for axes in figure.axes:
        assert any(list(line.get_xdata()) == [150, 150] for line in axes.lines)
    assert not any(list(line.get_xdata()) == [150, 150] for line in learning_curve(history).axes[0].lines)


@pytest.mark.parametrize(("others", "name"), [({"val/mse": 1.0}, "within the tolerance"), ({}, "accuracy")])
def test_the_learning_curve_names_what_counts_as_right(others: dict[str, float], name: str) -> None:
    history = [{"updates": float(n), "val/accuracy": 0.5} | others for n in (100, 200)]
    (text,) = learning_curve(history).axes[0].get_legend().get_texts()
    assert text.get_text() == name


def drawn(figure: Figure, panel: int, colour: str) -> bool:
    """Whether pixels inside a panel have a colour."""
    figure.set_dpi(200)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    left, bottom, right, top = (int(x) for x in figure.axes[panel].get_window_extent().extents)
    pixels = np.asarray(canvas.buffer_rgba())[::-1][bottom : top + 10, left : right + 10, :3].astype(int)
    distance = np.abs(pixels - np.array(to_rgb(colour)) * 255).max(-1)
    return bool((distance < 8).any())


@pytest.mark.parametrize("evaluations", [1, 5, 60])
def test_curves_of_the_same_values_are_both_seen(evaluations: int) -> None:
    names = ("val/accuracy", "val/target_recall", "val/mse", "val/local_mse")
    history = [{"updates": float(n)} | dict.fromkeys(names, 1.0) for n in range(10, 10 * evaluations + 10, 10)]
    figure = learning_curve(history)
    for axes in figure.axes:
        axes.get_legend().remove()
    for panel, other in enumerate((style.TARGET, style.GREY)):
        assert drawn(figure, panel, style.METHODS["MemUP"])
        assert drawn(figure, panel, other)


def test_the_gains_of_both_splits_are_seen_where_they_are_the_same() -> None:
    figure = gain_curve(run(split(1.0, 1.0, 1.0), chunk_length=10_000))
    figure.axes[0].get_legend().remove()
    assert all(drawn(figure, 0, colour) for colour in (style.METHODS["MemUP"], style.SKY))


def shown_numbers(axes: Axes) -> list[Text]:
    low, high = axes.get_xlim()
    return [label for tick, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True) if low <= tick <= high]


def long_episode(steps: int = 1001) -> Timeline:
    followed = Predictions(steps - 1, np.linspace(0, 4, steps), 0.5, 3.5, 4.0)
    last = np.array([steps - 1])
    return Timeline(np.linspace(0, 1, steps), "u", last, last, 10, "outcome", [followed])


def test_the_marks_at_the_end_of_an_episode_are_whole() -> None:
    figure = uncertainty(long_episode())
    marks = [line for axes in figure.axes for line in axes.lines if line.get_marker() in ("o", "D")]
    assert len(marks) == 6  # target, evaluated step and outcome, in the whole episode and in its last steps
    assert not any(line.get_clip_on() for line in marks)


@pytest.mark.parametrize("steps", [200, 1001, 20_000, 1_000_000])
def test_the_numbers_below_neighbouring_columns_are_apart(steps: int) -> None:
    figure = uncertainty(long_episode(steps))
    FigureCanvasAgg(figure).draw()
    extents = [label.get_window_extent() for axes in figure.axes[-3:] for label in shown_numbers(axes)]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(sorted(extents, key=lambda x: x.x0))]
    assert len(gaps) > 5
    assert min(gaps) > 7 / 72 * figure.dpi  # two letters


def test_an_episode_shows_the_baseline_and_the_cue() -> None:
    steps = 40
    followed = Predictions(39, np.linspace(0, 4, steps), 0.5, 3.5, 4.0)
    timeline = Timeline(np.zeros(steps), "u", np.array([39]), np.array([39]), 10, "outcome", [followed])
    figure = uncertainty(timeline, {"TBPTT": np.full(steps, 0.5)}, cue=20)
    assert {x.lower() for x in (style.METHODS["MemUP"], style.METHODS["TBPTT"])} <= colours(figure, 1)
    assert any(list(line.get_xdata()) == [20, 20] for line in figure.axes[0].lines)


def test_the_picture_of_the_memory_has_all_three_methods() -> None:
    figure = memory(2000, 10, 4, {10: 1000, 64: 6400}, lambda x: 100 * x, 1000.0)
    assert {x.lower() for x in style.METHODS.values()} <= colours(figure, 0)


def test_a_run_that_ended_keeps_its_last_value_in_the_band_of_seeds() -> None:
    axes = Figure().subplots()
    style.draw_seeds(axes, [[(0, 0.0), (1, 1.0)], [(0, 0.0), (2, 0.5)]], style.BLUE, "replay")
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [0, 1, 2]
    assert line.get_ydata().tolist() == pytest.approx([0, 0.625, 0.75])
