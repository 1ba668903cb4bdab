"""The tables of what a run costs besides its updates."""

from __future__ import annotations

from tools.site.table import WHOLE, Table, number

COST_TABLES = [
    Table(
        "start",
        "The start of a command",
        "Time from a command to its first update, or its end, in imports of Lightning in the same minute. "
        "[Performance](../running/performance.md).",
        "python -m benchmarks.start",
        {
            "command": ("command", str),
            "in imports of Lightning": ("ratio", number(2)),
        },
    ),
    Table(
        "resume",
        "Finding the place of a run again",
        "Seconds until the first chunk is read, from a checkpoint of `conf/tmaze.yaml` and by playing the schedule from "
        "its beginning. [Performance](../running/performance.md).",
        "python -m benchmarks.resume",
        {
            "updates": ("updates", WHOLE),
            "from a checkpoint": ("checkpoint", number(3)),
            "played": ("played", number(3)),
        },
    ),
    Table(
        "refresh",
        "Target refreshes",
        "Share of target refreshes in training with `conf/tmaze.yaml`, in seconds of the processor. "
        "[Performance](../running/performance.md).",
        "python -m benchmarks.refresh",
        {
            "length": ("length", WHOLE),
            "episodes": ("episodes", WHOLE),
            "first refresh": ("first", number(2)),
            "a later one": ("later", number(2)),
            "500 updates": ("interval", number(2)),
            "share of a later one": ("later_share", lambda x: f"{x:.1%}"),
            "share of 1,600 updates": ("share", lambda x: f"{x:.1%}"),
        },
    ),
]
