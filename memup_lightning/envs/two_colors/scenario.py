"""The scenario: rules to a WAD that ViZDoom plays, with no compiler.

    python -m memup_lightning.envs.two_colors.scenario    # writes the two WADs of the package anew

Actors that nobody sees carry out the rules: one chooses the colour, one lets vests appear, one is the acid. They reach
the player through inventory, and what they count there (as ammunition, which ViZDoom reads: AMMO1 and so on) is the
hidden truth of an episode. An actor of the map begins with a state of no length: ZDoom gives its first state a random
one.
"""

from __future__ import annotations

from pathlib import Path

from memup_lightning.envs.two_colors.rules import FULL_HEALTH, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.envs.two_colors.sprites import sprites, textures
from memup_lightning.envs.two_colors.wad import Lump, Room, Thing, textmap, wad

Rules = TwoColorsRules | TwoColorsDelayRules

COUNTERS = ("TCMatched", "TCMismatched", "TCColour")
"""What is counted, read as AMMO1, AMMO2, AMMO3: vests of the right and of the wrong colour; 1: red, 2: green."""

_PLAYER, _TELEPORT_EXIT, _PILLAR, _ITEMS, _ACID, _GUIDE, _CHOICE = 1, 14, 14000, 14001, 14002, 14003, 14004
_MARGIN = 48  # from a wall to the nearest item
_SIGHT = 160  # from the player to the pillar
_ACID_TAG, _CHOICE_TAG = 1, 2


def build(rules: Rules) -> bytes:
    """The WAD of some rules; the same bytes for the same rules."""
    if isinstance(rules, TwoColorsDelayRules):
        actors, world = _delay(rules), _delay_map(rules)
    else:
        actors, world = _room(rules), _room_map(rules)
    lumps: list[Lump] = [
        ("DECORATE", (_common(rules) + actors).encode("ascii")),
        ("ZMAPINFO", _MAPINFO.encode("ascii")),
        ("S_START", b""),
        *sprites(),
        ("S_END", b""),
        ("TX_START", b""),
        *textures(),
        ("TX_END", b""),
        ("MAP01", b""),
        ("TEXTMAP", world),
        ("ENDMAP", b""),
    ]
    return wad(lumps)


def shipped(rules: Rules) -> Path:
    """Where the package keeps the WAD of the default rules."""
    return Path(__file__).with_name(
        "two_colors_delay.wad" if isinstance(rules, TwoColorsDelayRules) else "two_colors.wad"
    )


def scenario(rules: Rules) -> bytes:
    """The WAD of some rules: that of the package where they are the default ones."""
    return shipped(rules).read_bytes() if rules == type(rules)() else build(rules)


_MAPINFO = """
gameinfo { PlayerClasses = "TCPlayer" }
map MAP01 "Two-Colors" { NoJump NoCrouch }
"""


def _common(rules: Rules) -> str:
    """Player, counters, pillar."""
    slots = "\n".join(
        f'  Player.StartItem "{name}Gun"\n  Player.WeaponSlot {n}, "{name}Gun"' for n, name in enumerate(COUNTERS, 1)
    )
    counters = "\n".join(
        f"""
actor {name} : Ammo {{ Inventory.Amount 1 Inventory.MaxAmount 100000 }}
actor {name}Gun : Weapon {{
  Weapon.AmmoType "{name}"
  States {{
  Ready:
    TNT1 A 1 A_WeaponReady(WRF_NOFIRE)
    Loop
  Select:
    TNT1 A 1 A_Raise
    Loop
  Deselect:
    TNT1 A 1 A_Lower
    Loop
  Fire:
    Goto Ready
  }}
}}"""
        for name in COUNTERS
    )
    pillars = "\n".join(
        f"""
actor TC{colour}Pillar {{
  Radius 24 Height 112 +SOLID
  States {{
  Spawn:
    {sprite} A {rules.pillar_tics} Bright
    Stop
  }}
}}"""
        for colour, sprite in (("Red", "TCRP"), ("Green", "TCGP"))
    )
    return f"""
actor TCPlayer : DoomPlayer {{
{slots}
}}
{counters}
{pillars}
actor TCRed : Inventory {{ Inventory.MaxAmount 1 }}
actor TCPillarSource {_PILLAR} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A 0 A_Jump(128, "Green")
    TNT1 A 0 A_GiveInventory("TCRed", 1, AAPTR_PLAYER1)
    TNT1 A 0 A_GiveInventory("TCColour", 1, AAPTR_PLAYER1)
    TNT1 A 0 A_SpawnItemEx("TCRedPillar", 0, 0, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    Stop
  Green:
    TNT1 A 0 A_GiveInventory("TCColour", 2, AAPTR_PLAYER1)
    TNT1 A 0 A_SpawnItemEx("TCGreenPillar", 0, 0, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    Stop
  }}
}}
actor TCHeal : Health {{ Inventory.Amount {rules.item_health} Inventory.MaxAmount {FULL_HEALTH} +INVENTORY.ALWAYSPICKUP }}
actor TCDecay : CustomInventory {{
  +INVENTORY.AUTOACTIVATE +INVENTORY.ALWAYSPICKUP
  States {{
  Use:
    TNT1 A 0 A_DamageSelf({rules.decay}, "Slime", DMSS_FOILINVUL)
    Stop
  }}
}}
"""


def _vests(right: str, wrong: str) -> str:
    """Both vests; what follows when the colour is the pillar's, and when it is the other."""
    return "\n".join(
        f"""
actor TC{colour}Vest : CustomInventory {{
  Radius 20 Height 32 Inventory.PickupMessage ""
  +INVENTORY.ALWAYSPICKUP
  States {{
  Spawn:
    {sprite} A -1 Bright
    Stop
  Pickup:
    TNT1 A 0 A_JumpIfInventory("TCRed", 1, "{if_red}")
    Goto {if_green}
  Right:
    TNT1 A 0 A_GiveInventory("TCMatched", 1)
    {right}
    Stop
  Wrong:
    TNT1 A 0 A_GiveInventory("TCMismatched", 1)
    {wrong}
    Stop
  }}
}}"""
        for colour, sprite, if_red, if_green in (("Red", "TCRV", "Right", "Wrong"), ("Green", "TCGV", "Wrong", "Right"))
    )


def _spawn(kind: str, rules: Rules, duration: int = 0) -> str:
    """A state that lets one item appear at a random place of the room in whose centre the actor stands."""
    reach = rules.room_size // 2 - _MARGIN
    place = f"frandom(-{reach}, {reach}), frandom(-{reach}, {reach}), 0"
    return f'TNT1 A {duration} A_SpawnItemEx("{kind}", {place}, 0, 0, 0, 0, SXF_NOCHECKPOSITION)'


def _room(rules: Rules) -> str:
    begin = "\n    ".join(_spawn(kind, rules) for _ in range(rules.items) for kind in ("TCRedVest", "TCGreenVest"))
    right = 'TNT1 A 0 A_GiveInventory("TCHeal", 1)'
    wrong = f'TNT1 A 0 A_DamageSelf({rules.item_health}, "Slime", DMSS_FOILINVUL)'
    return f"""
{_vests(right, wrong)}
actor TCVestSource {_ITEMS} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    {begin}
  More:
    TNT1 A {rules.item_interval}
    {_spawn("TCRedVest", rules)}
    TNT1 A {rules.item_interval}
    {_spawn("TCGreenVest", rules)}
    Loop
  }}
}}
actor TCAcid {_ACID} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
  Bite:
    TNT1 A {rules.decay_interval}
    TNT1 A 0 A_GiveInventory("TCDecay", 1, AAPTR_PLAYER1)
    Loop
  }}
}}
"""


def _room_map(rules: Rules) -> bytes:
    room = Room(0, rules.room_size, "TCACID", "TCCEIL", "TCWALL")
    kinds = [Thing(_ITEMS, 0), Thing(_ACID, 0)]
    return textmap([room], [Thing(_PLAYER, 0), Thing(_PILLAR, _SIGHT), *kinds])


def _delay(rules: TwoColorsDelayRules) -> str:
    begin = "\n    ".join(_spawn("TCMedikit", rules) for _ in range(rules.items))
    bites = "\n    ".join(
        f'TNT1 A {rules.decay_interval}\n    TNT1 A 0 A_GiveInventory("TCDecay", 1, AAPTR_PLAYER1)'
        for _ in range(rules.delay // rules.decay_interval)
    )
    leave = "TNT1 A 0 A_CallSpecial(243, 0)"
    travels = "\n".join(
        f"""
actor TCTravel{tag} : CustomInventory {{
  +INVENTORY.AUTOACTIVATE +INVENTORY.ALWAYSPICKUP
  States {{
  Use:
    TNT1 A 0 A_CallSpecial(71, {tag}, 1)
    Stop
  }}
}}"""
        for tag in (_ACID_TAG, _CHOICE_TAG)
    )
    return f"""
{_vests(leave, leave)}
{travels}
actor TCMedikit : CustomInventory {{
  Radius 20 Height 28 Inventory.PickupMessage ""
  +INVENTORY.ALWAYSPICKUP
  States {{
  Spawn:
    TCMK A -1 Bright
    Stop
  Pickup:
    TNT1 A 0 A_GiveInventory("TCHeal", 1)
    Stop
  }}
}}
actor TCMedikitSource {_ITEMS} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    {begin}
  More:
    TNT1 A {rules.item_interval}
    {_spawn("TCMedikit", rules)}
    Loop
  }}
}}
actor TCAcid {_ACID} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A {rules.pillar_room_tics}
    {bites}
    Stop
  }}
}}
actor TCGuide {_GUIDE} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A {rules.pillar_room_tics}
    TNT1 A 0 A_GiveInventory("TCTravel{_ACID_TAG}", 1, AAPTR_PLAYER1)
    TNT1 A {rules.delay}
    TNT1 A 0 A_GiveInventory("TCTravel{_CHOICE_TAG}", 1, AAPTR_PLAYER1)
    Stop
  }}
}}
actor TCChoice {_CHOICE} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A 0 A_Jump(128, "Swapped")
    TNT1 A 0 A_SpawnItemEx("TCRedVest", 0, -96, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    TNT1 A 0 A_SpawnItemEx("TCGreenVest", 0, 96, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    Stop
  Swapped:
    TNT1 A 0 A_SpawnItemEx("TCGreenVest", 0, -96, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    TNT1 A 0 A_SpawnItemEx("TCRedVest", 0, 96, 0, 0, 0, 0, 0, SXF_NOCHECKPOSITION)
    Stop
  }}
}}
"""


def _delay_map(rules: TwoColorsDelayRules) -> bytes:
    small, apart = 512, 12_000  # sides of the first and the last room; from room to room
    rooms = [
        Room(-apart, small, "TCCEIL", "TCCEIL", "TCWALL"),
        Room(0, rules.room_size, "TCACID", "TCCEIL", "TCWALL"),
        Room(apart, small, "TCCEIL", "TCCEIL", "TCWALL"),
    ]
    here = -apart - _SIGHT // 2
    things = [
        Thing(_PLAYER, here),
        Thing(_PILLAR, here + _SIGHT),
        Thing(_GUIDE, here),
        Thing(_TELEPORT_EXIT, 0, tag=_ACID_TAG),
        Thing(_ITEMS, 0),
        Thing(_ACID, 0),
        Thing(_TELEPORT_EXIT, apart - small // 2 + 64, tag=_CHOICE_TAG),
        Thing(_CHOICE, apart + 64),
    ]
    return textmap(rooms, things)


if __name__ == "__main__":
    for default in (TwoColorsRules(), TwoColorsDelayRules()):
        shipped(default).write_bytes(build(default))
        print(f"{shipped(default)}: {shipped(default).stat().st_size:,} bytes")
