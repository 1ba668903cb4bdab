"""The tiers of the test suite: what `make test` leaves out exists, and is guarded by something."""

from __future__ import annotations

import pytest

from tests.command_line import ROOT
from tests.long_tests import LONG_TESTS, QUICK_TESTS, is_long
from tests.mutation_check import MUTANTS


@pytest.mark.parametrize("beginning", LONG_TESTS)
def test_a_long_test_exists_and_is_guarded(beginning: str) -> None:
    file, _, name = beginning.partition("::")
    assert f"def {name}" in (ROOT / file).read_text()
    assert LONG_TESTS[beginning]


@pytest.mark.parametrize("test", QUICK_TESTS)
def test_an_exception_is_one_of_a_long_test(test: str) -> None:
    assert not is_long(test)
    assert is_long(test.partition("[")[0])


def test_ci_runs_every_test() -> None:
    made = [line.split() for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert {"lint", "docs", "wheel", "test-all"} <= {target for line in made for target in line}
    recipe = (ROOT / "Makefile").read_text().partition("\ntest-all: setup\n")[2].partition("\n")[0]
    assert recipe == "\t$(PYTEST)"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_still_names_code_that_is_there_once(name: str) -> None:
    mutant = MUTANTS[name]
    assert (ROOT / "memup_lightning" / mutant.file).read_text().count(mutant.intact) == 1, "write the mutant again"
    assert all((ROOT / test).exists() for test in mutant.tests)
