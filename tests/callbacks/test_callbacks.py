"""MemoryUsage and RunReport: what they measure and write, and that they change nothing."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import CSVLogger, Logger
from torch import Tensor, nn

from memup_lightning.callbacks import MemoryUsage, RunReport, TargetRefresh
from memup_lightning.callbacks.memory_usage import SavedTensors, extrapolate, measure_bptt
from memup_lightning.callbacks.plots import episode as episode_plots
from memup_lightning.callbacks.plots import style
from memup_lightning.callbacks.plots.timeline import FRAME_GAP, MAX_FRAMES, follow_episode
from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import TopK
from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import SmallImageEncoder, StepEncoder
from memup_lightning.models.memory import Memory, State
from memup_lightning.models.outcomes import QuantileOutcome
from memup_lightning.models.uncertainty import AverageSurprise, LocalPredictor
from memup_lightning.modules import MemUP
from memup_lightning.specs import FieldSpec, TaskSpec

pytestmark = pytest.mark.filterwarnings("error:RunReport")
PICTURES = ("gain_curve.png", "learning_curve.png", "memory.png", "uncertainty.png")


def maze(length: int = 30, **kwargs: Any) -> TMazeDataModule:
    sizes: dict[str, Any] = {
        "seed": 7,
        "num_train": 32,
        "num_val": 8,
        "lanes": 8,
        "chunk_length": 5,
        "restart": [0.3, 0.0],
    }
    return TMazeDataModule(length=length, **{"selector": TopK(1)} | sizes | kwargs)


def fit(
    folder: Path,
    data: EpisodeDataModule,
    callbacks: Sequence[Callback],
    steps: int = 40,
    logger: Logger | bool | None = None,
    ckpt_path: Path | None = None,
    sanity_steps: int = 0,
    **model: Any,
) -> Trainer:
    seed_everything(7)
    torch.set_num_threads(1)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        val_check_interval=min(20, steps),
        check_val_every_n_epoch=None,
        log_every_n_steps=10,
        num_sanity_val_steps=sanity_steps,
        logger=CSVLogger(folder, name="", version="") if logger is None else logger,
        default_root_dir=folder,
        callbacks=[TargetRefresh(every=20, settle=5, max_wait=10), *callbacks],
        enable_checkpointing=any(isinstance(callback, ModelCheckpoint) for callback in callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(MemUP(data.task, **model), datamodule=data, ckpt_path=ckpt_path, weights_only=False)
    return trainer


def read_summary(folder: Path) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def is_a_picture(path: Path) -> bool:
    image = matplotlib.image.imread(path)
    drawn = (image[..., :3].min(-1) < 0.9).mean()
    return bool(image.shape[1] >= 1200 and 0.005 < drawn < 0.7)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    fit(folder, maze(), [MemoryUsage(), RunReport()])
    return folder


# --- RunReport


def test_the_summary_says_what_the_run_was_and_what_came_out(finished: Path) -> None:
    summary = read_summary(finished)
    assert summary["finished"]
    assert summary["reason"] is None
    assert summary["data"] == "TMaze"
    assert summary["updates"] == 40
    assert summary["seed"] == 7
    data = maze()
    data.setup("fit")
    assert summary["environment_steps"] == data.sources["train"].total_steps
    assert data.steps_name == "environment steps"
    assert 0 < summary["seconds_training"] < summary["seconds_total"]
    assert 50 < summary["peak_rss_mb"] < 100_000
    assert summary["saved_tensor_bytes"] > 0
    assert summary["machine"]["torch_threads"] == 1
    assert set(summary["versions"]) == {
        "python",
        "torch",
        "pytorch_lightning",
        "memup_lightning",
        "gymnasium",
        "numpy",
    }
    metrics = summary["metrics"]
    wanted = {
        "val/accuracy",
        "val/memory_gain",
        "val/target_recall",
        "val/nll",
        "val/mse",
        "val/local_accuracy",
        "train/loss",
        "refresh/seconds",
        "memory/saved_tensor_bytes",
        "memory/bptt_bytes_extrapolated",
        "memory/peak_rss_mb",
    }
    assert wanted <= set(metrics)
    assert "loss" not in metrics, "the progress bar's copy of train/loss"
    assert all(isinstance(x, float) for x in metrics.values())


def test_the_pictures_show_something(finished: Path) -> None:
    for name in PICTURES:
        assert is_a_picture(finished / name), name


def test_nothing_half_written_is_left(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"summary.json", "metrics.csv", *PICTURES}


def test_the_table_at_the_end_names_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(tmp_path, maze(), [MemoryUsage(), RunReport(pictures=False)], steps=2)
    printed = capsys.readouterr().out
    assert "full BPTT (extrapolated)" in printed
    assert str(tmp_path) in re.sub(r"[\s│]", "", printed), "the folder is not cut, it may be wrapped"
    assert not list(tmp_path.glob("*.png"))


class Stop(Callback):
    def __init__(self, error: BaseException, step: int = 5) -> None:
        self.error = error
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx == self.step:
            raise self.error


@pytest.fixture
def interrupts_as_before() -> Iterator[None]:
    """Lightning ignores further interrupts after the first."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts_as_before")
@pytest.mark.parametrize("error", [RuntimeError("the disk is full"), KeyboardInterrupt()])
def test_a_run_that_dies_leaves_what_is_known_and_why(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises((RuntimeError, SystemExit)):
        fit(tmp_path, maze(), [MemoryUsage(), RunReport(), Stop(error)])
    summary = read_summary(tmp_path)
    assert not summary["finished"]
    assert summary["reason"].startswith(type(error).__name__)
    assert str(error) in summary["reason"]
    assert summary["updates"] == 5
    assert summary["saved_tensor_bytes"] > 0
    assert "val/accuracy" not in summary["metrics"]


@pytest.mark.parametrize("logger", [False, True])
def test_a_run_whose_data_cannot_be_set_up_leaves_no_summary(
    tmp_path: Path, logger: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: TMazeDataModule, stage: str) -> None:
        raise MemUPError("no such file")

    monkeypatch.setattr(TMazeDataModule, "setup", refuse)
    with pytest.raises(MemUPError, match="no such file"):
        fit(tmp_path, maze(), [RunReport()], logger=logger)
    assert not list(tmp_path.rglob("summary.json"))


def test_a_run_that_dies_in_the_measured_step_leaves_no_hooks(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        fit(tmp_path, maze(), [MemoryUsage(), RunReport(), Stop(RuntimeError(), step=0)])
    assert torch._C._autograd._top_saved_tensors_default_hooks(True) is None


@pytest.mark.filterwarnings("default:RunReport")
def test_a_picture_that_fails_does_not_take_the_run_with_it(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="could not draw"):
        fit(tmp_path, maze(), [RunReport(episode=1000)], steps=2)
    assert read_summary(tmp_path)["finished"]


def test_a_resumed_run_keeps_its_history_and_its_seconds(tmp_path: Path) -> None:
    saver = ModelCheckpoint(dirpath=tmp_path, save_last=True, every_n_train_steps=25)
    fit(tmp_path / "first", maze(), [RunReport(), saver], steps=25)
    first = read_summary(tmp_path / "first")
    report = RunReport()
    fit(tmp_path / "second", maze(), [report], steps=40, ckpt_path=tmp_path / "last.ckpt")
    assert [row["updates"] for row in report.history] == [20, 40]
    second = read_summary(tmp_path / "second")
    assert second["updates"] == 40
    assert second["seconds_training"] > first["seconds_training"]


def test_the_seconds_of_a_sanity_check_are_no_training(tmp_path: Path) -> None:
    class Watch(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            seconds.append(report.seconds_training)

    seconds: list[float] = []
    report = RunReport()
    fit(tmp_path, maze(), [report, Watch()], steps=5, sanity_steps=2)
    assert seconds[0] > 0
    assert seconds == sorted(seconds)


def test_without_a_logger_the_report_goes_to_a_folder_of_its_own(tmp_path: Path) -> None:
    fit(tmp_path, maze(), [MemoryUsage(), RunReport()], steps=4, logger=False)
    folder = tmp_path / "lightning_logs" / "version_0"
    assert read_summary(folder)["metrics"]["val/accuracy"] >= 0
    assert is_a_picture(folder / "uncertainty.png"), "nothing was selected yet: the evaluated step is drawn"


class Copy(EpisodeDataModule):
    """Symbols at the beginning are asked for at the end."""

    eval_mask = True

    @property
    def task(self) -> TaskSpec:
        return TaskSpec(
            fields={"symbol": FieldSpec((), "int32", "token", 5), "clock": FieldSpec()},
            inputs={"symbol": 0},
            context=("clock", "symbol"),
            outcome=FieldSpec((), "int64", "token", 4),
        )

    def episodes(self, split: str) -> EpisodeSource:
        episodes, steps, symbols = 16, 140, 3
        symbol = np.full((episodes, steps), 4, np.int32)
        outcome = np.zeros((episodes, steps), np.int64)
        clock = np.zeros((episodes, steps), np.float32)
        symbol[:, :symbols] = outcome[:, -symbols:] = np.random.default_rng(0).integers(0, 4, (episodes, symbols))
        clock[:, -symbols:] = np.arange(1, symbols + 1)
        arrays: dict[str, Any] = {"symbol": symbol.ravel(), "clock": clock.ravel(), OUTCOME: outcome.ravel()}
        fields = {**self.task.fields, OUTCOME: self.task.outcome, EVAL_MASK: FieldSpec((), "bool")}
        if self.eval_mask:
            arrays[EVAL_MASK] = (clock > 0).ravel()
        return ArrayEpisodes(arrays, [steps] * episodes, fields)


class UnjudgedCopy(Copy):
    eval_mask = False


@pytest.mark.parametrize(
    ("data", "model"),
    [
        (lambda: Copy(lanes=8, selector=TopK(3)), {}),
        (lambda: UnjudgedCopy(lanes=8, selector=TopK(4)), {"uncertainty": AverageSurprise()}),
        (lambda: maze(130, selector=TopK(2)), {"outcome": QuantileOutcome}),
    ],
    ids=["classes, K=3", "classes, no evaluated steps, K=4", "quantiles, K=2"],
)
def test_every_type_of_outcome_is_drawn(tmp_path: Path, data: Any, model: dict[str, Any]) -> None:
    fit(tmp_path, data(), [MemoryUsage(), RunReport()], steps=20, **model)
    for name in PICTURES:
        assert is_a_picture(tmp_path / name), name


def test_the_timeline_shows_what_the_memory_says_at_every_step_up_to_the_target() -> None:
    data = maze()
    data.setup("fit")
    data.splits["train"].targets.num_refreshes = 1
    model = MemUP(data.task)
    line = follow_episode(model, data)
    length = int(data.sources["val"].lengths[0])
    assert line.steps == length
    assert line.eval_mask.tolist() == [length - 1]
    (prediction,) = line.predictions
    assert [prediction.step] == line.targets.tolist()
    assert line.uncertainty[prediction.step] == np.nanmax(line.uncertainty)
    assert np.isfinite(prediction.with_memory[: prediction.step + 1]).all()
    assert np.isnan(prediction.with_memory[prediction.step + 1 :]).all()
    assert model.training


class Seen(Copy):
    """Every step looks like its own number."""

    @property
    def task(self) -> TaskSpec:
        look = FieldSpec((16, 20, 3), "uint8", "image")
        return replace(super().task, fields={**super().task.fields, "look": look}, context=("clock", "look"))

    def episodes(self, split: str) -> EpisodeSource:
        source = super().episodes(split)
        assert isinstance(source, ArrayEpisodes)
        step = np.tile(np.arange(140, dtype=np.uint8), len(source))
        arrays = {**source.arrays, "look": np.broadcast_to(step[:, None, None, None], (len(step), 16, 20, 3)).copy()}
        return ArrayEpisodes(arrays, source.lengths, {**source.fields, "look": self.task.fields["look"]})


def test_the_timeline_keeps_the_images_of_uncertain_steps(tmp_path: Path) -> None:
    data = Seen(lanes=8, selector=TopK(3))
    data.setup("fit")
    data.splits["train"].targets.num_refreshes = 1
    encoder = partial(StepEncoder, image=SmallImageEncoder)
    local = partial(LocalPredictor, image=SmallImageEncoder)
    line = follow_episode(MemUP(data.task, encoder=encoder, context_encoder=encoder, local=local), data)
    steps = [frame.step for frame in line.frames]
    assert steps[0] == 0
    assert len(steps) == MAX_FRAMES
    assert min(np.diff(steps)) >= FRAME_GAP
    assert int(np.nanargmax(line.uncertainty)) in steps
    for frame in line.frames:
        assert (frame.image == frame.step).all()
        assert frame.selected == (frame.step in line.targets)
    style.save(episode_plots.frames(line), tmp_path / "frames.png")
    assert is_a_picture(tmp_path / "frames.png")


# --- MemoryUsage


def test_each_storage_counts_once_and_ignored_ones_not_at_all() -> None:
    weight = torch.ones(10, 10, requires_grad=True)
    x = torch.ones(5, 10)
    with SavedTensors([weight, x]) as counter:
        hidden = torch.tanh(x @ weight)  # tanh saves its output, the product its ignored factors
        (hidden[:2] * hidden[2:4]).sum()  # the product saves two views of the same storage
    assert counter.bytes == 5 * 10 * 4


def test_saved_bytes_of_a_step_do_not_depend_on_the_episodes_length(tmp_path: Path) -> None:
    usages = {length: MemoryUsage() for length in (50, 500)}
    for length, usage in usages.items():
        fit(tmp_path / str(length), maze(length), [usage, RunReport(pictures=False)], steps=14)
    assert usages[50].saved_tensor_bytes == usages[500].saved_tensor_bytes
    short, long = (read_summary(tmp_path / str(length))["metrics"] for length in (50, 500))
    assert 7 < long["memory/bptt_bytes_extrapolated"] / short["memory/bptt_bytes_extrapolated"] < 10


def test_bytes_of_full_bptt_grow_linearly_with_the_number_of_steps() -> None:
    data = maze()
    data.setup("fit")
    chunk = next(iter(data.train_dataloader()))
    found = measure_bptt(MemUP(data.task), chunk)
    assert list(found) == [5, 64, 128, 256]
    assert (found[256] - found[128]) / (found[128] - found[64]) == pytest.approx(2, rel=0.01)
    assert extrapolate(found, 512) == pytest.approx(2 * found[256], rel=0.02)


class Forgetful(Memory):
    """A core that draws random numbers and keeps a running mean: whatever disturbs either changes the weights."""

    count: Tensor

    def __init__(self, input_size: int) -> None:
        super().__init__()
        self.output_size = 8
        self.rnn = nn.GRU(input_size, 8, batch_first=True)
        self.register_buffer("count", torch.zeros(()))

    def initial_state(self, lanes: int) -> State:
        return torch.zeros(lanes, 8)

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        if self.training:
            self.count += 1
        out, hidden = self.rnn(nn.functional.dropout(x, 0.5, self.training), state[None])
        return out / (1 + 0.01 * self.count), hidden[0]


class Trap(Callback):
    """Keeps what a step is about to start from."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Chunk, batch_idx: int) -> None:
        self.rng = torch.get_rng_state()


def test_weights_are_the_same_bit_for_bit_with_the_callbacks_and_without(tmp_path: Path) -> None:
    def trained(folder: Path, callbacks: Sequence[Callback]) -> dict[str, Tensor]:
        trap = Trap()
        trainer = fit(folder, maze(), [*callbacks, trap], steps=30, memory=Forgetful)
        weights: dict[str, Tensor] = trainer.lightning_module.state_dict()
        return weights | {"rng at the end": torch.get_rng_state(), "rng of the last step": trap.rng}

    plain = trained(tmp_path / "plain", [])
    watched = trained(tmp_path / "watched", [MemoryUsage(), RunReport()])
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_measuring_full_bptt_leaves_gradients_alone() -> None:
    data = maze()
    data.setup("fit")
    model = MemUP(data.task)
    measure_bptt(model, next(iter(data.train_dataloader())))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert model.lanes.after is None
