"""An argument of a part whose class nobody named is one of the default class."""

from __future__ import annotations

from typing import Any

import pytest

from memup_lightning.cli.default_parts import name_default_parts
from memup_lightning.data.targets.selectors import Proportional
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.modules.optimization.learning_rate import inverse_sqrt
from memup_lightning.modules.optimization.optimizers import ADAM_LR, memory_adam

MEMUP = ["fit", "--model", "MemUP"]


def added(args: list[str], *configs: Any) -> list[str]:
    return [x for x in name_default_parts(args, configs) if x not in args]


@pytest.mark.parametrize(
    "key", ["memory.hidden_size", "init_args.memory.init_args.hidden_size", "memory.init_args.hidden_size"]
)
@pytest.mark.parametrize("value", ["=32", ""])
def test_an_argument_of_the_memory_is_one_of_the_lstm(key: str, value: str) -> None:
    option = f"--model.{key}{value}"
    args = [*MEMUP, option, *([] if value else ["32"])]
    named = name_default_parts(args, [])
    assert named[named.index(option) - 1] == "--model.init_args.memory=LSTM"
    assert len(named) == len(args) + 1


def test_the_optimizer_and_the_selector_keep_their_other_defaults() -> None:
    options = added([*MEMUP, "--model.optimizer.lr=0.1", "--data.selector.num_targets=2"])
    assert "--model.init_args.optimizer=MemoryAdam" in options
    pairs = (x.removeprefix("--").split("=") for x in options)
    values = {key.rpartition(".")[-1]: value for key, value in pairs}
    selector = TMazeDataModule().selector
    assert isinstance(selector, Proportional)
    assert (int(values["num_targets"]), float(values["margin"])) == (selector.num_targets, selector.margin)


@pytest.mark.parametrize(
    ("args", "config"),
    [
        ([*MEMUP, "--model.memory=GRU", "--model.memory.hidden_size=32"], {}),
        ([*MEMUP, "--model.memory.class_path=GRU", "--model.memory.init_args.hidden_size=32"], {}),
        ([*MEMUP, "--model.memory.hidden_size=32"], {"model": {"class_path": "MemUP", "init_args": {"memory": "GRU"}}}),
        (["fit", "--model=PPO", "--model.memory.hidden_size=32"], {}),  # its memory is a trained one
        (["fit", "--model.memory.hidden_size=32"], {"model": {"class_path": "memup_lightning.PPO"}}),
        ([*MEMUP, "--model.predict_every=2", "--data.length=30", "--trainer.max_steps=2"], {}),
    ],
)
def test_what_is_named_stays(args: list[str], config: Any) -> None:
    assert name_default_parts(args, [config]) == args


def test_the_optimizer_of_an_agent_keeps_its_other_defaults() -> None:
    options = added(["fit", "--model=PPO", "--model.optimizer.eps=0.1"])
    place = "--model.init_args.optimizer"
    assert options == [f"{place}=torch.optim.Adam", f"{place}.init_args.lr={ADAM_LR}", f"{place}.init_args.fused=true"]


def test_each_class_is_named_once_and_a_config_that_a_run_saved_names_the_defaults() -> None:
    optimizer, memory = "--model.optimizer", "--model.memory"
    args = ["fit", f"{optimizer}.lr=0.1", f"{optimizer}.eps=0.1", f"{memory}.hidden_size=3", f"{memory}.num_layers=2"]
    init_args = {"optimizer": f"{memory_adam.__module__}.memory_adam", "memory": None}
    saved = {"model": {"class_path": "memup_lightning.MemUP", "init_args": init_args}}
    options = added(args, saved)
    assert [x for x in options if x.endswith(("=LSTM", "=MemoryAdam"))] == [
        "--model.init_args.optimizer=MemoryAdam",
        "--model.init_args.memory=LSTM",
    ]


def test_the_default_schedule_is_named_for_a_memory_and_not_for_an_agent() -> None:
    option = "--model.lr_scheduler.hold=500"
    assert "--model.init_args.lr_scheduler=InverseSqrtLR" in added(["fit", option], {"model": "MemUP"})
    assert added(["fit", option], {"model": "PPO"}) == []
    init_args = {"lr_scheduler": f"{inverse_sqrt.__module__}.inverse_sqrt"}
    saved = {"model": {"class_path": "memup_lightning.MemUP", "init_args": init_args}}
    assert "--model.init_args.lr_scheduler=InverseSqrtLR" in added(["fit", option], saved)


@pytest.mark.parametrize(
    ("model", "default"), [("MemUP", "MemoryAdam"), ("TBPTT", "MemoryAdam"), ("PPO", "torch.optim.Adam")]
)
def test_the_default_optimizer_is_that_of_the_model(model: str, default: str) -> None:
    options = added(["fit", "--model.optimizer.eps=0.1"], {"model": model})
    assert f"--model.init_args.optimizer={default}" in options


@pytest.mark.parametrize(("model", "default"), [("BPTT", "LSTM"), ("RTRL", "LRU")])
def test_the_default_memory_is_that_of_the_model(model: str, default: str) -> None:
    options = added(["fit", "--model.memory.hidden_size=32"], {"model": model})
    assert options == [f"--model.init_args.memory={default}"]
