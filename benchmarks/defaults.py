"""Shipped configs with their settings, and with the defaults: after how many updates does each meet its own criterion?

    python -m benchmarks.defaults [--quick] [--only tmaze copy_120 ...] [--settings parts] [--seeds 1 2 3] [--minutes 6]
        [--json PATH]

`shipped` is `fit` on the config, `defaults` on what is left of it when model, callbacks and gradient clipping are the
defaults, and of the data the task's own keys stay, not the number of training episodes nor `chunk_length`. `parts` are the
defaults with a few of the config's settings: schedule and networks of the mazes, Explainable among noise. All are
evaluated at the same updates and end by the config's EarlyStopping, at the config's `max_steps`, or after `--minutes` of
training; `met` says which runs met the criterion. adding has none: its squared error at the end is compared. Three tasks
are shorter than in their config. `cpu` are the seconds that the run's process computed, its start included. With --json,
rows that were not measured again stay in the file.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import Row, arguments, publish, with_earlier, write_json
from benchmarks.runs import fit_alone, processor_seconds
from benchmarks.tasks import CORE, DATA, MODEL
from memup_lightning.datamodules.recorded.stream_options import StreamOptions

TITLE = "Shipped configs and the defaults: median (range) over seeds"
DROPPED = {*StreamOptions.__annotations__, "num_train"}
SHORTER = {
    "tmaze_1m": [f"{DATA}.length=100000", "--trainer.val_check_interval=500"],
    "tmaze_random_hint": [f"{DATA}.length=10000", "--trainer.val_check_interval=500"],
    "adding": [f"{DATA}.length=1000", f"{DATA}.chunk_length=50"],
}
SHIPPED = {"adding": [f"{CORE}.chrono=1000"]}
TASKS = ("tmaze", "tmaze_noise", "tmaze_1m", "tmaze_random_hint", "copy_120", "adding")
NETWORKS = [
    f"{MODEL}.memory=LSTM",
    f"{CORE}.additive=false",
    f"{MODEL}.predictor=MultiplicativePredictor",
    f"{MODEL}.predictor.init_args.distance=false",
]
EARLY = f"{DATA}.restart=[0.999, 0.3, 0.05, 0.0]"
PARTS = {
    "tmaze": [EARLY, *NETWORKS],
    "tmaze_noise": [EARLY, *NETWORKS, f"{DATA}.selector=Explainable"],
    "tmaze_1m": [f"{DATA}.restart=[0.01]", *NETWORKS],
    "tmaze_random_hint": [
        f"{DATA}.restart=[0.0]",
        *NETWORKS,
        "--trainer.callbacks+=Replay",
        "--trainer.callbacks.share=0.75",
    ],
}
SETTINGS = ("shipped", "parts", "defaults")


def with_defaults(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with the default settings: of its own stay the task, its length and when it is evaluated and ends."""
    trainer, data = dict(config["trainer"]), dict(config["data"])
    stay = [x for x in trainer["callbacks"] if x["class_path"] in ("EarlyStopping", "MemoryUsage", "RunReport")]
    trainer = {key: x for key, x in trainer.items() if key != "gradient_clip_val"} | {"callbacks": stay}
    data["init_args"] = {key: x for key, x in data["init_args"].items() if key not in DROPPED}
    return config | {"trainer": trainer, "model": {"class_path": config["model"]["class_path"]}, "data": data}


def run(task: str, settings: str, seed: int, minutes: float, quick: bool, threads: int | None) -> Row:
    """One run in a process of its own."""
    config = yaml.safe_load(Path(f"conf/{task}.yaml").read_text())
    options = [*SHORTER.get(task, []), f"--trainer.max_time=00:00:{int(minutes):02}:{int(minutes % 1 * 60):02}"]
    if settings == "shipped":
        options += SHIPPED.get(task, [])
    else:
        config = with_defaults(config)
        options += PARTS[task] if settings == "parts" else []
    if quick:
        options += [f"{DATA}.length=30", "--trainer.max_steps=500", "--trainer.val_check_interval=250"]
    stopping = [x["init_args"] for x in config["trainer"]["callbacks"] if x["class_path"] == "EarlyStopping"]
    used = processor_seconds()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.yaml"
        path.write_text(yaml.safe_dump(config))
        summary, evaluations = fit_alone(path, *options, seed=seed, threads=threads)
    metric = "val/accuracy" if stopping else "val/mse"
    value = summary["metrics"][metric]
    return {
        "seed": seed,
        "value": value,
        "met": bool(stopping) and value >= stopping[0]["stopping_threshold"],
        "updates": summary["updates"],
        "seconds": summary["seconds_training"],
        "cpu": processor_seconds() - used,
        "curve": [[row["updates"], row[metric]] for row in evaluations],
    }


def gather(task: str, settings: str, runs: list[Row]) -> Row:
    """One row of the table from the runs of all seeds."""
    row: Row = {"task": task, "settings": settings, "met": f"{sum(one['met'] for one in runs)}/{len(runs)}"}
    row |= {key: [one[key] for one in runs] for key in ("value", "updates", "seconds", "cpu")}
    return row | {"runs": runs}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--minutes", type=float, default=6, help="of training, at most")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.only = options.seeds[:1], options.only[:1]
    rows: list[Row] = []
    for task in options.only:
        for settings in (x for x in options.settings if x != "parts" or task in PARTS):
            runs: list[Row] = []
            for seed in options.seeds:
                runs.append(run(task, settings, seed, options.minutes, options.quick, options.threads))
                one = {key: x for key, x in runs[-1].items() if key != "curve"}
                print(f"{task}, {settings}: {one}", flush=True)
            rows.append(gather(task, settings, runs))
            write_json(TITLE, with_earlier(rows, options, ("task", "settings")), options)
    columns = "task, settings, met, value, updates, seconds, cpu"
    publish(TITLE, with_earlier(rows, options, ("task", "settings")), options, columns)


if __name__ == "__main__":
    main()
