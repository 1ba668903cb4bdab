"""Actors of the scenario, in ZDoom's DECORATE.

Actors that nobody sees carry out the rules: one chooses the colour, one lets vests appear, one is the acid. They reach
the player through inventory, and what they count there (as ammunition, which ViZDoom reads: AMMO1 and so on) is the
hidden truth of an episode. An actor of the map begins with a state of no length: ZDoom gives its first state a random
one.
"""

from __future__ import annotations

from functools import singledispatch

from memup_lightning.envs.two_colors.rules import FULL_HEALTH, Rules, TwoColorsDelayRules, TwoColorsRules

COUNTERS = ("TCMatched", "TCMismatched", "TCColour")
"""What is counted, read as AMMO1, AMMO2, AMMO3: vests of the right and of the wrong colour; 1: red, 2: green."""

PILLAR, ITEMS, ACID, GUIDE, CHOICE = 14000, 14001, 14002, 14003, 14004
"""Numbers of the actors that a map places."""
ACID_TAG, CHOICE_TAG = 1, 2
"""Tags of the places to which the player is taken in the delay variant."""

_WALL_MARGIN = 48  # map units from a wall to the nearest item


def decorate(rules: Rules) -> str:
    """Return all actors of some rules."""
    return _common(rules) + _variant(rules)


def _common(rules: Rules) -> str:
    """Return the actors player, counters and pillar."""
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
actor TCPillarSource {PILLAR} {{
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
    """Return both vests; what follows when the colour is the pillar's, and when it is the other."""
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


def _spawn(actor: str, rules: Rules, duration: int = 0) -> str:
    """Return a state that lets one item appear at a random place of the room in whose centre the actor stands."""
    reach = rules.room_size // 2 - _WALL_MARGIN
    place = f"frandom(-{reach}, {reach}), frandom(-{reach}, {reach}), 0"
    return f'TNT1 A {duration} A_SpawnItemEx("{actor}", {place}, 0, 0, 0, 0, SXF_NOCHECKPOSITION)'


@singledispatch
def _variant(rules: Rules) -> str:
    """Return the actors that one of the two variants has alone."""
    raise TypeError(f"{type(rules).__name__} has no actors")


@_variant.register(TwoColorsRules)
def _(rules: TwoColorsRules) -> str:
    begin = "\n    ".join(_spawn(actor, rules) for _ in range(rules.items) for actor in ("TCRedVest", "TCGreenVest"))
    right = 'TNT1 A 0 A_GiveInventory("TCHeal", 1)'
    wrong = f'TNT1 A 0 A_DamageSelf({rules.item_health}, "Slime", DMSS_FOILINVUL)'
    return f"""
{_vests(right, wrong)}
actor TCVestSource {ITEMS} {{
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
actor TCAcid {ACID} {{
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


@_variant.register(TwoColorsDelayRules)
def _(rules: TwoColorsDelayRules) -> str:
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
        for tag in (ACID_TAG, CHOICE_TAG)
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
actor TCMedikitSource {ITEMS} {{
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
actor TCAcid {ACID} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A {rules.pillar_room_tics}
    {bites}
    Stop
  }}
}}
actor TCGuide {GUIDE} {{
  +NOINTERACTION
  States {{
  Spawn:
    TNT1 A 0
    TNT1 A {rules.pillar_room_tics}
    TNT1 A 0 A_GiveInventory("TCTravel{ACID_TAG}", 1, AAPTR_PLAYER1)
    TNT1 A {rules.delay}
    TNT1 A 0 A_GiveInventory("TCTravel{CHOICE_TAG}", 1, AAPTR_PLAYER1)
    Stop
  }}
}}
actor TCChoice {CHOICE} {{
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
