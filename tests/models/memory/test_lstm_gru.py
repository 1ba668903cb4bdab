"""LSTM and GRU: chrono initialisation, additive candidates, kernels of the processor."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.models.memory import GRU, LSTM
from memup_lightning.models.memory.layers import torch_rnn
from tests.command_line import ROOT
from tests.models.memory.cores import FEATURES, LANES, NEVER, core_of, inputs, leaves


def test_an_lstm_with_chrono_forgets_after_times_up_to_the_dependency() -> None:
    core = LSTM(4, hidden_size=400, chrono=1000)
    bias = (core.rnn.bias_ih_l0 + core.rnn.bias_hh_l0).detach()
    into, forget = bias[:400], bias[400:800]
    times = forget.exp()
    assert times.min() >= 1
    assert times.max() <= 999
    assert abs(times.mean() - 500) < 60  # uniform in time, not in its logarithm
    assert torch.equal(into, -forget)


def test_an_lstm_with_chrono_and_open_input_gates_takes_in_more_of_a_single_step() -> None:
    def taken_in(chrono_input: bool) -> float:
        torch.manual_seed(1)
        core = LSTM(4, hidden_size=400, chrono=1000, chrono_input=chrono_input)
        _, (_, cell) = core.scan(torch.ones(1, 1, 4), core.initial_state(1))  # type: ignore[misc]
        return float(cell.detach().abs().mean())

    assert taken_in(chrono_input=False) > 20 * taken_in(chrono_input=True)


def test_a_gru_with_chrono_keeps_its_state_for_times_up_to_the_dependency() -> None:
    core = GRU(4, hidden_size=400, chrono=1000)
    update = (core.rnn.bias_ih_l0 + core.rnn.bias_hh_l0).detach()[400:800]
    times = update.exp()
    assert times.min() >= 1
    assert times.max() <= 999
    assert abs(times.mean() - 500) < 60


@pytest.mark.parametrize("core", [partial(LSTM, additive=False), GRU], ids=["LSTM", "GRU"])
def test_a_core_with_chrono_remembers_longer(core: Any) -> None:
    def kept(chrono: int) -> float:
        """How far two states of different beginnings are apart after 300 equal steps, as a share of before."""
        torch.manual_seed(0)
        memory = core(FEATURES, hidden_size=32, chrono=chrono)
        x = torch.randn(2, 300, FEATURES) * 0.1
        x[1] = x[0]
        _, state = memory(torch.randn(2, 5, FEATURES) * 3, memory.initial_state(2), torch.zeros(2, dtype=torch.bool))
        _, after = memory(x, state, torch.zeros(2, dtype=torch.bool))
        apart = [(leaves(s)[-1][0] - leaves(s)[-1][1]).norm().item() for s in (state, after)]
        return apart[1] / apart[0]

    assert kept(1000) > 20 * kept(0)


def test_with_recurrent_candidates_the_initialisation_is_torchs_own() -> None:
    torch.manual_seed(0)
    ours = LSTM(4, hidden_size=5, additive=False)
    torch.manual_seed(0)
    theirs = nn.LSTM(4, 5, batch_first=True)
    assert all(torch.equal(a, b) for a, b in zip(ours.rnn.parameters(), theirs.parameters(), strict=True))


def test_a_fresh_lstm_keeps_an_input_for_1_to_1000_steps() -> None:
    core = LSTM(1, hidden_size=64)
    x = torch.zeros(1, 1001, 1)
    x[0, 0] = 1
    cells = torch.stack([core.scan(x[:, :n], core.initial_state(1))[1][1].flatten() for n in (1, 101, 1001)]).abs()
    kept = (cells[1:] / cells[0]).detach()
    assert ((kept >= 0) & (kept <= 1)).all()  # nothing else is added
    assert 15 < (kept[0] > 0.3).sum() < 30
    assert 1 <= (kept[1] > 0.3).sum() <= 4


@pytest.mark.parametrize("copied", [lambda core: core, copy.deepcopy, lambda core: pickle.loads(pickle.dumps(core))])
@pytest.mark.parametrize("chrono", [0, 50])
@pytest.mark.parametrize("additive", [True, False])
def test_the_candidates_of_an_additive_lstm_never_read_the_state(additive: bool, chrono: int, copied: Any) -> None:
    core = copied(LSTM(FEATURES, hidden_size=6, num_layers=2, additive=additive, chrono=chrono))
    optimizer = torch.optim.Adam(core.parameters(), 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        core.scan(torch.randn(4, 9, FEATURES), core.initial_state(4))[0].square().sum().backward()
        optimizer.step()
    for layer in range(2):
        gates, candidate = core.rnn.get_parameter(f"weight_hh_l{layer}").split([12, 12])[0], slice(12, 18)
        assert gates.any()
        assert bool(core.rnn.get_parameter(f"weight_hh_l{layer}")[candidate].any()) == (not additive)


def test_a_cpu_without_an_lstm_kernel_for_bfloat16_runs_it_in_float32_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lstm = torch.lstm

    def without_avx512(x: Tensor, *rest: Any) -> Any:
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("could not create a primitive descriptor for the LSTM forward propagation primitive")
        return lstm(x, *rest)

    monkeypatch.setattr(torch, "lstm", without_avx512)
    monkeypatch.setattr("torch.nn.modules.rnn._VF.lstm", without_avx512, raising=False)
    torch_rnn._lstm_supports.cache_clear()
    core = core_of("LSTM")
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match="no bfloat16 kernel.*float32") as said:
        outs = [core(inputs().bfloat16(), core.initial_state(LANES), NEVER)[0] for _ in range(2)]
    torch_rnn._lstm_supports.cache_clear()
    assert len(said) == 1
    assert torch.equal(outs[0], outs[1])
    assert torch.allclose(outs[0], core(inputs(), core.initial_state(LANES), NEVER)[0], atol=0.01)


def test_mixed_precision_runs_on_a_cpu_with_avx2_alone() -> None:
    code = """if True:
        import torch
        from memup_lightning.models.memory import GRU, LSTM
        x, never = torch.randn(3, 12, 4), torch.zeros(3, dtype=torch.bool)
        for core in (LSTM(4), LSTM(4, additive=False), LSTM(4, num_layers=2, additive=False), GRU(4)):
            exact, _ = core(x, core.initial_state(3), never)
            with torch.autocast("cpu", torch.bfloat16):
                out, _ = core(x, core.initial_state(3), never)
            assert torch.allclose(out.float(), exact, atol=0.1, rtol=0.1)
            out.float().sum().backward()
    """
    limited = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limited, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("it runs in float32, which is slower") <= 1  # none where the processor is another
