"""Every benchmark that the pages name runs with --quick, or this file says why not."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest

from tests.command_line import ROOT
from tests.processes import ForkedProcess

QUICK = {
    "comparison": "",
    "drift": "",
    "interference": "",
    "memories": "",
    "million": "",
    "noise": "",
    "online_gradients": "",
    "passive_tmaze": "",
    "readme": "pyarrow",
    "refresh": "",
    "resume": "",
    "rollouts": "",
    "serving": "pyarrow",
    "start": "",
    "tasks": "mlxtend",
    "tmaze": "",
    "transformers": "sklearn",
    "two_colors_view": "vizdoom",
    "zoo": "",
}
"""Benchmarks that take some seconds with --quick, and the package that each needs."""
OTHERS = {
    "accelerator": "needs a GPU",
    "books": "makes data, of a folder of books",
    "defaults": "a minute with --quick: the configs that test_conf.py runs",
    "first_update": "a part of start",
    "fresh_srnn": "a memory of rows of tasks",
    "frozen_memory": "needs sb3-contrib",
    "hidden_facts": "needs books",
    "mnist": "downloads",
    "overhead": "a minute with --quick",
    "recurrent_ppo": "needs sb3-contrib",
    "replay": "a minute with --quick",
    "report": "what all share",
    "runs": "what all share",
    "stream": "a minute with --quick",
    "tmaze_agents": "a minute with --quick",
    "two_colors": "minutes of a 3D engine",
    "two_colors_agents": "minutes of a 3D engine",
    "two_colors_env": "minutes of a 3D engine",
    "two_colors_movie": "draws a run that must be there",
}
"""Other modules, and why this test does not run them; test_pages.py parses the options that pages give them."""


def test_every_benchmark_is_here() -> None:
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} | {"zoo"}
    assert there - {"__init__"} == QUICK.keys() | OTHERS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
def test_a_benchmark_runs_with_quick(name: str) -> None:
    if QUICK[name] and find_spec(QUICK[name]) is None:
        pytest.skip(f"{QUICK[name]} is not installed")
    given = ["--quick", "--seeds", "1", "--threads", "1"]
    with ForkedProcess([f"benchmarks.{name}", *given], ROOT, dict(os.environ)) as process:
        said = process.communicate()
    assert process.returncode == 0, said
    assert "memup_lightning 0" in said  # the last line of each table
