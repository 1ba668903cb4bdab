"""How users leave inputs out of x: by the columns or arrays that are named, or by a slice of the one array."""

from __future__ import annotations

import re
from collections.abc import Iterable

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.user_warnings import option

_NUMBERED = re.compile(r"x\[(\d+)\]")


def how_to_leave_out(user: UserEpisodes, names: Iterable[str]) -> str:
    """Say how some components of x are left out, in parentheses that follow "leave it out of x".

    Args:
        user: what was read.
        names: of the components, as messages name them.

    Returns:
        Empty where x is one array whose steps have several dimensions, or none.
    """
    if len(user.arrays) != 1:
        return f" ({option('data.x')} names {'the arrays' if user.arrays else 'those'} that are read)"
    if user.x is None or user.x.ndim != 2:
        return ""
    numbers = sorted(int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name)))
    return f" (np.delete({user.arrays[0]}, {numbers}, axis=-1) in place of {user.arrays[0]})"
