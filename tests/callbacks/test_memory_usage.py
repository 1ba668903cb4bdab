"""MemoryUsage: what it measures, and that it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from memup_lightning.callbacks import MemoryUsage, RunReport
from memup_lightning.callbacks.memory_usage import extrapolate, measure_bptt
from memup_lightning.chunk import Chunk
from memup_lightning.models.memory import Memory, State
from memup_lightning.models.saved_tensors import SavedTensors
from memup_lightning.modules import MemUP
from tests.callbacks.reported_runs import fit, maze, read_summary

pytestmark = pytest.mark.filterwarnings("error:RunReport")


def test_each_storage_counts_once_and_ignored_ones_not_at_all() -> None:
    weight = torch.ones(10, 10, requires_grad=True)
    x = torch.ones(5, 10)
    with SavedTensors([weight, x]) as counter:
        hidden = torch.tanh(x @ weight)  # tanh saves its output, the product its ignored factors
        (hidden[:2] * hidden[2:4]).sum()  # the product saves two views of the same storage
    assert counter.bytes == 5 * 10 * 4


def test_saved_bytes_of_a_step_do_not_depend_on_the_episodes_length(tmp_path: Path) -> None:
    usages = {length: MemoryUsage() for length in (50, 500)}
    for length, usage in usages.items():
        fit(tmp_path / str(length), maze(length), [usage, RunReport(pictures=False)], steps=14)
    assert usages[50].saved_tensor_bytes == usages[500].saved_tensor_bytes
    short, long = (read_summary(tmp_path / str(length))["metrics"] for length in (50, 500))
    assert 7 < long["memory/bptt_bytes_extrapolated"] / short["memory/bptt_bytes_extrapolated"] < 10


def test_bytes_of_full_bptt_grow_linearly_with_the_number_of_steps() -> None:
    data = maze()
    data.setup("fit")
    chunk = next(iter(data.train_dataloader()))
    found = measure_bptt(MemUP(data.task), chunk)
    assert list(found) == [5, 64, 128, 256]
    assert (found[256] - found[128]) / (found[128] - found[64]) == pytest.approx(2, rel=0.01)
    assert extrapolate(found, 512) == pytest.approx(2 * found[256], rel=0.02)


class Forgetful(Memory):
    """A core that draws random numbers and keeps a running mean: whatever disturbs either changes the weights."""

    count: Tensor

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = 8
        self.rnn = nn.GRU(input_size, 8, batch_first=True)
        self.register_buffer("count", torch.zeros(()))

    def initial_state(self, lanes: int) -> State:
        return torch.zeros(lanes, 8)

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        if self.training:
            self.count += 1
        out, hidden = self.rnn(nn.functional.dropout(x, 0.5, self.training), state[None])
        return out / (1 + 0.01 * self.count), hidden[0]


class Trap(Callback):
    """Keeps what a step is about to start from."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Chunk, batch_idx: int) -> None:
        self.rng = torch.get_rng_state()


def test_weights_are_the_same_bit_for_bit_with_the_callbacks_and_without(tmp_path: Path) -> None:
    def trained(folder: Path, callbacks: Sequence[Callback]) -> dict[str, Tensor]:
        trap = Trap()
        trainer = fit(folder, maze(), [*callbacks, trap], steps=30, memory=Forgetful)
        weights: dict[str, Tensor] = trainer.lightning_module.state_dict()
        return weights | {"rng at the end": torch.get_rng_state(), "rng of the last step": trap.rng}

    plain = trained(tmp_path / "plain", [])
    watched = trained(tmp_path / "watched", [MemoryUsage(), RunReport()])
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_measuring_full_bptt_leaves_gradients_alone() -> None:
    data = maze()
    data.setup("fit")
    model = MemUP(data.task)
    measure_bptt(model, next(iter(data.train_dataloader())))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.lanes.after is None
