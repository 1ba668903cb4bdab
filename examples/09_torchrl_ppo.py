"""Give a trained memory to PPO of TorchRL.

python -m examples.09_torchrl_ppo
"""

from functools import partial
from typing import Any

import gymnasium
import torch
from pytorch_lightning import Trainer, seed_everything
from tensordict.nn import TensorDictModule
from torch import nn
from torch.distributions import Categorical
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

from memup_lightning import LSTM, MemoryObservation, MemUP, TMazeDataModule


def main(updates: int = 500, rollouts: int = 16, steps: int = 1024) -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    data = TMazeDataModule(length=10, chunk_length=5, lanes=32)  # GymnasiumDataModule for an environment of your own
    memory = MemUP(data.task, memory=partial(LSTM, hidden_size=32))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    Trainer(accelerator="cpu", max_steps=updates, **quiet).fit(memory, data)
    # In place of the model, the path of a run will do: "runs/tmaze/version_0".
    maze = MemoryObservation(gymnasium.make("memup/TMaze-v0", length=10), memory)
    env = GymWrapper(maze, categorical_action_encoding=True)
    env.set_seed(1)
    size = env.observation_spec["observation"].shape[-1]
    policy, value = (nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, n)) for n in (2, 1))
    decide = TensorDictModule(policy, ["observation"], ["logits"])
    given: dict[str, Any] = {"distribution_class": Categorical, "return_log_prob": True}
    actor = ProbabilisticActor(decide, ["logits"], spec=env.action_spec, **given)
    critic = ValueOperator(value, ["observation"])
    loss = ClipPPOLoss(actor, critic, entropy_coeff=0.01)
    advantage = GAE(gamma=0.98, lmbda=0.95, value_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=3e-3)
    share = 0.0
    for batch in Collector(env, actor, frames_per_batch=steps, total_frames=rollouts * steps):
        for _ in range(8):
            advantage(batch)
            for part in batch.reshape(-1)[torch.randperm(steps)].split(256):
                losses = loss(part)
                optimizer.zero_grad()
                sum(x for name, x in losses.items() if name.startswith("loss")).backward()
                optimizer.step()
        share = float((batch["next", "reward"][batch["next", "done"]] > 0).float().mean())
    print(f"right turns in the last rollout: {share:.2f}")


if __name__ == "__main__":
    main()
