"""ExportedStep: one step of a trained model as a function of tensors alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.models.memory import State
from memup_lightning.models.memory.base import map_state
from memup_lightning.models.outcomes import Outcome
from memup_lightning.serving.state import StreamState, leaves
from memup_lightning.serving.step.network import StepNetwork, dtype_of

_STREAMS = 2  # of the example: a number of 1 would be taken for a constant


class ExportedStep(nn.Module):
    """One step as a function of tensors alone: fields, then the state; the prediction, m_t, then the new state.

    Args:
        network: the networks of a step.
        outcome: the outcome's distribution.
        interval: probability that the interval of a number holds.

    Attributes:
        input_names, output_names: of the tensors, in their order.
        history: fields of which the state holds earlier steps.
        num_predicted: tensors of the prediction, which come first.
    """

    def __init__(self, network: StepNetwork, outcome: Outcome, interval: float) -> None:
        super().__init__()
        self.network, self.outcome, self.interval = network, outcome, interval
        self._initial = StreamState(
            network.memory.initial_state(_STREAMS), network.initial_history(_STREAMS), {}, False, ""
        )
        self.fields = list(self.network.fields)
        self.history = list(self._initial.history)
        self._num_leaves = len(leaves(self._initial.memory))
        state = [f"state_{n}" for n in range(self._num_leaves)] + [f"history_{name}" for name in self.history]
        self.input_names = [*self.fields, *state]
        predicted = ["probabilities"] if self.outcome.num_classes else ["value", "lower", "upper"]
        self.num_predicted = len(predicted)
        self.output_names = [*predicted, "memory", *(f"next_{name}" for name in state)]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        fields = dict(zip(self.fields, tensors, strict=False))
        rest = iter(tensors[len(self.fields) :])
        state: State = map_state(lambda _: next(rest), self._initial.memory)
        history = {name: next(rest) for name in self.history}
        params, m, after, past = self.network(fields, state, history)
        return (*self.predict(params), m, *leaves(after), *(past[name] for name in self.history))

    def predict(self, params: Tensor) -> list[Tensor]:
        """Return the probabilities of the classes, or mean and interval of a number, from parameters of the outcome."""
        probabilities = self.outcome.probabilities(params)
        if probabilities is not None:
            return [probabilities]
        return [self.outcome.predict(params), *(self.outcome.interval(params, self.interval) or ())]

    def next_state(self, tensors: tuple[Tensor, ...]) -> tuple[State, dict[str, Tensor]]:
        """Return the memory's state and the history among the results of a step."""
        rest = iter(tensors[self.num_predicted + 1 :])
        state: State = map_state(lambda _: next(rest), self._initial.memory)
        return state, {name: next(rest) for name in self.history}

    def example(self) -> tuple[Tensor, ...]:
        """Return inputs at the beginning of an episode."""
        fields = (torch.zeros(_STREAMS, *x.shape, dtype=dtype_of(x)) for x in self.network.fields.values())
        return *fields, *(x.clone() for x in state_tensors(self._initial))  # one tensor twice would be traced as one


def state_tensors(state: StreamState) -> list[Tensor]:
    """Return the tensors of a state in the order in which an exported step takes them."""
    return [*leaves(state.memory), *state.history.values()]
