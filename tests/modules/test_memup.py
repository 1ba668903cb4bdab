"""MemUP's loss against its definition, where gradients go, evaluation, and what it refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.streaming.samplers import SequentialSampler, ShuffledLaneSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import NOWHERE, Selector, TargetTable, TopK
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.outcomes import CategoricalOutcome, GaussianOutcome, QuantileOutcome
from memup_lightning.modules import MemUP
from memup_lightning.modules.memup import _share_out
from memup_lightning.specs import TaskSpec
from tests.modules.small_memup import (
    LENGTHS,
    R,
    chunks_of,
    context_of,
    episodes,
    model_of,
    scored_table,
    task_of,
)

# --- the loss against its definition


def memory_of(model: MemUP, chunk: Chunk, lane: int) -> Tensor:
    """m of every step of one lane, one step at a time, from the start of the chunk's episode: ``[T, hidden]``."""
    state = model.memory.initial_state(1)
    out = []
    for place in range(chunk.num_steps):
        x = model.encoder({name: value[lane : lane + 1, place : place + 1] for name, value in chunk.inputs.items()})
        m, state = model.memory(x, state, torch.zeros(1, dtype=torch.bool))
        out.append(m[0, 0])
    return torch.stack(out)


def naive_far_loss(model: MemUP, source: ArrayEpisodes, chunk: Chunk) -> Tensor:
    """Mean of -log q(y_k | c_k, m_t) over the pairs of a prediction point t and a target k >= t."""
    assert chunk.targets is not None
    terms = []
    for lane in range(chunk.lanes):
        episode, start = int(chunk.episode[lane]), int(chunk.start[lane])
        memory = memory_of(model, chunk, lane)
        every = model.predict_every or max(1, (chunk.num_steps - 1) // 3)
        for place in range(chunk.num_steps - 1, -1, -every):
            if start + place >= LENGTHS[episode]:
                continue
            for k in chunk.targets.position[lane].tolist():
                if k == NOWHERE or k < start + place or not source.read(episode, k, k + 1)[HAS_OUTCOME][0]:
                    continue
                context = model.context_encoder(context_of(source, model.task, episode, k))
                params = model.predictor(context, memory[place][None], torch.tensor([k - start - place]))
                y = torch.from_numpy(source.read(episode, k, k + 1)[OUTCOME])
                terms.append(model.outcome.memory_loss(params, y)[0])
    return torch.stack(terms).mean() if terms else torch.zeros(())


def first_chunks(source: ArrayEpisodes, task: TaskSpec, selector: Selector, contexts: bool = False) -> list[Chunk]:
    """Chunks in which every lane begins an episode, so that their memory is known without the chunks before."""
    chunks = [c for c in chunks_of(source, task, selector, 200, contexts) if bool(c.is_first.all())]
    assert len(chunks) >= 2
    return chunks[:4]


@pytest.mark.parametrize("predict_every", [None, 1, 3, R, 4])
@pytest.mark.parametrize("outcome", [GaussianOutcome, QuantileOutcome, CategoricalOutcome])
@pytest.mark.parametrize("k", [1, 3])
def test_the_loss_is_the_mean_over_pairs_of_point_and_target(predict_every: int | None, outcome: Any, k: int) -> None:
    source = episodes(classes=4 if outcome is CategoricalOutcome else 0)
    task = task_of(source)
    model = model_of(task, predict_every=predict_every, outcome=outcome)
    for chunk in first_chunks(source, task, TopK(k)):
        memory, _ = model.unroll(chunk, None)
        loss = model.losses(chunk, memory)["memory_loss"]
        assert torch.allclose(loss, naive_far_loss(model, source, chunk), atol=1e-5, rtol=1e-5)


@given(st.data())
@settings(deadline=None)
def test_many_targets_are_shared_out_among_the_points_and_few_are_not(data: st.DataObject) -> None:
    points, targets = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 40))
    behind = torch.tensor(data.draw(st.lists(st.integers(0, points), min_size=targets, max_size=targets)))
    counts = (torch.arange(points)[:, None] < behind)[
        None
    ]  # a target lies ahead of the first points, of all, or of none
    shared = _share_out(counts, torch.tensor([data.draw(st.integers(0, 1000))]))
    number = int(counts.any(1).sum())
    assert not (shared & ~counts).any()
    assert torch.equal(shared.any(1), counts.any(1))  # each is explained
    if number <= 4:
        assert torch.equal(shared, counts)
    if bool((behind == points).all()):  # as where all targets lie far ahead
        every = min(points, -(-number // 4))
        assert int(shared.sum()) <= number * (points / every + 1)
        assert bool((shared[:, 0] <= shared[:, -1]).all())
        assert int(shared[:, 0].sum()) >= number // every


@pytest.mark.parametrize("k", [1, 3, 9])
def test_where_few_places_count_the_loss_and_its_gradients_are_those_of_all(k: int, monkeypatch: Any) -> None:
    source = episodes()
    task = task_of(source)
    chunk = first_chunks(source, task, TopK(k), contexts=True)[0]
    found = []
    for few in (False, True):
        monkeypatch.setattr("memup_lightning.modules.memup.are_few", lambda *_, few=few: few)
        model = model_of(task, current_step=True)
        losses = model.losses(chunk, model.unroll(chunk, None)[0])
        sum(losses.values(), torch.zeros(())).backward()
        found.append([*losses.values(), *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1])
    for x, y in zip(*found, strict=True):
        assert torch.allclose(x, y, atol=1e-6, rtol=1e-5)


def by_lane(terms: Sequence[Sequence[Tensor]], chunk: Chunk) -> Tensor:
    """The sum of all terms by the number of steps; but those of a lane have a quarter of its steps at least."""
    steps, total = chunk.valid.sum(1), torch.zeros(())
    for own, number in zip(terms, steps.tolist(), strict=True):
        total = total + sum(own, torch.zeros(())) * max(1, number / 4 / max(1, len(own)))
    return total / steps.sum()


def test_the_current_loss_is_that_of_the_lanes_own_outcomes_however_few() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task, current_step=True)
    for chunk in first_chunks(source, task, TopK(1), contexts=True):
        memory, _ = model.unroll(chunk, None)
        terms: list[list[Tensor]] = [[] for _ in range(chunk.lanes)]
        for lane in range(chunk.lanes):
            for place in range(chunk.num_steps):
                episode, step = int(chunk.episode[lane]), int(chunk.start[lane]) + place
                if step >= LENGTHS[episode] or not source.read(episode, step, step + 1)[HAS_OUTCOME][0]:
                    continue
                context = model.context_encoder(context_of(source, task, episode, step))
                y = torch.from_numpy(source.read(episode, step, step + 1)[OUTCOME])
                loss = model.outcome.memory_loss(model.predictor(context, memory[lane, place][None]), y)[0]
                terms[lane].append(loss)
        losses = model.losses(chunk, memory)
        assert torch.allclose(losses["current_loss"], by_lane(terms, chunk), atol=1e-5)
        assert torch.allclose(losses["memory_loss"], naive_far_loss(model, source, chunk), atol=1e-5)


def test_the_current_loss_may_count_only_steps_about_as_uncertain_as_the_targets() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task, current_step=None)
    with torch.no_grad():
        model.local.layers[-1].weight.mul_(30)  # so that some steps are more certain than others
    counted = left_out = 0
    for chunk in first_chunks(source, task, TopK(2), contexts=True):
        assert chunk.targets is not None
        memory, _ = model.unroll(chunk, None)
        ahead = model.outcome.uncertainty(model.local(chunk.targets.context))
        own = model.outcome.uncertainty(model.local(chunk.windows(task.window)))
        losses = model.outcome.memory_loss(
            model.predictor(model.context_encoder(chunk.windows(task.window)), memory), chunk.outcome
        )
        terms: list[list[Tensor]] = [[] for _ in range(chunk.lanes)]
        for lane in range(chunk.lanes):
            valid = ahead[lane][chunk.targets.valid[lane]]
            for place in chunk.has_outcome[lane].nonzero()[:, 0].tolist():
                if len(valid) and own[lane, place] >= valid.max() - 1:
                    terms[lane].append(losses[lane, place])
                else:
                    left_out += 1
        counted += sum(map(len, terms))
        assert torch.allclose(model.losses(chunk, memory)["current_loss"], by_lane(terms, chunk), atol=1e-5)
    assert counted
    assert left_out


def test_without_targets_at_all_every_step_counts_in_the_current_loss() -> None:
    source = episodes()
    task = task_of(source)
    (chunk,) = chunks_of(source, task, TopK(0), 1, contexts=True)
    found = [model_of(task, current_step=how).training_step(chunk, 0)["current_loss"].item() for how in (None, True)]
    assert found[0] == found[1] != 0


@pytest.mark.parametrize("selector", [TopK(0), TopK(1)], ids=["before the first targets", "from then on"])
def test_the_local_loss_is_the_mean_over_the_probes_weighted_when_there_are_targets(selector: Selector) -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task)
    (chunk,) = chunks_of(source, task, selector, 1)
    assert chunk.probes is not None
    assert chunk.probes.weight is not None
    terms = []
    for lane in range(chunk.lanes):
        for step, weight in zip(chunk.probes.position[lane].tolist(), chunk.probes.weight[lane], strict=True):
            at = source.read(int(chunk.episode[lane]), step, step + 1)
            if at[HAS_OUTCOME][0]:
                context = context_of(source, task, int(chunk.episode[lane]), step)
                loss = model.outcome.loss(model.local(context), torch.from_numpy(at[OUTCOME]))[0]
                terms.append(loss * weight if selector.num_targets else loss)
    loss = model.losses(chunk, model.unroll(chunk, None)[0])["local_loss"]
    assert torch.allclose(loss, torch.stack(terms).mean(), atol=1e-5)


def test_the_loss_of_a_step_is_the_sum_of_its_parts() -> None:
    source = episodes()
    task = task_of(source)
    (chunk,) = chunks_of(source, task, TopK(1), 1, contexts=True)
    out = model_of(task, current_step=True).training_step(chunk, 0)
    assert out["loss"].item() == pytest.approx(
        sum(out[n].item() for n in ("memory_loss", "local_loss", "current_loss"))
    )


def test_without_any_selection_only_the_local_predictor_learns() -> None:
    source = episodes()
    task = task_of(source)
    (chunk,) = chunks_of(source, task, TopK(1), 1)
    assert chunk.targets is not None
    chunk.targets.valid[:] = False
    model = model_of(task)
    out = model.training_step(chunk, 0)
    assert out["memory_loss"] == 0
    out["loss"].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}
    assert moved
    assert all(name.startswith("local.") for name in moved)


def test_the_state_is_carried_from_chunk_to_chunk_and_is_reset_at_an_episodes_beginning() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task)
    memories: list[Tensor] = []
    model.losses = lambda chunk, memory: memories.append(memory) or {"loss": memory.sum()}  # type: ignore[assignment,func-returns-value]
    chunks = chunks_of(source, task, TopK(1), 30)
    for chunk in chunks:
        model.training_step(chunk, 0)
    compared = 0
    for lane in range(3):
        begin = [n for n, chunk in enumerate(chunks) if chunk.is_first[lane]]
        for a, b in zip(begin, [*begin[1:], len(chunks)], strict=True):
            inputs = {
                name: torch.cat([c.inputs[name][lane : lane + 1] for c in chunks[a:b]], 1) for name in task.inputs
            }
            state = model.memory.initial_state(1)
            whole, _ = model.memory(model.encoder(inputs), state, torch.ones(1, dtype=torch.bool))
            streamed = torch.cat([memories[n][lane] for n in range(a, b)])
            assert torch.allclose(streamed, whole[0], atol=1e-6)
            compared += b - a
    assert compared == 90 - sum(next(n for n, c in enumerate(chunks) if c.is_first[lane]) for lane in range(3))


# --- where gradients go


def test_no_gradient_reaches_the_previous_chunk() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task)
    first, second = chunks_of(source, task, TopK(1), 2)
    assert not bool(second.is_first.all())
    for chunk in (first, second):
        chunk.inputs["see"].requires_grad_()
    model.training_step(first, 0)
    model.training_step(second, 1)["loss"].backward()
    assert first.inputs["see"].grad is None
    assert second.inputs["see"].grad is not None


def test_the_last_point_reaches_the_first_step_of_its_chunk() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task, predict_every=R)
    for chunk in chunks_of(source, task, TopK(1), 50):
        assert chunk.targets is not None
        after = chunk.targets.position[:, 0] >= chunk.start + R - 1
        taught = chunk.targets.valid[:, 0] & after & chunk.valid[:, -1]
        if bool(taught.any()) and not bool(taught.all()):
            break
    assert bool(taught.any())
    assert not bool(taught.all())
    chunk.inputs["see"].requires_grad_()
    model.losses(chunk, model.unroll(chunk, None)[0])["memory_loss"].backward()
    grad = chunk.inputs["see"].grad
    assert grad is not None
    assert bool(grad[taught][:, 0].any())
    assert not grad[~taught].any()


def grads_of(model: MemUP, loss: Tensor) -> set[str]:
    """Which parts of the model a loss has gradients in."""
    model.zero_grad()
    loss.backward()
    return {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())}


def test_local_predictor_and_memory_learn_from_losses_of_their_own() -> None:
    source = episodes()
    task = task_of(source)
    model = model_of(task, encoder=partial_step(4), context_encoder=partial_step(4))
    (chunk,) = chunks_of(source, task, TopK(1), 1)
    losses = model.losses(chunk, model.unroll(chunk, None)[0])
    assert grads_of(model, losses["memory_loss"]) == {"encoder", "memory", "context_encoder", "predictor"}
    assert grads_of(model, losses["local_loss"]) == {"local"}


def partial_step(hidden_size: int) -> Any:
    from memup_lightning.models.encoders import StepEncoder

    return partial(StepEncoder, hidden_size=hidden_size)


def test_an_episode_changes_neither_loss_nor_gradients_of_another_lane() -> None:
    def gradients(source: ArrayEpisodes) -> tuple[list[Chunk], list[Tensor]]:
        model = model_of(task)
        chunks = chunks_of(source, task, TopK(2), 20)
        out = []
        for chunk in chunks:
            chunk.inputs["see"].requires_grad_()
            model.training_step(chunk, 0)["loss"].backward()
            assert chunk.inputs["see"].grad is not None
            out.append(chunk.inputs["see"].grad)
        return chunks, out

    source, other = episodes(), episodes()
    task = task_of(source)
    begin = int(LENGTHS[:2].sum())
    for name in ("see", OUTCOME):
        other.arrays[name][begin : begin + LENGTHS[2]] += 3
    chunks, ours = gradients(source)
    _, theirs = gradients(other)
    # A lane that once played episode 2 begins its next one with a state of its own: it counts as untouched.
    changed = 0
    for chunk, a, b in zip(chunks, ours, theirs, strict=True):
        rest = chunk.episode != 2
        assert torch.equal(a[rest], b[rest])
        changed += int(not torch.equal(a[~rest], b[~rest]))
    assert changed > 0


# --- evaluation


@pytest.mark.parametrize(("lanes", "chunk_length"), [(2, 7), (5, 50)])
@pytest.mark.parametrize("outcome", [GaussianOutcome, CategoricalOutcome])
def test_a_memory_is_evaluated_at_the_evaluated_steps_with_the_state_of_the_same_step(
    lanes: int, chunk_length: int, outcome: Any
) -> None:
    source = judged_episodes(classes=4 if outcome is CategoricalOutcome else 0)
    task = replace(task_of(source), tolerance=0.8)
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


# --- bad input


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
