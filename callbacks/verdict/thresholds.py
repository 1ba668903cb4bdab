"""Every number by which a verdict decides; :mod:`memup_lightning.callbacks.verdict` says where each is used."""

from __future__ import annotations

# What counts as something.
SOME_BITS, SOME_SHARE = 0.05, 0.05
"""Gain below which there is none, unless it is a share of what is uncertain, which rare outcomes leave small."""
SOME_ERROR = 0.2
"""Share of the squared error that is something: a few errors can cost more bits than all others gain."""
OVER_OTHERS = 0.2
"""Share of the gain that a state must explain beyond what one of another episode does."""
WORSE = 0.05
"""Share of what a constant leaves, by which a prediction is worse than it, at least."""
MIN_EPISODES = 10
"""Episodes below which a comparison over them shows nothing."""
RARE = 0.05
"""Share of the outcomes that are not of the most frequent class, below which few targets have one."""

# Trends of the gain over validations.
MIN_EVALUATIONS = 4
"""Validations below which there is no trend."""
MIN_RISE, RELATIVE_RISE = 0.05, 0.05
"""Bits, and share of a gain, below which it does not rise."""
ERROR_RISE = 0.1
"""Share of the squared error, below which what is explained of it does not rise."""
SLOWER = 0.25
"""Share of the pace of a rise, below which the last third of the run has stopped rising."""
WORTHWHILE = 0.05
"""Share of a gain that as many updates again must add to it, by its trend, to be worth them."""
LONG = 2000
"""Updates without a rise, at least, after which a gain counts as standing."""
LITTLE = 0.02
"""Share of a gain by which a better validation is better, at least."""
CLEAR_BITS = 0.3
"""Gain in training episodes that were learned, whenever that was."""

# Rules, in their order.
DIVERGED_BITS = 1e4
"""Gain of a run that diverged."""
NOTHING_UNCERTAIN = 0.05
"""Share of the outcomes' own entropy or variance, up to which nothing is uncertain."""
EXPLAINED = 0.9
"""Share of what is uncertain without memory, from which on the outcomes are explained."""
SMALLEST_SPREAD, LARGEST_VALUE = 0.01, 100.0
"""Of inputs that networks read well."""
FAR = 5.0
"""Spreads, above which a spread of the measured outcomes is learned late."""
OVERFITTED_BITS, OVERFITTED_SHARE = 0.1, 0.3
"""Gain in training episodes above that in others, at least, and as a share of it."""
MIN_RECALL = 0.5
"""Share of the marked steps that must be targets."""
MIN_UPDATES = 500
"""Updates before the choice of targets counts as wrong: the local predictor learns first."""
FORGOTTEN_ERRORS = 3.0
"""Standard errors by which a state knows more than a later one: the best of several distances is compared."""
KNOWN_ERROR = 0.05
"""Bits that the memory explains of a context cluster, below which its targets are noise, if that is certain."""
MOST = 0.5
"""Share of the targets."""
ENOUGH_UPDATES = 2000
"""Updates before which a memory that explains little may only need more of them."""
LATE = 2 / 3
"""Share of the updates; later weights are nearly the last ones."""
FEW_EPISODES = 5000
"""A memory that learned nothing from fewer may need more of them."""
SHORT = 128
"""Steps of episodes whose only outcome may be at their end, so that chunks should hold them whole."""

# Remarks, and words.
LEAST_NATS = 0.001
"""NLL that is lost by memory, at least: below it both predictions are sure."""
EXCESS = 0.2
"""Share of the gain over a predictor, that its badness must be."""
OWN_LEAD = 0.5
"""Weight of targets below which the predictor learns from the states of the outcomes' own steps."""
OUTLIERS = 0.05
"""Share of what is uncertain that sure and wrong predictions cost, from which on it is said."""
