"""The copy task: what an episode asks for, and that a memory learns it."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, EpisodeSource
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import CopyDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from tests.training import Forgetful, fit_and_validate


def whole(source: EpisodeSource, episode: int) -> dict[str, np.ndarray]:
    return source.read(episode, 0, int(source.lengths[episode]))


@pytest.mark.parametrize("shortest", [None, 1, 7])
@pytest.mark.parametrize("scattered", [False, True])
def test_the_outcome_at_a_cue_is_the_symbol_of_the_same_number(scattered: bool, shortest: int | None) -> None:
    sizes = {"length": 20, "symbols": 5, "copied": 6, "num_train": 50, "shortest": shortest}
    source = CopyDataModule(scattered=scattered, seed=3, **sizes).episodes("train")
    for episode in range(50):
        arrays = whole(source, episode)
        token, outcome = arrays["token"], arrays[OUTCOME]
        blanks = len(token) - 12
        assert (20 if shortest is None else shortest) <= blanks <= 20
        assert (token == 5).sum() == blanks
        assert (token[-6:] == 6).all()
        assert (token[:-6] <= 5).all()
        assert np.array_equal(token[token < 5], outcome[-6:])
        assert (outcome[:-6] == 5).all()
        assert arrays[EVAL_MASK].tolist() == [False] * (blanks + 6) + [True] * 6


def test_shorter_episodes_are_of_every_order_of_magnitude_and_for_training_alone() -> None:
    data = CopyDataModule(length=1000, shortest=1, num_train=3000, seed=1)
    blanks = data.episodes("train").lengths - 20
    share = np.histogram(blanks, [1, 10, 100, 1001])[0] / 3000
    assert np.abs(share - 1 / 3).max() < 0.03
    assert {1, 1000} <= set(blanks.tolist())
    assert set(data.episodes("val").lengths.tolist()) == set(data.episodes("test").lengths.tolist()) == {1020}


def test_copy_shows_the_symbols_first_and_scattered_copy_anywhere_before_the_cues() -> None:
    sizes = {"length": 6, "copied": 2, "num_train": 400, "seed": 1}
    plain, scattered = (CopyDataModule(scattered=x, **sizes).episodes("train") for x in (False, True))
    places = [np.flatnonzero(whole(plain, i)["token"] < 8).tolist() for i in range(400)]
    assert places == [[0, 1]] * 400
    places = [np.flatnonzero(whole(scattered, i)["token"] < 8).tolist() for i in range(400)]
    assert {tuple(x) for x in places} == {(i, j) for i in range(8) for j in range(i + 1, 8)}


def test_the_symbols_are_fair_and_independent() -> None:
    source = CopyDataModule(length=1, num_train=4000, seed=1).episodes("train")
    symbols = source.gather(np.arange(4000), np.zeros(4000, np.int64), 10, ["token"])["token"]
    share = np.stack([(symbols == symbol).mean(0) for symbol in range(8)])
    assert np.abs(share - 1 / 8).max() < 0.03
    assert np.abs(np.corrcoef(symbols.T.astype(float)) - np.eye(10)).max() < 0.08


def test_the_local_context_distinguishes_the_cues() -> None:
    data = CopyDataModule(length=30, copied=4, num_train=1, seed=1)
    token = data.episodes("train").gather(np.zeros(4, np.int64), 34 + np.arange(4) - 3, data.task.window, ["token"])
    assert len({tuple(row) for row in token["token"].tolist()}) == 4


@pytest.mark.parametrize("argument", ["length", "shortest", "symbols", "copied", "num_val"])
def test_a_copy_task_of_nothing_is_refused(argument: str) -> None:
    with pytest.raises(MemUPError, match=f"{argument}=0: must be at least"):
        CopyDataModule(**{argument: 0})


def test_a_shortest_episode_above_the_longest_is_refused() -> None:
    with pytest.raises(MemUPError, match="shortest=30 is more than length=20"):
        CopyDataModule(length=20, shortest=30)


@pytest.mark.parametrize("scattered", [False, True])
def test_validation_episodes_that_differ_in_a_few_symbols_only_are_not_taken_for_training_episodes(
    scattered: bool, recwarn: pytest.WarningsRecorder
) -> None:
    CopyDataModule(length=1000, scattered=scattered, seed=1).setup("fit")
    assert not [x for x in recwarn if "training episodes too" in str(x.message)]


def learn(model_class: type[MemUP]) -> dict[str, float]:
    """Metrics on validation episodes: two symbols of four are copied over 20 blanks, gradients cross 4 steps."""
    seed_everything(1)
    data = CopyDataModule(
        length=20,
        symbols=4,
        copied=2,
        num_train=256,
        num_val=64,
        chunk_length=4,
        lanes=32,
        restart=[0.5, 0.5, 0.0, 0.0],
        evaluation_chunk_length=4,  # else a cut memory would see symbols and cues in one chunk
        selector=TopK(2),
        seed=1,
    )
    model = model_class(
        data.task,
        memory=partial(LSTM, hidden_size=32, chrono=20, chrono_input=False),
        encoder=partial(StepEncoder, one_hot=8.0),
        optimizer=partial(torch.optim.Adam, lr=1e-2),
    )
    return fit_and_validate(model, data, UPDATES, every=1_000_000, settle=50)


UPDATES = 500


@pytest.mark.learning
def test_a_memory_learns_to_reproduce_what_it_saw_many_chunks_ago() -> None:
    found = learn(MemUP)
    assert found["val/accuracy"] >= 0.95
    assert found["val/target_recall"] >= 0.99  # the cues, and nothing else
    assert found["val/memory_gain"] > 1.6  # a symbol is two bits


@pytest.mark.learning
def test_the_same_model_with_its_memory_cut_guesses_the_symbols() -> None:
    found = learn(Forgetful)
    assert found["val/accuracy"] < 0.4
    assert found["val/target_recall"] >= 0.99
    assert found["val/memory_gain"] < 0.3
