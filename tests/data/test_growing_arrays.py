"""Growing arrays: what was appended, in one piece."""

from __future__ import annotations

import numpy as np

from memup_lightning.data.growing_arrays import GrowingArrays
from memup_lightning.specs import FieldSpec


def test_what_was_appended_is_concatenated() -> None:
    rng = np.random.default_rng(0)
    fields = {"x": FieldSpec((3, 2)), "flag": FieldSpec((), "bool"), "token": FieldSpec((), "int32", "token", 9)}
    episodes = [
        {
            "x": rng.random((length, 3, 2), np.float32),
            "flag": rng.random(length) < 0.5,
            "token": rng.integers(0, 9, length).astype(np.int32),
        }
        for length in rng.integers(1, 40, 50)
    ]
    kept = GrowingArrays(fields)
    for episode in episodes:
        kept.append(episode)
    arrays, lengths = kept.finish()
    assert lengths.tolist() == [len(episode["flag"]) for episode in episodes]
    assert list(arrays) == list(fields)
    for name, array in arrays.items():
        assert array.dtype == np.dtype(fields[name].dtype)
        np.testing.assert_array_equal(array, np.concatenate([episode[name] for episode in episodes]))
