"""Base class of memory-training tasks: networks, training lanes, checkpoints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor
from torch.optim import Optimizer

from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.distributed import all_reduce_sum, global_masked_mean, world_size
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.certain_steps import CertainSteps
from memup_lightning.models.encoders import StepEncoder, WindowEncoder
from memup_lightning.models.memory import LSTM, make_memory
from memup_lightning.models.outcomes import AdaptiveCategoricalOutcome, CategoricalOutcome, GaussianOutcome
from memup_lightning.models.predictors import FiLMPredictor, OutcomePredictor
from memup_lightning.models.uncertainty import LocalPredictor
from memup_lightning.modules.encoding import MemoryEncoding
from memup_lightning.modules.evaluation.memory import MemoryEvaluation
from memup_lightning.modules.losses import FiniteLoss, probe_loss
from memup_lightning.modules.networks.factories import (
    EncoderCallable,
    LocalCallable,
    MemoryCallable,
    OutcomeCallable,
    PredictorCallable,
)
from memup_lightning.modules.networks.standardization import fit_standardizers
from memup_lightning.modules.networks.trial import check_predictor, check_size, make_part, try_networks
from memup_lightning.modules.networks.update_size import check_update_size
from memup_lightning.modules.optimization.learning_rate import inverse_sqrt
from memup_lightning.modules.optimization.optimizers import MemoryAdam, OptimizerCallable, memory_adam
from memup_lightning.modules.states.lane_states import LaneStates
from memup_lightning.modules.weight_average import AveragedTask
from memup_lightning.protocols import ChunkSource
from memup_lightning.runs.limits import say_if_last_weights_count
from memup_lightning.runs.parts import recorded_data
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import IntArray, State

_MANY_CLASSES = 2000  # from which on a softmax over all of them takes most of a step


class MemoryTask(MemoryEncoding, MemoryEvaluation, AveragedTask):
    """Base class of memory-training tasks: a memory and a predictor on a stream of chunks; :meth:`losses` is abstract.

    The parts are callables (a class, or a ``functools.partial`` of one) that get their sizes from the task. In a config
    each is a class path with the remaining arguments.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        memory: ``(input_size) -> memory core``.
        outcome: ``(field, tolerance) -> outcome distribution``; by default CategoricalOutcome for classes,
            AdaptiveCategoricalOutcome for 2,000 or more, else GaussianOutcome.
        predictor: ``(context_size, memory_size, num_parameters) -> q_phi``.
        encoder: ``(fields) -> encoder`` of the memory's inputs.
        context_encoder: ``(fields) -> encoder`` of one step of the predictor's local context.
        local: ``(fields, window, num_parameters) -> d_psi``, the predictor without memory.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update; None: a constant rate.

    Raises:
        MemUPError: an outcome that does not fit the task, a memory that breaks its contract.
    """

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        memory: MemoryCallable = LSTM,
        outcome: OutcomeCallable | None = None,
        predictor: PredictorCallable = FiLMPredictor,
        encoder: EncoderCallable = StepEncoder,
        context_encoder: EncoderCallable = StepEncoder,
        local: LocalCallable = LocalPredictor,
        optimizer: OptimizerCallable = memory_adam,
        lr_scheduler: LRSchedulerCallable | None = inverse_sqrt,
    ) -> None:
        super().__init__(task, optimizer, lr_scheduler)
        task = self.task
        if outcome is None:
            of_classes = CategoricalOutcome if task.outcome.classes < _MANY_CLASSES else AdaptiveCategoricalOutcome
            outcome = of_classes if task.outcome.type == "token" else GaussianOutcome
        self.outcome = make_part("outcome", outcome, task.outcome, task.tolerance)
        check_size(self.outcome, "num_parameters")
        self.encoder = make_part("encoder", encoder, task.input_fields)
        check_size(self.encoder, "output_size")
        self.memory, memory_size = make_memory(memory, self.encoder.output_size)
        step = make_part("context_encoder", context_encoder, task.context_fields)
        check_size(step, "output_size")
        self.context_encoder = WindowEncoder(task.context_fields, task.window, step)
        sizes = self.context_encoder.output_size, memory_size, self.outcome.num_parameters
        self.predictor = make_part("predictor", predictor, *sizes)
        check_predictor(self.predictor)
        self.local = make_part("local", local, task.context_fields, task.window, self.outcome.num_parameters)
        self.certain: CertainSteps | None = None
        self.lanes = LaneStates()
        self._finite_loss = FiniteLoss()
        self._loss_terms: dict[str, tuple[Tensor, Tensor]] = {}  # of the last chunk: for the message of one not finite
        self._states: tuple[Tensor, Tensor] | None = None  # m of the last training chunk, and which steps are valid
        self._accumulating = False  # whether gradients wait for an optimizer step
        self._resumed_gradients: dict[str, Tensor] = {}
        self.metrics = self.make_metrics()

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning sets the name of the running hook 40 times an update; nn.Module's search would only take time.
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @abstractmethod
    def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        """Compute the loss terms of a chunk.

        Args:
            chunk: a training chunk.
            memory: m of every step, ``[B, T, output_size]``, with its graph within the chunk.

        Returns:
            Scalars by name; their sum is minimised.
        """

    def mean_losses(self, terms: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Compute the mean of each loss term over the places that count, on all ranks together: see
        :func:`~memup_lightning.distributed.global_masked_mean`. Where one is not finite, the message says in which lane."""
        self._loss_terms = {name: (loss.detach(), counts) for name, (loss, counts) in terms.items()}
        return global_masked_mean(terms)

    def locate_loss(self, chunk: Chunk, names: Sequence[str]) -> str:
        """Where the first of some loss terms of the last chunk is not finite, as words of a message; empty where no lane of
        this rank is the cause."""
        for name in names:
            if name in self._loss_terms:
                loss, counts = self._loss_terms[name]
                found = (~torch.isfinite(loss) & counts).nonzero()
                if len(found):
                    lane, step = self.loss_place(chunk, name, found[0].tolist())
                    return f", in lane {lane} (episode {int(chunk.episode[lane])}, step {step})"
        return ""

    def loss_place(self, chunk: Chunk, name: str, index: list[int]) -> tuple[int, int]:
        """Return the lane of a place of a loss term, and the number of its step in the lane's episode.

        Args:
            chunk: the training chunk.
            name: of the loss term.
            index: of the place in it, ``[lane, step of the chunk]``, or the like of the term.
        """
        lane, step, *_ = index
        if name == "local_loss" and chunk.probes is not None:
            return lane, int(chunk.probes.position[lane, step])
        return lane, int(chunk.start[lane]) + step

    def local_loss(self, probes: StepBatch, weighted: Tensor | bool) -> tuple[Tensor, Tensor]:
        """Compute the loss of the predictor without memory, ``[B, K]``.

        See :func:`~memup_lightning.modules.losses.probe_loss`.
        """
        return probe_loss(self.outcome, self.local, probes, weighted)

    def set_lane_states(self, lanes: IntArray, states: State) -> None:
        """Replace the states of some training lanes (``[rows]``)."""
        self.lanes.put(torch.from_numpy(lanes).to(self.device, non_blocking=True), states)

    def needs_targets(self) -> bool:
        """Return whether chunks must carry targets: later steps, chosen by their uncertainty."""
        return False

    def needs_own_steps(self) -> bool:
        """Return whether training chunks must carry context and outcome of their own steps."""
        return False

    def cluster_summary(self) -> list[dict[str, Any]] | None:
        """Return a row for each context cluster: what the memory explains of it; None without clusters."""
        return None

    def chunk_losses(self, chunk: Chunk) -> tuple[dict[str, Tensor], Tensor]:
        """Advance the lanes by a chunk.

        Returns:
            The loss terms, and m of every step without its graph.
        """
        memory, state = self.unroll(chunk, self.lanes.begin(chunk.step))
        self.lanes.end(state)
        states = memory.detach()
        self._states = states, chunk.valid
        return self.losses(chunk, memory), states

    def stored_steps(self, chunk_length: int) -> int:
        """Return how many steps of a chunk keep their intermediate results for the backward pass at a time."""
        return chunk_length

    def after_update(self) -> None:
        """Show the predictor the states of the last chunk; not before, since the backward pass may predict again."""
        if self._states is not None and isinstance(self.predictor, OutcomePredictor):
            self.predictor.observe(*self._states)
        self._states = None

    def _make_optimizer(self, weights: Sequence[Tensor]) -> Optimizer:
        optimizer = super()._make_optimizer(weights)
        if isinstance(optimizer, MemoryAdam):
            optimizer.decay([*self.predictor.parameters(), *self.local.parameters()])
        return optimizer

    def setup(self, stage: str) -> None:
        task = getattr(recorded_data(self.trainer), "task", None)
        if isinstance(task, TaskSpec):
            self.task.check_same_fields(task)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse a call as of a network, which reads no episodes.

        Raises:
            MemUPError: always, with what predicts.
        """
        raise MemUPError(
            f"{type(self).__name__} is not called like a network; trainer.predict(model, datamodule=data) predicts the "
            "outcomes of episodes, and memup_lightning.Predictor.load(run) those of new rows"
        )

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Tensor]:
        if not isinstance(chunk, Chunk):
            raise MemUPError(
                f"a training batch is a {type(chunk).__name__}, not a chunk; give the Trainer a datamodule: "
                "trainer.fit(model, datamodule=data), of ArrayDataModule for data of your own"
            )
        losses, memory = self.chunk_losses(chunk)
        locate = partial(self.locate_loss, chunk)
        self._finite_loss.add(losses, self.global_step, locate)
        out = self.sum_losses(losses)
        if self.is_log_step:
            self._finite_loss.check(self.global_step, locate)
            logged = {f"train/{name}": loss for name, loss in out.items()} | self.diagnostics(chunk, memory)
            self.log_dict(logged, batch_size=chunk.lanes)
            self.log("loss", out["loss"], prog_bar=True, logger=False, batch_size=chunk.lanes)
        return out

    def diagnostics(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
        """Compute more values to log, at logging steps only."""
        return {}

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = recorded_data(self.trainer)
        if self.trainer.ckpt_path is None and not (data is not None and data.training_lanes().num_consumed):
            self.lanes.reset()  # lanes that were not played yet
        if data is not None:
            say_if_last_weights_count(self.trainer)
            fit_standardizers(self, data.training_lanes())
            self.try_networks(data)
            check_update_size(self, data)

    def try_networks(self, data: ChunkSource) -> None:
        """Check the networks on a few training steps: see :func:`~memup_lightning.modules.networks.trial.try_networks`."""
        try_networks(self, data)

    def on_after_backward(self) -> None:
        self._accumulating = True

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self._accumulating = False
        self.after_update()

    def on_train_end(self) -> None:
        self._finite_loss.check(self.global_step)
        super().on_train_end()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._finite_loss.check(self.global_step)  # the last good checkpoint is not replaced
        super().on_save_checkpoint(checkpoint)
        checkpoint["lanes"] = self.lanes.state_dict()
        if self._accumulating:  # a resumed run continues in the middle of the accumulation
            gradients = {name: p.grad for name, p in self.named_parameters() if p.grad is not None}
            checkpoint["gradients"] = {name: all_reduce_sum(x) / world_size() for name, x in gradients.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if "lanes" not in checkpoint:
            raise MemUPError("the checkpoint holds no lanes: it was not written by a module of memup_lightning")
        super().on_load_checkpoint(checkpoint)
        self.lanes.load_state_dict(checkpoint["lanes"])
        self._resumed_gradients = checkpoint.get("gradients", {})

    def on_train_start(self) -> None:
        self.lanes.to(self.device)
        super().on_train_start()
        for name, gradient in self._resumed_gradients.items():
            self.get_parameter(name).grad = gradient.to(self.device, copy=True)
        self._resumed_gradients = {}
