"""Episodes that were filled up with zeros to one length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.episodes import HAS_OUTCOME

_FEWEST = 8  # episodes of which something is said
_MOST = 0.5  # share of the episodes that end in zeros
_LENGTHS = 3  # different numbers of steps that they have then
_ELSEWHERE = 0.02  # share of the other steps that may be zeros too, as rare ones of sparse inputs are


def padding_notes(user: UserEpisodes) -> Iterator[str]:
    """Point out episodes of one length most of which end in zeros, from another step on each.

    Inputs that are zero at most steps, a cue among nothing, are zero before it too, and not meant; nor are episodes whose
    outcomes differ where x is zero.

    Args:
        user: what was read of the training file.
    """
    episodes, steps = len(user.lengths), int(user.lengths[0])
    if user.x is None or user.texts or episodes < _FEWEST or steps < 2 or (user.lengths != steps).any():
        return
    last = user.x.reshape(episodes, steps, -1)[:, -1]
    if (last == 0).all(1).mean() < _MOST:
        return
    zero = (user.x.reshape(episodes, steps, -1) == 0).all(2)
    begin = steps - zero[:, ::-1].cumprod(1).sum(1)  # of the zeros at the end
    padded = np.arange(steps) >= begin[:, None]
    ends = begin[begin < steps]
    if len(ends) < _MOST * episodes or len(np.unique(ends)) < _LENGTHS or padded.all():
        return
    if zero[~padded].mean() > _ELSEWHERE:
        return
    there = user.flags[HAS_OUTCOME].reshape(episodes, steps) if HAS_OUTCOME in user.flags else np.ones_like(padded)
    if there[:, :-1].any():  # else one an episode, at its last step
        outcomes = user.y.reshape(episodes, steps, -1)[there & padded]
        if len(outcomes) and (outcomes != outcomes[0]).any():
            return
    how = (
        "leave out these rows"
        if user.columns
        else "leave these steps out (in an npz file, 'lengths' holds the steps of each episode, and x and y those of all, "
        f"one after the other: x[np.arange({steps}) < lengths[:, None]])"
    )
    yield (
        f"x is 0 at the last steps of {len(ends):,} of the {episodes:,} episodes, from step {ends.min()} or later on, as "
        f"in episodes that were filled up to one length; if they were, {how}"
    )
