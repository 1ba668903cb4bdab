"""Views of the engine's screen: the frame that an agent sees, and the items in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.envs.two_colors.engine import vizdoom
from memup_lightning.envs.two_colors.rules import ITEMS
from memup_lightning.exceptions import MemUPError, check_counts

Frame = npt.NDArray[np.uint8]


class View:
    """The middle of the engine's screen, shrunk.

    Args:
        observation_size: height and width of a frame, pixels.
        colour: whether a frame has three channels; else one, grey.
        field_of_view: width of what a frame shows, degrees.
        resolution: of the engine's screen, one of ViZDoom's, such as ``160X120``.
        shrink: side of the squares of the screen whose mean is a pixel of a frame.

    Attributes:
        shape: of a frame, ``(height, width, channels)``.
        screen_shape: of the screen, ``(height, width)`` or ``(height, width, 3)``.
        screen_format: ViZDoom's format of the screen.
        screen_resolution: ViZDoom's name of the resolution.
        screen_field_of_view: width of what the screen shows, degrees: it is wider than a frame.

    Raises:
        MemUPError: an argument out of its range, a frame that is larger than the screen.
    """

    def __init__(
        self,
        observation_size: tuple[int, int] = (64, 112),
        colour: bool = True,
        field_of_view: float = 90.0,
        resolution: str = "160X120",
        shrink: int = 1,
    ) -> None:
        check_counts(1, shrink=shrink)
        if not 5 <= field_of_view <= 120:
            raise MemUPError(f"field_of_view={field_of_view}: give 5 to 120 degrees")
        screen = getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}", None)
        if screen is None:
            raise MemUPError(f"resolution={resolution!r} is none of ViZDoom's; 160X120, 320X240 and 640X480 are")
        width, height = (int(side) for side in resolution.upper().split("X"))
        rows, columns = observation_size
        top, left = (height - rows * shrink) // 2, (width - columns * shrink) // 2
        if min(rows, columns) < 1 or min(top, left) < 0:
            raise MemUPError(
                f"observation_size={observation_size} with shrink={shrink} needs a screen of {rows * shrink}x"
                f"{columns * shrink} pixels, but resolution={resolution!r} has {height}x{width}; give a larger one"
            )
        self.shrink = shrink
        self.shape = rows, columns, 3 if colour else 1
        self.screen_shape = (height, width, 3) if colour else (height, width)
        self.screen_format = vizdoom.ScreenFormat.RGB24 if colour else vizdoom.ScreenFormat.GRAY8
        self.screen_resolution: vizdoom.ScreenResolution = screen
        self._rows, self._columns = slice(top, top + rows * shrink), slice(left, left + columns * shrink)
        self._focal_length = columns * shrink / 2 / math.tan(math.radians(field_of_view / 2))  # pixels
        self._centre = width / 2
        self.screen_field_of_view = 2 * math.degrees(math.atan(width / 2 / self._focal_length))

    def frame(self, screen: Frame) -> Frame:
        """Return the frame ``[height, width, channels]`` of a screen; a copy."""
        cut = screen[self._rows, self._columns]
        if self.shrink > 1:
            cut = _block_means(cut, self.shrink)
        return np.array(cut, order="C").reshape(self.shape)

    def items(self, labels: Iterable[Any], x: float, y: float) -> dict[str, float]:
        """Count each type of item in the frame, and find bearing and distance of the nearest; 0 where there is none.

        Args:
            labels: ViZDoom's labels of the things on the screen.
            x, y: place of the player, map units.
        """
        nearest, counts = dict.fromkeys(ITEMS, (0.0, 0.0)), dict.fromkeys(ITEMS, 0)
        names = {actor: name for name, actor in ITEMS.items()}
        for label in labels:
            name, column = names.get(label.object_name), label.x + label.width / 2
            if name is None or not self._columns.start <= column < self._columns.stop:
                continue
            counts[name] += 1
            distance = math.hypot(label.object_position_x - x, label.object_position_y - y)
            if counts[name] == 1 or distance < nearest[name][1]:
                nearest[name] = math.degrees(math.atan((self._centre - column) / self._focal_length)), distance
        return {
            f"{name}_{what}": value
            for name, (bearing, distance) in nearest.items()
            for what, value in (("count", counts[name]), ("bearing", bearing), ("distance", distance))
        }


def _block_means(screen: Frame, side: int) -> Frame:
    """Return the means of the squares of a screen ``[height, width(, channels)]``, rounded down.

    Sums of whole rows, then of one channel at a time: NumPy's ``sum`` over both axes of the squares takes far longer.
    """
    height, width = screen.shape[:2]
    wide = np.dtype(np.uint16 if side * side * 255 < 2**16 else np.uint32)
    rows = screen[::side].astype(wide)
    for row in range(1, side):
        rows += screen[row::side]
    parts = rows.reshape(height // side * (width // side), side, -1)
    sums = parts[:, 0].copy()
    for channel in range(sums.shape[1]):
        for column in range(1, side):
            sums[:, channel] += parts[:, column, channel]
    sums //= side * side
    return sums.astype(np.uint8)
