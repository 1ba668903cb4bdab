"""The verdict that a memory forgets: only where that is certain, and with advice that helps."""

from __future__ import annotations

from dataclasses import replace

from memup_lightning.callbacks.verdict.measuring.measure import measure
from memup_lightning.callbacks.verdict.measuring.split_measurement import Place, SplitMeasurement
from memup_lightning.modules.evaluation.estimate import Estimate
from tests.callbacks.cue_task import CueData, keeping_model
from tests.callbacks.made_runs import RISING, STANDING, changed, every_500, judged, near, run, split


def test_a_memory_that_loses_its_cue_forgets() -> None:
    data = CueData(num_val=128)
    data.setup("fit")
    found = judged(changed(measure(keeping_model(data.task, 10), data, updates=10), awaits_selection=False))[0]
    assert found.name == "forgetting"
    assert "in 128 validation episodes the state 32 steps before an outcome explains 1.00 bits" in found.sentence


def test_what_is_known_early_and_lost_late_is_forgotten() -> None:
    early, late = Place(10, near(0.9), 1.0), Place(1000, near(0.1), 1.0)
    assert judged(run(split(0.5, 0.5, early=early, late=late)))[0].name == "forgetting"
    easy = Place(1000, near(0.1), 0.1)  # little is uncertain there
    assert judged(run(split(0.5, 0.5, early=early, late=easy)))[0].name == "partly_explained"


def test_a_difference_that_may_be_chance_is_not_forgotten() -> None:
    def names(val: SplitMeasurement, train: SplitMeasurement) -> list[str]:
        return [finding.name for finding in judged(run(val, train))]

    lost, kept = split(0.2, 0.2, 0.2, 0.7), split(0.2, 0.2, 0.2, 0.24)
    assert names(lost, lost)[0] == "forgetting"
    assert "reach" not in names(lost, lost)
    assert "reach" in names(lost, kept)
    assert "forgetting" not in names(lost, kept)  # as training episodes say
    for wide in (
        replace(lost.curve[-1], change=Estimate(0.5, 0.12, 0.9)),  # 2.5 standard errors
        replace(lost.curve[-1], episodes=6),
    ):
        noisy = replace(lost, curve=(*lost.curve[:-1], wide))
        assert "forgetting" not in names(noisy, lost)
        assert "forgetting" not in names(lost, noisy)
    early, late = Place(10, near(0.9), 1.0), Place(1000, near(0.1), 1.0)
    assert "forgetting" not in names(split(0.5, 0.5, early=early, late=late), split(0.5, 0.5))


def test_a_memory_that_forgets_is_trained_on_where_its_gain_may_rise_and_not_where_it_jumps() -> None:
    lost = split(0.2, 0.2, 0.2, 0.7)
    for gains in ((0.0, 0.08, 0.16), (0.1,), ()):
        began = judged(run(lost, history=every_500(*gains), updates=1500))[0]
        assert (began.name, began.try_first) == (
            "forgetting",
            "train longer: --ckpt_path=last --trainer.max_steps=3000",
        )
    for gains in ((0.16, -0.01, 0.24), (0.04, 0.0, -0.03, 0.12), (0.3, 0.1, 0.35, 0.05, 0.4, 0.2, 0.45)):
        jumps = judged(run(lost, history=every_500(*gains), updates=500 * len(gains)))[0]
        assert jumps.name == "forgetting"
        assert str(jumps.try_first).startswith("give more training episodes")


def test_a_memory_that_forgets_is_kept_longer_only_beyond_what_it_keeps() -> None:
    lost = split(0.2, 0.2, 0.2, 0.7)
    rises = [finding.name for finding in judged(run(lost, history=RISING))]
    assert rises[:2] == ["undertrained", "forgetting"]
    for memory, said in (("LSTM", "give more training episodes, 4,096 say"), ("GRU", "memory=LSTM")):
        stands = run(lost, history=STANDING, memory=(memory, 64))
        assert str(judged(stands)[0].try_first).endswith(said)
    far = split(*[0.2] * 12, 0.7)  # 2,048 steps
    assert str(judged(run(far, history=STANDING, memory=("LSTM", 64)))[0].try_first).endswith("memory.chrono=2048")
