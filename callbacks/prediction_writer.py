"""PredictionWriter: callback that writes predictions to a table."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from memup_lightning.distributed import all_gather_object
from memup_lightning.exceptions import MemUPError
from memup_lightning.runs.parts import recorded_data
from memup_lightning.runs.run_folder import check_writable, run_folder
from memup_lightning.specs import TaskSpec


class PredictionWriter(BasePredictionWriter):
    """Callback that writes ``predictions.csv`` into the run folder of ``predict``, a row for each evaluated step.

    The columns are the entries that ``predict_step`` returns (episode, step, outcome, prediction, correct,
    local_uncertainty, nll); an entry with several components has a column for each, ``outcome_0``, ``outcome_1``, ...
    Where the data have names for their episodes (the machine of a table of machines), a column ``episode_key`` follows the
    number; classes that have names are written as these.
    Several ranks write a part each; when all have finished, rank zero joins the parts, so their folder must be shared.

    Args:
        filename: of the table.

    Attributes:
        path: of the table, once ``predict`` has begun.
        rows: number of rows written; in the end, on rank zero, those of all ranks.
    """

    def __init__(self, filename: str = "predictions.csv") -> None:
        super().__init__(write_interval="batch")
        self.filename = filename
        self.path: Path | None = None
        self.rows = 0
        self._file: IO[str] | None = None
        self._header: list[str] = []
        self._keys: Sequence[str] = ()  # of the episodes

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)
        check_writable(folder)
        self.path = self._part(folder, trainer.global_rank)
        self._file = self.path.open("w", newline="")
        self._header, self.rows = [], 0
        data = recorded_data(trainer)
        self._keys = () if data is None else data.splits["test"].keys

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
        assert self._file is not None
        if not isinstance(prediction, dict) or not all(isinstance(x, Tensor) and x.dim() for x in prediction.values()):
            raise MemUPError(
                f"PredictionWriter got {type(prediction).__name__} from {type(pl_module).__name__}.predict_step; "
                "it writes a dict of tensors with one row each: remove it from trainer.callbacks"
            )
        task = getattr(pl_module, "task", None)
        classes = task.outcome.names if isinstance(task, TaskSpec) and task.outcome.type == "token" else ()
        columns: dict[str, list[Any]] = {}
        for name, x in prediction.items():
            if x.dim() == 1:
                columns[name] = x.tolist()
                if name == "episode" and self._keys:
                    columns["episode_key"] = [self._keys[episode] for episode in columns[name]]
                elif name in ("outcome", "prediction") and classes:
                    columns[name] = [classes[number] for number in columns[name]]
            else:
                flat = x.flatten(1).unbind(1)
                columns |= {f"{name}_{number}": part.tolist() for number, part in enumerate(flat)}
        if not self._header:
            self._header = list(columns)
            csv.writer(self._file).writerow(self._header)
        rows = list(zip(*columns.values(), strict=True))
        csv.writer(self._file).writerows(rows)
        self.rows += len(rows)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()
        assert self.path is not None
        rows = all_gather_object((self.rows, self._header))  # and by then every part is written
        if not trainer.is_global_zero:
            return
        self.rows = sum(number for number, _ in rows)
        if not self._header and (header := next((names for _, names in rows if names), None)):
            self.path.write_text(",".join(header) + "\r\n", newline="")
        with self.path.open("ab") as whole:
            for other in range(1, len(rows)):
                part = self._part(self.path.parent, other)
                with part.open("rb") as lines:
                    lines.readline()  # its header
                    shutil.copyfileobj(lines, whole)
                part.unlink()
        print(f"predictions: {self.path} ({self.rows:,} rows)")

    def _part(self, folder: Path, rank: int) -> Path:
        name = Path(self.filename)
        return folder / (f"{name.stem}_{rank}{name.suffix}" if rank else name.name)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
