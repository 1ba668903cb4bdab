"""The local predictor: what it knows of steps that come once in a long episode."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import seed_everything

from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.modules import MemUP
from memup_lightning.modules.losses import probe_loss
from memup_lightning.modules.networks.standardization import fit_standardizers
from memup_lightning.modules.optimization.optimizers import MemoryAdam


@pytest.mark.learning
def test_the_last_step_of_a_long_episode_stays_uncertain_while_all_steps_count_alike() -> None:
    """A corridor of 100,000 steps without a reward pulls at the weights, which decay; its junction, a coin toss of -3 and
    4, must not come to look as certain."""
    seed_everything(1)
    data = TMazeDataModule(length=100_000, num_train=64, num_val=8, seed=1)
    data.setup("fit")
    model, lanes = MemUP(data.task), data.training_lanes()
    fit_standardizers(model, lanes)
    optimizer = MemoryAdam(model.local.parameters())
    optimizer.decay(model.local.parameters())
    stream = data.training_stream
    for update in range(700):
        probes = stream.sample_steps(256, update)
        loss, valid = probe_loss(model.outcome, model.local, probes, update >= 200)
        optimizer.zero_grad()
        loss[valid].mean().backward()
        optimizer.step()
    probes = stream.sample_steps(2048, 700)
    junction = probes.outcome.abs() > 1
    with torch.no_grad():
        uncertainty = model.outcome.uncertainty(model.local(probes.context))
    assert uncertainty[junction].min() > uncertainty[~junction].max() + 1.5
