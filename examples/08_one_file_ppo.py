"""Give a trained memory to PPO in one file, in the manner of CleanRL: 64 mazes, one forward pass of the memory a step.

python -m examples.08_one_file_ppo
"""

from functools import partial
from typing import Any

import gymnasium
import torch
from pytorch_lightning import Trainer, seed_everything
from torch import nn
from torch.distributions import Categorical

from memup_lightning import LSTM, MemUP, TMazeDataModule, VectorMemoryObservation


def main(updates: int = 500, rollouts: int = 25, steps: int = 40, gamma: float = 0.98) -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    data = TMazeDataModule(length=10, chunk_length=5, lanes=32)  # GymnasiumDataModule for an environment of your own
    memory = MemUP(data.task, memory=partial(LSTM, hidden_size=32))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_steps=updates, **quiet).fit(memory, data)
    mazes = gymnasium.make_vec("memup/TMaze-v0", 64, vectorization_mode="vector_entry_point", length=10)
    env = VectorMemoryObservation(mazes, memory)  # or the path of a run: "runs/tmaze/version_0"
    seen = torch.from_numpy(env.reset(seed=1)[0])
    actor, critic = (nn.Sequential(nn.Linear(seen.shape[1], 64), nn.Tanh(), nn.Linear(64, n)) for n in (2, 1))
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)
    for _ in range(rollouts):
        rows = []
        for _ in range(steps):
            with torch.no_grad():
                action = (policy := Categorical(logits=actor(seen))).sample()
            observation, reward, terminated, truncated, _ = env.step(action.numpy())
            over = torch.from_numpy(terminated | truncated)
            rows.append((seen, action, policy.log_prob(action), torch.from_numpy(reward).float(), over))
            seen = torch.from_numpy(observation)
        x, action, before, reward, over = (torch.stack(part) for part in zip(*rows, strict=True))
        with torch.no_grad():
            value, later = critic(x)[..., 0], critic(seen)[:, 0]
            target = torch.empty_like(value)
            for t in reversed(range(steps)):  # returns, cut at the ends of episodes
                later = target[t] = reward[t] + gamma * later.where(~over[t], 0)
        gain = (target - value) / (target - value).std()
        for _ in range(4):
            policy = Categorical(logits=actor(x))
            ratio = (policy.log_prob(action) - before).exp()
            surrogate = torch.minimum(gain * ratio, gain * ratio.clamp(0.8, 1.2)).mean()
            loss = (critic(x)[..., 0] - target).square().mean() - surrogate - 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"right turns in the last rollout: {(reward[over] > 0).float().mean():.2f}")


if __name__ == "__main__":
    main()
