"""Processes that import nothing: a server that has imported the command line forks one for each request.

Half of a process that runs the command line is the import of torch and Lightning. A forked process has a session, a
working folder, an environment and files of its own, runs its finalizers, and is killed like any other. What a process
finds where nothing has been imported yet is the subject of tests that start Python itself (``tests/command_line.py``).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
CODE = "-c"


class ForkedProcess:
    """A process that the server forked; what is used of ``subprocess.Popen``.

    Args:
        args: what follows ``python -m``: the module, its arguments; or ``-c``, a program, its arguments.
        cwd: its working folder.
        env: all of its environment.
        output: takes stdout and stderr, if it is given; else ``communicate`` returns them.
        errors: whether stderr goes where stdout goes; else it is dropped.
    """

    def __init__(
        self, args: list[str], cwd: Path, env: dict[str, str], output: int | None = None, errors: bool = True
    ) -> None:
        self.args = args
        self.returncode: int | None = None
        stdin, self._stdin = os.pipe()
        self._stdout, stdout = os.pipe()
        self._status, status = os.pipe()
        out = stdout if output is None else output
        with open(os.devnull, "wb") as nothing:
            request = json.dumps({"args": args, "cwd": str(cwd), "env": env}).encode()
            server = _server()
            socket.send_fds(
                server, [len(request).to_bytes(4)], [stdin, out, out if errors else nothing.fileno(), status]
            )
            server.sendall(request)
        for end in (stdin, stdout, status):
            os.close(end)
        self.pid = int(self._read_status())

    def __enter__(self) -> ForkedProcess:
        return self

    def __exit__(self, *error: object) -> None:
        for end in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                os.close(end)
        self.wait()
        os.close(self._status)

    def _read_status(self) -> bytes:
        return b"".join(iter(lambda: os.read(self._status, 1).strip(), b""))

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._read_status())
        return self.returncode

    def kill(self) -> None:
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def readline(self) -> str:
        """Return the next line of its output."""
        line = b""
        while not line.endswith(b"\n") and (read := os.read(self._stdout, 1)):
            line += read
        return line.decode()

    def communicate(self, given: str = "", timeout: float = 300) -> str:
        """Write to its stdin, and return what it says until nobody holds its output open."""
        end = time.monotonic() + timeout
        with contextlib.suppress(BrokenPipeError):
            os.write(self._stdin, given.encode())
        os.close(self._stdin)
        self._stdin = -1
        said: list[bytes] = []
        while not said or said[-1]:
            if not select.select([self._stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise subprocess.TimeoutExpired(self.args, timeout, b"".join(said))
            said.append(os.read(self._stdout, 1 << 16))
        self.wait(max(0, end - time.monotonic()))
        return b"".join(said).decode()


def start_ranks(args: list[str], cwd: Path, env: dict[str, str], number: int, output: int) -> list[ForkedProcess]:
    """Start the ranks of a run as torchrun does, so that Lightning launches none.

    Args:
        args: as for one process; they name the strategy and the devices.
        cwd: their working folder.
        env: all of their environment but for what says which rank each is.
        number: of ranks.
        output: takes what they say.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        env = env | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1]), "WORLD_SIZE": str(number)}
    env |= {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": str(number)}
    own = [{"LOCAL_RANK": str(n), "RANK": str(n)} for n in range(number)]
    return [ForkedProcess(args, cwd, env | x, output) for x in own]


@functools.cache
def _server() -> socket.socket:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "tests.processes", str(theirs.fileno())]
    # One arena of malloc: each further one takes 64 MB of address space, used or not.
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    files = {"stdin": subprocess.DEVNULL, "pass_fds": [theirs.fileno()]}
    subprocess.Popen(command, cwd=ROOT, env=os.environ | own, **files)  # type: ignore[call-overload]
    theirs.close()
    atexit.register(ours.close)  # which ends the server
    return ours


# --- the server


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork processes until the other end is closed; returns, in a forked process, what it is to run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects them
    while True:
        size, files, *_ = socket.recv_fds(requests, 4, 4)
        if not size:
            sys.exit()
        text = b""
        while len(text) < int.from_bytes(size):
            text += requests.recv(int.from_bytes(size) - len(text))
        if os.fork() == 0:
            break
        for file in files:
            os.close(file)
    requests.close()
    *pipes, status = files
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():  # this one waits for the other
        for pipe in pipes:
            os.close(pipe)
        os.write(status, f"{pid}\n".encode())
        os.write(status, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}\n".encode())
        os._exit(0)
    os.close(status)
    os.setsid()
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    request: dict[str, Any] = json.loads(text)
    return request


def _run(request: dict[str, Any]) -> None:
    """Do what ``python -m MODULE ARGUMENTS``, or ``python -c PROGRAM``, would do in this process."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = request["cwd"]
    tempfile.tempdir = None  # that of the server
    first, *rest = request["args"]
    if first == CODE:
        sys.argv = [CODE, *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [first, *rest]
        runpy.run_module(first, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    from memup_lightning.callbacks import RunReport, defaults

    # As in tests/conftest.py.
    defaults.RunReport = functools.partial(RunReport, pictures=False)  # type: ignore[attr-defined]
    gc.freeze()
    _run(_serve(socket.socket(fileno=int(sys.argv[1]))))
