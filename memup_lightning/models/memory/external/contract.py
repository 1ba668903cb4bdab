"""Check of the contract of a memory core on random inputs."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from memup_lightning.exceptions import MemUPError
from memup_lightning.models.eval_mode import trial_mode
from memup_lightning.models.memory.base import State

_LANES, _STEPS, _CUT = 3, 6, 2  # of the trial; the cut divides its steps into two chunks
_TOLERANCE = 1e-3  # share of the largest output: the order of sums differs with the number of steps
_LANE_TOLERANCE = 1e-5  # share of the largest output: the same kernels run, whatever the other lanes hold
_SEED = 0
_ADVICE = (
    "a memory core has output_size, initial_state(lanes) and forward(x, state, is_first); subclass "
    "memup_lightning.models.memory.Memory or wrap a torch.nn module in memup_lightning.models.memory.RNNAdapter"
)


def make_memory(factory: Callable[[int], Any], input_size: int) -> tuple[Any, int]:
    """Make a core and check its contract.

    Args:
        factory: ``(input_size) -> memory core``.
        input_size: features of a step.

    Returns:
        The core and its ``output_size``.

    Raises:
        MemUPError: no factory was given, the constructor raised, or the core breaks the contract (see
            :func:`check_memory`).
    """
    if isinstance(factory, nn.Module) or not callable(factory):
        raise MemUPError(
            f"memory={_given(factory)} is no class or function that makes a core; give one that takes "
            "input_size, such as functools.partial(LSTM, hidden_size=64) of memup_lightning.models.memory"
        )
    try:
        memory = factory(input_size)
    except MemUPError:
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise MemUPError(
            f"the memory core could not be made for input_size={input_size}: {type(error).__name__}: {error} "
            f"({Path(place.filename).name}, line {place.lineno}){_made_as(error)}"
        ) from error
    return memory, check_memory(memory, input_size)


def check_memory(memory: Any, input_size: int) -> int:
    """Check the contract of a core on random inputs of three lanes; raise an error that names the broken rule.

    The core runs in evaluation mode, without gradients, in eleven calls of at most six steps. Its buffers and torch's
    random numbers are restored afterwards.

    Args:
        memory: the core.
        input_size: features of a step.

    Returns:
        The core's ``output_size``.

    Raises:
        MemUPError: a missing member, a call that raises, a wrong shape or dtype, an input or state that is changed in
            place, a state kept in the module, a lane that depends on another, a step that depends on later ones, chunks
            that differ from the whole, an ``is_first`` that does not reset its lane alone.
    """
    name = type(memory).__name__
    for member in ("output_size", "initial_state"):
        if not hasattr(memory, member):
            raise MemUPError(f"{name} has no {member!r}: {_ADVICE}")
    reference: Tensor = next(memory.parameters(), torch.zeros(()))
    with trial_mode(memory, reference.device):
        try:
            _Trial(memory, input_size, reference).run()
        except MemUPError:
            raise
        except Exception as error:
            raise MemUPError(
                f"{name} raised {type(error).__name__} on {_LANES} lanes, {_STEPS} steps, input_size={input_size}: "
                f"{error}; {_ADVICE}"
            ) from error
    return int(memory.output_size)


class _Trial:
    """The calls of a trial.

    Args:
        memory: the core.
        input_size: features of a step.
        reference: a tensor of the core's device and dtype.
    """

    def __init__(self, memory: Any, input_size: int, reference: Tensor) -> None:
        self.name = type(memory).__name__
        self.memory: Callable[..., tuple[Tensor, State]] = memory
        self.output_size, self.initial_state = memory.output_size, memory.initial_state(_LANES)
        generator = torch.Generator().manual_seed(_SEED)
        first, x, other = torch.randn(3, _LANES, _STEPS, input_size, generator=generator).to(reference)
        self.first, self.x, self.other = first, x, other
        self.none = torch.zeros(_LANES, dtype=torch.bool, device=reference.device)

    def run(self) -> None:
        out, self.state = self.memory(self.first, self.initial_state, ~self.none)
        self._check_shapes(out)
        repeated = self._check_in_place()
        whole, _ = self._call(self.x)
        self.scale = float(whole.abs().amax())
        if self._differ(repeated, whole):
            self._refuse(
                "gives another output when it is called again with the same input and state; keep nothing in the module "
                "from call to call, and draw no random numbers in evaluation mode"
            )
        self._check_lanes(whole)
        self._check_time(whole)
        self._check_reset(whole)

    def _check_shapes(self, out: Tensor) -> None:
        size, initial = self.output_size, self.initial_state
        if tuple(out.shape) != (_LANES, _STEPS, size):
            self._refuse(
                f"returned an output of shape {list(out.shape)} for {_LANES} lanes and {_STEPS} steps; it must be "
                f"[lanes, steps, output_size] = [{_LANES}, {_STEPS}, {size}]"
            )
        if not bool(out.isfinite().all()):
            self._refuse(f"returned {out[~out.isfinite()][0].item()} for random inputs; its output must be finite")
        if (was := _describe(initial)) != (now := _describe(self.state)):
            self._refuse(f"got a state of {was} and returned one of {now}; shapes, dtypes and nesting must be the same")
        if any(leaf.shape[:1] != (_LANES,) for leaf in pytree.tree_leaves(initial)):
            self._refuse(f"has an initial_state({_LANES}) of {was}; the lane dimension must come first in every tensor")

    def _check_in_place(self) -> Tensor:
        x, state = _copy(self.x), _copy(self.state)
        out, _ = self.memory(x, state, self.none)
        if not _equal(state, self.state):
            self._refuse("changes the state that it is given in place; return a new one")
        if not _equal(x, self.x):
            self._refuse("changes its input in place; compute on a copy")
        return out

    def _check_lanes(self, whole: Tensor) -> None:
        for lane in range(_LANES):
            x = self.x.clone()
            x[lane] = self.other[lane]
            out, _ = self._call(x)
            for row in range(_LANES):
                if row != lane and self._differ(out[row], whole[row], _LANE_TOLERANCE):
                    self._refuse(
                        f"lets the input of lane {lane} change the output of lane {row}; each lane is an episode of its "
                        "own: compute nothing across the first dimension"
                    )

    def _check_time(self, whole: Tensor) -> None:
        later, _ = self._call(torch.cat([self.x[:, :_CUT], self.other[:, _CUT:]], 1))
        if self._differ(later[:, :_CUT], whole[:, :_CUT]):
            self._refuse(
                f"lets later steps change the output of earlier ones: steps before {_CUT} differ when only those from "
                f"{_CUT} on do; a step may depend on itself and on those before it"
            )
        head, between = self._call(self.x[:, :_CUT])
        tail, _ = self.memory(self.x[:, _CUT:], between, self.none)
        if self._differ(torch.cat([head, tail], 1), whole):
            self._refuse(
                f"gives another output for chunks of {_CUT} and {_STEPS - _CUT} steps than for all {_STEPS} steps at once; "
                "the returned state must hold all that later steps depend on"
            )

    def _check_reset(self, whole: Tensor) -> None:
        fresh, _ = self.memory(self.x, self.initial_state, self.none)
        for lane in range(2):
            is_first = self.none.clone()
            is_first[lane] = True
            out, _ = self._call(self.x, is_first)
            if self._differ(out[lane], fresh[lane]):
                self._refuse(
                    f"does not give lane {lane} its initial state where is_first is true there; reset that lane before "
                    "the first step"
                )
            if self._differ(out[~is_first], whole[~is_first]):
                self._refuse(f"resets other lanes than lane {lane}, the only one where is_first is true")

    def _call(self, x: Tensor, is_first: Tensor | None = None) -> tuple[Tensor, State]:
        """Run from the state of an episode that has begun."""
        out, after = self.memory(x.clone(), _copy(self.state), self.none if is_first is None else is_first)
        return out, after

    def _differ(self, a: Tensor, b: Tensor, tolerance: float = _TOLERANCE) -> bool:
        tolerance = max(tolerance, 10 * torch.finfo(b.dtype).eps) * self.scale
        return not bool((a - b).abs().amax() <= tolerance)  # NaN differs

    def _refuse(self, rule: str) -> NoReturn:
        raise MemUPError(f"{self.name} {rule}")


def _made_as(error: BaseException) -> str:
    """Return class and arguments of the core whose constructor raised, with advice, as the end of a sentence."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        core = frame.f_locals.get("self")
        if frame.f_code.co_name == "__init__" and isinstance(core, nn.Module):
            given = inspect.getargvalues(frame)
            shown = [(name, given.locals.get(name)) for name in given.args if name != "self"]
            simple = [f"{name}={x!r}" for name, x in shown if isinstance(x, int | float | str | None)]
            made = f"; it was made as {type(core).__name__}({', '.join(simple)})"
            if type(core).__module__.startswith("torch.nn."):
                return f"{made}, which is no memory core; take GTrXL or RMT for attention, LSTM, GRU, or {_ADVICE}"
            return f"{made}: change the arguments that do not fit together"
    return ""


def _given(factory: Any) -> str:
    return f"{type(factory).__name__}(...)" if isinstance(factory, nn.Module) else repr(factory)


def _copy(state: Any) -> Any:
    return pytree.tree_map(torch.clone, state)


def _equal(one: Any, two: Any) -> bool:
    return all(map(torch.equal, pytree.tree_leaves(one), pytree.tree_leaves(two)))


def _describe(state: Any) -> str:
    """Return the shapes and dtypes of a state, such as ``(float32 [4, 1, 64], int64 [4])``."""
    if isinstance(state, tuple | list):
        return f"({', '.join(_describe(part) for part in state)})"
    return f"{str(state.dtype).removeprefix('torch.')} {list(state.shape)}"
