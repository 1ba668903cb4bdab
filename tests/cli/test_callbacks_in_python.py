"""What the command line adds to a Trainer, a Trainer in Python is offered."""

from __future__ import annotations

import logging

import pytest
from pytorch_lightning.callbacks import EarlyStopping

from memup_lightning.callbacks import BestWeights, RunReport, default_callbacks
from memup_lightning.modules import TBPTT, MemUP
from memup_lightning.runs.parts import parts
from tests.cli.tiny_runs import Run
from tests.modules.small_runs import data_of, model_of
from tests.training import quiet_trainer


def test_the_callbacks_of_the_command_line_are_offered_in_their_order(run: Run) -> None:
    added = [type(x) for x in parts(run("fit").trainer).callbacks]
    offered = [type(x) for x in default_callbacks()]
    assert [x for x in added if x in offered] == offered


@pytest.mark.parametrize("kind", [MemUP, TBPTT])
def test_a_trainer_without_them_is_said_to_end_with_its_last_weights(
    kind: type, caplog: pytest.LogCaptureFixture
) -> None:
    said = {}
    for callbacks in ((), (BestWeights(),), (EarlyStopping("train/loss"),), (RunReport(pictures=False),)):
        caplog.clear()
        data = data_of()
        with caplog.at_level(logging.INFO):
            quiet_trainer(1, callbacks).fit(model_of(data, kind), data)
        said[tuple(type(x).__name__ for x in callbacks)] = "this run ends with its last weights" in caplog.text
    assert said == {(): True, ("BestWeights",): False, ("EarlyStopping",): False, ("RunReport",): True}
