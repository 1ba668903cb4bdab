"""EpisodeDataModule: recorded episodes as a stream of chunks with their targets."""

from __future__ import annotations

import os
from abc import abstractmethod
from typing import Any

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EpisodeSource, warn_of_single_steps
from memup_lightning.data.outcome_checks import check_outcomes
from memup_lightning.data.readings import check_readings
from memup_lightning.data.streaming.loader import ChunkLoader, EpochLoader
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.training_lanes import TrainingLanes, warn_of_many_lanes
from memup_lightning.data.subset import spread_share
from memup_lightning.data.targets import DEFAULT_ARGUMENTS, Proportional, Selector, TargetTable
from memup_lightning.datamodules.recorded.splits import SPLITS, RecordedSplit, RecordedSplits
from memup_lightning.distributed import share_of_lanes
from memup_lightning.exceptions import MemUPError, check_counts, counted
from memup_lightning.protocols import ChunkLearner
from memup_lightning.runs.parts import parts
from memup_lightning.typing import Split
from memup_lightning.user_warnings import option

_PURPOSES = {"val": "validation", "test": "test"}
_LOSS_FREE = 1 / 16  # share of the training episodes in which the gain of a memory is measured
STAGES: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
"""Splits that a stage reads; ``predict`` reads the one that was chosen."""
_LANES, _LANES_OF_IMAGES = 256, 64  # by default
_PASSES, _SHORT_EPOCH, _LONG_EPOCH = 4, 100, 500  # over the training steps in an epoch; its updates


class EpisodeDataModule(RecordedSplits):
    """Datamodule that streams long episodes as chunks. A subclass defines the task and makes the episodes.

    Args:
        chunk_length: steps of a chunk, r: how far gradients go back. What lies within a chunk is learned directly, what
            lies farther apart by targets. No more than the longest training episode has.
        lanes: episodes that are played at once, B: the batch size; by default 256, or 64 where a step holds an image, whose
            encoding takes most of an update, and for a text, which is split among them. What is rare, or must be found
            among much that is like it, is in few lanes at a time. It counts the lanes of all ranks together, which split
            it evenly: the run is the same on any number of them.
        selector: which later steps a chunk gets as targets; by default 16 at most, drawn in proportion to their
            uncertainty from those within 0.3 nats of the most uncertain one.
        restart: probabilities for a lane to leave its episode at a chunk's end, spread over the lanes; ``[0]``: all play to
            the end. By default every lane has a horizon of its own, between a chunk and twice the longest episode
            (:func:`~memup_lightning.data.streaming.samplers.restart_probabilities`), and half of them are free for
            :class:`~memup_lightning.modules.states.replay.Replay`, which MemUP then brings.
        curriculum: longest training episode that is played, in steps, until which update: ``{1000: 50, 3000: 200}`` plays
            those of at most 50 steps in the first 1,000 updates, of at most 200 until update 3,000, then all. A memory
            that must write many things, one after the other, learns to write while all of them are within a chunk.
        chunks_per_epoch: updates of an epoch; a stream has no end of its own. By default those that play as many steps as
            four passes over the training episodes, and 100 to 500: few episodes are memorized soon, and a run is evaluated
            after every epoch.
        probes: steps drawn from each lane's episode for the local predictor, at every update.
        evaluation_lanes: episodes evaluated at once, on all ranks together.
        evaluation_chunk_length: steps of a chunk in evaluation, more where the episodes are few; there is no backward pass.
        num_workers: processes that read ahead; the results do not depend on it.
        loss_free: share of the training episodes without loss, in which only the gain of the memory is measured; by default
            1/16 for a selector that takes one target of each context cluster, which needs them, and none for the others.
        candidates: steps kept for each episode to choose targets from; by default 64, or 8 K where that is more.
        seed: the episodes, their order and the places of the probes follow from it; by default that of
            ``seed_everything``.
    """

    steps_name = "training steps"

    def __init__(
        self,
        chunk_length: int = 32,
        lanes: int | None = None,
        selector: Selector | None = None,
        restart: list[float] | None = None,
        curriculum: dict[int, int] | None = None,
        chunks_per_epoch: int | None = None,
        probes: int = 2,
        evaluation_lanes: int = 256,
        evaluation_chunk_length: int = 500,
        num_workers: int = 0,
        loss_free: float | None = None,
        candidates: int | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(Proportional(**DEFAULT_ARGUMENTS) if selector is None else selector)
        check_counts(
            1, lanes=lanes, chunk_length=chunk_length, chunks_per_epoch=chunks_per_epoch, candidates=candidates
        )
        check_counts(1, evaluation_lanes=evaluation_lanes, evaluation_chunk_length=evaluation_chunk_length)
        if probes < 1:
            raise MemUPError(f"probes={probes}: the local predictor needs at least 1 step a lane to learn from")
        if loss_free is not None and not 0 <= loss_free < 1:
            raise MemUPError(f"loss_free={loss_free}: give a share of the training episodes, at least 0 and below 1")
        self._selector_given = selector is not None
        self._given_chunk_length = chunk_length
        self._given_lanes = lanes
        self.restart = restart
        self.curriculum = curriculum or {}
        self._given_chunks_per_epoch = chunks_per_epoch
        self.probes = probes
        self.evaluation_lanes = evaluation_lanes
        self.evaluation_chunk_length = evaluation_chunk_length
        check_counts(0, num_workers=num_workers)
        self.num_workers = num_workers
        self.loss_free = loss_free
        self.candidates = candidates
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self._lanes: TrainingLanes | None = None
        self._stream: ChunkStream | None = None

    @property
    def lanes(self) -> int:
        """Episodes that are played at once."""
        return self.default_lanes() if self._given_lanes is None else self._given_lanes

    @property
    def chunk_length(self) -> int:
        """Steps of a chunk; once the data are set up for training, no more than the longest episode has."""
        longest = self.sources["train"].lengths.max() if "train" in self.sources else self._given_chunk_length
        return min(self._given_chunk_length, int(longest))

    @property
    def chunks_per_epoch(self) -> int:
        """Updates of an epoch; known once the data are set up for training, where it was not given."""
        if self._given_chunks_per_epoch is not None:
            return self._given_chunks_per_epoch
        if "train" not in self.sources:
            return _LONG_EPOCH
        updates = _PASSES * int(self.sources["train"].lengths.sum()) // (self.lanes * self.chunk_length)
        return min(max(updates, _SHORT_EPOCH), _LONG_EPOCH)

    def default_lanes(self) -> int:
        """Return the number of lanes where none was given."""
        return _LANES_OF_IMAGES if self.shows_images() else _LANES

    def shows_images(self) -> bool:
        """Return whether a step holds an image."""
        return any(x.type == "image" for x in self.task.fields.values())

    def check_ranks(self, num_ranks: int) -> None:
        share_of_lanes(self.lanes, option("data.init_args.lanes"), num_ranks)

    @abstractmethod
    def episodes(self, split: Split) -> EpisodeSource:
        """Return the episodes of a split; made once."""

    def setup(self, stage: str) -> None:
        self.begin_if_another_model(stage)
        for split in STAGES.get(stage, (self._predicted,)):
            if split not in self.sources:
                source = self.episodes(split)
                self.check_episodes(split, source)
                self.sources[split] = source
            has_lanes = stage == "fit" and split == "train"
            if split not in self.splits or (has_lanes and self._lanes is None):
                self._start(split, has_lanes)
        if stage == "fit":
            self.compare_validation()

    def forget_run(self) -> None:
        self.splits, self._lanes, self._stream = {}, None, None  # targets and positions

    def _start(self, split: Split, has_lanes: bool) -> None:
        """Begin without targets, and the training lanes at the beginning of the schedule."""
        source = self.sources[split]
        table = TargetTable(self.selector, len(source), self.candidates)
        join = self._start_lanes(source, table).join if has_lanes else None
        sizes, keys = (self.evaluation_lanes, self.evaluation_chunk_length), self.episode_keys(split)
        rows = self.episode_rows(split)
        self.splits[split] = RecordedSplit(source, self.task, table, *sizes, keys, join, self.key_name, rows)

    def _start_lanes(self, source: EpisodeSource, table: TargetTable) -> TrainingLanes:
        share = (_LOSS_FREE if self.selector.one_per_cluster else 0.0) if self.loss_free is None else self.loss_free
        warn_of_many_lanes(self._given_lanes, source.lengths, self.chunk_length)
        self._lanes = TrainingLanes(
            source,
            self.task,
            table,
            self.lanes,
            self.chunk_length,
            self.restart,
            self.curriculum,
            self.probes,
            self.seed,
            spread_share(len(source), share) if share else None,
        )
        return self._lanes

    @property
    def learner(self) -> ChunkLearner | None:
        """Module of the run, if it learns from chunks."""
        return self._model if isinstance(self._model, ChunkLearner) else None

    def _needs_targets(self) -> bool:
        return self.learner is None or self.learner.needs_targets()

    def check_episodes(self, split: Split, source: EpisodeSource) -> None:
        """Refuse training episodes without any outcome, with fewer steps than targets, or all shorter than a window.

        Raises:
            MemUPError: no step has an outcome, the shortest episode is too short, or the window too long.
        """
        check_readings(source, self.split_label(split))
        why, trained_on = self.unknown_outcomes, split == "train"
        self.equal_outcomes = check_outcomes(source, self.split_label(split), trained_on, why) or self.equal_outcomes
        if split == "train":
            warn_of_single_steps(source, self.split_label(split))
        lengths = source.lengths
        if split == "train" and self.task.window > (longest := int(lengths.max())):
            raise MemUPError(
                f"{option('data.window', self.task.window)}: the longest training episode has {counted(longest, 'step')}; "
                "the local context is a few steps, so give a small number, 1 to 10"
            )
        shortest = int(lengths.argmin())
        if self._selector_given and self._needs_targets() and self.selector.num_targets > lengths[shortest]:
            raise MemUPError(
                f"num_targets={self.selector.num_targets}, but episode {shortest} has "
                f"{counted(lengths[shortest], 'step')}; ask for at most as many targets, or drop shorter episodes"
            )

    def describe(self) -> dict[str, str]:
        lengths = {split: self.splits[split].lengths for split in SPLITS if split in self.splits}
        train, others = lengths.pop("train"), [f"{len(x):,} for {_PURPOSES[split]}" for split, x in lengths.items()]
        shortest, longest = (f"{int(x):,}" for x in (train.min(), train.max()))
        steps = f"{shortest} steps" if shortest == longest else f"{shortest} to {longest} steps"
        rows = super().describe()
        rows["data"] += ": " + ", ".join([f"{len(train):,} training episodes of {steps}", *others])
        whole = ", whole episodes" * int(self.chunk_length == train.max())
        rows["gradients cross"] = f"{counted(self.chunk_length, 'step')} (r{whole}), in {counted(self.lanes, 'lane')}"
        if self._selector_given and not self._needs_targets():
            rows["targets"] = f"none: {type(self._model).__name__} needs none, so the selector has no effect"
        if self._needs_targets():
            name, most = type(self.selector).__name__, self.selector.num_targets
            rows["targets"] = f"at most {most} of the later steps of an episode, by {name}"
        return rows

    def default_schedule(self) -> bool:
        """Return whether nothing was set of where lanes play, and some of them may play from stored states."""
        return self.restart is None and self.lanes > 1

    def training_lanes(self) -> TrainingLanes:
        """Return where the training lanes are, and what they play next.

        Raises:
            MemUPError: the data are not set up for training.
        """
        if self._lanes is None:
            raise MemUPError(
                f"{type(self).__name__} is not set up for training; give the Trainer the datamodule itself, not its "
                "loaders: trainer.fit(model, data)"
            )
        return self._lanes

    @property
    def training_stream(self) -> ChunkStream:
        """The chunks of the training lanes, as the schedule has them."""
        contexts = self.learner is not None and self.learner.needs_own_steps()
        if self._stream is None or self._stream.contexts != contexts:
            self._stream = self.training_lanes().stream(self.chunks_per_epoch, contexts)
        return self._stream

    def train_dataloader(self) -> EpochLoader:
        self.training_lanes().check_override()
        overfit = self.trainer is not None and parts(self.trainer).overfit_batches
        first = (lambda: 0) if overfit else (lambda: self.training_lanes().num_consumed)  # the same chunks every epoch
        return EpochLoader(self.training_stream, self.num_workers, first)

    def _evaluation_loader(self, split: Split) -> ChunkLoader:
        return ChunkLoader(self.splits[split].own_chunks(), self.num_workers)

    def val_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> ChunkLoader:
        return self._evaluation_loader(self._predicted)

    def on_before_batch_transfer(self, batch: Chunk, dataloader_idx: int) -> Chunk:
        """Join the targets, in the training process and at the step that uses them."""
        trainer = self.trainer
        assert trainer is not None
        if trainer.training:
            return self.training_lanes().consume(batch, self._needs_targets())
        split: Split = "val" if trainer.validating or trainer.sanity_checking else "test"
        split = self._predicted if trainer.predicting else split
        return self.join(split, batch) if self.splits[split].targets.num_refreshes else batch

    def state_dict(self) -> dict[str, Any]:
        if self._lanes is None:
            return {}
        return {"lanes": self._lanes.state_dict(), "targets": self.splits["train"].targets.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if self._lanes is None or "lanes" not in state_dict:
            return
        self._lanes.load_state_dict(state_dict["lanes"])
        self.splits["train"].targets.load_state_dict(state_dict["targets"])
