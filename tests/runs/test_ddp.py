"""Two gloo processes do what one does: same weights, targets, metrics and predictions; and neither waits for ever."""

from __future__ import annotations

import contextlib
import csv
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from memup_lightning import distributed
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.networks import RunningNormalizer
from memup_lightning.specs import FieldSpec
from tests.command_line import ROOT, tiny
from tests.processes import ForkedProcess, start_ranks

LIMIT = 300  # seconds after which a command counts as hung; a loaded machine needs 100
UPDATES = 60
ROUNDING = 1e-3
"""What one rank and two may differ by: they sum in another order. Rounding moved the clusters' centres by 3e-5 and all else
by 2e-6 at most. Gradients that are not averaged, and means that are averaged without the ranks' counts, moved each part of
the checkpoint by 0.03 or more; lanes that have each other's states moved the lanes by 0.017 and the weights by 0.009."""


def command(folder: Path, subcommand: str, name: str, *options: str, processes: int = 1) -> str:
    """Run the command line, and return what it says (test_signals.py has ranks that Lightning launches)."""
    given = [subcommand, "--config", str(folder / "config.yaml"), f"--trainer.logger.init_args.name={name}", *options]
    clean = {key: x for key, x in os.environ.items() if not key.startswith("WANDB")}
    clean |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if processes > 1:
        given += [f"--trainer.devices={processes}", "--trainer.strategy=ddp"]
    with contextlib.ExitStack() as stack, (folder / f"{name}.log").open("wb") as log:
        arguments = ["memup_lightning", *given]
        if processes > 1:
            ranks = start_ranks(arguments, folder, clean, processes, log.fileno())
        else:
            ranks = [ForkedProcess(arguments, folder, clean, log.fileno())]
        for rank in ranks:
            stack.enter_context(rank)
        try:
            statuses = [rank.wait(LIMIT) for rank in ranks]
        except subprocess.TimeoutExpired:
            pytest.fail(f"{subcommand} with {processes} processes hangs")
        finally:
            for rank in ranks:  # else a hung rank would outlive the test
                rank.kill()
    said = (folder / f"{name}.log").read_text()
    assert statuses == [0] * processes, said
    return said


def config(folder: Path) -> dict[str, Any]:
    """Episodes of uneven length, in numbers that two ranks cannot share evenly; a refresh does not reach them all."""
    given = tiny(folder)
    given["num_threads"] = 1
    given["trainer"] |= {"max_steps": UPDATES, "val_check_interval": 20}
    given["trainer"]["callbacks"] = [
        {"class_path": "TargetRefresh", "init_args": {"every": 15, "settle": 5, "max_wait": 10, "max_steps": 400}},
        {
            "class_path": "Replay",
            "init_args": {"every": 15, "max_steps": 200, "visits": [1, 3], "max_age": 30, "lanes": 3},
        },
        {
            "class_path": "ModelCheckpoint",
            "init_args": {"every_n_train_steps": 20, "save_top_k": -1, "filename": "{step}"},
        },
        {"class_path": "RunReport", "init_args": {"pictures": False}},
        {"class_path": "MemoryUsage"},
        {"class_path": "PredictionWriter"},
    ]
    given["model"]["init_args"] |= {"drift_weight": {10: 1.0}, "num_clusters": 4}
    given["data"]["init_args"] = {
        "length": 20,
        "lanes": 16,
        "num_train": 37,
        "num_val": 13,
        "num_test": 7,
        "chunk_length": 5,
        "chunks_per_epoch": 25,
        "curriculum": {25: 30},
        "evaluation_lanes": 4,
        "evaluation_chunk_length": 10,
        "selector": {
            "class_path": "Explainable",
            "init_args": {"num_targets": 2},
        },
        "loss_free": 0.2,
        "restart": [0.0],
    }
    return given


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one process (``one``) and the same on two (``two``)."""
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "config.yaml").write_text(yaml.safe_dump(config(folder)))
    for name, processes in (("one", 1), ("two", 2)):
        command(folder, "fit", name, processes=processes)
    return folder


def checkpoint(folder: Path, name: str, step: int = UPDATES) -> Path:
    return folder / "runs" / name / "version_0" / "checkpoints" / f"step={step}.ckpt"


def assert_same(one: Path, other: Path, tolerance: float) -> None:
    """Weights, Adam's moments, lanes, targets, and what was seen of each context cluster."""
    a, b = torch.load(one, weights_only=True), torch.load(other, weights_only=True)
    assert a["clusters"]["observed"].any()
    assert a["clusters"].pop("examples") == b["clusters"].pop("examples")
    assert a["TMazeDataModule"]["lanes"].pop("episodes") == b["TMazeDataModule"]["lanes"].pop("episodes")
    assert a["TMazeDataModule"]["lanes"]["consumed"] == b["TMazeDataModule"]["lanes"]["consumed"] == UPDATES
    assert a["lanes"]["states"][0].shape == b["lanes"]["states"][0].shape == (16, 1, 8)
    ours, theirs = (saved["callbacks"]["Replay"] for saved in (a, b))
    assert len(ours["snapshots"]["where"])
    assert torch.equal(ours["snapshots"]["where"], theirs["snapshots"]["where"])
    assert all(torch.equal(x, theirs["visits"][name]) for name, x in ours["visits"].items())
    for part in ("state_dict", "lanes", "optimizer_states", "TMazeDataModule", "clusters"):
        torch.testing.assert_close(
            a[part], b[part], rtol=tolerance, atol=tolerance, msg=lambda m, part=part: f"{part}: {m}"
        )


def last_row(folder: Path, name: str) -> dict[str, float]:
    """The last value of each metric."""
    with (folder / "runs" / name / "version_0" / "metrics.csv").open() as lines:
        return {key: float(x) for row in csv.DictReader(lines) for key, x in row.items() if x}


def test_two_processes_learn_the_weights_of_one(folder: Path) -> None:
    begin = torch.load(checkpoint(folder, "one", 20), weights_only=True)
    assert begin["TMazeDataModule"]["targets"]["num_refreshes"] == 2
    assert not begin["TMazeDataModule"]["targets"]["scored"].all()
    assert_same(checkpoint(folder, "one"), checkpoint(folder, "two"), ROUNDING)


def test_two_processes_report_the_metrics_of_one(folder: Path) -> None:
    one, two = last_row(folder, "one"), last_row(folder, "two")
    assert one.keys() == two.keys()
    assert {"val/target_recall", "val/accuracy", "val/memory_gain", "train/loss"} <= one.keys()
    for name, value in one.items():
        if name.startswith(("val/", "train/")) or name == "refresh/scored_share":
            assert two[name] == pytest.approx(value, abs=1e-4), name
    assert two["memory/saved_tensor_bytes"] < 0.7 * one["memory/saved_tensor_bytes"]


def test_two_processes_go_on_bit_for_bit_as_two(folder: Path) -> None:
    command(folder, "fit", "two-two", f"--ckpt_path={checkpoint(folder, 'two', 20)}", processes=2)
    assert_same(checkpoint(folder, "two"), checkpoint(folder, "two-two"), 0)


def test_two_processes_go_on_as_one(folder: Path) -> None:
    command(folder, "fit", "two-one", f"--ckpt_path={checkpoint(folder, 'two', 20)}")
    assert_same(checkpoint(folder, "two"), checkpoint(folder, "two-one"), ROUNDING)


def test_two_processes_write_every_prediction_into_one_table(folder: Path) -> None:
    command(folder, "predict", "predict", f"--ckpt_path={checkpoint(folder, 'two')}", processes=2)
    tables = list((folder / "runs" / "predict").rglob("predictions*.csv"))
    assert [table.name for table in tables] == ["predictions.csv"]
    with tables[0].open() as lines:
        assert [int(row["episode"]) for row in csv.DictReader(lines)] == list(range(7))


def test_fewer_episodes_than_processes_are_enough(folder: Path) -> None:
    few = [
        "--data.init_args.selector=TopK",
        "--data.init_args.loss_free=0",
        "--data.init_args.num_train=1",
        "--data.init_args.num_val=1",
        "--data.init_args.num_workers=1",
    ]
    command(folder, "fit", "few", "--trainer.max_steps=25", *few, processes=2)
    assert "val/accuracy" in last_row(folder, "few")


# --- without processes


@pytest.fixture
def three_ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    return lambda number: monkeypatch.setattr(distributed, "rank", lambda: number)


def test_every_episode_falls_to_one_rank_and_the_steps_are_even(three_ranks: Callable[[int], None]) -> None:
    lengths = np.random.default_rng(0).integers(1, 1000, 50)
    episodes = np.arange(3, 50)
    shares = []
    for number in range(3):
        three_ranks(number)
        shares.append(distributed.share_of_episodes(episodes, lengths))
    assert sorted(np.concatenate(shares)) == episodes.tolist()
    steps = [lengths[share].sum() for share in shares]
    assert max(steps) - min(steps) <= lengths.max()


def test_lanes_that_cannot_be_split_are_refused(three_ranks: Callable[[int], None]) -> None:
    assert distributed.share_of_lanes(12) == 4
    with pytest.raises(MemUPError, match=r"lanes=64 cannot be split over 3 processes; .* such as 66"):
        distributed.share_of_lanes(64)


def learn_a_share(number: int, folder: str, rows: list[int]) -> None:
    """What a rank's normaliser knows after its share of some batches."""
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=number, world_size=2)
    normalizer = RunningNormalizer({"x": FieldSpec((2,))})
    for batch in batches(rows):
        share = batch.chunk(2)[number]
        normalizer.update(normalizer({"x": share}))
    torch.save(normalizer.state_dict(), f"{folder}/{number}.pt")
    torch.distributed.destroy_process_group()


def batches(rows: list[int]) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [3 * torch.randn(n, 2) + torch.tensor([5.0, -2.0]) for n in rows]


def test_observations_are_normalised_by_what_all_ranks_saw(tmp_path: Path) -> None:
    rows = [7, 40, 3]
    torch.multiprocessing.spawn(learn_a_share, (str(tmp_path), rows), nprocs=2)  # type: ignore[attr-defined]
    alone = RunningNormalizer({"x": FieldSpec((2,))})
    for batch in batches(rows):
        alone.update(alone({"x": batch}))
    for number in (0, 1):
        for name, x in torch.load(tmp_path / f"{number}.pt").items():
            torch.testing.assert_close(x, alone.state_dict()[name], atol=1e-6, rtol=1e-6)
