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
from memup_lightning.callbacks.verdict.measuring.history import History, Validation
from memup_lightning.callbacks.verdict.measuring.images import unseen_images
from memup_lightning.callbacks.verdict.measuring.logged import TINY, evaluated, measured_or_logged
from memup_lightning.callbacks.verdict.measuring.losses import compare_losses
from memup_lightning.callbacks.verdict.measuring.measurements import (
    Columns,
    Ending,
    Measurements,
    Scale,
    Targets,
    TrainingData,
)
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
_MAX_NUMBERED = 64  # columns of an array: more are mostly features that another network made


def measure(
    model: MemoryTask,
    data: ChunkSource,
    updates: int,
    validations: Sequence[Validation] = (),
    metrics: Mapping[str, float] | None = None,
    ending: Ending | None = None,
    read_columns: Sequence[str] = (),
) -> Measurements:
    """Measure a run at its end, in this process alone: no collective is called, and nothing of the run changes.

    Args:
        model: as it is at the end.
        data: its data, set up for ``fit``.
        updates: of the run.
        validations: of the run.
        metrics: what the last validation logged; of episodes too long to be played again, these are the measurements.
        ending: the weights that the run ends with; None: its last ones.
        read_columns: of a table, which are read alone since the run memorized it; empty: all.
    """
    train, val = data.splits["train"], data.splits.get("val")
    logged = metrics or {}
    with eval_mode(model), restored_rng(model.device):
        measured = None if val is None else _measure_split(model, data, "val")
        trained = _measure_split(model, data, "train")
        scale = _scale(model, train, val)
        columns = _columns(model, data, tuple(read_columns))
    return Measurements(
        updates=updates,
        chunk_length=data.chunk_length,
        steps="marked" if val is not None and val.has_eval_mask else "targets",
        data=TrainingData(
            episodes=len(train.lengths),
            longest=int(train.lengths.max()),
            outcome="class" if train.task.outcome.type == "token" else "number",
            ends_alone=measured_steps.ends_alone(train),
            equal_outcomes=data.equal_outcomes,
            episodes_option=_episodes_option(data),
        ),
        targets=_targets(model, data, logged),
        val=None if val is None else measured_or_logged(measured, val, logged),
        train=trained,
        evaluated=evaluated(logged),
        history=History(tuple(validations)),
        scale=scale,
        columns=columns,
        ending=ending or Ending(),
        memory=_memory_size(model),
    )


def _targets(model: MemoryTask, data: ChunkSource, logged: Mapping[str, float]) -> Targets:
    needed, train, val = model.needs_targets(), data.splits["train"], data.splits.get("val")
    return Targets(
        needed=needed,
        number=data.num_targets(),
        weight=float(model.target_weight) if isinstance(model, MemUP) else 1.0,
        awaits_selection=needed and not train.targets.num_refreshes,
        awaits_validation=needed and val is not None and not (val.has_eval_mask or val.targets.scored.any()),
        selects_nothing=needed and train.targets.selects_nothing(),
        recall=logged.get("val/target_recall"),
        noise=_share_of_noise(model),
    )


def _scale(model: MemoryTask, train: EpisodeSplit, val: EpisodeSplit | None) -> Scale:
    size, spread = _scale_of_inputs(model, train)
    return Scale(
        input_size=size,
        input_spread=spread,
        unseen_images=unseen_images(model, train if val is None else val),
        outcome_problem=model.outcome_problem(),
        outcome_spread=_spread_of_outcomes(model),
    )


def _columns(model: MemoryTask, data: ChunkSource, read: tuple[str, ...]) -> Columns:
    """Return what is read, and, where a verdict may advise which columns to read, those that are used."""
    inputs, val = data.input_columns or InputColumns(()), data.splits.get("val")
    few = len(inputs.names) <= FEW_COLUMNS or (inputs.array is not None and len(inputs.names) > _MAX_NUMBERED)
    advised = not (few or read or _episodes_option(data))
    return Columns(inputs, used_columns(model, val, inputs.names) if val is not None and advised else (), read)


def _episodes_option(data: ChunkSource) -> str | None:
    return "num_train" if _takes(type(data), "num_train") else None


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
