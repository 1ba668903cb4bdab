"""An animated picture of an episode that an agent plays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.datamodules.played.rollouts import RolloutDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import State
from memup_lightning.rl.algorithms.actor_critic import ActorCritic
from memup_lightning.rl.rollouts import ActorOutput, RolloutCollector
from memup_lightning.rl.vector_envs import make_agent_env
from memup_lightning.runs.run_folder import check_writable, run_folder

FloatArray = npt.NDArray[np.float32]


class Played(NamedTuple):
    """An episode of T steps.

    Attributes:
        observation: as the agent read it, flat, ``[T, entries]``.
        belief: the outcome that the memory predicted of each action, ``[T, actions]``; None where it predicts nothing.
        probability: the policy's, of each action, ``[T, actions]``.
        action: which one it took, ``[T]``.
        reward: what that was paid, ``[T]``.
    """

    observation: FloatArray
    belief: FloatArray | None
    probability: FloatArray
    action: npt.NDArray[np.int64]
    reward: FloatArray


class EpisodeFilm(Callback):
    """Draws an episode as ``episode.gif`` into the run folder when ``test`` ends: what the agent saw, what it expected of
    each action (its belief: the outcome that a MemUP memory predicts), and how probable it made each.

    Args:
        frames: pictures at most; of a longer episode every n-th step, and all of the last ten.
        max_steps: an episode longer than this is refused.
        fps: pictures a second.

    Raises:
        MemUPError: a number below 1, an agent whose action is not one choice, an episode that does not end.
    """

    def __init__(self, frames: int = 80, max_steps: int = 100_000, fps: int = 12) -> None:
        super().__init__()
        if frames < 1 or max_steps < 1 or fps < 1:
            raise MemUPError(f"frames={frames}, max_steps={max_steps}, fps={fps}: each must be at least 1")
        self.frames, self.max_steps, self.fps = frames, max_steps, fps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(pl_module, ActorCritic) or not isinstance(data, RolloutDataModule):
            raise MemUPError(
                f"EpisodeFilm shows an agent with a RolloutDataModule, not {type(pl_module).__name__} with "
                f"{type(data).__name__}; remove it from trainer.callbacks"
            )

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)  # on all ranks: it asks rank zero
        if not trainer.is_global_zero:
            return
        from memup_lightning.callbacks.plots import film

        assert isinstance(pl_module, ActorCritic)
        check_writable(folder)
        played = play_one(pl_module, trainer.datamodule, self.max_steps)  # type: ignore[attr-defined]
        film.save(played, folder / "episode.gif", self.frames, self.fps)
        print(f"an episode of {len(played.reward)} steps: {folder / 'episode.gif'}")


def play_one(agent: ActorCritic, data: RolloutDataModule, max_steps: int) -> Played:
    """An episode in an environment of its own, with the most probable actions."""
    field = agent.task.fields["action"]
    if field.type != "token" or field.shape:
        raise MemUPError("EpisodeFilm shows agents with one Discrete action; remove it from trainer.callbacks")
    env = make_agent_env(data.env_id, 1, data.env_kwargs, data.wrappers)
    watched = _Watched(agent, max_steps)
    try:
        player = RolloutCollector(env, data.task, data.seed, data.observed, agent.device)
        (result,) = player.episodes(watched, 1)
    finally:
        env.close()
    columns = {name: torch.cat([row[name] for row in watched.rows]).cpu().numpy() for name in watched.rows[0]}
    # A step reads the reward of the one before it; the last one is what is left of the return.
    before = columns["reward"]
    paid = np.append(before[1:], result.episode_return - before.sum()).astype(np.float32)
    return Played(columns["observation"], columns.get("belief"), columns["probability"], columns["action"], paid)


class _Watched:
    """Plays like the agent, greedily, and notes what it saw and thought."""

    def __init__(self, agent: ActorCritic, max_steps: int) -> None:
        self.agent, self.max_steps = agent, max_steps
        self.rows: list[dict[str, Tensor]] = []
        self.initial_state, self.value = agent.initial_state, agent.value

    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        if len(self.rows) == self.max_steps:
            raise MemUPError(
                f"an episode is longer than max_steps={self.max_steps}; give EpisodeFilm more, or the env a TimeLimit"
            )
        agent = self.agent
        with torch.no_grad():
            seen, memory, after = agent.encode_memory(inputs, state, is_first)
            policy, value = agent.decide(seen, memory)
        row = {"probability": policy.probs, "reward": inputs["reward"], "action": policy.mode}  # type: ignore[attr-defined]
        row["observation"] = torch.cat([inputs[name].float().flatten(1) for name in agent.seen], 1)
        if agent.can_predict_outcomes:
            row["belief"] = agent.predict_outcomes(inputs, memory)
        self.rows.append(row)
        return ActorOutput(policy.mode, {"value": value}, after)
