"""Evaluation of a memory on whole episodes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from memup_lightning.chunk import Chunk, Fields, StepBatch
from memup_lightning.distributed import all_gather_object, world_size
from memup_lightning.models.certain_steps import PredictsOutcomes
from memup_lightning.modules.evaluation.comparison import Comparison, OutcomePrediction
from memup_lightning.modules.evaluation.hooks import EvaluationHooks
from memup_lightning.modules.evaluation.joined_outcome import JoinedColumn, joined_columns
from memup_lightning.modules.evaluation.metrics import (
    RANKINGS,
    BaseAveragePrecision,
    BaseRate,
    Mean,
    MeanError,
    class_metrics,
    ranking_counts,
)
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import State
from memup_lightning.user_warnings import warn_user

BITS_PER_NAT = 1.4426950408889634
INTERVAL = 0.9
"""Probability that the interval of a predicted number holds."""
_LOCAL = "local_"
_NAMED_CLASSES = 100  # classes up to which `predict` gives the probability of each
_TREND = 3  # evaluations with whose mean the present gain is compared


class MemoryEvaluation(PredictsOutcomes, EvaluationHooks):
    """Evaluation of a memory on whole episodes, at the steps where the task says that the dependency ends."""

    task: TaskSpec
    metrics: Any
    _columns: Mapping[str, JoinedColumn]  # that the outcome joins, by name
    _evaluation_state: State | None = None
    _gains: Sequence[Tensor] = ()  # memory gain of the last evaluations
    _outcome_range: tuple[Tensor, Tensor] | None = None  # least and largest evaluated outcome, by component

    if TYPE_CHECKING:

        def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]: ...

    def make_metrics(self) -> nn.ModuleDict:
        """Make the metrics that evaluation logs, by name; those of the predictor without memory begin with ``local_``."""
        metrics: dict[str, Any] = {"memory_gain": Mean()}
        for prefix in ("", _LOCAL):
            metrics |= {prefix + name: Mean() for name in self.outcome.score_names}
            metrics |= {prefix + name: x for name, x in class_metrics(self.outcome.num_classes).items()}
        if self.outcome.num_classes:
            metrics["base_rate"] = BaseRate(self.outcome.num_classes)
        if "average_precision" in metrics:
            metrics["base_average_precision"] = BaseAveragePrecision(self.outcome.num_classes)
        self._columns = joined_columns(self.task.outcome.names) if self.outcome.num_classes else {}
        for name, column in self._columns.items():
            metrics |= {f"{name}/{key}": x for key, x in column.metrics(("", _LOCAL)).items()}
        if "mse" in self.outcome.score_names:
            metrics["mean_mse"] = MeanError(math.prod(self.task.outcome.shape))
        return nn.ModuleDict(metrics)

    def start_evaluation(self) -> None:
        self._evaluation_state = None
        self._outcome_range = None
        for metric in self.metrics.values():
            metric.reset()

    def evaluate(self, chunk: Chunk) -> None:
        """Evaluate the memory at the chunk's evaluated steps, with the state of that same step."""
        memory, self._evaluation_state = self.unroll(chunk, self._evaluation_state)
        context, outcome = self._evaluated(chunk)
        m = memory[chunk.eval_mask]
        for rows in self._blocks(len(outcome)):
            block, given = {name: x[rows] for name, x in context.items()}, outcome[rows]
            local = self.local(block)
            self._score("", self.predict_outcomes(block, m[rows], local), given)
            self._score(_LOCAL, local, given)
            self._describe_outcomes(given)
        self.evaluate_gain(chunk, memory)

    def evaluated_nll(self, chunk: Chunk, memory: Tensor) -> Tensor:
        """Compute the NLL of the steps at which the memory is evaluated, each with the state of that same step.

        Args:
            chunk: the steps.
            memory: m of each of them, ``[B, T, output_size]``.

        Returns:
            In nats, ``[rows]``, in the order of ``chunk.eval_mask.nonzero()``.
        """
        context, outcome = self._evaluated(chunk)
        m = memory[chunk.eval_mask]
        blocks = [
            self.outcome.nll(
                self.predict_outcomes({name: x[rows] for name, x in context.items()}, m[rows]), outcome[rows]
            )
            for rows in self._blocks(len(outcome))
        ]
        return torch.cat(blocks) if blocks else m.new_zeros(0)

    def _blocks(self, rows: int) -> Iterator[slice]:
        """Yield the rows that are predicted at once: each has as many numbers as there are classes."""
        size = self.outcome.rows_at_once
        return (slice(begin, begin + size) for begin in range(0, rows, size))

    def _score(self, prefix: str, params: Tensor, outcome: Tensor) -> None:
        for name, score in self.outcome.scores(params, outcome).items():
            self.metrics[prefix + name].update(score)
        if prefix + "balanced_accuracy" in self.metrics:
            self.metrics[prefix + "balanced_accuracy"].update(self.outcome.predict(params), outcome)
        if self._columns and (probabilities := self.outcome.probabilities(params)) is not None:
            for name, column in self._columns.items():
                column.score(self.metrics, f"{name}/{prefix}", probabilities, outcome)
        rankings = [self.metrics[prefix + name] for name in RANKINGS if prefix + name in self.metrics]
        if rankings:
            counts = ranking_counts(params, outcome)
            for ranking in rankings:
                ranking.update(counts)

    def _describe_outcomes(self, outcome: Tensor) -> None:
        """Record what the outcomes are by themselves: the base rate, their variance, their range."""
        for name in ("base_rate", "base_average_precision", "mean_mse"):
            if name in self.metrics:
                self.metrics[name].update(outcome)
        for name, column in self._columns.items():
            column.describe(self.metrics, f"{name}/", outcome)
        low, high = outcome.amin(0), outcome.amax(0)
        if self._outcome_range is not None:
            low, high = low.minimum(self._outcome_range[0]), high.maximum(self._outcome_range[1])
        self._outcome_range = low, high

    def end_evaluation(self, stage: str) -> None:
        self._evaluation_state = None
        if problem := self.outcome_problem():
            warn_user(problem)
        shown = ("memory_gain", "mse" if "mse" in self.metrics else "accuracy")  # in the bar of a terminal
        updates = all_gather_object([metric.update_count for metric in self.metrics.values()])
        for (name, metric), counts in zip(self.metrics.items(), zip(*updates, strict=True), strict=True):
            if any(counts):  # on any rank: all ranks must log the same names, or they wait for each other for ever
                if not metric.update_count:
                    metric.update_nothing()
                self.log(f"{stage}/{name}", metric, prog_bar=stage == "val" and name in shown)
                if name == "memory_gain" and stage == "val":
                    self._log_trend(metric)

    def outcome_problem(self) -> str | None:
        """Say why the outcomes of the last evaluation, on this rank, cannot be distinguished; None where they can."""
        return None if self._outcome_range is None else self.outcome.too_small_to_tell(*self._outcome_range)

    def _log_trend(self, metric: Mean) -> None:
        """Show how the gain changed since the evaluations before, in the progress bar alone."""
        gain = metric.compute()  # cached: logging it computes it no second time
        if self._gains:
            trend = gain - torch.stack(list(self._gains)).mean()
            self.log("gain_trend", trend, prog_bar=True, logger=False, sync_dist=world_size() > 1)
        self._gains = [*self._gains, gain][-_TREND:]

    def evaluate_gain(self, chunk: Chunk, memory: Tensor) -> None:
        """Measure the memory gain at the selected targets, each with the state of its own step."""
        targets = chunk.targets
        if targets is None or not targets.position.shape[1]:
            return
        place = targets.position - chunk.start[:, None]
        here = targets.valid & (place >= 0) & (place < chunk.num_steps)
        index = place.clamp(0, chunk.num_steps - 1)[..., None].expand(-1, -1, memory.shape[-1])
        gain = self.gains(targets, memory.gather(1, index)).where(here, 0)
        self.metrics["memory_gain"].update(gain, here.float())

    def gains(self, targets: StepBatch, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        """Compute the memory gain of each target in bits: local NLL minus NLL with memory, an estimate of I(y; m | c).

        Args:
            targets: the steps.
            memory: m for each of them, ``[B, K, output_size]``, or one state for all, ``[B, 1, output_size]``.
            distance: steps from the state to each of them, ``[B, K]``; None: the states are those of their own steps.

        Returns:
            ``[B, K]``.
        """
        return self._explained(targets.context, targets.outcome, memory, distance)

    def play(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, Tensor]]:
        """Play whole episodes from their beginning.

        Yields:
            Each chunk, on the device of this module, and m of its steps, ``[B, T, output_size]``.
        """
        state: State | None = None
        for chunk in chunks:
            moved = chunk.to(self.device)
            memory, state = self.unroll(moved, state)
            yield moved, memory

    def compare(self, steps: StepBatch, memory: Tensor, distance: Tensor) -> Comparison:
        """Predict the outcomes of steps from states of the memory, and without memory.

        Args:
            steps: K steps of B episodes.
            memory: D states for each step, ``[B, K, D, output_size]``; each of B, K and D may be 1 for all.
            distance: steps from a state to the step, ``[B, K, D]``, or what is broadcast to it.
        """
        steps = steps.to(self.device)
        context = {name: x[:, :, None] for name, x in steps.context.items()}
        local, outcome = self.local(context), steps.outcome[:, :, None]
        params = self.predict_outcomes(context, memory, local, distance.to(self.device))
        repeated = outcome.expand(*params.shape[:3], *outcome.shape[3:])
        return Comparison(self._prediction(params, repeated), self._prediction(local, outcome))

    def own_uncertainty(self, outcome: Tensor) -> float:
        """Return the entropy or variance of outcomes ``[N, *shape]``, in the unit of their residuals."""
        return self.outcome.own_uncertainty(outcome)

    def _prediction(self, params: Tensor, outcome: Tensor) -> OutcomePrediction:
        return OutcomePrediction(
            nll=self.outcome.nll(params, outcome) * BITS_PER_NAT,
            residual=self.outcome.residual(params, outcome),
            value=self.outcome.predict(params),
            std=self.outcome.std(params),
        )

    def _evaluated(self, chunk: Chunk) -> tuple[Fields, Tensor]:
        """Return the local context and outcome of the steps at which the memory is evaluated, a row each."""
        context = {name: x[chunk.eval_mask] for name, x in chunk.windows(self.task.window).items()}
        return context, chunk.outcome[chunk.eval_mask]

    def _explained(self, context: Fields, outcome: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            local = self.local(context)
            ours = self.outcome.nll(self.predict_outcomes(context, memory, local, distance), outcome)
            return (self.outcome.nll(local, outcome) - ours) * BITS_PER_NAT

    def on_predict_epoch_start(self) -> None:
        self._evaluation_state = None

    def predict_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Tensor]:
        """Predict at the evaluated steps of a chunk.

        Returns:
            Episode, step, outcome, prediction, right or not, uncertainty of the local predictor, NLL with memory; the
            probability of each class (of more than 100: that of the predicted one), or the bounds of the interval of a
            number in which it lies with a probability of 0.9; m_t. A row for each step; of an outcome that is not known, -1
            for a class, and NaN.
        """
        memory, self._evaluation_state = self.unroll(chunk, self._evaluation_state)
        context, outcome = self._evaluated(chunk)
        lane, place = chunk.eval_mask.nonzero(as_tuple=True)
        m = memory[chunk.eval_mask]
        known = chunk.has_outcome[chunk.eval_mask]
        blocks = [
            self._predict_rows({name: x[rows] for name, x in context.items()}, m[rows], outcome[rows], known[rows])
            for rows in self._blocks(len(outcome))
        ] or [self._predict_rows(context, m, outcome, known)]
        predicted = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
        return {"episode": chunk.episode[lane], "step": chunk.start[lane] + place, **predicted, "m": m}

    def _predict_rows(self, context: Fields, m: Tensor, outcome: Tensor, known: Tensor) -> dict[str, Tensor]:
        local = self.local(context)
        params = self.predict_outcomes(context, m, local)
        probabilities, bounds = self.outcome.probabilities(params), self.outcome.interval(params, INTERVAL)
        if probabilities is not None and probabilities.shape[-1] > _NAMED_CLASSES:
            probabilities = probabilities.amax(-1)
        spread = {} if probabilities is None else {"probability": probabilities}
        spread |= {} if bounds is None else {"lower": bounds[0], "upper": bounds[1]}
        absent = -1 if self.task.outcome.type == "token" else math.nan
        return {
            "outcome": outcome.where(known.view(-1, *[1] * (outcome.dim() - 1)), absent),
            "prediction": self.outcome.predict(params),
            **spread,
            "correct": self.outcome.correct(params, outcome).where(known, math.nan),
            "local_uncertainty": self.outcome.reported_uncertainty(local),
            "nll": self.outcome.nll(params, outcome).where(known, math.nan),
        }
