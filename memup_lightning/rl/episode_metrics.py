"""Metrics of the episodes that an agent plays for evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchmetrics import CatMetric

from memup_lightning.exceptions import counted
from memup_lightning.runs.statistics import mean_interval, share_interval


class EpisodeMetrics(nn.Module):
    """Return, length and success of whole episodes, on all ranks together."""

    def __init__(self) -> None:
        super().__init__()
        self.returns, self.lengths, self.successes = CatMetric(), CatMetric(), CatMetric()

    def reset(self) -> None:
        for metric in (self.returns, self.lengths, self.successes):
            metric.reset()

    def update(self, episodes: Mapping[str, Tensor]) -> None:
        """Add episodes.

        Args:
            episodes: ``return`` and ``length``, and ``success`` where the task defines it, each ``[episodes]``.
        """
        self.returns.update(episodes["return"])
        self.lengths.update(episodes["length"])
        if "success" in episodes:
            self.successes.update(episodes["success"])

    def means(self) -> dict[str, float]:
        """Return the mean return and length of all episodes, and the share of successes."""
        returns, lengths, successes = self._values()
        means = {"return": float(returns.mean()), "length": float(lengths.mean())}
        return means | ({"success": float(successes.mean())} if len(successes) else {})

    def intervals(self) -> dict[str, tuple[float, float]]:
        """95% intervals of the mean return (central limit theorem) and of the share of successes (Wilson's score)."""
        returns, _, successes = self._values()
        intervals = {"return": mean_interval(returns)}
        return intervals | ({"success": share_interval(successes)} if len(successes) else {})

    def summary(self) -> str:
        """Return one line for the screen."""
        means, intervals = self.means(), self.intervals()
        low, high = intervals["return"]
        episodes = counted(len(self._values()[0]), "episode")
        line = f"{episodes}: return {means['return']:.2f}, 95% interval [{low:.2f}, {high:.2f}]"
        if "success" in means:
            low, high = intervals["success"]
            line += f"; success {means['success']:.3f} [{low:.3f}, {high:.3f}]"
        return line

    def _values(self) -> tuple[Tensor, Tensor, Tensor]:
        returns, lengths, successes = (_all(metric) for metric in (self.returns, self.lengths, self.successes))
        return returns, lengths, successes


def _all(metric: CatMetric) -> Tensor:
    values = metric.compute()
    return values.flatten() if isinstance(values, Tensor) else torch.zeros(0)
