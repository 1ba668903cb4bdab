"""The command line, in-process with tiny runs; two runs as a user starts them."""

from __future__ import annotations

import csv
import json
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pytorch_lightning.cli import LightningCLI
from wandb.proto import wandb_internal_pb2

import memup_lightning
from memup_lightning import __version__
from memup_lightning.cli.main import main
from memup_lightning.cli.overview import SUBCOMMANDS
from memup_lightning.envs.policies import random_policy
from tests.cli.tiny_runs import Run
from tests.command_line import ROOT, tiny
from tests.processes import ForkedProcess


@pytest.mark.parametrize("switch", ["progress_bar", "model_summary", "checkpointing"])
def test_a_switch_that_is_off_wins_over_the_callbacks_of_a_config(run: Run, tmp_path: Path, switch: str) -> None:
    given = tiny(tmp_path)
    given["trainer"]["callbacks"] += [{"class_path": "TQDMProgressBar"}, {"class_path": "ModelSummary"}]
    given["trainer"] |= {"enable_progress_bar": True, "enable_model_summary": True}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given))
    used = run("fit", f"--trainer.enable_{switch}=false").trainer.callbacks  # type: ignore[attr-defined]
    names = {"progress_bar": "TQDMProgressBar", "model_summary": "ModelSummary", "checkpointing": "ModelCheckpoint"}
    there = {type(x).__name__ for x in used} & set(names.values())
    assert there == set(names.values()) - {names[switch]}


def test_fit_leaves_one_config_file_with_every_key_resolved(run: Run, tmp_path: Path) -> None:
    run("fit", "--model.init_args.memory.init_args.hidden_size=16")
    files = [path for path in (tmp_path / "runs").rglob("*.yaml") if path.read_text().strip() not in ("", "{}")]
    assert [path.name for path in files] == ["config.yaml"]
    saved = yaml.safe_load(files[0].read_text())
    memory = saved["model"]["init_args"]["memory"]
    assert memory["class_path"] == "memup_lightning.LSTM"
    assert memory["init_args"] == {
        "hidden_size": 16,
        "num_layers": 1,
        "additive": True,
        "chrono": 0,
        "chrono_input": True,
    }
    assert saved["trainer"]["max_steps"] == 4


def test_the_saved_config_runs_again(run: Run, tmp_path: Path) -> None:
    first = run("fit")
    again = main(["fit", "--config", str(Path(str(first.trainer.log_dir)) / "config.yaml")])
    assert again.trainer.log_dir != first.trainer.log_dir
    for before, after in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("name", ["own.npz", "own_episodes.episodes"])
def test_the_saved_config_of_a_users_file_or_function_runs_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    np.savez("own.npz", x=np.zeros((20, 5, 2), np.float32), y=np.arange(20) % 2)
    Path("own_episodes.py").write_text(
        "import numpy as np\n\ndef episodes():\n    for i in range(20):\n        yield np.zeros((5, 2)), i % 2\n"
    )
    given = [
        "--model=MemUP",
        "--data=ArrayDataModule",
        f"--data.train={name}",
        "--data.lanes=2",
        "--data.num_workers=0",
    ]
    logged = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=runs"]
    first = main(["fit", *given, "--seed_everything=1", "--trainer.max_steps=1", *logged])
    saved = next(Path("runs").rglob("config.yaml"))
    assert yaml.safe_load(saved.read_text())["data"]["init_args"]["train"] == name
    main(["validate", f"--config={saved}", "--ckpt_path=last"])
    again = main(["fit", f"--config={saved}"])
    assert again.trainer.global_step == 1
    for before, after in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(before, after)
    assert not [x for x in recwarn if "serialize" in str(x.message)]


def test_short_class_names_on_the_command_line(run: Run) -> None:
    cli = run("fit", "--model.init_args.memory=GRU", "--model.init_args.memory.hidden_size=4")
    assert type(cli.model.memory).__name__ == "GRU"
    assert cli.model.memory.output_size == 4


def test_a_policy_is_a_function_by_its_path(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    played = ["--data=GymnasiumDataModule", "--data.env_id=CartPole-v1", "--data.num_train=4", "--data.num_val=4"]
    cli = run("fit", *played, "--data.num_envs=2", "--data.policy=memup_lightning.envs.policies.random_policy")
    assert cli.datamodule.policy is random_policy
    with pytest.raises(SystemExit):
        run("fit", *played, "--data.policy=memup_lightning.envs.policies.nope")
    said = "policy=memup_lightning.envs.policies.nope: there is no such function or class; give a full path, package.module"
    assert f"{said}.function or package.module.Class" in capsys.readouterr().err


def test_a_profiler_that_is_asked_for_profiles(run: Run) -> None:
    assert "MemUP.optimizer_step" in run("fit", "--trainer.profiler=simple").trainer.profiler.summary()  # type: ignore[attr-defined]


def test_validations_are_counted_across_epochs_and_the_last_update_is_kept(run: Run) -> None:
    cli = run("fit", "--data.init_args.chunks_per_epoch=3", "--trainer.max_steps=10")
    rows = csv.DictReader((Path(str(cli.trainer.log_dir)) / "metrics.csv").open())
    assert [row["step"] for row in rows if row["val/accuracy"]] == ["3", "7"]
    (kept,) = (Path(str(cli.trainer.log_dir)) / "checkpoints").glob("*last*")
    assert torch.load(kept, weights_only=True)["global_step"] == 10


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["fit", "--help"], "--num_threads"),
        (["fit", "--config", "tiny.yaml", "--print_config"], "class_path: memup_lightning.LSTM"),
    ],
)
def test_information_is_printed(run: Run, args: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(args)
    assert exit_.value.code == 0
    assert expected in capsys.readouterr().out


def test_one_module_to_import_needs_no_brackets(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("module_one", "module_two"):
        (tmp_path / f"{name}.py").touch()
    for given, expected in (
        ("module_one", ["module_one"]),
        ("[module_one, module_two]", ["module_one", "module_two"]),
    ):
        cli = run("fit", "--trainer.max_steps=1", f"--imports={given}")
        assert [name for name in ("module_one", "module_two") if name in sys.modules] == expected
    for name in expected:
        del sys.modules[name]
    saved = yaml.safe_load((Path(str(cli.trainer.log_dir)) / "config.yaml").read_text())
    assert saved["imports"] == expected


@pytest.mark.parametrize(("option", "expected"), [("--version", f"memup {__version__}"), ("--help", "fit ")])
def test_help_and_version_load_no_library(option: str, expected: str) -> None:
    """Modules are counted since a clock depends on the load."""
    code = f"""if True:
        import sys
        from memup_lightning.__main__ import run
        sys.argv = ["memup", {option!r}]
        try:
            run()
        except SystemExit:
            print([name for name in ("torch", "pytorch_lightning", "numpy", "gymnasium") if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert expected in done.stdout
    assert done.stdout.endswith("[]\n")


def test_the_overview_names_every_subcommand() -> None:
    assert set(SUBCOMMANDS) == {*LightningCLI.subcommands(), "configs", "export"}


def test_wandb_is_offline_by_default_and_says_how_to_sync(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    config["trainer"]["logger"] = [
        config["trainer"]["logger"],
        {"class_path": "WandbLogger", "init_args": {"project": "memup", "save_dir": "my runs"}},
    ]
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config))
    clean = {name: x for name, x in os.environ.items() if not name.startswith("WANDB")}
    clean |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}
    with ForkedProcess(["memup_lightning", "fit", "--config", "tiny.yaml"], tmp_path, clean) as process:
        said = process.communicate()
    assert process.returncode == 0, said
    lines = [x for x in said.splitlines() if ("wandb" in x.lower() or "W&B" in x) and "│" not in x]
    (folder,) = (tmp_path / "my runs" / "wandb").glob("offline-run-*")
    assert lines == [f"W&B is offline; send this run later with: wandb sync 'my runs/wandb/{folder.name}'"]
    logged = wandb_config(next(folder.glob("*.wandb")))
    saved = yaml.safe_load((tmp_path / "runs" / "tiny" / "version_0" / "config.yaml").read_text())
    assert logged["data"] == saved["data"]
    assert logged["model"]["init_args"]["memory"]["init_args"]["hidden_size"] == 8
    assert set(logged) - {"_wandb"} == set(saved)


def wandb_config(path: Path) -> dict[str, Any]:
    """The config in the file of an offline run: protobuf records in blocks of 32 KiB, as in a LevelDB log."""
    data, config, record = path.read_bytes(), {}, b""
    position = 7  # after the file's header
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        record = (b"" if kind in (1, 2) else record) + data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or its last part
            message = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
            message.ParseFromString(record)
            for item in (*message.run.config.update, *message.config.update):
                assert item.key not in config or item.key == "_wandb", "logged twice"
                config[item.key] = json.loads(item.value_json)
    return config


def test_a_warning_of_ours_is_a_sentence_without_a_line_of_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    with pytest.raises(SystemExit):
        main(["fit", "--print_config", "--model=MemUP", "--data=TMazeDataModule"])
    ours = str(Path(memup_lightning.__file__).parent / "data" / "x.py")
    assert warnings.formatwarning("rows are apart", UserWarning, ours, 7) == "warning: rows are apart\n"
    assert warnings.formatwarning("old", UserWarning, "/lib/torch/x.py", 7) == "/lib/torch/x.py:7: warning: old\n"
