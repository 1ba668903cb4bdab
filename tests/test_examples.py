"""Every example runs as its first lines say, and stays short."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.command_line import ROOT
from tests.processes import ForkedProcess

EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
SHORT = {
    "01_maze_from_python": "updates=300",
    "02_your_own_environment": "updates=100",
    "03_your_own_memory_core": "updates=100",
    "04_your_own_arrays": "updates=100",
    "05_reading_a_runs_results": "updates=250",
    "10_own_text": "updates=20",
}
"""Arguments of a short run of the examples that train a memory alone."""
LIBRARIES = {
    "06_stable_baselines3_ppo": ("stable_baselines3", "updates=2, steps=1024"),
    "07_stable_baselines3_dqn": ("stable_baselines3", "updates=2, steps=600"),
    "08_one_file_ppo": ("torch", "updates=2, rollouts=2"),
    "09_torchrl_ppo": ("torchrl", "updates=2, rollouts=1, steps=256"),
    "11_optuna_search": ("optuna", "trials=2, updates=120"),
}
"""Examples that need another library: the library, and arguments of a short run."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    text = example.read_text()
    assert f"python -m examples.{example.stem}\n" in text
    assert len(text.splitlines()) < 60
    module = f"examples.{example.stem}"
    library, short = LIBRARIES.get(example.stem) or ("torch", SHORT[example.stem])
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    arguments = ["-c", f"import importlib; importlib.import_module({module!r}).main({short})"]
    with ForkedProcess(arguments, tmp_path, dict(os.environ)) as process:
        said = process.communicate()
    assert process.returncode == 0, said
    assert said.strip()
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"


def test_the_index_names_every_example() -> None:
    lines = (ROOT / "examples" / "README.md").read_text().splitlines()
    for example in EXAMPLES:
        assert sum(f"({example.name})" in line for line in lines) == 1
