"""Runs on a text of the user, from the command line."""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from memup_lightning.cli.main import main
from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.datamodules import TextDataModule
from memup_lightning.models.outcomes import AdaptiveCategoricalOutcome, Outcome
from memup_lightning.modules import MemUP
from memup_lightning.modules.targets.scoring import score_episodes
from tests.command_line import ROOT

SAMPLE = ROOT / "memup_lightning" / "data" / "text" / "sample"
RUN = ["--model=MemUP", "--data=TextDataModule", "--data.lanes=8", "--data.chunk_length=4", "--trainer.accelerator=cpu"]
RUN += ["--trainer.enable_progress_bar=false", "--seed_everything=1"]


def test_a_text_is_trained_on_and_another_one_predicted_as_a_table_and_as_a_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.txt").write_text((SAMPLE / "train.txt").read_text())
    (tmp_path / "other.txt").write_text("Mr. Bennet was among the zzzz of those.\n")
    given = [*RUN, "--data.files=[my.txt]"]
    main(["fit", *given, "--trainer.max_steps=3", "--trainer.enable_model_summary=false"])
    predict = ["predict", *given, "--ckpt_path=last", "--on=other.txt"]
    main(predict)
    (table,) = tmp_path.rglob("predictions.csv")
    rows = list(csv.DictReader(table.open()))
    words = [".", "bennet", "was", "among", "the", "<unknown>", "of", "those", "."]
    assert [row["outcome"] for row in rows] == words
    assert [row["text"] for row in rows] == ["other.txt:0"] * len(rows)
    assert all(0 < float(row["probability"]) < 1 for row in rows)
    main([*predict, "--trainer.callbacks+=TextPage"])
    (page,) = tmp_path.rglob("text.html")
    shown = re.findall(r"<span[^>]*>([^<]*)</span>", page.read_text())
    assert [html.unescape(word) for word in shown] == words


def test_many_classes_are_evaluated_and_scored_in_blocks_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    data = TextDataModule([str(SAMPLE / "train.txt")], lanes=4, num_words=300, length=50)
    model = MemUP(data.task, outcome=AdaptiveCategoricalOutcome)
    data.setup("fit")

    def measured() -> tuple[dict[str, float], torch.Tensor]:
        split = data.splits["val"]
        score_episodes(data, model, "val", np.arange(6), 3)
        model.start_evaluation()
        with torch.no_grad():
            for chunk in split.chunks():
                model.evaluate(chunk)
            predicted = [model.predict_step(chunk, 0)["prediction"] for chunk in split.chunks()]
        found = {name: float(x.compute()) for name, x in model.metrics.items() if x.update_count}
        chosen = split.targets.select(np.arange(6), np.zeros(6, np.int64))
        return found | {"targets": float(chosen.sum())}, torch.cat(predicted)

    assert isinstance(data.sources["val"], EpisodeSource)
    whole, predicted = measured()
    monkeypatch.setattr(Outcome, "rows_at_once", 7)
    blocks, again = measured()
    assert blocks == pytest.approx(whole, rel=1e-4)
    assert torch.equal(again, predicted)
