"""The code, configs and commands of README and docs/start/your-own.md run as they are printed, for a few updates."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.readme import code_block, command_arguments
from memup_lightning.cli.main import MemUPCLI, main
from memup_lightning.data.store import EpisodeStore
from memup_lightning.specs import FieldSpec
from tests.command_line import ROOT

TINY = [
    "--trainer.accelerator=cpu",
    "--trainer.max_steps=4",
    "--trainer.val_check_interval=4",
    "--trainer.check_val_every_n_epoch=null",
    "--trainer.enable_progress_bar=false",
    "--trainer.enable_model_summary=false",
    "--trainer.enable_checkpointing=false",
    "--trainer.callbacks+=TargetRefresh",
    "--trainer.callbacks.every=2",
    "--trainer.callbacks.settle=1",
    "--trainer.callbacks.max_wait=1",
    "--data.lanes=4",
]
FEW_PLAYED = ["--data.num_train=4", "--data.num_val=4", "--data.num_test=4", "--data.num_envs=2"]

MY_PACKAGE = """
import gymnasium
import numpy as np


class MyEnv(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.Discrete(2)

    def __init__(self, difficulty):
        self.difficulty = difficulty

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 10 * self.difficulty
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.left -= 1
        return np.zeros(2, np.float32), float(self.np_random.normal()), self.left == 0, False, {}


class MyWrapper(gymnasium.Wrapper):
    pass


def my_policy(observations, action_space):
    return action_space.sample()


if "MyEnv-v0" not in gymnasium.registry:
    gymnasium.register("MyEnv-v0", MyEnv)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Writes files into a folder of its own, in which commands run and from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])
    for module in ("warehouse", "my_package"):
        monkeypatch.delitem(sys.modules, module, raising=False)

    def to_file(name: str, text: str) -> None:
        (tmp_path / name).write_text(text)

    return to_file


def was_refreshed(cli: MemUPCLI) -> bool:
    return bool(cli.trainer.global_step == 4 and cli.datamodule.splits["train"].targets.num_refreshes)


def test_the_environment_of_the_readme_runs(write: Callable[[str, str], None]) -> None:
    write("warehouse.py", code_block("README.md", "python", "class Warehouse"))
    command = command_arguments("README.md", "--imports warehouse")
    cli = main([*command, *TINY, *FEW_PLAYED])
    assert was_refreshed(cli)
    assert cli.datamodule.splits["train"].lengths.tolist() == [200] * 4


@pytest.mark.parametrize("page", ["README.md", "docs/running/runs.md"])
def test_the_run_folder_has_the_name_that_the_pages_give_it(
    page: str, write: Callable[[str, str], None], tmp_path: Path
) -> None:
    found = re.search(r"`(--trainer\.logger=CSVLogger [^`]+)`[^`]*`([^`]+)`", (ROOT / page).read_text())
    assert found is not None
    main(
        [
            "fit",
            "--model=MemUP",
            "--data=TMazeDataModule",
            "--data.length=10",
            "--data.num_train=4",
            *found[1].split(),
            *TINY,
        ]
    )
    assert (tmp_path / found[2] / "summary.json").exists()


def test_the_table_of_the_readme_is_made_and_learned(write: Callable[[str, str], None]) -> None:
    code = code_block("README.md", "python", "parquet.write_table")
    assert "journeys, rows = 2000, 200" in code
    exec(code.replace("2000, 200", "40, 60"), {})
    cli = main([*command_arguments("README.md", "ArrayDataModule"), *TINY])
    assert was_refreshed(cli)
    assert cli.datamodule.splits["train"].lengths.tolist() == [60] * 32
    assert cli.trainer.callback_metrics["val/accuracy"] >= 0


def test_an_environment_with_wrapper_and_policy_runs(write: Callable[[str, str], None]) -> None:
    write("my_package.py", MY_PACKAGE)
    write("own.yaml", code_block("docs/start/your-own.md", "yaml", "env_id: MyEnv-v0"))
    cli = main(["fit", "--model=MemUP", "--config=own.yaml", *TINY, *FEW_PLAYED])
    assert was_refreshed(cli)
    assert cli.datamodule.splits["train"].lengths.tolist() == [20] * 4


def test_collected_episodes_are_kept_where_the_page_says(write: Callable[[str, str], None], tmp_path: Path) -> None:
    write("own.yaml", code_block("docs/start/your-own.md", "yaml", "env_id: CartPole-v1"))
    assert was_refreshed(main(["fit", "--model=MemUP", "--config=own.yaml", *TINY, *FEW_PLAYED]))
    (folder,) = (tmp_path / "cache").glob("CartPole-v1-train-*")
    assert {path.name for path in folder.iterdir()} >= {"parameters.json", "episodes", "finished.json"}


def test_the_keys_of_a_minari_dataset_exist(
    write: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write("own.yaml", code_block("docs/start/your-own.md", "yaml", "MinariDataModule"))
    with pytest.raises(SystemExit) as exit_:
        main(["fit", "--model=MemUP", "--config=own.yaml", "--print_config"])
    assert exit_.value.code == 0
    assert "dataset: D4RL/pointmaze/umaze-v2" in capsys.readouterr().out


@pytest.mark.parametrize("memory", ["torch.nn.RNN", "torch.nn.GRU"])
def test_data_of_ones_own_run_with_a_bare_memory(
    write: Callable[[str, str], None], tmp_path: Path, memory: str
) -> None:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        arrays = {"x": rng.normal(size=(90, 8)).astype(np.float32), "outcome": rng.integers(0, 10, 90)}
        np.savez(tmp_path / f"{split}.npz", lengths=[40, 30, 20], **arrays)
    write("my_package.py", code_block("docs/start/your-own.md", "python", "class MyData"))
    config = code_block("docs/start/your-own.md", "yaml", "module: torch.nn.RNN ")
    write("memory.yaml", config.replace("torch.nn.RNN ", f"{memory} "))
    command = command_arguments("docs/start/your-own.md", "my_package.MyData")
    command.remove("--model")
    command.remove("MemUP")
    cli = main([*command, "--config=memory.yaml", *TINY])
    assert was_refreshed(cli)
    assert type(cli.model.memory.module.rnn).__name__ == memory.rsplit(".", 1)[-1]


def test_a_store_holds_what_was_appended(write: Callable[[str, str], None]) -> None:
    x, y = np.ones((3, 8), np.float32), np.zeros(3, np.float32)
    names = {"pieces": [(x, y), (x, y)], "FieldSpec": FieldSpec}
    exec(code_block("docs/start/your-own.md", "python", "EpisodeStore.writer"), names)
    source = names["source"]
    assert isinstance(source, EpisodeStore)
    assert source.lengths.tolist() == [6]
