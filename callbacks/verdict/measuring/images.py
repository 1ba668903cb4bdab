"""Whether the image encoders of a memory distinguish images."""

from __future__ import annotations

import numpy as np
import torch

from memup_lightning.data.subset import spread_over
from memup_lightning.models.encoders import ImageEncoder, StepEncoder
from memup_lightning.modules import MemoryTask
from memup_lightning.protocols import EpisodeSplit

_EPISODES, _IMAGES = 32, 8  # of each episode
_ALIKE = 1e-4  # spread of a feature by its mean, up to which it says nothing


@torch.no_grad()
def unseen_images(model: MemoryTask, split: EpisodeSplit) -> tuple[str, ...]:
    """Return the image fields whose features are the same for all of a few hundred images, which differ.

    Args:
        model: reads them; in evaluation mode.
        split: of some of its episodes.
    """
    encoder = model.encoder
    if not isinstance(encoder, StepEncoder):
        return ()
    parts = zip(encoder.names, encoder.encoders, strict=True)
    return tuple(name for name, part in parts if isinstance(part, ImageEncoder) and _is_blind(part, split, name, model))


def _is_blind(encoder: ImageEncoder, split: EpisodeSplit, name: str, model: MemoryTask) -> bool:
    images = np.concatenate(
        [
            split.read_field(int(episode), spread_over(int(split.lengths[episode]), _IMAGES), name)
            for episode in spread_over(len(split.lengths), _EPISODES)
        ]
    )
    if (images == images[:1]).all():
        return False
    features = encoder(torch.from_numpy(images).to(model.device)).double()
    return bool((features.std(0, correction=0) <= _ALIKE * features.mean(0).abs()).all())
