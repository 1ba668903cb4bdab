"""Nothing that is written down for users may rot: shipped configs, sweeps, documented commands, the Makefile."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from memup_lightning.cli.main import main
from memup_lightning.runs.run_folder import as_list
from tests.command_line import ROOT

CONFIGS = sorted(ROOT.glob("conf/*.yaml"))
SWEEPS = sorted(ROOT.glob("conf/sweeps/*.yaml"))
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *CONFIGS, *SWEEPS]
COMMAND = re.compile(r"^(?:# *|srun )?memup (?!configs)([^{]*?)(?:\s+#.*|\s{3,}.*)?$", re.MULTILINE)

OBVIOUS = {
    "class_path",
    "save_dir",
    "name",
    "project",
    "num_val",
    "num_test",
}  # classes, places, what num_train explains
LIGHTNING = {"monitor", "mode", "stopping_threshold", "patience", "save_last"}  # of Lightning's own callbacks
TINY = {
    "num_envs": 4,
    "num_steps": 70,
    "num_minibatches": 1,
    "update_epochs": 1,
    "rollouts_per_epoch": 2,
    "memory_updates": 2,
    "length": 60,
    "num_train": 8,
    "num_val": 4,
    "num_test": 4,
    "lanes": 4,
    "chunks_per_epoch": 10,
    "evaluation_lanes": 4,
    "evaluation_chunk_length": 25,
    "eval_after": 30,
}
SHORT = {"room": {"timeout": 800}, "delay": {"delay": 200, "timeout": 500}}
"""Rules of Two-Colors: fewer tics an episode."""
PLAYED = ("RolloutDataModule", "JointDataModule")
"""Datamodules whose episodes the model plays itself."""
SOON: dict[str, dict[str, Any]] = {
    "TargetRefresh": {"every": 2, "settle": 1, "max_wait": 2},
    "Replay": {"every": 2, "max_age": 4},
    "RunReport": {"pictures": False},  # a second each
    "EarlyStopping": {"stopping_threshold": None},  # of four episodes an untrained network may be right about all
}

ADDED = {
    "MemUP": {"TargetRefresh", "RunReport"},
    **{name: {"RunReport"} for name in ("PPO", "JointPPO", "BehaviorCloning")},
}
"""Callbacks that a run of a model has, although its config may not name them."""
DRAWN = {("tmaze", "RunReport"), ("tmaze_ppo", "RunReport")}
"""Configs whose runs are drawn: one that learns from recorded episodes, one that plays."""


def tiny(config: Path) -> dict[str, Any]:
    """The config as it is shipped, but small and soon through with everything that it does."""
    given: dict[str, Any] = yaml.safe_load(config.read_text())
    csv = {"class_path": "CSVLogger", "init_args": {"save_dir": "runs", "name": config.stem}}
    given["trainer"] |= {"accelerator": "cpu", "max_steps": 6, "val_check_interval": 3, "log_every_n_steps": 2}
    given["trainer"]["logger"] = csv
    callbacks = given["trainer"].setdefault("callbacks", [])
    named = {callback["class_path"] for callback in callbacks}
    callbacks += [{"class_path": name} for name in sorted(ADDED[given["model"]["class_path"]] - named)]
    for callback in callbacks:
        if callback["class_path"] in SOON and (config.stem, callback["class_path"]) not in DRAWN:
            callback.setdefault("init_args", {}).update(SOON[callback["class_path"]])
    data = given["data"]["init_args"]
    recorded = given["data"]["class_path"] not in PLAYED
    everywhere = ("num_train", "num_val", "num_test", "evaluation_", "lanes", "chunks_") if recorded else ()
    data |= {name: value for name, value in TINY.items() if name in data or name.startswith(everywhere)}
    if "variant" in data:
        data["rules"] = SHORT[data["variant"]]
    if "TwoColors" in data.get("env_id", ""):
        data["env_kwargs"] |= SHORT["room"]
        data["num_envs"] = 2  # an engine takes a second to start
    if "length" in data.get("env_kwargs", {}):
        data["env_kwargs"]["length"] = TINY["length"]
    return given


def phase_before(config: dict[str, Any]) -> Path | None:
    """The config of the run whose memory or weights a config takes over."""
    callbacks = (x.get("init_args", {}).get("path") for x in config["trainer"].get("callbacks", []))
    for path in (config["model"].get("init_args", {}).get("memory"), *callbacks):
        if isinstance(path, str) and path.startswith("runs/"):
            return ROOT / "conf" / f"{Path(path).name}.yaml"
    return None


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])  # Lightning warns where pytest has some of its own


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_trains_evaluates_and_reports(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = tiny(config)
    (tmp_path / config.name).write_text(yaml.safe_dump(given))
    if (first := phase_before(given)) is not None:
        (tmp_path / "first.yaml").write_text(yaml.safe_dump(tiny(first)))
        main(["fit", "--config", "first.yaml"])
    main(["fit", "--config", config.name])
    summary = json.loads(Path("runs", config.stem, "version_0", "summary.json").read_text())
    assert summary["updates"] == 6
    played = given["data"]["class_path"] in PLAYED
    expected = {"val/return", "val/success"} if played else {"val/accuracy", "val/memory_gain"}
    assert expected <= summary["metrics"].keys()
    if any(callback["class_path"] == "Replay" for callback in given["trainer"]["callbacks"]):
        assert summary["metrics"]["replay/snapshots"] > 0


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_keeps_its_metrics_in_a_folder_of_its_own_name(config: Path) -> None:
    loggers = as_list(yaml.safe_load(config.read_text())["trainer"].get("logger"))
    ours = [logger.get("init_args") for logger in loggers if logger["class_path"] == "CSVLogger"]
    assert ours == [{"save_dir": "runs", "name": config.stem}], f"{config.name} needs one CSVLogger named like the file"


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_key_of_a_config_has_a_comment(config: Path) -> None:
    bare = []
    for number, line in enumerate(config.read_text().splitlines(), 1):
        text, _, comment = line.partition("#")
        text = text.strip().removeprefix("- ").strip()
        if not text or text.endswith(":") or comment.strip():
            continue
        given = yaml.safe_load(text)
        assert isinstance(given, dict), f"{config.name}:{number}"
        key, value = next(iter(given.items()))
        keys = set(value) if key == "init_args" else {key}
        if not keys <= OBVIOUS | LIGHTNING:
            bare.append(f"{config.name}:{number}: {text}")
    assert not bare


def values(parameter: dict[str, Any]) -> list[Any]:
    """What a sweep may sample: all that is listed, or the ends of a range."""
    if "value" in parameter:
        return [parameter["value"]]
    ends: list[Any] = parameter.get("values") or [parameter["min"], parameter["max"]]
    return ends


def samples(sweep: Path) -> Iterator[list[str]]:
    """The arguments of the program as `wandb agent` puts them together, so that every value occurs."""
    given = yaml.safe_load(sweep.read_text())
    listed = {name: values(parameter) for name, parameter in given["parameters"].items()}
    for number in range(max(len(x) for x in listed.values())):
        args = [f"--{name}={x[number % len(x)]}" for name, x in listed.items()]
        parts = {"${env}": ["/usr/bin/env"], "${interpreter}": ["python"], "${args}": args}
        command = list(itertools.chain(*(parts.get(part, [part]) for part in given["command"])))
        assert command[:4] == ["/usr/bin/env", "python", "-m", "memup_lightning"]
        yield command[4:]


def parses(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The resolved config that the command line makes of some arguments; nothing is run."""
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--print_config"])
    out, err = capsys.readouterr()
    assert end.value.code in (None, 0), err
    return out


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda path: path.stem)
def test_every_value_of_a_sweep_is_understood(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    for arguments in samples(sweep):
        parses(arguments, capsys)


def documented() -> list[Any]:
    """What follows `memup` in README, docs and configs, each with its page."""
    found: dict[str, Any] = {}
    for page in PAGES:
        for command in COMMAND.findall(re.sub(r"\\\n#?\s*", "", page.read_text())):
            if ("/version_" in command and "--config" in command) or command.startswith("export"):
                continue  # of a run that a reader has and this test has not
            found.setdefault(command, pytest.param(command, id=f"{page.stem}-{len(found)}"))
    return list(found.values())


@pytest.fixture
def my_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of the classes that README and docs/start/your-own.md write."""
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/start/your-own.md")]
    blocks = re.findall(r"```python\n(.*?)```", "\n".join(pages), re.DOTALL)
    imports = "import torch\nfrom torch import Tensor, nn\nfrom memup_lightning.models.memory import Memory\n\n"
    (tmp_path / "my_package.py").write_text(imports + "\n".join(block for block in blocks if "class " in block))
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("my_package", None)


@pytest.mark.usefixtures("my_package")
@pytest.mark.parametrize("command", documented())
def test_a_documented_command_is_understood(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load(parses(shlex.split(command), capsys))
    assert config["model"]
    assert config["data"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("tmaze", ".venv/bin/memup fit --config conf/tmaze.yaml"),
        (
            "test",
            '.venv/bin/python -m pytest -n auto --maxprocesses 8 --dist worksteal -m "not learning and not slow"',
        ),
        ("tmaze-agent", ".venv/bin/memup test --config conf/tmaze_ppo.yaml --ckpt_path last"),
    ],
)
def test_make_runs_the_documented_command(target: str, command: str) -> None:
    printed = subprocess.run(
        ["make", "--no-print-directory", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert printed.splitlines()[-1] == command
