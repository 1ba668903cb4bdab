"""Chooses the targets anew while the networks learn."""

from __future__ import annotations

import time
from typing import Any, Literal

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from memup_lightning import rng
from memup_lightning.callbacks.run import data_of, has_targets, log_now
from memup_lightning.chunk import StepBatch
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.scoring import score
from memup_lightning.distributed import all_gather_object, share_of_episodes, world_size
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import MemUP
from memup_lightning.typing import IntArray, Split

_SAMPLED = 8192  # steps by which context clusters are told apart
_EPISODE, _STEP = 21, 22  # separate streams of random numbers


class TargetRefresh(Callback):
    """Scores episodes with the model's uncertainty and hands the best-scored steps to the target table.

    The first selection waits until the local predictor is fit to be used: its loss over the last ``settle`` updates is
    no longer better than over the ``settle`` before by more than ``tolerance``. Until then there are no targets, and only
    the local predictor learns. A refresh takes effect with the next chunk, whatever workers have read ahead. Beside a
    baseline (TBPTT, BPTT), which has no use for targets, it does nothing.

    Args:
        every: updates (or epochs, see ``unit``) between two refreshes.
        unit: what ``every`` counts.
        max_steps: steps of episodes scored at a refresh; None: all of them. Episodes that the lanes play before the next
            refresh come first, among them those never scored, which are scored in any case; the rest is taken in turn.
        settle: updates over which the local loss is averaged.
        tolerance: improvement of the local loss, in its unit, that is no longer waited for.
        max_wait: updates after which the first selection is made whatever the local loss does.
        validation_episodes: validation episodes that are scored before each validation, for target recall and memory gain.
        lanes: episodes scored side by side, by each rank. The episodes of a refresh are shared out over the ranks.

    Logs ``val/target_recall`` (share of the true steps among U at the beginning of an episode; of K where there are
    more), ``train/target_recall`` (the same on the episodes refreshed), ``refresh/seconds`` and
    ``refresh/share_of_training`` (at each refresh, and of the whole training at its end).
    """

    def __init__(
        self,
        every: int = 500,
        unit: Literal["steps", "epochs"] = "steps",
        max_steps: int | None = 1_000_000,
        settle: int = 100,
        tolerance: float = 0.05,
        max_wait: int = 2000,
        validation_episodes: int = 64,
        lanes: int = 256,
    ) -> None:
        super().__init__()
        for name, value in (
            ("every", every),
            ("settle", settle),
            ("max_steps", 1 if max_steps is None else max_steps),
            ("lanes", lanes),
        ):
            if value < 1:
                raise MemUPError(f"TargetRefresh {name}={value}: must be at least 1")
        self.every = every
        self.unit = unit
        self.max_steps = max_steps
        self.settle = settle
        self.tolerance = tolerance
        self.max_wait = max_wait
        self.validation_episodes = validation_episodes
        self.lanes = lanes
        self.seconds = 0.0
        self._turn = 0
        self._loss: Tensor | None = None
        self._previous: float | None = None
        self._recall: dict[str, float] = {}
        self._began = 0.0
        self._idle = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._idle = not has_targets(self, trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = time.perf_counter() - self.seconds  # seconds of an earlier run count on both sides

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        data = data_of(trainer)
        if self._idle:
            return
        if data.tables["train"].version == 0:
            if self._settled(outputs["local_loss"], data.consumed):
                self.refresh(trainer, pl_module)
        elif data.consumed % self._interval(data) == 0:
            # Here for epochs too: Lightning does not call on_train_epoch_end again where a run goes on from a checkpoint
            # that was written after the last update of an epoch.
            self.refresh(trainer, pl_module)

    def _interval(self, data: EpisodeDataModule) -> int:
        """Updates between two refreshes."""
        return self.every * (data.chunks_per_epoch if self.unit == "epochs" else 1)

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
        data = data_of(trainer)
        episodes = self._choose(trainer, data)
        assert isinstance(pl_module, MemUP)
        if data.selector.num_clusters:
            sample = _sample(data).to(pl_module.device)
            pl_module.fit_clusters(data.selector.num_clusters, sample, data.seed)
            if not data.tables["train"].version:  # how common each cluster is must be known before the first choice
                score_on_all_ranks(data, pl_module, "train", episodes[: self.lanes], self.lanes)
                pl_module.fit_clusters(data.selector.num_clusters, sample, data.seed)
        recall = score_on_all_ranks(data, pl_module, "train", episodes, self.lanes)
        data.tables["train"].version += 1
        self.seconds += time.perf_counter() - begin
        logged = {
            "refresh/seconds": self.seconds,
            "refresh/share_of_training": self._share(),
            "refresh/scored_share": float(data.tables["train"].scored.mean()),
        }
        if recall is not None:
            logged["train/target_recall"] = recall
        log_now(trainer, logged)

    def _share(self) -> float:
        return self.seconds / (time.perf_counter() - self._began)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.seconds:
            log_now(trainer, {"refresh/share_of_training": self._share()})

    def _choose(self, trainer: Trainer, data: EpisodeDataModule) -> IntArray:
        lengths = data.sources["train"].lengths
        if self.max_steps is None or lengths.sum() <= self.max_steps:
            return np.arange(len(lengths))
        upcoming = data.upcoming(self._interval(data))
        scored = data.tables["train"].scored[upcoming]
        in_turn = (self._turn + np.arange(len(lengths))) % len(lengths)
        queue = np.concatenate([upcoming[~scored], upcoming[scored], in_turn])
        _, first = np.unique(queue, return_index=True)
        queue = queue[np.sort(first)]
        fits = np.cumsum(lengths[queue]) <= self.max_steps
        fits[: max(1, int((~scored).sum()))] = True  # without targets an episode teaches nothing: these must be scored
        self._turn = (self._turn + max(0, int(fits.sum()) - len(upcoming))) % len(lengths)
        return queue[fits]

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score_validation(trainer, pl_module, "val")

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._score_validation(trainer, pl_module, "test")

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_recall(pl_module, "val")

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._log_recall(pl_module, "test")

    def _score_validation(self, trainer: Trainer, pl_module: LightningModule, split: Split) -> None:
        data = data_of(trainer)
        training = data.tables.get("train")
        if self._idle or (training is not None and training.version == 0):
            return  # nothing is selected yet
        if data.selector.num_clusters and getattr(pl_module, "clusters", None) is None:
            return  # the checkpoint is of a run without
        assert isinstance(pl_module, MemUP)
        episodes = np.arange(min(self.validation_episodes, len(data.sources[split])))
        recall = score_on_all_ranks(data, pl_module, split, episodes, self.lanes)
        data.tables[split].version += 1
        if recall is not None:
            self._recall[split] = recall

    def _log_recall(self, pl_module: LightningModule, split: Split) -> None:
        if split in self._recall:
            # Equal on all ranks already; Lightning warns of what is not reduced.
            several = world_size() > 1
            pl_module.log(f"{split}/target_recall", self._recall[split], prog_bar=split == "val", sync_dist=several)

    def state_dict(self) -> dict[str, Any]:
        return {
            "turn": self._turn,
            "seconds": self.seconds,
            "previous": self._previous,
            "loss": self._loss,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._turn, self.seconds = state_dict["turn"], state_dict["seconds"]
        self._previous, self._loss = state_dict["previous"], state_dict["loss"]


def score_episodes(data: EpisodeDataModule, model: MemUP, split: Split, episodes: IntArray, lanes: int) -> float | None:
    """Score whole episodes in this process and replace their targets.

    Returns:
        Share of the true steps found among the targets at an episode's beginning; None where the data mark no true steps.
    """
    return _recall(data, split, episodes, score(data, model, split, episodes, lanes))


def score_on_all_ranks(
    data: EpisodeDataModule, model: MemUP, split: Split, episodes: IntArray, lanes: int
) -> float | None:
    """The same, with the episodes shared out over the ranks; all of them end with the same table.

    Args:
        data: called on all ranks with the same weights.
        model: scores the steps.
        split: where the episodes are from.
        episodes: all that are to be scored, the same on all ranks.
        lanes: episodes that each rank scores side by side.
    """
    if world_size() == 1:
        return score_episodes(data, model, split, episodes, lanes)
    table = data.tables[split]
    mine = share_of_episodes(episodes, data.sources[split].lengths)
    eval_mask = score(data, model, split, mine, lanes)
    for theirs, rows, counts in all_gather_object((mine, table.take(mine), eval_mask[mine])):
        table.put(theirs, rows)
        eval_mask[theirs] = counts
    return _recall(data, split, episodes, eval_mask)


def _sample(data: EpisodeDataModule) -> StepBatch:
    """Steps of training episodes, drawn as the probes of the local predictor are: it knows no others."""
    version, rows = data.tables["train"].version, np.arange(_SAMPLED // data.probes)
    episodes = rng.integers(len(data.sources["train"]), data.seed, _EPISODE, version, rows)
    draws = rng.uniform(data.seed, _STEP, version, rows[:, None], np.arange(data.probes))
    return data.training_stream.probe(episodes, draws)


def _recall(data: EpisodeDataModule, split: Split, episodes: IntArray, eval_mask: IntArray) -> float | None:
    if not data.task.has_eval_mask:
        return None
    table = data.tables[split]
    wanted = np.minimum(eval_mask[episodes], table.selector.num_targets).sum()
    if not wanted:
        return None
    selected = table.select(episodes, np.zeros(len(episodes), np.int64))
    return float(data.eval_mask_at(split, episodes, selected).sum() / wanted)
