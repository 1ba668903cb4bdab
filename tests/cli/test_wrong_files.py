"""Configs, checkpoints and folders that are not there or cannot be used are named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memup_lightning.cli.arguments import config_files_first
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoints.files import check_checkpoint
from tests.cli.failing import FIT, Fails


def test_an_option_wins_over_a_config_file_wherever_it_is_written() -> None:
    args = ["fit", "--trainer.max_steps=3", "--config", "a.yaml", "--data=X", "--config=b.yaml"]
    first = ["fit", "--config", "a.yaml", "--config=b.yaml", "--trainer.max_steps=3", "--data=X"]
    assert config_files_first(args) == first
    assert config_files_first([]) == []


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


@pytest.mark.parametrize("name", ["last.ckpt", "best_run/x.ckpt", "hpc.ckpt"])
def test_a_path_that_begins_like_one_of_lightnings_words_is_a_path(name: str, fails: Fails) -> None:
    with pytest.raises(MemUPError, match=f"{name}: no such file"):
        check_checkpoint(name)
    assert "no such file" in fails(*FIT, "--ckpt_path", name)


def test_a_folder_as_a_config_is_not_suggested_again(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    assert fails("fit", "--config", "conf").endswith("--config conf: is a folder; give the path of a YAML file")
