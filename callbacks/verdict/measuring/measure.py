"""Measurement of what a memory explains, at every distance between its state and the outcome."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memup_lightning.callbacks.overfitting.column_use import FEW_COLUMNS, used_columns
from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring import measured_steps
from memup_lightning.callbacks.verdict.measuring.images import unseen_images
from memup_lightning.callbacks.verdict.measuring.logged import TINY, of_evaluated, of_validation
from memup_lightning.callbacks.verdict.measuring.losses import compare_losses
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.measuring.split_measurement import CurvePoint, Place, SplitMeasurement
from memup_lightning.data.targets import NOWHERE
from memup_lightning.models import memory as cores
from memup_lightning.models.eval_mode import eval_mode, restored_rng
from memup_lightning.models.outcomes.continuous import ContinuousOutcome
from memup_lightning.modules import MemoryTask, MemUP
from memup_lightning.modules.evaluation.estimate import FloatArray, bootstrap
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.protocols import ChunkSource, EpisodeSplit
from memup_lightning.protocols.columns import InputColumns
from memup_lightning.typing import BoolArray, IntArray, Split

_SCALE_EPISODES = 64  # whose inputs give their scale
_MAX_SECONDS = 5.0  # of a split; steps that are not reached by then are left out
_APART = 4  # the last third of the steps must be so many times later than the first
_RARE = 20  # range of an input in spreads, above which it is seldom other than usual
_NLLS = {"val/nll", "val/local_nll"}
_PRECISIONS = {"val/average_precision", "val/local_average_precision"}
_MAX_NUMBERED = 64  # columns of an array: more are mostly features that another network made


def measure(
    model: MemoryTask,
    data: ChunkSource,
    updates: int,
    history: Sequence[tuple[float, float]] = (),
    metrics: Mapping[str, float] | None = None,
    best: tuple[int, float] | None = None,
    train_gains: Sequence[float] = (),
    fell: bool = False,
    memorized: bool = False,
    explained: Sequence[tuple[float, float]] = (),
    error_explained: Sequence[tuple[float, float]] = (),
    read_columns: Sequence[str] = (),
) -> Measurements:
    """Measure a run at its end, in this process alone: no collective is called, and nothing of the run changes.

    Args:
        model: as it is at the end.
        data: its data, set up for ``fit``.
        updates: of the run.
        history: updates and memory gain of each validation.
        metrics: what the last validation logged; of episodes too long to be played again, these are the measurements.
        best: updates and memory gain of the validation whose weights the run ends with; None: its last weights.
        train_gains: memory gain in training episodes at each validation.
        fell: whether ``best`` is there because the gain fell, in training episodes too.
        memorized: whether the run went back to its best weights, and trained on with weight decay.
        explained: updates, and bits that the memory explains of an evaluated step, at each validation.
        error_explained: updates, and share of the squared error that the memory explains, at each validation.
        read_columns: of a table, which are read alone since the run memorized it; empty: all.
    """
    train, val = data.splits["train"], data.splits.get("val")
    has_targets = model.needs_targets()
    with eval_mode(model), restored_rng(model.device):
        measured = None if val is None else _measure_split(model, data, "val")
        trained = _measure_split(model, data, "train")
        size, spread = _scale_of_inputs(model, train)
        unseen = unseen_images(model, train if val is None else val)
        inputs, more = data.input_columns or InputColumns(()), "num_train" if _takes(type(data), "num_train") else None
        few = len(inputs.names) <= FEW_COLUMNS or (inputs.array is not None and len(inputs.names) > _MAX_NUMBERED)
        advised = val is not None and not (few or read_columns or more)  # which of them to read
        used = used_columns(model, val, inputs.names) if val is not None and advised else ()
    logged = metrics or {}
    everywhere = of_validation(logged)
    rare = 1 - logged["val/base_rate"] if "val/base_rate" in logged else None
    if measured is None and val is not None and int(val.lengths.max()) > measured_steps.MAX_LENGTH:
        measured = everywhere
    is_rare = rare is not None and rare < at.RARE
    if measured is not None and everywhere is not None and is_rare and not measured.explains:
        # Few of the steps that were measured have a rare outcome; the validation evaluated them all.
        evaluated = of_evaluated(everywhere, logged)
        measured = evaluated if evaluated.gains else measured
    return Measurements(
        updates=updates,
        episodes=len(train.lengths),
        longest=int(train.lengths.max()),
        chunk_length=data.chunk_length,
        steps="marked" if val is not None and val.has_eval_mask else "targets",
        outcome="class" if train.task.outcome.type == "token" else "number",
        ends_alone=measured_steps.ends_alone(train),
        needs_targets=has_targets,
        awaits_selection=has_targets and not train.targets.num_refreshes,
        awaits_validation=has_targets and val is not None and not (val.has_eval_mask or val.targets.scored.any()),
        selects_nothing=has_targets and train.targets.selects_nothing(),
        num_targets=data.num_targets(),
        target_weight=float(model.target_weight) if isinstance(model, MemUP) else 1.0,
        val=measured,
        train=trained,
        recall=logged.get("val/target_recall"),
        noise=_share_of_noise(model),
        history=tuple(history),
        train_gains=tuple(train_gains),
        explained_everywhere=tuple(explained),
        error_explained=tuple(error_explained),
        input_size=size,
        input_spread=spread,
        rare=rare,
        average_precision=(logged["val/average_precision"], logged["val/local_average_precision"])
        if logged.keys() >= _PRECISIONS
        else None,
        uncertain_everywhere=None if everywhere is None else everywhere.uncertain,
        nll_everywhere=(logged["val/nll"], logged["val/local_nll"]) if logged.keys() >= _NLLS else None,
        unseen_images=unseen,
        outcome_problem=model.outcome_problem(),
        outcome_spread=_spread_of_outcomes(model),
        memory=_memory_size(model),
        fell=fell,
        memorized=memorized,
        inputs=inputs,
        used_columns=used,
        read_columns=tuple(read_columns),
        equal_outcomes=data.equal_outcomes,
        best=best,
        episodes_option=more,
    )


def _spread_of_outcomes(model: MemoryTask) -> float | None:
    """Return the root mean square of the spreads of the components of the outcome."""
    if not isinstance(model.outcome, ContinuousOutcome) or not model.outcome.standardizer.is_fitted:
        return None
    return float(model.outcome.standardizer.scale.square().mean().sqrt())


def _measure_split(model: MemoryTask, data: ChunkSource, name: Split) -> SplitMeasurement | None:
    split = data.splits[name]
    episodes, places = measured_steps.choose(model, data, name)
    if not (places != NOWHERE).any():
        return None
    longest = int(places[places != NOWHERE].max())
    distances = np.array([0, *(1 << np.arange(longest.bit_length()))])
    wanted = np.where(places == NOWHERE, -1, places)[..., None] - distances  # [rows, K, D]; below 0: no such state
    memory, reached = _states(model, split, episodes, wanted)
    steps = split.steps_at(episodes, places)
    counts = reached & steps.valid.numpy()[..., None]
    at_once = counts[..., 0]
    if not at_once.any():
        return None
    classes = split.task.outcome.type == "token"
    outcome = steps.outcome[torch.from_numpy(at_once)]
    own = model.own_uncertainty(outcome) * (BITS_PER_NAT if classes else 1)
    own = 0.0 if bool((outcome == outcome[:1]).all()) else own  # rounding leaves some variance
    losses = compare_losses(model, steps, memory, torch.from_numpy(distances), at_once, classes)
    worse = losses.local_is_worse(at_once)
    gain, without = losses.gains(worse)
    without_memory, with_memory = (
        float(x[at_once].mean()) for x in (losses.without_memory, losses.with_memory[..., 0])
    )
    return SplitMeasurement(
        episodes=int(at_once.any(1).sum()),
        curve=_curve(distances, gain, counts),
        surprise=float(without[at_once].mean()),
        explained=1 - with_memory / max(min(without_memory, own) if worse else without_memory, TINY),
        uncertain=without_memory / own if own else 0.0,
        own=own,
        above_constant=losses.above_constant(losses.with_memory[..., 0], at_once),
        local_is_worse=worse,
        outlier_bits=losses.outlier_bits,
        over_others=losses.over_others(at_once),
        excess_bits=losses.excess_bits(at_once),
        **_parts(places, gain[..., 0], without, at_once),
    )


def _states(model: MemoryTask, split: EpisodeSplit, episodes: IntArray, wanted: IntArray) -> tuple[Tensor, BoolArray]:
    """Play the episodes once, and keep the memory at the wanted steps.

    Args:
        model: the memory.
        split: the episodes.
        episodes: which ones, ``[rows]``.
        wanted: steps, ``[rows, K, D]``; below 0: none.

    Returns:
        m ``[rows, K, D, output_size]``, and at which places it is known.
    """
    rows, last, began = {int(e): row for row, e in enumerate(episodes)}, int(wanted.max()), time.perf_counter()
    kept: Tensor | None = None
    for chunk, memory in model.play(split.chunks(episodes, lanes=len(episodes), contexts=False)):
        if kept is None:
            kept = memory.new_zeros(*wanted.shape, memory.shape[-1])
            want = torch.from_numpy(wanted).to(memory.device)
            known = torch.zeros_like(want, dtype=torch.bool)
        there = torch.tensor([rows.get(episode, -1) for episode in chunk.episode.tolist()], device=memory.device)
        lanes = (there >= 0).nonzero()[:, 0]
        row = there[lanes]
        place = want[row] - chunk.start[lanes][:, None, None]
        here = (want[row] >= 0) & (place >= 0) & (place < chunk.num_steps)
        lane, target, distance = here.nonzero(as_tuple=True)
        kept[row[lane], target, distance] = memory[lanes[lane], place[here]]
        known[row[lane], target, distance] = True
        if int(chunk.start.max()) + chunk.num_steps > last or time.perf_counter() - began > _MAX_SECONDS:
            break
    assert kept is not None
    return kept, known.cpu().numpy()


def _curve(distances: IntArray, gain: FloatArray, counts: BoolArray) -> tuple[CurvePoint, ...]:
    """Return the points at which a quarter of the episodes count, at least."""
    enough = -(-int(counts[..., 0].any(1).sum()) // 4)
    points = []
    for number, distance in enumerate(distances.tolist()):
        on = counts[..., number] & counts[..., 0]
        if on.any(1).sum() >= enough:
            far, near = gain[..., number], gain[..., 0]
            whole, change, half = (bootstrap(x, on) for x in (far, far - near, far - near / 2))
            points.append(CurvePoint(distance, whole, change, half, int(on.sum()), int(on.any(1).sum())))
    return tuple(points)


def _parts(places: IntArray, gain: FloatArray, without: FloatArray, counts: BoolArray) -> dict[str, Any]:
    """Return the first and the last third of the steps, where these are far apart."""
    low, high = np.quantile(places[counts], [1 / 3, 2 / 3])
    found = []
    for on in (counts & (places <= low), counts & (places >= high)):
        median = int(np.median(places[on]))
        found.append(Place(median, bootstrap(gain, on), float(without[on].mean())))
    early, late = found
    return {"early": early, "late": late} if late.step >= _APART * max(1, early.step) else {}


def _scale_of_inputs(model: MemoryTask, train: EpisodeSplit) -> tuple[float, float]:
    """Return the largest absolute value of what the memory reads, and its largest standard deviation, or a twentieth of its
    largest range."""
    episodes = np.arange(min(_SCALE_EPISODES, len(train.lengths)))
    chunk = next(iter(train.chunks(episodes, lanes=len(episodes), contexts=False))).to(model.device)
    x = model.encode_inputs(chunk)[chunk.valid].float()
    spread = x.std(0, correction=0).maximum((x.amax(0) - x.amin(0)) / _RARE)  # a mark of a rare event spreads little
    return float(x.abs().max()), float(spread.max())


def _memory_size(model: MemoryTask) -> tuple[str, int] | None:
    """Return class and size of a memory of this package that can be made wider; None of another."""
    core = model.memory
    known = getattr(cores, type(core).__name__, None) is type(core)
    return (type(core).__name__, core.output_size) if known and _takes(type(core), "hidden_size") else None


def _share_of_noise(model: MemoryTask) -> float | None:
    """Return the share of the targets in context clusters of which the memory explains nothing, for certain."""
    rows = model.cluster_summary()
    if rows is None:
        return None
    shares: Iterator[float] = (
        row["share"] for row in rows if row["error"] is not None and row["gain"] + 2 * row["error"] < at.KNOWN_ERROR
    )
    return sum(shares)


def _takes(part: type, option: str) -> bool:
    return option in inspect.signature(part).parameters
