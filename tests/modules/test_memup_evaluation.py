"""How a MemUP memory is evaluated, and what MemUP refuses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import SequentialSampler, ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import TargetTable, TopK
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes import CategoricalOutcome, GaussianOutcome
from tests.modules.small_memup import (
    LENGTHS,
    R,
    context_of,
    episodes,
    model_of,
    scored_table,
    task_of,
)


@pytest.mark.parametrize(("lanes", "chunk_length"), [(2, 7), (5, 50)])
@pytest.mark.parametrize("outcome", [GaussianOutcome, CategoricalOutcome])
def test_a_memory_is_evaluated_at_the_evaluated_steps_with_the_state_of_the_same_step(
    lanes: int, chunk_length: int, outcome: Any
) -> None:
    source = judged_episodes(classes=4 if outcome is CategoricalOutcome else 0)
    task = task_of(source) if outcome is CategoricalOutcome else replace(task_of(source), tolerance=0.8)
    model = model_of(task, outcome=outcome)
    schedule = SequentialSampler(LENGTHS, lanes, chunk_length)
    table = scored_table(TopK(2))
    join = TargetJoin(source, task, table, schedule)
    stream = ChunkStream(source, task, schedule, schedule.steps)
    for _ in range(2):  # a second pass does not see the first
        model.on_validation_epoch_start()
        for chunk in stream:
            model.evaluate(join(chunk))
    model.on_predict_epoch_start()
    predicted = [model.predict_step(chunk, 0) for chunk in stream]

    correct, nll, gain, squares = [], [], [], []
    prediction: dict[tuple[int, int], float] = {}
    for episode, length in enumerate(LENGTHS.tolist()):
        read = source.gather(np.array([episode]), np.array([-1]), length + 1, ["see", "do"])
        inputs = {"see": torch.from_numpy(read["see"][:, 1:]), "do": torch.from_numpy(read["do"][:, :-1])}
        first = torch.ones(1, dtype=torch.bool)
        memory = model.memory(model.encoder(inputs), model.memory.initial_state(1), first)[0][0]
        whole = source.read(episode, 0, length)
        chosen = {k for s in range(0, length, chunk_length) for k in selected_in(table, episode, s, chunk_length)}
        for step in range(length):
            context = context_of(source, task, episode, step)
            params = model.predictor(model.context_encoder(context), memory[step][None])
            y = torch.from_numpy(whole[OUTCOME][step : step + 1])
            if whole[EVAL_MASK][step] and whole[HAS_OUTCOME][step]:
                correct.append(model.outcome.correct(params, y).item())
                nll.append(model.outcome.nll(params, y).item())
                prediction[episode, step] = model.outcome.predict(params).item()
                squares.append((prediction[episode, step] - y.item()) ** 2)
            if step in chosen and whole[HAS_OUTCOME][step]:
                local = model.outcome.nll(model.local(context), y)
                gain.append((local - model.outcome.nll(params, y)).item() / math.log(2))
    assert 0 < np.mean(correct) < 1
    assert model.metrics["accuracy"].compute().item() == pytest.approx(np.mean(correct), abs=1e-5)
    assert model.metrics["nll"].compute().item() == pytest.approx(np.mean(nll), abs=1e-4)
    if model.task.outcome.type == "vector":
        assert model.metrics["mse"].compute().item() == pytest.approx(np.mean(squares), rel=1e-4)
    assert model.metrics["memory_gain"].compute().item() == pytest.approx(np.mean(gain), abs=1e-4)
    place = [torch.cat([part[name] for part in predicted]).tolist() for name in ("episode", "step", "prediction")]
    assert {(e, s): p for e, s, p in zip(*place, strict=True)} == pytest.approx(prediction, abs=1e-5)


def judged_episodes(classes: int) -> ArrayEpisodes:
    source = episodes(classes=classes)
    eval_mask = np.random.default_rng(1).random(int(LENGTHS.sum())) < 0.6
    return ArrayEpisodes(source.arrays | {EVAL_MASK: eval_mask}, LENGTHS, source.fields)


def selected_in(table: TargetTable, episode: int, start: int, steps: int) -> list[int]:
    """The targets of a chunk that lie in the chunk."""
    chosen = table.select(np.array([episode]), np.array([start]))[0]
    return [k for k in chosen.tolist() if start <= k < start + steps]


def test_chunks_without_targets_are_refused_with_the_remedy() -> None:
    source = episodes()
    task = task_of(source)
    schedule = ShuffledLaneSampler(LENGTHS, 3, R)
    (chunk,) = ChunkStream(source, task, schedule, 1, probes=2)
    with pytest.raises(MemUPError, match=r"without targets or probes.*EpisodeDataModule"):
        model_of(task).training_step(chunk, 0)


@pytest.mark.parametrize("predict_every", [0, -3])
def test_an_impossible_distance_of_points_is_refused(predict_every: int) -> None:
    with pytest.raises(MemUPError, match=f"predict_every={predict_every}"):
        model_of(task_of(episodes()), predict_every=predict_every)


def test_an_outcome_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(MemUPError, match="GaussianOutcome needs a number, but this task's outcome is one of 4 classes"):
        model_of(task_of(episodes(classes=4)), outcome=GaussianOutcome)


def test_the_outcome_follows_from_the_task() -> None:
    assert isinstance(model_of(task_of(episodes(classes=4))).outcome, CategoricalOutcome)
    assert isinstance(model_of(task_of(episodes())).outcome, GaussianOutcome)
