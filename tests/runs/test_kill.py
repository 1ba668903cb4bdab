"""Runs that are killed can be resumed; torn checkpoints are refused, and the one before is found."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from memup_lightning.exceptions import MemUPError
from memup_lightning.files import atomic_write
from memup_lightning.runs.checkpoints.files import AtomicCheckpointIO, check_checkpoint
from memup_lightning.runs.checkpoints.lookup import KEPT_WEIGHTS, kept_checkpoint, last_checkpoint
from tests.runs.test_resume import DROPOUT, EPOCH, Run, SaveAt, assert_same
from tests.torture_resume import torture


def test_a_run_killed_at_random_moments_ends_like_the_run_that_was_not(tmp_path: Path) -> None:
    said = torture(tmp_path, kills=2, updates=200, tears=1.0, seed=int.from_bytes(os.urandom(4)))
    assert len(said) == 2


class Evaluations(SaveAt):
    """Writes down every evaluation."""

    def __init__(self, step: int, path: Path) -> None:
        super().__init__(step, path)
        self.found: dict[int, float] = {}

    def on_validation_end(self, trainer: Any, *args: Any) -> None:
        self.found[trainer.global_step] = float(trainer.callback_metrics["val/nll"])


@pytest.mark.parametrize(
    ("at", "when"),
    [(30, {}), (60, {}), (37, {}), (40, {"every": EPOCH}), (80, {"every": EPOCH})],
    ids=["evaluation", "evaluation and refresh", "between", "end of an epoch", "end of the second epoch"],
)
def test_what_was_due_when_the_checkpoint_was_written_is_made_up_for(
    tmp_path: Path, at: int, when: dict[str, Any]
) -> None:
    given = {"memory": DROPOUT, "when": when}
    whole, rest = Evaluations(at, tmp_path / "cut.ckpt"), Evaluations(0, tmp_path / "none.ckpt")
    uncut = Run(save=whole, **dict(given)).outcome
    assert_same(Run(ckpt=whole.path, save=rest, seed=99, **dict(given)).outcome, uncut)
    assert list(whole.found) == [30, 60, 90]
    assert rest.found == {step: value for step, value in whole.found.items() if step >= at}


# --- which checkpoint is the last


class Options(dict[str, Any]):
    """A part of a config."""


def trainer(folder: Path, **given: Any) -> Options:
    logger = SimpleNamespace(class_path="CSVLogger", init_args={"save_dir": str(folder), "name": "maze"})
    return Options(logger=[logger], callbacks=[], default_root_dir=None) | given


def save(path: Path, age: int, value: float = 0.0, step: int | None = None) -> Path:
    """A checkpoint written ``age`` seconds ago; the older the earlier its update, where none is given."""
    content = {"state_dict": {"weight": torch.full((1000,), value)}, "global_step": -age if step is None else step}
    AtomicCheckpointIO().save_checkpoint(content, path)
    moment = 1_700_000_000 - age
    os.utime(path, (moment, moment))
    return path


def tear(path: Path) -> None:
    before = path.stat()
    os.truncate(path, before.st_size // 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def lose_a_block(path: Path) -> None:
    """What a power cut leaves where the disk had promised more than it did."""
    before = path.stat()
    with path.open("r+b") as file:
        at = file.read().index(b"\0\0\x80\x3f" * 100)
        file.seek(at)
        file.write(bytes(256))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def last(config: Any) -> Path | None:
    found = last_checkpoint(config, must_exist=False)
    return found and found[0]


@pytest.fixture
def runs(tmp_path: Path) -> dict[str, Path]:
    """Two checkpoints of an older run, two of a newer one."""
    home = tmp_path / "maze"
    places = {
        "old 1": home / "version_9" / "checkpoints" / "step=10.ckpt",
        "old 2": home / "version_9" / "checkpoints" / "step=20.ckpt",
        "new 1": home / "version_10" / "checkpoints" / "step=15.ckpt",
        "new 2": home / "version_10" / "checkpoints" / "last.ckpt",
    }
    return {name: save(path, 100 - 10 * number, 1.0) for number, (name, path) in enumerate(places.items())}


def test_last_is_the_newest_checkpoint_of_the_newest_run(runs: dict[str, Path], tmp_path: Path) -> None:
    assert last(trainer(tmp_path)) == runs["new 2"]


@pytest.mark.parametrize("damage", [tear, lose_a_block])
def test_a_torn_checkpoint_is_skipped_and_named(
    runs: dict[str, Path], tmp_path: Path, damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(runs["new 2"])
    assert last(trainer(tmp_path)) == runs["new 1"]
    said = capsys.readouterr().out
    assert f"skipped {runs['new 2']}: " in said
    assert f"resuming from {runs['new 1']}" in said
    damage(runs["new 1"])
    assert last(trainer(tmp_path)) == runs["old 2"]


def test_a_run_whose_checkpoints_are_all_torn_is_not_started_again_unasked(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    for path in runs.values():
        tear(path)
    with pytest.raises(MemUPError, match=r"every checkpoint in .*maze is torn \(4\)"):
        last(trainer(tmp_path))


def test_where_there_is_no_checkpoint_a_run_starts_from_the_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert last(trainer(tmp_path)) is None
    assert "the run starts from the beginning" in capsys.readouterr().out
    with pytest.raises(MemUPError, match=r"there is no checkpoint in .*maze"):
        last_checkpoint(trainer(tmp_path), must_exist=True)


def test_a_dirpath_is_searched_alone(runs: dict[str, Path], tmp_path: Path) -> None:
    own = save(tmp_path / "own" / "a.ckpt", 1000)
    checkpoint = SimpleNamespace(class_path="ModelCheckpoint", init_args={"dirpath": str(tmp_path / "own")})
    assert last(trainer(tmp_path, callbacks=[checkpoint])) == own


def test_a_torn_checkpoint_given_by_name_is_refused_and_the_one_before_named(runs: dict[str, Path]) -> None:
    lose_a_block(runs["new 2"])
    with pytest.raises(MemUPError, match=f"torn .*checksum.*take the latest intact one: {runs['new 1']}"):
        check_checkpoint(runs["new 2"])


# --- writing


FULL = OSError(errno.ENOSPC, "No space left on device")


def full_disk(checkpoint: Any, file: Any) -> None:
    """What torch does on a full disk: its own error, from within that of the system."""
    file.write(b"half of it")
    raise RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 356800 vs 356694")


def full_system(checkpoint: Any, file: Any) -> None:
    file.write(b"half of it")
    raise FULL


@pytest.mark.parametrize("failure", [full_disk, full_system])
def test_a_full_disk_is_one_sentence_and_leaves_what_was_there(tmp_path: Path, monkeypatch: Any, failure: Any) -> None:
    path = save(tmp_path / "last.ckpt", 0, 1.0)
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", failure)
    with pytest.raises(MemUPError, match=r"last\.ckpt cannot be written \(the disk is full\); what was there before"):
        AtomicCheckpointIO().save_checkpoint({}, path)
    assert path.read_bytes() == before
    assert [x.name for x in tmp_path.iterdir()] == ["last.ckpt"]


def test_an_error_of_the_writer_itself_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ours"), atomic_write(tmp_path / "x"):
        raise RuntimeError("ours")
    assert not list(tmp_path.iterdir())


def test_last_goes_by_the_update_inside_whatever_the_times_say(tmp_path: Path) -> None:
    folder = tmp_path / "maze" / "version_3"
    late, early = save(folder / "step=100.ckpt", 50, step=100), save(folder / "step=80.ckpt", 50, step=80)
    assert last(trainer(tmp_path)) == late
    os.utime(early)  # a copy, or a clock that was set back
    assert last(trainer(tmp_path)) == late


def test_the_newest_run_goes_by_its_number_whatever_the_times_say(tmp_path: Path) -> None:
    save(tmp_path / "maze" / "version_9" / "a.ckpt", 0, step=1000)
    newer = save(tmp_path / "maze" / "version_10" / "a.ckpt", 500, step=5)
    assert last(trainer(tmp_path)) == newer


def test_best_is_of_the_newest_run_by_its_number_and_never_resumed_from(tmp_path: Path) -> None:
    save(tmp_path / "maze" / "version_9" / KEPT_WEIGHTS, 0, step=1000)
    newer = save(tmp_path / "maze" / "version_10" / KEPT_WEIGHTS, 500, step=5)
    assert kept_checkpoint(trainer(tmp_path))[0] == newer
    assert last(trainer(tmp_path)) is None


def test_a_checkpoint_that_would_run_code_is_not_read(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "x": Path("a class that torch does not allow")}, tmp_path / "x.ckpt")
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "x.ckpt")
