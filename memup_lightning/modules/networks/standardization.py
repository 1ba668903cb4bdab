"""Statistics of the training data for the standardizers of a model."""

from __future__ import annotations

from torch import nn

from memup_lightning.data.episodes import OUTCOME
from memup_lightning.data.streaming.step_reader import as_tensor
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.models.outcomes import ContinuousOutcome
from memup_lightning.models.scaling import Standardizer
from memup_lightning.protocols import LaneSchedule


def fit_standardizers(model: nn.Module, lanes: LaneSchedule) -> None:
    """Fit the standardizers that have no statistics yet, all of one field alike, and scale the features of the
    memory's inputs; those of a checkpoint keep theirs.

    Args:
        model: its encoders of steps and its outcome are looked for among all parts; ``encoder`` is the memory's.
        lanes: of the training episodes.
    """
    unfitted: dict[str, list[Standardizer]] = {}
    for part in model.modules():
        if isinstance(part, StepEncoder):
            for name, standardizer in part.unfitted().items():
                unfitted.setdefault(name, []).append(standardizer)
        elif isinstance(part, ContinuousOutcome) and not part.standardizer.is_fitted:
            unfitted.setdefault(OUTCOME, []).append(part.standardizer)
    if unfitted:
        for name, values in lanes.sample_values(list(unfitted)).items():
            for standardizer in unfitted[name]:
                standardizer.fit(values)
    encoder = getattr(model, "encoder", None)
    if isinstance(encoder, StepEncoder) and not encoder.fitted:
        sample = lanes.sample_values(encoder.fitted_fields, ends=False)
        encoder.fit_features({name: as_tensor(x) for name, x in sample.items()})
