"""The tables of measured numbers inside other pages of docs, by the name that their block gives.

Above such a table a page has ``<!-- results: python -m tools.site.results NAME -->``, below it ``<!-- end of results -->``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.site.table import Column, Rows, Table, columns, mean_and_worst

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
_CORES = sorted({row["memory"] for row in json.loads((_RESULTS / "memories.json").read_text())["rows"]})


def _is(key: str, value: Any) -> Rows:
    return lambda row: bool(row.get(key) == value)


def _task(begin: str) -> Rows:
    return lambda row: bool(row["task"].startswith(begin))


_TASKS = columns(
    "task | validation | test: value | asked for: target | updates | seconds of `fit`: seconds | "
    "peak resident set: peak_rss_mb | saved for backward, a step: saved_bytes",
    validation=",.4f",
    value=",.4f",
    target=".3f",
)
_CORE = columns(
    "arguments | seed | solved | accuracy | updates | seconds | parameters | state of a lane, bytes: state_bytes | "
    "saved for backward, a step: saved_bytes",
    arguments=lambda x: ", ".join(f"{key}={value}" for key, value in x.items()),
)
_LADDERS = {"core": Column("memory", lambda x: f"[{x}](../memories/{x.lower()}.md)")} | columns(
    "mode | length | seed | limit | largest N: largest | updates | N missed: missed | accuracy there: accuracy | seconds",
    length=",.0f",
    limit=",.0f",
)
_CORES_LINKED = {"core": Column("memory", lambda x: f"[{x}]({x.lower()}.md)")} | _CORE
_EXAMPLES = {
    "environment": "seed | explained | within the tolerance: accuracy | without memory: without | updates | seconds",
    "table": "seed | explained | accuracy | without memory: without | updates | seconds",
}
_ABLATED = ("T-Maze-1000", "10 to 5,000 steps", "warehouse", "late cue", "exclusive or", "switch", "raw sensors")
_WITHOUT = columns("without") | {
    task: Column(task, lambda x: f"{x:,}" if isinstance(x, int) else f"*{x:.2f}*") for task in _ABLATED
}
_METHODS = columns(
    "length | method | r: chunk_length | accuracy | updates | seconds | saved for backward, a step: saved_bytes | "
    "peak resident set: peak_rss_mb | ended"
)
_RULES_OF_TASKS = columns("task | rule | solved | value | updates | seconds of `fit`: seconds", value=",.4f")
_SELECTION = Column("selection", ".2f")  # no share of a seed that has none
_RULES = _RULES_OF_TASKS | {
    "selection, share of training": Column(
        "selection", lambda x: _SELECTION.show([y for y in x if y is not None]) if any(x) else "-"
    )
}
_MAZES_WITH_NOISE = ("clean", "coins", "vectors")
_VESTS = columns("model | best: accuracy | last | updates | seconds of training: training")
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

_LENGTHS = ("9", "30", "90", "150", "300", "600", "900", "9,600", "100,000")
_PLAYED = " | ".join(f"at {length}: {length}" for length in _LENGTHS)
_PASSIVE = {"trained": ",.0f"} | dict.fromkeys(_LENGTHS, mean_and_worst)

PAGE_TABLES = {
    "memories-maze": Table("memories", _CORES_LINKED, _task("T-Maze")),
    "memories-copy": Table("memories", _CORES_LINKED, _task("Copy")),
    **{f"memories-{x}": Table("memories", columns("task") | _CORE, _is("memory", x)) for x in _CORES},
    "comparison-maze": Table("comparison", _METHODS, _task("T-Maze")),
    "comparison-copy": Table("comparison", _METHODS, _task("Copy")),
    "online_gradients": Table(
        "online_gradients",
        columns(
            "task | core | method | learned: score | updates | seconds of the processor: processor_seconds | "
            "carried by a lane, bytes: lane_bytes | saved for backward, a step: saved_bytes",
            score=".3f",
            lane_bytes=",.0f",
        ),
    ),
    "noise-mazes": Table("noise", _RULES, lambda row: row["task"] in _MAZES_WITH_NOISE),
    "noise-tasks": Table("noise", _RULES_OF_TASKS, lambda row: row["task"] not in _MAZES_WITH_NOISE),
    "tasks-copy": Table("tasks", _TASKS, lambda row: row["data"] == "Copy"),
    "tasks-adding": Table("tasks", _TASKS, _task("Adding")),
    "tasks-mnist": Table("tasks", _TASKS, _task("Permuted MNIST")),
    "tasks-pixels": Table("tasks", _TASKS, _task("Permuted pixels")),
    "interference": Table("interference", _LADDERS),
    **{
        f"readme-{x}": Table("readme", columns(text, explained=".0%", without=".3f"), _is("example", x))
        for x, text in _EXAMPLES.items()
    },
    "zoo_ablation": Table("zoo_ablation", _WITHOUT),
    "ablation": Table("ablation", columns("change: task | accuracy: value", value=".3f")),
    "stream": Table(
        "stream",
        columns(
            "read | r: chunk_length | workers | chunks per second: stream | plain loop: plain | as a multiple: ratio",
            read=_READS.__getitem__,
        ),
    ),
    "passive_tmaze": Table("passive_tmaze", columns(f"trained at: trained | memory: variant | {_PLAYED}", **_PASSIVE)),
    "agents": Table(
        "tmaze_agents",
        columns(
            "length | agent | solved | worst success: success | environment_steps | seconds | processor_seconds | "
            "saved for backward, an update: saved_bytes | peak resident set: peak_rss_mb"
        ),
        _is("lr", None),
    ),
    "agents-rates": Table(
        "tmaze_agents",
        columns("agent | learning rate: lr | solved | environment_steps"),
        lambda row: row["lr"] is not None,
    ),
    "frozen_memory": Table(
        "frozen_memory",
        columns(
            "length | agent | success in 200 other mazes: success | environment_steps | processor_seconds | "
            "steps a second, policy alone: steps_per_second | saved for backward, a minibatch: saved_bytes"
        ),
        lambda row: "success" in row,
    ),
    "frozen_memory-step": Table(
        "frozen_memory",
        columns("environment: agent | a step without memory, µs: alone | with_memory | added"),
        lambda row: "added" in row,
    ),
    "rollouts": Table("rollouts", columns("what | ours | other | ratio")),
    "serving": Table(
        "serving",
        columns(
            "call: what | rows a second: rows/s | µs a row: us a row | share of the bare loop's: of networks",
            **{"us a row": ",.1f", "of networks": ".2f"},
        ),
    ),
    "schedules": Table("replay", columns("schedule | solved | accuracy | updates", accuracy=".2f")),
    "blanks": Table(
        "drift",
        columns(
            "drift regularizer: drift_penalty | 100 blanks: 100 | 500 blanks: 500 | 1,000 blanks: 1,000 | "
            "2,000 blanks: 2,000 | 5,000 blanks: 5,000",
            **dict.fromkeys(("100", "500", "1,000", "2,000", "5,000"), ".2f"),
        ),
    ),
    "hidden_facts": Table(
        "hidden_facts",
        columns(
            "method | words of prose: words | answers right: accuracy | without_memory | test episodes: episodes | updates "
            "| seconds of `fit`: seconds"
        ),
    ),
    "transformers": Table(
        "transformers",
        columns(
            "method | every row: AP | hours of overload: AP at overload | processor seconds",
            **{"AP": ".3f", "AP at overload": ".2f", "processor seconds": ",.0f"},
        ),
    ),
    "accelerator": Table(
        "accelerator",
        columns(
            "setting | device | precision | updates per second: updates_per_s | memory of the device: device_mb",
            updates_per_s=",.1f",
        ),
    ),
    "vests-room": Table("two_colors", _VESTS, _is("variant", "room")),
    "vests-delay": Table("two_colors", _VESTS, _is("variant", "delay")),
    "two_colors_view": Table(
        "two_colors_view", columns("balanced | right: accuracy | from: low | to: high | vests | episodes")
    ),
    "two_colors_env": Table(
        "two_colors_env",
        columns(
            "environments | what | steps a second: rate | share of the bare engines: share | "
            "processor time of a step, µs: cpu_us",
            what=_ENVIRONMENTS.__getitem__,
            share=".2f",
        ),
    ),
    "two_colors_agents": Table(
        "two_colors_agents",
        columns(
            "agent | seed | mean return: return | share of the oracle's: share | 95% interval: interval | "
            "survival to the timeout: survival | steps lived: length | right less wrong vests: vests | seconds",
            **{"return": ".1f", "share": ".2f", "vests": ".1f"},
        ),
    ),
}
