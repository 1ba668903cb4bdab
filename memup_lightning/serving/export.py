"""Export of one step of a trained model, with its state as inputs and outputs: ONNX, TorchScript, torch.export."""

from __future__ import annotations

import gc
import importlib.util
import json
import logging
import warnings
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from memup_lightning.exceptions import MemUPError
from memup_lightning.serving.predictor import Predictor
from memup_lightning.serving.step.exported import ExportedStep, state_tensors

Format = Literal["onnx", "torchscript", "pt2"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torchscript": ".pt", "pt2": ".pt2"}
_NEEDED = ("onnx", "onnxscript")


def export(predictor: Predictor, path: str | Path, format: Format = "onnx") -> Path:
    """Write one step of a model to a file, and what its tensors mean to a second one, ``PATH.json``.

    The step takes any number of streams, the first dimension of each tensor. It takes the fields as the networks read them:
    ``x`` the numbers in the order of ``names`` (a missing one replaced), text and classes as numbers.

    Args:
        predictor: the trained model.
        path: of the file.
        format: ``onnx``, ``torchscript`` or ``pt2`` (torch.export).

    Returns:
        The path.

    Raises:
        MemUPError: an unknown format, a package that is not installed, a core that cannot be exported to this format.
    """
    path = Path(path)
    if format not in get_args(Format):
        raise MemUPError(f"format={format}: give one of {', '.join(get_args(Format))}")
    if not path.parent.is_dir():
        raise MemUPError(f"{path}: there is no folder {path.parent}; make it first")
    if format == "onnx" and (missing := [name for name in _NEEDED if importlib.util.find_spec(name) is None]):
        raise MemUPError(f"format=onnx needs {', '.join(missing)}: pip install 'memup-lightning[export]'")
    step = predictor.exported_step()
    core = type(predictor.model.memory).__name__
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            {"onnx": _onnx, "torchscript": _torchscript, "pt2": _pt2}[format](step, path)
    except Exception as error:  # of each exporter its own, dozens
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        reason = (str(first).strip().splitlines() or [type(first).__name__])[0]
        others = ", ".join(name for name in get_args(Format) if name != format)
        raise MemUPError(f"a model with {core} cannot be exported as {format} ({reason:.200}); try {others}") from error
    finally:
        gc.collect()  # torch.export traces by subclasses of the same names, with which short names in configs are ambiguous
    Path(f"{path}.json").write_text(json.dumps(describe(predictor, step, format), indent=2) + "\n")
    return path


def describe(predictor: Predictor, step: ExportedStep, format: Format) -> dict[str, Any]:
    """Return what the tensors of an exported step mean, in plain values."""
    one = predictor.initial_state()
    initial = dict(zip(step.input_names[len(step.fields) :], state_tensors(one), strict=True))
    return {
        "format": format,
        "model": predictor.fingerprint,
        "inputs": step.input_names,
        "outputs": step.output_names,
        "fields": {
            name: {"dtype": field.dtype, "shape": field.shape, "type": field.type}
            | ({"classes": field.classes} if field.classes else {})
            | ({"names": field.names} if field.names else {})
            | ({"means": field.means} if field.means else {})
            for name, field in step.network.fields.items()
        },
        "missing": predictor.missing,
        "classes": predictor.classes,
        "interval": None if predictor.classes else predictor.interval,
        "initial": {
            name: {"dtype": str(x.dtype).removeprefix("torch."), "shape": list(x.shape[1:]), "values": x[0].tolist()}
            for name, x in initial.items()
        },
    }


def _dynamic(count: int) -> tuple[Any, ...]:
    streams = torch.export.Dim("streams", min=1)
    return tuple({0: streams} for _ in range(count))


def _program(step: ExportedStep) -> Any:
    example = step.example()
    return torch.export.export(step, example, dynamic_shapes=(_dynamic(len(example)),), strict=False)


def _onnx(step: ExportedStep, path: Path) -> None:
    program = _program(step)
    # Said now, not after the conversion.
    if any(node.target is torch.ops.aten.sort.stable for node in program.graph.nodes):
        raise ValueError("ONNX has no stable sort")
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        torch.onnx.export(
            program,
            (),
            path,
            input_names=step.input_names,
            output_names=step.output_names,
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    finally:
        logger.setLevel(level)


def _torchscript(step: ExportedStep, path: Path) -> None:
    traced: Any = torch.jit.trace(step, step.example(), check_trace=False)
    torch.jit.freeze(traced).save(str(path))


def _pt2(step: ExportedStep, path: Path) -> None:
    torch.export.save(_program(step), path)
