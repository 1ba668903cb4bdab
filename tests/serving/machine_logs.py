"""A table of machine logs."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

BEGIN = datetime.datetime(2026, 1, 1)


def logs(machines: int = 10, seed: int = 0) -> dict[str, list[Any]]:
    """Rows of several machines in the order of time, so that episodes are apart: gaps, text, times, lists."""
    rng = np.random.default_rng(seed)
    machine = np.repeat(np.arange(machines), rng.integers(4, 8, machines))
    rng.shuffle(machine)
    rows = len(machine)
    last = {number: row for row, number in enumerate(machine)}
    return {
        "machine": [f"M{number}" for number in machine],
        "when": [BEGIN + datetime.timedelta(seconds=x) for x in np.cumsum(rng.exponential(5.0, rows))],
        "speed": [None if rng.random() < 0.2 else float(x) for x in rng.normal(300, 40, rows)],
        "mode": [str(x) for x in rng.choice(["idle", "run", "stop"], rows)],
        "force": [[float(x), float(-x)] for x in rng.normal(0, 2, rows)],
        "fault": [["no", "yes"][number % 2] if last[number] == row else None for row, number in enumerate(machine)],
    }


def without_times(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Columns of one number or text each, a machine after the other: what a step reads without arrays."""
    order = sorted(range(len(rows["machine"])), key=rows["machine"].__getitem__)
    rows |= {"heat": [float(n) for n in order]}
    return {name: [rows[name][n] for n in order] for name in ("machine", "speed", "heat", "mode", "fault")}
