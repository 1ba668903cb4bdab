"""When targets are selected again, and for which episodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.demos.boring_classes import BoringModel

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.data.streaming.samplers import ShuffledLaneSampler
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from tests.modules.targets.refreshes import Recorded, changes, data_of, fit


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
