"""Images that are read as numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.specs import is_picture
from memup_lightning.user_warnings import option

_READ = 64  # steps that are looked at, spread over all


def image_notes(user: UserEpisodes) -> Iterator[str]:
    """Point out x that has height, width and perhaps channels, and holds bytes or numbers from 0 to 1, read as numbers.

    Args:
        user: what was read of the training file.
    """
    if user.x is None or user.x.ndim not in (3, 4) or user.x.dtype != np.float32:
        return
    shape = user.x.shape[1:]
    if not is_picture(shape if len(shape) == 3 else (*shape, 1)):
        return
    x = user.x[:: max(1, len(user.x) // _READ)]
    bytes_alone = bool((x == np.floor(x)).all()) and 1 < x.max() <= 255
    if x.min() < 0 or not (bytes_alone or (len(shape) == 3 and 0 < x.max() <= 1)):
        return
    first = " their channels last and" if len(shape) == 3 and shape[2] != min(shape) else ""
    added = " x[..., None] and" if len(shape) == 2 else ""
    yield (
        f"x has {list(shape)} numbers a step, as images have, and each is read by itself; if they are images, "
        f"give{first}{added} {option('data.x_type', 'image')}"
    )
