"""Whatever is wrong with the input: one sentence that names the value and the remedy, and an exit status."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from memup_lightning.cli.arguments import config_files_first
from memup_lightning.cli.errors import about_settings
from memup_lightning.cli.main import main
from memup_lightning.cli.messages import explain
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoint_io import check_checkpoint
from tests.command_line import command, tiny

Fails = Callable[..., str]
FIT = ("fit", "--config", "tiny.yaml")
GYM = ("--data=GymnasiumDataModule", "--data.init_args.num_train=2", "--data.init_args.num_envs=1")

BROKEN = """
    import gymnasium
    import numpy as np
    from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
    from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
    from memup_lightning.data.targets import Selector


    class EmptyEpisode(TMazeDataModule):
        lengths, value = [3, 0, 2], 1.0

        def episodes(self, split):
            steps = sum(self.lengths)
            arrays = {"observation": np.zeros((steps, 3), np.float32), "action": np.zeros(steps, np.int32)}
            arrays |= {"reward": np.zeros(steps, np.float32), OUTCOME: np.full(steps, self.value, np.float32)}
            return ArrayEpisodes(arrays, self.lengths, self.task.fields)


    class NeedsTargets(Selector):
        def score(self, steps):
            return steps.uncertainty


    class NoEpisode(EmptyEpisode):
        lengths = []


    class NaNOutcome(EmptyEpisode):
        lengths, value = [3, 2], float("nan")


    class NaNReward(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.left = 3
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.left -= 1
            return np.zeros(1, np.float32), float("nan"), self.left == 0, False, {}


    if "NaNReward-v0" not in gymnasium.registry:
        gymnasium.register("NaNReward-v0", NaNReward)
"""


@pytest.fixture
def fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command line that must fail, in a folder with ``tiny.yaml``; returns its one line of complaint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    monkeypatch.delenv("MEMUP_TRACEBACK", raising=False)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    (tmp_path / "broken.py").write_text(textwrap.dedent(BROKEN))

    def run(*args: str) -> str:
        with pytest.raises(SystemExit) as exit_:
            main(args)
        assert exit_.value.code not in (0, None)
        said = capsys.readouterr().err.splitlines()
        (line,) = [line for line in said if line != "Seed set to 1" and not line.startswith("warning: ")]
        assert line.startswith("error: ")
        assert "Traceback" not in line
        assert "Subtypes" not in line
        return line

    return run


# Keys, classes and types.


@pytest.mark.parametrize(
    ("option", "key", "meant"),
    [
        ("--trainer.max_stepss=3", "trainer.max_stepss=3", "'max_steps'"),
        ("--model.init_args.memry=LSTM", "model.init_args.memry=LSTM", "'memory'"),
        ("--model.memry=LSTM", "model.init_args.memry=LSTM", "'memory'"),
        ("--data.init_args.lenght=3", "data.init_args.lenght=3", "'length'"),
        (
            "--model.init_args.memory.init_args.hiden_size=3",
            "model.init_args.memory.init_args.hiden_size=3",
            "'hidden_size'",
        ),
        ("--model.init_args.optimizer.init_args.lrr=1", "model.init_args.optimizer.init_args.lrr=1", "'lr'"),
        ("--trainer.logger.init_args.save_dirr=x", "trainer.logger.init_args.save_dirr=x", "'save_dir'"),
        ("--trainer.callbacks.evry=2", "evry=2", "'every'"),
        ("--modle=MemUP", "modle=MemUP", "'model'"),
        ("--max_steps=3", "max_steps=3", "'trainer.max_steps'"),
        ("--trainer.max_step=3", "trainer.max_step=3", "'max_steps'"),  # a prefix is no abbreviation
        ("--data.num_tra=3", "num_tra=3", "'num_train'"),
        (
            "--model.init_args.encoder.init_args.image.init_args.standardise=true",
            "model.init_args.encoder.init_args.image.init_args.standardise=true",
            "'standardize'",
        ),
        (
            '--model.init_args.uncertainty={"class_path": "PredictiveUncertainty", "init_args": {"qqq": 3}}',
            "model.init_args.uncertainty.init_args.qqq=3",
            "it has none",
        ),
        ("--qqq=3", "qqq=3", "data, imports, model"),
        ("--data.init_args.qqq=3", "data.init_args.qqq=3", "its keys are candidates, chunk_length"),
    ],
)
def test_a_misspelt_option_is_answered_with_what_was_meant(fails: Fails, option: str, key: str, meant: str) -> None:
    line = fails(*FIT, option)
    assert key in line
    assert meant in line


@pytest.mark.parametrize(
    ("right", "wrong", "key"),
    [
        ("max_steps", "max_stepss", "trainer.max_stepss"),
        ("hidden_size", "hiden_size", "model.init_args.memory.init_args.hiden_size=8"),
        ("length", "lenght", "data.init_args.lenght=30"),
        ("trainer", "trianer", "trianer"),
        ("every", "evry", "evry=2"),
        ("save_dir", "savedir", "savedir="),
        ("lr", "lrr", "model.init_args.optimizer.init_args.lrr=0.002"),
        ("init_args", "init_arg", ".init_arg="),
    ],
)
def test_a_misspelt_key_of_a_config_is_answered_with_what_was_meant(
    fails: Fails, tmp_path: Path, right: str, wrong: str, key: str
) -> None:
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_text(text.replace(f"{right}:", f"{wrong}:"))
    line = fails(*FIT)
    assert key in line
    assert f"did you mean '{right}'?" in line


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--data=TMazeDataModul", "TMazeDataModule"),
        ("--model=MemUPP", "MemUP"),
        ("--model.init_args.memory=LSMT", "LSTM"),
        ("--model.init_args.outcome=Gausian", "GaussianOutcome"),
        ("--model.init_args.optimizer=torch.optim.Adm", "Adam"),
        ("--data.init_args.selector=TopJ", "TopK"),
        ("--trainer.logger=CSVLoger", "CSVLogger"),
        ("--trainer.callbacks+=TargetRefesh", "TargetRefresh"),
        ("--model.init_args.memory=Elephant", "MinGRU"),
        ("--model.init_args.memory=my.module.Core", "MinGRU"),
        ("--model.init_args.memory=torch.nn.Linear", "subclass of Memory"),
    ],
)
def test_a_misspelt_class_is_answered_with_what_was_meant(fails: Fails, option: str, meant: str) -> None:
    line = fails(*FIT, option)
    key, _, value = option.strip("-").replace("+", "").partition("=")
    assert f"{key}={value}" in line
    assert meant in line


def test_a_misspelt_class_in_a_list_of_a_config(fails: Fails, tmp_path: Path) -> None:
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_text(text.replace("TargetRefresh", "TargetRefesh"))
    assert "trainer.callbacks=TargetRefesh: there is no such class; did you mean TargetRefresh?" in fails(*FIT)


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


def test_the_right_key_among_those_of_the_command_is_offered() -> None:
    keys = ["trainer.max_steps", "trainer.logger", "model", "data"]
    asked = "trainer.max_stepss: trainer has no key 'max_stepss'; did you mean 'max_steps'?"
    assert explain("Subcommand 'fit' does not accept option 'trainer.max_stepss'", keys) == asked
    assert explain("unrecognized arguments: --logger=x", keys).endswith("did you mean 'trainer.logger'?")


def test_an_option_wins_over_a_config_file_wherever_it_is_written() -> None:
    args = ["fit", "--trainer.max_steps=3", "--config", "a.yaml", "--data=X", "--config=b.yaml"]
    first = ["fit", "--config", "a.yaml", "--config=b.yaml", "--trainer.max_steps=3", "--data=X"]
    assert config_files_first(args) == first
    assert config_files_first([]) == []


# The command line as a whole, config files and checkpoints.


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["fitt"], ["'fitt'", "did you mean 'fit'?"]),
        (["learn"], ["'learn'", "fit, validate, test, predict, configs or export"]),
        ([], ["fit, validate, test, predict, configs or export"]),
        (["--config", "tiny.yaml"], ["subcommand", "fit, validate, test, predict, configs or export"]),
        (["fit"], ["no data and no model", "--config"]),
        (["fit", "--model=MemUP"], ["no data given", "--data=TMazeDataModule"]),
        (["fit", "tiny.yaml"], ["did you mean --config tiny.yaml?"]),
        (["fit", "--confg", "tiny.yaml"], ["confg=tiny.yaml", "'config'"]),
        ([*FIT, "stray"], ["'stray'", "--key=value"]),
        (["fit", "--config", "tinny.yaml"], ["tinny.yaml: no such file", "did you mean tiny.yaml?"]),
        (["fit", "--config", "nowhere/at/all.yaml"], ["nowhere/at/all.yaml: no such file", "path of a YAML file"]),
        (["fit", "--config", "conf/tmaze.yaml"], ["conf/tmaze.yaml: no such file", "`memup configs` copies"]),
        (["fit", "--config", "conf/tmase.yaml"], ["did you mean conf/tmaze.yaml, which `memup configs` copies"]),
        (["fit", "--config=."], [".: is a folder"]),
        ([*FIT, "--imports=[no_such_module]"], ["imports=no_such_module", "PYTHONPATH"]),
        (["--trainer.max_steps=3", "fit"], ["--trainer.max_steps must follow the subcommand"]),
    ],
)
def test_a_wrong_command_line_is_answered_with_a_right_one(fails: Fails, args: list[str], named: list[str]) -> None:
    line = fails(*args)
    assert all(part in line for part in named), line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("trainer:\n  max_steps: 1\ntrainer:\n  devices: 1", "at line 3, column 1: the key 'trainer' is given twice"),
        ("data:\n  class_path: X\n  length: 3", "data.length=3: the keys of X are written under its init_args"),
        ("model: [\n  a: b", "syntax error at line 2"),
        ("- a\n- b", "not keys"),
        ("a: \t{", "syntax error at line 1"),
    ],
)
def test_a_config_that_is_no_yaml_is_named_with_the_place(fails: Fails, tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    line = fails("fit", "--config", "bad.yaml")
    assert "bad.yaml" in line
    assert named in line


def test_a_checkpoint_that_cannot_be_resumed_from_is_named(fails: Fails, tmp_path: Path) -> None:
    whole = tmp_path / "whole.ckpt"
    shapes = {"state_dict": {"memory.rnn.weight_ih_l0": torch.zeros(2, 3)}}
    torch.save(shapes, whole)
    (tmp_path / "cut.ckpt").write_bytes(whole.read_bytes()[:200])
    (tmp_path / "text.ckpt").write_text("no checkpoint at all")
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    cases = {
        "gone.ckpt": "no such file; did you mean",
        "cut.ckpt": "cut off",
        "text.ckpt": "no checkpoint",
        "other.ckpt": "holds no state_dict",
        "whole.ckpt": "does not fit this model",
    }
    for name, problem in cases.items():
        line = fails(*FIT, "--ckpt_path", name)
        assert f"--ckpt_path {name}: " in line
        assert problem in line


# The data and the model.


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
    ],
)
def test_data_or_settings_that_cannot_be_learned_from(fails: Fails, options: list[str], named: list[str]) -> None:
    line = fails(*FIT, *options)
    assert all(part in line for part in named), line


@pytest.mark.parametrize("logger", [[], ["--trainer.logger=false"]])
def test_a_run_whose_data_cannot_be_read_leaves_no_folder(fails: Fails, logger: list[str]) -> None:
    fails(*FIT, "--data=broken.EmptyEpisode", *logger)
    assert not list(Path().rglob("version_*"))


@pytest.mark.parametrize("folder", ["/proc/nowhere/runs", "tiny.yaml", "tiny.yaml/runs"])
@pytest.mark.parametrize(
    "option",
    ["trainer.logger.init_args.save_dir", "trainer.callbacks.init_args.dirpath", "trainer.default_root_dir"],
)
def test_a_folder_that_cannot_be_written_to_is_named_before_all_else(fails: Fails, folder: str, option: str) -> None:
    wrong_too = "--model.init_args.outcome=CategoricalOutcome"
    more = ["--trainer.logger=true"] if "root" in option else []
    more += ["--trainer.callbacks+=ModelCheckpoint"] if "callbacks" in option else []
    line = fails(*FIT, wrong_too, *more, f"--{option}={folder}")
    assert folder in line
    assert f"--{option}=" in line


def test_every_logger_is_checked(fails: Fails) -> None:
    wandb = ("--trainer.logger=WandbLogger", "--trainer.logger.save_dir=/proc/nowhere")
    assert "/proc/nowhere cannot be written to" in fails(*FIT, *wandb)


# What the shell sees.


def test_the_process_ends_with_one_line_and_a_status(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    done = command(*FIT, "--model.init_args.outcome=CategoricalOutcome", cwd=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stdout + done.stderr


def test_the_traceback_is_there_for_those_who_ask(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMUP_TRACEBACK", "1")
    with pytest.raises(MemUPError, match="did you mean 'fit'"):
        main(["fitt"])


@pytest.mark.parametrize("name", ["last.ckpt", "best_run/x.ckpt", "hpc.ckpt"])
def test_a_path_that_begins_like_one_of_lightnings_words_is_a_path(name: str, fails: Fails) -> None:
    with pytest.raises(MemUPError, match=f"{name}: no such file"):
        check_checkpoint(name)
    assert "no such file" in fails(*FIT, "--ckpt_path", name)


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


# Settings that Lightning, torch or W&B refuse.

SCHEDULER = "--model.init_args.lr_scheduler"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--trainer.accelerator=cpux"], ["cpux", "cpu"]),
        (["--trainer.strategy=dpp"], ["dpp"]),
        (["--trainer.precision=17"], ["trainer.precision=17: must be", "16-mixed"]),
        (["--trainer.precision=16-true"], ["trainer.precision=16-true", "bf16-mixed"]),
        (["--trainer.logger=CometLogger"], ["comet", "pip install"]),
        (["--ckpt_path", "best"], ["--ckpt_path best", "give last"]),
        (["--ckpt_path", "hpc"], ["no HPC checkpoint was found"]),
        (["--ckpt_path", "registry:mine"], ["registry:mine"]),
        (["--model.init_args.optimizer.init_args.lr=-1"], ["model.init_args.optimizer", "-1"]),
        ([f"{SCHEDULER}=StepLR", f"{SCHEDULER}.step_size=0"], ["model.init_args.lr_scheduler", "zero"]),
        (["--trainer.check_val_every_n_epoch=2", "--trainer.val_check_interval=501"], ["val_check_interval", "501"]),
        (
            ["--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.monitor=train/lss"],
            ["'train/lss'", "'train/loss'"],
        ),
        (["--data.dict_kwargs.lenght=3"], ["no argument 'lenght'"]),
    ],
)
def test_a_setting_that_lightning_or_torch_refuses_ends_in_its_sentence(
    fails: Fails, options: list[str], named: list[str]
) -> None:
    line = fails(*FIT, *options)
    assert all(part in line for part in named), line


def test_an_error_of_ours_is_no_error_of_the_user() -> None:
    def fail() -> None:
        raise ValueError("a shape that we got wrong")

    for error in (ValueError("x"), KeyError("x"), RuntimeError("mat1 and mat2 shapes cannot be multiplied")):
        assert about_settings(error) is None
    with pytest.raises(ValueError, match="a shape") as caught:
        fail()
    assert about_settings(caught.value) is None


@pytest.mark.parametrize("option", ["evaluation_lanes", "evaluation_chunk_length", "candidates"])
def test_a_count_below_one_is_refused(option: str) -> None:
    with pytest.raises(MemUPError, match=f"{option}=0: must be at least 1"):
        TMazeDataModule(**{option: 0})  # type: ignore[arg-type]


def test_a_second_callback_of_one_state_is_lightnings_sentence(fails: Fails) -> None:
    twice = ["--trainer.callbacks+=ModelCheckpoint"] * 2
    assert "more than one stateful callback of type `ModelCheckpoint`" in fails(*FIT, *twice)


def test_a_mode_that_wandb_does_not_know_is_named(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    line = fails(*FIT, "--trainer.logger=WandbLogger", "--trainer.logger.save_dir=runs")
    assert "Weights & Biases" in line
    assert "ofline" in line


def test_a_folder_as_a_config_is_not_suggested_again(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    assert fails("fit", "--config", "conf").endswith("--config conf: is a folder; give the path of a YAML file")


def test_the_error_of_an_agents_environment_is_not_replaced_by_one_about_its_agent(fails: Fails) -> None:
    rollouts = ("--data=RolloutDataModule", "--data.env_id=CartPole-v1", "--data.env_kwargs={size: 3}")
    assert "'CartPole-v1' does not take env_kwargs={'size': 3}" in fails("fit", "--model=PPO", *rollouts)
