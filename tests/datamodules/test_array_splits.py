"""Which episodes are trained on, and which are kept for validation and test."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from tests.datamodules.own_files import X, module, write_npz


def test_splits_by_share_are_fixed_by_the_seed_and_share_no_episode(tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", x=np.arange(200).reshape(100, 2, 1), y=np.zeros(100))
    source = str(tmp_path / "many.npz")

    def shown(seed: int) -> list[list[float]]:
        data = ArrayDataModule(source, val_share=0.2, seed=seed)
        splits = [data.episodes(split) for split in ("train", "val", "test")]  # type: ignore[arg-type]
        return [[float(s.read(i, 0, 1)["x"][0, 0]) for i in range(len(s))] for s in splits]

    first = shown(1)
    assert [len(part) for part in first] == [70, 20, 10]
    assert sorted(itertools.chain(*first)) == list(range(0, 200, 2))
    assert shown(1) == first
    assert shown(2) != first


def test_a_file_of_its_own_takes_nothing_from_training(tmp_path: Path) -> None:
    source = write_npz(tmp_path)
    data = ArrayDataModule(source, val=source, test_share=0.25)
    assert [len(data.episodes(split)) for split in ("train", "val", "test")] == [3, 4, 1]  # type: ignore[arg-type]


def test_splits_of_different_shape_are_refused(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    with pytest.raises(MemUPError, match=r"val/own.npz: x has shape \[\] a step, but \[2\] in the training data"):
        _ = module(write_npz(tmp_path), val=write_npz(tmp_path / "val", x=X[:, 0])).task


def test_a_file_that_is_both_for_training_and_validation_is_warned_of(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "a.npz", x=draw.random((8, 6, 2)), y=draw.random((8, 6)))
    data = ArrayDataModule(str(tmp_path / "a.npz"), val=str(tmp_path / "a.npz"))
    with pytest.warns(UserWarning, match="the validation episodes are training episodes too"):
        data.setup("fit")


def test_a_file_that_is_both_for_training_and_test_is_warned_of(tmp_path: Path) -> None:
    path = str(tmp_path / "a.npz")
    with pytest.warns(UserWarning, match="is the training file too, so the test measures what was trained on"):
        ArrayDataModule(path, test=path)


def test_a_share_of_the_training_file_is_no_part_of_the_training_episodes(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    draw = np.random.default_rng(1)
    np.savez(tmp_path / "a.npz", x=draw.random((20, 6, 2)), y=draw.random((20, 6)))
    ArrayDataModule(str(tmp_path / "a.npz")).setup("fit")
    assert not [x for x in recwarn if "training episodes too" in str(x.message)]


def rows_of(folder: Path, names: list[object], lengths: list[int], share: float) -> ArrayDataModule:
    """A table of which a share of the rows, not of the episodes, is the file of validation."""
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    draw = np.random.default_rng(3)
    steps = sum(lengths)
    table = pd.DataFrame(
        {"id": np.repeat(np.array(names), lengths), "speed": draw.random(steps), "y": draw.random(steps)}
    )
    drawn = draw.random(steps) < share
    table[~drawn].to_csv(folder / "train.csv", index=False)
    table[drawn].to_csv(folder / "val.csv", index=False)
    return ArrayDataModule(str(folder / "train.csv"), val=str(folder / "val.csv"), episode="id")


@pytest.mark.parametrize(
    "names", [[f"truck {n}" for n in range(30)], list(range(30)), [7 * n + 100 for n in range(30)]]
)
def test_rows_in_place_of_episodes_that_are_drawn_for_validation_are_warned_of(
    tmp_path: Path, names: list[object]
) -> None:
    with pytest.warns(
        UserWarning, match="of 30 validation episodes have the id of a training episode; if rows were drawn for it"
    ):
        rows_of(tmp_path, names, [40] * 30, 0.2).setup("fit")


def test_files_that_number_their_episodes_alike_are_not_warned_of(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    pd = pytest.importorskip("pandas")
    draw = np.random.default_rng(3)
    for name in ("train", "val"):
        lengths = draw.integers(5, 30, 25)
        steps = int(lengths.sum())
        given = {"id": np.repeat(np.arange(25), lengths), "speed": draw.random(steps), "y": draw.random(steps)}
        pd.DataFrame(given).to_csv(tmp_path / f"{name}.csv", index=False)
    ArrayDataModule(str(tmp_path / "train.csv"), val=str(tmp_path / "val.csv"), episode="id").setup("fit")
    assert not [x for x in recwarn if "rows were drawn" in str(x.message)]
