"""How fast is Two-Colors? Steps per second of the environment against bare ViZDoom loops on the same scenario.

    python -m benchmarks.two_colors_env [--quick] [--envs 2 16] [--wait 600] [--json PATH]

The bare loop is ViZDoom's own: ``make_action`` with a frame skip of 4, ``get_state``, the screen; no observation is cut,
no reward worked out, no hidden truth read. All play the same random actions at 112x64 in colour (an engine's screen of
160x120). Alone, one environment against one engine. Then many:

- ``bare, free``: a process for each core plays its share of the engines, and waits for no other: the upper bound.
- ``environment, free``: as many environments, played in the same way.
- ``bare, in step``: threads play the engines, and no engine begins a step before all have ended the last one, as the
  policy of a vector environment must have seen all. The upper bound in step.
- ``threads``: the environment's own vector environment (TwoColorsVectorEnv).
- ``async``, ``sync``: Gymnasium's AsyncVectorEnv, a process for each environment, and SyncVectorEnv, one after another.

They take turns. A turn counts if other programs took less than 5% of the machine meanwhile; where too few such turns come
within ``--wait`` seconds a case, all turns count, and ``others`` (the share of the machine that others took, median) says
how disturbed they were. ``share``: of what ``bare, free`` reached in the same round, median. ``cpu_us``: processor time of
a step of an environment, of all that belongs to it, in microseconds; others' work hardly changes it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple, Protocol

import numpy as np
import psutil
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from benchmarks.report import Row, arguments, publish
from memup_lightning.envs.two_colors.engine import Engine
from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.rules import ACTIONS
from memup_lightning.envs.two_colors.vector_env import EnvThreads, TwoColorsVectorEnv

FRAME_SKIP = 4
QUIET = 0.05
BARE = "bare, free"


def actions(steps: int, envs: int = 1) -> list[Any]:
    """Of some steps: a number each, or for many environments a row of them."""
    drawn = np.random.default_rng(0).integers(0, len(ACTIONS), (steps, envs))
    return list(drawn[:, 0] if envs == 1 else drawn)


class RolloutCollector(Protocol):
    """Plays some steps in each environment."""

    def __call__(self, steps: int) -> None: ...

    def close(self) -> None: ...


class BareLoop:
    """ViZDoom with nothing around it, on the engines that environments would start."""

    def __init__(self, engines: int = 1) -> None:
        env = TwoColorsEnv()
        self.engines = [Engine(env._configure, env._scenario) for _ in range(engines)]
        for engine in self.engines:
            engine.game.set_seed(1)
            engine.game.new_episode()

    def __call__(self, steps: int) -> None:
        for action in actions(steps):
            for engine in self.engines:
                self.play(engine, action)

    @staticmethod
    def play(engine: Engine, action: int) -> None:
        engine.game.make_action(list(ACTIONS[action]), FRAME_SKIP)
        state: Any = engine.game.get_state()  # None where the episode is over, which its stub does not say
        if state is None:
            engine.game.new_episode()
        else:
            _ = state.screen_buffer

    def close(self) -> None:
        for engine in self.engines:
            engine.close()


def serve(pipe: Any, make: Callable[[int], RolloutCollector], envs: int) -> None:
    """A player at the other end of a pipe: gets numbers of steps, and says when it has played them."""
    player = make(envs)
    while steps := pipe.recv():
        player(steps)
        pipe.send(True)
    player.close()


class Free:
    """Environments in a process for each core, which wait for no other.

    Args:
        make: a player of so many environments.
        envs: of all processes together.
    """

    def __init__(self, make: Callable[[int], RolloutCollector], envs: int) -> None:
        context = get_context("fork")
        self.pipes, self.processes = [], []
        processes = min(envs, os.cpu_count() or 1)
        for number in range(processes):
            ours, theirs = context.Pipe()
            share = len(range(number, envs, processes))
            self.pipes.append(ours)
            self.processes.append(context.Process(target=serve, args=(theirs, make, share), daemon=True))
            self.processes[-1].start()

    def __call__(self, steps: int) -> None:
        for pipe in self.pipes:
            pipe.send(steps)
        for pipe in self.pipes:
            pipe.recv()

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(0)
            process.join()


class BareInStep(BareLoop):
    """Bare engines, played by a thread for each core; all end a step before one begins the next."""

    def __init__(self, envs: int) -> None:
        super().__init__(envs)
        self.workers = EnvThreads(envs)

    def __call__(self, steps: int) -> None:
        for action in actions(steps):
            self.workers.run(lambda n, action=action: self.play(self.engines[n], action))  # type: ignore[misc]

    def close(self) -> None:
        self.workers.end()
        super().close()


class Environments:
    """Environments, stepped one after another."""

    def __init__(self, envs: int = 1) -> None:
        self.envs = [TwoColorsEnv() for _ in range(envs)]
        for env in self.envs:
            env.reset(seed=1)

    def __call__(self, steps: int) -> None:
        for action in actions(steps):
            for env in self.envs:
                _, _, terminated, truncated, _ = env.step(action)
                if terminated or truncated:
                    env.reset()

    def close(self) -> None:
        for env in self.envs:
            env.close()


class Vector:
    """A vector environment."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self.env = env
        self.env.reset(seed=1)

    def __call__(self, steps: int) -> None:
        for action in actions(steps, self.env.num_envs):
            self.env.step(action)

    def close(self) -> None:
        self.env.close()


MANY: dict[str, Callable[[int], RolloutCollector]] = {
    BARE: partial(Free, BareLoop),
    "environment, free": partial(Free, Environments),
    "bare, in step": BareInStep,
    "threads": lambda envs: Vector(TwoColorsVectorEnv(envs)),
    "async": lambda envs: Vector(AsyncVectorEnv([TwoColorsEnv] * envs)),
    "sync": lambda envs: Vector(SyncVectorEnv([TwoColorsEnv] * envs)),
}
ALONE: dict[str, Callable[[int], RolloutCollector]] = {BARE: BareLoop, "environment": Environments}


def busy() -> tuple[float, float]:
    """Seconds of processor time that have been spent: by all programs, and by this one and what it started."""
    machine = psutil.cpu_times()  # the names of its parts depend on the system
    everyone = (
        machine.user
        + machine.nice
        + machine.system
        + sum(getattr(machine, name, 0.0) for name in ("irq", "softirq", "steal"))
    )
    ours = 0.0
    for process in (me := psutil.Process(), *me.children(recursive=True)):
        spent = process.cpu_times()
        ours += spent.user + spent.system
    return everyone, ours


class Turn(NamedTuple):
    """What a player did.

    Attributes:
        rate: steps of all environments together, a second.
        others: share of the machine that other programs took meanwhile.
        cpu_us: processor time of a step, microseconds.
    """

    rate: float
    others: float
    cpu_us: float


def measure(
    envs: int, made: dict[str, Callable[[int], RolloutCollector]], steps: int, turns: int, wait: float
) -> list[Row]:
    """The players of one number of environments, in rounds: each plays once in a round, in alternating order."""
    players = {name: make(envs) for name, make in made.items()}
    for player in players.values():
        player(steps // 10)
    rounds: list[dict[str, Turn]] = []
    quiet: list[dict[str, Turn]] = []
    end = time.monotonic() + wait
    while len(quiet) < turns and (len(rounds) < turns or time.monotonic() < end):
        found = {}
        for name in list(players) if len(rounds) % 2 else list(players)[::-1]:
            everyone, ours = busy()
            began = time.perf_counter()
            players[name](steps)
            took = time.perf_counter() - began
            after, us = busy()
            others = (after - everyone - (us - ours)) / took / (os.cpu_count() or 1)
            found[name] = Turn(envs * steps / took, others, 1e6 * (us - ours) / (envs * steps))
        rounds.append(found)
        if max(turn.others for turn in found.values()) < QUIET:
            quiet.append(found)
    for player in players.values():
        player.close()
    counted = quiet if len(quiet) >= turns else rounds
    return [
        {
            "environments": envs,
            "what": name,
            "rate": statistics.median(found[name].rate for found in counted),
            "share": statistics.median(found[name].rate / found[BARE].rate for found in counted),
            "cpu_us": statistics.median(found[name].cpu_us for found in counted),
            "others": statistics.median(found[name].others for found in counted),
            "rounds": len(counted),
            "rounds_left_out": len(rounds) - len(counted),
            "steps": steps,
            "rates": [found[name].rate for found in counted],
        }
        for name in players
    ]


def run(options: argparse.Namespace) -> list[Row]:
    steps, turns = (300, 3) if options.quick else (2000, 9)
    wait = 0.0 if options.quick else options.wait
    rows = measure(1, ALONE, steps, turns, wait)
    for envs in options.envs:
        rows += measure(envs, MANY, max(1, 2 * steps // envs), turns, wait)
    return rows


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--envs", type=int, nargs="+", default=[2, 16], help="environments at once")
    parser.add_argument("--wait", type=float, default=600.0, help="seconds to wait for quiet turns, for each case")
    options = parser.parse_args()
    columns = "environments, what, rate, share, cpu_us, others, rounds, rounds_left_out"
    publish("Two-Colors: steps per second of all environments together", run(options), options, columns)


if __name__ == "__main__":
    main()
