"""What cannot be collected is refused with its place and the remedy: environments, arguments, numbers, policies."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.envs.policies import random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import collect
from memup_lightning.rl.vector_envs import make_vector_env
from tests.rl.counting_env import Counting, collect_all, counting, step_count, warned


def test_an_unknown_environment_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        MemUPError, match=r"environment 'CartPol-v1' cannot be made.*did you mean 'CartPole-v1'\?"
    ) as said:
        make_vector_env("CartPol-v1", 1)
    assert str(said.value).lower().count("did you mean") == 1
    with pytest.raises(MemUPError, match=r"import the module that registers it: import my_module"):
        make_vector_env("Cart-v0", 1)
    with pytest.raises(MemUPError, match=r"did you mean 'CartPole-v1'\?$"):
        make_vector_env("CartPole-v9", 1)


def test_an_argument_that_the_environment_does_not_take_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"'CartPole-v1' does not take env_kwargs=\{'colour': 3\}"):
        make_vector_env("CartPole-v1", 1, {"colour": 3})


@pytest.mark.parametrize(
    ("env", "given"),
    [
        (Counting, "the class Counting"),
        (Counting(), "a Counting"),
        (SyncVectorEnv([Counting]), "a SyncVectorEnv"),
    ],
    ids=["class", "environment", "vector"],
)
def test_an_environment_in_place_of_its_name_is_refused(env: Any, given: str) -> None:
    with pytest.raises(MemUPError, match=rf"env_id is {given}; give the name .*gymnasium\.register"):
        make_vector_env(env, 1)


def test_an_environment_that_cannot_be_made_is_not_said_to_refuse_arguments() -> None:
    class Spaceless(Counting):
        observation_space = None

    gymnasium.register("tests/Spaceless-v0", Spaceless)
    with pytest.raises(MemUPError, match=r"'tests/Spaceless-v0' cannot be made: TypeError: observation space"):
        make_vector_env("tests/Spaceless-v0", 1)


def test_an_episode_without_end_is_refused_with_the_remedy() -> None:
    with pytest.raises(MemUPError, match=r"environment [01] is longer than max_steps=20; give it a time limit"):
        collect_all(counting(2, (3, 50)), step_count, 4, seed=0, max_steps=20)


def test_no_episode_is_refused() -> None:
    with pytest.raises(MemUPError, match="num_episodes=0"):
        collect_all(counting(2), step_count, 0, seed=0)


class Broken(Counting):
    """Shows or pays a number that cannot be trained on, at step 2 of the second episode."""

    observation_space = spaces.Dict({"a": spaces.Tuple([spaces.Box(-np.inf, np.inf, (2,), np.float64)])})  # type: ignore[assignment]

    def __init__(self, number: float, place: str) -> None:
        super().__init__((3, 4))
        self.bad, self.place = number, place

    def is_broken(self, place: str) -> bool:
        return self.place == place and (self.episode, self.t) == (1, 2)

    def see(self) -> Any:
        return {"a": (np.array([0.0, self.bad if self.is_broken("observation") else 0.0]),)}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        pays = self.bad if self.is_broken("reward") else 0.0
        observation, _, *rest = super().step(action)
        return observation, pays, *rest  # type: ignore[return-value]


class Numbered(Counting):
    """Shows a class number that its space does not have, at step 2 of the second episode."""

    observation_space = spaces.Dict({"shelf": spaces.Discrete(3, start=1)})  # type: ignore[assignment]

    def see(self) -> Any:
        return {"shelf": 9 if (self.episode, self.t) == (1, 2) else 3}


def test_a_class_that_the_space_does_not_have_is_refused_as_a_mistake_of_the_environment() -> None:
    env = SyncVectorEnv([lambda: Numbered((3, 4))])
    said = (
        r"observation\.shelf at step 2 of episode 1 of environment 0 is 8, .* which has 3: correct the environment, or"
    )
    with pytest.raises(MemUPError, match=said):
        collect_all(env, lambda seen, space: space.sample(), 3, 0)


gymnasium.register("tests/Broken-v0", Broken)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize(("number", "shown"), [(np.nan, "nan"), (-np.inf, "-inf"), (1e30, "1e"), (1e300, "inf")])
@pytest.mark.parametrize("place", ["observation", "reward"])
def test_a_number_that_cannot_be_trained_on_is_refused_with_its_place(
    number: float, shown: str, place: str, on_disk: bool, tmp_path: Any
) -> None:
    data = GymnasiumDataModule(
        "tests/Broken-v0",
        {"number": number, "place": place},
        num_train=3,
        num_envs=1,
        cache_dir=str(tmp_path) if on_disk else None,
    )
    said = {
        "observation": rf"observation\.a\.0\[1\] at step 2 of episode 1 of .* \(tests/Broken-v0\) is {shown}.*wrap",
        "reward": rf"environment 0 gave {shown}\S* at step 2 of its episode \(field reward\).*wrapper",
    }
    with pytest.raises(MemUPError, match=said[place]):
        data.episodes("train")


def test_an_info_that_the_environment_does_not_give_is_named() -> None:
    with pytest.raises(MemUPError, match="no colour"):
        next(collect(counting(2), step_count, 2, seed=0, infos_kept=("colour",)))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (
            lambda observations, space: np.full(len(observations), 0.5),
            r"actions of values such as 0.5; .* whole numbers",
        ),
        (lambda observations, space: 0, r"actions of shape \[\]; give one for each environment, \[2\]"),
        (lambda observations, space: None, r"actions of shape \[\]"),
        (lambda observations: observations, r"the policy failed: TypeError: .*; policy\(observations, action_space\)"),
        (
            lambda observations, space: {}["door"],
            r"the policy failed: KeyError: 'door' \(test_collection_mistakes.py, line \d+\)",
        ),
    ],
    ids=["fractions", "one action", "none", "one argument", "raises"],
)
def test_a_policy_that_gives_no_actions_of_the_space_is_refused(policy: Any, said: str) -> None:
    env = SyncVectorEnv([Counting, Counting])
    with pytest.raises(MemUPError, match=said):
        list(collect(env, policy, 2, seed=0))


def test_whole_floats_are_actions_of_a_discrete_space() -> None:
    env = SyncVectorEnv([Counting, Counting])
    episodes = list(collect(env, lambda observations, space: np.full(len(observations), 2.0), 2, seed=0))
    assert [set(episode.arrays["action"].tolist()) for episode in episodes] == [{2}, {2}]


@pytest.mark.parametrize("seeds_itself", [True, False])
def test_episodes_that_all_show_the_same_are_pointed_out(seeds_itself: bool, recwarn: pytest.WarningsRecorder) -> None:
    class Noise(Counting):
        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            first = super().reset(seed=0 if seeds_itself else seed)
            return self.np_random.random(2, np.float32), first[1]

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return self.np_random.random(2, np.float32), 0.0, True, False, {}

    env = SyncVectorEnv([Noise, Noise])
    list(collect(env, random_policy, 6, seed=0))
    assert ("all 6 episodes show the same observations" in warned(recwarn)) == seeds_itself


def test_episodes_of_a_bandit_may_all_show_the_same(recwarn: pytest.WarningsRecorder) -> None:
    class Bandit(Counting):
        observation_space: Any = spaces.Discrete(1)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            return 0, super().reset(seed=seed)[1]

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return 0, float(self.np_random.random() < 0.5), True, False, {}

    list(collect(SyncVectorEnv([Bandit, Bandit]), random_policy, 6, seed=0))
    assert "same observations" not in warned(recwarn)
