"""TextPage: callback that writes a text as a page, each word coloured by how uncertain it was."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter

from memup_lightning.data.targets import TargetTable
from memup_lightning.distributed import world_size
from memup_lightning.exceptions import MemUPError
from memup_lightning.files import atomic_write
from memup_lightning.runs.parts import recorded_data, run_data
from memup_lightning.runs.run_folder import check_writable, run_folder
from memup_lightning.typing import BoolArray, FloatArray
from memup_lightning.user_warnings import option

_MAX_WORDS = 20_000  # those of the first episodes
_READ = ("step", "outcome", "prediction", "probability", "local_uncertainty", "nll")
_HEAD = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>
body {{ max-width: 46em; margin: 2em auto; font: 17px/1.7 Georgia, serif; color: #222 }}
span {{ border-radius: 3px; padding: 0 1px }} .t {{ outline: 2px solid #b03000 }} .r {{ border-bottom: 2px solid #207030 }}
small {{ color: #666 }}
</style>
<p><small>{title}: {words:,} words. Background: how uncertain the word is without memory, up to
{most:.1f} nats. Framed: chosen as a target. Underlined: the memory expects this word. Point at a word to
see what it expects.</small></p>
"""


class TextPage(BasePredictionWriter):
    """Callback that writes ``text.html`` into the run folder of ``predict``, in place of the table of predictions.

        memup predict --model MemUP --data TextDataModule --data.files='[my.txt]' --ckpt_path last --on other.txt \\
          --trainer.callbacks+=TextPage

    A word has a background as strong as its uncertainty without memory, and a frame where it is a target of a chunk.
    Pointing at it shows what the memory expects, and the bits that the word costs with it.

    Raises:
        MemUPError: outcomes that are no words.
    """

    def __init__(self) -> None:
        super().__init__(write_interval="batch")
        self.path: Path | None = None
        self._rows: dict[int, list[dict[str, Any]]] = defaultdict(list)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        task = getattr(pl_module, "task", None)
        if task is None or not task.outcome.names:
            raise MemUPError(
                "TextPage writes words, and the outcomes have no names; predict with TextDataModule, "
                f"{option('data.unit', 'word')}"
            )
        if world_size() > 1:
            raise MemUPError(f"TextPage writes from one process; predict with {option('trainer.devices', 1)}")
        folder = run_folder(trainer)
        check_writable(folder)
        self.path = folder / "text.html"
        self._rows.clear()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        for episode in prediction["episode"].unique().tolist():
            rows = prediction["episode"] == episode
            self._rows[episode].append({name: prediction[name][rows].cpu().numpy() for name in _READ})

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = recorded_data(trainer)
        assert self.path is not None
        assert data is not None
        task: Any = pl_module.task
        names, words = task.outcome.names, 0
        body: list[str] = []
        most = max(float(rows["local_uncertainty"].max()) for parts in self._rows.values() for rows in parts)
        for _, parts in sorted(self._rows.items()):
            rows = {name: np.concatenate([part[name] for part in parts])[: _MAX_WORDS - words] for name in _READ}
            if not len(rows["step"]):
                break
            words += len(rows["step"])
            chosen = _targets(data, rows["local_uncertainty"])
            body.append(f"<p>{' '.join(_spans(rows, chosen, names, most))}</p>\n")
        named = run_data(trainer)
        title = "text" if named is None else named.label
        with atomic_write(self.path) as file:
            file.write(_HEAD.format(title=html.escape(title), words=words, most=most).encode())
            file.write("".join(body).encode())
        print(f"text: {self.path} ({words:,} words)")


def _targets(data: Any, uncertainty: FloatArray) -> BoolArray:
    """Return which words of an episode are targets of one of its chunks."""
    table = TargetTable(data.selector, 1)
    collector = table.collect(np.zeros(1, np.int64), torch.device("cpu"))
    steps = torch.arange(len(uncertainty))[None]
    collector.extend(torch.from_numpy(uncertainty)[None], steps, torch.ones_like(steps, dtype=torch.bool))
    collector.finish()
    table.complete_refresh()
    starts = np.arange(0, len(uncertainty), data.chunk_length)
    chosen = table.select(np.zeros_like(starts), starts)
    found: BoolArray = np.isin(np.arange(len(uncertainty)), chosen)
    return found


def _spans(rows: dict[str, Any], chosen: BoolArray, names: Sequence[str], most: float) -> Iterator[str]:
    for number, (outcome, prediction) in enumerate(zip(rows["outcome"], rows["prediction"], strict=True)):
        strength = max(0.0, float(rows["local_uncertainty"][number])) / max(most, 1e-9)
        classes = " ".join(name for name, on in (("t", chosen[number]), ("r", outcome == prediction)) if on)
        shown = (
            f"expected: {names[prediction]} ({rows['probability'][number]:.0%}); uncertainty without memory "
            f"{rows['local_uncertainty'][number]:.1f} nats; cost with it {rows['nll'][number] / np.log(2):.1f} bits"
        )
        yield (
            f'<span class="{classes}" style="background:rgba(255,140,0,{0.7 * strength**2:.2f})" '
            f'title="{html.escape(shown)}">{html.escape(names[outcome])}</span>'
        )
