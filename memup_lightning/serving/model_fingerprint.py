"""Fingerprint of a model: the same wherever it is loaded, another one after any training."""

from __future__ import annotations

import hashlib
import json

import torch

from memup_lightning.data.array_files import Columns
from memup_lightning.data.array_files.layout import Missing
from memup_lightning.serving.step.network import StepNetwork

_LENGTH = 16  # hexadecimal digits


def model_fingerprint(network: StepNetwork, columns: Columns | None, missing: Missing | None) -> str:
    """Return what says of which model a state is: a checksum of the weights, of the fields and of how rows are read.

    It depends neither on the device nor on the process.

    Args:
        network: the networks of a step.
        columns: of the tables that are read; None: fields are given by their names.
        missing: what replaces a missing number.
    """
    task = network.task
    fields = {
        name: [x.dtype, x.shape, x.type, x.classes, x.names, x.means, x.entries] for name, x in network.fields.items()
    }
    reading = None if columns is None else [columns.x, columns.episode, columns.time, columns.x_type, missing]
    memory = type(network.memory).__qualname__
    described = [fields, list(task.inputs.items()), task.context, task.window, reading, memory]
    found = hashlib.sha256(json.dumps(described, default=str).encode())
    for name, x in network.state_dict().items():
        if not isinstance(x, torch.Tensor):  # extra state of a core of the user's
            found.update(f"{name} {x!r}".encode())
            continue
        found.update(f"{name} {x.dtype} {list(x.shape)}".encode())
        found.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:_LENGTH]
