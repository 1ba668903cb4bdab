"""Measurements made to be so, for tests of the rules of the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, get_type_hints

from memup_lightning.callbacks.verdict.measuring.history import History, Validation
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements, TrainingData
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, SplitMeasurement
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.modules.evaluation.estimate import Estimate
from memup_lightning.protocols.columns import InputColumns


def on_command_line(function: Callable[..., Any], *given: Any) -> Any:
    """Call a function as the command line does, for which settings are written as its options."""
    return eval("function(*given)", {"__name__": "memup_lightning.cli.tests", "function": function, "given": given})


def judged(measurements: Measurements) -> list[Finding]:
    """The findings as the command line words them."""
    found: list[Finding] = on_command_line(judge, measurements)
    return found


def near(mean: float, spread: float = 0.02) -> Estimate:
    return Estimate(mean, mean - spread, mean + spread)


def split(*gains: float, surprise: float = 1.0, explained: float | None = None, **given: Any) -> SplitMeasurement:
    """Gains at the distances 0, 1, 2, 4, ..."""
    distances = [0, *(1 << n for n in range(len(gains) - 1))]
    curve = [
        CurvePoint(distance, near(gain), near(gain - gains[0]), near(gain - gains[0] / 2), 64, 64)
        for distance, gain in zip(distances, gains, strict=True)
    ]
    share = gains[0] / surprise if explained is None else explained
    return SplitMeasurement(64, tuple(curve), surprise, share, **{"uncertain": 1.0} | given)


_PARTS = {
    name: part
    for part in ("data", "targets", "evaluated", "scale", "columns", "ending")
    for name in get_type_hints(get_type_hints(Measurements)[part])
}
_NAMES = {
    "needs_targets": "needed",
    "num_targets": "number",
    "target_weight": "weight",
    "nll_everywhere": "nll",
    "uncertain_everywhere": "uncertain",
    "used_columns": "used",
    "read_columns": "read",
}
_TRENDS = {"gain": "history", "explained": "explained_everywhere", "error_explained": "error_explained"}


def run(val: SplitMeasurement | None, train: SplitMeasurement | None = None, **given: Any) -> Measurements:
    """Measurements with values of any part; see :func:`changed`."""
    plain = Measurements(5000, 10, "marked", TrainingData(512, 200, "class"), val=val, train=train or val)
    return changed(plain, **{"input_size": 1.0, "input_spread": 1.0} | given)


def changed(measurements: Measurements, **given: Any) -> Measurements:
    """Measurements with other values, by their names in whatever part they are; those of validations as ``(updates,
    value)`` each, gains in training episodes as values of the last ones."""
    parts: dict[str, dict[str, Any]] = {}
    for name in set(given) - {"history", "train_gains", "explained_everywhere", "error_explained"}:
        field = _NAMES.get(name, name)
        parts.setdefault(_PARTS.get(field, ""), {})[field] = given[name]
    own = parts.pop("", {})
    made = {part: replace(getattr(measurements, part), **values) for part, values in parts.items()}
    if rows := _validations(given):
        made["history"] = History(rows)
    return replace(measurements, **own, **made)


def _validations(given: dict[str, Any]) -> tuple[Validation, ...]:
    logged: dict[float, dict[str, float]] = {}
    for field, name in _TRENDS.items():
        for updates, x in given.get(name, ()):
            logged.setdefault(updates, {})[field] = x
    rows = [Validation(**{"updates": n, "gain": math.nan} | logged[n]) for n in sorted(logged)]
    trained = given.get("train_gains", ())
    last = len(rows) - len(trained)
    return (*rows[:last], *(replace(x, train_gain=gain) for x, gain in zip(rows[last:], trained, strict=True)))


def table(columns: Sequence[str]) -> InputColumns:
    """Columns of a table that are read."""
    return InputColumns(tuple(columns), setting="data.x")


def constant(own: float, local: float, memory: float, spread: float = 0.02) -> SplitMeasurement:
    """Losses without and with memory as multiples of what a constant leaves; gains are measured from the better one."""
    reference = min(local, 1.0) * own
    return split(
        reference - memory * own,
        surprise=reference,
        uncertain=local,
        own=own,
        above_constant=near((memory - 1) * own, spread),
        local_is_worse=local > 1.05,
        excess_bits=(local - 1) * own,
    )


def unsure(gain: float) -> SplitMeasurement:
    point = CurvePoint(0, Estimate(gain, -0.1, 1.0), near(0.0), Estimate(gain / 2, -0.05, 0.5), 8, 8)
    return SplitMeasurement(8, (point,), 1.0, 0.1, 1.0)


def every_500(*gains: float) -> tuple[tuple[float, float], ...]:
    """Gains of validations every 500 updates."""
    return tuple((500.0 * n, gain) for n, gain in enumerate(gains, 1))


NOTHING, ALL, HALF = split(0.0, 0.0, 0.0), split(0.98, 0.97, 0.96), split(0.5, 0.5, 0.5)
RISING = tuple((500.0 * n, 0.05 * n) for n in range(1, 11))
FLAT = tuple((500.0 * n, 0.01 * (-1) ** n) for n in range(1, 11))
STANDING = tuple((500.0 * n, min(0.25 * n, 0.5) + 0.01 * (-1) ** n) for n in range(1, 11))
HELD = ((500.0, 0.4), (4000.0, -1.4))
