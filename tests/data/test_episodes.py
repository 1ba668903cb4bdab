"""Episodes in arrays: read at any place, and refused where they are broken."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource, check_lengths
from memup_lightning.data.subset import EvalSubset
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays

LENGTHS = np.array([3, 1, 5])


def arrays(**given: Any) -> dict[str, npt.NDArray[Any]]:
    steps = int(LENGTHS.sum())
    out: dict[str, npt.NDArray[Any]] = {
        "see": np.arange(2 * steps, dtype=np.float32).reshape(steps, 2) + 1,
        "do": np.arange(steps, dtype=np.int32) % 3,
        OUTCOME: np.arange(steps, dtype=np.float32) + 100,
    }
    return out | given


FIELDS = {"do": FieldSpec((), "int32", "token", 3)}


class OneByOne(EpisodeSource):
    """A source with nothing but the two things that a user must write."""

    def __init__(self, source: ArrayEpisodes) -> None:
        self.source = source
        self.fields, self.lengths = source.fields, source.lengths

    def read(self, episode: int, start: int, stop: int) -> Arrays:
        assert 0 <= start <= stop <= self.lengths[episode]
        return self.source.read(episode, start, stop)


def test_an_episode_is_read_at_its_own_place() -> None:
    source = ArrayEpisodes(arrays(), LENGTHS, FIELDS)
    assert source.read(2, 1, 4)[OUTCOME].tolist() == [105, 106, 107]
    assert source.read(1, 0, 1)["see"].tolist() == [[7, 8]]
    assert source.read(0, 2, 2)[OUTCOME].shape == (0,)


def test_length_and_steps_are_counted() -> None:
    source = ArrayEpisodes(arrays(), LENGTHS, FIELDS)
    assert (len(source), source.total_steps) == (3, 9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-6, 9)), min_size=1, max_size=8), st.integers(0, 7))
def test_gathered_rows_are_the_steps_and_fill_where_there_are_none(rows: list[tuple[int, int]], steps: int) -> None:
    source = ArrayEpisodes(arrays(), LENGTHS, FIELDS)
    episodes, starts = np.array(rows).T
    for reader in (source, OneByOne(source)):
        out = reader.gather(episodes, starts, steps, ["do", "see"])
        assert list(out) == ["do", "see"]
        assert out["see"].shape == (len(rows), steps, 2)
        assert out["do"].dtype == np.int32
        for row, (episode, start) in enumerate(rows):
            for n in range(steps):
                inside = 0 <= start + n < LENGTHS[episode]
                flat = LENGTHS[:episode].sum() + start + n
                assert out["do"][row, n] == (flat % 3 if inside else -1)
                assert out["see"][row, n].tolist() == ([2 * flat + 1, 2 * flat + 2] if inside else [0, 0])


def test_what_was_gathered_can_be_changed_without_changing_the_source() -> None:
    source = ArrayEpisodes(arrays(), LENGTHS, FIELDS)
    source.gather(np.array([0]), np.array([0]), 3, ["see"])["see"][:] = -1
    assert source.read(0, 0, 1)["see"].tolist() == [[1, 2]]


def test_fields_that_are_not_described_are_vectors_of_the_arrays_own_dtype() -> None:
    source = ArrayEpisodes(arrays(flag=np.ones(9, np.bool_)), LENGTHS, FIELDS)
    assert source.fields["see"] == FieldSpec((2,), "float32")
    assert source.fields["flag"] == FieldSpec((), "bool")
    assert source.fields["do"] == FIELDS["do"]


def test_memory_mapped_arrays_are_read_too(tmp_path: Any) -> None:
    np.save(tmp_path / "see.npy", arrays()["see"])
    mapped = np.load(tmp_path / "see.npy", mmap_mode="r")
    source = ArrayEpisodes({"see": mapped}, LENGTHS)
    assert source.gather(np.array([2]), np.array([3]), 3, ["see"])["see"][0].tolist() == [[15, 16], [17, 18], [0, 0]]


# --- what is refused


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([], "there are no episodes"),
        ([3, 0, 2], "episode 1 has 0 steps; drop empty episodes"),
        ([3, 2, -1], "episode 2 has -1 steps"),
        ([3, 2.5], "the length of episode 1 is 2.5; give a whole number of steps"),
        ([3, 1 << 62], "the length of episode 1 is 4611686018427387904; give"),
        ([[3], [2]], r"lengths has shape \[2, 1\]; give one number for each episode"),
        (["3"], "lengths holds <U1"),
    ],
)
def test_lengths_of_no_or_empty_or_no_whole_episodes_are_refused(lengths: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        check_lengths(lengths)


@pytest.mark.parametrize(
    ("broken", "fields", "said"),
    [
        ({"see": np.zeros((8, 2), np.float32)}, FIELDS, "'see' has 8 steps, but the episode lengths add up to 9"),
        ({}, {"see": FieldSpec((3,))}, r"'see' is declared float32\[3\] a step, but the array holds float32\[2\]"),
        ({}, {"see": FieldSpec((2,), "float64")}, r"'see' is declared float64\[2\].*float32\[2\]"),
    ],
)
def test_arrays_that_disagree_are_refused_with_both_sides(broken: Any, fields: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        ArrayEpisodes(arrays(**broken), LENGTHS, fields)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("flat", "episode", "step"), [(0, 0, 0), (3, 1, 0), (8, 2, 4)])
def test_an_outcome_that_is_no_number_is_refused_with_its_place(bad: float, flat: int, episode: int, step: int) -> None:
    outcome = arrays()[OUTCOME]
    outcome[flat] = bad
    with pytest.raises(MemUPError, match=f"field 'outcome' of episode {episode} at step {step} is {bad}; give finite"):
        ArrayEpisodes(arrays(**{OUTCOME: outcome}), LENGTHS)


def test_one_component_that_is_no_number_is_refused_too() -> None:
    outcome = np.zeros((9, 2), np.float32)
    outcome[4, 1] = np.nan
    with pytest.raises(MemUPError, match=r"field 'outcome'\[1\] of episode 2 at step 0 is nan"):
        ArrayEpisodes(arrays(**{OUTCOME: outcome}), LENGTHS)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_any_number_that_float32_cannot_be_trained_on_is_refused_with_its_place(bad: float) -> None:
    see = arrays()["see"]
    see[4, 1] = bad
    with pytest.raises(
        MemUPError, match=rf"field 'see'\[1\] of episode 2 at step 0 is {str(bad)[:3]}.*; give finite numbers"
    ):
        ArrayEpisodes(arrays(see=see), LENGTHS)


def test_a_class_that_does_not_exist_is_refused_with_its_place() -> None:
    do = arrays()["do"]
    do[4] = 3
    with pytest.raises(
        MemUPError, match=r"field 'do' of episode 2 at step 0 is 3; its classes are 0 to 2: fix the data"
    ):
        ArrayEpisodes(arrays(do=do), LENGTHS, FIELDS)


def test_an_outcome_that_does_not_exist_may_be_anything() -> None:
    outcome = arrays()[OUTCOME]
    outcome[4] = np.nan
    exists = np.arange(9) != 4
    source = ArrayEpisodes(arrays(**{OUTCOME: outcome, HAS_OUTCOME: exists}), LENGTHS)
    assert np.isnan(source.read(2, 0, 1)[OUTCOME]).all()


# --- fields and tasks


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FieldSpec((), "int32", "token"), "classes=0"),
        (lambda: FieldSpec((3,), "uint8", "image"), r"\(3,\)"),
        (lambda: TaskSpec({"a": FieldSpec()}, {"b": 0}, ("a",)), "no field 'b'; its fields are a"),
        (lambda: TaskSpec({"a": FieldSpec()}, {"a": 0}, ("c",)), "no field 'c'"),
        (lambda: TaskSpec({"a": FieldSpec()}, {"a": 0}, ("a",), window=0), "window=0"),
        (lambda: TaskSpec({"a": FieldSpec()}, {}, ("a",)), "each names at least one field"),
    ],
)
def test_a_broken_field_or_task_is_refused_with_its_value(make: Any, said: str) -> None:
    with pytest.raises(MemUPError, match=said):
        make()


def test_a_task_comes_back_from_plain_values() -> None:
    fields = {
        "a": FieldSpec((2,)),
        "b": FieldSpec((), "int32", "token", 3),
        "c": FieldSpec((40, 40, 3), "uint8", "image"),
    }
    task = TaskSpec(fields, {"a": 0, "b": 1}, ("a", "c"), FieldSpec((2,)), window=3, tolerance=0.1)
    assert TaskSpec.from_dict(task.to_dict()) == task


def test_a_source_may_be_evaluated_at_other_steps() -> None:
    before, after = np.ones(9, np.bool_), np.arange(9) % 2 == 0
    whole = ArrayEpisodes(arrays(**{EVAL_MASK: before}), LENGTHS)
    part = EvalSubset(whole, after)
    assert [part.read(e, 0, int(n))[EVAL_MASK].tolist() for e, n in enumerate(LENGTHS)] == [
        [True, False, True],
        [False],
        [True, False, True, False, True],
    ]
    np.testing.assert_array_equal(part.read(2, 1, 4)["see"], whole.read(2, 1, 4)["see"])
    rows = part.gather(np.array([0, 2]), np.array([2, 3]), 2, ["see", EVAL_MASK])
    np.testing.assert_array_equal(rows["see"], whole.gather(np.array([0, 2]), np.array([2, 3]), 2, ["see"])["see"])
    assert rows[EVAL_MASK].tolist() == [[True, False], [False, True]]
    assert set(part.gather(np.array([0]), np.array([0]), 1, ["see"])) == {"see"}
