"""Episodes of a Minari dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Unpack

import gymnasium
import numpy as np
from tqdm import tqdm

from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.data.fingerprint import Json, fingerprints
from memup_lightning.data.subset import EpisodeSubset, split_by_share
from memup_lightning.datamodules.recorded.environments.rewards import RewardDataModule, RewardOptions
from memup_lightning.exceptions import MemUPError
from memup_lightning.progress import progress_bar
from memup_lightning.rl.collectors.episodes import Episode, check_episode
from memup_lightning.rl.spaces import space_fields, space_leaves
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Split


class MinariDataModule(RewardDataModule):
    """Datamodule of the episodes of a Minari dataset.

    Give a ``cache_dir`` where the dataset does not fit into memory: it is copied there, once, into files that can be read
    in slices, which Minari's own cannot.

    The memory reads the observation, the previous action and the previous reward. The local context is the observation
    and the action taken, of the last ``window`` steps. The outcome is made of rewards, or is the action. The observation
    after the last action of an episode is left out: no outcome follows it. An episode that neither terminated nor was
    truncated counts as truncated.

    Args:
        dataset: id of a dataset in Minari's local folder (``minari download ID`` brings it there), such as
            ``D4RL/door/human-v2``; or a path of one.
        val_share: share of the episodes for validation, at least one; which ones follows from ``seed``.
        test_share: share of the episodes for the test, at least one; which ones follows from ``seed``.
        **rewards: observed, outcome, n_steps, gamma, eval_at, tolerance, window, cache_dir: see
            :class:`~memup_lightning.datamodules.recorded.environments.rewards.RewardDataModule`; and the arguments of
            :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: Minari is not installed, no such dataset, a space that cannot be used, fewer than three episodes.
    """

    def __init__(
        self,
        dataset: str,
        val_share: float = 0.1,
        test_share: float = 0.1,
        **rewards: Unpack[RewardOptions],
    ) -> None:
        super().__init__(**rewards)
        if min(val_share, test_share) <= 0 or val_share + test_share >= 1:
            raise MemUPError(f"val_share={val_share}, test_share={test_share}: give shares whose sum is below 1")
        self.dataset = dataset
        self.val_share = val_share
        self.test_share = test_share
        self._opened: Any = None
        self._all: EpisodeSource | None = None

    @property
    def origin(self) -> str:
        return self.dataset

    @property
    def opened(self) -> Any:
        """Dataset, a ``minari.MinariDataset``."""
        if self._opened is None:
            self._opened = open_dataset(self.dataset)
        return self._opened

    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        return self.opened.observation_space, self.opened.action_space

    def episodes(self, split: Split) -> EpisodeSource:
        if self._all is None:
            self._all = self.keep(f"minari-{Path(self.dataset).name}", self._parameters, self._read)
        return EpisodeSubset(self._all, self.split_episodes(split))

    def split_episodes(self, split: Split) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return the numbers of the episodes of a split, in rising order."""
        assert self._all is not None
        try:
            val, test, train = split_by_share(len(self._all), [self.val_share, self.test_share], self.seed)
        except MemUPError as error:
            raise MemUPError(f"{self.dataset}: {error}") from error
        return {"train": train, "val": val, "test": test}[split]

    def _parameters(self) -> dict[str, Json]:
        """Return what identifies this state of the dataset: its description, and sizes and times of its files."""
        storage = self.opened.storage
        files = sorted(file for file in Path(storage.data_path).rglob("*") if file.is_file())
        stats = [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
        metadata = {name: str(value) for name, value in storage.metadata.items()}
        return fingerprints({"dataset": metadata, "files": stats})

    def _read(self) -> Iterator[Episode]:
        observation, action = self.spaces()
        fields = space_fields("observation", observation) | space_fields("action", action) | {"reward": FieldSpec()}
        bar: tqdm[Any] = progress_bar(None, "reading", "episodes", total=self.opened.total_episodes)
        for episode in self.opened.iterate_episodes():
            bar.update()
            steps = len(episode.rewards)
            if steps == 0:
                continue
            leaves = space_leaves("observation", observation, episode.observations)
            leaves |= space_leaves("action", action, episode.actions) | {"reward": episode.rewards}
            with np.errstate(over="ignore"):  # what float32 does not hold is infinite then, and refused below
                arrays = {name: leaves[name][:steps].astype(field.dtype) for name, field in fields.items()}
            for name, field in fields.items():
                if arrays[name].shape != (steps, *field.shape):
                    raise MemUPError(
                        f"{self.dataset}, episode {episode.id}: {name} has shape {arrays[name].shape}, but the space "
                        f"says {(steps, *field.shape)}"
                    )
            read = Episode(arrays, bool(episode.terminations[-1]))
            check_episode(read, f"episode {episode.id} of {self.dataset}")
            yield read
        bar.close()


def open_dataset(dataset: str) -> Any:
    """Open a local Minari dataset, by its id or its path; nothing is downloaded.

    Raises:
        MemUPError: Minari or what it reads the files with is not installed, no such dataset.
    """
    try:
        import minari
    except ImportError as error:
        raise MemUPError(f"a Minari dataset needs Minari: pip install 'memup-lightning[minari]' ({error})") from error
    try:
        path = Path(dataset).expanduser()
        for folder in (path / "data", path):
            if (folder / "metadata.json").exists():
                return minari.MinariDataset(folder)
        return minari.load_dataset(dataset)
    except ImportError as error:
        raise MemUPError(f"{dataset} cannot be read: {error}; pip install 'memup-lightning[minari]'") from error
    except (FileNotFoundError, ValueError, KeyError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise MemUPError(
            f"no Minari dataset {dataset!r}: {reason}; give a path, or an id that `minari list local` shows "
            "(`minari download ID` brings one)"
        ) from error
