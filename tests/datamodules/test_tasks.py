"""What holds of the data of every task: a new one gets all checks by being listed in TASKS."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning import datamodules
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, EpisodeSource
from memup_lightning.datamodules import (
    AddingDataModule,
    ArrayDataModule,
    CopyDataModule,
    EpisodeDataModule,
    InterferenceDataModule,
    PermutedPixelsDataModule,
    TMazeDataModule,
)
from memup_lightning.datamodules.recorded.splits import SPLITS
from memup_lightning.modules import MemUP
from tests.idx_files import write_images

SIZES = {"num_train": 12, "num_val": 7, "num_test": 5, "lanes": 4, "evaluation_lanes": 3, "evaluation_chunk_length": 8}


@functools.cache
def four_by_four() -> str:
    """A folder of images of 4 x 4 pixels."""
    return str(write_images(Path(tempfile.mkdtemp())))


def own_arrays(seed: int, **given: Any) -> ArrayDataModule:
    """Episodes of 2 to 9 steps, with one class each at their end."""

    def split(number: int) -> Iterator[tuple[np.ndarray, int]]:
        rng = np.random.default_rng([seed, number])
        for _ in range(given[f"num_{SPLITS[number]}"]):
            yield rng.random((rng.integers(2, 10), 3)), rng.integers(3)

    counts = {name for name in given if name.startswith("num_")}
    sources = {name: functools.partial(split, number) for number, name in enumerate(SPLITS)}
    return ArrayDataModule(seed=seed, **sources, **{name: x for name, x in given.items() if name not in counts})


# A name is that of the config, where there is one: `-k NAME` takes the tests of both.
TASKS: dict[str, Callable[..., EpisodeDataModule]] = {
    "copy": lambda **given: CopyDataModule(length=15, copied=4, **given),
    "scattered_copy": lambda **given: CopyDataModule(length=15, copied=4, scattered=True, **given),
    "copy_of_one_symbol": lambda **given: CopyDataModule(length=1, copied=1, symbols=2, **given),
    "adding": lambda **given: AddingDataModule(length=15, **given),
    "own_arrays": lambda **given: own_arrays(**given),
    "permuted_pixels": lambda **given: PermutedPixelsDataModule(source=four_by_four(), **given),
    "interference": lambda **given: InterferenceDataModule(length=20, cues=3, overwrites=1, coins=2, **given),
    "tmaze": lambda **given: TMazeDataModule(length=14, mode="LNR", distractors=2, **given),
}

ELSEWHERE = {
    "GymnasiumDataModule": "environments/test_gymnasium.py",
    "HiddenFactsDataModule": "language/test_hidden_facts.py",
    "MinariDataModule": "environments/test_minari.py",
    "TextDataModule": "language/test_text.py",
    "TwoColorsDataModule": "environments/test_two_colors_data.py",
}
"""Tasks whose episodes need more than arguments, and the files that test them."""


def test_every_public_task_is_tested_here_or_elsewhere() -> None:
    public = {name for name in datamodules.__all__ if issubclass(getattr(datamodules, name), EpisodeDataModule)}
    here = {type(made(name)).__name__ for name in TASKS}
    base_classes = {"EpisodeDataModule", "RewardDataModule"}
    missing = public - here - set(ELSEWHERE) - base_classes
    assert not missing, f"add {', '.join(sorted(missing))} to TASKS above"
    for name, file in ELSEWHERE.items():
        assert name in (Path(__file__).parent / file).read_text()


def made(name: str, seed: int = 1, **given: Any) -> EpisodeDataModule:
    """The datamodule of a task, small."""
    return TASKS[name](seed=seed, **SIZES | given)


def whole(source: EpisodeSource, episode: int) -> dict[str, np.ndarray]:
    return source.read(episode, 0, int(source.lengths[episode]))


def same(one: EpisodeSource, other: EpisodeSource, names: list[str]) -> bool:
    """Whether the first episodes show the same in all these fields."""
    count = min(len(one), len(other))
    first, second = ([whole(source, i) for i in range(count)] for source in (one, other))
    return all(np.array_equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in names)


every_task = pytest.mark.parametrize("name", TASKS)


@every_task
def test_every_field_is_read_as_it_is_declared(name: str) -> None:
    data = made(name)
    source = data.episodes("train")
    assert len(source) == SIZES["num_train"]
    for episode in range(len(source)):
        arrays = whole(source, episode)
        assert arrays.keys() == source.fields.keys()
        for key, x in arrays.items():
            field = source.fields[key]
            assert x.shape == (source.lengths[episode], *field.shape)
            assert x.dtype == np.dtype(field.dtype)
            if field.type == "token" and not (key == OUTCOME and HAS_OUTCOME in arrays):
                assert x.min() >= 0
                assert x.max() < field.classes


@every_task
def test_the_task_describes_the_fields_of_the_episodes(name: str) -> None:
    data = made(name)
    source = data.episodes("train")
    for key, field in data.task.fields.items():
        assert source.fields[key] == field
    assert source.fields[OUTCOME] == data.task.outcome


@every_task
def test_the_seed_alone_decides_what_an_episode_is(name: str) -> None:
    names = list(made(name).episodes("train").fields)
    for split in SPLITS:
        first = made(name).episodes(split)
        assert same(first, made(name).episodes(split), names)
        assert same(first, made(name, **{f"num_{split}": 5}).episodes(split), names)  # nor the number of episodes
        assert not same(first, made(name, seed=2).episodes(split), names)


@every_task
def test_the_splits_differ(name: str) -> None:
    data = made(name)
    train, val, test = (data.episodes(split) for split in SPLITS)
    names = list(data.task.inputs)
    assert not same(train, val, names)
    assert not same(train, test, names)
    assert not same(val, test, names)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(TASKS)), st.integers(0, 2**31), st.data())
def test_any_slice_is_that_slice_of_the_whole_episode(name: str, seed: int, data: st.DataObject) -> None:
    source = made(name, seed).episodes("val")
    episode = data.draw(st.integers(0, len(source) - 1))
    length = int(source.lengths[episode])
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    part, all_steps = source.read(episode, start, stop), whole(source, episode)
    for key in source.fields:
        assert np.array_equal(part[key], all_steps[key][start:stop])


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(TASKS)),
    st.lists(st.tuples(st.integers(0, 6), st.integers(-9, 40)), min_size=1, max_size=6),
    st.integers(1, 12),
)
def test_gathered_rows_are_what_is_read_and_fill_outside(name: str, rows: list[tuple[int, int]], steps: int) -> None:
    source = made(name).episodes("val")
    episodes, starts = np.array(rows).T
    out = source.gather(episodes, starts, steps, list(source.fields))
    assert list(out) == list(source.fields)
    for row, (episode, start) in enumerate(rows):
        arrays, length = whole(source, episode), int(source.lengths[episode])
        for n, t in enumerate(range(start, start + steps)):
            for key, field in source.fields.items():
                wanted = arrays[key][t] if 0 <= t < length else np.full(field.shape, field.fill)
                assert np.array_equal(out[key][row, n], wanted)


@every_task
def test_the_chunks_of_a_stream_are_the_whole_episodes(name: str) -> None:
    data = made(name)
    data.setup("fit")
    source, task = data.sources["val"], data.task
    seen: dict[int, list[dict[str, np.ndarray]]] = {}
    for chunk in data.splits["val"].chunks():
        for lane in (chunk.episode >= 0).nonzero().flatten().tolist():
            there = chunk.valid[lane]
            part = {key: x[lane, there].numpy() for key, x in chunk.inputs.items()}
            part |= {"outcome": chunk.outcome[lane, there].numpy(), EVAL_MASK: chunk.eval_mask[lane, there].numpy()}
            seen.setdefault(int(chunk.episode[lane]), []).append(part)
    assert sorted(seen) == list(range(len(source)))
    for episode, parts in seen.items():
        arrays = whole(source, episode)
        for key, lag in task.inputs.items():
            x = np.concatenate([part[key] for part in parts])
            assert np.array_equal(x[lag:], arrays[key][: len(x) - lag])
        known = arrays.get(HAS_OUTCOME, np.ones(len(arrays[OUTCOME]), np.bool_))
        outcome = np.concatenate([part["outcome"] for part in parts])
        assert np.array_equal(outcome[known], arrays[OUTCOME][known])
        assert not outcome[~known].any()
        assert np.array_equal(np.concatenate([part[EVAL_MASK] for part in parts]), arrays[EVAL_MASK])


@every_task
def test_every_episode_is_evaluated_at_steps_that_have_an_outcome_and_not_at_its_first(name: str) -> None:
    source = made(name).episodes("train")
    for episode in range(len(source)):
        arrays = whole(source, episode)
        eval_mask = arrays[EVAL_MASK]
        assert eval_mask.any()
        assert not eval_mask[0]
        assert arrays.get(HAS_OUTCOME, np.ones(len(eval_mask), bool))[eval_mask].all()


@every_task
def test_what_is_evaluated_differs_between_episodes(name: str) -> None:
    source = made(name).episodes("train")
    answers = {tuple(x[OUTCOME][x[EVAL_MASK]].ravel()) for x in (whole(source, i) for i in range(len(source)))}
    assert len(answers) > 1


@every_task
def test_a_model_built_from_the_task_has_a_finite_loss_on_its_chunks(name: str) -> None:
    torch.manual_seed(1)
    data = made(name, chunk_length=6)
    data.setup("fit")
    model = MemUP(data.task, current_step=False)  # there is no trainer to ask for the steps of a chunk
    chunk = data.join("train", next(iter(data.training_stream)))
    memory, _ = model.unroll(chunk, None)
    losses = model.losses(chunk, memory)
    assert losses["local_loss"] > 0
    assert all(torch.isfinite(loss) for loss in losses.values())
