"""Counter-based random numbers: every draw is a pure function of a key, so any slice can be made alone.

NumPy's Philox is counter-based too, but one generator object has one counter: reading 64 lanes at 64 places of 64
episodes would construct 64 generators a step. Here whole index arrays are hashed at once with the
finaliser of SplitMix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GAMMA = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    z ^= z >> np.uint64(30)  # in place: for a block of chunks, fresh arrays cost as much as what is computed
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def hash64(*keys: int | npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    """Compute 64 random bits for each element of the broadcast keys.

    Args:
        keys: integers or integer arrays that broadcast together. The order matters: ``hash64(a, b) != hash64(b, a)``.

    Returns:
        uint64 array of the broadcast shape.
    """
    state: npt.NDArray[np.uint64] = np.zeros((), np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            bits: npt.NDArray[np.uint64] = np.asarray(key & _MASK if isinstance(key, int) else key).astype(np.uint64)
            state = _mix((state + np.uint64(_GAMMA)) ^ _mix(bits + np.uint64(_GAMMA)))
    return state


def uniform(*keys: int | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Draw from [0, 1), once for each element of the broadcast keys (see :func:`hash64`)."""
    return (hash64(*keys) >> np.uint64(11)).astype(np.float64) * (1.0 / (1 << 53))


def gumbel(*keys: int | npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Draw from the standard Gumbel distribution, once for each element of the broadcast keys (see :func:`hash64`).

    The k largest of ``log(w) + gumbel`` are a draw of k without replacement, in proportion to the weights w (Kool, van Hoof
    & Welling, ICML 2019).
    """
    return -np.log(-np.log(np.clip(uniform(*keys), 1e-300, 1 - 1e-16)))


def integers(high: int | npt.NDArray[np.integer], *keys: int | npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Draw integers from {0, ..., high - 1}, one for each element of the broadcast keys (see :func:`hash64`)."""
    return np.floor(uniform(*keys) * high).astype(np.int64)
