"""What pictures show: the moment of the first targets, baselines in the colours of their methods, bands of seeds."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from memup_lightning.callbacks.plots import style
from memup_lightning.callbacks.plots.episode import uncertainty
from memup_lightning.callbacks.plots.pictures import learning_curve, memory
from memup_lightning.callbacks.plots.timeline import Predictions, Timeline


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
