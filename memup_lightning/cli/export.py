"""``memup export``: write one step of a trained model as ONNX, TorchScript or torch.export."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from memup_lightning.cli.errors import end_with, format_warning
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.evaluation.memory import INTERVAL
from memup_lightning.runs.checkpoints.trust import import_modules
from memup_lightning.runs.run_folder import NO_LOGGER_FOLDER
from memup_lightning.serving.export import SUFFIXES, Format, export
from memup_lightning.serving.predictor import Predictor


def export_model(args: Sequence[str]) -> None:
    """Export the model of a checkpoint.

    Args:
        args: the options.

    Raises:
        SystemExit: after one sentence on stderr, where the input is at fault.
    """
    parser = argparse.ArgumentParser(
        prog="memup export",
        allow_abbrev=False,
        description="Write one step of a trained model, with its state as inputs and outputs, and PATH.json, which says "
        "what the tensors mean.",
    )
    parser.add_argument(
        "--ckpt_path",
        required=True,
        help="a checkpoint; the folder of a run or of several, of which the newest counts; best or last: of lightning_logs",
    )
    parser.add_argument("--format", choices=get_args(Format), default="onnx")
    parser.add_argument("--output", type=Path, help="by default model.onnx, model.pt or model.pt2")
    parser.add_argument(
        "--interval", type=float, default=INTERVAL, help="probability that the interval of a number holds"
    )
    parser.add_argument("--imports", nargs="*", default=[], help="modules whose classes the checkpoint may name")
    given = parser.parse_args(args)
    warnings.formatwarning = format_warning
    try:
        import_modules(given.imports)
        keyword = given.ckpt_path in ("best", "last")
        folder = Path(NO_LOGGER_FOLDER if keyword else given.ckpt_path)
        if keyword and not folder.is_dir():
            raise MemUPError(f"--ckpt_path {given.ckpt_path}: there is no folder {folder}; give the folder of the run")
        predictor = Predictor.load(folder, given.ckpt_path if keyword else "best", given.interval)
        path = export(predictor, given.output or f"model{SUFFIXES[given.format]}", given.format)
    except MemUPError as error:
        end_with(str(error), error)
    print(f"exported: {path} and {path}.json")
