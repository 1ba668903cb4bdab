"""Classes that can hardly be learned or measured are said once when data are loaded, with what each split has of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule
from tests.datamodules.machine_tables import said

EPISODES, STEPS = 200, 5
SAID = "can hardly be learned or measured"


def table(folder: Path, y: Any, name: str = "own", episodes: int = EPISODES) -> str:
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(1)
    given = {"unit": np.repeat(np.arange(episodes), STEPS), "load": draw.normal(size=episodes * STEPS), "y": y}
    pandas.DataFrame(given).to_parquet(folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


def colours(episodes: int = EPISODES) -> np.ndarray:
    return np.random.default_rng(2).choice(np.array(["red", "blue"], object), episodes * STEPS)


def notes(source: Any, **given: Any) -> list[str]:
    of_table = {"episode": "unit"} if isinstance(source, str) else {}
    data = ArrayDataModule(source, **{"lanes": 2, "seed": 1} | of_table | given)
    found = said(lambda: data.task) + said(lambda: data.setup("fit"))
    return [x for x in found if SAID in x]


def test_a_class_with_one_or_two_rows_is_named_with_its_rows_and_episodes_in_each_split(tmp_path: Path) -> None:
    y = colours()
    y[:2] = "green"
    (found,) = notes(table(tmp_path, y), test_share=0.2)
    assert "own.parquet: 1 of the 3 classes of 'y' can hardly be learned or measured: 'green' (" in found
    counts = found.partition("'green' (")[2].partition(")")[0].split(", ")
    assert [x.partition(" ")[0] for x in counts] == ["train", "val", "test"]
    assert sorted(x.partition(" ")[2] for x in counts) == ["2 outcomes in 1 episode", "none", "none"]
    assert "join it to another one, or leave y empty there (val and test can name files of episodes that" in found
    assert "read as numbers" not in found


def test_a_class_of_one_split_alone_is_named_however_often_it_occurs(tmp_path: Path) -> None:
    train, others = colours(), colours(20)
    train[::10] = "green"
    others[:3] = "pink"
    files = {"val": table(tmp_path, others, "val", 20), "test": table(tmp_path, others, "test", 20)}
    number = {"red": 0, "blue": 1, "green": 2, "pink": 3}
    assert len(notes(table(tmp_path, train), **{name: table(tmp_path, colours(20), name, 20) for name in files})) == 1
    coded = {name: table(tmp_path, [number[x] for x in others], name, 20) for name in files}
    (found,) = notes(table(tmp_path, [number[x] for x in train]), **coded)
    assert "2 of the 4 classes" in found
    assert "class 3 (train none, val 3 outcomes in 1 episode, test 3 outcomes in 1 episode)" in found
    assert "class 2 (train 100 outcomes in 100 episodes, val none, test none)" in found
    assert "can name files" not in found
    assert found.endswith("counts and levels can be read as numbers (y_type='vector')")


def test_frequent_classes_numbers_and_few_episodes_are_not_named(tmp_path: Path) -> None:
    assert notes(table(tmp_path, colours())) == []
    assert notes(table(tmp_path, np.random.default_rng(3).normal(size=EPISODES * STEPS))) == []
    once = colours(20)
    once[:4] = "green"
    assert notes(table(tmp_path, once, episodes=20)) == [], "two validation episodes may lack any class"
    assert notes(table(tmp_path, ["red"] * (EPISODES * STEPS))) == []


def test_of_very_many_classes_their_number_alone_is_said(tmp_path: Path) -> None:
    words = np.unique(np.random.default_rng(1).zipf(1.5, (EPISODES, 50)) % 2000, return_inverse=True)[1]
    words = words.reshape(EPISODES, 50)
    (found,) = notes(lambda: iter((np.eye(4)[np.arange(50) % 4], y) for y in words))
    assert "can hardly be learned or measured: they have one or two outcomes, or" in found
    assert "class " not in found
    assert "episode that" not in found
    assert len(found) < 300


def test_of_some_classes_five_are_named(tmp_path: Path) -> None:
    y = colours()
    y[::25] = [f"rare {n}" for n in range(40)]
    (found,) = notes(table(tmp_path, y))
    assert "40 of the 42 classes" in found
    assert found.count("'rare ") == 5
    assert "), ...; give more episodes" in found


def test_the_command_line_names_its_own_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    y = colours()
    y[:2] = "green"
    given = ["--model=MemUP", "--data=ArrayDataModule", "--data.episode=unit", "--data.lanes=2", "--seed_everything=1"]
    with pytest.warns(UserWarning, match=r"\(--data.val and --data.test can name files"):
        main(
            ["fit", *given, f"--data.train={table(tmp_path, y)}", "--trainer.fast_dev_run=1", "--trainer.logger=false"]
        )
