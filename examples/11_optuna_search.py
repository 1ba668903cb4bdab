"""Search settings of a config with Optuna, which ends trials that fall behind.

    python -m examples.11_optuna_search

Every trial is a run of the command line with other options, judged by `val/memory_gain`. `pip install optuna`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import optuna
from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.cli.main import main as memup

CONFIG = Path(__file__).parents[1] / "conf" / "tmaze.yaml"
MEASURE = "val/memory_gain"


class Prune(Callback):
    """Report every evaluation to a trial, and end it where Optuna sees no use in going on."""

    def __init__(self, trial: optuna.Trial) -> None:
        self.trial = trial

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if MEASURE in trainer.callback_metrics:  # targets have been chosen
            self.trial.report(float(trainer.callback_metrics[MEASURE]), trainer.global_step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def objective(trial: optuna.Trial, updates: int) -> float:
    options = {
        "model.init_args.optimizer.init_args.lr": trial.suggest_float("lr", 3e-4, 1e-2, log=True),
        "model.init_args.memory": trial.suggest_categorical("memory", ["LSTM", "GRU"]),
        "data.init_args.chunk_length": trial.suggest_categorical("chunk_length", [1, 5, 10]),
        "data.init_args.length": 100,
        "trainer.max_steps": updates,
        "trainer.val_check_interval": 100,
        "trainer.logger": "false",
        "trainer.enable_progress_bar": "false",
    }
    with tempfile.TemporaryDirectory() as runs:
        given = [f"--{key}={value}" for key, value in options.items()]
        cli = memup(["fit", "--config", str(CONFIG), *given, f"--trainer.default_root_dir={runs}"], [Prune(trial)])
        return float(cli.trainer.callback_metrics.get(MEASURE, 0.0))


def main(trials: int = 20, updates: int = 1000) -> None:
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=3))
    study.optimize(lambda trial: objective(trial, updates), n_trials=trials)
    print(f"best gain {study.best_value:.2f} bits with {study.best_params}")


if __name__ == "__main__":
    main()
