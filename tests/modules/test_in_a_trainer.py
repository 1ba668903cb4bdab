"""What a run of Lightning asks of a module and its data: callbacks, epochs, closures, accumulation."""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, Trainer
from torch import Tensor

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.chunk import Fields
from memup_lightning.data.targets import Explainable, Proportional, Selector, TopK
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.uncertainty import AverageSurprise, LocalPredictor, PredictiveUncertainty
from memup_lightning.modules import TBPTT, MemUP
from tests.modules.small_runs import assert_same, data_of, model_of, often, weights
from tests.training import quiet_trainer


@pytest.mark.parametrize(
    ("kind", "given", "schedule", "brought"),
    [
        (MemUP, [], {}, [TargetRefresh, Replay]),
        (MemUP, [partial(Replay, share=0.25)], {}, [TargetRefresh, Replay]),
        (MemUP, [], {"restart": [0.0]}, [TargetRefresh]),
        (MemUP, [], {"lanes": 1}, [TargetRefresh]),
        (TBPTT, [], {}, []),
    ],
)
def test_memup_brings_target_refresh_and_replay_where_the_trainer_has_none(
    kind: Any, given: list[Any], schedule: dict[str, Any], brought: list[Any]
) -> None:
    data = data_of(**schedule)
    trainer = quiet_trainer(1, [make() for make in given], limit_val_batches=0)
    trainer.fit(model_of(data, kind), data)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    assert {type(x) for x in callbacks if isinstance(x, TargetRefresh | Replay)} == set(brought)
    assert [x.share for x in callbacks if isinstance(x, Replay)] == [0.25 if given else 0.5] * (Replay in brought)


def test_a_target_refresh_that_was_given_stays() -> None:
    data, given = data_of(), often()
    trainer = quiet_trainer(6, [given], limit_val_batches=0)
    trainer.fit(model_of(data), data)
    assert [x for x in trainer.callbacks if isinstance(x, TargetRefresh)] == [given]  # type: ignore[attr-defined]
    assert data.splits["train"].targets.num_refreshes == 1


def test_a_new_model_learns_the_same_from_a_used_datamodule_as_from_a_fresh_one() -> None:
    def fit(data: TMazeDataModule) -> dict[str, Tensor]:
        model = model_of(data)
        quiet_trainer(13, [often()], limit_val_batches=0).fit(model, data)
        return weights(model)

    used = data_of()
    first = fit(used)
    assert_same(first, fit(used))


def test_the_same_model_continues_where_it_was() -> None:
    data = data_of()
    model = model_of(data)
    for _ in range(2):
        quiet_trainer(7, [often()], limit_val_batches=0).fit(model, data)
    assert data.training_lanes().num_consumed == 14


class Steps(Callback):
    """Notes the number of every chunk, and the updates at which validation ran."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.validated: list[int] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append(batch.step)

    def on_validation_start(self, trainer: Trainer, *args: Any) -> None:
        self.validated.append(trainer.global_step)


def test_a_limited_epoch_has_so_many_chunks_and_ends_with_a_validation() -> None:
    data, seen = data_of(), Steps()
    quiet_trainer(39, [often(), seen], limit_train_batches=13).fit(model_of(data), data)
    assert seen.steps == list(range(39))
    assert seen.validated == [13, 26, 39]


def test_the_last_chunks_of_a_limited_epoch_take_an_optimizer_step() -> None:
    data = data_of()
    trainer = quiet_trainer(-1, [often()], limit_train_batches=13, accumulate_grad_batches=5, max_epochs=2)
    trainer.fit(model_of(data), data)
    assert trainer.global_step == 6


def test_to_overfit_is_to_see_the_same_chunks_in_every_epoch() -> None:
    data, seen = data_of(), Steps()
    quiet_trainer(6, [often(), seen], overfit_batches=2).fit(model_of(data), data)
    assert seen.steps == [0, 1] * 3


def test_a_run_resumed_with_another_length_of_epochs_validates_at_their_ends(tmp_path: Path) -> None:
    data = data_of()
    trainer = quiet_trainer(30, [often()])
    trainer.fit(model_of(data), data)
    trainer.save_checkpoint(tmp_path / "at_30.ckpt")
    longer, seen = data_of(chunks_per_epoch=40), Steps()
    quiet_trainer(100, [often(), seen]).fit(model_of(longer), longer, ckpt_path=tmp_path / "at_30.ckpt")
    assert seen.steps == list(range(30, 100))
    assert seen.validated == [60, 100]  # 10 of the second epoch's 40 chunks were played before


def test_an_optimizer_that_calls_its_closure_again_sees_the_same_loss_at_the_same_weights() -> None:
    class Twice(torch.optim.SGD):
        losses: list[tuple[float, float]] = []  # noqa: RUF012

        def step(self, closure: Any = None) -> Any:
            self.losses.append((float(closure()), float(closure())))
            return super().step()

    data = data_of(restart=[0.0])
    model = model_of(data, optimizer=partial(Twice, lr=0.1))
    quiet_trainer(6, [often()], limit_val_batches=0).fit(model, data)
    assert all(one == other for one, other in Twice.losses)
    assert model.lanes.num_chunks == 6


def test_lbfgs_goes_from_chunk_to_chunk() -> None:
    class Counted(torch.optim.LBFGS):
        calls: list[float] = []  # noqa: RUF012

        def step(self, closure: Any) -> Any:
            def counted() -> Any:
                loss = closure()
                self.calls.append(float(loss))
                return loss

            return super().step(counted)

    data = data_of(restart=[0.0])
    model = model_of(data, optimizer=partial(Counted, lr=0.1, max_iter=3))
    trainer = quiet_trainer(6, [often()], limit_val_batches=0)
    trainer.fit(model, data)
    assert trainer.global_step == model.lanes.num_chunks == data.training_lanes().num_consumed == 6
    assert len(Counted.calls) >= 12
    assert all(x.isfinite().all() for x in model.state_dict().values())


class Save(Callback):
    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch.step == 6:
            trainer.save_checkpoint(self.path)


def test_a_checkpoint_in_the_middle_of_an_accumulation_continues_with_its_gradients(tmp_path: Path) -> None:
    def fit(*callbacks: Callback, ckpt: Path | None = None) -> dict[str, Tensor]:
        data = data_of()
        model = model_of(data)
        trainer = quiet_trainer(5, [often(), *callbacks], accumulate_grad_batches=4, limit_val_batches=0)
        trainer.fit(model, data, ckpt_path=ckpt)
        return weights(model)

    whole = fit(Save(tmp_path / "cut.ckpt"))
    assert torch.load(tmp_path / "cut.ckpt", weights_only=True)["gradients"]
    assert_same(fit(ckpt=tmp_path / "cut.ckpt"), whole)


class Doubled(PredictiveUncertainty):
    """Uncertainty of one's own, from contexts alone: 1 where the agent went right, 0 elsewhere."""

    def of_contexts(self, model: Any, context: Fields) -> Tensor:
        return (context["action"][..., -1] == 1).float()


SELECTORS: list[Selector] = [TopK(2), Proportional(2), Explainable(2)]


@pytest.mark.parametrize(
    ("uncertainty", "selector"),
    itertools.product([PredictiveUncertainty, AverageSurprise, Doubled], SELECTORS),
    ids=lambda x: getattr(x, "__name__", type(x).__name__),
)
def test_every_uncertainty_counts_under_every_selector(uncertainty: Any, selector: Selector) -> None:
    data = data_of(selector=selector)
    model = model_of(data, uncertainty=uncertainty())
    trainer = quiet_trainer(7, [often()], limit_val_batches=0)
    if uncertainty is AverageSurprise and isinstance(selector, Explainable):
        with pytest.raises(MemUPError, match="uncertainty=AverageSurprise scores the steps of whole episodes"):
            trainer.fit(model, data)
        return
    trainer.fit(model, data)
    table = data.splits["train"].targets
    assert table.num_refreshes == 1
    if uncertainty is Doubled and isinstance(selector, Explainable):
        assert model.clusters is not None
        assert model.clusters.uncertainty.min() < 0.1
        assert model.clusters.uncertainty.max() > 0.9
    if uncertainty is Doubled and isinstance(selector, TopK):
        chosen = table.select(np.arange(24), np.zeros(24, np.int64))
        source = data.sources["train"]
        action = [source.read(e, int(k), int(k) + 1)["action"][0] for e in range(24) for k in chosen[e]]
        assert action == [1] * 48


def test_clusters_are_fitted_and_assigned_by_the_same_features() -> None:
    class Blind(LocalPredictor):
        """Sees the action alone."""

        def features(self, context: Fields) -> Tensor:
            right = (context["action"][..., -1] == 1).float().unsqueeze(-1)
            return right.expand(*right.shape[:-1], self.layers[-1].in_features)  # type: ignore[arg-type]

    data = data_of(selector=Explainable(2))
    model = model_of(data, local=Blind, num_clusters=2)
    quiet_trainer(7, [often()], limit_val_batches=0).fit(model, data)
    chunk = next(iter(data.splits["train"].chunks()))
    cluster, right = model.assign_clusters(chunk).cluster, chunk.context["action"] == 1
    assert len(cluster[right].unique()) == len(cluster[~right & chunk.valid].unique()) == 1
    assert cluster[right][0] != cluster[~right & chunk.valid][0]


def test_an_optimizer_that_exists_already_is_refused() -> None:
    data = data_of()
    model = model_of(data, optimizer=torch.optim.Adam(torch.nn.Linear(1, 1).parameters()))
    with pytest.raises(MemUPError, match=r"optimizer is a Adam that exists already; give .*partial\(torch.optim.Adam"):
        model.configure_optimizers()


def test_the_loader_of_a_datamodule_that_was_not_set_up_is_refused() -> None:
    with pytest.raises(MemUPError, match=r"TMazeDataModule is not set up for training; .*trainer.fit\(model, data\)"):
        data_of().train_dataloader()
