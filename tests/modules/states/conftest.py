"""Fixture of the tests of replay."""

from __future__ import annotations

import pytest

from tests.modules.states.replayed import Run


@pytest.fixture(scope="module")
def run() -> Run:
    return Run()
