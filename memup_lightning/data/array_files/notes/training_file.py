"""All that is said of a training file."""

from __future__ import annotations

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.images import image_notes
from memup_lightning.data.array_files.notes.numbers import number_notes
from memup_lightning.data.array_files.notes.outcomes import outcome_notes
from memup_lightning.data.array_files.notes.padding import padding_notes
from memup_lightning.data.array_files.notes.spellings import key_notes
from memup_lightning.specs import FieldType


def training_notes(user: UserEpisodes, y: str, episode: str, y_type: FieldType | None) -> list[str]:
    """Return notes for the user: a sentence each, without the name of the source.

    Args:
        user: what was read of the training file.
        y, episode: names of the outcome, and of the column that says to which episode a row belongs.
        y_type: of the outcome, where the user gave one.
    """
    return [
        *key_notes(episode, user.keys),
        *outcome_notes(user, y, episode, y_type),
        *number_notes(user, y),
        *padding_notes(user),
        *image_notes(user),
    ]
