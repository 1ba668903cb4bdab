"""SecondStart: a run that memorizes begins again, led by own steps; where that does not help, it goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer

from memup_lightning.callbacks import BestWeights
from memup_lightning.callbacks.overfitting import thresholds
from memup_lightning.modules import MemUP
from tests.callbacks.cue_task import CueData
from tests.callbacks.scripted_runs import EVERY, Reached, Scripted, StopAt, alike, run

LOST = (-0.3, 0.1, 0.7, 0.6)  # gain, that of training episodes, val/nll, val/local_nll: nothing is explained
KNOWN = (0.4, 0.4, 0.3, 0.6)
MEMORIZED = (0.1, 0.6, 0.5, 0.6)  # after KNOWN
BETTER = (0.5, 0.5, 0.2, 0.6)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "LEAST", 0)
    monkeypatch.setattr(MemUP, "own_share", lambda self: 0.1)


def copies(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in model.state_dict().items()}


def of_local(name: str) -> bool:
    return name.startswith("local.")


def target_weights(model: Scripted) -> list[float]:
    """Of each validation, before what follows from it."""
    return [round(float(weights["target_weight"]), 3) for weights in model.weights.values()]


def test_targets_that_are_memorized_alone_let_own_steps_lead_and_count_again_where_that_does_not_help(
    tmp_path: Path,
) -> None:
    _, model = run(tmp_path, [LOST] * 12, BestWeights())
    assert target_weights(model) == [1] + [0.02] * 3 + [1] * 8


def test_a_run_that_loses_what_it_explained_begins_again_and_goes_back_where_that_does_not_help(tmp_path: Path) -> None:
    best = BestWeights()
    _, model = run(tmp_path, [KNOWN, *[MEMORIZED] * 9], best)
    assert target_weights(model) == [1, 1, *[0.02] * 6, 0.1, 0.01]
    assert (best.restored, best.best) == (True, (EVERY, pytest.approx(0.4)))
    assert alike(model.state_dict(), model.weights[EVERY])


def test_a_second_start_that_explains_more_is_kept(tmp_path: Path) -> None:
    best = BestWeights()
    _, model = run(tmp_path, [KNOWN, *[MEMORIZED] * 3, *[BETTER] * 6], best)
    assert set(target_weights(model)[2:]) == {0.02}
    assert (best.restored, best.best, best.decay) == (False, (5 * EVERY, pytest.approx(0.5)), 0)


def test_what_a_second_start_memorizes_makes_the_run_go_back_to_it(tmp_path: Path) -> None:
    best = BestWeights()
    run(tmp_path, [KNOWN, MEMORIZED, *[BETTER] * 2, (0.1, 0.8, 0.5, 0.6), BETTER], best)
    assert best.decay == 0.3
    assert best.best == (3 * EVERY, pytest.approx(0.5))


@pytest.mark.parametrize("gains", [[LOST] * 3, [KNOWN, MEMORIZED, MEMORIZED, MEMORIZED]], ids=["targets", "steps"])
def test_the_run_begins_again_with_its_first_weights_and_the_local_predictor_of_now(
    tmp_path: Path, gains: list[tuple[float, ...]]
) -> None:
    class Watched(BestWeights):
        def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
            super().on_train_start(trainer, pl_module)
            self.seen = [copies(pl_module)]

        def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
            self.seen.append(copies(pl_module))
            super().on_validation_end(trainer, pl_module)
            self.seen.append(copies(pl_module))

    best = Watched()
    run(tmp_path, gains, best)
    begun = 2 * len([x for x in gains if x is KNOWN]) + 1
    first, before, after = best.seen[0], best.seen[begun], best.seen[begun + 1]
    assert alike(
        {name: x for name, x in before.items() if of_local(name)}, {n: x for n, x in after.items() if of_local(n)}
    )
    assert not alike(first, before)
    changed = {name for name in first if not of_local(name) and not torch.equal(first[name], after[name])}
    assert changed == {"target_weight"}


@pytest.mark.parametrize(
    "lost",
    [(-0.5, -0.1, 0.7, 0.6), (0.1, 0.9, 0.7, 0.6), (-0.3, 0.1, 0.4, 0.6)],
    ids=["training episodes are not explained either", "validation episodes are", "evaluated steps are"],
)
def test_a_run_that_does_not_memorize_its_targets_alone_goes_on(tmp_path: Path, lost: tuple[float, ...]) -> None:
    _, model = run(tmp_path, [lost] * 5, BestWeights())
    assert set(target_weights(model)) == {1.0}


@pytest.mark.parametrize(("gains", "enough"), [([LOST] * 5, 0.1), ([KNOWN, *[MEMORIZED] * 4], 0.008)])
def test_a_run_whose_steps_have_hardly_an_outcome_of_their_own_does_not_begin_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gains: list[tuple[float, ...]], enough: float
) -> None:
    for share, begins in ((enough, True), (0.9 * enough, False)):
        monkeypatch.setattr(MemUP, "own_share", lambda self, share=share: share)
        _, model = run(tmp_path / str(share), gains, BestWeights())
        assert (0.02 in target_weights(model)) == begins


def test_a_gain_that_is_no_number_begins_nothing(tmp_path: Path) -> None:
    nothing = (float("nan"), 0.1, 0.7, 0.6)
    _, model = run(tmp_path, [nothing, nothing, LOST, *[LOST] * 5], BestWeights())
    assert target_weights(model) == [1, 1, 1, *[0.02] * 5]


def test_a_small_difference_counts_at_the_second_validation(tmp_path: Path) -> None:
    _, model = run(tmp_path, [(-0.1, 0.05, 0.7, 0.6)] * 6, BestWeights())
    assert target_weights(model)[:3] == [1, 1, 0.02]


def test_what_the_second_start_explains_is_kept_and_is_measured_by_itself(tmp_path: Path) -> None:
    best = BestWeights()
    _, model = run(tmp_path, [LOST, (-0.05, 0.0, 0.9, 0.6), *[KNOWN] * 4, *[LOST] * 6], best)
    assert set(target_weights(model)[1:]) == {0.02}
    assert best.best == (3 * EVERY, pytest.approx(0.4))


@pytest.mark.parametrize(("before", "begins"), [(1, True), (2, False)])
def test_a_run_that_is_two_thirds_over_goes_on(tmp_path: Path, before: int, begins: bool) -> None:
    _, model = run(tmp_path, [*[(*KNOWN[:2], 0.61, 0.6)] * before, LOST, LOST], BestWeights())
    assert (0.02 in target_weights(model)) == begins


@pytest.mark.parametrize("cut", [2, 3, 4, 13])
def test_a_resumed_run_knows_its_own_steps_at_each_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    monkeypatch.undo()
    found: dict[int, float] = {}

    def noted(model: MemUP) -> float:
        found[model.global_step] = own_share(model)
        return 0.0  # so that nothing begins, and it is asked for at the next validation too

    own_share = MemUP.own_share
    monkeypatch.setattr(MemUP, "own_share", noted)

    def fit(name: str, *callbacks: Callback, **given: Any) -> None:
        data = CueData(length=35, judged=range(12, 35), num_train=16, num_val=4)  # chunks with and without outcomes
        run(tmp_path / name, [LOST] * 16, BestWeights(), *callbacks, data=data, current_step=True, **given)

    fit("whole")
    whole = dict(found)
    with pytest.raises(Reached):
        fit("cut", StopAt(cut))
    found.clear()
    fit("resumed", ckpt_path=tmp_path / "cut" / "last.ckpt")
    assert any(found.values())
    assert found == {update: whole[update] for update in found}


@pytest.mark.parametrize("cut", [2, 3, 5, 9])
@pytest.mark.parametrize("gains", [[LOST] * 12, [KNOWN, *[MEMORIZED] * 11]], ids=["targets", "steps"])
def test_a_resumed_run_begins_again_as_the_uncut_one_does(
    tmp_path: Path, gains: list[tuple[float, ...]], cut: int
) -> None:
    _, whole = run(tmp_path / "whole", gains, BestWeights())
    with pytest.raises(Reached):
        run(tmp_path / "cut", gains, BestWeights(), StopAt(cut))
    _, resumed = run(tmp_path / "resumed", gains, BestWeights(), ckpt_path=tmp_path / "cut" / "last.ckpt")
    assert target_weights(resumed) == target_weights(whole)[-len(resumed.weights) :]
    assert alike(whole.state_dict(), resumed.state_dict())
