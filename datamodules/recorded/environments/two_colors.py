"""TwoColorsDataModule: episodes from pixels, evaluated where a vest is taken long after the pillar has vanished."""

from __future__ import annotations

from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, EpisodeSource
from memup_lightning.data.fingerprint import Json
from memup_lightning.data.subset import EvalSubset
from memup_lightning.datamodules.recorded.environments.gymnasium import GymnasiumDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.envs.policies import Policy
from memup_lightning.envs.two_colors.policy import TwoColorsDelayPolicy, TwoColorsPolicy
from memup_lightning.envs.two_colors.rules import REACH, SPEED, TwoColorsDelayRules, TwoColorsRules
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import INFO
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray, Split
from memup_lightning.user_warnings import warn_user

COLOUR = INFO + "colour"
"""Field of the pillar's colour, 0 = red, 1 = green: hidden truth, kept for evaluation and read by no network."""

MAX_EXCESS = 4
"""Largest difference of the numbers of vests that :meth:`TwoColorsDataModule.view_class` distinguishes."""
BEARING_LIMITS = (10.0, 18.0)
"""Limits between the classes of bearings: degrees from the middle of the view."""
_CLEAR = 0.4
"""Share of the difference of both rewards, within which a prediction is right: at 0.5 the middle may be right of both."""

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]


class TwoColorsDataModule(GymnasiumDataModule):
    """Two-Colors and its delay variant (see :mod:`memup_lightning.envs.two_colors.env`); ViZDoom is an extra.

    The outcome is made of rewards. The memory is evaluated where it must have kept the colour of the pillar:

    - *late*: at steps that take a vest, ``eval_after`` steps or more after the pillar has vanished, and no other one in
      the steps that the outcome sums up; in the delay variant at the step that makes the choice.
    - *a given vest*: where the last frame of the local context shows which vest it is (:meth:`shows_the_vest`). The
      reward of a vest that is touched backwards or from the side cannot be predicted by any memory.
    - *balanced*: in validation and test as many that were right as wrong, drawn at random within each class of views
      (:meth:`view_class`): a predictor that does not know the pillar's colour is right at half of them. In the room the
      acid alone kills in 1,280 tics: a player that is alive later has taken more right vests than wrong ones. So those of
      the pillar's colour have become rarer, whatever the policy, and are touched by accident less often. Without the
      balance, the number of vests of the other colour in view, or a vest at the side, would predict the reward.

    The truth that this needs (``info`` of the environment) is read by no network.

    Args:
        variant: ``room`` or ``delay``.
        rules: parameters of the rules that differ from their defaults
            (:class:`~memup_lightning.envs.two_colors.rules.TwoColorsRules` or ``TwoColorsDelayRules``).
        frame_skip: tics of a step.
        observation_size: height and width of a frame, pixels.
        shrink: side of the squares of the engine's screen whose mean is a pixel.
        eval_after: steps from the vanishing of the pillar to the first evaluated step.
        policy: by default :class:`~memup_lightning.envs.two_colors.policy.TwoColorsPolicy` or ``TwoColorsDelayPolicy``.
        outcome, n_steps, gamma, window, cache_dir: see
            :class:`~memup_lightning.datamodules.recorded.environments.rewards.RewardDataModule`.
        tolerance: a predicted reward counts as right within this distance, in spreads of the outcome, which is about the
            larger reward of a vest. By default two fifths of the difference of the two: a prediction is right on its side
            of the middle, and clear of it, since two vests in one outcome make the spread larger than the reward of one.
        num_train: training episodes.
        num_val: validation episodes.
        num_test: test episodes.
        num_envs: environments, each with an engine, played at once.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: an unknown variant, rules out of their range.
    """

    kept_infos = (
        "colour",
        *(f"{name}_{what}" for name in ("red", "green") for what in ("count", "bearing", "distance")),
    )

    def __init__(
        self,
        variant: Literal["room", "delay"] = "room",
        rules: dict[str, Any] | None = None,
        frame_skip: int = 4,
        observation_size: tuple[int, int] = (32, 56),
        shrink: int = 2,
        eval_after: int = 300,
        policy: Policy | None = None,
        outcome: Literal["reward", "n_step", "return"] = "n_step",
        tolerance: float | None = None,
        num_train: int = 128,
        num_val: int = 32,
        num_test: int = 32,
        num_envs: int = 2,
        n_steps: int = 1,
        gamma: float = 1.0,
        window: int = 1,
        cache_dir: str | None = None,
        **stream: Unpack[StreamOptions],
    ) -> None:
        if variant not in ("room", "delay"):
            raise MemUPError(f"variant={variant!r} is not known; choose 'room' or 'delay'")
        room = variant == "room"
        self.rules = TwoColorsRules(**(rules or {})) if room else TwoColorsDelayRules(**(rules or {}))
        self.frame_skip = frame_skip
        self.eval_after = eval_after
        match, mismatch = self.rules.match_reward, self.rules.mismatch_reward
        by_sign = _CLEAR * abs(match - mismatch) / (max(abs(match), abs(mismatch)) or 1.0)
        view = {"frame_skip": frame_skip, "observation_size": list(observation_size), "shrink": shrink}
        super().__init__(
            env_id="memup/TwoColors-v0" if room else "memup/TwoColorsDelay-v0",
            env_kwargs={**(rules or {}), **view, "item_info": True},
            policy=policy or (TwoColorsPolicy() if room else TwoColorsDelayPolicy()),
            eval_at="last",
            outcome=outcome,
            tolerance=by_sign if tolerance is None else tolerance,
            num_train=num_train,
            num_val=num_val,
            num_test=num_test,
            num_envs=num_envs,
            n_steps=n_steps,
            gamma=gamma,
            window=window,
            cache_dir=cache_dir,
            **stream,
        )

    def episodes(self, split: Split) -> EpisodeSource:
        source = super().episodes(split)
        return source if split == "train" else EvalSubset(source, self._balanced(source, split))

    @property
    def stored_fields(self) -> dict[str, FieldSpec]:
        return super().stored_fields | {INFO + name: FieldSpec() for name in self.kept_infos}

    def eval_steps(self, arrays: Arrays, lengths: IntArray, terminated: BoolArray) -> BoolArray:
        """Return the steps at which a given vest is taken late; see the class.

        Args:
            arrays: ``reward`` and the ``info.NAME`` of :attr:`kept_infos`, of whole episodes end to end.
            lengths: steps of each episode.
            terminated: whether each episode ended by itself.
        """
        reward, stops = arrays["reward"], np.cumsum(lengths)
        if self.rules.choice_tic is None:
            taken = np.concatenate([self._late_vests(part) for part in np.split(reward, stops[:-1])])
        else:
            taken = np.zeros(len(reward), np.bool_)
            taken[stops - 1] = terminated & (lengths > self.rules.choice_tic // self.frame_skip)
        return taken & self.shows_the_vest(arrays)

    def shows_the_vest(self, arrays: Arrays) -> BoolArray:
        """Return where the frame of a step shows which vest is taken in it, if one is taken.

        It does where a vest of its colour is in view within reach of the player, and none of the other colour.

        In reach is what a player can touch within a step: at a distance of ``REACH`` their boxes touch at a corner, and a
        step adds ``SPEED`` times its tics.

        Args:
            arrays: see :meth:`eval_steps`.
        """
        reach = REACH + SPEED * self.frame_skip
        red, green = (
            (arrays[f"{INFO}{name}_count"] > 0) & (arrays[f"{INFO}{name}_distance"] <= reach)
            for name in ("red", "green")
        )
        is_green = self._is_green(arrays)
        return (is_green & green & ~red) | (~is_green & red & ~green)

    def _vest_rewards(self, reward: FloatArray) -> FloatArray:
        """Compute the rewards of vests, without the reward of living."""
        return reward - self.rules.living_reward * self.frame_skip

    def _right(self, reward: FloatArray) -> BoolArray:
        """Return whether the vest that a step takes is of the pillar's colour."""
        return self._vest_rewards(reward) > (self.rules.match_reward + self.rules.mismatch_reward) / 2

    def _is_green(self, arrays: Arrays) -> BoolArray:
        """Return whether the vest that a step takes is green: it follows from its reward and the pillar's colour."""
        green: BoolArray = (arrays[COLOUR] == 1) == self._right(arrays["reward"])
        return green

    def _late_vests(self, reward: FloatArray) -> BoolArray:
        """Find the steps of an episode that take a vest, late, and no other one in the steps that its outcome sums up."""
        rules, rewards = self.rules, self._vest_rewards(reward)
        least, most = sorted((abs(rules.match_reward), abs(rules.mismatch_reward)))
        if not least:
            return np.zeros(len(reward), np.bool_)  # a vest without reward cannot be found
        taken = np.abs(rewards) > least / 2
        steps = self.n_steps if self.outcome == "n_step" else 1
        together = np.convolve(taken, np.ones(steps))[steps - 1 :]
        single: BoolArray = taken & (together == 1) & (np.abs(rewards) < most + least / 2)
        single[: -(-rules.pillar_tics // self.frame_skip) + self.eval_after] = False
        return single

    def view_class(self, arrays: Arrays) -> IntArray:
        """Return the class of the view of a given vest; views of one class look the same.

        In the room: its colour, how many more of it than of the other colour are in view (``MAX_EXCESS`` at most, either
        way), and whether it is ahead, at the side or between (``BEARING_LIMITS``). In the delay variant, where nothing was
        taken before the choice: its colour.

        Args:
            arrays: the ``info.NAME`` of :attr:`kept_infos` and ``reward`` of steps that take a given vest.
        """
        green = self._is_green(arrays)
        if self.rules.choice_tic is not None:
            return green.astype(np.int64)
        counts = arrays[INFO + "green_count"] - arrays[INFO + "red_count"]
        more = np.clip(np.where(green, counts, -counts), -MAX_EXCESS, MAX_EXCESS).astype(np.int64) + MAX_EXCESS
        bearing = np.abs(np.where(green, arrays[INFO + "green_bearing"], arrays[INFO + "red_bearing"]))
        return (more * (len(BEARING_LIMITS) + 1) + np.digitize(bearing, BEARING_LIMITS)) * 2 + green

    def _balanced(self, source: EpisodeSource, split: Split) -> BoolArray:
        """Select, of the evaluated steps of each class of views, as many that took a right as a wrong vest."""
        names = [EVAL_MASK, HAS_OUTCOME, "reward", *(INFO + name for name in self.kept_infos)]
        read = [source.gather(np.array([e]), np.array([0]), n, names) for e, n in enumerate(source.lengths.tolist())]
        arrays = {name: np.concatenate([part[name][0] for part in read]) for name in names}
        # Where time ran out soon after, there is no outcome, and nothing to evaluate.
        eval_mask: BoolArray = np.asarray(arrays.pop(EVAL_MASK) & arrays.pop(HAS_OUTCOME), np.bool_)
        steps = np.flatnonzero(eval_mask)
        right = self._right(arrays["reward"][steps])
        views = self.view_class({name: x[steps] for name, x in arrays.items()})
        draw = rng.uniform(self.seed, steps)
        balanced = np.zeros(len(eval_mask), np.bool_)
        for number in np.unique(views).tolist():
            groups = [np.flatnonzero((views == number) & (right == is_right)) for is_right in (False, True)]
            fewest = min(map(len, groups))
            for group in groups:
                balanced[steps[group[np.argsort(draw[group])[:fewest]]]] = True
        if not balanced.any():
            warn_user(
                f"the {split} episodes hold {right.sum()} right and {(~right).sum()} wrong evaluated vests, and none of "
                "both in one class of views; they cannot be balanced, so a guess may be right at more than half; give more "
                f"episodes (num_{split})"
            )
            return eval_mask
        return balanced

    def _parameters(self, split: Split) -> dict[str, Json]:
        return {**super()._parameters(split), "eval_after": self.eval_after, "infos": list(self.kept_infos)}
