"""What a verdict advises where a memory memorizes a table: fewer columns, or columns combined, and more episodes."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from memup_lightning.callbacks.verdict.command import whole_command, without_options
from memup_lightning.callbacks.verdict.measuring import measure as measuring
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.judge import judge
from memup_lightning.cli.main import main
from memup_lightning.datamodules import ArrayDataModule, GymnasiumDataModule, TMazeDataModule
from memup_lightning.modules import MemUP
from memup_lightning.protocols.columns import InputColumns
from tests.callbacks.made_runs import FLAT, HALF, HELD, NOTHING, STANDING, changed, judged, run, split, table
from tests.command_line import tiny

MANY = ("load", "oil temp", "c", "d", "e", "f")
OLD = "leave out inputs that cannot matter"
COMBINED = "combine columns by what you know of them"


def of_table(columns: tuple[str, ...]) -> dict[str, Measurements]:
    val, train, few = split(-1.4), split(0.9), {"rare": 0.01, "inputs": table(columns), "chunk_length": 200}
    return {
        "memorized": run(val, train, inputs=table(columns)),
        "overfitted": run(val, train, inputs=table(columns), history=HELD),
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
    found = judged(changed(of_table(MANY)[name], used_columns=("load", "oil temp")))[0]
    advice = str(found.try_first)
    assert found.name == name
    assert advice.startswith("read only those of the 6 columns on which predictions of validation episodes depend: ")
    assert "one at a time while val/average_precision rises (or val/nll falls)" in advice
    command = whole_command(["fit", "--data.x", "[load, c, d, e, f]", "--data.y=trip"], advice, None, False)
    assert command == "memup fit --data.y=trip '--data.x=[load, \"oil temp\"]'"
    assert "--data.x" not in without_options(advice)


def test_a_run_that_uses_nearly_all_columns_is_advised_those_that_its_user_suspects() -> None:
    found = judged(changed(of_table(MANY)["memorized"], used_columns=MANY[::-1][:5]))[0]
    advice = str(found.try_first)
    assert advice.startswith("read only the two to four of the 6 columns that you suspect")
    assert "; predictions of validation episodes depend most on f, e, d, c); then add others" in advice
    assert whole_command(["fit"], advice, None, False) is None


def test_a_run_that_left_out_columns_says_which_and_is_not_advised_to_leave_out_more() -> None:
    first, *others = judged(changed(of_table(MANY)["memorized"], read_columns=("load", "f")))
    assert "suspect" not in str(first.try_first)
    [said] = [x.sentence for x in others if x.name == "columns_left_out"]
    assert "read load, f alone" in said
    assert "did not depend on oil temp, c, d, e" in said
    assert "columns_left_out" not in {x.name for x in judged(of_table(MANY)["memorized"])}


def test_many_columns_are_named_as_a_reason_for_memorizing() -> None:
    many, few = (judged(of_table(MANY[:number])["memorized"])[0].sentence for number in (6, 4))
    assert "or the episodes are too few for the 6 columns that are read." in many
    assert "or the episodes are too few." in few


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
    many = judged(partly_memorized(inputs=table(MANY))[case])[0]
    assert many.name == "partly_explained"
    assert str(many.try_first).startswith("read only the two to four of the 6 columns that you suspect")
    assert str(many.try_first).endswith("; else give more training episodes, 4,096 say")
    few = str(judged(partly_memorized(inputs=table(MANY[:4]))[case])[0].try_first)
    assert few == f"give more training episodes, 4,096 say; or {few[few.index(COMBINED) :]}"
    made = judged(partly_memorized(inputs=table(MANY), episodes_option="num_train")[case])[0]
    assert made.try_first == "give more training episodes: --data.init_args.num_train=4096"


def test_what_is_no_table_is_advised_as_ever() -> None:
    for name, measurements in of_table(()).items():
        advice = str(judged(measurements)[0].try_first)
        assert advice.startswith(OLD), name
    made = judged(run(split(-1.4), split(0.9), episodes_option="num_train", inputs=table(MANY)))[0]
    assert str(made.try_first) == "make more training episodes: --data.init_args.num_train=4096"


def test_numbers_have_no_average_precision() -> None:
    found = judged(run(split(-1.4), split(0.9), inputs=table(MANY), outcome="number"))[0]
    assert "while val/nll falls" in str(found.try_first)


def test_a_gain_that_stands_does_not_advise_more_updates() -> None:
    assert "train longer" not in str(judged(of_table(MANY)["partly_explained"])[0].try_first)


printable = st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(printable | st.sampled_from("\n\t"), min_size=1), min_size=5, max_size=5, unique=True))
def test_a_command_names_any_columns_as_they_are(names: list[str]) -> None:
    found = judged(run(split(-1.4), split(0.9), inputs=table(names), used_columns=tuple(names[:2])))[0]
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
    assert data.input_columns == table(MANY)


def read_of(source: Any, **given: Any) -> InputColumns | None:
    data = ArrayDataModule(source, lanes=2, **given)
    data.setup("fit")
    return data.input_columns


def test_columns_of_one_array_have_numbers_and_several_arrays_are_named(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    wide, y = draw.standard_normal((40, 5, 6)), np.arange(40) % 2
    np.savez(tmp_path / "a.npz", x=wide, other=wide[..., 0], deep=wide[..., None], y=y)
    file = str(tmp_path / "a.npz")
    numbered = InputColumns(tuple(f"x[{n}]" for n in range(6)), None, "x", tuple(range(6)))
    assert read_of(file) == numbered
    assert read_of(lambda: iter(zip(wide, y, strict=True))) == numbered
    assert read_of(file, x=["other"]) == InputColumns(("x",), None, "other", (0,))
    assert read_of(file, x=["x", "other"]) == InputColumns((), setting="data.x")
    assert read_of(file, x=["deep"]) is None


def test_entries_of_an_observation_have_the_numbers_of_the_environment() -> None:
    for observed, numbers in ((None, (0, 1, 2, 3)), ([1, 3], (1, 3))):
        data = GymnasiumDataModule("CartPole-v1", observed=observed)
        names = tuple(f"observation[{n}]" for n in range(len(numbers)))
        assert data.input_columns == InputColumns(names, "data.observed", "the observation", numbers)
    assert TMazeDataModule(length=12).input_columns is None
    assert GymnasiumDataModule("FrozenLake-v1").input_columns is None


ARRAY = InputColumns(tuple(f"x[{n}]" for n in range(12)), None, "x", tuple(range(12)))
ENTRIES = InputColumns(
    tuple(f"observation[{n}]" for n in range(6)), "data.observed", "the observation", (9, 8, 7, 6, 5, 4)
)


@pytest.mark.parametrize("write", [judge, judged], ids=["Python", "command line"])
def test_of_one_array_a_slice_is_advised_and_no_option(write: Callable[[Measurements], list[Finding]]) -> None:
    given = run(split(-1.4), split(0.9), inputs=ARRAY)
    used = str(write(changed(given, used_columns=("x[10]", "x[3]")))[0].try_first)
    assert used.startswith(
        "read only those of the 12 columns of x on which predictions of validation episodes depend: "
    )
    assert "give x[..., [3, 10]] in place of x; then add others one at a time" in used
    suspected = str(write(given)[0].try_first)
    assert suspected.startswith(
        "read only the two to four of the 12 columns of x that you suspect (x[..., [0, 2]] in place"
    )
    few = str(write(changed(given, inputs=InputColumns(ARRAY.names[:3], None, "x", (0, 1, 2))))[0].try_first)
    assert few.startswith("collect 2,048 to 4,096 training episodes")
    nothing = str(write(changed(given, inputs=InputColumns(())))[0].try_first)
    assert nothing.startswith("leave out inputs that cannot matter, since their noise is what is memorized; else check")
    for advice in (used, suspected, few, nothing):
        assert "data.x" not in advice
        assert "--" not in advice


def test_several_arrays_and_entries_of_an_observation_are_left_out_by_their_settings() -> None:
    given = run(split(-1.4), split(0.9), inputs=InputColumns((), setting="data.x"))
    assert "(--data.x names the arrays that are read)" in str(judged(given)[0].try_first)
    assert "(x names the arrays that are read)" in str(judge(given)[0].try_first)
    given = changed(given, inputs=ENTRIES, used_columns=("observation[1]", "observation[5]"))
    assert ": --data.observed=[4, 8]; then" in str(judged(given)[0].try_first)
    assert ": observed=[4, 8]; then" in str(judge(given)[0].try_first)
    suspected = str(judged(changed(given, used_columns=()))[0].try_first)
    assert "of the 6 columns of the observation that you suspect (--data.observed gives their numbers)" in suspected
    advice = str(judged(given)[0].try_first)
    command = whole_command(["fit", "--data.init_args.observed=[4, 5, 6, 7, 8, 9]"], advice, None, False)
    assert command == "memup fit '--data.observed=[4, 8]'"


@pytest.mark.parametrize(("columns", "measured"), [(4, 0), (6, 1), (65, 0)])
def test_columns_of_an_array_are_measured_where_some_may_be_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int, measured: int
) -> None:
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(1).standard_normal((40, 5, columns)), y=np.arange(40) % 2)
    data = ArrayDataModule(str(tmp_path / "a.npz"), lanes=4)
    calls: list[Any] = []
    monkeypatch.setattr(measuring, "used_columns", lambda *given: calls.append(given[2]) or ("x[1]",))
    model = MemUP(data.task)
    data.setup("fit")
    found = measuring.measure(model, data, updates=1)
    assert [list(x) for x in calls] == [[f"x[{n}]" for n in range(columns)]] * measured
    assert found.columns.used == (("x[1]",) if measured else ())
    assert json.loads(json.dumps(found.to_dict()["columns"]["inputs"]))["array"] == "x"


def test_the_command_line_reads_the_columns_that_are_advised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "a.parquet")
    config = tiny(Path())
    config["data"] = {"class_path": "ArrayDataModule", "init_args": {"train": "a.parquet", "lanes": 2}}
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    advice = str(judged(run(split(-1.4), split(0.9), inputs=table(MANY), used_columns=MANY[:2]))[0].try_first)
    command = whole_command(["fit", "--config=tiny.yaml", "--trainer.max_steps=1"], advice, None, False)
    assert command is not None
    done = main(shlex.split(command)[1:])
    assert done.datamodule.table_columns == MANY[:2]
