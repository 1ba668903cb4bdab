"""Predictors q_phi(y | c, m) of an outcome from local context and memory (MemUP, equation 3)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from memup_lightning.models.scaling import RunningScale

_SECOND = 0.1  # share of the second part of a FiLMPredictor
_FADING = 1 / 4  # share of the features of a state that fade with the distance
_POWERS = (-0.5, 0.0)  # of the distance, from 10^-0.5 to 10^0
_LOG_SCALE = 10.0  # of a distance; log(1 + 20,000)
_DISTANCE = 0.1  # size of the numbers that a distance is read as


class OutcomePredictor(nn.Module, ABC):
    """Network from a context and a state of the memory to the parameters of the outcome's distribution.

    Context and state have a first layer each, which runs K + P times for K contexts and P states, not K x P times.
    """

    @abstractmethod
    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        """Predict for each context with each state that it broadcasts against.

        Args:
            context: features of c, ``[..., context_size]``.
            memory: m, ``[..., memory_size]``; its leading dimensions broadcast with those of ``context``.
            distance: steps from the state to the context, at least 0, ``[...]``; None: every state is that of the
                context's own step.

        Returns:
            ``[..., num_parameters]``.
        """

    def observe(self, memory: Tensor, valid: Tensor) -> None:
        """Take note of the states of a training chunk, after the update that it made; by default nothing.

        Args:
            memory: m of every step, ``[B, T, memory_size]``, without a graph.
            valid: which steps are part of an episode, ``[B, T]``.
        """


class _Distance(nn.Module):
    """What the distance between a state and a target changes; nothing at the state's own step.

    What a state says of a later step may be outdated there: where the outcome is the last mark that was shown, the mark of
    now is certain for the next steps and worth nothing a hundred steps later. So a quarter of the features that are read
    of a state fade with a power of the distance, each with its own; the rest stay, as a maze's hint does. And at some
    distances little may be known at all, as before a cue that comes at a random step: a layer that reads the distance
    learns it. It reads small numbers, and so learns more slowly than the rest: else it says at which distances a fresh
    memory knows nothing yet, and the states there need not learn to.

    Args:
        features: that are read of a state.
        size: of the layer that reads the distance.
    """

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.features = features
        self.linear = nn.Linear(2, size, bias=False)
        nn.init.zeros_(self.linear.weight)
        self.register_buffer("powers", torch.logspace(*_POWERS, math.ceil(_FADING * features)), persistent=False)
        self.powers: Tensor

    def forward(self, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the layer for distances in steps, ``[...]`` to ``[..., size]``, and the share of each feature of a state
        that counts there, ``[..., features]``."""
        steps = distance.to(self.linear.weight.dtype)
        log = steps.log1p()
        added: Tensor = self.linear(_DISTANCE * torch.stack([log / _LOG_SCALE, steps / (1 + steps)], dim=-1))
        fading = torch.exp(-log[..., None] * self.powers)
        return added, nn.functional.pad(fading, (0, self.features - len(self.powers)), value=1.0)


def _combine(
    context: Tensor, layer: nn.Linear, memory: Tensor, by: _Distance | None, distance: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Add to features of a context what a layer says of the distance, and read features of a state: some fade with the
    distance, but not their bias, which would give it away."""
    if by is None or distance is None:
        return context, layer(memory)
    added, share = by(distance)
    features = nn.functional.linear(memory, layer.weight) * share
    return context + added, features if layer.bias is None else features + layer.bias


class AdditivePredictor(OutcomePredictor):
    """Multilayer perceptron on the concatenation of context and memory.

    Args:
        context_size: features of a context; the model fills it in.
        memory_size: size of m; the model fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the two hidden layers.
        distance: whether it minds how far ahead the target lies.
    """

    def __init__(
        self, context_size: int, memory_size: int, num_parameters: int, hidden_size: int = 64, distance: bool = True
    ) -> None:
        super().__init__()
        self.context = nn.Linear(context_size, hidden_size)
        self.memory = nn.Linear(memory_size, hidden_size, bias=False)
        self.distance = _Distance(hidden_size, hidden_size) if distance else None
        self.head = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_parameters)
        )

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        hidden, read = _combine(self.context(context), self.memory, memory, self.distance, distance)
        out: Tensor = self.head(torch.relu(hidden + read))
        return out


class MultiplicativePredictor(OutcomePredictor):
    """Predictor that multiplies features of memory and context, so one layer can compute an exclusive-or of the two.

    An example is the reward of turning left where the hint said right.

    Args:
        context_size: features of a context; the model fills it in.
        memory_size: size of m; the model fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the hidden layers.
        distance: whether it minds how far ahead the target lies.
    """

    def __init__(
        self, context_size: int, memory_size: int, num_parameters: int, hidden_size: int = 64, distance: bool = True
    ) -> None:
        super().__init__()
        self.context = nn.Linear(context_size, 2 * hidden_size)
        self.memory = nn.Linear(memory_size, hidden_size)
        self.distance = _Distance(hidden_size, 2 * hidden_size) if distance else None
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(hidden_size, num_parameters))

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        hidden, read = _combine(self.context(context), self.memory, memory, self.distance, distance)
        shift, gate = hidden.chunk(2, dim=-1)
        out: Tensor = self.head(torch.addcmul(shift, gate, read))
        return out


class FiLMPredictor(MultiplicativePredictor):
    """MultiplicativePredictor, and a small part of a second one that reads the scaled memory.

    Feature-wise linear modulation (Perez et al., "FiLM", AAAI 2018). Cells that keep an input for long change little with
    each, and combinations of what they hold, as the exclusive-or of two cues, are smaller still: from the memory as it is
    they are not learned. So a second part reads it divided by the standard deviation of its most varying unit
    (:class:`~memup_lightning.models.scaling.RunningScale`). With its size grows the noise that a fresh memory holds: the
    second part begins at 0 and counts a tenth, learns more slowly than the first, and finds what that one leaves.

    Args:
        context_size: features of a context; the model fills it in.
        memory_size: size of m; the model fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the hidden layer of each part.
        distance: whether the first part minds how far ahead the target lies.
    """

    def __init__(
        self, context_size: int, memory_size: int, num_parameters: int, hidden_size: int = 64, distance: bool = True
    ) -> None:
        super().__init__(context_size, memory_size, num_parameters, hidden_size, distance)
        self.scale = RunningScale(memory_size)
        self.second = MultiplicativePredictor(context_size, memory_size, num_parameters, hidden_size, distance=False)
        for p in self.second.head[-1].parameters():
            nn.init.zeros_(p)

    def observe(self, memory: Tensor, valid: Tensor) -> None:
        self.scale.add(memory, valid)

    def forward(self, context: Tensor, memory: Tensor, distance: Tensor | None = None) -> Tensor:
        second: Tensor = self.second(context, self.scale(memory))
        return super().forward(context, memory, distance) + _SECOND * second
