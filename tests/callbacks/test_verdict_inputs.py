"""What a verdict advises where a memory memorizes a table: fewer columns, or columns combined, and more episodes."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.callbacks.verdict.command import whole_command, without_options
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule, TMazeDataModule
from tests.callbacks.made_runs import FLAT, HALF, HELD, NOTHING, STANDING, judged, run, split
from tests.command_line import tiny

MANY = ("load", "oil temp", "c", "d", "e", "f")
OLD = "leave out inputs that cannot matter"
COMBINED = "combine columns by what you know of them"


def of_table(columns: tuple[str, ...]) -> dict[str, Measurements]:
    val, train, few = split(-1.4), split(0.9), {"rare": 0.01, "columns": columns, "chunk_length": 200}
    return {
        "memorized": run(val, train, columns=columns),
        "overfitted": run(val, train, columns=columns, history=HELD),
        "partly_explained": run(HALF, history=STANDING, **few),
        "blind": run(NOTHING, history=FLAT, **few),
    }


def partly_memorized(**given: Any) -> dict[str, Measurements]:
    """Runs that explain a part of other episodes, and memorize."""
    soon = STANDING[:5]
    return {
        "stands, and went back to its best weights": run(HALF, history=STANDING, memorized=True, **given),
        "stands, and explains more of training episodes": run(HALF, split(0.59), history=STANDING, **given),
        "may rise, and went back to its best weights": run(HALF, history=soon, memorized=True, **given),
        "may rise, and explains more of training episodes": run(HALF, split(0.59), history=soon, **given),
    }


@pytest.mark.parametrize("name", of_table(()))
def test_of_many_columns_the_suspected_ones_are_read_first(name: str) -> None:
    found = judged(of_table(MANY)[name])[0]
    advice = str(found.try_first)
    assert found.name == name
    assert advice.startswith("read only the two to four of the 6 columns that you suspect")
    assert "one at a time while val/average_precision rises (or val/nll falls)" in advice
    assert OLD not in advice
    assert whole_command(["fit"], advice, None, False) is None, "nothing to paste that does not help"


@pytest.mark.parametrize("name", of_table(()))
def test_the_columns_on_which_predictions_depend_are_read_first(name: str) -> None:
    found = judged(replace(of_table(MANY)[name], used_columns=("load", "oil temp")))[0]
    advice = str(found.try_first)
    assert found.name == name
    assert advice.startswith("read only those of the 6 columns on which predictions of validation episodes depend: ")
    assert "one at a time while val/average_precision rises (or val/nll falls)" in advice
    command = whole_command(["fit", "--data.x", "[load, c, d, e, f]", "--data.y=trip"], advice, None, False)
    assert command == "memup fit --data.y=trip '--data.x=[load, \"oil temp\"]'"
    assert "--data.x" not in without_options(advice)


def test_a_run_that_uses_nearly_all_columns_is_advised_those_that_its_user_suspects() -> None:
    found = judged(replace(of_table(MANY)["memorized"], used_columns=MANY[:5]))[0]
    assert str(found.try_first).startswith("read only the two to four of the 6 columns that you suspect")


def test_a_run_that_left_out_columns_says_which_and_is_not_advised_to_leave_out_more() -> None:
    first, *others = judged(replace(of_table(MANY)["memorized"], read_columns=("load", "f")))
    assert "suspect" not in str(first.try_first)
    [said] = [x.sentence for x in others if x.name == "columns_left_out"]
    assert "read load, f alone" in said
    assert "did not depend on oil temp, c, d, e" in said
    assert "columns_left_out" not in {x.name for x in judged(of_table(MANY)["memorized"])}


@pytest.mark.parametrize("name", of_table(()))
def test_of_few_columns_more_episodes_come_first_and_none_is_left_out(name: str) -> None:
    found = judged(of_table(MANY[:4])[name])[0]
    advice = str(found.try_first)
    assert found.name == name
    assert "more training episodes" in advice or "4 to 8 times as many" in advice
    assert advice.index("training episodes") < advice.index(COMBINED)
    assert OLD not in advice
    assert "suspect" not in advice
    assert whole_command(["fit"], advice, None, False) is None


@pytest.mark.parametrize("case", partly_memorized())
def test_a_memory_that_memorizes_is_advised_fewer_columns_where_it_explains_a_part_too(case: str) -> None:
    many = judged(partly_memorized(columns=MANY)[case])[0]
    assert many.name == "partly_explained"
    assert str(many.try_first).startswith("read only the two to four of the 6 columns that you suspect")
    assert str(many.try_first).endswith("; else give more training episodes, 4,096 say")
    few = str(judged(partly_memorized(columns=MANY[:4])[case])[0].try_first)
    assert few == f"give more training episodes, 4,096 say; or {few[few.index(COMBINED) :]}"
    made = judged(partly_memorized(columns=MANY, episodes_option="num_train")[case])[0]
    assert made.try_first == "give more training episodes: --data.init_args.num_train=4096"


def test_what_is_no_table_is_advised_as_ever() -> None:
    for name, measurements in of_table(()).items():
        advice = str(judged(measurements)[0].try_first)
        assert advice.startswith(OLD), name
    made = judged(run(split(-1.4), split(0.9), episodes_option="num_train", columns=MANY))[0]
    assert str(made.try_first) == "make more training episodes: --data.init_args.num_train=4096"


def test_numbers_have_no_average_precision() -> None:
    found = judged(run(split(-1.4), split(0.9), columns=MANY, outcome="number"))[0]
    assert "while val/nll falls" in str(found.try_first)


def test_a_gain_that_stands_does_not_advise_more_updates() -> None:
    assert "train longer" not in str(judged(of_table(MANY)["partly_explained"])[0].try_first)


printable = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(printable | st.sampled_from("\n\t"), min_size=1), min_size=5, max_size=5, unique=True))
def test_a_command_names_any_columns_as_they_are(names: list[str]) -> None:
    found = judged(run(split(-1.4), split(0.9), columns=tuple(names), used_columns=tuple(names[:2])))[0]
    command = whole_command(["fit"], str(found.try_first), None, False)
    assert command is not None
    option = shlex.split(command)[-1]
    assert yaml.safe_load(option.removeprefix("--data.x=")) == names[:2]


def write_table(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(1)
    columns: dict[str, Any] = {name: draw.standard_normal(120) for name in MANY}
    columns |= {"episode": np.repeat(np.arange(12), 10), "y": draw.integers(0, 2, 120)}
    pandas.DataFrame(columns).to_parquet(path)


def test_a_table_knows_its_columns_and_arrays_have_none(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet")
    data = ArrayDataModule(str(tmp_path / "a.parquet"), lanes=2)
    assert data.table_columns == ()
    data.setup("fit")
    assert data.table_columns == MANY
    fewer = ArrayDataModule(str(tmp_path / "a.parquet"), x=["c", "oil temp"], lanes=2)
    fewer.setup("fit")
    assert fewer.table_columns == ("c", "oil temp")
    x = np.zeros((8, 5, 3))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(8) % 2)
    arrays = ArrayDataModule(str(tmp_path / "a.npz"), x=["x"], lanes=2)
    arrays.setup("fit")
    assert arrays.table_columns == ()
    assert TMazeDataModule(length=12).table_columns == ()


def test_the_command_line_reads_the_columns_that_are_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "a.parquet")
    config = tiny(Path())
    config["data"] = {"class_path": "ArrayDataModule", "init_args": {"train": "a.parquet", "lanes": 2}}
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    advice = str(judged(run(split(-1.4), split(0.9), columns=MANY, used_columns=MANY[:2]))[0].try_first)
    command = whole_command(["fit", "--config=tiny.yaml", "--trainer.max_steps=1"], advice, None, False)
    assert command is not None
    done = main(shlex.split(command)[1:])
    assert done.datamodule.table_columns == MANY[:2]
