"""The code and the commands of pages run as they are printed, one after another, with little data and few updates."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pyarrow
import pytest
import yaml
from pyarrow import parquet

from benchmarks.readme import code_block
from memup_lightning import FieldSpec
from memup_lightning.cli.main import MemUPCLI, main
from tests.cli.test_conf import tiny
from tests.cli.test_documentation import FEW_PLAYED, TINY
from tests.command_line import ROOT

SHORT = [x for x in TINY if "enable_checkpointing" not in x]
SERVING, OTHERS = "docs/running/serving.md", "docs/start/other-libraries.md"
SMALL_PPO = 'PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1)'


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def execute(code: str, names: dict[str, Any], changes: Mapping[str, str] | None = None) -> None:
    """Run a code block, with what takes long or is not there replaced."""
    for part, other in (changes or {}).items():
        assert part in code
        code = code.replace(part, other)
    exec(code, names)


def commands(page: str, text: str) -> list[list[str]]:
    """The arguments of the ``memup`` commands of the block of a page that holds a text."""
    lines = code_block(page, "bash", text).replace("\\\n", " ").splitlines()
    split = [shlex.split(line, comments=True) for line in lines]
    return [rest for program, *rest in filter(None, split) if program == "memup"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, from which modules are imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["memup"])
    for module in ("warehouse", "my_package"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return tmp_path


def test_a_training_in_python_runs_as_its_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training, loading = blocks("docs/start/python.md", "python")
    names: dict[str, Any] = {}
    small = {"default_callbacks())": "default_callbacks(), enable_progress_bar=False)", "61, 1000": "61, 40"}
    execute(training, names, small | {"max_steps=600": "max_steps=4"})
    printed = capsys.readouterr().out
    assert "verdict: " in printed
    assert names["trainer"].callback_metrics["test/accuracy"] >= 0
    assert names["predictions"].probabilities.shape[1] == 2
    again = dict(names)
    execute(loading, again)
    one = again["predictor"].run({"x": names["x"], "lengths": [len(names["x"])]})
    np.testing.assert_allclose(one.probabilities, names["predictions"].probabilities, atol=1e-6)


@pytest.mark.slow
def test_a_memory_is_given_to_other_libraries_as_readme_and_page_say(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("stable_baselines3")
    (folder / "warehouse.py").write_text(code_block("README.md", "python", "class Warehouse"))
    (command,) = commands("README.md", "Warehouse-v0")
    cli = main([*command, *SHORT, *FEW_PLAYED])
    small = {'PPO("MultiInputPolicy", env)': SMALL_PPO}
    execute(code_block("README.md", "python", "MemoryObservation"), {}, small | {"100_000": "8"})

    names: dict[str, Any] = {"data": cli.datamodule}
    first, processes, vector, scaled, arrays, steps = blocks(OTHERS, "python")
    execute(first, names, small | {"200_000": "8"})
    execute(processes, names, {"env = make_vec_env(...": "# env = make_vec_env(...", "n_envs=8": "n_envs=2"})
    assert names["env"].num_envs == 2
    execute(vector, names, {"num_envs=64": "num_envs=3"})
    assert names["env"].observation_space["memory"].shape == (3, 64)
    execute(scaled, names, small | {"MyEnv-v0": "Warehouse-v0", "200_000": "8", "n_envs=8": "n_envs=1"})
    assert (folder / "scale.pkl").exists()
    rng = np.random.default_rng(0)
    names |= {"s": rng.normal(size=(5, 4)).astype(np.float32), "f": np.zeros(5, np.int64)}
    names |= {"a": np.ones(5, np.int64), "r": np.zeros(5, np.float32), "is_first": np.zeros(5, np.bool_)}
    execute(arrays, names)
    assert [x.shape for x in names["states"]] == [(5, 64)]
    execute(steps, names)
    assert names["m"].shape == (5, 64)


def machines(number: int) -> dict[str, list[Any]]:
    """Rows of machines, of which half are worn at their last."""
    rng = np.random.default_rng(number)
    columns: dict[str, list[Any]] = {"machine": [f"M{n // 9:03d}" for n in range(9 * number)]}
    columns["speed"] = rng.normal(10, 2, 9 * number).tolist()
    columns["mode"] = [str(x) for x in rng.choice(["idle", "run"], 9 * number)]
    state = [["fine", "worn"][n // 9 % 2] if n % 9 == 8 else None for n in range(9 * number)]
    return columns | {"wear": state}


def trained_on_machines(folder: Path) -> MemUPCLI:
    parquet.write_table(pyarrow.table(machines(20)), folder / "machines.parquet")
    new = {name: x for name, x in machines(4).items() if name != "wear"}
    parquet.write_table(pyarrow.table(new), folder / "new.parquet")
    data = ["--data=ArrayDataModule", "--data.train=machines.parquet", "--data.y=wear", "--data.episode=machine"]
    return main(["fit", "--model=MemUP", *data, *SHORT])


def test_a_trained_model_predicts_as_the_page_on_serving_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained_on_machines(folder)
    main([*commands(SERVING, "--on new.parquet\n")[0], "--trainer.accelerator=cpu"])
    (csv,) = (folder / "lightning_logs").rglob("predictions.csv")
    assert csv.read_text().startswith("episode,machine,")
    main([*commands(SERVING, "PredictionWriter")[0], "--trainer.accelerator=cpu"])
    (table,) = (folder / "lightning_logs").rglob("predictions.parquet")
    assert {"machine", "row", "probability_worn", "m_0"} <= set(parquet.read_table(table).column_names)
    names: dict[str, Any] = {}
    execute(code_block(SERVING, "python", "Predictor.load"), names)
    assert len(names["table"]["risk"]) == 36
    assert parquet.read_table("predictions.parquet").num_rows == 36
    assert capsys.readouterr().out.count("(64,)") == 9


@pytest.mark.slow
def test_an_exported_model_computes_as_the_page_on_serving_says(folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    trained_on_machines(folder)
    (command,) = commands(SERVING, "memup export")
    main(command)
    names: dict[str, Any] = {}
    execute(code_block(SERVING, "python", "onnxruntime"), names)
    fields = {"x": np.zeros(1, np.float32), "mode": np.zeros(1, np.int64)}
    found, state = names["step"](fields, names["state"])
    again, _ = names["step"](fields, state)
    assert found["probabilities"].shape == again["probabilities"].shape == (1, 2)


def test_a_run_on_a_table_is_used_and_continued_as_its_page_says(folder: Path) -> None:
    trained_on_machines(folder)
    test, predict, fit = commands("docs/tasks/arrays.md", "# continues")
    for command in (test, predict):
        main([*command, "--trainer.accelerator=cpu"])
    fit[fit.index("4000")] = "6"
    assert main([*fit, "--trainer.accelerator=cpu"]).trainer.global_step == 6


@pytest.mark.slow
def test_an_agent_acts_in_python_as_its_page_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("tmaze", "tmaze_ppo")):
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(tiny(ROOT / "conf" / f"{name}.yaml")))
        main(["fit", "--config", f"{number}.yaml"])
    names: dict[str, Any] = {"env": gymnasium.make("memup_lightning.envs:memup/TMaze-v0", length=60)}
    for text in ('Agent.load("runs/tmaze_ppo")', "agent.act"):
        execute(code_block("docs/start/agents.md", "python", text), names)
    assert names["over"]


def test_a_cloned_policy_plays_as_the_page_of_agents_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "clone.yaml").write_text(yaml.safe_dump(tiny(ROOT / "conf" / "passive_tmaze.yaml")))
    main(["fit", "--config", "clone.yaml"])
    short = {"num_envs=100, length=900": "num_envs=2, length=9", "episodes=100": "episodes=2"}
    execute(code_block("docs/start/agents.md", "python", "agent.play"), {}, short)
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1


@pytest.mark.parametrize(("page", "library"), [("tmaze", "gymnasium"), ("two_colors", "vizdoom")])
def test_an_environment_is_made_as_the_page_of_its_task_says(page: str, library: str) -> None:
    pytest.importorskip(library)
    names: dict[str, Any] = {}
    execute(code_block(f"docs/tasks/{page}.md", "python", "memup/"), names)
    env = names.get("env") or names["mazes"]
    assert env.observation_space.contains(names.get("frame", names.get("observations")))
    env.close()


def test_rare_events_are_ranked_and_sampled_as_their_page_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sklearn")
    pandas = pytest.importorskip("pandas")
    from benchmarks.transformers import simulate

    page = "docs/running/rare-events.md"
    simulate(30, 40, 1).to_parquet("trips.parquet")
    test = simulate(30, 40, 2)
    (command,) = commands(page, "trips.parquet")
    command[command.index("2500")] = "4"
    main([*command, *SHORT])
    rank, outcomes, combine, choose = blocks(page, "python")
    execute(rank, {"test": test})
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1
    names: dict[str, Any] = {
        "pandas": pandas,
        "table": test.assign(mode=np.where(test["load"] > 1.2, "defrost", "run")),
    }
    execute(outcomes, names)
    assert names["table"]["trip"].notna().sum() == (test["load"] > 1.2).sum()
    ovens = pandas.DataFrame({"recipe": ["a", "a", "a", "b"], "temperature": [200, 210, 230, 90]})
    execute(combine, {"train": ovens, "table": ovens})
    assert ovens["deviation"].tolist() == [-10, 0, 20, 0]
    execute(choose, {"pandas": pandas, "table": test.assign(trip=test["trip"] == "trip")}, {"3 * len(faulty)": "2"})
    assert "train.parquet" in {path.name for path in folder.iterdir()}


def test_generated_episodes_are_those_that_the_page_says() -> None:
    names: dict[str, Any] = {}
    execute(code_block("docs/start/your-own.md", "python", "class MyEpisodes"), names)
    fields = {"x": FieldSpec((8,)), "outcome": FieldSpec((), "int64", "token", 2)}
    made = names["MyEpisodes"](fields, 7, np.arange(20))
    arrays = made.generate(np.arange(20), np.tile(np.arange(7), (20, 1)), ["x", "outcome"])
    assert ((arrays["x"][:, 0, 0] > 0) == arrays["outcome"][:, -1]).all()


def test_a_benchmark_takes_the_options_that_a_page_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Understood(Exception):
        pass

    parse = argparse.ArgumentParser.parse_args

    def understand(self: argparse.ArgumentParser, *args: Any) -> None:
        parse(self, *args)
        raise Understood

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", understand)
    pages = [ROOT / "README.md", ROOT / "Makefile", *sorted(ROOT.glob("docs/**/*.md"))]
    line = re.compile(r"^\s*(?:\$\(BIN\)/)?python -m (benchmarks\..*)$", re.MULTILINE)
    texts = [page.read_text().replace("\\\n", " ") for page in pages]
    found = {command.split(" #")[0].strip() for text in texts for command in line.findall(text)}
    assert len(found) > 30
    for command in sorted(found):
        module, *options = shlex.split(command)
        if module == "benchmarks.books":
            continue  # it takes a folder of books
        name = f"{module}.__main__" if (ROOT / module.replace(".", "/")).is_dir() else module
        monkeypatch.setattr(sys, "argv", [module, *options])
        run: Callable[[], Any] = importlib.import_module(name).main
        with pytest.raises(Understood):
            run()
