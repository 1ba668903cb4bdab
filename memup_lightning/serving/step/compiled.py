"""CompiledStep: one step without the cost of Python in every layer, which for a single stream is most of the time."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor

from memup_lightning.models.encoders import StepEncoder, VectorEncoder
from memup_lightning.models.scaling import InputStandardizer
from memup_lightning.modules.ranges.range_watch import RangeWatch
from memup_lightning.serving.step.exported import ExportedStep
from memup_lightning.typing import Arrays

_TRACED = ("memup_lightning.", "torch.nn.")


class CompiledStep:
    """An :class:`~memup_lightning.serving.step.exported.ExportedStep` on the CPU, traced once for any number of streams.

    Numbers that only one step reads are standardised before, once for the memory and the local context.

    Args:
        step: the step; it is copied.
        watch: warns of numbers far from those of training.

    Attributes:
        scales: center and scale of the fields that are standardised before, which are watched.
    """

    def __init__(self, step: ExportedStep, watch: RangeWatch) -> None:
        self._watch = watch
        step = copy.deepcopy(step).eval()
        self._standardizers = self._take_standardizers(step)
        self.scales = {
            name: (x.center.numpy().reshape(shape), x.scale.numpy().reshape(shape))
            for name, x in self._standardizers.items()
            for shape in [step.network.fields[name].shape]
        }
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # branches on numbers of steps, which are constant
            self._run: Any = torch.jit.freeze(torch.jit.trace(step, step.example(), check_trace=False))

    @staticmethod
    def can_trace(step: ExportedStep) -> bool:
        """Return whether all parts are known: a trace of a user's own class could leave out one of its branches."""
        return all(type(part).__module__.startswith(_TRACED) for part in step.modules())

    def _take_standardizers(self, step: ExportedStep) -> dict[str, InputStandardizer]:
        """Switch off the standardizers of a field that are all alike, and return one of each field."""
        found: dict[str, list[VectorEncoder]] = {}
        for part in step.network.modules():
            if isinstance(part, StepEncoder):
                for name, encoder in zip(part.names, part.encoders, strict=True):
                    if isinstance(encoder, VectorEncoder):
                        found.setdefault(name, []).append(encoder)
        taken = {}
        for name, encoders in found.items():
            field, first = step.network.fields[name], encoders[0].standardizer
            alike = all(
                torch.equal(x.standardizer.center, first.center) and torch.equal(x.standardizer.scale, first.scale)
                for x in encoders
            )
            if alike and not first.is_identity and field.dtype.startswith("float") and name not in step.history:
                taken[name] = copy.deepcopy(first)
                for encoder in encoders:
                    encoder.standardizer.is_identity = True
        return taken

    def __call__(self, arrays: Arrays, state: list[Tensor]) -> tuple[Tensor, ...]:
        """Return what :meth:`ExportedStep.forward` does.

        Args:
            arrays: the fields, in the order of the step.
            state: as :func:`~memup_lightning.serving.step.exported.state_tensors` returns it.
        """
        fields = []
        for name, x in arrays.items():
            if name in self.scales:
                center, scale = self.scales[name]
                z = torch.from_numpy((x - center) / scale)
                if far := self._watch.is_far(name, z.numpy()):
                    self._watch.note(name, x, z.numpy())
                standardizer = self._standardizers[name]
                squashed = far or standardizer.reads_logarithms
                fields.append(standardizer.squash(z.reshape(-1, center.size)).view_as(z) if squashed else z)
            else:
                fields.append(torch.from_numpy(x))
        out: tuple[Tensor, ...] = self._run(*fields, *state)
        return out
