"""Measurements of a finished run; its verdict follows from them alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.measuring.trend import (
    MAX_VALUE,
    Outlook,
    Rise,
    finite,
    outlook,
    rise,
    rises,
    standing_since,
)
from memup_lightning.modules.evaluation.estimate import FloatArray
from memup_lightning.protocols.columns import InputColumns

_NO_COLUMNS = InputColumns(())


@dataclass(frozen=True)
class Measurements:
    """All that the verdict of a run follows from.

    Attributes:
        updates: of the run.
        episodes: number of training episodes.
        longest: number of steps of the longest of them.
        chunk_length: steps that gradients go back.
        ends_alone: whether episodes of up to 128 steps have an outcome at their last step alone.
        steps: where the memory was measured: at the steps that the data mark, or at the targets.
        outcome: type of the outcome.
        needs_targets: whether the module learns from targets.
        awaits_selection: whether none was selected yet.
        awaits_validation: whether no validation selected targets of its episodes yet.
        selects_nothing: whether the selector chose no step of any training episode.
        num_targets: K.
        target_weight: of the loss of targets, next to that of own steps, with the weights that the run ends with.
        val, train: None where no step could be measured.
        recall: share of the marked steps among the targets; None where no steps are marked.
        noise: share of the targets in context clusters of which the memory explains nothing; None without clusters.
        history: updates and memory gain of each validation.
        train_gains: memory gain in training episodes at each validation; empty: not known.
        explained_everywhere: updates, and bits that the memory explains of a step that the validation evaluated, at each
            validation; empty: not known.
        error_explained: updates, and share of the squared error of numbers that the memory explains at those steps, at
            each validation; empty: of classes, or not known.
        input_size, input_spread: largest absolute value, and largest standard deviation, of what the memory reads.
        rare: share of the outcomes that the last validation evaluated that are not of the most frequent class; None: they
            are numbers, or nothing was logged.
        average_precision: of the rarer class with and without memory, at all steps that the last validation evaluated;
            None: not two classes, or nothing was logged.
        uncertain_everywhere: share of the outcomes' own entropy or variance that is left without memory at all steps
            that the last validation evaluated; None: not known.
        nll_everywhere: NLL with and without memory at all steps that the last validation evaluated, in nats, of the
            weights that the run ends with; None: not known.
        unseen_images: image fields whose features are the same for all images, so that the memory sees none of them.
        outcome_problem: why outcomes of this range cannot be distinguished; None where they can.
        outcome_spread: by which numbers are divided, from all steps of training episodes; None: of classes, or not known.
        best: updates and memory gain of the validation whose weights the run ends with; None: its last weights.
        episodes_option: option of the data that sets the number of training episodes; None where there is none.
        memory: class and size of the memory, where it can be made wider.
        fell: whether the run ends with other weights because its gain fell, in training episodes too.
        memorized: whether the run went back to its best weights, and trained on with weight decay.
        inputs: that can be left out, and how; without names where they cannot one by one.
        used_columns: those of more than four on which predictions of validation episodes depend, the most important one
            first; empty: not known, or the run left out others already.
        read_columns: those which are read alone since the run memorized others; empty: all are.
        equal_outcomes: what is wrong with the outcomes of the training episodes, where they are all equal; None:
            they differ.
        checkpoint: from which the run can be continued; None where there is none.
    """

    updates: int
    episodes: int
    longest: int
    chunk_length: int
    steps: Literal["marked", "targets"]
    outcome: Literal["class", "number"]
    ends_alone: bool = False
    needs_targets: bool = True
    awaits_selection: bool = False
    awaits_validation: bool = False
    selects_nothing: bool = False
    num_targets: int = 1
    target_weight: float = 1.0
    val: SplitMeasurement | None = None
    train: SplitMeasurement | None = None
    recall: float | None = None
    noise: float | None = None
    history: tuple[tuple[float, float], ...] = ()
    train_gains: tuple[float, ...] = ()
    explained_everywhere: tuple[tuple[float, float], ...] = ()
    error_explained: tuple[tuple[float, float], ...] = ()
    input_size: float | None = None
    input_spread: float | None = None
    rare: float | None = None
    average_precision: tuple[float, float] | None = None
    uncertain_everywhere: float | None = None
    nll_everywhere: tuple[float, float] | None = None
    unseen_images: tuple[str, ...] = ()
    outcome_problem: str | None = None
    outcome_spread: float | None = None
    best: tuple[int, float] | None = None
    episodes_option: str | None = None
    memory: tuple[str, int] | None = None
    fell: bool = False
    memorized: bool = False
    inputs: InputColumns = _NO_COLUMNS
    used_columns: tuple[str, ...] = ()
    read_columns: tuple[str, ...] = ()
    equal_outcomes: str | None = None
    checkpoint: str | None = None

    @property
    def judged(self) -> SplitMeasurement | None:
        """Validation episodes; None where none was measured, or the memory has not seen a target yet."""
        return None if self.awaits_selection else self.val

    @property
    def best_gain(self) -> float:
        """Highest gain of any validation and of the measurement, in bits."""
        gains = [gain for _, gain in (*self.history, *([self.best] if self.best else []))]
        measured = [] if self.val is None else [self.val.gain.mean]
        return max((x for x in (*gains, *measured) if abs(x) < MAX_VALUE), default=-np.inf)

    @property
    def learned_training_episodes(self) -> bool:
        """Whether the gain in training episodes grew; True where that is not known."""
        gains = np.array(self.train_gains, float)
        gains = gains[np.abs(gains) < MAX_VALUE]
        third = len(gains) // 3
        if not third:
            return True
        last = gains[-third:].mean()
        return bool(last - gains[:third].mean() > 2 * at.MIN_RISE or last > at.CLEAR_BITS)

    def rise(self) -> Rise | None:
        """Return how the gain rose over the last half of the updates; None where no rise is certain, it stands still, or as
        many updates again are not worth what they would add."""
        rows = finite(self.history)
        return rise(rows) if self.standing_since() is None and _is_worthwhile(rows) else None

    def may_rise(self) -> bool | None:
        """Return whether as many updates again may raise the gain by what is worth them: it rose by more than it scatters,
        or at each of fewer than four validations, and fell at none of them. None: these show neither."""
        rows = finite(self.history)
        found = _has_risen(rows)
        return _is_worthwhile(rows) if found else found

    def slow_rise(self) -> Outlook | None:
        """Return the outlook of a gain that rises, but by too little for as many updates again; None of any other."""
        rows = finite(self.history)
        return None if not _has_risen(rows) or _is_worthwhile(rows) else outlook(rows)

    def recent_gains(self) -> list[float]:
        """Return the gains of the last half of the validations, of four at least where there are so many."""
        rows = finite(self.history)
        gains: list[float] = rows[-max(at.MIN_EVALUATIONS, len(rows) // 2) :, 1].tolist()
        return gains

    def train_rise(self) -> Rise | None:
        """Return how the gain in training episodes rose, in the same way; None where it is not known either."""
        updates = [x for x, _ in self.history[max(0, len(self.history) - len(self.train_gains)) :]]
        return rise(finite(list(zip(updates, self.train_gains[-len(updates) :], strict=True)) if updates else []))

    def rise_everywhere(self) -> Rise | None:
        """Return how much more the memory explains of all steps that validations evaluate, however few bits that is. Of a
        rare outcome the targets of some episodes hold too few to show it. None: as of :meth:`rise`."""
        rows = finite(self.explained_everywhere)
        return rise(rows, 0.0) if _is_worthwhile(rows) else None

    def rise_of_error(self) -> Rise | None:
        """Return how much more of the squared error of numbers the memory explains. The bits of rare numbers do not show
        it: what the likelihood takes for outliers costs them all the same. None: as of :meth:`rise`."""
        rows = finite(self.error_explained)
        return rise(rows, at.ERROR_RISE) if _is_worthwhile(rows) else None

    def improves(self) -> bool:
        """Return whether a validation of the last quarter explained more than any before, and as many updates again are
        worth it by the trend: of all evaluated steps, or, where that is not known, of the targets."""
        rows = finite(self.explained_everywhere or self.history)
        gains, late = rows[:, 1], max(1, len(rows) // 4)
        if len(rows) <= late or not _is_worthwhile(rows):
            return False
        before = float(gains[:-late].max())
        return bool(gains[-late:].max() > before + at.LITTLE * abs(before))

    def standing_since(self) -> int | None:
        """Return the update since which the gain has not risen, for a third of the run; None where it may have."""
        return standing_since(finite(self.history))

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, as ``summary.json`` has them."""
        plain = asdict(self) | {"inputs": self.inputs._asdict()}
        for split in ("val", "train"):
            if plain[split] is not None:
                plain[split]["curve"] = [
                    {key: x[key] for key in ("distance", "steps", "episodes")}
                    | {"change": x["change"][0]}
                    | _named(x["gain"])
                    for x in plain[split]["curve"]
                ]
                for name in ("above_constant", "over_others"):
                    if (estimate := plain[split][name]) is not None:
                        plain[split][name] = _named(estimate, "mean")
                for place in ("early", "late"):
                    if plain[split][place] is not None:
                        plain[split][place]["gain"] = _named(plain[split][place]["gain"])
        return plain


def _has_risen(rows: FloatArray) -> bool | None:
    """Return whether a gain rose by more than it scatters; of fewer than four validations, at each. None: not known."""
    if len(rows) >= at.MIN_EVALUATIONS:
        return rises(rows)
    steps = np.diff(rows[:, 1])
    if (steps < -at.MIN_RISE).any():
        return False
    return True if len(steps) and (steps > at.MIN_RISE).all() else None


def _is_worthwhile(rows: FloatArray) -> bool:
    """Return whether as many updates again would raise a gain by what is worth them; True where too few show nothing."""
    found = outlook(rows)
    return found is None or found.worthwhile


def _named(estimate: tuple[float, float, float], mean: str = "gain") -> dict[str, float]:
    return dict(zip((mean, "low", "high"), estimate, strict=True))
