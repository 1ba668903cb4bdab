"""Help of classes: plain text, and what a user needs within the first screens."""

from __future__ import annotations

import re

import pytest

from memup_lightning.cli.help_text import plain
from memup_lightning.cli.main import main


@pytest.mark.parametrize(
    "option", ["--data.help=ArrayDataModule", "--model.help=MemUP", "--trainer.callbacks.help=Replay"]
)
def test_the_help_of_a_class_is_plain_text_of_the_program(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", option])
    out = capsys.readouterr().out
    assert out.startswith("usage: memup ")
    assert not re.findall(r":\w+:`|``", out)


def help_of(option: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main(["fit", option])
    return " ".join(capsys.readouterr().out.split())


def test_the_help_of_a_class_counts_the_many_subclasses_of_other_packages(capsys: pytest.CaptureFixture[str]) -> None:
    data = help_of("--data.help=GymnasiumDataModule", capsys)
    assert "gymnasium.wrappers.ClipReward" not in data
    assert "memup_lightning.TMazeEnv" in data
    assert data.index("--data.num_train NUM_TRAIN training episodes") < 6000  # characters: the first screens
    model = help_of("--model.help=MemUP", capsys)
    assert "memup_lightning.XLSTM" in model
    assert "torch.nn.ReLU6" not in model
    assert "torch.optim.SGD" in model  # a list that is short enough
    assert "default: LSTM, known subclasses" in model


def test_a_role_of_the_documentation_is_named_by_its_last_part() -> None:
    text = "see :class:`~a.b.Memory`, :func:`c.read` and :meth:`that <a.put>` of ``train``"
    assert plain(text) == "see Memory, c.read and a.put of `train`"


def test_the_help_of_a_subcommand_begins_with_how_to_find_the_keys_of_a_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    first = capsys.readouterr().out.splitlines()[:8]
    assert any("--data.help GymnasiumDataModule" in line for line in first)
    assert any(line.strip().startswith("-h, --help") for line in first)  # the options begin
