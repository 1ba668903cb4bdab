"""Policies that collect episodes: random, scripted, or of the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import gymnasium


class InformedPolicy(ABC):
    """Policy that also reads the infos, such as a script that reads hidden truth."""

    @abstractmethod
    def __call__(self, observations: Any, action_space: gymnasium.Space[Any], infos: Mapping[str, Any]) -> Any:
        """Return an action for each environment.

        Args:
            observations: of all environments.
            action_space: their joint action space.
            infos: what the vector environment returned with the observations.
        """


# Not a string: the command line finds a policy's class or function by these types.
Policy: TypeAlias = Callable[[Any, gymnasium.Space[Any]], Any] | InformedPolicy
"""From the observations of all environments and their joint action space to an action for each."""


def random_policy(observations: Any, action_space: gymnasium.Space[Any]) -> Any:
    """Draw every action with equal probability, seeded with the environment."""
    return action_space.sample()
