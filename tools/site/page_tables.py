"""The tables of measured numbers inside other pages of docs, by the name that their block gives.

Above such a table a page has ``<!-- results: python -m tools.site.results NAME -->``, below it ``<!-- end of results -->``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.site.table import ACCURACY, RESIDENT, SAVED, SECONDS, UPDATES, WHOLE, Column, number, share, spread

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_CORES = sorted({row["memory"] for row in json.loads((_RESULTS / "memories.json").read_text())["rows"]})
Columns = dict[str, Column]


@dataclass
class PageTable:
    """A table inside a page.

    Args:
        file: name of the JSON file.
        columns: heading -> key and format.
        only: which rows.
    """

    file: str
    columns: Columns
    only: Callable[[Any], bool] = lambda row: True


def _is(key: str, value: Any) -> Callable[[Any], bool]:
    return lambda row: bool(row.get(key) == value)


def _task(begin: str) -> Callable[[Any], bool]:
    return lambda row: bool(row["task"].startswith(begin))


_RUN: Columns = {"accuracy": ("accuracy", ACCURACY), "updates": ("updates", WHOLE), "seconds": ("seconds", WHOLE)}
_TASKS: Columns = {
    "task": ("task", str),
    "validation": ("validation", spread(4)),
    "test": ("value", spread(4)),
    "asked for": ("target", number(3)),
    "updates": ("updates", UPDATES),
    "seconds of `fit`": ("seconds", SECONDS),
    "peak resident set": RESIDENT,
    "saved for backward, a step": SAVED,
}
_CORE: Columns = {
    "arguments": ("arguments", lambda x: ", ".join(f"{key}={value}" for key, value in x.items())),
    "seed": ("seed", WHOLE),
    "solved": ("solved", str),
    **_RUN,
    "parameters": ("parameters", WHOLE),
    "state of a lane, bytes": ("state_bytes", WHOLE),
    "saved for backward, a step": SAVED,
}
_EXAMPLES: dict[str, Columns] = {
    example: {
        "seed": ("seed", str),
        "explained": ("explained", share),
        right: ("accuracy", ACCURACY),
        "without memory": ("without", ACCURACY),
        "updates": ("updates", WHOLE),
        "seconds": ("seconds", WHOLE),
    }
    for example, right in (("environment", "within the tolerance"), ("table", "accuracy"))
}
_ABLATED = ("T-Maze-1000", "10 to 5,000 steps", "warehouse", "late cue", "exclusive or", "switch", "raw sensors")
_WITHOUT: Columns = {"without": ("without", str)} | {
    task: (task, lambda x: f"{x:,}" if isinstance(x, int) else f"*{x:.2f}*") for task in _ABLATED
}
_CORE_LINK: Column = ("memory", lambda x: f"[{x}]({x.lower()}.md)")
_METHODS: Columns = {
    "length": ("length", WHOLE),
    "method": ("method", str),
    "r": ("chunk_length", WHOLE),
    **_RUN,
    "saved for backward, a step": SAVED,
    "peak resident set": RESIDENT,
    "ended": ("ended", str),
}
_RULES_OF_TASKS: Columns = {
    "task": ("task", str),
    "rule": ("rule", str),
    "solved": ("solved", str),
    "value": ("value", spread(4)),
    "updates": ("updates", UPDATES),
    "seconds of `fit`": ("seconds", SECONDS),
}
_RULES: Columns = _RULES_OF_TASKS | {
    "selection, share of training": (
        "selection",
        lambda x: spread(2)([y for y in x if y is not None]) if any(x or ()) else "-",
    ),
}
_MAZES_WITH_NOISE = ("clean", "coins", "vectors")
_VESTS: Columns = {
    "model": ("model", str),
    "best": ("accuracy", ACCURACY),
    "last": ("last", ACCURACY),
    "updates": ("updates", WHOLE),
    "seconds of training": ("training", WHOLE),
}
_READS = {"all_fields": "every field", "bytes_of_training": "inputs and 2 random probes a lane"}
_ENVIRONMENTS = {
    "bare, free": "bare engines, which need not wait for each other",
    "bare, in step": "bare engines that go step by step",
    "environment": "`TwoColorsEnv`",
    "environment, free": "`TwoColorsEnv` in processes that do not wait either",
    "threads": "`TwoColorsVectorEnv`",
    "async": "Gymnasium's `AsyncVectorEnv`",
    "sync": "Gymnasium's `SyncVectorEnv`",
}

PAGE_TABLES = {
    "memories-maze": PageTable("memories", {"core": _CORE_LINK} | _CORE, _task("T-Maze")),
    "memories-copy": PageTable("memories", {"core": _CORE_LINK} | _CORE, _task("Copy")),
    **{f"memories-{x}": PageTable("memories", {"task": ("task", str)} | _CORE, _is("memory", x)) for x in _CORES},
    "comparison-maze": PageTable("comparison", _METHODS, _task("T-Maze")),
    "comparison-copy": PageTable("comparison", _METHODS, _task("Copy")),
    "noise-mazes": PageTable("noise", _RULES, lambda row: row["task"] in _MAZES_WITH_NOISE),
    "noise-tasks": PageTable("noise", _RULES_OF_TASKS, lambda row: row["task"] not in _MAZES_WITH_NOISE),
    "tasks-copy": PageTable("tasks", _TASKS, lambda row: row["data"] == "Copy"),
    "tasks-adding": PageTable("tasks", _TASKS, _task("Adding")),
    "tasks-mnist": PageTable("tasks", _TASKS, _task("Permuted MNIST")),
    "tasks-pixels": PageTable("tasks", _TASKS, _task("Permuted pixels")),
    **{f"readme-{x}": PageTable("readme", columns, _is("example", x)) for x, columns in _EXAMPLES.items()},
    "zoo_ablation": PageTable("zoo_ablation", _WITHOUT),
    "ablation": PageTable("ablation", {"change": ("task", str), "accuracy": ("value", spread(3))}),
    "stream": PageTable(
        "stream",
        {
            "read": ("read", _READS.__getitem__),
            "r": ("chunk_length", WHOLE),
            "workers": ("workers", WHOLE),
            "chunks per second": ("stream", WHOLE),
            "plain loop": ("plain", WHOLE),
            "as a multiple": ("ratio", number(2)),
        },
    ),
    "agents": PageTable(
        "tmaze_agents",
        {
            "length": ("length", WHOLE),
            "agent": ("agent", str),
            "solved": ("solved", str),
            "worst success": ("success", number(3)),
            "environment steps": ("environment_steps", WHOLE),
            "seconds": ("seconds", WHOLE),
            "processor seconds": ("processor_seconds", WHOLE),
            "saved for backward, an update": SAVED,
            "peak resident set": RESIDENT,
        },
        _is("lr", None),
    ),
    "agents-rates": PageTable(
        "tmaze_agents",
        {
            "agent": ("agent", str),
            "learning rate": ("lr", str),
            "solved": ("solved", str),
            "environment steps": ("environment_steps", WHOLE),
        },
        lambda row: row["lr"] is not None,
    ),
    "frozen_memory": PageTable(
        "frozen_memory",
        {
            "length": ("length", WHOLE),
            "agent": ("agent", str),
            "success in 200 other mazes": ("success", ACCURACY),
            "environment steps": ("environment_steps", WHOLE),
            "processor seconds": ("processor_seconds", WHOLE),
            "steps a second, policy alone": ("steps_per_second", WHOLE),
            "saved for backward, a minibatch": SAVED,
        },
        lambda row: "success" in row,
    ),
    "frozen_memory-step": PageTable(
        "frozen_memory",
        {
            "environment": ("agent", str),
            "a step without memory, µs": ("alone", WHOLE),
            "with memory": ("with_memory", WHOLE),
            "added": ("added", WHOLE),
        },
        lambda row: "added" in row,
    ),
    "rollouts": PageTable(
        "rollouts",
        {"what": ("what", str), "ours": ("ours", WHOLE), "other": ("other", WHOLE), "ratio": ("ratio", number(2))},
    ),
    "serving": PageTable(
        "serving",
        {
            "call": ("what", str),
            "rows a second": ("rows/s", WHOLE),
            "µs a row": ("us a row", number(1)),
            "share of the bare loop's": ("of networks", number(2)),
        },
    ),
    "schedules": PageTable(
        "replay",
        {
            "schedule": ("schedule", str),
            "solved": ("solved", str),
            "accuracy": ("accuracy", spread(2)),
            "updates": ("updates", UPDATES),
        },
    ),
    "blanks": PageTable(
        "drift",
        {"drift regularizer": ("drift_penalty", str)}
        | {f"{n} blanks": (n, spread(2)) for n in ("100", "500", "1,000", "2,000", "5,000")},
    ),
    "hidden_facts": PageTable(
        "hidden_facts",
        {
            "method": ("method", str),
            "words of prose": ("words", WHOLE),
            "answers right": ("accuracy", ACCURACY),
            "without memory": ("without_memory", ACCURACY),
            "test episodes": ("episodes", WHOLE),
            "updates": ("updates", WHOLE),
            "seconds of `fit`": ("seconds", WHOLE),
        },
    ),
    "transformers": PageTable(
        "transformers",
        {
            "method": ("method", str),
            "every row": ("AP", spread(3)),
            "hours of overload": ("AP at overload", spread(2)),
            "processor seconds": ("processor seconds", SECONDS),
        },
    ),
    "accelerator": PageTable(
        "accelerator",
        {
            "setting": ("setting", str),
            "device": ("device", str),
            "precision": ("precision", str),
            "updates per second": ("updates_per_s", number(1)),
            "memory of the device": ("device_mb", lambda x: f"{x:,.0f} MB"),
        },
    ),
    "vests-room": PageTable("two_colors", _VESTS, _is("variant", "room")),
    "vests-delay": PageTable("two_colors", _VESTS, _is("variant", "delay")),
    "two_colors_view": PageTable(
        "two_colors_view",
        {
            "balanced": ("balanced", str),
            "right": ("accuracy", ACCURACY),
            "from": ("low", ACCURACY),
            "to": ("high", ACCURACY),
            "vests": ("vests", WHOLE),
            "episodes": ("episodes", WHOLE),
        },
    ),
    "two_colors_env": PageTable(
        "two_colors_env",
        {
            "environments": ("environments", WHOLE),
            "what": ("what", _ENVIRONMENTS.__getitem__),
            "steps a second": ("rate", WHOLE),
            "share of the bare engines": ("share", number(2)),
            "processor time of a step, µs": ("cpu_us", WHOLE),
        },
    ),
    "two_colors_agents": PageTable(
        "two_colors_agents",
        {
            "agent": ("agent", str),
            "seed": ("seed", WHOLE),
            "mean return": ("return", number(1)),
            "95% interval": ("interval", lambda x: f"{x[0]:.1f} to {x[1]:.1f}"),
            "survival to the timeout": ("survival", number(2)),
            "steps lived": ("length", WHOLE),
            "right less wrong vests": ("vests", number(1)),
            "seconds": ("seconds", WHOLE),
        },
    ),
}
