"""Some episodes of a source, as a source; and which ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from memup_lightning import counter
from memup_lightning.episodes import Arrays, EpisodeSource, IntArray, check_lengths
from memup_lightning.errors import MemUPError


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


def split_by_share(count: int, shares: Sequence[float], seed: int) -> list[IntArray]:
    """Episodes drawn for several parts that share none.

    Args:
        count: number of all episodes.
        shares: of all episodes, for each part; at least one episode each.
        seed: which ones follows from it.

    Returns:
        The numbers of the episodes of each part and of the rest, in rising order.

    Raises:
        MemUPError: shares that are none, no episode for a part or the rest.
    """
    if any(share <= 0 for share in shares) or sum(shares) >= 1:
        raise MemUPError(f"shares of {list(shares)}: give shares above 0 whose sum is below 1")
    sizes = [max(1, round(count * share)) for share in shares]
    if sum(sizes) >= count:
        raise MemUPError(f"{count} episodes cannot be split into {len(sizes) + 1} parts of at least one each")
    shuffled = np.argsort(counter.hash64(seed, np.arange(count)), kind="stable")
    return [np.sort(part) for part in np.split(shuffled, np.cumsum(sizes))]
