"""Whoever uses the memory of a run that learned nothing is warned."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from memup_lightning.cli.errors import format_warning
from memup_lightning.cli.export import export_model
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.serving.predictor import Predictor
from tests.runs.made_runs import make_run


def ended(home: Path, name: str) -> Path:
    """The folder of a run with this verdict."""
    run = make_run(home, 0)
    (run / "summary.json").write_text(json.dumps({"verdict": {"findings": [{"name": name, "sentence": "So it is."}]}}))
    return run


@pytest.mark.parametrize("given", [".", "version_0", "version_0/checkpoints", "version_0/checkpoints/best_gain.ckpt"])
@pytest.mark.parametrize("which", ["best", "last"])
def test_a_memory_that_learned_nothing_is_warned_of_once(tmp_path: Path, given: str, which: str) -> None:
    run = ended(tmp_path, "blind")
    with pytest.warns(UserWarning, match=r"version_0: the run that trained this memory .*verdict: So it is\."):
        weights_to_use(tmp_path / given, which)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights_to_use(run)


@pytest.mark.parametrize("name", ["needs_no_memory", "no_outcomes", "wrong_targets", "noise", "badly_scaled"])
def test_a_memory_that_may_know_nothing_is_warned_of(tmp_path: Path, name: str) -> None:
    with pytest.warns(UserWarning, match=r"So it is\."):
        weights_to_use(ended(tmp_path, name))


@pytest.mark.parametrize("name", ["explained", "partly_explained", "overfitted", "forgetting"])
def test_a_memory_that_explains_something_is_not_warned_of(tmp_path: Path, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights_to_use(ended(tmp_path, name))


def test_a_predictor_warns_too(tmp_path: Path) -> None:
    run = ended(tmp_path, "memorized")
    with (
        pytest.warns(UserWarning, match=r"So it is\."),
        pytest.raises(MemUPError, match="what its model is built from"),
    ):
        Predictor.load(run)


def test_the_warning_points_at_the_line_of_the_user(tmp_path: Path) -> None:
    run = ended(tmp_path, "memorized")
    with pytest.warns(UserWarning, match=r"So it is\.") as caught, pytest.raises(MemUPError):
        Predictor.load(run)
    assert [x.filename for x in caught] == [__file__]


def test_on_the_command_line_the_warning_names_no_file(tmp_path: Path) -> None:
    run = ended(tmp_path, "memorized")
    with pytest.warns(UserWarning, match=r"So it is\.") as caught, pytest.raises(SystemExit):
        export_model([f"--ckpt_path={run}"])
    shown = [format_warning(x.message, x.category, x.filename, x.lineno) for x in caught]
    assert shown == [f"warning: {caught[0].message}\n"]


@pytest.mark.parametrize("content", ['{"verdict": null}', '{"verdict": {"findings": []}}', "{", "[]", None])
def test_a_run_without_a_verdict_is_not_warned_of(tmp_path: Path, content: str | None) -> None:
    run = ended(tmp_path, "explained") if content is None else make_run(tmp_path, 0)
    if content is not None:
        (run / "summary.json").write_text(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        weights_to_use(run)
