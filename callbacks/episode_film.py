"""EpisodeFilm: an animated picture of an episode that an agent plays."""

from __future__ import annotations

from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.callbacks import plots
from memup_lightning.exceptions import MemUPError, check_counts, counted
from memup_lightning.protocols import RolloutSource
from memup_lightning.rl.algorithms.actor_critic import ActorCritic
from memup_lightning.rl.collectors.recorder import EpisodeRecorder
from memup_lightning.runs.run_folder import check_writable, run_folder


class EpisodeFilm(Callback):
    """Callback that writes ``episode.gif`` into the run folder when ``test`` ends.

    It shows the observations that the agent read, the outcome that a MemUP memory predicted for each action, and the
    policy's probability of each.

    Args:
        frames: pictures at most; of a longer episode every n-th step, and all of the last ten.
        max_steps: a longer episode is refused.

    Raises:
        MemUPError: a number below 1, an agent whose action is not one choice, an episode that does not end.
    """

    def __init__(self, frames: int = 80, max_steps: int = 100_000) -> None:
        super().__init__()
        check_counts(1, frames=frames, max_steps=max_steps)
        self.frames, self.max_steps = frames, max_steps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._parts(trainer, pl_module)

    def _parts(self, trainer: Trainer, pl_module: LightningModule) -> tuple[ActorCritic, RolloutSource]:
        data = getattr(trainer, "datamodule", None)
        if not isinstance(pl_module, ActorCritic) or not isinstance(data, RolloutSource):
            raise MemUPError(
                f"EpisodeFilm shows an agent with a RolloutDataModule, not {type(pl_module).__name__} with "
                f"{type(data).__name__}; remove it from trainer.callbacks"
            )
        return pl_module, data

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)  # on all ranks: it asks rank zero
        if not trainer.is_global_zero:
            return
        agent, source = self._parts(trainer, pl_module)
        check_writable(folder)
        record = EpisodeRecorder(agent, self.max_steps).play(source)
        plots.film.save(record, folder / "episode.gif", self.frames)
        print(f"an episode of {counted(len(record.reward), 'step')}: {folder / 'episode.gif'}")
