"""The gain is measured at every distance: a memory whose gain is known beforehand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning.callbacks.verdict.advice.words import how_much
from memup_lightning.callbacks.verdict.measuring import measure as module
from memup_lightning.callbacks.verdict.measuring import measured_steps
from memup_lightning.callbacks.verdict.measuring.measure import measure
from memup_lightning.callbacks.verdict.measuring.measured_steps import MAX_EPISODES
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.datamodules.recorded import splits
from memup_lightning.modules import TBPTT
from memup_lightning.modules.targets.scoring import score_episodes
from tests.callbacks.cue_task import CueData, keeping_model
from tests.callbacks.made_runs import changed


def measured(keeps: int, **given: Any) -> SplitMeasurement:
    data = CueData(**given)
    data.setup("fit")
    found = measure(keeping_model(data.task, keeps), data, updates=10).val
    assert found is not None
    return found


def gains(split: SplitMeasurement) -> dict[int, float]:
    return {point.distance: round(point.gain.mean, 3) for point in split.curve}


def test_a_memory_that_keeps_the_cue_knows_it_at_every_distance_up_to_the_cue() -> None:
    found = measured(1000, length=40, cue_at=10)
    assert gains(found) == {0: 1, 1: 1, 2: 1, 4: 1, 8: 1, 16: 1, 32: 0}
    assert found.surprise == pytest.approx(1)
    assert found.explained == pytest.approx(1, abs=1e-3)
    assert found.uncertain == pytest.approx(1, abs=0.01)
    assert found.curve[3].steps == found.episodes == 64


def test_a_memory_that_loses_the_cue_knows_it_only_soon_after_it() -> None:
    """The cue is at step 0 and kept for 10 steps, the outcome at step 39: the states up to step 10 are 29 steps away."""
    found = measured(10, length=40)
    assert gains(found) == {0: 0, 1: 0, 2: 0, 4: 0, 8: 0, 16: 0, 32: 1}
    assert found.curve[-1].change.low == pytest.approx(1, abs=1e-3)
    assert found.explained == pytest.approx(0, abs=1e-3)


def test_chunks_of_evaluation_do_not_change_what_is_measured() -> None:
    assert measured(25, evaluation_chunk_length=7) == measured(25, evaluation_chunk_length=500)


def test_a_state_before_the_episode_does_not_count() -> None:
    found = measured(1000, length=40, judged=(5, 39))
    assert gains(found)[32] == 1
    by_distance = {point.distance: point.steps for point in found.curve}
    assert by_distance[4] == 128
    assert by_distance[8] == 64  # of the outcome at step 5 no state is 8 steps away


def test_outcomes_early_and_late_in_episodes_are_distinguished() -> None:
    found = measured(10, length=40, judged=(4, 5, 38, 39))
    assert found.early is not None
    assert found.late is not None
    assert (found.early.step, found.late.step) == (4, 38)
    assert found.early.gain.mean == pytest.approx(1, abs=1e-3)
    assert found.late.gain.mean == pytest.approx(0, abs=1e-3)


def test_steps_without_an_outcome_are_not_measured() -> None:
    data = CueData()
    data.setup("fit")
    data.sources["val"].arrays["has_outcome"][:] = False  # type: ignore[attr-defined]
    found = measure(keeping_model(data.task, 5), data, updates=10)
    assert found.val is None
    assert found.train is not None


def test_targets_are_measured_where_the_data_mark_no_steps() -> None:
    data = CueData(marked=False)
    data.setup("fit")
    model = keeping_model(data.task, 1000)
    assert measure(model, data, updates=10).val is None  # nothing was selected yet
    for split in ("train", "val"):
        episodes = np.arange(64)
        collector = data.splits[split].targets.collect(episodes, torch.device("cpu"))  # type: ignore[arg-type]
        position = torch.arange(40).expand(64, -1)
        collector.extend((position == 39).float(), position, position == 39)
        collector.finish()
        data.splits[split].targets.complete_refresh()  # type: ignore[arg-type]
    found = measure(model, data, updates=10)
    assert found.steps == "targets"
    assert found.val is not None
    assert gains(found.val)[32] == 1


def test_more_validation_episodes_are_measured_than_validations_score() -> None:
    data = CueData(marked=False, num_val=300)
    data.setup("fit")
    model = keeping_model(data.task, 1000)
    score_episodes(data, model, "train", np.arange(64), 64)
    data.splits["train"].targets.complete_refresh()
    store = data.splits["val"].targets
    score_episodes(data, model, "val", np.arange(64), 64)
    before = store.scored.copy(), store.take(np.arange(300))
    found = measure(model, data, updates=10)
    assert found.val is not None
    assert found.val.episodes == 300
    assert found.val.gain.mean == pytest.approx(1)
    assert np.array_equal(store.scored, before[0])  # validations go on as they were
    assert all(np.array_equal(x, y) for x, y in zip(store.take(np.arange(300)), before[1], strict=True))
    store.scored[:] = False  # the run had no validation
    assert measure(model, data, updates=10).val == found.val


def test_what_is_measured_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(1000, num_val=300).episodes == 300
    assert measured(1000, num_val=600).episodes == MAX_EPISODES
    monkeypatch.setattr(measured_steps, "_FEW_STEPS", 4000)
    assert measured(1000, num_val=600).episodes == 100  # of 40 steps each
    monkeypatch.setattr(measured_steps, "_FEW_STEPS", 400)
    assert measured(1000, num_val=600).episodes == 64
    monkeypatch.setattr(measured_steps, "_MAX_STEPS", 400)
    assert measured(1000).episodes == 10
    monkeypatch.setattr(measured_steps, "MAX_LENGTH", 20)  # the outcome is too far away
    data = CueData()
    data.setup("fit")
    assert measure(keeping_model(data.task, 1000), data, updates=10).val is None


def test_what_a_validation_logged_counts_where_episodes_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured_steps, "MAX_LENGTH", 20)
    data = CueData()
    data.setup("fit")
    logged = {"memory_gain": 0.97, "base_rate": 0.5, "nll": 0.01, "local_nll": math.log(2), "target_recall": 1.0}
    found = measure(
        keeping_model(data.task, 1000), data, updates=10, metrics={f"val/{name}": x for name, x in logged.items()}
    )
    assert found.val is not None
    assert found.val.gain.mean == 0.97
    assert found.val.surprise == pytest.approx(1)
    assert found.val.uncertain == pytest.approx(1)
    assert found.val.explained > 0.98
    assert found.targets.recall == 1.0


def test_a_measurement_that_takes_too_long_keeps_what_it_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_SECONDS", 0.0)
    monkeypatch.setattr(splits, "_STEPS_AT_ONCE", 1)  # chunks are no longer than is asked for
    found = measured(1000, judged=(5, 39), evaluation_chunk_length=10)
    assert found.curve[0].steps == 64  # the outcomes at step 5; the second chunk was not played


def test_one_sure_and_wrong_prediction_does_not_hide_what_the_memory_explains() -> None:
    data = CueData(num_val=200)
    data.setup("fit")
    outcome = data.sources["val"].arrays["outcome"].reshape(200, -1)  # type: ignore[attr-defined]
    outcome[:4] = 1 - outcome[:4]  # the predictor gives them a probability of 1e-13: 43 bits each
    val = measure(keeping_model(data.task, 1000), data, updates=10).val
    assert val is not None
    assert val.episodes == 200
    assert val.gain.mean == pytest.approx(1 - 0.02 * math.log2(200), abs=0.01)
    assert val.outlier_bits == pytest.approx(0.02 * (30 / math.log(2) - math.log2(200)), abs=0.01)
    assert val.gain.low > 0.6


def test_a_gain_is_measured_from_a_constant_where_the_local_predictor_is_worse() -> None:
    data = CueData(length=10, num_val=200)
    data.setup("fit")
    outcome = data.sources["val"].arrays["outcome"].reshape(200, -1)  # type: ignore[attr-defined]
    rare = np.arange(200) % 10 == 0
    outcome[:] = rare[:, None]
    data.sources["val"].arrays["see"].reshape(200, -1)[:, 0] = rare + 1  # type: ignore[attr-defined]
    entropy = -(0.1 * math.log2(0.1) + 0.9 * math.log2(0.9))
    for keeps, verdict, left in ((1000, "explained", 0.0), (0, "worse_than_constant", 1.0)):
        found = measure(keeping_model(data.task, keeps), data, updates=10)
        assert found.val is not None
        assert found.val.local_is_worse  # it gives both classes one half: one bit
        assert found.val.own == pytest.approx(entropy, abs=1e-3)
        assert found.val.excess_bits == pytest.approx(1 - entropy, abs=0.01)
        assert found.val.surprise == pytest.approx(entropy, abs=0.01)
        assert found.val.gain.mean == pytest.approx(entropy - left, abs=0.01)
        assert judge(changed(found, awaits_selection=False))[0].name == verdict


def test_a_state_of_another_episode_explains_nothing_that_is_kept_of_this_one() -> None:
    kept, lost = measured(1000, num_val=64), measured(0, num_val=64)
    assert kept.over_others is not None
    assert kept.over_others.low > 1, "of two cues every other one is wrong"
    assert lost.over_others == (0, 0, 0), "all states are alike"
    assert measured(1000, num_val=8).over_others is None


@pytest.mark.parametrize(("nll", "explained"), [(0.035, 0.3), (0.049, None), (0.06, None)])
def test_rare_outcomes_are_measured_by_the_validation_where_the_targets_show_nothing(
    nll: float, explained: float | None
) -> None:
    data = CueData(length=10, num_val=64)
    data.setup("fit")
    logged = {"val/base_rate": 0.99, "val/nll": nll, "val/local_nll": 0.05, "val/memory_gain": 0.0}
    found = measure(keeping_model(data.task, 0), data, updates=10, metrics=logged).val
    assert found is not None
    assert found.explained == (pytest.approx(explained) if explained else 0)
    assert (found.episodes == 0) == (explained is not None)
    often = measure(keeping_model(data.task, 0), data, updates=10, metrics={**logged, "val/base_rate": 0.9}).val
    assert often is not None
    assert often.explained == 0


def test_what_is_explained_of_a_rare_class_at_all_steps_is_said_as_average_precision_too() -> None:
    data = CueData(length=10, num_val=64)
    data.setup("fit")
    precision = {"val/average_precision": 0.49, "val/local_average_precision": 0.33}
    logged = {"val/base_rate": 0.99, "val/nll": 0.035, "val/local_nll": 0.05, "val/memory_gain": 0.0} | precision
    found = measure(keeping_model(data.task, 0), data, updates=10, metrics=logged)
    assert found.val is not None
    assert how_much(found, found.val).endswith(", by the validation (average precision 0.49, without memory 0.33)")
    assert "precision" not in how_much(changed(found, average_precision=None), found.val)
    assert "precision" not in how_much(changed(found, rare=0.1), found.val)


def test_too_few_steps_show_no_shares_of_classes() -> None:
    found = measured(0, num_val=16)
    assert found.above_constant is None
    assert not found.local_is_worse


def test_small_numbers_are_not_taken_for_equal_ones() -> None:
    y = np.random.default_rng(1).standard_normal((64, 20)).astype(np.float32)
    found = {}
    for scale in (1e-6, 0.0):
        episodes = [(x[:, None], 1e-7 + scale * x) for x in y]
        data = ArrayDataModule(lambda rows=episodes: iter(rows), lanes=16, chunk_length=10)  # type: ignore[misc]
        data.setup("fit")
        found[scale] = measure(TBPTT(data.task), data, updates=10)
    small, alike = found[1e-6].val, found[0.0].val
    assert small is not None
    assert alike is not None
    assert small.uncertain > 0.5
    assert small.explained < 0.5
    assert alike.own == 0
    assert alike.excess_bits == 0
    fitted = 0.5 * math.log2(2 * math.pi * math.e * float(small.own or 0))  # bits of a normal distribution
    assert small.excess_bits == pytest.approx(small.surprise - fitted, abs=1e-6)
    assert "the outcome is 1e-07 at all 1,040 steps" in judge(found[0.0])[0].sentence.lower()
    assert "all alike" in judge(changed(found[0.0], equal_outcomes=None))[0].sentence


def test_rare_marks_are_not_badly_scaled() -> None:
    data = CueData(length=2000, num_train=8, num_val=8, evaluation_chunk_length=2000)
    data.setup("fit")
    found = measure(keeping_model(data.task, 0), data, updates=10)
    # One of 2,000 steps shows a cue: a standard deviation of 0.016.
    assert found.scale.input_spread == pytest.approx(0.05)


def test_the_spread_by_which_numbers_are_divided_is_measured() -> None:
    y = np.random.default_rng(1).normal(0, 10, (64, 20)).astype(np.float32)
    y[:, 5] = 100
    data = ArrayDataModule(lambda: iter([(x[:, None], x) for x in y]), lanes=16, chunk_length=10)  # type: ignore[arg-type]
    data.setup("fit")
    model = TBPTT(data.task)
    assert measure(model, data, updates=10).scale.outcome_spread is None  # no run has begun
    model.outcome.standardizer.fit(y.reshape(-1, 1))  # type: ignore[union-attr, operator]
    assert measure(model, data, updates=10).scale.outcome_spread == pytest.approx(y.std(), rel=0.01)


def test_measuring_changes_nothing_of_the_run() -> None:
    data = CueData()
    data.setup("fit")
    model = keeping_model(data.task, 10).train()
    before, state = torch.get_rng_state(), {name: x.clone() for name, x in model.state_dict().items()}
    judge(measure(model, data, updates=10))
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert model.lanes.after is None
    assert all(torch.equal(x, state[name]) for name, x in model.state_dict().items())
