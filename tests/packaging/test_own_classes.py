"""The table "to add X" of docs/architecture.md: a class of every row, outside the package, named in a config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from memup_lightning.cli.main import MemUPCLI, main
from tests.command_line import tiny

SOURCE = '''
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn

from memup_lightning import (
    PPO, ArrayEpisodes, Chunk, EpisodeDataModule, FieldSpec, Memory, MemUP, OutcomePredictor, Scorable, Selector, TaskSpec,
    Uncertainty,
)

LENGTH = 12


class OwnTask(EpisodeDataModule):
    """The first number of an episode is its last step's class."""

    @property
    def task(self) -> TaskSpec:
        inputs = {"observation": FieldSpec((1,))}
        return TaskSpec(inputs, {"observation": 0}, ("observation",), outcome=FieldSpec((), "int32", "token", 2))

    def episodes(self, split: Any) -> ArrayEpisodes:
        draw = np.random.default_rng(self.split_seed(split)).integers(2, size=16)
        observation = np.zeros((16, LENGTH, 1), np.float32)
        observation[:, 0, 0] = draw
        last = np.tile(np.arange(LENGTH) == LENGTH - 1, 16)
        outcome = np.repeat(draw, LENGTH).astype(np.int32)
        arrays = {"observation": observation.reshape(-1, 1), "outcome": outcome, "has_outcome": last, "eval_mask": last}
        return ArrayEpisodes(arrays, [LENGTH] * 16, {"outcome": self.task.outcome})


class OwnMemory(Memory):
    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = 4
        self.read = nn.Linear(input_size, 4)

    def initial_state(self, lanes: int) -> Tensor:
        return torch.zeros(lanes, 4)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        sums = state[:, None] + self.read(x).cumsum(1)
        return sums, sums[:, -1]


class OwnPredictor(OutcomePredictor):
    def __init__(self, context_size: int, memory_size: int, num_parameters: int) -> None:
        super().__init__()
        self.context, self.memory = nn.Linear(context_size, num_parameters), nn.Linear(memory_size, num_parameters)

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        assert distance is None or bool((distance >= 0).all())
        return self.context(context) + self.memory(memory)


class OwnUncertainty(Uncertainty):
    def forward(self, model: Any, chunk: Chunk, state: Any) -> Any:
        return torch.rand(chunk.valid.shape), state


class OwnSelector(Selector):
    def score(self, steps: Scorable) -> Tensor:
        return steps.position.to(steps.uncertainty)


class OwnTraining(MemUP):
    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        return super().losses(chunk, memory) | {"own_loss": 0.01 * memory.square().mean()}


class OwnPPO(PPO):
    def losses(self, batch: Any, policy: Any, value: Tensor) -> dict[str, Tensor]:
        return super().losses(batch, policy, value) | {"own_loss": 0.01 * value.square().mean()}


class OwnCallback(Callback):
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        pl_module.last_step = trainer.global_step
'''


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A tiny config, in a folder with the module ``own_classes``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_classes", raising=False)
    (tmp_path / "own_classes.py").write_text(SOURCE)
    config = tiny(tmp_path)
    config["trainer"]["callbacks"].append({"class_path": "own_classes.OwnCallback"})
    return config


def fit(config: dict[str, Any]) -> MemUPCLI:
    Path("own.yaml").write_text(yaml.safe_dump(config))
    return main(["fit", "--config", "own.yaml"])


def test_task_core_predictor_uncertainty_selector_training_method_and_callback_of_ones_own(
    config: dict[str, Any],
) -> None:
    config["model"]["class_path"] = "own_classes.OwnTraining"
    own = {"memory": "OwnMemory", "uncertainty": "OwnUncertainty", "predictor": "OwnPredictor"}
    config["model"]["init_args"] |= {key: f"own_classes.{name}" for key, name in own.items()}
    selector = {"class_path": "own_classes.OwnSelector", "init_args": {"num_targets": 2}}
    config["data"] = {"class_path": "own_classes.OwnTask", "init_args": {"lanes": 4, "selector": selector}}
    cli = fit(config)
    model, data = cli.model, cli.datamodule
    parts = [model, model.memory, model.uncertainty, model.predictor, data, data.selector]
    assert {type(x).__module__ for x in parts} == {"own_classes"}
    assert cli.model.last_step == 4
    assert "train/own_loss" in cli.trainer.callback_metrics
    saved = yaml.safe_load((Path(str(cli.trainer.log_dir)) / "config.yaml").read_text())
    assert saved["model"]["class_path"] == "own_classes.OwnTraining"


def test_an_on_policy_algorithm_of_ones_own(config: dict[str, Any]) -> None:
    config["model"] = {"class_path": "own_classes.OwnPPO"}
    play = {"env_id": "CartPole-v1", "num_envs": 2, "num_steps": 8, "update_epochs": 1, "num_minibatches": 2}
    config["data"] = {"class_path": "RolloutDataModule", "init_args": play | {"num_val": 2, "num_test": 2}}
    config["trainer"]["callbacks"] = config["trainer"]["callbacks"][1:]
    cli = fit(config)
    assert type(cli.model).__name__ == "OwnPPO"
    assert "train/own_loss" in cli.trainer.callback_metrics
