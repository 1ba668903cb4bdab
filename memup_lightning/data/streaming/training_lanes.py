"""Training lanes of a run: positions, overrides, the next chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.data.streaming.curriculum import CurriculumSampler
from memup_lightning.data.streaming.samplers import Visits
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.data.streaming.target_join import TargetJoin
from memup_lightning.data.streaming.value_sample import sample_values
from memup_lightning.data.subset import spread_over
from memup_lightning.data.targets import TargetTable
from memup_lightning.distributed import rank, share_of_lanes
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray
from memup_lightning.user_warnings import option, warn_user

_TIMES_OVER, _FEW_LANES = 4, 256  # an update plays a training step no more often, unless the lanes are few
_NUM_FINGERPRINTS = 64  # episodes of which some steps are compared on resumption


class LaneOverride(NamedTuple):
    """Lanes of this rank that leave the schedule, and where their next chunks begin; ``[rows]`` each."""

    lanes: IntArray
    episode: IntArray
    start: IntArray


class TrainingLanes:
    """The lanes of a run: the chunks that the schedule has for them, their targets, and places that override the schedule.

    Args:
        source: the training episodes.
        task: fields of input, context and outcome.
        table: the targets of the episodes.
        lanes: B, of all ranks together.
        chunk_length: steps of a chunk.
        restart: see :class:`~memup_lightning.data.streaming.samplers.ShuffledLaneSampler`.
        curriculum: see :class:`~memup_lightning.data.streaming.curriculum.CurriculumSampler`.
        probes: steps drawn from each lane's episode for the local predictor.
        seed: the order of the episodes and the probes follow from it.
        loss_free: which episodes have no loss, bool ``[episodes]``; None: all have one.

    Attributes:
        schedule: where the lanes of this rank are at every step.
        num_consumed: chunks yielded so far.
    """

    def __init__(
        self,
        source: EpisodeSource,
        task: TaskSpec,
        table: TargetTable,
        lanes: int,
        chunk_length: int,
        restart: Sequence[float] | None,
        curriculum: Mapping[int, int],
        probes: int,
        seed: int,
        loss_free: BoolArray | None = None,
    ) -> None:
        self.source, self.task, self.table = source, task, table
        self.lanes, self.chunk_length, self.restart, self.curriculum = lanes, chunk_length, restart, curriculum
        self.probes, self.seed, self.loss_free = probes, seed, loss_free
        longest = int(source.lengths.max())
        if curriculum and min(curriculum.values()) >= longest:
            warn_user(
                f"curriculum={dict(curriculum)} has no effect: the longest training episode has {counted(longest, 'step')}"
                ", so all are played from the beginning; give shorter ones, or leave it out"
            )
        own = share_of_lanes(lanes, option("data.init_args.lanes"))
        self.schedule = self._schedule(rank() * own, own)
        self._whole = self.schedule if own == lanes else self._schedule(0, lanes)  # the lanes of all ranks
        self.join = TargetJoin(source, task, table, self.schedule)
        self.num_consumed = 0
        self.overridden = False
        """Whether lanes of any rank are overridden."""
        self._override: LaneOverride | None = None
        self._resumed_overridden = False
        self._rows = self.stream(1)

    def _schedule(self, first: int, lanes: int) -> CurriculumSampler:
        return CurriculumSampler(
            self.curriculum,
            self.source.lengths,
            lanes=lanes,
            chunk_length=self.chunk_length,
            restart=self.restart,
            seed=self.seed,
            first_lane=first,
            all_lanes=self.lanes,
        )

    def stream(self, epoch_length: int, contexts: bool = False) -> ChunkStream:
        """Return the chunks of the schedule.

        Args:
            epoch_length: number of chunks after which an epoch ends.
            contexts: whether chunks carry context and outcome of their own steps.
        """
        self._rows = ChunkStream(
            self.source,
            self.task,
            self.schedule,
            epoch_length,
            contexts=contexts,
            probes=self.probes,
            seed=self.seed,
            loss_free=self.loss_free,
        )
        return self._rows

    def consume(self, chunk: Chunk, targets: bool) -> Chunk:
        """Return the next chunk of the stream, with its targets and with overridden lanes at their own places.

        Args:
            chunk: of :meth:`stream`.
            targets: whether it gets targets.
        """
        self.num_consumed += 1
        if targets:
            chunk = self.join(chunk)
        if (override := self._override) is None:
            return chunk
        rows = self._rows.rows(override.episode, override.start)
        rows.targets = self.join.targets(override.episode, override.start) if targets else None
        return chunk.with_lanes(torch.from_numpy(override.lanes), rows)

    def upcoming_episodes(self, chunks: int) -> IntArray:
        """Return the episodes that the lanes of all ranks play during the next chunks."""
        ahead = np.arange(self.num_consumed, self.num_consumed + max(1, chunks))
        return np.unique(self._whole.at(ahead).episode)

    def admitted_episodes(self) -> IntArray:
        """Return the episodes that lanes may play now."""
        return self.schedule.admitted(self.num_consumed)

    def rows(self, episode: IntArray, start: IntArray) -> Chunk:
        """Return a chunk whose lanes are at the given places."""
        return self._rows.rows(episode, start)

    def sample_steps(self, count: int) -> StepBatch:
        """About so many steps of the episodes, drawn as the local predictor's are; other ones after each refresh."""
        return self._rows.sample_steps(count, self.table.num_refreshes)

    def sample_values(self, names: Sequence[str], ends: bool = True) -> Arrays:
        """Return fields at a few thousand steps: see :func:`~memup_lightning.data.streaming.value_sample.sample_values`."""
        return sample_values(self.source, names, self.seed, ends)

    def own_lanes(self, lanes: IntArray) -> tuple[IntArray, IntArray]:
        """Which of some lanes, numbered among those of all ranks, this rank plays: their rows, and their numbers here."""
        rows = np.flatnonzero(np.isin(lanes, self.schedule.lane))
        return rows, lanes[rows] - self.schedule.first_lane

    def override_lanes(self, lanes: IntArray, episode: IntArray, start: IntArray) -> None:
        """Send some lanes of all ranks, for the next chunks, to other places than the schedule's, ``[rows]`` each."""
        rows, own = self.own_lanes(lanes)
        self._override = LaneOverride(own, episode[rows], start[rows]) if len(own) else None
        self.overridden = True

    def release_lanes(self) -> None:
        """Let every lane follow the schedule again."""
        self._override, self.overridden = None, False

    def check_override(self) -> None:
        """Refuse to resume without the lanes that were overridden in the checkpoint.

        Raises:
            MemUPError: see above.
        """
        if self._resumed_overridden and not self.overridden:
            raise MemUPError(
                "the checkpoint was written under Replay: some of its lanes are where Replay sent them, not where the "
                "schedule has them; resume with Replay among trainer.callbacks, or start without "
                f"{option('ckpt_path')}"
            )

    def state_dict(self) -> dict[str, Any]:
        schedule, episodes = self._settings(), self._fingerprint
        visits = self._whole.visits(self.num_consumed)
        return {
            "consumed": self.num_consumed,
            "visits": {name: torch.from_numpy(x) for name, x in visits._asdict().items()},
            "overridden": self.overridden,
            "schedule": schedule,
            "episodes": episodes,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, now in self._settings().items():
            if (was := state_dict["schedule"].get(name)) != now:
                key = "seed_everything" if name == "seed" else f"data.init_args.{name}"
                before = option(key, was, f"seed_everything({was})" if name == "seed" else None)
                raise MemUPError(
                    f"the checkpoint was trained with {name}={was}, this run has {name}={now}, which sends its lanes to "
                    f"other places than those that their states come from; resume with {before}, or start "
                    f"without {option('ckpt_path')}"
                )
        if state_dict["episodes"] != self._fingerprint:
            raise MemUPError(
                "the checkpoint was trained on other episodes than those of this run: its targets and lanes are places in "
                "those; resume with the data and settings that it was trained with, or start without "
                f"{option('ckpt_path')} (with the callback InitialWeights, to keep the weights)"
            )
        self.num_consumed, self._resumed_overridden = state_dict["consumed"], state_dict["overridden"]
        visits = {name: x.numpy() for name, x in state_dict["visits"].items()}
        for schedule in (self.schedule, self._whole):
            schedule.start_from(self.num_consumed, Visits(**{name: x[schedule.lane] for name, x in visits.items()}))

    @cached_property
    def _fingerprint(self) -> str:
        """A hash of the episodes: their lengths and fields, and the content of some steps spread over them."""
        found = hashlib.sha256(np.ascontiguousarray(self.source.lengths).tobytes())
        found.update(repr(sorted(self.source.fields.items())).encode())
        some = spread_over(len(self.source), _NUM_FINGERPRINTS)
        last = self.source.lengths[some] - 1
        for position in (np.zeros_like(last), last // 2, last):
            for name, x in sorted(self.source.gather(some, position, 1, list(self.source.fields)).items()):
                found.update(name.encode() + np.ascontiguousarray(x).tobytes())
        return found.hexdigest()

    def _settings(self) -> dict[str, Any]:
        """Return the settings that determine the positions of the lanes."""
        settings = {"seed": self.seed, "lanes": self.lanes, "chunk_length": self.chunk_length}
        return settings | {"restart": self.restart and list(self.restart), "curriculum": dict(self.curriculum)}


def warn_of_many_lanes(lanes: int | None, lengths: IntArray, chunk_length: int) -> None:
    """Warn where an update plays every training step many times over.

    Args:
        lanes: as given; None: the default, which is fine for few episodes too.
        lengths: steps of each training episode.
        chunk_length: steps of a chunk.
    """
    chunks = int((-(-lengths // chunk_length)).sum())
    if lanes is not None and lanes > max(_FEW_LANES, _TIMES_OVER * chunks):
        fewer = max(_FEW_LANES, chunks)
        warn_user(
            f"lanes={lanes}: {counted(len(lengths), 'training episode')} have {counted(chunks, 'chunk')} of {chunk_length} "
            f"steps, so every update plays each of them {lanes / chunks:.0f} times over and takes as much longer; set "
            f"{option('data.lanes', fewer)} at most"
        )
