"""How uncertain every step of some episodes is, and the targets that follow from it."""

from __future__ import annotations

import numpy as np
import torch

from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.modules import MemUP
from memup_lightning.typing import IntArray, Split


def score(data: EpisodeDataModule, model: MemUP, split: Split, episodes: IntArray, lanes: int) -> IntArray:
    """Replace the targets of some episodes of a split.

    Args:
        data: the episodes; its selector chooses.
        model: says how uncertain each step is.
        split: of the episodes.
        episodes: their numbers.
        lanes: episodes that are scored side by side.

    Returns:
        The number of evaluated steps of each episode of the split; 0 for those that were not scored.
    """
    stream = data.evaluation_stream(split, episodes, lanes)
    table = data.tables[split]
    collector, state, eval_mask = None, None, np.zeros(len(table.scored), np.int64)
    with eval_mode(model):
        for chunk in stream:
            moved = chunk.to(model.device)
            if bool(chunk.is_first.any()):  # every lane begins a new episode with this chunk, or has none left
                if collector is not None:
                    collector.finish()
                collector, state, rows = None, None, chunk.episode >= 0
                playing = chunk.episode.numpy()[rows.numpy()]
                collector = table.collect(playing, model.device)
            position = moved.start[:, None] + torch.arange(chunk.num_steps, device=model.device)
            u = torch.zeros(position.shape, device=model.device)
            if any(not part.num_clusters for part in table.selector.parts):
                u, state = model.score(moved, state)
            assert collector is not None
            on = rows.to(model.device)
            clusters = model.assign_clusters(moved) if table.selector.num_clusters else None
            if clusters is not None and model.clusters is not None and split == "train":
                model.clusters.count_presence(clusters.cluster[on], moved.has_outcome[on])
            collector.extend(u[on], position[on], moved.has_outcome[on], clusters and clusters.rows(on))
            np.add.at(eval_mask, playing, chunk.eval_mask[rows].sum(1).numpy())
    if collector is not None:
        collector.finish()
    return eval_mask
