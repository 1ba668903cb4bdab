"""Average of the weights of a task in training, with which it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn

from memup_lightning.models.ema import update_averages
from memup_lightning.modules.base import BaseTask

_GAMMA = 16.97  # the average's width, as a standard deviation, is a twentieth of the updates so far
_INTERVAL = 10  # updates


class WeightAverage:
    """Moving average of the weights of a module, over the last twentieth of its updates.

    A constant learning rate leaves noise in the weights, which their average has not. Its width grows with the number of
    updates, so that it is not late at first (the power function of Karras et al., "Analyzing and Improving the Training
    Dynamics of Diffusion Models", 2024, section 3.1). Buffers are not averaged. Lightning's ``WeightAveraging`` has a fixed
    width, averages counters as well, and ends the training with the average before ``last.ckpt`` is written, so that a
    run would not resume as if it had not stopped.

    Args:
        module: whose weights are averaged, as they are now. Frozen ones are left out.

    Attributes:
        swapped: whether the module has the average, and this object the weights in training.
    """

    def __init__(self, module: nn.Module) -> None:
        self._weights = {name: p for name, p in module.named_parameters() if p.requires_grad}
        self._other = {name: p.detach().clone() for name, p in self._weights.items()}
        self.swapped = False

    def update(self, updates: int) -> None:
        """Add the weights; at one update in ten, after the first ten.

        Args:
            updates: number of updates so far.
        """
        if updates <= _INTERVAL or updates % _INTERVAL == 0:
            decay = (1 - min(1, _INTERVAL / updates)) ** (_GAMMA + 1)
            update_averages(list(self._other.values()), list(self._weights.values()), decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Give the module the average, or its weights in training again."""
        weights: list[Tensor] = list(self._weights.values())
        other = list(self._other.values())
        kept = [p.clone() for p in weights]
        torch._foreach_copy_(weights, other)
        torch._foreach_copy_(other, kept)
        self.swapped = not self.swapped

    def other_weights(self) -> dict[str, Tensor]:
        """Return the weights that the module does not have now: the average, or those in training."""
        return dict(self._other)

    @torch.no_grad()
    def restart(self) -> None:
        """Make the weights that the module has both the average and those in training."""
        torch._foreach_copy_(list(self._other.values()), list(self._weights.values()))

    @torch.no_grad()
    def load(self, training: Mapping[str, Tensor]) -> None:
        """Give the module the weights in training of a checkpoint; those that it has are the average."""
        for name, p in self._weights.items():
            p.copy_(training[name])


class AveragedTask(BaseTask):
    """Task that is evaluated with the average of its weights, and ends a run with it.

    A checkpoint holds the average as its weights, and in addition the weights in training, from which a run resumes.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._average: WeightAverage | None = None
        self._resumed_weights: dict[str, Tensor] | None = None

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self._average = None  # of an earlier fit: this one begins with the weights that the model has

    def on_train_start(self) -> None:
        self._average = WeightAverage(self)
        if self._resumed_weights is not None:
            self._average.load(self._resumed_weights)
            self._resumed_weights = None
        super().on_train_start()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self._average is not None:
            self._average.update(self.global_step + 1)  # Lightning counts this one later

    def on_validation_start(self) -> None:
        super().on_validation_start()
        self._swap(to_average=True)

    def on_validation_end(self) -> None:  # after the callbacks, which measure too
        self._swap(to_average=self.trainer.state.fn != TrainerFn.FITTING)

    def on_train_end(self) -> None:  # after the callbacks, which write checkpoints to resume from
        self._swap(to_average=True)

    def _swap(self, to_average: bool) -> None:
        if self._average is not None and self._average.swapped != to_average:
            self._average.swap()

    def go_back(self, weights: Mapping[str, Tensor]) -> None:
        """Train on from weights of before, of which the average begins too.

        Args:
            weights: a ``state_dict`` of this module.
        """
        self.load_state_dict(weights)
        if self._average is not None:
            self._average.restart()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        if self._average is not None and "optimizer_states" in checkpoint:
            weights, other = checkpoint["state_dict"], self._average.other_weights()
            training = other if self._average.swapped else weights
            checkpoint["training_weights"] = {name: training[name] for name in other}
            if not self._average.swapped:
                checkpoint["state_dict"] = weights | other

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        # Training may have nothing left to do: until it begins, the module has the average.
        self._resumed_weights = checkpoint.get("training_weights")
