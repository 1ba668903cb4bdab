"""The two variants of Two-Colors: one room of vests, and a single choice after a delay.

What an agent sees for a moment decides, for 2,000 tics, which vests keep it alive. See
:mod:`memup_lightning.envs.two_colors.base` for ``info``, the actions and the arguments.
"""

from __future__ import annotations

from typing import Any

from memup_lightning.envs.two_colors.base import DoomEnv
from memup_lightning.envs.two_colors.rules import TwoColorsDelayRules, TwoColorsRules


class TwoColorsEnv(DoomEnv):
    """Room of acid with red and green vests; those of the colour of a pillar, visible at the start only, heal.

    Terminated when the player dies, truncated at the timeout.
    """

    rules_class = TwoColorsRules

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0)


class TwoColorsDelayEnv(DoomEnv):
    """A pillar, 2,000 tics in a room of acid with medikits, then one choice between a red and a green vest.

    Terminated when a vest is chosen or the player dies, truncated at the timeout.
    """

    rules_class = TwoColorsDelayRules

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0 or info["matched"] or info["mismatched"])
