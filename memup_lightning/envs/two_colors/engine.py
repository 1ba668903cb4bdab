"""ViZDoom's engine, supervised: it ends when Python ends, leaves no files, and is killed when it hangs.

ViZDoom starts its engine as a process of its own and talks to it through shared memory. When Python is killed, the engine
continues, its files stay in /dev/shm, and its settings in the working folder. So:

- a small script (:mod:`~memup_lightning.envs.two_colors.launch`) starts the engine. The kernel then kills the engine when
  the process that plays dies, whatever it dies of.
- the engine runs in a temporary folder. When it has started, the folder and the names of the shared memory are removed:
  open files keep working, and no files remain however the process ends.
- files of a start that was killed are removed by the next start.
- a thread kills an engine that does not answer in time; ViZDoom reports it as dead then.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from memup_lightning.envs.two_colors import launch
from memup_lightning.exceptions import MemUPError

try:
    import vizdoom as vizdoom  # for others too, who then say the same where it is missing
except ModuleNotFoundError as error:
    raise MemUPError("Two-Colors needs ViZDoom: pip install 'memup-lightning[vizdoom]'") from error

_START_LOCK = threading.Lock()
"""Engines of one process start one after another: where threads started two at once, ViZDoom's module has crashed."""
_START_TIMEOUT = 120.0  # seconds, at least, that an engine may take to start
_SHARED_MEMORY = Path("/dev/shm")
_FOLDER_PREFIX = "memup-doom-"
_SHARED_NAMES = ("ViZDoomSM{}", "ViZDoomMQCtr{}", "ViZDoomMQDoom{}")

_log = logging.getLogger(__name__)


class EngineFailure(Exception):
    """The engine died, or did not answer in time and was killed."""


class Engine:
    """One engine and the game that it plays. Start it in the process that plays; threads of it may take turns.

    Args:
        configure: given a fresh ``vizdoom.DoomGame`` and the path of the scenario; sets the game up, but starts nothing.
        scenario: content of the scenario's WAD.
        commands: of ZDoom's console, given once when the engine has started.
        patience: seconds after which an engine that does not answer is killed. To start it may take two minutes: an
            engine that dies while it starts takes Python with it (a fault of ViZDoom 1.3).

    Attributes:
        game: the running game.
        pid: number of the engine's process.

    Raises:
        EngineFailure: the engine did not start.
    """

    def __init__(
        self,
        configure: Callable[[vizdoom.DoomGame, str], None],
        scenario: bytes,
        commands: Sequence[str] = (),
        patience: float = 20.0,
    ) -> None:
        self.pid: int | None = None
        self.patience = max(patience, _START_TIMEOUT)  # until it has started
        self._call_began: float | None = None  # time of the call that the engine has not answered yet
        self._over = threading.Event()
        remove_stale_files()
        folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDER_PREFIX}{os.getpid()}-"))
        self._folder: Path | None = folder
        self.game = vizdoom.DoomGame()
        threading.Thread(target=_watch, args=(self, self._over), daemon=True).start()
        try:
            (folder / "scenario.wad").write_bytes(scenario)
            configure(self.game, str(folder / "scenario.wad"))
            self.game.set_vizdoom_path(str(self._launcher(folder)))
            with _START_LOCK, self.supervised():
                self.game.init()
                for command in commands:
                    self.game.send_game_command(command)
                self.game.advance_action(4)  # commands are carried out with the next tics
            self.pid = _engine_of(folder)[0]
            self.patience = patience
        except BaseException:
            self.close()
            raise
        finally:
            self._folder = None
            _remove(folder)

    @staticmethod
    def _launcher(folder: Path) -> Path:
        engine = Path(vizdoom.__file__).with_name("vizdoom")
        command = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), str(engine)]
        path = folder / "launch"
        path.write_text(f'#!/bin/sh\ncd {shlex.quote(str(folder))} && exec {shlex.join(command)} "$@"\n')
        path.chmod(0o700)
        return path

    @contextmanager
    def supervised(self) -> Iterator[None]:
        """Around every call that the engine must answer.

        Raises:
            EngineFailure: it died, or was killed because it did not answer.
        """
        self._call_began = time.monotonic()
        try:
            yield
        except (
            vizdoom.ViZDoomUnexpectedExitException,
            vizdoom.ViZDoomErrorException,
            vizdoom.ViZDoomIsNotRunningException,
            vizdoom.SharedMemoryException,
            vizdoom.MessageQueueException,
        ) as error:
            raise EngineFailure(f"{type(error).__name__}: {error}") from error
        finally:
            self._call_began = None

    def close(self) -> None:
        """End the engine; may be called again."""
        self._over.set()
        self._kill()  # there is nothing to be saved, and an engine that hangs would not answer a request to end
        self.game.close()
        self.pid = None

    def _kill(self) -> None:
        pid = self.pid
        if pid is None and self._folder is not None:
            pid = _engine_of(self._folder)[0]
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _watch(engine: Engine, over: threading.Event) -> None:
    while not over.wait(0.25):
        began = engine._call_began
        if began is not None and time.monotonic() - began > engine.patience:
            _log.error("ViZDoom's engine has not answered for %g seconds and is killed", engine.patience)
            engine._kill()


def _engine_of(folder: Path) -> tuple[int | None, str]:
    """Return the process number and the name of the engine that was started in a folder."""
    try:
        pid, instance = (folder / "engine").read_text().split()
    except OSError:
        return None, ""
    return int(pid), instance


def _remove(folder: Path) -> None:
    """Remove the folder of an engine and the names of its shared memory."""
    _, instance = _engine_of(folder)
    for name in _SHARED_NAMES if instance else ():
        (_SHARED_MEMORY / name.format(instance)).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def remove_stale_files() -> None:
    """Remove the files of processes that were killed while their engine started."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        owner = folder.name.removeprefix(_FOLDER_PREFIX).partition("-")[0]
        if owner.isdigit() and not _alive(int(owner)):
            _remove(folder)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
