from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models.memory.base import State, accumulation_dtype
from memup_lightning.models.memory.diagonal import DiagonalMemory
from memup_lightning.models.memory.layers.scan import linear_scan


class LRU(DiagonalMemory):
    """Linear recurrent unit (Orvieto et al., "Resurrecting recurrent neural networks for long sequences", ICML 2023).

    ``h_t = lambda * h_{t-1} + gamma * (B x_t)``, ``y_t = Re(C h_t) + D x_t``: complex numbers, one lambda for each unit.
    ``lambda = exp(-nu + i theta)``; the logarithms of nu and theta are learned, so that ``|lambda| < 1`` whatever they
    become (section 3.3). gamma, whose logarithm is learned too, begins at ``sqrt(1 - |lambda|^2)``, so that a fresh state
    is of the size of its inputs however long it keeps them (section 3.4). m_t is ``y_t + GLU(GELU(y_t))``: the paper's
    block (figure 1) without its normalization, since inputs are standardized by the encoder. D is a matrix, not a
    diagonal, since x has fewer numbers than y, and so the skip connection around the block begins at y.

    All steps of a chunk are one parallel scan. One layer is what
    :class:`~memup_lightning.modules.baselines.rtrl.RTRL` can train. The state is float32, or float64 for parameters of that
    dtype.

    Args:
        input_size: features of a step; the model fills it in.
        hidden_size: complex units of a layer; m_t, the last layer's output, has as many real numbers.
        num_layers: layers on top of each other.
        r_min: smallest radius of a fresh lambda, which lies on a ring, evenly by area. A unit of radius r keeps ``r^n`` of
            an input for n steps: 0.9 and 0.999 are half-lives of 7 and 700 steps.
        r_max: largest radius of a fresh lambda.
        max_phase: a fresh lambda has an angle between 0 and this, in radians. The paper has 2 pi for short sequences and
            pi / 10 for long ones.

    Raises:
        MemUPError: a size below 1, radii that are not ``0 <= r_min < r_max < 1``, an angle outside of (0, 2 pi].
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 64,
        num_layers: int = 1,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = math.pi / 10,
    ) -> None:
        super().__init__()
        check_counts(1, hidden_size=hidden_size, num_layers=num_layers)
        if not 0 <= r_min < r_max < 1:
            raise MemUPError(f"LRU r_min={r_min}, r_max={r_max}: give radii with 0 <= r_min < r_max < 1")
        if not 0 < max_phase <= 2 * math.pi:
            raise MemUPError(f"LRU max_phase={max_phase}: give an angle above 0, at most 2 pi")
        self.output_size = hidden_size
        sizes = [input_size, *[hidden_size] * (num_layers - 1)]
        self.layers = nn.ModuleList(_Layer(size, hidden_size, (r_min, r_max), max_phase) for size in sizes)

    def initial_state(self, lanes: int) -> State:
        return self._zeros(lanes, len(self.layers), self.output_size, 2)

    def scan(self, x: Tensor, state: Tensor) -> tuple[Tensor, State]:
        after = []
        for layer, before in zip(cast(list[_Layer], self.layers), state.unbind(1), strict=True):
            h = layer.remember(x, torch.view_as_complex(before))
            after.append(torch.view_as_real(h[:, -1]))
            x = layer.read(x, h)
        return x, torch.stack(after, 1)

    def initial_sensitivities(self, lanes: int) -> State:
        units, features = self._only_layer().weight(torch.float32).shape
        return self._zeros(lanes, units, 2), self._zeros(lanes, units, features, 2)

    def attach(self, state: Tensor, sensitivities: tuple[Tensor, Tensor]) -> State:
        layer = self._only_layer()
        by_rate, by_weight = map(torch.view_as_complex, sensitivities)
        rate, weight = layer.rate(state.dtype), layer.weight(state.dtype)
        past = by_rate * (rate - rate.detach()) + torch.einsum("luf,uf->lu", by_weight, weight - weight.detach())
        return state + torch.view_as_real(past)[:, None]

    @torch.no_grad()
    def advance(self, x: Tensor, state: Tensor, sensitivities: tuple[Tensor, Tensor]) -> State:
        layer, steps = self._only_layer(), x.shape[1]
        by_rate, by_weight = map(torch.view_as_complex, sensitivities)
        powers = layer.rate(state.dtype, torch.arange(steps, -1, -1, device=x.device)[:, None])  # of steps, ..., 1, 0
        whole, later = powers[0], powers[1:]  # what remains of the state before the chunk, and after each step
        begin = torch.view_as_complex(state[:, 0])
        before = torch.cat([begin[:, None], layer.remember(x, begin)[:, :-1]], 1)
        by_rate = whole * by_rate + (later * before).sum(1)
        by_weight = whole[:, None] * by_weight + torch.einsum("tu,ltf->luf", later, x.to(later.dtype))
        return torch.view_as_real(by_rate), torch.view_as_real(by_weight)

    def _only_layer(self) -> _Layer:
        if len(self.layers) > 1:
            raise MemUPError(
                f"LRU num_layers={len(self.layers)}: an upper layer depends on the weights of all units below, so that the "
                "recurrence is not element-wise; give num_layers=1"
            )
        return cast(_Layer, self.layers[0])

    def _zeros(self, *shape: int) -> Tensor:
        weight = next(self.parameters())
        return weight.new_zeros(shape, dtype=accumulation_dtype(weight.dtype))


class _Layer(nn.Module):
    def __init__(self, input_size: int, units: int, radii: tuple[float, float], max_phase: float) -> None:
        super().__init__()
        low, high = (r**2 for r in radii)
        size = (low + (high - low) * torch.rand(units)).sqrt()  # |lambda|
        self.nu_log = nn.Parameter((-size.log()).log())
        self.theta_log = nn.Parameter((max_phase * (1 - torch.rand(units))).log())  # rand may be 0
        self.gamma_log = nn.Parameter((1 - size**2).sqrt().log())
        self.inward = nn.Linear(input_size, 2 * units, bias=False)  # B: real and imaginary part of each unit in turn
        self.outward = nn.Linear(2 * units, units, bias=False)  # C, as real numbers
        self.skip = nn.Linear(input_size, units)  # D
        self.gate = nn.Linear(units, 2 * units)
        nn.init.normal_(self.inward.weight, std=(2 * input_size) ** -0.5)
        nn.init.normal_(self.outward.weight, std=units**-0.5)

    def rate(self, dtype: torch.dtype, power: Tensor | int = 1) -> Tensor:
        """Compute lambda, or powers of it, ``[..., units]``, complex."""
        nu, theta = self.nu_log.to(dtype).exp(), self.theta_log.to(dtype).exp()
        return torch.polar((-power * nu).exp(), power * theta)

    def weight(self, dtype: torch.dtype) -> Tensor:
        """Compute gamma * B, ``[units, features]``, complex."""
        weight = self.inward.weight.to(dtype).unflatten(0, (-1, 2)).transpose(1, 2).contiguous()
        return self.gamma_log.to(dtype).exp()[:, None] * torch.view_as_complex(weight)

    def remember(self, x: Tensor, state: Tensor) -> Tensor:
        """Compute h of every step, ``[lanes, steps, units]``, complex, from that before the first one."""
        dtype = state.real.dtype
        driven = torch.view_as_complex(self.inward(x).to(dtype).unflatten(-1, (-1, 2)))
        driven = self.gamma_log.to(dtype).exp() * driven
        return linear_scan(self.rate(dtype).expand_as(driven), driven, state)

    def read(self, x: Tensor, h: Tensor) -> Tensor:
        """Compute the layer's output of every step, ``[lanes, steps, units]``."""
        y = self.outward(torch.view_as_real(h).flatten(-2).to(x.dtype)) + self.skip(x)
        out: Tensor = y + nn.functional.glu(self.gate(nn.functional.gelu(y)))
        return out
