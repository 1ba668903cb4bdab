"""A key of a part whose class was not named: which classes have the key, and how one of them is named."""

from __future__ import annotations

import pytest

from memup_lightning.cli.main import main


def complaint(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    with pytest.raises(SystemExit):
        main(["fit", "--model=MemUP", "--data=TMazeDataModule", *options])
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "named", "absent"),
    [
        ("--trainer.profiler.dirpath", "--trainer.profiler AdvancedProfiler --trainer.profiler.dirpath X", "XLA"),
        ("--model.uncertainty.samples", "choose among AverageSurprise", "abstract"),  # and others, of other tests too
    ],
)
def test_a_key_without_a_class_names_the_classes_that_have_it(
    option: str, named: str, absent: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = complaint(capsys, option, "X")
    assert named in said
    assert absent not in said


def test_a_folder_of_a_logger_without_a_class_names_the_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--trainer.logger.save_dir", "X")
    assert "--trainer.logger CSVLogger --trainer.logger.save_dir X (or " in said
    assert "WandbLogger" in said
    assert "abstract" not in said
    assert "did you mean 'name'?" in complaint(capsys, "--trainer.logger.nme", "X")


def test_a_base_class_by_its_name_is_called_abstract(capsys: pytest.CaptureFixture[str]) -> None:
    said = complaint(capsys, "--trainer.logger=Logger")
    assert "trainer.logger=Logger: is abstract; did you mean CSVLogger" in said
