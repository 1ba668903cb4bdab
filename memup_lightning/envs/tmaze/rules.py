"""The T-Maze: a hint at the first step says which way to turn at the junction, thousands of steps later.

The observation is three numbers, ``[hint, junction, noise]``:

- hint: -1 (left) or +1 (right) at one step, half of the episodes each; else 0. That step is the first one, or, with a
  ``hint_window``, any step of that first share of the corridor.
- junction: 1 at the last step of the corridor, 0.5 at a distractor step, else 0.
- noise: -1 or +1 by a coin toss at every step in the modes with N, else 0.

With ``distractor_noise`` n the observation has n more numbers: at a distractor step a vector drawn for that step alone,
uniform in [-1, 1], elsewhere zeros. Then no two distractor steps look alike.

Two actions, 0 = left and 1 = right. In the corridor both move forward and give no reward. At the junction the turn of the
hint gives +4, the other one -3, and the episode ends. In the modes with R the corridor is 0 to 10 steps longer than
``length``, so that counting steps does not help. A distractor step gives +4 or -3 by a coin toss, whatever the action: a
reward as surprising as the junction's, which no memory explains.

The rules are pure functions of an episode seed (:mod:`memup_lightning.rng`): any step of any episode can be made
alone, by an environment or by a data set, and a corridor of a million steps takes no room.

Source: the T-Maze-L, -LN and -LNR of AMRL (Beck et al., "AMRL: Aggregated Memory for Reinforcement Learning", ICLR
2020), with the rewards of MemUP (Sorokin et al., "Explain My Surprise", NeurIPS 2022). The distractors are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from memup_lightning.envs.maze import draw_below, draw_sign, per_step, reward_of
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.rng import hash64, uniform
from memup_lightning.typing import BoolArray, FloatArray, IntArray

_FREE_STEPS = 5  # first steps of an episode, never distractors
_EXTRA_STEPS = 10  # largest addition to the length in mode R
_VECTOR_PLACE = 3  # where the vector of a distractor step begins in an observation
# First key of the draws of an episode and of a step, so that no two share their bits.
_LAYOUT, _NOISE, _VECTOR = range(3)


class Layout(NamedTuple):
    """Random draws that are fixed for each of n episodes.

    Attributes:
        hint: the turn of reward +4, -1 = left, +1 = right, ``[n]``.
        hint_step: the step at which it is shown, ``[n]``.
        length: number of steps; the junction is step ``length - 1``, ``[n]``.
        distractor_steps: the distractor steps in rising order, ``[n, distractors]``.
        distractor_reward: the reward at each of them, +4 or -3, ``[n, distractors]``.
    """

    hint: IntArray
    hint_step: IntArray
    length: IntArray
    distractor_steps: IntArray
    distractor_reward: FloatArray

    def rows(self, index: IntArray) -> Layout:
        """Return the layout of some of the episodes, ``[len(index)]``."""
        return Layout._make(part[index] for part in self)


@dataclass(frozen=True)
class TMazeRules:
    """The rules of the maze, for many episodes and steps at once.

    Args:
        length: number of steps of an episode, the junction included (the least number in mode R).
        mode: ``L`` long corridor, ``LN`` with noise, ``LNR`` with noise and 0 to 10 steps more, drawn for each episode.
        distractors: number of steps of the corridor whose reward is a coin toss. None is among the first five.
        hint_window: share of the corridor in which the hint comes, at a step drawn for each episode; 0: at step 0.
        distractor_noise: size of the random vector that a distractor step shows.

    Raises:
        MemUPError: unknown mode, a corridor too short for the junction and the distractors, a number below 0.
    """

    length: int = 1000
    mode: Literal["L", "LN", "LNR"] = "LNR"
    distractors: int = 0
    hint_window: float = 0.0
    distractor_noise: int = 0

    def __post_init__(self) -> None:
        if self.mode not in ("L", "LN", "LNR"):
            raise MemUPError(f"unknown T-Maze mode {self.mode!r}; choose 'L', 'LN' or 'LNR'")
        if not 0 <= self.hint_window <= 1:
            raise MemUPError(f"hint_window={self.hint_window} is no share of the corridor; give 0 to 1")
        check_counts(0, length=self.length, distractors=self.distractors, distractor_noise=self.distractor_noise)
        least = self.distractors + _FREE_STEPS + 1 if self.distractors else 2
        if self.length < least:
            raise MemUPError(
                f"length={self.length} is too short with distractors={self.distractors}; give length >= {least}"
                " (two steps, or with distractors one step for each, five before them and the junction)"
            )

    @property
    def observation_size(self) -> int:
        """Numbers of an observation."""
        return _VECTOR_PLACE + self.distractor_noise

    def layout(self, seeds: IntArray) -> Layout:
        """Draws what is fixed for an episode.

        Args:
            seeds: one seed an episode, ``[n]``.
        """
        tosses_end = 2 + 2 * self.distractors
        draws = hash64(_LAYOUT, seeds[:, None], np.arange(tosses_end + 1))  # all by one call: it is hot
        length = np.full(len(seeds), self.length, np.int64)
        if self.mode == "LNR":
            length += draw_below(_EXTRA_STEPS + 1, draws[:, 1])
        # One distractor in each of equal strata of the corridor: distinct at any length, in memory [n, distractors].
        which = np.arange(self.distractors + 1)
        edges = _FREE_STEPS + which * (length - _FREE_STEPS - 1)[:, None] // max(self.distractors, 1)
        places, tosses = draws[:, 2 : 2 + self.distractors], draws[:, 2 + self.distractors : tosses_end]
        window = np.maximum(1, np.floor((length - 1) * self.hint_window)).astype(np.int64)
        return Layout(
            hint=draw_sign(draws[:, 0]),
            hint_step=draw_below(window, draws[:, tosses_end]),
            length=length,
            distractor_steps=edges[:, :-1] + draw_below(edges[:, 1:] - edges[:, :-1], places),
            distractor_reward=reward_of(draw_sign(tosses) > 0),
        )

    def observe(self, layout: Layout, seeds: IntArray, steps: IntArray) -> FloatArray:
        """Compute the observations at the given steps of each episode.

        Args:
            layout: of the same n episodes.
            seeds: one seed an episode, ``[n]``.
            steps: ``[n]`` or ``[n, T]``. After the junction they are noise only.

        Returns:
            ``[n, size]`` or ``[n, T, size]``: hint, junction, noise, the vector of a distractor step.
        """
        observation = np.zeros((*steps.shape, self.observation_size), np.float32)
        observation[..., 0] = per_step(layout.hint, steps) * (steps == per_step(layout.hint_step, steps))
        observation[..., 1] = self.at_junction(layout, steps)
        if self.distractors:
            tossed = self._coin_toss(layout, steps) != 0
            observation[..., 1] += 0.5 * tossed
            if self.distractor_noise:
                keys = np.broadcast_to(per_step(seeds, steps), steps.shape)[tossed], steps[tossed]
                draws = uniform(_VECTOR, *(key[:, None] for key in keys), np.arange(self.distractor_noise))
                observation[tossed, _VECTOR_PLACE:] = 2 * draws - 1
        if "N" in self.mode:
            observation[..., 2] = draw_sign(hash64(_NOISE, per_step(seeds, steps), steps))
        return observation

    def reward(self, layout: Layout, steps: IntArray, actions: IntArray) -> FloatArray:
        """Compute the rewards of the actions taken at the given steps.

        Args:
            layout: of n episodes.
            steps: ``[n]`` or ``[n, T]``.
            actions: 0 = left, 1 = right, of the shape of ``steps``.
        """
        reward = reward_of((actions > 0) == (per_step(layout.hint, steps) > 0)) * self.at_junction(layout, steps)
        if self.distractors:
            reward += self._coin_toss(layout, steps)
        return reward

    def at_junction(self, layout: Layout, steps: IntArray) -> BoolArray:
        """Return whether each of the steps, ``[n]`` or ``[n, T]``, is the last of its episode."""
        return np.equal(steps, per_step(layout.length - 1, steps))

    def _coin_toss(self, layout: Layout, steps: IntArray) -> FloatArray:
        """Compute the reward of each step as a distractor; 0 where it is none."""
        corridor = per_step(layout.length, steps) - _FREE_STEPS - 1
        # The inverse of the edges in `layout`: the last stratum that begins at or before the step.
        stratum = ((steps - _FREE_STEPS + 1) * self.distractors - 1) // corridor
        stratum = np.clip(stratum, 0, self.distractors - 1)
        rows = per_step(np.arange(len(steps)), steps)
        hit = layout.distractor_steps[rows, stratum] == steps
        return np.where(hit, layout.distractor_reward[rows, stratum], np.float32(0))
