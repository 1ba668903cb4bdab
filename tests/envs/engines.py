"""Engines of ViZDoom in other processes: which ones there are, and how to wait for their end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

LIMIT = 90.0  # seconds until something that must happen counts as not happening: ten times what a quiet machine needs


def shared() -> set[str]:
    """Names of ViZDoom's shared memory; those of other programs come and go."""
    return {path.name for path in Path("/dev/shm").glob("ViZDoom*") if path.stat().st_uid == os.getuid()}


def engines(folder: Path) -> list[psutil.Process]:
    """The engines whose scenario lay under a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # it may end at any line
            command = process.cmdline() if process.status() != psutil.STATUS_ZOMBIE else []
            if "+viz_instance_id" in command and any(str(folder) in part for part in command):
                found.append(process)
    return found


def until(true: Callable[[], Any]) -> bool:
    """Wait for something; False if it does not come."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
