"""m_t as arrays: whole episodes and single steps agree, and what does not fit is refused."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from memup_lightning import LSTM, ArrayEpisodes, FieldSpec, MemUP, MemUPError, TaskSpec, TMazeDataModule
from memup_lightning.modules import encoding

X = FieldSpec((2,))


def episodes(lengths: list[int]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    return [
        {
            "observation": rng.normal(size=(n, 3)),
            "action": rng.integers(2, size=n),
            "reward": rng.normal(size=n).astype(np.float32),
        }
        for n in lengths
    ]


@pytest.fixture(scope="module")
def maze_memory() -> MemUP:
    torch.manual_seed(1)
    return MemUP(TMazeDataModule(length=20).task, memory=partial(LSTM, hidden_size=5))


@pytest.fixture(scope="module")
def array_memory() -> MemUP:
    torch.manual_seed(1)
    return MemUP(TaskSpec({"x": X}, {"x": 0}, ("x",)), memory=partial(LSTM, hidden_size=5))


def test_whole_episodes_and_single_steps_agree(maze_memory: MemUP, monkeypatch: pytest.MonkeyPatch) -> None:
    given = episodes([7, 3, 5])
    whole = maze_memory.encode(given)
    assert [m.shape for m in whole] == [(7, 5), (3, 5), (5, 5)]
    assert maze_memory.training  # as it was
    for episode, expected in zip(given, whole, strict=True):
        m, state = maze_memory.encode_step({"observation": episode["observation"][:1]})
        steps = [m[0]]
        for t in range(1, len(expected)):
            read = {"observation": episode["observation"][t : t + 1]}
            read |= {name: episode[name][t - 1 : t] for name in ("action", "reward")}
            m, state = maze_memory.encode_step(read, state)
            steps.append(m[0])
        np.testing.assert_allclose(np.stack(steps), expected, atol=1e-6)
    monkeypatch.setattr(encoding, "_CHUNK_LENGTH", 2)
    monkeypatch.setattr(encoding, "_LANES", 2)
    for m, expected in zip(maze_memory.encode(given), whole, strict=True):
        np.testing.assert_allclose(m, expected, atol=1e-6)


def test_an_episode_that_begins_among_others_reads_no_action(maze_memory: MemUP) -> None:
    first, second = episodes([2, 1])
    _, state = maze_memory.encode_step({"observation": np.stack([first["observation"][0]] * 2)})
    read = {"observation": np.stack([first["observation"][1], second["observation"][0]]), "action": [0, 99]}
    read["reward"] = [first["reward"][0], np.nan]
    read["action"][0] = first["action"][0]
    m, _ = maze_memory.encode_step(read, state, is_first=[False, True])
    np.testing.assert_allclose(m[0], maze_memory.encode([first])[0][1], atol=1e-6)
    np.testing.assert_allclose(m[1], maze_memory.encode([second])[0][0], atol=1e-6)


def test_the_episodes_of_a_datamodule_and_arrays_are_encoded(maze_memory: MemUP, array_memory: MemUP) -> None:
    data = TMazeDataModule(length=20, num_train=2, num_val=2, num_test=3)
    source = data.episodes("test")
    found = maze_memory.encode(source)
    assert [len(m) for m in found] == source.lengths.tolist()
    fields = {name: source.read(1, 0, int(source.lengths[1]))[name] for name in maze_memory.task.inputs}
    np.testing.assert_allclose(found[1], maze_memory.encode([fields])[0], atol=1e-6)
    x = np.random.default_rng(1).normal(size=(4, 6, 2))
    batch, ragged = array_memory.encode(x), array_memory.encode([x[0], x[1, :2]])
    assert len(batch) == 4
    np.testing.assert_allclose(batch[0], ragged[0], atol=1e-6)
    np.testing.assert_allclose(batch[1][:2], ragged[1], atol=1e-6)


def refused(model: MemUP, given: Any, message: str) -> None:
    with pytest.raises(MemUPError, match=message):
        model.encode(given)


def test_episodes_that_do_not_fit_are_refused(maze_memory: MemUP, array_memory: MemUP) -> None:
    (whole,) = episodes([4])
    refused(maze_memory, whole, "give a list of episodes")
    refused(maze_memory, [], "no episodes")
    refused(
        maze_memory, [whole["observation"]], "episode 0 is an array, and the memory reads observation, action, reward"
    )
    refused(maze_memory, [{"observation": whole["observation"]}], "episode 0 has no 'action'; it has observation")
    refused(maze_memory, [whole | {"reward": np.zeros(3)}], "different lengths.*'reward': 3")
    refused(maze_memory, [whole | {"action": [0, 1, 2, 0]}], "holds 0 to 2; its classes are 0 to 1")
    refused(maze_memory, [whole | {"action": [0, 0.5, 1, 0]}], "holds fractions")
    refused(maze_memory, [whole | {"reward": [0, np.nan, 0, 0]}], "not finite")
    refused(maze_memory, [whole | {"observation": np.zeros((4, 2))}], r"shape \[4, 2\]; give .* shape \[3\]")
    refused(array_memory, np.zeros((6, 2)), r"x of episode 0 has shape \[2\]")
    refused(array_memory, [np.array([["a", "b"]])], "holds <U1; the memory reads numbers")
    other = ArrayEpisodes({"x": np.zeros((4, 3), np.float32)}, [4], {"x": FieldSpec((3,))})
    refused(array_memory, other, r"reads x, vector \[2\], 0 classes, which is vector \[3\]")
    with pytest.raises(MemUPError, match=r"different numbers of rows: .*'action': \[1\]"):
        maze_memory.encode_step({"observation": np.zeros((2, 3)), "action": [0], "reward": [0, 0]})
