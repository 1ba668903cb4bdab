"""Fields of a step to features: nothing lost, nothing mixed, absent steps are zeros."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import (
    ONE_HOT_UP_TO,
    StepEncoder,
    TokenEncoder,
    VectorEncoder,
    WindowEncoder,
)
from memup_lightning.specs import FieldSpec


@pytest.mark.parametrize("lead", [(5,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_a_vector_is_passed_on_flat_and_unchanged(lead: tuple[int, ...], shape: tuple[int, ...]) -> None:
    encoder, x = VectorEncoder(FieldSpec(shape)), torch.randn(*lead, *shape)
    out = encoder(x)
    assert out.shape == (*lead, encoder.output_size)
    assert torch.equal(out.flatten(), x.flatten())


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint8, torch.int64])
def test_whole_numbers_become_floats(dtype: torch.dtype) -> None:
    out = VectorEncoder(FieldSpec((2,)))(torch.tensor([[1, 0]]).to(dtype))
    assert out.dtype == torch.float32
    assert out.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_a_token_of_few_classes_is_one_hot(dtype: torch.dtype) -> None:
    encoder = TokenEncoder(FieldSpec((), "int32", "token", 3))
    assert not list(encoder.parameters())
    assert encoder(torch.tensor([2, 0, 1], dtype=dtype)).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_a_one_hot_token_is_as_large_as_asked_for() -> None:
    encoder = StepEncoder({"token": FieldSpec((), "int64", "token", 3)}, one_hot=8.0)
    assert encoder({"token": torch.tensor([2, -1])}).tolist() == [[0, 0, 8], [0, 0, 0]]


@pytest.mark.parametrize("classes", [3, ONE_HOT_UP_TO + 1])
def test_a_token_that_is_not_there_is_zeros_and_no_class_is(classes: int) -> None:
    encoder = TokenEncoder(FieldSpec((), "int32", "token", classes), embedding_size=5)
    assert not encoder(torch.tensor([-1])).any()
    out = encoder(torch.arange(classes))
    assert out.any(-1).all()
    assert len(out.unique(dim=0)) == classes


def test_a_token_of_many_classes_is_embedded() -> None:
    encoder = TokenEncoder(FieldSpec((), "int32", "token", 1000), embedding_size=5)
    assert encoder.output_size == 5
    assert encoder(torch.tensor([[999, 0]])).shape == (1, 2, 5)


@pytest.mark.parametrize("classes", [3, 100])
def test_several_tokens_of_a_step_stand_in_their_order(classes: int) -> None:
    encoder = TokenEncoder(FieldSpec((2,), "int32", "token", classes), embedding_size=5)
    one = TokenEncoder(FieldSpec((), "int32", "token", classes), embedding_size=5)
    one.load_state_dict(encoder.state_dict())
    x = torch.tensor([[2, 0], [1, -1]])
    assert torch.equal(encoder(x), torch.cat([one(x[:, 0]), one(x[:, 1])], -1))
    assert encoder(x).shape == (2, encoder.output_size)


FIELDS = {
    "see": FieldSpec((2,)),
    "do": FieldSpec((), "int32", "token", 3),
    "look": FieldSpec((36, 36, 1), "uint8", "image"),
    "flag": FieldSpec((), "bool"),
}


def fields(*lead: int) -> dict[str, torch.Tensor]:
    return {
        "flag": torch.ones(lead, dtype=torch.bool),
        "see": torch.randn(*lead, 2),
        "do": torch.randint(0, 3, lead),
        "look": torch.randint(0, 256, (*lead, 36, 36, 1), dtype=torch.uint8),
        "not asked for": torch.randn(*lead),
    }


def test_the_fields_of_a_step_stand_in_the_order_of_the_task() -> None:
    encoder = StepEncoder(FIELDS, image_size=4)
    x = fields(2, 3)
    out = encoder(x)
    assert out.shape == (2, 3, encoder.output_size)
    assert encoder.output_size == 2 + 3 + 4 + 1
    assert torch.equal(out[..., :2], x["see"])
    assert torch.equal(out[..., 2:5].argmax(-1), x["do"])
    assert (out[..., -1] == 1).all()


def test_a_hidden_layer_has_the_size_asked_for() -> None:
    encoder = StepEncoder(FIELDS, hidden_size=7)
    assert encoder.output_size == 7
    assert encoder(fields(2)).shape == (2, 7)


def test_a_window_is_its_steps_one_after_another() -> None:
    step = StepEncoder({"see": FieldSpec((2,)), "do": FieldSpec((), "int32", "token", 3)}, hidden_size=4)
    encoder = WindowEncoder({}, 3, step)
    x = {"see": torch.randn(5, 3, 2), "do": torch.tensor([[-1, 0, 2]]).expand(5, 3)}
    steps = [step({name: value[:, t] for name, value in x.items()}) for t in range(3)]
    assert encoder.output_size == 12
    assert torch.allclose(encoder(x), torch.cat(steps, -1), atol=1e-6)


def test_a_token_that_is_not_there_stays_zeros_however_long_is_trained() -> None:
    encoder = TokenEncoder(FieldSpec((), "int32", "token", 1000), embedding_size=5)
    optimizer = torch.optim.Adam(encoder.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        encoder(torch.tensor([-1, 3])).sum().backward()
        optimizer.step()
    assert encoder(torch.tensor([-1, 3])).any(-1).tolist() == [False, True]


def test_a_token_of_many_classes_costs_its_embedding_and_no_other_table() -> None:
    encoder = TokenEncoder(FieldSpec((), "int32", "token", 100_000), embedding_size=4)
    assert not list(encoder.buffers())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_step_encoder_gives_its_own_dtype_whatever_the_fields_dtypes(dtype: torch.dtype) -> None:
    fields = {"see": FieldSpec((2,)), "count": FieldSpec((), "int32"), "do": FieldSpec((), "int32", "token", 3)}
    step = {"see": torch.rand(4, 2), "count": torch.arange(4), "do": torch.arange(4) - 1}
    for hidden_size in (0, 5):
        assert StepEncoder(fields, hidden_size).to(dtype)(step).dtype == dtype


def mixed_fields(steps: int = 400) -> tuple[dict[str, FieldSpec], dict[str, Tensor]]:
    fields = {
        "word": FieldSpec((), "int32", "token", 100),
        "x": FieldSpec((2,), "float32"),
        "color": FieldSpec((), "int32", "token", 3),
        "image": FieldSpec((8, 8, 1), "uint8", "image"),
    }
    rare = torch.rand(steps) < 0.02
    return fields, {
        "word": torch.randint(0, 100, (steps,)),
        "x": torch.stack([rare.float(), torch.ones(steps)], 1),
        "color": rare.long(),
        "image": torch.randint(0, 255, (steps, 8, 8, 1), dtype=torch.uint8),
    }


def fitted(fields: dict[str, FieldSpec], steps: dict[str, torch.Tensor]) -> StepEncoder:
    encoder = StepEncoder(fields)
    encoder.fit_features({name: steps[name] for name in encoder.fitted_fields})
    return encoder


def test_a_fitted_encoder_gives_numbers_that_most_steps_show_as_about_0_and_leaves_images_and_words_alone() -> None:
    torch.manual_seed(0)
    fields, steps = mixed_fields()
    encoder = StepEncoder(fields)
    assert encoder.fitted_fields == ["x", "color"]
    before = encoder(steps)
    encoder.fit_features({name: steps[name] for name in encoder.fitted_fields})
    after = encoder(steps)
    x = slice(32, 34)  # after the embedded word
    torch.testing.assert_close(after[:, x].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert torch.equal(after[:, :32], before[:, :32])
    assert torch.equal(after[:, 37:], before[:, 37:])
    usual = after[steps["x"][:, 0] == 0][:, x]
    assert usual.abs().max() < 0.1 < after[steps["x"][:, 0] == 1][:, x].abs().max()


@pytest.mark.parametrize("share", [0.3, 0.02, 0.005, 0.0005])
def test_what_few_steps_show_is_raised_to_the_size_of_what_a_tenth_shows_six_times_at_most(share: float) -> None:
    steps = 20_000
    rare = torch.arange(steps) < share * steps
    fields = {"flag": FieldSpec((), "float32"), "code": FieldSpec((), "int32", "token", 2)}
    values = {"flag": rare.float(), "code": rare.long()}
    flag, usual, code = fitted(fields, values)(values).T
    gain = min(6.0, max(1.0, (0.1 / share) ** 0.5))
    assert flag[rare][0] - flag[~rare][0] == pytest.approx(gain, rel=0.02)
    assert code[rare].unique().tolist() == pytest.approx([gain], rel=0.02)
    assert code[~rare].unique().tolist() == [0]
    assert usual[~rare].unique().tolist() == pytest.approx([1.0]), "what is usual keeps its size"


def test_nothing_is_raised_where_that_is_asked_for_and_nothing_is_made_smaller() -> None:
    values = {"flag": (torch.arange(20_000) < 20).float()}
    fields = {"flag": FieldSpec((), "float32")}
    encoder = StepEncoder(fields, rare=1.0)
    encoder.fit_features(values)
    assert encoder(values)[0].item() == pytest.approx(1, rel=0.01)
    with pytest.raises(MemUPError, match=r"rare=0\.5"):
        StepEncoder(fields, rare=0.5)


def test_a_token_that_is_large_already_is_not_raised() -> None:
    values = {"code": (torch.arange(20_000) < 20).long()}
    encoder = StepEncoder({"code": FieldSpec((), "int32", "token", 2)}, one_hot=8.0)
    encoder.fit_features(values)
    assert encoder(values)[0].tolist() == [0, 8]


def test_a_checkpoint_keeps_center_and_gain() -> None:
    fields, steps = mixed_fields()
    ours, theirs = fitted(fields, steps), StepEncoder(fields)
    theirs.load_state_dict(ours.state_dict())
    assert theirs.fitted
    assert torch.equal(theirs(steps), ours(steps))
