"""Plays episodes of Two-Colors tic by tic, and looks whether they agree with the rules.

    python -m tests.envs.rules_two_colors [--episodes 200]

What happens is worked out a second time, from the rules and from what is seen: health from vests and acid, vests in the
room from those that were taken, the colour of the pillar from pixels above the player's eyes, where no vest reaches.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.envs.two_colors.base import DoomEnv
from memup_lightning.envs.two_colors.env import TwoColorsEnv
from memup_lightning.envs.two_colors.policy import TwoColorsPolicy
from memup_lightning.envs.two_colors.rules import FULL_HEALTH, TwoColorsRules

ABOVE_THE_EYES = 29  # rows of a frame of 64; no vest is as high
FIRST_TIC = 1  # of an episode; the clocks of the scenario start with it


class CountingEnv(TwoColorsEnv):
    """Reports all vests in the room: ``red`` and ``green`` in ``info``."""

    def _configure(self, game: Any, path: str) -> None:
        super()._configure(game, path)
        game.set_objects_info_enabled(True)

    def _read_info(self, engine: Any) -> dict[str, Any]:
        info = super()._read_info(engine)
        if self._state is not None:
            names = Counter(thing.name for thing in self._state.objects)
            info |= {"red": names["TCRedVest"], "green": names["TCGreenVest"]}
        return info


def pillar_pixels(frame: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Red and green pixels above the player's eyes."""
    red, green, _ = frame[:ABOVE_THE_EYES].astype(int).transpose(2, 0, 1)
    return int(((red > 120) & (green < 60)).sum()), int(((green > 100) & (red < 100)).sum())


def act(policy: TwoColorsPolicy, env: DoomEnv, frame: Any, info: Mapping[str, Any]) -> np.int64:
    infos = {name: np.array([value]) for name, value in info.items()}
    return np.int64(policy(frame[None], env.action_space, infos)[0])


def expected_health(rules: TwoColorsRules, before: int, matched: int, mismatched: int, tic: int) -> set[int]:
    """What the health may be after a tic; where several things happen in one, their order is not known."""
    bitten = tic > FIRST_TIC and (tic - FIRST_TIC) % rules.decay_interval == 0
    events = [rules.item_health] * matched + [-rules.item_health] * mismatched + [-rules.decay] * bitten
    orders = (events, events[::-1])
    found = set()
    for order in orders:
        health = before
        for change in order:
            health = min(FULL_HEALTH, health + change) if change > 0 else health + change
        found.add(health)
    return found


def check_episode(env: CountingEnv, policy: TwoColorsPolicy, seed: int) -> dict[str, Any]:
    """Play an episode and compare it with the rules.

    Args:
        env: of a frame skip of 1.
        policy: plays it.
        seed: of the episode.

    Returns:
        ``colour``, ``steps``, ``matched``, ``mismatched``, ``died``, ``seen`` (tics in which the pillar was seen).

    Raises:
        AssertionError: it does not agree with the rules.
    """
    rules = env.rules
    assert isinstance(rules, TwoColorsRules)
    frame, info = env.reset(options={"episode_seed": seed})
    assert (info["health"], info["matched"], info["mismatched"], info["tic"]) == (FULL_HEALTH, 0, 0, FIRST_TIC)
    taken, seen, steps, terminated, truncated = Counter[str](), 0, 0, False, False
    while not (terminated or truncated):
        red, green = pillar_pixels(frame)
        right, wrong = (green, red) if info["colour"] else (red, green)
        assert wrong == 0, f"tic {info['tic']}: a pillar of the other colour"
        assert right == 0 or info["pillar"], f"tic {info['tic']}: the pillar is still there"
        seen += right > 0
        before = info
        frame, reward, terminated, truncated, info = env.step(act(policy, env, frame, info))
        steps += 1
        matched, mismatched = (info[name] - before[name] for name in ("matched", "mismatched"))
        expected = matched * rules.match_reward + mismatched * rules.mismatch_reward + rules.living_reward
        assert abs(reward - expected) < 1e-6, f"tic {info['tic']}: reward {reward}, not {expected}"
        healths = expected_health(rules, before["health"], matched, mismatched, info["tic"])
        assert info["health"] in healths, f"tic {info['tic']}: health {info['health']}, not {healths}"
        assert terminated == (info["health"] <= 0)
        if terminated or truncated:
            break
        assert info["tic"] == before["tic"] + 1
        same = "green" if info["colour"] else "red"
        taken[same] += matched
        taken["red" if same == "green" else "green"] += mismatched
        came = (info["tic"] - FIRST_TIC) // rules.item_interval
        assert info["red"] == rules.items + (came + 1) // 2 - taken["red"], (
            f"tic {info['tic']}: {info['red']} red vests"
        )
        assert info["green"] == rules.items + came // 2 - taken["green"], f"tic {info['tic']}: {info['green']} green"
    if truncated:
        assert steps == rules.timeout
    counts = {name: info[name] for name in ("colour", "matched", "mismatched")}
    return {**counts, "steps": steps, "died": terminated, "seen": seen}


def check(episodes: int, first_seed: int = 0) -> list[dict[str, Any]]:
    """Play and compare some episodes; one in five is played at random."""
    env = CountingEnv(frame_skip=1, item_info=True)
    policy = TwoColorsPolicy(random_share=0.2)
    try:
        return [check_episode(env, policy, first_seed + number) for number in range(episodes)]
    finally:
        env.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=200)
    given = parser.parse_args()
    found = check(given.episodes)
    green = sum(episode["colour"] for episode in found)
    died = sum(episode["died"] for episode in found)
    print(
        f"{len(found)} episodes agree with the rules: {green} green, {len(found) - green} red; {died} ended by death,"
    )
    print(f"{len(found) - died} by the timeout; {sum(e['matched'] for e in found)} vests of the pillar's colour,")
    print(f"{sum(e['mismatched'] for e in found)} of the other; the pillar was seen in {max(e['seen'] for e in found)}")
    print("tics at most")


if __name__ == "__main__":
    main()
