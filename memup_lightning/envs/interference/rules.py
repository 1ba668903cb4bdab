"""Interference: N cues and N junctions in one corridor; each junction asks for one of the cues, which must have survived
what was shown, asked and rewarded since.

Cues are shown in the first half of the episode, and junctions come in its second half. A half is divided into equal parts,
one for each of its events, and each event comes at a random step of its part. Cues have the numbers 0 to N - 1 and are
shown in random order. The turn that a cue shows is a coin toss. With ``overwrites`` every cue is shown so many times more,
with a coin toss each, and the last one counts. The junctions ask for each cue once: ``in_turn`` in the order in which the
cues were last shown (a queue), ``nested`` in the reverse order (a stack). Among the junctions, at random, are ``coins``
steps whose reward is a coin toss.

The observation is N + 3 numbers, ``[side, junction, noise, number]``:

- side: -1 (left) or +1 (right) where a cue is shown, else 0.
- junction: 1 at a junction, 0.5 at a coin toss, else 0.
- noise: -1 or +1 by a coin toss at every step.
- number: N places, 1 at the number of the cue that is shown or asked for, else 0.

Two actions, 0 = left and 1 = right. At a junction the turn that its cue showed gives +4, the other one -3. A coin toss
gives +4 or -3 whatever the action; all other steps give 0. The episode ends after ``length`` steps.

What can be explained: given observation and action of a junction both rewards are equally likely, and its cue decides. So
a memory can explain 1 bit of each junction, and nothing of a coin toss. Between the last cue and the first junction it
must hold all N bits.

Source: the T-Maze of AMRL (Beck et al., ICLR 2020) with the rewards of MemUP (Sorokin et al., NeurIPS 2022); many cues,
their order and the coin tosses among the junctions are ours. As in :mod:`memup_lightning.envs.tmaze.rules`, any step can
be computed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from memup_lightning.envs.maze import draw_below, draw_sign, per_step, reward_of
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.rng import hash64
from memup_lightning.typing import BoolArray, FloatArray, IntArray

_SIDE, _JUNCTION, _NOISE, _NUMBER = range(4)  # places in an observation; the numbers of the cues come last
_COIN = -1  # the number that a coin toss asks for
_STEPS, _SIDES, _CUES, _PLACES, _TURNS, _NOISES = range(6)  # first key of the draws


class Layout(NamedTuple):
    """Random draws that are fixed for each of n episodes. The events are the cues that are shown, then junctions and coin
    tosses, each in the order of their steps.

    Attributes:
        length: number of steps, ``[n]``.
        steps: step of each event, rising, ``[n, events]``.
        number: number of the cue that is shown or asked for, -1 at a coin toss, ``[n, events]``.
        side: the turn that a cue shows or a junction rewards, -1 = left, +1 = right; of a coin toss the sign of its
            reward, ``[n, events]``.
    """

    length: IntArray
    steps: IntArray
    number: IntArray
    side: IntArray

    def rows(self, index: IntArray) -> Layout:
        """Return the layout of some of the episodes, ``[len(index)]``."""
        return Layout._make(part[index] for part in self)


@dataclass(frozen=True)
class InterferenceRules:
    """The rules (see the module), for many episodes and steps at once.

    Args:
        length: number of steps of an episode.
        cues: N, the number of cues, and of junctions.
        order: ``in_turn``: the cue that was shown first is asked for first; ``nested``: last.
        overwrites: how often a cue is shown again, with another coin toss.
        coins: number of steps among the junctions whose reward is a coin toss.

    Raises:
        MemUPError: unknown order, no cue, a number below 0, more events than steps.
    """

    length: int = 1000
    cues: int = 4
    order: Literal["in_turn", "nested"] = "in_turn"
    overwrites: int = 0
    coins: int = 0

    def __post_init__(self) -> None:
        if self.order not in ("in_turn", "nested"):
            raise MemUPError(f"unknown order {self.order!r}; choose 'in_turn' or 'nested'")
        check_counts(1, length=self.length, cues=self.cues)
        check_counts(0, overwrites=self.overwrites, coins=self.coins)
        least = max(2 * self.shown, 2 * self.rewarded - 1)
        if self.length < least:
            raise MemUPError(
                f"length={self.length} is too short with cues={self.cues}, overwrites={self.overwrites} and "
                f"coins={self.coins}; give length >= {least} (half of it shows the cues, the other half asks and tosses)"
            )

    @property
    def observation_size(self) -> int:
        """Numbers of an observation."""
        return _NUMBER + self.cues

    @property
    def shown(self) -> int:
        """Steps of an episode that show a cue."""
        return self.cues * (1 + self.overwrites)

    @property
    def rewarded(self) -> int:
        """Steps of an episode that are junctions or coin tosses."""
        return self.cues + self.coins

    def layout(self, seeds: IntArray) -> Layout:
        """Draw what is fixed for an episode.

        Args:
            seeds: one seed an episode, ``[n]``.
        """
        keys, shown, rewarded = seeds[:, None], np.arange(self.shown), np.arange(self.rewarded)
        cue = hash64(_CUES, keys, shown).argsort(1) % self.cues  # every number equally often, in random order
        side = draw_sign(hash64(_SIDES, keys, shown))
        last = self.shown - 1 - (cue[:, ::-1, None] == np.arange(self.cues)).argmax(1)  # where a number is shown last
        order = (last if self.order == "in_turn" else -last).argsort(1)
        # The junctions among the later events; the others are coin tosses.
        junctions = np.sort(hash64(_PLACES, keys, rewarded).argsort(1)[:, : self.cues], 1)
        asked, turn = np.full((len(seeds), self.rewarded), _COIN), draw_sign(hash64(_TURNS, keys, rewarded))
        np.put_along_axis(asked, junctions, order, 1)
        np.put_along_axis(turn, junctions, np.take_along_axis(side, np.take_along_axis(last, order, 1), 1), 1)
        edges = self._edges()
        return Layout(
            length=np.full(len(seeds), self.length, np.int64),
            steps=edges[:-1] + draw_below(np.diff(edges), hash64(_STEPS, keys, np.arange(len(edges) - 1))),
            number=np.concatenate([cue, asked], 1),
            side=np.concatenate([side, turn], 1),
        )

    def observe(self, layout: Layout, seeds: IntArray, steps: IntArray) -> FloatArray:
        """Compute the observations at the given steps of each episode.

        Args:
            layout: of the same n episodes.
            seeds: one seed an episode, ``[n]``.
            steps: ``[n]`` or ``[n, T]``. After the end they are noise only.

        Returns:
            ``[n, size]`` or ``[n, T, size]``: side, junction, noise, number.
        """
        number, side, shows, pays = self._events(layout, steps)
        observation = np.zeros((*steps.shape, self.observation_size), np.float32)
        observation[..., _SIDE] = side * shows
        observation[..., _JUNCTION] = np.where(number == _COIN, np.float32(0.5), np.float32(1)) * pays
        observation[..., _NOISE] = draw_sign(hash64(_NOISES, per_step(seeds, steps), steps))
        observation[..., _NUMBER:] = (number[..., None] == np.arange(self.cues)) & (shows | pays)[..., None]
        return observation

    def reward(self, layout: Layout, steps: IntArray, actions: IntArray) -> FloatArray:
        """Compute the rewards of the actions taken at the given steps.

        Args:
            layout: of n episodes.
            steps: ``[n]`` or ``[n, T]``.
            actions: 0 = left, 1 = right, of the shape of ``steps``.
        """
        number, side, _, pays = self._events(layout, steps)
        return reward_of(((number == _COIN) | (actions > 0)) == (side > 0)) * pays

    def at_junction(self, layout: Layout, steps: IntArray) -> BoolArray:
        """Return which of the steps, ``[n]`` or ``[n, T]``, are junctions."""
        number, _, _, pays = self._events(layout, steps)
        asks: BoolArray = pays & (number != _COIN)
        return asks

    def _edges(self) -> IntArray:
        """Return the first step of each event's part of the episode, and the end, ``[events + 1]``."""
        half = self.length // 2
        first = np.arange(self.shown) * half // self.shown
        second = half + np.arange(self.rewarded + 1) * (self.length - half) // self.rewarded
        return np.concatenate([first, second])

    def _events(self, layout: Layout, steps: IntArray) -> tuple[IntArray, IntArray, BoolArray, BoolArray]:
        """Return number and side of the event in whose part of the episode each step is, whether the step shows a cue, and
        whether it is rewarded."""
        event = (np.searchsorted(self._edges(), steps, "right") - 1).clip(0, layout.steps.shape[1] - 1)
        place = per_step(np.arange(len(steps)), steps), event
        there = layout.steps[place] == steps
        return layout.number[place], layout.side[place], there & (event < self.shown), there & (event >= self.shown)
