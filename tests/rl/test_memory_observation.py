"""A trained memory behind Gymnasium's interface: m_t of a wrapped environment is that of the recorded episode."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from torch import nn

from memup_lightning import LSTM, MemoryObservation, MemUP, MemUPError, TaskSpec, VectorMemoryObservation
from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.envs import TMazeEnv, TMazeVectorEnv
from memup_lightning.rl.wrappers import frozen
from memup_lightning.runs.checkpoint_io import AtomicCheckpointIO

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]
FLAT = spaces.Box(-100, 100, (2,), np.float64)
OBSERVATIONS = {
    "flat": FLAT,
    "dict": spaces.Dict({"place": spaces.Discrete(5, start=3), "sensor": FLAT}),
    "number": spaces.Discrete(5, start=3),
    "tuple": spaces.Tuple((FLAT, spaces.MultiDiscrete([3, 4]))),
    "image": spaces.Box(0, 255, (1, 8, 9), np.uint8),
}
ACTIONS = {
    "one": spaces.Discrete(3, start=2),
    "box": spaces.Box(-1, 1, (2,)),
    "dict": spaces.Dict({"turn": spaces.Discrete(3, start=-1), "force": spaces.Box(0, 9, (1,))}),
}


class Walk(gymnasium.Env[Any, Any]):
    """Shows and pays random numbers, and ends after 2 to 4 steps: by itself, or cut off."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, kind: str = "flat", action: str = "one") -> None:
        self.observation_space, self.action_space = copy.deepcopy((OBSERVATIONS[kind], ACTIONS[action]))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = int(self.np_random.integers(2, 5))
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.left -= 1
        truncates = bool(self.np_random.integers(2))
        over = not self.left
        reward = float(self.np_random.normal())
        return self.observation_space.sample(), reward, over and not truncates, over and truncates, {}


def memory_of(env: gymnasium.Env[Any, Any], core: Callable[[int], Any] | None = None) -> MemUP:
    """A memory for an environment, with random weights and with units that no one chose."""
    torch.manual_seed(1)
    model = MemUP(
        agent_task(env.observation_space, env.action_space, "env"), memory=core or partial(LSTM, hidden_size=6)
    )
    for part in model.encoder.modules():
        if hasattr(part, "is_identity"):
            part.fit(np.random.default_rng(1).normal(3, 20, (50, len(part.center))))
    return model


def leaves(name: str, space: Any, x: Any) -> dict[str, Any]:
    """An observation or action as training records it."""
    if isinstance(space, spaces.Dict):
        return {k: v for key, part in space.items() for k, v in leaves(f"{name}.{key}", part, x[key]).items()}
    if isinstance(space, spaces.Tuple):
        return {k: v for n, part in enumerate(space) for k, v in leaves(f"{name}.{n}", part, x[n]).items()}
    if space == OBSERVATIONS["image"]:
        x = np.moveaxis(x, 0, -1)
    return {name: np.asarray(x) - getattr(space, "start", 0)}


def parts(env: Any, x: Any) -> tuple[Any, Any]:
    """The environment's own observation, and m, of an observation of the wrapper."""
    inner = env.env.observation_space if not hasattr(env, "num_envs") else env.env.single_observation_space
    if isinstance(x, np.ndarray):
        return x[..., : inner.shape[0]], x[..., inner.shape[0] :]
    own = {key: y for key, y in x.items() if key != "memory" and not key.startswith("_")}
    return own if isinstance(inner, spaces.Dict) else own["observation"], x["memory"]


class Recorder:
    """Episodes of one environment, with the m that was shown at each of their steps and after the last one."""

    def __init__(self, env: gymnasium.Env[Any, Any], model: MemUP) -> None:
        self.env, self.model, self.checked = env, model, 0

    def begin(self, observation: Any, memory: Any) -> None:
        self.observations, self.memories = [observation], [memory]
        self.actions: list[Any] = []
        self.rewards: list[float] = []

    def step(self, action: Any, reward: float, observation: Any, memory: Any, over: bool) -> None:
        self.actions.append(action)
        self.rewards.append(reward)
        self.observations.append(observation)
        self.memories.append(memory)
        if over:
            steps = [
                leaves("observation", self.env.observation_space, o) | leaves("action", self.env.action_space, a)
                for o, a in zip(self.observations, [*self.actions, action], strict=True)  # the last action is not read
            ]
            episode = {name: np.stack([step[name] for step in steps]) for name in steps[0]}
            (expected,) = self.model.encode([episode | {"reward": np.array([*self.rewards, 0.0])}])
            np.testing.assert_allclose(np.stack(self.memories), expected, atol=1e-5)
            self.checked += 1


def row(x: Any, env: int) -> Any:
    if isinstance(x, dict):
        return {key: row(y, env) for key, y in x.items()}
    return tuple(row(y, env) for y in x) if isinstance(x, tuple) else x[env]


@pytest.mark.parametrize(
    ("kind", "action"), [("flat", "one"), ("dict", "dict"), ("number", "box"), ("tuple", "one"), ("image", "one")]
)
def test_one_environment_shows_the_memory_of_the_recorded_episode(kind: str, action: str) -> None:
    bare = Walk(kind, action)
    model = memory_of(bare)
    env = MemoryObservation(bare, model)
    check = Recorder(bare, model)
    env.action_space.seed(1)
    for episode in range(4):
        observation, _ = env.reset(seed=episode)
        assert env.observation_space.contains(observation)
        check.begin(*parts(env, observation))
        over = False
        while not over:
            act = env.action_space.sample()
            observation, reward, terminated, truncated, _ = env.step(act)
            over = terminated or truncated
            check.step(act, reward, *parts(env, observation), over)
    assert check.checked == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("kind", "action"), [("flat", "one"), ("dict", "dict"), ("number", "one"), ("tuple", "box")])
def test_many_environments_show_it_under_every_autoreset_mode(kind: str, action: str, mode: AutoresetMode) -> None:
    n, bare = 3, Walk(kind, action)
    model = memory_of(bare)
    env = VectorMemoryObservation(SyncVectorEnv([partial(Walk, kind, action)] * n, autoreset_mode=mode), model)
    check = [Recorder(bare, model) for _ in range(n)]
    env.action_space.seed(1)
    shown, _ = env.reset(seed=1)
    observation, memory = parts(env, shown)
    for k in range(n):
        check[k].begin(row(observation, k), memory[k])
    resetting = np.zeros(n, bool)
    finals = 0
    for _ in range(14):
        assert env.observation_space.contains(shown)
        acts = env.action_space.sample()
        shown, reward, terminated, truncated, infos = env.step(acts)
        observation, memory = parts(env, shown)
        over = terminated | truncated
        per_env = list(gymnasium.vector.utils.iterate(env.action_space, acts))
        for k in range(n):
            if resetting[k]:
                check[k].begin(row(observation, k), memory[k])
                continue
            own, m = row(observation, k), memory[k]
            if over[k] and mode == AutoresetMode.SAME_STEP:
                own, m = parts(env, row(infos["final_obs"], k))
                finals += 1
            check[k].step(per_env[k], reward[k], own, m, bool(over[k]))
            if over[k] and mode == AutoresetMode.SAME_STEP:
                check[k].begin(row(observation, k), memory[k])
        resetting = over & ~resetting if mode == AutoresetMode.NEXT_STEP else np.zeros(n, bool)
        if mode == AutoresetMode.DISABLED and over.any():
            before = memory
            shown, _ = env.reset(options={"reset_mask": over})
            observation, memory = parts(env, shown)
            assert np.array_equal(memory[~over], before[~over])
            for k in np.flatnonzero(over):
                check[k].begin(row(observation, k), memory[k])
    assert all(one.checked >= 2 for one in check)
    assert finals or mode != AutoresetMode.SAME_STEP


class Keeps(nn.Module):
    """Shows what it read at the step before."""

    output_size = 2

    def initial_state(self, lanes: int) -> torch.Tensor:
        return torch.zeros(lanes, 1, 2)

    def forward(self, x: Any, state: Any, is_first: Any) -> Any:
        state = state.masked_fill(is_first[:, None, None], 0)
        return torch.cat([state, x[:, :-1]], 1), x[:, -1:]


def test_a_core_that_keeps_what_it_read_keeps_it() -> None:
    fields = agent_task(FLAT, ACTIONS["one"], "env").fields
    model = MemUP(TaskSpec(fields, {"observation": 0}, ("observation",)), memory=lambda size: Keeps())
    env = MemoryObservation(Walk(), model)
    first, _ = env.reset(seed=1)
    second, *_ = env.step(2)
    assert np.array_equal(second[2:], first[:2].astype(np.float32))


def test_nobody_can_change_the_memory_through_an_observation() -> None:
    env, other = (MemoryObservation(Walk("dict"), memory_of(Walk("dict"))) for _ in range(2))
    for one in (env, other):
        observation, _ = one.reset(seed=1)
        one.unwrapped.left = 3  # type: ignore[attr-defined]
        if one is env:
            observation["memory"][:] = 100
    assert np.array_equal(env.step(2)[0]["memory"], other.step(2)[0]["memory"])


@pytest.mark.parametrize("kind", ["flat", "dict", "number"])
def test_the_checker_of_gymnasium_finds_nothing(kind: str) -> None:
    env = MemoryObservation(Walk(kind), memory_of(Walk(kind)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*is different from the unwrapped version")
        check_env(env, skip_render_check=True)


def test_the_checker_of_stable_baselines3_finds_nothing() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(MemoryObservation(TMazeEnv(length=5), memory_of(TMazeEnv())))


def test_a_wrapped_environment_is_pickled_in_the_middle_of_an_episode() -> None:
    env = MemoryObservation(TMazeEnv(length=9), memory_of(TMazeEnv()))
    env.reset(seed=1)
    env.step(0)
    copied = pickle.loads(pickle.dumps(env))
    for _ in range(3):
        assert np.array_equal(env.step(np.int64(1))[0], copied.step(np.int64(1))[0])


def test_a_model_goes_to_the_processes_of_environments() -> None:
    model = memory_of(TMazeEnv())
    make = partial(MemoryObservation, TMazeEnv(length=5), model)
    env = AsyncVectorEnv([make] * 2)
    one = make()
    try:
        observation, _ = env.reset(seed=[7, 8])
        assert np.array_equal(observation[0], one.reset(seed=7)[0])
        assert np.array_equal(env.step(np.array([1, 0]))[0][0], one.step(1)[0])
    finally:
        env.close()


def test_a_native_vector_environment_agrees_with_single_ones() -> None:
    model = memory_of(TMazeEnv())
    env = VectorMemoryObservation(TMazeVectorEnv(2, length=4, mode="L"), model)
    one = MemoryObservation(TMazeEnv(length=4, mode="L"), model)
    shown, infos = env.reset(seed=3)
    alone, _ = one.reset(options={"episode_seed": infos["episode_seed"][1]})
    for action in (0, 1, 0):
        np.testing.assert_allclose(shown[1], alone, atol=1e-6)
        shown, *_ = env.step(np.array([1, action]))
        alone, *_ = one.step(action)


# --- what does not fit


def refused(env: gymnasium.Env[Any, Any], memory: Any, message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        MemoryObservation(env, memory)


def test_an_environment_of_other_spaces_than_in_training_is_refused() -> None:
    model = memory_of(Walk())
    refused(
        Walk("number"), model, r"trained on action \(3 classes, lag 1\), observation \(vector \[2\], lag 0\).*5 classes"
    )
    refused(Walk("flat", "box"), model, r"differs in action; wrap the environment that the memory was trained on")
    refused(Walk("dict"), model, "differs in observation; wrap the environment")


def test_a_refusal_names_the_run_that_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "load_memory", lambda path: memory_of(Walk()))
    for run in ("version_0", "version_1"):
        content = {"state_dict": {"weight": torch.zeros(1)}, "global_step": 10}
        AtomicCheckpointIO().save_checkpoint(content, tmp_path / run / "checkpoints" / "last.ckpt")
    refused(Walk("dict"), tmp_path, r"^the memory of \S+/version_1 was trained .*; give the folder of another run, or")


@pytest.mark.parametrize(
    ("trained_on", "warned"),
    [
        ("CartPole-v0", True),
        ("CartPole-v1", False),
        ("gymnasium:CartPole-v1", False),
        ("CartPole", False),
        (None, False),
    ],
)
def test_a_memory_of_another_environment_with_equal_spaces_is_warned_of(
    trained_on: str | None, warned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single, several = gymnasium.make("CartPole-v1"), gymnasium.make_vec("CartPole-v1", num_envs=2)
    monkeypatch.setattr(frozen, "load_memory", lambda path: memory_of(single))
    folder = tmp_path / "version_0"
    content = {"state_dict": {"weight": torch.zeros(1)}, "global_step": 10}
    AtomicCheckpointIO().save_checkpoint(content, folder / "checkpoints" / "last.ckpt")
    data = {"class_path": "GymnasiumDataModule", "init_args": {"env_id": trained_on} if trained_on else {}}
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    with pytest.warns(UserWarning, match="trained on CartPole-v0, and wraps CartPole-v1") if warned else nullcontext():
        MemoryObservation(single, folder)
        VectorMemoryObservation(several, folder)
    single.close()
    several.close()


def test_a_memory_of_some_entries_reads_these() -> None:
    maze = TMazeEnv(length=5)
    task = agent_task(maze.observation_space, maze.action_space, "maze", observed=[2])
    model = MemUP(task, memory=partial(LSTM, hidden_size=4))
    shown, _ = MemoryObservation(maze, model).reset(seed=1)
    m, _ = model.encode_step({"observation": shown[None, 2:3]})
    np.testing.assert_allclose(shown[3:], m[0], atol=1e-6)
    other = agent_task(maze.observation_space, maze.action_space, "maze", observed=[1])
    with pytest.raises(MemUPError, match=r"entries of observation is \(1,\) in the data and \(2,\) in the model"):
        task.check_same_fields(other)


def test_a_memory_of_arrays_or_of_longer_lags_is_refused() -> None:
    field = Walk().observation_space
    arrays = TaskSpec({"x": memory_of(Walk()).task.fields["observation"]}, {"x": 0}, ("x",))
    refused(Walk(), MemUP(arrays), "trained on x .* differs in x")
    fields = agent_task(field, Walk().action_space, "env").fields
    far = TaskSpec(fields, {"observation": 0, "action": 2}, ("observation",))
    refused(Walk(), MemUP(far), "'action' is read with a lag of 2")


@pytest.mark.parametrize(
    ("given", "message"),
    [("nowhere.ckpt", "nowhere.ckpt"), (3, "checkpoint is int; give the path"), (MemUP, "checkpoint is MemUP; give")],
)
def test_what_is_no_memory_is_refused(given: Any, message: str) -> None:
    refused(Walk(), given, message)


def test_an_entry_of_the_same_name_is_refused() -> None:
    env = Walk("dict")
    model = memory_of(env)
    env.observation_space = spaces.Dict({**OBSERVATIONS["dict"].spaces, "memory": FLAT})  # type: ignore[attr-defined]
    refused(env, model, "entry 'memory' already")


def test_numbers_that_are_not_finite_and_steps_before_a_reset_are_refused() -> None:
    env = MemoryObservation(Walk(), memory_of(Walk()))
    with pytest.raises(MemUPError, match=r"call reset\(\)"):
        env._memory.act(2, 0.0)
    env.reset(seed=1)
    env.unwrapped.observation_space.sample = lambda: np.array([0, np.nan])  # type: ignore[method-assign]
    with pytest.raises(MemUPError, match="environment 0 gave nan"):
        env.step(2)


def baselines() -> Any:
    """A vector environment of Stable-Baselines3, as far as the wrappers look at it."""
    base = type("VecEnv", (), {"__module__": "stable_baselines3.common.vec_env.base_vec_env"})
    return type("DummyVecEnv", (base,), {})()


@pytest.mark.parametrize(
    ("wrapper", "make", "said"),
    [
        (MemoryObservation, lambda: SyncVectorEnv([Walk]), "SyncVectorEnv, .*; wrap it with VectorMemoryObservation$"),
        (MemoryObservation, baselines, "DummyVecEnv, .* of Stable-Baselines3; .*wrapper_class=MemoryObservation"),
        (MemoryObservation, lambda: Walk, r"the class Walk; give an environment .* gymnasium\.Env$"),
        (VectorMemoryObservation, Walk, "Walk, a single environment; wrap it with MemoryObservation$"),
        (VectorMemoryObservation, baselines, "DummyVecEnv, .* of Stable-Baselines3; .*wrapper_class=MemoryObservation"),
        (VectorMemoryObservation, object, r"object; give a vector environment .* gymnasium\.vector\.VectorEnv$"),
    ],
)
def test_an_environment_of_another_type_is_refused_with_the_wrapper_that_takes_it(
    wrapper: Any, make: Callable[[], Any], said: str
) -> None:
    with pytest.raises(MemUPError, match=f"^{wrapper.__name__} was given {said}"):
        wrapper(make(), memory_of(Walk()))
