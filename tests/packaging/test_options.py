"""Arguments that subclasses pass on: a type checker, ``--help`` and saved configs know each of them."""

from __future__ import annotations

import inspect
from typing import Any, get_type_hints

import pytest
from jsonargparse import ArgumentParser
from pytorch_lightning import LightningDataModule

from memup_lightning import ActorCritic, EpisodeDataModule, MemoryTask, RewardDataModule, RolloutDataModule
from memup_lightning.cli import main as _cli  # noqa: F401 (it lists options with their defaults)
from memup_lightning.datamodules.played.rollouts import RolloutOptions
from memup_lightning.datamodules.recorded.environments.rewards import RewardOptions
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.modules.networks.factories import MemoryOptions
from memup_lightning.rl.algorithms.actor_critic import AgentOptions

POSITIONAL = {"self", "task", "env_id", "env_kwargs", "stream"}


@pytest.mark.parametrize(
    ("options", "takes"),
    [
        (StreamOptions, [EpisodeDataModule]),
        (RewardOptions, [EpisodeDataModule, RewardDataModule]),
        (RolloutOptions, [RolloutDataModule]),
        (AgentOptions, [ActorCritic]),
        (MemoryOptions, [MemoryTask]),
    ],
)
def test_options_are_the_arguments_of_their_class(options: Any, takes: list[type]) -> None:
    expected = {name: hint for cls in takes for name, hint in get_type_hints(cls.__init__).items()}
    expected = {name: hint for name, hint in expected.items() if name not in {*POSITIONAL, "return"}}
    assert get_type_hints(options) == expected
    assert set(expected) <= {name for cls in takes for name in inspect.signature(cls.__init__).parameters}


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("CopyDataModule", ["--data.lanes LANES", "batch size", "default: null", "--data.seed SEED"]),
        ("GymnasiumDataModule", ["--data.gamma GAMMA", "default: reward", "--data.lanes LANES", "by default 256"]),
        ("JointDataModule", ["--data.greedy", "default: native", "--data.env_id ENV_ID", "--data.memory_updates"]),
    ],
)
def test_help_shows_arguments_that_are_passed_on_with_defaults_and_docs(
    name: str, lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    with pytest.raises(SystemExit):
        parser.parse_args([f"--data.help={name}"])
    shown = " ".join(capsys.readouterr().out.split())
    assert [line for line in lines if line not in shown] == []
