"""Check that a wrapper was given an environment of the type that it wraps."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium.vector import VectorEnv

from memup_lightning.exceptions import MemUPError

_STABLE_BASELINES = "stable_baselines3."


def check_env_type(wrapper: str, env: Any, expected: type) -> None:
    """Refuse an environment of another type, with the wrapper that takes it.

    Args:
        wrapper: its name.
        env: what it was given.
        expected: ``gymnasium.Env`` or ``VectorEnv``.

    Raises:
        MemUPError: see above.
    """
    if isinstance(env, expected):
        return
    given = f"{wrapper} was given {f'the class {env.__name__}' if isinstance(env, type) else type(env).__name__}"
    if isinstance(env, VectorEnv):
        raise MemUPError(f"{given}, a vector environment; wrap it with VectorMemoryObservation")
    if isinstance(env, gymnasium.Env):
        raise MemUPError(f"{given}, a single environment; wrap it with MemoryObservation")
    if any(base.__module__.startswith(_STABLE_BASELINES) for base in type(env).__mro__):
        raise MemUPError(
            f"{given}, a vector environment of Stable-Baselines3; wrap each single environment with MemoryObservation "
            "first: make_vec_env(..., wrapper_class=MemoryObservation, wrapper_kwargs={'checkpoint': ...})"
        )
    vector = issubclass(expected, VectorEnv)
    kind, name = (
        ("a vector environment", "gymnasium.vector.VectorEnv") if vector else ("an environment", "gymnasium.Env")
    )
    raise MemUPError(f"{given}; give {kind} of Gymnasium, an object of {name}")
