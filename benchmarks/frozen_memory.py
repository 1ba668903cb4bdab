"""PPO on the states of a frozen memory against RecurrentPPO, on T-Maze-LNR; and what the wrapper costs.

    pip install -e '.[bench]'
    python -m benchmarks.frozen_memory [--quick] [--seeds 1] [--lengths 100 1000] [--limit 60] [--json PATH]

PPO of Stable-Baselines3 reads the observation with m_t of conf/tmaze.yaml, by VectorMemoryObservation, and
RecurrentPPO of sb3-contrib the observation alone: in this process, on the same 64 mazes, with the same gamma, lambda,
entropy bonus, clipping, passes and perceptrons of 64 and 64. RecurrentPPO has an LSTM of 64 units, which
backpropagates through rollouts of at most 256 steps, and the learning rate that benchmarks.recurrent_ppo chose. They
learn until 200 episodes all succeed, or for --limit seconds of the processor; then 200 others are played. Seconds and
environment steps count the training of the memory too, processor seconds also the start of its process.
`steps_per_second` counts the processor time of the policy's rollouts and updates, without evaluations. Saved tensors:
what autograd keeps for one minibatch, of the policy or of the memory.

The last rows: microseconds of the processor for a step of all mazes, alone and with the memory (1: MemoryObservation).
"""

from __future__ import annotations

import importlib
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv

from benchmarks.recurrent_ppo import evaluate
from benchmarks.report import Row, arguments, publish
from benchmarks.runs import call, processor_seconds
from benchmarks.tmaze_agents import ENVS, rollout_steps
from memup_lightning import MemoryObservation, MemUP, TMazeDataModule, VectorMemoryObservation
from memup_lightning.models.saved_tensors import SavedTensors

EPISODES = 200  # of an evaluation
EVALUATED_EVERY = 20_000  # environment steps
MINIBATCHES = 4
LEARNING = {"n_epochs": 4, "gamma": 0.98, "gae_lambda": 0.9, "ent_coef": 0.01, "max_grad_norm": 0.5, "device": "cpu"}
RATES = {"PPO on m_t": 1e-3, "RecurrentPPO": 3e-3}
STEPS = 2000  # of a measurement of what a step costs


def mazes(length: int, memory: Any, envs: int = ENVS, mode: str = "SAME_STEP") -> VectorEnv[Any, Any, Any]:
    """Vector environment of mazes, with a memory (a run's folder, or a model) or without."""
    env = gymnasium.make_vec(
        "memup/TMaze-v0",
        envs,
        vectorization_mode="vector_entry_point",
        length=length,
        autoreset_mode=AutoresetMode[mode],
    )
    return env if memory is None else VectorMemoryObservation(env, memory)


def adapter(env: VectorEnv[Any, Any, Any], seed: int) -> Any:
    """Vector environment of Gymnasium (SAME_STEP) as one of Stable-Baselines3."""
    base: Any = importlib.import_module("stable_baselines3.common.vec_env.base_vec_env").VecEnv

    class Adapter(base):
        def reset(self) -> Any:
            return env.reset(seed=seed)[0]

        def step_async(self, actions: Any) -> None:
            self.actions = actions

        def step_wait(self) -> Any:
            observation, reward, terminated, truncated, infos = env.step(self.actions)
            over = terminated | truncated
            said: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
            for n in np.flatnonzero(over):
                said[n] = {
                    "terminal_observation": infos["final_obs"][n],
                    "TimeLimit.truncated": bool(truncated[n] and not terminated[n]),
                }
            return observation, reward, over, said

        def close(self) -> None:
            env.close()

        def get_attr(self, name: str, indices: Any = None) -> list[Any]:
            return [None] * self.num_envs

        def set_attr(self, name: str, value: Any, indices: Any = None) -> None:
            raise NotImplementedError

        def env_method(self, name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
            raise NotImplementedError

        def env_is_wrapped(self, wrapper: Any, indices: Any = None) -> list[bool]:
            return [False] * self.num_envs

    return Adapter(env.num_envs, env.single_observation_space, env.single_action_space)


def run(agent: str, length: int, seed: int, limit: float, threads: int) -> Row:
    """Train an agent; see the module."""
    torch.set_num_threads(threads)
    row: Row = {"agent": agent, "length": length, "seed": seed}
    if agent == "RecurrentPPO":
        return row | learn(agent, length, seed, limit, None)
    with tempfile.TemporaryDirectory() as folder:
        data = f"--data.init_args.length={length}"
        used = processor_seconds()
        memory = call(folder, "fit", "conf/tmaze.yaml", data, seed=seed, threads=threads, wandb="disabled")
        used = processor_seconds() - used
        before = json.loads((memory / "summary.json").read_text())
        row |= learn(agent, length, seed, limit, memory)
    row["memory_processor_seconds"] = used
    row["processor_seconds"] += used
    row["seconds"] += before["seconds_total"]
    row["environment_steps"] += before["environment_steps"]
    row["saved_bytes"] = max(row["saved_bytes"], before["saved_tensor_bytes"])
    return row


def learn(agent: str, length: int, seed: int, limit: float, memory: Path | None) -> Row:
    """Train a policy, on the memory of a run or with its own."""
    recurrent = memory is None
    steps = rollout_steps(length) if recurrent else length + 24  # whole episodes
    package, name = ("sb3_contrib", "RecurrentPPO") if recurrent else ("stable_baselines3", "PPO")
    policy: dict[str, Any] = {"net_arch": [64, 64]} | ({"lstm_hidden_size": 64} if recurrent else {})
    model = getattr(importlib.import_module(package), name)(
        "MlpLstmPolicy" if recurrent else "MlpPolicy", adapter(mazes(length, memory), seed), learning_rate=RATES[agent],
        n_steps=steps, batch_size=ENVS * steps // MINIBATCHES, seed=seed, policy_kwargs=policy, **LEARNING,
    )  # fmt: skip
    begin, used, learning, success = time.perf_counter(), time.process_time(), 0.0, 0.0
    between = max(1, EVALUATED_EVERY // (ENVS * steps))  # rollouts
    while success < 1 and learning < limit:
        started = time.process_time()
        model.learn(between * ENVS * steps, reset_num_timesteps=False)
        learning += time.process_time() - started
        success = evaluate(model, mazes(length, memory, EPISODES, "NEXT_STEP"), seed + 1)
    seconds, processor = time.perf_counter() - begin, time.process_time() - used
    model.n_epochs = 1
    with SavedTensors(model.policy.parameters()) as counter:
        model.train()
    return {
        "success": evaluate(model, mazes(length, memory, EPISODES, "NEXT_STEP"), seed + 1000),
        "seconds": seconds,
        "processor_seconds": processor,
        "environment_steps": model.num_timesteps,
        "steps_per_second": model.num_timesteps / learning,
        "saved_bytes": counter.bytes // MINIBATCHES,
    }


def step_cost(envs: int) -> Row:
    """Microseconds of a step of all mazes, alone and with a memory of 64 units; the best of five measurements."""
    memory = MemUP(TMazeDataModule(length=100).task)  # what it has learned does not matter
    one = gymnasium.make("memup/TMaze-v0", length=100)
    pair = (one, MemoryObservation(one, memory)) if envs == 1 else (mazes(100, None, envs), mazes(100, memory, envs))
    alone, wrapped = (min(_microseconds(env, envs) for _ in range(5)) for env in pair)
    return {"agent": f"mazes: {envs}", "alone": alone, "with_memory": wrapped, "added": wrapped - alone}


def _microseconds(env: Any, envs: int) -> float:
    env.reset(seed=1)
    action = np.int64(0) if envs == 1 else np.zeros(envs, np.int64)
    begin = time.process_time()
    for _ in range(STEPS // 5):
        *_, terminated, truncated, _ = env.step(action)
        if envs == 1 and (terminated or truncated):
            env.reset()
    return (time.process_time() - begin) / (STEPS // 5) * 1e6


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--limit", type=float, default=60.0, help="processor seconds of a policy at most")
    options = parser.parse_args()
    threads, lengths = options.threads or 1, options.lengths
    if options.quick:
        options.limit, lengths = 10.0, [20]
    rows = [
        run(agent, length, seed, options.limit, threads)
        for length in lengths
        for agent in RATES
        for seed in (options.seeds[:1] if options.quick else options.seeds)
    ]
    rows += [step_cost(envs) for envs in ((1, 64) if options.quick else (1, 8, 64, 256))]
    columns = (
        "agent, length, seed, success, seconds, processor_seconds, memory_processor_seconds, environment_steps, "
        "steps_per_second, saved_bytes, alone, with_memory, added"
    )
    publish("PPO on a frozen memory against RecurrentPPO, T-Maze-LNR; microseconds a step", rows, options, columns)


if __name__ == "__main__":
    main()
