"""EpisodeDataModule: episodes of any kind as a stream of chunks with their targets."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from memup_lightning import rng
from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, EpisodeSource
from memup_lightning.data.loader import ChunkLoader
from memup_lightning.data.samplers import CurriculumSampler, SequentialSampler
from memup_lightning.data.stream import ChunkStream, TargetJoin
from memup_lightning.data.targets import NOWHERE, Selector, TargetTable, TopK
from memup_lightning.datamodules.task import BaseDataModule
from memup_lightning.distributed import rank, share_of_episodes, share_of_lanes, world_size
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import IntArray, Split

SPLITS: tuple[Split, ...] = ("train", "val", "test")
STAGES: dict[str, tuple[Split, ...]] = {
    "fit": ("train", "val"),
    "validate": ("val",),
    "test": ("test",),
    "predict": ("test",),
}


class LaneOverride(NamedTuple):
    """Lanes that play another place than the schedule's, ``[rows]`` each."""

    lanes: IntArray
    episode: IntArray
    start: IntArray


class EpisodeDataModule(BaseDataModule):
    """Streams long episodes as chunks. A subclass says what the task is and where the episodes come from.

    Args:
        chunk_length: steps of a chunk, r: how far gradients go back.
        lanes: episodes that are played side by side, B: the batch size. It counts the lanes of all ranks together, which
            split it evenly: the run is the same on any number of them.
        selector: which later steps a chunk gets as targets.
        restart: probabilities for a lane to leave its episode at a chunk's end, spread over the lanes; ``[0]``: all play to
            the end. By default every lane has a horizon of its own, between a chunk and twice the longest episode
            (:func:`~memup_lightning.data.samplers.restart_probabilities`).
        curriculum: longest training episode that is played, in steps, until which update: ``{1000: 50, 3000: 200}`` plays
            those of at most 50 steps in the first 1,000 updates, of at most 200 until update 3,000, then all. A memory that
            must write many things, one behind the other, learns that where all of them lie within a chunk.
        chunks_per_epoch: updates of an epoch; a stream has no end of its own.
        probes: steps drawn from each lane's episode for the local predictor, at every update.
        evaluation_lanes: episodes evaluated side by side, on all ranks together.
        evaluation_chunk_length: steps of a chunk in evaluation; there is no backward pass to pay for.
        num_workers: processes that read ahead; the results do not depend on it.
        candidates: steps kept for each episode to choose targets from; by default 64, or 16 K where that is more.
        seed: the episodes, their order and the places of the probes follow from it; by default that of
            ``seed_everything``.
    """

    def __init__(
        self,
        chunk_length: int = 10,
        lanes: int = 64,
        selector: Selector | None = None,
        restart: list[float] | None = None,
        curriculum: dict[int, int] | None = None,
        chunks_per_epoch: int = 500,
        probes: int = 2,
        evaluation_lanes: int = 256,
        evaluation_chunk_length: int = 500,
        num_workers: int = 0,
        candidates: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        counts = {"lanes": lanes, "chunk_length": chunk_length, "chunks_per_epoch": chunks_per_epoch}
        counts |= {"evaluation_lanes": evaluation_lanes, "evaluation_chunk_length": evaluation_chunk_length}
        for name, value in (counts | {"candidates": 1 if candidates is None else candidates}).items():
            if value < 1:
                raise MemUPError(f"{name}={value}: must be at least 1")
        if probes < 1:
            raise MemUPError(f"probes={probes}: the local predictor needs at least 1 step a lane to learn from")
        self.chunk_length = chunk_length
        self.lanes = lanes
        self.selector = selector or TopK()
        self.restart = restart
        self.curriculum = curriculum or {}
        self.chunks_per_epoch = chunks_per_epoch
        self.probes = probes
        self.evaluation_lanes = evaluation_lanes
        self.evaluation_chunk_length = evaluation_chunk_length
        self.num_workers = num_workers
        self.candidates = candidates
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.sources: dict[Split, EpisodeSource] = {}
        self.tables: dict[Split, TargetTable] = {}
        self._joins: dict[Split, TargetJoin] = {}
        self._schedule: CurriculumSampler | None = None
        self.lane_override: LaneOverride | None = None  # lanes that leave the schedule for the next chunk
        self.away = self._resumed_away = False  # whether lanes of any rank are on detours, here and in the checkpoint
        self.consumed = 0  # training chunks handed out so far: all that a resumed run must know

    @abstractmethod
    def episodes(self, split: Split) -> EpisodeSource:
        """The episodes of a split; made once."""

    def split_seed(self, split: Split) -> int:
        """Seed of the episodes of a split, 31 bits."""
        return int(rng.hash64(self.seed, SPLITS.index(split))) >> 33

    def episode_seeds(self, split: Split, number: int) -> IntArray:
        """A seed for each episode of a split, 63 bits; no two splits share one."""
        return (rng.hash64(self.split_seed(split), np.arange(number)) >> np.uint64(1)).astype(np.int64)

    def setup(self, stage: str) -> None:
        for split in STAGES[stage]:
            if split in self.sources:
                continue
            source = self.episodes(split)
            self.check_targets(source.lengths)
            self.sources[split] = source
            self.tables[split] = TargetTable(self.selector, source.lengths, self.candidates)
            schedule = self.schedule if split == "train" else self._evaluation(split).schedule
            self._joins[split] = TargetJoin(source, self.task, self.tables[split], schedule)

    def check_targets(self, lengths: IntArray) -> None:
        """Refuse episodes that have fewer steps than targets are asked for.

        Raises:
            MemUPError: the shortest episode is too short.
        """
        shortest = int(lengths.argmin())
        if self.selector.num_targets > lengths[shortest]:
            raise MemUPError(
                f"num_targets={self.selector.num_targets}, but episode {shortest} has only {lengths[shortest]} steps; "
                f"ask for at most {lengths[shortest]} targets or drop shorter episodes"
            )

    @property
    def schedule(self) -> CurriculumSampler:
        """Where the training lanes of this rank stand at every step."""
        if self._schedule is None:
            lanes = share_of_lanes(self.lanes, "data.init_args.lanes")
            self._schedule = self._lanes(rank() * lanes, lanes)
        return self._schedule

    def upcoming(self, chunks: int) -> IntArray:
        """The training episodes that the lanes of all ranks play during the next chunks."""
        ahead = np.arange(self.consumed, self.consumed + max(1, chunks))
        schedule = self.schedule if self.schedule.lanes == self.lanes else self._lanes(0, self.lanes)
        return np.unique(schedule.at(ahead).episode)

    def _lanes(self, first: int, lanes: int) -> CurriculumSampler:
        return CurriculumSampler(
            self.curriculum,
            self.sources["train"].lengths,
            lanes=lanes,
            chunk_length=self.chunk_length,
            restart=self.restart,
            seed=self.seed,
            first_lane=first,
            all_lanes=self.lanes,
        )

    @cached_property
    def training_stream(self) -> ChunkStream:
        """The chunks of the training lanes, as the schedule has them."""
        return ChunkStream(
            self.sources["train"],
            self.task,
            self.schedule,
            self.chunks_per_epoch,
            contexts=self.selector.current_step,
            probes=self.probes,
            seed=self.seed,
            loss_free=self._loss_free(),
        )

    def _loss_free(self) -> npt.NDArray[np.bool_] | None:
        """The training episodes, evenly spread, from which nothing is learned; None where the selector needs none."""
        share, count = self.selector.loss_free, len(self.sources["train"])
        if not share:
            return None
        if count < 2:
            raise MemUPError(
                f"{type(self.selector).__name__} holds episodes out, but there is only {count} to train on; "
                "give more episodes or take selector=TopK"
            )
        turn = np.arange(count + 1) * max(1, round(share * count)) // count
        return np.diff(turn).astype(np.bool_)

    def train_dataloader(self) -> _EpochLoader:
        if self._resumed_away and not self.away:
            raise MemUPError(
                "the checkpoint was written under Replay: some of its lanes stand where Replay sent them, not where the "
                "schedule has them; resume with Replay among trainer.callbacks, or start without --ckpt_path"
            )
        return _EpochLoader(self.training_stream, self)

    def evaluation_stream(
        self,
        split: Split,
        episodes: IntArray | None = None,
        lanes: int | None = None,
        chunk_length: int | None = None,
        contexts: bool = True,
    ) -> ChunkStream:
        """Chunks of whole episodes, each played once; of all episodes of the split or of the given ones."""
        source = self.sources[split]
        schedule = SequentialSampler(
            source.lengths,
            lanes or self.evaluation_lanes,
            chunk_length or self.evaluation_chunk_length,
            episodes,
        )
        return ChunkStream(source, self.task, schedule, schedule.steps, contexts)

    def _evaluation(self, split: Split) -> ChunkStream:
        """This rank's share of the split, and as many chunks as the rank with the most has: past its own it idles."""
        source, ranks = self.sources[split], world_size()
        episodes, lengths = np.arange(len(source)), source.lengths
        lanes, chunk_length = -(-self.evaluation_lanes // ranks), self.evaluation_chunk_length
        shares = (share_of_episodes(episodes, lengths, number) for number in range(ranks))
        schedules = [SequentialSampler(lengths, lanes, chunk_length, share) for share in shares]
        return ChunkStream(source, self.task, schedules[rank()], max(schedule.steps for schedule in schedules))

    def eval_mask_at(self, split: Split, episodes: IntArray, positions: IntArray) -> npt.NDArray[np.bool_]:
        """Whether the memory is evaluated at the given steps, ``[rows, K]`` (False where there is no step)."""
        source = self.sources[split]
        there = positions != NOWHERE
        rows = np.repeat(episodes, positions.shape[1])
        at = np.where(there, positions, 0).ravel()
        flags = source.gather(rows, at, 1, [EVAL_MASK])[EVAL_MASK]
        eval_mask: npt.NDArray[np.bool_] = flags.reshape(positions.shape).astype(np.bool_) & there
        return eval_mask

    def _evaluation_loader(self, split: Split) -> ChunkLoader:
        return ChunkLoader(self._evaluation(split), self.num_workers)

    def val_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader("test")

    def on_before_batch_transfer(self, batch: Chunk, dataloader_idx: int) -> Chunk:
        """Join the targets, in the training process and at the step that uses them."""
        trainer = self.trainer
        assert trainer is not None
        if trainer.training:
            self.consumed += 1
            chunk = self.join("train", batch)
            return chunk if self.lane_override is None else self._override(chunk, self.lane_override)
        split: Split = "val" if trainer.validating or trainer.sanity_checking else "test"
        return self.join(split, batch) if self.tables[split].version else batch

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        """Queue the copies; Lightning would wait for each. CUDA has read pageable memory before a call returns."""
        return batch.to(device, non_blocking=True)

    def _override(self, chunk: Chunk, lane_override: LaneOverride) -> Chunk:
        """Replace the lanes of a detour by the places to which it leads, targets included."""
        rows = self.training_stream.rows(lane_override.episode, lane_override.start)
        rows.targets = self._joins["train"].targets(lane_override.episode, lane_override.start)
        return chunk.with_lanes(torch.from_numpy(lane_override.lanes), rows)

    def join(self, split: Split, chunk: Chunk) -> Chunk:
        """Add the targets of the table as it is now."""
        return self._joins[split](chunk)

    def state_dict(self) -> dict[str, Any]:
        if "train" not in self.tables:
            return {}
        return {
            "consumed": self.consumed,
            "away": self.away,
            "schedule": self._schedule_settings(),
            "targets": self.tables["train"].state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "train" not in self.tables or not state_dict:
            return
        for name, now in self._schedule_settings().items():
            if (was := state_dict["schedule"].get(name)) != now:
                option = "seed_everything" if name == "seed" else f"data.init_args.{name}"
                raise MemUPError(
                    f"the checkpoint was trained with {name}={was}, this run has {name}={now}, which sends its lanes to "
                    f"other places than those that their states come from; resume with --{option}={was}, or start "
                    "without --ckpt_path"
                )
        self.consumed, self._resumed_away = state_dict["consumed"], state_dict["away"]
        self.tables["train"].load_state_dict(state_dict["targets"])

    def _schedule_settings(self) -> dict[str, Any]:
        """What decides where a lane stands after so many chunks."""
        settings = {"seed": self.seed, "lanes": self.lanes, "chunk_length": self.chunk_length}
        return settings | {"restart": self.restart and list(self.restart), "curriculum": dict(self.curriculum)}


class _EpochLoader(ChunkLoader):
    """Each iteration yields the rest of the epoch in which the run stands."""

    def __init__(self, stream: ChunkStream, data: EpisodeDataModule) -> None:
        super().__init__(stream, data.num_workers, persistent_workers=True)
        self.data = data

    def __iter__(self) -> Iterator[Chunk]:
        epoch = self.data.consumed // self.stream.epoch_length
        self.stream.set_range(self.data.consumed, (epoch + 1) * self.stream.epoch_length)
        return super().__iter__()
