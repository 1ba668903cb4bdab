"""What every agent shares: it acts from its memory and what it sees, is judged by the episodes it plays, and resumes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import torch
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor
from torch.distributions import Distribution
from torchmetrics import CatMetric

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.memory import State
from memup_lightning.modules.base import BaseTask, OptimizerCallable, adam
from memup_lightning.modules.memory_task import EncoderCallable, MemoryTask
from memup_lightning.rl.agent_memory import (
    FrozenMemory,
    LearnedMemory,
    MemoryChoice,
    NoMemory,
    frozen_memory,
)
from memup_lightning.rl.networks import Heads, RunningNormalizer
from memup_lightning.rl.rollouts import ActorOutput, Rollout
from memup_lightning.runs.statistics import mean_interval, share_interval
from memup_lightning.specs import FieldSpec, TaskSpec

HeadsCallable: TypeAlias = Callable[[int, FieldSpec], Heads]
RolloutBatch: TypeAlias = dict[str, Any]
"""What is learned from, the rows first in every tensor: single steps ``[rows, ...]`` or sequences ``[rows, steps, ...]``.
``state`` may be a nested tuple."""

INPUT = "input."  # of the names under which the inputs of a step are kept


class ActorCritic(BaseTask):
    """Policy and value on m_t and the encoded observation. How they learn from a rollout, a subclass says.

    Args:
        task: what the environment gives; the command line takes it from the datamodule.
        memory: path of a checkpoint of MemUP: its memory is used as it is; or a core (``LSTM``, a class path), which learns
            with the policy by backpropagation through the rollout; or null: the present observation must do. In Python
            also a :class:`~memup_lightning.modules.MemoryTask`.
        heads: ``(feature_size, action) -> policy and value``.
        encoder: ``(fields) -> encoder`` of what a core that learns reads.
        observation_encoder: ``(fields) -> encoder`` of the present observation.
        normalize_observations: whether numbers in observations are brought to mean 0 and standard deviation 1, by what was
            seen in training. A frozen memory reads them as they are.
        discount: gamma.
        vf_coef: weight of the value's loss.
        ent_coef: weight of the entropy's bonus.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update.

    Raises:
        MemUPError: a memory that cannot be loaded, reads other inputs, or breaks its contract.
    """

    sequences = False
    """Whether the algorithm learns from sequences, whatever the memory."""

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        memory: MemoryChoice = None,
        heads: HeadsCallable = Heads,
        encoder: EncoderCallable = StepEncoder,
        observation_encoder: EncoderCallable = StepEncoder,
        normalize_observations: bool = False,
        discount: float = 0.99,
        vf_coef: float = 0.5,
        ent_coef: float = 0.01,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(task, optimizer, lr_scheduler)
        task = self.task
        if not 0 <= discount <= 1:
            raise MemUPError(f"discount={discount}: must be between 0 and 1")
        self.memory: NoMemory | FrozenMemory | LearnedMemory
        if memory is None:
            self.memory = NoMemory()
        elif isinstance(memory, MemoryTask):
            self.memory = FrozenMemory(memory)
        elif isinstance(memory, str):
            self.memory = frozen_memory(memory, task)
            self.hparams["memory"] = self.memory.text  # the agent's checkpoint needs the memory's no more
        else:
            self.memory = LearnedMemory(task, encoder, memory)
        self.seen = {name: field for name, field in task.input_fields.items() if task.inputs[name] == 0}
        self.normalizer = RunningNormalizer(self.seen) if normalize_observations else None
        self.observation_encoder = observation_encoder(self.seen)
        size = self.observation_encoder.output_size + self.memory.output_size
        self.heads = heads(size, task.fields["action"])
        self.discount, self.vf_coef, self.ent_coef = discount, vf_coef, ent_coef
        self.returns, self.lengths, self.successes = CatMetric(), CatMetric(), CatMetric()

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if not hasattr(data, "play"):
            raise MemUPError(
                f"{type(self).__name__} learns from episodes that it plays itself; give it a RolloutDataModule, not "
                f"{type(data).__name__}"
            )

    @abstractmethod
    def compute_advantages(self, rollout: Rollout) -> dict[str, Tensor]:
        """What :meth:`losses` must know of every step beside what was recorded, each ``[T, N]``."""

    @abstractmethod
    def losses(self, rows: RolloutBatch, policy: Distribution, value: Tensor) -> dict[str, Tensor]:
        """The loss terms of a batch.

        Args:
            rows: some of the rows of :meth:`make_batches`.
            policy: the present policy at each of their steps, over ``[rows]`` or ``[rows, steps]``.
            value: the present value, likewise.

        Returns:
            Scalars by name; their sum is minimised.
        """

    def initial_state(self, envs: int) -> State:
        return self.memory.initial_state(envs)

    def encode_memory(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Fields, Tensor, State]:
        """The inputs as the policy reads them, m_t ``[N, output_size]``, and the state behind the step."""
        seen = inputs if self.normalizer is None else self.normalizer(inputs)
        raw = isinstance(self.memory, FrozenMemory)  # it was trained on observations as they are
        memory, state = self.memory(inputs if raw else seen, state, is_first)
        return seen, memory, state

    @torch.no_grad()
    def act(self, inputs: Fields, state: State, is_first: Tensor, greedy: bool = False) -> ActorOutput:
        """Choose an action for every environment; see :class:`~memup_lightning.rl.rollouts.Actor`.

        Args:
            inputs: what a memory reads at this step, each field ``[N, ...]``.
            state: state before the step.
            is_first: environments whose episode begins, bool ``[N]``.
            greedy: the most probable action, not one that is drawn.
        """
        seen, memory, state = self.encode_memory(inputs, state, is_first)
        policy, value = self.decide(seen, memory)
        action = policy.mode if greedy else policy.sample()
        record = {"action": action, "log_prob": policy.log_prob(action), "value": value}
        kept = self.task.inputs if self.memory.learns else self.seen
        record |= {INPUT + name: seen[name] for name in kept}
        if not self.memory.learns:
            record["memory"] = memory
        return ActorOutput(action, record, state)

    @torch.no_grad()
    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        seen, memory, _ = self.encode_memory(inputs, state, is_first)
        return self.decide(seen, memory)[1]

    def decide(self, seen: Fields, memory: Tensor) -> tuple[Distribution, Tensor]:
        """Policy and value ``[...]`` from what :meth:`encode_memory` returned, or from whole sequences of it."""
        features = self.observation_encoder({name: seen[name] for name in self.seen})
        policy, value = self.heads(torch.cat([features, memory], -1))
        return policy, value

    @property
    def can_predict_outcomes(self) -> bool:
        """Whether the memory predicts the outcome of each action from the present step alone."""
        field = self.task.fields["action"]
        one_choice = field.type == "token" and not field.shape
        return isinstance(self.memory, FrozenMemory) and self.memory.task.window == 1 and one_choice

    @torch.no_grad()
    def predict_outcomes(self, inputs: Fields, memory: Tensor) -> Tensor:
        """The outcome that a MemUP memory predicts of each action, ``[N, actions, *shape]``.

        Args:
            inputs: of this step, each field ``[N, ...]``.
            memory: m of this step, ``[N, output_size]``.

        Raises:
            MemUPError: see :attr:`believes`.
        """
        if not self.can_predict_outcomes:
            raise MemUPError(
                "only an agent with a MemUP memory, a context window of 1 and one Discrete action says what it expects of "
                "each action"
            )
        assert isinstance(self.memory, FrozenMemory)
        context = {name: inputs[name].unsqueeze(1) for name in self.memory.task.context if name != "action"}
        count = self.task.fields["action"].classes
        actions = torch.arange(count, device=memory.device)[:, None].expand(count, len(memory))
        every = [self.memory.predict_outcomes({**context, "action": action.unsqueeze(1)}, memory) for action in actions]
        return torch.stack(every, 1)

    def make_batches(self, rollout: Rollout) -> RolloutBatch:
        """The rows of a rollout from which batches are drawn: its steps, or its environments' sequences.

        ``valid`` says which steps count, so that a long rollout need not be copied.
        """
        record = {name: x for name, x in rollout.record.items() if name != "value"} | self.compute_advantages(rollout)
        record["valid"] = rollout.valid
        if self.normalizer is not None:
            self.normalizer.learn({name: record[INPUT + name][rollout.valid] for name in self.seen})
        if not (self.memory.learns or self.sequences):
            return {name: x.flatten(0, 1) for name, x in record.items()}
        record["is_first"] = rollout.is_first
        rows: RolloutBatch = {name: x.transpose(0, 1) for name, x in record.items()}
        return rows | {"state": rollout.state} if self.memory.learns else rows

    def training_step(self, rows: RolloutBatch, batch_idx: int) -> dict[str, Tensor]:
        seen = {name.removeprefix(INPUT): x for name, x in rows.items() if name.startswith(INPUT)}
        if isinstance(self.memory, LearnedMemory):
            memory = self.memory.unroll(seen, rows["state"], rows["is_first"])
        else:
            memory = rows["memory"]
        policy, value = self.decide(seen, memory)
        losses = self.losses(rows, policy, value)
        out = {name: loss.detach() for name, loss in losses.items()}
        out["loss"] = reduce(torch.add, losses.values())
        if self.is_log_step:
            size = len(rows["action"])
            self.log_dict({f"train/{name}": x for name, x in out.items()}, batch_size=size)
            self.log_dict({f"train/{name}": x for name, x in self.diagnostics(rows, policy).items()}, batch_size=size)
            progress = self.trainer.datamodule.progress  # type: ignore[attr-defined]
            self.log_dict({f"train/{name}": float(x) for name, x in progress.items()}, batch_size=1)
            shown = {name: float(x) for name, x in progress.items() if name in ("return", "success")}
            self.log_dict(shown, prog_bar=True, logger=False, batch_size=1)
        return out

    def diagnostics(self, rows: RolloutBatch, policy: Distribution) -> dict[str, Tensor]:
        """More to log, computed at logging steps only."""
        return {}

    def _start_evaluation(self) -> None:
        for metric in (self.returns, self.lengths, self.successes):
            metric.reset()

    def _evaluate(self, episodes: dict[str, Tensor]) -> None:
        self.returns.update(episodes["return"])
        self.lengths.update(episodes["length"])
        if "success" in episodes:
            self.successes.update(episodes["success"])

    def _end_evaluation(self, stage: str) -> None:
        returns, lengths, hits = (_all(metric) for metric in (self.returns, self.lengths, self.successes))
        found = {"return": float(returns.mean()), "length": float(lengths.mean())}
        if len(hits):
            found["success"] = float(hits.mean())
        for name, x in found.items():
            self.log(f"{stage}/{name}", x, prog_bar=stage == "val" and name != "length")
        if stage == "test":
            low, high = mean_interval(returns)
            self.log_dict({"test/return_low": low, "test/return_high": high})
            line = f"{len(returns)} episodes: return {found['return']:.2f}, 95% interval [{low:.2f}, {high:.2f}]"
            if len(hits):
                low, high = share_interval(hits)
                self.log_dict({"test/success_low": low, "test/success_high": high})
                line += f"; success {found['success']:.3f} [{low:.3f}, {high:.3f}]"
            self.print(line)

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation()

    def validation_step(self, episodes: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(episodes)

    def on_validation_epoch_end(self) -> None:
        self._end_evaluation("val")

    def on_test_epoch_start(self) -> None:
        self._start_evaluation()

    def test_step(self, episodes: dict[str, Tensor], batch_idx: int) -> None:
        self._evaluate(episodes)

    def on_test_epoch_end(self) -> None:
        self._end_evaluation("test")

    def predict_step(self, episodes: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        """The episodes as they were played: number, return, length, and success where it is defined; one row each."""
        return episodes


def _all(metric: CatMetric) -> Tensor:
    values = metric.compute()
    return values.flatten() if isinstance(values, Tensor) else torch.zeros(0)
