"""Local predictor d_psi, and estimators of the uncertainty of outcomes given the local context."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from memup_lightning.chunk import Chunk, Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.ema import update_ema
from memup_lightning.models.encoders import ImageCallable, ImageEncoder, StepEncoder, WindowEncoder
from memup_lightning.models.memory import State
from memup_lightning.models.outcomes import Outcome
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.user_warnings import option


class Networks(Protocol):
    """Attributes of the trained model that estimators read; :class:`AverageSurprise` reads other networks by name."""

    task: TaskSpec
    outcome: Outcome
    local: LocalPredictor


_CACHED_ROWS = 4096
_SPARSE = 8  # as many times more steps than outcomes: scoring those alone is cheaper


class LocalPredictor(nn.Module):
    """Predictor d_psi(y | c) of an outcome from its local context, without memory (MemUP, section 3.1).

    Args:
        fields: the fields of the context; the model fills them in.
        window: steps that the context spans; the task fills it in.
        num_parameters: of the outcome's distribution; the model fills it in.
        hidden_size: units of the two hidden layers.
        embedding_size: features of a token of many classes.
        image_size: features of an image.
        image: ``(field, output_size) -> encoder`` of images.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldSpec],
        window: int,
        num_parameters: int,
        hidden_size: int = 64,
        embedding_size: int = 32,
        image_size: int = 128,
        image: ImageCallable = ImageEncoder,
    ) -> None:
        super().__init__()
        self.encoder = WindowEncoder(fields, window, StepEncoder(fields, 0, embedding_size, image_size, image))
        self.layers = nn.Sequential(
            nn.Linear(self.encoder.output_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, hidden_size),
            nn.ReLU(),
            nn.Linear(hidden_size, num_parameters),
        )

    def features(self, context: Fields) -> Tensor:
        """Compute the last hidden layer, ``{name: [..., W, *shape]}`` to ``[..., hidden_size]``."""
        hidden: Tensor = self.layers[:-1](self.encoder(context))
        return hidden

    def head(self, features: Tensor) -> Tensor:
        """Predict from :meth:`features`, ``[..., hidden_size]`` to ``[..., num_parameters]``."""
        params: Tensor = self.layers[-1](features)
        return params

    def forward(self, context: Fields) -> Tensor:
        """Predict from contexts, ``{name: [..., W, *shape]}`` to ``[..., num_parameters]``."""
        features = self.encoder(context)
        exported = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        if torch.is_grad_enabled() or features.device.type != "cpu" or exported:
            params: Tensor = self.layers(features)
            return params
        # For scoring whole episodes: the activations of a block of rows fit into the processor's cache.
        blocks = [self.layers(block) for block in features.flatten(0, -2).split(_CACHED_ROWS)]
        return torch.cat(blocks).view(*features.shape[:-1], blocks[0].shape[-1])


class Uncertainty(nn.Module, ABC):
    """Base class of estimators that score every step of an episode, chunk by chunk; selectors choose by the scores.

    Attributes:
        from_context: whether the score of a step depends on its local context only. Then :meth:`of_contexts` returns
            the score, and selectors by context cluster can use it.
    """

    from_context: ClassVar[bool] = False

    def attach(self, model: Networks) -> None:
        """Prepare for a model; called once, when its networks exist."""

    def update(self, model: Networks) -> None:
        """Follow the model; called after every optimizer step."""

    def initial_state(self, lanes: int) -> State:
        """Return the state of the estimator before an episode; empty where it has none."""
        return ()

    def describe(self, model: Networks) -> str:
        """Return the name of the score, with its unit."""
        return f"uncertainty without memory ({model.outcome.uncertainty_unit})"

    def of_contexts(self, model: Networks, context: Fields) -> Tensor:
        """Score single steps, ``{name: [..., W, *shape]}`` to ``[...]``; only where :attr:`from_context` is true."""
        raise NotImplementedError(f"{type(self).__name__} scores whole episodes")

    @abstractmethod
    def forward(self, model: Networks, chunk: Chunk, state: State) -> tuple[Tensor, State]:
        """Score the steps of a chunk that carries its contexts.

        Args:
            model: the model that is being trained.
            chunk: the next chunk of the episodes.
            state: state from :meth:`initial_state` or from the previous call.

        Returns:
            u of every step ``[lanes, steps]``, and the state for the next chunk.
        """


class PredictiveUncertainty(Uncertainty):
    """Entropy (or spread) of the local predictor, which reads neither outcome nor memory (MemUP, section 3.1)."""

    from_context = True

    def attach(self, model: Networks) -> None:
        if model.outcome.has_constant_uncertainty:
            python = "outcome=partial(GaussianOutcome, learned_variance=True)"
            learned = option("model.init_args.outcome.init_args.learned_variance", "true", python)
            raise MemUPError(
                "the entropy of a Gaussian with fixed variance is the same at every step, so it selects nothing; "
                f"set {learned} or take uncertainty: AverageSurprise"
            )

    def forward(self, model: Networks, chunk: Chunk, state: State) -> tuple[Tensor, State]:
        context, on = chunk.windows(model.task.window), chunk.has_outcome
        outcomes = int(on.sum())
        if _SPARSE * outcomes > on.numel():
            return self.of_contexts(model, context), state
        u = torch.zeros(on.shape, device=on.device)  # few steps have an outcome; the others are never chosen
        if outcomes:
            u[on] = self.of_contexts(model, {name: x[on] for name, x in context.items()}).float()
        return u, state

    def of_contexts(self, model: Networks, context: Fields) -> Tensor:
        if model.outcome.rows_at_once >= _CACHED_ROWS:
            return model.outcome.uncertainty(model.local(context))
        features = model.local.features(context)
        blocks = features.flatten(0, -2).split(model.outcome.rows_at_once)
        u = torch.cat([model.outcome.uncertainty(model.local.head(block)) for block in blocks])
        return u.view(features.shape[:-1])


class AverageSurprise(Uncertainty):
    """Surprise -log q(y_k | c_k, m_k) of an exponential moving average of memory and predictor.

    The published implementation of MemUP selects targets by it. It reads the outcome, so it scores a coin toss as high
    as an outcome whose cue was forgotten.

    Args:
        decay: of the moving average, per optimizer step.
    """

    def __init__(self, decay: float = 0.999) -> None:
        super().__init__()
        if not 0 <= decay < 1:
            raise MemUPError(f"decay={decay}: must be in [0, 1)")
        self.decay = decay
        self.average = nn.ModuleDict()

    def attach(self, model: Networks) -> None:
        parts = {name: getattr(model, name) for name in ("encoder", "memory", "context_encoder", "predictor")}
        self.average = nn.ModuleDict({name: copy.deepcopy(part) for name, part in parts.items()})
        self.average.requires_grad_(False)

    def update(self, model: Networks) -> None:
        update_ema(self.average.values(), (getattr(model, name) for name in self.average), self.decay)

    def describe(self, model: Networks) -> str:
        return "surprise of the moving average (nats)"

    def initial_state(self, lanes: int) -> State:
        memory: Any = self.average["memory"]
        state: State = memory.initial_state(lanes)
        return state

    def forward(self, model: Networks, chunk: Chunk, state: State) -> tuple[Tensor, State]:
        memory, state = self.average["memory"](self.average["encoder"](chunk.inputs), state, chunk.is_first)
        context = self.average["context_encoder"](chunk.windows(model.task.window))
        return model.outcome.nll(self.average["predictor"](context, memory), chunk.outcome), state
