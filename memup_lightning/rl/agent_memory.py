"""Memories of an agent: none, one that MemUP trained and that stays fixed, or one that learns with the policy."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jsonargparse.typing import register_type
from torch import Tensor, nn

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.ema import update_ema
from memup_lightning.models.memory import Memory, State, make_memory
from memup_lightning.modules.loading import build_module, load_memory
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.networks.factories import EncoderCallable, MemoryCallable
from memup_lightning.rl.memory_inputs import describe_inputs
from memup_lightning.rl.rollouts.unroll import unroll
from memup_lightning.specs import TaskSpec

_BUILT_PREFIX = "built:"  # of the hyperparameters of a frozen memory, which a checkpoint holds in place of a path


class MemoryPath(str):
    """Path of a checkpoint of MemUP, or of a folder with runs.

    The command line takes a text that ends in ``.ckpt``, contains a slash or names an existing file for a path, and any
    other text for the name of a class.
    """

    @classmethod
    def read(cls, text: Any) -> MemoryPath:
        if not isinstance(text, str) or not (
            text.startswith(_BUILT_PREFIX) or text.endswith(".ckpt") or os.sep in text or Path(text).exists()
        ):
            raise ValueError(f"{text}: not the path of a checkpoint or folder")
        return cls(text)


register_type(MemoryPath, serializer=lambda x: str(MemoryPath.read(x)), deserializer=MemoryPath.read)

MemoryChoice: TypeAlias = MemoryPath | Callable[[int], Memory] | Callable[[int], nn.Module] | None
"""A checkpoint of MemUP; or ``(input_size) -> core``, which learns with the policy; or None."""


class AgentMemory(nn.Module, ABC):
    """Base class of an agent's memories.

    Attributes:
        output_size: size of m_t.
        learns: whether the policy's loss trains it. Then updates run on sequences, and the inputs of every step are
            recorded; else m_t is computed once, when the step is played, and updates run on single steps.
        reads_raw: whether it reads observations without normalisation, because it was trained on them.
        can_predict_outcomes: whether it predicts the outcome of each action from the present step alone.
    """

    output_size: int
    learns: bool
    reads_raw = False
    can_predict_outcomes = False

    @property
    def text(self) -> str | None:
        """Text that a checkpoint holds in place of a path, to build the memory without its own checkpoint."""
        return None

    @abstractmethod
    def initial_state(self, envs: int) -> State:
        """Return the state at the beginning of an episode."""

    @abstractmethod
    def forward(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        """Take one step in every environment: inputs ``[N, ...]`` to m ``[N, output_size]``, and the state after it."""

    def encode_batch(self, inputs: Fields, batch: Mapping[str, Any]) -> Tensor:
        """Return m of every step of a minibatch, ``[rows, ..., output_size]``, recorded or computed again with its graph.

        Args:
            inputs: of its steps, each field ``[rows, ...]``.
            batch: the minibatch.
        """
        recorded: Tensor = batch["memory"]
        return recorded

    def predict_outcomes(self, inputs: Fields, memory: Tensor) -> Tensor:
        """Return the outcome that the memory predicts for each action, ``[N, actions, *shape]``.

        Args:
            inputs: of this step, each field ``[N, ...]``.
            memory: m of this step, ``[N, output_size]``.

        Raises:
            MemUPError: see :attr:`can_predict_outcomes`.
        """
        raise MemUPError(
            "only an agent with a MemUP memory of rewards, a context window of 1 and one Discrete action predicts the "
            "outcome of each action"
        )


class NoMemory(AgentMemory):
    """No memory: the policy reads the present observation alone."""

    output_size = 0
    learns = False

    def initial_state(self, envs: int) -> State:
        return ()

    def forward(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        return torch.zeros(len(is_first), 0, device=is_first.device), state


class RecurrentMemory(AgentMemory):
    """Memory of an encoder and a recurrent core.

    Args:
        encoder: of the core's inputs.
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
    """Memory that learns with the policy, by backpropagation through the rollout.

    Args:
        task: its inputs.
        encoder: ``(fields) -> encoder``.
        core: ``(input_size) -> core``.
    """

    learns = True

    def __init__(self, task: TaskSpec, encoder: EncoderCallable, core: MemoryCallable) -> None:
        features = encoder(task.input_fields)
        built, _ = make_memory(core, features.output_size)
        super().__init__(features, built)

    def encode_batch(self, inputs: Fields, batch: Mapping[str, Any]) -> Tensor:
        return unroll(self.core, self.encoder(inputs), batch["state"], batch["is_first"])


class FrozenMemory(RecurrentMemory):
    """Memory that MemUP trained: encoder, core and predictor of outcomes, with fixed weights.

    Args:
        module: its own parts are used, not copies.
    """

    learns = False
    reads_raw = True

    def __init__(self, module: MemoryTask) -> None:
        super().__init__(module.encoder, module.memory)
        self.task = module.task
        action = self.task.fields.get("action") if "action" in self.task.context else None  # where it is no outcome
        self.can_predict_outcomes = (
            action is not None and self.task.window == 1 and action.type == "token" and not action.shape
        )
        self.hyperparameters = dict(module.hparams)
        self.outcome, self.context_encoder, self.predictor = module.outcome, module.context_encoder, module.predictor
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> FrozenMemory:
        super().train(False)  # dropout would change what the policy reads
        return self

    def update_ema(self, module: MemoryTask, ema_decay: float) -> None:
        """Move the weights towards those of a memory that learns (exponential moving average).

        Args:
            module: of the same parts.
            ema_decay: decay of the average.
        """
        copies = self.encoder, self.core, self.context_encoder, self.predictor
        learners = module.encoder, module.memory, module.context_encoder, module.predictor
        update_ema(copies, learners, ema_decay)

    @property
    def text(self) -> str:
        """Hyperparameters of the memory, for a checkpoint that holds its weights: see :func:`frozen_memory`."""
        return _BUILT_PREFIX + json.dumps(self.hyperparameters, separators=(",", ":"))

    def predict_outcomes(self, inputs: Fields, memory: Tensor) -> Tensor:
        if not self.can_predict_outcomes:
            return super().predict_outcomes(inputs, memory)
        context = {name: inputs[name].unsqueeze(1) for name in self.task.context if name != "action"}
        count = self.task.fields["action"].classes
        actions = torch.arange(count, device=memory.device)[:, None].expand(count, len(memory))
        outcomes = [self._predict({**context, "action": action.unsqueeze(1)}, memory) for action in actions]
        return torch.stack(outcomes, 1)

    def _predict(self, context: Fields, memory: Tensor) -> Tensor:
        """Predict the outcome of a step from its local context (fields ``[N, W, *shape]``) and m ``[N, output_size]``."""
        return self.outcome.predict(self.predictor(self.context_encoder(context), memory))


def agent_memory(memory: MemoryChoice | MemoryTask, task: TaskSpec, encoder: EncoderCallable) -> AgentMemory:
    """Make the memory of an agent.

    Args:
        memory: see :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`.
        task: of the agent.
        encoder: ``(fields) -> encoder`` of the inputs of a core that learns.

    Raises:
        MemUPError: a memory that cannot be loaded, reads other inputs, or breaks its contract.
    """
    if memory is None:
        return NoMemory()
    if isinstance(memory, MemoryTask):
        return FrozenMemory(memory)
    if isinstance(memory, str):
        return frozen_memory(memory, task)
    return LearnedMemory(task, encoder, memory)


def frozen_memory(source: str, task: TaskSpec) -> FrozenMemory:
    """Load the memory of a checkpoint of MemUP.

    Args:
        source: path of the checkpoint, or of a folder with runs, whose newest is taken; or :attr:`FrozenMemory.text`, whose
            weights are loaded later.
        task: of the agent.

    Raises:
        MemUPError: no such checkpoint, one that cannot be built again, or one that reads other inputs.
    """
    if source.startswith(_BUILT_PREFIX):
        hyperparameters = json.loads(source.removeprefix(_BUILT_PREFIX))
        module = build_module(MemoryTask, hyperparameters, "the memory of the agent")
    else:
        module = load_memory(source)
    memory = FrozenMemory(module)
    given, read = (describe_inputs(x) for x in (task, memory.task))
    if given != read:
        raise MemUPError(
            f"the memory of {source[:200]} reads {read}, but this agent's environment gives {given}; "
            "train the memory on episodes of the same environment, with the same `observed`"
        )
    return memory
