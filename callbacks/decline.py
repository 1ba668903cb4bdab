"""How many validations in a row explain less than the best one."""

from __future__ import annotations

COUNTS = ("lower", "memorizing", "overfitted")


class Decline:
    """Counts of validations in a row that explain less than the best one; part of
    :class:`~memup_lightning.callbacks.best_weights.BestWeights`, which says from where on each counts.

    Attributes:
        lower: that explain less of the evaluated steps.
        memorizing: of these, those that do not explain training episodes less, or come under weight decay.
        overfitted: that are over-fitted.
    """

    def __init__(self) -> None:
        self.lower = self.memorizing = self.overfitted = 0

    def observe(self, *, lower: bool, memorizing: bool, overfitted: bool) -> None:
        """Take note of a validation: each count grows by one, or begins again at 0."""
        self.lower = self.lower + 1 if lower else 0
        self.memorizing = self.memorizing + 1 if memorizing else 0
        self.overfitted = self.overfitted + 1 if overfitted else 0

    def clear(self) -> None:
        """Begin all counts again."""
        self.lower = self.memorizing = self.overfitted = 0

    def state_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in COUNTS}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        for name in COUNTS:
            setattr(self, name, state_dict[name])


def is_certain(times: int, much: bool) -> bool:
    """Return whether a loss at so many validations in a row is no chance: at two, or at one where much is lost."""
    return times > 1 or (times == 1 and much)
