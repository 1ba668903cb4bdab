"""Doom's file formats, as far as a scenario of our own needs them: WAD archives, PNG pictures, UDMF maps.

The bytes follow from the arguments alone (PNG data are stored, not compressed), so that a scenario that is built again
can be compared with the one that was shipped.

Sources: the WAD and UDMF pages of the ZDoom wiki; ``grAb`` is ZDoom's PNG chunk for a sprite's offset.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Lump = tuple[str, bytes]
Values = dict[str, str | float | bool]
Image = npt.NDArray[np.uint8]
"""``[height, width, 4]``: red, green, blue and opacity (0 or 255)."""


def wad(lumps: Iterable[Lump]) -> bytes:
    """Return a PWAD of named lumps, in their order.

    Args:
        lumps: names of at most eight characters, and contents.
    """
    header_bytes = 12
    body, directory = b"", b""
    for name, content in lumps:
        directory += struct.pack("<II8s", header_bytes + len(body), len(content), name.encode("ascii"))
        body += content
    return struct.pack("<4sII", b"PWAD", len(directory) // 16, header_bytes + len(body)) + body + directory


def png(image: Image, offset: tuple[int, int] | None = None) -> bytes:
    """Return a PNG with a palette of at most 256 colours.

    Args:
        image: ``[height, width, 4]``.
        offset: column and row of the image that are at an actor's place, for a sprite.
    """
    height, width, _ = image.shape
    colours, index = np.unique(image.reshape(-1, 4), axis=0, return_inverse=True)
    rows = index.reshape(height, width).astype(np.uint8)
    lines = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # each with "no filter" before it
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))]
    if offset is not None:
        chunks.append(_chunk(b"grAb", struct.pack(">ii", *offset)))
    chunks.append(_chunk(b"PLTE", colours[:, :3].tobytes()))
    chunks.append(_chunk(b"tRNS", colours[:, 3].tobytes()))
    chunks.append(_chunk(b"IDAT", _stored(lines)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _stored(content: bytes) -> bytes:
    """Return a zlib stream of uncompressed blocks: what a compressor writes depends on its version."""
    most = 0xFFFF
    blocks = [content[at : at + most] for at in range(0, len(content), most)]
    out = b"\x78\x01"
    for number, block in enumerate(blocks):
        out += struct.pack("<BHH", number == len(blocks) - 1, len(block), len(block) ^ most) + block
    return out + struct.pack(">I", zlib.adler32(content))


class Room(NamedTuple):
    """A square room.

    Attributes:
        x: of its centre, in map units.
        size: of its sides.
        floor, ceiling, wall: names of textures.
        height: from floor to ceiling.
    """

    x: int
    size: int
    floor: str
    ceiling: str
    wall: str
    height: int = 160


class Thing(NamedTuple):
    """Actor that is on the map from the start.

    Attributes:
        type: its number, given to a class by the map's ZMAPINFO.
        x, y: its place.
        tag: by which specials find it; 0: none.
    """

    type: int
    x: int
    y: int = 0
    tag: int = 0


def textmap(rooms: Sequence[Room], things: Sequence[Thing]) -> bytes:
    """Return the TEXTMAP lump of a map of rooms that do not touch."""
    out = ['namespace = "zdoom";']
    for number, room in enumerate(rooms):
        half, first = room.size // 2, 4 * number
        for side, (x, y) in enumerate(((-half, -half), (-half, half), (half, half), (half, -half))):  # clockwise
            out.append(_block("vertex", {"x": float(room.x + x), "y": float(y)}))
            ends: Values = {"v1": first + side, "v2": first + (side + 1) % 4}
            out.append(_block("linedef", ends | {"sidefront": first + side, "blocking": True}))
            out.append(_block("sidedef", {"sector": number, "texturemiddle": room.wall}))
        look: Values = {"texturefloor": room.floor, "textureceiling": room.ceiling, "lightlevel": 224}
        out.append(_block("sector", look | {"heightfloor": 0, "heightceiling": room.height}))
    skills = {f"skill{n}": True for n in range(1, 6)}
    for thing in things:
        place: Values = {"x": float(thing.x), "y": float(thing.y), "angle": 0, "type": thing.type, "id": thing.tag}
        out.append(_block("thing", place | skills | {"single": True}))
    return "\n".join(out).encode("ascii")


def _block(name: str, values: Values) -> str:
    # UDMF writes truth values, numbers and texts as JSON does.
    return f"{name} {{ {' '.join(f'{key} = {json.dumps(value)};' for key, value in values.items())} }}"
