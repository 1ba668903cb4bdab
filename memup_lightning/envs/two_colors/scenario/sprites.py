"""The pictures of the scenario, drawn in NumPy: vests and pillars in two colours, a medikit, walls and acid.

They are distinct at 112x64 pixels: large, with one plain colour each, that nothing else in the room has.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from memup_lightning.envs.two_colors.scenario.wad import Image, Lump, png

Colour = tuple[int, int, int]
RED: Colour = (220, 20, 20)
GREEN: Colour = (30, 200, 40)
_WHITE: Colour = (240, 240, 240)
_BLUE: Colour = (40, 60, 220)
_Mask = npt.NDArray[np.bool_]


def sprites() -> list[Lump]:
    """Return the sprite lumps: 4 letters, a frame, and 0 (the same from all sides)."""
    images: Mapping[str, Image] = {
        "TCRVA0": _vest(RED),
        "TCGVA0": _vest(GREEN),
        "TCRPA0": _pillar(RED),
        "TCGPA0": _pillar(GREEN),
        "TCMKA0": _medikit(),
    }
    # The middle of the lowest row is at the actor's place.
    return [(name, png(image, (image.shape[1] // 2, image.shape[0]))) for name, image in images.items()]


def textures() -> list[Lump]:
    """Return the texture lumps, 64x64: walls, acid and ceiling."""
    return [("TCWALL", png(_wall())), ("TCACID", png(_acid())), ("TCCEIL", png(_plain((56, 56, 56))))]


def _grid(height: int, width: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    rows, columns = np.mgrid[:height, :width]
    return rows, columns


def _empty(height: int, width: int) -> Image:
    return np.zeros((height, width, 4), np.uint8)


def _paint(image: Image, where: _Mask, colour: Colour, light: float = 1.0) -> None:
    image[where, :3] = np.minimum(np.array(colour) * light, 255).astype(np.uint8)
    image[where, 3] = 255


def _vest(colour: Colour) -> Image:
    """Draw a waistcoat: shoulders, holes for neck and arms, a darker rim. It is below eye level (33 to 41 units)."""
    rows, columns = _grid(32, 40)
    across = np.abs(columns - 19.5)
    body = across < np.where(rows < 12, 19, 16)
    body &= ~((rows < 8) & (across < 5 - rows / 2))  # neck
    body &= ~((rows >= 6) & (rows < 15) & (across > 14))  # arms
    image = _empty(32, 40)
    _paint(image, body, colour)
    inner = body & np.roll(body, 2, 0) & np.roll(body, -2, 0) & np.roll(body, 2, 1) & np.roll(body, -2, 1)
    _paint(image, body & ~inner, colour, 0.6)
    _paint(image, inner & (across < 1), colour, 0.6)  # the seam
    return image


def _pillar(colour: Colour) -> Image:
    """Draw a column, lighter in its middle, with a base and a capital."""
    rows, columns = _grid(112, 56)
    across = np.abs(columns - 27.5) / 28
    wide = (rows < 10) | (rows >= 102)
    image = _empty(112, 56)
    for low, high, light in ((0.0, 0.35, 1.0), (0.35, 0.6, 0.85), (0.6, 0.8, 0.7), (0.8, 1.0, 0.55)):
        band = (across >= low) & (across < high)
        _paint(image, band & (wide | (across < 0.8)), colour, light)
    return image


def _medikit() -> Image:
    """Draw a white box with a blue cross."""
    rows, columns = _grid(28, 36)
    down, across = np.abs(rows - 13.5), np.abs(columns - 17.5)
    image = _empty(28, 36)
    _paint(image, rows >= 0, _WHITE)
    _paint(image, ((down < 3) & (across < 10)) | ((across < 3) & (down < 10)), _BLUE)
    return image


def _wall() -> Image:
    """Draw grey bricks, which make movement visible."""
    rows, columns = _grid(64, 64)
    shifted = columns + np.where(rows // 16 % 2, 16, 0)
    image = _plain((124, 116, 108))
    _paint(image, (rows % 16 < 2) | (shifted % 32 < 2), (72, 68, 64))
    return image


def _acid() -> Image:
    """Draw blue with darker waves."""
    rows, columns = _grid(64, 64)
    image = _plain((24, 24, 120))
    waves = (rows + 4 * np.sin(2 * np.pi * columns / 32)).astype(np.int64) % 16 < 4
    _paint(image, waves, (12, 12, 80))
    return image


def _plain(colour: Colour) -> Image:
    image = _empty(64, 64)
    _paint(image, np.ones((64, 64), np.bool_), colour)
    return image
