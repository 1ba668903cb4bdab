"""Memory from pixels: MemUP on Two-Colors and its delay variant, and the same network without its memory.

    python -m benchmarks.two_colors [--quick] [--variants room delay] [--seeds 1] [--cache FOLDER] [--json PATH]

Runs conf/two_colors.yaml and conf/two_colors_delay.yaml in processes of their own. ``accuracy`` is that of validation
episodes: in the room, given vests taken 300 steps or more after the pillar was gone; in the delay variant, the choice at
the end; balanced over what was right and the pillar's colour (see ``TwoColorsDataModule``). ``no memory`` replaces the
recurrent core by one that gives zeros. ``seconds`` is all of ``fit``, collection included; with ``--cache`` the second run
of a variant finds the episodes of the first.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from benchmarks.report import Row, arguments, publish, with_earlier
from benchmarks.runs import fit_alone
from memup_lightning.models.memory import Memory

CONFIGS = {"room": "conf/two_colors.yaml", "delay": "conf/two_colors_delay.yaml"}


class NoMemory(Memory):
    """Zeros, whatever was read: what is left of a model without its memory."""

    def __init__(self, input_size: int, output_size: int = 64) -> None:
        super().__init__()
        self.output_size = output_size

    def initial_state(self, lanes: int) -> Tensor:
        return torch.zeros(lanes, 1)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        return x.new_zeros(*x.shape[:2], self.output_size), state


def run(options: argparse.Namespace) -> list[Row]:
    rows = []
    for variant in options.variants:
        for memory, seed in [(memory, seed) for seed in options.seeds for memory in ("MemUP", "no memory")]:
            overrides = []
            if memory == "no memory":
                overrides.append("--model.init_args.memory=benchmarks.two_colors.NoMemory")
            if options.cache:
                overrides.append(f"--data.init_args.cache_dir={options.cache}")
            if options.quick:
                sizes = {"num_train": 4, "num_val": 4}
                overrides += [f"--data.init_args.{name}={size}" for name, size in sizes.items()]
                overrides += ["--trainer.max_steps=20", "--trainer.val_check_interval=20"]
            summary, evaluations = fit_alone(CONFIGS[variant], *overrides, seed=seed, threads=options.threads)
            metrics = summary["metrics"]
            rows.append(
                {
                    "variant": variant,
                    "model": memory,
                    "seed": seed,
                    "accuracy": max(row["val/accuracy"] for row in evaluations),
                    "last": metrics["val/accuracy"],
                    "updates": summary["updates"],
                    "seconds": summary["seconds_total"],
                    "training": summary["seconds_training"],
                    "environment_steps": summary["environment_steps"],
                    "peak_rss_mb": summary["peak_rss_mb"],
                    "saved_mb": summary["saved_tensor_bytes"] / 1e6,
                    "evaluations": evaluations,
                }
            )
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--variants", nargs="+", choices=list(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--cache", help="folder that keeps the episodes")
    parser.set_defaults(seeds=[1])
    options = parser.parse_args()
    columns = "variant, model, seed, accuracy, last, updates, seconds, environment_steps, peak_rss_mb, saved_mb"
    rows = with_earlier(run(options), options, ("variant", "model", "seed"))
    publish("Two-Colors from pixels (accuracy: the best evaluation)", rows, options, columns)


if __name__ == "__main__":
    main()
