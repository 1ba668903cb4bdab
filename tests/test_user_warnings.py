"""Warnings point at the line of the user that led to them, wherever in the package they come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.vector import SyncVectorEnv

from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
from memup_lightning.data.outcome_checks import check_outcomes
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from memup_lightning.envs.policies import random_policy
from memup_lightning.modules import MemUP
from memup_lightning.rl.collectors.episodes import collect
from tests.command_line import ROOT
from tests.rl.counting_env import Counting
from tests.training import quiet_trainer


class Alike(Counting):
    """Shows the same in every episode."""

    def reset(self, **given: object) -> tuple[np.ndarray, dict[str, object]]:
        self.episode = -1
        return super().reset()


def of_a_check(folder: Path) -> None:
    check_outcomes(ArrayEpisodes({OUTCOME: np.ones(5, np.float32)}, [5]), "train")


def of_a_datamodule(folder: Path) -> None:
    np.savez(folder / "a.npz", x=np.zeros((8, 6, 2)), y=np.arange(48).reshape(8, 6))
    ArrayDataModule(str(folder / "a.npz"), test=str(folder / "a.npz"))


def of_a_run(folder: Path) -> None:
    data = TMazeDataModule(length=12, lanes=2, num_train=4, num_val=2, num_test=2)
    model = MemUP(data.task, optimizer=partial(torch.optim.Adam, lr=0.0))
    quiet_trainer(1, [], limit_val_batches=0).fit(model, data)


def of_a_collector(folder: Path) -> None:
    list(collect(SyncVectorEnv([Alike, Alike]), random_policy, 2, seed=0))


@pytest.mark.parametrize(
    ("warn", "said"),
    [
        (of_a_check, "nothing to learn"),
        (of_a_datamodule, "is the training file too"),
        (of_a_run, "Adam does not change"),
        (of_a_collector, "show the same observations"),
    ],
)
def test_a_warning_points_at_the_line_of_the_user(warn: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=said) as caught:
        warn(tmp_path)
    assert [x.filename for x in caught if said in str(x.message)] == [__file__]


def test_what_uses_no_lightning_warns_too() -> None:
    code = "from memup_lightning.user_warnings import warn_user\nwarn_user('so it is')\nimport sys\n"
    code += "assert 'lightning_fabric' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "<string>:2: UserWarning: so it is" in done.stderr
