"""``memup configs``: copy the shipped configs to where the documented commands find them."""

from __future__ import annotations

import argparse
import difflib
import textwrap
from collections.abc import Sequence
from pathlib import Path

import memup_lightning

SHIPPED = Path(memup_lightning.__file__).parent / "conf"


def copy_configs(args: Sequence[str]) -> None:
    """Copy the shipped configs into a folder and list them; a file that the user has changed is kept.

    Args:
        args: the folder, or nothing for ``conf``.
    """
    parser = argparse.ArgumentParser(
        prog="memup configs",
        description="Copy the shipped configs into a folder, and list them. No file is overwritten.",
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("conf"), help="by default conf")
    folder: Path = parser.parse_args(args).folder
    configs = sorted(SHIPPED.glob("*.yaml")) + sorted(SHIPPED.glob("*/*.yaml"))
    copies = {config: folder / config.relative_to(SHIPPED) for config in configs}
    width = max(len(str(copy)) for copy in copies.values())
    for config, copy in copies.items():
        text = config.read_text()
        note = ""
        if not copy.exists():
            try:
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(text)
            except OSError as error:
                parser.error(f"{copy}: cannot be written ({error.strerror}); give a folder that can")
        elif not copy.is_file() or copy.read_text() != text:
            note = " (yours is another and is kept)"
        print(f"{copy!s:<{width}}  {_purpose(text)}{note}")
    print(f"\nStart one with: memup fit --config {folder / 'tmaze.yaml'}")


def missing_config_hint(name: str) -> str | None:
    """Say how to get a config that is not there; None where none of a like name is shipped.

    Args:
        name: what was given as ``--config``.
    """
    given = Path(name).stem
    shipped = [config.stem for config in SHIPPED.glob("*.yaml")]
    if given in shipped:
        return "`memup configs` copies the shipped configs to conf/"
    near = difflib.get_close_matches(given, shipped, n=1)
    return f"did you mean conf/{near[0]}.yaml, which `memup configs` copies there?" if near else None


def _purpose(text: str) -> str:
    """Return the first sentence of the comment above a config."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("# "):
            break
        lines.append(line[2:])
    return textwrap.shorten(" ".join(lines).partition(". ")[0].rstrip(".:"), 100, placeholder=" ...")
