"""A setting that has no effect beside the others is refused or pointed out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule, RolloutDataModule, TextDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import BPTT, TBPTT, MemUP
from tests.modules.small_runs import data_of, model_of
from tests.training import quiet_trainer


def saved(path: Path, classes: bool = False) -> str:
    y = np.arange(120) % 2 if classes else np.random.default_rng(2).normal(size=120)
    np.savez(path, x=np.random.default_rng(1).normal(size=(120, 2)), y=y, lengths=[10] * 12)
    return str(path)


Make = Callable[[str, str], Any]


def classes(own: str, **given: Any) -> Any:
    data = ArrayDataModule(saved(Path(own), classes=True), **given)
    return data.task


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda own, other: ArrayDataModule(own, other, val_share=0.3), "val_share=0.3 has no effect with val given"),
        (lambda own, other: ArrayDataModule(own, None, other, test_share=0.2), "test_share=0.2 has no effect with test"),
        (lambda own, other: ArrayDataModule(own, episode="journey").task, "episode=journey has no effect where no table"),
        (lambda own, other: classes(own, tolerance=0.1), "tolerance=0.1 has no effect where the outcome is a class"),
        (lambda own, other: TextDataModule([own], [other], val_share=0.3), "val_share=0.3 has no effect with val given"),
        (lambda own, other: TextDataModule([own], unit="byte", num_words=9), "num_words=9 has no effect with unit=byte"),
        (lambda own, other: RolloutDataModule("CartPole-v1", timeout=9.0), "timeout=9.0 has no effect with vectorization"),
        (lambda own, other: LSTM(3, chrono_input=False), "LSTM chrono_input=False has no effect without chrono"),
    ],
)  # fmt: skip
def test_a_setting_that_has_no_effect_beside_the_others_is_refused(make: Make, said: str, tmp_path: Path) -> None:
    with pytest.raises(MemUPError, match=said):
        make(saved(tmp_path / "own.npz"), saved(tmp_path / "other.npz"))


def test_the_defaults_are_accepted_where_they_have_no_effect(tmp_path: Path) -> None:
    """A config that a run wrote names them all."""
    own, other = saved(tmp_path / "own.npz", classes=True), saved(tmp_path / "other.npz", classes=True)
    data = ArrayDataModule(own, other, val_share=0.1, test_share=0.1, episode="episode", tolerance=0.25)
    assert data.task.outcome.classes == 2


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (MemUP, {"num_clusters": 8}, "num_clusters=8 has no effect: the selector chooses without context clusters"),
        (MemUP, {}, r"curriculum=\{10: 500\} has no effect: the longest training episode has \d\d steps"),
        (BPTT, {"checkpoint_every": 50}, "checkpoint_every=50 has no effect: a chunk has"),
    ],
)
def test_a_setting_of_the_model_that_the_data_give_no_effect_is_pointed_out(
    kind: Any, given: dict[str, Any], said: str
) -> None:
    data = data_of(chunk_length=100, curriculum={10: 500})
    with pytest.warns(UserWarning, match=said):
        quiet_trainer(1, [], limit_val_batches=0).fit(model_of(data, kind, **given), data)


def test_the_table_of_a_run_says_that_a_baseline_has_no_use_for_the_selector() -> None:
    from memup_lightning.data.targets import TopK

    for given, said in (({}, False), ({"selector": TopK(1)}, True)):
        data = data_of(**given)
        quiet_trainer(1, [], limit_val_batches=0).fit(TBPTT(data.task, memory=partial(LSTM, hidden_size=8)), data)
        assert ("TBPTT needs none" in data.describe().get("targets", "")) == said
