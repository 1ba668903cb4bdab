"""What reset() and step() of an environment return: Gym before 0.26 had another interface than Gymnasium."""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import Any, Literal

import gymnasium

from memup_lightning.exceptions import counted

Call = Literal["reset", "step"]
_RETURNS: dict[Call, str] = {
    "reset": "(observation, info)",
    "step": "(observation, reward, terminated, truncated, info)",
}
_LENGTHS: dict[Call, int] = {"reset": 2, "step": 5}
_OF_VECTORS = "num_envs", "vectorization_mode"  # among what Gymnasium notes as the arguments of an environment
_OLD = {"reset": "the observation alone", "step": "4 values, (observation, reward, done, info)"}
"""What Gym before 0.26 wanted."""


def wrong_return(call: Call, result: Any) -> str | None:
    """Say what is wrong with what a method of an environment returned.

    Args:
        call: of which method.
        result: what it returned.

    Returns:
        The end of a sentence that begins with the method; None where the result has the right number of values.
    """
    if isinstance(result, tuple) and len(result) == _LENGTHS[call] and isinstance(result[-1], dict):
        return None
    returns = f"{call}() must return {_RETURNS[call]}"
    if call == "step" and isinstance(result, tuple):
        old = len(result) == 4
        found = f"{_OLD[call]}, as in Gym before 0.26" if old else counted(len(result), "value")
        if len(result) == _LENGTHS[call]:
            return f"returned a {type(result[-1]).__name__} as info; {returns}, with a dictionary as info"
        split = ": say terminated or truncated in place of done" if old else ""
        return f"returned {found}; {returns}{split}"
    if call == "step":
        return f"returned a {type(result).__name__}; {returns}"
    return f"returned {_OLD[call]} ({type(result).__name__}), as in Gym before 0.26; {returns}, with {{}} as info"


def find_wrong_return(env: Any, call: Call) -> str | None:
    """Call a method of an environment that failed in a vector environment once more, and say what it returns.

    Args:
        env: the vector environment, of Gymnasium's own classes; another one is not asked.
        call: the method that failed.

    Returns:
        As :func:`wrong_return`; None also where the environment raises.
    """
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium's own checks, which were heard already
        if isinstance(env, gymnasium.vector.SyncVectorEnv):
            return _first_wrong(env.envs[0], call)
        if isinstance(env, gymnasium.vector.AsyncVectorEnv) and env.spec is not None:
            kwargs = {name: x for name, x in env.spec.kwargs.items() if name not in _OF_VECTORS}
            single = gymnasium.make(env.spec.id, **kwargs)
            try:
                return _first_wrong(single, call)
            finally:
                single.close()
    return None


def _first_wrong(env: gymnasium.Env[Any, Any], call: Call) -> str | None:
    """Ask an environment, and inside of a wrapper that raises what it wraps."""
    while True:
        try:
            result: Any = env.reset(seed=0)
            return wrong_return(call, result if call == "reset" else env.step(env.action_space.sample()))
        except Exception:
            if not isinstance(env, gymnasium.Wrapper):
                return None
            env = env.env
