"""Measurement of what a memory explains, at every distance between its state and the outcome."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor

from memup_lightning.callbacks.memory_usage import restored_rng
from memup_lightning.callbacks.verdict.measurements import (
    CurvePoint,
    Estimate,
    FloatArray,
    Measurements,
    Place,
    SplitMeasurement,
    bootstrap,
)
from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK
from memup_lightning.data.targets import NOWHERE
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.models.outcomes import CategoricalOutcome
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.protocols import ChunkSource, TargetLearner
from memup_lightning.typing import BoolArray, IntArray, Split

MAX_EPISODES, MAX_PLACES = 64, 8
"""Episodes of a split that are measured, and steps of each, at most."""
_MAX_STEPS, _MAX_BYTES = 1 << 20, 1 << 28  # read for a split, at most
_MAX_LENGTH = 50_000  # steps of an episode that are played
_MAX_SECONDS = 5.0  # of a split; steps that are not reached by then are left out
_TRIED = 64  # steps of an episode in which outcomes are looked for, where the data mark none
_APART = 4  # the last third of the steps must be so many times later than the first
_TINY = 1e-9
_KNOWN_ERROR = 0.05  # bits: a context cluster of less is noise, if that is certain


def measure(
    model: MemoryTask,
    data: ChunkSource,
    updates: int,
    history: Sequence[tuple[float, float]] = (),
    metrics: Mapping[str, float] | None = None,
    best: tuple[int, float] | None = None,
) -> Measurements:
    """Measure a run at its end, in this process alone: no collective is called, and nothing of the run changes.

    Args:
        model: as it is at the end.
        data: its data, set up for ``fit``.
        updates: of the run.
        history: updates and memory gain of each validation.
        metrics: what the last validation logged; of episodes too long to be played again, these are the measurements.
        best: updates and memory gain of the validation whose weights the run ends with; None: its last weights.
    """
    marked = data.has_split("val") and data.has_eval_mask("val")
    with eval_mode(model), restored_rng(model):
        splits = {split: _measure_split(model, data, split) for split in ("val", "train") if data.has_split(split)}
        size, spread = _scale_of_inputs(model, data)
    has_class = isinstance(model.outcome, CategoricalOutcome)
    logged = metrics or {}
    if splits.get("val") is None and data.has_split("val") and int(data.lengths("val").max()) > _MAX_LENGTH:
        splits["val"] = _of_metrics(logged)
    options = inspect.signature(type(data)).parameters
    return Measurements(
        updates=updates,
        episodes=len(data.lengths("train")),
        mean_length=float(data.lengths("train").mean()),
        chunk_length=data.chunk_length,
        steps="marked" if marked else "targets",
        outcome="class" if has_class else "number",
        needs_targets=model.needs_targets(),
        awaits_selection=model.needs_targets() and data.awaits_selection(),
        num_targets=data.num_targets(),
        val=splits.get("val"),
        train=splits.get("train"),
        recall=logged.get("val/target_recall"),
        noise=_share_of_noise(model),
        history=tuple(history),
        input_size=size,
        input_spread=spread,
        outcome_problem=model.outcome_problem(),
        best=best,
        episodes_option="num_train" if "num_train" in options else None,
    )


def _of_metrics(metrics: Mapping[str, float]) -> SplitMeasurement | None:
    """Return what a validation logged as a measurement: one distance, and no interval."""
    loss = "nll" if "val/base_rate" in metrics else "mse"
    if not {"val/memory_gain", "val/local_nll", f"val/{loss}", f"val/local_{loss}"} <= metrics.keys():
        return None
    gain, without = metrics["val/memory_gain"], max(metrics[f"val/local_{loss}"], _TINY)
    share = min(max(metrics.get("val/base_rate", 0.5), _TINY), 1 - _TINY)
    entropy = -share * math.log(share) - (1 - share) * math.log(1 - share)  # of two classes; of more it is larger
    own = entropy if loss == "nll" else metrics.get("val/mean_mse", without)
    return SplitMeasurement(
        episodes=0,
        curve=(CurvePoint(0, Estimate(gain, gain, gain), Estimate(0.0, 0.0, 0.0), 0),),
        surprise=metrics["val/local_nll"] * BITS_PER_NAT,
        explained=1 - metrics[f"val/{loss}"] / without,
        uncertain=without / max(own, _TINY),
    )


def _measure_split(model: MemoryTask, data: ChunkSource, split: Split) -> SplitMeasurement | None:
    episodes = _choose_episodes(model, data, split)
    places = _choose_places(model, data, split, episodes)
    if not (places != NOWHERE).any():
        return None
    longest = int(places[places != NOWHERE].max())
    distances = np.array([0, *(1 << np.arange(longest.bit_length()))])
    wanted = np.where(places == NOWHERE, -1, places)[..., None] - distances  # [rows, K, D]; below 0: no such state
    memory, reached = _states(model, data, split, episodes, wanted)
    steps = data.steps_at(split, episodes, places).to(model.device)
    counts = reached & steps.valid.cpu().numpy()[..., None]
    if not counts[..., 0].any():
        return None
    context = model.context_encoder(steps.context)[:, :, None]
    params = model.predictor(context, memory, torch.from_numpy(distances).to(model.device))
    local = model.local(steps.context)
    outcome = steps.outcome[:, :, None].expand(*params.shape[:3], *steps.outcome.shape[2:])
    without = _array(model.outcome.nll(local, steps.outcome)) * BITS_PER_NAT
    gain = without[..., None] - _array(model.outcome.nll(params, outcome)) * BITS_PER_NAT
    errors = [_errors(model, x, steps.outcome)[counts[..., 0]] for x in (local, params[:, :, 0])]
    own = _own_uncertainty(model, _array(steps.outcome)[counts[..., 0]])
    explained = 1 - errors[1].mean() / max(errors[0].mean(), _TINY)
    return SplitMeasurement(
        episodes=int(counts[..., 0].any(1).sum()),
        curve=_curve(distances, gain, counts),
        surprise=float(without[counts[..., 0]].mean()),
        explained=float(explained),
        uncertain=float(errors[0].mean() / own) if own > _TINY else 0.0,
        **_parts(places, gain[..., 0], without, counts[..., 0]),
    )


def _choose_episodes(model: MemoryTask, data: ChunkSource, split: Split) -> IntArray:
    """Return the episodes to measure, spread over the split: as many as may be read."""
    lengths = data.lengths(split)
    usable = np.arange(len(lengths))
    if model.needs_targets() and not data.has_eval_mask(split):
        usable = usable[data.targets(split).scored]
    number = min(MAX_EPISODES, len(usable))
    chosen = usable[np.linspace(0, len(usable) - 1, number).round().astype(np.int64)] if number else usable
    step_bytes = sum(field.step_bytes for field in (data.task.input_fields | data.task.context_fields).values())
    steps = np.minimum(lengths[chosen], _MAX_LENGTH).cumsum()
    fits = (steps <= _MAX_STEPS) & (steps * step_bytes <= _MAX_BYTES)
    fits[:1] = True
    return chosen[fits]


def _choose_places(model: MemoryTask, data: ChunkSource, split: Split, episodes: IntArray) -> IntArray:
    """Return the steps at which the memory is measured, ``[rows, K]``: those that the data mark, else the targets, else (of
    a module without targets) steps with an outcome; :data:`NOWHERE` where there are fewer."""
    lengths = np.minimum(data.lengths(split)[episodes], _MAX_LENGTH)
    if data.has_eval_mask(split):
        found = [
            np.flatnonzero(data.read_field(split, int(episode), np.arange(length), EVAL_MASK))
            for episode, length in zip(episodes, lengths, strict=True)
        ]
    elif model.needs_targets():
        chosen = data.targets(split).select(episodes, np.zeros(len(episodes), np.int64))
        found = [np.unique(row[row < length]) for row, length in zip(chosen, lengths, strict=True)]
    else:
        found = []
        for row, length in enumerate(lengths):
            tried = np.unique(np.linspace(0, length - 1, _TRIED).round().astype(np.int64))
            found.append(tried[data.steps_at(split, episodes[row : row + 1], tried[None]).valid[0].numpy()])
    places = np.full((len(episodes), MAX_PLACES), NOWHERE)
    for row, steps in enumerate(found):
        number = min(MAX_PLACES, len(steps))
        # The last ones first: where there is a single outcome for many steps, it is the last.
        places[row, :number] = steps[np.linspace(len(steps) - 1, 0, number).round().astype(np.int64)]
    return places


def _states(
    model: MemoryTask, data: ChunkSource, split: Split, episodes: IntArray, wanted: IntArray
) -> tuple[Tensor, BoolArray]:
    """Play the episodes once, and keep the memory at the wanted steps.

    Args:
        model: the memory.
        data: the episodes.
        split: where they are from.
        episodes: ``[rows]``.
        wanted: steps, ``[rows, K, D]``; below 0: none.

    Returns:
        m ``[rows, K, D, output_size]``, and at which places it is known.
    """
    rows, last, until = {int(e): row for row, e in enumerate(episodes)}, int(wanted.max()), time.perf_counter()
    want, known = torch.from_numpy(wanted).to(model.device), torch.zeros(wanted.shape, dtype=torch.bool)
    kept, state = None, None
    for chunk in data.evaluation_chunks(split, episodes, lanes=len(episodes), contexts=False):
        memory, state = model.unroll(chunk.to(model.device), state)
        if kept is None:
            kept = memory.new_zeros(*wanted.shape, memory.shape[-1])
        there = torch.tensor([rows.get(int(e), -1) for e in chunk.episode])
        lanes = (there >= 0).nonzero()[:, 0]
        row = there[lanes].to(model.device)
        place = want[row] - chunk.start[lanes].to(model.device)[:, None, None]
        here = (want[row] >= 0) & (place >= 0) & (place < chunk.num_steps)
        lane, target, distance = here.nonzero(as_tuple=True)
        kept[row[lane], target, distance] = memory[lanes.to(model.device)[lane], place[here]]
        known[row[lane].cpu(), target.cpu(), distance.cpu()] = True
        if int(chunk.start.max()) + chunk.num_steps > last or time.perf_counter() - until > _MAX_SECONDS:
            break
    assert kept is not None
    return kept, known.numpy()


def _curve(distances: IntArray, gain: FloatArray, counts: BoolArray) -> tuple[CurvePoint, ...]:
    """Return the points at which a quarter of the episodes count, at least."""
    enough = -(-int(counts[..., 0].any(1).sum()) // 4)
    points = []
    for number, distance in enumerate(distances.tolist()):
        on = counts[..., number] & counts[..., 0]
        if on.any(1).sum() >= enough:
            estimates = bootstrap(gain[..., number], on), bootstrap(gain[..., number] - gain[..., 0], on)
            points.append(CurvePoint(distance, *estimates, steps=int(on.sum())))
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


def _errors(model: MemoryTask, params: Tensor, outcome: Tensor) -> FloatArray:
    """Return what is left of each outcome: bits for classes, the squared error for numbers."""
    if isinstance(model.outcome, CategoricalOutcome):
        return _array(model.outcome.nll(params, outcome)) * BITS_PER_NAT
    error = (model.outcome.predict(params).reshape(outcome.shape) - outcome).float().square()
    return _array(error.reshape(*outcome.shape[:2], -1).mean(-1))


def _own_uncertainty(model: MemoryTask, outcome: FloatArray) -> float:
    """Return the entropy of classes in bits, the variance of numbers, ``[n, ...]``."""
    if isinstance(model.outcome, CategoricalOutcome):
        share = np.unique(outcome, return_counts=True)[1] / len(outcome)
        return float(-(share * np.log2(share)).sum())
    return float(outcome.reshape(len(outcome), -1).var(0).mean())


def _scale_of_inputs(model: MemoryTask, data: ChunkSource) -> tuple[float, float]:
    """Return the largest absolute value and the largest standard deviation of what the memory reads."""
    episodes = np.arange(min(MAX_EPISODES, len(data.lengths("train"))))
    chunk: Chunk = next(iter(data.evaluation_chunks("train", episodes, lanes=len(episodes), contexts=False)))
    moved = chunk.to(model.device)
    x = model.encode_inputs(moved)[moved.valid].float()
    return float(x.abs().max()), float(x.std(0, correction=0).max())


def _share_of_noise(model: LightningModule) -> float | None:
    """Return the share of the targets in context clusters of which the memory explains nothing, for certain."""
    rows = model.cluster_summary() if isinstance(model, TargetLearner) else None
    if rows is None:
        return None
    shares: Iterator[float] = (
        row["share"] for row in rows if row["error"] is not None and row["gain"] + 2 * row["error"] < _KNOWN_ERROR
    )
    return sum(shares)


def _array(x: Tensor) -> FloatArray:
    array: FloatArray = x.double().cpu().numpy()
    return array
