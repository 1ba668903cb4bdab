"""Episodes on disk: one flat file for each field, all episodes concatenated, and an index of fixed-size records.

A chunk of an episode of any length is then one byte range of each field, and an episode is finished when its record is in
the index. TensorDict's memory maps are as flat, but their length is fixed when they are made; Zarr reads and decodes whole
compressed chunks for a slice of a few steps; Minari keeps whole episodes as HDF5 groups or Arrow files, which suits
exchange, not slices. None of the three commits an episode at a time. docs/running/storage.md has the measurements.

``format`` describes the files, ``files`` accesses them, ``reader`` and ``writer`` read and append, ``verification``
compares what is read with its checksums.
"""

from memup_lightning.data.store.format import FORMAT
from memup_lightning.data.store.reader import EpisodeStore
from memup_lightning.data.store.writer import EpisodeWriter, OpenEpisode

__all__ = ["FORMAT", "EpisodeStore", "EpisodeWriter", "OpenEpisode"]
