"""A task whose outcome is known from its cue, and a memory that keeps the cue for so many steps: nothing is learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import EpisodeDataModule
from memup_lightning.models.memory import Memory, State
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Split

FIELDS = {
    "see": FieldSpec(dtype="int64", type="token", classes=3),
    "place": FieldSpec(dtype="float32"),
    OUTCOME: FieldSpec(dtype="int64", type="token", classes=2),
    HAS_OUTCOME: FieldSpec(dtype="bool"),
    EVAL_MASK: FieldSpec(dtype="bool"),
}


class CueData(EpisodeDataModule):
    """Episodes with one cue of two, and one outcome at their end: which cue it was.

    Args:
        length: steps of an episode.
        cue_at: step of the cue.
        shown: whether the cue is shown; else the outcome is a coin toss.
        revealed: whether the last step shows the outcome too: no memory is needed.
        judged: steps at the end of an episode that have an outcome.
        marked: whether the data mark the steps with an outcome.
        num_train, num_val: episodes of each split.
        noise: whether every step shows a number of its own, by which an episode can be memorized.
    """

    def __init__(
        self,
        length: int = 40,
        cue_at: int = 0,
        shown: bool = True,
        revealed: bool = False,
        judged: Sequence[int] = (),
        marked: bool = True,
        num_train: int = 64,
        num_val: int = 64,
        noise: bool = False,
        **given: Any,
    ) -> None:
        super().__init__(**{"lanes": 16, "chunk_length": 10, "seed": 1, "selector": TopK(1)} | given)
        self.length, self.cue_at, self.shown, self.revealed = length, cue_at, shown, revealed
        self.judged, self.marked, self.noise = list(judged) or [length - 1], marked, noise
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_val}

    @property
    def task(self) -> TaskSpec:
        inputs = {"see": 0, "place": 0}
        fields = {name: FIELDS[name] for name in inputs}
        context = ("see", "place") if self.revealed else ("place",)
        return TaskSpec(fields, inputs=inputs, context=context, outcome=FIELDS[OUTCOME])

    def episodes(self, split: Split) -> EpisodeSource:
        number, length = self.num_episodes[split], self.length
        draw = np.random.default_rng(self.split_seed(split))
        cue = draw.permutation(np.arange(number) % 2)
        arrays = {name: np.zeros((number, length), FIELDS[name].dtype) for name in FIELDS}
        if self.shown:
            arrays["see"][:, self.cue_at] = cue + 1
        if self.revealed:
            arrays["see"][:, self.judged] = cue[:, None] + 1
        arrays["place"][:, self.judged] = 1
        if self.noise:
            arrays["place"] += 0.3 * draw.standard_normal((number, length)).astype(np.float32)
        arrays[OUTCOME][:] = cue[:, None]
        arrays[HAS_OUTCOME][:, self.judged] = True
        arrays[EVAL_MASK][:, self.judged] = True
        names = [name for name in FIELDS if self.marked or name != EVAL_MASK]
        flat = {name: arrays[name].reshape(number * length) for name in names}
        return ArrayEpisodes(flat, [length] * number, {name: FIELDS[name] for name in names})


class CueEncoder(nn.Module):
    """The cue of each step, one-hot."""

    output_size = 2

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        super().__init__()

    def forward(self, fields: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.one_hot(fields["see"].clamp(min=0), 3)[..., 1:].float()


class KeepingMemory(Memory):
    """Keeps the last cue for so many steps after it was seen.

    Args:
        input_size: 2.
        steps: how long.
    """

    output_size = 2

    def __init__(self, input_size: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.device = nn.Parameter(torch.zeros(1))

    def initial_state(self, lanes: int) -> State:
        return torch.zeros(lanes, 2), torch.full((lanes,), 10**6)

    def scan(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        cue, age = state
        out = []
        for step in x.unbind(1):
            seen = step.any(-1)
            cue, age = torch.where(seen[:, None], step, cue), torch.where(seen, 0, age + 1)
            out.append(cue * (age <= self.steps)[:, None])
        return torch.stack(out, 1), (cue, age)


class CuePredictor(nn.Module):
    """Predicts the cue that the memory holds, for certain."""

    def __init__(self, context_size: int, memory_size: int, num_parameters: int) -> None:
        super().__init__()

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        return 30 * memory.expand(*torch.broadcast_shapes(context.shape[:-1], memory.shape[:-1]), 2)


class FlatPredictor(LocalPredictor):
    """Knows nothing: one bit is uncertain everywhere."""

    def forward(self, context: Mapping[str, Tensor]) -> Tensor:
        return 0 * super().forward(dict(context))


def keeping_model(task: TaskSpec, steps: int) -> MemUP:
    """A MemUP whose memory keeps the cue for so many steps."""
    return MemUP(
        task,
        memory=partial(KeepingMemory, steps=steps),
        predictor=CuePredictor,  # type: ignore[arg-type]
        encoder=CueEncoder,  # type: ignore[arg-type]
        local=FlatPredictor,
    )
