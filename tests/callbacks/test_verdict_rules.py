"""Each finding follows from measurements made to be so, and every run gets one verdict."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from memup_lightning.callbacks.metrics import finite_tree
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.modules.evaluation.estimate import Estimate
from tests.callbacks.any_runs import CASES, runs
from tests.callbacks.made_runs import (
    ALL,
    FLAT,
    HALF,
    HELD,
    NOTHING,
    RISING,
    constant,
    every_500,
    judged,
    run,
    split,
    unsure,
)

REMARKS = ("reach", "restored", "poor_reference", "worse_than_local")


@pytest.mark.parametrize("name", CASES)
def test_each_verdict_is_reached(name: str) -> None:
    findings = judged(CASES[name])
    assert findings[0].name == name
    assert findings[0].sentence.endswith(".")
    assert (findings[0].try_first is None) == (name == "explained")
    assert all(finding.try_first is None for finding in findings if finding.name in REMARKS)


@pytest.mark.parametrize(
    ("measurements", "said"),
    [
        (
            CASES["explained"],
            ["0.98 of 1.00 bits", "95% interval 0.96 to 1.00", "at 64 steps of 64 validation episodes"],
        ),
        (CASES["overfitted"], ["512 training episodes", "0.90 bits", "-1.40", "--data.init_args.num_train=4096"]),
        (run(split(-1.4), split(0.9), history=HELD), ["leave out inputs that cannot matter", "4,096 say"]),
        (
            CASES["memorized"],
            [
                "Hardly anything",
                "512 training episodes",
                "either",
                "leave out inputs that cannot matter",
                "if they do, collect 2,048 to 4,096 training episodes (4 to 8 times as many)",
            ],
        ),
        (
            run(split(-1.4), split(0.9), episodes_option="num_train"),
            ["Hardly anything", "--data.init_args.num_train=4096"],
        ),
        (
            CASES["worse_than_constant"],
            [
                "worse than a constant",
                "leave 0.55 bits",
                "leaves 0.5 (their entropy)",
                "leaves 1:",
                "smaller learning rate",
            ],
        ),
        (CASES["partly_explained"], ["since update 1,000 of 5,000", "probably noise", "memory.hidden_size=128"]),
        (CASES["uncertain"], ["nothing for certain", "0.50 of 1.00 bits", "more validation episodes"]),
        (run(None, steps="targets", awaits_validation=True), ["before a validation", "val_check_interval"]),
        (run(split(0.0, uncertain=0.0, own=0.0), rare=0.0), ["all alike: there is nothing"]),
        (
            CASES["rare_outcomes"],
            ["at 64 steps of 64 validation episodes", "0.07% of those", "leave the outcome empty"],
        ),
        (
            CASES["forgetting"],
            [
                "in 64 validation episodes",
                "4 steps before",
                "0.90 bits",
                "at the outcome 0.1;",
                "--trainer.max_steps=3000",
            ],
        ),
        (CASES["wrong_targets"], ["10%", "num_targets=8"]),
        (
            CASES["undertrained"],
            ["from 0.25 bits at update 2,500 to 0.50 at update 5,000", "--ckpt_path=last --trainer.max_steps=10000"],
        ),
        (run(unsure(0.5), updates=300), ["nothing for certain yet, after 300 updates"]),
        (run(NOTHING, updates=300), ["nothing yet", "--ckpt_path=last"]),
        (
            CASES["blind"],
            [
                "0.00 of 1.00 bits",
                "of 64 validation episodes",
                "--data.chunk_length=200",
                "up to 20 times as long. If that is not enough, make more than the 512 training episodes too.",
            ],
        ),
        (run(NOTHING, longest=397, chunk_length=32), ["chunk_length=400; an update then takes up to 12 times as long"]),
        (run(NOTHING, chunk_length=200), ["check by hand", "on short episodes first. If that", "512 training"]),
        (run(NOTHING, outcome_problem="they differ by 0.002 at most"), ["0.002"]),
        (run(NOTHING, input_spread=1e-4), ["0.0001"]),
        (run(ALL, selects_nothing=True), ["chose no step", "above -inf"]),
        (run(NOTHING, awaits_selection=True, updates=100), ["100 updates", "--trainer.max_steps=5000"]),
    ],
)
def test_a_finding_gives_its_numbers_and_one_thing_to_try(measurements: Measurements, said: list[str]) -> None:
    first = judged(measurements)[0]
    text = f"{first.sentence} {first.try_first}"
    assert [words for words in said if words not in text] == []


def test_outcomes_that_are_all_equal_are_the_verdict_unless_others_are_explained() -> None:
    equal = {"equal_outcomes": "the outcome is class 0 at all 9 steps that were looked at"}
    for val, name in ((None, "constant_outcome"), (replace(ALL, own=0.0), "constant_outcome"), (ALL, "explained")):
        assert judged(run(val, **equal))[0].name == name


def test_more_episodes_are_proposed_only_where_there_are_few() -> None:
    assert "more than" in str(judged(run(NOTHING, episodes=512))[0].try_first)
    assert str(judged(run(NOTHING, episodes=16_384))[0].try_first).endswith("20 times as long")


def test_explained_numbers_are_given_as_a_share_of_their_error() -> None:
    found = judged(run(split(3.1, surprise=2.0, explained=0.97), outcome="number"))[0]
    assert found.name == "explained"
    assert "97% of the squared error" in found.sentence


def test_a_loss_that_is_smaller_further_away_is_not_forgotten() -> None:
    found = judged(run(split(-20.0, -20.0, -9.0), split(0.3, 0.3, 0.3), history=HELD))
    assert [finding.name for finding in found] == ["overfitted"]


def test_a_run_that_ends_with_its_best_weights_is_over_fitted_however_alike_the_gains_are() -> None:
    found = judged(run(split(0.2), split(0.25), best=(1500, 0.2), history=((4000.0, -6.0),)))[0]
    assert found.name == "overfitted"
    assert "update 1,500" in found.sentence
    assert "0.20 bits with these weights, and -6.00 with the last ones" in found.sentence


def test_a_run_that_went_back_and_ends_with_its_best_weights_is_over_fitted() -> None:
    given = {"best": (1000, 0.5), "fell": True, "history": ((1000.0, 0.5), (5000.0, 0.55))}
    assert judged(run(HALF, split(0.5), **given))[0].name != "overfitted"
    found = judged(run(HALF, split(0.5), memorized=True, **given))[0]
    assert found.name == "overfitted"
    assert found.sentence.startswith("The memory explains a part of the outcomes: 0.50 of 1.00 bits")
    assert "4,096" in str(found.try_first)
    standing = run(HALF, memorized=True, history=every_500(*[0.5] * 20))
    assert judged(standing)[0].name == "partly_explained"
    assert "give more training episodes" in str(judged(standing)[0].try_first)


@pytest.mark.parametrize(
    ("high", "everywhere", "name"),
    [(0.3, 0.01, "explained"), (0.15, 0.5, "blind"), (0.15, None, "blind"), (0.15, 0.04, "needs_no_memory")],
)
def test_what_the_state_of_another_episode_explains_as_well_is_not_of_the_memory(
    high: float, everywhere: float | None, name: str
) -> None:
    val = replace(ALL, over_others=Estimate(0.05, -0.05, high))
    found, *others = judged(run(val, uncertain_everywhere=everywhere, history=RISING))
    assert found.name == name
    assert ("reach" in {other.name for other in others}) == (name == "explained")
    assert name != "blind" or "the state of another episode explains as much" in found.sentence
    assert name != "needs_no_memory" or "96% of their entropy" in found.sentence


def test_an_explained_task_is_not_over_fitted_nor_under_trained() -> None:
    names = {finding.name for finding in judged(run(ALL, split(0.99), history=RISING, recall=0.2, noise=0.9))}
    assert names == {"explained", "reach"}


@settings(max_examples=100, deadline=None)
@given(runs)
def test_every_run_has_a_verdict(measurements: Measurements) -> None:
    findings = judged(measurements)
    names = [finding.name for finding in findings]
    assert names[0] in CASES
    assert len(set(names)) == len(names)
    assert all(finding.sentence for finding in findings)
    json.dumps(finite_tree(measurements.to_dict()), allow_nan=False)


def test_a_memory_that_explains_most_of_the_squared_error_is_not_blind_though_some_errors_cost_many_bits() -> None:
    assert judged(run(split(-0.5, -0.5, explained=0.8), history=FLAT))[0].name == "partly_explained"


def test_a_squared_error_that_is_larger_than_without_memory_is_called_so() -> None:
    better = judged(run(split(0.5, 0.5, explained=-0.17), history=FLAT, outcome="number"))[0]
    assert better.name == "partly_explained"
    assert "17% larger than without memory" in better.sentence
    assert "-17%" not in better.sentence
    alike = judged(run(split(0.5, 0.5, explained=-0.002), history=FLAT, outcome="number"))[0]
    assert "no smaller than without memory" in alike.sentence


def test_outcomes_that_are_all_alike_are_no_reproach_to_the_memory() -> None:
    alike = replace(constant(0.5, local=2.0, memory=1.1), own=0.0, uncertain=0.0)
    for rare in (None, 0.0, 0.01):
        names = [finding.name for finding in judged(run(alike, rare=rare))]
        assert not {"worse_than_constant", "poor_reference"} & set(names)
