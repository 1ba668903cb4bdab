"""Episodes on disk: one flat file per field, laid end to end, and an index of fixed-size records.

A chunk of an episode of any length is then one byte range a field, and an episode is finished when its index record
is there. TensorDict's memory maps are as flat, but their length is fixed when they are made; Zarr reads and decodes
whole compressed chunks for a slice of a few steps; Minari keeps whole episodes as HDF5 groups or Arrow files, which
suits exchange, not slices. None of the three has a commit point an episode. docs/storage.md has the measurements.
POSIX only (fcntl, preadv).

``format`` says what the files are, ``reader`` and ``writer`` read and append.
"""

from memup_lightning.data.store.format import FORMAT
from memup_lightning.data.store.reader import EpisodeStore
from memup_lightning.data.store.writer import EpisodeWriter, OpenEpisode

__all__ = ["FORMAT", "EpisodeStore", "EpisodeWriter", "OpenEpisode"]
