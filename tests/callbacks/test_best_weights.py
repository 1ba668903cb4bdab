"""BestWeights: a run that over-fits stops and ends with its best weights; a plateau does neither; resume is exact."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from pytorch_lightning.callbacks import EarlyStopping

from memup_lightning.callbacks import BestWeights
from memup_lightning.callbacks.overfitting import thresholds
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoints.lookup import KEPT_WEIGHTS, newest_checkpoint
from tests.callbacks.scripted_runs import EVERY, Reached, StopAt, alike, run

PLATEAU, OVERFITTED = [(0.0, 0.0)] * 8, [(0.1, 0.1), (0.4, 0.4), *[(-1.0, 0.9)] * 6]


def unlimited(folder: Path, gains: Sequence[float], most: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Updates after which a run without a limit stops, of ``most`` at most, and why."""
    monkeypatch.setattr(thresholds, "WAIT", 10)
    best = BestWeights()
    with pytest.raises(Reached) if most else contextlib.nullcontext():
        trainer, _ = run(folder, [(x, x) for x in gains], best, *([StopAt(most)] if most else []), updates=-1)
    return (most, "") if most else (trainer.global_step, best.stopping_reason_message)


def test_a_run_without_a_limit_stops_when_the_gain_has_not_grown_for_as_long_as_it_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grows = [0.1 * n for n in range(10)]  # until 20 updates
    updates, why = unlimited(tmp_path, [*grows, *[0.9] * 40], 0, monkeypatch)
    assert updates == 40
    assert "has not grown since 20 updates, when it was 0.90" in why
    assert unlimited(tmp_path / "soon", [0.0] * 40, 0, monkeypatch)[0] == 12


def test_a_run_that_still_gains_or_has_a_limit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unlimited(tmp_path, [0.1 * n for n in range(30)], 50, monkeypatch)
    monkeypatch.setattr(thresholds, "WAIT", 2)
    assert run(tmp_path / "limited", PLATEAU, BestWeights())[0].global_step == EVERY * len(PLATEAU)


def test_a_plateau_stops_nothing_and_ends_with_the_last_weights(tmp_path: Path) -> None:
    best = BestWeights(patience=2)
    trainer, model = run(tmp_path, PLATEAU, best)
    assert trainer.global_step == EVERY * len(PLATEAU)
    assert not best.restored
    assert alike(model.state_dict(), model.weights[trainer.global_step])


def test_a_run_that_over_fits_stops_and_ends_with_its_best_weights(tmp_path: Path) -> None:
    best = BestWeights(patience=3)
    trainer, model = run(tmp_path, OVERFITTED, best)
    assert trainer.global_step == EVERY * 5
    assert best.best == (EVERY * 2, pytest.approx(0.4))
    assert best.restored
    assert best.metrics["val/memory_gain"] == pytest.approx(0.4)
    assert "over-fits" in best.stopping_reason_message
    assert alike(model.state_dict(), model.weights[EVERY * 2])


def test_checkpoints_to_resume_from_hold_the_last_weights_and_the_kept_one_the_best(tmp_path: Path) -> None:
    _, model = run(tmp_path, OVERFITTED, BestWeights(patience=3))
    saved = {name: torch.load(tmp_path / name, weights_only=True) for name in ("last.ckpt", KEPT_WEIGHTS)}
    assert alike(saved["last.ckpt"]["state_dict"], model.weights[EVERY * 5])
    assert alike(saved[KEPT_WEIGHTS]["state_dict"], model.weights[EVERY * 2])
    assert newest_checkpoint(tmp_path).name == "last.ckpt"


@pytest.mark.parametrize(
    ("nll", "restored"),
    [(2.0, True), (1.2, True), (1.1, True), (1.02, True), (1.01, False), (1.0, False), (float("nan"), False)],
    ids=[
        "risen",
        "a third of the gain",
        "a sixth",
        "a thirtieth",
        "risen a little",
        "as before: harder targets",
        "unknown",
    ],
)
def test_a_run_whose_gain_fell_and_whose_nll_rose_ends_with_its_best_weights(
    tmp_path: Path, nll: float, restored: bool
) -> None:
    best = BestWeights()
    trainer, model = run(tmp_path, [(0.1, 0.1, 1.8), (0.9, 0.9, 1.0), (0.2, 0.2, nll)], best)
    assert (best.restored, best.overfitted, best.stopping_reason_message) == (restored, False, "")
    assert alike(model.state_dict(), model.weights[2 * EVERY if restored else 3 * EVERY])
    assert trainer.global_step == 3 * EVERY


@pytest.mark.parametrize(("train", "overfitted"), [(0.02, True), (0.009, False)])
def test_a_small_gain_that_is_lost_is_kept_too(tmp_path: Path, train: float, overfitted: bool) -> None:
    best = BestWeights(patience=1)
    trainer, model = run(tmp_path, [(0.012, 0.013, 0.05), *[(0.008, train, 0.053)] * 3], best)
    assert (best.restored, best.overfitted) == (True, overfitted)
    assert alike(model.state_dict(), model.weights[EVERY])
    assert trainer.global_step == 4 * EVERY, "so little may be chance, which stops no run"


@pytest.mark.parametrize(("train", "overfitted"), [(0.2, True), (0.11, False)])
def test_a_gain_in_training_episodes_that_grew_while_less_is_explained_is_over_fitting_however_low_it_is(
    tmp_path: Path, train: float, overfitted: bool
) -> None:
    best = BestWeights()
    run(tmp_path, [(0.9, 0.1, 1.0, 2.0), (0.8, train, 1.03, 2.0)], best)
    assert (best.restored, best.overfitted) == (True, overfitted)


def test_noise_that_is_memorized_among_the_targets_takes_no_weights_that_explain_the_evaluated_steps_better(
    tmp_path: Path,
) -> None:
    best = BestWeights(patience=2)
    _, model = run(tmp_path, [(0.9, 0.9, 0.5, 0.7), *[(-1.0, 0.9, 0.3, 0.7)] * 4], best)
    assert (best.restored, best.overfitted, best.stopping_reason_message) == (False, False, "")
    assert alike(model.state_dict(), model.weights[5 * EVERY])


@pytest.mark.parametrize(("nll", "restored"), [(0.696, True), (0.6903, True), (0.6901, False)])
def test_a_fall_is_one_of_what_was_explained_at_the_evaluated_steps(tmp_path: Path, nll: float, restored: bool) -> None:
    best = BestWeights()  # 0.01 of 0.7 are explained; at the few targets of a validation much may be chance
    _, model = run(tmp_path, [(0.2, 0.2, 0.69, 0.7), (0.1, 0.5, nll, 0.7)], best)
    assert (best.restored, best.overfitted) == (restored, restored)
    assert best.best == (EVERY, pytest.approx(0.2))
    assert alike(model.state_dict(), model.weights[EVERY if restored else 2 * EVERY])


def test_a_gain_that_came_back_ends_with_the_last_weights(tmp_path: Path) -> None:
    best = BestWeights()
    _, model = run(tmp_path, [(0.9, 0.9, 1.0), (0.2, 0.2, 2.0), (0.85, 0.85, 1.01)], best)
    assert not best.restored
    assert alike(model.state_dict(), model.weights[3 * EVERY])


@pytest.mark.parametrize(
    "gains",
    [
        [(0.4, 0.4), *[(-1.0, -0.9)] * 6],  # harder targets: the gain falls in training episodes too
        [(0.4, 0.4), *[(0.35, 0.9)] * 6],  # within the margin
        [(4.0, 4.0), *[(3.2, 4.5)] * 6],  # within a quarter
        [(0.4, 0.4), (-1.0, 0.9), (-1.0, 0.9), (0.38, 0.5)],  # it came back
        [(0.4, 0.4), *[(0.0, float("nan"))] * 6],  # nothing is known of the training episodes
    ],
)
def test_a_gain_that_falls_for_another_reason_is_no_over_fitting(
    tmp_path: Path, gains: Sequence[tuple[float, float]]
) -> None:
    best = BestWeights(patience=3)
    trainer, model = run(tmp_path, gains, best)
    assert trainer.global_step == EVERY * len(gains)
    assert not best.restored
    assert alike(model.state_dict(), model.weights[trainer.global_step])


def test_an_early_stopping_of_the_user_decides_alone_when_the_run_stops(tmp_path: Path) -> None:
    best, theirs = BestWeights(patience=1), EarlyStopping("val/memory_gain", mode="max", patience=100)
    trainer, _ = run(tmp_path, OVERFITTED, best, theirs)
    assert trainer.global_step == EVERY * len(OVERFITTED)
    assert best.restored


@pytest.mark.parametrize(("threshold", "restored"), [(0.9, False), (1.1, True), (None, True)])
def test_weights_that_meet_the_threshold_of_the_user_are_kept(
    tmp_path: Path, threshold: float | None, restored: bool
) -> None:
    best = BestWeights()
    theirs = EarlyStopping("val/nll", mode="max", patience=100, stopping_threshold=threshold, strict=False)
    trainer, model = run(tmp_path, [(0.4, 0.4, 0.2), (0.1, 0.9, 1.0)], best, theirs)
    assert trainer.global_step == 2 * EVERY
    assert (best.restored, best.overfitted) == (restored, restored)
    assert alike(model.state_dict(), model.weights[EVERY if restored else 2 * EVERY])


@pytest.mark.parametrize("cut", [EVERY * 2, EVERY * 3, EVERY * 4 + 1])
def test_a_resumed_run_stops_when_the_uncut_one_does_and_ends_with_the_same_weights(tmp_path: Path, cut: int) -> None:
    whole, model = run(tmp_path / "whole", OVERFITTED, BestWeights(patience=3))
    run(tmp_path / "cut", OVERFITTED, BestWeights(patience=3), updates=cut)
    best = BestWeights(patience=3)
    resumed, again = run(tmp_path / "resumed", OVERFITTED, best, ckpt_path=tmp_path / "cut" / "last.ckpt", updates=99)
    assert resumed.global_step == whole.global_step
    assert best.best == (EVERY * 2, pytest.approx(0.4))
    assert alike(again.state_dict(), model.state_dict())
    saved = [
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("whole", "resumed")
    ]
    assert alike(*saved)


def test_no_validation_in_a_row_is_refused() -> None:
    with pytest.raises(MemUPError, match="patience"):
        BestWeights(patience=0)
