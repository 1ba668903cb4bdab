"""Read the results of a run: summary, metrics, checkpoint, predictions.

    python -m examples.05_reading_a_runs_results

It makes a short run first, in a folder that it removes again. For one of your own give its folder to `read`.
"""

from __future__ import annotations

import contextlib
import csv
import json
import tempfile
from pathlib import Path

from memup_lightning.cli.main import main as command_line
from memup_lightning.modules import MemUP

CONFIG = Path(__file__).resolve().parents[1] / "conf" / "tmaze.yaml"
SMALL = ["--data.init_args.length=20", "--data.init_args.chunk_length=5", "--data.init_args.num_test=5"]
LOGGER = ["--trainer.logger=CSVLogger", "--trainer.logger.save_dir=runs", "--trainer.logger.name=maze"]


def read(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    print(f"{summary['updates']} updates in {summary['seconds_training']:.1f} s of training, seed {summary['seed']}")
    print(f"{summary['saved_tensor_bytes']:,} bytes a step")

    with (run / "metrics.csv").open() as file:  # a row for every logging step and every evaluation
        rows = [row for row in csv.DictReader(file) if row["val/accuracy"]]
    right = ", ".join(f"{float(row['val/accuracy']):.2f} after {int(row['step']) + 1}" for row in rows)
    print("share of the rewards predicted within the tolerance:", right)

    # The checkpoint holds what the model was built from; W&B or a new config are not needed to use it.
    model = MemUP.load_from_checkpoint(run / "checkpoints" / "last.ckpt", weights_only=True)
    print(f"memory: {type(model.memory).__name__}, {sum(p.numel() for p in model.memory.parameters()):,} parameters")


def read_predictions(path: Path) -> None:
    with path.open() as file:  # a row for every evaluated step: here the junctions of five mazes
        for row in csv.DictReader(file):
            prediction, outcome = float(row["prediction"]), float(row["outcome"])
            print(f"episode {row['episode']}, step {row['step']}: predicted {prediction:+.2f}, was {outcome:+.2f}")


def main(updates: int = 600) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        config = [f"--config={CONFIG}", *SMALL, *LOGGER]
        command_line(
            ["fit", *config, f"--trainer.max_steps={updates}", "--model.init_args.optimizer.init_args.lr=0.005"]
        )
        run = Path("runs/maze/version_0")
        command_line(["predict", *config, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"])
        read(run)
        read_predictions(next(Path("runs").rglob("predictions.csv")))


if __name__ == "__main__":
    main()
