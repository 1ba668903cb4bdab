"""What every LightningModule of this collection shares: the networks, the lanes' state, evaluation, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, TypeAlias

import torch
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor, nn
from torchmetrics import MeanMetric

from memup_lightning.chunk import Chunk, Fields, StepBatch
from memup_lightning.distributed import all_gather_cat, all_gather_object, rank, share_of_lanes
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder, WindowEncoder
from memup_lightning.models.memory import LSTM, Memory, State, detach, make_memory, map_state
from memup_lightning.models.outcomes import CategoricalOutcome, GaussianOutcome, Outcome
from memup_lightning.models.predictors import MultiplicativePredictor, Predictor
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules.base import BaseTask, OptimizerCallable, adam
from memup_lightning.specs import FieldSpec, TaskSpec

BITS_PER_NAT = 1.4426950408889634

MemoryCallable: TypeAlias = Callable[[int], Memory] | Callable[[int], nn.Module]  # the first: short class names
EncoderCallable: TypeAlias = Callable[[Mapping[str, FieldSpec]], StepEncoder]
PredictorCallable: TypeAlias = Callable[[int, int, int], Predictor]
OutcomeCallable: TypeAlias = Callable[[FieldSpec, float], Outcome]
LocalCallable: TypeAlias = Callable[[Mapping[str, FieldSpec], int, int], LocalPredictor]


class MemoryTask(BaseTask):
    """A memory and a predictor on a stream of chunks. How they learn, a subclass says in :meth:`losses`.

    The parts are given as callables (a class, or a ``functools.partial`` of one) that get the sizes from the task. In a
    config that is a class path with the remaining arguments.

    Args:
        task: what the data are; the command line takes it from the datamodule.
        memory: ``(input_size) -> memory core``.
        outcome: ``(field, tolerance) -> outcome distribution``; by default Categorical for classes, else Gaussian.
        predictor: ``(context_size, memory_size, num_parameters) -> q_phi``.
        encoder: ``(fields) -> encoder`` of what the memory reads.
        context_encoder: ``(fields) -> encoder`` of one step of the predictor's local context.
        local: ``(fields, window, num_parameters) -> d_psi``, the predictor without memory.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update.

    Raises:
        MemUPError: an outcome that does not fit the task, a memory that breaks its contract.
    """

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        memory: MemoryCallable = LSTM,
        outcome: OutcomeCallable | None = None,
        predictor: PredictorCallable = MultiplicativePredictor,
        encoder: EncoderCallable = StepEncoder,
        context_encoder: EncoderCallable = StepEncoder,
        local: LocalCallable = LocalPredictor,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__(task, optimizer, lr_scheduler)
        task = self.task
        if outcome is None:
            outcome = CategoricalOutcome if task.outcome.type == "token" else GaussianOutcome
        self.outcome = outcome(task.outcome, task.tolerance)
        self.encoder = encoder(task.input_fields)
        self.memory, memory_size = make_memory(memory, self.encoder.output_size)
        self.context_encoder = WindowEncoder(task.context_fields, task.window, context_encoder(task.context_fields))
        self.predictor = predictor(self.context_encoder.output_size, memory_size, self.outcome.num_parameters)
        self.local = local(task.context_fields, task.window, self.outcome.num_parameters)
        self.lane_state: State | None = None
        self._evaluation_state: State | None = None
        names = (*self.outcome.score_names, "memory_gain")
        self.metrics: Any = nn.ModuleDict({name: MeanMetric() for name in names})  # what evaluation logs

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes here which hook runs, 40 times an update. That needs none of the places that nn.Module searches.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        """The loss terms of a chunk.

        Args:
            chunk: a training chunk.
            memory: m of every step, ``[B, T, output_size]``, with its graph within the chunk.

        Returns:
            Scalars by name; their sum is minimised.
        """

    def _local_loss(self, probes: StepBatch) -> tuple[Tensor, Tensor]:
        """Loss of the predictor without memory at every probe, ``[B, K]``, and which of them count."""
        return self.outcome.loss(self.local(probes.context), probes.outcome), probes.valid

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Run encoder and memory over a chunk: m ``[B, T, output_size]`` and the state behind it."""
        if state is None:
            state = self.memory.initial_state(chunk.lanes)
        memory, state = self.memory(self.encoder(chunk.inputs), state, chunk.is_first)
        return memory, state

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Tensor]:
        memory, state = self.unroll(chunk, self.lane_state)
        self.lane_state = detach(state)
        losses = self.losses(chunk, memory)
        out = {name: loss.detach() for name, loss in losses.items()}
        out["loss"] = reduce(torch.add, losses.values())
        if self.is_log_step:
            logged = {f"train/{name}": loss for name, loss in out.items()} | self.diagnostics(chunk, memory.detach())
            self.log_dict(logged, batch_size=chunk.lanes)
            self.log("loss", out["loss"], prog_bar=True, logger=False, batch_size=chunk.lanes)
        return out

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        """More to log, computed at logging steps only."""
        return {}

    def evaluate(self, chunk: Chunk) -> None:
        """Judge the memory where the task says that the dependency ends, with the state of that same step."""
        memory, self._evaluation_state = self.unroll(chunk, self._evaluation_state)
        context, outcome = self._evaluated(chunk)
        if len(outcome):
            params = self.predictor(self.context_encoder(context), memory[chunk.eval_mask])
            for name, score in self.outcome.scores(params, outcome).items():
                self.metrics[name].update(score)
        self.evaluate_gain(chunk, memory)

    def evaluate_gain(self, chunk: Chunk, memory: Tensor) -> None:
        """What the memory explains of the selected targets, each with the state of its own step."""
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return
        place = targets.position - chunk.start[:, None]
        here = targets.valid & (place >= 0) & (place < chunk.num_steps)
        index = place.clamp(0, chunk.num_steps - 1)[..., None].expand(-1, -1, memory.shape[-1])
        gain = self.gains(targets, memory.gather(1, index)).where(here, 0)
        self.metrics["memory_gain"].update(gain, here.float())

    def _evaluated(self, chunk: Chunk) -> tuple[Fields, Tensor]:
        """Local context and outcome of the steps at which the memory is evaluated, a row each."""
        context = {name: x[chunk.eval_mask] for name, x in chunk.windows(self.task.window).items()}
        return context, chunk.outcome[chunk.eval_mask]

    def gains(self, targets: StepBatch, memory: Tensor) -> Tensor:
        """Bits that the memory explains of each target: local NLL minus NLL with memory, an estimate of I(y; m | c).

        Args:
            targets: the steps.
            memory: m for each of them, ``[B, K, output_size]``, or one state for all, ``[B, 1, output_size]``.

        Returns:
            ``[B, K]``.
        """
        return self._explained(targets.context, targets.outcome, memory)

    def _explained(self, context: Fields, outcome: Tensor, memory: Tensor) -> Tensor:
        with torch.no_grad():
            local = self.outcome.nll(self.local(context), outcome)
            ours = self.outcome.nll(self.predictor(self.context_encoder(context), memory), outcome)
        return (local - ours) * BITS_PER_NAT

    def _start_evaluation(self) -> None:
        self._evaluation_state = None
        for metric in self.metrics.values():
            metric.reset()

    def _end_evaluation(self, stage: str) -> None:
        self._evaluation_state = None
        updates = all_gather_object([metric.update_count for metric in self.metrics.values()])
        for (name, metric), counts in zip(self.metrics.items(), zip(*updates, strict=True), strict=True):
            if any(counts):  # on any rank: what one logs all must log, or they wait for each other for ever
                if not metric.update_count:
                    metric.update(0.0, 0.0)
                self.log(f"{stage}/{name}", metric, prog_bar=name in ("accuracy", "memory_gain") and stage == "val")

    def on_validation_epoch_start(self) -> None:
        self._start_evaluation()

    def validation_step(self, chunk: Chunk, batch_idx: int) -> None:
        self.evaluate(chunk)

    def on_validation_epoch_end(self) -> None:
        self._end_evaluation("val")

    def on_test_epoch_start(self) -> None:
        self._start_evaluation()

    def test_step(self, chunk: Chunk, batch_idx: int) -> None:
        self.evaluate(chunk)

    def on_test_epoch_end(self) -> None:
        self._end_evaluation("test")

    def on_predict_epoch_start(self) -> None:
        self._evaluation_state = None

    def predict_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Tensor]:
        """Predictions at the evaluated steps of a chunk: episode, step, outcome, prediction, right or not, uncertainty of
        the local predictor, NLL with memory; one row each."""
        memory, self._evaluation_state = self.unroll(chunk, self._evaluation_state)
        context, outcome = self._evaluated(chunk)
        lane, place = chunk.eval_mask.nonzero(as_tuple=True)
        params = self.predictor(self.context_encoder(context), memory[chunk.eval_mask])
        return {
            "episode": chunk.episode[lane],
            "step": chunk.start[lane] + place,
            "outcome": outcome,
            "prediction": self.outcome.predict(params),
            "correct": self.outcome.correct(params, outcome),
            "local_uncertainty": self.outcome.uncertainty(self.local(context)),
            "nll": self.outcome.nll(params, outcome),
        }

    def on_fit_start(self) -> None:
        if self.trainer.ckpt_path is None and not getattr(self.trainer.datamodule, "consumed", 0):  # type: ignore[attr-defined]
            self.lane_state = None  # lanes that were not played yet

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        # Rank zero writes the lanes of all.
        checkpoint["lane_state"] = None if self.lane_state is None else map_state(all_gather_cat, self.lane_state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "lane_state" not in checkpoint:
            raise MemUPError("the checkpoint holds no lane_state: it was not written by a module of memup_lightning")
        super().on_load_checkpoint(checkpoint)
        lanes = checkpoint["lane_state"]
        self.lane_state = None if lanes is None else map_state(lambda x: _own_lanes(x).to(self.device), lanes)

    def on_train_start(self) -> None:
        if self.lane_state is not None:
            self.lane_state = map_state(lambda x: x.to(self.device), self.lane_state)
        super().on_train_start()


def _own_lanes(state: Tensor) -> Tensor:
    """This rank's rows of the lanes of all ranks."""
    lanes = share_of_lanes(len(state), "the lanes of the checkpoint: lanes")
    return state.narrow(0, rank() * lanes, lanes).clone()
