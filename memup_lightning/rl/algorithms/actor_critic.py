"""ActorCritic: base class of agents: acting, minibatches of rollouts, evaluation by whole episodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict

import torch
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor
from torch.distributions import Distribution

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError, check_at_least
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.modules.evaluation.hooks import EvaluationHooks
from memup_lightning.modules.losses import FiniteLoss
from memup_lightning.modules.networks.factories import EncoderCallable
from memup_lightning.modules.optimization.optimizers import OptimizerCallable, adam
from memup_lightning.protocols import Actor, ActorOutput, RolloutSource
from memup_lightning.rl.agent_memory import MemoryChoice, agent_memory
from memup_lightning.rl.episode_metrics import EpisodeMetrics
from memup_lightning.rl.greedy_actor import GreedyActor
from memup_lightning.rl.networks import Heads, RunningNormalizer
from memup_lightning.rl.rollouts.rollout import Rollout
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import State

HeadsCallable: TypeAlias = Callable[[int, FieldSpec], Heads]
RolloutBatch: TypeAlias = dict[str, Any]
"""Rows of a rollout, the row dimension first in every tensor: single steps ``[rows, ...]`` or sequences
``[rows, steps, ...]``. ``state`` may be a nested tuple."""

INPUT = "input."  # prefix of the inputs of a step in a record


class AgentOptions(TypedDict, total=False):
    """Arguments of :class:`ActorCritic` but the task, which each of its subclasses takes as well."""

    memory: MemoryChoice
    heads: HeadsCallable
    encoder: EncoderCallable
    observation_encoder: EncoderCallable
    normalize_observations: bool
    gamma: float
    vf_coef: float
    ent_coef: float
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None


class ActorCritic(EvaluationHooks):
    """Base class of agents: policy and value on m_t and the encoded observation; a subclass defines the losses.

    Args:
        task: specification of the environment; the command line takes it from the datamodule.
        memory: path of a checkpoint of MemUP: its memory is used without further training; or a core (``LSTM``, a class
            path), which learns with the policy by backpropagation through the rollout; or null: the policy reads the
            present observation alone. In Python also a :class:`~memup_lightning.modules.MemoryTask`.
        heads: ``(feature_size, action) -> policy and value``.
        encoder: ``(fields) -> encoder`` of the inputs of a core that learns.
        observation_encoder: ``(fields) -> encoder`` of the present observation.
        normalize_observations: whether numbers in observations are brought to mean 0 and standard deviation 1, by all
            training observations so far. A frozen memory reads them without it.
        gamma: discount factor.
        vf_coef: weight of the value loss.
        ent_coef: weight of the entropy bonus.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update.

    Raises:
        MemUPError: a memory that cannot be loaded, reads other inputs, or breaks its contract; ``gamma`` out of range, a
            negative weight.
    """

    needs_sequences = False
    """Whether the algorithm learns from sequences, whatever the memory."""

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        memory: MemoryChoice = None,
        heads: HeadsCallable = Heads,
        encoder: EncoderCallable = StepEncoder,
        observation_encoder: EncoderCallable = StepEncoder,
        normalize_observations: bool = False,
        gamma: float = 0.99,
        vf_coef: float = 0.5,
        ent_coef: float = 0.01,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(task, optimizer, lr_scheduler)
        if not 0 <= gamma <= 1:
            raise MemUPError(f"gamma={gamma}: must be between 0 and 1")
        check_at_least(0, vf_coef=vf_coef, ent_coef=ent_coef)
        self.memory = agent_memory(memory, self.task, encoder)
        if isinstance(memory, str):
            self.hparams["memory"] = self.memory.text  # the agent's checkpoint no longer needs that of the memory
        self.observation_fields = {
            name: field for name, field in self.task.input_fields.items() if self.task.inputs[name] == 0
        }
        self.normalizer = RunningNormalizer(self.observation_fields) if normalize_observations else None
        self.observation_encoder = observation_encoder(self.observation_fields)
        size = self.observation_encoder.output_size + self.memory.output_size
        self.heads = heads(size, self.task.fields["action"])
        self.gamma, self.vf_coef, self.ent_coef = gamma, vf_coef, ent_coef
        self.episode_metrics = EpisodeMetrics()
        self._finite_loss = FiniteLoss()

    def setup(self, stage: str) -> None:
        self._source()  # refuses other datamodules

    def _source(self) -> RolloutSource:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, RolloutSource):
            raise MemUPError(
                f"{type(self).__name__} learns from episodes that it plays itself; give it a RolloutDataModule, not "
                f"{type(data).__name__}"
            )
        return data

    @abstractmethod
    def compute_advantages(self, rollout: Rollout) -> dict[str, Tensor]:
        """Compute what :meth:`losses` needs of every step in addition to the record, each ``[T, N]``."""

    @abstractmethod
    def losses(self, batch: RolloutBatch, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
        """Compute the loss terms of a minibatch.

        Args:
            batch: some of the rows of :meth:`make_batches`.
            policy: the present policy at each of their steps, over ``[rows]`` or ``[rows, steps]``.
            value: the present value, of the same shape.

        Returns:
            Scalars by name; their sum is minimised.
        """

    def initial_state(self, envs: int) -> State:
        """Return the memory's state at the beginning of episodes, for each of some environments."""
        return self.memory.initial_state(envs)

    def encode_memory(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Fields, Tensor, State]:
        """Return the inputs as the policy reads them, m_t ``[N, output_size]``, and the state after the step."""
        normalized = inputs if self.normalizer is None else self.normalizer(inputs)
        memory, state = self.memory(inputs if self.memory.reads_raw else normalized, state, is_first)
        return normalized, memory, state

    @torch.no_grad()
    def act(self, inputs: Fields, state: State, is_first: Tensor, greedy: bool = False) -> ActorOutput:
        """Choose an action for every environment; see :class:`~memup_lightning.protocols.Actor`.

        Args:
            inputs: inputs of a memory at this step, each field ``[N, ...]``.
            state: state before the step.
            is_first: environments whose episode begins, bool ``[N]``.
            greedy: take the most probable action instead of drawing one.
        """
        inputs, memory, state = self.encode_memory(inputs, state, is_first)
        policy, value = self.decide(inputs, memory)
        action = policy.mode if greedy else policy.sample()
        record = {"action": action, "log_prob": policy.log_prob(action), "value": value}
        recorded = self.task.inputs if self.memory.learns else self.observation_fields
        record |= {INPUT + name: inputs[name] for name in recorded}
        if not self.memory.learns:
            record["memory"] = memory
        return ActorOutput(action, record, state)

    def greedy_actor(self) -> Actor:
        """Return an actor that takes the most probable actions."""
        return GreedyActor(self)

    @torch.no_grad()
    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        """Compute the value of states of the environments.

        Args:
            inputs: what the memory reads at this step, each field ``[N, ...]``.
            state: the memory's, before this step.
            is_first: environments that begin an episode, bool ``[N]``.

        Returns:
            ``[N]``.
        """
        inputs, memory, _ = self.encode_memory(inputs, state, is_first)
        return self.decide(inputs, memory)[1]

    def decide(self, inputs: Fields, memory: Tensor) -> tuple[Distribution, Tensor]:
        """Compute policy and value ``[...]`` from the results of :meth:`encode_memory`, of one step or of sequences."""
        features = self.observation_encoder({name: inputs[name] for name in self.observation_fields})
        policy, value = self.heads(torch.cat([features, memory.to(features.dtype)], -1))
        return policy, value

    def make_batches(self, rollout: Rollout) -> RolloutBatch:
        """Return the rows of a rollout from which minibatches are drawn: its steps, or the sequences of its environments.

        ``valid`` says which steps count, so that a long rollout need not be copied.
        """
        record = {name: x for name, x in rollout.record.items() if name != "value"} | self.compute_advantages(rollout)
        record["valid"] = rollout.valid
        if self.normalizer is not None:
            self.normalizer.update({name: record[INPUT + name][rollout.valid] for name in self.observation_fields})
        if not (self.memory.learns or self.needs_sequences):
            return {name: x.flatten(0, 1) for name, x in record.items()}
        record["is_first"] = rollout.is_first
        batch: RolloutBatch = {name: x.transpose(0, 1) for name, x in record.items()}
        return batch | {"state": rollout.state} if self.memory.learns else batch

    def evaluate_batch(self, batch: RolloutBatch) -> tuple[Distribution, Tensor]:
        """Return the present policy and value at the steps of a minibatch, with their graph."""
        inputs = {name.removeprefix(INPUT): x for name, x in batch.items() if name.startswith(INPUT)}
        return self.decide(inputs, self.memory.encode_batch(inputs, batch))

    def training_step(self, batch: RolloutBatch, batch_idx: int) -> dict[str, Tensor]:
        policy, value = self.evaluate_batch(batch)
        losses = self.losses(batch, policy, value)
        self._finite_loss.add(losses, self.global_step)
        out = self.sum_losses(losses)
        if self.is_log_step:
            self._finite_loss.check(self.global_step)
            size = len(batch["action"])
            self.log_dict({f"train/{name}": x for name, x in out.items()}, batch_size=size)
            self.log_dict({f"train/{name}": x for name, x in self.diagnostics(batch, policy).items()}, batch_size=size)
            self._log_progress(self._source().training_progress())
        return out

    def _log_progress(self, progress: dict[str, float]) -> None:
        self.log_dict({f"train/{name}": float(x) for name, x in progress.items()}, batch_size=1)
        shown = {name: float(x) for name, x in progress.items() if name in ("return", "success")}
        self.log_dict(shown, prog_bar=True, logger=False, batch_size=1)

    def diagnostics(self, batch: RolloutBatch, policy: Distribution) -> dict[str, Tensor]:
        """Compute more values to log, computed at logging steps only."""
        return {}

    def on_train_end(self) -> None:
        self._finite_loss.check(self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._finite_loss.check(self.global_step)  # the last good checkpoint is not replaced
        super().on_save_checkpoint(checkpoint)

    def end_evaluation(self, stage: str) -> None:
        for name, x in self.episode_metrics.means().items():
            self.log(f"{stage}/{name}", x, prog_bar=stage == "val" and name != "length")
        if stage == "test":
            for name, (low, high) in self.episode_metrics.intervals().items():
                self.log_dict({f"test/{name}_low": low, f"test/{name}_high": high})
            self.print(self.episode_metrics.summary())

    def start_evaluation(self) -> None:
        self.episode_metrics.reset()

    def evaluate(self, episodes: dict[str, Tensor]) -> None:
        self.episode_metrics.update(episodes)

    def predict_step(self, episodes: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """Return the episodes: number, return, length, and success where it is defined; one row each."""
        return episodes
