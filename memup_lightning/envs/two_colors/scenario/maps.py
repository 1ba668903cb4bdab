"""Maps of the scenario: the room, and the three rooms of the delay variant."""

from __future__ import annotations

from functools import singledispatch

from memup_lightning.envs.two_colors.rules import Rules, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.envs.two_colors.scenario.actors import ACID, ACID_TAG, CHOICE, CHOICE_TAG, GUIDE, ITEMS, PILLAR
from memup_lightning.envs.two_colors.scenario.wad import Room, Thing, textmap

_PLAYER, _TELEPORT_EXIT = 1, 14  # Doom's own numbers
_PILLAR_DISTANCE = 160  # map units from the player


@singledispatch
def map_of(rules: Rules) -> bytes:
    """Return the map of some rules, in UDMF."""
    raise TypeError(f"{type(rules).__name__} has no map")


@map_of.register(TwoColorsRules)
def _(rules: TwoColorsRules) -> bytes:
    room = Room(0, rules.room_size, "TCACID", "TCCEIL", "TCWALL")
    sources = [Thing(ITEMS, 0), Thing(ACID, 0)]
    return textmap([room], [Thing(_PLAYER, 0), Thing(PILLAR, _PILLAR_DISTANCE), *sources])


@map_of.register(TwoColorsDelayRules)
def _(rules: TwoColorsDelayRules) -> bytes:
    small, apart = 512, 12_000  # sides of the first and the last room; from room to room
    rooms = [
        Room(-apart, small, "TCCEIL", "TCCEIL", "TCWALL"),
        Room(0, rules.room_size, "TCACID", "TCCEIL", "TCWALL"),
        Room(apart, small, "TCCEIL", "TCCEIL", "TCWALL"),
    ]
    here = -apart - _PILLAR_DISTANCE // 2
    things = [
        Thing(_PLAYER, here),
        Thing(PILLAR, here + _PILLAR_DISTANCE),
        Thing(GUIDE, here),
        Thing(_TELEPORT_EXIT, 0, tag=ACID_TAG),
        Thing(ITEMS, 0),
        Thing(ACID, 0),
        Thing(_TELEPORT_EXIT, apart - small // 2 + 64, tag=CHOICE_TAG),
        Thing(CHOICE, apart + 64),
    ]
    return textmap(rooms, things)
