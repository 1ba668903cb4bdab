"""What every LightningModule of this collection shares: the networks, the lanes' state, evaluation, checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, TypeAlias

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torchmetrics import MeanMetric

from memup_lightning.chunk import Chunk, Fields, Steps
from memup_lightning.encoders import StepEncoder, WindowEncoder
from memup_lightning.errors import MemUPError
from memup_lightning.memory import LSTM, Memory, State, check_memory, detach, map_state
from memup_lightning.outcomes import Categorical, Gaussian, Outcome
from memup_lightning.predictor import MultiplicativePredictor, Predictor
from memup_lightning.ranks import gather, gather_rows, rank, share_of_lanes
from memup_lightning.task import Field, Task
from memup_lightning.uncertainty import LocalPredictor

BITS_PER_NAT = 1.4426950408889634

MemoryCallable: TypeAlias = Callable[[int], Memory] | Callable[[int], nn.Module]  # the first: short class names
EncoderCallable: TypeAlias = Callable[[Mapping[str, Field]], StepEncoder]
PredictorCallable: TypeAlias = Callable[[int, int, int], Predictor]
OutcomeCallable: TypeAlias = Callable[[Field, float], Outcome]
LocalCallable: TypeAlias = Callable[[Mapping[str, Field], int, int], LocalPredictor]
OptimizerCallable: TypeAlias = Callable[[Iterable[Any]], Optimizer]


class MemoryModule(LightningModule, ABC):
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
        task: Task | dict[str, Any],
        memory: MemoryCallable = LSTM,
        outcome: OutcomeCallable | None = None,
        predictor: PredictorCallable = MultiplicativePredictor,
        encoder: EncoderCallable = StepEncoder,
        context_encoder: EncoderCallable = StepEncoder,
        local: LocalCallable = LocalPredictor,
        optimizer: OptimizerCallable = partial(Adam, lr=2e-3),  # noqa: B008 (a callable, not a shared optimizer)
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        if "_instantiator" not in self.hparams:  # built in Python: callables have no place in a checkpoint
            self.hparams.clear()
        self.task = task = task if isinstance(task, Task) else Task.from_dict(task)
        self.hparams["task"] = task.to_dict()
        if outcome is None:
            outcome = Categorical if task.outcome.kind == "token" else Gaussian
        self.outcome = outcome(task.outcome, task.tolerance)
        self.encoder = encoder(task.input_fields)
        self.memory: Any = memory(self.encoder.output_size)
        memory_size = check_memory(self.memory, self.encoder.output_size)
        self.context_encoder = WindowEncoder(task.context_fields, task.window, context_encoder(task.context_fields))
        self.predictor = predictor(self.context_encoder.output_size, memory_size, self.outcome.num_parameters)
        self.local = local(task.context_fields, task.window, self.outcome.num_parameters)
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler
        self.lane_state: State | None = None
        self._evaluation_state: State | None = None
        names = (*self.outcome.score_names, "memory_gain")
        self.metrics: Any = nn.ModuleDict({name: MeanMetric() for name in names})  # what evaluation logs

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes here which hook runs, 40 times an update. A text needs none of the places that nn.Module searches.
        if isinstance(value, str):
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

    def _local_loss(self, probes: Steps) -> tuple[Tensor, Tensor]:
        """Loss of the predictor without memory at every probe, ``[B, K]``, and which of them count."""
        return self.outcome.loss(self.local(probes.context), probes.outcome), probes.valid

    def remember(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Run encoder and memory over a chunk: m ``[B, T, output_size]`` and the state behind it."""
        if state is None:
            state = self.memory.initial_state(chunk.lanes)
        memory, state = self.memory(self.encoder(chunk.inputs), state, chunk.is_first)
        return memory, state

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Tensor]:
        memory, state = self.remember(chunk, self.lane_state)
        self.lane_state = detach(state)
        losses = self.losses(chunk, memory)
        out = {name: loss.detach() for name, loss in losses.items()}
        out["loss"] = reduce(torch.add, losses.values())
        if self.is_log_step:
            logged = {f"train/{name}": loss for name, loss in out.items()} | self.diagnostics(chunk, memory.detach())
            self.log_dict(logged, batch_size=chunk.lanes)
            self.log("loss", out["loss"], prog_bar=True, logger=False, batch_size=chunk.lanes)
        return out

    @property
    def is_log_step(self) -> bool:
        """Whether Lightning will write what is logged now: to log at other steps costs time for nothing."""
        due: bool = self.trainer._logger_connector.should_update_logs
        return due

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        """More to log, computed at logging steps only."""
        return {}

    def evaluate(self, chunk: Chunk) -> None:
        """Judge the memory where the task says that the dependency ends, with the state of that same step."""
        memory, self._evaluation_state = self.remember(chunk, self._evaluation_state)
        context, outcome = self._judged(chunk)
        if len(outcome):
            params = self.predictor(self.context_encoder(context), memory[chunk.judged])
            for name, score in self.outcome.scores(params, outcome).items():
                self.metrics[name].update(score)
        self.evaluate_gain(chunk, memory)

    def evaluate_gain(self, chunk: Chunk, memory: Tensor) -> None:
        """What the memory explains of the selected targets, each with the state of its own step."""
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return
        place = targets.position - chunk.start[:, None]
        here = targets.valid & (place >= 0) & (place < chunk.steps)
        index = place.clamp(0, chunk.steps - 1)[..., None].expand(-1, -1, memory.shape[-1])
        gain = self.gains(targets, memory.gather(1, index)).where(here, 0)
        self.metrics["memory_gain"].update(gain, here.float())

    def _judged(self, chunk: Chunk) -> tuple[Fields, Tensor]:
        """Local context and outcome of the steps at which the memory is judged, a row each."""
        context = {name: x[chunk.judged] for name, x in chunk.windows(self.task.window).items()}
        return context, chunk.outcome[chunk.judged]

    def gains(self, targets: Steps, memory: Tensor) -> Tensor:
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
        updates = gather([metric.update_count for metric in self.metrics.values()])
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
        """Predictions at the judged steps of a chunk: episode, step, outcome, prediction, right or not, uncertainty of
        the local predictor, NLL with memory; one row each."""
        memory, self._evaluation_state = self.remember(chunk, self._evaluation_state)
        context, outcome = self._judged(chunk)
        lane, place = chunk.judged.nonzero(as_tuple=True)
        params = self.predictor(self.context_encoder(context), memory[chunk.judged])
        return {
            "episode": chunk.episode[lane],
            "step": chunk.start[lane] + place,
            "outcome": outcome,
            "prediction": self.outcome.predict(params),
            "correct": self.outcome.correct(params, outcome),
            "local_uncertainty": self.outcome.uncertainty(self.local(context)),
            "nll": self.outcome.nll(params, outcome),
        }

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer(p for p in self.parameters() if p.requires_grad)
        if self._lr_scheduler is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self._lr_scheduler(optimizer), "interval": "step"},
        }

    def on_fit_start(self) -> None:
        if self.trainer.ckpt_path is None and not getattr(self.trainer.datamodule, "consumed", 0):  # type: ignore[attr-defined]
            self.lane_state = None  # lanes that were not played yet

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Rank zero writes what all ranks hold: the lanes of all, and the random numbers of each.
        checkpoint["lane_state"] = None if self.lane_state is None else map_state(gather_rows, self.lane_state)
        checkpoint["torch_rng"] = gather(torch.get_rng_state())
        if self.device.type == "cuda":
            checkpoint["cuda_rng"] = gather(torch.cuda.get_rng_state(self.device))
        checkpoint["optimizer_defaults"] = [_plain(opt.defaults) for opt in self.trainer.optimizers]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "lane_state" not in checkpoint:
            raise MemUPError("the checkpoint holds no lane_state: it was not written by a module of memup_lightning")
        lanes = checkpoint["lane_state"]
        self.lane_state = None if lanes is None else map_state(lambda x: _own_lanes(x).to(self.device), lanes)
        self._resumed = {name: checkpoint[name] for name in ("torch_rng", "optimizer_defaults")}
        self._resumed["cuda_rng"] = checkpoint.get("cuda_rng")

    def on_train_start(self) -> None:
        resumed = self.__dict__.pop("_resumed", None)
        if resumed is None or self.trainer.ckpt_path is None:
            return
        torch.set_rng_state(_own(resumed["torch_rng"]).cpu())
        if resumed["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(_own(resumed["cuda_rng"]).cpu(), self.device)
        if self.lane_state is not None:
            self.lane_state = map_state(lambda x: x.to(self.device), self.lane_state)
        for optimizer, before in zip(self.trainer.optimizers, resumed["optimizer_defaults"], strict=False):
            # What was changed since, on the command line say, wins over what the checkpoint brought back.
            changed = {key: x for key, x in _plain(optimizer.defaults).items() if before.get(key) != x}
            schedules = [c.scheduler for c in self.trainer.lr_scheduler_configs if c.scheduler.optimizer is optimizer]
            if schedules and "lr" in changed and before.get("lr"):
                _rescale(optimizer, schedules, changed.pop("lr") / before["lr"])
            for group in optimizer.param_groups:
                group.update(changed)
        self._catch_up_validation()

    def _catch_up_validation(self) -> None:
        """Run the validation that was due at the very update after which the checkpoint was written. Lightning leaves it
        out, and a callback that decides by it (EarlyStopping) would decide otherwise than in the uncut run."""
        trainer = self.trainer
        loop = trainer.fit_loop.epoch_loop
        if not loop.restarted_on_train_batch_end or not loop._should_check_val_fx(None):  # type: ignore[arg-type]
            return
        first = trainer._logger_connector._first_loop_iter
        trainer.validating = True
        loop.val_loop.restarting = False
        loop.val_loop.run()
        trainer.training = True
        trainer._logger_connector._first_loop_iter = first


def _plain(defaults: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (int, float, bool, str, type(None))
    return {
        key: list(x) if isinstance(x, tuple) else x
        for key, x in defaults.items()
        if isinstance(x, kinds) or (isinstance(x, tuple) and all(isinstance(part, kinds) for part in x))
    }


def _rescale(optimizer: Optimizer, schedules: Iterable[Any], ratio: float) -> None:
    """Another base rate under a schedule: it goes on where it stood."""
    for group in optimizer.param_groups:
        group["lr"] *= ratio
        group["initial_lr"] *= ratio
    for schedule in schedules:
        if hasattr(schedule, "base_lrs"):
            schedule.base_lrs = [rate * ratio for rate in schedule.base_lrs]


def _own_lanes(state: Tensor) -> Tensor:
    """This rank's rows of the lanes of all ranks."""
    lanes = share_of_lanes(len(state), "the lanes of the checkpoint: lanes")
    return state.narrow(0, rank() * lanes, lanes).clone()


def _own(states: Sequence[Tensor]) -> Tensor:
    """This rank's of the random states of a checkpoint, which another number of ranks may have written."""
    return states[rank() % len(states)]
