"""Some episodes of a source, as a source."""

from __future__ import annotations

from collections.abc import Sequence

from memup_lightning.episodes import Arrays, EpisodeSource, IntArray, check_lengths


class EpisodeSubset(EpisodeSource):
    """Episodes of another source, in any order; nothing is copied.

    Args:
        source: the other source.
        episodes: numbers of the episodes in it, ``[episodes]``.

    Raises:
        MemUPError: no episode is left.
    """

    def __init__(self, source: EpisodeSource, episodes: IntArray) -> None:
        self.source = source
        self.numbers = episodes
        self.fields = source.fields
        self.lengths = check_lengths(source.lengths[episodes])

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        return self.source.read(int(self.numbers[episode]), start, stop)

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        return self.source.gather(self.numbers[episodes], starts, steps, names)
