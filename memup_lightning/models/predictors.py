"""Predictors q_phi(y | c, m) of an outcome from local context and memory (MemUP, equation 3)."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class Predictor(nn.Module, ABC):
    """Network from a context and a state of the memory to the parameters of the outcome's distribution.

    Context and state have a first layer each, which runs K + P times for K contexts and P states, not K x P times.
    """

    @abstractmethod
    def forward(self, context: Tensor, memory: Tensor) -> Tensor:
        """Predict for each context with each state that it broadcasts against.

        Args:
            context: features of c, ``[..., context_size]``.
            memory: m, ``[..., memory_size]``; its leading dimensions broadcast with those of ``context``.

        Returns:
            ``[..., num_parameters]``.
        """


class AdditivePredictor(Predictor):
    """Multilayer perceptron on the concatenation of context and memory.

    Args:
        context_size: features of a context; the model fills it in.
        memory_size: size of m; the model fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the two hidden layers.
    """

    def __init__(self, context_size: int, memory_size: int, num_parameters: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.context = nn.Linear(context_size, hidden_size)
        self.memory = nn.Linear(memory_size, hidden_size, bias=False)
        self.head = nn.Sequential(
            nn.Linear(hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, num_parameters)
        )

    def forward(self, context: Tensor, memory: Tensor) -> Tensor:
        out: Tensor = self.head(torch.relu(self.context(context) + self.memory(memory)))
        return out


class MultiplicativePredictor(Predictor):
    """Predictor that multiplies features of memory and context, so one layer can compute an exclusive-or of the two.

    An example is the reward of turning left where the hint said right.

    Args:
        context_size: features of a context; the model fills it in.
        memory_size: size of m; the model fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the hidden layers.
    """

    def __init__(self, context_size: int, memory_size: int, num_parameters: int, hidden_size: int = 64) -> None:
        super().__init__()
        self.context = nn.Linear(context_size, 2 * hidden_size)
        self.memory = nn.Linear(memory_size, hidden_size)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(hidden_size, num_parameters))

    def forward(self, context: Tensor, memory: Tensor) -> Tensor:
        shift, gate = self.context(context).chunk(2, dim=-1)
        out: Tensor = self.head(torch.addcmul(shift, gate, self.memory(memory)))
        return out
