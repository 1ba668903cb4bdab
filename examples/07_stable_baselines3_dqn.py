"""Give a trained memory to DQN of Stable-Baselines3, which learns from a replay buffer.

    python -m examples.07_stable_baselines3_dqn

A hint at the first step says which way to turn 10 to 20 noisy steps later. A replay buffer holds single steps: they need
no recurrent state, since m_t is part of the observation.
"""

from __future__ import annotations

from functools import partial

import gymnasium
import torch
from pytorch_lightning import Trainer, seed_everything
from stable_baselines3 import DQN
from stable_baselines3.common.evaluation import evaluate_policy

from memup_lightning import LSTM, MemoryObservation, MemUP, TMazeDataModule


def train_memory(updates: int) -> MemUP:
    data = TMazeDataModule(length=10, chunk_length=5, lanes=32)  # GymnasiumDataModule for an environment of your own
    model = MemUP(data.task, memory=partial(LSTM, hidden_size=32))
    trainer = Trainer(
        accelerator="cpu", max_steps=updates, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, data)
    return model


def main(updates: int = 500, steps: int = 10_000) -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    memory = train_memory(updates)  # or the path of a run: "runs/tmaze/version_0"
    env = MemoryObservation(gymnasium.make("memup/TMaze-v0", length=10), memory)
    agent = DQN(
        "MlpPolicy", env, learning_rate=1e-3, gamma=0.98, learning_starts=500, exploration_fraction=0.5,
        target_update_interval=200, device="cpu", seed=1,
    )  # fmt: skip
    agent.learn(steps)
    returns, _ = evaluate_policy(agent, env, n_eval_episodes=100, return_episode_rewards=True)
    print(f"right turns in 100 mazes: {sum(x > 0 for x in returns)}")


if __name__ == "__main__":
    main()
