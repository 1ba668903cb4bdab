"""Scoring of episodes: the uncertainty of every step, and the targets selected by it."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from memup_lightning.distributed import all_gather_object, share_of_episodes, world_size
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.progress import progress_bar
from memup_lightning.protocols import ChunkSource, EpisodeSplit, TargetLearner
from memup_lightning.typing import IntArray, Split


def score_episodes(data: ChunkSource, model: TargetLearner, split: Split, episodes: IntArray, lanes: int) -> IntArray:
    """Replace the targets of some episodes of a split, in this process.

    Args:
        data: the episodes; its selector chooses.
        model: scores the steps.
        split: of the episodes.
        episodes: their numbers.
        lanes: episodes that are scored at once.

    Returns:
        The number of evaluated steps of each episode of the split; 0 for those that were not scored.
    """
    there, by_cluster = data.splits[split], data.selects_by_cluster()
    collector, state, num_evaluated = None, None, np.zeros(len(there.lengths), np.int64)
    with eval_mode(cast(nn.Module, model)):
        for chunk in progress_bar(there.chunks(episodes, lanes), "scoring", "chunks", leave=False):
            moved = chunk.to(model.device)
            if bool(chunk.is_first.any()):  # every lane begins a new episode with this chunk, or has none left
                if collector is not None:
                    collector.finish()
                state, rows = None, chunk.episode >= 0
                playing = chunk.episode.numpy()[rows.numpy()]
                collector = there.targets.collect(playing, model.device, model.predicts_classes)
            assert collector is not None
            position = moved.start[:, None] + torch.arange(chunk.num_steps, device=model.device)
            on = rows.to(model.device)
            selectable = moved.has_outcome[on]
            if by_cluster:
                u, clusters = torch.zeros(position.shape, device=model.device), model.assign_clusters(moved).rows(on)
                if split == "train":
                    model.count_presence(clusters.cluster, selectable)
            else:
                (u, state), clusters = model.score(moved, state), None
            collector.extend(u[on], position[on], selectable, clusters)
            np.add.at(num_evaluated, playing, chunk.eval_mask[rows].sum(1).numpy())
    if collector is not None:
        collector.finish()
    return num_evaluated


def score_on_all_ranks(
    data: ChunkSource, model: TargetLearner, split: Split, episodes: IntArray, lanes: int
) -> float | None:
    """Replace the targets of some episodes, distributed over the ranks; all ranks end with the same targets.

    Args:
        data: called on all ranks with the same weights.
        model: scores the steps.
        split: where the episodes are from.
        episodes: all that are to be scored, the same on all ranks.
        lanes: episodes that each rank scores at once.

    Returns:
        Share of the evaluated steps found among the targets at an episode's beginning; None where the data mark none.
    """
    if world_size() == 1:
        num_evaluated = score_episodes(data, model, split, episodes, lanes)
        return target_recall(data.splits[split], episodes, num_evaluated, data.num_targets())
    store = data.splits[split].targets
    mine = share_of_episodes(episodes, data.splits[split].lengths)
    num_evaluated = score_episodes(data, model, split, mine, lanes)
    for theirs, rows, counts in all_gather_object((mine, store.take(mine), num_evaluated[mine])):
        store.put(theirs, rows)
        num_evaluated[theirs] = counts
    return target_recall(data.splits[split], episodes, num_evaluated, data.num_targets())


def target_recall(split: EpisodeSplit, episodes: IntArray, num_evaluated: IntArray, num_targets: int) -> float | None:
    """Compute the share of the evaluated steps that are targets at an episode's beginning; of K where there are more.

    Args:
        split: the episodes, scored.
        episodes: which ones.
        num_evaluated: evaluated steps of each episode of the split.
        num_targets: K.

    Returns:
        None where the data mark none.
    """
    if not split.has_eval_mask:
        return None
    wanted = np.minimum(num_evaluated[episodes], num_targets).sum()
    if not wanted:
        return None
    selected = split.targets.select(episodes, np.zeros(len(episodes), np.int64))
    return float(split.eval_mask_at(episodes, selected).sum() / wanted)
