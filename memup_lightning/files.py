"""Files that are written as a whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from memup_lightning.exceptions import MemUPError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)


@contextmanager
def atomic_write(path: str | Path) -> Iterator[IO[bytes]]:
    """Open a temporary file for writing, and rename it to the path once it is whole and on the disk.

    A kill or power cut never leaves half a file: the previous file stays until then. A write that fails leaves no file.

    Args:
        path: of the file; its folder is made.

    Raises:
        MemUPError: the disk is full, or the file cannot be written.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with unfinished.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except (OSError, RuntimeError) as error:
        if (cause := _os_error(error)) is None:
            raise
        reason = "the disk is full" if cause.errno in _DISK_FULL else cause.strerror
        raise MemUPError(
            f"{path} cannot be written ({reason}); what was there before is whole, as are all other files of the run"
        ) from error
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the system's error that caused one of torch, which says ``unexpected pos`` where the disk is full."""
    while error is not None:
        if isinstance(error, OSError):
            return error
        if "unexpected pos" in str(error):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        error = error.__context__
    return None
