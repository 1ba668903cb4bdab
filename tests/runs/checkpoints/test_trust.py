"""A checkpoint must not choose what code runs: it names classes of this package and of torch, or those that are trusted."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning.cli import instantiate_module

from memup_lightning.callbacks.initial_weights import InitialWeights
from memup_lightning.cli.export import export_model
from memup_lightning.cli.main import main
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.envs import TMazeEnv
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import LSTM as LSTMCore
from memup_lightning.modules import BaseTask, MemUP
from memup_lightning.modules.loading import build_module, load_module
from memup_lightning.rl.agent import Agent
from memup_lightning.rl.algorithms import PPO
from memup_lightning.rl.wrappers import MemoryObservation
from memup_lightning.runs.checkpoints import trust
from memup_lightning.serving.predictor import Predictor
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.command_line import tiny
from tests.training import quiet_trainer

HOSTILE = """
import pathlib
import torch
from memup_lightning.models.memory import GRU
pathlib.Path({ran!r}).touch()

class HostileCore(GRU):
    pass

def call(*args, **kwargs) -> torch.optim.Optimizer:
    pathlib.Path({ran!r}).touch()
"""
MODEL = "memup_lightning.modules.MemUP"
LSTM = {"class_path": "memup_lightning.models.memory.LSTM", "init_args": {"hidden_size": 8}}


def task() -> dict[str, Any]:
    data = TMazeDataModule(length=20, num_train=4, num_val=4)
    return data.task.to_dict()


def hyperparameters(**given: Any) -> dict[str, Any]:
    """What a run of the command line keeps."""
    kept = {"_instantiator": "pytorch_lightning.cli.instantiate_module", "_class_path": MODEL, "task": task()}
    return kept | {"memory": copy.deepcopy(LSTM)} | given


def with_key(place: str, value: Any) -> dict[str, Any]:
    """Hyperparameters with one value put into ``memory.init_args``, say."""
    kept = hyperparameters()
    inner = kept
    *parents, last = place.split("/")
    for key in parents:
        inner = inner[key]
    inner[last] = value
    return kept


SPEC = {"class_path": "hostile.HostileCore", "init_args": {}}
ATTACKS: dict[str, Callable[[], dict[str, Any]]] = {
    "model": lambda: with_key("_class_path", "hostile.HostileCore"),
    "instantiator": lambda: with_key("_instantiator", "hostile.call"),
    "part": lambda: with_key("memory", SPEC),
    "name of a part": lambda: with_key("memory", "hostile.HostileCore"),
    "function": lambda: with_key("optimizer", "hostile.call"),
    "function with arguments": lambda: with_key("optimizer", {"class_path": "hostile.call", "init_args": {"lr": 1}}),
    "argument": lambda: with_key("memory/init_args/module", SPEC),
    "dict_kwargs": lambda: with_key("memory/dict_kwargs", {"module": SPEC}),
    "key with dots": lambda: with_key("memory.class_path", "hostile.HostileCore"),
    "unknown key": lambda: with_key("anything", [({"x": SPEC},)]),
    "text": lambda: with_key("memory", json.dumps(SPEC)),
    "text of YAML": lambda: with_key("memory", "class_path: hostile.HostileCore\ninit_args: {}\n"),
    "text in text": lambda: with_key("memory", json.dumps({"class_path": LSTM["class_path"], "x": json.dumps(SPEC)})),
    "task": lambda: with_key("task", SPEC),
    "name of a task": lambda: with_key("task", "hostile.HostileCore"),
    "field of the task": lambda: with_key("task/fields/observation", SPEC),
    "name of a field": lambda: with_key("task/fields/observation", "hostile.HostileCore"),
    "key of the task": lambda: with_key("task/class_path", "hostile.HostileCore"),
    "memory of an agent": lambda: hyperparameters(
        _class_path="memup_lightning.rl.algorithms.PPO",
        memory="built:" + json.dumps(hyperparameters(memory=SPEC)),
    ),
    "imported here": lambda: with_key(
        "memory", {"class_path": "memup_lightning.runs.checkpoints.trust.importlib.import_module"}
    ),
    "imported by torch": lambda: with_key("optimizer", {"class_path": "torch.nn.functional.warnings.warn"}),
    "os.system": lambda: with_key("memory", {"class_path": "os.system", "init_args": {"command": "touch ran"}}),
    "torch, no network": lambda: with_key("optimizer", {"class_path": "torch.hub.load", "init_args": {}}),
    "ours, no network": lambda: with_key("memory", {"class_path": "memup_lightning.data.store.EpisodeStoreWriter"}),
    "name begins like ours": lambda: with_key("memory", {"class_path": "memup_lightning_evil.Core"}),
}


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that can be imported, and leaves this file when it is."""
    (tmp_path / "hostile.py").write_text(HOSTILE.format(ran=str(tmp_path / "ran")))
    (tmp_path / "memup_lightning_evil.py").write_text(HOSTILE.format(ran=str(tmp_path / "ran")))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trust, "_trusted", set())
    yield tmp_path / "ran"
    for name in ("hostile", "memup_lightning_evil"):
        sys.modules.pop(name, None)


def write(path: Path, kept: dict[str, Any], **more: Any) -> Path:
    torch.save({"state_dict": {}, "hyper_parameters": kept, "pytorch-lightning_version": "2.6.0"} | more, path)
    return path


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_hostile_name_is_refused_before_anything_is_imported(tmp_path: Path, ran: Path, attack: str) -> None:
    path = write(tmp_path / "x.ckpt", ATTACKS[attack]())
    with pytest.raises(MemUPError, match=r"x\.ckpt: "):
        load_module(path, BaseTask)  # type: ignore[type-abstract]
    with pytest.raises(ValueError, match=r"hostile|os.system|memup_lightning|torch|task"):
        (PPO if attack == "memory of an agent" else MemUP).load_from_checkpoint(path)
    assert not ran.exists()
    assert "hostile" not in sys.modules


def test_the_same_names_run_code_where_nothing_checks_them(ran: Path) -> None:
    with suppress(ValueError):
        instantiate_module(MemUP, {key: x for key, x in ATTACKS["function"]().items() if key != "_instantiator"})
    assert ran.exists()


def agent_task() -> TaskSpec:
    fields = {"observation": FieldSpec((3,)), "action": FieldSpec((), "int64", "token", 2), "reward": FieldSpec(())}
    return TaskSpec(fields, {"observation": 0, "action": 1, "reward": 1}, ("observation", "action"))


def test_every_way_in_refuses_a_hostile_checkpoint(tmp_path: Path, ran: Path) -> None:
    path = write(tmp_path / "x.ckpt", ATTACKS["part"]())
    ways: dict[str, Callable[[], Any]] = {
        "an agent": lambda: Agent.load(path),
        "an agent's memory": lambda: PPO(agent_task(), memory=str(path)),  # type: ignore[arg-type]
        "an agent's memory in a folder": lambda: PPO(agent_task(), memory=str(tmp_path)),  # type: ignore[arg-type]
        "a datamodule": lambda: TMazeDataModule.load_from_checkpoint(
            write(tmp_path / "data.ckpt", {}, datamodule_hyper_parameters=ATTACKS["part"]())
        ),
        "a model, old key": lambda: MemUP.load_from_checkpoint(
            write(tmp_path / "old.ckpt", {}, hparams=ATTACKS["part"]())
        ),
        "a model, open file": lambda: MemUP.load_from_checkpoint(path.open("rb")),
        "a model in a folder": lambda: MemUP.load_from_checkpoint(tmp_path),
        "a predictor": lambda: Predictor.load(path),
        "a memory of an environment": lambda: MemoryObservation(TMazeEnv(length=6), path),
    }
    for name, way in ways.items():
        with pytest.raises(MemUPError, match=r"hostile\.HostileCore"):
            way()
        assert not ran.exists(), name


def test_the_command_line_builds_what_the_config_says_not_what_a_checkpoint_names(
    tmp_path: Path, ran: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["memup"])
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny(tmp_path)))
    trained = main(["fit", "--config=tiny.yaml"])
    content = torch.load(Path(str(trained.trainer.log_dir)) / "checkpoints" / "last.ckpt", weights_only=True)
    content["hyper_parameters"] |= {
        "memory": SPEC,
        "_class_path": "hostile.HostileCore",
        "_instantiator": "hostile.call",
    }
    torch.save(content, tmp_path / "x.ckpt")
    for subcommand in ("fit", "validate", "test", "predict"):
        cli = main([subcommand, "--config=tiny.yaml", "--ckpt_path=x.ckpt", "--trainer.max_steps=6"])
        assert type(cli.model.memory) is LSTMCore
        assert not ran.exists(), subcommand


def test_export_refuses_a_hostile_checkpoint(tmp_path: Path, ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "x.ckpt", ATTACKS["part"]())
    with pytest.raises(SystemExit):
        export_model(["--ckpt_path", str(path)])
    said = capsys.readouterr().err
    assert "hostile.HostileCore" in said
    assert "allow it only where you trust it: --imports=hostile" in said
    assert not ran.exists()


def test_weights_alone_are_taken_from_a_checkpoint_whatever_it_names(tmp_path: Path, ran: Path) -> None:
    model = MemUP(TaskSpec.from_dict(task()))
    path = write(tmp_path / "x.ckpt", ATTACKS["part"](), state_dict=MemUP(TaskSpec.from_dict(task())).state_dict())
    trainer = quiet_trainer(1, [])
    InitialWeights(str(path)).on_fit_start(trainer, model)
    assert not ran.exists()


def test_the_refusal_names_the_class_and_says_how_to_allow_it(tmp_path: Path, ran: Path) -> None:
    path = write(tmp_path / "x.ckpt", ATTACKS["part"]())
    with pytest.raises(
        MemUPError, match=r"name hostile\.HostileCore, .*trust it: memup_lightning.*trust\(\"hostile\"\)"
    ):
        load_module(path, MemUP)


@pytest.mark.parametrize("name", ["hostile", "hostile.HostileCore"])
def test_a_class_that_is_trusted_by_name_is_built(tmp_path: Path, ran: Path, name: str) -> None:
    trust.trust(name)
    model = build_module(MemUP, ATTACKS["part"](), "x.ckpt")
    assert type(model.memory).__name__ == "HostileCore"


def test_trust_covers_what_a_package_defines_not_what_it_imports(ran: Path) -> None:
    trust.trust("hostile")
    with pytest.raises(MemUPError, match=r"name hostile\.pathlib\.Path"):
        build_module(MemUP, with_key("memory", "hostile.pathlib.Path"), "x.ckpt")


def test_what_a_run_keeps_is_built_again(tmp_path: Path, ran: Path) -> None:
    kept = hyperparameters(
        optimizer={"class_path": "torch.optim.Adam", "init_args": {"lr": 0.1}},
        lr_scheduler={"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"total_iters": 3}},
        memory={
            "class_path": "memup_lightning.models.memory.RNNAdapter",
            "init_args": {"module": "torch.nn.LSTM", "module_args": {"hidden_size": 4}},
        },
    )
    model = build_module(MemUP, kept, "x.ckpt")
    again, _ = load_module(write(tmp_path / "x.ckpt", kept, state_dict=model.state_dict()), MemUP)
    assert again.hparams == model.hparams
    optimizer = build_module(
        MemUP, hyperparameters(optimizer="memup_lightning.modules.optimization.optimizers.adam", lr_scheduler=None), "x"
    ).configure_optimizers()
    assert optimizer.defaults["lr"] == 2e-3


def test_fields_may_be_named_like_import_paths(ran: Path) -> None:
    plain = json.loads(json.dumps(task()).replace('"observation"', '"observation.image"'))
    assert build_module(MemUP, hyperparameters(task=plain), "x.ckpt").task == TaskSpec.from_dict(plain)


def test_hyperparameters_that_contain_themselves_are_refused(ran: Path) -> None:
    kept = hyperparameters()
    kept["memory"]["init_args"]["again"] = kept["memory"]
    with pytest.raises(MemUPError, match="nested more than 32 deep"):
        build_module(MemUP, kept, "x.ckpt")


def test_a_file_in_place_of_a_module_is_named() -> None:
    with pytest.raises(MemUPError, match=r"imports=no_such\.py: .*; leave out \.py"):
        trust.import_modules(["no_such.py"])
