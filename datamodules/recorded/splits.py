"""The splits of recorded episodes: their steps, their targets, and the chunks that play them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from memup_lightning import rng
from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.data.episodes import EVAL_MASK, EpisodeSource
from memup_lightning.data.outcome_checks import UNMARKED
from memup_lightning.data.readings import divided_episodes, shared_episodes
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.targets import Selector, TargetTable, check_selector
from memup_lightning.datamodules.task import BaseDataModule
from memup_lightning.distributed import rank, share_of_episodes, world_size
from memup_lightning.exceptions import MemUPError, check_effect
from memup_lightning.protocols.columns import InputColumns
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import BoolArray, IntArray, Split
from memup_lightning.user_warnings import option, warn_user

_STEPS_AT_ONCE, _BYTES_AT_ONCE = 1 << 14, 1 << 20
"""What is read at once of few episodes: shorter chunks cost more by the call than by the step."""
SHARE = 0.1
"""Share of the training data for validation, and for the test, by default."""
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def check_shares(val: Any, val_share: float, test: Any, test_share: float) -> None:
    """Refuse the share of a split that has data of its own.

    Args:
        val: the data for validation; None: a share of the training data.
        val_share: that share.
        test: the same for the test.
        test_share: its share.

    Raises:
        MemUPError: see above.
    """
    for split, given, share in (("val", val, val_share), ("test", test, test_share)):
        if given is not None:
            check_effect(f"{split}_share", share, SHARE, f"with {split} given: no share of train is left out for it")


class RecordedSplit:
    """Episodes of one split (an :class:`~memup_lightning.protocols.EpisodeSplit`).

    Args:
        source: the episodes.
        task: fields of input, context and outcome.
        targets: of every episode.
        lanes: episodes evaluated at once, on all ranks together.
        chunk_length: steps of a chunk in evaluation.
        keys: what the data call each episode; empty where they only number them.
        join: adds the targets to chunks; by default to those of :meth:`own_chunks`.
        key_name: what the data call the keys.
        rows: ``(episodes, steps) -> rows`` of the user's file; None where there is no such file.

    Attributes:
        lengths: steps of each episode.
        has_eval_mask: whether the episodes mark the steps at which the memory is evaluated.
    """

    def __init__(
        self,
        source: EpisodeSource,
        task: TaskSpec,
        targets: TargetTable,
        lanes: int,
        chunk_length: int,
        keys: Sequence[str] = (),
        join: TargetJoin | None = None,
        key_name: str = "episode_key",
        rows: Callable[[IntArray, IntArray], IntArray] | None = None,
    ) -> None:
        self.source, self.task, self.targets, self.keys = source, task, targets, keys
        self.key_name, self._rows = key_name, rows
        self.lengths: IntArray = source.lengths
        self.has_eval_mask = EVAL_MASK in source.fields
        self._lanes, self._chunk_length = lanes, chunk_length
        self.join = join or TargetJoin(source, task, targets, self.own_chunks().schedule)

    def eval_mask_at(self, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Return whether the memory is evaluated at the given steps, ``[rows, K]``."""
        return self.join.eval_mask_at(episodes, positions)

    def row_numbers(self, episodes: IntArray, steps: IntArray) -> IntArray | None:
        """Return the rows of the user's file that some steps are, ``[rows]``; None where there is no such file."""
        return None if self._rows is None else self._rows(episodes, steps)

    def read_field(self, episode: int, steps: IntArray, name: str) -> npt.NDArray[Any]:
        """Return a field at some steps of an episode, ``[steps, *shape]``."""
        return self.source.gather(np.full(len(steps), episode), steps, 1, [name])[name][:, 0]

    def steps_at(self, episodes: IntArray, positions: IntArray) -> StepBatch:
        """Return some steps of episodes, ``[rows, K]``."""
        return self.join.steps_at(episodes, positions)

    def chunks(
        self,
        episodes: IntArray | None = None,
        lanes: int | None = None,
        chunk_length: int | None = None,
        contexts: bool = True,
    ) -> ChunkStream:
        """Return the chunks of some whole episodes, each played once.

        Args:
            episodes: by default all.
            lanes: episodes at once, at most; by default as many as in evaluation.
            chunk_length: steps of a chunk; by default about those of evaluation, more where the episodes are few, so that
                chunks are equal parts of the longest one.
            contexts: whether chunks carry context and outcome of their own steps.
        """
        lanes = lanes or self._lanes
        if chunk_length is None:
            lengths = self.lengths if episodes is None else self.lengths[episodes]
            longest = int(lengths.max(initial=1))
            step_bytes = sum(field.step_bytes for field in self.source.fields.values())
            steps = min(_STEPS_AT_ONCE, _BYTES_AT_ONCE // step_bytes)
            most = max(self._chunk_length, steps // max(1, min(lanes, len(lengths))))
            chunk_length = -(-longest // -(-longest // most))
        schedule = SequentialSampler(self.lengths, lanes, chunk_length, episodes)
        return ChunkStream(self.source, self.task, schedule, schedule.steps, contexts)

    def own_chunks(self) -> ChunkStream:
        """Return the chunks of this rank's share; a rank with fewer chunks than another is idle after its own."""
        ranks, episodes = world_size(), np.arange(len(self.source))
        lanes = -(-self._lanes // ranks)
        shares = (share_of_episodes(episodes, self.lengths, number) for number in range(ranks))
        schedules = [SequentialSampler(self.lengths, lanes, self._chunk_length, share) for share in shares]
        return ChunkStream(self.source, self.task, schedules[rank()], max(schedule.steps for schedule in schedules))


class RecordedSplits(BaseDataModule):
    """Episodes and targets of each split, once they are set up.

    Args:
        selector: which later steps a chunk gets as targets.

    Attributes:
        sources: the episodes of each split; made once.
        splits: the splits that are set up, with the targets of the present model.
        equal_outcomes: what is wrong with the outcomes of the training episodes, where they are all equal; None where they
            differ, and before the episodes are checked.
    """

    equal_outcomes: str | None = None
    seed: int
    """The episodes, their order and the places of the probes follow from it."""

    def __init__(self, selector: Selector) -> None:
        super().__init__()
        check_selector(selector)
        self.selector = selector
        self.sources: dict[Split, EpisodeSource] = {}
        self.splits: dict[Split, RecordedSplit] = {}
        self._predicted: Split = "test"

    def split_seed(self, split: Split) -> int:
        """Return the seed of the episodes of a split, 31 bits."""
        return int(rng.hash64(self.seed, SPLITS.index(split))) >> 33

    def episode_seeds(self, split: Split, number: int) -> IntArray:
        """Return a seed for each episode of a split, 63 bits; no two splits share one."""
        return (rng.hash64(self.split_seed(split), np.arange(number)) >> np.uint64(1)).astype(np.int64)

    @property
    def unknown_outcomes(self) -> str:
        """Why no step has an outcome, where none has, and what to do."""
        return UNMARKED

    def split_label(self, split: Split) -> str:
        """Return where the episodes of a split come from, as messages name it."""
        return f"the episodes of {split}"

    def episode_keys(self, split: Split) -> Sequence[str]:
        """Return what the data call each episode of a split; empty where they only number them."""
        return ()

    def episode_rows(self, split: Split) -> Callable[[IntArray, IntArray], IntArray] | None:
        """Return ``(episodes, steps) -> rows`` of the user's file; None where there is no such file."""
        return None

    @property
    def table_columns(self) -> tuple[str, ...]:
        """Columns of a table that the memory reads; empty where it reads something else, and before anything is read."""
        return ()

    @property
    def input_columns(self) -> InputColumns | None:
        """Inputs that can be left out; None where there are none, and before anything is read."""
        return None

    @property
    def reading(self) -> dict[str, Any] | None:
        """How the training data are read, once they were, in plain values: for a
        :class:`~memup_lightning.serving.Predictor`. None of data that are no arrays or tables of the user."""
        return None

    @property
    def key_name(self) -> str:
        """What the data call the keys of their episodes."""
        return "episode_key"

    def predict_on(self, data: str) -> None:
        if data not in SPLITS:
            given = option("on", data, f"predict_on({data!r})")
            raise MemUPError(f"{given}: {type(self).__name__} reads no files; give one of {', '.join(SPLITS)}")
        self._predicted = data

    def predicted_split(self) -> Split:
        """Return the split whose episodes ``predict`` predicts."""
        return self._predicted

    def all_training_episodes(self) -> EpisodeSource:
        """Return the episodes of the source of the training split, those of other splits among them."""
        return self.sources["train"]

    def compare_validation(self) -> None:
        """Warn of validation episodes that are training episodes, or rows of them."""
        found, compared = shared_episodes(self.sources["val"], self.all_training_episodes())
        if found:
            some = "the validation episodes" if found == compared else f"{found} of {compared} validation episodes"
            warn_user(
                f"{self.split_label('val')}: {some} are training episodes too, so validation measures what was trained "
                "on; give other episodes"
            )
        elif parts := divided_episodes(
            self.episode_keys("val"),
            self.sources["val"].lengths,
            self.episode_keys("train"),
            self.sources["train"].lengths,
        ):
            warn_user(
                f"{self.split_label('val')}: {parts} of {len(self.sources['val'])} validation episodes have the "
                f"{self.key_name} of a training episode; if rows were drawn for it, neither file has whole episodes; "
                "draw whole episodes, or give one file, of which a share becomes validation"
            )

    def join(self, split: Split, chunk: Chunk) -> Chunk:
        """Add the targets of the table as it is now."""
        return self.splits[split].join(chunk)

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        """Queue the copies; Lightning would wait for each. CUDA has read pageable memory before a call returns."""
        return batch.to(device, non_blocking=True)

    def num_environment_steps(self) -> int | None:
        return self.sources["train"].total_steps if "train" in self.sources else None

    def num_targets(self) -> int:
        """Return K, the number of targets."""
        return self.selector.num_targets

    def selects_by_cluster(self) -> bool:
        """Return whether no two targets of a chunk are of one context cluster."""
        return self.selector.one_per_cluster

    def awaits_selection(self) -> bool:
        """Return whether the run trains, and no targets were selected yet."""
        return "train" in self.splits and not self.splits["train"].targets.num_refreshes
