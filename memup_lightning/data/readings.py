"""Checks of what a source returns: the same steps at every reading, of the declared fields, other ones in other splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from memup_lightning.data.episodes import EpisodeSource, check_values
from memup_lightning.data.subset import spread_over
from memup_lightning.exceptions import MemUPError, user_code
from memup_lightning.typing import Arrays, IntArray

_EPISODES, _STEPS = 3, 8  # that are read twice
_COMPARED, _AMONG, _PLACES = 128, 4096, 8  # validation episodes, training episodes at most, steps of each
_BLOCK = 64  # steps that are read next of those that are alike in these
_ROOM = 1 << 24  # bytes that are read for each of the two, about
_EXCESS = 3.0  # times as often as training episodes are repeated, up to which equal ones are chance
_SHARED, _GAPS, _LESS = 8, 1.2, 0.5  # keys, at least; numbers for each key; spread of the sums, of that of the lengths
_CONTRACT = "it takes episodes, steps and names of fields, and returns an array for each name"


def check_readings(source: EpisodeSource, name: str) -> None:
    """Refuse a source that returns other steps when it is read again, or in other pieces, or other fields than declared.

    Args:
        source: the episodes.
        name: of the episodes, for the message.

    Raises:
        MemUPError: see above, and an error of the source itself.
    """
    names, kind = list(source.fields), type(source).__name__
    for episode in spread_over(len(source), _EPISODES):
        steps = min(_STEPS, int(source.lengths[episode]))
        cut = steps // 2
        with user_code(f"{kind} of {name}", _CONTRACT):
            first, again = (_read(source, int(episode), 0, steps, names) for _ in range(2))
            pieces = [
                _read(source, int(episode), *part, names) for part in ((0, cut), (cut, steps)) if part[0] < part[1]
            ]
        _check_fields(source, first, int(episode), steps, f"{kind} of {name}")
        for field, x in first.items():
            for other, how in ((again[field], "again"), (np.concatenate([p[field] for p in pieces]), "in two pieces")):
                if not np.array_equal(x, other, equal_nan=x.dtype.kind == "f"):
                    raise MemUPError(
                        f"{kind} of {name}: steps 0 to {steps - 1} of episode {episode} have other values of {field!r} "
                        f"when they are read {how}; a step must follow from episode and time alone: take random numbers "
                        "from memup_lightning.rng, not from np.random"
                    )


def shared_episodes(source: EpisodeSource, other: EpisodeSource) -> tuple[int, int]:
    """Count the episodes of a source that are among those of another one too.

    Args:
        source: some episodes of which, spread over it, are looked for.
        other: in which they are looked for: in as many as cost little to read.

    Returns:
        How many were found, and how many were looked for. Not all found are no sign of a split that went wrong where the
        other source repeats its own episodes about as often: then none count.
    """
    if set(source.fields) != set(other.fields):
        return 0, 0
    step_bytes = 1 + sum(x.step_bytes for x in other.fields.values())
    room = max(_COMPARED, min(_AMONG, _ROOM // (_PLACES * step_bytes)))
    wanted = spread_over(len(source), min(_COMPARED, room))
    among = np.union1d(wanted[wanted < len(other)], spread_over(len(other), room))
    there, sought = _digests([(other, among), (source, wanted)], step_bytes)
    known = set(there)
    found = sum(x in known for x in sought)
    by_chance = _EXCESS * (1 - len(known) / len(there)) * len(wanted)
    return (found if found == len(wanted) or found > by_chance else 0), len(wanted)


def divided_episodes(keys: Sequence[str], lengths: IntArray, others: Sequence[str], their_lengths: IntArray) -> int:
    """Count the episodes of a file that are probably the rest of an episode of another file: rows were drawn, not episodes.

    Keys that both files have are a sign of it, unless they are mere numbers from 0 or 1 on, as every file may have. Then
    the lengths decide: what one file lacks of an episode the other one has.

    Args:
        keys, lengths: of the episodes of a file.
        others, their_lengths: the same of the other one.

    Returns:
        0 of fewer than a half of the file's episodes.
    """
    shared, here, there = np.intersect1d(np.array(keys, str), np.array(others, str), return_indices=True)
    if len(shared) < max(_SHARED, len(keys) / 2):
        return 0
    if _are_numbered(keys) or _are_numbered(others):
        own, rest = lengths[here], their_lengths[there]
        least = min(own.std(), rest.std())
        if not least or (own + rest).std() > _LESS * least:
            return 0
    return len(shared)


def _are_numbered(keys: Sequence[str]) -> bool:
    """Return whether keys are the numbers from 0 or 1 on, of which a few may be missing."""
    if not all(key.isdecimal() for key in keys):
        return False
    numbers = {int(key) for key in keys}
    return min(numbers) <= 1 and max(numbers) <= _GAPS * len(numbers)


def _read(source: EpisodeSource, episode: int, start: int, stop: int, names: list[str]) -> Arrays:
    found = source.gather(np.array([episode]), np.array([start]), stop - start, names)
    return {name: np.array(found[name][0]) for name in names}


def _check_fields(source: EpisodeSource, arrays: Arrays, episode: int, steps: int, name: str) -> None:
    for field, x in arrays.items():
        spec = source.fields[field]
        if x.shape != (steps, *spec.shape) or (x.dtype.kind == "f" and np.dtype(spec.dtype).kind != "f"):
            raise MemUPError(
                f"{name}: field {field!r} is declared {spec.dtype}{list(spec.shape)} a step, but {steps} steps of episode "
                f"{episode} are {x.dtype}{list(x.shape)}"
            )
    check_values(arrays, source.fields, np.array([0, steps]), episode)


def _digests(parts: Sequence[tuple[EpisodeSource, IntArray]], step_bytes: int) -> list[list[bytes]]:
    """Return a digest of each episode: the same for episodes that are the same in all steps that there is room to read.

    Length and a few steps distinguish most. Those that are alike in them (symbols among many blanks, say) are read block
    by block from the first step on, as long as they are alike.

    Args:
        parts: sources, each with numbers of its episodes.
        step_bytes: of a step.
    """
    digests = []
    for source, episodes in parts:
        last = source.lengths[episodes] - 1
        places = [last * part // (_PLACES - 1) for part in range(_PLACES)]
        digests.append(_extended([b"%d" % x for x in last], source, episodes, places, 1))
    longest = max(int(source.lengths[episodes].max(initial=0)) for source, episodes in parts)
    start, steps, room = 0, _BLOCK, _ROOM // step_bytes
    while start < longest:
        counts = Counter(x for part in digests for x in part)
        alike = [np.flatnonzero([counts[x] > 1 for x in part]) for part in digests]
        room -= steps * sum(map(len, alike))
        if room < 0:
            break
        for (source, episodes), part, rows in zip(parts, digests, alike, strict=True):
            starts = np.full(len(rows), start)
            longer = _extended([part[row] for row in rows], source, episodes[rows], [starts], steps)
            for row, digest in zip(rows, longer, strict=True):
                part[row] = digest
        start, steps = start + steps, 2 * steps
    return digests


def _extended(
    digests: list[bytes], source: EpisodeSource, episodes: IntArray, places: list[IntArray], steps: int
) -> list[bytes]:
    """Return the digests of episodes together with some of their steps: ``steps`` from each of the places on."""
    if not digests:
        return []
    names = sorted(source.fields)
    read = [source.gather(episodes, place, steps, names) for place in places]
    columns = [np.ascontiguousarray(x[name]).reshape(len(episodes), -1).view(np.uint8) for x in read for name in names]
    rows = np.concatenate(columns, axis=1)
    return [blake2b(digest + row.tobytes(), digest_size=16).digest() for digest, row in zip(digests, rows, strict=True)]
