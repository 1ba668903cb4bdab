"""DoomEnv: base class of both variants of Two-Colors, the game as a Gymnasium environment.

The observation is the player's view. Everything else is hidden from the agent, and is in ``info``:

- ``colour``: of the pillar, 0 = red, 1 = green; ``pillar``: whether it is still there.
- ``health``: at most 100, not above 0 when the player is dead.
- ``matched``, ``mismatched``: vests taken so far, of the pillar's colour and of the other.
- ``tic``: of the episode; ``x``, ``y`` and ``angle`` of the player, in map units and degrees.
- ``episode_seed``: ``reset(options={"episode_seed": s})`` plays that episode again.
- ``discarded``: the engine failed and the episode ended there; a collector leaves it out. The next ``reset()`` plays
  the same episode in a new engine. ``engine_failures``: how often that happened.
- with ``item_info``, for each type of item (``red``, ``green``, ``medikit``): ``red_count``, how many are in view, and
  where the nearest of them is: ``red_bearing`` in degrees, positive to the left, and ``red_distance`` in map units; 0
  where none is in view.

Eight actions (:data:`~memup_lightning.envs.two_colors.rules.ACTIONS`): the combinations of turning left or right with
moving forward or backward, without standing still.
"""

from __future__ import annotations

import logging
import operator
import os
import sys
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import gymnasium
import numpy as np

from memup_lightning.envs.two_colors.engine import Engine, EngineFailure, vizdoom
from memup_lightning.envs.two_colors.rules import ACTIONS, BUTTONS, Rules
from memup_lightning.envs.two_colors.scenario.build import scenario
from memup_lightning.envs.two_colors.view import Frame, View
from memup_lightning.exceptions import MemUPError, check_counts, counted

MAX_FAILURES = 3
"""Engines that may fail one after another on the same episode."""

_HIDDEN_VARIABLES = ("AMMO3", "HEALTH", "AMMO1", "AMMO2", "POSITION_X", "POSITION_Y", "ANGLE")
_log = logging.getLogger(__name__)


class DoomEnv(gymnasium.Env[Frame, np.int64], ABC):
    """Base class of both variants; see the module for ``info`` and actions.

    Args:
        frame_skip: tics of a step.
        observation_size, colour, field_of_view, resolution, shrink: see
            :class:`~memup_lightning.envs.two_colors.view.View`.
        item_info: whether ``info`` says which items are in view and where; the engine then makes labels too.
        oracle: whether the upper eighth of every frame has the colour of the pillar, for an agent without a memory: what
            can be reached by one that forgets nothing.
        patience: seconds after which an engine that does not answer is killed.
        render_mode: None, ``rgb_array`` (the screen) or ``human`` (a window of the engine, in real time).
        **rules: numbers of the game that differ from the defaults of ``rules_class``, such as ``timeout=400``.

    Raises:
        MemUPError: an argument out of its range; engines that fail on the same episode again and again.
    """

    rules_class: ClassVar[type[Rules]]
    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 35}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self,
        frame_skip: int = 4,
        observation_size: tuple[int, int] = (64, 112),
        colour: bool = True,
        field_of_view: float = 90.0,
        resolution: str = "160X120",
        shrink: int = 1,
        item_info: bool = False,
        oracle: bool = False,
        patience: float = 20.0,
        render_mode: str | None = None,
        **rules: Any,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise MemUPError(f"render_mode={render_mode!r} is not supported; give None, 'rgb_array' or 'human'")
        check_counts(1, frame_skip=frame_skip)
        self.rules, self.frame_skip, self.item_info = self.rules_class(**rules), frame_skip, item_info
        self.patience, self.render_mode, self.oracle = patience, render_mode, oracle
        self.view = View(observation_size, colour, field_of_view, resolution, shrink)
        self.observation_space = gymnasium.spaces.Box(0, 255, self.view.shape, np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self._scenario = scenario(self.rules)
        self._hidden = [getattr(vizdoom.GameVariable, name) for name in _HIDDEN_VARIABLES]
        self._engine: Engine | None = None
        self._state: vizdoom.GameState | None = None  # None where an episode is over
        self._screen = np.zeros(self.view.screen_shape, np.uint8)
        self._playing = False
        self._matched, self._mismatched = 0.0, 0.0
        self._green = False  # the pillar
        self._episode_seed = 0
        self._replay = False  # whether the next episode is the one that was discarded
        self._failures, self._consecutive_failures = 0, 0
        self._info: dict[str, Any] = {}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, dict[str, Any]]:
        super().reset(seed=seed)
        if (options or {}).get("episode_seed") is not None:
            self._episode_seed = int((options or {})["episode_seed"])
        elif seed is not None or not self._replay:
            self._episode_seed = int(self.np_random.integers(2**32))
        self._replay = False
        while True:
            try:
                engine = self._begin()
                return self._observe(engine), self._read_info(engine)
            except EngineFailure as error:
                self._count_failure(error)

    def step(self, action: np.int64) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        engine = self._engine
        if not self._playing or engine is None:
            raise MemUPError("the episode is over or not begun; call reset() before step()")
        pressed = _buttons(action)
        try:
            with engine.supervised():
                reward = engine.game.make_action(pressed, self.frame_skip)
                observation = self._observe(engine)
                out_of_time = self._state is None and engine.game.is_episode_timeout_reached()
                info = self._read_info(engine)
        except EngineFailure as error:
            return self._discard(error)
        self._consecutive_failures = 0
        matched, mismatched = info["matched"], info["mismatched"]
        reward += self.rules.match_reward * (matched - self._matched)
        reward += self.rules.mismatch_reward * (mismatched - self._mismatched)
        self._matched, self._mismatched = matched, mismatched
        # The engine says that time is out also of a player who died in the last tic, and leaves the map a tic late.
        terminated = self._ended(info)
        truncated = out_of_time and not terminated
        self._playing = not (terminated or truncated)
        if self.render_mode == "human":
            time.sleep(self.frame_skip / self.metadata["render_fps"])
        return observation, float(reward), terminated, truncated, info

    def render(self) -> Frame | None:
        if self.render_mode != "rgb_array":
            return None
        return self._screen.copy() if self._screen.ndim == 3 else np.repeat(self._screen[..., None], 3, axis=2)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine, self._playing = None, False

    @abstractmethod
    def _ended(self, info: dict[str, Any]) -> bool:
        """Return whether the episode terminated."""

    def _begin(self) -> Engine:
        """Begin an episode, in a new engine where there is none."""
        if self._engine is None:
            if self.render_mode == "human" and sys.platform == "linux" and not _has_display():
                raise MemUPError("render_mode='human' opens a window, but there is no display; give 'rgb_array'")
            commands = [f"fov {self.view.screen_field_of_view:.0f}"]
            self._engine = Engine(self._configure, self._scenario, commands, self.patience)
        engine = self._engine
        with engine.supervised():
            engine.game.set_seed(self._episode_seed)
            engine.game.new_episode()
        self._matched, self._mismatched, self._playing = 0, 0, True
        return engine

    def _configure(self, game: vizdoom.DoomGame, path: str) -> None:
        game.set_doom_scenario_path(path)
        game.set_doom_map("MAP01")
        game.set_doom_skill(3)  # on others damage is halved or doubled
        game.set_episode_timeout(self.rules.timeout)
        game.set_living_reward(self.rules.living_reward)
        game.set_screen_resolution(self.view.screen_resolution)
        game.set_screen_format(self.view.screen_format)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in BUTTONS])
        # A state then holds them. Reading one releases Python's lock and takes it again, for which threads wait.
        game.set_available_game_variables(self._hidden)
        game.set_labels_buffer_enabled(self.item_info)
        game.set_window_visible(self.render_mode == "human")
        game.set_sound_enabled(False)
        # Nothing on the screen may show the health: no display of it, no flash of pain.
        game.set_render_hud(False)
        game.set_render_screen_flashes(False)
        game.set_render_messages(False)
        game.set_render_weapon(False)
        game.set_render_crosshair(False)

    def _observe(self, engine: Engine) -> Frame:
        """Return the frame of the screen as it is; of the last screen where the episode is over."""
        self._state = engine.game.get_state()
        if self._state is not None:
            assert self._state.screen_buffer is not None
            self._screen = self._state.screen_buffer
        frame = self.view.frame(self._screen)
        if self.oracle:
            self._show_colour(frame)
        return frame

    def _show_colour(self, frame: Frame) -> None:
        """Paint the upper eighth of a frame in the colour of the pillar; of one channel, green is white and red black."""
        if self._state is not None:
            assert self._state.game_variables is not None
            self._green = int(self._state.game_variables[0]) == 2
        paint = (0, 255, 0) if self._green else (255, 0, 0)
        frame[: -(-frame.shape[0] // 8)] = paint if frame.shape[-1] == 3 else 255 * self._green

    def _read_info(self, engine: Engine) -> dict[str, Any]:
        """Read the values that are hidden from the agent."""
        game, state = engine.game, self._state
        if state is None:  # the episode is over
            hidden, tic = [game.get_game_variable(name) for name in self._hidden], game.get_episode_time()
        else:
            assert state.game_variables is not None
            hidden, tic = state.game_variables.tolist(), state.tic
        colour, health, matched, mismatched, x, y, angle = hidden
        self._info = {
            "colour": int(colour) - 1,
            "pillar": tic < self.rules.pillar_tics,
            "health": int(health),
            "matched": int(matched),
            "mismatched": int(mismatched),
            "tic": tic,
            "x": x,
            "y": y,
            "angle": angle,
            "episode_seed": self._episode_seed,
            "discarded": False,
            "engine_failures": self._failures,
        }
        if self.item_info:
            self._info |= self.view.items((state.labels or ()) if state is not None else (), x, y)
        return self._info

    def _discard(self, error: EngineFailure) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """End the episode here: its last step is lost with the engine."""
        self._count_failure(error)
        self._replay = True
        self._info = self._info | {"discarded": True, "engine_failures": self._failures}
        return np.zeros(self.view.shape, np.uint8), 0.0, False, True, self._info

    def _count_failure(self, error: EngineFailure) -> None:
        self.close()
        self._failures += 1
        self._consecutive_failures += 1
        _log.warning(
            "ViZDoom's engine failed (%s); episode %s is discarded and played again in a new engine; failures so far: %d",
            error,
            self._episode_seed,
            self._failures,
        )
        if self._consecutive_failures >= MAX_FAILURES:
            raise MemUPError(
                f"ViZDoom's engine failed {counted(self._consecutive_failures, 'time')} in turn on the episode of "
                f"seed {self._episode_seed} ({error}); is there enough memory, and room in /dev/shm?"
            ) from error


def _buttons(action: Any) -> list[int]:
    """Return the buttons of an action; a check by the space (``contains``) would take far longer."""
    try:
        number = operator.index(action)
    except TypeError:
        number = -1
    if not 0 <= number < len(ACTIONS):
        raise MemUPError(f"action {action} is none of 0 to {len(ACTIONS) - 1}")
    return list(ACTIONS[number])


def _has_display() -> bool:
    """Return whether a window can be opened; ViZDoom would take Python with it where none can."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
