"""MemUP's loss against its definition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.targets import NOWHERE, Selector, TopK
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
    task_of,
)


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
