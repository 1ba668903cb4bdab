"""What every benchmark shares: its command line, the table it prints, the JSON it writes."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium
import numpy
import pytorch_lightning
import torch
from rich.console import Console
from rich.table import Table

import memup_lightning

Row = dict[str, Any]


def arguments(description: str | None) -> argparse.ArgumentParser:
    """``--quick``, ``--seeds``, ``--json`` and ``--threads``."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small version that ends within a minute")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--json", type=Path, help="write the rows here too")
    parser.add_argument("--threads", type=int, help="threads of torch")
    return parser


def environment(threads: int | None = None) -> Row:
    """Machine, threads (of torch; by default this process's), versions and date of a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_accelerator()}",
        "threads": threads or torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "memup_lightning": memup_lightning.__version__,
            **{m.__name__: m.__version__ for m in (torch, pytorch_lightning, gymnasium, numpy)},
        },
    }


def _accelerator() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def publish(title: str, rows: list[Row], options: argparse.Namespace, columns: str) -> None:
    """Print the rows as a table and write them as JSON.

    Args:
        title: of the table.
        rows: one dict a row; it may hold more than the table shows.
        options: what :func:`arguments` parsed.
        columns: keys of the rows that are shown, divided by commas.
    """
    about = environment(options.threads) | {"seeds": options.seeds, "quick": options.quick}
    shown = columns.split(", ")
    table = Table(title=title, title_justify="left")
    for key in shown:
        table.add_column(key, justify="left" if isinstance(rows[0].get(key), str) else "right")
    for row in rows:
        table.add_row(*[_written(row.get(key)) for key in shown])
    console = Console()
    console.width = max(console.width, 140)  # a table must not be folded where there is no terminal
    console.print(table)
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    console.print(f"{about['machine']}, {about['threads']} threads, seeds {options.seeds}, {about['date']}, {versions}")
    write_json(title, rows, options)


def _written(value: Any) -> str:
    """Write a value: a number with four digits, of those of several seeds the median (smallest-largest)."""
    if isinstance(value, list | tuple):
        known = [x for x in value if x is not None]
        parts = [_written(x) for x in (median(known), min(known), max(known))] if known else ["-"]
        return parts[0] if len(known) < 2 else f"{parts[0]} ({parts[1]}-{parts[2]})"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def with_earlier(rows: Iterable[Row], options: argparse.Namespace, keys: Sequence[str]) -> list[Row]:
    """These rows, and those of earlier calls in the JSON file that were not measured again.

    Args:
        rows: what this call measured.
        options: what :func:`arguments` parsed; with ``--quick`` nothing is kept.
        keys: two rows that agree in them are of the same measurement.

    Returns:
        The rows in the order of the file, then those that were not in it.
    """
    path = options.json
    before = json.loads(path.read_text())["rows"] if path and path.exists() and not options.quick else []
    return list({tuple(row[key] for key in keys): row for row in [*before, *rows]}.values())


def write_json(title: str, rows: list[Row], options: argparse.Namespace) -> None:
    """Write the rows as JSON, if that is asked for."""
    if options.json:
        about = environment(options.threads) | {"seeds": options.seeds, "quick": options.quick}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"title": title, "about": about, "rows": rows}, indent=2) + "\n")
