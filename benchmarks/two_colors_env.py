"""How fast is Two-Colors? Steps per second of the environment against a bare ViZDoom loop on the same scenario.

    python -m benchmarks.two_colors_env [--quick] [--json PATH]

The bare loop is ViZDoom's own: ``make_action`` with a frame skip of 4, ``get_state``, the screen; no observation is cut,
no reward worked out, no hidden truth read. Both play the same random actions at 112x64 in colour (an engine's screen of
160x120). One process plays one environment; then two worker processes play one each, Gymnasium's AsyncVectorEnv against
two processes that run the bare loop. They take turns, and the medians of several turns are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any

import numpy as np
from gymnasium.vector import AsyncVectorEnv

from benchmarks.report import Row, arguments, publish
from memup_lightning.envs.two_colors.engine import Engine
from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.rules import ACTIONS

FRAME_SKIP = 4
Rate = Callable[[int], float]


def actions(steps: int) -> list[np.int64]:
    return list(np.random.default_rng(0).integers(0, len(ACTIONS), steps))


class BareLoop:
    """ViZDoom with nothing around it, on the engine that the environment would start."""

    def __init__(self) -> None:
        env = TwoColorsEnv()
        self.engine = Engine(env._configure, env._scenario)
        self.game = self.engine.game

    def __call__(self, steps: int) -> float:
        game, buttons = self.game, [list(ACTIONS[action]) for action in actions(steps)]
        game.set_seed(1)
        game.new_episode()
        began = time.perf_counter()
        for pressed in buttons:
            game.make_action(pressed, FRAME_SKIP)
            state = game.get_state()
            if state is None:
                game.new_episode()
            else:
                _ = state.screen_buffer
        return steps / (time.perf_counter() - began)

    def close(self) -> None:
        self.engine.close()


class OneEnvironment:
    """The environment, stepped by itself."""

    def __init__(self) -> None:
        self.env = TwoColorsEnv()

    def __call__(self, steps: int) -> float:
        chosen = actions(steps)
        self.env.reset(seed=1)
        began = time.perf_counter()
        for action in chosen:
            _, _, terminated, truncated, _ = self.env.step(action)
            if terminated or truncated:
                self.env.reset()
        return steps / (time.perf_counter() - began)

    def close(self) -> None:
        self.env.close()


def bare_process(pipe: Any) -> None:
    """A bare loop at the other end of a pipe: gets a number of steps, gives the steps per second."""
    loop = BareLoop()
    while steps := pipe.recv():
        pipe.send(loop(steps))
    loop.close()


class TwoBareProcesses:
    """Bare loops in two processes, at the same time; their steps together."""

    def __init__(self) -> None:
        context = get_context("fork")
        self.pipes, self.processes = [], []
        for _ in range(2):
            ours, theirs = context.Pipe()
            self.pipes.append(ours)
            self.processes.append(context.Process(target=bare_process, args=(theirs,), daemon=True))
            self.processes[-1].start()

    def __call__(self, steps: int) -> float:
        for pipe in self.pipes:
            pipe.send(steps)
        return sum(pipe.recv() for pipe in self.pipes)

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(0)
            process.join()


class TwoEnvironments:
    """Two environments in Gymnasium's AsyncVectorEnv; their steps together."""

    def __init__(self) -> None:
        self.env = AsyncVectorEnv([TwoColorsEnv, TwoColorsEnv])

    def __call__(self, steps: int) -> float:
        chosen = np.stack([actions(steps), actions(steps)[::-1]], axis=1)
        self.env.reset(seed=1)
        began = time.perf_counter()
        for action in chosen:
            self.env.step(action)
        return 2 * steps / (time.perf_counter() - began)

    def close(self) -> None:
        self.env.close()


def measure(name: str, ours: type[Any], bare: type[Any], steps: int, turns: int) -> Row:
    players = {"environment": ours(), "bare": bare()}
    rates: dict[str, list[float]] = {name: [] for name in players}
    for player in players.values():
        player(steps // 10)
    for turn in range(turns):
        order = list(players) if turn % 2 else list(players)[::-1]
        for which in order:
            rates[which].append(players[which](steps))
    for player in players.values():
        player.close()
    medians = {which: statistics.median(found) for which, found in rates.items()}
    share = statistics.median(a / b for a, b in zip(rates["environment"], rates["bare"], strict=True))
    return {"what": name, **medians, "share": share, "turns": turns, "steps": steps, "rates": rates}


def run(options: argparse.Namespace) -> list[Row]:
    steps, turns = (500, 3) if options.quick else (3000, 9)
    cases = {
        "one process": (OneEnvironment, BareLoop),
        "two processes": (TwoEnvironments, TwoBareProcesses),
    }
    return [measure(name, ours, bare, steps, turns) for name, (ours, bare) in cases.items()]


def main() -> None:
    options = arguments(__doc__).parse_args()
    rate = "{:,.0f}".format
    columns = {"what": str, "environment": rate, "bare": rate, "share": "{:.2f}".format}
    publish("Two-Colors: steps per second; share: environment / bare", run(options), options, columns)


if __name__ == "__main__":
    main()
