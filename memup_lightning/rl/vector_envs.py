"""Vector environments: making, resetting and stepping them, and errors when one of their processes dies."""

from __future__ import annotations

import difflib
import re
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import TimeoutError
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, Literal

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, VectorEnv

import memup_lightning.envs  # noqa: F401 (registers memup/...)
from memup_lightning.exceptions import MemUPError, check_counts, describe_error, user_code
from memup_lightning.rl.returned_values import Call, find_wrong_return
from memup_lightning.rl.spaces import misfit
from memup_lightning.user_warnings import option

Vectorization = Literal["native", "sync", "async"]
_EXIT_TIMEOUT = 1.0  # seconds that a process has to end
_CHECK = "gymnasium.utils.env_checker.check_env(env) checks an environment"
_CONTRACTS: dict[Call, str] = {
    "reset": f"reset(seed=None, options=None) returns (observation, info); {_CHECK}",
    "step": "step(action) returns (observation, reward, terminated, truncated, info), with one number as the reward; "
    f"{_CHECK}",
}
"""What the methods of an environment return, as the end of a sentence."""
_GYMNASIUMS_HINT = re.compile(r"\.?\s*Did you mean: .*\?$")
Wrapper = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]


def make_vector_env(
    env_id: str,
    num_envs: int,
    env_kwargs: dict[str, Any] | None = None,
    wrappers: Sequence[Wrapper] = (),
    vectorization: Vectorization = "native",
) -> VectorEnv[Any, Any, Any]:
    """Make a vector environment.

    Args:
        env_id: a registered environment.
        num_envs: number of environments.
        env_kwargs: arguments of the environment.
        wrappers: the innermost first.
        vectorization: ``native``: the environment's own, where it has one and no wrapper is asked for, else as ``sync``;
            ``sync``: one after another in this process; ``async``: each in a process of its own.

    Raises:
        MemUPError: no environment asked for, an environment in place of its name, an unknown name (with the nearest there
            is), arguments it does not take, or a constructor that raises.
    """
    check_counts(1, num_envs=num_envs)
    _check_name(env_id)
    try:
        if vectorization == "async":
            make_vector_env(env_id, 1, env_kwargs, wrappers, "sync").close()  # says what is wrong with the arguments
        native = vectorization == "native" and gymnasium.spec(env_id).vector_entry_point is not None and not wrappers
        mode = "sync" if vectorization == "native" else vectorization
        with _processes_that_can_be_ended():
            return gymnasium.make_vec(
                env_id,
                num_envs=num_envs,
                vectorization_mode="vector_entry_point" if native else mode,
                wrappers=None if native else list(wrappers),  # type: ignore[arg-type]
                **(env_kwargs or {}),
            )
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        reason, hint = " ".join(str(error).split()).rstrip(".; "), _nearest(env_id)
        if "did you mean" in hint:
            reason = _GYMNASIUMS_HINT.sub("", reason)
        raise MemUPError(f"environment {env_id!r} cannot be made: {reason}{hint}") from error
    except MemUPError:
        raise
    except Exception as error:
        if isinstance(error, TypeError) and "argument" in str(error):
            raise MemUPError(f"environment {env_id!r} does not take env_kwargs={env_kwargs}: {error}") from error
        raise MemUPError(f"environment {env_id!r} cannot be made: {describe_error(error)}") from error


def _check_name(env_id: Any) -> None:
    """Refuse an environment, or a class of environments, in place of its name."""
    if not isinstance(env_id, str):
        given = f"the class {env_id.__name__}" if isinstance(env_id, type) else f"a {type(env_id).__name__}"
        raise MemUPError(
            f"env_id is {given}; give the name by which an environment is registered: "
            "gymnasium.register('Mine-v0', MyEnv), then env_id='Mine-v0'"
        )


def _nearest(env_id: str) -> str:
    near = difflib.get_close_matches(env_id, list(gymnasium.registry), n=1)
    if env_id in near:
        return ""
    question = f"; did you mean {near[0]!r}?" if near else ""
    where = f"{question} Where" if question else "; where"
    name = env_id.rpartition("-v")[0]
    if any(spec.name == name.rpartition("/")[2] for spec in gymnasium.registry.values()):
        return question  # another version of it is there
    how = option("imports", "my_module", "import my_module")
    return f"{where} it is your own, import the module that registers it: {how}"


def check_action_space(space: gymnasium.Space[Any], env_id: str) -> None:
    """Refuse an action space that an agent cannot choose from.

    Raises:
        MemUPError: see above.
    """
    equal = isinstance(space, spaces.MultiDiscrete) and len(set(space.nvec.ravel().tolist())) == 1
    if not (equal or isinstance(space, spaces.Discrete | spaces.Box)):
        raise MemUPError(
            f"the action space {space} of {env_id!r} cannot be played; an agent chooses from Discrete, Box, or "
            "MultiDiscrete with as many choices in each entry: convert it with a wrapper"
        )


def reset_env(env: VectorEnv[Any, Any, Any], seed: int, timeout: float) -> tuple[Any, dict[str, Any]]:
    """Begin the first episodes; the observations of all environments, and the infos.

    Raises:
        MemUPError: the environment raised, a process died or does not answer.
    """
    with _user_code(env, "reset"):
        if isinstance(env, AsyncVectorEnv):
            with _watch(env, timeout):
                env.reset_async(seed=seed)
                return env.reset_wait(timeout)
        return env.reset(seed=seed)


def step_env(env: VectorEnv[Any, Any, Any], actions: npt.NDArray[Any], timeout: float) -> tuple[Any, ...]:
    """Call ``env.step(actions)``; raise an error instead of waiting for a process that died or does not answer.

    Raises:
        MemUPError: see above; or the environment raised.
    """
    with _user_code(env, "step"):
        if not isinstance(env, AsyncVectorEnv):
            return env.step(actions)
        with _watch(env, timeout):
            env.step_async(actions)
            return env.step_wait(timeout)


def reset_some(env: VectorEnv[Any, Any, Any], which: npt.NDArray[np.bool_]) -> tuple[Any, dict[str, Any]]:
    """Begin new episodes in some environments of one that does not do so itself; the observations of all, and the infos."""
    with _user_code(env, "reset"):
        return env.reset(options={"reset_mask": which})


@contextmanager
def _user_code(env: VectorEnv[Any, Any, Any], call: Call) -> Iterator[None]:
    """Say which environment raised, what and where, and how to find out more.

    Gymnasium's own checks, an observation of another shape or type than the space, and the environment's own errors all
    come from here.
    """
    name = env.spec.id if env.spec is not None else type(env).__name__
    what = f"the {call}() of environment {name!r}"
    try:
        with user_code(what, _CONTRACTS[call]):
            yield
    except MemUPError as error:
        if (found := find_wrong_return(env, call)) is not None:
            raise MemUPError(f"{what} {found}; {_CHECK}") from error
        space = env.single_observation_space
        newest = getattr(env, "_env_obs", ())
        if call == "reset" and not _joins_observations(error):  # one that raised has given none
            newest = [observation for observation in newest if observation is not None]
        if wrong := next(filter(None, (misfit("observation", space, observation) for observation in newest)), ""):
            raise MemUPError(
                f"{what} returned an observation {wrong}; correct the environment: make the two alike"
            ) from error
        if isinstance(env, AsyncVectorEnv) and "broadcast" in str(error):
            raise MemUPError(
                f"{what} returned an observation of another shape than its observation_space ({error.__cause__}); correct "
                "the environment (vectorization=sync names the field)"
            ) from error
        raise


def _joins_observations(error: MemUPError) -> bool:
    """Return whether all environments have returned observations, which Gymnasium could not put into one array."""
    places = traceback.extract_tb(None if error.__cause__ is None else error.__cause__.__traceback__)
    return any(Path(place.filename).parts[-3:-1] == ("vector", "utils") for place in places)


@contextmanager
def _processes_that_can_be_ended() -> Iterator[None]:
    """Let processes that are forked here end at SIGTERM.

    They would inherit the Trainer's handler, which only records the signal, and a run that ends by an error would wait
    for them for ever.
    """
    if current_thread() is not main_thread():  # handlers are not to be changed there
        yield
        return
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def _watch(env: AsyncVectorEnv, timeout: float) -> Iterator[None]:
    try:
        yield
    except (EOFError, ConnectionError, TimeoutError) as error:
        processes = env.processes
        for process in processes:
            process.join(0.1)  # one that is gone has an exit code then
        died = [f"{n} (exit code {p.exitcode})" for n, p in enumerate(processes) if p.exitcode is not None]
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(_EXIT_TIMEOUT)
            process.kill()  # one that hangs may not end when it is asked to
        env.closed = True  # close() would wait for what is gone
        if died:
            reason = f"the process of environment {', '.join(died)} died"
        else:
            reason = f"an environment did not answer within {timeout:g} seconds"
        raise MemUPError(
            f"{reason}; run it with {option('data.vectorization', 'sync')} to see its error, and continue from the last "
            f"checkpoint with {option('ckpt_path', 'last', 'ckpt_path')}"
        ) from error
