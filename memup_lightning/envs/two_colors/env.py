"""Two-Colors: what an agent sees for a moment decides, for 2,000 tics, which vests keep it alive.

The observation is what the player sees. All else is hidden from the agent, and stands in ``info``:

- ``colour``: of the pillar, 0 = red, 1 = green; ``pillar``: whether it still stands.
- ``health``: at most 100, not above 0 when the player is dead.
- ``matched``, ``mismatched``: vests taken so far, of the pillar's colour and of the other.
- ``tic``: of the episode; ``x``, ``y`` and ``angle`` of the player, in map units and degrees.
- ``episode_seed``: ``reset(options={"episode_seed": s})`` plays that episode again.
- ``discarded``: the engine failed and the episode ended there; a collector leaves it out. The next ``reset()`` plays
  the same episode in a new engine. ``engine_failures``: how often that happened.
- with ``tell_items``, for each kind of item (``red``, ``green``, ``medikit``): ``red_count``, how many are in view, and
  where the nearest of them is: ``red_bearing`` in degrees, to the left above 0, and ``red_distance`` in map units; NaN
  where none is in view.

Eight actions (:data:`~memup_lightning.envs.two_colors.rules.ACTIONS`): the combinations of turning left or right with
moving forward or backward, without standing still.
"""

from __future__ import annotations

import logging
import math
import operator
import os
import sys
import time
from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from memup_lightning.envs.two_colors.engine import Engine, EngineFailure, vizdoom
from memup_lightning.envs.two_colors.rules import ACTIONS, BUTTONS, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.envs.two_colors.scenario import Rules, scenario
from memup_lightning.exceptions import MemUPError

Frame = npt.NDArray[np.uint8]

ITEMS = {"red": "TCRedVest", "green": "TCGreenVest", "medikit": "TCMedikit"}
MAX_FAILURES = 3
"""Engines that may fail one after another on the same episode."""

_HIDDEN = ("AMMO3", "HEALTH", "AMMO1", "AMMO2", "POSITION_X", "POSITION_Y", "ANGLE")
_log = logging.getLogger(__name__)


class DoomEnv(gymnasium.Env[Frame, np.int64], ABC):
    """What both variants share; see the module.

    Args:
        rules: of the game.
        frame_skip: tics of a step.
        observation_size: height and width of what the agent sees, pixels.
        colour: whether it sees colours: three channels; else one, grey.
        field_of_view: width of what it sees, degrees.
        resolution: of the engine's screen, one of ViZDoom's, such as ``160X120``. The observation is its middle.
        shrink: side of the squares of the screen whose mean is a pixel of the observation.
        tell_items: whether ``info`` says which items are in view and where; the engine then makes labels too.
        patience: seconds after which an engine that does not answer is killed.
        render_mode: None, ``rgb_array`` (the screen) or ``human`` (a window of the engine, in real time).

    Raises:
        MemUPError: an argument out of its range; engines that fail on the same episode again and again.
    """

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 35}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self,
        rules: Rules,
        frame_skip: int = 4,
        observation_size: tuple[int, int] = (64, 112),
        colour: bool = True,
        field_of_view: float = 90.0,
        resolution: str = "160X120",
        shrink: int = 1,
        tell_items: bool = False,
        patience: float = 20.0,
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise MemUPError(f"render_mode={render_mode!r} is not supported; give None, 'rgb_array' or 'human'")
        if frame_skip < 1 or shrink < 1:
            raise MemUPError(f"frame_skip={frame_skip}, shrink={shrink}: each must be at least 1")
        if not 5 <= field_of_view <= 120:
            raise MemUPError(f"field_of_view={field_of_view}: give 5 to 120 degrees")
        self.rules = rules
        self.frame_skip, self.colour, self.shrink = frame_skip, colour, shrink
        self.tell_items, self.patience, self.render_mode = tell_items, patience, render_mode
        screen = getattr(vizdoom.ScreenResolution, f"RES_{resolution.upper()}", None)
        if screen is None:
            raise MemUPError(f"resolution={resolution!r} is none of ViZDoom's; 160X120, 320X240 and 640X480 are")
        self._resolution: vizdoom.ScreenResolution = screen
        width, height = (int(side) for side in resolution.upper().split("X"))
        self.observation_size = rows, columns = tuple(observation_size)
        top, left = (height - rows * shrink) // 2, (width - columns * shrink) // 2
        if min(rows, columns) < 1 or min(top, left) < 0:
            raise MemUPError(
                f"observation_size={observation_size} with shrink={shrink} needs a screen of {rows * shrink}x"
                f"{columns * shrink} pixels, but resolution={resolution!r} has {height}x{width}; give a larger one"
            )
        self._middle = slice(top, top + rows * shrink), slice(left, left + columns * shrink)
        self._focal = columns * shrink / 2 / math.tan(math.radians(field_of_view / 2))  # pixels
        self._screen_centre, self._screen_width = width / 2, width
        channels = 3 if colour else 1
        self.observation_space = gymnasium.spaces.Box(0, 255, (rows, columns, channels), np.uint8)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS))
        self._scenario = scenario(rules)
        self._hidden = [getattr(vizdoom.GameVariable, name) for name in _HIDDEN]
        self._engine: Engine | None = None
        self._state: vizdoom.GameState | None = None  # None where an episode is over
        self._screen = np.zeros((height, width, 3) if colour else (height, width), np.uint8)
        self._playing = False
        self._matched, self._mismatched = 0.0, 0.0
        self._episode_seed = 0
        self._replay = False  # whether the next episode is the one that was discarded
        self._failures, self._failures_in_turn = 0, 0
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
                self._begin()
                return self._observe(), self._look()
            except EngineFailure as error:
                self._count_failure(error)

    def step(self, action: np.int64) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        if not self._playing or self._engine is None:
            raise MemUPError("the episode is over or not begun; call reset() before step()")
        pressed = _buttons(action)
        game = self._engine.game
        try:
            with self._engine.asking():
                reward = game.make_action(pressed, self.frame_skip)
                observation = self._observe()
                out_of_time = self._state is None and game.is_episode_timeout_reached()
                info = self._look()
        except EngineFailure as error:
            return self._discard(error)
        self._failures_in_turn = 0
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
        return self._screen.copy() if self.colour else np.repeat(self._screen[..., None], 3, axis=2)

    def close(self) -> None:
        if self._engine is not None:
            self._engine.close()
        self._engine, self._playing = None, False

    @abstractmethod
    def _ended(self, info: dict[str, Any]) -> bool:
        """Whether an episode came to its own end."""

    def _begin(self) -> None:
        if self._engine is None:
            if self.render_mode == "human" and sys.platform == "linux" and not _has_display():
                raise MemUPError("render_mode='human' opens a window, but there is no display; give 'rgb_array'")
            # The whole screen is wider than the observation in its middle.
            screen_view = 2 * math.degrees(math.atan(self._screen_width / 2 / self._focal))
            self._engine = Engine(self._configure, self._scenario, [f"fov {screen_view:.0f}"], self.patience)
        with self._engine.asking():
            self._engine.game.set_seed(self._episode_seed)
            self._engine.game.new_episode()
        self._matched, self._mismatched, self._playing = 0, 0, True

    def _configure(self, game: vizdoom.DoomGame, path: str) -> None:
        game.set_doom_scenario_path(path)
        game.set_doom_map("MAP01")
        game.set_doom_skill(3)  # on others damage is halved or doubled
        game.set_episode_timeout(self.rules.timeout)
        game.set_living_reward(self.rules.living_reward)
        game.set_screen_resolution(self._resolution)
        game.set_screen_format(vizdoom.ScreenFormat.RGB24 if self.colour else vizdoom.ScreenFormat.GRAY8)
        game.set_available_buttons([getattr(vizdoom.Button, name) for name in BUTTONS])
        # A state then holds them. To ask for one gives Python's lock away and takes it again, for which threads queue.
        game.set_available_game_variables(self._hidden)
        game.set_labels_buffer_enabled(self.tell_items)
        game.set_window_visible(self.render_mode == "human")
        game.set_sound_enabled(False)
        # Nothing on the screen may tell the health: no display of it, no flash of pain.
        game.set_render_hud(False)
        game.set_render_screen_flashes(False)
        game.set_render_messages(False)
        game.set_render_weapon(False)
        game.set_render_crosshair(False)

    def _observe(self) -> Frame:
        """The middle of the screen, shrunk; of the last screen where the episode is over."""
        assert self._engine is not None
        self._state = self._engine.game.get_state()
        if self._state is not None:
            assert self._state.screen_buffer is not None
            self._screen = self._state.screen_buffer
        seen = self._screen[self._middle]
        if self.shrink > 1:
            seen = _means(seen, self.shrink)
        self._frame: Frame = np.ascontiguousarray(seen).reshape(*self.observation_size, -1)
        return self._frame

    def _look(self) -> dict[str, Any]:
        """What is hidden from the agent."""
        assert self._engine is not None
        game, state = self._engine.game, self._state
        if state is None:  # the episode is over
            told, tic = [game.get_game_variable(name) for name in self._hidden], game.get_episode_time()
        else:
            assert state.game_variables is not None
            told, tic = state.game_variables.tolist(), state.tic
        colour, health, matched, mismatched, x, y, angle = told
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
        if self.tell_items:
            self._info |= self._items(x, y)
        return self._info

    def _items(self, x: float, y: float) -> dict[str, float]:
        nearest, counts = dict.fromkeys(ITEMS, (math.nan, math.nan)), dict.fromkeys(ITEMS, 0)
        names = {kind: name for name, kind in ITEMS.items()}
        left, right = self._middle[1].start, self._middle[1].stop
        for label in (self._state.labels or ()) if self._state is not None else ():
            name, column = names.get(label.object_name), label.x + label.width / 2
            if name is None or not left <= column < right:
                continue
            counts[name] += 1
            distance = math.hypot(label.object_position_x - x, label.object_position_y - y)
            if not distance >= nearest[name][1]:  # also where there is none yet
                nearest[name] = math.degrees(math.atan((self._screen_centre - column) / self._focal)), distance
        return {
            f"{name}_{what}": value
            for name, place in nearest.items()
            for what, value in (("count", counts[name]), ("bearing", place[0]), ("distance", place[1]))
        }

    def _discard(self, error: EngineFailure) -> tuple[Frame, float, bool, bool, dict[str, Any]]:
        """End the episode here: what the failed engine still had to say is not known."""
        self._count_failure(error)
        self._replay = True
        self._info = self._info | {"discarded": True, "engine_failures": self._failures}
        return np.zeros_like(self._frame), 0.0, False, True, self._info

    def _count_failure(self, error: EngineFailure) -> None:
        self.close()
        self._failures += 1
        self._failures_in_turn += 1
        _log.warning(
            "ViZDoom's engine failed (%s); episode %s is discarded and played again in a new engine; failures so far: %d",
            error,
            self._episode_seed,
            self._failures,
        )
        if self._failures_in_turn >= MAX_FAILURES:
            raise MemUPError(
                f"ViZDoom's engine failed {self._failures_in_turn} times in turn on the episode of seed "
                f"{self._episode_seed} ({error}); is there enough memory, and room in /dev/shm?"
            ) from error


def _buttons(action: Any) -> list[int]:
    """What an action presses; to ask the space (``contains``) takes eight times as long."""
    try:
        number = operator.index(action)
    except TypeError:
        number = -1
    if not 0 <= number < len(ACTIONS):
        raise MemUPError(f"action {action} is none of 0 to {len(ACTIONS) - 1}")
    return list(ACTIONS[number])


def _means(screen: Frame, side: int) -> Frame:
    """Means of the squares of a screen ``[height, width(, channels)]``, rounded down.

    Sums of whole rows, then of one channel at a time: NumPy's ``sum`` over both axes of the squares takes 15 times as long.
    """
    height, width = screen.shape[:2]
    wide = np.dtype(np.uint16 if side * side * 255 < 2**16 else np.uint32)
    rows = screen[::side].astype(wide)
    for row in range(1, side):
        rows += screen[row::side]
    parts = rows.reshape(height // side * (width // side), side, -1)
    sums = parts[:, 0].copy()
    for channel in range(sums.shape[1]):
        for column in range(1, side):
            sums[:, channel] += parts[:, column, channel]
    sums //= side * side
    return sums.astype(np.uint8)


def _has_display() -> bool:
    """Whether a window can be opened; ViZDoom would take Python with it where none can."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class TwoColorsEnv(DoomEnv):
    """A room of acid with red and green vests; those of the colour of a pillar, which is seen at the start only, heal.

    Terminated when the player dies, truncated at the timeout. See the module for what ``info`` holds.

    Args:
        decay, decay_interval, items, item_interval, item_health, pillar_tics, timeout, room_size: see
            :class:`~memup_lightning.envs.two_colors.rules.TwoColorsRules`.
        match_reward, mismatch_reward, living_reward: see there.
        **view: frame_skip, observation_size, colour, field_of_view, resolution, shrink, tell_items, patience,
            render_mode: see :class:`DoomEnv`.
    """

    def __init__(
        self,
        decay: int = 10,
        decay_interval: int = 128,
        items: int = 10,
        item_interval: int = 30,
        item_health: int = 25,
        pillar_tics: int = 90,
        timeout: int = 2100,
        room_size: int = 1280,
        match_reward: float = 1.0,
        mismatch_reward: float = -1.0,
        living_reward: float = 0.01,
        **view: Any,
    ) -> None:
        rules = TwoColorsRules(
            decay=decay,
            decay_interval=decay_interval,
            items=items,
            item_interval=item_interval,
            item_health=item_health,
            pillar_tics=pillar_tics,
            timeout=timeout,
            room_size=room_size,
            match_reward=match_reward,
            mismatch_reward=mismatch_reward,
            living_reward=living_reward,
        )
        super().__init__(rules, **view)

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0)


class TwoColorsDelayEnv(DoomEnv):
    """A pillar, 2,000 tics in a room of acid with medikits, then one choice between a red and a green vest.

    Terminated when a vest is chosen or the player dies, truncated at the timeout. See the module for what ``info`` holds.

    Args:
        decay, decay_interval, items, item_interval, item_health, pillar_tics, pillar_room_tics, delay, timeout,
            room_size: see :class:`~memup_lightning.envs.two_colors.rules.TwoColorsDelayRules`.
        match_reward, mismatch_reward, living_reward: see there.
        **view: frame_skip, observation_size, colour, field_of_view, resolution, shrink, tell_items, patience,
            render_mode: see :class:`DoomEnv`.
    """

    def __init__(
        self,
        decay: int = 10,
        decay_interval: int = 128,
        items: int = 20,
        item_interval: int = 30,
        item_health: int = 25,
        pillar_tics: int = 90,
        pillar_room_tics: int = 100,
        delay: int = 2000,
        timeout: int = 2300,
        room_size: int = 1280,
        match_reward: float = 5.0,
        mismatch_reward: float = 0.0,
        living_reward: float = 0.0,
        **view: Any,
    ) -> None:
        rules = TwoColorsDelayRules(
            decay=decay,
            decay_interval=decay_interval,
            items=items,
            item_interval=item_interval,
            item_health=item_health,
            pillar_tics=pillar_tics,
            pillar_room_tics=pillar_room_tics,
            delay=delay,
            timeout=timeout,
            room_size=room_size,
            match_reward=match_reward,
            mismatch_reward=mismatch_reward,
            living_reward=living_reward,
        )
        super().__init__(rules, **view)

    def _ended(self, info: dict[str, Any]) -> bool:
        return bool(info["health"] <= 0 or info["matched"] or info["mismatched"])
