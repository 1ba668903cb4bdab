"""Every number by which a run that over-fits is recognised and treated; :mod:`memup_lightning.callbacks.overfitting` says
where each is used."""

from __future__ import annotations

# What a validation explains, relative to the best one: shares of what that one explained.
LITTLE = 0.02
"""Lost at the last validation: the run ends with the best weights."""
LOSS = 0.05
"""Lost at two validations in a row: more than chance."""
MUCH = 0.25
"""Lost at a single validation: more than chance; and share of a gain by which another is clearly lower or higher."""
GAIN_MARGIN = 0.1
"""Bits by which a gain is below that in training episodes, at least, where a validation is over-fitted."""
SOMETHING, RARE_SOMETHING = 0.01, 0.02
"""Nats, or of classes a share of ``val/local_nll``, of which a rare one leaves little: more is explained than noise."""

# Second start.
APART, FAR_APART = 0.1, 0.25
"""Bits by which training targets are explained more, at two validations in a row or at one, where nothing else is."""
OWN_SHARE = 0.008
"""Share of the steps of a chunk with an uncertain outcome of their own: with fewer these cannot lead."""
SURE_SHARE = 0.1
"""The same where nothing was explained yet: the local predictor may take certain steps for uncertain ones."""
SECOND_START_TARGETS = 0.02
"""Weight of the loss of targets in the second start."""
TIMES, LEAST = 3, 2000
"""A second start has so many times the updates before it, and so many at least."""
TIME_LEFT = 1 / 3
"""Share of ``max_steps`` that must be left for a start."""

# Weight decay, and targets that count less.
DECAYS = (0.3, 1.0)
"""Decay of all matrices, in learning rates, when the run goes back for the first and the second time."""
DECAY_TARGETS = {0.0: 1.0, 0.3: 0.1, 1.0: 0.01}
"""Weight of the loss of targets with each decay, where own steps can lead."""

# Runs without a limit.
GROWTH, RELATIVE_GROWTH = 0.01, 0.01
"""Bits, and share of the gain, by which it must grow to count as growth."""
WAIT = 5000
"""Updates without growth, at least, before such a run stops."""
