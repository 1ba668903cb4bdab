"""Networks of an agent: policy and value heads, and the normalisation of observations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from memup_lightning.chunk import Fields
from memup_lightning.distributed import all_reduce_sum
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.wide_float import wide_float
from memup_lightning.specs import FieldSpec


class Heads(nn.Module):
    """Policy and value, each a multilayer perceptron of its own on the same features.

    Weights are orthogonal at first, and the last layer of the policy is small, so that it is near uniform (Andrychowicz et
    al., "What matters in on-policy reinforcement learning?", ICLR 2021, sections 3.2 and 3.3).

    Args:
        feature_size: features of a step; the model gives it.
        action: field of an action: a token (Discrete, MultiDiscrete) or a vector (Box); the model gives it.
        hidden_size: units of a hidden layer.
        num_layers: hidden layers.
    """

    def __init__(self, feature_size: int, action: FieldSpec, hidden_size: int = 64, num_layers: int = 2) -> None:
        super().__init__()
        if hidden_size < 1 or num_layers < 0:
            raise MemUPError(f"hidden_size={hidden_size}, num_layers={num_layers}: at least 1 unit and 0 layers")
        self.action = action
        count = math.prod(action.shape)
        self.policy = _mlp(feature_size, hidden_size, num_layers, count * max(action.classes, 1), gain=0.01)
        self.value = _mlp(feature_size, hidden_size, num_layers, 1, gain=1.0)
        self.log_std = nn.Parameter(torch.zeros(action.shape)) if action.type == "vector" else None

    def forward(self, features: Tensor) -> tuple[Distribution, Tensor]:
        """Compute action distribution and value, of shape ``[...]``, from features ``[..., feature_size]``."""
        lead, dims = features.shape[:-1], len(self.action.shape)
        parameters, value = self.policy(features), self.value(features).squeeze(-1)
        if self.log_std is None:
            logits = parameters.view(*lead, *self.action.shape, self.action.classes)
            choice: Distribution = GumbelCategorical(logits=logits, validate_args=False)
        else:
            choice = Normal(parameters.view(*lead, *self.action.shape), self.log_std.exp(), validate_args=False)
        return Independent(choice, dims, validate_args=False) if dims else choice, value


class GumbelCategorical(Categorical):
    """Categorical distribution that samples by the Gumbel-max trick (Maddison et al., "A* sampling", NeurIPS 2014).

    For a few choices that takes half the time of ``torch.multinomial``, which first makes probabilities and checks them.
    """

    def sample(self, sample_shape: torch.Size | Sequence[int] = ()) -> Tensor:
        shape = torch.Size(sample_shape) + self.logits.shape
        return (self.logits - self.logits.new_empty(shape).exponential_().log()).argmax(-1)

    @property
    def mode(self) -> Tensor:
        return self.logits.argmax(-1)


def _mlp(size: int, hidden_size: int, num_layers: int, output_size: int, gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_layers):
        layers += [_linear(size, hidden_size, math.sqrt(2)), nn.Tanh()]
        size = hidden_size
    return nn.Sequential(*layers, _linear(size, output_size, gain))


def _linear(size: int, output_size: int, gain: float) -> nn.Linear:
    layer = nn.Linear(size, output_size)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class RunningNormalizer(nn.Module):
    """Normalisation of numbers to mean 0 and standard deviation 1, by all observations so far.

    Args:
        fields: those of type ``vector`` are normalised; others pass unchanged.
    """

    count: Tensor

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        super().__init__()
        self.names = [name for name, field in fields.items() if field.type == "vector"]
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        for number, name in enumerate(self.names):
            self.register_buffer(f"mean_{number}", torch.zeros(fields[name].shape, dtype=torch.float64))
            self.register_buffer(f"variance_{number}", torch.ones(fields[name].shape, dtype=torch.float64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RunningNormalizer:
        device = fn(torch.zeros(())).device
        for name, buffer in self.named_buffers(recurse=False):
            wide = buffer.to(wide_float(device))
            moved = fn(wide)  # a cast to the precision of the weights does not reach the statistics
            self._buffers[name] = moved if moved.dtype == wide.dtype else wide.to(device)
        return self

    def _moments(self, number: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"mean_{number}"), self.get_buffer(f"variance_{number}")

    def forward(self, fields: Fields) -> Fields:
        """Return the same fields ``[..., *shape]``, normalised."""
        normalized: Fields = {}
        for number, name in enumerate(self.names):
            mean, variance = self._moments(number)
            normalized[name] = ((fields[name] - mean) * (variance + 1e-8).rsqrt()).float()
        return {**fields, **normalized}

    def update(self, normalized: Fields) -> None:
        """Add observations to the moments, on all ranks together.

        Args:
            normalized: as :meth:`forward` returned them with the present moments, each field ``[rows, *shape]``.
        """
        rows = all_reduce_sum(torch.full_like(self.count, len(next(iter(normalized.values())))))
        share = rows / (self.count + rows)  # of the new observations
        for number, name in enumerate(self.names):
            mean, variance = self._moments(number)
            x = normalized[name].to(mean) * (variance + 1e-8).sqrt() + mean
            new_mean = all_reduce_sum(x.sum(0)) / rows
            new_variance = all_reduce_sum((x - new_mean).square().sum(0)) / rows
            shift = new_mean - mean
            variance.lerp_(new_variance, share).add_(shift.square() * share * (1 - share))
            mean.add_(shift * share)
        self.count += rows
