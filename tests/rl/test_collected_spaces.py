"""Observations and actions of any space are kept as they were shown and taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from memup_lightning.envs.policies import random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.spaces import space_fields
from memup_lightning.specs import FieldSpec
from tests.rl.counting_env import Env, collect_all, warned


class Roundabout(Env):
    """Shows a sample of its observation space, five steps long, and remembers what happened."""

    def __init__(self, observation: spaces.Space[Any], action: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observation, action
        self.shown: list[Any] = []
        self.taken: list[Any] = []

    def show(self) -> Any:
        self.shown.append(self.observation_space.sample())
        return self.shown[-1]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.shown, self.taken = [], []
        return self.show(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(action)
        return self.show(), 1.0, len(self.taken) == 5, False, {}


PAIR = spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(-1, 1, (2,), np.float32)})

OBSERVATIONS: list[tuple[spaces.Space[Any], dict[str, FieldSpec], Any]] = [
    (spaces.Box(-1, 1, (2,), np.float32), {"observation": FieldSpec((2,))}, lambda x: [x]),
    (spaces.Box(-1, 1, (2, 3), np.float64), {"observation": FieldSpec((2, 3))}, lambda x: [x]),
    (spaces.Box(0, 9, (), np.int16), {"observation": FieldSpec((), "int16")}, lambda x: [x]),
    (
        spaces.Box(0, 255, (40, 36, 3), np.uint8),
        {"observation": FieldSpec((40, 36, 3), "uint8", "image")},
        lambda x: [x],
    ),
    (
        spaces.Box(0, 1, (24, 20, 3), np.float32),
        {"observation": FieldSpec((24, 20, 3), "float32", "image")},
        lambda x: [x],
    ),
    (
        spaces.Box(0, 1, (3, 24, 20), np.float64),
        {"observation": FieldSpec((24, 20, 3), "float32", "image")},
        lambda x: [np.moveaxis(x, -3, -1)],
    ),
    (spaces.Box(-1, 1, (24, 20, 3), np.float32), {"observation": FieldSpec((24, 20, 3))}, lambda x: [x]),
    (spaces.Box(0, 255, (24, 20, 3), np.float32), {"observation": FieldSpec((24, 20, 3))}, lambda x: [x]),
    (spaces.Box(0, 1, (24, 20, 6), np.float32), {"observation": FieldSpec((24, 20, 6))}, lambda x: [x]),
    (spaces.Box(0, 1, (5, 5, 3), np.float32), {"observation": FieldSpec((5, 5, 3))}, lambda x: [x]),
    (spaces.Discrete(4), {"observation": FieldSpec((), "int32", "token", 4)}, lambda x: [x]),
    (spaces.Discrete(4, start=-2), {"observation": FieldSpec((), "int32", "token", 4)}, lambda x: [x + 2]),
    (spaces.MultiBinary(3), {"observation": FieldSpec((3,), "int8")}, lambda x: [x]),
    (spaces.MultiDiscrete([2, 5]), {"observation": FieldSpec((2,), "int32", "token", 5)}, lambda x: [x]),
    (
        PAIR,
        {"observation.a": FieldSpec((), "int32", "token", 3), "observation.b": FieldSpec((2,))},
        lambda x: [x["a"], x["b"]],
    ),
    (
        spaces.Tuple([spaces.Discrete(3), spaces.Dict({"deep": PAIR})]),
        {
            "observation.0": FieldSpec((), "int32", "token", 3),
            "observation.1.deep.a": FieldSpec((), "int32", "token", 3),
            "observation.1.deep.b": FieldSpec((2,)),
        },
        lambda x: [x[0], x[1]["deep"]["a"], x[1]["deep"]["b"]],
    ),
]

ACTIONS: list[tuple[spaces.Space[Any], FieldSpec, Any]] = [
    (spaces.Discrete(3), FieldSpec((), "int32", "token", 3), lambda x: x),
    (spaces.Discrete(3, start=5), FieldSpec((), "int32", "token", 3), lambda x: x - 5),
    (spaces.MultiDiscrete([2, 4]), FieldSpec((2,), "int32", "token", 4), lambda x: x),
    (spaces.MultiBinary(2), FieldSpec((2,), "int8"), lambda x: x),
    (spaces.Box(-1, 1, (2,), np.float32), FieldSpec((2,)), lambda x: x),
]


def round_trip(observation: spaces.Space[Any], action: spaces.Space[Any]) -> tuple[dict[str, Any], Roundabout]:
    envs = [Roundabout(observation, action)]
    arrays, lengths, _ = collect_all(SyncVectorEnv([lambda: envs[0]]), random_policy, 1, seed=0)
    assert lengths.tolist() == [5]
    return arrays, envs[0]


@pytest.mark.parametrize(("space", "fields", "parts"), OBSERVATIONS, ids=[str(case[0])[:40] for case in OBSERVATIONS])
def test_observations_of_any_space_are_kept_as_they_were_shown(
    space: spaces.Space[Any], fields: dict[str, FieldSpec], parts: Any
) -> None:
    assert space_fields("observation", space) == fields
    arrays, env = round_trip(space, spaces.Discrete(2))
    for place, (name, field) in enumerate(fields.items()):
        assert arrays[name].dtype == np.dtype(field.dtype)
        shown = np.stack([np.asarray(parts(x)[place]) for x in env.shown[:5]])
        assert np.array_equal(arrays[name], shown.astype(field.dtype))


@pytest.mark.parametrize(("space", "field", "kept"), ACTIONS, ids=[str(case[0])[:40] for case in ACTIONS])
def test_actions_of_any_space_are_kept_as_they_were_taken(
    space: spaces.Space[Any], field: FieldSpec, kept: Any
) -> None:
    assert space_fields("action", space) == {"action": field}
    arrays, env = round_trip(spaces.Discrete(2), space)
    assert arrays["action"].dtype == np.dtype(field.dtype)
    assert np.array_equal(arrays["action"], np.stack([np.asarray(kept(x)) for x in env.taken]).astype(field.dtype))


def test_a_space_without_a_fixed_shape_is_refused_with_its_name() -> None:
    with pytest.raises(MemUPError, match=r"the observation\.parts space Sequence.*no fixed shape.*wrapper"):
        space_fields("observation", spaces.Dict({"parts": spaces.Sequence(spaces.Discrete(5))}))


class MissionSpace(spaces.Space[str]):
    """Texts, as MiniGrid declares them: a space of its own."""

    def __init__(self) -> None:
        super().__init__(dtype=str)

    def sample(self, *_: Any, **__: Any) -> str:
        return "get the key"

    def contains(self, x: Any) -> bool:
        return isinstance(x, str)


@pytest.mark.parametrize("text", [spaces.Text(5), MissionSpace()], ids=["Text", "MissionSpace"])
def test_a_text_among_the_observations_is_left_out_with_one_warning(
    text: spaces.Space[Any], recwarn: pytest.WarningsRecorder
) -> None:
    name = type(text).__name__
    space = spaces.Dict({"image": spaces.Box(0, 255, (7, 7, 3), np.uint8), name: text})
    for _ in range(2):
        assert space_fields("observation", space) == {"observation.image": FieldSpec((7, 7, 3), "uint8", "image")}
    assert warned(recwarn).count(f"observation.{name} is text") == 1
    arrays, env = round_trip(spaces.Tuple([spaces.Discrete(3), spaces.Text(5)]), spaces.Discrete(2))
    assert arrays["observation.0"].tolist() == [shown[0] for shown in env.shown[:5]]
    assert "observation.1" not in arrays


def test_observations_of_text_alone_are_refused() -> None:
    with pytest.raises(MemUPError, match="holds no numbers"):
        space_fields("observation", spaces.Dict({"words": spaces.Text(5)}))
    with pytest.raises(MemUPError, match="no fixed shape"):
        space_fields("observation", spaces.Text(5))


@pytest.mark.parametrize("channels", [1, 3, 4, 10])
def test_an_image_with_its_channels_first_is_read_with_its_channels_last(
    channels: int, recwarn: pytest.WarningsRecorder
) -> None:
    space = spaces.Box(0, 255, (channels, 40, 36), np.uint8)
    arrays, env = round_trip(space, spaces.Discrete(2))
    assert space_fields("observation", space) == {"observation": FieldSpec((40, 36, channels), "uint8", "image")}
    np.testing.assert_array_equal(arrays["observation"], np.stack(env.shown[:5]).transpose(0, 2, 3, 1))
    assert warned(recwarn).count(f"({channels}, 40, 36), channels first; it is read as (40, 36, {channels})") == 1


@pytest.mark.parametrize("shape", [(7, 7, 3), (40, 36, 1), (2, 40, 4), (64, 64, 12)])
def test_an_image_with_its_channels_last_is_read_as_it_is(shape: tuple[int, ...]) -> None:
    assert space_fields("observation", spaces.Box(0, 255, shape, np.uint8))["observation"].shape == shape


def test_a_field_of_several_classes_says_how_many_it_has() -> None:
    for sizes, said in (
        ([5, 4], "entries of 5 and 4 classes"),
        ([2, 3, 2], "entries of 2, 3 and 2 classes"),
        ([2, 3, 4, 5, 6, 7], "6 entries of 2 to 7 classes"),
        ([3, 3], "2 entries, each one of 3 classes"),
    ):
        assert str(space_fields("action", spaces.MultiDiscrete(sizes))["action"]) == said
    assert str(space_fields("action", spaces.Discrete(3))["action"]) == "one of 3 classes"
