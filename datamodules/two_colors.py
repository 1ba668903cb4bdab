"""ViZDoom-Two-Colors: episodes from pixels, judged where a vest is taken long after its meaning could be seen."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from datamodules.base import Split
from datamodules.gymnasium import GymnasiumDataModule
from memup_lightning import counter
from memup_lightning.collect import Policy
from memup_lightning.envs.two_colors.policy import TwoColorsDelayPolicy, TwoColorsPolicy
from memup_lightning.envs.two_colors.rules import TwoColorsDelayRules, TwoColorsRules
from memup_lightning.episodes import Arrays, IntArray
from memup_lightning.errors import MemUPError
from memup_lightning.identity import Json

BoolArray = npt.NDArray[np.bool_]


class TwoColorsDataModule(GymnasiumDataModule):
    """Two-Colors and its delay variant (see :mod:`memup_lightning.envs.two_colors.env`); ViZDoom is an extra.

    The outcome is made of rewards. The memory is judged where it must have kept the colour of the pillar: at steps that
    take a vest, ``judged_after`` steps or more after the pillar has vanished, and no other one in the steps that the
    outcome sums up. Of the vests of an episode as many are judged that paid as that cost, drawn at random, so that a
    guess is right at half of them. In the delay variant the step that makes the choice is judged.

    Args:
        variant: ``room`` or ``delay``.
        rules: parameters of the rules that differ from their defaults
            (:class:`~memup_lightning.envs.two_colors.rules.TwoColorsRules` or ``TwoColorsDelayRules``).
        frame_skip: tics of a step.
        observation_size: height and width of a frame, pixels.
        shrink: side of the squares of the engine's screen whose mean is a pixel.
        judged_after: steps from the vanishing of the pillar to the first judged step.
        policy: by default :class:`~memup_lightning.envs.two_colors.policy.TwoColorsPolicy` or ``TwoColorsDelayPolicy``.
        outcome, n_steps, discount: see :class:`~datamodules.rewards.RewardDataModule`.
        tolerance: a predicted reward counts as right within this distance. By default half of what lies between the two
            vests: a prediction is right on its side of the middle, by sign.
        num_train, num_val, num_test: episodes of each split.
        num_envs: environments, each with an engine, played side by side.
        **gymnasium: see :class:`~datamodules.gymnasium.GymnasiumDataModule`.

    Raises:
        MemUPError: an unknown variant, rules out of their range.
    """

    def __init__(
        self,
        variant: Literal["room", "delay"] = "room",
        rules: dict[str, Any] | None = None,
        frame_skip: int = 4,
        observation_size: tuple[int, int] = (32, 56),
        shrink: int = 2,
        judged_after: int = 300,
        policy: Policy | None = None,
        outcome: Literal["reward", "n_step", "return"] = "n_step",
        tolerance: float | None = None,
        num_train: int = 128,
        num_val: int = 32,
        num_test: int = 32,
        num_envs: int = 2,
        **gymnasium: Any,
    ) -> None:
        if variant not in ("room", "delay"):
            raise MemUPError(f"variant={variant!r} is not known; choose 'room' or 'delay'")
        room = variant == "room"
        self.rules = TwoColorsRules(**(rules or {})) if room else TwoColorsDelayRules(**(rules or {}))
        self.frame_skip = frame_skip
        self.judged_after = judged_after
        apart = abs(self.rules.match_reward - self.rules.mismatch_reward)
        view = {"frame_skip": frame_skip, "observation_size": list(observation_size), "shrink": shrink}
        super().__init__(
            env_id="memup/TwoColors-v0" if room else "memup/TwoColorsDelay-v0",
            env_kwargs={**(rules or {}), **view, "tell_items": True},
            policy=policy or (TwoColorsPolicy() if room else TwoColorsDelayPolicy()),
            judged="last",
            outcome=outcome,
            tolerance=apart / 2 if tolerance is None else tolerance,
            num_train=num_train,
            num_val=num_val,
            num_test=num_test,
            num_envs=num_envs,
            **gymnasium,
        )

    def judged_steps(self, arrays: Arrays, lengths: IntArray, terminated: BoolArray) -> BoolArray:
        judged = np.zeros(len(arrays["reward"]), np.bool_)
        for end, length, ended in zip(np.cumsum(lengths), lengths, terminated, strict=True):
            episode = judged[end - length : end]
            if isinstance(self.rules, TwoColorsDelayRules):
                choice = (self.rules.pillar_room_tics + self.rules.delay) // self.frame_skip
                episode[-1] = ended and length > choice
            else:
                self._judge_vests(self.rules, arrays["reward"][end - length : end], episode)
        return judged

    def _judge_vests(self, rules: TwoColorsRules, reward: npt.NDArray[np.float32], judged: BoolArray) -> None:
        paid = reward - rules.living_reward * self.frame_skip
        least, most = sorted((abs(rules.match_reward), abs(rules.mismatch_reward)))
        if not least:
            return  # a vest that pays nothing leaves no trace
        taken = np.abs(paid) > least / 2
        # A given vest: no other one is taken in the steps that its outcome sums up.
        steps = self.n_steps if self.outcome == "n_step" else 1
        together = np.convolve(taken, np.ones(steps))[steps - 1 :]
        single = taken & (together == 1) & (np.abs(paid) < most + least / 2)
        single[: -(-rules.pillar_tics // self.frame_skip) + self.judged_after] = False
        right, wrong = (np.flatnonzero(single & side) for side in (paid > 0, paid < 0))
        for vests in (right, wrong):
            # Drawn by what the episode is, not by where it stands among others: a cache fills in pieces.
            order = np.argsort(counter.hash64(len(reward), vests))
            judged[vests[order[: min(len(right), len(wrong))]]] = True

    def _parameters(self, split: Split) -> dict[str, Json]:
        return {**super()._parameters(split), "judged_after": self.judged_after}
