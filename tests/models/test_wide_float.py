"""Statistics are float64 where the device has it, and float32 where it has not."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from memup_lightning.callbacks import Replay, TargetRefresh
from memup_lightning.data.targets import Explainable
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models import wide_float as wide
from memup_lightning.models.context_clusters import ContextClusters
from memup_lightning.models.memory import LSTM
from memup_lightning.models.scaling import Standardizer
from memup_lightning.models.wide_float import wide_float
from memup_lightning.modules import MemUP
from memup_lightning.modules.states.snapshots import TopKStates
from memup_lightning.rl.networks import RunningNormalizer
from memup_lightning.specs import FieldSpec
from tests.training import quiet_trainer


def test_apples_gpus_compute_with_float32() -> None:
    assert [wide_float(torch.device(name)) for name in ("cpu", "cuda", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]


@pytest.fixture
def no_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "_WITHOUT_FLOAT64", {"cpu", "meta"})


def dtypes(held: object) -> set[torch.dtype]:
    floats = [x for x in vars(held).values() if isinstance(x, torch.Tensor) and x.is_floating_point()]
    return {x.dtype for x in floats}


def fit() -> tuple[MemUP, Replay]:
    data = TMazeDataModule(
        length=20, num_train=24, num_val=8, chunk_length=5, lanes=8, seed=1, selector=Explainable(2), loss_free=0.2
    )
    torch.manual_seed(1)
    model, replay = MemUP(data.task, memory=partial(LSTM, hidden_size=8)), Replay(every=4)
    callbacks: list[Any] = [TargetRefresh(every=4, settle=1, max_wait=2), replay]
    quiet_trainer(20, callbacks, val_check_interval=10).fit(model, data)
    return model, replay


@pytest.mark.usefixtures("no_float64")
def test_a_run_with_clusters_and_replay_needs_no_float64() -> None:
    model, replay = fit()
    assert len(replay.snapshots)
    clusters, kept = model.clusters, TopKStates(torch.zeros(2, dtype=torch.int64), 3, torch.zeros(2, 4))
    assert clusters is not None
    assert dtypes(clusters) == dtypes(kept) == {torch.float32}
    assert clusters.observed.isfinite().all()
    assert clusters.chosen.sum() > 0


def test_clusters_of_a_checkpoint_take_the_type_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = fit()
    assert model.clusters is not None
    assert model.clusters.observed.dtype == torch.float64
    state = model.clusters.state_dict()
    monkeypatch.setattr(wide, "_WITHOUT_FLOAT64", {"cpu"})
    loaded = ContextClusters(0, torch.device("cpu"))
    loaded.load_state_dict(state, 0)
    assert dtypes(loaded) == {torch.float32}
    torch.testing.assert_close(loaded.weights(), model.clusters.weights(), rtol=1e-3, atol=1e-5)


def statistics(normalizer: RunningNormalizer) -> set[torch.dtype]:
    return {x.dtype for x in normalizer.buffers()}


def test_statistics_of_observations_follow_the_device_and_not_the_precision_of_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wide, "_WITHOUT_FLOAT64", {"meta"})
    normalizer = RunningNormalizer({"x": FieldSpec((2,))})
    normalizer.update({"x": torch.randn(5, 2)})
    before = normalizer.mean_0.clone()  # type: ignore[operator]
    assert statistics(normalizer.to(torch.bfloat16)) == {torch.float64}
    assert torch.equal(normalizer.mean_0, before)  # type: ignore[arg-type]
    moved = normalizer.to("meta")
    assert statistics(moved) == {torch.float32}
    assert {x.device.type for x in moved.buffers()} == {"meta"}


@pytest.mark.usefixtures("no_float64")
def test_whole_numbers_are_standardised_as_float32() -> None:
    standardizer = Standardizer(1)
    standardizer.fit(torch.tensor([[0], [4]]).numpy())
    assert standardizer(torch.tensor([[2]])).dtype == torch.float32
