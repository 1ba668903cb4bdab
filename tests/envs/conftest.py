"""Fixtures of the tests of environments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.envs.engines import engines, shared, until


@pytest.fixture
def no_engine_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working folder and a folder for temporary files of the test's own; at its end both are empty, and no engine of
    the test is left, nor its shared memory."""
    for folder in ("work", "temporary"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    before = shared()
    yield
    assert until(lambda: not engines(tmp_path)), "an engine is left"
    assert until(lambda: shared() <= before), "shared memory is left"  # another's engine may be starting just now
    assert list((tmp_path / "work").iterdir()) == []
    assert list((tmp_path / "temporary").glob("memup-doom-*")) == []
