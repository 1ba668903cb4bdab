"""FewerColumns: a run that memorizes a table reads the columns alone on which its predictions depend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer, seed_everything

from memup_lightning.callbacks import BestWeights, Verdict
from memup_lightning.callbacks.overfitting import fewer_columns, thresholds
from memup_lightning.callbacks.verdict.measuring import measure
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.modules import MemUP
from tests.callbacks.scripted_runs import EVERY, Scripted, alike, run

KNOWN, LOST = (0.4, 0.4, 0.5, 1.0), (0.1, 0.6, 0.7, 1.0)  # gain, that of training episodes, val/nll, val/local_nll
TWICE = [KNOWN, LOST, LOST, KNOWN]
USED = ("heat", "valve")


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, torch.Tensor]]:
    """The weights with which columns were measured, each time."""
    measured: list[dict[str, torch.Tensor]] = []

    def of(model: Any, split: Any, columns: Sequence[str]) -> tuple[str, ...]:
        assert set(USED) <= set(columns)
        measured.append({name: x.clone() for name, x in model.state_dict().items()})
        return USED

    monkeypatch.setattr(fewer_columns, "used_columns", of)
    return measured


def table(folder: Path, columns: int = 6) -> ArrayDataModule:
    pandas = pytest.importorskip("pandas")
    draw = np.random.default_rng(1)
    rows, path = 40 * 10, folder / "a.parquet"
    values: dict[str, Any] = {f"c{n}": draw.standard_normal(rows) for n in range(columns - 2)}
    values |= {"heat": draw.standard_normal(rows), "valve": draw.choice(["left", "right"], rows)}
    values |= {"unit": np.repeat(np.arange(40), 10), "y": draw.integers(0, 2, rows)}
    folder.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(values).to_parquet(path)
    seed_everything(1)
    return ArrayDataModule(str(path), episode="unit", lanes=8)


def read(model: Scripted) -> set[str]:
    """The fields or components that memory and predictor read."""
    found = []
    for encoder, fields in (
        (model.encoder, model.task.input_fields),
        (model.context_encoder.step, model.task.context_fields),
    ):
        features = [
            (name, classes)
            for field, spec in fields.items()
            for name, classes in ([(x, 1) for x in spec.names] if spec.type == "vector" else [(field, spec.classes)])
        ]
        gains = encoder.gain.split([size for _, size in features])
        assert all(bool((gain == 0).all()) or bool((gain >= 1).all()) for gain in gains)
        found.append({name for (name, _), gain in zip(features, gains, strict=True) if gain.any()})
    assert found[0] == found[1]
    return found[0]


def test_where_weight_decay_does_not_help_other_columns_are_left_out(
    tmp_path: Path, used: list[dict[str, torch.Tensor]]
) -> None:
    best = BestWeights()
    _, model = run(tmp_path, TWICE[:2], best, data=table(tmp_path))
    assert read(model) == {"c0", "c1", "c2", "c3", *USED}
    assert not used
    best = BestWeights()
    _, model = run(tmp_path, TWICE, best, data=table(tmp_path))
    assert read(model) == set(USED)
    assert best.decay == 0.3
    assert best.columns == USED
    assert [alike(x, model.weights[update]) for x, update in zip(used, (3 * EVERY, EVERY), strict=True)] == [True, True]


def test_a_column_counts_that_only_the_weights_of_now_depend_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [("c0", "heat"), ("heat", "valve")]
    monkeypatch.setattr(fewer_columns, "used_columns", lambda *_: found.pop(0))
    best = BestWeights()
    _, model = run(tmp_path, TWICE, best, data=table(tmp_path))
    assert best.columns == ("heat", "valve", "c0")
    assert read(model) == {"heat", "valve", "c0"}


@pytest.fixture
def own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "LEAST", 2 * EVERY)
    monkeypatch.setattr(MemUP, "own_share", lambda self: 0.1)


@pytest.mark.usefixtures("own_steps")
def test_a_second_start_that_memorizes_begins_again_without_other_columns_and_once_more_with_all(
    tmp_path: Path, used: list[dict[str, torch.Tensor]]
) -> None:
    class Watched(BestWeights):
        def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
            super().on_validation_end(trainer, pl_module)
            seen.append((len(read(pl_module)), round(float(pl_module.target_weight), 3), self.columns))
            weights.append({name: x.clone() for name, x in pl_module.state_dict().items() if "memory" in name})

    seen: list[tuple[int, float, tuple[str, ...]]] = []
    weights: list[dict[str, torch.Tensor]] = []
    nothing = (-0.3, 0.1, 1.2, 1.0)
    run(tmp_path, [nothing] * 20, Watched(), data=table(tmp_path))
    assert len(used) == 2, "measured once, with two weights"
    assert seen[:2] == [(6, 0.02, ()), (2, 0.02, USED)]
    assert alike(weights[0], weights[1]), "the first weights"
    third = next(number for number, x in enumerate(seen) if x[1] == 1)
    assert set(seen[2:third]) == {(2, 0.02, USED)}
    assert set(seen[third:]) == {(6, 1.0, ())}
    assert alike(weights[0], weights[third])


@pytest.mark.usefixtures("own_steps")
def test_what_a_second_start_explains_with_fewer_columns_is_kept(
    tmp_path: Path, used: list[dict[str, torch.Tensor]]
) -> None:
    nothing, best = (-0.3, 0.1, 1.2, 1.0), BestWeights()
    _, model = run(tmp_path, [nothing, nothing, KNOWN, KNOWN, KNOWN], best, data=table(tmp_path))
    assert (best.restored, best.best, best.columns) == (False, (3 * EVERY, pytest.approx(KNOWN[0])), USED)
    assert read(model) == set(USED)
    assert float(model.target_weight) == pytest.approx(0.02)


def test_what_is_left_out_changes_nothing_any_more(tmp_path: Path, used: list[dict[str, torch.Tensor]]) -> None:
    data = table(tmp_path)
    _, model = run(tmp_path, TWICE, BestWeights(), data=data)
    chunk = next(iter(data.splits["val"].chunks(np.arange(4), lanes=4)))
    names = list(model.task.fields["x"].names)
    other = {name: x.clone() for name, x in chunk.inputs.items()}
    other["x"][..., [names.index(f"c{n}") for n in range(4)]] += 1.0
    assert torch.equal(model.encoder(chunk.inputs), model.encoder(other))
    other["x"][..., names.index("heat")] += 1.0
    assert not torch.equal(model.encoder(chunk.inputs), model.encoder(other))


def test_it_happens_once_and_holds_for_all_that_follows(tmp_path: Path, used: list[dict[str, torch.Tensor]]) -> None:
    best = BestWeights(patience=20)
    _, model = run(tmp_path, [KNOWN, *[LOST] * 7, KNOWN], best, data=table(tmp_path))
    assert len(used) == 2
    assert best.decay == 0
    assert read(model) == set(USED), "the weights that it went back to read all"


def test_a_run_that_ends_with_weights_of_before_read_all(tmp_path: Path, used: list[dict[str, torch.Tensor]]) -> None:
    best = BestWeights()
    _, model = run(tmp_path, [*TWICE[:3], LOST], best, data=table(tmp_path))
    assert len(used) == 2
    assert best.restored
    assert best.columns == ()
    assert len(read(model)) == 6


@pytest.mark.parametrize(("gains", "times"), [(TWICE, 0), ([*TWICE[:3], LOST], 1)], ids=["left out", "reads all"])
def test_the_verdict_of_a_run_that_left_out_columns_does_not_measure_them_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    used: list[dict[str, torch.Tensor]],
    gains: list[tuple[float, ...]],
    times: int,
) -> None:
    verdict, again = Verdict(), []
    monkeypatch.setattr(measure, "used_columns", lambda *_: again.append(1) or USED)
    run(tmp_path, gains, BestWeights(), verdict, data=table(tmp_path))
    assert len(used) == 2
    assert len(again) == times
    assert verdict.measurements is not None
    assert verdict.measurements.columns.read == (() if times else USED)


@pytest.mark.parametrize(("columns", "measured"), [(4, 0), (5, 1), (3, 0)])
def test_of_few_columns_none_is_left_out(
    tmp_path: Path, used: list[dict[str, torch.Tensor]], columns: int, measured: int
) -> None:
    run(tmp_path, TWICE, BestWeights(), data=table(tmp_path, columns))
    assert len(used) == 2 * measured


@pytest.mark.parametrize("found", [(), ("c0", "c1", "c2", "heat", "valve")], ids=["none", "nearly all"])
def test_where_nothing_can_be_left_out_weight_decay_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: tuple[str, ...]
) -> None:
    monkeypatch.setattr(fewer_columns, "used_columns", lambda *_: found)
    best = BestWeights()
    _, model = run(tmp_path, TWICE, best, data=table(tmp_path))
    assert len(read(model)) == 6
    assert best.decay == 1.0


@pytest.mark.parametrize("cut", [3, 5, 6, 7])
def test_a_resumed_run_leaves_out_what_the_uncut_one_does(
    tmp_path: Path, used: list[dict[str, torch.Tensor]], cut: int
) -> None:
    data = table(tmp_path)
    _, whole = run(tmp_path / "whole", TWICE, BestWeights(), data=data)
    run(tmp_path / "cut", TWICE, BestWeights(), data=table(tmp_path), updates=cut)
    last = tmp_path / "cut" / "last.ckpt"
    trainer: Trainer
    trainer, resumed = run(tmp_path / "resumed", TWICE, BestWeights(), data=table(tmp_path), ckpt_path=last)
    assert trainer.global_step == EVERY * len(TWICE)
    assert alike(whole.state_dict(), resumed.state_dict())


def test_with_an_encoder_of_the_users_own_nothing_is_left_out(
    tmp_path: Path, used: list[dict[str, torch.Tensor]]
) -> None:
    class Doubled(StepEncoder):
        def forward(self, fields: Any) -> torch.Tensor:
            return 2 * super().forward(fields)

    best = BestWeights()
    run(tmp_path, TWICE, best, data=table(tmp_path), encoder=Doubled)
    assert not used
    assert best.columns == ()
    assert best.decay == 1.0


def test_a_run_that_begins_with_such_weights_says_so_and_its_targets_count(
    tmp_path: Path, used: list[dict[str, torch.Tensor]]
) -> None:
    class Begin(Callback):
        def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
            pl_module.load_state_dict(weights)

    _, model = run(tmp_path, TWICE, BestWeights(), data=table(tmp_path))
    weights = model.state_dict() | {"target_weight": torch.tensor(0.02)}
    with pytest.warns(UserWarning, match="left out columns of its training data"):
        _, later = run(tmp_path, TWICE[:1], BestWeights(), Begin(), data=table(tmp_path))
    assert float(later.target_weight) == 1.0
    assert read(later) == set(USED)
