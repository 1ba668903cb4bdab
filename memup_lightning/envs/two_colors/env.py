"""The two variants of Two-Colors: one room of vests, and a single choice after a delay.

What an agent sees for a moment decides, for 2,000 tics, which vests keep it alive. See
:mod:`memup_lightning.envs.two_colors.base` for ``info`` and the actions.
"""

from __future__ import annotations

from typing import Any, Unpack

from memup_lightning.envs.two_colors.base import DoomEnv, ViewOptions
from memup_lightning.envs.two_colors.rules import TwoColorsDelayRules, TwoColorsRules


class TwoColorsEnv(DoomEnv):
    """Room of acid with red and green vests; those of the colour of a pillar, visible at the start only, heal.

    Terminated when the player dies, truncated at the timeout. See the module for what ``info`` holds.

    Args:
        decay, decay_interval, items, item_interval, item_health, pillar_tics, timeout, room_size: see
            :class:`~memup_lightning.envs.two_colors.rules.TwoColorsRules`.
        match_reward, mismatch_reward, living_reward: see there.
        **view: frame_skip, observation_size, colour, field_of_view, resolution, shrink, item_info, patience,
            render_mode: see :class:`DoomEnv`.
    """

    def __init__(
        self,
        decay: int = 10,
        decay_interval: int = 128,
        items: int = 10,
        item_interval: int = 30,
        item_health: int = 25,
        pillar_tics: int = 90,
        timeout: int = 2100,
        room_size: int = 1280,
        match_reward: float = 1.0,
        mismatch_reward: float = -1.0,
        living_reward: float = 0.01,
        **view: Unpack[ViewOptions],
    ) -> None:
        rules = TwoColorsRules(
            decay=decay,
            decay_interval=decay_interval,
            items=items,
            item_interval=item_interval,
            item_health=item_health,
            pillar_tics=pillar_tics,
            timeout=timeout,
            room_size=room_size,
            match_reward=match_reward,
            mismatch_reward=mismatch_reward,
            living_reward=living_reward,
        )
        super().__init__(rules, **view)

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0)


class TwoColorsDelayEnv(DoomEnv):
    """A pillar, 2,000 tics in a room of acid with medikits, then one choice between a red and a green vest.

    Terminated when a vest is chosen or the player dies, truncated at the timeout. See the module for what ``info`` holds.

    Args:
        decay, decay_interval, items, item_interval, item_health, pillar_tics, pillar_room_tics, delay, timeout,
            room_size: see :class:`~memup_lightning.envs.two_colors.rules.TwoColorsDelayRules`.
        match_reward, mismatch_reward, living_reward: see there.
        **view: frame_skip, observation_size, colour, field_of_view, resolution, shrink, item_info, patience,
            render_mode: see :class:`DoomEnv`.
    """

    def __init__(
        self,
        decay: int = 10,
        decay_interval: int = 128,
        items: int = 20,
        item_interval: int = 30,
        item_health: int = 25,
        pillar_tics: int = 90,
        pillar_room_tics: int = 100,
        delay: int = 2000,
        timeout: int = 2300,
        room_size: int = 1280,
        match_reward: float = 5.0,
        mismatch_reward: float = 0.0,
        living_reward: float = 0.0,
        **view: Unpack[ViewOptions],
    ) -> None:
        rules = TwoColorsDelayRules(
            decay=decay,
            decay_interval=decay_interval,
            items=items,
            item_interval=item_interval,
            item_health=item_health,
            pillar_tics=pillar_tics,
            pillar_room_tics=pillar_room_tics,
            delay=delay,
            timeout=timeout,
            room_size=room_size,
            match_reward=match_reward,
            mismatch_reward=mismatch_reward,
            living_reward=living_reward,
        )
        super().__init__(rules, **view)

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0 or info["matched"] or info["mismatched"])
