"""TBPTT and BPTT: their loss and gradients against autograd on plain episodes, and what each of them can learn."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, seed_everything
from torch import Tensor

from memup_lightning.callbacks import MemoryUsage, TargetRefresh
from memup_lightning.callbacks.memory_usage import extrapolate, tensors
from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM, XLSTM
from memup_lightning.models.predictors import MultiplicativePredictor
from memup_lightning.models.saved_tensors import SavedTensors
from memup_lightning.modules import BPTT, TBPTT, MemoryTask, MemUP
from tests.modules.short_episodes import LENGTHS, LONGEST, chunks_of, episodes, model_of
from tests.training import quiet_trainer


def plain_loss(model: MemoryTask, source: ArrayEpisodes, chunk: Chunk) -> Tensor:
    """Mean over the evaluated steps of a chunk's whole episodes, read from the arrays and computed one after another."""
    losses = []
    for episode in chunk.episode.tolist():
        state, is_first = model.memory.initial_state(1), torch.ones(1, dtype=torch.bool)
        for step in range(LENGTHS[episode]):
            at = np.array([episode]), np.array([step - 1])
            read = {name: torch.from_numpy(x) for name, x in source.gather(*at, 2, list(source.fields)).items()}
            inputs = {"see": read["see"][:, 1:], "do": read["do"][:, :1]}
            memory, state = model.memory(model.encoder(inputs), state, is_first)
            is_first = torch.zeros(1, dtype=torch.bool)
            if not read[HAS_OUTCOME][0, 1] or not read.get(EVAL_MASK, read[HAS_OUTCOME])[0, 1]:
                continue
            context = model.context_encoder({name: read[name] for name in ("see", "do")})
            params = model.predictor(context, memory[:, 0], torch.zeros(1))
            losses.append(model.outcome.loss(params, read[OUTCOME][:, 1]))
    return torch.cat(losses).mean()


def gradients(model: MemoryTask, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None and "local" not in name}


def assert_same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    assert any(bool(x.any()) for x in ours.values())
    for name, gradient in ours.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-6), name


@pytest.mark.parametrize("eval_mask", [True, False])
@pytest.mark.parametrize("checkpoint_every", [None, 1, 7, LONGEST])
def test_bptt_has_the_gradient_of_the_plain_whole_episodes(checkpoint_every: int | None, eval_mask: bool) -> None:
    source = episodes(eval_mask)
    model = model_of(source, BPTT, checkpoint_every=checkpoint_every)
    for chunk in chunks_of(source, model.task, LONGEST, 4):
        assert bool(chunk.is_first.all())
        ours = gradients(model, model.training_step(chunk, 0)["loss"])
        assert_same(ours, gradients(model, plain_loss(model, source, chunk)))


def test_tbptt_over_whole_episodes_is_bptt() -> None:
    source = episodes()
    whole, truncated = model_of(source, BPTT), model_of(source, TBPTT)
    for chunk in chunks_of(source, whole.task, LONGEST, 4):
        ours, theirs = whole.training_step(chunk, 0)["loss"], truncated.training_step(chunk, 0)["loss"]
        assert torch.equal(ours, theirs)
        assert_same(gradients(whole, ours), gradients(truncated, theirs))


def test_tbptt_continues_with_the_state_and_keeps_gradients_in_the_chunk() -> None:
    source = episodes(eval_mask=False)
    model = model_of(source, TBPTT)
    first, second = chunks_of(source, model.task, 3, 2)
    goes_on = ~second.is_first
    assert bool(goes_on.any())
    for chunk in (first, second):
        chunk.inputs["see"].requires_grad_()
    model.training_step(first, 0)
    loss = model.training_step(second, 1)["loss"]
    loss.backward()
    assert first.inputs["see"].grad is None
    assert second.inputs["see"].grad is not None
    model.lanes.reset()
    assert model.training_step(second, 1)["loss"] != loss


def test_checkpointing_stores_less() -> None:
    source = episodes()
    (chunk,) = chunks_of(source, model_of(source, BPTT).task, LONGEST, 1)
    stored = []
    for checkpoint_every in (None, 5):
        model = model_of(source, BPTT, checkpoint_every=checkpoint_every)
        with SavedTensors([*model.parameters(), *tensors(chunk)]) as counter:
            model.training_step(chunk, 0)
        stored.append(counter.bytes)
    assert stored[1] < stored[0] / 3


# --- in a run


def maze(length: int, chunk_length: int, **given: Any) -> TMazeDataModule:
    sizes: dict[str, Any] = {"num_train": 256, "num_val": 128, "lanes": 32, "seed": 1}
    return TMazeDataModule(length=length, chunk_length=chunk_length, mode="LN", **sizes | given)


def fit(kind: type[MemoryTask], data: TMazeDataModule, updates: int, *callbacks: Any, **given: Any) -> dict[str, float]:
    seed_everything(1)
    parts: dict[str, Any] = {"memory": partial(LSTM, hidden_size=32), "optimizer": partial(torch.optim.Adam, lr=5e-3)}
    model = kind(data.task, **parts | given)
    trainer = quiet_trainer(updates, callbacks, val_check_interval=updates, check_val_every_n_epoch=None)
    trainer.fit(model, data)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_what_bptt_stores_is_what_memory_usage_extrapolated() -> None:
    length = 400
    foretold, found = MemoryUsage(), MemoryUsage()
    fit(MemUP, maze(length, 5), 1, foretold)
    fit(BPTT, maze(length, length), 1, found)
    bound = extrapolate(foretold.bptt_bytes, length)
    assert found.bptt_bytes[length] == pytest.approx(bound, rel=0.02)  # of encoder and memory ...
    assert found.saved_tensor_bytes is not None
    assert bound < found.saved_tensor_bytes < 1.1 * bound  # ... to which predictor and loss add


def test_checkpointing_does_not_change_what_full_bptt_is_said_to_store() -> None:
    plain, checkpointed = MemoryUsage(), MemoryUsage()
    fit(BPTT, maze(50, 50), 1, plain)
    fit(BPTT, maze(50, 50), 1, checkpointed, checkpoint_every=10)
    assert checkpointed.bptt_bytes == plain.bptt_bytes


def test_a_chunk_shorter_than_an_episode_is_refused_by_bptt() -> None:
    with pytest.raises(
        MemUPError,
        match=r"longest has 50 steps.*set chunk_length=50\. An update .* 1\.02 times as long.* lanes=",
    ):
        fit(BPTT, maze(50, 49), 1)


@pytest.mark.parametrize("kind", [TBPTT, BPTT])
def test_a_chunk_without_its_own_outcomes_is_refused(kind: Any) -> None:
    source = episodes()
    model = model_of(source, kind)
    (chunk,) = chunks_of(source, model.task, LONGEST, 1)
    with pytest.raises(MemUPError, match="learns from the outcomes of the chunk's own steps"):
        model.training_step(replace(chunk, context={}), 0)


@pytest.mark.parametrize("kind", [TBPTT, BPTT])
def test_a_baseline_learns_with_any_selector_and_gets_no_targets(kind: Any) -> None:
    class Seen(Callback):
        def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
            assert batch.targets is None
            assert batch.context

    found = fit(kind, maze(10, 10, selector=TopK(30)), 2, Seen())
    assert "val/accuracy" in found


def test_target_refresh_with_a_baseline_does_nothing() -> None:
    data = maze(20, 5)
    found = fit(TBPTT, data, 20, TargetRefresh(every=5, settle=5, max_wait=5))
    assert data.splits["train"].targets.num_refreshes == 0
    assert "val/target_recall" not in found
    assert {"val/accuracy", "val/nll", "val/memory_gain"} <= found.keys()


def test_checkpoint_every_is_at_least_one_step() -> None:
    with pytest.raises(MemUPError, match="checkpoint_every=0"):
        model_of(episodes(), BPTT, checkpoint_every=0)


LENGTH, CHUNK, UPDATES = 40, 5, 400


@pytest.mark.learning
def test_bptt_and_memup_learn_what_truncated_backpropagation_does_not() -> None:
    """The hint is 39 steps away from the junction, and TBPTT and MemUP send gradients back over 5. At 15 steps a fresh
    memory holds enough of it by itself."""
    parts = {"memory": partial(LSTM, hidden_size=32, chrono=LENGTH), "optimizer": partial(torch.optim.Adam, lr=1e-2)}
    parts |= {"predictor": MultiplicativePredictor}  # a hint and an action are all that must be combined
    short = {"evaluation_chunk_length": CHUNK}
    bptt = fit(BPTT, maze(LENGTH, LENGTH), UPDATES, **parts)
    tbptt = fit(TBPTT, maze(LENGTH, CHUNK, **short), UPDATES, **parts)
    memup = fit(MemUP, maze(LENGTH, CHUNK, **short), UPDATES, TargetRefresh(50, settle=25), **parts)
    for found in (bptt, memup):
        assert found["val/accuracy"] >= 0.99
        assert found["val/memory_gain"] > 0.7  # the hint is one bit
    assert tbptt["val/accuracy"] <= 0.65
    assert abs(tbptt["val/memory_gain"]) < 0.5


@pytest.mark.parametrize("precision", ["64-true", "bf16-true"])
def test_training_and_evaluation_run_in_true_precisions(precision: Any) -> None:
    data = TMazeDataModule(length=10, lanes=4, num_train=8, num_val=2, num_test=2, seed=1)
    model = MemUP(data.task, memory=partial(XLSTM, hidden_size=8))
    trainer = quiet_trainer(4, [TargetRefresh(every=2)], precision=precision, val_check_interval=2)
    trainer.fit(model, data)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert trainer.callback_metrics["val/nll"].isfinite()
