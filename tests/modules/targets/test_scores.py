"""Scores of selectors and uncertainties of a user's own that break their contract: one sentence at the selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from memup_lightning.data.targets import Selector, TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.datamodules.recorded import splits
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.uncertainty import Uncertainty
from tests.training import fit_briefly

Make = Callable[..., Any]
NAN = float("nan")


class OwnUncertainty(Uncertainty):
    def __init__(self, made: Make) -> None:
        super().__init__()
        self.made = made

    def forward(self, model: Any, chunk: Any, state: Any) -> Any:
        return self.made(torch.ones(chunk.valid.shape), state)


class OwnSelector(Selector):
    def __init__(self, made: Make, prune: Make | None = None) -> None:
        super().__init__(1)
        self.made, self.pruned = made, prune

    def score(self, steps: Any) -> Any:
        return self.made(steps)

    def prune(self, score: Tensor, episode: Tensor, position: Tensor, draw: int) -> Any:
        return score if self.pruned is None else self.pruned(score)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda s: s.uncertainty * NAN, "returned nan for step 0 of episode"),
        (lambda s: torch.where(s.position == 3, torch.inf, s.uncertainty), "returned inf for step 3 of episode"),
        (lambda s: s.uncertainty.double() + 1e300, "1e+300, which is inf in float32, for step"),
        (lambda s: s.uncertainty.mean(1), "returned shape [8]; it must return [rows, steps] = [8, 30]"),
        (lambda s: s.uncertainty[:, :1], "returned shape [8, 1]; it must return [rows, steps] = [8, 30]"),
        (lambda s: s.uncertainty.numpy(), "returned a ndarray"),
        (lambda s: s.uncertainty.cfloat(), "returned complex64"),
        (lambda s: s.surprise, "failed: AttributeError"),
    ],
)
def test_a_selector_whose_scores_choose_nothing_is_named(made: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnSelector\.score") as error:
        fit_briefly(OwnSelector(made))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("prune", "said"),
    [
        (lambda x: x * NAN, "returned nan"),
        (lambda x: x[:, :1], "returned shape"),
        (lambda x: None, "returned a NoneType"),
    ],
)
def test_pruned_scores_are_checked_too(prune: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnSelector\.prune") as error:
        fit_briefly(OwnSelector(lambda s: -s.position.float(), prune))
    assert said in str(error.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool])
def test_scores_of_whole_numbers_count_as_numbers(dtype: torch.dtype) -> None:
    model = fit_briefly(OwnSelector(lambda s: (s.position == 7).to(dtype)))
    data: Any = model.trainer.datamodule  # type: ignore[attr-defined]
    first = data.splits["train"].targets.select(*2 * [torch.zeros(1, dtype=torch.int64).numpy()])
    assert first.tolist() == [[7]]


def test_a_selector_that_chooses_nothing_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="OwnSelector selected no step of 8 episodes"):
        fit_briefly(OwnSelector(lambda s: torch.full_like(s.uncertainty, -torch.inf)))


def test_a_selector_may_exclude_single_steps_or_want_no_targets(recwarn: pytest.WarningsRecorder) -> None:
    fit_briefly(OwnSelector(lambda s: torch.where(s.position == 3, 0.0, -torch.inf)))
    fit_briefly(TopK(0))
    assert not [x for x in recwarn if "selected no step" in str(x.message)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda u, s: (u * NAN, s), "returned nan for step 0 of episode"),
        (lambda u, s: (u[:, 0], s), "returned shape [8]; it must return [rows, steps] = [8, 30]"),
        (lambda u, s: u, "returned a Tensor; an uncertainty"),
        (lambda u, s: u.nothing, "failed: AttributeError"),
    ],
)
def test_an_uncertainty_that_breaks_its_contract_is_named(made: Make, said: str) -> None:
    with pytest.raises(MemUPError, match=r"OwnUncertainty\.forward") as error:
        fit_briefly(uncertainty=OwnUncertainty(made))
    assert said in str(error.value)


@pytest.mark.parametrize(("length", "episodes", "expected"), [(1000, 8, 334), (1000, 1, 1000), (9, 8, 9)])
def test_episodes_are_scored_in_equal_parts_longer_ones_where_they_are_few(
    monkeypatch: pytest.MonkeyPatch, length: int, episodes: int, expected: int
) -> None:
    monkeypatch.setattr(splits, "_STEPS_AT_ONCE", 2000)
    data = TMazeDataModule(length=length, mode="LN", num_train=8, num_val=2, evaluation_chunk_length=400, seed=1)
    data.setup("fit")
    chunks = list(data.splits["train"].chunks(np.arange(episodes), lanes=64))
    assert {chunk.num_steps for chunk in chunks} == {expected}
    assert sum(int(chunk.valid.sum()) for chunk in chunks) == episodes * length
