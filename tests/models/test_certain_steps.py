"""Steps of which the local predictor is more certain than of any target are predicted without memory."""

from __future__ import annotations

import torch

from memup_lightning.models.certain_steps import CertainSteps
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec


def targets(*uncertainties: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    u = torch.tensor(uncertainties)
    return u, ~u.isnan()


def test_the_floor_is_the_margin_below_the_least_target_averaged_over_the_lanes_that_have_one() -> None:
    nan = float("nan")
    certain = CertainSteps(margin=1.0)
    certain.observe(*targets([nan, nan], [nan, nan]))  # no lane has one
    assert certain.below < -1000
    certain.observe(*targets([3.0, 5.0], [nan, nan], [nan, 1.0]))
    assert certain.below == (3 + 1) / 2 - 1
    for _ in range(1000):
        certain.observe(*targets([4.0, nan]))
    assert torch.isclose(certain.below, torch.tensor(3.0), atol=1e-3)


def test_a_certain_step_is_predicted_without_memory_and_an_uncertain_one_with_it() -> None:
    certain = CertainSteps(margin=1.0)
    local, params, uncertainty = torch.zeros(3, 2), torch.ones(3, 2), torch.tensor([0.5, 2.5, 9.0])
    assert torch.equal(certain(params, local, uncertainty), params)  # there are no targets yet
    certain.observe(*targets([3.0]))
    assert certain(params, local, uncertainty)[:, 0].tolist() == [0, 1, 1]
    pairs = params[None].expand(4, 3, 2)
    assert certain(pairs, local, uncertainty)[..., 0].tolist() == [[0, 1, 1]] * 4  # each state with each step


def test_a_model_predicts_certain_steps_as_its_local_predictor_unless_all_steps_or_targets_alone_are_asked_for() -> (
    None
):
    torch.manual_seed(0)
    task = TaskSpec(fields={"x": FieldSpec((3,))}, inputs={"x": 0}, context=("x",), outcome=FieldSpec())
    context, m = {"x": torch.randn(5, 1, 3)}, torch.randn(5, 64)
    model = MemUP(task)
    assert model.certain is not None
    assert not torch.equal(model.predict_outcomes(context, m), model.local(context))
    model.certain.below.fill_(torch.inf)
    assert torch.equal(model.predict_outcomes(context, m), model.local(context))
    model.certain.below.fill_(model.outcome.uncertainty(model.local(context)).median())
    with_memory = (model.predict_outcomes(context, m) != model.local(context)).any(-1)
    assert 0 < with_memory.sum() < 5
    for current_step in (True, False):
        asked = MemUP(task, current_step=current_step)
        assert torch.equal(asked.predict_outcomes(context, m), asked.predictor(asked.context_encoder(context), m))
