"""What a refresh selects by its scores, and what is logged of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import progress
from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import NOWHERE
from memup_lightning.datamodules import ArrayDataModule, EpisodeDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.models.uncertainty import PredictiveUncertainty
from memup_lightning.modules import MemUP
from memup_lightning.modules.targets.scoring import score_on_all_ranks
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.modules.targets.refreshes import data_of, fit


def brute_force(model: MemUP, source: EpisodeSource, episode: int) -> int:
    """The most uncertain step of an episode, scored in one piece."""
    length = int(source.lengths[episode])
    read = source.read(episode, 0, length)
    context = {name: torch.from_numpy(read[name])[:, None] for name in model.task.context}
    u = model.outcome.uncertainty(model.local(context))
    return int(length - 1 - u.flip(0).argmax())


@pytest.mark.parametrize("lanes", [1, 5, 64])
@pytest.mark.parametrize("chunk_length", [3, 500])
def test_scored_episodes_hold_their_most_uncertain_step(lanes: int, chunk_length: int) -> None:
    data = data_of(evaluation_chunk_length=chunk_length)
    data.setup("fit")
    torch.manual_seed(0)
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8))
    which = np.array([3, 0, 17, 11, 8, 9])
    score_on_all_ranks(data, model, "train", which, lanes)
    table, source = data.splits["train"].targets, data.sources["train"]
    assert np.flatnonzero(table.scored).tolist() == sorted(which)
    chosen = table.select(which, np.zeros(6, np.int64))[:, 0]
    assert chosen.tolist() == [brute_force(model, source, int(e)) for e in which]
    others = np.setdiff1d(np.arange(24), which)
    assert (table.select(others, np.zeros(18, np.int64)) == NOWHERE).all()


class Listed(EpisodeDataModule):
    """Episodes of several lengths whose last steps have no outcome."""

    task = TaskSpec({"see": FieldSpec()}, {"see": 0}, ("see",))

    def episodes(self, split: Any) -> EpisodeSource:
        lengths = np.array([9, 30, 14, 5, 22])
        steps = int(lengths.sum())
        left = np.repeat(np.cumsum(lengths), lengths) - np.arange(steps)
        arrays = {"see": np.zeros(steps, np.float32), OUTCOME: np.zeros(steps, np.float32), HAS_OUTCOME: left > 3}
        return ArrayEpisodes(arrays, lengths)


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_steps_that_do_not_exist_or_have_no_outcome_are_never_selected(lanes: int) -> None:
    data = Listed(evaluation_chunk_length=8)
    data.setup("fit")

    class Later(MemUP):
        """The later, the more uncertain, also past the end of an episode."""

        def score(self, chunk: Any, state: Any) -> Any:
            return (chunk.start[:, None] + torch.arange(chunk.num_steps)).float(), ()

    score_on_all_ranks(data, Later(data.task), "train", np.arange(5), lanes)
    chosen = data.splits["train"].targets.select(np.arange(5), np.zeros(5, np.int64))[:, 0]
    assert chosen.tolist() == [5, 26, 10, 1, 18]


def test_recall_is_the_share_of_true_steps_among_the_selected() -> None:
    data = data_of()
    data.setup("fit")

    class Junction(MemUP):
        """Uncertain at the junction of the even episodes, elsewhere at random steps."""

        def score(self, chunk: Any, state: Any) -> Any:
            even = (chunk.episode % 2 == 0)[:, None]
            return torch.where(even, chunk.eval_mask.float(), (~chunk.eval_mask).float()), ()

    model = Junction(data.task, memory=partial(LSTM, hidden_size=8))
    assert score_on_all_ranks(data, model, "train", np.arange(24), 64) == pytest.approx(0.5)
    assert score_on_all_ranks(data, model, "train", np.arange(0, 24, 2), 64) == 1.0
    assert score_on_all_ranks(data, model, "val", np.array([1, 3]), 64) == 0.0


def test_steps_without_an_outcome_are_not_scored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "own.npz", x=draw.random((100, 20, 2)), y=draw.integers(0, 2, 100))  # one an episode
    data = ArrayDataModule(str(tmp_path / "own.npz"), seed=1)
    data.setup("fit")
    scored: list[int] = []

    def count(self: Any, model: Any, context: Any) -> torch.Tensor:
        u = of_contexts(self, model, context)
        scored.append(u.numel())
        return u

    of_contexts = PredictiveUncertainty.of_contexts
    monkeypatch.setattr(PredictiveUncertainty, "of_contexts", count)
    episodes = np.arange(len(data.splits["train"].lengths))
    score_on_all_ranks(data, MemUP(data.task), "train", episodes, 16)
    assert sum(scored) == len(episodes)
    first = data.splits["train"].targets.select(episodes, np.zeros(len(episodes), np.int64))
    assert (first[:, 0] == 19).all()
    assert (first[:, 1:] == NOWHERE).all()


def test_scoring_leaves_the_model_as_it_was() -> None:
    data = data_of()
    data.setup("fit")
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8)).train()
    before = torch.get_rng_state()
    score_on_all_ranks(data, model, "train", np.arange(24), 8)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in model.parameters())


def test_scoring_that_takes_long_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = data_of()
    data.setup("fit")
    model = MemUP(data.task)
    score_on_all_ranks(data, model, "train", np.arange(4), 2)
    assert "scoring" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    score_on_all_ranks(data, model, "train", np.arange(4), 2)
    assert "scoring" in capsys.readouterr().err


def test_recall_and_cost_are_logged() -> None:
    run, _, _ = fit(
        TargetRefresh(every=50, settle=50),
        300,
        limit_val_batches=None,
        val_check_interval=100,
        check_val_every_n_epoch=None,
    )
    logged = {name: float(x) for name, x in run.callback_metrics.items()}
    assert logged["val/target_recall"] > 0.9
    assert logged["train/target_recall"] > 0.9
    assert logged["refresh/seconds"] > 0
    assert 0 < logged["refresh/share_of_training"] < 1
    assert logged["refresh/scored_share"] == 1


@pytest.mark.parametrize(
    ("length", "episodes", "max_steps", "scored"),
    [(10, 2000, None, 1024), (1000, 2000, None, 65), (100_000, 20, None, 8), (100, 5, None, 5), (100, 2000, 3000, 30)],
)
def test_as_many_validation_episodes_are_scored_as_have_65_536_steps(
    length: int, episodes: int, max_steps: int | None, scored: int
) -> None:
    chosen = TargetRefresh(max_steps=max_steps)._validation_episodes(np.full(episodes, length))
    assert chosen.tolist() == list(range(scored))


def test_before_the_first_selection_no_recall_is_logged() -> None:
    run, _, _ = fit(
        TargetRefresh(settle=50),
        20,
        limit_val_batches=None,
        val_check_interval=10,
        check_val_every_n_epoch=None,
    )
    assert "val/accuracy" in run.callback_metrics
    assert not [name for name in run.callback_metrics if "recall" in name or "refresh" in name]
