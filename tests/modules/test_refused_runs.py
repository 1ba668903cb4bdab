"""A run whose loss is not finite ends before a weight changes; a run is not resumed on other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.chunk import Chunk
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules import TBPTT, MemUP
from tests.modules.small_runs import data_of, model_of, often
from tests.training import quiet_trainer


def test_a_loss_that_is_not_finite_ends_the_run_before_a_weight_changes() -> None:
    class Broken(MemUP):
        def losses(self, chunk: Any, memory: Tensor) -> dict[str, Tensor]:
            found = super().losses(chunk, memory)
            return found | {"local_loss": found["local_loss"] * (torch.nan if chunk.step == 3 else 1)}

    data = data_of()
    model = model_of(data, Broken)
    with pytest.raises(MemUPError, match="local_loss is not finite at update 3"):
        quiet_trainer(9, [often()], limit_val_batches=0).fit(model, data)
    assert all(x.isfinite().all() for x in model.state_dict().values())


@pytest.mark.parametrize(("kind", "term"), [(MemUP, "memory_loss"), (TBPTT, "outcome_loss"), (MemUP, "local_loss")])
def test_a_loss_that_is_not_finite_is_named_with_its_lane_episode_and_step(kind: Any, term: str) -> None:
    expected: list[str] = []

    class Broken(kind):  # type: ignore[misc]
        def losses(self, chunk: Chunk, memory: Tensor) -> dict[str, Tensor]:
            self.chunk = chunk
            return super().losses(chunk, memory)  # type: ignore[no-any-return]

        def mean_losses(self, terms: dict[str, tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
            if self.global_step == 7:
                loss, counts = terms[term]
                row, *rest = counts.nonzero()[-1].tolist()
                terms[term] = (
                    loss.index_put((torch.tensor(row), *map(torch.tensor, rest)), torch.tensor(torch.nan)),
                    counts,
                )
                if term == "memory_loss":  # of the prediction points 1 and 4
                    lane, step = row, self.chunk.start[row] + (1, 4)[rest[0]]
                elif term == "local_loss":
                    lane, step = row, self.chunk.probes.position[row, rest[0]]
                else:
                    at = [(lane, t) for lane in range(8) for t in range(5) if self.chunk.eval_mask[lane, t]]
                    lane, step = at[row][0], self.chunk.start[at[row][0]] + at[row][1]
                expected.append(f"at update 7, in lane {lane} (episode {self.chunk.episode[lane]}, step {step}); lower")
            return super().mean_losses(terms)  # type: ignore[no-any-return]

    data = data_of()
    model = model_of(data, Broken, **({"predict_every": 3} if kind is MemUP else {}))
    refresh = [TargetRefresh(every=5, settle=1, max_wait=2)] if kind is MemUP else []
    with pytest.raises(MemUPError, match=f"^{term} is not finite at update 7") as raised:
        quiet_trainer(20, refresh, limit_val_batches=0).fit(model, data)
    assert expected[0] in str(raised.value)


@pytest.mark.parametrize("other", [{"length": 60}, {"length": 10}, {"distractors": 3}, {"mode": "LN"}], ids=str)
def test_a_run_is_not_resumed_on_other_episodes(tmp_path: Path, other: dict[str, Any]) -> None:
    data = data_of()
    trainer = quiet_trainer(3, [often()], limit_val_batches=0)
    trainer.fit(model_of(data), data)
    trainer.save_checkpoint(tmp_path / "run.ckpt")
    changed = data_of(**other)
    with pytest.raises(MemUPError, match="trained on other episodes"):
        quiet_trainer(6, [often()], limit_val_batches=0).fit(
            model_of(changed), changed, ckpt_path=tmp_path / "run.ckpt"
        )


def test_a_run_is_not_resumed_on_a_file_that_was_replaced(tmp_path: Path) -> None:
    def fit(updates: int, seed: int, ckpt: Path | None = None) -> Trainer:
        draw = np.random.default_rng(seed)
        np.savez(tmp_path / "own.npz", x=draw.random((20, 15, 2)), y=draw.integers(0, 2, (20, 15)))
        data = ArrayDataModule(str(tmp_path / "own.npz"), lanes=4, chunk_length=5, seed=1)
        trainer = quiet_trainer(updates, [often()], limit_val_batches=0)
        trainer.fit(model_of(data), data, ckpt_path=ckpt)
        return trainer

    fit(3, seed=0).save_checkpoint(tmp_path / "run.ckpt")
    with pytest.raises(MemUPError, match="trained on other episodes"):
        fit(6, seed=1, ckpt=tmp_path / "run.ckpt")
    assert fit(6, seed=0, ckpt=tmp_path / "run.ckpt").global_step == 6
