"""Pictures of an episode: every type of outcome, the timeline, the images of uncertain steps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.callbacks import MemoryUsage, RunReport
from memup_lightning.callbacks.plots import episode as episode_plots
from memup_lightning.callbacks.plots import style
from memup_lightning.callbacks.plots.timeline import FRAME_GAP, MAX_FRAMES, follow_episode
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.models.encoders import SmallImageEncoder, StepEncoder
from memup_lightning.models.outcomes import QuantileOutcome
from memup_lightning.models.uncertainty import AverageSurprise, LocalPredictor
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.callbacks.reported_runs import PICTURES, fit, is_a_picture, maze

pytestmark = pytest.mark.filterwarnings("error:RunReport")


class Copy(EpisodeDataModule):
    """Symbols at the beginning are asked for at the end."""

    eval_mask = True

    @property
    def task(self) -> TaskSpec:
        return TaskSpec(
            fields={"symbol": FieldSpec((), "int32", "token", 5), "clock": FieldSpec()},
            inputs={"symbol": 0},
            context=("clock", "symbol"),
            outcome=FieldSpec((), "int64", "token", 4),
        )

    def episodes(self, split: str) -> EpisodeSource:
        episodes, steps, symbols = 16, 140, 3
        symbol = np.full((episodes, steps), 4, np.int32)
        outcome = np.zeros((episodes, steps), np.int64)
        clock = np.zeros((episodes, steps), np.float32)
        symbol[:, :symbols] = outcome[:, -symbols:] = np.random.default_rng(0).integers(0, 4, (episodes, symbols))
        clock[:, -symbols:] = np.arange(1, symbols + 1)
        arrays: dict[str, Any] = {"symbol": symbol.ravel(), "clock": clock.ravel(), OUTCOME: outcome.ravel()}
        fields = {**self.task.fields, OUTCOME: self.task.outcome, EVAL_MASK: FieldSpec((), "bool")}
        if self.eval_mask:
            arrays[EVAL_MASK] = (clock > 0).ravel()
        return ArrayEpisodes(arrays, [steps] * episodes, fields)


class UnjudgedCopy(Copy):
    eval_mask = False


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (lambda: Copy(lanes=8, selector=TopK(3)), {}),
        (lambda: UnjudgedCopy(lanes=8, selector=TopK(4)), {"uncertainty": AverageSurprise()}),
        (lambda: maze(130, selector=TopK(2)), {"outcome": QuantileOutcome}),
    ],
    ids=["classes, K=3", "classes, no evaluated steps, K=4", "quantiles, K=2"],
)
def test_every_type_of_outcome_is_drawn(tmp_path: Path, data: Any, model: dict[str, Any]) -> None:
    fit(tmp_path, data(), [MemoryUsage(), RunReport()], steps=20, **model)
    for name in PICTURES:
        assert is_a_picture(tmp_path / name), name


def test_the_timeline_shows_what_the_memory_says_at_every_step_up_to_the_target() -> None:
    data = maze()
    data.setup("fit")
    data.splits["train"].targets.num_refreshes = 1
    model = MemUP(data.task)
    line = follow_episode(model, data)
    length = int(data.sources["val"].lengths[0])
    assert line.steps == length
    assert line.eval_mask.tolist() == [length - 1]
    (prediction,) = line.predictions
    assert [prediction.step] == line.targets.tolist()
    assert line.uncertainty[prediction.step] == np.nanmax(line.uncertainty)
    assert np.isfinite(prediction.with_memory[: prediction.step + 1]).all()
    assert np.isnan(prediction.with_memory[prediction.step + 1 :]).all()
    assert model.training


class Seen(Copy):
    """Every step looks like its own number."""

    @property
    def task(self) -> TaskSpec:
        look = FieldSpec((16, 20, 3), "uint8", "image")
        return replace(super().task, fields={**super().task.fields, "look": look}, context=("clock", "look"))

    def episodes(self, split: str) -> EpisodeSource:
        source = super().episodes(split)
        assert isinstance(source, ArrayEpisodes)
        step = np.tile(np.arange(140, dtype=np.uint8), len(source))
        arrays = {**source.arrays, "look": np.broadcast_to(step[:, None, None, None], (len(step), 16, 20, 3)).copy()}
        return ArrayEpisodes(arrays, source.lengths, {**source.fields, "look": self.task.fields["look"]})


def test_the_timeline_keeps_the_images_of_uncertain_steps(tmp_path: Path) -> None:
    data = Seen(lanes=8, selector=TopK(3))
    data.setup("fit")
    data.splits["train"].targets.num_refreshes = 1
    encoder = partial(StepEncoder, image=SmallImageEncoder)
    local = partial(LocalPredictor, image=SmallImageEncoder)
    line = follow_episode(MemUP(data.task, encoder=encoder, context_encoder=encoder, local=local), data)
    steps = [frame.step for frame in line.frames]
    assert steps[0] == 0
    assert len(steps) == MAX_FRAMES
    assert min(np.diff(steps)) >= FRAME_GAP
    assert int(np.nanargmax(line.uncertainty)) in steps
    for frame in line.frames:
        assert (frame.image == frame.step).all()
        assert frame.selected == (frame.step in line.targets)
    style.save(episode_plots.frames(line), tmp_path / "frames.png")
    assert is_a_picture(tmp_path / "frames.png")
