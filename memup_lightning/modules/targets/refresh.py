"""TargetRefresh: callback that selects the targets again while the networks learn."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from memup_lightning.data.targets.candidates import NOWHERE
from memup_lightning.distributed import world_size
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.modules.targets.scoring import score_on_all_ranks
from memup_lightning.protocols import ChunkSource, TargetLearner
from memup_lightning.runs.parts import chunk_source, has_targets, log_now
from memup_lightning.typing import IntArray, Split

_NUM_SAMPLED = 8192  # steps to which context clusters are fitted
_VALIDATION_STEPS = 1 << 16  # that are scored before a validation,
_FEWEST, _MOST = 8, 1024  # of so many episodes
_NUM_REPORTED = 1024  # episodes that a message is about


class TargetRefresh(Callback):
    """Callback that scores episodes by the model's uncertainty and stores the steps of highest score as targets.

    The first selection waits until the local predictor has converged: its loss over the last ``settle`` updates is better
    than over the ``settle`` updates before by at most ``tolerance``. Until then there are no targets, and only the local
    predictor learns. A refresh takes effect with the next chunk, whatever workers have read ahead. With a baseline
    (TBPTT, BPTT), which uses no targets, it does nothing. MemUP adds one where the trainer has none.

    Args:
        every: updates between two refreshes.
        max_steps: steps of episodes scored at a refresh; None: all of them. Episodes that the lanes play before the next
            refresh come first, among them those never scored, which are scored in any case; the rest is taken in turn.
        settle: updates over which the local loss is averaged.
        tolerance: improvement of the local loss, in its unit, up to which it counts as converged.
        max_wait: updates after which the first selection is made in any case.
        lanes: episodes scored at once, by each rank. The episodes of a refresh are distributed over the ranks.

    Before each validation it scores validation episodes too, at whose targets recall and gain of the memory are measured:
    as many as have 65,536 steps together, or ``max_steps`` where that is less, and 8 to 1,024.

    Logs ``val/target_recall`` (share of the evaluated steps among U at the beginning of an episode; of K where there are
    more), ``train/target_recall`` (the same on the episodes refreshed), ``refresh/seconds`` and
    ``refresh/share_of_training`` (at each refresh, and of the whole training at its end).

    Attributes:
        first_update: update at which the first targets were selected; None before.
    """

    def __init__(
        self,
        every: int = 500,
        max_steps: int | None = 1_000_000,
        settle: int = 100,
        tolerance: float = 0.05,
        max_wait: int = 2000,
        lanes: int = 256,
    ) -> None:
        super().__init__()
        check_counts(1, every=every, settle=settle, max_steps=max_steps, lanes=lanes)
        self.every = every
        self.max_steps = max_steps
        self.settle = settle
        self.tolerance = tolerance
        self.max_wait = max_wait
        self.lanes = lanes
        self._began = 0.0
        self._learner: TargetLearner | None = None  # None with a baseline
        self._clear()

    def _clear(self) -> None:
        self.seconds = 0.0
        self._turn = 0
        self._loss: Tensor | None = None
        self._previous: float | None = None
        self.first_update: int | None = None
        self._recall: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._learner = None
        if not has_targets(self, trainer, pl_module):
            return
        if not isinstance(pl_module, TargetLearner):
            raise MemUPError(
                f"{type(pl_module).__name__} needs targets, but scores no steps to choose them from: give it the methods "
                "of memup_lightning.protocols.TargetLearner"
            )
        self._learner = pl_module
        if (data := chunk_source(trainer)).selects_by_cluster():
            pl_module.prepare_clusters(data.num_targets())

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._learner is not None and not chunk_source(trainer).training_lanes().num_consumed:  # a new run
            self._clear()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter() - self.seconds  # seconds of an earlier run count on both sides

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._learner is None:
            return
        data = chunk_source(trainer)
        if data.awaits_selection():
            if self._settled(outputs["local_loss"], data.training_lanes().num_consumed):
                self.refresh(trainer, pl_module)
        elif data.training_lanes().num_consumed % self.every == 0:
            self.refresh(trainer, pl_module)

    def _settled(self, loss: Tensor, updates: int) -> bool:
        self._loss = loss if self._loss is None else self._loss + loss
        if updates % self.settle:
            return False
        mean = float(self._loss) / self.settle
        settled = self._previous is not None and self._previous - mean < self.tolerance
        self._loss, self._previous = None, mean
        return settled or updates >= self.max_wait

    def refresh(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score training episodes now and replace their targets."""
        begin = time.perf_counter()
        data, model, store = chunk_source(trainer), self._learner, chunk_source(trainer).splits["train"].targets
        assert model is not None
        episodes = self._choose(data)
        if data.selects_by_cluster():
            sample = data.training_lanes().sample_steps(_NUM_SAMPLED).to(model.device)
            model.fit_clusters(sample, data.seed)
            if not store.num_refreshes:  # the presence of each cluster must be known before the first choice
                score_on_all_ranks(data, model, "train", episodes[: self.lanes], self.lanes)
                model.fit_clusters(sample, data.seed)
        recall = score_on_all_ranks(data, model, "train", episodes, self.lanes)
        store.complete_refresh()
        if self.first_update is None:
            self.first_update = trainer.global_step
            if not store.selects_nothing():
                rank_zero_info(_first_choice(data, self.first_update))
        self.seconds += time.perf_counter() - begin
        logged = {
            "refresh/seconds": self.seconds,
            "refresh/share_of_training": self._share(),
            "refresh/scored_share": float(store.scored.mean()),
        }
        if recall is not None:
            logged["train/target_recall"] = recall
        log_now(trainer, logged)

    def _share(self) -> float:
        return self.seconds / (time.perf_counter() - self._began)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.seconds:
            log_now(trainer, {"refresh/share_of_training": self._share()})

    def _choose(self, data: ChunkSource) -> IntArray:
        """Return the episodes that are scored at this refresh."""
        lengths, targets = data.splits["train"].lengths, data.splits["train"].targets
        if self.max_steps is None or lengths.sum() <= self.max_steps:
            return np.arange(len(lengths))
        upcoming = data.training_lanes().upcoming_episodes(self.every)
        scored = targets.scored[upcoming]
        in_turn = (self._turn + np.arange(len(lengths))) % len(lengths)
        queue = np.concatenate([upcoming[~scored], upcoming[scored], in_turn])
        _, first = np.unique(queue, return_index=True)
        queue = queue[np.sort(first)]
        fits = np.cumsum(lengths[queue]) <= self.max_steps
        fits[: max(1, int((~scored).sum()))] = True  # an episode without targets gives no gradient
        self._turn = (self._turn + max(0, int(fits.sum()) - len(upcoming))) % len(lengths)
        return queue[fits]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score_validation(trainer, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score_validation(trainer, "test")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_recall(pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_recall(pl_module, "test")

    def _score_validation(self, trainer: Trainer, split: Split) -> None:
        data, model = chunk_source(trainer), self._learner
        if model is None or data.awaits_selection():
            return
        if data.selects_by_cluster() and not model.has_clusters():
            return  # the checkpoint is of a run without
        episodes = self._validation_episodes(data.splits[split].lengths)
        recall = score_on_all_ranks(data, model, split, episodes, self.lanes)
        data.splits[split].targets.complete_refresh()
        if recall is not None:
            self._recall[split] = recall

    def _validation_episodes(self, lengths: IntArray) -> IntArray:
        steps = _VALIDATION_STEPS if self.max_steps is None else min(self.max_steps, _VALIDATION_STEPS)
        fit = int((np.cumsum(lengths) <= steps).sum())
        return np.arange(min(max(fit, _FEWEST), _MOST, len(lengths)))

    def _log_recall(self, pl_module: LightningModule, split: Split) -> None:
        if split in self._recall:
            # Equal on all ranks already; Lightning warns where a value is not reduced.
            several = world_size() > 1
            pl_module.log(f"{split}/target_recall", self._recall[split], prog_bar=split == "val", sync_dist=several)

    def state_dict(self) -> dict[str, Any]:
        return {
            "turn": self._turn,
            "seconds": self.seconds,
            "previous": self._previous,
            "loss": self._loss,
            "first_update": self.first_update,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._turn, self.seconds = state_dict["turn"], state_dict["seconds"]
        self._previous, self._loss = state_dict["previous"], state_dict["loss"]
        self.first_update = state_dict["first_update"]


def _first_choice(data: ChunkSource, updates: int) -> str:
    """Say which steps of training episodes were chosen first."""
    split = data.splits["train"]
    episodes = np.flatnonzero(split.targets.scored)[:_NUM_REPORTED]
    chosen = split.targets.select(episodes, np.zeros_like(episodes))
    counts, last = (chosen != NOWHERE).sum(axis=1), chosen == split.lengths[episodes][:, None] - 1
    share = last.sum() / max(1, counts.sum())
    where = f"{share:.0%} of them the last step of their episode" if share else "none the last step of its episode"
    return (
        f"targets chosen at update {updates:,}: {counts.mean():.1f} of {split.lengths[episodes].mean():,.0f} steps an "
        f"episode, {where}"
    )
