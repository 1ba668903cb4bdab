"""Values, classes and data that cannot be are named, with the value and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from memup_lightning.cli.main import main
from memup_lightning.cli.messages import explain
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from tests.cli.failing import FIT, GYM, Fails
from tests.command_line import tiny


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--trainer.max_steps=abc", "int"),
        ("--data.init_args.length=abc", "int"),
        ("--model.init_args.predict_every=1.5", "int"),
        ("--model.init_args.memory.init_args.hidden_size=abc", "int"),
        ("--data.init_args.restart=a", "list[float] or null"),
        ("--data.init_args.mode=LNX", "one of L, LN, LNR"),
        ("--seed_everything=one", "bool or int"),
        ("--model.init_args.optimizer.init_args.lr=1e-3x", "float"),
        ("--data.init_args.length=null", "int"),
        ("--data.init_args.mode=null", "one of L, LN, LNR"),
        ("--model.init_args.memory.init_args.hidden_size=null", "int"),
        ("--data.init_args.probes=null", "int"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_the_right_one(fails: Fails, option: str, expected: str) -> None:
    assert fails(*FIT, option).startswith(f"error: {option[2:]}: must be {expected}")


def test_a_null_in_a_class_inside_another_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    config = tiny(tmp_path)
    config["data"]["init_args"]["selector"] = {"class_path": "Proportional", "init_args": {"margin": 0.5}}
    config["model"]["init_args"]["optimizer"]["init_args"]["fused"] = True
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    nulls = ["--data.init_args.selector.init_args.margin=null", "--model.init_args.optimizer.init_args.fused=null"]
    cli = main([*FIT, "--trainer.max_steps=1", *nulls])
    assert cli.datamodule.selector.margin is None
    assert cli.trainer.optimizers[0].defaults["fused"] is None


def test_a_key_without_a_default_is_named(fails: Fails) -> None:
    line = fails(*FIT, "--data.init_args.selector=broken.NeedsTargets")
    assert line == "error: data.init_args.selector.init_args needs num_targets: NeedsTargets has no default for it"


def test_a_complaint_that_is_not_understood_passes_through() -> None:
    assert explain("the moon is full", []) == "the moon is full"
    assert explain('Parser key "x": \n  Given value type: new', []) == 'Parser key "x": \n  Given value type: new'


def test_the_reason_of_a_class_below_is_named_not_the_type_of_the_key_above() -> None:
    complaint = """Parser key "model":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'memup_lightning.modules.base.BaseTask'>, <class 'NoneType'>]
  Errors:
    - Problem with given class_path 'memup_lightning.MemUP':
        Parser key "encoder":
          the source of StepEncoder could not be read.
    - Expected a <class 'NoneType'>
  Given value type: <class 'dict'>
  Given value: {'class_path': 'MemUP', 'init_args': {'encoder': {'class_path': 'StepEncoder'}}}"""
    assert explain(complaint, []) == "model.init_args.encoder: the source of StepEncoder could not be read"


def test_an_option_of_a_part_without_a_default_asks_for_its_class(fails: Fails) -> None:
    said = fails("fit", "--model=PPO", "--data=RolloutDataModule", "--model.lr_scheduler.hold=5")
    assert said.startswith("error: model.init_args.lr_scheduler.init_args.hold=5: no class is named")
    assert "give --model.init_args.lr_scheduler=CLASS before it" in said


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--data=broken.EmptyEpisode"], ["episode 1 has 0 steps", "drop empty episodes"]),
        (["--data=broken.NoEpisode"], ["no episodes", "at least one"]),
        (["--data=broken.NaNOutcome"], ["episode 0 at step 0 is nan", "has_outcome=False"]),
        (
            [*GYM, "--imports=[broken]", "--data.init_args.env_id=NaNReward-v0"],
            ["reward", "nan", "wrapper"],
        ),
        (["--data.init_args.num_train=0"], ["num_train=0", "at least one"]),
        (
            ["--data.init_args.selector=TopK", "--data.init_args.selector.num_targets=500"],
            ["num_targets=500", "ask for at most"],
        ),
        (
            ["--data.init_args.selector=TopK", "--data.init_args.selector.num_targets=-1"],
            ["num_targets=-1", "at least 0"],
        ),
        (
            ["--model.init_args.outcome=CategoricalOutcome"],
            ["Categorical", "class numbers", "a number", "Gaussian"],
        ),
        ([*GYM, "--data.init_args.env_id=CartPol-v1"], ["'CartPol-v1'", "CartPole-v1"]),
        ([*GYM, "--data.init_args.env_id=nobody/Knows-v0"], ["nobody/Knows-v0", "imports"]),
        (["--data.init_args.chunk_length=0"], ["chunk_length=0", "at least 1"]),
        (["--model.init_args.memory.init_args.hidden_size=0"], ["hidden_size=0", "at least 1"]),
        (["--model.init_args.predict_every=0"], ["predict_every=0", "at least 1"]),
        (
            ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/acuracy"],
            ["val/acuracy", "val/accuracy"],
        ),
        (["--trainer.val_check_interval=0"], ["trainer.val_check_interval=0", "limit_val_batches=0"]),
        (["--trainer.overfit_batches=0.1"], ["trainer.overfit_batches=0.1", "whole number of chunks"]),
        (
            ["--trainer.strategy=ddp_spawn", "--trainer.devices=2"],
            ["trainer.strategy=ddp_spawn", "take ddp"],
        ),
        (["--seed_everything=-3"], ["seed_everything=-3", "from 0 to 4294967295"]),
        (["--trainer.precision=16-true"], ["trainer.precision=16-true", "16-mixed"]),
    ],
)
def test_data_or_settings_that_cannot_be_learned_from(fails: Fails, options: list[str], named: list[str]) -> None:
    line = fails(*FIT, *options)
    assert all(part in line for part in named), line


@pytest.mark.parametrize("subcommand", ["validate", "test"])
def test_an_evaluation_of_weights_that_were_never_trained_is_warned_of(
    subcommand: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    with pytest.warns(UserWarning, match=f"{subcommand} without --ckpt_path evaluates weights that were never trained"):
        main([subcommand, *FIT[1:]])


def test_lanes_that_the_ranks_cannot_share_are_refused_before_the_ranks_are_started(fails: Fails) -> None:
    line = fails(*FIT, "--data.lanes=8", "--trainer.devices=3", "--trainer.strategy=ddp")
    assert "data.init_args.lanes=8 cannot be split over 3 processes" in line
    assert "such as 9" in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--data=GymnasiumDataModule", "--data.env_id=CartPole-v1"],
            "GymnasiumDataModule replaces TMazeDataModule and does not take its length=30",
        ),
        (["--model.init_args.memory=GRU"], None),
        (["--model.init_args.memory=RNNAdapter"], "RNNAdapter replaces LSTM and does not take its hidden_size=8"),
        (["--model.init_args.predictor=own_predictor.NoSize"], None),  # hidden_size of the default was not given
        (
            [
                "--model.init_args.predictor=FiLMPredictor",
                "--model.init_args.predictor.hidden_size=8",
                "--model.init_args.predictor=own_predictor.NoSize",
            ],
            "NoSize replaces FiLMPredictor and does not take its hidden_size=8",
        ),
    ],
)
def test_keys_that_were_given_and_that_a_new_class_does_not_take_are_named_once(
    fails: Fails, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str | None
) -> None:
    (tmp_path / "own_predictor.py").write_text(
        "from memup_lightning import OutcomePredictor\n"
        "class NoSize(OutcomePredictor):\n"
        "    def __init__(self, context_size: int, memory_size: int, num_parameters: int): super().__init__()\n"
        "    def forward(self, context, memory, distance=None): return memory\n"
    )
    with pytest.raises(SystemExit):
        main([*FIT, *options, "--print_config"])
    warned = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert warned == ([f"warning: {said}"] if said else [])


@pytest.mark.parametrize("option", ["evaluation_lanes", "evaluation_chunk_length", "candidates"])
def test_a_count_below_one_is_refused(option: str) -> None:
    with pytest.raises(MemUPError, match=f"{option}=0: must be at least 1"):
        TMazeDataModule(**{option: 0})  # type: ignore[arg-type]


def test_the_error_of_an_agents_environment_is_not_replaced_by_one_about_its_agent(fails: Fails) -> None:
    rollouts = ("--data=RolloutDataModule", "--data.env_id=CartPole-v1", "--data.env_kwargs={size: 3}")
    assert "'CartPole-v1' does not take env_kwargs={'size': 3}" in fails("fit", "--model=PPO", *rollouts)
