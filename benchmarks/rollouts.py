"""What playing and learning cost an agent.

    python -m benchmarks.rollouts [--quick] [--json PATH]

*Rollouts*: environment steps a second of 256 native mazes (T-Maze-LNR-1000) with a frozen LSTM-64, policy and value,
through our RolloutCollector and PPO, against the same arithmetic in a bare loop of torch and numpy that keeps the same
tensors.
*Updates*: one PPO epoch on a rollout (forward, backward, Adam) with the memory's states as they were recorded, against
PPO-LSTM, which runs its LSTM over the same steps. Both pairs take turns in this process, on one thread; medians of the
processor's seconds are compared, which other work on the machine does not count in.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.report import Row, arguments, publish
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP
from memup_lightning.rl.algorithms import PPO
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches

ENVS, LENGTH, HIDDEN = 256, 1000, 64


class BareLoop:
    """The same policy on the same mazes, in plain torch and numpy."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        self.env = TMazeVectorEnv(ENVS, length=LENGTH)
        self.lstm = nn.LSTM(6, HIDDEN, batch_first=True)
        sizes = (3 + HIDDEN, 64, 64)
        layers = [[nn.Linear(*pair) for pair in itertools.pairwise(sizes)] for _ in range(2)]
        self.policy, self.value = (
            nn.Sequential(part[0], nn.Tanh(), part[1], nn.Tanh(), nn.Linear(64, out))
            for part, out in zip(layers, (2, 1), strict=True)
        )
        self.h = self.c = torch.zeros(1, ENVS, HIDDEN)
        self.seen, _ = self.env.reset(seed=seed)
        self.action, self.reward = torch.zeros(ENVS, 2), torch.zeros(ENVS, 1)
        self.first, self.resetting = torch.ones(ENVS, dtype=torch.bool), np.zeros(ENVS, bool)

    @torch.no_grad()
    def rollout(self, steps: int) -> list[Tensor]:
        kept: list[list[Tensor]] = []
        eye = torch.eye(2)
        for _ in range(steps):
            seen = torch.from_numpy(self.seen)
            begins = self.first[:, None]
            x = torch.cat([seen, self.action.masked_fill(begins, 0), self.reward.masked_fill(begins, 0)], 1)
            h, c = (s.masked_fill(begins, 0) for s in (self.h, self.c))
            m, (self.h, self.c) = self.lstm(x[:, None], (h, c))
            features = torch.cat([seen, m[:, 0]], 1)
            log_p = self.policy(features).log_softmax(-1)
            action = torch.multinomial(log_p.exp(), 1)
            log_prob, value = log_p.gather(1, action)[:, 0], self.value(features)[:, 0]
            self.seen, reward, terminated, truncated, _ = self.env.step(action[:, 0].numpy())
            over = terminated | truncated
            kept.append(
                [
                    seen,
                    m[:, 0],
                    action[:, 0],
                    log_prob,
                    value,
                    torch.from_numpy(reward),
                    torch.from_numpy(over),
                    self.first,
                ]
            )
            self.action, self.reward = eye[action[:, 0]], torch.from_numpy(reward)[:, None]
            self.first, self.resetting = torch.from_numpy(self.resetting), over & ~self.resetting
        return [torch.stack(part) for part in zip(*kept, strict=True)]


def in_turn(turns: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of the processor for each, which take turns; the first turn does not count."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(turns + 1):
        for number, work in enumerate(works):
            begin = time.process_time()
            work()
            if turn:
                seconds[number].append(time.process_time() - begin)
    return [statistics.median(part) for part in seconds]


def rollouts(steps: int, turns: int, seed: int) -> Row:
    task = TMazeDataModule(length=LENGTH).task
    torch.manual_seed(seed)
    agent = PPO(task, memory=MemUP(task, memory=partial(LSTM, hidden_size=HIDDEN)))
    player, bare = RolloutCollector(TMazeVectorEnv(ENVS, length=LENGTH), task, seed), BareLoop(seed)
    ours, theirs = in_turn(turns, lambda: player.collect(agent, steps), lambda: bare.rollout(steps))
    return {"what": "rollout", "unit": "steps/s", "ours": ENVS * steps / ours, "other": ENVS * steps / theirs}


def updates(steps: int, turns: int, seed: int) -> Row:
    task = TMazeDataModule(length=LENGTH).task
    torch.manual_seed(seed)
    works = []
    for memory in (MemUP(task, memory=partial(LSTM, hidden_size=HIDDEN)), partial(LSTM, hidden_size=HIDDEN)):
        agent = PPO(task, memory=memory)
        rows = agent.make_batches(
            RolloutCollector(TMazeVectorEnv(ENVS, length=LENGTH), task, seed).collect(agent, steps)
        )
        works.append(partial(epoch, agent, rows))
    ours, theirs = in_turn(turns, *works)
    return {"what": "PPO epoch", "unit": "steps/s", "ours": ENVS * steps / ours, "other": ENVS * steps / theirs}


def epoch(agent: PPO, rows: dict[str, Any]) -> None:
    """One pass over a rollout in eight batches."""
    optimizer = torch.optim.Adam((p for p in agent.parameters() if p.requires_grad), lr=1e-3)
    for batch in iterate_minibatches(rows, 1, 8):
        loss = torch.stack([*agent.losses(batch, *agent.evaluate_batch(batch)).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    options = arguments(__doc__).parse_args()
    torch.set_num_threads(options.threads or 1)
    steps, turns = (64, 3) if options.quick else (128, 7)
    rows = [rollouts(steps, turns, options.seeds[0]), updates(steps, turns, options.seeds[0])]
    for row in rows:
        row["ratio"] = row["ours"] / row["other"]
    title = "an agent with a frozen LSTM-64 against a bare loop (rollout), and against PPO-LSTM (epoch)"
    publish(title, rows, options, "what, unit, ours, other, ratio")


if __name__ == "__main__":
    main()
