"""Replay: callback that lets lanes visit places of long episodes again, from stored states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import pad

from memup_lightning import rng
from memup_lightning.chunk import Chunk
from memup_lightning.data.streaming.value_sample import locate_steps
from memup_lightning.distributed import all_gather_object, share_of_episodes
from memup_lightning.exceptions import MemUPError, check_counts, counted
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.models.wide_float import wide_float
from memup_lightning.modules.states.snapshots import StateBatch, StateReplayBuffer, TopKStates
from memup_lightning.protocols import EpisodeSplit, LaneOwner, LaneSchedule
from memup_lightning.runs.parts import chunk_source, has_targets, log_now
from memup_lightning.typing import IntArray

_VISIT, _SAMPLE = 11, 12  # separate streams of random numbers
_NUM_SAMPLED = 4096  # steps from which mean and deviation of the inputs are computed
_WINDOW = 500  # steps of an episode that a scan reads at once
_READ_INTERVAL = 20  # updates after which the learning progress of visits is read back from the device


class Replay(Callback):
    """Callback that lets a share of the lanes enter episodes in the middle, from states that the memory produced there.

    A cue may come anywhere in an episode of a million steps. A lane that plays from the beginning passes it once in an
    episode; a lane that restarts early never reaches it. Every ``every`` updates the memory plays some episodes without
    gradients and keeps, of each, snapshots of its state before the chunks whose inputs are rarest. Some lanes, spread
    evenly over the batch, then play visits from snapshots, short and long, drawn in proportion to

        novelty + learning_progress

    novelty: ``log(1 + max z^2)`` of the chunk's encoded inputs, z their distance from the mean in standard deviations,
    both of steps drawn from all episodes, z^2 at most their number (such inputs can change what the memory holds).
    learning_progress: by how much the loss on the targets is lower at the chunk's end than at its beginning, a moving
    average over visits (there the memory learns); 0 where a chunk has one prediction point.

    The other lanes follow the schedule. Snapshots are the same on any number of ranks, and so is the run. With a baseline
    (TBPTT, BPTT), which does not learn from later outcomes, it does nothing.

    Args:
        share: of the lanes.
        every: updates between two scans; the first one follows the first selection of targets.
        max_steps: steps played in a scan, at most (one episode is played in any case); episodes take turns.
        per_episode: snapshots kept of an episode.
        visits: chunks of a visit, spread over the replaying lanes: in short visits the memory learns what to write, in
            long ones to keep it. A visit ends with its episode at the latest.
        max_age: no visit begins from a state that was made more updates ago.
        lanes: episodes played at once in a scan, by each rank.

    Raises:
        MemUPError: a share outside (0, 1), or so small that no lane replays; a count below 1; ``max_age < every``.

    Logs, before each scan, ``replay/snapshots``, ``replay/age`` and ``replay/oldest`` (mean and largest age, in
    updates), and ``replay/learning_progress`` (mean, in the loss's unit).
    """

    def __init__(
        self,
        share: float = 0.5,
        every: int = 1000,
        max_steps: int = 1_000_000,
        per_episode: int = 4,
        visits: Sequence[int] = (2, 8, 32, 128),
        max_age: int = 4000,
        lanes: int = 256,
    ) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise MemUPError(f"Replay share={share}: give a share of the lanes between 0 and 1")
        check_counts(1, every=every, max_steps=max_steps, per_episode=per_episode, lanes=lanes)
        check_counts(1, visits=min(visits, default=0))
        if max_age < every:
            raise MemUPError(
                f"Replay max_age={max_age} is less than every={every}; snapshots must live until the next scan"
            )
        self.share = share
        self.every = every
        self.max_steps = max_steps
        self.per_episode = per_episode
        self.visits = np.asarray(visits, np.int64)
        self.max_age = max_age
        self.lanes = lanes
        self._model: LaneOwner | None = None  # None with a baseline
        self._clear()

    def _clear(self) -> None:
        self.snapshots = StateReplayBuffer()
        self._turn = 0  # episode with which the next scan begins
        # What each replaying lane of all ranks plays, [lanes]; no row before the first scan.
        self._episode: IntArray = np.zeros(0, np.int64)
        self._start: IntArray = np.zeros(0, np.int64)  # first step of its chunk
        self._left: IntArray = np.zeros(0, np.int64)  # chunks left of its visit after this one
        self._entered: IntArray = np.zeros(0, np.int64)  # snapshot with which the visit begins at this chunk, else -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._model = None
        if not has_targets(self, trainer, pl_module):
            return
        if not isinstance(pl_module, LaneOwner):
            raise MemUPError(
                f"Replay sets states of lanes, which {type(pl_module).__name__} does not own: give it the methods of "
                "memup_lightning.protocols.LaneOwner, or remove Replay from trainer.callbacks"
            )
        self._model, number = pl_module, chunk_source(trainer).lanes
        if stage == "fit" and not len(self.replaying(number)):
            raise MemUPError(f"Replay share={self.share} of {counted(number, 'lane')} is no lane; raise share or lanes")

    def replaying(self, lanes: int) -> IntArray:
        """Return the numbers of the lanes that replay, among those of all ranks."""
        turn = np.arange(lanes + 1) * round(self.share * lanes) // lanes
        return np.flatnonzero(np.diff(turn))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._model is None:
            return
        schedule = chunk_source(trainer).training_lanes()
        schedule.release_lanes()
        if not schedule.num_consumed:  # a new run
            self._clear()
        if not len(self._left):
            return
        if len(self._left) != (count := len(self.replaying(schedule.lanes))):
            raise MemUPError(
                f"Replay share={self.share} of {counted(schedule.lanes, 'lane')} is {count}, but in the checkpoint "
                f"{counted(len(self._left), 'lane')} replayed; resume with the same share and lanes"
            )
        schedule.override_lanes(self.replaying(schedule.lanes), self._episode, self._start)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._model is None:
            return
        data = chunk_source(trainer)
        episodes, schedule = data.splits["train"], data.training_lanes()
        consumed = schedule.num_consumed
        self._learn(self._model, schedule)
        if consumed % _READ_INTERVAL == 0:
            self.snapshots.update_priorities()
        if episodes.targets.num_refreshes and (consumed % self.every == 0 or not len(self.snapshots)):
            self._log(trainer, consumed)
            self._scan(self._model, episodes, schedule)
        if len(self.snapshots):
            self._move_on(self._model, episodes, schedule)

    def _entering_lanes(self, schedule: LaneSchedule) -> tuple[IntArray, IntArray]:
        """Return this rank's lanes whose visit begins with this chunk: their numbers here, and their snapshots."""
        rows, own = schedule.own_lanes(self.replaying(schedule.lanes))
        entered = self._entered[rows]
        begun = entered >= 0
        return own[begun], entered[begun]

    def _learn(self, model: LaneOwner, schedule: LaneSchedule) -> None:
        """Record the learning progress of the first chunks of visits."""
        if not len(self._left):
            return
        lanes, entered = self._entering_lanes(schedule)
        if len(lanes):
            self.snapshots.record(entered, model.learning_progress(lanes))

    def _move_on(self, model: LaneOwner, episodes: EpisodeSplit, schedule: LaneSchedule) -> None:
        """Move every replaying lane to the next chunk of its visit, or to the first of another."""
        lanes = self.replaying(schedule.lanes)
        if not len(self._left):
            self._episode, self._start, self._left = np.zeros((3, len(lanes)), np.int64)
        self._start = self._start + schedule.chunk_length
        self._left = self._left - 1
        self._entered = np.full(len(lanes), -1)
        over = np.flatnonzero((self._left < 0) | (self._start >= episodes.lengths[self._episode]))
        if len(over):
            chosen = self.snapshots.draw(rng.uniform(schedule.seed, _VISIT, schedule.num_consumed, lanes[over]))
            self._entered[over] = chosen
            self._episode[over], self._start[over] = self.snapshots.where[chosen].T
            self._left[over] = self.visits[over * len(self.visits) // len(lanes)] - 1
        schedule.override_lanes(lanes, self._episode, self._start)
        own, entered = self._entering_lanes(schedule)
        if len(own):
            model.set_lane_states(own, self.snapshots.state(entered))

    def _scan(self, model: LaneOwner, episodes: EpisodeSplit, schedule: LaneSchedule) -> None:
        """Play some episodes and keep snapshots of the states before their rarest chunks."""
        played = share_of_episodes(self._next_episodes(episodes, schedule), episodes.lengths)
        window = schedule.chunk_length * max(1, _WINDOW // schedule.chunk_length)
        windows = episodes.chunks(played, self.lanes, window, contexts=False)
        with eval_mode(cast(nn.Module, model)):
            statistics = self._input_statistics(model, episodes, schedule)
            found = self._rarest(model, windows, schedule.chunk_length, *statistics)
        everywhere = [part for parts in all_gather_object(found) for part in parts]
        # What is kept must not grow too old before the scan after this one.
        now = schedule.num_consumed
        self.snapshots.refresh(everywhere, now, now + self.every - self.max_age)

    def _rarest(
        self, model: LaneOwner, windows: Iterable[Chunk], chunk_length: int, mean: Tensor, deviation: Tensor
    ) -> list[StateBatch]:
        """Play episodes; the rarest chunks of each by their distance from the mean of encoded inputs, in deviations.

        The memory plays as many steps at once as lie between the chunks of which snapshots may be kept.
        """
        found: list[StateBatch] = []
        kept: TopKStates | None = None
        for window in windows:
            # Every lane begins another episode with this window, or has none left.
            new_round = bool(window.is_first.any())
            window = window.to(model.device)
            if new_round:
                if kept is not None:
                    found.append(kept.found)
                state = model.initial_states(window.lanes)
                kept = TopKStates(window.episode, self.per_episode, state)
            assert kept is not None
            x = model.encode_inputs(window)
            distance = ((x.to(mean) - mean) / deviation).square().amax(-1).clamp(max=_NUM_SAMPLED)
            distance = pad(distance.where(window.valid, -1), (0, -window.num_steps % chunk_length), value=-1)
            rarity = distance.view(window.lanes, -1, chunk_length).amax(2)  # of each chunk
            chosen = kept.candidates(rarity)
            begin, is_first = 0, window.is_first
            for chunk in chosen.any(0).nonzero().squeeze(1).tolist():
                if (end := chunk * chunk_length) > begin:
                    state = model.advance(x[:, begin:end], state, is_first)
                    begin, is_first = end, torch.zeros_like(is_first)
                kept.update(rarity[:, chunk].where(chosen[:, chunk], -1), window.start + end, state)
            state = model.advance(x[:, begin:], state, is_first)
        if kept is not None:
            found.append(kept.found)
        return found

    def _next_episodes(self, episodes: EpisodeSplit, schedule: LaneSchedule) -> IntArray:
        """Return the episodes whose turn it is, of those that lanes may play; episodes without targets are left out."""
        lengths, scored = episodes.lengths, episodes.targets.scored
        admitted = schedule.admitted_episodes()
        queue = np.roll(admitted, -np.searchsorted(admitted, self._turn))
        queue = queue[scored[queue]]
        fits = np.cumsum(lengths[queue]) <= self.max_steps
        fits[:1] = True
        chosen: IntArray = queue[fits]
        self._turn = int(chosen[-1] + 1) % len(lengths)
        return chosen

    def _input_statistics(
        self, model: LaneOwner, episodes: EpisodeSplit, schedule: LaneSchedule
    ) -> tuple[Tensor, Tensor]:
        """Return the mean and standard deviation of the encoded inputs, of steps drawn from all episodes."""
        rows = max(1, _NUM_SAMPLED // schedule.chunk_length)
        total = int(episodes.lengths.sum(dtype=np.int64))
        number = rng.integers(total, schedule.seed, _SAMPLE, schedule.num_consumed, np.arange(rows))
        episode, start = locate_steps(episodes.lengths, number)
        chunk = schedule.rows(episode, start - start % schedule.chunk_length).to(model.device)
        x = model.encode_inputs(chunk)[chunk.valid].to(wide_float(model.device))
        return x.mean(0), x.var(0, correction=0).clamp(min=1e-12).sqrt()

    def _log(self, trainer: Trainer, consumed: int) -> None:
        if not len(self.snapshots):
            return
        age = consumed - self.snapshots.created_at
        logged = {
            "replay/snapshots": float(len(self.snapshots)),
            "replay/age": float(age.mean()),
            "replay/oldest": float(age.max()),
            "replay/learning_progress": float(self.snapshots.learning_progress.mean()),
        }
        log_now(trainer, logged)

    def state_dict(self) -> dict[str, Any]:
        visits = {name: torch.from_numpy(getattr(self, name)) for name in _VISITS}
        return {"turn": self._turn, "visits": visits, "snapshots": self.snapshots.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._turn = state_dict["turn"]
        for name, array in state_dict["visits"].items():
            setattr(self, name, array.cpu().numpy().copy())
        self.snapshots.load_state_dict(state_dict["snapshots"])


_VISITS = ("_episode", "_start", "_left", "_entered")
