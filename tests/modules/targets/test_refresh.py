"""When targets are selected again, for which episodes, and what is logged."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.demos.boring_classes import BoringModel

from memup_lightning import progress
from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.data.targets import NOWHERE, TopK
from memup_lightning.datamodules import ArrayDataModule, EpisodeDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.models.uncertainty import PredictiveUncertainty
from memup_lightning.modules import MemUP
from memup_lightning.modules.targets.scoring import score_on_all_ranks
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.training import quiet_trainer


class Watch(Callback):
    """Writes down, after every update, the version of the targets and whether the chunk had any."""

    def __init__(self) -> None:
        self.version: list[int] = []
        self.had_targets: list[bool] = []

    def on_train_batch_end(self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.had_targets.append(bool(batch.targets.valid.any()))
        self.version.append(trainer.datamodule.splits["train"].targets.num_refreshes)  # type: ignore[attr-defined]


class Recorded(TargetRefresh):
    """Writes down what every refresh scored."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.episodes: list[npt.NDArray[np.int64]] = []
        self.scored_before: list[npt.NDArray[np.bool_]] = []

    def _choose(self, data: EpisodeDataModule) -> npt.NDArray[np.int64]:
        self.scored_before.append(data.splits["train"].targets.scored.copy())
        self.episodes.append(super()._choose(data))
        return self.episodes[-1]


def data_of(**given: Any) -> TMazeDataModule:
    return TMazeDataModule(
        **{
            "length": 20,
            "num_train": 24,
            "num_val": 8,
            "chunk_length": 5,
            "lanes": 4,
            "chunks_per_epoch": 25,
            "seed": 1,
            "selector": TopK(1),
        }
        | given
    )


def fit(refresh: TargetRefresh, updates: int, data: Any = None, **trainer: Any) -> tuple[Trainer, Watch, Any]:
    seed_everything(1)
    data = data_of() if data is None else data
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=8))
    watch = Watch()
    given = {"limit_val_batches": 0} | trainer
    run = quiet_trainer(
        updates,
        [refresh, watch],
        **given,
    )
    run.fit(model, data)
    return run, watch, data


def changes(watch: Watch) -> list[int]:
    """The updates after which the targets were selected again."""
    return (np.flatnonzero(np.diff([0, *watch.version])) + 1).tolist()


# --- when


@pytest.mark.parametrize(
    ("losses", "first"),
    [
        ([3.0, 3.0], 10),  # no better over the second five than over the first
        ([3.0, 2.0, 1.0, 0.99], 20),
        ([3.0, 2.9, 2.8, 2.7, 2.68], 25),
        ([3.0, 4.0], 10),
    ],
)
def test_the_first_selection_waits_until_the_local_loss_has_converged(losses: list[float], first: int) -> None:
    refresh = TargetRefresh(settle=5, tolerance=0.05, max_wait=1000)
    settled = [
        5 * block + n + 1
        for block, loss in enumerate(losses)
        for n in range(5)
        if refresh._settled(torch.tensor(loss), 5 * block + n + 1)
    ]
    assert settled[:1] == [first]


def test_the_first_selection_does_not_wait_for_ever() -> None:
    refresh = TargetRefresh(settle=5, tolerance=0.0, max_wait=20)
    falling = [refresh._settled(torch.tensor(-float(n)), n) for n in range(1, 21)]
    assert falling == [False] * 19 + [True]


def test_there_are_no_targets_before_the_first_selection_and_always_some_after_it() -> None:
    _, watch, _ = fit(TargetRefresh(every=10, settle=10, max_wait=30), 60)
    first = changes(watch)[0]
    assert first >= 20
    assert watch.had_targets == [False] * first + [True] * (60 - first)


def test_after_the_first_selection_targets_are_selected_again_every_so_many_updates() -> None:
    _, watch, _ = fit(TargetRefresh(every=20, settle=5, max_wait=10), 90)
    assert changes(watch) == [10, 20, 40, 60, 80]
    assert watch.version[-1] == 5


def test_epochs_are_counted_where_epochs_are_asked_for() -> None:
    _, watch, data = fit(TargetRefresh(every=2, unit="epochs", settle=5, max_wait=10), 110)
    assert changes(watch) == [10, 50, 100]  # epochs of 25 updates
    assert data.splits["train"].targets.num_refreshes == 3


# --- how much


def test_all_episodes_are_scored_where_the_budget_allows() -> None:
    refresh = Recorded(every=20, settle=5, max_wait=10, max_steps=None)
    fit(refresh, 45)
    assert [sorted(e) for e in refresh.episodes] == [list(range(24))] * 3


def test_a_refresh_keeps_to_its_budget_of_steps() -> None:
    refresh = Recorded(every=10, settle=5, max_wait=10, max_steps=300)
    _, _, data = fit(refresh, 100, data_of(restart=[0.0]))
    lengths = data.sources["train"].lengths
    assert len(refresh.episodes) == 10
    for episodes in refresh.episodes:
        assert len(set(episodes)) == len(episodes)
        assert 150 < lengths[episodes].sum() <= 300


def test_under_a_budget_every_episode_gets_its_turn() -> None:
    refresh = Recorded(every=10, settle=5, max_wait=10, max_steps=300)
    _, _, data = fit(refresh, 100)
    assert data.splits["train"].targets.scored.all()


def test_unscored_episodes_that_come_next_are_scored_first_even_past_the_budget() -> None:
    refresh = Recorded(every=30, settle=5, max_wait=10, max_steps=1)
    _, watch, data = fit(refresh, 100)
    schedule: ShuffledLaneSampler = data.training_lanes().schedule
    for begin, episodes, scored in zip(changes(watch), refresh.episodes, refresh.scored_before, strict=True):
        upcoming = np.unique(schedule.at(np.arange(begin, begin + 30)).episode)
        unscored = upcoming[~scored[upcoming]]
        assert set(episodes[: len(unscored)]) == set(unscored)
    assert all(watch.had_targets[changes(watch)[0] :])


def test_upcoming_names_the_episodes_of_the_next_chunks() -> None:
    data = data_of()
    data.setup("fit")
    data.training_lanes().num_consumed = 37
    played = {int(c.episode[lane]) for c in data.train_dataloader().stream.read(np.arange(37, 47)) for lane in range(4)}
    assert set(data.training_lanes().upcoming_episodes(10)) == played


# --- what


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


# --- what is said


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
        TargetRefresh(every=50, settle=50, validation_episodes=8),
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


# --- what is refused


class PlainModule(BoringModel, LightningModule):
    pass


@pytest.mark.parametrize(("with_model", "with_data"), [(False, True), (True, False)])
def test_other_modules_and_data_are_refused_by_name(with_model: bool, with_data: bool) -> None:
    data = data_of()
    model: Any = MemUP(data.task) if with_model else PlainModule()
    named = "MemUP with NoneType" if with_model else "PlainModule with TMazeDataModule"
    trainer = Trainer(logger=False, enable_checkpointing=False, max_steps=1, callbacks=[TargetRefresh()])
    given: dict[str, Any] = (
        {"datamodule": data} if with_data else {"train_dataloaders": PlainModule().train_dataloader()}
    )
    with pytest.raises(MemUPError, match=f"not on {named}; remove it from trainer.callbacks"):
        trainer.fit(model, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"every": 0}, "every=0"),
        ({"settle": 0}, "settle=0"),
        ({"lanes": -1}, "lanes=-1"),
        ({"max_steps": 0}, "max_steps=0"),
    ],
)
def test_an_impossible_refresh_is_refused_with_its_value(given: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        TargetRefresh(**given)
