"""Interference as data: what is evaluated, and that it is learned with a memory alone. Its rules: tests/envs."""

from __future__ import annotations

import numpy as np
import pytest
from pytorch_lightning import seed_everything

from memup_lightning.data.episodes import EVAL_MASK, OUTCOME
from memup_lightning.datamodules import InterferenceDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from tests.training import Forgetful, fit_and_validate


def test_the_junctions_alone_are_evaluated_and_their_rewards_are_fair() -> None:
    source = InterferenceDataModule(length=30, cues=3, coins=4, num_train=500, seed=1).episodes("train")
    arrays = source.gather(np.arange(500), np.zeros(500, np.int64), 30, list(source.fields))
    assert np.array_equal(arrays[EVAL_MASK], arrays["observation"][..., 1] == 1)
    assert set(arrays[OUTCOME][arrays[EVAL_MASK]]) == {4, -3}
    assert abs((arrays[OUTCOME][arrays[EVAL_MASK]] > 0).mean() - 0.5) < 0.05


def test_steps_at_the_end_of_a_million_are_read_alone() -> None:
    source = InterferenceDataModule(length=1_000_000, cues=8, num_train=2, seed=1).episodes("train")
    arrays = source.read(0, 875_000, 1_000_000)  # the last junction's part of the second half begins before
    assert arrays[EVAL_MASK].sum() == 2


@pytest.mark.parametrize(("argument", "value"), [("cues", 0), ("num_train", 0), ("num_test", -1)])
def test_an_episode_of_nothing_is_refused(argument: str, value: int) -> None:
    with pytest.raises(MemUPError, match=f"{argument}={value}: must be at least 1"):
        InterferenceDataModule(**{argument: value})


@pytest.mark.learning
@pytest.mark.parametrize(("model_class", "learns"), [(MemUP, True), (Forgetful, False)])
def test_two_cues_are_learned_across_chunks_and_not_with_the_memory_cut(model_class: type[MemUP], learns: bool) -> None:
    seed_everything(1)
    data = InterferenceDataModule(
        length=40, cues=2, num_train=4000, num_val=200, chunk_length=10, lanes=64, evaluation_chunk_length=10, seed=1
    )
    accuracy = fit_and_validate(model_class(data.task), data, 1000, every=10**6, settle=20, max_wait=100)[
        "val/accuracy"
    ]
    if learns:
        assert accuracy > 0.97
    else:
        assert accuracy < 0.1  # no cue is in the chunk of a junction: one ends with the first half
