"""The command that follows the advice of a verdict."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from memup_lightning.callbacks.verdict.command import whole_command, without_options
from memup_lightning.cli.main import main
from tests.command_line import tiny

LONGER = "continue: --ckpt_path=last --trainer.max_steps=8000"
MORE = "give more training episodes: --data.init_args.num_train=800"
LONG_CHUNKS = "start again with longer chunks: --data.init_args.chunk_length=400; it takes up to 12 times as long"


@pytest.mark.parametrize(
    ("given", "advice", "expected"),
    [
        (
            "fit --data.lanes=8 --trainer.max_steps 20",
            LONGER,
            "--data.lanes=8 --ckpt_path a.ckpt --trainer.max_steps=8000",
        ),
        (
            "fit --trainer.max_time=00:00:04:00 --data.lanes=8",
            LONGER,
            "--data.lanes=8 --ckpt_path a.ckpt --trainer.max_steps=8000",
        ),
        ("fit --trainer.max_time=00:00:04:00", MORE, "--trainer.max_time=00:00:04:00 --data.init_args.num_train=800"),
        ("fit --ckpt_path last --config a.yaml", LONGER, "--config a.yaml --ckpt_path a.ckpt --trainer.max_steps=8000"),
        ("fit --data.num_train=100 --imports='[my env]'", MORE, "'--imports=[my env]' --data.init_args.num_train=800"),
        ("fit --ckpt_path=b.ckpt", LONG_CHUNKS, "--data.init_args.chunk_length=400"),  # a new run
        (
            "fit --model.memory=GRU --model.memory.hidden_size=8",
            "wider: --model.init_args.memory=GRU --model.init_args.memory.hidden_size=16",
            "--model.memory=GRU --model.init_args.memory=GRU --model.init_args.memory.hidden_size=16",
        ),
    ],
)
def test_a_command_has_the_options_of_the_run_and_those_of_the_advice_in_place_of_its_own(
    given: str, advice: str, expected: str
) -> None:
    assert whole_command(shlex.split(given), advice, "a.ckpt", "ckpt" in given) == f"memup fit {expected}"


def test_no_command_follows_from_words_alone_and_none_continues_without_a_checkpoint() -> None:
    assert (
        whole_command(["fit"], "validate before the end: a smaller --trainer.val_check_interval", None, False) is None
    )
    assert whole_command(["fit"], LONGER, None, False) == "memup fit --trainer.max_steps=8000"
    resumed = whole_command(["fit", "--config=a.yaml"], MORE, None, True)  # the config names the checkpoint
    assert resumed == "memup fit --config=a.yaml --ckpt_path=null --data.init_args.num_train=800"


def test_the_words_of_an_advice_are_left_where_its_options_are_in_a_command() -> None:
    assert without_options(LONGER) == "continue"
    assert without_options(LONG_CHUNKS) == "start again with longer chunks; it takes up to 12 times as long"


def test_the_command_that_a_run_prints_continues_this_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tiny(Path())
    config["trainer"]["callbacks"] = [{"class_path": "RunReport", "init_args": {"pictures": False}}]
    Path("tiny.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "tiny.yaml", "--data.lanes=2", "--trainer.max_steps=2"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("try it: ")]
    folder = Path("runs/tiny/version_0")
    summary = json.loads((folder / "summary.json").read_text())["verdict"]
    assert line == f"try it: {summary['command']}"
    assert "--ckpt_path=last" in summary["findings"][0]["try_first"]
    args = shlex.split(summary["command"])
    assert args[:6] == ["memup", "fit", "--config", "tiny.yaml", "--data.lanes=2", "--ckpt_path"]
    assert args[6] == str(folder / "checkpoints" / "last.ckpt")
    main(["fit", "--config", "tiny.yaml", "--data.lanes=2", "--trainer.max_steps=2"])  # the newest run is another one
    again = main([*args[1:-1], "--trainer.max_steps=3"])
    assert again.trainer.global_step == 3
    assert again.trainer.ckpt_path == args[6]
    with pytest.warns(UserWarning, match="the run that trained this memory ended with the verdict"):
        main(["test", "--config", "tiny.yaml", "--ckpt_path", args[6]])
