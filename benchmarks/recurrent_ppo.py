"""PPO-LSTM of this package against RecurrentPPO of sb3-contrib, a maintained implementation, on the same maze.

    pip install -e '.[bench]'
    python -m benchmarks.recurrent_ppo [--quick] [--seeds 1 2 3] [--lengths 20] [--json PATH]

Both have the budget, rollout, gamma, lambda, entropy bonus, clipping and network sizes of benchmarks.tmaze_agents and
stop when 100 episodes all succeed; 200 other episodes are then played. Ours has chrono initialisation and also reads the
previous action and reward; that of sb3-contrib sees the observation, as published there. Its learning rate is the best of
those given with --rates on the first seed.
"""

from __future__ import annotations

import importlib
import time
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import VectorEnv

import memup_lightning.envs  # noqa: F401 - registers the maze
from benchmarks.report import Row, arguments, publish
from benchmarks.tmaze_agents import BUDGET, ENVS, SOLVED, rollout_steps, run


def mazes(length: int, episodes: int) -> VectorEnv[Any, Any, Any]:
    """Vector environment of as many mazes."""
    return gymnasium.make_vec(
        "memup/TMaze-v0", num_envs=episodes, vectorization_mode="vector_entry_point", length=length
    )


def evaluate(model: Any, env: VectorEnv[Any, Any, Any], seed: int) -> float:
    """Share of first episodes whose return is positive, under the most probable actions; the environment is closed."""
    episodes = env.num_envs
    observation, _ = env.reset(seed=seed)
    state, begins = None, np.ones(episodes, bool)
    returns, over = np.zeros(episodes), np.zeros(episodes, bool)
    while not over.all():
        action, state = model.predict(observation, state=state, episode_start=begins, deterministic=True)
        observation, reward, terminated, truncated, _ = env.step(action)
        returns += np.where(over, 0, reward)
        begins = terminated | truncated
        over |= begins
    env.close()
    return float((returns > 0).mean())


def theirs(length: int, seed: int, rate: float, threads: int) -> Row:
    """Train RecurrentPPO; see the module."""
    torch.set_num_threads(threads)
    common, contrib = (importlib.import_module(name) for name in ("stable_baselines3.common.vec_env", "sb3_contrib"))
    env = common.DummyVecEnv([partial(gymnasium.make, "memup/TMaze-v0", length=length)] * ENVS)
    env.seed(seed)
    steps = rollout_steps(length)
    model = contrib.RecurrentPPO(
        "MlpLstmPolicy", env, learning_rate=rate, n_steps=steps, batch_size=ENVS * steps // 4, n_epochs=4, gamma=0.98,
        gae_lambda=0.9, ent_coef=0.01, max_grad_norm=0.5, seed=seed, device="cpu",
        policy_kwargs={"lstm_hidden_size": 64, "net_arch": [64, 64]},
    )  # fmt: skip
    begin, taken, success = time.perf_counter(), 0, 0.0
    while taken < BUDGET[length] and success < 1:
        model.learn(10 * ENVS * steps, reset_num_timesteps=False)
        taken = model.num_timesteps
        success = evaluate(model, mazes(length, 100), seed + 1)
    seconds = time.perf_counter() - begin
    success = evaluate(model, mazes(length, 200), seed + 1000)
    env.close()
    return {"success": success, "environment_steps": taken, "seconds": seconds, "lr": rate}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lengths", type=int, nargs="+", choices=sorted(BUDGET), default=[20])
    parser.add_argument("--rates", type=float, nargs="+", default=[3e-4, 1e-3, 3e-3])
    options = parser.parse_args()
    seeds, threads = options.seeds[:1] if options.quick else options.seeds, options.threads or 1
    rates = options.rates[-1:] if options.quick else options.rates
    rows = []
    for length in options.lengths:
        first = [theirs(length, seeds[0], rate, threads) for rate in rates]
        best = max(first, key=lambda row: (row["success"], -row["environment_steps"]))
        runs = {"sb3-contrib RecurrentPPO": [best, *(theirs(length, seed, best["lr"], threads) for seed in seeds[1:])]}
        runs["PPO-LSTM"] = [run("PPO-LSTM", length, seed, threads) for seed in seeds]
        for agent, found in runs.items():
            middle = sorted(found, key=lambda row: row["environment_steps"])[len(found) // 2]
            row: Row = {"agent": agent, "length": length, "lr": best["lr"] if "sb3" in agent else None}
            row |= {key: middle[key] for key in ("environment_steps", "seconds")}
            row["solved"] = f"{sum(one['success'] >= SOLVED for one in found)}/{len(found)}"
            rows.append(row | {"tried": first if "sb3" in agent else None, "runs": found})
    columns = "agent, length, lr, solved, environment_steps, seconds"
    publish("PPO-LSTM against a maintained implementation, T-Maze-LNR; medians", rows, options, columns)


if __name__ == "__main__":
    main()
