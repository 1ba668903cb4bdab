"""Rare trips of power transformers: what a memory adds to gradient boosting on window features.

    python -m benchmarks.transformers [--quick] [--seeds 1 2 3] [--json PATH]

The table is generated from a physical model, a row an hour. Oil and winding heat up by the differential equation of IEC
60076-7 (first order, with the exponents of a transformer with natural oil). A lightning surge (15 to 30 kA; those of
switching have 2 to 6) weakens the insulation, which stays weak until maintenance, or repair after a trip. In an hour of
overload a weakened unit trips with probability 0.9, a sound one with 0.03. The rest is everyday data: a tenth of the oil
temperatures is missing, events are text, trips are under one in a hundred rows.

*Boosting* is scikit-learn's HistGradientBoostingClassifier on the row and, over the last 6, 24 and 72 hours, mean, smallest
and largest of each number and the count of each event. *With the feature that matters* it also gets the largest surge since
the last maintenance or repair, which takes knowing the physics. *Memory* is `memup fit` on the plain table, with defaults.
Average precision of `trip` on units that were not trained on; *at overload*: on the hours of overload alone.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score

from benchmarks.report import Row, arguments, publish
from memup_lightning import Predictor
from memup_lightning.cli.main import main as command_line

EVENTS = np.array(["none", "inspection", "switching", "oil sample", "maintenance", "repair"])
NUMBERS = ("load", "ambient", "oil", "surge")
WINDOWS = (6, 24, 72)


def simulate(units: int, hours: int, seed: int) -> pd.DataFrame:
    """Simulate units for some hours."""
    rng = np.random.default_rng(seed)
    oil, weak, trip = np.full(units, 30.0), np.zeros(units, bool), np.zeros(units, bool)
    phase = rng.uniform(0, 24, units)
    rows = []
    for hour in range(hours):
        day = np.sin(2 * np.pi * (hour + phase) / 24)
        ambient = 15 + 8 * day + rng.normal(0, 2, units)
        overload = rng.random(units) < 0.025
        load = np.where(overload, rng.uniform(1.25, 1.5, units), 0.7 + 0.2 * day + rng.normal(0, 0.05, units))
        final = 52.0 * ((1 + 6 * load**2) / 7) ** 0.8  # rise of the oil that it tends to, in kelvin
        oil += (ambient + final - oil) * (1 - np.exp(-1 / 3.5))  # time constant of 3.5 hours
        lightning, switching = rng.random(units) < 0.006, rng.random(units) < 0.03
        surge = np.where(lightning, rng.uniform(15, 30, units), np.where(switching, rng.uniform(2, 6, units), 0))
        event = EVENTS[:5][rng.choice(5, units, p=[0.9, 0.03, 0.04, 0.026, 0.004])]
        event[trip] = "repair"
        weak = (weak & (event != "maintenance")) | lightning
        trip = overload & (rng.random(units) < np.where(weak, 0.9, 0.03))
        weak &= ~trip  # it is repaired in the next hour
        columns: dict[str, Any] = {"unit": [f"T{n:04d}" for n in range(units)], "hour": hour, "load": load}
        columns |= {"ambient": ambient, "oil": np.where(rng.random(units) < 0.1, np.nan, oil), "surge": surge}
        rows.append(pd.DataFrame(columns | {"event": event, "trip": np.where(trip, "trip", "ok")}))
    return pd.concat(rows).sort_values(["unit", "hour"], kind="stable").reset_index(drop=True)


def window_features(table: pd.DataFrame) -> pd.DataFrame:
    """The row, and what is in the last hours before and with it."""
    events = pd.get_dummies(table["event"]).reindex(columns=list(EVENTS), fill_value=False).astype(float)
    out = [table[list(NUMBERS)], events]
    for hours in WINDOWS:
        numbers = table.groupby("unit")[list(NUMBERS)].rolling(hours, min_periods=1)
        parts = {"mean": numbers.mean(), "min": numbers.min(), "max": numbers.max()}
        out += [part.reset_index(drop=True).add_suffix(f" {name} {hours}") for name, part in parts.items()]
        counts = events.groupby(table["unit"]).rolling(hours, min_periods=1).sum().reset_index(drop=True)
        out.append(counts.add_suffix(f" {hours}"))
    return pd.concat(out, axis=1)


def known_feature(table: pd.DataFrame) -> pd.Series[float]:
    """The largest surge since the last maintenance or trip: the state of the insulation, for one who knows."""
    repaired = table["event"].isin(["maintenance", "repair"])
    since = repaired.groupby(table["unit"]).cumsum()
    return table["surge"].groupby([table["unit"], since]).cummax().rename("largest surge since repair")


def boosting(train: pd.DataFrame, test: pd.DataFrame, known: bool, seed: int) -> Any:
    parts = [
        pd.concat([window_features(x), known_feature(x)], axis=1) if known else window_features(x)
        for x in (train, test)
    ]
    model = HistGradientBoostingClassifier(max_iter=300, early_stopping=True, random_state=seed)
    return model.fit(parts[0], train["trip"] == "trip").predict_proba(parts[1])[:, 1]


def memory(train: pd.DataFrame, test: pd.DataFrame, updates: int, seed: int) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        train.drop(columns="hour").to_parquet(f"{folder}/train.parquet")
        command_line(
            [
                *["fit", "--model=MemUP", "--data=ArrayDataModule", f"--data.train={folder}/train.parquet"],
                *["--data.y=trip", "--data.episode=unit", "--data.missing=mask"],
                *[f"--trainer.max_steps={updates}", f"--seed_everything={seed}", "--trainer.accelerator=cpu"],
                *["--trainer.logger=CSVLogger", f"--trainer.logger.save_dir={folder}"],
                *["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"],
            ]
        )
        return Predictor.load(Path(folder) / "lightning_logs").run(test).probability("trip")


def precision(tripped: Any, scores: Any) -> float:
    score: Any = average_precision_score
    return float(score(tripped, scores))


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    units, hours, updates = (100, 120, 100) if options.quick else (500, 240, 2500)
    rows: dict[str, Row] = {}
    for seed in options.seeds[: 1 if options.quick else None]:
        train, test = simulate(units, hours, seed), simulate(units // 2, hours, 1000 + seed)
        tripped, overload = (test["trip"] == "trip").to_numpy(), (test["load"] > 1.2).to_numpy()
        methods: dict[str, Callable[[], Any]] = {
            "every row alike": partial(np.full, len(test), tripped.mean()),
            "boosting, windows": partial(boosting, train, test, False, seed),
            "memory, plain table": partial(memory, train, test, updates, seed),
            "boosting, with the feature that matters": partial(boosting, train, test, True, seed),
        }
        for name, method in methods.items():
            begin = time.process_time()
            scores = method()
            row = rows.setdefault(name, {"method": name, "AP": [], "AP at overload": [], "processor seconds": []})
            row["AP"].append(precision(tripped, scores))
            row["AP at overload"].append(precision(tripped[overload], scores[overload]))
            row["processor seconds"].append(time.process_time() - begin)
            print(name, {key: x[-1] for key, x in row.items() if key != "method"}, flush=True)
    columns = "method, AP, AP at overload, processor seconds"
    publish(f"trips of transformers, {units} units of {hours} hours", list(rows.values()), options, columns)


if __name__ == "__main__":
    main()
