"""What a run prints until its end, and which loggers get its pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from pytorch_lightning.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger

from memup_lightning.callbacks import Progress, RunSummary
from memup_lightning.cli.main import main
from memup_lightning.modules import TBPTT
from memup_lightning.runs.loggers import log_picture
from tests.command_line import tiny
from tests.modules.small_runs import data_of, model_of, often
from tests.training import quiet_trainer


def printed(capsys: pytest.CaptureFixture[str], *callbacks: Any, kind: Any = None, updates: int = 20) -> str:
    data = data_of()
    model = model_of(data, kind) if kind else model_of(data)
    made = [*callbacks, *([] if kind else [often()])]
    settings: dict[str, Any] = {"val_check_interval": 10, "check_val_every_n_epoch": None}
    quiet_trainer(updates, made, enable_progress_bar=Progress in map(type, made), **settings).fit(model, data)
    return capsys.readouterr().out


def test_without_a_terminal_every_evaluation_prints_one_line_and_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for line in printed(capsys, Progress()).splitlines() if "update" in line]
    assert [line.split(":")[0] for line in lines] == ["update 10", "update 20"]
    assert all("within the tolerance 0." in line and "updates/s" in line and "\r" not in line for line in lines)
    assert "memory gain" in lines[1]


def test_a_bar_shows_gain_and_error(tmp_path: Path) -> None:
    data, bar = data_of(), Progress()
    settings: dict[str, Any] = {"val_check_interval": 10, "check_val_every_n_epoch": None}
    logger = CSVLogger(tmp_path)
    trainer = quiet_trainer(20, [bar, often()], enable_progress_bar=True, logger=logger, **settings)
    trainer.fit(model := model_of(data), data)
    shown = bar.get_metrics(trainer, model)
    assert {"val/memory_gain", "val/mse"} <= set(shown)
    assert "v_num" not in shown


def test_a_line_between_two_evaluations_says_of_which_update_the_last_one_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("memup_lightning.callbacks.terminal.progress._SILENCE", 0.0)
    found = [line for line in printed(capsys, Progress()).splitlines() if "update" in line]
    lines = {line.split(":")[0]: line for line in found}
    assert list(lines) == [line.split(":")[0] for line in found] == [f"update {n}" for n in range(1, 21)]
    evaluated = lines["update 10"].removeprefix("update 10: ")
    gain = evaluated[: evaluated.index(" bits") + 5]
    assert "updates/s" in evaluated
    before, between = lines["update 9"], lines["update 11"]
    assert "(" not in before
    assert "tolerance" not in before
    assert between.startswith("update 11: loss ")
    assert f"updates/s ({gain}" in between
    assert between.endswith(" at update 10)")


def test_a_line_says_that_no_targets_are_chosen_yet_and_not_of_a_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    data = data_of()
    quiet_trainer(10, [Progress()], enable_progress_bar=True, val_check_interval=10, check_val_every_n_epoch=None).fit(
        model_of(data), data
    )
    assert "update 10: within the tolerance 0.000" in (out := capsys.readouterr().out)
    assert "no targets chosen yet" in out
    assert "no targets" not in printed(capsys, Progress(), kind=TBPTT)


def test_the_summary_names_data_networks_and_the_length_of_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    out = " ".join(printed(capsys, RunSummary(), updates=1).replace("│", " ").split())
    for text in (
        "24 training episodes of 20 to 30 steps, 8 for validation",
        "reward (a number)",
        "5 steps (r), in 8 lanes",
        "of the later steps of an episode, by Proportional",
        "LSTM (",
        "CPU",
    ):
        assert text in out


def test_the_command_line_prints_what_is_trained_and_one_line_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tiny(tmp_path)
    given["trainer"] |= {"enable_progress_bar": True, "enable_model_summary": True}
    given["trainer"]["callbacks"].append({"class_path": "RunReport", "init_args": {"pictures": False}})
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(given))
    main(["fit", "--config", str(tmp_path / "tiny.yaml")])
    out = capsys.readouterr().out
    assert out.index("what is trained") < out.index("update ") < out.index("the run")
    assert "FLOPs" not in out
    assert "it/s" not in out


class Experiment:
    """Records what is sent to it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def add_image(self, tag: str, pixels: Any, step: int, dataformats: str) -> None:
        self.sent.append((tag, pixels.shape, step, dataformats))

    def log_artifact(self, run: str, path: str, folder: str) -> None:
        self.sent.append((run, Path(path).name, folder))


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (TensorBoardLogger, ("pictures/gain", (2, 3, 3), 7, "HWC")),
        (MLFlowLogger, ("a run", "gain.png", "pictures")),
    ],
)
def test_tensorboard_and_mlflow_get_the_pictures(tmp_path: Path, base: Any, expected: Any) -> None:
    class Logger(base):  # type: ignore[misc]
        experiment, run_id = Experiment(), "a run"

        def __init__(self) -> None:
            pass

    class Run:
        loggers, global_step = [logger := Logger()], 7

    Image.fromarray(np.zeros((2, 3, 4), np.uint8)).save(tmp_path / "gain.png")
    log_picture(Run(), "gain", tmp_path / "gain.png")  # type: ignore[arg-type]
    assert Run.logger.experiment.sent == [expected]


def test_the_update_of_the_first_targets_is_the_one_of_the_learning_curve(caplog: pytest.LogCaptureFixture) -> None:
    data, refresh = data_of(), often()
    with caplog.at_level("INFO"):
        quiet_trainer(10, [refresh]).fit(model_of(data), data)
    (said,) = [x for x in caplog.messages if x.startswith("targets chosen at update ")]
    assert said.startswith(f"targets chosen at update {refresh.first_update}: ")
    assert refresh.first_update == 4  # its max_wait
