"""BestWeights: a run that memorizes goes back to its best weights, and trains on with weight decay, or without."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer

from memup_lightning.callbacks import BestWeights
from memup_lightning.modules import MemUP
from tests.callbacks.scripted_runs import EVERY, alike, run

BACK = [(0.4, 0.4, 0.5, 1.0), (0.1, 0.6, 0.7, 1.0), *[(0.4, 0.4, 0.5, 1.0)] * 2]
"""A quarter of what was explained is lost at the second validation."""


@pytest.fixture(autouse=True)
def without_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemUP, "own_share", lambda self: 0.0)


def decays(trainer: Trainer) -> set[float]:
    return {group["memory_decay"] for group in trainer.optimizers[0].param_groups}


def test_a_run_that_memorizes_goes_back_to_its_best_weights_and_trains_on_with_weight_decay(tmp_path: Path) -> None:
    best = BestWeights()
    trainer, model = run(tmp_path / "back", BACK[:2], best)
    assert decays(trainer) == {best.decay} == {0.3}
    assert best.restored, "no validation followed"
    assert alike(model.state_dict(), model.weights[EVERY])
    best = BestWeights()
    trainer, model = run(tmp_path / "on", BACK, best)
    assert decays(trainer) == {0.3}, "it is explained as well as before"
    assert not best.restored
    assert not alike(model.weights[2 * EVERY], model.weights[3 * EVERY])
    before = torch.cat([x.double().flatten() for x in model.weights[EVERY].values()])
    after = [torch.cat([x.double().flatten() for x in model.weights[n * EVERY].values()]) for n in (2, 3)]
    changes = [float((x - before).square().sum()) for x in after]
    assert changes[1] < 2 * changes[0], "two updates from the best weights, not four"


def test_it_tries_stronger_decay_then_none_and_then_stops(tmp_path: Path) -> None:
    best = BestWeights(patience=3)
    trainer, model = run(tmp_path, [BACK[0], *[BACK[1]] * 20], best)
    assert decays(trainer) == {best.decay} == {0.0}
    assert trainer.global_step == EVERY * (1 + 1 + 1 + 1 + 3)
    assert (best.restored, best.overfitted) == (True, True)
    assert alike(model.state_dict(), model.weights[EVERY])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.008, [0.1, 0.01, 1.0, 1.0]), (0.0079, [1.0] * 4)], ids=["many", "few"]
)
def test_targets_count_less_after_each_step_back_where_own_steps_can_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, expected: list[float]
) -> None:
    monkeypatch.setattr(MemUP, "own_share", lambda self: share)
    _, model = run(tmp_path, [*[BACK[0]] * 12, *[BACK[1]] * 5], BestWeights())  # too late to begin again
    weights = [float(x["target_weight"]) for x in model.weights.values()]  # at each validation, before what follows
    assert weights == pytest.approx([*[1.0] * 13, *expected])


@pytest.mark.parametrize(
    ("gains", "went"),
    [
        ([BACK[0], *[(0.4, 0.5, 0.53, 1.0)] * 2], True),  # a little is lost, twice
        ([BACK[0], (0.4, 0.5, 0.53, 1.0), BACK[0], (0.4, 0.5, 0.53, 1.0)], False),  # not in a row
        ([BACK[0], *[(0.4, 0.5, 0.52, 1.0)] * 4], False),  # less than a twentieth
        ([BACK[0], *[(0.1, 0.3, 0.7, 1.0)] * 4], False),  # of training episodes as well
        ([(0.0, 0.0, 0.995, 1.0), *[(-0.1, 0.5, 1.1, 1.0)] * 4], False),  # nothing was explained yet
    ],
)
def test_it_goes_back_where_training_episodes_alone_are_explained_as_before(
    tmp_path: Path, gains: Any, went: bool
) -> None:
    best = BestWeights()
    run(tmp_path, gains, best)
    assert best.decay == (0.3 if went else 0)


@pytest.mark.parametrize(("local", "classes", "went"), [(0.1, True, True), (1.0, True, False), (0.1, False, False)])
def test_of_a_rare_class_little_is_enough_to_go_back(tmp_path: Path, local: float, classes: bool, went: bool) -> None:
    best = BestWeights()
    base_rate = [0.99] if classes else []
    run(tmp_path, [(0.4, 0.4, local - x, local, *base_rate) for x in (0.004, 0.002)], best)
    assert best.decay == (0.3 if went else 0)


@pytest.mark.parametrize(("later", "went"), [((0.2, 0.8), True), ((0.2, 0.4), False)])
def test_the_gain_of_training_episodes_is_that_of_all_chunks_since_the_last_validation(
    tmp_path: Path, later: Sequence[float], went: bool
) -> None:
    best = BestWeights()
    run(tmp_path, [(0.4, 9.0, 0.5, 1.0), (0.1, 0.0, 0.7, 1.0)], best, chunk_gains=[0.7, 0.1, *later])
    assert best.decay == (0.3 if went else 0)


def test_decay_under_which_training_episodes_are_explained_less_too_ends_for_good(tmp_path: Path) -> None:
    lost = (0.1, 0.1, 0.7, 1.0)
    for gains, decay in (
        ([*BACK[:2], lost], 0.0),
        ([*BACK[:2], lost, *[BACK[1]] * 3], 0.0),  # it does not come back
        ([*BACK[:2], (0.4, 0.1, 0.52, 1.0)], 0.3),  # as good as before
        ([*BACK[:2], (0.4, 0.1, 0.53, 1.0), (0.4, 0.1, 0.45, 1.0)], 0.3),  # better, after a while
    ):
        best = BestWeights()
        trainer, _ = run(tmp_path / str(len(gains)), gains, best)
        assert decays(trainer) == {best.decay} == {decay}


def test_another_optimizer_never_goes_back(tmp_path: Path) -> None:
    best = BestWeights()
    run(tmp_path, BACK[:2], best, optimizer=partial(torch.optim.Adam, lr=1e-3))
    assert best.decay == 0
    assert best.restored


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_a_resumed_run_goes_back_as_the_uncut_one_does(tmp_path: Path, cut: int) -> None:
    gains = [BACK[0], *[(0.4, 0.5, 0.53, 1.0)] * 2, (0.4, 0.5, 0.49, 1.0)]
    _, whole = run(tmp_path / "whole", gains, BestWeights())
    run(tmp_path / "cut", gains, BestWeights(), updates=cut)
    best = BestWeights()
    trainer, resumed = run(tmp_path / "resumed", gains, best, ckpt_path=tmp_path / "cut" / "last.ckpt")
    assert decays(trainer) == {best.decay} == {0.3}
    assert alike(whole.state_dict(), resumed.state_dict())
