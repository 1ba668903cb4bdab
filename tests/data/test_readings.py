"""What a source returns: the same steps at every reading, of the declared fields; other episodes for validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from memup_lightning import rng
from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.data.readings import check_readings, shared_episodes
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

Make = Callable[[IntArray, IntArray], Any]


class Own(ProceduralEpisodes):
    def __init__(self, x: Make, field: FieldSpec | None = None) -> None:
        self.fields = {"x": field or FieldSpec(), OUTCOME: FieldSpec()}
        self.lengths = np.full(5, 20)
        self.x = x

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        made = self.x(episodes, time)
        return {OUTCOME: np.zeros(time.shape, np.float32)} | ({} if made is None else {"x": made})


def of_counters(episodes: IntArray, time: IntArray) -> Any:
    return rng.uniform(3, episodes[:, None], time)


@pytest.mark.parametrize(
    ("x", "said"),
    [
        (
            lambda e, t: np.random.rand(*t.shape),  # noqa: NPY002 (the mistake)
            "read again; a step must follow from episode and time alone",
        ),
        (
            lambda e, t: np.random.default_rng(int(e[0])).random(t.shape),
            "other values of 'x' when they are read in two",
        ),
        (lambda e, t: None, "Own.generate returned outcome, but not x"),
        (lambda e, t: np.full(t.shape, np.nan), "field 'x' of episode 0 at step 0 is nan"),
        (lambda e, t: np.zeros((*t.shape, 2)), "declared float32[] a step, but 8 steps of episode 0 are float32[8, 2]"),
        (lambda e, t: t.nothing, "Own of train failed: AttributeError"),
    ],
)
def test_a_generated_step_that_is_not_the_same_at_every_reading_is_refused(x: Make, said: str) -> None:
    with pytest.raises(MemUPError) as error:
        check_readings(Own(x), "train")
    assert said in str(error.value)


def test_class_numbers_that_were_generated_as_floats_or_out_of_range_are_refused() -> None:
    token = FieldSpec((), "int32", "token", 3)
    with pytest.raises(MemUPError, match=r"declared int32\[\] a step, but 8 steps of episode 0 are float64\[8\]"):
        check_readings(Own(of_counters, token), "train")
    with pytest.raises(MemUPError, match="at step 3 is 3; its classes are 0 to 2"):
        check_readings(Own(lambda e, t: t, token), "train")


def test_generated_doubles_become_the_declared_floats() -> None:
    source = Own(of_counters)
    check_readings(source, "train")
    read = source.gather(np.array([1]), np.array([0]), 4, ["x"])["x"]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], of_counters(np.array([1]), np.arange(4)[None])[0].astype(np.float32))


def episodes(seed: int, count: int = 40) -> ArrayEpisodes:
    draw = np.random.default_rng(seed)
    return ArrayEpisodes({"x": draw.random((count * 6, 2)), OUTCOME: draw.random(count * 6)}, [6] * count)


def test_episodes_that_another_source_has_too_are_found() -> None:
    some = episodes(1)
    order = np.arange(40)[::-1]
    reversed_ = {name: x.reshape(40, 6, -1)[order].reshape(x.shape) for name, x in some.arrays.items()}
    assert shared_episodes(some, episodes(1)) == (40, 40)
    assert shared_episodes(some, ArrayEpisodes(reversed_, some.lengths)) == (40, 40)
    assert shared_episodes(some, episodes(2)) == (0, 40)
    assert shared_episodes(episodes(1, count=4), episodes(2)) == (0, 4)


def test_a_few_episodes_that_another_source_has_too_are_found() -> None:
    few, many = episodes(1), episodes(2, count=3000)
    for name, x in many.arrays.items():
        x[600:618] = few.arrays[name][30:48]
    assert shared_episodes(few, many) == (3, 40)


def test_episodes_that_are_few_of_a_kind_by_nature_are_no_sign_of_a_wrong_split() -> None:
    draw = np.random.default_rng(1)
    tosses = [
        ArrayEpisodes({"x": draw.integers(0, 2, (n * 6, 1)).astype(np.float32), OUTCOME: np.zeros(n * 6)}, [6] * n)
        for n in (40, 60)
    ]
    found, compared = shared_episodes(*tosses)
    assert (found, compared) == (0, 40)


def test_episodes_of_a_few_different_steps_that_differ_between_the_compared_ones_are_not_the_same() -> None:
    draw = np.random.default_rng(1)
    pages = [
        ArrayEpisodes({"x": draw.integers(0, 2, (n * 30, 1)).astype(np.float32), OUTCOME: np.zeros(n * 30)}, [30] * n)
        for n in (128, 40)
    ]
    assert shared_episodes(*pages) == (0, 128)
    pages[1].arrays["x"][30:60] = pages[0].arrays["x"][60:90]
    assert shared_episodes(*pages) == (1, 128)
