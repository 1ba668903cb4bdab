"""Images to features: the same for bytes and floats, at any size, and of a size that numbers do not hide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import ImageEncoder, SmallImageEncoder, StepEncoder
from memup_lightning.specs import FieldSpec


def test_an_image_gives_the_same_features_whatever_comes_before_it() -> None:
    encoder = ImageEncoder(FieldSpec((40, 36, 3), "uint8", "image"), output_size=8)
    x = torch.randint(0, 256, (2, 3, 40, 36, 3), dtype=torch.uint8)
    out = encoder(x)
    assert out.shape == (2, 3, 8)
    assert torch.allclose(out[1, 2], encoder(x[1, 2]), atol=1e-5)


def test_bytes_are_scaled_like_floats_between_0_and_1() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(FieldSpec((36, 36, 1), "uint8", "image"), output_size=8)
    floats = ImageEncoder(FieldSpec((36, 36, 1), "float32", "image"), output_size=8)
    floats.load_state_dict(encoder.state_dict())
    x = torch.randint(0, 256, (1, 36, 36, 1), dtype=torch.uint8)
    assert torch.allclose(encoder(x), floats(x / 255), atol=1e-6)


def test_a_step_encoder_takes_the_image_encoder_that_it_is_given() -> None:
    field = FieldSpec((20, 40, 3), "uint8", "image")
    encoder = StepEncoder({"look": field}, image_size=5, image=SmallImageEncoder)
    assert isinstance(encoder.encoders[0], SmallImageEncoder)
    assert encoder({"look": torch.zeros(2, 3, 20, 40, 3, dtype=torch.uint8)}).shape == (2, 3, 5)


def test_a_standardised_image_is_seen_alike_in_any_light() -> None:
    field = FieldSpec((16, 16, 3), "float32", "image")
    encoder = SmallImageEncoder(field, output_size=8, standardize=True)
    image = torch.rand(4, 16, 16, 3)
    torch.testing.assert_close(encoder(0.2 * image + 0.5), encoder(image), atol=1e-3, rtol=1e-3)
    plain = torch.full((1, 16, 16, 3), 0.3)
    assert encoder(plain).isfinite().all()


@pytest.mark.parametrize("shape", [(12, 12, 1), (20, 20, 3), (40, 40, 3)])
def test_a_rare_small_object_makes_more_difference_once_the_images_are_known(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    encoder = StepEncoder({"look": FieldSpec(shape, "uint8", "image")})
    draw = np.random.default_rng(0)
    images = draw.integers(100, 104, (800, *shape), dtype=np.uint8)
    with_object = images.copy()
    with_object[:, 2:6, 2:6] = 150
    images[::10] = with_object[::10]  # one image in ten shows it
    before = encoder({"look": torch.from_numpy(with_object[:1])}) - encoder({"look": torch.from_numpy(images[1:2])})
    encoder.unfitted()["look"].fit(images)
    after = encoder({"look": torch.from_numpy(with_object[:1])}) - encoder({"look": torch.from_numpy(images[1:2])})
    assert after.norm() > 5 * before.norm()


def test_no_unit_of_an_image_encoder_is_dead() -> None:
    encoder = ImageEncoder(FieldSpec((20, 20, 1), "float32", "image"), output_size=8)
    with torch.no_grad():
        for x in encoder.parameters():
            x.sub_(10.0)  # as after too long steps
    image = torch.rand(4, 20, 20, 1, requires_grad=True)
    encoder(image).sum().backward()
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_many_images_are_encoded_a_few_at_a_time_without_gradients() -> None:
    encoder = ImageEncoder(FieldSpec((36, 36, 1), "uint8", "image"), output_size=8)
    sizes: list[int] = []
    encoder.layers.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    x = torch.randint(0, 256, (6, 200, 36, 36, 1), dtype=torch.uint8)
    whole = encoder(x)
    with torch.no_grad():
        parts = encoder(x)
    assert sizes == [1200, 512, 512, 176]
    torch.testing.assert_close(parts, whole.detach())


@pytest.mark.parametrize("encoder", [ImageEncoder, SmallImageEncoder])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 7, 3), (15, 40, 3), (35, 36, 1)])
def test_an_image_of_any_size_is_encoded(encoder: type[ImageEncoder], shape: tuple[int, int, int]) -> None:
    made = encoder(FieldSpec(shape, "uint8", "image"), output_size=8)
    assert made(torch.zeros(2, 3, *shape, dtype=torch.uint8)).shape == (2, 3, 8)
    assert sum(p.numel() for p in made.parameters()) < 50_000


def test_class_numbers_of_a_symbolic_view_make_a_difference() -> None:
    torch.manual_seed(0)
    encoder = ImageEncoder(FieldSpec((7, 7, 3), "uint8", "image"))
    view = torch.ones(1, 7, 7, 3, dtype=torch.uint8)
    other = view.clone()
    other[0, 3, 3, 0] = 8  # an object of another class
    assert (encoder(view) - encoder(other)).norm() > 0.02 * encoder(view).norm()


def test_an_image_field_with_the_channels_first_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"\(3, 64, 64\) looks like channels first.*moveaxis"):
        FieldSpec((3, 64, 64), "uint8", "image")
