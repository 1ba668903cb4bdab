"""Writes small data sets in the format of MNIST."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """A uint8 array as the bytes of an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def write_images(folder: Path, train: int = 30, test: int = 9, side: int = 4, packed: bool = False) -> Path:
    """Random images; each shows its own class, and its number and part, in its first pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", train), ("t10k", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)
        labels = (np.arange(count) * 7 % 10).astype(np.uint8)
        images[:, 0, 0], images[:, 0, 1], images[:, 0, 2] = labels, np.arange(count), part == "train"
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            content = idx(array)
            path = folder / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)
    return folder
