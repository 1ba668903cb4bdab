"""Policies that collect episodes of Two-Colors: most by a script that walks to items, some at random."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from memup_lightning import rng
from memup_lightning.envs.policies import InformedPolicy
from memup_lightning.envs.two_colors.rules import ACTIONS, FORWARD, FORWARD_LEFT, FORWARD_RIGHT, ITEMS, LEFT, RIGHT
from memup_lightning.exceptions import MemUPError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
StringArray = npt.NDArray[np.str_]


_RANDOM_EPISODE, _RANDOM_STEP, _ACTION, _CHOICE, _SIDE = range(5)  # first key of the draws


class ItemPolicy(InformedPolicy, ABC):
    """Policy that plays a share of the episodes at random, and the others by a script that reads hidden infos.

    The script walks to the nearest item in view, by the labels of the screen; with none in view it turns. Its draws
    follow from the seeds of the episodes: an episode is the same whatever the other environments play.

    Args:
        random_share: share of the episodes that are played at random, 0 to 1.
        noise: share of random actions in the others, 0 to 1.
        seed: of its draws.

    Raises:
        MemUPError: a share outside 0 to 1; an environment without ``item_info``.
    """

    def __init__(self, random_share: float = 0.0, noise: float = 0.1, seed: int = 0) -> None:
        if not 0 <= random_share <= 1 or not 0 <= noise <= 1:
            raise MemUPError(f"random_share={random_share}, noise={noise}: give 0 to 1")
        self.random_share = random_share
        self.noise = noise
        self.seed = seed

    @abstractmethod
    def goal(self, infos: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
        """Return bearing (degrees, positive to the left) and distance of the goal, ``[envs]``; NaN: not in view."""

    def __call__(
        self, observations: Any, action_space: gymnasium.Space[Any], infos: Mapping[str, Any]
    ) -> npt.NDArray[np.int64]:
        if "red_bearing" not in infos:
            raise MemUPError(
                f"{type(self).__name__} needs to know the items in view; give env_kwargs: {{item_info: true}}"
            )
        episode, tic = episode_seeds(infos), np.asarray(infos["tic"]).astype(np.int64)
        random = (self.draw(_ACTION, episode, tic) * len(ACTIONS)).astype(np.int64)
        by_chance = self.draw(_RANDOM_EPISODE, episode) < self.random_share
        by_chance |= self.draw(_RANDOM_STEP, episode, tic) < self.noise
        return np.where(by_chance, random, self._walk(*self.goal(infos), self.draw(_SIDE, episode) < 0.5))

    def draw(self, purpose: int, *keys: IntArray) -> FloatArray:
        """Draw a uniform number from [0, 1)."""
        return rng.uniform(self.seed, purpose, *keys)

    def _walk(self, bearing: FloatArray, distance: FloatArray, search_left: BoolArray) -> IntArray:
        left, off = bearing > 0, np.abs(bearing)
        walk = np.where(off < 6, FORWARD, np.where(left, FORWARD_LEFT, FORWARD_RIGHT))
        turn = np.where(left, LEFT, RIGHT)
        # To walk while turning towards what is near leads past it.
        walk = np.where(off > np.where(distance < 150, 15, 35), turn, walk)
        return np.where(np.isnan(bearing), np.where(search_left, LEFT, RIGHT), walk)


class TwoColorsPolicy(ItemPolicy):
    """Takes vests of the pillar's colour when its health is low, and of the other colour when it is not. It lives long,
    and takes about as many of either: the reward of a vest does not follow from the script.

    Args:
        random_share, noise, seed: see :class:`ItemPolicy`.
        low_health: health up to which it takes vests of the pillar's colour; 100: always; it still
            walks over others on its way.
    """

    def __init__(self, random_share: float = 0.0, noise: float = 0.1, seed: int = 0, low_health: float = 75) -> None:
        super().__init__(random_share, noise, seed)
        self.low_health = low_health

    def goal(self, infos: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
        matching = np.asarray(infos["health"]) <= self.low_health
        return _nearest(_vest((np.asarray(infos["colour"]) == 1) == matching), infos)


class TwoColorsDelayPolicy(ItemPolicy):
    """Takes medikits, and at the end one of the two vests by a coin toss."""

    def goal(self, infos: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
        green = self.draw(_CHOICE, episode_seeds(infos)) < 0.5
        return _nearest(np.where(np.asarray(infos["medikit_count"]) > 0, "medikit", _vest(green)), infos)


def episode_seeds(infos: Mapping[str, Any]) -> IntArray:
    """Return the seeds of the episodes that the environments play, ``[envs]``."""
    return np.asarray(infos["episode_seed"]).astype(np.int64)


def _vest(green: BoolArray) -> StringArray:
    return np.where(green, "green", "red")


def _nearest(item: StringArray, infos: Mapping[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Return bearing and distance of the nearest item of each environment's goal; NaN where none is in view."""
    bearing, distance = np.full(len(item), np.nan), np.full(len(item), np.nan)
    for name in ITEMS:
        wanted = (item == name) & (np.asarray(infos[f"{name}_count"]) > 0)
        bearing[wanted] = np.asarray(infos[f"{name}_bearing"])[wanted]
        distance[wanted] = np.asarray(infos[f"{name}_distance"])[wanted]
    return bearing, distance
