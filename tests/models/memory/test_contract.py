"""The trial of a memory core: every broken rule is named, and what keeps the rules passes unchanged."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import GRU, XLSTM, GTrXL, RNNAdapter, check_memory, make_memory

FEATURES = 4


class Stateless(nn.Module):
    """A core without a base class: the three members are enough."""

    output_size = 2

    def initial_state(self, lanes: int) -> Any:
        return torch.zeros(lanes, 2)

    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return x.new_zeros(*x.shape[:2], 2), state


class NoSize(nn.Module):
    initial_state = Stateless.initial_state
    forward = Stateless.forward


class NoInitialState(nn.Module):
    output_size = 2
    forward = Stateless.forward


class WrongOutput(Stateless):
    output_size = 3


class StepsFirst(Stateless):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return x.new_zeros(x.shape[1], x.shape[0], 2), state


class GrowingState(Stateless):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x, state, is_first)[0], torch.cat([state, state], 1)


class OtherNesting(Stateless):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x, state, is_first)[0], (state,)


class OtherDtype(Stateless):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x, state, is_first)[0], state.double()


class LayersFirst(Stateless):
    def initial_state(self, lanes: int) -> Any:
        return torch.zeros(1, lanes, 2)


class TwoArguments(Stateless):
    def forward(self, x: Tensor, state: Any) -> Any:
        return x, state


class MinusBatchMean(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return out - out.mean(0, keepdim=True), state


class LeaksLaneZero(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return out + 1e-3 * out[:1], state


class RollsManyLanes(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return (out.roll(1, 0) if len(out) > 2 else out), state


class OwnState(GRU):
    kept: Any = None

    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        state = state if self.kept is None or self.kept.shape[0] != x.shape[0] else self.kept
        out, state = super().forward(x, state, is_first)
        self.kept = state.detach()  # type: ignore[union-attr]
        return out, state


class RandomOutput(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return out + torch.randn_like(out), state


class LooksAhead(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return out.flip(1), state


class WritesState(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, new = super().forward(x, state.clone(), is_first)
        state.copy_(new)
        return out, new


class WritesInput(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x.mul_(0.5), state, is_first)


class CountsSteps(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        out, state = super().forward(x, state, is_first)
        return out + torch.arange(x.shape[1])[:, None], state


class NeverResets(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x, state, torch.zeros_like(is_first))


class ResetsAll(GRU):
    def forward(self, x: Tensor, state: Any, is_first: Tensor) -> Any:
        return super().forward(x, state, is_first.any().expand_as(is_first))


@pytest.mark.parametrize(
    ("core", "said"),
    [
        (NoSize, "NoSize has no 'output_size'.*RNNAdapter"),
        (NoInitialState, "NoInitialState has no 'initial_state'"),
        (WrongOutput, r"WrongOutput returned an output of shape \[3, 6, 2\].*\[3, 6, 3\]"),
        (StepsFirst, r"StepsFirst returned an output of shape \[6, 3, 2\]"),
        (GrowingState, r"GrowingState got a state of float32 \[3, 2\] and returned one of float32 \[3, 4\]"),
        (OtherNesting, r"OtherNesting got a state of float32 \[3, 2\] and returned one of \(float32 \[3, 2\]\)"),
        (OtherDtype, r"OtherDtype got a state of float32 \[3, 2\] and returned one of float64 \[3, 2\]"),
        (
            LayersFirst,
            r"LayersFirst has an initial_state\(3\) of float32 \[1, 3, 2\]; the lane dimension must come first",
        ),
        (TwoArguments, r"TwoArguments raised TypeError on 3 lanes.*forward\(x, state, is_first\)"),
        (MinusBatchMean, "MinusBatchMean lets the input of lane 0 change the output of lane 1"),
        (LeaksLaneZero, "LeaksLaneZero lets the input of lane 0 change the output of lane 1"),
        (RollsManyLanes, "RollsManyLanes lets the input of lane 0 change the output of lane 1"),
        (OwnState, "OwnState gives another output when it is called again with the same input and state"),
        (RandomOutput, "RandomOutput gives another output when it is called again"),
        (LooksAhead, "LooksAhead lets later steps change the output of earlier ones"),
        (WritesState, "WritesState changes the state that it is given in place"),
        (WritesInput, "WritesInput changes its input in place"),
        (CountsSteps, "CountsSteps gives another output for chunks of 2 and 4 steps than for all 6"),
        (NeverResets, "NeverResets does not give lane 0 its initial state where is_first is true"),
        (ResetsAll, "ResetsAll resets other lanes than lane 0"),
    ],
)
def test_the_broken_rule_is_named(core: type[nn.Module], said: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(MemUPError, match=said):
        check_memory(core(FEATURES) if issubclass(core, GRU) else core(), FEATURES)


def test_a_core_without_the_base_class_is_accepted() -> None:
    assert check_memory(Stateless(), FEATURES) == 2


def test_a_core_in_half_precision_is_accepted() -> None:
    assert check_memory(GRU(FEATURES).bfloat16(), FEATURES) == 64


def test_dropout_and_batch_normalisation_are_tried_in_evaluation_mode_and_left_as_they_were() -> None:
    class Normalised(GRU):
        def __init__(self) -> None:
            super().__init__(FEATURES)
            self.norm, self.dropout, self.frozen = nn.BatchNorm1d(FEATURES), nn.Dropout(), nn.Dropout().eval()

        def scan(self, x: Tensor, state: Any) -> Any:
            return super().scan(self.dropout(self.norm(x.transpose(1, 2)).transpose(1, 2)), state)

    core = Normalised()
    check_memory(core, FEATURES)
    assert core.training
    assert core.dropout.training
    assert not core.frozen.training
    assert not core.norm.running_mean.any()  # type: ignore[union-attr]
    assert not any(parameter.grad is not None for parameter in core.parameters())


def test_a_constructor_that_raises_ends_in_a_sentence_with_its_place() -> None:
    class Mine(GRU):
        def __init__(self, input_size: int, blocks: int = 3) -> None:
            raise ZeroDivisionError(f"{input_size} features, {blocks} blocks")

    said = (
        r"core could not be made for input_size=4: ZeroDivisionError: 4 features, 3 blocks \(test_contract.py, line \d+"
    )
    with pytest.raises(MemUPError, match=said):
        make_memory(Mine, 4)


@pytest.mark.parametrize("module", [nn.RNN, nn.GRU, nn.LSTM])
def test_torchs_recurrent_modules_need_no_more_than_their_size(module: type[nn.Module]) -> None:
    assert make_memory(partial(RNNAdapter, module=module, module_args={"hidden_size": 5}), FEATURES)[1] == 5


@pytest.mark.parametrize("given", ["LSTM", nn.LSTM(3, 3)], ids=["text", "module"])
def test_a_core_that_exists_already_or_its_name_is_no_factory(given: Any) -> None:
    with pytest.raises(MemUPError, match=r"is no class or function that makes a core; give one .* functools.partial"):
        make_memory(given, 3)


def test_what_does_not_fit_together_is_named_with_the_values_that_were_given() -> None:
    class Mine(GRU):
        def __init__(self, input_size: int, width: int = 64, heads: int = 5) -> None:
            super().__init__(input_size, width)
            self.attention = nn.MultiheadAttention(width, heads)

    said = r"divisible by num_heads .*it was made as Mine\(input_size=4, width=64, heads=5\): change the arguments"
    with pytest.raises(MemUPError, match=said):
        make_memory(Mine, 4)
    said = r"embed_dim .*made as Transformer\(d_model=6, nhead=8, .*is no memory core; take GTrXL or RMT for attention"
    with pytest.raises(MemUPError, match=said):
        make_memory(nn.Transformer, 6)
    for core in (GTrXL, XLSTM):
        with pytest.raises(MemUPError, match=r"hidden_size=60, num_heads=4: give .* multiple of 2 x num_heads = 8"):
            make_memory(partial(core, hidden_size=60), 4)


def test_arguments_that_make_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(MemUPError, match="GTrXL returned nan for random inputs; its output must be finite"):
        make_memory(partial(GTrXL, gate_bias=float("nan")), FEATURES)


def test_a_whole_number_is_a_bias_too() -> None:
    assert make_memory(partial(GTrXL, gate_bias=2), FEATURES)[1] == 64
