"""Cache of episodes on disk, found again by the parameters that they follow from.

    CACHE_DIR/NAME-KEY/parameters.json  what the episodes follow from; KEY is its checksum
    CACHE_DIR/NAME-KEY/episodes/        an EpisodeStore
    CACHE_DIR/NAME-KEY/finished.json    number of episodes and steps; written last, by rename
    CACHE_DIR/NAME-KEY/lock             held while the episodes are made; other processes wait for it

Another value of any parameter is another folder. A folder without ``finished.json`` was left by a process that was
killed, and is made again.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.fingerprint import Json, digest
from memup_lightning.data.store import FORMAT as STORE_FORMAT
from memup_lightning.data.store import EpisodeStore
from memup_lightning.exceptions import MemUPError
from memup_lightning.files import atomic_write
from memup_lightning.typing import Arrays

FORMAT = 1
"""Part of every key: changes where the same parameters would give other episodes than before."""
_log = logging.getLogger(__name__)


def cached(
    folder: str | os.PathLike[str],
    name: str,
    parameters: Mapping[str, Json],
    fields: Mapping[str, FieldSpec],
    episodes: Callable[[], Iterable[Arrays | Iterable[Arrays]]],
) -> EpisodeStore:
    """Open the episodes that follow from the parameters; make them where they do not exist yet.

    Args:
        folder: of all caches; made where there is none.
        name: begins the name of the folder, for people.
        parameters: everything that the episodes follow from, as
            :func:`~memup_lightning.data.fingerprint.fingerprints` gives it.
        fields: the named arrays of a step.
        episodes: makes them, one at a time, each field ``[length, *shape]``, or an iterable of pieces of an episode.

    Raises:
        MemUPError: a folder that cannot be written, a full disk (nothing is left then), or a damaged cache.
    """
    parameters = {**parameters, "cache_format": FORMAT, "store_format": STORE_FORMAT}
    path = Path(folder) / f"{re.sub(r'[^A-Za-z0-9.]+', '-', name).strip('-')}-{digest(parameters)}"
    if not (path / "finished.json").exists():
        with _lock(path):
            if not (path / "finished.json").exists():  # another process may have made them meanwhile
                _make(path, parameters, fields, episodes)
    return _open(path, parameters)


def _make(
    path: Path,
    parameters: Mapping[str, Json],
    fields: Mapping[str, FieldSpec],
    episodes: Callable[[], Iterable[Arrays | Iterable[Arrays]]],
) -> None:
    shutil.rmtree(path / "episodes", ignore_errors=True)
    try:
        _write(path / "parameters.json", parameters)
        with EpisodeStore.writer(path / "episodes", fields, durable=False) as writer:  # waits for the disk at its end
            for made in episodes():
                with writer.episode() as episode:
                    for piece in [made] if isinstance(made, dict) else made:
                        episode.append(piece)
        store = EpisodeStore(path / "episodes")
        _write(path / "finished.json", {"episodes": len(store), "steps": store.total_steps})
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _open(path: Path, parameters: Mapping[str, Json]) -> EpisodeStore:
    try:
        if json.loads((path / "parameters.json").read_bytes()) != json.loads(json.dumps(parameters)):
            raise MemUPError("parameters.json is not what it was")
        finished = json.loads((path / "finished.json").read_bytes())
        store = EpisodeStore(path / "episodes")
        if finished != (there := {"episodes": len(store), "steps": store.total_steps}):
            raise MemUPError(f"finished.json says {finished}, the store holds {there}")
    except (MemUPError, OSError, ValueError) as error:
        raise MemUPError(
            f"the cached episodes in {path} are damaged ({error}); remove that folder, and they are made again"
        ) from error
    return store


def _write(path: Path, content: Mapping[str, Json]) -> None:
    with atomic_write(path) as file:
        file.write(f"{json.dumps(content, indent=2, sort_keys=True)}\n".encode())


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold the lock of a folder, which one process at a time does; it is freed when the process dies."""
    lock = FileLock(path / "lock", thread_local=False)
    try:
        path.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.warning("waiting for another process, which makes the episodes in %s", path)
            lock.acquire()
    except OSError as error:
        raise MemUPError(f"cache_dir={str(path.parent)!r} cannot be written: {error}; give another folder") from error
    try:
        yield
    finally:
        lock.release()
