"""``memup export``: write one step of a trained model as ONNX, TorchScript or torch.export."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.trust import trust
from memup_lightning.serving.export import SUFFIXES, Format, export
from memup_lightning.serving.predictor import Predictor

_RUNS = Path("lightning_logs")  # of Lightning's default logger


def export_model(args: Sequence[str]) -> None:
    """Export the model of a checkpoint.

    Args:
        args: the options.

    Raises:
        SystemExit: after one sentence on stderr, where the input is at fault.
    """
    parser = argparse.ArgumentParser(
        prog="memup export",
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
    parser.add_argument("--interval", type=float, default=0.9, help="probability that the interval of a number holds")
    parser.add_argument("--imports", nargs="*", default=[], help="modules whose classes the checkpoint may name")
    given = parser.parse_args(args)
    try:
        for name in given.imports:
            importlib.import_module(name)
        trust(*given.imports)
        keyword = given.ckpt_path in ("best", "last")
        folder = _RUNS if keyword else Path(given.ckpt_path)
        if keyword and not folder.is_dir():
            raise MemUPError(f"--ckpt_path {given.ckpt_path}: there is no folder {_RUNS}; give the folder of the run")
        predictor = Predictor.load(folder, given.ckpt_path if keyword else "best", given.interval)
        path = export(predictor, given.output or f"model{SUFFIXES[given.format]}", given.format)
    except ImportError as error:
        parser.error(f"--imports: cannot be imported ({error}); install it, or put its folder on PYTHONPATH")
    except MemUPError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error
    print(f"exported: {path} and {path}.json")
