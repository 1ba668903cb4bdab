"""Episodes from Gymnasium environments: any space, whole episodes, no step that the environment did not take."""

from __future__ import annotations

import tracemalloc
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from memup_lightning import progress
from memup_lightning.data.episodes import ArrayEpisodes
from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.datamodules.recorded import rewards
from memup_lightning.envs import TMazeVectorEnv
from memup_lightning.envs.policies import InformedPolicy, Policy, random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import collect, concatenate_episodes
from memup_lightning.rl.spaces import space_fields
from memup_lightning.rl.vector_envs import make_vector_env
from memup_lightning.specs import FieldSpec

Env = gymnasium.Env[Any, Any]


class Counting(Env):
    """Shows the episode's number and step, and pays their sum. Its lengths come in turn; every second is a cut."""

    observation_space = spaces.Box(-1, 10_000, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, lengths: tuple[int, ...] = (3, 1, 5), number: int = 0) -> None:
        self.lengths = lengths
        self.episode = 1000 * number - 1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.t = 0
        return self.see(), {}

    def see(self) -> npt.NDArray[np.float32]:
        return np.array([self.episode, self.t], np.float32)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = float(self.episode + self.t + 0.25 * action)
        self.t += 1
        over = self.t == self.lengths[self.episode % 1000 % len(self.lengths)]
        cut = self.episode % 2 == 1
        return self.see(), reward, over and not cut, over and cut, {}


def counting(number_of_envs: int, lengths: tuple[int, ...] = (3, 1, 5), **kwargs: Any) -> VectorEnv[Any, Any, Any]:
    makers = [lambda n=n: Counting(lengths, n) for n in range(number_of_envs)]
    return SyncVectorEnv(makers, **kwargs)


def warned(recwarn: pytest.WarningsRecorder) -> str:
    return "\n".join(str(x.message) for x in recwarn)


def step_count(observations: Any, action_space: Any) -> Any:
    """An action that follows from what is seen."""
    return (observations[:, 0] + observations[:, 1]).astype(np.int64) % 3


def played_alone(
    number: int, episodes: int, lengths: tuple[int, ...] = (3, 1, 5)
) -> list[list[tuple[Any, int, float]]]:
    """The same episodes, stepped by hand in a single environment."""
    env = Counting(lengths, number)
    out = []
    for _ in range(episodes):
        seen, _ = env.reset()
        steps, over = [], False
        while not over:
            action = int(seen.sum()) % 3
            following, reward, terminated, truncated, _ = env.step(action)
            steps.append((seen.tolist(), action, reward))
            seen, over = following, terminated or truncated
        out.append(steps)
    return out


def as_steps(arrays: dict[str, Any], lengths: Any) -> list[list[tuple[Any, int, float]]]:
    source = ArrayEpisodes(arrays, lengths)
    read = [source.read(e, 0, int(n)) for e, n in enumerate(lengths)]
    return [list(zip(r["observation"].tolist(), r["action"].tolist(), r["reward"].tolist(), strict=True)) for r in read]


def collect_all(env: VectorEnv[Any, Any, Any], policy: Policy, episodes: int, seed: int, max_steps: int = 1000) -> Any:
    """The fields of all episodes end to end, the episodes' lengths, whether each terminated."""
    return concatenate_episodes(list(collect(env, policy, episodes, seed, max_steps)))


class Failing(Counting):
    """Says of its second episode that it is of no use."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"discarded": self.episode == 1, "episode": self.episode}


class Repeats(InformedPolicy):
    """Acts by what the infos say."""

    def __call__(self, observations: Any, action_space: Any, infos: Any) -> Any:
        return np.asarray(infos.get("episode", np.zeros(1))) % 3


MODES = list(AutoresetMode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lengths", [(3, 1, 5), (1,), (1, 1, 2)])
def test_collected_episodes_are_those_of_single_environments(mode: AutoresetMode, lengths: tuple[int, ...]) -> None:
    env = counting(3, lengths, autoreset_mode=mode)
    arrays, found, _ = collect_all(env, step_count, 7, seed=0)
    wanted = [e for number, quota in enumerate((3, 2, 2)) for e in played_alone(number, quota, lengths)]
    assert sorted(as_steps(arrays, found)) == wanted


@pytest.mark.parametrize("mode", MODES)
def test_terminated_and_truncated_episodes_are_distinguished(mode: AutoresetMode) -> None:
    arrays, lengths, terminated = collect_all(counting(2, autoreset_mode=mode), step_count, 8, seed=0)
    number = arrays["observation"][np.cumsum(lengths) - 1, 0]
    assert np.array_equal(terminated, number % 2 == 0)


@pytest.mark.parametrize("mode", MODES[:2])
def test_a_vectorised_maze_gives_the_same_episodes_under_both_modes(mode: AutoresetMode) -> None:
    env = TMazeVectorEnv(4, 10, "LNR", autoreset_mode=mode)
    arrays, lengths, terminated = collect_all(env, lambda seen, space: (seen[:, 2] > 0).astype(np.int64), 11, seed=3)
    other = TMazeVectorEnv(4, 10, "LNR", autoreset_mode=AutoresetMode.NEXT_STEP)
    wanted, _, _ = collect_all(other, lambda seen, space: (seen[:, 2] > 0).astype(np.int64), 11, seed=3)
    assert terminated.all()
    assert len(lengths) == 11
    for name, array in arrays.items():
        assert np.array_equal(array, wanted[name])
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    assert np.array_equal(np.flatnonzero(arrays["observation"][:, 0]), firsts)
    assert np.array_equal(np.flatnonzero(arrays["reward"]), np.cumsum(lengths) - 1)


def test_every_environment_contributes_as_many_episodes_so_that_short_ones_are_not_favoured() -> None:
    makers = [lambda n=n: Counting((1,) if n % 2 else (50,), n) for n in range(4)]
    _, lengths, _ = collect_all(SyncVectorEnv(makers), step_count, 8, seed=0)
    assert sorted(lengths) == [1] * 4 + [50] * 4


def test_mean_length_of_a_random_walk_is_not_biased() -> None:
    class Geometric(Counting):
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            self.t += 1
            return self.see(), 0.0, bool(self.np_random.random() < 0.05), False, {}

    env = SyncVectorEnv([Geometric] * 100)
    _, lengths, _ = collect_all(env, random_policy, 200, seed=0)
    assert abs(lengths.mean() - 20) < 4 * 20 / np.sqrt(200)


def test_fewer_episodes_than_environments_are_collected_too() -> None:
    _, lengths, _ = collect_all(counting(5), step_count, 2, seed=0)
    assert len(lengths) == 2


def test_the_seed_says_what_is_played() -> None:
    def played(seed: int) -> npt.NDArray[Any]:
        env = make_vector_env("CartPole-v1", 3)
        return collect_all(env, random_policy, 4, seed)[0]["observation"]

    assert np.array_equal(played(1), played(1))
    assert not np.array_equal(played(1)[:5], played(2)[:5])


def test_subprocess_environments_are_collected_alike() -> None:
    env = AsyncVectorEnv([lambda n=n: Counting((3, 1, 5), n) for n in range(2)])
    try:
        arrays, lengths, _ = collect_all(env, step_count, 5, seed=0)
    finally:
        env.close()
    wanted, _, _ = collect_all(counting(2), step_count, 5, seed=0)
    assert as_steps(arrays, lengths) == as_steps(wanted, lengths)


# --- spaces


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


# --- what is refused


def test_an_unknown_environment_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(
        MemUPError, match=r"environment 'CartPol-v1' cannot be made.*did you mean 'CartPole-v1'\?"
    ) as said:
        make_vector_env("CartPol-v1", 1)
    assert str(said.value).lower().count("did you mean") == 1
    with pytest.raises(MemUPError, match=r"import the module that registers it: --imports my_module"):
        make_vector_env("Cart-v0", 1)
    with pytest.raises(MemUPError, match=r"did you mean 'CartPole-v1'\?$"):
        make_vector_env("CartPole-v9", 1)


def test_an_argument_that_the_environment_does_not_take_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"'CartPole-v1' does not take env_kwargs=\{'colour': 3\}"):
        make_vector_env("CartPole-v1", 1, {"colour": 3})


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


class Frames(Counting):
    """Shows a plain image."""

    observation_space = spaces.Box(0, 255, (64, 64, 3), np.uint8)

    def see(self) -> Any:
        return np.full((64, 64, 3), self.t, np.uint8)


gymnasium.register("tests/Broken-v0", Broken)
gymnasium.register("tests/Counting-v0", Counting)
gymnasium.register("tests/Frames-v0", lambda: Frames((12, 20)))


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


def test_an_environment_can_be_given_a_time_limit_by_its_arguments() -> None:
    data = GymnasiumDataModule(
        "tests/Counting-v0", {"lengths": (50,), "max_episode_steps": 6}, num_train=2, num_envs=1, max_steps=6
    )
    assert data.episodes("train").lengths.tolist() == [6, 6]


def test_collecting_takes_little_more_room_than_the_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards, "_BATCH_BYTES", 1 << 20)
    data = GymnasiumDataModule("tests/Frames-v0", num_train=120, num_envs=4)
    _ = data.task
    tracemalloc.start()
    try:
        source = data.episodes("train")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    kept = source.total_steps * sum(field.step_bytes for field in source.fields.values())
    assert kept > 20e6
    assert peak < 1.3 * kept + 6e6  # and the blocks of the steps in play


def test_a_collection_that_takes_long_shows_its_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    collect_all(counting(2), step_count, 20, seed=0)
    assert "collecting" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    collect_all(counting(2), step_count, 100, seed=0)
    last = capsys.readouterr().err.split("\r")[-1]
    assert "100/100" in last
    assert "steps/s" in last


@pytest.mark.parametrize("mode", MODES)
def test_an_episode_that_its_environment_discards_is_replaced(
    mode: AutoresetMode, recwarn: pytest.WarningsRecorder
) -> None:
    env = SyncVectorEnv([lambda: Failing((4,))], autoreset_mode=mode)
    arrays, lengths, _ = collect_all(env, step_count, 3, seed=0)
    assert lengths.tolist() == [4, 4, 4]
    assert arrays["observation"][::4, 0].tolist() == [0, 2, 3]
    assert "1 episodes were discarded" in warned(recwarn)


def test_an_informed_policy_gets_the_infos() -> None:
    arrays, _, _ = collect_all(SyncVectorEnv([lambda: Failing((4,))]), Repeats(), 3, seed=0)
    assert arrays["action"].reshape(3, 4)[:, 1:].tolist() == [[0] * 3, [2] * 3, [0] * 3]


class StepNumbers(Counting):
    """Reports the number of the step in its infos."""

    def reset(self, **given: Any) -> tuple[Any, dict[str, Any]]:
        return super().reset(**given)[0], {"truth": self.t}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return *super().step(action)[:4], {"truth": self.t}


def test_infos_that_are_asked_for_are_kept_with_the_observation_they_came_with() -> None:
    env = SyncVectorEnv([lambda n=n: StepNumbers(number=n) for n in range(2)])
    for episode in collect(env, step_count, 6, seed=0, infos_kept=("truth",)):
        np.testing.assert_array_equal(episode.arrays["info.truth"], episode.arrays["observation"][:, 1])


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
            r"the policy failed: KeyError: 'door' \(test_collectors.py, line \d+\)",
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
