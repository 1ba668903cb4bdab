"""Arguments that all datamodules of recorded episodes share."""

from __future__ import annotations

from typing import TypedDict

from memup_lightning.data.targets import Selector


class StreamOptions(TypedDict, total=False):
    """Arguments of :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`, which each of its subclasses
    takes as well."""

    chunk_length: int
    lanes: int | None
    selector: Selector | None
    restart: list[float] | None
    curriculum: dict[int, int] | None
    chunks_per_epoch: int | None
    probes: int
    evaluation_lanes: int
    evaluation_chunk_length: int
    num_workers: int
    loss_free: float | None
    candidates: int | None
    seed: int | None
