"""Becomes the engine. It runs as a script of its own, between ViZDoom and its engine, and imports nothing of the package.

    launch.py PARENT ENGINE [arguments of the engine]

The working folder is the engine's own, so that its files are there. The engine is set to end with the process that plays,
and leaves its number and the name of its shared memory in ``engine``.
"""

import contextlib
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, engine: str, arguments: list[str]) -> None:
    """Become the engine.

    Args:
        parent: process that starts the engine; the engine ends with it.
        engine: path of the program.
        arguments: of the program.
    """
    with contextlib.suppress(OSError, AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    instance = arguments[arguments.index("+viz_instance_id") + 1]
    with open("engine.new", "w") as file:
        file.write(f"{os.getpid()} {instance}")
    os.replace("engine.new", "engine")
    with open("output", "wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if os.getppid() != parent:  # it ended before this process asked the kernel
        sys.exit(1)
    os.execv(engine, [engine, *arguments])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
