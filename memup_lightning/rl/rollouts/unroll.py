"""A recurrent core over sequences of rollouts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memup_lightning.models.memory import State, take

_MAX_PADDING = 4  # padded steps for each real one up to which a core runs once over all stretches


def unroll(core: Any, x: Tensor, state: State, is_first: Tensor) -> Tensor:
    """Run a core over sequences in which episodes begin anywhere.

    Each stretch of an episode becomes a row of its own, so that the core runs once. Where one long stretch would pad many
    short ones to its length, the core runs once for each power of two of the stretches' lengths.

    Args:
        core: see :class:`~memup_lightning.models.memory.Memory`.
        x: ``[rows, steps, features]``.
        state: state before the first step of each row.
        is_first: where an episode begins, bool ``[rows, steps]``.

    Returns:
        m of every step, ``[rows, steps, output_size]``.
    """
    if not is_first[:, 1:].any():
        out: Tensor = core(x, state, is_first[:, 0])[0]
        return out
    begins = is_first.clone()
    begins[:, 0] = True
    row, start = begins.nonzero(as_tuple=True)
    num_steps = x.shape[1]
    stretch = begins.flatten().cumsum(0).view_as(begins) - 1  # number of each step's stretch
    place = torch.arange(num_steps, device=x.device) - start[stretch]
    lengths = stretch.flatten().bincount().tolist()
    padded = len(lengths) * max(lengths)
    groups = [(length - 1).bit_length() if padded > _MAX_PADDING * is_first.numel() else 0 for length in lengths]
    outputs, offset, num_outputs = (
        [],
        torch.zeros_like(row),
        0,
    )  # outputs of the core; where each stretch begins in them
    for group in sorted(set(groups)):
        numbers = [number for number, its in enumerate(groups) if its == group]
        longest = max(lengths[number] for number in numbers)
        chosen = torch.tensor(numbers, device=x.device)
        steps = (start[chosen, None] + torch.arange(longest, device=x.device)).clamp(max=num_steps - 1)
        rows = row[chosen]
        out = core(x[rows[:, None], steps], take(state, rows), is_first[rows, start[chosen]])[0]
        offset[chosen] = num_outputs + longest * torch.arange(len(chosen), device=x.device)
        num_outputs += out.shape[0] * longest
        outputs.append(out.flatten(0, 1))
    return torch.cat(outputs)[offset[stretch] + place]
