"""Two-Colors: the scenario that its rules make, without an engine."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from memup_lightning.envs.two_colors.rules import Rules, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.envs.two_colors.scenario.build import build, scenario, shipped
from memup_lightning.envs.two_colors.scenario.sprites import sprites
from memup_lightning.exceptions import MemUPError


@pytest.mark.parametrize("rules", [TwoColorsRules(), TwoColorsDelayRules()], ids=["room", "delay"])
def test_the_shipped_scenario_is_the_one_that_the_script_builds(rules: Rules) -> None:
    assert shipped(rules).read_bytes() == build(rules) == scenario(rules)


def test_other_rules_make_another_scenario() -> None:
    assert scenario(TwoColorsRules(decay=11)) == build(TwoColorsRules(decay=11)) != build(TwoColorsRules())


def test_sprites_are_pictures_that_others_can_read() -> None:
    image = pytest.importorskip("PIL.Image")
    for name, content in sprites():
        with image.open(io.BytesIO(content)) as picture:
            assert picture.size[0] >= 32, name
            alpha = np.asarray(picture.convert("RGBA"))[..., 3]
            assert set(np.unique(alpha)) <= {0, 255}
        assert b"grAb" in content


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [(TwoColorsRules, {"items": -1}), (TwoColorsRules, {"decay_interval": 0}), (TwoColorsRules, {"decay": 1.5})],
)
def test_rules_out_of_range_are_refused(rules: type[Rules], wrong: dict[str, Any]) -> None:
    with pytest.raises(MemUPError, match=next(iter(wrong))):
        rules(**wrong)


def test_a_timeout_before_the_choice_is_refused() -> None:
    with pytest.raises(MemUPError, match="timeout=2000"):
        TwoColorsDelayRules(timeout=2000)
