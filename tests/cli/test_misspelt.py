"""What is misspelt on the command line or in a config is answered with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from memup_lightning.cli.messages import _ELSEWHERE, explain
from tests.cli.failing import FIT, Fails


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--trainer.max_stepss=3", "'max_steps'"),
        ("--model.init_args.memry=LSTM", "'memory'"),
        ("--data.init_args.lenght=3", "'length'"),
        ("--model.init_args.memory.init_args.hiden_size=3", "'hidden_size'"),
        ("--model.init_args.optimizer.init_args.lrr=1", "'lr'"),
        ("--trainer.logger.init_args.save_dirr=x", "'save_dir'"),
        ("--modle=MemUP", "'model'"),
        ("--max_steps=3", "'trainer.max_steps'"),
        ("--trainer.max_step=3", "'max_steps'"),  # a prefix is no abbreviation
        ("--model.init_args.encoder.init_args.image.init_args.standardise=true", "'standardize'"),
        ("--qqq=3", "data, imports, model"),
        ("--data.init_args.qqq=3", "its keys are candidates, chunk_length"),
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
def test_a_misspelt_key_or_class_is_answered_with_what_was_meant(fails: Fails, option: str, meant: str) -> None:
    line = fails(*FIT, option)
    assert option.strip("-").replace("+=", "=") in line
    assert meant in line


@pytest.mark.parametrize(
    ("option", "key", "meant"),
    [
        ("--model.memry=LSTM", "model.init_args.memry=LSTM", "'memory'"),
        ("--trainer.callbacks.evry=2", "evry=2", "'every'"),
        ("--model.lr=1e-3", "model.init_args.lr=1e-3", "--model.optimizer.lr?"),
        ("--data.batch_size=8", "data.init_args.batch_size=8", "--data.lanes?"),
        ("--model.hidden_size=8", "model.init_args.hidden_size=8", "--model.memory.hidden_size?"),
        ("--data.num_tra=3", "num_tra=3", "'num_train'"),
        (
            '--model.init_args.uncertainty={"class_path": "PredictiveUncertainty", "init_args": {"qqq": 3}}',
            "model.init_args.uncertainty.init_args.qqq=3",
            "it has none",
        ),
    ],
)
def test_a_misspelt_key_of_a_part_is_named_with_the_keys_of_its_class(
    fails: Fails, option: str, key: str, meant: str
) -> None:
    line = fails(*FIT, option)
    assert key in line
    assert meant in line


@pytest.mark.parametrize(
    ("key", "meant"),
    [("target", "y"), ("features", "x"), ("timestamp", "time"), ("batch_size", "lanes")],
)
def test_a_key_that_other_libraries_have_is_answered_with_what_it_is_here(fails: Fails, key: str, meant: str) -> None:
    data = ["fit", "--model=MemUP", "--data=ArrayDataModule", "--data.train=own.csv"]
    assert f"did you mean --data.{meant}?" in fails(*data, f"--data.{key}=fault")


def test_a_key_that_only_other_data_have_is_not_proposed(fails: Fails) -> None:
    assert "--data.y" not in fails("fit", "--model=MemUP", "--data=TMazeDataModule", "--data.target=fault")


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


def test_a_misspelt_class_in_a_list_of_a_config(fails: Fails, tmp_path: Path) -> None:
    text = (tmp_path / "tiny.yaml").read_text()
    (tmp_path / "tiny.yaml").write_text(text.replace("TargetRefresh", "TargetRefesh"))
    assert "trainer.callbacks=TargetRefesh: there is no such class; did you mean TargetRefresh?" in fails(*FIT)


@pytest.mark.parametrize("name", ["Linear", "LSTMCell"])
def test_a_class_of_another_kind_is_not_offered_again(fails: Fails, name: str) -> None:
    """torch has several classes of each of these names."""
    line = fails(*FIT, f"--model.init_args.memory={name}")
    assert f"memory={name}: must be a subclass of Memory; choose among AMRL" in line


def test_the_right_key_among_those_of_the_command_is_offered() -> None:
    keys = ["trainer.max_steps", "trainer.logger", "model", "data"]
    asked = "trainer.max_stepss: trainer has no key 'max_stepss'; did you mean 'max_steps'?"
    assert explain("Subcommand 'fit' does not accept option 'trainer.max_stepss'", keys) == asked
    assert explain("unrecognized arguments: --logger=x", keys).endswith("did you mean 'trainer.logger'?")


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


def test_what_keys_of_other_libraries_are_here_exists(fails: Fails) -> None:
    of_table = ["fit", "--model=MemUP", "--data=ArrayDataModule", "--data.train=missing.csv"]
    for key in _ELSEWHERE.values():
        assert "has no key" not in fails(*of_table, f"--{key}=x")


@pytest.mark.parametrize("given", ["speed", "speed,heat"])
def test_a_name_where_names_are_needed_is_answered_with_their_list(fails: Fails, given: str) -> None:
    line = fails("fit", "--model=MemUP", "--data=ArrayDataModule", "--data.train=own.npz", f"--data.x={given}")
    assert line.endswith(f"must be list[str] or null; write --data.x='[{given}]'")
