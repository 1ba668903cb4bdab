"""PredictionWriter: callback that writes predictions to a table."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import BasePredictionWriter
from torch import Tensor

from memup_lightning.data.subset import spread_over
from memup_lightning.distributed import all_gather_object
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.modules import MemoryTask
from memup_lightning.modules.ranges.far_inputs import Rows, far_inputs
from memup_lightning.modules.ranges.input_range import InputRange
from memup_lightning.protocols import EpisodeSplit
from memup_lightning.runs.parts import recorded_data
from memup_lightning.runs.run_folder import check_writable, run_folder
from memup_lightning.serving.inputs.reading import training_range
from memup_lightning.serving.tables.order import sort_table
from memup_lightning.serving.tables.writer import SUFFIXES, Columns, TableWriter, join_tables
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import warn_user

_MEMORY = "m"
_EPISODES, _STEPS = 512, 32  # of which numbers are compared with those of training


class PredictionWriter(BasePredictionWriter):
    """Callback that writes ``predictions.csv`` into the run folder of ``predict``; the command line adds one.

    There is a row for each evaluated step of a split, or for each row of a new file, in the order of the file, or by
    episode and step where the data are no file. The rows are sorted at the end, since lanes are predicted side by side.
    The columns: ``episode``, its number; the column of the episodes of a table, by its own name (``machine``); ``step``
    of the episode; ``row`` of the user's file; ``outcome``, empty where it is not known; ``prediction``;
    ``probability_CLASS`` of each class (of more than 100: ``probability``, that of the predicted one), or ``lower`` and
    ``upper`` of a number, in between which it lies with a probability of 0.9; ``correct``, ``local_uncertainty``,
    ``nll``. Classes that have names are written as these. What has several components has a column for each,
    ``outcome_0``, ... Several ranks write a part each; when all have finished, rank zero joins the parts, so their
    folder must be shared.

    Args:
        filename: of the table, ``.csv`` or ``.parquet``.
        memory: whether the state m_t of the memory is written too, ``m_0``, ``m_1``, ...

    Attributes:
        path: of the table, once ``predict`` has begun.
        rows: number of rows written; in the end, on rank zero, those of all ranks.

    Raises:
        MemUPError: a filename with another ending; parquet without pyarrow.
    """

    def __init__(self, filename: str = "predictions.csv", memory: bool = False) -> None:
        super().__init__(write_interval="batch")
        if Path(filename).suffix not in SUFFIXES:
            raise MemUPError(f"filename={filename}: give a name that ends in {' or '.join(SUFFIXES)}")
        if filename.endswith(".parquet") and importlib.util.find_spec("pyarrow") is None:
            raise MemUPError(f"filename={filename} needs pyarrow: pip install 'memup-lightning[arrow]'")
        self.filename = filename
        self.memory = memory
        self.path: Path | None = None
        self.rows = 0
        self._table: TableWriter | None = None
        self._split: EpisodeSplit | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        folder = run_folder(trainer)
        check_writable(folder)
        self.path = self._part(folder, trainer.global_rank)
        self._table = TableWriter(self.path)
        self.rows = 0
        data = recorded_data(trainer)
        self._split = None if data is None else data.splits[data.predicted_split()]
        if data is not None and self._split is not None and isinstance(pl_module, MemoryTask):
            known = InputRange(pl_module.encoder, self._split.task.input_fields, training_range(data.reading))
            for sentence in far_inputs(known, _sample(self._split, list(known.scales))):
                warn_user(sentence)

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
        assert self._table is not None
        if not isinstance(prediction, dict) or not all(isinstance(x, Tensor) and x.dim() for x in prediction.values()):
            raise MemUPError(
                f"PredictionWriter got {type(prediction).__name__} from {type(pl_module).__name__}.predict_step; "
                "it writes a dict of tensors with one row each: remove it from trainer.callbacks"
            )
        arrays = {
            name: x.float().cpu().numpy() if x.is_floating_point() else x.cpu().numpy()
            for name, x in prediction.items()
        }
        task = getattr(pl_module, "task", None)
        columns = self._columns(arrays, task if isinstance(task, TaskSpec) else None)
        self._table.write(columns)
        self.rows += len(next(iter(columns.values()), ()))

    def _columns(self, arrays: dict[str, np.ndarray[Any, Any]], task: TaskSpec | None) -> Columns:
        is_class = task is not None and task.outcome.type == "token"
        names = task.outcome.names if task is not None and is_class else ()
        columns: Columns = {}
        for name, x in arrays.items():
            if name == _MEMORY and not self.memory:
                continue
            if name == "probability" and x.ndim > 1:
                columns |= {f"{name}_{names[n] if names else n}": x[:, n] for n in range(x.shape[1])}
            elif x.ndim > 1:
                columns |= {f"{name}_{n}": part for n, part in enumerate(x.reshape(len(x), -1).T)}
            elif is_class and name in ("outcome", "prediction"):
                columns[name] = [None if number < 0 else names[number] if names else int(number) for number in x]
            else:
                columns[name] = x
            if name == "episode" and self._split is not None and self._split.keys:
                columns[self._split.key_name] = [self._split.keys[episode] for episode in x]
            if name == "step" and self._split is not None:
                rows = self._split.row_numbers(arrays["episode"], x)
                columns |= {} if rows is None else {"row": rows}
        return columns

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert self._table is not None
        self._close()
        assert self.path is not None
        rows = all_gather_object((self.rows, self._table.header))  # and by then every part is written
        if not trainer.is_global_zero:
            return
        self.rows = sum(number for number, _ in rows)
        header: list[str] = next((names for _, names in rows if names), [])
        join_tables(self.path, [self._part(self.path.parent, other) for other in range(1, len(rows))], header)
        sort_table(self.path, header)
        print(f"predictions: {self.path} ({counted(self.rows, 'row')})")

    def _part(self, folder: Path, rank: int) -> Path:
        name = Path(self.filename)
        return folder / (f"{name.stem}_{rank}{name.suffix}" if rank else name.name)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._table is not None:
            self._table.close()


def _sample(split: EpisodeSplit, names: Sequence[str]) -> Rows:
    """Return fields at some steps of some episodes, spread over the split."""
    steps = {int(x): spread_over(int(split.lengths[x]), _STEPS) for x in spread_over(len(split.lengths), _EPISODES)}
    values = {name: np.concatenate([split.read_field(x, at, name) for x, at in steps.items()]) for name in names}
    lengths = np.array([len(at) for at in steps.values()])
    keys, key_name = (split.keys, split.key_name) if split.keys else (range(len(split.lengths)), "episode")
    return Rows(values, lengths, [keys[x] for x in steps], key_name, False, len(steps) == len(split.lengths))
