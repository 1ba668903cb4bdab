"""Scenarios: rules to a WAD that ViZDoom plays, with no compiler.

python -m memup_lightning.envs.two_colors.scenario.build    # writes the two WADs of the package again
"""

from __future__ import annotations

from pathlib import Path

from memup_lightning.envs.two_colors.rules import Rules, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.envs.two_colors.scenario.actors import decorate
from memup_lightning.envs.two_colors.scenario.maps import map_of
from memup_lightning.envs.two_colors.scenario.sprites import sprites, textures
from memup_lightning.envs.two_colors.scenario.wad import Lump, wad

_MAPINFO = """
gameinfo { PlayerClasses = "TCPlayer" }
map MAP01 "Two-Colors" { NoJump NoCrouch }
"""


def build(rules: Rules) -> bytes:
    """Return the WAD of some rules; the same bytes for the same rules."""
    lumps: list[Lump] = [
        ("DECORATE", decorate(rules).encode("ascii")),
        ("ZMAPINFO", _MAPINFO.encode("ascii")),
        ("S_START", b""),
        *sprites(),
        ("S_END", b""),
        ("TX_START", b""),
        *textures(),
        ("TX_END", b""),
        ("MAP01", b""),
        ("TEXTMAP", map_of(rules)),
        ("ENDMAP", b""),
    ]
    return wad(lumps)


def shipped(rules: Rules) -> Path:
    """Return where the package keeps the WAD of the default rules."""
    return Path(__file__).with_name(f"{rules.scenario}.wad")


def scenario(rules: Rules) -> bytes:
    """Return the WAD of some rules: that of the package where they are the default ones."""
    return shipped(rules).read_bytes() if rules == type(rules)() else build(rules)


if __name__ == "__main__":
    for default in (TwoColorsRules(), TwoColorsDelayRules()):
        shipped(default).write_bytes(build(default))
        print(f"{shipped(default)}: {shipped(default).stat().st_size:,} bytes")
