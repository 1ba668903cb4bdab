"""The command line is the same from a shell and from Python."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memup_lightning.__main__ import run
from memup_lightning.cli.main import main

COMMANDS = {
    "help": (["--help"], 0, "export"),
    "version": (["--version"], 0, "memup "),
    "configs": (["configs", "mine"], None, "memup fit --config mine/tmaze.yaml"),
    "configs of a misspelt option": (["configs", "--folder=a"], 2, "unrecognized arguments"),
    "help of export": (["export", "--help"], 0, "memup export"),
    "export of nothing": (["export", "--ckpt_path=last"], 2, "there is no folder lightning_logs"),
    "a misspelt subcommand": (["exprt"], 2, "exprt"),
    "nothing": ([], 2, "subcommand"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_does_in_python_what_the_program_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, status, said = COMMANDS[name]
    monkeypatch.setattr(sys, "argv", ["memup", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))

    def outcome(folder: str, call: Callable[[], object]) -> tuple[object, str, list[str]]:
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        ended: object = None
        try:
            call()
        except SystemExit as end:
            ended = end.code
        return ended, "".join(capsys.readouterr()), sorted(path.name for path in Path().rglob("*"))

    program = outcome("program", run)
    assert program == outcome("python", lambda: main(arguments))
    assert program[0] == status
    assert said in program[1]
