"""A memory whose image encoder distinguishes no images is said to be blind for them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning.callbacks.verdict.measuring.measure import measure
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.modules import MemUP
from tests.callbacks.made_runs import ALL, HALF, judged, run


def pictures(folder: Path, alike: bool = False) -> ArrayDataModule:
    draw = np.random.default_rng(1)
    x = draw.integers(0, 256, (1 if alike else 40, 1 if alike else 6, 16, 16, 3), np.uint8)
    np.savez(folder / "a.npz", x=np.broadcast_to(x, (40, 6, 16, 16, 3)), y=np.arange(40) % 2)
    data = ArrayDataModule(str(folder / "a.npz"), x_type="image", lanes=4)
    data.setup("fit")
    return data


def unseen(data: ArrayDataModule, bias: float | None = None, **given: Any) -> tuple[str, ...]:
    """Image fields that a model sees nothing of; with ``bias`` its units give this number alone."""
    model = MemUP(data.task, **given)
    if bias is not None:
        assert isinstance(model.encoder, StepEncoder)
        project: Any = model.encoder.encoders[0].project
        with torch.no_grad():
            project.weight.zero_()
            project.bias.fill_(bias)
    return measure(model, data, updates=1).scale.unseen_images


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_features_that_are_all_alike_are_found(bias: float, tmp_path: Path) -> None:
    data = pictures(tmp_path)
    assert unseen(data, bias) == ("x",)
    assert unseen(data, bias, encoder=partial(StepEncoder, hidden_size=8)) == ("x",)


def test_features_that_differ_and_images_that_do_not_are_not(tmp_path: Path) -> None:
    assert unseen(pictures(tmp_path)) == ()
    assert unseen(pictures(tmp_path, alike=True), 0.0) == ()


def test_the_verdict_names_the_images_and_a_smaller_learning_rate() -> None:
    found = judged(run(HALF, unseen_images=("observation.look",), memory=("LSTM", 64)))[0]
    assert found.name == "unseen_images"
    assert found.sentence == (
        "The image encoder gives the same features for all images of observation.look: the memory is blind for them."
    )
    assert found.try_first == (
        "start again with a smaller learning rate: --model.init_args.optimizer=MemoryAdam "
        "--model.init_args.optimizer.init_args.lr=0.0003"
    )
    assert judge(run(ALL, unseen_images=("look",)))[0].name == "explained"
