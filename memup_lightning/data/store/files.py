"""Access to files at given places, on every system."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memup_lightning.exceptions import MemUPError

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate line ends
_SEEK_LOCK = threading.Lock()


def open_file(path: Path, flags: int) -> int:
    """Open a file; returns its descriptor."""
    return os.open(path, flags | _BINARY, 0o666)


def _seek_and_read(file: int, count: int, position: int) -> bytes:
    with _SEEK_LOCK:
        os.lseek(file, position, os.SEEK_SET)
        return os.read(file, count)


def _seek_and_write(file: int, content: memoryview, position: int) -> int:
    with _SEEK_LOCK:
        os.lseek(file, position, os.SEEK_SET)
        return os.write(file, content)


read_at = getattr(os, "pread", _seek_and_read)  # Windows has neither pread nor pwrite
_write_at = getattr(os, "pwrite", _seek_and_write)


def write_at(file: int, content: memoryview, position: int) -> None:
    """Write all of the content, however many calls it takes."""
    while len(content):
        done = _write_at(file, content, position)
        content, position = content[done:], position + done


def sync_folder(path: Path) -> None:
    """Wait until the names of the files in a folder are on the disk. Windows cannot, and needs no such call."""
    if os.name == "nt":
        return
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in one sentence that a path cannot be written, such as on a full disk."""
    try:
        yield
    except OSError as error:
        raise MemUPError(
            f"{path} cannot be written: {error.strerror or error}; free some space, or give a folder on another disk"
        ) from error
