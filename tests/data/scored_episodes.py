"""Uncertainties of episodes, and the targets that a selector takes from them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from memup_lightning.data.targets import (
    NOWHERE,
    Selector,
    TargetTable,
)

CPU = torch.device("cpu")
Scores = npt.NDArray[np.float32]


def best_of_suffix(score: Scores, start: int, num_targets: int) -> list[int]:
    """The definition: the K best-scored steps at or after ``start``; of equal ones the later."""
    steps = [t for t in range(start, len(score)) if score[t] > -np.inf]
    return sorted(steps, key=lambda t: (-score[t], -t))[:num_targets]


def fill(table: TargetTable, scores: list[Scores], blocks: list[int], of_classes: bool = False) -> None:
    """Hand the scores of all episodes to the table, side by side, in blocks; -inf marks unselectable steps."""
    longest = max(len(score) for score in scores)
    padded = np.full((len(scores), longest), -np.inf, np.float32)
    for row, score in enumerate(scores):
        padded[row, : len(score)] = score
    collector = table.collect(np.arange(len(scores)), CPU, of_classes)
    edges = [0, *sorted({min(b, longest) for b in blocks}), longest]
    for begin, end in pairwise(edges):
        u = torch.from_numpy(padded[:, begin:end])
        position = torch.arange(begin, end).expand(len(scores), -1)
        collector.extend(u.nan_to_num(neginf=9.0), position, u > -torch.inf)
    collector.finish()
    table.complete_refresh()


def selected(table: TargetTable, episode: int, start: int) -> list[int]:
    return [int(p) for p in table.select(np.array([episode]), np.array([start]))[0] if p != NOWHERE]


def table_for(selector: Selector, scores: list[Scores], blocks: list[int], capacity: int = 64) -> TargetTable:
    table = TargetTable(selector, len(scores), capacity)
    fill(table, scores, blocks)
    return table
