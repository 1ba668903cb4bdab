"""Whatever is wrong with the input: one sentence and an exit status, also of what Lightning, torch or W&B refuse."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
import yaml

from memup_lightning.cli.errors import about_settings, leave_out_noise
from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.episode_metrics import EpisodeMetrics
from tests.cli.failing import FIT, Fails
from tests.command_line import command, tiny


def test_every_logger_is_checked(fails: Fails) -> None:
    wandb = ("--trainer.logger=WandbLogger", "--trainer.logger.save_dir=/proc/nowhere")
    assert "/proc/nowhere cannot be written to" in fails(*FIT, *wandb)


def test_the_process_ends_with_one_line_and_a_status(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    done = command(*FIT, "--model.init_args.outcome=CategoricalOutcome", cwd=tmp_path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 614400 bytes. Error 12"),
            "614400",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), "2.00 GiB"),
        (MemoryError("Unable to allocate 7.4 TiB for an array with shape"), "7.4 TiB"),
    ],
)
def test_memory_that_does_not_suffice_is_said_with_what_to_lower(error: Exception, asked: str) -> None:
    sentence = about_settings(error)
    assert sentence is not None
    assert sentence.startswith(f"out of memory ({asked}")
    assert "an update holds lanes x chunk_length steps" in sentence


def test_the_traceback_is_there_for_those_who_ask(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMUP_TRACEBACK", "1")
    with pytest.raises(MemUPError, match="did you mean 'fit'"):
        main(["fitt"])


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


def test_a_second_callback_of_one_state_is_lightnings_sentence(fails: Fails) -> None:
    twice = ["--trainer.callbacks+=ModelCheckpoint"] * 2
    assert "more than one stateful callback of type `ModelCheckpoint`" in fails(*FIT, *twice)


def test_a_mode_that_wandb_does_not_know_is_named(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    line = fails(*FIT, "--trainer.logger=WandbLogger", "--trainer.logger.save_dir=runs")
    assert "Weights & Biases" in line
    assert "ofline" in line


def test_a_task_without_successes_is_not_warned_of() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        leave_out_noise()
        metrics = EpisodeMetrics()
        metrics.update({"return": torch.ones(2), "length": torch.ones(2)})
        assert metrics.means() == {"return": 1.0, "length": 1.0}
    assert not caught
