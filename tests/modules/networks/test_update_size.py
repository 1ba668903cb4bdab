"""Chunks are no longer than the episodes, and an update or evaluation that needs more memory than there is is refused."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytest

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import BPTT, MemUP
from memup_lightning.modules.networks import update_size
from tests.modules.small_runs import assert_same, data_of, model_of, weights
from tests.training import quiet_trainer

LONG: dict[str, Any] = {"length": 1_000_000, "num_train": 4, "num_val": 2, "lanes": 4}


def fitted(updates: int, kind: Any = MemUP, memory: Any = None, **given: Any) -> Any:
    data = data_of(**given)
    model = model_of(data, kind) if memory is None else kind(data.task, memory=memory)
    quiet_trainer(updates, [], limit_val_batches=0).fit(model, data)
    return model


def test_chunks_are_no_longer_than_the_longest_training_episode() -> None:
    data = data_of(chunk_length=100_000)
    model = model_of(data)
    quiet_trainer(3, [], limit_val_batches=0).fit(model, data)
    longest = int(data.splits["train"].lengths.max())
    assert data.chunk_length == longest < 100
    assert next(iter(data.train_dataloader())).num_steps == longest
    assert f"{longest} steps (r, whole episodes)" in data.describe()["gradients cross"]
    assert_same(weights(model), weights(fitted(3, chunk_length=longest)))


def test_an_update_beyond_the_memory_of_the_machine_is_refused_with_what_would_fit() -> None:
    with pytest.raises(
        MemUPError,
        match=r"an update needs [\d.,]+ GB at least, for 4,000 lanes of 1,000,0\d\d steps, and the machine has",
    ) as raised:
        fitted(1, **LONG | {"lanes": 4000, "chunk_length": 10**9})
    assert "set lanes=" in str(raised.value)
    assert "or chunk_length=" in str(raised.value)


def test_an_evaluation_beyond_the_memory_of_the_machine_is_refused() -> None:
    memory = partial(LSTM, hidden_size=8192, num_layers=1)
    long = {"num_val": 64, "evaluation_lanes": 64, "evaluation_chunk_length": 10**9}
    with pytest.raises(MemUPError, match=r"an evaluation needs .* for 64 lanes of 1,000,0\d\d steps"):
        fitted(1, memory=memory, **LONG | long | {"chunk_length": 2})


def test_what_an_update_saves_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """An LSTM saves its gates and more: many times what it reads and returns."""
    read = 8 * 5 * 4 * (5 + 6 + 8)  # lanes, steps, bytes of fields, features and states, about
    monkeypatch.setattr(update_size, "_memory_of", lambda device: (10**9, 5 * read))
    monkeypatch.setattr(update_size, "_CLEARLY_FITS", 10**9)
    with pytest.warns(
        UserWarning, match=r"an update needs .* MB at least, for 8 lanes of 5 steps, .* are free; set lanes="
    ):
        fitted(1)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "an update needs")
        monkeypatch.setattr(update_size, "_memory_of", lambda device: (10**9, 20 * read))
        fitted(1)


def test_bptt_that_computes_segments_again_stores_one_of_them() -> None:
    data = data_of(chunk_length=100)
    assert model_of(data, BPTT).stored_steps(30) == 30
    assert model_of(data, BPTT, checkpoint_every=4).stored_steps(30) == 4


def test_many_lanes_of_few_episodes_are_pointed_out() -> None:
    many = r"lanes=3000: 24 training episodes have \d+ chunks of 5 steps, so every update plays each of them \d+ times"
    with pytest.warns(UserWarning, match=many):
        data_of(lanes=3000).setup("fit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data_of(lanes=None).setup("fit")  # 256
        data_of(lanes=400).setup("fit")
