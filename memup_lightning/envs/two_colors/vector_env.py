"""Vector environments of Two-Colors: engines that play at the same time, in one Python process.

ViZDoom's engine is a process of its own, and Python's lock is free while one is waited for. So threads are enough to keep
every core busy, and nothing has to be pickled and sent: Gymnasium's AsyncVectorEnv, with a Python process for each
environment, spends more time on that than an engine does on its step.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from memup_lightning.envs.two_colors.base import DoomEnv
from memup_lightning.envs.two_colors.env import TwoColorsDelayEnv, TwoColorsEnv
from memup_lightning.envs.two_colors.view import Frame
from memup_lightning.exceptions import MemUPError, check_counts, counted

Info = dict[str, Any]
Step = tuple[Frame, npt.NDArray[np.float64], npt.NDArray[np.bool_], npt.NDArray[np.bool_], Info]


class DoomVectorEnv(SyncVectorEnv):
    """Vector environment whose engines run in threads; it returns what Gymnasium's SyncVectorEnv does.

    Observations are bytes ``[num_envs, height, width, channels]``, rewards and flags ``[num_envs]``. ``infos`` holds for
    each name of the environments' infos an array and the mask ``_name``, ``[num_envs]`` each.

    Args:
        env_class: class of the environments.
        num_envs: number of environments.
        threads: that play them, the caller's own among them; each plays its share one after another. By default one for
            each core that this process may use, and no more than environments.
        autoreset_mode: one of Gymnasium's AutoresetMode, or its value.
        **given: arguments of the environments.

    Raises:
        MemUPError: no environment or thread, an argument that the environments refuse.
    """

    def __init__(
        self,
        env_class: type[DoomEnv],
        num_envs: int = 1,
        threads: int | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **given: Any,
    ) -> None:
        check_counts(1, num_envs=num_envs, threads=threads)
        super().__init__([partial(env_class, **given)] * num_envs, autoreset_mode=autoreset_mode)
        self._workers = EnvThreads(num_envs, threads)
        self._last_infos: list[Info | None] = [None] * num_envs
        self._final: list[tuple[Frame, Info] | None] = [None] * num_envs

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, Info]:
        """Begin episodes.

        Args:
            seed: of the first environment, the next one's is one more; or one of each.
            options: of the environments; ``reset_mask`` (bool ``[num_envs]``): the environments that begin.

        Raises:
            MemUPError: a wrong number of seeds, a mask of another shape or type; see the environments.
        """
        if seed is None or isinstance(seed, int | np.integer):
            seeds = [None if seed is None else int(seed) + n for n in range(self.num_envs)]
        else:
            seeds = list(seed)
        if len(seeds) != self.num_envs:
            raise MemUPError(
                f"got {counted(len(seeds), 'seed')} for {counted(self.num_envs, 'environment')}; give one for all, or "
                "one each"
            )
        options = dict(options or {})
        mask = np.asarray(options.pop("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise MemUPError(f"reset_mask={mask}: give {self.num_envs} truth values, one of them true at least")

        def begin(n: int) -> None:
            if mask[n]:
                self._observations[n], self._last_infos[n] = self.envs[n].reset(seed=seeds[n], options=options)

        self._last_infos = [None] * self.num_envs
        self._workers.run(begin)
        for flags in (self._terminations, self._truncations, self._autoreset_envs):
            flags[mask] = False
        return self._observations.copy(), self._infos(self._last_infos)

    def step(self, actions: npt.NDArray[np.int64]) -> Step:
        """Play a step of all environments.

        Args:
            actions: ``[num_envs]``.

        Raises:
            MemUPError: a wrong number of actions; see the environments.
        """
        chosen = np.asarray(actions)
        if chosen.shape != (self.num_envs,):
            raise MemUPError(
                f"actions of shape {chosen.shape} for {counted(self.num_envs, 'environment')}; give one each"
            )
        self._final = [None] * self.num_envs
        self._workers.run(lambda n: self._play(n, chosen[n]))
        infos = self._infos(self._last_infos)
        if any(self._final):
            over = np.array([final is not None for final in self._final])
            frames = np.full(self.num_envs, None, dtype=object)
            for n, final in enumerate(self._final):
                if final is not None:
                    frames[n] = final[0]
            final_info = self._infos([final and final[1] for final in self._final])
            infos |= {"final_obs": frames, "_final_obs": over, "final_info": final_info, "_final_info": over.copy()}
        self._autoreset_envs = self._terminations | self._truncations
        return (
            self._observations.copy(),
            self._rewards.copy(),
            self._terminations.copy(),
            self._truncations.copy(),
            infos,
        )

    def _play(self, n: int, action: np.int64) -> None:
        env = self.envs[n]
        if self.autoreset_mode == AutoresetMode.NEXT_STEP and self._autoreset_envs[n]:
            frame, info = env.reset()
            self._rewards[n], self._terminations[n], self._truncations[n] = 0.0, False, False
        else:
            frame, self._rewards[n], self._terminations[n], self._truncations[n], info = env.step(action)
            if self.autoreset_mode == AutoresetMode.SAME_STEP and (self._terminations[n] or self._truncations[n]):
                self._final[n] = frame, info
                frame, info = env.reset()
        self._observations[n], self._last_infos[n] = frame, info

    def _infos(self, given: Sequence[Info | None]) -> Info:
        """Return the infos of some environments, as arrays and masks of all."""
        infos: Info = {}
        rows = [info for info in given if info is not None]
        if len(rows) == self.num_envs:  # nearly always; Gymnasium's way takes 10 microseconds for each environment
            every = np.ones(self.num_envs, np.bool_)
            for name in rows[0]:
                infos[name], infos[f"_{name}"] = np.array([row[name] for row in rows]), every
        else:
            for n, info in enumerate(given):
                infos = infos if info is None else self._add_info(infos, info, n)
        return infos

    def close_extras(self, **kwargs: Any) -> None:
        """End threads and engines."""
        if hasattr(self, "_workers"):  # not where an environment could not be made
            self._workers.end()
        super().close_extras(**kwargs)


class EnvThreads:
    """Threads that do something with each of some numbered things, at the same time; each thread has its own share of them.

    They take jobs from queues: a ThreadPoolExecutor takes 10 microseconds longer, a tenth of a step.

    Args:
        size: number of things.
        threads: the caller's own among them. By default one for each core that this process may use, and no more than
            things.
    """

    def __init__(self, size: int, threads: int | None = None) -> None:
        count = min(size, threads or _cores())
        self._shares = [range(first, size, count) for first in range(count)]
        self._jobs: list[SimpleQueue[_Job | None]] = [SimpleQueue() for _ in self._shares[1:]]
        self._threads = [Thread(target=_run_jobs, args=(jobs,), name="two-colors", daemon=True) for jobs in self._jobs]
        for thread in self._threads:
            thread.start()

    def run(self, task: Callable[[int], Any]) -> None:
        """Call ``task(n)`` for every environment.

        Raises:
            Exception: the first one of a task, once all threads have stopped.
        """
        results: SimpleQueue[Exception | None] = SimpleQueue()
        for jobs, share in zip(self._jobs, self._shares[1:], strict=True):
            jobs.put(_Job(task, share, results))
        errors = [_run_share(task, self._shares[0]), *(results.get() for _ in self._jobs)]
        for error in errors:
            if error is not None:
                raise error

    def end(self) -> None:
        """End the threads after their current task."""
        for jobs, thread in zip(self._jobs, self._threads, strict=True):
            jobs.put(None)
            thread.join()


class _Job(NamedTuple):
    """Task of a thread, and its result: no error, or the error."""

    task: Callable[[int], Any]
    share: range
    results: SimpleQueue[Exception | None]


def _run_jobs(jobs: SimpleQueue[_Job | None]) -> None:
    while job := jobs.get():
        job.results.put(_run_share(job.task, job.share))


def _run_share(task: Callable[[int], Any], share: range) -> Exception | None:
    """Do something with each of a share; the error that ended it."""
    try:
        for n in share:
            task(n)
    except Exception as error:
        return error
    return None


def _cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class TwoColorsVectorEnv(DoomVectorEnv):
    """Vector environment of :class:`~memup_lightning.envs.two_colors.env.TwoColorsEnv`; see :class:`DoomVectorEnv`."""

    def __init__(self, num_envs: int = 1, **given: Any) -> None:
        super().__init__(TwoColorsEnv, num_envs, **given)


class TwoColorsDelayVectorEnv(DoomVectorEnv):
    """Vector environment of :class:`~memup_lightning.envs.two_colors.env.TwoColorsDelayEnv`, a :class:`DoomVectorEnv`."""

    def __init__(self, num_envs: int = 1, **given: Any) -> None:
        super().__init__(TwoColorsDelayEnv, num_envs, **given)
