"""Where the gradients of MemUP's losses go: to no previous chunk, no other network, no other lane."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
from memup_lightning.data.targets import TopK
from memup_lightning.modules import MemUP
from tests.modules.small_memup import (
    LENGTHS,
    R,
    chunks_of,
    episodes,
    model_of,
    task_of,
)


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
