"""A memory that never learns: how much of a result the fresh weights have already."""

from __future__ import annotations

from typing import Any

from memup_lightning import SRNN


class FreshSRNN(SRNN):
    """:class:`~memup_lightning.SRNN` with the weights that it begins with: the predictor alone is trained.

    Args:
        input_size: features of a step.
        **arguments: of SRNN.
    """

    def __init__(self, input_size: int, **arguments: Any) -> None:
        super().__init__(input_size, **arguments)
        self.requires_grad_(False)
