"""The rules of Two-Colors and of its delay variant, as numbers.

Times are in tics, Doom's clock: 35 a second. Lengths are in map units; a player is 32 wide and moves about 8 a tic.
Source: the ViZDoom-Two-Colors of MemUP (Sorokin et al., "Explain My Surprise", NeurIPS 2022); acid as described for RATE
(Cherepanov et al., "Recurrent Action Transformer with Memory", 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from memup_lightning.exceptions import MemUPError

FULL_HEALTH = 100
SPEED = 8
"""Map units that a player walks in a tic, about."""
REACH = 51
"""Map units between a player (box 32 wide) and a vest (40) that touch at their corners: sqrt(2) * (16 + 20)."""

BUTTONS = ("TURN_LEFT", "TURN_RIGHT", "MOVE_FORWARD", "MOVE_BACKWARD")
ACTIONS: tuple[tuple[int, int, int, int], ...] = (
    (0, 0, 1, 0),
    (1, 0, 1, 0),
    (0, 1, 1, 0),
    (1, 0, 0, 0),
    (0, 1, 0, 0),
    (0, 0, 0, 1),
    (1, 0, 0, 1),
    (0, 1, 0, 1),
)
"""The buttons that each action presses, in the order of :data:`BUTTONS`."""
ITEMS = {"red": "TCRedVest", "green": "TCGreenVest", "medikit": "TCMedikit"}
"""Actor of each type of item."""
FORWARD, FORWARD_LEFT, FORWARD_RIGHT, LEFT, RIGHT, BACKWARD, BACKWARD_LEFT, BACKWARD_RIGHT = range(len(ACTIONS))


_RANGES = {
    "decay": (0, 1000),
    "decay_interval": (1, 100_000),
    "items": (0, 1000),
    "item_interval": (1, 100_000),
    "item_health": (0, 1000),
    "pillar_tics": (1, 100_000),
    "pillar_room_tics": (1, 100_000),
    "delay": (1, 1_000_000),
    "timeout": (1, 1_000_000),
    "room_size": (512, 8192),
}


@dataclass(frozen=True)
class Rules:
    """Numbers that both variants have.

    Args:
        decay: health that the acid takes every ``decay_interval`` in its room; 0 to 1000.
        decay_interval: tics.
        items: vests of each colour, or medikits, in the room of acid at the start, at random places.
        item_interval: tics from one new item to the next; the colours take turns.
        item_health: health that an item gives, up to 100; a vest of the wrong colour takes it.
        pillar_tics: tics until the pillar vanishes.
        timeout: tics after which the episode is cut off.
        room_size: sides of the room of acid, map units.
        match_reward: reward of a vest of the pillar's colour.
        mismatch_reward: reward of a vest of the other colour.
        living_reward: reward of every tic.

    Raises:
        MemUPError: a number out of its range.
    """

    decay: int = 10
    decay_interval: int = 128
    items: int = 10
    item_interval: int = 30
    item_health: int = 25
    pillar_tics: int = 90
    timeout: int = 2100
    room_size: int = 1280
    match_reward: float = 1.0
    mismatch_reward: float = -1.0
    living_reward: float = 0.01

    scenario: ClassVar[str]
    """Name of the scenario."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name, low)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise MemUPError(f"{name}={value!r}: give a whole number from {low} to {high}")

    @property
    def choice_tic(self) -> int | None:
        """Tic at which the single choice begins; None: vests are there from the start."""
        return None


class TwoColorsRules(Rules):
    """A room of acid, with a red or green pillar that soon vanishes. Vests of its colour heal, those of the other hurt."""

    scenario = "two_colors"


@dataclass(frozen=True)
class TwoColorsDelayRules(Rules):
    """A pillar, then a room of acid with medikits, at last a room with one red and one green vest: a single choice.

    Args:
        pillar_room_tics: tics until the player is taken from the room of the pillar to that of the acid.
        delay: tics until the player is taken on to the room of the choice.
        decay, decay_interval, items, item_interval, item_health, pillar_tics, timeout, room_size: see :class:`Rules`.
        match_reward, mismatch_reward, living_reward: see there. Either vest ends the episode.

    Raises:
        MemUPError: a number out of its range, a timeout before the choice.
    """

    items: int = 20
    timeout: int = 2300
    match_reward: float = 5.0
    mismatch_reward: float = 0.0
    living_reward: float = 0.0
    pillar_room_tics: int = 100
    delay: int = 2000

    scenario = "two_colors_delay"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.timeout <= self.choice_tic:
            raise MemUPError(
                f"timeout={self.timeout} comes before the choice, at tic pillar_room_tics + delay = "
                f"{self.choice_tic}; give more"
            )

    @property
    def choice_tic(self) -> int:
        return self.pillar_room_tics + self.delay
