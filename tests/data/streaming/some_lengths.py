"""Lengths of episodes, short and drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

LENGTHS = np.array([7, 1, 12, 30, 5])

some_lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12).map(np.array)
