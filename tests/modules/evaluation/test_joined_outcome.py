"""An outcome of several columns of classes has the metrics of each of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytorch_lightning import seed_everything
from sklearn.metrics import average_precision_score, balanced_accuracy_score, roc_auc_score
from torch import nn

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.callbacks.report.tables import print_summary
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.modules import MemUP
from memup_lightning.modules.evaluation.joined_outcome import joined_columns
from tests.training import quiet_trainer

NAMES = ("fault=false & leak=none", "fault=true & leak=none", "fault=true & leak=oil", "fault=false & leak=water")


def test_columns_are_read_from_the_names_of_their_combinations() -> None:
    columns = joined_columns(NAMES)
    assert columns["fault"] == (("false", "true"), (0, 1, 1, 0))
    assert columns["leak"] == (("none", "oil", "water"), (0, 0, 1, 2))


@pytest.mark.parametrize(
    "names",
    [(), ("a", "b"), ("fault=true", "fault=false"), ("a=1 & b=2", "a=1 & c=2"), ("a=1 & b=2", "other"), ("x=1 & y",)],
)
def test_other_classes_have_no_columns(names: tuple[str, ...]) -> None:
    assert joined_columns(names) == {}


def test_a_columns_metrics_are_those_of_its_marginal_distribution() -> None:
    torch.manual_seed(0)
    column = joined_columns(NAMES)["fault"]
    metrics = nn.ModuleDict({f"fault/{name}": x for name, x in column.metrics(("", "local_")).items()})
    outcome = torch.randint(4, (300,))
    probabilities = (2 * torch.randn(300, 4) + 2 * nn.functional.one_hot(outcome, 4)).softmax(1)
    for rows in (slice(0, 100), slice(100, 300)):
        column.describe(metrics, "fault/", outcome[rows])
        column.score(metrics, "fault/", probabilities[rows], outcome[rows])
    unknown = torch.full((5,), -1)  # a combination that the training data do not hold
    column.score(metrics, "fault/", probabilities[:5], unknown)
    column.describe(metrics, "fault/", unknown)
    found = {name.removeprefix("fault/"): float(x.compute()) for name, x in metrics.items() if "local" not in name}
    p, own = probabilities[:, 1:3].sum(1).numpy(), np.isin(outcome.numpy(), [1, 2])
    assert found["accuracy"] == pytest.approx(((p > 0.5) == own).mean())
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(own, p > 0.5))
    assert found["auroc"] == pytest.approx(roc_auc_score(own, p), abs=0.01)
    rarer = own if own.mean() < 0.5 else ~own
    assert found["average_precision"] == pytest.approx(
        average_precision_score(rarer, p if own.mean() < 0.5 else 1 - p), abs=0.02
    )
    assert found["base_rate"] == pytest.approx(max(own.mean(), 1 - own.mean()))
    assert found["base_average_precision"] == pytest.approx(min(own.mean(), 1 - own.mean()))


def test_a_run_reports_each_column(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    rows = 60 * 10
    columns = {
        "episode": np.repeat(np.arange(60), 10),
        "speed": rng.normal(size=rows),
        "fault": rng.random(rows) < 0.3,
        "oil.leak": np.where(rng.random(rows) < 0.2, "oil", "none"),
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "logs.parquet")
    seed_everything(1)
    data = ArrayDataModule(str(tmp_path / "logs.parquet"), y=["fault", "oil.leak"], lanes=8)
    trainer = quiet_trainer(10, [TargetRefresh(settle=3)], val_check_interval=10, check_val_every_n_epoch=None)
    trainer.fit(MemUP(data.task), data)
    logged = {name: float(x) for name, x in trainer.callback_metrics.items()}
    for column in ("fault", "oil_leak"):
        for name in ("accuracy", "balanced_accuracy", "average_precision", "auroc"):
            assert 0 <= logged[f"val/{column}/{name}"] <= 1
            assert 0 <= logged[f"val/{column}/local_{name}"] <= 1
        assert 0.5 < logged[f"val/{column}/base_rate"] < 1
    more = {"updates": 10, "environment_steps": None, "seconds_total": 1.0, "seconds_training": 1.0}
    more |= {"peak_rss_mb": 1.0, "saved_tensor_bytes": None}
    print_summary({"metrics": logged, "data": "logs", **more}, tmp_path)
    said = capsys.readouterr().out
    assert "oil_leak: average precision" in said
    assert "fault: balanced accuracy" in said
