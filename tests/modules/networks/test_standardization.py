"""Training does not depend on the units of the data; a run keeps the statistics that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, seed_everything

from memup_lightning.callbacks import InitialWeights, TargetRefresh
from memup_lightning.data.episodes import OUTCOME, EpisodeSource
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.models.outcomes import QuantileOutcome
from memup_lightning.models.uncertainty import AverageSurprise
from memup_lightning.modules import MemUP
from memup_lightning.typing import Arrays, IntArray, Split
from tests.training import quiet_trainer


class InUnit(EpisodeSource):
    """Episodes of another source, some of whose fields are multiplied."""

    def __init__(self, source: EpisodeSource, factors: dict[str, float]) -> None:
        self.source, self.factors = source, factors
        self.fields, self.lengths = source.fields, source.lengths

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        return self._scaled(self.source.read(episode, start, stop))

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        return self._scaled(self.source.gather(episodes, starts, steps, names))

    def _scaled(self, arrays: Arrays) -> Arrays:
        return {name: x * np.float32(self.factors[name]) if name in self.factors else x for name, x in arrays.items()}


class ScaledMaze(TMazeDataModule):
    def __init__(self, reward: float = 1.0, observation: float = 1.0) -> None:
        super().__init__(
            length=20, num_train=32, num_val=8, num_test=8, chunk_length=5, lanes=8, chunks_per_epoch=20, seed=1
        )
        self.factors = {"reward": reward, OUTCOME: reward, "observation": observation}

    def episodes(self, split: Split) -> EpisodeSource:
        return InUnit(super().episodes(split), self.factors)


class Curve(Callback):
    def __init__(self) -> None:
        self.losses: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *args: Any) -> None:
        self.losses.append(torch.stack([outputs["local_loss"], outputs["memory_loss"]]))


def run(
    data: ScaledMaze, *callbacks: Callback, updates: int = 15, ckpt: Path | None = None, **model: Any
) -> tuple[MemUP, Any, torch.Tensor]:
    """Train a small model; every run begins with the same weights."""
    seed_everything(1)
    learner = MemUP(data.task, memory=partial(LSTM, hidden_size=8), **model)
    curve = Curve()
    trainer = quiet_trainer(
        updates, [TargetRefresh(every=10, settle=2, max_wait=4), curve, *callbacks], limit_val_batches=0
    )
    trainer.fit(learner, data, ckpt_path=ckpt)
    return learner, trainer, torch.stack(curve.losses)


@pytest.mark.parametrize("model", [{}, {"outcome": QuantileOutcome}], ids=["gaussian", "quantile"])
@pytest.mark.parametrize(("reward", "observation"), [(1e-3, 1), (1e4, 1), (1, 255)])
def test_rewards_and_observations_in_any_unit_give_the_same_learning(
    reward: float, observation: float, model: dict[str, Any]
) -> None:
    plain, _, curve = run(ScaledMaze(), **model)
    other, _, its_curve = run(ScaledMaze(reward, observation), **model)
    torch.testing.assert_close(its_curve, curve, rtol=1e-3, atol=1e-4)
    assert curve[-1, 1] != 0  # targets were selected, and learned from
    for one, two in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-3)


def test_predictions_are_in_the_unit_of_the_data_and_gains_in_bits() -> None:
    found: list[dict[str, torch.Tensor]] = []
    for reward in (1.0, 1e4):
        model, _, _ = run(ScaledMaze(reward))
        trainer = quiet_trainer(1, [TargetRefresh()])
        (metrics,) = trainer.validate(model, ScaledMaze(reward), verbose=False)
        (rows,) = trainer.predict(model, ScaledMaze(reward))
        found.append(rows | {name: torch.tensor(x) for name, x in metrics.items()})
    plain, other = found
    assert plain["val/memory_gain"] != 0
    for name in ("outcome", "prediction"):
        torch.testing.assert_close(other[name] / 1e4, plain[name], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(other["val/mse"] / 1e8, plain["val/mse"], rtol=1e-2, atol=1e-3)
    for name in ("nll", "local_uncertainty", "val/nll"):
        torch.testing.assert_close(other[name] - np.log(1e4), plain[name], rtol=1e-3, atol=1e-3)
    for name in ("correct", "val/accuracy", "val/memory_gain"):
        torch.testing.assert_close(other[name], plain[name], rtol=1e-3, atol=1e-3)


def statistics(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in model.named_buffers() if "standardizer" in name}


def test_all_parts_of_a_model_have_the_statistics_of_a_field(tmp_path: Path) -> None:
    model, _, _ = run(ScaledMaze(1e4), updates=1, uncertainty=AverageSurprise())
    found = statistics(model)
    scales = [x.item() for name, x in found.items() if name.endswith("scale") and x.numel() == 1]
    assert len(scales) == 3  # of the reward that the memory reads, that of the average, and the outcome
    assert scales == [scales[0]] * 3
    assert 3e4 < scales[0] < 4e4
    assert all(x for name, x in found.items() if name.endswith("fitted"))


def test_a_resumed_run_and_one_with_the_weights_of_another_keep_their_statistics(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    model, trainer, _ = run(ScaledMaze(1e4), updates=5)
    trainer.save_checkpoint(path)
    wanted = statistics(model)
    resumed, _, _ = run(ScaledMaze(1e4), updates=8, ckpt=path)
    begun, _, _ = run(ScaledMaze(1.0), InitialWeights(str(path)), updates=3)  # on rewards of another size
    for other in (resumed, begun):
        assert all(torch.equal(x, wanted[name]) for name, x in statistics(other).items())
        assert not other.outcome.standardizer.is_identity


def test_outcomes_of_one_number_in_the_sample_do_no_harm() -> None:
    data = ScaledMaze(0.0)
    _, _, curve = run(data)
    assert curve.isfinite().all()


def test_the_memory_s_features_alone_are_scaled_and_a_checkpoint_keeps_how(tmp_path: Path) -> None:
    data = TMazeDataModule(length=50, num_train=16, num_val=4, chunk_length=10, lanes=4, chunks_per_epoch=4)
    model = MemUP(data.task)
    trainer = quiet_trainer(2, [], limit_val_batches=0)
    trainer.fit(model, data)
    assert model.encoder.fitted
    assert not model.context_encoder.step.fitted
    whole = next(iter(data.splits["train"].chunks(np.arange(16), lanes=16, chunk_length=60, contexts=False)))
    numbers = model.encoder.center != 0
    mean = model.encoder(whole.inputs)[whole.valid].mean(0)
    assert mean[numbers].abs().max() < 0.1
    shown = model.encoder(whole.inputs)[whole.valid][:, ~numbers] / model.encoder.gain[~numbers]
    assert shown.mean(0).sum() == pytest.approx(1, abs=0.1), "what was done is one of some tokens"
    assert model.context_encoder.step(whole.inputs)[whole.valid].mean(0).abs().max() > 0.5
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    kept = MemUP.load_from_checkpoint(tmp_path / "a.ckpt", task=data.task)
    assert kept.encoder.fitted
    assert torch.equal(kept.encoder.center, model.encoder.center)
    assert torch.equal(kept.encoder.gain, model.encoder.gain)
