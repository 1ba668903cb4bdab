"""Measurements of a finished run; its verdict follows from them alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.history import History
from memup_lightning.callbacks.verdict.measuring.split_measurement import SplitMeasurement
from memup_lightning.callbacks.verdict.measuring.trend import MAX_VALUE
from memup_lightning.protocols.columns import InputColumns

_NO_COLUMNS = InputColumns(())


@dataclass(frozen=True)
class TrainingData:
    """What the training episodes are.

    Attributes:
        episodes: their number.
        longest: number of steps of the longest.
        outcome: its type.
        ends_alone: whether episodes of up to 128 steps have an outcome at their last step alone.
        equal_outcomes: what is wrong with outcomes that are all equal; None: they differ.
        episodes_option: option of the data that sets the number of episodes; None where there is none.
    """

    episodes: int
    longest: int
    outcome: Literal["class", "number"]
    ends_alone: bool = False
    equal_outcomes: str | None = None
    episodes_option: str | None = None


@dataclass(frozen=True)
class Targets:
    """How targets were selected.

    Attributes:
        needed: whether the module learns from targets.
        number: K.
        weight: of the loss of targets, next to that of own steps, with the weights that the run ends with.
        awaits_selection: whether none was selected yet.
        awaits_validation: whether no validation selected targets of its episodes yet.
        selects_nothing: whether the selector chose no step of any training episode.
        recall: share of the marked steps among the targets; None where no steps are marked.
        noise: share of the targets in context clusters of which the memory explains nothing; None without clusters.
    """

    needed: bool = True
    number: int = 1
    weight: float = 1.0
    awaits_selection: bool = False
    awaits_validation: bool = False
    selects_nothing: bool = False
    recall: float | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Evaluated:
    """What the last validation logged of all steps that it evaluated; None: it did not.

    Attributes:
        rare: share of the outcomes that are not of the most frequent class; None of numbers too.
        average_precision: of the rarer of two classes, with and without memory.
        uncertain: share of the outcomes' own entropy or variance that is left without memory.
        nll: with and without memory, in nats, of the weights that the run ends with.
    """

    rare: float | None = None
    average_precision: tuple[float, float] | None = None
    uncertain: float | None = None
    nll: tuple[float, float] | None = None

    @property
    def is_rare(self) -> bool:
        """Whether there are other classes than the most frequent one, which are rare."""
        return self.rare is not None and 0 < self.rare < at.RARE


@dataclass(frozen=True)
class Scale:
    """In which range inputs and outcomes are.

    Attributes:
        input_size, input_spread: largest absolute value, and largest standard deviation, of what the memory reads.
        unseen_images: image fields whose features are the same for all images, so that the memory sees none of them.
        outcome_problem: why outcomes of this range cannot be distinguished; None where they can.
        outcome_spread: by which numbers are divided, from all steps of training episodes; None: of classes, or not known.
    """

    input_size: float | None = None
    input_spread: float | None = None
    unseen_images: tuple[str, ...] = ()
    outcome_problem: str | None = None
    outcome_spread: float | None = None


@dataclass(frozen=True)
class Columns:
    """What is read of a table or an array.

    Attributes:
        inputs: that can be left out, and how; without names where they cannot one by one.
        used: those of more than four on which predictions of validation episodes depend, the most important one first;
            empty: not known, or the run left out others already.
        read: those which are read alone since the run memorized others; empty: all are.
    """

    inputs: InputColumns = _NO_COLUMNS
    used: tuple[str, ...] = ()
    read: tuple[str, ...] = ()

    @property
    def number(self) -> int:
        """Number of columns that are read; 0: they cannot be left out one by one."""
        return len(self.read or self.inputs.names)


@dataclass(frozen=True)
class Ending:
    """With which weights the run ends, and what it did where it memorized.

    Attributes:
        best: updates and memory gain of the validation whose weights the run ends with; None: its last weights.
        fell: whether ``best`` is there because the gain fell, in training episodes too.
        memorized: whether the run went back to its best weights, and trained on with weight decay.
    """

    best: tuple[int, float] | None = None
    fell: bool = False
    memorized: bool = False


@dataclass(frozen=True)
class Measurements:
    """All that the verdict of a run follows from.

    Attributes:
        updates: of the run.
        chunk_length: steps that gradients go back.
        steps: where the memory was measured: at the steps that the data mark, or at the targets.
        data: the training episodes.
        targets: how they were selected.
        val, train: what the memory explains in some episodes; None where no step could be measured.
        evaluated: what the last validation logged.
        history: what all of them did.
        scale: of inputs and outcomes.
        columns: that are read.
        ending: the weights at the end.
        memory: class and size of the memory, where it can be made wider.
        checkpoint: from which the run can be continued; None where there is none.
    """

    updates: int
    chunk_length: int
    steps: Literal["marked", "targets"]
    data: TrainingData
    targets: Targets = Targets()
    val: SplitMeasurement | None = None
    train: SplitMeasurement | None = None
    evaluated: Evaluated = Evaluated()
    history: History = field(default_factory=History)
    scale: Scale = Scale()
    columns: Columns = Columns()
    ending: Ending = Ending()
    memory: tuple[str, int] | None = None
    checkpoint: str | None = None

    @property
    def judged(self) -> SplitMeasurement | None:
        """Validation episodes; None where none was measured, or the memory has not seen a target yet."""
        return None if self.targets.awaits_selection else self.val

    @property
    def best_gain(self) -> float:
        """Highest gain of any validation and of the measurement, in bits."""
        gains = [x.gain for x in self.history.validations]
        if self.ending.best is not None:
            gains.append(self.ending.best[1])
        if self.val is not None:
            gains.append(self.val.gain.mean)
        return max((x for x in gains if abs(x) < MAX_VALUE), default=-np.inf)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values, as ``summary.json`` has them."""
        plain = asdict(self)
        plain["columns"]["inputs"] = self.columns.inputs._asdict()
        plain["history"] = plain["history"]["validations"]
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


def _named(estimate: tuple[float, float, float], mean: str = "gain") -> dict[str, float]:
    return dict(zip((mean, "low", "high"), estimate, strict=True))
