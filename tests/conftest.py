"""Settings of every test: one thread, Weights & Biases offline and silent, the markers of long tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"

import pytest
import torch

from memup_lightning.callbacks import RunReport, defaults
from tests.long_tests import is_long

torch.set_num_threads(1)


@pytest.hookimpl(optionalhook=True)  # there is none without pytest-xdist
def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many processes again as there are cores: tests of the command line wait for processes of their own."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 2


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the long tests, and refuse ids that differ from process to process, in which parallel runs collect."""
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: the id holds an address; give ids to parametrize")
        if is_long(item.nodeid):
            item.add_marker(pytest.mark.slow)


def subclasses(of: type[object]) -> Iterator[type[object]]:
    """All classes below a class."""
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


@pytest.fixture(autouse=True, scope="module")
def _no_class_made_twice() -> Iterator[None]:
    """Short class names are ambiguous once there are two classes of one name: of a module imported again, or of a trace."""
    yield
    encoders = [x for x in set(subclasses(torch.nn.Module)) if x.__name__ == "StepEncoder"]
    assert len(encoders) <= 1, f"a test of this file left several classes of one name: {encoders}"


@pytest.fixture(autouse=True)
def _no_seed_of_another_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """seed_everything leaves its seed in the environment, from which a datamodule takes its own."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)


@pytest.fixture(autouse=True)
def _no_pictures_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the command line draws pictures by default, which takes a second: here where its config says so."""
    monkeypatch.setattr(defaults, "RunReport", partial(RunReport, pictures=False))
