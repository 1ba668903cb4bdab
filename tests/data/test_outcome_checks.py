"""Episodes without any outcome are refused, those without an evaluated step are named; little is read to find out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from memup_lightning.data import outcome_checks
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, FieldSpec
from memup_lightning.data.outcome_checks import check_outcomes
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import Arrays, IntArray


class Marked(ProceduralEpisodes):
    """Computed episodes whose flags are true at one step of one episode only."""

    def __init__(self, lengths: Sequence[int], **true_at: tuple[int, int] | None) -> None:
        self.lengths = np.array(lengths)
        self.fields = {name: FieldSpec((), "bool") for name in true_at}
        self.true_at = true_at
        self.read_steps = 0

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        self.read_steps += time.size
        out = {}
        for name in names:
            at = self.true_at[name] or (-1, -1)
            out[name] = (episodes[:, None] == at[0]) & (time == at[1])
        return out


@pytest.mark.parametrize("at", [(0, 0), (40, 2999), (40, 0), (3, 4)])
def test_a_single_outcome_is_found_wherever_it_is(at: tuple[int, int]) -> None:
    check_outcomes(Marked([5] * 40 + [3000], has_outcome=at), "train")


def test_episodes_without_an_outcome_are_refused() -> None:
    with pytest.raises(
        MemUPError, match=r"^train: none of 3,200 steps has an outcome, .*: has_outcome is false everywhere; mark"
    ):
        check_outcomes(Marked([5] * 40 + [3000], has_outcome=None), "train")


def test_a_warning_says_that_no_step_with_an_outcome_is_evaluated() -> None:
    with pytest.warns(UserWarning, match=r"^val: eval_mask is true at no step with an outcome"):
        check_outcomes(Marked([5, 7], has_outcome=(0, 1), eval_mask=(0, 2)), "val")


def test_episodes_without_flags_are_accepted() -> None:
    check_outcomes(ArrayEpisodes({"x": np.zeros(5, np.float32)}, [5]), "train")


def test_of_huge_episodes_only_some_steps_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_checks, "_MAX_STEPS", 5000)
    source = Marked([1_000_000] * 100, has_outcome=None)
    with pytest.raises(MemUPError, match=HAS_OUTCOME):
        check_outcomes(source, "train")
    assert source.read_steps < 50_000
    found = Marked([1_000_000] * 100, eval_mask=(0, 999_999))
    check_outcomes(found, "train")
    assert found.read_steps <= 20_000
    assert EVAL_MASK in found.fields


NUMBER = FieldSpec()
NAMED = FieldSpec((), "int64", "token", 4, ("a", "b", "c", "d"))


class Outcomes(ProceduralEpisodes):
    """Computed episodes whose outcome is 3, but for one step of one episode."""

    def __init__(self, lengths: Sequence[int], other: tuple[int, int] | None, outcome: FieldSpec = NUMBER) -> None:
        self.lengths = np.array(lengths)
        self.fields = {OUTCOME: outcome}
        self.other = other or (-1, -1)
        self.read_steps = 0

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        self.read_steps += time.size
        same = (episodes[:, None] != self.other[0]) | (time != self.other[1])
        return {OUTCOME: np.where(same, 3, 1).astype(self.fields[OUTCOME].dtype)}


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(NUMBER, "3.0"), (FieldSpec((), "int64", "token", 4), "class 3"), (NAMED, "class 'd'")],
)
def test_a_warning_says_that_all_training_outcomes_are_equal(outcome: FieldSpec, said: str) -> None:
    with pytest.warns(
        UserWarning, match=f"^train: the outcome is {said} at all 3,200 steps with an outcome, so there is"
    ):
        check_outcomes(Outcomes([5] * 40 + [3000], None, outcome), "train")


@pytest.mark.filterwarnings("error")
def test_outcomes_that_differ_and_those_of_other_splits_need_no_warning() -> None:
    for at in ((0, 0), (40, 2999), (40, 0), (3, 4)):
        check_outcomes(Outcomes([5] * 40 + [3000], at), "train")
    check_outcomes(Outcomes([5] * 40, None), "val", trained_on=False)


def test_equal_outcomes_among_steps_without_one_are_found() -> None:
    exists = np.array([False, True, False, True])
    y = np.array([[0, 9], [1, 2], [0, 9], [1, 2]], np.float32)
    fields = {OUTCOME: FieldSpec((2,)), HAS_OUTCOME: FieldSpec((), "bool")}
    with pytest.warns(UserWarning, match=r"outcome is \[1.0, 2.0\] at all 2 steps with an outcome, so"):
        check_outcomes(ArrayEpisodes({OUTCOME: y, HAS_OUTCOME: exists}, [2, 2], fields), "train")
    with pytest.warns(UserWarning, match=r"outcome is \[1.0, 2.0\] at the only step with an outcome"):
        check_outcomes(
            ArrayEpisodes({OUTCOME: y, HAS_OUTCOME: exists & [True, True, True, False]}, [2, 2], fields), "train"
        )


def test_of_huge_episodes_it_is_said_that_the_outcomes_of_some_steps_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_checks, "_MAX_STEPS", 5000)
    source = Outcomes([1_000_000] * 100, None)
    with pytest.warns(
        UserWarning, match="at all .* steps with an outcome that were looked at, so there may be nothing"
    ):
        check_outcomes(source, "train")
    assert source.read_steps < 50_000
