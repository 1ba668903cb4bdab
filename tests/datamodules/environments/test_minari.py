"""Minari datasets: what is stored in one is what is streamed, in memory and from the cache."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from memup_lightning.data.store import EpisodeStore
from memup_lightning.datamodules import MinariDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

minari = pytest.importorskip("minari")
pytest.importorskip("h5py")

from minari.data_collector import EpisodeBuffer  # noqa: E402

BOX = spaces.Box(-100, 100, (2,), np.float32)
NESTED = spaces.Dict({"seen": spaces.Box(-1, 9, (1,), np.float64), "place": spaces.Discrete(9, start=-1)})
LENGTHS = (3, 1, 5, 4, 2, 6, 3, 3, 2, 4)


def episode_of(number: int, nested: bool) -> EpisodeBuffer:
    """Shows its number and step; every second one is cut off, every fifth just ends."""
    length, t = LENGTHS[number], np.arange(LENGTHS[number] + 1)
    shown: Any = np.stack([np.full(length + 1, number), t], 1).astype(np.float32)
    if nested:
        shown = {"seen": t[:, None] / 1.0, "place": t - 1}
    last = np.arange(length) == length - 1
    return EpisodeBuffer(
        id=number,
        observations=shown,
        actions=t[:-1] % 3 + 5,
        rewards=(10.0 * number + t[:-1]).tolist(),
        terminations=(last & (number % 2 == 0)).tolist(),
        truncations=(last & (number % 2 == 1) & (number % 5 > 0)).tolist(),
    )


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    return make(tmp_path, monkeypatch)


def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, episodes: int = 10, nested: bool = False) -> str:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    minari.create_dataset_from_buffers(
        "some/steps-v0",
        [episode_of(number, nested) for number in range(episodes)],
        observation_space=NESTED if nested else BOX,
        action_space=spaces.Discrete(3, start=5),
        description="ten short episodes",
    )
    return "some/steps-v0"


def module(dataset: str, cache_dir: Path | None = None, **given: Any) -> MinariDataModule:
    given = {"lanes": 2, "seed": 1} | given
    data = MinariDataModule(dataset, cache_dir=cache_dir and str(cache_dir), **given)
    data.setup("fit")
    data.setup("test")
    return data


def by_number(data: MinariDataModule) -> dict[int, tuple[str, dict[str, Any]]]:
    """Split and content of every episode, by the number that it shows."""
    found = {}
    for split, source in data.sources.items():
        for episode, length in enumerate(source.lengths):
            content = source.read(episode, 0, int(length))
            found[int(content["observation"][0, 0])] = (split, content)
    return found


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_the_dataset_holds_is_streamed(dataset: str, tmp_path: Path, on_disk: bool) -> None:
    found = by_number(module(dataset, tmp_path / "cache" if on_disk else None, outcome="return", eval_at="last"))
    assert sorted(found) == list(range(10))
    for number, (_, content) in found.items():
        buffer, length = episode_of(number, nested=False), LENGTHS[number]
        np.testing.assert_array_equal(content["observation"], buffer.observations[:-1])
        np.testing.assert_array_equal(content["action"], np.arange(length) % 3)
        np.testing.assert_array_equal(content["reward"], buffer.rewards)
        np.testing.assert_allclose(content["outcome"], np.cumsum(buffer.rewards[::-1])[::-1])
        assert content["has_outcome"].tolist() == [number % 2 == 0] * length, "known where the episode terminated"
        assert content["eval_mask"].tolist() == [False] * (length - 1) + [True]


def test_every_episode_is_in_one_split_and_the_seed_says_in_which(dataset: str) -> None:
    def splits(**given: Any) -> dict[int, str]:
        return {number: split for number, (split, _) in by_number(module(dataset, **given)).items()}

    wanted = splits(val_share=0.3, test_share=0.2)
    assert sorted(wanted.values()) == ["test"] * 2 + ["train"] * 5 + ["val"] * 3
    assert splits(val_share=0.3, test_share=0.2) == wanted
    assert splits(val_share=0.3, test_share=0.2, seed=2) != wanted
    assert sorted(splits(val_share=0.01, test_share=0.01).values()) == ["test"] + ["train"] * 8 + ["val"]


def test_nested_spaces_become_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = module(make(tmp_path, monkeypatch, nested=True))
    assert dict(data.task.fields) == {
        "observation.place": FieldSpec((), "int32", "token", 9),
        "observation.seen": FieldSpec((1,)),
        "action": FieldSpec((), "int32", "token", 3),
        "reward": FieldSpec(),
    }
    content = data.sources["train"].read(0, 0, 1)
    assert content["observation.place"].tolist() == [0]
    assert content["observation.seen"].tolist() == [[0.0]]


def test_a_dataset_is_imported_once(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module(dataset, tmp_path / "cache")
    assert isinstance(first._all, EpisodeStore)

    def refuse(_: Any) -> Any:
        raise AssertionError("the dataset was read again")

    monkeypatch.setattr(MinariDataModule, "_read", refuse)
    module(dataset, tmp_path / "cache", seed=2, val_share=0.3, window=2)  # other splits of the same episodes
    with pytest.raises(AssertionError, match="read again"):
        module(dataset, tmp_path / "cache", outcome="return")
    grown = minari.load_dataset(dataset)
    grown.update_dataset_from_buffer([EpisodeBuffer(**{**vars(episode_of(1, False)), "id": 10})])
    with pytest.raises(AssertionError, match="read again"):
        module(dataset, tmp_path / "cache")


def test_a_path_serves_as_well_as_an_id(dataset: str, tmp_path: Path) -> None:
    wanted = by_number(module(dataset))
    for path in (tmp_path / "minari" / dataset, tmp_path / "minari" / dataset / "data"):
        found = by_number(module(str(path)))
        assert {number: split for number, (split, _) in found.items()} == {n: split for n, (split, _) in wanted.items()}


def test_chunks_come_out_of_an_imported_dataset(dataset: str, tmp_path: Path) -> None:
    data = module(dataset, tmp_path / "cache", chunk_length=2, chunks_per_epoch=5, num_workers=1)
    chunks = list(data.train_dataloader())
    assert len(chunks) == 5
    assert chunks[0].inputs["observation"].shape == (2, 2, 2)


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("number", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("field", ["observation", "reward"])
def test_a_number_that_cannot_be_trained_on_is_refused_with_its_place(
    field: str, number: float, on_disk: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = episode_of(2, nested=False)
    if field == "observation":
        broken.observations[3, 1] = number
    else:
        broken.rewards[3] = number  # type: ignore[index]
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    minari.create_dataset_from_buffers(
        "some/steps-v0",
        [episode_of(0, False), episode_of(1, False), broken],
        observation_space=BOX,
        action_space=spaces.Discrete(3, start=5),
    )
    with pytest.raises(MemUPError, match=rf"^{field}(\[1\])? at step 3 of episode 2 of some/steps-v0 is "):
        module("some/steps-v0", tmp_path / "cache" if on_disk else None)


def test_too_few_episodes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MemUPError, match="2 episodes cannot be split into 3 parts"):
        module(make(tmp_path, monkeypatch, episodes=2))


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(MemUPError, match=r"val_share=0.6, test_share=0.5"):
        MinariDataModule("some/steps-v0", val_share=0.6, test_share=0.5)


def test_an_unknown_dataset_is_refused_with_the_remedy(dataset: str) -> None:
    with pytest.raises(MemUPError, match=r"no Minari dataset 'other/steps-v0': .*minari download"):
        module("other/steps-v0")


def test_without_minari_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(MemUPError, match=r"pip install 'memup-lightning\[minari\]'"):
        module("some/steps-v0")
