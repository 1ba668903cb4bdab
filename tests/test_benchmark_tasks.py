"""The table of tasks: its rows can be run, are evaluated by their targets, and none is lost."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import mnist, tasks
from benchmarks.defaults import with_defaults
from benchmarks.fresh_srnn import FreshSRNN
from benchmarks.runs import Finished, fit_and_test_alone
from benchmarks.tasks import PROBLEMS, QUICK, Problem
from tests.cli.test_conf import parses
from tests.command_line import ROOT

ROWS = {problem.name: problem for problem in [*PROBLEMS, *QUICK, *tasks.ablation()]}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["memup_lightning"])


RESOLVED: dict[str, str] = {}


def resolved(row: Problem, capsys: pytest.CaptureFixture[str]) -> str:
    """The config of a row; a row is parsed once, which takes a second."""
    if row.name not in RESOLVED:
        RESOLVED[row.name] = parses(["fit", "--config", row.config, *row.overrides], capsys)
    return RESOLVED[row.name]


@pytest.mark.parametrize("name", ROWS)
def test_the_arguments_of_a_row_are_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    problem = ROWS[name]
    config = yaml.safe_load(resolved(problem, capsys))
    schedule = config["model"]["init_args"]["lr_scheduler"]["init_args"]
    assert {schedule.get("T_max"), schedule.get("total_steps")} - {None} == {config["trainer"]["max_steps"]}
    assert config["trainer"]["max_steps"] % config["trainer"]["val_check_interval"] == 0  # it ends with an evaluation


def test_every_row_of_the_ablation_differs_from_what_is_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    found = [resolved(row, capsys) for row in tasks.ablation()]
    assert len(set(found)) == len(found)


def test_a_config_with_the_defaults_keeps_its_task_and_when_it_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = with_defaults(yaml.safe_load((ROOT / "conf" / "tmaze.yaml").read_text()))
    path = tmp_path / "tmaze.yaml"
    path.write_text(yaml.safe_dump(given))
    config = yaml.safe_load(parses(["fit", f"--config={path}"], capsys))
    model, data = config["model"]["init_args"], config["data"]["init_args"]
    assert (model["memory"], model["outcome"], model["current_step"]) == ("memup_lightning.LSTM", None, None)
    assert (data["length"], data["chunk_length"], data["selector"], data["restart"]) == (1000, 32, None, None)
    used = [x["class_path"].rsplit(".", 1)[-1] for x in given["trainer"]["callbacks"]]
    assert used == ["EarlyStopping", "MemoryUsage"]


def test_a_target_is_met_by_value_and_time_together() -> None:
    accuracy = Problem("a", "conf/copy.yaml", [], 0.99, 4)
    assert accuracy.met(0.99, 240)
    assert not accuracy.met(0.98, 100)
    assert not accuracy.met(1.0, 241)
    error = Problem("b", "conf/copy.yaml", [], 0.005, 4, "val/mse", smallest=True)
    assert error.met(0.004, 1)
    assert not error.met(0.006, 1)


def test_a_row_reports_the_test_episodes_and_also_those_that_stopped_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    summary = {
        "data": "Copy",
        "metrics": {"val/accuracy": 0.999, "val/target_recall": 1.0},
        "updates": 10,
        "seconds_total": 60.0,
        "peak_rss_mb": 1.0,
        "saved_tensor_bytes": 1,
        "machine": {"torch_threads": 2},
    }
    given: list[Any] = []

    def finished(config: str, *overrides: str, **more: Any) -> Any:
        given.append((config, overrides, more))
        return Finished(summary, [{"updates": 10.0, "val/accuracy": 0.995}]), {"test/accuracy": 0.98}

    monkeypatch.setattr(tasks, "fit_and_test_alone", finished)
    found = tasks.run(Problem("a", "conf/copy.yaml", ["--x=1"], 0.99, 4), 3, 2)
    assert given == [("conf/copy.yaml", ("--x=1",), {"seed": 3, "threads": 2})]
    assert (found["value"], found["validation"], found["threads"]) == (0.98, 0.995, 2)  # 0.999: of earlier weights
    assert not found["met"]  # 0.98 was asked to be 0.99


def test_a_row_of_all_digits_reads_them_from_a_folder_into_which_they_are_fetched_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (folder := tmp_path / "mnist").mkdir()
    fetched: list[Path] = []

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        for name in mnist.SIZES:
            (folder / name).touch()

    monkeypatch.setattr("benchmarks.mnist.fetch", fetch)
    given: list[tuple[str, ...]] = []

    def stopped(config: str, *overrides: str, **more: Any) -> Any:
        given.append(overrides)
        raise SystemExit

    monkeypatch.setattr(tasks, "fit_and_test_alone", stopped)
    problem = Problem("a", "conf/permuted_pixels.yaml", ["--x=1"], None, digits=True)
    for _ in range(2):
        with pytest.raises(SystemExit):
            tasks.run(problem, 1, None)
    assert fetched == [folder]
    assert given == [("--x=1", f"--data.init_args.source={folder}")] * 2  # `fit` runs in another folder


def test_the_control_memory_learns_nothing() -> None:
    core = FreshSRNN(1, hidden_size=4, cut=False)
    assert (core.output_size, core.cut) == (4, False)
    assert not any(x.requires_grad for x in core.parameters())


def test_what_is_tested_are_the_last_weights_on_other_episodes(tmp_path: Path) -> None:
    sizes = {"length": 15, "num_train": 64, "num_val": 32, "num_test": 48, "lanes": 8}
    overrides = [
        *(f"{tasks.DATA}.{name}={value}" for name, value in sizes.items()),
        *tasks.updates(40, 20),
        f"{tasks.DATA}.chunks_per_epoch=20",
    ]
    (summary, evaluations), tested = fit_and_test_alone("conf/copy_120.yaml", *overrides, seed=1, threads=1)
    assert [row["updates"] for row in evaluations] == [20, 40]
    assert summary["updates"] == 40
    assert tested["test/target_recall"] == 1
    assert tested["test/nll"] != summary["metrics"]["val/nll"]


def test_rows_are_written_after_every_run_and_those_of_other_runs_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tasks.json"
    written: list[list[tuple[str, int]]] = []

    def run(problem: Problem, seed: int, threads: int | None) -> dict[str, Any]:
        if path.exists():
            written.append([(row["task"], len(row["runs"])) for row in json.loads(path.read_text())["rows"]])
        same = {
            "validation": 0.5,
            "recall": None,
            "updates": 1,
            "seconds": 1.0,
            "peak_rss_mb": 1.0,
            "saved_bytes": 1,
            "met": True,
        }
        return {"seed": seed, "data": "copy", "value": 1.0, **same}

    monkeypatch.setattr(tasks, "run", run)
    for arguments in (["--only", "Copy-120"], ["--only", "Copy-1000", "Copy-120", "--seeds", "4", "5"]):
        monkeypatch.setattr(sys, "argv", ["tasks", "--json", str(path), *arguments])
        tasks.main()
    first, second = "Copy-120, r=20", "Copy-1000, r=20"
    assert written == [[(first, 1)], [(first, 2)], [(first, 3)], [(first, 1)], [(first, 2)], [(first, 2), (second, 1)]]
