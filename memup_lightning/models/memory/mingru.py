from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import State, accumulation_dtype
from memup_lightning.models.memory.diagonal import DiagonalMemory
from memup_lightning.models.memory.layers.scan import linear_scan

_BEYOND = 0.05  # how far a gate's range reaches beyond 0 and 1, where it is cut off


class MinGRU(DiagonalMemory):
    """Minimal gated recurrent unit (Feng et al., "Were RNNs all we needed?", 2024, section 3.1), all steps at once.

    ``h_t = (1 - z_t) * h_{t-1} + z_t * (W x_t)``: gate and candidate do not depend on the state, so a chunk is one parallel
    scan. The paper scans logarithms, which requires positive candidates; the scan here
    (:func:`~memup_lightning.models.memory.layers.scan.linear_scan`) is stable for any, so the candidate is linear.

    The gate is the paper's sigmoid, stretched by a twentieth to both sides and cut off at 0 and 1 (a stretched sigmoid, as
    in Louizos, Welling & Kingma, "Learning sparse neural networks through L0 regularization", 2018, section 2.2, without
    its noise). A sigmoid never closes: what it lets in at each of 100,000 steps, however little, replaces what was kept.

    The state is float32, or float64 for parameters of that dtype.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: units of a layer; m_t is the last layer's output.
        num_layers: layers on top of each other. With one, no gate depends on earlier steps: use at least two, but
            for :class:`~memup_lightning.modules.baselines.rtrl.RTRL`, which can train one.
        keep: mean number of steps that a fresh gate keeps the state for; its bias follows from it.
    """

    def __init__(self, input_size: int, hidden_size: int = 64, num_layers: int = 2, keep: int = 100) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers, keep=keep)
        self.output_size = hidden_size
        sizes = [input_size, *[hidden_size] * (num_layers - 1)]
        layers = [nn.Linear(size, 2 * hidden_size) for size in sizes]
        self.layers = nn.ModuleList(layers)
        gates = torch.zeros(2 * hidden_size)
        gates[:hidden_size] = torch.tensor((1 / keep + _BEYOND) / (1 + 2 * _BEYOND)).logit()
        with torch.no_grad():
            for layer in layers:
                layer.bias.copy_(gates)

    def initial_state(self, lanes: int) -> State:
        weight = next(self.parameters())
        dtype = accumulation_dtype(weight.dtype)
        return weight.new_zeros(lanes, len(self.layers), self.output_size, dtype=dtype)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, State]:
        dtype = x.dtype
        after = []
        for layer, before in zip(self.layers, state.unbind(1), strict=True):
            h, _ = _remember(layer(x).to(state.dtype), before)
            after.append(h[:, -1])
            x = h.to(dtype)
        return x, torch.stack(after, 1)

    def initial_sensitivities(self, lanes: int) -> State:
        weight = self._weight()
        return weight.new_zeros(lanes, *weight.shape, dtype=accumulation_dtype(weight.dtype))

    def attach(self, state: Tensor, sensitivities: Tensor) -> State:
        weight = self._weight().to(state.dtype)
        past: Tensor = torch.einsum("lrf,rf->lr", sensitivities, weight - weight.detach())
        by_gate, by_candidate = past[:, None].chunk(2, dim=-1)
        return state + by_gate + by_candidate

    @torch.no_grad()
    def advance(self, x: Tensor, state: Tensor, sensitivities: Tensor) -> State:
        with torch.enable_grad():
            projected = self.layers[0](x).detach().to(state.dtype).requires_grad_()
            h, keep = _remember(projected, state[:, 0])
            end = h[:, -1].sum()  # whose derivatives are those of each unit by its own gates and candidates
        (gradient,) = torch.autograd.grad(end, projected)
        x = torch.cat([x, torch.ones_like(x[..., :1])], -1).to(state.dtype)
        return keep.prod(1).repeat(1, 2)[..., None] * sensitivities + torch.einsum("ltr,ltf->lrf", gradient, x)

    def _weight(self) -> Tensor:
        """Return the only layer's weights and, in the last column, its biases, ``[2 * units, features + 1]``."""
        if len(self.layers) > 1:
            raise MemUPError(
                f"MinGRU num_layers={len(self.layers)}: the gates of an upper layer read the state of the one below, so "
                "that the recurrence is not element-wise; give num_layers=1"
            )
        weight, bias = self.layers[0].parameters()
        return torch.cat([weight, bias[:, None]], 1)


def _remember(projected: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute h of every step, and the share that it keeps of the one before.

    Args:
        projected: before their nonlinearity, gates and candidates of every step, ``[lanes, steps, 2 * units]``.
        state: h before the first step, ``[lanes, units]``.
    """
    gate, candidate = projected.chunk(2, dim=-1)
    update = ((1 + 2 * _BEYOND) * gate.sigmoid() - _BEYOND).clamp(0, 1)
    keep = 1 - update
    return linear_scan(keep, update * candidate, state), keep
