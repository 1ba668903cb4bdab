"""Verdicts of short runs on tasks that are built to be so, and where they show."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.loggers import CSVLogger

from memup_lightning.callbacks import BestWeights, RunReport, TargetRefresh, Verdict
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import TBPTT, MemoryTask, MemUP
from tests.callbacks.cue_task import CueData
from tests.training import quiet_trainer

pytestmark = pytest.mark.filterwarnings("error:(Verdict|RunReport)")


def fit(
    folder: Path,
    data: CueData | ArrayDataModule,
    updates: int,
    *callbacks: Any,
    model: type[MemoryTask] = MemUP,
    lr: float = 0.01,
    ckpt_path: str | None = None,
    **given: Any,
) -> tuple[Trainer, Verdict]:
    seed_everything(1)
    torch.set_num_threads(1)
    verdict = Verdict()
    trainer = quiet_trainer(
        updates,
        [*([TargetRefresh(every=100, settle=20)] if model is MemUP else []), *callbacks, verdict],
        val_check_interval=max(10, updates // 10),
        check_val_every_n_epoch=None,
        log_every_n_steps=10,
        default_root_dir=folder,
        logger=CSVLogger(folder, name="", version=""),
        max_epochs=-1,
        **given,
    )
    optimizer = partial(torch.optim.Adam, lr=0.02)
    trainer.fit(model(data.task, memory=partial(LSTM, hidden_size=16), optimizer=optimizer), data, ckpt_path=ckpt_path)
    return trainer, verdict


def names(verdict: Verdict) -> list[str]:
    return [finding.name for finding in verdict.findings]


def test_a_cue_that_is_learned_is_explained_as_far_back_as_it_was_shown(tmp_path: Path) -> None:
    _, verdict = fit(tmp_path, CueData(length=12, chunk_length=12), 150)
    assert names(verdict) == ["explained", "reach"]
    assert verdict.findings[1].numbers == {"furthest": 8, "half_lost": None}
    assert verdict.measurements is not None
    updates, bits = verdict.measurements.history.explained[-1]
    assert updates == 150
    assert bits > 0.9


def test_a_task_whose_last_step_gives_the_outcome_away_needs_no_memory(tmp_path: Path) -> None:
    _, verdict = fit(tmp_path, CueData(length=12, revealed=True, chunk_length=12), 150)
    assert names(verdict)[0] == "needs_no_memory"


def test_a_cue_that_is_not_among_the_inputs_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memup_lightning.callbacks.verdict.thresholds.ENOUGH_UPDATES", 200)
    _, verdict = fit(tmp_path, CueData(length=12, shown=False), 200)
    assert names(verdict) == ["blind"]
    assert "chunk_length=12" in str(verdict.findings[0].try_first)


def test_four_episodes_are_memorized_and_the_run_ends_without_a_loss(tmp_path: Path) -> None:
    data = CueData(length=12, shown=False, noise=True, chunk_length=12, num_train=4, evaluation_lanes=64)
    best = BestWeights()
    _, verdict = fit(tmp_path, data, 300, best)
    assert names(verdict)[0] == "memorized"
    assert "episodes: num_train=32" in str(verdict.findings[0].try_first)
    assert verdict.measurements is not None
    assert verdict.measurements.val is not None
    gains = [x.gain for x in verdict.measurements.history.validations]
    assert min(gains) < max(gains) - 1
    val = verdict.measurements.val
    assert best.restored
    assert best.best is not None
    assert val.gain.mean - val.outlier_bits == pytest.approx(best.best[1], abs=0.01)
    of_best = best.metrics["val/nll"], best.metrics["val/local_nll"]
    assert verdict.measurements.evaluated.nll == pytest.approx(of_best)
    assert ("worse_than_local" in names(verdict)) == (of_best[0] > 1.05 * of_best[1])


def test_a_checkpoint_that_is_at_its_last_update_says_that_nothing_was_trained(tmp_path: Path) -> None:
    data = CueData(length=12, chunk_length=12, marked=False)
    trainer, verdict = fit(tmp_path, data, 20, model=TBPTT)
    assert names(verdict)[0] != "not_trained"
    trainer.save_checkpoint(tmp_path / "at_20.ckpt")
    _, resumed = fit(tmp_path, data, 20, model=TBPTT, ckpt_path=str(tmp_path / "at_20.ckpt"))
    assert "is at update 20 already, and max_steps is 20." in resumed.findings[0].sentence
    found = resumed.findings[0].try_first
    assert found == f"give a larger one: max_steps=40, ckpt_path={str(tmp_path / 'at_20.ckpt')!r}"
    assert names(resumed)[1:] == names(verdict)  # it is measured as before
    _, longer = fit(tmp_path, data, 30, model=TBPTT, ckpt_path=str(tmp_path / "at_20.ckpt"))
    assert names(longer)[0] != "not_trained"


def test_a_run_that_ends_before_the_first_selection_says_so(tmp_path: Path) -> None:
    _, verdict = fit(tmp_path, CueData(length=12), 20)
    assert names(verdict)[0] == "no_targets"


def test_a_baseline_has_a_verdict_too(tmp_path: Path) -> None:
    _, verdict = fit(tmp_path, CueData(length=12, chunk_length=12, marked=False), 3, model=TBPTT)
    assert names(verdict)[0] in ("undertrained", "partly_explained")
    assert verdict.measurements is not None
    assert verdict.measurements.val is not None
    assert verdict.measurements.val.curve[0].steps == 64  # it is measured where there are outcomes


def test_the_verdict_is_in_summary_picture_and_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = RunReport()
    _, verdict = fit(tmp_path, CueData(length=12, chunk_length=12), 200, report)
    summary = json.loads((tmp_path / "summary.json").read_text())["verdict"]
    assert summary["name"] == names(verdict)[0]
    assert summary["findings"][0]["sentence"] == verdict.findings[0].sentence
    curve = summary["measurements"]["val"]["curve"]
    assert [point["distance"] for point in curve] == [0, 1, 2, 4, 8]
    assert set(curve[0]) == {"distance", "steps", "episodes", "change", "gain", "low", "high"}
    assert matplotlib.image.imread(tmp_path / "gain_curve.png").shape[1] >= 1200
    printed = capsys.readouterr().out
    assert printed.count(f"verdict: {verdict.findings[0].sentence}") == 1
    assert printed.index("the run") < printed.index("verdict:")


def test_a_fast_dev_run_leaves_nothing(tmp_path: Path) -> None:
    data, verdict = CueData(length=12), Verdict()
    trainer = quiet_trainer(2, [verdict], default_root_dir=tmp_path, fast_dev_run=True)
    trainer.fit(MemUP(data.task), data)
    assert not list(tmp_path.iterdir())
    assert verdict.summary() is None


def test_a_report_alone_brings_its_own_verdict(tmp_path: Path) -> None:
    seed_everything(1)
    data = CueData(length=12, chunk_length=12, selector=TopK(1))
    trainer = quiet_trainer(
        60, [RunReport(pictures=False)], default_root_dir=tmp_path, logger=CSVLogger(tmp_path, name="", version="")
    )
    trainer.fit(MemUP(data.task), data)
    assert json.loads((tmp_path / "summary.json").read_text())["verdict"]["name"] in ("undertrained", "no_targets")
    assert not (tmp_path / "gain_curve.png").exists()


def test_rare_outcomes_that_no_measured_step_has_are_not_called_alike(tmp_path: Path) -> None:
    """Faults at a step that is none of the measured ones: validations, which evaluate every step, know of them."""
    fault = np.zeros((100, 100), np.int64)
    fault[::2, 1] = 1
    x = np.random.default_rng(1).standard_normal((100, 100, 1)).astype(np.float32)
    data = ArrayDataModule(lambda: iter(zip(x, fault, strict=True)), val_share=0.3, lanes=16, chunk_length=10)
    _, verdict = fit(tmp_path, data, 20, model=TBPTT)
    assert verdict.measurements is not None
    assert verdict.measurements.evaluated.rare == pytest.approx(0.005, abs=0.003)
    assert names(verdict)[0] == "rare_outcomes"
    assert not {"worse_than_constant", "needs_no_memory"} & set(names(verdict))


def test_a_run_whose_training_outcomes_are_all_equal_says_which_before_targets_are_selected(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((16, 12, 2)).astype(np.float32)
    names = {"x": x, "y": np.full((16, 12), 3)}
    np.savez(tmp_path / "own.npz", **names)
    with pytest.warns(UserWarning, match="the outcome is class 3 at all 144 steps"):
        _, verdict = fit(tmp_path, ArrayDataModule(str(tmp_path / "own.npz"), lanes=4), 10)
    first = verdict.findings[0]
    assert first.name == "constant_outcome"
    assert (
        first.sentence
        == "In the training episodes the outcome is class 3 at all 144 steps with an outcome, so there is nothing to learn."
    )
    assert str(first.try_first).startswith("give training episodes whose outcomes differ")
