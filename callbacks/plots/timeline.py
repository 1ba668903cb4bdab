"""Timeline of an episode under a trained model: uncertainty without memory, and predictions from the memory over time."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.data.targets import NOWHERE
from memup_lightning.models.eval_mode import eval_mode, restored_rng
from memup_lightning.modules import MemoryTask, MemUP
from memup_lightning.modules.evaluation.comparison import Comparison, OutcomePrediction
from memup_lightning.modules.evaluation.memory import BITS_PER_NAT
from memup_lightning.protocols import ChunkSource, EpisodeSplit, TargetStore
from memup_lightning.typing import Split

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
MAX_PREDICTIONS = 3
"""Targets that are followed over time; the most uncertain ones."""
MAX_FRAMES = 10
"""Images of an episode that are kept; those of the most uncertain steps."""
FRAME_GAP = 4
"""Steps, at least, from one of these to the next: neighbours look alike."""
OutcomeType = Literal["class", "number", "vector"]
_QUANTITIES: dict[OutcomeType, str] = {
    "class": "probability of the\ntrue class",
    "number": "predicted\noutcome",
    "vector": "explained by the\nmemory (bits)",
}
_LABEL_WIDTH = 21  # characters of a line


@dataclass
class Predictions:
    """Predictions of the outcome of one step k, over the time t of the memory state that the predictor reads.

    Attributes:
        step: k.
        with_memory: by ``q_phi(y | c_k, m_t)``, for every t of the episode; NaN after k.
        without_memory: by the local predictor, ``d_psi(y | c_k)``.
        spread: standard deviation of the local predictor's distribution; None where the outcome is no number.
        truth: prediction for the true outcome; None where there is no such number.
    """

    step: int
    with_memory: FloatArray
    without_memory: float
    spread: float | None
    truth: float | None


class Frame(NamedTuple):
    """Image of an episode at a step.

    Attributes:
        step: its number.
        image: ``[height, width, channels]``, one channel or three.
        selected: whether the step is a target.
    """

    step: int
    image: npt.NDArray[Any]
    selected: bool


@dataclass
class Timeline:
    """Uncertainty, targets and predictions of one episode.

    Attributes:
        uncertainty: u of each step, ``[steps]``; NaN where a step has no outcome.
        score: name of the uncertainty, with its unit.
        targets: the steps selected at the episode's beginning; none before the first selection of the run.
        eval_mask: the steps at which the task evaluates a memory; none where the task names none.
        chunk_length: r, steps that gradients cross in training.
        quantity: name of the predicted quantity, with its unit.
        predictions: of the most uncertain targets (of evaluated steps, where there are no targets).
        frames: the first step and the most uncertain ones, in their order; none where the task has no images.
    """

    uncertainty: FloatArray
    score: str
    targets: IntArray
    eval_mask: IntArray
    chunk_length: int
    quantity: str
    predictions: list[Predictions] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    @property
    def steps(self) -> int:
        return len(self.uncertainty)


def follow_episode(model: MemUP, data: ChunkSource, split: Split = "val", episode: int = 0) -> Timeline:
    """Stream one episode twice: once for uncertainty and targets, once for predictions from the memory.

    Targets are chosen as in training, by the model as it is now. Random numbers and the model's mode stay as they were.

    Args:
        model: a trained MemUP.
        data: its data, set up for the split.
        split: where the episode is from.
        episode: its number.
    """
    episodes = data.splits[split]
    with eval_mode(model), restored_rng(model.device):
        by_cluster = data.selects_by_cluster()
        uncertainty, eval_mask, targets = _select(model, episodes, episode, by_cluster, data.splits["train"].targets)
        timeline = Timeline(
            uncertainty,
            textwrap.fill(model.describe_score(), _LABEL_WIDTH),
            targets,
            np.flatnonzero(eval_mask) if episodes.has_eval_mask else np.zeros(0, np.int64),
            data.chunk_length,
            _QUANTITIES[_outcome_type(episodes)],
        )
        steps = targets if len(targets) else timeline.eval_mask
        steps = np.sort(steps[np.argsort(-uncertainty[steps], kind="stable")][:MAX_PREDICTIONS])
        if len(steps):
            timeline.predictions = follow_outcomes(model, episodes, episode, steps, timeline.steps)
    timeline.frames = _frames(episodes, episode, timeline)
    return timeline


def _frames(episodes: EpisodeSplit, episode: int, timeline: Timeline) -> list[Frame]:
    name = next((name for name, field in episodes.task.fields.items() if field.type == "image"), None)
    if name is None:
        return []
    steps = [0]
    for step in np.argsort(-np.nan_to_num(timeline.uncertainty, nan=-np.inf), kind="stable").tolist():
        if len(steps) == MAX_FRAMES:
            break
        if min(abs(step - other) for other in steps) >= FRAME_GAP:
            steps.append(step)
    chosen = np.array(sorted(steps))
    images = episodes.read_field(episode, chosen, name)
    return [Frame(step, image, step in timeline.targets) for step, image in zip(chosen.tolist(), images, strict=True)]


def _select(
    model: MemUP, episodes: EpisodeSplit, episode: int, by_cluster: bool, trained: TargetStore
) -> tuple[FloatArray, npt.NDArray[np.bool_], IntArray]:
    """Return the uncertainty and evaluation flag of every step, and the targets selected at the episode's beginning."""
    table, device = trained.empty(1), model.device
    collector = table.collect(np.zeros(1, np.int64), device)
    state, scores, eval_mask = None, [], []
    for chunk in episodes.chunks(np.array([episode]), lanes=1):
        moved = chunk.to(device)
        u, state = model.score(moved, state)
        position = moved.start[:, None] + torch.arange(chunk.num_steps, device=device)
        clusters = model.assign_clusters(moved) if by_cluster and model.has_clusters() else None
        if clusters is not None or not by_cluster:  # before the first selection there are no clusters
            collector.extend(u, position, moved.has_outcome, clusters)
        there = chunk.valid[0]
        scores.append(u.masked_fill(~moved.has_outcome, torch.nan).cpu()[0, there].double().numpy())
        eval_mask.append(chunk.eval_mask[0, there].numpy())
    collector.finish()
    targets = table.select(np.zeros(1, np.int64), np.zeros(1, np.int64))[0]
    targets = np.unique(targets[targets != NOWHERE]) if table.num_refreshes else np.zeros(0, np.int64)
    return np.concatenate(scores), np.concatenate(eval_mask), targets


def follow_outcomes(
    model: MemoryTask, episodes: EpisodeSplit, episode: int, positions: IntArray, length: int
) -> list[Predictions]:
    """Predict the outcomes of some steps of an episode from the memory state of every step before.

    Args:
        model: a trained model, MemUP or a baseline.
        episodes: of a split.
        episode: its number.
        positions: the steps, in rising order.
        length: steps of the episode.
    """
    steps, type_ = episodes.steps_at(np.array([episode]), positions[None]), _outcome_type(episodes)
    values = []
    for chunk, memory in model.play(episodes.chunks(np.array([episode]), lanes=1)):
        time = int(chunk.start[0]) + np.arange(chunk.num_steps)
        distance = torch.from_numpy((positions[:, None] - time).clip(0))[None]
        found = model.compare(steps, memory[:, None], distance)  # [1, K, T]
        values.append(_as_numbers(found, found.with_memory, type_)[0].cpu().double().numpy())
    series = np.concatenate(values, axis=1)[:, :length]
    series[np.arange(length) > positions[:, None]] = np.nan
    local = found.without_memory
    without = _as_numbers(found, local, type_)
    return [
        Predictions(
            step=int(step),
            with_memory=series[k],
            without_memory=float(without[0, k, 0]),
            spread=None if local.std is None else float(local.std[0, k, 0]),
            truth=float(steps.outcome[0, k]) if type_ == "number" else None,
        )
        for k, step in enumerate(positions)
    ]


def _as_numbers(found: Comparison, shown: OutcomePrediction, type_: OutcomeType) -> Tensor:
    """Return one number for each of the predictions that are shown, ``[1, K, T]``."""
    if type_ == "class":
        return (-shown.nll / BITS_PER_NAT).exp()
    return shown.value.reshape(shown.nll.shape) if type_ == "number" else found.without_memory.nll - shown.nll


def _outcome_type(episodes: EpisodeSplit) -> OutcomeType:
    field = episodes.task.outcome
    if field.type == "token":
        return "class"
    return "number" if prod(field.shape) == 1 else "vector"
