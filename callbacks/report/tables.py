"""Tables that a run prints at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_OF_A_COLUMN: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("balanced accuracy", "balanced_accuracy", {}),
    ("average precision", "average_precision", {"by chance": "base_average_precision"}),
)


def print_summary(
    summary: dict[str, Any], folder: Path, steps: str = "environment steps", has_targets: bool = True
) -> None:
    """Print the most important numbers as a table.

    Args:
        summary: of the run.
        folder: of the run.
        steps: what ``environment_steps`` counts.
        has_targets: whether the memory gain is measured at targets; else it is at the evaluated steps.
    """
    metrics = summary["metrics"]
    numbers = "val/mse" in metrics
    rows = {
        "data": summary["data"],
        "accuracy": "" if numbers else _compared(metrics, "accuracy", {"most frequent class": "base_rate"}),
        "balanced accuracy": _compared(metrics, "balanced_accuracy"),
        "average precision": _compared(metrics, "average_precision", {"by chance": "base_average_precision"}),
        "AUROC": _compared(metrics, "auroc"),
        **{
            f"{column}: {name}": _compared(metrics, f"{column}/{key}", others)
            for column in dict.fromkeys(key.split("/")[1] for key in metrics if key.count("/") == 2)
            for name, key, others in _OF_A_COLUMN
        },
        "return": _number(metrics.get("val/return"), ".2f"),
        "success": _number(metrics.get("val/success"), ".3f"),
        "mean squared error": _compared(metrics, "mse", {"the mean": "mean_mse"}, ".4g"),
        "within the tolerance": _compared(metrics, "accuracy") if numbers else "",
        "target recall": _number(metrics.get("val/target_recall"), ".3f"),
        "memory gain at targets" if has_targets else "memory gain": _number(
            metrics.get("val/memory_gain"), ".2f", " bits"
        ),
        "updates": _number(summary["updates"], ",d"),
        steps: _number(summary["environment_steps"], ",d"),
        "seconds": f"{summary['seconds_total']:.1f} in all, {summary['seconds_training']:.1f} of training",
        "peak resident set": f"{summary['peak_rss_mb']:.0f} MB",
        "saved tensors of a step": _number(summary["saved_tensor_bytes"], ",d", " bytes"),
        "full BPTT (extrapolated)": _number(metrics.get("memory/bptt_bytes_extrapolated"), ",.0f", " bytes"),
        "folder": str(folder),
    }
    print_rows("the run", {name: value for name, value in rows.items() if value})


def print_rows(title: str, rows: Mapping[str, str]) -> None:
    """Print a table of names and values."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # a long path is wrapped, not cut
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def _compared(
    metrics: Mapping[str, float | None], name: str, others: Mapping[str, str] | None = None, form: str = ".3f"
) -> str:
    """Format a metric, with its value without memory and those of predictions that read nothing."""
    if metrics.get(f"val/{name}") is None:
        return ""
    column, _, name = name.rpartition("/")
    compared = {"without memory": f"local_{name}"} | dict(others or {})
    place = f"val/{column}/" if column else "val/"
    values = {label: metrics.get(place + key) for label, key in compared.items()}
    more = ", ".join(f"{_number(value, form)} {label}" for label, value in values.items() if value is not None)
    return _number(metrics[place + name], form) + (f"  ({more})" if more else "")


def print_clusters(rows: list[dict[str, Any]]) -> None:
    """Print the memory gain of each context cluster; a cluster that is uncertain and not explained is noise."""
    table = Table(title="context clusters, by their share of the last targets", title_justify="left")
    for name in ("one of them", "share of the targets", "uncertainty", "explained by the memory (bits)"):
        table.add_column(name, justify="left" if name == "one of them" else "right")
    for row in rows:
        if row["share"] > 0:
            explained = "-" if row["error"] is None else f"{row['gain']:.2f} ± {row['error']:.2f}"
            table.add_row(row["example"], f"{row['share']:.3f}", f"{row['uncertainty']:.2f}", explained)
    Console().print(table)


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
