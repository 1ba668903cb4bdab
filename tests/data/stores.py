"""Small stores on disk, and what is written into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from memup_lightning.data.episodes import FieldSpec
from memup_lightning.data.store import EpisodeStore
from memup_lightning.typing import Arrays

ROOT = Path(__file__).parents[2]
FIELDS = {
    "x": FieldSpec((2,)),
    "action": FieldSpec((), "int16", "token", 5),
    "outcome": FieldSpec(),
    "has_outcome": FieldSpec((), "bool"),
}
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def draw_arrays(steps: int, seed: int = 0) -> Arrays:
    random = np.random.default_rng(seed)
    return {
        "x": random.standard_normal((steps, 2), np.float32),
        "action": random.integers(0, 5, steps).astype("int16"),
        "outcome": random.standard_normal(steps, np.float32),
        "has_outcome": random.random(steps) < 0.5,
    }


def cut(arrays: Arrays, begin: int, end: int) -> Arrays:
    return {name: array[begin:end] for name, array in arrays.items()}


def write(path: Path, lengths: list[int], arrays: Arrays | None = None) -> Arrays:
    """A store of the lengths; returns its content laid end to end."""
    arrays = arrays or draw_arrays(sum(lengths))
    with EpisodeStore.writer(path, FIELDS, durable=False) as writer:
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            writer.add(cut(arrays, end - length, end))
    return arrays


def assert_holds(store: EpisodeStore, arrays: Arrays, lengths: list[int]) -> None:
    assert store.lengths.tolist() == lengths
    for episode, end in enumerate(np.cumsum(lengths)):
        for name, array in store.read(episode, 0, lengths[episode]).items():
            np.testing.assert_array_equal(array, arrays[name][end - lengths[episode] : end])
            assert array.dtype == arrays[name].dtype
    store.verify()


def flip_a_bit(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 4
    file.write_bytes(content)


dtypes = st.sampled_from(["bool", "uint8", "int16", "int64", "float16", "float32", "float64", ">f4"])
fields_of_any_kind = st.dictionaries(
    st.text(max_size=8),
    st.builds(FieldSpec, st.lists(st.integers(1, 3), max_size=3).map(tuple), dtypes),
    min_size=1,
    max_size=4,
).filter(lambda fields: not {"outcome", "has_outcome", "eval_mask"} & fields.keys())
