"""Images that are read as numbers are pointed out, and other arrays are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.images import image_notes

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (40, 12, 10, 3))


def notes(x: Any) -> list[str]:
    return list(image_notes(UserEpisodes(np.asarray(x, np.float32), np.zeros(40), np.full(8, 5), {})))


def test_images_are_said() -> None:
    assert "x has [12, 10, 3] numbers a step, as images have" in notes(BYTES)[0]
    assert "give x_type='image'" in notes(BYTES / 255)[0]
    assert "give their channels last and x_type='image'" in notes(np.moveaxis(BYTES, -1, 1))[0]
    assert "give x[..., None] and x_type='image'" in notes(BYTES[..., 0])[0]


@pytest.mark.parametrize(
    "x",
    [
        BYTES[..., 0] / 255,  # frequencies of sensors
        BYTES[:, :4, :4],
        RNG.normal(size=(40, 12, 10, 3)),
        BYTES * 20,
        BYTES[:, :, 0, 0],
        np.zeros((40, 12, 10, 3)),
        BYTES[..., :2],
    ],
)
def test_other_arrays_are_not(x: Any) -> None:
    assert not notes(x)
