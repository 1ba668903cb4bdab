"""The memory of an agent: none, one that MemUP trained and that stays as it is, or one that learns with the policy."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jsonargparse.typing import register_type
from torch import Tensor, nn

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.ema import update_ema
from memup_lightning.models.memory import Memory, State, check_memory, take
from memup_lightning.modules.loading import build_module, load_module
from memup_lightning.modules.memory_task import EncoderCallable, MemoryCallable, MemoryTask
from memup_lightning.runs.checkpoints import newest_checkpoint
from memup_lightning.specs import TaskSpec

_PADDED = 4  # times the steps that there are, at most, a core may be run over to run once
_BUILT = "built:"  # before what a frozen memory is built from, where else a path stands


class MemoryPath(str):
    """Path of a checkpoint of MemUP, or of a folder with runs.

    The command line must tell a path from the name of a class: it is what ends in ``.ckpt``, has a slash, or is there.
    """

    @classmethod
    def read(cls, text: Any) -> MemoryPath:
        is_path = isinstance(text, str) and (text.startswith(_BUILT) or text.endswith(".ckpt") or os.sep in text)
        if not is_path and not (isinstance(text, str) and Path(text).exists()):
            raise ValueError(f"{text}: no path of a checkpoint or folder")
        return cls(text)


register_type(MemoryPath, serializer=lambda x: str(MemoryPath.read(x)), deserializer=MemoryPath.read)

MemoryChoice: TypeAlias = MemoryPath | Callable[[int], Memory] | Callable[[int], nn.Module] | None
"""A checkpoint of MemUP; or ``(input_size) -> core``, which learns with the policy; or None."""


class AgentMemory(nn.Module, ABC):
    """What an agent carries from step to step.

    Attributes:
        output_size: size of m_t.
        learns: whether the policy's loss trains it. Then updates run on sequences, and the inputs of every step are kept;
            else m_t is computed once, when the step is played, and updates run on single steps.
    """

    output_size: int
    learns: bool

    @abstractmethod
    def initial_state(self, envs: int) -> State:
        """State at the beginning of an episode."""

    @abstractmethod
    def forward(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        """One step of every environment: inputs ``[N, ...]`` to m ``[N, output_size]``, and the state behind it."""


class NoMemory(AgentMemory):
    """The agent sees the present observation alone."""

    output_size = 0
    learns = False

    def initial_state(self, envs: int) -> State:
        return ()

    def forward(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        return torch.zeros(len(is_first), 0, device=is_first.device), state


class RecurrentMemory(AgentMemory):
    """An encoder and a recurrent core.

    Args:
        encoder: of what the core reads.
        core: see :class:`~memup_lightning.models.memory.Memory`.
    """

    def __init__(self, encoder: nn.Module, core: Any) -> None:
        super().__init__()
        self.encoder, self.core = encoder, core
        self.output_size = int(core.output_size)

    def initial_state(self, envs: int) -> State:
        state: State = self.core.initial_state(envs)
        return state

    def forward(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        out, state = self.core(self.encoder(inputs).unsqueeze(1), state, is_first)
        return out.squeeze(1), state


class LearnedMemory(RecurrentMemory):
    """A core that learns with the policy, by backpropagation through the rollout.

    Args:
        task: what it reads.
        encoder: ``(fields) -> encoder``.
        core: ``(input_size) -> core``.
    """

    learns = True

    def __init__(self, task: TaskSpec, encoder: EncoderCallable, core: MemoryCallable) -> None:
        features = encoder(task.input_fields)
        made = core(features.output_size)
        check_memory(made, features.output_size)
        super().__init__(features, made)

    def unroll(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        """m of every step of some sequences, with its graph.

        Args:
            inputs: each field ``[rows, steps, ...]``.
            state: state before the first step of each row.
            is_first: where an episode begins, bool ``[rows, steps]``.

        Returns:
            ``[rows, steps, output_size]``.
        """
        return unroll(self.core, self.encoder(inputs), state, is_first)


class FrozenMemory(RecurrentMemory):
    """What MemUP trained: encoder and core, and the predictor that says what will come of an action. None of it learns.

    Args:
        module: taken apart; its own parts are used, not copies.
    """

    learns = False

    def __init__(self, module: MemoryTask) -> None:
        super().__init__(module.encoder, module.memory)
        self.task = module.task
        self.built_from = dict(module.hparams)
        self.outcome, self.context_encoder, self.predictor = module.outcome, module.context_encoder, module.predictor
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenMemory:
        super().train(False)  # no dropout in what the policy reads, whatever the policy does
        return self

    def follow(self, module: MemoryTask, average: float) -> None:
        """Become the moving average of a memory that learns.

        Args:
            module: of the same parts.
            average: share that the weights keep of themselves.
        """
        ours = self.encoder, self.core, self.context_encoder, self.predictor
        theirs = module.encoder, module.memory, module.context_encoder, module.predictor
        update_ema(ours, theirs, average)

    @property
    def text(self) -> str:
        """What the memory is built from, for a checkpoint that holds its weights: see :func:`frozen_memory`."""
        return _BUILT + json.dumps(self.built_from, separators=(",", ":"))

    def predict_outcomes(self, context: Fields, memory: Tensor) -> Tensor:
        """The outcome that is expected of a step, ``[..., *shape]``.

        Args:
            context: the local context c, each field ``[..., W, *shape]``.
            memory: m, ``[..., output_size]``.
        """
        return self.outcome.predict(self.predictor(self.context_encoder(context), memory))


def frozen_memory(source: str, task: TaskSpec) -> FrozenMemory:
    """The memory of a checkpoint of MemUP.

    Args:
        source: path of the checkpoint, or of a folder with runs, whose newest is taken; or what :attr:`FrozenMemory.text`
            gave: then its weights are not known yet.
        task: of the agent.

    Raises:
        MemUPError: no such checkpoint, one that cannot be built again, or one that reads other inputs.
    """
    if source.startswith(_BUILT):
        module = build_module(MemoryTask, json.loads(source.removeprefix(_BUILT)), "the memory of the agent")  # type: ignore[type-abstract]
    else:
        module = _load(source)
    memory = FrozenMemory(module)
    ours, theirs = (_describe(x) for x in (task, memory.task))
    if ours != theirs:
        raise MemUPError(
            f"the memory of {source[:200]} reads {theirs}, this agent's environment gives {ours}; "
            "train the memory on episodes of the same environment, with the same `observed`"
        )
    return memory


def _load(path: str) -> MemoryTask:
    if Path(path).is_dir():
        path = str(newest_checkpoint(path))
    module, _ = load_module(path, MemoryTask)  # type: ignore[type-abstract]
    return module


def _describe(task: TaskSpec) -> str:
    def kind(name: str) -> str:
        field = task.fields[name]
        return f"{field.classes} classes" if field.type == "token" else f"{field.type} {list(field.shape)}"

    return ", ".join(f"{name} ({kind(name)}, lag {lag})" for name, lag in sorted(task.inputs.items()))


def unroll(core: Any, x: Tensor, state: State, is_first: Tensor) -> Tensor:
    """Run a core over sequences in which episodes begin anywhere.

    Each stretch of an episode becomes a row of its own, so that the core runs once, whatever begins where. Where one long
    stretch would have many short ones padded to its length, the core runs once for each power of two of their lengths.

    Args:
        core: see :class:`~memup_lightning.models.memory.Memory`.
        x: ``[rows, steps, features]``.
        state: state before the first step of each row.
        is_first: where an episode begins, bool ``[rows, steps]``.

    Returns:
        m of every step, ``[rows, steps, output_size]``.
    """
    if not is_first[:, 1:].any():
        out: Tensor = core(x, state, is_first[:, 0])[0]
        return out
    begins = is_first.clone()
    begins[:, 0] = True
    row, start = begins.nonzero(as_tuple=True)
    steps = x.shape[1]
    stretch = begins.flatten().cumsum(0).view_as(begins) - 1  # the number of each step's stretch
    place = torch.arange(steps, device=x.device) - start[stretch]
    lengths = stretch.flatten().bincount().tolist()
    padded = len(lengths) * max(lengths)
    together = [(length - 1).bit_length() if padded > _PADDED * is_first.numel() else 0 for length in lengths]
    found, offset, rows = [], torch.zeros_like(row), 0  # what the core put out, and where each stretch begins in it
    for size in sorted(set(together)):
        numbers = [number for number, its in enumerate(together) if its == size]
        longest = max(lengths[number] for number in numbers)
        chosen = torch.tensor(numbers, device=x.device)
        at = (start[chosen, None] + torch.arange(longest, device=x.device)).clamp(max=steps - 1)
        of = row[chosen]
        out = core(x[of[:, None], at], take(state, of), is_first[of, start[chosen]])[0]
        offset[chosen] = rows + longest * torch.arange(len(chosen), device=x.device)
        rows += out.shape[0] * longest
        found.append(out.flatten(0, 1))
    return torch.cat(found)[offset[stretch] + place]
