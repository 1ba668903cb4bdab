"""What an agent does with what it sees and remembers: a distribution over actions, and a value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, Normal

from memup_lightning.chunk import Fields
from memup_lightning.distributed import all_reduce_sum
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec


class Heads(nn.Module):
    """Policy and value, each a multilayer perceptron of its own on the same features.

    Weights begin orthogonal, the last layer of the policy small, so that it begins near uniform (Andrychowicz et al.,
    "What matters in on-policy reinforcement learning?", ICLR 2021, sections 3.2 and 3.3).

    Args:
        feature_size: features of a step; the model fills it in.
        action: field of an action: a token (Discrete, MultiDiscrete) or a vector (Box); the model fills it in.
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
        """The actions' distribution over ``[...]``, and the value ``[...]``, from features ``[..., feature_size]``."""
        lead, dims = features.shape[:-1], len(self.action.shape)
        parameters, value = self.policy(features), self.value(features).squeeze(-1)
        if self.log_std is None:
            logits = parameters.view(*lead, *self.action.shape, self.action.classes)
            choice: Distribution = GumbelCategorical(logits=logits, validate_args=False)
        else:
            choice = Normal(parameters.view(*lead, *self.action.shape), self.log_std.exp(), validate_args=False)
        return Independent(choice, dims, validate_args=False) if dims else choice, value


class GumbelCategorical(Categorical):
    """A categorical distribution that draws by the Gumbel-max trick (Maddison et al., "A* sampling", NeurIPS 2014).

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
    """Brings numbers to mean 0 and standard deviation 1, by what was seen so far.

    Args:
        fields: those of kind ``vector`` are normalised; others pass.
    """

    count: Tensor

    def __init__(self, fields: Mapping[str, FieldSpec]) -> None:
        super().__init__()
        self.names = [name for name, field in fields.items() if field.type == "vector"]
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        for number, name in enumerate(self.names):
            self.register_buffer(f"mean_{number}", torch.zeros(fields[name].shape, dtype=torch.float64))
            self.register_buffer(f"variance_{number}", torch.ones(fields[name].shape, dtype=torch.float64))

    def _moments(self, number: int) -> tuple[Tensor, Tensor]:
        return self.get_buffer(f"mean_{number}"), self.get_buffer(f"variance_{number}")

    def forward(self, fields: Fields) -> Fields:
        """The same fields ``[..., *shape]``, normalised."""
        changed: Fields = {}
        for number, name in enumerate(self.names):
            mean, variance = self._moments(number)
            changed[name] = ((fields[name] - mean) * (variance + 1e-8).rsqrt()).float()
        return {**fields, **changed}

    def learn(self, normalised: Fields) -> None:
        """Take what was seen into account, on all ranks together.

        Args:
            normalised: as :meth:`forward` returned it by the moments as they are, each field ``[rows, *shape]``.
        """
        rows = all_reduce_sum(torch.full_like(self.count, len(next(iter(normalised.values())))))
        new = rows / (self.count + rows)
        for number, name in enumerate(self.names):
            x = normalised[name].double()
            mean, variance = self._moments(number)
            seen = x * (variance + 1e-8).sqrt() + mean
            average = all_reduce_sum(seen.sum(0)) / rows
            spread = all_reduce_sum((seen - average).square().sum(0)) / rows
            shift = average - mean
            variance.lerp_(spread, new).add_(shift.square() * new * (1 - new))
            mean.add_(shift * new)
        self.count += rows
