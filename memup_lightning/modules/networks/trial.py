"""Trial of the networks of a memory task on a few training steps, before a run begins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Integral
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from memup_lightning.chunk import Chunk, Fields, StepBatch
from memup_lightning.exceptions import MemUPError, user_code
from memup_lightning.models.encoders import WindowEncoder
from memup_lightning.models.eval_mode import trial_mode
from memup_lightning.models.outcomes import Outcome
from memup_lightning.protocols import ChunkSource
from memup_lightning.user_warnings import warn_user

_NUM_EPISODES, _NUM_STEPS, _NUM_SINGLE = 3, 6, 64  # of the training data
_CONTEXTS = 2  # of each lane that the predictor combines with every state
_TOLERANCE = 1e-3  # share of the largest output: the order of sums differs with the number of rows
_SEE = "see docs/start/your-own.md"


class Parts(Protocol):
    """Networks of a memory task."""

    encoder: Any
    memory: Any
    context_encoder: WindowEncoder
    predictor: Any
    local: Any
    outcome: Outcome


def make_part(key: str, factory: Callable[..., Any], *args: Any) -> Any:
    """Make a network.

    Args:
        key: argument of the module that gave the factory.
        factory: class or function.
        *args: of the factory.

    Raises:
        MemUPError: an object that exists already was given, or the factory raised.
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        name = type(factory).__name__
        raise MemUPError(
            f"{key} is a {name} that exists already; give its class, or functools.partial({name}, ...) with the arguments "
            "that the model does not fill in"
        )
    name = getattr(getattr(factory, "func", factory), "__name__", type(factory).__name__)
    with user_code(f"{key}={name}", f"it is called with {', '.join(type(x).__name__ for x in args)}: {_SEE}"):
        return factory(*args)


def check_size(part: nn.Module, attribute: str) -> None:
    """Refuse a network that does not say how many numbers it gives or takes.

    Args:
        part: the network.
        attribute: where it says so.

    Raises:
        MemUPError: the attribute is missing, or no positive integer.
    """
    size = getattr(part, attribute, None)
    if not isinstance(size, Integral) or size < 1:
        raise MemUPError(
            f"{type(part).__name__}.{attribute} is {'missing' if size is None else repr(size)}; set it to a positive "
            f"integer in __init__: {_SEE}"
        )


def try_networks(model: Any, data: ChunkSource) -> None:
    """Check shapes, types and values of all networks on a few training steps; nothing of the model changes.

    Args:
        model: a module with a trainer that has :class:`Parts`.
        data: recorded episodes.

    Raises:
        MemUPError: a network that raises, returns another shape or type than its contract says or anything but finite
            numbers, or whose result for a step depends on other steps.
    """
    train = data.splits["train"]
    episodes = np.arange(min(_NUM_EPISODES, len(train.lengths)))
    chunks = train.chunks(episodes, len(episodes), _NUM_STEPS, contexts=False)  # from the beginning of each
    tried = next(iter(chunks)), data.training_lanes().sample_steps(_NUM_SINGLE)
    precision = model.trainer.precision_plugin
    chunk, steps = (precision.convert_input(x.to(model.device)) for x in tried)
    with precision.forward_context(), trial_mode(model, chunk.valid.device):
        _Trial(model, chunk.lanes, chunk.num_steps).run(chunk, steps)


class _Trial:
    """The calls of a trial.

    Args:
        model: the networks.
        lanes: of the chunk.
        num_steps: of the chunk.
    """

    def __init__(self, model: Parts, lanes: int, num_steps: int) -> None:
        self.model, self.lanes, self.num_steps = model, lanes, num_steps
        weights = [p.dtype for p in model.predictor.parameters()] if isinstance(model.predictor, nn.Module) else []
        self.dtype = next((dtype for dtype in weights if dtype.is_floating_point), torch.float32)

    def run(self, chunk: Chunk, steps: StepBatch) -> None:
        model, rows = self.model, (self.lanes, self.num_steps)
        x = self._encode("encoder", model.encoder, chunk.inputs, rows)
        name = type(model.memory).__name__
        with user_code(
            f"{name}.forward", "memory takes x, state and is_first, and returns its output and the next state"
        ):
            states, _ = model.memory(x, model.memory.initial_state(self.lanes), chunk.is_first)
        valid = steps.valid
        if not valid.any():
            return
        context = {name: value[valid] for name, value in steps.context.items()}
        self._encode(
            "context_encoder",
            model.context_encoder.step,
            context,
            (int(valid.sum()), model.context_encoder.window),
        )
        self._predict(model.context_encoder(context), states)
        name = f"{type(model.local).__name__}.forward"
        params = self._call(
            name,
            "it takes the fields of local contexts and returns [..., num_parameters]",
            lambda: model.local(context),
            (int(valid.sum()), model.outcome.num_parameters),
        )
        self._measure(params, steps.outcome[valid])

    def _encode(self, key: str, encoder: Any, fields: Fields, rows: tuple[int, int]) -> Tensor:
        """Encode, and compare with a part of the steps and with a part of the rows."""
        name = f"{type(encoder).__name__}.forward"
        contract = f"{key} takes fields [..., *shape] and returns [..., output_size]"
        whole = self._call(name, contract, lambda: encoder(fields), (*rows, encoder.output_size))
        for part in ((slice(None), slice(1)), (slice(None), slice(1, None)), (slice(1), slice(None))):
            some = {field: x[part] for field, x in fields.items()}
            expected = whole[part]
            if expected.numel() and self._differ(encoder(some), expected):
                self._refuse(
                    f"{name} gives a step other features where other steps or lanes are left out; it must encode each step "
                    "by itself, since a chunk may begin and end anywhere"
                )
        return whole

    def _predict(self, contexts: Tensor, states: Tensor) -> None:
        """Predict for contexts and states that broadcast, and again for every pair of them."""
        predictor, size = self.model.predictor, self.model.outcome.num_parameters
        name = f"{type(predictor).__name__}.forward"
        contract = (
            "a predictor takes context, memory and distance=None, whose leading dimensions broadcast, and returns "
            "[..., num_parameters]"
        )
        shape = (self.lanes, self.num_steps, _CONTEXTS)
        index = torch.arange(self.lanes * _CONTEXTS, device=contexts.device) % len(contexts)
        context = contexts[index].view(self.lanes, 1, _CONTEXTS, -1)
        distance = torch.arange(shape[0] * shape[1] * shape[2], device=contexts.device).view(shape)
        memory = states[:, :, None].detach().requires_grad_()
        with torch.enable_grad():
            out = self._call(name, contract, lambda: predictor(context, memory, distance), (*shape, size))
            (gradient,) = (
                torch.autograd.grad(out.float().sum(), memory, allow_unused=True) if out.requires_grad else (None,)
            )
        if gradient is None:
            warn_user(f"{name} passes no gradient to the memory, so the memory learns nothing from its targets")
        pairs = [x.expand(*shape, -1).flatten(0, 2) for x in (context, memory.detach())]
        each = self._call(name, contract, lambda: predictor(*pairs, distance.flatten()), (distance.numel(), size))
        if self._differ(out.flatten(0, 2), each):
            self._refuse(
                f"{name} gives other predictions for contexts and states that broadcast than for each pair; compute "
                "nothing across the leading dimensions"
            )
        self._call(f"{name} without distance", contract, lambda: predictor(*pairs), (distance.numel(), size))

    def _measure(self, params: Tensor, y: Tensor) -> None:
        """Compute losses, uncertainty, predictions and scores of outcomes."""
        outcome, rows = self.model.outcome, tuple(params.shape[:-1])
        contract = "an outcome takes params [..., num_parameters] and outcomes [..., *shape], and returns [...]"
        params = params.detach().requires_grad_()
        for method in ("loss", "memory_loss", "nll"):
            name, function = f"{type(outcome).__name__}.{method}", getattr(outcome, method)
            with torch.enable_grad():
                loss = self._call(name, contract, lambda f=function: f(params, y), rows, network=False)  # type: ignore[misc]
            if method != "nll" and not loss.requires_grad:
                self._refuse(
                    f"{name} passes no gradient to its parameters; compute it by differentiable torch functions"
                )
        name = type(outcome).__name__
        params = params.detach()
        self._call(f"{name}.uncertainty", contract, lambda: outcome.uncertainty(params), rows, network=False)
        with user_code(f"{name}.predict", f"{contract}: {_SEE}"):
            predicted = outcome.predict(params)
        if predicted.shape != y.shape:
            self._refuse(
                f"{name}.predict returned shape {list(predicted.shape)}; it must be [..., *shape] = {list(y.shape)}"
            )
        self._call(f"{name}.correct", contract, lambda: outcome.correct(params, y).float(), rows, network=False)
        with user_code(f"{name}.scores", f"{contract}: {_SEE}"):
            scores = outcome.scores(params, y)
        if missing := set(scores) ^ set(outcome.score_names):
            self._refuse(
                f"{name}.scores returned {sorted(scores)}, but score_names={outcome.score_names}; {sorted(missing)} "
                "must be in both"
            )
        for key, score in scores.items():
            self._call(f"{name}.scores()[{key!r}]", contract, lambda x=score: x.float(), rows, network=False)  # type: ignore[misc]

    def _call(
        self, name: str, contract: str, function: Callable[[], Any], shape: tuple[int, ...], network: bool = True
    ) -> Tensor:
        """Call, and check what is returned; of a network that others read, its precision too."""
        with user_code(name, f"{contract}: {_SEE}"):
            made = function()
        if not isinstance(made, Tensor):
            self._refuse(f"{name} returned a {type(made).__name__}; it must return a tensor {list(shape)}: {contract}")
        if tuple(made.shape) != shape:
            self._refuse(f"{name} returned shape {list(made.shape)}; it must be {list(shape)}: {contract}")
        if not made.is_floating_point() or (network and made.dtype.itemsize > self.dtype.itemsize):
            kinds = [str(dtype).removeprefix("torch.") for dtype in (made.dtype, self.dtype)]
            self._refuse(f"{name} returned {kinds[0]}; it must return {kinds[1]}")
        if not bool(torch.isfinite(made).all()):
            self._refuse(
                f"{name} returned {made[~torch.isfinite(made)][0].item()} for training steps; it must be finite"
            )
        return made

    def _differ(self, one: Tensor, two: Tensor) -> bool:
        scale = float(two.abs().amax())
        tolerance = max(_TOLERANCE, 10 * torch.finfo(two.dtype).eps) * scale
        return one.shape != two.shape or not bool((one - two).abs().amax() <= tolerance)

    def _refuse(self, sentence: str) -> NoReturn:
        raise MemUPError(sentence)


def check_predictor(predictor: nn.Module) -> None:
    """Check what the forward pass of a predictor takes.

    Raises:
        MemUPError: fewer than three arguments.
    """
    taken = inspect.signature(predictor.forward).parameters.values()
    if len(taken) < 3 and not any(x.kind is inspect.Parameter.VAR_POSITIONAL for x in taken):
        raise MemUPError(
            f"{type(predictor).__name__}.forward takes {', '.join(x.name for x in taken)}; a predictor takes context, "
            "memory and distance=None, the steps from the state to what is predicted: see "
            "memup_lightning.models.predictors.OutcomePredictor"
        )
