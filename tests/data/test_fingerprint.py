"""Fingerprints: what is equal has one in every process, what differs has another."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.wrappers import TimeLimit

from memup_lightning.data.fingerprint import FingerprintError, canonical, fingerprint, fingerprints
from memup_lightning.envs.policies import random_policy
from tests.data.cached import ROOT, Lean, Network


def test_equal_objects_have_one_identity_in_every_process() -> None:
    described = fingerprints({"policy": Lean(1), "network": Network(3), "wrapper": functools.partial(TimeLimit, None)})
    code = (
        "import functools; from gymnasium.wrappers import TimeLimit\n"
        "from memup_lightning.data.fingerprint import canonical, fingerprints\n"
        "from tests.data.cached import Lean, Network\n"
        "print(canonical(fingerprints({'wrapper': functools.partial(TimeLimit, None),"
        " 'network': Network(3), 'policy': Lean(1)})))"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert other.stdout.strip() == canonical(described), other.stderr


DIFFERENT: list[Any] = [
    1, 1.5, "1", True, None, [1], {"a": 1}, {"a": 2}, np.zeros(2), np.zeros((2, 1)), np.zeros(2, np.float32),
    np.random.default_rng(1), np.random.default_rng(2), torch.ones(2), torch.ones(2, dtype=torch.bfloat16),
    Lean(0), Lean(1), Lean(0).__call__, Network(0), Network(1), Lean, random_policy, TimeLimit,
    functools.partial(TimeLimit, max_episode_steps=5), functools.partial(TimeLimit, max_episode_steps=6),
]  # fmt: skip


def test_different_objects_have_different_fingerprints() -> None:
    texts = [canonical(fingerprint(x)) for x in DIFFERENT]
    assert len(set(texts)) == len(texts)


def test_a_function_whose_source_was_edited_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_policies.py").write_text("def left(observations, action_space):\n    return [0]\n")
    import my_policies  # type: ignore[import-not-found]

    before = fingerprint(my_policies.left)
    (tmp_path / "my_policies.py").write_text("def left(observations, action_space):\n    return [1]\n")
    assert fingerprint(my_policies.left) != before


def itself() -> list[Any]:
    held: list[Any] = []
    held.append(held)
    return held


@pytest.mark.parametrize("nameless", [lambda *_: 0, iter([]), itself(), np.array([object()]), object()], ids=type)
def test_what_another_process_could_not_recognise_has_no_identity(nameless: Any) -> None:
    with pytest.raises(FingerprintError):
        fingerprint({"held": [nameless]})
