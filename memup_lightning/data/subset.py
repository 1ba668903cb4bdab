"""Parts of a source, as a source: some of its episodes (and which ones), some of its evaluated steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, ArrayEpisodes, EpisodeSource, check_lengths
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays, BoolArray, IntArray
from memup_lightning.user_warnings import option


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


class EvalSubset(EpisodeSource):
    """Episodes of another source, in which the memory is evaluated at other steps; nothing else is copied.

    Args:
        source: the other source.
        eval_mask: the evaluated steps of all its episodes end to end, bool ``[sum(lengths)]``.
    """

    def __init__(self, source: EpisodeSource, eval_mask: npt.NDArray[np.bool_]) -> None:
        self.source = source
        self.fields, self.lengths = source.fields, source.lengths
        flags = {EVAL_MASK: source.fields[EVAL_MASK]}
        self.eval_mask = ArrayEpisodes({EVAL_MASK: eval_mask}, source.lengths, flags)

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        return self.source.read(episode, start, stop) | self.eval_mask.read(episode, start, stop)

    def gather(self, episodes: IntArray, starts: IntArray, steps: int, names: Sequence[str]) -> Arrays:
        found = self.source.gather(episodes, starts, steps, [name for name in names if name != EVAL_MASK])
        if EVAL_MASK in names:
            found |= self.eval_mask.gather(episodes, starts, steps, [EVAL_MASK])
        return found


def split_by_share(count: int, shares: Sequence[float], seed: int) -> list[IntArray]:
    """Return the episodes drawn for several parts that share none.

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
        raise MemUPError(
            f"{count} episode{'s' * (count != 1)} cannot be split into {len(sizes) + 1} parts of at least one each; give "
            "more episodes (cut a long one into several), or a file for each split (val, test)"
        )
    shuffled = np.argsort(rng.hash64(seed, np.arange(count)), kind="stable")
    return [np.sort(part) for part in np.split(shuffled, np.cumsum(sizes))]


def spread_over(count: int, number: int) -> IntArray:
    """Return some of the numbers from 0 to ``count - 1``, evenly spread and in rising order, the first and last among them.

    Args:
        count: at least 1.
        number: how many, at most.
    """
    return np.unique(np.linspace(0, count - 1, number).astype(np.int64))


def spread_share(count: int, share: float) -> BoolArray:
    """Return a share of episodes, evenly spread over their numbers, ``[count]``; at least one episode.

    Args:
        count: number of all episodes.
        share: above 0, below 1.

    Raises:
        MemUPError: there is only one episode.
    """
    if count < 2:
        raise MemUPError(
            f"loss_free={share:g} leaves training episodes without loss, but there is only {count} to train on; give "
            f"more episodes, or {option('data.loss_free', 0)} and {option('data.selector', 'TopK', 'selector=TopK()')}"
        )
    turn = np.arange(count + 1) * max(1, round(share * count)) // count
    return np.diff(turn).astype(np.bool_)
