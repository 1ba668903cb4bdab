"""Export: one step in another format computes what the model computes, for any number of streams."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning import MemUP, Predictor
from memup_lightning.cli.export import export_model
from memup_lightning.cli.main import main
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import LSTM, RMT, GTrXL
from memup_lightning.serving.export import Format, export
from memup_lightning.serving.step.exported import state_tensors
from memup_lightning.specs import FieldSpec, TaskSpec
from tests.conftest import subclasses
from tests.models.memory import cores

FIELDS = {"x": FieldSpec((3,)), "mode": FieldSpec((), "int64", "token", 4)}
CLASSES, NUMBER = FieldSpec((), "int64", "token", 3), FieldSpec()
FIRST: dict[str, Any] = {core.func.__name__: core for core in reversed(cores.CORES.values())}  # type: ignore[attr-defined]
CORES = FIRST | {
    "LSTM of two layers": partial(LSTM, hidden_size=4, num_layers=2),
    "RMT": partial(RMT, hidden_size=8, segment_length=3),
    "GTrXL": partial(GTrXL, hidden_size=8, num_layers=1, num_heads=2, window=3),
}
"""The first core of each class; the last two such that streams cross segments and windows."""
NOT_IN_ONNX = {"DNC": "stable sort", "LRU": "complex"}


def predictor(core: str, outcome: FieldSpec = CLASSES) -> Predictor:
    torch.manual_seed(0)
    task = TaskSpec(FIELDS, {"x": 0, "mode": 1}, ("x", "mode"), outcome, window=2)
    return Predictor(MemUP(task, memory=CORES[core]))


def load(path: Path, format: Format) -> Callable[[list[Tensor]], Any]:
    if format == "torchscript":
        script = torch.jit.load(path)
        return lambda tensors: script(*tensors)
    if format == "pt2":
        program = torch.export.load(path).module()
        return lambda tensors: program(*tensors)
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    names = [x.name for x in session.get_inputs()]
    return lambda tensors: [
        torch.from_numpy(x) for x in session.run(None, dict(zip(names, (x.numpy() for x in tensors), strict=True)))
    ]


def check(model: Predictor, path: Path, format: Format) -> None:
    """Compare eight steps of five streams, each from the exported step's own state."""
    step, exported = model.exported_step(), load(path, format)
    generator = torch.Generator().manual_seed(1)
    own = other = state_tensors(model.initial_state(5))
    num_predicted = step.output_names.index("memory")
    for _ in range(8):
        fields = [torch.randn(5, 3, generator=generator), torch.randint(0, 4, (5,), generator=generator)]
        with torch.no_grad():
            expected, found = step(*fields, *own), exported([*fields, *other])
        for name, x, y in zip(step.output_names, expected, found, strict=True):
            tolerance = 1e-5 if step.output_names.index(name) < num_predicted else 1e-4
            torch.testing.assert_close(y, x, atol=tolerance, rtol=tolerance, msg=lambda text, n=name: f"{n}: {text}")
        own, other = list(expected[num_predicted + 1 :]), list(found[num_predicted + 1 :])


@pytest.mark.parametrize("core", CORES)
def test_a_step_of_each_core_is_the_same_in_torchscript(core: str, tmp_path: Path) -> None:
    model = predictor(core)
    check(model, export(model, tmp_path / "model.pt", "torchscript"), "torchscript")


@pytest.mark.slow
@pytest.mark.parametrize("core", [name for name in CORES if name not in NOT_IN_ONNX])
def test_a_step_of_each_core_is_the_same_in_onnx(core: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    model = predictor(core)
    check(model, export(model, tmp_path / "model.onnx", "onnx"), "onnx")


@pytest.mark.slow
@pytest.mark.parametrize(("core", "reason"), NOT_IN_ONNX.items())
def test_a_core_that_onnx_lacks_is_named(core: str, reason: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    with pytest.raises(
        MemUPError, match=rf"a model with {core} cannot be exported as onnx .*{reason}.*; try torchscript"
    ):
        export(predictor(core), tmp_path / "model.onnx", "onnx")


def test_numbers_have_their_interval_and_the_description_says_what_tensors_mean(tmp_path: Path) -> None:
    model = predictor("GRU", NUMBER)
    path = export(model, tmp_path / "model.pt2", "pt2")
    check(model, path, "pt2")
    said = json.loads(Path(f"{path}.json").read_text())
    assert said["inputs"] == ["x", "mode", "state_0", "history_x", "history_mode"]
    assert said["outputs"][:4] == ["value", "lower", "upper", "memory"]
    assert said["initial"]["history_mode"] == {"dtype": "int64", "shape": [1], "values": [-1]}
    assert said["model"] == model.fingerprint
    assert said["interval"] == 0.9


@pytest.mark.parametrize("format", ["pt2", "onnx"])
def test_short_class_names_are_understood_after_an_export(format: Format, tmp_path: Path) -> None:
    if format == "onnx":
        pytest.importorskip("onnxscript")
    gc.disable()
    try:
        export(predictor("LSTM"), tmp_path / "step", format)
        found = [x for x in set(subclasses(nn.Module)) if x.__name__ == "StepEncoder"]
    finally:
        gc.enable()
    assert found == [StepEncoder]


def test_the_command_exports_a_run_and_refuses_what_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        export_model(["--ckpt_path=last"])
    assert "there is no folder lightning_logs" in capsys.readouterr().err
    data = ["--data=TMazeDataModule", "--data.length=5", "--data.num_train=2", "--data.num_val=2", "--data.lanes=2"]
    quiet = ["--trainer.limit_val_batches=0", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    logger = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=."]
    main(["fit", "--model=MemUP", *data, "--trainer.max_steps=1", *logger, *quiet])
    capsys.readouterr()
    export_model(["--ckpt_path=last", "--format=torchscript"])
    assert capsys.readouterr().out.endswith("exported: model.pt and model.pt.json\n")
    check_file = torch.jit.load("model.pt")
    model = Predictor.load("lightning_logs")
    step = model.exported_step()
    assert len(check_file(*step.example())) == len(step.output_names)
    for args, said in (
        (["--ckpt_path=lightning_logs", "--format=torchscript", "--output=none/x.pt"], "there is no folder none"),
        (["--ckpt_path=nowhere"], "the checkpoint nowhere: no such file"),
        (["--ckpt_path=lightning_logs", "--form=pt2"], "unrecognized arguments: --form=pt2"),
    ):
        with pytest.raises(SystemExit) as ended:
            export_model(args)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
